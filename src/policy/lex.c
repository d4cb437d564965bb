#include "policy/lex.h"

#include "policy/policy.h"

struct lexer {
    struct slice text;
    uint32_t at;
    uint32_t line;
    bool first;
    struct diag_list *diags; // NULL while counting
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c);
}

static char peek(const struct lexer *x, uint32_t ahead)
{
    return x->at + ahead < x->text.len ? x->text.ptr[x->at + ahead] : '\0';
}

static void skip_gap(struct lexer *x)
{
    // A byte order mark says nothing that UTF-8 needs said.
    if (x->at == 0 && slice_starts_with(x->text, SLICE("\xEF\xBB\xBF")))
        x->at = 3;
    while (x->at < x->text.len) {
        char c = x->text.ptr[x->at];
        if (c == '#') {
            const char *end = memchr(x->text.ptr + x->at, '\n', x->text.len - x->at);
            x->at = end ? (uint32_t)(end - x->text.ptr) : (uint32_t)x->text.len;
        } else if (c == '\n') {
            x->at++;
            x->line++;
            x->first = true;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x->at++;
        } else {
            return;
        }
    }
}

static void bad_byte(struct lexer *x, struct span span)
{
    if (!x->diags)
        return;
    unsigned char c = (unsigned char)x->text.ptr[span.begin];
    struct diag *d;
    if (c < 32 || c == 127)
        d = diag_add(x->diags, DIAG_ERROR, "bad-character", span,
                     "the byte 0x%02x has no place here", c);
    else
        d = diag_add(x->diags, DIAG_ERROR, "bad-character", span, "`%.*s` has no place here",
                     (int)(span.end - span.begin), x->text.ptr + span.begin);
    const char *instead = c == '&'                ? "`and`"
                          : c == '!'              ? "`not`"
                          : c == '\'' || c == '`' ? "double quotes"
                          : c == ';'              ? "a new line"
                          : c == '{' || c == '}'  ? "indented lines"
                                                  : NULL;
    if (instead)
        diag_help(x->diags, d, "write %s instead", instead);
    else if (c == '-' || c == '+')
        diag_help(x->diags, d, "there is no arithmetic; a number below zero is written `-0.5`");
    else if (c == 0xE2 && (unsigned char)x->text.ptr[span.begin + 1] == 0x80)
        diag_help(x->diags, d, "write `\"` instead");
    else if (c >= 128)
        diag_help(x->diags, d,
                  "names are written with a-z, A-Z, 0-9, `_`, `-` and `.`; anything may stand in a "
                  "string");
}

static enum token_kind lex_string(struct lexer *x, uint32_t begin)
{
    x->at++;
    while (x->at < x->text.len) {
        char c = x->text.ptr[x->at++];
        if (c == '"')
            return TOKEN_STRING;
        if (((unsigned char)c < 32 && c != '\t' && c != '\n' && c != '\r') || c == 127)
            bad_byte(x, (struct span){x->at - 1, x->at});
        if (c == '\\' && peek(x, 0) != '\n' && x->at < x->text.len)
            x->at++;
        if (c == '\n') {
            x->at--;
            break;
        }
    }
    while (x->at > begin + 1 && (x->text.ptr[x->at - 1] == '\r' || x->text.ptr[x->at - 1] == ' '))
        x->at--;
    if (x->diags) {
        struct diag *d = diag_add(x->diags, DIAG_ERROR, "open-string", (struct span){begin, x->at},
                                  "this string has no end on its line");
        diag_help(x->diags, d, "close it with `\"`; a quote inside is written `\\\"`");
    }
    return TOKEN_BAD;
}

static enum token_kind lex_mark(struct lexer *x)
{
    char c = peek(x, 0), next = peek(x, 1);
    x->at += 2;
    if (c == '-' && next == '>')
        return TOKEN_ARROW;
    if (c == '=' && next == '=')
        return TOKEN_EQ;
    if (c == '!' && next == '=')
        return TOKEN_NE;
    if (c == '<' && next == '=')
        return TOKEN_LE;
    if (c == '>' && next == '=')
        return TOKEN_GE;
    x->at--;
    switch (c) {
    case '(':
        return TOKEN_OPEN;
    case ')':
        return TOKEN_CLOSE;
    case ',':
        return TOKEN_COMMA;
    case '/':
        return TOKEN_SLASH;
    case '|':
        return TOKEN_BAR;
    case '%':
        return TOKEN_PERCENT;
    case '=':
        return TOKEN_ASSIGN;
    case '<':
        return TOKEN_LT;
    case '>':
        return TOKEN_GT;
    }
    uint32_t begin = x->at - 1;
    // One finding for a whole character, or for a run of the same one.
    while (x->at < x->text.len && (((unsigned char)peek(x, 0) & 0xC0) == 0x80 || peek(x, 0) == c))
        x->at++;
    bad_byte(x, (struct span){begin, x->at});
    return TOKEN_BAD;
}

// Bytes of a date that begins here, or 0: `2026-11-21`, whether or not there is such a day.
static uint32_t date_length(const struct lexer *x)
{
    static const char form[] = "dddd-dd-dd";
    uint32_t n = 0;
    for (; form[n]; n++)
        if (form[n] == 'd' ? !is_digit(peek(x, n)) : peek(x, n) != form[n])
            return 0;
    return is_word(peek(x, n)) ? 0 : n;
}

static struct token next_token(struct lexer *x)
{
    skip_gap(x);
    struct token t = {.begin = x->at, .line = x->line, .first = x->first};
    t.margin =
        x->at == 0 || x->text.ptr[x->at - 1] == '\n' || (x->at == 3 && x->text.ptr[0] == '\xEF');
    x->first = false;
    char c = peek(x, 0);
    if (x->at == x->text.len) {
        t.kind = TOKEN_END;
    } else if (is_letter(c)) {
        // `a->b` is a word and an arrow, `a-b` is one word.
        while (is_word(peek(x, 0)) ||
               ((peek(x, 0) == '-' || peek(x, 0) == '.') && is_word(peek(x, 1))))
            x->at++;
        t.kind = TOKEN_WORD;
    } else if (date_length(x)) {
        x->at += date_length(x);
        t.kind = TOKEN_DATE;
    } else if (is_digit(c) || (c == '-' && is_digit(peek(x, 1)))) {
        x->at++;
        // `235b-a22b`, the size of a model, is one word, too.
        while (is_word(peek(x, 0)) || (peek(x, 0) == '.' && is_digit(peek(x, 1))) ||
               (peek(x, 0) == '-' && is_letter(peek(x, 1)) && is_letter(x->text.ptr[x->at - 1])))
            x->at++;
        t.kind = TOKEN_NUMBER;
    } else if (c == '"') {
        t.kind = (uint8_t)lex_string(x, t.begin);
    } else {
        t.kind = (uint8_t)lex_mark(x);
    }
    t.end = x->at;
    return t;
}

enum result lex_tokens(struct slice text, struct arena *arena, struct diag_list *diags,
                       struct token_list *out)
{
    struct lexer counting = {.text = text, .line = 1, .first = true};
    uint32_t count = 0;
    while (next_token(&counting).kind != TOKEN_END) {
        if (++count > POLICY_TOKENS_MAX) {
            diag_add(diags, DIAG_ERROR, "limit", (struct span){0, 0},
                     "the policy has more than %d words and marks", POLICY_TOKENS_MAX);
            return RESULT_LIMIT;
        }
    }
    struct token *at = ARENA_ARRAY(arena, struct token, count + 1);
    if (!at)
        return RESULT_NOMEM;
    struct lexer x = {.text = text, .line = 1, .first = true, .diags = diags};
    for (uint32_t i = 0; i <= count; i++) {
        at[i] = next_token(&x);
        struct slice body = slice_make(text.ptr + at[i].begin, at[i].end - at[i].begin);
        while (body.len && body.ptr[0] == '"')
            body = slice_from(body, 1);
        bool after_key =
            i > 0 && at[i].kind == TOKEN_STRING &&
            slice_eq(slice_make(text.ptr + at[i - 1].begin, at[i - 1].end - at[i - 1].begin),
                     SLICE("key"));
        if (at[i].kind != TOKEN_END && (after_key || lex_looks_like_key(body))) {
            at[i].secret = true;
            diag_secret(diags, (struct span){at[i].begin, at[i].end});
        }
    }
    *out = (struct token_list){at, count};
    return RESULT_OK;
}

const char *lex_kind_name(enum token_kind kind)
{
    static const char *const names[] = {
        [TOKEN_END] = "the end of the statement",
        [TOKEN_WORD] = "a name",
        [TOKEN_STRING] = "a string",
        [TOKEN_NUMBER] = "a number",
        [TOKEN_DATE] = "a date",
        [TOKEN_PERCENT] = "`%`",
        [TOKEN_OPEN] = "`(`",
        [TOKEN_CLOSE] = "`)`",
        [TOKEN_COMMA] = "`,`",
        [TOKEN_SLASH] = "`/`",
        [TOKEN_BAR] = "`|`",
        [TOKEN_ARROW] = "`->`",
        [TOKEN_ASSIGN] = "`=`",
        [TOKEN_EQ] = "`==`",
        [TOKEN_NE] = "`!=`",
        [TOKEN_LT] = "`<`",
        [TOKEN_LE] = "`<=`",
        [TOKEN_GT] = "`>`",
        [TOKEN_GE] = "`>=`",
        [TOKEN_BAD] = "something unreadable",
    };
    return names[kind];
}

bool lex_looks_like_key(struct slice text)
{
    // Prefixes that providers give their keys so that scanners find them.
    static const char *const prefixes[] = {"sk-",     "sk_",    "gsk_", "xai-",        "AIza",
                                           "hf_",     "nvapi-", "ghp_", "github_pat_", "pplx-",
                                           "tgp_v1_", "csk-",   "r8_"};
    enum { SHORTEST = 16 };
    if (text.len < SHORTEST)
        return false;
    for (size_t i = 0; i < MERIT_COUNT(prefixes); i++)
        if (slice_starts_with(text, slice_cstr(prefixes[i])))
            return true;
    return slice_starts_with(text, SLICE("Bearer "));
}
