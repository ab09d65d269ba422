/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol's commands for character devices. */
#include "util/osdep.h"

#include "chardev/char.h"
#include "qapi/qapi-commands.h"
#include "system/machine-lock.h"

#define READ_MAX MiB

static void add_info(Chardev *chr, void *opaque)
{
    ChardevInfoList *list = opaque;

    machine_lock_assert();
    list->v = g_renew(ChardevInfo, list->v, list->n + 1);
    list->v[list->n++] = (ChardevInfo){
        .label = g_strdup(chardev_label(chr)),
        .filename = g_strdup(chardev_filename(chr)),
        .frontend_open = chardev_has_frontend(chr),
    };
}

bool qmp_query_chardev(ChardevInfoList *ret, Error **errp)
{
    chardev_foreach(add_info, ret);
    return true;
}

bool qmp_query_chardev_backends(ChardevBackendInfoList *ret, Error **errp)
{
    ret->n = CHARDEV_DRIVER__MAX;
    ret->v = g_new0(ChardevBackendInfo, ret->n);
    for (size_t i = 0; i < ret->n; i++) {
        ret->v[i].name = g_strdup(ChardevDriver_str((ChardevDriver)i));
    }
    return true;
}

/* ---- making, changing, removing ---- */

bool qmp_chardev_add(const q_obj_chardev_add_arg *arg, ChardevReturn *ret,
                     Error **errp)
{
    const Chardev *chr = chardev_new(arg->id, arg->backend, errp);

    if (chr) {
        ret->pty = g_strdup(chardev_pty_path(chr));
    }
    return chr != NULL;
}

bool qmp_chardev_change(const q_obj_chardev_change_arg *arg, ChardevReturn *ret,
                        Error **errp)
{
    const Chardev *chr = chardev_change(arg->id, arg->backend, errp);

    if (chr) {
        ret->pty = g_strdup(chardev_pty_path(chr));
    }
    return chr != NULL;
}

bool qmp_chardev_remove(const q_obj_chardev_remove_arg *arg, Error **errp)
{
    return chardev_remove(arg->id, errp);
}

bool qmp_chardev_send_break(const q_obj_chardev_send_break_arg *arg,
                            Error **errp)
{
    Chardev *chr = chardev_find(arg->id);

    if (!chr) {
        error_setg(errp, "Chardev '%s' not found", arg->id);
        return false;
    }
    chardev_send_break(chr);
    return true;
}

/* ---- ring buffers ---- */

static MAIN_THREAD Chardev *find_device(const char *id, Error **errp)
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        error_setg(errp, "Device '%s' not found", id);
    }
    return chr;
}

/* The bytes of base64 @text; NULL: it is not that. glib's decoder passes over
 * what it does not know, so the text must come out again. */
static guchar *decode_base64(const char *text, gsize *len, Error **errp)
{
    guchar *data = g_base64_decode(text, len);
    g_autofree char *again = g_base64_encode(data, *len);

    if (strcmp(again, text) != 0) {
        g_free(data);
        error_setg(errp, "Parameter 'data' expects base64 (RFC 3548)");
        return NULL;
    }
    return data;
}

bool qmp_ringbuf_write(const q_obj_ringbuf_write_arg *arg, Error **errp)
{
    Chardev *chr = find_device(arg->device, errp);
    g_autofree guchar *decoded = NULL;
    gsize len;

    if (!chr) {
        return false;
    }
    if (!arg->has_format || arg->format == DATA_FORMAT_UTF8) {
        return chardev_ringbuf_write(chr, arg->data, strlen(arg->data), errp);
    }
    decoded = decode_base64(arg->data, &len, errp);
    return decoded && chardev_ringbuf_write(chr, decoded, len, errp);
}

bool qmp_ringbuf_read(const q_obj_ringbuf_read_arg *arg, char **ret,
                      Error **errp)
{
    Chardev *chr = find_device(arg->device, errp);
    g_autofree uint8_t *data = NULL;
    size_t len;

    if (!chr) {
        return false;
    }
    if (arg->size <= 0) {
        error_setg(errp, "Parameter 'size' expects a value greater than zero");
        return false;
    }
    data = chardev_ringbuf_read(chr, (size_t)MIN(arg->size, (int64_t)READ_MAX),
                                &len, errp);
    if (!data) {
        return false;
    }
    if (arg->has_format && arg->format == DATA_FORMAT_BASE64) {
        *ret = g_base64_encode(data, len);
    } else {
        *ret = g_utf8_make_valid((const char *)data, (gssize)len);
    }
    return true;
}
