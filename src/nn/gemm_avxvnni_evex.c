// The kernels of gemm_avxvnni.c with EVEX encoding. No tier uses them: tests do, where the CPU has AVX-512 and no VEX form.
#if defined(__x86_64__)
#define NN_SIMD_256
#define VNNI_FORM "%{evex%} "
#define VNNI_KERNELS gemm_avxvnni_evex
#include "nn/gemm_avxvnni.h"
#endif
