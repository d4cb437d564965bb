// What the learned families share: heads that answer from characters and words when that suffices, and ask the encoder when
// it does not.
//
// A head belongs to the plan, whoever names it first opens it; its answer about the anchored text is computed once per run,
// however many definitions read it. Where no encoder is at hand, or it has no time or no room, the first tier's answer stands
// with its own (lower) probability; a head without a first tier fails then.
#ifndef MERIT_SIGNAL_LEARNED_H
#define MERIT_SIGNAL_LEARNED_H

#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/head.h"
#include "nn/language.h"
#include "signal/artifacts.h"
#include "work/signal.h"

// Heads that the program brings (models/heads); empty when this build has none of that name.
struct slice learned_built_in(struct slice name);

enum {
    LEARNED_HEADS_MAX = 64,
    LEARNED_BY_BYTES = 96,
    // Reading everything, a text is cut into pieces of this many bytes for the first tier, overlapping by an eighth.
    LEARNED_PIECE_BYTES = 1024,
};

// One head of a plan.
struct learned {
    struct head *head;
    struct slice file;                // where it was opened from: its identity
    struct slice by_first, by_second; // for fact.by
    bool fits;                        // its second tier is of the service's encoder
    double error;                     // see learned_error
    uint32_t index;
};

// All of a plan.
struct learned_set {
    struct learned heads[LEARNED_HEADS_MAX];
    uint32_t count;
    struct language_model *language;
};
void learned_set_close(struct learned_set *s);

// The head of that name, built in or (where `load->trunk` has it) a file; opened once per plan. RESULT_NOT_FOUND,
// RESULT_VERSION (a head for another encoder), RESULT_SYNTAX, RESULT_LIMIT, RESULT_NOMEM.
enum result learned_open(const struct signal_load *load, struct slice name, struct arena *arena,
                         const struct learned **out) MERIT_NODISCARD;

// The mean distance between the probabilities that it tells and how often they were right, as measured when it was trained
// (cross-validated; of its second tier where it has one); 0 where its file does not say.
static inline double learned_error(const struct learned *l)
{
    return l->error;
}

// What a head says of one text or of all pieces of it.
struct learned_answer {
    const float *p;  // [labels]; of the piece that has most of `worst` where everything was read
    struct slice by; // for fact.by
    bool second;     // the encoder was asked
    // The piece that p speaks of, when everything was read and there is more than one.
    struct evidence piece;
    uint32_t view; // of the views, in which it lies
    bool has_piece;
};

// About the anchored text, by its topic. RESULT_AGAIN as signal_family.compute; RESULT_NOT_FOUND when the head needs an
// encoder and there is none; the trunk's result when it failed and there is no first tier. `has_text` false: nothing is
// there to be read, and `out` is empty.
enum result learned_topic(struct signal_context *ctx, const struct learned *l,
                          struct learned_answer *out, bool *has_text) MERIT_NODISCARD;
// About everything in `views`, which live as long as the run: the piece that is most likely `worst` (a label's index).
enum result learned_worst(struct signal_context *ctx, const struct learned *l, uint32_t worst,
                          const struct text_views *views,
                          struct learned_answer *out) MERIT_NODISCARD;

#endif
