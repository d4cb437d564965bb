// The pool: which places serve which model, with what key, and how each is doing.
//
// Three layers. `struct place` (pool/places.h) is what is known of one address, shared by all loops and outliving a policy.
// `struct pool` is made once per policy load: models with their keys, endpoints, and a table of numbered *slots*, each with
// the place that has that number and what the policy says of it. Only the control side edits the table (pool_add and the
// like); loops read it. `struct pool_loop` is one loop's view: connections, and the rows that decisions see.
//
//   pool_rows    the state that a decision may see                  work/pool.h
//   pool_pick    or a place without a decision: the least loaded one
//   pool_begin   claims slot, rate and, of a place that was out, the one trial; the call may go out
//   pool_first   its first good byte has come
//   pool_end     and it is over: health, speeds and counters learn
//
// A model is down when none of its places is in service, or when its own breaker is open: POOL_MODEL_REFUSALS calls in a row
// were refused for the key's or the account's sake, wherever they went.
#ifndef MERIT_POOL_POOL_H
#define MERIT_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "net/http_client.h"
#include "pool/places.h"
#include "work/image.h"
#include "work/pool.h"

enum {
    POOL_KEY_BYTES_MAX = 4096,
    POOL_ENDPOINTS_PER_MODEL_MAX = 32,
    POOL_DIAG_BYTES = 256,
    POOL_SPARE_PER_MODEL =
        8, // numbers kept free for `merit pool add`; a discovered endpoint has all there are
    POOL_MODEL_REFUSALS = 12,  // in a row, wherever they went
    POOL_FORBIDDEN_IN_ROW = 3, // 403 here and an answer elsewhere: it may have been the request
    // A place that answers nothing but 429 and does not say for how long is fast and idle, and would be asked first for
    // ever. From so many in a row on it is left alone, each time twice as long.
    POOL_BUSY_IN_ROW = 3,
    POOL_BUSY_MS = 250,
    POOL_BUSY_DOUBLINGS = 5,
    POOL_RETRY_AFTER_MAX_S = 300,   // longer than that no place is left alone at its own word
    POOL_ROWS_FRESH_US = 200,       // rows may be so old, and a microsecond more per place
    POOL_SITES_MAX = 65536,         // that a table remembers, removed ones included
    POOL_LOAD_FRESH_MS = 2000,      // what an answer says of the place's load counts for so long
    POOL_SITE_KEPT_MS = 600 * 1000, // a loop holds one for a moment only
    POOL_URL_MAX = 2048,
};

// Share of a KV cache in use from which requests wait for blocks (as SCORE_KV_FULL).
#define POOL_KV_FULL 0.9F

// An endpoint as the policy states it, with its URL taken apart. Of one that is discovered in a file `host` is empty.
struct pool_endpoint {
    struct slice host;    // of services the name behind the two labels
    struct slice service; // that is looked up; empty of others
    uint16_t port;
    bool tls;
    struct slice path; // prefix, without a trailing slash: "/v1"
    struct slice url;  // as the policy states it
    int32_t model;
    uint32_t in_model; // place among the endpoints of the model
    int32_t index;     // of the image
    const struct image_endpoint *def;
};

struct pool_model {
    struct slice name, upstream_name;
    struct slice upstream_json; // `"model":"NAME"`, ready to be spliced into a body
    uint32_t endpoint_first, endpoint_count;
    uint32_t slot_first, slot_room;
    _Atomic uint32_t slot_count;
    _Atomic bool ranked;        // some place has a rank
    struct slice authorization; // "Bearer KEY", or empty; secret
    bool key_missing;           // the policy names a key that is not there
    struct health breaker;
};

enum pool_source {
    POOL_FROM_POLICY,
    POOL_FROM_DISCOVERY,
    POOL_FROM_ADMIN,
};
extern const char *const pool_source_names[];
// By enum pool_place_state: "up", "trying", "out", "limited", "draining", "gone", "standby".
extern const char *const pool_place_state_names[];

// What a slot holds: immutable once it stands there, but for the numbers.
struct pool_site {
    struct place *place;
    int32_t endpoint; // of the pool: what the policy says of it holds here
    enum pool_source source;
    _Atomic uint32_t weight_milli, slots, rate_min, rate_tok_min;
    _Atomic uint32_t rank; // 0: asked first; others of its endpoint while no lower one has room
    struct slice url, host, path;
    struct slice connect; // numeric address to connect to instead of the host's; empty: the host's
    uint16_t port;
    bool tls;
    uint64_t retired_ms; // control side only; 0: it stands in its slot
    struct pool_site *next;
    char text[];
};

enum pool_slot_mode { POOL_SLOT_SERVES, POOL_SLOT_DRAINING, POOL_SLOT_GONE };

struct pool_slot {
    _Atomic(struct pool_site *) site; // NULL: none yet
    _Atomic uint32_t generation;      // grows with each site
    _Atomic uint8_t mode;             // enum pool_slot_mode
    // Control side only (pool/discovery.h).
    bool leaving; // draining, and then gone
    bool held;    // by an administrator: no list brings it back
};

struct pool {
    const struct policy_image *image;
    struct pool_model *models; // in the image's order
    uint32_t model_count;
    struct pool_endpoint *endpoints;
    uint32_t endpoint_count;
    struct pool_slot *slots; // of all models, one model's behind the other's
    uint32_t slot_room;
    uint32_t *first;          // of each model's slots, and one more
    _Atomic uint64_t changes; // of a state, by anyone
    struct pool_site *sites;  // all, control side only
    uint32_t site_count;
};

// Everything but sites is allocated from `arena`; the image must outlive it. `demo_port` stands in for endpoints of the
// embedded pool (0: there is none, and such an endpoint is an error). RESULT_SYNTAX, RESULT_LIMIT, RESULT_UNSUPPORTED,
// RESULT_NOMEM, with a sentence in `diag`. A missing key is no error: its model is out of service (POOL_MODEL_NO_KEY).
// pool_close may follow whatever came of it.
enum result pool_open(struct pool *p, const struct policy_image *image, uint16_t demo_port,
                      struct arena *arena, char diag[POOL_DIAG_BYTES]);
// When no loop uses it any more. No-op on zeroes.
void pool_close(struct pool *p);

// --- the control side; one thread

// Places of `old` that the new pool names as well serve on. Before any loop has seen `p`.
// One that is out for its key or model may be tried at once.
void pool_inherit(struct pool *p, const struct pool *old, uint64_t now_ms);

struct pool_add {
    int32_t endpoint;
    enum pool_source source;
    struct slice url;                                     // http(s)://host[:port]/base
    struct slice connect;                                 // numeric address, or empty
    uint32_t weight_milli, slots, rate_min, rate_tok_min; // 0: as the endpoint
    uint32_t rank;
    uint16_t port; // of `connect`; 0: as the endpoint
};
// Gives the place a number, or its old one back; one that stands there already is found again, with the attributes that are
// given now. RESULT_SYNTAX (no such URL), RESULT_EXISTS (an endpoint of the policy has this URL, and what constraints
// say of that one must hold for it), RESULT_LIMIT (the model has no room for more), RESULT_NOMEM.
enum result pool_add(struct pool *p, const struct pool_add *add, uint64_t now_ms, uint32_t *slot);
void pool_set_mode(struct pool *p, uint32_t slot, enum pool_slot_mode mode);
// A removed place gets no new call. It is GONE, and its number may be given away when nothing runs there any more.
void pool_remove(struct pool *p, uint32_t slot, uint64_t now_ms);
// The slot of a model's place by its URL, GONE ones excluded; -1: none.
int32_t pool_find(const struct pool *p, int32_t model, struct slice url);
// Loops look again at the next decision: something changed that they do not learn of otherwise.
void pool_changed(struct pool *p);
// Frees what was removed long ago.
void pool_sweep(struct pool *p, uint64_t now_ms);

// --- loops

static inline const struct pool_site *pool_site(const struct pool *p, int32_t place)
{
    return atomic_load_explicit(&p->slots[place].site, memory_order_acquire);
}

struct pool_seat {
    struct http_origin *origin;
    uint32_t generation; // that it is of; 0: none
};

struct pool_loop {
    struct pool *pool;
    struct http_client *client;
    struct tls_context *client_tls;
    struct pool_seat *seats; // one per slot
    struct pool_place
        *rows;        // one per slot; whoever asks for them may write prefix_tok and slot_nusd_s
    uint32_t *end;    // one per model
    uint8_t *states;  // one per model
    uint64_t rows_us; // when they were filled; 0: never
    uint64_t changes; // that they show
    uint32_t place_count;
    uint32_t turn;  // breaks ties
    uint64_t views; // given out
    uint64_t seed;  // of this loop
};

// `client_tls` is used for https places. RESULT_NOMEM.
enum result pool_loop_open(struct pool_loop *l, struct pool *pool, struct http_client *client,
                           struct tls_context *client_tls, struct arena *arena);

// Fills the view's epoch, states and places. They stay as they are until the loop's next call of a function here: a
// decision that pauses asks again. This loop's own calls are always counted in them; the rest may be
// POOL_ROWS_FRESH_US old.
void pool_rows(struct pool_loop *l, uint64_t now_us, struct pool_view *out);

// The place of `model` for the next attempt: in service, and with the fewest calls in flight for its weight. `tried` has a
// bit per place of the model that is left out, `closed` one per endpoint of it. When all of the rest are out of service,
// the one that returns first is given, as far as `how` lets it; never one whose own limits are reached, or that is out for its
// key or model. IMAGE_NONE when nothing is left.
enum pool_pick_how {
    POOL_PICK_SERVING, // none that is out of service
    POOL_PICK_CUT_OFF, // one whose connections broke: it may be back, and to ask it costs it nothing when it is not
    POOL_PICK_ANY,
};
int32_t pool_pick(struct pool_loop *l, int32_t model, uint64_t tried, uint64_t closed,
                  enum pool_pick_how how, uint64_t now_us);
// Whether the model is down and yet has a place that pool_pick gives by POOL_PICK_CUT_OFF.
bool pool_may_be_back(struct pool_loop *l, int32_t model, uint64_t now_us);
// The bit of a place in `tried`.
uint64_t pool_bit(const struct pool_loop *l, int32_t place);
// Where to connect; RESULT_NOMEM, RESULT_LIMIT.
enum result pool_origin(struct pool_loop *l, int32_t place, struct http_origin **out);

// A call under way; embedded in its owner.
struct pool_call {
    struct place *place;
    struct health *breaker;
    const struct pool_model *model;
    int32_t number;
    uint32_t tok, wait_tok; // as counted in the place
    uint32_t ahead_tok;     // that others had to prefill there when it began
    uint32_t rate_tok_min;
    struct health_claim claim, model_claim;
    uint64_t began_us, first_us; // loop time; first_us 0: no good byte yet
    bool forced;                 // it had nowhere else to go
    bool waits;                  // its wait_tok is still counted
    bool waited;                 // it found no free slot
};

struct pool_ask {
    uint32_t compute_tok; // of the prompt that has to be computed there
    uint32_t output_tok;  // expected
    bool force;           // out of service or not: there is nowhere else to go
};
// RESULT_OK: the call may go out, and is followed by exactly one pool_end. RESULT_AGAIN: another call has just taken the
// slot, the rate or the trial; pick again.
enum result pool_begin(struct pool_loop *l, int32_t place, const struct pool_ask *ask,
                       uint64_t now_us, struct pool_call *call) MERIT_NODISCARD;
// The first event of a stream, good as it is: a trial is won, and the prompt is computed. Not for whole answers.
void pool_first(struct pool_loop *l, struct pool_call *call, uint64_t now_us);

// What the answer's head says of the place's load, before pool_end (pool/telemetry.h).
void pool_load(struct pool_call *call, struct slice header, uint64_t now_us);

enum pool_outcome {
    POOL_OK,      // it answered as it should; client errors are its right
    POOL_FAILED,  // it did not, or with 5xx
    POOL_LIMITED, // 429: busy, not broken
    POOL_DROPPED, // the client left; says nothing of the endpoint
    POOL_REFUSED, // it does not take Merit's key, that has no credit, or it knows no such model: it is well, and of no use
};
struct pool_report {
    enum pool_outcome outcome;
    uint32_t retry_after_s; // that came with a 429 or 503; 0: none
    bool cut_off;           // POOL_FAILED: its connection failed or broke before any answer
    enum health_why denial; // POOL_REFUSED: for what; 0 is the key
    // What it took, as told by the upstream; `known` false: nothing is learned of speeds.
    bool known;
    uint32_t input_tok, cached_tok, output_tok;
};
void pool_end(struct pool_loop *l, struct pool_call *call, const struct pool_report *report,
              uint64_t now_us);

// A request that was refused at the place, with `status`, was taken at another one of the model: so it is neither the key nor
// the request. A place that is in service is put out as HEALTH_WHY_KEY or HEALTH_WHY_UNKNOWN, of a 403 only when it is the
// POOL_FORBIDDEN_IN_ROW-th in a row. `who` is what stood there when it refused.
void pool_taken_elsewhere(struct pool_loop *l, int32_t place, const struct place *who, int status,
                          uint64_t now_us);

// After so long without a first byte a call there is slower than 19 of 20; < 0: not known yet.
float pool_slow_ms(const struct pool_loop *l, int32_t place);

// Seconds until the first place of the model is tried again, at least 1; for Retry-After.
uint32_t pool_retry_after_s(const struct pool_loop *l, int32_t model, uint64_t now_us);
// The same where none of the model's places is in service; 0: one is.
uint32_t pool_out_s(const struct pool_loop *l, int32_t model, uint64_t now_us);
// Whether the model is down because its key is refused wherever it is used.
bool pool_is_denied(const struct pool_loop *l, int32_t model, uint64_t now_us);

#endif
