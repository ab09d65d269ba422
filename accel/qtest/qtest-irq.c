/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt lines as the test sees them: by device, direction and name. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "accel/qtest/qtest-internal.h"
#include "qom/object.h"
#include "system/machine-lock.h"

#define LINES   24u
#define UNNAMED "unnamed-gpio-in"
#define IOAPIC  "ioapic"

/* The lines of a type of device that a test may watch; all of them are the
 * machine's interrupt lines from 0 on. */
typedef struct LineSet {
    const char *type;
    bool out;
    const char *name; /* NULL: unnamed */
    unsigned n;
} LineSet;

static const LineSet line_sets[] = {
    { IOAPIC, false, NULL, LINES },
    { "PIIX3", true, "isa-irqs", 16 },
};

/* main thread */
static struct {
    bool level[LINES];
    const LineSet *watched; /* NULL: none */
} lines;

/* Name of the type at @path, or NULL. The interrupt controller may be in the
 * kernel, without an object that could be found. */
static const char *type_at(const char *path) MAIN_THREAD
{
    Object *obj = object_resolve(path);

    if (obj) {
        return object_type_name(obj);
    }
    return !strcmp(path, IOAPIC) || g_str_has_suffix(path, "/" IOAPIC) ? IOAPIC
                                                                       : NULL;
}

/* NULL and *@why when there are no such lines. */
static const LineSet *lines_find(const char *path, bool out, const char *name,
                                 const char **why) MAIN_THREAD
{
    const char *type = type_at(path);

    *why = type ? "no such interrupt lines" : "Unknown device";
    for (unsigned i = 0; type && i < ARRAY_SIZE(line_sets); i++) {
        const LineSet *set = &line_sets[i];

        if (!strcmp(set->type, type) && set->out == out &&
            !g_strcmp0(set->name, name)) {
            return set;
        }
    }
    return NULL;
}

void qtest_irq_set(unsigned line, bool level)
{
    char text[32];

    machine_lock_assert();
    if (line >= LINES || lines.level[line] == level) {
        return;
    }
    lines.level[line] = level;
    if (lines.watched && line < lines.watched->n) {
        snprintf(text, sizeof(text), "IRQ %s %u", level ? "raise" : "lower",
                 line);
        qtest_server_event(text);
    }
}

const char *qtest_irq_intercept(const char *path, bool out, const char *name)
{
    const char *why;
    const LineSet *set = lines_find(path, out, name, &why);

    machine_lock_assert();
    if (!set) {
        return why;
    }
    if (!accel_is("qtest")) {
        return "interrupts go to the guest, it needs -accel qtest";
    }
    if (lines.watched && lines.watched != set) {
        return "IRQ intercept already enabled for another device";
    }
    lines.watched = set;
    return NULL;
}

void qtest_irq_release(void)
{
    lines.watched = NULL;
}

const char *qtest_irq_drive(const char *path, const char *name, uint64_t number,
                            bool level)
{
    bool unnamed = !strcmp(name, UNNAMED);
    const char *why;
    const LineSet *set = lines_find(path, false, unnamed ? NULL : name, &why);

    machine_lock_assert();
    if (!set) {
        return why;
    }
    if (number >= set->n) {
        return "no line with that number";
    }
    accel_set_gsi((unsigned)number, level);
    return NULL;
}
