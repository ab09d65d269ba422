/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receive side scaling of a tap by a program in the kernel (TUNSETSTEERINGEBPF,
 * linux/if_tun.h): its maps are mapped here, and a setting is written into the
 * side of them that is not in force, which is then turned over.
 *
 * No bpf(2) is needed for that. So files that another process has loaded serve
 * one without any capability.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "net/rss.h"
#include "tap-ebpf.h"
#include "util/fd.h"

struct TapSteering {
    int fd[TAP_EBPF_FDS];
    void *map[TAP_EBPF_FDS]; /* of each map, NULL: not mapped */
    bool attached;
    bool was_attached; /* before everything went to queue 0 */
};

/* What the files have to be. */
static const struct {
    const char *what;
    unsigned value_size, entries;
} files[TAP_EBPF_FDS] = {
    [TAP_EBPF_PROGRAM] = { "the program", 0, 0 },
    [TAP_EBPF_CONFIG] = { "the map of the setting",
                          sizeof(struct rss_map_config), 1 },
    [TAP_EBPF_KEYS] = { "the map of keys", sizeof(struct rss_key_table), 2 },
    [TAP_EBPF_QUEUES] = { "the map of queues", sizeof(struct rss_map_queues),
                          2 },
};

static size_t map_size(unsigned i)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (files[i].value_size * files[i].entries + page - 1) & ~(page - 1);
}

/* ---- files that were passed ---- */

/* The number after "@key:" in what the kernel says of a file; -1: none. */
static int64_t info_number(const char *info, const char *key)
{
    const char *line = strstr(info, key);

    return line ? (int64_t)g_ascii_strtoull(line + strlen(key), NULL, 0) : -1;
}

/* Is @fd what its place among the four wants? Each map is as our program has
 * it, or writing it would go past its end. */
static bool check_file(int fd, unsigned i, Error **errp)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", fd);
    g_autofree char *info = NULL;
    bool ok;

    if (!g_file_get_contents(path, &info, NULL, NULL)) {
        error_setg(errp, "file descriptor %d is not open", fd);
        return false;
    }
    if (i == TAP_EBPF_PROGRAM) {
        ok = info_number(info, "prog_type:\t") == BPF_PROG_TYPE_SOCKET_FILTER;
    } else {
        ok = info_number(info, "map_type:\t") == BPF_MAP_TYPE_ARRAY &&
             info_number(info, "value_size:\t") == files[i].value_size &&
             info_number(info, "max_entries:\t") == files[i].entries &&
             info_number(info, "map_flags:\t") & BPF_F_MMAPABLE;
    }
    if (!ok) {
        error_setg(errp,
                   "file descriptor %d is not %s; load what request-ebpf gives "
                   "and pass program and maps in their order there",
                   fd, files[i].what);
    }
    return ok;
}

static bool check_files(const int *fds, Error **errp)
{
    for (unsigned i = 0; i < TAP_EBPF_FDS; i++) {
        if (!check_file(fds[i], i, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- opening and closing ---- */

static void close_files(int *fds)
{
    for (unsigned i = 0; i < TAP_EBPF_FDS; i++) {
        fd_close(&fds[i]);
    }
}

/* Leaves the files open. */
static void steering_free(TapSteering *s)
{
    for (unsigned i = 0; i < TAP_EBPF_FDS; i++) {
        if (s->map[i]) {
            munmap(s->map[i], map_size(i));
        }
    }
    g_free(s);
}

static TapSteering *steering_new(const int *fds, Error **errp)
{
    TapSteering *s = g_new0(TapSteering, 1);

    memcpy(s->fd, fds, sizeof(s->fd));
    for (unsigned i = TAP_EBPF_CONFIG; i < TAP_EBPF_FDS; i++) {
        void *map = mmap(NULL, map_size(i), PROT_READ | PROT_WRITE, MAP_SHARED,
                         s->fd[i], 0);

        if (map == MAP_FAILED) {
            error_setg_errno(errp, errno, "cannot map %s", files[i].what);
            steering_free(s);
            return NULL;
        }
        s->map[i] = map;
    }
    return s;
}

static bool attach(TapState *tap, int program)
{
    return ioctl(tap_device_fd(tap), TUNSETSTEERINGEBPF, &program) == 0;
}

/* Others may have the same files, or close them: ours are duplicates. */
static bool duplicate(const int *fds, int *own, Error **errp)
{
    if (!check_files(fds, errp)) {
        return false;
    }
    for (unsigned i = 0; i < TAP_EBPF_FDS; i++) {
        own[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (own[i] < 0) {
            error_setg_errno(errp, errno, "cannot duplicate file descriptor %d",
                             fds[i]);
            while (i-- > 0) {
                close(own[i]);
            }
            return false;
        }
    }
    return true;
}

bool tap_steering_open(NetClientState *nc, const int *fds, Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);
    int own[TAP_EBPF_FDS];

    g_assert(!tap->steering);
    /* A kernel too old for programs on taps says so here. */
    if (!attach(tap, -1)) {
        error_setg_errno(errp, errno, "tap '%s' takes no program", tap->ifname);
        return false;
    }
    if (!(fds ? duplicate(fds, own, errp) : tap_ebpf_load(own, errp))) {
        return false;
    }
    tap->steering = steering_new(own, errp);
    if (!tap->steering) {
        close_files(own);
    }
    return tap->steering != NULL;
}

void tap_steering_close(NetClientState *nc)
{
    TapState *tap = container_of(nc, TapState, nc);

    if (!tap->steering) {
        return;
    }
    if (tap->steering->attached) {
        (void)!attach(tap, -1);
    }
    close_files(tap->steering->fd);
    steering_free(tap->steering);
    tap->steering = NULL;
}

/* ---- settings ---- */

static void write_setting(TapSteering *s, const RssConfig *config)
{
    struct rss_map_config *map = s->map[TAP_EBPF_CONFIG];
    struct rss_key_table *keys = s->map[TAP_EBPF_KEYS];
    struct rss_map_queues *queues = s->map[TAP_EBPF_QUEUES];
    uint32_t next = !(map->side & 1);

    map->of[next] = (struct rss_map_side){
        .hash_types = config->hash_types,
        .mask = config->mask,
        .unclassified = config->unclassified,
    };
    keys[next] = config->key;
    memcpy(queues[next].queue, config->queue, sizeof(queues[next].queue));
    /* Release: a CPU that sees the side sees what is on it. */
    __atomic_store_n(&map->side, next, __ATOMIC_RELEASE);
}

bool tap_steer(NetClientState *nc, const RssConfig *config, Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);
    TapSteering *s = tap->steering;

    if (config) {
        write_setting(s, config);
    }
    if (s->attached == (config != NULL)) {
        return true;
    }
    if (!attach(tap, config ? s->fd[TAP_EBPF_PROGRAM] : -1)) {
        error_setg_errno(errp, errno, "tap '%s': cannot %s the program",
                         tap->ifname, config ? "attach" : "detach");
        return false;
    }
    s->attached = config != NULL;
    return true;
}

/* ---- everything into one queue ---- */

/* Two instructions, "return 0": nothing to relocate, no map, no library. */
static int load_zero_program(void)
{
    static const struct bpf_insn code[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attr.insns = (uintptr_t)code;
    attr.insn_cnt = ARRAY_SIZE(code);
    attr.license = (uintptr_t) "GPL";
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static bool funnel_by_zero_program(TapState *tap, Error **errp)
{
    int program = load_zero_program();
    bool ok = program >= 0 && attach(tap, program);

    if (!ok) {
        error_setg_errno(errp, errno, "tap '%s' takes no program", tap->ifname);
    }
    fd_close(&program); /* the tap keeps it */
    return ok;
}

/* A program that is there serves without any capability: a setting that hashes
 * nothing. The one before stays on the other side. */
static bool funnel_by_setting(TapState *tap, Error **errp) MAIN_THREAD
{
    g_autofree RssConfig *all_to_0 = g_new0(RssConfig, 1);

    tap->steering->was_attached = tap->steering->attached;
    return tap_steer(&tap->nc, all_to_0, errp);
}

static bool unfunnel_setting(TapState *tap, Error **errp) MAIN_THREAD
{
    struct rss_map_config *map = tap->steering->map[TAP_EBPF_CONFIG];

    if (!tap->steering->was_attached) {
        return tap_steer(&tap->nc, NULL, errp);
    }
    __atomic_store_n(&map->side, !(map->side & 1), __ATOMIC_RELEASE);
    return true;
}

bool tap_funnel(NetClientState *nc, bool on, Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);

    if (tap->steering) {
        return on ? funnel_by_setting(tap, errp) : unfunnel_setting(tap, errp);
    }
    if (on) {
        return funnel_by_zero_program(tap, errp);
    }
    if (!attach(tap, -1)) {
        error_setg_errno(errp, errno, "tap '%s': cannot detach the program",
                         tap->ifname);
        return false;
    }
    return true;
}
