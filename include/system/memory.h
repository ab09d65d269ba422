/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: RAM that is mapped, registers that are dispatched.
 *
 * Two things live here. The *RAM map* translates guest-physical addresses to
 * host pointers; datapaths read it without a lock. The *I/O spaces* (MMIO and
 * ports) dispatch register accesses to devices, under the machine lock, and
 * carry ioeventfds.
 *
 * Threads: per function. A published RamMap is immutable; a reader takes the
 * current one at the start of a burst and does not keep it past the end of
 * its event callback. The writer publishes a new one and frees the old one
 * after each loop has passed a quiet point (a no-op event_loop_call()).
 */
#ifndef SYSTEM_MEMORY_H
#define SYSTEM_MEMORY_H

#include "util/error.h"
#include "util/event-loop.h"

/* ---- RAM ---- */

typedef struct RamRange {
    uint64_t gpa;  /* guest-physical address of the first byte */
    uint64_t size; /* bytes */
    uint8_t *host; /* mapping of the first byte */
    int fd;        /* file behind it that others may share, or -1 */
    uint64_t fd_offset;
    bool readonly; /* for the guest */
} RamRange;

typedef struct RamMap {
    unsigned n; /* sorted by gpa, no overlap */
    RamRange range[];
} RamMap;

/* The current map; never NULL (may be empty). Any thread. */
const RamMap *ram_map_get(void);

/* The range that holds the byte at @gpa, or NULL. Any thread. */
const RamRange *ram_map_find(const RamMap *map, uint64_t gpa);

/*
 * Host pointer of [@gpa, @gpa + @len), or NULL unless the whole lies in one
 * range. @len 0 is refused. Wrap-around is refused. Any thread.
 */
void *ram_map_lookup(const RamMap *map, uint64_t gpa, uint64_t len);

/* True when @gpa is RAM that the guest may not write (ROM). Any thread. */
bool ram_map_is_readonly(const RamMap *map, uint64_t gpa);

/*
 * Makes @range part of guest memory: published, given to the accelerator.
 * The mapping stays the caller's and must outlive the machine. Refused when
 * it overlaps or is not page-aligned.
 */
bool ram_add(const RamRange *range, Error **errp) MAIN_THREAD;

/* Loops that read the map; ram_add waits for each of them. iothreads register
 * themselves. */
void ram_map_reader_add(EventLoop *loop) MAIN_THREAD;
void ram_map_reader_remove(EventLoop *loop) MAIN_THREAD;
/* Returns when each of them has ended the callback that it was in. */
void ram_map_wait_readers(void) MAIN_THREAD;

/* Called after each change of the map (vhost sends its memory table). */
typedef void RamListenerFunc(void *opaque);
typedef struct RamListener RamListener;
RamListener *ram_listener_add(RamListenerFunc *func, void *opaque) MAIN_THREAD;
void ram_listener_remove(RamListener *listener) MAIN_THREAD;

/* Copies for slow paths; may cross ranges. False when any byte is not RAM, or
 * is to be written and read-only (then nothing is promised about the others).
 * Any thread. */
bool ram_read(uint64_t gpa, void *buf, uint64_t len);
bool ram_write(uint64_t gpa, const void *buf, uint64_t len);
/* RAM was written by its host address (system/dirty-log.h). Any thread. */
void ram_note_write(uint64_t gpa, uint64_t len);

/* ---- I/O spaces ---- */

typedef enum IoSpace { IO_SPACE_MMIO, IO_SPACE_PORT } IoSpace;

/*
 * Registers of a device. @offset is from the region's start; @size is 1, 2, 4
 * or 8 and never crosses the region's end; @size is not above max_size (wider
 * accesses are split, narrower pass). Called with the machine lock held.
 */
typedef struct IoRegionOps {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    unsigned max_size; /* 0 means 4 */
} IoRegionOps;

typedef struct IoRegion IoRegion;
typedef struct IoEventFd IoEventFd;

/* Caller-allocated; init before use. */
struct IoRegion {
    /* fixed after init */
    const char *name;
    const IoRegionOps *ops;
    void *opaque;
    uint64_t size;
    /* main thread */
    IoSpace space;
    int priority; /* of overlapping regions the higher wins, then the later */
    uint64_t addr;
    bool mapped;
    GPtrArray *eventfds; /* of IoEventFd, owned */
};

/* @name is a static string or outlives the region. */
void io_region_init(IoRegion *region, const char *name, const IoRegionOps *ops,
                    void *opaque, uint64_t size);
/* Unmaps and frees what the region owns. */
void io_region_destroy(IoRegion *region) MAIN_THREAD;

/* Maps at @addr (moves it when mapped elsewhere); its ioeventfds go along. */
void io_region_map(IoRegion *region, IoSpace space, uint64_t addr, int priority)
    MAIN_THREAD;
void io_region_unmap(IoRegion *region) MAIN_THREAD;

/*
 * A guest write of @size bytes (0: any size) at @offset, equal to @data when
 * @match, signals @fd instead of calling the device. Takes effect at once when
 * the region is mapped, and whenever it is. False and *errp when the
 * accelerator refuses. @fd stays the caller's.
 */
bool io_region_add_eventfd(IoRegion *region, uint64_t offset, unsigned size,
                           bool match, uint64_t data, int fd, Error **errp)
    MAIN_THREAD;
void io_region_del_eventfd(IoRegion *region, uint64_t offset, unsigned size,
                           bool match, uint64_t data, int fd) MAIN_THREAD;

/* Dispatches an access of @size bytes; unassigned reads give all ones. MMIO
 * accesses that hit RAM go there (qtest, fw_cfg DMA). */
uint64_t io_read(IoSpace space, uint64_t addr, unsigned size) MAIN_THREAD;
void io_write(IoSpace space, uint64_t addr, uint64_t value, unsigned size)
    MAIN_THREAD;

/* ---- the accelerator's part ---- */

/*
 * What an accelerator does for guest memory: slots for RAM, eventfds that need
 * no exit. Each may be NULL. A failing ram_changed leaves the old map in force.
 */
typedef struct MemoryAccelOps {
    bool (*ram_changed)(const RamMap *old_map, const RamMap *new_map,
                        Error **errp);
    bool (*ioeventfd)(bool add, IoSpace space, uint64_t addr, unsigned size,
                      bool match, uint64_t data, int fd, Error **errp);
} MemoryAccelOps;

/* Puts @ops (static) in force and tells it of the RAM there is; once, before
 * any region is mapped. NULL takes it out again (tests). */
bool memory_set_accel(const MemoryAccelOps *ops, Error **errp) MAIN_THREAD;
/* NULL: none. */
const MemoryAccelOps *memory_accel(void) MAIN_THREAD;

/* Calls @func for each mapped region, by address (monitor: info mtree). */
void io_space_foreach(IoSpace space, void (*func)(const IoRegion *, void *),
                      void *opaque) MAIN_THREAD;

#endif
