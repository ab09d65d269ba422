/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev user: addresses and names. */
#include "util/osdep.h"

#include <sys/stat.h>

#include "qapi/qapi-visit.h"
#include "user-internal.h"

#define NAME_MAX_BYTES     255u /* of a DHCP option */
#define LABEL_MAX_BYTES    63u
#define HOSTNAME_MAX_BYTES 32u  /* what libslirp keeps */
#define BOOTFILE_MAX_BYTES 127u /* the field of BOOTP, RFC 951 */
#define SEARCH_MAX         64u
#define IPV4_BITS_MIN      4
#define IPV4_BITS_MAX      30
#define IPV6_BITS_MAX      126
/* Host parts of the addresses that nothing was said about. */
#define HOST_PART       0x0202u
#define DNS_PART        0x0203u
#define SMB_PART        0x0204u
#define DHCP_START_PART 0x020fu

static bool bad_value(const char *option, const char *text, const char *right,
                      Error **errp)
{
    g_autofree char *shown = qapi_quote(text);

    error_setg(errp, "%s=%s: expects %s", option, shown, right);
    return false;
}

/* ---- IPv4 ---- */

bool user_parse_ipv4(const char *option, const char *text, struct in_addr *addr,
                     Error **errp)
{
    return inet_pton(AF_INET, text, addr) == 1 ||
           bad_value(option, text, "an IPv4 address, as in 10.0.2.15", errp);
}

bool user_is_host(struct in_addr addr, struct in_addr network,
                  struct in_addr mask)
{
    uint32_t host = ntohl(addr.s_addr & ~mask.s_addr);

    return (addr.s_addr & mask.s_addr) == network.s_addr && host != 0 &&
           host != ntohl(~mask.s_addr);
}

static struct in_addr ipv4_mask(unsigned bits)
{
    return (struct in_addr){ htonl(~0u << (32 - bits)) };
}

/* The mask of a network that was given without: by what it is for (RFC 1918,
 * RFC 2544), or its class (RFC 791). */
static unsigned usual_bits(struct in_addr network)
{
    static const struct {
        uint32_t prefix;
        unsigned prefix_bits, bits;
    } rows[] = {
        { 0xac100000, 12, 12 }, { 0xc0a80000, 16, 16 }, { 0xc6120000, 15, 15 },
        { 0x00000000, 1, 8 },   { 0x80000000, 2, 16 },
    };
    uint32_t addr = ntohl(network.s_addr);

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if ((addr ^ rows[i].prefix) >> (32 - rows[i].prefix_bits) == 0) {
            return rows[i].bits;
        }
    }
    return 24;
}

/* "24" or "255.255.255.0". */
static bool parse_mask(const char *text, unsigned *bits)
{
    struct in_addr mask;
    uint64_t number;

    if (inet_pton(AF_INET, text, &mask) == 1) {
        *bits = (unsigned)__builtin_popcount(mask.s_addr);
        return *bits >= IPV4_BITS_MIN && *bits <= IPV4_BITS_MAX &&
               ipv4_mask(*bits).s_addr == mask.s_addr;
    }
    if (!qapi_parse_uint("net", text, IPV4_BITS_MAX, &number, NULL) ||
        number < IPV4_BITS_MIN) {
        return false;
    }
    *bits = (unsigned)number;
    return true;
}

/* net=, or the older ip=, whose mask is 24 bits. */
static bool read_network(const NetdevUserOptions *o, SlirpConfig *cfg,
                         Error **errp)
{
    const char *option = !o->net && o->ip ? "ip" : "net";
    const char *text = o->net ? o->net : o->ip ? o->ip : "10.0.2.0/24";
    const char *slash = o->net || !o->ip ? strchr(text, '/') : NULL;
    g_autofree char *addr =
        slash ? g_strndup(text, (size_t)(slash - text)) : g_strdup(text);
    unsigned bits = 24;

    if (inet_pton(AF_INET, addr, &cfg->vnetwork) != 1 ||
        (slash && !parse_mask(slash + 1, &bits))) {
        return bad_value(option, text,
                         "an IPv4 network of 4 to 30 bits, as in 10.0.2.0/24",
                         errp);
    }
    if (o->net && !slash) {
        bits = usual_bits(cfg->vnetwork);
    }
    cfg->vnetmask = ipv4_mask(bits);
    cfg->vnetwork.s_addr &= cfg->vnetmask.s_addr;
    return true;
}

/* An address of the network: @text, or the one with the host part @part. */
static bool read_host(const char *option, const char *text, uint32_t part,
                      const SlirpConfig *cfg, struct in_addr *addr,
                      Error **errp)
{
    char net[INET_ADDRSTRLEN], shown[INET_ADDRSTRLEN];

    addr->s_addr = cfg->vnetwork.s_addr | (htonl(part) & ~cfg->vnetmask.s_addr);
    if (text && !user_parse_ipv4(option, text, addr, errp)) {
        return false;
    }
    if (user_is_host(*addr, cfg->vnetwork, cfg->vnetmask)) {
        return true;
    }
    inet_ntop(AF_INET, &cfg->vnetwork, net, sizeof(net));
    inet_ntop(AF_INET, addr, shown, sizeof(shown));
    error_setg(errp,
               "%s=%s: is no host of the network %s/%d; give an address that "
               "is, or another net=",
               option, shown, net, __builtin_popcount(cfg->vnetmask.s_addr));
    return false;
}

static bool differ(const char *option, struct in_addr addr, const char *other,
                   struct in_addr of_other, Error **errp)
{
    char shown[INET_ADDRSTRLEN];

    if (addr.s_addr != of_other.s_addr) {
        return true;
    }
    inet_ntop(AF_INET, &addr, shown, sizeof(shown));
    error_setg(errp, "%s=%s: is the address of %s=, too; give it another",
               option, shown, other);
    return false;
}

static bool read_ipv4(const NetdevUserOptions *o, UserConfig *c, Error **errp)
{
    SlirpConfig *cfg = &c->slirp;

    return read_network(o, cfg, errp) &&
           read_host("host", o->host, HOST_PART, cfg, &cfg->vhost, errp) &&
           read_host("dhcpstart", o->dhcpstart, DHCP_START_PART, cfg,
                     &cfg->vdhcp_start, errp) &&
           read_host("dns", o->dns, DNS_PART, cfg, &cfg->vnameserver, errp) &&
           (!o->smb || read_host("smbserver", o->smbserver, SMB_PART, cfg,
                                 &c->smb_server, errp)) &&
           differ("dns", cfg->vnameserver, "host", cfg->vhost, errp) &&
           differ("dhcpstart", cfg->vdhcp_start, "host", cfg->vhost, errp) &&
           differ("dhcpstart", cfg->vdhcp_start, "dns", cfg->vnameserver,
                  errp) &&
           (!o->smb ||
            (differ("smbserver", c->smb_server, "host", cfg->vhost, errp) &&
             differ("smbserver", c->smb_server, "dns", cfg->vnameserver,
                    errp)));
}

/* ---- IPv6 ---- */

static bool same_prefix(const struct in6_addr *a, const struct in6_addr *b,
                        unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 &&
           (rest == 0 ||
            ((a->s6_addr[whole] ^ b->s6_addr[whole]) >> (8 - rest)) == 0);
}

static bool read_host6(const char *option, const char *text, uint8_t part,
                       const SlirpConfig *cfg, struct in6_addr *addr,
                       Error **errp)
{
    char net[INET6_ADDRSTRLEN];

    *addr = cfg->vprefix_addr6;
    addr->s6_addr[15] |= part;
    if (!text) {
        return true;
    }
    if (inet_pton(AF_INET6, text, addr) != 1) {
        return bad_value(option, text, "an IPv6 address, as in fec0::2", errp);
    }
    if (same_prefix(addr, &cfg->vprefix_addr6, cfg->vprefix_len)) {
        return true;
    }
    inet_ntop(AF_INET6, &cfg->vprefix_addr6, net, sizeof(net));
    error_setg(errp,
               "%s=%s: is not in the network %s/%u; give an address that is, "
               "or another ipv6-net=",
               option, text, net, cfg->vprefix_len);
    return false;
}

static bool read_ipv6(const NetdevUserOptions *o, SlirpConfig *cfg,
                      Error **errp)
{
    const char *prefix = o->ipv6_prefix ? o->ipv6_prefix : "fec0::";
    int64_t bits = o->has_ipv6_prefixlen ? o->ipv6_prefixlen : 64;

    if (inet_pton(AF_INET6, prefix, &cfg->vprefix_addr6) != 1) {
        return bad_value("ipv6-prefix", prefix,
                         "an IPv6 network, as in fec0::", errp);
    }
    if (bits < 0 || bits > IPV6_BITS_MAX) {
        error_setg(errp, "ipv6-prefixlen=%" PRId64 ": must be 0 to %d", bits,
                   IPV6_BITS_MAX);
        return false;
    }
    cfg->vprefix_len = (uint8_t)bits;
    return read_host6("ipv6-host", o->ipv6_host, 2, cfg, &cfg->vhost6, errp) &&
           read_host6("ipv6-dns", o->ipv6_dns, 3, cfg, &cfg->vnameserver6,
                      errp);
}

/* Naming one of the two as wanted is naming the other as not. */
static bool read_families(const NetdevUserOptions *o, SlirpConfig *cfg,
                          Error **errp)
{
    bool only4 = o->has_ipv4 && o->ipv4 && !o->has_ipv6;
    bool only6 = o->has_ipv6 && o->ipv6 && !o->has_ipv4;

    cfg->in_enabled = !only6 && (!o->has_ipv4 || o->ipv4);
    cfg->in6_enabled = !only4 && (!o->has_ipv6 || o->ipv6);
    if (!cfg->in_enabled && !cfg->in6_enabled) {
        error_setg(errp, "ipv4=off and ipv6=off: nothing is left; leave one "
                         "of them out");
        return false;
    }
    if (!cfg->in_enabled && (o->net || o->ip || o->host || o->dhcpstart ||
                             o->dns || o->smb || o->smbserver)) {
        error_setg(errp,
                   "ipv4=off does not go with net=, ip=, host=, dhcpstart=, "
                   "dns=, smb= and smbserver=, which are about IPv4");
        return false;
    }
    if (!cfg->in6_enabled && (o->ipv6_prefix || o->has_ipv6_prefixlen ||
                              o->ipv6_host || o->ipv6_dns)) {
        error_setg(errp, "ipv6=off does not go with ipv6-net=, ipv6-prefix=, "
                         "ipv6-prefixlen=, ipv6-host= and ipv6-dns=");
        return false;
    }
    return true;
}

/* ---- names ---- */

static bool check_length(const char *option, const char *text, size_t max,
                         Error **errp)
{
    if (!text || (text[0] && strlen(text) <= max)) {
        return true;
    }
    error_setg(errp, "%s: has %zu bytes, must be 1 to %zu", option,
               strlen(text), max);
    return false;
}

/* Labels of 1 to 63 bytes, which libslirp puts into DHCP's answer. */
static bool check_domain(const char *option, const char *name, Error **errp)
{
    size_t label = 0;

    for (const char *p = name;; p++) {
        if (*p && *p != '.') {
            label++;
            continue;
        }
        if (label > LABEL_MAX_BYTES || (label == 0 && (*p || p == name))) {
            break;
        }
        if (!*p) {
            return check_length(option, name, NAME_MAX_BYTES, errp);
        }
        label = 0;
    }
    return bad_value(option, name,
                     "a domain, of labels of 1 to 63 bytes joined by '.'",
                     errp);
}

static bool read_search(const NetdevUserOptions *o, UserConfig *c, Error **errp)
{
    if (o->dnssearch.n > SEARCH_MAX) {
        error_setg(errp, "dnssearch: there are %zu, at most %u are possible",
                   (size_t)o->dnssearch.n, SEARCH_MAX);
        return false;
    }
    c->search = g_new0(const char *, o->dnssearch.n + 1);
    for (size_t i = 0; i < o->dnssearch.n; i++) {
        c->search[i] = o->dnssearch.v[i].str;
        if (!check_domain("dnssearch", c->search[i], errp)) {
            return false;
        }
    }
    c->slirp.vdnssearch = o->dnssearch.n ? c->search : NULL;
    return true;
}

static bool check_tftp(const char *dir, Error **errp)
{
    struct stat st;
    g_autofree char *shown = NULL;

    if (!dir) {
        return true;
    }
    if (stat(dir, &st) == 0) {
        errno = S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    }
    if (errno == 0 && access(dir, R_OK | X_OK) == 0) {
        return true;
    }
    shown = qapi_quote(dir);
    error_setg_errno(errp, errno,
                     "tftp=%s: expects a directory that can be read", shown);
    return false;
}

static bool read_names(const NetdevUserOptions *o, UserConfig *c, Error **errp)
{
    SlirpConfig *cfg = &c->slirp;

    cfg->vhostname = o->hostname;
    cfg->tftp_server_name = o->tftp_server_name;
    cfg->tftp_path = o->tftp;
    cfg->bootfile = o->bootfile;
    cfg->vdomainname = o->domainname;
    return check_length("hostname", o->hostname, HOSTNAME_MAX_BYTES, errp) &&
           check_length("tftp-server-name", o->tftp_server_name, NAME_MAX_BYTES,
                        errp) &&
           check_length("bootfile", o->bootfile, BOOTFILE_MAX_BYTES, errp) &&
           (!o->domainname ||
            check_domain("domainname", o->domainname, errp)) &&
           read_search(o, c, errp) && check_tftp(o->tftp, errp);
}

bool user_config_read(const NetdevUserOptions *opts, UserConfig *config,
                      Error **errp)
{
    *config = (UserConfig){ .slirp = { .version = 4,
                                       .restricted = opts->has_q_restrict &&
                                                     opts->q_restrict } };
    if (opts->smbserver && !opts->smb) {
        error_setg(errp,
                   "smbserver=%s: needs smb=, the directory that it "
                   "offers",
                   opts->smbserver);
        return false;
    }
    return read_families(opts, &config->slirp, errp) &&
           (!config->slirp.in_enabled || read_ipv4(opts, config, errp)) &&
           (!config->slirp.in6_enabled ||
            read_ipv6(opts, &config->slirp, errp)) &&
           read_names(opts, config, errp);
}

void user_config_clear(UserConfig *config)
{
    g_clear_pointer(&config->search, g_free);
}
