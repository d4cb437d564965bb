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
    bool fixed;     // always cell 0 in a drawn request: whether a signal fails
    uint32_t cells; // 1 to SPACE_CELLS_MAX
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
    uint32_t next; // in its hash chain
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

    uint32_t *signal_input[SPACE_IMAGES_MAX]; // per signal; UINT32_MAX for derived ones
    uint32_t *signal_work[SPACE_IMAGES_MAX];  // per signal: bits below
    uint32_t *atom_formula[SPACE_IMAGES_MAX]; // per atom; UINT32_MAX until made

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

    uint16_t *model;     // per field, the cell of the last model
    VEC(uint32_t) stack; // scratch of making formulas
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

// space_derived.c
// Marks the signals whose failure a label looks at.
void space_mark_failures(struct space *s);
uint32_t space_derived_atom(struct space *s, uint32_t image, const struct image_atom *a);

// space.c
uint32_t space_cells_node(struct space *s, uint32_t field, const uint32_t *list, uint32_t count);
uint32_t space_atom_node(struct space *s, uint32_t input, uint32_t inner);
// The conjunction of what lies on s->stack from `base` on, which is taken off.
uint32_t space_fold(struct space *s, size_t base);

#endif
