/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "tapraw.h"

#define SLOTS        256
#define LARGE_SLOTS  64
#define SMALL_BUFFER 2048
#define LARGE_BUFFER 69632
#define LARGE_BATCH  16 /* 64 KiB frames in a burst of io_uring */
#define TURN         64 /* frames a direction, when both are busy */
#define RING_ENTRIES 256
#define POLL_MS      100

/* ---- frames ---- */

static int frame_len(const Worker *w)
{
    return w->mode->large ? opt.tso_len : opt.len;
}

static void prepare_tx(Worker *w)
{
    int len = frame_len(w), flow = w->queue * TX_FLOWS_PER_PAIR;
    VnetHeader h;

    w->tx_stride =
        w->mode->large ? (len + VNET_HEADER + 4095) & ~4095 : SMALL_BUFFER;
    w->tx_slots = alloc(w->slots, w->tx_stride);
    for (int i = 0; i < w->slots; i++) {
        uint8_t *p = w->tx_slots + (size_t)i * w->tx_stride;
        if (w->mode->large) {
            frame_tcp(p + VNET_HEADER, len, flow, false, opt.mss, &h);
            memcpy(p, &h, sizeof(h));
        } else {
            frame_udp(p + VNET_HEADER, len, flow, false);
        }
    }
}

/* The slot of frame number @seq, stamped. */
static uint8_t *tx_slot(Worker *w, uint64_t seq)
{
    uint8_t *p = w->tx_slots + seq % w->slots * w->tx_stride;

    frame_set_seq(p + VNET_HEADER + STAMP_OFFSET(w->mode->large), seq,
                  w->queue * TX_FLOWS_PER_PAIR);
    return p;
}

static uint8_t *rx_slot(Worker *w, uint64_t number)
{
    return w->rx_slots + number % w->slots * w->rx_stride;
}

static void tx_done(Worker *w, ssize_t result)
{
    if (result == frame_len(w) + VNET_HEADER) {
        counter_add(&w->tx_packets, 1);
        counter_add(&w->packets, 1);
        counter_add(&w->bytes, result - VNET_HEADER);
    } else {
        counter_add(result == -EAGAIN ? &w->again : &w->failed, 1);
    }
}

/* Whether there was a frame. */
static bool rx_done(Worker *w, const uint8_t *slot, ssize_t result)
{
    if (result <= VNET_HEADER) {
        counter_add(result == -EAGAIN ? &w->again : &w->failed, 1);
        return false;
    }
    rx_check(&w->check, slot + VNET_HEADER, result - VNET_HEADER,
             STAMP_OFFSET(w->mode->large), w->queue, opt.deep);
    counter_add(&w->packets, 1);
    counter_add(&w->bytes, result - VNET_HEADER);
    return true;
}

static void wait_readable(Worker *w)
{
    struct pollfd p = { w->fd, POLLIN, 0 };

    poll(&p, 1, POLL_MS);
    counter_add(&w->calls, 1);
}

/* ---- a system call a frame ---- */

static void tx_plain(Worker *w)
{
    ssize_t r = write(w->fd, tx_slot(w, w->seq), frame_len(w) + VNET_HEADER);

    counter_add(&w->calls, 1);
    w->seq += r > 0;
    tx_done(w, r < 0 ? -errno : r);
}

static bool rx_plain(Worker *w)
{
    uint8_t *slot = rx_slot(w, w->rx_next++);
    ssize_t r = read(w->fd, slot, w->rx_stride);

    counter_add(&w->calls, 1);
    return rx_done(w, slot, r < 0 ? -errno : r);
}

static void run_plain(Worker *w)
{
    while (!flag_get(&w->stop)) {
        for (int i = 0; w->mode->transmits && i < TURN; i++) {
            tx_plain(w);
        }
        for (int i = 0; w->mode->receives && i < TURN; i++) {
            if (!rx_plain(w)) {
                if (!w->mode->transmits) {
                    wait_readable(w);
                }
                break;
            }
        }
    }
}

/* ---- bursts by io_uring ---- */

static void ring_open(Worker *w, struct io_uring *ring)
{
    struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER |
                                               IORING_SETUP_DEFER_TASKRUN };
    int err = io_uring_queue_init_params(RING_ENTRIES, ring, &params);

    if (err == -EINVAL) { /* before Linux 6.1 */
        params = (struct io_uring_params){ 0 };
        err = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
    }
    if (err < 0 || io_uring_register_files(ring, &w->fd, 1) < 0) {
        die("io_uring is not available: %s", strerror(err < 0 ? -err : errno));
    }
}

/* Queues a read or write of the registered file. The tap's file never blocks by
 * itself in io_uring: without RWF_NOWAIT an empty queue would be polled, and a
 * burst of reads would not end. */
static void ring_queue(struct io_uring *ring, bool write_it, uint8_t *slot,
                       unsigned int len, uint64_t number)
{
    struct io_uring_sqe *e = io_uring_get_sqe(ring);

    if (write_it) {
        io_uring_prep_write(e, 0, slot, len, 0);
    } else {
        io_uring_prep_read(e, 0, slot, len, 0);
    }
    e->rw_flags = RWF_NOWAIT;
    e->flags |= IOSQE_FIXED_FILE;
    e->user_data = number;
}

/* Submits @count requests and waits for all; returns the frames moved. */
static int ring_burst(Worker *w, struct io_uring *ring, bool transmit,
                      int count)
{
    int done = 0, moved = 0;

    while (done < count) {
        struct io_uring_cqe *c;
        unsigned int head, seen = 0;
        io_uring_submit_and_wait(ring, count - done);
        counter_add(&w->calls, 1);
        io_uring_for_each_cqe(ring, head, c)
        {
            seen++;
            if (transmit) {
                tx_done(w, c->res);
                moved += c->res > 0;
            } else {
                moved += rx_done(w, rx_slot(w, c->user_data), c->res);
            }
        }
        io_uring_cq_advance(ring, seen);
        done += seen;
    }
    return moved;
}

static void run_uring(Worker *w)
{
    int batch =
        w->mode->large && opt.batch > LARGE_BATCH ? LARGE_BATCH : opt.batch;
    struct io_uring ring;

    ring_open(w, &ring);
    while (!flag_get(&w->stop)) {
        if (w->mode->transmits) {
            for (int i = 0; i < batch; i++, w->seq++) {
                ring_queue(&ring, true, tx_slot(w, w->seq),
                           frame_len(w) + VNET_HEADER, w->seq);
            }
            ring_burst(w, &ring, true, batch);
        }
        if (w->mode->receives) {
            for (int i = 0; i < batch; i++, w->rx_next++) {
                ring_queue(&ring, false, rx_slot(w, w->rx_next), w->rx_stride,
                           w->rx_next);
            }
            if (!ring_burst(w, &ring, false, batch) && !w->mode->transmits) {
                wait_readable(w);
            }
        }
    }
    io_uring_queue_exit(&ring);
}

/* ---- the thread ---- */

static void pin_worker(const Worker *w)
{
    cpu_set_t set;

    pin_thread(opt.cpus);
    if (opt.pin) {
        CPU_ZERO(&set);
        CPU_SET(w->queue % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
}

void *worker_main(void *opaque)
{
    Worker *w = opaque;

    pin_worker(w);
    pthread_getcpuclockid(pthread_self(), &w->clock);
    w->slots = w->mode->large ? LARGE_SLOTS : SLOTS;
    prepare_tx(w);
    w->rx_stride = w->mode->large ? LARGE_BUFFER : SMALL_BUFFER;
    w->rx_slots = alloc(w->slots, w->rx_stride);
    while (!flag_get(&w->go)) {
        sleep_ns(100000);
    }
    if (w->mode->uring) {
        run_uring(w);
    } else {
        run_plain(w);
    }
    return NULL;
}

void worker_free(Worker *w)
{
    free(w->tx_slots);
    free(w->rx_slots);
    close(w->fd);
}
