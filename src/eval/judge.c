#include "eval/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/decider.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "signal/registry.h"

// One signal, ready to be asked.
struct judge {
    const struct dataset *d;
    const struct judge_options *o;
    struct decider decider;
    struct plan_scratch *scratch;
    const struct image_signal *def;
    uint32_t labels;
    uint32_t positive;          // of a number: the label that it is the probability of
    uint32_t low, middle, high; // of a scale: its labels, or DATASET_NO_LABEL
};

static enum result wrong(char *problem, enum result r, const char *what, const char *name)
{
    snprintf(problem, JUDGE_PROBLEM_BYTES, "%s: %s", name, what);
    return r;
}

static bool is_family(const char *name)
{
    return signal_family_find(&signal_registry, slice_cstr(name)) != NULL;
}

static enum result open_judge(struct judge *j, char *problem)
{
    const char *signal = j->o->signal;
    struct buf text;
    struct arena arena;
    struct diag_list diags;
    buf_init(&text, 1 << 20);
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 8);
    buf_printf(
        &text,
        "policy \"eval\" version 1\nzone z\nmodel m zone z endpoint \"http://127.0.0.1:9/v1\"\n"
        "  context 8192 tok output 1k tok\nsignal x = ");
    if (strchr(signal, '(') || is_family(signal))
        buf_printf(&text, "%s", signal);
    else
        buf_printf(&text, "classify(\"%s\")", signal);
    buf_printf(&text, "\notherwise -> answer(m)\n");
    enum result r = buf_result(&text);
    if (!r)
        r = decider_open(&j->decider, buf_slice(&text), j->o->trunk, DECIDER_ANY, &diags);
    if (r && diags.count)
        snprintf(problem, JUDGE_PROBLEM_BYTES, "%.*s", SLICE_FMT(diags.items[0].message));
    else if (r)
        wrong(problem, r, result_name(r), signal);
    if (!r)
        r = plan_scratch_open(j->decider.plan, &j->scratch);
    if (!r)
        j->def = image_signal(j->decider.image, 0);
    arena_deinit(&arena);
    buf_deinit(&text);
    return r;
}

static void close_judge(struct judge *j)
{
    plan_scratch_close(j->scratch);
    decider_close(&j->decider);
}

static char plain(char c)
{
    return c == ' ' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

// "computer science" and computer_science are one label.
static bool same(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (plain(a.ptr[i]) != plain(b.ptr[i]))
            return false;
    return true;
}

static uint32_t label_of(const struct judge *j, struct slice name)
{
    for (uint32_t i = 0; i < j->labels; i++)
        if (same(j->d->labels[i], name))
            return i;
    return DATASET_NO_LABEL;
}

static enum result find_positive(struct judge *j, char *problem)
{
    static const char *const guesses[] = {
        "attack", "jailbreak", "needs_reasoning", "needs_fact_check", "hard", "1", "true", "yes"};
    j->low = label_of(j, SLICE("easy"));
    j->middle = label_of(j, SLICE("medium"));
    j->high = label_of(j, SLICE("hard"));
    j->positive = DATASET_NO_LABEL;
    if (j->o->positive)
        j->positive = label_of(j, slice_cstr(j->o->positive));
    for (unsigned i = 0;
         !j->o->positive && i < MERIT_COUNT(guesses) && j->positive == DATASET_NO_LABEL; i++)
        j->positive = label_of(j, slice_cstr(guesses[i]));
    if (j->positive == DATASET_NO_LABEL)
        return wrong(problem, RESULT_SYNTAX,
                     "which label is the number the probability of? Name it with --positive",
                     j->o->signal);
    return RESULT_OK;
}

// A conversation of one user message, behind an earlier exchange, so that a follow-up has something to follow.
static void make_work(struct slice text, struct work *w, struct work_message m[3],
                      struct work_part p[3])
{
    p[0] = (struct work_part){.kind = WORK_TEXT, .text = SLICE("Hello.")};
    p[1] = (struct work_part){.kind = WORK_TEXT, .text = SLICE("Here is what I found.")};
    p[2] = (struct work_part){.kind = WORK_TEXT, .text = text};
    for (uint32_t i = 0; i < 3; i++)
        m[i] = (struct work_message){
            .role = i == 1 ? WORK_ASSISTANT : WORK_USER, .part_first = i, .part_count = 1};
    *w = (struct work){
        .messages = m, .message_count = 3, .parts = p, .part_count = 3, .choices = 1, .anchor = 2};
}

static enum result ask(struct judge *j, struct slice text, struct arena *arena, struct fact *out)
{
    struct work w;
    struct work_message messages[3];
    struct work_part parts[3];
    make_work(text, &w, messages, parts);
    struct plan_run *run = plan_begin(j->decider.plan, j->scratch, &w, arena, NULL);
    if (!run)
        return RESULT_NOMEM;
    while (!plan_compute(run, 0, out)) {
        if (j->o->trunk)
            j->o->trunk->answer(j->o->trunk->ctx, plan_asks(run), arena);
        plan_answer_all(run, RESULT_NOT_FOUND);
    }
    return RESULT_OK;
}

// The row of probabilities that a fact stands for: what it told gets its probability, the others share the rest.
static void spread(const struct judge *j, const struct fact *f, float *p)
{
    uint32_t columns = j->labels + 1, told;
    double sure = (double)f->probability;
    if (j->def->type == SIGNAL_NUMBER) {
        bool scale = j->middle != DATASET_NO_LABEL && j->low != DATASET_NO_LABEL;
        if (scale) {
            told = f->number < 1.0 / 3 ? j->low : f->number < 2.0 / 3 ? j->middle : j->high;
        } else {
            for (uint32_t i = 0; i < columns; i++)
                p[i] = i == j->labels     ? 0
                       : i == j->positive ? (float)f->number
                                          : (float)((1 - f->number) / (j->labels - 1));
            return;
        }
    } else if (j->def->type == SIGNAL_ENUM) {
        const struct policy_image *image = j->decider.image;
        const struct image_str *words = IMAGE_AT(image, j->def->words, struct image_str);
        told = label_of(j, image_text(image, words[(uint32_t)f->number]));
    } else {
        told = label_of(j, f->text);
    }
    if (told == DATASET_NO_LABEL || f->state == FACT_FAILED)
        told = j->labels;
    if (sure < 1.0 / columns)
        sure = 1.0 / columns + 1e-6;
    for (uint32_t i = 0; i < columns; i++)
        p[i] = (float)(i == told ? sure : (1 - sure) / (columns - 1));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void count_family(struct judge_report *r, const struct dataset_row *row, bool right,
                         bool told)
{
    uint32_t i = 0;
    while (i < r->family_count && !slice_eq(r->families[i].name, row->family))
        i++;
    if (i == JUDGE_FAMILIES_MAX || !row->family.len)
        return;
    if (i == r->family_count)
        r->families[r->family_count++] = (struct judge_family){.name = row->family};
    r->families[i].rows++;
    r->families[i].right += right;
    r->families[i].told += told;
}

static enum result binary(const struct judge *j, const float *p, const uint32_t *truth,
                          struct arena *arena, struct judge_report *r)
{
    uint32_t n = r->rows, columns = j->labels + 1;
    float *score = ARENA_ARRAY(arena, float, n + 1), threshold;
    bool *positive = ARENA_ARRAY(arena, bool, n + 1);
    if (!score || !positive)
        return RESULT_NOMEM;
    uint64_t told[2] = {0}, of[2] = {0};
    for (uint32_t i = 0; i < n; i++) {
        score[i] = p[(size_t)i * columns + j->positive];
        positive[i] = truth[i] == j->positive;
        of[positive[i]]++;
        told[positive[i]] += score[i] > (float)j->o->at;
    }
    r->binary = true;
    r->recall = measure_share(told[1], of[1]);
    r->false_positives = measure_share(told[0], of[0]);
    enum result res = measure_auc(score, positive, n, arena, &r->auc);
    if (!res)
        res = measure_recall_at(score, positive, n, 0.01, arena, &r->recall_at_1, &threshold);
    if (!res)
        res = measure_recall_at(score, positive, n, 0.05, arena, &r->recall_at_5, &threshold);
    return res;
}

// How well the probability tells what belongs to none of the labels.
static enum result out_of_scope(const struct judge *j, const float *p, const uint32_t *truth,
                                struct arena *arena, struct judge_report *r)
{
    uint32_t oos = label_of(j, slice_cstr(j->o->oos)), columns = j->labels + 1;
    float *score = ARENA_ARRAY(arena, float, r->rows + 1);
    bool *positive = ARENA_ARRAY(arena, bool, r->rows + 1);
    if (!score || !positive)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < r->rows; i++) {
        const float *row = p + (size_t)i * columns;
        for (uint32_t k = 0; k < columns; k++)
            if (row[k] > score[i] && k != oos)
                score[i] = row[k];
        positive[i] = truth[i] != oos;
    }
    return measure_auc(score, positive, r->rows, arena, &r->oos_auc);
}

static enum result run(struct judge *j, struct arena *arena, float *p, uint32_t *truth, double *us,
                       struct judge_report *r)
{
    uint32_t n = (uint32_t)j->d->rows.len, columns = j->labels + 1;
    uint64_t asked = 0, failed = 0;
    struct arena scratch;
    arena_init(&scratch, 1 << 16, 1u << 30);
    enum result res = RESULT_OK;
    for (uint32_t i = 0; !res && i < n; i++) {
        const struct dataset_row *row = &j->d->rows.at[i];
        struct fact f;
        uint64_t begin = clock_thread_ns();
        res = ask(j, row->text, &scratch, &f);
        us[i] = (double)(clock_thread_ns() - begin) / 1e3;
        if (res)
            break;
        asked += slice_find(f.by, SLICE(" on ")) >= 0;
        failed += f.state == FACT_FAILED;
        truth[i] = row->label;
        float *mine = p + (size_t)i * columns;
        spread(j, &f, mine);
        uint32_t best = 0;
        for (uint32_t k = 1; k < columns; k++)
            if (mine[k] > mine[best])
                best = k;
        if (j->positive != DATASET_NO_LABEL && j->labels == 2)
            best = mine[j->positive] > (float)j->o->at ? j->positive : 1 - j->positive;
        count_family(r, row, best == row->label, best == j->positive);
        arena_reset(&scratch);
        if (j->o->progress && (i + 1) % 256 == 0)
            j->o->progress(j->o->ctx, i + 1, n);
    }
    arena_deinit(&scratch);
    r->asked = n ? (double)asked / n : 0;
    r->failed = n ? (double)failed / n : 0;
    (void)arena;
    return res;
}

static enum result summarise(struct judge *j, struct arena *arena, const float *p,
                             const uint32_t *truth, double *us, struct judge_report *r)
{
    uint32_t n = r->rows, columns = j->labels + 1;
    struct measure_class *classes = ARENA_ARRAY(arena, struct measure_class, columns);
    uint64_t *confusion = ARENA_ARRAY(arena, uint64_t, (size_t)columns * columns);
    if (!classes || !confusion)
        return RESULT_NOMEM;
    r->macro_f1 = measure_classes(p, truth, n, columns, classes, confusion);
    r->classes = classes;
    r->confusion = confusion;
    r->ece = measure_ece(p, truth, n, columns, r->bins);
    r->brier = measure_brier(p, truth, n, columns);
    uint64_t hits = 0;
    for (uint32_t i = 0; i < columns; i++)
        hits += confusion[(size_t)i * columns + i];
    r->accuracy = measure_share(hits, n);
    qsort(us, n, sizeof *us, by_value);
    for (uint32_t i = 0; i < n; i++)
        r->us_mean += us[i] / n;
    r->us_p50 = us[n / 2];
    r->us_p99 = us[(uint64_t)n * 99 / 100];
    enum result res = RESULT_OK;
    if (j->def->type == SIGNAL_NUMBER && j->labels == 2)
        res = binary(j, p, truth, arena, r);
    if (!res && j->o->oos)
        res = out_of_scope(j, p, truth, arena, r);
    return res;
}

enum result judge_labels(const struct dataset *d, const struct judge_options *o,
                         struct arena *arena, struct judge_report *out,
                         char problem[JUDGE_PROBLEM_BYTES])
{
    struct judge j = {.d = d, .o = o, .labels = d->label_count, .positive = DATASET_NO_LABEL};
    *out = (struct judge_report){.rows = (uint32_t)d->rows.len, .labels = d->label_count};
    problem[0] = 0;
    enum result r = open_judge(&j, problem);
    if (!r && (j.def->type == SIGNAL_BOOL || j.def->type == SIGNAL_SET))
        r = wrong(problem, RESULT_SYNTAX, "this signal has no labels to be right about", o->signal);
    if (!r && j.def->type == SIGNAL_NUMBER)
        r = find_positive(&j, problem);
    if (!r && !out->rows)
        r = wrong(problem, RESULT_SYNTAX, "there are no texts", o->signal);
    size_t rows = out->rows, columns = j.labels + 1;
    float *p = r ? NULL : ARENA_ARRAY(arena, float, rows *columns);
    uint32_t *truth = r ? NULL : ARENA_ARRAY(arena, uint32_t, rows);
    double *us = r ? NULL : ARENA_ARRAY(arena, double, rows);
    if (!r && (!p || !truth || !us))
        r = RESULT_NOMEM;
    if (!r)
        r = run(&j, arena, p, truth, us, out);
    if (!r)
        r = summarise(&j, arena, p, truth, us, out);
    close_judge(&j);
    return r;
}
