// Where a request's prompt and session are warm: the prefix indexes and sessions of one policy (pool/prefix.h,
// pool/sessions.h), between the gateway's loops and the views that decisions see.
//
//   affinity_view    before deciding: what each place holds of this prompt, and where the session is
//   affinity_hit     of the place that was chosen
//   affinity_sent    when an attempt went out
//   affinity_came    when its answer is counted
//
// Only models with more than one place have an index. With a reload of the policy places and models have other numbers; what
// is known of those that the next policy has, too (the same model at the same address), is taken over.
#ifndef MERIT_API_AFFINITY_H
#define MERIT_API_AFFINITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "work/pool.h"

struct affinity;
struct pool;
struct request;

// For all loops. RESULT_NOMEM, RESULT_IO.
enum result affinity_open(struct affinity **out, const struct pool *pool) MERIT_NODISCARD;
void affinity_close(struct affinity *a); // NULL: no-op
// What was known under the policy before. Control side, when the new pool has its places (keeper_take) and before any loop has
// seen it; loops may go on with `old`. Either may be NULL: nothing happens. Without memory nothing is taken over.
void affinity_inherit(struct affinity *a, const struct affinity *old, uint64_t now_ms);

// Of one request; zero before. In its arena.
struct affinity_ask {
    struct prefix_prompt *prompt; // NULL: no model has an index, or there was no memory
    const uint32_t *held_tok;     // per place; the view's is less for a session without a place
    uint64_t session;             // 0: none
    int32_t session_place;        // or -1
    uint32_t session_tok;
};

// Adds to the view of r->pool, which pool_rows has just filled: prefix_tok and the session's fields. A session is locked to
// its model while the request carries the result of a tool that the model asked for.
void affinity_view(struct request *r);
// Tokens of the prompt that the place is believed to hold.
uint32_t affinity_hit(const struct request *r, int32_t place);
void affinity_sent(struct request *r, int32_t model, int32_t place);
// A good answer; tokens as the upstream counted them, `known` false: it did not.
void affinity_came(struct request *r, int32_t model, int32_t place, bool known, uint64_t input_tok,
                   uint64_t cached_tok, uint64_t output_tok);

#endif
