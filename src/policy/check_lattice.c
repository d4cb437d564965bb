// Lattices, and the places that labelled data can reach: zones and sinks.
#include "policy/check.h"
#include "policy/policy.h"

uint32_t check_level_count(struct checker *c, uint32_t lattice)
{
    return BUILDER_AT(&c->build, IMAGE_LATTICES, struct image_lattice, lattice)->levels.count;
}

static void level(struct checker *c, const struct node *word, uint32_t lattice, uint32_t index)
{
    struct slice name = tree_text(c->tree, word);
    void *known = map_get(&c->levels.map, name);
    if (check_is_reserved(name)) {
        check_error(c, word, "reserved", "`%.*s` is a word of the language", SLICE_FMT(name));
    } else if (name.len > POLICY_NAME_MAX) {
        check_error(c, word, "limit", "a name has between 1 and %d bytes", POLICY_NAME_MAX);
    } else if (known) {
        uint32_t first = (uint32_t)((uintptr_t)known - 1);
        bool same = first < c->levels.count && c->level_of[first].lattice == lattice;
        struct diag *d = same ? check_error(c, word, "cycle",
                                            "`%.*s` stands twice in one lattice, so that it "
                                            "would be above itself",
                                            SLICE_FMT(name))
                              : check_error(c, word, "duplicate", "level `%.*s` is in two lattices",
                                            SLICE_FMT(name));
        diag_also(c->diags, d, tree_span(c->tree, c->levels.nodes[first]), "first here");
        if (!same)
            diag_help(c->diags, d,
                      "names of levels are unique in a file, so that `clears` needs "
                      "no more than them");
        return;
    }
    struct level *grown = ARENA_ARRAY(c->arena, struct level, c->levels.count + 1);
    if (!grown || !check_name_add(c, &c->levels, name, word)) {
        c->nomem = true;
        return;
    }
    for (uint32_t i = 0; i + 1 < c->levels.count; i++)
        grown[i] = c->level_of[i];
    grown[c->levels.count - 1] = (struct level){lattice, index};
    c->level_of = grown;
    struct image_str s = builder_str(&c->build, name);
    *BUILDER_ADD(&c->build, IMAGE_STRS, struct image_str) = s;
}

void check_lattices(struct checker *c)
{
    for (uint32_t i = 0; i < c->lattices.count && !c->nomem; i++) {
        const struct node *n = c->lattices.nodes[i];
        uint32_t at = builder_count(&c->build, IMAGE_STRS), index = 0;
        struct image_lattice l = {.name = builder_str(&c->build, c->lattices.at[i]),
                                  .line = tree_line(c->tree, n)};
        if (i == IMAGE_LATTICES_MAX)
            check_error(c, n, "limit", "a policy has at most %d lattices", IMAGE_LATTICES_MAX);
        if (n->count > IMAGE_WORDS_MAX + 1) {
            check_error(c, n, "limit", "a lattice has at most %d levels", IMAGE_WORDS_MAX);
            continue;
        }
        if (n->count < 3) {
            struct diag *d = check_error(c, n, "lattice", "a lattice of one level orders nothing");
            diag_help(c->diags, d,
                      "write two levels or more, the lowest first: `lattice exposure "
                      "= public < secret`");
        }
        for (const struct node *word = n->first->next; word && i < IMAGE_LATTICES_MAX;
             word = word->next)
            level(c, word, i, index++);
        l.levels = (struct image_list){at, builder_count(&c->build, IMAGE_STRS) - at};
        c->build.place = tree_span(c->tree, n->first);
        *BUILDER_ADD(&c->build, IMAGE_LATTICES, struct image_lattice) = l;
    }
}

bool check_level(struct checker *c, const struct node *word, struct level *out)
{
    *out = (struct level){0, 0};
    int32_t i = check_find(c, &c->levels, word);
    if (i < 0)
        return false;
    *out = c->level_of[i];
    c->lattices.used[out->lattice] = true;
    return out->lattice < IMAGE_LATTICES_MAX;
}

// `clears internal, eu`: at most one level per lattice.
static void clearance(struct checker *c, const struct node *clause, struct image_clearance *out)
{
    const struct node *stated[IMAGE_LATTICES_MAX] = {NULL};
    for (const struct node *word = clause ? clause->first : NULL; word; word = word->next) {
        struct level l;
        if (!check_level(c, word, &l))
            continue;
        if (stated[l.lattice]) {
            struct diag *d =
                check_error(c, word, "clearance", "`%.*s` and `%.*s` are levels of one lattice",
                            SLICE_FMT(tree_text(c->tree, stated[l.lattice])),
                            SLICE_FMT(tree_text(c->tree, word)));
            diag_help(c->diags, d, "name the highest level only: it clears what is below it");
            continue;
        }
        stated[l.lattice] = word;
        out->level[l.lattice] = (uint8_t)l.level;
    }
}

void check_zones(struct checker *c)
{
    for (uint32_t i = 0; i < c->zones.count; i++) {
        const struct node *n = c->zones.nodes[i];
        struct image_zone z;
        memset(&z, 0, sizeof z);
        z.line = tree_line(c->tree, n);
        z.name = builder_str(&c->build, c->zones.at[i]);
        check_clauses_once(c, n);
        clearance(c, tree_clause(c->tree, n, "clears"), &z.clears);
        check_zone_energy(c, n, &z);
        c->build.place = tree_span(c->tree, n->first);
        *BUILDER_ADD(&c->build, IMAGE_ZONES, struct image_zone) = z;
    }
}

static const char *const sink_kinds[] = {"verifier", "judge", "retriever", "cache", "embedding",
                                         "memory",   "log",   "trace",     NULL};

static bool sink_kind(struct checker *c, const struct node *n, enum image_sink_kind *out)
{
    const struct node *second = n->first->next,
                      *word = second && second->kind == NODE_WORD ? second : n->first;
    struct slice text = tree_text(c->tree, word);
    for (int i = 0; sink_kinds[i]; i++) {
        *out = (enum image_sink_kind)i;
        if (slice_eq_cstr(text, sink_kinds[i]))
            return true;
    }
    struct diag *d;
    if (word == n->first) {
        d = check_error(c, word, "sink", "sink `%.*s` does not say what it is", SLICE_FMT(text));
        check_nearest_word(c, d, text, sink_kinds,
                           "put its kind behind the name: verifier, judge, retriever, cache, "
                           "embedding, memory, log or trace");
    } else {
        d = check_error(c, word, "unknown-word", "no kind of sink is called `%.*s`",
                        SLICE_FMT(text));
        check_nearest_word(c, d, text, sink_kinds, NULL);
    }
    return false;
}

// A clause that only some kinds have.
static const struct node *clause_of(struct checker *c, const struct node *n, const char *word,
                                    uint32_t kinds, enum image_sink_kind kind)
{
    const struct node *clause = tree_clause(c->tree, n, word);
    if (!clause || kinds >> kind & 1)
        return clause;
    check_error(c, clause, "sink", "`%s` means nothing for a %s", word, sink_kinds[kind]);
    return NULL;
}

static void clears_less(struct checker *c, const struct node *n, const struct image_sink *s)
{
    const struct image_zone *z =
        BUILDER_AT(&c->build, IMAGE_ZONES, struct image_zone, (uint32_t)s->zone);
    for (uint32_t i = 0; i < c->lattices.count && i < IMAGE_LATTICES_MAX; i++) {
        if (s->clears.level[i] <= z->clears.level[i])
            continue;
        struct diag *d = check_error(c, tree_clause(c->tree, n, "clears"), "clearance",
                                     "this sink clears more than its zone `%.*s`",
                                     SLICE_FMT(builder_text(&c->build, z->name)));
        diag_also(c->diags, d, tree_span(c->tree, c->zones.nodes[s->zone]->first), "the zone");
        diag_help(c->diags, d, "let the zone clear it, or the sink less");
        return;
    }
}

static void sink(struct checker *c, uint32_t i)
{
    enum {
        TEXT_KINDS = 1u << IMAGE_SINK_LOG | 1u << IMAGE_SINK_TRACE,
        HOLDING = 1u << IMAGE_SINK_RETRIEVER | 1u << IMAGE_SINK_CACHE | 1u << IMAGE_SINK_MEMORY,
        ADDING = 1u << IMAGE_SINK_RETRIEVER | 1u << IMAGE_SINK_MEMORY,
    };
    const struct node *n = c->sinks.nodes[i], *clause;
    struct image_sink s;
    memset(&s, 0, sizeof s);
    s.name = builder_str(&c->build, c->sinks.at[i]);
    s.line = tree_line(c->tree, n);
    s.zone = IMAGE_NONE;
    s.call_nusd = s.call_uj = -1;
    check_clauses_once(c, n);
    bool known = sink_kind(c, n, &s.kind);
    if ((clause = tree_clause(c->tree, n, "zone"))) {
        int32_t zone = check_find(c, &c->zones, clause->first);
        s.zone = zone < 0 ? IMAGE_NONE : zone;
    }
    clearance(c, tree_clause(c->tree, n, "clears"), &s.clears);
    if (s.zone != IMAGE_NONE)
        clears_less(c, n, &s);
    if (known) {
        clearance(c, clause_of(c, n, "holds", HOLDING, s.kind), &s.holds);
        if ((clause = clause_of(c, n, "adds", ADDING, s.kind)))
            check_whole(c, clause->first, "tok", "what a sink adds", 1, IMAGE_TOK_MAX, &s.cap_tok);
        if ((clause = clause_of(c, n, "carries", TEXT_KINDS, s.kind))) {
            s.carries_text = tree_is(c->tree, clause->first, "text");
            if (!s.carries_text)
                diag_help(c->diags,
                          check_error(c, clause, "unknown-word", "what a log can carry is text"),
                          "write `carries text`");
        }
    }
    if ((clause = tree_clause(c->tree, n, "price")) &&
        check_amount(c, clause->first, "call", "a price per call", IMAGE_UNIT_NUSD, &s.call_nusd) &&
        s.call_nusd > IMAGE_PRICE_MAX)
        check_error(c, clause, "range", "a price per call is at most 100,000 usd");
    if ((clause = tree_clause(c->tree, n, "energy")) &&
        check_amount(c, clause->first, "call", "the energy of a call", IMAGE_UNIT_UJ, &s.call_uj) &&
        s.call_uj > IMAGE_ENERGY_MAX)
        check_error(c, clause, "range", "the energy of a call is at most 1 GJ");
    if ((clause = tree_clause(c->tree, n, "timeout")))
        check_timeout(c, clause->first, &s.timeout_ms);
    c->build.place = tree_span(c->tree, n->first);
    *BUILDER_ADD(&c->build, IMAGE_SINKS, struct image_sink) = s;
}

void check_sinks(struct checker *c)
{
    for (uint32_t i = 0; i < c->sinks.count; i++)
        sink(c, i);
}
