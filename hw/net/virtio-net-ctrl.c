/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue (VIRTIO 1.2, 5.1.6.5), served by the main loop: one
 * command a chain, two bytes of class and command, data, one byte of
 * acknowledgement, and of some commands a result after it.
 *
 * A command is checked whole before anything changes.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "system/dirty-log.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"
#include "util/iov.h"

/* MAC tables are the longest data: two counts and what they count. Longer
 * tables only set the overflow flags, so their rest need not be read. */
#define CTRL_DATA_MAX (2 * (4 + 6 * 4096))

/* Commands served in one turn of the main loop; the rest in the next. */
#define CTRL_BURST 16u

static bool ctrl_flag(const uint8_t *data, size_t len, bool *flag)
{
    if (len != 1) {
        return false;
    }
    *flag = data[0] != 0;
    return true;
}

/* 5.1.6.5.1 */
static bool ctrl_rx_mode(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                         size_t len) MAIN_THREAD
{
    RxFilter *f = &net->filter_next;
    bool extra = virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_RX_EXTRA);
    bool *const modes[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc,
        [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->all_multi,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &f->all_uni,
        [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->no_multi,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &f->no_uni,
        [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->no_broadcast,
    };

    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_RX) ||
        cmd >= ARRAY_SIZE(modes) ||
        (cmd >= VIRTIO_NET_CTRL_RX_ALLUNI && !extra) ||
        !ctrl_flag(data, len, modes[cmd])) {
        return false;
    }
    virtio_net_filter_publish(net);
    return true;
}

typedef struct MacTable {
    uint32_t n;
    const uint8_t *entries;
} MacTable;

/* Reads one table of the MAC_TABLE_SET command; advances @data. */
static bool mac_table_read(MacTable *table, const uint8_t **data, size_t *len)
{
    if (*len < 4) {
        return false;
    }
    table->n = load_le32(*data);
    table->entries = *data + 4;
    *data += 4;
    *len -= 4;
    if (table->n > *len / 6) {
        return false;
    }
    *data += table->n * 6;
    *len -= table->n * 6;
    return true;
}

static unsigned mac_table_store(const MacTable *table, uint8_t (*to)[6],
                                bool *overflow)
{
    *overflow = table->n > VIRTIO_NET_MAC_ENTRIES;
    if (*overflow) {
        return 0;
    }
    memcpy(to, table->entries, table->n * 6);
    return table->n;
}

static bool ctrl_mac_table(VirtIONet *net, const uint8_t *data, size_t len)
    MAIN_THREAD
{
    RxFilter *f = &net->filter_next;
    MacTable uni, multi;

    if (!mac_table_read(&uni, &data, &len) ||
        !mac_table_read(&multi, &data, &len) || len != 0) {
        return false;
    }
    f->n_uni = mac_table_store(&uni, f->uni, &f->uni_overflow);
    f->n_multi = mac_table_store(&multi, f->multi, &f->multi_overflow);
    virtio_net_filter_publish(net);
    return true;
}

/* 5.1.6.5.2 */
static bool ctrl_mac(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                     size_t len) MAIN_THREAD
{
    switch (cmd) {
    case VIRTIO_NET_CTRL_MAC_TABLE_SET:
        return virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_RX) &&
               ctrl_mac_table(net, data, len);
    case VIRTIO_NET_CTRL_MAC_ADDR_SET:
        if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
            len != 6) {
            return false;
        }
        memcpy(net->mac, data, 6);
        memcpy(net->filter_next.mac, data, 6);
        virtio_net_filter_publish(net);
        return true;
    default:
        return false;
    }
}

/* 5.1.6.5.3 */
static bool ctrl_vlan(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                      size_t len) MAIN_THREAD
{
    uint32_t *word, bit;
    unsigned id;

    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_VLAN) || len != 2 ||
        cmd > VIRTIO_NET_CTRL_VLAN_DEL) {
        return false;
    }
    id = load_le16(data);
    if (id >= 4096) {
        return false;
    }
    word = &net->filter_next.vlans[id / 32];
    bit = 1u << id % 32;
    *word = cmd == VIRTIO_NET_CTRL_VLAN_ADD ? *word | bit : *word & ~bit;
    virtio_net_filter_publish(net);
    return true;
}

/* 5.1.6.5.4 */
static bool ctrl_announce(VirtIONet *net, uint8_t cmd, size_t len) MAIN_THREAD
{
    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
        cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK || len != 0 || !net->announce) {
        return false;
    }
    net->announce = false;
    return true;
}

/* 5.1.6.5.5 */
static bool ctrl_mq(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                    size_t len) MAIN_THREAD
{
    unsigned n;

    if (cmd == VIRTIO_NET_CTRL_MQ_RSS_CONFIG) {
        return virtio_net_rss_command(net, data, len);
    }
    if (cmd == VIRTIO_NET_CTRL_MQ_HASH_CONFIG) {
        return virtio_net_hash_command(net, data, len);
    }
    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_MQ) ||
        cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || len != 2) {
        return false;
    }
    n = load_le16(data);
    if (n < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || n > net->max_pairs) {
        return false;
    }
    /* The last command says which way frames are steered. */
    virtio_net_rss_auto(net);
    virtio_net_set_active_pairs(net, n);
    return true;
}

bool virtio_net_apply_offloads(VirtIONet *net, uint64_t bits, Error **errp)
{
    NetOffloads o = {
        .csum = bits & 1ULL << VIRTIO_NET_F_GUEST_CSUM,
        .tso4 = bits & 1ULL << VIRTIO_NET_F_GUEST_TSO4,
        .tso6 = bits & 1ULL << VIRTIO_NET_F_GUEST_TSO6,
        .ecn = bits & 1ULL << VIRTIO_NET_F_GUEST_ECN,
        .ufo = bits & 1ULL << VIRTIO_NET_F_GUEST_UFO,
        .uso4 = bits & 1ULL << VIRTIO_NET_F_GUEST_USO4,
        .uso6 = bits & 1ULL << VIRTIO_NET_F_GUEST_USO6,
    };

    if (net->nic.peer && !net_client_set_offloads(net->nic.peer, &o, errp)) {
        return false;
    }
    net->guest_offloads = bits;
    return true;
}

/* 5.1.6.5.8 */
static bool ctrl_offloads(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                          size_t len) MAIN_THREAD
{
    uint64_t bits;

    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
        cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || len != 8) {
        return false;
    }
    bits = load_le64(data);
    if (virtio_has_feature(&net->vdev, VIRTIO_NET_F_GUEST_HDRLEN)) {
        /* Linux takes it for a receive offload and always has it on. */
        bits &= ~(1ULL << VIRTIO_NET_F_GUEST_HDRLEN);
    }
    /* Only what the driver negotiated may be turned on again. */
    return !(bits & ~virtio_net_guest_offload_bits(net)) &&
           virtio_net_apply_offloads(net, bits, NULL);
}

uint8_t virtio_net_ctrl_command(VirtIONet *net, uint8_t cls, uint8_t cmd,
                                const uint8_t *data, size_t len,
                                GByteArray *reply)
{
    bool ok = false, filter = false;

    switch (cls) {
    case VIRTIO_NET_CTRL_RX:
        ok = ctrl_rx_mode(net, cmd, data, len);
        filter = true;
        break;
    case VIRTIO_NET_CTRL_MAC:
        ok = ctrl_mac(net, cmd, data, len);
        filter = true;
        break;
    case VIRTIO_NET_CTRL_VLAN:
        ok = ctrl_vlan(net, cmd, data, len);
        filter = true;
        break;
    case VIRTIO_NET_CTRL_ANNOUNCE:
        ok = ctrl_announce(net, cmd, len);
        break;
    case VIRTIO_NET_CTRL_MQ:
        ok = ctrl_mq(net, cmd, data, len);
        break;
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        ok = ctrl_offloads(net, cmd, data, len);
        break;
    case VIRTIO_NET_CTRL_NOTF_COAL:
        ok = virtio_net_coal_command(net, cmd, data, len, reply);
        break;
    case VIRTIO_NET_CTRL_STATS:
        ok = virtio_net_stats_command(net, cmd, data, len, reply);
        break;
    }
    if (ok && filter) {
        virtio_net_filter_event(net);
    }
    return ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
}

/* Writes acknowledgement and result, as much of it as the driver left room
 * for; how many bytes. */
static uint32_t ctrl_answer(const VirtQueueChain *chain,
                            const struct iovec *iov, uint8_t ack,
                            const GByteArray *reply)
{
    const struct iovec *in = iov + chain->n_out;
    DirtyLog *log = dirty_log_get();
    uint32_t written = iov_from_buf(in, chain->n_in, 0, &ack, sizeof(ack));

    if (ack == VIRTIO_NET_OK) {
        written += iov_from_buf(in, chain->n_in, written, reply->data,
                                MIN(reply->len, chain->in_len - written));
    }
    if (log) {
        dirty_log_mark_iov(log, in, chain->n_in, written);
    }
    return written;
}

/* Serves one chain whose elements are at @iov; bytes written. 0: not a
 * command. */
static uint32_t ctrl_serve_chain(VirtIONet *net, const VirtQueueChain *chain,
                                 const struct iovec *iov) MAIN_THREAD
{
    g_autoptr(GByteArray) reply = g_byte_array_new();
    struct virtio_net_ctrl_hdr hdr;
    g_autofree uint8_t *data = NULL;
    uint8_t ack;
    size_t len;

    if (chain->out_len < sizeof(hdr) || chain->in_len < sizeof(ack)) {
        return 0;
    }
    net->ctrl_commands++;
    iov_to_buf(iov, chain->n_out, 0, &hdr, sizeof(hdr));
    len = chain->out_len - sizeof(hdr);
    if (len > CTRL_DATA_MAX) {
        ack = VIRTIO_NET_ERR;
    } else {
        data = g_malloc(len ? len : 1);
        iov_to_buf(iov, chain->n_out, sizeof(hdr), data, len);
        ack =
            virtio_net_vdpa_command(net, hdr.class, hdr.cmd, data, len, reply);
    }
    net->ctrl_ok += ack == VIRTIO_NET_OK;
    return ctrl_answer(chain, iov, ack, reply);
}

/* Serves what is in the ring; true when some is left for the next turn. */
static bool ctrl_serve(VirtIONet *net, VirtQueue *vq) MAIN_THREAD
{
    g_autofree struct iovec *iov = g_new(struct iovec, VIRTQUEUE_MAX_SEGS);
    VirtQueueChain chain;
    unsigned n;

    for (n = 0; n < CTRL_BURST; n++) {
        int r = virtqueue_pop(vq, iov, VIRTQUEUE_MAX_SEGS, &chain);
        uint32_t written = r == 1 ? ctrl_serve_chain(net, &chain, iov) : 0;

        if (r == 1 && !written) {
            vq->fault = "not a control command";
            r = -EPROTO;
        }
        if (r < 0) {
            fd_watch_stop(&net->ctrl_watch);
            virtio_queue_error(&net->vdev, vq, "%s",
                               vq->fault ? vq->fault : "invalid ring");
            return false;
        }
        if (r == 0) {
            break;
        }
        virtqueue_fill(vq, &chain, written);
        virtqueue_publish(vq);
    }
    virtqueue_signal(vq);
    return n == CTRL_BURST;
}

static void ctrl_kick(void *opaque, uint32_t events)
{
    VirtIONet *net = opaque;
    VirtQueue *vq = virtio_net_ctrl_vq(net);

    machine_lock_assert();
    if (!eventfd_clear(vq->kick_fd)) {
        return;
    }
    stat_add(&vq->kicks, 1);
    if (ctrl_serve(net, vq)) {
        eventfd_signal(vq->kick_fd);
        return;
    }
    virtqueue_want_kicks(vq, true);
    if (vq->running && !vq->fault && !virtqueue_empty(vq)) {
        eventfd_signal(vq->kick_fd);
    }
}

void virtio_net_ctrl_start(VirtIONet *net)
{
    VirtQueue *vq = virtio_net_ctrl_vq(net);

    if (!vq || !vq->enabled || vq->running) {
        return;
    }
    if (virtqueue_start(vq, net->vdev.guest_features) < 0) {
        virtio_queue_error(&net->vdev, vq, "%s", vq->fault);
        return;
    }
    fd_watch_start(&net->ctrl_watch, main_loop(), vq->kick_fd, LOOP_IN,
                   ctrl_kick, net);
    /* What was kicked before, or while stopped, is looked at. */
    eventfd_signal(vq->kick_fd);
}

void virtio_net_ctrl_stop(VirtIONet *net)
{
    VirtQueue *vq = virtio_net_ctrl_vq(net);

    fd_watch_stop(&net->ctrl_watch);
    if (vq) {
        virtqueue_stop(vq);
    }
}
