// merit train SIGNAL DATA...
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/encoder_source.h"
#include "eval/dataset.h"
#include "eval/train.h"
#include "eval/train_language.h"
#include "math/measure.h"
#include "nn/head.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit train SIGNAL DATA... [options]\n"
    "\n"
    "Trains the head of a signal on JSON lines (also .gz), each with a text and a label. "
    "Near-duplicates stay on one\n"
    "side of every split, probabilities are calibrated on texts that were kept back, training "
    "stops by itself, and the\n"
    "same data and seed give the same bytes.\n"
    "\n"
    "  --kind ngram|logistic|mlp   n-grams alone (microseconds, no encoder), or a layer over the "
    "encoder's embedding\n"
    "                              with an n-gram tier before it (logistic, the default where an "
    "encoder is there)\n"
    "  --alone                     without the n-gram tier\n"
    "  --out FILE                  SIGNAL.safetensors\n"
    "  --text-key KEY, --label-key KEY                      text, label\n"
    "  --seed N, --folds N, --epochs N, --hidden N          1, 5, at most 40, 64\n"
    "  --bits N                    n-gram buckets, as a power of two: 16\n"
    "  --chars A-B, --words N      n-grams of characters and words: 3-5, 2\n"
    "  --shape                     also features of length, lines, marks and the first words\n"
    "  --first-rate X, --second-rate X, --drop X, --shrink X, --loss X\n"
    "                              steps, share of n-grams left out per visit, weight decay, and "
    "how much accuracy\n"
    "                              the first tier's answers may cost: 0.4, 0.3, 0, 0, 0.003\n"
    "  --enough P                  the probability from which the first tier's answer stands, "
    "instead of --loss\n"
    "  --counts FILE, --entries N, --smooth X, --counts-weight X, --counts-floor X\n"
    "                              of SIGNAL language only: a file of n-gram counts "
    "(scripts/language-ngrams), the size\n"
    "                              of the table, and how counts are weighed: 1000000, 0.01, 2, "
    "300\n"
    "  --data TEXT, --licence TEXT, --date TEXT             written into the file\n"
    "  --cache DIR                 of embeddings: build/embeddings\n"
    "  --json                      the report as JSON\n"
    "\n"
    "  merit train urgency tickets.jsonl --kind ngram --out urgency.safetensors\n";

struct numbers {
    const char *seed, *folds, *epochs, *hidden, *bits, *chars, *words;
    const char *first_rate, *second_rate, *drop, *shrink, *loss, *enough;
};

static bool quiet;

static void log_line(const char *line)
{
    if (!quiet)
        fprintf(stderr, "%s\n", line);
}

static bool whole(const char *name, const char *text, uint64_t low, uint64_t high, uint32_t *out)
{
    uint64_t v;
    if (!text)
        return true;
    if (slice_u64(slice_cstr(text), &v) && v >= low && v <= high) {
        *out = (uint32_t)v;
        return true;
    }
    fprintf(stderr, "merit train: %s is a whole number from %llu to %llu, not \"%s\"\n", name,
            (unsigned long long)low, (unsigned long long)high, text);
    return false;
}

static bool real(const char *name, const char *text, double high, double *out)
{
    char *end;
    if (!text)
        return true;
    double v = strtod(text, &end);
    if (*text && !*end && v >= 0 && v <= high) {
        *out = v;
        return true;
    }
    fprintf(stderr, "merit train: %s is a number from 0 to %g, not \"%s\"\n", name, high, text);
    return false;
}

static bool chars(const char *text, struct ngram_spec *spec)
{
    if (!text)
        return true;
    struct slice rest = slice_cstr(text), low, high;
    uint64_t from, to;
    if (slice_split(&rest, '-', &low) && slice_split(&rest, '-', &high) && !rest.ptr &&
        slice_u64(low, &from) && slice_u64(high, &to) && to <= NGRAM_CHAR_MAX) {
        spec->char_min = (uint32_t)from;
        spec->char_max = (uint32_t)to;
        if (!ngram_spec_check(spec))
            return true;
    }
    fprintf(stderr, "merit train: --chars is a range such as 3-5 (0-0 for none), not \"%s\"\n",
            text);
    return false;
}

static bool numbers(const struct numbers *n, struct train_options *o)
{
    uint32_t seed = 1;
    double rates[] = {o->first_rate, o->second_rate, o->drop, o->shrink};
    bool ok =
        whole("--seed", n->seed, 0, UINT32_MAX, &seed) &&
        whole("--folds", n->folds, 2, TRAIN_FOLDS_MAX, &o->folds) &&
        whole("--epochs", n->epochs, 1, 1000, &o->epochs_max) &&
        whole("--hidden", n->hidden, 1, HEAD_HIDDEN_MAX, &o->hidden) &&
        whole("--bits", n->bits, NGRAM_BITS_MIN, NGRAM_BITS_MAX, &o->spec.bucket_bits) &&
        whole("--words", n->words, 0, NGRAM_WORD_MAX, &o->spec.word_max) &&
        chars(n->chars, &o->spec) && real("--first-rate", n->first_rate, 100, &rates[0]) &&
        real("--second-rate", n->second_rate, 100, &rates[1]) &&
        real("--drop", n->drop, 0.9, &rates[2]) && real("--shrink", n->shrink, 1, &rates[3]) &&
        real("--loss", n->loss, 1, &o->loss_max) && real("--enough", n->enough, 1, &o->enough);
    o->seed = seed;
    o->first_rate = (float)rates[0];
    o->second_rate = (float)rates[1];
    o->drop = (float)rates[2];
    o->shrink = (float)rates[3];
    return ok;
}

static void print_tier(const char *name, const struct train_tier *t)
{
    if (!t->is)
        return;
    printf("%-12s accuracy %.4f (%.4f to %.4f)  macro F1 %.4f  ECE %.4f  Brier %.4f  %u epochs\n",
           name, t->accuracy, t->low, t->high, t->macro_f1, t->ece, t->brier, t->epochs);
}

static int print_report(const struct train_report *r, const char *path, bool json)
{
    if (json) {
        struct buf out;
        buf_init(&out, 1 << 20);
        train_report_json(r, &out);
        buf_byte(&out, '\n');
        int code = args_put(&out);
        buf_deinit(&out);
        return code;
    }
    printf("%u texts in %u groups, %u labels, %u folds; figures are of texts kept back\n", r->rows,
           r->groups, r->labels, r->folds);
    print_tier("n-grams", &r->first);
    print_tier(r->first.is ? "with encoder" : "encoder", &r->second);
    if (r->first.is && r->second.is)
        printf("%-12s accuracy %.4f, the encoder is asked for %.1f %% (when the n-grams' answer "
               "has less than %.3f)\n",
               "both tiers", r->accuracy, r->asked * 100, r->enough);
    for (uint32_t i = 0; r->file_count > 1 && i < r->file_count; i++) {
        const struct train_file *f = &r->files[i];
        double n = f->rows ? f->rows : 1;
        printf("  file %u: %u texts, n-grams %.4f, encoder %.4f, both %.4f asking for %.1f %%",
               i + 1, f->rows, f->right_first / n, f->right_second / n, f->right_both / n,
               100 * f->asked / n);
        if (r->labels == 2)
            printf("; recall of the first label at .01 false positives %.4f, %.4f", f->recall_first,
                   f->recall_second);
        printf("\n");
    }
    printf("%s: %llu bytes\n", path, (unsigned long long)r->bytes);
    return EXIT_DONE;
}

// The command line again, for the file.
static void write_command(int argc, char **argv, struct buf *out)
{
    BUF_LIT(out, "merit");
    for (int i = 0; i < argc; i++) {
        buf_byte(out, ' ');
        bool plain = argv[i][0] && !strpbrk(argv[i], " \t\n'\"\\$`*?[](){}<>|&;!#~");
        if (!plain)
            buf_byte(out, '\'');
        buf_cstr(out, argv[i]);
        if (!plain)
            buf_byte(out, '\'');
    }
    buf_byte(out, 0);
}

static int train(const struct args *a, const struct train_options *o,
                 const struct dataset_options *data, const char *path, bool json)
{
    struct dataset d;
    dataset_init(&d);
    char problem[TRAIN_PROBLEM_BYTES], room[FILE_ERROR_BYTES];
    struct train_report report;
    struct buf out;
    enum result r = RESULT_OK;
    for (size_t i = 1; !r && i < a->word_count; i++)
        r = dataset_read(&d, a->words[i], data, problem);
    if (!r && dataset_finish(&d, o->folds, o->seed)) {
        r = RESULT_NOMEM;
        snprintf(problem, sizeof problem, "no memory");
    }
    buf_init(&out, HEAD_FILE_MAX);
    if (!r)
        r = train_head(&d, o, &out, &report, log_line, problem);
    if (!r) {
        r = file_replace(path, buf_slice(&out), 0644);
        if (r)
            snprintf(problem, sizeof problem, "%.120s: %s", path, file_problem(r, room));
    }
    buf_deinit(&out);
    dataset_deinit(&d);
    if (r) {
        fprintf(stderr, "merit train: %s\n", problem);
        return EXIT_FOUND;
    }
    return print_report(&report, path, json);
}

struct language_numbers {
    const char *counts, *entries, *smooth, *weight, *floor;
};

static int train_languages(const struct args *a, const struct language_numbers *n,
                           const struct train_options *o, const struct dataset_options *data,
                           const char *path, bool json)
{
    char problem[TRAIN_PROBLEM_BYTES], room[FILE_ERROR_BYTES];
    struct train_language_options lo;
    struct train_language_report report;
    struct dataset d;
    struct buf out;
    enum result r = RESULT_OK;
    train_language_defaults(&lo);
    if (!whole("--entries", n->entries, 1000, 1 << 28, &lo.entries) ||
        !real("--smooth", n->smooth, 10, &lo.smooth) ||
        !real("--counts-weight", n->weight, 10, &lo.counts_weight) ||
        !real("--counts-floor", n->floor, 1e6, &lo.counts_floor))
        return EXIT_USAGE;
    lo.counts = n->counts;
    lo.data = o->data;
    lo.licence = o->licence;
    lo.date = o->date;
    lo.command = o->command;
    dataset_init(&d);
    buf_init(&out, HEAD_FILE_MAX);
    for (size_t i = 1; !r && i < a->word_count; i++)
        r = dataset_read(&d, a->words[i], data, problem);
    if (!r && dataset_finish(&d, o->folds, o->seed)) {
        r = RESULT_NOMEM;
        snprintf(problem, sizeof problem, "no memory");
    }
    if (!r)
        r = train_language(&d, &lo, o->folds, &out, &report, problem);
    if (!r) {
        r = file_replace(path, buf_slice(&out), 0644);
        if (r)
            snprintf(problem, sizeof problem, "%.120s: %s", path, file_problem(r, room));
    }
    dataset_deinit(&d);
    buf_deinit(&out);
    if (r) {
        fprintf(stderr, "merit train: %s\n", problem);
        return EXIT_FOUND;
    }
    if (json)
        printf("{\"files\":[");
    for (uint32_t i = 0; i < report.files && i < TRAIN_LANGUAGE_FILES_MAX; i++) {
        struct measure m = measure_share(report.right[i], report.rows[i]);
        if (json)
            printf("%s{\"rows\":%u,\"accuracy\":%.4f,\"low\":%.4f,\"high\":%.4f}", i ? "," : "",
                   report.rows[i], m.value, m.low, m.high);
        else
            printf("%-32s %u texts, accuracy %.4f (%.4f to %.4f)\n", a->words[1 + i],
                   report.rows[i], m.value, m.low, m.high);
    }
    if (json)
        printf("],\"languages\":%u,\"ece\":%.4f,\"entries\":%u,\"bytes\":%llu}\n", report.languages,
               report.ece, report.entries, (unsigned long long)report.bytes);
    else
        printf("%u languages, ECE %.4f, %u entries; %s: %llu bytes\n", report.languages, report.ece,
               report.entries, path, (unsigned long long)report.bytes);
    return EXIT_DONE;
}

int cmd_train(int argc, char **argv)
{
    struct numbers n = {0};
    struct language_numbers l = {0};
    const char *kind = NULL, *path = NULL, *date = NULL, *data = NULL, *licence = NULL,
               *cache = NULL;
    struct dataset_options keys = {.text_key = "text", .label_key = "label"};
    bool json = false, alone = false, shape = false;
    const struct args_option options[] = {
        {"--kind", &kind, NULL},
        {"--out", &path, NULL},
        {"--date", &date, NULL},
        {"--data", &data, NULL},
        {"--licence", &licence, NULL},
        {"--cache", &cache, NULL},
        {"--text-key", &keys.text_key, NULL},
        {"--label-key", &keys.label_key, NULL},
        {"--seed", &n.seed, NULL},
        {"--folds", &n.folds, NULL},
        {"--epochs", &n.epochs, NULL},
        {"--hidden", &n.hidden, NULL},
        {"--bits", &n.bits, NULL},
        {"--chars", &n.chars, NULL},
        {"--words", &n.words, NULL},
        {"--first-rate", &n.first_rate, NULL},
        {"--second-rate", &n.second_rate, NULL},
        {"--drop", &n.drop, NULL},
        {"--shrink", &n.shrink, NULL},
        {"--loss", &n.loss, NULL},
        {"--enough", &n.enough, NULL},
        {"--json", NULL, &json},
        {"--alone", NULL, &alone},
        {"--counts", &l.counts, NULL},
        {"--entries", &l.entries, NULL},
        {"--smooth", &l.smooth, NULL},
        {"--counts-weight", &l.weight, NULL},
        {"--counts-floor", &l.floor, NULL},
        {"--shape", NULL, &shape},
        {"--quiet", NULL, &quiet},
    };
    struct args a = {.command = "merit train",
                     .usage = usage,
                     .options = options,
                     .option_count = sizeof options / sizeof options[0],
                     .word_min = 2,
                     .word_max = 8};
    struct train_options o;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    train_defaults(&o);
    if (!numbers(&n, &o))
        return EXIT_USAGE;
    struct encoder_source encoder = {0};
    struct model_trouble trouble = {0};
    bool wants = strcmp(a.words[0], "language") && !(kind && !strcmp(kind, "ngram"));
    bool has = wants && encoder_source_open(&encoder, NULL, ENCODER_PLAN_F32, &trouble);
    if (kind ? !strcmp(kind, "ngram") : !has)
        o.kind = TRAIN_NGRAM;
    else if (kind && !strcmp(kind, "mlp"))
        o.kind = TRAIN_MLP;
    else if (kind && strcmp(kind, "logistic")) {
        fprintf(stderr, "merit train: --kind is ngram, logistic or mlp, not \"%s\"\n", kind);
        return EXIT_USAGE;
    }
    if (wants && !has) {
        fprintf(stderr, "merit train: %s\n%s%s", trouble.why, trouble.how,
                trouble.how[0] ? "\n" : "");
        if (kind)
            return EXIT_FOUND;
        fputs("merit train: training on n-grams alone\n", stderr);
    }
    char standard[256];
    snprintf(standard, sizeof standard, "%.200s.safetensors", a.words[0]);
    struct buf command;
    buf_init(&command, 1 << 16);
    write_command(argc, argv, &command);
    o.signal = a.words[0];
    o.first = !alone;
    o.spec.flags |= shape ? NGRAM_SHAPE | NGRAM_FIRST : 0;
    o.data = data;
    o.licence = licence;
    o.date = date;
    o.command = command.ptr;
    o.encoder = has ? &encoder.source : NULL;
    if (cache)
        o.cache = cache;
    if (!strcmp(a.words[0], "language"))
        code = train_languages(&a, &l, &o, &keys, path ? path : standard, json);
    else
        code = train(&a, &o, &keys, path ? path : standard, json);
    buf_deinit(&command);
    encoder_source_close(&encoder);
    return code;
}
