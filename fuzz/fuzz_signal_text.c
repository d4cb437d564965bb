// Any text through every family: no crash, facts of the family's kind, evidence inside the text and
// between characters. The first byte says in how many parts and messages the rest is cut; bytes
// that are not UTF-8 must fail the text signals, never reach the pattern scan.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "../tests/helper/image_build.h"
#include "base/arena.h"
#include "signal/artifacts.h"
#include "signal/plan.h"
#include "text/utf8.h"
#include "work/anchor.h"
#include "work/tokens.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct image_build *build; // keeps the image
    const struct policy_image *image;
    struct plan *plan;
    struct plan_scratch *scratch;
} world;

static void words_of(struct image_build *b, const char *family, const char *const *words)
{
    for (; *words; words++) {
        build_signal(b, family);
        build_word(b, NULL, *words);
    }
}

static void keywords(struct image_build *b, const char *tag, const char *one, const char *two)
{
    build_signal(b, "keywords");
    build_string(b, tag, one);
    build_string(b, NULL, two);
}

static void open_world(void)
{
    static const char *const counts[] = {"questions", "code_blocks",   "list_items",
                                         "numbers",   "ordered_steps", "links",
                                         "words",     "chars",         NULL};
    static const char *const shapes[] = {"user", "turns", "tool_cycles", "active_tool_loop", NULL};
    struct image_build *b = world.build = build_new();
    keywords(b, "literal", "the", "\xE9\x93\xB6\xE8\xA1\x8C");
    keywords(b, "literal", "a b", "\xC3\x89t\xC3\xA9");
    keywords(b, "regex", "[a-z]+\\d", "(?s)x.{0,20}y");
    keywords(b, "regex", "\\p{L}{3,}", "\\bin\\b");
    keywords(b, "fuzzy", "kubernetes", "machine learning");
    keywords(b, "bm25", "deploy clusters", "cook pasta");
    keywords(b, "ngram", "this does not work", "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82");
    keywords(b, "ngram", "this does not work", "money");
    build_above(b, true, 0.3);
    build_signal(b, "structure");
    build_string(b, "sequence", "first");
    build_string(b, NULL, "then");
    build_signal(b, "structure");
    build_string(b, "density", "\\w+");
    words_of(b, "structure", counts);
    words_of(b, "conversation", shapes);
    build_signal(b, "context");
    build_signal(b, "modality");
    world.image = build_done(b);
    CHECK(plan_open(world.image, &signal_registry, NULL, SLICE_EMPTY, NULL, &world.plan) ==
          RESULT_OK);
    CHECK(plan_scratch_open(world.plan, &world.scratch) == RESULT_OK);
}

static bool on_boundary(struct slice s, uint32_t at)
{
    return at == s.len || ((unsigned char)s.ptr[at] & 0xC0) != 0x80;
}

static void check_fact(const struct work *w, const struct fact *f, bool valid)
{
    CHECK(f->state == FACT_KNOWN ||
          (f->state == FACT_FAILED && f->error == FACT_ERROR_INPUT && !valid));
    CHECK(isfinite(f->number) && f->number >= 0);
    CHECK(f->evidence_count <= FACT_EVIDENCE_MAX && f->evidence_count <= f->evidence_total);
    for (uint32_t i = 0; i < f->evidence_count; i++) {
        const struct evidence *e = &f->evidence[i];
        CHECK(e->message == w->anchor && e->part < w->messages[e->message].part_count);
        struct slice s = w->parts[w->messages[e->message].part_first + e->part].text;
        CHECK(e->offset <= s.len && e->length <= s.len - e->offset && e->length > 0);
        CHECK(on_boundary(s, e->offset) && on_boundary(s, e->offset + e->length));
    }
}

// The same counts whatever the instruction set, and as many words as are split off.
static void check_passes(struct slice text, struct arena *arena)
{
    struct text_stats a = {0}, b = {0};
    struct text_view view = {text, 0, 0};
    struct text_views views = {&view, 1, false};
    struct text_words words;
    text_stats_add(&a, text);
    text_stats_add_scalar(&b, text);
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    CHECK(text_words_split(&views, arena, &words) == RESULT_OK);
    CHECK(words.cut || words.count == a.words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct work_message messages[4];
    struct work_part parts[4];
    struct arena arena;
    if (!world.plan)
        open_world();
    if (size == 0)
        return 0;
    uint32_t count = 1 + data[0] % 4;
    bool apart = data[0] & 16, valid = true;
    struct slice rest = slice_make(data + 1, size - 1);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = i + 1 < count ? rest.len / 2 : rest.len;
        parts[i] = (struct work_part){.kind = WORK_TEXT, .text = slice_head(rest, n)};
        rest = slice_from(rest, n);
        messages[i] =
            (struct work_message){(data[0] >> 5) == i ? WORK_TOOL : WORK_USER, i, 1, 0, false};
    }
    if (!apart)
        messages[0] = (struct work_message){WORK_USER, 0, count, 0, false};
    struct work w = {.messages = messages,
                     .message_count = apart ? count : 1,
                     .parts = parts,
                     .part_count = count,
                     .choices = 1};
    w.anchor = work_anchor(messages, w.message_count, parts);
    CHECK(w.anchor == WORK_NO_ANCHOR || messages[w.anchor].role == WORK_USER);
    w.input_tok = tokens_of_work(&w);
    arena_init(&arena, 16384, 64 * 1024 * 1024);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(tokens_of_text(parts[i].text) == tokens_of_text_scalar(parts[i].text));
        valid &= utf8_valid(parts[i].text);
        if (utf8_valid(parts[i].text))
            check_passes(parts[i].text, &arena);
    }
    struct plan_run *run = plan_begin(world.plan, world.scratch, &w, &arena, NULL);
    CHECK(run);
    for (uint32_t i = 0; i < world.image->signals.count; i++) {
        struct fact f;
        CHECK(plan_compute(run, (int32_t)i, &f));
        check_fact(&w, &f, valid);
    }
    arena_deinit(&arena);
    return 0;
}
