// A comparison for a pull request, a terminal and programs.
#include <string.h>

#include "proof/describe.h"
#include "proof/diff.h"
#include "text/json.h"

static const char *const sections[] = {"constraints", "routes", "signals", "models", "zones",
                                       "dispatch",    "sinks",  "aliases", "passes", "bounds"};

static struct slice route_name(const struct policy_image *p, int32_t i)
{
    return image_text(p, image_route(p, i)->name);
}

// A share of all requests: "12.5 %", "12.5 % ± 0.7", "under 0.05 %".
static void share(double part, double error, bool exact, struct buf *out)
{
    double percent = part * 100;
    if (percent > 0 && percent < 0.05)
        BUF_LIT(out, "under 0.05 %");
    else if (percent == 0 && !exact)
        BUF_LIT(out, "very few");
    else
        buf_printf(out, "%.*f %%", percent < 10 ? 2 : 1, percent);
    if (!exact && percent >= 0.05)
        buf_printf(out, " ± %.2g", error * 100);
}

static const char *allows_sentence(const struct diff_report *r)
{
    static const char *const texts[] = {
        [DIFF_EQUAL] = "It allows exactly what the old one does.",
        [DIFF_STRICTER] = "It is **stricter**: it allows less, and nothing new.",
        [DIFF_LOOSER] = "It is **looser**: it allows more.",
        [DIFF_INCOMPARABLE] =
            ("It is neither stricter nor looser: it allows some things that were not allowed, and "
             "no longer allows others."),
        [DIFF_OPEN] = "Whether it allows the same is **not proved**: a limit was reached.",
    };
    return texts[r->allows];
}

static void moved_sentence(const struct diff_report *r, struct buf *out)
{
    if (r->same) {
        BUF_LIT(out, "Every request gets the same.");
        return;
    }
    if (r->move_count == 0 && !r->open) {
        BUF_LIT(out, "No request moves to a route that does something else.");
        return;
    }
    share(r->moved, r->moved_error, r->moved_exact, out);
    BUF_LIT(out,
            " of all requests, each signal's values weighing the same, are routed to something "
            "else.");
}

// `|` ends a cell of a table.
static void cell(struct slice s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '|')
            BUF_LIT(out, "\\");
        buf_byte(out, s.ptr[i] == '\n' ? ' ' : s.ptr[i]);
    }
}

// Code in backquotes; text with backquotes gets longer ones.
static void code(struct slice s, struct buf *out)
{
    const char *fence = slice_find(s, SLICE("`")) >= 0 ? "``" : "`";
    buf_cstr(out, fence);
    cell(s, out);
    buf_cstr(out, fence);
}

static void markdown_moves(const struct diff_report *r, struct buf *out)
{
    if (!r->move_count)
        return;
    BUF_LIT(out, "\n### Requests that move\n\n| from | to | share | a request that does "
                 "|\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < r->move_count; i++) {
        const struct diff_move *m = &r->moves[i];
        BUF_LIT(out, "| ");
        cell(route_name(r->old, m->from), out);
        BUF_LIT(out, " | ");
        cell(route_name(r->new, m->to), out);
        BUF_LIT(out, " | ");
        share(m->share, m->error, m->exact, out);
        BUF_LIT(out, " | ");
        code(m->witness_new, out);
        if (!slice_eq(m->witness_old, m->witness_new)) {
            BUF_LIT(out, ", by the old signals ");
            code(m->witness_old, out);
        }
        BUF_LIT(out, " |\n");
    }
}

static struct slice traffic_name(const struct policy_image *p, int32_t route)
{
    return route >= 0 ? route_name(p, route) : SLICE("(no route)");
}

static void corpus_sentence(const struct diff_corpus *c, struct buf *out)
{
    buf_printf(out, "Of the %u given requests %u %s routed to something else.", c->lines, c->moved,
               c->moved == 1 ? "is" : "are");
}

static void markdown_corpus(const struct diff_report *r, struct buf *out)
{
    const struct diff_corpus *c = r->corpus;
    if (!c)
        return;
    BUF_LIT(out, "\n### Given requests\n\n");
    corpus_sentence(c, out);
    BUF_LIT(out, "\n");
    if (c->move_count)
        BUF_LIT(out, "\n| from | to | requests | the first, line |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < c->move_count; i++) {
        BUF_LIT(out, "| ");
        cell(traffic_name(r->old, c->moves[i].from), out);
        BUF_LIT(out, " | ");
        cell(traffic_name(r->new, c->moves[i].to), out);
        buf_printf(out, " | %u | %u |\n", c->moves[i].lines, c->moves[i].first);
    }
}

static void markdown_powers(const struct diff_report *r, bool gained, struct buf *out)
{
    bool head = false;
    for (uint32_t i = 0; i < r->power_count; i++) {
        const struct diff_power *p = &r->powers[i];
        if (p->gained != gained)
            continue;
        if (!head)
            buf_cstr(out, gained ? "\n### Newly allowed\n\n" : "\n### No longer allowed\n\n");
        head = true;
        BUF_LIT(out, "- ");
        cell(p->text, out);
        BUF_LIT(out, ", as for ");
        code(p->witness, out);
        BUF_LIT(out, "\n");
    }
}

static const char *sign_text(enum diff_sign s)
{
    static const char *const signs[] = {"+", "-", "~"};
    return signs[s];
}

void diff_markdown(const struct diff_report *r, struct slice old_name, struct slice new_name,
                   struct buf *out)
{
    buf_printf(out, "## Policy: %.*s → %.*s\n\n", SLICE_FMT(old_name), SLICE_FMT(new_name));
    buf_printf(out, "%s ", allows_sentence(r));
    moved_sentence(r, out);
    BUF_LIT(out, "\n");
    if (r->open)
        buf_printf(out, "\n%u question%s met a limit and %s open.\n", r->open,
                   r->open == 1 ? "" : "s", r->open == 1 ? "is" : "are");
    if (r->unrelated)
        BUF_LIT(out,
                "\nDefinitions of signals changed: old and new values count as independent in the "
                "shares below, where their families or arguments differ.\n");
    markdown_powers(r, true, out);
    markdown_powers(r, false, out);
    if (r->power_more)
        buf_printf(out, "- and %u more\n", r->power_more);
    markdown_moves(r, out);
    markdown_corpus(r, out);
    for (size_t s = 0; s < MERIT_COUNT(sections); s++) {
        bool head = false;
        for (uint32_t i = 0; i < r->line_count; i++) {
            if (strcmp(r->lines[i].section, sections[s]) != 0)
                continue;
            if (!head)
                buf_printf(out, "\n### %c%s\n\n```diff\n", sections[s][0] - 'a' + 'A',
                           sections[s] + 1);
            head = true;
            buf_printf(out, "%s %.*s\n",
                       r->lines[i].sign == DIFF_CHANGED ? "!" : sign_text(r->lines[i].sign),
                       SLICE_FMT(r->lines[i].text));
        }
        if (head)
            BUF_LIT(out, "```\n");
    }
}

void diff_text(const struct diff_report *r, struct buf *out)
{
    buf_printf(out, "allows: %s\n",
               r->allows == DIFF_OPEN ? "not proved" : diff_relation_name(r->allows));
    BUF_LIT(out, "does:   ");
    moved_sentence(r, out);
    BUF_LIT(out, "\n");
    if (r->open)
        buf_printf(out, "open:   %u questions met a limit\n", r->open);
    for (uint32_t i = 0; i < r->power_count; i++)
        buf_printf(out, "%s  %.*s\n   as for %.*s\n", r->powers[i].gained ? "+" : "-",
                   SLICE_FMT(r->powers[i].text), SLICE_FMT(r->powers[i].witness));
    if (r->power_more)
        buf_printf(out, "   and %u more\n", r->power_more);
    for (uint32_t i = 0; i < r->move_count; i++) {
        const struct diff_move *m = &r->moves[i];
        buf_printf(out, "%.*s → %.*s  ", SLICE_FMT(route_name(r->old, m->from)),
                   SLICE_FMT(route_name(r->new, m->to)));
        share(m->share, m->error, m->exact, out);
        buf_printf(out, "\n   as for %.*s\n", SLICE_FMT(m->witness_new));
        if (!slice_eq(m->witness_old, m->witness_new))
            buf_printf(out, "   by the old signals %.*s\n", SLICE_FMT(m->witness_old));
    }
    if (r->corpus) {
        corpus_sentence(r->corpus, out);
        BUF_LIT(out, "\n");
    }
    for (uint32_t i = 0; r->corpus && i < r->corpus->move_count; i++) {
        const struct diff_traffic *m = &r->corpus->moves[i];
        buf_printf(out, "%.*s → %.*s  %u, the first in line %u\n",
                   SLICE_FMT(traffic_name(r->old, m->from)), SLICE_FMT(traffic_name(r->new, m->to)),
                   m->lines, m->first);
    }
    for (uint32_t i = 0; i < r->line_count; i++)
        buf_printf(out, "%s  %.*s\n", sign_text(r->lines[i].sign), SLICE_FMT(r->lines[i].text));
}

static void json_text(const char *key, struct slice s, struct buf *out)
{
    buf_printf(out, "\"%s\": ", key);
    json_write_string(out, s);
}

static void json_corpus(const struct diff_report *r, struct buf *out)
{
    const struct diff_corpus *c = r->corpus;
    buf_printf(out, ",\n \"corpus\": {\"lines\": %u, \"moved\": %u, \"moves\": [", c->lines,
               c->moved);
    for (uint32_t i = 0; i < c->move_count; i++) {
        buf_printf(out, "%s{", i ? ", " : "");
        json_text("from", traffic_name(r->old, c->moves[i].from), out);
        BUF_LIT(out, ", ");
        json_text("to", traffic_name(r->new, c->moves[i].to), out);
        buf_printf(out, ", \"lines\": %u, \"first\": %u}", c->moves[i].lines, c->moves[i].first);
    }
    BUF_LIT(out, "]}");
}

void diff_json(const struct diff_report *r, struct buf *out)
{
    static const char *const signs[] = {"added", "removed", "changed"};
    buf_printf(out, "{\"allows\": \"%s\", \"same\": %s, \"moved\": ", diff_relation_name(r->allows),
               r->same ? "true" : "false");
    json_write_double(out, r->moved);
    buf_printf(out, ", \"exact\": %s, \"error\": ", r->moved_exact ? "true" : "false");
    json_write_double(out, r->moved_error);
    buf_printf(out, ", \"open\": %u,\n \"powers\": [", r->open);
    for (uint32_t i = 0; i < r->power_count; i++) {
        buf_printf(out, "%s\n  {\"gained\": %s, ", i ? "," : "",
                   r->powers[i].gained ? "true" : "false");
        json_text("text", r->powers[i].text, out);
        buf_printf(out, ", \"witness\": %.*s}", SLICE_FMT(r->powers[i].witness));
    }
    buf_printf(out, "], \"powers_more\": %u,\n \"moves\": [", r->power_more);
    for (uint32_t i = 0; i < r->move_count; i++) {
        const struct diff_move *m = &r->moves[i];
        buf_printf(out, "%s\n  {", i ? "," : "");
        json_text("from", route_name(r->old, m->from), out);
        BUF_LIT(out, ", ");
        json_text("to", route_name(r->new, m->to), out);
        BUF_LIT(out, ", \"share\": ");
        json_write_double(out, m->share);
        BUF_LIT(out, ", \"error\": ");
        json_write_double(out, m->error);
        buf_printf(out, ", \"exact\": %s, \"witness_old\": %.*s, \"witness\": %.*s}",
                   m->exact ? "true" : "false", SLICE_FMT(m->witness_old),
                   SLICE_FMT(m->witness_new));
    }
    BUF_LIT(out, "],\n \"changes\": [");
    for (uint32_t i = 0; i < r->line_count; i++) {
        buf_printf(out, "%s\n  {\"sign\": \"%s\", \"section\": \"%s\", ", i ? "," : "",
                   signs[r->lines[i].sign], r->lines[i].section);
        json_text("text", r->lines[i].text, out);
        BUF_LIT(out, "}");
    }
    BUF_LIT(out, "]");
    if (r->corpus)
        json_corpus(r, out);
    BUF_LIT(out, "}\n");
}
