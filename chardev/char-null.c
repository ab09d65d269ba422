/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -chardev null: takes everything, says nothing. */
#include "util/osdep.h"

#include "chardev/char-internal.h"

static bool null_open(Chardev *chr, const ChardevBackend *backend, Error **errp)
{
    return true; /* no peer: it is never open */
}

static size_t null_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return len;
}

const ChardevClass chardev_class_null = {
    .instance_size = sizeof(Chardev),
    .open = null_open,
    .write = null_write,
};
