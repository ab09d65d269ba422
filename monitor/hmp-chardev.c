/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands for character devices. */
#include "util/osdep.h"
#include "chardev/char.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-visit.h"

static Chardev *MAIN_THREAD find_device(const char *id, Error **errp)
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp, "Chardev '%s' not found (info chardev lists them)",
                   shown);
    }
    return chr;
}

bool hmp_chardev_add(const HmpArgs *args, GString *out, Error **errp)
{
    return chardev_add_from_opts(NULL, args->arg[0].text, errp) != NULL;
}

bool hmp_chardev_change(const HmpArgs *args, GString *out, Error **errp)
{
    const char *id = args->arg[0].text;

    return find_device(id, errp) &&
           chardev_add_from_opts(id, args->arg[1].text, errp);
}

bool hmp_chardev_remove(const HmpArgs *args, GString *out, Error **errp)
{
    const char *id = args->arg[0].text;

    return find_device(id, errp) && chardev_remove(id, errp);
}

bool hmp_chardev_send_break(const HmpArgs *args, GString *out, Error **errp)
{
    Chardev *chr = find_device(args->arg[0].text, errp);

    if (!chr) {
        return false;
    }
    chardev_send_break(chr);
    return true;
}

bool hmp_ringbuf_read(const HmpArgs *args, GString *out, Error **errp)
{
    Chardev *chr = find_device(args->arg[0].text, errp);
    g_autofree uint8_t *data = NULL;
    size_t len;

    if (!chr) {
        return false;
    }
    data = chardev_ringbuf_read(chr, args->arg[1].number, &len, errp);
    if (!data) {
        return false;
    }
    hmp_append_visible(out, data, len);
    if (len > 0 && data[len - 1] != '\n') {
        g_string_append_c(out, '\n');
    }
    return true;
}

bool hmp_ringbuf_write(const HmpArgs *args, GString *out, Error **errp)
{
    Chardev *chr = find_device(args->arg[0].text, errp);
    const char *data = args->arg[1].text;

    return chr && chardev_ringbuf_write(chr, data, strlen(data), errp);
}
