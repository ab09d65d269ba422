/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net as a PCI function: names, ids, number of vectors.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "hw/virtio/virtio-pci.h"

#ifndef PCI_CLASS_NETWORK_ETHERNET
#define PCI_CLASS_NETWORK_ETHERNET 0x0200
#endif

/* One per ring, one for the control queue, one for configuration changes. */
static unsigned net_default_vectors(VirtIOPCIProxy *proxy) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(virtio_pci_device(proxy));
    NetClientState *netdev =
        net->conf.netdev ? net_client_find(net->conf.netdev) : NULL;

    return 2 * (netdev ? netdev->n_queues : 1) + 2;
}

static const VirtIOPCITypeNames net_names = {
    .generic = "virtio-net-pci",
    .alias = "virtio-net",
    .transitional = "virtio-net-pci-transitional",
    .non_transitional = "virtio-net-pci-non-transitional",
    .desc = "Virtio network device",
    .category = "Network",
    .virtio_type = TYPE_VIRTIO_NET,
    .pci_class = PCI_CLASS_NETWORK_ETHERNET,
    .transitional_dev_id = 0x1000,
    .default_vectors = net_default_vectors,
};

static void virtio_net_pci_register(void)
{
    virtio_pci_types_register(&net_names);
}

TYPE_INIT(virtio_net_pci_register)
