/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <getopt.h>
#include <math.h>

#include "contrib/qemu-mq-top/options.h"

#define MIN_INTERVAL 0.1
#define MAX_INTERVAL 3600.0
#define MAX_COUNT    1000000000ul

static const struct option long_options[] = {
    { "once", no_argument, NULL, 'o' },
    { "json", no_argument, NULL, 'j' },
    { "interval", required_argument, NULL, 'i' },
    { "count", required_argument, NULL, 'n' },
    { "reconnect", no_argument, NULL, 'r' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

const char *mq_options_usage(void)
{
    return "Usage: qemu-mq-top [OPTION]... ADDRESS\n"
           "Shows what each queue pair of an emulator's NICs does, and "
           "changes it.\n"
           "\n"
           "ADDRESS is a QMP socket: PATH, unix:PATH, HOST:PORT or "
           "tcp:HOST:PORT.\n"
           "\n"
           "  --once              print a table, without a screen, and end\n"
           "  --json              with --once: print one line of JSON\n"
           "  --interval SECONDS  between two samples, 0.1 to 3600 (1)\n"
           "  --count N           end after N tables (with --once: print N)\n"
           "  --reconnect         wait for the emulator where it is not there\n"
           "  --help              this text\n"
           "  --version           the version\n"
           "\n"
           "On the screen: h shows the keys, q quits.\n";
}

static bool parse_interval(const char *text, int64_t *out, Error **errp)
{
    char *end;
    double v = g_ascii_strtod(text, &end);

    if (!g_ascii_isdigit(*text) || *end || !isfinite(v) || v < MIN_INTERVAL ||
        v > MAX_INTERVAL) {
        error_setg(errp,
                   "--interval '%s': not a number of seconds from %g to "
                   "%g",
                   text, MIN_INTERVAL, MAX_INTERVAL);
        return false;
    }
    *out = (int64_t)(v * G_USEC_PER_SEC);
    return true;
}

static bool parse_count(const char *text, unsigned *out, Error **errp)
{
    guint64 v;

    if (!g_ascii_string_to_unsigned(text, 10, 1, MAX_COUNT, &v, NULL)) {
        error_setg(errp, "--count '%s': not a number from 1 to %lu", text,
                   MAX_COUNT);
        return false;
    }
    *out = (unsigned)v;
    return true;
}

static bool take_option(int c, char **argv, MqOptions *o, Error **errp)
{
    switch (c) {
    case 'o':
        o->once = true;
        return true;
    case 'j':
        o->json = true;
        return true;
    case 'i':
        return parse_interval(optarg, &o->interval, errp);
    case 'n':
        return parse_count(optarg, &o->count, errp);
    case 'r':
        o->reconnect = true;
        return true;
    case 'h':
        o->help = true;
        return true;
    case 'V':
        o->version = true;
        return true;
    case ':':
        error_setg(errp, "%s needs a value", argv[optind - 1]);
        return false;
    default:
        error_setg(errp,
                   "%s: no such option, or one that takes no value; "
                   "--help lists them",
                   argv[optind - 1]);
        return false;
    }
}

bool mq_options_parse(int argc, char **argv, MqOptions *out, Error **errp)
{
    int c;

    *out = (MqOptions){ .interval = G_USEC_PER_SEC };
    optind = 0; /* from the start, whoever used it before */
    while ((c = getopt_long(argc, argv, ":hV", long_options, NULL)) != -1) {
        if (!take_option(c, argv, out, errp)) {
            return false;
        }
    }
    if (out->help || out->version) {
        return true;
    }
    if (argc - optind != 1 || !*argv[optind]) {
        error_setg(errp, "%s; --help tells more",
                   argc - optind > 1
                       ? "more than one address"
                       : "the address of a QMP socket is missing");
        return false;
    }
    if (out->json && !out->once) {
        error_setg(errp, "--json goes with --once only");
        return false;
    }
    out->address = argv[optind];
    out->count = out->count || !out->once ? out->count : 1;
    return true;
}
