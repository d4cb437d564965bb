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
// Whether the next token is one of the words that end a value or begin a clause, so that it is no unit.
bool parse_at_keyword(const struct parser *p);
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

// parse_value.c
struct node *parse_quantity(struct parser *p);
struct node *parse_value(struct parser *p);
struct node *parse_call(struct parser *p);
struct node *parse_chain(struct parser *p);
// parse_guard.c
struct node *parse_guard(struct parser *p);

#endif
