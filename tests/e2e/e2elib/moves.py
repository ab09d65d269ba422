# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases: queue pairs change owners, netdevs change their queues, and every datagram is counted meanwhile.

TCP goes on whatever is lost. So beside iperf3, which keeps the rings busy, seq.c sends numbered datagrams both ways.
It counts what was lost on the way from one socket to the other; what the kernels on that way dropped for want of room
is counted by them, and is taken off.
"""

import re
from dataclasses import dataclass, field

from .report import Failed, expect

MOVES = 100
QUEUE_CHANGES = 100
OWNERS = ("iothread:io0", "iothread:io1", "vhost")
FLOWS, RATE = 8, 60         # datagrams a second, of one flow in one direction: an emulated CPU has to do all of it
TAP_FRAMES = 10000
LEAST = 200                 # datagrams, each way: fewer prove nothing
ORDER = (2, 1, 3, 4, 1, 4, 3, 2, 3, 1, 2, 4)    # numbers of queues: each step between any two, both ways
FULL_EVERY = 2              # changes at least from one time with all the queues to the next
CHECK_EVERY = 10
DEVICE = "the device"
ALIKE = 30                  # moves after which the owners are the same again: of all the owners and all the pairs

# A leak is there in every block of changes. What else grows does so less and less: the allocator keeps freed memory in
# pools of each thread that ever used it, and the first use of a path touches pages for good, which under traffic takes
# more changes than there is time for here. So only what is larger than that shows; the device tests look closer.
LEAK_KIB = 16               # in each change
VIRTUAL_KIB = 2048          # glibc's pools grow by up to 128 KiB at a time

RESOURCES = (
    "pid={pid}; ls /proc/$pid/fd | wc -l; ls /proc/$pid/task | wc -l; wc -l </proc/$pid/maps; "
    "awk '/^[0-9a-f]+-[0-9a-f]+ /{{ram=0}} /^Size:/{{size=$2; ram=size>={ram}; if(!ram) v+=size}} "
    "/^Rss:/{{if(!ram) r+=$2}} END{{print v; print r}}' /proc/$pid/smaps")

# What the kernels dropped on the way, in machine and direction: interface, queueing discipline, backlog of the CPUs.
DROPS = (
    "cat /sys/class/net/{dev}/statistics/tx_dropped; cat /sys/class/net/{dev}/statistics/rx_dropped; "
    "tc -s qdisc show dev {dev} root | sed -n 's/.*dropped \\([0-9]*\\).*/\\1/p' | head -1; "
    "n=0; while read -r a b rest; do n=$((n + 0x$b)); done </proc/net/softnet_stat; echo $n")


@dataclass
class Resources:
    """What the emulator has. Sizes in KiB, without the guest's memory."""

    fds: int
    threads: int
    maps: int
    virtual: int
    rss: int

    @classmethod
    def of(cls, s):
        """Of the running emulator."""
        ram = s.config.memory * 1024 // 4   # no other mapping is as large as a quarter of it
        return cls(*(int(n) for n in s.host.check(RESOURCES.format(pid=s.host.emulator_pid(), ram=ram)).split()))

    @staticmethod
    def expect_none_leaked(seen, changes):
        """Fails when something grew from each of `seen` to the next, in the same configuration `changes` later or more."""
        assert len(seen) >= 3, "one block of changes tells nothing"
        text = f"at first {seen[0]}, at last {seen[-1]}"
        steps = list(zip(seen, seen[1:]))
        # In between a pair may be on its way to vhost-net.
        expect((seen[-1].fds, seen[-1].threads) == (seen[0].fds, seen[0].threads), f"descriptors or threads: {text}")
        text += f", growth {'/'.join(f'{b.rss - a.rss:+}' for a, b in steps)} KiB"
        expect(min(b.rss - a.rss for a, b in steps) < LEAK_KIB * changes
               and min(b.virtual - a.virtual for a, b in steps) < LEAK_KIB * changes
               and seen[-1].virtual <= seen[0].virtual + VIRTUAL_KIB, f"memory: {text}")
        return f"{seen[-1].fds} descriptors, {seen[-1].rss - seen[0].rss:+} KiB"


@dataclass
class Way:
    """One direction of a count. Out is from the guest."""

    sent: int
    lost: int
    repeated: int
    reordered: int
    altered: int
    no_room: int       # of the receiving socket
    drops: dict = field(default_factory=dict)   # by the kernels, of anybody's frames: where, how many

    @property
    def dropped(self):
        """All of those; what the device itself dropped is no excuse."""
        return sum(n for place, n in self.drops.items() if place != DEVICE)

    def drops_text(self):
        """Where they were, in words."""
        return " and ".join(f"{n} dropped by {place}" for place, n in self.drops.items()) or "none dropped by a kernel"


def start_iperf3(s, nic):
    """TCP both ways in the background, and again when it ends by itself."""
    # At a rate that leaves room in all queues, or TCP would fill them: then the kernel drops, by nobody's fault.
    s.background(f"while :; do iperf3 -c 10.0.{nic}.1 --bidir -P 4 -b 2M -l 8K -t 3600 >/dev/null; sleep 0.5; done",
                 "iperf3")


def stop_iperf3(s):
    """End it."""
    s.guest.run("kill $(cat /tmp/iperf3.pid); kill $(pidof iperf3)")


class Counting:
    """iperf3 and numbered datagrams, from start() to result()."""

    def __init__(self, s, nic):
        self.s, self.nic = s, nic

    def start(self, seconds=900):
        """Begin; returns when datagrams flow."""
        s = self.s
        # A guest that gets no CPU for seconds leaves its frames in the tap, which drops what it has no room for; and
        # fq_codel drops what has waited for long.
        s.host.check(f"ip link set tap{self.nic} txqueuelen {TAP_FRAMES}")
        for machine, dev in ((s.guest, "eth"), (s.host, "tap")):
            machine.check(f"tc qdisc show dev {dev}{self.nic} | grep -q 'mq 1: root' || "
                          "{ echo pfifo_fast >/proc/sys/net/core/default_qdisc && "
                          f"tc qdisc replace dev {dev}{self.nic} root handle 1: mq; }}")
        start_iperf3(s, self.nic)
        self.before = self._drops()
        s.background(s.seq_command(seconds, FLOWS, RATE, self.nic), "seq")
        s.wait_until(lambda: s.guest.run("[ $(grep -c : /proc/net/udp) -ge 8 ]")[0] == 0, "datagrams to flow")
        return self

    def result(self):
        """End; {"out": Way, "in": Way}."""
        s = self.s
        s.guest.check("kill -TERM $(pidof seq)")
        status, text = s.wait_background(240, "seq")
        after = self._drops()
        stop_iperf3(s)
        ways = {m[1]: Way(*(int(n) for n in m.groups()[1:])) for m in re.finditer(
            r"(out|in) (\d+) sent, (-?\d+) lost, (\d+) repeated, (\d+) reordered, (\d+) altered, (\d+) without room",
            (text.strip().splitlines() or [""])[-1])}
        if status not in (0, 1) or set(ways) != {"out", "in"}:
            raise Failed(f"seq: status {status}: {text[-400:]}")
        for way, w in ways.items():
            w.drops = {place: n - self.before[way][place] for place, n in after[way].items()
                       if n > self.before[way][place]}
        self.text = text
        return ways

    def _drops(self):
        """Frames dropped by both kernels so far, by direction and place."""
        (g_tx, g_rx, g_qdisc, g_cpu), (h_tx, h_rx, h_qdisc, h_cpu) = (
            [int(n) for n in machine.check(DROPS.format(dev=f"{dev}{self.nic}")).split()]
            for machine, dev in ((self.s.guest, "eth"), (self.s.host, "tap")))
        device = sum(int(n) for n in re.findall(r"rx-drops=(\d+)", nic_shown(self.s, self.nic)))
        return {"out": {"the guest's NIC": g_tx, "the guest's qdisc": g_qdisc, "the tap": h_rx, "the host": h_cpu},
                "in": {"the host's qdisc": h_qdisc, "the tap": h_tx, "the guest's NIC": g_rx, "the guest": g_cpu,
                       DEVICE: device}}

    def expect_exact(self, rings_change=False):
        """Ends the count; each datagram has arrived once, in order, unaltered, or a kernel says that it dropped some.

        Towards the guest a flow may pass to another ring (`rings_change`): its vCPUs look at rings side by side, and so at
        some datagrams late.
        """
        ways = self.result()
        for way, w in ways.items():
            late_allowed = rings_change and way == "in"
            expect(w.sent >= LEAST, f"{way}: only {w.sent} datagrams were sent")
            expect(not (w.repeated or w.altered or (w.reordered and not late_allowed)) and w.lost <= w.no_room + w.dropped,
                   f"{way}: {w.drops_text()}; {self.text}")
        return ", ".join(f"{way} {w.sent} datagrams" + (f", {w.lost} lost ({w.drops_text()})" if w.lost else "")
                         + (f", {w.reordered} late" if w.reordered else "") for way, w in ways.items())


def monitor(s, line):
    """A line that must succeed."""
    text = s.monitor(line)
    expect("Error" not in text, f"{line}: {text}")


def move(s, nic, owners):
    """Give pairs other owners: {pair: owner}."""
    monitor(s, f"virtio_net_set_queue_mapping nic{nic} " + ",".join(f"{q}={o}" for q, o in owners.items()))


def nic_shown(s, nic):
    """What `info network` says of a NIC."""
    part = re.search(rf"^nic{nic}: .*?(?=^\w|\Z)", s.monitor("info network"), re.M | re.S)
    expect(part, f"info network does not show nic{nic}")
    return part[0]


def owners_shown(s, nic):
    """The owners of a NIC's pairs as `info network` has them."""
    return [f"iothread:{m[2]}" if m[2] else m[1]
            for m in re.finditer(r"pair \d+: owner=(\w+)(?:,iothread=([\w.-]+))?", nic_shown(s, nic))]


def expect_owners(s, nic, owners):
    """Wait until they are so: a pair goes to vhost-net only when no frame waits for the guest's buffers."""
    want = [owners[q] for q in sorted(owners)]
    s.wait_until(lambda: owners_shown(s, nic) == want, f"owners {want}")


def owner_moves(s, nic=0):
    """100 times pairs move among two iothreads and vhost-net, under traffic; no frame is lost, repeated or late."""
    pairs = range(s.config.nics[nic].queues)
    count = Counting(s, nic).start()
    made, seen = 0, []
    owner = dict.fromkeys(pairs, "vhost")
    while made < MOVES:
        if made < len(OWNERS) or made % CHECK_EVERY == 0 or made == MOVES - 1:
            # All at once: first a round that leads back to where they were, then spread out, in the end back again.
            spread = 0 if made < len(OWNERS) or made == MOVES - 1 else 1
            owner = {q: "vhost" if made == MOVES - 1 else OWNERS[(made + spread * q) % len(OWNERS)] for q in pairs}
            move(s, nic, owner)
        else:
            pair = made % len(pairs)
            owner[pair] = OWNERS[(OWNERS.index(owner[pair]) + 1) % len(OWNERS)]
            move(s, nic, {pair: owner[pair]})
        made += 1
        if made % CHECK_EVERY == 0 or made == len(OWNERS):
            expect_owners(s, nic, owner)
        if made % ALIKE == 1 and made > ALIKE:
            expect_owners(s, nic, owner)
            seen.append(Resources.of(s))
    expect_owners(s, nic, owner)
    text = count.expect_exact()
    return f"{made} moves: {text}; {Resources.expect_none_leaked(seen, ALIKE)}"


def queue_changes(s, nic=0, changes=QUEUE_CHANGES):
    """100 times the netdev gets another number of queues, under traffic; no frame is lost or repeated."""
    count = Counting(s, nic).start()
    seen = []
    for made in range(changes + 1):
        n = ORDER[made % len(ORDER)] if made < changes else s.config.nics[nic].queues
        monitor(s, f"netdev_set_queues n{nic} {n}")
        if made % CHECK_EVERY == 0:
            shown = int(s.host.check(f"ls -d /sys/class/net/tap{nic}/queues/tx-* | wc -l"))
            expect(shown == n, f"after netdev_set_queues n{nic} {n} the tap has {shown} queues")
        if n == s.config.nics[nic].queues and made >= len(ORDER) - 1:
            seen.append(Resources.of(s))
    text = count.expect_exact(True)
    return f"{changes} changes: {text}; {Resources.expect_none_leaked(seen, FULL_EVERY)}"


def queue_changes_steered(s):
    """The same where a program steers the tap, which does not learn."""
    return queue_changes(s, 1, 36)
