/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two ways of a direct boot share: image files, the layout of low
 * memory and the tables that a kernel starts with.
 *
 * Threads: under the machine lock, vCPUs stopped.
 */
#ifndef HW_I386_BOOT_INTERNAL_H
#define HW_I386_BOOT_INTERNAL_H

#include "hw/i386/pc.h"

/* Guest-physical places, all inside the first usable range. A kernel copies
 * or maps what it needs of them before it gives the memory to anyone. */
#define BOOT_GDT         0x1000u
#define BOOT_PARAMS      0x2000u /* zero page, or the PVH start info */
#define BOOT_PAGE_TABLES 0x3000u /* six pages: PML4, PDPT, four PDs */
#define BOOT_STACK_TOP   0xa000u
#define BOOT_CMDLINE     0x20000u
#define BOOT_CMDLINE_MAX 0x70000u  /* bytes, with the NUL */
#define BOOT_LOADER_END  0xf1000u  /* nothing of ours (RSDP) from here on */
#define BOOT_KERNEL_MIN  0x100000u /* a bzImage goes here or above */

#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TR 0x20

/* A file given by an option, open for reading. */
typedef struct BootImage {
    const char *option; /* "-kernel", for messages */
    const char *path;
    int fd;
    uint64_t size; /* bytes */
} BootImage;

/* Takes the size of the file open at @fd. False when that fails. */
bool boot_image_init(BootImage *image, const char *option, const char *path,
                     int fd, Error **errp);

/* Reads @len bytes at @offset, which are untrusted: false and "is truncated"
 * when the file does not have them. */
bool boot_image_read(const BootImage *image, uint64_t offset, void *buf,
                     uint64_t len, Error **errp);

/* The same, straight into guest memory at @gpa. False when that is not RAM. */
bool boot_image_load(const BootImage *image, uint64_t offset, uint64_t len,
                     uint64_t gpa, Error **errp);

/* Sets "OPTION PATH: TEXT". */
void boot_image_error(const BootImage *image, Error **errp, const char *fmt,
                      ...) G_GNUC_PRINTF(3, 4);

/* True when [@gpa, @gpa + @len) lies in [@min, @end). */
bool boot_fits(uint64_t gpa, uint64_t len, uint64_t min, uint64_t end);

/* Loads @initrd as high as it goes in [@min, @end); *@gpa says where. */
bool boot_load_initrd(const BootImage *initrd, uint64_t min, uint64_t end,
                      uint64_t *gpa, Error **errp);

/* Puts @append (NULL: empty) at BOOT_CMDLINE. @max: longest that the kernel
 * takes, without the NUL. */
bool boot_load_cmdline(const char *append, uint64_t max, Error **errp);

/* A range of the memory map; types as in E820 (ACPI 6.4, table 15.2). */
typedef struct BootRange {
    uint64_t addr, size;
    uint32_t type;
} BootRange;
#define BOOT_RANGE_RAM      1u
#define BOOT_RANGE_RESERVED 2u
#define BOOT_MAX_RANGES     5u

/* Fills @range with what a kernel may and may not use; returns how many. */
unsigned boot_memory_map(const LinuxBootConfig *cfg,
                         BootRange range[BOOT_MAX_RANGES]);

/* Writes the descriptor table for @boot->long_mode and sets the fields of
 * @boot that do not depend on the kernel: selectors, table, stack, paging. */
bool boot_set_cpu(VcpuBootState *boot, bool long_mode, Error **errp);

/* Loads an ELF image with a PVH entry. @initrd is NULL for none. */
bool elf_boot_load(const LinuxBootConfig *cfg, const BootImage *kernel,
                   const BootImage *initrd, VcpuBootState *boot, Error **errp);

/*
 * Does a firmware's work on @bus: gives BARs addresses in the windows for I/O
 * ports, 32-bit memory and, when not empty, 64-bit memory [@mmio64_base,
 * @mmio64_end); sets interrupt line registers; turns decoding on. Devices are
 * as after a reset. A BAR that finds no room is left out with a warning.
 */
void pc_pci_assign(PCIBus *bus, uint64_t mmio64_base, uint64_t mmio64_end)
    MAIN_THREAD;

#endif
