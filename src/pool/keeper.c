#include "pool/keeper.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pool/discovery.h"
#include "pool/finder.h"
#include "pool/telemetry.h"

const struct keeper_times keeper_times_default = {
    .tick_ms = 50,
    .scrape_ms = 1000,
    .scrape_timeout_ms = 2000,
    .check_ms = 1000,
    .check_timeout_ms = 1000,
    .idle_ms = 30000,
    .idle_check_ms = 10000,
    .judge_ms = 10000,
    .file_ms = 1000,
    .dns_ms = 15000,
};

enum { LINE_BYTES = 1024, SWEEP_MS = 60000, CARBON_MS = 5000, RETRY_MEMORY_MS = 1000 };

enum probe_kind { PROBE_METRICS, PROBE_HEALTH };

struct watch;
struct probe {
    struct watch *watch;
    struct http_call *call; // NULL: none runs
    enum probe_kind kind;
    int status;
    uint64_t next_ms;
};

// One slot of the pool.
struct watch {
    struct keeper *keeper;
    uint32_t slot, generation;
    struct probe metrics, health;
    struct telemetry_reader reader;
    bool reading;
    double work_done;          // of the reading before; < 0: none
    enum telemetry_fault told; // that people were told of
    bool told_out;
    uint32_t idle_failures;
    uint64_t sign_ms,
        silent_from_ms; // the last sign of life seen, and since when none follows though calls wait
};

struct keeper {
    struct keeper_options o;
    struct http_client *client;
    struct loop_timer tick;
    struct rng rng;
    struct pool *pool;
    struct tls_context *tls;
    struct watch *watches;
    struct finders *finders;
    uint32_t calls, turn;
    uint64_t judge_ms, sweep_ms, carbon_ms;
};

static uint64_t now_ms(const struct keeper *k)
{
    return loop_now_us(k->o.loop) / 1000;
}

// Within a tenth, so that many places are not asked in one breath.
static uint64_t jittered(struct keeper *k, uint32_t ms)
{
    return ms - ms / 10 + rng_below(&k->rng, ms / 5 + 1);
}

MERIT_PRINTF(2, 3) static void say(struct keeper *k, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0 && k->o.say)
        k->o.say(k->o.ctx, slice_make(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1));
}

static const struct pool_endpoint *endpoint_of(const struct keeper *k, const struct pool_site *s)
{
    return &k->pool->endpoints[s->endpoint];
}

static struct slice model_of(const struct keeper *k, const struct pool_site *s)
{
    return k->pool->models[endpoint_of(k, s)->model].name;
}

// --- what a reading says

static void storef(_Atomic float *to, double v)
{
    atomic_store_explicit(to, (float)v, memory_order_relaxed);
}

void keeper_apply(struct place *p, const struct telemetry *t, uint64_t at_ms, uint64_t fresh_ms)
{
    struct place_gauges *g = &p->gauges;
    storef(&g->queue, t->queue);
    storef(&g->running, t->running);
    storef(&g->kv_use, t->kv_use);
    if (t->prefix_share >= 0)
        storef(&g->prefix_hit_share, t->prefix_share);
    if (t->block_tok > 0 && t->blocks > 0) {
        atomic_store_explicit(&g->block_tok, (uint32_t)t->block_tok, memory_order_relaxed);
        atomic_store_explicit(&g->blocks, (uint32_t)t->blocks, memory_order_relaxed);
    }
    if (t->slots > 0)
        atomic_store_explicit(&g->slots, (uint32_t)t->slots, memory_order_relaxed);
    if (t->preemptions >= 0)
        atomic_store_explicit(&g->preemptions, (uint64_t)t->preemptions, memory_order_relaxed);
    atomic_store_explicit(&g->lora_loaded, t->lora_told && t->lora_loaded, memory_order_relaxed);
    atomic_store_explicit(&g->lora_room, t->lora_told && t->lora_room, memory_order_relaxed);
    atomic_store_explicit(&g->ends, atomic_load_explicit(&p->ends, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&g->in_flight, atomic_load_explicit(&p->in_flight, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&g->at_ms, at_ms, memory_order_relaxed);
    atomic_store_explicit(&g->fresh_ms, fresh_ms, memory_order_relaxed);
}

static void forget(struct keeper *k, const struct watch *w)
{
    if (k->o.forget)
        k->o.forget(k->o.ctx, k->pool, (int32_t)w->slot);
}

static void take_reading(struct watch *w, enum telemetry_fault fault, const struct telemetry *t)
{
    struct keeper *k = w->keeper;
    const struct pool_site *s = pool_site(k->pool, (int32_t)w->slot);
    struct place *p = s->place;
    atomic_store_explicit(&p->gauges.fault, fault, memory_order_relaxed);
    if (fault != w->told) {
        if (fault)
            say(k, "model %.*s, %.*s: its metrics do not count: %s", SLICE_FMT(model_of(k, s)),
                SLICE_FMT(s->url), telemetry_fault_texts[fault]);
        else if (w->told != TELEMETRY_NOT_ASKED)
            say(k, "model %.*s, %.*s: its metrics count again", SLICE_FMT(model_of(k, s)),
                SLICE_FMT(s->url));
        w->told = fault;
    }
    if (fault)
        return;
    if (t->work_done >= 0 && w->work_done > t->work_done) {
        atomic_fetch_add_explicit(&p->gauges.restarts, 1, memory_order_relaxed);
        say(k, "model %.*s, %.*s: it was started again", SLICE_FMT(model_of(k, s)),
            SLICE_FMT(s->url));
        forget(k, w);
    }
    w->work_done = t->work_done;
    keeper_apply(p, t, now_ms(k),
                 now_ms(k) + (uint64_t)KEEPER_STALE_PERIODS * k->o.times.scrape_ms);
}

// --- probes

static void end_metrics(struct watch *w, enum telemetry_fault fault)
{
    struct telemetry t;
    enum telemetry_fault read = telemetry_end(&w->reader, &t);
    w->reading = false;
    take_reading(w, fault ? fault : read, &t);
}

static void end_health(struct watch *w, bool well)
{
    struct keeper *k = w->keeper;
    const struct pool_site *s = pool_site(k->pool, (int32_t)w->slot);
    struct health *h = &s->place->health;
    struct health_seen seen = health_look(h);
    uint64_t now = now_ms(k);
    bool changed = false;
    if (seen.state == HEALTH_OUT) {
        // Where requests fail though its health is good, the growing time between trials is kept. A health check needs no
        // key.
        enum health_why why = (enum health_why)atomic_load_explicit(&h->why, memory_order_relaxed);
        if (well && seen.ejections <= 1 && !health_is_denial(why))
            changed = health_release(h, now);
        else if (!well)
            health_hold(h, now + k->o.times.check_ms + k->o.times.check_timeout_ms);
    }
    w->idle_failures = well || seen.state != HEALTH_UP ? 0 : w->idle_failures + 1;
    if (w->idle_failures >= KEEPER_IDLE_FAILURES) {
        changed |= health_eject(h, HEALTH_WHY_CHECK, now, (uint32_t)rng_next(&k->rng));
        w->idle_failures = 0;
    }
    if (changed)
        pool_changed(k->pool);
}

static void on_head(struct http_call *call, void *user, const struct http_head *head)
{
    (void)call;
    struct probe *p = user;
    p->status = head->status;
}

static void stop_reading(struct watch *w, const struct probe *p)
{
    struct telemetry t;
    if (p->kind != PROBE_METRICS || !w->reading)
        return;
    (void)telemetry_end(&w->reader, &t);
    w->reading = false;
}

static void finish(struct probe *p, enum telemetry_fault fault, bool well)
{
    struct watch *w = p->watch;
    const struct pool_slot *slot = &w->keeper->pool->slots[w->slot];
    p->call = NULL;
    w->keeper->calls--;
    // Another place stands there since it was asked: this is not its word.
    if (atomic_load_explicit(&slot->generation, memory_order_relaxed) != w->generation) {
        stop_reading(w, p);
        return;
    }
    if (p->kind == PROBE_METRICS)
        end_metrics(p->watch, fault);
    else
        end_health(p->watch, well);
}

static void on_body(struct http_call *call, void *user, struct slice piece)
{
    struct probe *p = user;
    if (p->kind == PROBE_HEALTH || p->status != 200 || telemetry_feed(&p->watch->reader, piece))
        return;
    http_call_cancel(call);
    finish(p, TELEMETRY_OK, false);
}

static void on_end(struct http_call *call, void *user)
{
    (void)call;
    struct probe *p = user;
    finish(p, p->status == 200 ? TELEMETRY_OK : TELEMETRY_STATUS,
           p->status >= 200 && p->status < 300);
}

static void on_error(struct http_call *call, void *user, enum result why, enum http_phase phase,
                     bool reused)
{
    (void)call;
    (void)phase;
    (void)reused;
    finish(user,
           why == RESULT_TIMEOUT    ? TELEMETRY_SLOW
           : why == RESULT_NOMEM    ? TELEMETRY_MEMORY
           : why == RESULT_PROTOCOL ? TELEMETRY_FORMAT
                                    : TELEMETRY_UNREACHABLE,
           false);
}

static const struct http_call_ops PROBE_OPS = {on_head, on_body, on_end, on_error};

struct goal {
    struct slice host, connect, path;
    uint16_t port;
    bool tls, own; // own: the place itself, which may see its key
};

// Where to ask: `stated` is a URL, a path at the place, or empty for the engine's own.
static bool goal_of(const struct pool_site *s, struct slice stated, struct slice usual,
                    struct goal *out)
{
    struct http_url url;
    *out = (struct goal){s->host, s->connect, stated.len ? stated : usual, s->port, s->tls, true};
    if (!out->path.len)
        return false;
    if (out->path.ptr[0] == '/')
        return true;
    if (http_url_parse(stated, &url))
        return false;
    *out = (struct goal){.host = url.host, .path = url.path, .port = url.port, .tls = url.tls};
    if (!out->path.len)
        out->path = SLICE("/");
    return true;
}

static bool goal_for(const struct keeper *k, const struct pool_site *s, enum probe_kind kind,
                     struct goal *out)
{
    const struct image_endpoint *def = endpoint_of(k, s)->def;
    const struct policy_image *image = k->pool->image;
    if (kind == PROBE_METRICS)
        return def->engine != IMAGE_ENGINE_NONE &&
               goal_of(s, image_text(image, def->metrics_url), telemetry_metrics_path(def->engine),
                       out);
    return goal_of(s, image_text(image, def->health), telemetry_health_path(def->engine), out);
}

static enum result send_probe(struct probe *p, const struct goal *goal, uint32_t timeout_ms)
{
    struct keeper *k = p->watch->keeper;
    const struct pool_site *s = pool_site(k->pool, (int32_t)p->watch->slot);
    struct slice key = k->pool->models[endpoint_of(k, s)->model].authorization;
    const struct http_header headers[] = {{SLICE("accept"), SLICE("text/plain;version=0.0.4, */*")},
                                          {SLICE("accept-encoding"), SLICE("identity")},
                                          {SLICE("authorization"), key}};
    struct http_request request = {
        .method = HTTP_GET,
        .target = goal->path,
        .headers = headers,
        .header_count = key.len && goal->own ? 3 : 2,
        .connect_timeout_ms = timeout_ms,
        .first_byte_timeout_ms = timeout_ms,
        .idle_timeout_ms = timeout_ms,
        .total_timeout_ms = timeout_ms,
    };
    struct http_origin *origin;
    enum result r = http_client_origin_at(k->client, goal->host, goal->port, goal->connect,
                                          goal->tls ? k->tls : NULL, &origin);
    if (!r)
        r = http_call_start(origin, &request, &PROBE_OPS, p, &p->call);
    if (!r)
        k->calls++;
    return r;
}

static void ask_metrics(struct watch *w, const struct pool_site *s)
{
    struct keeper *k = w->keeper;
    const struct image_endpoint *def = endpoint_of(k, s)->def;
    struct goal goal;
    w->metrics.next_ms = now_ms(k) + jittered(k, k->o.times.scrape_ms);
    if (!goal_for(k, s, PROBE_METRICS, &goal))
        return;
    w->metrics.status = 0;
    telemetry_begin(&w->reader, def->engine,
                    k->pool->models[endpoint_of(k, s)->model].upstream_name);
    w->reading = true;
    if (send_probe(&w->metrics, &goal, k->o.times.scrape_timeout_ms))
        end_metrics(w, TELEMETRY_MEMORY);
}

// A machine that hangs takes connections and requests as ever, and its calls fail when their time is up: minutes later, with
// all that went there meanwhile.
static bool is_silent(struct watch *w, const struct place *p, uint64_t now)
{
    uint32_t idle_ms = w->keeper->o.times.idle_ms;
    uint64_t sign = atomic_load_explicit(&p->last_sign_ms, memory_order_relaxed);
    if (sign != w->sign_ms || !atomic_load_explicit(&p->in_flight, memory_order_relaxed)) {
        w->sign_ms = sign;
        w->silent_from_ms = now;
    }
    return now - w->silent_from_ms >= (idle_ms < KEEPER_SILENT_MS ? idle_ms : KEEPER_SILENT_MS);
}

static void ask_health(struct watch *w, const struct pool_site *s)
{
    struct keeper *k = w->keeper;
    struct goal goal;
    bool up = health_look(&s->place->health).state == HEALTH_UP;
    uint64_t last = atomic_load_explicit(&s->place->last_call_ms, memory_order_relaxed);
    uint64_t now = now_ms(k);
    bool silent = is_silent(w, s->place, now);
    if (up && !silent && last + k->o.times.idle_ms > now) {
        w->idle_failures = 0;
        w->health.next_ms = now + k->o.times.check_ms;
        return;
    }
    w->health.next_ms =
        now + jittered(k, up && !silent ? k->o.times.idle_check_ms : k->o.times.check_ms);
    if (!goal_for(k, s, PROBE_HEALTH, &goal))
        return;
    w->health.status = 0;
    if (send_probe(&w->health, &goal, k->o.times.check_timeout_ms))
        w->health.next_ms = now + RETRY_MEMORY_MS;
}

static void stop_probe(struct probe *p)
{
    if (!p->call)
        return;
    http_call_cancel(p->call);
    p->call = NULL;
    p->watch->keeper->calls--;
}

static void stop_watch(struct watch *w)
{
    stop_probe(&w->metrics);
    stop_probe(&w->health);
    stop_reading(w, &w->metrics);
}

static void begin_watch(struct watch *w, uint32_t generation)
{
    struct keeper *k = w->keeper;
    bool first = !w->generation;
    stop_watch(w);
    w->generation = generation;
    w->work_done = -1;
    w->told = TELEMETRY_NOT_ASKED;
    w->told_out = false;
    w->idle_failures = 0;
    w->silent_from_ms = now_ms(k);
    w->metrics.next_ms = now_ms(k) + (first ? 0 : rng_below(&k->rng, k->o.times.scrape_ms + 1));
    w->health.next_ms = now_ms(k) + rng_below(&k->rng, k->o.times.check_ms + 1);
    if (!first)
        forget(k, w);
}

// Tells of a place that fell out, and of its return.
static void tell_health(struct watch *w, const struct pool_site *s)
{
    struct keeper *k = w->keeper;
    struct health_seen h = health_look(&s->place->health);
    bool out = h.state != HEALTH_UP;
    if (out == w->told_out)
        return;
    w->told_out = out;
    uint32_t why = atomic_load_explicit(&s->place->health.why, memory_order_relaxed);
    if (out)
        say(k, "model %.*s, %.*s: out of service (%s)", SLICE_FMT(model_of(k, s)),
            SLICE_FMT(s->url), health_why_names[why]);
    else
        say(k, "model %.*s, %.*s: in service again", SLICE_FMT(model_of(k, s)), SLICE_FMT(s->url));
}

static void look_after(struct watch *w)
{
    struct keeper *k = w->keeper;
    const struct pool_slot *slot = &k->pool->slots[w->slot];
    const struct pool_site *s = pool_site(k->pool, (int32_t)w->slot);
    uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    if (!s)
        return;
    if (generation != w->generation)
        begin_watch(w, generation);
    if (atomic_load_explicit(&slot->mode, memory_order_relaxed) == POOL_SLOT_GONE) {
        stop_watch(w);
        return;
    }
    tell_health(w, s);
    uint64_t now = now_ms(k);
    if (!w->metrics.call && w->metrics.next_ms <= now && k->calls < KEEPER_CALLS_MAX)
        ask_metrics(w, s);
    if (!w->health.call && w->health.next_ms <= now && k->calls < KEEPER_CALLS_MAX)
        ask_health(w, s);
}

// --- outliers

static void judge_model(struct keeper *k, const struct pool_model *m)
{
    struct health_window w[POOL_PLACES_PER_MODEL_MAX];
    enum health_why why[POOL_PLACES_PER_MODEL_MAX];
    int32_t slots[POOL_PLACES_PER_MODEL_MAX];
    uint32_t n = 0, used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    bool split = false; // some serve only short or long requests: their times are not alike
    for (uint32_t i = m->slot_first; i < m->slot_first + used; i++) {
        const struct pool_site *s = pool_site(k->pool, (int32_t)i);
        const struct image_endpoint *def = endpoint_of(k, s)->def;
        struct place *p = s->place;
        uint64_t calls = atomic_load_explicit(&p->calls, memory_order_relaxed);
        uint64_t errors = atomic_load_explicit(&p->errors, memory_order_relaxed);
        uint32_t firsts = atomic_load_explicit(&p->firsts, memory_order_relaxed);
        if (atomic_load_explicit(&k->pool->slots[i].mode, memory_order_relaxed) != POOL_SLOT_SERVES)
            continue;
        split |= def->serves_from_tok || def->serves_to_tok;
        w[n] = (struct health_window){
            .calls = calls - p->judged_calls,
            .errors = errors - p->judged_errors,
            .first_ms = atomic_load_explicit(&p->recent_first_ms, memory_order_relaxed),
            .firsts = firsts - p->judged_firsts,
            .out = health_look(&p->health).state != HEALTH_UP,
        };
        p->judged_calls = calls;
        p->judged_errors = errors;
        p->judged_firsts = firsts;
        slots[n++] = (int32_t)i;
    }
    for (uint32_t i = 0; split && i < n; i++)
        w[i].first_ms = -1;
    if (n < 2 || !health_judge(w, n, why))
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (why[i] != HEALTH_WHY_NONE &&
            health_eject(&pool_site(k->pool, slots[i])->place->health, why[i], now_ms(k),
                         (uint32_t)rng_next(&k->rng)))
            pool_changed(k->pool);
    }
}

static void set_carbon(struct keeper *k)
{
    for (uint32_t i = 0; k->o.carbon_g_kwh && i < k->pool->slot_room; i++) {
        const struct pool_site *s = pool_site(k->pool, (int32_t)i);
        if (s)
            storef(&s->place->carbon_g_kwh,
                   k->o.carbon_g_kwh(k->o.ctx, k->pool->image, endpoint_of(k, s)->model));
    }
}

// --- life

static void on_tick(struct loop_timer *t)
{
    struct keeper *k = MERIT_CONTAINER(t, struct keeper, tick);
    uint64_t now = now_ms(k);
    finders_look(k->finders, now);
    discovery_sweep(k->pool, now);
    // Each tick begins elsewhere, so that many that hang at the front do not keep the others from being asked.
    for (uint32_t i = 0; i < k->pool->slot_room; i++)
        look_after(&k->watches[(k->turn + i) % k->pool->slot_room]);
    k->turn += KEEPER_CALLS_MAX;
    if (k->judge_ms <= now) {
        k->judge_ms = now + k->o.times.judge_ms;
        for (uint32_t i = 0; i < k->pool->model_count; i++)
            judge_model(k, &k->pool->models[i]);
    }
    if (k->carbon_ms <= now) {
        k->carbon_ms = now + CARBON_MS;
        set_carbon(k);
    }
    if (k->sweep_ms <= now) {
        k->sweep_ms = now + SWEEP_MS;
        pool_sweep(k->pool, now);
    }
    loop_timer_set(k->o.loop, &k->tick, k->o.times.tick_ms);
}

enum result keeper_open(struct keeper **out, const struct keeper_options *options)
{
    static const struct http_client_limits limits = {
        .idle_per_origin = 1, .idle_timeout_ms = 30000, .head_bytes = 16 * 1024};
    uint64_t seed;
    struct keeper *k = alloc_zeroed(1, sizeof *k);
    *out = NULL;
    if (!k)
        return RESULT_NOMEM;
    k->o = *options;
    k->tick.on_due = on_tick;
    enum result r = rng_secret(&seed, sizeof seed);
    if (!r) {
        rng_seed(&k->rng, seed);
        r = http_client_open(&k->client, k->o.loop, k->o.dns, &limits);
    }
    if (r) {
        alloc_free(k);
        return r;
    }
    *out = k;
    return RESULT_OK;
}

static void let_go(struct keeper *k)
{
    for (uint32_t i = 0; k->pool && i < k->pool->slot_room; i++)
        stop_watch(&k->watches[i]);
    finders_close(k->finders);
    alloc_free(k->watches);
    k->watches = NULL;
    k->finders = NULL;
    k->pool = NULL;
}

enum result keeper_take(struct keeper *k, struct pool *pool, struct tls_context *client_tls)
{
    struct watch *watches = alloc_zeroed(pool->slot_room, sizeof *watches);
    const struct finders_options options = {.loop = k->o.loop,
                                            .pool = pool,
                                            .folder = k->o.folder,
                                            .servers = k->o.servers.count ? &k->o.servers : NULL,
                                            .file_ms = k->o.times.file_ms,
                                            .dns_ms = k->o.times.dns_ms,
                                            .say = k->o.say,
                                            .ctx = k->o.ctx,
                                            .rng = &k->rng};
    struct finders *finders = NULL;
    if (!watches || finders_open(&finders, &options)) {
        alloc_free(watches);
        return RESULT_NOMEM;
    }
    struct pool *old = k->pool;
    let_go(k);
    k->pool = pool;
    k->tls = client_tls;
    k->watches = watches;
    k->finders = finders;
    for (uint32_t i = 0; i < pool->slot_room; i++) {
        struct watch *w = &watches[i];
        *w = (struct watch){.keeper = k, .slot = i};
        w->metrics = (struct probe){.watch = w, .kind = PROBE_METRICS};
        w->health = (struct probe){.watch = w, .kind = PROBE_HEALTH};
    }
    finders_begin(finders, now_ms(k));
    if (old) {
        finders_carry_over(pool, old, now_ms(k));
        pool_inherit(pool, old, now_ms(k));
    }
    k->judge_ms = now_ms(k) + k->o.times.judge_ms;
    k->carbon_ms = 0;
    loop_timer_set(k->o.loop, &k->tick, 1);
    return RESULT_OK;
}

void keeper_close(struct keeper *k)
{
    if (!k)
        return;
    loop_timer_cancel(k->o.loop, &k->tick);
    let_go(k);
    http_client_close(k->client);
    alloc_free(k);
}
