// A place that becomes slow, and is well again or is not: the pool and dispatch themselves, over places in virtual time whose
// prompts are computed one behind the other. The rest is as merit serve has it, without telemetry.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "helper/pool_make.h"
#include "route/dispatch.h"

enum {
    PLACES = 4,
    SLOW = 2, // the place
    CALLS_MAX = 512,
    TICK_US = 5000,
    SECOND = 1000 * 1000,
    OUTPUT_TOK = 60,
    SLOW_FROM_S = 60,
    END_S = 420,
};

struct going {
    struct pool_call call;
    uint32_t place, tok;
    uint64_t first_us, end_us;
};

static struct pool_made made;
static struct going going[CALLS_MAX];
static uint32_t going_count;
static uint64_t free_us[PLACES];
static uint32_t per_second[END_S][PLACES];

static double times_slower(uint32_t place, double now_s, double well_s)
{
    return place == SLOW && now_s >= SLOW_FROM_S && now_s < well_s ? 10 : 1;
}

static uint32_t choose(uint32_t tok, uint64_t now_us, uint64_t seed)
{
    struct pool_view view = pool_made_view(&made, 0, now_us);
    struct work work = {.input_tok = tok, .choices = 1, .stream = true};
    struct dispatch_action action = {.binding = {0, IMAGE_EFFORT_DEFAULT},
                                     .quality = -1,
                                     .expect = {.input_tok = tok,
                                                .output_tok = OUTPUT_TOK,
                                                .cost_nusd = -1,
                                                .energy_uj = -1,
                                                .marginal_uj = -1,
                                                .carbon_ug = -1}};
    struct dispatch_ask ask = {.image = made.image,
                               .work = &work,
                               .pool = &view,
                               .objective = IMAGE_OBJECTIVE_ORDER,
                               .actions = &action,
                               .count = 1};
    struct decision_option option;
    view.seed = seed;
    assert_int_equal(dispatch_choose(&ask, &option, 1), 1);
    return (uint32_t)option.place - view.first[0];
}

static void begin(struct rng *r, double now_s, double well_s)
{
    uint64_t now_us = (uint64_t)(now_s * SECOND);
    uint32_t tok = 200 + (uint32_t)rng_below(r, 1800);
    struct going *g = &going[going_count++];
    assert_true(going_count < CALLS_MAX);
    *g = (struct going){.tok = tok, .place = choose(tok, now_us, rng_next(r))};
    double slower = times_slower(g->place, now_s, well_s);
    const struct pool_ask ask = {.compute_tok = tok, .output_tok = OUTPUT_TOK};
    assert_int_equal(pool_begin(&made.loops[0], (int32_t)g->place, &ask, now_us, &g->call),
                     RESULT_OK);
    uint64_t from = free_us[g->place] > now_us ? free_us[g->place] : now_us;
    g->first_us = from + (uint64_t)(slower * (0.01 + tok / 8000.0) * SECOND);
    free_us[g->place] = g->first_us;
    g->end_us = g->first_us + (uint64_t)(slower * 0.01 * OUTPUT_TOK * SECOND);
    per_second[(uint32_t)now_s][g->place]++;
}

static void step(uint64_t now_us)
{
    for (uint32_t i = 0; i < going_count;) {
        struct going *g = &going[i];
        if (g->first_us && g->first_us <= now_us) {
            pool_first(&made.loops[0], &g->call, g->first_us);
            g->first_us = 0;
        }
        if (g->first_us || g->end_us > now_us) {
            i++;
            continue;
        }
        const struct pool_report ok = {
            .outcome = POOL_OK, .known = true, .input_tok = g->tok, .output_tok = OUTPUT_TOK};
        pool_end(&made.loops[0], &g->call, &ok, now_us);
        going[i] = going[--going_count];
    }
}

static void play(double per_s, double well_s, uint64_t seed)
{
    const uint32_t models[] = {PLACES};
    struct rng r;
    rng_seed(&r, seed);
    memset(per_second, 0, sizeof per_second);
    memset(free_us, 0, sizeof free_us);
    going_count = 0;
    pool_made_policy(&made, models, 1);
    pool_made_open(&made);
    for (uint64_t now = TICK_US; now < (uint64_t)END_S * SECOND; now += TICK_US) {
        step(now);
        if (rng_unit(&r) < per_s * TICK_US / SECOND)
            begin(&r, (double)now / SECOND, well_s);
    }
    step(UINT64_MAX / 2);
    pool_made_close(&made);
}

static uint32_t calls(uint32_t from_s, uint32_t to_s, bool of_slow)
{
    uint32_t n = 0;
    for (uint32_t t = from_s; t < to_s; t++)
        for (uint32_t i = 0; i < PLACES; i++)
            n += !of_slow || i == SLOW ? per_second[t][i] : 0;
    return n;
}

static double share(uint32_t from_s, uint32_t to_s)
{
    return (double)calls(from_s, to_s, true) / calls(from_s, to_s, false);
}

static const double RATES[] = {4, 10, 16};

// Well again after a minute: within 45 s it has its share, a quarter, but for what chance does to it.
static void who_is_well_again_gets_its_share(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            play(RATES[i], 120, seed);
            double before = share(20, 60), slow = share(75, 120), after = share(165, 225);
            printf("%2.0f calls a second: %.3f before, %.3f while slow, %.3f from 45 s after\n",
                   RATES[i], before, slow, after);
            assert_true(before > 0.13 && before < 0.37);
            assert_true(slow < 0.05);
            assert_true(after > 0.15 && after < 0.35);
        }
}

// Slow for good: no more than a call in twenty seconds.
static void who_stays_slow_gets_next_to_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            play(RATES[i], END_S, seed);
            uint32_t n = calls(90, END_S, true);
            printf("%2.0f calls a second: %u calls in %d s, %.3f of all\n", RATES[i], n, END_S - 90,
                   share(90, END_S));
            assert_true(n >= (END_S - 90) / 60);
            assert_true(n <= (END_S - 90) / 20);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_well_again_gets_its_share),
        cmocka_unit_test(who_stays_slow_gets_next_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
