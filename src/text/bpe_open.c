// A byte-pair model from its object in tokenizer.json.
#include "base/alloc.h"
#include "base/arena.h"
#include "text/bpe.h"
#include "text/char_class.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

enum {
    MERGES_MAX = 2 * TOKENIZER_VOCAB_MAX,
    // Free places are found within a few steps; a file whose pairs were made to collide is refused long before it costs.
    PROBES_PER_MERGE = 64,
    WORD_BYTES_MAX = 4096,
    PAIR_BITS_MIN = 1 << 13,
    PAIR_BITS_MAX = 1 << 20,
    ARENA_MAX = 1 << 30,
};

// The byte that a character of the byte-level alphabet stands for, -1 for others: printing characters of Latin-1 stand
// for themselves, U+0100 and on for the remaining bytes in order.
static int alphabet_byte(uint32_t code)
{
    if ((code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255))
        return (int)code;
    if (code < 256 || code >= 256 + 68)
        return -1;
    uint32_t n = code - 256;
    return (int)(n < 33 ? n : n == 33 ? 127 : n < 67 ? n - 34 + 128 : 173);
}

// Decodes a word in place of `out` (as long as the word); false when a character is outside the alphabet.
static bool decode_alphabet(struct slice word, char *out, size_t *len)
{
    *len = 0;
    for (size_t at = 0; at < word.len;) {
        unsigned n;
        int byte = alphabet_byte(char_decode((const unsigned char *)word.ptr + at, &n));
        if (byte < 0)
            return false;
        out[(*len)++] = (char)byte;
        at += n;
    }
    return true;
}

uint32_t bpe_find(const struct bpe *m, struct slice word)
{
    char bytes[WORD_BYTES_MAX];
    size_t len;
    if (word.len > WORD_BYTES_MAX || !utf8_valid(word))
        return BPE_NONE;
    if (!m->byte_level)
        return token_vocab_find(&m->vocab, word);
    if (!decode_alphabet(word, bytes, &len))
        return token_vocab_find(&m->odd, word);
    return token_vocab_find(&m->vocab, slice_make(bytes, len));
}

static enum result wrong(char *problem, const char *what)
{
    return token_problem(problem, RESULT_SYNTAX, "model: %s", what);
}

struct opening {
    const struct json *j;
    struct arena *arena; // reset per word: for escaped strings
    char *problem;
    char *word; // room for the longest string
    size_t word_room;
    struct bpe *m;
};

// A word as the model holds it: `*decoded` tells whether it went through the alphabet.
static enum result take_word(struct opening *o, struct slice spelt, struct slice *word,
                             bool *decoded)
{
    size_t len;
    *decoded = false;
    *word = spelt;
    if (!o->m->byte_level || spelt.len > o->word_room)
        return RESULT_OK;
    if (decode_alphabet(spelt, o->word, &len)) {
        *word = slice_make(o->word, len);
        *decoded = true;
    }
    return RESULT_OK;
}

static enum result read_string(struct opening *o, uint32_t token, struct slice *out)
{
    if (token == JSON_NONE || json_type(o->j, token) != JSON_STRING)
        return wrong(o->problem, "a string is missing");
    *out = json_string(o->j, token, o->arena);
    return out->ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result open_vocab(struct opening *o, uint32_t vocab)
{
    struct bpe *m = o->m;
    uint32_t at = 0, key, value, count = 0;
    size_t bytes = 0, longest = 0;
    if (vocab == JSON_NONE || json_type(o->j, vocab) != JSON_OBJECT)
        return wrong(o->problem, "no vocab");
    while (json_member(o->j, vocab, &at, &key, &value)) {
        size_t len = o->j->tokens[key].len;
        bytes += len;
        longest = len > longest ? len : longest;
        count++;
    }
    if (count > TOKENIZER_VOCAB_MAX || longest > WORD_BYTES_MAX)
        return token_problem(o->problem, RESULT_LIMIT, "model: more than %d words, or one above %d",
                             TOKENIZER_VOCAB_MAX, WORD_BYTES_MAX);
    enum result r = token_vocab_open(&m->vocab, count, bytes);
    if (r == RESULT_OK && m->byte_level)
        r = token_vocab_open(&m->odd, count, bytes);
    o->word_room = longest;
    o->word = alloc_bytes(longest + 1);
    if (r != RESULT_OK || !o->word)
        return r != RESULT_OK ? r : RESULT_NOMEM;
    for (at = 0; json_member(o->j, vocab, &at, &key, &value);) {
        uint64_t id;
        struct slice spelt, word;
        bool decoded;
        arena_reset(o->arena);
        if ((r = read_string(o, key, &spelt)) != RESULT_OK)
            return r;
        if (json_u64(o->j, value, &id) != RESULT_OK || id >= TOKENIZER_VOCAB_MAX)
            return wrong(o->problem, "an id in vocab is no number or too large");
        if ((r = take_word(o, spelt, &word, &decoded)) != RESULT_OK)
            return r;
        token_vocab_add(m->byte_level && !decoded ? &m->odd : &m->vocab, word, (uint32_t)id);
        m->ids = id >= m->ids ? (uint32_t)id + 1 : m->ids;
    }
    return RESULT_OK;
}

static bool one_unit(const struct bpe *m, struct slice word, uint32_t *code)
{
    unsigned n = 0;
    if (!word.len)
        return false;
    *code = m->byte_level ? (n = 1, (unsigned char)word.ptr[0])
                          : char_decode((const unsigned char *)word.ptr, &n);
    return n == word.len;
}

static enum result open_units(struct bpe *m)
{
    uint32_t count = 0, code, size = 8;
    for (uint32_t i = 0; i < m->vocab.count; i++)
        count += one_unit(m, token_vocab_text(&m->vocab, i), &code);
    while (size < count * 2)
        size *= 2;
    m->units = alloc_bytes(size * sizeof *m->units);
    if (!m->units)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < size; i++)
        m->units[i] = (struct bpe_unit){BPE_NONE, BPE_NONE};
    m->unit_mask = size - 1;
    for (unsigned i = 0; i < 256; i++) {
        char name[8] = "<0x00>";
        name[3] = "0123456789ABCDEF"[i / 16];
        name[4] = "0123456789ABCDEF"[i % 16];
        m->low[i] = BPE_NONE;
        m->bytes[i] = token_vocab_find(&m->vocab, slice_cstr(name));
    }
    for (uint32_t i = 0; i < m->vocab.count; i++) {
        if (!one_unit(m, token_vocab_text(&m->vocab, i), &code))
            continue;
        if (code < 128 || m->byte_level) {
            m->low[code] = m->vocab.words[i].id;
            continue;
        }
        uint32_t at = (uint32_t)bpe_mix(code) & m->unit_mask;
        while (m->units[at].code != BPE_NONE)
            at = (at + 1) & m->unit_mask;
        m->units[at] = (struct bpe_unit){code, m->vocab.words[i].id};
    }
    return RESULT_OK;
}

// The two words of a merge: a pair of strings, or one string with a space between them.
static enum result read_merge(struct opening *o, uint32_t token, struct slice *a, struct slice *b)
{
    enum result r;
    if (json_type(o->j, token) == JSON_ARRAY) {
        uint32_t at = 0, left = JSON_NONE, right = JSON_NONE, third;
        if (!json_element(o->j, token, &at, &left) || !json_element(o->j, token, &at, &right) ||
            json_element(o->j, token, &at, &third))
            return wrong(o->problem, "a merge that is no pair");
        r = read_string(o, left, a);
        return r != RESULT_OK ? r : read_string(o, right, b);
    }
    if ((r = read_string(o, token, a)) != RESULT_OK)
        return r;
    const char *space = memchr(a->ptr, ' ', a->len);
    if (!space || memchr(space + 1, ' ', a->len - (size_t)(space + 1 - a->ptr)))
        return wrong(o->problem, "a merge that is no pair");
    *b = slice_from(*a, (size_t)(space + 1 - a->ptr));
    a->len = (size_t)(space - a->ptr);
    return RESULT_OK;
}

static void mark_pairs(struct bpe *m, struct slice word)
{
    uint32_t before = BPE_NONE;
    unsigned n = 1;
    for (size_t at = 0; at < word.len; at += n) {
        uint32_t code = m->byte_level ? (unsigned char)word.ptr[at]
                                      : char_decode((const unsigned char *)word.ptr + at, &n);
        if (at) {
            uint32_t bit = bpe_pair_bit(m, before, code);
            m->pairs[bit / 64] |= (uint64_t)1 << (bit % 64);
        }
        before = code;
    }
}

// Puts one merge into the table; a pair that is there already takes the later rank.
static enum result put_merge(struct opening *o, uint64_t key, uint32_t rank, uint32_t id,
                             uint64_t *probes)
{
    struct bpe *m = o->m;
    uint32_t at = (uint32_t)bpe_mix(key) & m->merge_mask;
    for (; m->merges[at].key != UINT64_MAX && m->merges[at].key != key;
         at = (at + 1) & m->merge_mask)
        if (!(*probes)--)
            return token_problem(o->problem, RESULT_LIMIT, "model: merges collide");
    m->merges[at] = (struct bpe_merge){key, rank, id};
    return RESULT_OK;
}

static enum result add_merge(struct opening *o, uint32_t token, uint32_t rank, uint64_t *probes)
{
    struct bpe *m = o->m;
    struct slice spelt[2], word;
    uint32_t ids[2];
    bool decoded = false;
    char *joined;
    arena_reset(o->arena);
    enum result r = read_merge(o, token, &spelt[0], &spelt[1]);
    if (r != RESULT_OK)
        return r;
    if (spelt[1].len < m->prefix.len)
        return wrong(o->problem, "a merge without its prefix");
    for (int i = 0; i < 2; i++) {
        if ((r = take_word(o, spelt[i], &word, &decoded)) != RESULT_OK)
            return r;
        ids[i] = token_vocab_find(m->byte_level && !decoded ? &m->odd : &m->vocab, word);
        if (ids[i] == BPE_NONE)
            return wrong(o->problem, "a merge of a word that vocab lacks");
    }
    spelt[1] = slice_from(spelt[1], m->prefix.len);
    joined = arena_alloc(o->arena, spelt[0].len + spelt[1].len + 1);
    if (!joined)
        return RESULT_NOMEM;
    memcpy(joined, spelt[0].ptr, spelt[0].len);
    memcpy(joined + spelt[0].len, spelt[1].ptr, spelt[1].len);
    word = slice_make(joined, spelt[0].len + spelt[1].len);
    if ((r = take_word(o, word, &word, &decoded)) != RESULT_OK)
        return r;
    uint32_t id = token_vocab_find(m->byte_level && !decoded ? &m->odd : &m->vocab, word);
    if (id == BPE_NONE)
        return wrong(o->problem, "a merge whose result vocab lacks");
    if (!m->byte_level || decoded)
        mark_pairs(m, word);
    return put_merge(o, (uint64_t)ids[0] << 32 | ids[1], rank, id, probes);
}

static enum result open_merges(struct opening *o, uint32_t merges)
{
    struct bpe *m = o->m;
    uint32_t at = 0, token, count = 0, size = 8, bits = PAIR_BITS_MIN;
    if (merges == JSON_NONE || json_type(o->j, merges) != JSON_ARRAY)
        return wrong(o->problem, "no merges");
    while (json_element(o->j, merges, &at, &token))
        count++;
    if (count > MERGES_MAX)
        return token_problem(o->problem, RESULT_LIMIT, "model: more than %d merges", MERGES_MAX);
    while (size < count * 2)
        size *= 2;
    while (bits < count * 32 && bits < PAIR_BITS_MAX)
        bits *= 2;
    m->merge_mask = size - 1;
    m->pair_mask = bits - 1;
    m->merges = alloc_bytes(size * sizeof *m->merges);
    m->pairs = alloc_zeroed(bits / 64, sizeof *m->pairs);
    if (!m->merges || !m->pairs)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < size; i++)
        m->merges[i] = (struct bpe_merge){UINT64_MAX, 0, 0};
    uint64_t probes = (uint64_t)count * PROBES_PER_MERGE + 4096;
    uint32_t rank = 0;
    for (at = 0; json_element(o->j, merges, &at, &token); rank++) {
        if (json_type(o->j, token) == JSON_STRING &&
            slice_starts_with(json_raw(o->j, token), SLICE("#version")))
            continue;
        enum result r = add_merge(o, token, rank, &probes);
        if (r != RESULT_OK)
            return r;
    }
    return RESULT_OK;
}

// An affix that may be absent, null or empty.
static enum result read_affix(struct opening *o, uint32_t node, struct slice key, struct slice *out)
{
    uint32_t token = json_get(o->j, node, key, NULL);
    struct slice text = SLICE_EMPTY;
    if (token == JSON_NONE || json_type(o->j, token) == JSON_NULL)
        return RESULT_OK;
    arena_reset(o->arena);
    enum result r = read_string(o, token, &text);
    if (r != RESULT_OK || !text.len)
        return r;
    if (o->m->byte_level)
        return token_problem(o->problem, RESULT_UNSUPPORTED, "model: %.*s behind ByteLevel",
                             SLICE_FMT(key));
    char *copy = alloc_bytes(text.len);
    if (!copy)
        return RESULT_NOMEM;
    memcpy(copy, text.ptr, text.len);
    *out = slice_make(copy, text.len);
    return RESULT_OK;
}

static enum result read_options(struct opening *o, uint32_t node)
{
    struct bpe *m = o->m;
    double dropout = 0;
    uint32_t token = json_get(o->j, node, SLICE("dropout"), NULL);
    if (token != JSON_NONE && json_type(o->j, token) != JSON_NULL &&
        (json_double(o->j, token, &dropout) != RESULT_OK || dropout != 0))
        return token_problem(o->problem, RESULT_UNSUPPORTED, "model: dropout");
    m->byte_fallback = json_bool(o->j, json_get(o->j, node, SLICE("byte_fallback"), NULL), false);
    m->fuse_unk = json_bool(o->j, json_get(o->j, node, SLICE("fuse_unk"), NULL), false);
    m->ignore_merges = json_bool(o->j, json_get(o->j, node, SLICE("ignore_merges"), NULL), false);
    enum result r = read_affix(o, node, SLICE("continuing_subword_prefix"), &m->prefix);
    return r != RESULT_OK ? r : read_affix(o, node, SLICE("end_of_word_suffix"), &m->suffix);
}

static enum result read_unk(struct opening *o, uint32_t node)
{
    struct slice word = SLICE_EMPTY;
    bool decoded = false;
    uint32_t token = json_get(o->j, node, SLICE("unk_token"), NULL);
    o->m->unk = BPE_NONE;
    if (token == JSON_NONE || json_type(o->j, token) == JSON_NULL)
        return RESULT_OK;
    arena_reset(o->arena);
    enum result r = read_string(o, token, &word);
    if (r == RESULT_OK)
        r = take_word(o, word, &word, &decoded);
    if (r != RESULT_OK)
        return r;
    o->m->unk = token_vocab_find(o->m->byte_level && !decoded ? &o->m->odd : &o->m->vocab, word);
    if (o->m->unk == BPE_NONE && !o->m->byte_level)
        return wrong(o->problem, "vocab lacks unk_token");
    return RESULT_OK;
}

enum result bpe_open(const struct json *j, uint32_t node, bool byte_level, char *problem,
                     void **model)
{
    struct arena arena;
    arena_init(&arena, 1 << 16, ARENA_MAX);
    struct bpe *m = alloc_zeroed(1, sizeof *m);
    struct opening o = {.j = j, .arena = &arena, .problem = problem, .m = m};
    enum result r = m ? RESULT_OK : RESULT_NOMEM;
    *model = NULL;
    if (r != RESULT_OK)
        goto out;
    m->byte_level = byte_level;
    if (json_type(j, node) != JSON_OBJECT)
        r = wrong(problem, "no object");
    if (r == RESULT_OK)
        r = read_options(&o, node);
    if (r == RESULT_OK)
        r = open_vocab(&o, json_get(j, node, SLICE("vocab"), NULL));
    if (r == RESULT_OK)
        r = read_unk(&o, node);
    if (r == RESULT_OK)
        r = open_units(m);
    for (unsigned i = 0; r == RESULT_OK && byte_level && m->byte_fallback && i < 256; i++)
        if (m->low[i] == BPE_NONE)
            r = token_problem(problem, RESULT_UNSUPPORTED,
                              "model: byte_fallback behind ByteLevel, of which vocab lacks bytes");
    if (r == RESULT_OK)
        r = open_merges(&o, json_get(j, node, SLICE("merges"), NULL));
    if (r == RESULT_OK) {
        m->cuts = !m->prefix.len && !m->suffix.len;
        *model = m;
        m = NULL;
    }
out:
    alloc_free(o.word);
    bpe_close(m);
    arena_deinit(&arena);
    return r;
}

void bpe_close(void *model)
{
    struct bpe *m = model;
    if (!m)
        return;
    token_vocab_close(&m->vocab);
    token_vocab_close(&m->odd);
    alloc_free(m->merges);
    alloc_free(m->units);
    alloc_free(m->pairs);
    alloc_free((char *)m->prefix.ptr);
    alloc_free((char *)m->suffix.ptr);
    alloc_free(m);
}
