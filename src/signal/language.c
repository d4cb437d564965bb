// language: the language of the anchored text, as its ISO 639-1 code ("en", "pt"); empty when the text has no letters or no
// language is likely enough.
//
//   language             language(min 0.5)
//
// Asks: 75 languages by script, characters and words; no encoder. Costs: tens of microseconds. Evidence: none. Limits: the
// first LANGUAGE_TEXT_MAX bytes of each part, the part with the most letters decides.
#include "signal/families.h"
#include "signal/learned.h"

static const struct signal_arg_spec args[] = {
    {.name = "min",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 0,
     .max = 1,
     .help = "the least probability of an answer"},
};

struct state {
    const struct language_model *model;
    float min;
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_TEXT;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    const struct image_arg *min = signal_arg_named(image, def, "min");
    s->min = min ? (float)min->number : 0;
    *state = s;
    enum result r = RESULT_OK;
    if (!load->heads->language) {
        char problem[LANGUAGE_PROBLEM_BYTES];
        struct slice file = learned_built_in(SLICE("language"));
        r = file.ptr ? language_open(file, problem, &load->heads->language) : RESULT_NOT_FOUND;
    }
    s->model = load->heads->language;
    return r;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    if (r)
        return r;
    const struct text_view *longest = NULL;
    for (uint32_t i = 0; i < views->count; i++)
        if (!longest || views->at[i].text.len > longest->text.len)
            longest = &views->at[i];
    struct language_guess guess;
    out->probability = 1;
    out->by = SLICE("language");
    if (!longest || !language_identify(s->model, longest->text, &guess, 1))
        return RESULT_OK;
    out->probability = guess.probability;
    if (guess.probability >= s->min) {
        out->text = language_code(s->model, guess.language);
        out->number = 1;
    }
    return RESULT_OK;
}

const struct signal_family signal_language = {
    .name = "language",
    .summary = "the language of the request",
    .cost = SIGNAL_COST_TEXT,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
