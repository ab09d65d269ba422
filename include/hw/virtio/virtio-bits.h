/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Constants of VIRTIO 1.2 and 1.3 that the build machine's kernel headers may
 * be too old to have.
 *
 * Threads: constants.
 */
#ifndef HW_VIRTIO_VIRTIO_BITS_H
#define HW_VIRTIO_VIRTIO_BITS_H

#include <linux/if_tun.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

/* VIRTIO 1.2, 6: ring and transport features */
#ifndef VIRTIO_F_RING_RESET
#define VIRTIO_F_RING_RESET 40
#endif

/* VIRTIO 1.2, 5.1.3: exact header lengths */
#ifndef VIRTIO_NET_F_GUEST_HDRLEN
#define VIRTIO_NET_F_GUEST_HDRLEN 59
#endif

/* VIRTIO 1.3, 5.1.3: UDP segmentation; 5.1.6: its GSO type */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* The tap's side of the same (Linux 6.2) */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#endif
