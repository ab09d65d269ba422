/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RSS where frames are received: hashes for the driver's header, and, where no
 * program in the kernel steers, handing a frame over to the pair it belongs to.
 *
 * Handed over means copied into that pair's inbox, a bounded queue under a lock
 * of its own, and its loop told to look. What does not fit is lost and counted,
 * and so is what waits when the pair is no longer active. A pair that is only
 * stopped finds it when it goes on.
 * Only NICs that steer in user space have inboxes; no other ever takes a lock.
 *
 * Threads: the owner of the pair that is named, which for an inbox is the one
 * that empties it; rss_inbox_put() any pair's owner.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

#define INBOX_FRAMES 256u
#define INBOX_BYTES  (1u << 20)

typedef struct InboxFrame {
    size_t len;
    uint8_t *data;
} InboxFrame;

struct RssInbox {
    pthread_mutex_t lock; /* for the rest */
    bool open;            /* its pair is one of the active ones */
    bool attended;        /* and has a loop just now, to be told */
    unsigned first, n;
    size_t bytes;
    InboxFrame frame[INBOX_FRAMES];
};

/* ---- hashes ---- */

static const RxRss *rx_rss(const VirtIONetPair *pair)
{
    return __atomic_load_n(&pair->net->rx_rss, __ATOMIC_ACQUIRE);
}

void virtio_net_rss_report(VirtIONetPair *pair, const struct iovec *iov,
                           unsigned n, size_t len)
{
    const size_t at = offsetof(struct virtio_net_hdr_v1_hash, hash_value);
    const RxRss *rss = rx_rss(pair);
    RssHash hash = { 0, VIRTIO_NET_HASH_REPORT_NONE };
    struct {
        le32 value;
        le16 report, padding;
    } field;

    if (rss) {
        hash = rss_hash_iov(&rss->config, iov, n, pair->hdr_len,
                            len - pair->hdr_len);
    }
    field.value = le32_make(hash.value);
    field.report = le16_make(hash.report);
    field.padding = le16_make(0);
    iov_from_buf(iov, n, at, &field, sizeof(field));
}

/* ---- inboxes ---- */

RssInbox *rss_inbox_new(void)
{
    RssInbox *inbox = g_new0(RssInbox, 1);

    pthread_mutex_init(&inbox->lock, NULL);
    return inbox;
}

/* Takes the first frame out. */
static void drop_first(RssInbox *inbox)
{
    InboxFrame *frame = &inbox->frame[inbox->first];

    inbox->bytes -= frame->len;
    inbox->first = (inbox->first + 1) % INBOX_FRAMES;
    inbox->n--;
    g_free(frame->data);
}

/* Drops what is in it; how many frames. */
static unsigned drop_all(RssInbox *inbox)
{
    unsigned n = inbox->n;

    while (inbox->n) {
        drop_first(inbox);
    }
    return n;
}

void rss_inbox_free(RssInbox *inbox)
{
    if (inbox) {
        drop_all(inbox);
        pthread_mutex_destroy(&inbox->lock);
        g_free(inbox);
    }
}

void virtio_net_rss_inbox_accept(VirtIONetPair *pair, bool on)
{
    RssInbox *inbox = pair->inbox;

    if (inbox) {
        pthread_mutex_lock(&inbox->lock);
        inbox->open = on;
        if (!on) {
            stat_add(&pair->stats.rx_rss_lost, drop_all(inbox));
        }
        pthread_mutex_unlock(&inbox->lock);
    }
}

unsigned virtio_net_rss_inbox_waiting(const VirtIONetPair *pair)
{
    RssInbox *inbox = pair->inbox;
    unsigned n = 0;

    if (inbox) {
        pthread_mutex_lock(&inbox->lock);
        n = inbox->n;
        pthread_mutex_unlock(&inbox->lock);
    }
    return n;
}

void virtio_net_rss_inbox_attend(VirtIONetPair *pair, bool on)
{
    RssInbox *inbox = pair->inbox;

    if (inbox) {
        pthread_mutex_lock(&inbox->lock);
        inbox->attended = on;
        pthread_mutex_unlock(&inbox->lock);
    }
}

const uint8_t *virtio_net_rss_inbox_first(VirtIONetPair *pair, size_t *len)
{
    RssInbox *inbox = pair->inbox;
    const uint8_t *data = NULL;

    pthread_mutex_lock(&inbox->lock);
    if (inbox->n) {
        data = inbox->frame[inbox->first].data;
        *len = inbox->frame[inbox->first].len;
    }
    pthread_mutex_unlock(&inbox->lock);
    return data;
}

void virtio_net_rss_inbox_next(VirtIONetPair *pair)
{
    RssInbox *inbox = pair->inbox;

    pthread_mutex_lock(&inbox->lock);
    drop_first(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

/* Copies the frame into @to's inbox and wakes its loop. False: no room, or
 * nobody looks. */
static bool inbox_put(VirtIONetPair *to, const uint8_t *data, size_t len)
{
    RssInbox *inbox = to->inbox;
    bool ok;

    pthread_mutex_lock(&inbox->lock);
    ok = inbox->open && inbox->n < INBOX_FRAMES &&
         inbox->bytes + len <= INBOX_BYTES;
    if (ok) {
        inbox->frame[(inbox->first + inbox->n) % INBOX_FRAMES] =
            (InboxFrame){ len, g_memdup2(data, len) };
        inbox->n++;
        inbox->bytes += len;
        if (inbox->attended) {
            loop_task_schedule(&to->rx_task);
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    return ok;
}

/* ---- steering ---- */

/* The pair to which a frame of @len bytes, header included, belongs: one that
 * receives, also where the netdev has fewer queues than the NIC pairs. */
static unsigned home_of(const VirtIONetPair *pair, const RxRss *rss,
                        const struct iovec *iov, unsigned n, size_t len)
{
    RssHash hash =
        rss_hash_iov(&rss->config, iov, n, pair->hdr_len, len - pair->hdr_len);
    unsigned home = rss_queue(&rss->config, hash);

    return home < rss->homes ? home : home % rss->homes;
}

bool virtio_net_rss_elsewhere(VirtIONetPair *pair, const struct iovec *iov,
                              unsigned n, size_t len)
{
    const RxRss *rss = rx_rss(pair);

    return rss && rss->steer && home_of(pair, rss, iov, n, len) != pair->index;
}

bool virtio_net_rss_hand_over(VirtIONetPair *pair, const uint8_t *data,
                              size_t len)
{
    struct iovec iov = { (void *)data, len };
    const RxRss *rss = rx_rss(pair);
    unsigned home;

    if (!rss || !rss->steer) {
        return false;
    }
    home = home_of(pair, rss, &iov, 1, len);
    if (home == pair->index) {
        return false;
    }
    /* By the one who reads it: the other one need not wait for it. */
    virtio_net_limit_charge(pair, 0, 1, len - pair->hdr_len);
    stat_add(inbox_put(&pair->net->pair[home], data, len)
                 ? &pair->stats.rx_rss_moved
                 : &pair->stats.rx_rss_lost,
             1);
    return true;
}
