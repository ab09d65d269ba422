/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * telnet=on of a socket: the telnet protocol (RFC 854) as far as a terminal
 * program needs it. Options are announced once (RFC 856 binary, 857 echo, 858
 * suppress go-ahead) and answers only noted; all else is passed over.
 */
#include "util/osdep.h"

#include <arpa/telnet.h>

#include "chardev/char-internal.h"

const uint8_t char_telnet_greeting[CHAR_TELNET_GREETING] = {
    IAC, WILL, TELOPT_ECHO,   IAC, WILL, TELOPT_SGA,
    IAC, WILL, TELOPT_BINARY, IAC, DO,   TELOPT_BINARY,
};

/* The byte behind IAC. True: it is a byte of data after all. */
static bool take_command(CharTelnet *t, uint8_t byte, bool *brk)
{
    t->state = TELNET_DATA;
    switch (byte) {
    case IAC:
        return true;
    case WILL:
    case WONT:
    case DO:
    case DONT:
        t->verb = byte;
        t->state = TELNET_OPTION;
        break;
    case SB:
        t->state = TELNET_SUB;
        break;
    case BREAK:
        *brk = true;
        break;
    }
    return false;
}

/* True: @byte is data. */
static bool take_byte(CharTelnet *t, uint8_t byte, bool *brk)
{
    bool after_cr = t->after_cr;

    switch (t->state) {
    case TELNET_DATA:
        if (byte == IAC) {
            t->state = TELNET_COMMAND;
            return false;
        }
        t->after_cr = byte == '\r' && !t->binary;
        return byte != '\0' || !after_cr; /* CR NUL is CR */
    case TELNET_COMMAND:
        return take_command(t, byte, brk);
    case TELNET_OPTION:
        if (byte == TELOPT_BINARY && (t->verb == WILL || t->verb == WONT)) {
            t->binary = t->verb == WILL;
        }
        t->state = TELNET_DATA;
        return false;
    case TELNET_SUB:
        t->state = byte == IAC ? TELNET_SUB_COMMAND : TELNET_SUB;
        return false;
    case TELNET_SUB_COMMAND:
        t->state = byte == SE ? TELNET_DATA : TELNET_SUB;
        return false;
    }
    return false;
}

size_t char_telnet_take(CharTelnet *t, uint8_t *buf, size_t len, bool *brk)
{
    size_t n = 0;

    *brk = false;
    for (size_t i = 0; i < len; i++) {
        if (take_byte(t, buf[i], brk)) {
            buf[n++] = buf[i];
        }
    }
    return n;
}

/* A byte 255 goes out twice. When only one of the two was taken, the caller
 * offers it again, and the other is still owed. */
size_t char_telnet_write(CharTelnet *t, CharStream *s, const uint8_t *buf,
                         size_t len)
{
    static const uint8_t iac = IAC;
    size_t done = 0;

    while (done < len) {
        const uint8_t *next = buf + done;
        const uint8_t *found = memchr(next, IAC, len - done);
        size_t run = found ? (size_t)(found - next) : len - done;

        if (t->owed || run == 0) {
            if (!t->owed && char_stream_write(s, &iac, 1) == 0) {
                break;
            }
            t->owed = char_stream_write(s, &iac, 1) == 0;
            if (t->owed) {
                break;
            }
            done += *next == IAC;
        } else {
            size_t n = char_stream_write(s, next, run);

            done += n;
            if (n < run) {
                break;
            }
        }
    }
    return done;
}
