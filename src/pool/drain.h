// How fast the line of a place moves: prompt tokens per second that came to their first byte while somebody waited.
//
// Speeds (pool/speeds.h) say what a prompt takes when it is computed. That is not what a line takes where slots or the KV cache
// are full: prompts are then let in as others end, and sequences that were preempted come before them. What ends when depends
// on the lengths of all answers there, which are not known; how fast the line moved in the last seconds is.
//
//   tok_s = max(tokens, calls x mean tokens of those that wait) that left the line / seconds in which there was one
//
// (by tokens where prompts are what makes wait, by calls where slots or blocks are: a long prompt behind many short ones is not
// kept waiting for its length) all with a memory of DRAIN_MEMORY_S, and with the seconds since the last first byte, so that a line that stands is seen to
// stand; not known before there was a line for DRAIN_SEEN_S. Little's law without its assumptions: wait = tokens before it /
// tok_s. Merit sees its own calls only: the caller multiplies by what it reckons of others (pool/others.h). Pure.
//
// Grade: memory and DRAIN_SEEN_S guessed, 2026-11; in simulation a memory of 4 or 25 s made no difference (docs/sim.md).
#ifndef MERIT_POOL_DRAIN_H
#define MERIT_POOL_DRAIN_H

#include <stdint.h>

#define DRAIN_MEMORY_S 10.0
#define DRAIN_SEEN_S 0.5

struct drain {
    double tok, calls, s; // decayed
    uint64_t at_us;       // of the last first byte; 0: none yet
};

// `calls` with `tok` left the line, in which somebody has stood since `line_us` without a pause.
void drain_learn(struct drain *d, uint64_t tok, uint64_t calls, uint64_t line_us, uint64_t now_us);
// `mean_tok`: of those that wait now. `line_us` 0: nobody waits. < 0: not known.
double drain_tok_s(const struct drain *d, double mean_tok, uint64_t line_us, uint64_t now_us);

#endif
