/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "vdev.h"

#define CTRL_SIZE       64
#define CTRL_TIMEOUT_NS (5 * NS_PER_SEC)
#define RESET_TRIES     1000
#define IRQ_WORDS       4096
/* within a page: class and command, the data, the status */
#define CTRL_DATA   64
#define CTRL_STATUS 128

uint64_t guest_alloc(VirtDevice *d, uint64_t size, uint64_t align)
{
    uint64_t addr = (d->ram_next + align - 1) & ~(align - 1);

    if (addr + size > d->ram_size) {
        die("guest memory is used up; give more with --mem");
    }
    d->ram_next = addr + size;
    memset(d->ram + addr, 0, size);
    return addr;
}

/* ---- registers; VIRTIO 1.2, 4.1.4.3 ---- */

static uint32_t common_read(VirtDevice *d, int offset, int size)
{
    return mmio_read(&d->qtest, d->common + offset, size);
}

static void common_write(VirtDevice *d, int offset, int size, uint32_t value)
{
    mmio_write(&d->qtest, d->common + offset, size, value);
}

static void common_write64(VirtDevice *d, int offset, uint64_t value)
{
    common_write(d, offset, 4, value);
    common_write(d, offset + 4, 4, value >> 32);
}

static void set_status(VirtDevice *d, int status)
{
    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1, status);
}

static void negotiate(VirtDevice *d, uint64_t wanted)
{
    int status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

    set_status(d, 0);
    for (int i = 0; common_read(d, VIRTIO_PCI_COMMON_STATUS, 1); i++) {
        if (i == RESET_TRIES) {
            die("the device does not finish its reset");
        }
    }
    set_status(d, status);
    for (int i = 0; i < 2; i++) {
        common_write(d, VIRTIO_PCI_COMMON_DFSELECT, 4, i);
        d->offered |= (uint64_t)common_read(d, VIRTIO_PCI_COMMON_DF, 4)
                      << 32 * i;
    }
    d->features = d->offered & (wanted | FEATURE(VIRTIO_F_VERSION_1));
    if (!(d->features & FEATURE(VIRTIO_F_VERSION_1))) {
        die("the device does not offer VIRTIO_F_VERSION_1");
    }
    for (int i = 0; i < 2; i++) {
        common_write(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        common_write(d, VIRTIO_PCI_COMMON_GF, 4, d->features >> 32 * i);
    }
    status |= VIRTIO_CONFIG_S_FEATURES_OK;
    set_status(d, status);
    if (common_read(d, VIRTIO_PCI_COMMON_STATUS, 1) != status) {
        die("the device refuses its own features");
    }
    d->event_idx = d->features & FEATURE(VIRTIO_RING_F_EVENT_IDX);
    d->indirect = d->features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
    d->mergeable = d->features & FEATURE(VIRTIO_NET_F_MRG_RXBUF);
}

static void ring_place(VirtDevice *d, Vring *r)
{
    uint64_t desc = guest_alloc(d, 16 * r->size, 4096);
    uint64_t avail = guest_alloc(d, 6 + 2 * r->size, 4096);
    uint64_t used = guest_alloc(d, 6 + 8 * r->size, 4096);

    r->desc = guest_ptr(d, desc);
    r->avail = guest_ptr(d, avail);
    r->used = guest_ptr(d, used);
    r->used_event = &r->avail->ring[r->size];
    r->avail_event = (uint16_t *)&r->used->ring[r->size];
    common_write64(d, VIRTIO_PCI_COMMON_Q_DESCLO, desc);
    common_write64(d, VIRTIO_PCI_COMMON_Q_AVAILLO, avail);
    common_write64(d, VIRTIO_PCI_COMMON_Q_USEDLO, used);
}

/* @irq_words: guest address of the words that MSI-X writes, 0: no interrupts */
static void ring_setup(VirtDevice *d, int index, int size, uint64_t irq_words)
{
    Vring *r = &d->ring[index];
    int vector = irq_words ? index + 1 : VIRTIO_MSI_NO_VECTOR, most, offset;

    common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
    most = common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2);
    if (!most) {
        die("the device has no queue %d", index);
    }
    *r = (Vring){ .index = index, .doorbell = -1 };
    r->size = size && size < most ? size : most;
    r->busy = alloc(r->size, 1);
    common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, r->size);
    ring_place(d, r);
    if (irq_words) {
        r->irq_word = guest_ptr(d, irq_words + 64 * vector);
    }
    common_write(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
    if (common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2) != vector) {
        die("the device refuses MSI-X vector %d", vector);
    }
    offset = common_read(d, VIRTIO_PCI_COMMON_Q_NOFF, 2);
    r->notify = d->notify + (uint64_t)offset * d->notify_multiplier;
    vring_irq_off(d, r);
    common_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void rings_setup(VirtDevice *d, const VirtSetup *s)
{
    uint64_t words = 0;

    if (s->irq) {
        words = guest_alloc(d, IRQ_WORDS, 4096);
        vdev_enable_msix(d, words, 2 * s->pairs + 1);
    }
    for (int i = 0; i < s->pairs; i++) {
        ring_setup(d, 2 * i, s->rx_size, words);
        ring_setup(d, 2 * i + 1, s->tx_size, words);
    }
    d->ring_count = 2 * s->pairs;
    if (d->features & FEATURE(VIRTIO_NET_F_CTRL_VQ)) {
        if (d->max_pairs != s->pairs) {
            die("the device has %d queue pairs, not %d", d->max_pairs,
                s->pairs);
        }
        ring_setup(d, d->ring_count, CTRL_SIZE, 0);
        d->ctrl = &d->ring[d->ring_count++];
        d->ctrl->buffers = guest_alloc(d, 4096, 4096);
    }
}

void vdev_start(VirtDevice *d, const VirtSetup *s)
{
    uint8_t mac[6];

    negotiate(d, s->features);
    for (int i = 0; i < 6; i++) {
        mac[i] = mmio_read(&d->qtest, d->config + i, 1);
    }
    if (memcmp(mac, guest_mac, sizeof(mac)) != 0) {
        die("the device's MAC address is not the one it was given");
    }
    d->max_pairs = 1;
    if (d->features & FEATURE(VIRTIO_NET_F_MQ)) {
        d->max_pairs = mmio_read(
            &d->qtest,
            d->config + offsetof(struct virtio_net_config, max_virtqueue_pairs),
            2);
    }
    d->pairs = s->pairs;
    rings_setup(d, s);
    set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    verbose("features offered %llx, taken %llx; rings of %d and %d",
            (unsigned long long)d->offered, (unsigned long long)d->features,
            d->ring[0].size, d->ring[1].size);
}

/* VIRTIO 1.2, 5.1.6.5: returns the status */
static int ctrl_command(VirtDevice *d, int class, int command, const void *data,
                        int len)
{
    Vring *r = d->ctrl;
    uint8_t *page = guest_ptr(d, r->buffers);
    uint64_t start = now_ns();

    page[0] = class;
    page[1] = command;
    memcpy(page + CTRL_DATA, data, len);
    page[CTRL_STATUS] = UINT8_MAX;
    r->desc[0] = (struct vring_desc){ r->buffers, 2, VRING_DESC_F_NEXT, 1 };
    r->desc[1] = (struct vring_desc){ r->buffers + CTRL_DATA, len,
                                      VRING_DESC_F_NEXT, 2 };
    r->desc[2] = (struct vring_desc){ r->buffers + CTRL_STATUS, 1,
                                      VRING_DESC_F_WRITE, 0 };
    r->avail->ring[r->next_avail++ % r->size] = 0;
    vring_publish_silently(r);
    vring_kick(d, r);
    while (vring_used_idx(r) == r->last_used) {
        if (now_ns() - start > CTRL_TIMEOUT_NS) {
            die("the control queue does not answer");
        }
        sleep_ns(100000);
    }
    r->last_used++;
    vring_irq_off(d, r);
    return page[CTRL_STATUS];
}

void vdev_set_pairs(VirtDevice *d, int pairs)
{
    uint16_t value = pairs;

    if ((d->features & FEATURE(VIRTIO_NET_F_MQ)) &&
        ctrl_command(d, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
                     &value, sizeof(value)) != VIRTIO_NET_OK) {
        die("the device refuses %d queue pairs", pairs);
    }
}

void vdev_free(VirtDevice *d)
{
    for (int i = 0; i < d->ring_count; i++) {
        free(d->ring[i].busy);
        if (d->ring[i].doorbell >= 0) {
            close(d->ring[i].doorbell);
        }
    }
    d->ring_count = 0;
}

/* ---- rings ---- */

void vring_kick(VirtDevice *d, Vring *r)
{
    uint64_t one = 1;

    if (r->doorbell < 0) {
        qtest_post(&d->qtest, "writew 0x%llx 0x%x",
                   (unsigned long long)r->notify, r->index);
        counter_add(&d->kicks_qtest, 1);
        return;
    }
    if (write(r->doorbell, &one, sizeof(one)) != sizeof(one)) {
        die("doorbell of queue %d: %m", r->index);
    }
    counter_add(&d->kicks_eventfd, 1);
}

void vring_publish_silently(Vring *r)
{
    __atomic_store_n(&r->avail->idx, r->next_avail, __ATOMIC_RELEASE);
    r->published = r->next_avail;
}

void vring_publish(VirtDevice *d, Vring *r)
{
    uint16_t old = r->published, event;

    if (r->next_avail == old) {
        return;
    }
    vring_publish_silently(r);
    /* avail->idx before avail_event and flags; the device has the reverse
     * order (VIRTIO 1.2, 2.7.10). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (d->event_idx) {
        event = __atomic_load_n(r->avail_event, __ATOMIC_RELAXED);
        if (vring_need_event(event, r->next_avail, old)) {
            vring_kick(d, r);
        }
    } else if (!(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) &
                 VRING_USED_F_NO_NOTIFY)) {
        vring_kick(d, r);
    }
}

void vring_irq_off(VirtDevice *d, Vring *r)
{
    if (d->event_idx) {
        __atomic_store_n(r->used_event, r->last_used + 0x8000,
                         __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&r->avail->flags, VRING_AVAIL_F_NO_INTERRUPT,
                         __ATOMIC_RELAXED);
    }
}

bool vring_irq_on(VirtDevice *d, Vring *r, uint16_t after)
{
    if (d->event_idx) {
        __atomic_store_n(r->used_event, r->last_used + after, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&r->avail->flags, 0, __ATOMIC_RELAXED);
        after = 0;
    }
    /* used_event before used->idx; the device has the reverse order
     * (VIRTIO 1.2, 2.7.7). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (uint16_t)(vring_used_idx(r) - r->last_used) <= after;
}
