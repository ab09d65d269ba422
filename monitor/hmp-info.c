/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's `info` subjects: small ones, and the table of all. */
#include "util/osdep.h"
#include "config-host.h"
#include "hw/core/irq.h"
#include "hw/pci/pci.h"
#include "monitor/hmp-info.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/memory.h"
#include "system/vm-info.h"

static bool MAIN_THREAD info_status(const HmpArgs *args, GString *out,
                                    Error **errp)
{
    StatusInfo info;

    if (!qmp_query_status(&info, errp)) {
        return false;
    }
    g_string_append_printf(out, "VM status: %s",
                           info.running ? "running" : "paused");
    if (info.status != RUN_STATE_RUNNING && info.status != RUN_STATE_PAUSED) {
        g_string_append_printf(out, " (%s)", RunState_str(info.status));
    }
    g_string_append_c(out, '\n');
    return true;
}

static bool MAIN_THREAD info_kvm(const HmpArgs *args, GString *out,
                                 Error **errp)
{
    KvmInfo info;

    if (!qmp_query_kvm(&info, errp)) {
        return false;
    }
    g_string_append_printf(out, "kvm support: %s\n",
                           info.enabled   ? "enabled"
                           : info.present ? "disabled"
                                          : "not compiled");
    return true;
}

static bool info_version(const HmpArgs *args, GString *out, Error **errp)
{
    g_string_append(out,
                    QEMU_COMPAT_VERSION " (qemu-mq-" QEMU_MQ_VERSION ")\n");
    return true;
}

static bool info_name(const HmpArgs *args, GString *out, Error **errp)
{
    if (vm_name()) {
        g_string_append_printf(out, "%s\n", vm_name());
    }
    return true;
}

static bool info_uuid(const HmpArgs *args, GString *out, Error **errp)
{
    const uint8_t *u = vm_uuid();

    for (unsigned i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;

        g_string_append_printf(out, "%s%02x", dash ? "-" : "", u[i]);
    }
    g_string_append_c(out, '\n');
    return true;
}

/* ---- the machine's parts ---- */

static bool MAIN_THREAD info_pci(const HmpArgs *args, GString *out,
                                 Error **errp)
{
    pci_info(out);
    return true;
}

static bool MAIN_THREAD info_irq(const HmpArgs *args, GString *out,
                                 Error **errp)
{
    isa_irq_info(out);
    return true;
}

static bool MAIN_THREAD info_iothreads(const HmpArgs *args, GString *out,
                                       Error **errp)
{
    IOThreadInfoList list = { 0 };

    if (!qmp_query_iothreads(&list, errp)) {
        return false;
    }
    for (size_t i = 0; i < list.n; i++) {
        const IOThreadInfo *info = &list.v[i];

        g_string_append_printf(
            out,
            "%s:\n  thread_id=%" PRId64 "\n  poll-max-ns=%" PRId64
            "\n  poll-grow=%" PRId64 "\n  poll-shrink=%" PRId64
            "\n  aio-max-batch=%" PRId64 "\n",
            info->id, info->thread_id, info->poll_max_ns, info->poll_grow,
            info->poll_shrink, info->aio_max_batch);
    }
    qapi_free_contents(&qapi_type_IOThreadInfoList, &list);
    return true;
}

static void list_chardev(Chardev *chr, void *opaque)
{
    machine_lock_assert();
    g_string_append_printf(opaque, "%s: filename=%s\n", chardev_label(chr),
                           chardev_filename(chr));
}

static bool MAIN_THREAD info_chardev(const HmpArgs *args, GString *out,
                                     Error **errp)
{
    chardev_foreach(list_chardev, out);
    return true;
}

static void list_region(const IoRegion *region, void *opaque)
{
    g_string_append_printf(
        opaque, "  %016" PRIx64 "-%016" PRIx64 " (prio %d): %s\n", region->addr,
        region->addr + region->size - 1, region->priority, region->name);
}

static bool MAIN_THREAD info_mtree(const HmpArgs *args, GString *out,
                                   Error **errp)
{
    const RamMap *map = ram_map_get();

    g_string_append(out, "RAM\n");
    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];

        g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64 ": %s\n",
                               r->gpa, r->gpa + r->size - 1,
                               r->readonly ? "rom" : "ram");
    }
    g_string_append(out, "memory\n");
    io_space_foreach(IO_SPACE_MMIO, list_region, out);
    g_string_append(out, "I/O\n");
    io_space_foreach(IO_SPACE_PORT, list_region, out);
    return true;
}

/* ---- memory ---- */

static bool MAIN_THREAD info_memdev(const HmpArgs *args, GString *out,
                                    Error **errp)
{
    MemdevList list = { 0 };

    if (!qmp_query_memdev(&list, errp)) {
        return false;
    }
    for (size_t i = 0; i < list.n; i++) {
        const Memdev *m = &list.v[i];

        g_string_append_printf(
            out,
            "memory backend: %s\n  size: %" PRIu64
            "\n  merge: %s\n  dump: %s\n  prealloc: %s\n  share: %s\n",
            m->id ? m->id : "", m->size, m->merge ? "true" : "false",
            m->dump ? "true" : "false", m->prealloc ? "true" : "false",
            m->share ? "true" : "false");
    }
    qapi_free_contents(&qapi_type_MemdevList, &list);
    return true;
}

static bool MAIN_THREAD info_memory_size(const HmpArgs *args, GString *out,
                                         Error **errp)
{
    MemoryInfo info = { 0 };

    if (!qmp_query_memory_size_summary(&info, errp)) {
        return false;
    }
    g_string_append_printf(out, "base memory: %" PRIu64 "\n", info.base_memory);
    if (info.has_plugged_memory) {
        g_string_append_printf(out, "plugged memory: %" PRIu64 "\n",
                               info.plugged_memory);
    }
    return true;
}

#define VIRTIO_PATH                                 \
    {                                               \
        "PATH", HMP_WORD, .words = hmp_words_virtio \
    }
#define VIRTIO_QUEUE                        \
    {                                       \
        "QUEUE", HMP_INT, .max = UINT16_MAX \
    }

const HmpCommand hmp_info_commands[] = {
    { "chardev", NULL, "character devices", info_chardev },
    { "cpus", NULL, "CPUs and their threads", hmp_info_cpus },
    { "dirty_rate", NULL, "what calc_dirty_rate has measured",
      hmp_info_dirty_rate },
    { "iothreads", NULL, "threads that move packets", info_iothreads },
    { "irq", NULL, "how often ISA interrupts were raised", info_irq },
    { "kvm", NULL, "whether KVM runs the CPUs", info_kvm },
    { "memdev", NULL, "memory backends", info_memdev },
    { "memory_size_summary", NULL, "how much memory the guest has",
      info_memory_size },
    { "mtree", NULL, "guest memory and registers", info_mtree },
    { "name", NULL, "the machine's name", info_name },
    { "network", NULL, "NICs, their netdevs and queue pairs",
      hmp_info_network },
    { "pci", NULL, "PCI devices", info_pci },
    { "qom-tree", NULL, "the tree of objects below PATH (/machine)",
      hmp_info_qom_tree,
      HMP_PARAMS({ "PATH", HMP_WORD, true, .words = hmp_words_paths }) },
    { "qtree", NULL, "buses and devices", hmp_info_qtree },
    { "registers", NULL,
      "registers of the CPU that `cpu` chose, of INDEX, or of all (-a)",
      hmp_info_registers,
      HMP_PARAMS({ "-a", HMP_FLAG },
                 { "INDEX", HMP_INT, true, MAX_VCPUS - 1, hmp_words_cpus }) },
    { "stats", NULL,
      "statistics of the machine, its CPUs or the network's queues",
      hmp_info_stats,
      HMP_PARAMS(
          { "TARGET", HMP_WORD, .words = hmp_words_stats_targets },
          { "NAME,...", HMP_WORD, true },
          { "PROVIDER", HMP_WORD, true, .words = hmp_words_stats_providers }) },
    { "status", NULL, "whether the machine runs", info_status },
#ifdef CONFIG_SLIRP
    { "usernet", NULL, "connections of user netdevs", hmp_info_usernet },
#endif
    { "uuid", NULL, "the machine's UUID", info_uuid },
    { "version", NULL, "the emulator's version", info_version },
    { "virtio", NULL, "virtio devices", hmp_info_virtio },
    { "virtio-queue-element", NULL,
      "the descriptors of a virtqueue's next, or INDEXth, element",
      hmp_info_virtio_queue_element,
      HMP_PARAMS(VIRTIO_PATH, VIRTIO_QUEUE,
                 { "INDEX", HMP_INT, true, .max = UINT16_MAX }) },
    { "virtio-queue-status", NULL, "where a virtqueue stands",
      hmp_info_virtio_queue_status, HMP_PARAMS(VIRTIO_PATH, VIRTIO_QUEUE) },
    { "virtio-status", NULL, "a virtio device's features and status",
      hmp_info_virtio_status, HMP_PARAMS(VIRTIO_PATH) },
    { "virtio-vhost-queue-status", NULL, "what vhost knows of a virtqueue",
      hmp_info_virtio_vhost_queue_status,
      HMP_PARAMS(VIRTIO_PATH, VIRTIO_QUEUE) },
    { NULL },
};
