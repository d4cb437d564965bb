// Traces of requests: when they came, how long prompt and answer were, and which prompts begin alike.
//
// Read from the CSV of Azure's LLM inference traces (TIMESTAMP,ContextTokens,GeneratedTokens) and from the JSON lines of
// Mooncake's ({"timestamp" in ms, "input_length", "output_length", "hash_ids" of 512 tokens each}), plain or gzip. Rows are in
// the order of time, the first at 0.
#ifndef MERIT_SIM_TRACE_H
#define MERIT_SIM_TRACE_H

#include <stdint.h>

#include "base/result.h"
#include "base/vec.h"

enum {
    TRACE_ROWS_MAX = 10000000,
    TRACE_HASHES_MAX = 200000000,
    TRACE_LINE_MAX = 1 << 20,
    TRACE_HASH_TOK = 512,
    TRACE_DIAG_BYTES = 200,
};

struct trace_row {
    uint64_t at_us;
    uint32_t prompt_tok, output_tok; // at least 1
    uint32_t hash_count;
    uint64_t hash_first; // of `hashes`
};

struct trace {
    VEC(struct trace_row) rows;
    VEC(uint64_t) hashes;
};

// RESULT_NOT_FOUND, RESULT_IO, RESULT_SYNTAX (the line is told), RESULT_LIMIT, RESULT_NOMEM; what is in `t` must be given back
// by trace_deinit whatever came of it.
enum result trace_read(const char *path, struct trace *t, char diag[TRACE_DIAG_BYTES]);
void trace_deinit(struct trace *t);

#endif
