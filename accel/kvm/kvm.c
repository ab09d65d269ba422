/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine in KVM: capabilities, memory slots, ioeventfds. */
#include "util/osdep.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include "accel/accel-internal.h"
#include "accel/kvm/kvm-internal.h"
#include "system/machine-lock.h"
#include "util/fd.h"

/*
 * Intel's processors without "unrestricted guest" need three pages for a task
 * state segment and one for a page table in guest memory that is not RAM (KVM
 * API 4.32, 4.41). They lie between the I/O APIC and the local APIC, where
 * this machine has nothing.
 */
#define KVM_IDENTITY_MAP_GPA 0xfeffc000ULL
#define KVM_TSS_GPA          0xfeffd000ULL

KvmState kvm_state = { .fd = -1, .vm_fd = -1 };

int kvm_ioctl(int fd, unsigned long request, const void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

int kvm_check_extension(int cap)
{
    int fd = kvm_state.vm_fd >= 0 ? kvm_state.vm_fd : kvm_state.fd;
    int r = kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)cap);

    return r < 0 ? 0 : r;
}

/* ---- start ---- */

static const char *kvm_open_hint(int err)
{
    switch (err) {
    case ENOENT:
        return "; load kvm_intel or kvm_amd, or enable virtualization in the "
               "firmware";
    case EACCES:
    case EPERM:
        return "; add the user to the group that owns /dev/kvm";
    case ENODEV:
    case ENXIO:
        return "; the processor's virtualization is missing or in use";
    default:
        return "";
    }
}

static bool kvm_open(Error **errp)
{
    int version;

    kvm_state.fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm_state.fd < 0) {
        int err = errno;
        error_setg(errp, "Could not access KVM kernel module: %s%s",
                   g_strerror(err), kvm_open_hint(err));
        return false;
    }
    version = kvm_ioctl(kvm_state.fd, KVM_GET_API_VERSION, NULL);
    if (version != KVM_API_VERSION) {
        error_setg(errp,
                   "-accel kvm: the kernel's KVM API version is %d, %d is "
                   "needed",
                   version, KVM_API_VERSION);
        return false;
    }
    return true;
}

static bool kvm_create_vm(Error **errp)
{
    int fd = kvm_ioctl(kvm_state.fd, KVM_CREATE_VM, NULL);

    if (fd < 0) {
        error_setg_errno(errp, -fd,
                         "-accel kvm: cannot create a virtual machine%s",
                         fd == -EBUSY ? " (another hypervisor is active)" : "");
        return false;
    }
    kvm_state.vm_fd = fd;
    return fd_set_cloexec(fd, errp);
}

/* Everything that this program cannot do without. */
static bool kvm_check_capabilities(Error **errp)
{
    static const struct {
        int cap;
        const char *name;
    } needed[] = {
        { KVM_CAP_USER_MEMORY, "USER_MEMORY" },
        { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "DESTROY_MEMORY_REGION_WORKS" },
        { KVM_CAP_IRQCHIP, "IRQCHIP" },
        { KVM_CAP_PIT2, "PIT2" },
        { KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
        { KVM_CAP_IRQFD, "IRQFD" },
        { KVM_CAP_IOEVENTFD, "IOEVENTFD" },
        { KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
        { KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
        { KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR" },
        { KVM_CAP_EXT_CPUID, "EXT_CPUID" },
        { KVM_CAP_MP_STATE, "MP_STATE" },
        { KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
        { KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
        if (kvm_check_extension(needed[i].cap) <= 0) {
            error_setg(errp,
                       "-accel kvm: the kernel's KVM has no KVM_CAP_%s; Linux "
                       "4.14 or later has it",
                       needed[i].name);
            return false;
        }
    }
    return true;
}

/* Optional abilities, and limits (with the defaults of KVM API 4.4). */
static bool kvm_read_limits(Error **errp)
{
    KvmState *s = &kvm_state;
    int slots = kvm_check_extension(KVM_CAP_NR_MEMSLOTS);
    int vcpus = kvm_check_extension(KVM_CAP_MAX_VCPUS);
    int ids = kvm_check_extension(KVM_CAP_MAX_VCPU_ID);
    int nested = kvm_check_extension(KVM_CAP_NESTED_STATE);
    int run_size = kvm_ioctl(s->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

    if (run_size < (int)sizeof(struct kvm_run)) {
        error_setg(errp,
                   "-accel kvm: the kernel's vCPU mapping has %d bytes, "
                   "%zu are needed",
                   run_size, sizeof(struct kvm_run));
        return false;
    }
    s->run_size = run_size;
    s->max_slots = slots > 0 ? slots : 32;
    s->max_vcpus = vcpus > 0 ? vcpus : 4;
    s->max_vcpu_id = ids > 0 ? ids : s->max_vcpus;
    s->max_routes = kvm_check_extension(KVM_CAP_IRQ_ROUTING);
    s->readonly_mem = kvm_check_extension(KVM_CAP_READONLY_MEM);
    s->ioeventfd_any_length = kvm_check_extension(KVM_CAP_IOEVENTFD_ANY_LENGTH);
    s->xsave = kvm_check_extension(KVM_CAP_XSAVE);
    s->xcrs = kvm_check_extension(KVM_CAP_XCRS);
    s->debugregs = kvm_check_extension(KVM_CAP_DEBUGREGS);
    s->nested_state_size = nested > 0 ? nested : 0;
    return true;
}

static bool kvm_read_msr_list(Error **errp)
{
    struct kvm_msr_list probe = { .nmsrs = 0 };
    int r = kvm_ioctl(kvm_state.fd, KVM_GET_MSR_INDEX_LIST, &probe);

    if (r < 0 && r != -E2BIG) {
        error_setg_errno(errp, -r, "-accel kvm: KVM_GET_MSR_INDEX_LIST");
        return false;
    }
    kvm_state.msr_list =
        g_malloc0(sizeof(probe) + probe.nmsrs * sizeof(probe.indices[0]));
    kvm_state.msr_list->nmsrs = probe.nmsrs;
    r = kvm_ioctl(kvm_state.fd, KVM_GET_MSR_INDEX_LIST, kvm_state.msr_list);
    if (r < 0) {
        error_setg_errno(errp, -r, "-accel kvm: KVM_GET_MSR_INDEX_LIST");
        return false;
    }
    return true;
}

/* PICs, I/O APIC, local APICs and the timer, all in the kernel. */
static bool kvm_create_chips(Error **errp)
{
    uint64_t identity = KVM_IDENTITY_MAP_GPA;
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    const struct {
        unsigned long request;
        const void *arg;
        const char *name;
    } steps[] = {
        { KVM_SET_IDENTITY_MAP_ADDR, &identity, "KVM_SET_IDENTITY_MAP_ADDR" },
        { KVM_SET_TSS_ADDR, (void *)(uintptr_t)KVM_TSS_GPA,
          "KVM_SET_TSS_ADDR" },
        { KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP" },
        { KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = kvm_ioctl(kvm_state.vm_fd, steps[i].request, steps[i].arg);
        if (r < 0) {
            error_setg_errno(errp, -r, "-accel kvm: %s", steps[i].name);
            return false;
        }
    }
    return true;
}

static void kvm_close(void)
{
    fd_close(&kvm_state.vm_fd);
    fd_close(&kvm_state.fd);
    g_clear_pointer(&kvm_state.msr_list, g_free);
    g_clear_pointer(&kvm_state.slots, g_array_unref);
}

static bool kvm_init(Error **errp) MAIN_THREAD
{
    machine_lock_assert();
    if (kvm_open(errp) && kvm_create_vm(errp) && kvm_check_capabilities(errp) &&
        kvm_read_limits(errp) && kvm_read_msr_list(errp) &&
        kvm_create_chips(errp) && kvm_irq_init(errp)) {
        kvm_state.slots = g_array_new(FALSE, TRUE, sizeof(KvmSlot));
        dirty_source_add(&kvm_dirty_ops, NULL);
        return true;
    }
    kvm_close();
    return false;
}

/* ---- memory ---- */

static KvmSlot *slot_at(unsigned i)
{
    return &g_array_index(kvm_state.slots, KvmSlot, i);
}

static bool slot_matches(const KvmSlot *s, const RamRange *r)
{
    return s->gpa == r->gpa && s->size == r->size && s->host == r->host &&
           s->readonly == r->readonly;
}

/* KVM API 4.35; size 0 takes the slot out. */
int kvm_slot_set(unsigned i, const KvmSlot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = i,
        .flags = (slot->readonly ? KVM_MEM_READONLY : 0) |
                 (slot->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = slot->gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)slot->host,
    };

    return kvm_ioctl(kvm_state.vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static void slot_del(unsigned i)
{
    int r = kvm_slot_set(i, slot_at(i), 0);

    if (r < 0) {
        warn_report("KVM memory slot %u cannot be removed: %s", i,
                    g_strerror(-r));
        return;
    }
    *slot_at(i) = (KvmSlot){ 0 };
}

static bool slot_add(const RamRange *range, Error **errp)
{
    KvmSlot slot = { .gpa = range->gpa,
                     .size = range->size,
                     .host = range->host,
                     .readonly = range->readonly };
    unsigned i = 0;
    int r;

    while (i < kvm_state.slots->len && slot_at(i)->size) {
        i++;
    }
    if (i >= kvm_state.max_slots) {
        error_setg(errp,
                   "guest RAM at 0x%" PRIx64 ": KVM has %u memory slots, "
                   "all are in use",
                   range->gpa, kvm_state.max_slots);
        return false;
    }
    if (range->readonly && !kvm_state.readonly_mem) {
        error_setg(errp,
                   "guest ROM at 0x%" PRIx64 ": the kernel's KVM has no "
                   "KVM_CAP_READONLY_MEM",
                   range->gpa);
        return false;
    }
    r = kvm_slot_set(i, &slot, slot.size);
    if (r < 0) {
        error_setg_errno(errp, -r,
                         "guest RAM at 0x%" PRIx64 ", size 0x%" PRIx64
                         ": KVM refuses it",
                         range->gpa, range->size);
        return false;
    }
    if (i == kvm_state.slots->len) {
        g_array_append_val(kvm_state.slots, slot);
    } else {
        *slot_at(i) = slot;
    }
    return true;
}

static bool map_has(const RamMap *map, const KvmSlot *slot)
{
    for (unsigned i = 0; i < map->n; i++) {
        if (slot_matches(slot, &map->range[i])) {
            return true;
        }
    }
    return false;
}

static bool slots_have(const RamRange *range)
{
    for (unsigned i = 0; i < kvm_state.slots->len; i++) {
        if (slot_matches(slot_at(i), range)) {
            return true;
        }
    }
    return false;
}

static void slots_remove_absent(const RamMap *map)
{
    for (unsigned i = 0; i < kvm_state.slots->len; i++) {
        if (slot_at(i)->size && !map_has(map, slot_at(i))) {
            slot_del(i);
        }
    }
}

static bool kvm_ram_changed(const RamMap *old_map, const RamMap *new_map,
                            Error **errp) MAIN_THREAD
{
    machine_lock_assert();
    slots_remove_absent(new_map);
    for (unsigned i = 0; i < new_map->n; i++) {
        if (!slots_have(&new_map->range[i]) &&
            !slot_add(&new_map->range[i], errp)) {
            slots_remove_absent(old_map);
            return false;
        }
    }
    return true;
}

/* ---- ioeventfds ---- */

/*
 * KVM API 4.59. An MMIO eventfd of any size is found before the instruction is
 * decoded ("fast MMIO"), so callers that do not need size or value pass none.
 */
static bool kvm_ioeventfd(bool add, IoSpace space, uint64_t addr, unsigned size,
                          bool match, uint64_t data, int fd, Error **errp)
{
    struct kvm_ioeventfd e = {
        .datamatch = data,
        .addr = addr,
        .len = size,
        .fd = fd,
        .flags = (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) |
                 (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                 (space == IO_SPACE_PORT ? KVM_IOEVENTFD_FLAG_PIO : 0),
    };
    int r;

    if (!size && !kvm_state.ioeventfd_any_length) {
        error_setg(errp,
                   "ioeventfd at 0x%" PRIx64 ": the kernel's KVM has no "
                   "KVM_CAP_IOEVENTFD_ANY_LENGTH",
                   addr);
        return false;
    }
    r = kvm_ioctl(kvm_state.vm_fd, KVM_IOEVENTFD, &e);
    if (r < 0) {
        error_setg_errno(
            errp, -r, "cannot %s the ioeventfd at %s 0x%" PRIx64 "%s",
            add ? "add" : "remove", space == IO_SPACE_PORT ? "port" : "address",
            addr, r == -ENOSPC ? " (KVM has 1000 per machine)" : "");
        return false;
    }
    return true;
}

const AccelOps kvm_accel_ops = {
    .name = "kvm",
    .init = kvm_init,
    .ram_changed = kvm_ram_changed,
    .ioeventfd = kvm_ioeventfd,
    .set_gsi = kvm_set_gsi,
    .msi_send = kvm_msi_send,
    .msi_route_add = kvm_msi_route_add,
    .msi_route_update = kvm_msi_route_update,
    .msi_route_del = kvm_msi_route_del,
    .irqfd = kvm_irqfd,
    .vcpus_create = kvm_vcpus_create,
    .vcpus_resume = kvm_vcpus_resume,
    .vcpus_pause = kvm_vcpus_pause,
    .vcpus_reset = kvm_vcpus_reset,
    .vcpus_destroy = kvm_vcpus_destroy,
    .vcpu_thread_id = kvm_vcpu_thread_id,
    .vcpu_describe = kvm_vcpu_describe,
};
