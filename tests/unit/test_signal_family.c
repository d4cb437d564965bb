// signal/: the families that read the request's shape, and what the plan does around them:
// thresholds, on_error, limits, costs, saved patterns, wrong definitions, memory that runs out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "helper/image_build.h"
#include "policy/policy.h"
#include "signal/artifacts.h"
#include "signal/plan.h"
#include "signal/registry.h"
#include "work/anchor.h"

struct desk {
    struct plan *plan;
    struct plan_scratch *scratch;
    struct arena arena;
};

static void desk_open(struct desk *d, const struct policy_image *image)
{
    arena_init(&d->arena, 4096, 64 * 1024 * 1024);
    assert_int_equal(plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &d->plan),
                     RESULT_OK);
    assert_int_equal(plan_scratch_open(d->plan, &d->scratch), RESULT_OK);
}

static void desk_close(struct desk *d)
{
    plan_scratch_close(d->scratch);
    plan_close(d->plan);
    arena_deinit(&d->arena);
}

static struct fact ask(struct desk *d, const struct work *w, int32_t signal)
{
    struct fact f;
    struct plan_run *run = plan_begin(d->plan, d->scratch, w, &d->arena, NULL);
    assert_non_null(run);
    assert_true(plan_compute(run, signal, &f));
    return f;
}

static struct fact know(struct desk *d, const struct work *w, int32_t signal)
{
    struct fact f = ask(d, w, signal);
    assert_int_equal(f.state, FACT_KNOWN);
    assert_int_equal(f.cost_ns, 0);
    return f;
}

static int32_t add_word(struct image_build *b, const char *family, const char *word)
{
    build_signal(b, family);
    if (word)
        build_word(b, NULL, word);
    return (int32_t)b->signal_count - 1;
}

static int32_t add_string(struct image_build *b, const char *family, const char *text)
{
    build_signal(b, family);
    build_string(b, NULL, text);
    return (int32_t)b->signal_count - 1;
}

// A conversation with everything in it: system, developer, user, two calls, results, answer, user,
// call, result, line.
static struct work rich_work(void)
{
    static struct work_part parts[12];
    static struct work_message messages[11];
    static const struct slice tools[] = {{"read", 4}, {"write", 5}};
    static const struct work_pair headers[] = {{{"x-team", 6}, {"blue", 4}},
                                               {{"x-empty", 7}, {"", 0}}};
    static const struct {
        enum work_role role;
        uint32_t calls;
        const char *text;
    } lines[] = {{WORK_SYSTEM, 0, "rules"},
                 {WORK_DEVELOPER, 0, "more rules"},
                 {WORK_USER, 0, "first task"},
                 {WORK_ASSISTANT, 2, ""},
                 {WORK_TOOL, 0, "one"},
                 {WORK_TOOL, 0, "two"},
                 {WORK_ASSISTANT, 0, "done"},
                 {WORK_USER, 0, "second task"},
                 {WORK_ASSISTANT, 1, ""},
                 {WORK_TOOL, 0, "three"},
                 {WORK_USER, 0, "Continue from the tool evidence."}};
    for (uint32_t i = 0; i < 11; i++) {
        messages[i] = (struct work_message){lines[i].role, i, 1, lines[i].calls, false};
        parts[i] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(lines[i].text)};
    }
    parts[11] = (struct work_part){.kind = WORK_FILE};
    messages[10].part_count = 1;
    struct work w = {.messages = messages,
                     .message_count = 11,
                     .parts = parts,
                     .part_count = 12,
                     .choices = 1,
                     .tool_names = tools,
                     .tool_count = 2,
                     .tool_required = true,
                     .format = WORK_FORMAT_SCHEMA,
                     .max_output_tok = 300,
                     .image_count = 2,
                     .audio_count = 1,
                     .headers = headers,
                     .header_count = 2,
                     .input_tok = 1234};
    w.metadata[0] = (struct work_pair){SLICE("project"), SLICE("billing")};
    w.metadata_count = 1;
    w.caller = (struct work_caller){.known = true,
                                    .id = SLICE("ann"),
                                    .team = SLICE("core"),
                                    .tenant = SLICE("acme"),
                                    .groups = {SLICE("dev"), SLICE("ops")},
                                    .group_count = 2};
    w.anchor = work_anchor(messages, 11, parts);
    assert_int_equal(w.anchor, 7);
    return w;
}

static void shapes_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *family, *word;
        double value;
        enum signal_type type;
    } cases[] = {
        {"conversation", "user", 3, SIGNAL_NUMBER},
        {"conversation", "assistant", 3, SIGNAL_NUMBER},
        {"conversation", "system", 1, SIGNAL_NUMBER},
        {"conversation", "developer", 1, SIGNAL_NUMBER},
        {"conversation", "tool", 3, SIGNAL_NUMBER},
        {"conversation", "messages", 11, SIGNAL_NUMBER},
        {"conversation", "turns", 2, SIGNAL_NUMBER},
        {"conversation", "tool_calls", 3, SIGNAL_NUMBER},
        {"conversation", "tool_cycles", 2, SIGNAL_NUMBER},
        {"conversation", "active_tool_loop", 1, SIGNAL_BOOL},
        {"modality", NULL, 3, SIGNAL_ENUM},
        {"modality", "images", 2, SIGNAL_NUMBER},
        {"modality", "audio", 1, SIGNAL_NUMBER},
        {"modality", "files", 1, SIGNAL_NUMBER},
        {"tools", NULL, 2, SIGNAL_NUMBER},
        {"tools", "required", 1, SIGNAL_BOOL},
        {"output", NULL, 2, SIGNAL_ENUM},
        {"output", "tokens", 300, SIGNAL_NUMBER},
        {"context", NULL, 1234, SIGNAL_NUMBER},
        {"caller", "known", 1, SIGNAL_BOOL},
    };
    struct image_build *b = build_new();
    struct desk d;
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        add_word(b, cases[i].family, cases[i].word);
    const struct policy_image *image = build_done(b);
    struct work w = rich_work();
    desk_open(&d, image);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct fact f = know(&d, &w, (int32_t)i);
        if (f.number != cases[i].value)
            fail_msg("%s(%s): %g", cases[i].family, cases[i].word ? cases[i].word : "", f.number);
        assert_int_equal(image_signal(image, (int32_t)i)->type, cases[i].type);
        assert_true(f.probability == 1);
    }
    // Without anything all are 0, the caller unknown.
    struct work none = {.anchor = WORK_NO_ANCHOR, .choices = 1};
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        assert_true(know(&d, &none, (int32_t)i).number == 0);
    // An answer without calls ends the loop.
    w.message_count = 8;
    assert_true(know(&d, &w, 9).number == 0);
    desk_close(&d);
    build_free(b);
}

static void texts_and_sets(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct desk d;
    int32_t project = add_string(b, "metadata", "project"),
            none = add_string(b, "metadata", "Project");
    int32_t team = add_string(b, "header", "X-Team"), empty = add_string(b, "header", "x-empty");
    int32_t id = add_word(b, "caller", "id"), tenant = add_word(b, "caller", "tenant");
    int32_t group = add_word(b, "caller", "group"), caller_team = add_word(b, "caller", "team");
    int32_t offered = add_string(b, "tools", "write"),
            not_offered = add_string(b, "tools", "Write");
    struct work w = rich_work();
    desk_open(&d, build_done(b));
    assert_true(slice_eq_cstr(know(&d, &w, project).text, "billing"));
    assert_true(slice_eq_cstr(know(&d, &w, none).text, ""));
    assert_true(slice_eq_cstr(know(&d, &w, team).text, "blue"));
    assert_true(slice_eq_cstr(know(&d, &w, empty).text, ""));
    assert_true(slice_eq_cstr(know(&d, &w, id).text, "ann"));
    assert_true(slice_eq_cstr(know(&d, &w, tenant).text, "acme"));
    assert_true(slice_eq_cstr(know(&d, &w, caller_team).text, "core"));
    struct fact f = know(&d, &w, group);
    assert_int_equal(f.text_count, 2);
    assert_true(slice_eq_cstr(f.texts[1], "ops"));
    assert_true(know(&d, &w, offered).number == 1);
    assert_true(know(&d, &w, not_offered).number == 0);
    // What an unknown caller's fields say does not count.
    w.caller.known = false;
    assert_true(slice_eq_cstr(know(&d, &w, id).text, ""));
    assert_int_equal(know(&d, &w, group).text_count, 0);
    desk_close(&d);
    build_free(b);
}

static struct work text_work(struct slice text)
{
    static struct work_part part;
    static struct work_message message;
    part = (struct work_part){.kind = WORK_TEXT, .text = text};
    message = (struct work_message){WORK_USER, 0, 1, 0, false};
    return (struct work){
        .messages = &message, .message_count = 1, .parts = &part, .part_count = 1, .choices = 1};
}

static void thresholds_are_strict(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct desk d;
    static const double thresholds[] = {1, 2, 3};
    for (size_t i = 0; i < 6; i++) {
        add_word(b, "structure", "words");
        build_above(b, i < 3, thresholds[i % 3]);
    }
    // An n-gram's likeness is searched for with a floor then.
    for (size_t i = 0; i < 2; i++) {
        build_signal(b, "keywords");
        build_string(b, "ngram", "two");
        build_above(b, i == 0, 1);
    }
    desk_open(&d, build_done(b));
    struct work w = text_work(SLICE("two words"));
    static const double want[] = {1, 0, 0, 0, 0, 1, 0, 0};
    for (int32_t i = 0; i < 8; i++)
        if (know(&d, &w, i).number != want[i])
            fail_msg("%d", i);
    w = text_work(SLICE("tow"));
    assert_true(know(&d, &w, 7).number == 1);
    desk_close(&d);
    build_free(b);
}

static void what_is_cut_fails_unless_decided(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct desk d;
    size_t size = SIGNAL_TEXT_MAX + 1000;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, "early", 5);
    memcpy(text + size - 10, " late end.", 10);
    int32_t early = add_string(b, "keywords", "early"), late = add_string(b, "keywords", "late");
    build_string(b, NULL, "never");
    int32_t none = add_string(b, "keywords", "early");
    build_word(b, "match", "none");
    int32_t words = add_word(b, "structure", "words");
    b->signals[late].error_number = 1;
    b->signals[words].error_number = 42;
    desk_open(&d, build_done(b));
    struct work w = text_work(slice_make(text, size));
    assert_true(know(&d, &w, early).number == 1);
    assert_true(know(&d, &w, none).number == 0);
    struct fact f = ask(&d, &w, late);
    assert_int_equal(f.state, FACT_FAILED);
    assert_int_equal(f.error, FACT_ERROR_LIMIT);
    assert_true(f.number == 1);
    f = ask(&d, &w, words);
    assert_int_equal(f.error, FACT_ERROR_LIMIT);
    assert_true(f.number == 42);
    // Text that is not UTF-8 is nobody's.
    w = text_work(SLICE("early \xFF"));
    f = ask(&d, &w, early);
    assert_int_equal(f.error, FACT_ERROR_INPUT);
    desk_close(&d);
    build_free(b);
    free(text);
}

static void parts_are_looked_at_one_by_one(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct desk d;
    int32_t two = add_string(b, "keywords", "stack trace"),
            second = add_string(b, "keywords", "trace");
    build_signal(b, "keywords");
    build_string(b, "fuzzy", "stack trace");
    desk_open(&d, build_done(b));
    struct work_part parts[] = {{.kind = WORK_TEXT, .text = SLICE("a stack")},
                                {.kind = WORK_IMAGE},
                                {.kind = WORK_TEXT, .text = SLICE("trace")}};
    struct work_message m = {WORK_USER, 0, 3, 0, false};
    struct work w = {
        .messages = &m, .message_count = 1, .parts = parts, .part_count = 3, .choices = 1};
    assert_true(know(&d, &w, two).number == 0);
    assert_true(know(&d, &w, 2).number == 0);
    struct fact f = know(&d, &w, second);
    assert_int_equal(f.evidence[0].part, 2);
    assert_int_equal(f.evidence[0].offset, 0);
    assert_int_equal(f.evidence[0].length, 5);
    desk_close(&d);
    build_free(b);
}

static uint64_t tick(void *ctx)
{
    return *(uint64_t *)ctx += 100;
}

// What the caller asserts comes as the policy's levels; any other word as "?", so that it can count as the top.
static void asserted_labels(void **state)
{
    (void)state;
    static const char policy[] =
        "policy \"p\" version 1\nlattice exposure = public < phi\nlattice region = eu < us\n"
        "zone z clears phi, us\nmodel m zone z endpoint demo context 8k tok\n"
        "signal data label exposure = max(caller)\nsignal said = caller(label)\n"
        "route r when data == phi and said -> answer(m)\notherwise -> answer(m)\n";
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 8);
    assert_int_equal(policy_load(slice_cstr(policy), &signal_registry, &arena, &diags, &image),
                     RESULT_OK);
    struct desk d;
    struct work w = rich_work();
    int32_t hidden = image_find_signal(image, SLICE("data.caller"));
    desk_open(&d, image);
    assert_true(know(&d, &w, hidden).text_count == 0);
    work_caller_label(&w.caller, SLICE(" us , phi,,sekret,PHI"));
    for (int i = 0; i < 2; i++) {
        struct fact f = know(&d, &w, i ? hidden : image_find_signal(image, SLICE("said")));
        static const char *const want[] = {"us", "phi", "?", "?"};
        assert_int_equal(f.text_count, 4);
        assert_true(f.number == 1);
        for (uint32_t k = 0; k < 4; k++)
            assert_true(slice_eq_cstr(f.texts[k], want[k]));
    }
    // More than there is room for: the last one says that there was more.
    work_caller_label(&w.caller, SLICE("public,public,public,public,public"));
    struct fact f = know(&d, &w, hidden);
    assert_int_equal(f.text_count, WORK_LABELS_MAX);
    assert_true(slice_eq_cstr(f.texts[WORK_LABELS_MAX - 1], "?"));
    w.caller.known = false;
    assert_true(know(&d, &w, hidden).text_count == 0);
    desk_close(&d);
    arena_deinit(&arena);
}

static void costs_come_from_the_callers_clock(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct desk d;
    add_string(b, "keywords", "word");
    desk_open(&d, build_done(b));
    uint64_t now = 0;
    struct plan_clock clock = {tick, &now};
    struct work w = text_work(SLICE("a word"));
    struct plan_run *run = plan_begin(d.plan, d.scratch, &w, &d.arena, &clock);
    struct fact f;
    assert_true(plan_compute(run, 0, &f));
    assert_int_equal(f.cost_ns, 100);
    assert_int_equal(now, 200);
    assert_string_equal(plan_family(d.plan, 0)->name, "keywords");
    desk_close(&d);
    build_free(b);
}

static void saved_patterns_are_used(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    struct buf saved;
    struct plan *plan, *again;
    add_string(b, "keywords", "word");
    build_string(b, "regex", "\\d{4}");
    const struct policy_image *image = build_done(b);
    buf_init(&saved, 1 << 20);
    assert_int_equal(plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &plan), RESULT_OK);
    assert_false(plan_loaded_saved(plan));
    assert_int_equal(plan_save_patterns(plan, &saved), RESULT_OK);
    assert_int_equal(plan_open(image, &signal_registry, NULL, buf_slice(&saved), NULL, &again),
                     RESULT_OK);
    assert_true(plan_loaded_saved(again));
    plan_close(again);
    // Damaged ones are compiled anew.
    saved.ptr[saved.len - 1] ^= 1;
    assert_int_equal(plan_open(image, &signal_registry, NULL, buf_slice(&saved), NULL, &again),
                     RESULT_OK);
    assert_false(plan_loaded_saved(again));
    plan_close(again);
    plan_close(plan);
    buf_deinit(&saved);
    build_free(b);
}

static void wrong_definitions_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *family, *tag, *text;
        enum result result;
    } cases[] = {
        {"keywords", "regex", "a(", RESULT_SYNTAX},
        {"keywords", "regex", "x*", RESULT_SYNTAX},
        {"keywords", "fuzzy", "...", RESULT_SYNTAX},
        {"keywords", NULL, "", RESULT_SYNTAX},
        {"header", NULL, "Authorization", RESULT_SYNTAX},
        {"header", NULL, "cookie", RESULT_SYNTAX},
        {"header", NULL, "X-Merit-Route", RESULT_SYNTAX},
        {"header", NULL, "a b", RESULT_SYNTAX},
        {"header", NULL, "x-api-key", RESULT_SYNTAX},
        {"metadata", NULL, "", RESULT_SYNTAX},
        {"nonsense", NULL, "x", RESULT_NOT_FOUND},
        {"keywords", "ngram",
         "a phrase that is far too long for being compared by its n-grams, really", RESULT_LIMIT},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct image_build *b = build_new();
        struct arena arena;
        struct diag_list diags;
        struct plan *plan = NULL;
        arena_init(&arena, 0, 1 << 20);
        diag_init(&diags, &arena, 10);
        build_signal(b, cases[i].family);
        build_string(b, cases[i].tag, cases[i].text);
        enum result r =
            plan_open(build_done(b), &signal_registry, NULL, SLICE_EMPTY, &diags, &plan);
        if (r != cases[i].result)
            fail_msg("%s \"%s\": %s", cases[i].family, cases[i].text, result_name(r));
        assert_int_equal(diags.errors, 1);
        arena_deinit(&arena);
        build_free(b);
    }
}

static void build_all(struct image_build *b)
{
    add_string(b, "keywords", "word");
    build_string(b, "regex", "\\d+");
    build_signal(b, "keywords");
    build_string(b, "bm25", "some words");
    build_string(b, NULL, "others");
    build_signal(b, "keywords");
    build_string(b, "ngram", "some words");
    build_signal(b, "keywords");
    build_string(b, "ngram", "some words");
    build_above(b, true, 0.6);
    build_signal(b, "keywords");
    build_string(b, "fuzzy", "something");
    add_word(b, "structure", "questions");
    build_signal(b, "structure");
    build_string(b, "sequence", "some");
    build_string(b, NULL, "words");
    build_signal(b, "structure");
    build_string(b, "density", "\\w");
    add_word(b, "caller", "id");
}

static enum result all_of_it(const struct policy_image *image, uint32_t *failed)
{
    struct plan *plan = NULL;
    struct plan_scratch *scratch = NULL;
    struct arena arena;
    struct work w = text_work(SLICE("some words, 12 of them? somethign"));
    arena_init(&arena, 64, 1 << 20);
    enum result r = plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &plan);
    if (!r)
        r = plan_scratch_open(plan, &scratch);
    struct plan_run *run = r ? NULL : plan_begin(plan, scratch, &w, &arena, NULL);
    if (!r && !run)
        r = RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < image->signals.count; i++) {
        struct fact f;
        assert_true(plan_compute(run, (int32_t)i, &f));
        if (f.state == FACT_FAILED) {
            assert_int_equal(f.error, FACT_ERROR_NOMEM);
            assert_true(f.number == 7);
            ++*failed;
        }
    }
    plan_scratch_close(scratch);
    plan_close(plan);
    arena_deinit(&arena);
    return r;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct image_build *b = build_new();
    build_all(b);
    for (uint32_t i = 0; i < b->signal_count; i++)
        b->signals[i].error_number = 7;
    const struct policy_image *image = build_done(b);
    uint32_t failed_facts = 0, failed_opens = 0;
    for (int forever = 0; forever < 2; forever++)
        for (uint64_t n = 1;; n++) {
            uint32_t failed = 0;
            alloc_fail_at(n, forever);
            enum result r = all_of_it(image, &failed);
            alloc_fail_at(0, 0);
            assert_true(r == RESULT_OK || r == RESULT_NOMEM);
            failed_facts += failed > 0;
            failed_opens += r == RESULT_NOMEM;
            if (r == RESULT_OK && failed == 0)
                break;
            assert_true(n < 1000);
        }
    assert_true(failed_facts >= 4 && failed_opens > 4);
    build_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_are_counted),
        cmocka_unit_test(texts_and_sets),
        cmocka_unit_test(asserted_labels),
        cmocka_unit_test(thresholds_are_strict),
        cmocka_unit_test(what_is_cut_fails_unless_decided),
        cmocka_unit_test(parts_are_looked_at_one_by_one),
        cmocka_unit_test(costs_come_from_the_callers_clock),
        cmocka_unit_test(saved_patterns_are_used),
        cmocka_unit_test(wrong_definitions_are_named),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
