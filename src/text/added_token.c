#include "text/added_token.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "text/char_class.h"

enum {
    NONE = UINT32_MAX,
    BLOCK =
        64 *
        1024, // bytes searched at once; a multiple of ADDED_BYTES_MAX, so that the overlap costs little
};

struct added_node {
    uint32_t first; // child; children stand side by side, by label
    uint32_t fail;
    uint32_t token; // the longest that ends here, by way of `fail` too; NONE
    uint16_t children;
    uint8_t label;
};

struct added_set {
    const struct added_token *tokens;
    struct added_node *nodes;
    uint32_t node_count, node_room, longest;
    bool last[256]; // bytes that a token ends with
};

struct range {
    uint32_t from, to, depth;
};

struct builder {
    const struct added_token *tokens;
    uint32_t *sorted;
    struct range *ranges;
};

// By the bytes from the last to the first, shorter ones first; equal ones by place in the list, last first.
static int reversed_cmp(const void *a, const void *b, void *tokens)
{
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    struct slice x = ((const struct added_token *)tokens)[i].content,
                 y = ((const struct added_token *)tokens)[k].content;
    for (size_t n = 1; n <= x.len && n <= y.len; n++) {
        int d = (unsigned char)x.ptr[x.len - n] - (unsigned char)y.ptr[y.len - n];
        if (d)
            return d;
    }
    if (x.len != y.len)
        return x.len < y.len ? -1 : 1;
    return i < k ? 1 : -1;
}

static uint32_t step(const struct added_set *s, uint32_t node, uint8_t label)
{
    uint32_t low = s->nodes[node].first, n = s->nodes[node].children;
    while (n > 1) {
        uint32_t half = n / 2;
        if (s->nodes[low + half].label <= label) {
            low += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return n && s->nodes[low].label == label ? low : NONE;
}

static enum result add_node(struct added_set *s, struct builder *b, struct range range,
                            uint8_t label)
{
    if (s->node_count == ADDED_NODES_MAX)
        return RESULT_LIMIT;
    if (s->node_count == s->node_room) {
        uint32_t room = s->node_room * 2 + 256;
        struct added_node *nodes = alloc_resize(s->nodes, room * sizeof *nodes);
        if (!nodes)
            return RESULT_NOMEM;
        s->nodes = nodes;
        struct range *ranges = alloc_resize(b->ranges, room * sizeof *ranges);
        if (!ranges)
            return RESULT_NOMEM;
        b->ranges = ranges;
        s->node_room = room;
    }
    s->nodes[s->node_count] = (struct added_node){.token = NONE, .label = label};
    b->ranges[s->node_count++] = range;
    return RESULT_OK;
}

static uint8_t label_at(const struct builder *b, uint32_t sorted, uint32_t depth)
{
    struct slice s = b->tokens[b->sorted[sorted]].content;
    return (uint8_t)s.ptr[s.len - 1 - depth];
}

// Where the child with `label` of node `u` falls back to: nodes nearer to the root are complete.
static uint32_t fallback(const struct added_set *s, uint32_t u, uint8_t label)
{
    while (u) {
        u = s->nodes[u].fail;
        uint32_t v = step(s, u, label);
        if (v != NONE)
            return v;
    }
    return 0;
}

static enum result add_children(struct added_set *s, struct builder *b, uint32_t u)
{
    struct range r = b->ranges[u];
    while (r.from < r.to && b->tokens[b->sorted[r.from]].content.len <= r.depth)
        r.from++;
    s->nodes[u].first = s->node_count;
    while (r.from < r.to) {
        uint8_t label = label_at(b, r.from, r.depth);
        uint32_t to = r.from + 1, v = s->node_count, first = b->sorted[r.from];
        while (to < r.to && label_at(b, to, r.depth) == label)
            to++;
        enum result result = add_node(s, b, (struct range){r.from, to, r.depth + 1}, label);
        if (result)
            return result;
        s->nodes[u].children++;
        s->nodes[v].fail = u ? fallback(s, u, label) : 0;
        s->nodes[v].token =
            b->tokens[first].content.len == r.depth + 1 ? first : s->nodes[s->nodes[v].fail].token;
        r.from = to;
    }
    return RESULT_OK;
}

enum result added_set_open(const struct added_token *tokens, uint32_t count, struct added_set **out)
{
    *out = NULL;
    if (count > ADDED_TOKENS_MAX)
        return RESULT_LIMIT;
    struct added_set *s = alloc_zeroed(1, sizeof *s);
    struct builder b = {.tokens = tokens, .sorted = alloc_bytes(count * sizeof *b.sorted)};
    uint32_t used = 0;
    enum result r = s && b.sorted ? RESULT_OK : RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < count; i++) {
        struct slice content = tokens[i].content;
        if (!content.len)
            continue;
        if (content.len > ADDED_BYTES_MAX)
            r = RESULT_LIMIT;
        if (content.len > s->longest)
            s->longest = (uint32_t)content.len;
        s->last[(unsigned char)content.ptr[content.len - 1]] = true;
        b.sorted[used++] = i;
    }
    if (!r && used) {
        s->tokens = tokens;
        qsort_r(b.sorted, used, sizeof *b.sorted, reversed_cmp, (void *)tokens);
        r = add_node(s, &b, (struct range){0, used, 0}, 0);
        for (uint32_t u = 0; !r && u < s->node_count; u++)
            r = add_children(s, &b, u);
    }
    alloc_free(b.sorted);
    alloc_free(b.ranges);
    if (!r && used)
        *out = s;
    else
        added_set_close(s);
    return r;
}

void added_set_close(struct added_set *s)
{
    if (!s)
        return;
    alloc_free(s->nodes);
    alloc_free(s);
}

void added_search_deinit(struct added_search *s)
{
    alloc_free(s->found);
    *s = (struct added_search){0};
}

void added_search_begin(struct added_search *s, const struct added_set *set, struct slice text)
{
    s->set = set;
    s->text = text;
    s->done = s->at = s->block = s->block_end = s->count = 0;
    s->white_begin = s->white_end = 0;
    s->is_pending = false;
}

static enum result found_add(struct added_search *s, uint32_t at, uint32_t token)
{
    if (s->count == s->room) {
        uint32_t room = s->room * 2 + 64;
        struct added_found *found = alloc_resize(s->found, room * sizeof *found);
        if (!found)
            return RESULT_NOMEM;
        s->found = found;
        s->room = room;
    }
    s->found[s->count++] = (struct added_found){at, token};
    return RESULT_OK;
}

// The longest token at each place of the next block, from its end to its beginning.
static enum result search_block(struct added_search *s)
{
    const struct added_set *set = s->set;
    const unsigned char *p = (const unsigned char *)s->text.ptr;
    uint32_t n = (uint32_t)s->text.len;
    s->block = s->block_end;
    s->block_end = n - s->block > BLOCK ? s->block + BLOCK : n;
    s->count = 0;
    uint32_t at = n - s->block_end > set->longest ? s->block_end + set->longest : n, node = 0;
    enum result r = RESULT_OK;
    while (!r && at-- > s->block) {
        if (!node && !set->last[p[at]])
            continue;
        uint32_t next;
        while ((next = step(set, node, p[at])) == NONE && node)
            node = set->nodes[node].fail;
        node = next == NONE ? 0 : next;
        if (set->nodes[node].token != NONE && at < s->block_end)
            r = found_add(s, at, set->nodes[node].token);
    }
    return r;
}

static bool word_before(struct slice text, uint32_t at)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    unsigned n;
    if (!at)
        return false;
    do {
        at--;
    } while (at && (p[at] & 0xc0) == 0x80);
    return char_class(char_decode(p + at, &n)) & CHAR_WORD;
}

static bool word_at(struct slice text, uint32_t at)
{
    unsigned n;
    return at < text.len &&
           char_class(char_decode((const unsigned char *)text.ptr + at, &n)) & CHAR_WORD;
}

// Where the white space that ends at `at` begins, but not before `floor`.
static uint32_t white_before(struct slice text, uint32_t at, uint32_t floor)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    while (at > floor) {
        uint32_t here = at;
        unsigned n;
        do {
            here--;
        } while (here > floor && (p[here] & 0xc0) == 0x80);
        if (!(char_class(char_decode(p + here, &n)) & CHAR_SPACE))
            break;
        at = here;
    }
    return at;
}

// Where the white space that begins at `at` ends. The run is remembered: many tokens may stand in one.
static uint32_t white_behind(struct added_search *s, uint32_t at)
{
    if (at >= s->white_begin && at < s->white_end)
        return s->white_end;
    const unsigned char *p = (const unsigned char *)s->text.ptr;
    uint32_t end = at;
    unsigned n;
    while (end < s->text.len && char_class(char_decode(p + end, &n)) & CHAR_SPACE)
        end += n;
    s->white_begin = at;
    s->white_end = end;
    return end;
}

// The next match, non-overlapping, that its token's rules let stand.
static enum result next_match(struct added_search *s, struct added_split *out, bool *found)
{
    *found = false;
    while (s->set) {
        while (s->count && s->found[s->count - 1].at < s->at)
            s->count--;
        if (!s->count) {
            if (s->block_end == s->text.len)
                return RESULT_OK;
            enum result r = search_block(s);
            if (r)
                return r;
            continue;
        }
        struct added_found match = s->found[--s->count];
        const struct added_token *token = &s->set->tokens[match.token];
        uint32_t begin = match.at, end = begin + (uint32_t)token->content.len;
        s->at = end;
        if (token->single_word && (word_before(s->text, begin) || word_at(s->text, end)))
            continue;
        if (token->lstrip) {
            uint32_t white = s->done < begin ? white_before(s->text, begin, s->done) : begin;
            begin = white > s->done ? white : s->done;
        }
        if (token->rstrip)
            end = white_behind(s, end);
        *out = (struct added_split){begin < end ? begin : end, end, token};
        *found = true;
        return RESULT_OK;
    }
    return RESULT_OK;
}

enum result added_search_next(struct added_search *s, struct added_split *out, bool *more)
{
    bool found = s->is_pending;
    *more = true;
    if (found) {
        *out = s->pending;
        s->is_pending = false;
        s->done = out->end;
        return RESULT_OK;
    }
    enum result r = next_match(s, &s->pending, &found);
    if (r)
        return r;
    uint32_t end = found ? s->pending.begin : (uint32_t)s->text.len;
    if (s->done < end) {
        *out = (struct added_split){s->done, end, NULL};
        s->is_pending = found;
        s->done = end;
        return RESULT_OK;
    }
    if (found) {
        *out = s->pending;
        s->done = out->end;
        return RESULT_OK;
    }
    *more = false;
    return RESULT_OK;
}
