// eval: data sets are read strictly and split by near-duplicates, training learns what is there to be learned, gives the same
// bytes again, and gives up cleanly when memory runs out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "eval/dataset.h"
#include "eval/train.h"
#include "eval/train_language.h"
#include "nn/head.h"
#include "nn/language.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/merit-train-XXXXXX");
    return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %.60s", folder);
    return system(command);
}

static const char *put(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%.60s/%.40s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static const struct dataset_options keys = {.text_key = "text", .label_key = "label"};

static enum result read_text(const char *text, char problem[DATASET_PROBLEM_BYTES],
                             struct dataset *d)
{
    dataset_init(d);
    return dataset_read(d, put("x.jsonl", text), &keys, problem);
}

static void lines_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":1,\"label\":\"b\"}\n",
         ":2: there is no string"},
        {"{\"text\":\"a\"}", ":1: there is no label"},
        {"[1]", ":1: no JSON object"},
        {"{\"text\":\"a\",\"label\":\"b\"", ":1: no JSON object"},
        {"\n\n{\"text\":\"a\",\"label\":\"\"}", ":3: a label is empty"},
        {"{\"text\":\"a\",\"label\":null}", ":1: there is no label"},
    };
    char problem[DATASET_PROBLEM_BYTES];
    struct dataset d;
    for (size_t i = 0; i < MERIT_COUNT(wrong); i++) {
        assert_int_not_equal(read_text(wrong[i].text, problem, &d), RESULT_OK);
        if (!strstr(problem, wrong[i].says))
            fail_msg("%s", problem);
        dataset_deinit(&d);
    }
    assert_int_equal(
        read_text("{\"label\":10,\"text\":\"a\\u00e9\"}\n\n{\"text\":\"b\",\"label\":9}\n"
                  "{\"text\":\"c\",\"label\":true}",
                  problem, &d),
        RESULT_OK);
    assert_int_equal(dataset_finish(&d, 2, 1), RESULT_OK);
    assert_int_equal(d.rows.len, 3);
    assert_true(slice_eq_cstr(d.rows.at[0].text, "a\xc3\xa9"));
    // Numbers by value: 9 before 10.
    assert_true(slice_eq_cstr(d.labels[0], "9") && slice_eq_cstr(d.labels[1], "10"));
    assert_int_equal(d.rows.at[0].label, 1);
    dataset_deinit(&d);
    dataset_init(&d);
    assert_int_equal(dataset_read(&d, "/nowhere/x", &keys, problem), RESULT_NOT_FOUND);
    dataset_deinit(&d);
}

static void gzip_is_read_and_damage_told(void **state)
{
    (void)state;
    char path[128], problem[DATASET_PROBLEM_BYTES];
    struct dataset d;
    snprintf(path, sizeof path, "%.60s/x.jsonl.gz", folder);
    gzFile z = gzopen(path, "wb");
    assert_non_null(z);
    for (int i = 0; i < 5000; i++)
        gzprintf(z, "{\"text\":\"row %d\",\"label\":\"%d\"}\n", i * 7919, i % 3);
    gzclose(z);
    dataset_init(&d);
    assert_int_equal(dataset_read(&d, path, &keys, problem), RESULT_OK);
    assert_int_equal(d.rows.len, 5000);
    dataset_deinit(&d);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 4000, SEEK_SET);
    fputs("damage damage damage", f);
    fclose(f);
    dataset_init(&d);
    assert_int_not_equal(dataset_read(&d, path, &keys, problem), RESULT_OK);
    dataset_deinit(&d);
}

static void near_duplicates_stay_together(void **state)
{
    (void)state;
    char problem[DATASET_PROBLEM_BYTES];
    struct dataset d;
    struct buf text;
    struct rng rng;
    rng_seed(&rng, 3);
    buf_init(&text, 1 << 20);
    // 60 texts of random words, each three times with another number and another ending.
    for (int i = 0; i < 60; i++) {
        char words[400];
        int n = 0;
        for (int w = 0; w < 30; w++)
            n += snprintf(words + n, sizeof words - (size_t)n, "w%x ",
                          (unsigned)rng_below(&rng, 60000));
        for (int k = 0; k < 3; k++)
            buf_printf(&text, "{\"text\":\"Case %d: %s%s\",\"label\":\"%d\"}\n", k, words,
                       k ? "please" : "thanks", i % 2);
    }
    buf_byte(&text, 0);
    assert_int_equal(read_text(text.ptr, problem, &d), RESULT_OK);
    assert_int_equal(dataset_finish(&d, 5, 1), RESULT_OK);
    uint32_t groups = 0, folds[5] = {0};
    for (uint32_t i = 0; i < d.rows.len; i++) {
        groups += d.rows.at[i].group == i;
        folds[d.rows.at[i].fold]++;
        assert_int_equal(d.rows.at[i].group, d.rows.at[i / 3 * 3].group);
        assert_int_equal(d.rows.at[i].fold, d.rows.at[i / 3 * 3].fold);
    }
    assert_int_equal(groups, 60);
    for (int f = 0; f < 5; f++)
        assert_int_equal(folds[f], 36);
    buf_deinit(&text);
    dataset_deinit(&d);
}

// Texts about fruit and about tools; `noise` of them have the other label.
static void make_texts(struct buf *out, int count, double noise)
{
    static const char *const words[2][8] = {
        {"apple", "pear", "plum", "cherry", "grape", "melon", "fig", "peach"},
        {"hammer", "wrench", "drill", "saw", "plane", "chisel", "vice", "file"}};
    struct rng rng;
    rng_seed(&rng, 12);
    buf_reset(out);
    for (int i = 0; i < count; i++) {
        int kind = i % 2;
        buf_printf(out, "{\"text\":\"%llx ", (unsigned long long)rng_next(&rng));
        for (int w = 0; w < 4; w++)
            buf_printf(out, "%s ", words[kind][rng_below(&rng, 8)]);
        buf_printf(out, "%llx\",\"label\":\"%s\"}\n", (unsigned long long)rng_next(&rng),
                   (rng_unit(&rng) < noise) != kind ? "tool" : "fruit");
    }
    buf_byte(out, 0);
}

// A vector that says a little of the kind: its first number, among others that say nothing.
static enum result embed(void *ctx, const struct slice *texts, uint32_t count, float *out)
{
    uint32_t *calls = ctx;
    *calls += count;
    for (uint32_t i = 0; i < count; i++) {
        struct rng rng;
        rng_seed(&rng, hash_fnv(1, texts[i]));
        for (int k = 0; k < 8; k++)
            out[i * 8 + (uint32_t)k] = (float)rng_unit(&rng) - 0.5f;
        bool fruit = slice_find(texts[i], SLICE("p")) >= 0 || slice_find(texts[i], SLICE("g")) >= 0;
        out[i * 8] += fruit ? 0.5f : -0.5f;
    }
    return RESULT_OK;
}

static enum result train_texts(const char *text, const struct train_options *o, struct buf *out,
                               struct train_report *report)
{
    char problem[TRAIN_PROBLEM_BYTES];
    struct dataset d;
    enum result r = read_text(text, problem, &d);
    if (!r)
        r = dataset_finish(&d, o->folds, o->seed);
    if (!r)
        r = train_head(&d, o, out, report, NULL, problem);
    dataset_deinit(&d);
    return r;
}

static void training_learns_and_gives_the_same_bytes(void **state)
{
    (void)state;
    uint32_t calls = 0;
    const struct embeddings_source source = {"tiny", "0123456789abcdef", 8, embed, &calls};
    struct train_options o;
    struct train_report report;
    struct buf text, one, two;
    char cache[128];
    snprintf(cache, sizeof cache, "%.60s/cache", folder);
    buf_init(&text, 1 << 20);
    buf_init(&one, 1 << 22);
    buf_init(&two, 1 << 22);
    make_texts(&text, 400, 0.1);
    for (int kind = TRAIN_NGRAM; kind <= TRAIN_MLP; kind++) {
        train_defaults(&o);
        o.signal = "kind";
        o.kind = (enum train_kind)kind;
        o.spec.bucket_bits = 12;
        o.encoder = &source;
        o.cache = cache;
        buf_reset(&one);
        buf_reset(&two);
        assert_int_equal(train_texts(text.ptr, &o, &one, &report), RESULT_OK);
        // One text in ten is labelled wrong, so .9 is all that there is.
        assert_true(report.first.accuracy > 0.86);
        assert_true(report.first.ece < 0.12); // of 400 texts
        assert_true(report.first.low <= report.first.accuracy &&
                    report.first.accuracy <= report.first.high);
        if (kind != TRAIN_NGRAM)
            assert_true(report.second.accuracy > 0.86 && report.asked <= 0.6);
        uint32_t before = calls;
        assert_int_equal(train_texts(text.ptr, &o, &two, &report), RESULT_OK);
        assert_int_equal(calls, before); // remembered
        assert_int_equal(one.len, two.len);
        assert_memory_equal(one.ptr, two.ptr, one.len);
        struct head *h;
        struct head_scratch *s;
        char problem[HEAD_PROBLEM_BYTES];
        float p[2], logits[2];
        assert_int_equal(head_open(buf_slice(&one), problem, &h), RESULT_OK);
        assert_int_equal(head_scratch_open(&s), RESULT_OK);
        head_first(h, s, SLICE("a pear and a cherry and a plum"), logits, p);
        assert_int_equal(head_best(p, 2), head_label(h, SLICE("fruit")));
        head_first(h, s, SLICE("a drill and a hammer and a saw"), logits, p);
        assert_int_equal(head_best(p, 2), head_label(h, SLICE("tool")));
        assert_int_equal(head_info(h)->second, kind != TRAIN_NGRAM);
        if (kind == TRAIN_MLP)
            assert_true(slice_eq_cstr(head_info(h)->kind, "mlp"));
        head_scratch_close(s);
        head_close(h);
    }
    buf_deinit(&text);
    buf_deinit(&one);
    buf_deinit(&two);
}

static void too_little_is_refused(void **state)
{
    (void)state;
    struct train_options o;
    struct train_report report;
    struct buf out;
    buf_init(&out, 1 << 20);
    train_defaults(&o);
    o.signal = "kind";
    o.kind = TRAIN_NGRAM;
    assert_int_equal(train_texts("{\"text\":\"a\",\"label\":\"b\"}", &o, &out, &report),
                     RESULT_RANGE);
    assert_int_equal(train_texts("", &o, &out, &report), RESULT_RANGE);
    buf_deinit(&out);
}

static void memory_runs_out(void **state)
{
    (void)state;
    uint32_t calls = 0;
    const struct embeddings_source source = {"tiny", "0123456789abcdef", 8, embed, &calls};
    struct train_options o;
    struct train_report report;
    struct buf text, out;
    char cache[128];
    snprintf(cache, sizeof cache, "%.60s/cache", folder);
    buf_init(&text, 1 << 20);
    make_texts(&text, 30, 0);
    train_defaults(&o);
    o.signal = "kind";
    o.spec.bucket_bits = 8;
    o.folds = 2;
    o.epochs_max = 1;
    o.encoder = &source;
    o.cache = cache;
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        buf_init(&out, 1 << 22);
        alloc_fail_at(n, 0);
        r = train_texts(text.ptr, &o, &out, &report);
        alloc_fail_at(0, 0);
        if (r && r != RESULT_NOMEM)
            fail_msg("%s at allocation %llu", result_name(r), (unsigned long long)n);
        buf_deinit(&out);
    }
    buf_deinit(&text);
}

static void languages_are_learned(void **state)
{
    (void)state;
    static const char *const words[3][6] = {{"der", "und", "nicht", "auch", "haben", "werden"},
                                            {"the", "and", "not", "also", "have", "will"},
                                            {"il", "della", "non", "anche", "hanno", "sono"}};
    struct buf text, out, again;
    struct rng rng;
    struct dataset d;
    struct train_language_options o;
    struct train_language_report report;
    char problem[TRAIN_PROBLEM_BYTES];
    rng_seed(&rng, 5);
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 24);
    buf_init(&again, 1 << 24);
    for (int i = 0; i < 300; i++) {
        buf_printf(&text, "{\"text\":\"");
        for (int w = 0; w < 8; w++)
            buf_printf(&text, "%s %c%c ", words[i % 3][rng_below(&rng, 6)],
                       (char)('a' + rng_below(&rng, 26)), (char)('a' + rng_below(&rng, 26)));
        buf_printf(&text, "\",\"label\":\"%s\"}\n", i % 3 == 0 ? "de" : i % 3 == 1 ? "en" : "it");
    }
    buf_byte(&text, 0);
    train_language_defaults(&o);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(read_text(text.ptr, problem, &d), RESULT_OK);
        assert_int_equal(dataset_finish(&d, 3, 1), RESULT_OK);
        assert_int_equal(train_language(&d, &o, 3, round ? &again : &out, &report, problem),
                         RESULT_OK);
        assert_true(report.rows[0] == 300 && report.right[0] > 290);
        dataset_deinit(&d);
    }
    assert_int_equal(out.len, again.len);
    assert_memory_equal(out.ptr, again.ptr, out.len);
    struct language_model *m;
    struct language_guess g;
    assert_int_equal(language_open(buf_slice(&out), problem, &m), RESULT_OK);
    assert_int_equal(language_identify(m, SLICE("und auch nicht"), &g, 1), 1);
    assert_true(slice_eq_cstr(language_code(m, g.language), "de") && g.probability > 0.5f);
    language_close(m);
    assert_int_equal(read_text(text.ptr, problem, &d), RESULT_OK);
    o.counts = "/nowhere/counts";
    assert_int_equal(train_language(&d, &o, 3, &out, &report, problem), RESULT_NOT_FOUND);
    o.counts = put("counts.tsv", "de\tund\t100000\nbroken line\n");
    assert_int_equal(train_language(&d, &o, 3, &out, &report, problem), RESULT_SYNTAX);
    assert_non_null(strstr(problem, ":2:"));
    dataset_deinit(&d);
    buf_deinit(&text);
    buf_deinit(&out);
    buf_deinit(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_strictly),
        cmocka_unit_test(gzip_is_read_and_damage_told),
        cmocka_unit_test(near_duplicates_stay_together),
        cmocka_unit_test(training_learns_and_gives_the_same_bytes),
        cmocka_unit_test(too_little_is_refused),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(languages_are_learned),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
