/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <liburing.h>

#include "util/io-ring.h"

#define MAX_FILES 64u

struct IoRing {
    struct io_uring uring;
    uint64_t free_slots;    /* of MAX_FILES, a bit each */
    int slot_fd[MAX_FILES]; /* -1: none */
    bool has_table;         /* the kernel knows the slots */
    bool removed;           /* a file, since the table was made */
    bool dead;              /* the kernel stopped serving it */

    /* any thread, atomic */
    unsigned max_batch; /* 1..IO_RING_BURST */
};

/* Tells kernels from 6.3 on; liburing's header may be older. */
#define FEAT_REG_REG_RING (1u << 13)

/*
 * Deferred task work saves a tenth of a burst. Linux 6.1 has it too, but not
 * well: with it, a machine with two CPUs that ran guests fell over in minutes.
 */
static int queue_init(struct io_uring *uring)
{
    int r = io_uring_queue_init(IO_RING_BURST, uring,
                                IORING_SETUP_SUBMIT_ALL |
                                    IORING_SETUP_SINGLE_ISSUER |
                                    IORING_SETUP_DEFER_TASKRUN);

    if (r == 0 && !(uring->features & FEAT_REG_REG_RING)) {
        io_uring_queue_exit(uring);
        r = -EINVAL;
    }
    if (r == -EINVAL) {
        r = io_uring_queue_init(IO_RING_BURST, uring, IORING_SETUP_SUBMIT_ALL);
    }
    return r == -EINVAL ? io_uring_queue_init(IO_RING_BURST, uring, 0) : r;
}

IoRing *io_ring_new(Error **errp)
{
    IoRing *ring = g_new0(IoRing, 1);
    int r = queue_init(&ring->uring);

    if (r < 0) {
        error_setg_errno(errp, -r, "the kernel refuses an io_uring");
        g_free(ring);
        return NULL;
    }
    ring->max_batch = IO_RING_BURST;
    if (io_uring_register_files_sparse(&ring->uring, MAX_FILES) == 0) {
        ring->free_slots = UINT64_MAX;
        ring->has_table = true;
    }
    for (unsigned i = 0; i < MAX_FILES; i++) {
        ring->slot_fd[i] = -1;
    }
    return ring;
}

void io_ring_free(IoRing *ring)
{
    if (ring) {
        io_uring_queue_exit(&ring->uring);
        g_free(ring);
    }
}

void io_ring_set_max_batch(IoRing *ring, unsigned max)
{
    if (max == 0 || max > IO_RING_BURST) {
        max = IO_RING_BURST;
    }
    __atomic_store_n(&ring->max_batch, max, __ATOMIC_RELAXED);
}

IoFile io_ring_add_file(IoRing *ring, int fd)
{
    IoFile file = { .fd = fd, .slot = -1 };
    int slot;

    if (!ring || !ring->free_slots) {
        return file;
    }
    slot = __builtin_ctzll(ring->free_slots);
    if (io_uring_register_files_update(&ring->uring, slot, &fd, 1) == 1) {
        ring->free_slots &= ~(1ULL << slot);
        ring->slot_fd[slot] = fd;
        file.slot = slot;
    }
    return file;
}

void io_ring_remove_file(IoRing *ring, IoFile *file)
{
    int none = -1;

    if (file->slot >= 0) {
        (void)io_uring_register_files_update(&ring->uring, file->slot, &none,
                                             1);
        ring->slot_fd[file->slot] = -1;
        ring->free_slots |= ring->has_table ? 1ULL << file->slot : 0;
        ring->removed = true;
    }
    *file = (IoFile){ -1, -1 };
}

/* The end of a table waits for what is due of it; a change does not. */
void io_ring_forget(IoRing *ring)
{
    if (!ring || !ring->has_table || !ring->removed ||
        io_uring_unregister_files(&ring->uring) < 0) {
        return;
    }
    ring->removed = false;
    ring->has_table =
        io_uring_register_files(&ring->uring, ring->slot_fd, MAX_FILES) == 0;
    if (!ring->has_table) {
        ring->free_slots = 0; /* files are found by their numbers from now on */
    }
}

/* ---- one burst ---- */

static ssize_t plain_result(ssize_t r)
{
    if (r >= 0) {
        return r;
    }
    return errno == EAGAIN ? 0 : -errno;
}

static void plain(int fd, bool write, IoFrame *frame)
{
    ssize_t r = write ? writev(fd, frame->iov, (int)frame->n_iov)
                      : readv(fd, frame->iov, (int)frame->n_iov);

    frame->result = plain_result(r);
}

static void prepare(IoRing *ring, IoFile file, bool write, IoFrame *frames,
                    unsigned n)
{
    bool fixed = file.slot >= 0 && ring->has_table;

    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        int fd = fixed ? file.slot : file.fd;
        IoFrame *frame = &frames[i];

        /* Never NULL: each burst empties the queue, which holds a burst. */
        if (write) {
            io_uring_prep_writev2(sqe, fd, frame->iov, frame->n_iov, 0,
                                  RWF_NOWAIT);
        } else {
            io_uring_prep_readv2(sqe, fd, frame->iov, frame->n_iov, 0,
                                 RWF_NOWAIT);
        }
        sqe->flags = fixed ? IOSQE_FIXED_FILE : 0;
        io_uring_sqe_set_data(sqe, frame);
        /* Until it is known: what a file says that cannot do RWF_NOWAIT. */
        frame->result = -EOPNOTSUPP;
    }
}

static unsigned reap(IoRing *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        IoFrame *frame = io_uring_cqe_get_data(cqe);

        frame->result = cqe->res == -EAGAIN ? 0 : cqe->res;
        n++;
    }
    io_uring_cq_advance(&ring->uring, n);
    return n;
}

/*
 * Submits what was prepared and collects @n results. On an error of the ring
 * itself the kernel has none of the frames without a result any more: those it
 * took have ended, and it takes no others once the ring is dead.
 */
static void run(IoRing *ring, unsigned n)
{
    unsigned done = 0;

    while (done < n) {
        int r = io_uring_submit_and_wait(&ring->uring, n - done);

        done += reap(ring);
        if (r < 0 && r != -EINTR && done < n) {
            ring->dead = true;
            return;
        }
    }
}

/* At most a queue full of frames; false: none was tried, the ring is dead. */
static bool batch(IoRing *ring, IoFile file, bool write, IoFrame *frames,
                  unsigned n)
{
    if (ring->dead) {
        return false;
    }
    prepare(ring, file, write, frames, n);
    run(ring, n);
    for (unsigned i = 0; i < n; i++) {
        if (frames[i].result == -EOPNOTSUPP) {
            plain(file.fd, write, &frames[i]);
        }
    }
    return true;
}

static void burst(IoRing *ring, IoFile file, bool write, IoFrame *frames,
                  unsigned n)
{
    unsigned max = __atomic_load_n(&ring->max_batch, __ATOMIC_RELAXED);
    unsigned done = 0;

    while (done < n) {
        unsigned part = MIN(n - done, max);

        if (!batch(ring, file, write, frames + done, part)) {
            part = 1;
            plain(file.fd, write, &frames[done]);
        }
        done += part;
    }
}

void io_ring_readv(IoRing *ring, IoFile file, IoFrame *frames, unsigned n)
{
    burst(ring, file, false, frames, n);
}

void io_ring_writev(IoRing *ring, IoFile file, IoFrame *frames, unsigned n)
{
    burst(ring, file, true, frames, n);
}
