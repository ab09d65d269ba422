/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot of an ELF kernel by the PVH entry: 32-bit protected mode, paging
 * off, struct hvm_start_info in EBX (Xen's "x86/HVM direct boot ABI").
 *
 * Nothing in the image is trusted: each field is checked against the file's
 * size and the machine's RAM before it is used.
 */
#include "util/osdep.h"

#include <elf.h>

#include "hw/i386/boot-internal.h"
#include "util/endian.h"

#define NOTE_PHYS32_ENTRY 18
#define MAX_SEGMENTS      64u
#define MAX_NOTE_SIZE     (64 * KiB)

#define START_INFO_MAGIC   0x336ec578u
#define START_INFO_VERSION 1u

/* Sizes and places in the page at BOOT_PARAMS. */
enum {
    START_INFO_SIZE = 56,
    MODULE_AT = 64,
    MODULE_SIZE = 32,
    MEMMAP_AT = 128,
    MEMMAP_ENTRY = 24,
};

/* A program header, of either class. */
typedef struct Segment {
    uint32_t type;
    uint64_t offset, paddr, filesz, memsz, align;
} Segment;

typedef struct ElfImage {
    const BootImage *file;
    Segment segment[MAX_SEGMENTS];
    unsigned n;
    uint64_t entry; /* from the note */
    uint64_t end;   /* of the highest loaded segment */
} ElfImage;

/* Where the table of program headers is, of either class. */
typedef struct ElfTable {
    bool is_64;
    uint64_t offset;
    unsigned entry_size, n;
} ElfTable;

static bool read_table_64(const BootImage *file, ElfTable *t, Error **errp)
{
    Elf64_Ehdr h;

    if (!boot_image_read(file, 0, &h, sizeof(h), errp)) {
        return false;
    }
    *t = (ElfTable){ true, le64toh(h.e_phoff), le16toh(h.e_phentsize),
                     le16toh(h.e_phnum) };
    if (t->entry_size != sizeof(Elf64_Phdr)) {
        boot_image_error(file, errp,
                         "the image is damaged: program headers of %u bytes, "
                         "must be %zu",
                         t->entry_size, sizeof(Elf64_Phdr));
        return false;
    }
    return true;
}

static bool read_table_32(const BootImage *file, ElfTable *t, Error **errp)
{
    Elf32_Ehdr h;

    if (!boot_image_read(file, 0, &h, sizeof(h), errp)) {
        return false;
    }
    *t = (ElfTable){ false, le32toh(h.e_phoff), le16toh(h.e_phentsize),
                     le16toh(h.e_phnum) };
    if (t->entry_size != sizeof(Elf32_Phdr)) {
        boot_image_error(file, errp,
                         "the image is damaged: program headers of %u bytes, "
                         "must be %zu",
                         t->entry_size, sizeof(Elf32_Phdr));
        return false;
    }
    return true;
}

/* Checks what both classes have in the same place. */
static bool check_ident(const BootImage *file, bool *is_64, Error **errp)
{
    uint8_t h[EI_NIDENT + 4];
    unsigned type, machine;

    if (!boot_image_read(file, 0, h, sizeof(h), errp)) {
        return false;
    }
    type = load_le16(h + EI_NIDENT);
    machine = load_le16(h + EI_NIDENT + 2);
    *is_64 = h[EI_CLASS] == ELFCLASS64;
    if ((!*is_64 && h[EI_CLASS] != ELFCLASS32) || h[EI_DATA] != ELFDATA2LSB ||
        (type != ET_EXEC && type != ET_DYN) ||
        (machine != EM_X86_64 && machine != EM_386)) {
        boot_image_error(file, errp,
                         "this ELF file is no x86 kernel, must be an "
                         "executable for x86-64 or i386");
        return false;
    }
    return true;
}

static Segment segment_from_64(const uint8_t *raw)
{
    Elf64_Phdr p;

    memcpy(&p, raw, sizeof(p));
    return (Segment){ le32toh(p.p_type),  le64toh(p.p_offset),
                      le64toh(p.p_paddr), le64toh(p.p_filesz),
                      le64toh(p.p_memsz), le64toh(p.p_align) };
}

static Segment segment_from_32(const uint8_t *raw)
{
    Elf32_Phdr p;

    memcpy(&p, raw, sizeof(p));
    return (Segment){ le32toh(p.p_type),  le32toh(p.p_offset),
                      le32toh(p.p_paddr), le32toh(p.p_filesz),
                      le32toh(p.p_memsz), le32toh(p.p_align) };
}

static bool read_segments(ElfImage *elf, Error **errp)
{
    g_autofree uint8_t *raw = NULL;
    ElfTable t;
    bool is_64;
    size_t len;

    if (!check_ident(elf->file, &is_64, errp) ||
        !(is_64 ? read_table_64 : read_table_32)(elf->file, &t, errp)) {
        return false;
    }
    if (t.n == 0 || t.n > MAX_SEGMENTS) {
        boot_image_error(elf->file, errp, "%u program headers, must be 1 to %u",
                         t.n, MAX_SEGMENTS);
        return false;
    }
    len = (size_t)t.n * t.entry_size;
    raw = g_malloc(len);
    if (!boot_image_read(elf->file, t.offset, raw, len, errp)) {
        return false;
    }
    for (elf->n = 0; elf->n < t.n; elf->n++) {
        const uint8_t *at = raw + elf->n * t.entry_size;

        elf->segment[elf->n] =
            is_64 ? segment_from_64(at) : segment_from_32(at);
    }
    return true;
}

/* Looks for the entry in the @len bytes of notes; 0 when it is not there. */
static uint64_t find_entry(const uint8_t *notes, uint64_t len, unsigned align)
{
    uint64_t at = 0, desc, next;
    uint32_t namesz, descsz;

    while (len - at >= sizeof(Elf64_Nhdr)) {
        namesz = load_le32(notes + at);
        descsz = load_le32(notes + at + 4);
        desc = ALIGN_UP(at + sizeof(Elf64_Nhdr) + namesz, align);
        next = ALIGN_UP(desc + descsz, align);
        if (desc + descsz > len) {
            break;
        }
        if (load_le32(notes + at + 8) == NOTE_PHYS32_ENTRY && namesz == 4 &&
            memcmp(notes + at + sizeof(Elf64_Nhdr), "Xen", 4) == 0) {
            if (descsz == 4) {
                return load_le32(notes + desc);
            }
            if (descsz == 8) {
                return load_le64(notes + desc);
            }
        }
        if (next >= len) {
            break;
        }
        at = next;
    }
    return 0;
}

static bool read_note(ElfImage *elf, Error **errp)
{
    for (unsigned i = 0; i < elf->n && !elf->entry; i++) {
        const Segment *s = &elf->segment[i];
        g_autofree uint8_t *notes = NULL;

        if (s->type != PT_NOTE || s->filesz > MAX_NOTE_SIZE) {
            continue;
        }
        notes = g_malloc(s->filesz + 1);
        if (!boot_image_read(elf->file, s->offset, notes, s->filesz, errp)) {
            return false;
        }
        elf->entry = find_entry(notes, s->filesz, s->align == 8 ? 8 : 4);
    }
    if (!elf->entry) {
        boot_image_error(elf->file, errp,
                         "this ELF kernel has no PVH entry note, must be built "
                         "with CONFIG_PVH=y, or use its bzImage");
        return false;
    }
    return true;
}

static bool load_segment(ElfImage *elf, const Segment *s, uint64_t below_4g,
                         Error **errp)
{
    uint64_t tail = s->memsz - s->filesz;
    void *bss;

    if (s->filesz > s->memsz ||
        !boot_fits(s->paddr, s->memsz, BOOT_LOADER_END, below_4g)) {
        boot_image_error(elf->file, errp,
                         "segment of 0x%" PRIx64 " bytes at 0x%" PRIx64
                         " does not fit, must lie between 0x%x and the end "
                         "of RAM at 0x%" PRIx64,
                         s->memsz, s->paddr, BOOT_LOADER_END, below_4g);
        return false;
    }
    if (!boot_image_load(elf->file, s->offset, s->filesz, s->paddr, errp)) {
        return false;
    }
    if (tail > 0) {
        bss = ram_map_lookup(ram_map_get(), s->paddr + s->filesz, tail);
        if (!bss) {
            boot_image_error(elf->file, errp, "no RAM for its zeroed data");
            return false;
        }
        memset(bss, 0, tail);
        ram_note_write(s->paddr + s->filesz, tail);
    }
    elf->end = MAX(elf->end, s->paddr + s->memsz);
    return true;
}

static bool load_segments(ElfImage *elf, uint64_t below_4g, Error **errp)
{
    bool entry_loaded = false;

    for (unsigned i = 0; i < elf->n; i++) {
        const Segment *s = &elf->segment[i];

        if (s->type != PT_LOAD || s->memsz == 0) {
            continue;
        }
        if (!load_segment(elf, s, below_4g, errp)) {
            return false;
        }
        entry_loaded |=
            elf->entry >= s->paddr && elf->entry - s->paddr < s->filesz;
    }
    if (!entry_loaded) {
        boot_image_error(elf->file, errp,
                         "the image is damaged: PVH entry 0x%" PRIx64
                         " is in no loaded segment",
                         elf->entry);
        return false;
    }
    return true;
}

/* struct hvm_start_info with its module and memory map, in one page. */
static bool write_start_info(const LinuxBootConfig *cfg, uint64_t initrd_gpa,
                             uint64_t initrd_size)
{
    uint8_t page[MEMMAP_AT + BOOT_MAX_RANGES * MEMMAP_ENTRY] = { 0 };
    BootRange range[BOOT_MAX_RANGES];
    unsigned n = boot_memory_map(cfg, range);
    uint8_t *e = page + MEMMAP_AT;

    G_STATIC_ASSERT(START_INFO_SIZE <= MODULE_AT);
    G_STATIC_ASSERT(MODULE_AT + MODULE_SIZE <= MEMMAP_AT);
    store_le32(page, START_INFO_MAGIC);
    store_le32(page + 4, START_INFO_VERSION);
    store_le32(page + 12, initrd_size ? 1 : 0);
    store_le64(page + 16, initrd_size ? BOOT_PARAMS + MODULE_AT : 0);
    store_le64(page + 24, BOOT_CMDLINE);
    store_le64(page + 32, cfg->rsdp_gpa);
    store_le64(page + 40, BOOT_PARAMS + MEMMAP_AT);
    store_le32(page + 48, n);
    store_le64(page + MODULE_AT, initrd_gpa);
    store_le64(page + MODULE_AT + 8, initrd_size);
    for (unsigned i = 0; i < n; i++, e += MEMMAP_ENTRY) {
        store_le64(e, range[i].addr);
        store_le64(e + 8, range[i].size);
        store_le32(e + 16, range[i].type);
    }
    return ram_write(BOOT_PARAMS, page, sizeof(page));
}

bool elf_boot_load(const LinuxBootConfig *cfg, const BootImage *kernel,
                   const BootImage *initrd, VcpuBootState *boot, Error **errp)
{
    ElfImage elf = { .file = kernel };
    uint64_t gpa = 0;

    if (!read_segments(&elf, errp) || !read_note(&elf, errp) ||
        !load_segments(&elf, cfg->below_4g, errp) ||
        !boot_load_cmdline(cfg->append, UINT64_MAX, errp)) {
        return false;
    }
    if (initrd &&
        !boot_load_initrd(initrd, elf.end, cfg->below_4g, &gpa, errp)) {
        return false;
    }
    if (!boot_set_cpu(boot, false, errp)) {
        return false;
    }
    if (!write_start_info(cfg, gpa, initrd ? initrd->size : 0)) {
        boot_image_error(kernel, errp, "no RAM below 640 KiB");
        return false;
    }
    boot->rip = elf.entry;
    boot->rbx = BOOT_PARAMS;
    return true;
}
