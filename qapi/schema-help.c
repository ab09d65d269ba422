/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help on options that are members of a QAPI type. */
#include "util/osdep.h"
#include "qapi/schema-help.h"

char *schema_kind(const QapiMember *member)
{
    const QapiType *type = member->type;
    g_autoptr(GString) text = g_string_new(NULL);

    if (type->kind != QAPI_KIND_ENUM) {
        return g_strdup(type->name);
    }
    for (uint32_t i = 0; i < type->n_values; i++) {
        g_string_append_printf(text, "%s%s", i ? "|" : "",
                               type->values[i].name);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void print_members(const QapiType *type)
{
    for (uint32_t i = 0; i < type->n_members; i++) {
        g_autofree char *kind = schema_kind(&type->members[i]);

        if (type->kind != QAPI_KIND_UNION || i != type->tag) {
            printf("  %s=<%s>\n", type->members[i].name, kind);
        }
    }
}

void schema_print_options(const char *title, const QapiType *type,
                          unsigned branch)
{
    printf("%s options:\n", title);
    print_members(type);
    if (type->kind == QAPI_KIND_UNION && branch < type->n_variants &&
        type->variants[branch]) {
        print_members(type->variants[branch]);
    }
}

void schema_hint_unknown(Error **errp, const char *hint)
{
    if (errp && *errp &&
        g_str_has_prefix((*errp)->message, "Invalid parameter '") &&
        g_str_has_suffix((*errp)->message, "'")) {
        char *text = g_strdup_printf("%s (%s)", (*errp)->message, hint);

        g_free((*errp)->message);
        (*errp)->message = text;
    }
}
