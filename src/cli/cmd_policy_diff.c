// merit policy diff
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/corpus.h"
#include "cli/encoders.h"
#include "cli/policy_bench.h"
#include "cli/policy_session.h"
#include "proof/describe.h"
#include "proof/diff.h"

static const char usage[] =
    "usage: merit policy diff OLD NEW [--corpus FILE] [--markdown | --json]\n"
    "\n"
    "Tells what changes from one policy to another, for every request there is: whether the new "
    "one allows\n"
    "the same, less (stricter), more (looser) or both; which share of requests moves from which "
    "route to\n"
    "which, with one request each; and what is written differently. A share is of all combinations "
    "of\n"
    "signal values, each value weighing the same: it says how much of the policy moves, not of the "
    "traffic.\n"
    "\n"
    "  --corpus FILE  also what becomes of these requests: JSON lines as `test corpus` reads them, "
    "what they\n"
    "                 expect left aside: {\"user\": \"...\", \"given\": {...}}\n"
    "  --markdown     for a pull request\n"
    "  --json         one JSON document\n"
    "\n"
    "Exit: 0 every request gets the same, 1 something changes, 2 usage.\n"
    "\n"
    "  merit policy diff main.merit branch.merit --markdown\n";

// ---- given requests

struct traffic {
    struct policy_session *session[2];
    struct policy_bench bench[2];
    struct diff_traffic *moves; // [routes of old + 1][routes of new + 1]
    struct diff_corpus corpus;
    uint32_t line;
};

// Whether both do the same with the request.
static bool same_outcome(const struct decision *a, const struct decision *b)
{
    struct buf x, y;
    if (a->end != b->end || (a->route < 0) != (b->route < 0) || (a->model < 0) != (b->model < 0))
        return false;
    if (a->model >= 0 && (a->effort != b->effort ||
                          !slice_eq(image_text(a->image, image_model(a->image, a->model)->name),
                                    image_text(b->image, image_model(b->image, b->model)->name))))
        return false;
    if (a->route < 0)
        return true;
    buf_init(&x, 1024 * 1024);
    buf_init(&y, 1024 * 1024);
    describe_effect(a->image, a->route, &x);
    describe_effect(b->image, b->route, &y);
    bool same = slice_eq(buf_slice(&x), buf_slice(&y));
    buf_deinit(&x);
    buf_deinit(&y);
    return same;
}

static void count_move(struct traffic *t, const struct decision *a, const struct decision *b)
{
    uint32_t routes = t->session[1]->image->routes.count + 1;
    struct diff_traffic *m =
        &t->moves[(uint32_t)(a->route + 1) * routes + (uint32_t)(b->route + 1)];
    if (m->lines++ == 0)
        *m = (struct diff_traffic){a->route, b->route, 1, t->line};
    t->corpus.moved++;
}

// The line is read for each of the two: what it gives are values of their signals.
static enum result run_line(struct traffic *t, struct slice text, struct arena *scratch,
                            struct buf *why)
{
    struct decision *d[2] = {NULL, NULL};
    for (unsigned i = 0; i < 2; i++) {
        struct slice rest = text;
        struct corpus_line l;
        uint32_t line = 0;
        enum result r = corpus_next(t->session[i]->image, &rest, &line, false, scratch, &l, why);
        if (r)
            return r;
        r = policy_bench_decide(&t->bench[i], l.user, l.given, scratch, &d[i]);
        if (r)
            return r;
    }
    t->corpus.lines++;
    if (!same_outcome(d[0], d[1]))
        count_move(t, d[0], d[1]);
    return RESULT_OK;
}

static enum result run_lines(struct traffic *t, struct slice text, struct buf *why)
{
    struct arena scratch;
    struct slice line;
    enum result r = RESULT_OK;
    arena_init(&scratch, 64 * 1024, POLICY_ARENA_MAX);
    while (!r && text.ptr && text.len && slice_split(&text, '\n', &line)) {
        arena_reset(&scratch);
        if (++t->line > CORPUS_LINES_MAX) {
            buf_printf(why, "more than %d lines", CORPUS_LINES_MAX);
            r = RESULT_LIMIT;
        } else {
            r = run_line(t, line, &scratch, why);
            r = r == RESULT_EOF ? RESULT_OK : r; // an empty line
        }
    }
    arena_deinit(&scratch);
    return r;
}

static int by_lines(const void *a, const void *b)
{
    const struct diff_traffic *x = a, *y = b;
    return x->lines != y->lines ? (x->lines < y->lines ? 1 : -1) : x->first < y->first ? -1 : 1;
}

static enum result run_corpus(struct traffic *t, const struct trunk_service *trunk,
                              struct slice text, struct buf *why)
{
    size_t cells = 1;
    for (unsigned i = 0; i < 2; i++) {
        struct policy_session *s = t->session[i];
        enum result r = policy_bench_open(&t->bench[i], s->image, trunk, &s->arena, &s->diags);
        if (r)
            return r;
        cells *= s->image->routes.count + 1;
    }
    t->moves = ARENA_ARRAY(&t->session[1]->arena, struct diff_traffic, cells);
    if (!t->moves)
        return RESULT_NOMEM;
    enum result r = run_lines(t, text, why);
    qsort(t->moves, cells, sizeof *t->moves, by_lines);
    while (t->corpus.move_count < cells && t->moves[t->corpus.move_count].lines)
        t->corpus.move_count++;
    t->corpus.moves = t->moves;
    return r;
}

static int add_corpus(struct traffic *t, const char *path, struct diff_report *report)
{
    struct encoders encoders;
    struct buf text, why;
    char room[FILE_ERROR_BYTES];
    int code = EXIT_DONE;
    buf_init(&text, CORPUS_BYTES_MAX);
    buf_init(&why, 1024 * 1024);
    enum result r = file_read(path, &text);
    if (r) {
        fprintf(stderr, "merit policy diff: cannot read %s: %s\n", path, file_problem(r, room));
        code = EXIT_FOUND;
    } else {
        r = encoders_open(&encoders, &encoders_for_commands, &why);
        buf_reset(&why);
        if (!r)
            r = run_corpus(t, encoders.service, buf_slice(&text), &why);
        if (r) {
            fprintf(stderr, "merit policy diff: %s, line %u: %.*s\n", path, t->line,
                    why.len ? (int)why.len : (int)strlen(result_name(r)),
                    why.len ? why.ptr : result_name(r));
            code = EXIT_FOUND;
        }
        report->corpus = &t->corpus;
        policy_bench_close(&t->bench[0]);
        policy_bench_close(&t->bench[1]);
        encoders_close(&encoders);
    }
    buf_deinit(&text);
    buf_deinit(&why);
    return code;
}

// ---- the command

struct request {
    const char *corpus;
    bool markdown, json;
};

static int diff(const struct request *q, struct policy_session *old, struct policy_session *new)
{
    struct diff_report report;
    struct traffic traffic = {.session = {old, new}};
    struct buf out;
    enum result r = diff_policies(old->image, new->image, NULL, &new->arena, &report);
    if (r) {
        fprintf(stderr, "merit policy diff: %s\n",
                r == RESULT_LIMIT ? "the two policies are too large to be compared"
                                  : result_name(r));
        return EXIT_FOUND;
    }
    int code = q->corpus ? add_corpus(&traffic, q->corpus, &report) : EXIT_DONE;
    if (code)
        return code;
    buf_init(&out, 64 * 1024 * 1024);
    if (q->markdown)
        diff_markdown(&report, slice_cstr(old->name), slice_cstr(new->name), &out);
    else if (q->json)
        diff_json(&report, &out);
    else
        diff_text(&report, &out);
    code = args_put(&out);
    buf_deinit(&out);
    return code ? code : report.same ? EXIT_DONE : EXIT_FOUND;
}

int cmd_policy_diff(int argc, char **argv)
{
    struct request q = {.corpus = NULL};
    const struct args_option options[] = {{"--corpus", &q.corpus, NULL},
                                          {"--markdown", NULL, &q.markdown},
                                          {"--json", NULL, &q.json}};
    struct args a = {.command = "merit policy diff",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 2,
                     .word_max = 2};
    struct policy_session old, new;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (q.markdown && q.json) {
        fprintf(stderr, "%s: --markdown or --json, not both\n", a.command);
        return EXIT_USAGE;
    }
    code = policy_session_open(&old, a.command, a.words[0], SLICE_EMPTY);
    int code_new = policy_session_open(&new, a.command, a.words[1], SLICE_EMPTY);
    code = code ? code : code_new;
    if (!code)
        code = diff(&q, &old, &new);
    policy_session_close(&old);
    policy_session_close(&new);
    return code;
}
