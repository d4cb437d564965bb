// What models cost: money, energy, carbon.
#include <stdio.h>

#include "policy/check.h"
#include "policy/energy_list.h"
#include "policy/policy.h"
#include "policy/price_list.h"

static const char *const price_unit = "usd/Mtok";

// One unit behind the last of several numbers is that of all of them.
static bool unit_of_all(struct checker *c, const struct node *clause, const char *const *units,
                        const char *what, const char *help, int *which)
{
    const struct node *last = NULL, *wrong = NULL;
    *which = 0;
    for (const struct node *at = clause->first; at; at = at->next) {
        if (at->kind != NODE_PRICE)
            continue;
        last = at;
        if (at->last->kind != NODE_UNIT)
            continue;
        int i = 0;
        while (units[i] && !check_unit_is(c, at->last, units[i]))
            i++;
        wrong = units[i] ? wrong : at->last;
        *which = units[i] ? i : 0;
    }
    if (!last || (!wrong && last->last->kind == NODE_UNIT))
        return true;
    struct diag *d = check_error(c, wrong ? wrong : clause, "unit", "%s %s `%s`", what,
                                 wrong ? "has the unit" : "needs its unit,", units[0]);
    diag_help(c->diags, d, "%s", help);
    return false;
}

// `0.03 in, 0.06 out, 0.01 cached, 0.04 written usd/Mtok`.
static void token_prices(struct checker *c, struct image_model *m, const struct node *clause)
{
    int64_t *const into[] = {&m->price_in_nusd, &m->price_out_nusd, &m->price_cached_nusd,
                             &m->price_written_nusd};
    static const char *const words[] = {"in", "out", "cached", "written"}, *const units[] = {
                                                                               "usd/Mtok", NULL};
    bool stated[4] = {false, false, false, false};
    const struct node *first = NULL, *other = NULL;
    int which;
    for (const struct node *at = clause->first; at; at = at->next) {
        if (at->kind != NODE_PRICE) {
            other = at->kind == NODE_QUANTITY || tree_is(c->tree, at, "gpu") ? at : other;
            continue;
        }
        which = 0;
        first = first ? first : at;
        while (!tree_is(c->tree, at->first->next, words[which]))
            which++;
        if (stated[which])
            check_error(c, at, "duplicate", "`%s` stands twice in one price", words[which]);
        stated[which] = true;
        check_money(c, at->first, NULL, "a price per million tokens", IMAGE_PRICE_MAX, into[which]);
    }
    unit_of_all(c, clause, units, "a price",
                "write `price 0.03 in, 0.06 out usd/Mtok`: US dollars per million tokens", &which);
    if ((!stated[0] || !stated[1]) && (first || !other)) {
        struct diag *d = check_error(c, clause, "price", "a price has both `in` and `out`");
        diag_help(c->diags, d, "write `price 0.03 in, 0.06 out %s`; 0 is a price, too", price_unit);
    }
    if (!stated[2])
        m->price_cached_nusd = m->price_in_nusd;
    else if (m->price_cached_nusd > m->price_in_nusd)
        check_warning(c, clause, "price", "cached tokens cost more than others");
    if (stated[3] && m->price_written_nusd == 0) {
        struct diag *d =
            check_error(c, clause, "price", "what is written to a cache costs something");
        diag_help(c->diags, d, "leave `written` out where it costs what is read");
    }
}

// The day of a NODE_DATE, as it stands.
static void date(struct checker *c, struct image_model *m, const struct node *n)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct slice text = tree_text(c->tree, n);
    uint64_t year = 0, month = 0, day = 0;
    bool digits = slice_u64(slice_head(text, 4), &year) &&
                  slice_u64(slice_head(slice_from(text, 5), 2), &month) &&
                  slice_u64(slice_from(text, 8), &day);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (!digits || year < 2000 || month < 1 || month > 12 || day < 1 || day > days[month - 1] ||
        (month == 2 && day == 29 && !leap))
        check_error(c, n, "date", "there is no such day");
    m->price_date = builder_str(&c->build, text);
}

// What stands beside the prices of tokens.
static void other_prices(struct checker *c, struct image_model *m, const struct node *clause)
{
    bool call = false;
    check_clauses_once(c, clause);
    for (const struct node *at = clause->first; at; at = at->next) {
        if (at->kind == NODE_QUANTITY) {
            if (call)
                check_error(c, at, "duplicate", "a price per request stands twice");
            call = true;
            check_money(c, at, "usd/request", "a price per request", IMAGE_PRICE_MAX,
                        &m->price_call_nusd);
        } else if (at->kind != NODE_CLAUSE) {
            continue;
        } else if (tree_is(c->tree, at, "gpu")) {
            check_money(c, at->first, "usd/h", "a price of machines", IMAGE_PRICE_MAX,
                        &m->price_gpu_nusd_h);
        } else if (tree_is(c->tree, at, "batch")) {
            check_whole(c, at->first, NULL, "a batch rate", 1, 100, &m->batch_percent);
        } else if (tree_is(c->tree, at, "since")) {
            date(c, m, at->first);
        } else {
            m->price_source = builder_str(&c->build, check_string(c, at->first));
        }
    }
}

// `price listed`: by provider and name upstream.
static void listed(struct checker *c, struct image_model *m, const struct node *clause)
{
    struct price_list list;
    struct slice provider = builder_text(&c->build, m->provider),
                 name = builder_text(&c->build, m->upstream_name);
    if (!provider.len) {
        struct diag *d = check_error(c, clause, "price", "prices are listed by provider");
        diag_help(c->diags, d, "write `provider openai \"...\"`, or the price itself");
        return;
    }
    // Names are kept in the builder's bytes, which what is added below may move.
    provider = arena_copy(c->arena, provider);
    name = arena_copy(c->arena, name);
    if (!provider.ptr || !name.ptr || (!c->prices && price_list_shipped(c->arena, &list))) {
        c->nomem = true;
        return;
    }
    const struct price_row *row = price_list_find(c->prices ? c->prices : &list, provider, name);
    if (!row) {
        struct diag *d =
            check_error(c, clause, "price", "the list has no price of `%.*s` for \"%.*s\"",
                        SLICE_FMT(provider), SLICE_FMT(name));
        diag_help(c->diags, d, "write it: `price 0.03 in, 0.06 out %s since 2026-11-21`",
                  price_unit);
        return;
    }
    m->price_listed = true;
    m->price_in_nusd = row->in_nusd;
    m->price_out_nusd = row->out_nusd;
    m->price_cached_nusd = row->cached_nusd;
    m->price_written_nusd = row->written_nusd == row->in_nusd ? 0 : row->written_nusd;
    m->price_call_nusd = row->call_nusd;
    m->batch_percent = row->batch_percent;
    m->price_date = builder_str(&c->build, row->date);
    m->price_source = builder_str(&c->build, row->source);
}

void check_price(struct checker *c, const struct node *statement, struct image_model *m)
{
    const struct node *clause = tree_clause(c->tree, statement, "price");
    if (!clause)
        return;
    m->priced = true;
    if (clause->first->kind == NODE_WORD) {
        listed(c, m, clause);
        return;
    }
    token_prices(c, m, clause);
    other_prices(c, m, clause);
}

static bool costs_something(const struct image_model *m)
{
    return m->priced &&
           (m->price_in_nusd || m->price_out_nusd || m->price_call_nusd || m->price_gpu_nusd_h);
}

void check_dates(struct checker *c)
{
    uint32_t undated = 0, first = 0;
    for (uint32_t i = 0; i < c->models.count && i < builder_count(&c->build, IMAGE_MODELS); i++) {
        const struct image_model *m = BUILDER_AT(&c->build, IMAGE_MODELS, struct image_model, i);
        if (!costs_something(m) || m->price_date.len)
            continue;
        first = undated++ ? first : i;
    }
    const struct node *clause =
        undated ? tree_clause(c->tree, c->models.nodes[first], "price") : NULL;
    if (!clause)
        return;
    struct slice name = c->models.at[first];
    struct diag *d = diag_add(c->diags, DIAG_NOTE, "price-date", tree_span(c->tree, clause),
                              undated > 1 ? "the prices of `%.*s` and %u more have no date"
                                          : "the price of `%.*s` has no date",
                              SLICE_FMT(name), undated - 1);
    diag_help(c->diags, d,
              "say when it was seen: `price ... since 2026-11-21 from \"https://...\"`");
}

// `energy 40 in, 300 out kJ/Mtok`.
static void energy_stated(struct checker *c, struct image_model *m, const struct node *clause)
{
    static const char *const units[] = {"kJ/Mtok", "J/Mtok", NULL};
    int64_t *const into[] = {&m->energy_in_uj, &m->energy_out_uj};
    bool stated[2] = {false, false};
    int unit;
    unit_of_all(c, clause, units, "an energy",
                "write `energy 40 in, 300 out kJ/Mtok`: per million tokens", &unit);
    for (const struct node *at = clause->first; at && at->kind == NODE_PRICE; at = at->next) {
        bool out = tree_is(c->tree, at->first->next, "out");
        struct decimal v;
        if (!out && !tree_is(c->tree, at->first->next, "in")) {
            check_error(c, at, "energy", "an energy has `in` and `out`");
            continue;
        }
        if (stated[out])
            check_error(c, at, "duplicate", "`%s` stands twice in one energy", out ? "out" : "in");
        stated[out] = true;
        if (!check_quantity(c, at->first, NULL, "an energy per million tokens", &v))
            continue;
        if (!units_scaled(v, unit == 0 ? 9 : 6, into[out]) || *into[out] < 0 ||
            *into[out] > IMAGE_ENERGY_MAX)
            check_error(c, at->first, "range",
                        "an energy is between 0 and 1 GJ per million tokens");
    }
    if (!stated[0] || !stated[1]) {
        struct diag *d = check_error(c, clause, "energy", "an energy has both `in` and `out`");
        diag_help(c->diags, d, "write `energy 40 in, 300 out kJ/Mtok`; 0 is an energy, too");
    }
}

// Billions of parameters: "200b"; the begin of `text` that says so is taken off.
static bool billions(struct slice *text, double *out)
{
    size_t n = 0, suffix;
    struct decimal d;
    while (n < text->len && text->ptr[n] != 'b' && text->ptr[n] != 'B')
        n++;
    if (n == 0 || n == text->len || units_number(slice_head(*text, n), &d, &suffix) != UNITS_OK ||
        d.negative)
        return false;
    *out = units_double(d);
    *text = slice_from(*text, n + 1);
    return true;
}

static bool estimated(struct checker *c, const struct node *size, struct energy_fit *fit)
{
    struct slice text = tree_text(c->tree, size);
    double total = 0, active = 0;
    bool ok = billions(&text, &total);
    if (ok && text.len > 2 && text.ptr[0] == '-' && (text.ptr[1] == 'a' || text.ptr[1] == 'A')) {
        text = slice_from(text, 2);
        ok = billions(&text, &active);
    }
    if (ok && text.len == 0 && energy_list_estimate(total, active, 0, fit) == RESULT_OK)
        return true;
    struct diag *d = check_error(c, size, "energy", "`%.*s` is no size of a model",
                                 SLICE_FMT(tree_text(c->tree, size)));
    diag_help(c->diags, d,
              "billions of parameters up to %db, and of these what works on a token: `200b`, "
              "`235b-a22b`",
              ENERGY_ESTIMATE_B_MAX);
    return false;
}

static bool measured(struct checker *c, const struct node *clause, struct energy_fit *fit)
{
    const struct node *number = clause->count == 3 ? clause->first : NULL,
                      *hardware = number ? number->next : clause->first, *size = clause->last;
    uint32_t gpus = 0;
    if (number && !check_whole(c, number, NULL, "the number of machines", 1, 64, &gpus))
        return false;
    struct slice name = tree_text(c->tree, hardware), model = tree_text(c->tree, size);
    if (energy_list_find(gpus, name, model, fit) == RESULT_OK)
        return true;
    struct diag *d = check_error(c, clause, "energy", "nothing is listed for `%.*s` on %s`%.*s`",
                                 SLICE_FMT(model), gpus ? "so many " : "", SLICE_FMT(name));
    // What there is for this machine, or for this size.
    char known[256] = "";
    int len = 0;
    size_t count;
    const struct energy_row *rows = energy_list_rows(&count);
    for (size_t i = 0; i < count && len < (int)sizeof known - 48; i++)
        if (slice_eq_cstr(name, rows[i].hardware) || slice_eq_cstr(model, rows[i].size))
            len += snprintf(known + len, sizeof known - (size_t)len, "%s`%u %s %s`",
                            len ? ", " : "", rows[i].gpus, rows[i].hardware, rows[i].size);
    if (len)
        diag_help(c->diags, d, "there is %s; `estimate 8b` goes by size alone", known);
    else
        diag_help(c->diags, d,
                  "no such machine is listed: write `energy estimate 8b`, by size "
                  "alone, or what you measured: `energy 40 in, 300 out kJ/Mtok`");
    return false;
}

void check_energy(struct checker *c, const struct node *statement, struct image_model *m)
{
    const struct node *clause = tree_clause(c->tree, statement, "energy");
    struct energy_fit fit;
    if (!clause)
        return;
    if (clause->first->kind == NODE_PRICE) {
        energy_stated(c, m, clause);
        return;
    }
    if (tree_is(c->tree, clause->first, "estimate") ? !estimated(c, clause->last, &fit)
                                                    : !measured(c, clause, &fit))
        return;
    uint32_t pue =
        m->zone == IMAGE_NONE
            ? 0
            : BUILDER_AT(&c->build, IMAGE_ZONES, struct image_zone, (uint32_t)m->zone)->pue_milli;
    m->energy = (struct image_energy){.curve = fit.curve,
                                      .grade = fit.grade,
                                      .a = fit.a,
                                      .c = fit.c,
                                      .prefill_j_tok = fit.prefill_j_tok,
                                      .batch = fit.batch,
                                      .batch_max = fit.batch_max,
                                      .step_s = fit.step_s,
                                      .step_growth = fit.step_growth,
                                      .prefill_s_tok = fit.prefill_s_tok,
                                      .gpus = fit.gpus};
    m->energy.hardware = builder_str(&c->build, slice_cstr(fit.hardware));
    m->energy.source = builder_str(&c->build, slice_cstr(fit.source));
    if (energy_list_bounds(&fit, pue, &m->energy_in_uj, &m->energy_out_uj))
        check_error(c, clause, "range", "this is more than 1 GJ per million tokens");
}

// A URL instead of a path; what is behind its `?` is the feed's own.
static void check_feed(struct checker *c, const struct node *at, struct slice path)
{
    bool secret = false;
    struct slice base = path;
    const char *query = path.len ? memchr(path.ptr, '?', path.len) : NULL;
    if (!slice_starts_with(path, SLICE("http://")) && !slice_starts_with(path, SLICE("https://")))
        return;
    if (query)
        base.len = (size_t)(query - path.ptr);
    const char *problem = check_url_problem(base, &secret);
    for (size_t i = base.len; i < path.len && !problem; i++)
        if ((unsigned char)path.ptr[i] <= 32 || (unsigned char)path.ptr[i] >= 127 ||
            path.ptr[i] == '#')
            problem = "a feed's query holds no spaces, no `#` and only ASCII";
    if (!problem && query && !memchr(path.ptr + 8, '/', base.len - 8))
        problem = "a feed's query follows a path: `https://host/?...`";
    if (problem)
        check_error(c, at, "carbon", "%s", problem);
}

void check_zone_energy(struct checker *c, const struct node *statement, struct image_zone *z)
{
    const struct node *pue = tree_clause(c->tree, statement, "pue"),
                      *carbon = tree_clause(c->tree, statement, "carbon");
    double v;
    if (pue && check_number(c, pue->first, NULL, "a power usage effectiveness", 1, 10, &v))
        z->pue_milli = (uint32_t)(v * 1000 + 0.5);
    if (!carbon)
        return;
    const struct node *figure = carbon->first;
    struct decimal d;
    int64_t ug;
    if (figure->kind == NODE_STRING) {
        struct slice path = check_string(c, figure);
        if (path.len == 0)
            check_error(c, figure, "carbon", "the path of the file is empty");
        check_feed(c, figure, path);
        z->carbon_file = builder_str(&c->build, path);
        figure = figure->next;
    }
    z->carbon_stated = true;
    z->carbon_marginal = tree_is(c->tree, carbon->last, "marginal");
    if (!check_quantity(c, figure, "g/kWh", "carbon", &d))
        return;
    if (units_scaled(d, 6, &ug) && ug >= 0 && ug <= IMAGE_CARBON_MAX)
        z->carbon_ug_kwh = ug;
    else
        check_error(c, figure, "range", "carbon is between 0 and 10,000 g/kWh");
}
