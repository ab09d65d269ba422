/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that filter-replay is given: frames lie inside of it, in the order of
 * their times, and no byte is one of two frames.
 *
 * Input: the file.
 *
 * Threads: none.
 */
#include "net/pcap.h"
#include "tests/fuzz/fuzz.h"

#define LENGTH_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autoptr(GArray) records = g_array_new(FALSE, FALSE, sizeof(PcapRecord));
    /* Of its own, so that a read beyond its end is seen. */
    g_autofree uint8_t *file = g_memdup2(data, len);
    Error *err = NULL;
    unsigned skipped;
    size_t at = 0;
    int64_t ns = 0;
    bool ok = pcap_parse(file, len, LENGTH_MAX, records, &skipped, &err);

    g_assert_true(ok == !err);
    for (guint i = 0; i < records->len; i++) {
        const PcapRecord *r = &g_array_index(records, PcapRecord, i);

        g_assert_cmpuint(r->len, >, 0);
        g_assert_cmpuint(r->len, <=, LENGTH_MAX);
        g_assert_cmpuint(r->offset, >=, at);
        at = r->offset + r->len;
        g_assert_cmpuint(at, <=, len);
        g_assert_cmpint(r->ns, >=, ns);
        ns = r->ns;
    }
    g_clear_error(&err);
    return 0;
}
