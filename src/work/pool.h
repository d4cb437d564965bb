// The state of the pool that a decision may look at: an immutable epoch, seen by one decision.
//
// A *place* is one concrete address that serves one model: what an endpoint of the policy is at run time, or one of several
// that it was discovered to be. A loop fills the rows for a decision from the telemetry epoch that the control side publishes
// (pool/telemetry.h) and from the counts that all loops keep of their own calls (pool/pool.h). What is not known is
// negative, never zero; what was scraped too long ago is `stale`, and then queue, running and kv_use are not to be used.
#ifndef MERIT_WORK_POOL_H
#define MERIT_WORK_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum pool_model_state { POOL_MODEL_UP, POOL_MODEL_DOWN, POOL_MODEL_NO_KEY };

enum {
    POOL_PLACES_MAX = 1024,        // in all
    POOL_PLACES_PER_MODEL_MAX = 64 // so that a set of one model's places is a word
};

enum pool_place_state {
    POOL_PLACE_UP,
    POOL_PLACE_TRYING,   // half open: one call is out to see
    POOL_PLACE_OUT,      // ejected
    POOL_PLACE_LIMITED,  // it asked to be left alone (429 with Retry-After), or its rate is used up
    POOL_PLACE_DRAINING, // `merit pool drain`, maintenance: no new session, and what runs ends
    POOL_PLACE_GONE,     // removed; the row stays until nothing runs there
    POOL_PLACE_STANDBY // in service, and asked only when those before it are not (a service record's priority)
};

struct pool_place {
    int32_t endpoint; // of the image: its attributes and what constraints say of it
    int32_t model;
    uint8_t state;          // enum pool_place_state
    bool stale;             // nothing scraped, or too long ago
    bool lora_loaded;       // the model is an adapter and it is loaded there
    bool lora_room;         // ... or there is room for it
    bool carbon_stale;      // carbon_g_kwh is the zone's figure, because its feed tells nothing now
    uint32_t in_flight;     // Merit's own calls there, of all loops
    uint32_t in_flight_tok; // tokens that those have to prefill and are expected to generate
    uint32_t
        wait_tok; // of those, what the calls without a first byte have to prefill, prefix hits left out
    uint32_t slots; // most requests at once that it runs side by side; 0: not known
    float queue,
        running; // as scraped, and corrected by what Merit has begun and seen end since; < 0: not known
    float kv_use;        // share of the KV cache in use; < 0: not known
    uint32_t kv_tok;     // tokens that its KV cache holds; 0: not known
    float prefill_tok_s; // speed of prefill, learned; < 0: not known
    float first_ms;      // time to first token beyond queue and prefill, learned; < 0: not known
    float each_ms;       // time per output token at the load it has, learned; < 0: not known
    float carbon_g_kwh;  // of its zone now; < 0: not known
    uint32_t prefix_tok; // of this request's prompt that its prefix cache is believed to hold
    float weight;        // as the policy says, 1 unless stated
    float slot_nusd_s; // shadow price of a slot there for a second (pool/duals.h); 0: there is room
    // Prompt tokens per second that its line moves by, others' included (pool/drain.h); <= 0: no line, or not known.
    float drain_tok_s;
};

struct pool_view {
    uint64_t epoch;
    const uint8_t *states; // enum pool_model_state, one per model of the image. NULL: all are up
    uint32_t count;        // of models
    // The places of model m are `places[first[m]]` to before `places[end[m]]`; between end[m] and first[m + 1] is room for
    // more. A place keeps its number as long as the policy is served. NULL: nothing is known of places, and a decision names
    // none.
    const struct pool_place *places;
    const uint32_t *first; // count + 1
    const uint32_t *end;   // count; NULL: first[m + 1]
    int32_t session_place; // where the session of this request was last, or -1
    int32_t session_model; // and with what model, or -1
    bool session_locked;   // a call of a tool is outstanding: the model stays
    uint32_t session_tok;  // tokens of its prompt that the place holds
    uint32_t deadline_ms;  // to the first token, as the caller or policy says; 0: none
    // Of this request's prompt, per place by its number, what its prefix cache is believed to hold; NULL: as the rows say.
    const uint32_t *prefix_tok;
    uint64_t seed;       // for what is drawn (power of two, near ties)
    uint64_t turn;       // grows by one with each request of the loop, for taking turns
    struct slice region; // where the request comes from; empty: not known
};

#endif
