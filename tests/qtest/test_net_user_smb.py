# SPDX-License-Identifier: GPL-2.0-or-later
"""-netdev user,smb=: a client of Samba's in the place of the guest, and Samba's server behind the netdev."""

import os
import select
import shutil
import subprocess
from pathlib import Path

from inetlib import TCP, Packet, Stream, ip4
from qtestlib import Skip, case, check, eq, wait_for
from test_net_user import User, accepted, local_server, pattern

SERVER, SMB_PORT = ip4("10.0.2.4"), 445


def carry(u, stream, sock, process):
    """Moves bytes between a connection of the guest's and a socket until PROCESS ends."""
    while process.poll() is None:
        if select.select([sock], [], [], 0.002)[0]:
            data = sock.recv(1 << 16)
            if not data:
                return
            stream.send(data)
        while (got := u.nic.recv(0, wait=False)):
            packet = Packet(got[1])
            u.guest.on_packet(packet)
            if packet.protocol == TCP and (packet.sport, packet.dport) == (SMB_PORT, stream.sport):
                stream.take(packet)
        if stream.received:
            sock.sendall(stream.received)
            stream.received = b""


def smbclient(u, port, commands):
    """What smbclient says of COMMANDS for the share "qemu"."""
    server, there = local_server()
    home = Path(u.t.dir) / "client"
    home.mkdir(exist_ok=True)
    with subprocess.Popen(["smbclient", "//127.0.0.1/qemu", "-N", "-p", str(there), "-s", "/dev/null", "-c", commands],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home,
                          env={**os.environ, "HOME": str(home)}) as process:
        sock = accepted(server)
        stream = Stream.connect(u.guest, SERVER, port, SMB_PORT)
        carry(u, stream, sock, process)
        sock.close()
        stream.close()
        said = process.communicate()[0]
    check(process.returncode == 0, f"smbclient: status {process.returncode}: {said}")
    return said


def of_samba(directory):
    """Processes whose configuration is in DIRECTORY."""
    found = []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if f"--configfile={directory}".encode() in (p / "cmdline").read_bytes():
                found.append(int(p.name))
        except OSError:
            pass
    return found


@case("net-user/smb", needs=("root",))
def smb(t):
    """The guest reads and writes files of the directory, and nothing of the server's is left at the end."""
    if not shutil.which("smbclient") or not os.path.exists("/usr/sbin/smbd"):
        raise Skip("needs Samba's smbd and smbclient")
    shared, own = Path(t.dir) / "shared", Path(t.dir) / "tmp"
    shared.mkdir()
    own.mkdir()
    os.environ["TMPDIR"] = str(own)
    data = pattern(20_000)
    (shared / "hello").write_bytes(data)
    (Path(t.dir) / "secret").write_bytes(b"x")
    u = User(t, f",smb={shared}")
    client = Path(t.dir) / "client"
    client.mkdir()
    (client / "up").write_bytes(data[::-1])
    said = smbclient(u, 3000, "ls; get hello; put up")
    check("hello" in said, f"ls: {said}")
    eq((client / "hello").read_bytes(), data, "the file that the guest read")
    eq((shared / "up").read_bytes(), data[::-1], "the file that the guest wrote")
    check(not (client / "secret").exists() and "secret" not in said, "what is outside of the directory")
    kept = list(own.iterdir())
    eq(len(kept), 1, f"directories of the server's: {kept}")
    wait_for(lambda: not of_samba(kept[0]), "the server of a connection that ended")
    u.vm.close()
    u.vm.ended = True
    eq(list(own.iterdir()), [], "what is left of the server's files")
