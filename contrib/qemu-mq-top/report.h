/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model as JSON, for programs.
 *
 * Threads: nothing here has state.
 */
#ifndef MQ_TOP_REPORT_H
#define MQ_TOP_REPORT_H

#include "contrib/qemu-mq-top/session.h"

/* One line of JSON in printable ASCII; members that are not known are null.
 * The manual page describes it. Free with g_free(). */
char *mq_report_json(const MqSession *s);

#endif
