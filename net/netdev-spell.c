/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option text of netdevs in the short form that users know. */
#include "util/osdep.h"

#include "net/clients.h"

/* Options that may be given again and again: each is a member "str" of an
 * element of a list. */
static const struct {
    const char *type, *key;
} lists[] = {
    { "user", "dnssearch" }, { "user", "hostfwd" },    { "user", "guestfwd" },
    { "passt", "search" },   { "passt", "tcp-ports" }, { "passt", "udp-ports" },
    { "passt", "param" },
};

/* Bytes of the item at @p: up to a lone comma, or the end. */
static size_t item_length(const char *p)
{
    size_t n = 0;

    while (p[n] && (p[n] != ',' || p[n + 1] == ',')) {
        n += p[n] == ',' ? 2 : 1;
    }
    return n;
}

/* Item @item is @key=VALUE: the value, else NULL. */
static const char *value_of(const char *item, const char *key)
{
    size_t n = strlen(key);

    return strncmp(item, key, n) == 0 && item[n] == '=' ? item + n + 1 : NULL;
}

/* The type that @text asks for; the caller frees. */
static char *type_of(const char *text)
{
    char *type = NULL;

    for (const char *p = text; *p;) {
        size_t n = item_length(p);
        const char *value = value_of(p, "type");

        if (value || (p == text && !memchr(p, '=', n))) {
            value = value ? value : p;
            g_free(type);
            type = g_strndup(value, n - (size_t)(value - p));
        }
        p += n + (p[n] == ',');
    }
    return type;
}

/* Adds the item if it is one of a list; @counts says how many there were. */
static bool add_element(GString *out, const char *type, const char *item,
                        size_t n, unsigned *counts)
{
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        const char *value = value_of(item, lists[i].key);

        if (value && strcmp(type, lists[i].type) == 0) {
            g_string_append_printf(out, "%s.%u.str=%.*s", lists[i].key,
                                   counts[i]++, (int)(n - (value - item)),
                                   value);
            return true;
        }
    }
    return false;
}

/* ipv6-net=PREFIX/BITS. */
static bool add_ipv6_net(GString *out, const char *type, const char *item,
                         size_t n)
{
    const char *value = value_of(item, "ipv6-net");
    const char *slash;

    if (!value || strcmp(type, "user") != 0) {
        return false;
    }
    n -= (size_t)(value - item);
    slash = memchr(value, '/', n);
    g_string_append(out, "ipv6-prefix=");
    g_string_append_len(out, value, slash ? slash - value : (gssize)n);
    if (slash) {
        g_string_append(out, ",ipv6-prefixlen=");
        g_string_append_len(out, slash + 1, (gssize)n - (slash + 1 - value));
    }
    return true;
}

/* mode=0NNN, which is octal. */
static bool add_octal_mode(GString *out, const char *type, const char *item,
                           size_t n)
{
    const char *value = value_of(item, "mode");
    size_t digits = value ? strspn(value, "01234567") : 0;

    if (!value || strcmp(type, "vde") != 0 || value[0] != '0' || digits > 6 ||
        digits != n - (size_t)(value - item)) {
        return false;
    }
    g_string_append_printf(out, "mode=%lu", strtoul(value, NULL, 8));
    return true;
}

char *netdev_spell_out(const char *text)
{
    unsigned counts[ARRAY_SIZE(lists)] = { 0 };
    g_autofree char *type = text[0] == '{' ? NULL : type_of(text);
    GString *out;

    if (!type) {
        return g_strdup(text);
    }
    out = g_string_new(NULL);
    for (const char *p = text; *p;) {
        size_t n = item_length(p);

        if (!add_element(out, type, p, n, counts) &&
            !add_ipv6_net(out, type, p, n) &&
            !add_octal_mode(out, type, p, n)) {
            g_string_append_len(out, p, (gssize)n);
        }
        if (p[n] == ',') {
            g_string_append_c(out, ',');
            n++;
        }
        p += n;
    }
    return g_string_free(out, FALSE);
}
