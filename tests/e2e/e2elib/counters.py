# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence about queue pairs, from the guest's driver and from the host's kernel.

Guest: virtio_net's own per-queue counters (ethtool -S) and /proc/interrupts.
Host, towards the guest: the tap's mq queueing discipline has one class per tap queue.
Host, from the guest: one classifier per tap queue on the tap's ingress, which looks at
the receive queue that tun recorded in the packet (classic BPF, SKF_AD_QUEUE).
Host, who did it: CPU time of vhost workers and of the emulator's threads.
"""

import re
from dataclasses import dataclass

SKF_AD_QUEUE = 0xFFFFF000 + 24

THREADS = (
    "pid=%d; for t in /proc/$pid/task/[0-9]* /proc/[0-9]*; do "
    "read -r name 2>/dev/null <$t/comm || continue; "
    "case $t:$name in /proc/$pid/task/*) ;; *:vhost-$pid) ;; *) continue ;; esac; "
    "read -r ns rest 2>/dev/null <$t/schedstat || continue; "
    "echo \"${t##*/} $ns $name\"; done"
)


def watch_tap(host, tap, queues):
    """Attach the counting classifiers to a tap's ingress. The tap must exist."""
    command = [f"tc qdisc add dev {tap} ingress"]
    for q in range(queues):
        # tun records queue + 1: 0 means that no queue was recorded.
        code = f"4,32 0 0 {SKF_AD_QUEUE},21 0 1 {q + 1},6 0 0 4294967295,6 0 0 0"
        command.append(f"tc filter add dev {tap} ingress protocol all pref {q + 1} "
                       f"bpf bytecode '{code}' flowid 1:{q + 1} action ok")
    host.check(" && ".join(command))


def attached_queues(host, tap):
    """Number of tap queues that the host may steer to (detached ones do not count)."""
    return int(host.check(f"ls -d /sys/class/net/{tap}/queues/tx-* | wc -l"))


@dataclass
class HostQueue:
    to_guest: int = 0
    to_guest_bytes: int = 0
    from_guest: int = 0
    from_guest_bytes: int = 0


def host_queues(host, tap, queues):
    """Per tap queue: packets and bytes in each direction, from the host's kernel."""
    result = [HostQueue() for _ in range(queues)]
    text = host.check(f"tc -s class show dev {tap} | head -{queues * 4 + 8}; echo @@; "
                      f"tc -s filter show dev {tap} ingress")
    classes, _, filters = text.partition("@@")
    for m in re.finditer(r"class mq (?:[0-9a-f]+)?:([0-9a-f]+) .*?\n\s*Sent (\d+) bytes (\d+) pkt", classes):
        q = int(m[1], 16) - 1
        if q < queues:
            result[q].to_guest_bytes, result[q].to_guest = int(m[2]), int(m[3])
    for part in re.split(r"(?=filter protocol)", filters):
        m = re.search(r"pref (\d+) bpf.*?Sent (\d+) bytes (\d+) pkt", part, re.S)
        if m and int(m[1]) <= queues:
            q = int(m[1]) - 1
            result[q].from_guest_bytes, result[q].from_guest = int(m[2]), int(m[3])
    return result


@dataclass
class GuestQueue:
    rx: int = 0
    rx_bytes: int = 0
    tx: int = 0
    tx_bytes: int = 0
    rx_irqs: int = 0
    tx_irqs: int = 0


def guest_queues(guest, interface, queues):
    """Per queue pair: the guest driver's packets and bytes, and its interrupts.

    The driver shows packets of active pairs only; interrupts are there for all.
    """
    text = guest.check(f"ls /sys/class/net/{interface}/device/driver >/dev/null; "
                       f"basename $(readlink -f /sys/class/net/{interface}/device); "
                       f"ethtool -S {interface}; grep virtio /proc/interrupts || true")
    device = text.split("\n", 1)[0].strip()
    result = [GuestQueue() for _ in range(queues)]
    for m in re.finditer(r"([rt]x)_queue_(\d+)_(packets|bytes): (\d+)", text):
        if int(m[2]) < queues:
            setattr(result[int(m[2])], m[1] + ("_bytes" if m[3] == "bytes" else ""), int(m[4]))
    for m in re.finditer(rf"^\s*\d+:((?:\s+\d+)+)\s+\S.*\s{device}-(input|output)\.(\d+)\s*$", text, re.M):
        if int(m[3]) < queues:
            total = sum(int(n) for n in m[1].split())
            setattr(result[int(m[3])], "rx_irqs" if m[2] == "input" else "tx_irqs", total)
    return result


@dataclass
class Thread:
    tid: int
    name: str
    kind: str    # "vhost", "main", "vcpu" or "thread"
    ns: int      # CPU time, nanoseconds


def threads(host):
    """The emulator's threads and vhost workers by thread id."""
    pid = host.emulator_pid()
    result = {}
    for line in host.check(THREADS % pid).splitlines():
        tid, ns, name = line.split(" ", 2)
        if name.startswith("vhost-"):
            kind = "vhost"
        elif int(tid) == pid:
            kind = "main"
        else:
            kind = "vcpu" if re.match(r"(CPU|vcpu)[ /]?\d+", name) else "thread"
        result.setdefault(int(tid), Thread(int(tid), name, kind, int(ns)))
    return result


def busiest(before, after):
    """The thread, vCPUs apart, that used the most CPU time between two samples."""
    def used(t):
        return t.ns - (before[t.tid].ns if t.tid in before else 0)
    rest = [t for t in after.values() if t.kind != "vcpu"]
    return max(rest, key=used)


def difference(after, before):
    """Field-wise difference of two lists of queue counters."""
    return [type(a)(**{k: getattr(a, k) - getattr(b, k) for k in vars(a)}) for a, b in zip(after, before)]
