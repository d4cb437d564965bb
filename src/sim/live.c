#include "sim/live.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sim/live_metrics.h"

const char *const live_kind_names[LIVE_KINDS] = {"vllm", "sglang", "llamacpp", "tgi"};
const char *const live_failure_names[LIVE_FAILURES] = {
    "rate_limit",      "invalid_api_key", "context_length", "server_error",
    "invalid_request", "model_not_found", "overloaded",     "break"};

enum { BEAT_MS = 20 };

struct live {
    struct live_options o;
    struct loop *loop;
    struct engine *engine;
    struct loop_timer step, beat;
    struct rng rng;
    uint64_t begin_us, down_until_us;
    struct slice model;
    uint16_t port;
    int lives;
    char *adapters[LIVE_ADAPTERS_MAX]; // by number; NULL: removed
    uint32_t adapter_count;
    struct live_counts counts;
};

static uint64_t engine_now(const struct live *l)
{
    return (uint64_t)((double)(loop_now_us(l->loop) - l->begin_us) * l->o.time_factor);
}

static double real_s(const struct live *l, uint64_t engine_us)
{
    return (double)engine_us / l->o.time_factor / 1e6;
}

// ---- Lives

static void live_log(struct live *l, const char *what)
{
    char line[160];
    if (l->lives < 0)
        return;
    int n =
        snprintf(line, sizeof line, "{\"us\": %llu, \"port\": %u, \"pid\": %d, \"is\": \"%s\"}\n",
                 (unsigned long long)loop_wall_us(l->loop), l->port, (int)getpid(), what);
    ssize_t written = write(l->lives, line, (size_t)n);
    (void)written;
}

static void beat_due(struct loop_timer *t)
{
    struct live *l = MERIT_CONTAINER(t, struct live, beat);
    if (live_is_up(l)) {
        if (l->down_until_us) {
            l->down_until_us = 0;
            live_log(l, "up");
        } else {
            live_log(l, "alive");
        }
    }
    loop_timer_set(l->loop, &l->beat, BEAT_MS);
}

// ---- The engine's time

static void arm(struct live *l)
{
    uint64_t next = engine_next_us(l->engine), now = engine_now(l);
    if (next == ENGINE_NEVER) {
        loop_timer_cancel(l->loop, &l->step);
        return;
    }
    double ms = next > now ? (double)(next - now) / l->o.time_factor / 1000 : 0;
    loop_timer_set(l->loop, &l->step, ms > 1e9 ? 1000000000 : (uint32_t)ceil(ms));
}

static void step_due(struct loop_timer *t)
{
    struct live *l = MERIT_CONTAINER(t, struct live, step);
    engine_run(l->engine, engine_now(l));
    arm(l);
}

static void on_token(void *user, struct engine_request *r, uint64_t now_us)
{
    struct live *l = user;
    struct live_call *c = r->ask.user;
    if (r->produced_tok == 1) {
        live_observe(&l->counts, LIVE_FIRST, real_s(l, now_us - r->submitted_us));
        live_observe(&l->counts, LIVE_QUEUE, real_s(l, r->admitted_us - r->submitted_us));
    } else {
        live_observe(&l->counts, LIVE_EACH, real_s(l, now_us - c->last_us));
    }
    c->last_us = now_us;
    c->cached_tok = r->cached_tok;
    c->granted = r->produced_tok;
    if (r->produced_tok < r->ask.output_tok)
        c->on_progress(c, false, ENGINE_DONE);
}

static void on_end(void *user, struct engine_request *r, enum engine_end why, uint64_t now_us)
{
    struct live *l = user;
    struct live_call *c = r->ask.user;
    c->request = NULL;
    if (why == ENGINE_DONE) {
        live_observe(&l->counts, LIVE_WHOLE, real_s(l, now_us - r->submitted_us));
        live_observe(&l->counts, LIVE_PROMPT, r->ask.prompt_tok);
        live_observe(&l->counts, LIVE_OUTPUT, r->produced_tok);
    }
    c->on_progress(c, true, why);
}

enum result live_submit(struct live *l, struct live_call *c, const struct engine_ask *ask)
{
    struct engine_ask mine = *ask;
    mine.user = c;
    // What is due by now has happened before this request.
    engine_run(l->engine, engine_now(l));
    enum result r = engine_submit(l->engine, &mine, engine_now(l), &c->request);
    arm(l);
    return r;
}

void live_drop(struct live *l, struct live_call *c)
{
    if (!c->request)
        return;
    engine_cancel(l->engine, c->request, engine_now(l));
    c->request = NULL;
}

void live_restart(struct live *l, uint32_t down_ms)
{
    l->down_until_us = loop_now_us(l->loop) + down_ms * 1000ull;
    live_log(l, "down");
    engine_run(l->engine, engine_now(l));
    engine_restart(l->engine, engine_now(l));
    arm(l);
}

bool live_is_up(const struct live *l)
{
    return loop_now_us(l->loop) >= l->down_until_us;
}

bool live_fails(struct live *l, enum live_failure *how)
{
    if (!l->o.failure_types || rng_unit(&l->rng) >= l->o.failure_rate)
        return false;
    uint32_t n = (uint32_t)rng_below(&l->rng, (uint64_t)__builtin_popcount(l->o.failure_types));
    for (uint32_t i = 0; i < LIVE_FAILURES; i++) {
        if ((l->o.failure_types >> i & 1) && !n--) {
            *how = (enum live_failure)i;
            return true;
        }
    }
    return false;
}

// ---- What it shows

const struct live_options *live_options(const struct live *l)
{
    return &l->o;
}

struct engine *live_engine(struct live *l)
{
    return l->engine;
}

static void see(struct live *l, struct live_seen *s)
{
    struct engine_stats *e = &s->stats;
    engine_stats(l->engine, e);
    s->model = l->model;
    s->profile = engine_profile(l->engine);
    s->counts = &l->counts;
    s->running = e->running;
    s->waiting = e->waiting;
    s->kv_use = e->kv_use;
    s->wall_s = (double)loop_wall_us(l->loop) / 1e6;
    s->real_s = (double)(loop_now_us(l->loop) - l->begin_us) / 1e6;
    s->joules = engine_joules(l->engine, engine_now(l));
    s->running_adapters[0] = s->waiting_adapters[0] = 0;
    size_t n = 0;
    for (uint32_t i = 0; i < e->running_adapter_count && n < sizeof s->running_adapters - 80; i++)
        n += (size_t)snprintf(s->running_adapters + n, 80, "%s%.70s", n ? "," : "",
                              live_adapter_name(l, (int32_t)e->running_adapters[i]).ptr);
    n = 0;
    for (uint32_t i = 0; i < e->waiting_adapter_count && n < sizeof s->waiting_adapters - 80; i++)
        n += (size_t)snprintf(s->waiting_adapters + n, 80, "%s%.70s", n ? "," : "",
                              live_adapter_name(l, (int32_t)e->waiting_adapters[i]).ptr);
    if (l->counts.faked) {
        s->running = l->counts.fake_running;
        s->waiting = l->counts.fake_waiting;
        s->kv_use = l->counts.fake_kv_use;
    }
}

void live_metrics(struct live *l, struct buf *out)
{
    struct live_seen s;
    see(l, &s);
    live_metrics_write(&s, l->o.kind, out);
}

void live_state(struct live *l, struct buf *out)
{
    struct live_seen s;
    see(l, &s);
    const struct engine_stats *e = &s.stats;
    buf_printf(
        out,
        "{\"up\": %s, \"running\": %u, \"waiting\": %u, \"kv_use\": %.6f, \"blocks\": %u, "
        "\"blocks_free\": %u, \"submitted\": %llu, \"finished\": %llu, \"lost\": %llu, "
        "\"cancelled\": %llu, \"refused\": %llu, \"preemptions\": %llu, \"restarts\": %llu, ",
        live_is_up(l) ? "true" : "false", e->running, e->waiting, e->kv_use, e->blocks,
        e->blocks_free, (unsigned long long)e->submitted, (unsigned long long)e->finished,
        (unsigned long long)e->lost, (unsigned long long)e->cancelled,
        (unsigned long long)e->refused, (unsigned long long)e->preemptions,
        (unsigned long long)e->restarts);
    buf_printf(out,
               "\"steps\": %llu, \"prefill_tokens\": %llu, \"decode_tokens\": %llu, "
               "\"generated_tokens\": %llu, \"prefix_asked_tokens\": %llu, "
               "\"prefix_found_tokens\": %llu, \"adapter_loads\": %llu, \"joules\": %.3f}",
               (unsigned long long)e->steps, (unsigned long long)e->prefill_tok,
               (unsigned long long)e->decode_tok, (unsigned long long)e->generated_tok,
               (unsigned long long)e->prefix_asked_tok, (unsigned long long)e->prefix_found_tok,
               (unsigned long long)e->adapter_loads, s.joules);
}

struct slice live_orca(struct live *l, struct slice format, struct arena *arena)
{
    struct live_seen s;
    see(l, &s);
    if (slice_ieq(format, SLICE("TEXT")))
        return arena_printf(arena,
                            "TEXT named_metrics.kv_cache_usage_perc=%.6f, "
                            "named_metrics.num_requests_waiting=%.0f, "
                            "named_metrics.num_requests_running=%.0f",
                            s.kv_use, s.waiting, s.running);
    if (slice_ieq(format, SLICE("JSON")))
        return arena_printf(arena,
                            "JSON {\"named_metrics\": {\"kv_cache_usage_perc\": %.6f, "
                            "\"num_requests_waiting\": %.0f, \"num_requests_running\": %.0f}}",
                            s.kv_use, s.waiting, s.running);
    return SLICE_EMPTY;
}

// ---- Adapters

int32_t live_adapter(const struct live *l, struct slice name)
{
    for (uint32_t i = 0; i < l->adapter_count; i++) {
        if (l->adapters[i] && slice_eq_cstr(name, l->adapters[i]))
            return (int32_t)i;
    }
    return -1;
}

struct slice live_adapter_name(const struct live *l, int32_t number)
{
    if (number < 0 || (uint32_t)number >= l->adapter_count || !l->adapters[number])
        return SLICE("removed");
    return slice_cstr(l->adapters[number]);
}

uint32_t live_adapters(const struct live *l)
{
    return l->adapter_count;
}

enum result live_adapter_add(struct live *l, struct slice name)
{
    if (live_adapter(l, name) >= 0)
        return RESULT_EXISTS;
    if (l->adapter_count == LIVE_ADAPTERS_MAX || !name.len || name.len > 64)
        return RESULT_LIMIT;
    char *copy = alloc_bytes(name.len + 1);
    if (!copy)
        return RESULT_NOMEM;
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = 0;
    l->adapters[l->adapter_count++] = copy;
    return RESULT_OK;
}

enum result live_adapter_remove(struct live *l, struct slice name)
{
    int32_t i = live_adapter(l, name);
    if (i < 0)
        return RESULT_NOT_FOUND;
    alloc_free(l->adapters[i]);
    l->adapters[i] = NULL;
    return RESULT_OK;
}

// ---- Life

static enum result read_fakes(struct live *l, struct slice text, struct arena *arena)
{
    static const char *const names[] = {"running-requests", "waiting-requests", "kv-cache-usage"};
    double *const to[] = {&l->counts.fake_running, &l->counts.fake_waiting, &l->counts.fake_kv_use};
    struct json j;
    if (!text.len)
        return RESULT_OK;
    if (json_parse(&j, text, &json_limits_default, arena) || json_type(&j, 0) != JSON_OBJECT)
        return RESULT_RANGE;
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        uint32_t token = json_get(&j, 0, slice_cstr(names[i]), NULL);
        if (token != JSON_NONE && json_double(&j, token, to[i]))
            return RESULT_RANGE;
    }
    l->counts.faked = true;
    return RESULT_OK;
}

enum result live_open(struct live **out, struct loop *loop, const struct live_options *o,
                      struct slice model, uint16_t port, uint64_t seed, struct arena *arena)
{
    struct live *l = alloc_zeroed(1, sizeof *l);
    if (!l)
        return RESULT_NOMEM;
    l->o = *o;
    l->loop = loop;
    l->model = model;
    l->port = port;
    l->lives = -1;
    l->begin_us = loop_now_us(loop);
    l->step.on_due = step_due;
    l->beat.on_due = beat_due;
    // When it is back is decided here, in real time.
    l->o.profile.restart_us = 0;
    rng_seed(&l->rng, seed);
    struct engine_sink sink = {on_token, on_end, l};
    enum result r = o->time_factor > 0 && o->time_factor <= 1e6 ? RESULT_OK : RESULT_RANGE;
    if (!r)
        r = engine_open(&l->engine, &l->o.profile, &sink, seed);
    if (!r)
        r = read_fakes(l, o->fake_metrics, arena);
    for (uint32_t i = 0; !r && i < o->adapter_count; i++)
        r = live_adapter_add(l, slice_cstr(o->adapters[i]));
    if (!r && o->lives) {
        l->lives = open(o->lives, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        r = l->lives < 0 ? RESULT_IO : RESULT_OK;
        live_log(l, "up");
        if (!r)
            loop_timer_set(loop, &l->beat, BEAT_MS);
    }
    if (r) {
        live_close(l);
        return r;
    }
    *out = l;
    return RESULT_OK;
}

void live_close(struct live *l)
{
    if (!l)
        return;
    loop_timer_cancel(l->loop, &l->step);
    loop_timer_cancel(l->loop, &l->beat);
    if (l->lives >= 0) {
        live_log(l, "down");
        close(l->lives);
    }
    engine_close(l->engine);
    for (uint32_t i = 0; i < l->adapter_count; i++)
        alloc_free(l->adapters[i]);
    alloc_free(l);
}
