/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg registers and DMA against a small fake of guest memory.
 */
#include "util/osdep.h"
#include "hw/i386/pc.h"
#include "system/runstate.h"
#include "util/endian.h"

#define FAKE_RAM_SIZE 0x40000

/* ---- what fw_cfg needs of other rooms ---- */

static uint8_t fake_ram[FAKE_RAM_SIZE];
static IoRegion *fake_region;
static ResetFunc *fake_reset;
static void *fake_reset_opaque;

bool ram_read(uint64_t gpa, void *buf, uint64_t len)
{
    if (gpa > FAKE_RAM_SIZE || len > FAKE_RAM_SIZE - gpa) {
        return false;
    }
    memcpy(buf, fake_ram + gpa, len);
    return true;
}

bool ram_write(uint64_t gpa, const void *buf, uint64_t len)
{
    if (gpa > FAKE_RAM_SIZE || len > FAKE_RAM_SIZE - gpa) {
        return false;
    }
    memcpy(fake_ram + gpa, buf, len);
    return true;
}

void io_region_init(IoRegion *region, const char *name, const IoRegionOps *ops,
                    void *opaque, uint64_t size)
{
    *region =
        (IoRegion){ .name = name, .ops = ops, .opaque = opaque, .size = size };
}

void io_region_map(IoRegion *region, IoSpace space, uint64_t addr, int priority)
{
    region->space = space;
    region->addr = addr;
    fake_region = region;
}

void reset_handler_add(ResetFunc *func, void *opaque)
{
    fake_reset = func;
    fake_reset_opaque = opaque;
}

/* ---- the guest's side ---- */

static uint64_t port_in(uint16_t port, unsigned size)
{
    return fake_region->ops->read(fake_region->opaque, port - PC_FW_CFG_PORT,
                                  size);
}

static void port_out(uint16_t port, uint64_t value, unsigned size)
{
    fake_region->ops->write(fake_region->opaque, port - PC_FW_CFG_PORT, value,
                            size);
}

static void read_key(uint16_t key, void *buf, size_t len)
{
    uint8_t *p = buf;

    port_out(0x510, key, 2);
    while (len--) {
        *p++ = port_in(0x511, 1);
    }
}

#define DMA_REQUEST 0x100
#define DMA_PENDING 0xff000000u

/* Runs a request that lies at @at; returns the control word after it. */
static uint32_t dma_at(uint64_t at, uint32_t control, uint32_t len,
                       uint64_t gpa)
{
    be32 r[4] = { be32_make(control), be32_make(len), be32_make(gpa >> 32),
                  be32_make(gpa) };
    be32 status = be32_make(DMA_PENDING);

    ram_write(at, r, sizeof(r));
    port_out(0x514, htobe32(at >> 32), 4);
    port_out(0x518, htobe32((uint32_t)at), 4);
    ram_read(at, &status, sizeof(status));
    return be32_get(status);
}

static uint32_t dma(uint32_t control, uint32_t len, uint64_t gpa)
{
    return dma_at(DMA_REQUEST, control, len, gpa);
}

enum { ERR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

/* One for each case; a machine has one, as long as it lives. */
static FwCfg *fw_new(void)
{
    static GPtrArray *made;

    if (!made) {
        made = g_ptr_array_new();
    }
    memset(fake_ram, 0xaa, sizeof(fake_ram));
    g_ptr_array_add(made, fw_cfg_init());
    return g_ptr_array_index(made, made->len - 1);
}

static void test_ports(void)
{
    FwCfg *fw = fw_new();
    uint8_t buf[8];

    g_assert_true(fw_cfg_get() == fw);
    g_assert_cmphex(fake_region->addr, ==, 0x510);
    g_assert_cmpuint(fake_region->size, ==, 12);
    g_assert_cmpint(fake_region->space, ==, IO_SPACE_PORT);

    read_key(0, buf, 6);
    g_assert_cmpmem(buf, 6, "QEMU\0\0", 6);
    read_key(1, buf, 4);
    g_assert_cmphex(load_le32(buf), ==, 3);
    fw_cfg_add_u16(fw, 5, 0x1234);
    read_key(5, buf, 3);
    g_assert_cmpmem(buf, 3, "\x34\x12\0", 3);
    fw_cfg_add_u32(fw, 5, 0x01020304); /* replaced */
    read_key(5 | 0x4000, buf, 4);
    g_assert_cmphex(load_le32(buf), ==, 0x01020304);
    fw_cfg_add_bytes(fw, 0x8001, "arch", 4, true);
    read_key(0x8001, buf, 4);
    g_assert_cmpmem(buf, 4, "arch", 4);
    read_key(0x3fff, buf, 4); /* unknown */
    g_assert_cmphex(load_le32(buf), ==, 0);
    read_key(0xffff, buf, 4);
    g_assert_cmphex(load_le32(buf), ==, 0);
}

static void test_signature(void)
{
    fw_new();
    g_assert_cmphex(port_in(0x514, 4), ==, 0x554d4551); /* "QEMU" */
    g_assert_cmphex(port_in(0x518, 4), ==, 0x47464320); /* " CFG" */
    g_assert_cmphex(port_in(0x51b, 1), ==, 'G');
    g_assert_cmphex(port_in(0x510, 1), ==, 0);
}

static void test_data_is_read_only(void)
{
    uint8_t buf[4];

    fw_new();
    port_out(0x510, 0x4000, 2);
    port_out(0x511, 'X', 1);
    read_key(0, buf, 4);
    g_assert_cmpmem(buf, 4, "QEMU", 4);
    g_assert_cmphex(dma(SELECT | WRITE, 4, 0x200), ==, ERR);
    read_key(0, buf, 4);
    g_assert_cmpmem(buf, 4, "QEMU", 4);
}

static void test_directory_sorted(void)
{
    static const char *const names[] = { "opt/b", "etc/e820", "opt/a" };
    static const char *const sorted[] = { "etc/e820", "opt/a", "opt/b" };
    uint8_t dir[4 + 3 * 64], buf[8];
    FwCfg *fw = fw_new();

    read_key(0x19, dir, 4);
    g_assert_cmpmem(dir, 4, "\0\0\0\0", 4);
    for (int i = 0; i < 3; i++) {
        g_assert_true(
            fw_cfg_add_file(fw, names[i], names[i], strlen(names[i]), NULL));
    }
    read_key(0x19, dir, sizeof(dir));
    g_assert_cmpmem(dir, 4, "\0\0\0\3", 4);
    for (int i = 0; i < 3; i++) {
        const uint8_t *entry = dir + 4 + 64 * i;
        uint8_t head[8] = { 0, 0, 0, strlen(sorted[i]), 0, 0x20 + i, 0, 0 };

        g_assert_cmpmem(entry, 8, head, 8);
        g_assert_cmpstr((const char *)entry + 8, ==, sorted[i]);
        read_key(0x20 + i, buf, strlen(sorted[i]));
        g_assert_cmpmem(buf, strlen(sorted[i]), sorted[i], strlen(sorted[i]));
    }
}

static void test_bad_files(void)
{
    FwCfg *fw = fw_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *longest = g_strnfill(55, 'n');
    g_autofree char *too_long = g_strnfill(56, 'n');
    char name[16];

    g_assert_true(fw_cfg_add_file(fw, longest, "", 0, NULL));
    g_assert_false(fw_cfg_add_file(fw, too_long, "", 0, &err));
    g_assert_nonnull(strstr(err->message, "1 to 55"));
    g_clear_error(&err);
    g_assert_false(fw_cfg_add_file(fw, "", "", 0, &err));
    g_clear_error(&err);
    g_assert_false(fw_cfg_add_file(fw, longest, "", 0, &err));
    g_assert_nonnull(strstr(err->message, "exists already"));
    g_clear_error(&err);
    g_assert_false(fw_cfg_add_file(fw, "big", "", 1ULL << 32, &err));
    g_clear_error(&err);
    for (int i = 1; i < 512; i++) {
        g_snprintf(name, sizeof(name), "f%d", i);
        g_assert_true(fw_cfg_add_file(fw, name, name, 2, NULL));
    }
    g_assert_false(fw_cfg_add_file(fw, "onemore", "", 0, &err));
    g_assert_nonnull(strstr(err->message, "512"));
}

static void test_dma(void)
{
    FwCfg *fw = fw_new();

    fw_cfg_add_bytes(fw, 0x15, "0123456789", 10, true);
    g_assert_cmphex(dma(0x15 << 16 | SELECT | READ, 4, 0x200), ==, 0);
    g_assert_cmpmem(fake_ram + 0x200, 5, "0123\xaa", 5);
    g_assert_cmphex(dma(SKIP, 3, 0), ==, 0);
    g_assert_cmphex(dma(READ, 2, 0x200), ==, 0);
    g_assert_cmpmem(fake_ram + 0x200, 5, "7823\xaa", 5);
    /* past the end: zeros */
    g_assert_cmphex(dma(READ, 4, 0x200), ==, 0);
    g_assert_cmpmem(fake_ram + 0x200, 5, "9\0\0\0\xaa", 5);
    /* the data port goes on where DMA stopped */
    g_assert_cmphex(dma(0x15 << 16 | SELECT, 0, 0), ==, 0);
    g_assert_cmphex(dma(SKIP, 9, 0), ==, 0);
    g_assert_cmphex(port_in(0x511, 1), ==, '9');
    g_assert_cmphex(port_in(0x511, 1), ==, 0);
}

/* Requests as a hostile guest makes them: none may hang, crash or write
 * outside of guest memory. */
static void test_dma_hostile(void)
{
    static const struct {
        uint32_t control, len;
        uint64_t gpa;
        uint32_t status;
    } row[] = {
        { SELECT | READ, 4, FAKE_RAM_SIZE - 3, ERR }, /* over the end */
        { SELECT | READ, 4, FAKE_RAM_SIZE, ERR },     /* no memory */
        { SELECT | READ, 8, UINT64_MAX - 3, ERR },    /* wraps around */
        { SELECT | READ, UINT32_MAX, 0x200, ERR },    /* 4 GiB of zeros */
        { SELECT | READ, 4 + 0x10001, 0x200, ERR },   /* just too long */
        { SELECT | READ, 4 + 0x10000, 0x200, 0 },     /* longest tail */
        { 0xffff0000u | SELECT | READ, 8, 0x200, 0 }, /* unknown key */
        { SELECT | SKIP, UINT32_MAX, 0, 0 },          /* stays at the end */
        { SKIP, UINT32_MAX, 0, 0 },                   /* and again */
        { READ, 0, UINT64_MAX, 0 },                   /* nothing to move */
        { 0, UINT32_MAX, UINT64_MAX, 0 },             /* no command */
        { SELECT | WRITE | SKIP, 4, 0x200, ERR },
        { SELECT | READ, 4, DMA_REQUEST, 0 }, /* onto the request itself */
    };

    fw_new();
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        g_assert_cmphex(dma(row[i].control, row[i].len, row[i].gpa), ==,
                        row[i].status);
    }
    g_assert_cmphex(port_in(0x511, 1), ==, 0);
    /* a request that is not in memory is not answered, and does no harm */
    g_assert_cmphex(dma_at(FAKE_RAM_SIZE - 8, SELECT, 0, 0), ==, 0xaaaaaaaa);
    g_assert_cmphex(dma_at(UINT64_MAX - 7, SELECT, 0, 0), ==, DMA_PENDING);
    g_assert_cmphex(dma_at(1ULL << 40, SELECT, 0, 0), ==, DMA_PENDING);
}

static void test_dma_high_half_is_used_once(void)
{
    fw_new();
    port_out(0x514, htobe32(1), 4);
    g_assert_cmphex(dma_at(0x100, SELECT, 0, 0), ==, 0);
    port_out(0x514, htobe32(1), 4);
    port_out(0x518, htobe32(0x100), 4); /* 4 GiB + 0x100: nothing there */
    memset(fake_ram + 0x100, 0, 16);
    fake_ram[0x103] = WRITE;
    port_out(0x518, htobe32(0x100), 4);
    g_assert_cmphex(fake_ram[0x103], ==, ERR);
}

static void test_reset(void)
{
    FwCfg *fw = fw_new();

    fw_cfg_add_u32(fw, 3, 0x01020304);
    port_out(0x510, 3, 2);
    g_assert_cmphex(port_in(0x511, 1), ==, 4);
    port_out(0x514, htobe32(5), 4);
    fake_reset(fake_reset_opaque);
    g_assert_cmphex(port_in(0x511, 1), ==, 'Q');
    g_assert_cmphex(dma_at(0x100, WRITE, 0, 0), ==, ERR);
}

/* The host may replace an item while the guest reads it. */
static void test_item_becomes_shorter(void)
{
    FwCfg *fw = fw_new();

    fw_cfg_add_bytes(fw, 0x15, "0123456789", 10, true);
    port_out(0x510, 0x15, 2);
    for (int i = 0; i < 5; i++) {
        port_in(0x511, 1);
    }
    fw_cfg_add_bytes(fw, 0x15, "ab", 2, true);
    g_assert_cmphex(port_in(0x511, 1), ==, 0);
    g_assert_cmphex(dma(READ, 4, 0x200), ==, 0);
    g_assert_cmpmem(fake_ram + 0x200, 4, "\0\0\0\0", 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fw-cfg/ports", test_ports);
    g_test_add_func("/fw-cfg/dma/signature", test_signature);
    g_test_add_func("/fw-cfg/read-only", test_data_is_read_only);
    g_test_add_func("/fw-cfg/files/sorted", test_directory_sorted);
    g_test_add_func("/fw-cfg/files/bad", test_bad_files);
    g_test_add_func("/fw-cfg/dma/read-skip-select", test_dma);
    g_test_add_func("/fw-cfg/dma/hostile", test_dma_hostile);
    g_test_add_func("/fw-cfg/dma/high-half", test_dma_high_half_is_used_once);
    g_test_add_func("/fw-cfg/shorter-item", test_item_becomes_shorter);
    g_test_add_func("/fw-cfg/reset", test_reset);
    return g_test_run();
}
