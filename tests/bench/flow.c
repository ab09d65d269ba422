/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow.h"

Flow rx_flows[RX_FLOWS];

void rx_flows_reset(void)
{
    memset(rx_flows, 0, sizeof(rx_flows));
    for (int i = 0; i < RX_FLOWS; i++) {
        rx_flows[i].id = RX_FLOW_FIRST + i;
        rx_flows[i].queue = -1;
    }
}

uint64_t rx_flows_missing(void)
{
    uint64_t missing = 0;

    for (int i = 0; i < RX_FLOWS; i++) {
        missing +=
            counter_get(&rx_flows[i].seq) - counter_get(&rx_flows[i].seen);
    }
    return missing;
}

static bool stamp_valid(const FrameStamp *s, int len)
{
    return s->flow >= RX_FLOW_FIRST && s->flow < RX_FLOW_FIRST + RX_FLOWS &&
           s->tag == frame_tag(s->seq, s->flow) && s->len == (uint16_t)len;
}

void rx_check(RxCheck *c, const uint8_t *f, int len, int stamp, int queue,
              bool whole)
{
    FrameStamp s = { 0 };
    Flow *flow;

    if (len >= stamp + (int)sizeof(s)) {
        memcpy(&s, f + stamp, sizeof(s));
    }
    if (s.magic != STAMP_MAGIC) {
        c->foreign++;
        return;
    }
    if (!stamp_valid(&s, len)) {
        c->corrupt++;
        return;
    }
    flow = &rx_flows[s.flow - RX_FLOW_FIRST];
    c->packets++;
    c->bytes += len;
    if (s.seq >= flow->seen) {
        c->gap += s.seq - flow->seen;
        counter_set(&flow->seen, s.seq + 1);
    } else {
        c->ooo++;
    }
    if (flow->queue < 0) {
        flow->queue = queue;
    }
    c->wrong_queue += flow->queue != queue;
    c->corrupt += whole && !frame_intact(f, len, stamp, s.flow);
}
