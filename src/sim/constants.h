// Files of constants: what engines are made of, and which of them make a fleet.
//
//   {"about": TEXT,
//    "profiles": {NAME: {"like": NAME, FIELD: NUMBER or {"value": NUMBER, "source": TEXT, "grade": TEXT}, ...}, ...},
//    "fleet": [{"profile": NAME, "replicas": N}, ...]}
//
// FIELDs are those of struct engine_profile; what is not given is that of the profile that this one is "like" (one that stands
// before it), or of engine_profile_default. Names that are not known are errors, so that a slip of the pen is none of speed.
#ifndef MERIT_SIM_CONSTANTS_H
#define MERIT_SIM_CONSTANTS_H

#include "base/slice.h"
#include "sim/engine.h"

enum {
    CONSTANTS_PROFILES_MAX = 16,
    CONSTANTS_REPLICAS_MAX = 64,
    CONSTANTS_DIAG_BYTES = 160,
    CONSTANTS_FILE_BYTES_MAX = 1 << 20,
};

struct constants {
    struct engine_profile profiles[CONSTANTS_PROFILES_MAX];
    uint32_t profile_count;
    uint32_t fleet[CONSTANTS_REPLICAS_MAX]; // a profile for each replica
    uint32_t replicas;
};

// RESULT_SYNTAX, RESULT_LIMIT, RESULT_RANGE, RESULT_NOMEM, with a sentence in `diag`.
enum result constants_read(struct slice text, struct constants *out,
                           char diag[CONSTANTS_DIAG_BYTES]);
// NULL when there is none.
const struct engine_profile *constants_profile(const struct constants *c, struct slice name);

#endif
