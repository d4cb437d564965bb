// Requests that wait there: the seconds until this one's turn, at what a second is worth.
//
//   turn = max( (waiting + 1 when all slots are taken) * stay / running ,  wait_tok * prefill_s )
//
// Little's law on both queues in front of a batch: slots come free at `running` per mean stay (output tokens times seconds
// per token), and prompts are prefilled one behind the other. The scarcer of the two is what makes wait, so the larger
// counts, not the sum. llm-d ranks by the count of the queue alone (queue-scorer: (max - x) / (max - min)) and reckons time
// to the first token as tokens in flight / 15,928 per second (prefix-cache-affinity); AIBrix's least-latency adds the two.
#include "route/score.h"

void score_queue(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    for (uint32_t b = 0; b < p->lanes; b += SCORE_LANES)
        for (uint32_t k = 0; k < SCORE_LANES; k++) {
            uint32_t i = b + k;
            float stay_tok = p->stay_tok[i] < 0 ? ask->output_tok : p->stay_tok[i];
            float full = p->load[i] >= p->slots[i] || p->waiting[i] > 0 ? 1.0F : 0.0F;
            float ahead = p->waiting[i] + full;
            float slot_s = ahead * stay_tok * p->each_s[i] / score_max(p->running[i], 1);
            float turn_s = score_max(slot_s, p->wait_tok[i] * p->prefill_s[i]);
            ask->turn_s[i] = turn_s;
            nusd[i] = turn_s * ask->second_nusd;
        }
}
