// model/folder: what is found in a folder, what is missing, what is refused; digests; shards; failures of files and memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "model/folder.h"
#include "model_folder.h"

static char problem[FOLDER_PROBLEM_BYTES];
static const float weights[4] = {1, 2, 3, 4};

static void put_weights(const char *name, const char *tensor)
{
    struct buf b;
    struct safetensors_entry e = {slice_cstr(tensor), NUMBER_F32, {2, {2, 2}}, weights};
    buf_init(&b, 1 << 20);
    assert_int_equal(safetensors_write(&b, &e, 1, NULL, 0), RESULT_OK);
    put(name, buf_slice(&b));
    buf_deinit(&b);
}

static void put_model(void)
{
    put_text("m/config.json", "{\"model_type\":\"bert\",\"id2label\":{\"1\":\"B-X\",\"0\":\"O\"}}");
    put_text("m/tokenizer.json", "{}");
    put_weights("m/model.safetensors", "a");
}

static enum result scan_only(void)
{
    struct folder f;
    enum result r = folder_scan(&f, in_tmp("m"), problem);
    if (!r)
        folder_close(&f);
    else
        assert_true(problem[0]);
    return r;
}

static void finds_what_is_there(void **state)
{
    (void)state;
    struct folder f;
    struct folder_weights w;
    struct tensor_shape shape;
    float out[4];
    put_model();
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_int_equal(f.label_count, 2);
    assert_true(slice_eq_cstr(f.labels[0], "O") && slice_eq_cstr(f.labels[1], "B-X"));
    assert_false(f.pool_known || f.normalise || f.length_tok);
    assert_int_equal(folder_load(&f, &w, problem), RESULT_OK);
    assert_int_equal(w.source.shape(w.source.ctx, SLICE("a"), &shape), RESULT_OK);
    assert_int_equal(w.source.shape(w.source.ctx, SLICE("b"), &shape), RESULT_NOT_FOUND);
    assert_int_equal(w.source.read(w.source.ctx, SLICE("a"), 0, 2, out), RESULT_OK);
    assert_memory_equal(out, weights, sizeof out);
    assert_int_equal(w.source.read(w.source.ctx, SLICE("b"), 0, 2, out), RESULT_NOT_FOUND);
    folder_unload(&w);
    folder_close(&f);
}

static void sentence_transformers(void **state)
{
    (void)state;
    struct folder f;
    put_model();
    put_text("m/modules.json",
             "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"},"
             "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"pool\"},"
             "{\"type\":\"sentence_transformers.models.Normalize\",\"path\":\"2\"}]");
    put_text("m/pool/config.json", "{\"pooling_mode_cls_token\":true}");
    put_text("m/sentence_bert_config.json", "{\"max_seq_length\":256}");
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_true(f.pool_known && f.pool == ENCODER_POOL_CLS && f.normalise && f.length_tok == 256);
    folder_close(&f);
    put_text("m/pool/config.json", "{\"pooling_mode\":\"mean\"}");
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_true(f.pool_known && f.pool == ENCODER_POOL_MEAN);
    folder_close(&f);
    put_text("m/pool/config.json", "{\"pooling_mode_max_tokens\":true}");
    assert_int_equal(scan_only(), RESULT_UNSUPPORTED);
    put_text("m/pool/config.json",
             "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}");
    assert_int_equal(scan_only(), RESULT_UNSUPPORTED);
    put_text("m/pool/config.json", "[]");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
    put_text("m/pool/config.json", "{}");
    put_text("m/modules.json", "[{\"type\":\"x.Dense\",\"path\":\"2_Dense\"}]");
    assert_int_equal(scan_only(), RESULT_UNSUPPORTED);
    assert_non_null(strstr(problem, "x.Dense"));
    put_text("m/modules.json", "[{\"type\":\"x.Pooling\",\"path\":\"../../etc\"}]");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
    put_text("m/modules.json", "[1]");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
    put_text("m/modules.json", "[{\"type\":\"x.Transformer\",\"path\":\"0\"}]");
    assert_int_equal(scan_only(), RESULT_NOT_FOUND);
    assert_non_null(strstr(problem, "0/config.json"));
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const files[] = {"m/config.json", "m/tokenizer.json", "m/model.safetensors"};
    for (size_t i = 0; i < MERIT_COUNT(files); i++) {
        put_model();
        assert_int_equal(unlink(in_tmp(files[i])), 0);
        assert_int_equal(scan_only(), RESULT_NOT_FOUND);
        assert_non_null(strstr(problem, i == 2 ? "no model.safetensors" : files[i]));
    }
    struct folder f;
    assert_int_equal(folder_scan(&f, in_tmp("none"), problem), RESULT_NOT_FOUND);
}

static void labels_are_a_list(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum result r;
        uint32_t labels;
    } cases[] = {
        {"{}", RESULT_OK, 0},
        {"{\"id2label\":{}}", RESULT_OK, 0},
        {"{\"id2label\":null}", RESULT_OK, 0},
        {"{\"id2label\":{\"0\":\"\"}}", RESULT_OK, 1},
        {"{\"id2label\":{\"0\":\"a\",\"2\":\"b\"}}", RESULT_SYNTAX, 0},
        {"{\"id2label\":{\"0\":\"a\",\"0\":\"b\"}}", RESULT_SYNTAX, 0},
        {"{\"id2label\":{\"0\":\"a\",\"00\":\"b\"}}", RESULT_SYNTAX, 0},
        {"{\"id2label\":{\"-1\":\"a\"}}", RESULT_SYNTAX, 0},
        {"{\"id2label\":{\"0\":1}}", RESULT_SYNTAX, 0},
        {"{\"id2label\":{\"0\":\"a\\u0000b\"}}", RESULT_SYNTAX, 0},
        {"[]", RESULT_SYNTAX, 0},
        {"{", RESULT_SYNTAX, 0},
        {"", RESULT_SYNTAX, 0},
    };
    put_model();
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct folder f;
        put_text("m/config.json", cases[i].config);
        enum result r = folder_scan(&f, in_tmp("m"), problem);
        if (r != cases[i].r)
            fail_msg("%s: %s, %s", cases[i].config, result_name(r), problem);
        if (!r) {
            assert_int_equal(f.label_count, cases[i].labels);
            folder_close(&f);
        }
    }
}

static void shards(void **state)
{
    (void)state;
    struct folder f;
    struct folder_weights w;
    float out[4];
    put_model();
    assert_int_equal(unlink(in_tmp("m/model.safetensors")), 0);
    put_weights("m/model-2.safetensors", "b");
    put_weights("m/model-1.safetensors", "a");
    put_text("m/model.safetensors.index.json",
             "{\"weight_map\":{\"b\":\"model-2.safetensors\",\"a\":\"model-1.safetensors\","
             "\"c\":\"model-2.safetensors\"}}");
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_int_equal(folder_load(&f, &w, problem), RESULT_OK);
    assert_int_equal(w.count, 2);
    assert_int_equal(w.source.read(w.source.ctx, SLICE("a"), 0, 2, out), RESULT_OK);
    assert_int_equal(w.source.read(w.source.ctx, SLICE("b"), 1, 1, out), RESULT_OK);
    assert_int_equal(w.source.read(w.source.ctx, SLICE("c"), 0, 1, out), RESULT_NOT_FOUND);
    folder_unload(&w);
    folder_close(&f);
    assert_int_equal(unlink(in_tmp("m/model-1.safetensors")), 0);
    assert_int_equal(scan_only(), RESULT_NOT_FOUND);
    assert_non_null(strstr(problem, "model-1.safetensors"));
    put_text("m/model.safetensors.index.json", "{\"weight_map\":{\"b\":\"/etc/passwd\"}}");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
    put_text("m/model.safetensors.index.json", "{\"weight_map\":{\"b\":\"x/../../y\"}}");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
    put_text("m/model.safetensors.index.json", "{\"weight_map\":{}}");
    assert_int_equal(scan_only(), RESULT_NOT_FOUND);
    put_text("m/model.safetensors.index.json", "{}");
    assert_int_equal(scan_only(), RESULT_SYNTAX);
}

static void digest_of(struct folder_digest *out, const char *name)
{
    struct folder f;
    assert_int_equal(folder_scan(&f, in_tmp(name), problem), RESULT_OK);
    assert_int_equal(folder_digest(&f, out, problem), RESULT_OK);
    folder_close(&f);
}

static void digests(void **state)
{
    (void)state;
    struct folder_digest one, two;
    uint8_t weights_sum[SHA256_BYTES];
    struct mapped m;
    struct folder f;
    struct folder_weights w;
    put_model();
    digest_of(&one, "m");
    digest_of(&two, "m");
    assert_memory_equal(&one, &two, sizeof one);
    assert_int_equal(rename(in_tmp("m"), in_tmp("n")), 0);
    digest_of(&two, "n");
    assert_memory_equal(&one, &two, sizeof one);
    put_model();
    put_text("m/README.md", "not part of the model");
    digest_of(&two, "m");
    assert_memory_equal(&one, &two, sizeof one);
    put_text("m/tokenizer.json", "{ }");
    digest_of(&two, "m");
    assert_memory_not_equal(one.all, two.all, sizeof one.all);
    assert_memory_equal(one.weights, two.weights, sizeof one.weights);
    assert_int_equal(mapped_open(in_tmp("m/model.safetensors"), 1 << 20, &m), RESULT_OK);
    sha256_of(m.bytes, weights_sum);
    mapped_close(&m);
    assert_memory_equal(one.weights, weights_sum, sizeof weights_sum);
    // Changed between the scan and the reading.
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    put_weights("m/model.safetensors", "b");
    assert_int_equal(folder_digest(&f, &two, problem), RESULT_AGAIN);
    assert_int_equal(folder_load(&f, &w, problem), RESULT_AGAIN);
    assert_int_equal(unlink(in_tmp("m/model.safetensors")), 0);
    assert_int_equal(folder_digest(&f, &two, problem), RESULT_NOT_FOUND);
    assert_non_null(strstr(problem, "model.safetensors"));
    folder_close(&f);
}

static void damaged_weights(void **state)
{
    (void)state;
    struct folder f;
    struct folder_weights w;
    put_model();
    put_text("m/model.safetensors", "\2\0\0\0\0\0\0\0{");
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_int_equal(folder_load(&f, &w, problem), RESULT_EOF);
    assert_non_null(strstr(problem, "m/model.safetensors: "));
    folder_close(&f);
    assert_int_equal(unlink(in_tmp("m/model.safetensors")), 0);
    assert_int_equal(mkdir(in_tmp("m/model.safetensors"), 0700), 0);
    assert_int_equal(scan_only(), RESULT_IO);
    assert_int_equal(rmdir(in_tmp("m/model.safetensors")), 0);
    assert_int_equal(mkfifo(in_tmp("m/model.safetensors"), 0600), 0);
    assert_int_equal(scan_only(), RESULT_IO);
    assert_int_equal(unlink(in_tmp("m/model.safetensors")), 0);
    put_text("m/one.onnx", "");
    put_text("m/two.onnx", "");
    assert_int_equal(scan_only(), RESULT_UNSUPPORTED);
    put_text("m/model.onnx", "");
    assert_int_equal(scan_only(), RESULT_OK);
    put_text("m/onnx/model_q4.onnx", "");
    assert_int_equal(folder_scan(&f, in_tmp("m"), problem), RESULT_OK);
    assert_non_null(strstr(folder_path(&f, FOLDER_ONNX), "onnx/model_q4.onnx"));
    folder_close(&f);
}

static enum result whole(void)
{
    struct folder f;
    struct folder_weights w;
    struct folder_digest digest;
    enum result r = folder_scan(&f, in_tmp("m"), problem);
    if (r)
        return r;
    r = folder_digest(&f, &digest, problem);
    if (!r)
        r = folder_load(&f, &w, problem);
    if (!r)
        folder_unload(&w);
    folder_close(&f);
    return r;
}

static void everything_fails(void **state)
{
    (void)state;
    put_model();
    put_text("m/1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}");
    uint64_t n = 1;
    for (;; n++) {
        alloc_fail_at(n, 0);
        enum result r = whole();
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
    }
    assert_true(n > 3);
    for (n = 1;; n++) {
        file_fail_at(n);
        enum result r = whole();
        file_fail_at(0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_IO);
        assert_non_null(strstr(problem, "Input/output error"));
    }
    assert_true(n > 15);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)
    const struct CMUnitTest tests[] = {
        TEST(finds_what_is_there),
        TEST(sentence_transformers),
        TEST(what_is_missing_is_named),
        TEST(labels_are_a_list),
        TEST(shards),
        TEST(digests),
        TEST(damaged_weights),
        TEST(everything_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
