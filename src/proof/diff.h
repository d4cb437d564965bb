// What changes from one policy to another, for every request there is.
//
// Both are looked at in one space of requests (proof/space.h): signals of one family with equal arguments are one value in
// both, whatever they are called; where a definition changed, the two are told apart and each may have any value.
//
//   what is allowed   models, efforts, sinks and labels that a request may reach, and answers that have not been verified,
//                     retrieved for, redacted: the new policy is equal, stricter, looser or neither
//                     (budgets per request are compared; those over time only by what is written)
//   what is done      which route takes a request, and what that route does: the share of requests that moves from which
//                     route to which, with a request for each; a share of zero is proved or said to be open
//   what is written   signals, constraints, models with their prices, zones, sinks, bounds of routes
//
// Requests whose signals fail are counted in what is allowed, and left out of what is done.
//
// Pure and deterministic; the report lives in the arena. One thread per call.
#ifndef MERIT_PROOF_DIFF_H
#define MERIT_PROOF_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "proof/space.h"
#include "work/image.h"

enum diff_relation {
    DIFF_EQUAL,
    DIFF_STRICTER,     // the new one allows less
    DIFF_LOOSER,       // it allows more
    DIFF_INCOMPARABLE, // both
    DIFF_OPEN,         // a limit: not proved
};

// Something that one of the two allows and the other does not.
struct diff_power {
    bool gained;          // by the new policy; else lost
    struct slice text;    // "frontier high may answer", "kb sees phi"
    struct slice witness; // in the signals of the policy that allows it
};

struct diff_move {
    int32_t from, to;    // routes of the old and the new policy
    double share, error; // of all requests without failures; error: half a 95 % interval
    bool exact;
    struct slice witness_old, witness_new; // one request in the signals of each
};

enum diff_sign { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED };
struct diff_line {
    enum diff_sign sign;
    const char *section; // "signals", "constraints", "models", "zones", "dispatch", "sinks", ...
    struct slice text;
};

// What becomes of given requests; for whoever has some to fill in (the report has none of its own).
struct diff_traffic {
    int32_t from, to;      // routes; IMAGE_NONE: by name, or none
    uint32_t lines, first; // how many, and the line of the first
};
struct diff_corpus {
    uint32_t lines, moved;
    const struct diff_traffic *moves; // the most lines first
    uint32_t move_count;
};

struct diff_report {
    const struct policy_image *old, *new;
    enum diff_relation allows;
    const struct diff_power *powers;  // one for each thing, at most DIFF_POWERS_MAX
    uint32_t power_count, power_more; // told, and how many more
    bool same;                        // every request gets the same, proved
    const struct diff_move *moves;    // the greatest share first
    uint32_t move_count;
    double moved, moved_error; // share of requests whose route or what it does changes
    bool moved_exact;
    uint32_t open;  // questions that met a limit
    bool unrelated; // definitions of signals changed: shares treat them as independent
    const struct diff_line *lines;
    uint32_t line_count;
    const struct diff_corpus *corpus; // NULL: none; the caller's
};

enum { DIFF_POWERS_MAX = 50 };

// RESULT_NOMEM; RESULT_LIMIT (the space is too large). `limits` NULL: the default.
enum result diff_policies(const struct policy_image *old, const struct policy_image *new,
                          const struct sat_limits *limits, struct arena *arena,
                          struct diff_report *out) MERIT_NODISCARD;

// Whether some request gets something else from the two: another effect, or other models that may be asked. SAT_YES with a
// witness in the signals of each. For policies that differ little, such as one with a condition turned round.
enum sat_answer diff_differs(const struct policy_image *old, const struct policy_image *new,
                             const struct sat_limits *limits, struct arena *arena,
                             struct slice *witness_old, struct slice *witness_new);

const char *diff_relation_name(enum diff_relation r);
// For a pull request; for a terminal; one JSON object.
void diff_markdown(const struct diff_report *r, struct slice old_name, struct slice new_name,
                   struct buf *out);
void diff_text(const struct diff_report *r, struct buf *out);
void diff_json(const struct diff_report *r, struct buf *out);

#endif
