/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <dlfcn.h>

#include "util/dynlib.h"

bool dynlib_load(const char *file, const DynSymbol *symbols, unsigned n,
                 void *table)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    for (unsigned i = 0; handle && i < n; i++) {
        void *address = dlsym(handle, symbols[i].name);

        if (!address) {
            return false;
        }
        memcpy((char *)table + symbols[i].offset, &address, sizeof(address));
    }
    return handle != NULL;
}
