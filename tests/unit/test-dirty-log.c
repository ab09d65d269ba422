/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of written pages, and pages that are looked at twice. */
#include "util/osdep.h"

#include <pthread.h>
#include <sys/mman.h>

#include "system/dirty-log.h"
#include "system/dirty-rate.h"
#include "system/machine-lock.h"

#define PAGE     ((uint64_t)PAGE_SIZE_4K)
#define LOW_SIZE (160 * PAGE) /* ends within a word of the bitmap */
#define HIGH_GPA (200 * PAGE + 0x100000000ULL)
#define HIGH     (70 * PAGE)
#define ROM_GPA  (LOW_SIZE)
#define ROM_SIZE (3 * PAGE)
#define END_PAGE ((HIGH_GPA + HIGH) / PAGE)

static uint8_t *low, *high, *rom;

static uint8_t *pages_new(size_t size)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(p != MAP_FAILED);
    return p;
}

static bool add(uint64_t gpa, uint64_t size, uint8_t *host, bool ro,
                Error **errp) MAIN_THREAD
{
    RamRange r = {
        .gpa = gpa, .size = size, .host = host, .fd = -1, .readonly = ro
    };

    return ram_add(&r, errp);
}

static DirtyLog *log_on(void) MAIN_THREAD
{
    Error *err = NULL;

    g_assert_null(dirty_log_get());
    g_assert_true(dirty_log_start(&err));
    g_assert_no_error(err);
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    return dirty_log_get();
}

/* ---- marking ---- */

static void test_marks(void) MAIN_THREAD
{
    static const struct {
        uint64_t gpa, len, pages;
    } row[] = {
        { 0, 1, 1 },
        { 0, 0, 0 },
        { PAGE - 1, 2, 2 },
        { 5, PAGE, 2 },
        { 63 * PAGE, 2 * PAGE, 2 },              /* two words */
        { 0, LOW_SIZE, 160 },                    /* all of it */
        { LOW_SIZE - PAGE, PAGE, 1 },            /* its last page */
        { LOW_SIZE + ROM_SIZE, 0x80000000, 0 },  /* no RAM there */
        { HIGH_GPA, HIGH, 70 },                  /* not word-aligned */
        { HIGH_GPA - PAGE, 2 * PAGE, 1 },        /* half RAM */
        { HIGH_GPA + HIGH - 1, 1, 1 },           /* the last byte of all */
        { HIGH_GPA + HIGH - 1, 100 * PAGE, 1 },  /* beyond the log */
        { HIGH_GPA + HIGH, PAGE, 0 },            /* behind it */
        { UINT64_MAX, 1, 0 },                    /* the last address */
        { UINT64_MAX - 5, 4096, 0 },             /* wraps around */
        { HIGH_GPA + HIGH - 1, UINT64_MAX, 1 },  /* likewise */
        { HIGH_GPA, UINT64_MAX - HIGH_GPA, 70 }, /* to the end */
    };
    DirtyLog *log = log_on();

    g_assert_cmpuint(log->pages, ==, END_PAGE);
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        dirty_log_mark(log, row[i].gpa, row[i].len);
        dirty_log_mark(log, row[i].gpa, row[i].len);
        g_assert_cmpuint(dirty_log_take(), ==, row[i].pages);
        g_assert_cmpuint(dirty_log_take(), ==, 0);
    }
    dirty_log_stop();
    g_assert_null(dirty_log_get());
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    dirty_log_stop();
}

static void test_by_host(void) MAIN_THREAD
{
    uint8_t other[100];
    struct iovec iov[] = { { low + PAGE, 10 },
                           { other, sizeof(other) }, /* not the guest's */
                           { high + 2 * PAGE - 1, PAGE + 1 },
                           { low, PAGE } };
    DirtyLog *log = log_on();

    dirty_log_mark_host(log, other, sizeof(other));
    dirty_log_mark_host(log, low + LOW_SIZE, 1);
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    dirty_log_mark_host(log, low + LOW_SIZE - 1, SIZE_MAX);
    g_assert_cmpuint(dirty_log_take(), ==, 1);
    dirty_log_mark_iov(log, iov, 4, 10);
    g_assert_cmpuint(dirty_log_take(), ==, 1);
    dirty_log_mark_iov(log, iov, 4, 111);
    g_assert_cmphex(log->bitmap[HIGH_GPA / PAGE / 64] >> HIGH_GPA / PAGE % 64,
                    ==, 2);
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    dirty_log_mark_iov(log, iov, 4, SIZE_MAX);
    g_assert_cmpuint(dirty_log_take(), ==, 4);
    dirty_log_mark_iov(log, iov, 0, 1);
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    dirty_log_stop();
}

/* The bit of a page is where vhost's protocols have it. */
static void test_bit_order(void) MAIN_THREAD
{
    DirtyLog *log = log_on();
    const uint8_t *bytes = (const void *)log->bitmap;

    dirty_log_mark(log, 67 * PAGE, 1);
    g_assert_cmphex(bytes[8], ==, 8);
    dirty_log_stop();
}

static void test_merge(void) MAIN_THREAD
{
    DirtyLog *log = log_on();
    uint64_t all[4] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
    uint64_t one[2] = { 1ULL << 63, 1 };

    /* A slot: bits behind its end do not count. */
    dirty_log_merge(log, 0, all, 10);
    g_assert_cmpuint(dirty_log_take(), ==, 10);
    dirty_log_merge(log, HIGH_GPA / PAGE, all, 70);
    g_assert_cmpuint(dirty_log_take(), ==, 70);
    dirty_log_merge(log, 3, one, 128);
    g_assert_cmphex(log->bitmap[1], ==, 3ULL << 2);
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    /* Beyond the log. */
    dirty_log_merge(log, END_PAGE - 1, all, 256);
    g_assert_cmpuint(dirty_log_take(), ==, 1);
    dirty_log_merge(log, END_PAGE + 4096, all, 256);
    g_assert_cmpuint(dirty_log_take(), ==, 0);

    /* Somebody else's, who sets all there are: holes and what is not ours do
     * not count, and it is empty then. */
    dirty_log_merge_shared(log, all, 150);
    g_assert_cmpuint(dirty_log_take(), ==, 150);
    g_assert_cmphex(all[0] | all[1] | all[2], ==, 0);
    g_assert_cmphex(all[3], ==, UINT64_MAX);
    dirty_log_stop();
}

/* ---- who marks ---- */

static void test_ram_write(void) MAIN_THREAD
{
    uint8_t buf[2 * PAGE_SIZE_4K] = { 0 };
    Error *err = NULL;

    ram_write(0, buf, 1); /* before: not logged */
    log_on();
    g_assert_true(ram_read(0, buf, sizeof(buf)));
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    g_assert_true(ram_write(PAGE - 4, buf, 8));
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    g_assert_false(ram_write(ROM_GPA, buf, 8));
    io_write(IO_SPACE_MMIO, ROM_GPA, 1, 4);
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    io_write(IO_SPACE_MMIO, HIGH_GPA + PAGE - 2, 1, 4);
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    (void)io_read(IO_SPACE_MMIO, HIGH_GPA, 8);
    ram_note_write(3 * PAGE, 2);
    g_assert_cmpuint(dirty_log_take(), ==, 1);

    g_assert_false(add(0x40000000, PAGE, low, false, &err));
    g_assert_nonnull(strstr(err->message, "log of written pages"));
    g_clear_error(&err);
    g_assert_false(dirty_log_start(&err));
    g_assert_nonnull(strstr(err->message, "kept already"));
    g_error_free(err);
    dirty_log_stop();
    ram_note_write(0, 1);
}

static void *marker(void *opaque)
{
    for (unsigned i = 0; i < 20000; i++) {
        dirty_log_mark(opaque, i % 160 * PAGE, 1);
    }
    return NULL;
}

/* Bits of one word, set while they are taken: none is lost. */
static void test_threads(void) MAIN_THREAD
{
    DirtyLog *log = log_on();
    pthread_t thread[2];
    uint64_t n = 0;

    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(pthread_create(&thread[i], NULL, marker, log), ==, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        n += dirty_log_take();
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    n += dirty_log_take();
    g_assert_cmpuint(n, >=, 160);
    dirty_log_stop();
}

/* ---- sources ---- */

typedef struct Source {
    char name;
    bool refuses;
} Source;

static GString *trace;

static bool source_start(void *opaque, DirtyLog *log, Error **errp)
{
    const Source *s = opaque;

    g_string_append_printf(trace, "+%c", s->name);
    if (s->refuses) {
        error_setg(errp, "%c cannot", s->name);
    }
    return !s->refuses;
}

static void source_sync(void *opaque, DirtyLog *log)
{
    const Source *s = opaque;

    g_string_append_printf(trace, "?%c", s->name);
    dirty_log_mark(log, (uint64_t)(s->name - 'a') * PAGE, 1);
}

static void source_stop(void *opaque)
{
    const Source *s = opaque;

    g_string_append_printf(trace, "-%c", s->name);
}

static void trace_is(const char *text)
{
    g_assert_cmpstr(trace->str, ==, text);
    g_string_truncate(trace, 0);
}

static void test_sources(void) MAIN_THREAD
{
    static const DirtySourceOps ops = { source_start, source_sync,
                                        source_stop };
    static const DirtySourceOps mute = { source_start, NULL, source_stop };
    Source a = { 'a' }, b = { 'b' }, c = { 'c', .refuses = true };
    DirtySource *sa = dirty_source_add(&ops, &a);
    DirtySource *sb = dirty_source_add(&mute, &b);
    DirtySource *sc = dirty_source_add(&ops, &c);
    Error *err = NULL;

    trace = g_string_new("");
    g_assert_false(dirty_log_start(&err));
    g_assert_cmpstr(err->message, ==, "c cannot");
    g_error_free(err);
    g_assert_null(dirty_log_get());
    trace_is("+a+b+c-b-a");
    dirty_source_remove(sc);
    g_assert_true(dirty_log_start(NULL));
    trace_is("+a+b");
    g_assert_cmpuint(dirty_log_take(), ==, 1);
    trace_is("?a");
    /* One that comes later looks for itself. */
    sc = dirty_source_add(&ops, &c);
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    trace_is("?a?c");
    dirty_source_remove(sa);
    dirty_log_stop();
    trace_is("-c-b");
    dirty_source_remove(sb);
    dirty_source_remove(sc);
    dirty_source_remove(NULL);
    g_string_free(trace, TRUE);
}

/* ---- sampling ---- */

static uint64_t sample_after(uint64_t per_gib, void (*write)(void)) MAIN_THREAD
{
    DirtySample *sample = dirty_sample_new(per_gib);
    bool stop = false;
    uint64_t bytes;

    dirty_sample_look(sample, &stop);
    g_assert_cmpuint(dirty_sample_written(sample), ==, 0);
    write();
    dirty_sample_look(sample, &stop);
    bytes = dirty_sample_written(sample);
    dirty_sample_free(sample);
    return bytes;
}

static void write_nothing(void)
{
    low[0] = low[0];
}

static void write_all(void)
{
    for (unsigned i = 0; i < LOW_SIZE / PAGE; i++) {
        low[i * PAGE + i % PAGE]++;
    }
    for (unsigned i = 0; i < HIGH / PAGE; i++) {
        high[i * PAGE + PAGE - 1]++;
    }
}

static void write_low(void)
{
    memset(low, low[0] + 1, LOW_SIZE);
}

static void test_sampling(void) MAIN_THREAD
{
    DirtySample *sample = dirty_sample_new(1);
    bool stop = true;

    g_assert_cmpuint(dirty_sample_pages(sample), ==, 1);
    dirty_sample_look(sample, &stop); /* ends at once */
    g_assert_cmpuint(dirty_sample_written(sample), ==, 0);
    dirty_sample_free(sample);

    /* As many as there are, the ROM's not among them: exact. */
    sample = dirty_sample_new(GiB);
    g_assert_cmpuint(dirty_sample_pages(sample), ==, 230);
    dirty_sample_free(sample);
    g_assert_cmpuint(sample_after(GiB, write_nothing), ==, 0);
    g_assert_cmpuint(sample_after(GiB, write_all), ==, 230 * PAGE);
    g_assert_cmpuint(sample_after(GiB, write_low), ==, 160 * PAGE);
    /* A tenth of them, one of each part: nearly. */
    g_assert_cmpuint(sample_after(GiB / PAGE / 10, write_all), ==, 230 * PAGE);
    g_assert_cmpuint(sample_after(GiB / PAGE / 10, write_low), >=, 150 * PAGE);
    g_assert_cmpuint(sample_after(GiB / PAGE / 10, write_low), <=, 170 * PAGE);
}

/* Before there is RAM. */
static void test_nothing(void) MAIN_THREAD
{
    g_assert_null(dirty_sample_new(512));
    log_on();
    ram_note_write(0, PAGE);
    g_assert_cmpuint(dirty_log_take(), ==, 0);
    dirty_log_stop();
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    test_nothing();
    low = pages_new(LOW_SIZE);
    high = pages_new(HIGH);
    rom = pages_new(ROM_SIZE);
    g_assert_true(add(0, LOW_SIZE, low, false, NULL));
    g_assert_true(add(ROM_GPA, ROM_SIZE, rom, true, NULL));
    g_assert_true(add(HIGH_GPA, HIGH, high, false, NULL));

    g_test_add_func("/dirty-log/marks", test_marks);
    g_test_add_func("/dirty-log/by-host-address", test_by_host);
    g_test_add_func("/dirty-log/bit-order", test_bit_order);
    g_test_add_func("/dirty-log/merge", test_merge);
    g_test_add_func("/dirty-log/ram-write", test_ram_write);
    g_test_add_func("/dirty-log/threads", test_threads);
    g_test_add_func("/dirty-log/sources", test_sources);
    g_test_add_func("/dirty-rate/sampling", test_sampling);
    rc = g_test_run();
    machine_unlock();
    return rc;
}
