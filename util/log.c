/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <pthread.h>
#include <time.h>

#include "util/log.h"

#define MAX_LINES_PER_SECOND 1000u

static const struct {
    const char *name;
    LogMask mask;
    const char *help;
} log_items[] = {
    { "guest_errors", LOG_GUEST_ERROR, "the guest does what it must not" },
    { "unimp", LOG_UNIMP, "the guest uses what this device does not have" },
};

static struct {
    /* any thread, atomic: read before the lock is taken */
    unsigned enabled;

    pthread_mutex_t lock; /* for the rest */
    FILE *file;           /* NULL: stderr */
    time_t second;
    unsigned lines;   /* written in this second */
    uint64_t dropped; /* since the last line written */
} log_state = { .lock = PTHREAD_MUTEX_INITIALIZER };

static time_t log_second(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* True when one more line may be written; log_state.lock is held. */
static bool log_admit(FILE *out)
{
    time_t second = log_second();

    if (second != log_state.second) {
        if (log_state.dropped) {
            fprintf(out, "(%" PRIu64 " log lines left out)\n",
                    log_state.dropped);
        }
        log_state.second = second;
        log_state.lines = 0;
        log_state.dropped = 0;
    }
    if (log_state.lines >= MAX_LINES_PER_SECOND) {
        log_state.dropped++;
        return false;
    }
    log_state.lines++;
    return true;
}

void log_mask(LogMask mask, const char *fmt, ...)
{
    va_list ap;
    FILE *out;

    if (!(__atomic_load_n(&log_state.enabled, __ATOMIC_RELAXED) & mask)) {
        return;
    }
    pthread_mutex_lock(&log_state.lock);
    out = log_state.file ? log_state.file : stderr;
    if (log_admit(out)) {
        va_start(ap, fmt);
        vfprintf(out, fmt, ap);
        va_end(ap);
        fputc('\n', out);
        fflush(out);
    }
    pthread_mutex_unlock(&log_state.lock);
}

static void log_help(void)
{
    printf("Log items (comma separated):\n");
    for (size_t i = 0; i < ARRAY_SIZE(log_items); i++) {
        printf("%-15s %s\n", log_items[i].name, log_items[i].help);
    }
}

static bool log_parse_item(const char *item, unsigned *mask, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(log_items); i++) {
        if (strcmp(item, log_items[i].name) == 0) {
            *mask |= log_items[i].mask;
            return true;
        }
    }
    error_setg(errp,
               "-d: unknown log item '%s'; use guest_errors, unimp or help",
               item);
    return false;
}

static bool log_parse_items(const char *items, unsigned *mask, Error **errp)
{
    g_auto(GStrv) parts = g_strsplit(items, ",", -1);

    for (char **part = parts; *part; part++) {
        if (strcmp(*part, "help") == 0 || strcmp(*part, "?") == 0) {
            log_help();
            exit(0);
        }
        if (!log_parse_item(*part, mask, errp)) {
            return false;
        }
    }
    return true;
}

bool log_configure(const char *items, const char *file, Error **errp)
{
    unsigned mask = 0;
    FILE *out = NULL;

    if (items && !log_parse_items(items, &mask, errp)) {
        return false;
    }
    if (file) {
        out = fopen(file, "ae");
        if (!out) {
            error_setg_errno(errp, errno, "-D: cannot open log file '%s'",
                             file);
            return false;
        }
    }
    pthread_mutex_lock(&log_state.lock);
    if (log_state.file) {
        fclose(log_state.file);
    }
    log_state.file = out;
    pthread_mutex_unlock(&log_state.lock);
    __atomic_store_n(&log_state.enabled, mask, __ATOMIC_RELAXED);
    return true;
}
