// What a tokenizer is made of. Private to text/tokenizer*.c.
#ifndef MERIT_TEXT_TOKENIZER_PARTS_H
#define MERIT_TEXT_TOKENIZER_PARTS_H

#include "base/arena.h"
#include "base/map.h"
#include "text/added_token.h"
#include "text/normalizer.h"
#include "text/pretoken.h"
#include "text/token_model.h"
#include "text/token_post.h"
#include "text/tokenizer.h"

struct tokenizer {
    struct arena arena; // of the added tokens
    // As written, with the ids that they have; each is in one of the two lists below, and empty in the other.
    struct added_token *added;
    uint32_t added_count;
    struct map by_content;         // to its entry of `added`
    struct added_token *in_text;   // searched for in the text
    struct added_token *in_normal; // searched for, normalised, in normalised text
    struct added_set *text_set, *normal_set;
    struct normalizer *normalizer;
    struct pretoken *pretoken;
    const struct token_model_kind *kind;
    void *model;
    struct token_post post;
    uint32_t vocab;
    struct token frame[POST_PIECES_MAX];
    uint32_t before_count, behind_count;
};

#endif
