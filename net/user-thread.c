/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that runs libslirp.
 *
 * The library waits for nobody, but it is not thread safe: one caller at a time
 * for an instance, and a set of files to wait for that is another in every
 * turn. A loop of watches (EventLoop) suits that badly, and the pair's owner
 * worse: it may change, or be none, while connections go on. So each netdev has
 * a thread with poll(2), which holds the instance's lock but while it sleeps;
 * the main thread takes the lock to add a forwarding or to ask. Frames pass
 * between it and the pair's owner through queues only.
 *
 * Threads: user_main() and what it calls under the lock; the rest main thread.
 */
#include "util/osdep.h"

#include <poll.h>
#include <signal.h>

#include "user-internal.h"
#include "util/dynlib.h"
#include "util/event-loop.h"
#include "util/fd.h"

#define LIBRARY      "libslirp.so.0"
#define QUEUE_FRAMES 1024u
#define QUEUE_BYTES  (4 * MiB)
#define TURN_FRAMES  64 /* of the guest's, before files get their turn */
#define NS_PER_MS    1000000

struct UserTimer {
    SlirpTimerId id;
    void *opaque;
    int64_t expire_ms; /* INT64_MAX: not armed */
};

enum { POLL_INPUT, POLL_KICK, POLL_OWN };

/* ---- the library ---- */

#define SYMBOL(name, member)                      \
    {                                             \
        "slirp_" name, offsetof(SlirpLib, member) \
    }
static const DynSymbol symbols[] = {
    SYMBOL("new", new),
    SYMBOL("cleanup", cleanup),
    SYMBOL("pollfds_fill", pollfds_fill),
    SYMBOL("pollfds_poll", pollfds_poll),
    SYMBOL("input", input),
    SYMBOL("handle_timer", handle_timer),
    SYMBOL("add_hostxfwd", add_hostxfwd),
    SYMBOL("remove_hostxfwd", remove_hostxfwd),
    SYMBOL("add_exec", add_exec),
    SYMBOL("add_guestfwd", add_guestfwd),
    SYMBOL("socket_can_recv", can_recv),
    SYMBOL("socket_recv", recv),
    SYMBOL("connection_info", connection_info),
};

const SlirpLib *user_lib(Error **errp)
{
    static SlirpLib lib; /* filled once, under the machine lock */
    static bool loaded;

    if (!loaded) {
        loaded = dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib);
    }
    if (!loaded) {
        error_setg(errp,
                   "type 'user' needs the library %s, 4.7 or newer; "
                   "install libslirp",
                   LIBRARY);
        return NULL;
    }
    return &lib;
}

/* ---- what libslirp calls ---- */

/* A full queue drops, as a wire would: TCP slows down by it. */
static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
    UserState *s = opaque;
    struct iovec iov = { (void *)buf, len };

    net_frame_queue_put(s->to_guest, &iov, 1, 0);
    return (ssize_t)len;
}

/* The guest could have a line printed per frame: none is. */
static void guest_error(const char *msg, void *opaque)
{
}

static int64_t clock_get_ns(void *opaque)
{
    return clock_now_ns();
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    UserState *s = opaque;
    UserTimer *timer = g_new(UserTimer, 1);

    *timer = (UserTimer){ id, cb_opaque, INT64_MAX };
    s->timers = g_slist_prepend(s->timers, timer);
    return timer;
}

static void timer_free(void *timer, void *opaque)
{
    UserState *s = opaque;

    s->timers = g_slist_remove(s->timers, timer);
    g_free(timer);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    ((UserTimer *)timer)->expire_ms = expire_ms;
}

/* Each turn asks for all files anew. */
static void poll_fd_changed(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
    user_thread_kick(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new_opaque = timer_new_opaque,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = poll_fd_changed,
    .unregister_poll_fd = poll_fd_changed,
    .notify = notify,
};

/* ---- a turn ---- */

static const struct {
    int slirp;
    short poll;
} event_names[] = {
    { SLIRP_POLL_IN, POLLIN },   { SLIRP_POLL_OUT, POLLOUT },
    { SLIRP_POLL_PRI, POLLPRI }, { SLIRP_POLL_ERR, POLLERR },
    { SLIRP_POLL_HUP, POLLHUP },
};

static int add_poll(int fd, int events, void *opaque)
{
    UserState *s = opaque;
    struct pollfd p = { .fd = fd };

    for (unsigned i = 0; i < ARRAY_SIZE(event_names); i++) {
        p.events |= events & event_names[i].slirp ? event_names[i].poll : 0;
    }
    g_array_append_val(s->fds, p);
    return (int)s->fds->len - 1;
}

static int get_revents(int index, void *opaque)
{
    UserState *s = opaque;
    int events = 0;
    short got;

    if (index < POLL_OWN || index >= (int)s->fds->len) {
        return 0;
    }
    got = g_array_index(s->fds, struct pollfd, index).revents;
    for (unsigned i = 0; i < ARRAY_SIZE(event_names); i++) {
        events |= got & event_names[i].poll ? event_names[i].slirp : 0;
    }
    return events;
}

/* Milliseconds until the first timer, at most @ms. */
static uint32_t until_timer(const UserState *s, uint32_t ms)
{
    int64_t now = clock_now_ns() / NS_PER_MS;

    for (GSList *l = s->timers; l; l = l->next) {
        const UserTimer *timer = l->data;

        if (timer->expire_ms - now < (int64_t)ms) {
            ms = (uint32_t)MAX(timer->expire_ms - now, 0);
        }
    }
    return ms;
}

static void run_timers(UserState *s)
{
    int64_t now = clock_now_ns() / NS_PER_MS;

    for (GSList *l = s->timers; l; l = l->next) {
        UserTimer *timer = l->data;

        if (timer->expire_ms <= now) {
            timer->expire_ms = INT64_MAX;
            s->lib->handle_timer(s->slirp, timer->id, timer->opaque);
        }
    }
}

/* Takes what the guest has sent; the rest makes the next turn come at once. */
static void run_input(UserState *s)
{
    g_autofree uint8_t *frame = g_malloc(USER_FRAME_MAX);
    struct iovec iov = { frame, USER_FRAME_MAX };

    for (int i = 0; i < TURN_FRAMES && !user_chardevs_full(s); i++) {
        ssize_t len = net_frame_queue_get(s->from_guest, &iov, 1, 0);

        if (len <= 0) {
            return;
        }
        if (len <= USER_FRAME_MAX) {
            len = (ssize_t)user_frags_take(s->frags, frame, (size_t)len,
                                           clock_now_ns());
            if (len) {
                s->lib->input(s->slirp, frame, (int)len);
            }
        }
    }
}

void user_lock(UserState *s)
{
    __atomic_add_fetch(&s->waiting, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&s->lock);
    __atomic_sub_fetch(&s->waiting, 1, __ATOMIC_SEQ_CST);
}

void user_unlock(UserState *s)
{
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

/* Unlocks while it sleeps. Others go first after that: a thread that is busy
 * would else have the lock again before they are awake. */
static int wait_for_something(UserState *s, uint32_t ms)
{
    struct pollfd *fds = (struct pollfd *)(void *)s->fds->data;
    nfds_t n = s->fds->len;
    int r;

    pthread_mutex_unlock(&s->lock);
    r = poll(fds, n, ms > INT_MAX ? -1 : (int)ms);
    pthread_mutex_lock(&s->lock);
    while (__atomic_load_n(&s->waiting, __ATOMIC_SEQ_CST)) {
        pthread_cond_wait(&s->freed, &s->lock);
    }
    return r;
}

static void turn(UserState *s)
{
    uint32_t ms = UINT32_MAX;
    int r;

    g_array_set_size(s->fds, 0);
    add_poll(user_chardevs_full(s) ? -1 : s->input.fd, SLIRP_POLL_IN, s);
    add_poll(s->kick, SLIRP_POLL_IN, s);
    s->lib->pollfds_fill(s->slirp, &ms, add_poll, s);
    r = wait_for_something(s, until_timer(s, ms));
    if (s->quit) {
        return;
    }
    eventfd_clear(s->kick);
    run_input(s);
    run_timers(s);
    s->lib->pollfds_poll(s->slirp, r < 0, get_revents, s);
    user_chardevs_run(s);
}

static void *user_main(void *opaque)
{
    UserState *s = opaque;

    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        turn(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- beginning and end ---- */

void user_thread_kick(UserState *s)
{
    eventfd_signal(s->kick);
}

bool user_instance_open(UserState *s, const SlirpConfig *cfg, Error **errp)
{
    s->dhcp_start = cfg->vdhcp_start;
    s->ipv6 = cfg->in6_enabled;
    s->network = cfg->vnetwork;
    s->mask = cfg->vnetmask;
    s->fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
    s->frags = user_frags_new();
    s->kick = eventfd_new(errp);
    if (s->kick < 0 || !net_wake_init(&s->wake, errp) ||
        !net_wake_init(&s->input, errp)) {
        return false;
    }
    s->to_guest =
        net_frame_queue_new(QUEUE_FRAMES, QUEUE_BYTES, &s->wake, NULL);
    s->from_guest =
        net_frame_queue_new(QUEUE_FRAMES, QUEUE_BYTES, &s->input, &s->wake);
    s->slirp = s->lib->new (cfg, &callbacks, s);
    if (!s->slirp) {
        error_setg(errp, "libslirp refuses the configuration");
        return false;
    }
    return true;
}

bool user_thread_start(UserState *s, Error **errp)
{
    sigset_t all, saved;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    err = pthread_create(&s->thread, NULL, user_main, s);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (err) {
        error_setg_errno(errp, err, "cannot create a thread");
        return false;
    }
    pthread_setname_np(s->thread, "net-user");
    s->running = true;
    return true;
}

void user_instance_close(UserState *s)
{
    if (s->running) {
        user_lock(s);
        s->quit = true;
        user_unlock(s);
        user_thread_kick(s);
        pthread_join(s->thread, NULL);
        s->running = false;
    }
    if (s->slirp) {
        s->lib->cleanup(s->slirp);
        s->slirp = NULL;
    }
    g_slist_free_full(g_steal_pointer(&s->timers), g_free);
    g_clear_pointer(&s->to_guest, net_frame_queue_free);
    g_clear_pointer(&s->from_guest, net_frame_queue_free);
    g_clear_pointer(&s->fds, g_array_unref);
    g_clear_pointer(&s->frags, user_frags_free);
    net_wake_free(&s->input);
    net_wake_free(&s->wake);
    fd_close(&s->kick);
}
