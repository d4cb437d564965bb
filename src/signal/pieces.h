// Pieces: short runs of characters of which a text must hold one for a phrase to be found in it.
//
// They are looked for in the folded words of the text (text_fold_fast in signal/artifacts.h), all
// of a set in one pass. When none occurs the phrase's value is known, and the text need not be
// split into words.
#ifndef MERIT_SIGNAL_PIECES_H
#define MERIT_SIGNAL_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    PIECES_MAX = 128, // of a set
    PIECES_BUCKETS = 8,
    PIECES_SIEVED = 4, // characters of a piece that the sieve looks at
};

struct piece {
    struct slice text;
    uint32_t sieved; // where in it the sieve's characters are
};

// Immutable once prepared.
struct piece_set {
    struct piece *pieces; // bucket by bucket
    uint32_t count;
    uint32_t first[PIECES_BUCKETS + 1]; // of each bucket
    // In which buckets a piece has this character (of 32 classes) at its place.
    uint8_t bucket[PIECES_SIEVED][32];
};

// `texts` must outlive the set: at most PIECES_MAX, of ASCII, folded, not empty. RESULT_NOMEM.
enum result pieces_prepare(const struct slice *texts, uint32_t count, struct arena *arena,
                           struct piece_set *out) MERIT_NODISCARD;
// Whether one of them occurs in what text_fold_fast gave; true as well where that does not exist.
bool pieces_occur(const struct piece_set *set, struct slice folded);

// How rare a folded character is in English, in tenths of a bit: what makes a good piece.
uint32_t pieces_rarity(char c);

#endif
