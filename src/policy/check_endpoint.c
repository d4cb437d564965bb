// Endpoints: where they are, what runs there and how much of it.
#include "policy/check.h"
#include "policy/policy.h"

enum { SLOTS_MAX = 1000000, RATE_MAX = 2000000000, METERS_MAX = 1024 };

const char *check_url_problem(struct slice url, bool *secret)
{
    enum { URL_MAX = 2048 };
    struct slice rest;
    if (url.len > URL_MAX)
        return "a URL has at most 2048 bytes";
    if (slice_starts_with(url, SLICE("http://")))
        rest = slice_from(url, 7);
    else if (slice_starts_with(url, SLICE("https://")))
        rest = slice_from(url, 8);
    else
        return "an endpoint begins with `http://` or `https://`";
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.ptr[i] <= 32 || (unsigned char)rest.ptr[i] >= 127)
            return "a URL holds no spaces and only ASCII";
    struct slice host = rest;
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (slash)
        host.len = (size_t)(slash - rest.ptr);
    *secret = host.len && memchr(host.ptr, '@', host.len);
    if (*secret)
        return "an endpoint carries no user name or password";
    if (memchr(rest.ptr ? rest.ptr : "", '?', rest.len) ||
        memchr(rest.ptr ? rest.ptr : "", '#', rest.len))
        return "an endpoint has no `?` and no `#`: it is the base that `/chat/completions` is put "
               "behind";
    if (slice_find(rest, SLICE("/../")) >= 0 || slice_ends_with(rest, SLICE("/..")))
        return "an endpoint's path does not go up";
    bool six = host.len && host.ptr[0] == '[';
    const char *close = six ? memchr(host.ptr, ']', host.len) : NULL;
    if (six && !close)
        return "an IPv6 address ends with `]`";
    struct slice name =
        six ? slice_head(slice_from(host, 1), (size_t)(close - host.ptr - 1)) : host;
    struct slice port = six ? slice_from(host, (size_t)(close - host.ptr + 1)) : SLICE_EMPTY;
    if (!six && memchr(host.ptr ? host.ptr : "", ':', host.len)) {
        name.len = (size_t)((const char *)memchr(host.ptr, ':', host.len) - host.ptr);
        port = slice_from(host, name.len);
    }
    if (name.len == 0 || name.len > 253)
        return "the URL names no host";
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];
        bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                  (ch >= 'A' && ch <= 'Z') || ch == '.' ||
                  (six ? ch == ':' : ch == '-' || ch == '_');
        if (!ok)
            return "the host's name has a character that no host's name has";
    }
    uint64_t number = 0;
    if (port.len && (port.ptr[0] != ':' || port.len > 6 ||
                     !slice_u64(slice_from(port, 1), &number) || number == 0 || number > 65535))
        return "the port is a number between 1 and 65535";
    return NULL;
}

void check_endpoint_add(struct checker *c, uint32_t model, struct slice url, uint32_t line)
{
    struct image_endpoint *e = BUILDER_ADD(&c->build, IMAGE_ENDPOINTS, struct image_endpoint);
    e->url = builder_str(&c->build, url);
    e->model = (int32_t)model;
    e->line = line;
}

static bool is_local(struct slice url)
{
    return slice_starts_with(url, SLICE("http://127.")) ||
           slice_starts_with(url, SLICE("http://localhost")) ||
           slice_starts_with(url, SLICE("http://[::1]"));
}

// A URL that requests are sent to; "/v1" and "/v1/" are the same base. False with a finding.
static bool url_of(struct checker *c, const struct node *string, const struct node *key,
                   struct slice *out)
{
    struct slice url = check_string(c, string);
    bool secret = false;
    const char *problem = check_url_problem(url, &secret);
    if (secret)
        diag_secret(c->diags, tree_span(c->tree, string));
    if (problem) {
        check_error(c, string, secret ? "inline-key" : "endpoint", "%s", problem);
        return false;
    }
    if (key && slice_starts_with(url, SLICE("http://")) && !is_local(url)) {
        struct diag *d = check_warning(c, string, "key-in-clear",
                                       "the key travels over this connection unencrypted");
        diag_help(c->diags, d, "use https, or put a proxy that speaks TLS on 127.0.0.1 before it");
    }
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    *out = url;
    return true;
}

static bool path_of(struct checker *c, const struct node *string, struct slice *out)
{
    enum { PATH_MAX_ = 4096 };
    *out = check_string(c, string);
    if (out->len > 0 && out->len <= PATH_MAX_)
        return true;
    check_error(c, string, "endpoint", "the path of a file has between 1 and %d bytes", PATH_MAX_);
    return false;
}

// "_service._tcp.name" and no port: the record has that. What is behind the two labels is the name that Host and TLS go by.
static bool srv_of(struct checker *c, const struct node *string, const struct node *key,
                   struct slice *url)
{
    if (!url_of(c, string, key, url))
        return false;
    struct slice rest = slice_from(*url, slice_starts_with(*url, SLICE("https://")) ? 8 : 7), host,
                 service, protocol, labels;
    slice_split(&rest, '/', &host);
    labels = host;
    bool fits = slice_split(&labels, '.', &service) && slice_split(&labels, '.', &protocol) &&
                service.len > 1 && service.ptr[0] == '_' && slice_ieq(protocol, SLICE("_tcp")) &&
                labels.len > 0 && !memchr(host.ptr, ':', host.len);
    if (fits)
        return true;
    struct diag *d = check_error(c, string, "endpoint",
                                 "the name of a service is `_service._tcp.name`, without a port");
    diag_help(c->diags, d, "write `srv \"http://_vllm._tcp.pool.example/v1\"`");
    return false;
}

// What stands first: a URL, `demo`, `dns "URL"`, `srv "URL"` or `file "PATH"`.
static bool place_of(struct checker *c, const struct node *n, const struct node *key,
                     struct image_endpoint *e, struct slice *url)
{
    if (n->kind == NODE_STRING)
        return url_of(c, n, key, url);
    if (n->kind == NODE_CLAUSE) {
        bool dns = tree_is(c->tree, n, "dns"), srv = tree_is(c->tree, n, "srv");
        e->discovery = dns ? IMAGE_DISCOVER_DNS : srv ? IMAGE_DISCOVER_SRV : IMAGE_DISCOVER_FILE;
        return dns   ? url_of(c, n->first, key, url)
               : srv ? srv_of(c, n->first, key, url)
                     : path_of(c, n->first, url);
    }
    *url = SLICE("demo:");
    if (tree_is(c->tree, n, "demo"))
        return true;
    struct diag *d = check_error(c, n, "endpoint", "an endpoint is a URL in quotes, or `demo`");
    diag_help(c->diags, d, "write `endpoint \"http://127.0.0.1:8000/v1\"`");
    return false;
}

static void rate(struct checker *c, const struct node *clause, struct image_endpoint *e)
{
    enum image_unit unit;
    struct slice under;
    int64_t v = 0;
    bool bare = clause->first->count == 1;
    if (!bare && !check_any_amount(c, clause->first, "a rate", &unit, &under, &v))
        return;
    if (bare || (unit != IMAGE_UNIT_REQUESTS && unit != IMAGE_UNIT_TOK) ||
        !slice_eq_cstr(under, "minute")) {
        struct diag *d =
            check_error(c, clause->first, "unit", "a rate is of requests or tokens a minute");
        diag_help(c->diags, d, "write `rate 600 requests/minute` or `rate 200k tok/minute`");
        return;
    }
    uint32_t *into = unit == IMAGE_UNIT_TOK ? &e->rate_tok_min : &e->rate_min;
    if (*into)
        check_error(c, clause, "duplicate", "this rate stands twice");
    if (v < 1 || v > RATE_MAX)
        check_error(c, clause->first, "range", "a rate is between 1 and %d a minute", RATE_MAX);
    else
        *into = (uint32_t)v;
}

static void serves(struct checker *c, const struct node *clause, struct image_endpoint *e)
{
    const struct node *from = tree_clause(c->tree, clause, "from"),
                      *to = tree_clause(c->tree, clause, "to");
    if (from)
        check_whole(c, from->first, "tok", "the least that it serves", 1, IMAGE_TOK_MAX,
                    &e->serves_from_tok);
    if (to)
        check_whole(c, to->first, "tok", "the most that it serves", 1, IMAGE_TOK_MAX,
                    &e->serves_to_tok);
    if (e->serves_to_tok && e->serves_from_tok > e->serves_to_tok)
        check_error(c, clause, "range", "no request has as many tokens");
}

// Where its metrics are, and what is asked of it while it is out.
static void asked(struct checker *c, const struct node *n, struct image_endpoint *e)
{
    const struct node *metrics = tree_clause(c->tree, n, "metrics"),
                      *health = tree_clause(c->tree, n, "health");
    struct slice url;
    if (metrics && url_of(c, metrics->first, NULL, &url))
        e->metrics_url = builder_str(&c->build, url);
    if (!health)
        return;
    struct slice path = check_string(c, health->first);
    bool plain = path.len > 0 && path.len <= 1024 && path.ptr[0] == '/';
    for (size_t i = 0; plain && i < path.len; i++)
        plain = (unsigned char)path.ptr[i] > 32 && (unsigned char)path.ptr[i] < 127;
    if (plain) {
        e->health = builder_str(&c->build, path);
        return;
    }
    struct diag *d =
        check_error(c, health->first, "endpoint", "the path that is asked begins with `/`");
    diag_help(c->diags, d, "write `health \"/health\"`");
}

static void attributes(struct checker *c, const struct node *n, struct image_endpoint *e)
{
    static const char *const engines[] = {"vllm", "sglang", "llamacpp", "tgi", NULL},
                             *const meters[] = {"nvml", "rapl", NULL};
    const struct node *clause;
    double weight;
    check_clauses_once(c, n);
    if ((clause = tree_clause(c->tree, n, "engine"))) {
        int32_t i = check_word_of(c, clause->first, engines, "engine");
        e->engine = i < 0 ? IMAGE_ENGINE_NONE : (enum image_engine)(i + IMAGE_ENGINE_VLLM);
    }
    if ((clause = tree_clause(c->tree, n, "weight")) &&
        check_number(c, clause->first, NULL, "a weight", 0.001, 1000, &weight))
        e->weight_milli = (uint32_t)(weight * 1000 + 0.5);
    if ((clause = tree_clause(c->tree, n, "slots")))
        check_whole(c, clause->first, NULL, "a number of slots", 1, SLOTS_MAX, &e->slots);
    for (const struct node *at = n->first; at; at = at->next)
        if (at->kind == NODE_CLAUSE && tree_is(c->tree, at, "rate"))
            rate(c, at, e);
    if ((clause = tree_clause(c->tree, n, "region")))
        e->region = builder_str(&c->build, tree_text(c->tree, clause->first));
    if ((clause = tree_clause(c->tree, n, "serves")))
        serves(c, clause, e);
    e->maintenance = tree_clause(c->tree, n, "maintenance") != NULL;
    if ((clause = tree_clause(c->tree, n, "meter"))) {
        int32_t i = check_word_of(c, clause->first, meters, "meter");
        e->meter = i < 0 ? IMAGE_METER_NONE : (enum image_meter)(i + IMAGE_METER_NVML);
        check_whole(c, clause->last, NULL, "the number of a meter", 0, METERS_MAX - 1,
                    &e->meter_index);
    }
    asked(c, n, e);
}

void check_endpoints(struct checker *c, uint32_t i, const struct node *clause,
                     const struct node *key)
{
    for (const struct node *at = clause->first; at; at = at->next) {
        struct image_endpoint e;
        struct slice url;
        memset(&e, 0, sizeof e);
        attributes(c, at, &e);
        if (!place_of(c, at->first, key, &e, &url))
            continue;
        e.url = builder_str(&c->build, url);
        e.model = (int32_t)i;
        e.line = tree_line(c->tree, at);
        *BUILDER_ADD(&c->build, IMAGE_ENDPOINTS, struct image_endpoint) = e;
    }
}
