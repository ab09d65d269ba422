/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vDPA network device: what it can do, what its configuration says, and its
 * start: reset, features, memory, rings, DRIVER_OK.
 *
 * Rings are switched on before DRIVER_OK, as a driver does it on hardware,
 * unless the device lets that wait (ENABLE_AFTER_DRIVER_OK): then no frame
 * passes before it knows its addresses and filters.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/virtio_ids.h>

#include "hw/virtio/vhost-vdpa-internal.h"
#include "hw/virtio/virtio-bits.h"
#include "hw/virtio/virtio-net-uapi.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/fd.h"

#define BIT(n) (1ULL << (n))

/* What we agree upon with the device without the driver's doing: addresses
 * that are translated, as its are, by tables of the host (VIRTIO 1.2, 6); an
 * order of accesses that x86 keeps; a control queue, whose driver we are; and
 * what its configuration says. */
#define OURS                                                        \
    (BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_F_ORDER_PLATFORM) | \
     BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |  \
     BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS))

/* VIRTIO 1.2, 5.1.4, as far as it is read. */
typedef struct VdpaNetConfig {
    uint8_t mac[6];
    le16 status, max_virtqueue_pairs, mtu;
} __attribute__((packed)) VdpaNetConfig;

unsigned vhost_vdpa_pairs(const VhostVdpa *vdpa)
{
    return vdpa->pairs;
}

unsigned vhost_vdpa_ring_max(const VhostVdpa *vdpa)
{
    return vdpa->ring_max;
}

bool vhost_vdpa_sets_mac(const VhostVdpa *vdpa)
{
    return (vdpa->features & BIT(VIRTIO_NET_F_CTRL_VQ)) &&
           (vdpa->features & BIT(VIRTIO_NET_F_CTRL_MAC_ADDR));
}

bool vhost_vdpa_runs(const VhostVdpa *vdpa)
{
    return vdpa->runs;
}

bool vhost_vdpa_has(const VhostVdpa *vdpa, unsigned bit)
{
    return vdpa->runs && (vdpa->acked & BIT(bit));
}

/* ---- configuration ---- */

static bool read_config(const VhostVdpa *v, VdpaNetConfig *config, Error **errp)
{
    int r = vdpa_get_config(v->fd, config, sizeof(*config));

    if (r < 0) {
        error_setg_errno(errp, -r,
                         "the vDPA device's configuration: "
                         "VHOST_VDPA_GET_CONFIG");
    }
    return r == 0;
}

bool vhost_vdpa_read_config(const VhostVdpa *vdpa, VhostVdpaConfig *config,
                            Error **errp)
{
    VdpaNetConfig c;

    *config = (VhostVdpaConfig){ .link_up = true };
    if (!read_config(vdpa, &c, errp)) {
        return false;
    }
    if (vdpa->features & BIT(VIRTIO_NET_F_MAC)) {
        memcpy(config->mac, c.mac, sizeof(c.mac));
    }
    if (vdpa->features & BIT(VIRTIO_NET_F_MTU)) {
        config->mtu = le16_get(c.mtu);
    }
    if (vdpa->features & BIT(VIRTIO_NET_F_STATUS)) {
        config->link_up = le16_get(c.status) & VIRTIO_NET_S_LINK_UP;
    }
    return true;
}

bool vhost_vdpa_is_broken(const VhostVdpa *vdpa)
{
    uint8_t status = 0;

    return vdpa->runs && vdpa_get_status(vdpa->fd, &status) == 0 &&
           (!(status & VIRTIO_CONFIG_S_DRIVER_OK) ||
            (status & VIRTIO_CONFIG_S_NEEDS_RESET));
}

static void config_event(void *opaque, uint32_t events) MAIN_THREAD
{
    VhostVdpa *v = opaque;

    if (eventfd_clear(v->config_fd)) {
        v->changed(v->opaque);
    }
}

/* ---- made ---- */

static bool check_device(const VhostVdpa *v, Error **errp) MAIN_THREAD
{
    uint32_t id = 0;
    int r = vdpa_get_device_id(v->fd, &id);

    if (r < 0) {
        error_setg_errno(errp, -r,
                         "is no vhost-vdpa device: VHOST_VDPA_GET_DEVICE_ID");
        return false;
    }
    if (id != VIRTIO_ID_NET) {
        error_setg(errp,
                   "is a vDPA device of another kind: its virtio device id is "
                   "%u, and a network device has %u",
                   id, VIRTIO_ID_NET);
        return false;
    }
    return true;
}

static bool take_device(VhostVdpa *v, Error **errp) MAIN_THREAD
{
    int r = vhost_kernel_set_owner(v->fd);

    /* A descriptor that came back to its owner, or is somebody else's, which
     * the next call tells. */
    if (r == 0 || r == -EBUSY) {
        r = vdpa_reset(v);
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "the vDPA device cannot be taken over");
        return false;
    }
    if (vdpa_get_backend_features(v->fd, &v->backend_features) < 0) {
        v->backend_features = 0;
    }
    v->backend_features &= BIT(VDPA_F_IOTLB_MSG_V2) | BIT(VDPA_F_IOTLB_BATCH) |
                           BIT(VDPA_F_SUSPEND) |
                           BIT(VDPA_F_ENABLE_AFTER_DRIVER_OK);
    if (!vdpa_backend_has(v, VDPA_F_IOTLB_MSG_V2) ||
        vdpa_set_backend_features(v->fd, v->backend_features) < 0) {
        error_setg(errp, "the vDPA device's kernel is too old: it does not "
                         "take messages of version 2 (Linux 5.7 does)");
        return false;
    }
    return true;
}

/* How many pairs: what the configuration says, where it has such a field, and
 * not more than there are rings. */
static bool count_pairs(VhostVdpa *v, Error **errp) MAIN_THREAD
{
    VdpaNetConfig config;
    uint32_t rings;

    v->pairs = 1;
    if (!read_config(v, &config, errp)) {
        return false;
    }
    if ((v->features & BIT(VIRTIO_NET_F_MQ)) &&
        (v->features & BIT(VIRTIO_NET_F_CTRL_VQ))) {
        v->pairs = le16_get(config.max_virtqueue_pairs);
    }
    if (v->pairs < 1 || v->pairs > VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX) {
        error_setg(errp,
                   "the vDPA device says that it has %u queue pairs, which "
                   "cannot be",
                   v->pairs);
        return false;
    }
    if (vdpa_get_vqs_count(v->fd, &rings) == 0 && rings < 2 * v->pairs) {
        error_setg(errp,
                   "the vDPA device says that it has %u queue pairs, but has "
                   "%u rings",
                   v->pairs, rings);
        return false;
    }
    return true;
}

static bool ask_features(VhostVdpa *v, Error **errp) MAIN_THREAD
{
    uint16_t num = 0;
    int r = vhost_kernel_get_features(v->fd, &v->features);

    if (r == 0) {
        r = vdpa_get_vring_num(v->fd, &num);
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "what the vDPA device can do");
        return false;
    }
    if (!(v->features & BIT(VIRTIO_F_VERSION_1)) || num < 2) {
        error_setg(errp, "the vDPA device lacks %s",
                   num < 2 ? "rings of a useful size" : "VIRTIO_F_VERSION_1");
        return false;
    }
    /* Rings that may be split have a power of two. */
    v->ring_max = num >= VIRTQUEUE_MAX_SIZE ? VIRTQUEUE_MAX_SIZE
                                            : 1u << (31 - __builtin_clz(num));
    if (vdpa_get_iova_range(v->fd, &v->iova_first, &v->iova_last) < 0) {
        v->iova_first = 0;
        v->iova_last = UINT64_MAX;
    }
    return count_pairs(v, errp);
}

VhostVdpa *vhost_vdpa_new(int fd, VhostVdpaChangedFunc *changed, void *opaque,
                          Error **errp)
{
    VhostVdpa *v = g_new0(VhostVdpa, 1);

    v->fd = fd;
    v->changed = changed;
    v->opaque = opaque;
    v->mapped = g_array_new(false, false, sizeof(VdpaMapping));
    v->config_fd = -1;
    if (check_device(v, errp) && take_device(v, errp) &&
        ask_features(v, errp) && vhost_vdpa_check_memory(v, errp)) {
        v->config_fd = eventfd_new(errp);
    }
    if (v->config_fd < 0) {
        v->fd = -1; /* the caller's */
        vhost_vdpa_free(v);
        return NULL;
    }
    v->ring = g_new0(VdpaRing, 2 * v->pairs);
    /* Devices that tell of no changes have a configuration all the same. */
    vdpa_set_config_call(fd, v->config_fd);
    fd_watch_start(&v->config_watch, main_loop(), v->config_fd, LOOP_IN,
                   config_event, v);
    return v;
}

void vhost_vdpa_free(VhostVdpa *vdpa)
{
    if (!vdpa) {
        return;
    }
    g_assert(vdpa->started == 0);
    fd_watch_stop(&vdpa->config_watch);
    fd_close(&vdpa->fd);
    fd_close(&vdpa->config_fd);
    g_array_free(vdpa->mapped, true);
    g_free(vdpa->ring);
    g_free(vdpa);
}

/* ---- start ---- */

int vdpa_reset(VhostVdpa *vdpa)
{
    vdpa->runs = vdpa->suspended = false;
    return vdpa_set_status(vdpa->fd, 0);
}

static int set_features(VhostVdpa *v) MAIN_THREAD
{
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
    int r = vhost_kernel_set_features(v->fd, v->acked);

    if (r == 0) {
        r = vdpa_set_status(v->fd, status | VIRTIO_CONFIG_S_FEATURES_OK);
    }
    if (r == 0) {
        r = vdpa_get_status(v->fd, &status);
    }
    return r == 0 && !(status & VIRTIO_CONFIG_S_FEATURES_OK) ? -EPROTO : r;
}

int vdpa_negotiate(VhostVdpa *vdpa, uint64_t features, const char **step)
{
    int r;

    if (!(features & BIT(VIRTIO_F_VERSION_1))) {
        *step = "the driver is one for legacy devices, which a vDPA device is "
                "not (disable-legacy=on)";
        return -ENOTSUP;
    }
    *step = "the device's reset";
    r = vdpa_reset(vdpa);
    if (r == 0) {
        *step = "the device's status";
        r = vdpa_set_status(vdpa->fd, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    }
    if (r == 0) {
        r = vdpa_set_status(vdpa->fd, VIRTIO_CONFIG_S_ACKNOWLEDGE |
                                          VIRTIO_CONFIG_S_DRIVER);
    }
    if (r == 0) {
        *step = "the device does not accept the features that the driver uses";
        vdpa->acked = features | (vdpa->features & OURS);
        if (!(vdpa->acked & BIT(VIRTIO_NET_F_CTRL_VQ))) {
            vdpa->acked &= ~BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
        }
        r = set_features(vdpa);
    }
    return r;
}

/* The device's control queue is behind all pairs that it could have, or behind
 * the one (VIRTIO 1.2, 5.1.2). */
static unsigned ctrl_ring(const VhostVdpa *v)
{
    return v->acked & BIT(VIRTIO_NET_F_MQ) ? 2 * v->pairs : 2;
}

static int enable_rings(VhostVdpa *v) MAIN_THREAD
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 2 * v->pairs; i++) {
        if (v->ring[i].described) {
            r = vdpa_set_vring_enable(v->fd, i);
        }
    }
    return r;
}

/* With commands to come first. */
static bool enables_late(const VhostVdpa *v)
{
    return vdpa_backend_has(v, VDPA_F_ENABLE_AFTER_DRIVER_OK);
}

static int driver_ok(VhostVdpa *v, const char **step) MAIN_THREAD
{
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
    int r = vdpa_set_status(v->fd, status);

    *step = "the device does not start";
    if (r == 0) {
        r = vdpa_get_status(v->fd, &status);
    }
    return r == 0 && (!(status & VIRTIO_CONFIG_S_DRIVER_OK) ||
                      (status & VIRTIO_CONFIG_S_NEEDS_RESET))
               ? -EIO
               : r;
}

bool vhost_vdpa_run(VhostVdpa *vdpa, Error **errp)
{
    const char *step = "";
    int r = vdpa_ctrl_start(vdpa, ctrl_ring(vdpa), &step);

    if (r == 0 && !enables_late(vdpa)) {
        step = "VHOST_VDPA_SET_VRING_ENABLE";
        r = enable_rings(vdpa);
    }
    if (r == 0) {
        /* A reset may have made the device forget whom to tell. */
        vdpa_set_config_call(vdpa->fd, vdpa->config_fd);
        r = driver_ok(vdpa, &step);
    }
    if (r == 0) {
        vdpa->runs = vdpa->ran = true;
        vdpa_ctrl_kick(vdpa);
        return true;
    }
    error_setg_errno(errp, -r, "%s", step);
    return false;
}

bool vhost_vdpa_serve(VhostVdpa *vdpa, Error **errp)
{
    int r = enables_late(vdpa) ? enable_rings(vdpa) : 0;

    if (r < 0) {
        error_setg_errno(errp, -r, "VHOST_VDPA_SET_VRING_ENABLE");
        return false;
    }
    /* A kick before DRIVER_OK was none. */
    for (unsigned i = 0; i < 2 * vdpa->pairs; i++) {
        if (vdpa->ring[i].described) {
            eventfd_signal_shared(vdpa->ring[i].kick_fd);
        }
    }
    return true;
}
