/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: synthetic images, good and hostile, against a small fake of
 * guest memory. QEMU_MQ_TEST_KERNEL may name a real bzImage to try as well.
 */
#include "util/osdep.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "hw/i386/pc.h"
#include "util/endian.h"
#include "util/fdset.h"

#define RAM_SIZE (64 * MiB)
#define RSDP     0xf0000

/* ---- guest memory ---- */

static uint8_t *ram;
static RamMap *map;

const RamMap *ram_map_get(void)
{
    return map;
}

void *ram_map_lookup(const RamMap *m, uint64_t gpa, uint64_t len)
{
    if (!len || gpa > RAM_SIZE || len > RAM_SIZE - gpa) {
        return NULL;
    }
    return m->range[0].host + gpa;
}

bool ram_write(uint64_t gpa, const void *buf, uint64_t len)
{
    void *host = ram_map_lookup(map, gpa, len);

    if (host) {
        memcpy(host, buf, len);
    }
    return host;
}

void ram_note_write(uint64_t gpa, uint64_t len)
{
}

static void ram_init(void)
{
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram != MAP_FAILED);
    map = g_malloc0(sizeof(*map) + sizeof(map->range[0]));
    map->n = 1;
    map->range[0] = (RamRange){ .size = RAM_SIZE, .host = ram, .fd = -1 };
}

static uint64_t ram_u64(uint64_t gpa)
{
    return load_le64(ram + gpa);
}

/* ---- images ---- */

#define BZ_SETUP   1024
#define BZ_PAYLOAD 8192
#define BZ_SIZE    (BZ_SETUP + BZ_PAYLOAD)
#define BZ_PREF    (16 * MiB)
#define BZ_INIT    (1 * MiB)

static void make_bzimage(uint8_t b[BZ_SIZE])
{
    memset(b, 0, BZ_SETUP);
    for (unsigned i = BZ_SETUP; i < BZ_SIZE; i++) {
        b[i] = i * 7;
    }
    b[0x1f1] = 1; /* setup_sects */
    store_le32(b + 0x1f4, BZ_PAYLOAD / 16);
    store_le16(b + 0x1fe, 0xaa55);
    store_le16(b + 0x200, 0x66eb); /* jump to 0x268 */
    memcpy(b + 0x202, "HdrS", 4);
    store_le16(b + 0x206, 0x020f);
    b[0x211] = 1; /* loadflags: high */
    store_le32(b + 0x22c, 0x7fffffff);
    store_le32(b + 0x230, 2 * MiB);
    b[0x234] = 1; /* relocatable */
    store_le16(b + 0x236, 3);
    store_le32(b + 0x238, 2047);
    store_le64(b + 0x258, BZ_PREF);
    store_le32(b + 0x260, BZ_INIT);
    store_le32(b + 0x264, 0x1234); /* handover_offset: copied as it is */
}

#define ELF_PADDR 0x1000000
#define ELF_SIZE  0x2000
#define ELF_NOTE  0x200 /* offset of the note */
#define ELF_LOAD  0x1000
#define ELF_ENTRY (ELF_PADDR + 0x40)
#define ELF_BSS   0x3000 /* memsz - filesz */

static void put_note(uint8_t *b)
{
    static const uint8_t other[] = "\4\0\0\0\1\0\0\0\2\0\0\0GNU\0x";

    memcpy(b, other, sizeof(other)); /* another note comes first */
    store_le32(b + 20, 4);
    store_le32(b + 24, 8);
    store_le32(b + 28, 18);
    memcpy(b + 32, "Xen", 4);
    store_le64(b + 36, ELF_ENTRY);
}
#define ELF_NOTE_SIZE 44

static void make_elf64(uint8_t b[ELF_SIZE])
{
    Elf64_Ehdr h = { .e_type = ET_EXEC,
                     .e_machine = EM_X86_64,
                     .e_phoff = sizeof(h),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2 };
    Elf64_Phdr p[2] = {
        { .p_type = PT_LOAD,
          .p_offset = ELF_LOAD,
          .p_paddr = ELF_PADDR,
          .p_filesz = ELF_SIZE - ELF_LOAD,
          .p_memsz = ELF_SIZE - ELF_LOAD + ELF_BSS },
        { .p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = ELF_NOTE_SIZE },
    };

    memset(b, 0x5a, ELF_SIZE);
    memcpy(h.e_ident, "\177ELF\2\1\1", 7);
    memcpy(b, &h, sizeof(h));
    memcpy(b + sizeof(h), p, sizeof(p));
    put_note(b + ELF_NOTE);
}

static void make_elf32(uint8_t b[ELF_SIZE])
{
    Elf32_Ehdr h = { .e_type = ET_EXEC,
                     .e_machine = EM_386,
                     .e_phoff = sizeof(h),
                     .e_phentsize = sizeof(Elf32_Phdr),
                     .e_phnum = 2 };
    Elf32_Phdr p[2] = {
        { .p_type = PT_LOAD,
          .p_offset = ELF_LOAD,
          .p_paddr = ELF_PADDR,
          .p_filesz = ELF_SIZE - ELF_LOAD,
          .p_memsz = ELF_SIZE - ELF_LOAD + ELF_BSS },
        { .p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = ELF_NOTE_SIZE },
    };

    memset(b, 0x5a, ELF_SIZE);
    memcpy(h.e_ident, "\177ELF\1\1\1", 7);
    memcpy(b, &h, sizeof(h));
    memcpy(b + sizeof(h), p, sizeof(p));
    put_note(b + ELF_NOTE);
}

static int file_of(const void *data, size_t len)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    g_assert_cmpint(write(fd, data, len), ==, len);
    return fd;
}

static LinuxBootConfig config(int kernel_fd)
{
    return (LinuxBootConfig){ .kernel = "vmlinuz",
                              .kernel_fd = kernel_fd,
                              .initrd_fd = -1,
                              .append = "console=ttyS0 quiet",
                              .below_4g = RAM_SIZE,
                              .rsdp_gpa = RSDP };
}

/* Loads an image that must be refused with a line that has @why in it. */
static void expect_refusal(const LinuxBootConfig *cfg, const char *why)
{
    VcpuBootState boot = { 0 };
    g_autoptr(GError) err = NULL;

    g_assert_false(linux_boot_load(cfg, &boot, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, why)) {
        g_error("'%s' is not in '%s'", why, err->message);
    }
    g_assert_null(strchr(err->message, '\n'));
    g_assert_true(err->message[0] == '-'); /* begins with the option */
}

static void expect_refusal_of(const void *data, size_t len, const char *why)
{
    LinuxBootConfig cfg = config(file_of(data, len));

    expect_refusal(&cfg, why);
    close(cfg.kernel_fd);
}

/* ---- 64-bit boot protocol ---- */

static void check_long_mode(const VcpuBootState *boot)
{
    uint64_t pdpt, pd;

    g_assert_true(boot->valid && boot->long_mode);
    g_assert_cmphex(boot->cs_sel, ==, 0x10);
    g_assert_cmphex(boot->ds_sel, ==, 0x18);
    g_assert_cmphex(ram_u64(boot->gdt_base + 0x10) >> 53 & 1, ==, 1); /* L */
    g_assert_cmphex(ram_u64(boot->gdt_base + 0x18), ==, 0xcf93000000ffff);
    g_assert_cmpuint(boot->gdt_limit, >=, boot->tr_sel + 7);
    for (uint64_t addr = 0; addr < 4 * GiB; addr += 2 * MiB) {
        pdpt = ram_u64(boot->cr3 & ~0xfffULL);
        g_assert_cmphex(pdpt & 0xfff, ==, 3);
        pd = ram_u64((pdpt & ~0xfffULL) + (addr >> 30) * 8);
        g_assert_cmphex(pd & 0xfff, ==, 3);
        g_assert_cmphex(ram_u64((pd & ~0xfffULL) + (addr >> 21 & 511) * 8), ==,
                        addr | 0x83);
    }
}

static void check_e820(const uint8_t *zero_page, uint64_t below, uint64_t above)
{
    uint64_t ram_bytes = 0, end = 0;

    for (unsigned i = 0; i < zero_page[0x1e8]; i++) {
        const uint8_t *e = zero_page + 0x2d0 + 20 * i;
        uint64_t addr = load_le64(e), size = load_le64(e + 8);

        g_assert_cmphex(addr, >=, end); /* sorted, no overlap */
        end = addr + size;
        if (load_le32(e + 16) == 1) {
            g_assert_true(end <= 0x9fc00 || addr >= MiB);
            ram_bytes += size;
        } else {
            g_assert_true(addr >= 0x9fc00 && end <= MiB);
        }
    }
    g_assert_cmphex(ram_bytes, ==, below - MiB + 0x9fc00 + above);
}

static void test_bzimage(void)
{
    uint8_t b[BZ_SIZE];
    const uint8_t *bp;
    VcpuBootState boot;
    LinuxBootConfig cfg;

    make_bzimage(b);
    cfg = config(file_of(b, sizeof(b)));
    cfg.above_4g = GiB;
    g_assert_true(linux_boot_load(&cfg, &boot, NULL));
    check_long_mode(&boot);
    g_assert_cmphex(boot.rip, ==, BZ_PREF + 0x200);
    g_assert_cmpmem(ram + BZ_PREF, BZ_PAYLOAD, b + BZ_SETUP, BZ_PAYLOAD);

    bp = ram + boot.rsi;
    g_assert_cmpmem(bp + 0x202, 4, "HdrS", 4);
    g_assert_cmphex(load_le32(bp + 0x264), ==, 0x1234);
    g_assert_cmphex(load_le32(bp + 0x268), ==, 0); /* the header ends there */
    g_assert_cmphex(bp[0x210], ==, 0xff);
    g_assert_cmphex(bp[0x1ef], ==, 0); /* sentinel */
    g_assert_cmphex(load_le64(bp + 0x70), ==, RSDP);
    g_assert_cmphex(load_le32(bp + 0x21c), ==, 0);
    g_assert_cmpstr((char *)ram + load_le32(bp + 0x228), ==, cfg.append);
    check_e820(bp, RAM_SIZE, GiB);
    close(cfg.kernel_fd);
}

static void test_bzimage_again(void)
{
    uint8_t b[BZ_SIZE];
    VcpuBootState first, second;
    LinuxBootConfig cfg;
    g_autofree uint8_t *before = g_malloc(0x30000);

    make_bzimage(b);
    cfg = config(file_of(b, sizeof(b)));
    g_assert_true(linux_boot_load(&cfg, &first, NULL));
    memcpy(before, ram, 0x30000);
    memset(ram, 0xee, RAM_SIZE); /* what a guest leaves behind */
    g_assert_true(linux_boot_load(&cfg, &second, NULL));
    g_assert_cmphex(first.rip, ==, second.rip);
    g_assert_cmphex(first.rsi, ==, second.rsi);
    g_assert_cmphex(first.cr3, ==, second.cr3);
    g_assert_cmphex(first.gdt_base, ==, second.gdt_base);
    g_assert_cmpmem(ram + first.rsi, 4096, before + first.rsi, 4096);
    g_assert_cmpmem(ram + BZ_PREF, BZ_PAYLOAD, b + BZ_SETUP, BZ_PAYLOAD);
    close(cfg.kernel_fd);
}

static void test_bzimage_relocated(void)
{
    uint8_t b[BZ_SIZE];
    VcpuBootState boot;
    LinuxBootConfig cfg;

    make_bzimage(b);
    cfg = config(file_of(b, sizeof(b)));
    cfg.below_4g = 8 * MiB;
    g_assert_true(linux_boot_load(&cfg, &boot, NULL));
    g_assert_cmphex(boot.rip, ==, 2 * MiB + 0x200);
    close(cfg.kernel_fd);
}

static void test_initrd_placement(void)
{
    static const struct {
        uint64_t max, below, size, at; /* at 0: refused */
    } row[] = {
        { 0x7fffffff, RAM_SIZE, 5000, RAM_SIZE - 8192 },
        { 0x7fffffff, RAM_SIZE, 4096, RAM_SIZE - 4096 },
        { 0x1ffffff, RAM_SIZE, 4096, 32 * MiB - 4096 },
        { 0x7fffffff, 18 * MiB, 1 * MiB, 17 * MiB },
        { 0x7fffffff, 18 * MiB, 1 * MiB + 1, 0 },
        { 0x7fffffff, RAM_SIZE, 63 * MiB, 0 },
        { 0, RAM_SIZE, 4096, 0 },
        { UINT32_MAX, RAM_SIZE, 4096, RAM_SIZE - 4096 },
    };
    uint8_t b[BZ_SIZE];
    g_autofree uint8_t *data = g_malloc(63 * MiB);
    VcpuBootState boot;

    memset(data, 0x77, 63 * MiB);
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        LinuxBootConfig cfg;

        make_bzimage(b);
        store_le32(b + 0x22c, row[i].max);
        cfg = config(file_of(b, sizeof(b)));
        cfg.below_4g = row[i].below;
        cfg.initrd = "initrd.img";
        cfg.initrd_fd = file_of(data, row[i].size);
        memset(ram, 0, RAM_SIZE);
        if (!row[i].at) {
            expect_refusal(&cfg, "-initrd initrd.img: ");
        } else {
            g_assert_true(linux_boot_load(&cfg, &boot, NULL));
            g_assert_cmphex(load_le32(ram + boot.rsi + 0x218), ==, row[i].at);
            g_assert_cmphex(load_le32(ram + boot.rsi + 0x21c), ==, row[i].size);
            g_assert_cmpmem(ram + row[i].at, row[i].size, data, row[i].size);
        }
        close(cfg.kernel_fd);
        close(cfg.initrd_fd);
    }
}

/* One field changed each; @len 0 keeps the file's length. */
static void test_bzimage_hostile(void)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        size_t len;
        const char *why; /* NULL: still loads */
    } row[] = {
        { 0, 0, 0, 3, "truncated" },
        { 0, 0, 0, 0x200, "truncated" },
        { 0, 0, 0, 0x28f, "truncated" },
        { 0, 0, 0, BZ_SETUP, "truncated" },
        { 0, 0, 0, BZ_SETUP + 0x200, "truncated" },
        { 0, 0, 0, BZ_SIZE - 16, "truncated" },
        { 0, 0, 0, BZ_SIZE - 15, NULL },
        { 0x1fe, 2, 0, 0, "not a Linux kernel" },
        { 0x202, 4, 0, 0, "not a Linux kernel" },
        { 0x206, 2, 0x0206, 0, "2.12" },
        { 0x206, 2, 0x020b, 0, "2.12" },
        { 0x236, 2, 0, 0, "64-bit" },
        { 0x211, 1, 0, 0, "64-bit" },
        { 0x1f1, 1, 255, 0, "truncated" },
        { 0x1f1, 1, 0, 0, "truncated" }, /* 0 is 4 */
        { 0x1f4, 4, 0, 0, "truncated" },
        { 0x1f4, 4, 0x20, 0, "truncated" }, /* nothing at the entry */
        { 0x1f4, 4, 0x21, 0, NULL },
        { 0x1f4, 4, UINT32_MAX, 0, "truncated" },
        { 0x201, 1, 0, 0, NULL },          /* header ends at once */
        { 0x201, 1, 0xff, 0, NULL },       /* runs into the next fields */
        { 0x258, 8, UINT64_MAX, 0, NULL }, /* other address found */
        { 0x258, 8, UINT64_MAX - 0xfff, 0, NULL },
        { 0x258, 8, 0, 0, NULL },
        { 0x258, 8, 1ULL << 40, 0, NULL },
        { 0x260, 4, UINT32_MAX, 0, "larger -m" },
        { 0x260, 4, 0, 0, NULL },
        { 0x260, 4, RAM_SIZE, 0, "larger -m" },
        { 0x238, 4, 5, 0, "-append" },
        { 0x238, 4, 19, 0, NULL },
        { 0x238, 4, 18, 0, "at most 18" },
        { 0x238, 4, UINT32_MAX, 0, NULL },
    };
    uint8_t b[BZ_SIZE];
    VcpuBootState boot;
    le64 value;

    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        size_t len = row[i].len ? row[i].len : BZ_SIZE;

        make_bzimage(b);
        value = le64_make(row[i].value);
        memcpy(b + row[i].at, &value, row[i].size);
        if (row[i].why) {
            expect_refusal_of(b, len, row[i].why);
        } else {
            LinuxBootConfig cfg = config(file_of(b, len));

            g_assert_true(linux_boot_load(&cfg, &boot, NULL));
            close(cfg.kernel_fd);
        }
    }
}

static void test_bzimage_fixed_address(void)
{
    static const uint32_t bad_align[] = { 0, 3, 0x80000000u };
    uint8_t b[BZ_SIZE];

    make_bzimage(b);
    b[0x234] = 0;
    store_le64(b + 0x258, RAM_SIZE);
    expect_refusal_of(b, sizeof(b), "RAM ends at 0x4000000");
    b[0x234] = 1;
    for (size_t i = 0; i < ARRAY_SIZE(bad_align); i++) {
        store_le32(b + 0x230, bad_align[i]);
        expect_refusal_of(b, sizeof(b), "power of two");
    }
    store_le32(b + 0x230, 512 * MiB);
    expect_refusal_of(b, sizeof(b), "larger -m");
}

/* ---- PVH ---- */

static void check_pvh(const LinuxBootConfig *cfg, const uint8_t *image)
{
    VcpuBootState boot;
    const uint8_t *info, *e;
    uint64_t ram_bytes = 0;

    memset(ram, 0xee, RAM_SIZE);
    g_assert_true(linux_boot_load(cfg, &boot, NULL));
    g_assert_true(boot.valid && !boot.long_mode);
    g_assert_cmphex(boot.rip, ==, ELF_ENTRY);
    g_assert_cmphex(ram_u64(boot.gdt_base + boot.cs_sel), ==, 0xcf9b000000ffff);
    g_assert_cmphex(ram_u64(boot.gdt_base + boot.ds_sel), ==, 0xcf93000000ffff);
    g_assert_cmpmem(ram + ELF_PADDR, ELF_SIZE - ELF_LOAD, image + ELF_LOAD,
                    ELF_SIZE - ELF_LOAD);
    for (unsigned i = 0; i < ELF_BSS; i++) {
        g_assert_cmphex(ram[ELF_PADDR + ELF_SIZE - ELF_LOAD + i], ==, 0);
    }
    info = ram + boot.rbx;
    g_assert_cmphex(load_le32(info), ==, 0x336ec578);
    g_assert_cmphex(load_le32(info + 4), ==, 1);
    g_assert_cmpstr((char *)ram + load_le64(info + 24), ==, cfg->append);
    g_assert_cmphex(load_le64(info + 32), ==, RSDP);
    e = ram + load_le64(info + 40);
    for (unsigned i = 0; i < load_le32(info + 48); i++, e += 24) {
        ram_bytes += load_le32(e + 16) == 1 ? load_le64(e + 8) : 0;
    }
    g_assert_cmphex(ram_bytes, ==, RAM_SIZE - MiB + 0x9fc00);
}

static void test_pvh(void)
{
    uint8_t b[ELF_SIZE];
    LinuxBootConfig cfg;

    make_elf64(b);
    cfg = config(file_of(b, sizeof(b)));
    check_pvh(&cfg, b);
    close(cfg.kernel_fd);
    make_elf32(b);
    cfg = config(file_of(b, sizeof(b)));
    check_pvh(&cfg, b);
    close(cfg.kernel_fd);
}

static void test_pvh_initrd(void)
{
    uint8_t b[ELF_SIZE];
    VcpuBootState boot;
    LinuxBootConfig cfg;
    const uint8_t *info, *module;

    make_elf64(b);
    cfg = config(file_of(b, sizeof(b)));
    cfg.initrd = "initrd.img";
    cfg.initrd_fd = file_of("some files", 10);
    cfg.append = NULL;
    g_assert_true(linux_boot_load(&cfg, &boot, NULL));
    info = ram + boot.rbx;
    g_assert_cmpuint(load_le32(info + 12), ==, 1);
    module = ram + load_le64(info + 16);
    g_assert_cmphex(load_le64(module), ==, RAM_SIZE - 4096);
    g_assert_cmpuint(load_le64(module + 8), ==, 10);
    g_assert_cmpmem(ram + RAM_SIZE - 4096, 10, "some files", 10);
    g_assert_cmpstr((char *)ram + load_le64(info + 24), ==, "");
    close(cfg.kernel_fd);
    close(cfg.initrd_fd);
}

#define EH(f) offsetof(Elf64_Ehdr, f), sizeof(((Elf64_Ehdr *)0)->f)
#define PH(i, f)                                                             \
    sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, f), \
        sizeof(((Elf64_Phdr *)0)->f)

static void test_elf_hostile(void)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        size_t len;
        const char *why;
    } row[] = {
        { 0, 0, 0, 4, "truncated" },
        { 0, 0, 0, 19, "truncated" },
        { 0, 0, 0, 63, "truncated" },
        { 0, 0, 0, 100, "truncated" },
        { 0, 0, 0, ELF_SIZE - 1, "truncated" },
        { EI_CLASS, 1, 0, 0, "no x86 kernel" },
        { EI_CLASS, 1, ELFCLASS32, 0, "damaged" }, /* sizes of the other */
        { EI_DATA, 1, ELFDATA2MSB, 0, "no x86 kernel" },
        { EH(e_type), ET_REL, 0, "no x86 kernel" },
        { EH(e_machine), EM_AARCH64, 0, "no x86 kernel" },
        { EH(e_phentsize), 0, 0, "damaged" },
        { EH(e_phentsize), 57, 0, "damaged" },
        { EH(e_phnum), 0, 0, "1 to 64" },
        { EH(e_phnum), 65535, 0, "1 to 64" },
        { EH(e_phoff), UINT64_MAX, 0, "truncated" },
        { EH(e_phoff), UINT64_MAX - 111, 0, "truncated" },
        { EH(e_phoff), ELF_SIZE - 111, 0, "truncated" },
        { PH(0, p_offset), UINT64_MAX, 0, "truncated" },
        { PH(0, p_offset), ELF_LOAD + 1, 0, "truncated" },
        { PH(0, p_filesz), UINT64_MAX, 0, "does not fit" },
        { PH(0, p_filesz), 0, 0, "in no loaded segment" },
        { PH(0, p_memsz), 1, 0, "does not fit" },
        { PH(0, p_memsz), UINT64_MAX, 0, "does not fit" },
        { PH(0, p_memsz), RAM_SIZE - ELF_PADDR + 1, 0, "does not fit" },
        { PH(0, p_paddr), UINT64_MAX, 0, "does not fit" },
        { PH(0, p_paddr), UINT64_MAX - 0xfff, 0, "does not fit" },
        { PH(0, p_paddr), 0x1000, 0, "between 0xf1000" },
        { PH(0, p_paddr), 0xf0fff, 0, "between 0xf1000" },
        { PH(0, p_paddr), RAM_SIZE, 0, "does not fit" },
        { PH(0, p_paddr), 2 * ELF_PADDR, 0, "in no loaded segment" },
        { PH(1, p_type), PT_NULL, 0, "CONFIG_PVH=y" },
        { PH(1, p_filesz), 20, 0, "CONFIG_PVH=y" },
        { PH(1, p_filesz), ELF_NOTE_SIZE - 1, 0, "CONFIG_PVH=y" },
        { PH(1, p_filesz), UINT64_MAX, 0, "CONFIG_PVH=y" },
        { PH(1, p_filesz), 0, 0, "CONFIG_PVH=y" },
        { PH(1, p_filesz), ELF_SIZE, 0, "truncated" },
        { PH(1, p_offset), UINT64_MAX, 0, "truncated" },
        { ELF_NOTE, 4, UINT32_MAX, 0, "CONFIG_PVH=y" },     /* name size */
        { ELF_NOTE + 4, 4, UINT32_MAX, 0, "CONFIG_PVH=y" }, /* its value's */
        { ELF_NOTE + 20, 4, 3, 0, "CONFIG_PVH=y" },
        { ELF_NOTE + 24, 4, 7, 0, "CONFIG_PVH=y" },
        { ELF_NOTE + 28, 4, 17, 0, "CONFIG_PVH=y" },
        { ELF_NOTE + 32, 1, 'G', 0, "CONFIG_PVH=y" },
        { ELF_NOTE + 36, 8, 0x2000, 0, "in no loaded segment" },
        { ELF_NOTE + 36, 8, UINT64_MAX, 0, "in no loaded segment" },
    };
    uint8_t b[ELF_SIZE];
    le64 value;

    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        make_elf64(b);
        value = le64_make(row[i].value);
        memcpy(b + row[i].at, &value, row[i].size);
        expect_refusal_of(b, row[i].len ? row[i].len : ELF_SIZE, row[i].why);
    }
}

/* ---- both ---- */

/* Random damage to the headers: refused or loaded, never a crash; a sanitizer
 * build sees writes outside of the fake memory. */
static void mutate(const uint8_t *image, size_t len, size_t header)
{
    g_autofree uint8_t *b = g_malloc(len);
    VcpuBootState boot;
    unsigned loaded = 0;

    for (unsigned i = 0; i < 1500; i++) {
        g_autoptr(GError) err = NULL;
        LinuxBootConfig cfg;

        memcpy(b, image, len);
        for (int n = g_test_rand_int_range(1, 4); n > 0; n--) {
            b[g_test_rand_int_range(0, header)] = g_test_rand_int();
        }
        cfg = config(file_of(
            b, g_test_rand_bit() ? len : g_test_rand_int_range(4, len + 1)));
        cfg.below_4g = 24 * MiB;
        if (linux_boot_load(&cfg, &boot, &err)) {
            loaded++;
            g_assert_cmphex(boot.rip, <, 24 * MiB);
        } else {
            g_assert_nonnull(err);
        }
        close(cfg.kernel_fd);
    }
    g_test_message("%u of 1500 still loaded", loaded);
}

static void test_random_damage(void)
{
    uint8_t bz[BZ_SIZE], elf[ELF_SIZE];

    make_bzimage(bz);
    mutate(bz, sizeof(bz), 0x290);
    make_elf64(elf);
    mutate(elf, sizeof(elf), 0x240);
    make_elf32(elf);
    mutate(elf, sizeof(elf), 0x240);
}

static void test_small_ram(void)
{
    uint8_t b[BZ_SIZE];
    LinuxBootConfig cfg;

    make_bzimage(b);
    cfg = config(file_of(b, sizeof(b)));
    cfg.below_4g = MiB;
    expect_refusal(&cfg, "at least 2 MiB");
    close(cfg.kernel_fd);
}

static void test_long_cmdline(void)
{
    g_autofree char *text = g_strnfill(0x70000, 'x');
    uint8_t b[ELF_SIZE];
    LinuxBootConfig cfg;

    make_elf64(b);
    cfg = config(file_of(b, sizeof(b)));
    cfg.append = text;
    expect_refusal(&cfg, "-append has 458752 characters");
    close(cfg.kernel_fd);
}

static void expect_open_failure(const char *kernel, const char *initrd,
                                const char *why)
{
    LinuxBootConfig cfg = { .kernel = kernel, .initrd = initrd };
    g_autoptr(GError) err = NULL;

    g_assert_false(linux_boot_open(&cfg, &err));
    g_assert_nonnull(strstr(err->message, why));
    g_assert_cmpint(cfg.kernel_fd, ==, -1);
    g_assert_cmpint(cfg.initrd_fd, ==, -1);
}

/* A kernel that only the one who passed its descriptor can open. */
static void test_open_fdset(void)
{
    LinuxBootConfig cfg = { .kernel = "/dev/fdset/4",
                            .initrd = "/dev/fdset/4" };

    expect_open_failure("/dev/fdset/4", NULL,
                        "-kernel /dev/fdset/4: cannot open '/dev/fdset/4': "
                        "there is no such set");
    fdset_add(4, open("/proc/self/exe", O_RDONLY), NULL, NULL);
    g_assert_true(linux_boot_open(&cfg, NULL));
    fdset_cleanup();
    cfg.below_4g = RAM_SIZE;
    expect_refusal(&cfg, "CONFIG_PVH=y");
    close(cfg.kernel_fd);
    close(cfg.initrd_fd);
}

static void test_open(void)
{
    LinuxBootConfig cfg = { .kernel = "/proc/self/exe" };

    expect_open_failure("/no/such/file", NULL, "-kernel /no/such/file: ");
    expect_open_failure("/", NULL, "regular file");
    expect_open_failure("/dev/null", NULL, "regular file");
    expect_open_failure("/proc/self/exe", "/no/such/initrd",
                        "-initrd /no/such/initrd: ");
    g_assert_true(linux_boot_open(&cfg, NULL));
    expect_refusal(&cfg, "-kernel needs at least"); /* no RAM given */
    cfg.below_4g = RAM_SIZE;
    expect_refusal(&cfg, "CONFIG_PVH=y"); /* this test is no kernel */
    close(cfg.kernel_fd);
}

static void test_real_kernel(void)
{
    const char *path = g_getenv("QEMU_MQ_TEST_KERNEL");
    LinuxBootConfig cfg = config(-1);
    VcpuBootState boot;
    g_autoptr(GError) err = NULL;

    if (!path) {
        g_test_skip("QEMU_MQ_TEST_KERNEL does not name a kernel");
        return;
    }
    cfg.kernel = path;
    g_assert_true(linux_boot_open(&cfg, NULL));
    linux_boot_load(&cfg, &boot, &err);
    g_assert_no_error(err);
    g_assert_cmphex(boot.rip, >=, MiB);
    g_test_message("%s enters at 0x%" PRIx64, path, boot.rip);
    close(cfg.kernel_fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ram_init();
    g_test_add_func("/boot/bzimage/load", test_bzimage);
    g_test_add_func("/boot/bzimage/load-again", test_bzimage_again);
    g_test_add_func("/boot/bzimage/relocated", test_bzimage_relocated);
    g_test_add_func("/boot/bzimage/initrd", test_initrd_placement);
    g_test_add_func("/boot/bzimage/hostile", test_bzimage_hostile);
    g_test_add_func("/boot/bzimage/address", test_bzimage_fixed_address);
    g_test_add_func("/boot/pvh/load", test_pvh);
    g_test_add_func("/boot/pvh/initrd", test_pvh_initrd);
    g_test_add_func("/boot/pvh/hostile", test_elf_hostile);
    g_test_add_func("/boot/random-damage", test_random_damage);
    g_test_add_func("/boot/small-ram", test_small_ram);
    g_test_add_func("/boot/long-cmdline", test_long_cmdline);
    g_test_add_func("/boot/open", test_open);
    g_test_add_func("/boot/open/fdset", test_open_fdset);
    g_test_add_func("/boot/real-kernel", test_real_kernel);
    return g_test_run();
}
