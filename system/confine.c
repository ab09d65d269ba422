/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -run-with, -runas, -chroot: another user, another root directory. */
#include "util/osdep.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "config-host.h"
#include "system/confine.h"

typedef struct User {
    bool wanted;
    uid_t uid;
    gid_t gid;
    char *name; /* whose further groups are taken on; NULL: none */
} User;

static User user;

/* "UID:GID"; false: it is not that. */
static bool parse_ids(const char *text, User *u)
{
    char *end = NULL;
    guint64 uid, gid;

    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    uid = g_ascii_strtoull(text, &end, 10);
    if (*end != ':' || !g_ascii_isdigit(end[1])) {
        return false;
    }
    gid = g_ascii_strtoull(end + 1, &end, 10);
    /* The last value is what "no change" is in the system calls. */
    if (*end || uid >= UINT32_MAX || gid >= UINT32_MAX) {
        return false;
    }
    *u = (User){ .wanted = true, .uid = (uid_t)uid, .gid = (gid_t)gid };
    return true;
}

static bool find_user(const char *text, Error **errp)
{
    struct passwd entry, *found = NULL;
    char strings[4096];

    if (getpwnam_r(text, &entry, strings, sizeof(strings), &found) == 0 &&
        found) {
        user = (User){ .wanted = true,
                       .uid = entry.pw_uid,
                       .gid = entry.pw_gid,
                       .name = g_strdup(text) };
        return true;
    }
    if (parse_ids(text, &user)) {
        return true;
    }
    error_setg(errp,
               "user=%s: there is no such user; give a user's name, or UID:GID",
               text);
    return false;
}

#ifndef CONFIG_SECCOMP
bool sandbox_prepare(const SandboxRules *rules, Error **errp)
{
    error_setg(errp, "-sandbox on: this emulator was built without libseccomp");
    return false;
}

bool sandbox_enter(Error **errp)
{
    return true;
}
#endif

bool confine_prepare(const VmConfig *cfg, Error **errp)
{
    if (cfg->run_as && !find_user(cfg->run_as, errp)) {
        return false;
    }
    return !cfg->sandbox || sandbox_prepare(&cfg->sandbox_rules, errp);
}

static bool enter_root(const char *dir, Error **errp)
{
    if (chroot(dir) < 0 || chdir("/") < 0) {
        error_setg_errno(errp, errno,
                         "chroot=%s: cannot make it the root directory", dir);
        return false;
    }
    return true;
}

static bool become_user(Error **errp)
{
    int r =
        user.name ? initgroups(user.name, user.gid) : setgroups(1, &user.gid);

    if (r < 0 || setgid(user.gid) < 0 || setuid(user.uid) < 0) {
        error_setg_errno(errp, errno, "user=: cannot become %u:%u", user.uid,
                         user.gid);
        return false;
    }
    if (user.uid != 0 && setuid(0) == 0) {
        error_setg(errp, "user=: could become root again");
        return false;
    }
    return true;
}

bool confine_enter(const VmConfig *cfg, Error **errp)
{
    bool ok = (!cfg->chroot_dir || enter_root(cfg->chroot_dir, errp)) &&
              (!user.wanted || become_user(errp)) &&
              (!cfg->sandbox || sandbox_enter(errp));

    g_clear_pointer(&user.name, g_free);
    return ok;
}
