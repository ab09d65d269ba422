/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The leaves of option text: on/off, integers, sizes; and enums' names. */
#include "util/osdep.h"
#include "qapi/qapi-visit.h"

#define QUOTE_MAX 64

char *qapi_quote(const char *text)
{
    GString *out = g_string_new(NULL);
    const char *end = text + strnlen(text, QUOTE_MAX);
    const char *p = text;

    while (p < end) {
        gunichar c = g_utf8_get_char_validated(p, end - p);
        bool whole = c != (gunichar)-1 && c != (gunichar)-2;

        if (!whole || g_unichar_iscntrl(c)) {
            g_string_append_printf(out, "\\x%02x", (unsigned char)*p);
            p++;
        } else {
            g_string_append_len(out, p, g_utf8_next_char(p) - p);
            p = g_utf8_next_char(p);
        }
    }
    if (*p) {
        g_string_append(out, "...");
    }
    return g_string_free(out, FALSE);
}

bool qapi_parse_bool(const char *name, const char *text, bool *out,
                     Error **errp)
{
    static const char *const on[] = { "on", "yes", "true", "y" };
    static const char *const off[] = { "off", "no", "false", "n" };
    g_autofree char *shown = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
        if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
            *out = strcmp(text, on[i]) == 0;
            return true;
        }
    }
    shown = qapi_quote(text);
    error_setg(errp, "Parameter '%s' expects 'on' or 'off', not '%s'", name,
               shown);
    return false;
}

/*
 * The magnitude of a decimal or 0x number that goes on to the end of @text.
 * False: it is not one, or has more than 64 bits.
 */
static bool parse_magnitude(const char *text, uint64_t *out)
{
    int base = 10;
    char *end;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (base == 10 ? !g_ascii_isdigit(*text) : !g_ascii_isxdigit(*text)) {
        return false;
    }
    errno = 0;
    *out = g_ascii_strtoull(text, &end, base);
    return errno == 0 && *end == '\0';
}

bool qapi_parse_int(const char *name, const char *text, int64_t min,
                    int64_t max, int64_t *out, Error **errp)
{
    bool negative = text[0] == '-';
    g_autofree char *shown = NULL;
    uint64_t magnitude;
    int64_t value;

    if (parse_magnitude(text + negative, &magnitude) &&
        magnitude <= (uint64_t)INT64_MAX + negative) {
        value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
        if (value >= min && value <= max) {
            *out = value;
            return true;
        }
    }
    shown = qapi_quote(text);
    error_setg(errp,
               "Parameter '%s' expects an integer between %" PRId64
               " and %" PRId64 ", not '%s'",
               name, min, max, shown);
    return false;
}

bool qapi_parse_uint(const char *name, const char *text, uint64_t max,
                     uint64_t *out, Error **errp)
{
    g_autofree char *shown = NULL;
    uint64_t value;

    if (parse_magnitude(text, &value) && value <= max) {
        *out = value;
        return true;
    }
    shown = qapi_quote(text);
    error_setg(errp,
               "Parameter '%s' expects an integer between 0 and %" PRIu64
               ", not '%s'",
               name, max, shown);
    return false;
}

/* Bytes of the suffix at @p, which ends the text; @unit without one; 0: no. */
static uint64_t size_unit(const char *p, uint64_t unit)
{
    static const char suffixes[] = "bkmgtpe";
    const char *found;

    if (*p == '\0') {
        return unit;
    }
    found = strchr(suffixes, g_ascii_tolower(*p));
    if (!found || p[1] != '\0') {
        return 0;
    }
    return 1ULL << (10 * (found - suffixes));
}

/*
 * "1.5G": digits, perhaps a fraction, perhaps a suffix, exactly. Digits of the
 * fraction beyond the 18th cannot change the result and are only skipped.
 */
static bool parse_decimal_size(const char *text, uint64_t unit, uint64_t *out)
{
    unsigned __int128 fraction = 0;
    unsigned __int128 scale = 1;
    uint64_t whole;
    char *end;

    if (!g_ascii_isdigit(*text)) {
        return false;
    }
    errno = 0;
    whole = g_ascii_strtoull(text, &end, 10);
    if (errno) {
        return false;
    }
    if (*end == '.' && g_ascii_isdigit(end[1])) {
        for (end++; g_ascii_isdigit(*end); end++) {
            if (scale < 1000000000000000000ULL) {
                fraction = fraction * 10 + (unsigned)(*end - '0');
                scale *= 10;
            }
        }
    }
    unit = size_unit(end, unit);
    if (unit == 0 || whole > UINT64_MAX / unit) {
        return false;
    }
    fraction = fraction * unit / scale;
    if (fraction > UINT64_MAX - whole * unit) {
        return false;
    }
    *out = whole * unit + (uint64_t)fraction;
    return true;
}

bool qapi_parse_size_unit(const char *name, const char *text, uint64_t unit,
                          uint64_t *out, Error **errp)
{
    g_autofree char *shown = NULL;
    uint64_t value;

    if (parse_decimal_size(text, unit, out)) {
        return true;
    }
    /* Hexadecimal takes no suffix: B and E are digits. */
    if (parse_magnitude(text, &value) && value <= UINT64_MAX / unit) {
        *out = value * unit;
        return true;
    }
    shown = qapi_quote(text);
    error_setg(errp,
               "Parameter '%s' expects a size below 2^64, a number with an "
               "optional suffix k, M, G, T, P or E, not '%s'",
               name, shown);
    return false;
}

bool qapi_parse_size(const char *name, const char *text, uint64_t *out,
                     Error **errp)
{
    return qapi_parse_size_unit(name, text, 1, out, errp);
}

const char *qapi_enum_str(const QapiType *type, int value)
{
    if (value < 0 || (uint32_t)value >= type->n_values) {
        return NULL;
    }
    return type->values[value].name;
}

int qapi_enum_find(const QapiType *type, const char *text)
{
    for (uint32_t i = 0; i < type->n_values; i++) {
        if (strcmp(type->values[i].name, text) == 0) {
            return (int)i;
        }
    }
    return -1;
}
