/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing, history and completion at the process's terminal, by GNU
 * readline ("GNU Readline Library", 2.4.12, its alternate interface: a key is
 * handed in, a finished line is handed out).
 *
 * The library is loaded when the first monitor at a terminal prompts, not with
 * the program: it and terminfo would double what the dynamic linker does at
 * each start, for machines without a terminal too. It has one state for the
 * whole process, so there is one editor.
 *
 * It is kept away from the process around it: it reads from us, writes to us,
 * handles no signals, sets no terminal modes (the stdio Chardev does) and no
 * environment.
 */
#include "util/osdep.h"

#include <readline/history.h>
#include <readline/readline.h>
#include <sys/ioctl.h>

#include "monitor/hmp-internal.h"
#include "system/machine-lock.h"
#include "util/dynlib.h"

#define LIBRARY     "libreadline.so." G_STRINGIFY(RL_VERSION_MAJOR)
#define HISTORY_MAX 500
#define CTRL_C      0x03
#define CTRL_D      0x04

/* Functions and variables of the library that are used here. */
#define SYMBOLS(X)                        \
    X(add_history)                        \
    X(clear_history)                      \
    X(history_get)                        \
    X(history_base)                       \
    X(history_length)                     \
    X(stifle_history)                     \
    X(rl_attempted_completion_function)   \
    X(rl_attempted_completion_over)       \
    X(rl_bind_key)                        \
    X(rl_callback_handler_install)        \
    X(rl_callback_handler_remove)         \
    X(rl_callback_read_char)              \
    X(rl_catch_signals)                   \
    X(rl_catch_sigwinch)                  \
    X(rl_change_environment)              \
    X(rl_completer_word_break_characters) \
    X(rl_completion_matches)              \
    X(rl_completion_query_items)          \
    X(rl_completion_suppress_append)      \
    X(rl_deprep_term_function)            \
    X(rl_end)                             \
    X(rl_getc_function)                   \
    X(rl_initialize)                      \
    X(rl_input_available_hook)            \
    X(rl_kill_full_line)                  \
    X(rl_line_buffer)                     \
    X(rl_on_new_line)                     \
    X(rl_outstream)                       \
    X(rl_prep_term_function)              \
    X(rl_readline_name)                   \
    X(rl_redisplay)                       \
    X(rl_set_screen_size)                 \
    X(rl_tty_set_echoing)                 \
    X(rl_variable_bind)

/* Pointers to them, by the same names; filled once. */
static struct {
#define POINTER(name) __typeof__(name) *name;
    SYMBOLS(POINTER)
#undef POINTER
} lib;

/* Main thread. */
static struct {
    bool loaded, failed;
    const HmpEditorOps *ops; /* NULL: nobody has the editor */
    void *opaque;
    int fd;     /* the terminal, to ask for its size */
    bool shown; /* the prompt was shown once */
    FILE *out;  /* what the library writes */
    int key;    /* to be read; -1: none */
    HmpWords words;
    guint next_word;
    unsigned rows, columns;
} editor = { .key = -1 };

/* ---- the library ---- */

static const DynSymbol symbols[] = {
#define ROW(name) { #name, offsetof(__typeof__(lib), name) },
    SYMBOLS(ROW)
#undef ROW
};

/* Tries once; the library stays until the process ends. */
static bool load_library(void)
{
    if (editor.loaded || editor.failed) {
        return editor.loaded;
    }
    editor.loaded = dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib);
    editor.failed = !editor.loaded;
    return editor.loaded;
}

/* ---- what the library calls ---- */

static ssize_t stream_write(void *cookie, const char *buf, size_t len)
{
    if (editor.ops) {
        editor.ops->write(editor.opaque, buf, len);
    }
    return (ssize_t)len;
}

/* A key that is not there yet is the end of input for whoever waits for it. */
static int get_key(FILE *stream)
{
    int key = editor.key;

    editor.key = -1;
    return key < 0 ? EOF : key;
}

static int key_available(void)
{
    return editor.key >= 0;
}

static void prepare_terminal(int meta)
{
}

static void restore_terminal(void)
{
}

static char *next_match(const char *text, int state)
{
    const GPtrArray *list = editor.words.list;

    /* The library frees it. */
    return editor.next_word < list->len
               ? strdup(g_ptr_array_index(list, editor.next_word++))
               : NULL;
}

static char **complete(const char *text, int start, int end)
{
    g_autofree char *before = g_strndup(*lib.rl_line_buffer, (gsize)start);
    char **matches;

    machine_lock_assert();
    editor.words = (HmpWords){
        .prefix = text,
        .list = g_ptr_array_new_with_free_func(g_free),
    };
    editor.next_word = 0;
    hmp_complete(before, &editor.words);
    *lib.rl_attempted_completion_over = 1; /* and no file names instead */
    *lib.rl_completion_suppress_append = editor.words.open;
    matches = lib.rl_completion_matches(text, next_match);
    g_clear_pointer(&editor.words.list, g_ptr_array_unref);
    return matches;
}

static void remember(const char *line)
{
    const HIST_ENTRY *last =
        lib.history_get(*lib.history_base + *lib.history_length - 1);

    if (*line && (!last || strcmp(last->line, line) != 0)) {
        lib.add_history(line);
    }
}

static void line_done(char *line)
{
    if (line) {
        remember(line);
        fflush(editor.out);
        editor.ops->line(editor.opaque, line);
        free(line);
    }
}

/* ---- the editor ---- */

static void update_size(void)
{
    struct winsize size;

    if (ioctl(editor.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 0 &&
        (size.ws_col != editor.columns || size.ws_row != editor.rows)) {
        editor.columns = size.ws_col;
        editor.rows = size.ws_row;
        lib.rl_set_screen_size(size.ws_row, size.ws_col);
    }
}

static void configure(void)
{
    static const char *const settings[][2] = {
        { "enable-bracketed-paste", "off" }, /* would wait for the end mark */
        { "page-completions", "off" },       /* would wait for a key */
        { "keyseq-timeout", "0" },           /* keys come when they come */
        { "input-meta", "on" },
        { "output-meta", "on" },
        { "convert-meta", "off" },
    };

    *lib.rl_readline_name = "qemu";
    *lib.rl_outstream = editor.out;
    *lib.rl_getc_function = get_key;
    *lib.rl_input_available_hook = key_available;
    *lib.rl_prep_term_function = prepare_terminal;
    *lib.rl_deprep_term_function = restore_terminal;
    *lib.rl_catch_signals = 0;
    *lib.rl_catch_sigwinch = 0;
    *lib.rl_change_environment = 0;
    *lib.rl_completer_word_break_characters = " \t";
    *lib.rl_completion_query_items = 0;
    *lib.rl_attempted_completion_function = complete;
    lib.rl_initialize();
    lib.rl_tty_set_echoing(1); /* as it finds out where it sets the modes */
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        lib.rl_variable_bind(settings[i][0], settings[i][1]);
    }
    lib.rl_bind_key(CTRL_C, lib.rl_kill_full_line);
    lib.stifle_history(HISTORY_MAX);
    update_size();
}

bool hmp_readline_open(int fd, const HmpEditorOps *ops, void *opaque)
{
    static const cookie_io_functions_t functions = { .write = stream_write };
    const char *term = getenv("TERM");

    if (editor.ops || !term || !*term || !load_library()) {
        return false;
    }
    editor.out = fopencookie(NULL, "w", functions);
    if (!editor.out) {
        return false;
    }
    editor.fd = fd;
    editor.ops = ops;
    editor.opaque = opaque;
    editor.shown = false;
    editor.columns = editor.rows = 0;
    configure();
    return true;
}

void hmp_readline_show(void)
{
    update_size();
    if (editor.shown) {
        fputc('\n', editor.out);
        lib.rl_on_new_line();
        lib.rl_redisplay();
    } else {
        editor.shown = true;
        lib.rl_callback_handler_install(HMP_PROMPT, line_done);
    }
    fflush(editor.out);
}

void hmp_readline_key(uint8_t key)
{
    if (key == CTRL_D && *lib.rl_end == 0) {
        return; /* a monitor's input does not end */
    }
    update_size();
    editor.key = key;
    lib.rl_callback_read_char();
    editor.key = -1;
    fflush(editor.out);
}

void hmp_readline_close(void)
{
    if (!editor.ops) {
        return;
    }
    if (editor.shown) {
        lib.rl_callback_handler_remove();
    }
    lib.clear_history();
    editor.ops = NULL;
    *lib.rl_outstream = NULL;
    fclose(editor.out);
    editor.out = NULL;
}
