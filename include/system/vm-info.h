/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user called the machine.
 *
 * Threads: set once before there are others, constant from then on.
 */
#ifndef SYSTEM_VM_INFO_H
#define SYSTEM_VM_INFO_H

#include "util/osdep.h"

/* -name and -uuid; @name may be NULL; both are copied. */
void vm_info_init(const char *name, const uint8_t uuid[16]);
void vm_info_cleanup(void);

/* NULL when there is none. */
const char *vm_name(void);
/* 16 bytes, all zero when none was given. */
const uint8_t *vm_uuid(void);

/* The guest's memory, bytes; 0 until it is known, and for machine none. */
void vm_info_set_ram_size(uint64_t size);
uint64_t vm_ram_size(void);

#endif
