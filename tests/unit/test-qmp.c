/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol: bytes to values, values to answers, sessions. */
#include "util/osdep.h"

#include <json-c/json.h>
#include <sys/socket.h>

#include "monitor/monitor.h"
#include "monitor/qmp-internal.h"
#include "qapi/qapi-event.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/main-loop.h"
#include "util/fd.h"

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

/* ---- commands ---- */

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
                   GENERIC("The command 'fast' isn't permitted in "
                           "'preconfig' state"));
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

/* ---- sessions ---- */

static void turn(int n)
{
    while (n-- > 0) {
        event_loop_turn(main_loop(), 0);
    }
}

/* A session at one end of a new pair of sockets; the other end. */
static int new_session(const char *id, bool pretty)
{
    MonitorOptions options = { .has_mode = true,
                               .mode = MONITOR_MODE_CONTROL,
                               .has_pretty = true,
                               .pretty = pretty,
                               .chardev = (char *)(uintptr_t)id };
    g_autofree char *text = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                    ==, 0);
    text = g_strdup_printf("socket,id=%s,fd=%d", id, fds[0]);
    g_assert_nonnull(chardev_new_from_opts(text, NULL));
    g_assert_true(monitor_new(&options, NULL));
    return fds[1];
}

static void say(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
    turn(12);
}

/* All that the client was sent so far. Free it. */
static char *hear(int fd)
{
    GString *all = g_string_new(NULL);
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(all, buf, n);
    }
    return g_string_free(all, FALSE);
}

static void expect(int fd, const char *text)
{
    g_autofree char *heard = hear(fd);

    g_assert_cmpstr(heard, ==, text);
}

static void expect_greeting(int fd)
{
    g_autofree char *heard = hear(fd);

    g_assert_true(
        g_str_has_prefix(heard, "{\"QMP\": {\"version\": {\"qemu\": "));
    g_assert_true(g_str_has_suffix(heard, "\"capabilities\": [\"oob\"]}}\r\n"));
}

static void end_sessions(void)
{
    monitor_cleanup();
    chardev_cleanup();
}

static void test_session_states(void)
{
    int fd = new_session("c", false);

    turn(1);
    expect_greeting(fd);
    say(fd, "{'execute':'query-version'}");
    expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
               "\"Expecting capabilities negotiation with "
               "'qmp_capabilities'\"}}\r\n");
    say(fd, "{'execute':'qmp_capabilities','arguments':{'enable':['x']}}");
    expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": "
               "\"Parameter 'enable[0]' does not accept value 'x', expected "
               "one of: oob\"}}\r\n");
    say(fd, "{'execute':'qmp_capabilities','id':7}");
    expect(fd, "{\"return\": {}, \"id\": 7}\r\n");
    say(fd, "{'execute':'qmp_capabilities'}");
    expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
               "\"Capabilities negotiation is already complete, command "
               "ignored\"}}\r\n");
    say(fd, "{'exec-oob':'query-version'}");
    expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP "
               "input member 'exec-oob' is unexpected\"}}\r\n");
    end_sessions();
    close(fd);
}

/* In-band commands keep their order; at most 8 are taken ahead of time. */
static void test_session_oob(void)
{
    g_autoptr(GString) many = g_string_new(NULL);
    g_autofree char *heard = NULL;
    int fd = new_session("c", false);

    say(fd, "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}");
    g_free(hear(fd));
    for (int i = 0; i < 7; i++) {
        g_string_append_printf(many, "{'execute':'no-such','id':%d}", i);
    }
    g_string_append(many, "{'exec-oob':'query-version','id':'oob'}");
    g_assert_cmpint(write(fd, many->str, many->len), ==, many->len);
    turn(1);
    heard = hear(fd);
    g_assert_true(g_str_has_suffix(heard, "\"id\": \"oob\"}\r\n"));
    g_assert_null(strstr(heard, "has not been found"));
    turn(10);
    g_free(heard);
    heard = hear(fd);
    g_assert_true(g_str_has_suffix(heard, "\"id\": 6}\r\n"));
    end_sessions();
    close(fd);
}

/* A hundred commands at once are answered in order, a few in a turn. */
static void test_session_queue(void)
{
    g_autoptr(GString) many = g_string_new(NULL);
    g_autoptr(GString) want = g_string_new(NULL);
    int fd = new_session("c", false);

    say(fd, "{'execute':'qmp_capabilities'}");
    g_free(hear(fd));
    for (int i = 0; i < 100; i++) {
        g_string_append_printf(many, "{'execute':'qmp_capabilities','id':%d}",
                               i);
        g_string_append_printf(
            want,
            "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
            "\"Capabilities negotiation is already complete, command "
            "ignored\"}, \"id\": %d}\r\n",
            i);
    }
    say(fd, many->str);
    turn(100);
    expect(fd, want->str);
    end_sessions();
    close(fd);
}

static void send_fd(int sock, const char *text, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    *cmsg = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(sizeof(int)) };
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    g_assert_cmpint(sendmsg(sock, &msg, 0), ==, strlen(text));
}

/* A descriptor that no command took is closed when the client goes. */
static void test_session_fd_left(void)
{
    int fd = new_session("c", false), pipe_fds[2];
    char byte;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    say(fd, "{'execute':'qmp_capabilities'}");
    send_fd(fd, "{'execute':'query-version'}", pipe_fds[1]);
    close(pipe_fds[1]);
    turn(3);
    g_assert_cmpint(qmp_take_fd(), ==, -1); /* no command is under way */
    close(fd);
    turn(3);
    g_assert_cmpint(read(pipe_fds[0], &byte, 1), ==, 0);
    close(pipe_fds[0]);
    end_sessions();
}

static void send_test_event(const char *name, int64_t n)
{
    QapiEvent event = { name, &qapi_type_VersionTriple, NULL };
    VersionTriple data = { n, 0, 0 };

    qapi_event_emit(&event, &data);
}

/* How often @word is in what the client was sent. */
static int count_heard(int fd, const char *word)
{
    g_autofree char *heard = hear(fd);
    int n = 0;

    for (const char *p = heard; (p = strstr(p, word)); p++) {
        n++;
    }
    return n;
}

static void test_events(void)
{
    int a = new_session("a", false), b = new_session("b", true);
    g_autofree char *heard = NULL;

    say(a, "{'execute':'qmp_capabilities'}");
    g_free(hear(a));
    g_free(hear(b));
    send_test_event("NEWS", 5);
    expect(b, ""); /* has not negotiated */
    heard = hear(a);
    g_assert_true(g_str_has_prefix(heard, "{\"timestamp\": {\"seconds\": "));
    g_assert_true(g_str_has_suffix(heard, "\"event\": \"NEWS\", \"data\": "
                                          "{\"major\": 5, \"minor\": 0, "
                                          "\"micro\": 0}}\r\n"));
    say(b, "{'execute':'qmp_capabilities'}");
    g_free(hear(b));
    for (int i = 0; i < 10; i++) {
        send_test_event("NEWS", i);
    }
    g_assert_cmpint(count_heard(a, "NEWS"), ==, 10);
    g_assert_cmpint(count_heard(b, "NEWS"), ==, 10);
    end_sessions();
    send_test_event("NEWS", 1); /* nobody listens */
    close(a);
    close(b);
}

/* The first at once, the last of a period at its end. */
static void test_event_limit(void)
{
    int fd = new_session("a", false);
    g_autofree char *heard = NULL;
    int64_t end;

    say(fd, "{'execute':'qmp_capabilities'}");
    g_free(hear(fd));
    for (int i = 0; i < 1000; i++) {
        send_test_event("RTC_CHANGE", i);
    }
    heard = hear(fd);
    g_assert_nonnull(strstr(heard, "\"major\": 0,"));
    g_assert_null(strstr(heard, "\"major\": 1,"));
    end = clock_now_ns() + 1050 * G_GINT64_CONSTANT(1000000);
    while (clock_now_ns() < end) {
        event_loop_turn(main_loop(), 100000000);
    }
    g_free(heard);
    heard = hear(fd);
    g_assert_nonnull(strstr(heard, "\"major\": 999,"));
    g_assert_cmpuint(strlen(heard), <, 200);
    send_test_event("RTC_CHANGE", 2000); /* within the next period */
    expect(fd, "");
    end_sessions();
    close(fd);
}

/* Who does not read gets no events beyond a limit, and runs no commands. */
static void test_never_reads(void)
{
    int slow = new_session("a", false), other = new_session("b", false);
    static const char id[] = "{'execute':'no-such','id':'%.3000d'}\n";
    g_autofree char *big = g_strdup_printf(id, 1);
    size_t written = 0;

    say(slow, "{'execute':'qmp_capabilities'}");
    say(other, "{'execute':'qmp_capabilities'}");
    g_free(hear(other));
    for (int i = 0; i < 5000; i++) {
        ssize_t n = write(slow, big, strlen(big));

        written += n > 0 ? (size_t)n : 0;
        turn(2);
    }
    /* What is in the kernel, and not more than that is ours. */
    g_assert_cmpuint(written, <, 4 * MiB);
    for (int i = 0; i < 100000; i++) {
        send_test_event("NEWS", i);
        if (i % 100 == 0) {
            g_free(hear(other));
        }
    }
    say(other, "{'execute':'qmp_capabilities'}");
    g_assert_cmpint(count_heard(other, "already complete"), ==, 1);
    /* It reads after all: everything that was taken is answered. */
    for (int i = 0; i < 3000; i++) {
        g_free(hear(slow));
        turn(2);
    }
    say(slow, "\xff{'execute':'qmp_capabilities','id':'last'}");
    turn(20);
    g_assert_cmpint(count_heard(slow, "\"last\""), ==, 1);
    end_sessions();
    close(slow);
    close(other);
}

static void test_monitor_options(void)
{
    MonitorOptions options = { .chardev = (char *)(uintptr_t) "x" };
    Error *err = NULL;

    g_assert_nonnull(chardev_new_from_opts("null,id=n0", NULL));
    g_assert_nonnull(chardev_new_from_opts("null,id=n1", NULL));
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "there is no chardev 'x' (-chardev makes them)");
    g_clear_error(&err);
    options.chardev = (char *)(uintptr_t) "n0";
    options.has_pretty = true;
    options.pretty = true;
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "Parameter 'pretty' is for mode=control only");
    g_clear_error(&err);
    options.has_mode = true;
    options.mode = MONITOR_MODE_CONTROL;
    options.id = (char *)(uintptr_t) "m";
    g_assert_true(monitor_new(&options, NULL));
    options.chardev = (char *)(uintptr_t) "n1";
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "there is a monitor with id 'm' already; give each its "
                    "own");
    g_clear_error(&err);
    options.id = (char *)(uintptr_t) "m2";
    options.chardev = (char *)(uintptr_t) "n0";
    g_assert_false(monitor_new(&options, &err));
    g_assert_nonnull(strstr(err->message, "'n0' is already in use"));
    g_clear_error(&err);
    end_sessions();
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    g_test_add_func("/qmp/lexer/table", test_lexer_table);
    g_test_add_func("/qmp/lexer/depth", test_lexer_depth);
    g_test_add_func("/qmp/lexer/size", test_lexer_size);
    g_test_add_func("/qmp/lexer/tokens", test_lexer_tokens);
    g_test_add_func("/qmp/lexer/random", test_lexer_random);
    g_test_add_func("/qmp/output/table", test_output);
    g_test_add_func("/qmp/output/not-utf8", test_output_not_utf8);
    g_test_add_func("/qmp/dispatch/table", test_dispatch_table);
    g_test_add_func("/qmp/dispatch/preconfig", test_dispatch_preconfig);
    g_test_add_func("/qmp/dispatch/long-name", test_dispatch_long_name);
    g_test_add_func("/qmp/session/states", test_session_states);
    g_test_add_func("/qmp/session/oob", test_session_oob);
    g_test_add_func("/qmp/session/queue", test_session_queue);
    g_test_add_func("/qmp/session/fd-left", test_session_fd_left);
    g_test_add_func("/qmp/session/never-reads", test_never_reads);
    g_test_add_func("/qmp/events/all", test_events);
    g_test_add_func("/qmp/events/limit", test_event_limit);
    g_test_add_func("/qmp/monitor/options", test_monitor_options);
    return g_test_run();
}
