/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qtest client that says what it likes to a machine with a virtio-net device
 * on PCI: text for the parser, and as commands accesses of configuration space,
 * BARs, MSI-X table, ports and memory; in between, rings and a network as in
 * fuzz-ends.h. Each line gets its answer. After the machine's reset the
 * device's configuration space is as it was, and a driver that makes no
 * mistakes sends a frame, gets one, and hears of both by MSI-X.
 *
 * Input: a byte with the length of a write (0: a line at a time), 8 bytes of
 * features, 2 with the size of the rings (0: no driver to begin with), then
 * steps.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "chardev/char-internal.h"
#include "hw/virtio/virtio-pci-internal.h"
#include "qapi/keyval.h"
#include "system/main-loop.h"
#include "system/setup.h"
#include "tests/fuzz/fuzz-ends.h"

#define STEPS 64u
#define TURNS 64u
#define SLOT  3u
#define NIC                                                      \
    "virtio-net-pci,id=nic0,addr=3,netdev=net0,mq=on,vectors=6," \
    "packed=on,rss=on,hash=on,rss-steering=user,in_order=on,"    \
    "notf_coal=on,vq_notf_coal=on,device_stats=on"
#define MODERN  0xe1000000u /* where the driver puts BARs */
#define MSIX    0xe0000000u
#define PORTS   0xc000u
#define VECTORS 0x9000u /* messages of MSI-X, a word each */
#define COMMON  0x0000u
#define CONFIG  0x2000u
#define NOTIFY  0x3000u
#define BIT(n)  (1ULL << (n))
/* Numbers of more digits would take the clock where no timer can be set. */
#define CLOCK_DIGITS 10u

static Chardev *line;
static size_t piece;
static unsigned expected; /* answers */
static uint8_t power_on[PCI_CFG_SPACE_SIZE];

/* ---- the protocol ---- */

static void feed(const char *text, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t part = MIN(len - done, chardev_be_can_read(line));

        part = piece ? MIN(part, piece) : part;
        g_assert_cmpuint(part, >, 0);
        chardev_be_read(line, (const uint8_t *)text + done, part);
        done += part;
    }
    for (size_t i = 0; i < len; i++) {
        expected += text[i] == '\n';
    }
}

/* Takes all that was answered; the last answer, or NULL. */
static char *take_answers(void) MAIN_THREAD
{
    size_t len;
    g_autofree char *text =
        (char *)chardev_ringbuf_read(line, 8 * MiB, &len, NULL);
    char *last = NULL;

    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = '\0';
        if (!g_str_has_prefix(at, "IRQ ")) {
            g_assert_true(g_str_has_prefix(at, "OK") ||
                          g_str_has_prefix(at, "FAIL "));
            expected--;
            last = at;
        }
    }
    g_assert_cmpuint(expected, ==, 0);
    return g_strdup(last);
}

/* A command without fault; what it reads. */
static uint64_t say(const char *fmt, ...) MAIN_THREAD G_GNUC_PRINTF(1, 2);

static uint64_t say(const char *fmt, ...)
{
    g_autofree char *text = NULL, *answer = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    feed(text, strlen(text));
    feed("\n", 1);
    answer = take_answers();
    g_assert_true(g_str_has_prefix(answer, "OK"));
    return answer[2] ? g_ascii_strtoull(answer + 3, NULL, 0) : 0;
}

static char letter(unsigned size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'l' : 'q';
}

static void put(uint64_t addr, unsigned size, uint64_t value) MAIN_THREAD
{
    say("write%c 0x%" PRIx64 " 0x%" PRIx64, letter(size), addr, value);
}

static void get(uint64_t addr, unsigned size) MAIN_THREAD
{
    say("read%c 0x%" PRIx64, letter(size), addr);
}

static void select_config(unsigned offset) MAIN_THREAD
{
    say("outl 0xcf8 0x%x", 0x80000000u | SLOT << 11 | (offset & 0xfc));
}

static void put_config(unsigned offset, unsigned size, uint32_t value)
    MAIN_THREAD
{
    select_config(offset);
    say("out%c 0x%x 0x%x", letter(size), 0xcfc + (offset & 3), value);
}

/* ---- the driver ---- */

static VirtIOPCIProxy *proxy(void) MAIN_THREAD
{
    DeviceState *dev = device_find("nic0");

    return dev ? VIRTIO_PCI(dev) : NULL;
}

/* Where BAR @index decodes, or where it would. */
static uint64_t bar(unsigned index, uint64_t otherwise) MAIN_THREAD
{
    uint64_t at = proxy() ? pci_bar_address(&proxy()->pci, index) : UINT64_MAX;

    return at == UINT64_MAX ? otherwise : at;
}

static void ring_doorbell(unsigned q) NO_THREAD_SAFETY
{
    put(bar(VIRTIO_PCI_BAR_MODERN, MODERN) + NOTIFY + 4 * q, 2, q);
}

static void place_bars(void) MAIN_THREAD
{
    put_config(PCI_BASE_ADDRESS_0, 4, PORTS);
    put_config(PCI_BASE_ADDRESS_1, 4, MSIX);
    put_config(PCI_BASE_ADDRESS_4, 4, MODERN);
    put_config(PCI_BASE_ADDRESS_5, 4, 0);
    put_config(PCI_COMMAND, 2,
               PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void enable_vectors(void) MAIN_THREAD
{
    unsigned n = msix_vectors(&proxy()->pci);

    for (unsigned i = 0; i < n; i++) {
        uint64_t entry = MSIX + i * PCI_MSIX_ENTRY_SIZE;

        put(entry, 8, VECTORS + 4 * i);
        put(entry + PCI_MSIX_ENTRY_DATA, 4, 0x100 + i);
        put(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
    }
    for (unsigned at = PCI_STD_HEADER_SIZEOF; at < PCI_CFG_SPACE_SIZE;
         at += 4) {
        if (power_on[at] == PCI_CAP_ID_MSIX) {
            put_config(at + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
            break;
        }
    }
}

static void set_common(unsigned offset, unsigned size, uint64_t value)
    MAIN_THREAD
{
    put(MODERN + COMMON + offset, size, value);
}

static void place_ring(unsigned q, uint16_t size) MAIN_THREAD
{
    FuzzPlace place;

    set_common(VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
    set_common(VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
    place = fuzz_ring_place(q, fuzz_nic->vdev.vq[q].size);
    fuzz_ring_begin(q);
    set_common(VIRTIO_PCI_COMMON_Q_DESCLO, 4, place.desc);
    set_common(VIRTIO_PCI_COMMON_Q_AVAILLO, 4, place.avail);
    set_common(VIRTIO_PCI_COMMON_Q_USEDLO, 4, place.used);
    set_common(VIRTIO_PCI_COMMON_Q_MSIX, 2, q);
    set_common(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void start_driver(uint64_t features, uint16_t size) MAIN_THREAD
{
    features |= BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ);
    features &= fuzz_nic->vdev.host_features;
    place_bars();
    enable_vectors();
    set_common(VIRTIO_PCI_COMMON_MSIX, 2, FUZZ_QUEUES);
    set_common(VIRTIO_PCI_COMMON_STATUS, 1, 0);
    set_common(VIRTIO_PCI_COMMON_STATUS, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        set_common(VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        set_common(VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * i)));
    }
    set_common(VIRTIO_PCI_COMMON_STATUS, 1, 11);
    for (unsigned q = 0; q < FUZZ_QUEUES; q++) {
        place_ring(q, size);
    }
    set_common(VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

/* ---- the machine ---- */

static void find_device(void) MAIN_THREAD
{
    if (!proxy()) { /* the guest has ejected it */
        Error *err = NULL;
        json_object *opts = keyval_parse(NIC, "driver", NULL, &err);

        device_add(opts, &err);
        g_assert_no_error(err);
        json_object_put(opts);
    }
    fuzz_nic = VIRTIO_NET(proxy()->vdev);
}

static void reset_machine(void) MAIN_THREAD
{
    for (unsigned i = 0; i < 3; i++) {
        fuzz_nic_turn();
    }
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    for (unsigned i = 0; i < 3; i++) {
        fuzz_nic_turn();
    }
    find_device();
    vm_start();
    g_free(take_answers());
    /* Another client: nothing is intercepted any more. */
    chardev_be_event(line, CHARDEV_EVENT_CLOSED);
    chardev_be_event(line, CHARDEV_EVENT_OPENED);
    fuzz_ends_clear();
}

static void make_machine(void) NO_THREAD_SAFETY
{
    const char *argv[] = { "fuzz-qtest",
                           "-nodefaults",
                           "-accel",
                           "qtest",
                           "-machine",
                           "pc",
                           "-m",
                           "2M",
                           "-no-shutdown",
                           "-chardev",
                           "ringbuf,id=q,size=8388608",
                           "-qtest",
                           "chardev:q",
                           "-qtest-log",
                           "none",
                           "-device",
                           NIC };
    Error *err = NULL;
    VmConfig *cfg =
        cmdline_parse(ARRAY_SIZE(argv), (char **)(uintptr_t)argv, &err);
    bool done;

    g_assert_no_error(err);
    g_assert_true(main_loop_init(&err));
    fuzz_net_init();
    vm_setup(cfg, &done, &err);
    g_assert_no_error(err);
    vm_setup_machine(cfg, &err);
    g_assert_no_error(err);
    vm_config_free(cfg);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    make_machine();
    line = chardev_find("q");
    fuzz_ram = ram_map_lookup(ram_map_get(), FUZZ_RAM_GPA, FUZZ_RAM_SIZE);
    fuzz_kick = ring_doorbell;
    reset_machine();
    memcpy(power_on, proxy()->pci.config, sizeof(power_on));
    return 0;
}

/* ---- steps ---- */

/* Text as it is; and the rest of a line, or not. */
static void step_text(FuzzInput *in) MAIN_THREAD
{
    size_t len = fuzz_u8(in), digits = 0;
    char text[256];

    fuzz_bytes(in, text, len);
    text[len] = '\n';
    for (size_t i = 0; i < len; i++) {
        digits = g_ascii_isdigit(text[i]) ? digits + 1 : 0;
        if (digits > CLOCK_DIGITS && strstr(text, "clock")) {
            return;
        }
    }
    feed(text, len + 1);
    g_free(take_answers());
}

static uint64_t value_of(FuzzInput *in, unsigned size)
{
    return size == 8 ? fuzz_u64(in)
                     : fuzz_u32(in) & (UINT32_MAX >> (32 - 8 * size));
}

/* A read or a write of a register at @base, among @span bytes. */
static void step_register(FuzzInput *in, uint64_t base, unsigned span)
    MAIN_THREAD
{
    uint8_t how = fuzz_u8(in);
    unsigned size = 1u << (how & 3);
    uint64_t at = base + fuzz_u16(in) % span;

    if (how & 4) {
        get(at, size);
    } else {
        put(at, size, value_of(in, size));
    }
}

static void step_port(FuzzInput *in, uint16_t base, unsigned span) MAIN_THREAD
{
    uint8_t how = fuzz_u8(in);
    unsigned size = 1u << (how & 3) % 3;
    uint16_t at = (uint16_t)(base + fuzz_u16(in) % span);

    if (how & 4) {
        say("in%c 0x%x", letter(size), at);
    } else {
        say("out%c 0x%x 0x%x", letter(size), at, (unsigned)value_of(in, size));
    }
}

static void step_config(FuzzInput *in) MAIN_THREAD
{
    uint8_t how = fuzz_u8(in), offset = fuzz_u8(in);
    unsigned size = 1u << (how & 3) % 3;

    if (how & 4) {
        select_config(offset);
        say("in%c 0x%x", letter(size), 0xcfc + (offset & 3));
    } else {
        put_config(offset, size, (uint32_t)value_of(in, size));
    }
}

/* An entry of the MSI-X table: its message goes to memory, or to a register of
 * the device itself. */
static void step_vector(FuzzInput *in) MAIN_THREAD
{
    uint8_t how = fuzz_u8(in);
    uint64_t entry = bar(VIRTIO_PCI_BAR_MSIX, MSIX) + how % 8 * 16;
    uint64_t to = how & 8    ? bar(VIRTIO_PCI_BAR_MODERN, MODERN)
                  : how & 16 ? bar(VIRTIO_PCI_BAR_MSIX, MSIX)
                             : VECTORS;

    put(entry, 8, to + (fuzz_u16(in) & 0x3ffc));
    put(entry + PCI_MSIX_ENTRY_DATA, 4, fuzz_u16(in));
    put(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, how >> 7);
}

/* Memory by the protocol's own commands. */
static void step_memory(FuzzInput *in) MAIN_THREAD
{
    uint8_t how = fuzz_u8(in), data[32];
    uint64_t at = FUZZ_RAM_GPA + (uint64_t)fuzz_u16(in) * 2;
    size_t len = how >> 3;
    g_autofree char *text = NULL;

    fuzz_bytes(in, data, len);
    switch (how & 3) {
    case 0:
        text = g_base64_encode(data, len);
        if (len) {
            say("b64write 0x%" PRIx64 " %zu %s", at, len, text);
        }
        break;
    case 1:
        say("memset 0x%" PRIx64 " %zu 0x%x", at, len, data[0] & 0xffu);
        break;
    case 2:
        say("read 0x%" PRIx64 " %zu", at, len);
        break;
    case 3:
        say("writeq 0x%" PRIx64 " 0x%" PRIx64, at, fuzz_u64(in));
        break;
    }
}

static void step_machine(FuzzInput *in) MAIN_THREAD
{
    uint8_t how = fuzz_u8(in);

    switch (how % 4) {
    case 0:
        say("clock_step %u", fuzz_u32(in));
        break;
    case 1:
        say("outb 0xcf9 0x6"); /* reset */
        fuzz_nic_turn();
        break;
    case 2:
        say("outl 0xae08 0x%x", 1u << SLOT); /* eject */
        break;
    case 3:
        place_bars();
        start_driver(fuzz_u64(in), fuzz_u16(in));
        break;
    }
}

static void step(FuzzInput *in) MAIN_THREAD
{
    unsigned kind = fuzz_u8(in) % (FUZZ_ENDS_KINDS + 8);

    switch (kind) {
    case 6:
        step_register(in, bar(VIRTIO_PCI_BAR_MODERN, MODERN) + COMMON, 64);
        break;
    case 7:
        step_config(in);
        break;
    case FUZZ_ENDS_KINDS:
        step_register(in, bar(VIRTIO_PCI_BAR_MODERN, MODERN) + CONFIG, 64);
        break;
    case FUZZ_ENDS_KINDS + 1:
        step_register(in, bar(VIRTIO_PCI_BAR_MODERN, MODERN) + NOTIFY, 32);
        break;
    case FUZZ_ENDS_KINDS + 2:
        step_register(in, bar(VIRTIO_PCI_BAR_MSIX, MSIX), 4096);
        break;
    case FUZZ_ENDS_KINDS + 3:
        step_vector(in);
        break;
    case FUZZ_ENDS_KINDS + 4:
        step_port(in, (uint16_t)bar(VIRTIO_PCI_BAR_LEGACY, PORTS), 64);
        break;
    case FUZZ_ENDS_KINDS + 5:
        step_memory(in);
        break;
    case FUZZ_ENDS_KINDS + 6:
        step_machine(in);
        break;
    case FUZZ_ENDS_KINDS + 7:
        step_text(in);
        break;
    default:
        fuzz_ends_step(in, kind);
        break;
    }
    g_free(take_answers());
    find_device();
}

/* ---- after each input ---- */

static void check_reset(void) MAIN_THREAD
{
    const uint8_t *config = proxy()->pci.config;

    for (unsigned i = 0; i < sizeof(power_on); i++) {
        if (config[i] != power_on[i]) {
            g_error("configuration space: byte 0x%02x is 0x%02x, was 0x%02x", i,
                    config[i], power_on[i]);
        }
    }
    for (unsigned q = 0; q < FUZZ_QUEUES; q++) {
        const VirtQueue *vq = &fuzz_nic->vdev.vq[q];

        g_assert_false(vq->running || vq->enabled);
        g_assert_cmpuint(vq->inuse, ==, 0);
    }
}

static void check_messages(void) MAIN_THREAD
{
    for (unsigned q = 0; q < 2; q++) {
        for (unsigned i = 0; i < TURNS; i++) {
            if (say("readl 0x%x", VECTORS + 4 * q)) {
                break;
            }
            fuzz_nic_turn();
        }
        g_assert_cmpuint(say("readl 0x%x", VECTORS + 4 * q), ==, 0x100 + q);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };
    uint64_t features;
    uint16_t size;

    piece = fuzz_u8(&in);
    features = fuzz_u64(&in);
    size = fuzz_u16(&in);
    if (size) {
        start_driver(features, size);
    }
    for (unsigned i = 0; i < STEPS && in.left; i++) {
        step(&in);
    }
    reset_machine();
    check_reset();
    say("memset 0x%x 64 0", VECTORS);
    start_driver(BIT(VIRTIO_NET_F_MRG_RXBUF), 64);
    fuzz_check_frames();
    check_messages();
    reset_machine();
    return 0;
}
