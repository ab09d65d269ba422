# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the management protocol (QMP) for test cases."""

import array
import json
import os
import select
import socket
import time

from qtestlib import WAIT_S, Failure, Skip, check


class QmpError(Exception):
    """The emulator answered with an error; .cls is its class, .desc its text."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.cls, self.desc = error["class"], error["desc"]


class Qmp:
    """One connection. Events that arrive are kept in .events until event() takes them."""

    def __init__(self, path, negotiate=True, oob=False):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.buf = b""
        self.events = []
        self._next_id = 0
        self.greeting = self.message()
        if negotiate:
            self.cmd("qmp_capabilities", **({"enable": ["oob"]} if oob else {}))

    def send_bytes(self, data, fds=()):
        """Bytes as they are, with file descriptors beside them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def message(self, timeout=WAIT_S):
        """The next message, whatever it is; None when the emulator closed the connection."""
        end = time.monotonic() + timeout
        while b"\n" not in self.buf:
            if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                raise Failure("QMP: no answer")
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise Failure(f"QMP: a line that does not end in CR LF: {line[:200]!r}")
        return json.loads(line)

    def answer(self):
        """The next message that is no event."""
        while True:
            message = self.message()
            if message is None:
                raise Failure("QMP: the emulator closed the connection")
            if "event" not in message:
                return message
            self.events.append(message)

    def raw(self, command, fds=()):
        """Sends the object COMMAND and returns the whole answer, an error's too."""
        self.send_bytes(json.dumps(command).encode() + b"\r\n", fds)
        _log(command)
        return self.answer()

    def cmd(self, name, fds=(), **arguments):
        """Runs a command; what it returns. Raises QmpError. `_` in argument names stands for `-` unless
        the argument is given in a dict by the name `arguments_`."""
        arguments = arguments.pop("arguments_", None) or {k.replace("_", "-"): v for k, v in arguments.items()}
        self._next_id += 1
        request = {"execute": name, "id": self._next_id}
        if arguments:
            request["arguments"] = arguments
        answer = self.raw(request, fds)
        if answer.get("id") != self._next_id:
            raise Failure(f"QMP: {name}: answer {answer} has another id than {self._next_id}")
        if "error" in answer:
            raise QmpError(answer["error"])
        return answer["return"]

    def event(self, name, timeout=WAIT_S):
        """Waits for an event of that name and takes it (earlier ones of other names stay)."""
        end = time.monotonic() + timeout
        while True:
            for i, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(i)
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"QMP: no event {name}; there were {[e['event'] for e in self.events]}")
            message = self.message(left)
            if message is None or "event" not in message:
                raise Failure(f"QMP: waiting for event {name}, got {message}")
            self.events.append(message)

    def close(self):
        self.sock.close()


def _log(command):
    """Notes which commands tests have run, where the runner asked for it."""
    path = os.environ.get("QMP_COMMAND_LOG")
    name = command.get("execute", command.get("exec-oob")) if isinstance(command, dict) else None
    if path and name:
        with open(path, "a", encoding="utf-8") as f:
            f.write(f"{name}\n")


def every_command_has_a_test(path, skipped):
    """The case that compares the log at PATH with what the emulator knows; SKIPPED cases, for
    want of rights, did not write to it."""
    with open(path, encoding="utf-8") as f:
        run = set(f.read().split())

    def check_commands(test):
        vm = test.vm(qmp=True)
        known = {c["name"] for c in Qmp(vm.qmp_path).cmd("query-commands")}
        missing = sorted(known - run)
        if missing and skipped:
            raise Skip(f"{skipped} cases need rights that are missing; no other has run {', '.join(missing)}")
        check(not missing, f"no case has run {', '.join(missing)}")

    check_commands.case_name = "qmp/every-command-has-a-test"
    check_commands.needs = ()
    return check_commands
