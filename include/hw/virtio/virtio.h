/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device as its transport and its device model see it: status,
 * features, configuration space, queues (VIRTIO 1.2, chapter 2).
 *
 * Three parties meet here. The *transport* (virtio-pci) turns registers into
 * the virtio_*() calls below. The *device* (virtio-net) fills in a
 * VirtIODeviceClass. This layer keeps the rules between them: what the driver
 * may do in which state, when the device starts and stops, and what happens
 * when the driver breaks the rules.
 *
 * A kick always arrives at the queue's kick_fd, written by KVM (ioeventfd) or
 * by virtio_queue_notify(); a signal always leaves by its call_fd, which the
 * transport binds to a vector or to INTx. So an owner of a queue needs only
 * the VirtQueue, wherever it runs.
 *
 * Threads: under the machine lock, except virtio_error() and what says so.
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "hw/core/qdev.h"
#include "hw/virtio/virtqueue.h"
#include "system/runstate.h"
#include "util/event-loop.h"

#define TYPE_VIRTIO_DEVICE "virtio-device"
#define VIRTIO_MAX_QUEUES  1024u

typedef struct VirtIODevice VirtIODevice;
typedef struct VirtIODeviceClass VirtIODeviceClass;

typedef struct VhostNet VhostNet;

/* What a monitor shows of a transport's registers. */
typedef struct VirtIOTransportState {
    uint8_t isr;
    uint16_t queue_sel;
    const char *bus_name; /* where it is plugged; NULL: nowhere */
} VirtIOTransportState;

/* Who has a queue just now. */
typedef struct VirtIOQueueOwner {
    EventLoop *loop;     /* the only user of its datapath fields; NULL: whoever
                            holds the machine lock */
    VhostNet *vhost;     /* has the ring; NULL: nobody outside this process */
    unsigned vhost_ring; /* its number there */
} VirtIOQueueOwner;

/* Name and meaning of a bit, "NAME: meaning"; a table ends with a NULL. */
typedef struct VirtIOBitName {
    unsigned bit;
    const char *text;
} VirtIOBitName;

/* Those of rings and transports; a class has its own. */
extern const VirtIOBitName virtio_transport_feature_names[];

/* What the transport gives the device. */
typedef struct VirtIOTransportOps {
    /* configuration change interrupt (2.3 / 4.1.5.4) */
    void (*notify_config)(void *opaque);
    /* binds call_fd of each enabled queue to its interrupt, ioeventfds on;
     * called before the device starts / after it stopped */
    bool (*start)(void *opaque, Error **errp);
    void (*stop)(void *opaque);
    /* vectors that the transport offers, 0: INTx only */
    unsigned (*n_vectors)(void *opaque);
    /* for monitors; may be NULL */
    void (*inspect)(void *opaque, VirtIOTransportState *state);
} VirtIOTransportOps;

struct VirtIODevice {
    DeviceState dev;

    /* fixed after realize */
    uint16_t device_id; /* VIRTIO 1.2, 5: 1 is a network device */
    unsigned n_queues;
    VirtQueue *vq; /* array of n_queues */
    size_t config_len;
    const VirtIOTransportOps *transport;
    void *transport_opaque;

    /* properties of every device (indirect_desc, event_idx...), bits 24..40 */
    uint64_t common_features;

    /* main thread */
    uint64_t features_mask;  /* what the back-end goes along with */
    uint64_t host_features;  /* offered */
    uint64_t guest_features; /* accepted; final after FEATURES_OK */
    uint8_t status;
    uint32_t config_generation;
    bool features_final; /* the class has them */
    bool legacy_early;   /* in use before DRIVER_OK (3.1.2) */
    bool vm_running;
    bool started;    /* class start() is in force */
    bool bus_master; /* transport lets us access memory */
    RunStateHandler *runstate;

    /* any thread, atomic: set by virtio_error(), cleared by reset */
    bool broken;
    bool warned; /* a fault was reported on stderr; later ones are logged */
    char *fault_reason; /* of what broke it, until the class was told; whoever
                           sets it has set @fault_vq before */
    const VirtQueue *fault_vq;
    LoopTask error_task;
};

struct VirtIODeviceClass {
    DeviceClass parent;
    /* Queues and config_len are set here (virtio_init_queues()). */
    bool (*virtio_realize)(VirtIODevice *vdev, Error **errp);
    void (*virtio_unrealize)(VirtIODevice *vdev);
    /* device-specific bits to offer (common_features are added by the core) */
    uint64_t (*get_features)(VirtIODevice *vdev);
    /* After the driver wrote FEATURES_OK (or on legacy DRIVER_OK, or at the
     * first use before it): false refuses the set. */
    bool (*set_features)(VirtIODevice *vdev, uint64_t features);
    /* whole device-specific configuration, config_len bytes, little-endian */
    void (*get_config)(VirtIODevice *vdev, uint8_t *config);
    void (*set_config)(VirtIODevice *vdev, uint32_t offset, uint32_t value,
                       unsigned size);
    /* DRIVER_OK, machine running, not broken: from here until stop() the
     * device serves its enabled queues. start() must not fail: a queue that
     * cannot start is a virtio_error(). It looks at each ring once whether or
     * not kick_fd is readable: a kick may have come, and been counted by
     * nobody, before the start, and while the machine was stopped. */
    void (*start)(VirtIODevice *vdev);
    void (*stop)(VirtIODevice *vdev);
    /* back to power-on; the core has called stop() and resets queues after */
    void (*virtio_reset)(VirtIODevice *vdev);
    /* one queue, while started (RING_RESET, 2.6.1; late queue_enable): stop
     * using it / take it up. */
    void (*queue_stop)(VirtIODevice *vdev, VirtQueue *vq);
    void (*queue_start)(VirtIODevice *vdev, VirtQueue *vq);
    /* device-specific bits that only the legacy interface offers; the core
     * knows 24, 27 and 30 */
    uint64_t legacy_features;
    /* For monitors: names of the device-specific bits, or NULL; and who has
     * queue @index, in @owner, which is zeroed before. NULL: nobody but the
     * main loop ever has one. */
    const VirtIOBitName *feature_names;
    void (*queue_owner)(VirtIODevice *vdev, unsigned index,
                        VirtIOQueueOwner *owner);
    /* Once for each time that the device breaks, before it is stopped for that;
     * @vq: the queue that it broke by, or NULL. May be NULL. */
    void (*fault)(VirtIODevice *vdev, const VirtQueue *vq, const char *reason);
};

#define VIRTIO_DEVICE(o)           OBJECT_CAST(VirtIODevice, o)
#define VIRTIO_DEVICE_CLASS(k)     OBJECT_CLASS_CAST(VirtIODeviceClass, k)
#define VIRTIO_DEVICE_GET_CLASS(o) OBJECT_GET_CLASS(VirtIODeviceClass, o)

/* ---- for devices ---- */

/* Makes @n queues whose maximum sizes are @sizes[i]; at realize. */
bool virtio_init_queues(VirtIODevice *vdev, unsigned n, const uint16_t *sizes,
                        Error **errp) MAIN_THREAD;

/* True when the driver accepted feature @bit. */
bool virtio_has_feature(const VirtIODevice *vdev, unsigned bit);
/* True when it drives us by the legacy interface (no VERSION_1). */
bool virtio_is_legacy(const VirtIODevice *vdev);

/* Asks the class anew what it offers: at reset, and where that changes while no
 * driver has made its choice. */
void virtio_offer_features(VirtIODevice *vdev) MAIN_THREAD;

/* Configuration space changed: generation up, interrupt. */
void virtio_notify_config(VirtIODevice *vdev) MAIN_THREAD;

/*
 * The driver broke the rules of queue or device: marks the device broken and
 * posts to the main loop, which sets DEVICE_NEEDS_RESET (2.1.2), stops the
 * device and sends a configuration interrupt; the machine goes on. So the
 * caller's frame still finds the device as it was. Any thread. The first fault
 * since the last reset is logged.
 */
void virtio_error(VirtIODevice *vdev, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The same by one queue, whose number is put before the text. */
void virtio_queue_error(VirtIODevice *vdev, const VirtQueue *vq,
                        const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* Any thread. */
bool virtio_is_broken(const VirtIODevice *vdev);

/* ---- for transports ---- */

void virtio_bind_transport(VirtIODevice *vdev, const VirtIOTransportOps *ops,
                           void *opaque) MAIN_THREAD;
void virtio_set_status(VirtIODevice *vdev, uint8_t status) MAIN_THREAD;
/* Full device reset (status 0). */
void virtio_reset(VirtIODevice *vdev) MAIN_THREAD;
uint64_t virtio_get_host_features(VirtIODevice *vdev) MAIN_THREAD;
/* Driver's selection before FEATURES_OK; bits not offered are kept out on
 * legacy and refuse FEATURES_OK on modern. */
void virtio_set_guest_features(VirtIODevice *vdev, uint64_t features)
    MAIN_THREAD;
/* Little-endian register access into the device configuration; out of range
 * reads give 0, writes do nothing. */
uint32_t virtio_config_read(VirtIODevice *vdev, uint32_t offset, unsigned size)
    MAIN_THREAD;
void virtio_config_write(VirtIODevice *vdev, uint32_t offset, uint32_t value,
                         unsigned size) MAIN_THREAD;
/* A doorbell that did not go through an ioeventfd. */
void virtio_queue_notify(VirtIODevice *vdev, unsigned index) MAIN_THREAD;
void virtio_queue_set_enabled(VirtIODevice *vdev, unsigned index) MAIN_THREAD;
void virtio_queue_reset(VirtIODevice *vdev, unsigned index) MAIN_THREAD;
/* Ring address by the legacy interface, 0 gives the queue up (4.1.4.8). */
void virtio_queue_set_legacy(VirtIODevice *vdev, unsigned index, uint64_t gpa)
    MAIN_THREAD;
/* A legacy driver uses a queue: starts the device although DRIVER_OK may be
 * missing, as 3.1.2 demands of transitional devices. */
void virtio_legacy_use(VirtIODevice *vdev) MAIN_THREAD;
/* Of the host features, those that the legacy interface alone shows. */
uint64_t virtio_legacy_only_features(VirtIODevice *vdev) MAIN_THREAD;
/* PCI bus mastering: without it a modern device does not run. */
void virtio_set_bus_master(VirtIODevice *vdev, bool on) MAIN_THREAD;

#endif
