/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come and go while the machine exists.
 *
 * A bus whose devices can do that (BusState.hotpluggable) has a controller,
 * which tells the guest. Adding is done at once; to remove a device takes the
 * guest's consent: the controller asks, and calls device_unplug() when the
 * guest has let go of it, or at machine reset.
 *
 * Threads: under the machine lock: the main thread, or a vCPU that writes to
 * the controller's registers.
 */
#ifndef HW_CORE_HOTPLUG_H
#define HW_CORE_HOTPLUG_H

#include "hw/core/qdev.h"

/* A controller; BusState.hotplug_opaque is its @opaque. */
struct BusHotplugOps {
    /* @dev, realized, is new on the bus. */
    void (*plugged)(void *opaque, DeviceState *dev);
    /* Asks the guest to let go of @dev, again when dev->unplug_pending says
     * that it was asked before. False and *errp: that cannot be. */
    bool (*unplug_request)(void *opaque, DeviceState *dev, Error **errp);
};

/* From now on devices are hot-plugged. Once the machine is made. */
void hotplug_begin(void) MAIN_THREAD;
bool hotplug_begun(void) MAIN_THREAD;

/* Whether @dev may go while the machine runs, as far as its type and its bus
 * are concerned. */
bool device_hotpluggable(const DeviceState *dev);
/* Whether a device of @klass may be put on @bus (NULL: it needs none) now;
 * *errp says why not. */
bool device_check_hotplug(ObjectClass *klass, const BusState *bus, Error **errp)
    MAIN_THREAD;
/* A new device is realized: its bus's controller hears of it. */
void device_plugged(DeviceState *dev) MAIN_THREAD;

/*
 * `device_del`: @id is a device's id or its path in the tree. True: the guest
 * was asked, dev->unplug_pending; the device may stay for ever. Of error class
 * DeviceNotFound when there is no such device.
 */
bool device_del(const char *id, Error **errp) MAIN_THREAD;

/* For controllers. Takes @dev out of the machine and frees it; events
 * DEVICE_DELETED, its parts' first. */
void device_unplug(DeviceState *dev) MAIN_THREAD;
/* The guest does not let go of @dev, which was asked for: event
 * DEVICE_UNPLUG_GUEST_ERROR; nothing is pending any more. */
void device_unplug_refused(DeviceState *dev) MAIN_THREAD;

#endif
