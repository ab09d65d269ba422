/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The choice of accelerator, and the calls that go to the chosen one. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "accel/accel-internal.h"
#include "qom/object.h"
#include "system/machine-lock.h"

#define ACCEL_TYPE_SUFFIX "-accel"

static const AccelOps *const accels[] = { &kvm_accel_ops, &qtest_accel_ops };
static const char *const names[] = { "kvm", "qtest", NULL };
G_STATIC_ASSERT(ARRAY_SIZE(names) == ARRAY_SIZE(accels) + 1);

/* In the tree an accelerator is no more than a name. */
static const TypeInfo accel_types[] = {
    { .name = "accel", .parent = "object", .abstract = true },
    { .name = "kvm" ACCEL_TYPE_SUFFIX, .parent = "accel" },
    { .name = "qtest" ACCEL_TYPE_SUFFIX, .parent = "accel" },
};
DEFINE_TYPES(accel_types)

/* main thread */
static const AccelOps *current;
static MemoryAccelOps memory_ops;

const AccelOps *accel_current(void)
{
    return current;
}

bool accel_is(const char *name)
{
    return current && !strcmp(current->name, name);
}

const char *const *accel_names(void)
{
    return names;
}

static const AccelOps *accel_find(const char *name, Error **errp)
{
    for (unsigned i = 0; i < ARRAY_SIZE(accels); i++) {
        if (!strcmp(accels[i]->name, name)) {
            return accels[i];
        }
    }
    error_setg(errp, "invalid accelerator %s: try kvm or qtest", name);
    return NULL;
}

/* /machine/accelerator */
static void MAIN_THREAD add_object(const char *name)
{
    g_autofree char *type = g_strconcat(name, ACCEL_TYPE_SUFFIX, NULL);
    Object *obj = object_new(type);

    object_add_child(object_container("/machine"), "accelerator", obj, NULL);
    object_unref(obj); /* the tree has it */
}

static bool accel_start(const char *name, Error **errp) MAIN_THREAD
{
    const AccelOps *ops = accel_find(name, errp);

    if (!ops || !ops->init(errp)) {
        return false;
    }
    memory_ops.ram_changed = ops->ram_changed;
    memory_ops.ioeventfd = ops->ioeventfd;
    if (!memory_set_accel(&memory_ops, errp)) {
        return false;
    }
    current = ops;
    add_object(name);
    return true;
}

bool accel_init(const char *const *wanted, Error **errp)
{
    machine_lock_assert();
    for (; *wanted; wanted++) {
        g_autoptr(GError) err = NULL;

        if (accel_start(*wanted, &err)) {
            return true;
        }
        if (!wanted[1]) {
            error_propagate(errp, g_steal_pointer(&err));
            return false;
        }
        warn_report("%s; falling back to %s", err->message, wanted[1]);
    }
    error_setg(errp, "-accel: a name is missing, try kvm or qtest");
    return false;
}

void accel_set_gsi(unsigned gsi, bool level)
{
    machine_lock_assert();
    if (current && current->set_gsi) {
        current->set_gsi(gsi, level);
    }
}

void accel_msi_send(MsiMessage msg)
{
    machine_lock_assert();
    if (current && current->msi_send) {
        current->msi_send(msg);
    }
}
