/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the user netdev share: a network in this process, by
 * libslirp.
 *
 *   user.c           the netdev
 *   user-thread.c    the thread that runs libslirp
 *   user-opts.c      addresses and names from options
 *   user-frag.c      fragments of the guest's datagrams
 *   user-fwd.c       hostfwd, guestfwd: their text, and what is made of it
 *   user-chardev.c   guestfwd to a character device
 *   user-smb.c       the host's directory for smb
 *
 * Threads: main thread, unless said otherwise.
 */
#ifndef NET_USER_INTERNAL_H
#define NET_USER_INTERNAL_H

#include <pthread.h>
#include <slirp/libslirp.h>

#include "net/clients.h"
#include "net/wake.h"

/* The library's functions that are used. */
typedef struct SlirpLib {
    Slirp *(*new)(const SlirpConfig *cfg, const SlirpCb *cb, void *opaque);
    void (*cleanup)(Slirp *slirp);
    void (*pollfds_fill)(Slirp *slirp, uint32_t *timeout, SlirpAddPollCb add,
                         void *opaque);
    void (*pollfds_poll)(Slirp *slirp, int error, SlirpGetREventsCb revents,
                         void *opaque);
    void (*input)(Slirp *slirp, const uint8_t *frame, int len);
    void (*handle_timer)(Slirp *slirp, SlirpTimerId id, void *opaque);
    int (*add_hostxfwd)(Slirp *slirp, const struct sockaddr *host,
                        socklen_t host_len, const struct sockaddr *guest,
                        socklen_t guest_len, int flags);
    int (*remove_hostxfwd)(Slirp *slirp, const struct sockaddr *host,
                           socklen_t host_len, int flags);
    int (*add_exec)(Slirp *slirp, const char *command, struct in_addr *addr,
                    int port);
    int (*add_guestfwd)(Slirp *slirp, SlirpWriteCb write, void *opaque,
                        struct in_addr *addr, int port);
    size_t (*can_recv)(Slirp *slirp, struct in_addr addr, int port);
    void (*recv)(Slirp *slirp, struct in_addr addr, int port,
                 const uint8_t *buf, int len);
    char *(*connection_info)(Slirp *slirp);
} SlirpLib;

typedef struct UserTimer UserTimer;
typedef struct UserFrags UserFrags;
typedef struct UserChardev UserChardev;

typedef struct UserState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    const SlirpLib *lib;
    NetWake wake;              /* what the pair waits for */
    NetWake input;             /* what the thread waits for: frames */
    int kick;                  /* an eventfd: something else to do */
    NetFrameQueue *from_guest; /* signals input; and wake, of room */
    NetFrameQueue *to_guest;   /* signals wake */
    pthread_t thread;
    struct in_addr dhcp_start; /* a hostfwd's guest, unless it says another; 0:
                                  there is no IPv4 */
    bool ipv6;                 /* there is IPv6 */
    struct in_addr network, mask; /* where a guestfwd can be */
    GPtrArray *chardevs;          /* of UserChardev */

    /* main thread, while pairs are stopped; read by pair owners */
    unsigned hdr_len;

    /* main thread */
    bool running;        /* there is a thread */
    GArray *guest_ports; /* of struct sockaddr_in: where guestfwds are */
    GArray *unix_files;  /* of CharSocketFile: where hostfwds are */
    char *smb_dir;       /* of smbd's files; NULL: none */

    /* any thread, atomic: how many wait for the lock, the thread aside */
    unsigned waiting;

    pthread_mutex_t lock; /* for the rest; held by the thread but in poll(2) */
    pthread_cond_t freed; /* who waited is done */
    Slirp *slirp;
    bool quit;
    GSList *timers; /* of UserTimer */
    GArray *fds;    /* of struct pollfd */
    UserFrags *frags;
} UserState;

/* ---- user-thread.c ---- */

/* The library, loaded when it is first needed; NULL and *errp: it is not there.
 */
const SlirpLib *user_lib(Error **errp);
/* Makes the instance and its queues; nothing runs yet. */
bool user_instance_open(UserState *s, const SlirpConfig *cfg, Error **errp);
/* Starts the thread. */
bool user_thread_start(UserState *s, Error **errp);
/* Ends the thread, if there is one, and all connections. */
void user_instance_close(UserState *s);
/* The thread looks at everything anew, soon. Any thread. */
void user_thread_kick(UserState *s);
/* Between the two the library is the caller's; the thread is then waiting, and
 * never comes before who waits for it. */
void user_lock(UserState *s);
void user_unlock(UserState *s);

/* ---- user-frag.c ---- */

#define USER_FRAME_MAX (65536 + 32) /* more than a guest may send */

UserFrags *user_frags_new(void);
/* NULL is allowed. */
void user_frags_free(UserFrags *frags);
/*
 * Takes a frame of the guest's, @len bytes of USER_FRAME_MAX, at @now (ns). The
 * length of what libslirp is to get, in its place: a fragment of an IPv4
 * datagram becomes the datagram when it was the last to come. 0: nothing.
 */
size_t user_frags_take(UserFrags *frags, uint8_t *frame, size_t len,
                       int64_t now);

/* ---- user-opts.c ---- */

typedef struct UserConfig {
    SlirpConfig slirp; /* strings are the options' */
    struct in_addr smb_server;
    const char **search; /* owned; ends with NULL */
} UserConfig;

/* Reads what is about addresses and names; free with user_config_clear(),
 * whatever the result. */
bool user_config_read(const NetdevUserOptions *opts, UserConfig *config,
                      Error **errp);
void user_config_clear(UserConfig *config);
/* @text, dotted; @option is for the message. */
bool user_parse_ipv4(const char *option, const char *text, struct in_addr *addr,
                     Error **errp);
/* A host of the network: neither its first nor its last address. */
bool user_is_host(struct in_addr addr, struct in_addr network,
                  struct in_addr mask);

/* ---- user-fwd.c ---- */

/* "[tcp|udp]:[ADDR]:PORT-[ADDR]:PORT" or "unix:PATH-[ADDR]:PORT", in force at
 * once. */
bool user_hostfwd_add(UserState *s, const char *rule, Error **errp);
/* What is before its '-'; *@found: there was one. */
bool user_hostfwd_remove(UserState *s, const char *rule, bool *found,
                         Error **errp);
/* Removes the files of those that are left; libslirp has gone. */
void user_hostfwds_close(UserState *s);
/* "[tcp]:ADDR:PORT-cmd:COMMAND" or "...-CHARDEV"; before the thread runs. */
bool user_guestfwd_add(UserState *s, const char *rule, Error **errp)
    MAIN_THREAD;

/* ---- user-chardev.c ---- */

/* Joins a port of the guest's network to the character device that @text
 * describes, as -serial does. */
bool user_chardev_add(UserState *s, const char *text, struct in_addr addr,
                      int port, Error **errp) MAIN_THREAD;
/* The thread's part of the work: gives the guest what has come. Locked. */
void user_chardevs_run(UserState *s);
/* A device has much to take: the guest is to wait. Any thread. */
bool user_chardevs_full(UserState *s);
/* Parts them; there is no thread any more. */
void user_chardevs_close(UserState *s) MAIN_THREAD;

/* ---- user-smb.c ---- */

/* Offers the directory @dir on @server's SMB ports. */
bool user_smb_open(UserState *s, const char *dir, struct in_addr server,
                   Error **errp);
/* Removes its files, if there are any. */
void user_smb_close(UserState *s);

#endif
