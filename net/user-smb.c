/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev user,smb=: a directory of the host, by Samba's server. It is started
 * for each connection and keeps its files in a directory of its own.
 */
#include "util/osdep.h"

#include <ftw.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <sys/stat.h>

#include "config-host.h"
#include "qapi/qapi-visit.h"
#include "user-internal.h"

#define TREE_FDS 16

static bool check_dir(const char *dir, Error **errp)
{
    g_autofree char *shown = qapi_quote(dir);
    struct stat st;

    if (access(CONFIG_SMBD, X_OK) < 0) {
        error_setg(errp,
                   "smb=%s: needs Samba's server, %s; install samba, or leave "
                   "smb= out",
                   shown, CONFIG_SMBD);
        return false;
    }
    if (stat(dir, &st) < 0) {
        error_setg_errno(errp, errno, "smb=%s: expects a directory", shown);
        return false;
    }
    if (!S_ISDIR(st.st_mode) || strpbrk(dir, "\n\r\"%") || dir[0] != '/') {
        error_setg(errp,
                   "smb=%s: expects the absolute path of a directory, without "
                   "quotes, '%%' and line ends",
                   shown);
        return false;
    }
    return true;
}

/*
 * smb.conf(5). Whatever the server writes for itself goes below @own, by each
 * of the parameters that name a place. Nobody has an account: unknown users,
 * that is all, are the guest, who is whoever runs the emulator.
 */
static char *config_text(const char *own, const char *dir)
{
    static const char *const places[] = {
        "cache directory", "lock directory", "ncalrpc dir",
        "pid directory",   "private dir",    "state directory"
    };
    const struct passwd *user = getpwuid(geteuid());
    GString *text = g_string_new("[global]\n"
                                 "server role = standalone server\n"
                                 "map to guest = bad user\n"
                                 "load printers = no\n");

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        g_string_append_printf(text, "%s = %s\n", places[i], own);
    }
    g_string_append_printf(text,
                           "guest account = %s\n"
                           "[qemu]\n"
                           "path = %s\n"
                           "guest only = yes\n"
                           "guest ok = yes\n"
                           "writeable = yes\n",
                           user ? user->pw_name : "nobody", dir);
    return g_string_free(text, FALSE);
}

static bool write_config(const char *own, const char *dir, Error **errp)
{
    g_autofree char *path = g_build_filename(own, "smb.conf", NULL);
    g_autofree char *text = config_text(own, dir);
    Error *err = NULL;

    if (!g_file_set_contents(path, text, -1, &err)) {
        error_setg(errp, "smb: %s", err->message);
        g_error_free(err);
        return false;
    }
    return true;
}

bool user_smb_open(UserState *s, const char *dir, struct in_addr server,
                   Error **errp)
{
    static const int ports[] = { 139, 445 };
    g_autofree char *template =
        g_build_filename(g_get_tmp_dir(), "qemu-mq-smb.XXXXXX", NULL);
    g_autofree char *own = NULL, *command = NULL;

    if (!check_dir(dir, errp)) {
        return false;
    }
    if (!g_mkdtemp_full(template, 0700)) {
        error_setg_errno(errp, errno, "smb: cannot make the directory '%s'",
                         template);
        return false;
    }
    s->smb_dir = g_strdup(template);
    own = g_shell_quote(s->smb_dir);
    command = g_strdup_printf("%s --configfile=%s/smb.conf --log-basename=%s",
                              CONFIG_SMBD, own, own);
    if (!write_config(s->smb_dir, dir, errp)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        struct in_addr addr = server;

        if (s->lib->add_exec(s->slirp, command, &addr, ports[i]) < 0) {
            error_setg(errp,
                       "smbserver: cannot have port %d of that address, "
                       "choose another one",
                       ports[i]);
            return false;
        }
    }
    return true;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    remove(path);
    return 0;
}

void user_smb_close(UserState *s)
{
    g_autofree char *dir = g_steal_pointer(&s->smb_dir);

    if (dir) {
        nftw(dir, remove_one, TREE_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
}
