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

void score_context(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, most = ask->most_tok;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float over = most - p->to_tok[i], under = p->from_tok[i] - most;
        float beyond_s = ABOVE_S + ABOVE_S * (over * p->per_to[i]);
        float over_s = over > 0 ? beyond_s : 0;
        float stay_s = ask->own_s[i] + output * p->each_s[i];
        float under_s = score_max(under, 0) * p->per_from[i] * stay_s;
        nusd[i] = (over_s + under_s) * second;
        total[i] += nusd[i];
    }
}
