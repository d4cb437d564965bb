// Requests that wait there: the seconds until this one's turn, at what a second is worth, and
// more the longer it takes.
//
//   turn * (1 + LONG * turn)
//   turn = max( (waiting + 1) * output * each / running when its slots or its KV cache are full,
//               (wait_tok + others * input) * prefill_s )
//
// Little's law on both queues in front of a batch: slots come free at `running` per mean stay (output tokens times seconds
// per token; all are taken to answer as long as this one), and prompts are prefilled one behind the other. The scarcer of the
// two is what makes wait, so the larger counts, not the sum. A queue alone says nothing of slots: in vLLM a request also waits
// while the step's token budget goes to prompts before it, and that is wait_tok; requests that are not Merit's own are taken
// to be as long as this one. llm-d ranks by the count of the queue alone
// (queue-scorer: (max - x) / (max - min)) and reckons time to the first token as tokens in flight / 15,928 per second
// (prefix-cache-affinity); AIBrix's least-latency adds the two.
//
// LONG: a wait of 5 s counts twice. At a price in proportion to the wait some lines of full fleets grew longer than others in
// simulation; why is not proven (docs/sim.md). 0, 0.1, 0.2 and 0.5 per second were tried on fleets A and C of bench/constants.
// Grade: measured in simulation, 2026-11.
#include "route/score.h"

#define LONG 0.2F

void score_queue(struct score_ask *ask, float *restrict nusd)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, input = ask->input_tok;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        bool full = (p->load[i] >= p->slots[i]) | (p->kv_use[i] > SCORE_KV_FULL);
        float ahead = full ? p->waiting[i] + 1 : 0;
        float slot_s = ahead * output * p->each_s[i] * p->per_running[i];
        float wait_tok = p->wait_tok[i] + p->others[i] * input;
        float turn_s = score_max(slot_s, wait_tok * p->prefill_s[i]);
        ask->turn_s[i] = turn_s;
        nusd[i] = turn_s * (1 + LONG * turn_s) * second;
    }
}
