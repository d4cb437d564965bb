#include "route/costs.h"

#include "signal/plan.h"

uint32_t route_length_class(uint64_t bytes)
{
    uint32_t c = 0;
    for (uint64_t end = ROUTE_LENGTH_FIRST; bytes > end && c + 1 < ROUTE_LENGTHS; end *= 4)
        c++;
    return c;
}

enum result route_costs_guess(const struct policy_image *image, const struct plan *signals,
                              struct arena *arena, struct route_costs *out)
{
    enum { GROUP_NONE, GROUP_SCAN, GROUP_EMBED, GROUP_ENCODER };
    // What one more signal of a group costs once the artifact is there: a few look-ups. Grade: guessed, 2026-11.
    enum { OWN_NS = 50 };
    uint32_t *own = ARENA_ARRAY(arena, uint32_t, image->signals.count + 1);
    uint8_t *group = ARENA_ARRAY(arena, uint8_t, image->signals.count + 1);
    if (!own || !group)
        return RESULT_NOMEM;
    *out = (struct route_costs){.own_ns = own, .group = group};
    for (uint32_t i = 0; i < image->signals.count; i++) {
        const struct signal_family *f = plan_family(signals, (int32_t)i);
        if (!f)
            continue; // derived: made of others, which have their own costs
        enum signal_cost cost =
            f->cost_of ? f->cost_of(image, image_signal(image, (int32_t)i)) : f->cost;
        group[i] = cost == SIGNAL_COST_PATTERN   ? GROUP_SCAN
                   : cost == SIGNAL_COST_EMBED   ? GROUP_EMBED
                   : cost == SIGNAL_COST_ENCODER ? GROUP_ENCODER
                                                 : GROUP_NONE;
        own[i] = group[i] ? OWN_NS : signal_cost_guess_ns(cost);
        for (uint32_t k = 0; group[i] && k < ROUTE_LENGTHS; k++)
            out->group_ns[group[i]][k] = signal_cost_guess_ns(cost);
    }
    return RESULT_OK;
}
