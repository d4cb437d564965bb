// keywords: whether words, expressions or phrases occur in the anchored text, or how like it is.
//
//   keywords("a", "b c")              bool: literals, whole words but next to CJK (text/pattern.h)
//   keywords(regex "a+b", "c.*d")     bool: regular expressions of vectorscan
//   keywords(fuzzy "kubernetes", distance 2)  bool: near by optimal string alignment
//   keywords(bm25 "doc 1", "doc 2")   number: the greatest BM25 score of a document
//   keywords(ngram "phrase", arity 3) number: the greatest n-gram likeness, 0 to 1
//
// Formulas are in signal/similar.h. Numbers are used with `above` or `below`; that makes n-grams
// many times cheaper, since most texts are nowhere near the threshold.
//
// A tag holds for the strings behind it until another; literals and regular expressions may be
// mixed (`literal "x"`), the others not. `match any` (the default) is true when one occurs, `all`
// when every one does, `none` when none does; for numbers `any` is the greatest value, `all` the
// least. `case on` tells upper and lower case apart (literal and regex only).
//
// Asks: the text of the anchor message (work/anchor.h), each part by itself. Needs: the shared
// pattern scan, or the shared word split, which is left out where the folded text alone shows that
// no phrase is near. Costs: signal_keywords.cost and docs/signals.md.
// Evidence: per string that is found its first place (of a number: where the best phrase was
// found). Limits: KEYWORDS_MAX strings of 4,096 bytes; bm25 SIMILAR_PHRASES_MAX; fuzzy and ngram
// SIMILAR_COMPARED_MAX strings of 64 characters. On text that was cut (SIGNAL_TEXT_MAX,
// SIGNAL_WORDS_MAX) the signal fails with FACT_ERROR_LIMIT unless what was seen decides it.
#include <math.h>
#include <stdlib.h>

#include "signal/families.h"
#include "signal/pieces.h"
#include "signal/similar.h"

enum { KEYWORDS_MAX = 16384, DISTANCE_DEFAULT = 2, ARITY_DEFAULT = 3 };

enum mode { LITERAL, REGEX, BM25, NGRAM, FUZZY, MODES };
enum match { ANY, ALL, NONE };

static const char *const tags[] = {"literal", "regex", "bm25", "ngram", "fuzzy", NULL};
static const char *const matches[] = {"any", "all", "none", NULL};
static const char *const cases[] = {"off", "on", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_STRING,
     .tags = tags,
     .required = true,
     .repeated = true,
     .help = "what is looked for"},
    {.name = "match",
     .kind = SIGNAL_ARG_WORD,
     .words = matches,
     .help = "any (default), all or none of the strings"},
    {.name = "case",
     .kind = SIGNAL_ARG_WORD,
     .words = cases,
     .help = "on tells upper and lower case apart"},
    {.name = "distance",
     .kind = SIGNAL_ARG_NUMBER,
     .min = 1,
     .max = SIMILAR_DISTANCE_MAX,
     .help = "edits of `fuzzy`"},
    {.name = "arity",
     .kind = SIGNAL_ARG_NUMBER,
     .min = SIMILAR_ARITY_MIN,
     .max = SIMILAR_ARITY_MAX,
     .help = "characters of an n-gram"},
};

// A pattern and the argument it stands for; sorted by pattern for look-ups by hit.
struct wanted {
    uint32_t id, argument;
};

struct state {
    enum mode mode;
    enum match match;
    uint32_t count;
    uint32_t *argument; // of each phrase
    struct wanted *wanted;
    struct bm25 *bm25;
    struct ngram **ngrams;
    struct fuzzy **fuzzies;
    struct piece_set *pieces; // of bm25 and fuzzy, or NULL
    double floor;             // no value below it makes a difference
};

// Walks the strings with the tag that holds for each.
static bool next_string(const struct policy_image *image, const struct image_signal *def,
                        uint32_t *at, enum mode *mode, const struct image_arg **arg)
{
    while (*at < def->args.count) {
        const struct image_arg *a = &signal_args(image, def)[(*at)++];
        if (a->kind != IMAGE_ARG_STRING || !signal_arg_positional(a))
            continue;
        int tag = a->tag.len ? signal_word_index(tags, image_text(image, a->tag)) : -1;
        if (tag >= 0)
            *mode = (enum mode)tag;
        *arg = a;
        return true;
    }
    return false;
}

static uint32_t count_strings(const struct policy_image *image, const struct image_signal *def,
                              uint32_t modes[MODES])
{
    enum mode mode = LITERAL;
    const struct image_arg *arg;
    uint32_t n = 0;
    for (uint32_t at = 0; next_string(image, def, &at, &mode, &arg); n++)
        modes[mode]++;
    return n;
}

static enum mode mode_of(const uint32_t modes[MODES])
{
    for (int m = BM25; m < MODES; m++)
        if (modes[m])
            return (enum mode)m;
    return LITERAL;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    uint32_t modes[MODES] = {0};
    count_strings(image, def, modes);
    enum mode mode = mode_of(modes);
    return mode == BM25 || mode == NGRAM ? SIGNAL_NUMBER : SIGNAL_BOOL;
}

// Likeness of n-grams is 0 to 1, BM25 has no bound.
static void range(const struct policy_image *image, const struct image_signal *def, double *max,
                  bool *whole)
{
    uint32_t modes[MODES] = {0};
    (void)whole;
    count_strings(image, def, modes);
    if (mode_of(modes) == NGRAM)
        *max = 1;
}

static int named_word(const struct policy_image *image, const struct image_signal *def,
                      const char *name, const char *const *words)
{
    const struct image_arg *a = signal_arg_named(image, def, name);
    int i = a ? signal_word_index(words, image_text(image, a->text)) : 0;
    return i < 0 ? 0 : i;
}

static uint32_t named_number(const struct policy_image *image, const struct image_signal *def,
                             const char *name, uint32_t otherwise)
{
    const struct image_arg *a = signal_arg_named(image, def, name);
    return a ? (uint32_t)a->number : otherwise;
}

static uint32_t strings_max(enum mode mode)
{
    return mode <= REGEX ? KEYWORDS_MAX : mode == BM25 ? SIMILAR_PHRASES_MAX : SIMILAR_COMPARED_MAX;
}

static const char *phrase_error(enum mode mode, struct slice text, uint32_t arity)
{
    struct arena arena;
    struct ngram *n;
    struct fuzzy *f;
    uint32_t words;
    arena_init(&arena, 0, 1024 * 1024);
    enum result r = mode == NGRAM   ? ngram_prepare(text, arity, &arena, &n)
                    : mode == FUZZY ? fuzzy_prepare(text, DISTANCE_DEFAULT, &arena, &f)
                                    : RESULT_OK;
    if (mode == BM25 && text_words_fold(text, &arena, &words).len == 0)
        r = RESULT_SYNTAX;
    arena_deinit(&arena);
    return r == RESULT_LIMIT    ? "longer than 64 characters"
           : r == RESULT_SYNTAX ? "has no word"
                                : NULL;
}

static void check_string(const struct policy_image *image, const struct image_signal *def,
                         enum mode mode, uint32_t at,
                         void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    struct slice text = image_text(image, signal_args(image, def)[at].text);
    char diag[PATTERN_DIAG_BYTES];
    const char *error = NULL;
    if (text.len == 0 || text.len > PATTERN_BYTES_MAX)
        error = "a string of 1 to 4096 bytes is needed";
    else if (mode == REGEX)
        error = pattern_check(text, diag) ? diag : NULL;
    else if (mode != LITERAL)
        error = phrase_error(mode, text, named_number(image, def, "arity", ARITY_DEFAULT));
    if (error)
        fail(ctx, at, error);
}

static void check(const struct policy_image *image, const struct image_signal *def,
                  void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    uint32_t modes[MODES] = {0}, strings = count_strings(image, def, modes), kinds = 0;
    enum mode mode = mode_of(modes), held = LITERAL;
    const struct image_arg *arg;
    for (int m = LITERAL; m < MODES; m++)
        kinds += modes[m] > 0;
    if (strings == 0)
        fail(ctx, 0, "a string to look for is needed");
    if (strings > strings_max(mode))
        fail(ctx, strings_max(mode),
             mode <= REGEX  ? "more than 16384 strings"
             : mode == BM25 ? "more than 256 documents"
                            : "more than 64 phrases");
    if (mode > REGEX && kinds > 1)
        fail(ctx, 0, "bm25, ngram and fuzzy strings stand alone; write a signal for each");
    if ((mode == BM25 || mode == NGRAM) && named_word(image, def, "match", matches) == NONE)
        fail(ctx, 0, "a number has no `match none`; use `below`");
    if (mode > REGEX && signal_arg_named(image, def, "case"))
        fail(ctx, 0, "bm25, ngram and fuzzy know no case");
    if (mode != FUZZY && signal_arg_named(image, def, "distance"))
        fail(ctx, 0, "`distance` belongs to fuzzy strings");
    if (mode != NGRAM && signal_arg_named(image, def, "arity"))
        fail(ctx, 0, "`arity` belongs to ngram strings");
    for (uint32_t at = 0; next_string(image, def, &at, &held, &arg);)
        check_string(image, def, held, at - 1, fail, ctx);
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct wanted *)a)->id, y = ((const struct wanted *)b)->id;
    return x < y ? -1 : x > y;
}

static enum result prepare_patterns(const struct policy_image *image,
                                    const struct image_signal *def, struct arena *arena,
                                    struct pattern_builder *patterns, struct state *s)
{
    bool match_case = named_word(image, def, "case", cases) == 1;
    enum mode mode = LITERAL;
    const struct image_arg *arg;
    uint32_t n = 0;
    s->wanted = ARENA_ARRAY(arena, struct wanted, s->count);
    if (!s->wanted)
        return RESULT_NOMEM;
    for (uint32_t at = 0; next_string(image, def, &at, &mode, &arg); n++) {
        enum result r = pattern_add(patterns, mode == REGEX ? PATTERN_REGEX : PATTERN_LITERAL,
                                    image_text(image, arg->text), match_case, &s->wanted[n].id);
        if (r)
            return r;
        s->wanted[n].argument = at - 1;
    }
    qsort(s->wanted, n, sizeof *s->wanted, by_id);
    // The same string twice is one question.
    s->count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || s->wanted[i].id != s->wanted[i - 1].id)
            s->wanted[s->count++] = s->wanted[i];
    return RESULT_OK;
}

static enum result prepare_pieces(struct state *s, uint32_t phrases, struct arena *arena)
{
    struct slice *texts = ARENA_ARRAY(arena, struct slice, PIECES_MAX);
    struct piece_set *set = ARENA_NEW(arena, struct piece_set);
    uint32_t n = 0, more = 1;
    if (!texts || !set)
        return RESULT_NOMEM;
    if (s->mode == BM25 && !bm25_pieces(s->bm25, arena, texts, PIECES_MAX, &n))
        return RESULT_OK;
    for (uint32_t i = 0; i < phrases && s->mode == FUZZY; i++, n += more) {
        more = n + SIMILAR_DISTANCE_MAX + 1 <= PIECES_MAX
                   ? fuzzy_pieces(s->fuzzies[i], arena, texts + n)
                   : 0;
        if (more == 0)
            return RESULT_OK;
    }
    s->pieces = set;
    return pieces_prepare(texts, n, arena, set);
}

static enum result prepare_phrases(const struct policy_image *image, const struct image_signal *def,
                                   struct arena *arena, struct state *s)
{
    uint32_t arity = named_number(image, def, "arity", ARITY_DEFAULT);
    uint32_t distance = named_number(image, def, "distance", DISTANCE_DEFAULT), n = 0;
    struct slice *texts = ARENA_ARRAY(arena, struct slice, s->count);
    enum mode mode = LITERAL;
    const struct image_arg *arg;
    s->argument = ARENA_ARRAY(arena, uint32_t, s->count);
    s->ngrams = ARENA_ARRAY(arena, struct ngram *, s->count);
    s->fuzzies = ARENA_ARRAY(arena, struct fuzzy *, s->count);
    if (!texts || !s->argument || !s->ngrams || !s->fuzzies)
        return RESULT_NOMEM;
    for (uint32_t at = 0; next_string(image, def, &at, &mode, &arg); n++) {
        s->argument[n] = at - 1;
        texts[n] = image_text(image, arg->text);
    }
    enum result r = s->mode == BM25 ? bm25_prepare(texts, n, arena, &s->bm25) : RESULT_OK;
    for (uint32_t i = 0; i < n && !r && s->mode != BM25; i++)
        r = s->mode == NGRAM ? ngram_prepare(texts[i], arity, arena, &s->ngrams[i])
                             : fuzzy_prepare(texts[i], distance, arena, &s->fuzzies[i]);
    return r || s->mode == NGRAM ? r : prepare_pieces(s, n, arena);
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    uint32_t modes[MODES] = {0};
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    s->count = count_strings(image, def, modes);
    s->mode = mode_of(modes);
    s->match = (enum match)named_word(image, def, "match", matches);
    if (def->has_threshold)
        s->floor = nextafter(def->threshold, -INFINITY);
    *state = s;
    if (s->count == 0)
        return RESULT_SYNTAX;
    if (s->count > strings_max(s->mode))
        return RESULT_LIMIT;
    return s->mode <= REGEX ? prepare_patterns(image, def, arena, load->patterns, s)
                            : prepare_phrases(image, def, arena, s);
}

// A truth value from how many of the strings occur. Text that was cut can only add to them.
static enum result decide(const struct state *s, uint32_t found, bool cut, struct fact *out)
{
    bool all = found == s->count;
    signal_fact_number(out, s->match == ANY ? found > 0 : s->match == ALL ? all : found == 0);
    bool decided = s->match == ALL ? all : found > 0;
    return cut && !decided ? RESULT_LIMIT : RESULT_OK;
}

static const struct wanted *find_wanted(const struct state *s, uint32_t id)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->wanted[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->count && s->wanted[low].id == id ? &s->wanted[low] : NULL;
}

static enum result compute_patterns(const struct state *s, struct signal_context *ctx,
                                    struct fact *out)
{
    const struct pattern_hits *hits;
    const struct text_views *views;
    uint32_t found = 0;
    enum result r = artifacts_hits(ctx, &hits);
    if (r || (r = artifacts_views(ctx, &views)))
        return r;
    for (uint32_t i = 0; i < hits->count; i++) {
        const struct pattern_hit *h = &hits->at[i];
        const struct wanted *w = find_wanted(s, h->id);
        if (!w)
            continue;
        found++;
        signal_fact_evidence(out, &views->at[h->view], h->begin, h->end, w->argument);
    }
    return decide(s, found, hits->cut, out);
}

static void show_place(struct fact *out, const struct text_views *views,
                       const struct text_words *words, const struct similar_place *place,
                       uint32_t argument)
{
    if (!place->found)
        return;
    const struct text_word *first = &words->at[place->first_word];
    const struct text_word *last = &words->at[place->first_word + place->words - 1];
    signal_fact_evidence(out, &views->at[word_view(first)], first->begin,
                         last->begin + word_len(last), argument);
}

// Whether a phrase may be in the text, as far as can be told without splitting it into words.
static enum result possible(const struct state *s, struct signal_context *ctx, bool *out)
{
    const struct slice *folded;
    *out = true;
    if (s->mode == NGRAM ? s->floor <= 0 : !s->pieces)
        return RESULT_OK;
    enum result r = artifacts_folded(ctx, &folded);
    if (r || !folded)
        return r;
    if (s->mode != NGRAM) {
        *out = pieces_occur(s->pieces, *folded);
        return RESULT_OK;
    }
    *out = false;
    for (uint32_t i = 0; i < s->count && !*out; i++)
        *out = ngram_possible(s->ngrams[i], *folded, s->floor);
    return RESULT_OK;
}

static enum result compute_fuzzy(const struct state *s, const struct text_views *views,
                                 const struct text_words *words, struct fact *out)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct similar_place place;
        if (!fuzzy_find(s->fuzzies[i], words, &place))
            continue;
        found++;
        show_place(out, views, words, &place, s->argument[i]);
    }
    return decide(s, found, words->cut, out);
}

static enum result compute_number(const struct state *s, struct arena *arena,
                                  const struct text_views *views, const struct text_words *words,
                                  struct fact *out)
{
    double *scores = arena_alloc(arena, s->count * sizeof *scores);
    struct similar_place *places = arena_alloc(arena, s->count * sizeof *places);
    enum result r = scores && places ? RESULT_OK : RESULT_NOMEM;
    uint32_t best = 0;
    if (!r && s->mode == BM25)
        r = bm25_scores(s->bm25, words, arena, scores, places);
    for (uint32_t i = 0; i < s->count && !r; i++) {
        if (s->mode == NGRAM)
            scores[i] = ngram_best(s->ngrams[i], words, s->floor, arena, &places[i]);
        if (s->match == ALL ? scores[i] < scores[best] : scores[i] > scores[best])
            best = i;
    }
    if (r)
        return r;
    show_place(out, views, words, &places[best], s->argument[best]);
    signal_fact_number(out, scores[best]);
    return words->cut ? RESULT_LIMIT : RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    const struct text_views *views;
    const struct text_words *words;
    if (s->mode <= REGEX)
        return compute_patterns(s, ctx, out);
    bool may;
    enum result r = artifacts_views(ctx, &views);
    if (r || (r = possible(s, ctx, &may)))
        return r;
    if (!may) {
        if (s->mode == FUZZY)
            return decide(s, 0, false, out);
        signal_fact_number(out, 0);
        return RESULT_OK;
    }
    r = artifacts_words(ctx, &words);
    if (r)
        return r;
    return s->mode == FUZZY ? compute_fuzzy(s, views, words, out)
                            : compute_number(s, ctx->arena, views, words, out);
}

const struct signal_family signal_keywords = {
    .name = "keywords",
    .summary = "words, expressions and phrases in the text",
    .cost = SIGNAL_COST_PATTERN,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .range = range,
    .type = type,
    .check = check,
    .prepare = prepare,
    .compute = compute,
};
