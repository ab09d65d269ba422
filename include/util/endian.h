/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ring and wire fields with their byte order in the type: a missing swap does
 * not compile.
 *
 * Threads: pure functions.
 */
#ifndef UTIL_ENDIAN_H
#define UTIL_ENDIAN_H

#include <endian.h>
#include "util/osdep.h"

#define DEFINE_ORDERED(type, native, from, to) \
    typedef struct {                           \
        native raw;                            \
    } type;                                    \
    static inline native type##_get(type v)    \
    {                                          \
        return from(v.raw);                    \
    }                                          \
    static inline type type##_make(native v)   \
    {                                          \
        return (type){ to(v) };                \
    }

DEFINE_ORDERED(le16, uint16_t, le16toh, htole16)
DEFINE_ORDERED(le32, uint32_t, le32toh, htole32)
DEFINE_ORDERED(le64, uint64_t, le64toh, htole64)
DEFINE_ORDERED(be16, uint16_t, be16toh, htobe16)
DEFINE_ORDERED(be32, uint32_t, be32toh, htobe32)

/* Unaligned little-endian loads and stores of plain bytes. */
static inline uint16_t load_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}
static inline uint32_t load_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}
static inline uint64_t load_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}
static inline void store_le16(void *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof(v));
}
static inline void store_le32(void *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}
static inline void store_le64(void *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

/* The same in network order. */
static inline uint16_t load_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return be16toh(v);
}
static inline void store_be16(void *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof(v));
}

#endif
