// Guards against sums that leave their registers: a kernel that spills them falls to between a quarter and two thirds of
// the peak of its instruction, one that does not is above nine tenths (bench/bench_nn_gemm.c). Both are measured in turns,
// and the best of each counts, so that a busy machine makes the test longer and not red.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/gemm_probe.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const double ENOUGH = 0.75, SLICE_S = 0.0005;
enum { SLICES_MAX = 4000 };

static void no_kernel_spills_its_sums(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("skipped: sanitizers slow the kernels down\n");
        return;
    }
    for (int i = 0; i < GEMM_PROBE_COUNT; i++) {
        const struct gemm_probe *p = &GEMM_PROBES[i];
        if (!nn_tier_has(p->runs_on)) {
            print_message("%s: not run, this CPU has no %s\n", p->name, nn_tier_name(p->runs_on));
            continue;
        }
        struct gemm_case s = gemm_case_open(p, 768, 384, 48);
        struct gemm_rates best = gemm_measure(&s, SLICES_MAX, SLICE_S, ENOUGH);
        gemm_case_close(&s);
        print_message("%s: %.0f of %.0f Gop/s\n", p->name, best.kernel / 1e9, best.probe / 1e9);
        assert_true(best.kernel >= ENOUGH * best.probe);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_kernel_spills_its_sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
