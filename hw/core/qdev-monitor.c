/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices as the user asks for them: -device, device_add, help, -global. */
#include "util/osdep.h"
#include "hw/core/hotplug.h"
#include "qapi/qapi-types.h"
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"
#include "qom/object-info.h"

/* ---- -device, device_add ---- */

/* The string member @name of @opts, or NULL; *errp only when it is there and
 * no string. */
static const char *optional_string(json_object *opts, const char *name,
                                   Error **errp)
{
    json_object *value;

    if (!json_object_object_get_ex(opts, name, &value)) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string)) {
        error_setg(errp, "Invalid parameter type for '%s', expected: string",
                   name);
        return NULL;
    }
    return json_object_get_string(value);
}

static void add_name(ObjectClass *klass, void *opaque)
{
    GString *names = opaque;

    if (DEVICE_CLASS(klass)->user_creatable) {
        g_string_append_printf(names, "%s%s", names->len ? ", " : "",
                               object_class_name(klass));
    }
}

/* The class of device type @driver; the messages say why there is none. */
static ObjectClass *device_class_find(const char *driver, Error **errp)
{
    ObjectClass *klass = object_class_by_name(driver);
    g_autofree char *shown = qapi_quote(driver);

    if (!klass || !object_class_is(klass, TYPE_DEVICE)) {
        g_autoptr(GString) names = g_string_new(NULL);

        object_class_foreach(TYPE_DEVICE, false, add_name, names);
        error_setg(errp, "'%s' is not a valid device model name; there are: %s",
                   shown, names->str);
        return NULL;
    }
    if (object_class_is_abstract(klass)) {
        error_setg(errp,
                   "Parameter 'driver' expects a non-abstract device type, "
                   "not '%s' (-device help lists them)",
                   shown);
        return NULL;
    }
    return klass;
}

static bool check_pluggable(ObjectClass *klass, const char *driver,
                            Error **errp)
{
    if (!DEVICE_CLASS(klass)->user_creatable) {
        g_autofree char *shown = qapi_quote(driver);

        error_setg(errp,
                   "Parameter 'driver' expects a pluggable device type: '%s' "
                   "is part of the machine",
                   shown);
        return false;
    }
    return true;
}

static bool MAIN_THREAD check_device_id(const char *id, Error **errp)
{
    if (!id_check(id, errp)) {
        return false;
    }
    if (device_find(id)) {
        error_setg(errp, "Duplicate ID '%s' for device; give each its own", id);
        return false;
    }
    return true;
}

/* The bus for a device of @klass: @name, or else the first that fits. */
static bool MAIN_THREAD find_device_bus(ObjectClass *klass, const char *name,
                                        BusState **bus, Error **errp)
{
    const char *type = DEVICE_CLASS(klass)->bus_type;
    g_autofree char *shown = name ? qapi_quote(name) : NULL;

    *bus = NULL;
    if (!type) {
        if (name) {
            error_setg(errp, "Device '%s' needs no bus, not '%s'",
                       object_class_name(klass), shown);
        }
        return !name;
    }
    *bus = bus_find(name, type);
    if (!*bus && name) {
        error_setg(errp, "Bus '%s' not found", shown);
        return false;
    }
    if (!*bus) {
        error_setg(errp, "No '%s' bus found for device '%s'", type,
                   object_class_name(klass));
        return false;
    }
    if (!object_is(OBJECT(*bus), type)) {
        error_setg(errp, "Device '%s' can't go on %s bus '%s': it needs %s",
                   object_class_name(klass), object_type_name(OBJECT(*bus)),
                   shown, type);
        return false;
    }
    return true;
}

/* The place of a device the user made. */
static void MAIN_THREAD add_to_tree(DeviceState *dev)
{
    Object *parent = object_container(dev->id ? "/machine/peripheral"
                                              : "/machine/peripheral-anon");
    g_autofree char *name =
        dev->id ? g_strdup(dev->id) : device_free_name(parent);

    object_add_child(parent, name, OBJECT(dev), NULL);
}

/* Makes the device that was checked to be possible. */
static DeviceState *MAIN_THREAD make_device(ObjectClass *klass, BusState *bus,
                                            const char *id, json_object *opts,
                                            Error **errp)
{
    static const char *const skip[] = { "driver", "id", "bus", NULL };
    DeviceState *dev = DEVICE(object_new(object_class_name(klass)));
    bool ok;

    dev->id = g_strdup(id);
    dev->hotplugged = hotplug_begun();
    ok = object_options_set(OBJECT(dev), opts, skip, "device", errp);
    if (ok) {
        add_to_tree(dev);
        ok = device_realize(dev, bus, errp);
        if (!ok) {
            object_unparent(OBJECT(dev));
        }
    }
    object_unref(OBJECT(dev)); /* the tree has it */
    if (ok) {
        device_plugged(dev);
    }
    return ok ? dev : NULL;
}

/* The class that @opts names, of a device that may be added; NULL and *errp. */
static ObjectClass *class_of_options(json_object *opts, Error **errp)
{
    Error *err = NULL;
    const char *driver = optional_string(opts, "driver", &err);
    ObjectClass *klass;

    if (err) {
        error_propagate(errp, err);
        return NULL;
    }
    if (!driver) {
        error_setg(errp, "Parameter 'driver' is missing");
        return NULL;
    }
    klass = device_class_find(driver, errp);
    return klass && check_pluggable(klass, driver, errp) ? klass : NULL;
}

bool device_check_driver(json_object *opts, Error **errp)
{
    return class_of_options(opts, errp) != NULL;
}

DeviceState *device_add(json_object *opts, Error **errp)
{
    Error *err = NULL;
    const char *id = optional_string(opts, "id", &err);
    const char *bus_name = err ? NULL : optional_string(opts, "bus", &err);
    ObjectClass *klass;
    BusState *bus;

    if (err) {
        error_propagate(errp, err);
        return NULL;
    }
    klass = class_of_options(opts, errp);
    if (!klass || (id && !check_device_id(id, errp)) ||
        !find_device_bus(klass, bus_name, &bus, errp) ||
        !device_check_hotplug(klass, bus, errp)) {
        return NULL;
    }
    return make_device(klass, bus, id, opts, errp);
}

DeviceState *device_find(const char *id)
{
    return DEVICE(object_child(object_container("/machine/peripheral"), id));
}

/* ---- help ---- */

typedef struct HelpState {
    const char *category;
    GHashTable *categories; /* of names met */
} HelpState;

static bool shown_in_help(ObjectClass *klass)
{
    return DEVICE_CLASS(klass)->user_creatable;
}

static const char *category_of(ObjectClass *klass)
{
    const char *category = DEVICE_CLASS(klass)->category;

    return category ? category : "Misc";
}

static void collect_category(ObjectClass *klass, void *opaque)
{
    HelpState *state = opaque;

    if (shown_in_help(klass)) {
        g_hash_table_add(state->categories, (void *)category_of(klass));
    }
}

static void print_device(ObjectClass *klass, void *opaque)
{
    HelpState *state = opaque;
    const DeviceClass *dc = DEVICE_CLASS(klass);

    if (!shown_in_help(klass) ||
        strcmp(category_of(klass), state->category) != 0) {
        return;
    }
    printf("name \"%s\"", object_class_name(klass));
    if (dc->bus_type) {
        printf(", bus %s", dc->bus_type);
    }
    if (klass->info->alias) {
        printf(", alias \"%s\"", klass->info->alias);
    }
    if (dc->desc) {
        printf(", desc \"%s\"", dc->desc);
    }
    printf("\n");
}

void device_help(void)
{
    HelpState state = { .categories =
                            g_hash_table_new(g_str_hash, g_str_equal) };
    g_autoptr(GList) names = NULL;

    object_class_foreach(TYPE_DEVICE, false, collect_category, &state);
    names = g_list_sort(g_hash_table_get_keys(state.categories),
                        (GCompareFunc)(void *)strcmp);
    for (GList *l = names; l; l = l->next) {
        state.category = l->data;
        printf("%s%s devices:\n", l == names ? "" : "\n", state.category);
        object_class_foreach(TYPE_DEVICE, false, print_device, &state);
    }
    g_hash_table_destroy(state.categories);
}

bool device_help_properties(const char *driver, Error **errp)
{
    ObjectClass *klass = device_class_find(driver, errp);

    if (klass) {
        object_class_print_options(klass, object_class_name(klass));
    }
    return klass != NULL;
}

/* ---- -global ---- */

/* Of GlobalOptions, in the order given. */
static GPtrArray *globals;

void device_apply_globals(Object *obj)
{
    for (guint i = 0; globals && i < globals->len; i++) {
        const GlobalOptions *g = g_ptr_array_index(globals, i);
        Error *err = NULL;

        if (object_is(obj, g->driver) &&
            !object_property_parse(obj, g->property, g->value, &err)) {
            warn_report("-global %s.%s=%s: %s", g->driver, g->property,
                        g->value, err->message);
            g_error_free(err);
        }
    }
}

/* "driver.property=value" as a GlobalOptions, or NULL and *errp. The value is
 * all that follows, commas too. */
static GlobalOptions *parse_global(const char *text, Error **errp)
{
    const char *equal = strchr(text, '=');
    const char *dot = memchr(text, '.', equal ? (size_t)(equal - text) : 0);
    GlobalOptions *g;

    if (!equal || (!dot && !strchr(text, ','))) {
        error_setg(errp, "expected DRIVER.PROPERTY=VALUE, or "
                         "driver=DRIVER,property=PROPERTY,value=VALUE");
        return NULL;
    }
    if (!dot) {
        return qapi_new_from_options(&qapi_type_GlobalOptions, text, NULL, NULL,
                                     errp);
    }
    g = qapi_new(&qapi_type_GlobalOptions);
    g->driver = g_strndup(text, dot - text);
    g->property = g_strndup(dot + 1, equal - dot - 1);
    g->value = g_strdup(equal + 1);
    return g;
}

static void take_first(ObjectClass *klass, void *opaque)
{
    ObjectClass **first = opaque;

    if (!*first) {
        *first = klass;
    }
}

/* Whether devices of the driver have such a property and it takes the value,
 * tried on one that nobody uses; of an abstract type, on one below it. */
static bool MAIN_THREAD check_global(const GlobalOptions *g, ObjectClass *klass,
                                     Error **errp)
{
    bool abstract = object_class_is_abstract(klass);
    ObjectClass *concrete = abstract ? NULL : klass;
    Object *obj;
    bool ok;

    if (abstract && !object_class_property_find(klass, g->property)) {
        error_setg(errp, "Property '%s.%s' not found", g->driver, g->property);
        return false;
    }
    if (abstract) {
        object_class_foreach(g->driver, false, take_first, &concrete);
    }
    if (!concrete) {
        return true;
    }
    obj = object_new(object_class_name(concrete));
    ok = object_property_parse(obj, g->property, g->value, errp);
    object_unref(obj);
    return ok;
}

bool global_property_add(const char *text, Error **errp)
{
    GlobalOptions *g = parse_global(text, errp);
    ObjectClass *klass = g ? object_class_by_name(g->driver) : NULL;

    if (!g) {
        return false;
    }
    if (!klass || !object_class_is(klass, TYPE_DEVICE)) {
        /* Of a device that other machines have: not worth refusing. */
        warn_report("-global %s: there is no device type '%s'", text,
                    g->driver);
        qapi_free(&qapi_type_GlobalOptions, g);
        return true;
    }
    if (!check_global(g, klass, errp)) {
        qapi_free(&qapi_type_GlobalOptions, g);
        return false;
    }
    g_free(g->driver);
    g->driver = g_strdup(object_class_name(klass)); /* not the alias */
    if (!globals) {
        globals = g_ptr_array_new();
    }
    g_ptr_array_add(globals, g);
    return true;
}
