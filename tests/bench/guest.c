/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "mqbench.h"

#define TX_SLOT      2048
#define RX_BUFFER    1536
#define RTSO_BUFFER  4096
#define WHOLE_BUFFER (65536 + 64) /* without mergeable buffers */
#define TSO_SLOTS    96           /* at most: guest memory */
#define TABLE_DESCS  32           /* in an indirect table */
#define CPU_EVERY    64           /* turns */

/* ---- transmit ---- */

static uint64_t slot_addr(const TxQueue *t, int slot)
{
    return t->ring->buffers + (uint64_t)slot * t->ring->stride;
}

static uint64_t slot_table(const TxQueue *t, int slot)
{
    return t->tables + (uint64_t)slot * TABLE_DESCS * sizeof(struct vring_desc);
}

static void tx_prepare_slot(Guest *g, TxQueue *t, int slot)
{
    uint8_t *p = guest_ptr(&g->dev, slot_addr(t, slot));
    int flow = t->ring->index / 2 * TX_FLOWS_PER_PAIR + slot % opt.tx_flows;
    VnetHeader h;

    if (g->mode == MODE_TSO) {
        frame_tcp(p + VNET_HEADER, t->len, flow, false, opt.mss, &h);
        memcpy(p, &h, sizeof(h));
    } else {
        frame_udp(p + VNET_HEADER, t->len, flow, false);
    }
}

static void tx_init(Guest *g, int pair)
{
    bool tso = g->mode == MODE_TSO;
    TxQueue *t = &g->tx[pair];
    Vring *r = &g->dev.ring[2 * pair + 1];

    t->ring = r;
    t->len = tso ? opt.tso_len : opt.len;
    t->stamp = VNET_HEADER + STAMP_OFFSET(tso);
    t->indirect = tso && g->dev.indirect;
    t->slot_descs = 1;
    if (tso && !t->indirect) {
        t->slot_descs += (t->len - TCP_STAMP + opt.fragment - 1) / opt.fragment;
    }
    t->slot_count = r->size / t->slot_descs;
    r->stride = TX_SLOT;
    if (tso) {
        t->slot_count = t->slot_count < TSO_SLOTS ? t->slot_count : TSO_SLOTS;
        r->stride = (t->len + VNET_HEADER + 4095) & ~4095;
    }
    r->buffers =
        guest_alloc(&g->dev, (uint64_t)r->stride * t->slot_count, 4096);
    if (t->indirect) {
        t->tables = guest_alloc(&g->dev, slot_table(t, t->slot_count), 4096);
    }
    t->free = alloc(t->slot_count, sizeof(*t->free));
    for (int slot = t->slot_count - 1; slot >= 0; slot--) {
        t->free[t->free_count++] = slot;
        tx_prepare_slot(g, t, slot);
    }
}

/* Descriptors of @len bytes at @addr: headers, then fragments. */
static int tx_describe(struct vring_desc *table, int first, uint64_t addr,
                       int len)
{
    int count = 0, part = VNET_HEADER + TCP_STAMP;

    for (int done = 0; done < len; done += part, part = opt.fragment) {
        part = part < len - done ? part : len - done;
        table[first + count] = (struct vring_desc){
            .addr = addr + done,
            .len = part,
            .flags = done + part < len ? VRING_DESC_F_NEXT : 0,
            .next = first + count + 1,
        };
        count++;
    }
    return count;
}

static void tx_add(Guest *g, TxQueue *t, int slot, int len)
{
    Vring *r = t->ring;
    int head = slot * t->slot_descs;
    uint64_t addr = slot_addr(t, slot), table;
    uint8_t *p = guest_ptr(&g->dev, addr);
    uint64_t *seq = &t->seq[slot % opt.tx_flows];

    frame_set_seq(p + t->stamp, *seq,
                  r->index / 2 * TX_FLOWS_PER_PAIR + slot % opt.tx_flows);
    ++*seq;
    if (t->indirect) {
        table = slot_table(t, slot);
        r->desc[head] = (struct vring_desc){
            .addr = table,
            .len = 16 * tx_describe(guest_ptr(&g->dev, table), 0, addr,
                                    len + VNET_HEADER),
            .flags = VRING_DESC_F_INDIRECT,
        };
    } else if (t->slot_descs > 1) {
        tx_describe(r->desc, head, addr, len + VNET_HEADER);
    } else {
        r->desc[head] =
            (struct vring_desc){ .addr = addr, .len = len + VNET_HEADER };
    }
    r->busy[head] = 1;
    r->avail->ring[r->next_avail++ & (r->size - 1)] = head;
    counter_add(&t->submitted, 1);
}

void tx_put(Guest *g, TxQueue *t)
{
    tx_add(g, t, t->free[--t->free_count], t->len);
}

void tx_put_datagram(Guest *g, TxQueue *t, int len)
{
    int slot = t->free[--t->free_count];
    int flow = t->ring->index / 2 * TX_FLOWS_PER_PAIR + slot % opt.tx_flows;
    uint8_t *p = guest_ptr(&g->dev, slot_addr(t, slot));

    memset(p, 0, VNET_HEADER);
    frame_udp(p + VNET_HEADER, len, flow, false);
    tx_add(g, t, slot, len);
}

int tx_reclaim(Guest *g, TxQueue *t)
{
    Vring *r = t->ring;
    uint16_t used = vring_used_idx(r);
    int count = 0;

    while (r->last_used != used) {
        uint32_t id = r->used->ring[r->last_used++ & (r->size - 1)].id;
        if (id >= (uint32_t)r->size || !r->busy[id]) {
            r->bad_used++;
            continue;
        }
        r->busy[id] = 0;
        t->free[t->free_count++] = id / t->slot_descs;
        count++;
    }
    if (count) {
        counter_add(&t->bytes, (uint64_t)count * t->len);
        counter_add(&t->done, count);
        if (!g->dev.msix) {
            vring_irq_off(&g->dev, r);
        }
    }
    return count;
}

int tx_poll(Guest *g, TxQueue *t)
{
    int count = tx_reclaim(g, t);

    if (count && t->free_count == t->slot_count) {
        counter_add(&t->starved, 1);
    }
    if (!flag_get(&g->no_more_tx) && t->free_count > opt.tx_batch) {
        while (t->free_count) {
            tx_put(g, t);
        }
        vring_publish(&g->dev, t->ring);
    }
    return count;
}

/* ---- receive ---- */

static void rx_put(RxQueue *r, int id)
{
    Vring *v = r->ring;

    v->desc[id] = (struct vring_desc){
        .addr = v->buffers + (uint64_t)id * v->stride,
        .len = r->buffer_size,
        .flags = VRING_DESC_F_WRITE,
    };
    v->busy[id] = 1;
    v->avail->ring[v->next_avail++ & (v->size - 1)] = id;
}

static void rx_init(Guest *g, int pair)
{
    RxQueue *r = &g->rx[pair];
    Vring *v = &g->dev.ring[2 * pair];
    int size = g->mode == MODE_RTSO ? RTSO_BUFFER : RX_BUFFER;

    if (!g->dev.mergeable) {
        size = g->mode == MODE_RTSO ? WHOLE_BUFFER : TX_SLOT;
    }
    r->ring = v;
    r->buffer_size = opt.rx_buffer ? opt.rx_buffer : size;
    v->stride = (r->buffer_size + 63) & ~63u;
    v->buffers = guest_alloc(&g->dev, (uint64_t)v->stride * v->size, 4096);
    for (int i = 0; i < v->size; i++) {
        rx_put(r, i);
    }
}

void guest_init_queues(Guest *g)
{
    for (int i = 0; i < g->pairs; i++) {
        rx_init(g, i);
        tx_init(g, i);
    }
}

void guest_free_queues(Guest *g)
{
    for (int i = 0; i < g->pairs; i++) {
        free(g->tx[i].free);
    }
}

/* How many buffers a frame says it has; all of them appear at once. */
static int rx_buffer_count(Guest *g, RxQueue *r, const uint8_t *header,
                           int used)
{
    VnetHeader h;
    int count = 1;

    memcpy(&h, header, sizeof(h));
    if (g->dev.mergeable) {
        count = h.num_buffers;
    }
    if (count < 1 || count > RX_MAX_BUFFERS || count > used) {
        r->bad_buffers++;
        count = 1;
    }
    return count;
}

/* Looks at the next frame, of at most @used buffers; ids go to @ids. */
static void rx_take(Guest *g, RxQueue *r, int used, RxFrame *f, uint16_t *ids)
{
    Vring *v = r->ring;
    int buffers = 1;

    f->queue = v->index / 2;
    f->len = f->parts = 0;
    for (int k = 0; k < buffers; k++) {
        struct vring_used_elem e = v->used->ring[v->last_used & (v->size - 1)];
        uint8_t *p;
        if (e.id >= (uint32_t)v->size || !v->busy[e.id] ||
            e.len > r->buffer_size) {
            v->bad_used++;
            e = (struct vring_used_elem){ 0 };
        }
        v->last_used++;
        p = guest_ptr(&g->dev, v->buffers + (uint64_t)e.id * v->stride);
        if (k == 0) {
            buffers = rx_buffer_count(g, r, p, used);
            p += VNET_HEADER;
            e.len = e.len > VNET_HEADER ? e.len - VNET_HEADER : 0;
        }
        ids[k] = e.id;
        f->data[k] = p;
        f->size[k] = e.len;
        f->len += e.len;
        f->parts++;
    }
}

int rx_poll(Guest *g, RxQueue *r)
{
    Vring *v = r->ring;
    uint16_t used = vring_used_idx(v), ids[RX_MAX_BUFFERS];
    int frames = 0;
    RxFrame f;

    while (v->last_used != used) {
        rx_take(g, r, (uint16_t)(used - v->last_used), &f, ids);
        g->handler(g, &f);
        for (int k = 0; k < f.parts; k++) {
            rx_put(r, ids[k]);
        }
        counter_add(&r->buffers, f.parts);
        frames++;
    }
    if (frames) {
        if (!g->dev.msix) {
            vring_irq_off(&g->dev, v);
        }
        vring_publish(&g->dev, v);
    }
    return frames;
}

static bool pattern_intact(const RxFrame *f, int stamp)
{
    int from = stamp + (int)sizeof(FrameStamp), at = 0;
    uint16_t flow;

    memcpy(&flow, f->data[0] + stamp + offsetof(FrameStamp, flow),
           sizeof(flow));
    for (int k = 0; k < f->parts; k++) {
        for (int i = 0; i < f->size[k]; i++, at++) {
            if (at >= from && f->data[k][i] != frame_pattern(flow, at)) {
                return false;
            }
        }
    }
    return true;
}

void rx_measure(Guest *g, const RxFrame *f)
{
    RxQueue *r = &g->rx[f->queue];
    int stamp = g->rx_stamp;

    if (f->size[0] < stamp + (int)sizeof(FrameStamp)) {
        r->check.foreign++;
        return;
    }
    rx_check(&r->check, f->data[0], f->len, stamp, f->queue, false);
    if (opt.deep && !pattern_intact(f, stamp)) {
        r->check.corrupt++;
    }
    counter_add(&r->packets, 1);
    counter_add(&r->bytes, f->len);
}

/* ---- the thread ---- */

static void *guest_main(void *opaque)
{
    Guest *g = opaque;

    setpriority(PRIO_PROCESS, 0, opt.nice);
    prctl(PR_SET_TIMERSLACK, 1);
    pin_thread(opt.bench_cpus);
    guest_measure_sleep(g);
    for (unsigned int turn = 0; !flag_get(&g->stop); turn++) {
        int moved = 0;
        for (int i = 0; i < g->pairs; i++) {
            moved += g->transmits ? tx_poll(g, &g->tx[i]) : 0;
            moved += g->receives ? rx_poll(g, &g->rx[i]) : 0;
            if (i == 0 && moved && g->gaps) {
                gaps_advance(g->gaps, now_ns());
            }
        }
        if (!moved || turn % CPU_EVERY == 0) {
            counter_set(&g->cpu_ns, thread_cpu_ns());
            qtest_drain(&g->dev.qtest, false);
        }
        if (!moved) {
            guest_idle(g);
        }
    }
    counter_set(&g->cpu_ns, thread_cpu_ns());
    return NULL;
}

void guest_start(Guest *g)
{
    if (pthread_create(&g->thread, NULL, guest_main, g)) {
        die("cannot start the guest's thread");
    }
}

void guest_join(Guest *g)
{
    flag_set(&g->stop, true);
    pthread_join(g->thread, NULL);
}
