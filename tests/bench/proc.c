/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <unistd.h>

#include "proc.h"

static FILE *task_open(int pid, int tid, const char *file)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
    return fopen(path, "re");
}

static bool read_schedstat(int pid, ThreadTimes *t)
{
    FILE *f = task_open(pid, t->tid, "schedstat");
    unsigned long long run, wait;
    bool ok = f && fscanf(f, "%llu %llu", &run, &wait) == 2;

    if (ok) {
        t->run_ns = run;
        t->wait_ns = wait;
    }
    if (f) {
        fclose(f);
    }
    return ok;
}

static void read_switches(int pid, ThreadTimes *t)
{
    FILE *f = task_open(pid, t->tid, "status");
    unsigned long long n;
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1) {
            t->switches = n;
        }
    }
    if (f) {
        fclose(f);
    }
}

/* proc_pid_stat(5): "pid (comm) state", ten numbers, utime, stime */
static void read_stat(int pid, ThreadTimes *t)
{
    FILE *f = task_open(pid, t->tid, "stat");
    char line[512] = "", *open, *close;
    unsigned long long user, system;

    if (f && fgets(line, sizeof(line), f)) {
        open = strchr(line, '(');
        close = strrchr(line, ')');
        if (open && close) {
            snprintf(t->name, sizeof(t->name), "%.*s", (int)(close - open - 1),
                     open + 1);
            if (sscanf(close + 2,
                       "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                       &user, &system) == 2) {
                t->user = user;
                t->system = system;
            }
        }
    }
    if (f) {
        fclose(f);
    }
}

void proc_snapshot(int pid, ProcSnapshot *s)
{
    char path[64];
    struct dirent *e;
    DIR *dir;

    memset(s, 0, sizeof(*s));
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    /* cppcheck-suppress readdirCalled */
    while (dir && (e = readdir(dir)) && s->count < MAX_THREADS) {
        ThreadTimes *t = &s->thread[s->count];
        t->tid = atoi(e->d_name);
        if (t->tid && read_schedstat(pid, t)) {
            read_switches(pid, t);
            read_stat(pid, t);
            s->count++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    s->at_ns = now_ns();
}

ThreadTimes proc_thread_since(const ProcSnapshot *a, const ProcSnapshot *b,
                              int i)
{
    ThreadTimes t = b->thread[i];

    for (int k = 0; k < a->count; k++) {
        const ThreadTimes *old = &a->thread[k];
        if (old->tid == t.tid) {
            t.run_ns -= old->run_ns;
            t.wait_ns -= old->wait_ns;
            t.switches -= old->switches;
            t.user -= old->user;
            t.system -= old->system;
        }
    }
    return t;
}

ThreadTimes proc_since(const ProcSnapshot *a, const ProcSnapshot *b)
{
    ThreadTimes sum = { 0 };

    for (int i = 0; i < b->count; i++) {
        ThreadTimes t = proc_thread_since(a, b, i);
        sum.run_ns += t.run_ns;
        sum.wait_ns += t.wait_ns;
        sum.switches += t.switches;
        sum.user += t.user;
        sum.system += t.system;
    }
    return sum;
}

static bool task_asleep(int pid, int tid)
{
    FILE *f = task_open(pid, tid, "stat");
    char line[512], *close = NULL;

    if (f && fgets(line, sizeof(line), f)) {
        close = strrchr(line, ')');
    }
    if (f) {
        fclose(f);
    }
    return !close || close[1] != ' ' || close[2] == 'S';
}

bool proc_asleep(int pid)
{
    bool asleep = true;
    char path[64];
    struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    /* cppcheck-suppress readdirCalled */
    while (dir && asleep && (e = readdir(dir))) {
        asleep = e->d_name[0] == '.' || task_asleep(pid, atoi(e->d_name));
    }
    if (dir) {
        closedir(dir);
    }
    return asleep;
}

/* proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal */
void machine_cpu(uint64_t *busy_ms, uint64_t *stolen_ms)
{
    FILE *f = fopen("/proc/stat", "re");
    unsigned long long v[8] = { 0 };
    long hz = sysconf(_SC_CLK_TCK);

    if (f && fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0],
                    &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8) {
        memset(v, 0, sizeof(v));
    }
    if (f) {
        fclose(f);
    }
    *busy_ms = (v[0] + v[1] + v[2] + v[5] + v[6]) * 1000 / hz;
    *stolen_ms = v[7] * 1000 / hz;
}
