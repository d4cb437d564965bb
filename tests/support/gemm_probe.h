// The peak of the instructions that the matrix kernels stand on: loops over registers alone, with as many independent sums
// as a kernel has, and what a kernel does, measured beside it. For the benchmark and the test of kernels.
#ifndef MERIT_TESTS_GEMM_PROBE_H
#define MERIT_TESTS_GEMM_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "nn/gemm_kernel.h"

// Runs `rounds` times through its registers.
typedef void (*gemm_probe_fn)(uint64_t rounds);

struct gemm_probe {
    const char *name;
    enum nn_tier tier, runs_on; // the tier whose kernel it belongs to; what the CPU needs to run it
    enum nn_precision precision;
    const struct gemm_kernel *kernel;
    gemm_probe_fn run;
    double operations; // multiplications and additions of a quarter of a round
};

#if defined(__x86_64__)

#define PROBE_LOOP(target_, name, body, ...)                                                       \
    __attribute__((target(target_), noinline)) static void name(uint64_t rounds)                   \
    {                                                                                              \
        __asm__ volatile("vzeroall\n\t.p2align 6\n1:\n\t" body body body body "dec %0\n\tjnz 1b"   \
                         : "+r"(rounds)::__VA_ARGS__);                                             \
    }
#define LOW_REGISTERS                                                                              \
    "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define ALL_REGISTERS                                                                              \
    LOW_REGISTERS, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",         \
        "xmm24", "xmm25"

#define ONE_256(op, n) op " %%ymm15, %%ymm14, %%ymm" #n "\n\t"
#define TWELVE_256(op)                                                                             \
    ONE_256(op, 0)                                                                                 \
    ONE_256(op, 1)                                                                                 \
    ONE_256(op, 2)                                                                                 \
    ONE_256(op, 3)                                                                                 \
    ONE_256(op, 4)                                                                                 \
    ONE_256(op, 5)                                                                                 \
    ONE_256(op, 6)                                                                                 \
    ONE_256(op, 7)                                                                                 \
    ONE_256(op, 8)                                                                                 \
    ONE_256(op, 9)                                                                                 \
    ONE_256(op, 10)                                                                                \
    ONE_256(op, 11)

#define ONE_512(op, n) op " %%zmm25, %%zmm24, %%zmm" #n "\n\t"
#define EIGHT_512(op, a, b, c, d, e, f, g, h)                                                      \
    ONE_512(op, a)                                                                                 \
    ONE_512(op, b)                                                                                 \
    ONE_512(op, c)                                                                                 \
    ONE_512(op, d)                                                                                 \
    ONE_512(op, e)                                                                                 \
    ONE_512(op, f)                                                                                 \
    ONE_512(op, g)                                                                                 \
    ONE_512(op, h)
#define TWENTYFOUR_512(op)                                                                         \
    EIGHT_512(op, 0, 1, 2, 3, 4, 5, 6, 7)                                                          \
    EIGHT_512(op, 8, 9, 10, 11, 12, 13, 14, 15)                                                    \
    EIGHT_512(op, 16, 17, 18, 19, 20, 21, 22, 23)

// s16 of AVX2: a product and an addition for each sum.
#define ONE_S16(n, t)                                                                              \
    "vpmaddwd %%ymm15, %%ymm14, %%ymm" #t "\n\tvpaddd %%ymm" #t ", %%ymm" #n ", %%ymm" #n "\n\t"
#define TWELVE_S16                                                                                 \
    ONE_S16(0, 12)                                                                                 \
    ONE_S16(1, 13)                                                                                 \
    ONE_S16(2, 12)                                                                                 \
    ONE_S16(3, 13)                                                                                 \
    ONE_S16(4, 12)                                                                                 \
    ONE_S16(5, 13)                                                                                 \
    ONE_S16(6, 12)                                                                                 \
    ONE_S16(7, 13)                                                                                 \
    ONE_S16(8, 12)                                                                                 \
    ONE_S16(9, 13)                                                                                 \
    ONE_S16(10, 12)                                                                                \
    ONE_S16(11, 13)

// int8 of AVX2: two products, their sum, its widening, and the addition.
#define ONE_U8(n, t, u)                                                                            \
    "vpmaddubsw %%ymm15, %%ymm14, %%ymm" #t "\n\tvpmaddubsw %%ymm13, %%ymm14, %%ymm" #u            \
    "\n\tvpaddw %%ymm" #u ", %%ymm" #t ", %%ymm" #t "\n\tvpmaddwd %%ymm12, %%ymm" #t ", %%ymm" #t  \
    "\n\tvpaddd %%ymm" #t ", %%ymm" #n ", %%ymm" #n "\n\t"
#define SIX_U8                                                                                     \
    ONE_U8(0, 6, 7)                                                                                \
    ONE_U8(1, 8, 9)                                                                                \
    ONE_U8(2, 10, 11)                                                                              \
    ONE_U8(3, 6, 7)                                                                                \
    ONE_U8(4, 8, 9)                                                                                \
    ONE_U8(5, 10, 11)

#define AVX512 "avx512f,avx512bw,avx512vl,avx512vnni"
PROBE_LOOP("avx2,fma", probe_avx2_f32, TWELVE_256("vfmadd231ps"), LOW_REGISTERS)
PROBE_LOOP("avx2", probe_avx2_s16, TWELVE_S16, LOW_REGISTERS)
PROBE_LOOP("avx2", probe_avx2_u8, SIX_U8, LOW_REGISTERS)
PROBE_LOOP("avx2", probe_vex_s16, TWELVE_256("%{vex%} vpdpwssd"), LOW_REGISTERS)
PROBE_LOOP("avx2", probe_vex_u8, TWELVE_256("%{vex%} vpdpbusd"), LOW_REGISTERS)
PROBE_LOOP(AVX512, probe_evex_s16, TWELVE_256("%{evex%} vpdpwssd"), LOW_REGISTERS)
PROBE_LOOP(AVX512, probe_evex_u8, TWELVE_256("%{evex%} vpdpbusd"), LOW_REGISTERS)
PROBE_LOOP(AVX512, probe_avx512_f32, TWENTYFOUR_512("vfmadd231ps"), ALL_REGISTERS)
PROBE_LOOP(AVX512, probe_avx512_s16, TWENTYFOUR_512("vpdpwssd"), ALL_REGISTERS)
PROBE_LOOP(AVX512, probe_avx512_u8, TWENTYFOUR_512("vpdpbusd"), ALL_REGISTERS)
PROBE_LOOP(AVX512 ",avx512bf16", probe_avx512_bf16, TWENTYFOUR_512("vdpbf16ps"), ALL_REGISTERS)

static const struct gemm_probe GEMM_PROBES[] = {
    {"avx2 f32", NN_AVX2, NN_AVX2, NN_F32, &gemm_avx2[NN_F32], probe_avx2_f32, 12 * 16},
    {"avx2 s16", NN_AVX2, NN_AVX2, NN_S16, &gemm_avx2[NN_S16], probe_avx2_s16, 12 * 32},
    {"avx2 int8", NN_AVX2, NN_AVX2, NN_INT8, &gemm_avx2[NN_INT8], probe_avx2_u8, 6 * 128},
    {"avx-vnni s16", NN_AVXVNNI, NN_AVXVNNI, NN_S16, &gemm_avxvnni[NN_S16], probe_vex_s16, 12 * 32},
    {"avx-vnni int8", NN_AVXVNNI, NN_AVXVNNI, NN_INT8, &gemm_avxvnni[NN_INT8], probe_vex_u8,
     12 * 64},
    {"avx-vnni s16 as EVEX", NN_AVXVNNI, NN_AVX512_VNNI, NN_S16, &gemm_avxvnni_evex[NN_S16],
     probe_evex_s16, 12 * 32},
    {"avx-vnni int8 as EVEX", NN_AVXVNNI, NN_AVX512_VNNI, NN_INT8, &gemm_avxvnni_evex[NN_INT8],
     probe_evex_u8, 12 * 64},
    {"avx512 f32", NN_AVX512_VNNI, NN_AVX512_VNNI, NN_F32, &gemm_avx512[NN_F32], probe_avx512_f32,
     24 * 32},
    {"avx512 s16", NN_AVX512_VNNI, NN_AVX512_VNNI, NN_S16, &gemm_avx512[NN_S16], probe_avx512_s16,
     24 * 64},
    {"avx512 int8", NN_AVX512_VNNI, NN_AVX512_VNNI, NN_INT8, &gemm_avx512[NN_INT8], probe_avx512_u8,
     24 * 128},
    {"avx512 bf16", NN_AVX512_BF16, NN_AVX512_BF16, NN_BF16, &gemm_avx512_bf16, probe_avx512_bf16,
     24 * 64},
};
enum { GEMM_PROBE_COUNT = sizeof GEMM_PROBES / sizeof GEMM_PROBES[0] };

#else

static const struct gemm_probe GEMM_PROBES[1];
enum { GEMM_PROBE_COUNT = 0 };

#endif

// A problem with weights and rows packed and ready; values do not matter to the time.
struct gemm_case {
    const struct gemm_probe *probe;
    struct gemm_weights w;
    uint32_t rows;
    void *data, *packed;
    float *c;
};

static inline double gemm_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void *gemm_memory(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes))
        abort();
    return p;
}

static inline struct gemm_case gemm_case_open(const struct gemm_probe *probe, uint32_t k,
                                              uint32_t n, uint32_t rows)
{
    struct gemm_case s = {.probe = probe, .rows = rows};
    s.w = (struct gemm_weights){probe->tier, probe->precision, k, n, NULL};
    float *a = gemm_memory(((size_t)n + rows) * k * sizeof *a);
    uint32_t x = 1;
    for (size_t i = 0; i < ((size_t)n + rows) * k; i++) {
        x = x * 1664525 + 1013904223;
        a[i] = (float)(x >> 8) / 16777216.0F - 0.5F;
    }
    s.w.data = s.data = gemm_memory(gemm_weights_bytes(probe->tier, probe->precision, k, n));
    gemm_weights_pack(probe->tier, probe->precision, k, n, a, NULL, NULL, s.data);
    s.packed = gemm_memory(gemm_rows_bytes(&s.w, rows));
    // Packed by the scalar code of the same form, since the CPU may lack the tier whose other encoding runs.
    struct gemm_pack pack = {NULL, k, gemm_steps(probe->kernel, k), gemm_s16_level(k)};
    for (uint32_t i = 0; i < rows; i++)
        gemm_scalar[probe->precision].pack(&pack, a + ((size_t)n + i) * k,
                                           (void *)((char *)s.packed + i * gemm_row_bytes(&s.w)));
    s.c = gemm_memory((size_t)rows * n * sizeof *s.c);
    free(a);
    return s;
}

static inline void gemm_case_close(struct gemm_case *s)
{
    free(s->data);
    free(s->packed);
    free(s->c);
}

// The best of several slices; a slice is long beside the clock, whose reading is a system call.
struct gemm_rates {
    double kernel, probe; // operations a second
};

static inline double gemm_slice(const struct gemm_case *s, uint32_t runs)
{
    double begin = gemm_now_s();
    for (uint32_t i = 0; i < runs; i++)
        gemm_run_kernel(s->probe->kernel, &s->w, s->packed, s->rows, s->c, s->w.n, false);
    return 2.0 * s->rows * s->w.k * s->w.n * runs / (gemm_now_s() - begin);
}

static inline double gemm_probe_slice(const struct gemm_probe *probe, uint64_t rounds)
{
    double begin = gemm_now_s();
    probe->run(rounds);
    return 4 * probe->operations * (double)rounds / (gemm_now_s() - begin);
}

// Kernel and probe in turns, slices of about `seconds`; the best of each, because whatever else the machine does can only
// slow either down. Ends as soon as the kernel has `enough` of the probe, at the latest after `slices`.
static inline struct gemm_rates gemm_measure(const struct gemm_case *s, int slices, double seconds,
                                             double enough)
{
    struct gemm_rates best = {gemm_slice(s, 1), gemm_probe_slice(s->probe, 1000)};
    uint32_t runs = (uint32_t)(seconds * best.kernel / (2.0 * s->rows * s->w.k * s->w.n)) + 1;
    uint64_t rounds = (uint64_t)(seconds * best.probe / (4 * s->probe->operations)) + 1;
    for (int i = 0; i < slices && (i < 5 || best.kernel < enough * best.probe); i++) {
        double kernel = gemm_slice(s, runs), probe = gemm_probe_slice(s->probe, rounds);
        best.kernel = kernel > best.kernel ? kernel : best.kernel;
        best.probe = probe > best.probe ? probe : best.probe;
    }
    return best;
}

#endif
