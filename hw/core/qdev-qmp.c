/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP on devices. */
#include "util/osdep.h"
#include "hw/core/qdev.h"
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
