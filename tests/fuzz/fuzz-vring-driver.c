/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that writes what it likes into a ring of ours, split or packed. What
 * it gives back is then a chain that it had, once, and no longer than that has
 * room; or the ring is broken, for good. As long as it makes no mistakes all
 * chains come back.
 *
 * Input: a byte whose bits 0 to 2 are packed, event index, in-order use; two
 * with the size of the ring; then steps of driver and device.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hw/virtio/vring-driver.h"
#include "tests/fuzz/fuzz.h"
#include "util/fd.h"

#define BIT(n)  (1ULL << (n))
#define STEPS   256u
#define LARGEST 64u
#define ADDRESS 0x7000000000000000ULL
#define F_AVAIL BIT(VRING_PACKED_DESC_F_AVAIL)
#define F_USED  BIT(VRING_PACKED_DESC_F_USED)

/* A chain that was added; its index is its token. */
typedef struct Chain {
    bool out;
    uint64_t in_len;
} Chain;

static VringDriver *ring;
static VringDriverAreas area;
static uint16_t size;
static bool packed;
static int kick;

static Chain chain[LARGEST];
static unsigned outstanding, unpublished;
static bool honest;

/* The device that makes no mistakes. */
static uint16_t seen, used; /* packed: slots */
static bool seen_wrap, used_wrap;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    kick = eventfd_new(NULL);
    g_assert_cmpint(kick, >=, 0);
    return 0;
}

/* ---- the driver ---- */

static void check_counts(void)
{
    g_assert_cmpuint(vring_driver_outstanding(ring), ==, outstanding);
    g_assert_cmpuint(vring_driver_room(ring), <=, size - outstanding);
    if (vring_driver_fault(ring)) {
        g_assert_false(honest);
        g_assert_cmpuint(vring_driver_room(ring), ==, 0);
        g_assert_false(vring_driver_empty(ring));
    }
}

static void add(FuzzInput *in)
{
    uint8_t how = fuzz_u8(in);
    unsigned n_out = how & 3, n_in = how >> 2 & 3, token = 0;
    unsigned room = vring_driver_room(ring);
    VringDriverPart parts[6];
    uint64_t in_len = 0;
    int r;

    n_in += n_out + n_in == 0;
    while (token < size && chain[token].out) {
        token++;
    }
    if (token == size) {
        return;
    }
    for (unsigned i = 0; i < n_out + n_in; i++) {
        uint32_t len = how & 0x80 ? fuzz_u32(in) : fuzz_u8(in);

        parts[i] = (VringDriverPart){ fuzz_u8(in), MAX(len, 1) };
        in_len += i < n_out ? 0 : parts[i].len;
    }
    r = vring_driver_add(ring, parts, n_out, n_in, (uint16_t)token);
    if (vring_driver_fault(ring)) {
        g_assert_cmpint(r, ==, -EPROTO);
    } else {
        g_assert_cmpint(r, ==, n_out + n_in <= room ? 0 : -ENOSPC);
    }
    if (r == 0) {
        chain[token] = (Chain){ true, in_len };
        outstanding++;
        unpublished++;
        g_assert_cmpuint(vring_driver_room(ring), ==, room - n_out - n_in);
    }
}

static void publish(void)
{
    bool any = unpublished && !vring_driver_fault(ring);

    if (vring_driver_publish(ring)) {
        g_assert_true(any);
        g_assert_true(eventfd_clear(kick));
    }
    g_assert_false(eventfd_clear(kick));
    if (any) {
        unpublished = 0;
    }
}

/* True: there may be more. */
static bool take(void)
{
    bool empty = vring_driver_empty(ring);
    VringDriverUsed got;
    int r = vring_driver_take(ring, &got);

    g_assert_true(empty == (r == 0));
    if (r == 1) {
        g_assert_cmpuint(got.token, <, size);
        g_assert_true(chain[got.token].out);
        g_assert_cmpuint(got.len, <=, chain[got.token].in_len);
        chain[got.token].out = false;
        outstanding--;
        g_assert_cmpuint(outstanding, >=, unpublished);
    } else if (r) {
        g_assert_cmpint(r, ==, -EPROTO);
        g_assert_nonnull(vring_driver_fault(ring));
    }
    return r == 1;
}

/* ---- the device ---- */

static void next(uint16_t *slot, bool *wrap, unsigned n)
{
    for (; n > 0; n--) {
        if (++*slot == size) {
            *slot = 0;
            *wrap = !*wrap;
        }
    }
}

static void use_split(uint32_t len)
{
    struct vring_desc *desc = area.desc;
    struct vring_avail *avail = area.driver;
    struct vring_used *to = area.device;
    uint16_t head, at;
    uint64_t room = 0;

    if (avail->idx == seen) {
        return;
    }
    head = at = avail->ring[seen++ % size];
    for (;;) {
        g_assert_cmpuint(at, <, size);
        room += desc[at].flags & VRING_DESC_F_WRITE ? desc[at].len : 0;
        if (!(desc[at].flags & VRING_DESC_F_NEXT)) {
            break;
        }
        at = desc[at].next;
    }
    to->ring[to->idx % size].id = head;
    to->ring[to->idx % size].len = (uint32_t)MIN(room, len);
    to->idx++;
}

static void use_packed(uint32_t len)
{
    struct vring_packed_desc *desc = area.desc;
    uint16_t first = desc[seen].flags, n = 0;
    uint64_t room = 0;

    if (!!(first & F_AVAIL) != seen_wrap || !!(first & F_USED) == seen_wrap) {
        return;
    }
    for (uint16_t flags = VRING_DESC_F_NEXT; flags & VRING_DESC_F_NEXT; n++) {
        flags = desc[seen].flags;
        room += flags & VRING_DESC_F_WRITE ? desc[seen].len : 0;
        desc[used].id = desc[seen].id;
        next(&seen, &seen_wrap, 1);
    }
    desc[used].len = (uint32_t)MIN(room, len);
    desc[used].flags =
        (room ? VRING_DESC_F_WRITE : 0) | (used_wrap ? F_AVAIL | F_USED : 0);
    next(&used, &used_wrap, n);
}

/* The device uses the next chain. */
static void use(uint32_t len)
{
    if (!honest) {
        return; /* it may have written into what it would read */
    }
    if (packed) {
        use_packed(len);
    } else {
        use_split(len);
    }
}

static void lie(FuzzInput *in)
{
    uint8_t how = fuzz_u8(in);
    uint8_t *to = how & 1 ? area.device : how & 2 ? area.driver : area.desc;
    size_t bytes = how & 1   ? area.device_bytes
                   : how & 2 ? area.driver_bytes
                             : area.desc_bytes;
    size_t at = fuzz_u16(in) % bytes, len = MIN(how >> 2 & 15, bytes - at);

    fuzz_bytes(in, to + at, len);
    honest &= len == 0;
}

/* The next element says something that is nearly right. */
static void lie_about_chain(FuzzInput *in)
{
    uint16_t id = fuzz_u8(in) % (size + 1), n = fuzz_u8(in) % 4;
    uint32_t len = fuzz_u16(in);

    honest = false;
    if (packed) {
        struct vring_packed_desc *desc = area.desc;

        desc[used].id = id;
        desc[used].len = len;
        desc[used].flags = used_wrap ? F_AVAIL | F_USED : 0;
        next(&used, &used_wrap, n);
    } else {
        struct vring_used *to = area.device;

        to->ring[to->idx % size].id = id;
        to->ring[to->idx % size].len = len;
        to->idx += n;
    }
}

/* ---- one input ---- */

static void begin(void)
{
    memset(chain, 0, sizeof(chain));
    outstanding = unpublished = 0;
    honest = true;
    seen = used = 0;
    seen_wrap = used_wrap = true;
}

static void step(FuzzInput *in)
{
    uint8_t kind = fuzz_u8(in);

    switch (kind % 12) {
    case 0:
    case 1:
    case 2:
        add(in);
        break;
    case 3:
        publish();
        break;
    case 4:
    case 5:
        use(fuzz_u16(in));
        break;
    case 6:
        take();
        break;
    case 7:
        while (take()) {
        }
        break;
    case 8:
        vring_driver_want_calls(ring, kind & 0x80);
        break;
    case 9:
        lie(in);
        break;
    case 10:
        lie_about_chain(in);
        break;
    case 11:
        if (kind & 0x80) {
            vring_driver_reset(ring);
            begin();
        }
        break;
    }
    check_counts();
}

/* What was published comes back from a device that goes on. */
static void finish(void)
{
    publish();
    for (unsigned i = 0; i < size; i++) {
        use(UINT32_MAX);
    }
    while (take()) {
    }
    check_counts();
    if (honest) {
        g_assert_cmpuint(outstanding, ==, 0);
        g_assert_cmpuint(vring_driver_room(ring), ==, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    FuzzInput in = { data, len };
    uint8_t how = fuzz_u8(&in);
    VringDriverConfig config = { .address = ADDRESS, .kick_fd = kick };

    packed = how & 1;
    size = packed ? fuzz_u16(&in) % LARGEST + 1
                  : (uint16_t)(1u << fuzz_u16(&in) % 7);
    config.size = size;
    config.features = (packed ? BIT(VIRTIO_F_RING_PACKED) : 0) |
                      (how & 2 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
                      (how & 4 ? BIT(VIRTIO_F_IN_ORDER) : 0);
    config.memory = aligned_alloc(VRING_DRIVER_ALIGN,
                                  vring_driver_bytes(size, config.features));
    ring = vring_driver_new(&config);
    vring_driver_areas(ring, &area);
    begin();
    for (unsigned i = 0; i < STEPS && in.left; i++) {
        step(&in);
    }
    finish();
    vring_driver_free(ring);
    free(config.memory);
    return 0;
}
