// The compute pool: encoders beside the event loops (work/trunk.h).
//
// A few threads at idle priority (SCHED_IDLE) read texts; an event loop hands a job over without waiting and is told when it
// is done, so that it never waits for an encoder nor for a lock that such a thread could hold while it does not run.
//
//   compute_open(options, &c)
//   compute_submit(c, job, asks)     copies the texts; refuses at once when more tokens wait than the options allow
//   job->done(job)                   once for every submitted job, on a thread of the pool
//   compute_take(job, asks, arena)   copies the answers to where the asks live
//   compute_release(job)
//
// Answers to exact texts are remembered, shared by the threads. compute_service is the same for callers that may wait: it
// reads on the caller's own thread at the caller's priority, so that nobody waits for the pool.
#ifndef MERIT_MODEL_COMPUTE_H
#define MERIT_MODEL_COMPUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/trunk.h"

enum {
    COMPUTE_THREADS_MAX = 64,
    COMPUTE_JOB_BYTES_MAX = 256 * 1024 * 1024, // texts and answers of one job
    COMPUTE_CACHED_BYTES_MAX = 32 * 1024, // of one text's answer; larger ones are not remembered
    COMPUTE_BUCKETS = 14,
};

// What reads; one reader belongs to one thread. `compute_reader` is that of model/reader.h, whose model is a
// `const struct reader_model *`.
struct compute_engine {
    enum result (*open)(const void *model, void **reader);
    void (*close)(void *reader); // NULL is a no-op
    // As reader_answer.
    void (*answer)(void *reader, struct trunk_ask *ask, struct arena *arena,
                   const atomic_bool *stop);
};
extern const struct compute_engine compute_reader;

// A model as the pool uses it; what it points to outlives the pool.
struct compute_model {
    const struct compute_engine *engine; // NULL: the model is not here
    const void *model;
    struct slice name, digest; // digest: lower-case hex, at least 8
    uint32_t dim;              // of vectors; for TRUNK_ENTITY anything but 0
    uint32_t window_tok;
    const struct slice *labels; // TRUNK_ENTITY: kinds, as trunk_entity.label counts them
    uint32_t label_count;
};

struct compute_options {
    uint32_t threads;   // 0: none, only compute_service
    uint32_t queue_tok; // estimated tokens of jobs that have not begun; more is refused
    size_t cache_bytes; // of remembered answers; 0: none
    struct compute_model models[TRUNK_MODELS];
    const char *heads; // folder of head files, NAME.safetensors; may be NULL
};

struct compute;

// Starts the threads. RESULT_NOMEM.
enum result compute_open(const struct compute_options *options,
                         struct compute **out) MERIT_NODISCARD;
// Cancels all jobs and joins the threads: every `done` has been called when it returns, and later submits are refused (none
// may be under way). The service goes on. Call it before what `done` uses goes. NULL is a no-op.
void compute_stop(struct compute *c);
// Stops and frees; nobody uses the service any more. NULL is a no-op.
void compute_close(struct compute *c);

// Lives as long as the pool. `answer` waits, and may be called by several threads.
const struct trunk_service *compute_service(const struct compute *c);

// Embedded in its owner; zero-initialise, set `done`. From submit to `done` it belongs to the pool, but for compute_cancel.
struct compute_job {
    void (*done)(struct compute_job *job); // must not block
    // private
    struct compute *pool;
    struct compute_job *next;
    struct arena arena;
    struct trunk_ask *asks;
    uint32_t tok;
    uint64_t begin_us;
    atomic_bool stop;
};

// Takes the asks of the list that are not answered; the list and its texts may go afterwards. Lock-free; any thread.
// RESULT_LIMIT (too many tokens wait), RESULT_NOT_FOUND (no threads, or stopped), RESULT_NOMEM: the job was not taken, `done`
// is not called.
enum result compute_submit(struct compute *c, struct compute_job *job,
                           const struct trunk_ask *asks) MERIT_NODISCARD;
// Gives the job up: it is done soon, what was not read yet RESULT_CANCELLED. Any thread, between submit and release.
void compute_cancel(struct compute_job *job);
// Once done: answers into `asks`, the list that was submitted, unchanged since. RESULT_NOMEM: what could not be copied is
// answered with that.
enum result compute_take(const struct compute_job *job, struct trunk_ask *asks,
                         struct arena *arena);
// Frees what the job holds. Once done.
void compute_release(struct compute_job *job);

// Tokens that a text is taken for before it is read: a quarter of its bytes and the frame, cut to what TRUNK_TOPIC reads.
uint32_t compute_estimate_tok(const struct compute_model *m, enum trunk_reading reading,
                              struct slice text);

// What happened so far; any thread. Only grows but for the gauges.
struct compute_counts {
    uint64_t asks, remembered; // texts asked about; of these from memory
    uint64_t failed;           // texts that could not be read
    uint64_t tokens, cpu_us;   // that were read, and what it cost
    uint64_t jobs, refused, cancelled;
    uint64_t queued_jobs, queued_tok, running; // gauges
    uint64_t cached_bytes;                     // gauge
    // Jobs by the time from submit to done; the bounds are compute_bounds_us, the last bucket is beyond.
    uint64_t buckets[COMPUTE_BUCKETS + 1];
    uint64_t wait_us; // their sum
};
extern const uint64_t compute_bounds_us[COMPUTE_BUCKETS];
void compute_count(struct compute *c, struct compute_counts *out);

#endif
