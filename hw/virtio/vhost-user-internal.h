/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of vhost-user share.
 *
 *   vhost-user.c       a connection: negotiation, state, its end
 *   vhost-user-wire.c  messages, answers, time limits
 *   vhost-user-channel.c  what the back-end asks of us; its link
 *   vhost-user-mem.c   guest memory as regions
 *   vhost-user-ring.c  VhostOps: rings of a pair
 *   vhost-user-log.c   the log of pages that it writes
 *   vhost-user-shadow*.c  rings of our own in the place of a pair's
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_USER_INTERNAL_H
#define HW_VIRTIO_VHOST_USER_INTERNAL_H

#include "hw/virtio/vhost-internal.h"
#include "hw/virtio/vhost-user.h"
#include "util/event-loop.h"

/* Requests, by their numbers in the protocol. */
typedef enum VhostUserRequest {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SEND_RARP = 19,
    VHOST_USER_NET_SET_MTU = 20,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
} VhostUserRequest;

/* A bit of the device features. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* Bits of the protocol features. */
enum {
    VHOST_USER_PROTOCOL_F_MQ = 0,
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
    VHOST_USER_PROTOCOL_F_RARP = 2,
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
    VHOST_USER_PROTOCOL_F_NET_MTU = 4,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
    VHOST_USER_PROTOCOL_F_CONFIG = 9,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VHOST_USER_PROTOCOL_F_STATUS = 16,
};

/* What each message begins with: @size bytes follow. */
typedef struct VhostUserHeader {
    uint32_t request, flags, size;
} VhostUserHeader;

/* Its flags. */
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_VERSION      0x1u
#define VHOST_USER_REPLY        0x4u
#define VHOST_USER_NEED_REPLY   0x8u

/* ---- payloads, in the host's byte order ---- */

typedef struct VhostUserVringState {
    uint32_t index, num;
} VhostUserVringState;

typedef struct VhostUserVringAddr {
    uint32_t index, flags;
    uint64_t desc, used, avail, log; /* addresses of this process */
} VhostUserVringAddr;

typedef struct VhostUserRegion {
    uint64_t gpa, size;
    uint64_t address; /* in this process */
    uint64_t offset;  /* in the file */
} VhostUserRegion;

#define VHOST_USER_TABLE_MAX 8u /* regions in one message */
/* Regions that we tell of, whatever the process could take. */
#define VHOST_USER_REGIONS_MAX 64u

typedef struct VhostUserTable {
    uint32_t n, padding;
    VhostUserRegion region[VHOST_USER_TABLE_MAX];
} VhostUserTable;

typedef struct VhostUserSlot {
    uint64_t padding;
    VhostUserRegion region;
} VhostUserSlot;

typedef struct VhostUserInflight {
    uint64_t size, offset;
    uint16_t queues, queue_size;
    uint32_t padding;
} VhostUserInflight;

/* ---- guest memory ---- */

typedef struct VhostUserMemory {
    unsigned n;
    VhostUserRegion region[VHOST_USER_REGIONS_MAX];
    int fd[VHOST_USER_REGIONS_MAX]; /* the memory backend's */
} VhostUserMemory;

/* The memory of shadow rings (vhost-user-shadow-mem.c). */
typedef struct VhostUserShadowMemory {
    int fd; /* with host: NULL, there is none yet */
    uint8_t *host;
    unsigned users; /* pairs */
    bool listed;    /* the process is told of it */
} VhostUserShadowMemory;

/* ---- requests of the back-end ---- */

/* No request that is known has a longer payload. */
#define VHOST_USER_CHANNEL_MAX 256u

typedef struct VhostUserChannel {
    int fd; /* -1: there is none */
    FdWatch watch;
    LoopTimer rest; /* there were too many */
    /* the message that is being read, so far */
    uint8_t bytes[sizeof(VhostUserHeader) + VHOST_USER_CHANNEL_MAX];
    size_t len;
} VhostUserChannel;

struct VhostUser {
    /* fixed after creation */
    unsigned pairs;
    struct VhostUserShadow **shadow; /* by pair; NULL: there are none */
    VhostUserFailFunc *fail;
    VhostUserLinkFunc *link; /* may be NULL */
    void *opaque;
    LoopTask fail_task, remind_task;

    /* main thread */
    uint64_t features; /* of the last process */
    uint64_t protocol; /* in use with it */
    uint16_t mtu;      /* 0: none */
    int spare_fd;      /* stands for rings that the driver does not use yet */
    VhostUserInflight inflight;
    int inflight_fd; /* the buffer for what is in flight; -1: none */
    bool used;       /* rings ran since the driver's last reset */
    int64_t bank_ns; /* time that is left to wait for answers */
    int64_t bank_at; /* when that was so */
    uint64_t *log; /* where it marks the pages that it writes; NULL: nowhere */
    int log_fd;    /* the file of that */
    size_t log_bytes;
    uint64_t log_pages;
    bool log_missed; /* it was said that what processes write is not in it */
    VhostUserShadowMemory shadow_memory;

    /* main thread: of this connection */
    int fd;           /* -1: there is none */
    bool negotiated;  /* all questions are answered */
    bool broken;      /* no message is sent any more */
    char *why;        /* that is so */
    uint64_t slots;   /* of memory; 0: a table is sent */
    uint8_t status;   /* as it was told */
    unsigned started; /* pairs whose rings it has */
    /* those rings; NULL: it has it not */
    const VirtQueue *ring[2 * VHOST_USER_MAX_PAIRS];
    bool logging;           /* it was told to mark pages */
    VhostUserMemory memory; /* that it was told of */
    VhostUserChannel channel;
    bool link_down;         /* as its configuration has it */
    LoopTimer config_timer; /* it has changed: is to be read */
    int64_t config_at;      /* it was read last */
};

/* A bit of protocol features is in use. */
static inline bool vhost_user_has(const VhostUser *user, unsigned bit)
{
    return user->protocol & 1ULL << bit;
}

/* ---- vhost-user-wire.c: 0 or -errno; -ENOTCONN without a useful connection,
 * which an error that is not -EREMOTEIO makes it ---- */

/* What is sent: @size bytes at @payload, descriptors that stay ours. */
typedef struct VhostUserSend {
    VhostUserRequest request;
    const void *payload;
    size_t size;
    const int *fds;
    unsigned n_fds;
} VhostUserSend;

/* Time that is left to wait for answers, as of now: brings bank_ns and bank_at
 * up to date. */
int64_t vhost_user_bank(VhostUser *user) MAIN_THREAD;
/* The name of a request, as the protocol has it. */
const char *vhost_user_request_name(VhostUserRequest request);
/* The connection is useless, as the text says; @error is passed back. */
int vhost_user_break(VhostUser *user, int error, const char *fmt, ...)
    MAIN_THREAD G_GNUC_PRINTF(3, 4);
/* Sends what has no answer. */
int vhost_user_send(VhostUser *user, const VhostUserSend *msg) MAIN_THREAD;
/*
 * Reads the answer to @request: @size bytes, no less and no more. With @fd a
 * descriptor may come with it, the caller's from then on; -1: none came.
 */
int vhost_user_receive(VhostUser *user, VhostUserRequest request, void *payload,
                       size_t size, int *fd) MAIN_THREAD;
/* Sends, and where the process acknowledges requests waits for that.
 * -EREMOTEIO: it refuses this one. */
int vhost_user_request(VhostUser *user, const VhostUserSend *msg) MAIN_THREAD;
/* The same where a refusal is as bad as any other error. */
int vhost_user_tell(VhostUser *user, const VhostUserSend *msg) MAIN_THREAD;
int vhost_user_tell_u64(VhostUser *user, VhostUserRequest request,
                        uint64_t value) MAIN_THREAD;
/* Asks for a number. */
int vhost_user_ask_u64(VhostUser *user, VhostUserRequest request,
                       uint64_t *value) MAIN_THREAD;

/* ---- vhost-user-log.c ---- */

/* Is it able to mark the pages that it writes? */
bool vhost_user_can_log(const VhostUser *user) MAIN_THREAD;
/* Tells it where; sets user->logging, which features and the addresses of rings
 * follow. NULL: it is not to. */
int vhost_user_log_set(VhostUser *user, const DirtyLog *log) MAIN_THREAD;
/* Moves what processes marked into @log. */
void vhost_user_log_sync(const VhostUser *user, DirtyLog *log) MAIN_THREAD;
/* Nobody is to mark anything any more. */
void vhost_user_log_free(VhostUser *user) MAIN_THREAD;

/* ---- vhost-user-place.c ---- */

/* The place in a ring that an answer to GET_VRING_BASE stands for. False: the
 * device cannot be there. */
bool vhost_user_place_told(const VirtQueue *vq, uint32_t num, uint16_t *place)
    MAIN_THREAD;
/* Where the process has left its ring @number. False: nobody knows. */
bool vhost_user_place_left(const VhostUser *user, unsigned number,
                           const VirtQueue *vq, uint16_t *place) MAIN_THREAD;

/* ---- vhost-user-channel.c ---- */

void vhost_user_channel_init(VhostUser *user) MAIN_THREAD;
/* The connection is over. */
void vhost_user_channel_stop(VhostUser *user) MAIN_THREAD;
/* Gives the process its end, if it knows what to do with it. */
int vhost_user_channel_give(VhostUser *user) MAIN_THREAD;
/* Reads a piece of a request, and answers if that was the last one. False:
 * there is nothing to be read now. */
bool vhost_user_channel_serve(VhostUser *user) MAIN_THREAD;
/* Asks for the state of the link, if the process has any. */
int vhost_user_ask_link(VhostUser *user) MAIN_THREAD;

/* ---- vhost-user-mem.c ---- */

/* @map as regions: what lies side by side in guest, file and process is one.
 * False and *errp: a part that the guest may write cannot be shared, or there
 * are too many. Any thread. */
bool vhost_user_memory_fill(VhostUserMemory *memory, const RamMap *map,
                            Error **errp);
/* Tells of memory as it is now, by table or slots. @anew: even if the process
 * was told so before. */
int vhost_user_memory_tell(VhostUser *user, bool anew) MAIN_THREAD;
/* Has the process forget what it was told, before it is reset: it need not
 * know then whether a reset does that. */
int vhost_user_memory_forget(VhostUser *user) MAIN_THREAD;

/* ---- vhost-user-ring.c ---- */

/* On the main loop, after rings were taken back: reminds the process of those
 * that it has. DPDK's forget the other ones when they give back some. */
void vhost_user_remind(void *opaque);

/* ---- vhost-user-inflight.c ---- */

/* Makes @ring's part of the buffer for what is in flight, if there is one, new:
 * nothing is, and the ring goes on where @vq says. */
void vhost_user_inflight_renew(VhostUser *user, unsigned ring,
                               const VirtQueue *vq) MAIN_THREAD;

/* The same of a packed ring's if it says another place. */
void vhost_user_inflight_check(VhostUser *user, unsigned ring,
                               const VirtQueue *vq) MAIN_THREAD;

/* ---- vhost-user-shadow*.c ---- */

/* The end of its addresses for the process, whether it is there or not. */
uint64_t vhost_user_shadow_end(const VhostUser *user) MAIN_THREAD;
/* Adds the memory of shadow rings, while the process is to be told of it. */
void vhost_user_shadow_region(const VhostUser *user, VhostUserMemory *memory)
    MAIN_THREAD;
/* No pair has rings of any kind. */
void vhost_user_shadows_free(VhostUser *user) MAIN_THREAD;

#endif
