// Normalisers from tokenizer.json.
#include <stdio.h>

#include "text/char_form.h"
#include "text/normalizer_steps.h"
#include "text/token_open.h"
#include "text/utf8.h"

// One character or one of a backslash's; false when it is neither.
static bool read_atom(struct slice p, uint32_t *at, struct norm_step *s)
{
    if (*at >= p.len || s->class_count == NORM_CLASS_MAX)
        return false;
    uint32_t code = norm_next(p, at);
    if (code == '\\') {
        if (*at >= p.len)
            return false;
        code = norm_next(p, at);
        if (code == 's') {
            s->class_white = true;
            return true;
        }
        if (code == 'n' || code == 't' || code == 'r')
            code = code == 'n' ? '\n' : code == 't' ? '\t' : '\r';
        else if (code >= 0x80 || (code | 0x20) - 'a' < 26 || code - '0' < 10)
            return false;
    } else if (code < 0x80 && strchr(".^$*+?()[]{}|-", (int)code)) {
        return false;
    }
    s->class[s->class_count++] = code;
    return true;
}

static bool read_number(struct slice p, uint32_t *at, uint32_t *out)
{
    uint32_t begin = *at;
    for (*out = 0; *at < p.len && (unsigned char)(p.ptr[*at] - '0') < 10 && *at - begin < 6; ++*at)
        *out = *out * 10 + (uint32_t)(p.ptr[*at] - '0');
    return *at > begin;
}

// An atom or a class of atoms, once or as often as it stands there.
static bool read_expression(struct norm_step *s, struct slice p)
{
    uint32_t at = 0;
    if (p.len && p.ptr[0] == '[') {
        for (at = 1; at < p.len && p.ptr[at] != ']';) {
            if (!read_atom(p, &at, s))
                return false;
        }
        if (at == p.len || at == 1)
            return false;
        at++;
    } else if (!read_atom(p, &at, s)) {
        return false;
    }
    s->repeat_min = s->repeat_max = 1;
    if (at < p.len && p.ptr[at] == '+') {
        s->repeat_max = UINT32_MAX;
        at++;
    } else if (at < p.len && p.ptr[at] == '{') {
        at++;
        if (!read_number(p, &at, &s->repeat_min) || !s->repeat_min)
            return false;
        s->repeat_max = s->repeat_min;
        if (at < p.len && p.ptr[at] == ',') {
            at++;
            if (!read_number(p, &at, &s->repeat_max))
                s->repeat_max = UINT32_MAX;
        }
        if (at == p.len || p.ptr[at++] != '}' || s->repeat_max < s->repeat_min)
            return false;
    }
    return at == p.len;
}

static enum result read_replace(struct normalizer *n, const struct json *j, uint32_t node,
                                char *problem, struct norm_step *s)
{
    uint32_t pattern = token_member(j, node, SLICE("pattern"));
    struct slice regex;
    bool is_string, is_regex;
    enum result r = token_string(j, node, SLICE("content"), &n->arena, problem, NULL, &s->content);
    if (!r)
        r = token_string(j, pattern, SLICE("String"), &n->arena, problem, &is_string, &s->pattern);
    if (!r)
        r = token_string(j, pattern, SLICE("Regex"), &n->arena, problem, &is_regex, &regex);
    if (r)
        return r;
    if (is_string ? !s->pattern.len : !is_regex)
        return token_problem(problem, RESULT_SYNTAX, "normalizer Replace has no pattern");
    if (!is_string && !read_expression(s, regex))
        return token_problem(problem, RESULT_UNSUPPORTED,
                             "normalizer Replace with the expression %.*s",
                             (int)(regex.len < 64 ? regex.len : 64), regex.ptr);
    return RESULT_OK;
}

static enum result read_bert(const struct json *j, uint32_t node, char *problem,
                             struct norm_step *s)
{
    enum result r = token_bool(j, node, SLICE("clean_text"), true, problem, &s->clean);
    if (!r)
        r = token_bool(j, node, SLICE("handle_chinese_chars"), true, problem, &s->han);
    if (!r)
        r = token_bool(j, node, SLICE("lowercase"), true, problem, &s->lower);
    if (!r)
        r = token_bool(j, node, SLICE("strip_accents"), s->lower, problem, &s->strip_accents);
    return r;
}

static void fill_ascii(struct norm_step *s)
{
    for (uint32_t c = 1; c < 0x80; c++) {
        uint32_t low[CHAR_LOWER_MAX] = {c};
        if (s->clean && char_bert_removed(c))
            continue;
        if (s->clean && char_white(c))
            low[0] = ' ';
        else if (s->lower)
            char_lower(c, low);
        s->ascii[c] = (uint8_t)low[0];
    }
}

static enum result read_charsmap(struct normalizer *n, const struct json *j, uint32_t node,
                                 char *problem, struct norm_step *s)
{
    struct arena arena; // the text is large and not kept
    struct slice text;
    bool found;
    arena_init(&arena, 0, (size_t)TOKENIZER_JSON_MAX * 3);
    enum result r =
        token_string(j, node, SLICE("precompiled_charsmap"), &arena, problem, &found, &text);
    if (!r && text.len) {
        r = charsmap_open(text, &s->charsmap);
        if (r == RESULT_SYNTAX)
            token_problem(problem, r, "normalizer.precompiled_charsmap is none");
    } else if (!r) {
        n->count--; // an empty map changes nothing
    }
    arena_deinit(&arena);
    return r;
}

static const struct {
    const char *name;
    enum norm_kind kind;
    bool compatible, compose;
} kinds[] = {
    {"BertNormalizer", NORM_BERT, false, false},
    {"Lowercase", NORM_LOWER, false, false},
    {"NFC", NORM_FORM, false, true},
    {"NFD", NORM_FORM, false, false},
    {"NFKC", NORM_FORM, true, true},
    {"NFKD", NORM_FORM, true, false},
    {"Nmt", NORM_NMT, false, false},
    {"StripAccents", NORM_ACCENTS, false, false},
    {"Strip", NORM_STRIP, false, false},
    {"Prepend", NORM_PREPEND, false, false},
    {"Replace", NORM_REPLACE, false, false},
    {"Precompiled", NORM_CHARSMAP, false, false},
};

static enum result read_step(struct normalizer *n, const struct json *j, uint32_t node,
                             char *problem)
{
    struct slice type = token_type(j, node);
    size_t k = 0;
    while (k < MERIT_COUNT(kinds) && !slice_eq_cstr(type, kinds[k].name))
        k++;
    if (k == MERIT_COUNT(kinds))
        return token_problem(problem, RESULT_UNSUPPORTED, "normalizer %.*s",
                             (int)(type.len < 64 ? type.len : 64), type.ptr ? type.ptr : "");
    if (n->count == NORMALIZER_STEPS_MAX)
        return token_problem(problem, RESULT_LIMIT, "more than %d normalizers",
                             NORMALIZER_STEPS_MAX);
    struct norm_step *s = &n->steps[n->count++];
    s->kind = kinds[k].kind;
    s->compatible = kinds[k].compatible;
    s->compose = kinds[k].compose;
    enum result r = RESULT_OK;
    switch (s->kind) {
    case NORM_BERT:
        r = read_bert(j, node, problem, s);
        break;
    case NORM_LOWER:
        s->lower = true;
        break;
    case NORM_STRIP:
        r = token_bool(j, node, SLICE("strip_left"), true, problem, &s->left);
        if (!r)
            r = token_bool(j, node, SLICE("strip_right"), true, problem, &s->right);
        break;
    case NORM_PREPEND:
        r = token_string(j, node, SLICE("prepend"), &n->arena, problem, NULL, &s->content);
        break;
    case NORM_REPLACE:
        r = read_replace(n, j, node, problem, s);
        break;
    case NORM_CHARSMAP:
        return read_charsmap(n, j, node, problem, s);
    case NORM_FORM:
    case NORM_NMT:
    case NORM_ACCENTS:
        break;
    }
    fill_ascii(s);
    return r;
}

// `depth` is bounded by the tape's.
static enum result read_all(struct normalizer *n, const struct json *j, uint32_t node,
                            char *problem)
{
    if (json_type(j, node) != JSON_OBJECT)
        return token_problem(problem, RESULT_SYNTAX, "normalizer is no object");
    if (!slice_eq(token_type(j, node), SLICE("Sequence")))
        return read_step(n, j, node, problem);
    uint32_t list = token_member(j, node, SLICE("normalizers")), at = 0, item;
    if (list == JSON_NONE || json_type(j, list) != JSON_ARRAY)
        return token_problem(problem, RESULT_SYNTAX, "normalizer Sequence has no list");
    enum result r = RESULT_OK;
    while (!r && json_element(j, list, &at, &item))
        r = read_all(n, j, item, problem);
    return r;
}

enum result normalizer_open(const struct json *j, uint32_t node, char *problem,
                            struct normalizer **out)
{
    struct normalizer *n = alloc_zeroed(1, sizeof *n);
    if (!n)
        return RESULT_NOMEM;
    arena_init(&n->arena, 0, (size_t)TOKENIZER_JSON_MAX * 3);
    enum result r = node == JSON_NONE || json_type(j, node) == JSON_NULL
                        ? RESULT_OK
                        : read_all(n, j, node, problem);
    if (r) {
        normalizer_close(n);
        return r;
    }
    *out = n;
    return RESULT_OK;
}

void normalizer_close(struct normalizer *n)
{
    if (!n)
        return;
    for (uint32_t i = 0; i < n->count; i++) {
        if (n->steps[i].charsmap)
            charsmap_close(n->steps[i].charsmap);
    }
    arena_deinit(&n->arena);
    alloc_free(n);
}
