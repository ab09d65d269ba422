/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of virtio-pci share: virtio-pci.c has the proxy, its
 * interrupts and doorbells; virtio-pci-modern.c and virtio-pci-legacy.c have
 * the two register interfaces.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_INTERNAL_H
#define HW_VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "hw/pci/msix.h"
#include "hw/virtio/virtio-pci.h"

/* BARs, as drivers and users of QEMU know them. */
#define VIRTIO_PCI_BAR_LEGACY 0 /* ports */
#define VIRTIO_PCI_BAR_MSIX   1
#define VIRTIO_PCI_BAR_PIO    2 /* modern-pio-notify */
#define VIRTIO_PCI_BAR_MODERN 4 /* 64 bit, so 5 too */

/* An ioeventfd of a queue. */
typedef struct VirtIOPCIDoor {
    IoRegion *region;
    uint64_t offset;
    unsigned size;
    bool match; /* the queue's index must be written */
} VirtIOPCIDoor;

typedef struct VirtIOPCIQueue {
    /* fixed after realize */
    VirtIOPCIProxy *proxy;
    VirtQueue *vq;
    /* main thread, while the device runs */
    MsixBinding *binding; /* of call_fd; NULL: none */
    FdWatch watch;        /* of call_fd: INTx, or no binding to be had */
    VirtIOPCIDoor door[3];
    unsigned n_doors;
} VirtIOPCIQueue;

struct VirtIOPCIProxy {
    PCIDevice pci;

    /* fixed after realize: properties */
    bool ioeventfd, page_per_vq, modern_pio_notify, disable_modern;
    bool ats, aer;
    bool migrate_extra, bus_master_bug_migration; /* of the saved state */
    bool disable_pcie;                            /* conventional anyway */
    int disable_legacy;                           /* OnOffAuto */
    uint32_t vectors;

    /* fixed after realize */
    VirtIODevice *vdev;
    VirtIOPCIQueue *queue; /* array of vdev->n_queues */
    bool legacy, modern;   /* interfaces shown */
    IoRegion legacy_bar, modern_bar, pio_bar;
    uint32_t notify_multiplier;
    uint8_t access_cap; /* VIRTIO_PCI_CAP_PCI_CFG in configuration space */

    /* main thread: registers */
    uint8_t isr;
    uint16_t config_vector;
    uint16_t queue_select;
    uint32_t device_feature_select, driver_feature_select;
    uint32_t driver_features[2];
    /* main thread */
    bool active;  /* between the transport's start() and stop() */
    bool msix_on; /* as interrupts are routed now */
    bool warned_door, warned_route;
};

#define VIRTIO_PCI(o)           OBJECT_CAST(VirtIOPCIProxy, o)
#define VIRTIO_PCI_GET_CLASS(o) OBJECT_GET_CLASS(VirtIOPCIClass, o)

/* ---- virtio-pci.c ---- */

/* The driver writes device_status; 0 resets. */
void virtio_pci_write_status(VirtIOPCIProxy *proxy, uint8_t status) MAIN_THREAD;
/* Reads, and so acknowledges, the interrupt status (VIRTIO 1.2, 4.1.4.5). */
uint8_t virtio_pci_read_isr(VirtIOPCIProxy *proxy) MAIN_THREAD;
/* Vectors that the function does not have become MSIX_NO_VECTOR. */
void virtio_pci_set_config_vector(VirtIOPCIProxy *proxy, uint16_t vector)
    MAIN_THREAD;
void virtio_pci_set_queue_vector(VirtIOPCIProxy *proxy, unsigned index,
                                 uint16_t vector) MAIN_THREAD;
/* Interrupt and doorbells of an enabled queue of a running device; nothing in
 * other states. */
void virtio_pci_queue_connect(VirtIOPCIProxy *proxy, unsigned index)
    MAIN_THREAD;
void virtio_pci_queue_disconnect(VirtIOPCIProxy *proxy, unsigned index)
    MAIN_THREAD;
/* The queue that the driver selected, or NULL. */
VirtQueue *virtio_pci_selected(VirtIOPCIProxy *proxy);
/* Makes writes at @offset kick @q without us. False when refused. */
bool virtio_pci_open_door(VirtIOPCIQueue *q, IoRegion *region, uint64_t offset,
                          unsigned size, bool match, Error **errp) MAIN_THREAD;

/* ---- virtio-pci-modern.c ---- */

/* BAR and capabilities; the device and its queues are there. */
bool virtio_pci_modern_realize(VirtIOPCIProxy *proxy, Error **errp) MAIN_THREAD;
void virtio_pci_modern_unrealize(VirtIOPCIProxy *proxy) MAIN_THREAD;
bool virtio_pci_modern_open_doors(VirtIOPCIQueue *q, Error **errp) MAIN_THREAD;
/* The driver accesses configuration space [@offset, @offset + @len): serves
 * the access window in it (4.1.4.9). */
void virtio_pci_window_read(VirtIOPCIProxy *proxy, uint32_t offset,
                            unsigned len) MAIN_THREAD;
void virtio_pci_window_written(VirtIOPCIProxy *proxy, uint32_t offset,
                               unsigned len) MAIN_THREAD;
/* The window as it is after power-on: it selects nothing. */
void virtio_pci_window_reset(VirtIOPCIProxy *proxy);

/* ---- virtio-pci-legacy.c ---- */

void virtio_pci_legacy_realize(VirtIOPCIProxy *proxy) MAIN_THREAD;
void virtio_pci_legacy_unrealize(VirtIOPCIProxy *proxy) MAIN_THREAD;
bool virtio_pci_legacy_open_doors(VirtIOPCIQueue *q, Error **errp) MAIN_THREAD;

#endif
