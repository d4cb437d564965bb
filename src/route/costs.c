#include "route/costs.h"

#include "signal/plan.h"

_Static_assert(ROUTE_GROUP_PASS + SIGNAL_PASS_TURNS < ROUTE_GROUPS, "a group per pass");

uint32_t route_length_class(uint64_t bytes)
{
    uint32_t c = 0;
    for (uint64_t end = ROUTE_LENGTH_FIRST; bytes > end && c + 1 < ROUTE_LENGTHS; end *= 4)
        c++;
    return c;
}

// `f` NULL: derived, made of others, which have their own costs.
static void guess(struct route_costs *out, uint32_t *own, uint8_t *group, uint32_t i,
                  const struct signal_family *f, enum signal_cost cost)
{
    // What one more signal of a group costs once the artifact is there: a few look-ups; a first tier and a head where an
    // encoder is asked. The artifact's cost is a guess for a text of the second class, and doubles with each. Grade:
    // guessed, 2026-11.
    enum { OWN_NS = 50, OWN_HEAD_NS = 20 * 1000 };
    if (!f)
        return;
    group[i] = (uint8_t)(cost == SIGNAL_COST_PATTERN   ? ROUTE_GROUP_SCAN
                         : cost == SIGNAL_COST_EMBED   ? ROUTE_GROUP_STATIC
                         : cost == SIGNAL_COST_ENCODER ? ROUTE_GROUP_PASS + (int)f->pass
                                                       : ROUTE_GROUP_NONE);
    own[i] = group[i] >= ROUTE_GROUP_PASS ? OWN_HEAD_NS
             : group[i]                   ? OWN_NS
                                          : signal_cost_guess_ns(cost);
    for (uint32_t k = 0; group[i] && k < ROUTE_LENGTHS; k++)
        out->group_ns[group[i]][k] = signal_cost_guess_ns(cost) / 2 << k;
}

static enum result open_costs(const struct policy_image *image, struct arena *arena, uint32_t **own,
                              uint8_t **group, struct route_costs *out)
{
    *own = ARENA_ARRAY(arena, uint32_t, image->signals.count + 1);
    *group = ARENA_ARRAY(arena, uint8_t, image->signals.count + 1);
    *out = (struct route_costs){.own_ns = *own, .group = *group};
    return *own && *group ? RESULT_OK : RESULT_NOMEM;
}

uint32_t route_groups_paid(uint8_t group, uint32_t length)
{
    enum {
        SHORT = 1, // to 512 bytes: below the least window, 256 tokens
        ANCHOR = ROUTE_GROUP_PASS + SIGNAL_PASS_ANCHOR,
        PIECES = ROUTE_GROUP_PASS + SIGNAL_PASS_PIECES,
    };
    if (length <= SHORT && (group == ANCHOR || group == PIECES))
        return UINT32_C(1) << ANCHOR | UINT32_C(1) << PIECES;
    return group ? UINT32_C(1) << group : 0;
}

enum result route_costs_guess(const struct policy_image *image, const struct plan *signals,
                              struct arena *arena, struct route_costs *out)
{
    uint32_t *own;
    uint8_t *group;
    enum result r = open_costs(image, arena, &own, &group, out);
    for (uint32_t i = 0; i < image->signals.count && !r; i++)
        guess(out, own, group, i, plan_family(signals, (int32_t)i), plan_cost(signals, (int32_t)i));
    return r;
}

enum result route_costs_guess_families(const struct policy_image *image,
                                       const struct signal_registry *registry, struct arena *arena,
                                       struct route_costs *out)
{
    uint32_t *own;
    uint8_t *group;
    enum result r = open_costs(image, arena, &own, &group, out);
    for (uint32_t i = 0; i < image->signals.count && !r; i++) {
        const struct image_signal *s = image_signal(image, (int32_t)i);
        const struct signal_family *f =
            s->derive == IMAGE_DERIVE_NONE
                ? signal_family_find(registry, image_text(image, s->family))
                : NULL;
        guess(out, own, group, i, f,
              f && f->cost_of ? f->cost_of(image, s)
              : f             ? f->cost
                              : SIGNAL_COST_FREE);
    }
    return r;
}
