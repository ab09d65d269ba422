/* SPDX-License-Identifier: GPL-2.0-or-later */
/* query-kvm */
#include "util/osdep.h"

#include "accel/accel.h"
#include "qapi/qapi-commands.h"

bool qmp_query_kvm(KvmInfo *ret, Error **errp)
{
    ret->enabled = accel_is("kvm");
    ret->present = true;
    return true;
}
