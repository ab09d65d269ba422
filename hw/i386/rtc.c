/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818A real-time clock with 128 bytes of CMOS memory.
 *
 * No timer counts seconds: the time registers are computed when they are
 * read, and the event flags of register C from what has passed since it was
 * read last. A timer runs only up to the next event that is to interrupt and
 * whose flag is not set yet, so a guest that does not serve its interrupts
 * gets no more of them.
 */
#include "util/osdep.h"

#include <time.h>

#include "hw/i386/rtc.h"
#include "qapi/qapi-events.h"
#include "system/main-loop.h"
#include "system/memory.h"
#include "system/vm-clock.h"

#define RTC_PORT  0x70
#define RTC_IRQ   8
#define CMOS_SIZE 128

#define US_PER_S  1000000
#define NS_PER_US 1000
#define NS_PER_S  1000000000

enum {
    REG_SECONDS,
    REG_SECONDS_ALARM,
    REG_MINUTES,
    REG_MINUTES_ALARM,
    REG_HOURS,
    REG_HOURS_ALARM,
    REG_WEEKDAY, /* 1 is Sunday */
    REG_DAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    REG_EQUIPMENT = 0x14,
    REG_BASE_LOW = 0x15, /* KiB below 640 KiB, two bytes */
    REG_EXT_LOW = 0x17,  /* KiB from 1 MiB, at most 65535 */
    REG_EXT2_LOW = 0x30, /* the same again */
    REG_CENTURY = 0x32,
    REG_16M_LOW = 0x34, /* 64 KiB units from 16 MiB up to 4 GiB */
    REG_4G_LOW = 0x5b,  /* 64 KiB units from 4 GiB, three bytes */
    REG_CPUS = 0x5f,    /* number of vCPUs less one */
};

#define A_UIP       0x80
#define A_DV_MASK   0x60 /* both set: the divider is held in reset */
#define A_RATE_MASK 0x0f
#define A_DEFAULT   0x26 /* 32768 Hz crystal, 1024 Hz periodic rate */
#define B_SET       0x80
#define B_DM        0x04 /* binary, not BCD */
#define B_24H       0x02
#define C_IRQF      0x80
#define C_PF        0x40 /* and the enable bits at the same place in B */
#define C_AF        0x20
#define C_UF        0x10
#define C_EVENTS    (C_PF | C_AF | C_UF)
#define D_VRT       0x80
#define EQUIPMENT   0x06 /* FPU, pointing device port; no diskettes */

#define HOURS_PM     0x80
#define ALARM_ANY    0xc0              /* both bits set: matches any value */
#define UIP_US       244               /* from UIP to the update */
#define MAX_SLEEP_US (60LL * US_PER_S) /* the host's clock may be set */
#define NO_EVENT     INT64_MAX

/* `-rtc clock=` */
typedef enum RtcClock {
    RTC_CLOCK_HOST, /* the host's wall clock */
    RTC_CLOCK_RT,   /* the host's, not following when it is set */
    RTC_CLOCK_VM,   /* the time that the machine has run */
} RtcClock;

static const char *const clock_names[] = { "host", "rt", "vm", NULL };

typedef struct Rtc {
    ISADevice isa;
    IoRegion ports;
    /* fixed after realize */
    RtcClock clock;
    int64_t start_offset_us; /* offset_us as `-rtc base=` has it */
    /* main thread */
    uint8_t index;
    uint8_t cmos[CMOS_SIZE]; /* time registers: only while stopped */
    int64_t offset_us;       /* guest's clock minus clock_us() */
    bool divider_was_reset;  /* since the clock was stopped */
    uint8_t flags;           /* of register C, without IRQF */
    int64_t seen_second;     /* flags tell what happened up to here */
    uint64_t seen_ticks;
    LoopTimer timer;  /* of the host's clocks */
    VmTimer vm_timer; /* of the machine's */
} Rtc;

/* `-rtc`: set once by main(). */
static struct {
    RtcClock clock;
    bool localtime, has_date;
    int64_t date_s;
} rtc_config;

/* ---- the clock ---- */

/* What timers and periods run on. */
static int64_t timer_ns(const Rtc *s) MAIN_THREAD
{
    return s->clock == RTC_CLOCK_VM ? vm_clock_ns() : clock_now_ns();
}

static int64_t clock_us(const Rtc *s) MAIN_THREAD
{
    return s->clock == RTC_CLOCK_HOST ? g_get_real_time()
                                      : timer_ns(s) / NS_PER_US;
}

static int64_t guest_us(const Rtc *s) MAIN_THREAD
{
    return clock_us(s) + s->offset_us;
}

/* Seconds and the microseconds of the current one; time may be negative. */
static int64_t split_seconds(int64_t us, int64_t *rest)
{
    int64_t sec = us / US_PER_S - (us % US_PER_S < 0);
    *rest = us - sec * US_PER_S;
    return sec;
}

static int64_t guest_second(const Rtc *s) MAIN_THREAD
{
    int64_t rest;
    return split_seconds(guest_us(s), &rest);
}

static bool stopped(const Rtc *s)
{
    return (s->cmos[REG_B] & B_SET) ||
           (s->cmos[REG_A] & A_DV_MASK) == A_DV_MASK;
}

static uint8_t encode(const Rtc *s, unsigned value)
{
    if (s->cmos[REG_B] & B_DM) {
        return (uint8_t)value;
    }
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static unsigned decode(const Rtc *s, uint8_t reg)
{
    return s->cmos[REG_B] & B_DM ? reg : (reg >> 4) * 10u + (reg & 0xf);
}

static uint8_t encode_hours(const Rtc *s, unsigned hours)
{
    if (s->cmos[REG_B] & B_24H) {
        return encode(s, hours);
    }
    return encode(s, hours % 12 ? hours % 12 : 12) |
           (hours >= 12 ? HOURS_PM : 0);
}

static unsigned decode_hours(const Rtc *s, uint8_t reg)
{
    if (s->cmos[REG_B] & B_24H) {
        return decode(s, reg);
    }
    return decode(s, reg & ~HOURS_PM) % 12 + (reg & HOURS_PM ? 12 : 0);
}

static void time_to_registers(Rtc *s) MAIN_THREAD
{
    time_t now = guest_second(s);
    struct tm tm = { 0 };
    gmtime_r(&now, &tm);
    unsigned year = (unsigned)(tm.tm_year + 1900) % 10000;
    s->cmos[REG_SECONDS] = encode(s, (unsigned)tm.tm_sec);
    s->cmos[REG_MINUTES] = encode(s, (unsigned)tm.tm_min);
    s->cmos[REG_HOURS] = encode_hours(s, (unsigned)tm.tm_hour);
    s->cmos[REG_WEEKDAY] = encode(s, (unsigned)tm.tm_wday + 1);
    s->cmos[REG_DAY] = encode(s, (unsigned)tm.tm_mday);
    s->cmos[REG_MONTH] = encode(s, (unsigned)tm.tm_mon + 1);
    s->cmos[REG_YEAR] = encode(s, year % 100);
    s->cmos[REG_CENTURY] = encode(s, year / 100);
}

/* Tells clients that the guest has set the clock. */
static void tell_change(const Rtc *s) MAIN_THREAD
{
    g_autofree char *path = object_path(&s->isa.dev.obj);
    int64_t rest;
    q_obj_RTC_CHANGE_arg change = {
        .offset = split_seconds(
            s->offset_us - s->start_offset_us + US_PER_S / 2, &rest),
        .qom_path = path ? path : (char *)"",
    };

    qapi_event_send_rtc_change(&change);
}

/*
 * The clock goes on from what the registers say. Values out of range carry
 * over into the next field, as timegm(3) does it. The update comes half a
 * second after the divider was let go; otherwise it keeps its place.
 */
static void registers_to_time(Rtc *s) MAIN_THREAD
{
    struct tm tm = {
        .tm_sec = (int)decode(s, s->cmos[REG_SECONDS]),
        .tm_min = (int)decode(s, s->cmos[REG_MINUTES]),
        .tm_hour = (int)decode_hours(s, s->cmos[REG_HOURS]),
        .tm_mday = (int)decode(s, s->cmos[REG_DAY]),
        .tm_mon = (int)decode(s, s->cmos[REG_MONTH]) - 1,
        .tm_year = (int)(decode(s, s->cmos[REG_CENTURY]) * 100 +
                         decode(s, s->cmos[REG_YEAR])) -
                   1900,
    };
    int64_t rest;
    split_seconds(guest_us(s), &rest);
    if (s->divider_was_reset) {
        rest = US_PER_S / 2;
    }
    int64_t second = timegm(&tm);
    s->offset_us = second * US_PER_S + rest - clock_us(s);
    s->seen_second = second;
    s->divider_was_reset = false;
    tell_change(s);
}

/* ---- events ---- */

/* Periodic rate, Hz; 0: none. */
static unsigned periodic_hz(const Rtc *s)
{
    unsigned rate = s->cmos[REG_A] & A_RATE_MASK;
    if (rate == 0) {
        return 0;
    }
    return 32768u >> ((rate <= 2 ? rate + 7 : rate) - 1);
}

/* Periods of the rate that have passed. */
static uint64_t periodic_ticks(const Rtc *s) MAIN_THREAD
{
    uint64_t ns = (uint64_t)timer_ns(s);
    uint64_t hz = periodic_hz(s);
    return ns / NS_PER_S * hz + ns % NS_PER_S * hz / NS_PER_S;
}

static bool alarm_matches(const Rtc *s, unsigned reg, unsigned value)
{
    uint8_t alarm = s->cmos[reg];
    if ((alarm & ALARM_ANY) == ALARM_ANY) {
        return true;
    }
    return value ==
           (reg == REG_HOURS_ALARM ? decode_hours(s, alarm) : decode(s, alarm));
}

/* The first second of the hour that begins at @hour, after @after, at which
 * the alarm goes off; NO_EVENT: none. */
static int64_t alarm_in_hour(const Rtc *s, int64_t hour, int64_t after)
{
    for (unsigned m = 0; m < 60; m++) {
        int64_t minute = hour + m * 60;
        if (minute + 59 <= after || !alarm_matches(s, REG_MINUTES_ALARM, m)) {
            continue;
        }
        for (unsigned sec = 0; sec < 60; sec++) {
            if (minute + sec > after &&
                alarm_matches(s, REG_SECONDS_ALARM, sec)) {
                return minute + sec;
            }
        }
    }
    return NO_EVENT;
}

/* The first second after @after at which the alarm goes off, or NO_EVENT. */
static int64_t next_alarm(const Rtc *s, int64_t after)
{
    int64_t since_midnight = after % 86400;
    if (since_midnight < 0) {
        since_midnight += 86400;
    }
    int64_t midnight = after - since_midnight;
    for (unsigned h = 0; h < 48; h++) {
        int64_t hour = midnight + h * 3600;
        if (hour + 3599 <= after ||
            !alarm_matches(s, REG_HOURS_ALARM, h % 24)) {
            continue;
        }
        int64_t found = alarm_in_hour(s, hour, after);
        if (found != NO_EVENT) {
            return found;
        }
    }
    return NO_EVENT;
}

/* Sets the flags for what has happened since the last call. */
static void take_events(Rtc *s) MAIN_THREAD
{
    uint64_t ticks = periodic_ticks(s);
    if (ticks != s->seen_ticks) {
        s->seen_ticks = ticks;
        s->flags |= C_PF;
    }
    int64_t second = guest_second(s);
    if (stopped(s) || second == s->seen_second) {
        return;
    }
    s->flags |= C_UF;
    if (second > s->seen_second && next_alarm(s, s->seen_second) <= second) {
        s->flags |= C_AF;
    }
    s->seen_second = second;
}

/* timer_ns() at which the clock shows @second; NO_EVENT when the timer's clock
 * ends before. */
static int64_t second_deadline(const Rtc *s, int64_t second) MAIN_THREAD
{
    int64_t now = timer_ns(s);
    int64_t wait = second - guest_second(s);
    int64_t us = s->clock == RTC_CLOCK_HOST && wait > MAX_SLEEP_US / US_PER_S
                     ? MAX_SLEEP_US
                     : second * US_PER_S - guest_us(s);
    return us < (INT64_MAX - now) / NS_PER_US ? now + MAX(us, 0) * NS_PER_US
                                              : NO_EVENT;
}

static int64_t next_deadline(const Rtc *s) MAIN_THREAD
{
    uint8_t wanted = s->cmos[REG_B] & C_EVENTS & ~s->flags;
    int64_t deadline = NO_EVENT;
    unsigned hz = periodic_hz(s);
    if ((wanted & C_PF) && hz) {
        uint64_t next = s->seen_ticks + 1;
        uint64_t ns =
            next / hz * NS_PER_S + (next % hz * NS_PER_S + hz - 1) / hz;
        deadline = (int64_t)MIN(ns, (uint64_t)NO_EVENT);
    }
    if (stopped(s)) {
        return deadline;
    }
    if (wanted & C_UF) {
        deadline = MIN(deadline, second_deadline(s, s->seen_second + 1));
    }
    if (wanted & C_AF) {
        int64_t second = next_alarm(s, s->seen_second);
        if (second != NO_EVENT) {
            deadline = MIN(deadline, second_deadline(s, second));
        }
    }
    return deadline;
}

static void rtc_update(Rtc *s) MAIN_THREAD
{
    take_events(s);
    isa_set_irq(RTC_IRQ, s->flags & s->cmos[REG_B] & C_EVENTS);
    int64_t deadline = next_deadline(s);
    if (deadline == NO_EVENT) {
        loop_timer_cancel(&s->timer);
        vm_timer_cancel(&s->vm_timer);
    } else if (s->clock == RTC_CLOCK_VM) {
        vm_timer_arm(&s->vm_timer, deadline);
    } else {
        loop_timer_arm(&s->timer, deadline);
    }
}

static void rtc_timer_fired(void *opaque) MAIN_THREAD
{
    rtc_update(opaque);
}

/* ---- registers ---- */

static bool is_time_register(uint8_t reg)
{
    switch (reg) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        return true;
    default:
        return false;
    }
}

static uint8_t read_register_c(Rtc *s) MAIN_THREAD
{
    take_events(s);
    uint8_t value = s->flags;
    if (value & s->cmos[REG_B] & C_EVENTS) {
        value |= C_IRQF;
    }
    s->flags = 0;
    rtc_update(s);
    return value;
}

static uint8_t rtc_read_register(Rtc *s, uint8_t reg) MAIN_THREAD
{
    if (is_time_register(reg) && !stopped(s)) {
        time_to_registers(s);
    }
    if (reg == REG_C) {
        return read_register_c(s);
    }
    if (reg == REG_A && !stopped(s)) {
        int64_t rest;
        split_seconds(guest_us(s), &rest);
        return s->cmos[REG_A] | (rest >= US_PER_S - UIP_US ? A_UIP : 0);
    }
    return s->cmos[reg];
}

/* Register A or B: may stop the clock or let it go on. */
static void write_control(Rtc *s, uint8_t reg, uint8_t value) MAIN_THREAD
{
    bool was_stopped = stopped(s);
    if (!was_stopped) {
        time_to_registers(s);
    }
    s->cmos[reg] = value;
    if ((s->cmos[REG_A] & A_DV_MASK) == A_DV_MASK) {
        s->divider_was_reset = true;
    }
    if (was_stopped && !stopped(s)) {
        registers_to_time(s);
    }
    s->seen_ticks = periodic_ticks(s);
}

static void rtc_write_register(Rtc *s, uint8_t reg, uint8_t value) MAIN_THREAD
{
    take_events(s);
    if (is_time_register(reg)) {
        if (!stopped(s)) {
            time_to_registers(s);
        }
        s->cmos[reg] = value;
        if (!stopped(s)) {
            registers_to_time(s);
        }
    } else if (reg == REG_A) {
        write_control(s, reg, value & ~A_UIP);
    } else if (reg == REG_B) {
        write_control(s, reg, value);
    } else if (reg != REG_C && reg != REG_D) {
        s->cmos[reg] = value;
    }
    rtc_update(s);
}

static uint64_t rtc_port_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    Rtc *s = opaque;
    return offset == 0 ? 0xff : rtc_read_register(s, s->index);
}

static void rtc_port_write(void *opaque, uint64_t offset, uint64_t value,
                           unsigned size) MAIN_THREAD
{
    Rtc *s = opaque;
    if (offset == 0) {
        s->index = value % CMOS_SIZE; /* bit 7 masks the NMI, there is none */
    } else {
        rtc_write_register(s, s->index, (uint8_t)value);
    }
}

static const IoRegionOps rtc_ops = {
    .read = rtc_port_read,
    .write = rtc_port_write,
    .max_size = 1,
};

/* ---- life ---- */

static void put_bytes(Rtc *s, unsigned reg, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        s->cmos[reg + i] = (uint8_t)(value >> (8 * i));
    }
}

static void fill_cmos(Rtc *s, uint64_t below_4g, uint64_t above_4g,
                      unsigned cpus)
{
    uint64_t ext = below_4g > MiB ? (below_4g - MiB) / KiB : 0;
    uint64_t from_16m = below_4g > 16 * MiB ? (below_4g - 16 * MiB) : 0;
    uint64_t from_4g = MIN(above_4g / (64 * KiB), 0xffffff);
    s->cmos[REG_EQUIPMENT] = EQUIPMENT;
    put_bytes(s, REG_BASE_LOW, 640, 2);
    put_bytes(s, REG_EXT_LOW, MIN(ext, UINT16_MAX), 2);
    put_bytes(s, REG_EXT2_LOW, MIN(ext, UINT16_MAX), 2);
    put_bytes(s, REG_16M_LOW, MIN(from_16m / (64 * KiB), UINT16_MAX), 2);
    put_bytes(s, REG_4G_LOW, from_4g, 3);
    s->cmos[REG_CPUS] = (uint8_t)(cpus - 1);
}

static int64_t initial_offset_us(const Rtc *s) MAIN_THREAD
{
    int64_t real_us = g_get_real_time();
    int64_t start_us = real_us;
    if (rtc_config.has_date) {
        start_us = rtc_config.date_s * US_PER_S;
    } else if (rtc_config.localtime) {
        time_t now = real_us / US_PER_S;
        struct tm tm = { 0 };
        localtime_r(&now, &tm);
        start_us += (int64_t)tm.tm_gmtoff * US_PER_S;
    }
    return start_us - clock_us(s);
}

/* The clock's interrupts are off after a reset, nothing else changes. */
static void rtc_reset(DeviceState *dev) MAIN_THREAD
{
    Rtc *s = OBJECT_CAST(Rtc, dev);
    take_events(s);
    s->cmos[REG_B] &= ~C_EVENTS;
    s->flags = 0;
    s->index = 0;
    rtc_update(s);
}

static bool rtc_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    Rtc *s = OBJECT_CAST(Rtc, dev);
    s->clock = rtc_config.clock;
    s->offset_us = initial_offset_us(s);
    s->start_offset_us = s->offset_us;
    s->cmos[REG_A] = A_DEFAULT;
    s->cmos[REG_B] = B_24H;
    s->cmos[REG_D] = D_VRT;
    s->seen_second = guest_second(s);
    s->seen_ticks = periodic_ticks(s);
    loop_timer_init(&s->timer, main_loop(), rtc_timer_fired, s);
    vm_timer_init(&s->vm_timer, rtc_timer_fired, s);
    io_region_init(&s->ports, "rtc", &rtc_ops, s, 2);
    io_region_map(&s->ports, IO_SPACE_PORT, RTC_PORT, 0);
    return true;
}

static void rtc_unrealize(DeviceState *dev) MAIN_THREAD
{
    Rtc *s = OBJECT_CAST(Rtc, dev);
    loop_timer_cancel(&s->timer);
    vm_timer_cancel(&s->vm_timer);
    io_region_destroy(&s->ports);
}

static void rtc_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->desc = "Real-time clock";
    dc->category = "Misc";
    dc->realize = rtc_realize;
    dc->unrealize = rtc_unrealize;
    dc->reset = rtc_reset;
}

static const TypeInfo rtc_types[] = {
    {
        .name = TYPE_RTC,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(Rtc),
        .class_init = rtc_class_init,
    },
};
DEFINE_TYPES(rtc_types)

bool rtc_init(uint64_t below_4g, uint64_t above_4g, unsigned cpus, Error **errp)
{
    DeviceState *dev =
        device_new_builtin(TYPE_RTC, bus_find(NULL, TYPE_ISA_BUS), errp);
    if (!dev) {
        return false;
    }
    fill_cmos(OBJECT_CAST(Rtc, dev), below_4g, above_4g, cpus);
    return true;
}

/* "YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SS", a date that exists. */
static bool parse_date(const char *text, int64_t *seconds)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == 'T') {
        end = strptime(end, "T%H:%M:%S", &tm);
    }
    if (!end || *end) {
        return false;
    }
    struct tm normal = tm;
    *seconds = timegm(&normal);
    return normal.tm_mday == tm.tm_mday && normal.tm_sec == tm.tm_sec &&
           tm.tm_year >= 70 && tm.tm_year < 9999 - 1900;
}

bool rtc_configure(const char *base, const char *clock, Error **errp)
{
    int64_t date_s = 0;
    bool has_date = base && parse_date(base, &date_s);
    bool local = base && strcmp(base, "localtime") == 0;
    if (base && !has_date && !local && strcmp(base, "utc") != 0) {
        error_setg(errp,
                   "-rtc base=%s: use utc, localtime or a date such as "
                   "2024-01-31 or 2024-01-31T12:00:00",
                   base);
        return false;
    }
    RtcClock kind = RTC_CLOCK_HOST;
    while (clock && clock_names[kind] &&
           strcmp(clock, clock_names[kind]) != 0) {
        kind++;
    }
    if (!clock_names[kind]) {
        error_setg(errp, "-rtc clock=%s: use host, rt or vm", clock);
        return false;
    }
    rtc_config.localtime = local;
    rtc_config.has_date = has_date;
    rtc_config.date_s = date_s;
    rtc_config.clock = kind;
    return true;
}
