// The recent decisions of one loop, for the admin side: compact records with what came of them.
//
// Belongs to its loop's thread. Slots keep their buffers, so the ring allocates nothing in the steady state. A record
// speaks of its policy by place; `owner` is what keeps that policy alive, given back through `release` when the slot
// is used again.
#ifndef MERIT_API_RING_H
#define MERIT_API_RING_H

#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "work/decision.h"

enum { RING_RECORD_MAX = 1024 * 1024, RING_OUTCOME_MAX = 1024, RING_SIZE_MAX = 100000 };

struct ring_slot {
    char id[DECISION_ID_LEN + 1]; // empty: nothing is here
    uint64_t wall_us;
    struct buf record;  // as record_compact writes it
    struct buf outcome; // a JSON object; empty while under way
    void *owner;
};

struct ring {
    struct ring_slot *slots;
    uint32_t size, next;
    uint64_t written;
    void (*release)(void *owner);
};

// `size` 0 is a ring that keeps nothing. RESULT_NOMEM, RESULT_LIMIT.
enum result ring_open(struct ring *r, uint32_t size, void (*release)(void *owner));
void ring_close(struct ring *r);
// Copies a record. NULL when the ring keeps nothing, there is no memory, or the record is over RING_RECORD_MAX: then
// `owner` is not taken over. The slot stays the caller's until the ring wraps around: compare the id.
struct ring_slot *ring_put(struct ring *r, const struct decision *d, struct slice record,
                           void *owner);
// By id; NULL when it is gone.
struct ring_slot *ring_find(struct ring *r, struct slice id);
// The n-th newest, or NULL.
struct ring_slot *ring_recent(struct ring *r, uint32_t n);

#endif
