/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of an L2TPv3 socket, of any format. What is taken has a header that
 * the other end would have written; what is sent, the other end takes.
 *
 * Input: 20 bytes of format, a byte that chooses how the packet begins, the
 * packet.
 *
 * Threads: one.
 */
#include <sys/socket.h>

#include "net/l2tpv3-internal.h"
#include "tests/fuzz/fuzz.h"

#define HDR_LEN 12u
#define PACKET  1600u

static int sockets[2];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets),
                    ==, 0);
    return 0;
}

static L2tpv3Format take_format(FuzzInput *in)
{
    uint8_t how = fuzz_u8(in);

    return (L2tpv3Format){
        .udp = how & 1,
        .counter = how & 2,
        .pinned = how & 4,
        .before = how & 9 ? 0 : L2TPV3_IP_HEADER,
        .cookie_len = how & 16   ? 8
                      : how & 32 ? 4
                                 : 0,
        .offset = how & 64 ? fuzz_u8(in) : 0,
        .tx_session = fuzz_u32(in),
        .rx_session = fuzz_u32(in),
        .tx_cookie = fuzz_u64(in),
        .rx_cookie = fuzz_u64(in),
    };
}

/* As the other end has it. */
static L2tpv3Format mirrored(const L2tpv3Format *f)
{
    L2tpv3Format m = *f;

    m.tx_session = f->rx_session;
    m.rx_session = f->tx_session;
    m.tx_cookie = f->rx_cookie;
    m.rx_cookie = f->tx_cookie;
    return m;
}

/* The input's packet goes in; it comes out whole, or is refused. */
static void receive(L2tpv3State *s, NetSubqueue *sq, FuzzInput *in)
{
    L2tpv3Format other = mirrored(&s->format);
    unsigned before = s->format.before + l2tpv3_head_len(&s->format);
    g_autofree uint8_t *packet = g_malloc0(before + PACKET);
    bool good = fuzz_u8(in) & 1;
    uint8_t frame[HDR_LEN + PACKET];
    struct iovec iov[] = { { frame, 7 }, { frame + 7, sizeof(frame) - 7 } };
    size_t len = 0;
    ssize_t r;

    if (good) {
        packet[0] = 0x45;
        l2tpv3_head_write(&other, fuzz_u32(in), packet + s->format.before);
        len = before;
    }
    len += MIN(in->left, PACKET - HDR_LEN);
    fuzz_bytes(in, packet + (good ? before : 0), len - (good ? before : 0));
    g_assert_cmpint(send(sockets[1], packet, len, 0), ==, len);
    r = l2tpv3_recv(sq, iov, ARRAY_SIZE(iov));
    if (len < before + L2TPV3_FRAME_MIN) {
        g_assert_cmpint(r, <=, (ssize_t)HDR_LEN); /* an error, or no frame */
    } else if (good) {
        g_assert_cmpint(r, ==, HDR_LEN + len - before);
    }
    if (r > (ssize_t)HDR_LEN) {
        g_assert_cmpmem(frame + HDR_LEN, r - HDR_LEN, packet + before,
                        len - before);
    }
}

/* A frame goes out; the other end finds it behind a header of its session. */
static void transmit(L2tpv3State *s, NetSubqueue *sq)
{
    L2tpv3Format other = mirrored(&s->format);
    unsigned head = l2tpv3_head_len(&s->format);
    uint8_t frame[HDR_LEN + 60], got[L2TPV3_HEAD_MAX + 60];
    struct iovec iov[] = { { frame, HDR_LEN }, { frame + HDR_LEN, 60 } };
    ssize_t r;

    memset(frame, 0x5a, sizeof(frame));
    other.before = 0;
    g_assert_cmpint(l2tpv3_send(sq, iov, 2), ==, sizeof(frame));
    r = recv(sockets[1], got, sizeof(got), 0);
    g_assert_cmpint(r, ==, head + 60);
    g_assert_true(l2tpv3_head_check(&other, got, (size_t)r));
    g_assert_cmpmem(got + head, 60, frame + HDR_LEN, 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    FuzzInput in = { data, len };
    L2tpv3State s = { .fd = sockets[0], .nc.vnet_hdr_len = HDR_LEN };
    NetSubqueue sq = { .nc = &s.nc };

    s.format = take_format(&in);
    receive(&s, &sq, &in);
    transmit(&s, &sq);
    return 0;
}
