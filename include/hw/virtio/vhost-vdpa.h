/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network device of the kernel's vDPA framework, /dev/vhost-vdpa-N
 * (<linux/vhost.h>): it serves virtio rings in guest memory by itself and has a
 * control queue of its own.
 *
 * Unlike vhost-net's workers it starts and stops as a whole. A VhostNet for
 * each pair (vhost_net_new_vdpa()) hands over the rings; when all have done so
 * the device is started, told its state by commands, and let loose:
 *
 *   vhost_net_start() of each pair, vhost_vdpa_run(), vhost_vdpa_command()...,
 *   vhost_vdpa_serve()
 *
 * The first vhost_net_stop() stops all of it, the last one resets it.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_VDPA_H
#define HW_VIRTIO_VHOST_VDPA_H

#include "hw/virtio/virtio.h"
#include "util/error.h"

typedef struct VhostVdpa VhostVdpa;

/* The device's configuration has changed, or it has got into trouble; called
 * on the main loop. */
typedef void VhostVdpaChangedFunc(void *opaque);

/*
 * @fd: an open vhost-vdpa device, which is the new object's if this succeeds.
 * NULL and *errp: it is none, or not a network device, or lacks what is needed.
 */
VhostVdpa *vhost_vdpa_new(int fd, VhostVdpaChangedFunc *changed, void *opaque,
                          Error **errp) MAIN_THREAD;
/* Closes the device. NULL is allowed. No VhostNet uses it. */
void vhost_vdpa_free(VhostVdpa *vdpa) MAIN_THREAD;

/* Pairs that the device has, and the most entries of a ring. */
unsigned vhost_vdpa_pairs(const VhostVdpa *vdpa);
unsigned vhost_vdpa_ring_max(const VhostVdpa *vdpa);
/* Could the device be given another MAC address than its own? */
bool vhost_vdpa_sets_mac(const VhostVdpa *vdpa);

/* What the configuration space says; 0 where the device does not tell. */
typedef struct VhostVdpaConfig {
    uint8_t mac[6];
    uint16_t mtu;
    bool link_up;
} VhostVdpaConfig;
bool vhost_vdpa_read_config(const VhostVdpa *vdpa, VhostVdpaConfig *config,
                            Error **errp) MAIN_THREAD;
/* Runs, and says that it cannot go on without a reset. */
bool vhost_vdpa_is_broken(const VhostVdpa *vdpa) MAIN_THREAD;

/* Is guest memory such that the device can be given it? */
bool vhost_vdpa_check_memory(const VhostVdpa *vdpa, Error **errp) MAIN_THREAD;

/* All pairs are started: DRIVER_OK. From here on commands are possible, and
 * rings are served or, if the device can wait, from vhost_vdpa_serve() on. */
bool vhost_vdpa_run(VhostVdpa *vdpa, Error **errp) MAIN_THREAD;
bool vhost_vdpa_serve(VhostVdpa *vdpa, Error **errp) MAIN_THREAD;
/* Between vhost_vdpa_run() and the first vhost_net_stop(). */
bool vhost_vdpa_runs(const VhostVdpa *vdpa);
/* Feature @bit is in use with the device, which runs. */
bool vhost_vdpa_has(const VhostVdpa *vdpa, unsigned bit);

/* ---- the device's control queue (VIRTIO 1.2, 5.1.6.5); it runs ---- */

/* The most bytes after class and command. */
#define VHOST_VDPA_COMMAND_MAX 800u
/* How long the answers to one batch of commands may take together. */
#define VHOST_VDPA_ANSWER_MS 1000
/* How long those to all that one flush waits for may take: 4096 VLANs are many
 * batches. */
#define VHOST_VDPA_ANSWERS_MS 10000

/*
 * Adds a command to those that the next flush waits for; may wait itself when
 * there are many. @len is up to VHOST_VDPA_COMMAND_MAX.
 */
void vhost_vdpa_command(VhostVdpa *vdpa, uint8_t cls, uint8_t cmd,
                        const void *data, size_t len) MAIN_THREAD;
/*
 * Waits for the answers to all commands since the last flush. 0: all were
 * carried out; -EREMOTEIO: the device refused one; else -errno: it did not
 * answer in time, or broke the ring, and gets no more commands until it is
 * started anew.
 */
int vhost_vdpa_flush(VhostVdpa *vdpa) MAIN_THREAD;

#endif
