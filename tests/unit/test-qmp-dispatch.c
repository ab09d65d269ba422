/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol: requests to answers. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"

static bool call_nothing(const void *arg, void *ret, Error **errp)
{
    return true;
}

/* Returns its argument. */
static bool call_triple(const void *arg, void *ret, Error **errp)
{
    if (((const VersionTriple *)arg)->major < 0) {
        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "minus");
        return false;
    }
    memcpy(ret, arg, sizeof(VersionTriple));
    return true;
}

/* Whatever it gets. */
static bool call_raw(const void *arg, void *ret, Error **errp)
{
    *(json_object **)ret = json_object_get((json_object *)(uintptr_t)arg);
    return true;
}

static const QapiCommand commands[] = {
    { .name = "qmp_capabilities",
      .call = call_nothing,
      .gen = true,
      .success_response = true,
      .allow_preconfig = true },
    { .name = "triple",
      .arg_type = &qapi_type_VersionTriple,
      .ret_type = &qapi_type_VersionTriple,
      .call = call_triple,
      .gen = true,
      .success_response = true },
    { .name = "raw",
      .ret_type = &qapi_type_any,
      .call = call_raw,
      .success_response = true },
    { .name = "fast",
      .call = call_nothing,
      .gen = true,
      .success_response = true,
      .allow_oob = true },
    { .name = "silent", .call = call_nothing, .gen = true },
    { .name = NULL },
};

#define ERROR(cls, text) \
    "{\"error\":{\"class\":\"" cls "\",\"desc\":\"" text "\"}}"
#define GENERIC(text)   ERROR("GenericError", text)
#define NOT_FOUND(text) ERROR("CommandNotFound", text)
#define EXPECTING \
    NOT_FOUND("Expecting capabilities negotiation with 'qmp_capabilities'")

static const struct {
    const char *request;
    unsigned flags;
    const char *answer; /* NULL: none */
} dispatch_cases[] = {
    { "null", 0, GENERIC("QMP input must be a JSON object") },
    { "[]", 0, GENERIC("QMP input must be a JSON object") },
    { "\"execute\"", 0, GENERIC("QMP input must be a JSON object") },
    { "{}", 0, GENERIC("QMP input lacks member 'execute'") },
    { "{\"id\":1}", 0,
      "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks "
      "member 'execute'\"},\"id\":1}" },
    { "{\"execute\":true}", 0,
      GENERIC("QMP input member 'execute' must be a string") },
    { "{\"execute\":\"fast\",\"arguments\":[]}", 0,
      GENERIC("QMP input member 'arguments' must be an object") },
    { "{\"execute\":\"fast\",\"arguments\":null}", 0,
      GENERIC("QMP input member 'arguments' must be an object") },
    { "{\"execute\":\"fast\",\"extra\":1}", 0,
      GENERIC("QMP input member 'extra' is unexpected") },
    { "{\"execute\":\"no-such\"}", 0,
      NOT_FOUND("The command no-such has not been found") },
    { "{\"execute\":\"\"}", 0, NOT_FOUND("The command  has not been found") },
    /* answers */
    { "{\"execute\":\"fast\"}", 0, "{\"return\":{}}" },
    { "{\"execute\":\"fast\",\"arguments\":{}}", 0, "{\"return\":{}}" },
    { "{\"execute\":\"fast\",\"arguments\":{\"a\":1}}", 0,
      GENERIC("Parameter 'a' is unexpected") },
    { "{\"execute\":\"silent\",\"id\":1}", 0, NULL },
    { "{\"execute\":\"triple\",\"arguments\":{\"major\":1,\"minor\":2,"
      "\"micro\":3}}",
      0, "{\"return\":{\"major\":1,\"minor\":2,\"micro\":3}}" },
    { "{\"execute\":\"triple\"}", 0, GENERIC("Parameter 'major' is missing") },
    { "{\"execute\":\"triple\",\"arguments\":{\"major\":\"1\",\"minor\":2,"
      "\"micro\":3}}",
      0, GENERIC("Invalid parameter type for 'major', expected: integer") },
    { "{\"execute\":\"triple\",\"arguments\":{\"major\":-1,\"minor\":2,"
      "\"micro\":3}}",
      0, ERROR("DeviceNotFound", "minus") },
    { "{\"execute\":\"raw\"}", 0, "{\"return\":{}}" },
    { "{\"execute\":\"raw\",\"arguments\":{\"x\":[null]}}", 0,
      "{\"return\":{\"x\":[null]}}" },
    /* ids of any type */
    { "{\"execute\":\"fast\",\"id\":null}", 0, "{\"return\":{},\"id\":null}" },
    { "{\"execute\":\"fast\",\"id\":{\"a\":[1.5]}}", 0,
      "{\"return\":{},\"id\":{\"a\":[1.5]}}" },
    { "{\"id\":\"x\",\"execute\":\"fast\"}", 0,
      "{\"return\":{},\"id\":\"x\"}" },
    /* out of band */
    { "{\"exec-oob\":\"fast\"}", 0,
      GENERIC("QMP input member 'exec-oob' is unexpected") },
    { "{\"exec-oob\":\"fast\"}", QMP_OOB_ENABLED, "{\"return\":{}}" },
    { "{\"exec-oob\":\"triple\"}", QMP_OOB_ENABLED,
      GENERIC("The command triple does not support OOB") },
    { "{\"exec-oob\":\"no-such\"}", QMP_OOB_ENABLED,
      NOT_FOUND("The command no-such has not been found") },
    { "{\"exec-oob\":1}", QMP_OOB_ENABLED,
      GENERIC("QMP input member 'exec-oob' must be a string") },
    { "{\"exec-oob\":\"fast\",\"execute\":\"fast\"}", QMP_OOB_ENABLED,
      GENERIC("QMP input members 'execute' and 'exec-oob' exclude each "
              "other") },
    /* negotiation */
    { "{\"execute\":\"fast\"}", QMP_NEGOTIATING, EXPECTING },
    { "{\"execute\":\"no-such\"}", QMP_NEGOTIATING, EXPECTING },
    { "{\"execute\":\"fast\",\"extra\":1}", QMP_NEGOTIATING,
      GENERIC("QMP input member 'extra' is unexpected") },
    { "{\"execute\":\"qmp_capabilities\"}", QMP_NEGOTIATING,
      "{\"return\":{}}" },
};

static void check_dispatch(const char *request, unsigned flags,
                           const char *want)
{
    json_object *json = NULL, *answer;

    g_assert_true(qapi_json_parse(request, strlen(request), &json, NULL));
    answer = qmp_dispatch_in(commands, json, flags);
    g_assert_cmpstr(
        answer ? json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN)
               : NULL,
        ==, want);
    json_object_put(answer);
    json_object_put(json);
}

static void test_dispatch_table(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(dispatch_cases); i++) {
        check_dispatch(dispatch_cases[i].request, dispatch_cases[i].flags,
                       dispatch_cases[i].answer);
    }
}

static void test_dispatch_preconfig(void)
{
    qmp_set_preconfig(true);
    check_dispatch("{\"execute\":\"fast\"}", 0,
                   GENERIC("The command 'fast' is permitted only after machine "
                           "initialization has completed"));
    check_dispatch("{\"execute\":\"qmp_capabilities\"}", 0, "{\"return\":{}}");
    qmp_set_preconfig(false);
    check_dispatch("{\"execute\":\"fast\"}", 0, "{\"return\":{}}");
}

/* A name that goes on for ever does not come back for ever. */
static void test_dispatch_long_name(void)
{
    g_autofree char *name = g_strnfill(100000, 'n');
    g_autofree char *request = g_strdup_printf("{\"execute\":\"%s\"}", name);
    json_object *json = NULL, *answer;

    g_assert_true(qapi_json_parse(request, strlen(request), &json, NULL));
    answer = qmp_dispatch(commands, json);
    g_assert_cmpuint(strlen(json_object_to_json_string(answer)), <, 300);
    json_object_put(answer);
    json_object_put(json);
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp/dispatch/table", test_dispatch_table);
    g_test_add_func("/qmp/dispatch/preconfig", test_dispatch_preconfig);
    g_test_add_func("/qmp/dispatch/long-name", test_dispatch_long_name);
    return g_test_run();
}
