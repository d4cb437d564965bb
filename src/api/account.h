// The gateway's accounting: what a request may take, what its attempts were allowed, what they took.
//
//   account_begin(r)                  before deciding: the caller's budgets, and what is left of them, for the router
//   account_reserve(r, slot, terms)   before each attempt: its bound in every budget that bears. RESULT_LIMIT: not borne
//   account_settle(r, slot, end)      after it, exactly once, with what the upstream reported
//   account_refuse(r, error)          what the client is told when a budget does not bear it
//
// Without a ledger (shared->ledger NULL) and without budgets in the policy everything is borne; amounts are reckoned all
// the same.
//
// A budget over time bears on a request when its scope is known of it (a caller without a team has no team's budget) and
// its guard holds; a guard that the decision did not need counts as if it held.
//
// A budget per request that is `strict` is held to the same bound as budgets over time, less what the request's earlier attempts
// took or may take; the others are held to by the decision, which reckons with the estimated input (route/fit.h).
//
// The bound of an attempt is what it cannot exceed: one input token per byte of the body (and what pictures can come to),
// at most the model's window, and that where tools run on the upstream's side; output up to the cap that the upstream is told. What an upstream reports beyond that is no
// usage but an error: it is cut to the bound, marked as estimated and counted (`enum account_lie`). So no report can take
// more than was reserved.
//
// Baseline ("frontier by default"): the same tokens at the price of the model of highest declared quality among those that
// could have served the work (without a declared quality: the dearest), for the attempt that answered.
//
// A path that is passed on unread takes what the policy states of it (`at most 0.05 usd`), which is then settled, too, marked
// as estimated; of embeddings, where nothing is generated, the bound is that of the input, and what they took is read from
// the end of the answer. A budget of a unit without such a bound refuses the path when it is hard.
//
// Under `observe` every budget counts and none refuses: what a hard one would have refused is counted as refused.
//
// Runs on the request's loop. Private to api/.
#ifndef MERIT_API_ACCOUNT_H
#define MERIT_API_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/reckon.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "ledger/ledger.h"
#include "path/path.h"
#include "route/after.h"
#include "route/lengths.h"
#include "work/budget.h"
#include "work/decision.h"

enum {
    ACCOUNT_BUDGETS_MAX =
        64, // of a policy that may bear on one caller; LEDGER_BUDGETS_MAX of them do
    ACCOUNT_IMAGE_TOK =
        32768, // most that one picture or sound that is only named can come to (guessed, 2026-11)
    ACCOUNT_HEADER_BYTES = 512,
};

// How a report of usage is wrong.
enum account_lie {
    ACCOUNT_TRUE,
    ACCOUNT_NO_USAGE,   // none was told, though it answered
    ACCOUNT_ABSURD,     // no sane number, or more than was possible
    ACCOUNT_TOO_LITTLE, // fewer tokens than what passed must have
    ACCOUNT_OTHER_MODEL, // the answer names another model than was asked; it is reckoned as the one asked
    ACCOUNT_ERROR_INSIDE, // a success that holds an error
    ACCOUNT_LIES          // METRICS_LIES, too
};
extern const char *const account_lie_names[ACCOUNT_LIES]; // "no_usage", ...

// A budget over time of a policy, made ready once.
struct account_rule {
    int32_t constraint;
    uint64_t
        identity; // of scope, unit, window and guard: the same over edits of the limit and the name
};
struct account_rules {
    const struct account_rule *rules;
    uint32_t count;
    bool strict; // some budget per request is `strict`
};
enum result account_rules_open(const struct policy_image *image, struct arena *arena,
                               struct account_rules *out) MERIT_NODISCARD;

// The account of a rule for a holder whose name no client chose (all, a key, a caller, a team, a tenant).
struct ledger_budget account_budget(const struct policy_image *image,
                                    const struct account_rule *rule, struct slice holder);

// One attempt.
struct account_try {
    struct ledger_ticket ticket;
    struct image_binding binding; // model IMAGE_NONE: Merit's own encoder
    struct slice model;           // its name, for the row
    struct estimate expect;
    struct ledger_amounts bound; // negative: not known
    uint32_t input_most_tok, output_most_tok;
    struct lengths_task task;
    struct lengths_expect length;
    struct price_here here;
    struct reckon_meter meter;
    uint32_t metered_tok; // of output, told to it
    bool input_only;      // nothing is generated: embeddings
    bool reserved;
};

struct account_sum {
    // Negative: some of it is not known.
    int64_t cost_nusd, energy_uj, carbon_ug, baseline_nusd, tok;
};

// Of one request; zero at first.
struct account {
    struct account_try *tries[1 + PATH_COPIES_MAX];
    struct ledger_budget *budgets; // whose scope is known
    uint32_t budget_count, bearing_count;
    uint8_t *bearing; // places in `budgets` of those that bear
    struct budget_view view;
    struct account_sum settled; // of all attempts that are over
    uint64_t input_tok, cached_tok, output_tok;
    uint32_t attempts; // reserved so far
    bool estimated;    // some of it was not counted by the upstream
    uint8_t lies;      // bit per enum account_lie
    bool refused;
    struct ledger_refusal refusal;
};

struct request;

// RESULT_NOMEM.
enum result account_begin(struct request *r) MERIT_NODISCARD;
// The decision is made: which budgets bear. Also without a decision.
void account_decided(struct request *r);
// Sets the output cap in `terms` when a budget that bears needs one and nobody gave any. RESULT_LIMIT: r->account.refusal
// tells; whether another model may be tried instead is account_may_go_on. RESULT_NOMEM.
enum result account_reserve(struct request *r, uint32_t slot,
                            struct after_terms *terms) MERIT_NODISCARD;
bool account_may_go_on(const struct request *r);
// Whether the usage of what is passed on is to be read: of embeddings.
bool account_counts_input(const struct request *r);
// The first byte of its answer has come.
void account_first(struct request *r, uint32_t slot);
// More of its answer has come in a stream: bytes of text so far.
void account_output(struct request *r, uint32_t slot, uint64_t content_bytes);
// The attempt is not made after all.
void account_drop(struct request *r, uint32_t slot);
void account_settle(struct request *r, uint32_t slot, const struct path_attempt_end *end);
MERIT_COLD void account_refuse(struct request *r, struct api_error *error);
// When the decision found nothing because of budgets over time: fills `error`.
MERIT_COLD bool account_spent(struct request *r, struct api_error *error);

// The same for texts that Merit's own encoder reads (POST /v1/embeddings), slot 0: `bytes` of `texts` texts, within
// `most_ms`. RESULT_LIMIT as above. Settled once with the tokens that were read and the CPU time that took; joules are that time at
// ENERGY_CORE_MILLIWATTS, at most what was reserved.
enum result account_reserve_local(struct request *r, struct slice model, uint64_t bytes,
                                  uint32_t texts, uint64_t most_ms) MERIT_NODISCARD;
// No-op when nothing is reserved.
void account_settle_local(struct request *r, enum ledger_end end, uint64_t tok, uint64_t cpu_us,
                          const char *reason);

// The most that one attempt with the model can take of a unit; negative: not known.
int64_t account_bound(const struct request *r, int32_t model, enum image_unit unit);

// What is known of the whole request: settled, and with `usage` what the attempt in `slot` will be settled with.
struct account_sum account_sum(const struct request *r, int32_t slot, const struct usage *usage);
// Cost, joules, grams and what is left of the budgets, as headers.
void account_headers(struct request *r, const struct usage *usage, struct http_header *headers,
                     size_t *n);

#endif
