// How long answers are: output tokens by (model, effort, task), learned from what came back; and how far the estimate of
// input tokens is off for a model.
//
//   loops     lengths_task, lengths_expect      on an epoch: a few probes of a table, no allocation
//             lengths_input
//             lengths_saw                       into a ring of the loop's own: no lock, no allocation
//   control   lengths_merge                     now and then: takes the rings in
//             lengths_epoch_make                an immutable epoch, counted references, any thread
//             lengths_write, lengths_read       a file's bytes
//
// A cell is a model with an effort, a task (route, values of signals, shape of the request) and a class of input length. What
// is known of a cell is shrunk towards its task's, that towards the model's, that towards all, and that towards a guess:
// each parent counts as LENGTHS_SHRINK answers. What is old fades: a cell remembers about its last LENGTHS_MEMORY answers.
//
// The mean is for money: what was expected too little of a model's answers is asked for again in the next ones, so that the sum
// comes right when cells lag behind a drift. The interval is meant to hold 80 % of what comes: its width follows,
// cell by cell and model by model, what earlier intervals have missed (adaptive conformal inference, Gibbs and Candès
// 2021, arXiv 2106.00170: alpha <- alpha + gamma (0.2 - missed)), so that it holds under drift, too. Where one length is that
// of more than 80 % of the answers it holds more.
//
// Constants: gamma 0.005 per answer (cited, the paper's), the others guessed, 2026-11; bench/bench_route_lengths.c shows what
// comes of them on recorded traffic.
#ifndef MERIT_ROUTE_LENGTHS_H
#define MERIT_ROUTE_LENGTHS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/work.h"

enum {
    LENGTHS_VERSION = 1,
    LENGTHS_CELLS_MAX = 2048, // the one unseen for longest makes room
    LENGTHS_RING = 2048,      // answers of one loop between two merges; more are not learned from
    LENGTHS_SHRINK = 12,      // answers
    LENGTHS_MEMORY = 1000,    // answers
    LENGTHS_FILE_MAX = 16 * 1024 * 1024,
};

// --- what is asked for

// Of a model's, route's or word's name: the same over edits of the policy and starts.
uint64_t lengths_name(struct slice name);
// The part of a cell that no model changes: made once per decision. `route` is lengths_name of the route; `words` whatever
// else tells tasks apart (the word of an enum signal), 0 without.
struct lengths_task {
    uint64_t task, cell;
    uint32_t input_tok; // estimated
    uint32_t cap_tok;   // most output of a choice; 0: none
    uint32_t choices;
};
struct lengths_task lengths_task(const struct work *work, uint64_t route, uint64_t words);
// The task under a route (NULL: none matched), with the words of those enum signals that are known. `facts` may be NULL.
struct lengths_task lengths_task_of(const struct work *work, const struct policy_image *image,
                                    const struct image_route *route, const struct fact *facts);

struct lengths_expect {
    float mean_tok;             // of all choices together
    uint32_t low_tok, high_tok; // 80 %
    uint32_t p50_tok, p95_tok;
    float answers; // that it rests on, of the cell alone
};

struct lengths_epoch; // immutable
// `e` NULL: the guess. `cap_tok`: most output of one choice, as the model and the step have it besides the request's; 0:
// none. Any thread.
void lengths_expect(const struct lengths_epoch *e, uint64_t model, enum image_effort effort,
                    const struct lengths_task *task, uint32_t cap_tok, struct lengths_expect *out);

// Input tokens as the model's endpoints count them, of an estimate: what is expected, and what 99 % of requests stay below.
// While nothing is known: the estimate, and 1.5 x it.
struct lengths_input {
    uint32_t expected_tok, high_tok;
};
struct lengths_input lengths_input(const struct lengths_epoch *e, uint64_t model,
                                   uint32_t estimated_tok);

void lengths_epoch_ref(struct lengths_epoch *e);
void lengths_epoch_unref(struct lengths_epoch *e);             // NULL: no-op
uint64_t lengths_epoch_answers(const struct lengths_epoch *e); // that it rests on

// --- what came

struct lengths; // the learner
// RESULT_NOMEM.
enum result lengths_open(struct lengths **out, uint32_t loops) MERIT_NODISCARD;
void lengths_close(struct lengths *l); // NULL: no-op

struct lengths_answer {
    uint64_t model; // lengths_name
    enum image_effort effort;
    struct lengths_task task;
    struct lengths_expect expected; // what was said of it before, for the width of the interval
    uint32_t output_tok;            // of all choices together, as the upstream counted
    uint32_t input_tok;             // as the upstream counted; 0: it did not
};
// A whole answer with usage that can be believed. On loop number `loop`. False: the ring is full until the next merge, or the
// answer says nothing.
bool lengths_saw(struct lengths *l, uint32_t loop, const struct lengths_answer *a);

// --- control

// Takes in what the loops saw. True when there is so much more of it that a new epoch is worth making.
bool lengths_merge(struct lengths *l);
// An epoch of what was merged; one reference. RESULT_NOMEM.
enum result lengths_epoch_make(struct lengths *l, struct lengths_epoch **out) MERIT_NODISCARD;
uint64_t lengths_answers(const struct lengths *l); // taken in, ever
uint32_t lengths_cells(const struct lengths *l);
uint64_t lengths_dropped(const struct lengths *l); // for want of room in a ring

// Appends what was learned as a file's bytes, in this machine's byte order.
void lengths_write(const struct lengths *l, struct buf *out);
// Takes it over; nothing else may have been merged yet. RESULT_SYNTAX (damaged), RESULT_VERSION, RESULT_NOMEM; nothing is
// taken then.
enum result lengths_read(struct lengths *l, struct slice bytes) MERIT_NODISCARD;

#endif
