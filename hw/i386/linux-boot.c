/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot of a Linux bzImage: the x86 boot protocol's 64-bit entry
 * (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol", and
 * zero-page.rst for struct boot_params).
 *
 * Nothing in the image is trusted: each field is checked against the file's
 * size and the machine's RAM before it is used.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "hw/i386/boot-internal.h"
#include "util/endian.h"
#include "util/fdset.h"

/* Offsets in the image and, the same, in struct boot_params. */
enum {
    BP_ACPI_RSDP_ADDR = 0x070,
    BP_E820_ENTRIES = 0x1e8,
    BP_SETUP_HEADER = 0x1f1, /* also setup_sects */
    BP_SYSSIZE = 0x1f4,
    BP_BOOT_FLAG = 0x1fe,
    BP_JUMP = 0x200, /* its second byte says where the header ends */
    BP_HEADER = 0x202,
    BP_VERSION = 0x206,
    BP_TYPE_OF_LOADER = 0x210,
    BP_LOADFLAGS = 0x211,
    BP_CODE32_START = 0x214,
    BP_RAMDISK_IMAGE = 0x218,
    BP_RAMDISK_SIZE = 0x21c,
    BP_CMD_LINE_PTR = 0x228,
    BP_INITRD_ADDR_MAX = 0x22c,
    BP_KERNEL_ALIGNMENT = 0x230,
    BP_RELOCATABLE = 0x234,
    BP_XLOADFLAGS = 0x236,
    BP_CMDLINE_SIZE = 0x238,
    BP_SETUP_DATA = 0x250,
    BP_PREF_ADDRESS = 0x258,
    BP_INIT_SIZE = 0x260,
    BP_SETUP_HEADER_MAX = 0x290, /* where the header's room ends */
    BP_E820_TABLE = 0x2d0,
    BP_SIZE = 0x1000,
};

#define BOOT_FLAG          0xaa55
#define HEADER_MAGIC       0x53726448u /* "HdrS" */
#define VERSION_MIN        0x020c      /* the first with XLF_KERNEL_64 */
#define LOADED_HIGH        0x01
#define XLF_KERNEL_64      0x01
#define LOADER_UNDEFINED   0xff
#define SECTOR             512u
#define SETUP_SECTS_LEGACY 4     /* what 0 stands for */
#define ENTRY_64           0x200 /* from the start of the loaded part */
#define E820_ENTRY         20
#define ALIGNMENT_MAX      GiB

/* The parts of a bzImage's header that say how to load it. */
typedef struct BzImage {
    uint8_t header[BP_SETUP_HEADER_MAX];
    uint64_t offset, size; /* of the loaded part, in the file */
    uint64_t need;         /* bytes of RAM the kernel uses to start */
    uint64_t addr;         /* where it is loaded */
} BzImage;

static bool check_signature(const BootImage *kernel, const uint8_t *h,
                            Error **errp)
{
    unsigned version = load_le16(h + BP_VERSION);

    if (load_le16(h + BP_BOOT_FLAG) != BOOT_FLAG ||
        load_le32(h + BP_HEADER) != HEADER_MAGIC) {
        boot_image_error(kernel, errp,
                         "not a Linux kernel, must be an x86 bzImage or an "
                         "ELF vmlinux with a PVH note");
        return false;
    }
    if (version < VERSION_MIN ||
        !(load_le16(h + BP_XLOADFLAGS) & XLF_KERNEL_64) ||
        !(h[BP_LOADFLAGS] & LOADED_HIGH)) {
        boot_image_error(kernel, errp,
                         "boot protocol %u.%02u without a 64-bit entry, must "
                         "be a 64-bit bzImage of protocol 2.12 or later",
                         version >> 8, version & 0xff);
        return false;
    }
    return true;
}

static bool bz_parse(const BootImage *kernel, BzImage *bz, Error **errp)
{
    uint8_t *h = bz->header;
    uint64_t sects, syssize;

    if (!boot_image_read(kernel, 0, h, sizeof(bz->header), errp) ||
        !check_signature(kernel, h, errp)) {
        return false;
    }
    sects = h[BP_SETUP_HEADER] ? h[BP_SETUP_HEADER] : SETUP_SECTS_LEGACY;
    bz->offset = (sects + 1) * SECTOR;
    syssize = load_le32(h + BP_SYSSIZE) * 16ULL;
    /* counted in units of 16 bytes, the last may be cut short */
    if (kernel->size < bz->offset + ENTRY_64 + 1 || syssize < ENTRY_64 + 1 ||
        syssize > kernel->size - bz->offset + 15) {
        boot_image_error(kernel, errp,
                         "the image is truncated or damaged: the header wants "
                         "%" PRIu64 " bytes at offset %" PRIu64
                         ", but the file ends at %" PRIu64,
                         syssize, bz->offset, kernel->size);
        return false;
    }
    bz->size = MIN(syssize, kernel->size - bz->offset);
    bz->need = MAX(bz->size, load_le32(h + BP_INIT_SIZE));
    return true;
}

/* Chooses the address: the preferred one, or else the lowest. */
static bool bz_place(const BootImage *kernel, BzImage *bz, uint64_t below_4g,
                     Error **errp)
{
    uint64_t pref = load_le64(bz->header + BP_PREF_ADDRESS);
    uint32_t align = load_le32(bz->header + BP_KERNEL_ALIGNMENT);

    if (boot_fits(pref, bz->need, BOOT_KERNEL_MIN, below_4g)) {
        bz->addr = pref;
        return true;
    }
    if (bz->header[BP_RELOCATABLE]) {
        if (!align || align & (align - 1) || align > ALIGNMENT_MAX) {
            boot_image_error(kernel, errp,
                             "the image is damaged: alignment 0x%x must be a "
                             "power of two up to 1 GiB",
                             align);
            return false;
        }
        bz->addr = ALIGN_UP((uint64_t)BOOT_KERNEL_MIN, align);
        if (boot_fits(bz->addr, bz->need, BOOT_KERNEL_MIN, below_4g)) {
            return true;
        }
    }
    boot_image_error(kernel, errp,
                     "the kernel needs %" PRIu64 " MiB of RAM at 0x%" PRIx64
                     " to start, but RAM ends at 0x%" PRIx64
                     "; use a larger -m",
                     (uint64_t)(bz->need / MiB) + 1, pref, below_4g);
    return false;
}

static bool bz_load_initrd(const LinuxBootConfig *cfg, const BzImage *bz,
                           const BootImage *initrd, uint8_t *params,
                           Error **errp)
{
    uint64_t end = load_le32(bz->header + BP_INITRD_ADDR_MAX) + 1ULL, gpa;

    if (!boot_load_initrd(initrd, bz->addr + bz->need, MIN(end, cfg->below_4g),
                          &gpa, errp)) {
        return false;
    }
    store_le32(params + BP_RAMDISK_IMAGE, gpa);
    store_le32(params + BP_RAMDISK_SIZE, initrd->size);
    return true;
}

/* The zero page, but for the initrd's place. */
static void fill_params(const LinuxBootConfig *cfg, const BzImage *bz,
                        uint8_t params[BP_SIZE])
{
    unsigned end = BP_JUMP + 2 + bz->header[BP_JUMP + 1], n;
    BootRange range[BOOT_MAX_RANGES];
    uint8_t *e820 = params + BP_E820_TABLE;

    end = MIN(end, BP_SETUP_HEADER_MAX);
    memcpy(params + BP_SETUP_HEADER, bz->header + BP_SETUP_HEADER,
           end - BP_SETUP_HEADER);
    params[BP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    store_le32(params + BP_CODE32_START, bz->addr);
    store_le32(params + BP_RAMDISK_IMAGE, 0);
    store_le32(params + BP_RAMDISK_SIZE, 0);
    store_le32(params + BP_CMD_LINE_PTR, BOOT_CMDLINE);
    store_le64(params + BP_SETUP_DATA, 0);
    store_le64(params + BP_ACPI_RSDP_ADDR, cfg->rsdp_gpa);

    n = boot_memory_map(cfg, range);
    params[BP_E820_ENTRIES] = n;
    for (unsigned i = 0; i < n; i++, e820 += E820_ENTRY) {
        store_le64(e820, range[i].addr);
        store_le64(e820 + 8, range[i].size);
        store_le32(e820 + 16, range[i].type);
    }
}

static bool bz_load(const LinuxBootConfig *cfg, const BootImage *kernel,
                    const BootImage *initrd, VcpuBootState *boot, Error **errp)
{
    g_autofree uint8_t *params = g_malloc0(BP_SIZE);
    BzImage bz;

    if (!bz_parse(kernel, &bz, errp) ||
        !bz_place(kernel, &bz, cfg->below_4g, errp) ||
        !boot_load_cmdline(cfg->append, load_le32(bz.header + BP_CMDLINE_SIZE),
                           errp) ||
        !boot_image_load(kernel, bz.offset, bz.size, bz.addr, errp)) {
        return false;
    }
    fill_params(cfg, &bz, params);
    if (initrd && !bz_load_initrd(cfg, &bz, initrd, params, errp)) {
        return false;
    }
    if (!boot_set_cpu(boot, true, errp)) {
        return false;
    }
    if (!ram_write(BOOT_PARAMS, params, BP_SIZE)) {
        boot_image_error(kernel, errp, "no RAM below 640 KiB");
        return false;
    }
    boot->rip = bz.addr + ENTRY_64;
    boot->rsi = BOOT_PARAMS;
    return true;
}

/* ---- entry ---- */

static bool MAIN_THREAD open_file(const char *option, const char *path, int *fd,
                                  Error **errp)
{
    struct stat st;

    *fd = fdset_open(path, O_RDONLY | O_NONBLOCK, 0, errp);
    if (*fd < 0) {
        error_prepend(errp, "%s %s: ", option, path);
        return false;
    }
    if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        error_setg(errp, "%s %s: must be a regular file", option, path);
        close(*fd);
        *fd = -1;
        return false;
    }
    return true;
}

bool linux_boot_open(LinuxBootConfig *cfg, Error **errp)
{
    cfg->kernel_fd = cfg->initrd_fd = -1;
    if (!open_file("-kernel", cfg->kernel, &cfg->kernel_fd, errp)) {
        return false;
    }
    if (cfg->initrd &&
        !open_file("-initrd", cfg->initrd, &cfg->initrd_fd, errp)) {
        close(cfg->kernel_fd);
        cfg->kernel_fd = -1;
        return false;
    }
    return true;
}

bool linux_boot_load(const LinuxBootConfig *cfg, VcpuBootState *boot,
                     Error **errp)
{
    BootImage kernel, initrd, *second = NULL;
    uint8_t magic[4];

    if (cfg->below_4g < 2 * MiB) {
        error_setg(errp,
                   "-kernel needs at least 2 MiB of RAM, but -m gives %" PRIu64
                   " KiB",
                   (uint64_t)(cfg->below_4g / KiB));
        return false;
    }
    if (!boot_image_init(&kernel, "-kernel", cfg->kernel, cfg->kernel_fd,
                         errp) ||
        !boot_image_read(&kernel, 0, magic, sizeof(magic), errp)) {
        return false;
    }
    if (cfg->initrd) {
        if (!boot_image_init(&initrd, "-initrd", cfg->initrd, cfg->initrd_fd,
                             errp)) {
            return false;
        }
        second = &initrd;
    }
    return memcmp(magic, "\177ELF", 4) == 0
               ? elf_boot_load(cfg, &kernel, second, boot, errp)
               : bz_load(cfg, &kernel, second, boot, errp);
}
