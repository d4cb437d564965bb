// output: the form and length of the answer that is asked for.
//
//   output          enum: text, json, schema
//   output(tokens)  number: the limit that the client gave (0 without one)
//
// Asks: response_format and the output limit. Costs: a load. Evidence: none. Limits: none; cannot
// fail.
#include "signal/families.h"

static const char *const kinds[] = {"tokens", NULL};
static const char *const words[] = {"text", "json", "schema", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD,
     .words = kinds,
     .help = "the output tokens asked for; without it the form"},
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    return signal_arg_word(image, def).len ? SIGNAL_NUMBER : SIGNAL_ENUM;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    bool *tokens = ARENA_NEW(arena, bool);
    if (!tokens)
        return RESULT_NOMEM;
    *tokens = signal_arg_word(image, def).len > 0;
    *state = tokens;
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct work *w = ctx->work;
    signal_fact_number(out, *(const bool *)state ? w->max_output_tok : (uint32_t)w->format);
    return RESULT_OK;
}

const struct signal_family signal_output = {
    .name = "output",
    .summary = "form and length of the answer asked for",
    .unit = "tok",
    .cost = SIGNAL_COST_FREE,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .whole = true,
    .type = type,
    .words = words,
    .prepare = prepare,
    .compute = compute,
};
