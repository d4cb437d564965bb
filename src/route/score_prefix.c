// Tokens of the prompt that it has to compute: those that its prefix cache does not hold, at its speed of prefill and at
// what a second is worth. (Their joules are in the energy term, their cached price in the money.)
//
//   own = (input - hit) * prefill_s
//
// The exact form of what llm-d's prefix-cache-scorer ranks by (share of the prompt's blocks that match) and AIBrix's
// prefix-cache-preble estimates (missed tokens times the cost of prefill).
#include "route/score.h"

void score_prefix(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            float own_s = score_max(ask->input_tok - p->hit_tok[i], 0) * p->prefill_s[i];
            ask->own_s[i] = own_s;
            nusd[i] = own_s * ask->second_nusd;
        }
}
