// One setting: from text to its field and back.
#include <arpa/inet.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cli/conf_settings.h"

static void *field(const struct conf *c, uint32_t offset)
{
    return (char *)(uintptr_t)c + offset;
}

static enum result wrong(struct conf_problem *p, uint32_t value, const char *help, const char *fmt,
                         ...) MERIT_PRINTF(4, 5);
static enum result wrong(struct conf_problem *p, uint32_t value, const char *help, const char *fmt,
                         ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->message, sizeof p->message, fmt, ap);
    va_end(ap);
    snprintf(p->help, sizeof p->help, "%s", help);
    p->value = value;
    return RESULT_SYNTAX;
}

struct unit {
    const char *name;
    double factor;
};
static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024.0 * 1024 * 1024}, {NULL, 0}};
static const struct unit ms_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60e3}, {"h", 3600e3}, {NULL, 0}};
static const struct unit us_units[] = {{"us", 1}, {"ms", 1000}, {NULL, 0}};
static const struct unit day_units[] = {{"d", 1}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

// Digits with at most one point, then the unit.
static bool number_split(struct slice text, double *number, struct slice *unit)
{
    char digits[32];
    size_t n = 0, points = 0;
    while (n < text.len && n < sizeof digits - 1 &&
           ((text.ptr[n] >= '0' && text.ptr[n] <= '9') || (text.ptr[n] == '.' && n && !points++))) {
        digits[n] = text.ptr[n];
        n++;
    }
    if (!n || digits[n - 1] == '.')
        return false;
    digits[n] = 0;
    *number = strtod(digits, NULL);
    *unit = slice_from(text, n);
    return true;
}

static const struct unit *units_of(enum conf_kind kind)
{
    return kind == CONF_SIZE   ? size_units
           : kind == CONF_MS   ? ms_units
           : kind == CONF_US   ? us_units
           : kind == CONF_DAYS ? day_units
                               : no_units;
}

// The largest unit that gives a whole number.
static void number_print(double v, const struct unit *units, struct buf *out)
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->name; u++) {
        if (fmod(v, u->factor) == 0 && v != 0)
            best = u;
    }
    buf_printf(out, "%.15g%s", v / best->factor, best->name);
}

static enum result number_parse(const struct conf_setting *s, struct slice text, double *out,
                                struct conf_problem *p)
{
    const struct unit *units = units_of(s->kind);
    struct slice suffix;
    double v;
    if (!number_split(text, &v, &suffix))
        return wrong(p, 0, s->help, "%s is a number%s, not \"%.*s\"", s->name,
                     units == no_units ? "" : " with a unit", SLICE_FMT(slice_head(text, 60)));
    const struct unit *u = units;
    while (u->name && !slice_eq_cstr(suffix, u->name))
        u++;
    if (!u->name) {
        char help[120];
        int n = snprintf(help, sizeof help, "write it as");
        for (u = units; u->name && u->name[0]; u++)
            n += snprintf(help + n, sizeof help - (size_t)n, " %g%s", v, u->name);
        return wrong(p, 0, units == no_units ? s->help : help, "%s %s", s->name,
                     units == no_units ? "takes no unit"
                     : suffix.len      ? "has a unit that is not known here"
                                       : "needs a unit");
    }
    v *= u->factor;
    bool zero = v == 0 && s->absent;
    if (!zero && (v < s->min || v > s->max || (s->kind != CONF_RATIO && v != floor(v)))) {
        struct buf low;
        char text_low[40], text_high[40];
        buf_init(&low, 40);
        number_print(s->min, units, &low);
        snprintf(text_low, sizeof text_low, "%.*s", SLICE_FMT(buf_slice(&low)));
        buf_reset(&low);
        number_print(s->max, units, &low);
        snprintf(text_high, sizeof text_high, "%.*s", SLICE_FMT(buf_slice(&low)));
        buf_deinit(&low);
        return wrong(p, 0, s->help, "%s lies between %s and %s", s->name, text_low, text_high);
    }
    *out = v;
    return RESULT_OK;
}

static enum result number_apply(struct conf *c, const struct conf_setting *s, struct slice text,
                                struct conf_problem *p)
{
    double v = 0;
    if (!s->absent || !slice_eq_cstr(text, s->absent)) {
        enum result r = number_parse(s, text, &v, p);
        if (r)
            return r;
    }
    if (s->kind == CONF_RATIO)
        *(double *)field(c, s->offset) = v;
    else
        *(uint32_t *)field(c, s->offset) = (uint32_t)v;
    return RESULT_OK;
}

static bool is_address(const char *host, bool *loopback)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        *loopback = (ntohl(v4.s_addr) >> 24) == 127;
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        *loopback = IN6_IS_ADDR_LOOPBACK(&v6);
        return true;
    }
    return false;
}

static enum result listen_parse(struct conf *c, const struct conf_setting *s,
                                const struct conf_value *values, uint32_t count,
                                struct conf_listen *out, struct conf_problem *p)
{
    struct slice text = values[0].text, host = SLICE("127.0.0.1"), port = text;
    const char *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
    if (colon) {
        host = slice_head(text, (size_t)(colon - text.ptr));
        port = slice_from(text, host.len + 1);
    }
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_make(host.ptr + 1, host.len - 2);
    else if (host.len && memchr(host.ptr, ':', host.len))
        return wrong(p, 0, "write [::1]:8780", "an IPv6 address stands in brackets");
    uint64_t number;
    if (!slice_u64(port, &number) || number > UINT16_MAX)
        return wrong(p, 0, "write 127.0.0.1:8780, [::1]:8780, or a port alone for 127.0.0.1",
                     "\"%.*s\" has no port between 0 and 65535", SLICE_FMT(slice_head(text, 60)));
    if (slice_eq_cstr(host, "localhost"))
        host = SLICE("127.0.0.1");
    else if (slice_eq_cstr(host, "*"))
        host = SLICE("0.0.0.0");
    out->host = arena_cstr(&c->arena, host);
    if (!out->host)
        return RESULT_NOMEM;
    if (!is_address(out->host, &out->loopback))
        return wrong(p, 0, "write an IP address: 127.0.0.1 for this machine, 0.0.0.0 for everyone",
                     "%s takes an address, not the name \"%.*s\"", s->name,
                     SLICE_FMT(slice_head(host, 60)));
    if (count == 2 && !slice_eq_cstr(values[1].text, "tls"))
        return wrong(p, 1, "only `tls` may follow", "\"%.*s\" is not known here",
                     SLICE_FMT(slice_head(values[1].text, 60)));
    out->port = (uint16_t)number;
    out->tls = count == 2;
    return RESULT_OK;
}

static const char *path_of(struct conf *c, struct slice text, const char *directory)
{
    bool whole = !directory || text.ptr[0] == '/' || slice_eq_cstr(text, "-");
    return whole ? arena_cstr(&c->arena, text)
                 : arena_printf(&c->arena, "%s/%.*s", directory, SLICE_FMT(text)).ptr;
}

// XDG Base Directory Specification 0.8; NULL without a home.
static const char *folder_auto(struct conf *c, const char *variable, const char *below_home)
{
    const char *xdg = getenv(variable), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        return arena_printf(&c->arena, "%s/merit", xdg).ptr;
    if (home && home[0] == '/')
        return arena_printf(&c->arena, "%s/%s/merit", home, below_home).ptr;
    return NULL;
}

const char *conf_ledger(struct conf *c)
{
    if (!c->ledger || strcmp(c->ledger, "auto") != 0)
        return c->ledger;
    return c->data ? arena_printf(&c->arena, "%s/ledger", c->data).ptr : NULL;
}

static enum result text_apply(struct conf *c, const struct conf_setting *s, struct slice text,
                              const char *directory)
{
    const char **to = field(c, s->offset);
    if (s->absent && slice_eq_cstr(text, s->absent)) {
        *to = NULL;
        return RESULT_OK;
    }
    if (to == &c->cache && slice_eq_cstr(text, "auto")) {
        *to = folder_auto(c, "XDG_CACHE_HOME", ".cache");
        return RESULT_OK;
    }
    if (to == &c->data && slice_eq_cstr(text, "auto")) {
        *to = folder_auto(c, "XDG_DATA_HOME", ".local/share");
        return RESULT_OK;
    }
    bool plain = s->kind == CONF_TEXT || (to == &c->ledger && slice_eq_cstr(text, "auto")) ||
                 (to == &c->policy && slice_eq_cstr(text, "demo"));
    *to = path_of(c, text, plain ? NULL : directory);
    return *to ? RESULT_OK : RESULT_NOMEM;
}

static enum result certificate_parse(struct conf *c, const struct conf_value *values,
                                     uint32_t count, const char *directory,
                                     struct tls_certificate *out)
{
    out->chain_path = path_of(c, values[0].text, directory);
    out->key_path = path_of(c, values[1].text, directory);
    out->server_name = count == 3 ? arena_cstr(&c->arena, values[2].text) : NULL;
    return out->chain_path && out->key_path && (count < 3 || out->server_name) ? RESULT_OK
                                                                               : RESULT_NOMEM;
}

static enum result many_apply(struct conf *c, const struct conf_setting *s,
                              const struct conf_value *values, uint32_t count,
                              const char *directory, struct conf_problem *p)
{
    uint32_t *have = field(c, s->counted);
    uint32_t most = s->kind == CONF_LISTEN ? (uint32_t)CONF_LISTEN_MAX
                    : s->kind == CONF_HOST ? (uint32_t)CONF_HOSTS_MAX
                                           : (uint32_t)CONF_CERTIFICATES_MAX;
    if (s->absent && count == 1 && slice_eq_cstr(values[0].text, s->absent)) {
        *have = 0;
        return RESULT_OK;
    }
    if (*have == most)
        return wrong(p, 0, "take one away", "%s stands more than %u times", s->name, most);
    enum result r = RESULT_OK;
    if (s->kind == CONF_LISTEN) {
        struct conf_listen *at = (struct conf_listen *)field(c, s->offset) + *have, l;
        r = listen_parse(c, s, values, count, &l, p);
        if (!r)
            *at = l;
    } else if (s->kind == CONF_HOST) {
        const char *host = arena_cstr(&c->arena, values[0].text);
        if (!host)
            return RESULT_NOMEM;
        c->admin_hosts[*have] = host;
    } else {
        r = certificate_parse(c, values, count, directory, c->certificates + *have);
    }
    *have += !r;
    return r;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
            return false;
    }
    return text.len > 0;
}

enum result conf_apply(struct conf *c, const struct conf_setting *s,
                       const struct conf_value *values, uint32_t count, const char *directory,
                       uint8_t level, struct conf_problem *problem)
{
    bool absent = s->absent && count == 1 && slice_eq_cstr(values[0].text, s->absent);
    uint32_t least = s->kind == CONF_CERTIFICATE && !absent ? 2 : 1;
    uint32_t most = s->kind == CONF_CERTIFICATE ? 3 : s->kind == CONF_LISTEN ? 2 : 1;
    if (count < least || count > most) {
        char help[200];
        snprintf(help, sizeof help, "write: %s %s", s->name, s->form);
        return wrong(problem, count < least ? count : most, help, "%s takes %s%s", s->name, s->form,
                     count < least ? "" : " and no more");
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_printable(values[i].text))
            return wrong(problem, i, s->help, "%s is empty or holds a control character", s->name);
    }
    size_t row = (size_t)(s - conf_settings);
    if (level > c->level[row]) {
        c->level[row] = level;
        if (s->counted)
            *(uint32_t *)field(c, s->counted) = 0;
    }
    if (s->counted)
        return many_apply(c, s, values, count, directory, problem);
    if (s->kind == CONF_PATH || s->kind == CONF_TEXT)
        return text_apply(c, s, values[0].text, directory);
    return number_apply(c, s, values[0].text, problem);
}

uint32_t conf_value_count(const struct conf *c, const struct conf_setting *s)
{
    return s->counted ? *(const uint32_t *)field(c, s->counted) : 1;
}

static void word_print(const char *text, struct buf *out)
{
    // A section line and a comment are told from a value by these.
    if (text[0] && !strpbrk(text, " \t\"\\#[]")) {
        buf_cstr(out, text);
        return;
    }
    buf_byte(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_byte(out, '\\');
        buf_byte(out, *text);
    }
    buf_byte(out, '"');
}

static void text_print(const struct conf *c, const struct conf_setting *s, struct buf *out)
{
    const char *v = *(const char *const *)field(c, s->offset);
    if (v)
        word_print(v, out);
    else
        buf_cstr(out, s->absent ? s->absent : "\"\"");
}

void conf_value_print(const struct conf *c, const struct conf_setting *s, uint32_t i,
                      struct buf *out)
{
    switch (s->kind) {
    case CONF_LISTEN: {
        const struct conf_listen *l = (const struct conf_listen *)field(c, s->offset) + i;
        bool v6 = strchr(l->host, ':');
        buf_printf(out, "%s%s%s:%u%s", v6 ? "[" : "", l->host, v6 ? "]" : "", l->port,
                   l->tls ? " tls" : "");
        break;
    }
    case CONF_HOST:
        word_print(c->admin_hosts[i], out);
        break;
    case CONF_CERTIFICATE:
        word_print(c->certificates[i].chain_path, out);
        buf_byte(out, ' ');
        word_print(c->certificates[i].key_path, out);
        if (c->certificates[i].server_name) {
            buf_byte(out, ' ');
            word_print(c->certificates[i].server_name, out);
        }
        break;
    case CONF_PATH:
    case CONF_TEXT:
        text_print(c, s, out);
        break;
    case CONF_RATIO:
        buf_printf(out, "%.15g", *(const double *)field(c, s->offset));
        break;
    default: {
        uint32_t v = *(const uint32_t *)field(c, s->offset);
        if (!v && s->absent)
            buf_cstr(out, s->absent);
        else
            number_print(v, units_of(s->kind), out);
    }
    }
}
