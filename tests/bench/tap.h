/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taps in a network namespace that ends with the process.
 *
 * Threads: the main thread.
 */
#ifndef BENCH_TAP_H
#define BENCH_TAP_H

#include "bench.h"

void netns_enter(void);

/* Makes a persistent tap with the flags that QEMU and libvirt use, up and
 * without IPv6; returns its interface index. */
int tap_create(const char *name, int queues, int txqueuelen);
/* Waits until the interface sends: the kernel gets it ready in the background
 * once a queue is open, and drops what comes before. */
void tap_wait_ready(const char *name);
void tap_delete(const char *name, int queues);
/* Opens one queue as QEMU does: non-blocking, vnet header of 12 bytes, no limit
 * of bytes in flight; the kernel's short way in (tun_build_skb) needs that. */
int tap_open_queue(const char *name, int queues);
/* Lets the kernel hand out large TCP/IPv4 frames with partial checksums. */
void tap_accept_tso(int fd);
/* Frames that the interface dropped in either direction. */
uint64_t tap_drops(const char *name);

#endif
