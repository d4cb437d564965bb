// api/effort: of random bodies that say in several places how much to think, what is sent says what was decided, once, and
// nothing else of it; every other member is there as it was, byte for byte and in its order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/effort.h"
#include "base/rng.h"

enum { BODIES = 20000, BODY_MAX = 16384, KNOBS_ASKED = 12 };

static const char *const knob_names[] = {
    "reasoning_effort", "thinking", "enable_thinking",    "thinking_budget", "think",
    "thinking_config",  "my_knob",  "max_thinking_tokens"};
static const char *const holders[] = {"extra_body", "chat_template_kwargs", "google",
                                      "generationConfig"};
static const char *const others[] = {"temperature", "top_p",  "thinkers", "thought",   "my_data",
                                     "reason",      "effort", "enabled",  "logit_bias"};
static const char *const values[] = {
    "true",     "false",     "0",        "1024",
    "\"high\"", "\"low\"",   "\"none\"", "{\"type\":\"enabled\",\"budget_tokens\":5}",
    "[1,2]",    "\"weird\"", "null",     "{ \"type\" : \"disabled\" }"};
static const char *const plain[] = {
    "1", "\"x,}\\\"thinking\\\":\"", "{\"thinking\":true}", "[ {} ]", "null", "-1.5e3"};

static struct {
    struct policy_image image;
    struct image_model model;
    char name[32];
} policy;

struct maker {
    struct rng rng;
    char *at, *end;
    uint32_t knobs;
    bool top_effort, top_kwargs; // may stand once
};

static uint32_t below(struct maker *m, uint32_t n)
{
    return (uint32_t)(rng_next(&m->rng) % n);
}

static void text(struct maker *m, const char *s)
{
    size_t n = strlen(s);
    assert_true((size_t)(m->end - m->at) > n);
    memcpy(m->at, s, n);
    m->at += n;
}

static void space(struct maker *m)
{
    static const char *const spaces[] = {"", "", "", " ", "\n  ", "\t"};
    text(m, spaces[below(m, 6)]);
}

// The name, perhaps with letters escaped, and with `change` in another case or with other marks.
static void name(struct maker *m, const char *s, bool change)
{
    text(m, "\"");
    for (; *s; s++) {
        char one[8] = {*s, 0};
        bool letter = *s >= 'a' && *s <= 'z';
        if (change && *s == '_' && below(m, 4) == 0)
            one[0] = "-_"[below(m, 2)];
        else if (change && letter && below(m, 8) == 0)
            one[0] = (char)(*s - 32);
        if (below(m, 8) == 0)
            snprintf(one, sizeof one, "\\u%04x", (unsigned char)one[0]);
        text(m, one);
    }
    text(m, "\":");
    space(m);
}

static void members(struct maker *m, int depth);

static void member(struct maker *m, int depth)
{
    uint32_t kind = below(m, 10);
    if (kind < 4 && m->knobs < KNOBS_ASKED) {
        const char *which = knob_names[below(m, MERIT_COUNT(knob_names))];
        bool once = depth == 0 && strcmp(which, "reasoning_effort") == 0;
        if (once && m->top_effort)
            which = "think";
        m->top_effort |= once;
        m->knobs++;
        name(m, which, !once);
        text(m, values[below(m, MERIT_COUNT(values))]);
    } else if (kind < 6 && depth < 3) {
        const char *which = holders[below(m, MERIT_COUNT(holders))];
        bool once = depth == 0 && strcmp(which, "chat_template_kwargs") == 0;
        if (once && m->top_kwargs)
            which = "extra_body";
        m->top_kwargs |= once;
        name(m, which, !once);
        text(m, "{");
        members(m, depth + 1);
        text(m, "}");
    } else {
        name(m, others[below(m, MERIT_COUNT(others))], false);
        text(m, plain[below(m, MERIT_COUNT(plain))]);
    }
}

static void members(struct maker *m, int depth)
{
    uint32_t n = below(m, depth ? 4 : 9);
    for (uint32_t i = 0; i < n; i++) {
        space(m);
        member(m, depth);
        space(m);
        if (i + 1 < n)
            text(m, ",");
    }
}

// --- the naive side: what a body says of it, and the rest

static bool same_name(struct slice a, const char *b)
{
    size_t i = 0;
    for (;; i++, b++) {
        while (i < a.len && (a.ptr[i] == '_' || a.ptr[i] == '-'))
            i++;
        while (*b == '_' || *b == '-')
            b++;
        if (i == a.len || !*b)
            return i == a.len && !*b;
        char c = a.ptr[i] >= 'A' && a.ptr[i] <= 'Z' ? (char)(a.ptr[i] + 32) : a.ptr[i];
        char d = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (c != d)
            return false;
    }
}

static bool is_one(struct slice name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_name(name, names[i]))
            return true;
    return false;
}

// Appends to `said` what says how much to think, with where, and to `rest` everything else.
static void split(const struct json *j, uint32_t object, const char *path, struct arena *arena,
                  struct buf *said, struct buf *rest)
{
    uint32_t at = 0, key, value;
    while (json_member(j, object, &at, &key, &value)) {
        struct slice n = json_string(j, key, arena);
        struct slice raw = slice_make(j->text.ptr + json_begin(j, value),
                                      json_end(j, value) - json_begin(j, value));
        if (is_one(n, knob_names, MERIT_COUNT(knob_names))) {
            buf_printf(said, "%s%.*s=%.*s;", path, SLICE_FMT(n), SLICE_FMT(raw));
        } else if (is_one(n, holders, MERIT_COUNT(holders)) && json_type(j, value) == JSON_OBJECT) {
            char below_[256];
            snprintf(below_, sizeof below_, "%s%.*s/", path, SLICE_FMT(n));
            split(j, value, below_, arena, said, rest);
        } else {
            buf_printf(rest, "%s%.*s=%.*s;", path, SLICE_FMT(json_raw(j, key)), SLICE_FMT(raw));
        }
    }
}

struct told {
    char said_room[BODY_MAX], rest_room[BODY_MAX * 2];
    struct buf said, rest;
};

static void tell(struct slice body, struct arena *arena, struct told *t)
{
    struct json j;
    t->said = (struct buf){.ptr = t->said_room, .room = BODY_MAX, .cap = BODY_MAX};
    t->rest = (struct buf){.ptr = t->rest_room, .room = 2 * BODY_MAX, .cap = 2 * BODY_MAX};
    if (json_parse(&j, body, &json_limits_default, arena))
        fail_msg("not JSON any more: %.*s", SLICE_FMT(body));
    split(&j, 0, "", arena, &t->said, &t->rest);
    assert_int_equal(buf_result(&t->said), RESULT_OK);
    assert_int_equal(buf_result(&t->rest), RESULT_OK);
}

// What is to stand in the body, by the model's knob; "" for nothing.
static void wanted(const struct image_model *m, enum image_effort e, char *out, size_t n)
{
    static const char *const words[] = {"", "\"none\"", "\"low\"", "\"medium\"", "\"high\"", ""};
    out[0] = '\0';
    if (m->knob == IMAGE_KNOB_REASONING_EFFORT && words[e][0])
        snprintf(out, n, "reasoning_effort=%s;", words[e]);
    else if (m->knob == IMAGE_KNOB_TEMPLATE)
        snprintf(out, n, "chat_template_kwargs/my_knob=%s;",
                 e == IMAGE_EFFORT_OFF ? "false" : "true");
    else if (m->knob == IMAGE_KNOB_THINKING && (e == IMAGE_EFFORT_OFF || m->thinking_tok[e]))
        snprintf(out, n, "my_knob=%u;", e == IMAGE_EFFORT_OFF ? 0 : m->thinking_tok[e]);
}

static void check(struct maker *m, struct slice body, bool *edited)
{
    static struct told before, after;
    struct arena arena;
    struct work w = {.header_count = 0};
    struct openai_request o;
    struct openai_fault fault;
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    struct json_edits edits;
    char want[128];
    static char sent_room[2 * BODY_MAX];
    struct buf sent = {.ptr = sent_room, .room = sizeof sent_room, .cap = sizeof sent_room};
    uint64_t total;
    enum image_effort asked, chosen = (enum image_effort)below(m, IMAGE_EFFORT_COUNT_);
    bool dropped = chosen == IMAGE_EFFORT_DEFAULT && below(m, 2);
    policy.model.knob = (enum image_knob)below(m, IMAGE_KNOB_COUNT_);
    policy.model.efforts = below(m, 4) ? 1u | (below(m, 64) & ~1u) : 1u;
    arena_init(&arena, 0, 1 << 22);
    if (openai_request_parse(body, &arena, &w, &o, &fault))
        fail_msg("%.*s: %.*s", SLICE_FMT(fault.message), SLICE_FMT(body));
    assert_int_equal(effort_asked(&o, &policy.image, &arena, &asked), RESULT_OK);
    json_edits_init(&edits);
    assert_int_equal(effort_edit(&o, &policy.image, &policy.model, chosen, dropped, &edits, &arena),
                     RESULT_OK);
    uint32_t n = json_edit_pieces(&edits, body, pieces, &total);
    for (uint32_t i = 0; i < n; i++)
        buf_add(&sent, pieces[i]);
    assert_int_equal(buf_result(&sent), RESULT_OK);
    tell(body, &arena, &before);
    tell(buf_slice(&sent), &arena, &after);
    if (!slice_eq(buf_slice(&before.rest), buf_slice(&after.rest)))
        fail_msg("the rest changed: %.*s\nto %.*s", SLICE_FMT(body), SLICE_FMT(buf_slice(&sent)));
    bool stated = policy.model.efforts & ~1u;
    enum image_effort decided = chosen;
    if (chosen == IMAGE_EFFORT_DEFAULT && asked != IMAGE_EFFORT_DEFAULT && !dropped &&
        policy.model.efforts >> asked & 1)
        decided = asked;
    if (chosen == IMAGE_EFFORT_DEFAULT && !dropped && !stated) {
        assert_true(slice_eq(buf_slice(&sent), body));
    } else {
        wanted(&policy.model, decided, want, sizeof want);
        if (decided == IMAGE_EFFORT_DEFAULT)
            want[0] = '\0';
        // Members that are null say nothing, and stay where nothing was asked or decided.
        bool silent = decided == IMAGE_EFFORT_DEFAULT && slice_eq(buf_slice(&sent), body);
        if (!silent && !slice_eq_cstr(buf_slice(&after.said), want))
            fail_msg("%.*s\nsays %.*s, not %s", SLICE_FMT(body), SLICE_FMT(buf_slice(&after.said)),
                     want);
        for (size_t i = 0; silent && i < after.said.len; i++)
            if (after.said.ptr[i] == '=')
                assert_true(
                    slice_starts_with(slice_from(buf_slice(&after.said), i), SLICE("=null;")));
    }
    *edited = !slice_eq(buf_slice(&sent), body);
    arena_deinit(&arena);
}

static void random_bodies(void **state)
{
    static char room[BODY_MAX];
    struct maker m = {.knobs = 0};
    uint32_t changed = 0;
    (void)state;
    rng_seed(&m.rng, 20261122);
    strcpy(policy.name, "my_knob");
    policy.image.models =
        (struct image_list){(uint32_t)((char *)&policy.model - (char *)&policy), 1};
    policy.model.knob_name = (struct image_str){(uint32_t)(policy.name - (char *)&policy), 7};
    policy.model.thinking_tok[IMAGE_EFFORT_LOW] = 1024;
    policy.model.thinking_tok[IMAGE_EFFORT_HIGH] = 8192;
    for (int i = 0; i < BODIES; i++) {
        bool edited;
        m.at = room;
        m.end = room + sizeof room;
        m.knobs = 0;
        m.top_effort = m.top_kwargs = false;
        text(&m, "{\"messages\":[{\"role\":\"user\",\"content\":\"\\\"thinking\\\":true\"}],");
        members(&m, 0);
        if (m.at[-1] == ',')
            m.at--;
        text(&m, "}");
        // A comma without a member behind it can only be the first one.
        check(&m, slice_make(room, (size_t)(m.at - room)), &edited);
        changed += edited;
    }
    assert_in_range(changed, BODIES / 2, BODIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
