#include <string.h>

#include "base/alloc.h"
#include "nn/encoder_block.h"

// Four lanes of multiply and rotate over 32 bytes at a time: finds damage, at the speed of memory.
uint64_t encoder_block_hash(const void *bytes, size_t n)
{
    const uint64_t m = 0x9e3779b97f4a7c15u;
    uint64_t lane[4] = {n, n ^ m, ~n, n + m}, word;
    const char *p = bytes;
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (unsigned j = 0; j < 4; j++) {
            memcpy(&word, p + i + 8 * j, 8);
            lane[j] = (lane[j] ^ word) * m;
            lane[j] ^= lane[j] >> 29;
        }
    for (; i < n; i++)
        lane[0] = (lane[0] ^ (unsigned char)p[i]) * m;
    uint64_t h = 0;
    for (unsigned j = 0; j < 4; j++) {
        h = (h ^ lane[j]) * m;
        h ^= h >> 32;
    }
    return h;
}

struct checker {
    const struct block_head *head;
    bool bad;
};

static void check_span(struct checker *k, uint64_t at, uint64_t count, uint64_t size)
{
    uint64_t most = k->head->bytes;
    if (at < sizeof(struct block_head) || at % BLOCK_ALIGN || at > most ||
        count > (most - at) / size)
        k->bad = true;
}

static void check_vector(struct checker *k, uint64_t at, bool needed)
{
    if (at || needed)
        check_span(k, at, k->head->config.hidden, sizeof(float));
}

static void check_table(struct checker *k, const struct block_table *t, uint32_t rows)
{
    static const uint8_t sizes[] = {[TABLE_F32] = 4, [TABLE_S16] = 2, [TABLE_S8] = 1};
    if (rows == 0 && t->kind == TABLE_NONE)
        return;
    if (t->kind == TABLE_NONE || t->kind > TABLE_S8 || t->rows != rows) {
        k->bad = true;
        return;
    }
    check_span(k, t->at, (uint64_t)rows * k->head->config.hidden, sizes[t->kind]);
    if (t->kind != TABLE_F32)
        check_span(k, t->scales, rows, sizeof(float));
}

static void check_linear(struct checker *k, const struct block_linear *l, uint32_t in, uint32_t n)
{
    if (l->precision >= NN_PRECISIONS || l->k != in || l->n != n || (n == 0 && l->at)) {
        k->bad = true;
        return;
    }
    if (n)
        check_span(
            k, l->at,
            gemm_weights_bytes((enum nn_tier)k->head->tier, (enum nn_precision)l->precision, in, n),
            1);
}

static void check_layers(struct checker *k, const char *base)
{
    const struct encoder_config *c = &k->head->config;
    check_span(k, k->head->layers, c->layers, sizeof(struct block_layer));
    if (k->bad)
        return;
    const struct block_layer *layers = (const void *)(base + k->head->layers);
    bool after = c->family != ENCODER_MODERNBERT;
    for (uint32_t i = 0; i < c->layers; i++) {
        const struct block_layer *l = &layers[i];
        check_linear(k, &l->linear[LINEAR_QKV], c->hidden, 3 * c->hidden);
        check_linear(k, &l->linear[LINEAR_OUT], c->hidden, c->hidden);
        check_linear(k, &l->linear[LINEAR_UP], c->hidden, encoder_up_n(c));
        check_linear(k, &l->linear[LINEAR_DOWN], c->inner, c->hidden);
        check_vector(k, l->norm1_gain, after);
        check_vector(k, l->norm1_bias, after);
        check_vector(k, l->norm2_gain, true);
        check_vector(k, l->norm2_bias, after);
        uint64_t relative = (uint64_t)2 * encoder_spread(c) * c->hidden;
        if (l->pos_key)
            check_span(k, l->pos_key, relative, sizeof(float));
        if (l->pos_query)
            check_span(k, l->pos_query, relative, sizeof(float));
        if ((l->pos_key || l->pos_query) && c->family != ENCODER_DEBERTA)
            k->bad = true;
    }
}

static bool whole(const struct block_head *h, const char *base)
{
    const struct encoder_config *c = &h->config;
    struct checker k = {h, false};
    bool gelu_head = c->family == ENCODER_MODERNBERT;
    check_table(&k, &h->words, c->vocab);
    bool positions = c->family == ENCODER_BERT || c->family == ENCODER_ROBERTA ||
                     (c->family == ENCODER_DEBERTA && c->position_input);
    check_table(&k, &h->positions, positions ? c->positions : 0);
    check_table(&k, &h->types, c->types);
    check_vector(&k, h->norm_gain, true);
    check_vector(&k, h->norm_bias, !gelu_head);
    check_vector(&k, h->final_gain, gelu_head);
    check_vector(&k, h->final_bias, false);
    check_linear(&k, &h->labels, h->labels.n ? c->hidden : 0,
                 c->task == ENCODER_EMBED ? 0 : c->labels);
    check_linear(&k, &h->dense, h->dense.n ? c->hidden : 0, h->dense.n ? c->hidden : 0);
    check_vector(&k, h->dense_gain, h->dense.n && gelu_head);
    check_vector(&k, h->dense_bias, false);
    check_layers(&k, base);
    return !k.bad;
}

_Static_assert(sizeof(struct encoder_config) == 112, "a gap would make equal models pack unequal");

static bool flags_ok(const struct encoder_config *c)
{
    const unsigned char *p = (const unsigned char *)c;
    for (size_t i = offsetof(struct encoder_config, normalise); i < sizeof *c; i++)
        if (p[i] > 1)
            return false;
    return true;
}

enum result encoder_open(struct slice block, struct encoder **out)
{
    *out = NULL;
    const struct block_head *h = (const void *)block.ptr;
    if (block.len < sizeof *h || (uintptr_t)block.ptr % BLOCK_ALIGN || h->magic != BLOCK_MAGIC)
        return RESULT_SYNTAX;
    if (h->version != BLOCK_VERSION || h->head_bytes != sizeof *h)
        return RESULT_VERSION;
    if (h->bytes < sizeof *h || h->bytes > block.len)
        return RESULT_SYNTAX;
    size_t behind = offsetof(struct block_head, hash) + sizeof h->hash;
    if (encoder_block_hash(block.ptr + behind, (size_t)h->bytes - behind) != h->hash)
        return RESULT_SYNTAX;
    if (h->tier >= NN_TIERS || !nn_tier_has((enum nn_tier)h->tier))
        return RESULT_VERSION;
    if (!flags_ok(&h->config) || encoder_config_wrong(&h->config) || !whole(h, block.ptr))
        return RESULT_SYNTAX;
    struct encoder *e = alloc_zeroed(1, sizeof *e);
    if (!e)
        return RESULT_NOMEM;
    e->base = block.ptr;
    e->head = h;
    e->layers = (const void *)(block.ptr + h->layers);
    e->elem = nn_elem((enum nn_tier)h->tier);
    e->attention = h->plan == ENCODER_PLAN_F32 ? ATTENTION_F32 : ATTENTION_FAST;
    *out = e;
    return RESULT_OK;
}

void encoder_close(struct encoder *e)
{
    alloc_free(e);
}
