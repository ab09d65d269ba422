/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a JSON value begins and ends in a stream of bytes, whatever those are.
 * What lies between is given to the JSON parser. Strings in single quotes are
 * understood; they are turned into the usual ones on the way.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-visit.h"

#define TEXT_KEEP 4096 /* a buffer that grew larger is given back */

typedef enum LexState {
    LEX_OUTSIDE, /* of any value, or only of strings */
    LEX_SCALAR,  /* in a number or word that is a whole value */
    LEX_STRING,
    LEX_ESCAPE, /* behind a backslash */
    LEX_HEX,    /* among the digits of \uXXXX */
} LexState;

typedef enum Step { STEP_MORE, STEP_DONE, STEP_DONE_BEFORE, STEP_ERROR } Step;

struct QmpLexer {
    GString *text; /* the value so far */
    LexState state;
    char quote;        /* STRING: what ends it */
    unsigned n_digits; /* HEX: seen so far, and their value */
    unsigned code;
    bool high;    /* a high surrogate waits for its low one */
    bool bad;     /* an error was reported: skipping */
    size_t depth; /* open brackets */
    unsigned max_depth;
    size_t tokens;
    uint8_t arrays[QMP_DEPTH_MAX / 8]; /* which of them are "[" */
    const char *error;
};

QmpLexer *qmp_lexer_new(void)
{
    QmpLexer *lx = g_new0(QmpLexer, 1);

    lx->text = g_string_sized_new(TEXT_KEEP);
    return lx;
}

void qmp_lexer_free(QmpLexer *lx)
{
    if (lx) {
        g_string_free(lx->text, TRUE);
        g_free(lx);
    }
}

static void drop_text(QmpLexer *lx)
{
    if (lx->text->allocated_len > TEXT_KEEP) {
        g_string_free(lx->text, TRUE);
        lx->text = g_string_sized_new(TEXT_KEEP - 1);
    }
    g_string_truncate(lx->text, 0);
}

void qmp_lexer_reset(QmpLexer *lx)
{
    drop_text(lx);
    lx->state = LEX_OUTSIDE;
    lx->bad = false;
    lx->high = false;
    lx->depth = 0;
    lx->max_depth = 0;
    lx->tokens = 0;
}

/* The first error of a value is reported, the value skipped. */
static Step fail(QmpLexer *lx, const char *error)
{
    if (lx->bad) {
        return STEP_MORE;
    }
    drop_text(lx);
    lx->bad = true;
    lx->high = false;
    lx->error = error;
    return STEP_ERROR;
}

static Step append(QmpLexer *lx, const char *text, size_t len)
{
    if (lx->bad) {
        return STEP_MORE;
    }
    if (len > QMP_MESSAGE_MAX - lx->text->len) {
        return fail(lx, "longer than 64 MiB");
    }
    g_string_append_len(lx->text, text, (gssize)len);
    return STEP_MORE;
}

static Step append_token(QmpLexer *lx, char c)
{
    if (++lx->tokens > QMP_TOKENS_MAX) {
        return fail(lx, "more than 262144 tokens");
    }
    return append(lx, &c, 1);
}

/* The value has ended, if all brackets are closed. */
static Step complete(QmpLexer *lx)
{
    lx->state = LEX_OUTSIDE;
    if (lx->depth > 0) {
        return STEP_MORE;
    }
    if (lx->bad) {
        qmp_lexer_reset(lx);
        return STEP_MORE;
    }
    return STEP_DONE;
}

static Step open_bracket(QmpLexer *lx, char c)
{
    size_t at = lx->depth++;

    if (at == 0 && lx->bad) {
        qmp_lexer_reset(lx); /* a new value after garbage */
        lx->depth = 1;
    }
    if (lx->bad) {
        return STEP_MORE;
    }
    if (at >= QMP_DEPTH_MAX) {
        return fail(lx, "nested more than 1024 deep");
    }
    lx->arrays[at / 8] &= (uint8_t) ~(1u << (at % 8));
    lx->arrays[at / 8] |= (uint8_t)((c == '[') << (at % 8));
    lx->max_depth = MAX(lx->max_depth, (unsigned)lx->depth);
    return append_token(lx, c);
}

static Step close_bracket(QmpLexer *lx, char c)
{
    Step step;
    size_t at;

    if (lx->depth == 0) {
        return fail(lx, "a closing bracket that nothing opened");
    }
    at = --lx->depth;
    if (!lx->bad && ((lx->arrays[at / 8] >> (at % 8)) & 1) != (c == ']')) {
        step = fail(lx, "a closing bracket of the wrong kind");
    } else {
        step = append_token(lx, c);
    }
    if (step == STEP_ERROR) {
        if (lx->depth == 0) {
            qmp_lexer_reset(lx);
        }
        return step;
    }
    return complete(lx);
}

static bool is_scalar(char c)
{
    return g_ascii_islower(c) || g_ascii_isdigit(c) || (c && strchr("+-.E", c));
}

/* Outside of strings. */
static Step step_outside(QmpLexer *lx, char c)
{
    switch (c) {
    case '{':
    case '[':
        return open_bracket(lx, c);
    case '}':
    case ']':
        return close_bracket(lx, c);
    case '\'':
    case '"':
        if (lx->depth == 0 && lx->bad) {
            return STEP_MORE;
        }
        lx->state = LEX_STRING;
        lx->quote = c;
        return append_token(lx, '"');
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return lx->depth == 0 ? STEP_MORE : append(lx, " ", 1);
    case ',':
    case ':':
        return lx->depth == 0 ? fail(lx, "a comma or colon outside of a value")
                              : append_token(lx, c);
    }
    if (!is_scalar(c)) {
        return fail(lx, "a character that does not belong there");
    }
    if (lx->depth == 0 && !lx->bad) {
        lx->state = LEX_SCALAR;
    }
    return append(lx, &c, 1);
}

static Step step_string(QmpLexer *lx, char c)
{
    Step result = STEP_MORE;

    if (lx->high) {
        /* Only the backslash of the second half may follow. */
        lx->high = c == '\\';
        result = lx->high ? STEP_MORE : fail(lx, "half of a surrogate pair");
    }
    if (c == '\\') {
        lx->state = LEX_ESCAPE;
    } else if (c == lx->quote) {
        Step end;

        result = append(lx, "\"", 1) == STEP_ERROR ? STEP_ERROR : result;
        end = complete(lx);
        return result == STEP_ERROR ? result : end;
    } else if (c == '\t') {
        return fail(lx, "a control character in a string");
    } else if (result == STEP_MORE) {
        return c == '"' ? append(lx, "\\\"", 2) : append(lx, &c, 1);
    }
    return result;
}

static Step step_escape(QmpLexer *lx, char c)
{
    char text[2] = { '\\', c };

    lx->state = LEX_STRING;
    if (c == 'u') {
        lx->state = LEX_HEX;
        lx->n_digits = 0;
        lx->code = 0;
    } else if (lx->high) {
        lx->high = false;
        return fail(lx, "half of a surrogate pair");
    }
    return c == '\'' ? append(lx, "'", 1) : append(lx, text, 2);
}

static Step step_hex(QmpLexer *lx, char c)
{
    bool low;

    if (!g_ascii_isxdigit(c)) {
        lx->state = LEX_STRING;
        return fail(lx, "\\u without four hexadecimal digits");
    }
    lx->code = lx->code << 4 | (unsigned)g_ascii_xdigit_value(c);
    if (++lx->n_digits == 4) {
        lx->state = LEX_STRING;
        low = lx->code >= 0xdc00 && lx->code < 0xe000;
        if (lx->code == 0) {
            return fail(lx, "\\u0000 in a string");
        }
        if (low != lx->high) {
            lx->high = false;
            return fail(lx, "half of a surrogate pair");
        }
        lx->high = !lx->bad && lx->code >= 0xd800 && lx->code < 0xdc00;
    }
    return append(lx, &c, 1);
}

static bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c >= 0xfe;
}

static Step step(QmpLexer *lx, char c)
{
    bool newline = c == '\n' || c == '\r';
    bool in_string = lx->state >= LEX_STRING;

    if (is_control((uint8_t)c) || (newline && in_string && !lx->bad)) {
        lx->bad = false;
        fail(lx, in_string ? "a control character in a string"
                           : "a control character");
        qmp_lexer_reset(lx);
        return STEP_ERROR;
    }
    if (newline && lx->bad) {
        qmp_lexer_reset(lx);
        return STEP_MORE;
    }
    switch (lx->state) {
    case LEX_OUTSIDE:
        return step_outside(lx, c);
    case LEX_SCALAR:
        if (is_scalar(c)) {
            return append(lx, &c, 1);
        }
        lx->state = LEX_OUTSIDE;
        return lx->bad ? step_outside(lx, c) : STEP_DONE_BEFORE;
    case LEX_STRING:
        return step_string(lx, c);
    case LEX_ESCAPE:
        return step_escape(lx, c);
    case LEX_HEX:
        return step_hex(lx, c);
    }
    return STEP_MORE;
}

/* How many bytes of @buf are ordinary content of the string under way. */
static size_t plain_bytes(const QmpLexer *lx, const uint8_t *buf, size_t len)
{
    size_t n = 0;

    if (lx->state != LEX_STRING || lx->high) {
        return 0;
    }
    while (n < len && buf[n] >= 0x20 && buf[n] < 0xfe && buf[n] != '"' &&
           buf[n] != '\'' && buf[n] != '\\') {
        n++;
    }
    return n;
}

/* Parses the complete text. */
static QmpPiece parse(QmpLexer *lx, json_object **value, Error **errp)
{
    bool ok = g_utf8_validate_len(lx->text->str, lx->text->len, NULL);
    bool scalar;

    if (!ok) {
        error_setg(errp, "Invalid JSON syntax: a string that is not UTF-8");
    }
    ok = ok && qapi_json_parse_nested(lx->text->str, lx->text->len,
                                      lx->max_depth + 1, value, errp);
    scalar = lx->max_depth == 0;
    qmp_lexer_reset(lx);
    /* A line of words is one error, not one for each. */
    lx->bad = !ok && scalar;
    return ok ? QMP_PIECE_VALUE : QMP_PIECE_ERROR;
}

QmpPiece qmp_lexer_feed(QmpLexer *lx, const uint8_t *buf, size_t len,
                        size_t *used, json_object **value, Error **errp)
{
    size_t i = 0;

    while (i < len) {
        size_t n = plain_bytes(lx, buf + i, len - i);
        Step result = n > 0 ? append(lx, (const char *)buf + i, n)
                            : step(lx, (char)buf[i]);

        i += n > 0 ? n : result != STEP_DONE_BEFORE;
        *used = i;
        if (result == STEP_ERROR) {
            error_setg(errp, "Invalid JSON syntax: %s", lx->error);
            return QMP_PIECE_ERROR;
        }
        if (result != STEP_MORE) {
            return parse(lx, value, errp);
        }
    }
    *used = i;
    return QMP_PIECE_NONE;
}
