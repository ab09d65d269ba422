/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net-move-rig.h.
 *
 * Threads: the test's, which holds the machine lock; iothreads have pairs.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "system/main-loop.h"
#include "tests/unit/net-move-rig.h"
#include "util/fd.h"

#define FEATURES                                              \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
     BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define RAM   (4 * MiB)
#define SIZE  256u
#define HDR   12u
#define FRAME 80u

PlayedKernel kern;
MoveRig rig;

static uint8_t *ram;

/* ---- the kernel ---- */

typedef struct Worker {
    VirtQueue vq[2];
    bool on[2];
    int backend[2];
    uint64_t features;
} Worker;

static Worker worker[PAIRS];

static Worker *worker_of(int fd)
{
    g_assert_cmpint(fd, >=, VHOST_FD);
    return &worker[fd - VHOST_FD];
}

/* Stands for a worker in cases about where those run. */
typedef struct WorkerThread {
    pthread_t thread;
    sem_t ready, done;
    int tid;
} WorkerThread;

struct VhostWorkers {
    unsigned n;
};

static void *worker_thread(void *opaque)
{
    WorkerThread *t = opaque;

    t->tid = gettid();
    sem_post(&t->ready);
    while (sem_wait(&t->done) < 0) {
        continue;
    }
    return NULL;
}

static void worker_thread_make(void)
{
    WorkerThread *t = g_new0(WorkerThread, 1);

    sem_init(&t->ready, 0, 0);
    sem_init(&t->done, 0, 0);
    g_assert_cmpint(pthread_create(&t->thread, NULL, worker_thread, t), ==, 0);
    while (sem_wait(&t->ready) < 0) {
        continue;
    }
    kern.new_tid = t->tid;
    g_ptr_array_add(kern.threads, t);
}

static void worker_thread_end(void *opaque)
{
    WorkerThread *t = opaque;

    sem_post(&t->done);
    pthread_join(t->thread, NULL);
    sem_destroy(&t->ready);
    sem_destroy(&t->done);
    g_free(t);
}

VhostWorkers *vhost_workers_note(void)
{
    return g_new0(VhostWorkers, 1);
}

void vhost_workers_free(VhostWorkers *workers)
{
    g_free(workers);
}

int vhost_workers_added(const VhostWorkers *before)
{
    return kern.new_tid;
}

int vhost_kernel_set_owner(int fd)
{
    if (fd == kern.bad_fd) {
        return -EPERM;
    }
    if (kern.owned[fd - VHOST_FD]) {
        return -EBUSY;
    }
    kern.owned[fd - VHOST_FD] = true;
    if (kern.with_threads) {
        worker_thread_make();
    }
    return 0;
}

int vhost_kernel_reset_owner(int fd)
{
    g_assert_true(kern.owned[fd - VHOST_FD]);
    kern.owned[fd - VHOST_FD] = false;
    return 0;
}

int vhost_kernel_get_features(int fd, uint64_t *features)
{
    *features = kern.features;
    return 0;
}

int vhost_kernel_set_features(int fd, uint64_t features)
{
    worker_of(fd)->features = features;
    return 0;
}

int vhost_kernel_set_mem_table(int fd, const RamMap *map)
{
    return 0;
}

int vhost_kernel_set_vring_num(int fd, unsigned queue, unsigned num)
{
    worker_of(fd)->vq[queue] = (VirtQueue){
        .index = queue, .size = num, .max_size = num, .enabled = true
    };
    return 0;
}

int vhost_kernel_set_vring_base(int fd, unsigned queue, unsigned base)
{
    worker_of(fd)->vq[queue].last_avail = base;
    return 0;
}

int vhost_kernel_get_vring_base(int fd, unsigned queue, unsigned *base)
{
    *base = virtqueue_get_base(&worker_of(fd)->vq[queue]);
    return 0;
}

int vhost_kernel_set_vring_addr(int fd, unsigned queue, const void *desc,
                                const void *avail, void *used)
{
    VirtQueue *vq = &worker_of(fd)->vq[queue];

    vq->desc_gpa = (const uint8_t *)desc - ram;
    vq->avail_gpa = (const uint8_t *)avail - ram;
    vq->used_gpa = (uint8_t *)used - ram;
    return 0;
}

/* Nothing is logged here. */
int vhost_kernel_set_vring_addr_logged(int fd, unsigned queue,
                                       const VirtQueue *vq)
{
    g_assert_not_reached();
}

int vhost_kernel_set_log_base(int fd, uint64_t *bitmap)
{
    g_assert_not_reached();
}

int vhost_kernel_set_vring_kick(int fd, unsigned queue, int eventfd)
{
    worker_of(fd)->vq[queue].kick_fd = eventfd;
    return 0;
}

int vhost_kernel_set_vring_call(int fd, unsigned queue, int eventfd)
{
    worker_of(fd)->vq[queue].call_fd = eventfd;
    return 0;
}

int vhost_kernel_set_vring_err(int fd, unsigned queue, int eventfd)
{
    return 0;
}

int vhost_kernel_set_busyloop(int fd, unsigned queue, uint32_t microseconds)
{
    return 0;
}

int vhost_kernel_net_set_backend(int fd, unsigned queue, int backend_fd)
{
    Worker *w = worker_of(fd);
    VirtQueue *vq = &w->vq[queue];

    if (backend_fd < 0) {
        virtqueue_stop(vq);
    } else if (fd == kern.failing_fd && queue == 1) {
        return -EIO;
    } else {
        uint16_t base = vq->last_avail;

        virtqueue_set_features(vq, w->features);
        virtqueue_set_base(vq, base);
        g_assert_cmpint(virtqueue_start(vq, w->features), ==, 0);
    }
    w->on[queue] = backend_fd >= 0;
    w->backend[queue] = backend_fd;
    return 0;
}

static void worker_receive(Worker *w)
{
    struct iovec iov[VIRTQUEUE_MAX_SEGS];
    VirtQueue *vq = &w->vq[0];
    VirtQueueChain chain;

    while (virtqueue_pop(vq, iov, ARRAY_SIZE(iov), &chain) > 0) {
        ssize_t len = readv(w->backend[0], iov, (int)chain.n_in);

        if (len < 0) {
            virtqueue_unpop(vq, 1);
            break;
        }
        ((uint8_t *)iov[0].iov_base)[10] = 1; /* num_buffers */
        virtqueue_fill(vq, &chain, (uint32_t)len);
    }
    virtqueue_publish(vq);
    virtqueue_signal(vq);
}

static void worker_send(Worker *w)
{
    struct iovec iov[VIRTQUEUE_MAX_SEGS];
    VirtQueue *vq = &w->vq[1];
    VirtQueueChain chain;

    while (virtqueue_pop(vq, iov, ARRAY_SIZE(iov), &chain) > 0) {
        if (writev(w->backend[1], iov, (int)chain.n_out) < 0) {
            virtqueue_unpop(vq, 1);
            break;
        }
        virtqueue_fill(vq, &chain, 0);
    }
    virtqueue_publish(vq);
    virtqueue_signal(vq);
}

void rig_workers_work(void)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        if (worker[i].on[0]) {
            worker_receive(&worker[i]);
        }
        if (worker[i].on[1]) {
            worker_send(&worker[i]);
        }
    }
}

/* ---- the tap ---- */

static int host[PAIRS]; /* the other ends */

static ssize_t tap_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    ssize_t len = readv(sq->fd, iov, (int)n);

    return len < 0 && errno == EAGAIN ? 0 : len < 0 ? -errno : len;
}

static ssize_t tap_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    ssize_t len = writev(sq->fd, iov, (int)n);

    return len < 0 && errno == EAGAIN ? 0 : len < 0 ? -errno : len;
}

/* ---- the driver ---- */

static struct vring rings[2 * PAIRS];
static uint16_t avail_idx[2 * PAIRS], seen[2 * PAIRS];

static void offer(unsigned q, uint64_t gpa, unsigned len, bool write)
{
    struct vring *v = &rings[q];
    uint16_t slot = avail_idx[q] % SIZE;

    v->desc[slot] = (struct vring_desc){
        .addr = gpa, .len = len, .flags = write ? VRING_DESC_F_WRITE : 0
    };
    v->avail->ring[slot] = slot;
    avail_idx[q]++;
    __atomic_store_n(&v->avail->idx, avail_idx[q], __ATOMIC_SEQ_CST);
    eventfd_signal(rig.nic->vdev.vq[q].kick_fd);
}

static uint64_t place(unsigned q, unsigned slot)
{
    return 0x100000 + 2048ULL * (q * SIZE + slot);
}

void rig_post(unsigned pair, unsigned n, unsigned len)
{
    while (n-- > 0) {
        offer(2 * pair, place(2 * pair, avail_idx[2 * pair] % SIZE), len, true);
    }
}

void rig_send_out(unsigned pair, unsigned n)
{
    unsigned q = 2 * pair + 1;

    while (n-- > 0) {
        uint64_t gpa = place(q, avail_idx[q] % SIZE);

        memset(ram + gpa, 0, HDR + FRAME);
        memcpy(ram + gpa + HDR + 14, &rig.out[pair].offered, 4);
        rig.out[pair].offered++;
        offer(q, gpa, HDR + FRAME, false);
    }
}

void rig_send_in(unsigned pair, unsigned n, unsigned len)
{
    uint8_t frame[2048] = { 0 };

    while (n-- > 0) {
        memcpy(frame + HDR + 14, &rig.in[pair].offered, 4);
        rig.in[pair].offered++;
        g_assert_cmpint(write(host[pair], frame, HDR + len), ==, HDR + len);
    }
}

/* Takes what the host got from @pair: numbers in a row. */
static void collect_host(unsigned pair)
{
    uint8_t frame[2048];

    while (read(host[pair], frame, sizeof(frame)) > 0) {
        g_assert_cmpint(memcmp(frame + HDR + 14, &rig.out[pair].arrived, 4), ==,
                        0);
        rig.out[pair].arrived++;
    }
}

void rig_collect_guest(unsigned pair)
{
    unsigned q = 2 * pair;
    const struct vring_used *used = rings[q].used;

    while (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != seen[q]) {
        const uint8_t *at;

        at = ram + place(q, used->ring[seen[q] % SIZE].id);
        g_assert_cmpuint(used->ring[seen[q] % SIZE].id, ==, seen[q] % SIZE);
        g_assert_cmpint(memcmp(at + HDR + 14, &rig.in[pair].arrived, 4), ==, 0);
        rig.in[pair].arrived++;
        seen[q] += at[10]; /* num_buffers */
    }
}

static bool all_there(void)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        unsigned tx = 2 * i + 1;

        collect_host(i);
        rig_collect_guest(i);
        if (rig.out[i].arrived < rig.out[i].offered ||
            rig.in[i].arrived < rig.in[i].offered ||
            __atomic_load_n(&rings[tx].used->idx, __ATOMIC_ACQUIRE) !=
                avail_idx[tx]) {
            return false;
        }
    }
    return true;
}

void rig_wait_for(bool (*ready)(void))
{
    int64_t end = clock_now_ns() + 20000000000;

    while (!ready()) {
        g_assert_cmpint(clock_now_ns(), <, end);
        rig_workers_work();
        event_loop_turn(main_loop(), 200000);
    }
}

void rig_pause(void)
{
    for (unsigned i = 0; i < 20; i++) {
        rig_workers_work();
        event_loop_turn(main_loop(), 500000);
    }
}

void rig_settle(void)
{
    rig_wait_for(all_there);
    for (unsigned i = 0; i < PAIRS; i++) {
        g_assert_cmpuint(rig.out[i].arrived, ==, rig.out[i].offered);
        g_assert_cmpuint(rig.in[i].arrived, ==, rig.in[i].offered);
        g_assert_cmpuint(rig.nic->pair[i].stats.rx_errors, ==, 0);
    }
    g_assert_false(virtio_is_broken(&rig.nic->vdev));
}

/* ---- the NIC ---- */

static void no_notify(void *opaque)
{
}

static bool no_start(void *opaque, Error **errp)
{
    return true;
}

static unsigned six_vectors(void *opaque)
{
    return 6;
}

static const VirtIOTransportOps transport = {
    .notify_config = no_notify,
    .start = no_start,
    .stop = no_notify,
    .n_vectors = six_vectors,
};

static void place_queue(unsigned i) MAIN_THREAD
{
    VirtQueue *vq = &rig.nic->vdev.vq[i];

    vq->desc_gpa = 0x20000 + 0x8000ULL * i;
    memset(ram + vq->desc_gpa, 0, 0x8000);
    vring_init(&rings[i], SIZE, ram + vq->desc_gpa, 4096);
    vq->avail_gpa = (uint8_t *)rings[i].avail - ram;
    vq->used_gpa = (uint8_t *)rings[i].used - ram;
    avail_idx[i] = seen[i] = 0;
    virtio_queue_set_enabled(&rig.nic->vdev, i);
}

static void make_netdev(bool force) MAIN_THREAD
{
    static const NetClientInfo info = { .type = NET_CLIENT_DRIVER_TAP,
                                        .recv = tap_recv,
                                        .send = tap_send };
    Error *err = NULL;

    memset(&rig.netdev, 0, sizeof(rig.netdev));
    g_assert_true(net_client_register(&rig.netdev, &info, "tap1", PAIRS, &err));
    rig.netdev.caps =
        (NetCaps){ .vnet_hdr = true, .vhost = true, .vhost_force = force };
    for (unsigned i = 0; i < PAIRS; i++) {
        int pair[2];

        g_assert_cmpint(
            socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), ==, 0);
        rig.netdev.queue[i].fd = pair[0];
        rig.netdev.queue[i].vhost_fd = VHOST_FD + (int)i;
        host[i] = pair[1];
    }
}

void rig_driver_start(uint64_t features)
{
    VirtIODevice *vdev = &rig.nic->vdev;

    memset(rig.out, 0, sizeof(rig.out));
    memset(rig.in, 0, sizeof(rig.in));
    vdev->vm_running = true;
    virtio_set_bus_master(vdev, true);
    virtio_set_status(vdev, 3);
    virtio_set_guest_features(vdev, FEATURES | features |
                                        BIT(VIRTIO_NET_F_CTRL_VQ) |
                                        BIT(VIRTIO_NET_F_MQ));
    virtio_set_status(vdev, 11);
    for (unsigned i = 0; i < 2 * PAIRS; i++) {
        place_queue(i);
    }
    virtio_set_status(vdev, 15);
    virtio_net_set_active_pairs(rig.nic, PAIRS);
}

static void set(const char *name, const char *json) MAIN_THREAD
{
    json_object *value = json_tokener_parse(json);
    Error *err = NULL;

    object_property_set(OBJECT(rig.nic), name, value, &err);
    g_assert_no_error(err);
    json_object_put(value);
}

void rig_begin(const char *mapping, uint64_t features, bool force)
{
    Error *err = NULL;

    kern.features = FEATURES;
    kern.bad_fd = kern.failing_fd = kern.new_tid = -1;
    kern.threads = g_ptr_array_new_with_free_func(worker_thread_end);
    make_netdev(force);
    rig.nic = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    rig.nic->vdev.dev.id = g_strdup("net1");
    virtio_bind_transport(&rig.nic->vdev, &transport, NULL);
    set("netdev", "'tap1'");
    set("mq", "true");
    if (mapping) {
        set("queue-mapping", mapping);
    }
    g_assert_true(device_realize(&rig.nic->vdev.dev, NULL, &err));
    rig_driver_start(features);
}

unsigned rig_users(const char *id)
{
    return iothread_n_users(iothread_find(id, NULL));
}

void rig_end(void)
{
    device_unrealize(&rig.nic->vdev.dev);
    object_unref(OBJECT(rig.nic));
    net_client_unregister(&rig.netdev);
    for (unsigned i = 0; i < PAIRS; i++) {
        close(host[i]);
        g_assert_false(worker[i].on[0] || worker[i].on[1]);
    }
    g_assert_cmpuint(rig_users("io0") + rig_users("io1"), ==, 0);
    kern.with_threads = false;
    g_ptr_array_unref(kern.threads);
}

static void iothread_make(const char *id) MAIN_THREAD
{
    json_object *opts = json_object_new_object();
    Error *err = NULL;

    json_object_object_add(opts, "qom-type",
                           json_object_new_string("iothread"));
    json_object_object_add(opts, "id", json_object_new_string(id));
    user_object_new(opts, &err);
    g_assert_no_error(err);
    json_object_put(opts);
}

void rig_init(void)
{
    RamRange range = { .size = RAM, .fd = -1 };
    Error *err = NULL;

    g_assert_true(main_loop_init(&err));
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    range.host = ram;
    g_assert_true(ram_add(&range, &err));
    iothread_make("io0");
    iothread_make("io1");
}

/* ---- moves ---- */

/* @where: as for rig_moved(). */
static bool move(const char *where, Error **errp) MAIN_THREAD
{
    VirtioNetQueueMapping v[PAIRS];
    VirtioNetQueueMappingList list = { .v = v };
    static char *ids[] = { (char *)"io0", (char *)"io1" };

    for (unsigned i = 0; i < PAIRS; i++) {
        if (where[i] == '-') {
            continue;
        }
        v[list.n++] = (VirtioNetQueueMapping){
            .pair = i,
            .backend = where[i] == 'v' ? VIRTIO_NET_QUEUE_BACKEND_VHOST
                                       : VIRTIO_NET_QUEUE_BACKEND_IOTHREAD,
            .iothread =
                where[i] == '0' || where[i] == '1' ? ids[where[i] - '0'] : NULL,
        };
    }
    return virtio_net_set_queue_mapping(&rig.nic->nic, &list, errp);
}

char rig_where(unsigned i)
{
    const VirtIONetPair *pair = &rig.nic->pair[i];

    return pair->owner == PAIR_OWNER_VHOST  ? 'v'
           : pair->owner == PAIR_OWNER_MAIN ? 'm'
           : virtio_net_iothread_is_auto(rig.nic, pair->iothread)
               ? 'a'
               : iothread_id(pair->iothread)[2];
}

void rig_check_where(const char *where)
{
    char got[] = { rig_where(0), rig_where(1), '\0' };

    g_assert_cmpstr(got, ==, where);
}

void rig_moved(const char *where)
{
    Error *err = NULL;

    move(where, &err);
    g_assert_no_error(err);
}

void rig_refused(const char *where, const char *text)
{
    char before[] = { rig_where(0), rig_where(1), '\0' };
    unsigned used[] = { rig_users("io0"), rig_users("io1") };
    const VhostNet *vhost[] = { rig.nic->pair[0].vhost,
                                rig.nic->pair[1].vhost };
    Error *err = NULL;

    g_assert_false(move(where, &err));
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, text));
    g_error_free(err);
    rig_check_where(before);
    g_assert_cmpuint(used[0], ==, rig_users("io0"));
    g_assert_cmpuint(used[1], ==, rig_users("io1"));
    for (unsigned i = 0; i < PAIRS; i++) {
        g_assert_true(vhost[i] == rig.nic->pair[i].vhost);
        g_assert_false(rig.nic->pair[i].move_untold);
    }
}

void rig_traffic(unsigned n)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        rig_send_out(i, n);
        rig_send_in(i, n, FRAME);
    }
}

void rig_fill(void)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        rig_post(i, SIZE - 1 - (uint16_t)(avail_idx[2 * i] - seen[2 * i]),
                 2048);
    }
}
