/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a chardev to frames for filter-redirector: those that a reader of
 * the whole text finds, whatever pieces it comes in, and none after a length
 * that no frame has, until the next peer. Each goes out by another chardev as
 * it came in.
 *
 * Input: a byte whose bit 0 has lengths of virtio-net headers and bit 1 a peer
 * before that sends the first half, a byte with the length of a write (0: all
 * at once), then the text: a byte with the number of bytes that follow, or one
 * of 0x80 and above and two with the number of zeros.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "chardev/char-internal.h"
#include "net/filter-inject.h"
#include "net/filter-stream.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX (256 * KiB)
#define TURNS    4096u

static GByteArray *text;
static FilterOut out;

void __wrap_warn_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

void __wrap_warn_report(const char *fmt, ...)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    g_assert_true(main_loop_init(NULL));
    g_assert_nonnull(chardev_new_from_opts("ringbuf,id=in", NULL));
    g_assert_nonnull(chardev_new_from_opts("ringbuf,id=out,size=524288", NULL));
    text = g_byte_array_sized_new(TEXT_MAX);
    return 0;
}

/* ---- a plain reader ---- */

static bool take_word(FuzzInput *from, uint32_t *value)
{
    if (from->left < sizeof(*value)) {
        return false;
    }
    *value = (uint32_t)from->at[0] << 24 | from->at[1] << 16 |
             from->at[2] << 8 | from->at[3];
    from->at += sizeof(*value);
    from->left -= sizeof(*value);
    return true;
}

/* Bytes at the front of @from that are whole messages. *@sound: what is behind
 * them may become one. */
static size_t whole_messages(FuzzInput from, bool vnet_hdr, bool *sound)
{
    const uint8_t *start = from.at, *end = start;
    uint32_t len, hdr_len = 0;

    *sound = true;
    while (take_word(&from, &len) &&
           (!vnet_hdr || take_word(&from, &hdr_len))) {
        *sound = hdr_len <= FILTER_STREAM_HEADER && len > hdr_len &&
                 len - hdr_len <= FILTER_STREAM_FRAME;
        if (!*sound || from.left < len) {
            break;
        }
        from.at += len;
        from.left -= len;
        end = from.at;
    }
    return (size_t)(end - start);
}

/* ---- the filter ---- */

static bool ready(void *opaque)
{
    return true;
}

static void frame_came(void *opaque, const FilterInFrame *frame)
{
    struct iovec iov[] = { { (void *)frame->hdr, frame->hdr_len },
                           { (void *)frame->data, frame->len } };
    NetFilterFrame f = { .iov = iov,
                         .n = ARRAY_SIZE(iov),
                         .len = frame->hdr_len + frame->len,
                         .hdr_len = frame->hdr_len };

    net_filter_header_ok(frame->hdr, frame->hdr_len, frame->len);
    g_assert_true(filter_out_put(&out, &f));
}

/* A peer sends the next @n bytes of the text; the filter sends on what it has
 * to. */
static void receive(FuzzInput *from, size_t n, size_t piece, bool vnet_hdr)
    MAIN_THREAD
{
    Chardev *in = chardev_find("in"), *there = chardev_find("out");
    FuzzInput part = { from->at, n };
    bool sound;
    size_t whole = whole_messages(part, vnet_hdr, &sound), got;
    g_autofree uint8_t *bytes = NULL;

    while (part.left) {
        size_t len = MIN(part.left, chardev_be_can_read(in));

        len = piece ? MIN(len, piece) : len;
        g_assert_cmpuint(len, >, 0);
        chardev_be_read(in, part.at, len);
        part.at += len;
        part.left -= len;
    }
    for (unsigned i = 0; i < TURNS && net_frame_queue_length(out.queue); i++) {
        event_loop_turn(main_loop(), 0);
    }
    bytes = chardev_ringbuf_read(there, 2 * TEXT_MAX, &got, NULL);
    g_assert_cmpmem(bytes, got, from->at, whole);
    from->at += n;
    from->left -= n;
}

static void make_text(FuzzInput *in)
{
    g_byte_array_set_size(text, 0);
    while (in->left && text->len < TEXT_MAX - 65536) {
        unsigned n = fuzz_u8(in), at = text->len;
        bool zeros = n >= 0x80;

        n = zeros ? fuzz_u16(in) : n;
        g_byte_array_set_size(text, at + n);
        if (zeros) {
            memset(text->data + at, 0, n);
        } else {
            fuzz_bytes(in, text->data + at, n);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput input = { data, len }, all;
    uint8_t how = fuzz_u8(&input);
    size_t piece = fuzz_u8(&input);
    FilterIn in = {
        .vnet_hdr = how & 1, .owner = "f0", .ready = ready, .frame = frame_came
    };
    bool sound;

    make_text(&input);
    g_assert_true(filter_out_open(&out, "outdev", "out", how & 1, NULL));
    g_assert_true(filter_in_open(&in, "indev", "in", NULL));
    all = (FuzzInput){ text->data, text->len };
    if (how & 2) {
        receive(&all, all.left / 2, piece, how & 1);
        chardev_be_event(chardev_find("in"), CHARDEV_EVENT_CLOSED);
        chardev_be_event(chardev_find("in"), CHARDEV_EVENT_OPENED);
        g_assert_false(in.broken);
    }
    whole_messages(all, how & 1, &sound);
    receive(&all, all.left, piece, how & 1);
    g_assert_true(in.broken == !sound);
    filter_in_close(&in);
    filter_out_close(&out);
    return 0;
}
