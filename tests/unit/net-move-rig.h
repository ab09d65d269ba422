/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC with two queue pairs whose owners change while numbered frames pass,
 * for unit tests.
 *
 * vhost-net is played (net-move-rig.c defines the functions of vhost-kernel.c
 * and vhost-worker.c): a worker has a VirtQueue of its own on the rings that it
 * was given, and works when the test says so. Socket pairs are the tap.
 *
 * Threads: all of this is for the test's main thread, which holds the machine
 * lock. Iothreads have pairs; a thread that stands for a worker's only sleeps.
 */
#ifndef TESTS_UNIT_NET_MOVE_RIG_H
#define TESTS_UNIT_NET_MOVE_RIG_H

#include "hw/net/virtio-net-internal.h"
#include "system/machine-lock.h"

#define BIT(n)   (1ULL << (n))
#define PAIRS    2u
#define VHOST_FD 1000 /* of no file: pair 0's, the next one is pair 1's */

/* A queue-mapping: both pairs with one iothread. */
#define ON_IO0                                           \
    "[{'pair':0,'backend':'iothread','iothread':'io0'}," \
    "{'pair':1,'backend':'iothread','iothread':'io0'}]"

/* The played vhost-net, which rig_begin() makes: without failures. */
typedef struct PlayedKernel {
    uint64_t features;
    int bad_fd;        /* cannot be opened; -1: none */
    int failing_fd;    /* takes no back-end for its second ring; -1: none */
    bool owned[PAIRS]; /* open now; the device's calls alone set it */
    /* For cases about where workers run: a thread stands for each that is made
     * from now on. Set before rig_begin(), rig_end() clears it. */
    bool with_threads;
    GPtrArray *threads; /* those that were made since rig_begin() */
    int new_tid;        /* what a search for the newest finds; -1: nothing */
} PlayedKernel;

/* Frames of a pair in one direction. They are numbered. */
typedef struct Side {
    unsigned offered, arrived;
} Side;

/* What is between rig_begin() and rig_end(). */
typedef struct MoveRig {
    VirtIONet *nic;        /* 'net1', with a driver */
    NetClientState netdev; /* 'tap1' */
    Side out[PAIRS];       /* from the driver to the host */
    Side in[PAIRS];        /* from the host to the driver */
} MoveRig;

extern PlayedKernel kern;
extern MoveRig rig;

/* The main loop, the guest's memory, and the iothreads io0 and io1: once. The
 * caller then holds the machine lock. */
void rig_init(void) ACQUIRES_MACHINE_LOCK;

/* A NIC with a driver that has taken @features too. @mapping may be NULL;
 * @force: the netdev has vhostforce=on. */
void rig_begin(const char *mapping, uint64_t features, bool force) MAIN_THREAD;
/* Deletes both. No worker has a ring then, and no iothread a user. */
void rig_end(void) MAIN_THREAD;
/* The driver of a NIC that was reset takes @features too, and starts with
 * empty rings; frames are numbered from 0 again. */
void rig_driver_start(uint64_t features) MAIN_THREAD;

/* The driver gives pair @pair @n buffers of @len bytes to receive to. */
void rig_post(unsigned pair, unsigned n, unsigned len);
/* The driver gives both pairs as many as their rings take. */
void rig_fill(void);
/* The driver sends @n frames through @pair. */
void rig_send_out(unsigned pair, unsigned n);
/* The host sends @n frames of @len bytes to @pair. */
void rig_send_in(unsigned pair, unsigned n, unsigned len);
/* @n short frames each way on each pair. */
void rig_traffic(unsigned n) MAIN_THREAD;
/* Takes what the driver got. Each frame was given back once, in order. */
void rig_collect_guest(unsigned pair);

/* The workers serve what rings they have, once. */
void rig_workers_work(void);
/* Workers and main loop run until @ready, 20 s at most. */
void rig_wait_for(bool (*ready)(void)) MAIN_THREAD;
/* Gives the device time to do what it should not. */
void rig_pause(void) MAIN_THREAD;
/* All frames arrive, none twice, and the device is in order. */
void rig_settle(void) MAIN_THREAD;

/* How many use the iothread @id. */
unsigned rig_users(const char *id) MAIN_THREAD;
/* Who has pair @i: v vhost, m main thread, 0 or 1 that iothread, a one of the
 * device's. */
char rig_where(unsigned i) MAIN_THREAD;
/* @where: rig_where() of each pair. */
void rig_check_where(const char *where) MAIN_THREAD;
/* The command that moves pairs succeeds. @where has a letter a pair: v vhost,
 * 0 or 1 that iothread, a the device's, - stays. */
void rig_moved(const char *where) MAIN_THREAD;
/* It fails with @text, and nothing has changed. */
void rig_refused(const char *where, const char *text) MAIN_THREAD;

#endif
