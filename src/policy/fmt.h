// The one layout of a policy.
//
// Line breaks and comments stay where their author put them; spaces do not. Statements begin in the
// first column. A line that continues one is indented to what stands behind the parenthesis it is
// in, else to the column of the first clause, else by four spaces. At most one blank line stands
// between statements; two spaces part the clauses of models, sinks, tests and signals, but before
// `above` and `below` there is one. In a run of neighbouring statements of one kind (no blank line,
// no comment line between) `=`, `->`, `when` and the first clause stand below each other, where that
// costs at most FMT_COLUMN_MAX columns. Formatting twice changes nothing more, and the tree stays
// the same (tree_equal). Pure.
#ifndef MERIT_POLICY_FMT_H
#define MERIT_POLICY_FMT_H

#include "base/buf.h"
#include "base/result.h"
#include "policy/tree.h"

enum { FMT_COLUMN_MAX = 72 };

// Appends the formatted text. RESULT_SYNTAX when a statement of the tree did not parse: nothing is written then.
// RESULT_LIMIT (the cap of `out`), RESULT_NOMEM.
enum result fmt_policy(const struct tree *t, struct buf *out) MERIT_NODISCARD;

#endif
