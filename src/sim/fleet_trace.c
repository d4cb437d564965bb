#include "sim/fleet_trace.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { BACKLOG_ROWS = 3000 };

// ---- Load 1

struct alone {
    uint64_t ended[BACKLOG_ROWS];
    uint32_t count;
};

static void note_end(void *user, struct engine_request *r, enum engine_end why, uint64_t now_us)
{
    struct alone *a = user;
    (void)r;
    (void)why;
    a->ended[a->count++] = now_us;
}

// Between a tenth and nine tenths of a backlog of rows from all over the trace: without its beginning, in which the batch
// grows, and its end, in which it shrinks.
static enum result rate_alone(const struct engine_profile *profile, const struct trace *t,
                              double *per_s)
{
    struct alone *a = alloc_zeroed(1, sizeof *a);
    struct engine *e;
    struct engine_sink sink = {NULL, note_end, a};
    struct engine_profile p = *profile;
    struct rng rng;
    uint32_t n = 0;
    if (!a)
        return RESULT_NOMEM;
    p.jitter = 0;
    p.queue_max = ENGINE_QUEUE_MAX;
    rng_seed(&rng, 1);
    enum result r = engine_open(&e, &p, &sink, 1);
    for (; !r && n < BACKLOG_ROWS; n++) {
        const struct trace_row *row = t->rows.at + rng_below(&rng, t->rows.len);
        struct engine_ask ask = {
            .prompt_tok = row->prompt_tok, .output_tok = row->output_tok, .adapter = -1};
        enum result one = engine_submit(e, &ask, 0, NULL);
        r = one == RESULT_NOMEM ? one : RESULT_OK;
    }
    if (!r) {
        engine_run(e, ENGINE_NEVER - 1);
        uint32_t from = a->count / 10, to = a->count - a->count / 10 - 1;
        if (a->count < 100 || a->ended[to] <= a->ended[from])
            r = RESULT_RANGE;
        else
            *per_s = (to - from) / ((double)(a->ended[to] - a->ended[from]) / 1e6);
        engine_close(e);
    }
    alloc_free(a);
    return r;
}

enum result fleet_capacity(const struct constants *c, const struct trace *t, double *per_s)
{
    double rates[CONSTANTS_PROFILES_MAX] = {0};
    *per_s = 0;
    for (uint32_t i = 0; i < c->replicas; i++) {
        uint32_t p = c->fleet[i];
        if (rates[p] <= 0) {
            enum result r = rate_alone(c->profiles + p, t, rates + p);
            if (r)
                return r;
        }
        *per_s += rates[p];
    }
    return *per_s > 0 ? RESULT_OK : RESULT_RANGE;
}

// ---- Play

struct player {
    struct fleet_job *jobs;
    uint64_t *hashes;
    size_t count;
};

static double span_us(const struct trace *t)
{
    // One mean gap more, so that the first of the next round does not fall on the last.
    double last = (double)t->rows.at[t->rows.len - 1].at_us;
    return last + last / (double)t->rows.len + 1;
}

static enum result make_jobs(const struct fleet_play *play, struct player *p)
{
    const struct trace *t = play->trace;
    size_t rows = t->rows.len;
    double span = span_us(t), scale = (double)rows / play->per_s * 1e6 / span;
    struct rng rng;
    rng_seed(&rng, play->seed ^ 0x5eed);
    size_t start = rng_below(&rng, rows), hashes = 0;
    size_t most = (size_t)(play->per_s * play->seconds * 3) + 2 * rows + 16;
    p->jobs = alloc_zeroed(most, sizeof *p->jobs);
    if (!p->jobs)
        return RESULT_NOMEM;
    for (size_t i = 0; i < most; i++) {
        const struct trace_row *row = t->rows.at + (start + i) % rows;
        size_t round = (start + i) / rows; // how often the trace has gone round
        double at = (double)row->at_us - (double)t->rows.at[start].at_us + (double)round * span;
        if (at * scale >= play->seconds * 1e6)
            break;
        p->jobs[p->count++] = (struct fleet_job){.at_us = (uint64_t)(at * scale) + 1,
                                                 .prompt_tok = row->prompt_tok,
                                                 .output_tok = row->output_tok,
                                                 .hash_count = row->hash_count,
                                                 .hash_tok = row->hash_count ? TRACE_HASH_TOK : 0};
        hashes += row->hash_count;
    }
    p->hashes = alloc_zeroed(hashes + 1, sizeof *p->hashes);
    if (!p->hashes)
        return RESULT_NOMEM;
    hashes = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct trace_row *row = t->rows.at + (start + i) % rows;
        uint64_t round = (start + i) / rows;
        p->jobs[i].hashes = p->hashes + hashes;
        for (uint32_t k = 0; k < row->hash_count; k++)
            p->hashes[hashes++] =
                (t->hashes.at[row->hash_first + k] ^ round) * 0x9e3779b97f4a7c15u + round;
    }
    return RESULT_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    if (!n)
        return 0;
    size_t at = (size_t)ceil(q * (double)n);
    return sorted[at ? at - 1 : 0];
}

static enum result summarise(const struct player *p, struct fleet *f, struct fleet_result *out)
{
    double *first = alloc_zeroed(p->count + 1, sizeof *first);
    double *whole = alloc_zeroed(p->count + 1, sizeof *whole);
    double *each = alloc_zeroed(p->count + 1, sizeof *each);
    size_t n = 0, eaches = 0;
    enum result r = first && whole && each ? RESULT_OK : RESULT_NOMEM;
    for (size_t i = 0; !r && i < p->count; i++) {
        const struct fleet_job *j = p->jobs + i;
        out->requests++;
        out->failed += j->failed;
        out->retried += j->attempts > 1;
        if (j->failed)
            continue;
        first[n] = (double)(j->first_us - j->at_us) / 1e6;
        whole[n] = (double)(j->end_us - j->at_us) / 1e6;
        out->first_mean_s += first[n];
        if (j->output_tok > 1)
            each[eaches++] = (double)(j->end_us - j->first_us) / 1e3 / (j->output_tok - 1);
        out->prompt_tok += j->prompt_tok;
        out->cached_tok += j->cached_tok;
        out->generated_tok += j->output_tok;
        n++;
    }
    if (!r) {
        qsort(first, n, sizeof *first, by_size);
        qsort(whole, n, sizeof *whole, by_size);
        qsort(each, eaches, sizeof *each, by_size);
        out->first_mean_s /= n ? (double)n : 1;
        out->first_p50_s = quantile(first, n, 0.5);
        out->first_p90_s = quantile(first, n, 0.9);
        out->first_p99_s = quantile(first, n, 0.99);
        out->whole_p50_s = quantile(whole, n, 0.5);
        out->whole_p99_s = quantile(whole, n, 0.99);
        out->each_p50_ms = quantile(each, eaches, 0.5);
        out->seconds = (double)fleet_now_us(f) / 1e6;
        out->joules = fleet_joules(f);
        out->replicas = fleet_replicas(f);
        for (uint32_t i = 0; i < out->replicas; i++) {
            struct engine_stats s;
            engine_stats(fleet_engine(f, i), &s);
            out->preemptions += s.preemptions;
            out->prefill_tok += (double)s.prefill_tok;
            out->placed[i] = (double)fleet_placed(f, i);
            out->busy[i] = out->seconds > 0 ? (double)s.busy_us / 1e6 / out->seconds : 0;
        }
    }
    alloc_free(first);
    alloc_free(whole);
    alloc_free(each);
    return r;
}

enum result fleet_play(const struct fleet_play *play, struct fleet_result *out)
{
    struct player p = {0};
    struct fleet *f = NULL;
    struct fleet_options o = {.constants = play->constants,
                              .placement = play->placement,
                              .seed = play->seed,
                              .scrape_ms = play->scrape_ms};
    *out = (struct fleet_result){0};
    if (!(play->per_s > 0 && play->per_s < 1e6 && play->seconds > 0 && play->seconds < 1e6))
        return RESULT_RANGE;
    enum result r = make_jobs(play, &p);
    if (!r)
        r = fleet_open(&f, &o);
    for (size_t i = 0; !r && i < p.count; i++)
        r = fleet_push(f, p.jobs + i);
    for (uint64_t at = 1000000; !r && fleet_run(f, at); at += 1000000) {
        if (play->on_progress)
            play->on_progress(play->user, (double)at / 1e6, (double)at / 1e6 / play->seconds);
    }
    if (!r)
        r = summarise(&p, f, out);
    fleet_close(f);
    alloc_free(p.jobs);
    alloc_free(p.hashes);
    return r;
}
