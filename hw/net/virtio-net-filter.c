/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receive filter: which frames a NIC's user-space pairs let through
 * (VIRTIO 1.2, 5.1.6.5.1 to 5.1.6.5.3).
 *
 * The control queue edits net->filter_next and publishes an immutable copy;
 * receiving loops read the copy without a lock. The copy before it is freed
 * once every loop of the device has passed a quiet point.
 *
 * Pairs on vhost-net do not come here: their frames never reach us, and the
 * driver filters again what it gets.
 *
 * Threads: rx_filter_accepts() any, the rest under the machine lock.
 */
#include "util/osdep.h"

#include <linux/if_ether.h>

#include "hw/net/virtio-net-internal.h"

static bool mac_in(const uint8_t (*table)[ETH_ALEN], unsigned n,
                   const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(table[i], mac, ETH_ALEN) == 0) {
            return true;
        }
    }
    return false;
}

static bool vlan_accepts(const RxFilter *f, const uint8_t *frame, size_t len)
{
    unsigned id;

    if (!f->vlan_filter || len < 16 ||
        (frame[12] << 8 | frame[13]) != ETH_P_8021Q) {
        return true;
    }
    id = (frame[14] << 8 | frame[15]) & 0xfff;
    return f->vlans[id / 32] & 1u << id % 32;
}

bool rx_filter_accepts(const RxFilter *f, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff,
                                                 0xff, 0xff, 0xff };

    if (f->pass_all) {
        return true;
    }
    if (len < 14 || !vlan_accepts(f, frame, len)) {
        return false;
    }
    if (f->promisc) {
        return true;
    }
    if (frame[0] & 1) {
        if (memcmp(frame, broadcast, ETH_ALEN) == 0) {
            return !f->no_broadcast;
        }
        return !f->no_multi && (f->all_multi || f->multi_overflow ||
                                mac_in(f->multi, f->n_multi, frame));
    }
    return !f->no_uni && (f->all_uni || f->uni_overflow ||
                          memcmp(frame, f->mac, ETH_ALEN) == 0 ||
                          mac_in(f->uni, f->n_uni, frame));
}

static void quiet_point(void *opaque)
{
}

void virtio_net_wait_for_readers(VirtIONet *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (net->pair[i].owner == PAIR_OWNER_IO) {
            event_loop_call(net->pair[i].loop, quiet_point, NULL);
        }
    }
}

void virtio_net_filter_publish(VirtIONet *net)
{
    const RxFilter *old = net->filter;
    RxFilter *next = g_memdup2(&net->filter_next, sizeof(RxFilter));

    next->pass_all = next->promisc && !next->vlan_filter;
    /* Release: a loop that sees the pointer sees the content. */
    __atomic_store_n(&net->filter, next, __ATOMIC_RELEASE);
    if (old) {
        virtio_net_wait_for_readers(net);
        g_free((void *)old);
    }
}

void virtio_net_filter_reset(VirtIONet *net)
{
    memset(&net->filter_next, 0, sizeof(net->filter_next));
    /* A driver without CTRL_RX never says otherwise (5.1.6.5.1.1). */
    net->filter_next.promisc = true;
    memcpy(net->filter_next.mac, net->mac, ETH_ALEN);
    virtio_net_filter_publish(net);
}

void virtio_net_filter_free(VirtIONet *net)
{
    g_free((void *)net->filter);
    net->filter = NULL;
}
