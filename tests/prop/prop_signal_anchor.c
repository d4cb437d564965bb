// In a tool loop of 32 rounds every step is understood alike: the same anchor and the same facts on
// all 33 requests. Routing by the last message fails the same test.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "helper/image_build.h"
#include "signal/plan.h"
#include "work/anchor.h"

enum { ROUNDS = 32, MESSAGES = 4 + ROUNDS * 3, SIGNALS = 8 };

// How an agent sends the steps of its loop.
struct profile {
    const char *name;
    const char *line;        // its last user message in the loop; NULL: it sends none
    const char *task_suffix; // before the minute
    const char *task_end;    // behind it
    bool keeps_lines;        // earlier lines stay in the conversation
    uint32_t
        from; // the first step that must be right: a line of no known agent is known by its repetition
};

static const struct profile profiles[] = {
    {"no line of its own", NULL, "", "", false, 0},
    {"tool evidence", "Continue from the tool evidence. Take the next step of the plan.", "", "",
     false, 0},
    {"tool evidence, kept", "Continue from the tool evidence. Take the next step of the plan.", "",
     "", true, 0},
    {"role-preserved",
     "Continue the same Elephant Agent turn using the role-preserved tool result messages above.",
     "\n\n[Time: 2026-11-21 03:", " UTC, Saturday]", false, 0},
    {"unknown line, kept", "Go on with what the tool told you.", "\n[Time: 03:", "]", true, 2},
};

struct conversation {
    struct work_message messages[MESSAGES];
    struct work_part parts[MESSAGES];
    char texts[MESSAGES][256];
    struct work work;
};

static void add(struct conversation *c, enum work_role role, const char *text, uint32_t calls)
{
    uint32_t i = c->work.message_count++;
    snprintf(c->texts[i], sizeof c->texts[i], "%s", text);
    c->messages[i] = (struct work_message){role, i, 1, calls, false};
    c->parts[i] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(c->texts[i])};
    c->work.part_count++;
}

// The request of step `step` (0 is the user's own). A clock ticks in it.
static void make(struct conversation *c, const struct profile *p, uint32_t step)
{
    char text[256], suffix[64];
    memset(c, 0, sizeof *c);
    c->work.messages = c->messages;
    c->work.parts = c->parts;
    c->work.choices = 1;
    add(c, WORK_SYSTEM, "You are an agent. You have tools.", 0);
    add(c, WORK_USER, "hello", 0);
    add(c, WORK_ASSISTANT, "Hello, what can I do?", 0);
    suffix[0] = '\0';
    if (p->task_suffix[0])
        snprintf(suffix, sizeof suffix, "%s%02u%s", p->task_suffix, step, p->task_end);
    snprintf(text, sizeof text,
             "Why does the kubernetes pod crash? First read the log, then fix 2 of the 3 files:\n- "
             "a.yaml\n- "
             "b.yaml%s",
             suffix);
    add(c, WORK_USER, text, 0);
    for (uint32_t i = 1; i <= step; i++) {
        add(c, WORK_ASSISTANT, "", 1);
        snprintf(text, sizeof text, "line %u: python segfault? 1. 2. 3.", i);
        add(c, WORK_TOOL, text, 0);
        if (p->line && (i == step || p->keeps_lines))
            add(c, WORK_USER, p->line, 0);
    }
}

static uint32_t last_user(const struct conversation *c)
{
    uint32_t i = c->work.message_count;
    while (c->messages[i - 1].role != WORK_USER)
        i--;
    return i - 1;
}

struct world {
    struct image_build *build;
    struct plan *plan;
    struct plan_scratch *scratch;
    struct arena arena;
    struct fact first[SIGNALS];
};

static void world_open(struct world *w)
{
    static const char *const counts[] = {"questions", "list_items", "numbers", "words"};
    struct image_build *b = w->build = build_new();
    build_signal(b, "keywords");
    build_string(b, NULL, "kubernetes");
    build_string(b, NULL, "crash");
    build_signal(b, "keywords");
    build_string(b, "regex", "python|segfault");
    build_signal(b, "structure");
    build_string(b, "sequence", "first");
    build_string(b, NULL, "then");
    for (size_t i = 0; i < MERIT_COUNT(counts); i++) {
        build_signal(b, "structure");
        build_word(b, NULL, counts[i]);
    }
    build_signal(b, "conversation");
    build_word(b, NULL, "turns");
    assert_int_equal(b->signal_count, SIGNALS);
    arena_init(&w->arena, 65536, 1 << 24);
    assert_int_equal(plan_open(build_done(b), &signal_registry, NULL, SLICE_EMPTY, NULL, &w->plan),
                     RESULT_OK);
    assert_int_equal(plan_scratch_open(w->plan, &w->scratch), RESULT_OK);
}

static void world_close(struct world *w)
{
    plan_scratch_close(w->scratch);
    plan_close(w->plan);
    arena_deinit(&w->arena);
    build_free(w->build);
}

static bool same_fact(const struct fact *a, const struct fact *b)
{
    if (a->state != FACT_KNOWN || b->state != FACT_KNOWN || a->number != b->number ||
        a->evidence_count != b->evidence_count)
        return false;
    for (uint32_t i = 0; i < a->evidence_count; i++)
        if (memcmp(&a->evidence[i], &b->evidence[i], sizeof a->evidence[i]) != 0)
            return false;
    return true;
}

// How many steps are understood otherwise than the first one that counts.
static uint32_t steps_apart(struct world *w, const struct profile *p, bool by_last_message)
{
    static struct conversation c;
    uint32_t apart = 0;
    for (uint32_t step = 0; step <= ROUNDS; step++) {
        bool same = true;
        make(&c, p, step);
        c.work.anchor = work_anchor(c.messages, c.work.message_count, c.parts);
        if (step >= p->from && !by_last_message && c.work.anchor != 3)
            same = false;
        if (by_last_message)
            c.work.anchor = last_user(&c);
        arena_reset(&w->arena);
        struct plan_run *run = plan_begin(w->plan, w->scratch, &c.work, &w->arena, NULL);
        for (int32_t i = 0; i < SIGNALS; i++) {
            struct fact f;
            assert_true(plan_compute(run, i, &f));
            if (step == 0)
                w->first[i] = f;
            else if (step >= p->from)
                same &= same_fact(&f, &w->first[i]);
        }
        apart += !same;
    }
    return apart;
}

static void all_steps_are_understood_alike(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < MERIT_COUNT(profiles); i++) {
        uint32_t apart = steps_apart(&w, &profiles[i], false);
        if (apart)
            fail_msg("%s: %u steps", profiles[i].name, apart);
        // What the first step says: keywords yes, the tools' words no, in order, 1 question, 2
        // items, 2 turns.
        assert_int_equal(w.first[0].number, 1);
        assert_int_equal(w.first[1].number, 0);
        assert_int_equal(w.first[2].number, 1);
        assert_int_equal(w.first[3].number, 1);
        assert_int_equal(w.first[4].number, 2);
        assert_int_equal(w.first[7].number, 2);
    }
    world_close(&w);
}

static void the_last_message_would_not_do(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < MERIT_COUNT(profiles); i++) {
        uint32_t apart = steps_apart(&w, &profiles[i], true);
        assert_int_equal(
            apart, profiles[i].line ? ROUNDS - (profiles[i].from ? profiles[i].from - 1 : 0) : 0);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_steps_are_understood_alike),
        cmocka_unit_test(the_last_message_would_not_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
