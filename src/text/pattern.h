// Sets of patterns looked for together in one scan, over vectorscan.
//
// A builder collects patterns; building gives an immutable set that can be serialised (for the
// compiled policy's cache) and shared by threads. A scan needs a scratch of its thread. Two passes,
// because start offsets double the cost of scanning and are wanted only for what was found:
//   pattern_scan    tells which patterns occur: every whole-word occurrence of a literal with its
//                   place, and for a regular expression the end of its first match (begin == end)
//   pattern_places  gives every match of the regular expressions with its leftmost begin (begin ==
//                   end where the library cannot compile the expression with start offsets)
//
// Literals match whole words where they begin or end with a letter or digit (Unicode), except next
// to CJK text. Case is folded unless asked otherwise: by ASCII for a literal of ASCII characters,
// by Unicode simple folding else. Regular expressions are those of vectorscan (PCRE without
// look-around, back references and possessive repeats) over UTF-8; \w, \d, \s and \b are ASCII's,
// \p{L} and the like are Unicode's. One that matches the empty text is refused.
//
// Memory of compiled sets and scratches is the library's own (malloc), not base/alloc.h's.
#ifndef MERIT_TEXT_PATTERN_H
#define MERIT_TEXT_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    PATTERN_MAX = 65536,
    PATTERN_BYTES_MAX = 4096,             // of one pattern
    PATTERN_TOTAL_MAX = 32 * 1024 * 1024, // of all patterns of a builder
    PATTERN_DIAG_BYTES = 256,
    PATTERN_PLACES_MAX = 65536, // matches that one pattern_places reports
};

struct pattern_builder;
struct pattern_set;
struct pattern_scratch;

enum pattern_kind { PATTERN_LITERAL, PATTERN_REGEX };

enum result pattern_builder_open(struct pattern_builder **out);
void pattern_builder_close(struct pattern_builder *b);
// Adds one; `*id` is dense from 0; the same text with the same flags gets the same id.
// RESULT_LIMIT, RESULT_SYNTAX (empty), RESULT_UTF8, RESULT_NOMEM.
enum result pattern_add(struct pattern_builder *b, enum pattern_kind kind, struct slice text,
                        bool match_case, uint32_t *id);
uint32_t pattern_count(const struct pattern_builder *b);
// A hash of all patterns and flags in order: a serialised set of the same digest stands for the
// same patterns.
uint64_t pattern_digest(const struct pattern_builder *b);
// Whether one regular expression compiles; the reason in `diag` when not.
enum result pattern_check(struct slice regex, char diag[PATTERN_DIAG_BYTES]);

// Compiles. RESULT_SYNTAX with diag and *bad_id (UINT32_MAX when it is no single one). The builder
// may be closed after. An empty builder gives a set that finds nothing.
enum result pattern_build(const struct pattern_builder *b, struct pattern_set **out,
                          uint32_t *bad_id, char diag[PATTERN_DIAG_BYTES]);
// For this kind of CPU only: pattern_load gives RESULT_VERSION elsewhere, or for another library
// version or digest, and RESULT_SYNTAX for damaged bytes.
enum result pattern_save(const struct pattern_set *s, struct buf *out);
enum result pattern_load(const struct pattern_builder *b, struct slice saved,
                         struct pattern_set **out);
void pattern_set_close(struct pattern_set *s);
// How many patterns it has.
uint32_t pattern_set_count(const struct pattern_set *s);

enum result pattern_scratch_open(struct pattern_scratch **out, const struct pattern_set *s);
void pattern_scratch_close(struct pattern_scratch *s);

struct pattern_match {
    uint32_t id, begin, end; // bytes of the scanned text
};
// Calls `on_match` in order of `end`; returning true stops. `text` is valid UTF-8 (the library
// demands it) and shorter than 4 GiB (RESULT_LIMIT). RESULT_OK also when stopped. `on_match` may
// not scan with the same scratch.
enum result pattern_scan(const struct pattern_set *s, struct pattern_scratch *scratch,
                         struct slice text,
                         bool (*on_match)(void *ctx, const struct pattern_match *m), void *ctx);
// Likewise for the places of regular expressions; a match that grows ("\d+" at every digit) is
// reported each time with the same begin. RESULT_LIMIT after PATTERN_PLACES_MAX matches, those
// reported being good.
enum result pattern_places(const struct pattern_set *s, struct pattern_scratch *scratch,
                           struct slice text,
                           bool (*on_match)(void *ctx, const struct pattern_match *m), void *ctx);

#endif
