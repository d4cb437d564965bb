// A provider's usage export, summed by day and model.
//
// CSV with a header (RFC 4180), JSON lines, or one JSON array of objects. Columns are known by these names, in any order and
// case; others are passed over:
//   day       date, day, usage_date, start_time, start_time_iso, bucket_start_time, timestamp
//             (2026-11-21, 2026-11-21T10:00:00Z, or seconds or milliseconds since 1970; the day as it is written)
//   model     model, model_name, model_version
//   requests  requests, num_model_requests, n_requests
//   input     input_tokens, prompt_tokens, input, n_context_tokens_total
//             and added to it: cache_read_input_tokens, cache_creation_input_tokens, uncached_input_tokens
//   output    output_tokens, completion_tokens, output, n_generated_tokens_total
//   tokens    tokens, total_tokens
//   usd       usd, cost, cost_usd, amount, amount_value ("12.34", "$12.34", "1e-05")
// Day and model are needed, and one of the others. Several lines of one day and model are added up.
#ifndef MERIT_LEDGER_USAGE_H
#define MERIT_LEDGER_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

enum {
    USAGE_BYTES_MAX = 64 * 1024 * 1024,
    USAGE_COLUMNS_MAX = 128,
    USAGE_MODEL_MAX = 128,  // bytes of a model's name
    USAGE_SUMS_MAX = 65536, // days times models
};
// Of one value: 2^53.
#define USAGE_VALUE_MAX (INT64_C(1) << 53)

enum usage_field {
    USAGE_REQUESTS,
    USAGE_INPUT,
    USAGE_OUTPUT,
    USAGE_TOKENS, // made of input and output when it is not there itself
    USAGE_NUSD,
    USAGE_FIELDS
};
const char *usage_field_name(enum usage_field f); // "input"

struct usage_sum {
    int32_t day; // since 1970-01-01
    struct slice model;
    int64_t of[USAGE_FIELDS];
};

struct usage {
    struct usage_sum *sums; // by day, then model
    uint32_t count;
    uint32_t fields; // bit per enum usage_field that the export has
    uint64_t lines;  // records read
};

// Reads it into `arena`. RESULT_SYNTAX, RESULT_UTF8, RESULT_RANGE, RESULT_NOT_FOUND (a column that is needed),
// RESULT_LIMIT, RESULT_NOMEM; `why` gets a sentence with the line.
enum result usage_read(struct usage *u, struct slice text, struct arena *arena,
                       struct buf *why) MERIT_NODISCARD;

// "2026-11-21" and what stands behind it, or a number since 1970; false otherwise.
bool usage_day(struct slice text, int32_t *day);
void usage_day_text(int32_t day, char out[11]); // with a NUL
// Orders by day, then model; for the sums of others to be merged with these.
int usage_compare(const void *a, const void *b);

#endif
