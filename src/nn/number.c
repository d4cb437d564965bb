#include "nn/number.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t bytes;
} types[NUMBER_TYPES] = {
    [NUMBER_F32] = {"F32", 4},   [NUMBER_F16] = {"F16", 2}, [NUMBER_BF16] = {"BF16", 2},
    [NUMBER_F64] = {"F64", 8},   [NUMBER_I8] = {"I8", 1},   [NUMBER_U8] = {"U8", 1},
    [NUMBER_I16] = {"I16", 2},   [NUMBER_U16] = {"U16", 2}, [NUMBER_I32] = {"I32", 4},
    [NUMBER_U32] = {"U32", 4},   [NUMBER_I64] = {"I64", 8}, [NUMBER_U64] = {"U64", 8},
    [NUMBER_BOOL] = {"BOOL", 1},
};

uint32_t number_bytes(enum number_type type)
{
    return types[type].bytes;
}

const char *number_name(enum number_type type)
{
    return types[type].name;
}

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float number_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
             fraction = bits & 0x3ff;
    if (exponent == 31)
        return of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    // Below the normal range a half is a whole number of 2^-24.
    float f = (float)fraction * 0x1p-24f;
    return sign ? -f : f;
}

// One loop per type, so that the compiler sees what it copies.
#define EACH(ctype, value)                                                                         \
    for (uint64_t i = 0; i < count; i++) {                                                         \
        ctype v;                                                                                   \
        memcpy(&v, p + i * stride * sizeof v, sizeof v);                                           \
        out[i] = (value);                                                                          \
    }                                                                                              \
    break

enum result number_read(enum number_type type, const void *at, uint64_t stride, uint64_t count,
                        float *out)
{
    const unsigned char *p = at;
    switch (type) {
    case NUMBER_F32:
        if (stride == 1 && count) {
            memcpy(out, p, count * sizeof *out);
            break;
        }
        EACH(float, v);
    case NUMBER_F16:
        EACH(uint16_t, number_f16(v));
    case NUMBER_BF16:
        EACH(uint16_t, of_bits((uint32_t)v << 16));
    case NUMBER_F64:
        // A cast of what no float can hold is undefined.
        EACH(double, v >= -0x1.fffffep127 && v <= 0x1.fffffep127 ? (float)v : INFINITY);
    case NUMBER_I8:
        EACH(int8_t, v);
    case NUMBER_U8:
        EACH(uint8_t, v);
    case NUMBER_I16:
        EACH(int16_t, v);
    case NUMBER_U16:
        EACH(uint16_t, v);
    case NUMBER_I32:
        EACH(int32_t, (float)v);
    case NUMBER_U32:
        EACH(uint32_t, (float)v);
    case NUMBER_I64:
        EACH(int64_t, (float)v);
    case NUMBER_U64:
        EACH(uint64_t, (float)v);
    default:
        return RESULT_TYPE;
    }
    // Of a value that is not finite the difference to itself is not zero; the sum keeps that.
    float sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += out[i] - out[i];
    return sum == 0 ? RESULT_OK : RESULT_RANGE;
}
