// The index of prompt prefixes against a book that remembers everything, and against caches that evict.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pool/prefix.h"

enum { PLACES = 5, SESSIONS = 24, TURNS = 40, TEXT = 1 << 16 };

static struct rng rng;
static struct prefix_prompt prompt, other;

static void fill(char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (char)('a' + rng_below(&rng, 26));
}

struct session {
    char text[TEXT];
    size_t len;
};

static void make(struct prefix_prompt *out, struct slice tools, const struct session *s)
{
    const struct slice pieces[] = {tools, slice_make(s->text, s->len)};
    prefix_prompt(out, SLICE_EMPTY, pieces, 2, (uint32_t)((tools.len + s->len) / 4));
}

// Whole blocks of both pieces that two prompts have in common, by comparing bytes.
static uint32_t common(struct slice tools_a, struct slice a, struct slice tools_b, struct slice b)
{
    size_t n = 0;
    if (!slice_eq(tools_a, tools_b)) {
        while (n < tools_a.len && n < tools_b.len && tools_a.ptr[n] == tools_b.ptr[n])
            n++;
        return (uint32_t)(n / PREFIX_BLOCK_BYTES * PREFIX_BLOCK_BYTES);
    }
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return (uint32_t)(tools_a.len + n / PREFIX_BLOCK_BYTES * PREFIX_BLOCK_BYTES);
}

// Texts only grow: what was sent is the first `len` bytes of the session's text.
struct sent {
    uint32_t session;
    size_t len;
};

static void finds_what_was_sent(void **state)
{
    static struct session sessions[SESSIONS];
    static struct sent sent[PLACES][400];
    static uint32_t sent_count[PLACES];
    static char tools[3][5000];
    struct prefix *p;
    uint32_t tok[PLACES], hits = 0;
    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(prefix_open(&p, PLACES, 40u << 20), RESULT_OK);
    for (uint32_t i = 0; i < PLACES; i++)
        prefix_capacity(p, i, 8u << 20);
    for (int i = 0; i < 3; i++) {
        fill(tools[i], sizeof tools[i]);
        memcpy(tools[i], tools[0], 1500 * (size_t)(i == 1)); // the second one begins as the first
    }
    for (uint32_t n = 0; n < 400; n++) {
        uint32_t k = (uint32_t)rng_below(&rng, SESSIONS), t = k % 3;
        size_t more = rng_below(&rng, 1800);
        fill(sessions[k].text + sessions[k].len, more);
        sessions[k].len += more;
        struct slice tool = slice_make(tools[t], sizeof tools[t]);
        make(&prompt, tool, &sessions[k]);
        prefix_match(p, &prompt, PLACES, tok);
        for (uint32_t c = 0; c < PLACES; c++) {
            uint32_t best = 0;
            for (uint32_t i = 0; i < sent_count[c]; i++) {
                const struct sent *o = &sent[c][i];
                uint32_t v = common(tool, slice_make(sessions[k].text, sessions[k].len),
                                    slice_make(tools[o->session % 3], sizeof tools[0]),
                                    slice_make(sessions[o->session].text, o->len));
                best = v > best ? v : best;
            }
            // What both have counts up to whole blocks of both.
            uint32_t believed = (uint32_t)((uint64_t)best * prompt.tok / prompt.bytes);
            assert_int_equal(tok[c], believed);
            hits += believed > 0;
        }
        uint32_t to = (uint32_t)rng_below(&rng, PLACES);
        prefix_sent(p, &prompt, to);
        sent[to][sent_count[to]++] = (struct sent){k, sessions[k].len};
    }
    assert_true(hits > 800);
    prefix_close(p);
}

static void salt_and_order_matter(void **state)
{
    static char a[2048], b[2048];
    struct prefix *p;
    uint32_t tok[1];
    (void)state;
    rng_seed(&rng, 2);
    fill(a, sizeof a);
    fill(b, sizeof b);
    const struct slice ab[] = {slice_make(a, sizeof a), slice_make(b, sizeof b)},
                       ba[] = {ab[1], ab[0]};
    assert_int_equal(prefix_open(&p, 1, 0), RESULT_OK);
    prefix_prompt(&prompt, SLICE("one"), ab, 2, 1024);
    assert_int_equal(prompt.count, 8);
    prefix_sent(p, &prompt, 0);
    prefix_match(p, &prompt, 1, tok);
    assert_int_equal(tok[0], 1024);
    prefix_prompt(&other, SLICE("two"), ab, 2, 1024);
    prefix_match(p, &other, 1, tok);
    assert_int_equal(tok[0], 0);
    prefix_prompt(&other, SLICE("one"), ba, 2, 1024);
    prefix_match(p, &other, 1, tok);
    assert_int_equal(tok[0], 0);
    prefix_prompt(&other, SLICE("one"), ab, 1, 512);
    prefix_match(p, &other, 1, tok);
    assert_int_equal(tok[0], 512);
    // An unfinished block and an empty prompt.
    const struct slice shorter[] = {ab[0], slice_head(ab[1], 700)};
    prefix_prompt(&other, SLICE("one"), shorter, 2, 687);
    assert_int_equal(other.count, 5);
    prefix_match(p, &other, 1, tok);
    assert_int_equal(tok[0], 2560 * 687 / 2748);
    prefix_prompt(&other, SLICE_EMPTY, NULL, 0, 0);
    prefix_match(p, &other, 1, tok);
    assert_int_equal(tok[0], 0);
    prefix_sent(p, &other, 0);
    prefix_close(p);
}

// ---- eviction, against a cache that keeps the blocks used last

struct block {
    uint64_t chain;
    uint64_t used;
};

struct cache {
    struct block *blocks;
    uint32_t count, room;
    uint64_t now;
};

static struct block *look(struct cache *c, uint64_t chain)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->blocks[i].chain == chain)
            return &c->blocks[i];
    return NULL;
}

static uint32_t cache_hit(struct cache *c, const struct prefix_prompt *q)
{
    uint32_t n = 0;
    while (n < q->count && look(c, q->chain[n]))
        n++;
    return n ? q->end[n - 1] : 0;
}

static void cache_use(struct cache *c, const struct prefix_prompt *q)
{
    c->now++;
    for (uint32_t i = 0; i < q->count; i++) {
        struct block *b = look(c, q->chain[i]);
        if (!b && c->count < c->room) {
            b = &c->blocks[c->count++];
        } else if (!b) {
            b = c->blocks;
            for (uint32_t k = 1; k < c->count; k++)
                if (c->blocks[k].used < b->used)
                    b = &c->blocks[k];
        }
        *b = (struct block){q->chain[i], c->now};
    }
}

static void ages_as_a_cache_does(void **state)
{
    static struct session sessions[SESSIONS];
    static char tools[8000];
    struct cache caches[2];
    struct prefix *p;
    uint32_t tok[2];
    uint64_t truth = 0, off = 0, all = 0;
    (void)state;
    rng_seed(&rng, 3);
    fill(tools, sizeof tools);
    assert_int_equal(prefix_open(&p, 2, 0), RESULT_OK);
    for (uint32_t i = 0; i < 2; i++) {
        caches[i] = (struct cache){.room = 400};
        caches[i].blocks = calloc(400, sizeof(struct block));
        prefix_capacity(p, i, 400 * PREFIX_BLOCK_BYTES / PREFIX_TOK_BYTES);
    }
    for (uint32_t n = 0; n < 3000; n++) {
        // Few sessions are busy at a time, others come back after long.
        uint32_t k = rng_below(&rng, 8) ? (n / 300 * 3 + (uint32_t)rng_below(&rng, 4)) % SESSIONS
                                        : (uint32_t)rng_below(&rng, SESSIONS);
        struct session *s = &sessions[k];
        if (s->len > TEXT / 2)
            s->len = 0; // another one
        fill(s->text + s->len, 1000);
        s->len += 1000;
        make(&prompt, slice_make(tools, sizeof tools), s);
        prefix_match(p, &prompt, 2, tok);
        for (uint32_t c = 0; c < 2; c++) {
            uint32_t held = cache_hit(&caches[c], &prompt);
            uint32_t have = (uint32_t)((uint64_t)held * prompt.tok / prompt.bytes);
            truth += have;
            off += tok[c] > have ? tok[c] - have : have - tok[c];
            all += prompt.tok;
        }
        uint32_t to = k % 2;
        prefix_sent(p, &prompt, to);
        cache_use(&caches[to], &prompt);
    }
    printf("held %.3f of the tokens, wrong about %.4f of them\n", (double)truth / (double)all,
           (double)off / (double)all);
    assert_true(truth > all / 4);
    assert_true(off < all / 25);
    for (uint32_t i = 0; i < 2; i++)
        free(caches[i].blocks);
    prefix_close(p);
}

static void forgets_when_told(void **state)
{
    static struct session s;
    struct prefix *p;
    uint32_t tok[3];
    (void)state;
    rng_seed(&rng, 4);
    s.len = 20000;
    fill(s.text, s.len);
    assert_int_equal(prefix_open(&p, 3, 0), RESULT_OK);
    make(&prompt, SLICE_EMPTY, &s);
    for (uint32_t i = 0; i < 3; i++)
        prefix_sent(p, &prompt, i);
    prefix_forget(p, 1);
    prefix_match(p, &prompt, 3, tok);
    assert_true(tok[0] > 4900);
    assert_int_equal(tok[1], 0);
    assert_int_equal(tok[2], tok[0]);
    // Again and again nothing cached where it was expected: the place was restarted. One that never tells is let be.
    for (int i = 0; i < 5; i++)
        prefix_came(p, 0, 4900, 5000, 0);
    prefix_match(p, &prompt, 3, tok);
    assert_true(tok[0] > 4900);
    prefix_came(p, 0, 4900, 5000, 4900);
    for (int i = 0; i < 3; i++)
        prefix_came(p, 0, 4900, 5000, 0);
    prefix_match(p, &prompt, 3, tok);
    assert_int_equal(tok[0], 0);
    assert_true(tok[2] > 4900);
    // Less than believed: its cache is smaller for us; as believed: it grows back.
    uint32_t full = prefix_capacity_tok(p, 2);
    prefix_came(p, 2, 4900, 5000, 1000);
    assert_true(prefix_capacity_tok(p, 2) < full);
    for (int i = 0; i < 200; i++)
        prefix_came(p, 2, 4900, 5000, 100);
    uint32_t least = prefix_capacity_tok(p, 2);
    assert_in_range(least, full / 10, full / 7);
    for (int i = 0; i < 200; i++)
        prefix_came(p, 2, 4900, 5000, 4800);
    assert_int_equal(prefix_capacity_tok(p, 2), full);
    // Lies and unknown places change nothing.
    prefix_came(p, 2, 4900, 10, 5000);
    prefix_came(p, 9, 4900, 5000, 5000);
    prefix_forget(p, 9);
    prefix_sent(p, &prompt, 9);
    prefix_capacity(p, 9, 100);
    assert_int_equal(prefix_capacity_tok(p, 2), full);
    // Another size is another engine; nearly the same is not.
    prefix_sent(p, &prompt, 2);
    prefix_capacity(p, 2, PREFIX_CAPACITY_TOK + 1000);
    prefix_match(p, &prompt, 3, tok);
    assert_true(tok[2] > 4900);
    prefix_capacity(p, 2, 100000);
    prefix_match(p, &prompt, 3, tok);
    assert_int_equal(tok[2], 0);
    prefix_close(p);
}

static void has_limits(void **state)
{
    static char text[(PREFIX_BLOCKS_MAX + 10) * PREFIX_BLOCK_BYTES];
    struct prefix *p;
    uint32_t tok[POOL_PLACES_PER_MODEL_MAX];
    (void)state;
    rng_seed(&rng, 5);
    assert_int_equal(prefix_open(&p, 0, 0), RESULT_LIMIT);
    assert_int_equal(prefix_open(&p, POOL_PLACES_PER_MODEL_MAX + 1, 0), RESULT_LIMIT);
    for (uint64_t n = 1;; n++) {
        alloc_fail_at(n, 0);
        enum result r = prefix_open(&p, POOL_PLACES_PER_MODEL_MAX, UINT64_MAX / 4);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_null(p);
        assert_true(n < 10);
    }
    fill(text, sizeof text);
    const struct slice piece = slice_make(text, sizeof text);
    prefix_prompt(&prompt, SLICE_EMPTY, &piece, 1, 200000);
    assert_int_equal(prompt.count, PREFIX_BLOCKS_MAX);
    assert_int_equal(prompt.bytes, sizeof text);
    prefix_sent(p, &prompt, 63);
    prefix_match(p, &prompt, 64, tok);
    assert_int_equal(tok[62], 0);
    assert_in_range(tok[63], 197000, 199000);
    // Far more blocks than it has room for: it stays as large as it was.
    uint64_t bytes = prefix_bytes(p);
    for (int i = 0; i < 600; i++) {
        fill(text, 64);
        prefix_prompt(&prompt, SLICE_EMPTY, &piece, 1, 200000);
        prefix_sent(p, &prompt, (uint32_t)i % 64);
        prefix_match(p, &prompt, 64, tok);
        assert_true(tok[i % 64] > 190000);
    }
    assert_true(prefix_blocks(p) > PREFIX_SLOTS_MAX * 9 / 10);
    assert_true(prefix_blocks(p) <= PREFIX_SLOTS_MAX);
    assert_int_equal(prefix_bytes(p), bytes);
    prefix_close(p);
}

// ---- several loops at once

struct worker {
    struct prefix *p;
    uint32_t place;
    uint64_t seed;
    uint32_t lost; // a block that two loops took at once may have lost one's mark
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct prefix_prompt *q = malloc(sizeof *q);
    char *text = malloc(8192);
    struct rng r;
    uint32_t tok[4];
    rng_seed(&r, w->seed);
    for (int i = 0; i < 400; i++) {
        // Half of the prompts are everybody's, half this loop's own.
        uint64_t n = rng_below(&r, 30), whose = rng_below(&r, 2) ? w->seed : 0;
        memset(text, (int)('a' + n % 26), 8192);
        memcpy(text, &n, sizeof n);
        memcpy(text + 8, &whose, sizeof whose);
        const struct slice piece = slice_make(text, 8192);
        prefix_prompt(q, SLICE_EMPTY, &piece, 1, 2048);
        prefix_match(w->p, q, 4, tok);
        prefix_sent(w->p, q, w->place);
        prefix_match(w->p, q, 4, tok);
        w->lost += tok[w->place] != 2048;
        prefix_came(w->p, w->place, 2000, 2048, 2048);
    }
    free(text);
    free(q);
    return NULL;
}

enum { TALKS = 40, TALK_BYTES = 20 * PREFIX_BLOCK_BYTES };

// The next policy has the places at other numbers, another one of them is gone, and its index is larger or smaller: what each place
// is believed to hold is as before, as far as there is room.
static void the_next_policy_takes_it_over(void **state)
{
    static char text[TALKS][TALK_BYTES];
    const int32_t to[] = {4, -1, 0, 2};
    const struct {
        uint64_t before, after;
    } sizes[] = {{2000000, 2000000}, {2000000, 8000000}, {8000000, 2000000}};
    (void)state;
    rng_seed(&rng, 11);
    for (int i = 0; i < TALKS; i++)
        fill(text[i], TALK_BYTES);
    for (size_t k = 0; k < 3; k++) {
        struct prefix *old, *p;
        uint32_t before[4], after[6], kept = 0;
        assert_int_equal(prefix_open(&old, 4, sizes[k].before), RESULT_OK);
        assert_int_equal(prefix_open(&p, 6, sizes[k].after), RESULT_OK);
        prefix_capacity(old, 2, 300000);
        for (int i = 0; i < TALKS; i++) {
            const struct slice piece = slice_make(text[i], TALK_BYTES);
            prefix_prompt(&prompt, SLICE_EMPTY, &piece, 1, TALK_BYTES / 4);
            prefix_sent(old, &prompt, (uint32_t)i % 4);
            if (i % 3 == 0)
                prefix_sent(old, &prompt, (uint32_t)(i + 1) % 4);
        }
        prefix_inherit(p, old, to);
        assert_int_equal(prefix_capacity_tok(p, 0), 300000);
        for (int i = 0; i < TALKS; i++) {
            const struct slice piece = slice_make(text[i], TALK_BYTES);
            prefix_prompt(&prompt, SLICE_EMPTY, &piece, 1, TALK_BYTES / 4);
            prefix_match(old, &prompt, 4, before);
            prefix_match(p, &prompt, 6, after);
            assert_int_equal(after[1] + after[3] + after[5], 0);
            for (int c = 0; c < 4; c++) {
                kept += to[c] >= 0 && before[c];
                if (to[c] >= 0)
                    assert_int_equal(after[to[c]], before[c]);
            }
        }
        assert_true(kept > TALKS / 2);
        // It goes on as the old one would: what a place is told to hold still grows old by what is sent there.
        prefix_forget(p, 4);
        prefix_match(p, &prompt, 6, after);
        assert_int_equal(after[4], 0);
        prefix_sent(p, &prompt, 4);
        prefix_match(p, &prompt, 6, after);
        assert_int_equal(after[4], TALK_BYTES / 4);
        prefix_close(old);
        prefix_close(p);
    }
}

// A full index into a smaller one: the youngest stay.
static void a_smaller_one_keeps_the_youngest(void **state)
{
    enum { ALL = 200 };
    static char text[TALK_BYTES];
    const int32_t to[] = {0};
    struct prefix *old, *p;
    uint32_t tok, young = 0, aged = 0;
    (void)state;
    assert_int_equal(prefix_open(&old, 1, 16000000), RESULT_OK);
    assert_int_equal(prefix_open(&p, 1, 100000), RESULT_OK);
    prefix_capacity(old, 0, 16000000);
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < ALL * 4; i++) {
            struct rng own;
            rng_seed(&own, 1000 + i);
            for (size_t at = 0; at < TALK_BYTES; at++)
                text[at] = (char)('a' + rng_below(&own, 26));
            const struct slice piece = slice_make(text, TALK_BYTES);
            prefix_prompt(&prompt, SLICE_EMPTY, &piece, 1, TALK_BYTES / 4);
            if (pass == 0) {
                prefix_sent(old, &prompt, 0);
                continue;
            }
            if (i == 0)
                prefix_inherit(p, old, to);
            prefix_match(p, &prompt, 1, &tok);
            if (i < ALL)
                aged += tok;
            else if (i >= ALL * 3)
                young += tok;
        }
    assert_true(young > 10 * aged && young > ALL / 8 * (TALK_BYTES / 4));
    prefix_close(old);
    prefix_close(p);
}

static void loops_share_it(void **state)
{
    struct worker workers[4];
    pthread_t threads[4];
    struct prefix *p;
    (void)state;
    assert_int_equal(prefix_open(&p, 4, 0), RESULT_OK);
    for (uint32_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){.p = p, .place = i, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    // Meanwhile the next policy takes over what they know, again and again.
    const int32_t to[] = {3, 2, 1, 0};
    for (int i = 0; i < 20; i++) {
        struct prefix *next;
        assert_int_equal(prefix_open(&next, 4, 0), RESULT_OK);
        prefix_inherit(next, p, to);
        assert_true(prefix_blocks(next) <= prefix_bytes(next) / sizeof(uint64_t));
        prefix_close(next);
    }
    for (uint32_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].lost < 20);
    }
    prefix_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_sent),
        cmocka_unit_test(salt_and_order_matter),
        cmocka_unit_test(ages_as_a_cache_does),
        cmocka_unit_test(forgets_when_told),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(loops_share_it),
        cmocka_unit_test(the_next_policy_takes_it_over),
        cmocka_unit_test(a_smaller_one_keeps_the_youngest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
