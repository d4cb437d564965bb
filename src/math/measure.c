#include "math/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "math/real.h"

// Of the normal distribution: 90 % lie within this many standard deviations.
static const double Z90 = 1.6448536269514722;

struct measure measure_share(uint64_t hits, uint64_t of)
{
    if (!of)
        return (struct measure){0, 0, 1};
    double n = (double)of, p = (double)hits / n, z2 = Z90 * Z90;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z90 * real_sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    double low = middle - half, high = middle + half;
    return (struct measure){p, hits ? (low > 0 ? low : 0) : 0,
                            hits < of ? (high < 1 ? high : 1) : 1};
}

static uint32_t best_of(const float *p, uint32_t labels)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < labels; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}

double measure_classes(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels,
                       struct measure_class *classes, uint64_t *confusion)
{
    memset(classes, 0, labels * sizeof *classes);
    if (confusion)
        memset(confusion, 0, (size_t)labels * labels * sizeof *confusion);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t told = best_of(p + (size_t)r * labels, labels);
        classes[truth[r]].truth++;
        classes[told].told++;
        classes[told].hit += told == truth[r];
        if (confusion)
            confusion[(size_t)truth[r] * labels + told]++;
    }
    double sum = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < labels; i++) {
        struct measure_class *c = &classes[i];
        c->precision = c->told ? (double)c->hit / (double)c->told : 0;
        c->recall = c->truth ? (double)c->hit / (double)c->truth : 0;
        c->f1 = c->truth + c->told ? 2.0 * (double)c->hit / (double)(c->truth + c->told) : 0;
        if (c->truth) {
            sum += c->f1;
            seen++;
        }
    }
    return seen ? sum / seen : 0;
}

double measure_ece(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels,
                   struct measure_bin bins[MEASURE_BINS])
{
    struct measure_bin own[MEASURE_BINS];
    if (!bins)
        bins = own;
    memset(bins, 0, MEASURE_BINS * sizeof *bins);
    for (uint32_t r = 0; r < rows; r++) {
        const float *row = p + (size_t)r * labels;
        uint32_t told = best_of(row, labels);
        int bin = (int)(row[told] * MEASURE_BINS);
        bin = bin < 0 ? 0 : bin >= MEASURE_BINS ? MEASURE_BINS - 1 : bin;
        bins[bin].count++;
        bins[bin].confidence += row[told];
        bins[bin].accuracy += told == truth[r];
    }
    double sum = 0;
    for (int i = 0; i < MEASURE_BINS; i++) {
        sum += fabs(bins[i].confidence - bins[i].accuracy);
        if (bins[i].count) {
            bins[i].confidence /= (double)bins[i].count;
            bins[i].accuracy /= (double)bins[i].count;
        }
    }
    return rows ? sum / rows : 0;
}

double measure_brier(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels)
{
    double sum = 0;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < labels; i++) {
            double d = p[(size_t)r * labels + i] - (truth[r] == i);
            sum += d * d;
        }
    return rows ? sum / rows : 0;
}

double measure_nll(const float *p, const uint32_t *truth, uint32_t rows, uint32_t labels)
{
    double sum = 0;
    for (uint32_t r = 0; r < rows; r++) {
        double cost = -real_log(p[(size_t)r * labels + truth[r]]);
        sum += cost < 30 ? cost : 30;
    }
    return rows ? sum / rows : 0;
}

struct scored {
    float score;
    bool positive;
};

static int by_score_down(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

static struct scored *sorted(const float *score, const bool *positive, uint32_t rows,
                             struct arena *arena, uint64_t *positives)
{
    struct scored *s = ARENA_ARRAY(arena, struct scored, rows + 1);
    *positives = 0;
    for (uint32_t i = 0; s && i < rows; i++) {
        s[i] = (struct scored){score[i], positive[i]};
        *positives += positive[i];
    }
    if (s)
        qsort(s, rows, sizeof *s, by_score_down);
    return s;
}

enum result measure_auc(const float *score, const bool *positive, uint32_t rows,
                        struct arena *arena, double *out)
{
    uint64_t positives, above = 0;
    struct scored *s = sorted(score, positive, rows, arena, &positives);
    if (!s)
        return RESULT_NOMEM;
    double area = 0; // pairs in which the positive stands higher
    for (uint32_t i = 0; i < rows;) {
        uint64_t yes = 0, no = 0;
        float tie = s[i].score;
        for (; i < rows && s[i].score == tie; i++) {
            yes += s[i].positive;
            no += !s[i].positive;
        }
        area += (double)no * ((double)above + 0.5 * (double)yes);
        above += yes;
    }
    double pairs = (double)positives * (double)(rows - positives);
    *out = pairs > 0 ? area / pairs : 0.5;
    return RESULT_OK;
}

enum result measure_recall_at(const float *score, const bool *positive, uint32_t rows, double rate,
                              struct arena *arena, struct measure *recall, float *threshold)
{
    uint64_t positives, hits = 0, false_hits = 0, best = 0;
    struct scored *s = sorted(score, positive, rows, arena, &positives);
    if (!s)
        return RESULT_NOMEM;
    double most = rate * (double)(rows - positives);
    *threshold = INFINITY;
    for (uint32_t i = 0; i < rows;) {
        float tie = s[i].score;
        for (; i < rows && s[i].score == tie; i++) {
            hits += s[i].positive;
            false_hits += !s[i].positive;
        }
        if ((double)false_hits > most)
            break;
        best = hits;
        *threshold = tie;
    }
    *recall = measure_share(best, positives);
    return RESULT_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum result measure_bootstrap(uint32_t rows, uint32_t times, uint64_t seed,
                              double (*statistic)(void *ctx, const uint32_t *pick, uint32_t count),
                              void *ctx, struct arena *arena, struct measure *out)
{
    uint32_t *pick = ARENA_ARRAY(arena, uint32_t, rows + 1);
    double *values = ARENA_ARRAY(arena, double, times + 1);
    struct rng rng;
    if (!pick || !values)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < rows; i++)
        pick[i] = i;
    out->value = out->low = out->high = statistic(ctx, pick, rows);
    if (!rows || !times)
        return RESULT_OK;
    rng_seed(&rng, seed);
    for (uint32_t t = 0; t < times; t++) {
        for (uint32_t i = 0; i < rows; i++)
            pick[i] = (uint32_t)rng_below(&rng, rows);
        values[t] = statistic(ctx, pick, rows);
    }
    qsort(values, times, sizeof *values, by_value);
    out->low = values[(uint32_t)(0.05 * (times - 1) + 0.5)];
    out->high = values[(uint32_t)(0.95 * (times - 1) + 0.5)];
    return RESULT_OK;
}
