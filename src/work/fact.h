// What is known of one signal for one piece of work.
#ifndef MERIT_WORK_FACT_H
#define MERIT_WORK_FACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum signal_type {
    SIGNAL_BOOL,   // number is 0 or 1
    SIGNAL_NUMBER, // number
    SIGNAL_ENUM,   // number is the index of a word that the family declares
    SIGNAL_TEXT,   // text
    SIGNAL_SET,    // texts: membership is what a policy asks
};

// Where in the work a value was seen: bytes of the decoded text of a part. Its text is shown only where the sink may
// see it; the record keeps the place.
struct evidence {
    uint32_t message, part, offset, length;
    uint32_t argument; // which argument of the signal's definition it speaks for
};

enum { FACT_EVIDENCE_MAX = 4 };

enum fact_state {
    FACT_UNKNOWN, // not asked
    FACT_KNOWN,   // computed
    FACT_GIVEN,   // set by a test, a witness or `merit route --given`
    FACT_FAILED,  // could not be computed; the value is the definition's on_error
};

enum fact_error {
    FACT_ERROR_NONE,
    FACT_ERROR_LIMIT,
    FACT_ERROR_NOMEM,
    FACT_ERROR_INPUT,
    FACT_ERROR_DEADLINE
};

struct fact {
    enum fact_state state;
    enum fact_error error;
    double number;
    struct slice text;
    const struct slice *texts;
    uint32_t text_count;
    float probability; // of the value being right, 1 for what is counted rather than guessed
    uint32_t cost_ns;  // what computing it took, its share of shared artifacts included
    struct evidence evidence[FACT_EVIDENCE_MAX];
    uint32_t evidence_count; // kept
    uint32_t evidence_total; // seen
};

#endif
