/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One emulator that is watched: asks it again and again, and passes on what
 * the user wants changed.
 *
 * Threads: one thread has a session.
 */
#ifndef MQ_TOP_SESSION_H
#define MQ_TOP_SESSION_H

#include "contrib/qemu-mq-top/log.h"
#include "contrib/qemu-mq-top/model.h"
#include "contrib/qemu-mq-top/qmp-client.h"

typedef struct MqSession {
    char *address;
    int64_t interval; /* microseconds between samples */
    QmpClient *client;
    MqModel *model;
    MqLog *log;
    char *vm_name;        /* -name, NULL: none */
    GHashTable *commands; /* what the server has; NULL: not known yet */
    bool asked;           /* query-commands is under way or answered */
    unsigned answers_due; /* of the sample under way */
    int64_t next;         /* when the next sample begins, microseconds */
    uint64_t samples;     /* so far, since the session was made */
    Error *fatal;         /* it makes no sense to go on */
    char *failed;         /* why the last sample failed, NULL: it did not */
    GPtrArray *actions;   /* under way */
} MqSession;

/* @address as in qmp_client_open(); @interval in microseconds. Connects to
 * nobody. */
MqSession *mq_session_new(const char *address, int64_t interval);
void mq_session_free(MqSession *s);

/* Begins to connect, after it closed a connection that there was. */
bool mq_session_open(MqSession *s, Error **errp);

/* Closes the connection; what was last seen stays in the model. */
void mq_session_close(MqSession *s);

/* A turn of a session that is open. False with @errp set when it is over. */
bool mq_session_run(MqSession *s, int64_t now, Error **errp);

/* Milliseconds until it has something to do without being told, at most
 * @limit. */
int mq_session_wait_ms(const MqSession *s, int64_t now, int limit);

/* Changes the interval and begins anew with it. */
void mq_session_set_interval(MqSession *s, int64_t interval);

/*
 * Each of these asks for a change; the result comes to the log. @pair -1 means
 * all pairs that the NIC has; @iothread NULL means vhost-net.
 */
void mq_session_move(MqSession *s, const char *nic, int pair,
                     const char *iothread);
void mq_session_set_queues(MqSession *s, const char *netdev, unsigned queues);
void mq_session_set_link(MqSession *s, const char *name, bool up);

#endif
