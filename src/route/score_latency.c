// Expected seconds, and the part beyond a deadline.
//
//   first + far + reading * output * each                what is left of the answer's time behind queue and prefill
//   + LATE * max(turn + own + first + far - deadline, 0)  a second too late counts as LATE more
//
// at what a second is worth. llm-d's latency-scorer ranks by the headroom to the deadline (SLO - predicted); a price of the
// excess does the same and still tells two late places apart. LATE: guessed, 2026-11.
#include "route/score.h"

#define LATE 10.0F

void score_latency(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            nusd[i] =
                (p->first_s[i] + p->far_s[i] + ask->reading * ask->output_tok * p->each_s[i]) *
                ask->second_nusd;
        }
    if (ask->deadline_s <= 0)
        return;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            float first_s = ask->turn_s[i] + ask->own_s[i] + p->first_s[i] + p->far_s[i];
            nusd[i] += LATE * score_max(first_s - ask->deadline_s, 0) * ask->second_nusd;
        }
}
