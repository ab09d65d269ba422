# SPDX-License-Identifier: GPL-2.0-or-later
"""Run state over QMP: commands, events and their order, actions, panics."""

import signal
import time

from qmplib import Qmp, QmpError
from qtestlib import COMMAND_MEMORY, PciDevice, case, check, eq, wait_for

POWER_OFF = "outw 0x604 0x2000\n"
RESETS = {"0xcf9": "outb 0xcf9 6\n", "i8042": "outb 0x64 0xfe\n", "port-0x92": "outb 0x92 1\n"}
PANIC = "outb 0x505 1\n"


def machine(t, *args):
    """A machine, not started, and a connection to it."""
    vm = t.vm("-S", *args, qmp=True)
    return vm, Qmp(vm.qmp_path)


def running(t, *args):
    """A machine that runs, its first RESUME taken."""
    vm, qmp = machine(t, *args)
    qmp.cmd("cont")
    qmp.event("RESUME")
    return vm, qmp


def status(qmp):
    s = qmp.cmd("query-status")
    eq(sorted(s), ["running", "singlestep", "status"], "members of query-status")
    eq(s["running"], s["status"] == "running", "running")
    return s["status"]


def shown(event):
    """An event as text: its name, what its data says."""
    data = event.get("data", {})
    return " ".join([event["event"], *(f"{k}={v}" for k, v in sorted(data.items()))])


def to_the_end(vm, qmp):
    """Events from now on, up to the end of the connection; the exit status."""
    while (message := qmp.message()) is not None:
        qmp.events.append(message)
    return [shown(e) for e in qmp.events], vm.wait_end()


def expect_events(qmp, *want):
    """These events and no other, in this order; a command after them shows that there are no more."""
    wait_for(lambda: qmp.cmd("query-name") is not None and len(qmp.events) >= len(want), f"events {want}")
    qmp.cmd("query-name")
    eq([shown(e) for e in qmp.events], list(want), "events")
    qmp.events.clear()


def expect_error(text, func, *args, **kw):
    try:
        func(*args, **kw)
    except QmpError as e:
        eq(e.cls, "GenericError", "class of the error")
        check(text in e.desc, f"error '{e.desc}' does not say '{text}'")
        return
    check(False, f"no error '{text}'")


@case("run-state/stop-and-cont")
def stop_cont(t):
    _, qmp = machine(t)
    eq(status(qmp), "prelaunch", "state with -S")
    eq(qmp.cmd("stop"), {}, "stop before the start")
    eq(status(qmp), "prelaunch", "state after that")
    eq(qmp.cmd("cont"), {}, "cont")
    eq(status(qmp), "running", "state after cont")
    qmp.cmd("cont")
    expect_events(qmp, "RESUME")
    eq(qmp.cmd("stop"), {}, "stop")
    eq(status(qmp), "paused", "state after stop")
    qmp.cmd("stop")
    expect_events(qmp, "STOP")
    for _ in range(20):
        qmp.cmd("cont")
        qmp.cmd("stop")
    expect_events(qmp, *["RESUME", "STOP"] * 20)


@case("run-state/starts-by-itself")
def starts(t):
    vm = t.vm(qmp=True)
    eq(status(Qmp(vm.qmp_path)), "running", "state without -S")


@case("run-state/event-time-and-members")
def members(t):
    _, qmp = running(t)
    qmp.cmd("stop")
    event = qmp.event("STOP")
    eq(sorted(event), ["event", "timestamp"], "members of an event without data")
    qmp.cmd("system_reset")
    event = qmp.event("RESET")
    eq(event["data"], {"guest": False, "reason": "host-qmp-system-reset"}, "data of RESET")


@case("run-state/reset/by-command")
def reset(t):
    _, qmp = running(t)
    eq(qmp.cmd("system_reset"), {}, "system_reset")
    expect_events(qmp, "RESET guest=False reason=host-qmp-system-reset")
    eq(status(qmp), "running", "state after a reset")
    qmp.cmd("stop")
    qmp.cmd("system_reset")
    expect_events(qmp, "STOP", "RESET guest=False reason=host-qmp-system-reset")
    eq(status(qmp), "prelaunch", "state after a reset while stopped")


def reset_case(name, command):
    @case(f"run-state/reset/by-guest-{name}")
    def run(t):
        vm, qmp = running(t)
        for _ in range(3):
            vm.qtest.command(command.strip())
            expect_events(qmp, "RESET guest=True reason=guest-reset")
        eq(status(qmp), "running", "state")

    @case(f"run-state/no-reboot/by-guest-{name}")
    def end(t):
        vm, qmp = running(t, "-no-reboot")
        vm.qtest.send(command)
        eq(to_the_end(vm, qmp), (["SHUTDOWN guest=True reason=guest-reset"], 0), "events and exit status")


for reset_name, reset_command in RESETS.items():
    reset_case(reset_name, reset_command)


@case("run-state/no-reboot/by-command")
def no_reboot(t):
    vm, qmp = running(t, "-no-reboot")
    qmp.cmd("system_reset")
    eq(to_the_end(vm, qmp), (["SHUTDOWN guest=False reason=host-qmp-system-reset"], 0), "events and exit status")


@case("run-state/no-reboot/with-no-shutdown")
def no_reboot_no_shutdown(t):
    vm, qmp = running(t, "-no-reboot", "-no-shutdown")
    vm.qtest.command("outb 0xcf9 6")
    expect_events(qmp, "SHUTDOWN guest=True reason=guest-reset", "STOP")
    eq(status(qmp), "shutdown", "state")


@case("run-state/shutdown/by-guest")
def shutdown(t):
    vm, qmp = running(t)
    vm.qtest.send(POWER_OFF)
    eq(to_the_end(vm, qmp), (["SHUTDOWN guest=True reason=guest-shutdown"], 0), "events and exit status")


@case("run-state/shutdown/isa-debug-exit")
def debug_exit(t):
    for options in ((), ("-no-shutdown",)):
        vm, qmp = running(t, "-device", "isa-debug-exit,iobase=0xf4", *options)
        vm.qtest.send("outb 0xf4 3\n")
        eq(to_the_end(vm, qmp), (["SHUTDOWN guest=True reason=guest-shutdown"], 7), "events and exit status")


@case("run-state/shutdown/by-signal")
def by_signal(t):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        vm, qmp = running(t, "-no-shutdown")
        vm.process.send_signal(number)
        eq(to_the_end(vm, qmp), (["SHUTDOWN guest=False reason=host-signal"], 0), "events and exit status")


@case("run-state/shutdown/by-quit")
def by_quit(t):
    vm, qmp = running(t, "-no-shutdown")
    eq(qmp.cmd("quit"), {}, "quit")
    eq(to_the_end(vm, qmp), (["SHUTDOWN guest=False reason=host-qmp-quit"], 0), "events and exit status")


@case("run-state/shutdown/by-quit-before-the-machine")
def preconfig_quit(t):
    """The end wins, whatever comes behind it."""
    vm = t.vm("-preconfig", qmp=True)
    qmp = Qmp(vm.qmp_path)
    qmp.send_bytes(b'{"execute": "quit"}{"execute": "x-exit-preconfig"}')
    eq(vm.wait_end(), 0, "exit status")


@case("run-state/no-shutdown/reset-leads-out")
def no_shutdown(t):
    vm, qmp = running(t, "-no-shutdown")
    vm.qtest.command(POWER_OFF.strip())
    expect_events(qmp, "SHUTDOWN guest=True reason=guest-shutdown", "STOP")
    eq(status(qmp), "shutdown", "state")
    expect_error("Resetting the Virtual Machine is required", qmp.cmd, "cont")
    qmp.cmd("stop")
    eq(status(qmp), "shutdown", "state after stop")
    qmp.cmd("system_reset")
    expect_events(qmp, "RESET guest=False reason=host-qmp-system-reset")
    eq(status(qmp), "prelaunch", "state after the reset")
    qmp.cmd("cont")
    eq(status(qmp), "running", "state after cont")
    expect_events(qmp, "RESUME")


@case("run-state/powerdown")
def powerdown(t):
    vm, qmp = running(t)
    vm.intercept_irqs()
    vm.port_out(0xb2, 1, 0xf1)
    vm.port_out(0x602, 2, 0x100)
    eq(qmp.cmd("system_powerdown"), {}, "system_powerdown")
    expect_events(qmp, "POWERDOWN")
    wait_for(lambda: vm.irq_level(9), "the ACPI interrupt")
    eq(vm.port_in(0x600, 2) & 0x100, 0x100, "status of the power button")
    eq(status(qmp), "running", "state")


@case("run-state/pm-timer/at-the-end-of-the-clock")
def pm_timer_end(t):
    """A change of the timer that the clock never comes to keeps nobody busy."""
    vm, _ = running(t)
    vm.port_out(0x602, 2, 1)
    eq(vm.qtest.command(f"clock_set {2 ** 63 - 1}"), 2 ** 63 - 1, "clock")
    vm.port_out(0x600, 2, 1)
    eq(vm.port_in(0x600, 2) & 1, 0, "status of the timer, cleared")
    before = vm.cpu_seconds()
    time.sleep(0.5)
    check(vm.cpu_seconds() - before < 0.2, "the emulator is busy although nothing happens")


@case("run-state/rtc/at-the-end-of-the-clock")
def rtc_end(t):
    """Nor do interrupts of the RTC that it never comes to."""
    vm, _ = running(t, "-rtc", "clock=vm")
    for register, value in ((0x0a, 0x26), (0x0b, 0x72)):  # periodic, alarm and update interrupts
        vm.port_out(0x70, 1, register)
        vm.port_out(0x71, 1, value)
    eq(vm.qtest.command(f"clock_set {2 ** 63 - 1}"), 2 ** 63 - 1, "clock")
    for _ in range(3):
        vm.port_out(0x70, 1, 0x0c)
        vm.port_in(0x71, 1)
    before = vm.cpu_seconds()
    time.sleep(0.5)
    check(vm.cpu_seconds() - before < 0.2, "the emulator is busy although nothing happens")


# ---- actions ----

@case("run-state/set-action/reboot")
def action_reboot(t):
    vm, qmp = running(t, "-no-reboot")
    eq(qmp.cmd("set-action", reboot="reset"), {}, "set-action")
    vm.qtest.command("outb 0xcf9 6")
    expect_events(qmp, "RESET guest=True reason=guest-reset")
    qmp.cmd("set-action", reboot="shutdown")
    vm.qtest.send("outb 0xcf9 6\n")
    eq(to_the_end(vm, qmp), (["SHUTDOWN guest=True reason=guest-reset"], 0), "events and exit status")


@case("run-state/set-action/shutdown")
def action_shutdown(t):
    vm, qmp = running(t)
    qmp.cmd("set-action", shutdown="pause")
    vm.qtest.command(POWER_OFF.strip())
    expect_events(qmp, "SHUTDOWN guest=True reason=guest-shutdown", "STOP")
    qmp.cmd("system_reset")
    qmp.cmd("set-action")  # nothing changes
    qmp.cmd("cont")
    vm.qtest.command(POWER_OFF.strip())
    expect_events(qmp, "RESET guest=False reason=host-qmp-system-reset", "RESUME",
                  "SHUTDOWN guest=True reason=guest-shutdown", "STOP")
    qmp.cmd("set-action", shutdown="poweroff")
    vm.qtest.send(POWER_OFF)
    eq(to_the_end(vm, qmp), (["SHUTDOWN guest=True reason=guest-shutdown"], 0), "events and exit status")


@case("run-state/set-action/bad-arguments")
def action_bad(t):
    _, qmp = machine(t)
    expect_error("reboot", qmp.cmd, "set-action", reboot="pause")
    expect_error("panic", qmp.cmd, "set-action", shutdown="pause", panic="poweroff")
    expect_error("watchdog", qmp.cmd, "set-action", watchdog="none")
    expect_error("shutdown", qmp.cmd, "set-action", shutdown=1)


def panic_end(vm, qmp, exit_status):
    vm.qtest.send(PANIC)
    want = ["GUEST_PANICKED action=poweroff", "STOP", "SHUTDOWN guest=True reason=guest-panic"]
    eq(to_the_end(vm, qmp), (want, exit_status), "events and exit status")


def panic_pause(vm, qmp):
    vm.qtest.command(PANIC.strip())
    expect_events(qmp, "GUEST_PANICKED action=pause", "STOP")
    eq(status(qmp), "guest-panicked", "state")
    qmp.cmd("cont")
    expect_events(qmp, "RESUME")
    eq(status(qmp), "running", "state after cont")


@case("run-state/panic/shutdown-is-the-default")
def panic_default(t):
    panic_end(*running(t, "-device", "pvpanic"), 0)


@case("run-state/panic/set-action")
def panic_set(t):
    vm, qmp = running(t, "-device", "pvpanic")
    qmp.cmd("set-action", panic="pause")
    panic_pause(vm, qmp)
    qmp.cmd("set-action", panic="none")
    vm.qtest.command(PANIC.strip())
    expect_events(qmp, "GUEST_PANICKED action=run")
    eq(status(qmp), "running", "state")
    qmp.cmd("set-action", panic="shutdown", shutdown="pause")
    panic_pause(vm, qmp)
    qmp.cmd("set-action", panic="exit-failure")
    panic_end(vm, qmp, 1)


@case("run-state/panic/options")
def panic_options(t):
    panic_end(*running(t, "-device", "pvpanic", "-action", "panic=exit-failure"), 1)
    panic_end(*running(t, "-device", "pvpanic", "-action", "panic=shutdown,shutdown=poweroff"), 0)
    panic_pause(*running(t, "-device", "pvpanic", "-action", "panic=pause"))
    panic_pause(*running(t, "-device", "pvpanic", "-no-shutdown"))


@case("run-state/panic/crash-loaded")
def crash_loaded(t):
    vm, qmp = running(t, "-device", "pvpanic,ioport=0x600a", "-action", "panic=exit-failure")
    eq(vm.port_in(0x600a, 1), 3, "events that pvpanic takes")
    vm.port_out(0x600a, 1, 2)
    expect_events(qmp, "GUEST_CRASHLOADED action=run")
    vm.port_out(0x600a, 1, 4)
    vm.port_out(0x600a, 1, 0)
    expect_events(qmp)
    eq(status(qmp), "running", "state")


@case("run-state/panic/pci")
def panic_pci(t):
    vm, qmp = running(t, "-device", "pvpanic-pci,addr=6,events=1", "-action", "panic=none")
    pci = PciDevice(vm, 6)
    eq(pci.ids, (0x1b36, 0x0011), "ids")
    pci.enable()
    eq((pci.bars[0].size, pci.read(4, 2) & COMMAND_MEMORY), (16, COMMAND_MEMORY), "size and decoding of BAR 0")
    eq(vm.read(pci.bars[0].addr, 1), 1, "events that it takes")
    vm.write(pci.bars[0].addr, 1, 2)
    vm.write(pci.bars[0].addr, 1, 1)
    expect_events(qmp, "GUEST_PANICKED action=run")
