/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends a pseudo-random stream over parallel TCP connections and compares every
 * byte of it at the other end.
 *
 *   xfer serve PORT                              answer clients until killed
 *   xfer send|recv|both HOST PORT BYTES STREAMS [CPU]  exit 0 if every byte was
 * right
 *
 * BYTES is the total per direction, shared by STREAMS connections. Stream i
 * runs in a thread pinned to CPU number (CPU + i), so that a guest whose
 * transmit queues follow its CPUs uses all of them. A connection starts with a
 * Request; whoever receives checks, and a receiving server answers with a
 * Verdict.
 *
 * Word k of a stream is mix(seed + k * STEP): each position has its own value,
 * so lost, repeated or moved data shows as well as changed bits.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STEP            UINT64_C(0x9e3779b97f4a7c15)
#define BLOCK_WORDS     16384
#define MAX_STREAMS     128
#define NO_DATA_SECONDS 60

enum { TO_SERVER = 1, TO_CLIENT = 2 };

typedef struct Request {
    uint64_t direction;
    uint64_t bytes; /* a multiple of 8 */
    uint64_t seed;
} Request;

typedef struct Verdict {
    uint64_t good_bytes; /* length of the correct beginning */
} Verdict;

typedef struct Stream {
    pthread_t thread;
    struct sockaddr_in address;
    Request request;
    unsigned int cpu;
    uint64_t good_bytes;
    int error; /* errno of a failed connection, else 0 */
} Stream;

static uint64_t mix(uint64_t x)
{
    return x ^ (x >> 31);
}

static bool write_all(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = write(fd, at, length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        length -= (size_t)n;
    }
    return true;
}

/* Bytes read: less than `length` if the peer closed or an error occurred. */
static size_t read_all(int fd, void *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(fd, (char *)data + done, length - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    return done;
}

static bool send_stream(int fd, uint64_t bytes, uint64_t seed)
{
    uint64_t block[BLOCK_WORDS], x = seed;

    while (bytes > 0) {
        size_t length = bytes < sizeof(block) ? bytes : sizeof(block);
        for (size_t i = 0; i < length / 8; i++) {
            block[i] = mix(x);
            x += STEP;
        }
        if (!write_all(fd, block, length)) {
            return false;
        }
        bytes -= length;
    }
    return true;
}

/* Receives and compares; returns the length of the correct beginning. */
static uint64_t check_stream(int fd, uint64_t bytes, uint64_t seed)
{
    uint64_t block[BLOCK_WORDS], x = seed, good = 0;

    while (good < bytes) {
        size_t want =
            bytes - good < sizeof(block) ? bytes - good : sizeof(block);
        size_t length = read_all(fd, block, want);
        for (size_t i = 0; i < length / 8; i++) {
            if (block[i] != mix(x)) {
                return good + i * 8;
            }
            x += STEP;
        }
        good += length / 8 * 8;
        if (length < want) {
            break;
        }
    }
    return good;
}

static void set_timeout(int fd)
{
    struct timeval limit = { .tv_sec = NO_DATA_SECONDS };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static void *serve_client(void *arg)
{
    int fd = (int)(intptr_t)arg;
    Request request;
    Verdict verdict;

    set_timeout(fd);
    if (read_all(fd, &request, sizeof(request)) == sizeof(request)) {
        if (request.direction == TO_SERVER) {
            verdict.good_bytes = check_stream(fd, request.bytes, request.seed);
            write_all(fd, &verdict, sizeof(verdict));
        } else {
            send_stream(fd, request.bytes, request.seed);
        }
    }
    close(fd);
    return NULL;
}

static int serve(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port) };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listener, 256) < 0) {
        perror("xfer: listen");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            continue;
        }
        if (pthread_create(&thread, NULL, serve_client, (void *)(intptr_t)fd) !=
            0) {
            close(fd);
            continue;
        }
        pthread_detach(thread);
    }
}

static void *run_stream(void *arg)
{
    Stream *s = arg;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    Verdict verdict = { 0 };
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(s->cpu, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
    set_timeout(fd);
    if (connect(fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0 ||
        !write_all(fd, &s->request, sizeof(s->request))) {
        s->error = errno;
    } else if (s->request.direction == TO_CLIENT) {
        s->good_bytes = check_stream(fd, s->request.bytes, s->request.seed);
    } else {
        /* The server stops reading at the first wrong byte; its verdict says
         * where. */
        send_stream(fd, s->request.bytes, s->request.seed);
        read_all(fd, &verdict, sizeof(verdict));
        s->good_bytes = verdict.good_bytes;
    }
    close(fd);
    return NULL;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int report(const Stream *streams, unsigned int count, double seconds)
{
    uint64_t total = 0;
    int bad = 0;

    for (unsigned int i = 0; i < count; i++) {
        const Stream *s = &streams[i];
        const char *way = s->request.direction == TO_SERVER ? "send" : "recv";
        total += s->good_bytes;
        if (s->error) {
            printf("xfer: stream %u (%s): %s\n", i, way, strerror(s->error));
            bad = 1;
        } else if (s->good_bytes != s->request.bytes) {
            printf("xfer: stream %u (%s): right up to byte %llu of %llu\n", i,
                   way, (unsigned long long)s->good_bytes,
                   (unsigned long long)s->request.bytes);
            bad = 1;
        }
    }
    printf("xfer: %s %llu bytes in %.2f s, %u streams\n", bad ? "BAD" : "good",
           (unsigned long long)total, seconds, count);
    return bad;
}

static int run_client(unsigned int directions,
                      const struct sockaddr_in *address, uint64_t bytes,
                      unsigned int streams, unsigned int first_cpu)
{
    static Stream table[2 * MAX_STREAMS];
    unsigned int count = 0;
    unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t share = bytes / streams / 8 * 8;
    double start = now();

    for (unsigned int i = 0; i < streams; i++) {
        for (unsigned int way = TO_SERVER; way <= TO_CLIENT; way++) {
            if (!(directions & way)) {
                continue;
            }
            Stream *s = &table[count++];
            s->address = *address;
            s->cpu = (first_cpu + i) % cpus;
            s->request =
                (Request){ way, share,
                           (uint64_t)time(NULL) * 1000003 + count * STEP };
            if (pthread_create(&s->thread, NULL, run_stream, s) != 0) {
                perror("xfer: thread");
                return 1;
            }
        }
    }
    for (unsigned int i = 0; i < count; i++) {
        pthread_join(table[i].thread, NULL);
    }
    return report(table, count, now() - start);
}

static int usage(void)
{
    fprintf(stderr, "usage: xfer serve PORT | xfer send|recv|both HOST PORT "
                    "BYTES STREAMS [CPU]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "send", "recv", "both" };
    struct sockaddr_in address = { .sin_family = AF_INET };
    unsigned int directions = 0;

    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        return serve((uint16_t)atoi(argv[2]));
    }
    for (unsigned int i = 0; i < 3 && (argc == 6 || argc == 7); i++) {
        if (strcmp(argv[1], names[i]) == 0) {
            directions = i + 1;
        }
    }
    if (!directions || !inet_aton(argv[2], &address.sin_addr)) {
        return usage();
    }
    address.sin_port = htons((uint16_t)atoi(argv[3]));
    uint64_t bytes = strtoull(argv[4], NULL, 10);
    unsigned long streams = strtoul(argv[5], NULL, 10);
    if (streams < 1 || streams > MAX_STREAMS || bytes / streams < 8) {
        return usage();
    }
    return run_client(directions, &address, bytes, (unsigned int)streams,
                      argc == 7 ? (unsigned int)atoi(argv[6]) : 0);
}
