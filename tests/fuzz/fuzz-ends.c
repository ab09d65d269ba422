/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fuzz-ends.h.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>

#include "system/main-loop.h"
#include "tests/fuzz/fuzz-ends.h"
#include "util/fd.h"

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
void (*fuzz_kick)(unsigned q);

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

void fuzz_net_init(void)
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

/* ---- the driver ---- */

void fuzz_ends_clear(void)
{
    memset(fuzz_ram, 0, FUZZ_RAM_SIZE);
    memset(host, 0, sizeof(host));
    host_full = false;
    now = 1000000000;
}

void fuzz_ring_begin(unsigned q)
{
    ring[q] = (DriverRing){ .wrap = true };
}

bool fuzz_ring_is_packed(void)
{
    return virtio_has_feature(&fuzz_nic->vdev, VIRTIO_F_RING_PACKED);
}

FuzzPlace fuzz_ring_place(unsigned q, uint16_t size)
{
    uint64_t desc = FUZZ_RAM_GPA + q * FUZZ_RING, avail = desc + 16u * size;

    return (FuzzPlace){
        .desc = desc,
        .avail = avail,
        .used =
            ALIGN_UP(avail + (fuzz_ring_is_packed() ? 4u : 6u + 2u * size), 4),
    };
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
        if (++r->slot >= vq->size) {
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
    if (fuzz_ring_is_packed()) {
        offer_packed(q, buffers, n);
    } else {
        offer_split(q, buffers, n);
    }
    fuzz_kick(q);
}

void fuzz_nic_turn(void)
{
    for (unsigned i = 0; i < 2; i++) {
        event_loop_turn(main_loop(), 0);
    }
}

void fuzz_check_frames(void)
{
    FuzzBuffer out[] = { { FUZZ_RAM_GPA + FUZZ_DATA, 12 + 60, 0 } };
    FuzzBuffer in[] = { { FUZZ_RAM_GPA + FUZZ_DATA + 0x1000, 2048,
                          VRING_DESC_F_WRITE } };
    HostFrame frame = { .len = 12 + 60 };
    const struct vring_used *used =
        (const void *)(fuzz_ram +
                       (fuzz_nic->vdev.vq[0].used_gpa - FUZZ_RAM_GPA));

    memset(frame.start + 12, 0xff, 6);
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

void fuzz_ends_step(FuzzInput *in, unsigned kind)
{
    switch (kind) {
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
