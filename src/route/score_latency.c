// Expected seconds, and the part beyond a deadline.
//
//   first + far + reading * output * each                what is left of the answer's time behind queue and prefill
//   + LATE * max(turn + own + first + far - deadline, 0)  a second too late counts as LATE more
//
// at what a second is worth. llm-d's latency-scorer ranks by the headroom to the deadline (SLO - predicted); a price of the
// excess does the same and still tells two late places apart. LATE: guessed, 2026-11.
#include "route/score.h"

#define LATE 10.0F

void score_latency(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, deadline = ask->deadline_s,
                reading = ask->reading;
    // Without a deadline nothing is late.
    const float late = deadline > 0 ? LATE : 0;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float first_s = p->first_s[i] + p->far_s[i];
        float late_s = score_max(ask->turn_s[i] + ask->own_s[i] + first_s - deadline, 0);
        nusd[i] = (first_s + reading * output * p->each_s[i] + late * late_s) * second;
        total[i] += nusd[i];
    }
}
