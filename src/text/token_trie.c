#include "text/token_trie.h"

#include <stdlib.h>

#include "base/alloc.h"

enum {
    BLOCK = 256,
    // Places are looked for among the free nodes of the newest blocks only, and not for long: building stays linear and
    // few nodes stay empty.
    OPEN_BLOCKS = 16,
    TRIES_MAX = 128,
    NODES_MAX = 1 << 28,
    NO_PARENT = NODES_MAX, // taken, but nobody's child
};

struct link {
    uint32_t before, next; // among the free nodes
};

// Words [low, high) of the sorted list share their first `depth` bytes and pass through `node`.
struct range {
    uint32_t low, high, depth, node;
};

struct sorted {
    uint64_t head; // first eight bytes, so that most comparisons end there
    uint32_t word;
};

struct building {
    const struct token_vocab *v;
    struct token_trie *t;
    struct sorted *words;
    uint32_t count, room;
    struct link *links; // of node i at i + 1; 0 is the list's head
    struct range *stack;
    uint32_t stacked, stack_room;
};

static uint64_t head_of(struct slice s)
{
    uint64_t h = 0;
    for (size_t i = 0; i < 8; i++)
        h = h << 8 | (i < s.len ? (unsigned char)s.ptr[i] : 0);
    return h;
}

static int by_bytes(const void *a, const void *b, void *arg)
{
    const struct sorted *x = a, *y = b;
    const struct token_vocab *v = arg;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    struct slice s = token_vocab_text(v, x->word), t = token_vocab_text(v, y->word);
    size_t n = s.len < t.len ? s.len : t.len;
    int c = memcmp(s.ptr, t.ptr, n);
    return c ? c : (s.len > t.len) - (s.len < t.len);
}

static void unlink_node(struct building *b, uint32_t node)
{
    struct link *l = b->links + node + 1;
    b->links[l->before].next = l->next;
    b->links[l->next].before = l->before;
    l->next = l->before = UINT32_MAX;
}

static enum result add_block(struct building *b)
{
    struct token_trie *t = b->t;
    uint32_t first = t->count;
    if (first == NODES_MAX)
        return RESULT_LIMIT;
    if (first == b->room) {
        uint32_t room = b->room ? b->room * 2 : BLOCK * 4;
        void *nodes = alloc_resize(t->nodes, room * sizeof *t->nodes);
        if (!nodes)
            return RESULT_NOMEM;
        t->nodes = nodes;
        void *links = alloc_resize(b->links, (room + (size_t)1) * sizeof *b->links);
        if (!links)
            return RESULT_NOMEM;
        b->links = links;
        if (!b->room)
            b->links[0] = (struct link){0, 0};
        b->room = room;
    }
    if (first >= OPEN_BLOCKS * BLOCK)
        for (uint32_t i = first - OPEN_BLOCKS * BLOCK, end = i + BLOCK; i < end; i++)
            if (b->links[i + 1].next != UINT32_MAX)
                unlink_node(b, i);
    for (uint32_t i = first; i < first + BLOCK; i++) {
        t->nodes[i] = (struct token_trie_node){0, TOKEN_TRIE_NONE, TOKEN_TRIE_NONE};
        uint32_t last = b->links[0].before;
        b->links[i + 1] = (struct link){last, 0};
        b->links[last].next = i + 1;
        b->links[0].before = i + 1;
    }
    t->count += BLOCK;
    return RESULT_OK;
}

static bool all_free(const struct building *b, uint32_t base, const unsigned char *labels,
                     unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (b->t->nodes[base ^ labels[i]].parent != TOKEN_TRIE_NONE)
            return false;
    return true;
}

static enum result find_base(struct building *b, const unsigned char *labels, unsigned count,
                             uint32_t *base)
{
    uint32_t at = b->links[0].next;
    for (unsigned i = 0; at && i < TRIES_MAX; i++, at = b->links[at].next) {
        *base = (at - 1) ^ labels[0];
        if (all_free(b, *base, labels, count))
            return RESULT_OK;
    }
    *base = b->t->count;
    return add_block(b);
}

static enum result push(struct building *b, struct range r)
{
    if (b->stacked == b->stack_room) {
        uint32_t room = b->stack_room ? b->stack_room * 2 : 1024;
        void *stack = alloc_resize(b->stack, room * sizeof *b->stack);
        if (!stack)
            return RESULT_NOMEM;
        b->stack = stack;
        b->stack_room = room;
    }
    b->stack[b->stacked++] = r;
    return RESULT_OK;
}

static inline unsigned char byte_at(const struct building *b, uint32_t i, uint32_t depth)
{
    return (unsigned char)token_vocab_text(b->v, b->words[i].word).ptr[depth];
}

static enum result place(struct building *b, struct range r)
{
    unsigned char labels[256];
    uint32_t ends[256];
    unsigned count = 0;
    const struct token_vocab_word *word = &b->v->words[b->words[r.low].word];
    if (word->len == r.depth) {
        b->t->nodes[r.node].id = word->id;
        r.low++;
    }
    for (uint32_t i = r.low; i < r.high; count++) {
        labels[count] = byte_at(b, i, r.depth);
        while (i < r.high && byte_at(b, i, r.depth) == labels[count])
            i++;
        ends[count] = i;
    }
    if (!count)
        return RESULT_OK;
    uint32_t base, low = r.low;
    enum result result = find_base(b, labels, count, &base);
    if (result != RESULT_OK)
        return result;
    b->t->nodes[r.node].base = base;
    for (unsigned i = 0; i < count && result == RESULT_OK; i++) {
        uint32_t child = base ^ labels[i];
        b->t->nodes[child].parent = r.node;
        if (b->links[child + 1].next != UINT32_MAX)
            unlink_node(b, child);
        result = push(b, (struct range){low, ends[i], r.depth + 1, child});
        low = ends[i];
    }
    return result;
}

enum result token_trie_open(struct token_trie *t, const struct token_vocab *v)
{
    struct building b = {.v = v, .t = t};
    *t = (struct token_trie){0};
    b.words = alloc_bytes((v->count + (size_t)1) * sizeof *b.words);
    enum result r = b.words ? add_block(&b) : RESULT_NOMEM;
    if (r != RESULT_OK)
        goto out;
    for (uint32_t i = 0; i < v->count; i++)
        if (v->words[i].len)
            b.words[b.count++] = (struct sorted){head_of(token_vocab_text(v, i)), i};
    qsort_r(b.words, b.count, sizeof *b.words, by_bytes, (void *)v);
    t->nodes[TOKEN_TRIE_ROOT].parent = NO_PARENT;
    unlink_node(&b, TOKEN_TRIE_ROOT);
    if (b.count)
        r = push(&b, (struct range){0, b.count, 0, TOKEN_TRIE_ROOT});
    while (b.stacked && r == RESULT_OK)
        r = place(&b, b.stack[--b.stacked]);
out:
    alloc_free(b.words);
    alloc_free(b.links);
    alloc_free(b.stack);
    if (r != RESULT_OK)
        token_trie_close(t);
    return r;
}

void token_trie_close(struct token_trie *t)
{
    alloc_free(t->nodes);
    *t = (struct token_trie){0};
}
