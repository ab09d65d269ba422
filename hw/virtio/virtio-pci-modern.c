/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The modern register interface: capabilities and the structures that they
 * point to (VIRTIO 1.2, 4.1.4).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "util/endian.h"
#include "util/log.h"
#include "hw/virtio/virtio-pci-internal.h"

/* Places in the BAR: a page each, the doorbells to the end. */
#define AREA_SIZE     0x1000u
#define AREA_COMMON   0x0000u
#define AREA_ISR      0x1000u
#define AREA_DEVICE   0x2000u
#define AREA_NOTIFY   0x3000u
#define PIO_BAR_SIZE  4u
#define NOTIFY_STRIDE 4u

#define COMMON_SIZE 60u /* through queue_reset */

/* ---- common configuration (4.1.4.3) ---- */

static uint32_t feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static void queue_image(VirtIOPCIProxy *proxy, const VirtQueue *vq, uint8_t *c)
{
    store_le16(c + VIRTIO_PCI_COMMON_Q_SIZE, vq->size);
    store_le16(c + VIRTIO_PCI_COMMON_Q_MSIX, vq->vector);
    store_le16(c + VIRTIO_PCI_COMMON_Q_ENABLE, vq->enabled);
    store_le16(c + VIRTIO_PCI_COMMON_Q_NOFF, proxy->queue_select);
    store_le64(c + VIRTIO_PCI_COMMON_Q_DESCLO, vq->desc_gpa);
    store_le64(c + VIRTIO_PCI_COMMON_Q_AVAILLO, vq->avail_gpa);
    store_le64(c + VIRTIO_PCI_COMMON_Q_USEDLO, vq->used_gpa);
    store_le16(c + VIRTIO_PCI_COMMON_Q_NDATA, proxy->queue_select);
    /* queue_reset reads 0: a reset is done when its write returns. */
}

/* The structure as the driver reads it; reads have no side effect. */
static void common_image(VirtIOPCIProxy *proxy, uint8_t *c) MAIN_THREAD
{
    VirtIODevice *vdev = proxy->vdev;
    VirtQueue *vq = virtio_pci_selected(proxy);
    uint64_t offered =
        virtio_get_host_features(vdev) & ~virtio_legacy_only_features(vdev);
    uint32_t sel = proxy->driver_feature_select;

    memset(c, 0, COMMON_SIZE);
    store_le32(c + VIRTIO_PCI_COMMON_DFSELECT, proxy->device_feature_select);
    store_le32(c + VIRTIO_PCI_COMMON_DF,
               feature_word(offered, proxy->device_feature_select));
    store_le32(c + VIRTIO_PCI_COMMON_GFSELECT, sel);
    store_le32(c + VIRTIO_PCI_COMMON_GF,
               sel < 2 ? proxy->driver_features[sel] : 0);
    store_le16(c + VIRTIO_PCI_COMMON_MSIX, proxy->config_vector);
    store_le16(c + VIRTIO_PCI_COMMON_NUMQ, (uint16_t)vdev->n_queues);
    c[VIRTIO_PCI_COMMON_STATUS] = vdev->status;
    c[VIRTIO_PCI_COMMON_CFGGENERATION] = (uint8_t)vdev->config_generation;
    store_le16(c + VIRTIO_PCI_COMMON_Q_SELECT, proxy->queue_select);
    if (vq) {
        queue_image(proxy, vq, c);
    } else {
        store_le16(c + VIRTIO_PCI_COMMON_Q_MSIX, MSIX_NO_VECTOR);
    }
}

static uint32_t common_read(VirtIOPCIProxy *proxy, uint32_t offset,
                            unsigned size) MAIN_THREAD
{
    uint8_t c[COMMON_SIZE];
    uint8_t bytes[4] = { 0 };

    if (offset >= COMMON_SIZE) {
        return 0;
    }
    common_image(proxy, c);
    memcpy(bytes, c + offset, MIN(size, COMMON_SIZE - offset));
    return load_le32(bytes);
}

static void write_features(VirtIOPCIProxy *proxy, uint32_t value) MAIN_THREAD
{
    uint32_t *word = proxy->driver_features;

    if (proxy->driver_feature_select < 2) {
        word[proxy->driver_feature_select] = value;
        virtio_set_guest_features(proxy->vdev,
                                  (uint64_t)word[1] << 32 | word[0]);
    }
}

static void write_status(VirtIOPCIProxy *proxy, uint8_t status) MAIN_THREAD
{
    uint8_t earlier = status & ~VIRTIO_CONFIG_S_DRIVER_OK;

    if (earlier || !status) {
        virtio_pci_write_status(proxy, earlier);
    }
    if (!(status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        return;
    }
    if (!(proxy->vdev->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
        virtio_error(proxy->vdev, "DRIVER_OK without FEATURES_OK");
        return;
    }
    virtio_pci_write_status(proxy, status);
}

/* Any size will do for a packed ring (VIRTIO 1.2, 2.8.10.1), and powers of two
 * for a split one. */
static void write_queue_size(const VirtIODevice *vdev, VirtQueue *vq,
                             uint16_t size)
{
    if (size && size <= vq->max_size &&
        (!(size & (size - 1)) ||
         virtio_has_feature(vdev, VIRTIO_F_RING_PACKED))) {
        vq->size = size;
    }
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
    *reg = high ? (uint64_t)value << 32 | (uint32_t)*reg
                : (*reg & ~(uint64_t)UINT32_MAX) | value;
}

/* Size and places, which the driver may set before it enables the queue. */
static void write_queue_setup(const VirtIODevice *vdev, VirtQueue *vq,
                              uint32_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        write_queue_size(vdev, vq, (uint16_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        set_half(&vq->desc_gpa, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        set_half(&vq->avail_gpa, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        set_half(&vq->used_gpa, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
        break;
    }
}

static void reset_queue(VirtIOPCIProxy *proxy, unsigned index) MAIN_THREAD
{
    virtio_queue_reset(proxy->vdev, index);
    if (!proxy->vdev->vq[index].enabled) {
        virtio_pci_queue_disconnect(proxy, index);
    }
}

/* Registers of the selected queue. */
static void write_queue(VirtIOPCIProxy *proxy, uint32_t offset, uint32_t value)
    MAIN_THREAD
{
    VirtQueue *vq = virtio_pci_selected(proxy);
    unsigned index = proxy->queue_select;

    if (!vq) {
        return;
    }
    if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
        virtio_pci_set_queue_vector(proxy, index, (uint16_t)value);
    } else if (offset == VIRTIO_PCI_COMMON_Q_RESET) {
        if (value == 1) {
            reset_queue(proxy, index);
        }
    } else if (vq->enabled) {
        log_mask(LOG_GUEST_ERROR,
                 "%s: driver changes queue %u, which is enabled",
                 device_label(&proxy->pci.dev), index);
    } else if (offset != VIRTIO_PCI_COMMON_Q_ENABLE) {
        write_queue_setup(proxy->vdev, vq, offset, value);
    } else if (value == 1) {
        virtio_queue_set_enabled(proxy->vdev, index);
        virtio_pci_queue_connect(proxy, index);
    }
}

/* The width of the writable field at @offset, or 0. */
static unsigned field_width(uint32_t offset)
{
    switch (offset) {
    case VIRTIO_PCI_COMMON_STATUS:
        return 1;
    case VIRTIO_PCI_COMMON_MSIX:
    case VIRTIO_PCI_COMMON_Q_SELECT:
    case VIRTIO_PCI_COMMON_Q_SIZE:
    case VIRTIO_PCI_COMMON_Q_MSIX:
    case VIRTIO_PCI_COMMON_Q_ENABLE:
    case VIRTIO_PCI_COMMON_Q_RESET:
        return 2;
    case VIRTIO_PCI_COMMON_DFSELECT:
    case VIRTIO_PCI_COMMON_GFSELECT:
    case VIRTIO_PCI_COMMON_GF:
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return 4;
    default:
        return 0;
    }
}

static void common_write(VirtIOPCIProxy *proxy, uint32_t offset, uint32_t value,
                         unsigned size) MAIN_THREAD
{
    if (field_width(offset) != size) {
        log_mask(LOG_GUEST_ERROR,
                 "%s: write of %u bytes at common configuration %u ignored",
                 device_label(&proxy->pci.dev), size, offset);
        return;
    }
    switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        proxy->device_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        proxy->driver_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GF:
        write_features(proxy, value);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        virtio_pci_set_config_vector(proxy, (uint16_t)value);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        write_status(proxy, (uint8_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        proxy->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(proxy, offset, value);
    }
}

/* ---- the BARs ---- */

static uint64_t modern_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    if (offset < AREA_ISR) {
        return common_read(proxy, (uint32_t)offset, size);
    }
    if (offset == AREA_ISR) {
        return virtio_pci_read_isr(proxy);
    }
    if (offset >= AREA_DEVICE && offset < AREA_NOTIFY) {
        return virtio_config_read(proxy->vdev, (uint32_t)offset - AREA_DEVICE,
                                  size);
    }
    return 0;
}

/* A doorbell says by its address which queue is meant (4.1.4.4). */
static void modern_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    if (offset < AREA_ISR) {
        common_write(proxy, (uint32_t)offset, (uint32_t)value, size);
    } else if (offset >= AREA_NOTIFY) {
        virtio_queue_notify(proxy->vdev, (unsigned)((offset - AREA_NOTIFY) /
                                                    proxy->notify_multiplier));
    } else if (offset >= AREA_DEVICE) {
        virtio_config_write(proxy->vdev, (uint32_t)offset - AREA_DEVICE,
                            (uint32_t)value, size);
    }
}

static const IoRegionOps modern_ops = {
    .read = modern_read,
    .write = modern_write,
};

static uint64_t pio_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

/* One port for all queues: notify_off_multiplier is 0 and the value is the
 * queue's index. */
static void pio_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    if (offset == 0 && size >= 2) {
        virtio_queue_notify(proxy->vdev, (uint16_t)value);
    }
}

static const IoRegionOps pio_ops = {
    .read = pio_read,
    .write = pio_write,
};

bool virtio_pci_modern_open_doors(VirtIOPCIQueue *q, Error **errp)
{
    VirtIOPCIProxy *proxy = q->proxy;
    uint64_t offset =
        AREA_NOTIFY + (uint64_t)q->vq->index * proxy->notify_multiplier;

    /* Any width, which KVM serves fastest, where the accelerator can. */
    if (!virtio_pci_open_door(q, &proxy->modern_bar, offset, 0, false, NULL) &&
        !virtio_pci_open_door(q, &proxy->modern_bar, offset, 2, false, errp)) {
        return false;
    }
    return !proxy->modern_pio_notify ||
           virtio_pci_open_door(q, &proxy->pio_bar, 0, 2, true, errp);
}

/* ---- access through configuration space (4.1.4.9) ---- */

/* What the window's bar, offset and length select; NULL when they are not a
 * register access that the driver may make. */
static IoRegion *window_target(VirtIOPCIProxy *proxy, uint32_t *offset,
                               uint32_t *len)
{
    const uint8_t *cap = proxy->pci.config + proxy->access_cap;
    IoRegion *region = NULL;

    if (cap[VIRTIO_PCI_CAP_BAR] == VIRTIO_PCI_BAR_MODERN) {
        region = &proxy->modern_bar;
    } else if (cap[VIRTIO_PCI_CAP_BAR] == VIRTIO_PCI_BAR_PIO &&
               proxy->modern_pio_notify) {
        region = &proxy->pio_bar;
    }
    *offset = load_le32(cap + VIRTIO_PCI_CAP_OFFSET);
    *len = load_le32(cap + VIRTIO_PCI_CAP_LENGTH);
    if (!region || (*len != 1 && *len != 2 && *len != 4) || *offset % *len ||
        *offset > region->size - *len) {
        return NULL;
    }
    return region;
}

static bool window_hit(const VirtIOPCIProxy *proxy, uint32_t offset,
                       unsigned len)
{
    uint32_t data =
        proxy->access_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

    return proxy->access_cap && offset < data + 4 && data < offset + len;
}

static uint8_t *window_data(VirtIOPCIProxy *proxy)
{
    return proxy->pci.config + proxy->access_cap +
           offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

void virtio_pci_window_read(VirtIOPCIProxy *proxy, uint32_t offset,
                            unsigned len)
{
    uint32_t at, size;
    IoRegion *region;

    if (!window_hit(proxy, offset, len)) {
        return;
    }
    region = window_target(proxy, &at, &size);
    if (region) {
        store_le32(window_data(proxy),
                   (uint32_t)region->ops->read(proxy, at, size));
    }
}

void virtio_pci_window_written(VirtIOPCIProxy *proxy, uint32_t offset,
                               unsigned len)
{
    uint32_t at, size, value;
    IoRegion *region;

    if (!window_hit(proxy, offset, len)) {
        return;
    }
    region = window_target(proxy, &at, &size);
    if (region) {
        value = load_le32(window_data(proxy));
        value &= UINT32_MAX >> (32 - 8 * size);
        region->ops->write(proxy, at, value, size);
    }
}

void virtio_pci_window_reset(VirtIOPCIProxy *proxy)
{
    uint8_t *cap = proxy->pci.config + proxy->access_cap;

    if (proxy->access_cap) {
        cap[VIRTIO_PCI_CAP_BAR] = 0;
        memset(cap + VIRTIO_PCI_CAP_OFFSET, 0,
               sizeof(struct virtio_pci_cfg_cap) - VIRTIO_PCI_CAP_OFFSET);
    }
}

/* ---- capabilities ---- */

typedef struct ModernCap {
    uint8_t type, bar, size;
    uint32_t offset, length;
} ModernCap;

/* Returns its place in configuration space, 0 when that is full. */
static uint8_t add_cap(VirtIOPCIProxy *proxy, const ModernCap *cap)
{
    PCIDevice *pci = &proxy->pci;
    uint8_t at = pci_add_capability(pci, PCI_CAP_ID_VNDR, cap->size);

    if (at) {
        pci->config[at + VIRTIO_PCI_CAP_LEN] = cap->size;
        pci->config[at + VIRTIO_PCI_CAP_CFG_TYPE] = cap->type;
        pci->config[at + VIRTIO_PCI_CAP_BAR] = cap->bar;
        store_le32(pci->config + at + VIRTIO_PCI_CAP_OFFSET, cap->offset);
        store_le32(pci->config + at + VIRTIO_PCI_CAP_LENGTH, cap->length);
    }
    return at;
}

static uint8_t add_notify_cap(VirtIOPCIProxy *proxy, const ModernCap *cap,
                              uint32_t multiplier)
{
    uint8_t at = add_cap(proxy, cap);

    if (at) {
        store_le32(proxy->pci.config + at + VIRTIO_PCI_NOTIFY_CAP_MULT,
                   multiplier);
    }
    return at;
}

static bool add_access_cap(VirtIOPCIProxy *proxy)
{
    const ModernCap cap = { .type = VIRTIO_PCI_CAP_PCI_CFG,
                            .size = sizeof(struct virtio_pci_cfg_cap) };
    uint8_t *wmask;

    proxy->access_cap = add_cap(proxy, &cap);
    if (!proxy->access_cap) {
        return false;
    }
    wmask = proxy->pci.wmask + proxy->access_cap;
    wmask[VIRTIO_PCI_CAP_BAR] = 0xff;
    memset(wmask + VIRTIO_PCI_CAP_OFFSET, 0xff,
           sizeof(struct virtio_pci_cfg_cap) - VIRTIO_PCI_CAP_OFFSET);
    return true;
}

/*
 * A driver takes the first structure of a kind that it can use (4.1.4). The
 * list runs from the capability added last, so the port doorbell, which is
 * there because a user asked for it, comes before the memory one.
 */
static bool add_caps(VirtIOPCIProxy *proxy, uint32_t notify_len)
{
    static const ModernCap plain[] = {
        { VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_BAR_MODERN,
          sizeof(struct virtio_pci_cap), AREA_COMMON, AREA_SIZE },
        { VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_PCI_BAR_MODERN,
          sizeof(struct virtio_pci_cap), AREA_ISR, AREA_SIZE },
        { VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_BAR_MODERN,
          sizeof(struct virtio_pci_cap), AREA_DEVICE, AREA_SIZE },
    };
    const ModernCap pio = { VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_BAR_PIO,
                            sizeof(struct virtio_pci_notify_cap), 0,
                            PIO_BAR_SIZE };
    const ModernCap notify = { VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_BAR_MODERN,
                               sizeof(struct virtio_pci_notify_cap),
                               AREA_NOTIFY, notify_len };

    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
        if (!add_cap(proxy, &plain[i])) {
            return false;
        }
    }
    if (!add_notify_cap(proxy, &notify, proxy->notify_multiplier)) {
        return false;
    }
    if (proxy->modern_pio_notify && !add_notify_cap(proxy, &pio, 0)) {
        return false;
    }
    return add_access_cap(proxy);
}

bool virtio_pci_modern_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    uint64_t notify_len, size = AREA_SIZE;

    proxy->notify_multiplier = proxy->page_per_vq ? AREA_SIZE : NOTIFY_STRIDE;
    notify_len = ALIGN_UP((uint64_t)proxy->notify_multiplier *
                              MAX(proxy->vdev->n_queues, 1),
                          AREA_SIZE);
    if (!add_caps(proxy, (uint32_t)notify_len)) {
        error_setg(errp, "%s: no room for the virtio capabilities",
                   device_label(&proxy->pci.dev));
        return false;
    }
    while (size < AREA_NOTIFY + notify_len) {
        size *= 2;
    }
    io_region_init(&proxy->modern_bar, "virtio-pci-modern", &modern_ops, proxy,
                   size);
    pci_register_bar(&proxy->pci, VIRTIO_PCI_BAR_MODERN, IO_SPACE_MMIO, true,
                     true, &proxy->modern_bar);
    if (proxy->modern_pio_notify) {
        io_region_init(&proxy->pio_bar, "virtio-pci-notify", &pio_ops, proxy,
                       PIO_BAR_SIZE);
        pci_register_bar(&proxy->pci, VIRTIO_PCI_BAR_PIO, IO_SPACE_PORT, false,
                         false, &proxy->pio_bar);
    }
    return true;
}

void virtio_pci_modern_unrealize(VirtIOPCIProxy *proxy)
{
    io_region_destroy(&proxy->modern_bar);
    if (proxy->modern_pio_notify) {
        io_region_destroy(&proxy->pio_bar);
    }
}
