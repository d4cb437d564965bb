// context: how many tokens the request has.
//
//   signal long = context above 8000
//
// Asks: the whole request (messages, tools, images), not only the anchored text. Needs:
// work.input_tok, which work/tokens.h estimates when the request is parsed. Costs: a load.
// Evidence: none. Limits: it is an estimate; its error is stated in work/tokens.h.
#include "signal/families.h"

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_NUMBER;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)image;
    (void)def;
    (void)arena;
    (void)load;
    *state = NULL;
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    (void)state;
    signal_fact_number(out, ctx->work->input_tok);
    return RESULT_OK;
}

const struct signal_family signal_context_length = {
    .name = "context",
    .whole = true,
    .summary = "estimated input tokens of the request",
    .unit = "tok",
    .cost = SIGNAL_COST_FREE,
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
