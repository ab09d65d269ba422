/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that a vhost-user back-end writes (LOG_SHMFD): it sets bits in a file
 * that we make and seal, so that it cannot cut it short. It gets no other log:
 * what it does to this one says nothing about others' writes.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "hw/virtio/vhost-user-internal.h"
#include "util/fd.h"

/* Payload of SET_LOG_BASE. */
typedef struct VhostUserLogArea {
    uint64_t size, offset; /* in the file */
} VhostUserLogArea;

bool vhost_user_can_log(const VhostUser *user)
{
    return vhost_user_has(user, VHOST_USER_PROTOCOL_F_LOG_SHMFD) &&
           (user->features & 1ULL << VHOST_F_LOG_ALL);
}

void vhost_user_log_free(VhostUser *user)
{
    if (user->log) {
        munmap(user->log, user->log_bytes);
        user->log = NULL;
    }
    fd_close(&user->log_fd);
    user->log_missed = false;
}

static int make_file(size_t bytes)
{
    int fd = memfd_create("vhost-user-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int error = errno;

        fd_close(&fd);
        return -error;
    }
    return fd;
}

/* The file for @log, if there is none yet. It has bits for shadow rings, too: a
 * process that logs what it writes for one pair does so for the others. */
static int make_log(VhostUser *user, const DirtyLog *log) MAIN_THREAD
{
    uint64_t pages = vhost_user_shadow_end(user) >> DIRTY_PAGE_BITS;
    size_t bytes = MAX(log->bytes, ALIGN_UP((pages + 7) / 8, PAGE_SIZE_4K));
    void *map;
    int fd;

    if (user->log) {
        return 0;
    }
    fd = make_file(bytes);
    if (fd < 0) {
        return fd;
    }
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int error = errno;

        fd_close(&fd);
        return -error;
    }
    user->log = map;
    user->log_fd = fd;
    user->log_bytes = bytes;
    user->log_pages = log->pages;
    return 0;
}

/* It is always answered, with a number or with nothing: what it says is not
 * defined. */
static int tell_base(VhostUser *user) MAIN_THREAD
{
    VhostUserLogArea area = { .size = user->log_bytes };
    VhostUserSend msg = { .request = VHOST_USER_SET_LOG_BASE,
                          .payload = &area,
                          .size = sizeof(area),
                          .fds = &user->log_fd,
                          .n_fds = 1 };
    uint64_t answer;
    int r = vhost_user_send(user, &msg);

    return r ? r
             : vhost_user_receive(user, VHOST_USER_SET_LOG_BASE, &answer,
                                  sizeof(answer), NULL);
}

int vhost_user_log_set(VhostUser *user, const DirtyLog *log)
{
    int r;

    user->logging = false;
    if (!log) {
        return 0;
    }
    r = make_log(user, log);
    if (r < 0) {
        return vhost_user_break(user, r, "a log of written pages for it: %s",
                                strerror(-r));
    }
    r = tell_base(user);
    user->logging = r == 0;
    return r;
}

void vhost_user_log_sync(const VhostUser *user, DirtyLog *log)
{
    if (user->log) {
        dirty_log_merge_shared(log, user->log, user->log_pages);
    }
}
