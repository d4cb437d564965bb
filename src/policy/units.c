#include "policy/units.h"

enum units_problem units_number(struct slice text, struct decimal *out, size_t *suffix)
{
    enum { DIGITS_MAX = 15 };
    struct decimal d = {.negative = text.len && text.ptr[0] == '-'};
    int digits = 0;
    bool fraction = false;
    size_t i = d.negative;
    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        d.digits = d.digits * 10 + (uint64_t)(c - '0');
        d.exponent -= fraction;
        digits += d.digits > 0;
        // A long row of zeros behind the point is not worth a policy's while either.
        if (digits > DIGITS_MAX || d.exponent < -DIGITS_MAX)
            return UNITS_DIGITS;
    }
    *suffix = i;
    if (text.len - i == 1 && (text.ptr[i] == 'k' || text.ptr[i] == 'M'))
        d.exponent += text.ptr[i] == 'k' ? 3 : 6;
    else if (i < text.len)
        return UNITS_SUFFIX;
    *out = d;
    return UNITS_OK;
}

static double power(int n)
{
    double v = 1;
    while (n-- > 0)
        v *= 10;
    return v;
}

double units_double(struct decimal d)
{
    // Digits below 2^53 and powers up to 10^22 are exact, so that one operation rounds once.
    double v = d.exponent < 0 ? (double)d.digits / power(-d.exponent)
                              : (double)d.digits * power(d.exponent);
    return d.negative && d.digits ? -v : v;
}

bool units_scaled(struct decimal d, int scale, int64_t *out)
{
    int64_t v = (int64_t)d.digits;
    int e = d.exponent + scale;
    for (; e < 0 && v % 10 == 0 && v != 0; e++)
        v /= 10;
    if (e < 0 && v != 0)
        return false;
    for (; e > 0 && v != 0; e--)
        if (__builtin_mul_overflow(v, (int64_t)10, &v))
            return false;
    *out = d.negative ? -v : v;
    return true;
}
