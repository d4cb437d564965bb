#include "work/signal.h"

uint32_t signal_cost_guess_ns(enum signal_cost cost)
{
    switch (cost) {
    case SIGNAL_COST_FREE:
        return 30;
    case SIGNAL_COST_PATTERN:
        return 1000;
    case SIGNAL_COST_TEXT:
        return 2000;
    case SIGNAL_COST_EMBED:
        return 50 * 1000;
    case SIGNAL_COST_ENCODER:
        return 2 * 1000 * 1000; // MiniLM, some 60 tokens, when the first tier was not sure
    case SIGNAL_COST_JUDGE:
        return 1000 * 1000 * 1000;
    }
    return 1000;
}

const struct signal_family *signal_family_find(const struct signal_registry *r, struct slice name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (slice_eq_cstr(name, r->families[i]->name))
            return r->families[i];
    return NULL;
}
