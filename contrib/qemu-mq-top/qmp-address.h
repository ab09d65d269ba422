/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a QMP socket is.
 *
 * Threads: nothing here has state.
 */
#ifndef MQ_TOP_QMP_ADDRESS_H
#define MQ_TOP_QMP_ADDRESS_H

#include "util/error.h"

/*
 * Begins to connect to @address (see qmp_client_open()). A non-blocking
 * descriptor, with *@connected false when the connection is under way: it can
 * be written to when it was made or has failed. -1 with @errp set when it is
 * impossible.
 */
int qmp_address_connect(const char *address, bool *connected, Error **errp);

#endif
