// Attention's products in bf16 pairs (vdpbf16ps): included by attention_body.h where the file's flags allow it.
//
// A pair is two neighbouring numbers of a head (for scores) or two neighbouring keys (for values), in one 32-bit lane.

// acc += a * b, one broadcast pair against a vector of pairs. As assembly, because gcc 12 spills tied accumulators.
NN_INLINE vf pair_dot(vf acc, __m512i a, __m512i b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

// bf16 of 16 numbers in the low halves of 32-bit lanes.
NN_INLINE __m512i pair_low(vf a)
{
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
}

// `width` numbers as (width + 1) / 2 pairs.
NN_INLINE void pair_row(const float *x, uint32_t width, uint32_t *out)
{
    for (uint32_t d = 0; d < width; d += VF_LEN) {
        __m256i half = (__m256i)_mm512_cvtneps_pbh(vf_load_n(x + d, width - d));
        _mm256_storeu_si256((__m256i *)(out + d / 2), half);
    }
}

// Keys as [panel][pairs][PANEL], values as [pair of keys][columns]; 32-bit lanes in the places of floats.
static void attention_pair_keys(const struct attention_job *job, const struct attention_room *r,
                                uint32_t lo, uint32_t hi)
{
    uint32_t width = job->width, pairs = (width + 1) / 2, row[ENCODER_HEAD_MAX / 2 + VF_LEN];
    uint32_t *keys = (uint32_t *)(void *)r->keys, *values = (uint32_t *)(void *)r->values;
    uint32_t end = (hi + PANEL - 1) / PANEL * PANEL;
    memset(row, 0, sizeof row);
    for (uint32_t j = lo; j < end; j++) {
        attention_fetch(job->k, job, j, hi);
        uint32_t *panel = keys + (size_t)(j / PANEL) * width * PANEL + j % PANEL;
        if (j < hi)
            pair_row(attention_turn(job, job->k + j * job->stride, j, r->row), width, row);
        else
            memset(row, 0, pairs * sizeof *row);
        for (uint32_t d = 0; d < pairs; d++)
            panel[(size_t)d * PANEL] = row[d];
    }
    for (uint32_t j = lo; j < hi; j += 2) { // PANEL is even, so `lo` is
        const float *v = job->v + j * job->stride;
        attention_fetch(job->v, job, j, hi);
        attention_fetch(job->v, job, j + 1, hi);
        uint32_t *out = values + (size_t)(j / 2) * r->columns;
        for (uint32_t d = 0; d < r->columns; d += VF_LEN) {
            uint32_t n = d < width ? width - d : 0;
            __m512i a = pair_low(vf_load_n(v + d, n)), b = _mm512_setzero_si512();
            if (j + 1 < hi)
                b = pair_low(vf_load_n(v + job->stride + d, n));
            _mm512_storeu_si512(out + d, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
        }
    }
}

// As vf_any.
typedef __m512i vi_any __attribute__((aligned(4)));

static void attention_pair_queries(const struct attention_job *job, const struct attention_room *r,
                                   const struct attention_tile *t, float scale)
{
    uint32_t width = job->width, row[ENCODER_HEAD_MAX / 2 + VF_LEN];
    uint32_t *queries = (uint32_t *)(void *)r->queries;
    float scaled[ENCODER_HEAD_MAX];
    for (uint32_t i = 0; i < t->rows; i++) {
        uint32_t at = t->first + i;
        attention_fetch(job->q, job, at, job->first + job->rows);
        const float *q = attention_turn(job, job->q + at * job->stride, at, r->row);
        for (uint32_t d = 0; d < width; d += VF_LEN)
            vf_store_n(scaled + d, vf_mul(vf_load_n(q + d, width - d), vf_set(scale)), width - d);
        pair_row(scaled, width, row);
        for (uint32_t d = 0; d < (width + 1) / 2; d++)
            queries[d * TILE_ROWS + i] = row[d];
    }
}

NN_INLINE void attention_pair_scores(const uint32_t rows, const uint32_t *queries,
                                     const uint32_t *panel, uint32_t pairs, float *scores)
{
    vf_any acc[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            acc[i][v] = vf_set(0);
    for (uint32_t d = 0; d < pairs; d++, panel += PANEL, queries += TILE_ROWS) {
        vi_any k[TILE_VECS];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            k[v] = _mm512_loadu_si512(panel + v * VF_LEN);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < rows; i++) {
            __m512i q = _mm512_set1_epi32((int)queries[i]);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < TILE_VECS; v++)
                acc[i][v] = pair_dot(acc[i][v], q, k[v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            vf_store(scores + i * ATTENTION_KEYS + v * VF_LEN, acc[i][v]);
}

NN_INLINE void attention_pair_values(const uint32_t rows, const uint32_t vecs,
                                     const uint16_t *powers, const uint32_t *values,
                                     uint32_t columns, uint32_t pairs, float *sums)
{
    vf_any acc[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            acc[i][v] = vf_load(sums + i * columns + v * VF_LEN);
    for (uint32_t j = 0; j < pairs; j++, values += columns, powers += 2) {
        vi_any x[TILE_VECS];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            x[v] = _mm512_loadu_si512(values + v * VF_LEN);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < rows; i++) {
            int pair;
            memcpy(&pair, powers + i * ATTENTION_KEYS, sizeof pair);
            __m512i p = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < vecs; v++)
                acc[i][v] = pair_dot(acc[i][v], p, x[v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            vf_store(sums + i * columns + v * VF_LEN, acc[i][v]);
}

NN_INLINE void attention_pair_rows(const uint32_t rows, const struct attention_job *job,
                                   const struct attention_room *r, struct attention_tile *t)
{
    uint32_t columns = r->columns, from = t->lo / PANEL * PANEL, pairs = (job->width + 1) / 2;
    const uint32_t *keys = (const uint32_t *)(const void *)r->keys;
    memset(r->sums, 0, (size_t)rows * columns * sizeof(float));
    for (bool begins = true; from < t->hi; from += ATTENTION_KEYS, begins = false) {
        uint32_t end = t->hi - from < ATTENTION_KEYS ? t->hi : from + ATTENTION_KEYS;
        uint32_t panels = (end - from + PANEL - 1) / PANEL, d = 0;
        for (uint32_t p = 0; p < panels; p++)
            attention_pair_scores(rows, (const uint32_t *)(const void *)r->queries,
                                  keys + ((size_t)from / PANEL + p) * job->width * PANEL, pairs,
                                  r->scores + (size_t)p * PANEL);
        for (uint32_t i = 0; i < rows; i++)
            attention_softmax(job, r, t, i, from, panels * PANEL, begins, true);
        const uint32_t *values = (const uint32_t *)(const void *)r->values;
        values += (size_t)from / 2 * columns;
        for (; d + 2 * VF_LEN <= columns; d += 2 * VF_LEN)
            attention_pair_values(rows, 2, r->powers, values + d, columns, (end - from + 1) / 2,
                                  r->sums + d);
        for (; d < columns; d += VF_LEN)
            attention_pair_values(rows, 1, r->powers, values + d, columns, (end - from + 1) / 2,
                                  r->sums + d);
    }
}

#define ATTENTION_PAIR_TILE(rows)                                                                  \
    static void attention_pair_tile_##rows(                                                        \
        const struct attention_job *job, const struct attention_room *r, struct attention_tile *t) \
    {                                                                                              \
        attention_pair_rows(rows, job, r, t);                                                      \
    }
ATTENTION_PAIR_TILE(1)
ATTENTION_PAIR_TILE(2)
ATTENTION_PAIR_TILE(3)
ATTENTION_PAIR_TILE(4)
ATTENTION_PAIR_TILE(5)
ATTENTION_PAIR_TILE(6)
ATTENTION_PAIR_TILE(7)
ATTENTION_PAIR_TILE(8)
static attention_tile_fn *const attention_pair_tiles[TILE_ROWS] = {
    attention_pair_tile_1, attention_pair_tile_2, attention_pair_tile_3, attention_pair_tile_4,
    attention_pair_tile_5, attention_pair_tile_6, attention_pair_tile_7, attention_pair_tile_8,
};
