// AVX-VNNI with VEX encoding: CPUs that have VNNI without AVX-512.
#if defined(__x86_64__)
#define VNNI_FORM "%{vex%} "
#define VNNI_KERNELS gemm_avxvnni
#include "nn/gemm_avxvnni.h"
#endif
