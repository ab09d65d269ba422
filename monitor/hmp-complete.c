/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What could stand where the human monitor's cursor is. */
#include "util/osdep.h"
#include "accel/vcpu.h"
#include "chardev/char.h"
#include "hw/core/hotplug.h"
#include "hw/virtio/virtio.h"
#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "qapi/qapi-types.h"
#include "qom/object.h"
#include "system/iothread.h"
#include "system/machine-lock.h"

void hmp_words_add(HmpWords *words, const char *word)
{
    if (g_str_has_prefix(word, words->prefix)) {
        g_ptr_array_add(words->list, g_strdup(word));
    }
}

static void add_table(const HmpCommand *table, HmpWords *words)
{
    for (; table->name; table++) {
        hmp_words_add(words, table->name);
    }
}

void hmp_words_commands(HmpWords *words)
{
    add_table(hmp_commands, words);
}

void hmp_words_subjects(HmpWords *words)
{
    const HmpCommand *cmd =
        words->previous ? hmp_find(hmp_commands, words->previous) : NULL;

    if (cmd && cmd->sub) {
        add_table(cmd->sub, words);
    }
}

static void add_chardev(Chardev *chr, void *opaque)
{
    hmp_words_add(opaque, chardev_label(chr));
}

void hmp_words_chardevs(HmpWords *words)
{
    chardev_foreach(add_chardev, words);
}

static void add_ringbuf(Chardev *chr, void *opaque)
{
    machine_lock_assert();
    if (strcmp(chardev_filename(chr), "ringbuf") == 0) {
        hmp_words_add(opaque, chardev_label(chr));
    }
}

void hmp_words_ringbufs(HmpWords *words)
{
    chardev_foreach(add_ringbuf, words);
}

static void add_nic(NetClientState *nc, void *opaque)
{
    if (nc->info->announce) {
        hmp_words_add(opaque, nc->name);
    }
}

void hmp_words_nics(HmpWords *words)
{
    net_client_foreach(add_nic, words);
}

static void add_iothread(IOThread *iothread, void *opaque)
{
    hmp_words_add(opaque, iothread_id(iothread));
}

void hmp_words_iothreads(HmpWords *words)
{
    iothread_foreach(add_iothread, words);
}

static void add_netdev(NetClientState *nc, void *opaque)
{
    if (nc->info->type != NET_CLIENT_DRIVER_NIC) {
        hmp_words_add(opaque, nc->name);
    }
}

void hmp_words_netdevs(HmpWords *words)
{
    net_client_foreach(add_netdev, words);
}

static void add_net_client(NetClientState *nc, void *opaque)
{
    hmp_words_add(opaque, nc->name);
}

void hmp_words_net_clients(HmpWords *words)
{
    net_client_foreach(add_net_client, words);
}

void hmp_words_netdev_types(HmpWords *words)
{
    for (int i = 0; i < NET_CLIENT_DRIVER__MAX; i++) {
        if (i != NET_CLIENT_DRIVER_NONE && i != NET_CLIENT_DRIVER_NIC) {
            hmp_words_add(words, NetClientDriver_str(i));
        }
    }
    words->open = true;
}

void hmp_words_switch(HmpWords *words)
{
    hmp_words_add(words, "on");
    hmp_words_add(words, "off");
}

void hmp_words_directions(HmpWords *words)
{
    hmp_words_add(words, "rx");
    hmp_words_add(words, "tx");
}

void hmp_words_objects(HmpWords *words)
{
    const GPtrArray *children = object_container("/objects")->children;

    for (guint i = 0; children && i < children->len; i++) {
        const Object *obj = g_ptr_array_index(children, i);

        hmp_words_add(words, obj->name);
    }
}

/* The names of an enum's values, each the begin of a longer text. */
static void add_enum(const QapiType *type, HmpWords *words)
{
    for (uint32_t i = 0; i < type->n_values; i++) {
        hmp_words_add(words, type->values[i].name);
    }
    words->open = true;
}

void hmp_words_object_types(HmpWords *words)
{
    add_enum(&qapi_type_ObjectType, words);
}

/* The names of devices that -device made and that may go. */
void hmp_words_devices(HmpWords *words)
{
    const GPtrArray *children =
        object_container("/machine/peripheral")->children;

    for (guint i = 0; children && i < children->len; i++) {
        const Object *obj = g_ptr_array_index(children, i);

        if (device_hotpluggable(OBJECT_CAST(const DeviceState, obj))) {
            hmp_words_add(words, obj->name);
        }
    }
}

static void add_driver(ObjectClass *klass, void *opaque)
{
    if (DEVICE_CLASS(klass)->user_creatable) {
        hmp_words_add(opaque, object_class_name(klass));
    }
}

void hmp_words_drivers(HmpWords *words)
{
    object_class_foreach(TYPE_DEVICE, false, add_driver, words);
    words->open = true;
}

void hmp_words_backends(HmpWords *words)
{
    add_enum(&qapi_type_ChardevDriver, words);
}

void hmp_words_cpus(HmpWords *words)
{
    for (unsigned i = 0; i < MAX_VCPUS && vcpu_thread_id(i); i++) {
        char number[16];

        snprintf(number, sizeof(number), "%u", i);
        hmp_words_add(words, number);
    }
}

/* ---- QOM ---- */

/* The children of what stands before the last slash. */
void hmp_words_paths(HmpWords *words)
{
    const char *slash = strrchr(words->prefix, '/');
    g_autofree char *dir = NULL;
    Object *parent;

    if (words->prefix[0] != '/') {
        if (!words->prefix[0]) {
            words->open = true;
            hmp_words_add(words, "/");
        }
        return;
    }
    dir = g_strndup(words->prefix, (gsize)MAX(slash - words->prefix, 1));
    parent = object_resolve(dir);
    for (guint i = 0; parent && parent->children && i < parent->children->len;
         i++) {
        const Object *child = g_ptr_array_index(parent->children, i);
        g_autofree char *path =
            g_strdup_printf("%s/%s", strcmp(dir, "/") ? dir : "", child->name);

        words->open |= child->children && child->children->len > 0 &&
                       g_str_has_prefix(path, words->prefix);
        hmp_words_add(words, path);
    }
}

static void add_property(const Property *prop, void *opaque)
{
    hmp_words_add(opaque, prop->name);
}

/* Properties of the object whose path is the argument before. */
void hmp_words_properties(HmpWords *words)
{
    Object *obj = words->previous ? object_resolve(words->previous) : NULL;

    if (obj) {
        object_class_property_foreach(obj->klass, add_property, words);
    }
}

static void MAIN_THREAD add_virtio_below(Object *obj, HmpWords *words)
{
    if (object_is(obj, TYPE_VIRTIO_DEVICE)) {
        g_autofree char *path = object_path(obj);

        if (path) {
            hmp_words_add(words, path);
        }
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        add_virtio_below(g_ptr_array_index(obj->children, i), words);
    }
}

void hmp_words_virtio(HmpWords *words)
{
    add_virtio_below(object_root(), words);
}

/* ---- the place in the line ---- */

/* The parameter that follows @given, the words after the command's name. */
static const HmpParam *param_after(const HmpCommand *cmd, char *const *given,
                                   HmpWords *words)
{
    const HmpParam *param = cmd->params;

    for (; param && param->name && param->kind == HMP_FLAG; param++) {
        if (words->prefix[0] == '-') {
            hmp_words_add(words, param->name);
        }
    }
    for (; *given && param && param->name; given++) {
        if (**given == '-' && cmd->params->kind == HMP_FLAG) {
            continue;
        }
        words->previous = *given;
        param++;
    }
    return param && param->name ? param : NULL;
}

/* The words of @line; blanks between them do not count. */
static char **split_words(const char *line)
{
    char **words = g_strsplit_set(line, " \t", -1);
    guint n = 0;

    for (char **word = words; *word; word++) {
        if (**word) {
            words[n++] = *word;
        } else {
            g_free(*word);
        }
    }
    words[n] = NULL;
    return words;
}

void hmp_complete(const char *before, HmpWords *words)
{
    g_auto(GStrv) given = split_words(before);
    char **next = given;
    const HmpCommand *table = hmp_commands;
    const HmpParam *param;

    while (*next) {
        const HmpCommand *cmd = hmp_find(table, *next++);

        if (!cmd) {
            return;
        }
        if (cmd->sub) {
            table = cmd->sub;
            continue;
        }
        param = param_after(cmd, next, words);
        if (param && param->words) {
            param->words(words);
        }
        return;
    }
    add_table(table, words);
}
