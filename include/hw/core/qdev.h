/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices and buses.
 *
 * A device is an object that is realized (made part of the machine) once its
 * properties are set. A device sits on a bus of the type its class names.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_CORE_QDEV_H
#define HW_CORE_QDEV_H

#include "qom/object.h"

#define TYPE_DEVICE "device"
#define TYPE_BUS    "bus"

typedef struct DeviceState DeviceState;
typedef struct DeviceClass DeviceClass;
typedef struct BusState BusState;
typedef struct BusHotplugOps BusHotplugOps; /* hw/core/hotplug.h */

struct DeviceState {
    Object obj;
    char *id;               /* -device id=, NULL when anonymous */
    bool hotplugged;        /* came when the machine was made already */
    bool unplug_pending;    /* the guest was asked to let go of it */
    BusState *bus;          /* NULL: none */
    GPtrArray *child_buses; /* of BusState, not owned; NULL: none */
};

struct DeviceClass {
    ObjectClass parent;
    const char *bus_type; /* type name of the bus it needs, or NULL */
    const char *desc;     /* one line for -device help */
    const char *category; /* "Network", "Misc", ... heading in the help */
    bool user_creatable;  /* by -device */
    bool hotpluggable;    /* where the bus is; true unless class_init says no */
    /* Makes it work; on false nothing is left behind. Chains by calling the
     * parent class's saved pointer where a subclass replaces it. */
    bool (*realize)(DeviceState *dev, Error **errp);
    void (*unrealize)(DeviceState *dev);
    void (*reset)(DeviceState *dev); /* machine or bus reset; may be NULL */
};

struct BusState {
    Object obj;
    char *name; /* "pci.0" */
    DeviceState *owner;
    GPtrArray *devices; /* of DeviceState, in order added */
    bool hotpluggable;  /* devices may come and go while the machine runs */
    const BusHotplugOps *hotplug; /* their controller; NULL: none */
    void *hotplug_opaque;
    /* Gives @dev its place (a PCI slot); on false the device is refused. */
    bool (*attach)(BusState *bus, DeviceState *dev, Error **errp);
    void (*detach)(BusState *bus, DeviceState *dev);
    void (*info)(BusState *bus, DeviceState *dev,
                 GString *out); /* info qtree */
};

#define DEVICE(o)           OBJECT_CAST(DeviceState, o)
#define DEVICE_CLASS(k)     OBJECT_CLASS_CAST(DeviceClass, k)
#define DEVICE_GET_CLASS(o) OBJECT_GET_CLASS(DeviceClass, o)
#define BUS(o)              OBJECT_CAST(BusState, o)

/* A bus of @type named @name owned by @owner (NULL: the machine). */
BusState *bus_new(const char *type, const char *name, DeviceState *owner)
    MAIN_THREAD;
/* Calls @func for each bus in the machine, owners before what they own. */
void bus_foreach(void (*func)(BusState *, void *), void *opaque) MAIN_THREAD;
/* By name anywhere, or the first of @type when @name is NULL. */
BusState *bus_find(const char *name, const char *type) MAIN_THREAD;

/*
 * Puts @dev on @bus (NULL when its class needs none) and realizes it. Machine
 * devices go under /machine/unattached, others must be in the tree already.
 * On false the device is off the bus again and may be unref'd.
 */
bool device_realize(DeviceState *dev, BusState *bus, Error **errp) MAIN_THREAD;
/* Reverse; the object stays until its references go. */
void device_unrealize(DeviceState *dev) MAIN_THREAD;
void device_reset(DeviceState *dev) MAIN_THREAD;

/* Machine reset: every device once, in the order of the tree. */
void devices_reset_all(void) MAIN_THREAD;
/* End of the process: every device, the last made first. */
void devices_unrealize_all(void) MAIN_THREAD;

/* object_new + realize for the machine's own devices; aborts on failure only
 * if @errp is NULL. */
DeviceState *device_new_builtin(const char *type, BusState *bus, Error **errp)
    MAIN_THREAD;

/* Whether there is a device as `-device` or `device_add` with @opts asks for;
 * nothing is made. */
bool device_check_driver(json_object *opts, Error **errp) MAIN_THREAD;
/* `-device`, `device_add`: @opts has "driver", may have "id" and "bus". */
DeviceState *device_add(json_object *opts, Error **errp) MAIN_THREAD;
/* -device with this id, or NULL. */
DeviceState *device_find(const char *id) MAIN_THREAD;

/* A name "device[N]" that is free in @parent. Free with g_free(). */
char *device_free_name(Object *parent) MAIN_THREAD G_GNUC_WARN_UNUSED_RESULT;

/* For messages: the id, or the type name when anonymous; a device that is a
 * part of another goes by that one's name. */
const char *device_label(const DeviceState *dev);

/* Help texts on stdout: `-device help`, `-device DRIVER,help`. */
void device_help(void);
bool device_help_properties(const char *driver, Error **errp) MAIN_THREAD;

/* `-global driver.prop=value`: applied to objects made from now on. */
bool global_property_add(const char *text, Error **errp) MAIN_THREAD;
/* The last step of making a device (qdev.c). */
void device_apply_globals(Object *obj) MAIN_THREAD;

#endif
