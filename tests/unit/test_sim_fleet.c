// The fleet around the engines: jobs that fit nowhere, or not everywhere.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "sim/fleet.h"

enum { JOBS = 300, HUGE_EVERY = 3 };

static void read_fleet(struct constants *c)
{
    char diag[CONSTANTS_DIAG_BYTES];
    struct buf text;
    buf_init(&text, CONSTANTS_FILE_BYTES_MAX);
    assert_int_equal(file_read(MERIT_SOURCE_DIR "/bench/constants/fleet-a.json", &text), RESULT_OK);
    assert_int_equal(constants_read(buf_slice(&text), c, diag), RESULT_OK);
    buf_deinit(&text);
}

// A third of the jobs fits nowhere. They fail at once, each replica having been asked once at most, and say nothing against the
// replicas: the others are answered at their first attempt.
static void what_fits_nowhere_is_nobodys_failure(void **state)
{
    static struct constants c;
    static struct fleet_job jobs[JOBS];
    static const char *const names[] = {"merit", "blind", "lr", "rr", "oracle"};
    (void)state;
    read_fleet(&c);
    for (size_t k = 0; k < MERIT_COUNT(names); k++) {
        struct fleet_options o = {
            .constants = &c, .placement = fleet_placement(names[k]), .seed = 1};
        struct fleet *f;
        assert_int_equal(fleet_open(&f, &o), RESULT_OK);
        for (uint32_t i = 0; i < JOBS; i++) {
            bool huge = i % HUGE_EVERY == 0;
            jobs[i] = (struct fleet_job){
                .at_us = 1 + i * 20000ull, .prompt_tok = huge ? 10000000 : 300, .output_tok = 20};
            assert_int_equal(fleet_push(f, &jobs[i]), RESULT_OK);
        }
        assert_false(fleet_run(f, 3600ull * 1000000));
        for (uint32_t i = 0; i < JOBS; i++) {
            bool huge = i % HUGE_EVERY == 0;
            assert_int_equal(jobs[i].failed, huge);
            assert_int_equal(jobs[i].attempts, huge ? fleet_replicas(f) : 1);
            if (huge)
                assert_true(jobs[i].end_us == jobs[i].at_us);
        }
        fleet_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_fits_nowhere_is_nobodys_failure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
