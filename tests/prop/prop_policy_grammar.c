// The parser beside docs/grammar.ebnf: random sentences of the grammar parse without a syntax error, formatting keeps
// their tree and is idempotent, the checker survives them, and so it does their mutants.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "fake/families.h"
#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/policy.h"

// The grammar as a graph of parts.
enum part_kind {
    PART_RULE,
    PART_LITERAL,
    PART_CLASS,
    PART_SEQUENCE,
    PART_CHOICE,
    PART_OPTION,
    PART_REPEAT
};

struct part {
    enum part_kind kind;
    struct slice text; // of a rule's name, literal or class
    int rule;          // of PART_RULE
    struct part *first, *next;
    unsigned least; // depth of the shallowest sentence; for choosing a way out
    unsigned used;
};

enum { RULES_MAX = 128, PARTS_MAX = 4096, DEPTH_MAX = 20 };

struct grammar {
    struct slice names[RULES_MAX];
    struct part *rules[RULES_MAX];
    int count;
    struct part parts[PARTS_MAX];
    int part_count;
    struct slice rest;
};

static struct part *new_part(struct grammar *g, enum part_kind kind)
{
    assert_true(g->part_count < PARTS_MAX);
    struct part *p = &g->parts[g->part_count++];
    *p = (struct part){.kind = kind, .least = 1000000};
    return p;
}

static struct slice word(struct grammar *g)
{
    for (;;) {
        while (g->rest.len && strchr(" \n\t", g->rest.ptr[0]))
            g->rest = slice_from(g->rest, 1);
        if (!slice_starts_with(g->rest, SLICE("(*")))
            break;
        g->rest = slice_from(g->rest, (size_t)slice_find(g->rest, SLICE("*)")) + 2);
    }
    size_t n = 1;
    if (g->rest.len == 0)
        return SLICE_EMPTY;
    if (g->rest.ptr[0] == '"') {
        while (g->rest.ptr[n] != '"')
            n++;
        n++;
    } else if (!strchr("[](){}|;=", g->rest.ptr[0])) {
        while (n < g->rest.len && !strchr(" \n\t[](){}|;=\"", g->rest.ptr[n]))
            n++;
    }
    struct slice w = slice_head(g->rest, n);
    g->rest = slice_from(g->rest, n);
    return w;
}

static bool next_is(struct grammar *g, const char *mark)
{
    struct slice before = g->rest;
    bool hit = slice_eq_cstr(word(g), mark);
    if (!hit)
        g->rest = before;
    return hit;
}

static int rule_index(struct grammar *g, struct slice name)
{
    for (int i = 0; i < g->count; i++)
        if (slice_eq(g->names[i], name))
            return i;
    assert_true(g->count < RULES_MAX);
    g->names[g->count] = name;
    return g->count++;
}

static struct part *read_choice(struct grammar *g);

static struct part *read_one(struct grammar *g)
{
    static const struct {
        const char *open, *close;
        enum part_kind kind;
    } brackets[] = {{"(", ")", PART_SEQUENCE}, {"[", "]", PART_OPTION}, {"{", "}", PART_REPEAT}};
    for (size_t i = 0; i < MERIT_COUNT(brackets); i++) {
        if (!next_is(g, brackets[i].open))
            continue;
        struct part *p = new_part(g, brackets[i].kind);
        p->first = read_choice(g);
        assert_true(next_is(g, brackets[i].close));
        return p;
    }
    struct slice w = word(g);
    bool literal = w.ptr[0] == '"', class = w.ptr[0] >= 'A' && w.ptr[0] <= 'Z';
    struct part *p = new_part(g, literal ? PART_LITERAL : class ? PART_CLASS : PART_RULE);
    p->text = literal ? slice_head(slice_from(w, 1), w.len - 2) : w;
    p->rule = p->kind == PART_RULE ? rule_index(g, w) : 0;
    return p;
}

static struct part *read_choice(struct grammar *g)
{
    struct part *choice = new_part(g, PART_CHOICE), **alternative = &choice->first;
    do {
        *alternative = new_part(g, PART_SEQUENCE);
        struct part **at = &(*alternative)->first;
        while (g->rest.len) {
            struct slice before = g->rest, w = word(g);
            g->rest = before;
            if (w.len == 1 && strchr("|;)]}", w.ptr[0]))
                break;
            *at = read_one(g);
            at = &(*at)->next;
        }
        alternative = &(*alternative)->next;
    } while (next_is(g, "|"));
    return choice;
}

static unsigned least(const struct grammar *g, const struct part *p)
{
    unsigned best = p->kind == PART_CHOICE ? 1000000 : 0;
    switch (p->kind) {
    case PART_LITERAL:
    case PART_CLASS:
    case PART_OPTION:
    case PART_REPEAT:
        return 0;
    case PART_RULE:
        return g->rules[p->rule] ? g->rules[p->rule]->least + 1 : 1000000;
    default:
        for (const struct part *c = p->first; c; c = c->next)
            best = p->kind == PART_CHOICE ? (c->least < best ? c->least : best)
                                          : (c->least > best ? c->least : best);
        return best;
    }
}

static struct grammar *read_grammar(struct buf *text)
{
    struct grammar *g = calloc(1, sizeof *g);
    assert_int_equal(file_read(MERIT_SOURCE_DIR "/docs/grammar.ebnf", text), RESULT_OK);
    g->rest = buf_slice(text);
    for (struct slice name = word(g); name.len; name = word(g)) {
        int i = rule_index(g, name);
        assert_true(next_is(g, "="));
        assert_null(g->rules[i]);
        g->rules[i] = read_choice(g);
        assert_true(next_is(g, ";"));
    }
    for (int i = 0; i < g->count; i++)
        if (!g->rules[i])
            fail_msg("the grammar has no rule %.*s", SLICE_FMT(g->names[i]));
    for (int round = 0; round < 64; round++)
        for (int i = 0; i < g->part_count; i++)
            g->parts[i].least = least(g, &g->parts[i]);
    return g;
}

// Sentences.
struct maker {
    struct grammar *g;
    struct rng rng;
    struct buf *out;
    bool fresh; // nothing of the statement is written yet
};

static void between(struct maker *m)
{
    static const char *const gaps[] = {" ",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\t",
                                       "\n  ",
                                       "\r\n\t",
                                       " # a \"comment\n ",
                                       "\n# at the margin\n   "};
    if (!m->fresh)
        buf_cstr(m->out, gaps[rng_below(&m->rng, MERIT_COUNT(gaps))]);
    m->fresh = false;
}

static void terminal(struct maker *m, const struct part *p)
{
    static const char *const names[] = {"m",       "swift", "deep", "urgent",   "depth",
                                        "tok",     "usd",   "Mtok", "answer",   "keywords",
                                        "context", "a-b.c", "_x",   "qwen3-8b", "home",
                                        "cost",    "high",  "env2", "regex",    "x"};
    static const char *const strings[] = {"\"\"",
                                          "\"a\"",
                                          "\"say \\\"hi\\\"\"",
                                          "\"\\s+\\\\\"",
                                          "\"# no comment\"",
                                          "\"caf\xC3\xA9\"",
                                          "\"http://127.0.0.1:8000/v1\"",
                                          "\"/v1/embeddings\""};
    static const char *const numbers[] = {"0", "1",    "32k", "1.5M", "0.03",
                                          "7", "-0.3", "0.7", "8b",   "30b-a3b"};
    between(m);
    if (p->kind == PART_LITERAL) {
        buf_add(m->out, p->text);
    } else if (slice_eq(p->text, SLICE("NAME"))) {
        // Words that begin clauses are no names where one could follow; `context` is a family's name, too.
        const char *name;
        do
            name = names[rng_below(&m->rng, MERIT_COUNT(names))];
        while (!strcmp(name, "context"));
        buf_cstr(m->out, name);
    } else if (slice_eq(p->text, SLICE("STRING"))) {
        buf_cstr(m->out, strings[rng_below(&m->rng, MERIT_COUNT(strings))]);
    } else if (slice_eq(p->text, SLICE("DATE"))) {
        buf_cstr(m->out, rng_below(&m->rng, 2) ? "2026-11-21" : "2026-02-31");
    } else {
        assert_true(slice_eq(p->text, SLICE("NUMBER")));
        buf_cstr(m->out, numbers[rng_below(&m->rng, MERIT_COUNT(numbers))]);
    }
}

static void make(struct maker *m, struct part *p, unsigned depth);

static void make_choice(struct maker *m, struct part *p, unsigned depth)
{
    unsigned count = 0, pick;
    struct part *c;
    for (c = p->first; c; c = c->next)
        count += depth < DEPTH_MAX || c->least == p->least;
    pick = (unsigned)rng_below(&m->rng, count);
    for (c = p->first; c; c = c->next)
        if ((depth < DEPTH_MAX || c->least == p->least) && pick-- == 0)
            break;
    make(m, c, depth);
}

static void make(struct maker *m, struct part *p, unsigned depth)
{
    p->used++;
    switch (p->kind) {
    case PART_LITERAL:
    case PART_CLASS:
        terminal(m, p);
        return;
    case PART_RULE:
        if (slice_eq(p->text, SLICE("statement"))) {
            buf_cstr(m->out, rng_below(&m->rng, 4) ? "\n" : "\n\n\n# about it\n\n");
            m->fresh = true;
        }
        make(m, m->g->rules[p->rule], depth + 1);
        return;
    case PART_SEQUENCE:
        for (struct part *c = p->first; c; c = c->next)
            make(m, c, depth);
        return;
    case PART_CHOICE:
        make_choice(m, p, depth);
        return;
    case PART_OPTION:
        if (depth < DEPTH_MAX && rng_below(&m->rng, 2))
            make(m, p->first, depth);
        return;
    case PART_REPEAT:
        while (depth < DEPTH_MAX && rng_below(&m->rng, 8) < (depth < 3 ? 7 : 3))
            make(m, p->first, depth);
        return;
    }
}

static void complain(struct diag_list *diags, struct slice text)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    diag_render(diags, text, SLICE("sentence"), false, &out);
    fprintf(stderr, "%.*s\n---\n%.*s\n", SLICE_FMT(text), SLICE_FMT(buf_slice(&out)));
    buf_deinit(&out);
}

static void check_sentence(struct slice text)
{
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree, *again;
    const struct policy_image *image;
    struct buf once, twice;
    arena_init(&arena, 1 << 16, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    buf_init(&once, POLICY_BYTES_MAX);
    buf_init(&twice, POLICY_BYTES_MAX);
    if (policy_parse(text, &arena, &diags, &tree)) {
        complain(&diags, text);
        fail();
    }
    if (fmt_policy(tree, &once))
        fail_msg("%zu bytes became %zu:\n%.*s", text.len, once.len,
                 SLICE_FMT(slice_head(text, 3000)));
    if (policy_parse(buf_slice(&once), &arena, &diags, &again) || !tree_equal(tree, again)) {
        complain(&diags, buf_slice(&once));
        fail_msg("formatting changed:\n%.*s", SLICE_FMT(text));
    }
    assert_int_equal(fmt_policy(again, &twice), RESULT_OK);
    if (!slice_eq(buf_slice(&once), buf_slice(&twice)))
        fail_msg("formatting twice changed:\n%.*s\n--- into\n%.*s", SLICE_FMT(buf_slice(&once)),
                 SLICE_FMT(buf_slice(&twice)));
    policy_compile(tree, &fake_registry, &arena, &diags, &image);
    buf_deinit(&once);
    buf_deinit(&twice);
    arena_deinit(&arena);
}

// Cuts, doubles and swaps pieces and bytes.
static void check_mutant(struct rng *rng, struct slice text)
{
    static const char bytes[] = "\"()=<>->|,#\n \t\\.kM0aZ_!&{}\x80\xC3\x01";
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    struct buf out, shown;
    buf_init(&out, POLICY_BYTES_MAX);
    buf_init(&shown, 1 << 22);
    buf_add(&out, text);
    for (uint64_t n = 1 + rng_below(rng, 4); n > 0 && out.len > 1; n--) {
        size_t at = rng_below(rng, out.len),
               len = rng_below(rng, out.len - at < 12 ? out.len - at : 12) + 1;
        if (len > out.len - at)
            len = out.len - at;
        switch (rng_below(rng, 3)) {
        case 0:
            memmove(out.ptr + at, out.ptr + at + len, out.len - at - len);
            out.len -= len;
            break;
        case 1:
            out.ptr[at] = bytes[rng_below(rng, sizeof bytes - 1)];
            break;
        case 2:
            for (size_t i = 0; i < len; i++)
                buf_byte(&out, out.ptr[at + i]);
            break;
        }
    }
    arena_init(&arena, 1 << 16, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    enum result r = policy_load(buf_slice(&out), &fake_registry, &arena, &diags, &image);
    assert_true((r == RESULT_OK) == (diags.errors == 0));
    diag_render(&diags, buf_slice(&out), SLICE("mutant"), true, &shown);
    diag_render_json(&diags, buf_slice(&out), &shown);
    if (image) {
        const struct policy_image *opened;
        assert_int_equal(image_open(image, image->size, &opened), RESULT_OK);
        explain_policy(image, &shown);
    }
    buf_deinit(&out);
    buf_deinit(&shown);
    arena_deinit(&arena);
}

static void sentences_of_the_grammar_parse(void **state)
{
    (void)state;
    enum { SENTENCES = 4000 };
    struct buf grammar, text;
    buf_init(&grammar, 1 << 20);
    buf_init(&text, POLICY_BYTES_MAX);
    struct maker m = {.g = read_grammar(&grammar), .out = &text};
    rng_seed(&m.rng, 20261121);
    for (int i = 0; i < SENTENCES; i++) {
        buf_reset(&text);
        make(&m, m.g->rules[0], 0);
        buf_byte(&text, '\n');
        check_sentence(buf_slice(&text));
        check_mutant(&m.rng, buf_slice(&text));
    }
    // Nothing of the grammar went untried.
    for (int i = 0; i < m.g->part_count; i++)
        if (!m.g->parts[i].used && m.g->parts[i].text.len)
            fail_msg("never made: %.*s", SLICE_FMT(m.g->parts[i].text));
    free(m.g);
    buf_deinit(&grammar);
    buf_deinit(&text);
}

// Mutants of policies that mean something get further into the checker than random sentences.
static void mutants_of_whole_policies_are_survived(void **state)
{
    (void)state;
    static const char *const names[] = {"whole", "labels"};
    struct rng rng;
    rng_seed(&rng, 7);
    for (size_t n = 0; n < MERIT_COUNT(names); n++) {
        struct buf text;
        char path[512];
        snprintf(path, sizeof path, "%s/tests/golden/policy/%s.merit", MERIT_SOURCE_DIR, names[n]);
        buf_init(&text, POLICY_BYTES_MAX);
        assert_int_equal(file_read(path, &text), RESULT_OK);
        for (int i = 0; i < 3000; i++)
            check_mutant(&rng, buf_slice(&text));
        buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_of_the_grammar_parse),
        cmocka_unit_test(mutants_of_whole_policies_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
