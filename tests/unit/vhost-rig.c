/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vhost-rig.h.
 *
 * Threads: the test's, which holds the machine lock.
 */
#include "util/osdep.h"

#include "tests/unit/vhost-rig.h"

Kernel kern;
Rig rig;

/* ---- the kernel ---- */

void kern_reset(void)
{
    if (kern.log) {
        g_string_free(kern.log, TRUE);
    }
    memset(&kern, 0, sizeof(kern));
    kern.log = g_string_new(NULL);
    kern.features = COMMON;
    for (unsigned i = 0; i < ARRAY_SIZE(kern.ring); i++) {
        kern.ring[i] =
            (KernelRing){ .backend = -1, .kick = -1, .call = -1, .err = -1 };
    }
}

static int call(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static int call(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_append_vprintf(kern.log, fmt, ap);
    va_end(ap);
    g_string_append_c(kern.log, ' ');
    return ++kern.calls == kern.fail_at ? -EIO : 0;
}

static int set_fd(const char *what, unsigned queue, int *slot, int fd)
{
    int r = call("%s%u%s", what, queue, fd < 0 ? "=off" : "");

    if (r == 0) {
        *slot = fd;
    }
    return r;
}

int vhost_kernel_set_owner(int fd)
{
    return fd == kern.bad_fd ? -EPERM : kern.owner_error;
}

int vhost_kernel_reset_owner(int fd)
{
    return 0;
}

int vhost_kernel_get_features(int fd, uint64_t *features)
{
    *features = kern.features;
    return 0;
}

int vhost_kernel_set_features(int fd, uint64_t features)
{
    kern.acked = features;
    return call("features");
}

int vhost_kernel_set_mem_table(int fd, const RamMap *map)
{
    kern.mem_ranges = map->n;
    return call("mem");
}

int vhost_kernel_set_vring_num(int fd, unsigned queue, unsigned num)
{
    kern.ring[queue].num = num;
    return call("num%u", queue);
}

int vhost_kernel_set_vring_base(int fd, unsigned queue, unsigned base)
{
    kern.ring[queue].base = base;
    return call("base%u", queue);
}

int vhost_kernel_get_vring_base(int fd, unsigned queue, unsigned *base)
{
    /* a worker gives its ring up at rest only; a look does no harm */
    g_assert_true(kern.looked_at || kern.ring[queue].backend == -1);
    if (call("getbase%u", queue) < 0) {
        return -EIO;
    }
    *base = kern.ring[queue].base;
    return 0;
}

int vhost_kernel_set_vring_addr(int fd, unsigned queue, const void *desc,
                                const void *avail, void *used)
{
    kern.ring[queue].desc = desc;
    kern.ring[queue].avail = avail;
    kern.ring[queue].used = used;
    kern.ring[queue].logged = false;
    return call("addr%u", queue);
}

int vhost_kernel_set_vring_addr_logged(int fd, unsigned queue,
                                       const VirtQueue *vq)
{
    KernelRing *ring = &kern.ring[queue];

    ring->desc = vq->desc;
    ring->avail = vq->avail;
    ring->used = vq->used;
    ring->logged = true;
    ring->log_gpa = vq->used_gpa;
    return call("logaddr%u", queue);
}

int vhost_kernel_set_log_base(int fd, uint64_t *bitmap)
{
    kern.log_base = bitmap;
    return call("logbase");
}

int vhost_kernel_set_vring_kick(int fd, unsigned queue, int eventfd)
{
    return set_fd("kick", queue, &kern.ring[queue].kick, eventfd);
}

int vhost_kernel_set_vring_call(int fd, unsigned queue, int eventfd)
{
    return set_fd("call", queue, &kern.ring[queue].call, eventfd);
}

int vhost_kernel_set_vring_err(int fd, unsigned queue, int eventfd)
{
    return set_fd("err", queue, &kern.ring[queue].err, eventfd);
}

int vhost_kernel_set_busyloop(int fd, unsigned queue, uint32_t microseconds)
{
    kern.busyloop_us = microseconds;
    return call("busyloop%u", queue);
}

int vhost_kernel_net_set_backend(int fd, unsigned queue, int backend_fd)
{
    KernelRing *ring = &kern.ring[queue];
    int r = set_fd("backend", queue, &ring->backend, backend_fd);

    if (r == 0 && backend_fd >= 0) {
        /* an early kick is lost on the worker */
        eventfd_clear(ring->kick);
        if (ring->moves) {
            ring->base += ring->moves;
            ring->shared->idx += ring->moves;
        }
    }
    return r;
}

/* ---- the pair ---- */

void vhost_rig_begin(uint64_t features, bool force, uint32_t poll_us)
{
    Error *err = NULL;

    kern_reset();
    rig_init(&rig, features);
    virtqueue_stop(&rig.rx.vq);
    virtqueue_stop(&rig.tx.vq);
    eventfd_clear(rig.rx.vq.kick_fd);
    eventfd_clear(rig.tx.vq.kick_fd);
    rig.pair->features = features;
    rig.net->vdev.dev.id = g_strdup("net0");
    rig.nc.name = (char *)"tap0";
    rig.nc.caps = (NetCaps){ .vnet_hdr = true,
                             .vhost = true,
                             .vhost_force = force,
                             .vhost_poll_us = poll_us };
    rig.sq.vhost_fd = VHOST_FD;
    rig.sq.fd = eventfd_new(&err);
    g_assert_no_error(err);
    g_assert_true(virtio_net_mapping_apply(rig.net, &err));
    g_assert_true(rig.pair->want_vhost);
    g_assert_true(rig.pair->vhost_required == force);
    kern.ring[0].shared = rig.rx.v.used;
    kern.ring[1].shared = rig.tx.v.used;
}

void vhost_rig_end(void)
{
    virtio_net_pair_stop(rig.pair);
    vhost_net_free(rig.pair->vhost);
    rig.pair->vhost = NULL;
    rig.pair->loop = rig.loop;
    virtio_net_pair_prepare(rig.pair);
    virtio_net_mapping_release(rig.net);
    loop_task_cancel(&rig.net->vdev.error_task);
    fd_close(&rig.sq.fd);
    rig_free(&rig);
}

void vhost_rig_check_ours(const VirtQueue *vq, uint16_t last_avail,
                          uint16_t used)
{
    g_assert_false(vq->running);
    g_assert_cmpuint(vq->last_avail, ==, last_avail);
    g_assert_cmpuint(vq->used_idx, ==, used);
    g_assert_cmpuint(vq->inuse, ==, 0);
}

char *vhost_rig_stderr(void (*func)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    char *text = g_malloc0(4096);

    g_assert_nonnull(file);
    fflush(stderr);
    g_assert_cmpint(dup2(fileno(file), STDERR_FILENO), >=, 0);
    func();
    fflush(stderr);
    g_assert_cmpint(dup2(saved, STDERR_FILENO), >=, 0);
    close(saved);
    rewind(file);
    g_assert_cmpuint(fread(text, 1, 4095, file), <, 4095);
    fclose(file);
    return text;
}

void vhost_rig_check_line(const char *text, const char *part)
{
    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, part));
}
