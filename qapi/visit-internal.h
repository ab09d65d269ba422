/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the reader and the writer of generated structs find and move values.
 * For qapi/ only.
 *
 * Values are moved with memcpy() because their C types are known to the table
 * only, not to the compiler.
 *
 * Threads: pure functions on the caller's data.
 */
#ifndef QAPI_VISIT_INTERNAL_H
#define QAPI_VISIT_INTERNAL_H

#include "qapi/qapi-type.h"

/* The shape that all generated lists share. */
typedef struct QapiAnyList {
    size_t n;
    void *v;
} QapiAnyList;

static inline void *qapi_load_ptr(const void *ptr)
{
    void *value;

    memcpy(&value, ptr, sizeof(value));
    return value;
}

static inline int qapi_load_enum(const void *ptr)
{
    int value;

    memcpy(&value, ptr, sizeof(value));
    return value;
}

static inline uint64_t qapi_load_uint(const QapiType *type, const void *ptr)
{
    uint64_t value = 0;

    /* Little-endian host: the low bytes come first. */
    memcpy(&value, ptr, type->size);
    return value;
}

static inline int64_t qapi_load_int(const QapiType *type, const void *ptr)
{
    unsigned unused_bits = 64 - 8 * type->size;

    return (int64_t)(qapi_load_uint(type, ptr) << unused_bits) >> unused_bits;
}

/* Whether a struct holds a member of @type by pointer. */
static inline bool qapi_is_pointer(const QapiType *type)
{
    return type->kind == QAPI_KIND_STRUCT || type->kind == QAPI_KIND_UNION ||
           type->kind == QAPI_KIND_ALTERNATE;
}

/* The value of @member in the struct at @ptr; NULL: absent. */
static inline const void *qapi_member_value(const QapiMember *member,
                                            const void *ptr)
{
    const char *base = ptr;
    bool has = true;

    if (member->has_offset >= 0) {
        memcpy(&has, base + member->has_offset, sizeof(has));
        return has ? base + member->offset : NULL;
    }
    if (qapi_is_pointer(member->type)) {
        return qapi_load_ptr(base + member->offset);
    }
    if (member->optional && !qapi_load_ptr(base + member->offset)) {
        return NULL;
    }
    return base + member->offset;
}

/* The type of the branch that the union at @ptr has now; NULL: none. */
static inline const QapiType *qapi_variant(const QapiType *type,
                                           const void *ptr)
{
    int value;

    if (type->n_variants == 0) {
        return NULL;
    }
    value = qapi_load_enum((const char *)ptr + type->members[type->tag].offset);
    return value >= 0 && (uint32_t)value < type->n_variants
               ? type->variants[value]
               : NULL;
}

/* The kind of JSON value that a value of @type is; NONE: any. */
QType qapi_json_kind(const QapiType *type);

/* The branch of an alternate for values of @kind; NULL: it has none. */
const QapiMember *qapi_alternate_branch(const QapiType *type, QType kind);

#endif
