/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen and the keys. ui.c has what the user looks at and does;
 * screen.c draws it.
 *
 * Threads: one thread has the terminal.
 */
#ifndef MQ_TOP_UI_H
#define MQ_TOP_UI_H

#include "contrib/qemu-mq-top/session.h"
#include "contrib/qemu-mq-top/view.h"

/* What is shown in place of the table, or asked below it. */
typedef enum MqMode {
    MQ_MODE_TABLE,
    MQ_MODE_HELP,
    MQ_MODE_LOG,
    MQ_MODE_DETAIL, /* counters of the selected pair */
    MQ_MODE_MOVE,   /* a list of owners to choose from */
    MQ_MODE_QUEUES, /* a number is typed */
    MQ_MODE_LINK,   /* y or n */
} MqMode;

typedef struct MqUi {
    MqSession *session;
    MqMode mode;
    MqSort sort;
    char *nic;       /* selected, by its QOM path; NULL: nothing is */
    int pair;        /* of it; -1: the NIC's own line */
    unsigned top;    /* first line of the table that is shown */
    unsigned scroll; /* of the other lists */
    unsigned choice; /* of the list of owners */
    char digits[6];  /* typed so far */
    char *target;    /* what the question is about: NIC or netdev */
    int target_pair; /* -1: all */
    bool quit;
} MqUi;

/* ---- ui.c ---- */

/* Takes the terminal. NULL with @errp set when it cannot be used. */
MqUi *mq_ui_open(MqSession *s, Error **errp);

/* Gives the terminal back as it was. */
void mq_ui_close(MqUi *ui);

/* Takes the keys that were pressed. False when the user wants to leave, or the
 * terminal is gone. */
bool mq_ui_keys(MqUi *ui);

/* The selected line; false when there is none. The selection goes to a line
 * near by when its own is gone. */
bool mq_ui_selected(MqUi *ui, const GArray *rows, unsigned *index);

/* Owners that a pair can be moved to: 0 is vhost-net, the others are iothreads
 * of the model. */
unsigned mq_ui_n_choices(const MqUi *ui);

/* ---- screen.c ---- */

bool mq_screen_start(Error **errp);
void mq_screen_stop(void);
void mq_screen_draw(MqUi *ui);

/* Lines that the table, and the other lists, have at the moment. */
unsigned mq_screen_body(void);

#endif
