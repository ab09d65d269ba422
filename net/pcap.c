/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of captured frames. */
#include "util/osdep.h"

#include "net/pcap.h"

#include "util/iov.h"

#define LINKTYPE_ETHERNET 1u
#define MAGIC_US          0xa1b2c3d4u
#define MAGIC_NS          0xa1b23c4du
#define FILE_HEADER       24u
#define RECORD_HEADER     16u

/* Blocks of pcapng and their options. */
#define BLOCK_SECTION   0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET    6u
#define BYTE_ORDER_MARK 0x1a2b3c4du
#define OPT_IF_NAME     2u
#define OPT_IF_TSRESOL  9u
#define OPT_EPB_FLAGS   2u
#define EPB_INBOUND     1u
#define EPB_OUTBOUND    2u

/* ---- writing: in the byte order of the host, as the formats allow ---- */

static void put16(GByteArray *out, uint16_t value)
{
    g_byte_array_append(out, (const uint8_t *)&value, sizeof(value));
}

static void put32(GByteArray *out, uint32_t value)
{
    g_byte_array_append(out, (const uint8_t *)&value, sizeof(value));
}

static void put_padding(GByteArray *out, size_t len)
{
    static const uint8_t zero[4];

    g_byte_array_append(out, zero, (guint)(-len % 4));
}

static void put_option(GByteArray *out, uint16_t code, const void *value,
                       uint16_t len)
{
    put16(out, code);
    put16(out, len);
    g_byte_array_append(out, value, len);
    put_padding(out, len);
}

/* Begins a block of pcapng; where its length goes. */
static guint block_begin(GByteArray *out, uint32_t type)
{
    put32(out, type);
    put32(out, 0);
    return out->len - 8;
}

static void block_end(GByteArray *out, guint begin)
{
    uint32_t len = out->len + 4 - begin;

    put32(out, len);
    memcpy(out->data + begin + 4, &len, sizeof(len));
}

void pcap_put_start(GByteArray *out, PcapFormat format, uint32_t snaplen)
{
    if (format == PCAP_FORMAT_PCAP) {
        put32(out, MAGIC_US);
        put16(out, 2);
        put16(out, 4);
        put32(out, 0);
        put32(out, 0);
        put32(out, snaplen);
        put32(out, LINKTYPE_ETHERNET);
    } else {
        guint begin = block_begin(out, BLOCK_SECTION);

        put32(out, BYTE_ORDER_MARK);
        put16(out, 1);
        put16(out, 0);
        put32(out, UINT32_MAX); /* of unknown length */
        put32(out, UINT32_MAX);
        block_end(out, begin);
    }
}

void pcap_put_interface(GByteArray *out, PcapFormat format, const char *name,
                        uint32_t snaplen)
{
    static const uint8_t nanoseconds = 9;
    guint begin;

    if (format == PCAP_FORMAT_PCAP) {
        return;
    }
    begin = block_begin(out, BLOCK_INTERFACE);
    put16(out, LINKTYPE_ETHERNET);
    put16(out, 0);
    put32(out, snaplen);
    put_option(out, OPT_IF_NAME, name, (uint16_t)strlen(name));
    put_option(out, OPT_IF_TSRESOL, &nanoseconds, 1);
    put_option(out, 0, NULL, 0);
    block_end(out, begin);
}

static void put_bytes(GByteArray *out, const PcapFrame *frame)
{
    guint at = out->len;

    g_byte_array_set_size(out, at + (guint)frame->kept);
    iov_to_buf(frame->iov, frame->n, frame->offset, out->data + at,
               frame->kept);
}

void pcap_put_frame(GByteArray *out, PcapFormat format, const PcapFrame *frame)
{
    uint32_t flags = frame->outbound ? EPB_OUTBOUND : EPB_INBOUND;
    guint begin;

    if (format == PCAP_FORMAT_PCAP) {
        put32(out, (uint32_t)(frame->ns / 1000000000));
        put32(out, (uint32_t)(frame->ns % 1000000000 / 1000));
        put32(out, (uint32_t)frame->kept);
        put32(out, (uint32_t)frame->len);
        put_bytes(out, frame);
        return;
    }
    begin = block_begin(out, BLOCK_PACKET);
    put32(out, frame->interface);
    put32(out, (uint32_t)((uint64_t)frame->ns >> 32));
    put32(out, (uint32_t)frame->ns);
    put32(out, (uint32_t)frame->kept);
    put32(out, (uint32_t)frame->len);
    put_bytes(out, frame);
    put_padding(out, frame->kept);
    put_option(out, OPT_EPB_FLAGS, &flags, sizeof(flags));
    put_option(out, 0, NULL, 0);
    block_end(out, begin);
}

size_t pcap_frame_size(const PcapFrame *frame)
{
    return frame->kept + 64;
}

/* ---- reading ---- */

typedef struct Reader {
    const uint8_t *data;
    bool swapped, ns;
} Reader;

static uint32_t get32(const Reader *r, size_t at)
{
    uint32_t value;

    memcpy(&value, r->data + at, sizeof(value));
    return r->swapped ? GUINT32_SWAP_LE_BE(value) : value;
}

static bool read_header(Reader *r, size_t len, Error **errp)
{
    uint32_t magic = len >= FILE_HEADER ? get32(r, 0) : 0;

    r->swapped = magic == GUINT32_SWAP_LE_BE(MAGIC_US) ||
                 magic == GUINT32_SWAP_LE_BE(MAGIC_NS);
    magic = len >= FILE_HEADER ? get32(r, 0) : 0;
    r->ns = magic == MAGIC_NS;
    if (magic != MAGIC_US && magic != MAGIC_NS) {
        error_setg(errp, "is no pcap file (one of pcapng can be converted: "
                         "tshark -F pcap -r FILE -w NEW)");
        return false;
    }
    if ((get32(r, 20) & 0xffff) != LINKTYPE_ETHERNET) {
        error_setg(errp, "has frames of link type %u, must be %u, Ethernet",
                   get32(r, 20) & 0xffff, LINKTYPE_ETHERNET);
        return false;
    }
    return true;
}

bool pcap_parse(const uint8_t *data, size_t len, size_t max_len,
                GArray *records, unsigned *skipped, Error **errp)
{
    Reader r = { .data = data };
    int64_t first = 0, last = 0;
    size_t at = FILE_HEADER;

    *skipped = 0;
    if (!read_header(&r, len, errp)) {
        return false;
    }
    while (at < len) {
        PcapRecord record = { .offset = at + RECORD_HEADER };
        uint32_t whole;
        int64_t ns;

        if (len - at < RECORD_HEADER ||
            get32(&r, at + 8) > len - at - RECORD_HEADER) {
            error_setg(errp, "ends within the frame at byte %zu", at);
            return false;
        }
        record.len = get32(&r, at + 8);
        whole = get32(&r, at + 12);
        ns = get32(&r, at) * INT64_C(1000000000) +
             (int64_t)get32(&r, at + 4) * (r.ns ? 1 : 1000);
        first = at == FILE_HEADER ? ns : first;
        last = record.ns = MAX(ns - first, last);
        if (record.len == 0 || record.len != whole || record.len > max_len) {
            (*skipped)++;
        } else {
            g_array_append_val(records, record);
        }
        at += RECORD_HEADER + record.len;
    }
    return true;
}
