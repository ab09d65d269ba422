/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc.h"
#include "vdev.h"

#define MAX_EVENTFDS  512
#define SETTLE_NS     (5 * NS_PER_MS)
#define LOOK_NS       50000
#define LOOKS         4000
#define QUIET_LOOKS   3
#define PREPARE_TRIES 6
#define QTEST_TRIES   300

typedef struct Candidate {
    int theirs, ours; /* number in the program, our copy or -1 */
} Candidate;

typedef struct Search {
    Candidate candidate[MAX_EVENTFDS];
    int count;
} Search;

/* Notifiers are usually made in the order of queues. */
static int compare_candidates(const void *a, const void *b)
{
    return ((const Candidate *)a)->theirs - ((const Candidate *)b)->theirs;
}

static void collect_eventfds(Search *s, int pid)
{
    char dir[64], path[400], target[64];
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    struct dirent *e;
    DIR *fds;

    snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
    fds = opendir(dir);
    /* cppcheck-suppress readdirCalled */
    while (pidfd >= 0 && fds && (e = readdir(fds)) && s->count < MAX_EVENTFDS) {
        Candidate c = { .theirs = atoi(e->d_name) };
        ssize_t len;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        len = readlink(path, target, sizeof(target) - 1);
        target[len > 0 ? len : 0] = 0;
        if (!strstr(target, "[eventfd]")) {
            continue;
        }
        c.ours = syscall(SYS_pidfd_getfd, pidfd, c.theirs, 0);
        if (c.ours >= 0) {
            s->candidate[s->count++] = c;
        }
    }
    if (fds) {
        closedir(fds);
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    qsort(s->candidate, s->count, sizeof(Candidate), compare_candidates);
}

/* Whether the ring is used. No fixed time is long enough on a busy machine, and
 * a late reaction would be taken for that to the next candidate: the program
 * has decided when all of its threads sleep again. */
static bool reacts(int pid, const Vring *r, uint16_t before)
{
    int quiet = 0;

    for (int i = 0; i < LOOKS && quiet < QUIET_LOOKS; i++) {
        quiet = proc_asleep(pid) ? quiet + 1 : 0;
        if (vring_used_idx(r) != before) {
            return true;
        }
        sleep_ns(LOOK_NS);
    }
    return vring_used_idx(r) != before;
}

static void try_candidates(Search *s, int pid, Vring *r, uint16_t before)
{
    for (int i = 0; i < s->count; i++) {
        Candidate *c = &s->candidate[i];
        uint64_t one = 1;
        if (c->ours < 0 || write(c->ours, &one, sizeof(one)) != sizeof(one)) {
            continue;
        }
        if (reacts(pid, r, before)) {
            r->doorbell = c->ours;
            c->ours = -1;
            verbose("queue %d: doorbell is eventfd %d", r->index, c->theirs);
            return;
        }
    }
}

/* The device looks at the ring when it gets this kick. */
static void kick_by_qtest(VirtDevice *d, Vring *r, uint16_t before)
{
    bool transmit = r->index & 1;

    vring_kick(d, r);
    for (int i = 0; i < QTEST_TRIES && vring_used_idx(r) == before; i++) {
        sleep_ns(NS_PER_MS);
    }
    if (transmit && vring_used_idx(r) == before) {
        die("queue %d: the device does not react to its doorbell", r->index);
    }
}

/* True when something waits in the ring and the device does not look. A device
 * that polls for a while after work looks by itself: try again later. */
static bool prepare_ring(int pid, Vring *r,
                         bool (*prepare)(void *opaque, Vring *r), void *opaque,
                         uint16_t *before)
{
    for (int i = 0; i < PREPARE_TRIES; i++) {
        *before = vring_used_idx(r);
        if (!prepare(opaque, r)) {
            return false;
        }
        sleep_ns(SETTLE_NS);
        if (!reacts(pid, r, *before)) {
            return true;
        }
        if (!(r->index & 1)) {
            break; /* its buffers are all posted */
        }
        sleep_ns(4 * SETTLE_NS);
    }
    verbose("queue %d: used without a kick", r->index);
    return false;
}

int doorbells_find(VirtDevice *d, int pid,
                   bool (*prepare)(void *opaque, Vring *r), void *opaque)
{
    Search *s = alloc(1, sizeof(*s));
    int found = 0;
    uint16_t before;

    collect_eventfds(s, pid);
    verbose("%d eventfds in the program", s->count);
    for (int k = 0; k < 2 * d->pairs; k++) { /* transmit first, then receive */
        Vring *r = &d->ring[k < d->pairs ? 2 * k + 1 : 2 * (k - d->pairs)];
        if (!prepare_ring(pid, r, prepare, opaque, &before)) {
            continue;
        }
        try_candidates(s, pid, r, before);
        if (r->doorbell < 0) {
            kick_by_qtest(d, r, before);
        } else {
            found++;
        }
    }
    for (int i = 0; i < s->count; i++) {
        if (s->candidate[i].ours >= 0) {
            close(s->candidate[i].ours);
        }
    }
    free(s);
    return found;
}
