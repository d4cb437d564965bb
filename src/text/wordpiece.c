// WordPiece by LinMaxMatch (Song et al., "Fast WordPiece Tokenization", 2021): greedy longest match from the left in one
// pass over the word. A trie of all tokens, and one of those that continue a word (without their prefix); a node that
// has no way on falls back to the node of what is left when the tokens that must be cut by then are cut. A word that is a
// token itself, as most are, is found by its hash before that.
#include <stdlib.h>

#include "base/arena.h"
#include "text/token_model.h"
#include "text/tokenizer.h"

enum {
    NONE = UINT32_MAX,
    ROOT = 0,   // of words
    SUFFIX = 1, // of what continues a word
    WORD_CHARS_DEFAULT = 100,
    PROBES_MAX = 256, // more is no vocabulary but an attack on the hash
    NODES_MAX = 1 << 23,
    POPS_MAX = 1 << 24,
};

struct node {
    uint32_t first; // child; children stand side by side, by label
    uint32_t fail;  // NONE: the word is unknown
    uint32_t pops;  // into the pool: entries that are cut on the way to `fail`
    uint32_t pop_count;
    uint16_t children;
    uint8_t label;
};

struct entry {
    const char *ptr;
    uint32_t len, id;
};

// A token of up to 8 bytes is told by `head` and `len` alone; a longer one by its hash, and then by its bytes.
struct slot {
    uint64_t head;
    uint32_t len;   // 0: free
    uint32_t entry; // index
};

struct wordpiece {
    struct arena arena;
    struct entry *entries;
    uint32_t count, vocab, unk;
    uint64_t max_chars;
    struct slice prefix;
    struct slot *slots;
    uint32_t mask;
    struct node *nodes;
    uint32_t node_count, node_room;
    uint32_t roots[2][256]; // the children of ROOT and SUFFIX by label
    uint32_t *pops;
    uint32_t pop_count, pop_room;
};

static inline uint64_t load8(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

static inline uint64_t load4(const char *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

// Of up to 8 bytes a value that no other bytes of that length have; of more a hash. n > 0.
static inline uint64_t head_of(const char *p, size_t n)
{
    if (n < 4)
        return (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
               (uint64_t)(unsigned char)p[n - 1] << 16;
    if (n <= 8)
        return load4(p) | load4(p + n - 4) << 32;
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i + 8 < n; i += 8) {
        h = (h ^ load8(p + i)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h = (h ^ load8(p + n - 8)) * 0xff51afd7ed558ccdu;
    return h ^ h >> 29;
}

static inline uint32_t place_of(uint64_t head, size_t n)
{
    uint64_t h = (head ^ n * 0x9e3779b97f4a7c15u) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(h >> 32);
}

// Index of the entry, or NONE.
static inline uint32_t find_entry(const struct wordpiece *m, const char *p, size_t n)
{
    if (!n || n > UINT32_MAX)
        return NONE;
    uint64_t head = head_of(p, n);
    for (uint32_t i = place_of(head, n) & m->mask; m->slots[i].len; i = (i + 1) & m->mask) {
        const struct slot *s = &m->slots[i];
        if (s->head == head && s->len == n &&
            (n <= 8 || memcmp(m->entries[s->entry].ptr, p, n) == 0))
            return s->entry;
    }
    return NONE;
}

// The vocabulary into entries and slots. A key that stands twice has its last id, as in the reference.
static enum result read_vocab(struct wordpiece *m, const struct json *j, uint32_t vocab,
                              char *problem)
{
    uint32_t at = 0, key, value, room = 0;
    while (json_member(j, vocab, &at, &key, &value))
        room++;
    if (!room || room > TOKENIZER_VOCAB_MAX)
        return room ? RESULT_LIMIT : token_problem(problem, RESULT_SYNTAX, "model.vocab is empty");
    uint32_t size = 8;
    while (size < room * 2)
        size *= 2;
    m->mask = size - 1;
    m->slots = alloc_zeroed(size, sizeof *m->slots);
    m->entries = alloc_bytes(room * sizeof *m->entries);
    if (!m->slots || !m->entries)
        return RESULT_NOMEM;
    for (at = 0; json_member(j, vocab, &at, &key, &value);) {
        uint64_t id;
        if (json_u64(j, value, &id) != RESULT_OK || id >= TOKENIZER_VOCAB_MAX)
            return token_problem(problem, RESULT_SYNTAX, "model.vocab holds an id that is none");
        struct slice s = json_string(j, key, &m->arena);
        if (s.ptr && json_raw(j, key).ptr == s.ptr)
            s = arena_copy(&m->arena, s);
        if (!s.ptr && json_raw(j, key).len)
            return RESULT_NOMEM;
        if (id >= m->vocab)
            m->vocab = (uint32_t)id + 1;
        uint32_t known = find_entry(m, s.ptr, s.len);
        if (known != NONE) {
            m->entries[known].id = (uint32_t)id;
            continue;
        }
        if (!s.len) // matches nothing
            continue;
        uint64_t head = head_of(s.ptr, s.len);
        uint32_t i = place_of(head, s.len) & m->mask, probes = 0;
        for (; m->slots[i].len; i = (i + 1) & m->mask) {
            if (++probes > PROBES_MAX)
                return token_problem(problem, RESULT_LIMIT, "model.vocab was chosen to collide");
        }
        m->slots[i] = (struct slot){head, (uint32_t)s.len, m->count};
        m->entries[m->count++] = (struct entry){s.ptr, (uint32_t)s.len, (uint32_t)id};
    }
    return RESULT_OK;
}

static inline uint32_t step(const struct wordpiece *m, uint32_t node, uint8_t label)
{
    if (node <= SUFFIX)
        return m->roots[node][label];
    uint32_t lo = m->nodes[node].first, n = m->nodes[node].children;
    while (n > 8) {
        uint32_t half = n / 2;
        if (m->nodes[lo + half].label <= label) {
            lo += half;
            n -= half;
        } else {
            n = half;
        }
    }
    for (; n; lo++, n--) {
        if (m->nodes[lo].label == label)
            return lo;
    }
    return NONE;
}

static enum result push_pops(struct wordpiece *m, uint32_t from)
{
    uint32_t n = m->nodes[from].pop_count;
    if (n > POPS_MAX - m->pop_count)
        return RESULT_LIMIT;
    if (m->pop_count + n > m->pop_room) {
        uint32_t room = (m->pop_count + n) * 2 + 1024;
        uint32_t *pops = alloc_resize(m->pops, room * sizeof *pops);
        if (!pops)
            return RESULT_NOMEM;
        m->pops = pops;
        m->pop_room = room;
    }
    memcpy(m->pops + m->pop_count, m->pops + m->nodes[from].pops, n * sizeof *m->pops);
    m->pop_count += n;
    return RESULT_OK;
}

// Where the node `v`, reached from `u`, falls back to and what is cut then.
static enum result link_node(struct wordpiece *m, uint32_t u, uint32_t v, uint32_t terminal)
{
    struct node *node = &m->nodes[v];
    if (terminal != NONE) {
        if (m->pop_count == m->pop_room) {
            uint32_t room = m->pop_room * 2 + 1024;
            uint32_t *pops = alloc_resize(m->pops, room * sizeof *pops);
            if (!pops)
                return RESULT_NOMEM;
            m->pops = pops;
            m->pop_room = room;
        }
        node->fail = SUFFIX;
        node->pops = m->pop_count;
        node->pop_count = 1;
        m->pops[m->pop_count++] = terminal;
        return RESULT_OK;
    }
    uint32_t z = m->nodes[u].fail, begin = m->pop_count, to = NONE;
    if (z == NONE)
        return RESULT_OK;
    enum result r = push_pops(m, u);
    while (!r && z != NONE && (to = step(m, z, node->label)) == NONE) {
        r = push_pops(m, z);
        z = m->nodes[z].fail;
    }
    if (r)
        return r;
    if (z == NONE) {
        m->pop_count = begin;
        return RESULT_OK;
    }
    node->fail = to;
    node->pops = begin;
    node->pop_count = m->pop_count - begin;
    return RESULT_OK;
}

struct range {
    uint32_t from, to, skip, depth; // of the sorted tokens, their prefix, bytes behind that
};

struct builder {
    struct range *ranges; // by node
    uint32_t *sorted;
    uint32_t room;
};

static enum result add_node(struct wordpiece *m, struct builder *b, struct range range,
                            uint8_t label)
{
    if (m->node_count == NODES_MAX)
        return RESULT_LIMIT;
    if (m->node_count == m->node_room) {
        uint32_t room = m->node_room * 2 + 1024;
        struct node *nodes = alloc_resize(m->nodes, room * sizeof *nodes);
        if (!nodes)
            return RESULT_NOMEM;
        m->nodes = nodes;
        m->node_room = room;
        struct range *ranges = alloc_resize(b->ranges, room * sizeof *ranges);
        if (!ranges)
            return RESULT_NOMEM;
        b->ranges = ranges;
    }
    m->nodes[m->node_count] = (struct node){.fail = NONE, .label = label};
    b->ranges[m->node_count++] = range;
    return RESULT_OK;
}

static int entry_cmp(const void *a, const void *b, void *entries)
{
    const struct entry *all = entries, *x = &all[*(const uint32_t *)a],
                       *y = &all[*(const uint32_t *)b];
    return slice_cmp(slice_make(x->ptr, x->len), slice_make(y->ptr, y->len));
}

// The children of node `u`: sorted tokens that go on with the same byte.
static enum result add_children(struct wordpiece *m, struct builder *b, uint32_t u)
{
    struct range r = b->ranges[u];
    uint32_t at = r.skip + r.depth;
    while (r.from < r.to && m->entries[b->sorted[r.from]].len <= at)
        r.from++;
    m->nodes[u].first = m->node_count;
    while (r.from < r.to) {
        uint8_t label = (uint8_t)m->entries[b->sorted[r.from]].ptr[at];
        uint32_t to = r.from + 1;
        while (to < r.to && (uint8_t)m->entries[b->sorted[to]].ptr[at] == label)
            to++;
        enum result result = add_node(m, b, (struct range){r.from, to, r.skip, r.depth + 1}, label);
        if (result)
            return result;
        m->nodes[u].children++;
        if (u <= SUFFIX)
            m->roots[u][label] = m->node_count - 1;
        uint32_t first = b->sorted[r.from];
        result = link_node(m, u, m->node_count - 1, m->entries[first].len == at + 1 ? first : NONE);
        if (result)
            return result;
        r.from = to;
    }
    return RESULT_OK;
}

static enum result build(struct wordpiece *m)
{
    struct builder b = {.sorted = alloc_bytes(m->count * sizeof *b.sorted)};
    enum result r = RESULT_NOMEM;
    if (!b.sorted)
        return r;
    for (uint32_t i = 0; i < m->count; i++)
        b.sorted[i] = i;
    qsort_r(b.sorted, m->count, sizeof *b.sorted, entry_cmp, m->entries);
    struct range words = {0, m->count, 0, 0}, suffixes = {0, 0, (uint32_t)m->prefix.len, 0};
    for (uint32_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[b.sorted[i]];
        if (!slice_starts_with(slice_make(e->ptr, e->len), m->prefix))
            continue;
        if (!suffixes.to)
            suffixes.from = i;
        suffixes.to = i + 1;
    }
    memset(m->roots, 0xff, sizeof m->roots); // NONE
    r = add_node(m, &b, words, 0);
    if (!r)
        r = add_node(m, &b, suffixes, 0);
    for (uint32_t u = 0; !r && u < m->node_count; u++)
        r = add_children(m, &b, u);
    alloc_free(b.sorted);
    alloc_free(b.ranges);
    return r;
}

static void wordpiece_close(void *model)
{
    struct wordpiece *m = model;
    if (!m)
        return;
    arena_deinit(&m->arena);
    alloc_free(m->entries);
    alloc_free(m->slots);
    alloc_free(m->nodes);
    alloc_free(m->pops);
    alloc_free(m);
}

static enum result read_settings(struct wordpiece *m, const struct json *j, uint32_t node,
                                 char *problem)
{
    uint32_t prefix = json_get(j, node, SLICE("continuing_subword_prefix"), NULL),
             unk = json_get(j, node, SLICE("unk_token"), NULL),
             chars = json_get(j, node, SLICE("max_input_chars_per_word"), NULL);
    m->prefix = SLICE("##");
    m->max_chars = WORD_CHARS_DEFAULT;
    if (chars != JSON_NONE && json_u64(j, chars, &m->max_chars) != RESULT_OK)
        return token_problem(problem, RESULT_SYNTAX, "model.max_input_chars_per_word is no number");
    struct slice unknown = SLICE("[UNK]");
    if ((prefix != JSON_NONE && json_type(j, prefix) != JSON_STRING) ||
        (unk != JSON_NONE && json_type(j, unk) != JSON_STRING))
        return token_problem(problem, RESULT_SYNTAX, "model.unk_token or its prefix is no string");
    if (prefix != JSON_NONE) {
        struct slice s = json_string(j, prefix, &m->arena);
        if (!s.ptr && json_raw(j, prefix).len)
            return RESULT_NOMEM;
        m->prefix = arena_copy(&m->arena, s);
        if (!m->prefix.ptr)
            return RESULT_NOMEM;
    }
    if (unk != JSON_NONE) {
        unknown = json_string(j, unk, &m->arena);
        if (!unknown.ptr && json_raw(j, unk).len)
            return RESULT_NOMEM;
    }
    m->unk = find_entry(m, unknown.ptr, unknown.len);
    if (m->unk == NONE)
        return token_problem(problem, RESULT_SYNTAX, "model.unk_token is not in the vocabulary");
    m->unk = m->entries[m->unk].id;
    return RESULT_OK;
}

static enum result wordpiece_open(const struct json *j, uint32_t node, bool byte_level,
                                  char *problem, void **model)
{
    if (byte_level)
        return token_problem(problem, RESULT_UNSUPPORTED, "model.type: WordPiece behind ByteLevel");
    uint32_t vocab = json_get(j, node, SLICE("vocab"), NULL);
    if (vocab == JSON_NONE || json_type(j, vocab) != JSON_OBJECT)
        return token_problem(problem, RESULT_SYNTAX, "model.vocab is missing");
    struct wordpiece *m = alloc_zeroed(1, sizeof *m);
    if (!m)
        return RESULT_NOMEM;
    arena_init(&m->arena, 64 * 1024, (size_t)TOKENIZER_JSON_MAX * 3);
    enum result r = read_vocab(m, j, vocab, problem);
    if (!r)
        r = read_settings(m, j, node, problem);
    if (!r)
        r = build(m);
    if (r) {
        wordpiece_close(m);
        return r;
    }
    *model = m;
    return RESULT_OK;
}

static enum result wordpiece_scratch_open(const void *model, void **scratch)
{
    (void)model;
    *scratch = NULL; // nothing is kept between words
    return RESULT_OK;
}

static void wordpiece_scratch_close(void *scratch)
{
    (void)scratch;
}

// The tokens that are cut when `node` is left; `*at` is where they begin in the word.
static enum result cut(const struct wordpiece *m, uint32_t node, uint32_t *at,
                       struct piece_tokens *out)
{
    const struct node *n = &m->nodes[node];
    enum result r = piece_tokens_reserve(out, n->pop_count);
    if (r)
        return r;
    for (uint32_t i = 0; i < n->pop_count; i++) {
        const struct entry *e = &m->entries[m->pops[n->pops + i]];
        uint32_t end = *at + e->len - (*at ? (uint32_t)m->prefix.len : 0);
        out->at[out->count++] = (struct piece_token){e->id, *at, end};
        *at = end;
    }
    return RESULT_OK;
}

static bool too_long(const struct wordpiece *m, struct slice piece)
{
    if (piece.len <= m->max_chars)
        return false;
    uint64_t chars = 0;
    for (size_t i = 0; i < piece.len; i++)
        chars += ((unsigned char)piece.ptr[i] & 0xc0) != 0x80;
    return chars > m->max_chars;
}

static enum result wordpiece_encode(const void *model, void *scratch, struct slice piece,
                                    struct piece_tokens *out)
{
    (void)scratch;
    const struct wordpiece *m = model;
    if (too_long(m, piece))
        return piece_tokens_add(out, m->unk, 0, (uint32_t)piece.len);
    uint32_t whole = find_entry(m, piece.ptr, piece.len);
    if (MERIT_LIKELY(whole != NONE))
        return piece_tokens_add(out, m->entries[whole].id, 0, (uint32_t)piece.len);
    uint32_t before = out->count, u = ROOT, at = 0, next;
    enum result r = RESULT_OK;
    for (size_t i = 0; i < piece.len; i++, u = next) {
        while ((next = step(m, u, (uint8_t)piece.ptr[i])) == NONE) {
            if (m->nodes[u].fail == NONE)
                goto unknown;
            r = cut(m, u, &at, out);
            if (r)
                return r;
            u = m->nodes[u].fail;
        }
    }
    while (u != SUFFIX) {
        if (m->nodes[u].fail == NONE)
            goto unknown;
        r = cut(m, u, &at, out);
        if (r)
            return r;
        u = m->nodes[u].fail;
    }
    return RESULT_OK;
unknown:
    out->count = before;
    return piece_tokens_add(out, m->unk, 0, (uint32_t)piece.len);
}

static uint32_t wordpiece_find(const void *model, struct slice token)
{
    const struct wordpiece *m = model;
    uint32_t entry = find_entry(m, token.ptr, token.len);
    return entry == NONE ? NONE : m->entries[entry].id;
}

static uint32_t wordpiece_vocab(const void *model)
{
    const struct wordpiece *m = model;
    return m->vocab;
}

const struct token_model_kind token_wordpiece = {
    .name = "WordPiece",
    .open = wordpiece_open,
    .close = wordpiece_close,
    .scratch_open = wordpiece_scratch_open,
    .scratch_close = wordpiece_scratch_close,
    .encode = wordpiece_encode,
    .find = wordpiece_find,
    .vocab = wordpiece_vocab,
};
