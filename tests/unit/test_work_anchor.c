// work/: the task anchor, the volatile suffixes and the token estimate.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "helper/text_make.h"
#include "work/anchor.h"
#include "work/signal.h"
#include "work/tokens.h"

struct line {
    char role; // s, d, u, a, t
    const char *text;
};

static uint32_t anchor_of(const struct line *lines, struct work_message *m, uint32_t *count)
{
    static struct work_part parts[32];
    uint32_t n = 0;
    for (; lines[n].role; n++) {
        enum work_role role = lines[n].role == 's'   ? WORK_SYSTEM
                              : lines[n].role == 'd' ? WORK_DEVELOPER
                              : lines[n].role == 'a' ? WORK_ASSISTANT
                              : lines[n].role == 't' ? WORK_TOOL
                                                     : WORK_USER;
        m[n] = (struct work_message){role, n, 1, 0, true};
        parts[n] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(lines[n].text)};
    }
    *count = n;
    return work_anchor(m, n, parts);
}

static void anchors_are_what_a_person_wrote(void **state)
{
    (void)state;
    static const char go[] = "Continue from the tool evidence. Use what is there.";
    static const struct {
        uint32_t anchor;
        const char *synthetic; // one character per message
        struct line lines[12];
    } cases[] = {
        {1, "..", {{'s', "be kind"}, {'u', "hello"}}},
        {WORK_NO_ANCHOR, ".", {{'s', "only rules"}}},
        // A known line counts behind a tool result only.
        {0, "...x", {{'u', "fix it"}, {'a', ""}, {'t', "ok"}, {'u', go}}},
        {2, "...", {{'u', "fix it"}, {'a', "done"}, {'u', go}}},
        {0, "...xx", {{'u', "fix it"}, {'a', ""}, {'t', "ok"}, {'u', go}, {'u', go}}},
        {0, "....x", {{'u', "fix it"}, {'a', ""}, {'t', "ok"}, {'s', "hint"}, {'u', go}}},
        // The general rule: the same text behind a tool result, twice.
        {0,
         "...x..x",
         {{'u', "fix it"},
          {'a', ""},
          {'t', "1"},
          {'u', "go on"},
          {'a', ""},
          {'t', "2"},
          {'u', "go on"}}},
        {3, "....", {{'u', "fix it"}, {'a', ""}, {'t', "1"}, {'u', "no, stop"}}},
        // What a person says twice in answers is a person's.
        {4, ".....", {{'u', "more"}, {'a', "x"}, {'u', "more"}, {'a', "y"}, {'u', "more"}}},
        // Only what changes with the clock differs.
        {0,
         "...x..x",
         {{'u', "fix it"},
          {'a', ""},
          {'t', "1"},
          {'u', "go on\n\n[Time: 2026-11-21 03:15 UTC, Saturday]"},
          {'a', ""},
          {'t', "2"},
          {'u', "go on\n\n[Time: 2026-11-21 03:16 UTC, Saturday]"}}},
        {0, ".x", {{'u', "fix it"}, {'u', " \n"}}},
        {0, "x", {{'u', ""}}},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct work_message m[12];
        uint32_t n, got = anchor_of(cases[i].lines, m, &n);
        if (got != cases[i].anchor)
            fail_msg("case %zu: %u", i, got);
        assert_int_equal(n, strlen(cases[i].synthetic));
        for (uint32_t k = 0; k < n; k++)
            if (m[k].synthetic != (cases[i].synthetic[k] == 'x'))
                fail_msg("case %zu, message %u", i, k);
    }
}

static void images_are_content(void **state)
{
    (void)state;
    struct work_part parts[] = {{.kind = WORK_TEXT, .text = SLICE("what is it?")},
                                {.kind = WORK_IMAGE}};
    struct work_message m[] = {{WORK_USER, 0, 1, 0, false}, {WORK_USER, 1, 1, 0, true}};
    assert_int_equal(work_anchor(m, 2, parts), 1);
    assert_false(m[1].synthetic);
}

static void suffixes_are_taken_off(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"do it", "do it"},
        {"do it \n", "do it"},
        {"do it\n\n[Time: 2026-11-21 03:15 UTC, Saturday]", "do it"},
        {"do it\n[Date: 2026-11-21]\n[time: 03:15]\n", "do it"},
        {"do it [Time: 03:15]", "do it [Time: 03:15]"},
        {"do it\n[Time: <script>]", "do it\n[Time: <script>]"},
        {"do it\n[Secret: 03:15]", "do it\n[Secret: 03:15]"},
        {"do it\n[Time]", "do it\n[Time]"},
        {"[Time: 03:15]", ""},
        {"", ""},
        {"\n", ""},
        {"]", "]"},
        {"do it\n[Time: "
         "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
         "11111]",
         "do it\n[Time: "
         "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
         "11111]"},
    };
    for (size_t i = 0; i < MERIT_COUNT(pairs); i++) {
        struct slice got = work_anchor_text(slice_cstr(pairs[i][0]));
        if (!slice_eq_cstr(got, pairs[i][1]))
            fail_msg("\"%s\" gives \"%.*s\"", pairs[i][0], SLICE_FMT(got));
    }
}

static void a_long_conversation_is_linear(void **state)
{
    (void)state;
    enum { N = WORK_MESSAGES_MAX };
    static struct work_message m[N];
    static struct work_part parts[N];
    static char texts[N][16];
    for (uint32_t i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "%u", i);
        m[i] = (struct work_message){i % 2 ? WORK_USER : WORK_TOOL, i, 1, 0, false};
        parts[i] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(texts[i])};
    }
    assert_int_equal(work_anchor(m, N, parts), N - 1);
}

static void token_estimate(void **state)
{
    (void)state;
    struct rng r;
    char room[1000];
    rng_seed(&r, 3);
    assert_int_equal(tokens_of_text(SLICE("")), 0);
    assert_int_equal(tokens_of_text(SLICE(" ")), 1);
    for (int i = 0; i < 20000; i++) {
        struct slice t = text_make(&r, room, sizeof room);
        assert_int_equal(tokens_of_text(t), tokens_of_text_scalar(t));
    }
    // Long runs of ASCII, with few kinds of bytes, so that a count per lane would overflow, and one other in places.
    static char ascii[20000];
    static const char kinds[] = "aZ5 \n\t\r.Mz";
    for (int i = 0; i < 4000; i++) {
        size_t len = rng_below(&r, i % 40 ? 300 : sizeof ascii), few = 1 + rng_below(&r, 10);
        size_t from = rng_below(&r, sizeof kinds - few);
        for (size_t k = 0; k < len; k++)
            ascii[k] = kinds[from + rng_below(&r, few)];
        if (len > 1 && rng_below(&r, 4) == 0)
            memcpy(ascii + rng_below(&r, len - 1), "\xC3\xA9", 2);
        struct slice t = slice_make(ascii, len);
        assert_int_equal(tokens_of_text(t), tokens_of_text_scalar(t));
    }
    // 11 tokens in both vocabularies.
    uint32_t n = tokens_of_text(SLICE("The quick brown fox jumps over the lazy dog today."));
    assert_in_range(n, 9, 13);
    struct work_part parts[] = {
        {.kind = WORK_TEXT, .text = SLICE("The quick brown fox jumps over the lazy dog today.")},
        {.kind = WORK_IMAGE},
        {.kind = WORK_PART_OTHER}};
    struct work_message m = {WORK_USER, 0, 3, 0, false};
    struct work w = {
        .messages = &m, .message_count = 1, .parts = parts, .part_count = 3, .tool_bytes = 301};
    assert_int_equal(tokens_of_work(&w), n + 3 + 4 + 1600 + 100);
}

static void cost_guesses_rise(void **state)
{
    (void)state;
    for (int c = SIGNAL_COST_FREE; c < SIGNAL_COST_JUDGE; c++)
        assert_true(signal_cost_guess_ns((enum signal_cost)c) <
                    signal_cost_guess_ns((enum signal_cost)(c + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors_are_what_a_person_wrote),
        cmocka_unit_test(images_are_content),
        cmocka_unit_test(suffixes_are_taken_off),
        cmocka_unit_test(a_long_conversation_is_linear),
        cmocka_unit_test(token_estimate),
        cmocka_unit_test(cost_guesses_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
