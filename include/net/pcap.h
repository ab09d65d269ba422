/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of captured frames: pcap, written and read, and pcapng, written
 * (draft-ietf-opsawg-pcap and -pcapng).
 *
 * Threads: pure functions on the caller's memory.
 */
#ifndef NET_PCAP_H
#define NET_PCAP_H

#include "util/error.h"

typedef enum PcapFormat {
    PCAP_FORMAT_PCAP,   /* microseconds */
    PCAP_FORMAT_PCAPNG, /* nanoseconds, interfaces with names */
} PcapFormat;

/* A frame that is to be written. */
typedef struct PcapFrame {
    const struct iovec *iov; /* its Ethernet frame lies in it, */
    unsigned n;
    size_t offset; /* from here on, */
    size_t len;    /* so long; */
    size_t kept;   /* so much of it is written */
    int64_t ns;    /* since 1970 */
    uint32_t interface;
    bool outbound; /* the guest sent it */
} PcapFrame;

/* Each appends to @out: what a file begins with; the interface @name, the
 * first one number 0 (nothing in PCAP_FORMAT_PCAP); a frame. */
void pcap_put_start(GByteArray *out, PcapFormat format, uint32_t snaplen);
void pcap_put_interface(GByteArray *out, PcapFormat format, const char *name,
                        uint32_t snaplen);
void pcap_put_frame(GByteArray *out, PcapFormat format, const PcapFrame *frame);
/* The most that pcap_put_frame() appends. */
size_t pcap_frame_size(const PcapFrame *frame);

/* A frame that was read, in the file's own bytes. */
typedef struct PcapRecord {
    size_t offset, len;
    int64_t ns; /* since the first one, never less than the one before */
} PcapRecord;

/*
 * The whole frames of Ethernet in the pcap file of @len bytes at @data, at most
 * @max_len bytes long each, appended to @records, of PcapRecord. *@skipped:
 * those that are cut, empty or longer. False: it is something else, or ends
 * within a frame.
 */
bool pcap_parse(const uint8_t *data, size_t len, size_t max_len,
                GArray *records, unsigned *skipped, Error **errp);

#endif
