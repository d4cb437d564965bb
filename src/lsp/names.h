// Which words of a policy are names, of what, and which of them define.
//
// Statements that parse are read off the tree; in one that does not, each word is taken for what the grammar would have it
// be at its place (lsp/grammar.h).
#ifndef MERIT_LSP_NAMES_H
#define MERIT_LSP_NAMES_H

#include "base/map.h"
#include "lsp/roles.h"
#include "policy/tree.h"

struct lsp_name {
    uint32_t token;
    uint32_t statement; // its first token
    uint8_t kind;       // enum lsp_kind
    bool defines;
};

struct lsp_names {
    struct lsp_name *at; // in the order of tokens
    uint32_t count;
};

// RESULT_OK, RESULT_NOMEM. Everything lives in the arena, which must be the tree's or outlive it.
enum result lsp_names_find(const struct tree *t, const struct lsp_grammar *g, struct arena *arena,
                           struct lsp_names *out) MERIT_NODISCARD;

// The name at a token, or NULL.
const struct lsp_name *lsp_names_at(const struct lsp_names *n, uint32_t token);
// What defines this name (itself, when it does); NULL when nothing does.
const struct lsp_name *lsp_names_definition(const struct tree *t, const struct lsp_names *n,
                                            const struct lsp_name *of);
// Whether two stand for the same thing.
bool lsp_names_same(const struct tree *t, const struct lsp_name *a, const struct lsp_name *b);
// By kind and text; of a parameter in the statement that begins at `statement`.
const struct lsp_name *lsp_names_by_text(const struct tree *t, const struct lsp_names *n,
                                         enum lsp_kind kind, struct slice text, uint32_t statement);
// The text of a name: of an alias in quotes without these.
struct slice lsp_name_text(const struct tree *t, const struct lsp_name *n);
struct span lsp_name_span(const struct tree *t, const struct lsp_name *n);

// The first token of the statement that holds a token, and of the next one.
uint32_t lsp_statement_begin(const struct tree *t, uint32_t token);
uint32_t lsp_statement_end(const struct tree *t, uint32_t token);
// The last token that begins at or before an offset; false when there is none.
bool lsp_token_at(const struct tree *t, uint32_t offset, uint32_t *token);
// The statement's node, by any of its tokens; NULL when there is none.
const struct node *lsp_statement_node(const struct tree *t, uint32_t token);

#endif
