// Providers whose base URL a policy need not write.
#ifndef MERIT_POLICY_PROVIDER_H
#define MERIT_POLICY_PROVIDER_H

#include "base/slice.h"

struct provider {
    const char *name;
    const char
        *base; // of OpenAI's protocol, without a slash at the end; NULL: known, but not spoken yet
    const char *key_variable; // the customary environment variable
    const char *why_not;      // when there is no base
};

// NULL when unknown.
const struct provider *provider_find(struct slice name);
// All names, NULL-terminated.
extern const char *const provider_names[];

#endif
