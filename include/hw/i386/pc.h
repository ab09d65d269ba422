/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `pc` machine: what its parts share.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "accel/vcpu.h"
#include "chardev/char.h"
#include "hw/core/qdev.h"
#include "hw/pci/pci.h"
#include "system/memory.h"

/* Guest-physical layout. RAM is [0, below_4g) and [4 GiB, 4 GiB + above_4g). */
#define PC_MAX_BELOW_4G  0xc0000000ULL /* 3 GiB; PCI hole above */
#define PC_PCI_HOLE_BASE 0xe0000000ULL /* where _CRS starts */
#define PC_PCI_HOLE_END  0xfec00000ULL
#define PC_IOAPIC_BASE   0xfec00000ULL
#define PC_LAPIC_BASE    0xfee00000ULL

/* I/O ports with a fixed place */
#define PC_PM_BASE       0x600 /* ACPI PM1a event, control, timer */
#define PC_SCI_GSI       9
#define PC_FW_CFG_PORT   0x510
#define PC_ACPI_GPE_BASE 0xafe0

typedef struct PcMachineConfig {
    uint64_t ram_size; /* bytes */
    CpuTopology topo;
    const char *kernel, *initrd, *append; /* NULL: none */
    const char *ram_backend_id;           /* memory-backend=, or NULL */
    uint8_t uuid[16];
    bool uuid_set;
    Chardev *serial[4]; /* NULL: no such port */
    bool acpi;          /* acpi=on|off */
    bool start_paused;  /* -S: may be without a kernel */
} PcMachineConfig;

/*
 * Builds the machine: RAM, chipset, ISA devices, ACPI tables, fw_cfg, vCPUs,
 * and loads the kernel. vCPUs are paused in their start state. pci.0 exists
 * from here on, so -device comes after. False and *errp on bad input.
 */
bool pc_machine_init(const PcMachineConfig *cfg, Error **errp) MAIN_THREAD;

/* Called once all -device are realized: gives BARs their first addresses when
 * no firmware will (direct kernel boot), builds ACPI tables. */
bool pc_machine_done(Error **errp) MAIN_THREAD;

/* ---- parts, each in its own file under hw/ ---- */

typedef struct FwCfg FwCfg;
FwCfg *fw_cfg_init(void) MAIN_THREAD; /* ports 0x510..0x51b, with DMA */
void fw_cfg_add_bytes(FwCfg *fw, uint16_t key, const void *data, size_t len,
                      bool copy) MAIN_THREAD;
void fw_cfg_add_u16(FwCfg *fw, uint16_t key, uint16_t v) MAIN_THREAD;
void fw_cfg_add_u32(FwCfg *fw, uint16_t key, uint32_t v) MAIN_THREAD;
/* A named file; refused when the name is too long or taken. */
bool fw_cfg_add_file(FwCfg *fw, const char *name, const void *data, size_t len,
                     Error **errp) MAIN_THREAD;
FwCfg *fw_cfg_get(void) MAIN_THREAD; /* NULL: none */

/* i440FX host bridge, PIIX3 ISA bridge, PIIX4 power management on pci.0. */
PCIBus *i440fx_init(void) MAIN_THREAD;

/* ACPI tables in guest memory for a direct boot (RSDP in 0xe0000..0xfffff)
 * and as fw_cfg files for a firmware. @pci_mmio64 may be empty (size 0). */
typedef struct AcpiConfig {
    CpuTopology topo;
    uint64_t below_4g, above_4g; /* bytes of RAM */
    uint64_t mmio32_base, mmio32_end;
    uint64_t mmio64_base, mmio64_end;
    bool serial[4];
    uint16_t pvpanic_port; /* 0: no such device */
} AcpiConfig;
bool acpi_build(const AcpiConfig *cfg, uint64_t *rsdp_gpa, Error **errp)
    MAIN_THREAD;

/* Direct boot (Linux x86 boot protocol, 64-bit entry; PVH for an ELF with the
 * XEN_ELFNOTE_PHYS32_ENTRY note). Fills RAM and the start state. */
typedef struct LinuxBootConfig {
    const char *kernel, *initrd, *append;
    uint64_t below_4g, above_4g;
    uint64_t rsdp_gpa;        /* 0: none */
    int kernel_fd, initrd_fd; /* from linux_boot_open() */
} LinuxBootConfig;
/* Opens the files named in @cfg, once: a reboot loads from the same files
 * again, whatever became of the paths. */
bool linux_boot_open(LinuxBootConfig *cfg, Error **errp) MAIN_THREAD;
bool linux_boot_load(const LinuxBootConfig *cfg, VcpuBootState *boot,
                     Error **errp) MAIN_THREAD;

#endif
