/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the benchmark share: time, the end on an error, counters
 * with one writer, medians, command-line options, lines of JSON.
 *
 * Threads: any, except options, which are read before threads start.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PAIRS  16
#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)

/* 0: results only; 1: how they came about (-v); 2: the program's output too */
extern int bench_verbose;

/* Ends the process with status 1 and a line on stderr. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A line on stderr when -v was given. */
void verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Zeroed memory, aligned to cache lines; ends the process without it. */
void *alloc(size_t count, size_t size);

uint64_t now_ns(void);
uint64_t thread_cpu_ns(void);
void sleep_ns(uint64_t ns);

/* Keeps the calling thread to CPUs as in "0,2-3"; NULL: leaves it alone. */
void pin_thread(const char *cpus);

/* Sorts @values; 0 for none. */
double median(double *values, int count);
int compare_doubles(const void *a, const void *b);

/* A counter that one thread writes and others read. */
static inline uint64_t counter_get(const uint64_t *c)
{
    return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline void counter_set(uint64_t *c, uint64_t value)
{
    __atomic_store_n(c, value, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *c, uint64_t n)
{
    counter_set(c, *c + n);
}

static inline bool flag_get(const bool *f)
{
    return __atomic_load_n(f, __ATOMIC_ACQUIRE);
}

static inline void flag_set(bool *f, bool value)
{
    __atomic_store_n(f, value, __ATOMIC_RELEASE);
}

/* ---- options ---- */

typedef enum {
    OPTION_INT,    /* int */
    OPTION_MS,     /* int, given in seconds */
    OPTION_STRING, /* const char * */
    OPTION_WORDS,  /* OptionWords, may be repeated */
    OPTION_ON,     /* bool, set */
    OPTION_OFF,    /* bool, cleared */
} OptionKind;

typedef struct Option {
    const char *name;
    OptionKind kind;
    void *value;
    int min, max; /* of an OPTION_INT, and of an OPTION_MS in ms */
    const char *help;
} Option;

#define MAX_WORDS 16

typedef struct OptionWords {
    int count;
    const char *word[MAX_WORDS];
} OptionWords;

/* Reads --NAME VALUE, --NAME=VALUE, -v and --help by a table that ends with a
 * NULL name. Returns the index in argv of the first operand. */
int options_parse(const Option *table, const char *about, int argc,
                  char **argv);
/* Calls @run(mode, pairs) for each of @modes, by index in @names, and each of
 * @queues: lists with commas. */
void for_each_run(const char *modes, const char *const *names, int name_count,
                  const char *queues, void (*run)(int mode, int pairs));

/* ---- JSON, one object a line ---- */

/* Opens @path for appending, "-": stdout, NULL: none. */
FILE *json_open(const char *path);
/* All of them do nothing when @f is NULL. */
void json_begin(FILE *f, const char *tool, const char *mode, int pairs);
void json_string(FILE *f, const char *key, const char *value);
void json_number(FILE *f, const char *key, double value);
void json_count(FILE *f, const char *key, uint64_t value);
void json_bool(FILE *f, const char *key, bool value);
/* @text is JSON. */
void json_raw(FILE *f, const char *key, const char *text);
void json_end(FILE *f);

#endif
