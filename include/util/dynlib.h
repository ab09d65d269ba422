/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Libraries that are loaded when they are first needed, because few runs need
 * them and each costs start-up time.
 *
 * Threads: any; one call for one table at a time.
 */
#ifndef UTIL_DYNLIB_H
#define UTIL_DYNLIB_H

#include <stdbool.h>
#include <stddef.h>

/* A function of the library, and where in the table its address goes. */
typedef struct DynSymbol {
    const char *name;
    size_t offset; /* bytes */
} DynSymbol;

/*
 * Loads @file (a soname, found as dlopen(3) does) and fills @table, which the
 * caller owns, with the addresses of @n @symbols. False when the library is not
 * there or lacks one of them; the table is then of no use. A library that was
 * loaded stays until the process ends.
 */
bool dynlib_load(const char *file, const DynSymbol *symbols, unsigned n,
                 void *table);

#endif
