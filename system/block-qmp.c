/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about block devices and jobs, of which there are none: the lists
 * stay as empty as the caller made them. */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"

bool qmp_query_block(BlockInfoList *ret, Error **errp)
{
    return true;
}

bool qmp_query_named_block_nodes(const q_obj_query_named_block_nodes_arg *arg,
                                 BlockDeviceInfoList *ret, Error **errp)
{
    return true;
}

bool qmp_query_blockstats(const q_obj_query_blockstats_arg *arg,
                          BlockStatsList *ret, Error **errp)
{
    return true;
}

bool qmp_query_jobs(JobInfoList *ret, Error **errp)
{
    return true;
}
