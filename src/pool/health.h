// Whether a place is in service: one word that all loops change by compare and swap.
//
//   UP      -> OUT      so many failures in a row, or the control side judges it an outlier
//   OUT     -> TRYING   its time is over and a call, and only that one, is the trial
//   TRYING  -> UP       the trial's first byte is good
//   TRYING  -> OUT      it is not: twice as long, with jitter, up to POOL_EJECT_MAX_MS
//
// Every change begins another *era*. A call remembers the era in which it began, and what it has to tell of another one
// is not heard: calls that were under way when a place was put out neither bring it back nor put it out again, however
// late they end. A trial that tells nothing for POOL_TRIAL_MS gives way to another one; when it is good after all, while that
// one is under way, the place is back: answers that take longer than POOL_TRIAL_MS are no reason to stay out.
//
// All functions may be called from any thread; none waits. Time is loop time in milliseconds.
#ifndef MERIT_POOL_HEALTH_H
#define MERIT_POOL_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    POOL_FAILURES_TO_EJECT = 3,
    POOL_EJECT_MS = 2000,
    POOL_EJECT_MAX_MS = 60000,
    POOL_EJECT_JITTER_PERCENT = 10, // a place comes back up to so much later
    POOL_TRIAL_MS = 30000,
    POOL_TRIALS_HEARD = 8, // so many changes of state later a trial's good end still counts
    // A place that falls out again so soon after its return goes on where its ejections had been.
    POOL_RELAPSE_MS = 60000,
    // One that refuses Merit's key or does not know the model waits for a person.
    POOL_DENIED_MS = 30000,
    POOL_DENIED_MAX_MS = 300000,
};

enum health_state { HEALTH_UP, HEALTH_OUT, HEALTH_TRYING };

// Why it was put out, for people.
enum health_why {
    HEALTH_WHY_NONE,
    HEALTH_WHY_FAILURES, // in a row
    HEALTH_WHY_TRIAL,    // the trial failed
    HEALTH_WHY_SHARE,    // a larger share of its calls fails than elsewhere
    HEALTH_WHY_SLOW,     // its first bytes come much later than elsewhere
    HEALTH_WHY_CHECK,    // its health check fails
    HEALTH_WHY_KEY,      // it refuses Merit's key, which another place takes
    HEALTH_WHY_UNKNOWN,  // it does not know the path or model, which another place does
    HEALTH_WHYS
};
extern const char *const health_why_names[HEALTH_WHYS];
// HEALTH_WHY_KEY, HEALTH_WHY_UNKNOWN: put out for POOL_DENIED_MS, doubled up to POOL_DENIED_MAX_MS, and no health check helps.
bool health_is_denial(enum health_why why);

struct health {
    _Atomic uint64_t word;     // private: state, ejections in a row, era, time
    _Atomic uint32_t failures; // in a row, of this era
    _Atomic uint32_t ejected;  // times, ever
    _Atomic uint32_t why;      // enum health_why of the last time
};

struct health_seen {
    enum health_state state;
    uint32_t ejections; // in a row
    uint16_t era;
    uint64_t
        until_ms; // OUT: when a trial may begin; TRYING: when another may; UP: when it came back, 0: never was out
};
struct health_seen health_look(const struct health *h);

// A claim to call: what the call remembers.
struct health_claim {
    uint16_t era;
    bool trial;
};
// False: it is out, or somebody else is trying it. `force` takes the trial before its time, for a request that has nowhere
// else to go; where a trial is under way already the call goes beside it and its word does not count.
bool health_claim(struct health *h, uint64_t now_ms, bool force, struct health_claim *out);
// The call's outcome; true when the state has changed. `failures_max` in a row put it out (POOL_FAILURES_TO_EJECT for a
// place). `jitter` is any number, drawn by the caller.
bool health_good(struct health *h, const struct health_claim *c, uint64_t now_ms);
bool health_bad(struct health *h, const struct health_claim *c, uint32_t failures_max,
                uint64_t now_ms, uint32_t jitter);
// The trial was refused again, for `why` (a denial): it is out for longer. Anything but a trial says nothing here.
bool health_denied(struct health *h, const struct health_claim *c, enum health_why why,
                   uint64_t now_ms, uint32_t jitter);
// It tells nothing (the client left): a trial is given back.
bool health_void(struct health *h, const struct health_claim *c, uint64_t now_ms);

// The control side's judgement of a place that is UP; false when it was not.
bool health_eject(struct health *h, enum health_why why, uint64_t now_ms, uint32_t jitter);
// A check of a place that is OUT has failed: its trial waits until at least `until_ms`. It was answered: the trial may
// begin at once.
void health_hold(struct health *h, uint64_t until_ms);
bool health_release(struct health *h, uint64_t now_ms);

// --- outliers (pure)

// What one place did in the last window.
struct health_window {
    uint64_t calls, errors;
    float first_ms; // typical time to the first byte in it; < 0: not known
    uint32_t firsts;
    bool out; // it is out already: no candidate, and counts towards the cap
};
enum {
    OUTLIER_CALLS_MIN = 10,     // in the window, of the place and of the others together
    OUTLIER_SHARE_PERCENT = 30, // at least so many of its calls fail, ...
    OUTLIER_SHARE_TIMES = 3,    // ... and so many times the share of the others
    OUTLIER_SLOW_TIMES = 5,     // times the median of the others
    OUTLIER_SLOW_MS = 500,      // and so much more
    OUTLIER_CAP_PERCENT = 50,   // of a model's places are out at most by this judgement
};
// Judges the `count` places of one model together; why[i] is HEALTH_WHY_SHARE, HEALTH_WHY_SLOW or HEALTH_WHY_NONE. The
// worst go first when the cap does not let all of them be put out; among equals the first. Returns how many are to go.
uint32_t health_judge(const struct health_window *w, uint32_t count, enum health_why *why);

#endif
