// Leaving the place where the session is. That the new place has to compute what the old one holds is in the scorer of the
// prefix already; this is what the move costs others: the blocks that stay behind are of no use to anybody until they
// age out, and the new place drops as many of others' to make room, of which a part is asked for again.
//
//   lost = max(min(session_tok, input) - hit, 0)          at every place but the session's, whose hit is session_tok
//   price = AGAIN * lost * prefill_s                      at what a second is worth
//
// It is also what keeps a session from going back and forth between places that are equal up to noise. AGAIN: the share of
// dropped blocks that is wanted again; sessions of agents come back nearly always, one-off chats hardly ever. Grade:
// guessed, 2026-11.
#include "route/score.h"

#define AGAIN 0.5F

void score_session(struct score_ask *ask, float *restrict nusd, float *restrict total)
{
    const struct score_places *p = ask->places;
    const uint32_t lanes = score_lanes(p);
    const float second = ask->second_nusd, input = ask->input_tok;
    float held = score_min(ask->session_tok, input);
    SCORE_SIMD
    for (uint32_t i = 0; i < lanes; i++) {
        float lost = score_max(held - p->hit_tok[i], 0);
        nusd[i] = AGAIN * lost * p->prefill_s[i] * second;
        total[i] += nusd[i];
    }
}
