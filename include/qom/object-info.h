/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QMP and the help texts say of objects and their properties.
 *
 * Threads: under the machine lock.
 */
#ifndef QOM_OBJECT_INFO_H
#define QOM_OBJECT_INFO_H

#include "qapi/qapi-types.h"
#include "qom/object.h"

/* Appends name and type of each property, child and link of @obj. */
void object_list_properties(Object *obj, ObjectPropertyInfoList *out)
    MAIN_THREAD;

/*
 * Appends the properties of the type @klass, with description and default.
 * @options: those alone that -device, -object or -machine may set, delegated
 * ones too, in the order of names. Else all; those of objects behind it when
 * it is not abstract.
 */
void object_class_list_properties(ObjectClass *klass, bool options,
                                  ObjectPropertyInfoList *out) MAIN_THREAD;

/* Prints "@title options:" and a line for each option of the type @klass. */
void object_class_print_options(ObjectClass *klass, const char *title)
    MAIN_THREAD;

#endif
