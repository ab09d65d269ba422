/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mqbench.h"

#define MAX_ARGS      256
#define ARG_TEXT      32768
#define CONNECT_TRIES 300 /* of 100 ms */
#define STOP_TRIES    300 /* of 10 ms */
#define MIB           (UINT64_C(1) << 20)
#define RAM_FIRST     (32 * MIB) /* beyond the VGA hole and firmware */
#define BIOS_SIZE     65536
#define RESET_VECTOR  0xfff0

/* An argument list with room for texts that are made for it. */
typedef struct Args {
    char *argv[MAX_ARGS + 1];
    int count;
    char text[ARG_TEXT];
    size_t used;
} Args;

static Program *running; /* main thread; for program_guard() */

/* Debian's QEMU has no qtest accelerator: then TCG, with a firmware that halts
 * the only CPU. 1, 0; -1 until it was tried. */
static int have_qtest = -1;

static void arg_plain(Args *a, const char *word)
{
    if (a->count == MAX_ARGS) {
        die("too many arguments for the program");
    }
    a->argv[a->count++] = (char *)word;
}

/* A copy of @format with %N = pairs, %V = 2N + 2, %q = queue. */
static char *arg_expand(Args *a, const char *format, int pairs, int queue)
{
    char *text = a->text + a->used, *end = a->text + ARG_TEXT;
    char *p = text;

    for (; *format; format++) {
        bool numbered = format[0] == '%' && strchr("NVq", format[1]);
        int value = format[1] == 'N'   ? pairs
                    : format[1] == 'V' ? 2 * pairs + 2
                                       : queue;
        if (end - p < 16) {
            die("arguments for the program are too long");
        }
        if (numbered && format[1]) {
            p += sprintf(p, "%d", value);
            format++;
        } else {
            *p++ = *format;
        }
    }
    *p++ = 0;
    a->used = p - a->text;
    return text;
}

static void __attribute__((format(printf, 2, 3)))
arg_format(Args *a, const char *fmt, ...)
{
    char *text = a->text + a->used;
    size_t room = ARG_TEXT - a->used, len;
    va_list ap;

    va_start(ap, fmt);
    len = vsnprintf(text, room, fmt, ap);
    va_end(ap);
    if (len >= room) {
        die("arguments for the program are too long");
    }
    a->used += len + 1;
    arg_plain(a, text);
}

/* Words at blanks. */
static void arg_words(Args *a, char *text)
{
    char *save;

    for (char *w = strtok_r(text, " ", &save); w;
         w = strtok_r(NULL, " ", &save)) {
        arg_plain(a, w);
    }
}

static void write_halting_bios(const char *path)
{
    static const uint8_t code[] = { 0xfa, 0xf4, 0xeb,
                                    0xfd }; /* cli; hlt; jmp */
    uint8_t *image = alloc(1, BIOS_SIZE);
    FILE *f = fopen(path, "we");

    memset(image, 0xf4, BIOS_SIZE);
    memcpy(image + RESET_VECTOR, code, sizeof(code));
    if (!f || fwrite(image, BIOS_SIZE, 1, f) != 1) {
        die("%s: %m", path);
    }
    fclose(f);
    free(image);
}

static void args_machine(Args *a, const Program *p)
{
    arg_plain(a, opt.bin);
    arg_plain(a, "-accel");
    if (have_qtest) {
        arg_plain(a, "qtest");
    } else {
        arg_plain(a, "tcg,tb-size=8");
        arg_plain(a, "-bios");
        arg_format(a, "%s/halt.bin", p->dir);
        write_halting_bios(a->argv[a->count - 1]);
    }
    arg_plain(a, "-qtest");
    arg_format(a, "unix:%s/qtest.sock", p->dir);
    arg_words(a, arg_expand(a,
                            "-qtest-log /dev/null -display none -nodefaults "
                            "-no-user-config -machine pc,memory-backend=mem",
                            0, 0));
    arg_plain(a, "-object");
    arg_format(a, "memory-backend-file,id=mem,size=%dM,mem-path=%s,share=on",
               opt.mem, p->memory);
    arg_plain(a, "-m");
    arg_format(a, "%dM", opt.mem);
}

/* Iothreads that pair 0 moves between; it starts on the first. */
static void args_moves(Args *a, const Program *p)
{
    arg_words(a, arg_expand(a,
                            "-object iothread,id=move0 "
                            "-object iothread,id=move1",
                            0, 0));
    arg_plain(a, "-qmp");
    arg_format(a, "unix:%s,server=on,wait=off", p->qmp);
}

static void args_network(Args *a, Mode mode, int pairs, const char *tap,
                         const int *fds)
{
    const char *vhost = mode == MODE_MOVES_VHOST ? "on" : "off";
    const char *mapping = mode_moves(mode)
                              ? ",iothread-vq-mapping.0.iothread=move0,"
                                "iothread-vq-mapping.1.iothread=move1"
                              : "";
    char list[256] = "";

    arg_plain(a, "-netdev");
    for (int i = 0; fds && i < pairs; i++) {
        sprintf(list + strlen(list), "%s%d", i ? ":" : "", fds[i]);
    }
    if (fds) {
        arg_format(a, "tap,id=n0,%s=%s,vhost=%s%s", pairs > 1 ? "fds" : "fd",
                   list, vhost, arg_expand(a, opt.netdev_args, pairs, 0));
    } else {
        arg_format(a,
                   "tap,id=n0,ifname=%s,script=no,downscript=no,vhost=%s,"
                   "queues=%d%s",
                   tap, vhost, pairs, arg_expand(a, opt.netdev_args, pairs, 0));
    }
    arg_plain(a, "-device");
    arg_format(a,
               "virtio-net-pci,id=nic,netdev=n0,mac=52:54:00:12:34:56,mq=on,"
               "vectors=%d,disable-legacy=on%s%s",
               2 * pairs + 2, mapping, arg_expand(a, opt.dev_args, pairs, 0));
}

static Args *args_new(const Program *p, Mode mode, int pairs, const char *tap,
                      const int *fds)
{
    Args *a = alloc(1, sizeof(*a));

    args_machine(a, p);
    for (int i = 0; i < opt.per_queue.count; i++) {
        for (int q = 0; q < pairs; q++) {
            arg_words(a, arg_expand(a, opt.per_queue.word[i], pairs, q));
        }
    }
    for (int i = 0; i < opt.extra_count; i++) {
        arg_plain(a, arg_expand(a, opt.extra[i], pairs, 0));
    }
    if (mode_moves(mode)) {
        args_moves(a, p);
    }
    args_network(a, mode, pairs, tap, fds);
    for (int i = 0; i < a->count && bench_verbose > 1; i++) {
        fprintf(stderr, "%s%c", a->argv[i], i + 1 < a->count ? ' ' : '\n');
    }
    return a;
}

/* ---- the process ---- */

static void copy_log(const Program *p)
{
    char path[96], line[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/program.log", p->dir);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        fputs(line, stderr);
    }
    if (f) {
        fclose(f);
    }
}

static bool log_blames_accel(const Program *p)
{
    char path[96], line[512];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "%s/program.log", p->dir);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        found |= strstr(line, "accel") != NULL;
    }
    if (f) {
        fclose(f);
    }
    return found;
}

static int program_fork(const Program *p, char **argv)
{
    int pid = fork(), log, null;
    char path[96];

    if (pid) {
        return pid;
    }
    snprintf(path, sizeof(path), "%s/program.log", p->dir);
    log = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    null = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin_thread(opt.program_cpus);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int qtest_listen(const char *dir)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/qtest.sock", dir);
    unlink(addr.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(fd, 1) < 0) {
        die("%s: %m", addr.sun_path);
    }
    return fd;
}

/* The connection's file descriptor, or -1 when the program has exited. */
static int qtest_accept(Program *p, int listener)
{
    for (int i = 0; i < CONNECT_TRIES; i++) {
        struct pollfd poll_fd = { listener, POLLIN, 0 };
        if (poll(&poll_fd, 1, 100) > 0) {
            /* cppcheck-suppress nullPointer */
            return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        }
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
            return -1;
        }
    }
    die("the program does not connect to its qtest socket");
}

static void memory_create(Program *p, VirtDevice *d)
{
    int fd = open(p->memory, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    d->ram_size = opt.mem * MIB;
    d->ram_next = RAM_FIRST;
    if (fd < 0 || ftruncate(fd, d->ram_size) < 0) {
        die("%s: %m", p->memory);
    }
    d->ram = mmap(NULL, d->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (d->ram == MAP_FAILED) {
        die("cannot map the guest's memory: %m");
    }
    close(fd);
}

static int program_connect(Program *p, Mode mode, int pairs, const char *tap,
                           const int *fds)
{
    int listener = qtest_listen(p->dir), fd;
    Args *a = args_new(p, mode, pairs, tap, fds);

    p->pid = program_fork(p, a->argv);
    if (p->pid < 0) {
        die("fork: %m");
    }
    fd = qtest_accept(p, listener);
    close(listener);
    free(a);
    return fd;
}

void program_start(Program *p, VirtDevice *d, Mode mode, int pairs,
                   const char *tap, const int *fds)
{
    if (have_qtest < 0 && strcmp(opt.accel, "auto") != 0) {
        have_qtest = strcmp(opt.accel, "qtest") == 0;
    }
    snprintf(p->dir, sizeof(p->dir), "/tmp/mqbench.%d", getpid());
    snprintf(p->qmp, sizeof(p->qmp), "%s/qmp.sock", p->dir);
    snprintf(p->memory, sizeof(p->memory), "%s/mqbench.%d", opt.shm, getpid());
    if (mkdir(p->dir, 0700) < 0 && errno != EEXIST) {
        die("%s: %m", p->dir);
    }
    running = p;
    memory_create(p, d);
    d->qtest.fd = program_connect(p, mode, pairs, tap, fds);
    if (d->qtest.fd < 0 && have_qtest < 0 && log_blames_accel(p)) {
        verbose("no qtest accelerator in %s: TCG with a halted CPU", opt.bin);
        have_qtest = 0;
        d->qtest.fd = program_connect(p, mode, pairs, tap, fds);
    }
    if (d->qtest.fd < 0) {
        copy_log(p);
        die("%s exits at its start", opt.bin);
    }
    have_qtest = have_qtest != 0;
}

static void remove_files(const Program *p)
{
    static const char *const names[] = { "qtest.sock", "halt.bin",
                                         "program.log", "qmp.sock" };
    char path[96];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
        unlink(path);
    }
    rmdir(p->dir);
    unlink(p->memory);
}

static void program_end(Program *p)
{
    kill(p->pid, SIGTERM);
    for (int i = 0; i < STOP_TRIES; i++) {
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
            return;
        }
        sleep_ns(10 * NS_PER_MS);
    }
    fprintf(stderr, "%s ignores SIGTERM\n", opt.bin);
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void program_stop(Program *p, VirtDevice *d)
{
    close(d->qtest.fd);
    program_end(p);
    munmap(d->ram, d->ram_size);
    if (bench_verbose > 1) {
        copy_log(p);
    }
    remove_files(p);
    running = NULL;
}

static void end_running(void)
{
    if (running && running->pid > 0) {
        kill(running->pid, SIGKILL);
        waitpid(running->pid, NULL, 0);
    }
    if (running) {
        remove_files(running);
    }
}

static void on_signal(int number)
{
    end_running();
    _exit(128 + number);
}

void program_guard(void)
{
    atexit(end_running);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
}
