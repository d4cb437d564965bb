#include "sim/fleet.h"

#include <string.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "sim/fleet_place.h"

enum { JOBS_MAX = 20000000, RESTARTS_MAX = 1000 };

struct replica {
    struct engine *engine;
    uint32_t in_flight;
    uint64_t placed;
    uint64_t since_us; // up to which the two below are summed
    double up_s, load_s;
};

struct restart {
    uint32_t replica;
    uint64_t at_us;
};

struct fleet {
    struct fleet_options o;
    struct constants constants;
    struct replica replicas[CONSTANTS_REPLICAS_MAX];
    uint32_t count;
    struct rng rng;
    void *placement;
    VEC(struct fleet_job *) heap; // by event_us, then event_serial
    VEC(struct restart) restarts;
    uint64_t serial, now_us, scrape_us;
    bool out_of_memory;
};

// ---- The heap of jobs that are to be placed

static bool sooner(const struct fleet_job *a, const struct fleet_job *b)
{
    return a->event_us != b->event_us ? a->event_us < b->event_us
                                      : a->event_serial < b->event_serial;
}

static enum result put(struct fleet *f, struct fleet_job *job, uint64_t at_us)
{
    job->event_us = at_us;
    job->event_serial = ++f->serial;
    if (!VEC_PUSH(&f->heap, job))
        return RESULT_NOMEM;
    size_t at = f->heap.len - 1;
    while (at && sooner(job, f->heap.at[(at - 1) / 2])) {
        f->heap.at[at] = f->heap.at[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    f->heap.at[at] = job;
    return RESULT_OK;
}

static struct fleet_job *take(struct fleet *f)
{
    struct fleet_job *top = f->heap.at[0], *last = f->heap.at[--f->heap.len];
    size_t at = 0, n = f->heap.len;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && sooner(f->heap.at[child + 1], f->heap.at[child]))
            child++;
        if (!sooner(f->heap.at[child], last))
            break;
        f->heap.at[at] = f->heap.at[child];
        at = child;
    }
    if (n)
        f->heap.at[at] = last;
    return top;
}

// ---- Jobs

static void account(struct fleet *f, uint32_t replica)
{
    struct replica *r = f->replicas + replica;
    if (engine_is_up(r->engine, f->now_us)) {
        double s = (double)(f->now_us - r->since_us) / 1e6;
        r->up_s += s;
        r->load_s += s * r->in_flight;
    }
    r->since_us = f->now_us;
}

static void done(struct fleet *f, struct fleet_job *job, bool failed)
{
    job->failed = failed;
    job->end_us = f->now_us;
    alloc_free(job->placed); // of a job that fitted nowhere
    job->placed = NULL;
    if (f->o.on_done)
        f->o.on_done(f->o.user, f, job, f->now_us);
}

static void again(struct fleet *f, struct fleet_job *job, uint64_t at_us)
{
    if (job->attempts >= FLEET_ATTEMPTS_MAX) {
        done(f, job, true);
        return;
    }
    if (put(f, job, at_us))
        f->out_of_memory = true;
}

static void place(struct fleet *f, struct fleet_job *job)
{
    const struct fleet_placement *p = f->o.placement;
    job->attempts++;
    int32_t to = p->choose(f->placement, job, f->now_us);
    job->replica = to;
    if (to < 0) {
        // All that are up were tried: begin anew a little later.
        job->tried = job->small;
        again(f, job, f->now_us + FLEET_RETRY_US);
        return;
    }
    struct replica *r = f->replicas + to;
    struct engine_ask ask = {.prompt_tok = job->prompt_tok,
                             .output_tok = job->output_tok,
                             .hashes = job->hashes,
                             .hash_count = job->hash_count,
                             .hash_tok = job->hash_tok,
                             .adapter = -1,
                             .user = job};
    account(f, (uint32_t)to);
    enum result res = engine_submit(r->engine, &ask, f->now_us, &job->request);
    if (p->began)
        p->began(f->placement, job,
                 res == RESULT_OK      ? FLEET_SENT
                 : res == RESULT_RANGE ? FLEET_TOO_LONG
                                       : FLEET_REFUSED,
                 f->now_us);
    if (res) {
        if (res == RESULT_RANGE)
            job->small |= UINT64_C(1) << to;
        job->request = NULL;
        job->tried |= UINT64_C(1) << to;
        // It fits nowhere: no waiting changes that.
        if ((uint32_t)__builtin_popcountll(job->small) == f->count)
            done(f, job, true);
        else
            again(f, job, f->now_us);
        return;
    }
    r->in_flight++;
    r->placed++;
}

static void on_token(void *user, struct engine_request *e, uint64_t now_us)
{
    struct fleet *f = user;
    struct fleet_job *job = e->ask.user;
    if (e->produced_tok != 1)
        return;
    f->now_us = now_us;
    job->first_us = now_us;
    job->cached_tok = e->cached_tok;
    if (f->o.placement->first)
        f->o.placement->first(f->placement, job, now_us);
}

static void on_end(void *user, struct engine_request *e, enum engine_end why, uint64_t now_us)
{
    struct fleet *f = user;
    struct fleet_job *job = e->ask.user;
    f->now_us = now_us;
    account(f, (uint32_t)job->replica);
    f->replicas[job->replica].in_flight--;
    job->request = NULL;
    if (f->o.placement->ended)
        f->o.placement->ended(f->placement, job, why == ENGINE_DONE, now_us);
    if (why == ENGINE_DONE) {
        done(f, job, false);
        return;
    }
    job->first_us = 0;
    job->tried |= UINT64_C(1) << job->replica;
    again(f, job, now_us);
}

// ---- Time

static uint32_t next_engine(const struct fleet *f, uint64_t *at_us)
{
    uint32_t best = 0;
    *at_us = ENGINE_NEVER;
    for (uint32_t i = 0; i < f->count; i++) {
        uint64_t t = engine_next_us(f->replicas[i].engine);
        if (t < *at_us) {
            *at_us = t;
            best = i;
        }
    }
    return best;
}

static uint32_t next_restart(const struct fleet *f, uint64_t *at_us)
{
    uint32_t best = 0;
    *at_us = ENGINE_NEVER;
    for (uint32_t i = 0; i < f->restarts.len; i++) {
        if (f->restarts.at[i].at_us < *at_us) {
            *at_us = f->restarts.at[i].at_us;
            best = i;
        }
    }
    return best;
}

static void scrape(struct fleet *f)
{
    struct engine_stats s;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!engine_is_up(f->replicas[i].engine, f->now_us))
            continue;
        engine_stats(f->replicas[i].engine, &s);
        f->o.placement->scraped(f->placement, i, &s, f->now_us);
    }
    f->scrape_us = f->now_us + f->o.scrape_ms * 1000ull;
}

// In the order of time; at one time engines first, so that what is free is known to be, then restarts, scrapes, arrivals.
bool fleet_run(struct fleet *f, uint64_t until_us)
{
    while (!f->out_of_memory) {
        uint64_t engine_us, restart_us;
        uint32_t engine = next_engine(f, &engine_us), restart = next_restart(f, &restart_us);
        uint64_t job_us = f->heap.len ? f->heap.at[0]->event_us : ENGINE_NEVER;
        uint64_t scrape_us = f->o.placement->scraped ? f->scrape_us : ENGINE_NEVER;
        uint64_t next = engine_us < job_us ? engine_us : job_us;
        if (next == ENGINE_NEVER)
            return false;
        next = restart_us < next ? restart_us : next;
        next = scrape_us < next ? scrape_us : next;
        if (next > until_us) {
            f->now_us = until_us > f->now_us ? until_us : f->now_us;
            return true;
        }
        f->now_us = next > f->now_us ? next : f->now_us;
        if (engine_us == next) {
            engine_run(f->replicas[engine].engine, next);
        } else if (restart_us == next) {
            uint32_t which = f->restarts.at[restart].replica;
            f->restarts.at[restart] = f->restarts.at[--f->restarts.len];
            account(f, which);
            engine_restart(f->replicas[which].engine, next);
        } else if (scrape_us == next) {
            scrape(f);
        } else {
            place(f, take(f));
        }
    }
    return false;
}

enum result fleet_push(struct fleet *f, struct fleet_job *job)
{
    job->replica = -1;
    job->attempts = job->cached_tok = 0;
    job->first_us = job->end_us = job->tried = job->small = 0;
    job->failed = false;
    job->request = NULL;
    job->placed = NULL;
    return put(f, job, job->at_us);
}

enum result fleet_restart_at(struct fleet *f, uint32_t replica, uint64_t at_us)
{
    struct restart r = {replica, at_us};
    return VEC_PUSH(&f->restarts, r) ? RESULT_OK : RESULT_NOMEM;
}

// ---- What it shows

uint64_t fleet_now_us(const struct fleet *f)
{
    return f->now_us;
}

uint32_t fleet_replicas(const struct fleet *f)
{
    return f->count;
}

const struct engine *fleet_engine(const struct fleet *f, uint32_t replica)
{
    return f->replicas[replica].engine;
}

struct rng *fleet_rng(struct fleet *f)
{
    return &f->rng;
}

uint32_t fleet_scrape_ms(const struct fleet *f)
{
    return f->o.scrape_ms;
}

uint32_t fleet_in_flight(const struct fleet *f, uint32_t replica)
{
    return f->replicas[replica].in_flight;
}

uint64_t fleet_placed(const struct fleet *f, uint32_t replica)
{
    return f->replicas[replica].placed;
}

double fleet_up_s(const struct fleet *f, uint32_t replica)
{
    return f->replicas[replica].up_s;
}

double fleet_load_s(const struct fleet *f, uint32_t replica)
{
    return f->replicas[replica].load_s;
}

double fleet_joules(const struct fleet *f)
{
    double sum = 0;
    for (uint32_t i = 0; i < f->count; i++)
        sum += engine_joules(f->replicas[i].engine, f->now_us);
    return sum;
}

// ---- Life

enum result fleet_open(struct fleet **out, const struct fleet_options *o)
{
    if (!o->constants->replicas)
        return RESULT_RANGE;
    struct fleet *f = alloc_zeroed(1, sizeof *f);
    if (!f)
        return RESULT_NOMEM;
    f->o = *o;
    f->constants = *o->constants;
    f->o.constants = &f->constants;
    f->o.scrape_ms = o->scrape_ms ? o->scrape_ms : FLEET_SCRAPE_MS;
    f->heap.cap = JOBS_MAX;
    f->restarts.cap = RESTARTS_MAX;
    rng_seed(&f->rng, o->seed);
    struct engine_sink sink = {on_token, on_end, f};
    enum result r = RESULT_OK;
    for (uint32_t i = 0; !r && i < f->constants.replicas; i++) {
        r = engine_open(&f->replicas[i].engine, f->constants.profiles + f->constants.fleet[i],
                        &sink, rng_next(&f->rng));
        f->count += !r;
    }
    if (!r)
        r = o->placement->open(f, &f->placement);
    if (r) {
        fleet_close(f);
        return r;
    }
    *out = f;
    return RESULT_OK;
}

void fleet_close(struct fleet *f)
{
    if (!f)
        return;
    if (f->placement)
        f->o.placement->close(f->placement);
    for (uint32_t i = 0; i < f->count; i++)
        engine_close(f->replicas[i].engine);
    VEC_DEINIT(&f->heap);
    VEC_DEINIT(&f->restarts);
    alloc_free(f);
}
