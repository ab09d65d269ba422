/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables for a direct boot (ACPI 6.4). The DSDT is dsdt.asl, compiled at
 * build time; the rest depends on the command line and is made here:
 *
 *   0xe0000  FACS, DSDT, SSDT, FADT, MADT, RSDT, XSDT
 *   0xf0000  RSDP, where a kernel that is not told its place looks for it
 *
 * The memory map reserves both, so the kernel may keep using them in place.
 */
#include "util/osdep.h"
#include "hw/i386/pc.h"
#include "hw/i386/piix.h"
#include "util/endian.h"

#include "hw/dsdt.hex"

#define TABLES_BASE 0xe0000u
#define RSDP_BASE   0xf0000u
#define HEADER_LEN  36u
#define RSDP_LEN    36u
#define FACS_LEN    64u
#define FADT_LEN    276u
#define MAX_TABLES  4u

#define OEM_ID       "QEMUMQ"
#define OEM_TABLE_ID "MQPC    "
#define CREATOR_ID   "QMMQ"

#define CMOS_CENTURY 0x32 /* byte of CMOS memory with the century */
#define RESET_PORT   0xcf9
#define RESET_VALUE  6 /* hard reset of the whole machine */

typedef struct AcpiTables {
    GByteArray *blob;            /* from TABLES_BASE on */
    uint32_t listed[MAX_TABLES]; /* addresses for RSDT and XSDT */
    unsigned n;
} AcpiTables;

/* ---- bytes ---- */

static void put(GByteArray *out, const void *data, size_t len)
{
    g_byte_array_append(out, data, len);
}

static void put_u8(GByteArray *out, uint8_t v)
{
    put(out, &v, 1);
}

static void put_u16(GByteArray *out, uint16_t v)
{
    le16 raw = le16_make(v);

    put(out, &raw, sizeof(raw));
}

static void put_u32(GByteArray *out, uint32_t v)
{
    le32 raw = le32_make(v);

    put(out, &raw, sizeof(raw));
}

static void put_u64(GByteArray *out, uint64_t v)
{
    le64 raw = le64_make(v);

    put(out, &raw, sizeof(raw));
}

static void align_to(GByteArray *out, unsigned align)
{
    while (out->len % align) {
        put_u8(out, 0);
    }
}

/* What makes the sum of all bytes zero, with the checksum byte zero. */
static uint8_t checksum(const uint8_t *data, size_t len)
{
    uint8_t sum = 0;

    while (len--) {
        sum += *data++;
    }
    return -sum;
}

/* Adds a table with the standard header (5.2.6); returns its address. */
static uint32_t add_table(AcpiTables *t, const char signature[4],
                          uint8_t revision, const GByteArray *body)
{
    uint32_t at, len = HEADER_LEN + body->len;

    align_to(t->blob, 16);
    at = t->blob->len;
    put(t->blob, signature, 4);
    put_u32(t->blob, len);
    put_u8(t->blob, revision);
    put_u8(t->blob, 0); /* checksum */
    put(t->blob, OEM_ID, 6);
    put(t->blob, OEM_TABLE_ID, 8);
    put_u32(t->blob, 1);
    put(t->blob, CREATOR_ID, 4);
    put_u32(t->blob, 1);
    put(t->blob, body->data, body->len);
    t->blob->data[at + 9] = checksum(t->blob->data + at, len);
    return TABLES_BASE + at;
}

/* The same, and listed in the root tables. */
static void list_table(AcpiTables *t, const char signature[4], uint8_t revision,
                       const GByteArray *body)
{
    t->listed[t->n++] = add_table(t, signature, revision, body);
}

/* ---- FACS (5.2.10), FADT (5.2.9) ---- */

static uint32_t add_facs(AcpiTables *t)
{
    uint8_t facs[FACS_LEN] = "FACS";
    uint32_t at;

    store_le32(facs + 4, FACS_LEN);
    facs[32] = 2; /* version */
    align_to(t->blob, 64);
    at = t->blob->len;
    put(t->blob, facs, sizeof(facs));
    return TABLES_BASE + at;
}

/* Generic address of @bits at I/O port @port; access by @bytes (5.2.3.2). */
static void store_io_address(uint8_t *p, uint16_t port, uint8_t bits,
                             uint8_t bytes)
{
    p[0] = 1; /* system I/O */
    p[1] = bits;
    p[3] = bytes == 4 ? 3 : bytes;
    store_le64(p + 4, port);
}

static void add_fadt(AcpiTables *t, uint32_t facs, uint32_t dsdt)
{
    const uint32_t flags = 1u << 0        /* WBINVD works */
                           | 1u << 2      /* C1 on all processors */
                           | 1u << 5      /* no fixed sleep button */
                           | 1u << 6      /* no RTC wake event */
                           | 1u << 10;    /* reset register */
    const uint16_t boot_arch = 1u << 0    /* ISA devices */
                               | 1u << 1  /* 8042 */
                               | 1u << 2; /* no VGA */
    uint8_t raw[FADT_LEN] = { 0 };
    g_autoptr(GByteArray) body = g_byte_array_new();

    store_le32(raw + 36, facs);
    store_le32(raw + 40, dsdt);
    store_le16(raw + 46, PC_SCI_GSI);
    store_le32(raw + 48, PIIX4_SMI_CMD);
    raw[52] = PIIX4_ACPI_ENABLE;
    raw[53] = PIIX4_ACPI_DISABLE;
    store_le32(raw + 56, PC_PM_BASE + PIIX4_PM_EVT);
    store_le32(raw + 64, PC_PM_BASE + PIIX4_PM_CNT);
    store_le32(raw + 76, PC_PM_BASE + PIIX4_PM_TMR);
    store_le32(raw + 80, PC_ACPI_GPE_BASE);
    raw[88] = 4; /* length of PM1a event, */
    raw[89] = 2; /* control, */
    raw[91] = 4; /* timer, */
    raw[92] = PIIX4_GPE_LEN;
    store_le16(raw + 96, 0xfff); /* no C2 */
    store_le16(raw + 98, 0xfff); /* no C3 */
    raw[108] = CMOS_CENTURY;
    store_le16(raw + 109, boot_arch);
    store_le32(raw + 112, flags);
    store_io_address(raw + 116, RESET_PORT, 8, 1);
    raw[128] = RESET_VALUE;
    store_le64(raw + 140, dsdt);
    store_io_address(raw + 148, PC_PM_BASE + PIIX4_PM_EVT, 32, 2);
    store_io_address(raw + 172, PC_PM_BASE + PIIX4_PM_CNT, 16, 2);
    store_io_address(raw + 208, PC_PM_BASE + PIIX4_PM_TMR, 32, 4);
    store_io_address(raw + 220, PC_ACPI_GPE_BASE, 8 * PIIX4_GPE_LEN, 1);

    put(body, raw + HEADER_LEN, FADT_LEN - HEADER_LEN);
    list_table(t, "FACP", 6, body);
}

/* ---- MADT (5.2.12) ---- */

static void put_cpu(GByteArray *out, uint8_t uid, uint32_t apic_id)
{
    if (apic_id < 255) {
        put_u8(out, 0); /* processor local APIC */
        put_u8(out, 8);
        put_u8(out, uid);
        put_u8(out, apic_id);
        put_u32(out, 1); /* enabled */
        return;
    }
    put_u8(out, 9); /* processor local x2APIC */
    put_u8(out, 16);
    put_u16(out, 0);
    put_u32(out, apic_id);
    put_u32(out, 1);
    put_u32(out, uid);
}

static void put_irq_override(GByteArray *out, uint8_t irq, uint32_t gsi,
                             uint16_t flags)
{
    put_u8(out, 2);
    put_u8(out, 10);
    put_u8(out, 0); /* ISA */
    put_u8(out, irq);
    put_u32(out, gsi);
    put_u16(out, flags);
}

static void put_local_nmi(GByteArray *out, bool x2apic)
{
    put_u8(out, x2apic ? 10 : 4);
    put_u8(out, x2apic ? 12 : 6);
    if (x2apic) {
        put_u16(out, 0);
        put_u32(out, UINT32_MAX); /* all processors */
        put_u8(out, 1);           /* LINT1 */
        put_u8(out, 0);
        put_u16(out, 0);
        return;
    }
    put_u8(out, 0xff);
    put_u16(out, 0);
    put_u8(out, 1);
}

static void add_madt(AcpiTables *t, const CpuTopology *topo)
{
    /* the lines that PCI interrupts and the SCI may use, as wired */
    static const uint8_t level_irqs[] = { 5, 9, 10, 11 };
    const uint16_t level_high = 0xd;
    g_autoptr(GByteArray) body = g_byte_array_new();
    uint32_t apic_id, highest = 0;

    put_u32(body, PC_LAPIC_BASE);
    put_u32(body, 1); /* there are two 8259s as well */
    for (unsigned i = 0; i < topo->cpus; i++) {
        apic_id = vcpu_apic_id(topo, i);
        highest = MAX(highest, apic_id);
        put_cpu(body, i, apic_id);
    }
    put_u8(body, 1); /* I/O APIC */
    put_u8(body, 12);
    put_u16(body, 0);
    put_u32(body, PC_IOAPIC_BASE);
    put_u32(body, 0);
    put_irq_override(body, 0, 2, 0);
    for (size_t i = 0; i < ARRAY_SIZE(level_irqs); i++) {
        put_irq_override(body, level_irqs[i], level_irqs[i], level_high);
    }
    put_local_nmi(body, false);
    if (highest >= 255) {
        put_local_nmi(body, true);
    }
    list_table(t, "APIC", 5, body);
}

/* ---- SSDT: what dsdt.asl declares External, and the processors ---- */

enum {
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_STRING = 0x0d,
    AML_QWORD = 0x0e,
    AML_SCOPE = 0x10,
    AML_EXT = 0x5b,
    AML_EXT_DEVICE = 0x82,
};

/* Package length (20.2.4) for @body bytes: counts itself as well. */
static void put_pkg_length(GByteArray *out, uint32_t body)
{
    if (body + 1 < 0x40) {
        put_u8(out, body + 1);
    } else if (body + 2 < 0x1000) {
        put_u8(out, 1 << 6 | ((body + 2) & 0xf));
        put_u8(out, (body + 2) >> 4);
    } else {
        put_u8(out, 2 << 6 | ((body + 3) & 0xf));
        put_u8(out, (body + 3) >> 4);
        put_u8(out, (body + 3) >> 12);
    }
}

static void put_name_qword(GByteArray *out, const char name[4], uint64_t v)
{
    put_u8(out, AML_NAME);
    put(out, name, 4);
    put_u8(out, AML_QWORD);
    put_u64(out, v);
}

/* Device (C0nn) { Name (_HID, "ACPI0007") Name (_UID, n) } */
static void put_processor(GByteArray *out, uint8_t uid)
{
    g_autoptr(GByteArray) body = g_byte_array_new();
    char name[5];

    g_snprintf(name, sizeof(name), "C%03X", uid);
    put(body, name, 4);
    put_u8(body, AML_NAME);
    put(body, "_HID", 4);
    put_u8(body, AML_STRING);
    put(body, "ACPI0007", 9);
    put_u8(body, AML_NAME);
    put(body, "_UID", 4);
    put_u8(body, AML_BYTE);
    put_u8(body, uid);

    put_u8(out, AML_EXT);
    put_u8(out, AML_EXT_DEVICE);
    put_pkg_length(out, body->len);
    put(out, body->data, body->len);
}

static void add_ssdt(AcpiTables *t, const AcpiConfig *cfg)
{
    bool has_64 = cfg->mmio64_end > cfg->mmio64_base;
    g_autoptr(GByteArray) body = g_byte_array_new();
    g_autoptr(GByteArray) scope = g_byte_array_new();
    unsigned serial = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(cfg->serial); i++) {
        serial |= (unsigned)cfg->serial[i] << i;
    }
    put_name_qword(body, "P32S", cfg->mmio32_base);
    put_name_qword(body, "P32E", cfg->mmio32_end - 1);
    put_name_qword(body, "P64S", has_64 ? cfg->mmio64_base : 0);
    put_name_qword(body, "P64E", has_64 ? cfg->mmio64_end - 1 : 0);
    put_name_qword(body, "SERM", serial);
    put_name_qword(body, "PVPP", cfg->pvpanic_port);

    put(scope, "\\_SB_", 5);
    for (unsigned i = 0; i < cfg->topo.cpus; i++) {
        put_processor(scope, i);
    }
    put_u8(body, AML_SCOPE);
    put_pkg_length(body, scope->len);
    put(body, scope->data, scope->len);
    list_table(t, "SSDT", 2, body);
}

/* ---- RSDT, XSDT, RSDP (5.2.5 to 5.2.8) ---- */

static void build_rsdp(AcpiTables *t, uint8_t rsdp[RSDP_LEN])
{
    g_autoptr(GByteArray) list32 = g_byte_array_new();
    g_autoptr(GByteArray) list64 = g_byte_array_new();

    for (unsigned i = 0; i < t->n; i++) {
        put_u32(list32, t->listed[i]);
        put_u64(list64, t->listed[i]);
    }
    memset(rsdp, 0, RSDP_LEN);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, OEM_ID, 6);
    rsdp[15] = 2; /* revision */
    store_le32(rsdp + 16, add_table(t, "RSDT", 1, list32));
    store_le32(rsdp + 20, RSDP_LEN);
    store_le64(rsdp + 24, add_table(t, "XSDT", 1, list64));
    rsdp[8] = checksum(rsdp, 20); /* of the first version's part */
    rsdp[32] = checksum(rsdp, RSDP_LEN);
}

bool acpi_build(const AcpiConfig *cfg, uint64_t *rsdp_gpa, Error **errp)
{
    g_autoptr(GByteArray) blob = g_byte_array_new();
    AcpiTables t = { .blob = blob };
    uint8_t rsdp[RSDP_LEN];
    uint32_t facs, dsdt;

    facs = add_facs(&t);
    align_to(blob, 16);
    dsdt = TABLES_BASE + blob->len;
    put(blob, dsdt_aml_code, sizeof(dsdt_aml_code));
    add_fadt(&t, facs, dsdt);
    add_madt(&t, &cfg->topo);
    add_ssdt(&t, cfg);
    build_rsdp(&t, rsdp);
    if (blob->len > RSDP_BASE - TABLES_BASE) {
        error_setg(errp, "ACPI tables of %u bytes are too large, at most %u",
                   blob->len, RSDP_BASE - TABLES_BASE);
        return false;
    }
    if (!ram_write(TABLES_BASE, blob->data, blob->len) ||
        !ram_write(RSDP_BASE, rsdp, sizeof(rsdp))) {
        error_setg(errp,
                   "ACPI tables need RAM up to 1 MiB, but -m gives "
                   "%" PRIu64 " KiB; use a larger -m or acpi=off",
                   (uint64_t)(cfg->below_4g / KiB));
        return false;
    }
    *rsdp_gpa = RSDP_BASE;
    return true;
}
