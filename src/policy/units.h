// Numbers of a policy, exactly: at most 15 digits and a power of ten.
#ifndef MERIT_POLICY_UNITS_H
#define MERIT_POLICY_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct decimal {
    uint64_t digits;
    int exponent; // the value is digits * 10^exponent
    bool negative;
};

enum units_problem {
    UNITS_OK,
    UNITS_SUFFIX, // letters that are neither k nor M; `*suffix` tells where they begin
    UNITS_DIGITS, // more than 15 digits
};

// "32k", "1.5M", "-0.03".
enum units_problem units_number(struct slice text, struct decimal *out, size_t *suffix);
// Rounded once, so that 0.1 is the double nearest to 0.1.
double units_double(struct decimal d);
// value * 10^scale as an integer; false when it is none or does not fit.
bool units_scaled(struct decimal d, int scale, int64_t *out);

#endif
