// Post-processors: what stands before, between and behind the tokens of one text or two, and which offsets are trimmed.
// Private to text/.
//
// Known: BertProcessing, RobertaProcessing, TemplateProcessing, ByteLevel (trim_offsets), Sequence.
#ifndef MERIT_TEXT_TOKEN_POST_H
#define MERIT_TEXT_TOKEN_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "text/json.h"
#include "text/tokenizer.h"

enum { POST_PIECES_MAX = 256, POST_TRIMS_MAX = 8 };

// One of: a token that is put in, or all tokens of a text.
struct post_piece {
    bool is_text;
    uint8_t sequence; // which text
    uint8_t type;
    uint32_t id;
};

struct post_template {
    struct post_piece pieces[POST_PIECES_MAX];
    uint32_t count;
    uint32_t special; // pieces that are no text
};

struct token_post {
    struct post_template single, pair;
    bool trims[POST_TRIMS_MAX]; // offsets are trimmed so many times; true: with add_prefix_space
    uint32_t trim_count;
};

// From the "post_processor" object; JSON_NONE or null: texts as they are. RESULT_SYNTAX, RESULT_UNSUPPORTED,
// RESULT_LIMIT.
enum result token_post_open(const struct json *j, uint32_t node, char *problem,
                            struct token_post *out) MERIT_NODISCARD;

// How many tokens of each text are kept so that at most `max` are left (0: none), longest first.
void token_post_truncate(uint32_t max, uint32_t counts[2], bool pair);

#endif
