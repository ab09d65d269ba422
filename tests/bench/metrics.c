/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics.h"

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

void metrics_add(Metrics *m, const Sample *a, const Sample *b)
{
    double v[METRIC_COUNT];
    double ns = b->at_ns - a->at_ns, packets = b->packets - a->packets;
    double cpu = b->cpu_ns - a->cpu_ns, user = b->user - a->user;
    double generator = b->generator_ns - a->generator_ns;
    double guest = b->guest_ns - a->guest_ns;
    double busy = (b->busy_ms - a->busy_ms) * (double)NS_PER_MS;

    v[METRIC_PPS] = packets / ns * NS_PER_SEC;
    v[METRIC_TX_PPS] = (b->tx_packets - a->tx_packets) / ns * NS_PER_SEC;
    v[METRIC_MBPS] = (b->bytes - a->bytes) * 8e3 / ns;
    v[METRIC_CPU_NS] = ratio(cpu, packets);
    v[METRIC_USER] = ratio(user, user + (b->system - a->system));
    v[METRIC_CORES] = cpu / ns;
    v[METRIC_CALLS] = ratio(b->calls - a->calls, packets);
    v[METRIC_SWITCHES] = ratio((b->switches - a->switches) * 1e3, packets);
    v[METRIC_IRQS] = ratio(b->irqs - a->irqs, packets);
    v[METRIC_GENERATOR_NS] =
        ratio(generator, b->generator_sent - a->generator_sent);
    v[METRIC_GUEST_CORES] = guest / ns;
    v[METRIC_OTHER_CORES] = (busy - cpu - generator - guest) / ns;
    if (v[METRIC_OTHER_CORES] < 0) {
        v[METRIC_OTHER_CORES] = 0; /* ticks are coarse */
    }
    v[METRIC_STOLEN_CORES] =
        (b->stolen_ms - a->stolen_ms) * (double)NS_PER_MS / ns;
    for (int k = 0; k < METRIC_COUNT; k++) {
        m->value[k][m->intervals] = v[k];
    }
    m->intervals++;
}

void metrics_close(Metrics *m)
{
    for (int k = 0; k < METRIC_COUNT; k++) {
        m->of[k].median = median(m->value[k], m->intervals);
        m->of[k].min = m->value[k][0];
        m->of[k].max = m->value[k][m->intervals ? m->intervals - 1 : 0];
    }
}

void metrics_json(FILE *f, const Metrics *m)
{
    static const struct {
        MetricKind kind;
        const char *name, *min, *max;
    } keys[] = {
        { METRIC_PPS, "pps", "pps_min", "pps_max" },
        { METRIC_CPU_NS, "cpu_ns_pkt", "cpu_ns_pkt_min", "cpu_ns_pkt_max" },
        { METRIC_TX_PPS, "tx_pps", NULL, NULL },
        { METRIC_MBPS, "mbps", NULL, NULL },
        { METRIC_USER, "user_share", NULL, NULL },
        { METRIC_CORES, "cores", NULL, NULL },
        { METRIC_CALLS, "calls_pkt", NULL, NULL },
        { METRIC_SWITCHES, "switches_per_1000", NULL, NULL },
        { METRIC_IRQS, "irqs_pkt", NULL, NULL },
        { METRIC_GENERATOR_NS, "generator_ns_pkt", NULL, NULL },
        { METRIC_GUEST_CORES, "guest_cores", NULL, NULL },
        { METRIC_OTHER_CORES, "other_cores", NULL, NULL },
        { METRIC_STOLEN_CORES, "stolen_cores", NULL, NULL },
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const Metric *v = &m->of[keys[i].kind];
        json_number(f, keys[i].name, v->median);
        if (keys[i].min) {
            json_number(f, keys[i].min, v->min);
            json_number(f, keys[i].max, v->max);
        }
    }
}
