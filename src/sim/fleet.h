// Many engines in virtual time, and a gateway in front that places requests.
//
// Replicas are engines of a file of constants (sim/constants.h). Jobs arrive at their times, a placement chooses a replica for
// each, and what becomes of it is written into the job; a job that its engine loses, or that finds it closed, is placed again
// (the gateway's retry before the first byte, the client's after it). The way between gateway and replica takes no time.
//
//   rr       in turn
//   lr       least requests in flight, the first of equals in turn
//   p2c      the better of two drawn ones, by requests in flight
//   oracle   knows every cache and every queue as they are: least seconds to the first token by the true constants
//   warm     knows every cache: most cached tokens among replicas with at most 1.3 x the mean in flight; for prefill alone
//   home     each session where it began, the replica with the fewest sessions; another one when that is down
//   merit    Merit's own pool and dispatch over what they can know (sim/fleet_merit.h)
//   blind    the same without its index of prefixes and its sessions
//
// rr, lr, p2c, oracle and warm are told at once which replicas are up.
//
// Deterministic by seed. One owner, one thread.
#ifndef MERIT_SIM_FLEET_H
#define MERIT_SIM_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/rng.h"
#include "sim/constants.h"
#include "sim/engine.h"

enum { FLEET_RETRY_US = 50000, FLEET_ATTEMPTS_MAX = 100 };

struct fleet;
struct fleet_job {
    // Asked
    uint64_t at_us;
    uint32_t prompt_tok, output_tok;
    const uint64_t *hashes; // as of struct engine_ask
    uint32_t hash_count, hash_tok;
    uint64_t session; // 0: none
    void *user;
    // What became of it
    int32_t replica; // the last; -1: none
    uint32_t attempts, cached_tok;
    uint64_t first_us, end_us; // 0: not yet; first_us of the attempt that ended well
    bool failed;               // too many attempts, or it fits nowhere
    // Private
    struct engine_request *request;
    uint64_t event_us, event_serial, tried;
    uint64_t small; // bit per replica that cannot hold it
    void *placed;   // the placement's own, of alloc.h; freed when the job is done
};

enum fleet_began {
    FLEET_SENT,
    FLEET_REFUSED, // the connection, or it is full
    FLEET_TOO_LONG // answered with an error of the request's own: it does not fit there
};

struct fleet_placement {
    const char *name;
    enum result (*open)(struct fleet *f, void **self);
    void (*close)(void *self);
    // A replica that is not in job->tried, or -1: none now.
    int32_t (*choose)(void *self, struct fleet_job *job, uint64_t now_us);
    // Any of these may be NULL.
    void (*began)(void *self, struct fleet_job *job, enum fleet_began how, uint64_t now_us);
    void (*first)(void *self, struct fleet_job *job, uint64_t now_us);
    void (*ended)(void *self, struct fleet_job *job, bool well, uint64_t now_us);
    // Every scrape_ms, for each replica that answers.
    void (*scraped)(void *self, uint32_t replica, const struct engine_stats *stats,
                    uint64_t now_us);
};

struct fleet_options {
    const struct constants *constants;
    const struct fleet_placement *placement;
    uint64_t seed;
    uint32_t scrape_ms; // 0: Merit's default
    // Called when a job has ended; it may push more.
    void (*on_done)(void *user, struct fleet *f, struct fleet_job *job, uint64_t now_us);
    void *user;
};

// NULL when there is no such placement.
const struct fleet_placement *fleet_placement(const char *name);
// The names of all, with commas.
extern const char fleet_placement_names[];

// RESULT_RANGE (no replica, or a profile that makes no engine), RESULT_NOMEM.
enum result fleet_open(struct fleet **out, const struct fleet_options *o);
void fleet_close(struct fleet *f);
// The job is the caller's and stays until it has ended. RESULT_NOMEM.
enum result fleet_push(struct fleet *f, struct fleet_job *job);
// The replica restarts at that time.
enum result fleet_restart_at(struct fleet *f, uint32_t replica, uint64_t at_us);
// Until nothing is left or the time has come; true when something is left.
bool fleet_run(struct fleet *f, uint64_t until_us);

uint64_t fleet_now_us(const struct fleet *f);
uint32_t fleet_replicas(const struct fleet *f);
const struct engine *fleet_engine(const struct fleet *f, uint32_t replica);
struct rng *fleet_rng(struct fleet *f);
uint32_t fleet_scrape_ms(const struct fleet *f);
uint32_t fleet_in_flight(const struct fleet *f, uint32_t replica);
uint64_t fleet_placed(const struct fleet *f, uint32_t replica); // jobs sent there so far
// Seconds it was up, and requests in flight integrated over that, up to now.
double fleet_up_s(const struct fleet *f, uint32_t replica);
double fleet_load_s(const struct fleet *f, uint32_t replica);
double fleet_joules(const struct fleet *f);

#endif
