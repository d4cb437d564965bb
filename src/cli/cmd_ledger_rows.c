// `merit ledger rows`, `export` and `budgets`: the store's lines as they are.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/ledger_view.h"
#include "text/json.h"

enum { ROWS_DEFAULT = 20, ROWS_MAX = 10000000 };

static const char usage_rows[] =
    "usage: merit ledger rows [--last N] [--since TIME] [--until TIME] [options]\n"
    "\n"
    "Shows single attempts, those that ended last, in the order in which they ended.\n"
    "\n"
    "  --last N         at most so many (20)\n"
    "  --since, --until TIME   as of merit ledger\n"
    "  --ledger DIR, --conf FILE   as of merit ledger\n"
    "  --json           one object per line with everything that is known of an attempt\n"
    "\n"
    "  merit ledger rows --since 1h --last 100\n";

static const char usage_export[] =
    "usage: merit ledger export csv|json [--since TIME] [--until TIME] [options]\n"
    "\n"
    "Writes all attempts with all columns, as they ended: CSV with a header, or JSON lines. What "
    "is "
    "not known is empty, or null.\n"
    "Money is nano-USD, energy microjoules, carbon micrograms.\n"
    "\n"
    "  --since, --until TIME, --ledger DIR, --conf FILE   as of merit ledger\n"
    "\n"
    "  merit ledger export csv --since 2026-11-01 --until 2026-12-01 > november.csv\n";

static const char usage_budgets[] =
    "usage: merit ledger budgets [options]\n"
    "\n"
    "Shows each budget that was drawn on in its present window: its limit, what is used, what "
    "attempts that are under way have\n"
    "reserved, what is left, and when it renews. A server may be running: its journal is read, "
    "too.\n"
    "\n"
    "  --ledger DIR, --conf FILE   as of merit ledger\n"
    "  --json           [{\"name\", \"holder\", \"unit\", \"window\", \"hard\", \"limit\", "
    "\"used\", \"reserved\", \"left\", \"renews_us\", \"lambda\"}]\n";

struct rows {
    struct ledger_view view;
    bool json, csv, head;
};

static void put_cell(struct buf *out, const struct report_cell *c, bool json)
{
    if (json)
        buf_printf(out, "\"%s\": ", c->name);
    if (!c->known) {
        if (json)
            BUF_LIT(out, "null");
    } else if (c->is_number) {
        buf_printf(out, "%" PRId64, c->number);
    } else if (json) {
        json_write_string(out, c->text);
    } else {
        ledger_put_csv(out, c->text);
    }
}

static bool each_whole(void *context, const struct report_cell *cells, uint32_t count)
{
    struct rows *m = context;
    struct buf *out = &m->view.out;
    if (!m->json && !m->head) {
        m->head = true;
        for (uint32_t i = 0; i < count; i++)
            buf_printf(out, "%s%s", i ? "," : "", cells[i].name);
        buf_byte(out, '\n');
    }
    if (m->json)
        buf_byte(out, '{');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_cstr(out, m->json ? ", " : ",");
        put_cell(out, &cells[i], m->json);
    }
    buf_cstr(out, m->json ? "}\n" : "\n");
    return out->len < LEDGER_OUT_MAX / 2 || ledger_view_drain(&m->view);
}

static const struct report_cell *cell(const struct report_cell *cells, uint32_t count,
                                      const char *name)
{
    static const struct report_cell none;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(cells[i].name, name) == 0)
            return &cells[i];
    return &none;
}

static bool each_line(void *context, const struct report_cell *cells, uint32_t count)
{
    struct rows *m = context;
    struct buf *out = &m->view.out;
    static const struct {
        const char *name;
        int width;
    } texts[] = {{"at", 24},    {"decision", 20}, {"caller", 12}, {"route", 12},
                 {"model", 18}, {"effort", 7},    {"end", 11}};
    if (!m->head) {
        m->head = true;
        for (size_t i = 0; i < MERIT_COUNT(texts); i++)
            buf_printf(out, "%-*s  ", texts[i].width, texts[i].name);
        buf_printf(out, "%8s  %8s  %12s  %12s  %9s\n", "input", "output", "usd", "frontier usd",
                   "energy");
    }
    for (size_t i = 0; i < MERIT_COUNT(texts); i++) {
        const struct report_cell *c = cell(cells, count, texts[i].name);
        ledger_put_text(out, (size_t)texts[i].width, c->known ? c->text : SLICE_EMPTY);
        BUF_LIT(out, "  ");
    }
    buf_printf(out, "%8" PRId64 "  %8" PRId64, cell(cells, count, "input_tok")->number,
               cell(cells, count, "output_tok")->number);
    static const char *const amounts[] = {"took_nusd", "baseline_nusd", "took_uj"};
    for (size_t i = 0; i < MERIT_COUNT(amounts); i++) {
        const struct report_cell *c = cell(cells, count, amounts[i]);
        struct buf b;
        buf_init(&b, 64);
        if (!c->known)
            buf_byte(&b, '-');
        else if (i < 2)
            ledger_put_usd(&b, c->number);
        else
            ledger_put_amount(&b, IMAGE_UNIT_UJ, c->number);
        buf_printf(out, "  %*.*s", i < 2 ? 12 : 9, SLICE_FMT(buf_slice(&b)));
        buf_deinit(&b);
    }
    buf_byte(out, '\n');
    return out->len < LEDGER_OUT_MAX / 2 || ledger_view_drain(&m->view);
}

int cmd_ledger_rows(int argc, char **argv)
{
    struct rows m = {0};
    const char *last = NULL;
    uint64_t limit = ROWS_DEFAULT;
    const struct args_option options[] = {{"--last", &last, NULL},
                                          {"--since", &m.view.since, NULL},
                                          {"--until", &m.view.until, NULL},
                                          {"--ledger", &m.view.directory, NULL},
                                          {"--conf", &m.view.conf_path, NULL},
                                          {"--json", NULL, &m.json}};
    struct args a = {.command = "merit ledger rows",
                     .usage = usage_rows,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (last && (!slice_u64(slice_cstr(last), &limit) || !limit || limit > ROWS_MAX)) {
        fprintf(stderr, "merit ledger rows: --last \"%s\": a number from 1 to %d\n", last,
                ROWS_MAX);
        return EXIT_USAGE;
    }
    code = ledger_view_open(&m.view, a.command);
    if (code != ARGS_GO_ON)
        return code;
    enum result r =
        report_rows(m.view.report, m.view.span, limit, true, m.json ? each_whole : each_line, &m);
    if (!r && !m.json && !m.head)
        BUF_LIT(&m.view.out, "no attempts in this time\n");
    return ledger_view_close(&m.view, a.command, r);
}

int cmd_ledger_export(int argc, char **argv)
{
    struct rows m = {0};
    const struct args_option options[] = {{"--since", &m.view.since, NULL},
                                          {"--until", &m.view.until, NULL},
                                          {"--ledger", &m.view.directory, NULL},
                                          {"--conf", &m.view.conf_path, NULL}};
    struct args a = {.command = "merit ledger export",
                     .usage = usage_export,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    m.json = strcmp(a.words[0], "json") == 0;
    if (!m.json && strcmp(a.words[0], "csv") != 0) {
        fprintf(stderr, "merit ledger export: \"%s\" is neither csv nor json\n", a.words[0]);
        return EXIT_USAGE;
    }
    code = ledger_view_open(&m.view, a.command);
    if (code != ARGS_GO_ON)
        return code;
    enum result r = report_rows(m.view.report, m.view.span, 0, false, each_whole, &m);
    return ledger_view_close(&m.view, a.command, r);
}

// --- budgets

static void put_budget_json(struct buf *out, const struct report_budget *b, int64_t left)
{
    BUF_LIT(out, "{\"name\": ");
    json_write_string(out, b->name);
    BUF_LIT(out, ", \"holder\": ");
    json_write_string(out, b->holder);
    buf_printf(out, ", \"unit\": \"%s\", \"window\": \"%s\", \"hard\": %s",
               ledger_unit_name(b->unit), ledger_window_name(b->window),
               b->hard ? "true" : "false");
    if (b->limit < 0)
        BUF_LIT(out, ", \"limit\": null, \"left\": null");
    else
        buf_printf(out, ", \"limit\": %" PRId64 ", \"left\": %" PRId64, b->limit, left);
    buf_printf(out, ", \"used\": %" PRId64 ", \"reserved\": ", b->used);
    if (b->reserved < 0)
        BUF_LIT(out, "null");
    else
        buf_printf(out, "%" PRId64, b->reserved);
    BUF_LIT(out, ", \"renews_us\": ");
    if (b->renews_us)
        buf_u64(out, b->renews_us);
    else
        BUF_LIT(out, "null");
    BUF_LIT(out, ", \"lambda\": ");
    json_write_double(out, b->lambda);
    buf_byte(out, '}');
}

static void put_amount(struct buf *out, enum image_unit unit, int64_t amount)
{
    struct buf b;
    buf_init(&b, 64);
    if (amount < 0)
        buf_byte(&b, '-');
    else
        ledger_put_amount(&b, unit, amount);
    buf_printf(out, "  %16.*s", SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
}

static bool each_budget(void *context, const struct report_budget *b)
{
    struct rows *m = context;
    struct buf *out = &m->view.out;
    int64_t held = b->used + (b->reserved > 0 ? b->reserved : 0);
    int64_t left = b->limit < 0 ? -1 : held < b->limit ? b->limit - held : 0;
    if (m->json) {
        buf_cstr(out, m->head ? ",\n " : "");
        put_budget_json(out, b, left);
    } else {
        char when[CLOCK_ISO_LEN];
        if (!m->head)
            buf_printf(out, "%-34s  %-24s  %16s  %16s  %16s  %16s  %s\n", "budget", "of", "limit",
                       "used", "reserved", "left", "renews");
        ledger_put_text(out, 34, b->name);
        BUF_LIT(out, "  ");
        ledger_put_text(out, 24, b->holder);
        put_amount(out, b->unit, b->limit);
        put_amount(out, b->unit, b->used);
        put_amount(out, b->unit, b->reserved);
        put_amount(out, b->unit, left);
        if (b->renews_us)
            clock_iso(b->renews_us, when);
        buf_printf(out, "  %.*s\n", b->renews_us ? 16 : 5, b->renews_us ? when : "never");
    }
    m->head = true;
    return out->len < LEDGER_OUT_MAX / 2 || ledger_view_drain(&m->view);
}

int cmd_ledger_budgets(int argc, char **argv)
{
    struct rows m = {0};
    const struct args_option options[] = {{"--ledger", &m.view.directory, NULL},
                                          {"--conf", &m.view.conf_path, NULL},
                                          {"--json", NULL, &m.json}};
    struct args a = {.command = "merit ledger budgets",
                     .usage = usage_budgets,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    code = ledger_view_open(&m.view, a.command);
    if (code != ARGS_GO_ON)
        return code;
    if (m.json)
        buf_byte(&m.view.out, '[');
    struct flight flight;
    char room[FILE_ERROR_BYTES];
    enum result seen = flight_read(&flight, m.view.found);
    if (seen)
        fprintf(stderr,
                "%s: the journal in %s cannot be read (%s): what is reserved is not known\n",
                a.command, m.view.found, file_problem(seen, room));
    enum result r =
        report_budgets(m.view.report, seen ? NULL : &flight, m.view.now_us, each_budget, &m);
    if (!seen)
        flight_free(&flight);
    if (m.json)
        BUF_LIT(&m.view.out, "]\n");
    else if (!m.head)
        BUF_LIT(&m.view.out, "no budget was drawn on in its present window\n");
    return ledger_view_close(&m.view, a.command, r);
}
