/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going to the background, and the file that tells who did. */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "system/daemon.h"
#include "util/fd.h"

/* In the child: where to tell the parent; -1: there is none. */
static int ready_fd = -1;
static int null_fd = -1;
/* Absolute: the working directory changes. */
static char *pidfile_path;
static int pidfile_fd = -1;

/* Waits for the byte that daemon_ready() writes; the end of the pipe without
 * one is the end of the child. */
static int wait_for_child(int fd)
{
    char byte;
    ssize_t n;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The child's half: the grandchild is no session leader, so that no terminal
 * it opens becomes its own. */
static void leave_session(int fd)
{
    pid_t pid;

    setsid();
    pid = fork();
    if (pid < 0) {
        error_report("-daemonize: cannot fork: %s", g_strerror(errno));
    }
    if (pid) {
        _exit(pid < 0);
    }
    umask(027);
    ready_fd = fd;
}

DaemonRole daemon_fork(int *status, Error **errp)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        error_setg_errno(errp, errno, "-daemonize: cannot make a pipe");
        return DAEMON_FAILED;
    }
    pid = fork();
    if (pid < 0) {
        error_setg_errno(errp, errno, "-daemonize: cannot fork");
        close(fds[0]);
        close(fds[1]);
        return DAEMON_FAILED;
    }
    if (pid == 0) {
        close(fds[0]);
        leave_session(fds[1]);
        return DAEMON_CHILD;
    }
    close(fds[1]);
    *status = wait_for_child(fds[0]);
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return DAEMON_PARENT;
}

bool daemon_prepare(Error **errp)
{
    if (ready_fd < 0) {
        return true;
    }
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        error_setg_errno(errp, errno, "-daemonize: cannot open /dev/null");
    }
    return null_fd >= 0;
}

bool daemon_ready(Error **errp)
{
    if (ready_fd < 0) {
        return true;
    }
    if (chdir("/") < 0) {
        error_setg_errno(errp, errno, "-daemonize: cannot open /");
        return false;
    }
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        dup2(null_fd, fd);
    }
    if (null_fd > STDERR_FILENO) {
        fd_close(&null_fd);
    }
    /* A parent that is gone does not mind: EPIPE. */
    if (write(ready_fd, "", 1) < 0 && errno != EPIPE) {
        error_setg_errno(errp, errno, "-daemonize: cannot tell the parent");
        return false;
    }
    fd_close(&ready_fd);
    return true;
}

/* The id as text in the locked file @fd. */
static bool write_pid(int fd, const char *path, Error **errp)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[16];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    if (fcntl(fd, F_SETLK, &lock) < 0) {
        error_setg(errp, "-pidfile %s: another process has it", path);
        return false;
    }
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, len, 0) != len) {
        error_setg_errno(errp, errno, "-pidfile %s: cannot write", path);
        return false;
    }
    return true;
}

bool pidfile_create(const char *path, Error **errp)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        error_setg_errno(errp, errno, "-pidfile %s: cannot create", path);
        return false;
    }
    if (!write_pid(fd, path, errp)) {
        close(fd);
        return false;
    }
    pidfile_fd = fd;
    pidfile_path = g_canonicalize_filename(path, NULL);
    return true;
}

void pidfile_remove(void)
{
    if (pidfile_path) {
        unlink(pidfile_path);
        g_clear_pointer(&pidfile_path, g_free);
    }
    fd_close(&pidfile_fd);
}
