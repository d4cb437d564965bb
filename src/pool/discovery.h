// Places that are not written in the policy: lists of them, and how a list becomes places.
//
// A file has one place a line: its URL, and attributes where they differ from the endpoint's. `#` begins a comment.
//
//   http://10.0.0.7:8000/v1
//   http://10.0.0.8:8000/v1  weight 2  slots 32  rate 600  tokens 200000
//
// A file with one bad line, or without any place, changes nothing: the list before stays. What a new list lacks is drained:
// it gets no new call, and goes when the last one has ended. What an administrator has drained or removed stays so.
#ifndef MERIT_POOL_DISCOVERY_H
#define MERIT_POOL_DISCOVERY_H

#include "pool/pool.h"

enum { DISCOVERY_BYTES_MAX = 1024 * 1024 };

struct discovery_place {
    struct slice url;
    struct slice connect;                                 // numeric address; empty: as the URL says
    uint32_t weight_milli, slots, rate_min, rate_tok_min; // 0: as the endpoint
    uint32_t rank;                                        // of services
    uint16_t port;                                        // of `connect`
    uint32_t line;
};

struct discovery_list {
    struct discovery_place places[POOL_PLACES_PER_MODEL_MAX];
    uint32_t count;
};

// Slices are of `text`. RESULT_SYNTAX, RESULT_LIMIT (more than POOL_PLACES_PER_MODEL_MAX), RESULT_DUPLICATE,
// RESULT_NOT_FOUND (no place in it), with a sentence in `diag`.
enum result discovery_parse(struct slice text, struct discovery_list *out,
                            char diag[POOL_DIAG_BYTES]);

struct discovery_change {
    uint32_t added, drained;
    uint32_t refused; // places that could not be taken: ...
    enum result why;  // ... the last one's reason
    struct slice refused_url;
};

// Makes the places of an endpoint those of the list. Control side.
void discovery_apply(struct pool *p, int32_t endpoint, const struct discovery_list *list,
                     uint64_t now_ms, struct discovery_change *out);

// A place is on its way out: draining, and gone when nothing runs there. `held`: only an administrator brings it back.
void discovery_leave(struct pool *p, uint32_t slot, bool held);
// The slot of a model's place that an administrator drained or removed, gone or not; -1: none of that URL.
int32_t discovery_held(const struct pool *p, int32_t model, struct slice url);
// Brings it back.
void discovery_return(struct pool *p, uint32_t slot);
// Lets those go that have nothing running any more.
void discovery_sweep(struct pool *p, uint64_t now_ms);

#endif
