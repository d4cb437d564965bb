// Every stored case of data/golden: ids and byte offsets must be those of the reference. Skips where the data is absent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "text/json.h"
#include "text/tokenizer.h"

enum { SHOWN_MAX = 8 };

static const struct json_limits limits = {.depth_max = 64, .token_max = 4000000};

static const char *golden(void)
{
    static char path[4096];
    const char *data = getenv("MERIT_DATA");
    if (data)
        snprintf(path, sizeof path, "%s/golden", data);
    else
        snprintf(path, sizeof path, "%s/../shared/data/golden", MERIT_SOURCE_DIR);
    return path;
}

// The bytes of a file, unpacked where its name ends so; empty when there is none. Freed with alloc_free.
static struct slice read_all(const char *name)
{
    char path[8192], command[9000];
    snprintf(path, sizeof path, "%s/%s", golden(), name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return SLICE_EMPTY;
    bool packed = slice_ends_with(slice_cstr(path), SLICE(".gz"));
    if (packed) {
        fclose(f);
        snprintf(command, sizeof command, "gzip -dc '%s'", path);
        f = popen(command, "r");
        assert_non_null(f);
    }
    size_t len = 0, room = 1 << 20;
    char *p = alloc_bytes(room);
    for (size_t n; p && (n = fread(p + len, 1, room - len, f)) > 0;) {
        len += n;
        if (len == room)
            p = alloc_resize(p, room *= 2);
    }
    assert_non_null(p);
    packed ? pclose(f) : fclose(f);
    return slice_make(p, len);
}

struct text_case {
    struct slice text;
};

struct reading {
    struct arena arena;
    struct slice bytes;
    struct json *lines;
    uint32_t count;
};

static bool lines_open(struct reading *r, const char *name)
{
    r->bytes = read_all(name);
    r->count = 0;
    if (!r->bytes.ptr)
        return false;
    arena_init(&r->arena, 1 << 20, (size_t)1 << 30);
    uint32_t room = 0;
    for (size_t i = 0; i < r->bytes.len; i++)
        room += r->bytes.ptr[i] == '\n';
    r->lines = ARENA_ARRAY(&r->arena, struct json, room + 1);
    assert_non_null(r->lines);
    struct slice rest = r->bytes, line;
    while (slice_split(&rest, '\n', &line)) {
        if (line.len)
            assert_int_equal(json_parse(&r->lines[r->count++], line, &limits, &r->arena),
                             RESULT_OK);
    }
    return true;
}

static void lines_close(struct reading *r)
{
    if (r->bytes.ptr) {
        arena_deinit(&r->arena);
        alloc_free((void *)(uintptr_t)r->bytes.ptr);
    }
}

static struct slice string_of(struct reading *r, const struct json *j, uint32_t object,
                              const char *key)
{
    uint32_t node = json_get(j, object, slice_cstr(key), NULL);
    assert_true(node != JSON_NONE);
    struct slice s = json_string(j, node, &r->arena);
    return s.ptr ? s : SLICE("");
}

static uint32_t numbers(struct reading *r, const struct json *j, uint32_t object, const char *key,
                        uint64_t **out)
{
    uint32_t node = json_get(j, object, slice_cstr(key), NULL), at = 0, item, n = 0;
    assert_true(node != JSON_NONE);
    while (json_element(j, node, &at, &item))
        n++;
    *out = ARENA_ARRAY(&r->arena, uint64_t, n + 1);
    for (at = n = 0; json_element(j, node, &at, &item); n++)
        assert_int_equal(json_u64(j, item, &(*out)[n]), RESULT_OK);
    return n;
}

static struct tokenizer *open_named(const char *folder)
{
    char name[256], problem[TOKENIZER_PROBLEM_BYTES];
    snprintf(name, sizeof name, "tokenizers/%s/tokenizer.json", folder);
    struct slice json = read_all(name);
    if (!json.ptr)
        return NULL;
    struct tokenizer *t = NULL;
    enum result r = tokenizer_open(json, problem, &t);
    if (r)
        fail_msg("%s: %s: %s", folder, result_name(r), problem);
    alloc_free((void *)(uintptr_t)json.ptr);
    return t;
}

// True when the tokens of `text` are those of `expect`.
static bool same(const struct tokenizer *t, struct tokenizer_scratch *s, struct slice text,
                 const uint64_t *ids, const uint64_t *places, uint32_t n, uint32_t max,
                 const char *what, uint64_t i, uint32_t shown)
{
    const struct tokenizer_options options = {.max_tok = max};
    const struct token *tokens;
    uint32_t count;
    assert_int_equal(tokenizer_encode(t, s, text, SLICE_EMPTY, &options, &tokens, &count),
                     RESULT_OK);
    uint32_t k = 0;
    while (k < n && k < count && tokens[k].id == ids[k] && tokens[k].begin == places[2 * k] &&
           tokens[k].end == places[2 * k + 1])
        k++;
    if (k == n && k == count)
        return true;
    if (shown < SHOWN_MAX)
        print_message(
            "%s, text %llu, token %u of %u (%u wanted): %u %u..%u, wanted %llu %llu..%llu\n", what,
            (unsigned long long)i, k, count, n, k < count ? tokens[k].id : 0,
            k < count ? tokens[k].begin : 0, k < count ? tokens[k].end : 0,
            k < n ? (unsigned long long)ids[k] : 0, k < n ? (unsigned long long)places[2 * k] : 0,
            k < n ? (unsigned long long)places[2 * k + 1] : 0);
    return false;
}

static void check_family(void **state)
{
    const char *folder = *state;
    char name[256];
    struct tokenizer *t = open_named(folder);
    struct reading texts = {0}, expect = {0};
    snprintf(name, sizeof name, "tokenizers/%s/expect.jsonl.gz", folder);
    if (!t || !lines_open(&texts, "tokenizers/texts.jsonl.gz") || !lines_open(&expect, name)) {
        print_message("%s: no cases below %s\n", folder, golden());
        tokenizer_close(t);
        lines_close(&texts);
        skip();
    }
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    uint32_t wrong = 0;
    assert_true(expect.count > 0 && expect.count <= texts.count);
    for (uint32_t i = 0; i < expect.count; i++) {
        uint64_t *ids, *places;
        uint32_t n = numbers(&expect, &expect.lines[i], 0, "ids", &ids);
        numbers(&expect, &expect.lines[i], 0, "b", &places);
        struct slice text = string_of(&texts, &texts.lines[i], 0, "text");
        wrong += !same(t, s, text, ids, places, n, 0, folder, i, wrong);
    }
    print_message("token_mismatch %s: %u of %u texts\n", folder, wrong, expect.count);
    assert_int_equal(wrong, 0);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
    lines_close(&texts);
    lines_close(&expect);
}

// The texts whose vectors are stored: ids cut at 512.
static void check_minilm_texts(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("minilm");
    struct reading texts = {0};
    if (!t || !lines_open(&texts, "minilm/texts.jsonl")) {
        print_message("minilm: no cases below %s\n", golden());
        tokenizer_close(t);
        skip();
    }
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < texts.count; i++) {
        uint64_t *ids, *places;
        uint32_t n = numbers(&texts, &texts.lines[i], 0, "ids", &ids);
        numbers(&texts, &texts.lines[i], 0, "byte_offsets", &places);
        struct slice text = string_of(&texts, &texts.lines[i], 0, "text");
        wrong += !same(t, s, text, ids, places, n, 512, "minilm/texts", i, wrong);
    }
    print_message("token_mismatch minilm/texts: %u of %u texts\n", wrong, texts.count);
    assert_int_equal(wrong, 0);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
    lines_close(&texts);
}

static void check_pairs(void **state)
{
    const char *folder = *state;
    struct tokenizer *t = open_named(folder);
    struct reading pairs = {0};
    if (!t || !lines_open(&pairs, "tokenizers/pairs.jsonl")) {
        print_message("%s: no pairs below %s\n", folder, golden());
        tokenizer_close(t);
        skip();
    }
    struct tokenizer_scratch *s;
    assert_int_equal(tokenizer_scratch_open(t, &s), RESULT_OK);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < pairs.count; i++) {
        const struct json *j = &pairs.lines[i];
        uint64_t *ids, *types, max = 0;
        uint32_t node = json_get(j, 0, slice_cstr(folder), NULL);
        if (json_type(j, json_get(j, 0, SLICE("max_length"), NULL)) != JSON_NULL)
            assert_int_equal(json_u64(j, json_get(j, 0, SLICE("max_length"), NULL), &max),
                             RESULT_OK);
        uint32_t n = numbers(&pairs, j, node, "ids", &ids), count, k = 0;
        numbers(&pairs, j, node, "type_ids", &types);
        const struct tokenizer_options options = {.max_tok = (uint32_t)max};
        const struct token *tokens;
        assert_int_equal(tokenizer_encode(t, s, string_of(&pairs, j, 0, "a"),
                                          string_of(&pairs, j, 0, "b"), &options, &tokens, &count),
                         RESULT_OK);
        while (k < n && k < count && tokens[k].id == ids[k] && tokens[k].type == types[k])
            k++;
        if (k < n || n != count) {
            print_message("%s, pair %u at most %llu: token %u of %u (%u wanted)\n", folder, i,
                          (unsigned long long)max, k, count, n);
            wrong++;
        }
    }
    print_message("token_mismatch %s: %u of %u pairs\n", folder, wrong, pairs.count);
    assert_int_equal(wrong, 0);
    tokenizer_scratch_close(s);
    tokenizer_close(t);
    lines_close(&pairs);
}

#define FAMILY(folder)                                                                             \
    {                                                                                              \
        "family " folder, check_family, NULL, NULL, (void *)(uintptr_t)folder                      \
    }
#define PAIRS(folder)                                                                              \
    {                                                                                              \
        "pairs " folder, check_pairs, NULL, NULL, (void *)(uintptr_t)folder                        \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAMILY("minilm"),
        FAMILY("wordpiece_uncased"),
        FAMILY("wordpiece_cased"),
        FAMILY("bpe_modernbert"),
        FAMILY("bpe_llama3"),
        FAMILY("bpe_gemma"),
        FAMILY("bpe_llama2"),
        FAMILY("unigram_xlmr"),
        cmocka_unit_test(check_minilm_texts),
        PAIRS("wordpiece_uncased"),
        PAIRS("unigram_xlmr"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
