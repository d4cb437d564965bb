// Output lengths learned online, on recorded traffic: each request is predicted first, by the epoch that stands at the time,
// and learned from when its answer would have ended.
//
//   bench_route_lengths DATA      the folder with traces/ and outcomes/ (default $MERIT_DATA, then ../shared/data)
//
// Sets: the Azure code and conversation traces and Mooncake's by their own times, an answer taking 0.5 s and 20 ms a token,
// merged once a second; MMLU-Pro's answers of 16 models question by question, the category standing for the word of a
// signal, learned from some 64 answers later. Prices are stated here: 1.25 in and 10 out usd/Mtok for the traces, and for the 16
// models in turn the six of PRICES. Input tokens are taken as counted.
//
// Printed per set and order (by time; shuffled, so that what hangs together is torn apart; two random halves, each as its own
// set): the share of answers inside the 80 % interval with a 90 % interval by blocks of 100; that share among answers
// whose cell knew fewer than 20; the error of the sum of dollars, and of the output's dollars alone. The worst of all
// sets and orders decides. The last line is for machines.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "route/lengths.h"

enum { ROWS_MAX = 1 << 18, BLOCK = 100, DRAWS = 400, LAG = 64, MODELS_MAX = 32 };

struct row {
    double at_s;
    uint32_t model, question;
    uint64_t word;
    uint32_t in_tok, out_tok;
};

struct set {
    const char *name;
    bool timed;
    struct row *rows;
    uint32_t count;
};

// usd/Mtok in, out.
static const double TRACE_PRICE[2] = {1.25, 10};
static const double PRICES[6][2] = {{0.03, 0.06}, {0.1, 0.4}, {0.2, 0.6},
                                    {0.5, 1.5},   {1.25, 10}, {2.5, 10}};

struct outcome {
    struct measure_rate {
        double value, low, high;
    } coverage, usd_error;
    double few, out_error, answers_few;
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "bench_route_lengths: %s %s\n", what, name);
    exit(2);
}

static FILE *open_set(const char *data, const char *path)
{
    char command[4096];
    if (strchr(data, '\''))
        die("quote in the path", data);
    snprintf(command, sizeof command, "gzip -dc '%s/%s'", data, path);
    FILE *f = popen(command, "r");
    if (!f)
        die("cannot read", path);
    return f;
}

static void add_row(struct set *s, struct row row)
{
    if (s->count == ROWS_MAX)
        die("too many rows in", s->name);
    s->rows[s->count++] = row;
}

static struct set new_set(const char *name, bool timed)
{
    struct set s = {.name = name, .timed = timed, .rows = alloc_zeroed(ROWS_MAX, sizeof *s.rows)};
    if (!s.rows)
        die("no memory for", name);
    return s;
}

static struct set read_azure(const char *data, const char *name, const char *path)
{
    struct set s = new_set(name, true);
    FILE *f = open_set(data, path);
    char line[512];
    double first = -1;
    while (fgets(line, sizeof line, f)) {
        int day, hour, minute;
        double second;
        uint32_t in, out;
        if (sscanf(line, "%*d-%*d-%d %d:%d:%lf,%u,%u", &day, &hour, &minute, &second, &in, &out) !=
            6)
            continue;
        double at = ((day * 24 + hour) * 60 + minute) * 60 + second;
        if (first < 0)
            first = at;
        if (out)
            add_row(&s, (struct row){.at_s = at - first, .in_tok = in, .out_tok = out});
    }
    pclose(f);
    return s;
}

static struct set read_mooncake(const char *data, const char *path)
{
    struct set s = new_set("mooncake", true);
    FILE *f = open_set(data, path);
    static char line[1 << 20];
    while (fgets(line, sizeof line, f)) {
        double at;
        uint32_t in, out;
        if (sscanf(line, "{\"timestamp\": %lf, \"input_length\": %u, \"output_length\": %u", &at,
                   &in, &out) == 3 &&
            out)
            add_row(&s, (struct row){.at_s = at / 1000, .in_tok = in, .out_tok = out});
    }
    pclose(f);
    return s;
}

static uint32_t intern(char (*names)[64], uint32_t *count, const char *name)
{
    for (uint32_t i = 0; i < *count; i++)
        if (!strcmp(names[i], name))
            return i;
    if (*count == MODELS_MAX)
        die("too many models or categories:", name);
    snprintf(names[*count], 64, "%s", name);
    return (*count)++;
}

static int by_question(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->question != y->question)
        return x->question < y->question ? -1 : 1;
    return x->model < y->model ? -1 : x->model > y->model;
}

// Question by question, in the order of the ids, all models one after the other.
static struct set read_outcomes(const char *data, const char *name, const char *folder)
{
    static uint64_t words[1 << 17];
    static char models[MODELS_MAX][64], categories[MODELS_MAX][64], line[1 << 20];
    uint32_t model_count = 0, category_count = 0;
    struct set s = new_set(name, false);
    char path[256];
    snprintf(path, sizeof path, "%s/questions.jsonl.gz", folder);
    FILE *f = open_set(data, path);
    while (fgets(line, sizeof line, f)) {
        const char *id = strstr(line, "\"id\":"), *c = strstr(line, "\"category\":");
        char word[64];
        unsigned number;
        if (id && c && sscanf(id + 5, "%*[ \"]%u", &number) == 1 && number < MERIT_COUNT(words) &&
            sscanf(c + 11, " \"%63[^\"]", word) == 1)
            words[number] = intern(categories, &category_count, word) + 1;
    }
    pclose(f);
    snprintf(path, sizeof path, "%s/outcomes.tsv.gz", folder);
    f = open_set(data, path);
    while (fgets(line, sizeof line, f)) {
        char model[64];
        unsigned id, in, out;
        if (sscanf(line, "%u\t%63[^\t]\t%*[^\t]\t%u\t%u", &id, model, &in, &out) == 4 && out &&
            id < MERIT_COUNT(words))
            add_row(&s, (struct row){.model = intern(models, &model_count, model),
                                     .question = id,
                                     .word = words[id],
                                     .in_tok = in,
                                     .out_tok = out});
    }
    pclose(f);
    qsort(s.rows, s.count, sizeof *s.rows, by_question);
    return s;
}

// --- replay

struct said {
    struct lengths_answer answer;
    double done;
};

static int by_done(const void *a, const void *b)
{
    const struct said *x = a, *y = b;
    return x->done < y->done ? -1 : x->done > y->done;
}

struct tally {
    uint32_t count, held, few, few_held;
    uint8_t *inside;
    double *told, *was;
    double out_told, out_was;
};

// What is under way is kept in a heap by the time at which it ends.
struct flight {
    struct said *at;
    uint32_t count;
};

static void push(struct flight *f, struct said s)
{
    uint32_t i = f->count++;
    while (i && by_done(&f->at[(i - 1) / 2], &s) > 0) {
        f->at[i] = f->at[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    f->at[i] = s;
}

static struct said pop(struct flight *f)
{
    struct said top = f->at[0], last = f->at[--f->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t c = 2 * i + 1;
        if (c >= f->count)
            break;
        if (c + 1 < f->count && by_done(&f->at[c + 1], &f->at[c]) < 0)
            c++;
        if (by_done(&last, &f->at[c]) <= 0)
            break;
        f->at[i] = f->at[c];
        i = c;
    }
    f->at[i] = last;
    return top;
}

static void merge(struct lengths *l, struct lengths_epoch **e)
{
    if (!lengths_merge(l))
        return;
    lengths_epoch_unref(*e);
    if (lengths_epoch_make(l, e))
        die("no memory", "");
}

static void judge(const struct row *row, const double *price, const struct lengths_expect *x,
                  struct tally *t)
{
    bool held = row->out_tok >= x->low_tok && row->out_tok <= x->high_tok;
    t->inside[t->count] = held;
    t->held += held;
    t->few += x->answers < 20;
    t->few_held += held && x->answers < 20;
    t->told[t->count] = (row->in_tok * price[0] + (double)x->mean_tok * price[1]) / 1e6;
    t->was[t->count] = (row->in_tok * price[0] + row->out_tok * price[1]) / 1e6;
    t->out_told += (double)x->mean_tok * price[1];
    t->out_was += row->out_tok * price[1];
    t->count++;
}

static void replay(const struct set *s, const struct row *rows, uint32_t count, struct tally *t)
{
    struct lengths *l;
    struct lengths_epoch *e = NULL;
    struct flight flight = {.at = alloc_zeroed(count + 1, sizeof *flight.at)};
    double merged = -1;
    if (!flight.at || lengths_open(&l, 1))
        die("no memory for", s->name);
    for (uint32_t i = 0; i < count; i++) {
        double now = s->timed ? rows[i].at_s : (double)i;
        while (flight.count && flight.at[0].done <= now) {
            struct said done = pop(&flight);
            while (s->timed && merged + 1 <= done.done) {
                merge(l, &e);
                merged = floor(merged + 1) > done.done - 1 ? floor(merged + 1) : floor(done.done);
            }
            lengths_saw(l, 0, &done.answer);
        }
        if (s->timed ? merged + 1 <= now : i % LAG == 0) {
            merge(l, &e);
            merged = s->timed ? floor(now) : 0;
        }
        struct work work = {.input_tok = rows[i].in_tok, .choices = 1};
        struct said said = {.answer = {.model = rows[i].model + 100,
                                       .task = lengths_task(&work, 7, rows[i].word),
                                       .output_tok = rows[i].out_tok,
                                       .input_tok = rows[i].in_tok}};
        lengths_expect(e, said.answer.model, IMAGE_EFFORT_DEFAULT, &said.answer.task, 0,
                       &said.answer.expected);
        judge(&rows[i], s->timed ? TRACE_PRICE : PRICES[rows[i].model % 6], &said.answer.expected,
              t);
        said.done = s->timed ? now + 0.5 + 0.02 * rows[i].out_tok : now + LAG;
        push(&flight, said);
    }
    lengths_epoch_unref(e);
    lengths_close(l);
    alloc_free(flight.at);
}

// --- intervals: blocks of requests that follow each other are drawn again

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void bootstrap(const struct tally *t, struct rng *rng, struct outcome *o)
{
    double shares[DRAWS], errors[DRAWS];
    uint32_t blocks = (t->count + BLOCK - 1) / BLOCK;
    for (uint32_t d = 0; d < DRAWS; d++) {
        uint32_t n = 0, held = 0;
        double told = 0, was = 0;
        for (uint32_t b = 0; b < blocks; b++) {
            uint32_t from = (uint32_t)rng_below(rng, blocks) * BLOCK;
            for (uint32_t i = from; i < from + BLOCK && i < t->count; i++, n++) {
                held += t->inside[i];
                told += t->told[i];
                was += t->was[i];
            }
        }
        shares[d] = (double)held / n;
        errors[d] = told / was - 1;
    }
    qsort(shares, DRAWS, sizeof *shares, by_number);
    qsort(errors, DRAWS, sizeof *errors, by_number);
    o->coverage.low = shares[DRAWS / 20];
    o->coverage.high = shares[DRAWS - 1 - DRAWS / 20];
    o->usd_error.low = errors[DRAWS / 20];
    o->usd_error.high = errors[DRAWS - 1 - DRAWS / 20];
}

static struct outcome run(const struct set *s, const struct row *rows, uint32_t count,
                          struct rng *rng)
{
    struct outcome o;
    struct tally t = {.inside = alloc_zeroed(count, 1),
                      .told = alloc_zeroed(count, sizeof *t.told),
                      .was = alloc_zeroed(count, sizeof *t.was)};
    double told = 0, was = 0;
    if (!t.inside || !t.told || !t.was)
        die("no memory for", s->name);
    replay(s, rows, count, &t);
    for (uint32_t i = 0; i < count; i++) {
        told += t.told[i];
        was += t.was[i];
    }
    o.coverage.value = (double)t.held / count;
    o.usd_error.value = told / was - 1;
    o.out_error = t.out_told / t.out_was - 1;
    o.few = t.few ? (double)t.few_held / t.few : NAN;
    o.answers_few = t.few;
    bootstrap(&t, rng, &o);
    alloc_free(t.inside);
    alloc_free(t.told);
    alloc_free(t.was);
    return o;
}

// --- orders

static void shuffle(struct row *rows, uint32_t count, bool timed, struct rng *rng)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(rng, i);
        struct row a = rows[i - 1], b = rows[j];
        rows[i - 1] = b;
        rows[j] = a;
        if (timed) { // the times stay where they are
            rows[i - 1].at_s = a.at_s;
            rows[j].at_s = b.at_s;
        }
    }
}

struct worst {
    double low, high, error;
};

static void show(const char *set, const char *order, uint32_t count, const struct outcome *o,
                 struct worst *w, FILE *json, bool *first)
{
    printf("%-9s %-9s %7u   %.3f  %.3f..%.3f   %6.3f (%5.0f)   %+.4f  %+.4f..%+.4f   %+.4f\n", set,
           order, count, o->coverage.value, o->coverage.low, o->coverage.high, o->few,
           o->answers_few, o->usd_error.value, o->usd_error.low, o->usd_error.high, o->out_error);
    fprintf(json, "%s\"%s %s\": {\"coverage\": %.4f, \"estimate_error\": %.5f}", *first ? "" : ", ",
            set, order, o->coverage.value, fabs(o->usd_error.value));
    *first = false;
    w->low = o->coverage.value < w->low ? o->coverage.value : w->low;
    w->high = o->coverage.value > w->high ? o->coverage.value : w->high;
    w->error = fabs(o->usd_error.value) > w->error ? fabs(o->usd_error.value) : w->error;
}

static void orders(struct set *s, struct rng *rng, struct worst *w, FILE *json, bool *first)
{
    struct outcome o = run(s, s->rows, s->count, rng);
    show(s->name, "time", s->count, &o, w, json, first);
    struct row *half = alloc_zeroed(s->count, sizeof *half);
    uint8_t *side = alloc_zeroed(s->count, 1);
    if (!half || !side)
        die("no memory for", s->name);
    for (uint32_t i = 0; i < s->count; i++)
        side[i] = rng_next(rng) & 1;
    for (uint8_t k = 0; k < 2; k++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->count; i++)
            if (side[i] == k)
                half[n++] = s->rows[i];
        o = run(s, half, n, rng);
        show(s->name, k ? "half b" : "half a", n, &o, w, json, first);
    }
    shuffle(s->rows, s->count, s->timed, rng);
    o = run(s, s->rows, s->count, rng);
    show(s->name, "shuffled", s->count, &o, w, json, first);
    alloc_free(half);
    alloc_free(side);
}

int main(int argc, char **argv)
{
    const char *data = argc > 1 ? argv[1] : getenv("MERIT_DATA");
    char *figures = NULL;
    size_t figures_len;
    bool first = true;
    struct rng rng;
    struct worst worst = {1, 0, 0};
    if (!data)
        data = "../shared/data";
    rng_seed(&rng, 20261121);
    struct set sets[] = {read_azure(data, "code", "traces/azure_llm_code.csv.gz"),
                         read_azure(data, "conv", "traces/azure_llm_conv.csv.gz"),
                         read_mooncake(data, "traces/mooncake_conversation.jsonl.gz"),
                         read_outcomes(data, "mmlupro", "outcomes/mmlupro")};
    FILE *json = open_memstream(&figures, &figures_len);
    if (!json)
        die("no memory", "");
    printf("set       order        rows   inside  90 %%           few   (of)       usd error 90 %%"
           "               output usd\n");
    for (uint32_t i = 0; i < MERIT_COUNT(sets); i++) {
        if (sets[i].count < 1000)
            die("too little in", sets[i].name);
        orders(&sets[i], &rng, &worst, json, &first);
        alloc_free(sets[i].rows);
    }
    fclose(json);
    bool pass = worst.low >= 0.75 && worst.high <= 0.85 && worst.error <= 0.02;
    printf("{\"bench\": \"lengths\", \"pass\": %s, \"figures\": {\"coverage_min\": %.4f, "
           "\"coverage_max\": %.4f, \"estimate_error\": %.5f, \"sets\": {%s}}}\n",
           pass ? "true" : "false", worst.low, worst.high, worst.error, figures);
    free(figures);
    return pass ? 0 : 1;
}
