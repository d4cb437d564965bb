// Use of its KV cache: near the end of it an engine preempts requests and computes them again.
//
//   use' = kv_use + (input - hit + output) / kv_tok
//   p    = clamp((use' - 0.9) / 0.1, 0, 1)^2             how likely somebody is preempted
//   p * (input + output / 2) * prefill_s                 what is then computed again, for a request like this one
//   + max(use' - 1, 0) * kv_tok * each_s / running       until so many tokens are free again
//
// at what a second is worth. vLLM preempts when no block is free; Gateway API's saturation detector calls 0.8 of the cache
// full. The 0.9 and the square are guessed, 2026-11.
#include "route/score.h"

void score_kv(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, input = ask->input_tok;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float need = score_max(input - p->hit_tok[i], 0) + output;
        float over = p->kv_use[i] + need * p->kv_share[i] - 0.9F;
        float likely = score_min(score_max(over * 10, 0), 1);
        float again_s = (input + output * 0.5F) * p->prefill_s[i];
        float none = score_max(over - 0.1F, 0) * p->kv_tok[i];
        float free_s = none * p->each_s[i] * p->per_running[i];
        nusd[i] = (likely * likely * again_s + free_s) * second;
        total[i] += nusd[i];
    }
}
