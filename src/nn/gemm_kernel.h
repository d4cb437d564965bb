// What stands between gemm.c and the kernels of the instruction sets. Not for others to include.
//
// A kernel multiplies 1 to `rows` packed rows with one panel of `columns` channels. Every precision goes in steps of four
// bytes: a step holds 1 value of f32, 2 of bf16 or s16, 4 of 8 bits.
//
//   packed row   struct gemm_row, then the values, padded to whole steps with zeros
//   panel        [steps][columns] of four bytes, then f32 scale[columns], colsum[columns], bias[columns]
//   weights      struct gemm_head, panels, 1 / balance
#ifndef MERIT_NN_GEMM_KERNEL_H
#define MERIT_NN_GEMM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/gemm.h"

enum {
    GEMM_TILE_ROWS_MAX = 8,
    GEMM_COLUMNS_MAX = 48,
    GEMM_ROW_ALIGN = 64,
    GEMM_STEP_MULTIPLE = 2, // steps of a row, so that a loop can take two at once
    GEMM_TAIL_STEPS = 3,    // scale, colsum, bias: as many bytes as three steps
};

struct gemm_row {
    float scale, zero;
    uint8_t fill[56];
};

struct gemm_head {
    uint32_t balanced;
    uint8_t fill[60];
};

// How a kernel reads the four bytes of a step.
enum gemm_form { GEMM_FORM_F32, GEMM_FORM_BF16, GEMM_FORM_S16, GEMM_FORM_U8 };

// One tile: `a` is the first packed row, c its first value under the panel.
struct gemm_tile {
    const char *a;
    size_t a_stride;
    const char *panel;
    // This tile's share of the next panel, to be on its way while this one is used: so much further every two steps.
    const char *next;
    size_t next_step;
    uint32_t steps;
    bool add;
    float *c;
    size_t c_stride;
};
typedef void (*gemm_tile_fn)(const struct gemm_tile *tile);

// Packs one row: `inverse` is 1 / balance or NULL, `steps` whole steps are written.
struct gemm_pack {
    const float *inverse;
    uint32_t k, steps;
    int level; // of s16
};
typedef void (*gemm_pack_fn)(const struct gemm_pack *p, const float *a, struct gemm_row *row);
typedef void (*gemm_act_fn)(enum gemm_act act, float *a, uint32_t k);

struct gemm_kernel {
    enum gemm_form form;
    uint32_t columns, rows;
    bool sums_in_s16;         // of pairs of steps: see channel_scale in gemm.c
    bool round_bf16;          // F32 form of values rounded to bf16
    const gemm_tile_fn *tile; // [rows]: heights 1 to rows
    gemm_pack_fn pack;
    gemm_act_fn act;
};

extern const struct gemm_kernel gemm_scalar[NN_PRECISIONS];
#if defined(__x86_64__)
extern const struct gemm_kernel gemm_avx2[NN_PRECISIONS], gemm_avxvnni[NN_PRECISIONS],
    gemm_avxvnni_evex[NN_PRECISIONS], gemm_avx512[NN_PRECISIONS];
extern const struct gemm_kernel gemm_avx512_bf16;
#elif defined(__aarch64__)
extern const struct gemm_kernel gemm_neon[NN_PRECISIONS];
#endif

// Also for tests, which pass kernels that belong to no tier.
const struct gemm_kernel *gemm_kernel_of(enum nn_tier tier, enum nn_precision p);
void gemm_run_kernel(const struct gemm_kernel *kernel, const struct gemm_weights *w,
                     const void *packed, uint32_t rows, float *c, size_t stride, bool add);
uint32_t gemm_steps(const struct gemm_kernel *kernel, uint32_t k);

#endif
