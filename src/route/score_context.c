// Outside the lengths that it serves (`serves from 8k to 64k tok`): pools of short and of long requests.
//
//   above: (1 + excess / to) minutes                      it would most likely refuse; only when nothing else is there
//   below: shortfall / from * the request's own seconds   a short request holds a slot that is dear, but may
//
// at what a second is worth. A request counts with its input and the most output it may give, as in token-budget pool
// routing (arXiv 2604.09613: L = input + max_output, to the short pool when L <= B); that short ones may overflow into
// the long pool and not the other way round is why the two sides differ.
#include "route/score.h"

#define ABOVE_S 60.0F

void score_context(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            float over = ask->most_tok - p->to_tok[i], under = p->from_tok[i] - ask->most_tok;
            float over_s = over > 0 ? ABOVE_S * (1 + over / p->to_tok[i]) : 0;
            float stay_s = ask->own_s[i] + ask->output_tok * p->each_s[i];
            float under_s = under > 0 ? under / score_max(p->from_tok[i], 1) * stay_s : 0;
            nusd[i] = (over_s + under_s) * ask->second_nusd;
        }
}
