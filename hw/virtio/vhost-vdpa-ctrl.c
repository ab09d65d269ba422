/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue of a vDPA device, whose driver we are (VIRTIO 1.2,
 * 5.1.6.5). The guest's is served by virtio-net-ctrl.c, as with any other
 * back-end; what the device has to know of it is said again here.
 *
 * Ring and commands lie in memory of our own, which is mapped at an address
 * where no guest RAM is. The guest's rings, too, are served by the device, so a
 * guest can have it read and write there: it may spoil commands about itself,
 * no more. What comes back is not trusted.
 *
 * A command takes one of a few places in that memory, and is answered by one
 * byte behind it.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <poll.h>
#include <sys/mman.h>

#include "hw/virtio/vhost-vdpa-internal.h"
#include "hw/virtio/virtio-net-uapi.h"
#include "hw/virtio/vring-driver.h"
#include "util/fd.h"

#define RING_SIZE 64u
#define PLACES    (RING_SIZE / 2)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)

typedef struct CtrlPlace {
    struct virtio_net_ctrl_hdr hdr;
    uint8_t data[VHOST_VDPA_COMMAND_MAX];
    uint8_t ack;
    uint8_t padding[1024 - VHOST_VDPA_COMMAND_MAX - 3];
} CtrlPlace;

G_STATIC_ASSERT(sizeof(CtrlPlace) == 1024);

struct VdpaCtrl {
    VringDriver *ring;
    VdpaMapping map;
    CtrlPlace *place; /* PLACES */
    int kick_fd, call_fd;
    unsigned sent; /* not taken back yet; they have the first places */
    int result;    /* of those since the last flush */
    int64_t end;   /* when they must be answered; 0: there are none */
    bool dead;     /* gets no more */
};

/* ---- made, and given to the device ---- */

static bool make_memory(VhostVdpa *v, VdpaCtrl *c, size_t ring_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t places = ALIGN_UP(ring_bytes, sizeof(CtrlPlace));

    c->map.size = ALIGN_UP(places + PLACES * sizeof(CtrlPlace), page);
    if (!vdpa_memory_place(v, c->map.size, &c->map.iova)) {
        return false;
    }
    c->map.host = mmap(NULL, c->map.size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c->map.host == MAP_FAILED) {
        c->map.host = NULL;
        return false;
    }
    c->place = (CtrlPlace *)((uint8_t *)c->map.host + places);
    return true;
}

static bool make(VhostVdpa *v, uint16_t size) MAIN_THREAD
{
    VdpaCtrl *c = v->ctrl = g_new0(VdpaCtrl, 1);
    VringDriverConfig config = { .size = size, .features = v->acked };

    c->kick_fd = eventfd_new(NULL);
    c->call_fd = eventfd_new(NULL);
    if (c->kick_fd < 0 || c->call_fd < 0 ||
        !make_memory(v, c, vring_driver_bytes(size, v->acked))) {
        return false;
    }
    config.memory = c->map.host;
    config.address = c->map.iova;
    config.kick_fd = c->kick_fd;
    c->ring = vring_driver_new(&config);
    return true;
}

static int describe(VhostVdpa *v, unsigned n, uint16_t size) MAIN_THREAD
{
    VdpaCtrl *c = v->ctrl;
    unsigned base = vring_driver_first_base(c->ring);
    VringDriverAreas a;
    int r = vhost_kernel_set_vring_num(v->fd, n, size);

    vring_driver_areas(c->ring, &a);
    if (r == 0) {
        r = vhost_kernel_set_vring_base(v->fd, n, base | base << 16);
    }
    if (r == 0) {
        r = vdpa_set_vring_addr(v->fd, n, a.desc_addr, a.driver_addr,
                                a.device_addr);
    }
    if (r == 0) {
        r = vhost_kernel_set_vring_call(v->fd, n, c->call_fd);
    }
    if (r == 0) {
        r = vhost_kernel_set_vring_kick(v->fd, n, c->kick_fd);
    }
    return r ? r : vdpa_set_vring_enable(v->fd, n);
}

int vdpa_ctrl_start(VhostVdpa *vdpa, unsigned number, const char **step)
{
    uint16_t size = (uint16_t)MIN(RING_SIZE, vdpa->ring_max);
    int r;

    if (!(vdpa->acked & 1ULL << VIRTIO_NET_F_CTRL_VQ)) {
        return 0;
    }
    *step = "memory for the device's control queue";
    if (!make(vdpa, size)) {
        return -ENOMEM;
    }
    r = vdpa_map(vdpa->fd, &vdpa->ctrl->map);
    if (r == 0) {
        *step = "the device's control queue";
        r = describe(vdpa, number, size);
    }
    return r;
}

void vdpa_ctrl_stop(VhostVdpa *vdpa)
{
    VdpaCtrl *c = vdpa->ctrl;

    if (!c) {
        return;
    }
    vring_driver_free(c->ring);
    if (c->map.host) {
        vdpa_unmap(vdpa->fd, &c->map);
        munmap(c->map.host, c->map.size);
    }
    fd_close(&c->kick_fd);
    fd_close(&c->call_fd);
    g_clear_pointer(&vdpa->ctrl, g_free);
}

void vdpa_ctrl_kick(VhostVdpa *vdpa)
{
    if (vdpa->ctrl) {
        vring_driver_kick(vdpa->ctrl->ring);
    }
}

/* ---- commands ---- */

static uint64_t address_of(const VdpaCtrl *c, const void *p)
{
    return c->map.iova + (uint64_t)((uint8_t *)p - (uint8_t *)c->map.host);
}

static void give_up(VdpaCtrl *c, int error, const char *why)
{
    warn_report("vDPA: the device's control queue is not used any more: %s",
                why);
    c->dead = true;
    c->result = error;
}

/* Takes back what the device is done with; false: it broke the ring. */
static bool take_answers(VdpaCtrl *c)
{
    VringDriverUsed used;
    int r;

    while ((r = vring_driver_take(c->ring, &used)) == 1) {
        uint8_t ack =
            __atomic_load_n(&c->place[used.token].ack, __ATOMIC_RELAXED);

        c->sent--;
        if (used.len < sizeof(ack) || ack != VIRTIO_NET_OK) {
            c->result = -EREMOTEIO;
        }
    }
    if (r < 0) {
        give_up(c, r, vring_driver_fault(c->ring));
    }
    return r == 0;
}

/* Waits until nothing is sent, or it is given up. */
static void wait_for_answers(VdpaCtrl *c)
{
    int64_t end =
        MIN(clock_now_ns() + VHOST_VDPA_ANSWER_MS * NS_PER_MS, c->end);
    struct pollfd p = { .fd = c->call_fd, .events = POLLIN };

    vring_driver_publish(c->ring);
    while (take_answers(c) && c->sent) {
        int64_t left = end - clock_now_ns();

        if (left <= 0) {
            give_up(c, -ETIMEDOUT, "no answer in time");
            break;
        }
        vring_driver_want_calls(c->ring, true);
        if (vring_driver_empty(c->ring)) {
            poll(&p, 1, (int)(left / NS_PER_MS) + 1);
        }
        eventfd_clear(c->call_fd);
    }
}

void vhost_vdpa_command(VhostVdpa *vdpa, uint8_t cls, uint8_t cmd,
                        const void *data, size_t len)
{
    VdpaCtrl *c = vdpa->ctrl;
    CtrlPlace *place;
    VringDriverPart parts[2];

    g_assert(len <= VHOST_VDPA_COMMAND_MAX);
    if (!c->dead && (c->sent == PLACES || vring_driver_room(c->ring) < 2)) {
        wait_for_answers(c);
    }
    if (c->dead) {
        c->result = c->result ? c->result : -EPIPE;
        return;
    }
    if (!c->end) {
        c->end = clock_now_ns() + VHOST_VDPA_ANSWERS_MS * NS_PER_MS;
    }
    place = &c->place[c->sent];
    place->hdr = (struct virtio_net_ctrl_hdr){ cls, cmd };
    memcpy(place->data, data, len);
    place->ack = VIRTIO_NET_ERR;
    parts[0] = (VringDriverPart){ address_of(c, place),
                                  (uint32_t)(sizeof(place->hdr) + len) };
    parts[1] = (VringDriverPart){ address_of(c, &place->ack), 1 };
    if (vring_driver_add(c->ring, parts, 1, 1, (uint16_t)c->sent) < 0) {
        give_up(c, -EPROTO, "no room in the ring");
        return;
    }
    c->sent++;
}

int vhost_vdpa_flush(VhostVdpa *vdpa)
{
    VdpaCtrl *c = vdpa->ctrl;
    int r;

    if (!c) {
        return 0;
    }
    if (c->sent && !c->dead) {
        wait_for_answers(c);
    }
    r = c->result;
    c->result = 0;
    c->end = 0;
    return r;
}
