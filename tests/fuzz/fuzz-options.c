/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option text, key=value or JSON, to the struct that it describes. What was
 * read is the same when it is written as JSON and read again; nothing is made
 * of it.
 *
 * Input: a byte that chooses the kind of option, then its text.
 *
 * Threads: none.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "net/net.h"
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"
#include "tests/fuzz/fuzz.h"

static const struct {
    const QapiType *type;
    const char *implied;
} kinds[] = {
    { &qapi_type_Netdev, NULL }, /* by netdev_parse() */
    { &qapi_type_Netdev, "type" },
    { &qapi_type_ObjectOptions, "qom-type" },
    { &qapi_type_MachineOptions, "type" },
    { &qapi_type_SMPConfiguration, "cpus" },
    { &qapi_type_MonitorOptions, "chardev" },
    { &qapi_type_NetRateLimit, NULL },
    { &qapi_type_VirtioNetQueueMappingList, NULL },
};

static void *read_text(unsigned kind, const char *text, Error **errp)
{
    return kind == 0 ? netdev_parse(text, NULL, errp)
                     : qapi_new_from_options(kinds[kind].type, text,
                                             kinds[kind].implied, NULL, errp);
}

static void check_round_trip(const QapiType *type, const void *value)
{
    json_object *first = qapi_to_json(type, value), *second;
    Error *err = NULL;
    void *again = qapi_new_from_json(type, first, &err);

    g_assert_no_error(err);
    second = qapi_to_json(type, again);
    g_assert_true(json_object_equal(first, second));
    json_object_put(first);
    json_object_put(second);
    qapi_free(type, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    FuzzInput in = { data, len };
    unsigned kind = fuzz_u8(&in) % ARRAY_SIZE(kinds);
    g_autofree char *text = g_strndup((const char *)in.at, in.left);
    Error *err = NULL;
    void *value = read_text(kind, text, &err);

    g_assert_true(!value == !!err);
    if (value) {
        check_round_trip(kinds[kind].type, value);
    } else {
        g_assert_cmpuint(strlen(err->message), >, 0);
    }
    g_clear_error(&err);
    qapi_free(kinds[kind].type, value);
    return 0;
}
