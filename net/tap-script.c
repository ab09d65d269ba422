/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that a netdev runs: scripts and helpers. */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "system/machine-lock.h"
#include "tap-internal.h"
#include "util/event-loop.h"
#include "util/fd.h"

#define CHILD_SOCK 3
#define SLOW_MS    5000 /* then we say what is waited for */

/* In the child, after fork: only what signal-safety(7) allows. */
static G_NORETURN void child_exec(char *const argv[], int sock, int err_fd)
{
    sigset_t none;
    int first_closed = STDERR_FILENO + 1;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (sock >= 0) {
        if (sock == CHILD_SOCK) {
            fcntl(sock, F_SETFD, 0);
        } else if (err_fd == CHILD_SOCK) {
            err_fd = dup(err_fd);
        }
        if (sock != CHILD_SOCK && dup2(sock, CHILD_SOCK) < 0) {
            _exit(127);
        }
        first_closed = CHILD_SOCK + 1;
    }
    if (err_fd >= 0 && dup2(err_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    close_range(first_closed, ~0u, 0);
    execv(argv[0], argv);
    _exit(127);
}

bool tap_child_start(TapChild *child, char *const argv[], int sock,
                     bool capture, Error **errp)
{
    int err_pipe[2] = { -1, -1 };

    if (capture && pipe2(err_pipe, O_CLOEXEC) < 0) {
        error_setg_errno(errp, errno, "cannot make a pipe for '%s'", argv[0]);
        return false;
    }
    child->pid = fork();
    if (child->pid == 0) {
        child_exec(argv, sock, err_pipe[1]);
    }
    fd_close(&err_pipe[1]);
    if (child->pid < 0) {
        error_setg_errno(errp, errno, "cannot start '%s'", argv[0]);
        fd_close(&err_pipe[0]);
        return false;
    }
    child->stderr_fd = err_pipe[0];
    return true;
}

/* The first line that is in the pipe now, without control characters. */
static char *first_line(int fd)
{
    char buf[512];
    ssize_t n = -1;

    if (fd >= 0 && fd_set_nonblock(fd, true, NULL)) {
        n = read(fd, buf, sizeof(buf) - 1);
    }
    if (n <= 0) {
        return NULL;
    }
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return g_strescape(buf, NULL);
}

/* A file that is readable from the end of @child on; -1: there is none. */
static int end_of(const TapChild *child)
{
    return (int)syscall(SYS_pidfd_open, child->pid, 0);
}

bool tap_child_ends_by(const TapChild *child, int64_t end_ns)
{
    int pidfd = end_of(child);
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    int r;

    if (pidfd < 0) {
        return false;
    }
    machine_unlock();
    do {
        int64_t left = MAX(end_ns - clock_now_ns(), 0);

        r = poll(&p, 1, (int)((left + 999999) / 1000000));
    } while (r < 0 && errno == EINTR);
    machine_lock();
    close(pidfd);
    return r > 0;
}

void tap_child_await(int fd, const char *what)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int timeout = SLOW_MS;
    int r;

    machine_unlock();
    do {
        r = poll(&p, 1, timeout);
        if (r == 0) {
            warn_report("%s has not ended after %d seconds; the monitor waits "
                        "for it",
                        what, SLOW_MS / 1000);
            timeout = -1;
        }
    } while (r == 0 || (r < 0 && errno == EINTR));
    machine_lock();
}

/* As waitpid(2). */
static pid_t MAIN_THREAD await_end(const TapChild *child, const char *what,
                                   int *status)
{
    int pidfd = end_of(child);
    pid_t r;

    if (pidfd >= 0) {
        tap_child_await(pidfd, what);
        close(pidfd);
    }
    machine_unlock();
    do {
        r = waitpid(child->pid, status, 0);
    } while (r < 0 && errno == EINTR);
    machine_lock();
    return r;
}

bool tap_child_wait(TapChild *child, const char *what, Error **errp)
{
    g_autofree char *said = NULL;
    int status = 0;
    pid_t r = await_end(child, what, &status);

    said = first_line(child->stderr_fd);
    fd_close(&child->stderr_fd);
    if (r > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (r > 0 && WIFSIGNALED(status)) {
        error_setg(errp, "%s was ended by signal %d%s%s", what,
                   WTERMSIG(status), said ? ": " : "", said ? said : "");
    } else {
        error_setg(errp, "%s failed with status %d%s%s", what,
                   r > 0 ? WEXITSTATUS(status) : -1, said ? ": " : "",
                   said ? said : "");
    }
    return false;
}

bool tap_run_script(const char *script, const char *ifname, Error **errp)
{
    char *argv[] = { (char *)script, (char *)ifname, NULL };
    g_autofree char *what = g_strdup_printf("script '%s'", script);
    TapChild child;

    if (access(script, X_OK) < 0) {
        error_setg(errp,
                   "cannot run script '%s' (%s); make it executable, name "
                   "another one, or use script=no",
                   script, g_strerror(errno));
        return false;
    }
    return tap_child_start(&child, argv, -1, false, errp) &&
           tap_child_wait(&child, what, errp);
}
