/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arguments of the human monitor's commands. */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-visit.h"

#define BLANKS " \t"

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, BLANKS);
}

/* What is between the quotes; *@pp is behind the first of them. NULL: the
 * other one is missing, or a backslash is before something else. */
static char *quoted_word(const char **pp, Error **errp)
{
    g_autoptr(GString) word = g_string_new(NULL);
    const char *p = *pp;

    for (; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1] != '"' && p[1] != '\\') {
            error_setg(errp, "in quotes, write \\\\ for \\ and \\\" for \"");
            return NULL;
        }
        p += *p == '\\';
        g_string_append_c(word, *p);
    }
    if (*p != '"') {
        error_setg(errp, "a closing \" is missing");
        return NULL;
    }
    p++;
    if (*p && !strchr(BLANKS, *p)) {
        error_setg(errp, "a blank is missing after the closing \"");
        return NULL;
    }
    *pp = p;
    return g_string_free(g_steal_pointer(&word), FALSE);
}

/* The next word; *@pp is at its begin and then behind it. */
static char *next_word(const char **pp, Error **errp)
{
    size_t len;
    char *word;

    if (**pp == '"') {
        (*pp)++;
        return quoted_word(pp, errp);
    }
    len = strcspn(*pp, BLANKS);
    word = g_strndup(*pp, len);
    *pp += len;
    return word;
}

static bool parse_number(const HmpParam *param, HmpArg *arg, Error **errp)
{
    uint64_t max = param->max ? param->max : INT64_MAX;
    g_autofree char *shown = NULL;

    if (param->kind == HMP_INT) {
        return qapi_parse_uint(param->name, arg->text, max, &arg->number, errp);
    }
    if (qapi_parse_size(param->name, arg->text, &arg->number, NULL) &&
        arg->number > 0 && arg->number <= max) {
        return true;
    }
    shown = qapi_quote(arg->text);
    error_setg(errp, "%s expects 1 to %llu%s bytes, not '%s'", param->name,
               (unsigned long long)(max % MiB ? max : max / MiB),
               max % MiB ? "" : "M", shown);
    return false;
}

static bool parse_arg(const HmpParam *param, const char **pp, HmpArg *arg,
                      Error **errp)
{
    if (param->kind == HMP_REST) {
        arg->text = g_strdup(*pp);
        *pp += strlen(*pp);
    } else {
        arg->text = next_word(pp, errp);
    }
    arg->given = arg->text != NULL;
    return arg->given && ((param->kind != HMP_INT && param->kind != HMP_SIZE) ||
                          parse_number(param, arg, errp));
}

static bool has_flags(const HmpParam *params)
{
    return params->name && params->kind == HMP_FLAG;
}

/* The flags that the line begins with. */
static bool parse_flags(const HmpParam *params, const char **pp, HmpArgs *args,
                        Error **errp)
{
    while (has_flags(params) && **pp == '-') {
        g_autofree char *word = next_word(pp, errp);
        bool known = false;

        if (!word) {
            return false;
        }
        for (size_t i = 0; params[i].name && params[i].kind == HMP_FLAG; i++) {
            if (strcmp(params[i].name, word) == 0) {
                args->arg[i].given = known = true;
            }
        }
        if (!known) {
            g_autofree char *shown = qapi_quote(word);

            error_setg(errp, "there is no option '%s'", shown);
            return false;
        }
        *pp = skip_blanks(*pp);
    }
    return true;
}

bool hmp_args_parse(const HmpParam *params, const char *text, HmpArgs *args,
                    Error **errp)
{
    static const HmpParam none[] = { { NULL } };
    const char *p = skip_blanks(text);
    g_autofree char *shown = NULL;

    params = params ? params : none;
    if (!parse_flags(params, &p, args, errp)) {
        return false;
    }
    for (size_t i = 0; params[i].name; i++) {
        if (params[i].kind == HMP_FLAG) {
            continue;
        }
        if (!*p && !params[i].optional) {
            error_setg(errp, "%s is missing", params[i].name);
            return false;
        }
        if (*p && !parse_arg(&params[i], &p, &args->arg[i], errp)) {
            return false;
        }
        p = skip_blanks(p);
    }
    if (*p) {
        shown = qapi_quote(p);
        error_setg(errp, "'%s' is too much", shown);
        return false;
    }
    return true;
}

void hmp_args_clear(HmpArgs *args)
{
    for (size_t i = 0; i < HMP_MAX_ARGS; i++) {
        g_clear_pointer(&args->arg[i].text, g_free);
    }
}
