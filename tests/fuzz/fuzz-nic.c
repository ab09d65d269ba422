/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fuzz-nic.h.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>

#include "system/main-loop.h"
#include "tests/fuzz/fuzz-nic.h"
#include "util/fd.h"

#define BIT(n) (1ULL << (n))
/* Not for the input to choose. */
#define ALWAYS      (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ))
#define HOST_FRAMES 16u
#define TURNS       64u

/* A frame from the network: what the input says, then a pattern. */
typedef struct HostFrame {
    uint8_t start[64];
    size_t len; /* with the virtio-net header */
} HostFrame;

typedef struct HostQueue {
    HostFrame frame[HOST_FRAMES];
    unsigned n, next;
    unsigned sent; /* by the driver */
} HostQueue;

/* A ring as the driver sees it. */
typedef struct DriverRing {
    uint16_t slot, avail;
    bool wrap;
} DriverRing;

uint8_t *fuzz_ram;
VirtIONet *fuzz_nic;

static uint8_t *ram_next, *ram_rom;
static NetClientState netdev;
static HostQueue host[FUZZ_PAIRS];
static bool host_full;
static uint8_t host_sum; /* of all that was sent: it can be read */
static DriverRing ring[FUZZ_QUEUES];
static int64_t now;

/* ---- in the place of threads, time and messages ---- */

EventLoop *__wrap_iothread_loop(const IOThread *iothread);
IoRing *__wrap_iothread_io_ring(const IOThread *iothread);
bool __wrap_virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp);
bool __wrap_event_loop_is_current(const EventLoop *loop);
int64_t __wrap_clock_now_ns(void);
void __wrap_warn_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

EventLoop *__wrap_iothread_loop(const IOThread *iothread)
{
    return main_loop();
}

IoRing *__wrap_iothread_io_ring(const IOThread *iothread)
{
    return NULL;
}

bool __wrap_virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp)
{
    return true;
}

bool __wrap_event_loop_is_current(const EventLoop *loop)
{
    return true;
}

int64_t __wrap_clock_now_ns(void)
{
    return now;
}

void __wrap_warn_report(const char *fmt, ...)
{
}

/* ---- the network ---- */

static ssize_t host_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    HostQueue *h = &host[sq->index];
    const HostFrame *f = &h->frame[h->next];
    size_t done = 0;

    if (h->next == h->n) {
        eventfd_clear(sq->fd);
        return 0;
    }
    for (unsigned i = 0; i < n && done < f->len; i++) {
        size_t part = MIN(iov[i].iov_len, f->len - done);
        uint8_t *to = iov[i].iov_base;

        for (size_t k = 0; k < part; k++, done++) {
            to[k] = done < sizeof(f->start) ? f->start[done] : (uint8_t)done;
        }
    }
    h->next++;
    return (ssize_t)done;
}

static ssize_t host_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    size_t done = 0;

    if (host_full) {
        return 0;
    }
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *from = iov[i].iov_base;

        for (size_t k = 0; k < iov[i].iov_len; k++) {
            host_sum += from[k];
        }
        done += iov[i].iov_len;
    }
    g_assert_cmpuint(done, >=, netdev.vnet_hdr_len);
    g_assert_cmpuint(done, <=, VIRTIO_NET_RX_MAX);
    host[sq->index].sent++;
    return (ssize_t)done;
}

static bool host_set_hdr_len(NetClientState *nc, unsigned len, Error **errp)
{
    nc->vnet_hdr_len = len;
    return true;
}

static void host_push(unsigned queue, const HostFrame *frame)
{
    HostQueue *h = &host[queue];

    if (h->next == h->n) {
        h->next = h->n = 0;
    }
    if (h->n < HOST_FRAMES) {
        h->frame[h->n++] = *frame;
        eventfd_signal(netdev.queue[queue].fd);
    }
}

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

static void make_netdev(void) MAIN_THREAD
{
    static const NetClientInfo info = { .type = NET_CLIENT_DRIVER_TAP,
                                        .recv = host_recv,
                                        .send = host_send,
                                        .set_vnet_hdr_len = host_set_hdr_len };
    Error *err = NULL;

    g_assert_true(
        net_client_register(&netdev, &info, "net0", FUZZ_PAIRS, &err));
    netdev.caps = (NetCaps){ .vnet_hdr = true, .ufo = true, .uso = true };
    for (unsigned i = 0; i < FUZZ_PAIRS; i++) {
        netdev.queue[i].fd = eventfd_new(&err);
        g_assert_no_error(err);
    }
}

static void set_property(const char *name, const char *text) MAIN_THREAD
{
    Error *err = NULL;

    object_property_parse(OBJECT(fuzz_nic), name, text, &err);
    g_assert_no_error(err);
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
    ram_next = add_ram(FUZZ_NEXT_GPA, FUZZ_SMALL, false);
    ram_rom = add_ram(FUZZ_ROM_GPA, FUZZ_SMALL, true);
    make_netdev();
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

static bool ring_is_packed(void)
{
    return virtio_has_feature(&fuzz_nic->vdev, VIRTIO_F_RING_PACKED);
}

static void place_ring(unsigned q, uint16_t size) MAIN_THREAD
{
    VirtQueue *vq = &fuzz_nic->vdev.vq[q];

    if (vq->enabled) {
        return; /* as transports do: a ring that is in use stays as it is */
    }
    vq->size = MIN(size, vq->max_size);
    vq->desc_gpa = FUZZ_RAM_GPA + q * FUZZ_RING;
    vq->avail_gpa = vq->desc_gpa + 16u * vq->size;
    vq->used_gpa = ALIGN_UP(
        vq->avail_gpa + (ring_is_packed() ? 4u : 6u + 2u * vq->size), 4);
    ring[q] = (DriverRing){ .wrap = true };
    virtio_queue_set_enabled(&fuzz_nic->vdev, q);
}

/* All of guest memory but that which only the input has is empty. */
static void clear_all(void)
{
    memset(fuzz_ram, 0, FUZZ_RAM_SIZE);
    memset(ram_next, 0, FUZZ_SMALL);
    memset(host, 0, sizeof(host));
    host_full = false;
    now = 1000000000;
}

void fuzz_nic_start(uint64_t features, uint16_t size)
{
    VirtIODevice *vdev = &fuzz_nic->vdev;
    uint64_t offered = vdev->host_features & ~virtio_legacy_only_features(vdev);

    clear_all();
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

static void offer_split(unsigned q, const FuzzBuffer *b, unsigned n)
{
    const VirtQueue *vq = &fuzz_nic->vdev.vq[q];
    struct vring_desc *desc = (void *)(fuzz_ram + q * FUZZ_RING);
    struct vring_avail *avail = (void *)(desc + vq->size);
    DriverRing *r = &ring[q];
    uint16_t head = r->slot;

    for (unsigned i = 0; i < n; i++) {
        uint16_t next = (r->slot + 1) % vq->size;

        desc[r->slot] = (struct vring_desc){
            .addr = b[i].gpa,
            .len = b[i].len,
            .flags = b[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
            .next = next,
        };
        r->slot = next;
    }
    avail->ring[r->avail++ % vq->size] = head;
    avail->idx = r->avail;
}

static void offer_packed(unsigned q, const FuzzBuffer *b, unsigned n)
{
    const VirtQueue *vq = &fuzz_nic->vdev.vq[q];
    struct vring_packed_desc *desc = (void *)(fuzz_ram + q * FUZZ_RING);
    DriverRing *r = &ring[q];

    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = b[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
                         (uint16_t)(r->wrap << VRING_PACKED_DESC_F_AVAIL |
                                    !r->wrap << VRING_PACKED_DESC_F_USED);

        desc[r->slot] = (struct vring_packed_desc){
            .addr = b[i].gpa, .len = b[i].len, .id = r->avail, .flags = flags
        };
        if (++r->slot == vq->size) {
            r->slot = 0;
            r->wrap = !r->wrap;
        }
    }
    r->avail++;
}

void fuzz_nic_offer(unsigned q, const FuzzBuffer *buffers, unsigned n)
{
    if (fuzz_nic->vdev.vq[q].size == 0) {
        return;
    }
    if (ring_is_packed()) {
        offer_packed(q, buffers, n);
    } else {
        offer_split(q, buffers, n);
    }
    virtio_queue_notify(&fuzz_nic->vdev, q);
}

void fuzz_nic_turn(void)
{
    for (unsigned i = 0; i < 2; i++) {
        event_loop_turn(main_loop(), 0);
    }
}

/* ---- after each input ---- */

/* What a device without faults must do: a frame each way on pair 0. */
static void check_alive(void) MAIN_THREAD
{
    FuzzBuffer out[] = { { FUZZ_RAM_GPA + FUZZ_DATA, 12 + 60, 0 } };
    FuzzBuffer in[] = { { FUZZ_RAM_GPA + FUZZ_DATA + 0x1000, 2048,
                          VRING_DESC_F_WRITE } };
    HostFrame frame = { .len = 12 + 60 };
    const struct vring_used *used;

    memset(frame.start + 12, 0xff, 6);
    fuzz_nic_start(BIT(VIRTIO_NET_F_MRG_RXBUF), 64);
    used = (const void *)(fuzz_ram +
                          (fuzz_nic->vdev.vq[0].used_gpa - FUZZ_RAM_GPA));
    fuzz_nic_offer(1, out, 1);
    fuzz_nic_offer(0, in, 1);
    host_push(0, &frame);
    for (unsigned i = 0; i < TURNS && (used->idx != 1 || !host[0].sent); i++) {
        event_loop_turn(main_loop(), 0);
    }
    g_assert_cmpuint(used->idx, ==, 1);
    g_assert_cmpuint(used->ring[0].len, ==, frame.len);
    g_assert_cmpuint(host[0].sent, ==, 1);
    g_assert_false(virtio_is_broken(&fuzz_nic->vdev));
    virtio_reset(&fuzz_nic->vdev);
}

static void check_reset(void) MAIN_THREAD
{
    virtio_reset(&fuzz_nic->vdev);
    for (unsigned q = 0; q < FUZZ_QUEUES; q++) {
        const VirtQueue *vq = &fuzz_nic->vdev.vq[q];

        g_assert_false(vq->running || vq->enabled);
        g_assert_cmpuint(vq->inuse, ==, 0);
        g_assert_cmpuint(vq->pending, ==, 0);
    }
    for (unsigned i = 0; i < FUZZ_SMALL; i++) {
        g_assert_cmpuint(ram_rom[i], ==, 0);
    }
}

void fuzz_nic_end(void)
{
    fuzz_nic_turn();
    check_reset();
    check_alive();
}

/* ---- steps ---- */

/* An address: mostly in RAM, sometimes at an end of it, or anywhere. */
static uint64_t take_gpa(FuzzInput *in)
{
    uint16_t v = fuzz_u16(in);

    switch (v & 7) {
    case 0:
        return FUZZ_NEXT_GPA - (v >> 3) % 64;
    case 1:
        return FUZZ_ROM_GPA - 32 + (v >> 3) % 64;
    case 2:
        return fuzz_u64(in);
    default:
        return FUZZ_RAM_GPA + (v >> 3) * 16u;
    }
}

static void step_chain(FuzzInput *in) MAIN_THREAD
{
    unsigned q = fuzz_u8(in) % FUZZ_QUEUES, n = fuzz_u8(in) % 8 + 1;
    FuzzBuffer b[8];

    for (unsigned i = 0; i < n; i++) {
        uint8_t how = fuzz_u8(in);

        b[i].gpa = take_gpa(in);
        b[i].len = how & 0x80 ? fuzz_u32(in) : fuzz_u16(in);
        b[i].flags = how & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
    }
    fuzz_nic_offer(q, b, n);
}

/* Receive buffers that are in order, as many as the input says. */
static void step_buffers(FuzzInput *in) MAIN_THREAD
{
    unsigned q = 2 * (fuzz_u8(in) % FUZZ_PAIRS), n = fuzz_u8(in) % 16 + 1;
    uint16_t len = fuzz_u16(in) % 4096;

    for (unsigned i = 0; i < n; i++) {
        FuzzBuffer b = { FUZZ_RAM_GPA + FUZZ_DATA + i * 4096u, len,
                         VRING_DESC_F_WRITE };

        fuzz_nic_offer(q, &b, 1);
    }
}

static void step_write(FuzzInput *in)
{
    size_t at = fuzz_u8(in), len;

    at = at << 9 | (fuzz_u16(in) & 0x1ff);
    at %= FUZZ_RAM_SIZE - 64;
    len = fuzz_u8(in) % 64 + 1;
    fuzz_bytes(in, fuzz_ram + at, len);
}

static void step_frames(FuzzInput *in)
{
    unsigned queue = fuzz_u8(in) % FUZZ_PAIRS, n = fuzz_u8(in) % 8 + 1;
    HostFrame f;

    fuzz_bytes(in, f.start, fuzz_u8(in) % sizeof(f.start));
    f.len = MAX(fuzz_u16(in), netdev.vnet_hdr_len + 14u);
    for (unsigned i = 0; i < n; i++) {
        host_push(queue, &f);
    }
}

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

static void step_ctrl(FuzzInput *in) MAIN_THREAD
{
    const uint64_t at = FUZZ_RAM_GPA + FUZZ_DATA;
    size_t len = fuzz_u8(in), split = fuzz_u8(in) % (len + 1);
    FuzzBuffer b[] = { { at, split, 0 },
                       { at + split, len - split, 0 },
                       { at + 0x1000, fuzz_u8(in), VRING_DESC_F_WRITE } };

    fuzz_bytes(in, fuzz_ram + FUZZ_DATA, len);
    fuzz_nic_offer(FUZZ_CTRL, b, ARRAY_SIZE(b));
    fuzz_nic_turn();
}

void fuzz_nic_step(FuzzInput *in)
{
    switch (fuzz_u8(in) % 12) {
    case 0:
    case 1:
        step_chain(in);
        break;
    case 2:
        step_buffers(in);
        break;
    case 3:
    case 4:
        step_write(in);
        break;
    case 5:
        step_frames(in);
        break;
    case 6:
        step_queue(in);
        break;
    case 7:
        step_device(in);
        break;
    case 8:
        step_ctrl(in);
        break;
    case 9:
        now += fuzz_u32(in);
        break;
    case 10:
        host_full = fuzz_u8(in) & 1;
        break;
    case 11:
        fuzz_nic_turn();
        break;
    }
}
