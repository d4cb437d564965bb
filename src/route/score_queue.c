// Requests that wait there: the seconds until this one's turn, at what a second is worth, and
// more the longer it takes.
//
//   turn * (1 + LONG * turn)
//   turn = max(line, (wait_tok + others * input) * prefill_s)
//   line = (wait_tok + others * input) / drain_tok_s           how fast the line there moves, as it is seen to
//        = (waiting + 1) * output * each / running             where nothing is seen yet and its slots or KV cache are full
//
// Prompts are prefilled one behind the other, and may besides wait for slots or KV blocks. The scarcer is what makes wait, so the
// larger counts, not the sum. When slots or blocks come free depends on the lengths of all answers there and on who is preempted.
// Little's law with what is expected of this answer (`running` per mean stay) was five times too long where KV caches were full,
// and sent everything to the places whose caches were not, until those were the longest lines (docs/sim.md); how fast the line
// moved in the last ten seconds is known (pool/drain.h). A queue alone says nothing of slots: in vLLM a request also waits
// while the step's token budget goes to prompts before it, and that is wait_tok; requests that are not Merit's own are taken
// to be as long as this one. llm-d ranks by the count of the queue alone
// (queue-scorer: (max - x) / (max - min)) and reckons time to the first token as tokens in flight / 15,928 per second
// (prefix-cache-affinity); AIBrix's least-latency adds the two.
//
// LONG: a wait of 5 s counts twice. In proportion, a full pool lets a few wait very long for the sake of the sum. 0, 0.1, 0.2 and
// 0.5 per second were tried on fleets A and C of bench/constants: without it the 99th percentile is a quarter longer, and
// between 0.1 and 0.5 there is no difference (docs/sim.md).
// Grade: measured in simulation, 2026-11.
#include "route/score.h"

#define LONG 0.2F

void score_queue(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, output = ask->output_tok, input = ask->input_tok;
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        // Values first and choices behind them: so the compiler takes several places at once.
        float next = p->waiting[i] + 1;
        float ahead = p->load[i] >= p->slots[i] ? next : 0;
        ahead = p->kv_use[i] > SCORE_KV_FULL ? next : ahead;
        float slot_s = ahead * output * p->each_s[i] * p->per_running[i];
        float line_tok = p->wait_tok[i] + p->others[i] * input, drain_s = p->drain_s[i];
        float line_s = drain_s > 0 ? line_tok * drain_s : slot_s;
        float turn_s = score_max(line_s, line_tok * p->prefill_s[i]);
        ask->turn_s[i] = turn_s;
        nusd[i] = turn_s * (1 + LONG * turn_s) * second;
        total[i] += nusd[i];
    }
}
