#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First process of the lab's outer machine (L1).
export PATH=/usr/bin:/usr/sbin LC_ALL=C
chmod 755 / # or DPDK would trust no directory in it
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
for m in virtio_pci virtio_console tun vhost_net kvm_amd sch_ingress cls_bpf act_gact; do
    modprobe $m || echo "L1: module $m is missing"
done
ip link set lo up
n=0
while [ ! -e /dev/vport0p2 ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
exec sh /e2e/agent.sh /dev/vport0p1
