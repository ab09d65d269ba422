/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Generated structs from JSON and option text, and back; every error. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/keyval.h"
#include "qapi/test-qapi-commands.h"
#include "qapi/test-qapi-events.h"
#include "system/machine-lock.h"

typedef struct BadInput {
    const QapiType *type;
    const char *text; /* JSON, or option text where it does not start with { */
    const char *message;
} BadInput;

static const BadInput bad_inputs[] = {
    /* members */
    { &qapi_type_Base, "{}", "Parameter 'id' is missing" },
    { &qapi_type_Base, "", "Parameter 'id' is missing" },
    { &qapi_type_Base, "id=a,foo=b", "Invalid parameter 'foo'" },
    { &qapi_type_Base, "{\"id\":\"a\",\"foo\":1}", "Invalid parameter 'foo'" },
    { &qapi_type_Base, "{\"id\":\"a\",\"\\u0007\":1}",
      "Invalid parameter '\\x07'" },
    { &qapi_type_Node, "{\"id\":\"a\",\"next\":{}}",
      "Parameter 'next.id' is missing" },
    { &qapi_type_Node,
      "{\"id\":\"a\",\"next\":{\"id\":\"b\",\"kids\":"
      "[{\"id\":\"c\"},{\"id\":\"d\",\"nums\":[1,-1]}]}}",
      "Parameter 'next.kids[1].nums[1]' expects an integer between 0 and "
      "65535, not '-1'" },
    { &qapi_type_Node, "id=a,kids.0.id=x,kids.1.nums.0=1",
      "Parameter 'kids.1.id' is missing" },
    { &qapi_type_Node, "id=a,gone=b", "Invalid parameter 'gone'" },
    /* types */
    { &qapi_type_Base, "{\"id\":5}",
      "Invalid parameter type for 'id', expected: string" },
    { &qapi_type_Base, "{\"id\":null}",
      "Invalid parameter type for 'id', expected: string" },
    { &qapi_type_Base, "id.x=5",
      "Invalid parameter type for 'id', expected: string" },
    { &qapi_type_Base, "{\"id\":\"a\\u0000b\"}",
      "Parameter 'id' must not have a NUL character" },
    { &qapi_type_Scalars, "{\"b\":\"on\"}",
      "Invalid parameter type for 'b', expected: boolean" },
    { &qapi_type_Scalars, "b.0=on",
      "Invalid parameter type for 'b', expected: boolean" },
    { &qapi_type_Scalars, "b=1",
      "Parameter 'b' expects 'on' or 'off', "
      "not '1'" },
    { &qapi_type_Scalars, "{\"i\":\"5\"}",
      "Invalid parameter type for 'i', expected: integer" },
    { &qapi_type_Scalars, "{\"i\":5.5}",
      "Invalid parameter type for 'i', expected: integer" },
    { &qapi_type_Scalars, "{\"sz\":\"1k\"}",
      "Invalid parameter type for 'sz', expected: integer" },
    { &qapi_type_Scalars, "{\"n\":\"5\"}",
      "Invalid parameter type for 'n', expected: number" },
    { &qapi_type_Scalars, "n=1x",
      "Invalid parameter type for 'n', expected: number" },
    { &qapi_type_Scalars, "n=inf",
      "Invalid parameter type for 'n', expected: number" },
    { &qapi_type_Scalars, "{\"z\":0}",
      "Invalid parameter type for 'z', expected: null" },
    { &qapi_type_Scalars, "{\"e\":1}",
      "Invalid parameter type for 'e', expected: string" },
    { &qapi_type_Node, "{\"id\":\"a\",\"kids\":{}}",
      "Invalid parameter type for 'kids', expected: array" },
    { &qapi_type_Node, "id=a,nums=5",
      "Invalid parameter type for 'nums', expected: array" },
    { &qapi_type_Node, "{\"id\":\"a\",\"next\":[]}",
      "Invalid parameter type for 'next', expected: object" },
    { &qapi_type_NodeList, "{}",
      "Invalid parameter type for 'argument', expected: array" },
    /* integers */
    { &qapi_type_Scalars, "i8=128",
      "Parameter 'i8' expects an integer between -128 and 127, not '128'" },
    { &qapi_type_Scalars, "{\"i8\":-129}",
      "Parameter 'i8' expects an integer between -128 and 127, not '-129'" },
    { &qapi_type_Scalars, "i16=0x8000",
      "Parameter 'i16' expects an integer between -32768 and 32767, not "
      "'0x8000'" },
    { &qapi_type_Scalars, "i32=-2147483649",
      "Parameter 'i32' expects an integer between -2147483648 and 2147483647, "
      "not '-2147483649'" },
    { &qapi_type_Scalars, "{\"i64\":9223372036854775808}",
      "Parameter 'i64' expects an integer between -9223372036854775808 and "
      "9223372036854775807, not '9223372036854775808'" },
    { &qapi_type_Scalars, "u8=256",
      "Parameter 'u8' expects an integer between 0 and 255, not '256'" },
    { &qapi_type_Scalars, "{\"u32\":4294967296}",
      "Parameter 'u32' expects an integer between 0 and 4294967295, not "
      "'4294967296'" },
    { &qapi_type_Scalars, "u32=-1",
      "Parameter 'u32' expects an integer between 0 and 4294967295, not "
      "'-1'" },
    { &qapi_type_Scalars, "u64=18446744073709551616",
      "Parameter 'u64' expects an integer between 0 and "
      "18446744073709551615, not '18446744073709551616'" },
    { &qapi_type_Scalars, "u16=",
      "Parameter 'u16' expects an integer between 0 and 65535, not ''" },
    { &qapi_type_Scalars, "u16= 1",
      "Parameter 'u16' expects an integer between 0 and 65535, not ' 1'" },
    { &qapi_type_Scalars, "u16=0x",
      "Parameter 'u16' expects an integer between 0 and 65535, not '0x'" },
    { &qapi_type_Scalars, "u16=+1",
      "Parameter 'u16' expects an integer between 0 and 65535, not '+1'" },
    { &qapi_type_Scalars, "u16=1k",
      "Parameter 'u16' expects an integer between 0 and 65535, not '1k'" },
    /* enums and branches */
    { &qapi_type_Scalars, "e=blue",
      "Parameter 'e' does not accept value 'blue', expected one of: red, "
      "infra-red, green" },
    { &qapi_type_Shape, "note=x", "Parameter 'colour' is missing" },
    { &qapi_type_Shape, "colour=",
      "Parameter 'colour' does not accept value "
      "'', expected one of: red, infra-red, "
      "green" },
    { &qapi_type_Shape, "colour=infra-red,b=on", "Invalid parameter 'b'" },
    { &qapi_type_Shape, "colour=red,level=low", "Invalid parameter 'level'" },
    { &qapi_type_Shape, "colour=green", "Parameter 'level' is missing" },
    { &qapi_type_Shape, "colour=green,level=2nd", "Parameter 'id' is missing" },
    { &qapi_type_Holder, "{\"v\":1.5}",
      "Invalid parameter type for 'v', expected: integer" },
    { &qapi_type_Holder, "{\"v\":256}",
      "Parameter 'v' expects an integer between 0 and 255, not '256'" },
    { &qapi_type_Holder, "{\"v\":{\"id\":[]}}",
      "Invalid parameter type for 'v.id', expected: string" },
    { &qapi_type_Holder, "{\"v\":1,\"w\":1}",
      "Invalid parameter type for 'w', expected: Colour or bool" },
    { &qapi_type_Holder, "v=1,w=blue",
      "Parameter 'w' does not accept value 'blue', expected one of: red, "
      "infra-red, green" },
    { &qapi_type_Holder, "{\"v\":1,\"vs\":[\"a\",{}]}",
      "Parameter 'vs[1].id' is missing" },
};

static void test_errors(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_inputs); i++) {
        const BadInput *bad = &bad_inputs[i];
        g_autoptr(GError) err = NULL;
        void *value =
            qapi_new_from_options(bad->type, bad->text, NULL, NULL, &err);

        g_assert_null(value);
        g_assert_nonnull(err);
        g_assert_cmpstr(err->message, ==, bad->message);
    }
}

static void test_failed_struct_is_zero(void)
{
    static const Node zero;
    json_object *json = NULL;
    Node node;
    g_autoptr(GError) err = NULL;
    const char *text = "{\"id\":\"a\",\"kids\":[{\"id\":\"b\",\"names\":[\"c\"]"
                       "}],\"next\":{\"id\":\"d\",\"nums\":[1,2,\"x\"]}}";

    g_assert_true(qapi_json_parse(text, strlen(text), &json, NULL));
    memset(&node, 0xff, sizeof(node));
    g_assert_false(qapi_from_json(&qapi_type_Node, json, &node, &err));
    g_assert_cmpstr(err->message, ==,
                    "Invalid parameter type for "
                    "'next.nums[2]', expected: integer");
    g_assert_cmpmem(&node, sizeof(node), &zero, sizeof(zero));
    json_object_put(json);
}

static void test_scalars(void)
{
    g_autoptr(Scalars) s = qapi_new_from_options(
        &qapi_type_Scalars,
        "b=yes,i=-5,n=-1.5e3,s=a,,b,i8=-128,i16=32767,i32=0x7fffffff,"
        "i64=-9223372036854775808,u8=255,u16=010,u32=0xFFFFffff,"
        "u64=18446744073709551615,sz=1.5G,e=infra-red",
        NULL, NULL, NULL);

    g_assert_nonnull(s);
    g_assert_true(s->has_b && s->b);
    g_assert_cmpint(s->i, ==, -5);
    g_assert_cmpfloat(s->n, ==, -1500);
    g_assert_cmpstr(s->s, ==, "a,b");
    g_assert_cmpint(s->i8, ==, -128);
    g_assert_cmpint(s->i16, ==, 32767);
    g_assert_cmpint(s->i32, ==, INT32_MAX);
    g_assert_cmpint(s->i64, ==, INT64_MIN);
    g_assert_cmpuint(s->u8, ==, 255);
    g_assert_cmpuint(s->u16, ==, 10);
    g_assert_cmpuint(s->u32, ==, UINT32_MAX);
    g_assert_cmpuint(s->u64, ==, UINT64_MAX);
    g_assert_cmpuint(s->sz, ==, 3 * GiB / 2);
    g_assert_cmpint(s->e, ==, COLOUR_INFRA_RED);
    g_assert_cmpstr(Colour_str(s->e), ==, "infra-red");
    g_assert_false(s->has_z);
    g_assert_null(s->x);
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        { "0", true, 0 },
        { "512", true, 512 },
        { "1B", true, 1 },
        { "1k", true, KiB },
        { "1K", true, KiB },
        { "3M", true, 3 * MiB },
        { "2g", true, 2 * GiB },
        { "1T", true, 1024 * GiB },
        { "15E", true, 15ULL << 60 },
        { "0.5k", true, 512 },
        { "1.9999999999999999999999999999k", true, 2047 },
        { "0x10", true, 16 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "16E", false, 0 },
        { "15.99999999999999999999E", true, 0xfffffffffffffffe },
        { "-1", false, 0 },
        { "1kk", false, 0 },
        { "1.k", false, 0 },
        { ".5k", false, 0 },
        { "k", false, 0 },
        { "", false, 0 },
        { "1 k", false, 0 },
        { "0x1G", false, 0 },
        { "1x", false, 0 },
        { "nan", false, 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t bytes = 0;
        bool ok = qapi_parse_size("sz", rows[i].text, &bytes, NULL);

        g_test_message("%s", rows[i].text);
        g_assert_cmpint(ok, ==, rows[i].ok);
        g_assert_cmpuint(bytes, ==, rows[i].bytes);
    }
}

static void test_size_unit(void)
{
    uint64_t bytes;

    g_assert_true(qapi_parse_size_unit("size", "512", MiB, &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 512 * MiB);
    g_assert_true(qapi_parse_size_unit("size", "2G", MiB, &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 2 * GiB);
    g_assert_true(qapi_parse_size_unit("size", "0x10", MiB, &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 16 * MiB);
    g_assert_false(
        qapi_parse_size_unit("size", "17592186044416", MiB, &bytes, NULL));
    g_assert_false(
        qapi_parse_size_unit("size", "0xfffffffffffffff", MiB, &bytes, NULL));
}

/* What is read and written again is what it was. */
static void test_round_trip(void)
{
    static const struct {
        const QapiType *type;
        const char *text;
    } rows[] = {
        { &qapi_type_Scalars, "{}" },
        { &qapi_type_Scalars,
          "{\"b\":false,\"i\":-9223372036854775808,\"n\":0.5,\"s\":\"\\u00e9"
          "\\/\",\"i8\":-1,\"u64\":18446744073709551615,\"sz\":0,\"e\":"
          "\"green\",\"x\":{\"a\":[1,null,{}]},\"z\":null}" },
        { &qapi_type_Node,
          "{\"id\":\"a\",\"next\":{\"id\":\"b\"},\"kids\":[{\"id\":\"c\","
          "\"kids\":[]},{\"id\":\"d\"}],\"nums\":[0,65535],\"names\":[\"\","
          "\"x\"],\"colours\":[\"green\",\"red\"],\"unix\":true}" },
        { &qapi_type_NodeList, "[{\"id\":\"a\"},{\"id\":\"b\"}]" },
        { &qapi_type_Shape, "{\"colour\":\"infra-red\"}" },
        { &qapi_type_Shape, "{\"colour\":\"red\",\"note\":\"n\",\"u8\":1}" },
        { &qapi_type_Shape,
          "{\"colour\":\"green\",\"level\":\"2nd\",\"id\":\"a\"}" },
        { &qapi_type_Shape, "{\"colour\":\"green\",\"level\":\"low\"}" },
        { &qapi_type_Holder, "{\"v\":null,\"vs\":[\"a\",1,true,{\"id\":\"b\"},"
                             "[1,2],null]}" },
        { &qapi_type_Holder, "{\"v\":\"1\",\"w\":\"green\"}" },
        { &qapi_type_Holder, "{\"v\":1,\"w\":false}" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const QapiType *type = rows[i].type;
        json_object *in = NULL;
        json_object *out;
        void *value;

        g_test_message("%s", rows[i].text);
        g_assert_true(
            qapi_json_parse(rows[i].text, strlen(rows[i].text), &in, NULL));
        value = qapi_new_from_json(type, in, NULL);
        g_assert_nonnull(value);
        out = qapi_to_json(type, value);
        g_assert_true(json_object_equal(in, out));
        qapi_free(type, value);
        json_object_put(in);
        json_object_put(out);
    }
}

static void test_keyval_alternates(void)
{
    static const struct {
        const char *text;
        QType kind;
        int value;
    } rows[] = {
        { "v=1,w=green", QTYPE_QSTRING, COLOUR_GREEN },
        { "v=1,w=on", QTYPE_QBOOL, true },
        { "v=1,w=off", QTYPE_QBOOL, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(Holder) h = qapi_new_from_options(
            &qapi_type_Holder, rows[i].text, NULL, NULL, NULL);

        g_assert_nonnull(h);
        g_assert_cmpint(h->v->type, ==, QTYPE_QSTRING);
        g_assert_cmpstr(h->v->u.text, ==, "1");
        g_assert_cmpint(h->w->type, ==, rows[i].kind);
        g_assert_cmpint(rows[i].kind == QTYPE_QBOOL ? h->w->u.b
                                                    : (int)h->w->u.c,
                        ==, rows[i].value);
    }
}

static void test_json_text(void)
{
    static const struct {
        const char *text;
        const char *message; /* NULL: it is fine */
    } rows[] = {
        { "12", NULL },
        { " null ", NULL },
        { "{\"a\":[1,2,{}]}\n", NULL },
        { "", "Invalid JSON at byte 0: " },
        { "{", "Invalid JSON at byte 1: " },
        { "{\"a\":1}x", "Invalid JSON at byte 7: " },
        { "{'a':1}", NULL },
        { "{a:1}", "Invalid JSON at byte 1: " },
        { "{\"a\":1,}", "Invalid JSON at byte 7: " },
        { "\"\xff\"", "Invalid JSON at byte 1: " },
        { "18446744073709551615", NULL },
        { "-9223372036854775808", NULL },
        { "18446744073709551616.5", NULL },
        { "18446744073709551616e1", NULL },
        { "[\"18446744073709551616\\\"\"]", NULL },
        { "18446744073709551616", "Invalid JSON at byte 0: integer of" },
        { "[0,-9223372036854775809]", "Invalid JSON at byte 3: integer of" },
        { "[9999999999999999999999]", "Invalid JSON at byte 1: integer of" },
        { "\"abc\\", "Invalid JSON at byte 5: " },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GError) err = NULL;
        json_object *json = NULL;
        bool ok =
            qapi_json_parse(rows[i].text, strlen(rows[i].text), &json, &err);

        g_test_message("row %zu: %s", i, ok ? "ok" : err->message);
        g_assert_cmpint(ok, ==, rows[i].message == NULL);
        g_assert_true(ok || g_str_has_prefix(err->message, rows[i].message));
        json_object_put(json);
    }
}

static void test_json_depth(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    json_object *json = NULL;

    for (int i = 0; i < 100000; i++) {
        g_string_append_c(text, '[');
    }
    g_assert_false(qapi_json_parse(text->str, text->len, &json, &err));
    g_assert_nonnull(strstr(err->message, "nesting too deep"));
}

/* ---- handlers and events ---- */

static const char *heard_event;
static char *heard_data;

bool test_qmp_do_nothing(Error **errp)
{
    error_setg(errp, "done nothing");
    return false;
}

bool test_qmp_set_it(const q_obj_set_it_arg *arg, NodeList *ret, Error **errp)
{
    g_assert_cmpstr(arg->id, ==, "x");
    g_assert_true(arg->has_n && arg->n == -3);
    g_assert_true(ret->n == 0 && !ret->v);
    return true;
}

bool test_qmp_shape_add(json_object *args, Error **errp)
{
    return json_object_object_get_ex(args, "anything", NULL);
}

bool test_qmp_hold(const Holder *arg, QType *ret, Error **errp)
{
    *ret = arg->v->type;
    return true;
}

static void hear(const QapiEvent *event, json_object *data)
{
    heard_event = event->name;
    g_free(heard_data);
    heard_data = g_strdup(json_object_to_json_string(data));
}

static void test_calls(void)
{
    const QapiCommand *cmd = test_qapi_commands;
    q_obj_set_it_arg arg = { .id = (char *)"x", .has_n = true, .n = -3 };
    q_obj_IT_HAPPENED_arg what = { .what = (char *)"rain" };
    Value value = { .type = QTYPE_QBOOL };
    Holder holder = { .v = &value };
    QType kind = QTYPE_NONE;
    json_object *raw = json_object_new_object();
    g_autoptr(GError) err = NULL;
    NodeList nodes = { 0 };

    machine_lock();
    g_assert_false(cmd[0].call(NULL, NULL, &err));
    g_assert_cmpstr(err->message, ==, "done nothing");
    g_assert_true(cmd[1].call(&arg, &nodes, NULL));
    g_assert_false(cmd[2].call(raw, NULL, NULL));
    json_object_object_add(raw, "anything", NULL);
    g_assert_true(cmd[2].call(raw, NULL, NULL));
    json_object_put(raw);
    g_assert_true(cmd[3].call(&holder, &kind, NULL));
    g_assert_cmpint(kind, ==, QTYPE_QBOOL);

    test_qapi_event_send_nothing_happened(); /* nobody listens */
    qapi_event_set_sink(hear);
    test_qapi_event_send_it_happened(&what);
    g_assert_cmpstr(heard_event, ==, "IT_HAPPENED");
    g_assert_cmpstr(heard_data, ==, "{ \"what\": \"rain\" }");
    test_qapi_event_send_nothing_happened();
    g_assert_cmpstr(heard_event, ==, "NOTHING_HAPPENED");
    g_assert_cmpstr(heard_data, ==, "null");
    qapi_event_set_sink(NULL);
    g_clear_pointer(&heard_data, g_free);
    machine_unlock();
}

static void test_tables(void)
{
    const QapiCommand *cmd = test_qapi_commands;

    g_assert_cmpstr(cmd[0].name, ==, "do-nothing");
    g_assert_null(cmd[0].arg_type);
    g_assert_null(cmd[0].ret_type);
    g_assert_true(cmd[0].gen && cmd[0].success_response && !cmd[0].allow_oob);
    g_assert_cmpstr(cmd[1].name, ==, "set_it");
    g_assert_cmpuint(cmd[1].arg_type->n_members, ==, 2);
    g_assert_true(cmd[1].ret_type == &qapi_type_NodeList && cmd[1].allow_oob);
    g_assert_cmpstr(cmd[1].features[0], ==, "unstable");
    g_assert_null(cmd[1].features[1]);
    g_assert_true(!cmd[2].gen && !cmd[2].success_response);
    g_assert_true(cmd[2].arg_type == &qapi_type_Shape &&
                  cmd[2].allow_preconfig);
    /* "never" is not compiled in. */
    g_assert_cmpstr(cmd[3].name, ==, "hold");
    g_assert_true(cmd[3].ret_type == &qapi_type_QType);
    g_assert_null(cmd[4].name);
    g_assert_cmpstr(test_qapi_events[0].name, ==, "IT_HAPPENED");
    g_assert_null(test_qapi_events[1].arg_type);
    g_assert_null(test_qapi_events[2].name);
    g_assert_cmpstr(qapi_type_Node.features[0], ==, "deprecated");
    g_assert_null(qapi_type_Node.features[1]);
    g_assert_cmpstr(qapi_type_Colour.values[1].features[0], ==, "unstable");
    g_assert_cmpint(COLOUR_GREEN, ==, 2);
    g_assert_cmpint(TEST_LEVEL_2ND, ==, 1);
    g_assert_cmpint(TEST_LEVEL__MAX, ==, 2);
    g_assert_cmpint(qapi_enum_find(&qapi_type_Colour, "red"), ==, COLOUR_RED);
    g_assert_cmpint(qapi_enum_find(&qapi_type_Colour, "never"), ==, -1);
    g_assert_null(qapi_enum_str(&qapi_type_Colour, COLOUR__MAX));
}

static void test_quote(void)
{
    g_autofree char *plain = qapi_quote("caf\xc3\xa9");
    g_autofree char *odd = qapi_quote("a\nb\x1b[\xff\xc3");
    g_autofree char *filler = g_strnfill(1000, 'x');
    g_autofree char *longer = qapi_quote(filler);

    g_assert_cmpstr(plain, ==, "caf\xc3\xa9");
    g_assert_cmpstr(odd, ==, "a\\x0ab\\x1b[\\xff\\xc3");
    g_assert_cmpuint(strlen(longer), ==, 67);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/visit/errors", test_errors);
    g_test_add_func("/qapi/visit/failed-is-zero", test_failed_struct_is_zero);
    g_test_add_func("/qapi/visit/scalars", test_scalars);
    g_test_add_func("/qapi/visit/sizes", test_sizes);
    g_test_add_func("/qapi/visit/size-unit", test_size_unit);
    g_test_add_func("/qapi/visit/round-trip", test_round_trip);
    g_test_add_func("/qapi/visit/keyval-alternates", test_keyval_alternates);
    g_test_add_func("/qapi/json/text", test_json_text);
    g_test_add_func("/qapi/json/depth", test_json_depth);
    g_test_add_func("/qapi/calls", test_calls);
    g_test_add_func("/qapi/tables", test_tables);
    g_test_add_func("/qapi/quote", test_quote);
    return g_test_run();
}
