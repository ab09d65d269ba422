/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of mqbench: options, the program under test, the guest that drives
 * its device, measurements.
 *
 * Threads: the main thread, and guest_main() on its own between guest_start()
 * and guest_join().
 */
#ifndef BENCH_MQBENCH_H
#define BENCH_MQBENCH_H

#include <pthread.h>

#include "gaps.h"
#include "gen.h"
#include "metrics.h"
#include "proc.h"
#include "qmp.h"
#include "sink.h"
#include "syscount.h"
#include "vdev.h"

typedef enum {
    MODE_ECHO,  /* frames out and back, compared; round trips one by one */
    MODE_TX,    /* datagrams from the guest */
    MODE_RX,    /* datagrams to the guest */
    MODE_MIXED, /* both at once */
    MODE_TSO,   /* large TCP frames from the guest */
    MODE_RTSO,  /* large TCP frames to the guest */
    MODE_IDLE,  /* a running device without traffic */
    /* pair 0 gets another owner again and again, under traffic */
    MODE_MOVES,       /* iothreads in turn, datagrams from the guest */
    MODE_MOVES_RX,    /* the same, to the guest */
    MODE_MOVES_VHOST, /* an iothread and vhost-net in turn, from the guest */
    MODE_COUNT,
} Mode;

extern const char *const mode_names[MODE_COUNT];

static inline bool mode_moves(Mode m)
{
    return m == MODE_MOVES || m == MODE_MOVES_RX || m == MODE_MOVES_VHOST;
}

static inline bool mode_transmits(Mode m)
{
    return m == MODE_TX || m == MODE_TSO || m == MODE_MIXED ||
           m == MODE_MOVES || m == MODE_MOVES_VHOST;
}

static inline bool mode_receives(Mode m)
{
    return m == MODE_RX || m == MODE_RTSO || m == MODE_MIXED ||
           m == MODE_MOVES_RX;
}

/* Values of --idle that are no microseconds */
#define IDLE_SPIN  0
#define IDLE_YIELD -1
#define IDLE_ADAPT -2

/* Fixed after main() has read its arguments. */
typedef struct MqOptions {
    const char *bin, *label, *modes, *queues, *netdev_args, *dev_args, *accel;
    const char *during, *shm, *json, *program_cpus, *bench_cpus;
    OptionWords per_queue;
    char **extra;
    int extra_count;
    int time_ms, repeat, warm_ms;
    int len, tso_len, mss, fragment, rx_size, tx_size, tx_flows, tx_batch;
    int rx_flows, window, segments, burst, generators, gen_idle;
    int idle, nice, mem, txqueuelen, rx_buffer, echo_frames, round_trips;
    int moves;
    bool irq, pass_fds, deep, event_idx, indirect, kick_qtest, syscalls;
} MqOptions;

extern MqOptions opt;

/* ---- the program under test ---- */

typedef struct Program {
    int pid;
    char dir[64];     /* its socket, its log */
    char memory[128]; /* file that is the guest's memory */
    char qmp[96];     /* its monitor's socket, in modes that move pairs */
} Program;

/* Starts it with a device of @pairs pairs on tap @tap, or on @fds if that is
 * not NULL, and connects to it: d->qtest and d->ram are set. */
void program_start(Program *p, VirtDevice *d, Mode mode, int pairs,
                   const char *tap, const int *fds);
void program_stop(Program *p, VirtDevice *d);
/* Ends the running program when this process ends in whatever way. */
void program_guard(void);

/* ---- the guest ---- */

typedef struct TxQueue {
    Vring *ring;
    int slot_count, slot_descs, stamp; /* offset of the stamp in a slot */
    int len;                           /* of a frame */
    bool indirect;
    uint64_t tables; /* guest address of the slots' indirect tables */
    uint16_t *free;
    int free_count;
    uint64_t seq[TX_FLOWS_PER_PAIR];

    /* any thread, atomic: shown while they count */
    uint64_t submitted, done, bytes;
    uint64_t starved; /* times when the device had used all there was */
} __attribute__((aligned(64))) TxQueue;

typedef struct RxQueue {
    Vring *ring;
    uint32_t buffer_size;
    RxCheck check;
    uint64_t bad_buffers; /* frames whose number of buffers is wrong */

    /* any thread, atomic: shown while they count */
    uint64_t packets, bytes, buffers;
} __attribute__((aligned(64))) RxQueue;

#define RX_MAX_BUFFERS 64

/* A received frame, without its vnet header: the parts it has in buffers. */
typedef struct RxFrame {
    int queue, len, parts;
    const uint8_t *data[RX_MAX_BUFFERS];
    int size[RX_MAX_BUFFERS];
} RxFrame;

typedef struct Guest Guest;
typedef void RxHandler(Guest *g, const RxFrame *f);

struct Guest {
    VirtDevice dev;
    TxQueue tx[MAX_PAIRS];
    RxQueue rx[MAX_PAIRS];
    int pairs;
    Mode mode;
    bool transmits, receives;
    int rx_stamp;
    RxHandler *handler;
    Gaps *gaps; /* of the ring of pair 0 that is in use, or NULL */
    pthread_t thread;

    /* the guest's thread: when to look again */
    uint64_t sleep_cost; /* ns that a sleep takes longer than asked for */
    uint64_t rated_ns, counted[2 * MAX_PAIRS];
    double rate[2 * MAX_PAIRS]; /* buffers a ns that a ring is used at */

    /* any thread, atomic */
    bool stop, no_more_tx;
    uint64_t cpu_ns, irqs;
};

void guest_init_queues(Guest *g);
void guest_free_queues(Guest *g);

/* Puts the next frame into the ring; there must be a free slot. */
void tx_put(Guest *g, TxQueue *t);
/* The same with a datagram of @len bytes, all of it written anew. */
void tx_put_datagram(Guest *g, TxQueue *t, int len);
/* Takes back what the device has used; returns how much. */
int tx_reclaim(Guest *g, TxQueue *t);
/* Reclaims and, until no_more_tx, refills. */
int tx_poll(Guest *g, TxQueue *t);

/* Gives g->handler what has arrived, and the buffers back; returns frames. */
int rx_poll(Guest *g, RxQueue *r);
/* Counts and checks. */
RxHandler rx_measure;

/* Moves frames by itself until guest_join(). */
void guest_start(Guest *g);
void guest_join(Guest *g);
/* Nothing to do: sleeps for a while, or until an interrupt. */
void guest_idle(Guest *g);
/* Learns what a sleep costs on this machine. */
void guest_measure_sleep(Guest *g);

/* ---- one run ---- */

typedef struct Run {
    Mode mode;
    int pairs;
    char tap[16];
    int ifindex;
    Program program;
    Guest guest;
    Sink sink;
    Load load;
} Run;

/* Verification of a run: all of it must be 0. */
typedef struct Faults {
    uint64_t lost, ooo, bad, bad_used, stuck, wrong_queue;
} Faults;

typedef struct MovesReport {
    Percentiles pause, usual; /* with a move, and without */
    double command_us;        /* median */
} MovesReport;

typedef struct Report {
    Metrics metrics;
    MovesReport moves;
    ProcSnapshot first, last; /* of the program, around the measurement */
    Faults faults;
    uint64_t tap_drops, gen_waits, gen_stalls, starved;
    uint64_t counted_packets, syscalls, futexes; /* with --syscalls */
    bool counted;
    char syscall_text[512];
} Report;

/* Echo returns whether all was well. */
bool run_echo(Run *r, FILE *json);
bool run_idle(Run *r, FILE *json);
void run_measure(Run *r, Report *report);

/* ---- moves ---- */

/* Before and after the guest's thread */
void moves_prepare(Run *r);
void moves_free(Run *r);
void moves_make(Run *r, MovesReport *report);
void moves_print(const MovesReport *m);
void moves_json(FILE *f, const MovesReport *m);

/* ---- its rows ---- */

/* Prints the row; returns whether nothing was wrong. */
bool report_row(const Run *r, const Report *report, FILE *json);
void report_head(void);

#endif
