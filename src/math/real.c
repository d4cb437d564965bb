#include "math/real.h"

#include <math.h>
#include <string.h>

static double from_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

// 2^k for -1022 <= k <= 1023.
static double power2(int k)
{
    return from_bits((uint64_t)(k + 1023) << 52);
}

double real_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.78)
        return INFINITY;
    if (x < -745.13)
        return 0;
    // x = k ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts, so that k times the first is exact.
    const double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    double scaled = x * 1.44269504088896338700;
    int k = (int)(scaled + (scaled < 0 ? -0.5 : 0.5));
    double r = (x - k * high) - k * low;
    // Taylor to the 13th term: the rest is below 2^-57 of the sum.
    double sum = 1.0 / 6227020800.0;
    static const double term[] = {1.0 / 479001600,
                                  1.0 / 39916800,
                                  1.0 / 3628800,
                                  1.0 / 362880,
                                  1.0 / 40320,
                                  1.0 / 5040,
                                  1.0 / 720,
                                  1.0 / 120,
                                  1.0 / 24,
                                  1.0 / 6,
                                  0.5,
                                  1.0,
                                  1.0};
    for (unsigned i = 0; i < sizeof term / sizeof term[0]; i++)
        sum = sum * r + term[i];
    if (k > 1022)
        return sum * power2(1022) * power2(k - 1022);
    return k < -1021 ? sum * power2(k + 600) * power2(-600) : sum * power2(k);
}

double real_log(double x)
{
    if (x != x || x < 0)
        return NAN;
    if (x == 0)
        return -INFINITY;
    if (x == INFINITY)
        return x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    k += (int)(bits >> 52) - 1023;
    double m = from_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.41421356237309504880) {
        m *= 0.5;
        k++;
    }
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716: 11 odd terms.
    double s = (m - 1) / (m + 1), z = s * s, sum = 1.0 / 23;
    for (int n = 21; n >= 3; n -= 2)
        sum = sum * z + 1.0 / n;
    const double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    return k * high + (2 * s + (2 * s * z * sum + k * low));
}

double real_sqrt(double x)
{
    return sqrt(x);
}

void real_softmax(const float *logits, uint32_t count, float slope, const float *shift, float *p)
{
    double top = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        p[i] = slope * logits[i] + (shift ? shift[i] : 0);
        if (p[i] > top)
            top = p[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        double e = real_exp(p[i] - top);
        sum += e;
        p[i] = (float)e;
    }
    for (uint32_t i = 0; i < count; i++)
        p[i] = (float)(p[i] / sum);
}

double real_logistic(double x)
{
    if (x >= 0)
        return 1 / (1 + real_exp(-x));
    double e = real_exp(x);
    return e / (1 + e);
}
