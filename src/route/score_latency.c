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
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, deadline = ask->deadline_s,
                reading = ask->reading;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        nusd[i] = (p->first_s[i] + p->far_s[i] + reading * output * p->each_s[i]) * second;
    }
    if (deadline <= 0)
        return;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float first_s = ask->turn_s[i] + ask->own_s[i] + p->first_s[i] + p->far_s[i];
        nusd[i] += LATE * score_max(first_s - deadline, 0) * second;
    }
}
