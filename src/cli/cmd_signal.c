// merit signal: how good signals are, on labelled texts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/encoders.h"
#include "eval/dataset.h"
#include "eval/judge.h"
#include "signal/registry.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit signal ls [--json]\n"
    "       merit signal eval SIGNAL FILE... [options]\n"
    "\n"
    "ls lists the families of signals. eval holds what a signal says of labelled texts against "
    "their labels, through\n"
    "the same two tiers that serve. SIGNAL is a family (domain, jailbreak, pii, language, ...), a "
    "definition in quotes\n"
    "(\"intent(label \\\"a\\\", like \\\"...\\\")\"), or a head's name or file. FILE: JSON lines "
    "(also .gz), each with a text\n"
    "and a label; for pii with \"spans\": [{\"type\", \"start\", \"end\"}, ...] in characters.\n"
    "\n"
    "  --text-key KEY, --label-key KEY   text, label\n"
    "  --positive LABEL                  the label that a number is the probability of\n"
    "  --oos LABEL                       the label of texts that belong to none of the others\n"
    "  --at X                            from where a number says yes: 0.5\n"
    "  --first                           the first tier alone: no encoder\n"
    "  --json                            one JSON document\n"
    "\n"
    "  merit signal eval domain questions.jsonl --label-key category\n";

static void on_progress(void *ctx, uint32_t done, uint32_t total)
{
    (void)ctx;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%u of %u texts", done, total);
}

static void put_number(struct buf *out, const char *key, double v)
{
    buf_printf(out, ",\"%s\":%.6g", key, v);
}

static void put_measure(struct buf *out, const char *key, struct measure m)
{
    buf_printf(out, ",\"%s\":{\"value\":%.6g,\"low\":%.6g,\"high\":%.6g}", key, m.value, m.low,
               m.high);
}

static void put_label(struct buf *out, const struct dataset *d, uint32_t i)
{
    json_write_string(out, i < d->label_count ? d->labels[i] : SLICE("(none)"));
}

static void json_report(const struct dataset *d, const struct judge_report *r, const char *signal,
                        struct buf *out)
{
    uint32_t columns = r->labels + 1;
    buf_printf(out, "{\"signal\":");
    json_write_string(out, slice_cstr(signal));
    buf_printf(out, ",\"rows\":%u", r->rows);
    put_measure(out, "accuracy", r->accuracy);
    put_number(out, "macro_f1", r->macro_f1);
    put_number(out, "ece", r->ece);
    put_number(out, "brier", r->brier);
    if (r->binary) {
        put_number(out, "auc", r->auc);
        put_measure(out, "recall", r->recall);
        put_measure(out, "false_positives", r->false_positives);
        put_measure(out, "recall_at_fpr_1", r->recall_at_1);
        put_measure(out, "recall_at_fpr_5", r->recall_at_5);
    }
    if (r->oos_auc > 0)
        put_number(out, "oos_auc", r->oos_auc);
    put_number(out, "asked", r->asked);
    put_number(out, "failed", r->failed);
    put_number(out, "us_mean", r->us_mean);
    put_number(out, "us_p50", r->us_p50);
    put_number(out, "us_p99", r->us_p99);
    buf_printf(out, ",\"bins\":[");
    for (unsigned i = 0; i < MEASURE_BINS; i++)
        buf_printf(out, "%s{\"count\":%llu,\"confidence\":%.6g,\"accuracy\":%.6g}", i ? "," : "",
                   (unsigned long long)r->bins[i].count, r->bins[i].confidence,
                   r->bins[i].accuracy);
    buf_printf(out, "],\"classes\":[");
    for (uint32_t i = 0; i < r->labels; i++) {
        buf_printf(out, "%s{\"label\":", i ? "," : "");
        put_label(out, d, i);
        buf_printf(out, ",\"rows\":%llu,\"precision\":%.6g,\"recall\":%.6g,\"f1\":%.6g,\"told\":[",
                   (unsigned long long)r->classes[i].truth, r->classes[i].precision,
                   r->classes[i].recall, r->classes[i].f1);
        for (uint32_t k = 0; k < columns; k++)
            buf_printf(out, "%s%llu", k ? "," : "",
                       (unsigned long long)r->confusion[(size_t)i * columns + k]);
        buf_printf(out, "]}");
    }
    buf_printf(out, "],\"families\":[");
    for (uint32_t i = 0; i < r->family_count; i++) {
        buf_printf(out, "%s{\"family\":", i ? "," : "");
        json_write_string(out, r->families[i].name);
        buf_printf(out, ",\"rows\":%llu,\"right\":%llu,\"told\":%llu}",
                   (unsigned long long)r->families[i].rows,
                   (unsigned long long)r->families[i].right,
                   (unsigned long long)r->families[i].told);
    }
    buf_printf(out, "]}\n");
}

static void say_measure(struct buf *out, const char *name, struct measure m)
{
    buf_printf(out, "%-24s %.4f (%.4f to %.4f)\n", name, m.value, m.low, m.high);
}

// The labels that others are taken for most, so that a page of 150 stays readable.
static void say_classes(const struct dataset *d, const struct judge_report *r, struct buf *out)
{
    uint32_t columns = r->labels + 1;
    buf_printf(out, "\n%-24s %6s %9s %7s %6s  most often taken for\n", "label", "rows", "precision",
               "recall", "F1");
    for (uint32_t i = 0; i < r->labels; i++) {
        const struct measure_class *c = &r->classes[i];
        const uint64_t *told = r->confusion + (size_t)i * columns;
        uint32_t worst = i ? 0 : 1;
        for (uint32_t k = 0; k < columns; k++)
            if (k != i && told[k] > told[worst])
                worst = k;
        buf_printf(out, "%-24.*s %6llu %9.3f %7.3f %6.3f", SLICE_FMT(d->labels[i]),
                   (unsigned long long)c->truth, c->precision, c->recall, c->f1);
        if (told[worst]) {
            struct slice name = worst < d->label_count ? d->labels[worst] : SLICE("(none)");
            buf_printf(out, "  %.*s (%llu)", SLICE_FMT(name), (unsigned long long)told[worst]);
        }
        buf_printf(out, "\n");
    }
}

static void say_report(const struct dataset *d, const struct judge_report *r, struct buf *out)
{
    buf_printf(out, "%-24s %u\n", "texts", r->rows);
    say_measure(out, "accuracy", r->accuracy);
    buf_printf(out, "%-24s %.4f\n%-24s %.4f\n%-24s %.4f\n", "macro F1", r->macro_f1, "ECE", r->ece,
               "Brier", r->brier);
    if (r->binary) {
        buf_printf(out, "%-24s %.4f\n", "AUC", r->auc);
        say_measure(out, "recall", r->recall);
        say_measure(out, "false positives", r->false_positives);
        say_measure(out, "recall at 1 % false", r->recall_at_1);
        say_measure(out, "recall at 5 % false", r->recall_at_5);
    }
    if (r->oos_auc > 0)
        buf_printf(out, "%-24s %.4f\n", "AUC of out of scope", r->oos_auc);
    buf_printf(out, "%-24s %.1f %%\n", "encoder asked for", r->asked * 100);
    if (r->failed > 0)
        buf_printf(out, "%-24s %.1f %%\n", "failed", r->failed * 100);
    buf_printf(out, "%-24s %.0f mean, %.0f median, %.0f p99\n", "microseconds of CPU", r->us_mean,
               r->us_p50, r->us_p99);
    say_classes(d, r, out);
    if (r->family_count)
        buf_printf(out, "\n%-24s %6s %7s %7s\n", "family", "rows", "right", "told");
    for (uint32_t i = 0; i < r->family_count; i++)
        buf_printf(out, "%-24.*s %6llu %7.3f %7.3f\n", SLICE_FMT(r->families[i].name),
                   (unsigned long long)r->families[i].rows,
                   (double)r->families[i].right / (double)r->families[i].rows,
                   (double)r->families[i].told / (double)r->families[i].rows);
}

static double share(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static void put_group(const struct judge_group *g, bool json, bool first, struct buf *out)
{
    double any = judge_f1(g->gold_hit, g->gold, g->found_hit, g->found);
    double exact = judge_f1(g->exact, g->gold, g->exact, g->found);
    double chars = judge_f1(g->chars_both, g->chars_gold, g->chars_both, g->chars_found);
    if (json)
        buf_printf(out,
                   "%s{\"kind\":\"%s\",\"gold\":%llu,\"found\":%llu,\"precision\":%.6g,\"recall\":%"
                   ".6g,\"f1\":%.6g,"
                   "\"exact_f1\":%.6g,\"char_f1\":%.6g}",
                   first ? "" : ",", g->name, (unsigned long long)g->gold,
                   (unsigned long long)g->found, share(g->found_hit, g->found),
                   share(g->gold_hit, g->gold), any, exact, chars);
    else
        buf_printf(out, "%-10s %6llu %6llu %10.3f %7.3f %7.3f %7.3f %7.3f\n", g->name,
                   (unsigned long long)g->gold, (unsigned long long)g->found,
                   share(g->found_hit, g->found), share(g->gold_hit, g->gold), any, exact, chars);
}

static void say_spans(struct judge_spans *s, bool json, struct buf *out)
{
    s->all.name = "all";
    if (json)
        buf_printf(out, "{\"signal\":\"pii\",\"rows\":%u,\"model\":%s,\"us_mean\":%.6g,\"kinds\":[",
                   s->rows, s->model ? "true" : "false", s->us_mean);
    else
        buf_printf(out, "%u texts, %s, %.0f us of CPU each\n%-10s %6s %6s %10s %7s %7s %7s %7s\n",
                   s->rows, s->model ? "patterns and model" : "patterns alone", s->us_mean, "kind",
                   "gold", "found", "precision", "recall", "F1", "exact", "chars");
    for (uint32_t i = 0; i < s->group_count; i++)
        put_group(&s->groups[i], json, i == 0, out);
    put_group(&s->all, json, s->group_count == 0, out);
    if (json)
        buf_printf(out, "]}\n");
}

struct eval {
    struct dataset_options keys;
    struct judge_options judge;
    bool json, first;
    const char *at;
};

static int judge(struct eval *e, const struct args *a)
{
    struct dataset d;
    struct arena arena;
    struct buf out;
    char problem[JUDGE_PROBLEM_BYTES] = "", data_problem[DATASET_PROBLEM_BYTES] = "";
    bool pii = strcmp(a->words[0], "pii") == 0;
    e->keys.spans = pii;
    dataset_init(&d);
    arena_init(&arena, 1 << 16, (size_t)4 << 30);
    buf_init(&out, 64 << 20);
    enum result r = RESULT_OK;
    for (size_t i = 1; !r && i < a->word_count; i++)
        r = dataset_read(&d, a->words[i], &e->keys, data_problem);
    if (r) {
        fprintf(stderr, "merit signal eval: %s\n", data_problem[0] ? data_problem : result_name(r));
    } else if (pii) {
        struct judge_spans s;
        r = judge_pii(&d, &e->judge, &s, problem);
        if (!r)
            say_spans(&s, e->json, &out);
    } else {
        struct judge_report report;
        r = judge_labels(&d, &e->judge, &arena, &report, problem);
        if (!r && e->json)
            json_report(&d, &report, a->words[0], &out);
        else if (!r)
            say_report(&d, &report, &out);
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (r && problem[0])
        fprintf(stderr, "merit signal eval: %s\n", problem);
    int code = r ? EXIT_FOUND : args_put(&out);
    buf_deinit(&out);
    arena_deinit(&arena);
    dataset_deinit(&d);
    return code;
}

static int eval(int argc, char **argv)
{
    struct eval e = {.keys = {.text_key = "text", .label_key = "label"}};
    const struct args_option options[] = {
        {"--text-key", &e.keys.text_key, NULL},
        {"--label-key", &e.keys.label_key, NULL},
        {"--positive", &e.judge.positive, NULL},
        {"--oos", &e.judge.oos, NULL},
        {"--at", &e.at, NULL},
        {"--first", NULL, &e.first},
        {"--json", NULL, &e.json},
    };
    struct args a = {.command = "merit signal eval",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 2,
                     .word_max = 8};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    char *end = NULL;
    e.judge.at = e.at ? strtod(e.at, &end) : 0.5;
    if (e.at && (end == e.at || *end || !(e.judge.at > 0 && e.judge.at < 1))) {
        fprintf(stderr, "merit signal eval: --at is a number between 0 and 1, not \"%s\"\n", e.at);
        return EXIT_USAGE;
    }
    struct encoders encoders = {0};
    struct buf notes;
    buf_init(&notes, 1 << 16);
    if (!e.first && encoders_open(&encoders, &encoders_for_commands, &notes)) {
        fprintf(stderr, "merit signal eval: there is no memory for the models\n");
        code = EXIT_FOUND;
    } else {
        if (notes.len)
            fprintf(stderr, "%.*s", (int)notes.len, notes.ptr);
        e.judge.signal = a.words[0];
        e.judge.trunk = encoders.service;
        e.judge.progress = on_progress;
        code = judge(&e, &a);
    }
    encoders_close(&encoders);
    buf_deinit(&notes);
    return code;
}

static int list(int argc, char **argv)
{
    bool json = false;
    const struct args_option options[] = {{"--json", NULL, &json}};
    struct args a = {.command = "merit signal ls",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct buf out;
    buf_init(&out, 1 << 20);
    for (uint32_t i = 0; i < signal_registry.count; i++) {
        const struct signal_family *f = signal_registry.families[i];
        if (json) {
            buf_printf(&out, "%s{\"name\":\"%s\",\"summary\":", i ? "," : "[", f->name);
            json_write_string(&out, slice_cstr(f->summary));
            buf_printf(&out, "}%s", i + 1 < signal_registry.count ? "" : "]\n");
        } else {
            buf_printf(&out, "%-14s %s\n", f->name, f->summary);
        }
    }
    code = args_put(&out);
    buf_deinit(&out);
    return code;
}

int cmd_signal(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "eval") == 0)
        return eval(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "ls") == 0)
        return list(argc - 1, argv + 1);
    bool help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0);
    fputs(usage, help ? stdout : stderr);
    return help ? EXIT_DONE : EXIT_USAGE;
}
