// Who is running on a metered machine, and how much of its meter each one has been given so far.
//
// One board per meter. The loops write what their requests do, the control side shares out each interval of the meter
// (meter_board_share, pool/meter.h has the formula) and adds to each request what is its own:
//
//   slot = meter_board_begin(b)              a loop, before the attempt; -1: the board is full, the curve must do
//   meter_board_prefill(b, slot, tokens)     when the first byte came: the prompt's tokens that were computed
//   meter_board_decode(b, slot, tokens)      as they come
//   uj = meter_board_end(b, slot)            once; what it was given, or -1: the meter missed a part of it, or it was too
//                                            short for a meter that is read now and then; the curve must do
//
// One that says nothing in an interval is being prefilled, or answers in one piece: it counts like the average of those that
// say something. What the machine takes while nothing runs, after the last interval of a request, or of one that was not
// metered in the end, is nobody's (`unused`). So given + kept in slots + others + unused is the meter, always. A machine is
// believed to serve Merit alone; what others run there can be told (`others`).
//
// Slots are taken and given back without a lock by any thread; one thread shares out.
#ifndef MERIT_POOL_METER_BOARD_H
#define MERIT_POOL_METER_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "pool/meter.h"

enum {
    METER_SLOTS = 1024,   // requests at once on one machine
    METER_SHARES_MIN = 3, // intervals that a request must have a part in; guessed, 2026-11
    METER_BLOCK_TOK = 16, // of a KV block: vLLM's default
};

struct meter_board;

enum result meter_board_new(struct meter_board **out) MERIT_NODISCARD;
void meter_board_free(struct meter_board *b);

int32_t meter_board_begin(struct meter_board *b);
void meter_board_prefill(struct meter_board *b, int32_t slot, uint64_t tokens);
void meter_board_decode(struct meter_board *b, int32_t slot, uint64_t tokens);
int64_t meter_board_end(struct meter_board *b, int32_t slot);

// What is known of the interval that ends now.
struct meter_interval {
    uint64_t uj; // of the meter
    uint64_t us; // its length
    double
        idle_w; // power of the machine at rest (policy/energy_list.h); 0: not known, nothing counts as idle
    const struct image_energy *energy; // of the model that runs there; NULL: none
    uint32_t others; // requests there that are not Merit's; each bears an average share
};
// Control thread only.
void meter_board_share(struct meter_board *b, const struct meter_interval *interval);

// The meter missed something just now (meter_read said so): what runs is not metered any more. Control thread only.
void meter_board_gap(struct meter_board *b);

struct meter_totals {
    uint64_t metered_uj; // in all
    uint64_t given_uj;   // to requests that have ended
    uint64_t kept_uj;    // by those that run
    uint64_t others_uj;  // borne by what is not Merit's
    uint64_t unused_uj;  // by nobody
    uint64_t full;       // requests that found no slot
};
// Exact when no loop is at work; else of about now. Any thread.
struct meter_totals meter_board_totals(const struct meter_board *b);

#endif
