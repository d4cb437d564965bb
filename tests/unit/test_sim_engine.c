// The engine beside a naive one that lives from microsecond to microsecond, and the laws that both must keep.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "sim/engine.h"

enum { REQUESTS = 60, BLOCKS = 64, EVENTS = 20000 };

struct arrival {
    uint64_t at_us;
    struct engine_ask ask;
    uint64_t hashes[64];
};
struct event {
    uint64_t at_us;
    uint32_t request, produced;
};
struct run {
    struct event events[EVENTS];
    uint32_t count, finished;
    uint64_t preemptions, found_tok;
    struct engine *engine;
};

static struct engine_profile small(struct rng *rng)
{
    struct engine_profile p = engine_profile_default;
    p.overhead_us = 10;
    p.weights_us = 20 + (double)rng_below(rng, 20);
    p.token_us = 0.5 + rng_unit(rng);
    p.context_ns = 20 * rng_unit(rng);
    p.pair_ns = 3 * rng_unit(rng);
    p.block_tok = 4;
    p.blocks = 20 + (uint32_t)rng_below(rng, BLOCKS - 20);
    p.max_seqs = 1 + (uint32_t)rng_below(rng, 12);
    p.chunk_tok = 8 + (uint32_t)rng_below(rng, 40);
    p.max_len_tok = 4 * 20;
    p.prefix_cache = rng_below(rng, 4) > 0;
    p.max_lora = 2;
    p.lora_load_us = 15;
    p.restart_us = 300;
    return p;
}

// Prompts of a few families that share their beginnings, some with adapters.
static void make(struct arrival *a, struct rng *rng, const struct engine_profile *p, bool adapters)
{
    uint64_t at = 1;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t family = rng_below(rng, 4), shared = rng_below(rng, 12);
        at += rng_below(rng, 3) ? rng_below(rng, 80) : 0;
        a[i].at_us = at;
        a[i].ask = (struct engine_ask){.prompt_tok = 1 + (uint32_t)rng_below(rng, 55),
                                       .output_tok = 1 + (uint32_t)rng_below(rng, 20),
                                       .hashes = a[i].hashes,
                                       .hash_tok = 4,
                                       .adapter = -1,
                                       .user = a + i};
        a[i].ask.hash_count = (a[i].ask.prompt_tok + (i % 2 ? a[i].ask.output_tok : 0)) / 4;
        if (adapters && rng_below(rng, 2))
            a[i].ask.adapter = (int32_t)rng_below(rng, 4);
        for (uint32_t k = 0; k < a[i].ask.hash_count; k++)
            a[i].hashes[k] = k < shared ? 1000 * (family + 1) + k : 1000000 + i * 100 + k;
    }
    (void)p;
}

// ---- The real one

static void on_token(void *user, struct engine_request *r, uint64_t now_us)
{
    struct run *run = user;
    assert_true(run->count < EVENTS);
    run->events[run->count++] = (struct event){now_us, (uint32_t)r->serial - 1, r->produced_tok};
}

static void on_end(void *user, struct engine_request *r, enum engine_end why, uint64_t now_us)
{
    struct run *run = user;
    (void)now_us;
    assert_int_equal(why, ENGINE_DONE);
    assert_int_equal(r->produced_tok, r->ask.output_tok);
    run->found_tok += r->cached_tok;
    run->finished++;
}

static void run_engine(const struct engine_profile *p, const struct arrival *a, struct run *run)
{
    struct engine_stats s;
    struct engine_sink sink = {on_token, on_end, run};
    assert_int_equal(engine_open(&run->engine, p, &sink, 1), RESULT_OK);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        engine_run(run->engine, a[i].at_us);
        assert_int_equal(engine_submit(run->engine, &a[i].ask, a[i].at_us, NULL), RESULT_OK);
        engine_stats(run->engine, &s);
        assert_true(s.blocks_free <= s.blocks && s.running <= p->max_seqs);
    }
    while (engine_next_us(run->engine) != ENGINE_NEVER)
        engine_run(run->engine, engine_next_us(run->engine));
    engine_stats(run->engine, &s);
    run->preemptions = s.preemptions;
}

// ---- The naive one

struct toy_seq {
    const struct arrival *a;
    uint32_t id, computed, produced, step, block_count, found;
    uint32_t blocks[64];
    bool was_admitted;
};
struct toy {
    struct engine_profile p;
    struct toy_seq *waiting[REQUESTS], *running[REQUESTS];
    uint32_t waiting_count, running_count;
    uint32_t refs[BLOCKS];
    uint64_t hash[BLOCKS], freed[BLOCKS], stamp, end_us, steps;
    int32_t loaded[2];
    uint64_t used[2];
    bool stepping;
    struct run *run;
};

static uint64_t toy_hash(const struct toy *t, const struct toy_seq *s, uint32_t block)
{
    if (!t->p.prefix_cache)
        return 0;
    if (block >= s->a->ask.hash_count)
        return ((uint64_t)s->id + 1) << 40 | block << 1;
    return s->a->ask.hashes[block] * 16 + (uint64_t)(s->a->ask.adapter + 1) * 2 + 1;
}

static int toy_find(const struct toy *t, uint64_t hash)
{
    for (uint32_t i = 0; hash && i < t->p.blocks; i++) {
        if (t->hash[i] == hash)
            return (int)i;
    }
    return -1;
}

static uint32_t toy_free(const struct toy *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->p.blocks; i++)
        n += !t->refs[i];
    return n;
}

static uint32_t toy_take(struct toy *t)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < t->p.blocks; i++) {
        if (!t->refs[i] && (best == UINT32_MAX || t->freed[i] < t->freed[best]))
            best = i;
    }
    t->hash[best] = 0;
    t->refs[best] = 1;
    return best;
}

static void toy_release(struct toy *t, struct toy_seq *s)
{
    while (s->block_count) {
        uint32_t b = s->blocks[--s->block_count];
        if (!--t->refs[b])
            t->freed[b] = ++t->stamp;
    }
}

static void toy_preempt(struct toy *t)
{
    struct toy_seq *s = t->running[--t->running_count];
    toy_release(t, s);
    s->computed = s->step = 0;
    t->run->preemptions++;
    memmove(t->waiting + 1, t->waiting, t->waiting_count++ * sizeof(struct toy_seq *));
    t->waiting[0] = s;
}

static bool toy_adapter_fits(const struct toy *t, int32_t number)
{
    int32_t kinds[8];
    uint32_t n = 0;
    if (number < 0)
        return true;
    for (uint32_t i = 0; i < t->running_count; i++) {
        int32_t a = t->running[i]->a->ask.adapter;
        bool seen = a < 0;
        if (a == number)
            return true;
        for (uint32_t k = 0; k < n; k++)
            seen |= kinds[k] == a;
        if (!seen)
            kinds[n++] = a;
    }
    return n < t->p.max_lora;
}

static double toy_load(struct toy *t, int32_t number)
{
    int pick = -1;
    for (int i = 0; number >= 0 && i < 2; i++) {
        if (t->loaded[i] == number) {
            t->used[i] = t->steps;
            return 0;
        }
    }
    if (number < 0)
        return 0;
    for (int i = 0; i < 2; i++) {
        bool runs = false;
        for (uint32_t k = 0; k < t->running_count; k++)
            runs |= t->running[k]->a->ask.adapter == t->loaded[i] && t->loaded[i] >= 0;
        if (t->loaded[i] < 0 && (pick < 0 || t->loaded[pick] >= 0))
            pick = i;
        if (t->loaded[i] >= 0 && !runs &&
            (pick < 0 || (t->loaded[pick] >= 0 && t->used[i] < t->used[pick])))
            pick = i;
    }
    t->loaded[pick] = number;
    t->used[pick] = t->steps;
    return t->p.lora_load_us;
}

static bool toy_admit(struct toy *t, uint32_t at, uint32_t *budget)
{
    struct toy_seq *s = t->waiting[at];
    uint32_t tokens = s->a->ask.prompt_tok + s->produced, hits = 0, idle = 0;
    while ((hits + 1) * 4 <= tokens - 1 && toy_find(t, toy_hash(t, s, hits)) >= 0)
        idle += !t->refs[toy_find(t, toy_hash(t, s, hits++))];
    uint32_t n = tokens - hits * 4 < *budget ? tokens - hits * 4 : *budget;
    uint32_t want = (hits * 4 + n + 3) / 4;
    if (want - hits > toy_free(t) - idle)
        return false;
    for (uint32_t i = 0; i < hits; i++) {
        s->blocks[i] = (uint32_t)toy_find(t, toy_hash(t, s, i));
        t->refs[s->blocks[i]]++;
    }
    for (uint32_t i = hits; i < want; i++)
        s->blocks[i] = toy_take(t);
    s->block_count = want;
    s->computed = hits * 4;
    s->step = n;
    *budget -= n;
    if (!s->was_admitted)
        t->run->found_tok += hits * 4;
    s->was_admitted = true;
    memmove(t->waiting + at, t->waiting + at + 1,
            (--t->waiting_count - at) * sizeof(struct toy_seq *));
    t->running[t->running_count++] = s;
    return true;
}

static void toy_begin(struct toy *t, uint64_t now)
{
    uint32_t budget = t->p.chunk_tok;
    bool preempted = false;
    double loads = 0, context = 0, pairs = 0, tokens = 0;
    if (t->stepping || (!t->running_count && !t->waiting_count))
        return;
    for (uint32_t i = 0; i < t->running_count; i++)
        t->running[i]->step = 0;
    for (uint32_t i = 0; i < t->running_count; i++) {
        struct toy_seq *s = t->running[i];
        uint32_t n = s->a->ask.prompt_tok + s->produced - s->computed;
        n = n < budget ? n : budget;
        uint32_t want = (s->computed + n + 3) / 4;
        while (want > s->block_count && want - s->block_count > toy_free(t) &&
               i < t->running_count) {
            toy_preempt(t);
            preempted = true;
        }
        if (i >= t->running_count)
            break;
        while (s->block_count < want)
            s->blocks[s->block_count++] = toy_take(t);
        s->step = n;
        budget -= n;
    }
    for (uint32_t i = 0; i < t->waiting_count && !preempted;) {
        int32_t adapter = t->waiting[i]->a->ask.adapter;
        if (!budget || t->running_count == t->p.max_seqs)
            break;
        if (!toy_adapter_fits(t, adapter)) {
            i++;
            continue;
        }
        if (!toy_admit(t, i, &budget))
            break;
        loads += toy_load(t, adapter);
    }
    for (uint32_t i = 0; i < t->running_count; i++) {
        const struct toy_seq *s = t->running[i];
        tokens += s->step;
        if (s->step)
            context += (double)s->computed + s->step;
        if (s->step > 1)
            pairs += (double)s->step * ((double)s->computed + s->step / 2.0);
    }
    double us = t->p.overhead_us + fmax(t->p.weights_us, tokens * t->p.token_us) +
                (context * t->p.context_ns + pairs * t->p.pair_ns) / 1000 + loads;
    t->end_us = now + (uint64_t)fmax(1, us + 0.5);
    t->stepping = true;
    t->steps++;
}

static void toy_end(struct toy *t, uint64_t now)
{
    t->stepping = false;
    for (uint32_t i = 0; i < t->running_count; i++) {
        struct toy_seq *s = t->running[i];
        uint32_t before = s->computed;
        s->computed += s->step;
        for (uint32_t b = before / 4; b < s->computed / 4; b++) {
            uint64_t h = toy_hash(t, s, b);
            if (h && toy_find(t, h) < 0 && !t->hash[s->blocks[b]])
                t->hash[s->blocks[b]] = h;
        }
        if (s->computed < s->a->ask.prompt_tok + s->produced)
            continue;
        s->produced++;
        t->run->events[t->run->count++] = (struct event){now, s->id, s->produced};
        if (s->produced == s->a->ask.output_tok)
            toy_release(t, s);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->running_count; i++) {
        if (t->running[i]->produced < t->running[i]->a->ask.output_tok)
            t->running[kept++] = t->running[i];
        else
            t->run->finished++;
    }
    t->running_count = kept;
}

static void run_toy(const struct engine_profile *p, const struct arrival *a, struct run *run)
{
    static struct toy_seq seqs[REQUESTS];
    struct toy t = {.p = *p, .run = run, .loaded = {-1, -1}};
    uint32_t next = 0;
    for (uint32_t i = 0; i < BLOCKS; i++)
        t.freed[i] = ++t.stamp;
    memset(seqs, 0, sizeof seqs);
    for (uint64_t now = 0; run->finished < REQUESTS; now++) {
        assert_true(now < 2000000);
        if (t.stepping && t.end_us == now) {
            toy_end(&t, now);
            toy_begin(&t, now);
        }
        for (; next < REQUESTS && a[next].at_us == now; next++) {
            seqs[next].a = a + next;
            seqs[next].id = next;
            t.waiting[t.waiting_count++] = seqs + next;
            toy_begin(&t, now);
        }
    }
}

// ---- Tests

static void agrees_with_the_naive_one(void **state)
{
    static struct arrival arrivals[REQUESTS];
    static struct run real, toy;
    uint64_t preemptions = 0, found = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct engine_profile p = small(&rng);
        make(arrivals, &rng, &p, seed % 2);
        memset(&real, 0, sizeof real);
        memset(&toy, 0, sizeof toy);
        run_engine(&p, arrivals, &real);
        run_toy(&p, arrivals, &toy);
        assert_int_equal(real.finished, REQUESTS);
        assert_int_equal(real.count, toy.count);
        for (uint32_t i = 0; i < real.count; i++) {
            if (memcmp(real.events + i, toy.events + i, sizeof real.events[i]) != 0)
                fail_msg("seed %d event %u: at %d request %u token %u, naive: %d, %u, %u",
                         (int)seed, i, (int)real.events[i].at_us, real.events[i].request,
                         real.events[i].produced, (int)toy.events[i].at_us, toy.events[i].request,
                         toy.events[i].produced);
        }
        assert_int_equal(real.preemptions, toy.preemptions);
        assert_int_equal(real.found_tok, toy.found_tok);
        preemptions += real.preemptions;
        found += real.found_tok;
        engine_close(real.engine);
    }
    // The cases are there at all.
    assert_true(preemptions > 100 && found > 5000);
}

static void every_token_is_computed_once_or_cached(void **state)
{
    static struct arrival arrivals[REQUESTS];
    static struct run run;
    (void)state;
    for (uint64_t seed = 100; seed < 160; seed++) {
        struct rng rng;
        struct engine_stats s;
        rng_seed(&rng, seed);
        struct engine_profile p = small(&rng);
        p.jitter = 0.3;
        make(arrivals, &rng, &p, false);
        memset(&run, 0, sizeof run);
        run_engine(&p, arrivals, &run);
        int64_t due = 0, asked = 0, generated = 0;
        for (uint32_t i = 0; i < REQUESTS; i++) {
            due += arrivals[i].ask.prompt_tok + arrivals[i].ask.output_tok - 1;
            asked += arrivals[i].ask.prompt_tok;
            generated += arrivals[i].ask.output_tok;
        }
        engine_stats(run.engine, &s);
        assert_int_equal((int64_t)(s.prefill_tok + s.decode_tok),
                         due - (int64_t)s.prefix_found_tok + s.again_tok);
        assert_int_equal(s.prefix_asked_tok, asked);
        assert_int_equal(s.generated_tok, generated);
        assert_int_equal(s.prefix_found_tok, run.found_tok);
        assert_int_equal(s.blocks_free, s.blocks);
        assert_int_equal(s.running + s.waiting, 0);
        assert_int_equal(s.finished, s.submitted);
        // First come, first served: without preemption the first tokens come in the order of arrival.
        uint32_t last = 0;
        for (uint32_t i = 0; i < run.count && !s.preemptions; i++) {
            if (run.events[i].produced == 1) {
                assert_true(run.events[i].request >= last);
                last = run.events[i].request;
            }
        }
        // The meter lies between idle and nominal power.
        uint64_t end = run.events[run.count - 1].at_us, begin = arrivals[0].at_us;
        double watts = engine_joules(run.engine, end) / ((double)(end - begin) / 1e6);
        assert_true(watts >= p.idle_w && watts <= p.nominal_w);
        double later = engine_joules(run.engine, end + 1000000) - engine_joules(run.engine, end);
        assert_true(fabs(later - p.idle_w) < 1e-6);
        engine_close(run.engine);
    }
}

static void count_end(void *user, struct engine_request *r, enum engine_end why, uint64_t now_us)
{
    uint32_t *counts = user;
    (void)r;
    (void)now_us;
    counts[why]++;
}

static void a_restart_loses_all(void **state)
{
    struct rng rng;
    uint32_t counts[2] = {0};
    uint64_t hashes[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    struct engine_ask ask = {.prompt_tok = 30,
                             .output_tok = 5,
                             .hashes = hashes,
                             .hash_count = 8,
                             .hash_tok = 4,
                             .adapter = -1};
    struct engine_stats s;
    struct engine *e;
    struct engine_sink sink = {NULL, count_end, counts};
    (void)state;
    rng_seed(&rng, 5);
    struct engine_profile p = small(&rng);
    p.max_seqs = 2;
    p.blocks = 40;
    p.prefix_cache = true;
    assert_int_equal(engine_open(&e, &p, &sink, 1), RESULT_OK);
    assert_int_equal(engine_submit(e, &ask, 1, NULL), RESULT_OK);
    engine_run(e, 100000);
    assert_int_equal(counts[ENGINE_DONE], 1);
    assert_int_equal(engine_cached_tok(e, &ask), 28);
    for (int i = 0; i < 5; i++)
        assert_int_equal(engine_submit(e, &ask, 100001, NULL), RESULT_OK);
    engine_restart(e, 100010);
    assert_int_equal(counts[ENGINE_LOST], 5);
    assert_int_equal(engine_cached_tok(e, &ask), 0);
    assert_false(engine_is_up(e, 100300));
    assert_int_equal(engine_submit(e, &ask, 100300, NULL), RESULT_AGAIN);
    assert_int_equal(engine_submit(e, &ask, 100310, NULL), RESULT_OK);
    engine_run(e, 200000);
    assert_int_equal(counts[ENGINE_DONE], 2);
    engine_stats(e, &s);
    assert_int_equal(s.blocks_free, s.blocks);
    assert_int_equal(s.lost, 5);
    engine_close(e);
}

static void what_is_given_up_leaves_no_trace(void **state)
{
    static struct arrival arrivals[REQUESTS];
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        struct engine *e;
        struct engine_stats s;
        struct engine_request *open[REQUESTS];
        uint32_t counts[2] = {0}, cancelled = 0;
        struct engine_sink sink = {NULL, count_end, counts};
        rng_seed(&rng, seed);
        struct engine_profile p = small(&rng);
        make(arrivals, &rng, &p, false);
        assert_int_equal(engine_open(&e, &p, &sink, 1), RESULT_OK);
        for (uint32_t i = 0; i < REQUESTS; i++) {
            engine_run(e, arrivals[i].at_us);
            arrivals[i].ask.output_tok = 20; // so that it is not over before the next one comes
            assert_int_equal(engine_submit(e, &arrivals[i].ask, arrivals[i].at_us, open + i),
                             RESULT_OK);
            if (rng_below(&rng, 3) == 0) {
                engine_cancel(e, open[i], arrivals[i].at_us);
                cancelled++;
            }
        }
        engine_run(e, 100000000);
        engine_stats(e, &s);
        assert_int_equal(s.cancelled, cancelled);
        assert_int_equal(counts[ENGINE_DONE], REQUESTS - cancelled);
        assert_int_equal(s.blocks_free, s.blocks);
        engine_close(e);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    struct engine_profile p = engine_profile_default;
    struct engine_sink sink = {0};
    struct engine *e;
    (void)state;
    p.max_seqs = 1;
    p.queue_max = 2;
    p.max_len_tok = 100;
    p.max_lora = 0;
    assert_int_equal(engine_open(&e, &p, &sink, 1), RESULT_OK);
    struct engine_ask ask = {.prompt_tok = 90, .output_tok = 11, .adapter = -1};
    assert_int_equal(engine_submit(e, &ask, 0, NULL), RESULT_RANGE);
    ask.output_tok = 10;
    ask.adapter = 0;
    assert_int_equal(engine_submit(e, &ask, 0, NULL), RESULT_RANGE);
    ask.adapter = -1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(engine_submit(e, &ask, 0, NULL), RESULT_OK);
    assert_int_equal(engine_submit(e, &ask, 0, NULL), RESULT_LIMIT);
    engine_close(e);
    p.weights_us = NAN;
    assert_int_equal(engine_open(&e, &p, &sink, 1), RESULT_RANGE);
    p = engine_profile_default;
    p.blocks = 0;
    assert_int_equal(engine_open(&e, &p, &sink, 1), RESULT_RANGE);
}

static void no_memory_loses_nothing(void **state)
{
    struct engine_sink sink = {0};
    struct engine *e;
    struct engine_ask ask = {.prompt_tok = 40, .output_tok = 3, .adapter = -1};
    (void)state;
    for (uint64_t n = 1;; n++) {
        alloc_fail_at(n, 0);
        enum result r = engine_open(&e, &engine_profile_default, &sink, 1);
        if (!r) {
            r = engine_submit(e, &ask, 1, NULL);
            alloc_fail_at(0, 0);
            engine_run(e, 1000000000);
            struct engine_stats s;
            engine_stats(e, &s);
            assert_int_equal(s.finished, r ? 0 : 1);
            engine_close(e);
        }
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_true(n < 50);
    }
}

// P(b) of an H100 as in the tables that the curve was taken from.
static void power_follows_its_curve(void **state)
{
    const double at[][2] = {{1, 304},  {8, 369},   {16, 435}, {32, 507},
                            {64, 557}, {128, 583}, {256, 593}};
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(at); i++)
        assert_true(fabs(engine_power_w(&engine_profile_default, at[i][0]) - at[i][1]) < 1);
    assert_true(engine_power_w(&engine_profile_default, 0) == 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_naive_one),
        cmocka_unit_test(every_token_is_computed_once_or_cached),
        cmocka_unit_test(a_restart_loses_all),
        cmocka_unit_test(what_is_given_up_leaves_no_trace),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(no_memory_loses_nothing),
        cmocka_unit_test(power_follows_its_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
