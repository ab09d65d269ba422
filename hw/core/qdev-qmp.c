/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP on devices. */
#include "util/osdep.h"
#include "hw/core/hotplug.h"
#include "qapi/qapi-commands.h"
#include "qom/object-info.h"

bool qmp_device_list_properties(const q_obj_device_list_properties_arg *arg,
                                ObjectPropertyInfoList *ret, Error **errp)
{
    ObjectClass *klass = object_class_lookup(arg->typename, "Device", errp);

    if (!klass) {
        return false;
    }
    if (!object_class_is(klass, TYPE_DEVICE) ||
        object_class_is_abstract(klass)) {
        error_setg(errp, "Parameter 'typename' expects a non-abstract device "
                         "type");
        return false;
    }
    object_class_list_properties(klass, true, ret);
    return true;
}

bool qmp_device_add(json_object *args, Error **errp)
{
    return device_add(args, errp) != NULL;
}

bool qmp_device_del(const q_obj_device_del_arg *arg, Error **errp)
{
    return device_del(arg->id, errp);
}
