/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The legacy register interface: one block of ports (VIRTIO 1.2, 4.1.4.10 and
 * the "Legacy Interface" sections).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/virtio_pci.h>

#include "util/endian.h"
#include "util/log.h"
#include "hw/virtio/virtio-pci-internal.h"

/* Registers up to the device's own configuration, which moves back by the two
 * vectors while MSI-X is enabled. */
#define LEGACY_HEADER_MAX 24u

static uint32_t header_bytes(const VirtIOPCIProxy *proxy)
{
    return VIRTIO_PCI_CONFIG_OFF(proxy->msix_on);
}

/* All registers as the driver reads them, but for the interrupt status. */
static void header_image(VirtIOPCIProxy *proxy, uint8_t *h) MAIN_THREAD
{
    VirtIODevice *vdev = proxy->vdev;
    VirtQueue *vq = virtio_pci_selected(proxy);

    memset(h, 0, LEGACY_HEADER_MAX);
    store_le32(h + VIRTIO_PCI_HOST_FEATURES,
               (uint32_t)virtio_get_host_features(vdev));
    store_le32(h + VIRTIO_PCI_GUEST_FEATURES, (uint32_t)vdev->guest_features);
    if (vq) {
        store_le32(h + VIRTIO_PCI_QUEUE_PFN,
                   (uint32_t)(vq->desc_gpa >> VIRTIO_PCI_QUEUE_ADDR_SHIFT));
        store_le16(h + VIRTIO_PCI_QUEUE_NUM, vq->max_size);
    }
    store_le16(h + VIRTIO_PCI_QUEUE_SEL, proxy->queue_select);
    h[VIRTIO_PCI_STATUS] = vdev->status;
    store_le16(h + VIRTIO_MSI_CONFIG_VECTOR, proxy->config_vector);
    store_le16(h + VIRTIO_MSI_QUEUE_VECTOR, vq ? vq->vector : MSIX_NO_VECTOR);
}

static uint64_t legacy_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;
    uint32_t header = header_bytes(proxy);
    uint8_t h[LEGACY_HEADER_MAX];
    uint8_t bytes[4] = { 0 };

    if (offset >= header) {
        return virtio_config_read(proxy->vdev, (uint32_t)(offset - header),
                                  size);
    }
    header_image(proxy, h);
    if (offset <= VIRTIO_PCI_ISR && VIRTIO_PCI_ISR < offset + size) {
        h[VIRTIO_PCI_ISR] = virtio_pci_read_isr(proxy);
    }
    memcpy(bytes, h + offset, MIN(size, header - offset));
    return load_le32(bytes);
}

static void write_pfn(VirtIOPCIProxy *proxy, uint32_t pfn) MAIN_THREAD
{
    unsigned index = proxy->queue_select;

    if (!virtio_pci_selected(proxy)) {
        return;
    }
    virtio_queue_set_legacy(proxy->vdev, index,
                            (uint64_t)pfn << VIRTIO_PCI_QUEUE_ADDR_SHIFT);
    virtio_pci_queue_disconnect(proxy, index);
    virtio_pci_queue_connect(proxy, index);
}

static void write_notify(VirtIOPCIProxy *proxy, uint16_t index) MAIN_THREAD
{
    VirtIODevice *vdev = proxy->vdev;

    if (index < vdev->n_queues && vdev->vq[index].enabled) {
        virtio_queue_notify(vdev, index);
        virtio_legacy_use(vdev);
    }
}

/* The width of the writable register at @offset, or 0. */
static unsigned register_width(uint64_t offset)
{
    switch (offset) {
    case VIRTIO_PCI_GUEST_FEATURES:
    case VIRTIO_PCI_QUEUE_PFN:
        return 4;
    case VIRTIO_PCI_QUEUE_SEL:
    case VIRTIO_PCI_QUEUE_NOTIFY:
    case VIRTIO_MSI_CONFIG_VECTOR:
    case VIRTIO_MSI_QUEUE_VECTOR:
        return 2;
    case VIRTIO_PCI_STATUS:
        return 1;
    default:
        return 0;
    }
}

static void write_register(VirtIOPCIProxy *proxy, uint64_t offset,
                           uint32_t value) MAIN_THREAD
{
    switch (offset) {
    case VIRTIO_PCI_GUEST_FEATURES:
        virtio_set_guest_features(proxy->vdev, value);
        break;
    case VIRTIO_PCI_QUEUE_PFN:
        write_pfn(proxy, value);
        break;
    case VIRTIO_PCI_QUEUE_SEL:
        proxy->queue_select = (uint16_t)value;
        break;
    case VIRTIO_PCI_QUEUE_NOTIFY:
        write_notify(proxy, (uint16_t)value);
        break;
    case VIRTIO_PCI_STATUS:
        virtio_pci_write_status(proxy, (uint8_t)value);
        break;
    case VIRTIO_MSI_CONFIG_VECTOR:
        virtio_pci_set_config_vector(proxy, (uint16_t)value);
        break;
    case VIRTIO_MSI_QUEUE_VECTOR:
        virtio_pci_set_queue_vector(proxy, proxy->queue_select,
                                    (uint16_t)value);
        break;
    }
}

static void legacy_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;
    uint32_t header = header_bytes(proxy);

    if (offset >= header) {
        virtio_config_write(proxy->vdev, (uint32_t)(offset - header),
                            (uint32_t)value, size);
    } else if (register_width(offset) == size) {
        write_register(proxy, offset, (uint32_t)value);
    } else {
        log_mask(LOG_GUEST_ERROR,
                 "%s: write of %u bytes at legacy register %u ignored",
                 device_label(&proxy->pci.dev), size, (unsigned)offset);
    }
}

static const IoRegionOps legacy_ops = {
    .read = legacy_read,
    .write = legacy_write,
};

bool virtio_pci_legacy_open_doors(VirtIOPCIQueue *q, Error **errp)
{
    return virtio_pci_open_door(q, &q->proxy->legacy_bar,
                                VIRTIO_PCI_QUEUE_NOTIFY, 2, true, errp);
}

void virtio_pci_legacy_realize(VirtIOPCIProxy *proxy)
{
    uint64_t size = 32;

    while (size < LEGACY_HEADER_MAX + proxy->vdev->config_len) {
        size *= 2;
    }
    io_region_init(&proxy->legacy_bar, "virtio-pci-legacy", &legacy_ops, proxy,
                   size);
    pci_register_bar(&proxy->pci, VIRTIO_PCI_BAR_LEGACY, IO_SPACE_PORT, false,
                     false, &proxy->legacy_bar);
}

void virtio_pci_legacy_unrealize(VirtIOPCIProxy *proxy)
{
    io_region_destroy(&proxy->legacy_bar);
}
