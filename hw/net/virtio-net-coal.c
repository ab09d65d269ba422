/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notification coalescing (VIRTIO 1.2, 5.1.6.5.9): the driver says how many
 * packets, or microseconds, a used-buffer notification may wait for more.
 *
 * Used buffers are published as ever; only virtqueue_signal() waits. It is
 * called when enough packets have passed since the last call, or by a timer of
 * the pair's loop, and suppression by the driver (2.7.7) then has its say. What
 * waits is told early when more cannot come: the receive ring has run out of
 * buffers, or the owner lets go of the pair.
 *
 * Packets are counted by the counters that the pair has anyway. The timer stays
 * armed when the count comes first and looks, when it fires, whether anything
 * waits for it: so it is armed once in max_usecs at most, not once in a
 * notification.
 *
 * Threads: settings under the machine lock; what waits is the pair's owner's.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

/* ---- in the owner's loop ---- */

static VirtQueue *coal_vq(const VirtIONetPair *pair, unsigned dir)
{
    return dir ? pair->tx_vq : pair->rx_vq;
}

/* Packets that the ring's used buffers stand for. */
static uint64_t coal_packets(const VirtIONetPair *pair, unsigned dir)
{
    const PairStats *s = &pair->stats;

    return dir ? s->tx_packets + s->tx_bad_header + s->tx_dropped
               : s->rx_packets;
}

static void coal_tell(VirtIONetPair *pair, unsigned dir) PAIR_OWNER(pair)
{
    NotfCoal *c = &pair->coal[dir];

    c->told = coal_packets(pair, dir);
    c->held = false;
    virtqueue_signal(coal_vq(pair, dir));
}

/* Arms the timer for what waits, unless it fires before that anyway. */
static void coal_arm(NotfCoal *c)
{
    int64_t deadline_ns = c->first_ns + c->max_ns;

    if (c->timer.deadline_ns < 0 || c->timer.deadline_ns > deadline_ns) {
        loop_timer_arm(&c->timer, deadline_ns);
    }
}

void virtio_net_coal_signal(VirtIONetPair *pair, unsigned dir)
{
    NotfCoal *c = &pair->coal[dir];
    uint64_t packets = coal_packets(pair, dir) - c->told;

    if (packets >= c->max_packets || (dir == 0 && pair->rx_starved)) {
        coal_tell(pair, dir);
    } else if (packets && !c->held) {
        c->held = true;
        c->first_ns = clock_now_ns();
        coal_arm(c);
    }
}

/* Tells what waits if it has waited long enough, otherwise goes on waiting. */
static void coal_check(VirtIONetPair *pair, unsigned dir) PAIR_OWNER(pair)
{
    NotfCoal *c = &pair->coal[dir];

    if (!c->held) {
        return;
    }
    if (!c->on || coal_packets(pair, dir) - c->told >= c->max_packets ||
        clock_now_ns() - c->first_ns >= c->max_ns) {
        coal_tell(pair, dir);
    } else {
        coal_arm(c);
    }
}

static void rx_timer(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    coal_check(pair, 0);
}

static void tx_timer(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    coal_check(pair, 1);
}

void virtio_net_coal_stop(VirtIONetPair *pair)
{
    for (unsigned dir = 0; dir < 2; dir++) {
        if (pair->coal[dir].held) {
            coal_tell(pair, dir);
        }
        loop_timer_cancel(&pair->coal[dir].timer);
    }
}

/* ---- settings ---- */

/* A ring holds no more packets than it has entries, so it does not wait for
 * more either. */
static void coal_load(NotfCoal *c, const CoalParams *params,
                      const VirtQueue *vq)
{
    c->on = params->max_packets > 1 && params->max_usecs > 0;
    c->max_packets = MIN(params->max_packets, vq->size);
    c->max_ns = params->max_usecs * 1000LL;
}

void virtio_net_coal_prepare(VirtIONetPair *pair)
{
    for (unsigned dir = 0; dir < 2; dir++) {
        NotfCoal *c = &pair->coal[dir];

        coal_load(c, &pair->coal_params[dir], coal_vq(pair, dir));
        c->held = false;
        c->told = coal_packets(pair, dir);
        loop_timer_init(&c->timer, pair->loop, dir ? tx_timer : rx_timer, pair);
    }
}

/* New settings on their way to a pair's owner. */
typedef struct CoalChange {
    VirtIONetPair *pair;
    unsigned dir;
    CoalParams params;
} CoalChange;

/* "Notifications When Coalescing Parameters Change": what waits is measured by
 * the new settings. */
static void coal_change(void *opaque)
{
    const CoalChange *change = opaque;
    VirtIONetPair *pair = change->pair;
    NotfCoal *c = &pair->coal[change->dir];

    pair_assert_owner(pair);
    if (!c->on) {
        c->told = coal_packets(pair, change->dir);
    }
    coal_load(c, &change->params, coal_vq(pair, change->dir));
    coal_check(pair, change->dir);
}

static void coal_set(VirtIONetPair *pair, unsigned dir, CoalParams params)
    MAIN_THREAD
{
    CoalChange change = { .pair = pair, .dir = dir, .params = params };

    pair->coal_params[dir] = params;
    if (pair->owner == PAIR_OWNER_IO) {
        event_loop_call(pair->loop, coal_change, &change);
    }
}

void virtio_net_coal_reset(VirtIONet *net)
{
    memset(net->coal_default, 0, sizeof(net->coal_default));
    for (unsigned i = 0; i < net->max_pairs; i++) {
        memset(net->pair[i].coal_params, 0, sizeof(net->coal_default));
    }
}

void virtio_net_coal_queue_reset(VirtIONet *net, const VirtQueue *vq)
{
    unsigned dir = vq->index % 2;

    /* A control queue that is none with the negotiated features comes here. */
    if (vq->index / 2 < net->max_pairs) {
        coal_set(&net->pair[vq->index / 2], dir, net->coal_default[dir]);
    }
}

/* ---- commands ---- */

static CoalParams coal_read(const uint8_t *data)
{
    return (CoalParams){ .max_packets = load_le32(data),
                         .max_usecs = load_le32(data + 4) };
}

/* TX_SET and RX_SET: all rings of one kind, those not enabled too. */
static bool coal_set_all(VirtIONet *net, unsigned dir, const uint8_t *data,
                         size_t len) MAIN_THREAD
{
    if (len != 8) {
        return false;
    }
    net->coal_default[dir] = coal_read(data);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        coal_set(&net->pair[i], dir, net->coal_default[dir]);
    }
    return true;
}

/* The pair that has the ring of the command; NULL: no enabled receive or
 * transmit ring has that number. The reserved field is not looked at. */
static VirtIONetPair *coal_find_ring(VirtIONet *net, const uint8_t *data,
                                     unsigned *dir) MAIN_THREAD
{
    unsigned index = load_le16(data);
    VirtIONetPair *pair;

    if (index / 2 >= virtio_net_usable_pairs(net)) {
        return NULL;
    }
    pair = &net->pair[index / 2];
    *dir = index % 2;
    return coal_vq(pair, *dir)->enabled ? pair : NULL;
}

/* VQ_SET: le16 number, le16 reserved, settings. VQ_GET: the first two; the
 * settings are the result. */
static bool coal_one(VirtIONet *net, bool set, const uint8_t *data, size_t len,
                     GByteArray *reply) MAIN_THREAD
{
    VirtIONetPair *pair;
    uint8_t out[8];
    unsigned dir;

    if (len != (set ? 12u : 4u)) {
        return false;
    }
    pair = coal_find_ring(net, data, &dir);
    if (!pair) {
        return false;
    }
    if (set) {
        coal_set(pair, dir, coal_read(data + 4));
    } else {
        store_le32(out, pair->coal_params[dir].max_packets);
        store_le32(out + 4, pair->coal_params[dir].max_usecs);
        g_byte_array_append(reply, out, sizeof(out));
    }
    return true;
}

bool virtio_net_coal_command(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                             size_t len, GByteArray *reply)
{
    bool vq = cmd == VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET ||
              cmd == VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET;

    if (!virtio_has_feature(&net->vdev, vq ? VIRTIO_NET_F_VQ_NOTF_COAL
                                           : VIRTIO_NET_F_NOTF_COAL)) {
        return false;
    }
    switch (cmd) {
    case VIRTIO_NET_CTRL_NOTF_COAL_TX_SET:
        return coal_set_all(net, 1, data, len);
    case VIRTIO_NET_CTRL_NOTF_COAL_RX_SET:
        return coal_set_all(net, 0, data, len);
    case VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET:
    case VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET:
        return coal_one(net, cmd == VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, data, len,
                        reply);
    default:
        return false;
    }
}
