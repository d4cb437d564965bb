// One HTTP call, waited for: what `merit init`, `merit doctor` and `merit pool` ask servers with.
#ifndef MERIT_CLI_PROBE_H
#define MERIT_CLI_PROBE_H

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"
#include "net/http.h"

enum { PROBE_BODY_MAX = 4 * 1024 * 1024 };

struct probe_request {
    struct slice url;           // of the endpoint: "http://127.0.0.1:8000/v1"
    const char *path;           // put behind it: "/models"
    struct slice authorization; // the header's value, or empty; never shown
    uint32_t timeout_ms;        // for all of it
    enum http_method method;    // GET when it is not set
    struct slice body;          // JSON; empty: none
    const char *roots;          // PEM file of trusted roots, NULL for the system's
};

struct probe_answer {
    int status;      // 0 when there was none
    struct buf body; // up to PROBE_BODY_MAX; probe_done frees it
    uint64_t took_us;
    char why[256]; // a sentence when the result is not RESULT_OK
};

// RESULT_OK with any status; RESULT_SYNTAX (the URL), RESULT_DNS, RESULT_REFUSED, RESULT_TIMEOUT, RESULT_TLS, ...
enum result probe_get(const struct probe_request *request, struct probe_answer *answer);
void probe_done(struct probe_answer *answer);

#endif
