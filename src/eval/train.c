#include "eval/train.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "eval/fit.h"
#include "eval/train_write.h"
#include "math/calibrate.h"
#include "math/measure.h"
#include "math/real.h"
#include "text/skeleton.h"

// Of mean loss: less is not worth another epoch.
static const double GAIN = 5e-4;

enum { PATIENCE = 3, ROWS_MIN = 20, ARENA_MAX = INT32_MAX };

void train_defaults(struct train_options *o)
{
    *o = (struct train_options){
        .kind = TRAIN_LOGISTIC,
        .first = true,
        .spec = {3, 5, 2, 16, NGRAM_FOLD | NGRAM_DIGITS | NGRAM_SKELETON, 4096},
        .folds = 5,
        .epochs_max = 40,
        .hidden = 64,
        .seed = 1,
        .first_rate = 0.4f,
        .second_rate = 0.3f,
        .loss_max = 0.003,
        .cache = "build/embeddings",
    };
}

// One tier in training.
struct tier {
    struct fit_rows rows;
    struct fit_options options;
    float *raw; // [rows][columns]: the kept scores of the best epoch
    float *p;   // [rows][labels]: calibrated
    float calibration[HEAD_LABELS_MAX + 1];
    uint32_t epochs;
    struct fit *fit; // on all rows
};

struct job {
    struct dataset *d;
    const struct train_options *o;
    uint32_t rows, labels, columns;
    uint32_t *truth;
    struct arena arena;
    struct tier tier[2];
    uint8_t *idf;
    float *embeddings;
    void (*log)(const char *line);
    char *problem;
};

static MERIT_PRINTF(2, 3) void say(const struct job *j, const char *fmt, ...)
{
    char line[256];
    va_list args;
    if (!j->log)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    j->log(line);
}

// --- What the first tier sees

static struct slice seen(const struct job *j, struct slice text, struct arena *scratch)
{
    struct skeleton s;
    arena_reset(scratch);
    if (!(j->o->spec.flags & NGRAM_SKELETON) || skeleton_make(text, scratch, &s))
        return text;
    return s.text;
}

// Inverse document frequencies as the file holds them: 16ths, 0 for buckets that fewer than two texts have.
static void make_idf(struct job *j, const uint32_t *texts)
{
    size_t buckets = (size_t)1 << j->o->spec.bucket_bits;
    for (size_t b = 0; b < buckets; b++) {
        if (texts[b] < 2)
            continue;
        double idf = real_log((1.0 + j->rows) / (1.0 + texts[b])) + 1;
        j->idf[b] = (uint8_t)(idf * 16 < 255 ? idf * 16 + 0.5 : 255);
    }
}

struct sparse {
    uint64_t *start;
    uint32_t *index;
    float *value;
};

static enum result count_buckets(struct job *j, struct ngram_scratch *s, struct arena *scratch,
                                 struct sparse *x, uint32_t *texts)
{
    const uint32_t *buckets;
    uint64_t total = 0;
    for (uint32_t i = 0; i < j->rows; i++) {
        uint32_t n =
            ngram_features(&j->o->spec, s, seen(j, j->d->rows.at[i].text, scratch), &buckets);
        for (uint32_t k = 0; k < n; k++)
            texts[buckets[k]]++;
        x->start[i] = total;
        total += n;
    }
    x->start[j->rows] = total;
    x->index = alloc_zeroed(total + 1, sizeof *x->index);
    x->value = alloc_zeroed(total + 1, sizeof *x->value);
    return x->index && x->value ? RESULT_OK : RESULT_NOMEM;
}

static void fill_buckets(struct job *j, struct ngram_scratch *s, struct arena *scratch,
                         struct sparse *x)
{
    const uint32_t *buckets;
    uint64_t at = 0;
    for (uint32_t i = 0; i < j->rows; i++) {
        uint32_t n =
            ngram_features(&j->o->spec, s, seen(j, j->d->rows.at[i].text, scratch), &buckets);
        uint64_t square = 0;
        x->start[i] = at;
        for (uint32_t k = 0; k < n; k++) {
            uint64_t idf = j->idf[buckets[k]];
            if (!idf)
                continue;
            square += idf * idf;
            x->index[at] = buckets[k];
            x->value[at++] = (float)idf;
        }
        float norm = square ? 1 / (float)real_sqrt((double)square) : 0;
        for (uint64_t k = x->start[i]; k < at; k++)
            x->value[k] *= norm;
    }
    x->start[j->rows] = at;
}

static enum result make_first(struct job *j, struct sparse *x)
{
    struct ngram_scratch *s = NULL;
    struct arena scratch;
    uint32_t *texts = alloc_zeroed((size_t)1 << j->o->spec.bucket_bits, sizeof *texts);
    arena_init(&scratch, 1 << 16, (size_t)ARENA_MAX);
    enum result r = ngram_scratch_open(j->o->spec.bucket_bits, j->o->spec.text_max, &s);
    x->start = alloc_zeroed((size_t)j->rows + 1, sizeof *x->start);
    j->idf = alloc_zeroed((size_t)1 << j->o->spec.bucket_bits, 1);
    if (r || !texts || !x->start || !j->idf)
        r = RESULT_NOMEM;
    if (!r)
        r = count_buckets(j, s, &scratch, x, texts);
    if (!r) {
        make_idf(j, texts);
        fill_buckets(j, s, &scratch, x);
        j->tier[0].rows =
            (struct fit_rows){j->rows, 1u << j->o->spec.bucket_bits, x->start, x->index, x->value};
        j->tier[0].options = (struct fit_options){.columns = j->columns,
                                                  .rate = j->o->first_rate,
                                                  .drop = j->o->drop,
                                                  .shrink = j->o->shrink};
    }
    alloc_free(texts);
    arena_deinit(&scratch);
    ngram_scratch_close(s);
    return r;
}

// --- What the second tier sees: the embedding, and the first tier's kept logits beside it

static enum result make_second(struct job *j)
{
    const struct embeddings_source *e = j->o->encoder;
    uint32_t wide = e->dim + (j->o->first ? j->labels : 0);
    struct slice *texts = alloc_zeroed((size_t)j->rows + 1, sizeof *texts);
    float *plain = alloc_zeroed((size_t)j->rows * e->dim + 1, sizeof *plain);
    j->embeddings = alloc_zeroed((size_t)j->rows * wide + 1, sizeof *j->embeddings);
    enum result r = texts && plain && j->embeddings ? RESULT_OK : RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < j->rows; i++)
        texts[i] = j->d->rows.at[i].text;
    if (!r)
        r = embeddings_of(e, j->o->cache, texts, j->rows, plain, j->problem);
    for (uint32_t i = 0; !r && i < j->rows; i++) {
        float *x = j->embeddings + (size_t)i * wide;
        memcpy(x, plain + (size_t)i * e->dim, e->dim * sizeof *x);
        if (j->o->first)
            head_stack(j->tier[0].raw + (size_t)i * j->columns, j->labels, j->tier[0].calibration,
                       x + e->dim);
    }
    alloc_free(texts);
    alloc_free(plain);
    j->tier[1].rows = (struct fit_rows){j->rows, wide, NULL, NULL, j->embeddings};
    j->tier[1].options = (struct fit_options){.columns = j->columns,
                                              .rate = j->o->second_rate,
                                              .shrink = j->o->shrink,
                                              .hidden = j->o->kind == TRAIN_MLP ? j->o->hidden : 0};
    return r;
}

// --- Folds

struct folds {
    struct fit *fit[TRAIN_FOLDS_MAX];
    uint32_t *order[TRAIN_FOLDS_MAX], count[TRAIN_FOLDS_MAX];
};

static void close_folds(struct folds *f)
{
    for (uint32_t i = 0; i < TRAIN_FOLDS_MAX; i++) {
        fit_close(f->fit[i]);
        alloc_free(f->order[i]);
    }
}

static enum result open_folds(struct job *j, const struct tier *t, struct folds *f)
{
    for (uint32_t i = 0; i < j->o->folds; i++) {
        f->order[i] = alloc_zeroed((size_t)j->rows + 1, sizeof *f->order[i]);
        if (!f->order[i] || fit_open(t->rows.inputs, &t->options, j->o->seed + i + 1, &f->fit[i]))
            return RESULT_NOMEM;
        for (uint32_t r = 0; r < j->rows; r++)
            if (j->d->rows.at[r].fold != i)
                f->order[i][f->count[i]++] = r;
    }
    return RESULT_OK;
}

// Fits the calibration on kept scores and gives their mean loss.
static double calibrate(const struct job *j, const float *raw, float *calibration, float *p)
{
    memset(calibration, 0, (j->labels + 1) * sizeof *calibration);
    if (j->labels == 2) {
        bool *yes = (bool *)p; // p has room for it and is written after
        for (uint32_t i = 0; i < j->rows; i++)
            yes[i] = j->truth[i] == 1;
        calibrate_platt(raw, yes, j->rows, &calibration[0], &calibration[2]);
    } else {
        calibration[0] = calibrate_slope(raw, j->truth, j->rows, j->labels);
    }
    for (uint32_t i = 0; i < j->rows; i++)
        head_calibrate(raw + (size_t)i * j->columns, j->labels, calibration,
                       p + (size_t)i * j->labels);
    return measure_nll(p, j->truth, j->rows, j->labels);
}

static double accuracy(const struct job *j, const float *p)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < j->rows; i++)
        hits += head_best(p + (size_t)i * j->labels, j->labels) == j->truth[i];
    return (double)hits / j->rows;
}

static enum result cross_fit(struct job *j, struct tier *t, const char *name)
{
    struct folds f = {0};
    size_t raw_count = (size_t)j->rows * j->columns, p_count = (size_t)j->rows * j->labels;
    float *raw = alloc_zeroed(raw_count + 1, sizeof *raw),
          *p = alloc_zeroed(p_count + 1, sizeof *p);
    float calibration[HEAD_LABELS_MAX + 1];
    double best = INFINITY;
    t->raw = alloc_zeroed(raw_count + 1, sizeof *raw);
    t->p = alloc_zeroed(p_count + 1, sizeof *p);
    enum result r = raw && p && t->raw && t->p ? open_folds(j, t, &f) : RESULT_NOMEM;
    for (uint32_t epoch = 1; !r && epoch <= j->o->epochs_max && epoch <= t->epochs + PATIENCE;
         epoch++) {
        for (uint32_t i = 0; i < j->o->folds; i++)
            fit_epoch(f.fit[i], &t->rows, j->truth, NULL, f.order[i], f.count[i]);
        for (uint32_t i = 0; i < j->rows; i++)
            fit_score(f.fit[j->d->rows.at[i].fold], &t->rows, i, raw + (size_t)i * j->columns);
        double loss = calibrate(j, raw, calibration, p);
        say(j, "%s tier, epoch %u: loss %.4f, accuracy %.4f", name, epoch, loss, accuracy(j, p));
        if (loss < best - GAIN) {
            best = loss;
            t->epochs = epoch;
            memcpy(t->raw, raw, raw_count * sizeof *raw);
            memcpy(t->p, p, p_count * sizeof *p);
            memcpy(t->calibration, calibration, sizeof calibration);
        }
    }
    close_folds(&f);
    alloc_free(raw);
    alloc_free(p);
    return r;
}

static enum result fit_all(struct job *j, struct tier *t)
{
    uint32_t *order = alloc_zeroed((size_t)j->rows + 1, sizeof *order);
    enum result r =
        order ? fit_open(t->rows.inputs, &t->options, j->o->seed, &t->fit) : RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < j->rows; i++)
        order[i] = i;
    for (uint32_t epoch = 0; !r && epoch < t->epochs; epoch++)
        fit_epoch(t->fit, &t->rows, j->truth, NULL, order, j->rows);
    alloc_free(order);
    return r;
}

// --- Both together

struct answer {
    float sure;
    bool first, second; // right
};

static int by_sure_down(const void *a, const void *b)
{
    const struct answer *x = a, *y = b;
    return (x->sure < y->sure) - (x->sure > y->sure);
}

// The least certainty at which the first tier may answer, so that both together lose at most loss_max of the second's
// accuracy.
static enum result choose_enough(struct job *j, struct train_report *report)
{
    struct answer *a = alloc_zeroed((size_t)j->rows + 1, sizeof *a);
    if (!a)
        return RESULT_NOMEM;
    uint32_t right = 0;
    for (uint32_t i = 0; i < j->rows; i++) {
        const float *p = j->tier[0].p + (size_t)i * j->labels,
                    *q = j->tier[1].p + (size_t)i * j->labels;
        uint32_t told = head_best(p, j->labels);
        a[i] =
            (struct answer){p[told], told == j->truth[i], head_best(q, j->labels) == j->truth[i]};
        right += a[i].second;
    }
    qsort(a, j->rows, sizeof *a, by_sure_down);
    double least = right - j->o->loss_max * j->rows;
    int64_t both = right;
    report->enough = 1.01;
    report->asked = 1;
    report->accuracy = (double)right / j->rows;
    for (uint32_t i = 0; i < j->rows; i++) {
        both += (int64_t)a[i].first - a[i].second;
        if (i + 1 < j->rows && a[i + 1].sure == a[i].sure)
            continue;
        bool take = j->o->enough > 0 ? a[i].sure >= j->o->enough : (double)both >= least;
        if (take) {
            report->enough = a[i].sure;
            report->asked = 1 - (i + 1.0) / j->rows;
            report->accuracy = (double)both / j->rows;
        }
    }
    if (j->o->enough > 0)
        report->enough = j->o->enough;
    alloc_free(a);
    return RESULT_OK;
}

static enum result describe(struct job *j, const struct tier *t, struct train_tier *out)
{
    struct measure_class classes[HEAD_LABELS_MAX];
    struct measure share;
    *out = (struct train_tier){.is = true, .epochs = t->epochs};
    out->macro_f1 = measure_classes(t->p, j->truth, j->rows, j->labels, classes, NULL);
    uint64_t hits = 0;
    for (uint32_t i = 0; i < j->labels; i++)
        hits += classes[i].hit;
    share = measure_share(hits, j->rows);
    out->accuracy = share.value;
    out->low = share.low;
    out->high = share.high;
    out->ece = measure_ece(t->p, j->truth, j->rows, j->labels, NULL);
    out->brier = measure_brier(t->p, j->truth, j->rows, j->labels);
    out->nll = measure_nll(t->p, j->truth, j->rows, j->labels);
    if (j->labels != 2)
        return RESULT_OK;
    float *score = ARENA_ARRAY(&j->arena, float, j->rows);
    bool *yes = ARENA_ARRAY(&j->arena, bool, j->rows);
    if (!score || !yes)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < j->rows; i++) {
        score[i] = t->p[(size_t)i * 2 + 1];
        yes[i] = j->truth[i] == 1;
    }
    return measure_auc(score, yes, j->rows, &j->arena, &out->auc);
}

// Recall of label 0 at .01 false positives among the rows of a file.
static enum result file_recall(struct job *j, uint32_t file, const float *p, double *out)
{
    float *score = ARENA_ARRAY(&j->arena, float, j->rows), threshold;
    bool *yes = ARENA_ARRAY(&j->arena, bool, j->rows);
    struct measure recall;
    uint32_t n = 0;
    if (!score || !yes)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < j->rows; i++)
        if (j->d->rows.at[i].file == file) {
            score[n] = p[(size_t)i * 2];
            yes[n++] = j->truth[i] == 0;
        }
    enum result r = measure_recall_at(score, yes, n, 0.01, &j->arena, &recall, &threshold);
    *out = recall.value;
    return r;
}

static enum result describe_files(struct job *j, struct train_report *report)
{
    const float *p = j->tier[0].p, *q = j->tier[1].p;
    enum result r = RESULT_OK;
    report->file_count = j->d->file_count < TRAIN_FILES_MAX ? j->d->file_count : TRAIN_FILES_MAX;
    for (uint32_t i = 0; i < j->rows; i++) {
        uint32_t file = j->d->rows.at[i].file;
        if (file >= report->file_count)
            continue;
        struct train_file *f = &report->files[file];
        uint32_t first = p ? head_best(p + (size_t)i * j->labels, j->labels) : 0;
        uint32_t second = q ? head_best(q + (size_t)i * j->labels, j->labels) : first;
        bool asked = q && (!p || p[(size_t)i * j->labels + first] < report->enough);
        f->rows++;
        f->asked += asked;
        f->right_first += p && first == j->truth[i];
        f->right_second += q && second == j->truth[i];
        f->right_both += (asked ? second : first) == j->truth[i];
    }
    for (uint32_t k = 0; !r && j->labels == 2 && k < report->file_count; k++) {
        if (p)
            r = file_recall(j, k, p, &report->files[k].recall_first);
        if (!r && q)
            r = file_recall(j, k, q, &report->files[k].recall_second);
    }
    return r;
}

static enum result check(struct job *j)
{
    if (j->d->label_count < 2 || j->d->label_count > HEAD_LABELS_MAX) {
        snprintf(j->problem, TRAIN_PROBLEM_BYTES, "the data have %u labels; 2 to %u are needed",
                 j->d->label_count, HEAD_LABELS_MAX);
        return RESULT_RANGE;
    }
    if (j->rows < ROWS_MIN) {
        snprintf(j->problem, TRAIN_PROBLEM_BYTES, "the data have %u rows; %u are needed", j->rows,
                 ROWS_MIN);
        return RESULT_RANGE;
    }
    if (j->o->folds < 2 || j->o->folds > TRAIN_FOLDS_MAX || ngram_spec_check(&j->o->spec) ||
        j->o->hidden > HEAD_HIDDEN_MAX) {
        snprintf(j->problem, TRAIN_PROBLEM_BYTES, "folds, hidden units or n-grams outside limits");
        return RESULT_RANGE;
    }
    return RESULT_OK;
}

static enum result train(struct job *j, struct sparse *x, struct buf *out,
                         struct train_report *report)
{
    bool second = j->o->kind != TRAIN_NGRAM, first = j->o->first || !second;
    enum result r = check(j);
    j->truth = alloc_zeroed((size_t)j->rows + 1, sizeof *j->truth);
    if (!r && !j->truth)
        r = RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < j->rows; i++) {
        j->truth[i] = j->d->rows.at[i].label;
        report->groups += j->d->rows.at[i].group == i;
    }
    if (!r && first) {
        r = make_first(j, x);
        if (!r)
            r = cross_fit(j, &j->tier[0], "first");
        if (!r)
            r = fit_all(j, &j->tier[0]);
        if (!r)
            r = describe(j, &j->tier[0], &report->first);
    }
    report->enough = second ? 1.01 : 0;
    report->asked = second;
    if (!r && second) {
        r = make_second(j);
        if (!r)
            r = cross_fit(j, &j->tier[1], "second");
        if (!r)
            r = fit_all(j, &j->tier[1]);
        if (!r)
            r = describe(j, &j->tier[1], &report->second);
        if (!r && first)
            r = choose_enough(j, report);
    }
    if (!r)
        r = describe_files(j, report);
    if (r)
        return r;
    struct train_parts parts = {.labels = j->d->labels,
                                .label_count = j->labels,
                                .data_digest = j->d->digest,
                                .idf = j->idf,
                                .first = first ? j->tier[0].fit : NULL,
                                .second = second ? j->tier[1].fit : NULL,
                                .first_calibration = j->tier[0].calibration,
                                .second_calibration = j->tier[1].calibration};
    return train_write(j->o, &parts, report, out);
}

enum result train_head(struct dataset *d, const struct train_options *o, struct buf *out,
                       struct train_report *report, void (*log)(const char *line),
                       char problem[TRAIN_PROBLEM_BYTES])
{
    struct job j = {.d = d,
                    .o = o,
                    .rows = (uint32_t)d->rows.len,
                    .labels = d->label_count,
                    .columns = head_columns(d->label_count),
                    .log = log,
                    .problem = problem};
    struct sparse x = {0};
    problem[0] = 0;
    *report = (struct train_report){.rows = j.rows, .labels = j.labels, .folds = o->folds};
    arena_init(&j.arena, 0, (size_t)ARENA_MAX);
    size_t before = out->len;
    enum result r = train(&j, &x, out, report);
    report->bytes = out->len - before;
    if (r && !problem[0])
        snprintf(problem, TRAIN_PROBLEM_BYTES, "training failed: %s", result_name(r));
    for (int i = 0; i < 2; i++) {
        fit_close(j.tier[i].fit);
        alloc_free(j.tier[i].raw);
        alloc_free(j.tier[i].p);
    }
    alloc_free(x.start);
    alloc_free(x.index);
    alloc_free(x.value);
    alloc_free(j.idf);
    alloc_free(j.embeddings);
    alloc_free(j.truth);
    arena_deinit(&j.arena);
    return r;
}
