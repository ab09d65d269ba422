/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol's door to the human monitor. */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"

/* Lines end in CR LF, as on a terminal; bytes that are not UTF-8 cannot be in
 * JSON. */
static char *answer_text(const GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (gsize i = 0; i < out->len; i++) {
        if (out->str[i] == '\n') {
            g_string_append_c(text, '\r');
        }
        g_string_append_c(text, out->str[i]);
    }
    return g_utf8_make_valid(text->str, (gssize)text->len);
}

bool qmp_human_monitor_command(const q_obj_human_monitor_command_arg *arg,
                               char **ret, Error **errp)
{
    HmpSession session = { 0 };
    g_autoptr(GString) out = NULL;

    if (arg->has_cpu_index) {
        if (arg->cpu_index < 0 ||
            !hmp_check_cpu((uint64_t)arg->cpu_index, NULL)) {
            error_setg(errp,
                       "Parameter 'cpu-index' expects a CPU number, not "
                       "%" PRId64,
                       arg->cpu_index);
            return false;
        }
        session.cpu = (unsigned)arg->cpu_index;
    }
    out = g_string_new(NULL);
    hmp_run_line(&session, arg->command_line, out);
    *ret = answer_text(out);
    return true;
}
