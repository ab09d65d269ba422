/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to frames in the driver's buffers only if somebody wants it: the
 * hash is reported, pages are logged as written.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-rx.h"
#include "system/dirty-log.h"

void virtio_net_rx_extras(VirtIONetPair *pair, const struct iovec *iov,
                          unsigned n, size_t len)
{
    DirtyLog *log = dirty_log_get();

    if (pair->hash_report) {
        virtio_net_rss_report(pair, iov, n, len);
    }
    if (log) {
        dirty_log_mark_iov(log, iov, n, len);
    }
}
