/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several front-ends on one Chardev (mux=on, -serial mon:stdio). Output of all
 * goes to the one peer; input goes to the front-end that has the focus, which
 * the user moves with Ctrl-a c.
 *
 * Input is taken from the peer even while the focus has no room, so that the
 * escape keys work when a guest hangs: at most INPUT_MAX bytes wait for each.
 */
#include "util/osdep.h"

#include "chardev/char-internal.h"
#include "system/machine-lock.h"

#define MAX_FRONTENDS 4
#define INPUT_MAX     1024
#define ESCAPE        0x01 /* Ctrl-a */

typedef struct MuxSlot {
    ChardevFrontend *fe; /* NULL: free */
    uint8_t input[INPUT_MAX];
    size_t pos, len;
} MuxSlot;

typedef struct MuxChardev {
    Chardev parent;
    ChardevFrontend base;
    MuxSlot slots[MAX_FRONTENDS];
    MuxSlot *focus; /* NULL: no front-end */
    bool escaped;   /* the last byte was the escape key */
    bool owns_base; /* the base goes when the mux goes */
} MuxChardev;

static void (*quit_handler)(void); /* set once by main() */

void chardev_set_quit_handler(void (*func)(void))
{
    quit_handler = func;
}

static MuxChardev *to_mux(Chardev *chr)
{
    return container_of(chr, MuxChardev, parent);
}

static MAIN_THREAD void mux_print(MuxChardev *m, const char *text)
{
    chardev_write(&m->base, text, strlen(text));
}

static void slot_event(MuxSlot *slot, ChardevEvent event)
{
    if (slot && slot->fe && slot->fe->ops->event) {
        slot->fe->ops->event(slot->fe->opaque, event);
    }
}

/* Hands waiting input to the slot's front-end, as far as it has room. */
static void slot_flush(MuxSlot *slot)
{
    while (slot->fe && slot->len > 0 && slot->fe->ops->can_read &&
           slot->fe->ops->read) {
        size_t n = MIN(slot->fe->ops->can_read(slot->fe->opaque), slot->len);
        size_t pos = slot->pos;

        n = MIN(n, INPUT_MAX - pos);
        if (n == 0) {
            return;
        }
        slot->pos = (pos + n) % INPUT_MAX;
        slot->len -= n;
        slot->fe->ops->read(slot->fe->opaque, slot->input + pos, n);
    }
}

static void mux_focus(MuxChardev *m, MuxSlot *slot)
{
    MuxSlot *old = m->focus;

    if (old == slot) {
        return;
    }
    m->focus = slot;
    slot_event(old, CHARDEV_EVENT_MUX_OUT);
    slot_event(slot, CHARDEV_EVENT_MUX_IN);
}

static void mux_focus_next(MuxChardev *m)
{
    size_t start = m->focus ? (size_t)(m->focus - m->slots) : 0;

    for (size_t i = 1; i <= MAX_FRONTENDS; i++) {
        MuxSlot *slot = &m->slots[(start + i) % MAX_FRONTENDS];

        if (slot->fe) {
            mux_focus(m, slot);
            return;
        }
    }
    m->focus = NULL;
}

static void mux_input(MuxChardev *m, uint8_t byte)
{
    MuxSlot *slot = m->focus;

    if (slot && slot->len < INPUT_MAX) {
        slot->input[(slot->pos + slot->len++) % INPUT_MAX] = byte;
    }
}

/* The key after the escape key. */
static MAIN_THREAD void mux_command(MuxChardev *m, uint8_t key)
{
    switch (key) {
    case ESCAPE:
        mux_input(m, key);
        break;
    case 'b':
        slot_event(m->focus, CHARDEV_EVENT_BREAK);
        break;
    case 'c':
        mux_focus_next(m);
        break;
    case 'h':
    case '?':
        mux_print(m, "\r\n"
                     "Ctrl-a h    this help\r\n"
                     "Ctrl-a x    end the emulator\r\n"
                     "Ctrl-a b    send a break\r\n"
                     "Ctrl-a c    switch between console and monitor\r\n"
                     "Ctrl-a Ctrl-a  send Ctrl-a\r\n");
        break;
    case 'x':
        if (quit_handler) {
            mux_print(m, "Terminated\r\n");
            quit_handler();
        }
        break;
    default: /* not a command: nothing */
        break;
    }
}

static size_t mux_can_read(void *opaque)
{
    const MuxChardev *m = opaque;

    return m->focus ? INPUT_MAX - m->focus->len : 1;
}

static void mux_read(void *opaque, const uint8_t *buf, size_t len)
{
    MuxChardev *m = opaque;

    machine_lock_assert();
    for (size_t i = 0; i < len; i++) {
        if (m->escaped) {
            m->escaped = false;
            mux_command(m, buf[i]);
        } else if (buf[i] == ESCAPE) {
            m->escaped = true;
        } else {
            mux_input(m, buf[i]);
        }
    }
    for (size_t i = 0; i < MAX_FRONTENDS; i++) {
        slot_flush(&m->slots[i]);
    }
}

static void mux_event(void *opaque, ChardevEvent event)
{
    MuxChardev *m = opaque;

    if (event == CHARDEV_EVENT_BREAK) {
        slot_event(m->focus, event);
    } else {
        chardev_be_event(&m->parent, event);
    }
}

static void mux_writable(void *opaque)
{
    MuxChardev *m = opaque;

    chardev_be_writable(&m->parent);
}

static const ChardevFrontendOps mux_base_ops = {
    .can_read = mux_can_read,
    .read = mux_read,
    .event = mux_event,
    .writable = mux_writable,
};

static MAIN_THREAD bool mux_open(Chardev *chr, const ChardevBackend *backend,
                                 Error **errp)
{
    const char *id = backend->u.mux.data->chardev;
    Chardev *base = chardev_find(id);

    if (!base) {
        error_setg(errp,
                   "Parameter 'chardev' expects the id of a chardev, "
                   "'%s' is not",
                   id);
        return false;
    }
    if (!chardev_attach(&to_mux(chr)->base, base, &mux_base_ops, to_mux(chr),
                        errp)) {
        return false;
    }
    chardev_set_filename(chr, "mux");
    return true;
}

static MAIN_THREAD void mux_close(Chardev *chr)
{
    MuxChardev *m = to_mux(chr);
    Chardev *base = m->base.chr;

    chardev_detach(&m->base);
    if (m->owns_base) {
        chardev_remove(base->id, NULL);
    }
}

void chardev_mux_send_break(Chardev *chr)
{
    slot_event(to_mux(chr)->focus, CHARDEV_EVENT_BREAK);
}

void chardev_mux_own_base(Chardev *chr)
{
    to_mux(chr)->owns_base = true;
}

static MAIN_THREAD size_t mux_write(Chardev *chr, const uint8_t *buf,
                                    size_t len)
{
    return chardev_write(&to_mux(chr)->base, buf, len);
}

static MAIN_THREAD void mux_accept_input(Chardev *chr, ChardevFrontend *fe)
{
    MuxChardev *m = to_mux(chr);

    for (size_t i = 0; i < MAX_FRONTENDS; i++) {
        if (m->slots[i].fe == fe) {
            if (!m->focus) {
                mux_focus(m, &m->slots[i]);
            }
            slot_flush(&m->slots[i]);
        }
    }
    chardev_accept_input(&m->base);
}

static bool mux_attach(Chardev *chr, ChardevFrontend *fe, Error **errp)
{
    MuxChardev *m = to_mux(chr);

    for (size_t i = 0; i < MAX_FRONTENDS; i++) {
        if (!m->slots[i].fe) {
            m->slots[i] = (MuxSlot){ .fe = fe };
            return true;
        }
    }
    error_setg(errp, "Chardev '%s' has %d front-ends already, no more fit",
               chr->id, MAX_FRONTENDS);
    return false;
}

static void mux_detach(Chardev *chr, ChardevFrontend *fe)
{
    MuxChardev *m = to_mux(chr);

    for (size_t i = 0; i < MAX_FRONTENDS; i++) {
        if (m->slots[i].fe == fe) {
            m->slots[i] = (MuxSlot){ .fe = NULL };
        }
    }
    if (m->focus && !m->focus->fe) {
        mux_focus_next(m);
    }
}

static MAIN_THREAD int mux_take_fd(Chardev *chr)
{
    return chardev_take_fd(&to_mux(chr)->base);
}

static MAIN_THREAD void mux_set_echo(Chardev *chr, bool echo)
{
    chardev_set_echo(&to_mux(chr)->base, echo);
}

static MAIN_THREAD int mux_terminal_fd(const Chardev *chr)
{
    const MuxChardev *m = container_of(chr, const MuxChardev, parent);

    return chardev_terminal_fd(m->base.chr);
}

const ChardevClass chardev_class_mux = {
    .instance_size = sizeof(MuxChardev),
    .open = mux_open,
    .close = mux_close,
    .write = mux_write,
    .accept_input = mux_accept_input,
    .set_echo = mux_set_echo,
    .take_fd = mux_take_fd,
    .terminal_fd = mux_terminal_fd,
    .attach = mux_attach,
    .detach = mux_detach,
};
