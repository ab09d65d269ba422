/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accelerators: who runs vCPUs, injects interrupts and routes eventfds.
 *
 * "kvm" runs guests; "qtest" has no CPU: a test process drives the devices.
 * Devices call the accel_*() functions below and never ask which one it is.
 *
 * Threads: under the machine lock unless said otherwise.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "accel/vcpu.h"
#include "system/memory.h"
#include "util/error.h"

/* One MSI or MSI-X message (PCI Local Bus 3.0, 6.8). */
typedef struct MsiMessage {
    uint64_t address;
    uint32_t data;
} MsiMessage;

typedef struct AccelOps {
    const char *name; /* as in -accel NAME */
    bool (*init)(Error **errp);
    bool (*ram_changed)(const RamMap *old_map, const RamMap *new_map,
                        Error **errp);
    bool (*ioeventfd)(bool add, IoSpace space, uint64_t addr, unsigned size,
                      bool match, uint64_t data, int fd, Error **errp);
    void (*set_gsi)(unsigned gsi, bool level);
    void (*msi_send)(MsiMessage msg);
    /* gsi of a new MSI route, or -1 */
    int (*msi_route_add)(MsiMessage msg, Error **errp);
    bool (*msi_route_update)(int gsi, MsiMessage msg, Error **errp);
    void (*msi_route_del)(int gsi);
    bool (*irqfd)(bool add, int gsi, int fd, Error **errp);
    /* makes and starts the machine's vCPU threads, paused; these and the rest
     * as vcpu.h says, NULL where there are no vCPUs */
    bool (*vcpus_create)(unsigned n, Error **errp);
    void (*vcpus_resume)(void);
    void (*vcpus_pause)(void);
    void (*vcpus_reset)(const VcpuBootState *boot);
    void (*vcpus_destroy)(void);
    int (*vcpu_thread_id)(unsigned index);
    bool (*vcpu_describe)(unsigned index, GString *out, Error **errp);
} AccelOps;

/* `-accel TEXT` items in order of preference, e.g. "kvm", "qtest"; the first
 * whose init succeeds is used. The error is the last one's. */
bool accel_init(const char *const *names, Error **errp) MAIN_THREAD;
const AccelOps *accel_current(void); /* NULL: machine none without accel */
bool accel_is(const char *name);
/* NULL-terminated static list of the names for `-accel help`. */
const char *const *accel_names(void);

/* Interrupt lines 0..23 of the I/O APIC (0..15 also of the two PICs). */
void accel_set_gsi(unsigned gsi, bool level) MAIN_THREAD;

/* Sends a message now. Also from a loop thread only through an irqfd. */
void accel_msi_send(MsiMessage msg) MAIN_THREAD;

/*
 * A route from an eventfd to a message: the kernel injects it when anyone
 * writes the eventfd, without us (KVM_IRQFD). Under qtest the main loop reads
 * the eventfd and stores the message's data at its address.
 */
typedef struct MsiRoute MsiRoute;
MsiRoute *msi_route_new(MsiMessage msg, Error **errp) MAIN_THREAD;
bool msi_route_update(MsiRoute *route, MsiMessage msg, Error **errp)
    MAIN_THREAD;
/* Detaches first when attached. NULL is allowed. */
void msi_route_free(MsiRoute *route) MAIN_THREAD;
bool msi_route_attach(MsiRoute *route, int eventfd, Error **errp) MAIN_THREAD;
void msi_route_detach(MsiRoute *route) MAIN_THREAD;

#endif
