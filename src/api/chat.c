// One chat request: parse, decide, obey. See gateway.h for the road, attempt.h for what is sent.

#include <time.h>

#include "api/attempt.h"
#include "api/effort.h"
#include "api/waiting.h"
#include "route/record.h"

static uint64_t mono_ns(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void read_headers(struct request *r)
{
    const struct http_head *head = r->x->head;
    uint32_t n = head->header_count < WORK_HEADERS_MAX ? head->header_count : WORK_HEADERS_MAX;
    struct work_pair *pairs = arena_alloc(r->x->arena, n * sizeof *pairs);
    uint32_t kept = 0;
    for (uint32_t i = 0; pairs && i < n; i++) {
        const struct http_header *h = &head->headers[i];
        if (r->epoch->serving->reads_headers || openai_names_session(h->name))
            pairs[kept++] = (struct work_pair){h->name, h->value};
    }
    r->work.headers = pairs;
    r->work.header_count = kept;
}

static void read_caller(struct request *r)
{
    struct work_caller *c = &r->work.caller;
    const struct http_head *head = r->x->head;
    if (r->key) {
        *c = r->key->caller;
        // A proxy in between may add a header of its own behind the client's.
        for (uint32_t i = 0; i < head->header_count && r->key->scopes & KEY_SCOPE_ROUTE_HEADERS;
             i++)
            if (slice_ieq(head->headers[i].name, SLICE("x-merit-label")))
                work_caller_label(c, head->headers[i].value);
        return;
    }
    c->known = false;
    c->group_count = c->label_count = 0;
    c->id = c->team = c->tenant = SLICE_EMPTY;
}

// Where the request comes from: its own header where the key may steer, what the key says, or where Merit runs. False: the
// header is no name.
static bool set_region(struct request *r)
{
    struct slice said = SLICE_EMPTY;
    r->region = r->g->shared->region;
    if (!r->key)
        return true;
    if (r->key->region.len)
        r->region = r->key->region;
    if (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS)
        said = http_header_get(r->x->head, "x-merit-region");
    if (said.len)
        r->region = said;
    return !said.ptr || key_name_ok(said);
}

// What places there are, as they are now.
static void see_places(struct request *r)
{
    pool_rows(&r->epoch->pool, loop_now_us(r->g->loop), &r->pool);
    r->pool.region = r->region;
    affinity_view(r);
}

static void count_signals(struct request *r)
{
    const struct decision *d = r->decision;
    struct metrics_shard *s = r->g->metrics;
    const uint16_t *slots = r->epoch->serving->signal_slots;
    for (uint32_t i = 0; i < d->image->signals.count; i++) {
        metric_add(
            d->facts[i].state == FACT_UNKNOWN ? &s->avoided[slots[i]] : &s->signals[slots[i]], 1);
        if (d->facts[i].state == FACT_FAILED)
            metric_add(&s->signal_errors[slots[i]], 1);
    }
    metric_add(&s->decisions, 1);
    metrics_observe_ns(&s->decision, &METRICS_DECISION, r->decide_ns);
}

static void go_on(struct request *r, uint64_t begin_ns);

static void on_answers(struct request *r, enum result why)
{
    if (why == RESULT_TIMEOUT)
        decider_expire(&r->deciding);
    else if (why)
        plan_answer_all(r->deciding.signals, why);
    else
        r->decide_ns += r->waited_us * 1000;
    go_on(r, mono_ns(NULL));
}

// Others have their turn before this one goes on.
static void pause_turn(struct request *r)
{
    struct request **at = &r->g->paused;
    while (*at)
        at = &(*at)->paused_next;
    *at = r;
    r->paused_next = NULL;
    r->paused = true;
    loop_later(r->g->loop, &r->g->resume);
}

static void unpause(struct request *r)
{
    struct request **at = &r->g->paused;
    while (*at && *at != r)
        at = &(*at)->paused_next;
    if (*at)
        *at = r->paused_next;
    r->paused = false;
}

void chat_resume(struct loop_task *t)
{
    struct gateway *g = MERIT_CONTAINER(t, struct gateway, resume);
    struct request *r = g->paused;
    if (!r)
        return;
    unpause(r);
    if (g->paused)
        loop_later(g->loop, t);
    go_on(r, mono_ns(NULL));
}

// Has the asks answered within what is left of the time for deciding.
static enum result wait_for_answers(struct request *r, uint64_t now_ns)
{
    uint32_t left_ms = 0;
    if (r->decide_until_ns)
        left_ms = (uint32_t)((r->decide_until_ns - now_ns + 999999) / 1000000);
    return waiting_begin(r, plan_asks(r->deciding.signals), left_ms, on_answers);
}

// RESULT_OK: decided. RESULT_AGAIN: the request waits for an encoder or its turn, and goes on by itself. RESULT_NOMEM.
static enum result decide(struct request *r, uint64_t begin_ns)
{
    for (;;) {
        enum result res = decider_step(&r->deciding);
        uint64_t end_ns = mono_ns(NULL);
        r->decide_ns += end_ns - begin_ns;
        begin_ns = end_ns;
        if (res != RESULT_AGAIN)
            return res;
        if (r->decide_until_ns && end_ns >= r->decide_until_ns) {
            decider_expire(&r->deciding);
            continue;
        }
        if (!plan_waits(r->deciding.signals)) {
            pause_turn(r);
            return RESULT_AGAIN;
        }
        res = wait_for_answers(r, end_ns);
        if (!res)
            return RESULT_AGAIN;
        // No room or no pool: signals make do without.
        plan_answer_all(r->deciding.signals, res);
    }
}

static void record_decision(struct request *r)
{
    struct gateway *g = r->g;
    struct decision *d = r->deciding.run.decision;
    d->wall_us = loop_wall_us(g->loop);
    d->decide_ns = r->decide_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)r->decide_ns;
    record_id(d->wall_us, rng_next(&g->rng), d->id);
    r->decision = d;
    account_decided(r);
    count_signals(r);
    if (r->measured)
        measured_count(r->epoch->serving->measured, g->index, &r->deciding.run);
    if (!g->decision_log && !g->ring.size)
        return;
    buf_reset(&g->line);
    record_compact(d, &g->line);
    if (buf_result(&g->line))
        return; // a record over its limit is not worth a request
    if (g->decision_log)
        log_line(g->decision_log, buf_slice(&g->line));
    r->slot = ring_put(&g->ring, d, buf_slice(&g->line), r->epoch);
    if (r->slot)
        r->epoch->refs++;
}

// Does what was decided.
static void obey(struct request *r)
{
    const struct serving *s = r->epoch->serving;
    const struct decision *d = r->decision;
    if (s->observe_model != IMAGE_NONE) {
        // Decided and recorded, not obeyed: the request goes where it went before, byte for byte.
        metric_add(&r->g->metrics->observed, 1);
        attempt_observed(r, s->observe_model);
        return;
    }
    switch (d->end) {
    case DECISION_ANSWER:
        attempt_begin(r);
        return;
    case DECISION_REFUSE:
        request_refuse(r,
                       &(struct api_error){.status = 403,
                                           .type = "policy_refusal",
                                           .code = "refused",
                                           .message = d->message,
                                           .final = true},
                       METRICS_REFUSED);
        return;
    case DECISION_NO_MODEL:
        request_no_model(r);
        return;
    case DECISION_INFEASIBLE:
        request_infeasible(r);
        return;
    }
}

// Nothing can serve it, and yet places that died may be back: decides again as if they were. Asking one that is still dead
// costs nobody anything.
static enum result decide_hoping(struct request *r)
{
    struct decision *d = r->deciding.run.decision;
    uint32_t count = d->image->models.count;
    uint64_t now = loop_now_us(r->g->loop);
    bool hope = false;
    if (d->end != DECISION_INFEASIBLE || r->hoping)
        return RESULT_OK;
    uint8_t *states = arena_alloc(r->x->arena, count);
    for (uint32_t i = 0; states && i < count; i++) {
        bool may = d->model_outcomes[i].verdict == MODEL_DOWN &&
                   pool_may_be_back(&r->epoch->pool, (int32_t)i, now);
        states[i] = may ? POOL_MODEL_UP : d->pool_states[i];
        hope |= may;
    }
    if (!hope)
        return RESULT_OK;
    r->hoping = true;
    r->measured = false;
    r->options.given = d->facts;
    r->pool = (struct pool_view){.epoch = d->pool_epoch,
                                 .states = states,
                                 .count = count,
                                 .session_place = -1,
                                 .session_model = -1};
    if (decider_begin(&r->epoch->serving->decider, r->epoch->scratch, &r->work, &r->pool,
                      &r->options, NULL, r->x->arena, &r->deciding))
        return RESULT_NOMEM;
    r->deciding.sliced = true;
    return decide(r, mono_ns(NULL));
}

static void go_on(struct request *r, uint64_t begin_ns)
{
    enum result res = decide(r, begin_ns);
    if (!res)
        res = decide_hoping(r);
    if (res == RESULT_AGAIN)
        return;
    if (r->running) {
        if (!res)
            record_decision(r);
        r->anew = true;
        r->else_result = res;
        path_resume(&r->path);
        return;
    }
    if (res) {
        metric_add(&r->g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, r->g);
        return;
    }
    record_decision(r);
    obey(r);
}

// The decision so far is history: its chain was tried.
static void close_slot(struct request *r)
{
    if (r->slot && memcmp(r->slot->id, r->decision->id, DECISION_ID_LEN) == 0)
        buf_printf(&r->slot->outcome, "{\"end\":\"else\",\"us\":%llu}",
                   (unsigned long long)(loop_now_us(r->g->loop) - r->x->begin_us));
}

enum result chat_decide_else(struct request *r)
{
    const struct decision *d = r->decision;
    const struct policy_image *p = r->epoch->serving->image;
    if (d->route == IMAGE_NONE || d->chain == IMAGE_NONE ||
        (uint32_t)d->chain + 1 >= image_route(p, d->route)->chains.count)
        return RESULT_NOT_FOUND;
    uint64_t begin = mono_ns(NULL), most_ms = r->g->shared->compute_deadline_ms;
    close_slot(r);
    r->options.given = d->facts;
    r->options.first_chain = (uint32_t)d->chain + 1;
    r->options.spent = r->spent.unit;
    r->measured = r->hoping = false;
    r->decide_ns = 0;
    r->decide_until_ns = most_ms ? begin + most_ms * 1000000 : 0;
    see_places(r);
    enum result res = decider_begin(&r->epoch->serving->decider, r->epoch->scratch, &r->work,
                                    &r->pool, &r->options, NULL, r->x->arena, &r->deciding);
    if (res)
        return res;
    r->deciding.sliced = true;
    res = decide(r, begin);
    if (!res)
        res = decide_hoping(r);
    if (!res)
        record_decision(r);
    return res;
}

// The time for deciding: the setting's, and what a caller whose key may steer asks for where that is less. False: the
// header is no such number.
static bool set_deadline(struct request *r, uint64_t begin_ns)
{
    uint64_t most_ms = r->g->shared->compute_deadline_ms, asked_ms = 0;
    struct slice header = SLICE_EMPTY;
    if (r->key && (r->key->scopes & KEY_SCOPE_ROUTE_HEADERS))
        header = http_header_get(r->x->head, "x-merit-deadline-ms");
    if (header.ptr && (!slice_u64(header, &asked_ms) || !asked_ms))
        return false;
    if (asked_ms && asked_ms < most_ms)
        most_ms = asked_ms;
    r->decide_until_ns = most_ms ? begin_ns + most_ms * 1000000 : 0;
    return true;
}

static void reject_bad(struct request *r, const char *code, const char *param, struct slice message)
{
    metric_add(&r->g->metrics->in_flight, (uint64_t)-1);
    request_reject(r->x, r->g,
                   &(struct api_error){.status = 400,
                                       .type = "invalid_request_error",
                                       .code = code,
                                       .param = param,
                                       .message = message,
                                       .final = true},
                   METRICS_REJECT_BAD_REQUEST);
}

void chat_begin(struct request *r)
{
    static const struct plan_clock clock = {mono_ns, NULL};
    struct openai_fault fault;
    struct gateway *g = r->g;
    const struct serving *s = r->epoch->serving;
    if (request_is_repeated(r))
        return;
    read_headers(r);
    read_caller(r);
    enum result res = openai_request_parse(r->x->body, r->x->arena, &r->work, &r->openai, &fault);
    if (res == RESULT_NOMEM) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, g);
        return;
    }
    if (res) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_reject(r->x, g,
                       &(struct api_error){.status = fault.status,
                                           .type = "invalid_request_error",
                                           .code = fault.code,
                                           .param = fault.param,
                                           .message = fault.message,
                                           .final = true},
                       METRICS_REJECT_BAD_REQUEST);
        return;
    }
    uint64_t begin = mono_ns(NULL);
    if (!set_deadline(r, begin)) {
        reject_bad(r, "bad_deadline", "x-merit-deadline-ms",
                   SLICE("x-merit-deadline-ms is a number of milliseconds, 1 or more."));
        return;
    }
    if (!set_region(r)) {
        reject_bad(r, "bad_region", "x-merit-region",
                   SLICE("x-merit-region is one name: letters, digits and . _ - @ : / +"));
        return;
    }
    enum image_effort asked;
    res = effort_asked(&r->openai, s->image, r->x->arena, &asked);
    if (res == RESULT_LIMIT && s->observe_model == IMAGE_NONE) {
        reject_bad(r, "limit", "reasoning_effort",
                   SLICE("More than 16 members of the body say how much to think."));
        return;
    }
    r->model = r->place = IMAGE_NONE;
    see_places(r);
    r->options = (struct route_options){.observe = s->observe_model != IMAGE_NONE, .effort = asked};
    if (res == RESULT_NOMEM || account_begin(r)) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, g);
        return;
    }
    r->options.budgets = r->account.view.states ? &r->account.view : NULL;
    // What was never seen is no reason to decide otherwise than the policy's objective alone.
    if (g->lengths && lengths_epoch_answers(g->lengths)) {
        // It may decide again, or go on deciding, when the loop has the next one.
        r->lengths = g->lengths;
        lengths_epoch_ref(r->lengths);
        r->options.lengths = r->lengths;
    }
    r->costs = r->epoch->costs;
    if (r->costs) {
        r->costs->refs++;
        r->options.costs = &r->costs->costs;
    }
    r->measured = s->measured && measured_wants(s->measured, g->index);
    if (decider_begin(&s->decider, r->epoch->scratch, &r->work, &r->pool, &r->options,
                      r->measured ? &clock : NULL, r->x->arena, &r->deciding)) {
        metric_add(&g->metrics->in_flight, (uint64_t)-1);
        request_no_memory(r->x, g);
        return;
    }
    r->deciding.sliced = true;
    go_on(r, begin);
}

void chat_stop(struct request *r)
{
    waiting_drop(r);
    if (r->paused)
        unpause(r);
}

void chat_client_gone(struct request *r)
{
    chat_stop(r);
    request_end(r, METRICS_GONE, NULL, 0);
}
