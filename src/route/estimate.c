#include "route/estimate.h"

static uint64_t per_choice(const struct work *work, const struct image_model *model,
                           uint32_t expected)
{
    uint64_t tok = expected ? expected : ESTIMATE_OUTPUT_TOK;
    if (work->max_output_tok && work->max_output_tok < tok)
        tok = work->max_output_tok;
    if (model && model->output_tok && model->output_tok < tok)
        tok = model->output_tok;
    return tok;
}

uint32_t estimate_output_tok(const struct work *work, const struct image_model *model,
                             uint32_t expected)
{
    uint64_t tok = per_choice(work, model, expected) * (work->choices ? work->choices : 1);
    return tok > UINT32_MAX ? UINT32_MAX : (uint32_t)tok;
}

uint32_t estimate_reserve_tok(const struct work *work, const struct image_model *model,
                              uint32_t expected)
{
    return work->max_output_tok ? work->max_output_tok
                                : (uint32_t)per_choice(work, model, expected);
}

int64_t estimate_cost_nusd(const struct image_model *model, uint64_t input_tok, uint64_t cached_tok,
                           uint64_t output_tok)
{
    if (!model->priced)
        return -1;
    if (cached_tok > input_tok)
        cached_tok = input_tok;
    int64_t sum = 0;
    const int64_t price[] = {model->price_in_nusd, model->price_cached_nusd, model->price_out_nusd};
    const uint64_t tok[] = {input_tok - cached_tok, cached_tok, output_tok};
    for (unsigned i = 0; i < 3; i++) {
        int64_t product;
        if (tok[i] > INT64_MAX || __builtin_mul_overflow(price[i], (int64_t)tok[i], &product) ||
            __builtin_add_overflow(sum, product, &sum))
            return INT64_MAX;
    }
    return sum / 1000000;
}
