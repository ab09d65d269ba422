/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ISA: the bus, its devices, its sixteen interrupt lines. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "hw/core/irq.h"

#define ISA_NUM_IRQS 16u

/* Machine lock. There is one set of lines, as on the board. */
static struct {
    bool level;
    uint64_t raised; /* how often it went from low to high */
} isa_line[ISA_NUM_IRQS];

void isa_set_irq(unsigned irq, bool level)
{
    if (irq >= ISA_NUM_IRQS) {
        return;
    }
    if (level && !isa_line[irq].level) {
        isa_line[irq].raised++;
    }
    isa_line[irq].level = level;
    accel_set_gsi(irq, level);
}

void isa_irq_info(GString *out)
{
    for (unsigned i = 0; i < ISA_NUM_IRQS; i++) {
        if (isa_line[i].raised) {
            g_string_append_printf(out, "%2u: %" PRIu64 "%s\n", i,
                                   isa_line[i].raised,
                                   isa_line[i].level ? " (high)" : "");
        }
    }
}

static void isa_device_class_init(ObjectClass *klass)
{
    DEVICE_CLASS(klass)->bus_type = TYPE_ISA_BUS;
}

static const TypeInfo isa_types[] = {
    { .name = TYPE_ISA_BUS, .parent = TYPE_BUS },
    {
        .name = TYPE_ISA_DEVICE,
        .parent = TYPE_DEVICE,
        .abstract = true,
        .instance_size = sizeof(ISADevice),
        .class_init = isa_device_class_init,
    },
};
DEFINE_TYPES(isa_types)
