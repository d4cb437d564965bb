// Sets of patterns looked for together in one scan, over vectorscan.
//
// A builder collects patterns; building gives an immutable set that can be serialised (for the compiled policy's cache)
// and shared by threads. A scan needs a scratch of its thread. Matches are reported as (pattern, end) by the library;
// begin offsets are found for literals by their length and for expressions by a start-of-match flag, where it compiles.
//
// Literals match whole words where they begin or end with a letter or digit (Unicode), except next to CJK text.
// Case is folded unless asked otherwise (ASCII and Unicode simple folding).
#ifndef MERIT_TEXT_PATTERN_H
#define MERIT_TEXT_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

enum { PATTERN_MAX = 65536, PATTERN_BYTES_MAX = 4096, PATTERN_DIAG_BYTES = 256 };

struct pattern_builder;
struct pattern_set;
struct pattern_scratch;

enum pattern_kind { PATTERN_LITERAL, PATTERN_REGEX };

enum result pattern_builder_open(struct pattern_builder **out);
void pattern_builder_close(struct pattern_builder *b);
// Adds one; `*id` is dense from 0; the same text with the same flags gets the same id. RESULT_LIMIT, RESULT_SYNTAX
// (empty, or not UTF-8).
enum result pattern_add(struct pattern_builder *b, enum pattern_kind kind, struct slice text, bool match_case,
                        uint32_t *id);
uint32_t pattern_count(const struct pattern_builder *b);
// A hash of all patterns and flags in order: a serialised set of the same digest stands for the same patterns.
uint64_t pattern_digest(const struct pattern_builder *b);
// Whether one regular expression compiles; the reason in `diag` when not.
enum result pattern_check(struct slice regex, char diag[PATTERN_DIAG_BYTES]);

// Compiles. RESULT_SYNTAX with diag and *bad_id.
enum result pattern_build(const struct pattern_builder *b, struct pattern_set **out, uint32_t *bad_id,
                          char diag[PATTERN_DIAG_BYTES]);
// For this kind of CPU only: pattern_load gives RESULT_VERSION elsewhere, or for another library version or digest.
enum result pattern_save(const struct pattern_set *s, struct buf *out);
enum result pattern_load(const struct pattern_builder *b, struct slice saved, struct pattern_set **out);
void pattern_set_close(struct pattern_set *s);

enum result pattern_scratch_open(struct pattern_scratch **out, const struct pattern_set *s);
void pattern_scratch_close(struct pattern_scratch *s);

struct pattern_match {
    uint32_t id, begin, end;  // bytes of the scanned text
};
// Calls `on_match` in order of `end`; returning true stops. `text` up to 4 GiB. RESULT_OK also when stopped.
enum result pattern_scan(const struct pattern_set *s, struct pattern_scratch *scratch, struct slice text,
                         bool (*on_match)(void *ctx, const struct pattern_match *m), void *ctx);

#endif
