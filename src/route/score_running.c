// What it takes from those that run there: the external delay that a request imposes, which is the congestion price of
// economic dispatch (dW/dlambda times the requests that feel it).
//
//   running * STALL * own                                its prefill goes through the same batch as their tokens
// + running * output * each * SLOPE / slots              each token of theirs takes longer in a larger batch
// + slot_nusd_s * (own + output * each)                  shadow price of the slot for as long as it is held
//
// the first two at what a second is worth, and divided by the endpoint's weight, so that one of weight 2 feels as loaded
// with twice the requests. SLOPE: a token of a full batch takes about half again as long as one alone (memory-bound
// decode: weights are read once per step, KV per request). Grade: guessed, 2026-11; the seconds per token that a place
// shows at its load are learned, so that this is about the one request more only.
#include "route/score.h"

// STALL: a stream that pauses while a prompt is prefilled is felt less than waiting for its first token, as tokens come faster
// than they are read. Of 0, 0.1, 0.25 and 1 the one with the least 99th percentiles of time to the first token on fleet A of
// bench/constants. Grade: measured in simulation, 2026-11.
#define SLOPE 0.5F
#define STALL 0.1F

void score_running(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            float stay_s = ask->output_tok * p->each_s[i];
            float felt_s = STALL * ask->own_s[i] + stay_s * SLOPE / p->slots[i];
            nusd[i] = p->running[i] * felt_s * ask->second_nusd / p->weight[i] +
                      p->slot_nusd_s[i] * (ask->own_s[i] + stay_s);
        }
}
