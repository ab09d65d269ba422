/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures how a program starts, from outside.
 *
 *   startup time RUNS STATUS -- PROGRAM ARG... [-- PROGRAM ARG...]...
 *       Runs the programs in turn, RUNS times each, and prints one line per
 *       program: the nanoseconds from fork to exit of each run. Every run must
 *       end with exit status STATUS.
 *   startup memory RAM_KIB SECONDS -- PROGRAM ARG...
 *       Lets the program run for SECONDS, prints "TOTAL RAM" (resident KiB of
 *       the process, and of its mapping of RAM_KIB or more: the guest's
 * memory), and ends it.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROGRAMS 8
#define MAX_RUNS     1000

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static pid_t start_program(char **argv)
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        execv(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    return pid;
}

/* Splits argv at each "--"; returns the number of programs. */
static int split_programs(char **argv, char ***programs)
{
    int count = 0;

    for (; *argv; argv++) {
        if (strcmp(*argv, "--") == 0) {
            *argv = NULL;
            if (count < MAX_PROGRAMS && argv[1]) {
                programs[count++] = argv + 1;
            }
        }
    }
    return count;
}

static int measure_time(int runs, int expected, char ***programs, int count)
{
    static int64_t times[MAX_PROGRAMS][MAX_RUNS];

    for (int run = 0; run < runs; run++) {
        for (int p = 0; p < count; p++) {
            int status;
            int64_t start = now_ns();
            pid_t pid = start_program(programs[p]);
            if (pid < 0 || waitpid(pid, &status, 0) != pid) {
                perror("startup");
                return 1;
            }
            times[p][run] = now_ns() - start;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
                fprintf(stderr,
                        "startup: %s ended with wait status %#x, not with exit "
                        "status %d\n",
                        programs[p][0], (unsigned int)status, expected);
                return 1;
            }
        }
    }
    for (int p = 0; p < count; p++) {
        for (int run = 0; run < runs; run++) {
            printf("%" PRId64 "%c", times[p][run], run + 1 < runs ? ' ' : '\n');
        }
    }
    return 0;
}

/* Sums the resident KiB of all mappings, and of those of `ram_kib` or more. */
static bool read_memory(pid_t pid, uint64_t ram_kib, uint64_t *total,
                        uint64_t *ram)
{
    char path[64], line[512];
    uint64_t value, size = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    f = fopen(path, "r");
    if (!f) {
        return false;
    }
    *total = *ram = 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "Size: %" SCNu64, &value) == 1) {
            size = value;
        } else if (sscanf(line, "Rss: %" SCNu64, &value) == 1) {
            *total += value;
            *ram += size >= ram_kib ? value : 0;
        }
    }
    fclose(f);
    return true;
}

static int measure_memory(uint64_t ram_kib, unsigned int seconds,
                          char **program)
{
    pid_t pid = start_program(program);
    uint64_t total, ram;
    bool ok;

    if (pid < 0) {
        perror("startup");
        return 1;
    }
    sleep(seconds);
    ok = waitpid(pid, NULL, WNOHANG) == 0 &&
         read_memory(pid, ram_kib, &total, &ram);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!ok) {
        fprintf(stderr, "startup: %s did not stay alive\n", program[0]);
        return 1;
    }
    printf("%" PRIu64 " %" PRIu64 "\n", total, ram);
    return 0;
}

int main(int argc, char **argv)
{
    char **programs[MAX_PROGRAMS];
    int count = split_programs(argv, programs);

    if (argc > 4 && count > 0 && strcmp(argv[1], "time") == 0) {
        int runs = atoi(argv[2]);
        if (runs > 0 && runs <= MAX_RUNS) {
            return measure_time(runs, atoi(argv[3]), programs, count);
        }
    }
    if (argc > 4 && count == 1 && strcmp(argv[1], "memory") == 0) {
        return measure_memory(strtoull(argv[2], NULL, 10),
                              (unsigned int)atoi(argv[3]), programs[0]);
    }
    fprintf(stderr, "usage: startup time RUNS STATUS -- PROGRAM... | startup "
                    "memory RAM_KIB SECONDS -- PROGRAM...\n");
    return 2;
}
