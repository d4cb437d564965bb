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
    FACT_ERROR_DEADLINE,
    FACT_ERROR_MODEL, // the model that it needs is not here
    FACT_ERROR_GIVEN, // a test, a witness or `merit route --given` says so
};

// What computing it had to do with the artifact that it shares with others: a pattern scan, an encoder's pass.
enum fact_share {
    FACT_SHARE_NONE, // it shares none, or could do without (a first tier was sure)
    FACT_SHARE_USED, // the artifact was there
    FACT_SHARE_MADE, // it was made for this one, which paid for it
};

struct fact {
    enum fact_state state;
    enum fact_error error;
    double number;
    struct slice text;
    const struct slice *texts;
    uint32_t text_count;
    float probability; // of the value being right, 1 for what is counted rather than guessed
    // Which purchase brought it, from 1; those of one number were started together. 0: it was given, or never asked for.
    uint16_t step;
    enum fact_share share;
    uint32_t cost_ns; // what computing it took, its share of shared artifacts included
    struct evidence evidence[FACT_EVIDENCE_MAX];
    uint32_t evidence_count; // kept
    uint32_t evidence_total; // seen
    struct slice
        by; // what computed it, for learned signals: head and model with their versions, as
            // "domain 3f2a91c0 on all-minilm-l6-v2 53aa5117"; lives as long as the plan
};

#endif
