// What may stand where, by the grammar of the language itself.
//
// docs/grammar.ebnf is built into the program. It is read into a network of states here, and a recogniser that follows all
// readings of a statement at once (J. Earley, "An efficient context-free parsing algorithm", 1970) tells behind every
// token what could come next and inside of which rules. So completion knows each word of the language, and names in a
// statement that does not parse are still known for what they are. No rule that another one uses may be empty.
//
// A grammar is immutable once open; several threads may use it. A recogniser has one owner.
#ifndef MERIT_LSP_GRAMMAR_H
#define MERIT_LSP_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "base/slice.h"
#include "policy/lex.h"

// docs/grammar.ebnf.
extern const struct slice LSP_GRAMMAR;

enum {
    LSP_GRAMMAR_STATES_MAX = 4096,
    LSP_GRAMMAR_EDGES_MAX = 8192,
    LSP_GRAMMAR_RULES_MAX = 256,
    LSP_GRAMMAR_WORDS_MAX = 512,
    LSP_TOKENS_MAX = 20000, // of a statement that the recogniser looks at
};

enum lsp_edge_kind {
    LSP_EDGE_NOTHING, // a step for free
    LSP_EDGE_WORD,    // a word of the language
    LSP_EDGE_MARK,    // punctuation
    LSP_EDGE_NAME,
    LSP_EDGE_STRING,
    LSP_EDGE_NUMBER,
    LSP_EDGE_DATE,
    LSP_EDGE_RULE,
};

struct lsp_edge {
    uint8_t kind;
    uint8_t mark;    // enum token_kind
    uint8_t ordinal; // which one since `after`
    uint16_t to;
    uint16_t what; // of a word or rule: its index
    uint16_t
        after; // the word of the language that stands before it in its rule, LSP_WORD_NONE: none does
    uint16_t next; // edge of the same state, 0: the last
};

enum { LSP_WORD_NONE = UINT16_MAX };

struct lsp_rule {
    struct slice name;
    uint16_t start, end;
    bool defined, used;
};

struct lsp_grammar {
    const struct lsp_edge *edges;
    const uint16_t *first; // of each state
    const uint16_t *owner; // rule of each state
    const struct lsp_rule *rules;
    const struct slice *words; // all words of the language, in the order of the file
    uint32_t rule_count, word_count;
};

// Reads EBNF. The arena and the text outlive the grammar. RESULT_SYNTAX (also: a rule is missing or can be empty),
// RESULT_LIMIT, RESULT_NOMEM.
enum result lsp_grammar_open(struct slice text, struct arena *arena,
                             struct lsp_grammar *out) MERIT_NODISCARD;
// Index of a word of the language, or LSP_WORD_NONE.
uint16_t lsp_grammar_word(const struct lsp_grammar *g, struct slice text);

struct lsp_item {
    uint32_t origin; // the set in which its rule began
    uint16_t state;
};

// What can be at one place: behind the token before `token`.
struct lsp_set {
    uint32_t begin; // its first item
    uint32_t token; // how many tokens were offered before
};

struct lsp_reading {
    const struct lsp_grammar *grammar;
    struct lsp_item *items;
    struct lsp_set *sets; // 0 is the begin of the statement, `newest` the last
    uint32_t item_count, item_room, newest, set_room, offered;
};

// Before the first token of a `statement`. RESULT_NOMEM.
enum result lsp_reading_open(struct lsp_reading *r, const struct lsp_grammar *g) MERIT_NODISCARD;
void lsp_reading_close(struct lsp_reading *r);
// One token more. When it can stand behind the newest set, or behind one of the few before it (what lies between is
// taken as a mistake), it is taken and `*set` is the set that it stood in. RESULT_NOT_FOUND: it can stand nowhere and is
// passed over. RESULT_LIMIT, RESULT_NOMEM.
enum result lsp_reading_take(struct lsp_reading *r, enum token_kind kind, struct slice text,
                             uint32_t *set) MERIT_NODISCARD;

// One thing that may come next.
struct lsp_expect {
    const struct lsp_edge *edge;
    uint32_t item;
};
// Walks what a set expects; begin with a zeroed `*out`. False at the end.
bool lsp_reading_next(const struct lsp_reading *r, uint32_t set, struct lsp_expect *out);
// The rule that an item is in, and where that began.
struct slice lsp_reading_rule(const struct lsp_reading *r, uint32_t item);
// The item that waits for this item's rule to end, and the edge on which it does; false when that is the statement itself.
bool lsp_reading_parent(const struct lsp_reading *r, uint32_t *item, const struct lsp_edge **edge);
// Whether the statement can end behind the newest set.
bool lsp_reading_can_end(const struct lsp_reading *r);

#endif
