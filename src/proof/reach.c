// What constraints leave of each route: obligations that a path does not meet, extras that nothing allows, requests that
// nothing is left for, chains that are never taken.
#include <stdio.h>
#include <string.h>

#include "proof/check_inner.h"

enum {
    BLAME_MAX = 64, // constraints among which the fewest that explain a finding are looked for
};

static const struct image_constraint *constraint_at(const struct proof *p, uint32_t i)
{
    return IMAGE_AT(p->image, p->image->constraints, struct image_constraint) + i;
}

static struct slice route_name(const struct proof *p, const struct way *way)
{
    return image_text(p->image, image_route(p->image, way->route)->name);
}

// Claims: the request takes the way and nothing of it is feasible, obligations left aside (they have a finding of their
// own) or not.
static uint32_t nothing_left(struct proof *p, const struct way *way, bool obligations,
                             uint32_t *claims)
{
    uint32_t n = 0;
    claims[n++] = feasible_enters(p->feasible, way);
    for (uint32_t c = 0; c < way->count; c++)
        claims[n++] = space_not(obligations ? feasible_chain(p->feasible, way, c)
                                            : feasible_chain_bare(p->feasible, way, c));
    return n;
}

// --- obligations

static bool lacks(const struct way_chain *chain, const struct image_constraint *c, bool *by_hit)
{
    *by_hit = false;
    if (!chain->refuses && !way_chain_passes(chain, c->step, c->sink))
        return true;
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->steps[i].is->kind == IMAGE_STEP_CACHE &&
            !way_hit_passes(chain, i, c->step, c->sink))
            return *by_hit = true;
    return false;
}

static struct slice required_text(struct proof *p, const struct image_constraint *c)
{
    if (c->sink == IMAGE_NONE)
        return slice_cstr(proof_step_word(c->step));
    const struct image_sink *s = IMAGE_AT(p->image, p->image->sinks, struct image_sink) + c->sink;
    struct slice text = arena_printf(p->arena, "%s(%.*s)", proof_step_word(c->step),
                                     SLICE_FMT(image_text(p->image, s->name)));
    return text.ptr ? text : SLICE("?");
}

// A request that takes the chain would get an answer without the step, and nothing behind the chain makes up for it.
static bool check_obligation(struct proof *p, const struct way *way, uint32_t chain,
                             uint32_t constraint)
{
    const struct image_constraint *c = constraint_at(p, constraint);
    bool by_hit;
    if (!way->chains[chain].delivers || !lacks(&way->chains[chain], c, &by_hit))
        return false;
    struct feasible *f = p->feasible;
    uint32_t *claims = ARENA_ARRAY(p->arena, uint32_t, way->count + 4), n = 0;
    if (!claims) {
        p->err = RESULT_NOMEM;
        return false;
    }
    claims[n++] = feasible_enters(f, way);
    claims[n++] = feasible_chain_bare(f, way, chain);
    claims[n++] = feasible_active(f, constraint);
    for (uint32_t i = 0; i < way->count; i++)
        if (i > chain || (i < chain && !way->chains[i].fails))
            claims[n++] = space_not(feasible_chain(f, way, i));
    enum sat_answer a = space_ask(p->space, claims, n, 0);
    struct slice name = route_name(p, way), step = required_text(p, c);
    if (a == SAT_UNKNOWN)
        proof_unknown(p, name, proof_route_span(p, way->route), "that no answer misses a step");
    if (a != SAT_YES)
        return false;
    struct diag *d =
        proof_finding(p, DIAG_ERROR, "obligation", name, proof_route_span(p, way->route),
                      "%s of route `%.*s` %s that has not passed `%.*s`, which \"%.*s\" requires",
                      chain ? "an else" : "the path", SLICE_FMT(name),
                      by_hit ? "can take an answer from a cache" : "delivers an answer",
                      SLICE_FMT(step), SLICE_FMT(image_text(p->image, c->name)));
    proof_witness(p, d, claims, n);
    diag_also(p->diags, d, proof_span(p, IMAGE_CONSTRAINTS, constraint), "required here");
    if (by_hit)
        diag_help(p->diags, d, "ask the cache behind `%.*s`, or not at all", SLICE_FMT(step));
    else
        diag_help(p->diags, d,
                  c->step == IMAGE_STEP_VERIFY
                      ? "write `-> %.*s%s` behind the answer, or end with `else refuse \"...\"`"
                      : "write `%.*s%s ->` before the answer, or end with `else refuse \"...\"`",
                  SLICE_FMT(step),
                  c->sink == IMAGE_NONE && c->step == IMAGE_STEP_VERIFY ? "(NAME)" : "");
    return true;
}

void proof_obligations(struct proof *p)
{
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++) {
        const struct way *way = &p->ways.at[w];
        if (way->kind != WAY_ROUTE || !proof_alive(p, way))
            continue;
        for (uint32_t i = 0; i < p->image->constraints.count && !p->err; i++) {
            bool told = constraint_at(p, i)->kind != IMAGE_REQUIRE;
            for (uint32_t c = 0; c < way->count && !told && !p->err; c++)
                told = check_obligation(p, way, c, i);
            p->obliged[w] |= told && constraint_at(p, i)->kind == IMAGE_REQUIRE;
        }
    }
}

// --- what needs an `allow`

static bool check_extra(struct proof *p, const struct way *way, uint32_t chain, enum image_extra e)
{
    static const char *const verbs[] = {"escalates", "fuses", "hedges"};
    static const char *const words[] = {"escalate", "fuse", "hedge"};
    uint32_t claims[] = {feasible_enters(p->feasible, way),
                         feasible_extras(p->feasible, way, chain, e)};
    struct slice name = route_name(p, way);
    if (claims[1] == SPACE_TRUE)
        return false;
    enum sat_answer a = space_ask(p->space, claims, 2, SPACE_FAILURES);
    if (a == SAT_UNKNOWN)
        proof_unknown(p, name, proof_route_span(p, way->route), "that an `allow` can hold");
    if (a != SAT_NO)
        return false;
    uint32_t claim = claims[0];
    bool reached = space_ask(p->space, &claim, 1, 0) == SAT_YES;
    if (!reached)
        return false;
    struct diag *d =
        proof_finding(p, DIAG_ERROR, "not-allowed", name, proof_route_span(p, way->route),
                      "%s of route `%.*s` %s, which no `allow %s` ever permits it",
                      chain ? "an else" : "the path", SLICE_FMT(name), verbs[e], words[e]);
    proof_witness(p, d, &claim, 1);
    diag_help(p->diags, d, "write `allow %s 1 when ...` for whom it is meant", words[e]);
    return true;
}

void proof_extras(struct proof *p)
{
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++) {
        const struct way *way = &p->ways.at[w];
        for (enum image_extra e = 0;
             e < IMAGE_EXTRA_COUNT_ && way->kind == WAY_ROUTE && proof_alive(p, way); e++)
            for (uint32_t c = 0; c < way->count && !p->err; c++)
                p->barred[w] |= check_extra(p, way, c, e);
    }
}

// --- nothing left

// The fewest constraints that leave the way nothing, found by leaving out one after the other; their names as "a", "b".
// The last question that was answered with yes is the one with these alone, and `claims` are its claims.
static struct slice blame(struct proof *p, const struct way *way, uint32_t *claims, uint32_t *n)
{
    uint32_t who[BLAME_MAX], count = 0;
    for (uint32_t i = 0; i < p->image->constraints.count; i++) {
        if (!feasible_touches(p->feasible, way, i))
            continue;
        if (count == BLAME_MAX)
            return SLICE("several constraints together");
        who[count++] = i;
    }
    // An `allow` gives: without it more is taken away, so it cannot be to blame.
    for (uint32_t k = 0; k < count; k++) {
        if (constraint_at(p, who[k])->kind == IMAGE_ALLOW)
            continue;
        feasible_without(p->feasible, who[k]);
        uint32_t m = nothing_left(p, way, false, claims);
        if (space_ask(p->space, claims, m, 0) != SAT_YES)
            feasible_with(p->feasible, who[k]);
    }
    *n = nothing_left(p, way, false, claims);
    enum sat_answer again = space_ask(p->space, claims, *n, 0);
    char text[PROOF_TEXT_MAX / 2] = "";
    size_t len = 0;
    struct slice before = SLICE_EMPTY;
    bool off = false;
    for (uint32_t k = 0; k < count && again == SAT_YES; k++) {
        struct slice name = proof_constraint_name(p, who[k]);
        off = !feasible_counts(p->feasible, who[k]);
        if (off || constraint_at(p, who[k])->kind == IMAGE_ALLOW || slice_eq(name, before))
            continue;
        before = name;
        int w =
            snprintf(text + len, sizeof text - len, "%s\"%.*s\"", len ? ", " : "", SLICE_FMT(name));
        len = w < 0 || (size_t)w >= sizeof text - len ? sizeof text - 1 : len + (size_t)w;
    }
    struct slice s = arena_printf(p->arena, "%s", text);
    return s.ptr ? s : SLICE_EMPTY;
}

static void check_nothing(struct proof *p, uint32_t w)
{
    const struct way *way = &p->ways.at[w];
    struct slice name = route_name(p, way);
    uint32_t *claims = ARENA_ARRAY(p->arena, uint32_t, way->count + 2);
    if (!claims) {
        p->err = RESULT_NOMEM;
        return;
    }
    uint32_t n = nothing_left(p, way, false, claims);
    enum sat_answer a = space_ask(p->space, claims, n, 0);
    if (a == SAT_UNKNOWN)
        proof_unknown(p, name, proof_route_span(p, way->route), "that something is always left");
    if (a != SAT_YES)
        return;
    struct slice names = blame(p, way, claims, &n);
    struct space_witness witness;
    bool shown = space_witness(p->space, 0, claims, n, p->arena, &witness) == RESULT_OK;
    feasible_all(p->feasible);
    struct diag *d =
        names.len
            ? proof_finding(p, DIAG_ERROR, "infeasible", name, proof_route_span(p, way->route),
                            "%.*s leave%s a request nothing of route `%.*s`, which it takes",
                            SLICE_FMT(names), slice_find(names, SLICE("\", \"")) < 0 ? "s" : "",
                            SLICE_FMT(name))
            : proof_finding(p, DIAG_ERROR, "infeasible", name, proof_route_span(p, way->route),
                            "none of the models of route `%.*s` can ever be what it asks for: "
                            "the quality or price that it wants is not stated",
                            SLICE_FMT(name));
    if (shown)
        diag_witness(p->diags, d, witness.json);
    diag_help(
        p->diags, d,
        "end the route with `else refuse \"...\"` where that is meant, give it something that is "
        "allowed, or write `assume infeasible %.*s \"why\"`",
        SLICE_FMT(name));
}

// A chain that no request can take, though the route is taken.
static void check_dead(struct proof *p, const struct way *way, uint32_t c)
{
    uint32_t claim = feasible_tried(p->feasible, way, c);
    if (space_ask(p->space, &claim, 1, SPACE_FAILURES) != SAT_NO)
        return;
    struct slice name = route_name(p, way);
    struct diag *d =
        proof_finding(p, DIAG_WARNING, "dead-chain", name, proof_route_span(p, way->route),
                      "%s of route `%.*s` is never taken: constraints always exclude it",
                      c ? "an else" : "the path", SLICE_FMT(name));
    diag_help(p->diags, d, "take it out, or change what excludes it");
}

void proof_infeasible(struct proof *p)
{
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++) {
        const struct way *way = &p->ways.at[w];
        if (way->kind != WAY_ROUTE || !proof_alive(p, way))
            continue;
        uint32_t errors = p->diags->errors;
        // What already has a finding would be told twice.
        if (!p->barred[w])
            check_nothing(p, w);
        for (uint32_t c = 0; c < way->count && errors == p->diags->errors && !p->obliged[w] &&
                             !p->barred[w] && !p->err;
             c++)
            check_dead(p, way, c);
    }
}
