/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X (PCI Local Bus Specification 3.0, 6.8.2).
 *
 * A vector is *live* while its message may be sent. A bound eventfd is read
 * by the kernel (irqfd) or, without a route, by the main loop, but only while
 * the vector is live. Otherwise its count waits as a part of the pending bit:
 *
 *   live -> masked   stop the reader: what it has not read stays in the count
 *   masked -> live   send what is pending or counted, then start the reader,
 *                    which looks at the count first (KVM_IRQFD does, a level
 *                    triggered watch does)
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/pci/msix.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

#define MSIX_CAP_SIZE  12
#define MSIX_BAR_MIN   4096u
#define MSIX_TABLE_MIN 2048u
#define PBA_SIZE(n)    (((n) + 63ULL) / 64 * 8)

struct MsixBinding {
    PCIDevice *dev; /* NULL: MSI-X has gone meanwhile */
    unsigned vector;
    int eventfd;
    MsiRoute *route;    /* NULL: none yet */
    MsiMessage message; /* what the route says */
    bool in_kernel;
    FdWatch watch;
    MsixBinding *next; /* of the same vector */
};

typedef struct MsixVector {
    MsixBinding *bindings;
    bool live;
    bool pending;
    uint64_t sent;
} MsixVector;

struct MsixState {
    /* fixed after init */
    unsigned n;
    unsigned bar;
    uint8_t cap;
    uint32_t pba_offset;
    /* main thread */
    IoRegion region;
    uint8_t *table;
    MsixVector *vector;
    bool function_live; /* enabled, not masked, bus master */
    bool warned;
};

static uint8_t *entry(const struct MsixState *s, unsigned vector)
{
    return s->table + (size_t)vector * PCI_MSIX_ENTRY_SIZE;
}

static MsiMessage vector_message(const struct MsixState *s, unsigned vector)
{
    const uint8_t *e = entry(s, vector);
    return (MsiMessage){ .address = load_le64(e + PCI_MSIX_ENTRY_LOWER_ADDR),
                         .data = load_le32(e + PCI_MSIX_ENTRY_DATA) };
}

static void vector_send(PCIDevice *dev, unsigned vector) MAIN_THREAD
{
    struct MsixState *s = dev->msix;
    s->vector[vector].sent++;
    accel_msi_send(vector_message(s, vector));
}

/* ---- bindings: who reads the eventfd ---- */

static void binding_readable(void *opaque, uint32_t events) MAIN_THREAD
{
    MsixBinding *b = opaque;
    if (eventfd_clear(b->eventfd)) {
        msix_notify(b->dev, b->vector);
    }
}

static bool binding_route(MsixBinding *b, MsiMessage msg, Error **errp)
    MAIN_THREAD
{
    if (!b->route) {
        b->route = msi_route_new(msg, errp);
        if (!b->route) {
            return false;
        }
    } else if (b->message.address != msg.address ||
               b->message.data != msg.data) {
        if (!msi_route_update(b->route, msg, errp)) {
            return false;
        }
    }
    b->message = msg;
    return true;
}

static void binding_start(MsixBinding *b) MAIN_THREAD
{
    struct MsixState *s = b->dev->msix;
    Error *err = NULL;
    if (binding_route(b, vector_message(s, b->vector), &err) &&
        msi_route_attach(b->route, b->eventfd, &err)) {
        b->in_kernel = true;
        return;
    }
    if (!s->warned) {
        s->warned = true;
        warn_report("%s: interrupts of vector %u, maybe others, go through the "
                    "main loop: %s",
                    device_label(&b->dev->dev), b->vector,
                    err ? err->message : "no route");
    }
    g_clear_error(&err);
    fd_watch_start(&b->watch, main_loop(), b->eventfd, LOOP_IN,
                   binding_readable, b);
}

static void binding_stop(MsixBinding *b) MAIN_THREAD
{
    if (b->in_kernel) {
        msi_route_detach(b->route);
        b->in_kernel = false;
    }
    fd_watch_stop(&b->watch);
}

/* A live vector's message has changed. */
static void binding_refresh(MsixBinding *b) MAIN_THREAD
{
    if (b->in_kernel &&
        binding_route(b, vector_message(b->dev->msix, b->vector), NULL)) {
        return;
    }
    binding_stop(b);
    binding_start(b);
}

/* Takes the counts of all eventfds; true when any was not zero. */
static bool vector_collect(MsixVector *vec)
{
    bool any = false;
    for (MsixBinding *b = vec->bindings; b; b = b->next) {
        any |= eventfd_clear(b->eventfd);
    }
    return any;
}

/* ---- masks ---- */

static bool function_live(const PCIDevice *dev)
{
    uint16_t flags = load_le16(dev->config + dev->msix->cap + PCI_MSIX_FLAGS);
    return (flags & PCI_MSIX_FLAGS_ENABLE) &&
           !(flags & PCI_MSIX_FLAGS_MASKALL) && pci_bus_master(dev);
}

static bool vector_mask_bit(const struct MsixState *s, unsigned vector)
{
    return load_le32(entry(s, vector) + PCI_MSIX_ENTRY_VECTOR_CTRL) &
           PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static void vector_update(PCIDevice *dev, unsigned vector) MAIN_THREAD
{
    struct MsixState *s = dev->msix;
    MsixVector *vec = &s->vector[vector];
    bool live = s->function_live && !vector_mask_bit(s, vector);
    if (live == vec->live) {
        return;
    }
    vec->live = live;
    if (!live) {
        for (MsixBinding *b = vec->bindings; b; b = b->next) {
            binding_stop(b);
        }
        return;
    }
    bool send = vector_collect(vec) || vec->pending;
    vec->pending = false;
    if (send) {
        vector_send(dev, vector);
    }
    for (MsixBinding *b = vec->bindings; b; b = b->next) {
        binding_start(b);
    }
}

void msix_control_changed(PCIDevice *dev)
{
    struct MsixState *s = dev->msix;
    if (!s || function_live(dev) == s->function_live) {
        return;
    }
    s->function_live = !s->function_live;
    for (unsigned i = 0; i < s->n; i++) {
        vector_update(dev, i);
    }
}

/* ---- table and pending bits ---- */

static void table_write(PCIDevice *dev, uint32_t offset, uint32_t value)
    MAIN_THREAD
{
    struct MsixState *s = dev->msix;
    unsigned vector = offset / PCI_MSIX_ENTRY_SIZE;
    unsigned field = offset % PCI_MSIX_ENTRY_SIZE;
    if (field == PCI_MSIX_ENTRY_LOWER_ADDR) {
        value &= ~3u;
    } else if (field == PCI_MSIX_ENTRY_VECTOR_CTRL) {
        value &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
    if (load_le32(s->table + offset) == value) {
        return;
    }
    store_le32(s->table + offset, value);
    if (field == PCI_MSIX_ENTRY_VECTOR_CTRL) {
        vector_update(dev, vector);
    } else if (s->vector[vector].live) {
        for (MsixBinding *b = s->vector[vector].bindings; b; b = b->next) {
            binding_refresh(b);
        }
    }
}

static uint8_t pba_byte(struct MsixState *s, unsigned index)
{
    uint8_t byte = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        unsigned vector = index * 8 + bit;
        if (vector >= s->n) {
            break;
        }
        MsixVector *vec = &s->vector[vector];
        if (!vec->live) {
            vec->pending |= vector_collect(vec);
        }
        byte |= (uint8_t)(vec->pending << bit);
    }
    return byte;
}

static uint64_t msix_region_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    PCIDevice *dev = opaque;
    struct MsixState *s = dev->msix;
    uint64_t table_size = (uint64_t)s->n * PCI_MSIX_ENTRY_SIZE;
    uint64_t pba_size = PBA_SIZE(s->n);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint64_t at = offset + i;
        uint8_t byte = 0;
        if (at < table_size) {
            byte = s->table[at];
        } else if (at >= s->pba_offset && at < s->pba_offset + pba_size) {
            byte = pba_byte(s, (unsigned)(at - s->pba_offset));
        }
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

/* The specification leaves all but aligned four- and eight-byte accesses
 * undefined: they are ignored. So are writes to the pending bits. */
static void msix_region_write(void *opaque, uint64_t offset, uint64_t value,
                              unsigned size) MAIN_THREAD
{
    PCIDevice *dev = opaque;
    uint64_t table_size = (uint64_t)dev->msix->n * PCI_MSIX_ENTRY_SIZE;
    if (size < 4 || offset % 4 || offset >= table_size) {
        log_mask(LOG_GUEST_ERROR,
                 "%s: %u-byte write at 0x%" PRIx64
                 " of the MSI-X table ignored",
                 device_label(&dev->dev), size, offset);
        return;
    }
    table_write(dev, (uint32_t)offset, (uint32_t)value);
    if (size == 8 && offset + 4 < table_size) {
        table_write(dev, (uint32_t)offset + 4, (uint32_t)(value >> 32));
    }
}

static const IoRegionOps msix_region_ops = {
    .read = msix_region_read,
    .write = msix_region_write,
    .max_size = 8,
};

/* ---- for the device ---- */

static void table_reset(struct MsixState *s)
{
    memset(s->table, 0, (size_t)s->n * PCI_MSIX_ENTRY_SIZE);
    for (unsigned i = 0; i < s->n; i++) {
        store_le32(entry(s, i) + PCI_MSIX_ENTRY_VECTOR_CTRL,
                   PCI_MSIX_ENTRY_CTRL_MASKBIT);
    }
}

static uint64_t power_of_two_from(uint64_t n)
{
    uint64_t p = 1;
    while (p < n) {
        p <<= 1;
    }
    return p;
}

bool msix_init(PCIDevice *dev, unsigned n, unsigned bar, Error **errp)
{
    if (n < 1 || n > MSIX_MAX_VECTORS) {
        error_setg(errp, "%s: the number of MSI-X vectors is 1 to %u, not %u",
                   device_label(&dev->dev), MSIX_MAX_VECTORS, n);
        return false;
    }
    uint8_t cap = pci_add_capability(dev, PCI_CAP_ID_MSIX, MSIX_CAP_SIZE);
    if (!cap) {
        error_setg(errp, "%s: no room for the MSI-X capability",
                   device_label(&dev->dev));
        return false;
    }
    struct MsixState *s = g_new0(struct MsixState, 1);
    s->n = n;
    s->bar = bar;
    s->cap = cap;
    s->pba_offset = MAX(n * PCI_MSIX_ENTRY_SIZE, MSIX_TABLE_MIN);
    s->table = g_malloc((size_t)n * PCI_MSIX_ENTRY_SIZE);
    s->vector = g_new0(MsixVector, n);
    table_reset(s);

    uint8_t *c = dev->config + cap;
    store_le16(c + PCI_MSIX_FLAGS, n - 1);
    store_le32(c + PCI_MSIX_TABLE, bar);
    store_le32(c + PCI_MSIX_PBA, s->pba_offset | bar);
    store_le16(dev->wmask + cap + PCI_MSIX_FLAGS,
               PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);

    uint64_t size = s->pba_offset + PBA_SIZE(n);
    io_region_init(&s->region, "msix", &msix_region_ops, dev,
                   power_of_two_from(MAX(size, MSIX_BAR_MIN)));
    dev->msix = s;
    pci_register_bar(dev, bar, IO_SPACE_MMIO, false, false, &s->region);
    return true;
}

void msix_uninit(PCIDevice *dev)
{
    struct MsixState *s = dev->msix;
    if (!s) {
        return;
    }
    for (unsigned i = 0; i < s->n; i++) {
        for (MsixBinding *b = s->vector[i].bindings; b; b = b->next) {
            binding_stop(b);
            msi_route_free(b->route);
            b->route = NULL;
            b->dev = NULL;
        }
    }
    io_region_destroy(&s->region);
    dev->bar[s->bar] = (PCIBar){ 0 };
    dev->msix = NULL;
    g_free(s->vector);
    g_free(s->table);
    g_free(s);
}

void msix_reset(PCIDevice *dev)
{
    struct MsixState *s = dev->msix;
    if (!s) {
        return;
    }
    uint8_t *flags = dev->config + s->cap + PCI_MSIX_FLAGS;
    store_le16(flags, load_le16(flags) & PCI_MSIX_FLAGS_QSIZE);
    table_reset(s);
    s->function_live = false;
    for (unsigned i = 0; i < s->n; i++) {
        vector_update(dev, i);
        vector_collect(&s->vector[i]);
        s->vector[i].pending = false;
    }
}

unsigned msix_vectors(const PCIDevice *dev)
{
    return dev->msix ? dev->msix->n : 0;
}

bool msix_enabled(const PCIDevice *dev)
{
    return dev->msix &&
           (load_le16(dev->config + dev->msix->cap + PCI_MSIX_FLAGS) &
            PCI_MSIX_FLAGS_ENABLE);
}

bool msix_masked(const PCIDevice *dev, unsigned vector)
{
    return vector >= msix_vectors(dev) || !dev->msix->vector[vector].live;
}

void msix_notify(PCIDevice *dev, unsigned vector)
{
    if (vector >= msix_vectors(dev)) {
        return;
    }
    if (dev->msix->vector[vector].live) {
        vector_send(dev, vector);
    } else {
        dev->msix->vector[vector].pending = true;
    }
}

MsixBinding *msix_bind(PCIDevice *dev, unsigned vector, int eventfd,
                       Error **errp)
{
    if (vector >= msix_vectors(dev)) {
        error_setg(errp, "%s has %u MSI-X vectors, vector %u does not exist",
                   device_label(&dev->dev), msix_vectors(dev), vector);
        return NULL;
    }
    MsixVector *vec = &dev->msix->vector[vector];
    MsixBinding *b = g_new0(MsixBinding, 1);
    b->dev = dev;
    b->vector = vector;
    b->eventfd = eventfd;
    b->watch.name = "msix";
    b->next = vec->bindings;
    vec->bindings = b;
    if (vec->live) {
        binding_start(b);
    }
    return b;
}

void msix_unbind(MsixBinding *b)
{
    if (b && b->dev) {
        MsixBinding **link = &b->dev->msix->vector[b->vector].bindings;
        while (*link != b) {
            link = &(*link)->next;
        }
        *link = b->next;
        binding_stop(b);
        msi_route_free(b->route);
        if (eventfd_clear(b->eventfd)) {
            msix_notify(b->dev, b->vector);
        }
    }
    g_free(b);
}

bool msix_binding_in_kernel(const MsixBinding *binding)
{
    return binding->in_kernel;
}

uint64_t msix_sent(const PCIDevice *dev, unsigned vector)
{
    return vector < msix_vectors(dev) ? dev->msix->vector[vector].sent : 0;
}
