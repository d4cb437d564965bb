// What the scorers of dispatch work on: the places of one model, column by column, and one action. Private to dispatch.
//
// A scorer is a function over all places of an action that says, for each, what going there costs in nano-USD; dispatch
// multiplies by the scorer's weight in the policy and adds up (route/dispatch.h). Columns are padded to a multiple of
// SCORE_LANES with places that cost nothing and are never chosen, so that loops have whole vectors and no tail.
//
// What is not known is filled in once, when the columns are made, with what the model's other places show, else with these:
#ifndef MERIT_ROUTE_SCORE_H
#define MERIT_ROUTE_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "work/image.h"
#include "work/pool.h"

enum {
    SCORE_LANES = 8,
    SCORE_PLACES = POOL_PLACES_PER_MODEL_MAX,
    // Requests that an engine runs side by side: vLLM's default of --max-num-seqs. Grade: cited, 2026-11.
    SCORE_SLOTS = 256,
};
// Seconds per prompt token: 15,928 tokens a second, by which llm-d's prefix-cache-affinity filter reckons. Grade: cited.
#define SCORE_PREFILL_S (1.0F / 15928)
// Seconds per output token. Grade: guessed, 2026-11 (an 8B model on one H100 takes 10 to 30 ms).
#define SCORE_EACH_S 0.02F
// A second of a stream that has begun is worth less than one before it, because it is read meanwhile. Of 0.1, 0.25, 0.5 and 1 the
// one with the least 99th percentiles of time to the first token on fleets A and C of bench/constants. Grade: measured in
// simulation, 2026-11.
#define SCORE_READING 0.25F
// Share of the KV cache in use from which requests wait for blocks. Grade: guessed, 2026-11; llm-d takes 0.8 for saturation.
#define SCORE_KV_FULL 0.9F

struct score_places {
    uint32_t count, lanes;              // places, and columns in use: a multiple of SCORE_LANES
    uint32_t first;                     // place of the view that column 0 is
    int32_t session;                    // column of the session's place, or -1
    bool any_kv, any_lora, any_context; // whether it can make a difference
    uint64_t open;                      // bit per column: may be chosen at all
    float load[SCORE_PLACES];           // requests there, Merit's and others', running or waiting
    float waiting[SCORE_PLACES];        // of them for a slot
    float running[SCORE_PLACES];        // of them in the batch
    float slots[SCORE_PLACES];          // most in the batch
    float wait_tok
        [SCORE_PLACES]; // tokens of prompts that are to be prefilled first, of Merit's own calls
    float calls[SCORE_PLACES];     // of Merit's own there
    float others[SCORE_PLACES];    // requests that wait there beyond Merit's own
    float hit_tok[SCORE_PLACES];   // of this prompt, held by its prefix cache
    float prefill_s[SCORE_PLACES]; // per token
    float drain_s[SCORE_PLACES];   // per token before it in the line; 0: not known
    float each_s[SCORE_PLACES];    // per token
    float first_s[SCORE_PLACES];
    float kv_use[SCORE_PLACES]; // share; 0 where not known
    float kv_tok[SCORE_PLACES],
        kv_share[SCORE_PLACES];    // of the KV cache, and 1 / that; 0 where not known
    float adapter_s[SCORE_PLACES]; // until the adapter is there
    float far_s[SCORE_PLACES];     // on the way to another region and back
    float from_tok[SCORE_PLACES], to_tok[SCORE_PLACES]; // lengths that it serves
    float per_to[SCORE_PLACES], per_from[SCORE_PLACES]; // 1 / to_tok, from_tok (or 1)
    float shut[SCORE_PLACES];                           // 0, or infinite: may not be chosen
    float slot_nusd_s[SCORE_PLACES];
    float weight[SCORE_PLACES]; // of the endpoint, 1 unless stated
    float per_slot[SCORE_PLACES], per_running[SCORE_PLACES],
        per_weight[SCORE_PLACES]; // 1 / slots, running (or 1), weight
};

struct score_ask {
    const struct score_places *places;
    float input_tok, output_tok;
    float most_tok;    // input and the most output that it may give
    float second_nusd; // what a second is worth, times the weight of the scorer that runs
    float weight;      // of the scorer that runs
    float
        reading; // what one behind the first token counts: SCORE_READING of a stream, 1 of a whole answer
    float deadline_s;  // to the first token; 0: none
    float session_tok; // of its prompt that the session's place holds; 0: none
    bool left;         // the session was with another model: every place is another place
    // Seconds, filled by score_queue and score_prefix for those after them.
    float turn_s[SCORE_PLACES], own_s[SCORE_PLACES];
};

// In this order. Each fills places->lanes of `nusd`, its weight included, and adds them to `total`.
void score_queue(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_prefix(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_running(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_kv(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_lora(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_session(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_latency(struct score_ask *ask, float *restrict nusd, float *restrict total);
void score_context(struct score_ask *ask, float *restrict nusd, float *restrict total);

// Seconds until an adapter is there, for the column: 0 when it is loaded. Grade: guessed, 2026-11: a load from host memory
// or disk takes a few hundred ms; without room another adapter has to run out of requests first. The order loaded, room,
// neither is that of llm-d's lora-affinity scorer (1.0, 0.8, 0.6).
#define SCORE_ADAPTER_LOAD_S 0.4F
#define SCORE_ADAPTER_WAIT_S 2.0F
// Seconds to another region and back. Grade: guessed, 2026-11 (Europe and the east of North America are 80 to 100 ms apart).
#define SCORE_FAR_S 0.09F

// The columns do not overlap. Compiled with -fopenmp-simd (CMakeLists.txt).
#define SCORE_SIMD _Pragma("omp simd")

// A multiple of SCORE_LANES, so that the compiler knows.
static inline uint32_t score_lanes(const struct score_places *p)
{
    return p->lanes & ~(uint32_t)(SCORE_LANES - 1);
}

static inline float score_max(float a, float b)
{
    return a > b ? a : b;
}

static inline float score_min(float a, float b)
{
    return a < b ? a : b;
}

#endif
