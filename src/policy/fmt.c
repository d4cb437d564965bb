#include "policy/fmt.h"

#include "base/alloc.h"
#include "policy/policy.h"

// Where the columns of a statement are: the tokens that stand below each other in a run. 0 when it has none.
struct stops {
    uint32_t first, second;
    uint8_t group; // statements of the same group and line up
};

// What stands before a token that does not begin a line.
enum space {
    SPACE_ONE,
    SPACE_NONE, // a `(` that belongs to the name before it
    SPACE_TWO,  // a clause of a model, sink or test, and what is behind a signal
};

struct writer {
    const struct tree *tree;
    struct buf *out;
    uint8_t *space; // per token: enum space
    size_t line_at; // where the current line begins in `out`
};

static void newline(struct writer *w)
{
    buf_byte(w->out, '\n');
    w->line_at = w->out->len;
}

static size_t width(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static size_t column(const struct writer *w)
{
    return buf_result(w->out) || !w->out->ptr
               ? 0
               : width(w->out->ptr + w->line_at, w->out->len - w->line_at);
}

static void pad_to(struct writer *w, size_t to)
{
    for (size_t at = column(w); at < to; at++)
        buf_byte(w->out, ' ');
}

// Spaces between two tokens of one line.
static size_t spaces(const struct writer *w, uint32_t left, uint32_t right)
{
    uint8_t a = w->tree->tokens.at[left].kind, b = w->tree->tokens.at[right].kind;
    if (b == TOKEN_COMMA || b == TOKEN_CLOSE || b == TOKEN_SLASH || a == TOKEN_OPEN ||
        a == TOKEN_SLASH)
        return 0;
    return w->space[right] == SPACE_NONE ? 0 : w->space[right] == SPACE_TWO ? 2 : 1;
}

static void mark_spaces(const struct tree *t, const struct node *n, uint8_t *space)
{
    if (n->kind == NODE_CALL && n->first->end < n->end)
        space[n->first->end] = SPACE_NONE;
    if (n->kind == NODE_PARAMS && n->token < n->end)
        space[n->token] = SPACE_NONE;
    for (const struct node *c = n->first; c; c = c->next) {
        bool parted =
            n->kind == NODE_MODEL || n->kind == NODE_SINK || n->kind == NODE_ZONE
                ? c != n->first->next
            : n->kind == NODE_DISPATCH ? t->tokens.at[c->token - 1].kind != TOKEN_COMMA
            : n->kind == NODE_SIGNAL
                ? !tree_is(t, c, "above") && !tree_is(t, c, "below") && !tree_is(t, c, "label")
                : n->kind == NODE_TEST;
        if (c->kind == NODE_CLAUSE && parted)
            space[c->token] = SPACE_TWO;
        mark_spaces(t, c, space);
    }
}

// Width of the tokens [from, to) on one line.
static size_t run_width(const struct writer *w, uint32_t from, uint32_t to)
{
    size_t n = 0;
    for (uint32_t i = from; i < to; i++) {
        struct slice text = tree_token_text(w->tree, i);
        n += width(text.ptr, text.len) + (i > from ? spaces(w, i - 1, i) : 0);
    }
    return n;
}

static bool on_first_line(const struct tree *t, const struct node *n, uint32_t token)
{
    for (uint32_t i = n->token + 1; i <= token; i++)
        if (t->tokens.at[i].first)
            return false;
    return token > n->token;
}

static struct stops stops_of(const struct tree *t, const struct node *n)
{
    struct stops s = {0, 0, n->kind};
    switch (n->kind) {
    case NODE_ZONE:
    case NODE_MODEL:
        s.first = n->first->next ? n->first->next->token : 0;
        break;
    case NODE_ALIAS:
    case NODE_PASS:
        s.first = n->first->end;
        break;
    case NODE_SIGNAL:
        s.first = n->first->end;
        break;
    case NODE_PATH:
        s.first = n->first->next->end;
        break;
    case NODE_ROUTE:
        s.first = n->first->end;
        s.second = n->first->next->kind == NODE_CHAIN ? 0 : n->first->next->end;
        break;
    case NODE_OTHERWISE:
        s.group = NODE_ROUTE;
        s.second = n->first->token - 1;
        break;
    case NODE_LATTICE:
        s.first = n->first->end < n->end ? n->first->end : 0;
        break;
    case NODE_SINK:
        s.first = n->first->next ? n->first->next->token : 0;
        s.second = s.first && n->first->next->kind == NODE_WORD && n->first->next->next
                       ? n->first->next->next->token
                       : 0;
        break;
    case NODE_TEST:
        s.first = n->first->next ? n->first->next->token : 0;
        s.second = s.first && n->first->next->next ? n->first->next->next->token : 0;
        break;
    case NODE_FORBID:
    case NODE_REQUIRE:
    case NODE_ALLOW:
    case NODE_BUDGET:
        s.group = NODE_FORBID;
        s.first = n->token + 1;
        break;
    }
    if (s.first && !on_first_line(t, n, s.first))
        s.first = 0;
    if (s.second && !on_first_line(t, n, s.second))
        s.second = 0;
    return s;
}

// Comments and blank lines of the gap before token `i`. `indent` is for comments inside a statement; `between` allows
// blank lines. Leaves the writer at the beginning of a line when it wrote one.
static bool gap(struct writer *w, uint32_t i, size_t indent, bool between)
{
    const struct token *at = w->tree->tokens.at;
    uint32_t begin = i > 0 ? at[i - 1].end : 0,
             end = i < w->tree->tokens.count ? at[i].begin : (uint32_t)w->tree->source.len;
    struct slice text = slice_make(w->tree->source.ptr + begin, end - begin);
    bool same_line = i > 0, wrote = false, blank = false;
    while (text.ptr) {
        struct slice line;
        slice_split(&text, '\n', &line);
        while (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        bool margin = line.len && line.ptr[0] == '#';
        struct slice trimmed = slice_trim(line);
        if (slice_starts_with(trimmed, SLICE("\xEF\xBB\xBF")))
            trimmed = slice_trim(slice_from(trimmed, 3));
        bool comment = trimmed.len && trimmed.ptr[0] == '#';
        if (comment && same_line) {
            BUF_LIT(w->out, "  ");
            buf_add(w->out, trimmed);
            newline(w);
            wrote = true;
        } else if (comment) {
            if (!wrote && w->out->len > w->line_at)
                newline(w);
            if (blank && between && w->out->len > 0)
                newline(w);
            pad_to(w, margin && between ? 0 : indent);
            buf_add(w->out, trimmed);
            newline(w);
            wrote = true;
        }
        blank = !comment && !same_line && (blank || text.ptr);
        same_line = false;
    }
    if (between) {
        if (!wrote && w->out->len > w->line_at)
            newline(w);
        if (blank && i < w->tree->tokens.count && w->out->len > 0)
            newline(w);
    }
    return wrote;
}

// Whether a blank or comment line stands in the gap before token `i`.
static bool parted(const struct tree *t, uint32_t i)
{
    struct slice text = slice_make(t->source.ptr + t->tokens.at[i - 1].end,
                                   t->tokens.at[i].begin - t->tokens.at[i - 1].end);
    unsigned lines = 0;
    for (size_t k = 0; k < text.len; k++)
        lines += text.ptr[k] == '\n';
    return lines > 1;
}

static void statement(struct writer *w, const struct node *n, struct stops s, size_t first,
                      size_t second)
{
    // A line inside parentheses goes on below what stands behind the innermost one.
    size_t indent = first ? first : 4, open[POLICY_DEPTH_MAX + 1], depth = 0;
    for (uint32_t i = n->token; i < n->end; i++) {
        const struct token *t = &w->tree->tokens.at[i];
        size_t inside = depth > 0 && open[depth - 1] <= FMT_COLUMN_MAX ? open[depth - 1] : indent;
        if (i > n->token) {
            bool wrote = gap(w, i, inside, false);
            if (t->first) {
                if (!wrote)
                    newline(w);
                pad_to(w, inside);
            } else {
                pad_to(w, column(w) + spaces(w, i - 1, i));
            }
        }
        if (i == s.first && s.first)
            pad_to(w, first);
        if (i == s.second && s.second)
            pad_to(w, second);
        buf_add(w->out, tree_token_text(w->tree, i));
        if (t->kind == TOKEN_OPEN && depth < MERIT_COUNT(open))
            open[depth++] = column(w);
        else if (t->kind == TOKEN_CLOSE && depth > 0)
            depth--;
    }
}

// The run of statements that line up with `n`, the columns they get, and the first one behind them.
static const struct node *run(const struct writer *w, const struct node *n, size_t *first,
                              size_t *second)
{
    const struct node *at = n;
    struct stops s = stops_of(w->tree, n);
    size_t a = 0, b = 0;
    uint8_t group = s.group;
    do {
        s = stops_of(w->tree, at);
        size_t prefix = s.first ? run_width(w, at->token, s.first) + 1 : 0;
        if (prefix <= FMT_COLUMN_MAX && prefix > a)
            a = prefix;
        at = at->next;
    } while (at && stops_of(w->tree, at).group == group && !parted(w->tree, at->token));
    for (const struct node *x = n; x != at; x = x->next) {
        s = stops_of(w->tree, x);
        size_t begin = s.first ? a : 0;
        size_t to = s.second ? begin + run_width(w, s.first ? s.first : x->token, s.second) + 1 : 0;
        if (to <= FMT_COLUMN_MAX && to > b)
            b = to;
    }
    *first = a;
    *second = b;
    return at;
}

enum result fmt_policy(const struct tree *t, struct buf *out)
{
    struct writer w = {.tree = t, .out = out, .line_at = out->len};
    for (const struct node *n = t->root->first; n; n = n->next)
        if (n->kind == NODE_BAD)
            return RESULT_SYNTAX;
    w.space = alloc_zeroed(t->tokens.count + 1, sizeof *w.space);
    if (!w.space)
        return RESULT_NOMEM;
    mark_spaces(t, t->root, w.space);
    const struct node *n = t->root->first;
    while (n) {
        size_t first, second;
        const struct node *end = run(&w, n, &first, &second);
        for (; n != end; n = n->next) {
            gap(&w, n->token, 4, true);
            statement(&w, n, stops_of(t, n), first, second);
        }
    }
    gap(&w, t->tokens.count, 4, true);
    alloc_free(w.space);
    return buf_result(out);
}
