/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends numbered datagrams both ways at once and says which did not arrive,
 * arrived twice, late or altered. TCP would hide all of it.
 *
 *   seq serve PORT                             answer clients until killed
 *   seq run HOST PORT SECONDS FLOWS RATE [CPU] exit 0 if nothing was wrong, 1
 *                                              if something was, 2 if it could
 *                                              not be found out
 *
 * Each flow is a pair of UDP sockets and has its own numbers in each direction;
 * RATE is datagrams a second of one flow in one direction, SIGTERM ends before
 * SECONDS. Flow i runs in a thread pinned to CPU number (CPU + i), so that a
 * guest keeps it on one transmit queue.
 *
 * A datagram tells how far its sender has heard the other side: at most WINDOW
 * of a flow are on their way, less than any queue on it has room for. What is
 * lost was lost by somebody in between. Numbers are sent only while the other
 * end is heard: from its frames a tap learns where a flow goes, and forgets it
 * after three seconds without any. Until then, datagrams that do not count.
 * There are no UDP checksums, by which the kernel would drop what is altered.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STEP            UINT64_C(0x9e3779b97f4a7c15)
#define MAGIC           0x5e9a7e57
#define MAX_FLOWS       64
#define MAX_RATE        100000
#define WINDOW          32
#define MOST_BEHIND     8 /* datagrams that are made up for after a delay */
#define LENGTH_MAX      1400
#define REMEMBERED      65536 /* numbers of a flow, for those that come late */
#define SOCKET_BUFFER   (8 << 20)
#define NS              UINT64_C(1000000000)
#define TICK_NS         (NS / 10)
#define WARM_NS         (NS / 50) /* between the first datagrams */
#define WARM_HEARD      3
#define SILENCE_NS      NS /* from the other end, then it counts no more */
#define CLOSED_NS       (2 * NS) /* a window that stays closed opens again */
#define QUIET_NS        (3 * NS) /* then nothing more will come */
#define DRAIN_NS        (120 * NS)
#define CONTROL_SECONDS 180
#define DEAF_NS         (120 * NS) /* a server gives its client up */

typedef struct Hello {
    uint64_t magic, flows, rate, seed;
} Hello;

typedef struct Datagram {
    uint32_t magic;
    uint16_t flow;
    uint16_t warm; /* not counted */
    uint64_t seq;
    uint64_t heard; /* the sender expects this number next */
    uint32_t length;
    uint32_t check;
    uint8_t payload[LENGTH_MAX - 32];
} Datagram;

#define HEADER offsetof(Datagram, payload)

/* What one end has seen of a flow. */
typedef struct Seen {
    uint64_t received, repeated, reordered, altered;
    uint64_t no_room; /* dropped by the receiver's own socket */
    uint64_t longest_ns;
} Seen;

typedef struct Flow {
    /* fixed while it runs */
    pthread_t thread;
    int fd;
    uint16_t index;
    unsigned int cpu;
    uint64_t interval_ns, seed_out, seed_in;

    /* its thread */
    uint64_t next_in;  /* one more than the highest number received */
    uint64_t acked;    /* the other side expects this one next */
    uint64_t acked_ns; /* when that changed */
    uint64_t due_ns, last_ns;
    unsigned int warm_heard;
    uint64_t arrived[REMEMBERED / 64]; /* a bit for each number */
    Seen seen;

    /* any thread: the main one asks, and looks at them while it runs */
    atomic_bool silent, stop;
    atomic_bool quiet; /* it has seen that it is to be silent */
    _Atomic uint64_t sent, counted_in, heard_ns, longest_ns;
} Flow;

static Flow flow[MAX_FLOWS];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * STEP;
    return x ^ (x >> 29);
}

/* ---- datagrams ---- */

static void fill(Datagram *d, uint64_t seed)
{
    uint64_t x = mix(seed ^ d->seq * STEP);

    d->magic = MAGIC;
    d->length = (uint32_t)(HEADER + x % (LENGTH_MAX - HEADER + 1));
    for (size_t i = 0; i < d->length - HEADER; i++) {
        d->payload[i] = (uint8_t)(x >> i % 8 * 8);
        x += i % 8 == 7 ? STEP : 0;
    }
    d->check = (uint32_t)mix(seed ^ mix(d->seq) ^ mix(d->heard + 1) ^ d->flow ^
                             (uint64_t)d->warm << 16);
}

static bool intact(const Datagram *d, ssize_t length, const Flow *f)
{
    Datagram want;

    if (length < (ssize_t)HEADER) {
        return false;
    }
    memcpy(&want, d, HEADER);
    want.flow = f->index;
    fill(&want, f->seed_in);
    return length == (ssize_t)want.length && memcmp(d, &want, want.length) == 0;
}

/* Notes that number @seq has arrived. */
static void note(Flow *f, uint64_t seq)
{
    uint64_t *word = &f->arrived[seq % REMEMBERED / 64];
    uint64_t bit = UINT64_C(1) << seq % 64;

    if (seq >= f->next_in) {
        for (uint64_t n = f->next_in; n <= seq; n++) {
            f->arrived[n % REMEMBERED / 64] &= ~(UINT64_C(1) << n % 64);
        }
        f->next_in = seq + 1;
    } else if (*word & bit || f->next_in - seq > REMEMBERED) {
        f->seen.repeated++;
        return;
    } else {
        f->seen.reordered++;
    }
    *word |= bit;
    f->seen.received++;
    atomic_store(&f->counted_in, f->seen.received);
}

static void take(Flow *f, const Datagram *d, ssize_t length)
{
    uint64_t now = now_ns();

    if (!intact(d, length, f)) {
        f->seen.altered++;
        return;
    }
    f->warm_heard++;
    atomic_store(&f->heard_ns, now);
    if (d->heard > f->acked) {
        f->acked = d->heard;
        f->acked_ns = now;
    }
    if (d->warm) {
        return;
    }
    if (f->last_ns && now - f->last_ns > atomic_load(&f->longest_ns)) {
        atomic_store(&f->longest_ns, now - f->last_ns);
    }
    f->last_ns = now;
    note(f, d->seq);
}

static void receive_all(Flow *f)
{
    Datagram d;
    ssize_t length;

    while ((length = recv(f->fd, &d, sizeof(d), MSG_DONTWAIT | MSG_TRUNC)) >=
           0) {
        take(f, &d, length);
    }
}

static void send_one(Flow *f, bool warm)
{
    Datagram d = { .flow = f->index, .warm = warm, .heard = f->next_in };

    d.seq = atomic_load(&f->sent);
    fill(&d, f->seed_out);
    if (send(f->fd, &d, d.length, 0) == (ssize_t)d.length && !warm) {
        atomic_fetch_add(&f->sent, 1);
    }
}

/* ---- a flow's thread ---- */

static bool window_open(Flow *f, uint64_t now)
{
    uint64_t sent = atomic_load(&f->sent);

    if (sent - f->acked < WINDOW) {
        return true;
    }
    if (now - f->acked_ns > CLOSED_NS) {
        f->acked = sent; /* all of them are lost, or the other end is slow */
        f->acked_ns = now;
        return true;
    }
    return false;
}

static void send_due(Flow *f)
{
    uint64_t now = now_ns();

    if (f->warm_heard < WARM_HEARD ||
        now - atomic_load(&f->heard_ns) > SILENCE_NS) {
        if (now >= f->due_ns) {
            send_one(f, true);
            f->due_ns = now + WARM_NS;
        }
        return;
    }
    if (now - f->due_ns > MOST_BEHIND * f->interval_ns && now > f->due_ns) {
        f->due_ns = now - MOST_BEHIND * f->interval_ns;
    }
    while (f->due_ns <= now && window_open(f, now)) {
        send_one(f, false);
        f->due_ns += f->interval_ns;
    }
}

static void flow_sleep(Flow *f)
{
    struct pollfd p = { f->fd, POLLIN, 0 };
    uint64_t now = now_ns(), wait = TICK_NS;

    if (!atomic_load(&f->silent) && f->due_ns > now) {
        wait = f->due_ns - now < TICK_NS ? f->due_ns - now : TICK_NS;
    }
    ppoll(&p, 1, &(struct timespec){ 0, (long)wait }, NULL);
}

static void *run_flow(void *arg)
{
    Flow *f = arg;
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(f->cpu, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
    f->due_ns = f->acked_ns = now_ns();
    while (!atomic_load(&f->stop)) {
        receive_all(f);
        if (!atomic_load(&f->silent)) {
            send_due(f);
        } else {
            atomic_store(&f->quiet, true);
        }
        flow_sleep(f);
    }
    receive_all(f);
    return NULL;
}

/* ---- both ends ---- */

static bool fail(const char *what)
{
    fprintf(stderr, "seq: %s: %s\n", what, strerror(errno));
    return false;
}

static bool transfer(int fd, void *data, size_t length, bool out)
{
    char *at = data;

    while (length > 0) {
        ssize_t n =
            out ? send(fd, at, length, MSG_NOSIGNAL) : recv(fd, at, length, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n ? errno : ECONNRESET;
            return fail(out ? "control, sending" : "control, receiving");
        }
        at += n;
        length -= (size_t)n;
    }
    return true;
}

static bool flow_open(Flow *f, uint16_t *port)
{
    struct sockaddr_in here = { .sin_family = AF_INET };
    socklen_t length = sizeof(here);
    int one = 1, size = SOCKET_BUFFER;

    f->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&here, length) < 0 ||
        getsockname(f->fd, (struct sockaddr *)&here, &length) < 0) {
        return fail("socket");
    }
    setsockopt(f->fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one));
    setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    *port = here.sin_port;
    return true;
}

/* Opens the sockets, tells the other end their ports, learns its own. */
static bool flows_open(int control, const Hello *h, bool client,
                       unsigned int first_cpu)
{
    unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
    uint16_t port[MAX_FLOWS], other[MAX_FLOWS];
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);

    if (getpeername(control, (struct sockaddr *)&peer, &length) < 0) {
        return fail("control");
    }
    for (uint16_t i = 0; i < h->flows; i++) {
        uint64_t seed = mix(h->seed + i);
        flow[i].index = i;
        flow[i].cpu = (first_cpu + i) % cpus;
        flow[i].interval_ns = NS / h->rate;
        flow[i].seed_out = client ? seed : ~seed;
        flow[i].seed_in = client ? ~seed : seed;
        if (!flow_open(&flow[i], &port[i])) {
            return false;
        }
    }
    if (!transfer(control, port, h->flows * sizeof(port[0]), true) ||
        !transfer(control, other, h->flows * sizeof(other[0]), false)) {
        return false;
    }
    for (unsigned int i = 0; i < h->flows; i++) {
        peer.sin_port = other[i];
        if (connect(flow[i].fd, (struct sockaddr *)&peer, sizeof(peer)) < 0) {
            return fail("connect");
        }
    }
    return true;
}

static bool flows_start(unsigned int flows)
{
    for (unsigned int i = 0; i < flows; i++) {
        errno = pthread_create(&flow[i].thread, NULL, run_flow, &flow[i]);
        if (errno) {
            return fail("thread");
        }
    }
    return true;
}

static uint64_t missing(const uint64_t *sent, unsigned int flows)
{
    uint64_t n = 0;

    for (unsigned int i = 0; i < flows; i++) {
        uint64_t in = atomic_load(&flow[i].counted_in);
        n += sent[i] > in ? sent[i] - in : 0;
    }
    return n;
}

/* Waits for what is still on its way. @sent: by the other end. */
static void drain(const uint64_t *sent, unsigned int flows)
{
    uint64_t start = now_ns(), progress = start, left = missing(sent, flows);
    uint64_t quiet = QUIET_NS;

    for (unsigned int i = 0; i < flows; i++) {
        uint64_t twice = 2 * atomic_load(&flow[i].longest_ns);
        quiet = twice > quiet ? twice : quiet; /* of a slow machine */
    }
    while (left && now_ns() - progress < quiet && now_ns() - start < DRAIN_NS) {
        nanosleep(&(struct timespec){ 0, TICK_NS }, NULL);
        uint64_t n = missing(sent, flows);
        progress = n < left ? now_ns() : progress;
        left = n;
    }
}

static void flows_silence(unsigned int flows, uint64_t *sent)
{
    uint64_t start = now_ns();

    for (unsigned int i = 0; i < flows; i++) {
        atomic_store(&flow[i].silent, true);
    }
    for (unsigned int i = 0; i < flows; i++) {
        while (!atomic_load(&flow[i].quiet) && now_ns() - start < QUIET_NS) {
            nanosleep(&(struct timespec){ 0, TICK_NS / 10 }, NULL);
        }
    }
    for (unsigned int i = 0; i < flows; i++) {
        sent[i] = atomic_load(&flow[i].sent);
    }
}

static void flows_stop(unsigned int flows, Seen *seen)
{
    for (unsigned int i = 0; i < flows; i++) {
        atomic_store(&flow[i].stop, true);
    }
    for (unsigned int i = 0; i < flows; i++) {
        uint32_t info[SK_MEMINFO_VARS] = { 0 };
        socklen_t length = sizeof(info);
        pthread_join(flow[i].thread, NULL);
        getsockopt(flow[i].fd, SOL_SOCKET, SO_MEMINFO, info, &length);
        seen[i] = flow[i].seen;
        seen[i].longest_ns = atomic_load(&flow[i].longest_ns);
        seen[i].no_room = info[SK_MEMINFO_DROPS];
    }
}

static void control_timeout(int fd, int seconds)
{
    struct timeval limit = { .tv_sec = seconds };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* ---- the server ---- */

/* The client's end, or none of its datagrams for long. */
static bool wait_for_stop(int control, unsigned int flows)
{
    uint64_t start = now_ns();

    for (;;) {
        struct pollfd p = { control, POLLIN, 0 };
        uint64_t latest = start;
        if (poll(&p, 1, 1000) > 0) {
            return true;
        }
        for (unsigned int i = 0; i < flows; i++) {
            uint64_t at = atomic_load(&flow[i].heard_ns);
            latest = at > latest ? at : latest;
        }
        if (now_ns() - latest > DEAF_NS) {
            return false;
        }
    }
}

static bool serve_client(int control)
{
    uint64_t theirs[MAX_FLOWS], ours[MAX_FLOWS];
    Seen seen[MAX_FLOWS];
    Hello h;

    control_timeout(control, CONTROL_SECONDS);
    if (!transfer(control, &h, sizeof(h), false) || h.magic != MAGIC ||
        h.flows < 1 || h.flows > MAX_FLOWS || h.rate < 1 || h.rate > MAX_RATE) {
        return false;
    }
    unsigned int n = (unsigned int)h.flows;
    if (!flows_open(control, &h, false, 0) || !flows_start(n) ||
        !wait_for_stop(control, n) ||
        !transfer(control, theirs, n * sizeof(theirs[0]), false)) {
        return false;
    }
    flows_silence(n, ours);
    if (!transfer(control, ours, n * sizeof(ours[0]), true)) {
        return false;
    }
    drain(theirs, n);
    flows_stop(n, seen);
    return transfer(control, seen, n * sizeof(seen[0]), true);
}

static int serve(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port) };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGCHLD, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 16) < 0) {
        perror("seq: listen");
        return 2;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && fork() == 0) {
            _exit(serve_client(fd) ? 0 : 2);
        }
        close(fd);
    }
}

/* ---- the client ---- */

static bool faulty(uint64_t sent, const Seen *s)
{
    return sent != s->received || s->repeated || s->reordered || s->altered;
}

static void print_seen(const char *way, uint64_t sent, const Seen *s)
{
    printf("%s %llu sent, %lld lost, %llu repeated, %llu reordered, %llu "
           "altered, %llu without room, longest gap %.1f ms",
           way, (unsigned long long)sent, (long long)(sent - s->received),
           (unsigned long long)s->repeated, (unsigned long long)s->reordered,
           (unsigned long long)s->altered, (unsigned long long)s->no_room,
           (double)s->longest_ns / 1e6);
}

/* Prints each faulty flow; adds all up. */
static bool add_up(const char *way, const uint64_t *sent, const Seen *seen,
                   unsigned int flows, uint64_t *sum, Seen *all)
{
    bool good = true;

    for (unsigned int i = 0; i < flows; i++) {
        const Seen *s = &seen[i];
        if (faulty(sent[i], s)) {
            printf("seq: flow %u ", i);
            print_seen(way, sent[i], s);
            printf("\n");
            good = false;
        }
        *sum += sent[i];
        all->received += s->received;
        all->repeated += s->repeated;
        all->reordered += s->reordered;
        all->altered += s->altered;
        all->no_room += s->no_room;
        all->longest_ns =
            s->longest_ns > all->longest_ns ? s->longest_ns : all->longest_ns;
    }
    return good;
}

static int report(const uint64_t *ours, const uint64_t *theirs, const Seen *out,
                  const Seen *in, unsigned int flows)
{
    uint64_t sent_out = 0, sent_in = 0;
    Seen all_out = { 0 }, all_in = { 0 };
    bool good_out = add_up("out", ours, out, flows, &sent_out, &all_out);
    bool good_in = add_up("in", theirs, in, flows, &sent_in, &all_in);
    bool good = good_out && good_in && sent_out && sent_in;

    printf("seq: %s %u flows, ", good ? "good" : "BAD", flows);
    print_seen("out", sent_out, &all_out);
    print_seen("; in", sent_in, &all_in);
    printf("\n");
    return good ? 0 : 1;
}

static int run_client(const struct sockaddr_in *address, time_t seconds,
                      Hello *h, unsigned int cpu)
{
    static uint64_t ours[MAX_FLOWS], theirs[MAX_FLOWS];
    static Seen out[MAX_FLOWS], in[MAX_FLOWS];
    unsigned int n = (unsigned int)h->flows;
    int control = socket(AF_INET, SOCK_STREAM, 0);
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    control_timeout(control, CONTROL_SECONDS);
    if (connect(control, (const struct sockaddr *)address, sizeof(*address)) <
        0) {
        fail("connect");
        return 2;
    }
    if (!transfer(control, h, sizeof(*h), true) ||
        !flows_open(control, h, true, cpu) || !flows_start(n)) {
        return 2;
    }
    sigtimedwait(&ends, NULL, &(struct timespec){ seconds, 0 });
    flows_silence(n, ours);
    if (!transfer(control, ours, n * sizeof(ours[0]), true) ||
        !transfer(control, theirs, n * sizeof(theirs[0]), false)) {
        return 2;
    }
    drain(theirs, n);
    flows_stop(n, in);
    if (!transfer(control, out, n * sizeof(out[0]), false)) {
        return 2;
    }
    return report(ours, theirs, out, in, n);
}

static int usage(void)
{
    fprintf(stderr, "usage: seq serve PORT | seq run HOST PORT SECONDS FLOWS "
                    "RATE [CPU]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    Hello h = { .magic = MAGIC, .seed = (uint64_t)time(NULL) * STEP };

    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        return serve((uint16_t)atoi(argv[2]));
    }
    if ((argc != 7 && argc != 8) || strcmp(argv[1], "run") != 0 ||
        !inet_aton(argv[2], &address.sin_addr)) {
        return usage();
    }
    address.sin_port = htons((uint16_t)atoi(argv[3]));
    long seconds = strtol(argv[4], NULL, 10);
    h.flows = strtoul(argv[5], NULL, 10);
    h.rate = strtoul(argv[6], NULL, 10);
    if (seconds < 1 || h.flows < 1 || h.flows > MAX_FLOWS || h.rate < 1 ||
        h.rate > MAX_RATE) {
        return usage();
    }
    return run_client(&address, seconds, &h,
                      argc == 8 ? (unsigned int)atoi(argv[7]) : 0);
}
