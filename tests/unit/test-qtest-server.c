/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qtest protocol: answers, bounds, a peer that does not read. */
#include "util/osdep.h"
#include <glib/gstdio.h>
#include <sys/mman.h>
#include "accel/accel.h"
#include "accel/qtest.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "system/runstate.h"
#include "system/vm-clock.h"
#include "util/fd.h"

/* ---- a Chardev that is two strings ---- */

static ChardevFrontend *frontend;
static GString *sent;
static size_t room = SIZE_MAX; /* what the peer still takes */

bool chardev_attach(ChardevFrontend *fe, Chardev *chr,
                    const ChardevFrontendOps *ops, void *opaque, Error **errp)
{
    if (!chr) {
        error_setg(errp, "taken");
        return false;
    }
    fe->chr = chr;
    fe->ops = ops;
    fe->opaque = opaque;
    frontend = fe;
    ops->event(opaque, CHARDEV_EVENT_OPENED);
    return true;
}

void chardev_detach(ChardevFrontend *fe)
{
    frontend = NULL;
}

size_t chardev_write(ChardevFrontend *fe, const void *buf, size_t len)
{
    size_t n = MIN(len, room);

    g_string_append_len(sent, buf, n);
    room -= room == SIZE_MAX ? 0 : n;
    return n;
}

void chardev_accept_input(ChardevFrontend *fe)
{
}

/* Gives the server @text in pieces it takes; what it did not take is lost to
 * it, as the number returned says. */
static size_t feed(const char *text)
{
    size_t len = strlen(text), done = 0;

    while (done < len) {
        size_t n = MIN(len - done, frontend->ops->can_read(frontend->opaque));

        if (!n) {
            break;
        }
        frontend->ops->read(frontend->opaque, (const uint8_t *)text + done, n);
        done += n;
    }
    return done;
}

/* The answer to @line. */
static void check(const char *line, const char *answer)
{
    g_autofree char *want = g_strconcat(answer, "\n", NULL);

    g_string_truncate(sent, 0);
    feed(line);
    feed("\n");
    g_assert_cmpstr(sent->str, ==, want);
}

static void check_fails(const char *line)
{
    g_string_truncate(sent, 0);
    feed(line);
    feed("\n");
    g_assert_true(g_str_has_prefix(sent->str, "FAIL "));
    g_assert_cmpuint(strchr(sent->str, '\n') - sent->str, ==, sent->len - 1);
}

/* ---- a machine ---- */

#define RAM_SIZE (4 * MiB)

static uint64_t last_port_write;

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x1122334455667788 >> (8 * offset);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    last_port_write = offset << 56 | (uint64_t)size << 48 | value;
}

static const IoRegionOps port_ops = { port_read, port_write, 8 };

static void machine_new(void) MAIN_THREAD
{
    static IoRegion ports, mmio;
    RamRange range = { .size = RAM_SIZE, .fd = -1 };

    range.host = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(range.host != MAP_FAILED);
    g_assert_true(ram_add(&range, NULL));
    io_region_init(&ports, "ports", &port_ops, NULL, 8);
    io_region_map(&ports, IO_SPACE_PORT, 0xcf8, 0);
    io_region_init(&mmio, "mmio", &port_ops, NULL, 8);
    io_region_map(&mmio, IO_SPACE_MMIO, 0xe0000000, 0);
}

/* ---- tests ---- */

static void test_registers(void)
{
    check("inb 0xcf8", "OK 0x0088");
    check("inw 0xcf9", "OK 0x6677");
    check("inl 0xcf8", "OK 0x55667788");
    check("inl 0x9000", "OK 0xffffffff");
    check("outl 0xcf8 0x80000010", "OK");
    g_assert_cmphex(last_port_write, ==, 0x0004000080000010);
    check("outb 3324 0x1ff\r", "OK"); /* 0xcfc */
    g_assert_cmphex(last_port_write, ==, 0x04010000000000ff);
    check("readq 0xe0000000", "OK 0x1122334455667788");
    check("readb 0xe0000007", "OK 0x0000000000000011");
    check("writew 0xe0000002 0xabcd", "OK");
    g_assert_cmphex(last_port_write, ==, 0x020200000000abcd);
    check("writel 0x1000 0x11223344", "OK");
    check("readw 0x1002", "OK 0x0000000000001122");
}

static void test_memory(void)
{
    check("write 0x2000 5 0x00112233ff", "OK");
    check("read 0x2000 0x5", "OK 0x00112233ff");
    check("write 0x2000 3 0xaa", "OK"); /* the rest is zero */
    check("read 0x2000 5", "OK 0xaa000033ff");
    check("b64write 0x3000 5 aGVsbG8=", "OK");
    check("b64read 0x3000 5", "OK aGVsbG8=");
    check("memset 0x3000 2 0x41", "OK");
    check("read 0x3000 5", "OK 0x41416c6c6f");
    check("memset 0 0x400000 0", "OK");
    check("read 0xe0000000 8", "OK 0x8877665544332211");
    check("endianness", "OK little");
}

static void test_garbage(void)
{
    static const char *const bad[] = {
        "",
        "    ",
        "nonsense",
        "inb",
        "inb x",
        "inb -1",
        "inb 0x10000",
        "inb 1 2",
        "outb 1",
        "outb 1 0x",
        "outb 1 99999999999999999999999",
        "readl 0x1zz",
        "writel 1",
        "read 0 0x10000000",
        "read 0xffffffffffffffff 2",
        "read 0x3fff00 0x20000",
        "read 0 -5",
        "write 0 4 1234",
        "write 0 4 0x123",
        "write 0 4 0xzz",
        "write 0 1 0x1122",
        "b64write 0 5 aGVsbG8hISE=",
        "b64write 0 5 ====",
        "b64write 0 1 A",
        "memset 0 0x400001 0",
        "memset 0 1 256",
        "memset 0xffffffffffffff00 0xffffffffffffffff 0",
        "clock_step 0x8000000000000000",
        "clock_step -1",
        "clock_step 1 2",
        "clock_set",
        "clock_set x",
        "rtas /rtas 1 0x0",
        "module_load hw- net",
        "irq_intercept_in /machine/nothing",
        "irq_intercept_in",
        "irq_intercept_out ioapic",
        "irq_intercept_out ioapic isa-irqs",
        "set_irq_in ioapic x 24 1",
        "set_irq_in other x 1 1",
        "set_irq_in ioapic isa-irqs 1 1",
        "set_irq_in ioapic unnamed-gpio-in 24 1",
        "set_irq_in ioapic unnamed-gpio-in x 1",
        "set_irq_in ioapic unnamed-gpio-in 1",
        "a b c d e f g h i j k",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        check_fails(bad[i]);
    }
    check("inb 0xcf8", "OK 0x0088");
}

/* A line without end costs a bounded amount and one FAIL. */
static void test_long_line(void)
{
    g_autofree char *piece = g_strnfill(1 * MiB, 'a');

    g_string_truncate(sent, 0);
    for (unsigned i = 0; i < 10; i++) {
        g_assert_cmpuint(feed(piece), ==, 1 * MiB);
    }
    g_assert_cmpstr(sent->str, ==, "");
    feed("\ninb 0xcf8\n");
    g_assert_true(g_str_has_prefix(sent->str, "FAIL "));
    g_assert_true(g_str_has_suffix(sent->str, "\nOK 0x0088\n"));
}

/* A zero byte does not end a line early; half a line waits for the rest and
 * does not outlive the connection. */
static void test_broken_lines(void)
{
    static const uint8_t zero[] = "outb 0xcf8 1\0junk\n";

    last_port_write = 0;
    g_string_truncate(sent, 0);
    frontend->ops->read(frontend->opaque, zero, sizeof(zero) - 1);
    g_assert_cmpstr(sent->str, ==, "FAIL Unknown command '(line'\n");
    g_assert_cmphex(last_port_write, ==, 0);
    g_string_truncate(sent, 0);
    feed("in");
    feed("b 0xc");
    g_assert_cmpstr(sent->str, ==, "");
    feed("f8\ninb");
    g_assert_cmpstr(sent->str, ==, "OK 0x0088\n");
    frontend->ops->event(frontend->opaque, CHARDEV_EVENT_CLOSED);
    frontend->ops->event(frontend->opaque, CHARDEV_EVENT_OPENED);
    check("inb 0xcf8", "OK 0x0088");
}

/* Lines, answers and connections; the file may be looked at while it grows. */
static void test_log(void) MAIN_THREAD
{
    g_autofree char *path = NULL, *text = NULL;
    int fd = g_file_open_tmp("qtest-log-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    fd_close(&fd);
    qtest_server_cleanup();
    g_assert_true(qtest_server_init((Chardev *)&sent, path, NULL));
    check("endianness", "OK little");
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_true(g_regex_match_simple("^\\[I \\+[0-9.]+\\] OPENED\n"
                                       "\\[R \\+[0-9.]+\\] endianness\n"
                                       "\\[S \\+[0-9.]+\\] OK little\n$",
                                       text, 0, 0));
    qtest_server_cleanup();
    g_unlink(path);
    g_assert_true(qtest_server_init((Chardev *)&sent, "none", NULL));
}

/* A peer that asks and does not read: no more is taken than fits. */
static void test_no_reader(void)
{
    g_string_truncate(sent, 0);
    room = 0;
    feed("read 0 0x10000\n");
    g_assert_cmpuint(feed("inb 0xcf8\n"), ==, 0);
    g_assert_cmpuint(sent->len, ==, 0);
    room = SIZE_MAX;
    frontend->ops->writable(frontend->opaque);
    g_assert_cmpuint(sent->len, ==, 6 - 1 + 2 * 0x10000 + 1);
    check("inb 0xcf8", "OK 0x0088");
}

static void test_irq(void) MAIN_THREAD
{
    accel_set_gsi(4, true);
    g_string_truncate(sent, 0);
    check("irq_intercept_in ioapic", "OK");
    accel_set_gsi(4, true);                                 /* no change */
    check("irq_intercept_in /machine/i440fx/ioapic", "OK"); /* the same */
    check("set_irq_in ioapic unnamed-gpio-in 4 0", "IRQ lower 4\nOK");
    g_string_truncate(sent, 0);
    accel_set_gsi(11, true);
    accel_set_gsi(24, true);
    accel_set_gsi(11, false);
    g_assert_cmpstr(sent->str, ==, "IRQ raise 11\nIRQ lower 11\n");
    /* The next test starts from nothing. */
    frontend->ops->event(frontend->opaque, CHARDEV_EVENT_CLOSED);
    g_string_truncate(sent, 0);
    accel_set_gsi(11, true);
    g_assert_cmpstr(sent->str, ==, "");
}

static int64_t fired_at[4];
static VmTimer timers[4];

static void timer_fired(void *opaque) MAIN_THREAD
{
    fired_at[(VmTimer *)opaque - timers] = vm_clock_ns();
}

/* A timer that is armed for the time that it is. */
static void timer_rearms(void *opaque) MAIN_THREAD
{
    vm_timer_arm(opaque, vm_clock_ns());
}

static void test_clock(void) MAIN_THREAD
{
    static const int64_t deadline[] = { 5000, 1000, 3000, 3000 };

    for (unsigned i = 0; i < ARRAY_SIZE(timers); i++) {
        vm_timer_init(&timers[i], timer_fired, &timers[i]);
        vm_timer_arm(&timers[i], deadline[i]);
    }
    check("clock_step", "OK 1000");
    check("clock_step 1", "OK 1001");
    g_assert_cmpint(fired_at[1], ==, 1000);
    g_assert_cmpint(fired_at[2], ==, 0);
    check("clock_set 4000", "OK 4000");
    g_assert_cmpint(fired_at[2], ==, 3000);
    g_assert_cmpint(fired_at[3], ==, 3000);
    check("clock_set 10", "OK 4000"); /* never back */
    vm_timer_cancel(&timers[0]);
    check("clock_step", "OK 4000"); /* no timer */
    g_usleep(1000);
    check("clock_step 0", "OK 4000");
    check("clock_step 9999999999", "OK 10000003999");
    g_assert_cmpint(fired_at[0], ==, 0);

    /* Armed for the past: runs in the main loop, once a turn. */
    vm_timer_arm(&timers[0], 1);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpint(fired_at[0], ==, 10000003999);

    /* A stopped machine's timers wait, though the test moves the clock. */
    vm_timer_arm(&timers[1], 10000005000);
    vm_stop(RUN_STATE_PAUSED);
    check("clock_step 2000", "OK 10000005999");
    event_loop_turn(main_loop(), 0);
    g_assert_cmpint(fired_at[1], ==, 1000);
    vm_start();
    event_loop_turn(main_loop(), 0);
    g_assert_cmpint(fired_at[1], ==, 10000005999);

    vm_timer_init(&timers[2], timer_rearms, &timers[2]);
    vm_timer_arm(&timers[2], 10000006000);
    check("clock_step 1000000", "OK 10001005999"); /* ends all the same */
    vm_timer_cancel(&timers[2]);
    check("clock_set 0x7fffffffffffffff", "OK 9223372036854775807");
    check_fails("clock_step 1");
}

/* An eventfd's message is stored where it points (the main loop does it). */
static void test_msi_route(void) MAIN_THREAD
{
    MsiMessage msg = { .address = 0x8000, .data = 0x12345678 };
    MsiRoute *route = msi_route_new(msg, NULL);
    int fd = eventfd_new(NULL);

    g_assert_true(msi_route_attach(route, fd, NULL));
    event_loop_turn(main_loop(), 0);
    check("readl 0x8000", "OK 0x0000000000000000");
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 1000000000);
    check("readl 0x8000", "OK 0x0000000012345678");
    msg.address += 4;
    g_assert_true(msi_route_update(route, msg, NULL));
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 1000000000);
    check("readl 0x8004", "OK 0x0000000012345678");
    msi_route_detach(route);
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 0);
    g_assert_true(eventfd_clear(fd));
    msi_route_free(route);
    fd_close(&fd);
}

static void test_vcpus(void) MAIN_THREAD
{
    static const CpuTopology topo = { 4, 4, 1, 1, 4, 1 };
    static const CpuTopology wrong = { 4, 4, 1, 1, 3, 1 };
    Error *err = NULL;

    g_assert_true(vcpus_init(&topo, NULL));
    g_assert_cmpuint(vcpus_topology()->cores, ==, 4);
    vcpus_resume();
    vcpus_pause();
    vcpus_reset();
    g_assert_cmpint(vcpu_thread_id(0), ==, 0);
    vcpus_destroy();
    g_assert_false(vcpus_init(&wrong, &err));
    g_assert_nonnull(strstr(err->message, "-smp 4"));
    g_error_free(err);
}

static void test_init_errors(void) MAIN_THREAD
{
    static const char *const unknown[] = { "tcg", NULL };
    static const char *const none[] = { NULL };
    Error *err = NULL;

    g_assert_false(qtest_server_init((Chardev *)&sent, "none", &err));
    g_assert_cmpstr(err->message, ==, "-qtest: may be given once");
    g_clear_error(&err);
    qtest_server_cleanup();
    g_assert_false(qtest_server_init((Chardev *)&sent, "/nowhere/log", &err));
    g_assert_nonnull(strstr(err->message, "-qtest-log /nowhere/log"));
    g_clear_error(&err);
    g_assert_false(qtest_server_init(NULL, "none", &err));
    g_assert_cmpstr(err->message, ==, "taken");
    g_clear_error(&err);
    g_assert_false(accel_init(unknown, &err));
    g_assert_nonnull(strstr(err->message, "invalid accelerator tcg"));
    g_clear_error(&err);
    g_assert_false(accel_init(none, &err));
    g_clear_error(&err);
}

int main(int argc, char **argv) NO_THREAD_SAFETY
{
    static const char *const names[] = { "qtest", NULL };
    static const RunStateActions actions;
    int rc;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    runstate_init(&actions);
    vm_clock_init();
    runstate_handler_add(vm_clock_run_state, NULL);
    g_assert_true(accel_init(names, NULL));
    vm_start();
    g_assert_true(accel_is("qtest"));
    sent = g_string_new("");
    machine_new();
    g_assert_true(qtest_server_init((Chardev *)&sent, "none", NULL));
    g_test_add_func("/qtest/registers", test_registers);
    g_test_add_func("/qtest/memory", test_memory);
    g_test_add_func("/qtest/garbage", test_garbage);
    g_test_add_func("/qtest/long-line", test_long_line);
    g_test_add_func("/qtest/broken-lines", test_broken_lines);
    g_test_add_func("/qtest/log", test_log);
    g_test_add_func("/qtest/no-reader", test_no_reader);
    g_test_add_func("/qtest/irq", test_irq);
    g_test_add_func("/qtest/clock", test_clock);
    g_test_add_func("/qtest/msi-route", test_msi_route);
    g_test_add_func("/qtest/vcpus", test_vcpus);
    g_test_add_func("/qtest/init-errors", test_init_errors);
    rc = g_test_run();
    g_string_free(sent, TRUE);
    machine_unlock();
    return rc;
}
