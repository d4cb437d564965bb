#include "lsp/grammar.h"

#include "base/alloc.h"

// Reading EBNF.

struct maker {
    struct slice text;
    size_t at;
    struct lsp_edge *edges;
    uint16_t *first, *owner;
    struct lsp_rule *rules;
    struct slice *words;
    uint32_t edge_count, state_count, rule_count, word_count;
    uint16_t rule; // that is being read
    uint16_t after;
    uint8_t ordinal;
    enum result result;
};

static void fail(struct maker *m, enum result r)
{
    if (!m->result)
        m->result = r;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// The next character that is no space and in no comment; 0 at the end.
static char peek(struct maker *m)
{
    while (m->at < m->text.len) {
        struct slice rest = slice_from(m->text, m->at);
        if (slice_starts_with(rest, SLICE("(*"))) {
            ptrdiff_t end = slice_find(rest, SLICE("*)"));
            m->at = end < 0 ? m->text.len : m->at + (size_t)end + 2;
        } else if (is_space(rest.ptr[0])) {
            m->at++;
        } else {
            return rest.ptr[0];
        }
    }
    return 0;
}

static void expect(struct maker *m, char c)
{
    if (peek(m) == c)
        m->at++;
    else
        fail(m, RESULT_SYNTAX);
}

static struct slice identifier(struct maker *m)
{
    size_t begin = m->at;
    while (m->at < m->text.len && is_letter(m->text.ptr[m->at]))
        m->at++;
    return slice_make(m->text.ptr + begin, m->at - begin);
}

static uint16_t state(struct maker *m)
{
    if (m->state_count == LSP_GRAMMAR_STATES_MAX) {
        fail(m, RESULT_LIMIT);
        return 0;
    }
    m->owner[m->state_count] = m->rule;
    return (uint16_t)m->state_count++;
}

static void edge(struct maker *m, uint16_t from, struct lsp_edge e)
{
    if (m->edge_count == LSP_GRAMMAR_EDGES_MAX) {
        fail(m, RESULT_LIMIT);
        return;
    }
    e.next = m->first[from];
    m->edges[m->edge_count] = e;
    m->first[from] = (uint16_t)m->edge_count++;
}

static void free_step(struct maker *m, uint16_t from, uint16_t to)
{
    edge(m, from, (struct lsp_edge){.kind = LSP_EDGE_NOTHING, .to = to});
}

static uint16_t rule_of(struct maker *m, struct slice name)
{
    for (uint32_t i = 0; i < m->rule_count; i++)
        if (slice_eq(m->rules[i].name, name))
            return (uint16_t)i;
    if (m->rule_count == LSP_GRAMMAR_RULES_MAX) {
        fail(m, RESULT_LIMIT);
        return 0;
    }
    uint16_t kept = m->rule, made = (uint16_t)m->rule_count++;
    m->rule = made;
    m->rules[made] = (struct lsp_rule){.name = name, .start = state(m), .end = state(m)};
    m->rule = kept;
    return made;
}

static uint16_t word_of(struct maker *m, struct slice text)
{
    for (uint32_t i = 0; i < m->word_count; i++)
        if (slice_eq(m->words[i], text))
            return (uint16_t)i;
    if (m->word_count == LSP_GRAMMAR_WORDS_MAX) {
        fail(m, RESULT_LIMIT);
        return 0;
    }
    m->words[m->word_count] = text;
    return (uint16_t)m->word_count++;
}

static void terminal(struct maker *m, uint16_t from, uint16_t to)
{
    static const struct {
        const char *text;
        enum token_kind kind;
    } marks[] = {{"(", TOKEN_OPEN}, {")", TOKEN_CLOSE},  {",", TOKEN_COMMA},  {"/", TOKEN_SLASH},
                 {"|", TOKEN_BAR},  {"->", TOKEN_ARROW}, {"=", TOKEN_ASSIGN}, {"==", TOKEN_EQ},
                 {"!=", TOKEN_NE},  {"<", TOKEN_LT},     {"<=", TOKEN_LE},    {">", TOKEN_GT},
                 {">=", TOKEN_GE},  {"%", TOKEN_PERCENT}};
    size_t begin = ++m->at;
    while (m->at < m->text.len && m->text.ptr[m->at] != '"')
        m->at++;
    struct slice text = slice_make(m->text.ptr + begin, m->at - begin);
    m->at++;
    struct lsp_edge e = {.kind = LSP_EDGE_MARK, .to = to, .after = m->after, .ordinal = m->ordinal};
    if (text.len && is_letter(text.ptr[0])) {
        e.kind = LSP_EDGE_WORD;
        e.what = word_of(m, text);
        edge(m, from, e);
        m->after = e.what;
        m->ordinal = 0;
        return;
    }
    for (size_t i = 0; i < MERIT_COUNT(marks); i++) {
        if (slice_eq_cstr(text, marks[i].text)) {
            e.mark = (uint8_t)marks[i].kind;
            edge(m, from, e);
            return;
        }
    }
    fail(m, RESULT_SYNTAX);
}

static void expression(struct maker *m, uint16_t from, uint16_t to, unsigned depth);

static void symbol(struct maker *m, uint16_t from, uint16_t to)
{
    struct slice name = identifier(m);
    struct lsp_edge e = {.kind = LSP_EDGE_RULE, .to = to, .after = m->after, .ordinal = m->ordinal};
    if (slice_eq(name, SLICE("NAME")))
        e.kind = LSP_EDGE_NAME;
    else if (slice_eq(name, SLICE("STRING")))
        e.kind = LSP_EDGE_STRING;
    else if (slice_eq(name, SLICE("NUMBER")))
        e.kind = LSP_EDGE_NUMBER;
    else if (slice_eq(name, SLICE("DATE")))
        e.kind = LSP_EDGE_DATE;
    else
        e.what = rule_of(m, name);
    if (e.kind == LSP_EDGE_NAME && m->ordinal < UINT8_MAX)
        m->ordinal++;
    if (e.kind == LSP_EDGE_RULE && !m->result)
        m->rules[e.what].used = true;
    edge(m, from, e);
}

static void factor(struct maker *m, uint16_t from, uint16_t to, unsigned depth)
{
    char c = peek(m);
    if (c == '"') {
        terminal(m, from, to);
    } else if (is_letter(c)) {
        symbol(m, from, to);
    } else if (c == '(' && depth < 32) {
        m->at++;
        expression(m, from, to, depth + 1);
        expect(m, ')');
    } else if (c == '[' && depth < 32) {
        m->at++;
        expression(m, from, to, depth + 1);
        free_step(m, from, to);
        expect(m, ']');
    } else if (c == '{' && depth < 32) {
        uint16_t loop = state(m);
        m->at++;
        free_step(m, from, loop);
        expression(m, loop, loop, depth + 1);
        free_step(m, loop, to);
        expect(m, '}');
    } else {
        fail(m, RESULT_SYNTAX);
    }
}

static void expression(struct maker *m, uint16_t from, uint16_t to, unsigned depth)
{
    do {
        uint16_t at = from;
        while (!m->result) {
            char c = peek(m);
            if (c == 0 || c == '|' || c == ')' || c == ']' || c == '}' || c == ';')
                break;
            uint16_t next = state(m);
            factor(m, at, next, depth);
            at = next;
        }
        free_step(m, at, to);
    } while (!m->result && peek(m) == '|' && ++m->at);
}

static void rule(struct maker *m)
{
    if (!is_letter(peek(m))) {
        fail(m, RESULT_SYNTAX);
        return;
    }
    uint16_t r = rule_of(m, identifier(m));
    expect(m, '=');
    if (m->result)
        return;
    if (m->rules[r].defined)
        fail(m, RESULT_SYNTAX);
    m->rule = r;
    m->after = LSP_WORD_NONE;
    m->ordinal = 0;
    m->rules[r].defined = true;
    expression(m, m->rules[r].start, m->rules[r].end, 0);
    expect(m, ';');
}

// Whether free steps alone lead from the begin of a rule to its end. Rules that are used are none of these, so that no
// further look at them is needed.
static bool can_be_empty(const struct maker *m, uint16_t at, uint16_t end, bool *seen)
{
    if (at == end)
        return true;
    if (seen[at])
        return false;
    seen[at] = true;
    for (uint16_t e = m->first[at]; e; e = m->edges[e].next)
        if (m->edges[e].kind == LSP_EDGE_NOTHING && can_be_empty(m, m->edges[e].to, end, seen))
            return true;
    return false;
}

static void check(struct maker *m, struct arena *arena)
{
    for (uint32_t i = 0; i < m->rule_count && !m->result; i++) {
        bool *seen = ARENA_ARRAY(arena, bool, m->state_count);
        if (!seen) {
            fail(m, RESULT_NOMEM);
        } else if (!m->rules[i].defined ||
                   (m->rules[i].used &&
                    can_be_empty(m, m->rules[i].start, m->rules[i].end, seen))) {
            fail(m, RESULT_SYNTAX);
        }
    }
}

enum result lsp_grammar_open(struct slice text, struct arena *arena, struct lsp_grammar *out)
{
    struct maker m = {.text = text,
                      .edges = ARENA_ARRAY(arena, struct lsp_edge, LSP_GRAMMAR_EDGES_MAX),
                      .first = ARENA_ARRAY(arena, uint16_t, LSP_GRAMMAR_STATES_MAX),
                      .owner = ARENA_ARRAY(arena, uint16_t, LSP_GRAMMAR_STATES_MAX),
                      .rules = ARENA_ARRAY(arena, struct lsp_rule, LSP_GRAMMAR_RULES_MAX),
                      .words = ARENA_ARRAY(arena, struct slice, LSP_GRAMMAR_WORDS_MAX),
                      .edge_count = 1}; // 0 ends a list
    if (!m.edges || !m.first || !m.owner || !m.rules || !m.words)
        return RESULT_NOMEM;
    rule_of(&m, SLICE("statement"));
    m.rules[0].used = true;
    while (!m.result && peek(&m))
        rule(&m);
    if (!m.result)
        check(&m, arena);
    *out = (struct lsp_grammar){.edges = m.edges,
                                .first = m.first,
                                .owner = m.owner,
                                .rules = m.rules,
                                .words = m.words,
                                .rule_count = m.rule_count,
                                .word_count = m.word_count};
    return m.result;
}

uint16_t lsp_grammar_word(const struct lsp_grammar *g, struct slice text)
{
    for (uint32_t i = 0; i < g->word_count; i++)
        if (slice_eq(g->words[i], text))
            return (uint16_t)i;
    return LSP_WORD_NONE;
}
