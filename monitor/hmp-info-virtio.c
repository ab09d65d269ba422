/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info` about virtio devices and their queues. */
#include "util/osdep.h"
#include "monitor/hmp-info.h"
#include "qapi/qapi-commands.h"

bool hmp_info_virtio(const HmpArgs *args, GString *out, Error **errp)
{
    VirtioInfoList list = { 0 };

    if (!qmp_x_query_virtio(&list, errp)) {
        return false;
    }
    for (size_t i = 0; i < list.n; i++) {
        g_string_append_printf(out, "%s [%s]\n", list.v[i].path,
                               list.v[i].name);
    }
    qapi_free_contents(&qapi_type_VirtioInfoList, &list);
    return true;
}

bool hmp_info_virtio_status(const HmpArgs *args, GString *out, Error **errp)
{
    q_obj_x_query_virtio_status_arg arg = { .path = args->arg[0].text };
    VirtioStatus status = { 0 };

    if (!qmp_x_query_virtio_status(&arg, &status, errp)) {
        return false;
    }
    hmp_print(&qapi_type_VirtioStatus, &status, true, out);
    return true;
}

bool hmp_info_virtio_queue_status(const HmpArgs *args, GString *out,
                                  Error **errp)
{
    q_obj_x_query_virtio_queue_status_arg arg = {
        .path = args->arg[0].text,
        .queue = (uint16_t)args->arg[1].number,
    };
    VirtQueueStatus status = { 0 };

    if (!qmp_x_query_virtio_queue_status(&arg, &status, errp)) {
        return false;
    }
    hmp_print(&qapi_type_VirtQueueStatus, &status, true, out);
    return true;
}

bool hmp_info_virtio_vhost_queue_status(const HmpArgs *args, GString *out,
                                        Error **errp)
{
    q_obj_x_query_virtio_vhost_queue_status_arg arg = {
        .path = args->arg[0].text,
        .queue = (uint16_t)args->arg[1].number,
    };
    VirtVhostQueueStatus status = { 0 };

    if (!qmp_x_query_virtio_vhost_queue_status(&arg, &status, errp)) {
        return false;
    }
    hmp_print(&qapi_type_VirtVhostQueueStatus, &status, true, out);
    return true;
}

bool hmp_info_virtio_queue_element(const HmpArgs *args, GString *out,
                                   Error **errp)
{
    q_obj_x_query_virtio_queue_element_arg arg = {
        .path = args->arg[0].text,
        .queue = (uint16_t)args->arg[1].number,
        .has_index = args->arg[2].given,
        .index = (uint16_t)args->arg[2].number,
    };
    VirtioQueueElement element = { 0 };

    if (!qmp_x_query_virtio_queue_element(&arg, &element, errp)) {
        return false;
    }
    hmp_print(&qapi_type_VirtioQueueElement, &element, true, out);
    return true;
}
