/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory for tests of virtqueues: see the header.
 *
 * Threads: the test's.
 */
#include "util/osdep.h"

#include <poll.h>

#include "virtqueue-rig.h"

#define GUARD 0x1000u

static uint8_t host_ram[GUARD + RAM_SIZE + GUARD]
    __attribute__((aligned(4096)));
static uint8_t host_next[GUARD + SMALL + GUARD] __attribute__((aligned(4096)));
static uint8_t host_rom[GUARD + SMALL + GUARD] __attribute__((aligned(4096)));
static RamMap *map;

/* ---- in the place of system/memory.h's ---- */

const RamMap *ram_map_get(void)
{
    return map;
}

bool ram_read(uint64_t gpa, void *buf, uint64_t len)
{
    memcpy(buf, guest(gpa), len);
    return true;
}

/* ---- memory ---- */

void *guest(uint64_t gpa)
{
    for (unsigned i = 0; i < map->n; i++) {
        if (gpa - map->range[i].gpa < map->range[i].size) {
            return map->range[i].host + (gpa - map->range[i].gpa);
        }
    }
    g_assert_not_reached();
}

void rig_memory_init(void)
{
    const RamRange range[] = {
        { RAM_GPA, RAM_SIZE, host_ram + GUARD, -1, 0, false },
        { NEXT_GPA, SMALL, host_next + GUARD, -1, 0, false },
        { ROM_GPA, SMALL, host_rom + GUARD, -1, 0, true },
    };

    memset(host_ram, 0xa5, sizeof(host_ram));
    memset(host_next, 0xa5, sizeof(host_next));
    memset(host_rom, 0xa5, sizeof(host_rom));
    memset(host_ram + GUARD, 0, RAM_SIZE);
    g_free(map);
    map = g_malloc0(sizeof(*map) + sizeof(range));
    map->n = ARRAY_SIZE(range);
    memcpy(map->range, range, sizeof(range));
}

void rig_grow_next(uint64_t size)
{
    map->n = 2;
    map->range[1].size = size;
}

static void check_guard(const uint8_t *host, size_t size)
{
    for (size_t i = 0; i < GUARD; i++) {
        g_assert_cmpuint(host[i], ==, 0xa5);
        g_assert_cmpuint(host[GUARD + size + i], ==, 0xa5);
    }
}

void rig_check_guards(void)
{
    check_guard(host_ram, RAM_SIZE);
    check_guard(host_next, SMALL);
    check_guard(host_rom, SMALL);
}

uint8_t *rig_ram_copy(void)
{
    return g_memdup2(host_ram, sizeof(host_ram));
}

void rig_ram_unchanged(const uint8_t *copy)
{
    g_assert_cmpmem(copy, sizeof(host_ram), host_ram, sizeof(host_ram));
}

void rig_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len,
              uint16_t third, uint16_t fourth)
{
    uint8_t *d = guest(table + 16 * i);

    store_le64(d, addr);
    store_le32(d + 8, len);
    store_le16(d + 12, third);
    store_le16(d + 14, fourth);
}

/* ---- notifications ---- */

bool rig_signalled(VirtQueue *vq)
{
    return eventfd_clear(vq->call_fd);
}

void rig_wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    g_assert_cmpint(poll(&p, 1, 60000), ==, 1);
    eventfd_clear(fd);
}

/* ---- driver and device at the same time ---- */

/* Gives back each number that it reads plus one. */
static unsigned stress_burst(VirtQueue *vq, unsigned done)
{
    struct iovec iov[4];
    VirtQueueChain chain;
    unsigned burst = 0;
    int r;

    while ((r = virtqueue_pop(vq, iov, 4, &chain)) == 1 && burst++ < 8) {
        uint32_t in;

        g_assert_cmpuint(chain.n_out, ==, 1);
        g_assert_cmpuint(chain.n_in, ==, 1);
        memcpy(&in, iov[0].iov_base, 4);
        g_assert_cmpuint(in, ==, done);
        in++;
        memcpy(iov[1].iov_base, &in, 4);
        virtqueue_fill(vq, &chain, 4);
        done++;
    }
    g_assert_cmpint(r, >=, 0);
    if (r == 1) {
        virtqueue_unpop(vq, 1);
    }
    return done;
}

void *rig_stress_device(void *opaque)
{
    VirtQueue *vq = opaque;
    unsigned done = 0;

    while (done < STRESS_CHAINS) {
        virtqueue_want_kicks(vq, false);
        done = stress_burst(vq, done);
        virtqueue_publish(vq);
        virtqueue_signal(vq);
        virtqueue_want_kicks(vq, true);
        if (virtqueue_empty(vq) && done < STRESS_CHAINS) {
            rig_wait_readable(vq->kick_fd);
        }
    }
    return NULL;
}
