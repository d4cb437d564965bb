// The whole check of a compiled policy: what order, constraints and paths together can do, for every request there is.
//
// Findings go to the list of diagnostics, each with its span, a request that shows it (signal values as JSON, for `merit
// route --given`) and a remedy; errors stop a load. Codes of this check (those of rules and their order are in
// proof/order.h):
//
//   flow           a request reaches a place that does not clear its label
//   on-error       a label's `on_error` is lower than the top, and a request whose labeller failed may leak
//   obligation     an answer would be delivered that has not passed a step that is required
//   infeasible     constraints leave a request nothing of the route that it takes
//   not-allowed    a path escalates, fuses or hedges and no `allow` covers it
//   bound          a hard budget covers an action that nothing bounds
//   theorem        a `prove` of the policy does not hold
//   unserved       a path that can be reached needs what this build's server cannot do (with `serving` only)
//   unenforced     more budgets than this build's server keeps for one request (with `serving` only)
//   not-proved     a limit was met: the finding says where
//   dead-chain, unused-allow, unused-sink, unused-assume, vacuous, redundant   warnings: nothing comes of it
//   no-effect      note, with `notes` only: a constraint, or a signal, that changes nothing
//   trusted        note: what the proof takes on trust
//
// `assume CODE NAME "why"` turns the errors not-proved, infeasible, unenforced (and shadowed) about NAME, or about
// anything when it names nothing, into notes that repeat the reason.
//
// Limits count steps, bytes and questions, never time: the same policy has the same findings everywhere. Pure; memory
// from the arena and from base/alloc.h, given back before it returns; one thread per call.
#ifndef MERIT_PROOF_CHECK_H
#define MERIT_PROOF_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/result.h"
#include "policy/policy.h"
#include "proof/order.h"
#include "proof/sat.h"
#include "proof/ways.h"
#include "route/route.h"
#include "work/image.h"
#include "work/signal.h"

// Of what is checked and how: a compiled policy kept in a cache was proved by this version, or is proved again.
enum { PROOF_VERSION = 3 };

struct proof_options {
    const struct policy_places *places; // NULL: findings have no spans
    const struct signal_registry
        *registry;                   // NULL: no signal is known to send text to a sink `embedding`
    const struct route_costs *costs; // NULL: no signal costs are reported
    const struct sat_limits *limits; // NULL: space_limits_default
    bool serving;                    // also what this build's server cannot run
    bool report;                     // shares, bounds and costs of routes are wanted
    bool notes; // what overlaps and what is left to `otherwise` are told, too (proof/order.h)
};

struct proof_route {
    double share, share_error; // of all requests; see struct space_share
    bool share_exact;
    struct way_bound
        bound; // of the whole way, by what is feasible for some request and what budgets keep
    int32_t kept_by[WAY_UNITS]; // the hard budget per request that is the bound, or IMAGE_NONE
    uint64_t longest;           // steps of its longest walk
    double signals_ns; // expected cost of the signals until it is decided, when it is this route
    uint64_t signals_worst_ns;
};

struct proof_report {
    struct order_report order;        // in the arena, too
    const struct proof_route *routes; // one per route; NULL when not asked for
    struct sat_effort effort;
    uint32_t places;     // places that data can reach, by all ways
    uint32_t not_proved; // findings of that code, assumed ones included
    uint32_t assumed;    // findings that an `assume` made notes
    uint32_t trusted;    // redactions that are taken on trust
};

// RESULT_OK also when there are findings: `diags->errors` tells. RESULT_NOMEM.
enum result proof_check(const struct policy_image *image, const struct proof_options *options,
                        struct arena *arena, struct diag_list *diags,
                        struct proof_report *report) MERIT_NODISCARD;

// "0.25 usd", "2 kJ", "30 s", ...; "no bound: `x` states no price".
void proof_write_amount(const struct policy_image *image, enum image_unit unit,
                        const struct way_amount *amount, struct buf *out);
// The table of routes for people, and the same as a JSON array.
void proof_write_routes(const struct policy_image *image, const struct proof_report *report,
                        struct buf *out);
void proof_write_routes_json(const struct policy_image *image, const struct proof_report *report,
                             struct buf *out);
// One line: what holds of every request under a policy that was proved, and what that does not cover.
void proof_write_guarantee(const struct policy_image *image, struct buf *out);

#endif
