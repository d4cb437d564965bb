// nn/language: the model of the program tells languages apart, its probabilities mean something, damage is told, and what a
// text costs stays in the order of microseconds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "nn/language.h"
#include "nn/language_grams.h"
#include "nn/safetensors.h"

static struct buf file;
static struct language_model *model;

static int open_model(void **state)
{
    (void)state;
    char problem[LANGUAGE_PROBLEM_BYTES];
    buf_init(&file, 64 << 20);
    return file_read(MERIT_SOURCE_DIR "/models/heads/language.safetensors", &file) ||
           language_open(buf_slice(&file), problem, &model);
}

static int close_model(void **state)
{
    (void)state;
    language_close(model);
    buf_deinit(&file);
    return 0;
}

static const struct {
    const char *code, *text;
} sentences[] = {
    {"en", "The committee will meet again on Thursday to discuss the budget."},
    {"de", "Der Ausschuss trifft sich am Donnerstag wieder, um den Haushalt zu besprechen."},
    {"fr", "Le comité se réunira de nouveau jeudi pour discuter du budget."},
    {"es", "El comité se reunirá de nuevo el jueves para hablar del presupuesto."},
    {"pt", "O comitê se reunirá novamente na quinta-feira para discutir o orçamento."},
    {"it", "Il comitato si riunirà di nuovo giovedì per discutere del bilancio."},
    {"nl", "De commissie komt donderdag weer bijeen om de begroting te bespreken."},
    {"pl", "Komisja zbierze się ponownie w czwartek, aby omówić budżet."},
    {"tr", "Komite bütçeyi görüşmek üzere perşembe günü yeniden toplanacak."},
    {"ru", "Комитет снова соберётся в четверг, чтобы обсудить бюджет."},
    {"uk", "Комітет знову збереться у четвер, щоб обговорити бюджет."},
    {"el", "Η επιτροπή θα συνεδριάσει ξανά την Πέμπτη για να συζητήσει τον προϋπολογισμό."},
    {"he", "הוועדה תתכנס שוב ביום חמישי כדי לדון בתקציב."},
    {"ar", "ستجتمع اللجنة مرة أخرى يوم الخميس لمناقشة الميزانية."},
    {"hi", "समिति बजट पर चर्चा करने के लिए गुरुवार को फिर से बैठक करेगी।"},
    {"ja", "委員会は木曜日に再び会合を開き、予算について話し合います。"},
    {"zh", "委员会将于星期四再次开会讨论预算。"},
    {"ko", "위원회는 목요일에 다시 모여 예산을 논의할 것이다."},
    {"vi", "Ủy ban sẽ họp lại vào thứ Năm để thảo luận về ngân sách."},
    {"th", "คณะกรรมการจะประชุมอีกครั้งในวันพฤหัสบดีเพื่อหารือเรื่องงบประมาณ"},
};

static void sentences_are_told(void **state)
{
    (void)state;
    assert_int_equal(language_count(model), 75);
    for (size_t i = 0; i < MERIT_COUNT(sentences); i++) {
        struct language_guess g[75];
        uint32_t n = language_identify(model, slice_cstr(sentences[i].text), g, 75);
        float sum = 0;
        assert_int_equal(n, 75);
        if (!slice_eq_cstr(language_code(model, g[0].language), sentences[i].code))
            fail_msg("%s was taken for %.*s", sentences[i].code,
                     SLICE_FMT(language_code(model, g[0].language)));
        assert_true(g[0].probability > 0.5f);
        for (uint32_t k = 0; k < n; k++) {
            sum += g[k].probability;
            assert_true(k == 0 || g[k].probability <= g[k - 1].probability);
        }
        assert_float_equal(sum, 1, 1e-4);
    }
}

static void texts_without_letters_have_none(void **state)
{
    (void)state;
    struct language_guess g;
    assert_int_equal(language_identify(model, SLICE(""), &g, 1), 0);
    assert_int_equal(language_identify(model, SLICE("12 + 30 = 42 !!"), &g, 1), 0);
    // Anything else gives some answer, whatever its bytes.
    struct rng rng;
    char noise[4096];
    rng_seed(&rng, 1);
    for (int round = 0; round < 300; round++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (char)rng_next(&rng);
        language_identify(model, slice_make(noise, rng_below(&rng, sizeof noise)), &g, 1);
    }
}

// The table against a search of all its entries.
static void scores_are_sums_over_the_table(void **state)
{
    (void)state;
    struct safetensors s;
    float scores[LANGUAGE_MAX];
    assert_int_equal(safetensors_open(&s, buf_slice(&file), NULL), RESULT_OK);
    const struct safetensors_tensor *index = safetensors_find(&s, SLICE("index")),
                                    *entry = safetensors_find(&s, SLICE("entry"));
    const uint32_t *first = (const void *)index->data.ptr, *e = (const void *)entry->data.ptr;
    uint32_t bits = 0;
    while ((1u << bits) + 1 < index->count)
        bits++;
    // "ab" between spaces: " a", " ab", " ab ", "a", "ab", "ab ", "b", "b ".
    static const char *const grams[] = {" a", " ab", " ab ", "a", "ab", "ab ", "b", "b "};
    int32_t sums[LANGUAGE_MAX] = {0};
    for (size_t g = 0; g < MERIT_COUNT(grams); g++) {
        uint64_t hash = 0;
        for (const char *c = grams[g]; *c; c++)
            hash = language_step(hash, (unsigned char)*c);
        hash = language_hash(hash);
        uint32_t bucket = (uint32_t)(hash >> (64 - bits));
        for (uint32_t i = first[bucket]; i < first[bucket + 1]; i++)
            if (e[i] >> 16 == ((hash >> (48 - bits)) & 0xffff))
                sums[e[i] >> 9 & 127] += e[i] & 511;
    }
    float prior[LANGUAGE_MAX];
    assert_int_equal(safetensors_read(&s, SLICE("prior"), 0, 75, prior), RESULT_OK);
    assert_int_equal(language_score(model, SLICE("AB"), scores), MERIT_COUNT(grams));
    for (uint32_t i = 0; i < 75; i++)
        assert_float_equal(scores[i], sums[i] / 16.0 + MERIT_COUNT(grams) * prior[i], 1e-3);
    safetensors_close(&s);
}

static void a_sentence_costs_microseconds(void **state)
{
    (void)state;
    struct timespec a, b;
    struct language_guess g;
    double best = 1e9;
    for (int round = 0; round < 30; round++) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        for (size_t i = 0; i < MERIT_COUNT(sentences); i++)
            language_identify(model, slice_cstr(sentences[i].text), &g, 1);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double us = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e3 /
                    (double)MERIT_COUNT(sentences);
        best = us < best ? us : best;
    }
    print_message("a sentence: %.1f us\n", best);
    assert_true(best < 400); // of a debug build, under sanitizers, on a busy machine
}

static void damage_is_told(void **state)
{
    (void)state;
    char problem[LANGUAGE_PROBLEM_BYTES];
    struct language_model *m;
    for (size_t len = 0; len < 3000; len += 7) {
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, file.ptr, len);
        assert_int_not_equal(language_open(slice_make(copy, len), problem, &m), RESULT_OK);
        assert_true(problem[0] != 0);
        free(copy);
    }
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        alloc_fail_at(n, 0);
        r = language_open(buf_slice(&file), problem, &m);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    language_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_are_told),
        cmocka_unit_test(texts_without_letters_have_none),
        cmocka_unit_test(scores_are_sums_over_the_table),
        cmocka_unit_test(a_sentence_costs_microseconds),
        cmocka_unit_test(damage_is_told),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
