// Byte-pair encoding of one piece.
//
// A piece that was seen before comes out of the cache. A long one is first cut where no merge can reach across. What is
// left is merged pair by pair, lowest rank first and leftmost among equals: by looking for the lowest each time while
// there are few units, with a heap of pairs else, so that any text costs n log n.
#include "text/bpe.h"

#include <assert.h>

#include "text/char_class.h"
#include "text/token_cache.h"

enum {
    SHORT_UNITS = 24,       // up to here the lowest rank is looked for
    KEPT_UNITS = 64 * 1024, // buffers above this are given back after the piece
    // A stretch of so many units that has no place to be cut is cut all the same: what it costs in memory is bounded so,
    // and only an endless word is spelt otherwise than by the reference, at that place.
    PART_UNITS_MAX = 1024 * 1024,
};

struct unit {
    uint32_t id, len; // len 0: merged into the one before
    uint32_t before, next;
};

// Pairs waiting to be merged: rank << 32 | place of the left one.
struct heap {
    uint64_t *at;
    uint32_t count;
};

struct bpe_scratch {
    struct token_cache cache;
    struct unit *units;
    struct heap heap;
    uint32_t unit_room, count;
    char *affixed; // prefix, one unit, suffix
};

static enum result scratch_open(const void *model, void **scratch)
{
    const struct bpe *m = model;
    struct bpe_scratch *s = alloc_zeroed(1, sizeof *s);
    *scratch = s;
    if (!s)
        return RESULT_NOMEM;
    enum result r = token_cache_open(&s->cache);
    s->affixed = alloc_bytes(m->prefix.len + m->suffix.len + 8);
    if (r == RESULT_OK && s->affixed)
        return RESULT_OK;
    token_cache_close(&s->cache);
    alloc_free(s->affixed);
    alloc_free(s);
    *scratch = NULL;
    return RESULT_NOMEM;
}

static void scratch_close(void *scratch)
{
    struct bpe_scratch *s = scratch;
    if (!s)
        return;
    token_cache_close(&s->cache);
    alloc_free(s->units);
    alloc_free(s->heap.at);
    alloc_free(s->affixed);
    alloc_free(s);
}

static enum result reserve_units(struct bpe_scratch *s, uint32_t count)
{
    if (s->unit_room >= count)
        return RESULT_OK;
    uint32_t room = count < 1024 ? 1024 : count + count / 4;
    alloc_free(s->units);
    alloc_free(s->heap.at);
    s->unit_room = 0;
    s->units = alloc_bytes((size_t)room * sizeof *s->units);
    // A merge takes at least one entry off and puts at most two on, and there are fewer merges than units.
    s->heap.at = alloc_bytes((size_t)room * 2 * sizeof *s->heap.at);
    if (!s->units || !s->heap.at)
        return RESULT_NOMEM;
    s->unit_room = room;
    return RESULT_OK;
}

static void shrink(struct bpe_scratch *s)
{
    if (s->unit_room <= KEPT_UNITS)
        return;
    alloc_free(s->units);
    alloc_free(s->heap.at);
    s->units = NULL;
    s->heap.at = NULL;
    s->unit_room = 0;
}

// Units.

static void add_unit(struct bpe_scratch *s, uint32_t id, uint32_t len)
{
    s->units[s->count] = (struct unit){id, len, s->count - 1, s->count + 1};
    s->count++;
}

// The unit with the affixes of its place, in s->affixed.
static struct slice affix(const struct bpe *m, struct bpe_scratch *s, struct slice unit, bool first,
                          bool last)
{
    size_t n = 0;
    if (!first && m->prefix.len) {
        memcpy(s->affixed, m->prefix.ptr, m->prefix.len);
        n = m->prefix.len;
    }
    memcpy(s->affixed + n, unit.ptr, unit.len);
    n += unit.len;
    if (last && m->suffix.len) {
        memcpy(s->affixed + n, m->suffix.ptr, m->suffix.len);
        n += m->suffix.len;
    }
    return slice_make(s->affixed, n);
}

static bool fall_back(const struct bpe *m, struct bpe_scratch *s, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (m->bytes[(unsigned char)text.ptr[i]] == BPE_NONE)
            return false;
    for (size_t i = 0; i < text.len; i++)
        add_unit(s, m->bytes[(unsigned char)text.ptr[i]], 1);
    return true;
}

// As the reference does it to the letter: an unknown unit waits until a known one comes, so that bytes which another
// unit fell back to stand before it; a unit with neither is left out, and those behind it move up.
static enum result make_units(const struct bpe *m, struct bpe_scratch *s, struct slice piece)
{
    const unsigned char *p = (const unsigned char *)piece.ptr;
    bool affixes = m->prefix.len || m->suffix.len;
    uint32_t unk_len = 0; // of the unknown unit that waits
    // A unit of n bytes becomes n bytes at most, and with affixes those of the affixes too.
    size_t most = piece.len * (1 + (affixes ? m->prefix.len + m->suffix.len : 0));
    if (most > 4 * PART_UNITS_MAX)
        return RESULT_LIMIT; // with affixes there are no parts
    enum result r = reserve_units(s, (uint32_t)most);
    if (r != RESULT_OK)
        return r;
    s->count = 0;
    for (size_t at = 0; at < piece.len;) {
        unsigned n = 1;
        uint32_t code = m->byte_level ? p[at] : char_decode(p + at, &n), id;
        struct slice text = slice_make(p + at, n);
        if (affixes) {
            text = affix(m, s, text, at == 0, at + n == piece.len);
            id = token_vocab_find(&m->vocab, text);
        } else {
            id = bpe_unit_id(m, code);
        }
        at += n;
        if (id != BPE_NONE) {
            if (unk_len)
                add_unit(s, m->unk, unk_len);
            unk_len = 0;
            add_unit(s, id, n);
        } else if (m->byte_fallback && fall_back(m, s, text)) {
            continue;
        } else if (m->unk != BPE_NONE) {
            if (unk_len && !m->fuse_unk) {
                add_unit(s, m->unk, unk_len);
                unk_len = 0;
            }
            unk_len += n;
        }
    }
    if (unk_len)
        add_unit(s, m->unk, unk_len);
    return RESULT_OK;
}

// Merging.

struct pair {
    uint32_t rank, id; // of the pair that begins at this unit; rank UINT32_MAX: none
};

static inline struct pair pair_at(const struct bpe *m, const struct unit *u)
{
    const struct bpe_merge *found = bpe_merge_of(m, u[0].id, u[1].id);
    return found ? (struct pair){found->rank, found->id} : (struct pair){UINT32_MAX, 0};
}

static void merge_few(const struct bpe *m, struct bpe_scratch *s)
{
    struct unit *u = s->units;
    struct pair pairs[SHORT_UNITS];
    uint32_t n = s->count;
    for (uint32_t i = 0; i + 1 < n; i++)
        pairs[i] = pair_at(m, u + i);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (pairs[i].rank < pairs[best].rank)
                best = i;
        if (pairs[best].rank == UINT32_MAX)
            break;
        u[best].id = pairs[best].id;
        u[best].len += u[best + 1].len;
        n--;
        for (uint32_t i = best + 1; i < n; i++)
            u[i] = u[i + 1];
        for (uint32_t i = best + 1; i + 1 < n; i++)
            pairs[i] = pairs[i + 1];
        if (best)
            pairs[best - 1] = pair_at(m, u + best - 1);
        if (best + 1 < n)
            pairs[best] = pair_at(m, u + best);
    }
    s->count = n;
}

enum { HEAP_WAYS = 4 };

static void sift_down(struct heap *h, uint32_t at, uint64_t value)
{
    for (;;) {
        uint32_t first = at * HEAP_WAYS + 1, last = first + HEAP_WAYS, least = first;
        if (first >= h->count)
            break;
        if (last > h->count)
            last = h->count;
        for (uint32_t i = first + 1; i < last; i++)
            if (h->at[i] < h->at[least])
                least = i;
        if (h->at[least] >= value)
            break;
        h->at[at] = h->at[least];
        at = least;
    }
    h->at[at] = value;
}

static uint64_t heap_pop(struct heap *h)
{
    uint64_t top = h->at[0], last = h->at[--h->count];
    if (h->count)
        sift_down(h, 0, last);
    return top;
}

static void heap_push(struct heap *h, uint64_t value)
{
    uint32_t at = h->count++;
    while (at && h->at[(at - 1) / HEAP_WAYS] > value) {
        h->at[at] = h->at[(at - 1) / HEAP_WAYS];
        at = (at - 1) / HEAP_WAYS;
    }
    h->at[at] = value;
}

static void push_pair(const struct bpe *m, struct bpe_scratch *s, uint32_t left)
{
    const struct bpe_merge *found =
        bpe_merge_of(m, s->units[left].id, s->units[s->units[left].next].id);
    if (found)
        heap_push(&s->heap, (uint64_t)found->rank << 32 | left);
}

static void merge_many(const struct bpe *m, struct bpe_scratch *s)
{
    struct unit *u = s->units;
    struct heap *h = &s->heap;
    h->count = 0;
    for (uint32_t i = 0; i + 1 < s->count; i++) {
        const struct bpe_merge *found = bpe_merge_of(m, u[i].id, u[i + 1].id);
        if (found)
            h->at[h->count++] = (uint64_t)found->rank << 32 | i;
    }
    for (uint32_t i = (h->count + HEAP_WAYS - 2) / HEAP_WAYS + 1; i-- > 0;)
        if (i < h->count)
            sift_down(h, i, h->at[i]);
    while (h->count) {
        uint64_t top = heap_pop(h);
        uint32_t left = (uint32_t)top, right = u[left].next;
        if (!u[left].len || right >= s->count)
            continue;
        const struct bpe_merge *found = bpe_merge_of(m, u[left].id, u[right].id);
        if (!found || found->rank != top >> 32)
            continue; // one of the two has changed since
        u[left].id = found->id;
        u[left].len += u[right].len;
        u[right].len = 0;
        u[left].next = u[right].next;
        if (u[left].next < s->count) {
            u[u[left].next].before = left;
            push_pair(m, s, left);
        }
        if (left)
            push_pair(m, s, u[left].before);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (u[i].len)
            u[n++] = u[i];
    s->count = n;
}

static enum result merge(const struct bpe *m, struct bpe_scratch *s, struct slice piece,
                         uint32_t base, struct piece_tokens *out)
{
    enum result r = make_units(m, s, piece);
    if (r != RESULT_OK)
        return r;
    if (s->count <= SHORT_UNITS)
        merge_few(m, s);
    else
        merge_many(m, s);
    r = piece_tokens_reserve(out, s->count);
    if (r != RESULT_OK)
        return r;
    uint32_t at = base, end = base + (uint32_t)piece.len;
    for (uint32_t i = 0; i < s->count; i++) {
        // Bytes that an affix fell back to count in the reference, too, beyond the piece.
        uint32_t next = end - at < s->units[i].len ? end : at + s->units[i].len;
        out->at[out->count++] = (struct piece_token){s->units[i].id, at, next};
        at = next;
    }
    return RESULT_OK;
}

// The end of the part that begins at `at`: the next place that no merge crosses. Unknown units may join their
// neighbours by other ways.
static uint32_t part_end(const struct bpe *m, struct slice piece, uint32_t at)
{
    const unsigned char *p = (const unsigned char *)piece.ptr;
    unsigned n = 1;
    uint32_t before = m->byte_level ? p[at] : char_decode(p + at, &n);
    bool known = bpe_unit_id(m, before) != BPE_NONE;
    uint32_t units = 1;
    for (at += n; at < piece.len && units < PART_UNITS_MAX; at += n, units++) {
        uint32_t code = m->byte_level ? p[at] : char_decode(p + at, &n);
        bool is_known = bpe_unit_id(m, code) != BPE_NONE;
        if (known && is_known && !bpe_joins(m, before, code))
            return at;
        before = code;
        known = is_known;
    }
    return at;
}

static enum result merge_parts(const struct bpe *m, struct bpe_scratch *s, struct slice piece,
                               struct piece_tokens *out)
{
    enum result r = RESULT_OK;
    // Where a unit was left out, tokens behind it move up, so that a part need not stand where its text does.
    uint32_t place = 0;
    for (uint32_t at = 0, end; at < piece.len && r == RESULT_OK; at = end) {
        end = part_end(m, piece, at);
        struct slice part = slice_make(piece.ptr + at, end - at);
        uint32_t first = out->count;
        // Where whole words come before merges, a part and a piece of the same text are not the same.
        const struct token_cache_entry *known =
            m->ignore_merges ? NULL : token_cache_find(&s->cache, part);
        if (known) {
            r = token_cache_put(known, place, out);
        } else {
            r = merge(m, s, part, place, out);
            if (r == RESULT_OK && !m->ignore_merges)
                token_cache_store(&s->cache, part, place, out, first);
        }
        if (out->count > first)
            place = out->at[out->count - 1].end;
    }
    return r;
}

static enum result encode(const void *model, void *scratch, struct slice piece,
                          struct piece_tokens *out)
{
    const struct bpe *m = model;
    struct bpe_scratch *s = scratch;
    const struct token_cache_entry *known = token_cache_find(&s->cache, piece);
    if (MERIT_LIKELY(known))
        return token_cache_put(known, 0, out);
    uint32_t first = out->count, whole = BPE_NONE;
    enum result r;
    if (m->ignore_merges && piece.len <= m->vocab.longest)
        whole = token_vocab_find(&m->vocab, piece);
    if (whole != BPE_NONE)
        r = piece_tokens_add(out, whole, 0, (uint32_t)piece.len);
    else if (m->cuts && piece.len > TOKEN_CACHE_KEY)
        r = merge_parts(m, s, piece, out);
    else
        r = merge(m, s, piece, 0, out);
    if (r == RESULT_OK)
        token_cache_store(&s->cache, piece, 0, out, first);
    shrink(s);
    return r;
}

static uint32_t find(const void *model, struct slice token)
{
    return bpe_find(model, token);
}

static uint32_t vocab(const void *model)
{
    return ((const struct bpe *)model)->ids;
}

const struct token_model_kind token_bpe = {
    .name = "BPE",
    .open = bpe_open,
    .close = bpe_close,
    .scratch_open = scratch_open,
    .scratch_close = scratch_close,
    .encode = encode,
    .find = find,
    .vocab = vocab,
};
