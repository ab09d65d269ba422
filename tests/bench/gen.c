/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/if_packet.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gen.h"

#define BATCH          64
#define SUPER_BATCH    4
#define PLAIN_SLOTS    4
#define SOCKET_BUFFER  (256 << 20)
#define LEARN_BATCH    32
#define LEARN_WAIT_NS  (500 * NS_PER_MS)
#define STALL_NS       (50 * NS_PER_MS)
#define PLAIN_ROOM     (1 << 20)
#define CPU_TIME_EVERY 64 /* batches */

struct Message {
    Flow *flow;
    int frames;
};

static bool load_super(const Load *l)
{
    return l->segments > 1 && !l->mss;
}

static int load_header(const Load *l)
{
    return load_super(l) || l->mss ? PACKET_VNET : 0;
}

int load_open(const Load *l, int ifindex)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int one = 1, size = SOCKET_BUFFER;
    /* The queueing discipline's path cuts super-packets; plain frames do
     * without it. */
    int choice = load_header(l) ? PACKET_VNET_HDR : PACKET_QDISC_BYPASS;
    struct sockaddr_ll addr = { .sll_family = AF_PACKET,
                                .sll_ifindex = ifindex };

    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
        setsockopt(fd, SOL_PACKET, choice, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        die("packet socket: %m");
    }
    return fd;
}

/* ---- learning which queue a flow arrives on ---- */

void load_send_one(const Load *l, int fd, Flow *f)
{
    int header = load_header(l), stamp = STAMP_OFFSET(l->mss);
    uint8_t *buf = alloc(1, l->len + header);
    VnetHeader h;

    if (l->mss) {
        frame_tcp(buf + header, l->len, f->id, true, l->mss, &h);
        memcpy(buf, &h, PACKET_VNET);
    } else {
        frame_udp(buf + header, l->len, f->id, true);
    }
    frame_set_seq(buf + header + stamp, f->seq, f->id);
    if (send(fd, buf, l->len + header, 0) != l->len + header) {
        die("cannot send a frame: %m");
    }
    counter_add(&f->seq, 1);
    free(buf);
}

void load_learn(const Load *l, int ifindex, uint64_t (*poll)(void *opaque),
                void *opaque)
{
    Load one = *l;
    uint64_t want = poll(opaque), start;
    int fd;

    one.segments = 1;
    one.len = l->mss ? TCP_STAMP + FRAME_MIN : l->len;
    fd = load_open(&one, ifindex);
    for (int i = 0; i < RX_FLOWS; i++) {
        load_send_one(&one, fd, &rx_flows[i]);
        want++;
        if ((i + 1) % LEARN_BATCH) {
            continue;
        }
        start = now_ns();
        while (poll(opaque) < want && now_ns() - start < LEARN_WAIT_NS) {
            sleep_ns(20000);
        }
    }
    close(fd);
}

/* ---- the thread ---- */

static uint8_t *flow_slot(Generator *g, int flow, int slot)
{
    return g->buffers + (size_t)g->stride * (flow * g->slots + slot);
}

static void prepare_slot(Generator *g, uint8_t *buf, uint16_t flow)
{
    const Load *l = &g->load;
    VnetHeader h;

    if (l->mss) {
        frame_tcp(buf + PACKET_VNET, l->len, flow, true, l->mss, &h);
        memcpy(buf, &h, PACKET_VNET);
    } else if (load_super(l)) {
        frame_udp_gso(buf, l->len, l->segments, flow);
    } else {
        frame_udp(buf, l->len, flow, true);
    }
}

static void generator_prepare(Generator *g)
{
    const Load *l = &g->load;
    int payload = l->len - UDP_STAMP, header = load_header(l);
    int bytes = load_super(l) ? UDP_STAMP + l->segments * payload : l->len;

    g->stride = (bytes + header + 63) & ~63;
    g->slots = header ? 1 : PLAIN_SLOTS;
    g->buffers = alloc((size_t)g->flow_count * g->slots, g->stride);
    for (int f = 0; f < g->flow_count; f++) {
        for (int s = 0; s < g->slots; s++) {
            prepare_slot(g, flow_slot(g, f, s), g->flows[f]->id);
        }
    }
    g->used_slots = alloc(g->flow_count, sizeof(int));
    g->next_flow = alloc(g->queue_count, sizeof(int));
    g->messages = alloc(BATCH, sizeof(*g->messages));
    g->iov = alloc(BATCH, sizeof(*g->iov));
    g->batch = alloc(BATCH, sizeof(*g->batch));
    for (int i = 0; i < BATCH; i++) {
        g->messages[i].msg_hdr.msg_iov = &g->iov[i];
        g->messages[i].msg_hdr.msg_iovlen = 1;
    }
}

/* How many more frames of a flow may be on their way. */
static int flow_room(const Generator *g, const Flow *f)
{
    uint64_t seen = counter_get(&f->seen);

    if (!g->load.window) {
        return PLAIN_ROOM;
    }
    return g->load.window - (int)(f->seq - (seen > f->base ? seen : f->base));
}

/* Puts one message of flow number @i into the batch. */
static void batch_add(Generator *g, int i)
{
    const Load *l = &g->load;
    Flow *f = g->flows[i];
    uint8_t *buf = flow_slot(g, i, g->used_slots[i]++);
    uint8_t *stamp = buf + load_header(l) + STAMP_OFFSET(l->mss);
    int frames = load_super(l) ? l->segments : 1;

    for (int s = 0; s < frames; s++) {
        frame_set_seq(stamp + s * (l->len - UDP_STAMP), f->seq + s, f->id);
    }
    counter_add(&f->seq, frames);
    g->iov[g->count].iov_base = buf;
    g->iov[g->count].iov_len = load_super(l)
                                   ? frame_udp_gso_end(buf, l->len, frames)
                                   : l->len + load_header(l);
    g->batch[g->count++] = (Message){ f, frames };
}

/* Adds up to a burst of messages for queue @q, flows in turn. */
static bool batch_add_queue(Generator *g, int q, int most)
{
    int first = g->flow_start[q], flows = g->flow_start[q + 1] - first;
    int step = load_super(&g->load) ? g->load.segments : 1;
    int burst = load_header(&g->load) ? 1 : g->load.burst, added = 0;

    for (int tried = 0; tried < flows && g->count < most && added < burst;
         tried++) {
        int i = first + g->next_flow[q];
        while (flow_room(g, g->flows[i]) >= step &&
               g->used_slots[i] < g->slots && g->count < most &&
               added < burst) {
            batch_add(g, i);
            added++;
        }
        g->next_flow[q] = (g->next_flow[q] + 1) % flows;
    }
    return added > 0;
}

static void batch_fill(Generator *g)
{
    int most = load_header(&g->load) ? SUPER_BATCH : BATCH, idle = 0;

    g->count = 0;
    memset(g->used_slots, 0, g->flow_count * sizeof(int));
    while (g->count < most && idle < g->queue_count) {
        idle = batch_add_queue(g, g->queue, most) ? 0 : idle + 1;
        g->queue = (g->queue + 1) % g->queue_count;
    }
}

/* All windows are closed. Frames that were lost would keep them so: after a
 * while without progress they open again. */
static void generator_wait(Generator *g)
{
    uint64_t now = now_ns(), seen = 0;

    for (int i = 0; i < g->flow_count; i++) {
        seen += counter_get(&g->flows[i]->seen);
    }
    if (seen != g->progress) {
        g->progress = seen;
        g->progress_ns = now;
    } else if (now - g->progress_ns > STALL_NS) {
        for (int i = 0; i < g->flow_count; i++) {
            g->flows[i]->base = g->flows[i]->seq;
        }
        counter_add(&g->stalls, 1);
        g->progress_ns = now;
    }
    counter_add(&g->waits, 1);
    counter_set(&g->cpu_ns, thread_cpu_ns());
    if (g->load.idle_us > 0) {
        sleep_ns(g->load.idle_us * UINT64_C(1000));
    } else if (g->load.idle_us == 0) {
        sched_yield();
    }
}

static void batch_send(Generator *g)
{
    int done = 0;

    while (done < g->count && !flag_get(&g->stop)) {
        int r = sendmmsg(g->fd, g->messages + done, g->count - done, 0);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0 && errno != ENOBUFS && errno != EAGAIN) {
            die("generator: sendmmsg: %m");
        }
        if (r < 0) { /* the tap's ring is full: dropped and counted there */
            counter_add(&g->full, 1);
            r = 1;
        }
        for (int i = 0; i < r; i++) {
            counter_add(&g->sent, g->batch[done++].frames);
        }
    }
    while (g->count > done) { /* we were stopped before these */
        g->count--;
        counter_add(&g->batch[g->count].flow->seq,
                    -(uint64_t)g->batch[g->count].frames);
    }
}

static void *generator_main(void *opaque)
{
    Generator *g = opaque;

    pin_thread(g->load.cpus);
    generator_prepare(g);
    g->progress_ns = now_ns();
    for (unsigned int turn = 0; !flag_get(&g->stop); turn++) {
        batch_fill(g);
        if (g->count) {
            batch_send(g);
        } else {
            generator_wait(g);
        }
        if (turn % CPU_TIME_EVERY == 0) {
            counter_set(&g->cpu_ns, thread_cpu_ns());
        }
    }
    counter_set(&g->cpu_ns, thread_cpu_ns());
    return NULL;
}

/* ---- the main thread ---- */

static int take_flows(Generator *g, int queue)
{
    int taken = 0;

    for (int i = 0; i < RX_FLOWS && taken < g->load.flows; i++) {
        if (rx_flows[i].queue == queue) {
            g->flows[g->flow_count++] = &rx_flows[i];
            taken++;
        }
    }
    g->flow_start[++g->queue_count] = g->flow_count;
    return taken;
}

int generators_new(Generator *g, const Load *l, int ifindex, int queues)
{
    int count = l->threads < queues ? l->threads : queues;

    for (int k = 0; k < count; k++) {
        g[k] = (Generator){ .load = *l };
        g[k].flows = alloc((size_t)queues * l->flows, sizeof(Flow *));
        g[k].flow_start = alloc(queues + 1, sizeof(int));
        g[k].fd = load_open(l, ifindex);
    }
    for (int q = 0; q < queues; q++) {
        if (!take_flows(&g[q % count], q)) {
            fprintf(stderr, "no flow reaches receive queue %d\n", q);
            return 0;
        }
    }
    return count;
}

void generator_start(Generator *g)
{
    if (pthread_create(&g->thread, NULL, generator_main, g)) {
        die("cannot start a generator");
    }
}

void generator_join(Generator *g)
{
    flag_set(&g->stop, true);
    pthread_join(g->thread, NULL);
}

void generator_free(Generator *g)
{
    close(g->fd);
    free(g->flows);
    free(g->flow_start);
    free(g->buffers);
    free(g->used_slots);
    free(g->next_flow);
    free(g->messages);
    free(g->iov);
    free(g->batch);
}
