/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hub has a loop of its own: it alone knows the ports, takes what comes in by
 * each and gives it to all others. The pair of a NIC at a port never meets the
 * hub but in two queues of frames, one each way.
 *
 * Threads: marked; "hub's loop" runs in the hub's own thread.
 */
#ifndef NET_HUB_INTERNAL_H
#define NET_HUB_INTERNAL_H

#include "net/bare.h"
#include "net/hub.h"
#include "net/wake.h"
#include "system/iothread.h"

#define HUB_FRAME_MAX   65550u /* an IP packet of 64 KiB and its header */
#define HUB_BURST       64u    /* frames of one port in a turn */
#define HUB_QUEUE       1000u  /* frames, as in a tap */
#define HUB_QUEUE_BYTES (4u << 20)

typedef struct NetHub {
    /* fixed after creation */
    int32_t id;
    IOThread *thread;
    EventLoop *loop;

    /* main thread */
    GPtrArray *ports; /* of HubPort, all */

    /* hub's loop */
    GPtrArray *joined; /* of HubPort, those that frames pass */
    uint8_t frame[VNET_HDR_V1 + HUB_FRAME_MAX];
} NetHub;

/* A netdev behind a port, and what it had no room for. */
typedef struct HubNetdev {
    /* hub's loop */
    NetSubqueue *sq; /* NULL: none, or not now */
    FdWatch watch, room_watch;
    LoopTask task;   /* look for frames */
    uint8_t *held;   /* a frame with its header, HUB_FRAME_MAX; first in turn */
    size_t held_len; /* 0: none */
    NetFrameQueue *waiting; /* those behind it; NULL: the port is a NIC's */

    /* any thread */
    LoopTask gone_task; /* the device behind it is gone; the main loop's */
} HubNetdev;

typedef struct HubPort {
    NetClientState nc;

    /* fixed after creation */
    NetHub *hub;
    char *netdev;            /* id of the netdev to join; NULL: for a NIC */
    NetWake wake, from_wake; /* what a NIC's pair and the hub wait for */
    NetFrameQueue *to_nic, *from_nic;

    /* hub's loop */
    FdWatch from_watch;
    HubNetdev behind;

    /* any thread, atomic */
    bool up;       /* its link */
    bool attended; /* a NIC's driver takes frames, or did */
    uint64_t dropped;
} HubPort;

/* The hub @id, with one user more: @name. */
NetHub *net_hub_get(int32_t id, const char *name, Error **errp) MAIN_THREAD;
/* The last one ends the hub. */
void net_hub_put(NetHub *hub, const char *name) MAIN_THREAD;

/* Frames pass @port from now on; with @sq: of and to that netdev. */
void hub_port_join(HubPort *port, NetSubqueue *sq) MAIN_THREAD;
/* Not any more: on return the hub uses nothing of it. */
void hub_port_leave(HubPort *port) MAIN_THREAD;
/* For a port at a netdev: on return the hub does not use that. What is to go
 * out by it waits until hub_port_resume(). */
void hub_port_pause(HubPort *port) MAIN_THREAD;
void hub_port_resume(HubPort *port, NetSubqueue *sq) MAIN_THREAD;

#endif
