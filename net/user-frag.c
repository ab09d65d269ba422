/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole IPv4 datagrams for libslirp, out of a guest's fragments (RFC 791, 3.2).
 *
 * Its own reassembly is not given any: that of 4.7.0, as it is in Debian 12,
 * looks into a list before the fragment is in it. One that comes before those
 * in front of it makes the datagram incomplete for ever, and a last one that
 * comes first ends the process.
 *
 * A guest may send whatever it likes: few datagrams are put together at a time,
 * the oldest makes room, and one whose fragments contradict each other is
 * dropped, as is one that takes too long.
 *
 * Threads: the netdev's thread, under its lock.
 */
#include "util/osdep.h"

#include "net/user-internal.h"
#include "util/endian.h"

#define ETHER       14u
#define IPV4_MIN    20u
#define IPV4_MAX    60u
#define BLOCK       8u
#define DATA_MAX    65536u
#define DATAGRAMS   8u
#define LIFETIME_NS (30 * G_GINT64_CONSTANT(1000000000))
#define F_MORE      0x2000u
#define F_OFFSET    0x1fffu

typedef struct Datagram {
    bool used;
    int64_t since;
    uint8_t key[11];                /* addresses, id, protocol */
    uint8_t head[ETHER + IPV4_MAX]; /* of the first fragment */
    size_t head_len;                /* 0: it has not come */
    size_t len;                     /* of the data; 0: not known */
    unsigned blocks;                /* that have come */
    bool have[DATA_MAX / BLOCK];
    uint8_t data[DATA_MAX];
} Datagram;

struct UserFrags {
    Datagram *datagram[DATAGRAMS]; /* made when they are needed */
};

/* A fragment, checked. */
typedef struct Fragment {
    const uint8_t *ip, *data;
    size_t hdr_len, len, offset;
    bool more;
} Fragment;

/* The sum of a header is all ones when it is right (RFC 1071). */
static uint16_t header_sum(const uint8_t *ip, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2) {
        sum += load_be16(ip + i);
    }
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)((sum >> 16) + sum);
}

static bool is_fragment(const uint8_t *frame, size_t len)
{
    return len >= ETHER + IPV4_MIN && load_be16(frame + 12) == 0x0800 &&
           (load_be16(frame + ETHER + 6) & (F_MORE | F_OFFSET));
}

/* False: it is not to be had. */
static bool read_fragment(const uint8_t *frame, size_t len, Fragment *f)
{
    const uint8_t *ip = frame + ETHER;
    uint16_t off = load_be16(ip + 6);
    size_t total = load_be16(ip + 2);

    *f = (Fragment){ .ip = ip,
                     .hdr_len = (ip[0] & 15u) * 4,
                     .offset = (off & F_OFFSET) * BLOCK,
                     .more = off & F_MORE };
    if (ip[0] >> 4 != 4 || f->hdr_len < IPV4_MIN || total <= f->hdr_len ||
        total > len - ETHER || header_sum(ip, f->hdr_len) != 0xffff) {
        return false;
    }
    f->data = ip + f->hdr_len;
    f->len = total - f->hdr_len;
    return f->offset + f->len + f->hdr_len <= UINT16_MAX &&
           (!f->more || f->len % BLOCK == 0);
}

static void make_key(const Fragment *f, uint8_t key[11])
{
    memcpy(key, f->ip + 12, 8);
    memcpy(key + 8, f->ip + 4, 2);
    key[10] = f->ip[9];
}

/* The datagram that @f is of; a new one, maybe in the place of the oldest. */
static Datagram *find(UserFrags *frags, const Fragment *f, int64_t now)
{
    Datagram **place = &frags->datagram[0];
    uint8_t key[11];

    make_key(f, key);
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        Datagram *d = frags->datagram[i];

        if (d && d->used && now - d->since > LIFETIME_NS) {
            d->used = false;
        }
        if (d && d->used && memcmp(d->key, key, sizeof(key)) == 0) {
            return d;
        }
        if (*place && (*place)->used &&
            (!d || !d->used || d->since < (*place)->since)) {
            place = &frags->datagram[i];
        }
    }
    if (!*place) {
        *place = g_new(Datagram, 1);
    }
    memset(*place, 0, offsetof(Datagram, data));
    (*place)->used = true;
    (*place)->since = now;
    memcpy((*place)->key, key, sizeof(key));
    return *place;
}

/* Puts @f into its place. False: it does not fit to the others. */
static bool add(Datagram *d, const uint8_t *frame, const Fragment *f)
{
    size_t end = f->offset + f->len;

    if (!f->more) {
        if (d->len && d->len != end) {
            return false;
        }
        d->len = end;
    }
    for (size_t b = f->offset / BLOCK; b < (end + BLOCK - 1) / BLOCK; b++) {
        d->blocks += !d->have[b];
        d->have[b] = true;
    }
    memcpy(d->data + f->offset, f->data, f->len);
    if (f->offset == 0) {
        d->head_len = ETHER + f->hdr_len;
        memcpy(d->head, frame, d->head_len);
    }
    return true;
}

/* No block lies behind the end: as many as there are to be are all of them. */
static bool is_whole(const Datagram *d)
{
    return d->len && d->head_len && d->blocks == (d->len + BLOCK - 1) / BLOCK;
}

static bool reaches_behind_end(const Datagram *d)
{
    size_t blocks = (d->len + BLOCK - 1) / BLOCK;

    for (size_t b = blocks; d->len && b < ARRAY_SIZE(d->have); b++) {
        if (d->have[b]) {
            return true;
        }
    }
    return d->head_len + d->len > ETHER + UINT16_MAX;
}

static size_t put_together(const Datagram *d, uint8_t *frame)
{
    uint8_t *ip = frame + ETHER;

    memcpy(frame, d->head, d->head_len);
    memcpy(frame + d->head_len, d->data, d->len);
    store_be16(ip + 2, (uint16_t)(d->head_len - ETHER + d->len));
    store_be16(ip + 6, 0);
    store_be16(ip + 10, 0);
    store_be16(ip + 10, (uint16_t)~header_sum(ip, d->head_len - ETHER));
    return d->head_len + d->len;
}

size_t user_frags_take(UserFrags *frags, uint8_t *frame, size_t len,
                       int64_t now)
{
    Fragment f;
    Datagram *d;

    if (!is_fragment(frame, len)) {
        return len;
    }
    if (!read_fragment(frame, len, &f)) {
        return 0;
    }
    d = find(frags, &f, now);
    if (!add(d, frame, &f) || reaches_behind_end(d)) {
        d->used = false;
        return 0;
    }
    if (!is_whole(d)) {
        return 0;
    }
    d->used = false;
    return put_together(d, frame);
}

UserFrags *user_frags_new(void)
{
    return g_new0(UserFrags, 1);
}

void user_frags_free(UserFrags *frags)
{
    for (unsigned i = 0; frags && i < DATAGRAMS; i++) {
        g_free(frags->datagram[i]);
    }
    g_free(frags);
}
