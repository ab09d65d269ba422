/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev stdio: standard input and output, a terminal or not.
 *
 * A terminal is put into raw mode and put back when the device is closed, when
 * the process exits, and when a signal kills it; after a stop by the shell the
 * raw mode is set again. The terminal is shared with the shell, so it is not
 * made non-blocking: it is opened once more, for this process alone.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <termios.h>

#include "chardev/char-internal.h"
#include "util/fd.h"

typedef struct StdioChardev {
    Chardev parent;
    CharStream stream;
    int in_fd, out_fd;
    bool shared[2]; /* fd 0, 1: O_NONBLOCK was set on the shared one */
} StdioChardev;

/* The process's one terminal, where a signal handler finds it. */
static struct {
    bool in_use;               /* there is a stdio device */
    volatile sig_atomic_t raw; /* the terminal has our mode */
    struct termios saved, ours;
} terminal;

static const int fatal_signals[] = { SIGHUP,  SIGINT, SIGQUIT, SIGTERM, SIGABRT,
                                     SIGSEGV, SIGBUS, SIGFPE,  SIGILL };

static void restore_terminal(void)
{
    if (terminal.raw) {
        terminal.raw = false;
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
    }
}

/* Async-signal-safe. SA_RESETHAND: the second time, the signal kills. */
static void on_fatal_signal(int signum)
{
    restore_terminal();
    raise(signum);
}

static void on_continue(int signum)
{
    int saved_errno = errno;

    if (terminal.raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.ours);
    }
    errno = saved_errno;
}

/* Handlers for signals that nobody else handles. */
static void install_handlers(void)
{
    struct sigaction fatal = { .sa_handler = on_fatal_signal,
                               .sa_flags = (int)SA_RESETHAND };
    struct sigaction cont = { .sa_handler = on_continue,
                              .sa_flags = SA_RESTART };
    struct sigaction old;

    for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++) {
        if (sigaction(fatal_signals[i], NULL, &old) == 0 &&
            !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL) {
            sigaction(fatal_signals[i], &fatal, NULL);
        }
    }
    sigaction(SIGCONT, &cont, NULL);
}

static void remove_handlers(void)
{
    struct sigaction old;

    for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++) {
        if (sigaction(fatal_signals[i], NULL, &old) == 0 &&
            old.sa_handler == on_fatal_signal) {
            signal(fatal_signals[i], SIG_DFL);
        }
    }
    signal(SIGCONT, SIG_DFL);
}

static void make_raw(bool signals)
{
    static bool registered;

    if (tcgetattr(STDIN_FILENO, &terminal.saved) < 0) {
        return; /* not a terminal */
    }
    if (!registered) {
        registered = true;
        atexit(restore_terminal);
    }
    terminal.ours = terminal.saved;
    terminal.ours.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP |
                                          INLCR | IGNCR | ICRNL | IXON);
    terminal.ours.c_oflag |= OPOST;
    terminal.ours.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals) {
        terminal.ours.c_lflag &= (tcflag_t)~ISIG;
    }
    terminal.ours.c_cflag &= (tcflag_t) ~(CSIZE | PARENB);
    terminal.ours.c_cflag |= CS8;
    terminal.ours.c_cc[VMIN] = 1;
    terminal.ours.c_cc[VTIME] = 0;
    install_handlers();
    terminal.raw = true;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal.ours);
}

/*
 * A descriptor for what @fd is that does not block. A file needs no more than
 * a duplicate, a socket is written with MSG_DONTWAIT; what cannot be opened
 * once more becomes non-blocking itself, until the end (*@shared).
 */
static int open_private(int fd, int flags, bool *shared, Error **errp)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    struct stat st;
    int copy = -1;

    if (fstat(fd, &st) < 0) {
        error_setg_errno(errp, errno, "chardev stdio: standard %s",
                         fd == STDIN_FILENO ? "input" : "output");
        return -1;
    }
    if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
        copy = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (copy >= 0) {
            return copy;
        }
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        error_setg_errno(errp, errno, "chardev stdio");
        return -1;
    }
    *shared = !S_ISREG(st.st_mode) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    if (*shared && !fd_set_nonblock(fd, true, errp)) {
        fd_close(&copy);
    }
    return copy;
}

static void stdio_hangup(CharStream *s)
{
    chardev_be_event(s->chr, CHARDEV_EVENT_CLOSED);
}

static bool stdio_open(Chardev *chr, const ChardevBackend *backend,
                       Error **errp)
{
    StdioChardev *c = container_of(chr, StdioChardev, parent);
    const ChardevStdio *config = backend->u.stdio.data;

    c->in_fd = -1;
    c->out_fd = -1;
    if (terminal.in_use) {
        error_setg(errp,
                   "chardev '%s': stdio is used by another chardev already",
                   chr->id);
        return false;
    }
    c->in_fd = open_private(STDIN_FILENO, O_RDONLY, &c->shared[0], errp);
    if (c->in_fd < 0) {
        return false;
    }
    c->out_fd = open_private(STDOUT_FILENO, O_WRONLY, &c->shared[1], errp);
    if (c->out_fd < 0) {
        return false;
    }
    terminal.in_use = true;
    make_raw(!config->has_signal || config->signal);
    c->stream = (CharStream){
        .chr = chr,
        .in_fd = c->in_fd,
        .out_fd = c->out_fd,
        .hangup = stdio_hangup,
    };
    char_stream_start(&c->stream);
    chr->open = true;
    return true;
}

static void stdio_close(Chardev *chr)
{
    StdioChardev *c = container_of(chr, StdioChardev, parent);

    if (char_stream_started(&c->stream)) {
        char_stream_stop(&c->stream);
        restore_terminal();
        remove_handlers();
        terminal.in_use = false;
    }
    for (int fd = 0; fd < 2; fd++) {
        if (c->shared[fd]) {
            fd_set_nonblock(fd, false, NULL);
        }
    }
    fd_close(&c->in_fd);
    fd_close(&c->out_fd);
}

static size_t stdio_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return char_stream_write(&container_of(chr, StdioChardev, parent)->stream,
                             buf, len);
}

static void stdio_accept_input(Chardev *chr, ChardevFrontend *fe)
{
    char_stream_accept_input(&container_of(chr, StdioChardev, parent)->stream);
}

static void stdio_set_echo(Chardev *chr, bool echo)
{
    if (!terminal.raw) {
        return;
    }
    terminal.ours.c_lflag &= (tcflag_t)~ECHO;
    if (echo) {
        terminal.ours.c_lflag |= ECHO;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal.ours);
}

static int stdio_terminal_fd(const Chardev *chr)
{
    const StdioChardev *c = container_of(chr, const StdioChardev, parent);

    return terminal.raw && isatty(c->out_fd) ? c->out_fd : -1;
}

const ChardevClass chardev_class_stdio = {
    .instance_size = sizeof(StdioChardev),
    .open = stdio_open,
    .close = stdio_close,
    .write = stdio_write,
    .accept_input = stdio_accept_input,
    .set_echo = stdio_set_echo,
    .terminal_fd = stdio_terminal_fd,
};
