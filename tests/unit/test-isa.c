/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA devices of the `pc` machine by their registers: serial ports, keyboard
 * controller, real-time clock, power management, isa-debug-exit.
 */
#include "util/osdep.h"

#include <linux/serial_reg.h>
#include <time.h>

#include "hw/char/serial.h"
#include "hw/i386/i8042.h"
#include "hw/i386/pc.h"
#include "hw/i386/piix.h"
#include "hw/i386/rtc.h"
#include "pci-rig.h"
#include "system/main-loop.h"
#include "system/vm-clock.h"

#define COM1 0x3f8
#define COM2 0x2f8
#define COM3 0x3e8

#define NS_PER_S 1000000000LL

/* Lets @ns pass on the machine's clock, which nothing else moves. */
static void step(int64_t ns) MAIN_THREAD
{
    vm_clock_move(vm_clock_ns() + ns);
}

/* To where periods that divide a second begin. */
static void step_to_whole_second(void) MAIN_THREAD
{
    step(NS_PER_S - vm_clock_ns() % NS_PER_S);
}

/* ---- a Chardev whose room the test sets ---- */

struct Chardev {
    const char *label;
    ChardevFrontend *fe;
    size_t room;
    GByteArray *out;
    unsigned accepts;
};

static Chardev cable[3] = { { .label = "c0" },
                            { .label = "c1" },
                            { .label = "c2" } };

Chardev *chardev_find(const char *id)
{
    for (size_t i = 0; i < ARRAY_SIZE(cable); i++) {
        if (strcmp(cable[i].label, id) == 0) {
            return &cable[i];
        }
    }
    return NULL;
}

const char *chardev_label(const Chardev *chr)
{
    return chr->label;
}

bool chardev_attach(ChardevFrontend *fe, Chardev *chr,
                    const ChardevFrontendOps *ops, void *opaque, Error **errp)
{
    if (chr->fe) {
        error_setg(errp, "%s is taken", chr->label);
        return false;
    }
    chr->fe = fe;
    *fe = (ChardevFrontend){ .chr = chr, .ops = ops, .opaque = opaque };
    ops->event(opaque, CHARDEV_EVENT_OPENED);
    return true;
}

void chardev_detach(ChardevFrontend *fe)
{
    if (fe->chr) {
        fe->chr->fe = NULL;
        fe->chr = NULL;
    }
}

size_t chardev_write(ChardevFrontend *fe, const void *buf, size_t len)
{
    size_t n = MIN(len, fe->chr->room);
    fe->chr->room -= n;
    g_byte_array_append(fe->chr->out, buf, (guint)n);
    return n;
}

void chardev_accept_input(ChardevFrontend *fe)
{
    fe->chr->accepts++;
}

static void cable_reset(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(cable); i++) {
        if (!cable[i].out) {
            cable[i].out = g_byte_array_new();
        }
        g_byte_array_set_size(cable[i].out, 0);
        cable[i].room = SIZE_MAX;
        cable[i].accepts = 0;
    }
}

/* Offers @text; returns how much was taken. */
static size_t type(Chardev *chr, const char *text)
{
    size_t n = MIN(chr->fe->ops->can_read(chr->fe->opaque), strlen(text));
    if (n) {
        chr->fe->ops->read(chr->fe->opaque, (const uint8_t *)text, n);
    }
    return n;
}

static void give_room(Chardev *chr, size_t room)
{
    chr->room = room;
    chr->fe->ops->writable(chr->fe->opaque);
}

static void expect_out(const Chardev *chr, const char *text)
{
    g_assert_cmpmem(chr->out->data, chr->out->len, text, strlen(text));
}

/* ---- serial ---- */

static DeviceState *try_serial(const char *const *options, Error **errp)
    MAIN_THREAD
{
    Object *obj = object_new(TYPE_ISA_SERIAL);
    bool ok = true;
    for (; ok && *options; options++) {
        char **kv = g_strsplit(*options, "=", 2);
        ok = object_property_parse(obj, kv[0], kv[1], errp);
        g_strfreev(kv);
    }
    ok = ok && device_realize(DEVICE(obj), bus_find(NULL, TYPE_ISA_BUS), errp);
    object_unref(obj);
    return ok ? DEVICE(obj) : NULL;
}

static void drop(DeviceState *dev) MAIN_THREAD
{
    device_unrealize(dev);
    object_unparent(OBJECT(dev));
}

static DeviceState *new_com1(void) MAIN_THREAD
{
    static const char *const options[] = { "chardev=c0", NULL };
    cable_reset();
    DeviceState *dev = try_serial(options, NULL);
    g_assert_nonnull(dev);
    rig_clear();
    return dev;
}

static void test_serial_options(void) MAIN_THREAD
{
    static const struct {
        const char *options[5];
        const char *why;
    } bad[] = {
        { { "index=0" }, "chardev' is missing" },
        { { "chardev=nope" }, "no -chardev with id 'nope'" },
        { { "chardev=c0" }, "c0 is taken" },
        { { "chardev=c1", "index=0" }, "is taken by" },
        { { "chardev=c1", "index=4" }, "at most 4" },
        { { "chardev=c1", "iobase=0x3f4" }, "is taken by" },
        { { "chardev=c1", "iobase=0xfff9" }, "0xfff8" },
        { { "chardev=c1", "irq=16" }, "up to 15" },
    };
    DeviceState *dev = new_com1();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Error *err = NULL;
        g_assert_null(try_serial(bad[i].options, &err));
        g_assert_nonnull(err);
        g_assert_nonnull(strstr(err->message, bad[i].why));
        g_clear_error(&err);
    }
    g_assert_true(serial_isa_present(0));
    g_assert_false(serial_isa_present(1));
    g_assert_true(serial_isa_init(1, &cable[1], NULL));
    g_assert_true(serial_isa_present(1));
    g_assert_false(serial_isa_present(4));
    g_assert_false(serial_isa_init(1, &cable[2], NULL));
    outb(COM2, 'x');
    expect_out(&cable[1], "x");
    BusState *isa = bus_find(NULL, TYPE_ISA_BUS);
    drop(g_ptr_array_index(isa->devices, isa->devices->len - 1));
    g_assert_false(serial_isa_present(1));
    drop(dev);
    g_assert_cmphex(inb(COM1 + UART_LSR), ==, 0xff);
}

static void test_serial_registers(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, UART_IIR_NO_INT);
    g_assert_cmphex(inb(COM1 + UART_LSR), ==, UART_LSR_TEMT | UART_LSR_THRE);
    g_assert_cmphex(inb(COM1 + UART_MSR), ==, 0xb0);
    outb(COM1 + UART_SCR, 0x5a);
    g_assert_cmphex(inb(COM1 + UART_SCR), ==, 0x5a);
    outb(COM1 + UART_IER, 0xff);
    g_assert_cmphex(inb(COM1 + UART_IER), ==, 0x0f);
    outb(COM1 + UART_MCR, 0xff & ~UART_MCR_LOOP);
    g_assert_cmphex(inb(COM1 + UART_MCR), ==, 0x0f);
    outb(COM1 + UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
    outb(COM1 + UART_DLL, 0x34);
    outb(COM1 + UART_DLM, 0x12);
    g_assert_cmphex(inb(COM1 + UART_DLL), ==, 0x34);
    g_assert_cmphex(inb(COM1 + UART_DLM), ==, 0x12);
    outb(COM1 + UART_LCR, UART_LCR_WLEN8);
    g_assert_cmphex(inb(COM1 + UART_IER), ==, 0x0f);
    expect_out(&cable[0], "");
    outb(COM1 + UART_LSR, 0xff);
    outb(COM1 + UART_MSR, 0xff);
    g_assert_cmphex(inb(COM1 + UART_MSR), ==, 0xb0);
    outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
    g_assert_cmphex(inb(COM1 + UART_IIR) & 0xc0, ==, 0xc0);
    drop(dev);
}

static void test_serial_transmit(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    outb(COM1 + UART_IER, UART_IER_THRI);
    g_assert_true(rig.gsi[4]);
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, UART_IIR_THRI);
    g_assert_false(rig.gsi[4]); /* told */
    outb(COM1, 'a');
    g_assert_true(rig.gsi[4]);
    outb(COM1, 'b');
    g_assert_cmpuint(rig.gsi_rises[4], ==, 3); /* an edge for each */
    expect_out(&cable[0], "ab");
    outb(COM1 + UART_IER, 0);
    inb(COM1 + UART_IIR);
    outb(COM1 + UART_IER, UART_IER_THRI); /* enabling it tells again */
    g_assert_true(rig.gsi[4]);
    drop(dev);
    g_assert_false(rig.gsi[4]);
}

/* A slow reader: nothing is lost, and the guest sees it in the status. */
static void test_serial_back_pressure(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
    cable[0].room = 3;
    for (unsigned i = 0; i < 16; i++) {
        outb(COM1, (uint8_t)('a' + i));
    }
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_THRE, ==, 0);
    expect_out(&cable[0], "abc");
    outb(COM1 + UART_IER, UART_IER_THRI);
    g_assert_false(rig.gsi[4]);
    give_room(&cable[0], 5);
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_THRE, ==, 0);
    rig_machine_reset(); /* what was written still goes out */
    outb(COM1 + UART_IER, UART_IER_THRI);
    give_room(&cable[0], SIZE_MAX);
    expect_out(&cable[0], "abcdefghijklmnop");
    g_assert_true(rig.gsi[4]);
    g_assert_cmphex(inb(COM1 + UART_LSR), ==, UART_LSR_TEMT | UART_LSR_THRE);
    drop(dev);
}

static void test_serial_receive(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    outb(COM1 + UART_IER, UART_IER_RDI);
    g_assert_cmpuint(type(&cable[0], "xy"), ==, 1); /* no FIFO yet */
    g_assert_true(rig.gsi[4]);
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, UART_IIR_RDI);
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_DR, !=, 0);
    g_assert_cmphex(inb(COM1), ==, 'x');
    g_assert_false(rig.gsi[4]);
    g_assert_cmphex(inb(COM1), ==, 0);

    outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
    g_assert_cmpuint(type(&cable[0], "1234567"), ==, 7);
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, 0xc0 | UART_IIR_RX_TIMEOUT);
    g_assert_cmpuint(type(&cable[0], "89abcdefghij"), ==, 9);
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, 0xc0 | UART_IIR_RDI);
    g_assert_cmpuint(type(&cable[0], "z"), ==, 0);
    unsigned accepts = cable[0].accepts;
    for (const char *p = "123456789abcdefg"; *p; p++) {
        g_assert_cmphex(inb(COM1), ==, (uint8_t)*p);
    }
    g_assert_cmpuint(cable[0].accepts, >, accepts);
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_DR, ==, 0);

    type(&cable[0], "lost");
    outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_DR, ==, 0);
    g_assert_false(rig.gsi[4]);
    drop(dev);
}

static void test_serial_break(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
    outb(COM1 + UART_IER, UART_IER_RLSI | UART_IER_RDI | UART_IER_THRI);
    cable[0].fe->ops->event(cable[0].fe->opaque, CHARDEV_EVENT_BREAK);
    /* causes by priority */
    g_assert_cmphex(inb(COM1 + UART_IIR) & 0x0f, ==, UART_IIR_RLSI);
    g_assert_cmphex(inb(COM1 + UART_LSR) & (UART_LSR_BI | UART_LSR_DR), ==,
                    UART_LSR_BI | UART_LSR_DR);
    g_assert_cmphex(inb(COM1 + UART_IIR) & 0x0f, ==, UART_IIR_RDI);
    g_assert_cmphex(inb(COM1), ==, 0);
    g_assert_cmphex(inb(COM1 + UART_IIR) & 0x0f, ==, UART_IIR_THRI);
    g_assert_cmphex(inb(COM1 + UART_IIR) & 0x0f, ==, UART_IIR_NO_INT);
    g_assert_cmphex(inb(COM1 + UART_LSR) & UART_LSR_BI, ==, 0);
    drop(dev);
}

static void test_serial_loopback(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    inb(COM1 + UART_MSR);
    outb(COM1 + UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    g_assert_cmphex(inb(COM1 + UART_MSR) & 0xf0, ==, 0x90);
    g_assert_cmphex(inb(COM1 + UART_MSR) & 0x0f, ==, 0); /* deltas are read */
    outb(COM1 + UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
    outb(COM1 + UART_IER, UART_IER_MSI);
    g_assert_true(rig.gsi[4]);
    g_assert_cmphex(inb(COM1 + UART_IIR), ==, UART_IIR_MSI);
    g_assert_cmphex(inb(COM1 + UART_MSR), ==,
                    UART_MSR_RI | UART_MSR_DDCD | UART_MSR_DCTS);
    outb(COM1 + UART_MCR, UART_MCR_LOOP);
    g_assert_cmphex(inb(COM1 + UART_MSR), ==, UART_MSR_TERI);
    g_assert_false(rig.gsi[4]);

    g_assert_cmpuint(type(&cable[0], "x"), ==, 0); /* the line waits */
    outb(COM1, 'q');
    expect_out(&cable[0], "");
    outb(COM1, 'r');
    g_assert_cmphex(inb(COM1 + UART_LSR) & (UART_LSR_OE | UART_LSR_DR), ==,
                    UART_LSR_OE | UART_LSR_DR);
    g_assert_cmphex(inb(COM1), ==, 'r');
    drop(dev);
}

/* COM1 and COM3 share interrupt 4: the line is the OR of both. */
static void test_serial_shared_irq(void) MAIN_THREAD
{
    DeviceState *one = new_com1();
    static const char *const options[] = { "chardev=c1", "index=2", NULL };
    DeviceState *three = try_serial(options, NULL);
    g_assert_nonnull(three);
    outb(COM1 + UART_IER, UART_IER_RDI);
    outb(COM3 + UART_IER, UART_IER_RDI);
    type(&cable[0], "a");
    type(&cable[1], "b");
    inb(COM1);
    g_assert_true(rig.gsi[4]);
    drop(three);
    g_assert_false(rig.gsi[4]);
    type(&cable[0], "a");
    g_assert_true(rig.gsi[4]);
    drop(one);
    g_assert_false(rig.gsi[4]);
}

static void test_serial_hostile(void) MAIN_THREAD
{
    DeviceState *dev = new_com1();
    GRand *rand = g_rand_new_with_seed(2);
    for (unsigned i = 0; i < 50000; i++) {
        uint16_t port = COM1 + (uint16_t)g_rand_int_range(rand, 0, 8);
        uint32_t value = g_rand_int(rand);
        switch (g_rand_int_range(rand, 0, 5)) {
        case 0:
            outb(port, (uint8_t)value);
            break;
        case 1:
            inb(port);
            break;
        case 2:
            outl(port, value);
            break;
        case 3:
            type(&cable[0], "0123456789abcdefghij");
            break;
        default:
            give_room(&cable[0], value % 20);
            break;
        }
    }
    g_rand_free(rand);
    drop(dev);
}

/* ---- keyboard controller ---- */

static uint8_t kbd_command(uint8_t command) MAIN_THREAD
{
    outb(0x64, command);
    g_assert_cmphex(inb(0x64) & 0x01, !=, 0);
    return inb(0x60);
}

static void test_i8042(void) MAIN_THREAD
{
    rig_clear();
    g_assert_cmphex(inb(0x64) & 0x23, ==, 0);
    g_assert_cmphex(kbd_command(0xaa), ==, 0x55);
    g_assert_cmphex(kbd_command(0xab), ==, 0x00);
    g_assert_cmphex(kbd_command(0xa9), ==, 0x00);
    outb(0x64, 0x60);
    outb(0x60, 0x47);
    g_assert_cmphex(kbd_command(0x20), ==, 0x47);
    outb(0x64, 0xad);
    outb(0x64, 0xa7);
    g_assert_cmphex(kbd_command(0x20), ==, 0x77);
    outb(0x64, 0xae);
    outb(0x64, 0xa8);
    g_assert_cmphex(kbd_command(0x20), ==, 0x47);
    outb(0x64, 0x7f);
    outb(0x60, 0x99);
    g_assert_cmphex(kbd_command(0x3f), ==, 0x99);

    /* nobody is plugged in: a resend with the timeout bit */
    outb(0x60, 0xf2);
    g_assert_cmphex(inb(0x64) & 0x61, ==, 0x41);
    g_assert_true(rig.gsi[1]);
    g_assert_cmphex(inb(0x60), ==, 0xfe);
    g_assert_false(rig.gsi[1]);
    g_assert_cmphex(inb(0x64) & 0x61, ==, 0);
    outb(0x64, 0xd4);
    outb(0x60, 0xff);
    g_assert_cmphex(inb(0x64) & 0x61, ==, 0x61);
    g_assert_true(rig.gsi[12]);
    g_assert_cmphex(inb(0x60), ==, 0xfe);
    outb(0x64, 0xd3);
    outb(0x60, 0x5a);
    g_assert_cmphex(inb(0x64) & 0x61, ==, 0x21);
    g_assert_cmphex(inb(0x60), ==, 0x5a);
    g_assert_cmpuint(rig.resets, ==, 0);
}

static void test_i8042_reset_a20(void) MAIN_THREAD
{
    rig_clear();
    g_assert_cmphex(inb(0x92), ==, 0x02);
    outb(0x64, 0xdd);
    g_assert_cmphex(inb(0x92), ==, 0x00);
    g_assert_cmphex(kbd_command(0xd0), ==, 0x01);
    outb(0x92, 0x02);
    g_assert_cmphex(kbd_command(0xd0), ==, 0x03);
    outb(0x64, 0xd1);
    outb(0x60, 0xdf);
    g_assert_cmphex(kbd_command(0xd0), ==, 0xdf);
    outb(0x64, 0xff); /* pulses nothing */
    g_assert_cmpuint(rig.resets, ==, 0);
    outb(0x64, 0xfe);
    g_assert_cmpuint(rig.resets, ==, 1);
    outb(0x64, 0xd1);
    outb(0x60, 0x02);
    g_assert_cmpuint(rig.resets, ==, 2);
    outb(0x92, 0x03);
    g_assert_cmpuint(rig.resets, ==, 3);
    rig_machine_reset();
    g_assert_cmphex(kbd_command(0x20), ==, 0x05);
}

static void test_port_61(void) MAIN_THREAD
{
    outb(0x61, 0xff);
    g_assert_cmphex(inb(0x61) & ~0x10, ==, 0x0f);
    outb(0x61, 0);
    /* the refresh bit toggles every 15085 ns */
    uint8_t refresh = inb(0x61) & 0x10;
    g_assert_cmphex(inb(0x61), ==, refresh);
    for (unsigned i = 0; i < 4; i++) {
        step(15085);
        refresh ^= 0x10;
        g_assert_cmphex(inb(0x61), ==, refresh);
    }
}

/* ---- real-time clock ---- */

static uint8_t cmos_read(uint8_t reg) MAIN_THREAD
{
    outb(0x70, reg);
    return inb(0x71);
}

static void cmos_write(uint8_t reg, uint8_t value) MAIN_THREAD
{
    outb(0x70, reg);
    outb(0x71, value);
}

static unsigned bcd(uint8_t v)
{
    return (v >> 4) * 10u + (v & 15);
}

/* The clock as seconds, BCD and 24 hours. */
static time_t rtc_seconds(void) MAIN_THREAD
{
    struct tm tm;
    uint8_t before;
    do {
        before = cmos_read(0);
        tm = (struct tm){
            .tm_sec = (int)bcd(before),
            .tm_min = (int)bcd(cmos_read(2)),
            .tm_hour = (int)bcd(cmos_read(4)),
            .tm_mday = (int)bcd(cmos_read(7)),
            .tm_mon = (int)bcd(cmos_read(8)) - 1,
            .tm_year =
                (int)(bcd(cmos_read(0x32)) * 100 + bcd(cmos_read(9))) - 1900,
        };
    } while (cmos_read(0) != before);
    return timegm(&tm);
}

static void rtc_set(unsigned hour, unsigned min, unsigned sec) MAIN_THREAD
{
    cmos_write(11, 0x82);
    cmos_write(0, (uint8_t)(sec / 10 * 16 + sec % 10));
    cmos_write(2, (uint8_t)(min / 10 * 16 + min % 10));
    cmos_write(4, (uint8_t)(hour / 10 * 16 + hour % 10));
    cmos_write(11, 0x02);
}

#define RTC_BASE "2024-05-17T10:20:30"

static time_t seconds_at(int year, int month, int day, int hour, int min,
                         int sec)
{
    struct tm tm = { .tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = hour,
                     .tm_min = min,
                     .tm_sec = sec };
    return timegm(&tm);
}

/* 2031-12-31, a Wednesday, 23:59:58; the clock stands still meanwhile. */
static time_t rtc_set_new_years_eve(void) MAIN_THREAD
{
    static const uint8_t when[][2] = { { 0, 0x58 },   { 2, 0x59 }, { 4, 0x23 },
                                       { 7, 0x31 },   { 8, 0x12 }, { 9, 0x31 },
                                       { 0x32, 0x20 } };
    cmos_write(11, 0x82);
    for (size_t i = 0; i < ARRAY_SIZE(when); i++) {
        cmos_write(when[i][0], when[i][1]);
    }
    step(5 * NS_PER_S);
    for (size_t i = 0; i < ARRAY_SIZE(when); i++) {
        g_assert_cmphex(cmos_read(when[i][0]), ==, when[i][1]);
    }
    cmos_write(11, 0x02);
    return seconds_at(2031, 12, 31, 23, 59, 58);
}

static void test_rtc_time(void) MAIN_THREAD
{
    time_t start = seconds_at(2024, 5, 17, 10, 20, 30);
    g_assert_cmpint(rtc_seconds(), ==, start + vm_clock_ns() / NS_PER_S);
    step(100 * NS_PER_S);
    g_assert_cmpint(rtc_seconds(), ==, start + vm_clock_ns() / NS_PER_S);
    g_assert_cmphex(cmos_read(13), ==, 0x80);
    g_assert_cmphex(cmos_read(10) & 0x7f, ==, 0x26);
    g_assert_cmphex(inb(0x70), ==, 0xff);

    time_t expected = rtc_set_new_years_eve();
    g_assert_cmpint(rtc_seconds(), ==, expected);
    g_assert_cmphex(cmos_read(6), ==, 4);
    step(NS_PER_S);
    rig_machine_reset(); /* keeps the time */
    g_assert_cmpint(rtc_seconds(), ==, expected + 1);
    step(NS_PER_S);
    g_assert_cmpint(rtc_seconds(), ==, seconds_at(2032, 1, 1, 0, 0, 0));
    g_assert_cmphex(cmos_read(6), ==, 5);
}

/* The same hour in 12 and 24 hours, BCD and binary. */
static void test_rtc_formats(void) MAIN_THREAD
{
    rtc_set(23, 59, 0);
    cmos_write(11, 0x00);
    g_assert_cmphex(cmos_read(4), ==, 0x91);
    cmos_write(11, 0x06);
    g_assert_cmphex(cmos_read(4), ==, 23);
    g_assert_cmphex(cmos_read(2), ==, 59);
    cmos_write(11, 0x02);
    rtc_set(0, 5, 0);
    cmos_write(11, 0x00);
    g_assert_cmphex(cmos_read(4), ==, 0x12);
    cmos_write(4, 0x92); /* while it runs: noon */
    cmos_write(11, 0x02);
    g_assert_cmphex(cmos_read(4), ==, 0x12);
}

static void test_rtc_cmos(void) MAIN_THREAD
{
    static const struct {
        uint8_t reg, value;
    } rows[] = {
        { 0x15, 0x80 }, { 0x16, 0x02 },                 /* 640 KiB */
        { 0x17, 0xff }, { 0x18, 0xff },                 /* 64 MiB or more */
        { 0x30, 0xff }, { 0x31, 0xff }, { 0x34, 0x00 }, /* 3 GiB - 16 MiB */
        { 0x35, 0xbf }, { 0x5b, 0x00 }, { 0x5c, 0x40 }, /* 1 GiB */
        { 0x5d, 0x00 }, { 0x5f, 0x03 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_assert_cmphex(cmos_read(rows[i].reg), ==, rows[i].value);
    }
    cmos_write(0x0f, 0xaa);
    cmos_write(0xff, 0x77); /* the NMI mask bit is not part of the index */
    rig_machine_reset();
    g_assert_cmphex(cmos_read(0x0f), ==, 0xaa);
    g_assert_cmphex(cmos_read(0x7f), ==, 0x77);
    cmos_write(12, 0xff);
    cmos_write(13, 0x00);
    g_assert_cmphex(cmos_read(13), ==, 0x80);
}

#define PERIOD_NS 976563 /* 1/1024 s, rounded up */

static void test_rtc_periodic(void) MAIN_THREAD
{
    rig_clear();
    cmos_write(10, 0x26);
    step_to_whole_second();
    cmos_read(12);
    step(3 * PERIOD_NS);
    g_assert_cmphex(cmos_read(12) & 0xc0, ==, 0x40); /* polled */
    cmos_write(11, 0x42);
    step_to_whole_second();
    cmos_read(12);
    step(PERIOD_NS - 1);
    g_assert_false(rig.gsi[8]);
    step(1);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_true(rig.gsi[8]);
        g_assert_cmphex(cmos_read(12) & 0xc0, ==, 0xc0);
        g_assert_false(rig.gsi[8]);
        step(PERIOD_NS);
    }
    /* not served: not repeated */
    unsigned rises = rig.gsi_rises[8];
    step(NS_PER_S);
    g_assert_true(rig.gsi[8]);
    g_assert_cmpuint(rig.gsi_rises[8], ==, rises);
    cmos_write(10, 0x20); /* no rate */
    cmos_read(12);
    step(NS_PER_S);
    g_assert_false(rig.gsi[8]);
    cmos_write(10, 0x26);
    cmos_write(11, 0x02);
    cmos_read(12);
}

/* The update comes half a second after the divider is let go, and register A
 * tells it 244 us ahead. */
static void test_rtc_divider(void) MAIN_THREAD
{
    step_to_whole_second();
    cmos_write(10, 0x66);
    rtc_set(10, 0, 20);
    step(5 * NS_PER_S);
    g_assert_cmphex(cmos_read(0), ==, 0x20);
    cmos_write(10, 0x26);
    step(NS_PER_S / 2 - 245000);
    g_assert_cmphex(cmos_read(10), ==, 0x26);
    step(244000);
    g_assert_cmphex(cmos_read(10), ==, 0xa6);
    g_assert_cmphex(cmos_read(0), ==, 0x20);
    step(1000);
    g_assert_cmphex(cmos_read(10), ==, 0x26);
    g_assert_cmphex(cmos_read(0), ==, 0x21);
}

/* One second to midnight; an alarm at minute 0, second 0 of any hour. */
static void rtc_set_alarm(void) MAIN_THREAD
{
    cmos_write(10, 0x66);
    rtc_set(23, 59, 59);
    cmos_write(1, 0x00);
    cmos_write(3, 0x00);
    cmos_write(5, 0xc0);
    cmos_write(11, 0x22);
    cmos_write(10, 0x26);
    cmos_read(12);
}

static void test_rtc_alarm(void) MAIN_THREAD
{
    rig_clear();
    step_to_whole_second();
    rtc_set_alarm();
    step(NS_PER_S / 2 - 1);
    g_assert_false(rig.gsi[8]);
    step(1);
    g_assert_true(rig.gsi[8]);
    g_assert_cmphex(cmos_read(12) & 0xb0, ==, 0xb0);
    g_assert_cmphex(cmos_read(4), ==, 0x00);
    step(3600 * NS_PER_S - 1);
    g_assert_false(rig.gsi[8]);
    step(1);
    g_assert_true(rig.gsi[8]);
    cmos_read(12);

    cmos_write(11, 0x12); /* update ended */
    step(NS_PER_S - 1);
    g_assert_false(rig.gsi[8]);
    step(1);
    g_assert_true(rig.gsi[8]);
    g_assert_cmphex(cmos_read(12) & 0x90, ==, 0x90);

    cmos_write(5, 0x99); /* an hour that never comes */
    cmos_write(11, 0x22);
    step(3 * 86400 * NS_PER_S);
    g_assert_false(rig.gsi[8]);
    cmos_write(11, 0x02);
    cmos_read(12);
}

static void test_rtc_hostile(void) MAIN_THREAD
{
    GRand *rand = g_rand_new_with_seed(3);
    for (unsigned i = 0; i < 20000; i++) {
        cmos_write((uint8_t)g_rand_int_range(rand, 0, 0x40),
                   (uint8_t)g_rand_int(rand));
        cmos_read((uint8_t)g_rand_int(rand));
        if (i % 50 == 0) {
            step(g_rand_int_range(rand, 0, 20000000));
        }
    }
    g_rand_free(rand);
    cmos_write(10, 0x26);
    cmos_write(11, 0x02);
    cmos_read(12);
    g_assert_false(rig.gsi[8]);
}

/* Another clock in its place, in a machine with 8 MiB and one vCPU. */
static void replace_rtc(const char *base, const char *clock) MAIN_THREAD
{
    g_assert_true(rtc_configure(base, clock, NULL));
    BusState *isa = bus_find(NULL, TYPE_ISA_BUS);
    for (guint i = 0; i < isa->devices->len; i++) {
        Object *obj = g_ptr_array_index(isa->devices, i);
        if (object_is(obj, TYPE_RTC)) {
            drop(DEVICE(obj));
            break;
        }
    }
    g_assert_true(rtc_init(8 * MiB, 0, 1, NULL));
}

static void test_rtc_options(void) MAIN_THREAD
{
    static const struct {
        const char *base, *clock, *why;
    } bad[] = {
        { "mars", NULL, "base=mars" },
        { "2024-13-01", NULL, "base=2024-13-01" },
        { "2023-02-29", NULL, "base=2023-02-29" },
        { "2024-01-01T25:00:00", NULL, "base=" },
        { "2024-01-01x", NULL, "base=" },
        { NULL, "moon", "clock=moon" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Error *err = NULL;
        g_assert_false(rtc_configure(bad[i].base, bad[i].clock, &err));
        g_assert_nonnull(strstr(err->message, bad[i].why));
        g_error_free(err);
    }
    g_assert_true(rtc_configure("localtime", NULL, NULL));
    replace_rtc("2024-02-29T12:30:15", "vm");
    g_assert_cmpint(rtc_seconds(), ==, seconds_at(2024, 2, 29, 12, 30, 15));
    g_assert_cmphex(cmos_read(0x18), ==, 0x1c);
    g_assert_cmphex(cmos_read(0x34), ==, 0);
}

/* Lets the main loop run until interrupt 8 is high. */
static void wait_rtc_irq(void) MAIN_THREAD
{
    int64_t end = clock_now_ns() + 60 * NS_PER_S;
    while (!rig.gsi[8]) {
        g_assert_cmpint(clock_now_ns(), <, end);
        event_loop_turn(main_loop(), NS_PER_S);
    }
}

/*
 * On the host's clocks. The machine that runs the test may stall anywhere, so
 * the time is between what it was before and after, and what takes a while
 * takes no less.
 */
static void test_rtc_host_clocks(void) MAIN_THREAD
{
    replace_rtc("2024-02-29T12:30:15", "rt");
    time_t base = seconds_at(2024, 2, 29, 12, 30, 15);
    g_assert_cmpint(rtc_seconds(), >=, base);

    replace_rtc(NULL, NULL);
    int64_t before = g_get_real_time() / 1000000;
    int64_t now = rtc_seconds();
    g_assert_cmpint(now, >=, before);
    g_assert_cmpint(now, <=, g_get_real_time() / 1000000);

    rig_clear();
    cmos_write(11, 0x42);
    for (unsigned i = 0; i < 3; i++) {
        wait_rtc_irq();
        g_assert_cmphex(cmos_read(12) & 0xc0, ==, 0xc0);
    }
    int64_t start = clock_now_ns();
    rtc_set_alarm();
    cmos_write(11, 0x22);
    wait_rtc_irq();
    g_assert_cmpint(clock_now_ns() - start, >=, 450000000);
    g_assert_cmphex(cmos_read(12) & 0xb0, ==, 0xb0);
    cmos_write(11, 0x02);
}

/* ---- power management ---- */

#define PM1_STS (PC_PM_BASE + PIIX4_PM_EVT)
#define PM1_EN  (PM1_STS + 2)
#define PM1_CNT (PC_PM_BASE + PIIX4_PM_CNT)
#define PM_TMR  (PC_PM_BASE + PIIX4_PM_TMR)

#define PM_TIMER_HZ 3579545

static void test_pm_button(void) MAIN_THREAD
{
    rig_machine_reset();
    rig_clear();
    outw(PM1_EN, 0xffff);
    g_assert_cmphex(inw(PM1_EN), ==, 0x0521);
    outw(PM1_EN, 0x0100);
    rig_power_button();
    g_assert_cmphex(inw(PM1_STS) & 0x0100, !=, 0);
    g_assert_false(rig.gsi[PC_SCI_GSI]); /* ACPI mode is off */
    outb(PIIX4_SMI_CMD, PIIX4_ACPI_ENABLE);
    g_assert_cmphex(inw(PM1_CNT), ==, 1);
    g_assert_true(rig.gsi[PC_SCI_GSI]);
    outb(PM1_STS + 1, 0x01); /* byte access, write one to clear */
    g_assert_false(rig.gsi[PC_SCI_GSI]);
    g_assert_cmphex(inw(PM1_STS) & 0x0100, ==, 0);
    rig_power_button();
    g_assert_true(rig.gsi[PC_SCI_GSI]);
    outb(PIIX4_SMI_CMD, PIIX4_ACPI_DISABLE);
    g_assert_false(rig.gsi[PC_SCI_GSI]);
    g_assert_cmphex(inl(PM1_STS) >> 16, ==, 0x0100);
    rig_machine_reset();
    g_assert_cmphex(inw(PM1_STS) & 0x0100, ==, 0);
    g_assert_cmphex(inw(PM1_EN), ==, 0);
}

static void test_pm_sleep(void) MAIN_THREAD
{
    rig_clear();
    outw(PM1_CNT, 0x2000 | 1 << 10); /* no such state */
    outw(PM1_CNT, 5 << 10);          /* a type without SLP_EN */
    g_assert_cmpuint(rig.shutdowns, ==, 0);
    g_assert_cmphex(inw(PM1_CNT), ==, 5 << 10);
    outw(PM1_CNT, 0x2000 | PIIX4_SLP_TYP_S5 << 10);
    g_assert_cmpuint(rig.shutdowns, ==, 1);
    outb(PM1_CNT + 1, 0x20); /* by bytes */
    g_assert_cmpuint(rig.shutdowns, ==, 2);
    outw(PM1_CNT, 0);
}

static void test_pm_timer(void) MAIN_THREAD
{
    uint32_t a = inl(PM_TMR);
    g_assert_cmphex(a >> 24, ==, 0);
    step(NS_PER_S);
    uint32_t ticks = (inl(PM_TMR) - a) & 0xffffff;
    g_assert_cmpuint(ticks, ==, PM_TIMER_HZ);

    /* its top bit changes every 2.34 s */
    rig_clear();
    outb(PIIX4_SMI_CMD, PIIX4_ACPI_ENABLE);
    outw(PM1_STS, 1);
    outw(PM1_EN, 1);
    uint32_t left = 0x800000 - (inl(PM_TMR) & 0x7fffff);
    step((left - 1) * NS_PER_S / PM_TIMER_HZ);
    g_assert_false(rig.gsi[PC_SCI_GSI]);
    step(2 * NS_PER_S / PM_TIMER_HZ);
    g_assert_true(rig.gsi[PC_SCI_GSI]);
    g_assert_cmphex(inl(PM_TMR) & 0x7fffff, <=, 2);
    outw(PM1_STS, 1);
    g_assert_false(rig.gsi[PC_SCI_GSI]);
    outw(PM1_EN, 0);
}

static void test_pm_gpe(void) MAIN_THREAD
{
    g_assert_cmphex(inl(PC_ACPI_GPE_BASE), ==, 0);
    outw(PC_ACPI_GPE_BASE + 2, 0xa55a);
    g_assert_cmphex(inl(PC_ACPI_GPE_BASE), ==, 0xa55a0000);
    outb(PC_ACPI_GPE_BASE + 3, 0);
    outw(PC_ACPI_GPE_BASE, 0xffff);
    g_assert_cmphex(inl(PC_ACPI_GPE_BASE), ==, 0x005a0000);
    rig_machine_reset();
    g_assert_cmphex(inl(PC_ACPI_GPE_BASE), ==, 0);
    outb(PIIX4_SMI_CMD + 1, 0x42);
    g_assert_cmphex(inb(PIIX4_SMI_CMD + 1), ==, 0x42);
}

static void test_elcr(void) MAIN_THREAD
{
    g_assert_cmphex(inw(0x4d0), ==, 0x0e00); /* 9, 10, 11: level */
    outw(0x4d0, 0xffff);
    g_assert_cmphex(inw(0x4d0), ==, 0xdef8);
    rig_machine_reset();
    g_assert_cmphex(inw(0x4d0), ==, 0x0e00);
}

static void test_pm_hostile(void) MAIN_THREAD
{
    GRand *rand = g_rand_new_with_seed(4);
    for (unsigned i = 0; i < 20000; i++) {
        static const uint16_t base[] = { PC_PM_BASE,    PC_ACPI_GPE_BASE,
                                         PIIX4_SMI_CMD, 0x60,
                                         0x64,          0x92 };
        uint16_t port = base[g_rand_int_range(rand, 0, ARRAY_SIZE(base))];
        port +=
            port == PC_PM_BASE ? (uint16_t)g_rand_int_range(rand, 0, 64) : 0;
        unsigned size = 1u << g_rand_int_range(rand, 0, 3);
        io_write(IO_SPACE_PORT, port, g_rand_int(rand), size);
        io_read(IO_SPACE_PORT, port, size);
    }
    g_rand_free(rand);
    rig_machine_reset();
    g_assert_false(rig.gsi[PC_SCI_GSI]);
}

/* ---- isa-debug-exit ---- */

static void test_debug_exit(void) MAIN_THREAD
{
    rig_clear();
    BusState *isa = bus_find(NULL, TYPE_ISA_BUS);
    DeviceState *dev = device_new_builtin("isa-debug-exit", isa, NULL);
    g_assert_cmphex(inb(0x501), ==, 0);
    g_assert_cmpint(rig.exit_status, ==, -1);
    outb(0x501, 0x10);
    g_assert_cmpint(rig.exit_status, ==, 0x21);
    outw(0x501, 0x1234);
    g_assert_cmpint(rig.exit_status, ==, 0x2469);
    drop(dev);

    static const char *const bad[][2] = { { "iobase", "0xffff" },
                                          { "iosize", "0" },
                                          { "iosize", "9" },
                                          { "iobase", "0xffffffff" } };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Object *obj = object_new("isa-debug-exit");
        Error *err = NULL;
        g_assert_true(object_property_parse(obj, bad[i][0], bad[i][1], NULL));
        g_assert_false(device_realize(DEVICE(obj), isa, &err));
        g_assert_nonnull(strstr(err->message, "below 0x10000"));
        g_error_free(err);
        object_unref(obj);
    }
}

int main(int argc, char **argv) NO_THREAD_SAFETY
{
    g_test_init(&argc, &argv, NULL);
    rig_init();
    i440fx_init();
    vm_clock_init();
    vm_clock_set_manual();
    vm_clock_run_state(NULL, true, RUN_STATE_RUNNING);
    g_assert_true(rtc_configure(RTC_BASE, "vm", NULL));
    g_assert_true(rtc_init(3 * GiB, 1 * GiB, 4, NULL));
    g_assert_true(i8042_init(NULL));

    g_test_add_func("/isa/serial/options", test_serial_options);
    g_test_add_func("/isa/serial/registers", test_serial_registers);
    g_test_add_func("/isa/serial/transmit", test_serial_transmit);
    g_test_add_func("/isa/serial/back-pressure", test_serial_back_pressure);
    g_test_add_func("/isa/serial/receive", test_serial_receive);
    g_test_add_func("/isa/serial/break", test_serial_break);
    g_test_add_func("/isa/serial/loopback", test_serial_loopback);
    g_test_add_func("/isa/serial/shared-irq", test_serial_shared_irq);
    g_test_add_func("/isa/serial/hostile", test_serial_hostile);
    g_test_add_func("/isa/i8042/commands", test_i8042);
    g_test_add_func("/isa/i8042/reset-a20", test_i8042_reset_a20);
    g_test_add_func("/isa/i8042/port-61", test_port_61);
    g_test_add_func("/isa/rtc/time", test_rtc_time);
    g_test_add_func("/isa/rtc/formats", test_rtc_formats);
    g_test_add_func("/isa/rtc/cmos", test_rtc_cmos);
    g_test_add_func("/isa/rtc/periodic", test_rtc_periodic);
    g_test_add_func("/isa/rtc/divider", test_rtc_divider);
    g_test_add_func("/isa/rtc/alarm", test_rtc_alarm);
    g_test_add_func("/isa/rtc/hostile", test_rtc_hostile);
    g_test_add_func("/isa/rtc/options", test_rtc_options);
    g_test_add_func("/isa/rtc/host-clocks", test_rtc_host_clocks);
    g_test_add_func("/isa/pm/button", test_pm_button);
    g_test_add_func("/isa/pm/sleep", test_pm_sleep);
    g_test_add_func("/isa/pm/timer", test_pm_timer);
    g_test_add_func("/isa/pm/gpe", test_pm_gpe);
    g_test_add_func("/isa/pm/elcr", test_elcr);
    g_test_add_func("/isa/pm/hostile", test_pm_hostile);
    g_test_add_func("/isa/debug-exit", test_debug_exit);
    return g_test_run();
}
