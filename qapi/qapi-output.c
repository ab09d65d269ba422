/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Generated structs to JSON, and to dust. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/qapi-visit.h"
#include "qapi/visit-internal.h"

static json_object *int_to_json(const QapiType *type, const void *ptr)
{
    return json_object_new_int64(qapi_load_int(type, ptr));
}

static json_object *list_to_json(const QapiType *type, const void *ptr)
{
    json_object *array = json_object_new_array();
    QapiAnyList list;

    memcpy(&list, ptr, sizeof(list));
    for (size_t i = 0; i < list.n; i++) {
        const char *element = (const char *)list.v + i * type->element->size;

        json_object_array_add(array, qapi_to_json(type->element, element));
    }
    return array;
}

static void members_to_json(const QapiType *type, const void *ptr,
                            json_object *object)
{
    const QapiType *variant;

    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *member = &type->members[i];
        const void *value = qapi_member_value(member, ptr);

        if (value) {
            json_object_object_add(object, member->name,
                                   qapi_to_json(member->type, value));
        }
    }
    variant = qapi_variant(type, ptr);
    if (variant) {
        members_to_json(variant, (const char *)ptr + type->variant_offset,
                        object);
    }
}

json_object *qapi_to_json(const QapiType *type, const void *ptr)
{
    const QapiMember *branch;
    json_object *object;
    double number;
    bool flag;

    switch (type->kind) {
    case QAPI_KIND_STRING:
        return json_object_new_string(qapi_load_ptr(ptr) ? qapi_load_ptr(ptr)
                                                         : "");
    case QAPI_KIND_BOOL:
        memcpy(&flag, ptr, sizeof(flag));
        return json_object_new_boolean(flag);
    case QAPI_KIND_INT:
        return int_to_json(type, ptr);
    case QAPI_KIND_UINT:
    case QAPI_KIND_SIZE:
        return json_object_new_uint64(qapi_load_uint(type, ptr));
    case QAPI_KIND_NUMBER:
        memcpy(&number, ptr, sizeof(number));
        return json_object_new_double(number);
    case QAPI_KIND_NULL:
        return NULL;
    case QAPI_KIND_ANY:
        return json_object_get(qapi_load_ptr(ptr));
    case QAPI_KIND_ENUM:
        return json_object_new_string(qapi_enum_str(type, qapi_load_enum(ptr)));
    case QAPI_KIND_STRUCT:
    case QAPI_KIND_UNION:
        object = json_object_new_object();
        members_to_json(type, ptr, object);
        return object;
    case QAPI_KIND_ALTERNATE:
        branch = qapi_alternate_branch(type, qapi_load_enum(ptr));
        return branch ? qapi_to_json(branch->type,
                                     (const char *)ptr + branch->offset)
                      : NULL;
    case QAPI_KIND_LIST:
        return list_to_json(type, ptr);
    }
    return NULL;
}

static void free_members(const QapiType *type, void *ptr)
{
    const QapiType *variant = qapi_variant(type, ptr);

    if (variant) {
        free_members(variant, (char *)ptr + type->variant_offset);
    }
    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *member = &type->members[i];
        void *value = (char *)ptr + member->offset;

        if (qapi_is_pointer(member->type)) {
            qapi_free(member->type, qapi_load_ptr(value));
        } else {
            qapi_free_contents(member->type, value);
        }
    }
}

static void free_list(const QapiType *type, void *ptr)
{
    QapiAnyList list;

    memcpy(&list, ptr, sizeof(list));
    for (size_t i = 0; i < list.n; i++) {
        qapi_free_contents(type->element,
                           (char *)list.v + i * type->element->size);
    }
    g_free(list.v);
}

void qapi_free_contents(const QapiType *type, void *ptr)
{
    const QapiMember *branch;

    switch (type->kind) {
    case QAPI_KIND_STRING:
        g_free(qapi_load_ptr(ptr));
        break;
    case QAPI_KIND_ANY:
        json_object_put(qapi_load_ptr(ptr));
        break;
    case QAPI_KIND_STRUCT:
    case QAPI_KIND_UNION:
        free_members(type, ptr);
        break;
    case QAPI_KIND_ALTERNATE:
        branch = qapi_alternate_branch(type, qapi_load_enum(ptr));
        if (branch) {
            qapi_free_contents(branch->type, (char *)ptr + branch->offset);
        }
        break;
    case QAPI_KIND_LIST:
        free_list(type, ptr);
        break;
    default:
        break;
    }
    memset(ptr, 0, type->size);
}

void *qapi_new(const QapiType *type)
{
    return g_malloc0(type->size);
}

void qapi_free(const QapiType *type, void *ptr)
{
    if (ptr) {
        qapi_free_contents(type, ptr);
        g_free(ptr);
    }
}
