# SPDX-License-Identifier: GPL-2.0-or-later
"""Talks to guest/agent.sh over a byte stream: one command line, one answer."""

import os
import re
import select
import time

UP = re.compile(r"@@UP ([\d.]+)$", re.M)
PANIC = re.compile(r"Kernel panic|BUG: (?!workqueue)|Oops: |general protection fault|double fault")
SLOW = float(os.environ.get("E2E_TIMEOUT_FACTOR", "1"))     # for all times to wait here
PRINTK = re.compile(r"^\[ *\d+\.\d+\].*\n?", re.M)


class Gone(Exception):
    """The other end went away; `.text` is what it said last.

    `.restarted`: it came up again; `.silent`: it is there, as far as one can tell, and does not answer.
    """

    def __init__(self, why, text="", restarted=False, silent=False):
        super().__init__(why)
        self.text = text
        self.restarted = restarted
        self.silent = silent


class CommandFailed(Exception):
    """A command that had to succeed did not."""


class Agent:
    """One agent. fd_in and fd_out are non-blocking descriptors of its device.

    The log collects all that was ever received; panics and warnings show in it.
    A guest's host writes "@@EXIT exit_tag STATUS" when the emulator ends (see Host.spawn).
    """

    def __init__(self, name, fd_out, fd_in=None, alive=lambda: True, exit_tag="-"):
        self.name = name
        self.fd_out = fd_out
        self.fd_in = fd_out if fd_in is None else fd_in
        self.alive = alive
        self.exit_pattern = re.compile(rf"^@@EXIT {exit_tag} (\d+)$", re.M)
        self.log = ""
        self._seen = 0
        self._next_id = 1

    def _pump(self, seconds):
        """Read what has arrived within `seconds`. False when the stream has ended."""
        ready, _, _ = select.select([self.fd_out], [], [], max(0.0, seconds))
        if not ready:
            return True
        try:
            data = os.read(self.fd_out, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.log += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def wait(self, pattern, seconds, stop=None):
        """Wait until `pattern` appears after what was consumed; consume and return the match.

        Raises Gone when the stream ends, the time is over, or `stop` appears first.
        """
        seconds *= SLOW
        limit = time.monotonic() + seconds
        while True:
            match = pattern.search(self.log, self._seen)
            for end in (stop, self.exit_pattern):
                bad = end and end is not pattern and end.search(self.log, self._seen)
                if bad and not (match and match.start() < bad.start()):
                    raise self._gone(end, bad)
            if match:
                self._seen = match.end()
                return match
            left = limit - time.monotonic()
            if left <= 0:
                raise Gone(f"{self.name} did not answer in {seconds:.0f} s", self.tail(), silent=True)
            if not self._pump(min(left, 0.5)) or (not self.alive() and not self._more()):
                raise Gone(f"{self.name} is gone", self.tail())

    def _gone(self, pattern, match):
        if pattern is self.exit_pattern:
            return Gone(f"{self.name}'s emulator ended with status {match[1]}", self.tail())
        if pattern is UP:
            return Gone(f"{self.name} has started again by itself", self.tail(), restarted=True)
        return Gone(f"{self.name} says: {self._line(match.start())}", self.tail())

    def _more(self):
        ready, _, _ = select.select([self.fd_out], [], [], 0)
        return bool(ready)

    def _line(self, at):
        end = self.log.find("\n", at)
        return self.log[self.log.rfind("\n", 0, at) + 1:end if end >= 0 else None].strip()

    def tail(self, lines=25):
        """The last lines received."""
        return "\n".join(self.log.rstrip().splitlines()[-lines:])

    def wait_up(self, seconds):
        """Wait for the agent's greeting; return the machine's uptime in seconds."""
        return float(self.wait(UP, seconds, PANIC)[1])

    def wait_exit(self, seconds):
        """Wait for the end of the guest's emulator; return its exit status."""
        return int(self.wait(self.exit_pattern, seconds)[1])

    @property
    def panicked(self):
        """True if the machine has printed the text of a kernel panic or oops."""
        return bool(PANIC.search(self.log))

    def send(self, command):
        """Send a command without waiting for the answer; return its id."""
        assert "\n" not in command
        ident = self._next_id
        self._next_id += 1
        data = f"{ident} {command}\n".encode()
        while data:
            _, ready, _ = select.select([], [self.fd_in], [], 30)
            if not ready:
                raise Gone(f"{self.name} takes no input", self.tail())
            try:
                data = data[os.write(self.fd_in, data):]
            except OSError as e:
                raise Gone(f"{self.name} is gone: {e.strerror}", self.tail()) from e
        return ident

    def answer(self, ident, seconds=60):
        """Wait for the answer of command `ident`: (status, output)."""
        begin = self.wait(re.compile(rf"^@@B {ident}\n", re.M), seconds, UP)
        end = self.wait(re.compile(rf"^@@E {ident} (\d+)$", re.M), seconds, UP)
        text = PRINTK.sub("", self.log[begin.end():end.start()])
        return int(end[1]), text.strip("\n")

    def run(self, command, seconds=60):
        """Run a command: (status, output)."""
        return self.answer(self.send(command), seconds)

    def check(self, command, seconds=60):
        """Run a command that must succeed; return its output."""
        status, text = self.run(command, seconds)
        if status:
            shown = command if len(command) < 100 else command[:97] + "..."
            raise CommandFailed(f"{self.name}: `{shown}` gave status {status}: {text[-400:]}")
        return text
