// How like the words of a text are to given phrases: BM25, character n-grams and edit distance, for
// keywords(...).
//
// Each is prepared once per policy and then immutable. All work on words folded by
// signal/artifacts.h.
#ifndef MERIT_SIGNAL_SIMILAR_H
#define MERIT_SIGNAL_SIMILAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"
#include "signal/artifacts.h"

enum {
    SIMILAR_PHRASES_MAX = 256,     // documents of BM25
    SIMILAR_PHRASE_CHARS_MAX = 64, // characters of an n-gram or fuzzy phrase
    SIMILAR_COMPARED_MAX = 64,     // n-gram or fuzzy phrases
    SIMILAR_ARITY_MIN = 2,
    SIMILAR_ARITY_MAX = 6,
    SIMILAR_DISTANCE_MAX = 3,
};

// Where a phrase was found: a run of words.
struct similar_place {
    uint32_t first_word, words;
    bool found;
};

// BM25 (Robertson and Zaragoza, 2009) with k1 1.2 and b 0.75: every phrase is a document, the text
// is the query.
//   score(d) = sum over distinct query terms t in d of
//                  idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len / avg))
//   idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5)),  N documents, n of them with t
// A term is a folded word after similar_stem, unless it is one of few English stop words.
struct bm25;
enum result bm25_prepare(const struct slice *documents, uint32_t count, struct arena *arena,
                         struct bm25 **out);
// One score per document; the place is the first word of the text that the document has.
enum result bm25_scores(const struct bm25 *b, const struct text_words *words, struct arena *arena,
                        double *scores, struct similar_place *places);
// Pieces (signal/pieces.h) of which a text of ASCII holds at least one when a score is above 0.
// False when there are more than `max`, or without memory.
bool bm25_pieces(const struct bm25 *b, struct arena *arena, struct slice *out, uint32_t max,
                 uint32_t *count);

// Light English stemming in place of a folded ASCII word of more than three letters (other words
// stay); returns the new length. In this order: "ies" -> "y" in more than four letters; else "es"
// -> "e" unless after a, e, o; else "s" dropped unless after u or s. Then "ing" or "ed" dropped
// when three letters with a vowel stay, and with it one of a doubled last consonant (not l, s, z).
// Then a last "e" dropped when three letters stay.
size_t similar_stem(char *word, size_t len);

// Jaccard likeness of character n-gram multisets, shared / (all of both - shared), over the phrase
// and each run of as many words of the text, both joined by single spaces and padded with arity - 1
// blanks at either end.
struct ngram;
enum result ngram_prepare(struct slice phrase, uint32_t arity, struct arena *arena,
                          struct ngram **out);
// The greatest likeness, 0 to 1, and its place, when it is above `floor`; else 0 and no place. A
// floor makes it many times faster, since most texts are nowhere near it.
double ngram_best(const struct ngram *g, const struct text_words *words, double floor,
                  struct arena *arena, struct similar_place *place);
// Whether a text may have a likeness above `floor`, from what text_fold_fast gives; false is
// certain.
bool ngram_possible(const struct ngram *g, struct slice folded, double floor);

// Optimal string alignment distance (Damerau-Levenshtein in which no part is edited twice: insert,
// delete, replace, swap neighbours, each 1), in characters, between the phrase and each run of as
// many words. At most `distance`, and at most one edit per four characters of the phrase, so that
// short phrases must match as they are.
struct fuzzy;
enum result fuzzy_prepare(struct slice phrase, uint32_t distance, struct arena *arena,
                          struct fuzzy **out);
// The first run of words that is near enough.
bool fuzzy_find(const struct fuzzy *f, const struct text_words *words, struct similar_place *place);
// Pieces (signal/pieces.h) of which a text holds at least one when a run of its words is near
// enough. 0 when they would be so short that most texts hold them, or without memory.
uint32_t fuzzy_pieces(const struct fuzzy *f, struct arena *arena,
                      struct slice out[SIMILAR_DISTANCE_MAX + 1]);
// For tests: the distance when it is at most `limit`, else limit + 1. Texts of at most 64 code
// points.
uint32_t fuzzy_distance(const uint32_t *a, uint32_t a_len, const uint32_t *b, uint32_t b_len,
                        uint32_t limit);

#endif
