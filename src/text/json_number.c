#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/json.h"

// A double is settled by 768 significant digits and by whether any digit behind them is not zero.
enum { DIGITS_MAX = 768 };
// Beyond this a double is zero or infinite, whatever its 768 digits.
enum { EXPONENT_MAX = 100000 };
// More than a text can have digits, so that a huge exponent and a long fraction still cancel out.
static const int64_t EXPONENT_READ_MAX = 10000000000;

// A number token taken apart: digits * 10^exponent, without leading zeros.
struct decimal {
    char digits[DIGITS_MAX + 1 + 16];
    unsigned count;
    bool negative;
    bool exact; // no digit was cut
    int64_t exponent;
};

static int64_t read_exponent(const char *p, const char *end)
{
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    int64_t v = 0;
    for (; p < end; p++)
        v = v < EXPONENT_READ_MAX ? v * 10 + (*p - '0') : v;
    return negative ? -v : v;
}

static void read_decimal(struct slice s, struct decimal *d)
{
    const char *p = s.ptr, *end = p + s.len;
    d->count = 0;
    d->exponent = 0;
    d->exact = true;
    d->negative = *p == '-';
    p += d->negative;
    bool fraction = false;
    for (; p < end; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if ((*p | 0x20) == 'e') {
            d->exponent += read_exponent(p + 1, end);
            break;
        }
        d->exponent -= fraction;
        if (!d->count && *p == '0')
            continue;
        if (d->count < DIGITS_MAX) {
            d->digits[d->count++] = *p;
        } else {
            d->exponent++;
            d->exact &= *p == '0';
        }
    }
}

enum result json_u64(const struct json *j, uint32_t token, uint64_t *out)
{
    if (token >= j->count || json_type(j, token) != JSON_NUMBER)
        return RESULT_TYPE;
    struct slice raw = json_raw(j, token);
    if (slice_u64(raw, out))
        return RESULT_OK;
    // 1e3 and 5.0 are whole numbers too, and some clients write them so.
    struct decimal d;
    read_decimal(raw, &d);
    while (d.count && d.digits[d.count - 1] == '0') {
        d.count--;
        d.exponent++;
    }
    if (!d.count && d.exact) {
        *out = 0;
        return RESULT_OK;
    }
    if (d.negative || !d.exact || d.exponent < 0 || d.exponent + d.count > 20)
        return RESULT_RANGE;
    uint64_t v = 0;
    for (int64_t i = 0; i < d.exponent + d.count; i++) {
        uint64_t digit = i < d.count ? (uint64_t)(d.digits[i] - '0') : 0;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return RESULT_RANGE;
    }
    *out = v;
    return RESULT_OK;
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Both the digits and the power are exact doubles, so that one operation rounds once (Clinger, 1990).
static bool fast_double(const struct decimal *d, double *out)
{
    if (d->count > 15 || d->exponent < -22 || d->exponent > 22)
        return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < d->count; i++)
        v = v * 10 + (uint64_t)(d->digits[i] - '0');
    *out = d->exponent < 0 ? (double)v / powers[-d->exponent] : (double)v * powers[d->exponent];
    return true;
}

enum result json_double(const struct json *j, uint32_t token, double *out)
{
    if (token >= j->count || json_type(j, token) != JSON_NUMBER)
        return RESULT_TYPE;
    struct decimal d;
    read_decimal(json_raw(j, token), &d);
    double v = 0;
    if (d.count && !fast_double(&d, &v)) {
        if (!d.exact) {
            d.digits[d.count++] = '1';
            d.exponent--;
        }
        // Without a decimal point, so that the locale does not matter.
        int64_t e = d.exponent < -EXPONENT_MAX ? -EXPONENT_MAX : d.exponent;
        if (e > EXPONENT_MAX)
            e = EXPONENT_MAX;
        char *p = d.digits + d.count;
        *p++ = 'e';
        *p++ = e < 0 ? '-' : '+';
        uint64_t rest = (uint64_t)(e < 0 ? -e : e);
        for (uint64_t unit = EXPONENT_MAX; unit; unit /= 10)
            *p++ = (char)('0' + rest / unit % 10);
        *p = '\0';
        v = strtod(d.digits, NULL);
        if (isinf(v))
            return RESULT_RANGE;
    }
    *out = d.negative ? -v : v;
    return RESULT_OK;
}
