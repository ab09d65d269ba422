/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol: bytes to values, values to text. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-visit.h"

/* ---- bytes to values ---- */

/* Adds what @lexer finds: values as text, errors as "!WHY", each with " ; ". */
static void feed(QmpLexer *lexer, const char *text, size_t len, GString *out)
{
    while (len > 0) {
        json_object *value = NULL;
        Error *err = NULL;
        size_t used = 0;

        switch (qmp_lexer_feed(lexer, (const uint8_t *)text, len, &used, &value,
                               &err)) {
        case QMP_PIECE_NONE:
            g_assert_cmpuint(used, ==, len);
            break;
        case QMP_PIECE_VALUE:
            g_string_append_printf(
                out, "%s ; ",
                json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
            json_object_put(value);
            break;
        case QMP_PIECE_ERROR:
            g_string_append_printf(out, "!%s ; ", err->message);
            g_clear_error(&err);
            break;
        }
        text += used;
        len -= used;
    }
}

#define BAD     "!Invalid JSON syntax: "
#define BAD_CHR BAD "a character that does not belong there ; "
#define BAD_CTL BAD "a control character ; "
#define BAD_STR BAD "a control character in a string ; "
#define BAD_KND BAD "a closing bracket of the wrong kind ; "
#define BAD_SUR BAD "half of a surrogate pair ; "
#define OK      "{'ok':1}"
#define IS_OK   "{\"ok\":1} ; "

static const struct {
    const char *in;
    size_t len; /* 0: strlen() */
    const char *out;
} lexer_cases[] = {
    /* values */
    { "", 0, "" },
    { " \t\r\n", 0, "" },
    { "{}", 0, "{} ; " },
    { "{}{}\r\n [ ] ", 0, "{} ; {} ; [] ; " },
    { "{ \"a\" : [ 1 , -2.5 , true , null , \"x\" ] }", 0,
      "{\"a\":[1,-2.5,true,null,\"x\"]} ; " },
    { "{\n  \"a\":\r\n\t1\n}", 0, "{\"a\":1} ; " },
    { "null true 12 -3e2 {", 0, "null ; true ; 12 ; -3e2 ; " },
    { "1{}2[]", 0, "1 ; {} ; 2 ; [] ; " },
    { "12", 0, "" }, /* more digits may come */
    { "\"a\"\"b\"", 0, "\"a\" ; \"b\" ; " },
    { "18446744073709551615 -9223372036854775808 ", 0,
      "18446744073709551615 ; -9223372036854775808 ; " },
    /* strings */
    { "{'a': 'b'}", 0, "{\"a\":\"b\"} ; " },
    { "'it''s' 'a\"b' \"a'b\"", 0, "\"it\" ; \"s\" ; \"a\\\"b\" ; \"a'b\" ; " },
    { "'\\'' \"\\'\" '\\\\' \"}]\" ", 0,
      "\"'\" ; \"'\" ; \"\\\\\" ; \"}]\" ; " },
    { "\"\\u0041\\n\\/\\\"\" ", 0, "\"A\\n\\/\\\"\" ; " },
    { "\"\\ud83d\\ude00\" \"\xc3\xa9\" ", 0,
      "\"\xf0\x9f\x98\x80\" ; \"\xc3\xa9\" ; " },
    { "\"\\ud83d\" " OK, 0, BAD_SUR IS_OK },
    { "\"\\ud83dx\" " OK, 0, BAD_SUR IS_OK },
    { "\"\\ud83d\\n\" " OK, 0, BAD_SUR IS_OK },
    { "\"\\ud83d\\ud83d\" " OK, 0, BAD_SUR IS_OK },
    { "\"\\ude00\" " OK, 0, BAD_SUR IS_OK },
    { "'\\u0000' " OK, 0, BAD "\\u0000 in a string ; " IS_OK },
    { "'\\u00g0' " OK, 0, BAD "\\u without four hexadecimal digits ; " IS_OK },
    { "{'a': '\\q'}" OK, 0,
      "!Invalid JSON at byte 8: invalid string sequence ; " IS_OK },
    /* not UTF-8 */
    { "'\xc0\x80'" OK, 0, BAD "a string that is not UTF-8 ; " IS_OK },
    { "'\x80'" OK, 0, BAD "a string that is not UTF-8 ; " IS_OK },
    { "{\xc3\xa9: 1}" OK, 0, BAD_CHR IS_OK },
    /* balanced, but wrong */
    { "{1}" OK, 0,
      "!Invalid JSON at byte 1: quoted object property name expected "
      "; " IS_OK },
    { "[1,]" OK, 0, "!Invalid JSON at byte 3: unexpected character ; " IS_OK },
    { "[1 2]" OK, 0,
      "!Invalid JSON at byte 3: array value separator ',' expected ; " IS_OK },
    { "[123456789012345678901]" OK, 0,
      "!Invalid JSON at byte 1: integer of more than 64 bits ; " IS_OK },
    { "[nul]" OK, 0, "!Invalid JSON at byte 4: null expected ; " IS_OK },
    /* brackets */
    { "{]\n" OK, 0, BAD_KND IS_OK },
    { "[}" OK, 0, BAD_KND IS_OK },
    { "{'a': [1}} " OK "\n" OK, 0, BAD_KND IS_OK IS_OK },
    { "{'a': [1} " OK "\n" OK, 0, BAD_KND IS_OK },
    { "}}}]\n" OK, 0, BAD "a closing bracket that nothing opened ; " IS_OK },
    { ",:\n" OK, 0, BAD "a comma or colon outside of a value ; " IS_OK },
    /* other garbage: one error, then the next line, or value */
    { "%p" OK, 0, BAD_CHR IS_OK },
    { "GET / HTTP/1.1\r\nHost: x\r\n\r\n" OK, 0, BAD_CHR BAD_CHR IS_OK },
    { "NaN\n" OK, 0, BAD_CHR IS_OK },
    { "/* c */\n" OK, 0, BAD_CHR IS_OK },
    { "{'a': @, 'b': [@]}" OK, 0, BAD_CHR IS_OK },
    { "{'a': @\n" OK, 0, BAD_CHR IS_OK },
    { "{'a': @, 'b': '}" OK "\n" OK, 0, BAD_CHR IS_OK },
    { "@ 'a' \"b\" {}\n" OK, 0, BAD_CHR "{} ; " IS_OK },
    /* control characters, 2.6 */
    { "{\xff" OK, 0, BAD_CTL IS_OK },
    { "{\xfe" OK, 0, BAD_CTL IS_OK },
    { "{\x01" OK, 0, BAD_CTL IS_OK },
    { "\xff" OK, 0, BAD_CTL IS_OK },
    { "\0{" OK, 10, BAD_CTL },
    { "{'a': '\0" OK, 16, BAD_STR IS_OK },
    { "{'bad \xff" OK, 0, BAD_STR IS_OK },
    { "{'a': '\n" OK, 0, BAD_STR IS_OK },
    { "{'a': '\t'}" OK, 0, BAD_STR IS_OK },
    { "@\xff" OK, 0, BAD_CHR BAD_CTL IS_OK },
    { "12\xff" OK, 0, BAD_CTL IS_OK },
    { "'\\\xff" OK, 0, BAD_STR IS_OK },
    { "'\\u1\xff" OK, 0, BAD_STR IS_OK },
};

static void test_lexer_table(void)
{
    static const size_t steps[] = { SIZE_MAX, 1, 2, 3, 5 };

    for (size_t i = 0; i < ARRAY_SIZE(lexer_cases); i++) {
        size_t len =
            lexer_cases[i].len ? lexer_cases[i].len : strlen(lexer_cases[i].in);

        for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
            g_autoptr(GString) out = g_string_new(NULL);
            QmpLexer *lexer = qmp_lexer_new();

            for (size_t at = 0; at < len; at += MIN(steps[s], len - at)) {
                feed(lexer, lexer_cases[i].in + at, MIN(steps[s], len - at),
                     out);
            }
            g_assert_cmpstr(out->str, ==, lexer_cases[i].out);
            qmp_lexer_free(lexer);
        }
    }
}

/* @n times @text. */
static void feed_many(QmpLexer *lexer, const char *text, size_t n, GString *out)
{
    for (size_t i = 0; i < n; i++) {
        feed(lexer, text, strlen(text), out);
    }
}

static void test_lexer_depth(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    QmpLexer *lexer = qmp_lexer_new();

    feed_many(lexer, "[", QMP_DEPTH_MAX, out);
    feed_many(lexer, "]", QMP_DEPTH_MAX, out);
    g_assert_cmpuint(out->len, ==, 2 * QMP_DEPTH_MAX + 3);
    g_string_truncate(out, 0);
    feed_many(lexer, "[", 10000, out);
    feed_many(lexer, "]", 10000, out);
    feed(lexer, OK, strlen(OK), out);
    g_assert_cmpstr(out->str, ==, BAD "nested more than 1024 deep ; " IS_OK);
    g_string_truncate(out, 0);
    feed_many(lexer, "{'a':", 10000, out);
    feed(lexer, "\n" OK, 1 + strlen(OK), out);
    g_assert_cmpstr(out->str, ==, BAD "nested more than 1024 deep ; " IS_OK);
    qmp_lexer_free(lexer);
}

static void test_lexer_size(void)
{
    g_autofree char *chunk = g_strnfill(MiB, 'x');
    g_autoptr(GString) out = g_string_new(NULL);
    QmpLexer *lexer = qmp_lexer_new();

    feed(lexer, "{'a': '", 7, out);
    for (int i = 0; i < 100; i++) {
        feed(lexer, chunk, MiB, out);
    }
    feed(lexer, "'}" OK, 2 + strlen(OK), out);
    g_assert_cmpstr(out->str, ==, BAD "longer than 64 MiB ; " IS_OK);
    /* A number without end. */
    g_string_truncate(out, 0);
    for (int i = 0; i < 65; i++) {
        feed(lexer, chunk, MiB, out);
    }
    feed(lexer, OK, strlen(OK), out);
    g_assert_cmpstr(out->str, ==, BAD "longer than 64 MiB ; " IS_OK);
    qmp_lexer_free(lexer);
}

static void test_lexer_tokens(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    QmpLexer *lexer = qmp_lexer_new();

    feed(lexer, "[", 1, out);
    feed_many(lexer, "[],", QMP_TOKENS_MAX, out);
    feed(lexer, "[]]" OK, 3 + strlen(OK), out);
    g_assert_cmpstr(out->str, ==, BAD "more than 262144 tokens ; " IS_OK);
    qmp_lexer_free(lexer);
}

/* Whatever comes, the lexer is in a known state after 0xff. */
static void test_lexer_random(void)
{
    static const char alphabet[] = "{}[]:,'\"\\u0deE+-.1 \t\n\x01\xff\xc3tn@";
    QmpLexer *lexer = qmp_lexer_new();

    for (int round = 0; round < 2000; round++) {
        g_autoptr(GString) out = g_string_new(NULL);
        char text[64];

        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] =
                round % 2
                    ? (char)g_test_rand_int_range(0, 256)
                    : alphabet[g_test_rand_int_range(0, sizeof(alphabet))];
        }
        feed(lexer, text, sizeof(text), out);
        feed(lexer, "\xff", 1, out);
        g_string_truncate(out, 0);
        feed(lexer, OK, strlen(OK), out);
        g_assert_cmpstr(out->str, ==, IS_OK);
    }
    qmp_lexer_free(lexer);
}

/* ---- values to text ---- */

static void test_output(void)
{
    static const struct {
        const char *in, *out;
        bool pretty;
    } cases[] = {
        { "{}", "{}\r\n", false },
        { "[]", "[]\r\n", true },
        { "{\"a\":[1,null,true,-1.5],\"b\":{}}",
          "{\"a\": [1, null, true, -1.5], \"b\": {}}\r\n", false },
        { "{\"a\":[1,{\"c\":[]}],\"b\":{}}",
          "{\r\n    \"a\": [\r\n        1,\r\n        {\r\n"
          "            \"c\": []\r\n        }\r\n    ],\r\n    \"b\": {}\r\n"
          "}\r\n",
          true },
        { "\"\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\\u007f\"",
          "\"\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\\u007F\"\r\n", false },
        { "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\u00E9\\uD83D\\uDE00\"\r\n",
          false },
        { "{\"\xc3\xa9\\n\":18446744073709551615}",
          "{\"\\u00E9\\n\": 18446744073709551615}\r\n", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        json_object *json = json_tokener_parse(cases[i].in);

        g_assert_nonnull(json);
        qmp_output(json, cases[i].pretty, out);
        g_assert_cmpstr(out->str, ==, cases[i].out);
        json_object_put(json);
    }
}

static void test_output_not_utf8(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    json_object *json = json_object_new_string_len("a\xff\xc3"
                                                   "b\0c\xe2\x82",
                                                   8);

    qmp_output(json, false, out);
    g_assert_cmpstr(out->str, ==,
                    "\"a\\uFFFD\\uFFFDb\\u0000c\\uFFFD\\uFFFD\"\r\n");
    json_object_put(json);
}

/* Many elements on a deep level: their indentation does not make the text many
 * times as long as what a client sent. */
static void test_output_deep(void)
{
    g_autoptr(GString) in = g_string_new(NULL), out = g_string_new(NULL);
    json_object *json = NULL;

    for (int i = 0; i < 1000; i++) {
        g_string_append_c(in, '[');
    }
    for (int i = 0; i < 1000; i++) {
        g_string_append(in, "0,");
    }
    g_string_append_c(in, '0');
    for (int i = 0; i < 1000; i++) {
        g_string_append_c(in, ']');
    }
    g_assert_true(
        qapi_json_parse_nested(in->str, in->len, QMP_DEPTH_MAX, &json, NULL));
    qmp_output(json, true, out);
    g_assert_cmpuint(out->len, <, MiB);
    json_object_put(json);
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp/lexer/table", test_lexer_table);
    g_test_add_func("/qmp/lexer/depth", test_lexer_depth);
    g_test_add_func("/qmp/lexer/size", test_lexer_size);
    g_test_add_func("/qmp/lexer/tokens", test_lexer_tokens);
    g_test_add_func("/qmp/lexer/random", test_lexer_random);
    g_test_add_func("/qmp/output/table", test_output);
    g_test_add_func("/qmp/output/not-utf8", test_output_not_utf8);
    g_test_add_func("/qmp/output/deep", test_output_deep);
    return g_test_run();
}
