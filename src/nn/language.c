#include "nn/language.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "math/real.h"
#include "nn/language_grams.h"
#include "nn/safetensors.h"
#include "text/json.h"

struct language_model {
    struct arena arena;
    const uint32_t *index, *entry; // of the file
    uint32_t bits, count;
    struct slice codes[LANGUAGE_MAX];
    float prior[LANGUAGE_MAX], slope[LANGUAGE_LENGTHS];
};

static enum result wrong(char *problem, enum result r, const char *what)
{
    if (problem)
        snprintf(problem, LANGUAGE_PROBLEM_BYTES, "%s", what);
    return r;
}

static enum result read_codes(struct language_model *m, const struct safetensors *s, char *problem)
{
    struct json j;
    struct slice text = safetensors_text(s, "languages");
    if (!text.ptr)
        return wrong(problem, RESULT_SYNTAX,
                     "a safetensors file, but no language model of Merit's");
    text = arena_copy(&m->arena, text);
    enum result r = text.ptr ? json_parse(&j, text, &json_limits_default, &m->arena) : RESULT_NOMEM;
    if (r == RESULT_NOMEM)
        return r;
    if (r || json_type(&j, 0) != JSON_ARRAY)
        return wrong(problem, RESULT_SYNTAX, "its languages are no JSON array");
    uint32_t at = 0, value;
    while (json_element(&j, 0, &at, &value)) {
        struct slice code = json_type(&j, value) == JSON_STRING ? json_raw(&j, value) : SLICE_EMPTY;
        if (!code.len || code.len > LANGUAGE_CODE_BYTES || m->count == LANGUAGE_MAX)
            return wrong(problem, RESULT_SYNTAX, "a code of a language is too long, or too many");
        m->codes[m->count++] = code;
    }
    return m->count < 2 ? wrong(problem, RESULT_SYNTAX, "fewer than two languages") : RESULT_OK;
}

static const struct safetensors_tensor *numbers(const struct safetensors *s, const char *name,
                                                enum number_type type)
{
    const struct safetensors_tensor *t = safetensors_find(s, slice_cstr(name));
    return t && t->known && t->type == type && t->shape.rank == 1 ? t : NULL;
}

// Buckets follow each other inside the entries, and every entry names a language that is there.
static enum result read_table(struct language_model *m, const struct safetensors *s, char *problem)
{
    const struct safetensors_tensor *index = numbers(s, "index", NUMBER_U32),
                                    *entry = numbers(s, "entry", NUMBER_U32);
    if (!index || !entry)
        return wrong(problem, RESULT_SYNTAX, "its tables are missing or of another type");
    while (m->bits <= LANGUAGE_BITS_MAX && (UINT64_C(1) << m->bits) + 1 < index->count)
        m->bits++;
    if (m->bits < LANGUAGE_BITS_MIN || m->bits > LANGUAGE_BITS_MAX ||
        (UINT64_C(1) << m->bits) + 1 != index->count || entry->count > UINT32_MAX)
        return wrong(problem, RESULT_SYNTAX, "its index has no size that fits");
    if ((uintptr_t)index->data.ptr % sizeof(uint32_t) ||
        (uintptr_t)entry->data.ptr % sizeof(uint32_t))
        return wrong(problem, RESULT_SYNTAX, "its tables are not aligned");
    m->index = (const uint32_t *)(const void *)index->data.ptr;
    m->entry = (const uint32_t *)(const void *)entry->data.ptr;
    uint32_t last = 0;
    for (uint64_t i = 0; i < index->count; i++) {
        if (m->index[i] < last || m->index[i] > entry->count)
            return wrong(problem, RESULT_RANGE, "its index points outside the entries");
        last = m->index[i];
    }
    for (uint64_t i = 0; i < entry->count; i++)
        if ((m->entry[i] >> 9 & 127) >= m->count)
            return wrong(problem, RESULT_RANGE, "an entry names a language that is not there");
    return RESULT_OK;
}

static enum result read_model(struct language_model *m, const struct safetensors *s, char *problem)
{
    enum result r = read_codes(m, s, problem);
    if (!r)
        r = read_table(m, s, problem);
    if (r)
        return r;
    const struct safetensors_tensor *prior = numbers(s, "prior", NUMBER_F32),
                                    *slope = numbers(s, "slope", NUMBER_F32);
    if (!prior || prior->count != m->count || !slope || slope->count != LANGUAGE_LENGTHS)
        return wrong(problem, RESULT_SYNTAX, "its priors or slopes are missing");
    r = safetensors_read(s, SLICE("prior"), 0, m->count, m->prior);
    if (!r)
        r = safetensors_read(s, SLICE("slope"), 0, LANGUAGE_LENGTHS, m->slope);
    return r ? wrong(problem, r, "its priors or slopes are not finite") : RESULT_OK;
}

enum result language_open(struct slice file, char problem[LANGUAGE_PROBLEM_BYTES],
                          struct language_model **out)
{
    *out = NULL;
    if (problem)
        problem[0] = 0;
    struct language_model *m = alloc_zeroed(1, sizeof *m);
    struct safetensors s;
    if (!m)
        return RESULT_NOMEM;
    arena_init(&m->arena, 0, 1 << 20);
    enum result r = safetensors_open(&s, file, problem);
    if (!r) {
        r = read_model(m, &s, problem);
        safetensors_close(&s);
    }
    if (r)
        language_close(m);
    else
        *out = m;
    return r;
}

void language_close(struct language_model *m)
{
    if (!m)
        return;
    arena_deinit(&m->arena);
    alloc_free(m);
}

uint32_t language_count(const struct language_model *m)
{
    return m->count;
}

struct slice language_code(const struct language_model *m, uint32_t language)
{
    return m->codes[language];
}

struct scorer {
    const struct language_model *m;
    uint32_t grams;
    int32_t sums[LANGUAGE_MAX];
};

static inline void score_gram(void *ctx, uint64_t hash, uint32_t order, bool edge)
{
    struct scorer *s = ctx;
    const struct language_model *m = s->m;
    uint32_t bucket = (uint32_t)(hash >> (64 - m->bits));
    uint32_t print = (uint32_t)(hash >> (48 - m->bits)) & 0xffff;
    (void)order;
    (void)edge;
    s->grams++;
    // Entries of a bucket stand in the order of their prints.
    const uint32_t *e = m->entry + m->index[bucket], *end = m->entry + m->index[bucket + 1];
    while (e < end && *e >> 16 < print)
        e++;
    for (; e < end && *e >> 16 == print; e++)
        s->sums[*e >> 9 & 127] += (int32_t)(*e & 511);
}

uint32_t language_score(const struct language_model *m, struct slice text, float *scores)
{
    struct scorer s = {.m = m};
    language_grams(text, score_gram, &s);
    for (uint32_t i = 0; i < m->count; i++)
        scores[i] = (float)s.sums[i] * (1.0f / LANGUAGE_UNIT) + (float)s.grams * m->prior[i];
    return s.grams;
}

uint32_t language_identify(const struct language_model *m, struct slice text,
                           struct language_guess *guesses, uint32_t max)
{
    float p[LANGUAGE_MAX];
    uint32_t grams = language_score(m, text, p);
    if (!grams)
        return 0;
    real_softmax(p, m->count, m->slope[language_length(grams)], NULL, p);
    uint32_t n = max < m->count ? max : m->count;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < m->count; i++)
            if (p[i] > p[best])
                best = i;
        guesses[k] = (struct language_guess){best, p[best]};
        p[best] = -1;
    }
    return n;
}
