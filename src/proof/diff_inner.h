// Inside of the comparison: what its files share. For proof/diff*.c only.
#ifndef MERIT_PROOF_DIFF_INNER_H
#define MERIT_PROOF_DIFF_INNER_H

#include "base/alloc.h"
#include "base/vec.h"
#include "proof/diff.h"
#include "proof/theorem_inner.h"

enum { OLD, NEW };

struct diff_side {
    const struct policy_image *image;
    struct theorem_prover prover; // over the common space
    uint32_t *effect;             // per route: equal texts have one number on both sides
};

struct diff {
    struct space *space;
    struct arena *arena;
    struct diff_side side[2];
    uint32_t effects;
    VEC(struct diff_power) powers;
    VEC(struct diff_move) moves;
    VEC(struct diff_line) lines;
    uint32_t more, open;
    bool gained, lost, open_powers;
    enum result err;
};

// Texts are kept in the arena; empty and an error without memory.
struct slice diff_keep(struct diff *d, const struct buf *text);
uint32_t diff_or2(struct diff *d, uint32_t a, uint32_t b);
uint32_t diff_and2(struct diff *d, uint32_t a, uint32_t b);
struct slice diff_witness(struct diff *d, uint32_t side, const uint32_t *claims, uint32_t count);

// diff_allow.c: whether constraint `i` of a side is a hard budget per request that some way could exceed.
bool diff_budget(const struct diff *d, unsigned side, uint32_t i, enum image_unit *unit,
                 int64_t *limit);
// What one allows and the other does not.
void diff_allows(struct diff *d);
// diff_move.c: which route takes what.
void diff_moves(struct diff *d, struct diff_report *out);
// The requests that get something else.
uint32_t diff_others(struct diff *d);
// diff_line.c: what is written.
void diff_lines(struct diff *d);

#endif
