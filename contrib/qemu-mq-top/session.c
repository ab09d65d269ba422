/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/session.h"

/* The least time between two samples. */
#define SETTLE_US (G_USEC_PER_SEC / 5)

/* ---- made and freed ---- */

/* A change that the user asked for. */
typedef struct Action {
    MqSession *session;
    char *what; /* for the message */
} Action;

static void action_free(void *opaque)
{
    Action *a = opaque;

    g_free(a->what);
    g_free(a);
}

MqSession *mq_session_new(const char *address, int64_t interval)
{
    MqSession *s = g_new0(MqSession, 1);

    s->address = g_strdup(address);
    s->interval = interval;
    s->model = mq_model_new();
    s->log = mq_log_new();
    s->actions = g_ptr_array_new_with_free_func(action_free);
    return s;
}

void mq_session_close(MqSession *s)
{
    qmp_client_close(s->client);
    s->client = NULL;
    s->asked = false;
    s->answers_due = 0;
    s->next = 0;
    g_clear_error(&s->fatal);
    g_clear_pointer(&s->failed, g_free);
    g_clear_pointer(&s->commands, g_hash_table_unref);
    g_ptr_array_set_size(s->actions, 0);
}

void mq_session_free(MqSession *s)
{
    mq_session_close(s);
    mq_model_free(s->model);
    mq_log_free(s->log);
    g_ptr_array_unref(s->actions);
    g_free(s->vm_name);
    g_free(s->address);
    g_free(s);
}

/* ---- events ---- */

/* The members of an event's data in one line. */
static void describe_data(json_object *data, GString *out)
{
    if (!data) {
        return;
    }
    json_object_object_foreach(data, name, value)
    {
        const char *text =
            json_object_is_type(value, json_type_string)
                ? json_object_get_string(value)
                : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

        if (strcmp(name, "qom-path") != 0) {
            g_string_append_printf(out, " %s=%s", name, text);
        }
    }
}

static void take_event(void *opaque, const char *name, json_object *data)
{
    MqSession *s = opaque;
    g_autoptr(GString) text = g_string_new(NULL);

    describe_data(data, text);
    mq_log(s->log, MQ_LOG_EVENT, "%s%s", name, text->str);
}

bool mq_session_open(MqSession *s, Error **errp)
{
    mq_session_close(s);
    s->client = qmp_client_open(s->address, take_event, s, errp);
    return s->client != NULL;
}

/* ---- what the server can do ---- */

static bool has_command(const MqSession *s, const char *name)
{
    return s->commands && g_hash_table_contains(s->commands, name);
}

static void commands_came(void *opaque, json_object *ret,
                          const char *error_class, const char *error)
{
    MqSession *s = opaque;

    if (error) {
        error_setg(&s->fatal, "query-commands: %s", error);
        return;
    }
    s->commands = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (size_t i = 0; i < json_length(ret); i++) {
        const char *name =
            json_read_str(json_object_array_get_idx(ret, i), "name");

        if (name) {
            g_hash_table_add(s->commands, g_strdup(name));
        }
    }
    if (!has_command(s, "query-net-queues")) {
        error_setg(&s->fatal, "this emulator has no query-net-queues: it is "
                              "another QEMU than qemu-mq, which does not "
                              "tell about queue pairs");
    }
}

static void name_came(void *opaque, json_object *ret, const char *error_class,
                      const char *error)
{
    MqSession *s = opaque;

    g_free(s->vm_name);
    s->vm_name = g_strdup(json_read_str(ret, "name"));
}

/* ---- samples ---- */

static void sample_part_came(MqSession *s)
{
    if (--s->answers_due == 0 && !s->failed) {
        s->samples++;
    }
}

static void iothreads_came(void *opaque, json_object *ret,
                           const char *error_class, const char *error)
{
    MqSession *s = opaque;

    mq_model_set_iothreads(s->model, ret);
    sample_part_came(s);
}

/* The same failure again and again is told once. */
static void sample_failed(MqSession *s, const char *text)
{
    if (g_strcmp0(s->failed, text) != 0) {
        mq_log(s->log, MQ_LOG_ERROR, "%s", text);
    }
    g_free(s->failed);
    s->failed = g_strdup(text);
}

static void queues_came(void *opaque, json_object *ret, const char *error_class,
                        const char *error)
{
    MqSession *s = opaque;
    g_autoptr(GError) err = NULL;

    if (error) {
        error_setg(&err, "query-net-queues: %s", error);
    } else {
        mq_model_update(s->model, ret, g_get_monotonic_time(), &err);
    }
    if (err) {
        sample_failed(s, err->message);
    } else {
        g_clear_pointer(&s->failed, g_free);
    }
    sample_part_came(s);
}

static void begin_sample(MqSession *s, int64_t now)
{
    s->next =
        s->next + s->interval > now ? s->next + s->interval : now + s->interval;
    s->answers_due = 0;
    s->answers_due +=
        qmp_client_send(s->client, "query-net-queues", NULL, queues_came, s);
    s->answers_due +=
        has_command(s, "query-iothreads") &&
        qmp_client_send(s->client, "query-iothreads", NULL, iothreads_came, s);
}

static void discover(MqSession *s)
{
    s->asked = true;
    qmp_client_send(s->client, "query-commands", NULL, commands_came, s);
    qmp_client_send(s->client, "query-name", NULL, name_came, s);
}

bool mq_session_run(MqSession *s, int64_t now, Error **errp)
{
    if (!qmp_client_run(s->client, now, errp)) {
        return false;
    }
    if (s->fatal) {
        error_propagate(errp, s->fatal);
        s->fatal = NULL;
        return false;
    }
    if (qmp_client_ready(s->client) && !s->asked) {
        discover(s);
    }
    if (s->commands && s->answers_due == 0 && now >= s->next) {
        begin_sample(s, now);
    }
    return true;
}

int mq_session_wait_ms(const MqSession *s, int64_t now, int limit)
{
    int64_t us = s->commands && s->answers_due == 0
                     ? s->next - now
                     : (int64_t)limit * G_TIME_SPAN_MILLISECOND;

    us = CLAMP(us, 0, (int64_t)limit * G_TIME_SPAN_MILLISECOND);
    return (int)((us + G_TIME_SPAN_MILLISECOND - 1) / G_TIME_SPAN_MILLISECOND);
}

void mq_session_set_interval(MqSession *s, int64_t interval)
{
    s->interval = interval;
    s->next = g_get_monotonic_time() + interval;
}

/* ---- changes ---- */

static void action_done(void *opaque, json_object *ret, const char *error_class,
                        const char *error)
{
    Action *a = opaque;
    MqSession *s = a->session;

    if (error) {
        mq_log(s->log, MQ_LOG_ERROR, "%s: %s", a->what, error);
    } else {
        mq_log(s->log, MQ_LOG_INFO, "%s: done", a->what);
    }
    g_ptr_array_remove_fast(s->actions, a);
    /* soon, but not with rates of next to no time */
    s->next = MIN(s->next, s->model->sampled + SETTLE_US);
}

/* Sends the command of a change that is called @what; takes @args and @what. */
static void act(MqSession *s, const char *command, json_object *args,
                char *what)
{
    Action *a;

    if (!s->client || !has_command(s, command)) {
        mq_log(s->log, MQ_LOG_ERROR,
               s->commands ? "%s: this emulator has no command %s"
                           : "%s: not connected, %s was not sent",
               what, command);
        json_object_put(args);
        g_free(what);
        return;
    }
    a = g_new0(Action, 1);
    a->session = s;
    a->what = what;
    g_ptr_array_add(s->actions, a);
    if (!qmp_client_send(s->client, command, args, action_done, a)) {
        action_done(a, NULL, "GenericError",
                    "too many commands wait for their answers");
    }
}

static void add_str(json_object *obj, const char *name, const char *value)
{
    json_object_object_add(obj, name, json_object_new_string(value));
}

static json_object *mapping_entry(unsigned pair, const char *iothread)
{
    json_object *e = json_object_new_object();

    json_object_object_add(e, "pair", json_object_new_int64(pair));
    add_str(e, "backend", iothread ? "iothread" : "vhost");
    if (iothread) {
        add_str(e, "iothread", iothread);
    }
    return e;
}

void mq_session_move(MqSession *s, const char *nic, int pair,
                     const char *iothread)
{
    const MqNic *n = mq_model_find(s->model, nic);
    json_object *args = json_object_new_object();
    json_object *mapping = json_object_new_array();
    g_autofree char *which =
        pair < 0 ? g_strdup("all pairs") : g_strdup_printf("pair %d", pair);
    g_autofree char *where = iothread ? g_strdup_printf("iothread %s", iothread)
                                      : g_strdup("vhost-net");

    for (unsigned i = 0; n && i < n->pairs->len; i++) {
        const MqPair *p = g_ptr_array_index(n->pairs, i);

        if (pair < 0 || p->number == (unsigned)pair) {
            json_object_array_add(mapping, mapping_entry(p->number, iothread));
        }
    }
    add_str(args, "id", nic);
    json_object_object_add(args, "mapping", mapping);
    act(s, "virtio-net-set-queue-mapping", args,
        g_strdup_printf("%s: %s to %s", nic, which, where));
}

void mq_session_set_queues(MqSession *s, const char *netdev, unsigned queues)
{
    json_object *args = json_object_new_object();

    add_str(args, "id", netdev);
    json_object_object_add(args, "queues", json_object_new_int64(queues));
    act(s, "netdev-set-queues", args,
        g_strdup_printf("%s: %u queues", netdev, queues));
}

void mq_session_set_link(MqSession *s, const char *name, bool up)
{
    json_object *args = json_object_new_object();

    add_str(args, "name", name);
    json_object_object_add(args, "up", json_object_new_boolean(up));
    act(s, "set_link", args,
        g_strdup_printf("%s: link %s", name, up ? "up" : "down"));
}
