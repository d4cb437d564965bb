// Private to text/json*.c: the scan of one string, in a version per instruction set.
#ifndef MERIT_TEXT_JSON_SCAN_H
#define MERIT_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "text/json.h"

struct json_found {
    const unsigned char *stop;  // the closing quote, or the byte that is wrong (`end` when it is missing)
    bool closed;
    bool escaped;
    bool high;  // some byte was above 0x7f; may also be set by bytes behind the string
};

// From behind the opening quote. Checks escapes, surrogate pairs and control characters, not UTF-8.
typedef struct json_found json_scan_fn(const unsigned char *p, const unsigned char *end);

// Copies to `out` (room for n) up to the first byte that a string must escape, or that is above 0x7f when `stop_high`;
// returns how many. Bytes of `out` behind those may be overwritten.
typedef size_t json_copy_fn(char *out, const unsigned char *p, size_t n, bool stop_high);

struct json_kernels {
    json_scan_fn *scan;
    json_copy_fn *copy;
};

// Those in force: of the forced tier, else of the best of this CPU.
const struct json_kernels *json_kernels_active(void);

// Length of the escape at the backslash `p` (2, 6, or 12 for a surrogate pair); 0 when it is not legal.
unsigned json_escape_length(const unsigned char *p, const unsigned char *end);
// The code point of a legal escape.
uint32_t json_escape_code(const unsigned char *p);

#endif
