/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fuzz-nic.h.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "system/main-loop.h"
#include "tests/fuzz/fuzz-nic.h"

#define BIT(n) (1ULL << (n))
/* Not for the input to choose. */
#define ALWAYS (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ))
#define SMALL  0x4000u /* bytes of memory behind RAM, and of ROM */

static uint8_t *ram_next, *ram_rom;

/* ---- the device ---- */

static void transport_notify(void *opaque)
{
}

static bool transport_start(void *opaque, Error **errp)
{
    return true;
}

static unsigned transport_vectors(void *opaque)
{
    return FUZZ_QUEUES + 1;
}

static const VirtIOTransportOps transport = {
    .notify_config = transport_notify,
    .start = transport_start,
    .stop = transport_notify,
    .n_vectors = transport_vectors,
};

static uint8_t *add_ram(uint64_t gpa, uint64_t size, bool readonly) MAIN_THREAD
{
    RamRange range = {
        .gpa = gpa, .size = size, .fd = -1, .readonly = readonly
    };
    Error *err = NULL;

    range.host = aligned_alloc(PAGE_SIZE_4K, size);
    memset(range.host, 0, size);
    g_assert_true(ram_add(&range, &err));
    return range.host;
}

static void set_property(const char *name, const char *text) MAIN_THREAD
{
    Error *err = NULL;

    object_property_parse(OBJECT(fuzz_nic), name, text, &err);
    g_assert_no_error(err);
}

static void kick(unsigned q)
{
    virtio_queue_notify(&fuzz_nic->vdev, q);
}

void fuzz_nic_init(void)
{
    static const char *const on[] = {
        "mq",        "rss",       "hash",         "packed",      "in_order",
        "tx-gather", "notf_coal", "vq_notf_coal", "device_stats"
    };
    Error *err = NULL;

    g_assert_true(main_loop_init(&err));
    fuzz_ram = add_ram(FUZZ_RAM_GPA, FUZZ_RAM_SIZE, false);
    ram_next = add_ram(FUZZ_NEXT_GPA, SMALL, false);
    ram_rom = add_ram(FUZZ_ROM_GPA, SMALL, true);
    fuzz_net_init();
    fuzz_kick = kick;
    fuzz_nic = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    fuzz_nic->vdev.dev.id = g_strdup("nic0");
    virtio_bind_transport(&fuzz_nic->vdev, &transport, NULL);
    set_property("netdev", "net0");
    set_property("rss-steering", "user");
    for (unsigned i = 0; i < ARRAY_SIZE(on); i++) {
        set_property(on[i], "on");
    }
    g_assert_true(device_realize(&fuzz_nic->vdev.dev, NULL, &err));
    fuzz_nic->vdev.vm_running = true;
}

/* ---- the driver ---- */

static void place_ring(unsigned q, uint16_t size) MAIN_THREAD
{
    VirtQueue *vq = &fuzz_nic->vdev.vq[q];
    FuzzPlace place;

    if (vq->enabled) {
        return; /* no transport lets it be moved then */
    }
    vq->size = MIN(size, vq->max_size);
    place = fuzz_ring_place(q, vq->size);
    vq->desc_gpa = place.desc;
    vq->avail_gpa = place.avail;
    vq->used_gpa = place.used;
    fuzz_ring_begin(q);
    virtio_queue_set_enabled(&fuzz_nic->vdev, q);
}

void fuzz_nic_start(uint64_t features, uint16_t size)
{
    VirtIODevice *vdev = &fuzz_nic->vdev;
    uint64_t offered = vdev->host_features & ~virtio_legacy_only_features(vdev);

    fuzz_ends_clear();
    memset(ram_next, 0, SMALL);
    virtio_set_bus_master(vdev, true);
    virtio_set_status(vdev, 3);
    virtio_set_guest_features(vdev, (features & offered) | ALWAYS);
    virtio_set_status(vdev, 11);
    if (!(vdev->status & 8)) { /* features that exclude each other */
        virtio_reset(vdev);
        virtio_set_status(vdev, 3);
        virtio_set_guest_features(vdev, ALWAYS | BIT(VIRTIO_NET_F_MQ));
        virtio_set_status(vdev, 11);
    }
    for (unsigned q = 0; q < FUZZ_QUEUES; q++) {
        place_ring(q, size);
    }
    virtio_set_status(vdev, 15);
}

/* ---- after each input ---- */

static void check_reset(void) MAIN_THREAD
{
    virtio_reset(&fuzz_nic->vdev);
    for (unsigned q = 0; q < FUZZ_QUEUES; q++) {
        const VirtQueue *vq = &fuzz_nic->vdev.vq[q];

        g_assert_false(vq->running || vq->enabled);
        g_assert_cmpuint(vq->inuse, ==, 0);
        g_assert_cmpuint(vq->pending, ==, 0);
    }
    for (unsigned i = 0; i < SMALL; i++) {
        g_assert_cmpuint(ram_rom[i], ==, 0);
    }
}

void fuzz_nic_end(void)
{
    fuzz_nic_turn();
    check_reset();
    fuzz_nic_start(BIT(VIRTIO_NET_F_MRG_RXBUF), 64);
    fuzz_check_frames();
    virtio_reset(&fuzz_nic->vdev);
}

/* ---- steps ---- */

static void step_queue(FuzzInput *in) MAIN_THREAD
{
    unsigned q = fuzz_u8(in) % FUZZ_QUEUES, how = fuzz_u8(in);

    if (how & 1) {
        virtio_queue_reset(&fuzz_nic->vdev, q);
    }
    if (how & 2) {
        place_ring(q, fuzz_u16(in) % 257);
    }
    if (how & 4) {
        virtio_queue_notify(&fuzz_nic->vdev, q);
    }
}

static void step_device(FuzzInput *in) MAIN_THREAD
{
    VirtIODevice *vdev = &fuzz_nic->vdev;
    uint8_t how = fuzz_u8(in);

    switch (how % 5) {
    case 0:
        virtio_set_status(vdev, fuzz_u8(in));
        break;
    case 1:
        virtio_set_bus_master(vdev, how & 8);
        break;
    case 2:
        virtio_config_write(vdev, fuzz_u8(in), fuzz_u32(in), 1u << how / 5 % 3);
        break;
    case 3:
        virtio_config_read(vdev, fuzz_u8(in), 1u << how / 5 % 3);
        break;
    case 4:
        virtio_set_guest_features(vdev, fuzz_u64(in));
        break;
    }
}

void fuzz_nic_step(FuzzInput *in)
{
    unsigned kind = fuzz_u8(in) % FUZZ_ENDS_KINDS;

    if (kind == 6) {
        step_queue(in);
    } else if (kind == 7) {
        step_device(in);
    } else {
        fuzz_ends_step(in, kind);
    }
}
