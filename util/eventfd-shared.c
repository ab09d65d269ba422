/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signalling an eventfd that another process has, too.
 *
 * Whoever has the file can take O_NONBLOCK from it and fill its counter: then
 * write(2) waits, for ever if nobody reads. RWF_NOWAIT is not for eventfds to
 * be written. But the kernel itself signals without waiting, and leaves a full
 * counter full: it does so when a request of io_submit(2) that names an eventfd
 * is done. The request here asks whether the same eventfd is ready to be read
 * or to be written, which is one of them always, so that it is done at once.
 *
 * Threads: any.
 */
#include "util/osdep.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>

#include "util/fd.h"

/* As many requests at a time, each for as long as the two calls take. */
#define REQUESTS 64
/* No context has that value: there is none to be had. */
#define NO_CONTEXT ((gsize)1)

/* The process' context; it is made at the first use and lives as long as the
 * process. */
static gsize context_get(void)
{
    static gsize context;

    if (g_once_init_enter(&context)) {
        aio_context_t new_context = 0;
        bool ok = syscall(SYS_io_setup, REQUESTS, &new_context) == 0;

        g_once_init_leave(&context, ok ? (gsize)new_context : NO_CONTEXT);
    }
    return context;
}

static bool signal_by_kernel(int fd)
{
    struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL,
                            .aio_fildes = (uint32_t)fd,
                            .aio_buf = POLLIN | POLLOUT,
                            .aio_flags = IOCB_FLAG_RESFD,
                            .aio_resfd = (uint32_t)fd };
    struct iocb *requests[] = { &request };
    struct io_event done[4];
    gsize context = context_get();

    if (context == NO_CONTEXT ||
        syscall(SYS_io_submit, context, 1, requests) != 1) {
        return false;
    }
    /* Results are of no interest, but have to make room. */
    syscall(SYS_io_getevents, context, 0, ARRAY_SIZE(done), done, NULL);
    return true;
}

void eventfd_signal_shared(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    if (signal_by_kernel(fd)) {
        return;
    }
    /* A kernel without: it is looked at first. */
    if (poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLOUT)) {
        eventfd_signal(fd);
    }
}
