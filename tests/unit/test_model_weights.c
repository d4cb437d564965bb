// The real models, text to answer, against the golden data; where they are installed ($MERIT_MODELS, or else where
// `merit model pull --default` puts them). What is absent is skipped and said.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/model.h"
#include "model_folder.h"
#include "text/json.h"

enum { DIM = 384, LABELS = 35, TOK_MAX = 512, LINES_MAX = 16 * 1024 * 1024 };

static struct model_places places;
static struct model_trouble trouble;

static int begin(void **state)
{
    if (make_tmp(state))
        return -1;
    model_places_init(&places);
    snprintf(places.cache, sizeof places.cache, "%.200s/cache", tmp);
    return 0;
}

static struct model *open_or_skip(const char *name, enum encoder_plan plan)
{
    struct model *m;
    struct model_options o = {.places = &places, .plan = plan};
    enum result r = model_open(&m, name, &o, &trouble);
    if (r == RESULT_NOT_FOUND) {
        print_message("skipped: %s\n", trouble.why);
        skip();
    }
    if (r)
        fail_msg("%s", trouble.why);
    return m;
}

static bool read_golden(const char *name, struct buf *out)
{
    const char *path = golden(name);
    if (!path) {
        print_message("skipped: no golden data; MERIT_DATA names its folder\n");
        return false;
    }
    assert_int_equal(file_read(path, out), RESULT_OK);
    return true;
}

// A line of a golden file.
struct line {
    struct json json;
    struct slice text;
    uint32_t ids[TOK_MAX], count;
    uint32_t labels[TOK_MAX];
};

static uint32_t read_numbers(const struct json *j, const char *key, uint32_t *out)
{
    uint32_t list = json_get(j, 0, slice_cstr(key), NULL), at = 0, value, n = 0;
    uint64_t v;
    if (list == JSON_NONE)
        return 0;
    while (json_element(j, list, &at, &value)) {
        assert_true(n < TOK_MAX);
        assert_int_equal(json_u64(j, value, &v), RESULT_OK);
        out[n++] = (uint32_t)v;
    }
    return n;
}

static void read_line(struct slice text, struct line *l, struct arena *arena)
{
    arena_reset(arena);
    assert_int_equal(json_parse(&l->json, text, &json_limits_default, arena), RESULT_OK);
    l->text = json_string(&l->json, json_get(&l->json, 0, SLICE("text"), NULL), arena);
    l->count = read_numbers(&l->json, "ids", l->ids);
    uint32_t labels = read_numbers(&l->json, "label", l->labels);
    assert_true(!labels || labels == l->count);
}

// A pass over the text, whose ids must be the golden ones.
static void run(const struct model *m, struct tokenizer_scratch *ts, struct encoder_scratch *es,
                const struct line *l, struct encoder_output *out)
{
    const struct token *tokens;
    struct tokenizer_options options = {.max_tok = TOK_MAX};
    uint32_t count;
    assert_int_equal(
        tokenizer_encode(m->tokenizer, ts, l->text, SLICE_EMPTY, &options, &tokens, &count),
        RESULT_OK);
    assert_int_equal(count, l->count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(tokens[i].id, l->ids[i]);
    struct encoder_sequence sequence = {l->ids, NULL, count};
    assert_int_equal(encoder_run(m->encoder, es, &sequence, 1, out, NULL), RESULT_OK);
}

struct bench {
    struct model *m;
    struct tokenizer_scratch *ts;
    struct encoder_scratch *es;
    struct arena arena;
    struct buf lines, numbers;
    struct line line;
};

static void bench_open(struct bench *b, const char *name, enum encoder_plan plan, const char *lines,
                       const char *numbers)
{
    memset(b, 0, sizeof *b);
    b->m = open_or_skip(name, plan);
    buf_init(&b->lines, LINES_MAX);
    buf_init(&b->numbers, LINES_MAX);
    if (!read_golden(lines, &b->lines) || !read_golden(numbers, &b->numbers)) {
        buf_deinit(&b->lines);
        model_unref(b->m);
        skip();
    }
    arena_init(&b->arena, 1 << 20, 1 << 26);
    assert_int_equal(tokenizer_scratch_open(b->m->tokenizer, &b->ts), RESULT_OK);
    assert_int_equal(encoder_scratch_open(b->m->encoder, TOK_MAX, &b->es), RESULT_OK);
}

static void bench_close(struct bench *b)
{
    tokenizer_scratch_close(b->ts);
    encoder_scratch_close(b->es);
    arena_deinit(&b->arena);
    buf_deinit(&b->lines);
    buf_deinit(&b->numbers);
    model_unref(b->m);
}

static void minilm(void **state)
{
    (void)state;
    static struct bench b;
    static const struct {
        enum encoder_plan plan;
        uint32_t step;
        double most, cos_min;
    } plans[] = {{ENCODER_PLAN_F32, 5, 2e-6, 0.999999}, {ENCODER_PLAN_AUTO, 5, 1, 0.995}};
    for (size_t p = 0; p < MERIT_COUNT(plans); p++) {
        struct slice line;
        double most = 0, least = 1;
        float got[DIM];
        uint32_t n = 0;
        bench_open(&b, "all-minilm-l6-v2", plans[p].plan, "minilm/texts.jsonl",
                   "minilm/vectors.bin");
        struct slice rest = buf_slice(&b.lines);
        for (; slice_split(&rest, '\n', &line) && line.len; n++) {
            float want[DIM];
            double dot = 0;
            if (n % plans[p].step)
                continue;
            assert_true((n + 1) * sizeof want <= b.numbers.len);
            memcpy(want, b.numbers.ptr + n * sizeof want, sizeof want);
            read_line(line, &b.line, &b.arena);
            run(b.m, b.ts, b.es, &b.line, &(struct encoder_output){.embedding = got});
            for (int i = 0; i < DIM; i++) {
                most = fmax(most, fabs((double)got[i] - (double)want[i]));
                dot += (double)got[i] * (double)want[i];
            }
            least = fmin(least, dot);
        }
        print_message("%u texts, plan %d: largest difference %.1e, least cosine %.7f\n", n,
                      (int)plans[p].plan, most, least);
        assert_int_equal(n, 200);
        assert_true(most <= plans[p].most && least >= plans[p].cos_min);
        assert_true(slice_eq_cstr(b.m->weights_hex, catalog[0].files[0].sha256));
        assert_int_equal(b.m->length_tok, 256);
        bench_close(&b);
    }
}

static uint32_t argmax(const float *v, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return best;
}

static void rampart(void **state)
{
    (void)state;
    static struct bench b;
    static float got[TOK_MAX * LABELS];
    static const struct {
        enum encoder_plan plan;
        double agree; // share of labels
        double most;  // of a logit
    } plans[] = {{ENCODER_PLAN_F32, 1, 1e-4}, {ENCODER_PLAN_AUTO, 0.99, 100}};
    for (size_t p = 0; p < MERIT_COUNT(plans); p++) {
        struct slice line;
        uint32_t tokens = 0, same = 0;
        double most = 0;
        size_t at = 0;
        bench_open(&b, "rampart", plans[p].plan, "rampart/cases.jsonl", "rampart/logits.bin");
        assert_int_equal(b.m->label_count, LABELS);
        assert_true(slice_eq_cstr(b.m->labels[1], "B-GIVEN_NAME"));
        struct slice rest = buf_slice(&b.lines);
        for (uint32_t n = 0; slice_split(&rest, '\n', &line) && line.len; n++) {
            read_line(line, &b.line, &b.arena);
            run(b.m, b.ts, b.es, &b.line, &(struct encoder_output){.logits = got});
            for (uint32_t i = 0; i < b.line.count; i++)
                same += argmax(got + i * LABELS, LABELS) == b.line.labels[i];
            tokens += b.line.count;
            // meta.json: the cases whose logits are stored, one after the other
            if (n != 2 && n != 3 && n != 10 && n != 23 && n != 59)
                continue;
            for (uint32_t i = 0; i < b.line.count * LABELS; i++, at += sizeof(float)) {
                float want;
                assert_true(at + sizeof want <= b.numbers.len);
                memcpy(&want, b.numbers.ptr + at, sizeof want);
                most = fmax(most, fabs((double)got[i] - (double)want));
            }
        }
        print_message("plan %d: %u of %u labels the same, largest difference of a logit %.1e\n",
                      (int)plans[p].plan, same, tokens, most);
        assert_int_equal(at, b.numbers.len);
        assert_true(same >= plans[p].agree * tokens && most <= plans[p].most);
        bench_close(&b);
    }
}

static uint64_t thread_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// From the packed cache: the best of some, and of this thread's own time, because others may be using the machine.
static void ready_ms(void **state)
{
    (void)state;
    uint64_t sum = 0, bytes = 0;
    for (uint32_t i = 0; i < catalog_count; i++) {
        uint64_t best = UINT64_MAX;
        if (!catalog[i].in_default)
            continue;
        for (int k = 0; k < 6; k++) {
            uint64_t began = thread_us();
            struct model *m = open_or_skip(catalog[i].name, ENCODER_PLAN_AUTO);
            uint64_t took = thread_us() - began;
            assert_int_equal(m->from_cache, k > 0);
            if (m->from_cache && took < best)
                best = took;
            if (k == 5)
                bytes += m->bytes;
            model_unref(m);
        }
        sum += best;
    }
    print_message("default pack: ready in %.1f ms, %.1f MB mapped\n", (double)sum / 1e3,
                  (double)bytes / 1e6);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(sum < 200 * 1000);
#endif
    assert_true(bytes < 120u * 1000 * 1000);
}

static void two_exports_of_the_same_weights(void **state)
{
    (void)state;
    struct line *l = calloc(1, sizeof *l);
    const char *const names[] = {"all-minilm-l6-v2", "all-minilm-l6-v2-onnx"};
    float out[2][DIM];
    assert_non_null(l);
    l->text = SLICE("A routed request has a price.");
    for (int i = 0; i < 2; i++) {
        struct model_info info;
        if (model_find(&places, names[i], &info) || !info.installed) {
            print_message("skipped: the model %s is not installed\n", names[i]);
            free(l);
            skip();
        }
    }
    for (int i = 0; i < 2; i++) {
        struct model *m = open_or_skip(names[i], ENCODER_PLAN_F32);
        struct tokenizer_scratch *ts;
        struct encoder_scratch *es;
        const struct token *tokens;
        struct tokenizer_options options = {.max_tok = TOK_MAX};
        assert_int_equal(tokenizer_scratch_open(m->tokenizer, &ts), RESULT_OK);
        assert_int_equal(encoder_scratch_open(m->encoder, TOK_MAX, &es), RESULT_OK);
        assert_int_equal(
            tokenizer_encode(m->tokenizer, ts, l->text, SLICE_EMPTY, &options, &tokens, &l->count),
            RESULT_OK);
        for (uint32_t k = 0; k < l->count; k++)
            l->ids[k] = tokens[k].id;
        run(m, ts, es, l, &(struct encoder_output){.embedding = out[i]});
        tokenizer_scratch_close(ts);
        encoder_scratch_close(es);
        model_unref(m);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    free(l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, drop_tmp)
    const struct CMUnitTest tests[] = {
        TEST(minilm),
        TEST(rampart),
        TEST(ready_ms),
        TEST(two_exports_of_the_same_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
