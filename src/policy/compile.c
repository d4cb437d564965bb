#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "policy/check.h"
#include "policy/policy.h"

static void open_names(struct names *n, const char *what)
{
    // Policies come from their owner, not from a network: a fixed key keeps runs alike.
    map_init(&n->map, (struct hash_key){0x6d65726974, 0x706f6c696379}, POLICY_STATEMENTS_MAX * 2);
    n->what = what;
}

static void keys_inline(struct checker *c)
{
    for (uint32_t i = 0; i < c->tree->tokens.count; i++) {
        const struct token *t = &c->tree->tokens.at[i];
        if (!t->secret)
            continue;
        struct diag *d =
            diag_add(c->diags, DIAG_ERROR, "inline-key", (struct span){t->begin, t->end},
                     "this looks like a key, and a key does not stand in a policy");
        diag_help(c->diags, d,
                  "write `key env NAME` or `key file \"path\"`, and replace the key: it has been "
                  "in a file");
    }
}

static void missing_header(struct checker *c)
{
    if (c->header || c->bad_header)
        return;
    struct diag *d =
        diag_add(c->diags, DIAG_ERROR, "missing", (struct span){0, 0}, "the policy has no header");
    diag_help(c->diags, d, "begin the file with `policy \"name\" version 1`");
}

static void check_all(struct checker *c)
{
    keys_inline(c);
    if (!check_collect(c))
        return;
    missing_header(c);
    check_lattices(c);
    check_zones(c);
    check_sinks(c);
    check_models(c);
    check_signals(c);
    if (c->nomem)
        return;
    check_allows(c);
    check_routes(c);
    check_rules(c);
    check_theorems(c);
    check_aliases(c);
    check_passes(c);
    check_dispatch(c);
    check_unused(c);
}

// A copy of the builder's spans. NULL without memory.
static const struct policy_places *keep_places(const struct builder *b, struct arena *arena)
{
    struct policy_places *p = ARENA_NEW(arena, struct policy_places);
    for (int s = 0; p && s < IMAGE_STRS; s++) {
        const struct buf *from = &b->places[s];
        void *copy = buf_result(from) ? NULL : arena_alloc(arena, from->len + 1);
        if (!copy)
            return NULL;
        if (from->len)
            memcpy(copy, from->ptr, from->len);
        p->at[s] = copy;
    }
    return p;
}

enum result policy_compile(const struct tree *tree, const struct signal_registry *registry,
                           struct arena *arena, struct diag_list *diags,
                           const struct policy_image **out)
{
    const struct policy_places *places;
    return policy_compile_places(tree, registry, arena, diags, out, &places);
}

enum result policy_compile_places(const struct tree *tree, const struct signal_registry *registry,
                                  struct arena *arena, struct diag_list *diags,
                                  const struct policy_image **out,
                                  const struct policy_places **places)
{
    return policy_compile_priced(tree, registry, NULL, arena, diags, out, places);
}

enum result policy_compile_priced(const struct tree *tree, const struct signal_registry *registry,
                                  const struct price_list *prices, struct arena *arena,
                                  struct diag_list *diags, const struct policy_image **out,
                                  const struct policy_places **places)
{
    struct checker c = {
        .tree = tree, .registry = registry, .prices = prices, .arena = arena, .diags = diags};
    struct names *const kinds[] = {&c.lattices, &c.levels, &c.zones,  &c.sinks,   &c.models,
                                   &c.signals,  &c.paths,  &c.routes, &c.aliases, &c.tests};
    static const char *const what[] = {"lattice", "level", "zone",  "sink",  "model",
                                       "signal",  "path",  "route", "alias", "test"};
    struct policy_image *image = NULL;
    enum result r = RESULT_OK;
    *out = NULL;
    builder_init(&c.build);
    map_init(&c.atoms, (struct hash_key){1, 2}, POLICY_TOKENS_MAX);
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++)
        open_names(kinds[i], what[i]);
    sha256_of(tree->source, c.build.head.digest);
    check_all(&c);
    if (c.nomem)
        r = RESULT_NOMEM;
    // A section that could not grow makes findings of its own, which say nothing about the policy.
    for (int i = 0; i < IMAGE_SECTIONS && !r; i++)
        r = buf_result(&c.build.sections[i]);
    if (!r && diags->errors)
        r = RESULT_SYNTAX;
    if (!r)
        r = builder_finish(&c.build, arena, &image);
    *places = r ? NULL : keep_places(&c.build, arena);
    if (!r && !*places) {
        r = RESULT_NOMEM;
        image = NULL;
    }
    *out = image;
    for (size_t i = 0; i < MERIT_COUNT(kinds); i++)
        map_deinit(&kinds[i]->map);
    map_deinit(&c.atoms);
    alloc_free(c.seen);
    alloc_free(c.candidate);
    builder_deinit(&c.build);
    return r;
}

enum result policy_load(struct slice text, const struct signal_registry *registry,
                        struct arena *arena, struct diag_list *diags,
                        const struct policy_image **out)
{
    const struct tree *tree = NULL;
    *out = NULL;
    enum result r = policy_parse(text, arena, diags, &tree);
    if (!tree)
        return r;
    return policy_compile(tree, registry, arena, diags, out);
}
