# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks: functions that take a Session with a booted guest. SESSIONS says which run where.

A case leaves the guest usable for the next one, with all queue pairs active.
"""

import re
import time

from . import backends, counters, live, moves, vhostuser
from .report import Skip, expect
from .session import Config, Nic

ALL_PAIRS_TRIES = 6
REPLUG_CYCLES = 20
SETTLED = 4      # cycles after which memory is compared
PAYLOAD_STEP_MIB = 32       # a step that takes four minutes is a stall
PAYLOAD_SECONDS = 45        # per direction, beyond PAYLOAD_LEAST_MIB
PAYLOAD_LEAST_MIB = 64


# --- queue pairs and who carries them

def all_pairs_carry(s, nic=0, mib=4):
    """Every pair moves packets both ways: guest counters, guest interrupts, host counters."""
    queues = s.config.nics[nic].queues
    before = _snapshot(s, nic)
    missing = "no traffic"
    for _ in range(ALL_PAIRS_TRIES):
        s.xfer("both", mib, max(queues, s.config.vcpus) * (1 if queues <= s.config.vcpus else 4), nic)
        guest, host = _since(s, nic, before)
        missing = _idle_pairs(guest, host, range(queues), s.config.nics[nic])
        if not missing:
            return
    expect(False, f"after {ALL_PAIRS_TRIES} rounds of traffic: {missing}")


def all_pairs_carry_some(s, nic=0):
    """The same with less, where the other end is slow."""
    return all_pairs_carry(s, nic, 1)


def _snapshot(s, nic):
    queues = s.config.nics[nic].queues
    return (counters.guest_queues(s.guest, f"eth{nic}", queues),
            counters.host_queues(s.host, f"tap{nic}", queues))


def _since(s, nic, before):
    return [counters.difference(new, old) for new, old in zip(_snapshot(s, nic), before)]


def _idle_pairs(guest, host, pairs, nic):
    """Text that names the counters that did not move, or ''."""
    idle = []
    own_vectors = "vectors" not in nic.props
    for q in pairs:
        checks = [("guest rx", guest[q].rx), ("guest tx", guest[q].tx),
                  ("host to guest", host[q].to_guest), ("host from guest", host[q].from_guest)]
        if own_vectors:
            # Receive interrupts always come; the driver reclaims sent buffers without one.
            checks.append(("rx interrupts", guest[q].rx_irqs))
        idle += [f"pair {q}: {name} 0" for name, value in checks if value <= 0]
    return ", ".join(idle)


def own_vector_per_ring(s, nic=0):
    """Each ring has an MSI-X vector of its own."""
    text = s.guest.check("grep virtio /proc/interrupts")
    for q in range(s.config.nics[nic].queues):
        for name in (f"virtio{nic}-input.{q}", f"virtio{nic}-output.{q}"):
            expect(re.search(rf"MSI.*{re.escape(name)}\s*$", text, re.M), f"no MSI-X vector {name}")


def vhost_owns_all(s, nic=0):
    """Each pair is carried by a vhost worker of its own."""
    owners = s.pair_owners(nic)
    _expect_kinds(owners, ["vhost"] * len(owners))
    expect(len({o.tid for o in owners}) == len(owners), "two pairs share a vhost worker")
    return _owner_text(owners)


def iothreads_own_all(s, nic=0):
    """Each pair is carried by an iothread; none by the main thread or a vhost worker."""
    if not s.emulator.native:
        raise Skip("this emulator carries userspace pairs on its main thread")
    owners = s.pair_owners(nic)
    _expect_kinds(owners, ["thread"] * len(owners))
    cpus = int(s.host.check("nproc"))
    expect(len({o.tid for o in owners}) == min(len(owners), cpus),
           f"iothreads for {len(owners)} pairs on {cpus} CPUs: {_owner_text(owners)}")
    return _owner_text(owners)


def mixed_owners(s, nic=0):
    """queue-mapping is obeyed: vhost workers and the named iothreads, as told."""
    mapping = s.config.nics[nic].props["queue-mapping"]
    owners = s.pair_owners(nic)
    _expect_kinds(owners, ["vhost" if m["backend"] == "vhost" else "thread" for m in mapping])
    _expect_names(owners, [m.get("iothread") for m in mapping])
    return _owner_text(owners)


def iothread_vq_mapping(s, nic=1):
    """iothread-vq-mapping is obeyed: both rings of a pair on the iothread it names."""
    names = [None] * s.config.nics[nic].queues
    for entry in s.config.nics[nic].props["iothread-vq-mapping"]:
        for vq in entry["vqs"]:
            names[vq // 2] = entry["iothread"]
    owners = s.pair_owners(nic)
    _expect_kinds(owners, ["thread"] * len(owners))
    _expect_names(owners, names)
    return _owner_text(owners)


def _owner_text(owners):
    return " ".join(f"{q}:{o.name}" for q, o in enumerate(owners))


def _expect_kinds(owners, kinds):
    expect([o.kind for o in owners] == kinds, f"pairs are carried by {_owner_text(owners)}; expected {kinds}")


def _expect_names(owners, ids):
    """Pairs with the same iothread share a thread, whose name holds the id; others do not."""
    for q, (owner, ident) in enumerate(zip(owners, ids)):
        if ident is None:
            continue
        expect(ident in owner.name, f"pair {q} is carried by '{owner.name}', not by iothread {ident}")
        for r in range(q):
            if ids[r] is not None:
                expect((ids[r] == ident) == (owners[r].tid == owner.tid),
                       f"pairs {r} and {q}: wrong sharing of threads: {_owner_text(owners)}")


# --- traffic

def ping_no_loss(s, nic=0):
    """100 pings each way of each of two sizes, none lost."""
    for size in (56, 1400):
        text = s.guest.run(f"ping -q -i 0.01 -c 100 -s {size} 10.0.{nic}.1", 120)[1]
        expect(" 0% packet loss" in text, f"guest to host, {size} bytes: {text[-200:]}")
        text = s.host.run(f"ping -q -i 0.01 -c 100 -s {size} 10.0.{nic}.2", 120)[1]
        expect(" 0% packet loss" in text, f"host to guest, {size} bytes: {text[-200:]}")


def iperf3_both_ways(s, nic=0):
    """iperf3, TCP, 4 streams, 2 seconds in each direction."""
    rates = []
    for flag in ("", "-R"):
        status, text = s.guest.run(f"iperf3 -c 10.0.{nic}.1 -P 4 -t 2 {flag}", 120)
        m = re.search(r"\[SUM\].*?([\d.]+ [KMG]bits/sec).*receiver", text)
        expect(status == 0 and m, f"iperf3 {flag}: status {status}: {text[-300:]}")
        streams = re.findall(r"^\[ *\d+\].*?([\d.]+) [KMG]?bits/sec.*receiver", text, re.M)
        expect(len(streams) == 4 and all(float(x) > 0 for x in streams), f"iperf3 {flag}: streams: {streams}")
        rates.append(m[1])
    return " / ".join(rates)


def _move_payload(s, way, mib, nic):
    """Steps of the payload, until all is moved or the time is up; what was done, for the report."""
    start, left = time.monotonic(), mib
    while left > 0:
        if time.monotonic() - start > PAYLOAD_SECONDS and mib - left >= PAYLOAD_LEAST_MIB:
            break
        s.xfer(way, min(left, PAYLOAD_STEP_MIB), s.config.vcpus, nic, seconds=240)
        left -= PAYLOAD_STEP_MIB
    moved = mib - max(left, 0)
    short = f" of {mib} (slow lab)" if left > 0 else ""
    return f"{moved}{short} MiB in {time.monotonic() - start:.0f} s"


def payload_short(s, nic=0):
    """A quarter of the payload: who carries the pairs differs, the rings do not."""
    return payload_intact(s, nic, 4)


def payload_intact(s, nic=0, part=1):
    """A GiB in each direction over all pairs, every byte compared; less, and it says so, where the lab crawls."""
    before = _snapshot(s, nic)
    rates = [_move_payload(s, way, int(s.payload_mib) // part, nic) for way in ("send", "recv")]
    guest, host = _since(s, nic, before)
    missing = _idle_pairs(guest, host, range(s.config.nics[nic].queues), s.config.nics[nic])
    expect(not missing, missing)
    return ", ".join(rates)


def channels_under_traffic(s, nic=0):
    """ethtool -L through all numbers and back while data flows; data stays right."""
    queues = s.config.nics[nic].queues
    steps = [*range(1, queues + 1), *range(queues - 1, 0, -1), queues]
    s.background(s.xfer_command("both", s.background_mib, queues, nic))
    done = 0
    while done < len(steps) or s.background_runs():
        count = steps[done % len(steps)]
        s.set_channels(count, nic)
        attached = counters.attached_queues(s.host, f"tap{nic}")
        expect(attached == count, f"with {count} channels the tap has {attached} queues attached")
        done += 1
    _end_background(s)
    s.set_channels(queues, nic)
    s.spread(nic)
    return f"{done} changes"


def inactive_pairs_idle(s, nic=0):
    """With fewer channels, the active pairs carry everything and the others nothing."""
    queues = s.config.nics[nic].queues
    for active in sorted({1, queues // 2}):
        s.set_channels(active, nic)
        before = _snapshot(s, nic)
        s.xfer("both", 4, max(4, active), nic)
        guest, host = _since(s, nic, before)
        for q in range(active, queues):
            moved = (host[q].to_guest, host[q].from_guest, guest[q].rx_irqs, guest[q].tx_irqs)
            expect(not any(moved), f"{active} active: pair {q} carried packets: to guest, from guest, "
                                   f"rx irqs, tx irqs {moved}")
        carried = sum(h.from_guest for h in host[:active])
        expect(carried > 0, f"{active} active: no packets on the active pairs")
        attached = counters.attached_queues(s.host, f"tap{nic}")
        expect(attached == active, f"{active} active: the tap has {attached} queues attached")
    s.set_channels(queues, nic)
    s.spread(nic)


def offloads_under_traffic(s, nic=0):
    """ethtool -K toggles while data flows; GUEST_OFFLOADS reaches the tap."""
    s.background(s.xfer_command("both", s.background_mib, 4, nic))
    tap = f"ethtool -k tap{nic} | grep -E '^tcp-segmentation-offload|tx-tcp-segmentation:'"
    rounds = 0
    while rounds < 1 or (s.background_runs() and rounds < 3):
        for name in ("tx", "sg", "tso", "gso", "gro", "rx-gro-hw"):
            for state in ("off", "on"):
                status, text = s.guest.run(f"ethtool -K eth{nic} {name} {state}")
                expect(status == 0, f"ethtool -K eth{nic} {name} {state}: {text}")
                if name == "rx-gro-hw":
                    shown = s.host.check(tap)
                    expect(f"tcp-segmentation-offload: {state}" in shown,
                           f"guest's rx-gro-hw {state}, but the tap has: {shown}")
        s.guest.check(f"ethtool -K eth{nic} tx on sg on tso on gso on gro on")
        rounds += 1
    _end_background(s)


def interrupts_wait(s, nic=0):
    """ethtool -C: a receive interrupt waits for its time or its count, then no more; all data is right."""
    if not s.emulator.has("notf_coal"):
        raise Skip("this emulator has no interrupt moderation")

    def fastest():
        text = s.host.run(f"ping -q -i 0.3 -c 5 10.0.{nic}.2", 60)[1]
        m = re.search(r"0% packet loss.*= ([\d.]+)/", text, re.S)
        expect(m, f"ping with moderation: {text[-200:]}")
        return float(m[1])

    def moderate(usecs, frames):
        # Before Linux 6.6, tx-frames is 0 after boot, and to leave it so means to stop the transmit NAPI.
        s.guest.check(f"ethtool -C eth{nic} rx-usecs {usecs} rx-frames {frames} tx-frames 1")
        shown = s.guest.check(f"ethtool -c eth{nic}")
        for name, value in (("rx-usecs", usecs), ("rx-frames", frames)):
            expect(re.search(rf"^{name}:\s+{value}$", shown, re.M), f"ethtool -c after {name} {value}: {shown}")

    at_once = fastest()
    moderate(200000, 200)
    by_time = fastest()
    expect(by_time >= 200, f"round trip {by_time} ms with rx-usecs 200000")
    moderate(200000, 1)
    by_count = fastest()
    moderate(50, 32)
    s.xfer("both", 8, 4, nic)
    moderate(0, 0)
    off = fastest()
    expect(max(by_count, off) < 200, f"round trips {by_count} ms with rx-frames 1, {off} ms with moderation off")
    return f"round trip {at_once} ms, with rx-usecs 200000 {by_time} ms, with rx-frames 1 {by_count} ms, off {off} ms"


def _end_background(s):
    status, text = s.wait_background(240)
    expect(status == 0, f"traffic in the background: {text}")


def jumbo_mtu(s, nic=0):
    """host_mtu=9000 is the guest's MTU, and frames of that size pass unfragmented."""
    mtu = s.guest.check(f"cat /sys/class/net/eth{nic}/mtu").strip()
    expect(mtu == "9000", f"the guest's MTU is {mtu}")
    for machine, peer in ((s.guest, 1), (s.host, 2)):
        text = machine.run(f"ping -q -M do -i 0.02 -c 20 -s 8972 10.0.{nic}.{peer}", 60)[1]
        expect(" 0% packet loss" in text, f"{machine.agent.name if machine is s.host else machine.name}, 8972 bytes: {text[-200:]}")
    # Segmentation off: full-size frames travel through the rings, many buffers each.
    s.guest.check(f"ethtool -K eth{nic} tso off gso off")
    s.xfer("both", 8, 4, nic)
    s.guest.check(f"ethtool -K eth{nic} tso on gso on")


# --- ring formats and steering

def negotiated(bit, nic, wanted=True):
    """Case: the stock driver took feature `bit` of a NIC, or did not."""
    def case(s):
        path = s.guest.check(f"readlink -f /sys/class/net/eth{nic}/device").strip()
        bits = s.guest.check(f"cat {path}/features").strip()
        expect((bits[bit:bit + 1] == "1") == wanted, f"feature {bit} of eth{nic}: {bits}")
    case.__doc__ = f"The driver {'uses' if wanted else 'does not use'} feature {bit} on NIC {nic}."
    return case


def rss_table_rules(ebpf):
    """Case: frames to the guest arrive on the pairs of the table that ethtool -X writes, and on no other."""
    def case(s, nic):
        queues = s.config.nics[nic].queues
        shown = s.monitor("info network")
        how = re.search(rf"^nic{nic}:.*?steering=(\w+)", shown, re.M | re.S)
        expect(how and how[1] == ("ebpf" if ebpf else "user"), f"steering of nic{nic}: {shown[-600:]}")
        table = s.guest.check(f"ethtool -x eth{nic}")
        rings = {int(n) for line in re.findall(r"^ +\d+:((?: +\d+)+)", table, re.M) for n in line.split()}
        expect(rings == set(range(queues)), f"the first table names rings {rings}: {table}")
        for words, pairs in (("equal 2", {0, 1}), (f"start {queues - 1} equal 1", {queues - 1}),
                             (f"equal {queues}", set(range(queues)))):
            s.guest.check(f"ethtool -X eth{nic} {words}")
            before = counters.guest_queues(s.guest, f"eth{nic}", queues)
            s.xfer("both", 4, 4 * queues, nic)
            moved = counters.difference(counters.guest_queues(s.guest, f"eth{nic}", queues), before)
            # A frame or two may have been on their way when the table changed.
            used = {q for q in range(queues) if moved[q].rx > 8}
            expect(used == pairs, f"ethtool -X {words}: frames received by pair: {[m.rx for m in moved]}")
    return case


def packed_kicks_rest(s, nic=0):
    """A guest at rest on packed rings leaves the host at rest, and is served at once when it wakes."""
    for _ in range(3):
        time.sleep(1)
        text = s.guest.run(f"ping -q -i 0.01 -c 50 10.0.{nic}.1", 60)[1]
        expect(" 0% packet loss" in text, f"after a rest: {text[-200:]}")


# --- life of the guest

def driver_reload(s, nic=0):
    """modprobe -r virtio_net and back: same queues, traffic on all of them."""
    s.guest.run("modprobe -r virtio_net")
    s.guest.check("! [ -e /sys/class/net/eth0 ] && ! grep -q '^virtio_net ' /proc/modules")
    attached = counters.attached_queues(s.host, f"tap{nic}")
    expect(attached <= 1, f"with the driver gone the tap has {attached} queues attached")
    s.guest.check("modprobe virtio_net && [ -e /sys/class/net/eth0 ]")
    _same_queues(s, nic)


def reboot(s, nic=0):
    """The guest restarts in the same emulator process and has the same queues again."""
    pid = s.host.emulator_pid()
    s.guest.send("reboot -f")
    s.wait_userland()
    expect(s.host.emulator_pid() == pid and s.host.emulator_status() is None, "the emulator did not stay")
    _same_queues(s, nic)


def _same_queues(s, nic):
    s.setup_network()
    queues = s.config.nics[nic].queues
    expect(s.channels(nic) == (queues, queues), f"channels after the return: {s.channels(nic)}")
    s.guest.run(f"ping -c 1 -W 5 10.0.{nic}.1")
    all_pairs_carry(s, nic)


def unplug_replug(s, nic=0, cycles=REPLUG_CYCLES):
    """20 times the guest lets go of its NIC, under traffic, and finds it in another slot; nothing is left behind."""
    moves.start_iperf3(s, nic)
    seen = []
    for i in range(cycles):
        slot, index = 8 * (nic + 1) + i % 8, 10 * (nic + 1) + i % 3
        s.unplug(nic)
        s.plug(nic, **{"addr": f"{slot:x}", "acpi-index": index})
        place = s.guest.check(f"basename $(readlink -f /sys/class/net/eth{nic}/device/..)").strip()
        expect(place == f"0000:00:{slot:02x}.0", f"plugged into slot {slot}, found at {place}")
        shown = s.guest.check(f"cat /sys/class/net/eth{nic}/device/../acpi_index").strip()
        expect(shown == str(index), f"acpi-index {index} is seen as {shown}")
        s.setup_nic(nic)
        text = s.guest.run(f"ping -q -c 5 -i 0.05 10.0.{nic}.1", 60)[1]
        expect(" 0% packet loss" in text, f"after {i + 1} times: {text[-200:]}")
        seen.append(moves.Resources.of(s))
    moves.stop_iperf3(s)
    step = max(1, (cycles - SETTLED) // 3)
    moves.Resources.expect_none_leaked(seen[SETTLED::step], step)
    bad = s.guest.run("dmesg | grep -iE 'ACPI (BIOS )?Error|can.t (claim|assign)|no space for|irq .*nobody'")[1]
    expect(not bad and not s.guest.panicked, f"kernel log: {bad[:300]}")
    all_pairs_carry(s, nic)


def replug_few(s):
    """The same with a NIC on iothreads, a few times."""
    return unplug_replug(s, 1, SETTLED + 3)


def netdev_changes(s, nic=0):
    """A netdev goes and comes, with as many queues and with fewer; cables are pulled; a tap vanishes."""
    pid, queues = s.host.emulator_pid(), s.config.nics[nic].queues
    fds = []
    for n in (queues, queues // 2, queues) * 3:
        moves.monitor(s, f"netdev_del n{nic}")
        _expect_carrier(s, nic, 0)
        _netdev_add(s, nic, n)
        _expect_carrier(s, nic, 1)
        s.xfer("both", 2, queues, nic)
        fds += [s.host.check(f"ls /proc/{pid}/fd | wc -l; ls /proc/{pid}/task | wc -l").split()] if n == queues else []
    expect(fds[1] == fds[-1], f"descriptors and threads of the emulator: {fds[1]}, later {fds[-1]}")
    for _ in range(5):
        moves.monitor(s, f"set_link nic{nic} off")
        _expect_carrier(s, nic, 0)
        moves.monitor(s, f"set_link nic{nic} on")
        _expect_carrier(s, nic, 1)
        s.xfer("both", 1, queues, nic)
    # Frames that wait in all rings when the tap vanishes do not fill them for ever.
    s.background(f"iperf3 -c 10.0.{nic}.1 -u -b 0 -l 400 -P {queues} -t 600")
    time.sleep(3)
    s.host.check(f"ip link del tap{nic}")
    _expect_carrier(s, nic, 0)
    s.guest.check("kill $(pidof iperf3)")
    s.wait_background()
    s.make_tap(nic)
    moves.monitor(s, f"netdev_del n{nic}")
    _netdev_add(s, nic, queues)
    _expect_carrier(s, nic, 1)
    moves.monitor(s, f"announce_self nic{nic}")
    all_pairs_carry(s, nic)


def _netdev_add(s, nic, queues):
    vhost = "on" if s.config.nics[nic].vhost else "off"
    moves.monitor(s, f"netdev_add tap,id=n{nic},ifname=tap{nic},script=no,downscript=no,queues={queues},vhost={vhost}")


def _expect_carrier(s, nic, value):
    s.wait_until(lambda: s.guest.run(f"cat /sys/class/net/eth{nic}/carrier")[1].strip() == str(value),
                 f"carrier {value} of eth{nic}")


def power_off(s):
    """ACPI power-off ends the emulator with status 0."""
    s.guest.send("poweroff -f")
    status = s.guest.wait_exit(60)
    s.booted = False
    expect(status == 0, f"exit status {status}")


def no_reboot_exits(s):
    """With -no-reboot a guest's restart ends the emulator with status 0."""
    s.guest.send("reboot -f")
    status = s.guest.wait_exit(60)
    s.booted = False
    expect(status == 0, f"exit status {status}")


def panic_devices(s):
    """Linux's drivers find pvpanic by its ACPI id and pvpanic-pci, and see which events they take."""
    s.guest.check("modprobe pvpanic_mmio && modprobe pvpanic_pci")
    for place in ("platform/drivers/pvpanic-mmio/QEMU0001:00", "pci/drivers/pvpanic-pci/0000:*"):
        events = s.guest.check(f"cat /sys/bus/{place}/capability").strip()
        expect(int(events, 16) == 3, f"{place} takes events {events}")


def panic_exits(s):
    """A guest kernel's panic ends the emulator with status 1, as -action panic=exit-failure says."""
    s.guest.send("echo c >/proc/sysrq-trigger")
    status = s.guest.wait_exit(60)
    s.booted = False
    expect(status == 1, f"exit status {status}")


def boots(s):
    """The kernel came up to userland with all vCPUs and no complaint about its devices."""
    expect(int(s.guest.check("nproc")) == s.config.vcpus, "vCPUs are missing")
    release = s.guest.check("uname -r").strip()
    bad = s.guest.run("dmesg | grep -iE 'virtio.*(fail|error)|ACPI (BIOS )?Error|can.t (claim|assign) BAR|irq .*nobody'")[1]
    expect(not bad, f"kernel log: {bad[:300]}")
    expect(not s.guest.panicked, "kernel log: an oops")
    return release


def topology(s):
    """Sockets, cores and threads as Linux reads them are those of -smp."""
    want = dict(re.findall(r"(sockets|cores|threads)=(\d+)", s.config.smp))
    text = s.guest.check("cd /sys/devices/system/cpu && for c in cpu[0-9]*; do echo $(cat "
                         "$c/topology/physical_package_id $c/topology/core_id "
                         "$c/topology/thread_siblings_list); done")
    rows = [line.split() for line in text.splitlines()]
    sockets = {r[0] for r in rows}
    cores = {(r[0], r[1]) for r in rows}
    siblings = {r[2] for r in rows}
    seen = {"sockets": len(sockets), "cores": len(cores) // len(sockets), "threads": len(rows) // len(cores)}
    if not s.emulator.native and want.get("threads") != "1" and seen["threads"] == 1:
        raise Skip("this emulator shows no threads to a guest on an AMD CPU without TOPOEXT")
    expect({k: int(v) for k, v in want.items()} == seen, f"-smp {s.config.smp} is seen as {seen}")
    expect(len(siblings) == len(cores), f"thread siblings {sorted(siblings)}")


# --- transports

def transport(nic, modern):
    """Case: the NIC is driven by the modern or the legacy interface, and works."""
    def case(s):
        features = s.guest.check(f"cat /sys/class/net/eth{nic}/device/features").strip()
        version_1 = features[32] == "1"
        expect(version_1 == modern, f"VIRTIO_F_VERSION_1 is {'on' if version_1 else 'off'}")
        all_pairs_carry(s, nic)
    case.__doc__ = f"NIC {nic} is driven by the {'modern' if modern else 'legacy'} interface, and works."
    return case


def bars_move(s, nic=0):
    """A guest that places the BARs elsewhere (1 MiB aligned) still finds the device there."""
    text = s.guest.check(f"cat /sys/class/net/eth{nic}/device/../resource")
    bars = [int(line.split()[0], 16) for line in text.splitlines()[:6]
            if int(line.split()[0], 16) and int(line.split()[2], 16) & 0x200]
    expect(bars and all(b % (1 << 20) == 0 for b in bars),
           f"memory BARs {[hex(b) for b in bars]}: the guest did not move them")
    all_pairs_carry(s, nic)


def few_vectors(vectors, nic):
    """Case: fewer MSI-X vectors than rings; the driver shares or falls back to INTx."""
    def case(s):
        text = s.guest.run(f"grep virtio{nic} /proc/interrupts")[1]
        # Too few for one per ring: Linux takes one for the configuration and one for all rings.
        msi = len(re.findall("MSI", text))
        expect(msi == (2 if vectors else 0), f"vectors={vectors}: {text}")
        all_pairs_carry(s, nic)
    case.__doc__ = f"vectors={vectors} for a multiqueue NIC: works with shared interrupts."
    return case


def two_nics_at_once(s):
    """Traffic on all NICs at the same time, all right."""
    s.background(s.xfer_command("both", s.background_mib / 4, 4, 0))
    for nic in range(1, len(s.config.nics)):
        s.xfer("both", 16, 4, nic)
    _end_background(s)


def concurrent_stress(s, nic=0):
    """Two CPUs: payload both ways at once while channels and offloads change."""
    s.background(s.xfer_command("both", s.payload_mib / 4, 8, nic))
    start = time.monotonic()
    changes = 0
    while s.background_runs() and time.monotonic() - start < 120:
        s.set_channels(changes % s.config.nics[nic].queues + 1, nic)
        s.guest.check(f"ethtool -K eth{nic} tso {'off' if changes % 2 else 'on'}")
        changes += 1
    _end_background(s)
    s.guest.check(f"ethtool -K eth{nic} tso on")
    s.set_channels(s.config.nics[nic].queues, nic)
    s.spread(nic)
    return f"{changes} changes"


def on_nic(check, nic):
    """Case: `check` on another NIC than the first."""
    def case(s):
        return check(s, nic)
    case.__doc__ = check.__doc__
    return case


# --- which checks share which guest

PAYLOAD = ("payload", payload_intact)
LIFE = [("ping", ping_no_loss), ("all-pairs", all_pairs_carry), ("inactive-pairs", inactive_pairs_idle),
        ("iperf3", iperf3_both_ways), ("ethtool-L-under-traffic", channels_under_traffic),
        ("ethtool-K-under-traffic", offloads_under_traffic), ("driver-reload", driver_reload)]

MIXED = [{"pair": 0, "backend": "vhost"}, {"pair": 1, "backend": "iothread", "iothread": "io0"},
         {"pair": 2, "backend": "vhost"}, {"pair": 3, "backend": "iothread", "iothread": "io1"}]
VQ_MAPPING = [{"iothread": "io0", "vqs": [0, 1]}, {"iothread": "io1", "vqs": [2, 3, 4, 5]},
              {"iothread": "io2", "vqs": [6, 7]}]

# name -> (configuration, properties the emulator must have, cases), longest first
SESSIONS = {
    "vhost": (
        Config([Nic(4)], smp="4,sockets=1,cores=2,threads=2", append="reboot=a"), (),
        [("boot-bzimage", boots), ("topology-1x2x2", topology), ("vector-per-ring", own_vector_per_ring),
         ("owners", vhost_owns_all), *LIFE, PAYLOAD,
         ("reboot-acpi", reboot), ("power-off", power_off)]),
    "iothread": (
        Config([Nic(4, vhost=False)], smp="4,sockets=2,cores=2,threads=1", kernel="vmlinux",
               append="reboot=k"), (),
        [("boot-pvh", boots), ("topology-2x2x1", topology), ("vector-per-ring", own_vector_per_ring),
         ("owners", iothreads_own_all), ("ethtool-C", interrupts_wait), *LIFE, PAYLOAD,
         ("reboot-keyboard", reboot), ("power-off", power_off)]),
    "hotplug": (
        Config([Nic(4), Nic(4, vhost=False)], smp="2"), (),
        [("replug-vhost", unplug_replug), ("replug-iothread", replug_few),
         ("two-nics", two_nics_at_once), ("reboot", reboot)]),
    "moves": (
        Config([Nic(4), Nic(4, vhost=False, props={"rss": "on", "rss-steering": "ebpf"})],
               objects=["iothread,id=io0", "iothread,id=io1"]), ("queue-mapping",),
        [("limits-vhost", live.rate_limits), ("limits-iothread", on_nic(live.rate_limits, 1)),
         ("tap-vanishes", live.tap_vanishes), ("owners", moves.owner_moves), ("queues", moves.queue_changes),
         ("queues-steered", moves.queue_changes_steered), ("all-pairs", all_pairs_carry)]),
    "mixed": (
        Config([Nic(4, props={"queue-mapping": MIXED}),
                Nic(4, vhost=False, props={"iothread-vq-mapping": VQ_MAPPING})],
               objects=["iothread,id=io0", "iothread,id=io1", "iothread,id=io2"], kernel="vmlinux"),
        ("queue-mapping", "iothread-vq-mapping"),
        [("owners", mixed_owners), ("iothread-vq-mapping", iothread_vq_mapping),
         ("ping", ping_no_loss), ("all-pairs", all_pairs_carry), ("two-nics", two_nics_at_once),
         ("ethtool-L-under-traffic", channels_under_traffic), ("payload", payload_short),
         ("driver-reload", driver_reload), ("reboot", reboot)]),
    "rings": (
        Config([Nic(4, vhost=False, props={"packed": "on"}),
                Nic(4, vhost=False, props={"rss": "on", "hash": "on", "rss-steering": "ebpf"}),
                Nic(4, vhost=False, props={"rss": "on", "rss-steering": "user", "packed": "on"}),
                Nic(2, props={"packed": "on"})]), ("packed", "rss-steering"),
        [("packed", negotiated(34, 0)), ("packed-rest", packed_kicks_rest), ("packed-all-pairs", all_pairs_carry),
         ("packed-ethtool-L", channels_under_traffic), ("packed-driver-reload", driver_reload),
         ("hash-report", negotiated(57, 1)), ("rss-ebpf", on_nic(rss_table_rules(True), 1)),
         ("rss-pairs", on_nic(rss_table_rules(False), 2)), ("rss-packed", negotiated(34, 2)),
         ("vhost-has-split-rings", negotiated(34, 3, False))]),
    "netdev-hot": (
        Config([Nic(4), Nic(4, vhost=False)], smp="2"), (),
        [("netdev-vhost", netdev_changes), ("owners", vhost_owns_all), ("netdev-iothread", on_nic(netdev_changes, 1)),
         ("two-nics", two_nics_at_once), ("reboot", reboot)]),
    "transports": (
        Config([Nic(4, props={"disable-legacy": "on", "host_mtu": 9000}, tap_mtu=9000),
                Nic(4, vhost=False, props={"disable-modern": "on"}), Nic(2)],
               append="pci=resource_alignment=20@pci:1af4:1041"), (),
        [("modern", transport(0, True)), ("legacy", transport(1, False)), ("transitional", transport(2, True)),
         ("bars-move", bars_move), ("mtu-9000", jumbo_mtu), ("three-nics-at-once", two_nics_at_once),
         ("power-off", power_off)]),
    "many": (
        Config([Nic(8), Nic(2, props={"vectors": 3}), Nic(2, vhost=False, props={"vectors": 0}),
                Nic(8, vhost=False)], smp="2", kernel="vmlinux", no_reboot=True), (),
        [("8-pairs-2-vcpus-vhost", all_pairs_carry),
         ("8-pairs-2-vcpus-iothread", on_nic(all_pairs_carry, 3)),
         ("8-pairs-inactive", inactive_pairs_idle), ("vectors-3", few_vectors(3, 1)),
         ("vectors-0", few_vectors(0, 2)), ("no-reboot", no_reboot_exits)]),
    "vhost-user": (
        vhostuser.config(), (),
        [("dpdk-server", all_pairs_carry_some), ("dpdk-client", on_nic(all_pairs_carry_some, 1)),
         ("packed", negotiated(34, 1)), ("restart", vhostuser.restart), ("reload-alone", vhostuser.reload_alone)]),
    "user-mode": (
        Config([Nic(1, netdev="user,id={id},tftp={tools},hostfwd=tcp:127.0.0.1:5600-:5000"),
                Nic(1, netdev="stream,id={id},server=off,addr.type=unix,addr.path=" + backends.PASST_SOCKET),
                Nic(1, netdev="hubport,id={id},hubid=0")],
               smp="2", args=backends.HUB, before=backends.ENDS + backends.STARTS, after=backends.ENDS),
        ("queue-mapping",),
        [("user-dhcp", backends.user_dhcp), ("user-tcp", backends.user_tcp), ("user-names", backends.user_names),
         ("user-tftp", backends.user_tftp), ("user-hostfwd", backends.user_hostfwd),
         ("passt-dhcp", backends.passt_dhcp), ("passt-tcp", backends.passt_tcp),
         ("passt-names", backends.passt_names), ("passt-inbound", backends.passt_inbound),
         ("hub", backends.hub)]),
    "panic": (
        Config([Nic(2)], smp="2",
               args=["-device", "pvpanic", "-device", "pvpanic-pci", "-action", "panic=exit-failure"]), (),
        [("drivers", panic_devices), ("exit-failure", panic_exits)]),
    "two-cpus": (
        Config([Nic(4), Nic(4, vhost=False)], cpus=2), (),
        [("mq-top", live.seen_from_outside), ("worker-affinity", live.worker_affinity),
         ("stress-vhost", concurrent_stress), ("stress-iothread", on_nic(concurrent_stress, 1)),
         ("two-nics", two_nics_at_once)]),
}
