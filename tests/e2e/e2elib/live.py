# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases: what an operator sees of a running guest's network, and limits, beside real traffic."""

import json
import re
import time

from .moves import expect_owners, monitor
from .report import Skip, expect
from .session import IPERF3_PORT

RATE = 250_000          # bytes a second: a small part of what the lab moves without a limit
LIMIT_SECONDS = 8
AT_LEAST, AT_MOST = 0.5, 1.1    # of the limit: the guest's TCP fills what there is, after a start


def top(s, nic):
    """The NIC as qemu-mq-top shows it."""
    if not s.emulator.top:
        raise Skip("qemu-mq-top was not built")
    text = s.host.check(f"{s.emulator.top} --once --json {s.qmp_path}", 30)
    nics = {n["name"]: n for n in json.loads(text.strip().splitlines()[-1])["nics"]}
    expect(f"nic{nic}" in nics, f"qemu-mq-top shows {sorted(nics)}")
    return nics[f"nic{nic}"]


def seen_from_outside(s):
    """qemu-mq-top beside a live guest: the threads that the host has for the pairs, and packets that they move."""
    for nic in range(2):
        s.background(f"iperf3 -c 10.0.{nic}.1 -p {IPERF3_PORT + nic} --bidir -P 4 -t 600", f"load{nic}")
    try:
        time.sleep(1)
        shown = [top(s, nic)["pairs"] for nic in range(2)]
    finally:
        s.guest.check("kill $(pidof iperf3)")
    told = []
    for nic, (owner, thread) in enumerate((("vhost", r"vhost-\d+"), ("iothread", r"IO .*"))):
        names = {p["thread-id"]: s.host.check(f"cat /proc/{p['thread-id']}/comm").strip() for p in shown[nic]}
        expect([p["owner"] for p in shown[nic]] == [owner] * s.config.nics[nic].queues
               and all(re.fullmatch(thread, n) for n in names.values()), f"nic{nic}: {names}, {shown[nic]}")
        told.append(", ".join(f"{tid} {name}" for tid, name in names.items()))
    rates = [(p["rates"]["rx-packets"], p["rates"]["tx-packets"], p["rates"]["cpu-percent"]) for p in shown[1]]
    expect(sum(r[0] for r in rates) > 0 and sum(r[1] for r in rates) > 0 and max(r[2] for r in rates) > 0,
           f"rates of nic1: {rates}")
    return "; ".join(told)


def _cpus_of(s, tid):
    return s.host.check(f"sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/{tid}/status").strip()


def worker_affinity(s, nic=0):
    """virtio_net_set_vhost_affinity moves real vhost workers to a CPU, keeps new ones there, and lets them go."""
    cpus = int(s.host.check("nproc"))
    every = _cpus_of(s, s.host.emulator_pid())
    tids = [p["thread-id"] for p in top(s, nic)["pairs"]]
    text = s.monitor(f"virtio_net_set_vhost_affinity nic{nic} {cpus}")
    expect(f"CPU {cpus} does not exist" in text, f"a CPU that is not there: {text}")
    expect([_cpus_of(s, t) for t in tids] == [every] * len(tids), "workers moved by an error")
    monitor(s, f"virtio_net_set_vhost_affinity nic{nic} {cpus - 1}")
    expect([_cpus_of(s, t) for t in tids] == [str(cpus - 1)] * len(tids), "workers are not where they were sent")
    # A new worker, of a pair that comes back, goes there too.
    monitor(s, f"virtio_net_set_queue_mapping nic{nic} 1=iothread")
    monitor(s, f"virtio_net_set_queue_mapping nic{nic} 1=vhost")
    s.wait_until(lambda: top(s, nic)["pairs"][1]["owner"] == "vhost", "pair 1 on vhost-net")
    tids = [p["thread-id"] for p in top(s, nic)["pairs"]]
    expect([_cpus_of(s, t) for t in tids] == [str(cpus - 1)] * len(tids), "after a pair was away and came back")
    s.xfer("both", 2, len(tids), nic)
    monitor(s, f"virtio_net_set_vhost_affinity nic{nic} all")
    expect([_cpus_of(s, t) for t in tids] == [every] * len(tids), f"workers were not let go to {every}")
    return f"{len(tids)} workers on CPU {cpus - 1} of {cpus}"


def rate_limits(s, nic=0):
    """A limit holds for all pairs together, each way; pairs on vhost-net come to user space for it and go back."""
    vhost = s.config.nics[nic].vhost
    pairs = range(s.config.nics[nic].queues)
    told = []
    for way, reverse in (("rx", "-R"), ("tx", "")):
        monitor(s, f"virtio_net_set_rate_limit nic{nic} {way} bytes-per-second={RATE}")
        text = s.guest.check(f"iperf3 -c 10.0.{nic}.1 {reverse} -P 4 -t {LIMIT_SECONDS} -f k", LIMIT_SECONDS + 60)
        got = re.search(r"\[SUM\].*?([\d.]+) Kbits/sec\s+receiver", text)
        expect(got, f"iperf3 {reverse}: {text[-300:]}")
        share = float(got[1]) * 1000 / 8 / RATE
        told.append(f"{way} {share:.2f} of the limit")
        expect(AT_LEAST <= share <= AT_MOST, told[-1])
        monitor(s, f"virtio_net_set_rate_limit nic{nic} {way} off")
    if vhost:
        expect_owners(s, nic, dict.fromkeys(pairs, "vhost"))
    began = time.monotonic()
    s.xfer("both", 4, len(pairs), nic)
    took = time.monotonic() - began
    expect(took < 2 * 4 * (1 << 20) / RATE / 2, f"4 MiB each way took {took:.0f} s: a limit is still there")
    return ", ".join(told)


def tap_vanishes(s, nic=1):
    """The tap is deleted under a live guest and comes back: events tell both, once each."""
    queues = s.config.nics[nic].queues
    mark = s.events_mark()
    s.host.check(f"ip link del tap{nic}")
    s.wait_until(lambda: s.events("NETDEV_BACKEND_CHANGED", mark), "an event")
    s.wait_until(lambda: s.guest.run(f"cat /sys/class/net/eth{nic}/carrier")[1].strip() == "0", "the carrier to go")
    s.make_tap(nic)
    monitor(s, f"netdev_del n{nic}")
    monitor(s, f"netdev_add tap,id=n{nic},ifname=tap{nic},script=no,downscript=no,queues={queues},vhost=off")
    s.wait_until(lambda: len(s.events("NETDEV_BACKEND_CHANGED", mark)) == 2, "the event of its return")
    seen = [(e["netdev"], e["nic"], e["present"]) for e in s.events("NETDEV_BACKEND_CHANGED", mark)]
    expect(seen == [(f"n{nic}", f"nic{nic}", False), (f"n{nic}", f"nic{nic}", True)], f"events {seen}")
    s.wait_until(lambda: s.guest.run(f"cat /sys/class/net/eth{nic}/carrier")[1].strip() == "1", "the carrier")
    s.xfer("both", 2, queues, nic)
