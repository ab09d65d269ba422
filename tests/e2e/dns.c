/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A name server that knows one address: each question for an IPv4 address is
 * answered with 192.0.2.53 (RFC 1035, 4; the address is one for documentation,
 * RFC 5737), all others with no answer.
 *
 * usage: dns serve PORT
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 12
#define ANSWER 16

/* Where the first question ends; 0: it is none. */
static size_t question_end(const uint8_t *msg, size_t len)
{
    size_t at = HEADER;

    while (at < len && msg[at]) {
        at += 1 + msg[at];
    }
    return at + 5 <= len ? at + 5 : 0;
}

/* Turns the question into its answer; its length, 0: there is none. */
static size_t answer(uint8_t *msg, size_t len, size_t room)
{
    static const uint8_t record[ANSWER] = { 0xc0, HEADER, 0, 1, 0,   1, 0, 0,
                                            0,    60,     0, 4, 192, 0, 2, 53 };
    size_t end = len > HEADER ? question_end(msg, len) : 0;
    int is_a;

    if (!end || end + ANSWER > room || (msg[2] & 0x80)) {
        return 0;
    }
    is_a = msg[end - 4] == 0 && msg[end - 3] == 1;
    msg[2] |= 0x84; /* an answer, by who knows */
    msg[3] = 0x80;
    memset(msg + 4, 0, 8);
    msg[5] = 1;
    msg[7] = (uint8_t)is_a;
    memcpy(msg + end, record, ANSWER);
    return end + (is_a ? ANSWER : 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = { .sin_family = AF_INET };
    int sock = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc != 3 || strcmp(argv[1], "serve") != 0) {
        fprintf(stderr, "usage: dns serve PORT\n");
        return 2;
    }
    here.sin_port = htons((uint16_t)atoi(argv[2]));
    if (sock < 0 || bind(sock, (struct sockaddr *)&here, sizeof(here)) < 0) {
        perror("dns");
        return 1;
    }
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        uint8_t msg[1024];
        ssize_t len = recvfrom(sock, msg, sizeof(msg), 0,
                               (struct sockaddr *)&from, &from_len);
        size_t out = len > 0 ? answer(msg, (size_t)len, sizeof(msg)) : 0;

        if (out) {
            sendto(sock, msg, out, 0, (struct sockaddr *)&from, from_len);
        }
    }
}
