/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's name, UUID and memory. */
#include "util/osdep.h"
#include "system/vm-info.h"

static char *guest_name;
static uint8_t guest_uuid[16];
static uint64_t guest_ram_size;

void vm_info_init(const char *name, const uint8_t uuid[16])
{
    g_free(guest_name);
    guest_name = g_strdup(name);
    memcpy(guest_uuid, uuid, sizeof(guest_uuid));
}

void vm_info_cleanup(void)
{
    g_clear_pointer(&guest_name, g_free);
}

const char *vm_name(void)
{
    return guest_name;
}

const uint8_t *vm_uuid(void)
{
    return guest_uuid;
}

void vm_info_set_ram_size(uint64_t size)
{
    guest_ram_size = size;
}

uint64_t vm_ram_size(void)
{
    return guest_ram_size;
}
