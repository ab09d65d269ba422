/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The answer of query-qmp-schema, of a schema with every construct and of the
 * emulator's own. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/qapi-commands.h"
#include "qapi/qapi-introspect.h"
#include "qapi/qapi-types.h"
#include "qapi/test-qapi-introspect.h"

/* What each entry of the test schema looks like, by its number there. */
static const char *const expected[] = {
    "{'name':'do-nothing','meta-type':'command','arg-type':'0',"
    "'ret-type':'0'}",
    "{'name':'set_it','meta-type':'command','features':['unstable'],"
    "'arg-type':'1','ret-type':'[2]','allow-oob':true}",
    "{'name':'shape-add','meta-type':'command','arg-type':'3',"
    "'ret-type':'0'}",
    "{'name':'hold','meta-type':'command','arg-type':'4','ret-type':'5'}",
    "{'name':'IT_HAPPENED','meta-type':'event','arg-type':'6'}",
    "{'name':'NOTHING_HAPPENED','meta-type':'event','arg-type':'0'}",
    "{'name':'0','meta-type':'object','members':[]}",
    "{'name':'1','meta-type':'object','members':["
    "{'name':'id','type':'str'},{'name':'n','type':'int','default':null}]}",
    "{'name':'2','meta-type':'object','features':['deprecated'],'members':["
    "{'name':'id','type':'str'},{'name':'next','type':'2','default':null},"
    "{'name':'kids','type':'[2]','default':null},"
    "{'name':'nums','type':'[int]','default':null},"
    "{'name':'names','type':'[str]','default':null},"
    "{'name':'colours','type':'[7]','default':null},"
    "{'name':'unix','type':'bool','default':null,'features':['unstable']}]}",
    "{'name':'[2]','meta-type':'array','element-type':'2'}",
    "{'name':'3','meta-type':'object','members':["
    "{'name':'colour','type':'7'},"
    "{'name':'note','type':'str','default':null}],'tag':'colour',"
    "'variants':[{'case':'red','type':'8'},{'case':'infra-red','type':'0'},"
    "{'case':'green','type':'10'}]}",
    "{'name':'4','meta-type':'object','members':["
    "{'name':'v','type':'11'},{'name':'w','type':'12','default':null},"
    "{'name':'vs','type':'[11]','default':null}]}",
    "{'name':'5','meta-type':'enum','members':[{'name':'none'},"
    "{'name':'qnull'},{'name':'qnum'},{'name':'qstring'},{'name':'qdict'},"
    "{'name':'qlist'},{'name':'qbool'}],'values':['none','qnull','qnum',"
    "'qstring','qdict','qlist','qbool']}",
    "{'name':'6','meta-type':'object','members':["
    "{'name':'what','type':'str'}]}",
    "{'name':'str','meta-type':'builtin','json-type':'string'}",
    "{'name':'int','meta-type':'builtin','json-type':'int'}",
    "{'name':'[int]','meta-type':'array','element-type':'int'}",
    "{'name':'[str]','meta-type':'array','element-type':'str'}",
    "{'name':'7','meta-type':'enum','members':[{'name':'red'},"
    "{'name':'infra-red','features':['unstable']},{'name':'green'}],"
    "'values':['red','infra-red','green']}",
    "{'name':'[7]','meta-type':'array','element-type':'7'}",
    "{'name':'bool','meta-type':'builtin','json-type':'boolean'}",
    "{'name':'8','meta-type':'object','members':["
    "{'name':'b','type':'bool','default':null},"
    "{'name':'i','type':'int','default':null},"
    "{'name':'n','type':'number','default':null},"
    "{'name':'s','type':'str','default':null},"
    "{'name':'i8','type':'int','default':null},"
    "{'name':'i16','type':'int','default':null},"
    "{'name':'i32','type':'int','default':null},"
    "{'name':'i64','type':'int','default':null},"
    "{'name':'u8','type':'int','default':null},"
    "{'name':'u16','type':'int','default':null},"
    "{'name':'u32','type':'int','default':null},"
    "{'name':'u64','type':'int','default':null},"
    "{'name':'sz','type':'int','default':null},"
    "{'name':'e','type':'7','default':null},"
    "{'name':'x','type':'any','default':null},"
    "{'name':'z','type':'null','default':null}]}",
    "{'name':'9','meta-type':'object','members':["
    "{'name':'id','type':'str'}]}",
    "{'name':'10','meta-type':'object','members':["
    "{'name':'level','type':'13'}],'tag':'level','variants':["
    "{'case':'low','type':'14'},{'case':'2nd','type':'9'}]}",
    "{'name':'11','meta-type':'alternate','members':[{'type':'str'},"
    "{'type':'int'},{'type':'bool'},{'type':'9'},{'type':'[int]'},"
    "{'type':'null'}]}",
    "{'name':'12','meta-type':'alternate','members':[{'type':'7'},"
    "{'type':'bool'}]}",
    "{'name':'[11]','meta-type':'array','element-type':'11'}",
    "{'name':'number','meta-type':'builtin','json-type':'number'}",
    "{'name':'any','meta-type':'builtin','json-type':'value'}",
    "{'name':'null','meta-type':'builtin','json-type':'null'}",
    "{'name':'13','meta-type':'enum','members':[{'name':'low'},"
    "{'name':'2nd'}],'values':['low','2nd']}",
    "{'name':'14','meta-type':'object','members':[]}",
};

static void test_entries(void)
{
    json_object *schema = qapi_schema_to_json(test_qapi_schema);

    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(expected[i]), "'", '"');
        json_object *want = json_tokener_parse(text);
        json_object *got = json_object_array_get_idx(schema, i);

        if (!json_object_equal(want, got)) {
            g_test_fail_printf("entry %u is %s, expected %s", i,
                               json_object_to_json_string(got), text);
        }
        json_object_put(want);
    }
    g_assert_cmpuint(json_object_array_length(schema), ==,
                     ARRAY_SIZE(expected));
    json_object_put(schema);
}

static void check_reference(GHashTable *types, const char *name)
{
    if (!g_hash_table_contains(types, name)) {
        g_test_fail_printf("nothing explains the type '%s'", name);
    }
}

static void check_object(GHashTable *types, const SchemaInfoObject *object)
{
    for (size_t i = 0; i < object->members.n; i++) {
        check_reference(types, object->members.v[i].type);
    }
    g_assert_true(!object->tag == !object->has_variants);
    for (size_t i = 0; i < object->variants.n; i++) {
        check_reference(types, object->variants.v[i].type);
    }
}

static void check_references(GHashTable *types, const SchemaInfo *info)
{
    switch (info->meta_type) {
    case SCHEMA_META_TYPE_ARRAY:
        check_reference(types, info->u.array.element_type);
        break;
    case SCHEMA_META_TYPE_OBJECT:
        check_object(types, &info->u.object);
        break;
    case SCHEMA_META_TYPE_ALTERNATE:
        for (size_t i = 0; i < info->u.alternate.members.n; i++) {
            check_reference(types, info->u.alternate.members.v[i].type);
        }
        break;
    case SCHEMA_META_TYPE_COMMAND:
        check_reference(types, info->u.command.arg_type);
        check_reference(types, info->u.command.ret_type);
        break;
    case SCHEMA_META_TYPE_EVENT:
        check_reference(types, info->u.event.arg_type);
        break;
    default:
        break;
    }
}

/* The emulator's own schema, read by the types in it that describe it. */
static void test_own(void)
{
    json_object *json = qapi_schema_to_json(qapi_schema);
    g_autoptr(GHashTable) types = g_hash_table_new(g_str_hash, g_str_equal);
    SchemaInfoList list;
    Error *err = NULL;
    bool asked = false;

    qapi_from_json(&qapi_type_SchemaInfoList, json, &list, &err);
    g_assert_no_error(err);
    for (size_t i = 0; i < list.n; i++) {
        bool call = list.v[i].meta_type == SCHEMA_META_TYPE_COMMAND ||
                    list.v[i].meta_type == SCHEMA_META_TYPE_EVENT;

        asked |= call && strcmp(list.v[i].name, "query-qmp-schema") == 0;
        g_assert_true(call || g_hash_table_add(types, list.v[i].name));
    }
    for (size_t i = 0; i < list.n; i++) {
        check_references(types, &list.v[i]);
    }
    g_assert_true(asked);
    qapi_free_contents(&qapi_type_SchemaInfoList, &list);
    json_object_put(json);
}

static void test_command(void)
{
    json_object *args = json_object_new_object(), *ret = NULL;
    Error *err = NULL;

    g_assert_true(qmp_query_qmp_schema(args, &ret, &err));
    g_assert_no_error(err);
    g_assert_cmpuint(json_object_array_length(ret), >, 20);
    json_object_put(ret);

    ret = NULL;
    json_object_object_add(args, "x\n", json_object_new_int(1));
    g_assert_false(qmp_query_qmp_schema(args, &ret, &err));
    g_assert_null(ret);
    g_assert_cmpstr(err->message, ==, "Invalid parameter 'x\\x0a'");
    g_error_free(err);
    json_object_put(args);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/introspect/entries", test_entries);
    g_test_add_func("/qapi/introspect/own-schema", test_own);
    g_test_add_func("/qapi/introspect/command", test_command);
    return g_test_run();
}
