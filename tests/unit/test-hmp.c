/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands that take arguments. */
#include "util/osdep.h"
#include "chardev/char.h"
#include "monitor/monitor.h"
#include "system/machine-lock.h"

static void MAIN_THREAD check(const char *line, const char *answer)
{
    g_autoptr(GString) out = g_string_new(NULL);

    hmp_run(line, out);
    g_assert_cmpstr(out->str, ==, answer);
}

static void NO_THREAD_SAFETY test_ringbuf(void)
{
    Chardev *chr = chardev_new_from_opts("ringbuf,id=r,size=32", NULL);

    g_assert_nonnull(chr);
    check("ringbuf_read r 10", "");
    check("ringbuf_write r two words", "");
    check("ringbuf_read r 3", "two\n");
    check("ringbuf_read r 1M", " words\n");
    g_assert_true(chardev_ringbuf_write(chr, "\033[2J\\\0\xff\t\n", 9, NULL));
    check("ringbuf_read r 0x10", "\\x1b[2J\\\\\\x00\\xff\t\n");
    check("ringbuf_write r 0123456789012345678901234567890123456789", "");
    check("ringbuf_read r 64", "89012345678901234567890123456789\n");
    g_assert_true(chardev_remove("r", NULL));
}

static void NO_THREAD_SAFETY test_ringbuf_errors(void)
{
    g_assert_nonnull(chardev_new_from_opts("ringbuf,id=r", NULL));
    g_assert_nonnull(chardev_new_from_opts("null,id=n", NULL));
    check("ringbuf_read", "Error: expected ringbuf_read DEVICE SIZE\n");
    check("ringbuf_read r", "Error: expected ringbuf_read DEVICE SIZE\n");
    check("ringbuf_write r", "Error: expected ringbuf_write DEVICE DATA\n");
    check("ringbuf_read x 1",
          "Error: Chardev 'x' not found (info chardev lists them)\n");
    check("ringbuf_read n 1", "Error: Chardev 'n' is not a ring buffer\n");
    check("ringbuf_write n a", "Error: Chardev 'n' is not a ring buffer\n");
    check("ringbuf_read r 0", "Error: SIZE expects 1 to 1M bytes, not '0'\n");
    check("ringbuf_read r -1", "Error: SIZE expects 1 to 1M bytes, not '-1'\n");
    check("ringbuf_read r 2M", "Error: SIZE expects 1 to 1M bytes, not '2M'\n");
    check("ringbuf_read r 1 2",
          "Error: SIZE expects 1 to 1M bytes, not '1 2'\n");
    check("help ringbuf_read", "ringbuf_read DEVICE SIZE -- take up to SIZE "
                               "bytes out of a ringbuf chardev\n");
    g_assert_true(chardev_remove("r", NULL));
    g_assert_true(chardev_remove("n", NULL));
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/hmp/ringbuf", test_ringbuf);
    g_test_add_func("/hmp/ringbuf-errors", test_ringbuf_errors);
    return g_test_run();
}
