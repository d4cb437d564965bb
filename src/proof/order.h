// What the order of a policy's routes makes of them: which can never be taken, and why; which change nothing; which
// overlap; and how much of all requests each takes.
//
//   space_open(&image, 1, &space_limits_default, &s);
//   order_check(s, 0, arena, &report);           what is so
//   order_tell(&report, &telling);               findings of it, with spans, witnesses and remedies
//   order_compare(s, 0, arena, &report);         which routes overlap: last, as it asks much and nothing hangs on it
//   order_tell_notes(&report, &telling);
//
// Every verdict is proved, or says that it is not (ORDER_OPEN): a limit of the space was met. A route is taken when its
// guard holds and no earlier one's does; requests whose signals fail are left out here, as a route that is taken only
// then is of no use.
//
// Pure; results in the arena; one thread per space.
#ifndef MERIT_PROOF_ORDER_H
#define MERIT_PROOF_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/result.h"
#include "policy/policy.h"
#include "proof/space.h"
#include "work/image.h"

enum order_status {
    ORDER_TAKEN,    // some request takes it
    ORDER_VACUOUS,  // its guard never holds
    ORDER_SHADOWED, // it holds, but only where an earlier route's holds
    ORDER_OPEN,     // not proved
};

enum order_effect {
    ORDER_MATTERS,   // without it some request would end otherwise
    ORDER_REDUNDANT, // what it takes would end the same without it
    ORDER_UNKNOWN,   // not proved
    ORDER_NOT_ASKED, // it is never taken, is the last, or an alias names it
};

enum {
    ORDER_SHOWN = 3, // overlapping routes kept for each
    // What the solver may do to compare pairs of routes; what is left then counts as not proved.
    ORDER_PAIRS_MAX = 200000,
    ORDER_PAIR_STEPS_MAX = 20000000,
    // Covering sets are made irreducible up to so many routes, and until so many conflicts were spent on it.
    ORDER_COVER_MAX = 48,
    ORDER_COVER_CONFLICTS_MAX = 10000,
    // What the solver may do to find redundant routes; for what is left it is not proved that they matter.
    ORDER_EFFECT_STEPS_MAX = 40000000,
    ORDER_CHAIN_MAX = 60000,    // formulas made to find redundant routes
    ORDER_CONDITIONS_MAX = 500, // nodes of a guard whose conditions are looked at one by one
};

struct order_route {
    enum order_status status;
    enum order_effect effect;
    struct space_share holds; // of its guard alone
    struct space_share takes; // of what reaches it
    const int32_t
        *cover; // SHADOWED: earlier routes that together take all of it; none can be spared
    uint32_t cover_count;
    bool cover_least; // false: a limit was met while sparing
    const uint32_t
        *contradiction; // VACUOUS: nodes (from the guard's first) that exclude each other
    uint32_t contradiction_count;
    // Earlier routes with another effect that its guard overlaps with: how many, how many are not proved, the first.
    uint32_t overlaps, overlaps_open, shown;
    int32_t overlap[ORDER_SHOWN];
    struct slice overlap_witness; // of the first: both guards hold
    // SHADOWED: its guard holds, an earlier route takes it. REDUNDANT: a request that it takes.
    struct slice witness;
    int32_t taken_by; // SHADOWED: the route that takes the witness
};

// A condition in a guard that never decides: whatever it is, the rest has settled the guard.
struct order_idle {
    int32_t route;
    uint32_t node; // from the guard's first: an atom
    bool always;   // it could be left out as true; else as false
    bool alone;    // it is so by itself, whatever stands beside it
};

struct order_report {
    const struct policy_image *image;
    struct order_route *routes; // one per route of the image, in the arena
    const struct order_idle *idle;
    uint32_t idle_count;
    // Questions of all passes and how many of them were decided.
    uint64_t questions, decided;
    uint64_t route_questions, route_decided; // the part about single routes
    struct sat_effort effort;
};

// RESULT_NOMEM.
enum result order_check(struct space *s, uint32_t image, struct arena *arena,
                        struct order_report *out) MERIT_NODISCARD;
// Adds the overlaps to a report.
enum result order_compare(struct space *s, uint32_t image, struct arena *arena,
                          struct order_report *report) MERIT_NODISCARD;

struct order_telling {
    const struct policy_places *places; // NULL: findings have no spans
    struct diag_list *diags;
    // Adds a finding about the route `name`; NULL: diag_add as it is. For who turns errors that are assumed into notes.
    struct diag *(*finding)(void *ctx, enum diag_severity severity, const char *code,
                            struct slice name, struct span span, const char *text);
    void *ctx;
};

// Errors `vacuous`, `shadowed`, `not-proved`; warnings `redundant`, `idle-condition`, and one `not-proved` for all routes
// of which it is open whether they are redundant.
void order_tell(const struct order_report *r, const struct order_telling *t);
// Notes `overlap` and `share`.
void order_tell_notes(const struct order_report *r, const struct order_telling *t);

#endif
