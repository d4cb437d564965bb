// `merit ledger reconcile`: the ledger beside a provider's usage export, by day and model.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"
#include "cli/commands.h"
#include "cli/ledger_view.h"
#include "ledger/usage.h"
#include "text/json.h"

enum { CENT_NUSD = 10000000, OUT_OF_FILE_MAX = 32 };
#define DAY_US UINT64_C(86400000000)

static const char usage_text[] =
    "usage: merit ledger reconcile FILE [options]\n"
    "\n"
    "Compares the ledger with what a provider says it delivered: requests, tokens and dollars by "
    "UTC "
    "day and model. Exit code 1\n"
    "when they differ by more than the tolerance. FILE is CSV with a header, JSON lines or one "
    "JSON "
    "array; - is standard input.\n"
    "docs/ledger.md lists the columns that are known (date, model, input_tokens, output_tokens, "
    "tokens, requests, cost, ...).\n"
    "\n"
    "  --tolerance P        in percent, of the larger figure (1); below 1 token, 1 request or 1 "
    "cent "
    "there is no difference\n"
    "  --map THEIRS=OURS    the provider's name of a model and the policy's; several\n"
    "  --all                also models of the ledger that the file never names\n"
    "  --ledger DIR, --conf FILE   as of merit ledger\n"
    "  --json               {\"tolerance\", \"lines\", \"differences\", \"not_in_file\"}\n"
    "\n"
    "  merit ledger reconcile usage.csv --map gpt-5.5-2026-08=frontier --tolerance 0.5\n";

struct both {
    int32_t day;
    struct slice model;
    bool theirs, ours; // who has it
    int64_t file[USAGE_FIELDS], ledger[USAGE_FIELDS];
    int64_t unsure; // attempts of ours that are estimated
};

struct reconcile {
    struct ledger_view view;
    struct arena arena;
    struct usage usage;
    struct args_many maps;
    double tolerance;
    bool all, json;
    VEC(struct usage_sum) ours;
    VEC(int64_t) unsure;
    VEC(struct both) lines;
    uint32_t differences;
    struct slice absent[OUT_OF_FILE_MAX]; // models of the ledger that the file never names
    uint32_t absent_count;
};

// --- reading

static bool named_in_file(const struct reconcile *c, struct slice model)
{
    for (uint32_t i = 0; i < c->usage.count; i++)
        if (slice_eq(c->usage.sums[i].model, model))
            return true;
    return false;
}

static void note_absent(struct reconcile *c, struct slice model)
{
    for (uint32_t i = 0; i < c->absent_count; i++)
        if (slice_eq(c->absent[i], model))
            return;
    struct slice kept = arena_copy(&c->arena, model);
    if (c->absent_count < OUT_OF_FILE_MAX && kept.ptr)
        c->absent[c->absent_count++] = kept;
}

static bool each_sum(void *context, const struct report_sum *s)
{
    struct reconcile *c = context;
    int64_t nusd = s->took.of[IMAGE_UNIT_NUSD];
    struct usage_sum u = {.of = {[USAGE_REQUESTS] = s->answered,
                                 [USAGE_INPUT] = s->input_tok,
                                 [USAGE_OUTPUT] = s->output_tok,
                                 [USAGE_TOKENS] = s->input_tok + s->output_tok,
                                 [USAGE_NUSD] = nusd > 0 ? nusd : 0}};
    if (!usage_day(s->of[0], &u.day))
        return true;
    if (!named_in_file(c, s->of[1])) {
        note_absent(c, s->of[1]);
        if (!c->all)
            return true;
    }
    u.model = arena_copy(&c->arena, s->of[1]);
    return u.model.ptr && VEC_PUSH(&c->ours, u) && VEC_PUSH(&c->unsure, s->estimated);
}

// The policy's name for each of the provider's.
static int apply_maps(struct reconcile *c)
{
    for (size_t k = 0; k < c->maps.count; k++) {
        struct slice ours = slice_cstr(c->maps.at[k]), theirs;
        slice_split(&ours, '=', &theirs);
        bool found = false;
        if (!theirs.len || !ours.len) {
            fprintf(stderr, "merit ledger reconcile: --map \"%s\": write THEIRS=OURS\n",
                    c->maps.at[k]);
            return EXIT_USAGE;
        }
        for (uint32_t i = 0; i < c->usage.count; i++) {
            if (slice_eq(c->usage.sums[i].model, theirs)) {
                c->usage.sums[i].model = ours;
                found = true;
            }
        }
        if (!found)
            fprintf(stderr, "merit ledger reconcile: the file has no model \"%.*s\" (--map)\n",
                    SLICE_FMT(theirs));
    }
    return ARGS_GO_ON;
}

static int read_file(struct reconcile *c, const char *path)
{
    struct buf text, why;
    char room[FILE_ERROR_BYTES];
    int code = ARGS_GO_ON;
    buf_init(&text, USAGE_BYTES_MAX);
    buf_init(&why, 1000);
    enum result r = file_read(path, &text);
    if (r) {
        fprintf(stderr, "merit ledger reconcile: %s: %s\n", path,
                r == RESULT_LIMIT ? "larger than 64 MiB" : file_problem(r, room));
        code = EXIT_FOUND;
        goto out;
    }
    struct slice kept = arena_copy(&c->arena, buf_slice(&text));
    r = kept.ptr ? usage_read(&c->usage, kept, &c->arena, &why) : RESULT_NOMEM;
    if (r) {
        fprintf(stderr, "merit ledger reconcile: %s: %.*s\n", path, why.len ? (int)why.len : 9,
                why.len ? why.ptr : "no memory");
        code = EXIT_FOUND;
    }
out:
    buf_deinit(&why);
    buf_deinit(&text);
    return code;
}

// --- comparing

static bool differ(const struct reconcile *c, const struct both *b, int field)
{
    double x = (double)b->ledger[field], y = (double)b->file[field];
    double floor = field == USAGE_NUSD ? CENT_NUSD : 1;
    double gap = fabs(x - y);
    return gap >= floor && gap > c->tolerance * fmax(x, y);
}

static bool differs(const struct reconcile *c, const struct both *b)
{
    bool any = b->theirs != b->ours;
    for (int f = 0; f < USAGE_FIELDS; f++)
        any |= c->usage.fields >> f & 1 && differ(c, b, f);
    return any;
}

static int by_group(const void *a, const void *b)
{
    const struct both *x = a, *y = b;
    return x->day != y->day ? (x->day > y->day) - (x->day < y->day) : slice_cmp(x->model, y->model);
}

static bool push(struct reconcile *c, const struct usage_sum *u, bool theirs, int64_t unsure)
{
    struct both b = {
        .day = u->day, .model = u->model, .theirs = theirs, .ours = !theirs, .unsure = unsure};
    memcpy(theirs ? b.file : b.ledger, u->of, sizeof u->of);
    return VEC_PUSH(&c->lines, b);
}

// One line per day and model of either side.
static bool join(struct reconcile *c)
{
    for (uint32_t i = 0; i < c->usage.count; i++)
        if (!push(c, &c->usage.sums[i], true, 0))
            return false;
    for (size_t i = 0; i < c->ours.len; i++)
        if (!push(c, &c->ours.at[i], false, c->unsure.at[i]))
            return false;
    if (c->lines.len)
        qsort(c->lines.at, c->lines.len, sizeof *c->lines.at, by_group);
    size_t n = 0;
    for (size_t i = 0; i < c->lines.len; i++) {
        struct both *b = &c->lines.at[i], *last = n ? &c->lines.at[n - 1] : NULL;
        if (!last || by_group(last, b)) {
            c->lines.at[n++] = *b;
            continue;
        }
        for (int f = 0; f < USAGE_FIELDS; f++) {
            last->file[f] += b->file[f];
            last->ledger[f] += b->ledger[f];
        }
        last->theirs |= b->theirs;
        last->ours |= b->ours;
        last->unsure += b->unsure;
    }
    c->lines.len = n;
    for (size_t i = 0; i < n; i++)
        c->differences += differs(c, &c->lines.at[i]);
    return true;
}

// --- telling

static const char *where(const struct both *b)
{
    return b->theirs && b->ours ? "both" : b->theirs ? "file" : "ledger";
}

static void put_json(struct reconcile *c)
{
    struct buf *out = &c->view.out;
    char day[11];
    BUF_LIT(out, "{\"tolerance\": ");
    json_write_double(out, c->tolerance);
    BUF_LIT(out, ", \"lines\": [");
    for (size_t i = 0; i < c->lines.len; i++) {
        const struct both *b = &c->lines.at[i];
        usage_day_text(b->day, day);
        buf_printf(out, "%s\n  {\"day\": \"%s\", \"model\": ", i ? "," : "", day);
        json_write_string(out, b->model);
        buf_printf(out, ", \"in\": \"%s\", \"differs\": %s, \"estimated\": %" PRId64, where(b),
                   differs(c, b) ? "true" : "false", b->unsure);
        for (int f = 0; f < USAGE_FIELDS; f++)
            if (c->usage.fields >> f & 1)
                buf_printf(out, ", \"%s\": {\"ledger\": %" PRId64 ", \"file\": %" PRId64 "}",
                           f == USAGE_NUSD ? "nusd" : usage_field_name((enum usage_field)f),
                           b->ledger[f], b->file[f]);
        buf_byte(out, '}');
        (void)ledger_view_drain(&c->view);
    }
    buf_printf(out, "],\n \"differences\": %u, \"not_in_file\": [", c->differences);
    for (uint32_t i = 0; i < c->absent_count; i++) {
        buf_cstr(out, i ? ", " : "");
        json_write_string(out, c->absent[i]);
    }
    BUF_LIT(out, "]}\n");
}

static void put_figure(struct buf *out, int field, int64_t v)
{
    struct buf b;
    buf_init(&b, 64);
    if (field == USAGE_NUSD)
        ledger_put_usd(&b, v);
    else
        buf_printf(&b, "%" PRId64, v);
    buf_printf(out, "  %14.*s", SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
}

static void put_table(struct reconcile *c)
{
    struct buf *out = &c->view.out;
    char day[11];
    buf_printf(out, "%-10s  %-24s  %-8s  %14s  %14s  %8s\n", "day", "model", "what", "ledger",
               "file", "gap");
    for (size_t i = 0; i < c->lines.len; i++) {
        const struct both *b = &c->lines.at[i];
        usage_day_text(b->day, day);
        if (b->theirs != b->ours) {
            buf_printf(out, "%-10s  ", day);
            ledger_put_text(out, 24, b->model);
            buf_printf(out, "  only in the %s\n", where(b));
            continue;
        }
        for (int f = 0; f < USAGE_FIELDS; f++) {
            if (!(c->usage.fields >> f & 1) || !differ(c, b, f))
                continue;
            buf_printf(out, "%-10s  ", day);
            ledger_put_text(out, 24, b->model);
            buf_printf(out, "  %-8s", usage_field_name((enum usage_field)f));
            put_figure(out, f, b->ledger[f]);
            put_figure(out, f, b->file[f]);
            double most = fmax((double)b->ledger[f], (double)b->file[f]);
            buf_printf(out, "  %+7.2f%%", ((double)b->ledger[f] - (double)b->file[f]) / most * 100);
            if (b->unsure)
                buf_printf(out, "  (%" PRId64 " estimated)", b->unsure);
            buf_byte(out, '\n');
        }
        (void)ledger_view_drain(&c->view);
    }
    buf_printf(out, "%u of %zu days and models differ by more than %.6g %%\n", c->differences,
               c->lines.len, c->tolerance * 100);
    if (c->absent_count && !c->all) {
        BUF_LIT(out, "not in the file:");
        for (uint32_t i = 0; i < c->absent_count; i++) {
            buf_cstr(out, i ? ", " : " ");
            ledger_put_text(out, 0, c->absent[i]);
        }
        BUF_LIT(out, " (--map THEIRS=OURS when it has another name for one)\n");
    }
}

// The days of the file, and no others.
static void set_span(struct reconcile *c)
{
    int32_t least = INT32_MAX, most = 0;
    for (uint32_t i = 0; i < c->usage.count; i++) {
        int32_t day = c->usage.sums[i].day;
        least = day < least ? day : least;
        most = day > most ? day : most;
    }
    c->view.span = (struct report_span){(uint64_t)least * DAY_US, ((uint64_t)most + 1) * DAY_US};
}

static int compare(struct reconcile *c, const char *command)
{
    static const enum report_by by[] = {REPORT_DAY, REPORT_MODEL};
    set_span(c);
    enum result r = report_sums(c->view.report, c->view.span, by, 2, each_sum, c);
    if (!r && !join(c))
        r = RESULT_NOMEM;
    if (!r && c->json)
        put_json(c);
    else if (!r)
        put_table(c);
    int code = ledger_view_close(&c->view, command, r);
    return code == EXIT_DONE && c->differences ? EXIT_FOUND : code;
}

static bool tolerance_of(const char *given, double *out)
{
    char *end = NULL;
    double v = given ? strtod(given, &end) : 1;
    if (end && *end == '%')
        end++;
    if ((end && (*end || end == given)) || !(v >= 0 && v <= 100))
        return false;
    *out = v / 100;
    return true;
}

int cmd_ledger_reconcile(int argc, char **argv)
{
    struct reconcile c = {.maps = {.name = "--map"},
                          .ours = {.cap = USAGE_SUMS_MAX},
                          .unsure = {.cap = USAGE_SUMS_MAX},
                          .lines = {.cap = 2 * USAGE_SUMS_MAX}};
    const char *tolerance = NULL;
    const struct args_option options[] = {{"--tolerance", &tolerance, NULL},
                                          {"--ledger", &c.view.directory, NULL},
                                          {"--conf", &c.view.conf_path, NULL},
                                          {"--all", NULL, &c.all},
                                          {"--json", NULL, &c.json}};
    struct args a = {.command = "merit ledger reconcile",
                     .usage = usage_text,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .many = &c.maps,
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!tolerance_of(tolerance, &c.tolerance)) {
        fprintf(stderr, "%s: --tolerance \"%s\": percent from 0 to 100\n", a.command, tolerance);
        return EXIT_USAGE;
    }
    arena_init(&c.arena, 1 << 16, 1u << 30);
    code = read_file(&c, a.words[0]);
    if (code == ARGS_GO_ON)
        code = apply_maps(&c);
    if (code == ARGS_GO_ON)
        code = ledger_view_open(&c.view, a.command);
    if (code == ARGS_GO_ON)
        code = compare(&c, a.command);
    VEC_DEINIT(&c.ours);
    VEC_DEINIT(&c.unsure);
    VEC_DEINIT(&c.lines);
    arena_deinit(&c.arena);
    return code;
}
