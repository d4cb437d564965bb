// Why nothing is left: constraints that empty the feasible set together.
#include <string.h>

#include "route/fit.h"

static bool nothing_left(struct route_run *run)
{
    struct fit_ask ask;
    struct chain_outcome out;
    for (uint32_t i = run->decision->first_chain; i < fit_chains(run); i++) {
        fit_ask_of(run, i, &ask);
        if (fit_chain(run, &ask, &out) != TRI_FALSE)
            return false;
    }
    return true;
}

void fit_core(struct route_run *run, uint64_t *core)
{
    const struct table_constraints *t = &run->table->constraints;
    uint64_t *spared = run->spare;
    // Allowances make room: they are no part of what empties.
    for (uint32_t w = 0; w < t->words; w++)
        core[w] = run->constraints_known[w] & run->constraints_hold[w] & ~t->allow[w];
    memset(spared, 0, t->words * sizeof *spared);
    run->spared = spared;
    // Many at once first: few of them matter.
    for (uint32_t w = 0; w < t->words; w++) {
        spared[w] = core[w];
        if (nothing_left(run)) {
            core[w] = 0;
            continue;
        }
        spared[w] = 0;
        for (uint64_t bits = core[w]; bits; bits &= bits - 1) {
            uint64_t bit = bits & -bits;
            spared[w] |= bit;
            if (nothing_left(run))
                core[w] &= ~bit;
            else
                spared[w] &= ~bit;
        }
    }
    run->spared = NULL;
}
