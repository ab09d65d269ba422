/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <math.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/view.h"

#define CELL_MAX 80

typedef struct Column {
    const char *title;
    unsigned width;
    bool right;    /* aligned */
    unsigned rank; /* 0 is left out last */
    void (*cell)(const MqRow *row, char *out);
    MqMetric metric; /* with @cell NULL */
} Column;

/* ---- cells ---- */

static void set_cell(char *out, const char *untrusted)
{
    g_autofree char *text = text_shown(untrusted, CELL_MAX - 1);

    g_strlcpy(out, text, CELL_MAX);
}

static void cell_name(const MqRow *row, char *out)
{
    if (row->pair) {
        g_snprintf(out, CELL_MAX, "  pair %u", row->pair->number);
    } else {
        set_cell(out, row->nic->name);
    }
}

/* Of a NIC: its link. */
static void cell_owner(const MqRow *row, char *out)
{
    static const char *const links[] = {
        [MQ_LINK_UNKNOWN] = "",
        [MQ_LINK_DOWN] = "LINK DOWN",
        [MQ_LINK_UP] = "link up",
    };

    g_strlcpy(out,
              row->pair ? mq_owner_name(row->pair->owner)
                        : links[row->nic->link],
              CELL_MAX);
}

/* Of a NIC: its netdev. */
static void cell_iothread(const MqRow *row, char *out)
{
    if (row->pair) {
        set_cell(out, row->pair->iothread ? row->pair->iothread : "-");
    } else {
        set_cell(out, row->nic->netdev ? row->nic->netdev : "no netdev");
    }
}

static void cell_thread(const MqRow *row, char *out)
{
    if (row->pair && row->pair->thread_id >= 0) {
        g_snprintf(out, CELL_MAX, "%" PRId64, row->pair->thread_id);
    } else {
        g_strlcpy(out, row->pair ? "-" : "", CELL_MAX);
    }
}

static void cell_state(const MqRow *row, char *out)
{
    const MqPair *p = row->pair;

    if (!p) {
        g_snprintf(out, CELL_MAX, "%u pairs", row->nic->pairs->len);
        return;
    }
    g_strlcpy(out,
              p->stalled     ? "STALLED"
              : p->moving    ? "to vhost"
              : !p->active   ? "unused"
              : !p->attached ? "detached"
                             : "active",
              CELL_MAX);
}

static const Column columns[] = {
    { "NIC / PAIR", 14, false, 0, cell_name },
    { "OWNER", 9, false, 1, cell_owner },
    { "IOTHREAD", 10, false, 7, cell_iothread },
    { "THREAD", 7, true, 9, cell_thread },
    { "CPU%", 5, true, 4, NULL, MQ_CPU },
    { "STATE", 8, false, 8, cell_state },
    { "RX pk/s", 7, true, 2, NULL, MQ_RX_PACKETS },
    { "RX b/s", 6, true, 5, NULL, MQ_RX_BITS },
    { "TX pk/s", 7, true, 3, NULL, MQ_TX_PACKETS },
    { "TX b/s", 6, true, 6, NULL, MQ_TX_BITS },
    { "DROP/s", 6, true, 7, NULL, MQ_DROPS },
    { "KICK/pk", 7, true, 10, NULL, MQ_KICKS_PER_PACKET },
    { "SIG/pk", 6, true, 11, NULL, MQ_SIGNALS_PER_PACKET },
    { "RXRING%", 7, true, 12, NULL, MQ_RX_RING },
    { "TXRING%", 7, true, 13, NULL, MQ_TX_RING },
    { "MOVES", 5, true, 14, NULL, MQ_MOVES },
};

void mq_format_number(double value, char out[8])
{
    static const char units[] = " kMGTPE";
    unsigned u = 0;

    if (!isfinite(value)) {
        strcpy(out, "-");
        return;
    }
    value = MAX(value, 0);
    /* 999.5 would be rounded to 1000 */
    while (value >= 999.5 && u < sizeof(units) - 2) {
        value /= 1000;
        u++;
    }
    if (u == 0) {
        bool whole = value >= 99.95 || value == floor(value);

        g_snprintf(out, 8, "%.*f", whole ? 0 : value >= 9.995 ? 1 : 2, value);
    } else if (value < 9999) {
        g_snprintf(out, 8, "%.*f%c",
                   value >= 99.95   ? 0
                   : value >= 9.995 ? 1
                                    : 2,
                   value, units[u]);
    } else {
        strcpy(out, ">9999E");
    }
}

static const double *metrics_of(const MqRow *row)
{
    return row->pair ? row->pair->metric : row->nic->metric;
}

static void get_cell(const Column *c, const MqRow *row, char *out)
{
    double value;

    if (c->cell) {
        c->cell(row, out);
        return;
    }
    value = metrics_of(row)[c->metric];
    if (!row->pair && isnan(value) &&
        (c->metric == MQ_RX_RING || c->metric == MQ_TX_RING)) {
        out[0] = '\0';
        return;
    }
    mq_format_number(value, out);
}

/* ---- lines ---- */

/* The highest rank whose column finds room in @width beside those below it. */
static unsigned last_rank(unsigned width)
{
    unsigned used = 0, rank;

    for (rank = 0; rank < 2 * ARRAY_SIZE(columns); rank++) {
        for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
            used += columns[i].rank == rank ? columns[i].width + 1 : 0;
        }
        if (used > width + 1) {
            return rank ? rank - 1 : 0;
        }
    }
    return rank;
}

/* Cells that are too long are cut, the name's with a mark. */
static void append_cell(GString *out, const Column *c, char *text)
{
    size_t len = strlen(text);

    if (len > c->width) {
        text[c->width] = '\0';
        text[c->width - 1] = '+';
    }
    g_string_append_printf(out, c->right ? "%*s " : "%-*s ", (int)c->width,
                           text);
}

static char *make_line(const MqRow *row, unsigned width)
{
    GString *out = g_string_new(NULL);
    unsigned rank = last_rank(width);

    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        char text[CELL_MAX];

        if (columns[i].rank > rank) {
            continue;
        }
        if (row) {
            get_cell(&columns[i], row, text);
        } else {
            g_strlcpy(text, columns[i].title, sizeof(text));
        }
        append_cell(out, &columns[i], text);
    }
    if (out->len > width) {
        g_string_truncate(out, width);
    }
    return g_strchomp(g_string_free(out, FALSE));
}

char *mq_heading(unsigned width)
{
    return make_line(NULL, width);
}

char *mq_line(const MqRow *row, unsigned width)
{
    return make_line(row, width);
}

/* ---- order ---- */

const char *mq_sort_name(MqSort sort)
{
    static const char *const names[MQ_N_SORTS] = {
        [MQ_SORT_NAME] = "name",   [MQ_SORT_RX] = "rx",   [MQ_SORT_TX] = "tx",
        [MQ_SORT_DROPS] = "drops", [MQ_SORT_CPU] = "cpu",
    };

    return names[sort];
}

static const MqMetric sort_metric[MQ_N_SORTS] = {
    [MQ_SORT_RX] = MQ_RX_PACKETS,
    [MQ_SORT_TX] = MQ_TX_PACKETS,
    [MQ_SORT_DROPS] = MQ_DROPS,
    [MQ_SORT_CPU] = MQ_CPU,
};

/* What is not known comes last. */
static double sort_value(const MqRow *row, MqSort sort)
{
    double v = sort == MQ_SORT_NAME ? 0 : metrics_of(row)[sort_metric[sort]];

    return isnan(v) ? -1 : v;
}

static gint by_value(gconstpointer a, gconstpointer b, gpointer opaque)
{
    const MqSort *sort = opaque;
    double x = sort_value(a, *sort), y = sort_value(b, *sort);

    return x > y ? -1 : x < y;
}

/* Keeps the order of equals. */
static void sort_rows(MqRow *rows, unsigned n, MqSort sort)
{
    g_qsort_with_data(rows, (int)n, sizeof(*rows), by_value, &sort);
}

GArray *mq_rows(const MqModel *m, MqSort sort)
{
    GArray *nics = g_array_new(FALSE, FALSE, sizeof(MqRow));
    GArray *all = g_array_new(FALSE, FALSE, sizeof(MqRow));

    for (unsigned i = 0; i < m->nics->len; i++) {
        MqRow row = { g_ptr_array_index(m->nics, i), NULL };

        g_array_append_val(nics, row);
    }
    sort_rows((MqRow *)(void *)nics->data, nics->len, sort);
    for (unsigned i = 0; i < nics->len; i++) {
        MqRow row = g_array_index(nics, MqRow, i);
        unsigned first;

        g_array_append_val(all, row);
        first = all->len;
        for (unsigned k = 0; k < row.nic->pairs->len; k++) {
            MqRow pair = { row.nic, g_ptr_array_index(row.nic->pairs, k) };

            g_array_append_val(all, pair);
        }
        sort_rows((MqRow *)(void *)all->data + first, all->len - first, sort);
    }
    g_array_unref(nics);
    return all;
}

void mq_print_table(const MqModel *m, MqSort sort, GString *out)
{
    g_autoptr(GArray) rows = mq_rows(m, sort);
    g_autofree char *heading = mq_heading(UINT16_MAX);

    g_string_append_printf(out, "%s\n", heading);
    for (unsigned i = 0; i < rows->len; i++) {
        g_autofree char *line =
            mq_line(&g_array_index(rows, MqRow, i), UINT16_MAX);

        g_string_append_printf(out, "%s\n", line);
    }
    if (m->nics->len == 0) {
        g_string_append(out, "no NICs\n");
    }
    if (m->left_out) {
        g_string_append_printf(out, "%u more pairs are not shown\n",
                               m->left_out);
    }
}
