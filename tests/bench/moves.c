/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves pair 0 to and fro between two owners while its rings are driven as
 * fast as they go, and measures how long a ring stands still meanwhile. After
 * each move nothing is moved for the same time: the same measure then says what
 * is usual.
 */
#include <unistd.h>

#include "mqbench.h"

#define ADVANCE_NS (5 * NS_PER_SEC)

/* Waits for the ring's next advance, which ends the pause if there was one. */
static void moves_settle(Gaps *gaps)
{
    if (!gaps_wait(gaps, ADVANCE_NS)) {
        die("pair 0 stands still since it was moved");
    }
}

static void moves_command(Qmp *qmp, bool vhost, int i)
{
    if (vhost && i % 2 == 0) {
        qmp_cmd(qmp, "{\"execute\": \"virtio-net-set-queue-mapping\", "
                     "\"arguments\": {\"id\": \"nic\", \"mapping\": "
                     "[{\"pair\": 0, \"backend\": \"vhost\"}]}}");
    } else {
        qmp_cmd(qmp,
                "{\"execute\": \"virtio-net-set-queue-mapping\", "
                "\"arguments\": {\"id\": \"nic\", \"mapping\": "
                "[{\"pair\": 0, \"backend\": \"iothread\", \"iothread\": "
                "\"move%d\"}]}}",
                vhost ? 0 : !(i % 2));
    }
}

void moves_prepare(Run *r)
{
    /* Window 0 is before the first move; then a move and a rest in turn. */
    r->guest.gaps = alloc(1, sizeof(Gaps));
    gaps_init(r->guest.gaps, 2 * opt.moves + 2);
}

void moves_free(Run *r)
{
    if (r->guest.gaps) {
        gaps_free(r->guest.gaps);
        free(r->guest.gaps);
        r->guest.gaps = NULL;
    }
}

void moves_make(Run *r, MovesReport *report)
{
    double *us = alloc(opt.moves, sizeof(*us));
    Gaps *gaps = r->guest.gaps;
    Qmp *qmp = alloc(1, sizeof(*qmp));
    unsigned int end = 1 + 2 * opt.moves;

    qmp_open(qmp, r->program.qmp);
    moves_settle(gaps);
    for (int i = 0; i < opt.moves; i++) {
        uint64_t start = now_ns();
        gaps_open(gaps);
        moves_command(qmp, r->mode == MODE_MOVES_VHOST, i);
        us[i] = (now_ns() - start) / 1e3;
        moves_settle(gaps);
        gaps_open(gaps);
        sleep_ns(now_ns() - start);
        moves_settle(gaps);
    }
    gaps_open(gaps);
    report->pause = gaps_percentiles(gaps, 1, 2, end);
    report->usual = gaps_percentiles(gaps, 2, 2, end);
    report->command_us = median(us, opt.moves);
    qmp_close(qmp);
    free(qmp);
    free(us);
}

void moves_print(const MovesReport *m)
{
    printf("%9s %d moves: pause median %.0f us, 99 %% %.0f us, longest %.0f "
           "us; without a move %.0f, %.0f, %.0f us; the command %.0f us\n",
           "", m->pause.count, m->pause.p50, m->pause.p99, m->pause.max,
           m->usual.p50, m->usual.p99, m->usual.max, m->command_us);
}

void moves_json(FILE *f, const MovesReport *m)
{
    json_count(f, "moves", m->pause.count);
    json_number(f, "pause_us_p50", m->pause.p50);
    json_number(f, "pause_us_p99", m->pause.p99);
    json_number(f, "pause_us_max", m->pause.max);
    json_number(f, "usual_us_p50", m->usual.p50);
    json_number(f, "usual_us_p99", m->usual.p99);
    json_number(f, "usual_us_max", m->usual.max);
    json_number(f, "move_command_us", m->command_us);
}
