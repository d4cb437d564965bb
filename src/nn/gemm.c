// Packing of weights, and the walk over tiles. The kernels are in gemm_scalar.c, and one
// tile (gemm_tile.h) for the vector instructions of gemm_avx2.c, gemm_avxvnni.c, gemm_avx512.c, gemm_avx512_bf16.c and
// gemm_neon.c.
#include "nn/gemm.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "nn/gemm_kernel.h"
#include "nn/simd.h"

enum {
    U8_LEVEL = 255,
    S8_LEVEL = 127,
    S16_LEVEL = 32767,
    ROW_BLOCK_BYTES =
        256 * 1024, // packed rows that stay in the second-level cache while all panels pass
    // Fewer leave no time for it: they wait for the panel at hand, and the CPU's own prefetch serves them better.
    TILES_TO_PREFETCH = 3,
};

const struct gemm_kernel *gemm_kernel_of(enum nn_tier tier, enum nn_precision p)
{
    assert((unsigned)p < NN_PRECISIONS);
    switch (tier) {
#if defined(__x86_64__)
    case NN_AVX2:
        return &gemm_avx2[p];
    case NN_AVXVNNI:
        return p == NN_S16 || p == NN_INT8 ? &gemm_avxvnni[p] : &gemm_avx2[p];
    case NN_AVX512_VNNI:
        return &gemm_avx512[p];
    case NN_AVX512_BF16:
        return p == NN_BF16 ? &gemm_avx512_bf16 : &gemm_avx512[p];
#elif defined(__aarch64__)
    case NN_NEON_DOT:
        return &gemm_neon[p];
#endif
    default:
        return &gemm_scalar[p];
    }
}

static uint32_t values_per_step(enum gemm_form form)
{
    return form == GEMM_FORM_F32 ? 1 : form == GEMM_FORM_U8 ? 4 : 2;
}

uint32_t gemm_steps(const struct gemm_kernel *kernel, uint32_t k)
{
    uint32_t per = values_per_step(kernel->form), steps = (k + per - 1) / per;
    return (steps + GEMM_STEP_MULTIPLE - 1) / GEMM_STEP_MULTIPLE * GEMM_STEP_MULTIPLE;
}

int gemm_s16_level(uint32_t k)
{
    // The sum of k products fits 32 bits; the shorter it is, the more of them the activations may have.
    return k <= 512 ? 8191 : k <= 4096 ? 4095 : 2047;
}

static uint32_t panels_of(const struct gemm_kernel *kernel, uint32_t n)
{
    return (n + kernel->columns - 1) / kernel->columns;
}

static size_t panel_bytes(const struct gemm_kernel *kernel, uint32_t k)
{
    return ((size_t)gemm_steps(kernel, k) + GEMM_TAIL_STEPS) * kernel->columns * 4;
}

static size_t balance_at(const struct gemm_kernel *kernel, uint32_t k, uint32_t n)
{
    return sizeof(struct gemm_head) + panels_of(kernel, n) * panel_bytes(kernel, k);
}

size_t gemm_weights_bytes(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n)
{
    assert(k >= 1 && k <= GEMM_K_MAX && n >= 1 && n <= GEMM_N_MAX);
    const struct gemm_kernel *kernel = gemm_kernel_of(tier, p);
    size_t bytes = balance_at(kernel, k, n) + (size_t)k * sizeof(float);
    return (bytes + 63) & ~(size_t)63;
}

// Rounded to nearest even; |x| below 2^22.
static float nearest(float x)
{
    return x + 12582912.0F - 12582912.0F; // 1.5 * 2^23
}

// One channel on its way into a panel: its balanced weights, and what they become at a scale.
struct channel {
    const float *w, *balance;
    uint32_t k;
    float inverse; // 1 / scale
};

static float weight(const struct channel *c, uint32_t i)
{
    return c->balance ? c->w[i] * c->balance[i] : c->w[i];
}

static int32_t quantised(const struct channel *c, uint32_t i)
{
    return i < c->k ? (int32_t)nearest(weight(c, i) * c->inverse) : 0;
}

// Of the s16 lanes of two vpmaddubsw added to each other, the sum that grows most: lane h of eight values holds the
// products 2h, 2h + 1, 2h + 4 and 2h + 5 (h 0 or 2).
static int32_t worst_s16_sum(const struct channel *c)
{
    int32_t worst = 0;
    for (uint32_t i = 0; i < c->k; i += 8)
        for (uint32_t h = 0; h < 4; h += 2) {
            int32_t up = 0, down = 0;
            for (uint32_t e = 0; e < 4; e++) {
                int32_t q = quantised(c, i + h + (e & 1) + (e & 2) * 2);
                up += q > 0 ? q : 0;
                down -= q < 0 ? q : 0;
            }
            worst = up > worst ? up : worst;
            worst = down > worst ? down : worst;
        }
    return worst * U8_LEVEL;
}

static int64_t sum_of_sizes(const struct channel *c)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < c->k; i++) {
        int32_t q = quantised(c, i);
        sum += q < 0 ? -q : q;
    }
    return sum;
}

// The smallest scale of a channel, in steps of 0.2 %, at which no sum of any activations can leave its type.
static float channel_scale(const struct gemm_kernel *kernel, struct channel *c)
{
    float most = 0;
    for (uint32_t i = 0; i < c->k; i++)
        most = fmaxf(most, fabsf(weight(c, i)));
    float scale = most / (kernel->form == GEMM_FORM_U8 ? S8_LEVEL : S16_LEVEL);
    if (!(scale > 1e-30F))
        scale = 1e-30F;
    for (;;) {
        c->inverse = 1.0F / scale;
        float worst = 0;
        if (kernel->form == GEMM_FORM_S16)
            worst = (float)sum_of_sizes(c) * (float)gemm_s16_level(c->k) / 2147483000.0F;
        else if (kernel->sums_in_s16)
            worst = (float)worst_s16_sum(c) / (float)INT16_MAX;
        if (worst <= 1)
            return scale;
        scale *= fmaxf(worst, 1.002F);
    }
}

static void put_values(const struct gemm_kernel *kernel, const struct channel *c, uint32_t step,
                       char *out)
{
    uint32_t per = values_per_step(kernel->form), first = step * per;
    for (uint32_t e = 0; e < per; e++) {
        uint32_t i = first + e;
        float f = i < c->k ? weight(c, i) : 0;
        uint16_t half = nn_bf16(f);
        int32_t q = kernel->form >= GEMM_FORM_S16 ? quantised(c, i) : 0;
        int16_t wide = (int16_t)q;
        int8_t narrow = (int8_t)q;
        if (kernel->round_bf16)
            f = nn_bf16_float(half);
        if (kernel->form == GEMM_FORM_F32)
            memcpy(out, &f, sizeof f);
        else if (kernel->form == GEMM_FORM_BF16)
            memcpy(out + 2 * e, &half, sizeof half);
        else if (kernel->form == GEMM_FORM_S16)
            memcpy(out + 2 * e, &wide, sizeof wide);
        else
            memcpy(out + e, &narrow, sizeof narrow);
    }
}

static void pack_channel(const struct gemm_kernel *kernel, struct channel *c, float bias,
                         uint32_t column, char *panel)
{
    uint32_t steps = gemm_steps(kernel, c->k), columns = kernel->columns;
    float scale = 1, colsum = 0;
    if (kernel->form == GEMM_FORM_S16 || kernel->form == GEMM_FORM_U8) {
        scale = channel_scale(kernel, c);
        if (kernel->form == GEMM_FORM_U8)
            for (uint32_t i = 0; i < c->k; i++)
                colsum += (float)quantised(c, i); // exact: below 2^24
    }
    for (uint32_t s = 0; s < steps; s++)
        put_values(kernel, c, s, panel + ((size_t)s * columns + column) * 4);
    float *tail = (float *)(void *)(panel + (size_t)steps * columns * 4);
    tail[column] = scale;
    tail[columns + column] = colsum;
    tail[2 * columns + column] = bias;
}

void gemm_weights_pack(enum nn_tier tier, enum nn_precision p, uint32_t k, uint32_t n,
                       const float *w, const float *bias, const float *balance, void *data)
{
    const struct gemm_kernel *kernel = gemm_kernel_of(tier, p);
    memset(data, 0, gemm_weights_bytes(tier, p, k, n));
    struct gemm_head *head = data;
    head->balanced = balance != NULL;
    char *panel = (char *)data + sizeof *head;
    for (uint32_t j = 0; j < n; j++) {
        struct channel c = {w + (size_t)j * k, balance, k, 0};
        pack_channel(kernel, &c, bias ? bias[j] : 0, j % kernel->columns,
                     panel + j / kernel->columns * panel_bytes(kernel, k));
    }
    float *inverse = (float *)(void *)((char *)data + balance_at(kernel, k, n));
    for (uint32_t i = 0; balance && i < k; i++)
        inverse[i] = 1.0F / balance[i];
}

static size_t row_bytes(const struct gemm_kernel *kernel, uint32_t k)
{
    size_t lines = ((size_t)gemm_steps(kernel, k) * 4 + GEMM_ROW_ALIGN - 1) / GEMM_ROW_ALIGN;
    // An odd number of cache lines, so that the rows of a tile do not meet in the same sets.
    return sizeof(struct gemm_row) + (lines & 1 ? lines + 1 : lines) * GEMM_ROW_ALIGN;
}

size_t gemm_row_bytes(const struct gemm_weights *w)
{
    return row_bytes(gemm_kernel_of(w->tier, w->precision), w->k);
}

size_t gemm_rows_bytes(const struct gemm_weights *w, uint32_t rows)
{
    return gemm_row_bytes(w) * rows;
}

static struct gemm_pack pack_of(const struct gemm_weights *w, const struct gemm_kernel *kernel)
{
    const struct gemm_head *head = w->data;
    const char *inverse = (const char *)w->data + balance_at(kernel, w->k, w->n);
    return (struct gemm_pack){head->balanced ? (const float *)(const void *)inverse : NULL, w->k,
                              gemm_steps(kernel, w->k), gemm_s16_level(w->k)};
}

void gemm_rows_pack(const struct gemm_weights *w, const float *a, size_t stride, uint32_t rows,
                    void *packed)
{
    const struct gemm_kernel *kernel = gemm_kernel_of(w->tier, w->precision);
    struct gemm_pack pack = pack_of(w, kernel);
    size_t bytes = row_bytes(kernel, w->k);
    for (uint32_t i = 0; i < rows; i++)
        kernel->pack(&pack, a + i * stride, (void *)((char *)packed + i * bytes));
}

void gemm_rows_pack_act(const struct gemm_weights *w, enum gemm_act act, float *a, size_t stride,
                        uint32_t rows, void *packed)
{
    const struct gemm_kernel *kernel = gemm_kernel_of(w->tier, w->precision);
    struct gemm_pack pack = pack_of(w, kernel);
    size_t bytes = row_bytes(kernel, w->k);
    for (uint32_t i = 0; i < rows; i++) {
        kernel->act(act, a + i * stride, w->k);
        kernel->pack(&pack, a + i * stride, (void *)((char *)packed + i * bytes));
    }
}

// A panel that n does not fill goes through a buffer of full width.
static void run_part(const struct gemm_kernel *kernel, const struct gemm_tile *tile, uint32_t rows,
                     uint32_t columns)
{
    float full[GEMM_TILE_ROWS_MAX * GEMM_COLUMNS_MAX];
    struct gemm_tile t = *tile;
    t.c = full;
    t.c_stride = kernel->columns;
    t.add = false;
    kernel->tile[rows - 1](&t);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++) {
            float *c = tile->c + i * tile->c_stride + j;
            float value = full[i * kernel->columns + j];
            *c = tile->add ? value + *c : value;
        }
}

// All panels over rows that stay in the cache, cut into tiles of nearly equal height.
static void run_block(const struct gemm_kernel *kernel, const struct gemm_weights *w,
                      struct gemm_tile t, uint32_t rows, size_t c_stride)
{
    size_t bytes = panel_bytes(kernel, w->k);
    uint32_t panels = panels_of(kernel, w->n), tiles = (rows + kernel->rows - 1) / kernel->rows;
    const char *a = t.a, *first = (const char *)w->data + sizeof(struct gemm_head);
    float *c = t.c;
    for (uint32_t p = 0; p < panels; p++) {
        uint32_t column = p * kernel->columns;
        bool fetch = tiles >= TILES_TO_PREFETCH && p + 1 < panels;
        t.panel = first + p * bytes;
        t.next_step = fetch ? (size_t)kernel->columns * 8 / tiles : 0;
        for (uint32_t q = 0; q < tiles; q++) {
            uint32_t from = (uint32_t)((uint64_t)rows * q / tiles);
            uint32_t height = (uint32_t)((uint64_t)rows * (q + 1) / tiles) - from;
            t.next = fetch ? t.panel + bytes + bytes * q / tiles : t.panel;
            t.a = a + from * t.a_stride;
            t.c = c + from * c_stride + column;
            if (w->n - column >= kernel->columns)
                kernel->tile[height - 1](&t);
            else
                run_part(kernel, &t, height, w->n - column);
        }
    }
}

void gemm_run_kernel(const struct gemm_kernel *kernel, const struct gemm_weights *w,
                     const void *packed, uint32_t rows, float *c, size_t stride, bool add)
{
    size_t bytes = row_bytes(kernel, w->k);
    uint32_t block = (uint32_t)(ROW_BLOCK_BYTES / bytes) / kernel->rows * kernel->rows;
    if (block < kernel->rows)
        block = kernel->rows;
    struct gemm_tile t = {
        .a_stride = bytes, .steps = gemm_steps(kernel, w->k), .add = add, .c_stride = stride};
    uint32_t blocks = (rows + block - 1) / block;
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t from = (uint32_t)((uint64_t)rows * b / blocks);
        t.a = (const char *)packed + from * bytes;
        t.c = c + from * stride;
        run_block(kernel, w, t, (uint32_t)((uint64_t)rows * (b + 1) / blocks) - from, stride);
    }
}

void gemm_run(const struct gemm_weights *w, const void *packed, uint32_t rows, float *c,
              size_t stride)
{
    gemm_run_kernel(gemm_kernel_of(w->tier, w->precision), w, packed, rows, c, stride, false);
}

void gemm_run_add(const struct gemm_weights *w, const void *packed, uint32_t rows, float *c,
                  size_t stride)
{
    gemm_run_kernel(gemm_kernel_of(w->tier, w->precision), w, packed, rows, c, stride, true);
}
