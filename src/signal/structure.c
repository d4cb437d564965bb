// structure: counts of the anchored text, and markers in order.
//
//   structure(questions)      runs of ? and ! with a ?, not before a letter, digit or _ (as in a
//                             link); also full-width and Arabic question marks
//   structure(code_blocks)    fenced blocks (``` or ~~~ at the start of a line), closed or not
//   structure(list_items)     lines that begin with "- ", "* ", "+ ", "1. ", "1) ", "(1) ", bullet
//   structure(numbers)        runs of digits; "3.14", "1,000" and "12:30" are one; "v2" is none
//   structure(ordered_steps)  lines that begin with "1. ", "1) ", "(1) " or "step 1"
//   structure(links)          http://, https:// and www.
//   structure(words)          runs of letters and digits; each CJK character is a word
//   structure(chars)          characters (code points)
//   structure(sequence "first", "then", "finally")   bool: the markers occur in this order, without
//                             overlap; literals as keywords(...) matches them, 2 to SEQUENCE_MAX
//   structure(density "\d+", ...)   number: matches without overlap of the regular expressions, in
//                             relation to the words
//
// Asks: the text of the anchor message (work/anchor.h). Fenced code counts for words, chars and
// code_blocks only; the strings of sequence and density are looked for in all of it.
// Needs: one counting pass, shared by all counts; the shared pattern scan for sequence and density,
// a second scan for a sequence whose markers all occur and for expressions that match. Evidence:
// the markers; the first match of each expression. Limits: SIGNAL_TEXT_MAX bytes; beyond, a number
// fails with FACT_ERROR_LIMIT.
#include "signal/families.h"

enum { SEQUENCE_MAX = 16, DENSITY_MAX = 64 };

enum kind {
    QUESTIONS,
    CODE_BLOCKS,
    LIST_ITEMS,
    NUMBERS,
    ORDERED_STEPS,
    LINKS,
    WORDS,
    CHARS,
    SEQUENCE,
    DENSITY
};

static const char *const kinds[] = {"questions",     "code_blocks", "list_items", "numbers",
                                    "ordered_steps", "links",       "words",      "chars",
                                    "sequence",      "density",     NULL};
static const char *const tags[] = {"sequence", "density", "regex", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = kinds, .help = "what is counted or looked for"},
    {.kind = SIGNAL_ARG_STRING,
     .tags = tags,
     .repeated = true,
     .help = "a marker of `sequence`, a regex of `density`"},
};

struct state {
    enum kind kind;
    uint32_t count;
    struct {
        uint32_t id, argument;
    } patterns[];
};

// A word says it, or the tag of the first string.
static enum kind kind_of(const struct policy_image *image, const struct image_signal *def)
{
    const struct image_arg *a = signal_args(image, def);
    int i = signal_word_index(kinds, signal_arg_word(image, def));
    for (uint32_t k = 0; k < def->args.count && i < 0; k++)
        if (a[k].kind == IMAGE_ARG_STRING)
            i = signal_word_index(kinds, image_text(image, a[k].tag));
    return i < 0 ? CHARS : (enum kind)i;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    return kind_of(image, def) == SEQUENCE ? SIGNAL_BOOL : SIGNAL_NUMBER;
}

static void range(const struct policy_image *image, const struct image_signal *def, double *max,
                  bool *whole)
{
    (void)max;
    *whole = kind_of(image, def) != DENSITY;
}

static uint32_t count_strings(const struct policy_image *image, const struct image_signal *def)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < def->args.count; i++)
        n += signal_args(image, def)[i].kind == IMAGE_ARG_STRING;
    return n;
}

static bool tag_is(const struct policy_image *image, const struct image_arg *arg, const char *tag)
{
    return arg->tag.len == 0 || slice_eq_cstr(image_text(image, arg->tag), tag);
}

static void check(const struct policy_image *image, const struct image_signal *def,
                  void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    enum kind kind = kind_of(image, def);
    uint32_t strings = count_strings(image, def);
    const struct image_arg *a = signal_args(image, def);
    if (def->args.count == 0)
        fail(ctx, 0, "what to count is needed, as in structure(questions)");
    if (kind == SEQUENCE && (strings < 2 || strings > SEQUENCE_MAX))
        fail(ctx, 0, "a sequence has 2 to 16 markers");
    if (kind == DENSITY && (strings < 1 || strings > DENSITY_MAX))
        fail(ctx, 0, "density takes 1 to 64 regular expressions");
    if (kind < SEQUENCE && strings)
        fail(ctx, 1, "only `sequence` and `density` take strings");
    for (uint32_t i = 0; i < def->args.count && kind >= SEQUENCE; i++) {
        char diag[PATTERN_DIAG_BYTES];
        if (a[i].kind != IMAGE_ARG_STRING)
            continue;
        if (a[i].text.len == 0 || a[i].text.len > PATTERN_BYTES_MAX)
            fail(ctx, i, "a string of 1 to 4096 bytes is needed");
        else if (kind == SEQUENCE && !tag_is(image, &a[i], "sequence"))
            fail(ctx, i, "a marker is a plain string");
        else if (kind == DENSITY && pattern_check(image_text(image, a[i].text), diag))
            fail(ctx, i, diag);
    }
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    enum kind kind = kind_of(image, def);
    uint32_t strings = kind >= SEQUENCE ? count_strings(image, def) : 0;
    struct state *s = arena_zeroed(arena, 1, sizeof *s + strings * sizeof s->patterns[0]);
    if (!s)
        return RESULT_NOMEM;
    *state = s;
    s->kind = kind;
    if (strings > DENSITY_MAX || (kind == SEQUENCE && strings > SEQUENCE_MAX))
        return RESULT_LIMIT;
    for (uint32_t i = 0; i < def->args.count && strings; i++) {
        const struct image_arg *arg = &signal_args(image, def)[i];
        if (arg->kind != IMAGE_ARG_STRING)
            continue;
        enum result r =
            pattern_add(load->patterns, kind == DENSITY ? PATTERN_REGEX : PATTERN_LITERAL,
                        image_text(image, arg->text), false, &s->patterns[s->count].id);
        if (r)
            return r;
        s->patterns[s->count++].argument = i;
    }
    return RESULT_OK;
}

static const struct pattern_hit *find_hit(const struct pattern_hits *hits, uint32_t id)
{
    for (uint32_t i = 0; i < hits->count; i++)
        if (hits->at[i].id == id)
            return &hits->at[i];
    return NULL;
}

struct follow {
    const struct state *state;
    struct fact *out;
    const struct text_view *view;
    uint32_t next; // the marker that is awaited
    uint32_t end;  // of the one before, in this view
};

static bool on_marker(void *ctx, const struct pattern_match *m)
{
    struct follow *f = ctx;
    const struct state *s = f->state;
    // Matches come by their ends, so the first that fits is the best one.
    if (m->id != s->patterns[f->next].id || m->begin < f->end)
        return false;
    signal_fact_evidence(f->out, f->view, m->begin, m->end, s->patterns[f->next].argument);
    f->end = m->end;
    return ++f->next == s->count;
}

static enum result sequence(const struct state *s, struct signal_context *ctx, struct fact *out)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct pattern_hits *hits;
    const struct text_views *views;
    enum result r = artifacts_hits(ctx, &hits);
    if (r || (r = artifacts_views(ctx, &views)))
        return r;
    struct follow f = {.state = s, .out = out};
    bool all = true;
    for (uint32_t i = 0; i < s->count && all; i++)
        all = find_hit(hits, s->patterns[i].id) != NULL;
    for (uint32_t i = 0; all && i < views->count && f.next < s->count && !r; i++) {
        f.view = &views->at[i];
        f.end = 0;
        r = pattern_scan(a->patterns, a->scratch->patterns, f.view->text, on_marker, &f);
    }
    bool found = s->count > 0 && f.next == s->count;
    if (!found) {
        out->evidence_count = out->evidence_total = 0;
        if (!r && hits->cut)
            r = RESULT_LIMIT;
    }
    signal_fact_number(out, found);
    return r;
}

static enum result density(const struct state *s, struct signal_context *ctx, struct fact *out)
{
    const struct pattern_hits *hits;
    const struct text_views *views;
    const struct text_stats *stats;
    enum result r = artifacts_hits(ctx, &hits);
    if (r || (r = artifacts_views(ctx, &views)) || (r = artifacts_stats(ctx, &stats)))
        return r;
    if (hits->cut || hits->uncounted)
        return RESULT_LIMIT;
    double matches = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct pattern_hit *hit = find_hit(hits, s->patterns[i].id);
        if (!hit)
            continue;
        matches += hit->count;
        signal_fact_evidence(out, &views->at[hit->view], hit->begin, hit->end,
                             s->patterns[i].argument);
    }
    signal_fact_number(out, matches / (stats->words ? stats->words : 1));
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    const struct text_views *views;
    const struct text_stats *t;
    uint32_t questions;
    if (s->kind == SEQUENCE)
        return sequence(s, ctx, out);
    if (s->kind == DENSITY)
        return density(s, ctx, out);
    enum result r = artifacts_views(ctx, &views);
    if (r || views->cut)
        return r ? r : RESULT_LIMIT;
    if (s->kind == QUESTIONS) {
        r = artifacts_questions(ctx, &questions);
        signal_fact_number(out, questions);
        return r;
    }
    r = artifacts_stats(ctx, &t);
    if (r)
        return r;
    const uint32_t counts[] = {t->questions,     t->code_blocks, t->list_items, t->numbers,
                               t->ordered_steps, t->links,       t->words,      t->chars};
    signal_fact_number(out, counts[s->kind]);
    return RESULT_OK;
}

const struct signal_family signal_structure = {
    .name = "structure",
    .summary = "questions, code, lists, numbers and markers of the text",
    .cost = SIGNAL_COST_TEXT,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .range = range,
    .type = type,
    .check = check,
    .prepare = prepare,
    .compute = compute,
};
