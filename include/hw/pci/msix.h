/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X (PCI Local Bus Specification 3.0, 6.8.2): table, pending bits, masks,
 * and the eventfds that the kernel turns into messages.
 *
 * A vector may be *bound* to an eventfd: writing the eventfd then injects the
 * vector's message by irqfd while the vector is unmasked. While it is masked
 * (by its own bit, by the function mask, by MSI-X or bus mastering being off)
 * nobody reads the eventfd: its count is part of the pending bit, collected
 * when the guest reads the bit, and the message goes out on unmask. No kick of
 * the eventfd is lost in either change. A guest that masks a busy vector costs
 * the main loop nothing. When the kernel has no route left, the main loop
 * reads the eventfd and sends the message: slower, but nothing breaks.
 *
 * Threads: under the machine lock; the bound eventfd is written by anyone.
 */
#ifndef HW_PCI_MSIX_H
#define HW_PCI_MSIX_H

#include "hw/pci/pci.h"

#define MSIX_MAX_VECTORS 2048u
#define MSIX_NO_VECTOR   0xffffu /* VIRTIO_MSI_NO_VECTOR */

/*
 * Adds the capability with @n vectors; table and pending bits in BAR @bar,
 * which this function creates and registers (4 KiB multiple, table first).
 * False and *errp when @n is 0 or above the maximum.
 */
bool msix_init(PCIDevice *dev, unsigned n, unsigned bar, Error **errp)
    MAIN_THREAD;
void msix_uninit(PCIDevice *dev) MAIN_THREAD;
void msix_reset(PCIDevice *dev) MAIN_THREAD;

unsigned msix_vectors(const PCIDevice *dev); /* 0: no MSI-X */
bool msix_enabled(const PCIDevice *dev) MAIN_THREAD;
bool msix_masked(const PCIDevice *dev, unsigned vector) MAIN_THREAD;

/* Sends the vector's message, or sets its pending bit when masked. Vectors out
 * of range are ignored. */
void msix_notify(PCIDevice *dev, unsigned vector) MAIN_THREAD;

/*
 * Binds @eventfd (non-blocking) to @vector, several eventfds may share one
 * vector. NULL and *errp when the device has no such vector. @eventfd stays
 * the caller's and open until unbound.
 */
typedef struct MsixBinding MsixBinding;
MsixBinding *msix_bind(PCIDevice *dev, unsigned vector, int eventfd,
                       Error **errp) MAIN_THREAD;
/* NULL is allowed. A signal not yet delivered becomes pending or is sent. */
void msix_unbind(MsixBinding *binding) MAIN_THREAD;

/* True when the kernel injects @binding's messages now (monitors, tests). */
bool msix_binding_in_kernel(const MsixBinding *binding) MAIN_THREAD;

/* For hw/pci/pci.c: a guest write may have changed MSI-X enable, the function
 * mask or bus mastering. */
void msix_control_changed(PCIDevice *dev) MAIN_THREAD;

/* Messages injected or collected by us (not by the kernel); for monitors. */
uint64_t msix_sent(const PCIDevice *dev, unsigned vector) MAIN_THREAD;

#endif
