/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands that measure how fast memory is written. */
#include "util/osdep.h"

#include "monitor/hmp-info.h"
#include "qapi/qapi-commands.h"

bool hmp_calc_dirty_rate(const HmpArgs *args, GString *out, Error **errp)
{
    bool ring = args->arg[0].given, bitmap = args->arg[1].given;
    q_obj_calc_dirty_rate_arg arg = {
        .calc_time = (int64_t)args->arg[2].number,
        .has_sample_pages = args->arg[3].given,
        .sample_pages = (int64_t)args->arg[3].number,
        .has_mode = ring || bitmap,
        .mode = ring ? DIRTY_RATE_MEASURE_MODE_DIRTY_RING
                     : DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP,
    };

    if (ring && bitmap) {
        error_setg(errp, "-r and -b are two ways to measure: one of them");
        return false;
    }
    if (!qmp_calc_dirty_rate(&arg, errp)) {
        return false;
    }
    g_string_append_printf(
        out, "measuring for %" PRId64 " s; see `info dirty_rate` then\n",
        arg.calc_time);
    return true;
}

bool hmp_info_dirty_rate(const HmpArgs *args, GString *out, Error **errp)
{
    q_obj_query_dirty_rate_arg arg = { 0 };
    DirtyRateInfo info = { 0 };

    if (!qmp_query_dirty_rate(&arg, &info, errp)) {
        return false;
    }
    g_string_append_printf(out,
                           "Status: %s\nStart Time: %" PRId64
                           " (sec)\nPeriod: %" PRId64 " (sec)\nMode: %s\n",
                           DirtyRateStatus_str(info.status), info.start_time,
                           info.calc_time, DirtyRateMeasureMode_str(info.mode));
    if (info.sample_pages) {
        g_string_append_printf(out, "Sample Pages: %" PRIu64 " (per GB)\n",
                               info.sample_pages);
    }
    if (info.has_dirty_rate) {
        g_string_append_printf(out, "Dirty rate: %" PRId64 " (MB/s)\n",
                               info.dirty_rate);
    } else {
        g_string_append(out, "Dirty rate: (not ready)\n");
    }
    return true;
}
