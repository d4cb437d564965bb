// `merit ledger`: what attempts took, by whom and where, and what frontier-by-default would have taken.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/ledger_view.h"
#include "text/json.h"

static const char usage[] =
    "usage: merit ledger [options]\n"
    "       merit ledger rows|export|budgets|reconcile ...\n"
    "\n"
    "What attempts took, from the store that a server writes (it may be running): dollars, joules, "
    "grams of CO2e and\n"
    "tokens, and beside them what frontier-by-default would have cost and what was saved. "
    "docs/ledger.md explains the figures.\n"
    "\n"
    "  --by A,B         groups, up to four of model (default), route, tenant, team, caller, key, "
    "session, effort,\n"
    "                   place, end, hour, day, month; `none` for one line of everything\n"
    "  --since TIME     2026-11-21, 2026-11-21T10:00:00Z, or a time ago: 7d, 12h (everything when "
    "not given); UTC\n"
    "  --until TIME     the same; that instant is not part of it\n"
    "  --ledger DIR     the ledger's directory, when it is not the one of merit.conf\n"
    "  --conf FILE      the settings, when they are not in ./merit.conf\n"
    "  --json           {\"since_us\", \"until_us\", \"by\", \"lines\": [...], \"total\": {...}}, "
    "amounts as integers of nano-USD,\n"
    "                   microjoules, micrograms; null where they are known of no attempt\n"
    "  --csv            the same lines as CSV\n"
    "\n"
    "  merit ledger --since 7d --by model,day\n"
    "  merit ledger --by tenant --since 2026-11-01 --until 2026-12-01 --csv\n"
    "  merit ledger rows --since 1h          single attempts\n"
    "  merit ledger export csv > rows.csv    all of them, for a spreadsheet\n"
    "  merit ledger budgets                  what is left of each budget and when it renews\n"
    "  merit ledger reconcile usage.csv      against a provider's usage export\n";

struct summary {
    struct ledger_view view;
    enum report_by by[REPORT_BY_MAX];
    uint32_t by_count;
    bool json, csv;
    struct report_sum total;
    uint64_t lines;
};

static void add(struct report_sum *to, const struct report_sum *s)
{
    int64_t *const a[] = {&to->attempts,  &to->answered,   &to->estimated,  &to->unconfirmed,
                          &to->input_tok, &to->cached_tok, &to->output_tok, &to->compared};
    const int64_t b[] = {s->attempts,  s->answered,   s->estimated,  s->unconfirmed,
                         s->input_tok, s->cached_tok, s->output_tok, s->compared};
    for (size_t i = 0; i < MERIT_COUNT(b); i++)
        *a[i] += b[i];
    struct ledger_amounts *const to_amounts[] = {&to->took, &to->expected, &to->baseline,
                                                 &to->compared_took};
    const struct ledger_amounts *const amounts[] = {&s->took, &s->expected, &s->baseline,
                                                    &s->compared_took};
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < LEDGER_UNITS; i++) {
            int64_t *sum = &to_amounts[k]->of[i], more = amounts[k]->of[i];
            *sum = *sum < 0 ? more : more < 0 ? *sum : *sum + more;
        }
}

// The numbers of a line, in the order of the columns, for JSON and CSV.
static const char *const NUMBERS[] = {
    "attempts",    "answered",   "estimated",     "unconfirmed", "input_tok",     "cached_tok",
    "output_tok",  "took_nusd",  "took_uj",       "took_ug",     "took_ms",       "took_tok",
    "took_calls",  "requests",   "expected_nusd", "compared",    "baseline_nusd", "baseline_uj",
    "baseline_ug", "saved_nusd", "saved_uj",      "saved_ug"};
enum { NUMBER_COUNT = MERIT_COUNT(NUMBERS) };

// Known of no attempt of the group.
#define NOT_KNOWN INT64_MIN

static int64_t known(int64_t v)
{
    return v < 0 ? NOT_KNOWN : v;
}

// Less than nothing where frontier would have been cheaper.
static int64_t saved(const struct report_sum *s, int unit)
{
    bool is = s->baseline.of[unit] >= 0 && s->compared_took.of[unit] >= 0;
    return is ? s->baseline.of[unit] - s->compared_took.of[unit] : NOT_KNOWN;
}

static void numbers_of(const struct report_sum *s, int64_t out[NUMBER_COUNT])
{
    const int64_t *t = s->took.of, *b = s->baseline.of;
    const int64_t all[NUMBER_COUNT] = {
        s->attempts,   s->answered,   s->estimated, s->unconfirmed, s->input_tok,
        s->cached_tok, s->output_tok, known(t[0]),  known(t[1]),    known(t[2]),
        known(t[3]),   known(t[4]),   known(t[5]),  known(t[6]),    known(s->expected.of[0]),
        s->compared,   known(b[0]),   known(b[1]),  known(b[2]),    saved(s, 0),
        saved(s, 1),   saved(s, 2)};
    memcpy(out, all, sizeof all);
}

static void put_json(struct summary *m, const struct report_sum *s, uint32_t by_count)
{
    struct buf *out = &m->view.out;
    int64_t numbers[NUMBER_COUNT];
    numbers_of(s, numbers);
    buf_byte(out, '{');
    for (uint32_t i = 0; i < by_count; i++) {
        buf_printf(out, "\"%s\": ", report_by_name(m->by[i]));
        json_write_string(out, s->of[i]);
        BUF_LIT(out, ", ");
    }
    for (int i = 0; i < NUMBER_COUNT; i++) {
        buf_printf(out, "%s\"%s\": ", i ? ", " : "", NUMBERS[i]);
        if (numbers[i] == NOT_KNOWN)
            BUF_LIT(out, "null");
        else
            buf_printf(out, "%" PRId64, numbers[i]);
    }
    buf_byte(out, '}');
}

static void put_csv(struct summary *m, const struct report_sum *s)
{
    struct buf *out = &m->view.out;
    int64_t numbers[NUMBER_COUNT];
    numbers_of(s, numbers);
    for (uint32_t i = 0; i < m->by_count; i++) {
        ledger_put_csv(out, s->of[i]);
        buf_byte(out, ',');
    }
    for (int i = 0; i < NUMBER_COUNT; i++) {
        buf_cstr(out, i ? "," : "");
        if (numbers[i] != NOT_KNOWN)
            buf_printf(out, "%" PRId64, numbers[i]);
    }
    buf_byte(out, '\n');
}

static void put_cell(struct buf *out, int width, enum image_unit unit, int64_t amount)
{
    char room[40];
    struct buf b;
    buf_init(&b, sizeof room);
    if (amount == NOT_KNOWN)
        buf_byte(&b, '-');
    else if (unit == IMAGE_UNIT_NUSD)
        ledger_put_usd(&b, amount);
    else
        ledger_put_amount(&b, unit, amount);
    buf_printf(out, "  %*.*s", width, SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
}

// Where the first `n` columns of the groups end. A table by one of them is 119 columns wide.
static size_t group_end(const struct summary *m, uint32_t n)
{
    size_t end = n ? 2 * (n - 1) : 0;
    for (uint32_t i = 0; i < n; i++)
        end += m->by[i] == REPORT_DAY || m->by[i] == REPORT_MONTH ? 10 : 20;
    return n == m->by_count && end < 20 ? 20 : end;
}

// A text that is longer than its column pushes the others on.
static void pad(struct buf *out, size_t begin, size_t width)
{
    while (!buf_result(out) && out->len - begin < width)
        buf_byte(out, ' ');
}

static void put_table(struct summary *m, const struct report_sum *s, const char *instead)
{
    struct buf *out = &m->view.out;
    size_t begin = out->len;
    if (instead)
        buf_cstr(out, instead);
    for (uint32_t i = 0; i < m->by_count && !instead; i++) {
        pad(out, begin, group_end(m, i));
        buf_cstr(out, i ? "  " : "");
        ledger_put_text(out, 0, s->of[i]);
    }
    pad(out, begin, group_end(m, m->by_count));
    buf_printf(out, "  %8" PRId64 "  %11" PRId64 "  %10" PRId64, s->attempts, s->input_tok,
               s->output_tok);
    put_cell(out, 12, IMAGE_UNIT_NUSD, known(s->took.of[IMAGE_UNIT_NUSD]));
    put_cell(out, 12, IMAGE_UNIT_NUSD, known(s->baseline.of[IMAGE_UNIT_NUSD]));
    put_cell(out, 12, IMAGE_UNIT_NUSD, saved(s, IMAGE_UNIT_NUSD));
    put_cell(out, 9, IMAGE_UNIT_UJ, known(s->took.of[IMAGE_UNIT_UJ]));
    put_cell(out, 9, IMAGE_UNIT_UG, known(s->took.of[IMAGE_UNIT_UG]));
    buf_byte(out, '\n');
}

static bool each_sum(void *context, const struct report_sum *s)
{
    struct summary *m = context;
    add(&m->total, s);
    if (m->json) {
        buf_cstr(&m->view.out, m->lines ? ",\n  " : "\n  ");
        put_json(m, s, m->by_count);
    } else if (m->csv) {
        put_csv(m, s);
    } else {
        put_table(m, s, m->by_count ? NULL : "everything");
    }
    m->lines++;
    return ledger_view_drain(&m->view);
}

static void put_head(struct summary *m)
{
    struct buf *out = &m->view.out;
    if (m->json) {
        buf_printf(out, "{\"since_us\": %" PRIu64 ", \"until_us\": %" PRIu64 ", \"by\": [",
                   m->view.span.since_us, m->view.span.until_us);
        for (uint32_t i = 0; i < m->by_count; i++)
            buf_printf(out, "%s\"%s\"", i ? ", " : "", report_by_name(m->by[i]));
        BUF_LIT(out, "],\n \"lines\": [");
    } else if (m->csv) {
        for (uint32_t i = 0; i < m->by_count; i++)
            buf_printf(out, "%s,", report_by_name(m->by[i]));
        for (int i = 0; i < NUMBER_COUNT; i++)
            buf_printf(out, "%s%s", i ? "," : "", NUMBERS[i]);
        buf_byte(out, '\n');
    } else {
        size_t begin = out->len;
        for (uint32_t i = 0; i < m->by_count; i++) {
            pad(out, begin, group_end(m, i));
            buf_cstr(out, i ? "  " : "");
            buf_cstr(out, report_by_name(m->by[i]));
        }
        pad(out, begin, group_end(m, m->by_count));
        buf_printf(out, "  %8s  %11s  %10s  %12s  %12s  %12s  %9s  %9s\n", "attempts", "input tok",
                   "output tok", "usd", "frontier usd", "saved usd", "energy", "CO2e");
    }
}

static void put_foot(struct summary *m)
{
    struct buf *out = &m->view.out;
    const struct report_sum *t = &m->total;
    if (m->json) {
        BUF_LIT(out, "],\n \"total\": ");
        put_json(m, t, 0);
        BUF_LIT(out, "}\n");
        return;
    }
    if (m->csv)
        return;
    if (!m->lines)
        BUF_LIT(out, "no attempts in this time\n");
    if (m->lines > 1)
        put_table(m, t, "total");
    if (t->compared && t->compared < t->attempts)
        buf_printf(out,
                   "what frontier would have cost is known of %" PRId64 " of %" PRId64
                   " attempts; what was saved is of those\n",
                   t->compared, t->attempts);
    if (t->estimated > t->unconfirmed)
        buf_printf(out, "estimated, as their upstream told no usage: %" PRId64 "\n",
                   t->estimated - t->unconfirmed);
    if (t->unconfirmed)
        buf_printf(
            out, "unconfirmed, at their bound, as the process ended before they did: %" PRId64 "\n",
            t->unconfirmed);
}

static bool by_of(struct summary *m, const char *given)
{
    struct slice rest = slice_cstr(given ? given : "model"), name;
    if (slice_eq_cstr(rest, "none"))
        return true;
    while (slice_split(&rest, ',', &name)) {
        enum report_by by;
        if (m->by_count == REPORT_BY_MAX || !report_by_find(slice_trim(name), &by)) {
            fprintf(stderr, "merit ledger: --by \"%s\": up to four of", given);
            for (int i = 0; i < REPORT_BY_COUNT_; i++)
                fprintf(stderr, "%s %s", i ? "," : "", report_by_name((enum report_by)i));
            fputs(", or none\n", stderr);
            return false;
        }
        for (uint32_t i = 0; i < m->by_count; i++) {
            if (m->by[i] == by) {
                fprintf(stderr, "merit ledger: --by names %s twice\n", report_by_name(by));
                return false;
            }
        }
        m->by[m->by_count++] = by;
    }
    return true;
}

static int ledger_summary(int argc, char **argv)
{
    struct summary m = {0};
    const char *by = NULL;
    const struct args_option options[] = {{"--by", &by, NULL},
                                          {"--since", &m.view.since, NULL},
                                          {"--until", &m.view.until, NULL},
                                          {"--ledger", &m.view.directory, NULL},
                                          {"--conf", &m.view.conf_path, NULL},
                                          {"--json", NULL, &m.json},
                                          {"--csv", NULL, &m.csv}};
    struct args a = {.command = "merit ledger",
                     .usage = usage,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (m.json && m.csv) {
        fputs("merit ledger: --json or --csv, not both\n", stderr);
        return EXIT_USAGE;
    }
    if (!by_of(&m, by))
        return EXIT_USAGE;
    code = ledger_view_open(&m.view, a.command);
    if (code != ARGS_GO_ON)
        return code;
    for (int i = 0; i < LEDGER_UNITS; i++)
        m.total.took.of[i] = m.total.expected.of[i] = m.total.baseline.of[i] =
            m.total.compared_took.of[i] = -1;
    put_head(&m);
    enum result r = report_sums(m.view.report, m.view.span, m.by, m.by_count, each_sum, &m);
    if (!r)
        put_foot(&m);
    return ledger_view_close(&m.view, a.command, r);
}

int cmd_ledger(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"rows", cmd_ledger_rows},
                 {"export", cmd_ledger_export},
                 {"budgets", cmd_ledger_budgets},
                 {"reconcile", cmd_ledger_reconcile}};
    for (size_t i = 0; argc > 1 && i < MERIT_COUNT(verbs); i++) {
        if (slice_eq_cstr(slice_cstr(argv[1]), verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    }
    if (argc > 1 && argv[1][0] != '-') {
        fprintf(stderr, "merit ledger: \"%s\" is none of rows, export, budgets, reconcile\n\n%s",
                argv[1], usage);
        return EXIT_USAGE;
    }
    return ledger_summary(argc, argv);
}
