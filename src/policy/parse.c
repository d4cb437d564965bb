#include "policy/parse.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/policy.h"
#include "text/utf8.h"

static const char *const statement_words[] = {"policy",  "zone",  "model",  "alias",     "pass",
                                              "signal",  "path",  "route",  "otherwise", "forbid",
                                              "require", "allow", "budget", "lattice",   "sink",
                                              "prove",   "test",  "assume", "dispatch"};

// Words that never are a unit or the name of a signal, because they end a value or begin what follows.
static const char *const keywords[] = {
    "and",    "or",     "not",       "in",       "when",     "else",     "as",       "any",
    "above",  "below",  "on_error",  "within",   "where",    "minimise", "maximise", "escalate",
    "out",    "cached", "zone",      "endpoint", "provider", "key",      "context",  "output",
    "can",    "effort", "price",     "quality",  "energy",   "true",     "false",    "given",
    "expect", "refuse", "otherwise", "to"};

static bool one_of(struct slice s, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_cstr(s, words[i]))
            return true;
    return false;
}

enum token_kind parse_peek(const struct parser *p)
{
    return p->at < p->limit ? (enum token_kind)p->tree->tokens.at[p->at].kind : TOKEN_END;
}

bool parse_at_word(const struct parser *p, const char *word)
{
    return parse_peek(p) == TOKEN_WORD && slice_eq_cstr(tree_token_text(p->tree, p->at), word);
}

// Words of clauses that are names elsewhere.
static const char *const clause_words[] = {
    "timeout",  "holds",   "adds",        "clears", "carries", "temperature", "margin",
    "bands",    "retry",   "cap",         "hedge",  "hard",    "paced",       "written",
    "since",    "from",    "gpu",         "batch",  "pue",     "carbon",      "average",
    "marginal", "engine",  "weight",      "slots",  "rate",    "region",      "serves",
    "meter",    "metrics", "maintenance", "health", "by",      "weights"};

bool parse_at_clause(const struct parser *p)
{
    return parse_at_keyword(p) ||
           (parse_peek(p) == TOKEN_WORD &&
            one_of(tree_token_text(p->tree, p->at), clause_words, MERIT_COUNT(clause_words)));
}

bool parse_at_keyword(const struct parser *p)
{
    return parse_peek(p) == TOKEN_WORD &&
           one_of(tree_token_text(p->tree, p->at), keywords, MERIT_COUNT(keywords));
}

bool parse_take(struct parser *p, enum token_kind kind)
{
    bool hit = parse_peek(p) == kind && kind != TOKEN_END;
    p->at += hit;
    return hit;
}

bool parse_take_word(struct parser *p, const char *word)
{
    bool hit = parse_at_word(p, word);
    p->at += hit;
    return hit;
}

// Where the next token stands, or the place behind the statement's last one.
static struct span here(const struct parser *p)
{
    const struct token *t = p->tree->tokens.at;
    if (p->at < p->limit)
        return (struct span){t[p->at].begin, t[p->at].end};
    uint32_t end = p->at > 0 ? t[p->at - 1].end : 0;
    return (struct span){end, end};
}

struct diag *parse_error(struct parser *p, const char *code, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return diag_add(p->diags, DIAG_ERROR, code, here(p), "%s", text);
}

bool parse_fail(struct parser *p, const char *expected)
{
    enum token_kind kind = parse_peek(p);
    const struct token *t = &p->tree->tokens.at[p->at];
    if (kind == TOKEN_BAD)
        return false; // the lexer has said so
    struct slice text = tree_token_text(p->tree, p->at);
    struct diag *d;
    if (kind == TOKEN_END)
        d = parse_error(p, "syntax", "expected %s, but the statement ends here", expected);
    else if (t->secret || text.len > 40)
        d = parse_error(p, "syntax", "expected %s, found %s", expected, lex_kind_name(kind));
    else
        d = parse_error(p, "syntax", "expected %s, found `%.*s`", expected, SLICE_FMT(text));
    if (kind == TOKEN_WORD && t->first && !t->margin &&
        one_of(text, statement_words, MERIT_COUNT(statement_words)))
        diag_help(
            p->diags, d,
            "a statement begins in the first column; an indented line continues the one above");
    else if (kind == TOKEN_END && p->at == p->limit && p->limit < p->tree->tokens.count)
        diag_help(p->diags, d, "a line that continues a statement is indented");
    return false;
}

bool parse_expect(struct parser *p, enum token_kind kind, const char *what)
{
    return parse_take(p, kind) || parse_fail(p, what ? what : lex_kind_name(kind));
}

bool parse_expect_word(struct parser *p, const char *word)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "`%s`", word);
    return parse_take_word(p, word) || parse_fail(p, quoted);
}

struct node *parse_open(struct parser *p, enum node_kind kind)
{
    struct node *n = ARENA_NEW(p->arena, struct node);
    if (!n) {
        p->nomem = true;
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->token = n->end = p->at;
    return n;
}

struct node *parse_close(struct parser *p, struct node *n)
{
    n->end = p->at;
    return n;
}

bool parse_add(struct node *parent, struct node *child)
{
    if (!child)
        return false;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return true;
}

struct node *parse_leaf(struct parser *p, enum node_kind kind)
{
    enum token_kind token = kind == NODE_STRING   ? TOKEN_STRING
                            : kind == NODE_NUMBER ? TOKEN_NUMBER
                            : kind == NODE_DATE   ? TOKEN_DATE
                                                  : TOKEN_WORD;
    struct node *n = parse_open(p, kind);
    if (!n || !parse_expect(p, token, NULL))
        return NULL;
    return parse_close(p, n);
}

bool parse_enter(struct parser *p)
{
    if (p->depth == POLICY_DEPTH_MAX) {
        parse_error(p, "limit", "nested deeper than %d levels", POLICY_DEPTH_MAX);
        return false;
    }
    p->depth++;
    return true;
}

void parse_leave(struct parser *p)
{
    p->depth--;
}

static uint32_t statement_end(const struct tree *t, uint32_t from)
{
    uint32_t i = from + 1;
    while (i < t->tokens.count && !(t->tokens.at[i].margin && t->tokens.at[i].kind == TOKEN_WORD))
        i++;
    return i < t->tokens.count ? i : t->tokens.count;
}

static void unknown_statement(struct parser *p)
{
    struct slice text = tree_token_text(p->tree, p->at), words[MERIT_COUNT(statement_words)];
    if (parse_peek(p) != TOKEN_WORD) {
        parse_fail(p, "a statement, such as `policy \"name\" version 1`");
        return;
    }
    for (size_t i = 0; i < MERIT_COUNT(words); i++)
        words[i] = slice_cstr(statement_words[i]);
    struct diag *d = p->tree->tokens.at[p->at].secret || text.len > 40
                         ? parse_error(p, "unknown-statement", "no statement begins like this")
                         : parse_error(p, "unknown-statement", "no statement begins with `%.*s`",
                                       SLICE_FMT(text));
    int near = diag_nearest(text, words, MERIT_COUNT(words));
    if (near >= 0)
        diag_help(p->diags, d, "did you mean `%s`?", statement_words[near]);
    else
        diag_help(
            p->diags, d,
            "statements are policy, lattice, zone, sink, model, alias, pass, signal, path, forbid, "
            "require, allow, budget, dispatch, route, otherwise, prove, test and assume; a line "
            "that continues one is indented");
}

static void statement(struct parser *p, struct node *root)
{
    uint32_t begin = p->at, end = p->limit;
    struct node *n = NULL;
    const struct parse_statement *kind = NULL;
    for (size_t i = 0; i < parse_statement_count && parse_peek(p) == TOKEN_WORD; i++)
        if (parse_at_word(p, parse_statements[i].word))
            kind = &parse_statements[i];
    p->depth = 0;
    if (kind) {
        n = parse_open(p, kind->kind);
        p->at++;
        if (n && !kind->read(p, n))
            n = NULL;
        if (n && p->at < end) {
            parse_fail(p, kind->rest);
            n = NULL;
        }
    } else {
        unknown_statement(p);
    }
    if (!n) {
        p->at = begin;
        n = parse_open(p, NODE_BAD);
    }
    p->at = end;
    if (n)
        parse_add(root, parse_close(p, n));
}

static uint32_t first_bad_byte(struct slice text)
{
    size_t at = 0, begin = 0;
    while (at < text.len) {
        begin = at;
        // U+FFFD of one byte is none that stood there.
        if (utf8_next(text, &at) == 0xFFFD && at == begin + 1)
            break;
    }
    return (uint32_t)begin;
}

enum result policy_parse(struct slice text, struct arena *arena, struct diag_list *diags,
                         const struct tree **out)
{
    *out = NULL;
    if (text.len > POLICY_BYTES_MAX) {
        diag_add(diags, DIAG_ERROR, "limit", (struct span){0, 0},
                 "the policy is %zu bytes long, the limit is %d MiB", text.len,
                 POLICY_BYTES_MAX / 1024 / 1024);
        return RESULT_LIMIT;
    }
    if (!utf8_valid(text)) {
        uint32_t bad = first_bad_byte(text);
        diag_add(diags, DIAG_ERROR, "utf8", (struct span){bad, bad + 1},
                 "the file is not UTF-8: this byte is 0x%02x", (unsigned char)text.ptr[bad]);
        return RESULT_UTF8;
    }
    const char *nul = text.len ? memchr(text.ptr, '\0', text.len) : NULL;
    if (nul) {
        uint32_t at = (uint32_t)(nul - text.ptr);
        diag_add(diags, DIAG_ERROR, "utf8", (struct span){at, at + 1},
                 "the file is no text: this byte is NUL");
        return RESULT_UTF8;
    }
    struct tree *t = ARENA_NEW(arena, struct tree);
    struct parser p = {.tree = t, .arena = arena, .diags = diags};
    if (!t)
        return RESULT_NOMEM;
    t->source = text.ptr ? text : SLICE("");
    uint32_t errors = diags->errors;
    enum result r = lex_tokens(t->source, arena, diags, &t->tokens);
    if (r)
        return r;
    t->root = parse_open(&p, NODE_POLICY);
    while (t->root && p.at < t->tokens.count && !p.nomem) {
        p.limit = statement_end(t, p.at);
        if (t->root->count == POLICY_STATEMENTS_MAX) {
            parse_error(&p, "limit", "the policy has more than %d statements",
                        POLICY_STATEMENTS_MAX);
            return RESULT_LIMIT;
        }
        statement(&p, t->root);
    }
    if (!t->root || p.nomem)
        return RESULT_NOMEM;
    parse_close(&p, t->root);
    *out = t;
    return diags->errors > errors ? RESULT_SYNTAX : RESULT_OK;
}
