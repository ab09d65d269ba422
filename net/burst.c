/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many frames at once: by the back-end's own way where it has one (and, if that
 * needs it, the thread an io_uring), else a system call each. One frame alone
 * is a system call in any case: a ring costs more.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include "net/net.h"

void net_port_open(NetPort *port, NetSubqueue *sq, IoRing *ring)
{
    *port = (NetPort){ .sq = sq,
                       .ring = ring,
                       .file = io_ring_add_file(ring, sq->fd) };
}

void net_port_close(NetPort *port)
{
    io_ring_remove_file(port->ring, &port->file);
    port->sq = NULL;
    port->ring = NULL;
}

void net_port_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    const NetClientInfo *io = port->sq->io;
    bool more = true;

    if (n > 1 && io->recv_burst && io->recv_burst(port, frames, n)) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        frames[i].result =
            more ? io->recv(port->sq, frames[i].iov, frames[i].n_iov) : 0;
        more = frames[i].result > 0;
    }
}

void net_port_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    const NetClientInfo *io = port->sq->io;
    bool more = true;

    if (n > 1 && io->send_burst && io->send_burst(port, frames, n)) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        frames[i].result =
            more ? io->send(port->sq, frames[i].iov, frames[i].n_iov) : 0;
        more = more && frames[i].result != 0;
    }
}
