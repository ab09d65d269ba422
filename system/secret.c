/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object secret: a password or key for other parts, as text or in a file.
 *
 * Management tools make one with every machine. No part here has a use for it,
 * so what it says is checked, and not kept.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "qom/object.h"
#include "util/fd.h"
#include "util/fdset.h"

#define SECRET_MAX (64u << 10)

typedef enum SecretFormat { SECRET_RAW, SECRET_BASE64 } SecretFormat;

typedef struct Secret {
    Object obj;

    /* fixed after complete */
    char *data;
    char *file;
    char *keyid;
    char *iv;
    int format;
} Secret;

/* At most SECRET_MAX bytes of the file; the number of them, -1 and *errp. */
static ssize_t MAIN_THREAD read_file(const char *path, char *buf, Error **errp)
{
    size_t len = 0;
    ssize_t n = 0;
    int fd = fdset_open(path, O_RDONLY | O_NONBLOCK, 0, NULL);

    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot open file '%s'", path);
        return -1;
    }
    do {
        n = read(fd, buf + len, SECRET_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len <= SECRET_MAX);
    if (n < 0) {
        error_setg_errno(errp, errno, "cannot read file '%s'", path);
    } else if (len > SECRET_MAX) {
        error_setg(errp, "file '%s' has more than %u bytes", path, SECRET_MAX);
        n = -1;
    }
    fd_close(&fd);
    return n < 0 ? -1 : (ssize_t)len;
}

/* Letters of base64, in lines or not, and what fills up the end. */
static bool check_base64(const char *text, size_t len, Error **errp)
{
    size_t letters = 0, fill = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '=') {
            fill++;
        } else if (!fill && (g_ascii_isalnum(c) || c == '+' || c == '/')) {
            letters++;
        } else if (!g_ascii_isspace(c)) {
            error_setg(errp, "format=base64: byte %zu is not base64", i);
            return false;
        }
    }
    if (fill > 2 || (letters + fill) % 4) {
        error_setg(errp, "format=base64: the content is incomplete");
        return false;
    }
    return true;
}

static bool check_content(Secret *s, Error **errp) MAIN_THREAD
{
    g_autofree char *buf = NULL;
    const char *text = s->data;
    ssize_t len;
    bool ok;

    if (s->file) {
        text = buf = g_malloc(SECRET_MAX + 1);
        len = read_file(s->file, buf, errp);
    } else {
        len = (ssize_t)strlen(text);
    }
    ok = len >= 0 &&
         (s->format == SECRET_RAW || check_base64(text, (size_t)len, errp));
    if (buf) {
        explicit_bzero(buf, SECRET_MAX + 1);
    }
    return ok;
}

static bool MAIN_THREAD secret_complete(Object *obj, Error **errp)
{
    Secret *s = OBJECT_CAST(Secret, obj);

    if (!s->data == !s->file) {
        error_setg(errp, s->data ? "data= and file= exclude each other"
                                 : "one of data= and file= is needed");
        return false;
    }
    if (s->keyid || s->iv) {
        error_setg(errp,
                   "%s=: encrypted secrets are not supported; give it in "
                   "clear, in a file that others cannot read",
                   s->keyid ? "keyid" : "iv");
        return false;
    }
    if (!check_content(s, errp)) {
        return false;
    }
    if (s->data) {
        /* Nobody reads it in a core dump or by qom-get. */
        explicit_bzero(s->data, strlen(s->data));
    }
    return true;
}

static const char *const format_names[] = { "raw", "base64", NULL };

static const PropertyInfo format_info = {
    .type = "QCryptoSecretFormat",
    .get = prop_enum_get,
    .set = prop_enum_set,
    .set_default = prop_enum_default,
    .enum_values = format_names,
};

static const Property secret_properties[] = {
    PROP_STRING("data", Secret, data, "the secret itself"),
    PROP_STRING("file", Secret, file, "a file that has it"),
    PROP_("format", Secret, format, format_info, SECRET_RAW, "of data or file"),
    PROP_STRING("keyid", Secret, keyid, "not supported: no encryption"),
    PROP_STRING("iv", Secret, iv, "not supported: no encryption"),
    PROP_END,
};

static void secret_class_init(ObjectClass *klass)
{
    klass->complete = secret_complete;
}

static const char *const user_creatable[] = { "user-creatable", NULL };

static const TypeInfo secret_types[] = {
    {
        .name = "secret",
        .parent = "object",
        .instance_size = sizeof(Secret),
        .class_init = secret_class_init,
        .properties = secret_properties,
        .interfaces = user_creatable,
    },
};
DEFINE_TYPES(secret_types)
