// What is proved of a path's cost is never less than what the router holds an answer to: random prices, energies, zones, steps
// and requests that fit their model.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "proof/ways.h"
#include "route/estimate.h"
#include "signal/registry.h"

enum { ROUNDS = 3000, REQUESTS = 20 };

static struct rng rng;

static uint64_t below(uint64_t n)
{
    return rng_below(&rng, n);
}

// A model's statement; each part may be missing.
static void write_model(struct buf *t)
{
    static const char *const energies[] = {"", " energy 40 in, 300 out kJ/Mtok",
                                           " energy 9 in, 2 out J/Mtok", " energy h100 8b",
                                           " energy estimate 70b"};
    buf_printf(t, "model m%s endpoint demo%s context %uk tok output %u tok",
               below(4) ? " zone z" : "", below(2) ? ", demo, demo" : "", 1 + (unsigned)below(64),
               1 + (unsigned)below(3000));
    if (below(4)) {
        bool tokens = below(5) > 0, call = below(2) > 0, gpu = below(3) == 0 || (!tokens && !call);
        const char *between = " price ";
        if (tokens) {
            buf_printf(t, "%s%u in, %u out, %u cached%s usd/Mtok", between, (unsigned)below(20),
                       (unsigned)below(20), (unsigned)below(20), below(2) ? ", 25 written" : "");
            between = ", ";
        }
        if (call) {
            buf_printf(t, "%s0.00%u usd/request", between, 1 + (unsigned)below(9));
            between = ", ";
        }
        if (gpu)
            buf_printf(t, "%sgpu %u usd/h", between, 1 + (unsigned)below(90));
    }
    buf_cstr(t, energies[below(MERIT_COUNT(energies))]);
    if (below(2))
        buf_printf(t, " timeout %u s", 1 + (unsigned)below(300));
    BUF_LIT(t, "\n");
}

static void write_policy(struct buf *t)
{
    static const char *const carbons[] = {"", " carbon 380.123 g/kWh", " carbon \"f.csv\" 20 g/kWh",
                                          " carbon 0 g/kWh marginal"};
    BUF_LIT(t, "policy \"p\" version 1\nallow hedge 2\nzone z");
    if (below(2))
        buf_printf(t, " pue 1.%u", (unsigned)below(900));
    buf_cstr(t, carbons[below(MERIT_COUNT(carbons))]);
    BUF_LIT(t, "\n");
    write_model(t);
    BUF_LIT(t, "otherwise -> answer(m)");
    if (below(2))
        buf_printf(t, " retry %u", 1 + (unsigned)below(3));
    if (below(2))
        buf_printf(t, " cap %u tok", 1 + (unsigned)below(2000));
    if (below(3) == 0)
        BUF_LIT(t, " hedge 1");
    BUF_LIT(t, "\n");
}

// As route/fit.c holds a choice to a budget of this unit.
static int64_t held_to(const struct policy_image *p, const struct work *w,
                       const struct image_step *s, enum image_unit unit)
{
    const struct image_model *m = image_model(p, 0);
    if (unit == IMAGE_UNIT_UG)
        return estimate_carbon_bound(p, m->zone, estimate_bound(w, m, IMAGE_UNIT_UJ, 0, s));
    return estimate_bound(w, m, unit, 0, s);
}

static void check(const struct policy_image *p, uint32_t tight[WAY_UNITS])
{
    const struct image_step *s = IMAGE_AT(p, p->steps, struct image_step);
    const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding);
    const struct image_model *m = image_model(p, 0);
    const struct way_bound proved = way_binding_bound(p, s, b), least = way_binding_least(p, s, b);
    for (int n = 0; n < REQUESTS; n++) {
        struct work w = {.choices = 1, .anchor = WORK_NO_ANCHOR};
        w.max_output_tok = below(2) ? 1 + (uint32_t)below(m->output_tok) : 0;
        uint32_t out = estimate_output_most_tok(&w, m, s);
        if (out >= m->context_tok)
            continue;
        // The fullest request now and then.
        w.input_tok = below(4) ? (uint32_t)below(m->context_tok - out) : m->context_tok - out;
        for (unsigned u = 0; u < WAY_UNITS; u++) {
            int64_t held = held_to(p, &w, s, (enum image_unit)u);
            const struct way_amount *a = &proved.unit[u];
            // Both know a bound, or neither does.
            if ((a->open != WAY_BOUNDED) != (held == ESTIMATE_UNBOUNDED))
                fail_msg("unit %u: proved %s, held to %lld", u, way_open_text(a->open),
                         (long long)held);
            if (a->open)
                continue;
            if (held > a->value || (least.unit[u].value > a->value))
                fail_msg("unit %u: proved %lld, least %lld, held to %lld", u, (long long)a->value,
                         (long long)least.unit[u].value, (long long)held);
            tight[u] += held > 0 && a->value - held <= a->value / 50;
        }
    }
}

static void test_proved_is_at_least_what_is_held_to(void **state)
{
    (void)state;
    uint32_t tight[WAY_UNITS] = {0};
    rng_seed(&rng, 66);
    for (int n = 0; n < ROUNDS; n++) {
        struct arena arena;
        struct diag_list diags;
        struct buf text;
        const struct policy_image *p;
        arena_init(&arena, 1 << 16, 1 << 26);
        diag_init(&diags, &arena, 20);
        buf_init(&text, 1 << 16);
        write_policy(&text);
        if (policy_load(buf_slice(&text), &signal_registry, &arena, &diags, &p)) {
            // Some write more than their window holds.
            buf_deinit(&text);
            arena_deinit(&arena);
            continue;
        }
        check(p, tight);
        buf_deinit(&text);
        arena_deinit(&arena);
    }
    // The bounds are near enough to be worth something, in every unit.
    for (unsigned u = 0; u < WAY_UNITS; u++)
        assert_true(tight[u] > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proved_is_at_least_what_is_held_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
