/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-mq-top without its screen: numbers from samples, the table, JSON, the
 * command line, and its client beside servers that are slow, broken or hostile.
 */
#include "util/osdep.h"

#include <glib/gstdio.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/options.h"
#include "contrib/qemu-mq-top/report.h"
#include "contrib/qemu-mq-top/session.h"
#include "contrib/qemu-mq-top/view.h"

#define SECOND G_USEC_PER_SEC

/* ---- text ---- */

static void test_text_shown(void)
{
    static const struct {
        const char *text, *shown;
        size_t max;
    } cases[] = {
        { NULL, "", 10 },
        { "", "", 10 },
        { "plain ~!", "plain ~!", 10 },
        { "\x1b[2J", "?[2J", 10 },
        { "a\nb\r\t\x7f", "a?b???", 10 },
        { "\xc2\x9b"
          "31m",
          "?31m", 10 },
        { "\xe2\x80\xae"
          "abc",
          "?abc", 10 },
        { "\xff\xfe\x80", "???", 10 },
        { "\xe2\x82", "??", 10 },
        { "0123456789", "0123456789", 10 },
        { "0123456789a", "0123456...", 10 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *got = text_shown(cases[i].text, cases[i].max);

        g_assert_cmpstr(got, ==, cases[i].shown);
    }
}

static void test_json_ascii(void)
{
    json_object *s =
        json_object_new_string("a\x1b\x7f\xc2\x9b\"\xf0\x9f\x98\x80"
                               "\xff");
    g_autofree char *text = json_to_ascii(s);

    g_assert_cmpstr(text, ==,
                    "\"a\\u001b\\u007f\\u009b\\\"\\ud83d\\ude00\\ufffd\"");
    json_object_put(s);
}

static void test_number(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        { NAN, "-" },        { INFINITY, "-" },  { 0, "0" },
        { -3, "0" },         { 7, "7" },         { 0.25, "0.25" },
        { 9.996, "10.0" },   { 12.34, "12.3" },  { 99.96, "100" },
        { 999.4, "999" },    { 999.6, "1.00k" }, { 1234, "1.23k" },
        { 12345, "12.3k" },  { 123456, "123k" }, { 999600, "1.00M" },
        { 2.5e9, "2.50G" },  { 1e12, "1.00T" },  { 1.5e16, "15.0P" },
        { 1.8e19, "18.0E" }, { 9e21, "9000E" },  { 1e30, ">9999E" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[8];

        mq_format_number(cases[i].value, text);
        g_assert_cmpstr(text, ==, cases[i].text);
        g_assert_cmpuint(strlen(text), <=, 6);
    }
}

/* ---- the model ---- */

/* Gives @m the answer in @text, with ' for ". */
static bool feed(MqModel *m, const char *text, int64_t now)
{
    g_autofree char *json = g_strdelimit(g_strdup(text), "'", '"');
    json_object *obj = json_tokener_parse(json);
    bool ok;

    ok = mq_model_update(m, obj, now, NULL);
    json_object_put(obj);
    return ok;
}

static const MqNic *nic_at(const MqModel *m, unsigned i)
{
    g_assert_cmpuint(i, <, m->nics->len);
    return g_ptr_array_index(m->nics, i);
}

static const MqPair *pair_at(const MqModel *m, unsigned nic, unsigned i)
{
    const MqNic *n = nic_at(m, nic);

    g_assert_cmpuint(i, <, n->pairs->len);
    return g_ptr_array_index(n->pairs, i);
}

#define ABOUT(v, want) g_assert_cmpfloat_with_epsilon(v, want, 1e-6)
#define UNKNOWN(v)     g_assert_true(isnan(v))

/* A pair of nic0 with some counters; the text of an entry. */
#define PAIR(number, owner, more, stats)                                 \
    "{'nic':'nic0','qom-path':'/m/nic0','netdev':'n0','pair':" number    \
    ",'owner':'" owner "','enabled':true,'active':true,'link':true" more \
    ",'stats':{" stats "}}"

static void test_rates(void)
{
    MqModel *m = mq_model_new();
    const MqPair *p;

    g_assert_true(
        feed(m,
             "[" PAIR("0", "iothread", ",'iothread':'io0','thread-id':77",
                      "'rx-packets':100,'rx-bytes':1000,'tx-packets':"
                      "5,'tx-bytes':50,'tx-dropped':1,'rx-filtered':"
                      "0,'rx-kicks':1,'tx-kicks':1,'rx-signals':0,"
                      "'tx-signals':0,'thread-cpu-time':1000000000") "]",
             5 * SECOND));
    p = pair_at(m, 0, 0);
    for (unsigned k = 0; k < MQ_N_METRICS; k++) {
        UNKNOWN(p->metric[k]);
    }
    g_assert_true(feed(
        m,
        "[" PAIR("0", "iothread", ",'iothread':'io0','thread-id':77",
                 "'rx-packets':300,'rx-bytes':5000,'tx-packets':105,"
                 "'tx-bytes':1050,'tx-dropped':5,'rx-filtered':6,"
                 "'rx-kicks':31,'tx-kicks':31,'rx-signals':150,"
                 "'tx-signals':0,'thread-cpu-time':1500000000,"
                 "'rx-ring-size':256,'rx-ring-occupancy':64,'moves':3") "]",
        7 * SECOND));
    p = pair_at(m, 0, 0);
    ABOUT(m->elapsed, 2);
    ABOUT(p->metric[MQ_RX_PACKETS], 100);
    ABOUT(p->metric[MQ_RX_BITS], 16000);
    ABOUT(p->metric[MQ_TX_PACKETS], 50);
    ABOUT(p->metric[MQ_TX_BITS], 4000);
    ABOUT(p->metric[MQ_DROPS], 5);
    ABOUT(p->metric[MQ_CPU], 25);
    ABOUT(p->metric[MQ_KICKS_PER_PACKET], 0.2);
    ABOUT(p->metric[MQ_SIGNALS_PER_PACKET], 0.5);
    ABOUT(p->metric[MQ_RX_RING], 25);
    UNKNOWN(p->metric[MQ_TX_RING]);
    ABOUT(p->metric[MQ_MOVES], 3);
    ABOUT(nic_at(m, 0)->metric[MQ_RX_PACKETS], 100);
    g_assert_cmpstr(nic_at(m, 0)->netdev, ==, "n0");
    g_assert_cmpint(nic_at(m, 0)->link, ==, MQ_LINK_UP);
    g_assert_cmpstr(p->iothread, ==, "io0");
    UNKNOWN(mq_pair_rate(m, p, "rx-ring-occupancy"));
    ABOUT(mq_pair_rate(m, p, "rx-bytes"), 2000);
    mq_model_free(m);
}

/* A device that was made anew counts from 0: no negative or huge rates, and
 * what it has counted since is counted. */
static void test_counters_restart(void)
{
    MqModel *m = mq_model_new();

    feed(m,
         "[" PAIR("0", "iothread", "", "'rx-packets':1000,'tx-packets':7") "]",
         SECOND);
    feed(m, "[" PAIR("0", "iothread", "", "'rx-packets':40,'tx-packets':9") "]",
         2 * SECOND);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_RX_PACKETS], 40);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_TX_PACKETS], 9);
    feed(m, "[" PAIR("0", "iothread", "", "'rx-packets':50,'tx-packets':9") "]",
         3 * SECOND);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_RX_PACKETS], 10);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_TX_PACKETS], 0);
    mq_model_free(m);
}

/* Another thread's time is no time of the thread before; the packets go on. */
static void test_thread_changes(void)
{
    MqModel *m = mq_model_new();

    feed(m,
         "[" PAIR("0", "iothread", ",'thread-id':7",
                  "'rx-packets':10,'thread-cpu-time':9000000000") "]",
         SECOND);
    feed(m,
         "[" PAIR("0", "iothread", ",'thread-id':8",
                  "'rx-packets':30,'thread-cpu-time':100") "]",
         2 * SECOND);
    UNKNOWN(pair_at(m, 0, 0)->metric[MQ_CPU]);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_RX_PACKETS], 20);
    feed(m,
         "[" PAIR("0", "iothread", ",'thread-id':8",
                  "'rx-packets':30,'thread-cpu-time':500000100") "]",
         3 * SECOND);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_CPU], 50);
    mq_model_free(m);
}

/* Counters stand still while a vhost worker has the pair: that is no rate of
 * 0. What is known of it is shown. */
static void test_vhost(void)
{
    MqModel *m = mq_model_new();
    const MqPair *p;

    for (int i = 1; i <= 2; i++) {
        feed(m,
             i == 1 ? "[" PAIR("0", "vhost", ",'thread-id':9",
                               "'rx-packets':10,'thread-cpu-time':0,'moves':1,"
                               "'tx-ring-size':256,'tx-ring-occupancy':256") "]"
                    : "[" PAIR("0", "vhost", ",'thread-id':9",
                               "'rx-packets':10,'thread-cpu-time':100000000,"
                               "'moves':1,'tx-ring-size':256,"
                               "'tx-ring-occupancy':256") "]",
             i * SECOND);
    }
    p = pair_at(m, 0, 0);
    UNKNOWN(p->metric[MQ_RX_PACKETS]);
    UNKNOWN(p->metric[MQ_DROPS]);
    UNKNOWN(p->metric[MQ_KICKS_PER_PACKET]);
    UNKNOWN(nic_at(m, 0)->metric[MQ_RX_PACKETS]);
    ABOUT(p->metric[MQ_CPU], 10);
    ABOUT(p->metric[MQ_TX_RING], 100);
    ABOUT(p->metric[MQ_MOVES], 1);
    g_assert_cmpstr(mq_owner_name(p->owner), ==, "vhost");
    mq_model_free(m);
}

/* Pairs on one thread show its time each; the NIC shows it once. */
static void test_nic_sum(void)
{
    MqModel *m = mq_model_new();

    for (int i = 0; i < 2; i++) {
        g_autofree char *text = g_strdup_printf(
            "[" PAIR("2", "vhost", "", "'rx-packets':5") "," PAIR(
                "1", "iothread", ",'thread-id':7",
                "'rx-packets':%d,'thread-cpu-time':%d") "," PAIR("0",
                                                                 "iothread",
                                                                 ",'thread-"
                                                                 "id':7",
                                                                 "'rx-"
                                                                 "packets':"
                                                                 "%d,'"
                                                                 "thread-"
                                                                 "cpu-time'"
                                                                 ":%d") "]",
            i * 100, i * 300000000, i * 20, i * 300000000);

        g_assert_true(feed(m, text, (i + 1) * SECOND));
    }
    g_assert_cmpuint(pair_at(m, 0, 0)->number, ==, 0);
    g_assert_cmpuint(pair_at(m, 0, 2)->number, ==, 2);
    ABOUT(nic_at(m, 0)->metric[MQ_RX_PACKETS], 120);
    ABOUT(nic_at(m, 0)->metric[MQ_CPU], 30);
    UNKNOWN(nic_at(m, 0)->metric[MQ_RX_RING]);
    mq_model_free(m);
}

static void test_nics_come_and_go(void)
{
    MqModel *m = mq_model_new();

    feed(m, "[]", SECOND);
    g_assert_cmpuint(m->nics->len, ==, 0);
    feed(m, "[" PAIR("0", "main", "", "'rx-packets':5") "]", 2 * SECOND);
    UNKNOWN(pair_at(m, 0, 0)->metric[MQ_RX_PACKETS]);
    feed(m,
         "[" PAIR("0", "main", "",
                  "'rx-packets':6") ",{'nic':'b','qom-path':'/"
                                    "b','pair':3,'owner':'new-kind'}]",
         3 * SECOND);
    ABOUT(pair_at(m, 0, 0)->metric[MQ_RX_PACKETS], 1);
    g_assert_cmpstr(mq_owner_name(pair_at(m, 0, 0)->owner), ==, "stopped");
    g_assert_cmpstr(mq_owner_name(pair_at(m, 1, 0)->owner), ==, "?");
    g_assert_null(nic_at(m, 1)->netdev);
    g_assert_cmpint(nic_at(m, 1)->link, ==, MQ_LINK_UNKNOWN);
    g_assert_nonnull(mq_model_find(m, "b"));
    feed(m, "[]", 4 * SECOND);
    g_assert_null(mq_model_find(m, "b"));
    mq_model_free(m);
}

/* Answers that no server of ours gives. */
static void test_hostile_answers(void)
{
    static const char *const taken[] = {
        "[1,null,'x',[],{}]",
        "[{'nic':7,'pair':0}]",
        "[{'nic':'a'},{'nic':'a'},{'nic':'a','pair':-5}]",
        "[{'nic':'a','pair':99999999999999999999,'stats':[1]}]",
        "[{'nic':'a','pair':1,'thread-id':-1,'owner':5,'link':'x',"
        "'stats':{'rx-packets':-1,'rx-bytes':1e300,'tx-packets':'x',"
        "'tx-bytes':18446744073709551615,'rx-ring-size':0,"
        "'rx-ring-occupancy':5}}]",
        "[{'nic':'a','stats':{'rx-ring-occupancy':18446744073709551615}}]",
        "[{'nic':'a','stats':{'rx-ring-size':1,'rx-ring-occupancy':9}}]",
        "[{'nic':'','qom-path':'','pair':0}]",
    };
    static const char *const refused[] = { "{}", "null", "5", "'x'" };
    MqModel *m = mq_model_new();
    unsigned nics;

    for (unsigned lap = 0; lap < 2; lap++) {
        for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
            g_autoptr(GString) table = g_string_new(NULL);

            g_assert_true(feed(m, taken[i], (lap * 100 + (int)i) * SECOND));
            mq_print_table(m, MQ_SORT_CPU, table);
        }
    }
    nics = m->nics->len;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        g_assert_false(feed(m, refused[i], 1000 * SECOND));
        g_assert_cmpuint(m->nics->len, ==, nics);
    }
    mq_model_set_iothreads(m, NULL);
    g_assert_cmpuint(m->iothreads->len, ==, 0);
    mq_model_free(m);
}

static void test_many_pairs(void)
{
    g_autoptr(GString) text = g_string_new("[");
    MqModel *m = mq_model_new();

    for (unsigned i = 0; i < MQ_MAX_PAIRS + 10; i++) {
        g_string_append_printf(text,
                               "%s{'nic':'n%u','qom-path':'/n%u',"
                               "'pair':%u}",
                               i ? "," : "", i / 256, i / 256, i % 256);
    }
    g_string_append_c(text, ']');
    g_assert_true(feed(m, text->str, SECOND));
    g_assert_cmpuint(m->nics->len, ==, MQ_MAX_PAIRS / 256);
    g_assert_cmpuint(m->left_out, ==, 10);
    mq_model_free(m);
}

/* ---- the table ---- */

static MqModel *two_nics(void)
{
    MqModel *m = mq_model_new();

    for (int i = 0; i < 2; i++) {
        g_autofree char *text = g_strdup_printf(
            "[" PAIR("0", "iothread", ",'iothread':'io0','thread-id':4711",
                     "'rx-packets':%d,'tx-packets':0") "," PAIR("1", "vhost",
                                                                "",
                                                                "'rx-packets':"
                                                                "5") ","
                                                                     "{'nic':'"
                                                                     "a-very-"
                                                                     "long-"
                                                                     "name-of-"
                                                                     "a-"
                                                                     "nic\x1b["
                                                                     "31m','"
                                                                     "qom-path'"
                                                                     ":'/b',"
                                                                     "'pair':0,"
                                                                     "'link':"
                                                                     "false,'"
                                                                     "owner':'"
                                                                     "main','"
                                                                     "rx-"
                                                                     "stalled':"
                                                                     "true,"
                                                                     "'stats':{"
                                                                     "'rx-"
                                                                     "packets':"
                                                                     "%d}}]",
            i * 1000, i * 5000);

        g_assert_true(feed(m, text, (i + 1) * SECOND));
    }
    return m;
}

static void test_lines_fit(void)
{
    MqModel *m = two_nics();
    g_autoptr(GArray) rows = mq_rows(m, MQ_SORT_NAME);

    g_assert_cmpuint(rows->len, ==, 5);
    for (unsigned width = 1; width < 200; width++) {
        g_autofree char *heading = mq_heading(width);

        g_assert_cmpuint(strlen(heading), <=, width);
        for (unsigned i = 0; i < rows->len; i++) {
            g_autofree char *line =
                mq_line(&g_array_index(rows, MqRow, i), width);

            g_assert_cmpuint(strlen(line), <=, width);
            for (const char *p = line; *p; p++) {
                g_assert_true(*p >= 0x20 && *p < 0x7f);
            }
        }
    }
    mq_model_free(m);
}

static void test_table(void)
{
    MqModel *m = two_nics();
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    mq_print_table(m, MQ_SORT_NAME, text);
    lines = g_strsplit(text->str, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 7);
    g_assert_true(g_str_has_prefix(lines[0], "NIC / PAIR     OWNER"));
    g_assert_true(g_str_has_prefix(lines[1], "nic0           link up   n0"));
    g_assert_true(g_str_has_prefix(lines[2], "  pair 0       iothread  io0 "));
    g_assert_nonnull(strstr(lines[2], " 4711 "));
    g_assert_nonnull(strstr(lines[2], " 1.00k "));
    g_assert_true(g_str_has_prefix(lines[3], "  pair 1       vhost     - "));
    g_assert_true(
        g_str_has_prefix(lines[4], "a-very-long-n+ LINK DOWN no netd"));
    g_assert_nonnull(strstr(lines[5], " STALLED "));
    mq_model_free(m);
}

static void test_sort(void)
{
    MqModel *m = two_nics();
    g_autoptr(GArray) rows = mq_rows(m, MQ_SORT_RX);
    const MqRow *row = &g_array_index(rows, MqRow, 0);

    g_assert_cmpstr(row->nic->qom_path, ==, "/b");
    row = &g_array_index(rows, MqRow, 3);
    g_assert_cmpuint(row->pair->number, ==, 0);
    row = &g_array_index(rows, MqRow, 4); /* not known: last */
    g_assert_cmpuint(row->pair->number, ==, 1);
    mq_model_free(m);
}

/* ---- options ---- */

static bool parse(const char *line, MqOptions *o, Error **errp)
{
    /* the options point into it */
    static char **argv;

    g_strfreev(argv);
    argv = g_strsplit(line, " ", -1);
    return mq_options_parse((int)g_strv_length(argv), argv, o, errp);
}

static void test_bad_options(void)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        { "top", "address" },
        { "top ", "address" },
        { "top a b", "more than one" },
        { "top --colour a", "--colour" },
        { "top -x a", "-x" },
        { "top --interval", "needs a value" },
        { "top --interval x a", "0.1 to 3600" },
        { "top --interval 0 a", "0.1 to 3600" },
        { "top --interval -1 a", "0.1 to 3600" },
        { "top --interval nan a", "0.1 to 3600" },
        { "top --interval 1e9 a", "0.1 to 3600" },
        { "top --interval 1s a", "0.1 to 3600" },
        { "top --count 0 a", "1 to 1000000000" },
        { "top --count -1 a", "1 to 1000000000" },
        { "top --count 1000000001 a", "1 to 1000000000" },
        { "top --count ten a", "1 to 1000000000" },
        { "top --once=yes a", "--once=yes" },
        { "top --json a", "--once" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GError) err = NULL;
        MqOptions o;

        g_assert_false(parse(cases[i].line, &o, &err));
        g_assert_nonnull(strstr(err->message, cases[i].text));
        g_assert_null(strchr(err->message, '\n'));
    }
}

static void test_options(void)
{
    MqOptions o;

    g_assert_true(parse("top /a", &o, NULL));
    g_assert_cmpstr(o.address, ==, "/a");
    g_assert_true(!o.once && !o.json && o.count == 0 && o.interval == SECOND);
    g_assert_true(parse("top --once /a --json", &o, NULL));
    g_assert_true(o.once && o.json && o.count == 1);
    g_assert_true(parse("top --count=7 --interval .5 /a", &o, NULL) == false);
    g_assert_true(
        parse("top --count=7 --interval 0.5 --reconnect a:1", &o, NULL));
    g_assert_true(o.count == 7 && o.interval == SECOND / 2 && o.reconnect);
    g_assert_true(parse("top --help", &o, NULL) && o.help);
    g_assert_true(parse("top --version", &o, NULL) && o.version);
}

/* ---- the client, and servers ---- */

typedef struct Server {
    char *dir, *path;
    int listener, fd;
    GString *got; /* from the client */
} Server;

static void server_start(Server *s)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    s->dir = g_dir_make_tmp("mq-top-XXXXXX", NULL);
    s->path = g_build_filename(s->dir, "qmp", NULL);
    g_strlcpy(addr.sun_path, s->path, sizeof(addr.sun_path));
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)),
                    ==, 0);
    g_assert_cmpint(listen(s->listener, 1), ==, 0);
    s->fd = -1;
    s->got = g_string_new(NULL);
}

static void server_accept(Server *s)
{
    s->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(s->fd, >=, 0);
}

static void server_stop(Server *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    close(s->listener);
    g_unlink(s->path);
    g_rmdir(s->dir);
    g_free(s->path);
    g_free(s->dir);
    g_string_free(s->got, TRUE);
}

/* Sends without waiting for a client that does not read. */
static size_t server_send(Server *s, const char *data, size_t len)
{
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    return n > 0 ? (size_t)n : 0;
}

static void server_say(Server *s, const char *text)
{
    g_assert_cmpuint(server_send(s, text, strlen(text)), ==, strlen(text));
}

/* The client's next command; its id, and its name in @name (or NULL). */
static int64_t server_command(Server *s, char **name)
{
    char buf[4096], *end;
    json_object *obj;
    int64_t id;

    for (;;) {
        ssize_t n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n <= 0) {
            break;
        }
        g_string_append_len(s->got, buf, n);
    }
    end = strchr(s->got->str, '\n');
    if (!end) {
        return 0;
    }
    *end = '\0';
    obj = json_tokener_parse(s->got->str);
    id = json_read_int(obj, "id", 1, INT64_MAX, -1);
    if (name) {
        *name = g_strdup(json_read_str(obj, "execute"));
    }
    json_object_put(obj);
    g_string_erase(s->got, 0, end - s->got->str + 1);
    return id;
}

static const char GREETING[] = "{\"QMP\": {\"version\": {}, "
                               "\"capabilities\": []}}\r\n";

static unsigned n_events;
static char *last_event;

static void count_event(void *opaque, const char *name, json_object *data)
{
    n_events++;
    g_free(last_event);
    last_event = g_strdup(name);
}

typedef struct Answer {
    unsigned n;
    char *error;
    int64_t value;
} Answer;

static void note_answer(void *opaque, json_object *ret, const char *error_class,
                        const char *error)
{
    Answer *a = opaque;

    a->n++;
    g_free(a->error);
    a->error = g_strdup(error);
    a->value = json_read_int(ret, "value", 0, 1000, -1);
}

/* A client that is ready, and its server. */
static QmpClient *ready_client(Server *s)
{
    g_autofree char *name = NULL;
    QmpClient *c;

    server_start(s);
    c = qmp_client_open(s->path, count_event, NULL, NULL);
    g_assert_nonnull(c);
    server_accept(s);
    server_say(s, GREETING);
    g_assert_true(qmp_client_run(c, 0, NULL));
    g_assert_false(qmp_client_ready(c));
    g_assert_cmpint(server_command(s, &name), ==, 1);
    g_assert_cmpstr(name, ==, "qmp_capabilities");
    server_say(s, "{\"return\": {}, \"id\": 1}\n");
    g_assert_true(qmp_client_run(c, 0, NULL));
    g_assert_true(qmp_client_ready(c));
    return c;
}

static void test_client(void)
{
    static const char answer[] =
        "{\"event\": \"X\", \"data\": {}, \"timestamp\": {}}\r\n{\n  \"id\": 2,"
        "\n  \"return\": {\"value\": 7, \"text\": \"\xe2\x82\xac\"}\n}\r\n";
    Answer a = { 0 };
    Server s;
    QmpClient *c = ready_client(&s);

    n_events = 0;
    g_assert_true(qmp_client_send(c, "query-x", NULL, note_answer, &a));
    g_assert_true(qmp_client_run(c, 0, NULL));
    g_assert_cmpint(server_command(&s, NULL), ==, 2);
    /* byte by byte, pretty, behind an event */
    for (size_t i = 0; i < strlen(answer); i++) {
        g_assert_cmpuint(a.n, ==, 0);
        server_send(&s, answer + i, 1);
        g_assert_true(qmp_client_run(c, 0, NULL));
        if (a.n) {
            break;
        }
    }
    g_assert_cmpint(a.value, ==, 7);
    g_assert_cmpuint(n_events, ==, 1);
    g_assert_cmpstr(last_event, ==, "X");

    /* unknown ids are nobody's; an error has its text */
    qmp_client_send(c, "query-y", NULL, note_answer, &a);
    server_say(&s, "{\"return\":{},\"id\":99}{\"return\":{}}");
    g_assert_true(qmp_client_run(c, 0, NULL));
    g_assert_cmpuint(a.n, ==, 1);
    server_say(&s, "{\"id\":3,\"error\":{\"class\":\"C\",\"desc\":\"D\"}}");
    g_assert_true(qmp_client_run(c, 0, NULL));
    g_assert_cmpstr(a.error, ==, "D");
    qmp_client_close(c);
    server_stop(&s);
    g_free(a.error);
    g_clear_pointer(&last_event, g_free);
}

/* Each ends the connection with one line, and nothing else. */
static void test_garbage(void)
{
    static const struct {
        const char *text, *error;
        bool greeted;
    } cases[] = {
        { "SSH-2.0-OpenSSH_9.2\r\n", "does not speak QMP", false },
        { "HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak QMP", false },
        { "{\"return\": {}}", "greeting", false },
        { "[]", "does not speak QMP", false },
        { "null", "does not speak QMP", false },
        { "\"x\"", "does not speak QMP", false },
        { "{\"QMP\": 5}", "greeting", false },
        { "\x1b[2J", "does not speak QMP", false },
        { "]", "does not speak QMP", true },
        { "[1]", "no JSON object", true },
        { "{\"event\": }", "does not speak QMP", true },
        { "{\"event\": \"a\" \"b\"}", "does not speak QMP", true },
        { "{\"id\":2,", "closed the connection", true },
        { "", "closed the connection", true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GError) err = NULL;
        Server s;
        QmpClient *c;
        bool ok;

        if (cases[i].greeted) {
            c = ready_client(&s);
        } else {
            server_start(&s);
            c = qmp_client_open(s.path, count_event, NULL, NULL);
            server_accept(&s);
        }
        server_say(&s, cases[i].text);
        server_send(&s, " ", 1);
        ok = qmp_client_run(c, 0, &err);
        if (ok) {
            close(s.fd);
            s.fd = -1;
            ok = qmp_client_run(c, 0, &err);
        }
        g_assert_false(ok);
        g_assert_nonnull(strstr(err->message, cases[i].error));
        g_assert_null(strchr(err->message, '\n'));
        qmp_client_close(c);
        server_stop(&s);
    }
}

/* Sends @unit again and again until the client gives up; its error. */
static char *flood(const char *start, const char *unit, uint64_t limit)
{
    g_autoptr(GString) block = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    uint64_t sent = 0;
    Server s;
    QmpClient *c = ready_client(&s);

    while (block->len < 65536) {
        g_string_append(block, unit);
    }
    server_say(&s, start);
    while (qmp_client_run(c, 0, &err)) {
        sent += server_send(&s, block->str, block->len);
        g_assert_cmpuint(sent, <, limit);
    }
    qmp_client_close(c);
    server_stop(&s);
    return g_strdup(err->message);
}

static void test_endless(void)
{
    static const struct {
        const char *start, *unit, *error;
    } cases[] = {
        { "{\"event\": \"", "aaaaaaaa", "longer than 8 MiB" },
        { "", "        ", "longer than 8 MiB" },
        { "{\"a\": [", "\"b\",     ", "longer than 8 MiB" },
        { "{\"a\": ", "9999999999", "" },
        { "{\"a\": [0", ",{}     ", "more than 131072 parts" },
        { "{\"a\": ", "[[[[[[[[[[", "does not speak QMP" },
        { "{\"a\": ", "{\"a\":", "does not speak QMP" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *error = flood(cases[i].start, cases[i].unit, 32 * MiB);

        g_assert_nonnull(strstr(error, cases[i].error));
    }
}

/* However much comes, a turn ends; and events do not keep a command alive that
 * nobody answers. */
static void test_event_flood(void)
{
    static const char event[] = "{\"event\":\"RTC_CHANGE\",\"data\":{}}\n";
    g_autoptr(GError) err = NULL;
    Answer a = { 0 };
    Server s;
    QmpClient *c = ready_client(&s);
    int64_t now = g_get_monotonic_time();

    n_events = 0;
    qmp_client_send(c, "query-x", NULL, note_answer, &a);
    for (unsigned i = 0; i < 2000; i++) {
        server_send(&s, event, strlen(event));
    }
    g_assert_true(qmp_client_run(c, now, &err));
    g_assert_cmpuint(n_events, >, 0);
    server_say(&s, event);
    g_assert_false(
        qmp_client_run(c, now + QMP_CLIENT_ANSWER_US + SECOND, &err));
    g_assert_nonnull(strstr(err->message, "no answer in 10 seconds"));
    g_assert_cmpuint(a.n, ==, 0);
    qmp_client_close(c);
    server_stop(&s);
}

static void test_silent_server(void)
{
    g_autoptr(GError) err = NULL;
    Server s;
    QmpClient *c;
    int64_t now = g_get_monotonic_time();

    server_start(&s);
    c = qmp_client_open(s.path, count_event, NULL, NULL);
    g_assert_true(qmp_client_run(c, now, &err));
    g_assert_false(qmp_client_run(c, now + 2 * QMP_CLIENT_ANSWER_US, &err));
    g_assert_nonnull(strstr(err->message, "no answer"));
    qmp_client_close(c);
    server_stop(&s);
}

static void test_too_many_commands(void)
{
    Answer a = { 0 };
    Server s;
    QmpClient *c = ready_client(&s);

    for (unsigned i = 0; i < QMP_CLIENT_MAX_PENDING; i++) {
        g_assert_true(qmp_client_send(c, "x", NULL, note_answer, &a));
    }
    g_assert_false(
        qmp_client_send(c, "x", json_object_new_object(), note_answer, &a));
    qmp_client_close(c);
    server_stop(&s);
}

static void test_addresses(void)
{
    static const struct {
        const char *address, *error;
    } cases[] = {
        { "/no/such/socket", "/no/such/socket" },
        { "unix:/no/such", "/no/such" },
        { "no-such-file", "no-such-file" },
        { "unix:", "" },
        { "tcp:x", "HOST:PORT" },
        { "tcp::5", "HOST:PORT" },
        { "tcp:[::1]", "" },
        { "::1:5", "HOST:PORT" },
        { "tcp:127.0.0.1:no-such-service", "" },
    };
    g_autofree char *longest = g_strdup_printf("/%0200d", 0);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(
            qmp_client_open(cases[i].address, count_event, NULL, &err));
        g_assert_nonnull(strstr(err->message, cases[i].error));
        g_assert_null(strchr(err->message, '\n'));
    }
    g_assert_null(qmp_client_open(longest, count_event, NULL, NULL));
}

/* ---- the session ---- */

/* Answers to the session's commands, with ' for ". */
typedef struct Script {
    const char *command, *answer;
} Script;

/* A turn of both. False when the session is over. */
static bool session_turn(MqSession *ms, Server *s, const Script *script,
                         Error **errp)
{
    char *name = NULL;
    int64_t id;

    if (!mq_session_run(ms, g_get_monotonic_time(), errp)) {
        return false;
    }
    while ((id = server_command(s, &name)) > 0) {
        g_autoptr(GString) answer = g_string_new("{'error':{'class':'Generic"
                                                 "Error','desc':'no\x1b[2J'}");

        for (size_t i = 0; script[i].command; i++) {
            if (strcmp(script[i].command, name) == 0) {
                g_string_printf(answer, "{'return':%s", script[i].answer);
            }
        }
        g_string_append_printf(answer, ",'id':%" PRId64 "}\n", id);
        g_strdelimit(answer->str, "'", '"');
        server_send(s, answer->str, answer->len);
        g_clear_pointer(&name, g_free);
    }
    return true;
}

static MqSession *session_start(Server *s)
{
    MqSession *ms;

    server_start(s);
    ms = mq_session_new(s->path, SECOND / 10);
    g_assert_true(mq_session_open(ms, NULL));
    server_accept(s);
    server_say(s, GREETING);
    return ms;
}

static const Script mq_script[] = {
    { "qmp_capabilities", "{}" },
    { "query-commands", "[{'name':'query-net-queues'},{'name':'query-iothreads'"
                        "},{'name':'virtio-net-set-queue-mapping'}]" },
    { "query-name", "{'name':'vm\x7f'}" },
    { "query-iothreads", "[{'id':'io0'},{'id':'io1'}]" },
    { "query-net-queues", "[" PAIR("0", "vhost", "", "'rx-packets':1") "]" },
    { NULL, NULL },
};

static bool logged(const MqSession *ms, const char *text)
{
    const MqLogEntry *e;

    for (unsigned i = 0; (e = mq_log_latest(ms->log, i)); i++) {
        if (strstr(e->text, text)) {
            return true;
        }
    }
    return false;
}

static void test_session(void)
{
    Server s;
    MqSession *ms = session_start(&s);
    g_autofree char *text = NULL;
    json_object *report;

    mq_session_set_link(ms, "nic0", true);
    g_assert_true(logged(ms, "not connected"));
    while (ms->samples < 2) {
        g_assert_true(session_turn(ms, &s, mq_script, NULL));
        g_usleep(1000);
    }
    g_assert_cmpuint(ms->model->nics->len, ==, 1);
    g_assert_cmpuint(ms->model->iothreads->len, ==, 2);

    /* the server refuses, and has no such command: both are said */
    mq_session_move(ms, "nic0", -1, "io1");
    while (!logged(ms, "nic0: all pairs to iothread io1: no?[2J")) {
        g_assert_true(session_turn(ms, &s, mq_script, NULL));
    }
    mq_session_set_queues(ms, "n0", 3);
    g_assert_true(logged(ms, "n0: 3 queues: this emulator has no command "
                             "netdev-set-queues"));
    server_say(&s, "{\"event\":\"NET_QUEUE_STALLED\",\"data\":{\"nic\":"
                   "\"nic0\",\"pair\":0}}\n");
    while (!logged(ms, "NET_QUEUE_STALLED nic=nic0 pair=0")) {
        g_assert_true(session_turn(ms, &s, mq_script, NULL));
    }
    text = mq_report_json(ms);
    g_assert_null(strpbrk(text, "\x7f\x1b\n"));
    report = json_tokener_parse(text);
    g_assert_cmpstr(json_read_str(report, "vm"), ==, "vm\x7f");
    g_assert_cmpuint(json_length(json_read(report, "nics", json_type_array)),
                     ==, 1);
    json_object_put(report);
    mq_session_free(ms);
    server_stop(&s);
}

/* Another QEMU has no such command. */
static void test_other_qemu(void)
{
    static const Script script[] = {
        { "qmp_capabilities", "{}" },
        { "query-commands", "[{'name':'query-status'},{},5]" },
        { NULL, NULL },
    };
    g_autoptr(GError) err = NULL;
    Server s;
    MqSession *ms = session_start(&s);

    while (session_turn(ms, &s, script, &err)) {
        g_usleep(1000);
    }
    g_assert_nonnull(strstr(err->message, "no query-net-queues"));
    mq_session_free(ms);
    server_stop(&s);
}

/* A command that fails each time is told once, and asked again. */
static void test_sample_fails(void)
{
    static const Script script[] = {
        { "qmp_capabilities", "{}" },
        { "query-commands", "[{'name':'query-net-queues'}]" },
        { NULL, NULL },
    };
    Server s;
    MqSession *ms = session_start(&s);
    int64_t end = g_get_monotonic_time() + SECOND / 2;

    while (g_get_monotonic_time() < end) {
        g_assert_true(session_turn(ms, &s, script, NULL));
        g_usleep(1000);
    }
    g_assert_cmpstr(ms->failed, ==, "query-net-queues: no\x1b[2J");
    g_assert_cmpuint(ms->samples, ==, 0);
    g_assert_cmpuint(ms->log->length, ==, 1);
    mq_session_free(ms);
    server_stop(&s);
}

static void test_log(void)
{
    MqLog *log = mq_log_new();

    g_assert_null(mq_log_latest(log, 0));
    for (unsigned i = 0; i < MQ_LOG_MAX + 50; i++) {
        mq_log(log, MQ_LOG_INFO, "line %u\x1b[0m", i);
    }
    g_assert_cmpuint(log->length, ==, MQ_LOG_MAX);
    g_assert_cmpstr(mq_log_latest(log, 0)->text, ==, "line 249?[0m");
    g_assert_cmpstr(mq_log_latest(log, MQ_LOG_MAX - 1)->text, ==,
                    "line 50?[0m");
    g_assert_null(mq_log_latest(log, MQ_LOG_MAX));
    mq_log_free(log);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mq-top/text/shown", test_text_shown);
    g_test_add_func("/mq-top/text/json-ascii", test_json_ascii);
    g_test_add_func("/mq-top/text/number", test_number);
    g_test_add_func("/mq-top/model/rates", test_rates);
    g_test_add_func("/mq-top/model/counters-restart", test_counters_restart);
    g_test_add_func("/mq-top/model/thread-changes", test_thread_changes);
    g_test_add_func("/mq-top/model/vhost-counts-nothing", test_vhost);
    g_test_add_func("/mq-top/model/nic-sum", test_nic_sum);
    g_test_add_func("/mq-top/model/nics-come-and-go", test_nics_come_and_go);
    g_test_add_func("/mq-top/model/hostile-answers", test_hostile_answers);
    g_test_add_func("/mq-top/model/many-pairs", test_many_pairs);
    g_test_add_func("/mq-top/view/lines-fit", test_lines_fit);
    g_test_add_func("/mq-top/view/table", test_table);
    g_test_add_func("/mq-top/view/sort", test_sort);
    g_test_add_func("/mq-top/options/bad", test_bad_options);
    g_test_add_func("/mq-top/options/good", test_options);
    g_test_add_func("/mq-top/client/answers", test_client);
    g_test_add_func("/mq-top/client/garbage", test_garbage);
    g_test_add_func("/mq-top/client/endless", test_endless);
    g_test_add_func("/mq-top/client/event-flood", test_event_flood);
    g_test_add_func("/mq-top/client/silent-server", test_silent_server);
    g_test_add_func("/mq-top/client/too-many-commands", test_too_many_commands);
    g_test_add_func("/mq-top/client/addresses", test_addresses);
    g_test_add_func("/mq-top/session/actions-and-events", test_session);
    g_test_add_func("/mq-top/session/other-qemu", test_other_qemu);
    g_test_add_func("/mq-top/session/failing-sample", test_sample_fails);
    g_test_add_func("/mq-top/log", test_log);
    return g_test_run();
}
