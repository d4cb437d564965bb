// Numbers as weight files hold them, and their way to f32. Files are little-endian, and so is this build.
#ifndef MERIT_NN_NUMBER_H
#define MERIT_NN_NUMBER_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"

enum number_type {
    NUMBER_F32,
    NUMBER_F16,
    NUMBER_BF16,
    NUMBER_F64,
    NUMBER_I8,
    NUMBER_U8,
    NUMBER_I16,
    NUMBER_U16,
    NUMBER_I32,
    NUMBER_U32,
    NUMBER_I64,
    NUMBER_U64,
    NUMBER_BOOL,
    NUMBER_TYPES
};

// Bytes of one.
uint32_t number_bytes(enum number_type type);
const char *number_name(enum number_type type); // "F32"

// `count` numbers at `at`, which need not be aligned and lie `stride` numbers apart. RESULT_RANGE when one is not finite
// or becomes so, RESULT_TYPE for truth values. Whole numbers beyond 2^24 are rounded.
enum result number_read(enum number_type type, const void *at, uint64_t stride, uint64_t count,
                        float *out) MERIT_NODISCARD;

float number_f16(uint16_t bits);

#endif
