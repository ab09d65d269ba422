/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands for -chardev ringbuf. */
#include "util/osdep.h"
#include "chardev/char.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

#define READ_MAX MiB

/* The Chardev that @args begins with; *@rest is what follows. NULL, and @out
 * says why, when there is none or nothing follows. */
static Chardev *MAIN_THREAD parse_device(const char *args, const char *usage,
                                         const char **rest, GString *out)
{
    size_t len = strcspn(args, " \t");
    g_autofree char *id = g_strndup(args, len);
    Chardev *chr = chardev_find(id);

    *rest = args + len + strspn(args + len, " \t");
    if (!**rest) {
        g_string_append_printf(out, "Error: expected %s\n", usage);
        return NULL;
    }
    if (!chr) {
        g_autofree char *shown = qapi_quote(id);

        g_string_append_printf(
            out, "Error: Chardev '%s' not found (info chardev lists them)\n",
            shown);
    }
    return chr;
}

/* Bytes from a guest must not steer the user's terminal. */
static void append_visible(GString *out, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = buf[i];

        if (c == '\\') {
            g_string_append(out, "\\\\");
        } else if (g_ascii_isprint((gchar)c) || c == '\n' || c == '\t') {
            g_string_append_c(out, (gchar)c);
        } else {
            g_string_append_printf(out, "\\x%02x", c);
        }
    }
}

void hmp_ringbuf_read(const char *args, GString *out)
{
    g_autofree uint8_t *data = NULL;
    const char *size_text;
    g_autoptr(GError) err = NULL;
    Chardev *chr;
    uint64_t size;
    size_t len;

    machine_lock_assert();
    chr = parse_device(args, "ringbuf_read DEVICE SIZE", &size_text, out);
    if (!chr) {
        return;
    }
    if (!qapi_parse_size("SIZE", size_text, &size, NULL) || size == 0 ||
        size > READ_MAX) {
        g_autofree char *shown = qapi_quote(size_text);

        g_string_append_printf(
            out, "Error: SIZE expects 1 to 1M bytes, not '%s'\n", shown);
        return;
    }
    data = chardev_ringbuf_read(chr, size, &len, &err);
    if (!data) {
        g_string_append_printf(out, "Error: %s\n", err->message);
        return;
    }
    append_visible(out, data, len);
    if (len > 0 && data[len - 1] != '\n') {
        g_string_append_c(out, '\n');
    }
}

void hmp_ringbuf_write(const char *args, GString *out)
{
    g_autoptr(GError) err = NULL;
    const char *data;
    Chardev *chr;

    machine_lock_assert();
    chr = parse_device(args, "ringbuf_write DEVICE DATA", &data, out);
    if (chr && !chardev_ringbuf_write(chr, data, strlen(data), &err)) {
        g_string_append_printf(out, "Error: %s\n", err->message);
    }
}
