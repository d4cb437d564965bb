// Attention of one head, in the vector words of a tier; included behind nn/elem_body.h.
//
// ATTENTION_F32 multiplies in f32. ATTENTION_FAST rounds queries, keys, powers and values to bf16 and multiplies pairs of
// them with sums in f32, where the file is compiled for AVX-512 BF16 (attention_pairs.h); else it is the same.
//
// Queries go in tiles of TILE_ROWS, keys in blocks of ATTENTION_KEYS: a block's scores, their powers of two, and their
// product with the values, with the running maximum and sum of online softmax between blocks. What a tile needs is
// small; what a head needs grows with the sequence, never with its square.

enum {
    PANEL = TILE_VECS * VF_LEN,           // keys of a panel
    ATTENTION_KEYS = 528 / PANEL * PANEL, // keys of a block
    ATTENTION_WIDTH = (ENCODER_HEAD_MAX + VF_LEN - 1) / VF_LEN * VF_LEN,
};
#define SCORE_MASKED (-3e38f)
#define SCORE_FLOOR (-1e30f) // below every score, above what is masked

struct attention_room {
    float *keys;      // [panel][width][PANEL]
    float *values;    // [count][columns]
    float *by_key;    // [count][buckets]: k_j * pos_query[b]
    float *by_row;    // [TILE_ROWS][buckets]: q_i * pos_key[b]
    float *scores;    // [TILE_ROWS][ATTENTION_KEYS]
    float *queries;   // [width][TILE_ROWS]
    float *sums;      // [TILE_ROWS][columns]
    float *row;       // [width]
    uint16_t *powers; // ATTENTION_FAST: [TILE_ROWS][ATTENTION_KEYS] of bf16
    uint32_t columns;
};

static size_t attention_layout(struct attention_room *r, char *base, uint32_t count, uint32_t width,
                               uint32_t buckets)
{
    size_t at = 0, padded = ((size_t)count + PANEL - 1) / PANEL * PANEL;
    uint32_t columns = (width + VF_LEN - 1) / VF_LEN * VF_LEN;
    size_t counts[] = {padded * width,
                       padded * columns,
                       (size_t)count * buckets,
                       (size_t)TILE_ROWS * buckets,
                       (size_t)TILE_ROWS * ATTENTION_KEYS,
                       (size_t)TILE_ROWS * width,
                       (size_t)TILE_ROWS * columns,
                       width,
                       (size_t)TILE_ROWS * ATTENTION_KEYS / 2};
    float *powers = NULL;
    float **places[] = {&r->keys,    &r->values, &r->by_key, &r->by_row, &r->scores,
                        &r->queries, &r->sums,   &r->row,    &powers};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        *places[i] = base ? (float *)(void *)(base + at) : NULL; // without: only how much it takes
        at += (counts[i] * sizeof(float) + 63) & ~(size_t)63;
    }
    r->powers = (uint16_t *)(void *)powers;
    r->columns = columns;
    return at;
}

// Row `x` turned by its position, in `room`, or as it is.
NN_INLINE const float *attention_turn(const struct attention_job *job, const float *x, uint32_t i,
                                      float *room)
{
    if (!job->rope)
        return x;
    uint32_t half = job->width / 2;
    const float *c = job->rope + (size_t)i * job->width, *s = c + half;
    for (uint32_t d = 0; d < half; d += VF_LEN) {
        vf a = vf_load_n(x + d, half - d), b = vf_load_n(x + half + d, half - d);
        vf vc = vf_load_n(c + d, half - d), vs = vf_load_n(s + d, half - d);
        vf_store_n(room + d, vf_sub(vf_mul(a, vc), vf_mul(b, vs)), half - d);
        vf_store_n(room + half + d, vf_fma(b, vc, vf_mul(a, vs)), half - d);
    }
    return room;
}

// Rows of a head lie too far from each other for the processor to foresee the next ones.
NN_INLINE void attention_fetch(const float *rows, const struct attention_job *job, uint32_t i,
                               uint32_t end)
{
    const uint32_t ahead = 16, line = 16;
    for (uint32_t d = 0; i + ahead < end && d < job->width; d += line)
        __builtin_prefetch(rows + (i + ahead) * job->stride + d);
}

static float attention_dot(const float *a, const float *b, uint32_t n)
{
    vf s = vf_set(0);
    for (uint32_t i = 0; i < n; i += VF_LEN)
        s = vf_fma(vf_load_n(a + i, n - i), vf_load_n(b + i, n - i), s);
    return vf_hsum(s);
}

// Keys [0, count) as panels, values as rows; `lo` and `hi` tell which of them are ever looked at.
static void attention_keys(const struct attention_job *job, const struct attention_room *r,
                           uint32_t lo, uint32_t hi, float scale)
{
    uint32_t width = job->width;
    for (uint32_t j = lo; j < hi; j++) {
        attention_fetch(job->k, job, j, hi);
        attention_fetch(job->v, job, j, hi);
        const float *k = attention_turn(job, job->k + j * job->stride, j, r->row);
        const float *v = job->v + j * job->stride;
        float *panel = r->keys + (size_t)(j / PANEL) * width * PANEL + j % PANEL;
        float *row = r->values + (size_t)j * r->columns;
        for (uint32_t d = 0; d < width; d++)
            panel[(size_t)d * PANEL] = k[d];
        for (uint32_t d = 0; d < r->columns; d += VF_LEN)
            vf_store(row + d, d + VF_LEN <= width ? vf_load(v + d)
                                                  : vf_load_n(v + d, d < width ? width - d : 0));
        for (uint32_t b = 0; job->pos_query && b < job->buckets; b++)
            r->by_key[(size_t)j * job->buckets + b] =
                attention_dot(k, job->pos_query + b * job->pos_stride, width) * scale;
    }
    // What lies behind the last key in its panel is masked, but must be a number.
    for (uint32_t j = hi; j % PANEL; j++)
        for (uint32_t d = 0; d < width; d++)
            r->keys[(size_t)(j / PANEL) * width * PANEL + (size_t)d * PANEL + j % PANEL] = 0;
}

NN_INLINE void attention_scores(const uint32_t rows, const float *queries, const float *panel,
                                uint32_t width, float *scores)
{
    vf_any acc[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            acc[i][v] = vf_set(0);
    for (uint32_t d = 0; d < width; d++, panel += PANEL, queries += TILE_ROWS) {
        vf_any k[TILE_VECS];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            k[v] = vf_load(panel + v * VF_LEN);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < rows; i++) {
            vf q = vf_set(queries[i]);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < TILE_VECS; v++)
                acc[i][v] = vf_fma(q, k[v], acc[i][v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < TILE_VECS; v++)
            vf_store(scores + i * ATTENTION_KEYS + v * VF_LEN, acc[i][v]);
}

// sums[i] += powers[i] * values, TILE_VECS vectors of columns at a time; `vecs` of them are there.
NN_INLINE void attention_values(const uint32_t rows, const uint32_t vecs, const float *powers,
                                const float *values, uint32_t columns, uint32_t keys, float *sums)
{
    vf_any acc[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            acc[i][v] = vf_load(sums + i * columns + v * VF_LEN);
    for (uint32_t j = 0; j < keys; j++, values += columns, powers++) {
        vf_any x[TILE_VECS];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            x[v] = vf_load(values + v * VF_LEN);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < rows; i++) {
            vf p = vf_set(powers[i * ATTENTION_KEYS]);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < vecs; v++)
                acc[i][v] = vf_fma(p, x[v], acc[i][v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (uint32_t v = 0; v < vecs; v++)
            vf_store(sums + i * columns + v * VF_LEN, acc[i][v]);
}

#if defined(__AVX512BF16__)
enum { ATTENTION_HAS_PAIRS = 1 };
NN_INLINE void attention_store_half(uint16_t *p, vf a)
{
    __m256i half = (__m256i)_mm512_cvtneps_pbh(a);
    _mm256_storeu_si256((__m256i *)p, half);
}
#else
enum { ATTENTION_HAS_PAIRS = 0 };
NN_INLINE void attention_store_half(uint16_t *p, vf a)
{
    (void)p, (void)a;
}
#endif

struct attention_tile {
    uint32_t first, rows;
    uint32_t lo, hi; // keys that any of its rows sees
    float high[TILE_ROWS], sum[TILE_ROWS];
};

static void attention_range(const struct attention_job *job, uint32_t row, uint32_t *lo,
                            uint32_t *hi)
{
    *lo = row > job->window ? row - job->window : 0;
    *hi = job->count - row > job->window ? row + job->window + 1 : job->count;
}

// Scores of one row in the block of keys [from, from + keys) become powers of two; the running maximum and sum go on.
NN_INLINE void attention_softmax(const struct attention_job *job, const struct attention_room *r,
                                 struct attention_tile *t, uint32_t i, uint32_t from, uint32_t keys,
                                 bool begins, const bool pairs)
{
    float *s = r->scores + (size_t)i * ATTENTION_KEYS;
    uint32_t row = t->first + i, lo, hi;
    attention_range(job, row, &lo, &hi);
    if (job->bucket) {
        const uint16_t *bucket = job->bucket + row + job->count - 1 - from;
        const float *by_row = r->by_row + (size_t)i * job->buckets;
        const float *by_key = r->by_key + (size_t)from * job->buckets;
        for (uint32_t j = 0; j < keys && from + j < job->count; j++) {
            uint32_t b = *(bucket - j);
            s[j] += (job->pos_key ? by_row[b] : 0) +
                    (job->pos_query ? by_key[(size_t)j * job->buckets + b] : 0);
        }
    }
    vf m = vf_set(begins ? SCORE_FLOOR : t->high[i]);
    for (uint32_t j = 0; j < keys; j += VF_LEN) {
        vf x = vf_load(s + j);
        if (from + j < lo || from + j + VF_LEN > hi) {
            x = vf_between(x, from + j, lo, hi, SCORE_MASKED);
            vf_store(s + j, x);
        }
        m = vf_max(m, x);
    }
    float high = vf_hmax(m);
    vf top = vf_set(high), sum = vf_set(0);
    for (uint32_t j = 0; j < keys; j += VF_LEN) {
        vf d = vf_max(vf_sub(vf_load(s + j), top), vf_set(-200));
        vf e = pairs ? exp2_short(d) : exp2_of(d);
        if (pairs)
            attention_store_half(r->powers + (size_t)i * ATTENTION_KEYS + j, e);
        else
            vf_store(s + j, e);
        sum = vf_add(sum, e);
    }
    float total = vf_hsum(sum);
    if (!begins) {
        float shrink = exp2f(t->high[i] - high);
        total += t->sum[i] * shrink;
        float *out = r->sums + (size_t)i * r->columns;
        for (uint32_t d = 0; d < r->columns; d += VF_LEN)
            vf_store(out + d, vf_mul(vf_load(out + d), vf_set(shrink)));
    }
    t->high[i] = high;
    t->sum[i] = total;
}

// All of a tile: scores, powers, and their product with the values, block of keys by block.
NN_INLINE void attention_tile_rows(const uint32_t rows, const struct attention_job *job,
                                   const struct attention_room *r, struct attention_tile *t)
{
    uint32_t columns = r->columns, from = t->lo / PANEL * PANEL;
    memset(r->sums, 0, (size_t)rows * columns * sizeof(float));
    for (bool begins = true; from < t->hi; from += ATTENTION_KEYS, begins = false) {
        uint32_t end = t->hi - from < ATTENTION_KEYS ? t->hi : from + ATTENTION_KEYS;
        uint32_t panels = (end - from + PANEL - 1) / PANEL;
        for (uint32_t p = 0; p < panels; p++)
            attention_scores(rows, r->queries,
                             r->keys + ((size_t)from / PANEL + p) * job->width * PANEL, job->width,
                             r->scores + (size_t)p * PANEL);
        for (uint32_t i = 0; i < rows; i++)
            attention_softmax(job, r, t, i, from, panels * PANEL, begins, false);
        const float *values = r->values + (size_t)from * columns;
        uint32_t d = 0;
        for (; d + TILE_VECS * VF_LEN <= columns; d += TILE_VECS * VF_LEN)
            attention_values(rows, TILE_VECS, r->scores, values + d, columns, end - from,
                             r->sums + d);
        for (; d + 2 * VF_LEN <= columns; d += 2 * VF_LEN)
            attention_values(rows, 2, r->scores, values + d, columns, end - from, r->sums + d);
        for (; d < columns; d += VF_LEN)
            attention_values(rows, 1, r->scores, values + d, columns, end - from, r->sums + d);
    }
}

typedef void attention_tile_fn(const struct attention_job *job, const struct attention_room *r,
                               struct attention_tile *t);

#define ATTENTION_TILE(rows)                                                                       \
    static void attention_tile_##rows(const struct attention_job *job,                             \
                                      const struct attention_room *r, struct attention_tile *t)    \
    {                                                                                              \
        attention_tile_rows(rows, job, r, t);                                                      \
    }
ATTENTION_TILE(1)
ATTENTION_TILE(2)
ATTENTION_TILE(3)
ATTENTION_TILE(4)
#if TILE_ROWS > 4
ATTENTION_TILE(5)
ATTENTION_TILE(6)
#endif
#if TILE_ROWS > 6
ATTENTION_TILE(7)
ATTENTION_TILE(8)
#endif
static attention_tile_fn *const attention_tiles[TILE_ROWS] = {
    attention_tile_1, attention_tile_2, attention_tile_3, attention_tile_4,
#if TILE_ROWS > 4
    attention_tile_5, attention_tile_6,
#endif
#if TILE_ROWS > 6
    attention_tile_7, attention_tile_8,
#endif
};

static void attention_queries(const struct attention_job *job, const struct attention_room *r,
                              const struct attention_tile *t, float scale)
{
    for (uint32_t i = 0; i < t->rows; i++) {
        uint32_t row = t->first + i;
        attention_fetch(job->q, job, row, job->first + job->rows);
        const float *q = attention_turn(job, job->q + row * job->stride, row, r->row);
        for (uint32_t d = 0; d < job->width; d++)
            r->queries[d * TILE_ROWS + i] = q[d] * scale;
        for (uint32_t b = 0; job->pos_key && b < job->buckets; b++)
            r->by_row[(size_t)i * job->buckets + b] =
                attention_dot(q, job->pos_key + b * job->pos_stride, job->width) * scale;
    }
}

#if defined(__AVX512BF16__)
#include "nn/attention_pairs.h"
#endif

static void attention(enum attention_kind kind, const struct attention_job *job)
{
    struct attention_room r;
    uint32_t width = job->width, lo, hi, unused;
    bool relative = job->pos_key || job->pos_query;
    bool pairs = ATTENTION_HAS_PAIRS && kind == ATTENTION_FAST && !relative;
    attention_layout(&r, job->room, job->count, width, relative ? job->buckets : 0);
    attention_range(job, job->first, &lo, &unused);
    attention_range(job, job->first + job->rows - 1, &unused, &hi);
    float scale = job->scale * 1.44269504088896341f; // powers of two are quicker than of e
#if defined(__AVX512BF16__)
    if (pairs)
        attention_pair_keys(job, &r, lo / PANEL * PANEL, hi);
#endif
    if (!pairs)
        attention_keys(job, &r, lo / PANEL * PANEL, hi, scale);
    for (uint32_t done = 0; done < job->rows; done += TILE_ROWS) {
        struct attention_tile t = {.first = job->first + done};
        t.rows = job->rows - done < TILE_ROWS ? job->rows - done : TILE_ROWS;
        attention_range(job, t.first, &t.lo, &unused);
        attention_range(job, t.first + t.rows - 1, &unused, &t.hi);
#if defined(__AVX512BF16__)
        if (pairs) {
            attention_pair_queries(job, &r, &t, scale);
            attention_pair_tiles[t.rows - 1](job, &r, &t);
        }
#endif
        if (!pairs) {
            attention_queries(job, &r, &t, scale);
            attention_tiles[t.rows - 1](job, &r, &t);
        }
        for (uint32_t i = 0; i < t.rows; i++) {
            float *out = job->out + (t.first + i) * job->out_stride;
            const float *sums = r.sums + (size_t)i * r.columns;
            vf f = vf_set(1.0f / t.sum[i]);
            for (uint32_t d = 0; d < width; d += VF_LEN)
                vf_store_n(out + d, vf_mul(vf_load(sums + d), f), width - d);
        }
    }
}

static size_t attention_bytes(enum attention_kind kind, uint32_t count, uint32_t width,
                              uint32_t buckets)
{
    struct attention_room r;
    (void)kind;
    return attention_layout(&r, NULL, count, width, buckets);
}
