/* libmerit: decide under a Merit policy from inside another program.
 *
 *   merit_policy *p;
 *   char why[512];
 *   if (merit_policy_open_file("home.merit", NULL, &p, why, sizeof why) != MERIT_OK) ...
 *   merit_decision *d;
 *   if (merit_decide(p, body, length, NULL, &d) == MERIT_OK)
 *       send_to(merit_decision_model(d));
 *   merit_decision_free(d);
 *   merit_policy_free(p);
 *
 * Versions: structs that a caller fills begin with their size; set it with sizeof. A later library reads as much of a
 * struct as the caller has, so that fields may be added at the end without breaking programs. Functions are never
 * removed or changed within one SOVERSION.
 *
 * Threads: a policy is immutable; any number of threads may decide under one at a time, each call uses memory of its
 * own. A decision belongs to one thread at a time and may outlive the call, not its policy. Nothing is global, no
 * thread is started, no signal handler is set, nothing is read or written but the file given to
 * merit_policy_open_file.
 *
 * Budgets: a decision holds hard budgets per request, by the estimate of its input, and counts nothing. Budgets over time
 * (`5 usd/day`, `60 requests/minute`, per caller, team, session, loop) are not kept: there is no ledger here, every decision is
 * made as if nothing were spent, and what an answer took is nowhere told to the library. Limits that must hold are the
 * caller's to keep, or `merit serve`'s.
 *
 * Texts are UTF-8. Returned strings are NUL-terminated and live as long as the object they came from.
 */
#ifndef MERIT_MERIT_H
#define MERIT_MERIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MERIT_API __attribute__((visibility("default")))
#else
#define MERIT_API
#endif

#define MERIT_API_VERSION 1

typedef struct merit_policy merit_policy;
typedef struct merit_decision merit_decision;

typedef enum merit_status {
    MERIT_OK = 0,
    MERIT_NO_MEMORY = 1,
    MERIT_BAD_POLICY = 2,  /* the policy has errors; the error buffer says which */
    MERIT_BAD_REQUEST = 3, /* the request is not a chat completion; merit_decision_error says why */
    MERIT_NOT_FOUND = 4,   /* no such file, or it cannot be read */
    MERIT_LIMIT = 5,       /* a limit of the library was reached */
    MERIT_BAD_VERSION = 6  /* a struct of a size that this library does not know */
} merit_status;

/* What became of a decision. */
typedef enum merit_end {
    MERIT_END_ANSWER = 0,     /* merit_decision_model() is the one */
    MERIT_END_REFUSE = 1,     /* the policy refuses; merit_decision_message() */
    MERIT_END_INFEASIBLE = 2, /* no model of the route can serve it; the record says why */
    MERIT_END_NO_MODEL = 3    /* the request names a model that the policy does not have */
} merit_end;

typedef struct merit_policy_options {
    size_t size;      /* sizeof(merit_policy_options) */
    const char *name; /* of the file, for error messages; NULL: "policy" */
} merit_policy_options;

typedef struct merit_header {
    const char *name, *value;
} merit_header;

typedef struct merit_decide_options {
    size_t size; /* sizeof(merit_decide_options) */
    const char
        *model; /* decide as if the request asked for this model or alias; NULL: as it asks */
    const merit_header *headers;
    size_t header_count;       /* at most 64 */
    const char *const *groups; /* groups of the caller */
    size_t group_count;        /* at most 32 */
    const char *caller;        /* id of the caller, or NULL */
    /* One per model of the policy in its order: 0 up, 1 down, 2 without a key. NULL: all are up. */
    const uint8_t *model_states;
    size_t model_state_count;
} merit_decide_options;

/* "0.1.0" */
MERIT_API const char *merit_version(void);

/* Opens a policy from its text. `error` (may be NULL) gets the diagnostics, cut to error_size bytes with a NUL. */
MERIT_API merit_status merit_policy_open(const char *text, size_t length,
                                         const merit_policy_options *options, merit_policy **policy,
                                         char *error, size_t error_size);
MERIT_API merit_status merit_policy_open_file(const char *path, const merit_policy_options *options,
                                              merit_policy **policy, char *error,
                                              size_t error_size);
/* NULL is allowed. No decision of it may be used afterwards. */
MERIT_API void merit_policy_free(merit_policy *policy);
/* SHA-256 of its text, 64 hex digits. */
MERIT_API const char *merit_policy_digest(const merit_policy *policy);
MERIT_API size_t merit_policy_model_count(const merit_policy *policy);
/* NULL when out of range. */
MERIT_API const char *merit_policy_model_name(const merit_policy *policy, size_t index);

/* Decides on the JSON body of a chat completion. `json` is copied. `*decision` is set unless MERIT_NO_MEMORY or
 * MERIT_BAD_VERSION: with MERIT_BAD_REQUEST it holds the reason only. */
MERIT_API merit_status merit_decide(const merit_policy *policy, const char *json, size_t length,
                                    const merit_decide_options *options, merit_decision **decision);
/* NULL is allowed. */
MERIT_API void merit_decision_free(merit_decision *decision);

MERIT_API merit_end merit_decision_end(const merit_decision *decision);
/* Names in the policy; NULL when there is none. */
MERIT_API const char *merit_decision_route(const merit_decision *decision);
MERIT_API const char *merit_decision_model(const merit_decision *decision);
/* What the upstream calls the model; NULL when there is none. */
MERIT_API const char *merit_decision_upstream_name(const merit_decision *decision);
/* "default", "off", "low", "medium", "high", "on" */
MERIT_API const char *merit_decision_effort(const merit_decision *decision);
/* Of a refusal; NULL otherwise. */
MERIT_API const char *merit_decision_message(const merit_decision *decision);
/* Why the request could not be read; NULL otherwise. */
MERIT_API const char *merit_decision_error(const merit_decision *decision);
/* Expected, in nano-USD; -1 when unknown. */
MERIT_API int64_t merit_decision_cost_nusd(const merit_decision *decision);
/* The whole record (docs/decision.schema.json). */
MERIT_API const char *merit_decision_json(const merit_decision *decision);

#ifdef __cplusplus
}
#endif

#endif
