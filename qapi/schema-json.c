/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of the schema to what query-qmp-schema answers. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/qapi-schema.h"

static void add_string(json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

/* Nothing is said of what has no features. */
static void add_features(json_object *object, QapiFeatures features)
{
    json_object *list;

    if (!features || !features[0]) {
        return;
    }
    list = json_object_new_array();
    for (; *features; features++) {
        json_object_array_add(list, json_object_new_string(*features));
    }
    json_object_object_add(object, "features", list);
}

static json_object *item_new(const QapiSchemaItem *item, const char *name_key)
{
    json_object *object = json_object_new_object();

    if (item->name) {
        add_string(object, name_key, item->name);
    }
    if (item->type) {
        add_string(object, "type", item->type);
    }
    /* Absent means null: the schema has no other defaults. */
    if (item->optional) {
        json_object_object_add(object, "default", NULL);
    }
    add_features(object, item->features);
    return object;
}

static void add_items(json_object *object, const char *key,
                      const QapiSchemaItem *items, uint32_t n,
                      const char *name_key)
{
    json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < n; i++) {
        json_object_array_add(list, item_new(&items[i], name_key));
    }
    json_object_object_add(object, key, list);
}

static void add_enum(json_object *object, const QapiSchemaEntry *entry)
{
    json_object *values = json_object_new_array();

    add_items(object, "members", entry->members, entry->n_members, "name");
    for (uint32_t i = 0; i < entry->n_members; i++) {
        json_object_array_add(values,
                              json_object_new_string(entry->members[i].name));
    }
    json_object_object_add(object, "values", values);
}

static void add_object(json_object *object, const QapiSchemaEntry *entry)
{
    add_items(object, "members", entry->members, entry->n_members, "name");
    if (entry->type) {
        add_string(object, "tag", entry->type);
        add_items(object, "variants", entry->variants, entry->n_variants,
                  "case");
    }
}

static void add_call(json_object *object, const QapiSchemaEntry *entry)
{
    add_string(object, "arg-type", entry->type);
    if (entry->meta_type == QAPI_META_COMMAND) {
        add_string(object, "ret-type", entry->ret_type);
    }
    if (entry->allow_oob) {
        json_object_object_add(object, "allow-oob",
                               json_object_new_boolean(true));
    }
}

static json_object *entry_new(const QapiSchemaEntry *entry)
{
    static const char *const meta_types[] = {
        [QAPI_META_BUILTIN] = "builtin",     [QAPI_META_ENUM] = "enum",
        [QAPI_META_ARRAY] = "array",         [QAPI_META_OBJECT] = "object",
        [QAPI_META_ALTERNATE] = "alternate", [QAPI_META_COMMAND] = "command",
        [QAPI_META_EVENT] = "event",
    };
    json_object *object = json_object_new_object();

    add_string(object, "name", entry->name);
    add_string(object, "meta-type", meta_types[entry->meta_type]);
    add_features(object, entry->features);
    switch (entry->meta_type) {
    case QAPI_META_BUILTIN:
        add_string(object, "json-type", entry->type);
        break;
    case QAPI_META_ENUM:
        add_enum(object, entry);
        break;
    case QAPI_META_ARRAY:
        add_string(object, "element-type", entry->type);
        break;
    case QAPI_META_OBJECT:
        add_object(object, entry);
        break;
    case QAPI_META_ALTERNATE:
        add_items(object, "members", entry->members, entry->n_members, "name");
        break;
    case QAPI_META_COMMAND:
    case QAPI_META_EVENT:
        add_call(object, entry);
        break;
    }
    return object;
}

json_object *qapi_schema_to_json(const QapiSchemaEntry *schema)
{
    json_object *list = json_object_new_array();

    for (; schema->name; schema++) {
        json_object_array_add(list, entry_new(schema));
    }
    return list;
}
