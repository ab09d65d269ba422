/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option text to JSON: what it means, and what it refuses. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"

typedef struct Row {
    const char *text;
    const char *implied_key;
    const char *json;    /* what it becomes; NULL: an error */
    const char *message; /* of the error: how it begins */
} Row;

static const Row rows[] = {
    { "", NULL, "{}" },
    { "", "type", "{}" },
    { "a=b", NULL, "{\"a\":\"b\"}" },
    { "tap,id=n0", "type", "{\"type\":\"tap\",\"id\":\"n0\"}" },
    { "type=tap,id=n0", "type", "{\"type\":\"tap\",\"id\":\"n0\"}" },
    { "a=1,", NULL, "{\"a\":\"1\"}" },
    { "a=", NULL, "{\"a\":\"\"}" },
    { "a==b=c", NULL, "{\"a\":\"=b=c\"}" },
    { "a=x,,y,,,b=,,", NULL, "{\"a\":\"x,y,\",\"b\":\",\"}" },
    { "x,,y,b=1", "a", "{\"a\":\"x,y\",\"b\":\"1\"}" },
    { "a=1,a=2", NULL, "{\"a\":\"2\"}" },
    { "flag", NULL, "{\"flag\":\"on\"}" },
    { "tap,vhost,id=n", "type",
      "{\"type\":\"tap\",\"vhost\":\"on\",\"id\":\"n\"}" },
    { "help", NULL, "{\"help\":\"on\"}" }, /* nobody asks for help here */
    { "a.b=1,a.c.d=2", NULL, "{\"a\":{\"b\":\"1\",\"c\":{\"d\":\"2\"}}}" },
    { "a.b=1,a.b=2", NULL, "{\"a\":{\"b\":\"2\"}}" },
    { "l.0=x,l.1=y", NULL, "{\"l\":[\"x\",\"y\"]}" },
    { "l.1=y,l.0=x", NULL, "{\"l\":[\"x\",\"y\"]}" },
    { "l.0.a=1,l.1.a.0=2", NULL, "{\"l\":[{\"a\":\"1\"},{\"a\":[\"2\"]}]}" },
    { "l.0.0=x", NULL, "{\"l\":[[\"x\"]]}" },
    { "k-e_y9=v", NULL, "{\"k-e_y9\":\"v\"}" },
    { "a=\xc3\xa9", NULL, "{\"a\":\"\xc3\xa9\"}" },
    { "a= b ", NULL, "{\"a\":\" b \"}" },
    /* keys */
    { "=x", NULL, NULL, "Invalid parameter ''" },
    { ",a=1", NULL, NULL, "Invalid parameter ''" },
    { "a=1,,=2,=3", NULL, NULL, "Invalid parameter ''" },
    { "a=1,b c=2", NULL, NULL, "Invalid parameter 'b c'" },
    { ".a=1", NULL, NULL, "Invalid parameter '.a'" },
    { "a.=1", NULL, NULL, "Invalid parameter 'a.'" },
    { "a..b=1", NULL, NULL, "Invalid parameter 'a..b'" },
    { "9a=1", NULL, NULL, "Invalid parameter '9a'" },
    { "-a=1", NULL, NULL, "Invalid parameter '-a'" },
    { "\xc3\xa9=1", NULL, NULL, "Invalid parameter '\xc3\xa9'" },
    { "a\n=1", NULL, NULL, "Invalid parameter 'a\\x0a'" },
    { "a=1,a.b=2", NULL, NULL, "Invalid parameter 'a.b': it is both" },
    { "a.b=1,a=2", NULL, NULL, "Invalid parameter 'a': it is both" },
    { "a=\xff", NULL, NULL, "Option text is not valid UTF-8" },
    /* lists */
    { "0=x", NULL, NULL, "Invalid parameter '': numbers" },
    { "l.1=x", NULL, NULL, "Invalid parameter 'l.1': the list 'l' has 1" },
    { "l.0=x,l.2=y", NULL, NULL,
      "Invalid parameter 'l.2': the list 'l' has 2" },
    { "l.0=x,l.a=y", NULL, NULL, "Invalid parameter 'l': numbers and names" },
    { "l.00=x", NULL, NULL, "Invalid parameter 'l.00'" },
    { "l.4294967296=x", NULL, NULL, "Invalid parameter 'l.4294967296'" },
    { "l.99999999999999999999999=x", NULL, NULL, "Invalid parameter 'l.9999" },
    { "a.b.1.c=x", NULL, NULL, "Invalid parameter 'a.b.1': the list 'a.b'" },
};

static void test_table(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GError) err = NULL;
        json_object *json =
            keyval_parse(rows[i].text, rows[i].implied_key, NULL, &err);

        g_test_message("row %zu: %s", i, err ? err->message : "ok");
        if (rows[i].json) {
            g_assert_no_error(err);
            g_assert_cmpstr(json_object_to_json_string_ext(
                                json, JSON_C_TO_STRING_NOSLASHESCAPE),
                            ==, rows[i].json);
        } else {
            g_assert_null(json);
            g_assert_true(g_str_has_prefix(err->message, rows[i].message));
        }
        json_object_put(json);
    }
}

static void test_help(void)
{
    static const struct {
        const char *text;
        bool help;
        const char *json;
    } helps[] = {
        { "help", true, "{}" },
        { "?", true, "{}" },
        { "tap,help", true, "{\"type\":\"tap\"}" },
        { "tap,?,id=a", true, "{\"type\":\"tap\",\"id\":\"a\"}" },
        { "tap,help=on", false, "{\"type\":\"tap\",\"help\":\"on\"}" },
        { "tap", false, "{\"type\":\"tap\"}" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(helps); i++) {
        bool help = !helps[i].help;
        json_object *json = keyval_parse(helps[i].text, "type", &help, NULL);

        g_assert_cmpint(help, ==, helps[i].help);
        g_assert_cmpstr(
            json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN), ==,
            helps[i].json);
        json_object_put(json);
    }
}

/* Hostile text ends soon, with an error and nothing left allocated. */
static void test_hostile(void)
{
    g_autofree char *dots = g_strnfill(10000, '.');
    g_autofree char *longest = g_strnfill(KEYVAL_MAX_LENGTH, 'a');
    g_autofree char *too_long = g_strnfill(KEYVAL_MAX_LENGTH + 1, 'a');
    g_autofree char *commas = g_strnfill(KEYVAL_MAX_LENGTH, ',');
    g_autoptr(GString) deep = g_string_new("a");
    g_autoptr(GString) wide = g_string_new(NULL);
    json_object *json;

    for (int i = 0; i < 10000; i++) {
        g_string_append(deep, ".a");
    }
    g_string_append(deep, "=1");
    for (int i = 0; wide->len < KEYVAL_MAX_LENGTH - 20; i++) {
        g_string_append_printf(wide, "l.%d=,", i);
    }
    g_assert_null(keyval_parse(dots, NULL, NULL, NULL));
    g_assert_null(keyval_parse(deep->str, NULL, NULL, NULL));
    g_assert_null(keyval_parse(too_long, NULL, NULL, NULL));
    g_assert_null(keyval_parse(commas, NULL, NULL, NULL));

    json = keyval_parse(longest, NULL, NULL, NULL);
    g_assert_cmpint(json_object_object_length(json), ==, 1);
    json_object_put(json);
    json = keyval_parse(wide->str, NULL, NULL, NULL);
    g_assert_cmpint(json_object_object_length(json), ==, 1);
    json_object_put(json);
}

static void test_depth_limit(void)
{
    g_autoptr(GString) text = g_string_new("a");
    json_object *json;

    for (int i = 1; i < KEYVAL_MAX_DEPTH; i++) {
        g_string_append(text, ".a");
    }
    json = keyval_parse(text->str, NULL, NULL, NULL);
    g_assert_nonnull(json);
    json_object_put(json);
    g_string_append(text, ".a");
    g_assert_null(keyval_parse(text->str, NULL, NULL, NULL));
}

static void test_options_json(void)
{
    g_autoptr(GError) err = NULL;
    json_object *json;
    bool is_json;
    bool help = true;

    json = options_parse("{\"type\":\"tap\",\"queues\":4}", "type", &is_json,
                         &help, NULL);
    g_assert_true(is_json && !help && json);
    json_object_put(json);
    json = options_parse("tap,queues=4", "type", &is_json, &help, NULL);
    g_assert_true(!is_json && !help && json);
    json_object_put(json);
    json = options_parse("{\"type\":", "type", &is_json, &help, &err);
    g_assert_null(json);
    g_assert_true(g_str_has_prefix(err->message, "Invalid JSON at byte 8: "));
}

/* The same netdev from both spellings. */
static void test_netdev(void)
{
    static const char *const texts[] = {
        "tap,id=n0,queues=4,fds=3:4:5:6,vhost=on,sndbuf=1M,poll-us=50",
        "{\"type\":\"tap\",\"id\":\"n0\",\"queues\":4,\"fds\":\"3:4:5:6\","
        "\"vhost\":true,\"sndbuf\":1048576,\"poll-us\":50}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        bool help;
        g_autoptr(Netdev) n = qapi_new_from_options(&qapi_type_Netdev, texts[i],
                                                    "type", &help, NULL);

        g_assert_nonnull(n);
        g_assert_cmpstr(n->id, ==, "n0");
        g_assert_cmpint(n->type, ==, NET_CLIENT_DRIVER_TAP);
        g_assert_true(n->u.tap.has_queues && n->u.tap.queues == 4);
        g_assert_cmpstr(n->u.tap.fds, ==, "3:4:5:6");
        g_assert_true(n->u.tap.has_vhost && n->u.tap.vhost);
        g_assert_cmpuint(n->u.tap.sndbuf, ==, MiB);
        g_assert_cmpuint(n->u.tap.poll_us, ==, 50);
        g_assert_false(n->u.tap.has_vnet_hdr);
        g_assert_null(n->u.tap.ifname);
    }
}

static void test_netdev_help(void)
{
    g_autoptr(GError) err = NULL;
    bool help;

    g_assert_null(qapi_new_from_options(&qapi_type_Netdev, "tap,help", "type",
                                        &help, &err));
    g_assert_true(help);
    g_assert_no_error(err);
}

static void test_vq_mapping(void)
{
    const char *text = "[{\"iothread\":\"io0\",\"vqs\":[0,1]},"
                       "{\"iothread\":\"io1\"}]";
    IOThreadVirtQueueMappingList list;
    json_object *json = NULL;

    g_assert_true(qapi_json_parse(text, strlen(text), &json, NULL));
    g_assert_true(qapi_from_json(&qapi_type_IOThreadVirtQueueMappingList, json,
                                 &list, NULL));
    g_assert_cmpuint(list.n, ==, 2);
    g_assert_cmpstr(list.v[0].iothread, ==, "io0");
    g_assert_true(list.v[0].has_vqs);
    g_assert_cmpuint(list.v[0].vqs.n, ==, 2);
    g_assert_cmpuint(list.v[0].vqs.v[1], ==, 1);
    g_assert_false(list.v[1].has_vqs);
    qapi_free_contents(&qapi_type_IOThreadVirtQueueMappingList, &list);
    g_assert_cmpuint(list.n, ==, 0);
    json_object_put(json);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keyval/table", test_table);
    g_test_add_func("/keyval/help", test_help);
    g_test_add_func("/keyval/hostile", test_hostile);
    g_test_add_func("/keyval/depth", test_depth_limit);
    g_test_add_func("/options/json", test_options_json);
    g_test_add_func("/options/netdev", test_netdev);
    g_test_add_func("/options/netdev-help", test_netdev_help);
    g_test_add_func("/options/vq-mapping", test_vq_mapping);
    return g_test_run();
}
