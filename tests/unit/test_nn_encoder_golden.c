// nn/encoder against stored outputs of the reference implementations. Skips with a message where the data is absent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "helper/encoder_load.h"
#include "text/json.h"

enum { TOK_MAX = 512 };

struct golden {
    struct buf text, numbers;
    struct arena arena;
    struct json json;
    const float *values;
};

static bool golden_open(struct golden *g, const char *dir, const char *cases, const char *numbers)
{
    char path[1024];
    memset(g, 0, sizeof *g);
    buf_init(&g->text, 64 << 20);
    buf_init(&g->numbers, 64 << 20);
    arena_init(&g->arena, 1 << 16, 256 << 20);
    snprintf(path, sizeof path, "%s/%s", dir, cases);
    if (file_read(path, &g->text))
        return false;
    snprintf(path, sizeof path, "%s/%s", dir, numbers);
    if (file_read(path, &g->numbers))
        return false;
    g->values = (const float *)(const void *)buf_slice(&g->numbers).ptr;
    return true;
}

static void golden_close(struct golden *g)
{
    arena_deinit(&g->arena);
    buf_deinit(&g->text);
    buf_deinit(&g->numbers);
}

static uint32_t get(const struct json *j, uint32_t object, const char *key)
{
    return json_get(j, object, slice_cstr(key), NULL);
}

static uint32_t numbers(const struct json *j, uint32_t array, uint32_t *out, uint32_t most)
{
    uint32_t at = 0, t, n = 0;
    uint64_t v;
    while (n < most && json_element(j, array, &at, &t)) {
        assert_int_equal(json_u64(j, t, &v), RESULT_OK);
        out[n++] = (uint32_t)v;
    }
    return n;
}

// Largest difference to what the case stores under `key`, or 0 when it stores nothing.
static double worst(const struct golden *g, uint32_t row, const char *key, const float *got,
                    uint32_t n)
{
    uint32_t t = get(&g->json, row, key);
    uint64_t at;
    double most = 0;
    if (t == JSON_NONE)
        return 0;
    assert_int_equal(json_u64(&g->json, get(&g->json, t, "offset"), &at), RESULT_OK);
    for (uint32_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)g->values[at + i] - got[i]));
    return most;
}

static double check_case(const struct loaded *l, struct encoder_scratch *s, const struct golden *g,
                         uint32_t c)
{
    static float states[3][TOK_MAX * 64], logits[3][TOK_MAX * 8];
    static uint32_t ids[3][TOK_MAX];
    struct encoder_sequence seq[3];
    struct encoder_output out[3];
    uint32_t at = 0, rows_at = 0, list, row, n = 0;
    double most = 0;
    uint32_t labels = encoder_config(l->encoder)->labels, h = encoder_config(l->encoder)->hidden;
    uint32_t rows[3];
    while (json_element(&g->json, get(&g->json, c, "input_ids"), &at, &list)) {
        uint64_t valid;
        assert_true(json_element(&g->json, get(&g->json, c, "rows"), &rows_at, &row));
        assert_int_equal(json_u64(&g->json, get(&g->json, row, "n"), &valid), RESULT_OK);
        assert_true(numbers(&g->json, list, ids[n], TOK_MAX) >= valid);
        seq[n] = (struct encoder_sequence){ids[n], NULL, (uint32_t)valid};
        out[n] = (struct encoder_output){.states = states[n], .logits = labels ? logits[n] : NULL};
        rows[n++] = row;
    }
    assert_int_equal(encoder_run(l->encoder, s, seq, n, out, NULL), RESULT_OK);
    for (uint32_t i = 0; i < n; i++) {
        bool tokens = encoder_config(l->encoder)->task == ENCODER_TOKENS;
        most = fmax(most, worst(g, rows[i], "last_hidden", states[i], seq[i].count * h));
        most = fmax(
            most, worst(g, rows[i], "logits", logits[i], tokens ? seq[i].count * labels : labels));
    }
    return most;
}

static void check_tiny(const char *name)
{
    char dir[900];
    struct loaded l;
    struct golden g;
    snprintf(dir, sizeof dir, "%s/golden/%s", load_data(), name);
    bool ok = load_folder(&l, dir);
    if (!ok) {
        load_free(&l);
        print_message("skipped: no %s (set MERIT_DATA)\n", dir);
        skip();
    }
    assert_true(golden_open(&g, dir, "cases.json", "outputs.bin"));
    assert_int_equal(json_parse(&g.json, buf_slice(&g.text), &json_limits_default, &g.arena),
                     RESULT_OK);
    for (enum nn_tier tier = 0; tier < NN_TIERS; tier++) {
        if (!nn_tier_has(tier))
            continue;
        struct encoder_scratch *s;
        uint32_t at = 0, c;
        double most = 0;
        assert_true(load_pack(&l, tier, ENCODER_PLAN_F32));
        assert_int_equal(encoder_scratch_open(l.encoder, TOK_MAX, &s), RESULT_OK);
        while (json_element(&g.json, get(&g.json, 0, "cases"), &at, &c))
            most = fmax(most, check_case(&l, s, &g, c));
        print_message("%-28s %-12s f32, largest difference %.1e\n", name, nn_tier_name(tier), most);
        encoder_scratch_close(s);
        assert_true(most <= 5e-5);
    }
    golden_close(&g);
    load_free(&l);
}

#define TINY(test, name)                                                                           \
    static void test(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        check_tiny(name);                                                                          \
    }
TINY(bert_sequence, "bert_tiny/seqcls")
TINY(bert_tokens, "bert_tiny/tokcls")
TINY(xlmr_sequence, "xlmr_tiny/seqcls")
TINY(deberta_sequence, "deberta_tiny/v3_seqcls")
TINY(modernbert_base, "modernbert_tiny/base")
TINY(modernbert_cls, "modernbert_tiny/seqcls_cls")
TINY(modernbert_mean, "modernbert_tiny/seqcls_mean")
TINY(modernbert_tokens, "modernbert_tiny/tokcls")
TINY(modernbert_biases, "modernbert_tiny/seqcls_biases")

struct minilm {
    uint32_t ids[200][TOK_MAX], n[200];
    float vectors[200][384];
};

// The texts' ids, one JSON object a line, and the reference's vectors.
static bool minilm_read(struct minilm *m)
{
    char dir[900];
    struct golden g;
    snprintf(dir, sizeof dir, "%s/golden/minilm", load_data());
    bool ok = golden_open(&g, dir, "texts.jsonl", "vectors.bin");
    struct slice rest = buf_slice(&g.text), line;
    for (uint32_t i = 0; ok && i < 200; i++) {
        assert_true(slice_split(&rest, '\n', &line));
        assert_int_equal(json_parse(&g.json, line, &json_limits_default, &g.arena), RESULT_OK);
        m->n[i] = numbers(&g.json, get(&g.json, 0, "ids"), m->ids[i], TOK_MAX);
    }
    if (ok)
        memcpy(m->vectors, g.values, sizeof m->vectors);
    golden_close(&g);
    return ok;
}

struct figures {
    double mean, least, most; // cosine; largest difference
};

// Over every `step`th text.
static struct figures minilm_run(const struct loaded *l, const struct minilm *m, uint32_t step)
{
    struct encoder_scratch *s;
    struct figures f = {0, 2, 0};
    assert_int_equal(encoder_scratch_open(l->encoder, TOK_MAX, &s), RESULT_OK);
    for (uint32_t i = 0; i < 200; i += step) {
        float v[384];
        struct encoder_sequence seq = {m->ids[i], NULL, m->n[i]};
        struct encoder_output out = {.embedding = v};
        assert_int_equal(encoder_run(l->encoder, s, &seq, 1, &out, NULL), RESULT_OK);
        double c = load_cosine(v, m->vectors[i], 384);
        f.mean += c * step / 200;
        f.least = fmin(f.least, c);
        for (uint32_t k = 0; k < 384; k++)
            f.most = fmax(f.most, fabs((double)v[k] - m->vectors[i][k]));
    }
    encoder_scratch_close(s);
    return f;
}

static const struct {
    enum encoder_plan plan;
    const char *name;
    double mean, least, most;
} plans[] = {
    {ENCODER_PLAN_F32, "f32", 0.9999999, 0.9999999, 2e-6},
    {ENCODER_PLAN_HALF, "half", 0.9999, 0.999, 1},
    {ENCODER_PLAN_AUTO, "auto", 0.999, 0.995, 1},
    {ENCODER_PLAN_INT8, "int8", 0.998, 0.99, 1},
};

// All 200 texts for what serves by default, a sample for the rest; sanitizers look at memory, not at figures.
static uint32_t minilm_step(enum nn_tier tier, enum encoder_plan plan)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)tier;
    (void)plan;
    return 100;
#else
    bool serves = plan == ENCODER_PLAN_AUTO && (tier == nn_tier_best() || tier == NN_AVX2);
    return serves || (plan == ENCODER_PLAN_F32 && tier == nn_tier_best()) ? 1 : 8;
#endif
}

static void minilm_vectors(void **state)
{
    (void)state;
    static struct minilm m;
    struct loaded l;
    const char *dir = getenv("MERIT_MINILM");
    if (!dir || !load_folder(&l, dir) || !minilm_read(&m)) {
        print_message("skipped: MERIT_MINILM is not a folder with all-MiniLM-L6-v2\n");
        skip();
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const enum nn_tier first = nn_tier_best();
#else
    const enum nn_tier first = NN_SCALAR + 1;
#endif
    for (enum nn_tier tier = first; tier < NN_TIERS; tier++)
        for (size_t i = 0; nn_tier_has(tier) && i < MERIT_COUNT(plans); i++) {
            assert_true(load_pack(&l, tier, plans[i].plan));
            uint32_t step = minilm_step(tier, plans[i].plan);
            struct figures f = minilm_run(&l, &m, step);
            print_message("MiniLM %-12s %-4s %5.1f MB, cosine mean %.6f least %.6f, largest "
                          "difference %.1e\n",
                          nn_tier_name(tier), plans[i].name, (double)l.used / 1e6, f.mean, f.least,
                          f.most);
            assert_true(f.least >= plans[i].least && f.most <= plans[i].most);
            if (step <= 8) // a mean of two texts is none
                assert_true(f.mean >= plans[i].mean);
        }
    load_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_sequence),     cmocka_unit_test(bert_tokens),
        cmocka_unit_test(xlmr_sequence),     cmocka_unit_test(deberta_sequence),
        cmocka_unit_test(modernbert_base),   cmocka_unit_test(modernbert_cls),
        cmocka_unit_test(modernbert_mean),   cmocka_unit_test(modernbert_tokens),
        cmocka_unit_test(modernbert_biases), cmocka_unit_test(minilm_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
