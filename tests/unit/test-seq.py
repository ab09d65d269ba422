#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The end-to-end tests' counter of datagrams, tests/e2e/seq.c, on a link that loses, repeats, delays and alters some."""

import contextlib
import ctypes
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e', 'seq.c')
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000
HEADERS = 14 + 20 + 8           # Ethernet, IPv4 without options, UDP
DATAGRAM = struct.Struct('=IHHQ')    # magic, flow, warm, number
MAGIC = 0x5e9a7e57
OUT, IN = 'out', 'in'
HELD_BACK = 3                   # a late datagram comes after so many others of its flow
SUMMARY = re.compile(r'(out|in) (\d+) sent, (-?\d+) lost, (\d+) repeated, (\d+) reordered, (\d+) altered, '
                     r'(\d+) without room')


def tap(name):
    """A new tap; its descriptor."""
    fd = os.open('/dev/net/tun', os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Link:
    """Two taps, each in a namespace of its own, and what happens to frames between them.

    faults: {(direction, flow, number): 'lose', 'repeat', 'late', 'alter', 'shorten' or 'renumber'}.
    """

    def __init__(self, faults):
        self.faults = dict(faults)
        self.held = {}              # (direction, flow): [frames still to come first, frame]
        self.fd = {OUT: tap('seq0'), IN: tap('seq1')}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        """Passes frames on: what is read from one tap goes to the other."""
        to = {self.fd[OUT]: (OUT, self.fd[IN]), self.fd[IN]: (IN, self.fd[OUT])}
        while not self.stop.is_set():
            for fd in select.select(list(to), [], [], 0.1)[0]:
                way, other = to[fd]
                for frame in self.treat(way, os.read(fd, 65536)):
                    os.write(other, frame)

    def treat(self, way, frame):
        """What leaves when `frame` comes."""
        if len(frame) < HEADERS + DATAGRAM.size or frame[23] != 17:
            return [frame]
        magic, flow, warm, number = DATAGRAM.unpack_from(frame, HEADERS)
        if magic != MAGIC or warm:
            return [frame]
        late = self.held.get((way, flow))
        fault = self.faults.pop((way, flow, number), None)
        if fault == 'late':
            self.held[way, flow] = [HELD_BACK, frame]
            return []
        frames = {None: [frame], 'lose': [], 'repeat': [frame, frame]}.get(fault)
        if frames is None:
            frames = [self.damage(fault, frame)]
        if late:
            late[0] -= 1
            if not late[0]:
                frames.append(late[1])
                del self.held[way, flow]
        return frames

    @staticmethod
    def damage(fault, frame):
        data = bytearray(frame)
        if fault == 'alter':
            data[-1] ^= 0x10
        elif fault == 'renumber':
            data[HEADERS + 8] ^= 0x40
        else:       # a byte less, and the lengths in the headers say so
            del data[-1]
            struct.pack_into('>H', data, 16, len(data) - 14)
            struct.pack_into('>H', data, 38, len(data) - 34)
            struct.pack_into('>H', data, 24, 0)
            total = sum(struct.unpack_from('>10H', data, 14))
            while total >> 16:
                total = (total & 0xffff) + (total >> 16)
            struct.pack_into('>H', data, 24, 0xffff ^ total)
        return bytes(data)

    def close(self):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
        for fd in self.fd.values():
            os.close(fd)


class Counting(unittest.TestCase):
    """What was done to datagrams is what is reported, to the last one."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or not os.access('/dev/net/tun', os.W_OK):
            raise unittest.SkipTest('needs root and /dev/net/tun')
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            raise unittest.SkipTest(f'no network namespace: {os.strerror(ctypes.get_errno())}')
        cls.dir = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.dir.cleanup)
        cls.program = os.path.join(cls.dir.name, 'seq')
        subprocess.run([os.environ.get('CC', 'cc'), '-O2', '-pthread', '-Wall', '-Wextra', '-Werror', '-std=gnu11',
                        '-D_GNU_SOURCE', '-o', cls.program, SOURCE], check=True)

    @contextlib.contextmanager
    def client(self, faults, seconds, flows, rate):
        """A client and a server with a Link between them."""
        link = Link(faults)
        server = subprocess.Popen(['unshare', '--net', 'sh', '-c', f'read go; exec {self.program} serve 5000'],
                                  stdin=subprocess.PIPE, start_new_session=True)
        try:
            self.wait_namespace(server.pid)
            for command in (f'ip link set seq1 netns {server.pid}', 'ip link set lo up',
                            'ip addr add 10.9.0.1/24 dev seq0', 'ip link set seq0 up',
                            f'nsenter -t {server.pid} -n ip addr add 10.9.0.2/24 dev seq1',
                            f'nsenter -t {server.pid} -n ip link set seq1 up'):
                subprocess.run(command.split(), check=True)
            link.thread.start()
            server.stdin.write(b'go\n')
            server.stdin.close()
            time.sleep(0.3)
            yield subprocess.Popen([self.program, 'run', '10.9.0.2', '5000', str(seconds), str(flows), str(rate)],
                                   stdout=subprocess.PIPE, text=True)
        finally:
            link.close()    # first: the tap over there goes with its namespace
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    @staticmethod
    def wait_namespace(pid):
        """Until unshare(1) has entered it."""
        while os.readlink(f'/proc/{pid}/ns/net') == os.readlink('/proc/thread-self/ns/net'):
            time.sleep(0.01)

    def run_link(self, faults, seconds=1, flows=3, rate=300):
        """(exit status, text, {direction: (sent, lost, repeated, reordered, altered, without room)})."""
        with self.client(faults, seconds, flows, rate) as client:
            text = client.communicate(timeout=60)[0]
        last = text.splitlines()[-1]
        return client.returncode, text, {m[1]: tuple(int(n) for n in m.groups()[1:]) for m in SUMMARY.finditer(last)}

    def expect(self, result, status, out, back):
        self.assertEqual(result[0], status, result[1])
        for way, want in ((OUT, out), (IN, back)):
            sent, *counts = result[2][way]
            self.assertGreater(sent, 300, result[1])
            self.assertEqual(counts, [*want, 0], result[1])

    def test_nothing_wrong(self):
        result = self.run_link({})
        self.expect(result, 0, (0, 0, 0, 0), (0, 0, 0, 0))
        self.assertRegex(result[1], r'\Aseq: good 3 flows, out ')
        self.assertEqual(result[1].count('\n'), 1)

    def test_every_fault_is_counted(self):
        faults = {(OUT, 0, 10): 'lose', (OUT, 0, 11): 'lose', (OUT, 0, 50): 'repeat', (OUT, 1, 20): 'late',
                  (OUT, 1, 40): 'late', (OUT, 2, 60): 'alter', (IN, 0, 5): 'repeat', (IN, 1, 70): 'lose',
                  (IN, 1, 90): 'shorten', (IN, 2, 80): 'late', (IN, 2, 100): 'renumber'}
        result = self.run_link(faults)
        # What is altered has not arrived, either.
        self.expect(result, 1, (3, 1, 2, 1), (3, 1, 1, 2))
        self.assertRegex(result[1], r'seq: flow 0 out \d+ sent, 2 lost, 1 repeated, 0 reordered, 0 altered')
        self.assertRegex(result[1], r'seq: flow 1 out \d+ sent, 0 lost, 0 repeated, 2 reordered, 0 altered')
        self.assertRegex(result[1], r'seq: flow 2 in \d+ sent, 1 lost, 0 repeated, 1 reordered, 1 altered')
        self.assertIn('seq: BAD 3 flows', result[1])

    def test_a_whole_window_is_lost(self):
        """More in a row than may be on their way: the flow stands still for a while, then goes on."""
        result = self.run_link({(OUT, 1, n): 'lose' for n in range(100, 140)}, seconds=4)
        self.expect(result, 1, (40, 0, 0, 0), (0, 0, 0, 0))

    def test_ends_when_told(self):
        with self.client({}, 600, 2, 200) as client:
            time.sleep(1.5)
            client.terminate()
            text = client.communicate(timeout=30)[0]
        self.assertEqual(client.returncode, 0, text)

    def test_nobody_answers(self):
        self.assertEqual(subprocess.run([self.program, 'run', '127.0.0.1', '5001', '1', '1', '10'], check=False,
                                        capture_output=True).returncode, 2)

    def test_usage(self):
        for words in ([], ['run'], ['run', 'x', '1', '1', '1', '1'], ['run', '127.0.0.1', '1', '0', '1', '1'],
                      ['run', '127.0.0.1', '1', '1', '65', '1'], ['run', '127.0.0.1', '1', '1', '1', '0']):
            done = subprocess.run([self.program, *words], check=False, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn('usage: seq serve', done.stderr)


if __name__ == '__main__':
    unittest.main()
