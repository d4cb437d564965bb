// What several signals share about one piece of work, computed by the first that asks.
//
// All of it lives in the arena of the run. The families reach it through signal_context.artifacts;
// the plan makes one per run. The functions give RESULT_LIMIT when the anchored text is longer than
// what is looked at *and* the answer was computed on its head: `cut` tells, and each family decides
// whether its value can still change. RESULT_UTF8 when a text is not UTF-8 (a dialect's bug),
// RESULT_NOMEM.
#ifndef MERIT_SIGNAL_ARTIFACTS_H
#define MERIT_SIGNAL_ARTIFACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/head.h"
#include "text/pattern.h"
#include "work/signal.h"
#include "work/trunk.h"

enum {
    SIGNAL_TEXT_MAX = 1024 * 1024, // bytes of anchored text that are looked at
    SIGNAL_VIEWS_MAX = 256,        // text parts of the anchor that are looked at
    SIGNAL_WORDS_MAX = 16384,      // words of it, for the signals that compare words
    SIGNAL_WORD_CHARS_MAX = 64,    // longer words are no words to those signals
};

// One text part of the anchor message, without volatile suffixes.
struct text_view {
    struct slice text;
    uint32_t message, part;
};

struct text_views {
    struct text_view *at;
    uint32_t count;
    bool cut; // there is more text than is looked at
};

// Counts of the anchored text; signal/structure.c says what each counts.
struct text_stats {
    uint32_t words, chars, questions, numbers, list_items, ordered_steps, code_blocks, links;
};

// A word: a run of letters and digits, or one CJK character; folded by simple case folding.
struct text_word {
    uint32_t begin;  // byte of the view's text
    uint32_t folded; // offset in `folded` of text_words
    // One word in one store: len, folded_len, chars and view of 16 bits each, from the lowest.
    uint64_t rest;
};

// Bytes of the text, at most UINT16_MAX are told.
static inline uint32_t word_len(const struct text_word *w)
{
    return w->rest & UINT16_MAX;
}

// Bytes of the folded form; 0 for a word over SIGNAL_WORD_CHARS_MAX.
static inline uint32_t word_folded_len(const struct text_word *w)
{
    return w->rest >> 16 & UINT16_MAX;
}

// Characters; UINT16_MAX for a word over SIGNAL_WORD_CHARS_MAX.
static inline uint32_t word_chars(const struct text_word *w)
{
    return w->rest >> 32 & UINT16_MAX;
}

static inline uint32_t word_view(const struct text_word *w)
{
    return (uint32_t)(w->rest >> 48);
}

struct text_words {
    const struct text_word *at;
    uint32_t count;
    // The folded words in order, a space behind each, a NUL before each view's first and behind the
    // last; a word over SIGNAL_WORD_CHARS_MAX is a NUL.
    const char *folded;
    uint32_t folded_len;
    bool ascii; // all of `folded` is
    bool cut;   // by SIGNAL_WORDS_MAX or with the text
};

// A pattern that occurs.
struct pattern_hit {
    uint32_t id, view;
    uint32_t begin, end; // its first match; the last character of it where no start is known
    uint32_t count; // matches: of a regular expression without overlap, of a literal the first only
};

struct pattern_hits {
    const struct pattern_hit *at;
    uint32_t count;
    bool cut;       // with the text
    bool uncounted; // too many matches to count them all
};

// Per thread and plan: where a pattern's hit stands while a scan runs.
struct hit_slot {
    uint32_t epoch, index;
};
struct learned;
struct reading;
struct artifacts_scratch {
    struct pattern_scratch *patterns;
    struct hit_slot *slots; // one per pattern
    uint32_t epoch;
    bool counts; // some signal of the plan has asked for all counts
    struct head_scratch *heads;
    uint32_t head_count;
    struct ngram_scratch *grams; // of signal/likeness.h
};

// What heads have said in one run (signal/learned.c).
struct learned_memo;
struct learned_reading {
    const struct learned *head;
    const struct text_views *views;
    struct reading *reading;
    struct learned_reading *next;
};

struct signal_artifacts {
    const struct pattern_set *patterns;
    struct artifacts_scratch *scratch;
    bool has_views, has_stats, has_words, has_hits, has_folded, has_questions;
    enum result views_result, words_result, hits_result, folded_result;
    struct text_views views;
    bool has_conversation;
    enum result conversation_result;
    struct text_views conversation;
    const struct slice *conversation_texts;
    struct text_stats stats;
    uint32_t questions;
    struct text_words words;
    struct pattern_hits hits;
    struct slice folded;
    const struct trunk_service *trunk;
    struct trunk_ask *asks; // all of the run
    const struct slice *anchor_texts;
    const float *vector;
    struct slice joined;
    struct text_views turns; // of signal/resemble.c
    const struct slice *turn_texts;
    struct legible *legible[2]; // of signal/jailbreak.c, by scope
    struct pii_progress *pii;   // of signal/pii.c
    bool has_seen_text;         // of signal/learned.c
    struct slice seen_text;
    uint32_t left; // of this slice (artifacts_go_on)
    struct learned_memo *memos;
    struct learned_reading *readings;
    uint32_t trunk_us;     // of answers, not yet told to be anybody's cost
    enum fact_share share; // of the signal that is being computed
};

// Long work goes in slices, so that a loop that computes signals can serve others between them: false when this slice is
// used up, and the family returns RESULT_AGAIN, to go on where it stopped when it is called again. `bytes` of the dearest
// reading (patterns of personal data, about 100 ns each) are about to be spent. The first call of a slice is always true.
enum { SIGNAL_SLICE_BYTES = 8192 };
bool artifacts_go_on(struct signal_context *ctx, uint32_t bytes);

enum result artifacts_views(struct signal_context *ctx, const struct text_views **out);
// The text parts of all user messages and tool results, the newest message first; within the same limits.
enum result artifacts_conversation(struct signal_context *ctx, const struct text_views **out);
// The anchored text as one, a line between two parts.
enum result artifacts_joined(struct signal_context *ctx, struct slice *out);
enum result artifacts_stats(struct signal_context *ctx, const struct text_stats **out);
// The count of questions: counted alone, unless all counts are there or likely to be asked for.
enum result artifacts_questions(struct signal_context *ctx, uint32_t *out);
enum result artifacts_words(struct signal_context *ctx, const struct text_words **out);
enum result artifacts_hits(struct signal_context *ctx, const struct pattern_hits **out);
// The folded words alone, as text_fold_fast gives them; NULL when they are not to be had: the text
// is not ASCII, was or might be cut, or the CPU lacks the instructions.
enum result artifacts_folded(struct signal_context *ctx, const struct slice **out);

// Asks an encoder about `texts`, which live as long as the run: RESULT_AGAIN when it has not answered yet, else the
// answer's result. The same question is asked once.
enum result artifacts_ask(struct signal_context *ctx, enum trunk_model model,
                          enum trunk_reading reading, const struct slice *texts, uint32_t count,
                          const struct trunk_answer **out);
// The same about the anchored text; its views are the texts.
enum result artifacts_ask_anchor(struct signal_context *ctx, enum trunk_model model,
                                 enum trunk_reading reading, const struct trunk_answer **out);

// The same about views that the artifacts hold.
enum result artifacts_ask_views(struct signal_context *ctx, enum trunk_model model,
                                enum trunk_reading reading, const struct text_views *views,
                                const struct trunk_answer **out);
// What the anchored text means as one vector of length 1: the mean of its windows. RESULT_AGAIN as above; RESULT_NOT_FOUND
// without an encoder or a text.
enum result artifacts_vector(struct signal_context *ctx, const float **out);

// The parts, for tests against naive oracles.
// Adds the counts of one text, which is UTF-8.
void text_stats_add(struct text_stats *stats, struct slice text);
// The same without vector instructions, whatever the CPU.
void text_stats_add_scalar(struct text_stats *stats, struct slice text);
// The questions of one text, which are counted several times faster alone.
uint32_t text_questions(struct slice text);
// Splits into words, at most SIGNAL_WORDS_MAX. RESULT_NOMEM.
enum result text_words_split(const struct text_views *views, struct arena *arena,
                             struct text_words *out);
// The words of texts of ASCII, folded, a blank before and behind each, several times faster than
// splitting; a word over SIGNAL_WORD_CHARS_MAX stands there as it is. FOLD_PAD NULs that may be read
// follow. RESULT_UNSUPPORTED when a text is not ASCII or the CPU lacks AVX-512 VBMI2, RESULT_NOMEM.
enum { FOLD_PAD = 192 };
enum result text_fold_fast(const struct text_views *views, struct arena *arena, struct slice *out);
// Folds a text the same way: its words, joined by single spaces. ptr NULL without memory.
struct slice text_words_fold(struct slice text, struct arena *arena, uint32_t *words);

#endif
