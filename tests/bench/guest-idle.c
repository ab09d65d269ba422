/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the guest's thread has nothing to do. A sleep may cost tens of us of CPU
 * in a virtual machine, a spin costs a core, and a ring that runs empty costs
 * the program under test throughput.
 */
#include <sched.h>

#include "mqbench.h"

#define SLEEP_TRIALS     41
#define SLEEP_ASKED_NS   20000
#define RATE_EVERY_NS    (2 * NS_PER_MS)
#define RATE_MIN         1e-7 /* buffers a ns; less is nothing */
#define LONGEST_SLEEP_NS 400000
#define SHORTEST_NS      5000
#define RING_SHARE       0.3 /* of what is left is used while we sleep */
#define IRQ_LOOK_NS      50000
#define IRQ_WAIT_NS      (20 * NS_PER_MS) /* a real guest would hang */

void guest_measure_sleep(Guest *g)
{
    double extra[SLEEP_TRIALS];

    for (int i = 0; i < SLEEP_TRIALS; i++) {
        uint64_t start = now_ns();
        sleep_ns(SLEEP_ASKED_NS);
        extra[i] = now_ns() - start - SLEEP_ASKED_NS;
    }
    g->sleep_cost = median(extra, SLEEP_TRIALS);
}

static bool ring_in_use(const Guest *g, int index)
{
    return index & 1 ? g->transmits : g->receives;
}

/* Buffers of ring @index that were used so far. */
static uint64_t ring_count(const Guest *g, int index)
{
    return counter_get(index & 1 ? &g->tx[index / 2].done
                                 : &g->rx[index / 2].buffers);
}

static void update_rates(Guest *g)
{
    uint64_t now = now_ns();
    double passed = now - g->rated_ns;

    if (passed < RATE_EVERY_NS) {
        return;
    }
    for (int i = 0; i < 2 * g->pairs; i++) {
        uint64_t count = ring_count(g, i);
        g->rate[i] = 0.7 * g->rate[i] + 0.3 * (count - g->counted[i]) / passed;
        g->counted[i] = count;
    }
    g->rated_ns = now;
}

/* So long that the busiest ring still has most of its buffers afterwards. */
static uint64_t adapted_sleep(Guest *g)
{
    double best = LONGEST_SLEEP_NS;

    update_rates(g);
    for (int i = 0; i < 2 * g->pairs; i++) {
        double left = g->dev.ring[i].size;
        if (!ring_in_use(g, i) || g->rate[i] < RATE_MIN) {
            continue;
        }
        if (i & 1) {
            left = g->tx[i / 2].submitted - g->tx[i / 2].done;
        }
        if (RING_SHARE * left / g->rate[i] < best) {
            best = RING_SHARE * left / g->rate[i];
        }
    }
    return best < g->sleep_cost + SHORTEST_NS ? SHORTEST_NS
                                              : best - g->sleep_cost;
}

static void guest_sleep(Guest *g, uint64_t adapted)
{
    if (g->gaps) {
        sched_yield(); /* a sleep would be taken for a pause */
    } else if (opt.idle == IDLE_ADAPT) {
        sleep_ns(adapted ? adapted : adapted_sleep(g));
    } else if (opt.idle == IDLE_YIELD) {
        sched_yield();
    } else if (opt.idle != IDLE_SPIN) {
        sleep_ns(opt.idle * UINT64_C(1000));
    }
}

/* As Linux does at the end of a NAPI poll: transmit wants to hear when three
 * quarters of what is in flight are used. False: there is work already. */
static bool irqs_on(Guest *g)
{
    bool quiet = true;

    for (int i = 0; i < 2 * g->pairs; i++) {
        Vring *r = &g->dev.ring[i];
        uint16_t in_flight = r->published - r->last_used;
        if (r->irq_word && ring_in_use(g, i)) {
            quiet &= vring_irq_on(&g->dev, r, i & 1 ? in_flight * 3 / 4 : 0);
        }
    }
    return quiet;
}

static bool irq_arrived(Guest *g)
{
    bool arrived = false;

    for (int i = 0; i < 2 * g->pairs; i++) {
        Vring *r = &g->dev.ring[i];
        if (r->irq_word &&
            __atomic_exchange_n(r->irq_word, 0, __ATOMIC_ACQUIRE)) {
            r->irqs++;
            counter_add(&g->irqs, 1);
            arrived = true;
        }
    }
    return arrived;
}

void guest_idle(Guest *g)
{
    uint64_t start = now_ns();

    if (!g->dev.msix) {
        guest_sleep(g, 0);
        return;
    }
    if (irqs_on(g)) {
        while (!irq_arrived(g) && !flag_get(&g->stop) &&
               now_ns() - start < IRQ_WAIT_NS) {
            guest_sleep(g, IRQ_LOOK_NS);
        }
    }
    for (int i = 0; i < 2 * g->pairs; i++) {
        vring_irq_off(&g->dev, &g->dev.ring[i]);
    }
}
