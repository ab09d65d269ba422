# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds and caches what the tests boot: kernel, programs, initramfs images.

Everything comes from Debian packages. The kernel package is downloaded and
unpacked, never installed; tools that are missing are installed when we are root.
"""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from .cpio import Tree

HERE = Path(__file__).resolve().parent.parent
KERNEL_META = "linux-image-cloud-amd64"
PACKAGES = {
    "busybox": "busybox-static",
    "dash": "dash",
    "depmod": "kmod",
    "ethtool": "ethtool",
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "lz4": "lz4",
    "passt": "passt",
    "ping": "iputils-ping",
    "qemu-system-x86_64": "qemu-system-x86 seabios",
    "ss": "iproute2",
    "tc": "iproute2",
}
L1_MODULES = ("virtio_pci", "virtio_console", "tun", "vhost_net", "kvm_amd",
              "sch_ingress", "cls_bpf", "act_gact")
L2_MODULES = ("virtio_pci", "virtio_net", "pvpanic_mmio", "pvpanic_pci")
PROGRAMS = ("ethtool", "ip", "iperf3", "ping", "ss", "tc")
TESTPMD = "dpdk-testpmd"    # and its drivers; cases that need it are skipped where it is missing
TESTPMD_DRIVERS = ("librte_bus_vdev", "librte_mempool_ring", "librte_net_tap", "librte_net_vhost")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SetupError(Exception):
    """The machine lacks something the tests need; the text says what."""


def which(name):
    """Path of a system program, or None. sbin is searched for every user."""
    return shutil.which(name, path=SYSTEM_PATH)


def ensure_packages(log=print):
    """Install the Debian packages whose programs are missing (needs root)."""
    missing = sorted({p for prog, pkgs in PACKAGES.items() if not which(prog) for p in pkgs.split()})
    if not missing:
        return
    log("installing " + " ".join(missing))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for cmd in (["apt-get", "update", "-qq"],
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(cmd, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"{' '.join(cmd)}: {done.stderr.strip()}")


def default_cache():
    """Directory for built images: $E2E_CACHE, or build/e2e-cache in the source tree."""
    if os.environ.get("E2E_CACHE"):
        return Path(os.environ["E2E_CACHE"])
    return HERE.parent.parent / "build" / "e2e-cache"


def libraries(binary):
    """Shared libraries of `binary`, the dynamic loader included, as the loader finds them."""
    out = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r"^\s*(\S+) => not found", out, re.M)
    if missing:
        raise SetupError(f"{binary} needs {' '.join(missing)}, which is not installed")
    return sorted(set(re.findall(r"(/[^\s]+)", out)))


def _add_program(tree, host_path, guest_path=None):
    tree.file(guest_path or "/usr/bin/" + os.path.basename(host_path), os.path.realpath(host_path))
    for lib in libraries(host_path):
        # Base trees have /lib -> usr/lib; store under the merged name.
        where = lib if lib.startswith("/usr/") or not lib.startswith("/lib") else "/usr" + lib
        if where not in tree:
            tree.file(where, os.path.realpath(lib))


def _lz4_payload(image):
    """The ELF kernel inside an LZ4-compressed bzImage (Linux boot protocol 2.08, payload_offset)."""
    start = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:start + offset + length]
    if payload[:4] != b"\x02\x21\x4c\x18":
        raise SetupError("the kernel package is not LZ4-compressed: cannot make an ELF kernel of it")
    # The last four bytes hold the uncompressed size.
    return subprocess.run(["lz4", "-dc"], input=payload[:-4], stdout=subprocess.PIPE, check=True).stdout


class Assets:
    """The cached files. Attributes: vmlinuz, vmlinux, l1_base, l2_initrd, tools (dir)."""

    def __init__(self, cache=None, log=print):
        self.cache = Path(cache or default_cache()).resolve()
        self.log = log
        self.kernel = self.cache / "kernel"
        self.tools = self.cache / "tools"
        self.l1_base = self.cache / "l1-base.cpio"
        self.l2_initrd = self.cache / "l2-initrd.cpio"
        self.vmlinux = self.cache / "vmlinux"

    def prepare(self):
        """Build what is missing or out of date. Raises SetupError."""
        if os.geteuid() != 0:
            raise SetupError("needs root, for images, taps and network namespaces")
        ensure_packages(self.log)
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(self.cache / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._build()
        return self

    def _build(self):
        if not (self.kernel / ".done").exists():
            self._fetch_kernel()
        self.version = os.listdir(self.kernel / "lib/modules")[0]
        self.vmlinuz = self.kernel / "boot" / f"vmlinuz-{self.version}"
        if not self.vmlinux.exists():
            self._replace(self.vmlinux, _lz4_payload(self.vmlinuz.read_bytes()))
        self._build_tools()
        stamp = self.cache / "stamp"
        want = self._fingerprint()
        if not stamp.exists() or stamp.read_text() != want:
            self.log("building the initramfs images")
            self._build_l2()
            self._build_l1()
            stamp.write_text(want)

    def emulator_archive(self, out_path, emulators):
        """Write a cpio with emulator binaries, their libraries and data, to follow l1_base.

        emulators: host paths; each keeps its path in L1.
        """
        tree = Tree()
        for emulator in emulators:
            _add_program(tree, emulator, emulator)
        for rom in ("linuxboot_dma.bin", "pvh.bin", "kvmvapic.bin", "bios-256k.bin"):
            for path in (f"/usr/share/qemu/{rom}", f"/usr/share/seabios/{rom}"):
                if os.path.exists(path):
                    tree.file(path, os.path.realpath(path))
        if "/usr/share/qemu/efi-virtio.rom" not in tree:
            # QEMU's virtio-net-pci insists on its boot ROM; direct kernel boot never runs it.
            tree.data("/usr/share/qemu/efi-virtio.rom", b"\x55\xaa\x01\xcb" + bytes(508))
        with open(out_path, "wb") as out:
            tree.write(out)

    def _fetch_kernel(self):
        self.log(f"fetching the kernel package ({KERNEL_META})")
        shutil.rmtree(self.kernel, ignore_errors=True)
        self.kernel.mkdir(parents=True)
        text = subprocess.run(["apt-cache", "depends", KERNEL_META], capture_output=True, text=True,
                              check=False).stdout
        match = re.search(r"Depends: (linux-image-\S+)", text)
        if not match:
            raise SetupError(f"apt knows no package {KERNEL_META}; run apt-get update")
        done = subprocess.run(["apt-get", "download", "-qq", match[1]], cwd=self.kernel,
                              capture_output=True, text=True, check=False)
        debs = glob.glob(str(self.kernel / "*.deb"))
        if not debs:
            raise SetupError(f"apt-get download {match[1]}: {done.stderr.strip()}")
        subprocess.run(["dpkg", "-x", debs[0], str(self.kernel)], check=True)
        os.unlink(debs[0])
        version = os.listdir(self.kernel / "lib/modules")[0]
        subprocess.run([which("depmod"), "-b", str(self.kernel), version], check=True)
        (self.kernel / ".done").touch()

    def _build_tools(self):
        """Compile the small static programs that both machines use."""
        self.tools.mkdir(exist_ok=True)
        for source in HERE.glob("*.c"):
            target = self.tools / source.stem
            if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
                subprocess.run(["gcc", "-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror",
                                "-std=gnu11", "-D_GNU_SOURCE", "-o", str(target), str(source)], check=True)
        source = HERE / "tiny.S"
        for name, flags in (("tiny-exit", []), ("tiny-halt", ["-DHALT"])):
            out = self.tools / name
            if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
                self.build_tiny(out, flags)

    @staticmethod
    def build_tiny(out, flags):
        """The smallest kernel: see tiny.S."""
        subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,--build-id=none",
                        "-Wl,-N,-Ttext=0x100000,--no-warn-rwx-segments", *flags, "-o", str(out), str(HERE / "tiny.S")],
                       check=True)

    def _fingerprint(self):
        digest = hashlib.sha256(f"{self.version} {which(TESTPMD)}".encode())
        for path in sorted([HERE / "e2elib/assets.py", HERE / "e2elib/cpio.py", *HERE.glob("guest/*"), *self.tools.iterdir()]):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _base_tree(self, modules):
        tree = Tree()
        for d in ("proc", "sys", "dev", "tmp", "run", "etc", "root", "usr/bin", "usr/sbin",
                  "usr/lib", "usr/lib64", "e2e", "var"):
            tree.dir(d)
        for name in ("bin", "sbin", "lib", "lib64"):
            tree.link("/" + name, "usr/" + name)
        tree.link("/var/run", "/run")
        tree.node("/dev/console", 5, 1)
        tree.data("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        tree.data("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
        _add_program(tree, which("dash"), "/usr/bin/dash")
        tree.link("/usr/bin/sh", "dash")
        for name in PROGRAMS:
            _add_program(tree, which(name), f"/usr/bin/{name}")
        busybox = which("busybox")
        tree.file("/usr/bin/busybox", busybox)
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
        for applet in applets.split():
            if f"/usr/bin/{applet}" not in tree and applet != "ash":
                tree.link(f"/usr/bin/{applet}", "busybox")
        for tool in self.tools.iterdir():
            tree.file(f"/e2e/{tool.name}", tool)
        tree.file("/e2e/agent.sh", HERE / "guest/agent.sh")
        self._add_modules(tree, modules)
        return tree

    def _add_modules(self, tree, modules):
        base = self.kernel / "lib/modules" / self.version
        closure, todo = {}, list(modules)
        deps = {}
        for line in (base / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            deps[re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_")] = (path, needs.split())
        while todo:
            name = todo.pop()
            if name in closure or name not in deps:
                continue
            closure[name] = deps[name][0]
            todo += [re.sub(r"\.ko.*", "", os.path.basename(p)).replace("-", "_") for p in deps[name][1]]
        kept = set(closure.values())
        for path in kept:
            tree.file(f"/usr/lib/modules/{self.version}/{path}", base / path)
        dep_text = "".join(f"{p}: {' '.join(n)}\n" for p, n in deps.values() if p in kept)
        tree.data(f"/usr/lib/modules/{self.version}/modules.dep", dep_text)
        for name in ("alias", "symbols", "builtin", "order"):
            tree.data(f"/usr/lib/modules/{self.version}/modules.{name}", "")

    def _build_l2(self):
        tree = self._base_tree(L2_MODULES)
        tree.data("/init", (HERE / "guest/l2-init.sh").read_bytes(), 0o755)
        self._write_tree(tree, self.l2_initrd)

    @staticmethod
    def _add_library(tree, name):
        """A library that programs open by name while they run, where the machine has it."""
        for directory in ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"):
            if os.path.exists(f"{directory}/{name}"):
                _add_program(tree, f"{directory}/{name}", f"/usr/lib/x86_64-linux-gnu/{name}")
                return

    @staticmethod
    def _add_testpmd(tree):
        """DPDK's program, and of the drivers, which it loads from a directory of theirs, those that cases use."""
        if not which(TESTPMD):
            return
        # testpmd looks in that directory at names that end in the whole version only.
        drivers = [p for name in TESTPMD_DRIVERS for p in glob.glob(f"/usr/lib/*/dpdk/pmds-*/{name}.so.*.*")]
        for path in drivers:
            # One file by all its names, or it would be loaded more than once.
            for directory in (os.path.dirname(path), path.partition("/dpdk/")[0]):
                tree.link(f"{directory}/{os.path.basename(path).rpartition('.')[0]}", path)
        for path in drivers:
            _add_program(tree, path, path)
        _add_program(tree, which(TESTPMD))

    def _build_l1(self):
        tree = self._base_tree(L1_MODULES)
        tree.data("/init", (HERE / "guest/l1-init.sh").read_bytes(), 0o755)
        for name in ("libbpf.so.1", "libslirp.so.0"):
            self._add_library(tree, name)
        _add_program(tree, which("passt"))
        self._add_testpmd(tree)
        tree.file("/boot/vmlinuz", self.vmlinuz)
        tree.file("/boot/vmlinux", self.vmlinux)
        tree.file("/boot/initrd", self.l2_initrd)
        self._write_tree(tree, self.l1_base)

    @staticmethod
    def _write_tree(tree, path):
        tmp = path.with_name(path.name + ".tmp")
        with open(tmp, "wb") as out:
            tree.write(out)
        os.replace(tmp, path)

    @staticmethod
    def _replace(path, data):
        tmp = path.with_name(path.name + ".tmp")
        tmp.write_bytes(data)
        os.replace(tmp, path)


if __name__ == "__main__":
    try:
        Assets().prepare()
    except SetupError as e:
        sys.exit(f"e2e: {e}")
