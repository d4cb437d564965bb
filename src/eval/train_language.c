#include "eval/train_language.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "math/calibrate.h"
#include "math/measure.h"
#include "math/real.h"
#include "nn/language_grams.h"
#include "nn/safetensors.h"
#include "text/json.h"

enum { LINE_MAX_BYTES = 256, PAIRS_MAX = 1 << 28, NO_FOLD = -1 };

// A gram in a language: how often it was seen, in texts and in the counts.
struct pair {
    uint64_t hash;
    uint32_t language;
    float seen, counted;
};

struct pairs {
    struct pair *at;
    size_t len, room;
    enum result failed;
};

struct job {
    struct dataset *d;
    const struct train_language_options *o;
    struct pairs counts; // from the file of counts
    float *scores;       // [rows][languages], kept
    uint32_t *grams;     // [rows]
    float slope[LANGUAGE_LENGTHS];
    char *problem;
};

void train_language_defaults(struct train_language_options *o)
{
    *o = (struct train_language_options){
        .entries = 1000000, .smooth = 0.01, .counts_weight = 2, .counts_floor = 300};
}

static void push(struct pairs *p, struct pair pair)
{
    if (p->failed)
        return;
    if (p->len == p->room) {
        size_t room = p->room ? p->room * 2 : 1 << 16;
        struct pair *more = room <= PAIRS_MAX ? alloc_resize(p->at, room * sizeof *more) : NULL;
        if (!more) {
            p->failed = RESULT_NOMEM;
            return;
        }
        p->at = more;
        p->room = room;
    }
    p->at[p->len++] = pair;
}

// --- The file of counts

static enum result read_count(struct job *j, char *line)
{
    struct slice rest = slice_cstr(line), code, gram, number;
    uint64_t count;
    while (rest.len && (rest.ptr[rest.len - 1] == '\n' || rest.ptr[rest.len - 1] == '\r'))
        rest.len--;
    if (!slice_split(&rest, '\t', &code) || !slice_split(&rest, '\t', &gram) ||
        !slice_split(&rest, '\t', &number) || !slice_u64(number, &count) || !gram.len)
        return RESULT_SYNTAX;
    uint64_t hash = 0;
    uint32_t letters = 0;
    for (size_t at = 0; at < gram.len; letters++)
        hash = language_step(hash, utf8_next(gram, &at));
    for (uint32_t i = 0; i < j->d->label_count && letters <= LANGUAGE_ORDER; i++)
        if (slice_eq(j->d->labels[i], code)) {
            push(&j->counts, (struct pair){language_hash(hash), i, 0, (float)count});
            return j->counts.failed;
        }
    return RESULT_OK; // a language or a length that is not asked for
}

static enum result read_counts(struct job *j)
{
    char line[LINE_MAX_BYTES];
    uint32_t number = 0;
    enum result r = RESULT_OK;
    if (!j->o->counts)
        return RESULT_OK;
    gzFile file = gzopen(j->o->counts, "rb");
    if (!file) {
        snprintf(j->problem, TRAIN_PROBLEM_BYTES, "%.200s: cannot be opened", j->o->counts);
        return RESULT_NOT_FOUND;
    }
    while (!r && gzgets(file, line, sizeof line)) {
        number++;
        r = read_count(j, line);
    }
    if (r == RESULT_SYNTAX)
        snprintf(j->problem, TRAIN_PROBLEM_BYTES, "%.200s:%u: no code, gram and count",
                 j->o->counts, number);
    gzclose(file);
    return r;
}

// --- The table

struct collector {
    struct pairs *pairs;
    uint32_t language;
    double *total;
};

static inline void collect_gram(void *ctx, uint64_t hash, uint32_t order, bool edge)
{
    struct collector *c = ctx;
    (void)order;
    (void)edge;
    c->total[c->language]++;
    push(c->pairs, (struct pair){hash, c->language, 1, 0});
}

static int by_gram(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->language > y->language) - (x->language < y->language);
}

// Pairs of the same gram and language become one.
static void merge(struct pairs *p)
{
    size_t n = 0;
    qsort(p->at, p->len, sizeof *p->at, by_gram);
    for (size_t i = 0; i < p->len; i++) {
        if (n && p->at[n - 1].hash == p->at[i].hash && p->at[n - 1].language == p->at[i].language) {
            p->at[n - 1].seen += p->at[i].seen;
            p->at[n - 1].counted += p->at[i].counted;
        } else {
            p->at[n++] = p->at[i];
        }
    }
    p->len = n;
}

struct entry {
    uint64_t hash;
    uint32_t language;
    float weight, use; // use: what would be lost without it
};

static int by_use_down(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->use != y->use)
        return x->use < y->use ? 1 : -1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->language > y->language) - (x->language < y->language);
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->language > y->language) - (x->language < y->language);
}

// How often a gram is met times what it says: a weight matters as far as it differs from the mean over languages.
static void make_entries(const struct job *j, const struct pairs *p, const double *total,
                         struct entry *e)
{
    const struct train_language_options *o = j->o;
    for (size_t i = 0; i < p->len; i++) {
        double seen = real_log((p->at[i].seen + o->smooth) / o->smooth);
        double counted = real_log((p->at[i].counted + o->counts_floor) / o->counts_floor);
        double often = p->at[i].seen / total[p->at[i].language] + p->at[i].counted * 1e-9;
        double weight = seen + o->counts_weight * counted;
        e[i] = (struct entry){p->at[i].hash, p->at[i].language, (float)weight,
                              (float)(often * weight)};
    }
}

static enum result write_model(const struct job *j, struct entry *e, uint32_t count,
                               const double *total, struct buf *out)
{
    uint32_t bits = LANGUAGE_BITS_MIN, languages = j->d->label_count;
    while (bits < LANGUAGE_BITS_MAX && (12u << bits) < count)
        bits++;
    uint32_t *index = alloc_zeroed(((size_t)1 << bits) + 1, sizeof *index);
    uint32_t *packed = alloc_zeroed((size_t)count + 1, sizeof *packed);
    float prior[LANGUAGE_MAX];
    struct buf codes;
    buf_init(&codes, 1 << 16);
    enum result r = index && packed ? RESULT_OK : RESULT_NOMEM;
    qsort(e, count, sizeof *e, by_place);
    for (uint32_t i = 0; !r && i < count; i++) {
        uint32_t print = (uint32_t)(e[i].hash >> (48 - bits)) & 0xffff;
        uint32_t weight = (uint32_t)(e[i].weight * LANGUAGE_UNIT + 0.5f);
        packed[i] = print << 16 | e[i].language << 9 |
                    (weight < LANGUAGE_WEIGHT_MAX ? weight : LANGUAGE_WEIGHT_MAX);
        index[(e[i].hash >> (64 - bits)) + 1]++;
    }
    for (size_t i = 0; !r && i < (size_t)1 << bits; i++)
        index[i + 1] += index[i];
    double mean = 0;
    for (uint32_t i = 0; i < languages; i++)
        mean += real_log(total[i] + 1) / languages;
    buf_byte(&codes, '[');
    for (uint32_t i = 0; i < languages; i++) {
        prior[i] = (float)(mean - real_log(total[i] + 1));
        if (i)
            buf_byte(&codes, ',');
        json_write_string(&codes, j->d->labels[i]);
    }
    buf_byte(&codes, ']');
    const struct safetensors_entry tensors[] = {
        {SLICE("index"), NUMBER_U32, {1, {((uint64_t)1 << bits) + 1}}, index},
        {SLICE("entry"), NUMBER_U32, {1, {count}}, packed},
        {SLICE("prior"), NUMBER_F32, {1, {languages}}, prior},
        {SLICE("slope"), NUMBER_F32, {1, {LANGUAGE_LENGTHS}}, j->slope},
    };
    struct safetensors_metadata meta[8] = {{SLICE("languages"), buf_slice(&codes)},
                                           {SLICE("data.sha256"), slice_cstr(j->d->digest)}};
    uint32_t n = 2;
    const char *named[][2] = {{"data", j->o->data},
                              {"licence", j->o->licence},
                              {"date", j->o->date},
                              {"command", j->o->command}};
    for (uint32_t i = 0; i < 4; i++)
        if (named[i][1])
            meta[n++] =
                (struct safetensors_metadata){slice_cstr(named[i][0]), slice_cstr(named[i][1])};
    if (!r)
        r = buf_result(&codes) ? buf_result(&codes) : safetensors_write(out, tensors, 4, meta, n);
    buf_deinit(&codes);
    alloc_free(index);
    alloc_free(packed);
    return r;
}

// A model of all rows but those of fold `without`.
static enum result build(struct job *j, int without, struct buf *out, uint32_t *entries)
{
    struct pairs p = {0};
    double *total = alloc_zeroed(j->d->label_count, sizeof *total);
    struct entry *e = NULL;
    enum result r = total ? RESULT_OK : RESULT_NOMEM;
    for (size_t i = 0; !r && i < j->d->rows.len; i++) {
        const struct dataset_row *row = &j->d->rows.at[i];
        struct collector c = {&p, row->label, total};
        if ((int)row->fold != without)
            language_grams(row->text, collect_gram, &c);
        if (p.len > 1 << 25 && p.len * 2 > p.room)
            merge(&p);
    }
    for (size_t i = 0; !r && i < j->counts.len; i++)
        push(&p, j->counts.at[i]);
    if (!r)
        r = p.failed;
    if (!r) {
        for (uint32_t i = 0; i < j->d->label_count; i++)
            total[i] += 1;
        merge(&p);
        e = alloc_zeroed(p.len + 1, sizeof *e);
        r = e ? RESULT_OK : RESULT_NOMEM;
    }
    if (!r) {
        make_entries(j, &p, total, e);
        *entries = p.len < j->o->entries ? (uint32_t)p.len : j->o->entries;
        if (p.len > j->o->entries)
            qsort(e, p.len, sizeof *e, by_use_down);
        r = write_model(j, e, *entries, total, out);
    }
    alloc_free(e);
    alloc_free(total);
    alloc_free(p.at);
    return r;
}

// --- Kept scores, and the slopes that make them probabilities

static enum result score_fold(struct job *j, uint32_t fold)
{
    struct buf file;
    struct language_model *m = NULL;
    char problem[LANGUAGE_PROBLEM_BYTES];
    uint32_t entries;
    buf_init(&file, 1 << 30);
    enum result r = build(j, (int)fold, &file, &entries);
    if (!r)
        r = language_open(buf_slice(&file), problem, &m);
    for (size_t i = 0; !r && i < j->d->rows.len; i++)
        if (j->d->rows.at[i].fold == fold)
            j->grams[i] =
                language_score(m, j->d->rows.at[i].text, j->scores + i * j->d->label_count);
    language_close(m);
    buf_deinit(&file);
    return r;
}

static enum result fit_slopes(struct job *j, struct train_language_report *report)
{
    uint32_t labels = j->d->label_count, rows = (uint32_t)j->d->rows.len;
    float *logits = alloc_zeroed((size_t)rows * labels + 1, sizeof *logits);
    uint32_t *truth = alloc_zeroed((size_t)rows + 1, sizeof *truth);
    if (!logits || !truth) {
        alloc_free(logits);
        alloc_free(truth);
        return RESULT_NOMEM;
    }
    float last = 0.3f;
    for (uint32_t length = 0; length < LANGUAGE_LENGTHS; length++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < rows; i++)
            if (language_length(j->grams[i]) == length) {
                memcpy(logits + (size_t)n * labels, j->scores + (size_t)i * labels,
                       labels * sizeof *logits);
                truth[n++] = j->d->rows.at[i].label;
            }
        // Too few to tell: as texts a little shorter.
        if (n >= 200)
            last = calibrate_slope(logits, truth, n, labels);
        j->slope[length] = last;
    }
    for (uint32_t i = 0; i < rows; i++) {
        const float *s = j->scores + (size_t)i * labels;
        real_softmax(s, labels, j->slope[language_length(j->grams[i])], NULL,
                     logits + (size_t)i * labels);
        truth[i] = j->d->rows.at[i].label;
        const float *p = logits + (size_t)i * labels;
        uint32_t best = 0, file = j->d->rows.at[i].file;
        for (uint32_t k = 1; k < labels; k++)
            if (p[k] > p[best])
                best = k;
        if (file < TRAIN_LANGUAGE_FILES_MAX) {
            report->rows[file]++;
            report->right[file] += best == truth[i];
        }
    }
    report->ece = measure_ece(logits, truth, rows, labels, NULL);
    alloc_free(logits);
    alloc_free(truth);
    return RESULT_OK;
}

enum result train_language(struct dataset *d, const struct train_language_options *o,
                           uint32_t folds, struct buf *out, struct train_language_report *report,
                           char problem[TRAIN_PROBLEM_BYTES])
{
    struct job j = {.d = d, .o = o, .problem = problem};
    problem[0] = 0;
    *report = (struct train_language_report){.files = d->file_count, .languages = d->label_count};
    if (d->label_count < 2 || d->label_count > LANGUAGE_MAX) {
        snprintf(problem, TRAIN_PROBLEM_BYTES, "the data have %u languages; 2 to %u are needed",
                 d->label_count, LANGUAGE_MAX);
        return RESULT_RANGE;
    }
    j.scores = alloc_zeroed(d->rows.len * d->label_count + 1, sizeof *j.scores);
    j.grams = alloc_zeroed(d->rows.len + 1, sizeof *j.grams);
    enum result r = j.scores && j.grams ? read_counts(&j) : RESULT_NOMEM;
    for (uint32_t f = 0; !r && f < folds; f++)
        r = score_fold(&j, f);
    if (!r)
        r = fit_slopes(&j, report);
    if (!r)
        r = build(&j, NO_FOLD, out, &report->entries);
    report->bytes = out->len;
    if (r && !problem[0])
        snprintf(problem, TRAIN_PROBLEM_BYTES, "training failed: %s", result_name(r));
    alloc_free(j.scores);
    alloc_free(j.grams);
    alloc_free(j.counts.at);
    return r;
}
