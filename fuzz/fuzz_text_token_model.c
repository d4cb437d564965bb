// Models: any JSON opens or is refused; what opens encodes any piece in order, twice alike. The first byte chooses the
// kind; the text behind the first zero byte is the piece.
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/token_model.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void encode(const struct token_model_kind *kind, const void *model, struct slice piece)
{
    void *scratch;
    struct piece_tokens tokens[2] = {{0}, {0}};
    MUST(!kind->scratch_open(model, &scratch));
    for (int i = 0; i < 2; i++) {
        enum result r = kind->encode(model, scratch, piece, &tokens[i]);
        MUST(r == RESULT_OK || r == RESULT_LIMIT);
        uint32_t at = 0;
        for (uint32_t k = 0; k < tokens[i].count; k++) {
            struct piece_token t = tokens[i].at[k];
            MUST(t.id < kind->vocab(model) && t.begin <= t.end && t.end <= piece.len);
            MUST(t.begin >= at || (k && t.begin == tokens[i].at[k - 1].begin));
            at = t.begin;
        }
    }
    MUST(tokens[0].count == tokens[1].count);
    if (tokens[0].count)
        MUST(!memcmp(tokens[0].at, tokens[1].at, tokens[0].count * sizeof *tokens[0].at));
    alloc_free(tokens[0].at);
    alloc_free(tokens[1].at);
    kind->scratch_close(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json j;
    char problem[TOKENIZER_PROBLEM_BYTES] = "";
    void *model;
    if (size < 2)
        return 0;
    const struct token_model_kind *kind = data[0] & 1 ? &token_unigram : &token_bpe;
    bool bytes = data[0] & 2;
    const uint8_t *end = memchr(data + 1, 0, size - 1);
    struct slice text = slice_make(data + 1, end ? (size_t)(end - data - 1) : size - 1), piece;
    piece = end ? slice_make(end + 1, size - (size_t)(end + 1 - data)) : text;
    if (!bytes && !utf8_valid(piece))
        piece = SLICE("a aa\xc3\xa9<unk>");
    arena_init(&arena, 0, 1 << 26);
    if (json_parse(&j, text, &json_limits_default, &arena) == RESULT_OK) {
        enum result r = kind->open(&j, 0, bytes, problem, &model);
        if (r == RESULT_OK) {
            if (piece.len)
                encode(kind, model, piece);
            (void)kind->find(model, piece);
            kind->close(model);
        } else {
            MUST(!model && (r == RESULT_NOMEM || problem[0]));
        }
    }
    arena_deinit(&arena);
    return 0;
}
