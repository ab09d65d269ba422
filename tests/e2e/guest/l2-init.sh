#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First process of the guest under test: loads the stock drivers and obeys the console.
export PATH=/usr/bin:/usr/sbin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
modprobe virtio_pci
modprobe virtio_net
ip link set lo up
stty raw -echo </dev/ttyS0
exec sh /e2e/agent.sh /dev/ttyS0
