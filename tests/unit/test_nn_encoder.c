// nn/encoder: configurations, packing, opening, errors, and what a pass promises: same bits for any batch and any wish
// for outputs, memory linear in the tokens, cancel between layers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "helper/encoder_load.h"
#include "helper/encoder_random.h"

enum { HIDDEN = 48, TOK = 200, LABELS = 3 };

// Small, and nothing in it a multiple of a panel: 48 = 3 heads of 16, inner 52.
#define SMALL                                                                                      \
    "\"num_hidden_layers\":2,\"hidden_size\":48,\"num_attention_heads\":3,"                        \
    "\"intermediate_size\":52,\"vocab_size\":300,\"max_position_embeddings\":220"

static const char *const small[] = {
    "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"type_vocab_size\":2," SMALL "}",
    "{\"model_type\":\"xlm-roberta\",\"architectures\":[\"XLMRobertaModel\"],"
    "\"type_vocab_size\":1,\"pad_token_id\":1," SMALL "}",
    "{\"model_type\":\"modernbert\",\"architectures\":[\"ModernBertModel\"],"
    "\"local_attention\":20,\"global_attn_every_n_layers\":2," SMALL "}",
};

static void use(struct loaded *l, const char *config)
{
    char problem[ENCODER_PROBLEM_BYTES];
    memset(l, 0, sizeof *l);
    assert_int_equal(encoder_config_read(slice_cstr(config), &l->config, problem), RESULT_OK);
    l->source = (struct tensor_source){&l->config, random_shape, random_read};
}

static void ids_of(uint32_t *ids, uint32_t n, uint32_t vocab, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (uint32_t)rng_below(&rng, vocab);
}

static const enum encoder_plan all_plans[] = {ENCODER_PLAN_AUTO, ENCODER_PLAN_INT8,
                                              ENCODER_PLAN_HALF, ENCODER_PLAN_F32};

// Each sequence alone, all at once, and in another order, give the same bits in every tier and plan.
static void batch_is_single(void **state)
{
    static const uint32_t counts[] = {1, 33, 7, 90, 64};
    static uint32_t ids[5][TOK];
    static float alone[5][TOK * HIDDEN], batch[5][TOK * HIDDEN], vectors[2][5][HIDDEN];
    (void)state;
    for (size_t m = 0; m < MERIT_COUNT(small); m++)
        for (enum nn_tier tier = 0; tier < NN_TIERS; tier++)
            for (size_t plan = 0; nn_tier_has(tier) && plan < MERIT_COUNT(all_plans); plan++) {
                struct loaded l;
                struct encoder_scratch *s;
                struct encoder_sequence q[5];
                struct encoder_output out[5];
                use(&l, small[m]);
                assert_true(load_pack(&l, tier, all_plans[plan]));
                assert_int_equal(encoder_scratch_open(l.encoder, TOK, &s), RESULT_OK);
                for (uint32_t i = 0; i < 5; i++) {
                    ids_of(ids[i], counts[i], 300, i + 1);
                    q[i] = (struct encoder_sequence){ids[i], NULL, counts[i]};
                    out[i] = (struct encoder_output){vectors[0][i], NULL, alone[i]};
                    assert_int_equal(encoder_run(l.encoder, s, &q[i], 1, &out[i], NULL), RESULT_OK);
                }
                for (uint32_t i = 0; i < 5; i++) { // in reverse order
                    q[4 - i] = (struct encoder_sequence){ids[i], NULL, counts[i]};
                    out[4 - i] = (struct encoder_output){vectors[1][i], NULL, batch[i]};
                }
                assert_int_equal(encoder_run(l.encoder, s, q, 5, out, NULL), RESULT_OK);
                for (uint32_t i = 0; i < 5; i++)
                    assert_memory_equal(alone[i], batch[i], counts[i] * HIDDEN * sizeof(float));
                assert_memory_equal(vectors[0], vectors[1], sizeof vectors[0]);
                encoder_scratch_close(s);
                load_free(&l);
            }
}

// A pass that only wants the first token's row gives the bits of a pass that wants all.
static void first_row_alone(void **state)
{
    static uint32_t ids[TOK];
    static float states[TOK * HIDDEN];
    (void)state;
    for (size_t m = 0; m < MERIT_COUNT(small); m++)
        for (enum nn_tier tier = 0; tier < NN_TIERS; tier++)
            for (size_t plan = 0; nn_tier_has(tier) && plan < MERIT_COUNT(all_plans); plan++) {
                struct loaded l;
                struct encoder_scratch *s;
                float a[2][HIDDEN], b[2][HIDDEN];
                use(&l, small[m]);
                l.config.pool = ENCODER_POOL_CLS;
                assert_true(load_pack(&l, tier, all_plans[plan]));
                assert_int_equal(encoder_scratch_open(l.encoder, TOK, &s), RESULT_OK);
                ids_of(ids, TOK, 300, 3);
                struct encoder_sequence q[2] = {{ids, NULL, 101}, {ids + 101, NULL, 40}};
                struct encoder_output all[2] = {{a[0], NULL, states}, {a[1], NULL, NULL}};
                struct encoder_output first[2] = {{b[0], NULL, NULL}, {b[1], NULL, NULL}};
                assert_int_equal(encoder_run(l.encoder, s, q, 2, all, NULL), RESULT_OK);
                assert_int_equal(encoder_run(l.encoder, s, q, 2, first, NULL), RESULT_OK);
                assert_memory_equal(a, b, sizeof a);
                encoder_scratch_close(s);
                load_free(&l);
            }
}

// Plans and tiers stay close to the scalar f32 pass on random weights.
static void plans_agree(void **state)
{
    static uint32_t ids[TOK];
    (void)state;
    for (size_t m = 0; m < MERIT_COUNT(small); m++) {
        float want[HIDDEN], got[HIDDEN];
        ids_of(ids, 60, 300, 9);
        for (enum nn_tier tier = 0; tier < NN_TIERS; tier++)
            for (size_t plan = MERIT_COUNT(all_plans); nn_tier_has(tier) && plan-- > 0;) {
                static const double least[] = {0.998, 0.998, 0.9999, 0.9999999};
                struct loaded l;
                struct encoder_scratch *s;
                bool model = tier == NN_SCALAR && all_plans[plan] == ENCODER_PLAN_F32;
                use(&l, small[m]);
                assert_true(load_pack(&l, tier, all_plans[plan]));
                assert_int_equal(encoder_scratch_open(l.encoder, TOK, &s), RESULT_OK);
                struct encoder_sequence q = {ids, NULL, 60};
                struct encoder_output out = {.embedding = model ? want : got};
                assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
                assert_true(model || load_cosine(want, got, HIDDEN) >= least[plan]);
                encoder_scratch_close(s);
                load_free(&l);
            }
    }
}

static void pack_twice(void **state)
{
    (void)state;
    for (size_t m = 0; m < MERIT_COUNT(small); m++) {
        struct loaded a, b;
        use(&a, small[m]);
        use(&b, small[m]);
        assert_true(load_pack(&a, nn_tier_best(), ENCODER_PLAN_AUTO));
        assert_true(load_pack(&b, nn_tier_best(), ENCODER_PLAN_AUTO));
        assert_int_equal(a.used, b.used);
        assert_memory_equal(a.block, b.block, a.used);
        load_free(&a);
        load_free(&b);
    }
}

// 8,192 tokens in memory that is linear in them: as much again as for 4,096, and far below one S x S table.
static void long_input(void **state)
{
    static uint32_t ids[8192];
    (void)state;
    struct loaded l;
    struct encoder_scratch *s;
    float v[64], once[64];
    assert_true(load_random(&l, RANDOM_LONG));
    assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_AUTO));
    ids_of(ids, 8192, 4096, 5);
    assert_int_equal(encoder_scratch_open(l.encoder, 8192, &s), RESULT_OK);
    assert_true(encoder_scratch_bytes(s) < (size_t)8192 * 8192);
    struct encoder_sequence q = {ids, NULL, 8192};
    struct encoder_output out = {.embedding = v};
    uint64_t before = alloc_count();
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    assert_int_equal(alloc_count(), before); // nothing is allocated per pass
    size_t whole = encoder_scratch_bytes(s);
    encoder_scratch_close(s);
    assert_int_equal(encoder_scratch_open(l.encoder, 4096, &s), RESULT_OK);
    assert_true(encoder_scratch_bytes(s) * 2 >= whole);
    encoder_scratch_close(s);

    // 700 tokens need several blocks of keys: the tier's fast form agrees with the scalar one.
    assert_true(load_pack(&l, NN_SCALAR, ENCODER_PLAN_F32));
    assert_int_equal(encoder_scratch_open(l.encoder, 700, &s), RESULT_OK);
    q.count = 700;
    out.embedding = once;
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    encoder_scratch_close(s);
    assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_HALF));
    assert_int_equal(encoder_scratch_open(l.encoder, 700, &s), RESULT_OK);
    out.embedding = v;
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    assert_true(load_cosine(v, once, 64) > 0.9999);
    encoder_scratch_close(s);
    load_free(&l);
}

static void bad_sequences(void **state)
{
    (void)state;
    struct loaded l;
    struct encoder_scratch *s;
    uint32_t ids[300] = {0};
    uint8_t types[4] = {0, 1, 2, 0};
    float v[HIDDEN];
    use(&l, small[0]);
    assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_F32));
    assert_int_equal(encoder_scratch_open(l.encoder, 230, &s), RESULT_OK);
    struct encoder_output out[2] = {{.embedding = v}, {.embedding = v}};
    struct encoder_sequence q[2] = {{ids, NULL, 0}, {ids, NULL, 20}};
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_RANGE); // empty
    q[0].count = 221; // one more than positions
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_LIMIT);
    q[0].count = 220;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_OK);
    assert_int_equal(encoder_run(l.encoder, s, q, 2, out, NULL), RESULT_LIMIT); // the scratch
    q[0].count = 4;
    q[0].types = types;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_RANGE);
    types[2] = 1;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_OK);
    ids[3] = 300;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_RANGE);
    ids[3] = 299;
    out[0].logits = v;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, NULL), RESULT_UNSUPPORTED);
    out[0].logits = NULL;
    atomic_bool stop = true;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, &stop), RESULT_CANCELLED);
    stop = false;
    assert_int_equal(encoder_run(l.encoder, s, q, 1, out, &stop), RESULT_OK);
    assert_int_equal(encoder_run(l.encoder, s, q, 0, out, NULL), RESULT_OK);
    encoder_scratch_close(s);
    assert_int_equal(encoder_scratch_open(l.encoder, 0, &s), RESULT_LIMIT);
    assert_int_equal(encoder_scratch_open(l.encoder, ENCODER_TOKENS_MAX + 1, &s), RESULT_LIMIT);
    load_free(&l);
}

// Types matter, and only where they differ.
static void types_count(void **state)
{
    (void)state;
    struct loaded l;
    struct encoder_scratch *s;
    uint32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t none[8] = {0}, pair[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    float a[HIDDEN], b[HIDDEN], c[HIDDEN];
    use(&l, small[0]);
    assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_F32));
    assert_int_equal(encoder_scratch_open(l.encoder, 8, &s), RESULT_OK);
    struct encoder_sequence q = {ids, NULL, 8};
    struct encoder_output out = {.embedding = a};
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    q.types = none;
    out.embedding = b;
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    q.types = pair;
    out.embedding = c;
    assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_true(load_cosine(a, c, HIDDEN) < 0.9999);
    encoder_scratch_close(s);
    load_free(&l);
}

static void pools(void **state)
{
    (void)state;
    struct loaded l;
    struct encoder_scratch *s;
    uint32_t ids[5] = {9, 8, 7, 6, 5};
    float states[5 * HIDDEN], v[HIDDEN];
    for (enum encoder_pool pool = 0; pool <= ENCODER_POOL_WEIGHTED; pool++) {
        use(&l, small[0]);
        l.config.pool = pool;
        l.config.normalise = false;
        assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_F32));
        assert_int_equal(encoder_scratch_open(l.encoder, 8, &s), RESULT_OK);
        struct encoder_sequence q = {ids, NULL, 5};
        struct encoder_output out = {.embedding = v, .states = states};
        assert_int_equal(encoder_run(l.encoder, s, &q, 1, &out, NULL), RESULT_OK);
        for (uint32_t k = 0; k < HIDDEN; k++) {
            double want = 0, all = 0;
            for (uint32_t i = 0; i < 5; i++) {
                double w = pool == ENCODER_POOL_MEAN  ? 1
                           : pool == ENCODER_POOL_CLS ? i == 0
                                                      : i + 1;
                want += w * states[i * HIDDEN + k];
                all += w;
            }
            assert_true(fabs(want / all - v[k]) < 1e-6);
        }
        encoder_scratch_close(s);
        load_free(&l);
    }
}

static void bad_configs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum result want;
    } cases[] = {
        {"", RESULT_SYNTAX},
        {"[]", RESULT_SYNTAX},
        {"{}", RESULT_UNSUPPORTED},
        {"{\"model_type\":\"llama\"," SMALL "}", RESULT_UNSUPPORTED},
        {"{\"model_type\":\"bert\",\"architectures\":[\"BertLMHeadModel\"]," SMALL "}",
         RESULT_UNSUPPORTED},
        {"{\"model_type\":\"bert\",\"hidden_act\":\"relu\"," SMALL "}", RESULT_UNSUPPORTED},
        {"{\"model_type\":\"bert\"}", RESULT_SYNTAX},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":2,\"hidden_size\":1000000,"
         "\"num_attention_heads\":3,\"intermediate_size\":52,\"vocab_size\":300,"
         "\"max_position_embeddings\":220}",
         RESULT_LIMIT},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":2,\"hidden_size\":50,"
         "\"num_attention_heads\":3,\"intermediate_size\":52,\"vocab_size\":300,"
         "\"max_position_embeddings\":220}",
         RESULT_SYNTAX},
        {"{\"model_type\":\"bert\",\"type_vocab_size\":-1," SMALL "}", RESULT_SYNTAX},
        {"{\"model_type\":\"bert\",\"layer_norm_eps\":\"x\"," SMALL "}", RESULT_SYNTAX},
        {"{\"model_type\":\"roberta\",\"pad_token_id\":250," SMALL "}", RESULT_SYNTAX},
        {"{\"model_type\":\"modernbert\",\"layer_types\":[\"full_attention\"]," SMALL "}",
         RESULT_SYNTAX},
        {"{\"model_type\":\"modernbert\",\"layer_types\":[\"full_attention\",\"mamba\"]," SMALL "}",
         RESULT_UNSUPPORTED},
        {"{\"model_type\":\"modernbert\",\"global_rope_theta\":0," SMALL "}", RESULT_SYNTAX},
        {"{\"model_type\":\"deberta-v2\"," SMALL "}", RESULT_UNSUPPORTED},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct encoder_config c;
        char problem[ENCODER_PROBLEM_BYTES];
        enum result r = encoder_config_read(slice_cstr(cases[i].text), &c, problem);
        if (r != cases[i].want)
            print_error("%s: %s, %s\n", cases[i].text, result_name(r), problem);
        assert_int_equal(r, cases[i].want);
        assert_true(problem[0] != 0);
    }
}

// Both ways in which a ModernBERT tells its layers and bases.
static void config_styles(void **state)
{
    (void)state;
    static const char old[] =
        "{\"model_type\":\"modernbert\",\"global_attn_every_n_layers\":2,"
        "\"global_rope_theta\":80000,\"local_rope_theta\":5000,\"local_attention\":20," SMALL "}";
    static const char new[] =
        "{\"model_type\":\"modernbert\",\"layer_types\":[\"full_attention\",\"sliding_attention\"],"
        "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\",\"rope_theta\":80000},"
        "\"sliding_attention\":{\"rope_theta\":5000.0}},\"local_attention\":20," SMALL "}";
    struct encoder_config a, b;
    char problem[ENCODER_PROBLEM_BYTES];
    assert_int_equal(encoder_config_read(SLICE(old), &a, problem), RESULT_OK);
    assert_int_equal(encoder_config_read(SLICE(new), &b, problem), RESULT_OK);
    assert_int_equal(a.global_layers, 1);
    a.global_every = b.global_every;
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.window == 10 && a.rope_global == 80000 && a.rope_local == 5000);
}

struct odd {
    struct encoder_config *config;
    const char *name; // of the tensor that is strange
    enum { ODD_ABSENT, ODD_SHAPE, ODD_VALUE } how;
};

static enum result odd_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    const struct odd *o = ctx;
    bool here = slice_ends_with(name, slice_cstr(o->name));
    if (here && o->how == ODD_ABSENT)
        return RESULT_NOT_FOUND;
    enum result r = random_shape(o->config, name, out);
    if (here && o->how == ODD_SHAPE)
        out->dim[0]++;
    return r;
}

static enum result odd_read(void *ctx, struct slice name, uint64_t first, uint64_t rows, float *out)
{
    const struct odd *o = ctx;
    if (slice_ends_with(name, slice_cstr(o->name)) && o->how == ODD_VALUE)
        return RESULT_RANGE;
    return random_read(o->config, name, first, rows, out);
}

static void bad_weights(void **state)
{
    (void)state;
    static const char *const names[] = {"word_embeddings.weight", "1.attention.self.key.bias",
                                        "0.intermediate.dense.weight", "1.output.LayerNorm.bias"};
    static const enum result wants[] = {RESULT_NOT_FOUND, RESULT_TYPE, RESULT_RANGE};
    static _Alignas(64) char block[1 << 20];
    for (size_t i = 0; i < MERIT_COUNT(names); i++)
        for (unsigned how = 0; how < 3; how++) {
            struct loaded l;
            char problem[ENCODER_PROBLEM_BYTES];
            size_t bytes, used;
            use(&l, small[0]);
            struct odd odd = {&l.config, names[i], how};
            struct tensor_source source = {&odd, odd_shape, odd_read};
            struct encoder_pack_options o = {.tier = nn_tier_best()};
            enum result r = encoder_pack_bytes(&l.config, &source, &o, &bytes, problem);
            if (how != ODD_VALUE) {
                assert_int_equal(r, wants[how]);
                assert_non_null(strstr(problem, names[i]));
            }
            r = encoder_pack(&l.config, &source, &o, block, sizeof block, &used, problem);
            assert_int_equal(r, wants[how]);
            assert_non_null(strstr(problem, names[i]));
            assert_int_equal(used, 0);
        }
}

static bool stop_at(void *ctx, uint32_t done, uint32_t total)
{
    assert_true(done < total);
    return done < *(uint32_t *)ctx;
}

static void pack_limits(void **state)
{
    (void)state;
    struct loaded l;
    char problem[ENCODER_PROBLEM_BYTES];
    static _Alignas(64) char block[1 << 20];
    uint32_t at = 1;
    size_t bytes, used;
    use(&l, small[0]);
    struct encoder_pack_options o = {.tier = nn_tier_best(), .progress = stop_at, .ctx = &at};
    assert_int_equal(encoder_pack_bytes(&l.config, &l.source, &o, &bytes, problem), RESULT_OK);
    assert_true(bytes <= sizeof block);
    assert_int_equal(encoder_pack(&l.config, &l.source, &o, block, bytes, &used, problem),
                     RESULT_CANCELLED);
    at = 2;
    assert_int_equal(encoder_pack(&l.config, &l.source, &o, block, bytes, &used, problem),
                     RESULT_OK);
    assert_true(used <= bytes);
    assert_int_equal(encoder_pack(&l.config, &l.source, &o, block, used - 64, &used, problem),
                     RESULT_LIMIT);
    for (enum nn_tier tier = 0; tier < NN_TIERS; tier++) {
        o.tier = tier;
        if (!nn_tier_has(tier))
            assert_int_equal(encoder_pack(&l.config, &l.source, &o, block, bytes, &used, problem),
                             RESULT_UNSUPPORTED);
    }
}

static void damaged_blocks(void **state)
{
    (void)state;
    struct loaded l;
    struct encoder *e;
    use(&l, small[0]);
    assert_true(load_pack(&l, nn_tier_best(), ENCODER_PLAN_AUTO));
    char *block = l.block;
    assert_int_equal(encoder_open(slice_make(block, 10), &e), RESULT_SYNTAX);
    assert_int_equal(encoder_open(slice_make(block, l.used - 1), &e), RESULT_SYNTAX);
    assert_int_equal(encoder_open(slice_make(block + 1, l.used - 1), &e), RESULT_SYNTAX);
    struct rng rng;
    rng_seed(&rng, 4);
    for (unsigned i = 0; i < 300; i++) { // every kind of place: head, layers, tables, weights
        size_t at = i < 100 ? (size_t)rng_below(&rng, 1024) : (size_t)rng_below(&rng, l.used);
        char bit = (char)(1 << rng_below(&rng, 8));
        block[at] ^= bit;
        enum result r = encoder_open(slice_make(block, l.used), &e);
        assert_true(r == RESULT_SYNTAX || r == RESULT_VERSION);
        assert_null(e);
        block[at] ^= bit;
    }
    assert_int_equal(encoder_open(slice_make(block, l.used), &e), RESULT_OK);
    encoder_close(e);
    load_free(&l);
}

// The n-th allocation fails, for every n, while a model is read, packed, opened and run.
static void out_of_memory(void **state)
{
    (void)state;
    struct loaded l;
    static _Alignas(64) char block[1 << 20];
    uint32_t ids[3] = {1, 2, 3};
    float v[HIDDEN];
    for (size_t m = 0; m < MERIT_COUNT(small); m++)
        for (uint64_t n = 1;; n++) {
            struct encoder *e = NULL;
            struct encoder_scratch *s = NULL;
            char problem[ENCODER_PROBLEM_BYTES];
            size_t used;
            use(&l, small[m]);
            struct encoder_pack_options o = {.tier = nn_tier_best()};
            struct encoder_sequence q = {ids, NULL, 3};
            struct encoder_output out = {.embedding = v};
            alloc_fail_at(n, 0);
            enum result r = encoder_config_read(slice_cstr(small[m]), &l.config, problem);
            if (!r)
                r = encoder_pack(&l.config, &l.source, &o, block, sizeof block, &used, problem);
            if (!r)
                r = encoder_open(slice_make(block, used), &e);
            if (!r)
                r = encoder_scratch_open(e, 10, &s);
            if (!r)
                r = encoder_run(e, s, &q, 1, &out, NULL);
            alloc_fail_at(0, 0);
            encoder_scratch_close(s);
            encoder_close(e);
            if (!r)
                break;
            assert_int_equal(r, RESULT_NOMEM);
            assert_true(n < 1000);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_is_single), cmocka_unit_test(first_row_alone),
        cmocka_unit_test(plans_agree),     cmocka_unit_test(pack_twice),
        cmocka_unit_test(long_input),      cmocka_unit_test(bad_sequences),
        cmocka_unit_test(types_count),     cmocka_unit_test(pools),
        cmocka_unit_test(bad_configs),     cmocka_unit_test(config_styles),
        cmocka_unit_test(bad_weights),     cmocka_unit_test(pack_limits),
        cmocka_unit_test(damaged_blocks),  cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
