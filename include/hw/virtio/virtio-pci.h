/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio over PCI (VIRTIO 1.2, 4.1): the proxy that shows a VirtIODevice as a
 * PCI function, modern, transitional or legacy.
 *
 * A device model needs one small file: a PCI type whose instance_init makes
 * the VirtIODevice child, and a table of names. Properties that the proxy does
 * not have go to the child.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

#define TYPE_VIRTIO_PCI                "virtio-pci"
#define VIRTIO_PCI_VECTORS_UNSPECIFIED UINT32_MAX

typedef struct VirtIOPCIProxy VirtIOPCIProxy;

typedef struct VirtIOPCIClass {
    PCIDeviceClass parent;
    const char *virtio_type; /* the child's type, e.g. "virtio-net-device" */
    /* Called before the child is realized when `vectors=` was not given;
     * returns how many. NULL: 2. */
    unsigned (*default_vectors)(VirtIOPCIProxy *proxy);
    uint16_t transitional_dev_id; /* 0: no legacy interface */
} VirtIOPCIClass;

/* The virtio device behind a proxy. */
VirtIODevice *virtio_pci_device(VirtIOPCIProxy *proxy);

/*
 * Names of one device over PCI: registers @generic-base (abstract), and
 * user-creatable @generic ("virtio-net-pci", alias "virtio-net"),
 * @transitional and @non_transitional when not NULL. @names is kept: it must
 * be static. From a TYPE_INIT function.
 */
typedef struct VirtIOPCITypeNames {
    const char *generic, *alias, *transitional, *non_transitional;
    const char *desc, *category;
    const char *virtio_type;
    uint16_t pci_class;           /* PCI_CLASS_NETWORK_ETHERNET */
    uint16_t transitional_dev_id; /* 0x1000 for net; 0: modern only */
    unsigned (*default_vectors)(VirtIOPCIProxy *proxy);
} VirtIOPCITypeNames;
void virtio_pci_types_register(const VirtIOPCITypeNames *names);

#endif
