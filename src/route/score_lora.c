// The adapter is not loaded there: the seconds until it is (route/score.h has the constants), at what a second is worth.
#include "route/score.h"

void score_lora(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++)
            nusd[b + k] = p->adapter_s[b + k] * ask->second_nusd;
}
