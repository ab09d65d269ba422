# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt domain for tests: its XML, and what can be asked of it while it runs."""

import json
import os
from pathlib import Path

from .libvirtbox import Failed, expect, wait_for


def interface(kind="ethernet", index=0, *, source="", driver="", more="", target=True):
    """XML of a NIC; DRIVER: attributes of its driver element; MORE: further elements."""
    target = f"<target dev='tap{index}'/>" if target else ""
    driver = f"<driver {driver}/>" if driver and not driver.startswith("<") else driver
    return (f"<interface type='{kind}'><mac address='52:54:00:00:00:{index + 1:02x}'/>{source}{target}"
            f"<model type='virtio'/>{driver}{more}<alias name='ua-nic{index}'/></interface>")


class Domain:
    """A domain on the emulator under test. Defined when made, gone after close()."""

    COUNT = 0

    def __init__(self, box, emulator, kernel, *devices, vcpus=2, memory=64, machine="pc", serial="<serial type='pty'/>",
                 cpu="", more="", kind=None, initrd=None, append="console=ttyS0"):
        Domain.COUNT += 1
        self.box, self.name = box, f"d{Domain.COUNT}"
        kind = kind or ("kvm" if os.path.exists("/dev/kvm") else "qemu")
        initrd = f"<initrd>{initrd}</initrd>" if initrd else ""
        self.xml = (
            f"<domain type='{kind}'><name>{self.name}</name><memory unit='MiB'>{memory}</memory>"
            f"<vcpu>{vcpus}</vcpu>{more}<os><type arch='x86_64' machine='{machine}'>hvm</type>"
            f"<kernel>{kernel}</kernel>{initrd}<cmdline>{append}</cmdline></os><features><acpi/></features>{cpu}"
            f"<devices><emulator>{emulator}</emulator><controller type='usb' model='none'/>"
            f"<memballoon model='none'/>{''.join(devices)}{serial}</devices></domain>")
        self.path = Path(f"/run/{self.name}.xml")
        self.path.write_text(self.xml, encoding="utf-8")

    def define(self):
        self.box.virsh("define", self.path)
        return self

    def start(self):
        self.define()
        self.box.virsh("start", self.name)
        return self

    def do(self, command, *args, **kw):
        """virsh COMMAND of this domain."""
        return self.box.virsh(command, self.name, *args, **kw)

    def qmp(self, command, **arguments):
        text = self.do("qemu-monitor-command", json.dumps({"execute": command, "arguments": arguments}))
        answer = json.loads(text)
        if "return" not in answer:
            raise Failed(f"{command}: {answer}")
        return answer["return"]

    def attach(self, xml, what="attach-device"):
        path = Path(f"/run/{self.name}-device.xml")
        path.write_text(xml, encoding="utf-8")
        return self.do(what, path)

    @property
    def pid(self):
        return int(Path(f"/run/libvirt/qemu/{self.name}.pid").read_text())

    def arguments(self):
        """The emulator's command line."""
        return Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")[:-1]

    def argument(self, option, text):
        """The argument of OPTION that contains TEXT."""
        words = self.arguments()
        found = [b for a, b in zip(words, words[1:]) if a == option and text in b]
        expect(len(found) == 1, f"{option} with '{text}': {found} in {' '.join(words)}")
        return found[0]

    def status(self):
        """The process as /proc/PID/status tells."""
        return dict(line.split(":\t", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
                    if ":\t" in line)

    def state(self):
        return self.do("domstate")

    def wait_state(self, state):
        return wait_for(lambda: self.state() == state, f"state '{state}' of {self.name}")

    def log(self):
        return Path(f"/var/log/libvirt/qemu/{self.name}.log").read_text(errors="replace")

    def close(self):
        self.box.run("destroy", self.name)
        self.box.run("undefine", self.name)
