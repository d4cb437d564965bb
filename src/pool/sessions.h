// Where each session was last: the place and model, how much of its prompt that place holds, and how many sessions a place has.
//
// A session is named by a hash of caller and session (whoever calls makes it; 0 is none). What a session that stays costs is not
// what its first request costs: an agent's loop comes back dozens of times. So for a session that has no open place,
// sessions_weigh changes what a decision sees:
//
//   a hit of the prefix cache is worth 1 / SESSIONS_STEPS of its tokens, because the head that sessions share is computed once
//   per place, and the session stays
//   a slot costs SESSIONS_SHARE seconds a second for each session that the place has already: they will meet in its batch
//
// bench/sticky shows what that does: without it sessions follow the first one to its place. SESSIONS_STEPS and SESSIONS_SHARE: of
// 0.02, 0.1 and 0.5 all spread the sessions evenly there; grade guessed, 2026-11.
//
// A table of fixed size; a new session takes the place of the one of its row that was silent for longest. Any thread may call
// anything but open, inherit and close: entries are relaxed atomics without locks, and a race costs a wrong estimate, never more.
#ifndef MERIT_POOL_SESSIONS_H
#define MERIT_POOL_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "work/pool.h"

enum {
    SESSIONS_ROWS_MAX = 1 << 16,
    SESSIONS_PER_ROW = 4,
    SESSIONS_IDLE_MS =
        300 * 1000, // silent for so long, it is over. Grade: cited (SAAR resets after 300 s)
    SESSIONS_STEPS = 16,
};
#define SESSIONS_SHARE 0.1F

struct sessions;
// `rows` is a power of two up to SESSIONS_ROWS_MAX. RESULT_NOMEM, RESULT_LIMIT.
enum result sessions_open(struct sessions **out, uint32_t rows) MERIT_NODISCARD;
void sessions_close(struct sessions *s); // NULL: no-op

struct session_seen {
    int32_t place; // by its number, -1: none
    int32_t model;
    uint32_t tok; // of its prompt that the place holds
};
struct session_seen sessions_look(const struct sessions *s, uint64_t name, uint64_t now_ms);
// Its request was sent there, with a prompt of so many tokens.
void sessions_sent(struct sessions *s, uint64_t name, int32_t place, int32_t model, uint32_t tok,
                   uint64_t now_ms);
// Takes over the sessions of `old` that are not over, before any loop has seen `s`; loops may go on writing to `old`.
// `place[p]` is the number here of its place p, or -1: that went away, and its sessions look for another one. `model[m]` the
// same of models. Numbers from the counts on went away.
void sessions_inherit(struct sessions *s, const struct sessions *old, const int32_t *place,
                      uint32_t places, const int32_t *model, uint32_t models, uint64_t now_ms);
// The place's cache is empty: what was there holds nothing, and is looked for no more.
void sessions_forget(struct sessions *s, int32_t place);
// Sessions of the place, silent ones included until they are found so.
uint32_t sessions_of(const struct sessions *s, int32_t place);
// Ends what is silent in a sixteenth of the table; for the control side, a few times a minute.
void sessions_sweep(struct sessions *s, uint64_t now_ms);

// For a session that has no open place: changes `prefix_tok` of the places from `first` to before `end` and sets the
// slot_nusd_s of their rows, with a second being worth `second_nusd`. For any other only sets slot_nusd_s to 0. `prefix_tok`
// may be NULL: then that of the rows.
void sessions_weigh(const struct sessions *s, uint64_t name, uint64_t now_ms, float second_nusd,
                    struct pool_place *rows, uint32_t first, uint32_t end, uint32_t *prefix_tok);

#endif
