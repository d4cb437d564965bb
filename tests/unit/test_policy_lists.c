// The list of prices: what it reads, what it refuses and on which line. The list of energies: its rows against the
// measurements that they were fitted to, and the estimate of a model that nobody measured.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "policy/energy_list.h"
#include "policy/price_list.h"

#define HEADER "provider,model,in,cached,written,out,call,batch,date,source,grade\n"
#define TAIL ",2026-11-01,page,cited\n"

static struct arena arena;
static struct diag_list diags;
static struct price_list list;

static enum result read_text(const char *text)
{
    arena_reset(&arena);
    diag_init(&diags, &arena, PRICE_LIST_DIAGS_MAX);
    return price_list_read(slice_cstr(text), &arena, &diags, &list);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const struct price_row *find(const char *provider, const char *model)
{
    return price_list_find(&list, slice_cstr(provider), slice_cstr(model));
}

static void test_reads(void **state)
{
    (void)state;
    assert_int_equal(read_text("# why\n\n" HEADER "b,m,1.25,0.125,1.5,10,0.001,50" TAIL
                               "a,x-*,0.000000001,,,100000,,100" TAIL "a,x-1,2,,,3,," TAIL
                               " a , x-1* , 4 , , , 5 , , ,2024-02-29,\"quoted\",guessed\r\n"),
                     RESULT_OK);
    assert_int_equal(list.count, 4);
    const struct price_row *r = find("B", "m");
    assert_non_null(r);
    assert_int_equal(r->in_nusd, 1250000000);
    assert_int_equal(r->cached_nusd, 125000000);
    assert_int_equal(r->written_nusd, 1500000000);
    assert_int_equal(r->out_nusd, 10000000000);
    assert_int_equal(r->call_nusd, 1000000);
    assert_int_equal(r->batch_percent, 50);
    assert_int_equal(r->grade, IMAGE_GRADE_CITED);
    assert_int_equal(r->line, 4);
    assert_true(slice_eq_cstr(r->date, "2026-11-01") && slice_eq_cstr(r->source, "page"));
    // An exact name, then the longest beginning.
    assert_int_equal(find("a", "x-1")->in_nusd, 2000000000);
    assert_int_equal(find("a", "x-12")->in_nusd, 4000000000);
    assert_int_equal(find("a", "x-2")->in_nusd, 1);
    assert_int_equal(find("a", "x-2")->out_nusd, IMAGE_PRICE_MAX);
    assert_int_equal(find("a", "x-2")->cached_nusd, 1);
    assert_int_equal(find("a", "x-2")->written_nusd, 1);
    assert_null(find("a", "x"));
    assert_null(find("a", "X-1"));
    assert_null(find("ab", "x-1"));
    assert_null(find("", ""));
}

static void refused(const char *row, const char *code, uint32_t line_wanted)
{
    char text[4096];
    snprintf(text, sizeof text, HEADER "good,one,1,,,2,," TAIL "%s\n", row);
    enum result r = read_text(text);
    uint32_t line = 0, column = 0;
    if (r != RESULT_SYNTAX || !diags.count || strcmp(diags.items[0].code, code) != 0)
        fail_msg("`%s`: result %s, code %s", row, result_name(r),
                 diags.count ? diags.items[0].code : "none");
    diag_position(slice_cstr(text), diags.items[0].span.begin, &line, &column);
    assert_int_equal(line, line_wanted);
    assert_int_equal(list.count, 0);
}

static void test_refuses(void **state)
{
    (void)state;
    refused("a,b,1,,,2,,", "price-columns", 3);
    refused("a,b,1,,,2,,,2026-11-01,page,cited,more", "price-columns", 3);
    refused("a,b,,,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,1,,,,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,free,,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,1k,,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,.,,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,0.0000000001,,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,1,nan,,2,,,2026-11-01,page,cited", "price-number", 3);
    refused("a,b,-1,,,2,,,2026-11-01,page,cited", "price-range", 3);
    refused("a,b,1,,,100000.1,,,2026-11-01,page,cited", "price-range", 3);
    refused("a,b,1,,,2,,0,2026-11-01,page,cited", "price-batch", 3);
    refused("a,b,1,,,2,,101,2026-11-01,page,cited", "price-batch", 3);
    refused("a,b,1,,,2,,half,2026-11-01,page,cited", "price-batch", 3);
    refused("a,b,1,,,2,,,,page,cited", "price-date", 3);
    refused("a,b,1,,,2,,,2026-13-01,page,cited", "price-date", 3);
    refused("a,b,1,,,2,,,2026-11-31,page,cited", "price-date", 3);
    refused("a,b,1,,,2,,,yesterday1,page,cited", "price-date", 3);
    refused("a,b,1,,,2,,,2026-11-01,,cited", "price-source", 3);
    refused("a,b,1,,,2,,,2026-11-01,page,", "price-grade", 3);
    refused("a,b,1,,,2,,,2026-11-01,page,none", "price-grade", 3);
    refused(",b,1,,,2,,,2026-11-01,page,cited", "price-name", 3);
    refused("a,,1,,,2,,,2026-11-01,page,cited", "price-name", 3);
    refused("a,*,1,,,2,,,2026-11-01,page,cited", "price-name", 3);
    refused("GOOD,one,1,,,2,,,2026-11-01,page,cited", "duplicate", 3);
    assert_int_equal(read_text("a,b,1,,,2,," TAIL), RESULT_SYNTAX);
    assert_string_equal(diags.items[0].code, "price-header");
    assert_int_equal(read_text(""), RESULT_SYNTAX);
    assert_int_equal(read_text("# only this\n"), RESULT_SYNTAX);
    assert_int_equal(read_text("\xff\n"), RESULT_UTF8);
    assert_int_equal(read_text(HEADER), RESULT_OK);
    assert_int_equal(list.count, 0);
}

static void test_limits(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8 << 20);
    BUF_LIT(&b, HEADER);
    for (int i = 0; i < PRICE_LIST_ROWS_MAX; i++)
        buf_printf(&b, "p,m%d,1,,,2,," TAIL, i);
    arena_reset(&arena);
    diag_init(&diags, &arena, 5);
    assert_int_equal(price_list_read(buf_slice(&b), &arena, &diags, &list), RESULT_OK);
    assert_int_equal(list.count, PRICE_LIST_ROWS_MAX);
    assert_non_null(find("p", "m19999"));
    buf_printf(&b, "p,over,1,,,2,," TAIL);
    arena_reset(&arena);
    diag_init(&diags, &arena, 5);
    assert_int_equal(price_list_read(buf_slice(&b), &arena, &diags, &list), RESULT_LIMIT);
    assert_string_equal(diags.items[0].code, "price-rows");
    while (b.len <= PRICE_LIST_BYTES_MAX)
        BUF_LIT(&b, "# much too much of a good thing, line after line after line after line\n");
    arena_reset(&arena);
    diag_init(&diags, &arena, 5);
    assert_int_equal(price_list_read(buf_slice(&b), &arena, &diags, &list), RESULT_LIMIT);
    assert_string_equal(diags.items[0].code, "price-bytes");
    buf_deinit(&b);
    char row[1024], field[PRICE_LIST_FIELD_MAX + 2];
    memset(field, 'x', sizeof field);
    field[sizeof field - 1] = 0;
    snprintf(row, sizeof row, "p,%s,1,,,2,,,2026-11-01,page,cited", field);
    refused(row, "price-long", 3);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct arena own;
        arena_init(&own, 64, 1 << 20);
        alloc_fail_at(n, 0);
        enum result r = price_list_shipped(&own, &list);
        alloc_fail_at(0, 0);
        arena_deinit(&own);
        if (r == RESULT_OK)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_true(n < 100);
    }
}

// Every price that ships has a day, a source and a grade, and says no more than was read.
static void test_shipped(void **state)
{
    (void)state;
    arena_reset(&arena);
    assert_int_equal(price_list_shipped(&arena, &list), RESULT_OK);
    assert_true(list.count >= 20);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct price_row *r = &list.rows[i];
        assert_true(r->out_nusd >= r->in_nusd && r->in_nusd >= r->cached_nusd && r->in_nusd > 0);
        assert_int_equal(r->grade, IMAGE_GRADE_CITED);
        assert_ptr_equal(price_list_find(&list, r->provider, r->model), r);
    }
    assert_int_equal(find("openai", "gpt-5")->out_nusd, 10000000000);
}

// ---- energy

// Points of the leaderboard: batch, watts, output tokens per second.
struct point {
    const char *size;
    uint32_t gpus;
    double batch, watts, tokens_s;
};
static const struct point points[] = {
    {"8b", 1, 7.978, 486.4, 1069.6},         {"8b", 1, 63.92, 610.3, 5147.2},
    {"8b", 1, 255.2, 690.5, 9009.6},         {"14b", 1, 7.987, 443.0, 627.4},
    {"14b", 1, 63.85, 525.0, 3140.3},        {"14b", 1, 253.4, 644.7, 5760.3},
    {"32b", 1, 15.97, 566.2, 589.0},         {"32b", 2, 63.86, 974.1, 2653.8},
    {"32b", 2, 255.6, 1177.9, 5155.5},       {"70b", 4, 7.987, 1765.4, 469.7},
    {"70b", 4, 63.79, 2001.5, 2510.5},       {"70b", 4, 255.3, 2354.3, 4915.1},
    {"405b", 8, 63.86, 4162.1, 1350.2},      {"405b", 8, 255.2, 4874.8, 2363.4},
    {"30b-a3b", 1, 63.92, 480.0, 2163.9},    {"30b-a3b", 2, 255.8, 954.9, 7154.1},
    {"109b-a17b", 4, 127.6, 1834.8, 2805.6}, {"235b-a22b", 4, 63.91, 2198.1, 1262.3},
    {"400b-a17b", 8, 63.86, 2655.6, 2813.4},
};

static double curve(const struct energy_fit *f, double b)
{
    return f->curve == IMAGE_CURVE_POWER ? f->a * pow(b, -f->c) : f->a + f->c / b;
}

static double step(const struct energy_fit *f, double b)
{
    return f->curve == IMAGE_CURVE_POWER ? f->step_s * pow(b, f->step_growth)
                                         : f->step_s * (1 + f->step_growth * b);
}

static void test_rows_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(points); i++) {
        const struct point *p = &points[i];
        struct energy_fit f;
        assert_int_equal(energy_list_find(p->gpus, SLICE("H100"), slice_cstr(p->size), &f),
                         RESULT_OK);
        double e = p->watts / p->tokens_s, tau = p->batch / p->tokens_s;
        if (fabs(curve(&f, p->batch) - e) > 0.095 * e ||
            fabs(step(&f, p->batch) - tau) > 0.095 * tau)
            fail_msg("%u %s at %.1f: %.4f J/token for %.4f, step %.5f s for %.5f", p->gpus, p->size,
                     p->batch, curve(&f, p->batch), e, step(&f, p->batch), tau);
    }
}

static void test_find(void **state)
{
    (void)state;
    size_t n;
    struct energy_fit f;
    const struct energy_row *rows = energy_list_rows(&n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(energy_list_find(rows[i].gpus, slice_cstr(rows[i].hardware),
                                          slice_cstr(rows[i].size), &f),
                         RESULT_OK);
        assert_true(f.a == rows[i].a && f.c == rows[i].c && f.gpus == rows[i].gpus);
        assert_true(f.grade == IMAGE_GRADE_CITED && strlen(f.source) > 20 &&
                    strlen(f.hardware) > 5);
        assert_true(strlen(f.source) < ENERGY_SOURCE_MAX - 1 && rows[i].fit_error && rows[i].date);
        assert_true(f.batch == ENERGY_BATCH && f.batch_max >= 32);
        assert_true(f.prefill_j_tok > 0 && f.prefill_j_tok < curve(&f, 1));
    }
    assert_int_equal(energy_list_find(0, SLICE("h100"), SLICE("32b"), &f), RESULT_OK);
    assert_int_equal(f.gpus, 1);
    assert_string_equal(f.hardware, "1 h100");
    assert_int_equal(energy_list_find(2, SLICE("h100"), SLICE("32B"), &f), RESULT_OK);
    assert_string_equal(f.hardware, "2 h100");
    assert_int_equal(energy_list_find(3, SLICE("h100"), SLICE("32b"), &f), RESULT_NOT_FOUND);
    assert_int_equal(energy_list_find(0, SLICE("tpu"), SLICE("32b"), &f), RESULT_NOT_FOUND);
    assert_int_equal(energy_list_find(0, SLICE("h100"), SLICE(""), &f), RESULT_NOT_FOUND);
    assert_non_null(energy_list_power(SLICE("A100")));
    assert_null(energy_list_power(SLICE("abacus")));
}

static void test_bounds(void **state)
{
    (void)state;
    struct energy_fit f;
    int64_t in, out;
    assert_int_equal(energy_list_find(0, SLICE("h100"), SLICE("8b"), &f), RESULT_OK);
    assert_int_equal(energy_list_bounds(&f, 0, &in, &out), RESULT_OK);
    // 2 * 8e9 FLOP at 700 W over half of 989 TFLOP/s; 0.0678 + 3.126 J/token.
    assert_int_equal(in, 22649140547);
    assert_int_equal(out, 3193800000000);
    int64_t in_pue, out_pue;
    assert_int_equal(energy_list_bounds(&f, 1200, &in_pue, &out_pue), RESULT_OK);
    assert_true(in_pue >= in * 12 / 10 && in_pue <= in * 12 / 10 + 2);
    assert_int_equal(out_pue, 3832560000000);
    f.a = 1e9;
    assert_int_equal(energy_list_bounds(&f, 0, &in, &out), RESULT_RANGE);
    assert_true(out == IMAGE_ENERGY_MAX);
}

static void test_estimate(void **state)
{
    (void)state;
    struct energy_fit f;
    assert_int_equal(energy_list_estimate(200, 0, 0, &f), RESULT_OK);
    assert_int_equal(f.gpus, 8);
    assert_int_equal(f.grade, IMAGE_GRADE_GUESSED);
    double level = 3600 * 8 * (1.17e-6 * exp(-1.12e-2 * 64) * 200 + 4.05e-5);
    assert_true(fabs(curve(&f, 64) - level) < 1e-9);
    assert_true(fabs(step(&f, 64) - (6.79e-4 * 200 + 3.12e-4 * 64 + 1.95e-2)) < 1e-9);
    // A mixture of experts: memory by all of it, work by what is active; fewer bits, fewer machines.
    struct energy_fit g;
    assert_int_equal(energy_list_estimate(200, 20, 8, &g), RESULT_OK);
    assert_int_equal(g.gpus, 4);
    assert_true(curve(&g, 32) < curve(&f, 32) / 2 && g.prefill_j_tok < f.prefill_j_tok / 10);
    // Beside what was measured it is within a factor of three.
    assert_int_equal(energy_list_estimate(8, 0, 16, &g), RESULT_OK);
    assert_int_equal(energy_list_find(0, SLICE("h100"), SLICE("8b"), &f), RESULT_OK);
    assert_true(curve(&g, 64) / curve(&f, 64) < 3 && curve(&g, 64) / curve(&f, 64) > 0.33);
    const double wrong[][2] = {{0, 0},    {-1, 0}, {NAN, 0}, {INFINITY, 0},
                               {4001, 0}, {8, 9},  {8, -1}};
    for (size_t i = 0; i < MERIT_COUNT(wrong); i++)
        assert_int_equal(energy_list_estimate(wrong[i][0], wrong[i][1], 16, &g), RESULT_RANGE);
    assert_int_equal(energy_list_estimate(8, 0, 7, &g), RESULT_RANGE);
    assert_int_equal(energy_list_estimate(4000, 0, 16, &g), RESULT_RANGE);
    assert_int_equal(energy_list_estimate(1600, 49, 8, &g), RESULT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),    cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_shipped),  cmocka_unit_test(test_rows_fit),
        cmocka_unit_test(test_find),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
