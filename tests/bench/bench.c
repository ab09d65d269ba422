/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define CACHE_LINE 64

int bench_verbose;

void die(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("fatal: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

void verbose(const char *fmt, ...)
{
    va_list ap;

    if (bench_verbose) {
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
    }
}

void *alloc(size_t count, size_t size)
{
    size_t bytes = (count * size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *p = aligned_alloc(CACHE_LINE, bytes ? bytes : CACHE_LINE);

    if (!p) {
        die("no memory for %zu bytes", bytes);
    }
    return memset(p, 0, bytes);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t = { 0 };

    clock_gettime(clock, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void sleep_ns(uint64_t ns)
{
    struct timespec t = { ns / NS_PER_SEC, ns % NS_PER_SEC };

    nanosleep(&t, NULL);
}

void pin_thread(const char *cpus)
{
    cpu_set_t set;

    if (!cpus) {
        return;
    }
    CPU_ZERO(&set);
    while (*cpus) {
        char *end;
        int first = strtol(cpus, &end, 10), last = first;
        if (*end == '-') {
            last = strtol(end + 1, &end, 10);
        }
        for (int c = first; c >= 0 && c <= last && c < CPU_SETSIZE; c++) {
            CPU_SET(c, &set);
        }
        if (*end && *end != ',') {
            die("'%s' is no list of CPUs such as 0,2-3", cpus);
        }
        cpus = *end ? end + 1 : end;
    }
    if (sched_setaffinity(0, sizeof(set), &set)) {
        die("cannot use these CPUs: %m");
    }
}

int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double median(double *values, int count)
{
    if (!count) {
        return 0;
    }
    qsort(values, count, sizeof(*values), compare_doubles);
    return count & 1 ? values[count / 2]
                     : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- options ---- */

static void options_help(const Option *table, const char *about)
{
    puts(about);
    for (const Option *o = table; o->name; o++) {
        printf("  --%-16s %s\n", o->name, o->help);
    }
    puts("  -v               more on stderr; twice: the program's output");
}

static const Option *option_find(const Option *table, const char *name,
                                 size_t len)
{
    for (const Option *o = table; o->name; o++) {
        if (strlen(o->name) == len && strncmp(o->name, name, len) == 0) {
            return o;
        }
    }
    die("unknown option --%.*s; --help lists them", (int)len, name);
}

static void option_set_int(const Option *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (o->kind == OPTION_MS) {
        value *= 1000;
    }
    if (end == text || *end || value < o->min || value > o->max) {
        die("--%s %s: must be a number from %g to %g", o->name, text,
            o->kind == OPTION_MS ? o->min / 1e3 : o->min,
            o->kind == OPTION_MS ? o->max / 1e3 : o->max);
    }
    *(int *)o->value = value;
}

static void option_set(const Option *o, const char *text)
{
    OptionWords *words = o->value;

    switch (o->kind) {
    case OPTION_INT:
    case OPTION_MS:
        option_set_int(o, text);
        break;
    case OPTION_STRING:
        *(const char **)o->value = text;
        break;
    case OPTION_WORDS:
        if (words->count == MAX_WORDS) {
            die("--%s: at most %d times", o->name, MAX_WORDS);
        }
        words->word[words->count++] = text;
        break;
    case OPTION_ON:
    case OPTION_OFF:
        *(bool *)o->value = o->kind == OPTION_ON;
        break;
    }
}

static int option_take(const Option *table, int i, int argc, char **argv)
{
    const char *name = argv[i] + 2, *equals = strchr(name, '=');
    const Option *o =
        option_find(table, name, equals ? equals - name : (long)strlen(name));
    bool flag = o->kind == OPTION_ON || o->kind == OPTION_OFF;

    if (flag && equals) {
        die("--%s takes no value", o->name);
    }
    if (!flag && !equals && ++i == argc) {
        die("--%s needs a value", o->name);
    }
    option_set(o, equals ? equals + 1 : argv[i]);
    return i + 1;
}

int options_parse(const Option *table, const char *about, int argc, char **argv)
{
    int i = 1;

    while (i < argc && argv[i][0] == '-') {
        if (strcmp(argv[i], "--") == 0) {
            return i + 1;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options_help(table, about);
            exit(0);
        }
        if (strncmp(argv[i], "-v", 2) == 0) {
            bench_verbose += strlen(argv[i]) - 1;
            i++;
        } else if (argv[i][1] == '-') {
            i = option_take(table, i, argc, argv);
        } else {
            die("unknown option %s; --help lists them", argv[i]);
        }
    }
    return i;
}

static void for_each_pairs(int mode, const char *queues,
                           void (*run)(int mode, int pairs))
{
    const char *p = queues;

    while (*p) {
        char *end;
        long pairs = strtol(p, &end, 10);
        if (pairs < 1 || pairs > MAX_PAIRS || (*end && *end != ',')) {
            die("--queues %s: must be numbers from 1 to %d", queues, MAX_PAIRS);
        }
        run(mode, pairs);
        p = *end ? end + 1 : end;
    }
}

void for_each_run(const char *modes, const char *const *names, int name_count,
                  const char *queues, void (*run)(int mode, int pairs))
{
    while (*modes) {
        size_t len = strcspn(modes, ",");
        int mode = 0;
        while (mode < name_count && (strlen(names[mode]) != len ||
                                     strncmp(names[mode], modes, len) != 0)) {
            mode++;
        }
        if (mode == name_count) {
            die("unknown mode '%.*s'", (int)len, modes);
        }
        for_each_pairs(mode, queues, run);
        modes += len + (modes[len] == ',');
    }
}

/* ---- JSON ---- */

FILE *json_open(const char *path)
{
    FILE *f = NULL;

    if (path) {
        f = strcmp(path, "-") == 0 ? stdout : fopen(path, "ae");
        if (!f) {
            die("%s: %m", path);
        }
    }
    return f;
}

void json_begin(FILE *f, const char *tool, const char *mode, int pairs)
{
    if (f) {
        fprintf(f, "{\"tool\":\"%s\",\"mode\":\"%s\",\"n\":%d", tool, mode,
                pairs);
    }
}

void json_raw(FILE *f, const char *key, const char *text)
{
    if (f) {
        fprintf(f, ",\"%s\":%s", key, text);
    }
}

void json_string(FILE *f, const char *key, const char *value)
{
    if (!f) {
        return;
    }
    fprintf(f, ",\"%s\":\"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            fputc('\\', f);
        }
        fputc((unsigned char)*value < ' ' ? ' ' : *value, f);
    }
    fputc('"', f);
}

void json_number(FILE *f, const char *key, double value)
{
    if (f) {
        fprintf(f, ",\"%s\":%.8g", key, value);
    }
}

void json_count(FILE *f, const char *key, uint64_t value)
{
    if (f) {
        fprintf(f, ",\"%s\":%llu", key, (unsigned long long)value);
    }
}

void json_bool(FILE *f, const char *key, bool value)
{
    json_raw(f, key, value ? "true" : "false");
}

void json_end(FILE *f)
{
    if (f) {
        fputs("}\n", f);
        fflush(f);
    }
}
