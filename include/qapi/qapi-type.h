/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the schema compiler says about a type, command or event, as constant
 * tables. A generic walker (qapi/qapi-visit.h) reads and writes any generated
 * C struct by its table.
 *
 * How a schema type looks in C:
 *
 *   str                    char *, owned; NULL when an optional one is absent
 *   bool, int8..uint64,
 *   int, size, number      bool, (u)intN_t, int64_t, uint64_t, double
 *   enum Foo               enum Foo: FOO_BAR..., FOO__MAX; Foo_str(v)
 *   struct or union Foo    as a member: Foo *, owned, NULL when absent
 *   ['Foo']                FooList { size_t n; Foo *v; } by value; elements
 *                          are values too (list.v[i].id); strings: char **v
 *   union's branch bar     by value in the struct's union: p->u.bar
 *   alternate              { QType type; union u; }, branches by value
 *   any                    json_object *, one reference owned
 *
 * Optional members that are not pointers have a `bool has_NAME` before them.
 * `-` and `.` in names become `_`; a C keyword, or a word that the compiler
 * defines as a macro (unix, linux), gets the prefix `q_`.
 *
 * Threads: constants.
 */
#ifndef QAPI_QAPI_TYPE_H
#define QAPI_QAPI_TYPE_H

#include "util/error.h"

typedef struct json_object json_object;

typedef enum QapiKind {
    QAPI_KIND_STRING,
    QAPI_KIND_BOOL,
    QAPI_KIND_INT,    /* signed; limits in min, max */
    QAPI_KIND_UINT,   /* unsigned; limit in max */
    QAPI_KIND_SIZE,   /* uint64_t; as text it may have a suffix k, M, G... */
    QAPI_KIND_NUMBER, /* double */
    QAPI_KIND_NULL,
    QAPI_KIND_ANY, /* json_object * */
    QAPI_KIND_ENUM,
    QAPI_KIND_STRUCT,
    QAPI_KIND_UNION,
    QAPI_KIND_ALTERNATE,
    QAPI_KIND_LIST,
} QapiKind;

typedef struct QapiType QapiType;

/* Names of features, closed by NULL; a NULL list has none. */
typedef const char *const *QapiFeatures;

typedef struct QapiMember {
    const char *name; /* as on the wire */
    const QapiType *type;
    uint32_t offset;    /* in the C struct */
    int32_t has_offset; /* of `bool has_NAME`; -1: there is none */
    bool optional;
    QapiFeatures features;
    const char *help; /* its documentation in one line, or NULL */
} QapiMember;

typedef struct QapiEnumValue {
    const char *name;
    QapiFeatures features;
} QapiEnumValue;

struct QapiType {
    const char *name; /* as in the schema; a list's is "FooList" */
    QapiKind kind;
    uint32_t size; /* of the C type, bytes */

    int64_t min;  /* INT */
    uint64_t max; /* INT, UINT, SIZE */

    const QapiEnumValue *values; /* ENUM: index is the C value */
    uint32_t n_values;

    /* STRUCT and UNION: members, those of the base first.
       ALTERNATE: the branches, told apart by the kind of their type. */
    const QapiMember *members;
    uint32_t n_members;

    /* UNION: members[tag] is the discriminator; variants[its value] the type
       of the branch at variant_offset, NULL where the branch adds nothing. */
    uint32_t tag;
    uint32_t variant_offset;
    const QapiType *const *variants;
    uint32_t n_variants;

    const QapiType *element; /* LIST */
    QapiFeatures features;
};

typedef struct QapiCommand {
    const char *name;
    const QapiType *arg_type; /* STRUCT or UNION; NULL: takes no arguments */
    const QapiType *ret_type; /* NULL: returns the empty object */
    /*
     * Calls the handler. @arg: the arguments as a struct of arg_type (not
     * looked at without one); @ret: a zeroed value of ret_type. Machine lock.
     */
    bool (*call)(const void *arg, void *ret, Error **errp);
    bool gen;              /* false: @arg is the arguments as a json_object,
                              which nobody checked, and *@ret is one */
    bool success_response; /* false: no answer on success */
    bool allow_oob;
    bool allow_preconfig;
    QapiFeatures features;
} QapiCommand;

typedef struct QapiEvent {
    const char *name;
    const QapiType *arg_type; /* NULL: no data */
    QapiFeatures features;
} QapiEvent;

/* JSON's own kinds of value: what an alternate holds. */
typedef enum QType {
    QTYPE_NONE,
    QTYPE_QNULL,
    QTYPE_QNUM,
    QTYPE_QSTRING,
    QTYPE_QDICT,
    QTYPE_QLIST,
    QTYPE_QBOOL,
    QTYPE__MAX,
} QType;

typedef struct QapiNull {
    char unused;
} QapiNull;

typedef struct strList {
    size_t n;
    char **v;
} strList;

typedef struct anyList {
    size_t n;
    json_object **v;
} anyList;

#define QAPI_DECLARE_LIST(name, ctype) \
    typedef struct name##List {        \
        size_t n;                      \
        ctype *v;                      \
    } name##List

QAPI_DECLARE_LIST(bool, bool);
QAPI_DECLARE_LIST(int, int64_t);
QAPI_DECLARE_LIST(int8, int8_t);
QAPI_DECLARE_LIST(int16, int16_t);
QAPI_DECLARE_LIST(int32, int32_t);
QAPI_DECLARE_LIST(int64, int64_t);
QAPI_DECLARE_LIST(uint8, uint8_t);
QAPI_DECLARE_LIST(uint16, uint16_t);
QAPI_DECLARE_LIST(uint32, uint32_t);
QAPI_DECLARE_LIST(uint64, uint64_t);
QAPI_DECLARE_LIST(size, uint64_t);
QAPI_DECLARE_LIST(number, double);

extern const QapiType qapi_type_str, qapi_type_strList;
extern const QapiType qapi_type_any, qapi_type_anyList;
extern const QapiType qapi_type_bool, qapi_type_boolList;
extern const QapiType qapi_type_int, qapi_type_intList;
extern const QapiType qapi_type_int8, qapi_type_int8List;
extern const QapiType qapi_type_int16, qapi_type_int16List;
extern const QapiType qapi_type_int32, qapi_type_int32List;
extern const QapiType qapi_type_int64, qapi_type_int64List;
extern const QapiType qapi_type_uint8, qapi_type_uint8List;
extern const QapiType qapi_type_uint16, qapi_type_uint16List;
extern const QapiType qapi_type_uint32, qapi_type_uint32List;
extern const QapiType qapi_type_uint64, qapi_type_uint64List;
extern const QapiType qapi_type_size, qapi_type_sizeList;
extern const QapiType qapi_type_number, qapi_type_numberList;
extern const QapiType qapi_type_null;
extern const QapiType qapi_type_QType;

#endif
