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

void score_running(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, weight = ask->weight;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float stay_s = output * p->each_s[i];
        float felt_s = STALL * ask->own_s[i] + stay_s * SLOPE * p->per_slot[i];
        nusd[i] = p->running[i] * felt_s * second * p->per_weight[i] +
                  weight * p->slot_nusd_s[i] * (ask->own_s[i] + stay_s);
        total[i] += nusd[i];
    }
}
