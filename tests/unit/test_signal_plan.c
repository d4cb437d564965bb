// signal/: every family through the plan, with what the policy would write.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "helper/image_build.h"
#include "signal/artifacts.h"
#include "signal/plan.h"
#include "work/anchor.h"

// One work of one user message, unless a test adds to it.
struct bench {
    struct work work;
    struct work_message messages[8];
    struct work_part parts[8];
    struct arena arena;
    struct plan *plan;
    struct plan_scratch *scratch;
    struct plan_run *run;
};

static void say(struct bench *x, enum work_role role, const char *text)
{
    struct work *w = &x->work;
    x->messages[w->message_count++] = (struct work_message){role, w->part_count, 1, 0, false};
    x->parts[w->part_count++] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(text)};
    w->messages = x->messages;
    w->parts = x->parts;
    w->anchor = work_anchor(x->messages, w->message_count, x->parts);
}

static void bench_open(struct bench *x, const struct policy_image *image)
{
    arena_init(&x->arena, 16384, 8 * 1024 * 1024);
    x->work.choices = 1;
    assert_int_equal(plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &x->plan),
                     RESULT_OK);
    assert_int_equal(plan_scratch_open(x->plan, &x->scratch), RESULT_OK);
}

static struct fact ask(struct bench *x, int32_t signal)
{
    struct fact f;
    if (!x->run)
        x->run = plan_begin(x->plan, x->scratch, &x->work, &x->arena, NULL);
    assert_non_null(x->run);
    assert_true(plan_compute(x->run, signal, &f));
    assert_int_equal(f.state, FACT_KNOWN);
    return f;
}

static void bench_close(struct bench *x)
{
    plan_scratch_close(x->scratch);
    plan_close(x->plan);
    arena_deinit(&x->arena);
}

static void assert_evidence(const struct bench *x, const struct fact *f, uint32_t i,
                            const char *text)
{
    assert_true(i < f->evidence_count);
    const struct evidence *e = &f->evidence[i];
    const struct work_message *m = &x->work.messages[e->message];
    struct slice s = x->work.parts[m->part_first + e->part].text;
    assert_true(e->offset <= s.len && e->length <= s.len - e->offset);
    s = slice_make(s.ptr + e->offset, e->length);
    if (!slice_eq_cstr(s, text))
        fail_msg("evidence \"%.*s\", not \"%s\"", SLICE_FMT(s), text);
}

static void keywords_literal_and_regex(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    build_signal(b, "keywords"); // 0
    build_string(b, NULL, "Kubernetes");
    build_string(b, NULL, "docker compose");
    build_signal(b, "keywords"); // 1
    build_string(b, NULL, "kubernetes");
    build_string(b, NULL, "terraform");
    build_word(b, "match", "all");
    build_signal(b, "keywords"); // 2
    build_string(b, NULL, "terraform");
    build_word(b, "match", "none");
    build_signal(b, "keywords"); // 3
    build_string(b, NULL, "Kubernetes");
    build_word(b, "case", "on");
    build_signal(b, "keywords"); // 4
    build_string(b, "regex", "pods?\\s+\\d+");
    build_string(b, NULL, "never here");
    build_signal(b, "keywords"); // 5: no word boundary inside words
    build_string(b, NULL, "cat");
    build_signal(b, "keywords"); // 6
    build_string(b, NULL, "银行");
    build_signal(b, "keywords"); // 7
    build_string(b, NULL, "ÉTÉ");
    build_signal(b, "keywords"); // 8
    build_string(b, "regex", "\\bpod\\w*");
    struct bench x = {0};
    say(&x, WORK_USER, "How do I scale kubernetes? concatenate 12 pods  345, 我的银行账户 en été.");
    bench_open(&x, build_done(b));
    struct fact f = ask(&x, 0);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.evidence_total, 1);
    assert_evidence(&x, &f, 0, "kubernetes");
    assert_int_equal(f.evidence[0].argument, 0);
    assert_int_equal(ask(&x, 1).number, 0);
    assert_int_equal(ask(&x, 2).number, 1);
    assert_int_equal(ask(&x, 3).number, 0);
    f = ask(&x, 4);
    assert_int_equal(f.number, 1);
    assert_evidence(&x, &f, 0, "pods  345");
    assert_int_equal(ask(&x, 5).number, 0);
    f = ask(&x, 6);
    assert_int_equal(f.number, 1);
    assert_evidence(&x, &f, 0, "银行");
    f = ask(&x, 7);
    assert_evidence(&x, &f, 0, "été");
    f = ask(&x, 8);
    assert_evidence(&x, &f, 0, "pods");
    bench_close(&x);
    build_free(b);
}

static void keywords_similar(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    build_signal(b, "keywords"); // 0
    build_string(b, "fuzzy", "kubernetes");
    build_number(b, "distance", 2);
    build_signal(b, "keywords"); // 1
    build_string(b, "bm25", "deploy clusters with containers");
    build_string(b, NULL, "cooking pasta and sauces");
    build_signal(b, "keywords"); // 2
    build_string(b, "ngram", "machine learning");
    build_number(b, "arity", 3);
    build_signal(b, "keywords"); // 3
    build_string(b, "bm25", "cooking pasta");
    build_above(b, true, 0.1);
    build_signal(b, "keywords"); // 4
    build_string(b, "fuzzy", "cat");
    struct bench x = {0};
    say(&x, WORK_USER, "Deploying a kubernetse cluster for machine-learnin, and a cap");
    bench_open(&x, build_done(b));
    struct fact f = ask(&x, 0);
    assert_int_equal(f.number, 1);
    assert_evidence(&x, &f, 0, "kubernetse");
    f = ask(&x, 1);
    assert_true(f.number > 0.5);
    assert_evidence(&x, &f, 0, "Deploying");
    f = ask(&x, 2);
    assert_true(f.number > 0.6 && f.number < 1);
    assert_evidence(&x, &f, 0, "machine-learnin");
    assert_int_equal(ask(&x, 3).number, 0);
    assert_int_equal(ask(&x, 4).number, 0);
    bench_close(&x);
    build_free(b);
}

static void structure_counts(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        double value;
    } wanted[] = {{"questions", 2},     {"code_blocks", 1}, {"list_items", 4}, {"numbers", 7},
                  {"ordered_steps", 3}, {"links", 2},       {"words", 39},     {"chars", 159}};
    struct image_build *b = build_new();
    for (size_t i = 0; i < MERIT_COUNT(wanted); i++) {
        build_signal(b, "structure");
        build_word(b, NULL, wanted[i].kind);
    }
    build_signal(b, "structure");
    build_word(b, NULL, "sequence");
    build_string(b, NULL, "first");
    build_string(b, NULL, "then");
    build_signal(b, "structure");
    build_word(b, NULL, "sequence");
    build_string(b, NULL, "then");
    build_string(b, NULL, "first");
    build_signal(b, "structure");
    build_word(b, NULL, "density");
    build_string(b, "regex", "\\d+");
    struct bench x = {0};
    say(&x, WORK_USER,
        "What is 3.14?! See http://a.b/c?d=1 or www.example.org\n"
        "1. first, do v2\n2) then 1,000\n- item 银行\n* other?\n"
        "```c\nint x = 5; // why?\n- no item\n```\nStep 3: end 12:30");
    bench_open(&x, build_done(b));
    for (size_t i = 0; i < MERIT_COUNT(wanted); i++) {
        struct fact f = ask(&x, (int32_t)i);
        if (f.number != wanted[i].value)
            fail_msg("%s: %g, not %g", wanted[i].kind, f.number, wanted[i].value);
    }
    struct fact f = ask(&x, 8);
    assert_int_equal(f.number, 1);
    assert_evidence(&x, &f, 0, "first");
    assert_evidence(&x, &f, 1, "then");
    assert_int_equal(ask(&x, 9).number, 0);
    f = ask(&x, 10);
    assert_true(f.number == 12.0 / 39);
    bench_close(&x);
    build_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_literal_and_regex),
        cmocka_unit_test(keywords_similar),
        cmocka_unit_test(structure_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
