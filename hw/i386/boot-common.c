/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two ways of a direct boot share.
 *
 * Image files are read with pread straight into guest memory: one copy, and a
 * file that someone truncates meanwhile gives an error, not a signal.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "hw/i386/boot-internal.h"
#include "util/endian.h"

void boot_image_error(const BootImage *image, Error **errp, const char *fmt,
                      ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(errp, "%s %s: %s", image->option, image->path, text);
}

bool boot_image_init(BootImage *image, const char *option, const char *path,
                     int fd, Error **errp)
{
    struct stat st;

    *image = (BootImage){ .option = option, .path = path, .fd = fd };
    if (fstat(fd, &st) < 0) {
        error_setg_errno(errp, errno, "%s %s: cannot look at the file", option,
                         path);
        return false;
    }
    image->size = st.st_size;
    return true;
}

static bool check_range(const BootImage *image, uint64_t offset, uint64_t len,
                        Error **errp)
{
    if (offset > image->size || len > image->size - offset) {
        boot_image_error(
            image, errp,
            "the image is truncated or damaged: it refers to %" PRIu64
            " bytes at offset %" PRIu64 ", but the file ends at %" PRIu64,
            len, offset, image->size);
        return false;
    }
    return true;
}

bool boot_image_read(const BootImage *image, uint64_t offset, void *buf,
                     uint64_t len, Error **errp)
{
    uint8_t *p = buf;
    ssize_t n;

    if (!check_range(image, offset, len, errp)) {
        return false;
    }
    while (len > 0) {
        n = pread(image->fd, p, len, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            error_setg_errno(errp, errno, "%s %s: cannot read the file",
                             image->option, image->path);
            return false;
        }
        if (n == 0) {
            boot_image_error(image, errp, "the file became shorter");
            return false;
        }
        p += n;
        offset += n;
        len -= n;
    }
    return true;
}

bool boot_image_load(const BootImage *image, uint64_t offset, uint64_t len,
                     uint64_t gpa, Error **errp)
{
    void *host;

    if (len == 0) {
        return true;
    }
    host = ram_map_lookup(ram_map_get(), gpa, len);
    if (!host) {
        boot_image_error(image, errp,
                         "no RAM at 0x%" PRIx64 "..0x%" PRIx64
                         " to load it to; use a larger -m",
                         gpa, gpa + len - 1);
        return false;
    }
    if (!boot_image_read(image, offset, host, len, errp)) {
        return false;
    }
    ram_note_write(gpa, len);
    return true;
}

bool boot_fits(uint64_t gpa, uint64_t len, uint64_t min, uint64_t end)
{
    return gpa >= min && len <= end && gpa <= end - len;
}

bool boot_load_initrd(const BootImage *initrd, uint64_t min, uint64_t end,
                      uint64_t *gpa, Error **errp)
{
    if (end < initrd->size ||
        ALIGN_DOWN(end - initrd->size, PAGE_SIZE_4K) < min) {
        boot_image_error(initrd, errp,
                         "%" PRIu64 " bytes do not fit between the kernel's "
                         "end 0x%" PRIx64 " and 0x%" PRIx64
                         "; use a larger -m or a smaller file",
                         initrd->size, min, end);
        return false;
    }
    *gpa = ALIGN_DOWN(end - initrd->size, PAGE_SIZE_4K);
    return boot_image_load(initrd, 0, initrd->size, *gpa, errp);
}

bool boot_load_cmdline(const char *append, uint64_t max, Error **errp)
{
    const char *text = append ? append : "";
    size_t len = strlen(text);

    max = MIN(max, BOOT_CMDLINE_MAX - 1);
    if (len > max) {
        error_setg(errp,
                   "-append has %zu characters, this kernel takes at most "
                   "%" PRIu64,
                   len, max);
        return false;
    }
    if (!ram_write(BOOT_CMDLINE, text, len + 1)) {
        error_setg(errp, "-append: no RAM at 0x%x; use a larger -m",
                   BOOT_CMDLINE);
        return false;
    }
    return true;
}

unsigned boot_memory_map(const LinuxBootConfig *cfg,
                         BootRange range[BOOT_MAX_RANGES])
{
    unsigned n = 0;

    /* 640 KiB less the place where a BIOS has its data area; the ACPI tables
     * are in the last 128 KiB below 1 MiB. */
    range[n++] = (BootRange){ 0, 0x9fc00, BOOT_RANGE_RAM };
    range[n++] = (BootRange){ 0x9fc00, 0x400, BOOT_RANGE_RESERVED };
    range[n++] = (BootRange){ 0xe0000, 0x20000, BOOT_RANGE_RESERVED };
    range[n++] = (BootRange){ MiB, cfg->below_4g - MiB, BOOT_RANGE_RAM };
    if (cfg->above_4g) {
        range[n++] = (BootRange){ 4 * GiB, cfg->above_4g, BOOT_RANGE_RAM };
    }
    return n;
}

/* Maps the first 4 GiB to themselves by pages of 2 MiB. */
static bool build_page_tables(void)
{
    enum { ENTRIES = 512, TABLES = 6, PDS = 4 };
    const uint64_t present_writable = 0x3, large = 0x80;
    g_autofree le64 *table = g_new0(le64, TABLES * ENTRIES);
    le64 *pdpt = table + ENTRIES, *pd = pdpt + ENTRIES;

    table[0] = le64_make((BOOT_PAGE_TABLES + PAGE_SIZE_4K) | present_writable);
    for (uint64_t i = 0; i < PDS; i++) {
        pdpt[i] = le64_make((BOOT_PAGE_TABLES + (2 + i) * PAGE_SIZE_4K) |
                            present_writable);
    }
    for (uint64_t i = 0; i < PDS * ENTRIES; i++) {
        pd[i] = le64_make(i * 2 * MiB | large | present_writable);
    }
    return ram_write(BOOT_PAGE_TABLES, table, TABLES * PAGE_SIZE_4K);
}

bool boot_set_cpu(VcpuBootState *boot, bool long_mode, Error **errp)
{
    /* flat segments; an empty, busy TSS at 0 (Intel SDM 3A, 3.4.5, 7.2.2) */
    const le64 gdt[] = {
        [BOOT_CS / 8] = le64_make(long_mode ? 0x00af9b000000ffffULL
                                            : 0x00cf9b000000ffffULL),
        [BOOT_DS / 8] = le64_make(0x00cf93000000ffffULL),
        [BOOT_TR / 8] = le64_make(0x00008b0000000067ULL),
        [BOOT_TR / 8 + 1] = le64_make(0),
    };

    *boot = (VcpuBootState){
        .valid = true,
        .long_mode = long_mode,
        .rsp = BOOT_STACK_TOP,
        .cr3 = long_mode ? BOOT_PAGE_TABLES : 0,
        .gdt_base = BOOT_GDT,
        .gdt_limit = sizeof(gdt) - 1,
        .cs_sel = BOOT_CS,
        .ds_sel = BOOT_DS,
        .tr_sel = BOOT_TR,
    };
    if (!ram_write(BOOT_GDT, gdt, sizeof(gdt)) ||
        (long_mode && !build_page_tables())) {
        error_setg(errp, "-kernel: no RAM below 640 KiB; use a larger -m");
        return false;
    }
    return true;
}
