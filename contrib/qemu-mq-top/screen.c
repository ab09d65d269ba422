/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <locale.h>
#include <ncurses.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/ui.h"

/* Title, heading; message, keys. */
#define LINES_ABOVE 2
#define LINES_BELOW 2
#define MIN_LINES   (LINES_ABOVE + LINES_BELOW + 2)

/* The first of them fit in the least width. */
#define KEYS_OF_TABLE                                               \
    "m move  c queues  l link  h help  q quit  d details  s sort  " \
    "+- interval  e messages"

enum { COLOR_OF_ERROR = 1, COLOR_OF_EVENT, COLOR_OF_NIC };

static SCREEN *screen;

bool mq_screen_start(Error **errp)
{
    /* numbers keep their point */
    setlocale(LC_CTYPE, "");
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        const char *term = g_getenv("TERM");

        error_setg(errp,
                   "the terminal '%s' is not known (TERM); --once prints "
                   "without one",
                   term ? term : "");
        return false;
    }
    set_escdelay(50);
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(COLOR_OF_ERROR, COLOR_RED, -1);
        init_pair(COLOR_OF_EVENT, COLOR_YELLOW, -1);
        init_pair(COLOR_OF_NIC, COLOR_CYAN, -1);
    }
    return true;
}

void mq_screen_stop(void)
{
    if (screen) {
        endwin();
        delscreen(screen);
        screen = NULL;
    }
}

unsigned mq_screen_body(void)
{
    return LINES > LINES_ABOVE + LINES_BELOW
               ? (unsigned)(LINES - LINES_ABOVE - LINES_BELOW)
               : 1;
}

/* A line of printable ASCII, cut at the right edge; with an attribute it is
 * filled up to the edge. */
static void put_line(int y, attr_t attr, const char *text)
{
    if (y < 0 || y >= LINES) {
        return;
    }
    attrset(attr);
    mvaddnstr(y, 0, text, COLS);
    if (attr & A_REVERSE) {
        for (int x = (int)strlen(text); x < COLS; x++) {
            mvaddch(y, x, ' ');
        }
    }
    attrset(A_NORMAL);
}

static void G_GNUC_PRINTF(3, 4) put(int y, attr_t attr, const char *fmt, ...)
{
    g_autofree char *text = NULL, *shown = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    shown = text_shown(text, 4096);
    put_line(y, attr, shown);
}

/* ---- above and below ---- */

static void draw_title(const MqUi *ui)
{
    const MqSession *s = ui->session;
    const MqModel *m = s->model;
    unsigned n = 0;

    for (unsigned i = 0; i < m->nics->len; i++) {
        n += ((const MqNic *)g_ptr_array_index(m->nics, i))->pairs->len;
    }
    put(0, A_BOLD, "qemu-mq-top  %s%s%s  %u NICs, %u pairs%s  every %g s%s%s",
        s->vm_name ? s->vm_name : "", s->vm_name ? "  " : "", s->address,
        m->nics->len, n + m->left_out,
        m->left_out ? " (not all are shown)" : "",
        (double)s->interval / G_USEC_PER_SEC,
        ui->sort == MQ_SORT_NAME ? "" : "  by ",
        ui->sort == MQ_SORT_NAME ? "" : mq_sort_name(ui->sort));
}

static attr_t log_attr(const MqLogEntry *e)
{
    return e->kind == MQ_LOG_ERROR   ? A_BOLD | COLOR_PAIR(COLOR_OF_ERROR)
           : e->kind == MQ_LOG_EVENT ? COLOR_PAIR(COLOR_OF_EVENT)
                                     : A_NORMAL;
}

static void draw_message(const MqUi *ui)
{
    const MqLogEntry *e = mq_log_latest(ui->session->log, 0);

    if (ui->mode == MQ_MODE_QUEUES) {
        put(LINES - 2, A_BOLD, "Queues of netdev %s: %s_  (Enter, Esc)",
            ui->target, ui->digits);
    } else if (ui->mode == MQ_MODE_LINK) {
        put(LINES - 2, A_BOLD, "Take the link of %s down? (y/n)", ui->target);
    } else if (e) {
        put(LINES - 2, log_attr(e), "%s %s", e->clock, e->text);
    }
}

static void draw_keys(const MqUi *ui)
{
    static const char *const keys[] = {
        [MQ_MODE_TABLE] = KEYS_OF_TABLE,
        [MQ_MODE_HELP] = "Up/Down; another key goes back",
        [MQ_MODE_LOG] = "Up/Down; another key goes back",
        [MQ_MODE_DETAIL] = "Up/Down; another key goes back",
        [MQ_MODE_MOVE] = "Up/Down, Enter or a number; Esc goes back",
        [MQ_MODE_QUEUES] = "a number and Enter; Esc goes back",
        [MQ_MODE_LINK] = "y; another key goes back",
    };

    put_line(LINES - 1, A_REVERSE, keys[ui->mode]);
}

/* ---- the table ---- */

static void draw_row(int y, const MqRow *row, bool selected)
{
    g_autofree char *line = mq_line(row, (unsigned)COLS);
    attr_t attr = A_NORMAL;

    if (!row->pair) {
        attr =
            A_BOLD | COLOR_PAIR(row->nic->link == MQ_LINK_DOWN ? COLOR_OF_ERROR
                                                               : COLOR_OF_NIC);
    } else if (row->pair->stalled) {
        attr = A_BOLD | COLOR_PAIR(COLOR_OF_ERROR);
    }
    put_line(y, selected ? A_REVERSE : attr, line);
}

static void draw_table(MqUi *ui)
{
    g_autoptr(GArray) rows = mq_rows(ui->session->model, ui->sort);
    g_autofree char *heading = mq_heading((unsigned)COLS);
    unsigned body = mq_screen_body(), at = 0;

    put_line(1, A_REVERSE, heading);
    if (!mq_ui_selected(ui, rows, &at)) {
        put(LINES_ABOVE, A_NORMAL,
            ui->session->samples ? "no NICs" : "waiting for the emulator...");
        return;
    }
    /* the selected line is always in sight */
    ui->top = MIN(ui->top, at);
    ui->top = MAX(ui->top, at + 1 > body ? at + 1 - body : 0);
    ui->top = MIN(ui->top, rows->len > body ? rows->len - body : 0);
    for (unsigned i = 0; i < body && ui->top + i < rows->len; i++) {
        draw_row(LINES_ABOVE + (int)i, &g_array_index(rows, MqRow, ui->top + i),
                 ui->top + i == at);
    }
}

/* ---- the lists ---- */

/* Lines of a list from @ui->scroll on. */
static void draw_list(MqUi *ui, const char *heading, const GPtrArray *list)
{
    unsigned body = mq_screen_body();

    ui->scroll = MIN(ui->scroll, list->len > body ? list->len - body : 0);
    put_line(1, A_REVERSE, heading);
    for (unsigned i = 0; i < body && ui->scroll + i < list->len; i++) {
        put(LINES_ABOVE + (int)i, A_NORMAL, "%s",
            (const char *)g_ptr_array_index(list, ui->scroll + i));
    }
}

static void draw_help(MqUi *ui)
{
    static const char *const help[] = {
        "Up Down j k     select a pair, or a NIC (all its pairs)",
        "PgUp PgDn Home End   further",
        "Tab n           the next NIC",
        "m               move the pair, or all of the NIC, to vhost-net or an",
        "                iothread (virtio-net-set-queue-mapping)",
        "c               change the queues of the netdev (netdev-set-queues)",
        "l               link down, after a question, or up (set_link)",
        "d Enter         all counters of the pair",
        "s               sort by name, rx, tx, drops, cpu",
        "+ -             a longer, a shorter interval",
        "e               messages: errors, events, what was done",
        "Ctrl-L          draw anew",
        "q               quit",
        "",
        "pk/s, b/s: packets and bits a second. RX is towards the guest.",
        "\"-\": not known. The kernel does not count what vhost-net moves.",
        "CPU%: of the thread; pairs on one thread show the same.",
        "RXRING%: buffers in the ring; TXRING%: packets that wait in it.",
        "KICK/pk, SIG/pk: notifications and interrupts for each packet.",
        "STALLED: the driver is not served. unused: the driver does not use",
        "it. detached: the host gives it no packets. to vhost: an iothread",
        "has it until vhost-net can take it.",
    };
    g_autoptr(GPtrArray) list = g_ptr_array_new();

    for (size_t i = 0; i < ARRAY_SIZE(help); i++) {
        g_ptr_array_add(list, (char *)(uintptr_t)help[i]);
    }
    draw_list(ui, "KEYS", list);
}

static void draw_log(MqUi *ui)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    const MqLogEntry *e;

    for (unsigned i = 0; (e = mq_log_latest(ui->session->log, i)); i++) {
        g_ptr_array_add(list, g_strdup_printf("%s %s", e->clock, e->text));
    }
    if (!list->len) {
        g_ptr_array_add(list, g_strdup("no messages so far"));
    }
    draw_list(ui, "MESSAGES, THE LATEST FIRST", list);
}

static char *counter_line(const MqModel *m, const MqPair *p, const char *name,
                          json_object *value)
{
    char rate[8];

    mq_format_number(mq_pair_rate(m, p, name), rate);
    if (!json_object_is_type(value, json_type_int)) {
        return g_strdup_printf(
            "%-24.24s %s", name,
            json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
    }
    return g_strdup_printf("%-24.24s %20s %8s%s", name,
                           json_object_get_string(value), rate,
                           strcmp(rate, "-") ? "/s" : "");
}

static void draw_detail(MqUi *ui)
{
    g_autoptr(GArray) rows = mq_rows(ui->session->model, ui->sort);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *heading = NULL, *shown = NULL;
    unsigned at = 0;
    MqRow row = { NULL, NULL };

    if (mq_ui_selected(ui, rows, &at)) {
        row = g_array_index(rows, MqRow, at);
    }
    if (!row.pair) {
        g_ptr_array_add(list, g_strdup("select a pair to see its counters"));
    } else if (row.pair->stats) {
        json_object_object_foreach(row.pair->stats, name, value)
        {
            g_ptr_array_add(
                list, counter_line(ui->session->model, row.pair, name, value));
        }
    }
    heading = row.pair ? g_strdup_printf("%s PAIR %u", row.nic->name,
                                         row.pair->number)
                       : g_strdup("COUNTERS");
    shown = text_shown(heading, 4096);
    draw_list(ui, shown, list);
}

static void draw_owners(MqUi *ui)
{
    const GPtrArray *iothreads = ui->session->model->iothreads;
    unsigned body = mq_screen_body(), n = mq_ui_n_choices(ui), top;
    g_autofree char *name = text_shown(ui->target, 60), *heading = NULL;

    ui->choice = MIN(ui->choice, n - 1);
    top = ui->choice >= body ? ui->choice + 1 - body : 0;
    heading =
        ui->target_pair < 0
            ? g_strdup_printf("MOVE ALL PAIRS OF %s TO", name)
            : g_strdup_printf("MOVE PAIR %d OF %s TO", ui->target_pair, name);
    put_line(1, A_REVERSE, heading);
    for (unsigned i = 0; i < body && top + i < n; i++) {
        unsigned k = top + i;

        put(LINES_ABOVE + (int)i, k == ui->choice ? A_REVERSE : A_NORMAL,
            "%2u  %s%s", k, k ? "iothread " : "vhost-net",
            k ? (const char *)g_ptr_array_index(iothreads, k - 1) : "");
    }
}

void mq_screen_draw(MqUi *ui)
{
    erase();
    if (LINES < MIN_LINES || COLS < (int)MQ_MIN_WIDTH) {
        put(0, A_NORMAL, "too small: %dx%d, min %ux%d", COLS, LINES,
            MQ_MIN_WIDTH, MIN_LINES);
        refresh();
        return;
    }
    draw_title(ui);
    switch (ui->mode) {
    case MQ_MODE_HELP:
        draw_help(ui);
        break;
    case MQ_MODE_LOG:
        draw_log(ui);
        break;
    case MQ_MODE_DETAIL:
        draw_detail(ui);
        break;
    case MQ_MODE_MOVE:
        draw_owners(ui);
        break;
    default:
        draw_table(ui);
    }
    draw_message(ui);
    draw_keys(ui);
    refresh();
}
