/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands for objects, devices and properties. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "monitor/hmp-internal.h"
#include "qapi/keyval.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"

bool hmp_object_add(const HmpArgs *args, GString *out, Error **errp)
{
    ObjectOptions *options = qapi_new_from_options(
        &qapi_type_ObjectOptions, args->arg[0].text, "qom-type", NULL, errp);
    bool ok = options && qmp_object_add(options, errp);

    qapi_free(&qapi_type_ObjectOptions, options);
    return ok;
}

bool hmp_object_del(const HmpArgs *args, GString *out, Error **errp)
{
    q_obj_object_del_arg arg = { .id = args->arg[0].text };

    return qmp_object_del(&arg, errp);
}

bool hmp_device_add(const HmpArgs *args, GString *out, Error **errp)
{
    bool is_json;
    json_object *options =
        options_parse(args->arg[0].text, "driver", &is_json, NULL, errp);
    bool ok = options && qmp_device_add(options, errp);

    json_object_put(options);
    return ok;
}

bool hmp_device_del(const HmpArgs *args, GString *out, Error **errp)
{
    q_obj_device_del_arg arg = { .id = args->arg[0].text };

    return qmp_device_del(&arg, errp);
}

bool hmp_qom_list(const HmpArgs *args, GString *out, Error **errp)
{
    char root[] = "/";
    q_obj_qom_list_arg arg = {
        .path = args->arg[0].given ? args->arg[0].text : root,
    };
    ObjectPropertyInfoList list = { 0 };

    if (!qmp_qom_list(&arg, &list, errp)) {
        return false;
    }
    for (size_t i = 0; i < list.n; i++) {
        g_string_append_printf(out, "%s (%s)\n", list.v[i].name,
                               list.v[i].type);
    }
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
    return true;
}

bool hmp_qom_get(const HmpArgs *args, GString *out, Error **errp)
{
    q_obj_qom_get_arg arg = {
        .path = args->arg[0].text,
        .property = args->arg[1].text,
    };
    json_object *value = NULL;
    const char *text;

    if (!qmp_qom_get(&arg, &value, errp)) {
        return false;
    }
    text = json_object_to_json_string_ext(
        value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                   JSON_C_TO_STRING_NOSLASHESCAPE);
    g_string_append_printf(out, "%s\n", text);
    json_object_put(value);
    return true;
}

bool hmp_qom_set(const HmpArgs *args, GString *out, Error **errp)
{
    bool is_json = args->arg[0].given;
    const char *text = args->arg[3].text;
    q_obj_qom_set_arg arg = {
        .path = args->arg[1].text,
        .property = args->arg[2].text,
    };
    bool ok;

    if (is_json && !qapi_json_parse(text, strlen(text), &arg.value, errp)) {
        return false;
    }
    if (!is_json) {
        arg.value = json_object_new_string(text);
    }
    ok = qmp_qom_set(&arg, errp);
    json_object_put(arg.value);
    return ok;
}
