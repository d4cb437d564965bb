// similar, reask: how like the anchored text is to examples, and to what the user has asked before.
//
//   similar("how do I get my money back", "refund")   0 to 1: .75 of the best example's cosine, .25 of the two best's mean
//   similar("...", mean on)                           the mean over all examples
//   reask                                             how many of the latest earlier user turns ask the same again
//   reask(likeness 0.7)                               the least cosine that counts as the same, .8 without
//
// Asks: similar: n-grams first (a text that is one of the examples needs no encoder), else one embedding, shared with other
// signals; reask: an embedding of up to REASK_TURNS earlier user turns besides. Without an encoder n-grams decide. Evidence:
// the earlier turns. Limits: LIKENESS_EXAMPLES_MAX examples; turns by their first text part.
#include <math.h>

#include "signal/families.h"
#include "signal/learned.h"
#include "signal/likeness.h"

enum { REASK_TURNS = 8 };

static const char *const on[] = {"on", NULL};

static const struct signal_arg_spec similar_args[] = {
    {.kind = SIGNAL_ARG_STRING, .repeated = true, .required = true, .help = "an example"},
    {.name = "mean",
     .kind = SIGNAL_ARG_WORD,
     .words = on,
     .help = "the mean over all examples, not the best"},
};

static const struct signal_arg_spec reask_args[] = {
    {.name = "likeness",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "least likeness of the same question"},
};

// N-grams of a rephrased question agree far less than its meaning does. Grade: guessed, 2026-11.
static const float same_grams = 0.55f, settled_grams = 0.95f;

struct similar_state {
    struct likeness examples;
    bool mean;
    struct slice by_vector;
};

struct reask_state {
    float likeness;
    struct slice by_vector;
    bool encoder;
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_NUMBER;
}

static void check_similar(const struct policy_image *image, const struct image_signal *def,
                          void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    uint32_t examples = 0;
    for (uint32_t i = 0; i < def->args.count; i++) {
        const struct image_arg *a = &signal_args(image, def)[i];
        if (a->kind != IMAGE_ARG_STRING || !signal_arg_positional(a))
            continue;
        struct slice text = image_text(image, a->text);
        if (!slice_trim(text).len)
            fail(ctx, i, "an example has words");
        if (text.len > LIKENESS_TEXT_MAX)
            fail(ctx, i, "an example has at most 4096 bytes");
        if (++examples == LIKENESS_EXAMPLES_MAX + 1)
            fail(ctx, i, "more than 4096 examples");
    }
}

static enum result name_encoder(const struct signal_load *load, struct arena *arena,
                                struct slice *out)
{
    const struct trunk_service *t = load->trunk;
    *out = SLICE_EMPTY;
    if (!t || !t->dim[TRUNK_EMBED])
        return RESULT_OK;
    *out = arena_printf(arena, "%.*s %.*s", SLICE_FMT(t->name[TRUNK_EMBED]),
                        SLICE_FMT(t->version[TRUNK_EMBED]));
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result prepare_similar(const struct policy_image *image, const struct image_signal *def,
                                   struct arena *arena, const struct signal_load *load,
                                   void **state)
{
    struct similar_state *s = ARENA_NEW(arena, struct similar_state);
    struct slice *texts = ARENA_ARRAY(arena, struct slice, def->args.count);
    if (!s || !texts)
        return RESULT_NOMEM;
    *state = s;
    s->mean = signal_arg_named(image, def, "mean") != NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < def->args.count; i++) {
        const struct image_arg *a = &signal_args(image, def)[i];
        if (a->kind == IMAGE_ARG_STRING && signal_arg_positional(a))
            texts[count++] = image_text(image, a->text);
    }
    enum result r = name_encoder(load, arena, &s->by_vector);
    return r ? r : likeness_prepare(texts, count, load, arena, &s->examples);
}

static float score(const struct similar_state *s, const float *scores)
{
    if (!s->mean)
        return likeness_group(scores, s->examples.count);
    double sum = 0;
    for (uint32_t i = 0; i < s->examples.count; i++)
        sum += (double)scores[i];
    return (float)(sum / s->examples.count);
}

static enum result compute_similar(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct similar_state *s = state;
    struct slice text;
    out->probability = 1;
    enum result r = artifacts_joined(ctx, &text);
    if (r || !text.len)
        return r;
    float *scores = arena_alloc(ctx->arena, s->examples.count * sizeof *scores);
    if (!scores)
        return RESULT_NOMEM;
    if (s->examples.dim) {
        const float *vector;
        r = artifacts_vector(ctx, &vector);
        if (r == RESULT_AGAIN)
            return r;
        if (!r) {
            likeness_by_vector(&s->examples, vector, scores);
            float v = score(s, scores);
            // Rounding may carry a cosine a little beyond 1.
            out->number = v > 1 ? 1 : v > 0 ? (double)v : 0;
            out->by = s->by_vector;
            return RESULT_OK;
        }
    }
    r = likeness_by_grams(&s->examples, ctx, text, scores);
    if (r)
        return r;
    float v = score(s, scores);
    out->number = v > 1 ? 1 : (double)v;
    out->by = SLICE("n-grams");
    return RESULT_OK;
}

// The value is a mean of cosines and so at most the best one.
static void doubt_similar(const void *state, struct signal_doubt *out)
{
    const struct similar_state *s = state;
    if (!s->examples.dim)
        return;
    out->prototypes = s->examples.vectors;
    out->count = s->examples.count;
    out->dim = s->examples.dim;
}

static enum result prepare_reask(const struct policy_image *image, const struct image_signal *def,
                                 struct arena *arena, const struct signal_load *load, void **state)
{
    struct reask_state *s = ARENA_NEW(arena, struct reask_state);
    if (!s)
        return RESULT_NOMEM;
    *state = s;
    const struct image_arg *a = signal_arg_named(image, def, "likeness");
    s->likeness = a ? (float)a->number : 0.8f;
    enum result r = name_encoder(load, arena, &s->by_vector);
    s->encoder = s->by_vector.len > 0;
    return r;
}

// The text of the anchor and of the user turns before it, newest first; of each its first text part.
static enum result find_turns(struct signal_context *ctx, const struct text_views **out)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct work *w = ctx->work;
    *out = &a->turns;
    if (a->turns.at || w->anchor == WORK_NO_ANCHOR)
        return RESULT_OK;
    a->turns.at = arena_alloc(ctx->arena, (REASK_TURNS + 1) * sizeof *a->turns.at);
    if (!a->turns.at)
        return RESULT_NOMEM;
    for (uint32_t i = w->anchor + 1; i-- > 0 && a->turns.count <= REASK_TURNS;) {
        const struct work_message *m = &w->messages[i];
        if (m->role != WORK_USER || m->synthetic)
            continue;
        for (uint32_t k = 0; k < m->part_count; k++) {
            const struct work_part *part = &w->parts[m->part_first + k];
            if (part->kind != WORK_TEXT || !part->text.len)
                continue;
            a->turns.at[a->turns.count++] =
                (struct text_view){slice_head(part->text, LIKENESS_TEXT_MAX), i, k};
            break;
        }
    }
    return RESULT_OK;
}

static enum result grams_of_turns(struct signal_context *ctx, const struct text_views *turns,
                                  float *scores)
{
    struct signal_artifacts *a = ctx->artifacts;
    for (uint32_t i = 1; i < turns->count; i++) {
        const uint32_t *buckets;
        uint32_t n = ngram_features(&likeness_spec, a->scratch->grams, turns->at[i].text, &buckets);
        uint32_t *kept = arena_alloc(ctx->arena, n * sizeof *kept + 1);
        if (!kept)
            return RESULT_NOMEM;
        memcpy(kept, buckets, n * sizeof *kept);
        const uint32_t *grams[] = {kept};
        struct likeness one = {.count = 1, .grams = grams, .gram_counts = &n};
        enum result r = likeness_by_grams(&one, ctx, turns->at[0].text, &scores[i]);
        if (r)
            return r;
    }
    return RESULT_OK;
}

static void cosines(const struct trunk_answer *t, uint32_t dim, float *scores)
{
    const float *vectors[REASK_TURNS + 1] = {NULL};
    for (uint32_t w = t->window_count; w-- > 0;)
        vectors[t->windows[w].text] = t->windows[w].vector; // the head of each
    for (uint32_t i = 1; i <= REASK_TURNS; i++) {
        float sum = 0;
        for (uint32_t k = 0; vectors[0] && vectors[i] && k < dim; k++)
            sum += vectors[0][k] * vectors[i][k];
        if (vectors[i])
            scores[i] = sum;
    }
}

static enum result compute_reask(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct reask_state *s = state;
    struct signal_artifacts *a = ctx->artifacts;
    const struct text_views *turns;
    float scores[REASK_TURNS + 1] = {0};
    out->probability = 1;
    enum result r = find_turns(ctx, &turns);
    if (r || turns->count < 2)
        return r;
    r = grams_of_turns(ctx, turns, scores);
    if (r)
        return r;
    float same = same_grams;
    bool settled = true;
    for (uint32_t i = 1; i < turns->count; i++)
        settled &= scores[i] >= settled_grams;
    out->by = SLICE("n-grams");
    if (!settled && s->encoder) {
        const struct trunk_answer *t;
        r = artifacts_ask_views(ctx, TRUNK_EMBED, TRUNK_TOPIC, turns, &t);
        if (r == RESULT_AGAIN)
            return r;
        if (!r) {
            cosines(t, a->trunk->dim[TRUNK_EMBED], scores);
            same = s->likeness;
            out->by = s->by_vector;
        }
    }
    uint32_t streak = 0;
    while (streak + 1 < turns->count && scores[streak + 1] >= same) {
        streak++;
        const struct text_view *v = &turns->at[streak];
        signal_fact_evidence(out, v, 0, (uint32_t)v->text.len, 0);
        out->probability = scores[streak] < out->probability ? scores[streak] : out->probability;
    }
    out->number = streak;
    return RESULT_OK;
}

const struct signal_family signal_similar = {
    .name = "similar",
    .summary = "how like the request is to examples, 0 to 1",
    .number_max = 1,
    .cost = SIGNAL_COST_ENCODER,
    .compares = true,
    .args = similar_args,
    .arg_count = MERIT_COUNT(similar_args),
    .type = type,
    .check = check_similar,
    .prepare = prepare_similar,
    .compute = compute_similar,
    .doubt = doubt_similar,
};

const struct signal_family signal_reask = {
    .name = "reask",
    .whole = true,
    .summary = "how many of the latest earlier turns ask the same again",
    .cost = SIGNAL_COST_ENCODER,
    .pass = SIGNAL_PASS_TURNS,
    .compares = true,
    .args = reask_args,
    .arg_count = MERIT_COUNT(reask_args),
    .number_max = REASK_TURNS,
    .type = type,
    .prepare = prepare_reask,
    .compute = compute_reask,
};
