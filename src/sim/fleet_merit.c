#include "sim/fleet_merit.h"

#include <string.h>

#include "base/alloc.h"
#include "base/diag.h"
#include "policy/policy.h"
#include "pool/pool.h"
#include "pool/prefix.h"
#include "pool/sessions.h"
#include "route/dispatch.h"
#include "route/lengths.h"
#include "signal/registry.h"

enum { FRESH_SCRAPES = 3, HASH_TOK_BYTES = 4, SESSION_ROWS = 1 << 12 };

struct call {
    struct pool_call pool;
    struct lengths_answer answer;
    uint32_t believed_tok;
    bool sent;
};

struct merit {
    struct fleet *f;
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    struct pool pool;
    struct pool_loop loop;
    struct prefix *prefix; // NULL: blind
    struct prefix_prompt prompt;
    struct lengths *lengths;
    struct lengths_epoch *epoch;
    struct sessions *sessions; // NULL: blind
    uint64_t model, turn, seed;
    uint32_t first; // place of replica 0
    bool pool_open, blind;
};

// ---- Life

static void write_policy(struct buf *out, uint32_t replicas)
{
    BUF_LIT(out, "policy \"fleet\" version 1\nmodel m  ");
    for (uint32_t i = 0; i < replicas; i++)
        buf_printf(out, "%s\"http://10.0.0.%u:8000/v1\"", i ? ", " : "endpoint ", i + 1);
    BUF_LIT(out, "  context 1000k tok  output 1000k tok\notherwise -> answer(m)\n");
}

static void merit_close(void *self)
{
    struct merit *m = self;
    lengths_epoch_unref(m->epoch);
    lengths_close(m->lengths);
    prefix_close(m->prefix);
    if (m->pool_open)
        pool_close(&m->pool);
    sessions_close(m->sessions);
    arena_deinit(&m->arena);
    alloc_free(m);
}

static enum result open_parts(struct merit *m)
{
    struct buf text;
    char diag[POOL_DIAG_BYTES];
    uint32_t n = fleet_replicas(m->f);
    buf_init(&text, 64 * 1024);
    write_policy(&text, n);
    struct slice kept = buf_result(&text) ? SLICE_EMPTY : arena_copy(&m->arena, buf_slice(&text));
    buf_deinit(&text);
    if (!kept.ptr)
        return RESULT_NOMEM;
    enum result r = policy_load(kept, &signal_registry, &m->arena, &m->diags, &m->image);
    if (r)
        return r;
    r = pool_open(&m->pool, m->image, 0, &m->arena, diag);
    m->pool_open = true;
    if (!r)
        r = pool_loop_open(&m->loop, &m->pool, NULL, NULL, &m->arena);
    if (!r && !m->blind)
        r = prefix_open(&m->prefix, n, 0);
    if (!r)
        r = lengths_open(&m->lengths, 1);
    if (!r && !m->blind)
        r = sessions_open(&m->sessions, SESSION_ROWS);
    return r;
}

static enum result open_with(struct fleet *f, void **self, bool blind)
{
    struct merit *m = alloc_zeroed(1, sizeof *m);
    if (!m)
        return RESULT_NOMEM;
    m->f = f;
    m->blind = blind;
    m->seed = rng_next(fleet_rng(f));
    arena_init(&m->arena, 64 * 1024, 64 << 20);
    diag_init(&m->diags, &m->arena, 16);
    enum result r = open_parts(m);
    if (r) {
        merit_close(m);
        return r;
    }
    m->model = lengths_name(SLICE("m"));
    m->first = m->pool.models[0].slot_first;
    *self = m;
    return RESULT_OK;
}

static enum result merit_open(struct fleet *f, void **self)
{
    return open_with(f, self, false);
}

static enum result blind_open(struct fleet *f, void **self)
{
    return open_with(f, self, true);
}

// ---- A request

// The prompt's blocks, as Merit would cut them from the body: several of the job's pieces where those are shorter.
static void cut_prompt(struct merit *m, const struct fleet_job *job)
{
    struct prefix_prompt *p = &m->prompt;
    uint32_t block = PREFIX_BLOCK_BYTES / HASH_TOK_BYTES;
    uint32_t per = job->hash_tok && job->hash_tok < block ? block / job->hash_tok : 1;
    uint32_t whole = job->hash_tok ? job->prompt_tok / job->hash_tok : 0;
    p->count = (job->hash_count < whole ? job->hash_count : whole) / per;
    p->count = p->count < PREFIX_BLOCKS_MAX ? p->count : PREFIX_BLOCKS_MAX;
    p->tok = job->prompt_tok;
    p->bytes = job->prompt_tok * HASH_TOK_BYTES;
    for (uint32_t i = 0; i < p->count; i++) {
        p->end[i] = (i + 1) * per * job->hash_tok * HASH_TOK_BYTES;
        p->chain[i] = job->hashes[(i + 1) * per - 1];
    }
}

static void look(struct merit *m, const struct fleet_job *job, uint64_t now_us,
                 struct pool_view *view)
{
    uint32_t held[POOL_PLACES_PER_MODEL_MAX], n = fleet_replicas(m->f);
    pool_rows(&m->loop, now_us, view);
    view->seed = m->seed ^ m->turn * 0x9e3779b97f4a7c15u;
    view->turn = m->turn;
    if (m->prefix) {
        prefix_match(m->prefix, &m->prompt, n, held);
        for (uint32_t i = 0; i < n; i++)
            m->loop.rows[m->first + i].prefix_tok = held[i];
    }
    if (!m->sessions)
        return;
    sessions_weigh(m->sessions, job->session, now_us / 1000, (float)m->image->dispatch.second_nusd,
                   m->loop.rows, m->first, m->first + n, NULL);
    struct session_seen seen = sessions_look(m->sessions, job->session, now_us / 1000);
    if (seen.place >= 0) {
        view->session_place = seen.place;
        view->session_model = seen.model;
        view->session_tok = seen.tok < job->prompt_tok ? seen.tok : job->prompt_tok;
    }
}

static void expect(struct merit *m, const struct fleet_job *job, struct lengths_answer *a,
                   struct estimate *e)
{
    struct work work = {.input_tok = job->prompt_tok, .choices = 1};
    a->model = m->model;
    a->effort = IMAGE_EFFORT_DEFAULT;
    a->task = lengths_task(&work, 0, 0);
    lengths_expect(m->epoch, m->model, a->effort, &a->task, 0, &a->expected);
    *e = (struct estimate){.input_tok = job->prompt_tok,
                           .output_tok = (uint32_t)(a->expected.mean_tok + 0.5F),
                           .output_low_tok = a->expected.low_tok,
                           .output_high_tok = a->expected.high_tok,
                           .cost_nusd = -1,
                           .cost_low_nusd = -1,
                           .cost_high_nusd = -1,
                           .energy_uj = -1,
                           .energy_low_uj = -1,
                           .energy_high_uj = -1,
                           .marginal_uj = -1,
                           .carbon_ug = -1};
}

static int32_t merit_choose(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct merit *m = self;
    struct pool_view view;
    struct work work = {.input_tok = job->prompt_tok, .choices = 1, .stream = true};
    struct dispatch_action action = {
        .binding = {0, IMAGE_EFFORT_DEFAULT}, .closed = job->tried, .quality = -1};
    struct decision_option option;
    struct call *c = job->placed ? job->placed : alloc_zeroed(1, sizeof *c);
    if (!c)
        return -1;
    job->placed = c;
    m->turn++;
    cut_prompt(m, job);
    expect(m, job, &c->answer, &action.expect);
    struct dispatch_ask ask = {.image = m->image,
                               .work = &work,
                               .pool = &view,
                               .objective = IMAGE_OBJECTIVE_ORDER,
                               .actions = &action,
                               .count = 1};
    for (;;) {
        look(m, job, now_us, &view);
        if (!dispatch_choose(&ask, &option, 1) || option.place < 0)
            return -1;
        uint32_t replica = (uint32_t)option.place - m->first;
        c->believed_tok = m->loop.rows[option.place].prefix_tok;
        if (view.session_place == option.place && view.session_tok > c->believed_tok)
            c->believed_tok = view.session_tok;
        uint32_t hit = c->believed_tok < job->prompt_tok ? c->believed_tok : job->prompt_tok - 1;
        struct pool_ask claim = {.compute_tok = job->prompt_tok - hit,
                                 .output_tok = action.expect.output_tok};
        if (!pool_begin(&m->loop, option.place, &claim, now_us, &c->pool))
            return (int32_t)replica;
        action.closed |= UINT64_C(1) << replica;
    }
}

static void merit_began(void *self, struct fleet_job *job, enum fleet_began how, uint64_t now_us)
{
    struct merit *m = self;
    struct call *c = job->placed;
    if (how != FLEET_SENT) {
        // A client's error says nothing against the place.
        struct pool_report failed = {.outcome = how == FLEET_TOO_LONG ? POOL_OK : POOL_FAILED};
        pool_end(&m->loop, &c->pool, &failed, now_us);
        return;
    }
    if (m->prefix)
        prefix_sent(m->prefix, &m->prompt, (uint32_t)job->replica);
    if (m->sessions)
        sessions_sent(m->sessions, job->session, (int32_t)m->first + job->replica, 0,
                      job->prompt_tok, now_us / 1000);
}

static void merit_first(void *self, struct fleet_job *job, uint64_t now_us)
{
    struct merit *m = self;
    struct call *c = job->placed;
    pool_first(&m->loop, &c->pool, now_us);
}

static void merit_ended(void *self, struct fleet_job *job, bool well, uint64_t now_us)
{
    struct merit *m = self;
    struct call *c = job->placed;
    struct pool_report report = {.outcome = well ? POOL_OK : POOL_FAILED,
                                 .known = well,
                                 .input_tok = job->prompt_tok,
                                 .cached_tok = job->cached_tok,
                                 .output_tok = job->output_tok};
    pool_end(&m->loop, &c->pool, &report, now_us);
    if (!well)
        return;
    c->answer.output_tok = job->output_tok;
    c->answer.input_tok = job->prompt_tok;
    lengths_saw(m->lengths, 0, &c->answer);
    if (m->prefix)
        prefix_came(m->prefix, (uint32_t)job->replica, c->believed_tok, job->prompt_tok,
                    job->cached_tok);
    alloc_free(c);
    job->placed = NULL;
}

// What the control side writes down of a scrape of vLLM. How many it runs at most it does not tell.
static void merit_scraped(void *self, uint32_t replica, const struct engine_stats *s,
                          uint64_t now_us)
{
    struct merit *m = self;
    struct place *p = pool_site(&m->pool, (int32_t)(m->first + replica))->place;
    struct place_gauges *g = &p->gauges;
    const struct engine_profile *profile = engine_profile(fleet_engine(m->f, replica));
    bool again = atomic_load(&g->restarts) != s->restarts;
    atomic_store(&g->ends, atomic_load(&p->ends));
    atomic_store(&g->in_flight, atomic_load(&p->in_flight));
    atomic_store(&g->queue, (float)s->waiting);
    atomic_store(&g->running, (float)s->running);
    atomic_store(&g->kv_use, (float)s->kv_use);
    atomic_store(&g->block_tok, profile->block_tok);
    atomic_store(&g->blocks, profile->blocks);
    atomic_store(&g->preemptions, s->preemptions);
    atomic_store(&g->restarts, (uint32_t)s->restarts);
    atomic_store(&g->at_ms, now_us / 1000);
    atomic_store(&g->fresh_ms, now_us / 1000 + FRESH_SCRAPES * fleet_scrape_ms(m->f));
    if (m->prefix) {
        prefix_capacity(m->prefix, replica, profile->block_tok * profile->blocks);
        if (again) {
            prefix_forget(m->prefix, replica);
            sessions_forget(m->sessions, (int32_t)(m->first + replica));
        }
    }
    if (replica == 0 && lengths_merge(m->lengths)) {
        struct lengths_epoch *next;
        if (!lengths_epoch_make(m->lengths, &next)) {
            lengths_epoch_unref(m->epoch);
            m->epoch = next;
        }
    }
}

#define MERIT_PLACEMENT(id, label, opens)                                                          \
    const struct fleet_placement id = {.name = label,                                              \
                                       .open = opens,                                              \
                                       .close = merit_close,                                       \
                                       .choose = merit_choose,                                     \
                                       .began = merit_began,                                       \
                                       .first = merit_first,                                       \
                                       .ended = merit_ended,                                       \
                                       .scraped = merit_scraped}
MERIT_PLACEMENT(fleet_merit, "merit", merit_open);
MERIT_PLACEMENT(fleet_merit_blind, "blind", blind_open);
