#include "math/sketch.h"

#include <assert.h>

enum { FIRST_OCTAVE = 4 }; // 2^4 is SKETCH_EXACT

uint32_t sketch_bucket(uint32_t v)
{
    if (v < SKETCH_EXACT)
        return v;
    uint32_t octave = 31 - (uint32_t)__builtin_clz(v);
    return SKETCH_EXACT + (octave - FIRST_OCTAVE) * SKETCH_PER_OCTAVE +
           ((v >> (octave - 3)) & (SKETCH_PER_OCTAVE - 1));
}

uint64_t sketch_from(uint32_t bucket)
{
    assert(bucket <= SKETCH_BUCKETS);
    if (bucket < SKETCH_EXACT)
        return bucket;
    uint32_t octave = (bucket - SKETCH_EXACT) / SKETCH_PER_OCTAVE + FIRST_OCTAVE;
    uint64_t part = (bucket - SKETCH_EXACT) % SKETCH_PER_OCTAVE;
    return (SKETCH_PER_OCTAVE + part) << (octave - 3);
}

double sketch_middle(uint32_t bucket)
{
    return ((double)sketch_from(bucket) + (double)sketch_from(bucket + 1) - 1) / 2;
}

void sketch_add(struct sketch *s, uint32_t v, float weight)
{
    s->at[sketch_bucket(v)] += weight;
    s->weight += (double)weight;
    s->sum += (double)weight * v;
}

void sketch_scale(struct sketch *s, float by)
{
    assert(by >= 0 && by <= 1);
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
        s->at[i] *= by;
    s->weight *= (double)by;
    s->sum *= (double)by;
}

void sketch_join(struct sketch *to, const struct sketch *from, double by)
{
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
        to->at[i] += (float)((double)from->at[i] * by);
    to->weight += from->weight * by;
    to->sum += from->sum * by;
}

double sketch_mean(const struct sketch *s)
{
    return s->weight > 0 ? s->sum / s->weight : 0;
}

static double total(const struct sketch *s)
{
    double n = 0;
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
        n += (double)s->at[i];
    return n;
}

// The numbers of a bucket are taken as spread evenly over it.
static double within(uint32_t bucket, double share)
{
    double from = (double)sketch_from(bucket), width = (double)sketch_from(bucket + 1) - from;
    return width <= 1 ? from : from + share * (width - 1);
}

double sketch_quantile(const struct sketch *s, double q)
{
    double want = q * total(s), below = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++) {
        double n = (double)s->at[i];
        if (n <= 0)
            continue;
        last = i;
        if (below + n >= want)
            return within(i, want > below ? (want - below) / n : 0);
        below += n;
    }
    return within(last, 1);
}

double sketch_below(const struct sketch *s, double v)
{
    double all = total(s), below = 0;
    if (all <= 0 || v <= 0)
        return 0;
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++) {
        double from = (double)sketch_from(i), width = (double)sketch_from(i + 1) - from;
        if (v >= from + width) {
            below += (double)s->at[i];
            continue;
        }
        if (v > from && width > 1)
            below += (double)s->at[i] * (v - from) / width;
        break;
    }
    return below / all;
}

void sketch_interval(const struct sketch *s, double miss, double *low, double *high)
{
    *low = sketch_quantile(s, miss / 2);
    double under = sketch_below(s, *low);
    *high = sketch_quantile(s, 1 - miss + (under < miss / 2 ? under : miss / 2));
    double over = 1 - sketch_below(s, *high + 1);
    if (over < miss / 2)
        *low = sketch_quantile(s, miss - (over > 0 ? over : 0));
    if (*low > *high)
        *low = *high;
}
