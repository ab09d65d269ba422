/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every C file includes first: the C library's everyday headers, glib,
 * and a handful of macros.
 *
 * Threads: nothing here has state.
 */
#ifndef UTIL_OSDEP_H
#define UTIL_OSDEP_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <glib.h>

#include "util/thread-annotations.h"

/* The object of type @type whose member @member is at @ptr. */
#define container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define KiB (1024ULL)
#define MiB (1024ULL * KiB)
#define GiB (1024ULL * MiB)

#define PAGE_SIZE_4K 4096u

/* @n rounded down or up to a multiple of @m, a power of two. */
#define ALIGN_DOWN(n, m) ((n) & ~((__typeof__(n))(m)-1))
#define ALIGN_UP(n, m)   ALIGN_DOWN((n) + (__typeof__(n))(m)-1, m)

/* "unsigned long long" in printf for uint64_t: use PRIx64/PRIu64. */

#endif
