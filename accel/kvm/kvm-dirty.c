/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vCPUs, and the kernel for them, write to guest RAM: KVM's own log, slot
 * by slot (KVM API 4.8, 4.35).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "accel/kvm/kvm-internal.h"
#include "system/dirty-log.h"
#include "system/machine-lock.h"

static KvmSlot *slot_at(unsigned i)
{
    return &g_array_index(kvm_state.slots, KvmSlot, i);
}

static int set_logging(unsigned i, bool on)
{
    KvmSlot *slot = slot_at(i);
    int r = 0;

    if (slot->size && !slot->readonly && slot->logged != on) {
        slot->logged = on;
        r = kvm_slot_set(i, slot, slot->size);
    }
    if (r < 0) {
        slot->logged = !on;
    }
    return r;
}

static void kvm_dirty_stop(void *opaque)
{
    machine_lock_assert();
    for (unsigned i = 0; i < kvm_state.slots->len; i++) {
        int r = set_logging(i, false);

        if (r < 0) {
            warn_report("KVM memory slot %u goes on logging: %s", i,
                        g_strerror(-r));
        }
    }
}

static bool kvm_dirty_start(void *opaque, DirtyLog *log, Error **errp)
{
    machine_lock_assert();
    for (unsigned i = 0; i < kvm_state.slots->len; i++) {
        int r = set_logging(i, true);

        if (r < 0) {
            error_setg_errno(errp, -r,
                             "KVM does not log writes to guest RAM at "
                             "0x%" PRIx64,
                             slot_at(i)->gpa);
            kvm_dirty_stop(opaque);
            return false;
        }
    }
    return true;
}

static void sync_slot(DirtyLog *log, unsigned i)
{
    const KvmSlot *slot = slot_at(i);
    uint64_t pages = slot->size >> DIRTY_PAGE_BITS;
    g_autofree uint64_t *bitmap = g_new0(uint64_t, (pages + 63) / 64);
    struct kvm_dirty_log get = { .slot = i, .dirty_bitmap = bitmap };
    int r = kvm_ioctl(kvm_state.vm_fd, KVM_GET_DIRTY_LOG, &get);

    if (r < 0) {
        warn_report("KVM_GET_DIRTY_LOG of memory slot %u: %s", i,
                    g_strerror(-r));
        dirty_log_mark(log, slot->gpa, slot->size); /* any could be */
        return;
    }
    dirty_log_merge(log, slot->gpa >> DIRTY_PAGE_BITS, bitmap, pages);
}

static void kvm_dirty_sync(void *opaque, DirtyLog *log)
{
    for (unsigned i = 0; i < kvm_state.slots->len; i++) {
        if (slot_at(i)->logged) {
            sync_slot(log, i);
        }
    }
}

const DirtySourceOps kvm_dirty_ops = {
    .start = kvm_dirty_start,
    .sync = kvm_dirty_sync,
    .stop = kvm_dirty_stop,
};
