// Small changes of a policy's text, to see whether its tests notice: a condition turned round, a comparison that takes its
// bound in or out, a threshold one step up or down, a constraint left out, two neighbouring routes exchanged.
//
// Made from the syntax tree: guards of routes and constraints, terms and thresholds of signals; never of `test` and
// `prove`, which judge. A step is one of the last digit that is written: 0.65 becomes 0.64 and 0.66, 8k becomes 7k and 9k.
//
// Pure; memory from the arena.
#ifndef MERIT_PROOF_MUTANT_H
#define MERIT_PROOF_MUTANT_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/result.h"
#include "policy/tree.h"

enum { MUTANTS_MAX = 5000 };

enum mutant_kind { MUTANT_FLIP, MUTANT_BOUND, MUTANT_STEP, MUTANT_DROP, MUTANT_SWAP };

struct mutant {
    enum mutant_kind kind;
    struct span at;       // what is replaced
    struct slice with;    // by this
    uint32_t line;        // where it stands
    struct slice was, is; // for people, on one line: "hard > 0.6", "hard >= 0.6"
    bool signals;         // a signal's definition changes: values that were computed may be others
};

struct mutant_list {
    const struct mutant *at;
    uint32_t count;
    uint32_t dropped; // beyond MUTANTS_MAX
};

// RESULT_NOMEM.
enum result mutants_make(const struct tree *tree, struct arena *arena,
                         struct mutant_list *out) MERIT_NODISCARD;
// The text of the policy with the change.
void mutant_apply(struct slice source, const struct mutant *m, struct buf *out);
// "turned round", "the bound", ...
const char *mutant_kind_name(enum mutant_kind k);

#endif
