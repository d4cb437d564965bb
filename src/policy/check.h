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

struct checker {
    const struct tree *tree;
    const struct signal_registry *registry;
    struct arena *arena;
    struct diag_list *diags;
    struct builder build;
    struct names zones, models, signals, paths, routes, aliases;
    const struct node *header, *otherwise;
    bool bad_header, bad_otherwise, bad_statement;
    const struct policy_image *signal_image; // zones to signals, for the functions of families
    const struct signal_family **families;   // per signal; NULL when it could not be checked
    struct map atoms;                        // what an atom asks -> index + 1
    uint32_t *seen;                          // per atom and sign, the n-ary node that saw it last
    uint32_t seen_room, seen_stamp;
    uint32_t *candidate; // per model and effort, the step that named it last
    uint32_t candidate_stamp;
    uint32_t named; // candidates named so far
    struct image_list any[IMAGE_EFFORT_COUNT_];
    bool any_known[IMAGE_EFFORT_COUNT_];
    bool nomem;
};

// Findings.
struct diag *check_error(struct checker *c, const struct node *n, const char *code, const char *fmt,
                         ...) MERIT_PRINTF(4, 5);
struct diag *check_warning(struct checker *c, const struct node *n, const char *code,
                           const char *fmt, ...) MERIT_PRINTF(4, 5);
void check_unsupported(struct checker *c, const struct node *n, const char *what);
// "did you mean", from candidates; nothing when none is near.
void check_nearest(struct checker *c, struct diag *d, struct slice name, const struct slice *at,
                   size_t count);
// The same for a NULL-terminated list of words; `otherwise` (may be NULL) is the help when none is near, and all words
// are listed when it is NULL.
void check_nearest_word(struct checker *c, struct diag *d, struct slice name,
                        const char *const *words, const char *otherwise);

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
struct slice check_string(struct checker *c, const struct node *n);
// Complains about clauses that stand twice.
void check_clauses_once(struct checker *c, const struct node *n);

void check_zones(struct checker *c);
void check_models(struct checker *c);
void check_aliases(struct checker *c);
void check_signals(struct checker *c);
// check_guard.c: appends the guard to the nodes; NULL is `true`.
struct image_list check_guard(struct checker *c, const struct node *guard);
void check_routes(struct checker *c);

#endif
