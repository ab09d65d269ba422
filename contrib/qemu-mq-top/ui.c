/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <ncurses.h>

#include "contrib/qemu-mq-top/ui.h"

/* Keys taken in one turn, so that a flood of them does not stop the rest. */
#define KEYS_PER_TURN 64u

#define KEY_ESCAPE 27
#define KEY_CTRL_L 12

/* What one press of + or - makes of the interval, microseconds. */
static const int64_t intervals[] = {
    100000,  200000,   500000,   1000000,  2000000,
    5000000, 10000000, 30000000, 60000000,
};

MqUi *mq_ui_open(MqSession *s, Error **errp)
{
    MqUi *ui;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        error_setg(errp, "standard input and output are no terminal; --once "
                         "prints without one");
        return NULL;
    }
    if (!mq_screen_start(errp)) {
        return NULL;
    }
    ui = g_new0(MqUi, 1);
    ui->session = s;
    ui->pair = -1;
    return ui;
}

void mq_ui_close(MqUi *ui)
{
    if (ui) {
        mq_screen_stop();
        g_free(ui->nic);
        g_free(ui->target);
        g_free(ui);
    }
}

/* ---- selection ---- */

static void select_row(MqUi *ui, const MqRow *row)
{
    if (g_strcmp0(ui->nic, row->nic->qom_path) != 0) {
        g_free(ui->nic);
        ui->nic = g_strdup(row->nic->qom_path);
    }
    ui->pair = row->pair ? (int)row->pair->number : -1;
}

bool mq_ui_selected(MqUi *ui, const GArray *rows, unsigned *index)
{
    unsigned near_by = 0;

    if (rows->len == 0) {
        return false;
    }
    for (unsigned i = 0; i < rows->len; i++) {
        const MqRow *row = &g_array_index(rows, MqRow, i);
        int pair = row->pair ? (int)row->pair->number : -1;

        if (g_strcmp0(row->nic->qom_path, ui->nic) != 0) {
            continue;
        }
        near_by = i;
        if (pair == ui->pair) {
            *index = i;
            return true;
        }
    }
    *index = near_by;
    select_row(ui, &g_array_index(rows, MqRow, near_by));
    return true;
}

static void select_by(MqUi *ui, int64_t delta)
{
    g_autoptr(GArray) rows = mq_rows(ui->session->model, ui->sort);
    unsigned at;

    if (mq_ui_selected(ui, rows, &at)) {
        int64_t to = CLAMP((int64_t)at + delta, 0, (int64_t)rows->len - 1);

        select_row(ui, &g_array_index(rows, MqRow, to));
    }
}

/* The next NIC's line, round and round. */
static void select_next_nic(MqUi *ui)
{
    g_autoptr(GArray) rows = mq_rows(ui->session->model, ui->sort);
    unsigned at;

    if (!mq_ui_selected(ui, rows, &at)) {
        return;
    }
    for (unsigned i = 1; i <= rows->len; i++) {
        const MqRow *row = &g_array_index(rows, MqRow, (at + i) % rows->len);

        if (!row->pair) {
            select_row(ui, row);
            return;
        }
    }
}

/* The NIC and pair that the selection is on. */
static bool selection(MqUi *ui, MqRow *row)
{
    g_autoptr(GArray) rows = mq_rows(ui->session->model, ui->sort);
    unsigned at;

    if (!mq_ui_selected(ui, rows, &at)) {
        mq_log(ui->session->log, MQ_LOG_ERROR, "there is no NIC");
        return false;
    }
    *row = g_array_index(rows, MqRow, at);
    return true;
}

static void set_target(MqUi *ui, const char *name, int pair)
{
    g_free(ui->target);
    ui->target = g_strdup(name);
    ui->target_pair = pair;
}

/* ---- questions ---- */

unsigned mq_ui_n_choices(const MqUi *ui)
{
    return 1 + ui->session->model->iothreads->len;
}

static void ask_move(MqUi *ui)
{
    MqRow row;

    if (selection(ui, &row)) {
        set_target(ui, row.nic->name, row.pair ? (int)row.pair->number : -1);
        ui->choice = 0;
        ui->mode = MQ_MODE_MOVE;
    }
}

static void ask_queues(MqUi *ui)
{
    MqRow row;

    if (!selection(ui, &row)) {
        return;
    }
    if (!row.nic->netdev) {
        mq_log(ui->session->log, MQ_LOG_ERROR, "%s has no netdev",
               row.nic->name);
        return;
    }
    set_target(ui, row.nic->netdev, -1);
    ui->digits[0] = '\0';
    ui->mode = MQ_MODE_QUEUES;
}

/* Down is asked about; up is done at once. The netdev's link takes the NIC's
 * with it, so that it comes up whichever was down. */
static void toggle_link(MqUi *ui)
{
    MqRow row;

    if (!selection(ui, &row)) {
        return;
    }
    if (row.nic->link == MQ_LINK_DOWN) {
        mq_session_set_link(ui->session,
                            row.nic->netdev ? row.nic->netdev : row.nic->name,
                            true);
        return;
    }
    set_target(ui, row.nic->name, -1);
    ui->mode = MQ_MODE_LINK;
}

static void do_move(MqUi *ui)
{
    const GPtrArray *iothreads = ui->session->model->iothreads;

    ui->mode = MQ_MODE_TABLE;
    /* the list may have become shorter while it was looked at */
    if (ui->choice <= iothreads->len) {
        mq_session_move(
            ui->session, ui->target, ui->target_pair,
            ui->choice ? g_ptr_array_index(iothreads, ui->choice - 1) : NULL);
    }
}

static void key_in_move(MqUi *ui, int key)
{
    unsigned n = mq_ui_n_choices(ui);

    if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        do_move(ui);
    } else if (key == KEY_DOWN || key == 'j') {
        ui->choice = MIN(ui->choice + 1, n - 1);
    } else if (key == KEY_UP || key == 'k') {
        ui->choice -= ui->choice > 0;
    } else if (key >= '0' && key <= '9' && (unsigned)(key - '0') < n) {
        ui->choice = (unsigned)(key - '0');
        do_move(ui);
    } else {
        ui->mode = MQ_MODE_TABLE;
    }
}

static void key_in_queues(MqUi *ui, int key)
{
    size_t len = strlen(ui->digits);

    if (key >= '0' && key <= '9') {
        if (len < sizeof(ui->digits) - 1) {
            ui->digits[len] = (char)key;
            ui->digits[len + 1] = '\0';
        }
        return;
    }
    if (key == KEY_BACKSPACE || key == 127 || key == '\b') {
        ui->digits[len ? len - 1 : 0] = '\0';
        return;
    }
    if ((key == '\n' || key == '\r' || key == KEY_ENTER) && len) {
        mq_session_set_queues(ui->session, ui->target,
                              (unsigned)strtoul(ui->digits, NULL, 10));
    }
    ui->mode = MQ_MODE_TABLE;
}

/* ---- keys ---- */

static void change_interval(MqUi *ui, bool longer)
{
    MqSession *s = ui->session;
    size_t n = ARRAY_SIZE(intervals);
    int64_t to = s->interval;

    for (size_t i = 0; i < n; i++) {
        if (longer && intervals[i] > s->interval) {
            to = intervals[i];
            break;
        }
        if (!longer && intervals[n - 1 - i] < s->interval) {
            to = intervals[n - 1 - i];
            break;
        }
    }
    mq_session_set_interval(s, to);
}

static void open_list(MqUi *ui, MqMode mode)
{
    ui->mode = mode;
    ui->scroll = 0;
}

static void key_in_list(MqUi *ui, int key)
{
    unsigned page = mq_screen_body();

    switch (key) {
    case KEY_DOWN:
    case 'j':
        ui->scroll++;
        break;
    case KEY_UP:
    case 'k':
        ui->scroll -= ui->scroll > 0;
        break;
    case KEY_NPAGE:
        ui->scroll += page;
        break;
    case KEY_PPAGE:
        ui->scroll -= MIN(ui->scroll, page);
        break;
    default:
        ui->mode = MQ_MODE_TABLE;
    }
}

static bool key_moves_selection(MqUi *ui, int key)
{
    int64_t page = mq_screen_body();

    switch (key) {
    case KEY_DOWN:
    case 'j':
        select_by(ui, 1);
        return true;
    case KEY_UP:
    case 'k':
        select_by(ui, -1);
        return true;
    case KEY_NPAGE:
        select_by(ui, page);
        return true;
    case KEY_PPAGE:
        select_by(ui, -page);
        return true;
    case KEY_HOME:
        select_by(ui, -(int64_t)MQ_MAX_PAIRS * 2);
        return true;
    case KEY_END:
        select_by(ui, (int64_t)MQ_MAX_PAIRS * 2);
        return true;
    case '\t':
    case 'n':
        select_next_nic(ui);
        return true;
    default:
        return false;
    }
}

static void key_in_table(MqUi *ui, int key)
{
    switch (key) {
    case 'm':
        ask_move(ui);
        break;
    case 'c':
        ask_queues(ui);
        break;
    case 'l':
        toggle_link(ui);
        break;
    case 's':
        ui->sort = (ui->sort + 1) % MQ_N_SORTS;
        break;
    case '+':
    case '=':
        change_interval(ui, true);
        break;
    case '-':
        change_interval(ui, false);
        break;
    case 'd':
    case '\n':
    case '\r':
    case KEY_ENTER:
        open_list(ui, MQ_MODE_DETAIL);
        break;
    case 'e':
        open_list(ui, MQ_MODE_LOG);
        break;
    case 'h':
    case '?':
        open_list(ui, MQ_MODE_HELP);
        break;
    default:
        key_moves_selection(ui, key);
    }
}

static void take_key(MqUi *ui, int key)
{
    if (key == KEY_CTRL_L) {
        clearok(curscr, TRUE);
        return;
    }
    if (key == KEY_RESIZE) {
        return;
    }
    switch (ui->mode) {
    case MQ_MODE_TABLE:
        ui->quit = key == 'q';
        key_in_table(ui, key);
        break;
    case MQ_MODE_MOVE:
        key_in_move(ui, key);
        break;
    case MQ_MODE_QUEUES:
        key_in_queues(ui, key);
        break;
    case MQ_MODE_LINK:
        if (key == 'y') {
            mq_session_set_link(ui->session, ui->target, false);
        }
        ui->mode = MQ_MODE_TABLE;
        break;
    default:
        key_in_list(ui, key);
    }
}

bool mq_ui_keys(MqUi *ui)
{
    for (unsigned i = 0; i < KEYS_PER_TURN && !ui->quit; i++) {
        int key = getch();

        if (key == ERR) {
            break;
        }
        take_key(ui, key);
    }
    return !ui->quit;
}
