// The words of a policy.
//
// A token is a run of bytes of the text; what lies between two tokens (spaces, line ends, comments) is not kept apart,
// it is the gap between their places, so that the text can be put together again byte by byte.
#ifndef MERIT_POLICY_LEX_H
#define MERIT_POLICY_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,   // letter or _, then letters, digits, _ and, between such, . and -
    TOKEN_STRING, // "..." on one line; \" is a quote, every other backslash is itself
    TOKEN_NUMBER, // perhaps -, a digit, then letters, digits, _ and, before a digit, . : 32k, 1.5M, -0.03
    TOKEN_DATE,    // four digits, -, two, -, two: 2026-11-21
    TOKEN_PERCENT, // %
    TOKEN_OPEN,    // (
    TOKEN_CLOSE,   // )
    TOKEN_COMMA,
    TOKEN_SLASH,
    TOKEN_BAR,
    TOKEN_ARROW,  // ->
    TOKEN_ASSIGN, // =
    TOKEN_EQ,     // ==
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_BAD, // a byte that begins nothing, or a string without an end
};

struct token {
    uint32_t begin, end;
    uint32_t line; // 1-based
    uint8_t kind;
    bool first;  // of its line
    bool margin; // in the first column
    bool secret; // looks like a key: its text is never repeated in a message
};

struct token_list {
    const struct token *at; // `count` tokens and a TOKEN_END
    uint32_t count;
};

// RESULT_LIMIT above POLICY_TOKENS_MAX (in `diags`), RESULT_NOMEM. Bad bytes are findings, not failures.
enum result lex_tokens(struct slice text, struct arena *arena, struct diag_list *diags,
                       struct token_list *out);

// "a string", "`->`", ... for messages about what was expected.
const char *lex_kind_name(enum token_kind kind);

// Whether the text (without quotes) has the shape of a provider's secret key.
bool lex_looks_like_key(struct slice text);

#endif
