/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor's insides: commands, their arguments, completion, and the
 * editor of a terminal.
 *
 *   hmp.c            looks a line's command up and runs it; help
 *   hmp-args.c       a command's arguments out of the rest of the line
 *   hmp-complete.c   what could stand where the cursor is
 *   hmp-monitor.c    a monitor at a Chardev, with a simple line editor
 *   hmp-readline.c   the editor for a terminal
 *   hmp-cmds.c       the table of commands; fds
 *   hmp-net.c        commands for the machine's network
 *   hmp-user.c       commands for user netdevs
 *   hmp-chardev.c    commands for character devices
 *   hmp-dirty-rate.c measuring how fast memory is written
 *   hmp-qom.c        commands for objects, devices and properties
 *   hmp-print.c      values of schema types as text
 *   hmp-info.c       the table of `info` subjects; small ones
 *   hmp-info-*.c     subjects that need more
 *   hmp-qmp.c        human-monitor-command
 *
 * Threads: main thread.
 */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include "config-host.h"
#include "monitor/monitor.h"
#include "qapi/qapi-type.h"

/* What a monitor's user chose, and where his fds come from. */
typedef struct HmpSession {
    ChardevFrontend *fe; /* NULL: the lines come by QMP */
    unsigned cpu;        /* `cpu N` */
} HmpSession;

/* ---- arguments ---- */

#define HMP_MAX_ARGS 4

typedef enum HmpKind {
    HMP_WORD, /* a word; "in quotes" it may hold blanks, \" and \\ */
    HMP_REST, /* the rest of the line, as it is */
    HMP_INT,  /* 0..max, decimal or 0x hexadecimal */
    HMP_SIZE, /* 1..max bytes, with a suffix k, M, G */
    HMP_FLAG, /* its name, "-a"; flags come before all else */
} HmpKind;

/* Words that may stand at some place; those that do not begin with the prefix
 * are left out. */
typedef struct HmpWords {
    const char *prefix;
    const char *previous; /* the argument before; NULL: none */
    GPtrArray *list;      /* of char *, owned */
    bool open;            /* a word that is complete may go on (a path) */
} HmpWords;

void hmp_words_add(HmpWords *words, const char *word);

/* A parameter; the list of a command's ends with a name of NULL. */
typedef struct HmpParam {
    const char *name; /* for help: "DEVICE" */
    HmpKind kind;
    bool optional;
    uint64_t max;                   /* of a number; 0: INT64_MAX */
    void (*words)(HmpWords *words); /* adds what is known; may be NULL */
} HmpParam;

typedef struct HmpArg {
    bool given;
    char *text;      /* owned */
    uint64_t number; /* INT and SIZE */
} HmpArg;

typedef struct HmpArgs {
    HmpSession *session;
    HmpArg arg[HMP_MAX_ARGS]; /* in the order of the parameters */
} HmpArgs;

/* Reads @text by @params into zeroed @args. False: *@errp says what is wrong
 * with it. hmp_args_clear() in any case. */
bool hmp_args_parse(const HmpParam *params, const char *text, HmpArgs *args,
                    Error **errp);
void hmp_args_clear(HmpArgs *args);

/* ---- commands ---- */

typedef bool HmpRun(const HmpArgs *args, GString *out, Error **errp);

typedef struct HmpCommand HmpCommand;
struct HmpCommand {
    const char *name;
    const char *alias; /* another name, or NULL */
    const char *help;
    /* Adds what the user sees to @out, lines end in \n. On false the user sees
     * "Error: " and *@errp. */
    HmpRun *run;
    const HmpParam *params;    /* NULL: none */
    const HmpCommand *sub;     /* `info`, instead of @run: its subjects */
    bool (*qmp)(Error **errp); /* instead of @run: this QMP command does it */
};

/* A command's parameters. */
#define HMP_PARAMS(...)           \
    (const HmpParam[])            \
    {                             \
        __VA_ARGS__,              \
        {                         \
            NULL, HMP_WORD, false \
        }                         \
    }

/* Tables; the last row has no name. */
extern const HmpCommand hmp_commands[];
extern const HmpCommand hmp_info_commands[];

const HmpCommand *hmp_find(const HmpCommand *table, const char *name);

/* hmp_run() for the user of @session. */
void hmp_run_line(HmpSession *session, const char *line, GString *out)
    MAIN_THREAD;

/* `help [COMMAND [SUBJECT]]` */
HmpRun hmp_help;

/* hmp-chardev.c */
HmpRun hmp_chardev_add MAIN_THREAD;
HmpRun hmp_chardev_change MAIN_THREAD;
HmpRun hmp_chardev_remove MAIN_THREAD;
HmpRun hmp_chardev_send_break MAIN_THREAD;
HmpRun hmp_ringbuf_read MAIN_THREAD;
HmpRun hmp_ringbuf_write MAIN_THREAD;

/* hmp-dirty-rate.c */
HmpRun hmp_calc_dirty_rate MAIN_THREAD;

/* hmp-net.c */
HmpRun hmp_announce_self MAIN_THREAD;
HmpRun hmp_hostfwd_add MAIN_THREAD;
HmpRun hmp_hostfwd_remove MAIN_THREAD;
HmpRun hmp_iothread_set_affinity MAIN_THREAD;
HmpRun hmp_netdev_add MAIN_THREAD;
HmpRun hmp_netdev_del MAIN_THREAD;
HmpRun hmp_netdev_set_queues MAIN_THREAD;
HmpRun hmp_set_link MAIN_THREAD;
HmpRun hmp_virtio_net_set_queue_mapping MAIN_THREAD;
HmpRun hmp_virtio_net_set_rate_limit MAIN_THREAD;
HmpRun hmp_virtio_net_set_vhost_affinity MAIN_THREAD;

/* hmp-qom.c */
HmpRun hmp_device_add MAIN_THREAD;
HmpRun hmp_device_del MAIN_THREAD;
HmpRun hmp_object_add MAIN_THREAD;
HmpRun hmp_object_del MAIN_THREAD;
HmpRun hmp_qom_get MAIN_THREAD;
HmpRun hmp_qom_list MAIN_THREAD;
HmpRun hmp_qom_set MAIN_THREAD;

/* hmp-info-cpus.c: how many CPUs there are; whether @index is one. */
size_t hmp_count_cpus(void) MAIN_THREAD;
bool hmp_check_cpu(uint64_t index, Error **errp) MAIN_THREAD;

/* hmp-print.c: a value of @type, whose contents it frees, as indented lines;
 * @hex: large numbers are addresses. And the same of a JSON value. */
void hmp_print(const QapiType *type, void *value, bool hex, GString *out);
void hmp_print_json(json_object *value, int indent, bool hex, GString *out);

/* Bytes that a guest or a stranger chose, such that they cannot steer the
 * user's terminal: \xNN, \\ (newlines and tabs stay). */
void hmp_append_visible(GString *out, const void *buf, size_t len);

/* ---- completion ---- */

/* Fills @words (prefix set, list empty) with what may follow @before, the line
 * up to the word that words->prefix begins. */
void hmp_complete(const char *before, HmpWords *words) MAIN_THREAD;

/* For HmpParam.words. */
void hmp_words_commands(HmpWords *words);
void hmp_words_subjects(HmpWords *words);
void hmp_words_chardevs(HmpWords *words) MAIN_THREAD;
void hmp_words_ringbufs(HmpWords *words) MAIN_THREAD;
void hmp_words_objects(HmpWords *words) MAIN_THREAD;
void hmp_words_object_types(HmpWords *words);
void hmp_words_devices(HmpWords *words) MAIN_THREAD;
void hmp_words_drivers(HmpWords *words);
void hmp_words_backends(HmpWords *words);
void hmp_words_nics(HmpWords *words) MAIN_THREAD;
void hmp_words_iothreads(HmpWords *words) MAIN_THREAD;
void hmp_words_netdevs(HmpWords *words) MAIN_THREAD;
void hmp_words_net_clients(HmpWords *words) MAIN_THREAD;
void hmp_words_netdev_types(HmpWords *words);
void hmp_words_switch(HmpWords *words);
void hmp_words_directions(HmpWords *words);
void hmp_words_paths(HmpWords *words) MAIN_THREAD;
void hmp_words_properties(HmpWords *words) MAIN_THREAD;
void hmp_words_virtio(HmpWords *words) MAIN_THREAD;
void hmp_words_cpus(HmpWords *words) MAIN_THREAD;

/* ---- the editor of a terminal (hmp-readline.c) ---- */

typedef struct HmpEditorOps {
    void (*write)(void *opaque, const char *buf, size_t len);
    void (*line)(void *opaque, const char *line);
} HmpEditorOps;

#ifdef CONFIG_READLINE
/*
 * Makes the one editor there is, for the terminal @fd. False: it is taken, or
 * there is none in this build or on this host; the simple one does then.
 */
bool hmp_readline_open(int fd, const HmpEditorOps *ops, void *opaque)
    MAIN_THREAD;
/* Prompts; again after others wrote to the terminal. */
void hmp_readline_show(void) MAIN_THREAD;
void hmp_readline_key(uint8_t key) MAIN_THREAD;
void hmp_readline_close(void) MAIN_THREAD;
#else
static inline bool hmp_readline_open(int fd, const HmpEditorOps *ops,
                                     void *opaque)
{
    return false;
}
static inline void hmp_readline_show(void)
{
}
static inline void hmp_readline_key(uint8_t key)
{
}
static inline void hmp_readline_close(void)
{
}
#endif

#define HMP_PROMPT "(qemu) "

#endif
