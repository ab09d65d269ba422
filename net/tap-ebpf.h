/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Steering of a tap by a program in the kernel: what its two files share.
 *
 * Threads: under the machine lock.
 */
#ifndef NET_TAP_EBPF_H
#define NET_TAP_EBPF_H

#include "tap-internal.h"

/* The program and its maps, in the order of `ebpf-rss-fds`. */
enum {
    TAP_EBPF_PROGRAM,
    TAP_EBPF_CONFIG,
    TAP_EBPF_KEYS,
    TAP_EBPF_QUEUES,
    TAP_EBPF_FDS = NET_STEERING_FDS,
};

/* ---- tap-ebpf-load.c ---- */

/* Loads the program that this binary carries: fds[0..TAP_EBPF_FDS-1] are the
 * caller's then. False, none open, where the kernel refuses. */
bool tap_ebpf_load(int *fds, Error **errp) MAIN_THREAD;

#endif
