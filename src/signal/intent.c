// intent, preference, knowledge: which of several labels the anchored text is most like, each told by a few examples.
//
//   intent(label "billing", like "I was charged twice", "refund my order",
//          label "bugs", like "it crashes when I log in")
//   preference(label "review", about "the user wants code looked over", like "can you review this PR")
//   knowledge(groups, group "private", label "salary", like "what does Ann earn", label "health", like "is Bob ill",
//                     group "public", label "hours", like "when are you open")
//
// The three are one family under the names by which people look for it; the value is a label (with `groups`: a group), or
// `otherwise`, when no label is like enough (`min`) or the two best are too close (`margin`).
// A label's score is .75 of its best example's cosine and .25 of the mean of its two best; a group's that of its best label. The
// probability is the softmax of the scores over `temperature`.
// Asks: n-grams first: a text that is nearly one of the examples is settled by them. Else one embedding, shared with other
// signals. Without an encoder n-grams decide, by `LIKE_GRAMS` of `min`. Evidence: none; `by` tells which tier. Limits:
// INTENT_LABELS_MAX labels, LIKENESS_EXAMPLES_MAX examples.
#include <math.h>

#include "signal/families.h"
#include "signal/learned.h"
#include "signal/likeness.h"

enum { INTENT_LABELS_MAX = 512 };

static const char *const tags[] = {"label", "like", "about", "group", NULL};
enum tag { LABEL, LIKE, ABOUT, GROUP };
static const char *const kinds[] = {"groups", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_STRING,
     .tags = tags,
     .repeated = true,
     .required = true,
     .help = "`label \"name\", like \"example\", ...`"},
    {.kind = SIGNAL_ARG_WORD, .words = kinds, .help = "the value is a group, not a label"},
    {.name = "min",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "least likeness of an answer, .35 without"},
    {.name = "margin",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "least lead over the second, .02 without"},
    {.name = "temperature",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0.001,
     .max = 10,
     .help = "of the probabilities: differences of likeness are divided by it, .05 without"},
    {.name = "otherwise",
     .kind = SIGNAL_ARG_STRING,
     .help = "the value when nothing is like enough"},
};

// How sure n-grams must be to settle it alone, and what share of `min` they must reach without an encoder. Grade: guessed,
// 2026-11.
static const float settled_grams = 0.9f, like_grams = 0.6f;

struct group { // a label's examples, or a group's labels
    struct slice name;
    uint32_t first, count;
};

struct state {
    struct likeness examples;
    struct group *labels, *groups;
    uint32_t label_count, group_count;
    bool by_group;
    float min, margin, temperature;
    struct slice otherwise, by_grams, by_vector;
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_TEXT;
}

// A string's tag holds for those behind it, but a label's name is one string: what follows it is an example.
static enum tag tag_at(const struct policy_image *image, const struct image_arg *a, enum tag before)
{
    int t = a->tag.len ? signal_word_index(tags, image_text(image, a->tag)) : -1;
    return t < 0 ? before == LABEL || before == GROUP ? LIKE : before : (enum tag)t;
}

// Whether a string of this tag with these words stands before `at`: two of a name would be each other's rivals.
static bool stands_twice(const struct policy_image *image, const struct image_signal *def,
                         uint32_t at, enum tag wanted)
{
    const struct image_arg *args_at = signal_args(image, def);
    enum tag tag = LIKE;
    for (uint32_t i = 0; i < at; i++) {
        const struct image_arg *a = &args_at[i];
        if (a->kind != IMAGE_ARG_STRING || !signal_arg_positional(a))
            continue;
        tag = tag_at(image, a, tag);
        if (tag == wanted &&
            slice_eq(image_text(image, a->text), image_text(image, args_at[at].text)))
            return true;
    }
    return false;
}

static void check(const struct policy_image *image, const struct image_signal *def,
                  void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    enum tag tag = LIKE;
    uint32_t labels = 0, groups = 0, examples = 1, all = 0;
    bool by_group = signal_arg_word(image, def).len > 0;
    for (uint32_t i = 0; i < def->args.count; i++) {
        const struct image_arg *a = &signal_args(image, def)[i];
        if (a->kind != IMAGE_ARG_STRING || !signal_arg_positional(a))
            continue;
        tag = tag_at(image, a, tag);
        if (tag == LABEL || tag == GROUP) {
            if (!examples)
                fail(ctx, i,
                     "the label before this one has no example: write `like \"...\"` behind it");
            if (image_text(image, a->text).len == 0)
                fail(ctx, i, "a label has a name");
            else if (labels + groups <= 2 * INTENT_LABELS_MAX && (tag == GROUP) == by_group &&
                     stands_twice(image, def, i, tag))
                fail(ctx, i, "this name stands twice: put all its examples behind the first");
            groups += tag == GROUP;
            labels += tag == LABEL;
            examples = tag == GROUP;
            if (by_group && !groups)
                fail(ctx, i, "with `groups` a `group \"name\"` stands before its labels");
        } else if (!labels) {
            fail(ctx, i, "an example stands behind its label: `label \"name\", like \"example\"`");
            labels = 1;
        } else {
            examples++;
            all++;
            if (image_text(image, a->text).len > LIKENESS_TEXT_MAX)
                fail(ctx, i, "an example has at most 4096 bytes");
        }
    }
    if (!examples || !all)
        fail(ctx, def->args.count - 1, "a label needs an example: `like \"...\"`");
    if (labels < 2 && labels)
        fail(ctx, 0, "one label is no choice: give two, or use `similar(...) above 0.5`");
    if (labels > INTENT_LABELS_MAX || all > LIKENESS_EXAMPLES_MAX)
        fail(ctx, def->args.count - 1, "more than 512 labels or 4096 examples");
}

static float number(const struct policy_image *image, const struct image_signal *def,
                    const char *name, float without)
{
    const struct image_arg *a = signal_arg_named(image, def, name);
    return a ? (float)a->number : without;
}

static enum result gather(const struct policy_image *image, const struct image_signal *def,
                          struct state *s, struct slice *texts, uint32_t *count)
{
    enum tag tag = LIKE;
    for (uint32_t i = 0; i < def->args.count; i++) {
        const struct image_arg *a = &signal_args(image, def)[i];
        if (a->kind != IMAGE_ARG_STRING || !signal_arg_positional(a))
            continue;
        tag = tag_at(image, a, tag);
        struct slice text = image_text(image, a->text);
        if (tag == GROUP) {
            s->groups[s->group_count++] = (struct group){text, s->label_count, 0};
        } else if (tag == LABEL) {
            if (s->label_count == INTENT_LABELS_MAX)
                return RESULT_LIMIT;
            s->labels[s->label_count++] = (struct group){text, *count, 0};
            if (s->group_count)
                s->groups[s->group_count - 1].count++;
        } else {
            if (!s->label_count)
                return RESULT_SYNTAX;
            s->labels[s->label_count - 1].count++;
            texts[(*count)++] = text;
        }
    }
    for (uint32_t i = 0; i < s->label_count; i++)
        if (!s->labels[i].count)
            return RESULT_SYNTAX;
    return s->label_count >= 2 && (!s->by_group || s->group_count) ? RESULT_OK : RESULT_SYNTAX;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    struct state *s = ARENA_NEW(arena, struct state);
    struct slice *texts = ARENA_ARRAY(arena, struct slice, def->args.count);
    if (!s || !texts)
        return RESULT_NOMEM;
    *state = s;
    s->labels = ARENA_ARRAY(arena, struct group, def->args.count);
    s->groups = ARENA_ARRAY(arena, struct group, def->args.count);
    if (!s->labels || !s->groups)
        return RESULT_NOMEM;
    s->by_group = signal_arg_word(image, def).len > 0;
    s->min = number(image, def, "min", 0.35f);
    s->margin = number(image, def, "margin", 0.02f);
    s->temperature = number(image, def, "temperature", 0.05f);
    const struct image_arg *otherwise = signal_arg_named(image, def, "otherwise");
    s->otherwise = otherwise ? image_text(image, otherwise->text) : SLICE_EMPTY;
    uint32_t count = 0;
    enum result r = gather(image, def, s, texts, &count);
    if (!r)
        r = likeness_prepare(texts, count, load, arena, &s->examples);
    if (r)
        return r;
    s->by_grams = SLICE("n-grams");
    if (s->examples.dim)
        s->by_vector = arena_printf(arena, "%.*s %.*s", SLICE_FMT(load->trunk->name[TRUNK_EMBED]),
                                    SLICE_FMT(load->trunk->version[TRUNK_EMBED]));
    return s->examples.dim && !s->by_vector.ptr ? RESULT_NOMEM : RESULT_OK;
}

// The value from the examples' scores.
static enum result choose(const struct state *s, struct arena *arena, const float *scores,
                          float min, struct fact *out)
{
    const struct group *groups = s->by_group ? s->groups : s->labels;
    uint32_t n = s->by_group ? s->group_count : s->label_count;
    float *of = arena_alloc(arena, (n + s->label_count) * sizeof *of);
    if (!of)
        return RESULT_NOMEM;
    float *labels = of + n;
    for (uint32_t i = 0; i < s->label_count; i++)
        labels[i] = likeness_group(scores + s->labels[i].first, s->labels[i].count);
    uint32_t best = 0;
    float second = -2;
    for (uint32_t i = 0; i < n; i++) {
        of[i] = s->by_group ? -1 : labels[i];
        for (uint32_t k = 0; s->by_group && k < groups[i].count; k++)
            if (labels[groups[i].first + k] > of[i])
                of[i] = labels[groups[i].first + k];
        if (i && of[i] > of[best]) {
            second = of[best];
            best = i;
        } else if (i && of[i] > second) {
            second = of[i];
        }
    }
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(((double)of[i] - (double)of[best]) / (double)s->temperature);
    bool clear = of[best] >= min && (n == 1 || of[best] - second >= s->margin);
    out->text = clear ? groups[best].name : s->otherwise;
    out->number = out->text.len > 0;
    out->probability = clear ? (float)(1 / sum) : (float)(1 - 1 / sum);
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    struct slice text;
    out->text = s->otherwise;
    out->number = s->otherwise.len > 0;
    out->probability = 1;
    enum result r = artifacts_joined(ctx, &text);
    if (r || !text.len)
        return r;
    float *scores = arena_alloc(ctx->arena, s->examples.count * sizeof *scores);
    if (!scores)
        return RESULT_NOMEM;
    r = likeness_by_grams(&s->examples, ctx, text, scores);
    if (r)
        return r;
    float best = 0;
    for (uint32_t i = 0; i < s->examples.count; i++)
        best = scores[i] > best ? scores[i] : best;
    out->by = s->by_grams;
    if (!s->examples.dim || best >= settled_grams)
        return choose(s, ctx->arena, scores, s->min * like_grams, out);
    const float *vector;
    r = artifacts_vector(ctx, &vector);
    if (r == RESULT_AGAIN)
        return r;
    if (r) // no time, no room: n-grams decide
        return choose(s, ctx->arena, scores, s->min * like_grams, out);
    likeness_by_vector(&s->examples, vector, scores);
    out->by = s->by_vector;
    return choose(s, ctx->arena, scores, s->min, out);
}

#define FAMILY(NAME, SUMMARY)                                                                      \
    const struct signal_family signal_##NAME = {                                                   \
        .name = #NAME,                                                                             \
        .summary = SUMMARY,                                                                        \
        .cost = SIGNAL_COST_ENCODER,                                                               \
        .compares = true,                                                                          \
        .args = args,                                                                              \
        .arg_count = MERIT_COUNT(args),                                                            \
        .type = type,                                                                              \
        .check = check,                                                                            \
        .prepare = prepare,                                                                        \
        .compute = compute,                                                                        \
    }

FAMILY(intent, "which of several labels, told by examples, the request is most like");
FAMILY(preference, "which of several routes, told in words and examples, the request asks for");
FAMILY(knowledge, "which label or group of a knowledge base the request is about");
