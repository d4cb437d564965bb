// Unigram models: of all ways to spell a piece with words of the vocabulary the one whose scores add up highest (Kudo,
// 2018), found from left to right. Scores are doubles added in the reference's order, so that ties fall alike.
#include "base/alloc.h"
#include "base/arena.h"
#include "text/char_class.h"
#include "text/token_cache.h"
#include "text/token_model.h"
#include "text/token_trie.h"
#include "text/token_vocab.h"
#include "text/tokenizer.h"

enum {
    NONE = UINT32_MAX,
    WORD_BYTES_MAX = 4096,
    KEPT_NODES = 256 * 1024, // a longer lattice is given back after the piece
    ARENA_MAX = 1 << 20,
    // A longer piece is spelt window by window, so that the lattice's memory is bounded; only an endless word is spelt
    // otherwise than by the reference, around the windows' edges.
    WINDOW_BYTES = 1024 * 1024,
};
// How much worse than the worst word an unknown character is.
static const double unknown_penalty = 10;

struct unigram {
    struct token_vocab vocab;
    struct token_trie trie;
    double *scores;
    double unk_score;
    uint32_t unk, ids;
    uint32_t bytes[256]; // ids of <0x00> .. <0xFF>
    bool byte_fallback;
};

// The best way to the place behind a byte.
struct node {
    double score;
    uint32_t start, id; // of its last word; start NONE: no way yet
};

struct unigram_scratch {
    struct token_cache cache;
    struct node *nodes;
    uint32_t room;
};

static void close_model(void *model)
{
    struct unigram *m = model;
    if (!m)
        return;
    token_vocab_close(&m->vocab);
    token_trie_close(&m->trie);
    alloc_free(m->scores);
    alloc_free(m);
}

static enum result wrong(char *problem, const char *what)
{
    return token_problem(problem, RESULT_SYNTAX, "model: %s", what);
}

// Reserves the vocabulary for what the array holds.
static enum result count_words(struct unigram *m, const struct json *j, uint32_t list,
                               char *problem)
{
    uint32_t at = 0, pair, inner, word, count = 0;
    size_t bytes = 0;
    if (list == JSON_NONE || json_type(j, list) != JSON_ARRAY)
        return wrong(problem, "no vocab");
    for (; json_element(j, list, &at, &pair); count++) {
        inner = 0;
        if (json_type(j, pair) != JSON_ARRAY || !json_element(j, pair, &inner, &word) ||
            json_type(j, word) != JSON_STRING)
            return wrong(problem, "a word in vocab that is no pair of text and score");
        if (j->tokens[word].len > WORD_BYTES_MAX)
            return token_problem(problem, RESULT_LIMIT, "model: a word above %d bytes",
                                 WORD_BYTES_MAX);
        bytes += j->tokens[word].len;
    }
    if (count > TOKENIZER_VOCAB_MAX)
        return token_problem(problem, RESULT_LIMIT, "model: more than %d words",
                             TOKENIZER_VOCAB_MAX);
    m->ids = count;
    m->scores = alloc_bytes((count + (size_t)1) * sizeof *m->scores);
    return m->scores ? token_vocab_open(&m->vocab, count, bytes) : RESULT_NOMEM;
}

static enum result read_words(struct unigram *m, const struct json *j, uint32_t list, char *problem)
{
    uint32_t at = 0, pair, inner, word, score, more;
    struct arena arena;
    enum result r = RESULT_OK;
    double least = 0;
    arena_init(&arena, 0, ARENA_MAX);
    for (uint32_t id = 0; json_element(j, list, &at, &pair); id++) {
        inner = 0;
        arena_reset(&arena);
        if (!json_element(j, pair, &inner, &word) || !json_element(j, pair, &inner, &score) ||
            json_element(j, pair, &inner, &more) ||
            json_double(j, score, &m->scores[id]) != RESULT_OK) {
            r = wrong(problem, "a word in vocab that is no pair of text and score");
            break;
        }
        struct slice text = json_string(j, word, &arena);
        if (!text.ptr) {
            r = RESULT_NOMEM;
            break;
        }
        token_vocab_add(&m->vocab, text, id);
        if (!id || m->scores[id] < least)
            least = m->scores[id];
    }
    m->unk_score = least - unknown_penalty;
    arena_deinit(&arena);
    return r;
}

static enum result open_model(const struct json *j, uint32_t node, bool byte_level, char *problem,
                              void **model)
{
    uint64_t unk;
    *model = NULL;
    if (json_type(j, node) != JSON_OBJECT)
        return wrong(problem, "no object");
    if (byte_level)
        return token_problem(problem, RESULT_UNSUPPORTED, "model: Unigram behind ByteLevel");
    uint32_t unk_id = json_get(j, node, SLICE("unk_id"), NULL);
    if (unk_id == JSON_NONE || json_type(j, unk_id) == JSON_NULL)
        return token_problem(problem, RESULT_UNSUPPORTED, "model: Unigram without unk_id");
    uint32_t list = json_get(j, node, SLICE("vocab"), NULL);
    struct unigram *m = alloc_zeroed(1, sizeof *m);
    enum result r = m ? count_words(m, j, list, problem) : RESULT_NOMEM;
    if (r == RESULT_OK && (json_u64(j, unk_id, &unk) != RESULT_OK || unk >= m->ids))
        r = wrong(problem, "unk_id is not in vocab");
    if (r == RESULT_OK)
        r = read_words(m, j, list, problem);
    if (r == RESULT_OK)
        r = token_trie_open(&m->trie, &m->vocab);
    if (r != RESULT_OK) {
        close_model(m);
        return r;
    }
    m->unk = (uint32_t)unk;
    m->byte_fallback = json_bool(j, json_get(j, node, SLICE("byte_fallback"), NULL), false);
    for (unsigned i = 0; i < 256; i++) {
        char name[8] = "<0x00>";
        name[3] = "0123456789ABCDEF"[i / 16];
        name[4] = "0123456789ABCDEF"[i % 16];
        m->bytes[i] = token_vocab_find(&m->vocab, slice_cstr(name));
    }
    *model = m;
    return RESULT_OK;
}

static enum result scratch_open(const void *model, void **scratch)
{
    struct unigram_scratch *s = alloc_zeroed(1, sizeof *s);
    (void)model;
    *scratch = NULL;
    if (!s || token_cache_open(&s->cache) != RESULT_OK) {
        alloc_free(s);
        return RESULT_NOMEM;
    }
    *scratch = s;
    return RESULT_OK;
}

static void scratch_close(void *scratch)
{
    struct unigram_scratch *s = scratch;
    if (!s)
        return;
    token_cache_close(&s->cache);
    alloc_free(s->nodes);
    alloc_free(s);
}

static enum result reserve(struct unigram_scratch *s, size_t count)
{
    if (count <= s->room)
        return RESULT_OK;
    uint32_t room = (uint32_t)(count < 1024 ? 1024 : count + count / 4);
    alloc_free(s->nodes);
    s->nodes = alloc_bytes(room * sizeof *s->nodes);
    s->room = s->nodes ? room : 0;
    return s->nodes ? RESULT_OK : RESULT_NOMEM;
}

static inline void offer(struct node *to, double score, uint32_t start, uint32_t id)
{
    if (to->start == NONE || score > to->score)
        *to = (struct node){score, start, id};
}

static void best_ways(const struct unigram *m, struct slice piece, struct node *nodes)
{
    const unsigned char *p = (const unsigned char *)piece.ptr;
    uint32_t n = (uint32_t)piece.len;
    for (uint32_t i = 1; i <= n; i++)
        nodes[i].start = NONE;
    nodes[0] = (struct node){0, 0, NONE};
    unsigned len;
    for (uint32_t at = 0; at < n; at += len) {
        double here = nodes[at].score;
        uint32_t state = TOKEN_TRIE_ROOT;
        bool single = false;
        char_decode(p + at, &len);
        for (uint32_t i = at; i < n && token_trie_step(&m->trie, &state, p[i]); i++) {
            uint32_t id = m->trie.nodes[state].id;
            if (id == TOKEN_TRIE_NONE)
                continue;
            offer(&nodes[i + 1], m->scores[id] + here, at, id);
            single |= i + 1 - at == len;
        }
        if (!single)
            offer(&nodes[at + len], m->unk_score + here, at, m->unk);
    }
}

// Unknown text [begin, end): a word all the same when neighbours joined to one; else bytes, which all stand for the
// whole; else the unknown token.
static enum result put_unknown(const struct unigram *m, struct slice piece, uint32_t begin,
                               uint32_t end, struct piece_tokens *out)
{
    uint32_t id = token_vocab_find(&m->vocab, slice_make(piece.ptr + begin, end - begin));
    bool bytes = m->byte_fallback && id == NONE;
    for (uint32_t i = begin; i < end && bytes; i++)
        bytes = m->bytes[(unsigned char)piece.ptr[i]] != NONE;
    if (!bytes)
        return piece_tokens_add(out, id == NONE ? m->unk : id, begin, end);
    enum result r = piece_tokens_reserve(out, end - begin);
    for (uint32_t i = begin; i < end && r == RESULT_OK; i++)
        out->at[out->count++] =
            (struct piece_token){m->bytes[(unsigned char)piece.ptr[i]], begin, end};
    return r;
}

// Walks the best way back, turning the nodes' starts around, then forward.
static enum result spell(const struct unigram *m, struct slice piece, struct node *nodes,
                         struct piece_tokens *out)
{
    uint32_t n = (uint32_t)piece.len, end = n, id = NONE;
    for (uint32_t at = n; at;) {
        // nodes[at] becomes the word that begins there: its end and id.
        struct node last = nodes[at];
        nodes[at].start = end;
        nodes[at].id = id;
        end = at;
        id = last.id;
        at = last.start;
    }
    nodes[0].start = end;
    nodes[0].id = id;
    enum result r = RESULT_OK;
    for (uint32_t at = 0; at < n && r == RESULT_OK;) {
        uint32_t begin = at;
        if (nodes[at].id != m->unk) {
            r = piece_tokens_add(out, nodes[at].id, at, nodes[at].start);
            at = nodes[at].start;
            continue;
        }
        while (at < n && nodes[at].id == m->unk)
            at = nodes[at].start;
        r = put_unknown(m, piece, begin, at, out);
    }
    return r;
}

static enum result encode_window(const struct unigram *m, struct unigram_scratch *s,
                                 struct slice window, uint32_t base, struct piece_tokens *out)
{
    uint32_t first = out->count;
    enum result r = reserve(s, window.len + 1);
    if (r != RESULT_OK)
        return r;
    best_ways(m, window, s->nodes);
    r = spell(m, window, s->nodes, out);
    for (uint32_t i = first; base && i < out->count; i++) {
        out->at[i].begin += base;
        out->at[i].end += base;
    }
    return r;
}

static bool is_run(const struct piece_tokens *out, uint32_t first)
{
    for (uint32_t i = first + 1; i < out->count; i++)
        if (out->at[i].begin != out->at[i - 1].end)
            return false;
    return true;
}

static enum result encode(const void *model, void *scratch, struct slice piece,
                          struct piece_tokens *out)
{
    const struct unigram *m = model;
    struct unigram_scratch *s = scratch;
    const struct token_cache_entry *known = token_cache_find(&s->cache, piece);
    if (MERIT_LIKELY(known))
        return token_cache_put(known, 0, out);
    uint32_t first = out->count;
    enum result r = RESULT_OK;
    for (size_t at = 0, end; at < piece.len && r == RESULT_OK; at = end) {
        end = piece.len - at < WINDOW_BYTES ? piece.len : at + WINDOW_BYTES;
        while (end < piece.len && ((unsigned char)piece.ptr[end] & 0xc0) == 0x80)
            end--;
        r = encode_window(m, s, slice_make(piece.ptr + at, end - at), (uint32_t)at, out);
    }
    if (r == RESULT_OK && is_run(out, first))
        token_cache_store(&s->cache, piece, 0, out, first);
    if (s->room > KEPT_NODES) {
        alloc_free(s->nodes);
        s->nodes = NULL;
        s->room = 0;
    }
    return r;
}

static uint32_t find(const void *model, struct slice token)
{
    return token_vocab_find(&((const struct unigram *)model)->vocab, token);
}

static uint32_t vocab(const void *model)
{
    return ((const struct unigram *)model)->ids;
}

const struct token_model_kind token_unigram = {
    .name = "Unigram",
    .open = open_model,
    .close = close_model,
    .scratch_open = scratch_open,
    .scratch_close = scratch_close,
    .encode = encode,
    .find = find,
    .vocab = vocab,
};
