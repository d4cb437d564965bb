// Builds policy images by hand, for tests of what reads them.
//
// Include in one file of a test program. The block is one allocation of a fixed cap; offsets are stable, pointers into
// it are not to be kept while adding.
#ifndef MERIT_TESTS_IMAGE_BUILDER_H
#define MERIT_TESTS_IMAGE_BUILDER_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "work/image.h"

enum { IB_CAP = 1 << 21, IB_MAX = 512 };

struct image_builder {
    char *block;
    uint32_t used;
    struct image_model models[IB_MAX];
    struct image_signal signals[IB_MAX];
    struct image_atom atoms[IB_MAX];
    struct image_route routes[IB_MAX];
    struct image_alias aliases[IB_MAX];
    uint32_t model_count, signal_count, atom_count, route_count, alias_count;
    struct image_lattice lattices[IMAGE_LATTICES_MAX];
    struct image_zone zones[IB_MAX];
    struct image_sink sinks[IB_MAX];
    struct image_endpoint endpoints[IB_MAX];
    struct image_constraint constraints[IB_MAX];
    struct image_assume assumes[IB_MAX];
    uint32_t lattice_count, zone_count, sink_count, endpoint_count, constraint_count, assume_count;
};

static inline uint32_t ib_put(struct image_builder *b, const void *data, size_t size)
{
    uint32_t at = (b->used + 7) & ~7u;
    assert(at + size <= IB_CAP);
    if (size)
        memcpy(b->block + at, data, size);
    b->used = at + (uint32_t)size;
    return at;
}

static inline struct image_str ib_str(struct image_builder *b, const char *s)
{
    return (struct image_str){ib_put(b, s, strlen(s)), (uint32_t)strlen(s)};
}

#define IB_LIST(b, array, n) ((struct image_list){ib_put((b), (array), (n) * sizeof *(array)), (n)})

static inline void ib_init(struct image_builder *b)
{
    memset(b, 0, sizeof *b);
    b->block = aligned_alloc(16, IB_CAP);
    assert(b->block);
    memset(b->block, 0, IB_CAP);
    b->used = sizeof(struct policy_image);
}

static inline void ib_deinit(struct image_builder *b)
{
    free(b->block);
    b->block = NULL;
}

// A model without limits, of unknown price and quality; the caller changes what it wants through the pointer.
static inline struct image_model *ib_model(struct image_builder *b, const char *name)
{
    assert(b->model_count < IB_MAX);
    struct image_model *m = &b->models[b->model_count++];
    m->name = m->upstream_name = ib_str(b, name);
    m->zone = IMAGE_NONE;
    m->quality = -1;
    m->energy_in_uj = m->energy_out_uj = -1;
    m->can = ~0u;
    m->line = b->model_count;
    return m;
}

static inline int32_t ib_signal(struct image_builder *b, const char *name, enum signal_type type)
{
    assert(b->signal_count < IB_MAX);
    struct image_signal *s = &b->signals[b->signal_count];
    s->name = ib_str(b, name);
    s->family = ib_str(b, "test");
    s->type = type;
    s->lattice = IMAGE_NONE;
    s->number_max = 1e300;
    return (int32_t)b->signal_count++;
}

static inline uint32_t ib_atom(struct image_builder *b, int32_t signal, enum image_op op,
                               double number, const char *shown)
{
    assert(b->atom_count < IB_MAX);
    b->atoms[b->atom_count] = (struct image_atom){
        .signal = signal, .op = op, .number = number, .shown = ib_str(b, shown)};
    return b->atom_count++;
}

// One step `answer` over the bindings.
static inline struct image_list ib_answer(struct image_builder *b,
                                          const struct image_binding *bindings, uint32_t n)
{
    struct image_step step = {.kind = IMAGE_STEP_ANSWER,
                              .bindings = IB_LIST(b, bindings, n),
                              .sink = IMAGE_NONE,
                              .lattice = IMAGE_NONE};
    return IB_LIST(b, &step, 1);
}

static inline struct image_list ib_refuse(struct image_builder *b, const char *message)
{
    struct image_step step = {.kind = IMAGE_STEP_REFUSE,
                              .text = ib_str(b, message),
                              .sink = IMAGE_NONE,
                              .lattice = IMAGE_NONE};
    return IB_LIST(b, &step, 1);
}

// A route without objective and limits. `node_count` 0: `otherwise`.
static inline struct image_route *ib_route(struct image_builder *b, const char *name,
                                           const struct image_node *nodes, uint32_t node_count,
                                           struct image_list steps)
{
    assert(b->route_count < IB_MAX);
    struct image_route *r = &b->routes[b->route_count++];
    r->name = ib_str(b, name);
    r->line = b->route_count;
    r->guard = IB_LIST(b, nodes, node_count);
    r->is_otherwise = node_count == 0;
    const struct image_chain chain = {steps};
    r->chains = IB_LIST(b, &chain, 1);
    r->risk = -1;
    r->path_name = ib_str(b, "answer");
    r->cost_max_nusd = -1;
    return r;
}

// What the route goes on with when its path is not feasible.
static inline void ib_else(struct image_builder *b, struct image_route *r, struct image_list steps)
{
    struct image_chain chains[2];
    assert(r->chains.count == 1);
    memcpy(chains, b->block + r->chains.at, sizeof *chains);
    chains[1].steps = steps;
    r->chains = IB_LIST(b, chains, 2);
}

static inline void ib_alias(struct image_builder *b, const char *name,
                            enum image_alias_target target, int32_t index)
{
    assert(b->alias_count < IB_MAX);
    b->aliases[b->alias_count++] =
        (struct image_alias){.name = ib_str(b, name), .target = target, .index = index};
}

static inline int32_t ib_zone(struct image_builder *b, const char *name)
{
    assert(b->zone_count < IB_MAX);
    b->zones[b->zone_count] = (struct image_zone){.name = ib_str(b, name)};
    return (int32_t)b->zone_count++;
}

static inline struct image_sink *ib_sink(struct image_builder *b, const char *name,
                                         enum image_sink_kind kind)
{
    assert(b->sink_count < IB_MAX);
    b->sinks[b->sink_count] = (struct image_sink){
        .name = ib_str(b, name), .kind = kind, .zone = IMAGE_NONE, .call_nusd = -1, .call_uj = -1};
    return &b->sinks[b->sink_count++];
}

// A constraint without effect until the caller says more; `node_count` 0: always.
static inline struct image_constraint *ib_constraint(struct image_builder *b, const char *name,
                                                     enum image_constraint_kind kind,
                                                     const struct image_node *nodes,
                                                     uint32_t node_count)
{
    assert(b->constraint_count < IB_MAX);
    struct image_constraint *c = &b->constraints[b->constraint_count++];
    *c = (struct image_constraint){.name = ib_str(b, name), .kind = kind, .sink = IMAGE_NONE};
    c->guard = IB_LIST(b, nodes, node_count);
    c->line = b->constraint_count;
    return c;
}

// Levels for a lattice or words for an enum.
static inline struct image_list ib_words(struct image_builder *b, const char *const *words,
                                         uint32_t n)
{
    struct image_str strs[IMAGE_WORDS_MAX];
    assert(n <= IMAGE_WORDS_MAX);
    for (uint32_t i = 0; i < n; i++)
        strs[i] = ib_str(b, words[i]);
    return IB_LIST(b, strs, n);
}

static inline int32_t ib_lattice(struct image_builder *b, const char *name,
                                 const char *const *levels, uint32_t n)
{
    assert(b->lattice_count < IMAGE_LATTICES_MAX);
    b->lattices[b->lattice_count] =
        (struct image_lattice){.name = ib_str(b, name), .levels = ib_words(b, levels, n)};
    return (int32_t)b->lattice_count++;
}

// A derived signal; its words, bands and so on are the caller's to set.
static inline int32_t ib_derived(struct image_builder *b, const char *name,
                                 enum image_derive derive, enum signal_type type,
                                 const struct image_term *terms, uint32_t n)
{
    int32_t at = ib_signal(b, name, type);
    struct image_signal *s = &b->signals[at];
    s->derive = derive;
    s->terms = IB_LIST(b, terms, n);
    s->temperature = 1;
    return at;
}

// Lists are written out; the builder may not be changed afterwards.
static inline const struct policy_image *ib_finish(struct image_builder *b)
{
    struct policy_image p = {.version = IMAGE_VERSION};
    memcpy(p.magic, "MERITPOL", 8);
    for (unsigned i = 0; i < IMAGE_DIGEST_BYTES; i++)
        p.digest[i] = (uint8_t)(i * 7 + 1);
    p.name = ib_str(b, "test");
    p.policy_version = 1;
    p.dispatch = image_dispatch_default();
    p.models = IB_LIST(b, b->models, b->model_count);
    p.signals = IB_LIST(b, b->signals, b->signal_count);
    p.atoms = IB_LIST(b, b->atoms, b->atom_count);
    p.routes = IB_LIST(b, b->routes, b->route_count);
    p.aliases = IB_LIST(b, b->aliases, b->alias_count);
    p.lattices = IB_LIST(b, b->lattices, b->lattice_count);
    p.zones = IB_LIST(b, b->zones, b->zone_count);
    p.sinks = IB_LIST(b, b->sinks, b->sink_count);
    p.endpoints = IB_LIST(b, b->endpoints, b->endpoint_count);
    p.constraints = IB_LIST(b, b->constraints, b->constraint_count);
    p.assumes = IB_LIST(b, b->assumes, b->assume_count);
    p.size = b->used;
    memcpy(b->block, &p, sizeof p);
    return (const struct policy_image *)(const void *)b->block;
}

#endif
