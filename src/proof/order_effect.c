// Which routes end a request in the same way.
#include "base/alloc.h"
#include "base/map.h"
#include "proof/order_inner.h"

static void put_text(struct buf *b, const struct policy_image *p, struct image_str s)
{
    buf_u64(b, s.len);
    buf_byte(b, ':');
    buf_add(b, image_text(p, s));
}

static void put_step(struct buf *b, const struct policy_image *p, const struct image_step *s)
{
    const struct image_binding *all = IMAGE_AT(p, s->bindings, struct image_binding);
    const int64_t parts[] = {s->kind,   s->escalated, s->sink,    s->retries, s->cap_tok,
                             s->hedges, s->count,     s->lattice, s->level,   s->bindings.count};
    buf_append(b, parts, sizeof parts);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        const int32_t binding[] = {all[i].model, (int32_t)all[i].effort};
        buf_append(b, binding, sizeof binding);
    }
    put_text(b, p, s->text);
}

// All that a route says but its name and guard.
static void put_route(struct buf *b, const struct policy_image *p, const struct image_route *r)
{
    const struct image_chain *chains = image_chains(p, r);
    const int64_t parts[] = {r->objective, r->cost_max_nusd, r->chains.count};
    const float reals[] = {r->quality_min, r->risk};
    buf_append(b, parts, sizeof parts);
    buf_append(b, reals, sizeof reals);
    for (uint32_t c = 0; c < r->chains.count; c++) {
        const struct image_step *steps = IMAGE_AT(p, chains[c].steps, struct image_step);
        buf_u64(b, chains[c].steps.count);
        for (uint32_t i = 0; i < chains[c].steps.count; i++)
            put_step(b, p, &steps[i]);
    }
}

bool order_effects(struct order *o)
{
    struct map known;
    struct buf b;
    uint32_t classes = 0;
    bool ok = true;
    map_init(&known, (struct hash_key){5, 6}, UINT32_MAX);
    buf_init(&b, IMAGE_BYTES_MAX);
    for (uint32_t i = 0; i < o->count && ok; i++) {
        buf_reset(&b);
        put_route(&b, o->p, image_route(o->p, (int32_t)i));
        struct slice key = buf_result(&b) ? SLICE_EMPTY : arena_copy(o->arena, buf_slice(&b));
        void *same = key.ptr ? map_get(&known, key) : NULL;
        o->effects[i] = same ? (uint32_t)((uintptr_t)same - 1) : classes;
        ok = key.ptr && (same || map_put(&known, key, (void *)(uintptr_t)++classes) == RESULT_OK);
    }
    map_deinit(&known);
    buf_deinit(&b);
    return ok;
}
