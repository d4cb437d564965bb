// From the signals and atoms of the images to fields with finitely many cells, and the clauses that keep them apart.
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "proof/space_inner.h"
#include "route/route.h"

enum { PAIRWISE_MAX = 8 }; // cells of a class field that exclude each other pair by pair

// ---- groups and inputs

static void key_text(struct buf *key, const struct policy_image *p, struct image_str s)
{
    buf_u64(key, s.len);
    buf_byte(key, ':');
    buf_add(key, image_text(p, s));
}

static enum signal_type raw_type(const struct image_signal *def)
{
    return def->has_threshold ? SIGNAL_NUMBER : def->type;
}

// Equal for signals that show the same value.
static struct slice group_key(struct space *s, const struct policy_image *p,
                              const struct image_signal *def)
{
    const struct image_arg *args = IMAGE_AT(p, def->args, struct image_arg);
    struct buf key;
    buf_init(&key, IMAGE_BYTES_MAX);
    key_text(&key, p, def->family);
    buf_u64(&key, raw_type(def));
    for (uint32_t i = 0; i < def->args.count; i++) {
        buf_byte(&key, ',');
        buf_u64(&key, args[i].kind);
        key_text(&key, p, args[i].name);
        key_text(&key, p, args[i].tag);
        key_text(&key, p, args[i].text);
        buf_append(&key, &args[i].number, sizeof args[i].number);
    }
    struct slice kept = buf_result(&key) ? SLICE_EMPTY : arena_copy(&s->names, buf_slice(&key));
    buf_deinit(&key);
    if (!kept.ptr)
        space_fail(s, RESULT_NOMEM);
    return kept;
}

static uint32_t add_element(struct space *s, struct group *g, struct slice text)
{
    uint32_t e = (uint32_t)g->class_of.len;
    if (!SPACE_PUSH(s, &g->class_of, 0) || !SPACE_PUSH(s, &g->texts, text))
        return 0;
    if (g->raw != SIGNAL_ENUM && e > 1 &&
        map_put(&g->index, text, (void *)(uintptr_t)(e + 1)) != RESULT_OK)
        space_fail(s, RESULT_NOMEM);
    return e;
}

uint32_t space_element(const struct group *g, struct slice text)
{
    if (g->raw == SIGNAL_TEXT && !text.len)
        return 1;
    void *known = map_get(&g->index, text);
    return known ? (uint32_t)((uintptr_t)known - 1) : UINT32_MAX;
}

static bool word_of(const struct group *g, struct slice text)
{
    const struct image_str *words = IMAGE_AT(g->image, g->signal->words, struct image_str);
    for (uint32_t i = 0; i < g->signal->words.count; i++)
        if (slice_eq(image_text(g->image, words[i]), text))
            return true;
    return false;
}

static uint32_t group_of(struct space *s, const struct policy_image *p,
                         const struct image_signal *def)
{
    struct slice key = group_key(s, p, def);
    if (s->err)
        return 0;
    void *known = map_get(&s->by_key, key);
    if (known)
        return (uint32_t)((uintptr_t)known - 1);
    struct group g = {.raw = raw_type(def),
                      .min = def->number_min + 0.0,
                      .max = def->number_max + 0.0,
                      .whole = def->whole,
                      .closed = def->closed && def->words.count,
                      .image = p,
                      .signal = def,
                      .other_word = IMAGE_NONE};
    if (!(g.min < g.max)) {
        g.min = -DBL_MAX;
        g.max = DBL_MAX;
    }
    g.cuts.cap = g.class_of.cap = g.texts.cap = g.shown.cap = UINT32_MAX;
    map_init(&g.index, (struct hash_key){3, 4}, UINT32_MAX);
    uint32_t at = (uint32_t)s->groups.len;
    if (!SPACE_PUSH(s, &s->groups, g))
        return 0;
    if (map_put(&s->by_key, key, (void *)(uintptr_t)(at + 1)) != RESULT_OK)
        space_fail(s, RESULT_NOMEM);
    struct group *made = &s->groups.at[at];
    uint32_t elements = g.raw == SIGNAL_ENUM   ? def->words.count + !def->words.count
                        : g.raw == SIGNAL_TEXT ? 2
                        : g.raw == SIGNAL_SET  ? 2
                                               : 0;
    for (uint32_t i = 0; i < elements && !s->err; i++)
        add_element(s, made, SLICE_EMPTY);
    return at;
}

static uint32_t input_of(struct space *s, const struct policy_image *p,
                         const struct image_signal *def)
{
    uint32_t group = group_of(s, p, def);
    struct slice name = image_text(p, def->name);
    struct slice key = arena_printf(&s->names, "%u %.*s", group, SLICE_FMT(name));
    if (s->err || !key.ptr) {
        space_fail(s, RESULT_NOMEM);
        return 0;
    }
    void *known = map_get(&s->by_name, key);
    if (known)
        return (uint32_t)((uintptr_t)known - 1);
    uint32_t at = (uint32_t)s->inputs.len;
    struct input input = {.group = group, .name = name, .failed_field = UINT32_MAX};
    if (!SPACE_PUSH(s, &s->inputs, input))
        return 0;
    if (map_put(&s->by_name, key, (void *)(uintptr_t)(at + 1)) != RESULT_OK)
        space_fail(s, RESULT_NOMEM);
    s->groups.at[group].inputs++;
    return at;
}

// ---- what atoms tell apart

static bool whole_in_range(const struct group *g, double v)
{
    return g->whole && v > -9e15 && v < 9e15;
}

struct cut space_cut(const struct group *g, double at, bool above)
{
    if (whole_in_range(g, at)) {
        at = above ? floor(at) + 1 : ceil(at);
        above = false;
    }
    return (struct cut){at + 0.0, above};
}

bool space_cut_before(struct cut a, struct cut b)
{
    return a.at != b.at ? a.at < b.at : !a.above && b.above;
}

// 1: every number of the range is right of it, -1: none is.
static int cut_constant(const struct group *g, struct cut c)
{
    if (c.at < g->min || (c.at == g->min && !c.above))
        return 1;
    return c.at > g->max || (c.at == g->max && c.above) ? -1 : 0;
}

static void add_cut(struct space *s, struct group *g, double at, bool above)
{
    struct cut c = space_cut(g, at, above);
    if (!cut_constant(g, c))
        (void)SPACE_PUSH(s, &g->cuts, c);
}

void space_gather_number(struct space *s, struct group *g, const struct image_signal *def,
                         const struct image_atom *a)
{
    if (def->has_threshold) {
        add_cut(s, g, def->threshold, def->threshold_above);
        return;
    }
    switch (a->op) {
    case IMAGE_OP_TRUE:
    case IMAGE_OP_EQ:
    case IMAGE_OP_NE:
        add_cut(s, g, a->op == IMAGE_OP_TRUE ? 0 : a->number, false);
        add_cut(s, g, a->op == IMAGE_OP_TRUE ? 0 : a->number, true);
        break;
    case IMAGE_OP_LT:
    case IMAGE_OP_GE:
        add_cut(s, g, a->number, false);
        break;
    case IMAGE_OP_LE:
    case IMAGE_OP_GT:
        add_cut(s, g, a->number, true);
        break;
    case IMAGE_OP_IN:
        for (int i = 0; i <= 64; i++)
            add_cut(s, g, i, false);
        break;
    case IMAGE_OP_FAILED:
        break;
    }
}

static void gather_texts(struct space *s, struct group *g, const struct policy_image *p,
                         const struct image_atom *a)
{
    const struct image_str *texts = IMAGE_AT(p, a->texts, struct image_str);
    for (uint32_t i = 0; i < a->texts.count && !s->err; i++) {
        struct slice text = image_text(p, texts[i]);
        if (space_element(g, text) == UINT32_MAX && (!g->closed || word_of(g, text)))
            add_element(s, g, text);
    }
}

bool space_element_holds(const struct policy_image *p, const struct image_atom *a, uint32_t e)
{
    struct fact f = {.state = FACT_KNOWN, .number = e};
    return route_atom_holds(p, a, &f);
}

// Splits classes so that the listed elements are together without others.
struct splitter {
    uint32_t *size, *touched, *fresh; // per class
    uint32_t room;
};

static void split(struct group *g, struct splitter *x, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        x->touched[g->class_of.at[list[i]]]++;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t e = list[i], old = g->class_of.at[e];
        if (x->touched[old] == x->size[old] && x->fresh[old] == 0)
            continue;
        if (x->fresh[old] == 0)
            x->fresh[old] = g->classes++;
        g->class_of.at[e] = x->fresh[old];
        x->size[x->fresh[old]]++;
        x->size[old]--;
        x->touched[old]--;
    }
    for (uint32_t i = 0; i < g->classes; i++)
        x->touched[i] = x->fresh[i] = 0;
}

// Elements that the atom asks for, without duplicates: the compiler writes each text once, others may not.
static uint32_t asked(const struct group *g, const struct policy_image *p,
                      const struct image_atom *a, uint32_t *list, uint8_t *seen)
{
    uint32_t n = 0;
    if (g->raw == SIGNAL_ENUM) {
        for (uint32_t e = 0; e < g->class_of.len; e++)
            if (space_element_holds(p, a, e))
                list[n++] = e;
        return n;
    }
    if (a->op == IMAGE_OP_TRUE) {
        if (g->raw == SIGNAL_TEXT)
            list[n++] = 1;
        return n;
    }
    const struct image_str *texts = IMAGE_AT(p, a->texts, struct image_str);
    for (uint32_t i = 0; i < a->texts.count; i++) {
        uint32_t e = space_element(g, image_text(p, texts[i]));
        if (e != UINT32_MAX && !seen[e]) {
            seen[e] = 1;
            list[n++] = e;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        seen[list[i]] = 0;
    return n;
}

static const struct image_atom *atom_at(const struct policy_image *p, uint32_t i)
{
    return IMAGE_AT(p, p->atoms, struct image_atom) + i;
}

// The group that an atom asks of, or NULL: of a derived signal, or only whether it failed.
static struct group *asked_group(struct space *s, uint32_t image, const struct image_atom *a)
{
    uint32_t input = s->signal_input[image][a->signal];
    if (input == UINT32_MAX || a->op == IMAGE_OP_FAILED)
        return NULL;
    return &s->groups.at[s->inputs.at[input].group];
}

static bool has_classes(const struct group *g)
{
    return g->raw == SIGNAL_ENUM || g->raw == SIGNAL_TEXT || g->raw == SIGNAL_SET;
}

static void split_all(struct space *s)
{
    size_t most = 1;
    for (size_t i = 0; i < s->groups.len; i++)
        if (s->groups.at[i].class_of.len > most)
            most = s->groups.at[i].class_of.len;
    uint32_t *block = alloc_zeroed(most + 1, 3 * sizeof *block), *list = NULL;
    uint32_t **sizes = alloc_zeroed(s->groups.len + 1, sizeof *sizes);
    uint8_t *seen = alloc_zeroed(most + 1, 1);
    list = alloc_bytes((most + 1) * sizeof *list);
    struct splitter x = {.touched = block, .fresh = block ? block + most + 1 : NULL};
    bool ok = block && sizes && seen && list;
    for (size_t i = 0; i < s->groups.len && ok; i++) {
        struct group *g = &s->groups.at[i];
        sizes[i] = alloc_zeroed(g->class_of.len + 1, sizeof **sizes);
        ok = sizes[i] != NULL;
        if (ok)
            sizes[i][0] = (uint32_t)g->class_of.len;
        g->classes = g->class_of.len > 0;
    }
    for (uint32_t k = 0; k < s->image_count && ok; k++) {
        const struct policy_image *p = s->images[k];
        for (uint32_t i = 0; i < p->atoms.count; i++) {
            const struct image_atom *a = atom_at(p, i);
            struct group *g = asked_group(s, k, a);
            if (!g || !has_classes(g))
                continue;
            x.size = sizes[g - s->groups.at];
            split(g, &x, list, asked(g, p, a, list, seen));
        }
    }
    if (!ok)
        space_fail(s, RESULT_NOMEM);
    for (size_t i = 0; sizes && i < s->groups.len; i++)
        alloc_free(sizes[i]);
    alloc_free(sizes);
    alloc_free(seen);
    alloc_free(list);
    alloc_free(block);
}

static void gather(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count && !s->err; k++) {
        const struct policy_image *p = s->images[k];
        for (uint32_t i = 0; i < p->atoms.count && !s->err; i++) {
            const struct image_atom *a = atom_at(p, i);
            struct group *g = asked_group(s, k, a);
            if (!g)
                continue;
            if (g->raw == SIGNAL_NUMBER)
                space_gather_number(s, g, image_signal(p, a->signal), a);
            else if (g->raw == SIGNAL_TEXT || g->raw == SIGNAL_SET)
                gather_texts(s, g, p, a);
        }
    }
}

// ---- cells

static int by_place(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    return space_cut_before(*x, *y) ? -1 : space_cut_before(*y, *x);
}

static bool right_of(struct cut c, double v)
{
    return c.above ? v > c.at : v >= c.at;
}

uint32_t space_cut_cell(const struct group *g, double at, bool above)
{
    struct cut c = space_cut(g, at, above);
    int constant = cut_constant(g, c);
    if (constant)
        return constant > 0 ? SPACE_ALWAYS : SPACE_NEVER;
    size_t lo = 0, hi = g->cuts.len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (space_cut_before(g->cuts.at[mid], c))
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo + 1;
}

static bool in_cell(const struct group *g, uint32_t cell, double v)
{
    return v >= g->min && v <= g->max && (!whole_in_range(g, v) || v == floor(v)) &&
           (cell == 0 || right_of(g->cuts.at[cell - 1], v)) &&
           (cell == g->cuts.len || !right_of(g->cuts.at[cell], v));
}

void space_cell_range(const struct group *g, uint32_t cell, double *lo, double *hi)
{
    *lo = g->min;
    *hi = g->max;
    if (cell > 0) {
        struct cut c = g->cuts.at[cell - 1];
        *lo = c.above ? nextafter(c.at, DBL_MAX) : c.at;
    }
    if (cell < g->cuts.len) {
        struct cut c = g->cuts.at[cell];
        *hi = c.above ? c.at : nextafter(c.at, -DBL_MAX);
    }
    if (whole_in_range(g, *lo))
        *lo = ceil(*lo);
    if (whole_in_range(g, *hi))
        *hi = floor(*hi);
}

// The roundest number that comes to hand.
bool space_number_in(const struct group *g, uint32_t cell, double *out)
{
    double lo = cell ? g->cuts.at[cell - 1].at : g->min,
           hi = cell < g->cuts.len ? g->cuts.at[cell].at : g->max;
    if (in_cell(g, cell, *out = 0))
        return true;
    bool from_hi = hi <= 0;
    double base = from_hi ? hi : lo, size = fabs(base);
    int digits = size >= 1 && size < 1e15 ? (int)floor(log10(size)) : 0;
    for (int e = digits; e >= -9 && size < 1e15; e--) {
        double scale = pow(10, abs(e)), k = floor(e >= 0 ? base / scale : base * scale);
        for (int i = 0; i < 3; i++) {
            double n = from_hi ? k + 1 - i : k + i;
            *out = (e >= 0 ? n * scale : n / scale) + 0.0;
            if (in_cell(g, cell, *out))
                return true;
        }
    }
    const double last[] = {lo, hi, nextafter(lo, DBL_MAX), nextafter(hi, -DBL_MAX), ceil(lo), 1};
    for (size_t i = 0; i < MERIT_COUNT(last); i++)
        if (in_cell(g, cell, *out = last[i]))
            return true;
    return false;
}

static uint32_t new_literal(struct space *s)
{
    uint32_t l = sat_new(s->sat);
    (void)SPACE_PUSH(s, &s->literals, l);
    return l;
}

static uint32_t field_begin(struct space *s, enum field_kind kind, uint32_t cells)
{
    struct field f = {.kind = kind,
                      .cells = cells,
                      .derived = UINT32_MAX,
                      .literal_at = (uint32_t)s->literals.len,
                      .possible_at = (uint32_t)s->possible.len,
                      .possible = cells};
    if (cells > SPACE_CELLS_MAX)
        space_fail(s, RESULT_LIMIT);
    (void)SPACE_PUSH(s, &s->fields, f);
    return (uint32_t)s->fields.len - 1;
}

static void implies(struct space *s, uint32_t a, uint32_t b)
{
    sat_clause(s->sat, (uint32_t[]){sat_not(a), b}, 2);
}

static uint32_t bool_field(struct space *s)
{
    uint32_t f = field_begin(s, FIELD_BOOL, 2);
    new_literal(s);
    return f;
}

static void order_field(struct space *s, struct group *g)
{
    size_t kept = 0;
    if (g->cuts.len > 1)
        qsort(g->cuts.at, g->cuts.len, sizeof *g->cuts.at, by_place);
    for (size_t i = 0; i < g->cuts.len; i++)
        if (i == 0 || space_cut_before(g->cuts.at[kept - 1], g->cuts.at[i]))
            g->cuts.at[kept++] = g->cuts.at[i];
    g->cuts.len = kept;
    uint32_t cells = (uint32_t)kept + 1, before = SAT_TRUE;
    uint32_t f = field_begin(s, FIELD_ORDER, cells);
    double v;
    (void)SPACE_PUSH(s, &s->literals, SAT_TRUE);
    for (uint32_t i = 1; i < cells && !s->err; i++) {
        uint32_t l = new_literal(s);
        implies(s, l, before);
        before = l;
    }
    for (uint32_t i = 0; i < cells && !s->err; i++) {
        bool possible = space_number_in(g, i, &v);
        const uint32_t *l = s->literals.at + s->fields.at[f].literal_at;
        (void)SPACE_PUSH(s, &s->possible, possible);
        if (!possible) {
            s->fields.at[f].possible--;
            implies(s, l[i], i + 1 < cells ? l[i + 1] : SAT_FALSE);
        }
    }
}

// Exactly one of the cells.
static void class_field(struct space *s, uint32_t cells)
{
    uint32_t f = field_begin(s, FIELD_CLASS, cells);
    if (s->err)
        return;
    if (cells == 1) {
        (void)SPACE_PUSH(s, &s->literals, SAT_TRUE);
        return;
    }
    if (cells == 2) {
        uint32_t l = new_literal(s);
        (void)SPACE_PUSH(s, &s->literals, sat_not(l));
        return;
    }
    for (uint32_t i = 0; i < cells && !s->err; i++)
        new_literal(s);
    if (s->err)
        return;
    const uint32_t *l = s->literals.at + s->fields.at[f].literal_at;
    sat_clause(s->sat, l, cells);
    if (cells <= PAIRWISE_MAX) {
        for (uint32_t i = 0; i < cells; i++)
            for (uint32_t k = 0; k < i; k++)
                implies(s, l[i], sat_not(l[k]));
        return;
    }
    // A ladder: "beyond i" falls from true to false where the cell is.
    uint32_t beyond = SAT_TRUE;
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t next = i + 1 < cells ? sat_new(s->sat) : SAT_FALSE;
        implies(s, next, beyond);
        implies(s, l[i], beyond);
        implies(s, l[i], sat_not(next));
        beyond = next;
    }
}

static void show_classes(struct space *s, struct group *g)
{
    for (uint32_t c = 0; c < g->classes; c++)
        (void)SPACE_PUSH(s, &g->shown, UINT32_MAX);
    for (uint32_t e = 0; e < g->class_of.len && !s->err; e++) {
        uint32_t *shown = &g->shown.at[g->class_of.at[e]];
        if (*shown == UINT32_MAX)
            *shown = e;
    }
}

static bool among_arguments(const struct group *g, struct slice word)
{
    const struct image_arg *args = IMAGE_AT(g->image, g->signal->args, struct image_arg);
    for (uint32_t i = 0; i < g->signal->args.count; i++)
        if (args[i].kind == IMAGE_ARG_WORD && slice_eq(image_text(g->image, args[i].text), word))
            return true;
    return false;
}

// A member that no atom asks for. One that the definition names, where there is such, is what a reader expects to be shown:
// `pii(ssn)` tells of "ssn".
static void find_other_word(struct group *g)
{
    const struct image_str *words = IMAGE_AT(g->image, g->signal->words, struct image_str);
    for (int named = 1; named >= 0 && g->other_word == IMAGE_NONE; named--)
        for (uint32_t i = 0; i < g->signal->words.count && g->other_word == IMAGE_NONE; i++) {
            struct slice word = image_text(g->image, words[i]);
            if (space_element(g, word) == UINT32_MAX && (!named || among_arguments(g, word)))
                g->other_word = (int32_t)i;
        }
}

// A field for each class of members; the class of element 0 is "some other member". Element 1 stands for nothing here.
static void set_fields(struct space *s, struct group *g)
{
    if (g->closed)
        find_other_word(g);
    for (uint32_t c = 0; c < g->classes && !s->err; c++) {
        uint32_t f = bool_field(s);
        if (c == g->class_of.at[0] && g->closed && g->other_word == IMAGE_NONE && !s->err) {
            uint32_t l = s->literals.at[s->fields.at[f].literal_at];
            sat_clause(s->sat, (uint32_t[]){sat_not(l)}, 1);
            s->fields.at[f].fixed = true;
        }
    }
}

void space_make_group(struct space *s, struct group *g)
{
    g->field_at = (uint32_t)s->fields.len;
    switch (g->raw) {
    case SIGNAL_BOOL:
        bool_field(s);
        break;
    case SIGNAL_NUMBER:
        order_field(s, g);
        break;
    case SIGNAL_ENUM:
    case SIGNAL_TEXT:
        show_classes(s, g);
        class_field(s, g->classes);
        break;
    case SIGNAL_SET:
        show_classes(s, g);
        set_fields(s, g);
        break;
    }
    g->field_count = (uint32_t)s->fields.len - g->field_at;
}

// Whether failing gives the signal a value that it could not have otherwise, or that something else sees.
static bool failure_shows(const struct space *s, uint32_t image, int32_t signal)
{
    const struct image_signal *def = image_signal(s->images[image], signal);
    const struct group *g = &s->groups.at[s->inputs.at[s->signal_input[image][signal]].group];
    if (g->inputs > 1 || s->signal_work[image][signal] & SIGNAL_ASKED_FAILED)
        return true;
    if (def->has_threshold)
        return cut_constant(g, space_cut(g, def->threshold, def->threshold_above)) != 0;
    if (g->raw == SIGNAL_NUMBER)
        return !(def->error_number >= g->min && def->error_number <= g->max) ||
               (g->whole && def->error_number != floor(def->error_number));
    return g->raw == SIGNAL_SET && g->closed && def->error_text.len &&
           !word_of(g, image_text(s->images[image], def->error_text));
}

static void make_failures(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count; k++) {
        for (uint32_t i = 0; i < s->images[k]->signals.count && !s->err; i++) {
            uint32_t at = s->signal_input[k][i];
            if (at == UINT32_MAX || s->inputs.at[at].failed_field != UINT32_MAX ||
                !failure_shows(s, k, (int32_t)i))
                continue;
            uint32_t f = bool_field(s);
            if (s->err)
                return;
            s->inputs.at[at].failed_field = f;
            s->fields.at[f].fixed = true;
            implies(s, s->sound, sat_not(s->literals.at[s->fields.at[f].literal_at]));
        }
    }
}

enum result space_make_fields(struct space *s)
{
    for (uint32_t k = 0; k < s->image_count; k++) {
        const struct policy_image *p = s->images[k];
        for (uint32_t i = 0; i < p->signals.count && !s->err; i++) {
            const struct image_signal *def = image_signal(p, (int32_t)i);
            s->signal_input[k][i] = def->derive ? UINT32_MAX : input_of(s, p, def);
        }
    }
    if (!s->err)
        gather(s);
    if (!s->err)
        space_mark_failures(s);
    if (!s->err)
        split_all(s);
    for (size_t i = 0; i < s->groups.len && !s->err; i++)
        space_make_group(s, &s->groups.at[i]);
    if (!s->err)
        make_failures(s);
    return s->err ? s->err : space_declare_derived(s);
}
