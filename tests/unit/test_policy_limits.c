// Policies that are too big, too deep, too wrong: one clear answer each, in bounded time and memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fake/families.h"
#include "policy/policy.h"

static const char head[] =
    "policy \"p\" version 1\nmodel m endpoint demo context 1k tok\nsignal a = keywords(\"a\")\n";
static const char tail[] = "otherwise -> answer(m)\n";

struct run {
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    enum result result;
    struct buf text;
};

static void begin(struct run *r)
{
    buf_init(&r->text, 64 << 20);
    arena_init(&r->arena, 0, POLICY_ARENA_MAX);
    diag_init(&r->diags, &r->arena, POLICY_DIAGS_MAX);
}

// Loads; no policy may take longer than a few seconds even where a sanitizer slows it down.
static void load(struct run *r)
{
    clock_t start = clock();
    assert_int_equal(buf_result(&r->text), RESULT_OK);
    r->result = policy_load(buf_slice(&r->text), &fake_registry, &r->arena, &r->diags, &r->image);
    assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
}

static void end(struct run *r)
{
    buf_deinit(&r->text);
    arena_deinit(&r->arena);
}

static void assert_only(struct run *r, const char *code, const char *message)
{
    assert_int_equal(r->diags.errors, 1);
    const struct diag *d = r->diags.items;
    while (d->severity != DIAG_ERROR)
        d++;
    assert_string_equal(d->code, code);
    if (slice_find(d->message, slice_cstr(message)) < 0)
        fail_msg("%.*s", SLICE_FMT(d->message));
    assert_null(r->image);
}

static void ten_megabytes_are_one_error(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    while (r.text.len < 10 << 20)
        BUF_LIT(&r.text, "route r when a -> nonsense(\n");
    load(&r);
    assert_int_equal(r.result, RESULT_LIMIT);
    assert_only(&r, "limit", "the limit is 4 MiB");
    end(&r);
}

static void words_and_statements_are_limited(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    while (r.text.len < 4000000)
        BUF_LIT(&r.text, " ( )");
    load(&r);
    assert_int_equal(r.result, RESULT_LIMIT);
    assert_only(&r, "limit", "more than 1000000 words");
    end(&r);
    begin(&r);
    for (int i = 0; i <= POLICY_STATEMENTS_MAX; i++)
        buf_printf(&r.text, "zone z%d\n", i);
    load(&r);
    assert_int_equal(r.result, RESULT_LIMIT);
    assert_only(&r, "limit", "more than 10000 statements");
    end(&r);
}

static void many_errors_are_kept_to_a_few(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, head);
    for (int i = 0; i < 9000; i++)
        buf_printf(&r.text, "route r%d when unknown%d -> answer(nobody%d)\n", i, i, i);
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_int_equal(r.result, RESULT_SYNTAX);
    assert_int_equal(r.diags.count, POLICY_DIAGS_MAX);
    assert_int_equal(r.diags.errors, 18000);
    assert_int_equal(r.diags.dropped, 18000 - POLICY_DIAGS_MAX);
    end(&r);
}

static void wide_guards_and_many_routes_load(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, head);
    BUF_LIT(&r.text, "signal n = conversation(turns)\nroute wide when a");
    for (int i = 0; i < 10000; i++)
        buf_printf(&r.text, "\n  or n == %d", i);
    BUF_LIT(&r.text, " -> answer(m)\n");
    for (int i = 0; i < 9900; i++)
        buf_printf(&r.text, "route r%d when n > %d and not a -> answer(any)\n", i, i);
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_int_equal(r.result, RESULT_OK);
    const struct image_node *n =
        IMAGE_AT(r.image, image_route(r.image, 0)->guard, struct image_node);
    assert_true(n->kind == IMAGE_NODE_OR && n->arg == 10001);
    assert_int_equal(r.image->routes.count, 9902);
    // `any` is written once, however often it is named.
    assert_int_equal(r.image->bindings.count, 3);
    end(&r);
}

static void depth_is_limited(void **state)
{
    (void)state;
    for (int depth = 60; depth < 70; depth++) {
        struct run r;
        begin(&r);
        BUF_LIT(&r.text, head);
        BUF_LIT(&r.text, "signal n = conversation(turns)\nroute deep when ");
        for (int i = 0; i < depth; i++)
            buf_printf(&r.text, i % 2 ? "n > %d or a and (" : "n < %d and a or (", i + 1);
        BUF_LIT(&r.text, "a");
        for (int i = 0; i < depth; i++)
            BUF_LIT(&r.text, ")");
        BUF_LIT(&r.text, " -> answer(m)\n");
        BUF_LIT(&r.text, tail);
        load(&r);
        if (depth <= POLICY_DEPTH_MAX)
            assert_int_equal(r.result, RESULT_OK);
        else
            assert_only(&r, "limit", "nested deeper than 64");
        if (r.image) {
            const struct policy_image *opened;
            assert_int_equal(image_open(r.image, r.image->size, &opened), RESULT_OK);
        }
        end(&r);
    }
}

static void paths_that_double_end(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, head);
    for (int i = 0; i < 60; i++)
        buf_printf(&r.text, "path p%d(x) = p%d(x | x)\n", i, i + 1);
    BUF_LIT(&r.text, "path p60(x) = answer(x)\nroute r when a -> p0(m)\n");
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_only(&r, "limit", "1000000 candidates");
    end(&r);
}

static void long_names_and_texts_are_refused(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, head);
    BUF_LIT(&r.text, "zone ");
    for (int i = 0; i <= POLICY_NAME_MAX; i++)
        buf_byte(&r.text, 'z');
    buf_byte(&r.text, '\n');
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_only(&r, "limit", "between 1 and 128 bytes");
    end(&r);
    begin(&r);
    BUF_LIT(&r.text, head);
    BUF_LIT(&r.text, "route r when a -> refuse \"");
    for (int i = 0; i <= POLICY_STRING_MAX; i++)
        buf_byte(&r.text, 'z');
    BUF_LIT(&r.text, "\"\n");
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_true(r.diags.errors >= 1);
    assert_string_equal(r.diags.items[0].code, "limit");
    end(&r);
}

// Each is one row of ten thousand.
static void ten_thousand_of_each_load(void **state)
{
    (void)state;
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, "policy \"p\" version 1\nlattice l = low < mid < high\nzone z clears high\n"
                     "model m zone z endpoint demo context 1k tok\nsignal a = keywords(\"a\")\n"
                     "signal n = conversation(turns)\nsignal j = jailbreak\n"
                     "signal d label l = max(a");
    for (int i = 1; i < 10000; i++)
        buf_printf(&r.text, ",\n  mid when n > %d", i);
    BUF_LIT(&r.text, ")\nsignal s = score(0.001 j");
    for (int i = 1; i < 10000; i++)
        buf_printf(&r.text, ",\n  %s0.001 when n == %d", i % 2 ? "-" : "", i);
    BUF_LIT(&r.text, ") bands lo, hi above 0\n");
    for (int i = 0; i < 4900; i++)
        buf_printf(&r.text, "forbid zone z, z when d >= mid and n > %d and s == hi\n", i + 1);
    for (int i = 0; i < 2500; i++)
        buf_printf(&r.text, "test \"t%d\" given n == %d expect route otherwise, not refuse\n", i,
                   i + 1);
    for (int i = 0; i < 2500; i++)
        buf_printf(&r.text, "assume shadowed \"t%d\" \"why\"\n", i);
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_int_equal(r.result, RESULT_OK);
    assert_int_equal(r.image->terms.count, 20000);
    assert_int_equal(r.image->constraints.count, 9800);
    assert_int_equal(r.image->theorems.count, 2500);
    assert_int_equal(r.image->assumes.count, 2500);
    const struct policy_image *opened;
    assert_int_equal(image_open(r.image, r.image->size, &opened), RESULT_OK);
    end(&r);
}

static void signals_of_signals_end(void **state)
{
    (void)state;
    for (int deep = IMAGE_DERIVE_DEPTH_MAX; deep < 9000; deep = deep * 9 + 1) {
        struct run r;
        begin(&r);
        BUF_LIT(&r.text, head);
        // The deepest first, and the other way round.
        for (int i = deep; i > 1; i--)
            buf_printf(&r.text, "signal s%d = score(0.5 s%d)\n", i, i - 1);
        buf_printf(&r.text, "signal s1 = score(0.5 a)\nroute r when s%d > 0 -> answer(m)\n", deep);
        BUF_LIT(&r.text, tail);
        load(&r);
        if (deep == IMAGE_DERIVE_DEPTH_MAX) {
            const struct policy_image *opened;
            assert_int_equal(r.result, RESULT_OK);
            assert_int_equal(image_signal(r.image, 1)->depth, IMAGE_DERIVE_DEPTH_MAX);
            assert_int_equal(image_open(r.image, r.image->size, &opened), RESULT_OK);
        } else {
            assert_int_equal(r.result, RESULT_SYNTAX);
            assert_string_equal(r.diags.items[0].code, "limit");
        }
        end(&r);
    }
}

// Paths in paths: `p = q -> q` doubles the steps, `p = q else q` the chains, and both together.
static void chains_that_double_end(void **state)
{
    (void)state;
    static const char *const words[] = {"->", "else"};
    for (size_t f = 0; f < MERIT_COUNT(words); f++) {
        struct run r;
        begin(&r);
        BUF_LIT(&r.text, head);
        for (int i = 0; i < 60; i++)
            buf_printf(&r.text, "path p%d = p%d %s p%d\n", i, i + 1, words[f], i + 1);
        BUF_LIT(&r.text, "path p60 = answer(m)\nroute r when a -> p0\n");
        BUF_LIT(&r.text, tail);
        load(&r);
        assert_only(&r, "limit", f == 0 ? "more than 64 steps" : "more than 64 chains");
        end(&r);
    }
    struct run r;
    begin(&r);
    BUF_LIT(&r.text, head);
    BUF_LIT(&r.text, "path p = answer(m)");
    for (int i = 0; i < 60; i++)
        BUF_LIT(&r.text, " else answer(m)");
    BUF_LIT(&r.text, "\n");
    for (int i = 0; i < 9000; i++)
        buf_printf(&r.text, "route r%d when a -> p\n", i);
    BUF_LIT(&r.text, tail);
    load(&r);
    assert_only(&r, "limit", "200000 steps together");
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_megabytes_are_one_error),
        cmocka_unit_test(words_and_statements_are_limited),
        cmocka_unit_test(many_errors_are_kept_to_a_few),
        cmocka_unit_test(wide_guards_and_many_routes_load),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(paths_that_double_end),
        cmocka_unit_test(ten_thousand_of_each_load),
        cmocka_unit_test(signals_of_signals_end),
        cmocka_unit_test(chains_that_double_end),
        cmocka_unit_test(long_names_and_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
