/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands: fds; and all of them. */
#include "util/osdep.h"
#include "accel/vcpu.h"
#include "monitor/hmp-internal.h"
#include "monitor/qmp.h"
#include "qapi/qapi-commands.h"
#include "system/machine-lock.h"
#include "util/fdset.h"

static bool MAIN_THREAD hmp_cpu(const HmpArgs *args, GString *out, Error **errp)
{
    if (!hmp_check_cpu(args->arg[0].number, errp)) {
        return false;
    }
    args->session->cpu = (unsigned)args->arg[0].number;
    return true;
}

/* ---- file descriptors ---- */

static bool MAIN_THREAD hmp_getfd(const HmpArgs *args, GString *out,
                                  Error **errp)
{
    ChardevFrontend *fe = args->session->fe;
    int fd = fe ? chardev_take_fd(fe) : qmp_take_fd();

    if (fd < 0) {
        error_setg(errp, "no file descriptor came with this (SCM_RIGHTS over "
                         "a local socket)");
        return false;
    }
    return fd_name_add(args->arg[0].text, fd, errp);
}

static bool MAIN_THREAD hmp_closefd(const HmpArgs *args, GString *out,
                                    Error **errp)
{
    return fd_name_close(args->arg[0].text, errp);
}

/* ---- the table ---- */

const HmpCommand hmp_commands[] = {
    { "announce_self", NULL, "announce the addresses of NICs to the network",
      hmp_announce_self,
      HMP_PARAMS({ "NIC,...", HMP_WORD, true, .words = hmp_words_nics },
                 { "ID", HMP_WORD, true }) },
    { "calc_dirty_rate", NULL,
      "measure how fast memory is written; -b: all pages, by a bitmap",
      hmp_calc_dirty_rate,
      HMP_PARAMS({ "-r", HMP_FLAG }, { "-b", HMP_FLAG }, { "SECONDS", HMP_INT },
                 { "SAMPLE_PAGES", HMP_INT, true }) },
    { "chardev-add", NULL, "make a character device, as -chardev does",
      hmp_chardev_add,
      HMP_PARAMS({ "BACKEND,id=ID[,OPTION=VALUE...]", HMP_REST,
                   .words = hmp_words_backends }) },
    { "chardev-change", NULL, "give a character device another back-end",
      hmp_chardev_change,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_chardevs },
                 { "BACKEND[,OPTION=VALUE...]", HMP_REST,
                   .words = hmp_words_backends }) },
    { "chardev-remove", NULL, "delete a character device that nobody uses",
      hmp_chardev_remove,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_chardevs }) },
    { "chardev-send-break", NULL, "send a break to a device's front-end",
      hmp_chardev_send_break,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_chardevs }) },
    { "closefd", NULL, "close a file descriptor that getfd named", hmp_closefd,
      HMP_PARAMS({ "NAME", HMP_WORD }) },
    { "cont", "c", "let the machine run on", .qmp = qmp_cont },
    { "cpu", NULL, "choose the CPU of info registers", hmp_cpu,
      HMP_PARAMS({ "INDEX", HMP_INT, .max = MAX_VCPUS - 1,
                   .words = hmp_words_cpus }) },
    { "device_add", NULL, "plug in a device, as -device does", hmp_device_add,
      HMP_PARAMS({ "DRIVER[,id=ID][,PROPERTY=VALUE...]", HMP_REST,
                   .words = hmp_words_drivers }) },
    { "device_del", NULL, "ask the guest to let go of a device", hmp_device_del,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_devices }) },
    { "getfd", NULL, "name the file descriptor that came with this line",
      hmp_getfd, HMP_PARAMS({ "NAME", HMP_WORD }) },
    { "help", "?", "what commands there are, or what one does", hmp_help,
      HMP_PARAMS({ "COMMAND", HMP_WORD, true, .words = hmp_words_commands },
                 { "SUBJECT", HMP_WORD, true, .words = hmp_words_subjects }) },
#ifdef CONFIG_SLIRP
    { "hostfwd_add", NULL, "forward a port of the host into a user netdev",
      hmp_hostfwd_add,
      HMP_PARAMS({ "ID|RULE", HMP_WORD, .words = hmp_words_netdevs },
                 { "RULE", HMP_WORD, true }) },
    { "hostfwd_remove", NULL, "forward a port of the host no more",
      hmp_hostfwd_remove,
      HMP_PARAMS({ "ID|RULE", HMP_WORD, .words = hmp_words_netdevs },
                 { "RULE", HMP_WORD, true }) },
#endif
    { "info", NULL, "show the state of something", .sub = hmp_info_commands },
    { "iothread_set_affinity", NULL, "say on which host CPUs an iothread runs",
      hmp_iothread_set_affinity,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_iothreads },
                 { "CPUS", HMP_WORD }) },
    { "netdev_add", NULL, "make a netdev, as -netdev does", hmp_netdev_add,
      HMP_PARAMS({ "TYPE,id=ID[,OPTION=VALUE...]", HMP_REST,
                   .words = hmp_words_netdev_types }) },
    { "netdev_del", NULL, "delete a netdev, also under a NIC", hmp_netdev_del,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_netdevs }) },
    { "netdev_set_queues", NULL, "change the number of a tap's queues",
      hmp_netdev_set_queues,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_netdevs },
                 { "N", HMP_INT, .max = UINT32_MAX }) },
    { "object_add", NULL, "make an object, as -object does", hmp_object_add,
      HMP_PARAMS({ "TYPE,id=ID[,PROPERTY=VALUE...]", HMP_REST,
                   .words = hmp_words_object_types }) },
    { "object_del", NULL, "delete an object that nobody uses", hmp_object_del,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_objects }) },
    { "qom-get", NULL, "show a property of an object", hmp_qom_get,
      HMP_PARAMS({ "PATH", HMP_WORD, .words = hmp_words_paths },
                 { "PROPERTY", HMP_WORD, .words = hmp_words_properties }) },
    { "qom-list", NULL, "show what an object (/) has: values and objects",
      hmp_qom_list,
      HMP_PARAMS({ "PATH", HMP_WORD, true, .words = hmp_words_paths }) },
    { "qom-set", NULL, "change a property; -j: VALUE is JSON", hmp_qom_set,
      HMP_PARAMS({ "-j", HMP_FLAG },
                 { "PATH", HMP_WORD, .words = hmp_words_paths },
                 { "PROPERTY", HMP_WORD, .words = hmp_words_properties },
                 { "VALUE", HMP_REST }) },
    { "quit", "q", "end the emulator", .qmp = qmp_quit },
    { "ringbuf_read", NULL, "take up to SIZE bytes out of a ringbuf chardev",
      hmp_ringbuf_read,
      HMP_PARAMS({ "DEVICE", HMP_WORD, .words = hmp_words_ringbufs },
                 { "SIZE", HMP_SIZE, .max = MiB }) },
    { "ringbuf_write", NULL, "put the rest of the line into a ringbuf chardev",
      hmp_ringbuf_write,
      HMP_PARAMS({ "DEVICE", HMP_WORD, .words = hmp_words_ringbufs },
                 { "DATA", HMP_REST }) },
    { "set_link", NULL, "put the link of a NIC or netdev up or down",
      hmp_set_link,
      HMP_PARAMS({ "NAME", HMP_WORD, .words = hmp_words_net_clients },
                 { "on|off", HMP_WORD, .words = hmp_words_switch }) },
    { "stop", "s", "stop the machine", .qmp = qmp_stop },
    { "system_powerdown", NULL, "press the power button",
      .qmp = qmp_system_powerdown },
    { "system_reset", NULL, "press the reset button", .qmp = qmp_system_reset },
    { "virtio_net_set_queue_mapping", NULL,
      "move queue pairs to vhost, iothread or iothread:NAME",
      hmp_virtio_net_set_queue_mapping,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_nics },
                 { "PAIR=OWNER[,PAIR=OWNER...]", HMP_WORD }) },
    { "virtio_net_set_rate_limit", NULL,
      "limit what goes to the guest (rx) or comes from it (tx)",
      hmp_virtio_net_set_rate_limit,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_nics },
                 { "rx|tx", HMP_WORD, .words = hmp_words_directions },
                 { "off|bytes-per-second=N[,OPTION=N...]", HMP_REST }) },
    { "virtio_net_set_vhost_affinity", NULL,
      "say on which host CPUs the vhost workers of a NIC run",
      hmp_virtio_net_set_vhost_affinity,
      HMP_PARAMS({ "ID", HMP_WORD, .words = hmp_words_nics },
                 { "CPUS", HMP_WORD }, { "PAIR[,PAIR...]", HMP_WORD, true }) },
    { NULL },
};
