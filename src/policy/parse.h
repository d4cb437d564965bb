// Inside of the parser: what its files share. For policy/ only.
//
// Recursive descent over tokens. A statement ends where the next one begins (a word in the first column), known before
// it is read, so that a mistake costs one statement and one message. Functions that fail have said why and return
// NULL; their callers return NULL as well, up to the statement.
#ifndef MERIT_POLICY_PARSE_H
#define MERIT_POLICY_PARSE_H

#include "policy/tree.h"

struct parser {
    struct tree *tree;
    struct arena *arena;
    struct diag_list *diags;
    uint32_t at;    // next token
    uint32_t limit; // first token behind the statement
    unsigned depth;
    bool nomem;
};

// Kind of the next token of the statement, TOKEN_END behind its last one.
enum token_kind parse_peek(const struct parser *p);
bool parse_at_word(const struct parser *p, const char *word);
// Whether the next token is one of the words that end a value or begin a clause.
bool parse_at_keyword(const struct parser *p);
// ... or one of those that only begin clauses where they stand, so that it is no unit.
bool parse_at_clause(const struct parser *p);
// Takes the token when it is of this kind, or this word.
bool parse_take(struct parser *p, enum token_kind kind);
bool parse_take_word(struct parser *p, const char *word);
// Takes it or complains: "expected `what`, found ...". `what` NULL: the name of the kind.
bool parse_expect(struct parser *p, enum token_kind kind, const char *what);
bool parse_expect_word(struct parser *p, const char *word);
// The complaint on its own; always false.
bool parse_fail(struct parser *p, const char *expected);
// The next token as a finding of its own.
struct diag *parse_error(struct parser *p, const char *code, const char *fmt, ...)
    MERIT_PRINTF(3, 4);

// A node that begins at the next token, or one behind `before`'s begin; NULL without memory.
struct node *parse_open(struct parser *p, enum node_kind kind);
// Ends it before the next token.
struct node *parse_close(struct parser *p, struct node *n);
// Appends a child; false when it is NULL.
bool parse_add(struct node *parent, struct node *child);
// One token as a node; complains when it is of another kind.
struct node *parse_leaf(struct parser *p, enum node_kind kind);
// The deeper of two levels: false, with a finding, above POLICY_DEPTH_MAX. parse_leave undoes it.
bool parse_enter(struct parser *p);
void parse_leave(struct parser *p);

// parse_statement.c: one row per statement. `read` takes what stands behind the keyword; when it is content but the
// statement goes on, "expected `rest`" is the complaint.
struct parse_statement {
    const char *word;
    enum node_kind kind;
    bool (*read)(struct parser *p, struct node *n);
    const char *rest;
};
extern const struct parse_statement parse_statements[];
extern const size_t parse_statement_count;

// What may stand in a clause.
enum parse_shape {
    SHAPE_WORD,
    SHAPE_STRING,
    SHAPE_NUMBER,
    SHAPE_VALUE,
    SHAPE_QUANTITY,
    SHAPE_WORDS,     // a, b, c
    SHAPE_STRINGS,   // "a", "b"
    SHAPE_ENDPOINTS, // "url", "url" or demo
    SHAPE_PROVIDER,  // openai "gpt-5.5"
    SHAPE_KEY,       // env NAME, file "path"
    SHAPE_CARBON,    // "grid.csv" 380 g/kWh average
    SHAPE_EFFORT,    // off, low by template "x"
    SHAPE_PRICE,     // 1 in, 2 out usd/Mtok, batch 50 % since 2026-11-21 from "url"
    SHAPE_ENERGY,    // 1 in, 2 out kJ/Mtok | 2 h100 32b | estimate 200b
    SHAPE_RANGE,     // from 1k tok to 8k tok
    SHAPE_METER,     // nvml 0
    SHAPE_NONE,      // nothing
    SHAPE_WEIGHTS,   // prefix 2, queue 0.5
    SHAPE_COMPARE,   // quality >= 0.6
    SHAPE_RISK,      // at risk 0.1
    SHAPE_BANDS,     // low, medium above 0.3
    SHAPE_ZONES,     // a, b or below LABEL
    SHAPE_CHAIN,
    SHAPE_GUARD,
    SHAPE_GIVEN,  // user "text", GUARD or GUARD
    SHAPE_CLAIMS, // what a test expects
};

struct parse_clause {
    const char *word;
    enum parse_shape shape;
};

// parse_clause.c
bool parse_add_leaf(struct parser *p, struct node *n, enum node_kind kind);
// Clauses in any order while there are any; a word that begins none is left for the caller to complain about.
bool parse_clauses(struct parser *p, struct node *n, const struct parse_clause *table,
                   size_t count);
// One clause, when there is one: false, without a finding, when there is none.
bool parse_one_clause(struct parser *p, struct node *n, const struct parse_clause *table,
                      size_t count, bool *found);
// False, with a finding, when a word stands where a clause should begin and is near to one that would do.
bool parse_no_unknown(struct parser *p, const struct parse_clause *table, size_t count);
bool parse_words(struct parser *p, struct node *n);
bool parse_compare(struct parser *p, struct node *n);

// parse_pool.c: what models and zones say of places, prices and energy, and how is chosen among them.
bool parse_dispatch(struct parser *p, struct node *n);
bool parse_pool(struct parser *p, struct node *n, enum parse_shape shape);

// parse_rule.c: statements of constraints, proofs and tests.
bool parse_forbid(struct parser *p, struct node *n);
bool parse_require(struct parser *p, struct node *n);
bool parse_allow(struct parser *p, struct node *n);
bool parse_budget(struct parser *p, struct node *n);
bool parse_prove(struct parser *p, struct node *n);
bool parse_test(struct parser *p, struct node *n);
bool parse_assume(struct parser *p, struct node *n);
bool parse_claims(struct parser *p, struct node *n);

// parse_value.c
struct node *parse_quantity(struct parser *p);
struct node *parse_value(struct parser *p);
struct node *parse_call(struct parser *p);
struct node *parse_chain(struct parser *p);
// parse_guard.c
struct node *parse_guard(struct parser *p);

#endif
