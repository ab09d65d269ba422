# SPDX-License-Identifier: GPL-2.0-or-later
"""-nic, -net and -netdev in many combinations: which are taken and which refused, and what the one line about it means, is
as with the QEMU of the distribution, which is asked as well where it is installed."""

import os
import re
import shlex
import subprocess

from netlib import set_up
from qtestlib import WAIT_S, Failure, Skip, case, check
from test_hotplug import sanitized
from test_net_interop import OTHER

NO_FILE = "/no/such"
GROUP_MAC = "01:00:00:00:00:09"

# Options, what ours says, what QEMU says; None: it is taken. Of two lines with one meaning each has its own words.
ROWS = (
    ("-nic none", None, None),
    ("-nic none,model=virtio", None, None),
    ("-nic none -nic user,model=virtio", None, None),
    ("-nic user", None, None),
    ("-nic user,model=virtio", None, None),
    ("-nic type=user,model=virtio", None, None),
    ("-nic user,model=virtio-net-pci,mac=52:54:00:00:00:09", None, None),
    ("-nic user,model=virtio -nic user,model=virtio", None, None),
    ("-nic user,id=a,model=virtio -nic user,id=a,model=virtio", "Duplicate ID 'a'", "Duplicate ID 'a'"),
    ("-netdev user,id=a -nic user,id=a,model=virtio", "Duplicate ID 'a'", "Duplicate ID 'a'"),
    ("-nic user,model=nosuch", "'nosuch' is not a valid device model", "Unsupported NIC model: nosuch"),
    ("-nic user,model=virtio,mac=nonsense", "'mac' expects a MAC address.*'nonsense'", "invalid syntax for ethernet address"),
    (f"-nic user,model=virtio,mac={GROUP_MAC}", f"mac={GROUP_MAC}: is a multicast address", "cannot have multicast MAC"),
    ("-nic user,colour=red", "Invalid parameter 'colour'", "Invalid parameter 'colour'"),
    ("-nic user,netdev=x", "Invalid parameter 'netdev'", "Invalid parameter 'netdev'"),
    ("-nic user,name=x,model=virtio", "Invalid parameter 'name'", "Invalid parameter 'name'"),
    ("-nic user,queues=2,model=virtio", "Invalid parameter 'queues'", "Invalid parameter 'queues'"),
    ("-nic user,model=virtio,ipv4=maybe", "'ipv4' expects 'on' or 'off'", "'ipv4' expects 'on' or 'off'"),
    ("-nic user,model=virtio,ipv4=off,ipv6=off", "ipv4=off and ipv6=off", "IPv4 and IPv6 disabled"),
    ("-nic user,model=virtio,net=10.0.0.0/33", "net=10.0.0.0/33: expects", "Invalid netmask"),
    ("-nic user,hostfwd=bad", "hostfwd=bad: ", "Invalid host forwarding rule 'bad'"),
    ("-nic nic", "-nic nic: a NIC is what -nic makes", "'nic' is not compiled in"),
    ("-nic pigeon,model=virtio", "'type' does not accept value 'pigeon'", "'type' does not accept value 'pigeon'"),
    ("-nic ,model=virtio", "'type' does not accept value ''", "'type' does not accept value ''"),
    ("-nic hubport", "'hubid' is missing", "'hubid' is missing"),
    ("-nic hubport,hubid=3,model=virtio", None, None),
    ("-nic bridge,helper=/bin/false,model=virtio", "helper '/bin/false' failed", "bridge helper failed"),
    (f"-nic tap,script={NO_FILE},model=virtio", f"cannot run script '{NO_FILE}'", f"network script {NO_FILE} failed"),
    ("-nic tap,ifname=lo,script=no,downscript=no,model=virtio", "ifname=lo: not a tap", r"/dev/net/tun \(lo\)"),
    ("-nic tap,fd=77,model=virtio", "fd: file descriptor 77 is not open", "file descriptor 77: Bad file descriptor"),
    ("-nic tap,ifname=q0,script=no,downscript=no,model=virtio", None, None),
    ("-nic tap,ifname=q0,script=no,downscript=no,queues=2,model=virtio", None, None),
    ("-nic socket,model=virtio", "exactly one of .*is required", "exactly one of .*is required"),
    ("-nic socket,listen=127.0.0.1:0,model=virtio", None, None),
    ("-nic socket,connect=127.0.0.1:1,model=virtio", None, None),
    ("-nic stream,model=virtio", "'addr' is missing", "'type' is missing"),
    ("-nic dgram,model=virtio", "'local' is missing", "requires local= parameter"),
    ("-nic l2tpv3,model=virtio", "'src' is missing", "'src' is missing"),
    ("-nic l2tpv3,src=127.0.0.1,dst=127.0.0.1,udp=on,srcport=5,dstport=6,txsession=1,model=virtio", None, None),
    (f"-nic vde,sock={NO_FILE},model=virtio", f"sock={NO_FILE}: cannot connect.*No such file", "open vde: No such file"),
    ("-nic vhost-user,model=virtio", "'chardev' is missing", "'chardev' is missing"),
    ("-nic vhost-user,chardev=c9,model=virtio", "chardev=c9: there is no such", 'chardev "c9" not found'),
    ("-net none", None, None),
    ("-net none,colour=red", "-net none takes no other options", "Invalid parameter 'colour'"),
    ("-net nic,model=virtio", None, None),
    ("-net type=nic,model=virtio", None, None),
    ("-net none -net nic,model=virtio", None, None),
    ("-net nic,model=virtio -net none", None, None),
    ("-net nic,model=virtio -net user", None, None),
    ("-net nic,model=virtio -net user -net user", None, None),
    ("-net user", None, None),
    ("-nic user,model=virtio -net nic,model=virtio -net user", None, None),
    ("-net nic,model=nosuch", "'nosuch' is not a valid device model", "Unsupported NIC model: nosuch"),
    ("-net nic,model=virtio,macaddr=nonsense", "'mac' expects a MAC address", "invalid syntax for ethernet address"),
    (f"-net nic,model=virtio,macaddr={GROUP_MAC}", f"mac={GROUP_MAC}: is a multicast address", "cannot have multicast MAC"),
    ("-net nic,model=virtio,netdev=nobody", "netdev=nobody: there is no such", "'nobody' not found"),
    ("-net nic,model=virtio,vectors=-1", "'vectors' expects an integer", "'vectors' expects a uint64"),
    ("-net nic,model=virtio,addr=99", "addr' does not take '99'", "Invalid PCI device address 99"),
    ("-net nic,model=virtio,colour=red", "Invalid parameter 'colour'", "Invalid parameter 'colour'"),
    ("-net nic,model=virtio,name=a", "Invalid parameter 'name'", "Invalid parameter 'name'"),
    ("-net user,id=a -net user,id=a", "Duplicate ID 'a'", "Duplicate ID 'a'"),
    ("-net user,colour=red", "Invalid parameter 'colour'", "Invalid parameter 'colour'"),
    ("-net pigeon", "'type' does not accept value 'pigeon'", "'type' does not accept value 'pigeon'"),
    ("-net ''", "'type' is missing", "'type' is missing"),
    ("-net hubport", "'hubid' is missing", "'hubid' is missing"),
    ("-net hubport,hubid=0", "-net hubport: .*use -netdev hubport", "only supported with -netdev/-nic"),
    ("-net tap,ifname=q0,script=no,downscript=no -net nic,model=virtio", None, None),
    ("-net tap,ifname=q0,script=no,downscript=no,queues=2", "has 2 queues, a hub serves one", "cannot be used with hubs"),
    ("-net bridge,helper=/bin/false", "helper '/bin/false' failed", "bridge helper failed"),
    ("-net socket,listen=127.0.0.1:0 -net nic,model=virtio", None, None),
    ("-net socket", "exactly one of .*is required", "exactly one of .*is required"),
    ("-net l2tpv3", "'src' is missing", "'src' is missing"),
    ("-net vhost-user,chardev=c9", "chardev=c9: there is no such", 'chardev "c9" not found'),
    ("-netdev user,id=u -net nic,model=virtio,netdev=u", None, None),
    ("-netdev user,id=u -device virtio-net-pci,netdev=u -device virtio-net-pci,netdev=u", "'u' is in use by", "'u', it's in use"),
    ("-netdev user,id=u", None, None),
    ("-netdev user", "'id' is missing", "'id' is missing"),
    ("-netdev user,id=1a", "'id' expects an identifier", "'id' expects an identifier"),
    ("-netdev nic,id=a", "'type' does not accept value 'nic'", "'nic' is not compiled in"),
    ("-netdev none,id=a", "'type' does not accept value 'none'", "'none' is not compiled in"),
    ("-netdev pigeon,id=a", "'type' does not accept value 'pigeon'", "'type' does not accept value 'pigeon'"),
)

# What QEMU 7.2 refuses, or takes (None), and ours does not, or the other way round, on purpose: options that are the
# device's go to it; stream and dgram as -nic are broken there; a number of vectors that no device has is an error.
DIFFERENT = (
    ("-nic user,addr=5,model=virtio", None, "Invalid parameter 'addr'"),
    ("-nic user,bootindex=1,model=virtio", None, "Invalid parameter 'bootindex'"),
    ("-nic user,vectors=3,model=virtio", None, "Invalid parameter 'vectors'"),
    ("-nic user,macaddr=52:54:00:00:00:09,model=virtio", None, "Invalid parameter 'macaddr'"),
    ("-nic stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=0,model=virtio", None, "'type' is missing"),
    ("-net nic,model=virtio,vectors=99999999", "vectors=99999999' is above the maximum 2048", None),
    ("-net nic,model=virtio,id=a -net nic,model=virtio,id=a", None, "Duplicate ID 'a'"),
    ("-nic ''", "'type' is missing", None),
)


def ask(program, accelerator, options):
    """Status and stderr of a machine that is told to quit."""
    r = subprocess.run([program, "-accel", accelerator, "-nodefaults", "-display", "none", "-machine", "pc", "-m", "32M",
                        "-S", "-monitor", "stdio", *shlex.split(options)], input="quit\n", text=True, capture_output=True,
                       timeout=WAIT_S, check=False)
    return r.returncode, r.stderr.strip()


def compare(who, options, answer, text):
    status, err = answer
    check(status == (0 if text is None else 1), f"{who}: {options}: status {status}: {err}")
    if text is not None:
        check(re.search(text, err), f"{who}: {options}: '{err}' does not match '{text}'")


def check_rows(who, rows, program, accelerator, column):
    wrong = []
    for row in rows:
        try:
            answer = ask(program, accelerator, row[0])
            compare(who, row[0], answer, row[column])
            if column == 1 and row[column] is not None:
                check(len(answer[1].splitlines()) == 1, f"{who}: {row[0]}: more than a line: {answer[1]}")
        except Failure as e:
            wrong.append(str(e))
    check(not wrong, "; ".join(wrong))


@case("net-nic-option/table", needs=("root", "tun"))
def table(t):
    set_up("lo")
    rows = ROWS + DIFFERENT
    if sanitized(t):  # slow to start; and libvdeplug loads its parts in a way that sanitizers refuse (RTLD_DEEPBIND)
        rows = [row for row in rows if "vde" not in row[0]][::4]
    check_rows("here", rows, t.emulator, "qtest", 1)


@case("net-nic-option/table-of-qemu", needs=("root", "tun"))
def table_of_qemu(t):
    """The other column is what QEMU says, or the comparison would be with nothing."""
    version = subprocess.run([OTHER, "--version"], text=True, capture_output=True, check=False).stdout \
        if os.access(OTHER, os.X_OK) else ""
    if "version 7.2" not in version:
        raise Skip(f"{OTHER} is not QEMU 7.2")
    if sanitized(t):
        raise Skip("says nothing about an emulator with a sanitizer")
    set_up("lo")
    check_rows("QEMU", ROWS + DIFFERENT, OTHER, "tcg", 2)
