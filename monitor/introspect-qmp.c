/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The schema, told to clients. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/qapi-commands.h"
#include "qapi/qapi-introspect.h"
#include "qapi/qapi-visit.h"

bool qmp_query_qmp_schema(json_object *args, json_object **ret, Error **errp)
{
    struct json_object_iterator first = json_object_iter_begin(args);

    if (json_object_object_length(args) > 0) {
        g_autofree char *name = qapi_quote(json_object_iter_peek_name(&first));

        error_setg(errp, "Invalid parameter '%s'", name);
        return false;
    }
    *ret = qapi_schema_to_json(qapi_schema);
    return true;
}
