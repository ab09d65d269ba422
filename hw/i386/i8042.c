/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller without keyboard or mouse, and two ports of the board
 * that belong to it by history: 0x92 and 0x61.
 *
 * A byte for a device that is not plugged in is answered as a real controller
 * does: 0xfe with the timeout bit, so that a driver's probe ends at once.
 */
#include "util/osdep.h"

#include "hw/i386/i8042.h"
#include "system/memory.h"
#include "system/runstate.h"
#include "system/vm-clock.h"

#define KBD_DATA_PORT    0x60
#define SYSTEM_PORT_B    0x61
#define KBD_COMMAND_PORT 0x64
#define SYSTEM_PORT_A    0x92

#define KBD_IRQ 1
#define AUX_IRQ 12

/* status */
#define STATUS_OBF     0x01 /* a byte waits at the data port */
#define STATUS_SYS     0x04 /* self-test passed */
#define STATUS_COMMAND 0x08 /* the last write went to the command port */
#define STATUS_UNLOCK  0x10 /* keyboard not locked */
#define STATUS_AUX     0x20 /* the waiting byte is from the aux device */
#define STATUS_TIMEOUT 0x40

/* command byte */
#define CTR_KBD_INT 0x01
#define CTR_AUX_INT 0x02
#define CTR_SYS     0x04
#define CTR_KBD_OFF 0x10
#define CTR_AUX_OFF 0x20
#define CTR_RESET   (CTR_KBD_INT | CTR_SYS)

/* output port */
#define OUT_NO_RESET 0x01
#define OUT_A20      0x02
#define OUT_RESET    (OUT_NO_RESET | OUT_A20)

#define PORT_A_RESET 0x01
#define PORT_A_A20   0x02

#define PORT_B_WRITABLE 0x0f
#define PORT_B_REFRESH  0x10
#define REFRESH_NS      15085 /* half a period of the toggling bit */

#define REPLY_RESEND 0xfe
#define SELF_TEST_OK 0x55
#define INTERFACE_OK 0x00
#define RAM_SIZE     32
#define NO_COMMAND   0

enum {
    CMD_READ_RAM = 0x20,  /* to 0x3f; byte 0 is the command byte */
    CMD_WRITE_RAM = 0x60, /* to 0x7f */
    CMD_AUX_DISABLE = 0xa7,
    CMD_AUX_ENABLE = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KBD_TEST = 0xab,
    CMD_KBD_DISABLE = 0xad,
    CMD_KBD_ENABLE = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KBD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_PULSE = 0xf0, /* to 0xff: pulls bits that are 0 in bits 0..3 low */
};

typedef struct I8042 {
    ISADevice isa;
    IoRegion data_port, command_port, port_a, port_b;
    /* main thread */
    uint8_t ram[RAM_SIZE]; /* [0] is the command byte */
    uint8_t status;
    uint8_t output;  /* the waiting byte */
    uint8_t command; /* that waits for its data byte, or NO_COMMAND */
    uint8_t out_port;
    uint8_t port_b_bits;
} I8042;

static void update_irqs(I8042 *s) MAIN_THREAD
{
    bool full = s->status & STATUS_OBF;
    bool aux = s->status & STATUS_AUX;
    isa_set_irq(KBD_IRQ, full && !aux && (s->ram[0] & CTR_KBD_INT));
    isa_set_irq(AUX_IRQ, full && aux && (s->ram[0] & CTR_AUX_INT));
}

/* Puts a byte where the guest reads it; @bits go with it into the status. */
static void reply(I8042 *s, uint8_t byte, uint8_t bits) MAIN_THREAD
{
    s->output = byte;
    s->status &= ~(STATUS_AUX | STATUS_TIMEOUT);
    s->status |= STATUS_OBF | bits;
    update_irqs(s);
}

static void set_out_port(I8042 *s, uint8_t value)
{
    s->out_port = value | OUT_NO_RESET;
    if (!(value & OUT_NO_RESET)) {
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    }
}

static void set_ctr_bit(I8042 *s, uint8_t bit, bool on)
{
    s->ram[0] = (s->ram[0] & ~bit) | (on ? bit : 0);
}

/* ---- command port ---- */

static void run_command(I8042 *s, uint8_t command) MAIN_THREAD
{
    switch (command) {
    case CMD_AUX_DISABLE:
    case CMD_AUX_ENABLE:
        set_ctr_bit(s, CTR_AUX_OFF, command == CMD_AUX_DISABLE);
        break;
    case CMD_KBD_DISABLE:
    case CMD_KBD_ENABLE:
        set_ctr_bit(s, CTR_KBD_OFF, command == CMD_KBD_DISABLE);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST:
        reply(s, INTERFACE_OK, 0);
        break;
    case CMD_SELF_TEST:
        s->status |= STATUS_SYS;
        reply(s, SELF_TEST_OK, 0);
        break;
    case CMD_READ_INPUT:
        reply(s, 0x80, 0); /* keyboard not inhibited */
        break;
    case CMD_READ_OUTPUT:
        reply(s, s->out_port, 0);
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        s->out_port &= ~OUT_A20;
        s->out_port |= command == CMD_A20_ON ? OUT_A20 : 0;
        break;
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        s->command = command;
        break;
    default:
        break;
    }
}

static void command_write(void *opaque, uint64_t offset, uint64_t value,
                          unsigned size) MAIN_THREAD
{
    I8042 *s = opaque;
    uint8_t command = (uint8_t)value;
    s->status |= STATUS_COMMAND;
    s->command = NO_COMMAND;
    if (command >= CMD_PULSE) {
        if (!(command & OUT_NO_RESET)) {
            system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
        }
    } else if (command >= CMD_READ_RAM && command < CMD_READ_RAM + RAM_SIZE) {
        reply(s, s->ram[command - CMD_READ_RAM], 0);
    } else if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_SIZE) {
        s->command = command;
    } else {
        run_command(s, command);
    }
}

static uint64_t status_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((I8042 *)opaque)->status;
}

static const IoRegionOps command_ops = {
    .read = status_read,
    .write = command_write,
    .max_size = 1,
};

/* ---- data port ---- */

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    I8042 *s = opaque;
    s->status &= ~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT);
    update_irqs(s);
    return s->output;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size) MAIN_THREAD
{
    I8042 *s = opaque;
    uint8_t byte = (uint8_t)value;
    uint8_t command = s->command;
    s->command = NO_COMMAND;
    s->status &= ~STATUS_COMMAND;
    switch (command) {
    case NO_COMMAND:
        set_ctr_bit(s, CTR_KBD_OFF, false);
        reply(s, REPLY_RESEND, STATUS_TIMEOUT);
        break;
    case CMD_WRITE_AUX:
        reply(s, REPLY_RESEND, STATUS_TIMEOUT | STATUS_AUX);
        break;
    case CMD_WRITE_OUTPUT:
        set_out_port(s, byte);
        break;
    case CMD_WRITE_KBD_BUFFER:
        reply(s, byte, 0);
        break;
    case CMD_WRITE_AUX_BUFFER:
        reply(s, byte, STATUS_AUX);
        break;
    default:
        s->ram[command - CMD_WRITE_RAM] = byte;
        s->status = (s->status & ~STATUS_SYS) | (s->ram[0] & CTR_SYS);
        update_irqs(s);
        break;
    }
}

static const IoRegionOps data_ops = {
    .read = data_read,
    .write = data_write,
    .max_size = 1,
};

/* ---- ports 0x92 and 0x61 ---- */

static uint64_t port_a_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((I8042 *)opaque)->out_port & OUT_A20 ? PORT_A_A20 : 0;
}

static void port_a_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size)
{
    I8042 *s = opaque;
    s->out_port &= ~OUT_A20;
    s->out_port |= value & PORT_A_A20 ? OUT_A20 : 0;
    if (value & PORT_A_RESET) {
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    }
}

static const IoRegionOps port_a_ops = {
    .read = port_a_read,
    .write = port_a_write,
    .max_size = 1,
};

static uint64_t port_b_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    bool refresh = (vm_clock_ns() / REFRESH_NS) & 1;
    return ((I8042 *)opaque)->port_b_bits | (refresh ? PORT_B_REFRESH : 0);
}

static void port_b_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size)
{
    ((I8042 *)opaque)->port_b_bits = value & PORT_B_WRITABLE;
}

static const IoRegionOps port_b_ops = {
    .read = port_b_read,
    .write = port_b_write,
    .max_size = 1,
};

/* ---- life ---- */

static void i8042_reset(DeviceState *dev) MAIN_THREAD
{
    I8042 *s = OBJECT_CAST(I8042, dev);
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = CTR_RESET;
    s->status = STATUS_UNLOCK | STATUS_SYS;
    s->output = 0;
    s->command = NO_COMMAND;
    s->out_port = OUT_RESET;
    s->port_b_bits = 0;
    update_irqs(s);
}

static void map_port(I8042 *s, IoRegion *region, const char *name,
                     const IoRegionOps *ops, uint16_t port) MAIN_THREAD
{
    io_region_init(region, name, ops, s, 1);
    io_region_map(region, IO_SPACE_PORT, port, 0);
}

static bool i8042_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    I8042 *s = OBJECT_CAST(I8042, dev);
    map_port(s, &s->data_port, "i8042-data", &data_ops, KBD_DATA_PORT);
    map_port(s, &s->command_port, "i8042-cmd", &command_ops, KBD_COMMAND_PORT);
    map_port(s, &s->port_a, "port92", &port_a_ops, SYSTEM_PORT_A);
    map_port(s, &s->port_b, "port61", &port_b_ops, SYSTEM_PORT_B);
    i8042_reset(dev);
    return true;
}

static void i8042_unrealize(DeviceState *dev) MAIN_THREAD
{
    I8042 *s = OBJECT_CAST(I8042, dev);
    io_region_destroy(&s->data_port);
    io_region_destroy(&s->command_port);
    io_region_destroy(&s->port_a);
    io_region_destroy(&s->port_b);
}

static void i8042_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->desc = "Keyboard controller";
    dc->category = "Input";
    dc->realize = i8042_realize;
    dc->unrealize = i8042_unrealize;
    dc->reset = i8042_reset;
}

static const TypeInfo i8042_types[] = {
    {
        .name = TYPE_I8042,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(I8042),
        .class_init = i8042_class_init,
    },
};
DEFINE_TYPES(i8042_types)

bool i8042_init(Error **errp)
{
    return device_new_builtin(TYPE_I8042, bus_find(NULL, TYPE_ISA_BUS), errp) !=
           NULL;
}
