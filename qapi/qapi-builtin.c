/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types that every schema has. */
#include "util/osdep.h"
#include "qapi/qapi-type.h"

#define BUILTIN(tname, tkind, ctype, tmin, tmax) \
    const QapiType qapi_type_##tname = {         \
        .name = #tname,                          \
        .kind = QAPI_KIND_##tkind,               \
        .size = sizeof(ctype),                   \
        .min = (tmin),                           \
        .max = (tmax),                           \
    };

#define BUILTIN_LIST(tname)                    \
    const QapiType qapi_type_##tname##List = { \
        .name = #tname "List",                 \
        .kind = QAPI_KIND_LIST,                \
        .size = sizeof(tname##List),           \
        .element = &qapi_type_##tname,         \
    };

BUILTIN(str, STRING, char *, 0, 0)
BUILTIN_LIST(str)
BUILTIN(any, ANY, json_object *, 0, 0)
BUILTIN_LIST(any)
BUILTIN(bool, BOOL, bool, 0, 0)
BUILTIN_LIST(bool)
BUILTIN(number, NUMBER, double, 0, 0)
BUILTIN_LIST(number)
BUILTIN(int, INT, int64_t, INT64_MIN, INT64_MAX)
BUILTIN_LIST(int)
BUILTIN(int8, INT, int8_t, INT8_MIN, INT8_MAX)
BUILTIN_LIST(int8)
BUILTIN(int16, INT, int16_t, INT16_MIN, INT16_MAX)
BUILTIN_LIST(int16)
BUILTIN(int32, INT, int32_t, INT32_MIN, INT32_MAX)
BUILTIN_LIST(int32)
BUILTIN(int64, INT, int64_t, INT64_MIN, INT64_MAX)
BUILTIN_LIST(int64)
BUILTIN(uint8, UINT, uint8_t, 0, UINT8_MAX)
BUILTIN_LIST(uint8)
BUILTIN(uint16, UINT, uint16_t, 0, UINT16_MAX)
BUILTIN_LIST(uint16)
BUILTIN(uint32, UINT, uint32_t, 0, UINT32_MAX)
BUILTIN_LIST(uint32)
BUILTIN(uint64, UINT, uint64_t, 0, UINT64_MAX)
BUILTIN_LIST(uint64)
BUILTIN(size, SIZE, uint64_t, 0, UINT64_MAX)
BUILTIN_LIST(size)
BUILTIN(null, NULL, QapiNull, 0, 0)

static const QapiEnumValue values_QType[] = {
    [QTYPE_NONE] = { "none", NULL },   [QTYPE_QNULL] = { "qnull", NULL },
    [QTYPE_QNUM] = { "qnum", NULL },   [QTYPE_QSTRING] = { "qstring", NULL },
    [QTYPE_QDICT] = { "qdict", NULL }, [QTYPE_QLIST] = { "qlist", NULL },
    [QTYPE_QBOOL] = { "qbool", NULL },
};

const QapiType qapi_type_QType = {
    .name = "QType",
    .kind = QAPI_KIND_ENUM,
    .size = sizeof(QType),
    .values = values_QType,
    .n_values = QTYPE__MAX,
};
