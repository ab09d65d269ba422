/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerators there are; for accel.c only.
 *
 * Threads: constant tables.
 */
#ifndef ACCEL_ACCEL_INTERNAL_H
#define ACCEL_ACCEL_INTERNAL_H

#include "accel/accel.h"

extern const AccelOps kvm_accel_ops;
extern const AccelOps qtest_accel_ops;

#endif
