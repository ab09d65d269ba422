/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers that identify PCI functions: vendors, and classes (PCI Code and ID
 * Assignment Specification 1.11).
 *
 * Threads: constants.
 */
#ifndef HW_PCI_PCI_IDS_H
#define HW_PCI_PCI_IDS_H

#define PCI_VENDOR_ID_INTEL  0x8086
#define PCI_VENDOR_ID_VIRTIO 0x1af4
#define PCI_VENDOR_ID_REDHAT 0x1b36

#define PCI_DEVICE_ID_INTEL_82441FX  0x1237 /* i440FX host bridge */
#define PCI_DEVICE_ID_INTEL_82371SB  0x7000 /* PIIX3 ISA bridge */
#define PCI_DEVICE_ID_INTEL_82371AB3 0x7113 /* PIIX4 power management */

#define PCI_DEVICE_ID_REDHAT_PVPANIC 0x0011

/* Subsystem of the emulated chipset */
#define PCI_SUBSYSTEM_ID_MACHINE 0x1100

#define PCI_CLASS_STORAGE_SCSI     0x0100
#define PCI_CLASS_STORAGE_IDE      0x0101
#define PCI_CLASS_NETWORK_ETHERNET 0x0200
#define PCI_CLASS_NETWORK_OTHER    0x0280
#define PCI_CLASS_DISPLAY_VGA      0x0300
#define PCI_CLASS_BRIDGE_HOST      0x0600
#define PCI_CLASS_BRIDGE_ISA       0x0601
#define PCI_CLASS_BRIDGE_PCI       0x0604
#define PCI_CLASS_BRIDGE_OTHER     0x0680
#define PCI_CLASS_COMM_OTHER       0x0780
#define PCI_CLASS_SYSTEM_OTHER     0x0880

#endif
