// Errors that upstreams were the cause of, kept for a while, so that a client that sends the same request again and again
// does not make them work again and again.
//
// Agents repeat a failed request up to thirty times in half a minute, whatever they are told. One failure is let be: it may
// be an accident. From then on the same request of the same caller gets the same error at once, with Retry-After, for
// HAMMER_FIRST_MS, doubled with each failure that follows; then one goes through again. As soon as a model that had failed
// it answers anybody, it is forgotten. Requests that are under way at the same time are not merged: each may want an answer
// of its own.
//
// A fixed table without locks, shared by all loops; the texts of an error must be static. Where two loops write one place
// at the same time one of them is not remembered. While nothing has failed of late, all that is read is one word.
#ifndef MERIT_API_HAMMER_H
#define MERIT_API_HAMMER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/dialect.h"

enum {
    HAMMER_SETS = 256,
    HAMMER_WAYS = 4,
    HAMMER_FREE = 1, // failures that are followed by no pause
    HAMMER_FIRST_MS = 2000,
    HAMMER_KEPT_MS = 60000, // since the last failure
};

struct hammer;

// `longest_ms` is the longest pause. RESULT_NOMEM, RESULT_IO (no random bytes).
enum result hammer_open(struct hammer **out, uint32_t longest_ms) MERIT_NODISCARD;
void hammer_close(struct hammer *h); // NULL is a no-op

// Whether anything is remembered.
bool hammer_any(const struct hammer *h, uint64_t now_ms);
// What the request is known by. `caller` is a key's id or an address; `policy` the digest of the policy's text.
uint64_t hammer_key(const struct hammer *h, struct slice caller, struct slice policy,
                    struct slice path, struct slice body);
// True: it is answered by `*error`, whose retry_after_s says when to come again.
bool hammer_find(struct hammer *h, uint64_t key, uint64_t now_ms, struct api_error *error);
// It has failed with `error`, at models whose bits (number modulo 64) stand in `models`.
void hammer_failed(struct hammer *h, uint64_t key, uint64_t models, const struct api_error *error,
                   uint64_t now_ms);
// A model has answered somebody.
void hammer_good(struct hammer *h, int32_t model, uint64_t now_ms);

#endif
