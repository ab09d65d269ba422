/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>

#include "util/fd.h"
#include "util/fdset.h"

#define FDSET_PREFIX "/dev/fdset/"

static GHashTable *names; /* name to fd; NULL: none ever */
static GArray *entries;   /* of FdsetEntry, sorted by set; NULL: none ever */

/* ---- names ---- */

/* The fd of @name; -1: there is none. */
static int name_find(const char *name)
{
    gpointer fd;

    if (!names || !g_hash_table_lookup_extended(names, name, NULL, &fd)) {
        return -1;
    }
    return GPOINTER_TO_INT(fd);
}

bool fd_name_add(const char *name, int fd, Error **errp)
{
    int old;

    if (!*name || g_ascii_isdigit(*name)) {
        error_setg(errp, "Parameter 'fdname' expects a name not starting with "
                         "a digit");
        fd_close(&fd);
        return false;
    }
    if (!fd_set_cloexec(fd, errp)) {
        fd_close(&fd);
        return false;
    }
    if (!names) {
        names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    old = name_find(name);
    g_hash_table_replace(names, g_strdup(name), GINT_TO_POINTER(fd));
    fd_close(&old);
    return true;
}

static void name_not_found(const char *name, Error **errp)
{
    g_autofree char *shown = g_strescape(name, NULL);

    error_setg(errp, "File descriptor named '%.64s' not found", shown);
}

bool fd_name_close(const char *name, Error **errp)
{
    int fd = name_find(name);

    if (fd < 0) {
        name_not_found(name, errp);
        return false;
    }
    g_hash_table_remove(names, name);
    fd_close(&fd);
    return true;
}

int fd_from_text(const char *text, const char *what, Error **errp)
{
    int fd = name_find(text);

    if (fd < 0 && !g_ascii_isalpha(*text)) {
        return fd_parse(text, what, errp);
    }
    if (fd < 0) {
        name_not_found(text, errp);
        error_prepend(errp, "%s: ", what);
    }
    return fd;
}

static gboolean is_fd(void *name, void *value, void *opaque)
{
    return GPOINTER_TO_INT(value) == *(const int *)opaque;
}

void fd_text_taken(const char *text)
{
    int fd = g_ascii_isdigit(*text) ? fd_parse(text, "fd", NULL) : -1;

    if (names && fd >= 0) {
        g_hash_table_foreach_remove(names, is_fd, &fd);
    } else if (names) {
        g_hash_table_remove(names, text);
    }
}

/* ---- sets ---- */

static FdsetEntry *entry_at(guint i)
{
    return &g_array_index(entries, FdsetEntry, i);
}

static void entry_clear(void *opaque)
{
    FdsetEntry *e = opaque;

    fd_close(&e->fd);
    g_free(e->opaque);
}

/* The index behind the last entry of the sets up to @id. */
static guint end_of_set(int64_t id)
{
    guint i = 0;

    while (i < entries->len && entry_at(i)->set <= id) {
        i++;
    }
    return i;
}

static int64_t lowest_free_id(void)
{
    int64_t id = 0;

    for (guint i = 0; i < entries->len && entry_at(i)->set <= id; i++) {
        id = entry_at(i)->set + 1;
    }
    return id;
}

int64_t fdset_add(int64_t id, int fd, const char *opaque, Error **errp)
{
    FdsetEntry e = { .set = id, .fd = fd };

    if (id < 0 && id != FDSET_NEW) {
        error_setg(errp,
                   "Parameter 'fdset-id' expects a non-negative value, not "
                   "%" PRId64,
                   id);
        fd_close(&fd);
        return -1;
    }
    if (!fd_set_cloexec(fd, errp)) {
        fd_close(&fd);
        return -1;
    }
    if (!entries) {
        entries = g_array_new(FALSE, FALSE, sizeof(FdsetEntry));
        g_array_set_clear_func(entries, entry_clear);
    }
    if (id == FDSET_NEW) {
        e.set = lowest_free_id();
    }
    e.opaque = g_strdup(opaque);
    g_array_insert_val(entries, end_of_set(e.set), e);
    return e.set;
}

bool fdset_remove(int64_t id, int fd, Error **errp)
{
    g_autofree char *fd_text = NULL;
    bool found = false;

    for (guint i = entries ? entries->len : 0; i-- > 0;) {
        const FdsetEntry *e = entry_at(i);

        if (e->set == id && (fd < 0 || e->fd == fd)) {
            g_array_remove_index(entries, i);
            found = true;
        }
    }
    if (!found) {
        fd_text = fd < 0 ? g_strdup("") : g_strdup_printf(", fd:%d", fd);
        error_setg(errp,
                   "File descriptor named 'fdset-id:%" PRId64 "%s' not found",
                   id, fd_text);
    }
    return found;
}

const FdsetEntry *fdset_entries(unsigned *n)
{
    *n = entries ? entries->len : 0;
    return *n ? entry_at(0) : NULL;
}

/* The fd of set @id to duplicate for an open with @flags: one of that very
 * access mode, else one that can do more. -1 and errno. */
static int choose_fd(int64_t id, int flags)
{
    int wider = -1;

    errno = ENOENT;
    for (guint i = 0; entries && i < entries->len; i++) {
        const FdsetEntry *e = entry_at(i);
        int mode;

        if (e->set != id) {
            continue;
        }
        mode = fcntl(e->fd, F_GETFL) & O_ACCMODE;
        if (mode == (flags & O_ACCMODE)) {
            return e->fd;
        }
        if (mode == O_RDWR && wider < 0) {
            wider = e->fd;
        }
        errno = EACCES;
    }
    return wider;
}

/* A duplicate of @fd that is as if it had been opened with @flags; -1 and
 * errno. The status flags are those of the open file, the client's too. */
static int duplicate(int fd, int flags)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int status = copy >= 0 ? fcntl(copy, F_GETFL) : -1;

    if (copy < 0) {
        return -1;
    }
    status &= ~(O_APPEND | O_NONBLOCK);
    status |= flags & (O_APPEND | O_NONBLOCK);
    if (fcntl(copy, F_SETFL, status) < 0 ||
        /* A pipe or a terminal has nothing to cut off. */
        ((flags & O_TRUNC) && ftruncate(copy, 0) < 0 && errno != EINVAL)) {
        fd_close(&copy);
    }
    return copy;
}

static int open_from_set(const char *path, const char *number, int flags,
                         Error **errp)
{
    gint64 id;
    int fd = -1;

    errno = ENOENT;
    if (!g_ascii_string_to_signed(number, 10, 0, INT64_MAX, &id, NULL)) {
        error_setg(errp, "cannot open '%s': expected %sNUMBER", path,
                   FDSET_PREFIX);
        errno = ENOENT;
        return -1;
    }
    fd = choose_fd(id, flags);
    if (fd >= 0 && (flags & O_CREAT) && (flags & O_EXCL)) {
        fd = -1;
        errno = EEXIST;
    }
    if (fd >= 0) {
        fd = duplicate(fd, flags);
    }
    if (fd < 0) {
        int saved = errno;

        error_setg(errp, "cannot open '%s': %s", path,
                   saved == ENOENT   ? "there is no such set"
                   : saved == EACCES ? "no descriptor of the set was opened "
                                       "for that (read, write)"
                                     : g_strerror(saved));
        errno = saved;
    }
    return fd;
}

int fdset_open(const char *path, int flags, mode_t mode, Error **errp)
{
    int fd;

    if (g_str_has_prefix(path, FDSET_PREFIX)) {
        return open_from_set(path, path + strlen(FDSET_PREFIX), flags, errp);
    }
    fd = open(path, flags | O_CLOEXEC, mode);
    if (fd < 0) {
        int saved = errno;

        error_setg_errno(errp, saved, "cannot open '%s'", path);
        errno = saved;
    }
    return fd;
}

static void close_named(void *name, void *value, void *opaque)
{
    close(GPOINTER_TO_INT(value));
}

void fdset_cleanup(void)
{
    if (names) {
        g_hash_table_foreach(names, close_named, NULL);
    }
    g_clear_pointer(&names, g_hash_table_unref);
    g_clear_pointer(&entries, g_array_unref);
}
