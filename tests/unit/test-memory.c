/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory: the RAM map, register dispatch, ioeventfds. */
#include "util/osdep.h"
#include <sys/mman.h>
#include "system/machine-lock.h"
#include "system/memory.h"
#include "util/fd.h"

#define RAM_PAGES 4u
#define RAM_SIZE  (RAM_PAGES * PAGE_SIZE_4K)
#define HIGH_GPA  0x100000000ULL

static uint8_t *ram_low, *ram_high, *rom;

static uint8_t *pages_new(size_t size)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(p != MAP_FAILED);
    return p;
}

static void ram_add_ok(uint64_t gpa, uint64_t size, uint8_t *host, bool ro)
    MAIN_THREAD
{
    RamRange r = {
        .gpa = gpa, .size = size, .host = host, .fd = -1, .readonly = ro
    };
    Error *err = NULL;

    g_assert_true(ram_add(&r, &err));
    g_assert_no_error(err);
}

static void ram_add_refused(uint64_t gpa, uint64_t size, const char *why)
    MAIN_THREAD
{
    RamRange r = { .gpa = gpa, .size = size, .host = ram_low, .fd = -1 };
    unsigned n = ram_map_get()->n;
    Error *err = NULL;

    g_assert_false(ram_add(&r, &err));
    g_assert_nonnull(strstr(err->message, why));
    g_assert_cmpuint(ram_map_get()->n, ==, n);
    g_error_free(err);
}

/* ---- RAM ---- */

static void test_ram_refused(void) MAIN_THREAD
{
    ram_add_refused(0, 100, "multiples of 4096");
    ram_add_refused(12, PAGE_SIZE_4K, "multiples of 4096");
    ram_add_refused(0x1000000, 0, "multiples of 4096");
    ram_add_refused(UINT64_MAX - 4095, 2 * PAGE_SIZE_4K, "2^64");
    ram_add_refused(0, PAGE_SIZE_4K, "overlaps");
    ram_add_refused(RAM_SIZE - PAGE_SIZE_4K, PAGE_SIZE_4K, "overlaps");
    ram_add_refused(HIGH_GPA - PAGE_SIZE_4K, 2 * PAGE_SIZE_4K, "overlaps");
    ram_add_refused(HIGH_GPA - PAGE_SIZE_4K, 64 * PAGE_SIZE_4K, "overlaps");
}

static void test_ram_lookup_edges(void)
{
    const RamMap *map = ram_map_get();

    g_assert_true(ram_map_lookup(map, 0, 1) == ram_low);
    g_assert_true(ram_map_lookup(map, 0, RAM_SIZE) == ram_low);
    g_assert_true(ram_map_lookup(map, RAM_SIZE - 1, 1) ==
                  ram_low + RAM_SIZE - 1);
    g_assert_null(ram_map_lookup(map, RAM_SIZE - 1, 2));
    g_assert_null(ram_map_lookup(map, RAM_SIZE + PAGE_SIZE_4K, 1));
    g_assert_null(ram_map_lookup(map, 0, 0));
    g_assert_null(ram_map_lookup(map, 0, RAM_SIZE + 1));
    g_assert_null(ram_map_lookup(map, HIGH_GPA - 1, 1));
    g_assert_true(ram_map_lookup(map, HIGH_GPA, RAM_SIZE) == ram_high);
}

static void test_ram_lookup_wrap(void)
{
    const RamMap *map = ram_map_get();

    g_assert_null(ram_map_lookup(map, PAGE_SIZE_4K, UINT64_MAX));
    g_assert_null(ram_map_lookup(map, 1, UINT64_MAX));
    g_assert_null(ram_map_lookup(map, UINT64_MAX, 2));
    g_assert_null(ram_map_lookup(map, HIGH_GPA + 8, UINT64_MAX - HIGH_GPA));
    g_assert_false(ram_read(UINT64_MAX, &(char[4]){ 0 }, 4));
}

static void test_ram_copy(void)
{
    uint8_t buf[32], back[32];

    for (unsigned i = 0; i < sizeof(buf); i++) {
        buf[i] = 0x80 + i;
    }
    /* The ROM follows the low RAM: reads cross, writes do not. */
    g_assert_true(ram_write(RAM_SIZE - 16, buf, 16));
    memset(rom, 0x55, 16);
    g_assert_true(ram_read(RAM_SIZE - 16, back, 32));
    g_assert_cmpmem(back, 16, buf, 16);
    g_assert_cmphex(back[16], ==, 0x55);
    g_assert_false(ram_write(RAM_SIZE - 16, buf, 32));
    g_assert_cmphex(rom[0], ==, 0x55);
    g_assert_true(ram_map_is_readonly(ram_map_get(), RAM_SIZE));
    g_assert_false(ram_map_is_readonly(ram_map_get(), RAM_SIZE - 1));
    g_assert_false(ram_read(HIGH_GPA + RAM_SIZE - 1, back, 2));
    g_assert_true(ram_read(HIGH_GPA, back, 0));
}

static unsigned listener_calls;

static void listener_count(void *opaque)
{
    listener_calls++;
}

static bool accel_refuses_ram(const RamMap *old_map, const RamMap *new_map,
                              Error **errp)
{
    error_setg(errp, "no slot left");
    return false;
}

static void test_ram_publish(void) MAIN_THREAD
{
    static const MemoryAccelOps refuse = { .ram_changed = accel_refuses_ram };
    RamListener *l = ram_listener_add(listener_count, NULL);
    uint8_t *page = pages_new(PAGE_SIZE_4K);
    RamRange r = {
        .gpa = 0x40000000, .size = PAGE_SIZE_4K, .host = page, .fd = -1
    };
    Error *err = NULL;

    /* Already filled memory is announced at once, so this is refused too. */
    g_assert_false(memory_set_accel(&refuse, &err));
    g_assert_cmpstr(err->message, ==, "no slot left");
    g_clear_error(&err);
    g_assert_true(ram_add(&r, NULL));
    g_assert_cmpuint(listener_calls, ==, 1);
    g_assert_true(ram_map_lookup(ram_map_get(), r.gpa, 1) == page);
    ram_listener_remove(l);
    r.gpa += PAGE_SIZE_4K;
    g_assert_true(ram_add(&r, NULL));
    g_assert_cmpuint(listener_calls, ==, 1);
}

/* ---- registers ---- */

typedef struct Dev {
    IoRegion region;
    char name;
    uint64_t value;
} Dev;

static GString *trace;

static uint64_t dev_read(void *opaque, uint64_t offset, unsigned size)
{
    Dev *d = opaque;

    g_string_append_printf(trace, "%cr%" PRIx64 ".%u ", d->name, offset, size);
    return d->value + offset;
}

static void dev_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    Dev *d = opaque;

    g_string_append_printf(trace, "%cw%" PRIx64 ".%u=%" PRIx64 " ", d->name,
                           offset, size, value);
}

static const IoRegionOps ops4 = { dev_read, dev_write, 0 };
static const IoRegionOps ops1 = { dev_read, dev_write, 1 };
static const IoRegionOps ops8 = { dev_read, dev_write, 8 };

static void dev_init(Dev *d, char name, const IoRegionOps *ops, uint64_t size)
{
    d->name = name;
    d->value = 0;
    io_region_init(&d->region, "dev", ops, d, size);
}

#define ASSERT_TRACE(text)                     \
    do {                                       \
        g_assert_cmpstr(trace->str, ==, text); \
        g_string_truncate(trace, 0);           \
    } while (0)

#define MMIO_BASE 0xe0000000ULL

static void test_io_dispatch(void) MAIN_THREAD
{
    Dev a;

    dev_init(&a, 'a', &ops4, 0x100);
    io_region_map(&a.region, IO_SPACE_MMIO, MMIO_BASE, 0);
    io_read(IO_SPACE_MMIO, MMIO_BASE + 4, 4);
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0xff, 0x1ff, 1);
    ASSERT_TRACE("ar4.4 awff.1=ff ");
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MMIO_BASE - 4, 4), ==, 0xffffffff);
    g_assert_cmphex(io_read(IO_SPACE_PORT, MMIO_BASE, 1), ==, 0xff);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MMIO_BASE + 0x100, 8), ==,
                    UINT64_MAX);
    ASSERT_TRACE("");
    io_region_unmap(&a.region);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MMIO_BASE, 2), ==, 0xffff);
    ASSERT_TRACE("");
    io_region_destroy(&a.region);
}

static void test_io_split(void) MAIN_THREAD
{
    Dev a, b;

    dev_init(&a, 'a', &ops4, 0x10);
    dev_init(&b, 'b', &ops1, 0x10);
    io_region_map(&a.region, IO_SPACE_MMIO, MMIO_BASE, 0);
    io_region_map(&b.region, IO_SPACE_MMIO, MMIO_BASE + 0x10, 0);
    a.value = 0x11000000;
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MMIO_BASE, 8), ==,
                    0x1100000411000000);
    ASSERT_TRACE("ar0.4 ar4.4 ");
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0x10, 0xddccbbaa, 4);
    ASSERT_TRACE("bw0.1=aa bw1.1=bb bw2.1=cc bw3.1=dd ");
    /* Never across an end: a's last two bytes, b's first two. */
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0xe, 0xddccbbaa, 4);
    ASSERT_TRACE("awe.2=bbaa bw0.1=cc bw1.1=dd ");
    /* Into the hole: what is missing reads as ones. */
    a.value = b.value = 0;
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MMIO_BASE + 0x1e, 4), ==,
                    0xffff0f0e);
    ASSERT_TRACE("bre.1 brf.1 ");
    /* Odd widths come as powers of two. */
    io_write(IO_SPACE_MMIO, MMIO_BASE, 0xccbbaa, 3);
    ASSERT_TRACE("aw0.2=bbaa aw2.1=cc ");
    io_region_destroy(&a.region);
    io_region_destroy(&b.region);
}

static void test_io_wide(void) MAIN_THREAD
{
    Dev a;

    dev_init(&a, 'a', &ops8, 0x10);
    io_region_map(&a.region, IO_SPACE_MMIO, MMIO_BASE, 0);
    io_write(IO_SPACE_MMIO, MMIO_BASE + 8, 0x1122334455667788, 8);
    ASSERT_TRACE("aw8.8=1122334455667788 ");
    io_region_destroy(&a.region);
}

static void test_io_priority(void) MAIN_THREAD
{
    Dev low, high, late;

    dev_init(&low, 'l', &ops4, 0x1000);
    dev_init(&high, 'h', &ops4, 0x100);
    dev_init(&late, 't', &ops4, 0x100);
    io_region_map(&high.region, IO_SPACE_PORT, 0x400, 1);
    io_region_map(&low.region, IO_SPACE_PORT, 0, 0);
    io_region_map(&late.region, IO_SPACE_PORT, 0x4f0, 0);
    io_read(IO_SPACE_PORT, 0x3ff, 1);
    io_read(IO_SPACE_PORT, 0x400, 1);
    io_read(IO_SPACE_PORT, 0x4ff, 1);
    io_read(IO_SPACE_PORT, 0x500, 1);
    io_read(IO_SPACE_PORT, 0x5ef, 1);
    io_read(IO_SPACE_PORT, 0x5f0, 1);
    ASSERT_TRACE("lr3ff.1 hr0.1 hrff.1 tr10.1 trff.1 lr5f0.1 ");
    /* Across the seam */
    io_read(IO_SPACE_PORT, 0x3fe, 4);
    ASSERT_TRACE("lr3fe.2 hr0.2 ");
    io_region_unmap(&high.region);
    io_read(IO_SPACE_PORT, 0x400, 4);
    io_read(IO_SPACE_PORT, 0x4f0, 4);
    ASSERT_TRACE("lr400.4 tr0.4 ");
    io_region_destroy(&low.region);
    io_region_destroy(&high.region);
    io_region_destroy(&late.region);
}

static void test_io_does_not_fit(void) MAIN_THREAD
{
    Dev a;

    dev_init(&a, 'a', &ops4, 0x100);
    io_region_map(&a.region, IO_SPACE_PORT, 0xff80, 0);
    g_assert_false(a.region.mapped);
    io_region_map(&a.region, IO_SPACE_MMIO, UINT64_MAX - 0x7f, 0);
    g_assert_false(a.region.mapped);
    io_region_map(&a.region, IO_SPACE_MMIO, UINT64_MAX - 0xff, 0);
    g_assert_true(a.region.mapped);
    io_read(IO_SPACE_MMIO, UINT64_MAX, 1);
    ASSERT_TRACE("arff.1 ");
    io_region_map(&a.region, IO_SPACE_PORT, 0xff00, 0);
    io_read(IO_SPACE_PORT, 0xffff, 4);
    ASSERT_TRACE("arff.1 ");
    io_region_destroy(&a.region);
}

static void test_io_ram(void) MAIN_THREAD
{
    Dev a;

    /* As under KVM, RAM wins over a BAR that was put on it. */
    dev_init(&a, 'a', &ops4, 0x10000);
    io_region_map(&a.region, IO_SPACE_MMIO, HIGH_GPA, 0);
    io_write(IO_SPACE_MMIO, HIGH_GPA + RAM_SIZE - 4, 0xa1a2a3a4a5a6a7a8, 8);
    ASSERT_TRACE("aw4000.4=a1a2a3a4 ");
    g_assert_cmphex(ram_high[RAM_SIZE - 4], ==, 0xa8);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, HIGH_GPA + RAM_SIZE - 4, 4), ==,
                    0xa5a6a7a8);
    rom[0] = 0x55;
    io_write(IO_SPACE_MMIO, RAM_SIZE, 0, 4);
    g_assert_cmphex(rom[0], ==, 0x55);
    ASSERT_TRACE("");
    io_region_destroy(&a.region);
}

static void foreach_names(const IoRegion *r, void *opaque)
{
    g_string_append_printf(opaque, "%" PRIx64 " ", r->addr);
}

static void test_io_foreach(void) MAIN_THREAD
{
    static const uint16_t at[] = { 0x300, 0x0, 0x100, 0x300, 0xfff0 };
    Dev d[ARRAY_SIZE(at)];

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        dev_init(&d[i], '0' + i, &ops4, 0x10);
        io_region_map(&d[i].region, IO_SPACE_PORT, at[i], 0);
    }
    io_space_foreach(IO_SPACE_PORT, foreach_names, trace);
    ASSERT_TRACE("0 100 300 300 fff0 ");
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        io_region_destroy(&d[i].region);
    }
    io_space_foreach(IO_SPACE_PORT, foreach_names, trace);
    ASSERT_TRACE("");
}

static void remap_write(void *opaque, uint64_t offset, uint64_t value,
                        unsigned size) MAIN_THREAD
{
    Dev *d = opaque;

    dev_write(opaque, offset, value, size);
    io_region_map(&d->region, IO_SPACE_MMIO, MMIO_BASE + 0x1000, 0);
}

/* A BAR that moves while one of its own accesses is being split. */
static void test_io_moves_itself(void) MAIN_THREAD
{
    static const IoRegionOps ops = { dev_read, remap_write, 4 };
    Dev a;

    dev_init(&a, 'a', &ops, 0x10);
    io_region_map(&a.region, IO_SPACE_MMIO, MMIO_BASE, 0);
    io_write(IO_SPACE_MMIO, MMIO_BASE, 0x200000001, 8);
    ASSERT_TRACE("aw0.4=1 ");
    io_region_destroy(&a.region);
}

/* ---- ioeventfds ---- */

static int efd_new(void)
{
    Error *err = NULL;
    int fd = eventfd_new(&err);

    g_assert_no_error(err);
    return fd;
}

static void test_eventfd_software(void) MAIN_THREAD
{
    int any = efd_new(), two = efd_new(), data = efd_new();
    Dev a;

    dev_init(&a, 'a', &ops4, 0x100);
    g_assert_true(
        io_region_add_eventfd(&a.region, 0x20, 4, true, 7, data, NULL));
    io_region_map(&a.region, IO_SPACE_MMIO, MMIO_BASE, 0);
    g_assert_true(io_region_add_eventfd(&a.region, 0, 0, false, 0, any, NULL));
    g_assert_true(
        io_region_add_eventfd(&a.region, 0x10, 2, false, 0, two, NULL));

    io_write(IO_SPACE_MMIO, MMIO_BASE, 1, 1);
    g_assert_true(eventfd_clear(any));
    io_write(IO_SPACE_MMIO, MMIO_BASE, 1, 8);
    g_assert_true(eventfd_clear(any));
    ASSERT_TRACE("");
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0x10, 1, 2);
    g_assert_true(eventfd_clear(two));
    ASSERT_TRACE("");
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0x10, 1, 4);
    g_assert_false(eventfd_clear(two));
    ASSERT_TRACE("aw10.4=1 ");
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0x20, 8, 4);
    g_assert_false(eventfd_clear(data));
    ASSERT_TRACE("aw20.4=8 ");
    io_write(IO_SPACE_MMIO, MMIO_BASE + 0x20, 7, 4);
    g_assert_true(eventfd_clear(data));
    io_read(IO_SPACE_MMIO, MMIO_BASE, 4);
    g_assert_false(eventfd_clear(any));
    ASSERT_TRACE("ar0.4 ");
    io_region_del_eventfd(&a.region, 0, 0, false, 0, any);
    io_write(IO_SPACE_MMIO, MMIO_BASE, 1, 4);
    g_assert_false(eventfd_clear(any));
    ASSERT_TRACE("aw0.4=1 ");
    io_region_destroy(&a.region);
    fd_close(&any);
    fd_close(&two);
    fd_close(&data);
}

static void test_eventfd_refused(void) MAIN_THREAD
{
    static const struct {
        uint64_t offset;
        unsigned size;
        bool match;
    } bad[] = { { 0, 3, false },      { 0, 16, false },
                { 0, 0, true },       { 0x100, 1, false },
                { 0xff, 2, false },   { 0x100, 0, false },
                { UINT64_MAX, 4, 0 }, { UINT64_MAX - 3, 8, 0 } };
    Dev a;

    dev_init(&a, 'a', &ops4, 0x100);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        Error *err = NULL;

        g_assert_false(io_region_add_eventfd(
            &a.region, bad[i].offset, bad[i].size, bad[i].match, 0, 0, &err));
        g_assert_nonnull(strstr(err->message, "ioeventfd"));
        g_error_free(err);
    }
    io_region_destroy(&a.region);
}

static bool accel_full;

static bool accel_ioeventfd(bool add, IoSpace space, uint64_t addr,
                            unsigned size, bool match, uint64_t data, int fd,
                            Error **errp)
{
    if (add && accel_full) {
        error_setg(errp, "full");
        return false;
    }
    g_string_append_printf(trace, "%c%c%" PRIx64 ".%u%s%" PRIx64 " ",
                           add ? '+' : '-', space == IO_SPACE_PORT ? 'p' : 'm',
                           addr, size, match ? "=" : "/", data);
    return true;
}

static bool accel_takes_ram(const RamMap *old_map, const RamMap *new_map,
                            Error **errp)
{
    g_string_append_printf(trace, "ram%u>%u ", old_map->n, new_map->n);
    return true;
}

/* A BAR moves: the accelerator's eventfds go along. */
static void test_eventfd_moves(void) MAIN_THREAD
{
    static const MemoryAccelOps ops = { accel_takes_ram, accel_ioeventfd };
    int fd = efd_new();
    Error *err = NULL;
    Dev a;

    g_assert_true(memory_set_accel(&ops, NULL));
    ASSERT_TRACE("ram0>5 ");
    dev_init(&a, 'a', &ops4, 0x100);
    g_assert_true(io_region_add_eventfd(&a.region, 8, 2, true, 3, fd, NULL));
    ASSERT_TRACE("");
    io_region_map(&a.region, IO_SPACE_MMIO, 0x1000000000, 0);
    ASSERT_TRACE("+m1000000008.2=3 ");
    io_region_map(&a.region, IO_SPACE_MMIO, 0x1000000000, 0);
    ASSERT_TRACE("");
    io_region_map(&a.region, IO_SPACE_PORT, 0xc000, 0);
    ASSERT_TRACE("-m1000000008.2=3 +pc008.2=3 ");
    g_assert_true(io_region_add_eventfd(&a.region, 4, 0, false, 9, fd, NULL));
    ASSERT_TRACE("+pc004.0/0 ");
    io_region_unmap(&a.region);
    ASSERT_TRACE("-pc004.0/0 -pc008.2=3 ");

    /* Refused on a move: the write is dispatched here, nothing is lost. */
    accel_full = true;
    io_region_map(&a.region, IO_SPACE_PORT, 0xd000, 0);
    io_write(IO_SPACE_PORT, 0xd008, 3, 2);
    g_assert_true(eventfd_clear(fd));
    io_region_unmap(&a.region);
    ASSERT_TRACE("");
    /* Refused when added: the caller hears of it and nothing is kept. */
    io_region_map(&a.region, IO_SPACE_PORT, 0xd000, 0);
    g_assert_false(io_region_add_eventfd(&a.region, 0, 4, 0, 0, fd, &err));
    g_assert_cmpstr(err->message, ==, "full");
    g_error_free(err);
    io_write(IO_SPACE_PORT, 0xd000, 3, 4);
    ASSERT_TRACE("aw0.4=3 ");
    accel_full = false;
    io_region_destroy(&a.region);
    ASSERT_TRACE("");
    g_assert_true(memory_set_accel(NULL, NULL));
    fd_close(&fd);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    trace = g_string_new("");
    ram_low = pages_new(RAM_SIZE);
    ram_high = pages_new(RAM_SIZE);
    rom = pages_new(PAGE_SIZE_4K);
    ram_add_ok(HIGH_GPA, RAM_SIZE, ram_high, false);
    ram_add_ok(0, RAM_SIZE, ram_low, false);
    ram_add_ok(RAM_SIZE, PAGE_SIZE_4K, rom, true);

    g_test_add_func("/memory/ram/refused", test_ram_refused);
    g_test_add_func("/memory/ram/lookup-edges", test_ram_lookup_edges);
    g_test_add_func("/memory/ram/lookup-wrap", test_ram_lookup_wrap);
    g_test_add_func("/memory/ram/copy", test_ram_copy);
    g_test_add_func("/memory/ram/publish", test_ram_publish);
    g_test_add_func("/memory/io/dispatch", test_io_dispatch);
    g_test_add_func("/memory/io/split", test_io_split);
    g_test_add_func("/memory/io/wide", test_io_wide);
    g_test_add_func("/memory/io/priority", test_io_priority);
    g_test_add_func("/memory/io/does-not-fit", test_io_does_not_fit);
    g_test_add_func("/memory/io/ram", test_io_ram);
    g_test_add_func("/memory/io/foreach", test_io_foreach);
    g_test_add_func("/memory/io/moves-itself", test_io_moves_itself);
    g_test_add_func("/memory/ioeventfd/software", test_eventfd_software);
    g_test_add_func("/memory/ioeventfd/refused", test_eventfd_refused);
    g_test_add_func("/memory/ioeventfd/moves", test_eventfd_moves);
    rc = g_test_run();
    g_string_free(trace, TRUE);
    machine_unlock();
    return rc;
}
