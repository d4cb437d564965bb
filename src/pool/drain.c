#include "pool/drain.h"

#include <math.h>

static double seconds(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

// What is left of what was learned.
static double kept(const struct drain *d, uint64_t now_us)
{
    return d->at_us ? exp(-seconds(d->at_us, now_us) / DRAIN_MEMORY_S) : 0;
}

void drain_learn(struct drain *d, uint64_t tok, uint64_t calls, uint64_t line_us, uint64_t now_us)
{
    double keep = kept(d, now_us);
    d->tok = d->tok * keep + (double)tok;
    d->calls = d->calls * keep + (double)calls;
    d->s = d->s * keep + seconds(line_us > d->at_us ? line_us : d->at_us, now_us);
    d->at_us = now_us;
}

double drain_tok_s(const struct drain *d, double mean_tok, uint64_t line_us, uint64_t now_us)
{
    double keep = kept(d, now_us), s = d->s * keep;
    if (line_us)
        s += seconds(line_us > d->at_us ? line_us : d->at_us, now_us);
    double tok = d->tok > d->calls * mean_tok ? d->tok : d->calls * mean_tok;
    return s >= DRAIN_SEEN_S && tok > 0 ? tok * keep / s : -1;
}
