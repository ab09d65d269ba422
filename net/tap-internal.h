/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the tap back-end share.
 *
 * Threads: under the machine lock, except what tap-io.c has, which belongs
 * to the owner of the pair.
 */
#ifndef NET_TAP_INTERNAL_H
#define NET_TAP_INTERNAL_H

#include <net/if.h>

#include "net/bare.h"
#include "net/clients.h"

typedef struct TapSteering TapSteering;

typedef struct TapState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    char ifname[IFNAMSIZ];
    bool multi_queue;    /* IFF_MULTI_QUEUE, whatever the number of queues */
    bool sndbuf_limited; /* a full send buffer makes writers wait */
    bool opened;         /* by us, by its name; else its queues were given */

    /* main thread, while pairs are stopped; read by pair owners */
    unsigned hdr_len;

    /* main thread */
    char *downscript;      /* NULL: none, or run already */
    TapSteering *steering; /* NULL: frames go where the kernel puts them */
} TapState;

/* ---- tap-opts.c: what options say, before anything is opened ---- */

/* Descriptors on the way to a netdev. */
typedef struct TapQueues {
    unsigned n;
    int fd[NET_MAX_QUEUES];
    int vhost_fd[NET_MAX_QUEUES]; /* -1: none */
    bool own_fds;       /* opened here: closed when the netdev does not come */
    bool own_vhost_fds; /* likewise */
    /* likewise, those that are duplicates */
    bool fd_dup[NET_MAX_QUEUES], vhost_fd_dup[NET_MAX_QUEUES];
    /* came detached, and detached they are again when it does not */
    bool fd_detached[NET_MAX_QUEUES];
} TapQueues;

/* Refuses options that do not go together and sets queues->n. */
bool tap_check_options(const NetdevTapOptions *opts, TapQueues *queues,
                       Error **errp);
/* How many files are in @list, separated by colons. */
unsigned tap_list_length(const char *list);
/* True when the options ask for vhost-net. */
bool tap_wants_vhost(const NetdevTapOptions *opts);
/*
 * Parses @list, open files separated by colons, by number, by the name that
 * getfd gave, or as "/dev/fdset/N", into fds[0..n-1]. @option is its name for
 * errors. No file may be there twice, nor be another netdev's. Names stay until
 * tap_fds_taken(). Of a file that is in an fd set fds[i] is a duplicate, the
 * caller's, and dup[i] true, which otherwise is false. On false there is none.
 */
bool tap_parse_fds(const char *list, const char *option, int *fds, bool *dup,
                   unsigned n, Error **errp) MAIN_THREAD;
/* The files of @list (NULL: none) are a netdev's now: forgets their names. */
void tap_fds_taken(const char *list) MAIN_THREAD;

/* ---- tap-linux.c: ioctls, see linux/if_tun.h and linux/vhost.h ---- */

typedef struct TapIf {
    char name[IFNAMSIZ]; /* in: "" lets the kernel choose; out: the name */
    bool multi_queue;
    bool vnet_hdr;
    bool detached; /* out: this queue gets no frames */
} TapIf;

/* True when the kernel's taps have IFF_VNET_HDR. */
bool tap_kernel_has_vnet_hdr(void);
/* Opens one queue of @tap, made if it is not there. -1 on failure. */
int tap_open(TapIf *tap, Error **errp);
/* What @fd is; false with the reason when it is no tap. */
bool tap_inspect(int fd, TapIf *tap, Error **errp);
bool tap_set_sndbuf(int fd, int bytes);
/* True unless the kernel says that the send buffer is unlimited. */
bool tap_sndbuf_limited(int fd);
bool tap_set_hdr_len(int fd, unsigned len);
bool tap_set_queue(int fd, bool attach);
/* A queue's send buffer was limited like those of @fd's tap before it came. */
void tap_copy_sndbuf(int fd);
/* The most frames that wait in one queue of the interface. */
unsigned tap_queue_frames(const char *ifname);
/* Both are queues of one interface. */
bool tap_same_interface(int a, int b);
/* Tells the kernel which offloads the receiver takes, as far as it knows them:
 * @caps says which of the rarer ones. */
bool tap_load_offloads(int fd, const NetOffloads *offloads,
                       const NetCaps *caps);
/* Sets caps->ufo and uso by trying. Leaves all offloads off. */
void tap_probe_offloads(int fd, NetCaps *caps);
/* Opens /dev/vhost-net; -1 on failure. */
int vhost_net_open(Error **errp);
/* False with the reason when @fd is not an open vhost device. */
bool vhost_fd_check(int fd, const char *option, Error **errp);

/* ---- tap-script.c ---- */

#define TAP_DEFAULT_SCRIPT     "/etc/qemu-ifup"
#define TAP_DEFAULT_DOWNSCRIPT "/etc/qemu-ifdown"

/* A started program and its read end. */
typedef struct TapChild {
    pid_t pid;
    int stderr_fd; /* what it says on stderr; -1: goes to ours */
} TapChild;

/*
 * Starts argv[0] with no open file but stdio and @sock (-1: none), which it
 * sees as fd 3. With @capture its stderr is kept for child->stderr_fd.
 */
bool tap_child_start(TapChild *child, char *const argv[], int sock,
                     bool capture, Error **errp);
/*
 * The next four give the machine lock to others while they wait: vCPUs go on,
 * and may change any device meanwhile.
 */

/* Waits for the end at most until @end_ns, of clock_now_ns(); tap_child_wait()
 * then does not wait. False: it goes on. */
bool tap_child_ends_by(const TapChild *child, int64_t end_ns) MAIN_THREAD;
/* Waits until @fd is readable, or will not be any more, as long as that takes;
 * a warning names @what when it takes long. */
void tap_child_await(int fd, const char *what) MAIN_THREAD;
/*
 * Waits for the end, likewise; false with its exit status, and with the first
 * line it wrote on a captured stderr, when it failed. @what names it.
 */
bool tap_child_wait(TapChild *child, const char *what, Error **errp)
    MAIN_THREAD;

/* Runs `@script @ifname`. */
bool tap_run_script(const char *script, const char *ifname, Error **errp)
    MAIN_THREAD;

/* ---- tap-io.c ---- */

ssize_t tap_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n);
ssize_t tap_send(NetSubqueue *sq, const struct iovec *iov, unsigned n);
bool tap_recv_burst(const NetPort *port, IoFrame *frames, unsigned n);
bool tap_send_burst(const NetPort *port, IoFrame *frames, unsigned n);

/* ---- tap-ebpf.c: as NetClientInfo says ---- */

bool tap_steering_open(NetClientState *nc, const int *fds, Error **errp)
    MAIN_THREAD;
bool tap_steer(NetClientState *nc, const RssConfig *config, Error **errp)
    MAIN_THREAD;
void tap_steering_close(NetClientState *nc) MAIN_THREAD;

/* As NetClientInfo says. */
bool tap_funnel(NetClientState *nc, bool on, Error **errp) MAIN_THREAD;

/* ---- tap-queues.c ---- */

/*
 * Takes @list (see tap_parse_fds()) as @queues->n queues of one tap, *@tap,
 * opened with or without virtio-net headers as @vnet_hdr says; all are attached
 * then. On false the caller gives up what is in @queues.
 */
bool tap_take_fds(const char *list, const char *option, bool vnet_hdr,
                  TapIf *tap, TapQueues *queues, Error **errp) MAIN_THREAD;
/* @queues->n vhost devices: those of @list, or, NULL, opened here. */
bool tap_take_vhost_fds(const char *list, const char *option, TapQueues *queues,
                        Error **errp) MAIN_THREAD;
/* No file is in @queues. */
void tap_queues_init(TapQueues *queues);
/* They are not used after all: closes what was opened for them, and leaves the
 * others as they came. */
void tap_give_up(TapQueues *queues);
/* Non-blocking and not inherited, as all our files are. */
bool tap_prepare_queues(const TapQueues *queues, Error **errp);
/*
 * Closes the queues @first..@end-1, which nobody uses. They are detached before
 * that: whoever else has one open does not keep frames going to it, and can
 * pass it again.
 */
void tap_close_queues(TapState *tap, unsigned first, unsigned end) MAIN_THREAD;
/* As NetClientInfo says. */
bool tap_set_queues(NetClientState *nc, const NetQueuesChange *change,
                    Error **errp) MAIN_THREAD;

/* ---- tap.c ---- */

/* The fd that stands for the whole interface: one whose queue is attached. */
int tap_device_fd(const TapState *tap);

/* How a netdev is set up besides its queues. */
typedef struct TapSetup {
    const char *id;
    NetClientDriver type; /* tap or bridge */
    bool vhost, vhost_force;
    uint32_t vhost_poll_us;
    int sndbuf;             /* bytes */
    bool sndbuf_given;      /* then a kernel that refuses it is an error */
    const char *script;     /* NULL: none */
    const char *downscript; /* NULL: none */
    bool opened;            /* the tap, by its name */
    const char *origin;     /* for `info network`, e.g. "helper=..." */
} TapSetup;

/*
 * Makes and registers the netdev of @queues, whose fds are all of @tap. On true
 * the fds belong to it; on false all is as before.
 */
bool tap_create(const TapSetup *setup, const TapIf *tap,
                const TapQueues *queues, Error **errp) MAIN_THREAD;

#endif
