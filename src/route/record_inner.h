// What both forms of the record are written with. For route/record*.c only.
#ifndef MERIT_ROUTE_RECORD_INNER_H
#define MERIT_ROUTE_RECORD_INNER_H

#include "route/record.h"

// `v` in units of 10^-digits, trailing zeros cut: exact, and short.
void record_put_decimal(struct buf *out, uint64_t v, unsigned digits);

// What the fractions of a row of places are where nothing is known of it, in the order of the compact form.
enum { RECORD_ROW_FLOATS = 10 };
extern const float record_row_unknown[RECORD_ROW_FLOATS];
// A number that reads back the same.
void record_put_number(struct buf *out, double v);
void record_put_string(struct buf *out, struct slice s);
// Bytes as hex digits in quotes.
void record_put_hex(struct buf *out, const uint8_t *bytes, unsigned count);
// ,"name":
void record_put_key(struct buf *out, const char *name);

// For writers of many small pieces, which make room for all of them first and add to `len` afterwards.
enum { RECORD_NUMBER_LEN = BUF_U64_LEN + 2 }; // with a sign and a comma
static inline char *record_i64(char *at, int64_t v)
{
    if (v < 0)
        *at++ = '-';
    return buf_put_u64(at, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}
#define RECORD_LIT(at, literal)                                                                    \
    (memcpy((at), (literal), sizeof(literal) - 1), (at) + sizeof(literal) - 1)

static inline bool record_bit(const uint64_t *bits, uint32_t i)
{
    return bits && (bits[i / 64] >> (i % 64) & 1);
}

// Budgets, places, lengths and options, in either form; nothing where nothing of them had a say.
void record_choice_compact(const struct decision *d, struct buf *out);
void record_choice_json(const struct decision *d, struct buf *out);

// The step that answers on the chain taken; NULL without one.
const struct image_step *record_answering(const struct decision *d);

// Of the compact form, per enum image_unit.
extern const char *const record_spent_keys[IMAGE_UNIT_REQUESTS + 1];

#endif
