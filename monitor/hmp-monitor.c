/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A monitor's line editor: keys in, lines to hmp_run(), answers out. */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "system/machine-lock.h"
#include "config-host.h"

#define LINE_MAX_BYTES 4095u
#define PROMPT         "(qemu) "

typedef struct Monitor {
    /* main thread */
    ChardevFrontend fe;
    GString *line; /* being typed */
    GString *out;  /* not yet taken by the Chardev */
    bool greeted;
    bool escape; /* inside a key's escape sequence, which is ignored */
} Monitor;

/* Main thread. */
static GPtrArray *monitors;

static void MAIN_THREAD flush(Monitor *mon)
{
    size_t done = chardev_write(&mon->fe, mon->out->str, mon->out->len);

    g_string_erase(mon->out, 0, (gssize)done);
}

/* Sends @text with the line ends that a terminal in raw mode needs. */
static void MAIN_THREAD put_text(Monitor *mon, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\n') {
            g_string_append_c(mon->out, '\r');
        }
        g_string_append_c(mon->out, *p);
    }
    flush(mon);
}

static void MAIN_THREAD run_line(Monitor *mon)
{
    g_autoptr(GString) answer = g_string_new("\n");

    hmp_run(mon->line->str, answer);
    g_string_truncate(mon->line, 0);
    g_string_append(answer, PROMPT);
    put_text(mon, answer->str);
}

static void MAIN_THREAD erase_chars(Monitor *mon, size_t n)
{
    for (; n > 0 && mon->line->len > 0; n--) {
        g_string_truncate(mon->line, mon->line->len - 1);
        put_text(mon, "\b \b");
    }
}

/* Control characters that edit: Backspace, Ctrl-C, Ctrl-U, Escape. */
static void MAIN_THREAD control_key(Monitor *mon, uint8_t key)
{
    switch (key) {
    case '\r':
    case '\n':
        run_line(mon);
        break;
    case 0x08:
    case 0x7f:
        erase_chars(mon, 1);
        break;
    case 0x03:
    case 0x15:
        erase_chars(mon, mon->line->len);
        break;
    case 0x1b:
        mon->escape = true;
        break;
    }
}

static void MAIN_THREAD key_typed(Monitor *mon, uint8_t key)
{
    char echo[2] = { (char)key, '\0' };

    if (mon->escape) {
        /* ESC [ ... letter */
        mon->escape = key == '[' || g_ascii_isdigit(key) || key == ';';
    } else if (key < 0x20 || key == 0x7f) {
        control_key(mon, key);
    } else if (mon->line->len < LINE_MAX_BYTES) {
        g_string_append_c(mon->line, (char)key);
        put_text(mon, echo);
    }
}

static size_t monitor_can_read(void *opaque)
{
    const Monitor *mon = opaque;

    /* Who does not read answers may not ask for more. */
    return mon->out->len < CHARDEV_OUT_MAX ? 256 : 0;
}

static void monitor_read(void *opaque, const uint8_t *buf, size_t len)
{
    Monitor *mon = opaque;

    machine_lock_assert();
    for (size_t i = 0; i < len; i++) {
        key_typed(mon, buf[i]);
    }
}

static void monitor_event(void *opaque, ChardevEvent event)
{
    Monitor *mon = opaque;

    machine_lock_assert();
    switch (event) {
    case CHARDEV_EVENT_OPENED:
        g_string_truncate(mon->line, 0);
        if (chardev_is_mux(mon->fe.chr)) {
            break; /* the screen is another's until MUX_IN */
        }
        /* fall through */
    case CHARDEV_EVENT_MUX_IN:
        if (!mon->greeted) {
            put_text(mon, "QEMU " QEMU_COMPAT_VERSION
                          " monitor - type 'help' for more information\n");
        }
        mon->greeted = chardev_is_mux(mon->fe.chr);
        put_text(mon, PROMPT);
        put_text(mon, mon->line->str);
        break;
    case CHARDEV_EVENT_CLOSED:
        g_string_truncate(mon->out, 0);
        break;
    case CHARDEV_EVENT_MUX_OUT:
    case CHARDEV_EVENT_BREAK:
        break;
    }
}

static void monitor_writable(void *opaque)
{
    Monitor *mon = opaque;

    machine_lock_assert();
    flush(mon);
    if (mon->out->len < CHARDEV_OUT_MAX) {
        chardev_accept_input(&mon->fe);
    }
}

static const ChardevFrontendOps monitor_ops = {
    .can_read = monitor_can_read,
    .read = monitor_read,
    .event = monitor_event,
    .writable = monitor_writable,
};

static void monitor_free(void *opaque)
{
    Monitor *mon = opaque;

    g_string_free(mon->line, TRUE);
    g_string_free(mon->out, TRUE);
    g_free(mon);
}

bool hmp_monitor_new(Chardev *chr, Error **errp)
{
    Monitor *mon = g_new0(Monitor, 1);

    mon->line = g_string_new(NULL);
    mon->out = g_string_new(NULL);
    if (!chardev_attach(&mon->fe, chr, &monitor_ops, mon, errp)) {
        monitor_free(mon);
        return false;
    }
    chardev_set_echo(&mon->fe, false);
    if (!monitors) {
        monitors = g_ptr_array_new();
    }
    g_ptr_array_add(monitors, mon);
    return true;
}

void hmp_monitor_cleanup(void)
{
    for (guint i = 0; monitors && i < monitors->len; i++) {
        Monitor *mon = g_ptr_array_index(monitors, i);

        chardev_detach(&mon->fe);
        monitor_free(mon);
    }
    g_clear_pointer(&monitors, g_ptr_array_unref);
}
