// Inside of the SMT-LIB writer: what its files share. For proof/smtlib*.c only.
#ifndef MERIT_PROOF_SMTLIB_INNER_H
#define MERIT_PROOF_SMTLIB_INNER_H

#include "proof/smtlib.h"

struct smtlib {
    const struct policy_image *p;
    const struct smtlib_options *options;
    struct buf *out;
    enum result err;
    // Per signal. Signals of one family with equal arguments show one value, declared for the first of them.
    int32_t *first;
    // Per signal that is a `first` of texts or sets: what atoms mention, sorted, `text_at[i]` to `text_at[i + 1]`.
    uint32_t *text_at;
    struct slice *texts;
    uint32_t *effect; // per route: equal for routes that do the same
    bool inexact;
};

// Symbols: |KIND NAME|, with bytes that may not stand between bars escaped.
void smtlib_symbol(struct smtlib *s, const char *kind, struct slice name);
void smtlib_number(struct smtlib *s, double v);

// smtlib.c: what stands before and behind the assertions of a question; `b` may be empty.
void smtlib_ask(struct smtlib *s, const struct smtlib_question *q, struct slice a, struct slice b);
void smtlib_asked(struct smtlib *s);

// smtlib_signal.c
enum result smtlib_signals_open(struct smtlib *s);
void smtlib_signals_close(struct smtlib *s);
// Declarations and definitions of all signals, and of the labels of a request.
void smtlib_signals(struct smtlib *s);
// A guard as a term; the empty list is `true`.
void smtlib_guard(struct smtlib *s, struct image_list guard);

static inline const struct image_signal *smtlib_signal(const struct smtlib *s, int32_t i)
{
    return image_signal(s->p, i);
}

#endif
