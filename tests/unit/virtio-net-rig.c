/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See virtio-net-rig.h.
 *
 * Threads: the test's only thread.
 */
#include "util/osdep.h"

#include "tests/unit/virtio-net-rig.h"

uint8_t *rig_ram;

uint8_t rig_byte(uint8_t seed, size_t i)
{
    return seed * 31u + i * 7u + (i >> 8);
}

static ssize_t rig_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    Rig *rig = container_of(sq, Rig, sq);
    size_t done = 0;

    if (rig->recv_error) {
        return rig->recv_error;
    }
    if (rig->in_next == rig->in_n) {
        return 0;
    }
    for (unsigned i = 0; i < n && done < rig->in[rig->in_next].len; i++) {
        size_t part = MIN(iov[i].iov_len, rig->in[rig->in_next].len - done);

        memcpy(iov[i].iov_base, rig->in[rig->in_next].data + done, part);
        done += part;
    }
    rig->in_next++;
    return done;
}

static ssize_t rig_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    Rig *rig = container_of(sq, Rig, sq);
    size_t done = 0;

    if (rig->send_error) {
        return rig->send_error;
    }
    if (rig->out_n == rig->out_room) {
        return 0;
    }
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(done + iov[i].iov_len, <=, sizeof(rig->out[0].data));
        memcpy(rig->out[rig->out_n].data + done, iov[i].iov_base,
               iov[i].iov_len);
        done += iov[i].iov_len;
    }
    rig->out[rig->out_n++].len = done;
    return done;
}

static void rig_ring_init(RigRing *ring, unsigned index, uint64_t gpa,
                          uint64_t features) MAIN_THREAD
{
    VirtQueue *vq = &ring->vq;
    Error *err = NULL;

    memset(rig_ram + gpa, 0, 0x8000);
    virtqueue_init(vq, index, RIG_SIZE, &err);
    g_assert_no_error(err);
    vring_init(&ring->v, RIG_SIZE, rig_ram + gpa, 4096);
    vq->size = RIG_SIZE;
    vq->desc_gpa = gpa;
    vq->avail_gpa = gpa + ((uint8_t *)ring->v.avail - (rig_ram + gpa));
    vq->used_gpa = gpa + ((uint8_t *)ring->v.used - (rig_ram + gpa));
    vq->enabled = true;
    g_assert_cmpint(virtqueue_start(vq, features), ==, 0);
}

static void rig_no_task(void *opaque)
{
}

void rig_init(Rig *rig, uint64_t features)
{
    RamRange range = { .size = RIG_RAM, .fd = -1 };
    Error *err = NULL;

    if (!rig_ram) {
        rig_ram = mmap(NULL, RIG_RAM, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        range.host = rig_ram;
        g_assert_true(ram_add(&range, &err));
    }
    memset(rig, 0, sizeof(*rig));
    rig->net = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    rig->net->vdev.guest_features = features;
    rig->net->max_pairs = 1;
    rig->net->link_up = true;
    rig->net->pair = rig->pair = g_new0(VirtIONetPair, 1);
    rig_ring_init(&rig->rx, 0, 0x1000, features);
    rig_ring_init(&rig->tx, 1, 0x10000, features);
    rig->info = (NetClientInfo){ .recv = rig_recv, .send = rig_send };
    rig->nc.info = &rig->info;
    rig->sq.nc = &rig->nc;
    rig->sq.io = &rig->info;
    rig->out_room = RIG_QUEUE;
    rig->loop = event_loop_new("rig", NULL, &err);
    g_assert_no_error(err);
    loop_task_init(&rig->net->vdev.error_task, rig->loop, rig_no_task, NULL);
    rig->pair->net = rig->net;
    rig->pair->backend = &rig->sq;
    net_port_open(&rig->pair->port, &rig->sq, NULL);
    rig->pair->rx_vq = &rig->rx.vq;
    rig->pair->tx_vq = &rig->tx.vq;
    rig->pair->loop = rig->loop;
    virtio_net_pair_prepare(rig->pair);
    virtio_net_filter_reset(rig->net);
}

void rig_free(Rig *rig)
{
    loop_task_cancel(&rig->pair->rx_task);
    loop_task_cancel(&rig->pair->tx_task);
    virtio_net_pairs_reset(rig->net);
    virtqueue_stop(&rig->rx.vq);
    virtqueue_stop(&rig->tx.vq);
    virtqueue_cleanup(&rig->rx.vq);
    virtqueue_cleanup(&rig->tx.vq);
    event_loop_free(rig->loop);
    virtio_net_filter_free(rig->net);
    for (unsigned i = 0; i < rig->in_n; i++) {
        g_free(rig->in[i].data);
    }
    g_free(rig->pair);
    g_free(rig->net->vdev.fault_reason);
    rig->net->pair = NULL;
    object_unref(OBJECT(rig->net));
}

uint64_t rig_add(RigRing *ring, const int *lens, unsigned n, uint64_t gpa)
{
    uint64_t first = gpa;
    uint16_t head = ring->next_desc % RIG_SIZE;

    for (unsigned i = 0; i < n; i++) {
        struct vring_desc *d = &ring->v.desc[ring->next_desc++ % RIG_SIZE];

        d->addr = gpa;
        d->len = lens[i] < 0 ? -lens[i] : lens[i];
        d->flags = (lens[i] < 0 ? VRING_DESC_F_WRITE : 0) |
                   (i + 1 < n ? VRING_DESC_F_NEXT : 0);
        d->next = ring->next_desc % RIG_SIZE;
        gpa += d->len;
    }
    ring->v.avail->ring[ring->avail_idx++ % RIG_SIZE] = head;
    __atomic_store_n(&ring->v.avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
    return first;
}

void rig_push(Rig *rig, size_t len, uint8_t seed)
{
    uint8_t *data = g_malloc0(len);

    for (size_t i = sizeof(struct virtio_net_hdr_v1); i < len; i++) {
        data[i] = rig_byte(seed, i);
    }
    rig->in[rig->in_n].data = data;
    rig->in[rig->in_n++].len = len;
}
