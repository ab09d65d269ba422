# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirtd in namespaces of its own: nothing of the machine's libvirt is touched, or seen.

Processes, mounts and network are the box's; libvirt's folders are empty file systems in memory. The user that
libvirt's emulators run as is there even where the package that makes it is not installed.
"""

import grp
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

from .assets import SYSTEM_PATH, which
from .report import Failed, Skip, expect

FOLDERS = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/run")
USER, UID = "libvirt-qemu", 64055
NEEDED = {"libvirtd": "libvirt-daemon", "virsh": "libvirt-clients", "xmllint": "libxml2-utils"}
WAIT_S = 60.0

# As Debian has it but: nobody to confine (there is no AppArmor policy in the box), and no cgroups.
QEMU_CONF = """
security_driver = "none"
cgroup_controllers = []
stdio_handler = "file"
"""


def enter(flag):
    """Runs this program again in namespaces; FLAG, an environment variable, says that it has happened."""
    if os.geteuid() != 0:
        sys.exit("libvirt: needs root, for namespaces and taps")
    if os.environ.get(flag) != "1":
        env = dict(os.environ, PATH=f"{os.environ['PATH']}:{SYSTEM_PATH}", LC_ALL="C", **{flag: "1"})
        os.execvpe("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                               sys.executable, *sys.argv], env)
    child = os.fork()
    if child:
        _be_init(child)


def _be_init(child):
    """The first process of the box: whoever has lost its parent is ours, and would stay if we did not wait for it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def sh(command, **kw):
    return subprocess.run(command, shell=isinstance(command, str), text=True, capture_output=True, check=False, **kw)


def wait_for(func, what, timeout=WAIT_S):
    """Polls until FUNC returns something true, which is the result."""
    end = time.monotonic() + timeout
    while True:
        value = func()
        if value:
            return value
        expect(time.monotonic() < end, f"waited in vain for {what}")
        time.sleep(0.02)


class Box:
    """The daemon, and virsh."""

    def __init__(self, log):
        self.log, self.daemon = log, None

    def prepare(self):
        missing = [package for program, package in NEEDED.items() if not which(program)]
        if missing:
            raise Skip(f"not installed: {' '.join(missing)}")
        for folder in FOLDERS:
            os.makedirs(folder, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", folder], check=True)
        subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self._make_user()
        for folder in ("/run/libvirt", "/etc/libvirt/qemu", "/var/lib/libvirt/qemu", "/var/log/libvirt/qemu"):
            os.makedirs(folder, exist_ok=True)
        Path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
        Path("/etc/libvirt/libvirtd.conf").write_text(f'log_outputs = "2:file:{self.log}"\n', encoding="utf-8")
        return self.start()

    @staticmethod
    def _make_user():
        """The user, with /dev/kvm's group as Debian's package sets it up."""
        try:
            pwd.getpwnam(USER)
            return
        except KeyError:
            pass
        gid = os.stat("/dev/kvm").st_gid if os.path.exists("/dev/kvm") else UID
        names = [g.gr_name for g in grp.getgrall()]
        for name, line in (("passwd", f"{USER}:x:{UID}:{gid}::/var/lib/libvirt:/usr/sbin/nologin\n"),
                           ("group", "" if USER in names else f"{USER}:x:{UID}:\n")):
            copy = Path("/run") / name
            copy.write_text(Path("/etc", name).read_text(encoding="utf-8") + line, encoding="utf-8")
            subprocess.run(["mount", "--bind", copy, f"/etc/{name}"], check=True)

    def start(self):
        self.daemon = subprocess.Popen(["libvirtd", "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirtd.pid"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.run("uri")[0] == 0, "libvirtd to answer")
        return self

    def stop(self):
        """Ends the daemon; domains go on."""
        self.daemon.send_signal(signal.SIGTERM)
        expect(self.daemon.wait(30) == 0, f"libvirtd ended with status {self.daemon.returncode}")

    def run(self, *args, timeout=WAIT_S):
        """virsh ARGS: (exit status, output, what it said on stderr)."""
        expect(self.daemon.poll() is None, f"libvirtd has ended with status {self.daemon.returncode}")
        r = subprocess.run(["virsh", "-q", "-c", "qemu:///system", *map(str, args)], text=True, capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        return r.returncode, r.stdout.strip(), r.stderr.strip()

    def virsh(self, *args, **kw):
        """The output of what must work."""
        status, out, err = self.run(*args, **kw)
        if status:
            raise Failed(f"virsh {' '.join(map(str, args))}: {err}")
        return out

    def refused(self, *args):
        """What it says of what must not work."""
        status, out, err = self.run(*args)
        expect(status, f"virsh {' '.join(map(str, args))} worked: {out}")
        return err
