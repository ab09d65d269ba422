/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info` subjects that have files of their own; each is an HmpCommand.run.
 *
 * Threads: main thread.
 */
#ifndef MONITOR_HMP_INFO_H
#define MONITOR_HMP_INFO_H

#include "accel/vcpu.h"
#include "monitor/hmp-internal.h"

/* hmp-info-cpus.c */
HmpRun hmp_info_cpus MAIN_THREAD;
HmpRun hmp_info_dirty_rate MAIN_THREAD;
HmpRun hmp_info_registers MAIN_THREAD;

/* hmp-info-net.c */
HmpRun hmp_info_network MAIN_THREAD;

/* hmp-user.c */
HmpRun hmp_info_usernet MAIN_THREAD;

/* hmp-info-qdev.c */
HmpRun hmp_info_qtree MAIN_THREAD;
HmpRun hmp_info_qom_tree MAIN_THREAD;

/* hmp-info-stats.c */
HmpRun hmp_info_stats MAIN_THREAD;
void hmp_words_stats_targets(HmpWords *words);
void hmp_words_stats_providers(HmpWords *words);

/* hmp-info-virtio.c */
HmpRun hmp_info_virtio MAIN_THREAD;
HmpRun hmp_info_virtio_status MAIN_THREAD;
HmpRun hmp_info_virtio_queue_status MAIN_THREAD;
HmpRun hmp_info_virtio_vhost_queue_status MAIN_THREAD;
HmpRun hmp_info_virtio_queue_element MAIN_THREAD;

#endif
