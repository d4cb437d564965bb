#include "pool/carbon_feed.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "net/http_client.h"

enum { TICK_MS = 250, LINE_BYTES = 1024, SOONER = 10, DOUBLINGS_MAX = 4 };

struct feed {
    struct carbon_feeds *feeds;
    uint32_t source; // of the carbon
    bool known, told_stale;
    struct http_call *call; // NULL: none runs
    struct buf body;
    int status;
    uint32_t failures; // in a row
    uint64_t next_ms;
    char told[CARBON_WHY_BYTES]; // the trouble that people were told of
};

struct carbon_feeds {
    struct carbon_feeds_options o;
    struct http_client *client;
    struct tls_context *tls;
    struct loop_timer tick;
    struct rng rng;
    struct feed all[CARBON_ZONES_MAX];
};

static uint64_t now_ms(const struct carbon_feeds *f)
{
    return loop_now_us(f->o.loop) / 1000;
}

bool carbon_feed_url(struct slice url, struct slice *origin, struct slice *target)
{
    struct http_url parsed;
    size_t query = 0;
    while (query < url.len && url.ptr[query] != '?')
        query++;
    *origin = slice_head(url, query);
    for (size_t i = query; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '#')
            return false;
    if (http_url_parse(*origin, &parsed))
        return false;
    // What is behind the authority, as it stands.
    size_t at = parsed.tls ? 8 : 7;
    while (at < query && url.ptr[at] != '/')
        at++;
    *target = slice_from(url, at);
    return query == url.len || at < query; // "http://host?x" has no path that a query could follow
}

static void tell(const struct feed *d, const struct carbon_view *v, const char *what,
                 const char *more)
{
    struct slice origin, target;
    struct http_url url = {.host = SLICE_EMPTY};
    char line[LINE_BYTES];
    if (carbon_feed_url(v->file, &origin, &target))
        (void)http_url_parse(origin, &url);
    int n = snprintf(line, sizeof line, "carbon of zone %.*s: the feed at %.*s: %s%s",
                     SLICE_FMT(v->zone), SLICE_FMT(url.host), what, more);
    if (n > 0)
        d->feeds->o.say(d->feeds->o.ctx,
                        slice_make(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1));
}

// What is new since people were told last.
static void tell_news(struct feed *d)
{
    struct carbon_view v;
    if (!carbon_each(d->feeds->o.carbon, d->source, &v) || !v.used)
        return;
    bool stale = v.from == CARBON_STALE;
    if (strcmp(d->told, v.why) != 0) {
        if (v.why[0])
            tell(d, &v, v.why, stale ? "; the policy's figure holds" : "");
        else
            tell(d, &v, "it counts again", "");
        snprintf(d->told, sizeof d->told, "%s", v.why);
    } else if (stale && !d->told_stale && d->failures) {
        tell(d, &v, "what it said is too old", "; the policy's figure holds");
    } else if (stale && !d->told_stale && d->status) {
        tell(d, &v, "it says nothing of this hour", "; the policy's figure holds");
    }
    d->told_stale = stale;
}

static void finish(struct feed *d, const char *why)
{
    struct carbon_feeds *f = d->feeds;
    uint64_t wall_us = loop_wall_us(f->o.loop), wait_ms = f->o.every_ms;
    struct carbon_view v;
    d->call = NULL;
    if (why)
        carbon_not_fed(f->o.carbon, d->source, why);
    else
        carbon_fed(f->o.carbon, d->source, buf_slice(&d->body), loop_now_us(f->o.loop), wall_us);
    buf_deinit(&d->body);
    bool failed = carbon_each(f->o.carbon, d->source, &v) && v.why[0];
    d->failures = failed ? d->failures + 1 : 0;
    if (failed) {
        uint32_t doubled = d->failures - 1 < DOUBLINGS_MAX ? d->failures - 1 : DOUBLINGS_MAX;
        uint64_t sooner = (wait_ms / SOONER + 1) << doubled;
        wait_ms = sooner < wait_ms ? sooner : wait_ms;
    }
    // Within a tenth, so that many of us do not ask in one breath.
    d->next_ms = now_ms(f) + wait_ms - wait_ms / 10 + rng_below(&f->rng, wait_ms / 5 + 1);
    tell_news(d);
}

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    struct feed *d = user;
    char why[CARBON_WHY_BYTES];
    d->status = head->status;
    if (head->status == 200 && head->content_length <= CARBON_BYTES_MAX)
        return;
    snprintf(why, sizeof why, "it answered with status %d", head->status);
    http_call_cancel(call);
    finish(d, head->status == 200 ? "more than 4 MiB" : why);
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    struct feed *d = user;
    buf_add(&d->body, piece);
    if (!buf_result(&d->body))
        return;
    bool large = buf_result(&d->body) == RESULT_LIMIT;
    http_call_cancel(call);
    finish(d, large ? "more than 4 MiB" : "out of memory");
}

static void on_end(struct http_call *call, void *user)
{
    (void)call;
    finish(user, NULL);
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    (void)call;
    (void)reused;
    finish(user, why == RESULT_TIMEOUT         ? "no whole answer came in time"
                 : why == RESULT_NOMEM         ? "out of memory"
                 : why == RESULT_TLS           ? "its certificate is not trusted"
                 : why == RESULT_PROTOCOL      ? "its answer is no HTTP"
                 : phase == HTTP_PHASE_CONNECT ? "it cannot be reached"
                                               : "its answer broke off");
}

static const struct http_call_ops FEED_OPS = {on_head, on_body, on_end, on_error};

static void ask(struct feed *d, const struct carbon_view *v)
{
    static const struct http_header headers[] = {
        {{"accept", 6}, {"application/json, text/csv, */*;q=0.1", 37}},
        {{"accept-encoding", 15}, {"identity", 8}}};
    struct carbon_feeds *f = d->feeds;
    struct slice origin, target;
    struct http_origin *at;
    struct http_url url;
    d->status = 0;
    buf_init(&d->body, CARBON_BYTES_MAX);
    if (!carbon_feed_url(v->file, &origin, &target) || http_url_parse(origin, &url)) {
        finish(d, "it is no URL; write https://host/path");
        return;
    }
    if (url.tls && !f->tls) {
        finish(d, "TLS is not set up");
        return;
    }
    const struct http_request request = {
        .method = HTTP_GET,
        .target = target.len ? target : SLICE("/"),
        .headers = headers,
        .header_count = MERIT_COUNT(headers),
        .connect_timeout_ms = CARBON_FEED_TIMEOUT_MS,
        .first_byte_timeout_ms = CARBON_FEED_TIMEOUT_MS,
        .idle_timeout_ms = CARBON_FEED_TIMEOUT_MS,
        .total_timeout_ms = CARBON_FEED_TIMEOUT_MS,
    };
    if (http_client_origin(f->client, url.host, url.port, url.tls ? f->tls : NULL, &at) ||
        http_call_start(at, &request, &FEED_OPS, d, &d->call))
        finish(d, "out of memory");
}

static void stop(struct feed *d)
{
    if (!d->call)
        return;
    http_call_cancel(d->call);
    d->call = NULL;
    buf_deinit(&d->body);
}

static void on_tick(struct loop_timer *t)
{
    struct carbon_feeds *f = MERIT_CONTAINER(t, struct carbon_feeds, tick);
    struct carbon_view v;
    bool any = false;
    for (uint32_t i = 0; carbon_each(f->o.carbon, i, &v); i++) {
        struct feed *d = &f->all[i];
        if (!v.feed)
            continue;
        if (!v.used) {
            stop(d);
            d->known = false;
            continue;
        }
        any = true;
        if (!d->known) {
            *d = (struct feed){.feeds = f, .source = i, .known = true, .told_stale = true};
            d->next_ms = now_ms(f);
        }
        if (!d->call && d->next_ms <= now_ms(f))
            ask(d, &v);
        carbon_age(f->o.carbon, i, loop_now_us(f->o.loop), loop_wall_us(f->o.loop));
        if (!d->call)
            tell_news(d);
    }
    if (any)
        loop_timer_set(f->o.loop, t, TICK_MS);
}

enum result carbon_feeds_open(struct carbon_feeds **out, const struct carbon_feeds_options *options)
{
    static const struct http_client_limits limits = {
        .idle_per_origin = 0, .idle_timeout_ms = 1000, .head_bytes = 16 * 1024};
    uint64_t seed;
    *out = NULL;
    struct carbon_feeds *f = alloc_zeroed(1, sizeof *f);
    if (!f)
        return RESULT_NOMEM;
    f->o = *options;
    f->tick.on_due = on_tick;
    enum result r = rng_secret(&seed, sizeof seed);
    if (!r) {
        rng_seed(&f->rng, seed);
        r = http_client_open(&f->client, f->o.loop, f->o.dns, &limits);
    }
    if (r) {
        alloc_free(f);
        return r;
    }
    *out = f;
    return RESULT_OK;
}

void carbon_feeds_use(struct carbon_feeds *f, struct tls_context *tls)
{
    if (tls && tls != f->tls) {
        // Kept until the end: a call may be under way with the one before.
        tls_context_unref(f->tls);
        f->tls = tls_context_ref(tls);
    }
    loop_timer_set(f->o.loop, &f->tick, 1);
}

void carbon_feeds_close(struct carbon_feeds *f)
{
    if (!f)
        return;
    loop_timer_cancel(f->o.loop, &f->tick);
    for (uint32_t i = 0; i < CARBON_ZONES_MAX; i++)
        stop(&f->all[i]);
    http_client_close(f->client);
    tls_context_unref(f->tls);
    alloc_free(f);
}
