// The agent workload on a simulated fleet: sessions of tool loops with a large head of tool schemas, one replica restarted
// midway. Prints a line of JSON: what was prefilled, and what load the replicas had.
//
//   bench_sim_sticky CONSTANTS PLACE SEED each|all shared|salted
//
// each, all: whether each replica's KV cache holds 30 whole sessions, or all of them together. shared, salted: whether equal
// tool schemas may be cached once for all sessions, or every session has its cache_salt, as some agents send it.
//
// The numbers of a loop are those of the real client that was recorded: 31 tools of 32,482 bytes, a system prompt of 1,756, 33
// requests, 20,500 tokens of prompt on average, four bytes a token. How long a tool runs (exponential, 1.5 s) and how long an
// answer is (20 to 120 tokens) are guesses: of a session's time 40 to 60 % go to tools.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "sim/fleet.h"

enum {
    SESSIONS = 60,
    STEPS = 33,
    TOOLS_TOK = 8121,
    SYSTEM_TOK = 439,
    TASK_TOK = 60,
    EVIDENCE_TOK = 670, // of a step: the tool's result and the line that asks to go on
    HELD_SESSIONS = 30,
    PIECE_TOK = 16,
    WHOLE_TOK = TOOLS_TOK + SYSTEM_TOK + TASK_TOK + STEPS * (EVIDENCE_TOK + 70),
    PIECES = (TOOLS_TOK + SYSTEM_TOK + TASK_TOK + STEPS * (EVIDENCE_TOK + 120)) / PIECE_TOK + 1,
    BEGIN_S = 30, // in which the sessions begin
};
static const double TOOL_S = 1.5;

struct session {
    struct fleet_job job;
    uint64_t hashes[PIECES];
    uint32_t step;
    struct rng rng;
};

struct work {
    struct session sessions[SESSIONS];
    uint32_t done, failed;
    double first_s[SESSIONS * STEPS];
    uint64_t cached_tok, prompt_tok;
};

static void fill(struct session *s)
{
    s->job.output_tok = 20 + (uint32_t)rng_below(&s->rng, 101);
    s->job.hash_count = (s->job.prompt_tok + s->job.output_tok) / PIECE_TOK;
    if (s->job.hash_count > PIECES)
        s->job.hash_count = PIECES;
}

static void on_done(void *user, struct fleet *f, struct fleet_job *job, uint64_t now_us)
{
    struct work *w = user;
    struct session *s = job->user;
    w->first_s[w->done++] = (double)(job->first_us - job->at_us) / 1e6;
    w->failed += job->failed;
    w->cached_tok += job->cached_tok;
    w->prompt_tok += job->prompt_tok;
    if (w->done == SESSIONS * STEPS / 2)
        (void)fleet_restart_at(f, 1, now_us);
    if (++s->step == STEPS)
        return;
    job->at_us = now_us + (uint64_t)(-log(1 - rng_unit(&s->rng)) * TOOL_S * 1e6) + 1;
    job->prompt_tok += job->output_tok + EVIDENCE_TOK;
    fill(s);
    if (fleet_push(f, job))
        exit(1);
}

static void begin(struct work *w, struct fleet *f, uint64_t seed, bool salted)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct session *s = w->sessions + i;
        rng_seed(&s->rng, rng_next(&rng));
        for (uint32_t k = 0; k < PIECES; k++) {
            bool common = !salted && (k + 1) * PIECE_TOK <= TOOLS_TOK + SYSTEM_TOK;
            s->hashes[k] = common ? 77777 + k : ((uint64_t)(i + 1) << 32) + k;
            s->hashes[k] *= 0x9e3779b97f4a7c15u;
        }
        s->job = (struct fleet_job){.at_us = rng_below(&rng, BEGIN_S * 1000000) + 1,
                                    .prompt_tok = TOOLS_TOK + SYSTEM_TOK + TASK_TOK,
                                    .hashes = s->hashes,
                                    .hash_tok = PIECE_TOK,
                                    .session = i + 1,
                                    .user = s};
        fill(s);
        if (fleet_push(f, &s->job))
            exit(1);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The most loaded replica against the mean, by requests in the time that it was up.
static double most_of(const double *v, uint32_t n)
{
    double sum = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += v[i];
        most = v[i] > most ? v[i] : most;
    }
    return sum > 0 ? most * n / sum : 0;
}

static void print(const struct work *w, const struct fleet *f, const char *const *argv)
{
    double placed[CONSTANTS_REPLICAS_MAX], load[CONSTANTS_REPLICAS_MAX], prefill = 0;
    uint64_t evictions = 0, preemptions = 0;
    uint32_t n = fleet_replicas(f);
    for (uint32_t i = 0; i < n; i++) {
        struct engine_stats s;
        engine_stats(fleet_engine(f, i), &s);
        prefill += (double)s.prefill_tok;
        evictions += s.evictions;
        preemptions += s.preemptions;
        placed[i] = (double)fleet_placed(f, i) / fleet_up_s(f, i);
        load[i] = fleet_load_s(f, i) / fleet_up_s(f, i);
    }
    printf(
        "{\"place\": \"%s\", \"seed\": %s, \"holds\": \"%s\", \"tools\": \"%s\", \"requests\": %u, "
        "\"failed\": %u, \"prompt_tokens\": %llu, \"prefill_tokens\": %.0f, \"cached_tokens\": "
        "%llu, "
        "\"most_requests\": %.4f, \"most_in_flight\": %.4f, \"first_p50_s\": %.4f, "
        "\"first_p99_s\": %.4f, "
        "\"evictions\": %llu, \"preemptions\": %llu, \"seconds\": %.1f, \"placed\": [",
        argv[2], argv[3], argv[4], argv[5], w->done, w->failed, (unsigned long long)w->prompt_tok,
        prefill, (unsigned long long)w->cached_tok, most_of(placed, n), most_of(load, n),
        w->first_s[w->done / 2], w->first_s[w->done * 99 / 100], (unsigned long long)evictions,
        (unsigned long long)preemptions, (double)fleet_now_us(f) / 1e6);
    for (uint32_t i = 0; i < n; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)fleet_placed(f, i));
    printf("]}\n");
}

int main(int argc, char **argv)
{
    static struct constants c;
    static struct work w;
    char diag[CONSTANTS_DIAG_BYTES];
    struct buf text;
    struct fleet *f;
    const struct fleet_placement *placement = argc == 6 ? fleet_placement(argv[2]) : NULL;
    buf_init(&text, CONSTANTS_FILE_BYTES_MAX);
    if (!placement || file_read(argv[1], &text) || constants_read(buf_slice(&text), &c, diag)) {
        fprintf(stderr, "usage: bench_sim_sticky CONSTANTS PLACE SEED each|all shared|salted\n");
        return 2;
    }
    buf_deinit(&text);
    uint32_t held = WHOLE_TOK * HELD_SESSIONS / (strcmp(argv[4], "all") == 0 ? c.replicas : 1);
    for (uint32_t i = 0; i < c.profile_count; i++)
        c.profiles[i].blocks = held / c.profiles[i].block_tok;
    uint64_t seed = strtoull(argv[3], NULL, 10);
    struct fleet_options o = {
        .constants = &c, .placement = placement, .seed = seed, .on_done = on_done, .user = &w};
    if (fleet_open(&f, &o))
        return 1;
    begin(&w, f, seed, strcmp(argv[5], "salted") == 0);
    while (fleet_run(f, fleet_now_us(f) + 1000000000))
        continue;
    qsort(w.first_s, w.done, sizeof *w.first_s, by_size);
    print(&w, f, (const char *const *)argv);
    fleet_close(f);
    return w.done == SESSIONS * STEPS ? 0 : 1;
}
