# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands and events to C: prototypes, tables, and what lies between."""

from qapi.cgen import ORIGIN, SPDX, FeatureTables, guarded
from qapi.names import c_name


def pointer(type_):
    """The table of @type_; NULL when there is no type."""
    return f'&qapi_type_{type_.table_name()}' if type_ else 'NULL'


class Calls:
    """What qapi-commands.[ch] and qapi-events.[ch] have in common."""

    def __init__(self, schema, prefix):
        self.schema = schema
        self.prefix = prefix
        self.symbol = c_name(prefix) if prefix else ''
        self.features = FeatureTables()

    def _header(self, what, body):
        guard = f'{self.symbol.upper()}QAPI_{what.upper()}_H'
        return (SPDX + ORIGIN + f'#ifndef {guard}\n#define {guard}\n\n'
                f'#include "{self.prefix}qapi-types.h"\n'
                + body + '\n#endif\n')


class CommandGenerator(Calls):
    """qapi-commands.h: what handlers look like; .c: the table of them."""

    @staticmethod
    def _parameters(call):
        """The parameters of the handler of @call, as (type, name)."""
        parameters = []
        raw = not call.flags.get('gen', True)
        if raw:
            parameters.append(('json_object *', 'args'))
        elif call.arg_type:
            parameters.append((f'const {call.arg_type.c_type()} *', 'arg'))
        if call.ret_type:
            ctype = 'json_object *' if raw else call.ret_type.c_type()
            space = '' if ctype.endswith('*') else ' '
            parameters.append((f'{ctype}{space}*', 'ret'))
        return parameters + [('Error **', 'errp')]

    def header(self):
        """qapi-commands.h"""
        body = ('#include "util/thread-annotations.h"\n\n'
                '/* Handlers of the commands. @ret is zero before the call, '
                'and freed by the\n * caller after it; on false *errp says '
                'why. */\n')
        for call in self.schema.commands:
            parameters = ', '.join(
                ctype + name for ctype, name in self._parameters(call))
            body += guarded(
                call.cond, f'bool {self.symbol}qmp_{c_name(call.name)}'
                f'({parameters}) MAIN_THREAD;\n')
        body += ('\n/* Ends with an entry whose name is NULL. */\n'
                 f'extern const QapiCommand {self.symbol}qapi_commands[];\n')
        return self._header('commands', body)

    def source(self):
        """qapi-commands.c"""
        text = (SPDX + ORIGIN + '#include "util/osdep.h"\n'
                f'#include "{self.prefix}qapi-commands.h"\n'
                '#include "system/machine-lock.h"\n\n')
        table = f'const QapiCommand {self.symbol}qapi_commands[] = {{\n'
        for call in self.schema.commands:
            before, features = self.features.table(call)
            text += guarded(call.cond, before + self._adapter(call))
            table += guarded(call.cond, self._row(call, features))
        return text + table + '    { .name = NULL },\n};\n'

    def _adapter(self, call):
        """A function of the type that the table holds."""
        arguments = []
        for ctype, name in self._parameters(call):
            plain = name == 'args'
            arguments.append('(json_object *)(uintptr_t)arg' if plain
                             else name)
        name = c_name(call.name)
        return (f'static bool call_{name}(const void *arg, void *ret, '
                'Error **errp)\n{\n    machine_lock_assert();\n'
                f'    return {self.symbol}qmp_{name}({", ".join(arguments)});'
                '\n}\n\n')

    @staticmethod
    def _row(call, features):
        def flag(name, default=False):
            return str(call.flags.get(name, default)).lower()

        return (f'    {{ .name = "{call.name}",\n'
                f'      .arg_type = {pointer(call.arg_type)},\n'
                f'      .ret_type = {pointer(call.ret_type)},\n'
                f'      .call = call_{c_name(call.name)},\n'
                f"      .gen = {flag('gen', True)},\n"
                f'      .success_response = {flag("success-response", True)},\n'
                f"      .allow_oob = {flag('allow-oob')},\n"
                f"      .allow_preconfig = {flag('allow-preconfig')},\n"
                f'      .features = {features} }},\n')


class EventGenerator(Calls):
    """qapi-events.[ch]: a function that sends each event."""

    def _prototype(self, call):
        argument = f'const {call.arg_type.c_type()} *arg' \
            if call.arg_type else 'void'
        return (f'void {self.symbol}qapi_event_send_'
                f'{c_name(call.name.lower())}({argument})')

    def header(self):
        """qapi-events.h"""
        body = ('#include "qapi/qapi-event.h"\n\n'
                '/* @arg stays the caller\'s. */\n')
        for call in self.schema.events:
            body += guarded(call.cond,
                            self._prototype(call) + ' MAIN_THREAD;\n')
        body += ('\n/* Ends with an entry whose name is NULL. */\n'
                 f'extern const QapiEvent {self.symbol}qapi_events[];\n')
        return self._header('events', body)

    def source(self):
        """qapi-events.c"""
        text = (SPDX + ORIGIN + '#include "util/osdep.h"\n'
                f'#include "{self.prefix}qapi-events.h"\n\n')
        table = f'const QapiEvent {self.symbol}qapi_events[] = {{\n'
        senders = ''
        index = ''
        for call in self.schema.events:
            before, features = self.features.table(call)
            name = f'EVENT_{c_name(call.name)}'
            text += guarded(call.cond, before) if before else ''
            index += guarded(call.cond, f'    {name},\n')
            table += guarded(call.cond, f'    {{ "{call.name}", '
                             f'{pointer(call.arg_type)}, {features} }},\n')
            argument = 'arg' if call.arg_type else 'NULL'
            senders += guarded(
                call.cond, f'{self._prototype(call)}\n{{\n'
                f'    qapi_event_emit(&{self.symbol}qapi_events[{name}], '
                f'{argument});\n}}\n\n')
        index = f'enum {{\n{index}}};\n\n' if index else ''
        return (text + index + table + '    { NULL, NULL, NULL },\n};\n\n' +
                senders)
