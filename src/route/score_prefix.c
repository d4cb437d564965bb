// Tokens of the prompt that it has to compute: those that its prefix cache does not hold, at its speed of prefill and at
// what a second is worth. (Their joules are in the energy term, their cached price in the money.)
//
//   own = (input - hit) * prefill_s
//
// The exact form of what llm-d's prefix-cache-scorer ranks by (share of the prompt's blocks that match) and AIBrix's
// prefix-cache-preble estimates (missed tokens times the cost of prefill).
#include "route/score.h"

void score_prefix(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, input = ask->input_tok;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float own_s = score_max(input - p->hit_tok[i], 0) * p->prefill_s[i];
        ask->own_s[i] = own_s;
        nusd[i] = own_s * second;
        total[i] += nusd[i];
    }
}
