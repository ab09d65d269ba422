# SPDX-License-Identifier: GPL-2.0-or-later
"""What the process gives up before the guest runs: -sandbox, -run-with, -runas, -chroot; and secrets."""

import os
import re
import subprocess
from pathlib import Path

from netlib import Host
from qmplib import Qmp, QmpError
from qtestlib import case, check, eq
from test_net_hot import tap
from test_virtio_net_mq import MQ, exchange
from virtiolib import Modern, Nic, find_virtio, tap_args

TUN = ("root", "tun")
STRICT = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"    # libvirt's
NOBODY = 65534


def threads(vm):
    """What /proc says of each thread."""
    for task in Path(f"/proc/{vm.process.pid}/task").iterdir():
        yield dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)


def refused(t, *args):
    """The one line of an emulator that does not start."""
    r = subprocess.run([t.emulator, "-nodefaults", "-machine", "none", *args], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=60, check=False)
    eq(r.returncode, 1, f"exit status with {args}: {r.stderr}")
    eq(r.stderr.count("\n"), 1, f"lines with {args}: {r.stderr}")
    return r.stderr


def without_leak_checker():
    """It looks at the process by ptrace(2), which those who have given up their rights may not."""
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def error_of(call, *args, **kw):
    try:
        call(*args, **kw)
    except QmpError as e:
        return e.desc
    return None


@case("confine/sandbox/all-threads")
def sandbox_all_threads(t):
    """The filter is on every thread, those that come later have it too; without -sandbox none has."""
    without_leak_checker()
    for args, mode in ((("-sandbox", STRICT), "2"), (("-sandbox", "off"), "0"), ((), "0")):
        vm = t.vm("-object", "iothread,id=io0", *args, qmp=True)
        qmp = Qmp(vm.qmp_path)
        qmp.cmd("object-add", arguments_={"qom-type": "iothread", "id": "io1"})
        found = [(s["Name"], s["Seccomp"]) for s in threads(vm)]
        check(len(found) >= 3 and all(m == mode for _, m in found), f"{args}: {found}")
        eq({s["NoNewPrivs"] for s in threads(vm)} == {"1"}, mode == "2", f"no new rights with {args}")


@case("confine/sandbox/network-while-it-runs", needs=TUN)
def sandbox_network(t):
    """Frames pass, a NIC and its tap come and go, in the strictest sandbox."""
    without_leak_checker()
    vm = t.vm(*tap_args(queues=2, nic_opts=",id=nic0"), "-sandbox", STRICT, qmp=True)
    qmp = Qmp(vm.qmp_path)
    pci = find_virtio(vm)[0]
    pci.msix_setup()
    nic, host = Nic(Modern(pci)), Host("t0")
    nic.start(MQ, pairs=2, vectors=True)
    nic.set_pairs(2)
    for pair in range(2):
        exchange(nic, host, pair, b"before")
    qmp.cmd("netdev_add", arguments_=tap("n1", "t1", queues=4))
    qmp.cmd("device_add", driver="virtio-net-pci", id="nic1", netdev="n1", mq=True)
    eq(len(qmp.cmd("query-net-queues", arguments_={"name": "nic1"})), 4, "pairs of a NIC that came later")
    qmp.cmd("netdev_del", id="n0")
    qmp.cmd("netdev_add", arguments_=tap("n0", "t0", queues=2))
    host = Host("t0")
    for pair in range(2):
        exchange(nic, host, pair, b"after")
    check("Operation not permitted" not in vm.log(), f"log: {vm.log()}")


@case("confine/sandbox/groups", needs=TUN)
def sandbox_groups(t):
    """What a group denies fails with a clear error, and works where it is allowed."""
    without_leak_checker()
    script = t.dir / "ifup"
    script.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    script.chmod(0o755)
    for rules, denied in ((STRICT, True), ("on", False)):
        vm = t.vm("-sandbox", rules, "-object", "iothread,id=io0", qmp=True)
        qmp = Qmp(vm.qmp_path)
        spawned = error_of(qmp.cmd, "netdev_add", arguments_={"type": "tap", "id": "n1", "ifname": "t1",
                                                             "script": str(script), "downscript": "no"})
        placed = error_of(qmp.cmd, "qom-set", path="/objects/io0", property="cpu-affinity", value=[0])
        if denied:
            check(spawned and "Operation not permitted" in spawned and str(script) in spawned, f"{rules}: {spawned}")
            check(placed and "Operation not permitted" in placed, f"{rules}: {placed}")
            eq("t1" in os.listdir("/sys/class/net"), False, "half a netdev")
        else:
            eq((spawned, placed), (None, None), rules)


@case("confine/sandbox/options")
def sandbox_options(t):
    for text in ("maybe", "on,spawn=perhaps", "on,speed=1", "on,elevateprivileges=never"):
        line = refused(t, "-sandbox", text)
        check(f"-sandbox {text}: " in line, line)
    vm = t.vm(qmp=True)
    options = Qmp(vm.qmp_path).cmd("query-command-line-options", option="sandbox")[0]["parameters"]
    eq({p["name"] for p in options}, {"enable", "obsolete", "elevateprivileges", "spawn", "resourcecontrol"}, "groups")


@case("confine/run-with/user", needs=("root",))
def run_with_user(t):
    """Another user in every thread, with that user's groups only, no capability, and no way back."""
    without_leak_checker()
    for args in (("-run-with", "user=nobody"), ("-runas", "nobody"), ("-runas", f"{NOBODY}:{NOBODY}"),
                 ("-run-with", f"user={NOBODY}:{NOBODY}", "-sandbox", STRICT)):
        vm = t.vm(*args, qmp=True)
        qmp = Qmp(vm.qmp_path)
        for s in threads(vm):
            eq({int(i) for i in s["Uid"].split() + s["Gid"].split()}, {NOBODY}, f"{args}: ids")
            check({int(i) for i in s["Groups"].split()} <= {NOBODY}, f"{args}: {s['Groups']}")
            eq({int(s[c], 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")}, {0}, f"{args}: capabilities")
        eq(qmp.cmd("query-status")["running"], True, "the machine runs")


@case("confine/run-with/chroot", needs=("root",))
def run_with_chroot(t):
    """Another root directory; what was opened before goes on, and what is opened later is there."""
    without_leak_checker()
    root = t.dir / "root"
    root.mkdir()
    for args in (("-chroot", root), ("-run-with", f"chroot={root},user=nobody")):
        vm = t.vm(*args, qmp=True)
        qmp = Qmp(vm.qmp_path)
        eq(os.readlink(f"/proc/{vm.process.pid}/root"), str(root), f"{args}: root")
        eq(os.readlink(f"/proc/{vm.process.pid}/cwd"), str(root), f"{args}: working directory")
        where = error_of(qmp.cmd, "chardev-add", id="c0", backend={"type": "file", "data": {"out": "/etc/passwd"}})
        check(where and "No such file" in where, f"{args}: {where}")


@case("confine/run-with/in-the-background", needs=("root",))
def run_with_daemonize(t):
    """-daemonize needs nothing of the new root directory."""
    without_leak_checker()
    root, pidfile = t.dir / "root", t.dir / "pid"
    root.mkdir()
    subprocess.run([t.emulator, "-nodefaults", "-machine", "none", "-display", "none", "-daemonize", "-pidfile",
                    pidfile, "-run-with", f"chroot={root},user=nobody", "-sandbox", STRICT],
                   stdin=subprocess.DEVNULL, check=True, timeout=60)
    pid = int(pidfile.read_text())
    try:
        eq(os.readlink(f"/proc/{pid}/root"), str(root), "root")
        eq({os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)}, {"/dev/null"}, "standard files")
        check(re.search(r"Uid:\t65534", Path(f"/proc/{pid}/status").read_text()), "user")
    finally:
        os.kill(pid, 15)


@case("confine/run-with/bad")
def run_with_bad(t):
    rows = ((("-runas", "nobody-of-that-name"), "no such user"), (("-runas", "1:"), "no such user"),
            (("-runas", "4294967295:1"), "no such user"), (("-run-with", "user="), "no such user"),
            (("-run-with", "chroot=/nonexistent"), "/nonexistent"), (("-chroot", "/nonexistent"), "/nonexistent"),
            (("-run-with", "async-teardown=on"), "async-teardown"), (("-run-with", "me=you"), "me"))
    for args, text in rows:
        line = refused(t, *args)
        check(text in line, f"{args}: {line}")


@case("secret/object")
def secret_object(t):
    """A secret that can be read is an object, whose content nobody is told; another one is an error."""
    key = t.dir / "key"
    key.write_bytes(bytes(range(32)))
    vm = t.vm("-object", f"secret,id=s0,format=raw,file={key}", "-object", '{"qom-type":"secret","id":"s1","data":"letmein"}',
              "-object", "secret,id=s2,data=bGV0bWVpbg==,format=base64", qmp=True)
    qmp = Qmp(vm.qmp_path)
    check("letmein" not in str([qmp.cmd("qom-get", path="/objects/s1", property=p["name"])
                                for p in qmp.cmd("qom-list", path="/objects/s1")]), "the secret is told")
    rows = (({}, "one of data= and file="), ({"data": "x", "file": str(key)}, "exclude"),
            ({"file": "/nonexistent"}, "/nonexistent"), ({"data": "x!=", "format": "base64"}, "base64"),
            ({"data": "abc", "format": "base64"}, "incomplete"), ({"data": "x", "keyid": "s0"}, "keyid"),
            ({"file": "/dev/zero"}, "more than 65536"), ({"file": str(t.dir)}, "cannot read"))
    for more, text in rows:
        said = error_of(qmp.cmd, "object-add", arguments_={"qom-type": "secret", "id": "s3", **more})
        check(said and text in said, f"{more}: {said}")
    for ident in ("s0", "s1", "s2"):
        qmp.cmd("object-del", id=ident)
