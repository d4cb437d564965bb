// Inside of the space: what its files share. For proof/space*.c only.
#ifndef MERIT_PROOF_SPACE_INNER_H
#define MERIT_PROOF_SPACE_INNER_H

#include "base/map.h"
#include "base/vec.h"
#include "proof/space.h"

enum field_kind {
    FIELD_BOOL,  // cells: 0 false, 1 true
    FIELD_CLASS, // one of several
    FIELD_ORDER, // intervals of a number, ascending
};

struct field {
    enum field_kind kind;
    bool fixed;       // always cell 0 in a drawn request: whether a signal fails
    uint32_t derived; // whose cell it is; UINT32_MAX: of a signal that is computed
    uint32_t cells;   // 1 to SPACE_CELLS_MAX
    uint32_t
        literal_at; // in space.literals. BOOL: one; CLASS: per cell; ORDER: per cell, "at least this cell"
    uint32_t possible_at; // in space.possible: ORDER, cells that hold a number at all
    uint32_t possible;    // how many
};

// A place on the number line between two cells: numbers on its right are >= at, or > at when `above`.
struct cut {
    double at;
    bool above;
};

// One value of a family with its arguments, which several signals may show.
struct group {
    enum signal_type raw; // before a threshold
    uint32_t field_at, field_count;
    uint32_t inputs; // how many
    // NUMBER: cuts between the cells of the field
    double min, max;
    bool whole;
    VEC(struct cut) cuts;
    // ENUM, TEXT, SET: what atoms mention, as elements; element 0 of TEXT and SET is any other, 1 of TEXT the empty
    // text. Elements of one class are told apart by no atom. A SET has a field per class.
    VEC(struct slice) texts; // of element i + reserved
    struct map index;        // text -> element + 1
    VEC(uint32_t) class_of;  // per element
    uint32_t classes;
    VEC(uint32_t) shown;               // per class, an element that stands for it
    bool closed;                       // SET: `words` are all there is
    const struct policy_image *image;  // where `signal` is
    const struct image_signal *signal; // one that shows it
    int32_t other_word;                // SET, closed: a word that nobody mentions, or IMAGE_NONE
};

// What one signal's name shows of a group: what fails or is given by itself.
struct input {
    uint32_t group;
    struct slice name;
    uint32_t failed_field; // UINT32_MAX: it need not be told apart
};

enum node_kind {
    NODE_TRUE,
    NODE_CELLS, // the field's cell is one of the list. ORDER: {first, end}
    NODE_AND,   // of the list of formulas
    NODE_ATOM,  // one formula, which is known as soon as the signal is
};

struct node {
    enum node_kind kind;
    uint32_t tag; // CELLS: field; ATOM: input
    uint32_t list_at, list_count;
    uint32_t literal;
    uint32_t next;    // in its hash chain
    uint64_t derived; // DERIVED_BIT of all that it looks at
};

// From the 64th on they share a bit.
#define DERIVED_BIT(i) (UINT64_C(1) << ((i) < 63 ? (i) : 63))

// An input of a score or an exclusive group, looked through scores inside it, in the order in which they are summed.
struct leaf {
    uint32_t input;   // UINT32_MAX: a guard
    uint32_t formula; // of the guard
    int32_t signal;   // of the derived's image
    bool falls; // the value falls as this one rises: an odd number of negative weights on the way
};

// A score or an exclusive group with a field of its own: what its cell is follows from the leaves by arithmetic, which
// the solver is taught clause by clause (space_theory.c). Equal ones of several images are one.
struct derived {
    enum image_derive kind;
    uint32_t image;
    int32_t signal;  // of that image: how it is computed
    uint32_t group;  // for its cuts and field
    uint32_t failed; // formula: something that it looks at has failed
    VEC(struct leaf) leaves;
    uint64_t relies; // DERIVED_BIT of itself and of those in its guards
    bool numbers;    // some leaf is a number
};

struct space {
    const struct policy_image *images[SPACE_IMAGES_MAX];
    uint32_t image_count;
    enum result err;
    struct sat *sat;
    struct sat_limits limits;
    uint32_t sound; // literal: no signal fails

    VEC(struct group) groups;
    VEC(struct input) inputs;
    VEC(struct field) fields;
    VEC(uint32_t) literals;
    VEC(uint8_t) possible;
    struct map by_key, by_name; // groups; inputs of (group, name)
    struct arena names;         // keys of the maps

    uint32_t *signal_input[SPACE_IMAGES_MAX];   // per signal; UINT32_MAX for derived ones
    uint32_t *signal_derived[SPACE_IMAGES_MAX]; // per signal; UINT32_MAX: computed, or a label
    VEC(struct derived) derived;                // each behind those that it looks at
    struct map by_form;                         // what they compute -> index + 1
    uint32_t *signal_work[SPACE_IMAGES_MAX];    // per signal: bits below
    uint32_t *atom_formula[SPACE_IMAGES_MAX];   // per atom; UINT32_MAX until made

    VEC(struct node) nodes;
    VEC(uint32_t) lists;
    uint32_t *buckets;
    uint32_t bucket_count;

    uint32_t words; // 64-bit words of drawn requests
    uint32_t drawn;
    bool exact;
    uint64_t *bits;   // per node
    size_t bits_room; // nodes
    uint64_t *live;   // which bits count
    uint16_t *cells;  // per field, per drawn request

    uint16_t *model;       // per field, the cell of the last model
    double *number;        // per group: the number in its cell that the model has
    bool *pinned;          // ... chosen for the sake of a derived signal
    double **drawn_number; // per group that a derived signal adds up: per drawn request
    struct sat_theory theory;
    uint64_t asked;        // DERIVED_BIT of what the question at hand looks at
    struct bound *bounds;  // scratch of the theory: per leaf
    size_t most_leaves;    // of one derived signal
    VEC(uint32_t) stack;   // scratch of making formulas
    VEC(uint32_t) wanted;  // literals of the fields that a question looks at
    VEC(uint32_t) visited; // per node, then per field: the question that looked at it last
    uint32_t visit;
    VEC(uint32_t) assumed;
    VEC(uint32_t) core;
    uint8_t *kept;   // per input: scratch of witnesses
    uint8_t *kleene; // per node
    size_t kleene_room;
};

enum { SIGNAL_ASKED_FAILED = 1 }; // signal_work: an atom or a label asks whether it failed

static inline bool space_fail(struct space *s, enum result why)
{
    if (!s->err)
        s->err = why;
    return false;
}

// VEC_PUSH that says why it failed. The value must not push to the same array while it is evaluated.
#define SPACE_PUSH(s, v, ...) (VEC_PUSH(v, __VA_ARGS__) || space_fail((s), RESULT_NOMEM))

// space_fields.c: from signals and atoms to fields with their axioms.
enum result space_make_fields(struct space *s);
// space_draw.c: the drawn requests.
enum result space_make_draws(struct space *s);
void space_draw_node(struct space *s, uint32_t node);
// space_atoms.c: what an atom asks, as a formula.
uint32_t space_make_atom(struct space *s, uint32_t image, uint32_t atom);
// Whether the atom holds of the value that the signal has when it fails.
bool space_error_holds(const struct policy_image *p, const struct image_atom *a);
// Whether it holds of element `e` (ENUM: a word, BOOL: 0 or 1).
bool space_element_holds(const struct policy_image *p, const struct image_atom *a, uint32_t e);
// The element of a text, or UINT32_MAX.
uint32_t space_element(const struct group *g, struct slice text);
enum { SPACE_NEVER = UINT32_MAX, SPACE_ALWAYS = UINT32_MAX - 1 };
// The cell from which on numbers are right of a cut: 1 and more, or SPACE_ALWAYS, SPACE_NEVER.
uint32_t space_cut_cell(const struct group *g, double at, bool above);
// The cut in its group's normal form.
struct cut space_cut(const struct group *g, double at, bool above);
bool space_cut_before(struct cut a, struct cut b);
// A number within the cell; false when it holds none.
bool space_number_in(const struct group *g, uint32_t cell, double *out);

// Makes the field of a group whose elements and cuts are known.
void space_make_group(struct space *s, struct group *g);
void space_gather_number(struct space *s, struct group *g, const struct image_signal *def,
                         const struct image_atom *a);
// The closed interval of the numbers of a cell that has any.
void space_cell_range(const struct group *g, uint32_t cell, double *lo, double *hi);
uint32_t space_number_atom(struct space *s, const struct group *g, const struct policy_image *p,
                           const struct image_atom *a);
uint32_t space_class_cells(struct space *s, uint32_t field, const uint32_t *list, uint32_t count);
uint32_t space_at_least(struct space *s, const struct group *g, double at, bool above);

// space_derived.c: labels, and what derived signals look at.
// Marks the signals whose failure a label, an exclusive group or an atom looks at.
void space_mark_failures(struct space *s);
uint32_t space_derived_failed(struct space *s, uint32_t image, int32_t signal);
uint32_t space_derived_atom(struct space *s, uint32_t image, const struct image_atom *a);

// space_score.c: scores and exclusive groups. First their fields, then, when formulas can be made, the rest.
enum result space_declare_derived(struct space *s);
enum result space_finish_derived(struct space *s);
uint32_t space_score_atom(struct space *s, uint32_t image, const struct image_atom *a);

// space_theory.c: their arithmetic.
struct bound {
    double lo, hi;           // of the values it may have
    double full_lo, full_hi; // whatever its cell is, failures included
    uint32_t cell;
    bool failed, holds;
};
// Draws the cells of a derived signal for all drawn requests. Its guards are drawn already.
enum result space_draw_derived(struct space *s, uint32_t index);
// Makes s->model whole from the cells of what is computed: numbers, then the cells of all derived signals.
void space_settle(struct space *s);
// The cells that it can have with its leaves in these bounds; `whole`: all are known, and whether one has failed.
void space_possible(const struct space *s, const struct derived *d, const struct bound *b,
                    bool whole, bool failed, uint32_t *from, uint32_t *to);
enum sat_fit space_check_theory(void *ctx);

// space.c
uint32_t space_cells_node(struct space *s, uint32_t field, const uint32_t *list, uint32_t count);
uint32_t space_atom_node(struct space *s, uint32_t input, uint32_t inner);
// The cells of the solver's model into s->model.
void space_take_cells(struct space *s);
// The conjunction of what lies on s->stack from `base` on, which is taken off.
uint32_t space_fold(struct space *s, size_t base);
// space_witness.c: scratch for, and a formula's value in the model; no part may be open.
bool space_scratch(struct space *s);
bool space_model_holds(struct space *s, uint32_t formula);

#endif
