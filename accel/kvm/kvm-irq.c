/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts in KVM: the routing table from gsi to line or message, irqfds.
 *
 * gsi 0..23 are lines: 0..15 go to a pin of the two PICs and to the I/O APIC,
 * 16..23 to the I/O APIC only. gsi 24 and up are MSI routes. The kernel takes
 * the table as a whole (KVM API 4.52), so changes are collected: a new route,
 * or a changed one, is loaded when an eventfd is attached to it, and at once
 * when one already is.
 */
#include "util/osdep.h"
#include "accel/kvm/kvm-internal.h"
#include "system/machine-lock.h"
#include "util/log.h"

#define LINES     24u
#define PIC_LINES 16u

typedef struct MsiEntry {
    bool used;
    unsigned irqfds; /* attached now */
    MsiMessage msg;
} MsiEntry;

/* main thread */
static struct {
    GArray *msi;    /* of MsiEntry; index is gsi - LINES */
    unsigned lines; /* entries of the lines */
    unsigned n_msi; /* used ones */
    bool dirty;     /* the kernel's table is older than ours */
    /* fixed after init: as the kernel made them */
    struct kvm_irqchip chip[KVM_IRQCHIP_IOAPIC + 1];
    struct kvm_pit_state2 pit;
} irq;

static MsiEntry *msi_entry(int gsi)
{
    return &g_array_index(irq.msi, MsiEntry, gsi - LINES);
}

static void route_line(struct kvm_irq_routing *table, unsigned gsi,
                       unsigned chip, unsigned pin)
{
    table->entries[table->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = { .irqchip = chip, .pin = pin },
    };
}

/* The wiring of a PC: the timer (ISA 0) is on I/O APIC pin 2, and the pin of
 * the PICs' cascade (2) carries no device. */
static void route_lines(struct kvm_irq_routing *table)
{
    for (unsigned gsi = 0; gsi < LINES; gsi++) {
        if (gsi == 2) {
            continue;
        }
        if (gsi < PIC_LINES) {
            route_line(table, gsi,
                       gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                       gsi & 7);
        }
        route_line(table, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
    }
}

static void route_msi(struct kvm_irq_routing *table, unsigned gsi,
                      MsiMessage msg)
{
    table->entries[table->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { .address_lo = (uint32_t)msg.address,
                   .address_hi = msg.address >> 32,
                   .data = msg.data },
    };
}

static bool irq_commit(Error **errp)
{
    g_autofree struct kvm_irq_routing *table =
        g_malloc0(sizeof(*table) + (PIC_LINES + LINES + irq.msi->len) *
                                       sizeof(table->entries[0]));
    int r;

    route_lines(table);
    irq.lines = table->nr;
    for (unsigned i = 0; i < irq.msi->len; i++) {
        if (msi_entry(LINES + i)->used) {
            route_msi(table, LINES + i, msi_entry(LINES + i)->msg);
        }
    }
    r = kvm_ioctl(kvm_state.vm_fd, KVM_SET_GSI_ROUTING, table);
    if (r < 0) {
        error_setg_errno(errp, -r,
                         "KVM refuses the interrupt routing table of %u "
                         "entries",
                         table->nr);
        return false;
    }
    irq.dirty = false;
    return true;
}

/* KVM API 4.26, 4.71 */
static bool chips_save(Error **errp)
{
    int r = kvm_ioctl(kvm_state.vm_fd, KVM_GET_PIT2, &irq.pit);

    for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(irq.chip); i++) {
        irq.chip[i].chip_id = i;
        r = kvm_ioctl(kvm_state.vm_fd, KVM_GET_IRQCHIP, &irq.chip[i]);
    }
    if (r < 0) {
        error_setg_errno(errp, -r,
                         "-accel kvm: cannot read the interrupt controllers");
    }
    return r >= 0;
}

void kvm_irq_reset(void)
{
    int r = kvm_ioctl(kvm_state.vm_fd, KVM_SET_PIT2, &irq.pit);

    machine_lock_assert();
    for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(irq.chip); i++) {
        r = kvm_ioctl(kvm_state.vm_fd, KVM_SET_IRQCHIP, &irq.chip[i]);
    }
    if (r < 0) {
        warn_report("KVM refuses to reset the interrupt controllers: %s",
                    g_strerror(-r));
    }
}

bool kvm_irq_init(Error **errp)
{
    machine_lock_assert();
    irq.msi = g_array_new(FALSE, TRUE, sizeof(MsiEntry));
    if (!chips_save(errp) || !irq_commit(errp)) {
        g_clear_pointer(&irq.msi, g_array_unref);
        return false;
    }
    return true;
}

void kvm_set_gsi(unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    machine_lock_assert();
    if (gsi >= LINES) {
        return;
    }
    /* It fails for a line that is not there only; those are filtered. */
    kvm_ioctl(kvm_state.vm_fd, KVM_IRQ_LINE, &line);
}

/* KVM API 4.70. The guest chose the message: one that no local APIC takes is
 * lost, as on a real bus. */
void kvm_msi_send(MsiMessage msg)
{
    struct kvm_msi msi = { .address_lo = (uint32_t)msg.address,
                           .address_hi = msg.address >> 32,
                           .data = msg.data };
    int r;

    machine_lock_assert();
    r = kvm_ioctl(kvm_state.vm_fd, KVM_SIGNAL_MSI, &msi);
    if (r < 0) {
        log_mask(LOG_GUEST_ERROR,
                 "MSI address 0x%" PRIx64 " data 0x%x: not delivered: %s\n",
                 msg.address, msg.data, g_strerror(-r));
    }
}

int kvm_msi_route_add(MsiMessage msg, Error **errp)
{
    MsiEntry entry = { .used = true, .msg = msg };
    unsigned i = 0;

    machine_lock_assert();
    if (irq.lines + irq.n_msi >= kvm_state.max_routes) {
        error_setg(errp, "KVM has %u interrupt routes, all are in use",
                   kvm_state.max_routes);
        return -1;
    }
    while (i < irq.msi->len && msi_entry(LINES + i)->used) {
        i++;
    }
    if (i == irq.msi->len) {
        g_array_append_val(irq.msi, entry);
    } else {
        *msi_entry(LINES + i) = entry;
    }
    irq.n_msi++;
    irq.dirty = true;
    return LINES + i;
}

bool kvm_msi_route_update(int gsi, MsiMessage msg, Error **errp)
{
    MsiEntry *e = msi_entry(gsi);
    MsiMessage old = e->msg;

    machine_lock_assert();
    e->msg = msg;
    irq.dirty = true;
    if (e->irqfds && !irq_commit(errp)) {
        e->msg = old;
        return false;
    }
    return true;
}

/* The kernel's entry stays until the next change is loaded: nothing signals a
 * gsi without an irqfd. */
void kvm_msi_route_del(int gsi)
{
    machine_lock_assert();
    *msi_entry(gsi) = (MsiEntry){ 0 };
    irq.n_msi--;
    irq.dirty = true;
}

bool kvm_irqfd(bool add, int gsi, int fd, Error **errp)
{
    struct kvm_irqfd irqfd = { .fd = fd,
                               .gsi = gsi,
                               .flags = add ? 0 : KVM_IRQFD_FLAG_DEASSIGN };
    int r;

    machine_lock_assert();
    /* The route first: an eventfd that was signalled already is delivered as
     * soon as it is attached. */
    if (add && irq.dirty && !irq_commit(errp)) {
        return false;
    }
    r = kvm_ioctl(kvm_state.vm_fd, KVM_IRQFD, &irqfd);
    if (r < 0) {
        error_setg_errno(errp, -r, "cannot %s the irqfd of interrupt %d",
                         add ? "attach" : "detach", gsi);
        return false;
    }
    msi_entry(gsi)->irqfds += add ? 1 : -1;
    return true;
}
