/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables as a kernel finds them in memory. Where ACPICA's interpreter
 * (acpiexec) is installed, it runs the methods as well.
 */
#include "util/osdep.h"

#include <glib/gstdio.h>

#include "hw/i386/pc.h"
#include "util/endian.h"

static uint8_t ram[1024 * 1024];
static uint64_t ram_size = sizeof(ram);

bool ram_write(uint64_t gpa, const void *buf, uint64_t len)
{
    if (gpa > ram_size || len > ram_size - gpa) {
        return false;
    }
    memcpy(ram + gpa, buf, len);
    return true;
}

/* Ids with a gap after each third one, and one that needs an x2APIC entry. */
static bool fake_large_ids;

uint32_t vcpu_apic_id(const CpuTopology *topo, unsigned index)
{
    return fake_large_ids ? index * 100 : index / 3 * 4 + index % 3;
}

static AcpiConfig config(unsigned cpus)
{
    return (AcpiConfig){ .topo = { .cpus = cpus, .maxcpus = cpus },
                         .below_4g = 3 * GiB,
                         .mmio32_base = PC_PCI_HOLE_BASE,
                         .mmio32_end = PC_PCI_HOLE_END,
                         .serial = { true, false, true } };
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--) {
        s += *p++;
    }
    return s;
}

static const uint8_t *build(const AcpiConfig *cfg)
{
    uint64_t gpa = 0;

    memset(ram, 0, sizeof(ram));
    g_assert_true(acpi_build(cfg, &gpa, NULL));
    g_assert_cmphex(gpa & 15, ==, 0);
    g_assert_true(gpa >= 0xe0000 && gpa < 0x100000);
    return ram + gpa;
}

/* The table at @gpa, once its place, length and checksum are right. */
static const uint8_t *table_at(uint64_t gpa, const char *signature)
{
    uint32_t len;

    g_assert_true(gpa >= 0xe0000 && gpa < 0x100000);
    len = load_le32(ram + gpa + 4);
    g_assert_cmpuint(len, <=, 0x100000 - gpa);
    g_assert_cmpmem(ram + gpa, 4, signature, 4);
    g_assert_cmphex(sum(ram + gpa, len), ==, 0);
    return ram + gpa;
}

static const uint8_t *table_find(const uint8_t *rsdp, const char *signature)
{
    const uint8_t *xsdt = table_at(load_le64(rsdp + 24), "XSDT");

    for (uint32_t at = 36; at < load_le32(xsdt + 4); at += 8) {
        uint64_t gpa = load_le64(xsdt + at);

        if (memcmp(ram + gpa, signature, 4) == 0) {
            return table_at(gpa, signature);
        }
    }
    g_error("no %s", signature);
}

static void test_root(void)
{
    AcpiConfig cfg = config(1);
    const uint8_t *rsdp = build(&cfg);
    const uint8_t *rsdt = table_at(load_le32(rsdp + 16), "RSDT");
    const uint8_t *xsdt = table_at(load_le64(rsdp + 24), "XSDT");
    unsigned n = (load_le32(rsdt + 4) - 36) / 4;

    g_assert_cmpmem(rsdp, 8, "RSD PTR ", 8);
    g_assert_cmphex(sum(rsdp, 20), ==, 0);
    g_assert_cmphex(sum(rsdp, 36), ==, 0);
    g_assert_cmpuint(rsdp[15], ==, 2);
    g_assert_cmpuint(load_le32(rsdp + 20), ==, 36);
    g_assert_cmpuint(n, ==, (load_le32(xsdt + 4) - 36) / 8);
    g_assert_cmpuint(n, ==, 3);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(load_le32(rsdt + 36 + 4 * i), ==,
                        load_le64(xsdt + 36 + 8 * i));
    }
}

static void check_address(const uint8_t *gas, unsigned port, unsigned bits)
{
    g_assert_cmpuint(gas[0], ==, 1);
    g_assert_cmpuint(gas[1], ==, bits);
    g_assert_cmphex(load_le64(gas + 4), ==, port);
}

static void test_fadt(void)
{
    AcpiConfig cfg = config(1);
    const uint8_t *fadt = table_find(build(&cfg), "FACP"), *facs;

    g_assert_cmpuint(load_le32(fadt + 4), ==, 276);
    g_assert_cmpuint(fadt[8], ==, 6);
    g_assert_cmphex(load_le32(fadt + 40), ==, load_le64(fadt + 140));
    table_at(load_le32(fadt + 40), "DSDT");
    facs = ram + load_le32(fadt + 36);
    g_assert_cmpmem(facs, 4, "FACS", 4);
    g_assert_cmphex((facs - ram) & 63, ==, 0);
    g_assert_cmpuint(load_le32(facs + 4), ==, 64);

    g_assert_cmpuint(load_le16(fadt + 46), ==, 9);
    g_assert_cmphex(load_le32(fadt + 48), ==, 0xb2);
    g_assert_cmphex(load_le32(fadt + 56), ==, 0x600);
    g_assert_cmphex(load_le32(fadt + 64), ==, 0x604);
    g_assert_cmphex(load_le32(fadt + 76), ==, 0x608);
    check_address(fadt + 116, 0xcf9, 8);
    g_assert_cmpuint(fadt[128], ==, 6);
    g_assert_cmphex(load_le32(fadt + 112) >> 10 & 1, ==, 1);
    g_assert_cmphex(load_le16(fadt + 109) & 3, ==, 3);
    check_address(fadt + 148, load_le32(fadt + 56), fadt[88] * 8);
    check_address(fadt + 172, load_le32(fadt + 64), fadt[89] * 8);
    check_address(fadt + 208, load_le32(fadt + 76), fadt[91] * 8);
    check_address(fadt + 220, load_le32(fadt + 80), fadt[92] * 8);
}

/* What a walk over the MADT's entries saw. */
typedef struct MadtSeen {
    unsigned lapics, x2apics, ioapics, level_irqs, nmis, x2_nmis;
    bool timer;
} MadtSeen;

static void see_entry(MadtSeen *seen, const uint8_t *e)
{
    switch (e[0]) {
    case 0:
        g_assert_cmpuint(e[1], ==, 8);
        g_assert_cmpuint(e[3], ==, vcpu_apic_id(NULL, e[2]));
        g_assert_cmpuint(load_le32(e + 4), ==, 1);
        seen->lapics++;
        break;
    case 1:
        g_assert_cmphex(load_le32(e + 4), ==, 0xfec00000);
        seen->ioapics++;
        break;
    case 2:
        g_assert_cmpuint(e[1], ==, 10);
        if (e[3] == 0) {
            g_assert_cmpuint(load_le32(e + 4), ==, 2);
            seen->timer = true;
        } else {
            g_assert_cmpuint(load_le32(e + 4), ==, e[3]);
            g_assert_cmphex(load_le16(e + 8), ==, 0xd);
            seen->level_irqs |= 1u << e[3];
        }
        break;
    case 4:
        g_assert_cmpuint(e[1], ==, 6);
        g_assert_cmphex(e[2], ==, 0xff);
        g_assert_cmphex(e[5], ==, 1);
        seen->nmis++;
        break;
    case 9:
        g_assert_cmpuint(e[1], ==, 16);
        g_assert_cmpuint(load_le32(e + 4), ==,
                         vcpu_apic_id(NULL, load_le32(e + 12)));
        seen->x2apics++;
        break;
    case 10:
        g_assert_cmpuint(e[1], ==, 12);
        seen->x2_nmis++;
        break;
    default:
        g_error("MADT entry of type %u", e[0]);
    }
}

static MadtSeen walk_madt(unsigned cpus)
{
    AcpiConfig cfg = config(cpus);
    const uint8_t *madt = table_find(build(&cfg), "APIC");
    uint32_t at = 44, len = load_le32(madt + 4);
    MadtSeen seen = { 0 };

    g_assert_cmphex(load_le32(madt + 36), ==, 0xfee00000);
    while (at < len) {
        g_assert_cmpuint(madt[at + 1], >=, 2);
        see_entry(&seen, madt + at);
        at += madt[at + 1];
    }
    g_assert_cmpuint(at, ==, len);
    g_assert_cmpuint(seen.ioapics, ==, 1);
    g_assert_true(seen.timer);
    g_assert_cmphex(seen.level_irqs, ==, 1 << 5 | 1 << 9 | 1 << 10 | 1 << 11);
    g_assert_cmpuint(seen.nmis, ==, 1);
    return seen;
}

static void test_madt(void)
{
    MadtSeen seen = walk_madt(1);

    g_assert_cmpuint(seen.lapics, ==, 1);
    seen = walk_madt(MAX_VCPUS);
    g_assert_cmpuint(seen.lapics, ==, MAX_VCPUS);
    g_assert_cmpuint(seen.x2apics + seen.x2_nmis, ==, 0);
    fake_large_ids = true;
    seen = walk_madt(5);
    fake_large_ids = false;
    g_assert_cmpuint(seen.lapics, ==, 3); /* 0, 100, 200 */
    g_assert_cmpuint(seen.x2apics, ==, 2);
    g_assert_cmpuint(seen.x2_nmis, ==, 1);
}

static void test_no_room(void)
{
    AcpiConfig cfg = config(1);
    g_autoptr(GError) err = NULL;
    uint64_t gpa;

    ram_size = 0xe0100;
    g_assert_false(acpi_build(&cfg, &gpa, &err));
    ram_size = sizeof(ram);
    g_assert_nonnull(strstr(err->message, "-m"));
}

/* ---- the interpreter ---- */

static void save_table(const char *dir, const char *name, const uint8_t *table)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, (const char *)table,
                                      load_le32(table + 4), NULL));
}

/* Adds @line; of a dump, "0010: 47 01 ...  // text", only the bytes without
 * spaces, so that those of several lines join. */
static void append_line(GString *out, const char *line)
{
    const char *p = strchr(line, ':'), *end = strstr(line, " //");

    if (!p || !end || p - line != 8) {
        g_string_append_printf(out, "\n%s", line);
        return;
    }
    for (p++; p < end; p++) {
        if (*p != ' ') {
            g_string_append_c(out, *p);
        }
    }
}

/* Evaluates @batch; the interpreter's output. */
static char *run_methods(const char *dir, const char *batch)
{
    const char *argv[] = { "acpiexec", "-b", batch, "dsdt", "ssdt", NULL };
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GString *out;

    g_assert_true(g_spawn_sync(dir, (char **)argv, NULL,
                               G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                               NULL, NULL, &text, NULL, NULL, NULL));
    out = g_string_new("");
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        append_line(out, *line);
    }
    return g_string_free(out, false);
}

typedef struct Expect {
    const char *method; /* and arguments */
    const char *text;
} Expect;

/* Evaluates the methods and looks for each text in its method's output. */
static void check_methods(const char *dir, const Expect *e, unsigned n)
{
    g_autoptr(GString) batch = g_string_new("");
    g_autofree char *out = NULL;
    g_auto(GStrv) part = NULL;

    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(batch, "%sevaluate %s", i ? ";" : "",
                               e[i].method);
    }
    out = run_methods(dir, batch->str);
    part = g_strsplit(out, "\nEvaluating ", -1);
    g_assert_cmpuint(g_strv_length(part), ==, n + 1);
    for (unsigned i = 0; i < n; i++) {
        g_assert_true(
            strncmp(part[i + 1], e[i].method, strcspn(e[i].method, " ")) == 0);
        if (!strstr(part[i + 1], e[i].text)) {
            g_error("%s: no '%s' in:\n%s", e[i].method, e[i].text, part[i + 1]);
        }
    }
}

static void with_tables(const AcpiConfig *cfg, const Expect *e, unsigned n)
{
    const uint8_t *rsdp = build(cfg);
    const uint8_t *fadt = table_find(rsdp, "FACP");
    g_autofree char *dir = g_dir_make_tmp("test-acpi-XXXXXX", NULL);
    g_autofree char *dsdt = g_build_filename(dir, "dsdt", NULL);
    g_autofree char *ssdt = g_build_filename(dir, "ssdt", NULL);

    save_table(dir, "dsdt", table_at(load_le32(fadt + 40), "DSDT"));
    save_table(dir, "ssdt", table_find(rsdp, "SSDT"));
    check_methods(dir, e, n);
    g_unlink(dsdt);
    g_unlink(ssdt);
    g_rmdir(dir);
}

static const Expect small[] = {
    { "\\_SB.PCI0.ISA.COM1._STA", "[Integer] = 000000000000000F" },
    { "\\_SB.PCI0.ISA.COM3._STA", "[Integer] = 000000000000000F" },
    { "\\_SB.PCI0.ISA.COM4._STA", "[Integer] = 0000000000000000" },
    { "\\_SB.PCI0.ISA.PEVT._STA", "[Integer] = 0000000000000000" },
    { "\\_SB.C002._UID", "[Integer] = 0000000000000002" },
    { "\\_SB.C003._UID", "AE_NOT_FOUND" },
    { "\\_SB.LNKD._PRS", "050000000A0000000B000000" },
    { "\\_SB.LNKA._STA", "[Integer] = 000000000000000B" },
    { "\\_S5", "Contains 4 Elements" },
    /* the 32-bit window: first, last, offset, length */
    { "\\_SB.PCI0._CRS", "000000E0FFFFBFFE000000000000C01E" },
};

static const Expect large[] = {
    { "\\_SB.PCI0.ISA.PEVT._STA", "[Integer] = 000000000000000F" },
    { "\\_SB.PCI0.ISA.PEVT._HID", "QEMU0001" },
    /* port: decode, first, last, alignment, length */
    { "\\_SB.PCI0.ISA.PEVT._CRS", "47 01 05 05 05 05 01 01 79" },
    { "\\_SB.C03F._UID", "[Integer] = 000000000000003F" },
    /* the 64-bit window: 5 GiB to 37 GiB */
    { "\\_SB.PCI0._CRS",
      "0000004001000000FFFFFF3F0900000000000000000000000000000008000000" },
};

/* Of PCI devices; revision 2 and a function follow. */
#define DSM(slot)                                                       \
    "\\_SB.PCI0." slot "._DSM (D0 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 " \
    "C3 43 4D) "

/* Registers are memory to the interpreter: what was written is read. */
static const Expect hotplug[] = {
    { "\\_SB.PCI0.S10._SUN", "[Integer] = 0000000000000002" },
    { "\\_SB.PCI0.S28._ADR", "[Integer] = 0000000000050000" },
    { "\\_SB.PCI0.SF8._ADR", "[Integer] = 00000000001F0000" },
    { "\\_SB.PCI0.S08._ADR", "AE_NOT_FOUND" }, /* the chipset's */
    { "\\_SB.PCI0.S28._EJ0 1", "No object was returned" },
    { "\\_SB.PCI0.EJCT", "[Integer] = 0000000000000020" },
    { DSM("S28") "2 0 0", "0000: 81" },
    { DSM("S28") "2 7 0", "[Integer] = 0000000000000005" },
    { DSM("S28") "1 7 0", "0000: 00" },
    { DSM("S28") "2 5 0", "0000: 00" },
    { "\\_SB.PCI0.S28._DSM (D0 37) 2 7 0", "0000: 00" },
    { "\\_SB.PCI0.S28._OST 3 0 0", "No object was returned" },
    { "\\_SB.PCI0.OSTS", "[Integer] = 0000000000000000" },
    { "\\_SB.PCI0.S28._OST 1 0x81 0", "No object was returned" },
    { "\\_SB.PCI0.OSTS", "[Integer] = 0000000000000000" },
    { "\\_SB.PCI0.S30._OST 3 0x81 0", "No object was returned" },
    { "\\_SB.PCI0.OSTS", "[Integer] = 0000000000000081" },
    { "\\_SB.PCI0.SLOT", "[Integer] = 0000000000000006" },
    { "\\_SB.PCI0.STEL 0x80000000 3", "Notify on [SF8_]" },
    { "\\_SB.PCI0.STEL 0x10 1", "Notify on [S20_]" },
    { "\\_GPE._E01", "No object was returned" },
};

static void test_methods(void)
{
    g_autofree char *tool = g_find_program_in_path("acpiexec");
    AcpiConfig cfg = config(3);

    if (!tool) {
        g_test_skip("acpiexec (package acpica-tools) is not installed");
        return;
    }
    with_tables(&cfg, small, ARRAY_SIZE(small));
    with_tables(&cfg, hotplug, ARRAY_SIZE(hotplug));
    cfg = config(MAX_VCPUS);
    cfg.mmio64_base = 5 * GiB;
    cfg.mmio64_end = 37 * GiB;
    cfg.pvpanic_port = 0x505;
    with_tables(&cfg, large, ARRAY_SIZE(large));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi/5.2.5/root-tables", test_root);
    g_test_add_func("/acpi/5.2.9/fadt", test_fadt);
    g_test_add_func("/acpi/5.2.12/madt", test_madt);
    g_test_add_func("/acpi/no-room", test_no_room);
    g_test_add_func("/acpi/methods", test_methods);
    return g_test_run();
}
