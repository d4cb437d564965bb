// The adapter is not loaded there: the seconds until it is (route/score.h has the constants), at what a second is worth.
#include "route/score.h"

void score_lora(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        nusd[i] = p->adapter_s[i] * second;
        total[i] += nusd[i];
    }
}
