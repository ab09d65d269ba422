/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A human monitor at a Chardev: keys in, lines to hmp_run_line(), answers out.
 *
 * The monitor at the process's terminal has the editor of hmp-readline.c; the
 * others, programs for the most part, a simple one.
 */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "system/machine-lock.h"
#include "config-host.h"

#define LINE_MAX_BYTES 4095u

typedef struct Monitor {
    /* main thread */
    HmpSession session;
    ChardevFrontend fe;
    GString *line; /* being typed */
    GString *out;  /* not yet taken by the Chardev */
    bool greeted;
    bool escape;   /* inside a key's escape sequence, which is ignored */
    bool readline; /* has the terminal's editor instead of @line */
} Monitor;

/* Main thread. */
static GPtrArray *monitors;

/* ---- output ---- */

static void MAIN_THREAD flush(Monitor *mon)
{
    size_t done = chardev_write(&mon->fe, mon->out->str, mon->out->len);

    g_string_erase(mon->out, 0, (gssize)done);
}

/* Sends @text with the line ends that a terminal in raw mode needs. */
static void MAIN_THREAD put_bytes(Monitor *mon, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            g_string_append_c(mon->out, '\r');
        }
        g_string_append_c(mon->out, text[i]);
    }
    flush(mon);
}

static void MAIN_THREAD put_text(Monitor *mon, const char *text)
{
    put_bytes(mon, text, strlen(text));
}

/* ---- the simple editor ---- */

static void MAIN_THREAD run_line(Monitor *mon)
{
    g_autoptr(GString) answer = g_string_new("\n");

    hmp_run_line(&mon->session, mon->line->str, answer);
    g_string_truncate(mon->line, 0);
    g_string_append(answer, HMP_PROMPT);
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
        /* ESC [ ... letter, ESC O letter */
        mon->escape = strchr("[O;", key) || g_ascii_isdigit(key);
    } else if (key < 0x20 || key == 0x7f) {
        control_key(mon, key);
    } else if (mon->line->len < LINE_MAX_BYTES) {
        g_string_append_c(mon->line, (char)key);
        put_text(mon, echo);
    }
}

/* ---- the terminal's editor ---- */

static void editor_write(void *opaque, const char *buf, size_t len)
{
    machine_lock_assert();
    put_bytes(opaque, buf, len);
}

static void editor_line(void *opaque, const char *line)
{
    Monitor *mon = opaque;
    g_autoptr(GString) answer = g_string_new(NULL);

    machine_lock_assert();
    hmp_run_line(&mon->session, line, answer);
    put_text(mon, answer->str);
}

static const HmpEditorOps editor_ops = { editor_write, editor_line };

/* Greets, once, and shows the prompt. The editor is made no sooner than it is
 * needed: many a terminal's monitor is never looked at. */
static void MAIN_THREAD show_prompt(Monitor *mon)
{
    int fd = chardev_terminal_fd(mon->fe.chr);

    if (!mon->greeted) {
        put_text(mon, "QEMU " QEMU_COMPAT_VERSION
                      " monitor - type 'help' for more information\n");
        mon->greeted = true;
        mon->readline = fd >= 0 && hmp_readline_open(fd, &editor_ops, mon);
    }
    if (mon->readline) {
        hmp_readline_show();
    } else {
        put_text(mon, HMP_PROMPT);
    }
}

/* Forgets what the last peer of a socket did. */
static void new_user(Monitor *mon)
{
    g_string_truncate(mon->line, 0);
    mon->escape = false;
    mon->greeted = mon->readline; /* the terminal's user stays the same */
    mon->session.cpu = 0;
}

/* ---- as a front-end ---- */

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
        if (mon->readline) {
            hmp_readline_key(buf[i]);
        } else {
            key_typed(mon, buf[i]);
        }
    }
}

static void monitor_event(void *opaque, ChardevEvent event)
{
    Monitor *mon = opaque;

    machine_lock_assert();
    switch (event) {
    case CHARDEV_EVENT_OPENED:
        new_user(mon);
        if (chardev_is_mux(mon->fe.chr)) {
            break; /* the screen is another's until MUX_IN */
        }
        /* fall through */
    case CHARDEV_EVENT_MUX_IN:
        show_prompt(mon);
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

static void MAIN_THREAD monitor_free(Monitor *mon)
{
    if (mon->readline) {
        hmp_readline_close();
    }
    g_string_free(mon->line, TRUE);
    g_string_free(mon->out, TRUE);
    g_free(mon);
}

bool hmp_monitor_new(Chardev *chr, Error **errp)
{
    Monitor *mon = g_new0(Monitor, 1);

    mon->line = g_string_new(NULL);
    mon->out = g_string_new(NULL);
    mon->session.fe = &mon->fe;
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
