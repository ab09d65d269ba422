/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See virtqueue-packed-rig.h.
 *
 * Threads: the test's.
 */
#include "util/osdep.h"

#include "virtqueue-packed-rig.h"

const Part driver_three[3] = {
    { DATA_GPA, 10, 0 },
    { DATA_GPA + 100, 20, WRITE },
    { DATA_GPA + 200, 30, WRITE },
};

Pos pos_after(const Driver *d, Pos pos, unsigned n)
{
    pos.slot += n;
    if (pos.slot >= d->size) {
        pos.slot -= d->size;
        pos.wrap = !pos.wrap;
    }
    return pos;
}

static uint16_t avail_flags(bool wrap)
{
    return wrap ? AVAIL : USED;
}

uint16_t *flags_at(unsigned slot)
{
    return word(DESC_GPA + 16 * slot + 14);
}

/* Writes a chain, the first one's flags last. */
void driver_offer(Driver *d, const Part *part, unsigned n, uint16_t id)
{
    uint16_t first = 0, *first_at = flags_at(d->next.slot);

    for (unsigned i = 0; i < n; i++) {
        uint16_t flags =
            part[i].flags | (i + 1 < n ? NEXT : 0) | avail_flags(d->next.wrap);
        uint8_t *at = guest(DESC_GPA + 16 * d->next.slot);

        store_le64(at, part[i].addr);
        store_le32(at + 8, part[i].len);
        store_le16(at + 12, i + 1 < n ? 0xfff0 : id);
        if (i == 0) {
            first = flags;
        } else {
            store_le16(at + 14, flags);
        }
        d->next = pos_after(d, d->next, 1);
    }
    d->slots[id] = n;
    __atomic_store_n(first_at, htole16(first), __ATOMIC_RELEASE);
}

void driver_offer_one(Driver *d, uint16_t flags, uint16_t id)
{
    Part part = { DATA_GPA, 16, flags };

    driver_offer(d, &part, 1, id);
}

bool is_used(Pos pos)
{
    uint16_t flags =
        le16toh(__atomic_load_n(flags_at(pos.slot), __ATOMIC_ACQUIRE));

    return (flags & (AVAIL | USED)) == (pos.wrap ? AVAIL | USED : 0);
}

uint16_t used_id(Pos pos)
{
    return le16toh(*word(DESC_GPA + 16 * pos.slot + 12));
}

uint32_t used_len(Pos pos)
{
    return load_le32(guest(DESC_GPA + 16 * pos.slot + 8));
}

void driver_take(Driver *d, uint16_t id, uint32_t len)
{
    g_assert_true(is_used(d->used));
    g_assert_cmpuint(used_id(d->used), ==, id);
    g_assert_cmpuint(!!(le16toh(*flags_at(d->used.slot)) & WRITE), ==, !!len);
    g_assert_cmpuint(used_len(d->used), ==, len);
    d->used = pos_after(d, d->used, d->slots[id]);
}

void driver_init(Driver *d, unsigned size, uint64_t features)
{
    rig_memory_init();
    *d = (Driver){ .features = features,
                   .size = size,
                   .next = { 0, true },
                   .used = { 0, true } };
    g_assert_true(virtqueue_init(&d->vq, 0, VIRTQUEUE_MAX_SIZE, NULL));
    d->vq.size = (uint16_t)size;
    d->vq.desc_gpa = DESC_GPA;
    d->vq.avail_gpa = DRIVER_GPA;
    d->vq.used_gpa = DEVICE_GPA;
    d->vq.enabled = true;
}

void driver_start(Driver *d, unsigned size, uint64_t features)
{
    driver_init(d, size, features | F_V1 | F_PACKED);
    g_assert_cmpint(virtqueue_start(&d->vq, d->features), ==, 0);
}

void driver_end(Driver *d)
{
    rig_check_guards();
    virtqueue_cleanup(&d->vq);
}

VirtQueueChain driver_pop(Driver *d)
{
    struct iovec iov[16];
    VirtQueueChain chain;

    g_assert_cmpint(virtqueue_pop(&d->vq, iov, 16, &chain), ==, 1);
    return chain;
}

void driver_roundtrip(Driver *d, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        VirtQueueChain chain;

        driver_offer_one(d, WRITE, i);
        chain = driver_pop(d);
        virtqueue_fill(&d->vq, &chain, 16);
    }
    virtqueue_publish(&d->vq);
    for (unsigned i = 0; i < n; i++) {
        driver_take(d, i, 16);
    }
}
