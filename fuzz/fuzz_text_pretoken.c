// Pre-tokenisers: any JSON opens or is refused with a word; what opens cuts any text into pieces in order. The text
// stands behind the first zero byte. And the character map: the same bytes as base64 of a map, for the same text.
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/charsmap.h"
#include "text/pretoken.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void cut(const struct pretoken *p, struct slice text)
{
    struct pretoken_scratch *s;
    struct pretoken_cut c;
    MUST(!pretoken_scratch_open(&s));
    if (!pretoken_cut(p, s, text, true, &c)) {
        uint32_t at = 0;
        for (uint32_t i = 0; i < c.count; i++) {
            MUST(c.pieces[i].begin >= at && c.pieces[i].end > c.pieces[i].begin);
            at = c.pieces[i].end;
        }
        MUST(at <= c.text.len && utf8_valid(c.text));
        for (size_t i = 0; c.from && i < c.text.len; i++)
            MUST(c.from[i] < text.len && (!i || c.from[i] >= c.from[i - 1]));
    }
    pretoken_scratch_close(s);
}

static void map(struct slice base64, struct slice text)
{
    struct charsmap *c;
    struct charsmap_scratch s = {0};
    struct slice out;
    const uint32_t *from;
    if (charsmap_open(base64, &c))
        return;
    if (!charsmap_apply(c, &s, text, &out, &from)) {
        MUST(utf8_valid(out));
        for (size_t i = 0; from && i < out.len; i++)
            MUST(from[i] < text.len && (!i || from[i] >= from[i - 1]));
    }
    charsmap_scratch_deinit(&s);
    charsmap_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json j;
    char problem[TOKENIZER_PROBLEM_BYTES] = "";
    struct pretoken *p;
    const uint8_t *end = memchr(data, 0, size);
    struct slice json = slice_make(data, end ? (size_t)(end - data) : size), text = json;
    if (end)
        text = slice_make(end + 1, size - (size_t)(end + 1 - data));
    if (!utf8_valid(text))
        text = SLICE("It's  12 caf\xc3\xa9s\r\n -\xe2\x96\x81x \xcc\x81");
    map(json, text);
    arena_init(&arena, 0, 1 << 26);
    if (json_parse(&j, json, &json_limits_default, &arena) == RESULT_OK) {
        enum result r = pretoken_open(&j, 0, problem, &p);
        if (r == RESULT_OK) {
            cut(p, text);
            pretoken_close(p);
        } else {
            MUST(r == RESULT_NOMEM || problem[0]);
        }
    }
    arena_deinit(&arena);
    return 0;
}
