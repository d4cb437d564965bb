#include "api/attempt.h"

#include <string.h>

#include "api/effort.h"
#include "api/hammer.h"
#include "api/openai_answer.h"

// --- the body that goes on

static enum result edit_model(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    const struct pool_model *m = &r->epoch->serving->pool.models[r->model];
    if (o->model == JSON_NONE)
        return json_edit_member(e, &o->json, 0, m->upstream_json);
    if (json_string_is(&o->json, o->model, m->upstream_name))
        return RESULT_OK;
    return json_edit_value(e, &o->json, o->model,
                           slice_from(m->upstream_json, sizeof "\"model\":" - 1));
}

// Merit needs usage to account for a stream, so it asks for it; path/ hides it again.
static enum result edit_usage(struct request *r, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    if (!r->work.stream || r->work.usage_asked)
        return RESULT_OK;
    if (o->include_usage != JSON_NONE)
        return json_edit_value(e, &o->json, o->include_usage, SLICE("true"));
    if (o->stream_options == JSON_NONE)
        return json_edit_member(e, &o->json, 0,
                                SLICE("\"stream_options\":{\"include_usage\":true}"));
    if (json_type(&o->json, o->stream_options) == JSON_OBJECT)
        return json_edit_member(e, &o->json, o->stream_options, SLICE("\"include_usage\":true"));
    return json_edit_value(e, &o->json, o->stream_options, SLICE("{\"include_usage\":true}"));
}

static enum result edit_cap(struct request *r, uint32_t cap, struct json_edits *e)
{
    const struct openai_request *o = &r->openai;
    const uint32_t given[] = {o->max_tokens, o->max_completion_tokens, o->n_predict};
    bool said = false;
    enum result res = RESULT_OK;
    if (!cap)
        return RESULT_OK;
    struct slice value = arena_printf(r->x->arena, "%u", cap);
    if (!value.ptr)
        return RESULT_NOMEM;
    for (size_t i = 0; i < MERIT_COUNT(given) && !res; i++) {
        uint64_t tok = UINT64_MAX;
        if (given[i] == JSON_NONE || json_type(&o->json, given[i]) == JSON_NULL)
            continue; // null stands for nothing
        bool number = !json_u64(&o->json, given[i], &tok);
        said |= given[i] != o->n_predict; // who does not know that one needs another
        if (!number || tok > cap)
            res = json_edit_value(e, &o->json, given[i], value);
    }
    if (said || res)
        return res;
    const struct policy_image *p = r->decision->image;
    bool openai = slice_eq_cstr(image_text(p, image_model(p, r->model)->provider), "openai");
    uint32_t null = openai ? o->max_completion_tokens : o->max_tokens;
    struct slice member = arena_printf(r->x->arena, "\"%s\":%u",
                                       openai ? "max_completion_tokens" : "max_tokens", cap);
    if (!member.ptr)
        return RESULT_NOMEM;
    return null != JSON_NONE ? json_edit_value(e, &o->json, null, value)
                             : json_edit_member(e, &o->json, 0, member);
}

static enum result make_pieces(struct request *r, const struct after_terms *terms)
{
    struct json_edits edits;
    const struct policy_image *p = r->decision->image;
    uint64_t total;
    json_edits_init(&edits);
    enum result res = edit_model(r, &edits);
    if (!res)
        res = edit_usage(r, &edits);
    if (!res)
        res = effort_edit(&r->openai, p, image_model(p, r->model), terms->binding.effort,
                          terms->effort_dropped, &edits, r->x->arena);
    if (!res)
        res = edit_cap(r, terms->output_cap_tok, &edits);
    if (!res)
        r->piece_count = json_edit_pieces(&edits, r->work.body, r->pieces, &total);
    return res;
}

// --- where to

// After so long without a byte an attempt is slow where nothing was learned of its place; never sooner than the floor.
enum { HEDGE_UNKNOWN_MS = 5000, HEDGE_FLOOR_MS = 50 };

static uint64_t tried_of(const struct request *r, int32_t model)
{
    for (uint32_t i = 0; i < r->tried_count; i++)
        if (r->tried[i].model == model)
            return r->tried[i].places;
    return 0;
}

static void mark_tried(struct request *r, int32_t model, uint64_t places)
{
    uint32_t i = 0;
    while (i < r->tried_count && r->tried[i].model != model)
        i++;
    if (i == r->tried_count) {
        if (i == MERIT_COUNT(r->tried))
            return;
        r->tried[r->tried_count++].model = model;
        r->tried[i].places = 0;
    }
    r->tried[i].places |= places;
}

static void terms_of(struct request *r, uint32_t option, struct after_terms *out)
{
    if (r->obeyed)
        after_terms(&r->deciding.run, option, out);
    else
        *out = r->fixed;
}

static uint64_t busy_places(const struct request *r, int32_t model)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < MERIT_COUNT(r->tries); i++)
        if (r->tries[i].place != IMAGE_NONE && r->tries[i].model == model)
            bits |= pool_bit(&r->epoch->pool, r->tries[i].place);
    return bits;
}

// A slot for the attempt, with a place of the model that takes it; false: none does.
static bool claim(struct request *r, const struct after_terms *terms, int32_t preferred,
                  uint64_t tried, enum pool_pick_how how, uint32_t *slot)
{
    struct pool_loop *l = &r->epoch->pool;
    uint64_t now = loop_now_us(r->g->loop);
    int32_t model = terms->binding.model, place = preferred;
    struct pool_ask ask = {.force = how != POOL_PICK_SERVING};
    if (r->kind == REQUEST_CHAT) {
        ask.output_tok = r->decision->output_tok;
    }
    *slot = 0;
    while (r->tries[*slot].place != IMAGE_NONE)
        ++*slot;
    if (place == IMAGE_NONE || tried & pool_bit(l, place))
        place = pool_pick(l, model, tried, terms->closed, how, now);
    while (place != IMAGE_NONE) {
        if (r->kind == REQUEST_CHAT)
            ask.compute_tok = r->work.input_tok - affinity_hit(r, place);
        if (pool_begin(l, place, &ask, now, &r->tries[*slot].call) == RESULT_OK) {
            r->tries[*slot].model = r->model = model;
            r->tries[*slot].place = r->place = place;
            r->place_url = pool_site(l->pool, place)->url;
            r->models_asked |= UINT64_C(1) << ((uint32_t)model % 64);
            return true;
        }
        tried |= pool_bit(l, place);
        place = pool_pick(l, model, tried, terms->closed, how, now);
    }
    return false;
}

static void give_back(struct request *r, uint32_t slot)
{
    const struct pool_report nothing = {.outcome = POOL_DROPPED};
    account_drop(r, slot);
    r->tries[slot].place = IMAGE_NONE;
    pool_end(&r->epoch->pool, &r->tries[slot].call, &nothing, loop_now_us(r->g->loop));
}

// The place that the decision found best for an option, as long as nothing speaks against it.
static int32_t preferred_place(const struct request *r, uint32_t option)
{
    const struct decision *d = r->decision;
    return r->obeyed && option < d->option_count ? d->options[option].place : IMAGE_NONE;
}

// The first option with a place that was not tried yet.
static bool choose(struct request *r, enum pool_pick_how how, bool again, uint32_t *option,
                   struct after_terms *terms, uint32_t *slot)
{
    // The first one is there whenever there is an answer; the others are looked for only when they are wanted.
    uint32_t count = !r->obeyed ? 1 : UINT32_MAX;
    for (*option = 0; *option < count; ++*option) {
        if (*option == 1)
            count = after_options(&r->deciding.run);
        if (*option >= count)
            break;
        terms_of(r, *option, terms);
        int32_t model = terms->binding.model;
        if (again && r->obeyed && !after_may(&r->deciding.run, &r->spent, model))
            continue;
        if (!claim(r, terms, preferred_place(r, *option), tried_of(r, model), how, slot))
            continue;
        enum result res = account_reserve(r, *slot, terms);
        if (!res)
            return true;
        give_back(r, *slot);
        if (res != RESULT_LIMIT || !account_may_go_on(r))
            return false;
    }
    return false;
}

// How often the step may be tried; 0: as often as there are places.
static uint32_t made_max(const struct request *r)
{
    return r->obeyed ? r->decision->attempts_max : 0;
}

static bool choose_any(struct request *r, enum path_ask ask, uint32_t *option,
                       struct after_terms *terms, uint32_t *slot)
{
    bool again = ask != PATH_FIRST;
    if (!again)
        return choose(r, POOL_PICK_SERVING, false, option, terms, slot) ||
               (!r->account.refused &&
                (choose(r, POOL_PICK_CUT_OFF, false, option, terms, slot) ||
                 (!r->account.refused && choose(r, POOL_PICK_ANY, false, option, terms, slot))));
    if (made_max(r) && r->made >= made_max(r))
        return false;
    r->spent.unit[IMAGE_UNIT_MS] = r->spent.window[IMAGE_UNIT_MS] =
        (int64_t)((loop_now_us(r->g->loop) - r->x->begin_us) / 1000);
    if (choose(r, POOL_PICK_SERVING, true, option, terms, slot))
        return true;
    if (r->account.refused)
        return false;
    // One that died may be back.
    if (choose(r, POOL_PICK_CUT_OFF, true, option, terms, slot))
        return true;
    if (!made_max(r) || r->account.refused)
        return false;
    // The policy asks for retries: once all have been asked they may go where one failed before.
    r->tried_count = 0;
    for (uint32_t i = 0; i < r->denied_count; i++)
        mark_tried(r, r->denied[i].model, pool_bit(&r->epoch->pool, r->denied[i].place));
    return choose(r, POOL_PICK_SERVING, true, option, terms, slot);
}

// --- one attempt

static const struct api_error NO_PLACE = {
    .status = 503,
    .type = "upstream_error",
    .code = "upstream_busy",
    .message = {"No endpoint of the model has room now.", 38},
};

// A stream is hedged, as the policy asks: somebody reads along. What nobody waits at is not worth paying twice for, and a
// whole answer takes as long as it is long. Tools that act must not act twice.
static uint32_t copy_after_ms(const struct request *r, const struct after_terms *terms)
{
    if (!r->obeyed || r->copies >= terms->copies || !r->work.stream || r->openai.acts)
        return 0;
    float slow_ms = pool_slow_ms(&r->epoch->pool, r->place);
    return slow_ms < 0                       ? HEDGE_UNKNOWN_MS
           : slow_ms < (float)HEDGE_FLOOR_MS ? HEDGE_FLOOR_MS
                                             : (uint32_t)slow_ms + 1;
}

static enum result fill(struct request *r, uint32_t slot, const struct after_terms *terms,
                        struct path_attempt *out)
{
    struct pool_loop *l = &r->epoch->pool;
    const struct pool_site *site = pool_site(l->pool, r->place);
    const struct pool_model *m = &l->pool->models[r->model];
    size_t skip = m->authorization.len ? 0 : 1, length = site->path.len + r->target.len;
    char *target = arena_alloc_aligned(r->x->arena, length, 1);
    enum result res = target ? pool_origin(l, r->place, &out->origin) : RESULT_NOMEM;
    if (res) {
        give_back(r, slot);
        return res;
    }
    memcpy(target, site->path.ptr, site->path.len);
    memcpy(target + site->path.len, r->target.ptr, r->target.len);
    r->headers[0] = (struct http_header){SLICE("authorization"), m->authorization};
    out->target = slice_make(target, length);
    out->headers = r->headers + skip;
    out->header_count = r->header_count - skip;
    out->pieces = r->pieces;
    out->piece_count = r->piece_count;
    out->timeout_ms = terms->timeout_ms;
    out->copy_after_ms = copy_after_ms(r, terms);
    out->slot = slot;
    if (r->kind == REQUEST_CHAT)
        affinity_sent(r, r->model, r->place);
    return RESULT_OK;
}

static enum path_next no_memory(struct api_error *error)
{
    *error = request_error_no_memory;
    return PATH_STOP;
}

static enum path_next give(struct request *r, uint32_t option, uint32_t slot,
                           const struct after_terms *terms, struct path_attempt *out,
                           struct api_error *error)
{
    if (r->obeyed && r->body_option != option) {
        if (make_pieces(r, terms)) {
            give_back(r, slot);
            return no_memory(error);
        }
        r->body_option = option;
    }
    r->made++;
    return fill(r, slot, terms, out) ? no_memory(error) : PATH_SEND;
}

// Seconds until the first place of whatever may still serve it is asked again; 0: one is in service.
static uint32_t out_s(struct request *r)
{
    const struct pool_loop *l = &r->epoch->pool;
    const struct decision *d = r->decision;
    uint64_t now = loop_now_us(r->g->loop);
    if (!r->obeyed)
        return pool_out_s(l, r->model, now);
    uint32_t soonest = UINT32_MAX;
    bool answers = d->end == DECISION_ANSWER;
    uint32_t count = answers ? after_options(&r->deciding.run) : d->image->models.count;
    for (uint32_t i = 0; i < count && soonest; i++) {
        struct after_terms terms = {.binding.model = (int32_t)i};
        if (answers)
            terms_of(r, i, &terms);
        else if (d->model_outcomes[i].verdict != MODEL_DOWN)
            continue;
        uint32_t s = pool_out_s(l, terms.binding.model, now);
        soonest = s < soonest ? s : soonest;
    }
    return soonest == UINT32_MAX ? 0 : soonest;
}

// There is no further attempt: what the failures came to, with the time after which it may be worth another try.
static enum path_next stop(struct request *r, struct api_error *error)
{
    if (r->account.refused && (!error->status || !r->account.attempts)) {
        account_refuse(r, error);
        return PATH_STOP;
    }
    if (!error->status)
        *error = pool_is_denied(&r->epoch->pool, r->model, loop_now_us(r->g->loop))
                     ? request_error_denied
                     : NO_PLACE;
    if ((error->status == 429 || error->status == 503) && !error->retry_after_s)
        error->retry_after_s =
            pool_retry_after_s(&r->epoch->pool, r->model, loop_now_us(r->g->loop));
    // Where everything is out, there is no use in coming sooner.
    if ((error->status == 502 || error->status == 504) && !error->retry_after_s)
        error->retry_after_s = out_s(r);
    return PATH_STOP;
}

// The same once more, at another place of the model that is in service.
static enum path_next copy(struct request *r, struct path_attempt *out)
{
    struct after_terms terms;
    struct after_spent spent = r->spent;
    terms_of(r, r->body_option, &terms);
    // Those that run may be paid for, too.
    for (size_t i = 0; i < MERIT_COUNT(r->tries); i++)
        if (r->tries[i].place != IMAGE_NONE)
            after_spend(&spent, &r->deciding.run, r->model);
    if (!after_may(&r->deciding.run, &spent, r->model))
        return PATH_STOP;
    uint32_t slot;
    uint64_t tried = tried_of(r, r->model) | busy_places(r, r->model);
    if (!claim(r, &terms, IMAGE_NONE, tried, POOL_PICK_SERVING, &slot))
        return PATH_STOP;
    if (account_reserve(r, slot, &terms)) {
        give_back(r, slot);
        r->account.refused = false; // the one that runs goes on
        return PATH_STOP;
    }
    r->copies++;
    return fill(r, slot, &terms, out) ? PATH_STOP : PATH_SEND;
}

static enum path_next refused(const struct request *r, struct api_error *error)
{
    *error = (struct api_error){.status = 403,
                                .type = "policy_refusal",
                                .code = "refused",
                                .message = r->decision->message,
                                .final = true};
    return PATH_STOP;
}

// The step has failed: on to what the policy says behind `else`.
static enum path_next go_else(struct request *r, struct path_attempt *out, struct api_error *error)
{
    struct after_terms terms;
    uint32_t option, slot;
    while (r->obeyed && account_may_go_on(r)) {
        enum result res = r->anew ? r->else_result : chat_decide_else(r);
        r->anew = false;
        if (res == RESULT_AGAIN)
            return PATH_LATER;
        if (res)
            break;
        if (r->decision->end == DECISION_REFUSE)
            return refused(r, error);
        if (r->decision->end != DECISION_ANSWER)
            break;
        r->tried_count = r->made = r->copies = 0;
        r->body_option = UINT32_MAX;
        out->anew = true;
        if (choose_any(r, PATH_ELSEWHERE, &option, &terms, &slot))
            return give(r, option, slot, &terms, out, error);
    }
    return stop(r, error);
}

static enum path_next on_attempt(struct path *p, enum path_ask ask, struct path_attempt *out,
                                 struct api_error *error)
{
    struct request *r = p->user;
    struct after_terms terms;
    uint32_t option, slot;
    if (ask == PATH_COPY)
        return copy(r, out);
    if (r->anew || ask == PATH_OTHER_CHAIN || !choose_any(r, ask, &option, &terms, &slot))
        return go_else(r, out, error);
    return give(r, option, slot, &terms, out, error);
}

// The model has taken the request here: who refused it before is at fault.
static void blame(struct request *r, int32_t model)
{
    for (uint32_t i = 0; i < r->denied_count; i++)
        if (r->denied[i].model == model)
            pool_taken_elsewhere(&r->epoch->pool, r->denied[i].place, r->denied[i].who,
                                 r->denied[i].status, loop_now_us(r->g->loop));
    r->denied_count = 0;
}

static void on_first(struct path *p, uint32_t slot)
{
    struct request *r = p->user;
    if (MERIT_UNLIKELY(r->denied_count))
        blame(r, r->tries[slot].model);
    account_first(r, slot);
    pool_first(&r->epoch->pool, &r->tries[slot].call, loop_now_us(r->g->loop));
}

static void see_pace(struct request *r, const struct request_try *t,
                     const struct path_attempt_end *end)
{
    const struct serving *s = r->epoch->serving;
    uint32_t out = end->usage.output_tok;
    if (r->kind != REQUEST_CHAT || !r->work.stream || !end->first_byte_us)
        return;
    bool routed = r->obeyed && r->decision->route != IMAGE_NONE;
    uint64_t rest_us = end->end_us - end->first_byte_us;
    uint64_t each_us = end->usage.known && out > 1 ? rest_us / (out - 1) + 1 : 0;
    pace_saw(&r->g->metrics->pace, s->model_slots[t->model],
             r->obeyed ? r->decision->effort : IMAGE_EFFORT_DEFAULT,
             routed ? s->route_slots[r->decision->route] : 0, end->first_byte_us - end->begin_us,
             each_us);
}

// A report of more than was possible teaches nothing: neither rates nor speeds nor what a cache holds.
static bool is_possible(const struct request *r, const struct path_attempt_end *end)
{
    const struct account_try *t = r->account.tries[end->slot];
    const struct usage *u = &end->usage;
    return u->known && u->cached_tok <= u->input_tok &&
           (!t || (u->input_tok <= t->input_most_tok && u->output_tok <= t->output_most_tok));
}

static void note_denial(struct request *r, const struct request_try *t, int status,
                        struct pool_report *report)
{
    bool name = status == 404, gate = name || status == 403;
    if (r->made)
        r->made--; // nothing was done
    // Of what only passes, a name that is not known or forbidden may be the client's own fault: it tells nothing of others.
    if (r->kind != REQUEST_CHAT && name)
        report->outcome = POOL_OK;
    if (name)
        report->denial = HEALTH_WHY_UNKNOWN;
    if ((r->kind != REQUEST_CHAT && gate) || r->denied_count == MERIT_COUNT(r->denied))
        return;
    uint32_t i = r->denied_count++;
    r->denied[i].model = t->model;
    r->denied[i].place = t->place;
    r->denied[i].who = t->call.place;
    r->denied[i].status = status;
}

static void on_attempt_end(struct path *p, const struct path_attempt_end *end)
{
    static const enum pool_outcome outcomes[] = {
        [PATH_DID] = POOL_OK,         [PATH_REFUSED] = POOL_FAILED, [PATH_LIMITED] = POOL_LIMITED,
        [PATH_DENIED] = POOL_REFUSED, [PATH_DID_NOT] = POOL_FAILED, [PATH_DROPPED] = POOL_DROPPED,
    };
    struct request *r = p->user;
    struct request_try *t = &r->tries[end->slot];
    struct pool_report report = {.outcome = outcomes[end->outcome],
                                 .retry_after_s = end->retry_after_s,
                                 .cut_off = end->cut_off,
                                 .known = is_possible(r, end),
                                 .input_tok = end->usage.input_tok,
                                 .cached_tok = end->usage.cached_tok,
                                 .output_tok = end->usage.output_tok};
    if (report.outcome == POOL_REFUSED)
        note_denial(r, t, end->status, &report);
    // Merit's own connections were used up: that is not the place's word.
    if (report.outcome == POOL_LIMITED && !end->status)
        report.outcome = POOL_DROPPED;
    int32_t place = t->place;
    uint64_t bit = pool_bit(&r->epoch->pool, place);
    account_settle(r, end->slot, end);
    t->place = IMAGE_NONE;
    if (end->load.len)
        pool_load(&t->call, end->load, loop_now_us(r->g->loop));
    pool_end(&r->epoch->pool, &t->call, &report, loop_now_us(r->g->loop));
    metric_add(&r->g->metrics->models[r->epoch->serving->model_slots[t->model]].attempts, 1);
    if (end->outcome == PATH_DID) {
        if (MERIT_UNLIKELY(r->denied_count) && end->status == 200)
            blame(r, t->model);
        see_pace(r, t, end);
        if (r->kind == REQUEST_CHAT && end->status == 200)
            affinity_came(r, t->model, place, report.known, end->usage.input_tok,
                          end->usage.cached_tok, end->usage.output_tok);
        if (r->g->shared->hammer)
            hammer_good(r->g->shared->hammer, t->model, loop_now_us(r->g->loop) / 1000);
        return;
    }
    mark_tried(r, t->model, bit);
    if (end->sent && end->taken && r->obeyed)
        after_spend(&r->spent, &r->deciding.run, t->model);
}

static void on_path_head(struct path *p, int status, const struct usage *usage,
                         struct http_header *headers, size_t *n)
{
    struct request *r = p->user;
    (void)status;
    request_headers(r, usage, headers, n);
}

// --- requests that are sent again and again

static uint64_t hammer_key_of(struct request *r)
{
    const struct hammer *h = r->g->shared->hammer;
    struct slice caller = r->key ? r->key->id : slice_cstr(r->x->peer);
    struct slice digest = slice_make((const char *)r->epoch->serving->digest, IMAGE_DIGEST_BYTES);
    if (!r->hammer_key)
        r->hammer_key = hammer_key(h, caller, digest, r->x->head->path, r->x->body);
    return r->hammer_key;
}

bool request_is_repeated(struct request *r)
{
    struct hammer *h = r->g->shared->hammer;
    uint64_t now_ms = loop_now_us(r->g->loop) / 1000;
    struct api_error error;
    if (!h || MERIT_LIKELY(!hammer_any(h, now_ms)) ||
        !hammer_find(h, hammer_key_of(r), now_ms, &error))
        return false;
    metric_add(&r->g->metrics->in_flight, (uint64_t)-1);
    request_reject(r->x, r->g, &error, METRICS_REJECT_REPEATED);
    return true;
}

static void remember(struct request *r, const struct path_result *result)
{
    struct hammer *h = r->g->shared->hammer;
    uint64_t now_ms = loop_now_us(r->g->loop) / 1000;
    if (!h)
        return;
    // A budget's refusal is no failure of anybody, and its text is the request's own.
    if (result->end == PATH_FAILED && result->error && !r->account.refused)
        hammer_failed(h, hammer_key_of(r), r->models_asked, result->error, now_ms);
}

static void on_path_end(struct path *p, const struct path_result *result)
{
    static const enum metrics_end ends[] = {
        [PATH_ANSWERED] = METRICS_ANSWERED, [PATH_PASSED] = METRICS_PASSED,
        [PATH_FAILED] = METRICS_FAILED,     [PATH_BROKEN] = METRICS_BROKEN,
        [PATH_GONE] = METRICS_GONE,
    };
    struct request *r = p->user;
    bool refused = r->account.refused && !r->account.attempts;
    r->running = false;
    remember(r, result);
    request_end(r, refused ? METRICS_REFUSED : ends[result->end], result, result->status);
    if (result->end == PATH_BROKEN)
        request_close(r); // the path aborts the exchange next, and no callback follows that
}

static void on_output(struct path *p, uint32_t slot, uint64_t content_bytes)
{
    account_output(p->user, slot, content_bytes);
}

static const struct path_ops PATH_OPS = {on_attempt,   on_first,    on_attempt_end,
                                         on_path_head, on_path_end, on_output};

// --- beginnings

static void start(struct request *r, const struct path_plan *plan)
{
    for (size_t i = 0; i < MERIT_COUNT(r->tries); i++)
        r->tries[i].place = IMAGE_NONE;
    request_forward_headers(r);
    r->running = true;
    path_start(&r->path, plan, r->x, r->g->loop, &r->g->scratch, &PATH_OPS, r);
}

static void start_chat(struct request *r)
{
    const struct path_plan plan = {
        .settings = &r->g->shared->path,
        .dialect = &openai_chat,
        .method = HTTP_POST,
        .stream = r->work.stream,
        .usage_asked = r->work.usage_asked,
        .acts = r->openai.acts,
        .input_tok = r->work.input_tok,
    };
    r->target = SLICE("/chat/completions");
    start(r, &plan);
}

// What is only observed is decided for nobody.
void attempt_observed(struct request *r, int32_t model)
{
    r->model = model;
    r->fixed = (struct after_terms){.binding = {model, IMAGE_EFFORT_DEFAULT}};
    r->pieces[0] = r->work.body;
    r->piece_count = 1;
    start_chat(r);
}

void attempt_begin(struct request *r)
{
    r->obeyed = true;
    r->model = r->decision->model;
    r->body_option = UINT32_MAX;
    start_chat(r);
}

// No signal has read these bytes, so only what is forbidden always can be in the way.
static void refuse_pass(struct request *r, int32_t constraint)
{
    const struct policy_image *p = r->epoch->serving->image;
    struct slice name = SLICE_EMPTY;
    if (constraint != IMAGE_NONE)
        name = image_text(p, IMAGE_AT(p, p->constraints, struct image_constraint)[constraint].name);
    struct slice message = arena_printf(
        r->x->arena, "The policy forbids to pass this path on: \"%.*s\".", SLICE_FMT(name));
    request_refuse(r,
                   &(struct api_error){.status = 403,
                                       .type = "policy_refusal",
                                       .code = "forbidden",
                                       .message = message,
                                       .final = true},
                   METRICS_REFUSED);
}

// Whether a request that nobody has read may be sent twice when nobody knows what became of the first: those that only
// look something up or compute.
static bool may_repeat(const struct http_head *head)
{
    static const struct slice ends[] = {{"/embeddings", 11}, {"/completions", 12}, {"/rerank", 7},
                                        {"/score", 6},       {"/moderations", 12}, {"/tokenize", 9},
                                        {"/detokenize", 11}};
    if (head->method == HTTP_GET || head->method == HTTP_HEAD)
        return true;
    for (size_t i = 0; i < MERIT_COUNT(ends); i++)
        if (head->path.len >= ends[i].len &&
            slice_eq(slice_from(head->path, head->path.len - ends[i].len), ends[i]))
            return true;
    return false;
}

void attempt_pass(struct request *r, int32_t model)
{
    uint32_t closed;
    int32_t constraint;
    r->model = model;
    if (request_is_repeated(r))
        return;
    if (!route_may_pass(r->epoch->serving->decider.table, model, &closed, &constraint)) {
        refuse_pass(r, constraint);
        return;
    }
    r->fixed = (struct after_terms){
        .binding = {model, IMAGE_EFFORT_DEFAULT},
        .closed = closed,
        .timeout_ms = image_model(r->epoch->serving->image, model)->timeout_ms,
    };
    if (account_begin(r)) {
        request_refuse(r, &request_error_no_memory, METRICS_FAILED);
        return;
    }
    account_decided(r);
    r->pieces[0] = r->x->body;
    r->piece_count = r->x->body.len ? 1 : 0;
    metric_add(&r->g->metrics->passed_through, 1);
    r->target = r->x->head->target;
    // An endpoint's prefix ends in the API's version, and so does the path of the request begin.
    if (slice_starts_with(r->target, SLICE("/v1/")))
        r->target = slice_from(r->target, 3);
    const struct path_plan plan = {
        .settings = &r->g->shared->path,
        .dialect = &openai_chat,
        .method = r->x->head->method,
        .acts = !may_repeat(r->x->head),
        .relay = true,
        .counts_input = account_counts_input(r),
    };
    start(r, &plan);
}
