// The checks of `merit doctor`: each adds findings with what to do about them.
#ifndef MERIT_CLI_DOCTOR_H
#define MERIT_CLI_DOCTOR_H

#include "base/arena.h"
#include "base/compiler.h"
#include "cli/conf.h"
#include "work/image.h"

enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_finding {
    enum doctor_status status;
    const char *check; // "policy", "upstream", ...
    struct slice message;
    struct slice fix; // empty when there is nothing to do
};

enum { DOCTOR_FINDINGS_MAX = 256, DOCTOR_TIMEOUT_MS = 4000 };

struct doctor {
    struct arena *arena;
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    uint32_t count, dropped;
    bool nomem;
};

void doctor_add(struct doctor *d, enum doctor_status status, const char *check, const char *fix,
                const char *fmt, ...) MERIT_PRINTF(5, 6);

// The machine: descriptors against what the settings allow, the clock, the pattern matcher's instructions.
void doctor_machine(struct doctor *d, const struct conf *c);
// Ports, certificates, the key file, places to write.
void doctor_process(struct doctor *d, const struct conf *c);
// Keys of models, and what each endpoint answers to GET /models. Sends a model's key to its own endpoint only.
void doctor_upstreams(struct doctor *d, const struct conf *c, const struct policy_image *image);
// The parts of the above that tests look at alone.
void doctor_listen(struct doctor *d, const char *name, const struct conf_listen *l);
void doctor_writable(struct doctor *d, const char *name, const char *path, bool directory);

#endif
