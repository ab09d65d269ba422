/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev, -nic and -net as far as options alone decide; no tap is opened. */
#include "util/osdep.h"

#include <fcntl.h>

#include "hw/core/qdev.h"
#include "net/clients.h"
#include "system/machine-lock.h"
#include "util/fd.h"

/* ---- a machine that only remembers what it was asked for ---- */

static GPtrArray *devices; /* of JSON text */
static const char *refuse_device;

DeviceState *device_add(json_object *opts, Error **errp)
{
    static DeviceState made;

    if (refuse_device) {
        error_setg(errp, "%s", refuse_device);
        return NULL;
    }
    g_ptr_array_add(devices, g_strdup(json_object_to_json_string_ext(
                                 opts, JSON_C_TO_STRING_PLAIN)));
    return &made;
}

/* ---- -netdev ---- */

typedef struct BadOption {
    const char *text;
    const char *says[3]; /* each is part of the message */
} BadOption;

static const BadOption bad_options[] = {
    /* the front door */
    { "tap", { "'id'", "missing" } },
    { "id=n0", { "'type'", "missing" } },
    { "carrier-pigeon,id=n0", { "'type'", "carrier-pigeon" } },
    { "none,id=n0", { "'type'", "'none'", "expected one of: tap, bridge" } },
    { "nic,id=n0", { "'type'", "'nic'", "expected one of: tap, bridge" } },
    { "tap,id=0n", { "'id'", "identifier", "'0n'" } },
    { "tap,id=", { "'id'", "identifier" } },
    { "tap,id=n0,colour=red", { "colour", "-netdev tap,help" } },
    { "{\"type\":\"bridge\",\"id\":\"n0\",\"x\":1}",
      { "'x'", "-netdev bridge,help" } },
    { "{\"type\":1,\"id\":\"n0\"}", { "'type'", "string" } },
    { "tap,id=n0,queues=four", { "queues" } },
    { "tap,id=n0,queues=-1", { "queues" } },
    { "tap,id=n0,vhost=perhaps", { "vhost" } },
    { "tap,id=n0,sndbuf=much", { "sndbuf" } },
    { "{\"type\":\"tap\",\"id\":\"n0\",\"queues\":\"4\"}", { "queues" } },
    { "{\"type\":\"tap\",\"id\":\"n0\",", { "JSON" } },
    /* queues */
    { "tap,id=n0,queues=0",
      { "netdev 'n0'", "queues", "1 to 256 queues, not 0" } },
    { "tap,id=n0,queues=257", { "queues", "1 to 256", "257" } },
    { "tap,id=n0,queues=3,fds=0:1", { "queues=3", "fds=", "is 2" } },
    { "tap,id=n0,queues=2,fd=0", { "queues=2", "fd=", "is 1" } },
    /* fd= and fds= */
    { "tap,id=n0,fd=0,ifname=t", { "ifname=", "cannot be used with fd=" } },
    { "tap,id=n0,fd=0,script=no", { "script=", "with fd=" } },
    { "tap,id=n0,fd=0,downscript=no", { "downscript=", "with fd=" } },
    { "tap,id=n0,fd=0,helper=/h", { "helper=", "with fd=" } },
    { "tap,id=n0,fd=0,br=b", { "br=", "with fd=" } },
    { "tap,id=n0,fd=0,fds=0:1", { "fds=", "with fd=" } },
    { "tap,id=n0,fd=0,vhostfds=1:2", { "vhostfds=", "with fd=" } },
    { "tap,id=n0,fd=0,vnet_hdr=on", { "vnet_hdr=on", "with fd=" } },
    { "tap,id=n0,fd=0,ifname=t,script=no,helper=/h",
      { "ifname=, script=, helper= cannot be used with fd=" } },
    { "tap,id=n0,fds=0:1,ifname=t", { "ifname=", "with fds=" } },
    { "tap,id=n0,fds=0:1,script=no", { "script=", "with fds=" } },
    { "tap,id=n0,fds=0:1,helper=/h", { "helper=", "with fds=" } },
    { "tap,id=n0,fds=0:1,vhostfd=2", { "vhostfd=", "with fds=" } },
    { "tap,id=n0,fd=9999", { "fd: file descriptor 9999", "not open" } },
    { "tap,id=n0,fd=red", { "fd: ", "named 'red' not found" } },
    { "tap,id=n0,fds=0::1", { "fds: ''", "not a file descriptor" } },
    { "tap,id=n0,fds=", { "fds: ''", "not a file descriptor" } },
    { "tap,id=n0,fds=0:0", { "fds: file descriptors 0 and 0 are the same" } },
    { "tap,id=n0,fd=0", { "fd: file descriptor 0 is not an open tap" } },
    /* helper= and br= */
    { "tap,id=n0,helper=/h,ifname=t", { "ifname=", "with helper=" } },
    { "tap,id=n0,helper=/h,script=no", { "script=", "with helper=" } },
    { "tap,id=n0,helper=/h,downscript=no", { "downscript=", "with helper=" } },
    { "tap,id=n0,helper=/h,vnet_hdr=on", { "vnet_hdr=", "with helper=" } },
    { "tap,id=n0,helper=/no/such", { "helper '/no/such'", "helper=" } },
    { "tap,id=n0,helper=/x \"y", { "helper=/x \"y", "not a command" } },
    { "tap,id=n0,helper=/bin/false", { "helper '/bin/false'", "status 1" } },
    { "tap,id=n0,helper=/bin/true", { "passed 0", "1 queues" } },
    { "tap,id=n0,helper=/bin/sh -c 'echo oh dear >&2; exit 3' x",
      { "status 3: oh dear" } },
    { "tap,id=n0,helper=/bin/sh -c 'kill -9 $$' x", { "signal 9" } },
    { "tap,id=n0,br=br7", { "br=br7 needs helper=" } },
    { "bridge,id=n0,helper=/bin/false", { "helper '/bin/false'", "status 1" } },
    { "bridge,id=n0,queues=2", { "queues" } },
    /* ifname= */
    { "tap,id=n0,ifname=sixteen-chars-xx", { "ifname=sixteen-chars-xx" } },
    { "tap,id=n0,ifname=", { "ifname=", "1 to 15" } },
    /* vhost */
    { "tap,id=n0,vhost=off,vhostfd=0", { "vhostfd=", "vhost=off" } },
    { "tap,id=n0,vhost=off,vhostfds=0:1", { "vhostfds=", "vhost=off" } },
    { "tap,id=n0,vhost=off,vhostforce=on", { "vhostforce=", "vhost=off" } },
    { "tap,id=n0,vhostfd=0,vhostfds=0:1", { "vhostfd=", "vhostfds=" } },
    { "tap,id=n0,queues=2,vhostfd=0", { "vhostfd=", "one queue", "2" } },
    { "tap,id=n0,queues=2,vhostfds=0:1:2", { "vhostfds=", "has 3", "for 2" } },
    { "tap,id=n0,vhost=on,vnet_hdr=off", { "vnet_hdr=off", "vhost=on" } },
};

static unsigned open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void check_bad(const BadOption *bad, const Error *err)
{
    g_assert_nonnull(err);
    g_assert_null(strchr(err->message, '\n'));
    for (unsigned i = 0; i < 3 && bad->says[i]; i++) {
        if (!strstr(err->message, bad->says[i])) {
            g_test_message("%s: '%s' is not in '%s'", bad->text, bad->says[i],
                           err->message);
            g_test_fail();
        }
    }
}

static NO_THREAD_SAFETY void test_bad(void)
{
    unsigned before = open_fds();

    for (size_t i = 0; i < ARRAY_SIZE(bad_options); i++) {
        Error *err = NULL;

        if (netdev_add_text(bad_options[i].text, &err)) {
            g_test_message("%s was taken", bad_options[i].text);
            g_test_fail();
            continue;
        }
        check_bad(&bad_options[i], err);
        g_error_free(err);
        g_assert_null(net_client_find("n0"));
        g_assert_cmpuint(open_fds(), ==, before);
    }
}

/* Two numbers of one open file are as bad as one number twice. */
static NO_THREAD_SAFETY void test_duplicate_file(void)
{
    int a = eventfd_new(NULL), b = dup(a);
    g_autofree char *text = g_strdup_printf("tap,id=n0,fds=%d:%d", a, b);
    Error *err = NULL;

    g_assert_false(netdev_add_text(text, &err));
    g_assert_nonnull(strstr(err->message, "are the same file"));
    g_error_free(err);
    close(a);
    close(b);
}

static NO_THREAD_SAFETY void test_help(void)
{
    if (g_test_subprocess()) {
        netdev_add_text("help", NULL);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*Available netdev backend types:\ntap\n"
                              "bridge\n*");
}

/* ---- registry ---- */

static const NetClientInfo nic_info = { .type = NET_CLIENT_DRIVER_NIC };
static const NetClientInfo tap_like = { .type = NET_CLIENT_DRIVER_TAP };

static unsigned links_changed;

static void link_changed(NetClientState *nc)
{
    links_changed++;
}

static NO_THREAD_SAFETY void test_registry(void)
{
    NetClientState *netdev = g_new0(NetClientState, 1);
    NetClientState other = { 0 }, nic = { 0 }, nic2 = { 0 };
    Error *err = NULL;

    g_assert_true(net_client_register(netdev, &tap_like, "net0", 2, NULL));
    g_assert_cmpint(netdev->queue[1].fd, ==, -1);
    g_assert_cmpint(netdev->queue[1].vhost_fd, ==, -1);
    g_assert_cmpuint(netdev->queue[1].index, ==, 1);
    g_assert_true(netdev->queue[1].enabled);
    g_assert_false(net_client_register(&other, &tap_like, "net0", 1, &err));
    g_assert_cmpstr(err->message, ==,
                    "Duplicate ID 'net0' for netdev; give each its own");
    g_clear_error(&err);

    g_assert_true(net_client_register(&nic, &nic_info, "net0", 0, NULL));
    g_assert_true(net_client_register(&nic2, &nic_info, "net0", 0, NULL));
    g_assert_cmpstr(nic2.name, ==, "net0.1");
    g_assert_true(net_client_find("net0") == netdev);
    g_assert_true(net_client_find("net0.1") == &nic2);
    g_assert_null(net_client_find("net1"));

    nic.link_changed = link_changed;
    net_subqueue_set_enabled(&netdev->queue[1], false, NULL);
    g_assert_true(net_client_connect(&nic, netdev, NULL));
    g_assert_true(netdev->queue[1].enabled);
    g_assert_false(net_client_connect(&nic2, netdev, &err));
    g_assert_nonnull(strstr(err->message, "in use by 'net0'"));
    g_clear_error(&err);
    g_assert_false(netdev_del("net0", &err));
    g_assert_nonnull(strstr(err->message, "in use by 'net0'"));
    g_clear_error(&err);

    net_client_disconnect(netdev);
    g_assert_cmpuint(links_changed, ==, 1);
    g_assert_null(nic.peer);
    g_assert_true(net_client_connect(&nic, netdev, NULL));
    net_client_unregister(&nic);
    g_assert_cmpuint(links_changed, ==, 1);
    net_client_unregister(&nic2);
    g_assert_true(netdev_del("net0", NULL));
    g_assert_false(netdev_del("net0", &err));
    g_assert_cmpint(error_get_class(err), ==, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_clear_error(&err);
}

static NO_THREAD_SAFETY void test_macs(void)
{
    static const uint8_t second[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x57 };
    uint8_t mac[6];

    net_default_mac(mac);
    g_assert_cmpint(mac[5], ==, 0x56);
    net_mac_claim(second);
    net_default_mac(mac);
    g_assert_cmpint(mac[5], ==, 0x56);
    net_mac_claim(mac);
    net_default_mac(mac);
    g_assert_cmpint(mac[5], ==, 0x58);
    net_mac_claim(second);
    net_mac_release(second);
    net_default_mac(mac);
    g_assert_cmpint(mac[5], ==, 0x58); /* one more has it */
    net_mac_release(second);
    net_mac_release(second);
    net_default_mac(mac);
    g_assert_cmpint(mac[5], ==, 0x57);
    net_mac_claim(second);
    for (unsigned i = 0x58; i <= 0xff; i++) {
        net_default_mac(mac);
        net_mac_claim(mac);
    }
    net_default_mac(mac);
    g_assert_cmpint(mac[4], ==, 0x35);
    g_assert_cmpint(mac[5], ==, 0x00);
}

/* ---- -nic and -net ---- */

static const BadOption bad_nics[] = {
    { "none,queues=2", { "none takes no other" } },
    { "nic", { "-nic nic" } },
    { "pigeon", { "'type'", "pigeon" } },
    { "tap,queues=x", { "queues" } },
    { "tap,colour=red", { "colour", "-netdev tap,help" } },
    { "model=virtio", { "'type'", "missing", "tap, bridge" } },
};

static NO_THREAD_SAFETY void test_bad_nics(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_nics); i++) {
        Error *err = NULL;

        g_assert_false(net_nic_option(bad_nics[i].text, &err));
        check_bad(&bad_nics[i], err);
        g_error_free(err);
    }
    g_assert_true(net_create_nics(NULL));
    g_assert_cmpuint(devices->len, ==, 0);
}

/* NICs and netdevs without netdev= meet at hub 0. */
static NO_THREAD_SAFETY void test_legacy(void)
{
    Error *err = NULL;

    g_assert_true(net_legacy_option("none", &err));
    g_assert_true(net_legacy_option(
        "nic,model=virtio,macaddr=52:54:00:00:00:01,vectors=6,addr=5", &err));
    g_assert_true(net_legacy_option("nic", &err));
    g_assert_true(net_legacy_option("nic,netdev=n7,model=e9000", &err));
    g_assert_false(net_legacy_option("hubport,hubid=1", &err));
    g_assert_nonnull(strstr(err->message, "-netdev hubport"));
    g_clear_error(&err);
    g_assert_true(net_create_nics(&err));
    g_assert_cmpuint(devices->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(devices, 0), ==,
                    "{\"driver\":\"virtio-net-pci\","
                    "\"mac\":\"52:54:00:00:00:01\",\"addr\":\"5\","
                    "\"vectors\":6,\"netdev\":\"hub0port0\"}");
    g_assert_cmpstr(g_ptr_array_index(devices, 1), ==,
                    "{\"driver\":\"virtio-net-pci\",\"netdev\":"
                    "\"hub0port1\"}");
    g_assert_cmpstr(g_ptr_array_index(devices, 2), ==,
                    "{\"driver\":\"e9000\",\"netdev\":\"n7\"}");
    g_assert_nonnull(net_client_find("hub0port1"));

    g_assert_true(net_legacy_option("tap,queues=0", &err));
    g_assert_false(net_create_nics(&err));
    g_assert_true(g_str_has_prefix(err->message,
                                   "-net tap,queues=0: netdev 'net-netdev"));
    g_clear_error(&err);

    refuse_device = "no such model";
    g_assert_true(net_legacy_option("nic,model=e9000", &err));
    g_assert_false(net_create_nics(&err));
    g_assert_cmpstr(err->message, ==, "-net nic,model=e9000: no such model");
    g_clear_error(&err);
    refuse_device = NULL;
    g_assert_null(net_client_find("hub0port2"));
    g_assert_true(netdev_del("hub0port0", NULL));
    g_assert_true(netdev_del("hub0port1", NULL));
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    devices = g_ptr_array_new_with_free_func(g_free);
    machine_lock();
    g_test_add_func("/netdev-opts/bad", test_bad);
    g_test_add_func("/netdev-opts/duplicate-file", test_duplicate_file);
    g_test_add_func("/netdev-opts/help", test_help);
    g_test_add_func("/net/registry", test_registry);
    g_test_add_func("/net/default-mac", test_macs);
    g_test_add_func("/nic-opts/bad", test_bad_nics);
    g_test_add_func("/nic-opts/legacy", test_legacy);
    return g_test_run();
}
