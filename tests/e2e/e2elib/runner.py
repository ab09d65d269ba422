# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs sessions: boots machines, runs cases, and tells a fallen lab from a failed check.

The nested lab emulates SVM imperfectly: now and then L1 dies, or L2 resets before its
userland is up, whatever runs on it. Only these events are repeated, at most twice for
each case, and the report says so. They are recognised by what they are not: L1 does not
answer any more; or the guest never greeted, printed no panic, and its emulator neither
complained nor ended with an error. With more than one CPU in L1 a guest may also restart
later on. A guest that falls silent is looked at, and the case repeated once: the second
time it has failed. Everything else is the verdict on a check.
"""

import queue
import re
import threading
import time
import traceback

from .agent import CommandFailed, Gone
from .assets import which
from .diagnose import diagnose
from .host import Direct, Lab
from .report import Failed, Report, Result, Skip, Stalled
from .session import Session

MAX_REPEATS = 2


class LabFell(Exception):
    """The lab fell over: no verdict on the emulator. `.died`: L1 itself, the machine around everything, is gone."""

    def __init__(self, why, died=False):
        super().__init__(why)
        self.died = died


def judge(session, error):
    """Raise LabFell if `error` is the lab's doing; else return. Never blames the lab in direct mode."""
    host, guest = session.host, session.guest
    if host.kind != "lab":
        return
    try:
        status = host.emulator_status() if host.alive() else None
        complaint = host.emulator_stderr()
    except Gone as e:
        raise LabFell(str(e), died=True) from error
    if not host.alive():
        raise LabFell("L1 ended", died=True) from error
    if not isinstance(error, Gone) or guest is None or guest.panicked:
        return
    quiet = status in (None, 0) and not re.search(r"KVM (internal )?error|hardware error", complaint)
    if not session.booted and quiet:
        raise LabFell(f"{error}; no panic text, emulator status {status}") from error
    if quiet and host.cpus > 1 and error.restarted:
        raise LabFell(f"{error}; no panic text, {host.cpus} CPUs in L1") from error


def new_lab(assets, emulators, cpus, log_dir, note):
    """Boot an L1, up to three times."""
    for attempt in range(MAX_REPEATS + 1):
        host = Lab(assets, emulators, cpus=cpus, log_dir=log_dir)
        try:
            host.start()
            # With an emulated CPU, polling for a halted vCPU's wake-up takes time from everyone else.
            host.run("echo 0 >/sys/module/kvm/parameters/halt_poll_ns")
            return host
        except Gone as e:
            note(f"L1 did not come up ({attempt + 1}): {e}\n{host.last_words()}")
            host.close()
    raise LabFell("L1 did not come up in three attempts")


class Runner:
    """options: mode ("lab" or "direct"), require_all, payload_mib, jobs, log_dir, fail_fast."""

    def __init__(self, assets, emulator, sessions, options):
        self.assets, self.emulator, self.sessions, self.options = assets, emulator, sessions, options
        self.report = Report(sum(len(cases) for _, _, cases in sessions.values()))
        self.l1_boots = self.l2_boots = 0
        self._count_lock = threading.Lock()

    def new_host(self, cpus):
        """Boot a machine for the emulator to run on."""
        if self.options.mode == "direct":
            return Direct(self.assets, log_dir=self.options.log_dir).start()
        self._add("l1_boots")
        return new_lab(self.assets, self.emulator.programs, cpus, self.options.log_dir, self.report.note)

    def _add(self, name):
        with self._count_lock:
            setattr(self, name, getattr(self, name) + 1)

    def run(self):
        """Run everything: one-CPU labs side by side, then those with more CPUs alone."""
        by_cpus = {}
        for name, entry in self.sessions.items():
            by_cpus.setdefault(entry[0].cpus, []).append((name, *entry))
        for cpus, entries in sorted(by_cpus.items()):
            todo = queue.Queue()
            for entry in entries:
                todo.put(entry)
            jobs = 1 if self.options.mode == "direct" else max(1, self.options.jobs // cpus)
            workers = [threading.Thread(target=self._work, args=(todo, cpus))
                       for _ in range(min(jobs, len(entries)))]
            for w in workers:
                w.start()
            for w in workers:
                w.join()
        repeats = sum(r.repeats for r in self.report.results)
        self.report.note(f"{self.l1_boots} starts of L1, {self.l2_boots} starts of the emulator; the lab fell "
                         f"over and a case was repeated {repeats} times")

    def _work(self, todo, cpus):
        host = None
        while True:
            try:
                name, config, needs, cases = todo.get_nowait()
            except queue.Empty:
                break
            host = SessionRun(self, name, config, needs, cases).run(host, cpus)
        if host:
            host.close()


class SessionRun:
    """The cases of one session, over as many boots as it takes."""

    def __init__(self, runner, name, config, needs, cases):
        self.runner, self.name, self.config, self.needs = runner, name, config, needs
        self.todo = list(cases)
        self.repeats = {}
        self.deaths = {}  # how many of them were L1's end
        self.silent = set()     # cases whose guest has fallen silent once
        self.session = None

    def run(self, host, cpus):
        """Run all cases; returns the host for the next session, or None if it is gone."""
        missing = [p for p in self.needs if not self.runner.emulator.has(p)]
        if missing:
            self._all("fail" if self.runner.options.require_all else "skip",
                      f"the emulator has no {', '.join(missing)}")
            return host
        absent = [p for p in self.config.programs if not which(p)]
        if absent:
            self._all("fail" if self.runner.options.require_all else "skip", f"needs {', '.join(absent)}")
            return host
        while self.todo:
            try:
                if host is None:
                    host = self.runner.new_host(cpus)
                self._boot(host)
                self._cases(host)
            except LabFell as e:
                self.runner.report.note(f"{self.name}: the lab fell over: {e}")
                if host:
                    self.runner.report.note(host.last_words())
                    host.close()
                host = None
                self._count_repeat(str(e), e.died)
            except Exception:  # a fault of the tests themselves must not hide the other sessions
                self._finish(self.todo.pop(0), "fail", time.monotonic(), "error in the test",
                             traceback.format_exc())
        self._stop(host)
        return host

    def _all(self, status, reason, detail=""):
        for name, _ in self.todo:
            self.runner.report.add(Result(f"{self.name}/{name}", status, 0.0, self.repeats.get(name, 0),
                                          reason, detail))
            detail = ""
        self.todo = []

    def _count_repeat(self, why, died):
        if not self.todo:
            return
        name = self.todo[0][0]
        self.repeats[name] = self.repeats.get(name, 0) + 1
        self.deaths[name] = self.deaths.get(name, 0) + died
        if self.repeats[name] > MAX_REPEATS:
            self.repeats[name] = MAX_REPEATS
            # With two emulated CPUs L1 dies now and then by itself; with one, three falls are no accident.
            only_died = self.config.cpus > 1 and self.deaths[name] > MAX_REPEATS
            self._finish(self.todo.pop(0), "skip" if only_died else "fail", time.monotonic(),
                         f"no verdict: the lab fell over {MAX_REPEATS + 1} times ({why})")

    def _boot(self, host):
        """Start the emulator and wait for userland. A boot that fails the check fails all cases."""
        self.session = Session(host, self.runner.emulator, self.config, self.runner.report.note)
        self.session.payload_mib = self.runner.options.payload_mib
        self.session.background_mib = self.runner.options.background_mib
        self.runner._add("l2_boots")
        try:
            self.session.start()
        except (Gone, Failed, CommandFailed) as e:
            judge(self.session, e)
            self._all("fail", f"the guest did not come up: {e}", self._evidence(e))

    def _evidence(self, error):
        """Text for the report: last words of the guest and of the emulator."""
        try:
            err = self.session.host.emulator_stderr()
        except Gone:
            err = ""
        tail = getattr(error, "text", "") or (self.session.guest.tail(12) if self.session.guest else "")
        tail = tail.replace("\x00", "").strip()
        more = diagnose(self.session) if isinstance(error, (Gone, Stalled)) else ""
        return "\n".join(t for t in (tail and "guest: " + tail, err and "emulator: " + err[-800:], more) if t)

    def _cases(self, host):
        """Run cases until none is left or the guest is of no use any more."""
        while self.todo:
            name, function = self.todo[0]
            start = time.monotonic()
            try:
                text = function(self.session)
                self._finish(self.todo.pop(0), "pass", start, text or "")
                if not self.session.booted and self.todo:
                    return
            except Skip as e:
                status = "fail" if self.runner.options.require_all else "skip"
                self._finish(self.todo.pop(0), status, start, str(e))
            except (Failed, CommandFailed, Gone) as e:
                judge(self.session, e)
                evidence = self._evidence(e)
                self._repeat_silence(name, e, evidence)
                self._finish(self.todo.pop(0), "fail", start, str(e), evidence)
                return      # a fresh guest for the rest

    def _repeat_silence(self, name, error, evidence):
        """The first time that a guest of the lab falls silent in a case: what is to be seen goes into the report."""
        if self.session.host.kind == "lab" and isinstance(error, Gone) and error.silent and name not in self.silent:
            self.silent.add(name)
            self.runner.report.note(f"{self.name}/{name}: {error}\n{evidence}")
            raise LabFell(f"{error}; to be seen above, and repeated once") from error

    def _finish(self, case, status, start, reason, detail=""):
        self.runner.report.add(Result(f"{self.name}/{case[0]}", status, time.monotonic() - start,
                                      self.repeats.get(case[0], 0), reason, detail))

    def _stop(self, host):
        if host and self.session:
            try:
                self.session.stop()
            except (Gone, CommandFailed):
                pass
