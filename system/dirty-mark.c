/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marking pages in the log of written pages.
 *
 * Threads: any.
 */
#include "util/osdep.h"

#include <endian.h>

#include "system/dirty-log.h"

DirtyLog *dirty_log_in_force;

static uint64_t page_of(uint64_t gpa)
{
    return gpa >> DIRTY_PAGE_BITS;
}

/* The data were stored before the bit is set, even if it is set already. The
 * partner is in dirty_log_take(): a bit is taken out before the page is read.
 */
static void set_bits(DirtyLog *log, uint64_t word, uint64_t bits)
{
    __atomic_fetch_or(&log->bitmap[word], htole64(bits), __ATOMIC_SEQ_CST);
}

void dirty_log_mark(DirtyLog *log, uint64_t gpa, uint64_t len)
{
    uint64_t first = page_of(gpa), last;

    if (len == 0 || first >= log->pages) {
        return;
    }
    last = len - 1 > UINT64_MAX - gpa ? UINT64_MAX : page_of(gpa + (len - 1));
    last = MIN(last, log->pages - 1);
    for (uint64_t page = first; page <= last; page++) {
        set_bits(log, page / 64, 1ULL << page % 64);
    }
}

void dirty_log_mark_host(DirtyLog *log, const void *host, size_t len)
{
    const RamMap *map = ram_map_get();
    const uint8_t *p = host;

    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];

        if (p >= r->host && p < r->host + r->size) {
            uint64_t offset = (uint64_t)(p - r->host);

            dirty_log_mark(log, r->gpa + offset, MIN(len, r->size - offset));
            return;
        }
    }
}

void dirty_log_mark_iov(DirtyLog *log, const struct iovec *iov, unsigned n,
                        size_t len)
{
    for (unsigned i = 0; i < n && len > 0; i++) {
        size_t part = MIN(len, iov[i].iov_len);

        dirty_log_mark_host(log, iov[i].iov_base, part);
        len -= part;
    }
}

/* 64 pages, of which the first is @page. */
static void merge_word(DirtyLog *log, uint64_t page, uint64_t bits)
{
    unsigned shift = page % 64;
    uint64_t words = (log->pages + 63) / 64, word = page / 64;

    if (bits && word < words) {
        set_bits(log, word, bits << shift);
    }
    if (shift && bits >> (64 - shift) && word + 1 < words) {
        set_bits(log, word + 1, bits >> (64 - shift));
    }
}

/* Those of @bits that stand for pages, of which there are @left. */
static uint64_t keep_pages(uint64_t bits, uint64_t left)
{
    return left < 64 ? bits & ((1ULL << left) - 1) : bits;
}

void dirty_log_merge(DirtyLog *log, uint64_t first, const uint64_t *bitmap,
                     uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i += 64) {
        uint64_t bits = le64toh(bitmap[i / 64]);

        merge_word(log, first + i, keep_pages(bits, pages - i));
    }
}

void dirty_log_merge_shared(DirtyLog *log, uint64_t *bitmap, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i += 64) {
        uint64_t *p = &bitmap[i / 64], bits;

        if (__atomic_load_n(p, __ATOMIC_RELAXED)) {
            bits = le64toh(__atomic_exchange_n(p, 0, __ATOMIC_SEQ_CST));
            merge_word(log, i, keep_pages(bits, pages - i));
        }
    }
}
