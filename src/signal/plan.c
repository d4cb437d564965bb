#include "signal/plan.h"

#include <assert.h>

#include "base/alloc.h"
#include "signal/artifacts.h"
#include "signal/learned.h"
#include "signal/likeness.h"

struct plan_entry {
    const struct signal_family *family;
    const struct image_signal *def;
    const void *state;
    struct slice error_text;
};

struct plan {
    const struct policy_image *image;
    const struct trunk_service *trunk;
    struct learned_set heads;
    bool compares; // some signal asks how like texts are
    struct arena arena;
    struct pattern_set *patterns;
    bool loaded_saved;
    uint32_t count;
    struct plan_entry *entries;
};

struct plan_scratch {
    struct artifacts_scratch artifacts;
};

struct plan_run {
    const struct plan *plan;
    const struct plan_clock *clock;
    struct signal_context context;
    struct signal_artifacts artifacts;
    uint64_t *
        spent_ns; // one per signal: on those that wait for an encoder or their turn; NULL: none did
    bool sliced;
};

struct checker {
    const struct policy_image *image;
    const struct image_signal *def;
    struct diag_list *diags;
};

static void on_fail(void *ctx, uint32_t arg, const char *message)
{
    const struct checker *c = ctx;
    struct span span = {0, 0};
    if (arg < c->def->args.count) {
        const struct image_arg *a = IMAGE_AT(c->image, c->def->args, struct image_arg) + arg;
        span = (struct span){a->begin, a->end};
    }
    struct slice name = image_text(c->image, c->def->name);
    diag_add(c->diags, DIAG_ERROR, "signal-argument", span, "signal \"%.*s\": %s", SLICE_FMT(name),
             message);
}

// Says why opening failed; checks cost compiling again, so only then.
static void explain(const struct plan *p, struct diag_list *diags)
{
    for (uint32_t i = 0; diags && i < p->count; i++) {
        const struct plan_entry *e = &p->entries[i];
        struct checker c = {p->image, e->def, diags};
        if (e->family && e->family->check)
            e->family->check(p->image, e->def, on_fail, &c);
    }
}

static enum result find_families(struct plan *p, const struct signal_registry *registry,
                                 struct diag_list *diags)
{
    enum result r = RESULT_OK;
    for (uint32_t i = 0; i < p->count; i++) {
        struct plan_entry *e = &p->entries[i];
        e->def = image_signal(p->image, (int32_t)i);
        e->error_text = image_text(p->image, e->def->error_text);
        if (e->def->derive)
            continue; // route/ makes it of others
        struct slice name = image_text(p->image, e->def->family);
        e->family = signal_family_find(registry, name);
        if (e->family)
            continue;
        if (diags)
            diag_add(diags, DIAG_ERROR, "unknown-family", (struct span){0, 0},
                     "no signal family is called \"%.*s\"", SLICE_FMT(name));
        r = RESULT_NOT_FOUND;
    }
    return r;
}

// A head that is not to be had is nothing that the arguments could show.
static void say_head(const struct plan *p, const struct plan_entry *e, enum result r,
                     struct diag_list *diags)
{
    struct slice name = image_text(p->image, e->def->name);
    struct span span = {0, 0};
    if (e->def->args.count) {
        const struct image_arg *a = IMAGE_AT(p->image, e->def->args, struct image_arg);
        span = (struct span){a->begin, a->end};
    }
    if (r == RESULT_NOT_FOUND)
        diag_add(diags, DIAG_ERROR, "no-head", span,
                 "signal \"%.*s\": the head that it needs is not here", SLICE_FMT(name));
    else if (r == RESULT_VERSION)
        diag_add(diags, DIAG_ERROR, "other-encoder", span,
                 "signal \"%.*s\": its head was trained on another encoder than the one in use",
                 SLICE_FMT(name));
    else if (r != RESULT_NOMEM && !e->family->check)
        diag_add(diags, DIAG_ERROR, "bad-head", span,
                 "signal \"%.*s\": its head cannot be read as one (%s)", SLICE_FMT(name),
                 result_name(r));
}

static enum result prepare(struct plan *p, struct pattern_builder *builder, struct diag_list *diags)
{
    const struct signal_load load = {builder, p->trunk, &p->heads};
    for (uint32_t i = 0; i < p->count; i++) {
        struct plan_entry *e = &p->entries[i];
        void *state = NULL;
        if (!e->family)
            continue;
        p->compares |= e->family->compares;
        enum result r = e->family->prepare(p->image, e->def, &p->arena, &load, &state);
        if (r && diags)
            say_head(p, e, r, diags);
        if (r)
            return r == RESULT_UTF8 || r == RESULT_RANGE ? RESULT_SYNTAX : r;
        e->state = state;
    }
    return RESULT_OK;
}

static enum result get_patterns(struct plan *p, const struct pattern_builder *builder,
                                struct slice saved)
{
    char diag[PATTERN_DIAG_BYTES];
    uint32_t bad;
    p->loaded_saved = pattern_count(builder) == 0;
    if (saved.len) {
        enum result r = pattern_load(builder, saved, &p->patterns);
        if (r == RESULT_OK || r == RESULT_NOMEM) {
            p->loaded_saved = r == RESULT_OK;
            return r;
        }
    }
    return pattern_build(builder, &p->patterns, &bad, diag);
}

enum result plan_open(const struct policy_image *image, const struct signal_registry *registry,
                      const struct trunk_service *trunk, struct slice saved,
                      struct diag_list *diags, struct plan **out)
{
    struct pattern_builder *builder = NULL;
    struct plan *p = alloc_zeroed(1, sizeof *p);
    if (!p)
        return RESULT_NOMEM;
    arena_init(&p->arena, 0, PLAN_BYTES_MAX);
    p->image = image;
    p->trunk = trunk;
    p->count = image->signals.count;
    p->entries = ARENA_ARRAY(&p->arena, struct plan_entry, p->count);
    enum result r = p->entries ? pattern_builder_open(&builder) : RESULT_NOMEM;
    if (r)
        goto out;
    r = find_families(p, registry, diags);
    if (r)
        goto out;
    r = prepare(p, builder, diags);
    if (!r)
        r = get_patterns(p, builder, saved);
    if (r == RESULT_SYNTAX || r == RESULT_LIMIT)
        explain(p, diags);
out:
    pattern_builder_close(builder);
    if (r)
        plan_close(p);
    else
        *out = p;
    return r;
}

void plan_close(struct plan *p)
{
    if (!p)
        return;
    learned_set_close(&p->heads);
    pattern_set_close(p->patterns);
    arena_deinit(&p->arena);
    alloc_free(p);
}

enum result plan_save_patterns(const struct plan *p, struct buf *out)
{
    return pattern_set_count(p->patterns) ? pattern_save(p->patterns, out) : RESULT_OK;
}

bool plan_loaded_saved(const struct plan *p)
{
    return p->loaded_saved;
}

const struct signal_family *plan_family(const struct plan *p, int32_t signal)
{
    assert(signal >= 0 && (uint32_t)signal < p->count);
    return p->entries[signal].family;
}

const void *plan_state(const struct plan *p, int32_t signal)
{
    assert(signal >= 0 && (uint32_t)signal < p->count);
    return p->entries[signal].state;
}

const struct policy_image *plan_image(const struct plan *p)
{
    return p->image;
}

enum signal_cost plan_cost(const struct plan *p, int32_t signal)
{
    const struct signal_family *f = plan_family(p, signal);
    if (!f)
        return SIGNAL_COST_FREE;
    return f->cost_of ? f->cost_of(p->image, p->entries[signal].def) : f->cost;
}

enum result plan_scratch_open(const struct plan *p, struct plan_scratch **out)
{
    struct plan_scratch *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    s->artifacts.slots = alloc_zeroed(pattern_set_count(p->patterns), sizeof *s->artifacts.slots);
    enum result r = s->artifacts.slots ? pattern_scratch_open(&s->artifacts.patterns, p->patterns)
                                       : RESULT_NOMEM;
    s->artifacts.head_count = p->heads.count;
    if (!r && p->heads.count)
        r = head_scratch_open(&s->artifacts.heads);
    if (!r && p->compares)
        r = ngram_scratch_open(likeness_spec.bucket_bits, likeness_spec.text_max,
                               &s->artifacts.grams);
    if (r)
        plan_scratch_close(s);
    else
        *out = s;
    return r;
}

void plan_scratch_close(struct plan_scratch *s)
{
    if (!s)
        return;
    pattern_scratch_close(s->artifacts.patterns);
    head_scratch_close(s->artifacts.heads);
    ngram_scratch_close(s->artifacts.grams);
    alloc_free(s->artifacts.slots);
    alloc_free(s);
}

struct plan_run *plan_begin(const struct plan *p, struct plan_scratch *scratch,
                            const struct work *work, struct arena *arena,
                            const struct plan_clock *clock)
{
    struct plan_run *run = ARENA_NEW(arena, struct plan_run);
    if (!run)
        return NULL;
    run->plan = p;
    run->clock = clock;
    run->artifacts.patterns = p->patterns;
    run->artifacts.scratch = &scratch->artifacts;
    run->artifacts.trunk = p->trunk;
    run->context = (struct signal_context){work, arena, &run->artifacts};
    return run;
}

static enum fact_error error_of(enum result r)
{
    return r == RESULT_LIMIT                              ? FACT_ERROR_LIMIT
           : r == RESULT_NOMEM                            ? FACT_ERROR_NOMEM
           : r == RESULT_TIMEOUT || r == RESULT_CANCELLED ? FACT_ERROR_DEADLINE
           : r == RESULT_NOT_FOUND                        ? FACT_ERROR_MODEL
                                                          : FACT_ERROR_INPUT;
}

static void fail(const struct plan_entry *e, enum result r, struct fact *out)
{
    *out = (struct fact){.state = FACT_FAILED,
                         .error = error_of(r),
                         .number = e->def->error_number,
                         .text = e->error_text};
    // A set's on_error is the one member that it then has.
    if (e->def->type == SIGNAL_SET && e->error_text.len) {
        out->texts = &e->error_text;
        out->text_count = 1;
    }
}

bool plan_compute(struct plan_run *run, int32_t signal, struct fact *out)
{
    const struct plan *p = run->plan;
    assert(signal >= 0 && (uint32_t)signal < p->count);
    const struct plan_entry *e = &p->entries[signal];
    assert(e->family);
    uint64_t begin = run->clock ? run->clock->now_ns(run->clock->ctx) : 0;
    *out = (struct fact){.state = FACT_KNOWN};
    if (!run->sliced)
        run->artifacts.left = UINT32_MAX;
    enum result r = e->family->compute(e->state, &run->context, out);
    uint64_t took = run->clock ? run->clock->now_ns(run->clock->ctx) - begin : 0;
    if (r == RESULT_AGAIN) {
        if (run->clock && !run->spent_ns)
            run->spent_ns = ARENA_ARRAY(run->context.arena, uint64_t, p->count);
        if (run->spent_ns)
            run->spent_ns[signal] += took;
        return false;
    }
    if (r)
        fail(e, r, out);
    else if (e->def->has_threshold)
        out->number = e->def->threshold_above ? out->number > e->def->threshold
                                              : out->number < e->def->threshold;
    // The first signal that uses an encoder's answer pays for it.
    took += run->artifacts.trunk_us * UINT64_C(1000);
    if (run->spent_ns)
        took += run->spent_ns[signal];
    out->share = run->artifacts.share;
    run->artifacts.trunk_us = 0;
    run->artifacts.share = FACT_SHARE_NONE;
    out->cost_ns = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    return true;
}

void plan_slice(struct plan_run *run)
{
    run->sliced = true;
    run->artifacts.left = SIGNAL_SLICE_BYTES;
}

struct trunk_ask *plan_asks(struct plan_run *run)
{
    return run->artifacts.asks;
}

bool plan_waits(const struct plan_run *run)
{
    for (const struct trunk_ask *a = run->artifacts.asks; a; a = a->next)
        if (!a->answered)
            return true;
    return false;
}

void plan_answer_all(struct plan_run *run, enum result why)
{
    for (struct trunk_ask *a = run->artifacts.asks; a; a = a->next)
        if (!a->answered) {
            a->answered = true;
            a->answer = (struct trunk_answer){.result = why};
        }
}
