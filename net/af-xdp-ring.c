/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AF_XDP sockets by <linux/if_xdp.h>, for those that somebody else prepared and
 * those that go into somebody else's map: libxdp sets up none that it has not
 * opened, nor is it needed for these.
 *
 * Threads: under the machine lock; no state here.
 */
#include "util/osdep.h"

#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "af-xdp-internal.h"
#include "util/fd.h"

/* ---- rings ---- */

typedef struct RingPlace {
    int option;
    off_t page;
    unsigned entries;
    size_t entry; /* bytes */
    const struct xdp_ring_offset *offset;
} RingPlace;

static int set_option(int fd, int option, const void *value, socklen_t len)
{
    return setsockopt(fd, SOL_XDP, option, value, len) < 0 ? -errno : 0;
}

/* Makes and maps one ring. */
static int map_ring(int fd, const RingPlace *place, AfXdpMap *map)
{
    size_t len = place->offset->desc + place->entries * place->entry;
    void *at =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, place->page);

    if (at == MAP_FAILED) {
        return -errno;
    }
    *map = (AfXdpMap){ at, len };
    return 0;
}

static void fill_prod(struct xsk_ring_prod *ring, const AfXdpMap *map,
                      const RingPlace *place)
{
    char *at = map->at;

    *ring = (struct xsk_ring_prod){
        .mask = place->entries - 1,
        .size = place->entries,
        .producer = (uint32_t *)(at + place->offset->producer),
        .consumer = (uint32_t *)(at + place->offset->consumer),
        .flags = (uint32_t *)(at + place->offset->flags),
        .ring = at + place->offset->desc,
    };
    ring->cached_prod = *ring->producer;
    ring->cached_cons = *ring->consumer + place->entries;
}

static void fill_cons(struct xsk_ring_cons *ring, const AfXdpMap *map,
                      const RingPlace *place)
{
    char *at = map->at;

    *ring = (struct xsk_ring_cons){
        .mask = place->entries - 1,
        .size = place->entries,
        .producer = (uint32_t *)(at + place->offset->producer),
        .consumer = (uint32_t *)(at + place->offset->consumer),
        .flags = (uint32_t *)(at + place->offset->flags),
        .ring = at + place->offset->desc,
    };
    ring->cached_prod = *ring->producer;
    ring->cached_cons = *ring->consumer;
}

int af_xdp_rings_open(AfXdpQueue *q)
{
    struct xdp_umem_reg umem = { .addr = (uintptr_t)q->umem,
                                 .len = AF_XDP_UMEM,
                                 .chunk_size = AF_XDP_FRAME };
    struct xdp_mmap_offsets off;
    socklen_t len = sizeof(off);
    const RingPlace place[] = {
        { XDP_UMEM_FILL_RING, (off_t)XDP_UMEM_PGOFF_FILL_RING, AF_XDP_RX,
          sizeof(uint64_t), &off.fr },
        { XDP_UMEM_COMPLETION_RING, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING,
          AF_XDP_TX, sizeof(uint64_t), &off.cr },
        { XDP_RX_RING, XDP_PGOFF_RX_RING, AF_XDP_RX, sizeof(struct xdp_desc),
          &off.rx },
        { XDP_TX_RING, XDP_PGOFF_TX_RING, AF_XDP_TX, sizeof(struct xdp_desc),
          &off.tx },
    };
    int r = set_option(q->fd, XDP_UMEM_REG, &umem, sizeof(umem));

    for (unsigned i = 0; i < ARRAY_SIZE(place) && r == 0; i++) {
        r = set_option(q->fd, place[i].option, &place[i].entries,
                       sizeof(place[i].entries));
    }
    if (r == 0 && getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len)) {
        r = -errno;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(place) && r == 0; i++) {
        r = map_ring(q->fd, &place[i], &q->map[i]);
    }
    if (r < 0) {
        af_xdp_rings_close(q);
        return r;
    }
    fill_prod(&q->fill, &q->map[0], &place[0]);
    fill_cons(&q->comp, &q->map[1], &place[1]);
    fill_cons(&q->rx, &q->map[2], &place[2]);
    fill_prod(&q->tx, &q->map[3], &place[3]);
    return 0;
}

void af_xdp_rings_close(AfXdpQueue *q)
{
    for (unsigned i = 0; i < ARRAY_SIZE(q->map); i++) {
        if (q->map[i].at) {
            munmap(q->map[i].at, q->map[i].len);
            q->map[i].at = NULL;
        }
    }
}

int af_xdp_bind(int fd, int ifindex, unsigned queue, uint16_t flags)
{
    struct sockaddr_xdp addr = { .sxdp_family = AF_XDP,
                                 .sxdp_flags = flags,
                                 .sxdp_ifindex = (uint32_t)ifindex,
                                 .sxdp_queue_id = queue };

    return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

/* ---- a map of sockets, bpf(2) ---- */

static int bpf(int command, union bpf_attr *attr)
{
    int r = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

    return r < 0 ? -errno : r;
}

int af_xdp_map_open(const char *path, Error **errp)
{
    union bpf_attr get = { .pathname = (uintptr_t)path };
    struct bpf_map_info info = { 0 };
    union bpf_attr ask = { .info.info = (uintptr_t)&info,
                           .info.info_len = sizeof(info) };
    int fd = bpf(BPF_OBJ_GET, &get);

    if (fd < 0) {
        error_setg_errno(errp, -fd, "map-path=%s: cannot open the pinned map",
                         path);
        return -1;
    }
    ask.info.bpf_fd = (uint32_t)fd;
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) < 0 ||
        info.type != BPF_MAP_TYPE_XSKMAP) {
        error_setg(errp,
                   "map-path=%s: is no map of AF_XDP sockets "
                   "(BPF_MAP_TYPE_XSKMAP)",
                   path);
        fd_close(&fd);
    }
    return fd;
}

int af_xdp_map_put(int map_fd, uint32_t index, int fd)
{
    union bpf_attr attr = { .map_fd = (uint32_t)map_fd,
                            .key = (uintptr_t)&index,
                            .value = (uintptr_t)&fd };

    return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

/* ---- the interface ---- */

unsigned af_xdp_count_queues(const char *ifname)
{
    struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
    struct ifreq ifr = { .ifr_data = (char *)&channels };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsigned n = 0;

    g_strlcpy(ifr.ifr_name, ifname, sizeof(ifr.ifr_name));
    if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &ifr) == 0) {
        n = channels.combined_count + MAX(channels.rx_count, channels.tx_count);
    }
    fd_close(&fd);
    return n;
}
