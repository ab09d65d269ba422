/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schema as clients see it: constant tables that the schema compiler
 * makes, and the JSON that query-qmp-schema answers with.
 *
 * Threads: constants, and pure functions on them.
 */
#ifndef QAPI_QAPI_SCHEMA_H
#define QAPI_QAPI_SCHEMA_H

#include "qapi/qapi-type.h"

typedef enum QapiMetaType {
    QAPI_META_BUILTIN,
    QAPI_META_ENUM,
    QAPI_META_ARRAY,
    QAPI_META_OBJECT,
    QAPI_META_ALTERNATE,
    QAPI_META_COMMAND,
    QAPI_META_EVENT,
} QapiMetaType;

/* A member of an object, a value of an enum, a type of an alternate, or a
 * case of an object with variants. */
typedef struct QapiSchemaItem {
    const char *name; /* of the member, value or case */
    const char *type; /* of the member, alternative or case */
    bool optional;
    QapiFeatures features;
} QapiSchemaItem;

typedef struct QapiSchemaEntry {
    const char *name;
    QapiMetaType meta_type;
    /* BUILTIN: the JSON type; ARRAY: the elements' type; OBJECT: the member
       that tells the variants apart, or NULL; COMMAND, EVENT: the type of the
       arguments. */
    const char *type;
    const char *ret_type; /* COMMAND */
    bool allow_oob;
    const QapiSchemaItem *members;
    uint32_t n_members;
    const QapiSchemaItem *variants;
    uint32_t n_variants;
    QapiFeatures features;
} QapiSchemaEntry;

/* @schema, closed by an entry without a name, as an array of SchemaInfo: a new
 * reference. */
json_object *qapi_schema_to_json(const QapiSchemaEntry *schema)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
