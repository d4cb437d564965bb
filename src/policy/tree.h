// The lossless syntax tree: nodes over runs of tokens.
//
// A node names its tokens [token, end); its children cover parts of that run in order, and tokens that no child covers
// are its keywords and marks. Text, tokens and gaps (policy/lex.h) give the source back byte by byte. Everything lives
// in the arena of the parse and is immutable afterwards.
#ifndef MERIT_POLICY_TREE_H
#define MERIT_POLICY_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/slice.h"
#include "policy/lex.h"

// Children in brackets; * any number, ? at most one.
enum node_kind {
    NODE_POLICY, // the file [statement*]
    // Statements. Each begins with its keyword.
    NODE_HEADER,    // policy "name" version 3        [STRING, NUMBER]
    NODE_LATTICE,   // lattice l = a < b               [WORD, WORD*]
    NODE_ZONE,      // zone local clears a pue 1.2     [WORD, CLAUSE*]
    NODE_SINK,      // sink kb retriever zone local    [WORD, WORD?, CLAUSE*]
    NODE_MODEL,     // model m ...                     [WORD, CLAUSE*]
    NODE_ALIAS,     // alias a -> route r              [WORD or STRING, TARGET]
    NODE_PASS,      // pass "/v1/x" to m at most 1 usd [STRING, WORD, CLAUSE(at)?]
    NODE_SIGNAL,    // signal s = f(...) above 1       [WORD, CLAUSE(label)?, CALL, CLAUSE*]
    NODE_PATH,      // path p(a, b) = answer(a)        [WORD, PARAMS, CHAIN, CLAUSE(else)*]
    NODE_ROUTE,     // route r when e -> c ...         [WORD, expression?, CHAIN, CLAUSE*]
    NODE_OTHERWISE, // otherwise -> c ...              [CHAIN, CLAUSE*]
    NODE_FORBID,    // forbid zone a, b when g as "x"  [CLAUSE(zone, ...), CLAUSE*]
    NODE_REQUIRE,   // require verify(nli) when g      [CALL, CLAUSE*]
    NODE_ALLOW,     // allow escalate 1                [WORD, NUMBER?, CLAUSE*]
    NODE_BUDGET,    // budget per team 5 usd/day hard  [CLAUSE(per)?, LIMIT*, CLAUSE*]
    NODE_PROVE,     // prove passes verify when g      [CLAIM*, CLAUSE*]
    NODE_TEST,      // test "x" given g expect c       [STRING or CLAUSE(corpus), CLAUSE*]
    NODE_DISPATCH,  // dispatch price second 1 usd     [WORD, CLAUSE*]
    NODE_ASSUME,    // assume shadowed quick "why"     [WORD, WORD or STRING?, STRING]
    NODE_BAD,       // a statement that does not parse []
    // Parts.
    NODE_CLAUSE,      // keyword and what belongs to it  [value*]
    NODE_TARGET,      // routes | route r | model m      [WORD?]
    NODE_PARAMS,      // (a, b) or nothing               [WORD*]
    NODE_CHAIN,       // step -> step                    [STEP*]
    NODE_STEP,        // answer(...) | refuse "..." | escalate step  [CALL, STRING or STEP, CLAUSE*]
    NODE_CALL,        // f(a, b)                         [WORD, ARG*]
    NODE_ARG,         // a | tag "b" when g              [ALTERNATIVE*, CLAUSE(when)?]
    NODE_ALTERNATIVE, // [tag] value                   [WORD?, value]
    NODE_ENDPOINT, // "url" weight 2, dns "url"       [STRING, WORD or CLAUSE(dns or file)[STRING], CLAUSE*]
    NODE_PRICE,    // 0.03 in usd/Mtok                [NUMBER, WORD, UNIT?]
    NODE_NAMED,    // prefix 2, low 1k tok            [WORD, NUMBER or QUANTITY]
    NODE_QUANTITY, // 8k tok                          [NUMBER, UNIT?]
    NODE_UNIT,     // usd/Mtok                        [WORD, WORD?]
    NODE_BAND,     // high above 0.7                  [WORD, QUANTITY?]
    NODE_LIMIT,    // 5 usd/day hard cheaper          [QUANTITY, WORD*]
    // Its first token tells which: never [guard]; route [WORD, CLAUSE(costs)?]; every [CLAUSE(costs)];
    // zone, model [WORD*]; passes [CALL]; refuse, feasible []; not [CLAIM]; agree [COMPARE];
    // no [WORD, CLAUSE(reaches)[CLAUSE(zone, model or sink)[WORD]]].
    NODE_CLAIM,
    NODE_WORD,
    NODE_STRING,
    NODE_NUMBER,
    NODE_DATE,
    // Expressions.
    NODE_OR, // a or b or c                     [expression, expression, ...]
    NODE_AND,
    NODE_NOT,     // [expression]
    NODE_PAREN,   // [expression]
    NODE_TRUE,    // a name on its own, `true` or `false`  [WORD]
    NODE_COMPARE, // s < 3 tok                       [WORD, value]; the operator is tree_operator
    NODE_IN,      // s in ("a", "b"), s not in (...) [WORD, value*]
};

struct node {
    uint8_t kind;
    bool negated; // of NODE_IN: `not in`
    uint32_t token, end;
    uint32_t count; // children
    struct node *first, *last, *next;
};

struct tree {
    struct slice source;
    struct token_list tokens;
    struct node *root; // NODE_POLICY
};

static inline const struct token *tree_token(const struct tree *t, const struct node *n)
{
    return &t->tokens.at[n->token];
}

static inline struct slice tree_token_text(const struct tree *t, uint32_t token)
{
    const struct token *at = &t->tokens.at[token];
    return slice_make(t->source.ptr + at->begin, at->end - at->begin);
}

// The first token of a node: its keyword, name, number.
static inline struct slice tree_text(const struct tree *t, const struct node *n)
{
    return tree_token_text(t, n->token);
}

// From the first to the last token.
struct span tree_span(const struct tree *t, const struct node *n);
// Source text of that span.
struct slice tree_source(const struct tree *t, const struct node *n);

static inline uint32_t tree_line(const struct tree *t, const struct node *n)
{
    return tree_token(t, n)->line;
}

// The i-th child, or NULL.
const struct node *tree_child(const struct node *n, uint32_t i);
// The first clause child with this keyword, or NULL.
const struct node *tree_clause(const struct tree *t, const struct node *n, const char *keyword);
bool tree_is(const struct tree *t, const struct node *n, const char *word);
// The comparison operator of NODE_COMPARE.
enum token_kind tree_operator(const struct tree *t, const struct node *n);

// The value of a NODE_STRING: without quotes, \" undone. A slice of the source when there is nothing to undo, else a
// copy in `arena`; ptr NULL without memory.
struct slice tree_string(const struct tree *t, const struct node *n, struct arena *arena);

// Same kinds, same shape, same token texts: places and gaps aside.
bool tree_equal(const struct tree *a, const struct tree *b);

#endif
