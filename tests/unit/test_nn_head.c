// nn/head and nn/ngram: answers equal those of plain arithmetic, features are what the header says, every kind of damage has
// its name, every allocation fails in turn, and the heads of the program open.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "nn/head.h"
#include "nn/safetensors.h"

enum { BITS = 8, BUCKETS = 1 << BITS, LABELS = 3, DIM = 11, INPUTS = DIM + LABELS };

struct parts {
    uint32_t spec[6];
    int8_t weight[BUCKETS * LABELS];
    uint8_t idf[BUCKETS];
    float scale[LABELS], bias[LABELS], calibration[LABELS + 1], enough[1];
    float second[LABELS * INPUTS], second_bias[LABELS], second_calibration[LABELS + 1];
};

static void make_parts(struct parts *p)
{
    struct rng rng;
    rng_seed(&rng, 4);
    *p = (struct parts){.spec = {2, 4, 2, BITS, NGRAM_FOLD | NGRAM_SKELETON, 4096},
                        .enough = {0.5f}};
    for (int i = 0; i < BUCKETS * LABELS; i++)
        p->weight[i] = (int8_t)((int)rng_below(&rng, 255) - 127);
    for (int i = 0; i < BUCKETS; i++)
        p->idf[i] = (uint8_t)rng_below(&rng, 256);
    for (int i = 0; i < LABELS; i++) {
        p->scale[i] = 0.01f + (float)rng_unit(&rng) / 50;
        p->bias[i] = (float)rng_unit(&rng);
        p->second_bias[i] = (float)rng_unit(&rng);
    }
    p->calibration[0] = p->second_calibration[0] = 1.5f;
    p->calibration[2] = 0.25f;
    for (int i = 0; i < LABELS * INPUTS; i++)
        p->second[i] = (float)rng_unit(&rng) * 2 - 1;
}

static const struct safetensors_metadata meta[] = {
    {SLICE("merit.head"), SLICE("1")},
    {SLICE("signal"), SLICE("colour")},
    {SLICE("labels"), SLICE("[\"red\",\"green\",\"blue\"]")},
    {SLICE("encoder"), SLICE("tiny")},
    {SLICE("encoder.digest"), SLICE("00ff00ff00ff00ff")},
    {SLICE("encoder.dim"), SLICE("11")},
    {SLICE("stacked"), SLICE("true")},
};

static void write_head(const struct parts *p, struct buf *out)
{
    const struct safetensors_entry e[] = {
        {SLICE("first.spec"), NUMBER_U32, {1, {6}}, p->spec},
        {SLICE("first.weight"), NUMBER_I8, {2, {BUCKETS, LABELS}}, p->weight},
        {SLICE("first.idf"), NUMBER_U8, {1, {BUCKETS}}, p->idf},
        {SLICE("first.scale"), NUMBER_F32, {1, {LABELS}}, p->scale},
        {SLICE("first.bias"), NUMBER_F32, {1, {LABELS}}, p->bias},
        {SLICE("first.calibration"), NUMBER_F32, {1, {LABELS + 1}}, p->calibration},
        {SLICE("first.enough"), NUMBER_F32, {1, {1}}, p->enough},
        {SLICE("second.weight"), NUMBER_F32, {2, {LABELS, INPUTS}}, p->second},
        {SLICE("second.bias"), NUMBER_F32, {1, {LABELS}}, p->second_bias},
        {SLICE("second.calibration"), NUMBER_F32, {1, {LABELS + 1}}, p->second_calibration},
    };
    buf_init(out, 1 << 20);
    assert_int_equal(safetensors_write(out, e, MERIT_COUNT(e), meta, MERIT_COUNT(meta)), RESULT_OK);
}

static void softmax(const double *x, double *p)
{
    double sum = 0;
    for (int i = 0; i < LABELS; i++)
        sum += p[i] = exp(x[i]);
    for (int i = 0; i < LABELS; i++)
        p[i] /= sum;
}

static void answers_are_those_of_plain_arithmetic(void **state)
{
    (void)state;
    static struct parts p;
    struct buf file;
    struct head *h;
    struct head_scratch *s;
    struct ngram_scratch *n;
    char problem[HEAD_PROBLEM_BYTES];
    const uint32_t *buckets;
    make_parts(&p);
    write_head(&p, &file);
    assert_int_equal(head_open(buf_slice(&file), problem, &h), RESULT_OK);
    assert_int_equal(head_scratch_open(&s), RESULT_OK);
    assert_int_equal(ngram_scratch_open(BITS, 4096, &n), RESULT_OK);
    const struct head_info *info = head_info(h);
    assert_true(info->first && info->second && info->stacked && info->dim == DIM);
    assert_int_equal(head_label(h, SLICE("green")), 1);
    assert_int_equal(head_label(h, SLICE("grey")), UINT32_MAX);
    const struct slice text = SLICE("A mid-size text, of three colours: red, GREEN, blue.");
    uint32_t count = ngram_features(&head_ngram(h)->spec, n, text, &buckets);
    double raw[LABELS], q[LABELS], x[LABELS], square = 0, mean = 0, in[INPUTS];
    for (uint32_t k = 0; k < count; k++)
        square += p.idf[buckets[k]] * p.idf[buckets[k]];
    for (int c = 0; c < LABELS; c++) {
        double sum = 0;
        for (uint32_t k = 0; k < count; k++)
            sum += p.idf[buckets[k]] * p.weight[buckets[k] * LABELS + c];
        raw[c] = p.bias[c] + p.scale[c] * sum / sqrt(square);
        x[c] = p.calibration[0] * raw[c] + p.calibration[1 + c];
        mean += x[c] / LABELS;
    }
    softmax(x, q);
    float first[LABELS], logits[LABELS], second[LABELS], e[DIM];
    head_first(h, s, text, logits, first);
    for (int c = 0; c < LABELS; c++) {
        assert_float_equal(first[c], q[c], 1e-5);
        assert_float_equal(logits[c], (x[c] - mean) / 16, 1e-5);
    }
    assert_int_equal(head_enough(h, first), q[head_best(first, LABELS)] >= 0.5);
    for (int i = 0; i < DIM; i++)
        in[i] = e[i] = (float)i / 7 - 1;
    for (int i = 0; i < LABELS; i++)
        in[DIM + i] = logits[i];
    for (int c = 0; c < LABELS; c++) {
        double sum = p.second_bias[c];
        for (int i = 0; i < INPUTS; i++)
            sum += p.second[c * INPUTS + i] * in[i];
        x[c] = p.second_calibration[0] * sum + p.second_calibration[1 + c];
    }
    softmax(x, q);
    head_second(h, s, e, logits, second);
    for (int c = 0; c < LABELS; c++)
        assert_float_equal(second[c], q[c], 1e-5);
    assert_int_equal(head_fits(h, SLICE("00ff00ff00ff00ff"), DIM, problem), RESULT_OK);
    assert_int_equal(head_fits(h, SLICE("00ff00ff00ff00ff"), DIM + 1, problem), RESULT_VERSION);
    assert_int_equal(head_fits(h, SLICE("11ff00ff00ff00ff"), DIM, problem), RESULT_VERSION);
    assert_non_null(strstr(problem, "tiny"));
    head_close(h);
    head_scratch_close(s);
    ngram_scratch_close(n);
    buf_deinit(&file);
}

// Distinct, below the limit, the same for any case and the same again; a text is the union of its words' n-grams.
static void features_are_distinct_and_stable(void **state)
{
    (void)state;
    struct ngram_scratch *s;
    const uint32_t *b;
    static uint32_t kept[4096];
    const struct ngram_spec spec = {3, 5, 2, 16, NGRAM_FOLD | NGRAM_DIGITS, 4096};
    assert_int_equal(ngram_scratch_open(16, 4096, &s), RESULT_OK);
    uint32_t n = ngram_features(&spec, s, SLICE("Route 66 is long"), &b);
    memcpy(kept, b, n * sizeof *b);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(b[i] < 1 << 16);
        for (uint32_t k = 0; k < i; k++)
            assert_int_not_equal(b[i], b[k]);
    }
    // " route ": 5 + 4 + 3 n-grams; " 00 ": 2 + 1; " is ": 2 + 1; " long ": 4 + 3 + 2; 4 words, 3 pairs of words.
    assert_int_equal(n, 12 + 3 + 3 + 9 + 4 + 3);
    assert_int_equal(ngram_features(&spec, s, SLICE("ROUTE 71 IS LONG"), &b), n);
    assert_memory_equal(b, kept, n * sizeof *b);
    assert_int_equal(ngram_features(&spec, s, SLICE(""), &b), 0);
    assert_int_equal(ngram_features(&spec, s, SLICE(" \t\n"), &b), 0);
    // One endless word, and bytes that are no UTF-8: bounded and without a crash.
    char *long_word = malloc(1 << 20);
    assert_non_null(long_word);
    struct rng rng;
    rng_seed(&rng, 9);
    for (int i = 0; i < 1 << 20; i++)
        long_word[i] = (char)rng_next(&rng);
    assert_true(ngram_features(&spec, s, slice_make(long_word, 1 << 20), &b) <= 65536);
    memset(long_word, 'x', 1 << 20);
    assert_true(ngram_features(&spec, s, slice_make(long_word, 1 << 20), &b) < 40);
    free(long_word);
    ngram_scratch_close(s);
}

static void specs_have_limits(void **state)
{
    (void)state;
    const struct ngram_spec good = {3, 5, 2, 16, NGRAM_FOLD, 4096};
    struct ngram_spec s = good;
    assert_int_equal(ngram_spec_check(&s), RESULT_OK);
    s.char_max = 7;
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
    s = good, s.char_min = 6;
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
    s = good, s.bucket_bits = 21;
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
    s = good, s.flags = 64;
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
    s = good, s.text_max = 0;
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
    s = (struct ngram_spec){0, 0, 0, 16, 0, 4096};
    assert_int_equal(ngram_spec_check(&s), RESULT_RANGE);
}

static void damage_is_told(void **state)
{
    (void)state;
    static struct parts p;
    struct buf file;
    struct head *h;
    char problem[HEAD_PROBLEM_BYTES];
    make_parts(&p);
    write_head(&p, &file);
    for (size_t len = 0; len < file.len; len += len < 3000 ? 13 : 501) {
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, file.ptr, len);
        assert_int_not_equal(head_open(slice_make(copy, len), problem, &h), RESULT_OK);
        assert_true(problem[0] != 0);
        free(copy);
    }
    struct rng rng;
    rng_seed(&rng, 6);
    for (int i = 0; i < 3000; i++) {
        size_t at = rng_below(&rng, file.len < 3000 ? file.len : 3000);
        char was = file.ptr[at];
        file.ptr[at] = (char)rng_next(&rng);
        if (!head_open(buf_slice(&file), problem, &h))
            head_close(h);
        file.ptr[at] = was;
    }
    buf_deinit(&file);
    p.second[3] = NAN;
    write_head(&p, &file);
    assert_int_equal(head_open(buf_slice(&file), problem, &h), RESULT_RANGE);
    assert_non_null(strstr(problem, "second.weight"));
    buf_deinit(&file);
    p.second[3] = 0;
    p.spec[3] = 9;
    write_head(&p, &file);
    assert_int_equal(head_open(buf_slice(&file), problem, &h), RESULT_SYNTAX);
    buf_deinit(&file);
}

static void memory_runs_out(void **state)
{
    (void)state;
    static struct parts p;
    struct buf file;
    struct head *h;
    struct head_scratch *s;
    make_parts(&p);
    write_head(&p, &file);
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        alloc_fail_at(n, 0);
        r = head_open(buf_slice(&file), NULL, &h);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    head_close(h);
    r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        alloc_fail_at(n, 0);
        r = head_scratch_open(&s);
        alloc_fail_at(0, 0);
    }
    head_scratch_close(s);
    buf_deinit(&file);
}

static void heads_of_the_program_open(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob(MERIT_SOURCE_DIR "/models/heads/*.safetensors", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct buf file;
        struct head *h;
        struct head_scratch *s;
        char problem[HEAD_PROBLEM_BYTES];
        if (strstr(found.gl_pathv[i], "/language."))
            continue;
        buf_init(&file, HEAD_FILE_MAX);
        assert_int_equal(file_read(found.gl_pathv[i], &file), RESULT_OK);
        assert_int_equal(head_open(buf_slice(&file), problem, &h), RESULT_OK);
        const struct head_info *info = head_info(h);
        assert_true(info->first && info->second && info->data.len && info->licence.len);
        assert_true(info->date.len && info->metrics.len && info->command.len && info->seed.len);
        float p[HEAD_LABELS_MAX], sum = 0;
        assert_int_equal(head_scratch_open(&s), RESULT_OK);
        head_first(h, s, SLICE("What is the derivative of sin x?"), NULL, p);
        for (uint32_t k = 0; k < info->label_count; k++)
            sum += p[k];
        assert_float_equal(sum, 1, 1e-4);
        head_scratch_close(s);
        head_close(h);
        buf_deinit(&file);
    }
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_plain_arithmetic),
        cmocka_unit_test(features_are_distinct_and_stable),
        cmocka_unit_test(specs_have_limits),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(heads_of_the_program_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
