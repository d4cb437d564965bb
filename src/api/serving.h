// What is served: one policy, compiled and made ready, shared by all loops until the next one replaces it.
//
// Opened by the control thread at start and at each reload; immutable but for its reference count and what is measured. A loop holds one
// reference while it is current there or a request of it is under way (api/gateway.c).
#ifndef MERIT_API_SERVING_H
#define MERIT_API_SERVING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/account.h"
#include "api/affinity.h"
#include "api/decider.h"
#include "api/measured.h"
#include "api/metrics.h"
#include "base/arena.h"
#include "base/diag.h"
#include "net/tls.h"
#include "pool/pool.h"
#include "work/image.h"

struct serving {
    _Atomic uint32_t refs;
    struct arena arena;
    void *mapping; // of the cache file, or NULL
    size_t mapping_bytes;
    struct decider decider;
    const struct policy_image *image; // the decider's
    struct measured *measured;        // NULL: nothing is
    struct pool pool;
    struct affinity *affinity;          // where prompts and sessions are warm; NULL without loops
    struct tls_context *client_tls;     // for https endpoints; NULL when there is none
    uint8_t digest[IMAGE_DIGEST_BYTES]; // of the policy's text
    struct slice digest_hex;
    struct slice models_json;                                 // the answer of GET /v1/models
    const uint16_t *route_slots, *model_slots, *signal_slots; // of the metrics
    const uint16_t *budget_slots;                             // by constraint
    struct account_rules rules;                               // budgets over time
    int32_t observe_model;                                    // IMAGE_NONE: decisions are obeyed
    bool reads_headers;                                       // a signal does
    bool from_cache;
    struct serving *retired; // list of whoever takes it apart (cli/loading.h)
};

struct serving_options {
    uint16_t demo_port;    // 0: no demo pool
    const char *cache_dir; // NULL: no cache
    struct slice observe;  // a model's name; empty: off
    struct metrics_names *names;
    uint32_t loops;                    // that will measure signals; 0: none does
    const struct trunk_service *trunk; // NULL: no encoder; outlives every policy
    const struct price_list *prices;   // NULL: the built-in one; need not outlive the call
    // The client side of TLS, opened by the first policy that has an https endpoint and then kept by the caller, so
    // that sessions are reused over reloads and nobody without TLS pays for it. `roots` NULL: the system's.
    struct tls_context **client_tls;
    const char *roots;
};

// Parses, checks, compiles (or maps the compiled form from the cache, written there when it was not) and makes ready.
// `text` need not outlive the call. What the policy's writer must know goes to `diags`, whose spans
// are of `text`; other trouble is a sentence in `why`. RESULT_SYNTAX, RESULT_LIMIT,
// RESULT_NOT_FOUND (observe model), RESULT_NOMEM, ...
enum result serving_open(struct serving **out, struct slice text,
                         const struct serving_options *options, struct diag_list *diags,
                         struct buf *why) MERIT_NODISCARD;
void serving_ref(struct serving *s);
void serving_unref(struct serving *s);

// The answer of GET /v1/models/{id} for one model or alias, appended; false when there is none of that name.
bool serving_model_json(const struct serving *s, struct slice id, struct buf *out);

#endif
