// `merit embed` and `merit classify`: what an encoder says of a text.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/model_name.h"
#include "model/reader.h"
#include "text/json.h"

enum { TEXT_MAX = 64 * 1024 * 1024, OUT_MAX = 1 << 30, ARENA_MAX = 1 << 28, KINDS_MAX = 256 };

// A model with what one thread needs to run it.
struct run {
    const char *command;
    struct model *model;
    struct tokenizer_scratch *tokens;
    struct encoder_scratch *pass;
    uint32_t max_tok;
    uint32_t *ids;
    uint8_t *types;
    float *out;
};

static void run_close(struct run *r)
{
    if (r->tokens)
        tokenizer_scratch_close(r->tokens);
    if (r->pass)
        encoder_scratch_close(r->pass);
    alloc_free(r->ids);
    alloc_free(r->types);
    alloc_free(r->out);
    model_unref(r->model);
}

static bool run_open(struct run *r, const char *command, const char *name, enum encoder_plan plan)
{
    struct model_places places;
    model_places_init(&places);
    *r = (struct run){.command = command};
    r->model = model_open_told(command, name, &places, plan);
    if (!r->model)
        return false;
    const struct encoder_config *c = r->model->config;
    r->max_tok = r->model->length_tok && r->model->length_tok < c->positions ? r->model->length_tok
                                                                             : c->positions;
    r->ids = alloc_zeroed(r->max_tok, sizeof *r->ids);
    r->types = alloc_zeroed(r->max_tok, sizeof *r->types);
    r->out = alloc_zeroed((size_t)c->hidden + c->labels, sizeof *r->out);
    if (!r->ids || !r->types || !r->out ||
        tokenizer_scratch_open(r->model->tokenizer, &r->tokens) ||
        encoder_scratch_open(r->model->encoder, r->max_tok, &r->pass)) {
        fprintf(stderr, "%s: no memory\n", command);
        run_close(r);
        return false;
    }
    return true;
}

// One pass; `*count` tokens were read, `*cut` when there were more.
static bool run_text(struct run *r, struct slice text, uint32_t *count, bool *cut)
{
    const struct token *tokens;
    struct tokenizer_options all = {0}, some = {.max_tok = r->max_tok};
    uint32_t whole;
    enum result res =
        tokenizer_encode(r->model->tokenizer, r->tokens, text, SLICE_EMPTY, &all, &tokens, &whole);
    *count = whole;
    *cut = whole > r->max_tok;
    if (!res && *cut)
        res = tokenizer_encode(r->model->tokenizer, r->tokens, text, SLICE_EMPTY, &some, &tokens,
                               count);
    for (uint32_t i = 0; !res && i < *count; i++) {
        r->ids[i] = tokens[i].id;
        r->types[i] = tokens[i].type;
    }
    struct encoder_sequence sequence = {r->ids, r->types, *count};
    struct encoder_output output = {0};
    if (r->model->config->task == ENCODER_SEQUENCE)
        output.logits = r->out;
    else
        output.embedding = r->out;
    if (!res)
        res = encoder_run(r->model->encoder, r->pass, &sequence, 1, &output, NULL);
    if (res)
        fprintf(stderr, "%s: %s\n", r->command,
                res == RESULT_LIMIT ? "the text is too long" : result_name(res));
    return !res;
}

// The word, or all of standard input for "-".
static bool read_input(const char *command, const char *word, struct buf *input)
{
    char room[FILE_ERROR_BYTES];
    if (strcmp(word, "-") != 0) {
        buf_cstr(input, word);
        return !buf_result(input);
    }
    enum result r = file_read("-", input);
    if (r)
        fprintf(stderr, "%s: standard input: %s\n", command, file_problem(r, room));
    return !r;
}

static void put_head(struct buf *out, const struct model *m)
{
    BUF_LIT(out, "{\"model\": ");
    json_write_string(out, m->name);
    BUF_LIT(out, ", \"weights\": ");
    json_write_string(out, m->weights_hex);
}

// --- embed

static const char usage_embed[] =
    "usage: merit embed [--model NAME] [--plan P] [--json] TEXT | -\n"
    "\n"
    "Prints the embedding of a text, or with - of each line of standard input, as numbers with "
    "spaces between, a line\n"
    "for each. What is longer than the model takes is cut at its end, and that is said.\n"
    "\n"
    "  --model NAME   " MODEL_DEFAULT ", or another one, or a folder with a slash in it\n"
    "  --plan P       auto (default), int8, half, f32\n"
    "  --json         {\"model\", \"weights\", \"dimensions\", \"embeddings\": [{\"tokens\", "
    "\"truncated\", \"embedding\"}]}\n"
    "\n"
    "  merit embed \"a routed request\"\n"
    "  merit embed --json - < questions.txt\n";

static void put_embedding(struct buf *out, const struct run *r, uint32_t count, bool cut, bool json,
                          bool first)
{
    uint32_t dim = r->model->config->hidden;
    if (json)
        buf_printf(out, "%s\n {\"tokens\": %u, \"truncated\": %s, \"embedding\": [",
                   first ? "" : ",", count, cut ? "true" : "false");
    for (uint32_t i = 0; i < dim; i++)
        buf_printf(out, "%s%.9g", i ? (json ? ", " : " ") : "", (double)r->out[i]);
    if (json)
        BUF_LIT(out, "]}");
    else
        buf_byte(out, '\n');
}

static int embed_lines(struct run *r, struct slice input, bool lines, bool json)
{
    struct slice rest = input, line;
    struct buf out;
    bool first = true, good = true, cut;
    uint32_t count, cuts = 0;
    buf_init(&out, OUT_MAX);
    if (json) {
        put_head(&out, r->model);
        buf_printf(&out, ", \"dimensions\": %u, \"embeddings\": [", r->model->config->hidden);
    }
    if (lines && rest.len && rest.ptr[rest.len - 1] == '\n')
        rest.len--;
    while (good && (lines ? slice_split(&rest, '\n', &line) : first)) {
        if (!lines)
            line = input;
        good = run_text(r, line, &count, &cut);
        if (good)
            put_embedding(&out, r, count, cut, json, first);
        cuts += cut;
        first = false;
    }
    if (json)
        BUF_LIT(&out, "]}\n");
    if (good && cuts && !json)
        fprintf(stderr, "merit embed: %u text%s cut at %u tokens\n", cuts,
                cuts == 1 ? " was" : "s were", r->max_tok);
    int code = good ? args_put(&out) : EXIT_FOUND;
    buf_deinit(&out);
    return code;
}

int cmd_embed(int argc, char **argv)
{
    const char *name = NULL, *plan_text = NULL;
    bool json = false;
    enum encoder_plan plan;
    const struct args_option options[] = {
        {"--model", &name, NULL}, {"--plan", &plan_text, NULL}, {"--json", NULL, &json}};
    struct args a = {.command = "merit embed",
                     .usage = usage_embed,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct run r;
    struct buf input;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!model_plan_read(a.command, plan_text, &plan))
        return EXIT_USAGE;
    if (!run_open(&r, a.command, name ? name : MODEL_DEFAULT, plan))
        return EXIT_FOUND;
    if (r.model->config->task != ENCODER_EMBED) {
        fprintf(stderr, "merit embed: %.*s is a classifier; merit classify runs it\n",
                SLICE_FMT(r.model->name));
        run_close(&r);
        return EXIT_FOUND;
    }
    buf_init(&input, TEXT_MAX);
    code = EXIT_FOUND;
    if (read_input(a.command, a.words[0], &input))
        code = embed_lines(&r, buf_slice(&input), strcmp(a.words[0], "-") == 0, json);
    buf_deinit(&input);
    run_close(&r);
    return code;
}

// --- classify

static const char usage_classify[] =
    "usage: merit classify --model NAME [--plan P] [--json] TEXT | -\n"
    "\n"
    "Runs a classifier over a text (- is standard input): the labels with their probabilities, or "
    "for a token\n"
    "classifier the spans that it finds, of texts of any length.\n"
    "\n"
    "  --model NAME   such as rampart, or a folder with a slash in it\n"
    "  --plan P       auto (default), int8, half, f32\n"
    "  --json         {\"model\", \"weights\", \"labels\": [{\"label\", \"probability\"}]}, or "
    "\"spans\":\n"
    "                 [{\"label\", \"begin\", \"end\", \"text\", \"probability\"}], in bytes\n"
    "\n"
    "Exit codes: 0 done, 1 no such model or it cannot be run, 2 usage.\n"
    "\n"
    "  merit classify --model rampart \"I am Ada Lovelace, ada@example.org\"\n";

struct ranked {
    uint32_t label;
    double probability;
};

static int by_probability(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->probability != y->probability)
        return x->probability < y->probability ? 1 : -1;
    return x->label < y->label ? -1 : x->label > y->label;
}

static void put_label(struct buf *out, const struct model *m, const struct ranked *l, bool json,
                      bool first)
{
    char number[24];
    struct slice name = l->label < m->label_count ? m->labels[l->label] : SLICE_EMPTY;
    if (!name.len) {
        snprintf(number, sizeof number, "%u", l->label);
        name = slice_cstr(number);
    }
    if (!json) {
        buf_printf(out, "%.4f  %.*s\n", l->probability, SLICE_FMT(name));
        return;
    }
    buf_printf(out, "%s\n {\"label\": ", first ? "" : ",");
    json_write_string(out, name);
    buf_printf(out, ", \"probability\": %.6f}", l->probability);
}

static bool classify_sequence(struct run *r, struct slice text, bool json, struct buf *out)
{
    uint32_t count, n = r->model->config->labels;
    bool cut;
    double sum = 0;
    struct ranked *labels = alloc_zeroed(n, sizeof *labels);
    if (!labels || !run_text(r, text, &count, &cut)) {
        alloc_free(labels);
        return false;
    }
    float top = r->out[0];
    for (uint32_t i = 1; i < n; i++)
        top = r->out[i] > top ? r->out[i] : top;
    for (uint32_t i = 0; i < n; i++) {
        labels[i] = (struct ranked){i, exp((double)r->out[i] - (double)top)};
        sum += labels[i].probability;
    }
    for (uint32_t i = 0; i < n; i++)
        labels[i].probability /= sum;
    qsort(labels, n, sizeof *labels, by_probability);
    if (json)
        buf_printf(out, ", \"tokens\": %u, \"truncated\": %s, \"labels\": [", count,
                   cut ? "true" : "false");
    else if (cut)
        fprintf(stderr, "merit classify: the text was cut at %u tokens\n", r->max_tok);
    for (uint32_t i = 0; i < n; i++)
        put_label(out, r->model, &labels[i], json, i == 0);
    alloc_free(labels);
    return true;
}

static void put_spans(struct buf *out, const struct trunk_answer *a, struct slice text,
                      const struct slice *kinds, bool json)
{
    if (json)
        buf_printf(out, ", \"tokens\": %u, \"spans\": [", a->tokens);
    for (uint32_t i = 0; i < a->entity_count; i++) {
        const struct trunk_entity *e = &a->entities[i];
        struct slice part = slice_make(text.ptr + e->begin, e->end - e->begin);
        if (!json) {
            buf_printf(out, "%6u %6u  %.3f  %-18.*s  %.*s\n", e->begin, e->end,
                       (double)e->probability, SLICE_FMT(kinds[e->label]), SLICE_FMT(part));
            continue;
        }
        buf_printf(out, "%s\n {\"label\": ", i ? "," : "");
        json_write_string(out, kinds[e->label]);
        buf_printf(out, ", \"begin\": %u, \"end\": %u, \"text\": ", e->begin, e->end);
        json_write_string(out, part);
        buf_printf(out, ", \"probability\": %.6f}", (double)e->probability);
    }
}

static bool classify_tokens(struct run *r, struct slice text, bool json, struct buf *out)
{
    const struct model *m = r->model;
    struct reader_model reads = {
        .encoder = m->encoder,
        .tokenizer = m->tokenizer,
        .name = m->name,
        .digest = m->weights_hex,
        .labels = m->labels,
        .label_count = m->label_count,
        .length_tok = m->length_tok,
    };
    struct trunk_ask ask = {
        .model = TRUNK_ENTITY, .reading = TRUNK_WHOLE, .texts = &text, .count = 1};
    struct slice kinds[KINDS_MAX];
    struct reader *reader;
    struct arena arena;
    if (!m->label_count) {
        fprintf(stderr, "%s: config.json of %.*s names no labels\n", r->command,
                SLICE_FMT(m->name));
        return false;
    }
    if (reader_open(&reads, &reader)) {
        fprintf(stderr, "%s: no memory\n", r->command);
        return false;
    }
    arena_init(&arena, 0, ARENA_MAX);
    reader_kinds(&reads, kinds, KINDS_MAX);
    reader_answer(reader, &ask, &arena, NULL);
    if (ask.answer.result)
        fprintf(stderr, "%s: %s\n", r->command,
                ask.answer.result == RESULT_LIMIT         ? "the text is too long"
                : ask.answer.result == RESULT_UNSUPPORTED ? "the model takes too few tokens at once"
                                                          : result_name(ask.answer.result));
    else
        put_spans(out, &ask.answer, text, kinds, json);
    bool good = !ask.answer.result;
    arena_deinit(&arena);
    reader_close(reader);
    return good;
}

static int classify(struct run *r, const char *word, bool json)
{
    struct buf input, out;
    enum encoder_task task = r->model->config->task;
    if (task == ENCODER_EMBED) {
        fprintf(stderr, "merit classify: %.*s is no classifier; merit embed runs it\n",
                SLICE_FMT(r->model->name));
        return EXIT_FOUND;
    }
    buf_init(&input, TEXT_MAX);
    buf_init(&out, OUT_MAX);
    int code = EXIT_FOUND;
    if (json)
        put_head(&out, r->model);
    if (read_input(r->command, word, &input)) {
        struct slice text = buf_slice(&input);
        if (task == ENCODER_SEQUENCE ? classify_sequence(r, text, json, &out)
                                     : classify_tokens(r, text, json, &out)) {
            if (json)
                BUF_LIT(&out, "]}\n");
            code = args_put(&out);
        }
    }
    buf_deinit(&input);
    buf_deinit(&out);
    return code;
}

int cmd_classify(int argc, char **argv)
{
    const char *name = NULL, *plan_text = NULL;
    bool json = false;
    enum encoder_plan plan;
    const struct args_option options[] = {
        {"--model", &name, NULL}, {"--plan", &plan_text, NULL}, {"--json", NULL, &json}};
    struct args a = {.command = "merit classify",
                     .usage = usage_classify,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    struct run r;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!name) {
        fprintf(stderr, "merit classify: --model names the classifier, such as rampart; "
                        "`merit model ls` lists models\n");
        return EXIT_USAGE;
    }
    if (!model_plan_read(a.command, plan_text, &plan))
        return EXIT_USAGE;
    if (!run_open(&r, a.command, name, plan))
        return EXIT_FOUND;
    code = classify(&r, a.words[0], json);
    run_close(&r);
    return code;
}
