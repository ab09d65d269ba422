/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the qtest protocol. Their text is not trusted. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "accel/qtest/qtest-internal.h"
#include "system/machine-lock.h"
#include "system/vm-clock.h"

#define MAX_WORDS     5u
#define FAIL_MAX      200u /* characters; they repeat what the peer said */
#define REGISTERS_MAX (64 * KiB) /* bytes of read or write outside of RAM */

/* word[0] is the command. @answer is "OK"; false when fail() made it another.
 */
typedef bool CommandFunc(char *const *word, unsigned n, GString *answer);

static bool fail(GString *answer, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GString *answer, const char *fmt, ...)
{
    va_list ap;

    g_string_assign(answer, "FAIL ");
    va_start(ap, fmt);
    g_string_append_vprintf(answer, fmt, ap);
    va_end(ap);
    g_string_truncate(answer, MIN(answer->len, FAIL_MAX));
    for (char *c = answer->str; *c; c++) {
        *c = g_ascii_isprint(*c) ? *c : '?';
    }
    return false;
}

static bool parse_u64(const char *text, uint64_t *value)
{
    char *end;

    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    errno = 0;
    *value = g_ascii_strtoull(text, &end, 0);
    return !errno && !*end;
}

static unsigned suffix_size(const char *command)
{
    switch (command[strlen(command) - 1]) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'l':
        return 4;
    default:
        return 8;
    }
}

/* ---- registers ---- */

static bool cmd_in(char *const *word, unsigned n, GString *answer) MAIN_THREAD
{
    uint64_t port;

    if (!parse_u64(word[1], &port) || port > 0xffff) {
        return fail(answer, "port %s: must be 0 to 0xffff", word[1]);
    }
    g_string_printf(answer, "OK 0x%04" PRIx64,
                    io_read(IO_SPACE_PORT, port, suffix_size(word[0])));
    return true;
}

static bool cmd_out(char *const *word, unsigned n, GString *answer) MAIN_THREAD
{
    uint64_t port, value;

    if (!parse_u64(word[1], &port) || port > 0xffff) {
        return fail(answer, "port %s: must be 0 to 0xffff", word[1]);
    }
    if (!parse_u64(word[2], &value)) {
        return fail(answer, "value %s: must be a number", word[2]);
    }
    io_write(IO_SPACE_PORT, port, value, suffix_size(word[0]));
    return true;
}

static bool cmd_readx(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint64_t addr;

    if (!parse_u64(word[1], &addr)) {
        return fail(answer, "address %s: must be a number", word[1]);
    }
    g_string_printf(answer, "OK 0x%016" PRIx64,
                    io_read(IO_SPACE_MMIO, addr, suffix_size(word[0])));
    return true;
}

static bool cmd_writex(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint64_t addr, value;

    if (!parse_u64(word[1], &addr)) {
        return fail(answer, "address %s: must be a number", word[1]);
    }
    if (!parse_u64(word[2], &value)) {
        return fail(answer, "value %s: must be a number", word[2]);
    }
    io_write(IO_SPACE_MMIO, addr, value, suffix_size(word[0]));
    return true;
}

/* ---- memory ---- */

/* The widest aligned access at @addr that is not longer than @len. */
static unsigned access_size(uint64_t addr, uint64_t len)
{
    unsigned size = 8;

    while (size > len || (addr & (size - 1))) {
        size >>= 1;
    }
    return size;
}

static bool memory_read(uint64_t addr, uint8_t *buf, uint64_t len) MAIN_THREAD
{
    if (ram_read(addr, buf, len)) {
        return true;
    }
    if (len > REGISTERS_MAX) {
        return false;
    }
    while (len) {
        unsigned size = access_size(addr, len);
        uint64_t v = GUINT64_TO_LE(io_read(IO_SPACE_MMIO, addr, size));

        memcpy(buf, &v, size);
        addr += size;
        buf += size;
        len -= size;
    }
    return true;
}

static bool memory_write(uint64_t addr, const uint8_t *buf, uint64_t len)
    MAIN_THREAD
{
    if (ram_write(addr, buf, len)) {
        return true;
    }
    if (len > REGISTERS_MAX) {
        return false;
    }
    while (len) {
        unsigned size = access_size(addr, len);
        uint64_t v = 0;

        memcpy(&v, buf, size);
        io_write(IO_SPACE_MMIO, addr, GUINT64_FROM_LE(v), size);
        addr += size;
        buf += size;
        len -= size;
    }
    return true;
}

static bool parse_area(char *const *word, uint64_t *addr, uint64_t *size,
                       GString *answer)
{
    if (!parse_u64(word[1], addr)) {
        return fail(answer, "address %s: must be a number", word[1]);
    }
    if (!parse_u64(word[2], size) || *size > QTEST_DATA_MAX ||
        (*size && *addr + (*size - 1) < *addr)) {
        return fail(answer,
                    "size %s: must be a number up to %llu, within "
                    "the address space",
                    word[2], QTEST_DATA_MAX);
    }
    return true;
}

static bool fail_not_ram(GString *answer)
{
    return fail(answer,
                "not all of it is RAM; up to %llu bytes of registers "
                "are possible",
                REGISTERS_MAX);
}

static void append_hex(GString *answer, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = answer->len;

    g_string_set_size(answer, at + 2 * len);
    for (size_t i = 0; i < len; i++) {
        answer->str[at + 2 * i] = digits[data[i] >> 4];
        answer->str[at + 2 * i + 1] = digits[data[i] & 15];
    }
}

/* read, b64read */
static bool cmd_read(char *const *word, unsigned n, GString *answer) MAIN_THREAD
{
    uint64_t addr, size;
    g_autofree uint8_t *data = NULL;

    if (!parse_area(word, &addr, &size, answer)) {
        return false;
    }
    data = g_malloc(size + 1);
    if (!memory_read(addr, data, size)) {
        return fail_not_ram(answer);
    }
    if (word[0][0] == 'b') {
        g_autofree char *text = g_base64_encode(data, size);
        g_string_printf(answer, "OK %s", text);
    } else {
        g_string_assign(answer, "OK 0x");
        append_hex(answer, data, size);
    }
    return true;
}

/* "0x" and two digits a byte; what is missing at the end is zero. */
static bool parse_hex(const char *text, uint8_t *data, uint64_t size)
{
    size_t len = strlen(text);

    if (len < 2 || text[0] != '0' || text[1] != 'x' || len % 2 ||
        len / 2 - 1 > size) {
        return false;
    }
    memset(data, 0, size);
    for (size_t i = 0; i < len / 2 - 1; i++) {
        int hi = g_ascii_xdigit_value(text[2 + 2 * i]);
        int lo = g_ascii_xdigit_value(text[3 + 2 * i]);

        if (hi < 0 || lo < 0) {
            return false;
        }
        data[i] = hi << 4 | lo;
    }
    return true;
}

static bool cmd_write(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint64_t addr, size;
    g_autofree uint8_t *data = NULL;

    if (!parse_area(word, &addr, &size, answer)) {
        return false;
    }
    data = g_malloc(size + 1);
    if (!parse_hex(word[3], data, size)) {
        return fail(answer,
                    "data must be 0x and up to %" PRIu64
                    " pairs of hexadecimal digits",
                    size);
    }
    return memory_write(addr, data, size) || fail_not_ram(answer);
}

static bool cmd_b64write(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint64_t addr, size;
    gsize len = 0;

    if (!parse_area(word, &addr, &size, answer)) {
        return false;
    }
    if (word[3][1]) { /* glib does not take a single character */
        g_base64_decode_inplace(word[3], &len);
    }
    if (len != size) {
        return fail(answer, "data has %zu bytes, %" PRIu64 " were announced",
                    (size_t)len, size);
    }
    return memory_write(addr, (uint8_t *)word[3], size) || fail_not_ram(answer);
}

static bool cmd_memset(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint8_t block[PAGE_SIZE_4K];
    uint64_t addr, size, value;

    if (!parse_u64(word[1], &addr) || !parse_u64(word[2], &size) ||
        !parse_u64(word[3], &value) || value > 0xff) {
        return fail(answer, "usage: memset ADDR SIZE BYTE");
    }
    memset(block, value, sizeof(block));
    while (size) {
        uint64_t len = MIN(size, sizeof(block));

        /* RAM only, so that it ends where RAM does. */
        if (!ram_write(addr, block, len)) {
            return fail(answer, "0x%" PRIx64 ": not all of it is RAM", addr);
        }
        addr += len;
        size -= len;
    }
    return true;
}

/* ---- the rest ---- */

static bool cmd_endianness(char *const *word, unsigned n, GString *answer)
{
    g_string_assign(answer, "OK little");
    return true;
}

/* clock_step [NS], clock_set NS */
static bool cmd_clock(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    bool set = !strcmp(word[0], "clock_set");
    int64_t now = vm_clock_ns(), deadline = vm_clock_deadline_ns();
    uint64_t ns = 0;

    if (n > 1 && (!parse_u64(word[1], &ns) ||
                  ns > (uint64_t)(set ? INT64_MAX : INT64_MAX - now))) {
        return fail(answer, "%s: must be a number of nanoseconds", word[1]);
    }
    if (!vm_clock_is_manual()) {
        return fail(answer, "%s: the clock is not ours, it needs -accel qtest",
                    word[0]);
    }
    if (set) {
        vm_clock_move((int64_t)ns);
    } else {
        vm_clock_move(n > 1 ? now + (int64_t)ns : MAX(now, deadline));
    }
    g_string_printf(answer, "OK %" PRId64, vm_clock_ns());
    return true;
}

/* irq_intercept_in PATH, irq_intercept_out PATH [NAME] */
static bool cmd_irq_intercept(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    bool out = !strcmp(word[0], "irq_intercept_out");
    const char *why = qtest_irq_intercept(word[1], out, n > 2 ? word[2] : NULL);

    return !why || fail(answer, "%s: %s", word[1], why);
}

/* set_irq_in PATH NAME NUMBER LEVEL */
static bool cmd_set_irq(char *const *word, unsigned n, GString *answer)
    MAIN_THREAD
{
    uint64_t line, level;
    const char *why;

    if (!parse_u64(word[3], &line) || !parse_u64(word[4], &level)) {
        return fail(answer, "line %s, level %s: must be numbers", word[3],
                    word[4]);
    }
    why = qtest_irq_drive(word[1], word[2], line, level != 0);
    return !why || fail(answer, "%s: %s", word[1], why);
}

static const struct {
    const char *name;
    unsigned min_args, max_args;
    CommandFunc *func;
} commands[] = {
    { "inb", 1, 1, cmd_in },
    { "inw", 1, 1, cmd_in },
    { "inl", 1, 1, cmd_in },
    { "outb", 2, 2, cmd_out },
    { "outw", 2, 2, cmd_out },
    { "outl", 2, 2, cmd_out },
    { "readb", 1, 1, cmd_readx },
    { "readw", 1, 1, cmd_readx },
    { "readl", 1, 1, cmd_readx },
    { "readq", 1, 1, cmd_readx },
    { "writeb", 2, 2, cmd_writex },
    { "writew", 2, 2, cmd_writex },
    { "writel", 2, 2, cmd_writex },
    { "writeq", 2, 2, cmd_writex },
    { "read", 2, 2, cmd_read },
    { "b64read", 2, 2, cmd_read },
    { "write", 3, 3, cmd_write },
    { "b64write", 3, 3, cmd_b64write },
    { "memset", 3, 3, cmd_memset },
    { "endianness", 0, 0, cmd_endianness },
    { "clock_step", 0, 1, cmd_clock },
    { "clock_set", 1, 1, cmd_clock },
    { "irq_intercept_in", 1, 1, cmd_irq_intercept },
    { "irq_intercept_out", 1, 2, cmd_irq_intercept },
    { "set_irq_in", 4, 4, cmd_set_irq },
};

/* Splits @line at spaces; the number of words, or MAX_WORDS + 1. */
static unsigned split_words(char *line, char *word[MAX_WORDS])
{
    unsigned n = 0;

    for (;;) {
        while (*line == ' ') {
            line++;
        }
        if (!*line || n == MAX_WORDS) {
            return *line ? n + 1 : n;
        }
        word[n++] = line;
        line += strcspn(line, " ");
        if (*line) {
            *line++ = '\0';
        }
    }
}

void qtest_command_run(char *line, GString *answer)
{
    char *word[MAX_WORDS];
    unsigned n = split_words(line, word);

    machine_lock_assert();
    g_string_assign(answer, "OK");
    if (!n) {
        fail(answer, "empty line");
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(word[0], commands[i].name)) {
            continue;
        }
        if (n - 1 < commands[i].min_args || n - 1 > commands[i].max_args) {
            fail(answer, "%s: wrong number of arguments", word[0]);
        } else {
            commands[i].func(word, n, answer);
        }
        return;
    }
    fail(answer, "Unknown command '%.32s'", word[0]);
}
