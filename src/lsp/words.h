// One line of help for each word of the language.
#ifndef MERIT_LSP_WORDS_H
#define MERIT_LSP_WORDS_H

#include "base/slice.h"

struct lsp_word {
    const char *word, *form, *help;
};

extern const struct lsp_word lsp_words[];
extern const size_t lsp_word_count;

// Steps of a path, which are names by the grammar.
const struct lsp_word *lsp_step_find(struct slice step);
// NULL for a word that is none of the language's.
const struct lsp_word *lsp_word_find(struct slice word);

#endif
