#include "text/pretoken.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "text/pretoken_split.h"
#include "text/token_model.h"
#include "text/utf8.h"

enum part {
    PART_GPT2,
    PART_LLAMA3,
    PART_CLASS, // every character of a class
    PART_WORDS, // \w+|[^\w\s]+
    PART_BERT,  // white space dropped, punctuation alone
    PART_LITERAL,
    PART_WRITE, // replaces spaces and puts something in front: Metaspace, a prefixed space
};

enum behaviour { REMOVED, ISOLATED, CONTIGUOUS, WITH_PREVIOUS, WITH_NEXT };
enum prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS };

struct stage {
    enum part part;
    enum behaviour behaviour;
    bool invert;
    uint8_t digits;     // PART_LLAMA3
    uint8_t mask;       // PART_CLASS
    enum prefix prefix; // PART_WRITE
    bool replace, split;
    struct slice text; // PART_LITERAL's, PART_WRITE's replacement; owned
};

struct pretoken {
    struct stage stages[PRETOKEN_STAGES_MAX];
    uint32_t count;
    bool byte_level;
};

struct pieces {
    struct pretoken_piece *at;
    uint32_t count, room;
};

struct written {
    char *at;
    uint32_t *from;
    uint32_t len, room;
};

struct pretoken_scratch {
    struct pieces pieces[2];
    struct written written[2];
};

// Opening.

static const struct {
    const char *text;
    enum part part;
    uint8_t digits;
} expressions[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     PART_GPT2, 0},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PART_GPT2,
     0},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*["
     "\\r\\n]+|\\s+(?!\\S)|\\s+",
     PART_LLAMA3, 3},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
     "|\\s+(?!\\S)|\\s+",
     PART_LLAMA3, 1},
};

static enum result parse_behaviour(const struct json *j, uint32_t node, enum behaviour *out,
                                   char *problem)
{
    static const char *const names[] = {"Removed", "Isolated", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
    for (unsigned i = 0; node != JSON_NONE && i < MERIT_COUNT(names); i++)
        if (json_string_is(j, node, slice_cstr(names[i]))) {
            *out = (enum behaviour)i;
            return RESULT_OK;
        }
    return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: no such behavior");
}

static enum result copy_text(struct slice s, struct slice *out)
{
    char *copy = alloc_bytes(s.len + 1);
    if (!copy)
        return RESULT_NOMEM;
    memcpy(copy, s.ptr, s.len);
    *out = slice_make(copy, s.len);
    return RESULT_OK;
}

static enum result parse_literal(const struct json *j, uint32_t node, struct arena *arena,
                                 struct stage *s, char *problem)
{
    struct slice text;
    if (node == JSON_NONE || json_type(j, node) != JSON_STRING)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: a pattern that is no string");
    text = json_string(j, node, arena);
    if (!text.ptr)
        return RESULT_NOMEM;
    s->part = PART_LITERAL;
    return copy_text(text, &s->text);
}

static enum result parse_split(const struct json *j, uint32_t node, struct arena *arena,
                               struct stage *s, char *problem)
{
    enum result r =
        parse_behaviour(j, json_get(j, node, SLICE("behavior"), NULL), &s->behaviour, problem);
    if (r != RESULT_OK)
        return r;
    s->invert = json_bool(j, json_get(j, node, SLICE("invert"), NULL), false);
    uint32_t pattern = json_get(j, node, SLICE("pattern"), NULL);
    if (pattern == JSON_NONE || json_type(j, pattern) != JSON_OBJECT)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: Split without a pattern");
    uint32_t literal = json_get(j, pattern, SLICE("String"), NULL);
    if (literal != JSON_NONE)
        return parse_literal(j, literal, arena, s, problem);
    uint32_t regex = json_get(j, pattern, SLICE("Regex"), NULL);
    if (regex == JSON_NONE || json_type(j, regex) != JSON_STRING)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: Split without a pattern");
    for (unsigned i = 0; i < MERIT_COUNT(expressions); i++)
        if (json_string_is(j, regex, slice_cstr(expressions[i].text))) {
            s->part = expressions[i].part;
            s->digits = expressions[i].digits;
            return RESULT_OK;
        }
    return token_problem(problem, RESULT_UNSUPPORTED,
                         "pre_tokenizer: Split by the expression %.*s is not known",
                         SLICE_FMT(slice_head(json_raw(j, regex), 80)));
}

static enum result parse_metaspace(const struct json *j, uint32_t node, struct arena *arena,
                                   struct stage *s, char *problem)
{
    uint32_t scheme = json_get(j, node, SLICE("prepend_scheme"), NULL);
    uint32_t legacy = json_get(j, node, SLICE("add_prefix_space"), NULL);
    uint32_t replacement = json_get(j, node, SLICE("replacement"), NULL);
    s->part = PART_WRITE;
    s->replace = true;
    s->split = json_bool(j, json_get(j, node, SLICE("split"), NULL), true);
    if (scheme == JSON_NONE || json_string_is(j, scheme, SLICE("always")))
        s->prefix = PREFIX_ALWAYS;
    else if (json_string_is(j, scheme, SLICE("first")))
        s->prefix = PREFIX_FIRST;
    else if (json_string_is(j, scheme, SLICE("never")))
        s->prefix = PREFIX_NEVER;
    else
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: no such prepend_scheme");
    if (s->prefix != PREFIX_NEVER && !json_bool(j, legacy, true))
        return token_problem(problem, RESULT_SYNTAX,
                             "pre_tokenizer: add_prefix_space contradicts prepend_scheme");
    if (replacement == JSON_NONE || json_type(j, replacement) != JSON_STRING)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: no replacement");
    struct slice text = json_string(j, replacement, arena);
    if (!text.ptr)
        return RESULT_NOMEM;
    unsigned n;
    if (text.len && (char_decode((const unsigned char *)text.ptr, &n), n == text.len))
        return copy_text(text, &s->text);
    return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: replacement is one character");
}

static enum result parse_byte_level(struct pretoken *p, const struct json *j, uint32_t node,
                                    char *problem)
{
    if (p->count + 2 > PRETOKEN_STAGES_MAX)
        return token_problem(problem, RESULT_LIMIT, "pre_tokenizer: more than %d parts",
                             PRETOKEN_STAGES_MAX);
    p->byte_level = true;
    if (json_bool(j, json_get(j, node, SLICE("add_prefix_space"), NULL), true)) {
        struct stage *s = &p->stages[p->count];
        *s = (struct stage){.part = PART_WRITE, .prefix = PREFIX_ALWAYS};
        if (copy_text(SLICE(" "), &s->text) != RESULT_OK)
            return RESULT_NOMEM;
        p->count++;
    }
    if (json_bool(j, json_get(j, node, SLICE("use_regex"), NULL), true))
        p->stages[p->count++] = (struct stage){.part = PART_GPT2, .behaviour = ISOLATED};
    return RESULT_OK;
}

static enum result parse_part(struct pretoken *p, const struct json *j, uint32_t node,
                              struct arena *arena, char *problem)
{
    uint32_t type = json_type(j, node) == JSON_OBJECT ? json_get(j, node, SLICE("type"), NULL)
                                                      : (uint32_t)JSON_NONE;
    struct slice name = type != JSON_NONE ? json_raw(j, type) : SLICE_EMPTY;
    enum result r = RESULT_OK;
    if (!name.len || json_type(j, type) != JSON_STRING)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: no type");
    if (p->byte_level)
        return token_problem(problem, RESULT_UNSUPPORTED, "pre_tokenizer: %.*s behind ByteLevel",
                             SLICE_FMT(slice_head(name, 40)));
    if (slice_eq_cstr(name, "ByteLevel"))
        return parse_byte_level(p, j, node, problem);
    if (p->count == PRETOKEN_STAGES_MAX)
        return token_problem(problem, RESULT_LIMIT, "pre_tokenizer: more than %d parts",
                             PRETOKEN_STAGES_MAX);
    struct stage s = {.part = PART_CLASS, .behaviour = REMOVED};
    if (slice_eq_cstr(name, "Split")) {
        r = parse_split(j, node, arena, &s, problem);
    } else if (slice_eq_cstr(name, "BertPreTokenizer")) {
        s.part = PART_BERT;
    } else if (slice_eq_cstr(name, "Whitespace")) {
        s.part = PART_WORDS;
        s.invert = true;
    } else if (slice_eq_cstr(name, "WhitespaceSplit")) {
        s.mask = CHAR_SPACE;
    } else if (slice_eq_cstr(name, "Metaspace")) {
        r = parse_metaspace(j, node, arena, &s, problem);
    } else if (slice_eq_cstr(name, "Digits")) {
        s.mask = CHAR_NUMERIC;
        s.behaviour = json_bool(j, json_get(j, node, SLICE("individual_digits"), NULL), false)
                          ? ISOLATED
                          : CONTIGUOUS;
    } else if (slice_eq_cstr(name, "Punctuation")) {
        uint32_t behaviour = json_get(j, node, SLICE("behavior"), NULL);
        s.mask = CHAR_PUNCTUATION;
        s.behaviour = ISOLATED;
        if (behaviour != JSON_NONE)
            r = parse_behaviour(j, behaviour, &s.behaviour, problem);
    } else if (slice_eq_cstr(name, "CharDelimiterSplit")) {
        r = parse_literal(j, json_get(j, node, SLICE("delimiter"), NULL), arena, &s, problem);
    } else {
        r = token_problem(problem, RESULT_UNSUPPORTED, "pre_tokenizer: %.*s is not known",
                          SLICE_FMT(slice_head(name, 60)));
    }
    if (r == RESULT_OK)
        p->stages[p->count++] = s;
    return r;
}

// Sequences may stand in sequences; the tape's depth and PRETOKEN_STAGES_MAX bound it.
static enum result parse_node(struct pretoken *p, const struct json *j, uint32_t node,
                              struct arena *arena, char *problem)
{
    uint32_t type = json_type(j, node) == JSON_OBJECT ? json_get(j, node, SLICE("type"), NULL)
                                                      : (uint32_t)JSON_NONE;
    if (type == JSON_NONE || !json_string_is(j, type, SLICE("Sequence")))
        return parse_part(p, j, node, arena, problem);
    uint32_t list = json_get(j, node, SLICE("pretokenizers"), NULL), at = 0, part;
    if (list == JSON_NONE || json_type(j, list) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "pre_tokenizer: a Sequence of nothing");
    while (json_element(j, list, &at, &part)) {
        enum result r = parse_node(p, j, part, arena, problem);
        if (r != RESULT_OK)
            return r;
    }
    return RESULT_OK;
}

enum result pretoken_open(const struct json *j, uint32_t node, char *problem, struct pretoken **out)
{
    struct pretoken *p = alloc_zeroed(1, sizeof *p);
    if (!p)
        return RESULT_NOMEM;
    struct arena arena;
    arena_init(&arena, 0, 1 << 20);
    enum result r = RESULT_OK;
    if (node != JSON_NONE && json_type(j, node) != JSON_NULL)
        r = parse_node(p, j, node, &arena, problem);
    arena_deinit(&arena);
    if (r != RESULT_OK) {
        pretoken_close(p);
        p = NULL;
    }
    *out = p;
    return r;
}

void pretoken_close(struct pretoken *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->count; i++)
        alloc_free((char *)p->stages[i].text.ptr);
    alloc_free(p);
}

bool pretoken_byte_level(const struct pretoken *p)
{
    return p->byte_level;
}

enum result pretoken_scratch_open(struct pretoken_scratch **out)
{
    *out = alloc_zeroed(1, sizeof **out);
    return *out ? RESULT_OK : RESULT_NOMEM;
}

void pretoken_scratch_close(struct pretoken_scratch *s)
{
    if (!s)
        return;
    for (int i = 0; i < 2; i++) {
        alloc_free(s->pieces[i].at);
        alloc_free(s->written[i].at);
        alloc_free(s->written[i].from);
    }
    alloc_free(s);
}

// Cutting.

static enum result grow_pieces(struct pieces *l)
{
    uint32_t room =
        l->room ? l->room * 2 : 256; // pieces are not empty, so the text's limit bounds it
    struct pretoken_piece *at = alloc_resize(l->at, (size_t)room * sizeof *at);
    if (!at)
        return RESULT_NOMEM;
    l->at = at;
    l->room = room;
    return RESULT_OK;
}

static inline enum result add(struct pieces *l, size_t begin, size_t end)
{
    if (begin == end)
        return RESULT_OK;
    if (MERIT_UNLIKELY(l->count == l->room)) {
        enum result r = grow_pieces(l);
        if (r != RESULT_OK)
            return r;
    }
    l->at[l->count++] = (struct pretoken_piece){(uint32_t)begin, (uint32_t)end};
    return RESULT_OK;
}

// The next occurrence; NULL when there is none. memmem is slow to begin, and these are short and near.
static const unsigned char *find_literal(const unsigned char *at, const unsigned char *end,
                                         struct slice text)
{
    if (!text.len)
        return NULL;
    if (text.len > 4)
        return memmem(at, (size_t)(end - at), text.ptr, text.len);
    for (; (size_t)(end - at) >= text.len; at++) {
        at = memchr(at, (unsigned char)text.ptr[0], (size_t)(end - at) - (text.len - 1));
        if (!at || memcmp(at, text.ptr, text.len) == 0)
            return at;
    }
    return NULL;
}

// The match, or the stretch without one, that begins at `at`.
static const unsigned char *segment(const struct stage *s, const unsigned char *at,
                                    const unsigned char *end, bool *match)
{
    unsigned n, kind;
    *match = true;
    switch (s->part) {
    case PART_GPT2:
        return pretoken_gpt2(at, end);
    case PART_LLAMA3:
        return pretoken_llama3(at, end, s->digits);
    case PART_CLASS:
        kind = pretoken_class(at, &n);
        if (kind & s->mask)
            return at + n;
        *match = false;
        return pretoken_run(at + n, end, s->mask, 0);
    case PART_WORDS:
        kind = pretoken_class(at, &n) & (CHAR_WORD | CHAR_SPACE);
        *match = !(kind & CHAR_SPACE);
        return pretoken_run(at + n, end, CHAR_WORD | CHAR_SPACE, kind);
    default:
        assert(s->part == PART_LITERAL);
        break;
    }
    const unsigned char *found = find_literal(at, end, s->text);
    *match = found == at;
    return !found ? end : *match ? at + s->text.len : found;
}

// One piece of `text` by one part, with the reference's five behaviours.
static enum result split(const struct stage *s, const unsigned char *text,
                         struct pretoken_piece piece, struct pieces *out)
{
    const unsigned char *at = text + piece.begin, *end = text + piece.end;
    const unsigned char *open = at; // of the piece in the making
    bool match, before = false;
    enum result r = RESULT_OK;
    for (const unsigned char *next; at < end && r == RESULT_OK; at = next, before = match) {
        next = segment(s, at, end, &match);
        match ^= s->invert;
        bool cut = false; // between what is open and this segment
        switch (s->behaviour) {
        case REMOVED:
            if (!match)
                r = add(out, (size_t)(at - text), (size_t)(next - text));
            continue;
        case ISOLATED:
            cut = true;
            break;
        case CONTIGUOUS:
            cut = match != before;
            break;
        case WITH_PREVIOUS:
            cut = !match || before;
            break;
        case WITH_NEXT:
            cut = match || !before;
            break;
        }
        if (cut) {
            r = add(out, (size_t)(open - text), (size_t)(at - text));
            open = at;
        }
    }
    if (r == RESULT_OK && s->behaviour != REMOVED)
        r = add(out, (size_t)(open - text), (size_t)(end - text));
    return r;
}

// The two most used parts without the detour through segments.
static enum result split_isolated(const struct stage *s, const unsigned char *text,
                                  struct pretoken_piece piece, struct pieces *out)
{
    const unsigned char *at = text + piece.begin, *end = text + piece.end, *next;
    enum result r = RESULT_OK;
    for (; at < end && r == RESULT_OK; at = next) {
        next = s->part == PART_GPT2 ? pretoken_gpt2(at, end) : pretoken_llama3(at, end, s->digits);
        r = add(out, (size_t)(at - text), (size_t)(next - text));
    }
    return r;
}

static enum result split_bert(const unsigned char *text, struct pretoken_piece piece,
                              struct pieces *out)
{
    const unsigned char *at = text + piece.begin, *end = text + piece.end;
    enum result r = RESULT_OK;
    while (at < end && r == RESULT_OK) {
        unsigned n, kind = pretoken_class(at, &n) & (CHAR_SPACE | CHAR_PUNCTUATION);
        const unsigned char *begin = at;
        at += n;
        if (kind == CHAR_SPACE)
            continue;
        if (!kind)
            at = pretoken_run(at, end, CHAR_SPACE | CHAR_PUNCTUATION, 0);
        r = add(out, (size_t)(begin - text), (size_t)(at - text));
    }
    return r;
}

static enum result reserve_written(struct written *w, size_t more)
{
    if (w->room - w->len >= more)
        return RESULT_OK;
    // A text of PRETOKEN_TEXT_MAX bytes grows fivefold at most, by one writing part.
    if (more > (size_t)UINT32_MAX / 2 - w->len)
        return RESULT_LIMIT;
    uint32_t room = (uint32_t)(w->len + more) * 2 > 1024 ? (uint32_t)(w->len + more) : 512;
    room += room / 2;
    char *at = alloc_resize(w->at, room);
    if (!at)
        return RESULT_NOMEM;
    w->at = at;
    uint32_t *from = alloc_resize(w->from, (size_t)room * sizeof *from);
    if (!from)
        return RESULT_NOMEM;
    w->from = from;
    w->room = room;
    return RESULT_OK;
}

static void put(struct written *w, const char *text, size_t n, uint32_t from)
{
    memcpy(w->at + w->len, text, n);
    for (size_t i = 0; i < n; i++)
        w->from[w->len + i] = from;
    w->len += (uint32_t)n;
}

static void put_source(struct written *w, const struct pretoken_cut *in, size_t begin, size_t end)
{
    memcpy(w->at + w->len, in->text.ptr + begin, end - begin);
    for (size_t i = begin; i < end; i++)
        w->from[w->len + i - begin] = in->from ? in->from[i] : (uint32_t)i;
    w->len += (uint32_t)(end - begin);
}

// Writes one piece with its spaces replaced and its prefix, and cuts it before each replacement.
static enum result write_piece(const struct stage *s, const struct pretoken_cut *in,
                               struct pretoken_piece piece, bool at_start, struct written *w,
                               struct pieces *out)
{
    const char *text = in->text.ptr;
    size_t n = piece.end - piece.begin;
    enum result r = reserve_written(w, (n + 1) * 4);
    if (r != RESULT_OK)
        return r;
    uint32_t first = in->from ? in->from[piece.begin] : piece.begin, begin = w->len;
    bool has = (s->replace && text[piece.begin] == ' ') ||
               slice_starts_with(slice_make(text + piece.begin, n), s->text);
    if (!has && (s->prefix == PREFIX_ALWAYS || (s->prefix == PREFIX_FIRST && at_start && !first)))
        put(w, s->text.ptr, s->text.len, first);
    for (size_t at = piece.begin; at < piece.end;) {
        const char *space = s->replace ? memchr(text + at, ' ', piece.end - at) : NULL;
        size_t next = space ? (size_t)(space - text) : piece.end;
        put_source(w, in, at, next);
        if (space)
            put(w, s->text.ptr, s->text.len, in->from ? in->from[next] : (uint32_t)next);
        at = next + (space != NULL);
    }
    struct pretoken_piece whole = {begin, w->len};
    if (!s->split)
        return add(out, whole.begin, whole.end);
    struct stage cut = {.part = PART_LITERAL, .behaviour = WITH_NEXT, .text = s->text};
    return split(&cut, (const unsigned char *)w->at, whole, out);
}

static enum result run_stage(const struct stage *s, const struct pretoken_cut *in, bool at_start,
                             struct written *w, struct pieces *out)
{
    const unsigned char *text = (const unsigned char *)in->text.ptr;
    enum result r = RESULT_OK;
    out->count = 0;
    w->len = 0;
    for (uint32_t i = 0; i < in->count && r == RESULT_OK; i++) {
        if (s->part == PART_WRITE)
            r = write_piece(s, in, in->pieces[i], at_start, w, out);
        else if (s->part == PART_BERT)
            r = split_bert(text, in->pieces[i], out);
        else if (s->behaviour == ISOLATED && (s->part == PART_GPT2 || s->part == PART_LLAMA3))
            r = split_isolated(s, text, in->pieces[i], out);
        else
            r = split(s, text, in->pieces[i], out);
    }
    return r;
}

enum result pretoken_cut(const struct pretoken *p, struct pretoken_scratch *s, struct slice text,
                         bool at_start, struct pretoken_cut *out)
{
    if (text.len > PRETOKEN_TEXT_MAX)
        return RESULT_LIMIT;
    s->pieces[0].count = 0;
    enum result r = add(&s->pieces[0], 0, text.len);
    unsigned from = 0, written = 0;
    *out = (struct pretoken_cut){text, NULL, s->pieces[0].at, s->pieces[0].count};
    for (uint32_t i = 0; i < p->count && r == RESULT_OK; i++) {
        struct pieces *to = &s->pieces[from ^= 1];
        struct written *w = &s->written[written];
        r = run_stage(&p->stages[i], out, at_start, w, to);
        if (p->stages[i].part == PART_WRITE) {
            out->text = slice_make(w->at, w->len);
            out->from = w->from;
            written ^= 1;
        }
        out->pieces = to->at;
        out->count = to->count;
    }
    return r;
}
