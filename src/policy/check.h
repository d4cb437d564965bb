// Inside of the checker: what its files share. For policy/ only.
//
// One walk in the order names need: collect all names, then zones and models, signals, routes, aliases and passes. Each
// part is checked and put into the image by the same function; when there was an error the image is thrown away.
// What stands in a statement that did not parse is known by name ("poisoned"), so that one mistake is not told twice.
#ifndef MERIT_POLICY_CHECK_H
#define MERIT_POLICY_CHECK_H

#include "base/map.h"
#include "policy/builder.h"
#include "policy/tree.h"
#include "policy/units.h"
#include "work/signal.h"

// What `caller(label)` holds for an asserted word that is no level; no name is written so.
#define CHECK_NO_LEVEL "?"

enum { NAME_UNKNOWN = -1, NAME_POISONED = -2 };

// The names of one kind, in the order of the file. Index i is the i-th element of the image's section.
struct names {
    const char *what; // "model"
    struct map map;   // name -> index + 1, or `poison`
    struct slice *at;
    const struct node **nodes;
    bool *used;
    uint32_t count, room;
};

// A level of a lattice.
struct level {
    uint32_t lattice, level;
};

struct checker {
    const struct tree *tree;
    const struct signal_registry *registry;
    const struct price_list *prices; // NULL: the built-in one
    struct arena *arena;
    struct diag_list *diags;
    struct builder build;
    struct names lattices, levels, zones, sinks, models, signals, paths, routes, aliases, tests;
    struct level *level_of; // per name of `levels`
    const struct node *header, *otherwise, *dispatch;
    bool bad_header, bad_otherwise, bad_statement;
    const struct policy_image *signal_image; // zones to signals, for the functions of families
    const struct signal_family **families;   // per signal; NULL when derived or not checked
    bool *signal_ok;          // per signal: its type and what depends on it are known
    uint32_t *derive_state;   // per signal, see check_derive.c
    uint32_t *hidden_first;   // per label, its first hidden signal
    uint32_t signals_written; // those of the file; hidden ones stand behind them
    struct map atoms;         // what an atom asks -> index + 1
    uint32_t *seen;           // per atom and sign, the n-ary node that saw it last
    uint32_t seen_room, seen_stamp;
    uint32_t *candidate; // per model and effort, the step that named it last
    uint32_t candidate_stamp;
    uint32_t named; // candidates named so far
    struct image_list any[IMAGE_EFFORT_COUNT_];
    bool any_known[IMAGE_EFFORT_COUNT_];
    uint32_t steps_made;
    uint8_t *path_state; // per path, see check_path.c
    bool
        breaking; // what is being written out is too big or contains itself, whatever it is called with
    bool allows[IMAGE_EXTRA_COUNT_]; // an `allow` of it stands somewhere
    bool nomem;
};

// Findings.
struct diag *check_error(struct checker *c, const struct node *n, const char *code, const char *fmt,
                         ...) MERIT_PRINTF(4, 5);
struct diag *check_warning(struct checker *c, const struct node *n, const char *code,
                           const char *fmt, ...) MERIT_PRINTF(4, 5);
void check_unsupported(struct checker *c, const struct node *n, const char *what);
// Whether a finding of this code stands at this place already: what a path gets wrong is told once, however many routes
// use it.
bool check_told(struct checker *c, const struct node *n, const char *code);
// "did you mean", from candidates; nothing when none is near.
void check_nearest(struct checker *c, struct diag *d, struct slice name, const struct slice *at,
                   size_t count);
// The same for a NULL-terminated list of words; `otherwise` (may be NULL) is the help when none is near, and all words
// are listed when it is NULL.
void check_nearest_word(struct checker *c, struct diag *d, struct slice name,
                        const char *const *words, const char *otherwise);
// Index of a word in a list that ends with NULL; IMAGE_NONE with a finding: "no `what` is called".
int32_t check_word_of(struct checker *c, const struct node *word, const char *const *words,
                      const char *what);

// check_names.c
bool check_collect(struct checker *c);
void check_unused(struct checker *c);
// Index, NAME_POISONED (silently) or NAME_UNKNOWN (with a finding). Marks it as used.
int32_t check_find(struct checker *c, struct names *in, const struct node *word);
bool check_is_reserved(struct slice name);

// check_value.c
// The number of a NODE_NUMBER or NODE_QUANTITY whose unit must be `unit` ("tok", "usd/Mtok"; NULL: none may stand).
// False with a finding. `what` is the thing for messages: "a context window".
bool check_quantity(struct checker *c, const struct node *n, const char *unit, const char *what,
                    struct decimal *out);
// Whether a NODE_UNIT is this one.
bool check_unit_is(struct checker *c, const struct node *n, const char *unit);
bool check_number(struct checker *c, const struct node *n, const char *unit, const char *what,
                  double min, double max, double *out);
// Money in nano-USD.
bool check_money(struct checker *c, const struct node *n, const char *unit, const char *what,
                 int64_t max_nusd, int64_t *out);
bool check_whole(struct checker *c, const struct node *n, const char *unit, const char *what,
                 int64_t min, int64_t max, uint32_t *out);
// A quantity of any unit that can be bounded or paid: in whole units of `*unit`, what stands under the `/` in `*under`
// (empty without). Not negative.
bool check_any_amount(struct checker *c, const struct node *n, const char *what,
                      enum image_unit *unit, struct slice *under, int64_t *out);
// The same of one unit, `per` something or, when that is NULL, on its own.
bool check_amount(struct checker *c, const struct node *n, const char *per, const char *what,
                  enum image_unit unit, int64_t *out);
// Between one millisecond and a day.
bool check_timeout(struct checker *c, const struct node *n, uint32_t *ms);
struct slice check_string(struct checker *c, const struct node *n);
// Complains about clauses that stand twice.
void check_clauses_once(struct checker *c, const struct node *n);

// check_lattice.c
void check_lattices(struct checker *c);
void check_zones(struct checker *c);
void check_sinks(struct checker *c);
// The level of that name, in any lattice; false with a finding.
bool check_level(struct checker *c, const struct node *word, struct level *out);
uint32_t check_level_count(struct checker *c, uint32_t lattice);
void check_models(struct checker *c);
// check_endpoint.c: why `url` cannot be an endpoint, or NULL. `*secret` is set when it carries credentials.
const char *check_url_problem(struct slice url, bool *secret);
// The clause `endpoint` of a model; `key` is its clause `key` or NULL.
void check_endpoints(struct checker *c, uint32_t model, const struct node *clause,
                     const struct node *key);
void check_endpoint_add(struct checker *c, uint32_t model, struct slice url, uint32_t line);
// check_price.c: price and energy of a model whose other clauses are read, and of a zone.
void check_price(struct checker *c, const struct node *statement, struct image_model *m);
void check_energy(struct checker *c, const struct node *statement, struct image_model *m);
void check_zone_energy(struct checker *c, const struct node *statement, struct image_zone *z);
// One note on prices that say nothing of their date.
void check_dates(struct checker *c);
// check_dispatch.c
void check_dispatch(struct checker *c);
void check_aliases(struct checker *c);
void check_passes(struct checker *c);
// check_signal.c: those that a family computes, and what check_derive.c needs of it.
void check_signals(struct checker *c);
// Adds a signal that a label's term makes: `call` is NODE_CALL, or NULL for what the caller asserts.
void check_hidden_signal(struct checker *c, struct slice name, const struct node *statement,
                         const struct node *call);
const struct signal_family *check_family(struct checker *c, struct slice name);
// `above` and `below` of a signal whose type is number: false with a finding.
bool check_threshold(struct checker *c, const struct node *statement, struct image_signal *s,
                     struct slice what, const char *unit);
// check_derive.c
enum image_derive check_derive_kind(struct checker *c, const struct node *statement);
// An upper bound of the hidden signals that a statement makes, and their definition.
uint32_t check_hidden_bound(struct checker *c, const struct node *statement);
void check_hidden(struct checker *c, uint32_t signal);
void check_derived(struct checker *c);
// Appends a name that stands in no statement of its own; `node` is what its messages point to.
bool check_name_add(struct checker *c, struct names *in, struct slice text,
                    const struct node *node);
// check_guard.c: appends the guard to the nodes; NULL is `true`.
struct image_list check_guard(struct checker *c, const struct node *guard);
// The same of a guard that is not a route's.
struct image_list check_condition(struct checker *c, const struct node *guard);
// Both of two guards; the second may be NULL.
struct image_list check_both(struct checker *c, const struct node *a, const struct node *b);
// That label `signal` is at least `level`, and `guard` (may be NULL). `place` is where that was written.
struct image_list check_guard_level(struct checker *c, const struct node *place, uint32_t signal,
                                    uint32_t level, const struct node *guard);
// That a signal is true or not empty.
struct image_list check_guard_true(struct checker *c, const struct node *place, uint32_t signal);
// That a set has one of `texts`, which are put in order.
struct image_list check_guard_texts(struct checker *c, const struct node *place, uint32_t signal,
                                    struct slice *texts, uint32_t count);
void check_routes(struct checker *c);
// check_rule.c
// Tokens [n, end) on one line, as a name for what has none; cut when long.
struct slice check_text(struct checker *c, const struct node *n, uint32_t end);
// `verify` or `verify(nli)` where a step is required or expected: false with a finding.
bool check_passing(struct checker *c, const struct node *call, enum image_step_kind *step,
                   int32_t *sink);
// check_theorem.c: proofs, tests, assumptions; behind routes and rules.
void check_theorems(struct checker *c);
// Which extras the policy allows at all; before routes.
void check_allows(struct checker *c);
void check_rules(struct checker *c);

#endif
