/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table as text: NICs, and below each its pairs. Used by the screen and by
 * the output without a screen.
 *
 * Threads: nothing here has state.
 */
#ifndef MQ_TOP_VIEW_H
#define MQ_TOP_VIEW_H

#include "contrib/qemu-mq-top/model.h"

/* A line: a pair, or with @pair NULL a NIC. */
typedef struct MqRow {
    const MqNic *nic;
    const MqPair *pair;
} MqRow;

/* What the lines are sorted by: the server's order, or a metric, the largest
 * first. */
typedef enum MqSort {
    MQ_SORT_NAME,
    MQ_SORT_RX,
    MQ_SORT_TX,
    MQ_SORT_DROPS,
    MQ_SORT_CPU,
    MQ_N_SORTS,
} MqSort;

const char *mq_sort_name(MqSort sort);

/* The lines of @m in their order: NICs are sorted among each other, and the
 * pairs of each. Free with g_array_unref(). */
GArray *mq_rows(const MqModel *m, MqSort sort);

/* The least width with which a line makes sense. */
#define MQ_MIN_WIDTH 40u

/* The heading and a line, in at most @width columns: what matters least is left
 * out. Printable ASCII without blanks at the end. Free with g_free(). */
char *mq_heading(unsigned width);
char *mq_line(const MqRow *row, unsigned width);

/* A number in at most six characters: "0", "12.3k", "1.20M"; "-" when it is
 * not known. */
void mq_format_number(double value, char out[8]);

/* The whole of it, with all columns, for a file or pipe. */
void mq_print_table(const MqModel *m, MqSort sort, GString *out);

#endif
