// A tokenizer.json up to the first NUL, two texts behind it. A file that opens must give tokens of its vocabulary with
// places in the text, the same ones each time, and with a limit the first of them.
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice next_part(struct slice *rest)
{
    const char *end = rest->len ? memchr(rest->ptr, 0, rest->len) : NULL;
    struct slice part = slice_head(*rest, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = slice_from(*rest, part.len + 1);
    return part;
}

static void check(const struct tokenizer *t, const struct token *tokens, uint32_t count,
                  struct slice text, struct slice pair)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t len = tokens[i].sequence ? pair.len : text.len;
        if (tokens[i].id >= tokenizer_vocab(t) || tokens[i].begin > tokens[i].end ||
            tokens[i].end > len || tokens[i].sequence > 1 ||
            (tokens[i].special && (tokens[i].begin || tokens[i].end)))
            abort();
    }
}

static void encode(const struct tokenizer *t, struct tokenizer_scratch *s, struct slice text,
                   struct slice pair)
{
    const struct token *tokens;
    uint32_t count, again;
    const struct tokenizer_options bare = {.bare = true};
    if (tokenizer_encode(t, s, text, pair, &(struct tokenizer_options){0}, &tokens, &count))
        return;
    check(t, tokens, count, text, pair);
    if (tokenizer_encode(t, s, text, SLICE_EMPTY, &bare, &tokens, &count))
        return;
    check(t, tokens, count, text, SLICE_EMPTY);
    struct token *copy = malloc((count + 1) * sizeof *copy);
    if (!copy)
        abort();
    if (count)
        memcpy(copy, tokens, count * sizeof *copy);
    for (uint32_t max = 0; max <= count; max += count / 3 + 1) {
        const struct tokenizer_options cut = {.bare = true, .max_tok = max};
        if (tokenizer_encode(t, s, text, SLICE_EMPTY, &cut, &tokens, &again) ||
            again != (max ? max : count))
            abort();
        for (uint32_t i = 0; i < again; i++) {
            if (copy[i].id != tokens[i].id || copy[i].begin != tokens[i].begin ||
                copy[i].end != tokens[i].end)
                abort();
        }
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), json = next_part(&rest), text = next_part(&rest);
    char problem[TOKENIZER_PROBLEM_BYTES];
    struct tokenizer *t = NULL;
    struct tokenizer_scratch *s = NULL;
    enum result r = tokenizer_open(json, problem, &t);
    if (r) {
        if (t || strnlen(problem, sizeof problem) == sizeof problem)
            abort();
        return 0;
    }
    if (tokenizer_scratch_open(t, &s))
        abort();
    encode(t, s, text, rest);
    encode(t, s, text, rest); // with the caches full
    tokenizer_scratch_close(s);
    tokenizer_close(t);
    return 0;
}
