// Inside of the SMT-LIB writer: what its files share. For proof/smtlib*.c only.
#ifndef MERIT_PROOF_SMTLIB_INNER_H
#define MERIT_PROOF_SMTLIB_INNER_H

#include "base/arena.h"
#include "proof/smtlib.h"
#include "proof/ways.h"

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
    struct arena arena;
    struct way_list ways;
};

// Symbols: |KIND NAME|, with bytes that may not stand between bars escaped.
void smtlib_symbol(struct smtlib *s, const char *kind, struct slice name);
void smtlib_number(struct smtlib *s, double v);

// smtlib.c: what stands before and behind the assertions of a question; `b` may be empty.
void smtlib_ask(struct smtlib *s, const struct smtlib_question *q, struct slice a, struct slice b);
void smtlib_asked(struct smtlib *s);

// Bytes of a comment: no line ends.
void smtlib_comment(struct smtlib *s, struct slice text);

// smtlib_path.c
struct slice smtlib_way_name(const struct smtlib *s, const struct way *w);
// Constraints, what they leave, and chains.
void smtlib_paths(struct smtlib *s);
void smtlib_ask_paths(struct smtlib *s);
// The request comes this way and the chain is tried; a binding of it may be used.
void smtlib_tried(struct smtlib *s, const struct way *w, uint32_t chain);
void smtlib_used(struct smtlib *s, const struct way *w, uint32_t chain, uint32_t step, uint32_t k);
// Every answer of the chain has passed such a step.
bool smtlib_passes(const struct way_chain *c, enum image_step_kind kind);

enum smtlib_place_kind { SMTLIB_PLACE_ZONE, SMTLIB_PLACE_MODEL, SMTLIB_PLACE_SINK };
// Who sees something: what it does not clear, or (`level`) at least this level of a lattice, or (`any`) anything.
struct smtlib_place {
    enum smtlib_place_kind kind;
    int32_t index;
    int32_t lattice;
    uint32_t level;
    bool any;
};
// A term for each time that the way shows something to the place; counts them.
uint32_t smtlib_touches(struct smtlib *s, const struct way *w, const struct smtlib_place *at,
                        bool write);

// smtlib_claim.c
void smtlib_ask_claims(struct smtlib *s);

// smtlib_signal.c
enum result smtlib_signals_open(struct smtlib *s);
void smtlib_signals_close(struct smtlib *s);
struct slice smtlib_name_of(const struct smtlib *s, int32_t signal);
// `(define-fun |KIND NAME| () SORT `; `sort` NULL: the values declared for its first signal.
void smtlib_begin_define(struct smtlib *s, const char *kind, int32_t i, const char *sort);
// An enum's constants: declared, and one of them.
void smtlib_declare_enum(struct smtlib *s, int32_t i);
void smtlib_word_symbol(struct smtlib *s, int32_t signal, uint32_t word);
// smtlib_derived.c: one derived signal; what it looks at is defined.
void smtlib_define_derived(struct smtlib *s, int32_t i);
// Declarations and definitions of all signals, and of the labels of a request.
void smtlib_signals(struct smtlib *s);
// A guard as a term; the empty list is `true`.
void smtlib_guard(struct smtlib *s, struct image_list guard);

static inline const struct image_signal *smtlib_signal(const struct smtlib *s, int32_t i)
{
    return image_signal(s->p, i);
}

#endif
