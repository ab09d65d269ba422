/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One command: what the client asked for, the handler, the answer. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-visit.h"

/* What a request says; everything is borrowed from it. */
typedef struct Request {
    const char *name; /* of the command */
    bool oob;
    json_object *arguments; /* NULL: none */
} Request;

json_object *qmp_error_answer(Error *err)
{
    json_object *answer = json_object_new_object();
    json_object *error = json_object_new_object();

    json_object_object_add(
        error, "class",
        json_object_new_string(error_class_name(error_get_class(err))));
    json_object_object_add(error, "desc", json_object_new_string(err->message));
    json_object_object_add(answer, "error", error);
    g_error_free(err);
    return answer;
}

/* ---- the request ---- */

/* "execute" or "exec-oob" */
static bool read_name(const char *key, json_object *value, Request *r,
                      Error **errp)
{
    if (r->name) {
        error_setg(errp,
                   "QMP input members 'execute' and 'exec-oob' exclude each "
                   "other");
        return false;
    }
    if (!json_object_is_type(value, json_type_string)) {
        error_setg(errp, "QMP input member '%s' must be a string", key);
        return false;
    }
    r->name = json_object_get_string(value);
    r->oob = strcmp(key, "exec-oob") == 0;
    return true;
}

static bool read_member(const char *key, json_object *value, unsigned flags,
                        Request *r, Error **errp)
{
    if (strcmp(key, "execute") == 0 ||
        ((flags & QMP_OOB_ENABLED) && strcmp(key, "exec-oob") == 0)) {
        return read_name(key, value, r, errp);
    }
    if (strcmp(key, "arguments") == 0) {
        if (!json_object_is_type(value, json_type_object)) {
            error_setg(errp, "QMP input member 'arguments' must be an object");
            return false;
        }
        r->arguments = value;
        return true;
    }
    if (strcmp(key, "id") != 0) {
        g_autofree char *shown = qapi_quote(key);

        error_setg(errp, "QMP input member '%s' is unexpected", shown);
        return false;
    }
    return true;
}

static bool read_request(json_object *json, unsigned flags, Request *r,
                         Error **errp)
{
    if (!json_object_is_type(json, json_type_object)) {
        error_setg(errp, "QMP input must be a JSON object");
        return false;
    }
    json_object_object_foreach(json, key, value)
    {
        if (!read_member(key, value, flags, r, errp)) {
            return false;
        }
    }
    if (!r->name) {
        error_setg(errp, "QMP input lacks member 'execute'");
        return false;
    }
    return true;
}

/* ---- the command ---- */

static const QapiCommand *find_command(const QapiCommand *commands,
                                       const char *name)
{
    for (; commands->name; commands++) {
        if (strcmp(commands->name, name) == 0) {
            return commands;
        }
    }
    return NULL;
}

/* The command that @r names, if it may run now. */
static const QapiCommand *MAIN_THREAD
choose_command(const QapiCommand *commands, const Request *r, unsigned flags,
               Error **errp)
{
    const QapiCommand *cmd = find_command(commands, r->name);

    if ((flags & QMP_NEGOTIATING) &&
        (!cmd || strcmp(cmd->name, "qmp_capabilities") != 0)) {
        error_set_class(errp, ERROR_CLASS_COMMAND_NOT_FOUND,
                        "Expecting capabilities negotiation with "
                        "'qmp_capabilities'");
        return NULL;
    }
    if (!cmd) {
        g_autofree char *shown = qapi_quote(r->name);

        error_set_class(errp, ERROR_CLASS_COMMAND_NOT_FOUND,
                        "The command %s has not been found", shown);
        return NULL;
    }
    if (r->oob && !cmd->allow_oob) {
        error_setg(errp, "The command %s does not support OOB", cmd->name);
        return NULL;
    }
    if (qmp_is_preconfig() && !cmd->allow_preconfig) {
        error_setg(errp,
                   "The command '%s' is permitted only after machine "
                   "initialization has completed",
                   cmd->name);
        return NULL;
    }
    return cmd;
}

static bool check_no_arguments(json_object *arguments, Error **errp)
{
    if (!arguments) {
        return true;
    }
    json_object_object_foreach(arguments, key, value)
    {
        g_autofree char *shown = qapi_quote(key);

        (void)value;
        error_setg(errp, "Parameter '%s' is unexpected", shown);
        return false;
    }
    return true;
}

/* Arguments that nobody checks, and a result as it comes. */
static bool call_raw(const QapiCommand *cmd, json_object *arguments,
                     json_object **result, Error **errp)
{
    json_object *none = arguments ? NULL : json_object_new_object();
    bool ok = cmd->call(arguments ? arguments : none, result, errp);

    json_object_put(none);
    return ok;
}

/* *@result: what the command returns, NULL for nothing. */
static bool call_typed(const QapiCommand *cmd, json_object *arguments,
                       json_object **result, Error **errp)
{
    json_object *none = arguments ? NULL : json_object_new_object();
    void *arg = NULL, *ret = NULL;
    bool ok = true;

    if (cmd->arg_type) {
        arg = qapi_new_from_json(cmd->arg_type, arguments ? arguments : none,
                                 errp);
        ok = arg != NULL;
    } else {
        ok = check_no_arguments(arguments, errp);
    }
    if (ok && cmd->ret_type) {
        ret = qapi_new(cmd->ret_type);
    }
    ok = ok && cmd->call(arg, ret, errp);
    if (ok && ret) {
        *result = qapi_to_json(cmd->ret_type, ret);
    }
    if (ret) {
        qapi_free(cmd->ret_type, ret);
    }
    if (arg) {
        qapi_free(cmd->arg_type, arg);
    }
    json_object_put(none);
    return ok;
}

/* *@answer stays NULL for a success that is not answered. */
static bool MAIN_THREAD run_request(const QapiCommand *commands,
                                    json_object *request, unsigned flags,
                                    json_object **answer, Error **errp)
{
    Request r = { NULL };
    const QapiCommand *cmd;
    json_object *result = NULL;

    if (!read_request(request, flags, &r, errp)) {
        return false;
    }
    cmd = choose_command(commands, &r, flags, errp);
    if (!cmd ||
        !(cmd->gen ? call_typed : call_raw)(cmd, r.arguments, &result, errp)) {
        return false;
    }
    if (!cmd->success_response) {
        json_object_put(result);
        return true;
    }
    *answer = json_object_new_object();
    json_object_object_add(*answer, "return",
                           result || cmd->ret_type ? result
                                                   : json_object_new_object());
    return true;
}

json_object *qmp_dispatch_in(const QapiCommand *commands, json_object *request,
                             unsigned flags)
{
    json_object *answer = NULL, *id;
    Error *err = NULL;

    if (!run_request(commands, request, flags, &answer, &err)) {
        answer = qmp_error_answer(err);
    }
    if (answer && json_object_is_type(request, json_type_object) &&
        json_object_object_get_ex(request, "id", &id)) {
        json_object_object_add(answer, "id", json_object_get(id));
    }
    return answer;
}

json_object *qmp_dispatch(const QapiCommand *commands, json_object *request)
{
    return qmp_dispatch_in(commands, request, 0);
}
