/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the NICs do: two answers of query-net-queues, one after the other, make
 * numbers per second. Nothing here talks to anybody.
 *
 * Threads: one thread has a model.
 */
#ifndef MQ_TOP_MODEL_H
#define MQ_TOP_MODEL_H

#include "util/osdep.h"

#include <json-c/json.h>

#include "util/error.h"

/* Pairs beyond so many are counted and left out. */
#define MQ_MAX_PAIRS 16384u

/* Numbers of a pair, and of a NIC as their sum. "Received" is towards the
 * guest. NAN: not known; a vhost worker's packets are not. */
typedef enum MqMetric {
    MQ_RX_PACKETS, /* per second */
    MQ_RX_BITS,
    MQ_TX_PACKETS,
    MQ_TX_BITS,
    MQ_DROPS,              /* per second, of both directions */
    MQ_CPU,                /* percent of a CPU that the thread uses */
    MQ_KICKS_PER_PACKET,   /* notifications by the driver */
    MQ_SIGNALS_PER_PACKET, /* interrupts */
    MQ_RX_RING,            /* percent of the ring that has buffers */
    MQ_TX_RING,            /* percent of the ring that waits to be sent */
    MQ_MOVES,              /* changes of the owner so far */
    MQ_N_METRICS,
} MqMetric;

typedef enum MqOwner {
    MQ_OWNER_MAIN, /* stopped */
    MQ_OWNER_IOTHREAD,
    MQ_OWNER_VHOST,
    MQ_OWNER_OTHER, /* a word that is not known here */
} MqOwner;

typedef struct MqPair {
    unsigned number;
    MqOwner owner;
    char *iothread;    /* NULL: none */
    int64_t thread_id; /* of the host, -1: not known */
    bool attached;     /* the host may steer packets to it */
    bool active;       /* the driver uses it */
    bool moving;       /* goes to vhost-net as soon as it may */
    bool stalled;
    json_object *stats;  /* counters, by their names */
    json_object *before; /* a sample earlier, NULL: there was none */
    double metric[MQ_N_METRICS];
} MqPair;

typedef enum MqLink { MQ_LINK_UNKNOWN, MQ_LINK_DOWN, MQ_LINK_UP } MqLink;

typedef struct MqNic {
    char *name;
    char *qom_path;
    char *netdev; /* NULL: none at the moment */
    MqLink link;
    GPtrArray *pairs; /* MqPair, by number */
    double metric[MQ_N_METRICS];
} MqNic;

typedef struct MqModel {
    GPtrArray *nics;      /* MqNic, as the server lists them */
    GPtrArray *iothreads; /* names, char * */
    int64_t sampled;      /* microseconds, 0: never */
    double elapsed;       /* seconds between the last two samples, 0: one */
    unsigned left_out;    /* pairs beyond MQ_MAX_PAIRS */
} MqModel;

MqModel *mq_model_new(void);
void mq_model_free(MqModel *m);

/*
 * Takes an answer of query-net-queues that came at @now (microseconds, rising).
 * NICs that are no longer in it go, new ones come without numbers per second.
 * Counters that fell began anew in between. False with @errp set, and nothing
 * changed, when @queues is no list.
 */
bool mq_model_update(MqModel *m, json_object *queues, int64_t now,
                     Error **errp);

/* Takes an answer of query-iothreads. */
void mq_model_set_iothreads(MqModel *m, json_object *list);

/* The NIC of that name, or NULL. */
MqNic *mq_model_find(const MqModel *m, const char *nic);

/* "vhost", "iothread"...; "stopped" for MQ_OWNER_MAIN. */
const char *mq_owner_name(MqOwner owner);

/* The word for the metric in JSON. */
const char *mq_metric_name(MqMetric metric);

/* True when the counter of that name only ever counts up, so that it has a
 * rate; false of what tells how things are. */
bool mq_counts_up(const char *name);

/* A counter's change per second of the last interval. NAN when there is none,
 * or when the counter stands still because a vhost worker has the pair. */
double mq_pair_rate(const MqModel *m, const MqPair *pair, const char *counter);

#endif
