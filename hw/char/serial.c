/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART over a Chardev.
 *
 * The line has no speed: a byte goes to the Chardev when it is written. What
 * the Chardev does not take at once stays in the transmit FIFO, and the guest
 * sees that the transmitter is busy until there is room again. Input waits in
 * the host until the receive FIFO has room. Input below the trigger level is
 * announced as a character timeout without delay: the host delivers in
 * bursts, and the end of a burst is the pause that the timeout waits for.
 */
#include "util/osdep.h"

#include <linux/serial_reg.h>

#include "hw/char/serial.h"
#include "system/memory.h"

#define SERIAL_PORTS_LEN 8
#define FIFO_SIZE        16
#define UNSET            UINT32_MAX
#define NUM_PORTS        0x10000u
#define NUM_ISA_IRQS     16u

#define IIR_FIFO_ENABLED 0xc0
#define MCR_WRITABLE     0x1f
#define IER_WRITABLE     0x0f
#define LSR_ERRORS       (UART_LSR_OE | UART_LSR_PE | UART_LSR_FE | UART_LSR_BI)
/* A modem that is always there. */
#define MSR_CONNECTED (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)

typedef struct SerialFifo {
    uint8_t byte[FIFO_SIZE];
    unsigned first, count;
} SerialFifo;

typedef struct SerialState {
    ISADevice isa;
    /* fixed after realize */
    char *chardev;
    uint32_t index, iobase, irq;
    IoRegion ports;
    /* main thread */
    ChardevFrontend fe;
    SerialFifo rx, tx;
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scratch;
    uint16_t divisor;
    bool thr_event; /* transmitter became empty, not yet told */
    bool irq_level;
    struct SerialState *irq_next; /* ring of the ports that share the line */
} SerialState;

static const struct {
    uint16_t iobase;
    uint8_t irq;
} com_ports[SERIAL_MAX_PORTS] = {
    { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 }
};

/* ---- FIFOs ---- */

static unsigned fifo_capacity(const SerialState *s)
{
    return s->fcr & UART_FCR_ENABLE_FIFO ? FIFO_SIZE : 1;
}

static void fifo_put(SerialFifo *f, uint8_t byte)
{
    f->byte[(f->first + f->count) % FIFO_SIZE] = byte;
    f->count++;
}

static void fifo_drop(SerialFifo *f, unsigned n)
{
    f->first = (f->first + n) % FIFO_SIZE;
    f->count -= n;
}

static unsigned rx_trigger(const SerialState *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    return levels[s->fcr >> 6];
}

/* ---- interrupts ---- */

/* The cause of highest priority, as the identification register says it. */
static uint8_t interrupt_cause(const SerialState *s)
{
    if ((s->ier & UART_IER_RLSI) && (s->lsr & LSR_ERRORS)) {
        return UART_IIR_RLSI;
    }
    if ((s->ier & UART_IER_RDI) && s->rx.count) {
        bool timeout =
            (s->fcr & UART_FCR_ENABLE_FIFO) && s->rx.count < rx_trigger(s);
        return timeout ? UART_IIR_RX_TIMEOUT : UART_IIR_RDI;
    }
    if ((s->ier & UART_IER_THRI) && s->thr_event) {
        return UART_IIR_THRI;
    }
    if ((s->ier & UART_IER_MSI) && (s->msr & UART_MSR_ANY_DELTA)) {
        return UART_IIR_MSI;
    }
    return UART_IIR_NO_INT;
}

/* Each call of the accelerator may be a system call: changes only. */
static void serial_update_irq(SerialState *s) MAIN_THREAD
{
    SerialState *each = s;
    bool level = false;
    do {
        level |= interrupt_cause(each) != UART_IIR_NO_INT;
        each = each->irq_next;
    } while (each != s);
    if (level == s->irq_level) {
        return;
    }
    do {
        each->irq_level = level;
        each = each->irq_next;
    } while (each != s);
    isa_set_irq(s->irq, level);
}

/* ---- receiver ---- */

static void receive_byte(SerialState *s, uint8_t byte)
{
    if (s->rx.count < fifo_capacity(s)) {
        fifo_put(&s->rx, byte);
        return;
    }
    s->lsr |= UART_LSR_OE;
    if (!(s->fcr & UART_FCR_ENABLE_FIFO)) {
        s->rx.byte[s->rx.first] = byte;
    }
}

static size_t serial_can_read(void *opaque)
{
    const SerialState *s = opaque;
    unsigned capacity = fifo_capacity(s);
    if ((s->mcr & UART_MCR_LOOP) || s->rx.count >= capacity) {
        return 0;
    }
    return capacity - s->rx.count;
}

static void serial_read(void *opaque, const uint8_t *buf, size_t len)
    MAIN_THREAD
{
    SerialState *s = opaque;
    for (size_t i = 0; i < len; i++) {
        receive_byte(s, buf[i]);
    }
    serial_update_irq(s);
}

static void serial_event(void *opaque, ChardevEvent event) MAIN_THREAD
{
    SerialState *s = opaque;
    if (event == CHARDEV_EVENT_BREAK && !(s->mcr & UART_MCR_LOOP)) {
        receive_byte(s, 0);
        s->lsr |= UART_LSR_BI;
        serial_update_irq(s);
    }
}

static uint8_t read_rbr(SerialState *s) MAIN_THREAD
{
    if (s->rx.count == 0) {
        return 0;
    }
    uint8_t byte = s->rx.byte[s->rx.first];
    fifo_drop(&s->rx, 1);
    if (s->rx.count == 0) {
        chardev_accept_input(&s->fe);
    }
    return byte;
}

/* ---- transmitter ---- */

/* Offers what waits; tells of an empty transmitter when all has gone. */
static void transmit(SerialState *s) MAIN_THREAD
{
    while (s->tx.count) {
        unsigned run = MIN(s->tx.count, FIFO_SIZE - s->tx.first);
        size_t n = chardev_write(&s->fe, s->tx.byte + s->tx.first, run);
        fifo_drop(&s->tx, (unsigned)n);
        if (n < run) {
            return;
        }
    }
    s->thr_event = true;
}

static void serial_writable(void *opaque) MAIN_THREAD
{
    SerialState *s = opaque;
    if (s->tx.count) {
        transmit(s);
        serial_update_irq(s);
    }
}

/* A byte that does not fit is lost: the guest did not look at the status. */
static void write_thr(SerialState *s, uint8_t byte) MAIN_THREAD
{
    s->thr_event = false;
    serial_update_irq(s); /* low first: the next event is an edge */
    if (s->mcr & UART_MCR_LOOP) {
        receive_byte(s, byte);
        s->thr_event = true;
        return;
    }
    if (s->tx.count < fifo_capacity(s)) {
        fifo_put(&s->tx, byte);
    }
    transmit(s);
}

/* ---- control registers ---- */

/* The upper half of the modem status: the modem's, or looped back. */
static uint8_t modem_lines(const SerialState *s)
{
    if (!(s->mcr & UART_MCR_LOOP)) {
        return MSR_CONNECTED;
    }
    return (s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
           (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
           (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
           (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void write_mcr(SerialState *s, uint8_t value) MAIN_THREAD
{
    bool was_loop = s->mcr & UART_MCR_LOOP;
    s->mcr = value & MCR_WRITABLE;
    uint8_t lines = modem_lines(s);
    uint8_t changed = (s->msr ^ lines) & 0xf0;
    uint8_t delta = changed >> 4;
    if ((changed & UART_MSR_RI) && (lines & UART_MSR_RI)) {
        delta &= ~UART_MSR_TERI; /* the trailing edge counts */
    }
    s->msr = lines | (s->msr & UART_MSR_ANY_DELTA) | delta;
    if (was_loop && !(s->mcr & UART_MCR_LOOP)) {
        chardev_accept_input(&s->fe);
    }
}

static void write_fcr(SerialState *s, uint8_t value) MAIN_THREAD
{
    bool switched = (s->fcr ^ value) & UART_FCR_ENABLE_FIFO;
    if (switched || (value & UART_FCR_CLEAR_RCVR)) {
        s->rx.count = 0;
        s->lsr &= ~UART_LSR_BI;
    }
    if (switched || (value & UART_FCR_CLEAR_XMIT)) {
        s->tx.count = 0;
        s->thr_event = true;
    }
    s->fcr = value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK);
    chardev_accept_input(&s->fe);
}

static void write_ier(SerialState *s, uint8_t value)
{
    value &= IER_WRITABLE;
    if ((value & ~s->ier & UART_IER_THRI) && s->tx.count == 0) {
        s->thr_event = true;
    }
    s->ier = value;
}

static uint8_t read_lsr(SerialState *s)
{
    uint8_t value = s->lsr | (s->rx.count ? UART_LSR_DR : 0) |
                    (s->tx.count ? 0 : UART_LSR_THRE | UART_LSR_TEMT);
    s->lsr = 0;
    return value;
}

static uint8_t read_iir(SerialState *s)
{
    uint8_t cause = interrupt_cause(s);
    if (cause == UART_IIR_THRI) {
        s->thr_event = false;
    }
    return cause | (s->fcr & UART_FCR_ENABLE_FIFO ? IIR_FIFO_ENABLED : 0);
}

static uint8_t read_msr(SerialState *s)
{
    uint8_t value = s->msr;
    s->msr &= ~UART_MSR_ANY_DELTA;
    return value;
}

/* ---- ports ---- */

static uint8_t read_register(SerialState *s, unsigned reg) MAIN_THREAD
{
    bool dlab = s->lcr & UART_LCR_DLAB;
    switch (reg) {
    case UART_RX:
        return dlab ? s->divisor & 0xff : read_rbr(s);
    case UART_IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case UART_IIR:
        return read_iir(s);
    case UART_LCR:
        return s->lcr;
    case UART_MCR:
        return s->mcr;
    case UART_LSR:
        return read_lsr(s);
    case UART_MSR:
        return read_msr(s);
    default:
        return s->scratch;
    }
}

static void write_register(SerialState *s, unsigned reg, uint8_t value)
    MAIN_THREAD
{
    bool dlab = s->lcr & UART_LCR_DLAB;
    switch (reg) {
    case UART_TX:
        if (dlab) {
            s->divisor = (s->divisor & 0xff00) | value;
        } else {
            write_thr(s, value);
        }
        break;
    case UART_IER:
        if (dlab) {
            s->divisor = (uint16_t)((s->divisor & 0xff) | value << 8);
        } else {
            write_ier(s, value);
        }
        break;
    case UART_FCR:
        write_fcr(s, value);
        break;
    case UART_LCR:
        s->lcr = value;
        break;
    case UART_MCR:
        write_mcr(s, value);
        break;
    case UART_SCR:
        s->scratch = value;
        break;
    default: /* line and modem status are read-only */
        break;
    }
}

static uint64_t serial_port_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    SerialState *s = opaque;
    uint8_t value = read_register(s, (unsigned)offset & 7);
    serial_update_irq(s);
    return value;
}

static void serial_port_write(void *opaque, uint64_t offset, uint64_t value,
                              unsigned size) MAIN_THREAD
{
    SerialState *s = opaque;
    write_register(s, (unsigned)offset & 7, (uint8_t)value);
    serial_update_irq(s);
}

static const IoRegionOps serial_ops = {
    .read = serial_port_read,
    .write = serial_port_write,
    .max_size = 1,
};

/* ---- life ---- */

static const ChardevFrontendOps serial_frontend_ops = {
    .can_read = serial_can_read,
    .read = serial_read,
    .event = serial_event,
    .writable = serial_writable,
    .hotswap = true,
};

/* Output that waits for the Chardev still goes out after a reset. */
static void serial_reset(DeviceState *dev) MAIN_THREAD
{
    SerialState *s = OBJECT_CAST(SerialState, dev);
    s->rx.count = 0;
    s->ier = s->fcr = s->lcr = s->mcr = s->lsr = s->scratch = 0;
    s->msr = MSR_CONNECTED;
    s->divisor = 12; /* 9600 bit/s */
    s->thr_event = false;
    serial_update_irq(s);
    chardev_accept_input(&s->fe);
}

typedef bool SerialMatch(const SerialState *other, const SerialState *s);

/* Any isa-serial in use, other than @s, that matches. */
static SerialState *serial_find(const SerialState *s, SerialMatch *match)
    MAIN_THREAD
{
    BusState *bus = bus_find(NULL, TYPE_ISA_BUS);
    for (guint i = 0; bus && i < bus->devices->len; i++) {
        Object *obj = g_ptr_array_index(bus->devices, i);
        SerialState *other = OBJECT_CAST(SerialState, obj);
        if (object_is(obj, TYPE_ISA_SERIAL) && obj->realized && other != s &&
            match(other, s)) {
            return other;
        }
    }
    return NULL;
}

static bool same_index(const SerialState *other, const SerialState *s)
{
    return other->index == s->index;
}

static bool same_irq(const SerialState *other, const SerialState *s)
{
    return other->irq == s->irq;
}

static bool same_place(const SerialState *other, const SerialState *s)
{
    return other->index == s->index ||
           (other->iobase < s->iobase + SERIAL_PORTS_LEN &&
            s->iobase < other->iobase + SERIAL_PORTS_LEN);
}

static void irq_ring_join(SerialState *s) MAIN_THREAD
{
    SerialState *other = serial_find(s, same_irq);
    s->irq_next = other ? other->irq_next : s;
    if (other) {
        other->irq_next = s;
    }
}

static void irq_ring_leave(SerialState *s)
{
    SerialState *before = s;
    while (before->irq_next != s) {
        before = before->irq_next;
    }
    before->irq_next = s->irq_next;
    s->irq_next = s;
}

/* Index, ports and interrupt, where not given: of the first free COM port. */
static bool serial_choose_place(SerialState *s, Error **errp) MAIN_THREAD
{
    if (s->index == UNSET) {
        s->index = 0;
        while (s->index < SERIAL_MAX_PORTS && serial_find(s, same_index)) {
            s->index++;
        }
    }
    if (s->index >= SERIAL_MAX_PORTS) {
        error_setg(errp,
                   "Property 'isa-serial.index': there are at most %d serial "
                   "ports, index 0 to %d",
                   SERIAL_MAX_PORTS, SERIAL_MAX_PORTS - 1);
        return false;
    }
    if (s->iobase == UNSET) {
        s->iobase = com_ports[s->index].iobase;
    }
    if (s->irq == UNSET) {
        s->irq = com_ports[s->index].irq;
    }
    if (s->iobase > NUM_PORTS - SERIAL_PORTS_LEN || s->irq >= NUM_ISA_IRQS) {
        error_setg(errp,
                   "Properties 'isa-serial.iobase' and 'irq' do not take "
                   "0x%" PRIx32 " and %" PRIu32
                   ": use a port up to 0xfff8 and an interrupt up to 15",
                   s->iobase, s->irq);
        return false;
    }
    const SerialState *other = serial_find(s, same_place);
    if (other) {
        error_setg(errp,
                   "Property 'isa-serial.index': serial port %" PRIu32
                   " at 0x%" PRIx32 " is taken by %s",
                   s->index, s->iobase, device_label(&other->isa.dev));
        return false;
    }
    return true;
}

static bool serial_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    SerialState *s = OBJECT_CAST(SerialState, dev);
    if (!s->chardev) {
        error_setg(errp, "Property 'isa-serial.chardev' is missing: it names "
                         "the -chardev that the port is connected to");
        return false;
    }
    Chardev *chr = chardev_find(s->chardev);
    if (!chr) {
        error_setg(errp,
                   "Property 'isa-serial.chardev': there is no -chardev with "
                   "id '%s'",
                   s->chardev);
        return false;
    }
    s->irq_next = s;
    if (!serial_choose_place(s, errp) ||
        !chardev_attach(&s->fe, chr, &serial_frontend_ops, s, errp)) {
        return false;
    }
    io_region_init(&s->ports, "serial", &serial_ops, s, SERIAL_PORTS_LEN);
    io_region_map(&s->ports, IO_SPACE_PORT, s->iobase, 0);
    irq_ring_join(s);
    serial_reset(dev);
    return true;
}

static void serial_unrealize(DeviceState *dev) MAIN_THREAD
{
    SerialState *s = OBJECT_CAST(SerialState, dev);
    chardev_detach(&s->fe);
    io_region_destroy(&s->ports);
    s->ier = 0; /* the line is low as far as this port goes */
    serial_update_irq(s);
    irq_ring_leave(s);
}

static const Property serial_properties[] = {
    PROP_STRING("chardev", SerialState, chardev, "Id of a -chardev"),
    PROP_UINT32("index", SerialState, index, UNSET,
                "COM port less one, 0 to 3; default: the first free one"),
    PROP_UINT32("iobase", SerialState, iobase, UNSET,
                "First of eight ports; default: as usual for the index"),
    PROP_UINT32("irq", SerialState, irq, UNSET,
                "ISA interrupt; default: as usual for the index"),
    PROP_END,
};

static void serial_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->desc = "16550A serial port";
    dc->category = "Input";
    dc->user_creatable = true;
    dc->realize = serial_realize;
    dc->unrealize = serial_unrealize;
    dc->reset = serial_reset;
}

static const TypeInfo serial_types[] = {
    {
        .name = TYPE_ISA_SERIAL,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(SerialState),
        .class_init = serial_class_init,
        .properties = serial_properties,
    },
};
DEFINE_TYPES(serial_types)

bool serial_isa_init(unsigned index, Chardev *chr, Error **errp)
{
    SerialState *s = OBJECT_CAST(SerialState, object_new(TYPE_ISA_SERIAL));
    g_free(s->chardev);
    s->chardev = g_strdup(chardev_label(chr));
    s->index = index;
    bool ok = device_realize(&s->isa.dev, bus_find(NULL, TYPE_ISA_BUS), errp);
    object_unref(OBJECT(s)); /* the tree has it, or nobody */
    return ok;
}

bool serial_isa_present(unsigned index)
{
    SerialState wanted = { .index = index };
    const SerialState *s = serial_find(&wanted, same_index);
    return s && index < SERIAL_MAX_PORTS &&
           s->iobase == com_ports[index].iobase &&
           s->irq == com_ports[index].irq;
}
