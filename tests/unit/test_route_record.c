// The record of a decision: both forms are JSON, say what the struct says, and give back every value exactly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "route/explain.h"
#include "route/record.h"
#include "support/image_builder.h"
#include "text/json.h"

enum { FLAG, AMOUNT, TOPIC, NAME, TAGS, UNASKED, SIGNALS };

struct fixture {
    struct image_builder b;
    struct arena arena;
    struct buf out;
    const struct policy_image *image;
    struct fact facts[SIGNALS];
    struct route_outcome routes[2];
    struct model_outcome models[3];
    struct decision d;
    struct work work;
    struct work_part part;
    struct work_message message;
};

static struct fixture f;
static const struct slice tags[] = {{"eu", 2}, {"a\"b\n", 4}};

static void fill_facts(void)
{
    f.facts[FLAG] =
        (struct fact){.state = FACT_KNOWN, .number = 1, .probability = 1, .cost_ns = 1234};
    f.facts[FLAG].evidence[0] = (struct evidence){0, 0, 6, 5, 1};
    f.facts[FLAG].evidence_count = 1;
    f.facts[FLAG].evidence_total = 7;
    f.facts[AMOUNT] = (struct fact){.state = FACT_KNOWN, .number = 0.1, .probability = 0.25f};
    f.facts[TOPIC] = (struct fact){.state = FACT_GIVEN, .number = 1, .probability = 1};
    f.facts[NAME] = (struct fact){.state = FACT_FAILED, .error = FACT_ERROR_DEADLINE};
    f.facts[NAME].text = SLICE("caf\xc3\xa9");
    f.facts[TAGS] = (struct fact){.state = FACT_KNOWN, .texts = tags, .text_count = 2};
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    ib_init(&f.b);
    arena_init(&f.arena, 1 << 16, 1 << 24);
    buf_init(&f.out, 1 << 20);
    static const char *const names[] = {"flag", "amount", "topic", "name", "tags", "unasked"};
    static const enum signal_type types[] = {SIGNAL_BOOL, SIGNAL_NUMBER, SIGNAL_ENUM,
                                             SIGNAL_TEXT, SIGNAL_SET,    SIGNAL_BOOL};
    for (int i = 0; i < SIGNALS; i++)
        ib_signal(&f.b, names[i], types[i]);
    const struct image_str words[] = {ib_str(&f.b, "law"), ib_str(&f.b, "health")};
    f.b.signals[TOPIC].words = IB_LIST(&f.b, words, 2);
    ib_model(&f.b, "small");
    ib_model(&f.b, "large")->upstream_name = ib_str(&f.b, "gpt \"5\"");
    ib_model(&f.b, "other");
    ib_atom(&f.b, FLAG, IMAGE_OP_TRUE, 0, "flag");
    const struct image_node guard = {IMAGE_NODE_ATOM, 0, 1};
    ib_route(&f.b, "first", &guard, 1, ib_refuse(&f.b, "no"));
    ib_route(&f.b, "rest", NULL, 0, ib_refuse(&f.b, "no"));
    f.image = ib_finish(&f.b);
    fill_facts();
    f.routes[0] = (struct route_outcome){ROUTE_FALSE, 0};
    f.routes[1] = (struct route_outcome){ROUTE_MATCHED, IMAGE_NONE};
    f.models[0] = (struct model_outcome){MODEL_LACKS, WORK_NEED_TOOLS | WORK_NEED_JSON, 0, -1, -1};
    f.models[1] = (struct model_outcome){MODEL_CHOSEN, 0, 0, 1234567, -1};
    f.models[2] = (struct model_outcome){MODEL_WINDOW, 0, 9000, 5, -1};
    record_id(1795257000123456u, 0x123456789abcdu, f.d.id);
    f.d.wall_us = 1795257000123456u;
    f.d.image = f.image;
    f.d.pool_epoch = 3;
    f.d.route = f.d.model = 1;
    f.d.effort = IMAGE_EFFORT_HIGH;
    f.d.model_asked = SLICE("auto");
    f.d.facts = f.facts;
    f.d.route_outcomes = f.routes;
    f.d.model_outcomes = f.models;
    f.d.input_tok = 412;
    f.d.output_tok = 256;
    f.d.cost_nusd = 1234567;
    f.d.decide_ns = 2100;
    f.d.avoided_ns = 15;
    f.d.message_count = 1;
    f.part = (struct work_part){WORK_TEXT, SLICE("hello world"), SLICE("hello world")};
    f.message = (struct work_message){.role = WORK_USER, .part_count = 1};
    f.work.messages = &f.message;
    f.work.parts = &f.part;
    f.work.message_count = f.work.part_count = 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&f.out);
    arena_deinit(&f.arena);
    ib_deinit(&f.b);
    return 0;
}

static struct json parse(void)
{
    struct json j;
    assert_int_equal(buf_result(&f.out), RESULT_OK);
    assert_int_equal(json_parse(&j, buf_slice(&f.out), &json_limits_default, &f.arena), RESULT_OK);
    return j;
}

static uint32_t at(const struct json *j, uint32_t array, uint32_t index)
{
    uint32_t pos = 0, value = JSON_NONE;
    for (uint32_t i = 0; i <= index; i++)
        assert_true(json_element(j, array, &pos, &value));
    return value;
}

static uint32_t get(const struct json *j, uint32_t object, const char *name)
{
    bool twice = false;
    uint32_t v = json_get(j, object, slice_cstr(name), &twice);
    assert_false(twice);
    assert_true(v != JSON_NONE);
    return v;
}

static bool raw_is(const struct json *j, uint32_t token, const char *text)
{
    return slice_eq_cstr(json_raw(j, token), text);
}

static void full_form(void **state)
{
    (void)state;
    record_json(&f.d, NULL, &f.out);
    struct json j = parse();
    assert_true(raw_is(&j, get(&j, 0, "schema"), "1"));
    assert_true(raw_is(&j, get(&j, 0, "time"), "2026-11-21T10:30:00.123456Z"));
    assert_true(raw_is(&j, get(&j, 0, "route"), "rest"));
    assert_true(raw_is(&j, get(&j, 0, "model"), "large"));
    assert_true(json_string_is(&j, get(&j, 0, "upstream_model"), SLICE("gpt \"5\"")));
    assert_true(raw_is(&j, get(&j, 0, "effort"), "high"));
    assert_true(raw_is(&j, get(&j, 0, "cost_usd"), "0.001234567"));
    assert_true(raw_is(&j, get(&j, 0, "decide_us"), "2.1"));
    assert_true(raw_is(&j, get(&j, 0, "avoided_us"), "0.015"));
    assert_int_equal(json_type(&j, get(&j, 0, "message")), JSON_NULL);
    uint32_t signals = get(&j, 0, "signals");
    uint32_t s = at(&j, signals, FLAG);
    assert_true(raw_is(&j, get(&j, s, "value"), "true"));
    uint32_t e = at(&j, get(&j, s, "evidence"), 0);
    assert_true(raw_is(&j, get(&j, e, "offset"), "6"));
    assert_int_equal(json_get(&j, e, SLICE("text"), NULL), JSON_NONE);
    assert_true(raw_is(&j, get(&j, s, "evidence_total"), "7"));
    assert_true(raw_is(&j, get(&j, at(&j, signals, AMOUNT), "value"), "0.1"));
    assert_true(raw_is(&j, get(&j, at(&j, signals, TOPIC), "value"), "health"));
    assert_true(raw_is(&j, get(&j, at(&j, signals, NAME), "error"), "deadline"));
    assert_true(raw_is(&j, get(&j, at(&j, signals, UNASKED), "state"), "avoided"));
    uint32_t models = get(&j, 0, "models");
    assert_true(raw_is(&j, at(&j, get(&j, at(&j, models, 0), "missing"), 1), "json"));
    assert_int_equal(json_type(&j, get(&j, at(&j, models, 0), "cost_usd")), JSON_NULL);
    assert_true(raw_is(&j, get(&j, at(&j, models, 2), "need_tok"), "9000"));
    uint32_t route = at(&j, get(&j, 0, "routes"), 0);
    assert_true(raw_is(&j, get(&j, route, "atom"), "flag"));
}

static void text_only_when_asked(void **state)
{
    (void)state;
    const struct record_options o = {&f.work, true};
    record_json(&f.d, &o, &f.out);
    struct json j = parse();
    uint32_t e = at(&j, get(&j, at(&j, get(&j, 0, "signals"), FLAG), "evidence"), 0);
    assert_true(raw_is(&j, get(&j, e, "text"), "world"));
    // Places that do not exist are empty, not read.
    f.facts[FLAG].evidence[0] = (struct evidence){5, 0, 0, 10, 0};
    buf_reset(&f.out);
    record_json(&f.d, &o, &f.out);
    f.facts[FLAG].evidence[0] = (struct evidence){0, 0, 4000000000u, 4000000000u, 0};
    record_json(&f.d, &o, &f.out);
    buf_reset(&f.out);
    record_compact(&f.d, &f.out);
    assert_true(slice_find(buf_slice(&f.out), SLICE("world")) < 0);
}

static void compact_form(void **state)
{
    (void)state;
    record_compact(&f.d, &f.out);
    struct json j = parse();
    assert_true(raw_is(&j, get(&j, 0, "v"), "1"));
    assert_true(raw_is(&j, get(&j, 0, "r"), "1"));
    assert_true(raw_is(&j, get(&j, 0, "m"), "1"));
    assert_true(raw_is(&j, get(&j, 0, "cost"), "1234567"));
    assert_true(raw_is(&j, get(&j, 0, "policy"), "01080f161d242b32"));
    uint32_t signals = get(&j, 0, "signals"), s = at(&j, signals, 0);
    assert_true(raw_is(&j, s, "[0,1,1,1,1234,0,7,[0,0,6,5,1]]"));
    assert_true(raw_is(&j, at(&j, signals, 1), "[1,1,0.1,0.25,0,0,0]"));
    assert_true(raw_is(&j, at(&j, signals, 3), "[3,3,\"caf\xc3\xa9\",0,0,4,0]"));
    assert_true(json_string_is(&j, at(&j, at(&j, at(&j, signals, 4), 2), 1), SLICE("a\"b\n")));
    assert_true(raw_is(&j, get(&j, 0, "routes"), "[[1,0],[2,-1]]"));
    assert_true(raw_is(&j, get(&j, 0, "models"), "[[5,-1,17],[0,1234567],[6,5,9000]]"));
}

// A compact line holds everything: read back, it gives the same full form.
static void compact_reads_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct buf again;
        struct decision *d;
        f.d.end = kind == 1 ? DECISION_REFUSE : DECISION_ANSWER;
        f.d.message = kind == 1 ? SLICE("no") : SLICE_EMPTY;
        f.d.model_asked = kind == 2 ? SLICE("gpt \"5\"") : kind == 3 ? SLICE_EMPTY : SLICE("auto");
        f.d.anchor = kind == 3 ? WORK_NO_ANCHOR : 0;
        f.d.cost_nusd = kind == 3 ? -1 : 1234567;
        f.d.observed = kind == 2;
        f.d.late = kind == 3;
        f.d.costs_epoch = kind == 2 ? 0 : (UINT64_C(1) << 48) - 1;
        f.facts[FLAG].step = kind == 2 ? 0 : 700;
        f.facts[FLAG].share = (enum fact_share)(kind % 3);
        f.facts[AMOUNT].step = 3;
        buf_reset(&f.out);
        record_compact(&f.d, &f.out);
        assert_int_equal(record_read(f.image, buf_slice(&f.out), &f.arena, &d), RESULT_OK);
        buf_init(&again, 1 << 20);
        record_json(d, NULL, &again);
        buf_reset(&f.out);
        record_json(&f.d, NULL, &f.out);
        assert_true(slice_eq(buf_slice(&f.out), buf_slice(&again)));
        assert_int_equal(d->facts[FLAG].step, f.facts[FLAG].step);
        assert_int_equal(d->facts[FLAG].share, f.facts[FLAG].share);
        assert_int_equal(d->costs_epoch, f.d.costs_epoch);
        assert_int_equal(d->late, kind == 3);
        buf_deinit(&again);
    }
}

// Nothing that is no such line is taken for one, and no part of one is read out of bounds.
static void damaged_lines_are_refused(void **state)
{
    (void)state;
    struct rng r;
    struct decision *d;
    rng_seed(&r, 3);
    record_compact(&f.d, &f.out);
    char line[2048];
    size_t n = f.out.len;
    assert_true(n < sizeof line);
    assert_int_not_equal(record_read(f.image, SLICE("{}"), &f.arena, &d), RESULT_OK);
    assert_int_not_equal(record_read(f.image, SLICE("[]"), &f.arena, &d), RESULT_OK);
    // A probability that is none.
    ptrdiff_t told = slice_find(buf_slice(&f.out), SLICE(",0.25"));
    assert_true(told > 0);
    memcpy(line, f.out.ptr, n);
    line[told + 1] = '7';
    assert_int_not_equal(record_read(f.image, slice_make(line, n), &f.arena, &d), RESULT_OK);
    for (int i = 0; i < 20000; i++) {
        memcpy(line, f.out.ptr, n);
        for (uint64_t k = 0; k <= rng_below(&r, 3); k++)
            line[rng_below(&r, n)] = "0123456789,[]{}\":-x"[rng_below(&r, 19)];
        arena_reset(&f.arena);
        if (record_read(f.image, slice_make(line, n), &f.arena, &d))
            continue;
        struct buf out;
        buf_init(&out, 1 << 20);
        record_json(d, NULL, &out);
        assert_int_equal(buf_result(&out), RESULT_OK);
        buf_deinit(&out);
    }
}

// Every number comes back as the same double, in both forms.
static void numbers_are_exact(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_next(&r);
        double v;
        switch (i % 5) {
        case 0:
            memcpy(&v, &bits, sizeof v);
            break;
        case 1:
            v = (double)(int64_t)(bits % 2000001) - 1000000;
            break;
        case 2:
            v = (double)(bits % 1000000) / 1000;
            break;
        case 3:
            v = rng_unit(&r);
            break;
        default:
            v = (double)(int64_t)bits / 1e6;
        }
        if (v != v || v - v != 0)
            continue;
        f.facts[AMOUNT].number = v;
        buf_reset(&f.out);
        record_value(f.image, AMOUNT, &f.facts[AMOUNT], &f.out);
        buf_byte(&f.out, '\0');
        double back = strtod(f.out.ptr, NULL);
        if (back != v)
            print_error("%.17g written as %s\n", v, f.out.ptr);
        assert_true(back == v);
    }
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    char a[DECISION_ID_LEN + 1], b[DECISION_ID_LEN + 1];
    record_id(1795257000123000u, UINT64_MAX, a);
    record_id(1795257000124000u, 0, b);
    assert_int_equal(strlen(a), DECISION_ID_LEN);
    assert_true(strcmp(a, b) < 0);
    assert_memory_equal(b + 10, "0000000000", 10);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const struct explain_options o = {.work = &f.work};
    for (uint64_t n = 1;; n++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        alloc_fail_at(n, 0);
        record_json(&f.d, NULL, &out);
        record_compact(&f.d, &out);
        explain_text(&f.d, &o, &out);
        alloc_fail_at(0, 0);
        enum result r = buf_result(&out);
        buf_deinit(&out);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        if (!r && n > 20)
            break;
    }
    enum result r = RESULT_LIMIT;
    for (size_t cap = 0; r; cap += 7) {
        struct buf out;
        buf_init(&out, cap);
        record_compact(&f.d, &out);
        record_json(&f.d, NULL, &out);
        explain_text(&f.d, &o, &out);
        r = buf_result(&out);
        assert_true(r == RESULT_LIMIT || (r == RESULT_OK && cap > 2000));
        assert_true(out.len <= cap);
        buf_deinit(&out);
    }
}

static const char expected[] =
    "route     rest (line 2)\n"
    "path      answer\n"
    "model     large, effort high\n"
    "expected  0.001234567 usd (about 412 tokens in, 256 out)\n"
    "decided   by the routes, asked for \"auto\", in 2.1 us\n"
    "\n"
    "Signals\n"
    "  flag     true        p 1.00   1.2 us   \"world\" and 6 more\n"
    "  amount   0.1         p 0.25\n"
    "  topic    health      given\n"
    "  name     caf\xc3\xa9        on_error          could not be computed: deadline\n"
    "  tags     [\"eu\",\"a\\\"b\\n\"]  p 0.00\n"
    "\n"
    "Not computed\n"
    "  unasked\n"
    "  they cannot change the outcome; saved about 15 ns\n"
    "\n"
    "Why no earlier route\n"
    "  first    flag holds\n"
    "\n"
    "Why no other model\n"
    "  small    unknown          cannot do what is needed: tools, json\n"
    "  other    0.000000005 usd  needs 9000 tokens, its window has 0\n";

static void for_people(void **state)
{
    (void)state;
    struct explain_options o = {.work = &f.work};
    explain_text(&f.d, &o, &f.out);
    buf_byte(&f.out, '\0');
    assert_string_equal(f.out.ptr, expected);
    // An excerpt never breaks the page: control characters are spaces, long ones are cut.
    static char text[400];
    memset(text, 'x', sizeof text);
    text[3] = '\n';
    text[4] = '\033';
    f.part.text = slice_make(text, sizeof text);
    f.facts[FLAG].evidence[0] = (struct evidence){0, 0, 0, sizeof text, 0};
    buf_reset(&f.out);
    explain_text(&f.d, &o, &f.out);
    struct slice rest = buf_slice(&f.out), line;
    while (slice_split(&rest, '\n', &line)) {
        assert_true(line.len <= 101);
        assert_null(memchr(line.ptr, '\033', line.len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_only_when_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compact_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compact_reads_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lines_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_sort_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(for_people, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
