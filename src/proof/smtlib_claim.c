// What a `prove` or a `test` states, as a request that breaks it.
//
// `prove` speaks of every request, however it came: by the routes, an alias, a model's name, a pass. `test`, and claims
// about routes, speak of those that the routes decide on.
#include "proof/smtlib_inner.h"

static bool in_list(const struct smtlib *s, const struct image_claim *c, int32_t i)
{
    const struct image_index *at = IMAGE_AT(s->p, c->list, struct image_index);
    for (uint32_t k = 0; k < c->list.count; k++)
        if (at[k].index == i)
            return true;
    return false;
}

static bool speaks_of(const struct image_theorem *t, const struct image_claim *c,
                      const struct way *w)
{
    if (w->kind == WAY_ROUTE)
        return true;
    if (t->is_test || c->kind == IMAGE_CLAIM_ROUTE || c->kind == IMAGE_CLAIM_REFUSE ||
        c->kind == IMAGE_CLAIM_FEASIBLE)
        return false;
    return w->kind != WAY_PASS || c->kind == IMAGE_CLAIM_REACHES;
}

// Some answer is asked for of a model that the claim excludes.
static void put_bindings(struct smtlib *s, const struct image_claim *c, const struct way *w)
{
    for (uint32_t k = 0; k < w->count; k++)
        for (uint32_t i = 0; i < w->chains[k].count; i++) {
            const struct way_step *t = &w->chains[k].steps[i];
            if (t->is->kind != IMAGE_STEP_ANSWER && t->is->kind != IMAGE_STEP_FUSE)
                continue;
            for (uint32_t b = 0; b < t->binding_count; b++) {
                int32_t model = t->bindings[b].model;
                bool in = in_list(
                    s, c, c->kind == IMAGE_CLAIM_ZONE ? image_model(s->p, model)->zone : model);
                if (in != c->negated)
                    continue;
                BUF_LIT(s->out, "\n  ");
                smtlib_used(s, w, k, i, b);
            }
        }
}

static void put_passes(struct smtlib *s, const struct image_claim *c, const struct way *w)
{
    for (uint32_t k = 0; k < w->count; k++) {
        const struct way_chain *chain = &w->chains[k];
        if (!chain->delivers || smtlib_passes(chain, c->step) != c->negated)
            continue;
        BUF_LIT(s->out, "\n  ");
        smtlib_tried(s, w, k);
    }
}

// An answer can be delivered.
static void put_served(struct smtlib *s, const struct way *w)
{
    BUF_LIT(s->out, "(or false");
    for (uint32_t k = 0; k < w->count; k++) {
        if (!w->chains[k].delivers)
            continue;
        buf_byte(s->out, ' ');
        smtlib_tried(s, w, k);
    }
    BUF_LIT(s->out, ")");
}

static void put_way(struct smtlib *s, const struct image_claim *c, const struct way *w)
{
    static const enum smtlib_place_kind kinds[] = {
        [IMAGE_FORBID_ZONE] = SMTLIB_PLACE_ZONE,   [IMAGE_FORBID_BELOW] = SMTLIB_PLACE_ZONE,
        [IMAGE_FORBID_MODEL] = SMTLIB_PLACE_MODEL, [IMAGE_FORBID_ENDPOINT] = SMTLIB_PLACE_ZONE,
        [IMAGE_FORBID_EFFORT] = SMTLIB_PLACE_ZONE, [IMAGE_FORBID_STEP] = SMTLIB_PLACE_ZONE,
        [IMAGE_FORBID_SINK] = SMTLIB_PLACE_SINK};
    if (c->kind == IMAGE_CLAIM_ZONE || c->kind == IMAGE_CLAIM_MODEL) {
        put_bindings(s, c, w);
    } else if (c->kind == IMAGE_CLAIM_PASSES) {
        put_passes(s, c, w);
    } else if (c->kind == IMAGE_CLAIM_REFUSE || c->kind == IMAGE_CLAIM_FEASIBLE) {
        bool served = (c->kind == IMAGE_CLAIM_REFUSE) != c->negated;
        BUF_LIT(s->out, "\n  (and ");
        smtlib_symbol(s, "takes", smtlib_way_name(s, w));
        buf_cstr(s->out, served ? " " : " (not ");
        put_served(s, w);
        buf_cstr(s->out, served ? ")" : "))");
    } else if (c->kind == IMAGE_CLAIM_REACHES) {
        const struct smtlib_place at = {.kind = kinds[c->target],
                                        .index = c->index,
                                        .lattice = c->lattice,
                                        .level = c->level,
                                        .any = c->level == 0};
        smtlib_touches(s, w, &at, true);
    }
}

static void put_broken(struct smtlib *s, const struct image_theorem *t, const struct image_claim *c)
{
    bool whole = c->kind == IMAGE_CLAIM_REACHES && !c->negated;
    BUF_LIT(s->out, "(assert ");
    if (c->kind == IMAGE_CLAIM_NEVER) {
        buf_cstr(s->out, c->negated ? "false" : "true");
    } else if (c->kind == IMAGE_CLAIM_ROUTE) {
        buf_cstr(s->out, c->negated ? "" : "(not ");
        smtlib_symbol(s, "takes", image_text(s->p, image_route(s->p, c->index)->name));
        buf_cstr(s->out, c->negated ? "" : ")");
    } else {
        buf_cstr(s->out, whole ? "(not (or false" : "(or false");
        for (uint32_t i = 0; i < s->ways.count; i++)
            if (speaks_of(t, c, &s->ways.at[i]))
                put_way(s, c, &s->ways.at[i]);
        buf_cstr(s->out, whole ? "))" : ")");
    }
    BUF_LIT(s->out, ")\n");
}

void smtlib_ask_claims(struct smtlib *s)
{
    const struct image_theorem *t = IMAGE_AT(s->p, s->p->theorems, struct image_theorem);
    for (uint32_t i = 0; i < s->p->theorems.count; i++) {
        const struct image_claim *c = IMAGE_AT(s->p, t[i].claims, struct image_claim);
        if (t[i].user.len || t[i].corpus.len)
            continue; // of values that are computed, not of all requests
        for (uint32_t k = 0; k < t[i].claims.count; k++) {
            if (c[k].kind == IMAGE_CLAIM_COSTS)
                continue; // sums along a path: no question of logic
            smtlib_ask(s, &(struct smtlib_question){SMTLIB_CLAIM, (int32_t)i, (int32_t)k},
                       image_text(s->p, t[i].name), SLICE_EMPTY);
            if (t[i].is_test)
                BUF_LIT(s->out, "(assert |all computed|)\n");
            BUF_LIT(s->out, "(assert ");
            smtlib_guard(s, t[i].guard);
            BUF_LIT(s->out, ")\n");
            put_broken(s, &t[i], &c[k]);
            smtlib_asked(s);
        }
    }
}
