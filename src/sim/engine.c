#include "sim/engine.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

const struct engine_profile engine_profile_default = {
    .name = "h100-8b",
    .overhead_us = 1500,
    .weights_us = 6000,
    .token_us = 32.5,
    .context_ns = 49,
    .pair_ns = 1.06,
    .load_factor = 1,
    .block_tok = 16,
    .blocks = 25000,
    .max_seqs = 256,
    .chunk_tok = 2048,
    .max_len_tok = 131072,
    .queue_max = ENGINE_QUEUE_MAX,
    .prefix_cache = true,
    .max_lora = 4,
    .lora_load_us = 50000,
    .idle_w = 300,
    .nominal_w = 600,
    .steep = 1,
    .middle = 4.2,
    .restart_us = 5e6,
};

struct adapter {
    int32_t number;
    uint64_t used; // step
};

struct engine {
    struct engine_profile p;
    struct engine_sink sink;
    struct rng rng;
    struct blocks blocks;
    struct engine_request queue;     // sentinel of the waiting list
    struct engine_request **running; // in the order of admission
    uint32_t running_count, waiting_count;
    uint32_t stuck;                               // that the step's plan left waiting
    struct adapter adapters[ENGINE_ADAPTERS_MAX]; // loaded
    uint32_t adapter_count;
    uint64_t serial, up_us;
    uint64_t step_end_us, step_begin_us;
    bool stepping;   // a step is under way
    bool delivering; // callbacks of its end run: nothing may be freed or begun
    uint32_t step_tok;
    double joules; // up to metered_us
    uint64_t metered_us, begin_us;
    bool begun;
    struct engine_stats stats;
};

// ---- Energy

double engine_power_w(const struct engine_profile *p, double batch)
{
    if (batch <= 0)
        return p->idle_w;
    return p->idle_w +
           (p->nominal_w - p->idle_w) / (1 + exp(-p->steep * (log2(batch) - p->middle)));
}

static double power_now(const struct engine *e)
{
    return engine_power_w(&e->p, e->stepping ? e->step_tok : 0);
}

static void meter(struct engine *e, uint64_t now_us)
{
    if (!e->begun) {
        e->begun = true;
        e->metered_us = now_us;
    }
    if (now_us > e->metered_us) {
        e->joules += power_now(e) * (double)(now_us - e->metered_us) / 1e6;
        e->metered_us = now_us;
    }
}

double engine_joules(const struct engine *e, uint64_t now_us)
{
    double more = e->begun && now_us > e->metered_us ? (double)(now_us - e->metered_us) / 1e6 : 0;
    return e->joules + power_now(e) * more;
}

// ---- Lists

static void queue_put(struct engine *e, struct engine_request *r, struct engine_request *before)
{
    r->next = before;
    r->prev = before->prev;
    r->prev->next = r;
    before->prev = r;
    r->stage = ENGINE_WAITING;
    e->waiting_count++;
}

static void queue_cut(struct engine *e, struct engine_request *r)
{
    r->prev->next = r->next;
    r->next->prev = r->prev;
    e->waiting_count--;
}

static void release_blocks(struct engine *e, struct engine_request *r)
{
    while (r->block_count)
        blocks_give(&e->blocks, r->blocks[--r->block_count]);
}

static void request_free(struct engine *e, struct engine_request *r)
{
    release_blocks(e, r);
    alloc_free(r->blocks);
    alloc_free(r);
}

static void running_cut(struct engine *e, uint32_t at)
{
    e->running_count--;
    memmove(e->running + at, e->running + at + 1,
            (e->running_count - at) * sizeof(struct engine_request *));
}

// ---- Prefixes

static uint32_t tokens_of(const struct engine_request *r)
{
    return r->ask.prompt_tok + r->produced_tok;
}

// The hash of the i-th block, or 0 when it has none. What the caller gave no hash for is of this request alone (`own`, its
// serial; 0: not known): nobody else finds it, but after a preemption it does.
static uint64_t hash_of(const struct engine_profile *p, const struct engine_ask *ask, uint64_t own,
                        uint32_t i)
{
    uint32_t per = ask->hash_tok ? ask->hash_tok / p->block_tok : 1;
    uint64_t h = 0;
    if (!p->prefix_cache)
        return 0;
    if (ask->hash_tok && i / per < ask->hash_count)
        h = ask->hashes[i / per] + (uint64_t)(i % per + 1) * 0x9e3779b97f4a7c15u +
            (uint64_t)(ask->adapter + 1) * 0xd1b54a32d192ed03u;
    else if (own)
        h = own * 0xa0761d6478bd642fu + (uint64_t)i * 0xe7037ed1a0b428dbu;
    else
        return 0;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (h ^ (h >> 31)) | 1;
}

// Blocks of the sequence that are cached, in a row from its beginning. The last token is always computed, so that there
// is something to sample from.
static uint32_t cached_blocks(const struct engine *e, const struct engine_ask *ask, uint64_t own,
                              uint32_t tokens)
{
    uint32_t most = (tokens - 1) / e->p.block_tok, n = 0;
    while (n < most) {
        uint64_t h = hash_of(&e->p, ask, own, n);
        if (!h || blocks_find(&e->blocks, h) == BLOCKS_NONE)
            break;
        n++;
    }
    return n;
}

uint32_t engine_cached_tok(const struct engine *e, const struct engine_ask *ask)
{
    return cached_blocks(e, ask, 0, ask->prompt_tok) * e->p.block_tok;
}

// ---- Blocks of a sequence

// Blocks for `tokens` in all; false, and nothing is taken, when there are not enough.
static bool grow(struct engine *e, struct engine_request *r, uint32_t tokens)
{
    uint32_t want = (tokens + e->p.block_tok - 1) / e->p.block_tok;
    if (want <= r->block_count)
        return true;
    if (want - r->block_count > e->blocks.free)
        return false;
    while (r->block_count < want)
        r->blocks[r->block_count++] = blocks_take(&e->blocks);
    return true;
}

static void name_blocks(struct engine *e, struct engine_request *r, uint32_t before)
{
    uint32_t from = before / e->p.block_tok, to = r->computed_tok / e->p.block_tok;
    for (uint32_t i = from; i < to; i++) {
        uint64_t h = hash_of(&e->p, &r->ask, r->serial, i);
        if (!h)
            break;
        blocks_name(&e->blocks, r->blocks[i], h);
    }
}

// ---- Adapters

static bool adapter_runs(const struct engine *e, int32_t number)
{
    for (uint32_t i = 0; i < e->running_count; i++) {
        if (e->running[i]->ask.adapter == number)
            return true;
    }
    return false;
}

static uint32_t adapters_running(const struct engine *e, uint32_t *numbers)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->running_count && n < ENGINE_ADAPTERS_MAX; i++) {
        int32_t a = e->running[i]->ask.adapter;
        bool seen = a < 0;
        for (uint32_t k = 0; k < n && !seen; k++)
            seen = numbers[k] == (uint32_t)a;
        if (!seen)
            numbers[n++] = (uint32_t)a;
    }
    return n;
}

static bool adapter_fits(const struct engine *e, int32_t number)
{
    uint32_t numbers[ENGINE_ADAPTERS_MAX];
    if (number < 0 || adapter_runs(e, number))
        return true;
    return adapters_running(e, numbers) < e->p.max_lora;
}

// Loads it if need be, in the place of the one that was used longest ago and does not run; the time that it takes.
static double adapter_use(struct engine *e, int32_t number)
{
    if (number < 0)
        return 0;
    struct adapter *oldest = NULL;
    for (uint32_t i = 0; i < e->adapter_count; i++) {
        struct adapter *a = e->adapters + i;
        if (a->number == number) {
            a->used = e->stats.steps;
            return 0;
        }
        if (!adapter_runs(e, a->number) && (!oldest || a->used < oldest->used))
            oldest = a;
    }
    if (e->adapter_count < e->p.max_lora)
        oldest = e->adapters + e->adapter_count++;
    assert(oldest);
    *oldest = (struct adapter){number, e->stats.steps};
    e->stats.adapter_loads++;
    return e->p.lora_load_us;
}

// ---- A step

static void preempt_last(struct engine *e)
{
    struct engine_request *r = e->running[--e->running_count];
    e->step_tok -= r->step_tok;
    r->step_tok = 0;
    release_blocks(e, r);
    e->stats.again_tok += r->computed_tok;
    r->computed_tok = 0;
    r->preempted++;
    e->stats.preemptions++;
    queue_put(e, r, e->queue.next);
}

static uint32_t plan_running(struct engine *e, uint32_t budget, bool *preempted)
{
    *preempted = false;
    for (uint32_t i = 0; i < e->running_count; i++)
        e->running[i]->step_tok = 0;
    for (uint32_t i = 0; i < e->running_count; i++) {
        struct engine_request *r = e->running[i];
        uint32_t n = tokens_of(r) - r->computed_tok;
        if (n > budget - e->step_tok)
            n = budget - e->step_tok;
        bool grown;
        while (!(grown = grow(e, r, r->computed_tok + n)) && e->running_count > i + 1) {
            preempt_last(e);
            *preempted = true;
        }
        if (!grown) {
            preempt_last(e);
            *preempted = true;
            break;
        }
        // What a preemption gave back may be used by this one, not by those before it: as the original.
        r->step_tok = n;
        e->step_tok += n;
    }
    return budget - e->step_tok;
}

// True when it runs now.
static bool admit(struct engine *e, struct engine_request *r, uint32_t budget, uint64_t now_us)
{
    uint32_t tokens = tokens_of(r), hits = cached_blocks(e, &r->ask, r->serial, tokens);
    uint32_t found = hits * e->p.block_tok, n = tokens - found, idle = 0;
    if (n > budget)
        n = budget;
    uint32_t want = (found + n + e->p.block_tok - 1) / e->p.block_tok;
    for (uint32_t i = 0; i < hits; i++) {
        r->blocks[i] = blocks_find(&e->blocks, hash_of(&e->p, &r->ask, r->serial, i));
        idle += !e->blocks.refs[r->blocks[i]];
    }
    if (want - hits > e->blocks.free - idle)
        return false;
    for (uint32_t i = 0; i < hits; i++)
        blocks_hold(&e->blocks, r->blocks[i]);
    r->block_count = hits;
    while (r->block_count < want)
        r->blocks[r->block_count++] = blocks_take(&e->blocks);
    r->computed_tok = found;
    r->step_tok = n;
    e->step_tok += n;
    if (!r->admitted_us) {
        double wait = e->p.first_us;
        r->admitted_us = now_us;
        r->cached_tok = found;
        e->stats.prefix_asked_tok += r->ask.prompt_tok;
        e->stats.prefix_found_tok += found;
        if (e->p.first_jitter > 0)
            wait *= fmax(0, 1 + e->p.first_jitter * (2 * rng_unit(&e->rng) - 1) * sqrt(3));
        r->hold_us = now_us + (uint64_t)wait;
    } else {
        e->stats.again_tok -= found;
    }
    queue_cut(e, r);
    r->stage = ENGINE_RUNNING;
    e->running[e->running_count++] = r;
    return true;
}

static double step_us(struct engine *e, double loads_us)
{
    double context = 0, pairs = 0;
    for (uint32_t i = 0; i < e->running_count; i++) {
        const struct engine_request *r = e->running[i];
        if (!r->step_tok)
            continue;
        context += (double)r->computed_tok + r->step_tok;
        if (r->step_tok > 1)
            pairs += (double)r->step_tok * ((double)r->computed_tok + r->step_tok / 2.0);
    }
    double t = e->p.overhead_us + fmax(e->p.weights_us, e->step_tok * e->p.token_us) +
               (context * e->p.context_ns + pairs * e->p.pair_ns) / 1000;
    if (e->p.load_factor != 1 && e->p.max_seqs > 1)
        t *= 1 + (e->p.load_factor - 1) * (e->running_count - 1) / (e->p.max_seqs - 1);
    // Uniform with the deviation asked for: bounded, so that no step is negative or endless.
    if (e->p.jitter > 0)
        t *= fmax(0.05, 1 + e->p.jitter * (2 * rng_unit(&e->rng) - 1) * sqrt(3));
    return t + loads_us;
}

// Begins a step when there is something to do.
static void begin_step(struct engine *e, uint64_t now_us)
{
    bool preempted;
    double loads_us = 0;
    if (e->stepping || e->delivering || now_us < e->up_us)
        return;
    if (!e->running_count && !e->waiting_count)
        return;
    meter(e, now_us);
    e->step_tok = 0;
    uint32_t budget = plan_running(e, e->p.chunk_tok, &preempted);
    for (struct engine_request *r = e->queue.next, *next; r != &e->queue && !preempted; r = next) {
        next = r->next;
        if (!budget || e->running_count == e->p.max_seqs)
            break;
        if (!adapter_fits(e, r->ask.adapter))
            continue;
        if (!admit(e, r, budget, now_us))
            break;
        loads_us += adapter_use(e, r->ask.adapter);
        budget = e->p.chunk_tok - e->step_tok;
    }
    e->stuck = e->waiting_count;
    if (!e->running_count)
        return;
    double t = step_us(e, loads_us);
    e->stepping = true;
    e->stats.steps++;
    e->step_begin_us = now_us;
    e->step_end_us = now_us + (uint64_t)fmax(1, t + 0.5);
}

static void count_step(struct engine *e, const struct engine_request *r)
{
    uint32_t prompt = r->ask.prompt_tok, at = r->computed_tok, n = r->step_tok;
    uint32_t of_prompt = at >= prompt ? 0 : prompt - at < n ? prompt - at : n;
    e->stats.prefill_tok += of_prompt;
    e->stats.decode_tok += n - of_prompt;
}

static void end_step(struct engine *e)
{
    uint64_t now = e->step_end_us;
    meter(e, now);
    e->stepping = false;
    e->delivering = true;
    e->stats.busy_us += now - e->step_begin_us;
    uint32_t count = e->running_count;
    for (uint32_t i = 0; i < count; i++) {
        struct engine_request *r = e->running[i];
        if (r->gone)
            continue;
        uint32_t before = r->computed_tok;
        count_step(e, r);
        r->computed_tok += r->step_tok;
        name_blocks(e, r, before);
        r->step_tok = 0;
        if (r->computed_tok != tokens_of(r) || now < r->hold_us)
            continue;
        r->produced_tok++;
        e->stats.generated_tok++;
        if (!r->first_us)
            r->first_us = now;
        if (e->sink.on_token)
            e->sink.on_token(e->sink.user, r, now);
        if (r->gone || r->produced_tok < r->ask.output_tok)
            continue;
        r->stage = ENGINE_ENDED;
        e->stats.finished++;
        release_blocks(e, r);
        if (e->sink.on_end)
            e->sink.on_end(e->sink.user, r, ENGINE_DONE, now);
    }
    e->delivering = false;
    for (uint32_t i = 0; i < e->running_count;) {
        struct engine_request *r = e->running[i];
        if (r->gone || r->stage == ENGINE_ENDED) {
            running_cut(e, i);
            request_free(e, r);
        } else {
            i++;
        }
    }
}

uint64_t engine_next_us(const struct engine *e)
{
    return e->stepping ? e->step_end_us : ENGINE_NEVER;
}

void engine_run(struct engine *e, uint64_t until_us)
{
    while (e->stepping && e->step_end_us <= until_us) {
        end_step(e);
        begin_step(e, e->step_end_us);
    }
}

// ---- Requests

enum result engine_submit(struct engine *e, const struct engine_ask *ask, uint64_t now_us,
                          struct engine_request **out)
{
    uint64_t tokens = (uint64_t)ask->prompt_tok + ask->output_tok;
    assert(ask->prompt_tok && ask->output_tok);
    assert(!ask->hash_count || (ask->hash_tok && ask->hash_tok % e->p.block_tok == 0));
    e->stats.refused++;
    if (now_us < e->up_us)
        return RESULT_AGAIN;
    if (tokens > e->p.max_len_tok || tokens > (uint64_t)e->p.blocks * e->p.block_tok ||
        (ask->adapter >= 0 && !e->p.max_lora))
        return RESULT_RANGE;
    // Those that came since the step began and find a place in the next one do not count as waiting.
    uint64_t room = e->stuck ? 0 : e->p.max_seqs - e->running_count;
    if (e->waiting_count >= e->p.queue_max + room)
        return RESULT_LIMIT;
    // All that it will need, so that a step cannot fail.
    struct engine_request *r = alloc_zeroed(1, sizeof *r);
    if (r)
        r->blocks = alloc_bytes((tokens / e->p.block_tok + 1) * sizeof *r->blocks);
    if (!r || !r->blocks) {
        alloc_free(r);
        return RESULT_NOMEM;
    }
    e->stats.refused--;
    e->stats.submitted++;
    r->ask = *ask;
    r->serial = ++e->serial;
    r->submitted_us = now_us;
    queue_put(e, r, &e->queue);
    if (out)
        *out = r;
    meter(e, now_us);
    begin_step(e, now_us);
    return RESULT_OK;
}

void engine_cancel(struct engine *e, struct engine_request *r, uint64_t now_us)
{
    assert(r->stage != ENGINE_ENDED);
    meter(e, now_us);
    e->stats.cancelled++;
    if (r->stage == ENGINE_WAITING) {
        queue_cut(e, r);
        request_free(e, r);
    } else {
        // The step that it is part of ends as planned; while anything runs, there is one.
        assert(e->stepping || e->delivering);
        r->gone = true;
    }
}

void engine_restart(struct engine *e, uint64_t now_us)
{
    assert(!e->delivering);
    meter(e, now_us);
    if (e->stepping)
        e->stats.busy_us += now_us - e->step_begin_us;
    e->stepping = false;
    e->delivering = true;
    e->up_us = now_us + (uint64_t)e->p.restart_us;
    e->stats.restarts++;
    struct engine_request *lost = e->queue.next;
    e->queue.prev->next = NULL;
    lost = lost == &e->queue ? NULL : lost;
    e->queue.next = e->queue.prev = &e->queue;
    e->waiting_count = 0;
    for (uint32_t i = 0; i < e->running_count; i++) {
        struct engine_request *r = e->running[i];
        r->block_count = 0;
        if (!r->gone) {
            r->stage = ENGINE_ENDED;
            e->stats.lost++;
            if (e->sink.on_end)
                e->sink.on_end(e->sink.user, r, ENGINE_LOST, now_us);
        }
        request_free(e, r);
    }
    e->running_count = 0;
    for (struct engine_request *r = lost; r; r = r->next)
        r->stage = ENGINE_ENDED;
    while (lost) {
        struct engine_request *next = lost->next;
        e->stats.lost++;
        if (e->sink.on_end)
            e->sink.on_end(e->sink.user, lost, ENGINE_LOST, now_us);
        request_free(e, lost);
        lost = next;
    }
    e->adapter_count = e->stuck = 0;
    blocks_clear(&e->blocks);
    e->delivering = false;
    begin_step(e, now_us);
}

bool engine_is_up(const struct engine *e, uint64_t now_us)
{
    return now_us >= e->up_us;
}

// ---- State

void engine_stats(const struct engine *e, struct engine_stats *out)
{
    *out = e->stats;
    out->waiting = e->waiting_count;
    out->running = e->running_count;
    out->blocks = e->blocks.count;
    out->blocks_free = e->blocks.free;
    out->blocks_cached = e->blocks.cached;
    out->evictions = e->blocks.evictions;
    out->kv_use = 1 - (double)e->blocks.free / e->blocks.count;
    out->running_adapter_count = adapters_running(e, out->running_adapters);
    out->waiting_adapter_count = 0;
    for (const struct engine_request *r = e->queue.next; r != &e->queue; r = r->next) {
        bool seen = r->ask.adapter < 0 || out->waiting_adapter_count == ENGINE_ADAPTERS_MAX;
        for (uint32_t i = 0; i < out->waiting_adapter_count && !seen; i++)
            seen = out->waiting_adapters[i] == (uint32_t)r->ask.adapter;
        if (!seen)
            out->waiting_adapters[out->waiting_adapter_count++] = (uint32_t)r->ask.adapter;
    }
}

const struct engine_profile *engine_profile(const struct engine *e)
{
    return &e->p;
}

uint64_t engine_backlog_tok(const struct engine *e)
{
    uint64_t n = 0;
    for (const struct engine_request *r = e->queue.next; r != &e->queue; r = r->next)
        n += tokens_of(r) - engine_cached_tok(e, &r->ask);
    for (uint32_t i = 0; i < e->running_count; i++)
        n += tokens_of(e->running[i]) - e->running[i]->computed_tok;
    return n;
}

static bool sensible(const struct engine_profile *p)
{
    const double times[] = {p->overhead_us, p->weights_us, p->token_us,     p->context_ns,
                            p->pair_ns,     p->first_us,   p->lora_load_us, p->restart_us,
                            p->jitter,      p->idle_w,     p->nominal_w,    p->first_jitter};
    for (size_t i = 0; i < MERIT_COUNT(times); i++) {
        if (!(times[i] >= 0 && times[i] < 1e12))
            return false;
    }
    return p->block_tok && p->chunk_tok && p->max_len_tok && p->max_seqs &&
           p->max_seqs <= ENGINE_SEQS_MAX && p->max_lora <= ENGINE_ADAPTERS_MAX &&
           p->queue_max <= ENGINE_QUEUE_MAX && p->load_factor > 0 && p->load_factor < 1e6 &&
           p->block_tok <= 4096 && p->chunk_tok <= 1u << 24 && isfinite(p->steep) &&
           isfinite(p->middle);
}

enum result engine_open(struct engine **out, const struct engine_profile *profile,
                        const struct engine_sink *sink, uint64_t seed)
{
    if (!sensible(profile))
        return RESULT_RANGE;
    struct engine *e = alloc_zeroed(1, sizeof *e);
    if (!e)
        return RESULT_NOMEM;
    e->p = *profile;
    e->sink = *sink;
    e->queue.next = e->queue.prev = &e->queue;
    rng_seed(&e->rng, seed);
    e->running = alloc_zeroed(profile->max_seqs, sizeof(struct engine_request *));
    enum result r = e->running ? blocks_init(&e->blocks, profile->blocks) : RESULT_NOMEM;
    if (r) {
        alloc_free(e->running);
        alloc_free(e);
        return r == RESULT_LIMIT ? RESULT_RANGE : r;
    }
    *out = e;
    return RESULT_OK;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    while (e->running_count)
        request_free(e, e->running[--e->running_count]);
    while (e->queue.next != &e->queue) {
        struct engine_request *r = e->queue.next;
        queue_cut(e, r);
        request_free(e, r);
    }
    blocks_deinit(&e->blocks);
    alloc_free(e->running);
    alloc_free(e);
}
