# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs image: a file tree in memory, written as a "newc" cpio archive.

No root rights and no staging directory are needed: the tree maps guest paths to
host files, byte strings, symbolic links or device nodes.
"""

import os
import stat


class Tree:
    """What an initramfs shall hold. Parent directories are made as needed."""

    def __init__(self):
        self._entries = {}

    def dir(self, path):
        """Add directory `path` (absolute in the guest) and its parents."""
        path = path.strip("/")
        if path and path not in self._entries:
            self.dir(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, None, 0, 0)

    def _add(self, path, mode, source, rdev=(0, 0)):
        path = path.strip("/")
        self.dir(os.path.dirname(path))
        self._entries[path] = (mode, source, *rdev)

    def file(self, path, host_path):
        """Add the contents of `host_path`, with its permission bits."""
        mode = os.stat(host_path).st_mode & 0o777
        self._add(path, stat.S_IFREG | mode, os.fspath(host_path))

    def data(self, path, data, mode=0o644):
        """Add a file with the given bytes or text."""
        self._add(path, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def link(self, path, target):
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def node(self, path, major, minor):
        """Add a character device."""
        self._add(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def __contains__(self, path):
        return path.strip("/") in self._entries

    def write(self, out):
        """Write the archive to the binary file `out`."""
        for ino, (path, (mode, source, major, minor)) in enumerate(self._entries.items(), 1):
            _member(out, ino, path, mode, source, major, minor)
        _member(out, 0, "TRAILER!!!", 0, b"", 0, 0)
        # The kernel accepts archives one after the other, each on a 4-byte boundary.


def _member(out, ino, path, mode, source, major, minor):
    if isinstance(source, str):
        with open(source, "rb") as f:
            source = f.read()
    data = source or b""
    name = path.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
    out.write(head + b"\0" * (-len(head) % 4))
    out.write(data)
    out.write(b"\0" * (-len(data) % 4))
