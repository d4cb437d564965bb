// model/model: a whole small model from its folder to an embedding, from the cache the second time with the same bits; what
// is missing or wrong is told with a way out; two processes; failing calls and memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "model/catalog.h"
#include "model/model.h"
#include "model_folder.h"
#include "model_tiny.h"

static struct model_places places;
static struct model_trouble trouble;

static int begin(void **state)
{
    if (make_tmp(state))
        return -1;
    snprintf(places.models, sizeof places.models, "%.200s/models", tmp);
    snprintf(places.cache, sizeof places.cache, "%.200s/cache", tmp);
    return 0;
}

static enum result open_plan(struct model **m, const char *name, enum encoder_plan plan)
{
    struct model_options o = {.places = &places, .plan = plan};
    return model_open(m, name, &o, &trouble);
}

static void embed(const struct model *m, const char *text, float *out)
{
    struct tokenizer_scratch *ts;
    struct encoder_scratch *es;
    const struct token *tokens;
    uint32_t count, ids[64];
    assert_int_equal(tokenizer_scratch_open(m->tokenizer, &ts), RESULT_OK);
    assert_int_equal(encoder_scratch_open(m->encoder, 64, &es), RESULT_OK);
    struct tokenizer_options options = {.max_tok = 32};
    assert_int_equal(tokenizer_encode(m->tokenizer, ts, slice_cstr(text), SLICE_EMPTY, &options,
                                      &tokens, &count),
                     RESULT_OK);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = tokens[i].id;
    struct encoder_sequence sequence = {ids, NULL, count};
    struct encoder_output output = {.embedding = out};
    assert_int_equal(encoder_run(m->encoder, es, &sequence, 1, &output, NULL), RESULT_OK);
    encoder_scratch_close(es);
    tokenizer_scratch_close(ts);
}

static unsigned packs(void)
{
    DIR *d = opendir(places.cache);
    unsigned n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, ".pack") != NULL;
    if (d)
        closedir(d);
    return n;
}

static void opens_and_opens_again(void **state)
{
    (void)state;
    struct model *m, *again;
    float one[TINY_HIDDEN], two[TINY_HIDDEN], sum = 0;
    put_tiny("m", 1, false);
    put_text("m/1_Pooling/config.json", "{\"pooling_mode_mean_tokens\":true}");
    put_text("m/modules.json", "[{\"type\":\"x.Normalize\",\"path\":\"\"}]");
    put_text("m/sentence_bert_config.json", "{\"max_seq_length\":24}");
    put_text("m/merit.json", "{\"licence\":\"MIT\",\"source\":\"here\"}");
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_true(!m->from_cache && !m->note.len && m->length_tok == 24);
    assert_true(slice_eq_cstr(m->name, "m") && slice_eq_cstr(m->licence, "MIT"));
    assert_int_equal(m->weights_hex.len, 64);
    embed(m, "the cat sat", one);
    for (int i = 0; i < TINY_HIDDEN; i++)
        sum += one[i] * one[i];
    assert_true(fabsf(sum - 1) < 1e-4f);
    assert_int_equal(packs(), 1);
    assert_int_equal(open_plan(&again, in_tmp("m/"), ENCODER_PLAN_F32), RESULT_OK);
    assert_true(again->from_cache);
    assert_true(slice_eq(m->digest_hex, again->digest_hex));
    assert_true(slice_eq(m->weights_hex, again->weights_hex));
    model_unref(m);
    m = model_ref(again);
    model_unref(again);
    embed(m, "the cat sat", two);
    assert_memory_equal(one, two, sizeof one);
    model_unref(m);
    // Another model in the same folder is another model.
    put_tiny("m", 2, false);
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_false(m->from_cache);
    embed(m, "the cat sat", two);
    assert_memory_not_equal(one, two, sizeof one);
    model_unref(m);
    assert_int_equal(packs(), 2);
}

static void labels_of_a_classifier(void **state)
{
    (void)state;
    struct model *m;
    put_tiny("models/tags", 3, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_plan(&m, "tags", ENCODER_PLAN_AUTO), RESULT_OK);
        assert_int_equal(m->from_cache, i);
        assert_int_equal(m->label_count, 3);
        assert_true(slice_eq_cstr(m->labels[0], "O") && slice_eq_cstr(m->labels[2], "I-CITY"));
        assert_int_equal(m->config->labels, 3);
        model_unref(m);
    }
}

static void damaged_packs_are_made_again(void **state)
{
    (void)state;
    struct model *m;
    struct dirent *e;
    float one[TINY_HIDDEN], two[TINY_HIDDEN];
    char path[600] = "";
    put_tiny("m", 1, false);
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    embed(m, "a b", one);
    model_unref(m);
    DIR *d = opendir(places.cache);
    assert_non_null(d);
    while ((e = readdir(d))) {
        if (strstr(e->d_name, ".pack"))
            snprintf(path, sizeof path, "%.250s/%.250s", places.cache, e->d_name);
    }
    closedir(d);
    struct buf whole;
    buf_init(&whole, 1 << 24);
    assert_int_equal(file_read(path, &whole), RESULT_OK);
    for (int i = 0; i < 4; i++) {
        struct slice text = buf_slice(&whole);
        if (i == 0)
            text.len = 5000;
        else if (i == 1)
            text = SLICE_EMPTY;
        else if (i == 2)
            text = SLICE("something else");
        else
            whole.ptr[whole.len / 2] ^= 64;
        assert_int_equal(file_replace(path, text, 0600), RESULT_OK);
        assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
        assert_false(m->from_cache);
        embed(m, "a b", two);
        assert_memory_equal(one, two, sizeof one);
        model_unref(m);
        assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
        assert_true(m->from_cache);
        model_unref(m);
    }
    buf_deinit(&whole);
}

static void what_is_missing(void **state)
{
    (void)state;
    struct model *m;
    struct model_info info;
    assert_int_equal(open_plan(&m, "all-minilm-l6-v2", ENCODER_PLAN_AUTO), RESULT_NOT_FOUND);
    assert_null(m);
    assert_non_null(strstr(trouble.why, "not installed"));
    assert_non_null(strstr(trouble.how, "merit model pull all-minilm-l6-v2"));
    assert_int_equal(open_plan(&m, "unheard-of", ENCODER_PLAN_AUTO), RESULT_NOT_FOUND);
    assert_non_null(strstr(trouble.how, "merit model ls"));
    assert_int_equal(open_plan(&m, "", ENCODER_PLAN_AUTO), RESULT_NOT_FOUND);
    assert_int_equal(open_plan(&m, "/nowhere/at/all", ENCODER_PLAN_AUTO), RESULT_NOT_FOUND);
    assert_int_equal(model_find(&places, "../up", &info), RESULT_SYNTAX);
    put_tiny("models/empty", 1, false);
    assert_int_equal(unlink(in_tmp("models/empty/model.safetensors")), 0);
    assert_int_equal(open_plan(&m, "empty", ENCODER_PLAN_AUTO), RESULT_NOT_FOUND);
    assert_non_null(strstr(trouble.why, "model.safetensors"));
}

static void what_is_wrong(void **state)
{
    (void)state;
    struct model *m;
    put_tiny("m", 1, false);
    put_text("m/config.json", "{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2Model\"]}");
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_UNSUPPORTED);
    assert_non_null(strstr(trouble.why, "m/config.json"));
    // More than the weights have.
    put_text("m/config.json",
             "{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"hidden_act\":\"gelu\","
             "\"hidden_size\":64,\"intermediate_size\":128,\"max_position_embeddings\":32,"
             "\"num_attention_heads\":2,\"num_hidden_layers\":3,\"vocab_size\":16}");
    assert_int_not_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_non_null(strstr(trouble.why, "layer.2"));
    // A tokenizer of another model: ids that this one does not know.
    put_tiny("m", 1, false);
    char *other = malloc(sizeof tiny_tokenizer);
    assert_non_null(other);
    memcpy(other, tiny_tokenizer, sizeof tiny_tokenizer);
    char *id = strstr(other, "\"c\":12");
    memcpy(id, "\"c\":99", 6);
    put_text("m/tokenizer.json", other);
    free(other);
    assert_int_not_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_non_null(strstr(trouble.why, "tokenizer.json"));
    put_text("m/tokenizer.json", "{\"model\":{}}");
    assert_int_not_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_non_null(strstr(trouble.why, "tokenizer.json"));
    // Weights that are not finite, weights cut short.
    put_tiny("m", 1, false);
    struct buf file;
    buf_init(&file, 1 << 24);
    assert_int_equal(file_read(in_tmp("m/model.safetensors"), &file), RESULT_OK);
    static const float nan = __builtin_nanf("");
    memcpy(file.ptr + file.len - 64, &nan, sizeof nan);
    put("m/model.safetensors", buf_slice(&file));
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_RANGE);
    assert_non_null(strstr(trouble.why, "not finite"));
    put("m/model.safetensors", slice_head(buf_slice(&file), file.len - 100));
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_EOF);
    assert_int_equal(packs(), 0);
    buf_deinit(&file);
}

static void without_a_cache(void **state)
{
    (void)state;
    struct model *m;
    float one[TINY_HIDDEN];
    put_tiny("m", 1, false);
    put_text("cache", "a file where the folder should be");
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_true(m->note.len && !m->from_cache && !m->pack.in_cache);
    embed(m, "on the mat", one);
    model_unref(m);
    struct model_options o = {.places = &places, .plan = ENCODER_PLAN_F32, .cache_required = true};
    assert_int_equal(model_open(&m, in_tmp("m"), &o, &trouble), RESULT_IO);
    assert_non_null(strstr(trouble.why, "XDG_CACHE_HOME"));
    places.cache[0] = '\0';
    assert_int_equal(open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32), RESULT_OK);
    assert_true(m->note.len);
    model_unref(m);
}

static void lists(void **state)
{
    (void)state;
    static struct model_info list[MODEL_LIST_MAX];
    uint32_t n;
    assert_int_equal(model_list(&places, list, &n), RESULT_OK);
    assert_int_equal(n, catalog_count);
    put_tiny("models/mine", 1, false);
    put_tiny("models/rampart", 2, true);
    put_text("models/mine/merit.json", "{\"licence\":\"CC0\",\"folder\":\"/elsewhere\"}");
    put_text("models/.hidden/x", "");
    put_text("models/file", "");
    assert_int_equal(model_list(&places, list, &n), RESULT_OK);
    assert_int_equal(n, catalog_count + 1);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(!i || strcmp(list[i - 1].name, list[i].name) < 0);
        bool mine = strcmp(list[i].name, "mine") == 0, r = strcmp(list[i].name, "rampart") == 0;
        assert_int_equal(list[i].installed, mine || r);
        assert_int_equal(list[i].in_catalog, !mine);
        if (mine)
            assert_true(!strcmp(list[i].licence, "CC0") && !strcmp(list[i].folder, "/elsewhere"));
    }
    assert_true(model_name_valid("a-b_c.9"));
    assert_false(model_name_valid("") || model_name_valid(".x") || model_name_valid("-x") ||
                 model_name_valid("a/b") || model_name_valid("a b"));
}

static void two_processes(void **state)
{
    (void)state;
    enum { CHILDREN = 4 };
    pid_t pids[CHILDREN];
    int converted = 0;
    put_tiny("m", 1, false);
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i])
            continue;
        struct model *m;
        enum result r = open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32);
        int code = r ? 100 : m->pack.in_cache ? 0 : 50;
        model_unref(m);
        _exit(code);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        converted++;
    }
    assert_int_equal(converted, CHILDREN);
    assert_int_equal(packs(), 1);
}

static void everything_fails(void **state)
{
    (void)state;
    struct model *m;
    uint64_t n = 1;
    put_tiny("m", 1, true);
    for (;; n++) {
        alloc_fail_at(n, 0);
        enum result r = open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_null(m);
        assert_non_null(strstr(trouble.why, "no memory"));
    }
    assert_true(n > 20);
    model_unref(m);
    // Reading from the cache, and converting where that fails: never worse than an error.
    int errors = 0;
    for (n = 1;; n++) {
        file_fail_at(n);
        enum result r = open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32);
        bool cached = !r && m->from_cache;
        file_fail_at(0);
        model_unref(m);
        errors += r != RESULT_OK;
        if (cached && n > 10)
            break;
    }
    assert_true(errors > 3);
    for (n = 1; n < 60; n++) {
        for (unsigned i = 0; i < 1; i++) {
            char path[600];
            DIR *d = opendir(places.cache);
            assert_non_null(d);
            for (struct dirent *e; (e = readdir(d));) {
                snprintf(path, sizeof path, "%.250s/%.250s", places.cache, e->d_name);
                if (e->d_name[0] != '.')
                    unlink(path);
            }
            closedir(d);
        }
        file_fail_at(n);
        enum result r = open_plan(&m, in_tmp("m"), ENCODER_PLAN_F32);
        file_fail_at(0);
        assert_true(!r || trouble.why[0]);
        model_unref(m);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, drop_tmp)
    const struct CMUnitTest tests[] = {
        TEST(opens_and_opens_again),
        TEST(labels_of_a_classifier),
        TEST(damaged_packs_are_made_again),
        TEST(what_is_missing),
        TEST(what_is_wrong),
        TEST(without_a_cache),
        TEST(lists),
        TEST(two_processes),
        TEST(everything_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
