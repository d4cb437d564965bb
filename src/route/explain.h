// A decision for people: the answer first, then the signals, then why not anything else.
#ifndef MERIT_ROUTE_EXPLAIN_H
#define MERIT_ROUTE_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "work/decision.h"
#include "work/work.h"

struct explain_options {
    const struct work *work; // for excerpts of the evidence; NULL: places only
    bool colour;             // ANSI colours
    uint32_t width;          // columns; 0 means 100
};

// Plain ASCII but for names and excerpts, several lines, newline at the end. Control characters in excerpts are shown
// as spaces.
void explain_text(const struct decision *d, const struct explain_options *options, struct buf *out);

// One sentence: why the decision gave no model, or which constraint of which model failed. For error messages; it
// names models, no text of the request.
void explain_infeasible(const struct decision *d, struct buf *out);

// A constraint's name in quotes, and which answers make it hold: "phi stays home" because data == phi.
void explain_constraint(const struct decision *d, int32_t constraint, struct buf *out);

// nano-USD as dollars: 1234567 -> "0.001234567"; "unknown" when negative.
void explain_usd(int64_t nusd, struct buf *out);

#endif
