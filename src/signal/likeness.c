#include "signal/likeness.h"

#include <math.h>

const struct ngram_spec likeness_spec = {.char_min = 3,
                                         .char_max = 4,
                                         .word_max = 1,
                                         .bucket_bits = 16,
                                         .flags = NGRAM_FOLD | NGRAM_SKELETON,
                                         .text_max = LIKENESS_TEXT_MAX};

static enum result keep_grams(struct likeness *l, struct arena *arena)
{
    struct ngram_scratch *scratch;
    enum result r = ngram_scratch_open(likeness_spec.bucket_bits, likeness_spec.text_max, &scratch);
    for (uint32_t i = 0; !r && i < l->count; i++) {
        const uint32_t *buckets;
        uint32_t n = ngram_features(&likeness_spec, scratch, l->texts[i], &buckets);
        uint32_t *kept = arena_alloc(arena, n * sizeof *kept + 1);
        if (!kept) {
            r = RESULT_NOMEM;
            break;
        }
        memcpy(kept, buckets, n * sizeof *kept);
        l->grams[i] = kept;
        l->gram_counts[i] = n;
    }
    ngram_scratch_close(scratch);
    return r;
}

// Long examples are read like any other text; what they mean is the mean of their windows.
static void keep_vectors(struct likeness *l, const struct trunk_service *trunk, struct arena *arena)
{
    struct trunk_ask ask = {
        .model = TRUNK_EMBED, .reading = TRUNK_TOPIC, .texts = l->texts, .count = l->count};
    uint32_t dim = trunk->dim[TRUNK_EMBED];
    float *vectors = ARENA_ARRAY(arena, float, (size_t)l->count *dim);
    if (!vectors)
        return;
    trunk->answer(trunk->ctx, &ask, arena);
    if (ask.answer.result)
        return;
    for (uint32_t w = 0; w < ask.answer.window_count; w++) {
        const struct trunk_window *window = &ask.answer.windows[w];
        for (uint32_t i = 0; i < dim; i++)
            vectors[(size_t)window->text * dim + i] += window->vector[i];
    }
    for (uint32_t k = 0; k < l->count; k++) {
        float *v = vectors + (size_t)k * dim;
        double square = 0;
        for (uint32_t i = 0; i < dim; i++)
            square += (double)v[i] * (double)v[i];
        float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (uint32_t i = 0; i < dim; i++)
            v[i] *= scale;
    }
    l->dim = dim;
    l->vectors = vectors;
}

enum result likeness_prepare(const struct slice *texts, uint32_t count,
                             const struct signal_load *load, struct arena *arena,
                             struct likeness *out)
{
    *out = (struct likeness){.count = count, .texts = texts};
    if (count > LIKENESS_EXAMPLES_MAX)
        return RESULT_LIMIT;
    out->grams = ARENA_ARRAY(arena, const uint32_t *, count + 1);
    out->gram_counts = ARENA_ARRAY(arena, uint32_t, count + 1);
    if (!out->grams || !out->gram_counts)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (texts[i].len > LIKENESS_TEXT_MAX)
            return RESULT_LIMIT;
    enum result r = keep_grams(out, arena);
    if (!r && count && load->trunk && load->trunk->dim[TRUNK_EMBED])
        keep_vectors(out, load->trunk, arena);
    return r;
}

enum result likeness_by_grams(const struct likeness *l, struct signal_context *ctx,
                              struct slice text, float *scores)
{
    struct signal_artifacts *a = ctx->artifacts;
    enum { WORDS = 1 << 16 >> 6 };
    const uint32_t *buckets;
    uint64_t *has = ARENA_ARRAY(ctx->arena, uint64_t, WORDS);
    if (!has)
        return RESULT_NOMEM;
    uint32_t n = ngram_features(&likeness_spec, a->scratch->grams, text, &buckets);
    for (uint32_t i = 0; i < n; i++)
        has[buckets[i] >> 6] |= UINT64_C(1) << (buckets[i] & 63);
    for (uint32_t k = 0; k < l->count; k++) {
        uint32_t shared = 0;
        for (uint32_t i = 0; i < l->gram_counts[k]; i++)
            shared += has[l->grams[k][i] >> 6] >> (l->grams[k][i] & 63) & 1;
        double both = sqrt((double)n * l->gram_counts[k]);
        scores[k] = both > 0 ? (float)(shared / both) : 0;
    }
    return RESULT_OK;
}

void likeness_by_vector(const struct likeness *l, const float *vector, float *scores)
{
    for (uint32_t k = 0; k < l->count; k++) {
        const float *v = l->vectors + (size_t)k * l->dim;
        float sum = 0;
        for (uint32_t i = 0; i < l->dim; i++)
            sum += v[i] * vector[i];
        scores[k] = sum;
    }
}

float likeness_group(const float *scores, uint32_t count)
{
    float first = -1, second = -1;
    for (uint32_t i = 0; i < count; i++) {
        if (scores[i] > first) {
            second = first;
            first = scores[i];
        } else if (scores[i] > second) {
            second = scores[i];
        }
    }
    return count < 2 ? first : 0.75f * first + 0.25f * (first + second) / 2;
}
