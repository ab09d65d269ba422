/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-mq-top: a live view of the queue pairs of an emulator's NICs.
 *
 * One thread, one poll(): the QMP socket, and the keyboard when there is a
 * screen.
 */
#include "util/osdep.h"

#include <poll.h>
#include <signal.h>

#include "config-host.h"
#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/options.h"
#include "contrib/qemu-mq-top/report.h"
#include "contrib/qemu-mq-top/session.h"
#include "contrib/qemu-mq-top/ui.h"
#include "contrib/qemu-mq-top/view.h"

/* The longest wait, for what comes between a look and poll(). */
#define TURN_MS      250
#define RECONNECT_US G_USEC_PER_SEC

typedef struct Top {
    const MqOptions *o;
    MqSession *session;
    MqUi *ui;      /* NULL: --once */
    int64_t retry; /* when to connect again, microseconds */
    uint64_t seen; /* samples that were shown */
    unsigned shown;
} Top;

static volatile sig_atomic_t ended_by;

static void note_signal(int number)
{
    ended_by = number;
}

/* With a screen: the terminal is given back first. */
static void catch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction act = { .sa_handler = note_signal };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        sigaction(numbers[i], &act, NULL);
    }
}

/* ---- turns ---- */

static bool print_report(Top *t, Error **errp)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (t->o->json) {
        g_autofree char *json = mq_report_json(t->session);

        g_string_append_printf(text, "%s\n", json);
    } else {
        mq_print_table(t->session->model, MQ_SORT_NAME, text);
        if (t->shown + 1 < t->o->count) {
            g_string_append_c(text, '\n');
        }
    }
    if (fputs(text->str, stdout) == EOF || fflush(stdout) == EOF) {
        error_setg_errno(errp, errno, "cannot write");
        return false;
    }
    return true;
}

/* Looks for a new sample; without a screen the first one has no rates yet and
 * is not shown. */
static bool show_sample(Top *t, Error **errp)
{
    MqSession *s = t->session;

    if (!t->ui && s->failed) {
        error_setg(errp, "%s", s->failed);
        return false;
    }
    if (s->samples == t->seen) {
        return true;
    }
    t->seen = s->samples;
    if (!t->ui && s->model->elapsed <= 0) {
        return true;
    }
    if (!t->ui && !print_report(t, errp)) {
        return false;
    }
    t->shown++;
    return true;
}

/* The connection is over, or could not be made: false when that is the end. */
static bool lost(Top *t, Error **errp)
{
    if (!t->o->reconnect) {
        return false;
    }
    if (t->session->client || !t->retry) {
        mq_log(t->session->log, MQ_LOG_ERROR, "%s; trying again",
               (*errp)->message);
    }
    g_clear_error(errp);
    mq_session_close(t->session);
    t->retry = g_get_monotonic_time() + RECONNECT_US;
    return true;
}

static bool turn(Top *t, int64_t now, Error **errp)
{
    if (!t->session->client) {
        return now < t->retry || mq_session_open(t->session, errp) ||
               lost(t, errp);
    }
    return mq_session_run(t->session, now, errp) || lost(t, errp);
}

/* Waits for something to do. False when the terminal is gone. */
static bool wait_turn(const Top *t)
{
    const MqSession *s = t->session;
    struct pollfd pfd[] = {
        { .fd = t->ui ? STDIN_FILENO : -1, .events = POLLIN }, { .fd = -1 }
    };

    if (s->client) {
        pfd[1].fd = qmp_client_fd(s->client);
        pfd[1].events = qmp_client_wants(s->client);
    }
    if (poll(pfd, ARRAY_SIZE(pfd),
             mq_session_wait_ms(s, g_get_monotonic_time(), TURN_MS)) < 0) {
        return true;
    }
    return !(pfd[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

static bool run(Top *t, Error **errp)
{
    while (!ended_by && !(t->o->count && t->shown >= t->o->count)) {
        if (!turn(t, g_get_monotonic_time(), errp) || !show_sample(t, errp)) {
            return false;
        }
        if (t->ui) {
            mq_screen_draw(t->ui);
        }
        if (t->o->count && t->shown >= t->o->count) {
            break;
        }
        if (!wait_turn(t) || (t->ui && !mq_ui_keys(t->ui))) {
            break;
        }
    }
    return true;
}

static bool watch(const MqOptions *o, Error **errp)
{
    Top t = { .o = o };
    bool ok = true;

    t.session = mq_session_new(o->address, o->interval);
    /* before the terminal is taken: what is wrong at once is said at once */
    ok = mq_session_open(t.session, errp) || lost(&t, errp);
    if (ok && !o->once) {
        catch_signals();
        t.ui = mq_ui_open(t.session, errp);
        ok = t.ui != NULL;
    }
    ok = ok && run(&t, errp);
    mq_ui_close(t.ui);
    mq_session_free(t.session);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    MqOptions o;

    if (mq_options_parse(argc, argv, &o, &err)) {
        if (o.help) {
            fputs(mq_options_usage(), stdout);
            return 0;
        }
        if (o.version) {
            puts("qemu-mq-top " QEMU_MQ_VERSION);
            return 0;
        }
        watch(&o, &err);
    }
    if (err) {
        g_autofree char *text = text_shown(err->message, 500);

        fprintf(stderr, "qemu-mq-top: %s\n", text);
        return 1;
    }
    if (ended_by && ended_by != SIGINT) {
        signal(ended_by, SIG_DFL);
        raise(ended_by);
    }
    return 0;
}
