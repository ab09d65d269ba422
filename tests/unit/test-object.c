/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types, properties, the tree of names, and objects the user makes. */
#include "util/osdep.h"
#include "qom/object.h"

/* ---- types under test ---- */

typedef struct Animal {
    Object obj;
    bool tame;
    uint64_t bits;
    uint8_t legs;
    uint16_t age;
    int32_t mood;
    uint64_t weight;
    char *name;
    uint8_t mac[6];
    OnOffAuto noisy;
    bool late;
    char *trail; /* order of instance_init */
} Animal;

typedef struct AnimalClass {
    ObjectClass parent;
    int rank;
} AnimalClass;

static unsigned finalized;
static bool refuse_complete, refuse_delete;

static void add_trail(Animal *a, const char *what)
{
    char *old = a->trail;

    a->trail = g_strconcat(old ? old : "", what, NULL);
    g_free(old);
}

static void animal_init(Object *obj)
{
    add_trail((Animal *)obj, "animal ");
}

static void dog_init(Object *obj)
{
    add_trail((Animal *)obj, "dog");
}

static void animal_finalize(Object *obj)
{
    g_free(((Animal *)obj)->trail);
    finalized++;
}

static bool animal_complete(Object *obj, Error **errp)
{
    g_assert_cmpstr(obj->name, ==, "rex");
    if (refuse_complete) {
        error_setg(errp, "not today");
    }
    return !refuse_complete;
}

static bool animal_can_delete(Object *obj, Error **errp)
{
    if (refuse_delete) {
        error_setg(errp, "in use");
    }
    return !refuse_delete;
}

static void animal_class_init(ObjectClass *klass)
{
    OBJECT_CLASS_CAST(AnimalClass, klass)->rank = 1;
    klass->complete = animal_complete;
    klass->can_delete = animal_can_delete;
}

static void dog_class_init(ObjectClass *klass)
{
    AnimalClass *ac = OBJECT_CLASS_CAST(AnimalClass, klass);

    g_assert_cmpint(ac->rank, ==, 1);
    ac->rank = 2;
}

static const Property animal_props[] = {
    PROP_BOOL("tame", Animal, tame, true, "does not bite"),
    PROP_BIT64("b3", Animal, bits, 3, true, "bit three"),
    PROP_BIT64("b5", Animal, bits, 5, false, "bit five"),
    PROP_UINT8("legs", Animal, legs, 4, "legs"),
    PROP_UINT16("age", Animal, age, 7, "years"),
    PROP_INT32("mood", Animal, mood, -1, "mood"),
    PROP_SIZE("weight", Animal, weight, 1024, "bytes"),
    PROP_STRING("name", Animal, name, "name"),
    PROP_MACADDR("mac", Animal, mac, "address"),
    PROP_ON_OFF_AUTO("noisy", Animal, noisy, ON_OFF_AUTO_AUTO, "noise"),
    { .name = "late",
      .info = &prop_info_bool,
      .offset = offsetof(Animal, late),
      .live = true },
    PROP_END,
};

static const Property dog_props[] = {
    PROP_UINT16("age", Animal, age, 3, "dog years"),
    PROP_END,
};

static const char *const user_creatable[] = { "user-creatable", NULL };

static const TypeInfo test_types[] = {
    {
        .name = "animal",
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(Animal),
        .class_size = sizeof(AnimalClass),
        .class_init = animal_class_init,
        .instance_init = animal_init,
        .instance_finalize = animal_finalize,
        .properties = animal_props,
        .interfaces = user_creatable,
    },
    {
        .name = "dog",
        .parent = "animal",
        .class_init = dog_class_init,
        .instance_init = dog_init,
        .properties = dog_props,
        .alias = "hound",
    },
};
DEFINE_TYPES(test_types)

static Animal *new_dog(void)
{
    return (Animal *)object_new("dog");
}

/* ---- types and objects ---- */

static void test_types_and_classes(void)
{
    ObjectClass *dog = object_class_by_name("dog");
    ObjectClass *animal = object_class_by_name("animal");

    g_assert_nonnull(dog);
    g_assert_true(object_class_by_name("hound") == dog);
    g_assert_null(object_class_by_name("cat"));
    g_assert_true(dog->parent == animal);
    g_assert_true(object_class_is(dog, "animal"));
    g_assert_true(object_class_is(dog, "object"));
    g_assert_true(object_class_is(dog, "user-creatable"));
    g_assert_false(object_class_is(animal, "dog"));
    g_assert_true(object_class_is_abstract(animal));
    g_assert_false(object_class_is_abstract(dog));
    g_assert_cmpint(OBJECT_CLASS_CAST(AnimalClass, dog)->rank, ==, 2);
    g_assert_cmpint(OBJECT_CLASS_CAST(AnimalClass, animal)->rank, ==, 1);
}

static void count_class(ObjectClass *klass, void *opaque)
{
    GString *names = opaque;

    g_string_append_printf(names, "%s ", object_class_name(klass));
}

static void test_class_foreach(void)
{
    g_autoptr(GString) names = g_string_new(NULL);

    object_class_foreach("animal", true, count_class, names);
    g_assert_cmpstr(names->str, ==, "animal dog ");
    g_string_truncate(names, 0);
    object_class_foreach("animal", false, count_class, names);
    g_assert_cmpstr(names->str, ==, "dog ");
}

static void test_defaults_and_life(void)
{
    Animal *dog = new_dog();

    g_assert_cmpstr(dog->trail, ==, "animal dog");
    g_assert_true(dog->tame);
    g_assert_cmpuint(dog->bits, ==, 1 << 3);
    g_assert_cmpuint(dog->legs, ==, 4);
    g_assert_cmpuint(dog->age, ==, 3); /* the subclass has the last word */
    g_assert_cmpint(dog->mood, ==, -1);
    g_assert_cmpuint(dog->weight, ==, 1024);
    g_assert_null(dog->name);
    g_assert_cmpint(dog->noisy, ==, ON_OFF_AUTO_AUTO);

    finalized = 0;
    object_ref(OBJECT(dog));
    object_unref(OBJECT(dog));
    g_assert_cmpuint(finalized, ==, 0);
    object_unref(OBJECT(dog));
    g_assert_cmpuint(finalized, ==, 1);
}

/* ---- properties ---- */

typedef struct SetCase {
    const char *name, *json; /* the value as JSON */
    const char *shown;       /* what reading gives; NULL: refused */
    const char *error;
} SetCase;

static const SetCase set_cases[] = {
    { "tame", "false", "false", NULL },
    { "tame", "\"on\"", "true", NULL },
    { "tame", "\"n\"", "false", NULL },
    { "tame", "\"maybe\"", NULL,
      "Parameter 'tame' expects 'on' or 'off', not 'maybe'" },
    { "tame", "1", NULL,
      "Invalid parameter type for 'tame', expected: boolean" },
    { "tame", "null", NULL,
      "Invalid parameter type for 'tame', expected: boolean" },
    { "b5", "true", "true", NULL },
    { "b3", "\"off\"", "false", NULL },
    { "legs", "255", "255", NULL },
    { "legs", "256", NULL,
      "Parameter 'legs' expects an integer between 0 and 255, not '256'" },
    { "legs", "-1", NULL,
      "Parameter 'legs' expects an integer between 0 and 255, not '-1'" },
    { "legs", "\"0x10\"", "16", NULL },
    { "legs", "\"\"", NULL,
      "Parameter 'legs' expects an integer between 0 and 255, not ''" },
    { "legs", "1.5", NULL,
      "Invalid parameter type for 'legs', expected: integer" },
    { "legs", "[]", NULL,
      "Invalid parameter type for 'legs', expected: integer" },
    { "mood", "-2147483648", "-2147483648", NULL },
    { "mood", "\"-7\"", "-7", NULL },
    { "mood", "2147483648", NULL,
      "Parameter 'mood' expects an integer between -2147483648 and "
      "2147483647, not '2147483648'" },
    { "weight", "\"1.5k\"", "1536", NULL },
    { "weight", "18446744073709551615", "18446744073709551615", NULL },
    { "name", "\"Rex\"", "\"Rex\"", NULL },
    { "name", "\"\"", "\"\"", NULL },
    { "name", "3", NULL,
      "Invalid parameter type for 'name', expected: string" },
    { "mac", "\"52:54:00:Ab:cd:ef\"", "\"52:54:00:ab:cd:ef\"", NULL },
    { "mac", "\"52-54-00-12-34-56\"", "\"52:54:00:12:34:56\"", NULL },
    { "mac", "\"52:54:00:12:34\"", NULL,
      "Parameter 'mac' expects a MAC address like 52:54:00:12:34:56, not "
      "'52:54:00:12:34'" },
    { "mac", "\"52:54:00-12:34:56\"", NULL,
      "Parameter 'mac' expects a MAC address like 52:54:00:12:34:56, not "
      "'52:54:00-12:34:56'" },
    { "mac", "\"52:54:00:12:34:5g\"", NULL,
      "Parameter 'mac' expects a MAC address like 52:54:00:12:34:56, not "
      "'52:54:00:12:34:5g'" },
    { "noisy", "\"on\"", "\"on\"", NULL },
    { "noisy", "false", "\"off\"", NULL },
    { "noisy", "\"loud\"", NULL,
      "Parameter 'noisy' does not accept value 'loud': one of auto, on, off" },
    { "wings", "2", NULL, "Property 'dog.wings' not found" },
};

static void test_set_and_get(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(set_cases); i++) {
        const SetCase *c = &set_cases[i];
        Animal *dog = new_dog();
        json_object *value = json_tokener_parse(c->json);
        Error *err = NULL;
        bool ok = object_property_set(OBJECT(dog), c->name, value, &err);

        json_object_put(value);
        if (c->shown) {
            g_assert_no_error(err);
            g_assert_true(ok);
            value = object_property_get(OBJECT(dog), c->name, &err);
            g_assert_no_error(err);
            g_assert_cmpstr(json_object_to_json_string(value), ==, c->shown);
            json_object_put(value);
        } else {
            g_assert_false(ok);
            g_assert_cmpstr(err->message, ==, c->error);
            g_error_free(err);
        }
        object_unref(OBJECT(dog));
    }
}

static void test_after_realize(void)
{
    Animal *dog = new_dog();
    Error *err = NULL;

    OBJECT(dog)->realized = true;
    g_assert_true(object_property_parse(OBJECT(dog), "late", "on", &err));
    g_assert_true(dog->late);
    g_assert_false(object_property_parse(OBJECT(dog), "legs", "2", &err));
    g_assert_cmpstr(err->message, ==,
                    "Property 'dog.legs' cannot change any more: the object "
                    "is in use");
    g_assert_cmpuint(dog->legs, ==, 4);
    g_error_free(err);
    object_unref(OBJECT(dog));
}

static void test_many_properties(void)
{
    static const char *const skip[] = { "id", NULL };
    json_object *opts =
        json_tokener_parse("{\"id\":1,\"legs\":\"3\",\"bark\":1,\"age\":9}");
    Animal *dog = new_dog();
    Error *err = NULL;

    g_assert_false(object_properties_set(OBJECT(dog), opts, skip, &err));
    g_assert_cmpstr(err->message, ==, "Property 'dog.bark' not found");
    g_assert_cmpuint(dog->legs, ==, 3);
    g_assert_cmpuint(dog->age, ==, 3); /* after the error: not reached */
    g_error_free(err);
    json_object_put(opts);
    object_unref(OBJECT(dog));
}

static void list_property(const Property *prop, void *opaque)
{
    GString *names = opaque;

    g_string_append_printf(names, "%s=%" PRId64 " ", prop->name, prop->defval);
}

static void test_property_list(void)
{
    g_autoptr(GString) names = g_string_new(NULL);

    object_class_property_foreach(object_class_by_name("dog"), list_property,
                                  names);
    g_assert_cmpstr(names->str, ==,
                    "age=3 tame=1 b3=1 b5=0 legs=4 mood=-1 weight=1024 name=0 "
                    "mac=0 noisy=0 late=0 ");
}

/* ---- the tree ---- */

static void test_tree(void)
{
    Object *farm = object_container("/farm/yard");
    Object *dog = OBJECT(new_dog());
    Error *err = NULL;
    g_autofree char *path = NULL;

    g_assert_null(object_path(dog));
    g_assert_true(object_add_child(farm, "rex", dog, &err));
    path = object_path(dog);
    g_assert_cmpstr(path, ==, "/farm/yard/rex");
    g_assert_true(object_resolve("/farm/yard/rex") == dog);
    g_assert_true(object_resolve("rex") == dog);
    g_assert_true(object_resolve("yard/rex") == dog);
    g_assert_null(object_resolve("/farm/rex"));
    g_assert_null(object_resolve("farm/rex"));
    g_assert_true(object_container("/farm/yard") == farm);

    g_assert_false(object_add_child(object_root(), "dog2", dog, &err));
    g_clear_error(&err);
    object_unref(dog);

    dog = OBJECT(new_dog());
    g_assert_false(object_add_child(farm, "rex", dog, &err));
    g_assert_cmpstr(err->message, ==,
                    "there is an object 'rex' in '/farm/yard' already");
    g_clear_error(&err);
    g_assert_true(
        object_add_child(object_container("/farm"), "rex", dog, &err));
    g_assert_null(object_resolve("rex")); /* two of them: ambiguous */
    object_unref(dog);

    finalized = 0;
    object_unparent(object_container("/farm"));
    g_assert_cmpuint(finalized, ==, 2);
    g_assert_null(object_resolve("/farm"));
}

static void link_to_friend(Object *obj, ObjectLinkFunc *func, void *opaque)
{
    func("friend", "animal", object_child(object_container("/farm"), "tom"),
         opaque);
}

static void expect_value(Object *obj, const char *name, const char *text)
{
    json_object *value = object_property_get(obj, name, NULL);

    g_assert_cmpstr(json_object_get_string(value), ==, text);
    json_object_put(value);
}

static void expect_error(bool ok, Error **err, ErrorClass cls, const char *text)
{
    g_assert_false(ok);
    g_assert_cmpstr((*err)->message, ==, text);
    g_assert_cmpint(error_get_class(*err), ==, cls);
    g_clear_error(err);
}

/* A path round and round in @rex, of @n names behind it. */
static char *path_of(unsigned n)
{
    GString *path = g_string_new("/farm/rex");

    for (unsigned i = 0; i < n; i++) {
        g_string_append(path, "/friend");
    }
    return g_string_free(path, FALSE);
}

static void expect_path_limit(const Object *friend)
{
    g_autofree char *longest = path_of(254), *longer = path_of(255);
    g_autofree char *slashes = g_strnfill(1000, '/');

    g_assert_true(object_resolve(longest) == friend);
    g_assert_null(object_resolve(longer));
    g_assert_null(object_resolve(slashes));
}

/* Children and links are properties to those who read. */
static void test_links(void)
{
    Object *farm = object_container("/farm");
    Object *rex = OBJECT(new_dog()), *tom = OBJECT(new_dog());
    Object *target;
    json_object *value = json_object_new_string("/");
    Error *err = NULL;

    rex->klass->links = link_to_friend;
    g_assert_true(object_add_child(farm, "rex", rex, &err));
    g_assert_true(object_link(rex, "friend", &target));
    g_assert_null(target);
    expect_value(rex, "friend", "");
    g_assert_null(object_resolve("/farm/rex/friend"));

    g_assert_true(object_add_child(farm, "tom", tom, &err));
    expect_value(rex, "friend", "/farm/tom");
    expect_value(farm, "tom", "/farm/tom");
    expect_value(farm, "type", "container");
    expect_value(rex, "type", "dog");
    g_assert_true(object_resolve("/farm/rex/friend/friend") == tom);
    g_assert_true(object_resolve("rex/friend") == tom);
    expect_path_limit(tom);
    g_assert_false(object_link(rex, "foe", &target));
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = { "friend", "type", "nobody" };
        static const char *const texts[] = { "Property 'dog.friend' is "
                                             "read-only",
                                             "Property 'dog.type' is read-only",
                                             "Property 'dog.nobody' not "
                                             "found" };

        expect_error(object_property_set(rex, names[i], value, &err), &err,
                     ERROR_CLASS_GENERIC_ERROR, texts[i]);
    }
    json_object_put(value);
    rex->klass->links = NULL;
    object_unref(rex);
    object_unref(tom);
    object_unparent(farm);
}

static void test_lookup_errors(void)
{
    Object *one = object_container("/farm/one/pen");
    Error *err = NULL;

    object_container("/farm/two/pen");
    g_assert_true(object_lookup("one/pen", &err) == one);
    g_assert_true(object_lookup("/", &err) == object_root());
    expect_error(object_lookup("pen", &err), &err, ERROR_CLASS_GENERIC_ERROR,
                 "Path 'pen' is ambiguous");
    expect_error(object_lookup("/pen", &err), &err,
                 ERROR_CLASS_DEVICE_NOT_FOUND, "Device '/pen' not found");
    expect_error(object_lookup("", &err), &err, ERROR_CLASS_DEVICE_NOT_FOUND,
                 "Device '' not found");
    expect_error(object_lookup("a\nb", &err), &err,
                 ERROR_CLASS_DEVICE_NOT_FOUND, "Device 'a\\x0ab' not found");
    object_unparent(object_container("/farm"));
}

/* ---- -object ---- */

typedef struct UserCase {
    const char *json, *error;
} UserCase;

static const UserCase user_cases[] = {
    { "{\"id\":\"rex\"}", "Parameter 'qom-type' is missing" },
    { "{\"qom-type\":\"dog\"}", "Parameter 'id' is missing" },
    { "{\"qom-type\":3,\"id\":\"rex\"}",
      "Invalid parameter type for 'qom-type', expected: string" },
    { "{\"qom-type\":\"cat\",\"id\":\"rex\"}",
      "Parameter 'qom-type' does not accept value 'cat' (-object help lists "
      "the types)" },
    { "{\"qom-type\":\"animal\",\"id\":\"rex\"}",
      "Parameter 'qom-type' does not accept value 'animal' (-object help "
      "lists the types)" },
    { "{\"qom-type\":\"container\",\"id\":\"rex\"}",
      "Parameter 'qom-type' does not accept value 'container' (-object help "
      "lists the types)" },
    { "{\"qom-type\":\"dog\",\"id\":\"1rex\"}",
      "Parameter 'id' expects an identifier, a letter and then letters, "
      "digits, '-', '.', '_', not '1rex'" },
    { "{\"qom-type\":\"dog\",\"id\":\"rex\",\"legs\":999}",
      "Parameter 'legs' expects an integer between 0 and 255, not '999'" },
    { "{\"qom-type\":\"dog\",\"id\":\"rex\",\"x\":1}",
      "Property 'dog.x' not found (-object dog,help lists them)" },
};

static Object *make_user(const char *json, Error **errp)
{
    json_object *opts = json_tokener_parse(json);
    Object *obj = user_object_new(opts, errp);

    json_object_put(opts);
    return obj;
}

static void test_user_object_errors(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(user_cases); i++) {
        Error *err = NULL;

        g_assert_null(make_user(user_cases[i].json, &err));
        g_assert_cmpstr(err->message, ==, user_cases[i].error);
        g_error_free(err);
        g_assert_null(object_child(object_container("/objects"), "rex"));
    }
}

static void test_user_object_life(void)
{
    static const char text[] =
        "{\"qom-type\":\"dog\",\"id\":\"rex\",\"legs\":\"3\"}";
    Error *err = NULL;
    Object *obj;

    refuse_complete = true;
    finalized = 0;
    g_assert_null(make_user(text, &err));
    g_assert_cmpstr(err->message, ==, "not today");
    g_clear_error(&err);
    g_assert_cmpuint(finalized, ==, 1);
    refuse_complete = false;

    obj = make_user(text, &err);
    g_assert_no_error(err);
    g_assert_true(obj->realized);
    g_assert_true(user_object_find("rex", "animal") == obj);
    g_assert_null(user_object_find("rex", "container"));
    g_assert_null(make_user(text, &err));
    g_assert_cmpstr(err->message, ==,
                    "Duplicate ID 'rex' for object; give each its own");
    g_clear_error(&err);

    refuse_delete = true;
    g_assert_false(user_object_del("rex", &err));
    g_assert_cmpstr(err->message, ==, "in use");
    g_clear_error(&err);
    refuse_delete = false;
    g_assert_true(user_object_del("rex", &err));
    g_assert_cmpuint(finalized, ==, 2);
    g_assert_false(user_object_del("rex", &err));
    g_assert_cmpstr(err->message, ==, "object 'rex' not found");
    g_clear_error(&err);
}

static void test_ids(void)
{
    g_assert_true(id_wellformed("a"));
    g_assert_true(id_wellformed("net0.x-y_z"));
    g_assert_false(id_wellformed(""));
    g_assert_false(id_wellformed("0a"));
    g_assert_false(id_wellformed("a b"));
    g_assert_false(id_wellformed("a/b"));
    g_assert_false(id_wellformed("a\xc3\xa4"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qom/types", test_types_and_classes);
    g_test_add_func("/qom/foreach", test_class_foreach);
    g_test_add_func("/qom/defaults-and-life", test_defaults_and_life);
    g_test_add_func("/qom/property/set-and-get", test_set_and_get);
    g_test_add_func("/qom/property/after-realize", test_after_realize);
    g_test_add_func("/qom/property/many", test_many_properties);
    g_test_add_func("/qom/property/list", test_property_list);
    g_test_add_func("/qom/tree", test_tree);
    g_test_add_func("/qom/links", test_links);
    g_test_add_func("/qom/lookup-errors", test_lookup_errors);
    g_test_add_func("/qom/user-object/errors", test_user_object_errors);
    g_test_add_func("/qom/user-object/life", test_user_object_life);
    g_test_add_func("/qom/id", test_ids);
    return g_test_run();
}
