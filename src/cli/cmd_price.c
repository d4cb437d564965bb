// `merit price`: what a request takes and why: prices that are listed, curves of energy, and one request reckoned.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/policy_session.h"
#include "cli/price_file.h"
#include "policy/energy_list.h"
#include "policy/units.h"
#include "route/energy.h"
#include "route/estimate.h"
#include "route/price.h"
#include "text/json.h"

enum { OUT_MAX = 1 << 22 };

static const char *grade_name(enum image_grade g)
{
    static const char *const names[] = {"none", "measured", "cited", "guessed"};
    return names[g];
}

static void text(struct buf *out, const char *key, struct slice s)
{
    buf_printf(out, ", \"%s\": ", key);
    json_write_string(out, s);
}

static void number(struct buf *out, const char *key, double v)
{
    buf_printf(out, ", \"%s\": ", key);
    json_write_double(out, v);
}

static int put(struct buf *out)
{
    int code = args_put(out);
    buf_deinit(out);
    return code;
}

static bool number_of(const char *given, double least, double most, double *out)
{
    struct decimal d;
    size_t suffix;
    if (units_number(slice_cstr(given), &d, &suffix))
        return false;
    *out = units_double(d);
    return given[0] && *out >= least && *out <= most;
}

// An option with a number; false with a message.
static bool option(const char *command, const char *name, const char *given, double least,
                   double most, double *out)
{
    if (!given || number_of(given, least, most, out))
        return true;
    fprintf(stderr, "%s: %s is a number from %.12g to %.12g\n", command, name, least, most);
    return false;
}

// --- list

static const char usage_list[] =
    "usage: merit price list [--provider NAME] [--json]\n"
    "\n"
    "Shows the list of prices that `price listed` in a policy looks at: the built-in one, or the "
    "one that MERIT_PRICES\n"
    "names. US dollars per million tokens; docs/price.md says how to write a list.\n"
    "\n"
    "  --json   {\"digest\", \"prices\": [{\"provider\", \"model\", \"in\", \"cached\", "
    "\"written\", \"out\", \"call\",\n"
    "           \"batch_percent\", \"date\", \"source\", \"grade\"}]}\n"
    "\n"
    "  merit price list --provider openai\n";

static void usd(struct buf *out, bool json, const char *key, int64_t nusd)
{
    if (json) {
        buf_printf(out, ", \"%s\": ", key);
        buf_nano(out, nusd);
        return;
    }
    char room[32];
    struct buf b;
    buf_init(&b, sizeof room);
    buf_nano(&b, nusd);
    buf_printf(out, "  %9.*s", SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
}

static void put_price(struct buf *out, const struct price_row *r, bool json, bool first)
{
    if (json) {
        buf_printf(out, "%s\n {\"provider\": ", first ? "" : ",");
        json_write_string(out, r->provider);
        text(out, "model", r->model);
        buf_printf(out, ", \"prefix\": %s", r->prefix ? "true" : "false");
    } else {
        buf_printf(out, "%-10.*s  %-24.*s", SLICE_FMT(r->provider), SLICE_FMT(r->model));
    }
    usd(out, json, "in", r->in_nusd);
    usd(out, json, "cached", r->cached_nusd);
    usd(out, json, "written", r->written_nusd);
    usd(out, json, "out", r->out_nusd);
    usd(out, json, "call", r->call_nusd);
    if (json) {
        buf_printf(out, ", \"batch_percent\": %u", r->batch_percent);
        text(out, "date", r->date);
        text(out, "source", r->source);
        text(out, "grade", slice_cstr(grade_name(r->grade)));
        BUF_LIT(out, "}");
    } else {
        if (r->batch_percent)
            buf_printf(out, "  %3u %%", r->batch_percent);
        else
            BUF_LIT(out, "      -");
        buf_printf(out, "  %.*s  %s\n", SLICE_FMT(r->date), grade_name(r->grade));
    }
}

static int price_list(int argc, char **argv)
{
    bool json = false;
    const char *provider = NULL;
    const struct args_option options[] = {{"--json", NULL, &json}, {"--provider", &provider, NULL}};
    struct args a = {.command = "merit price list",
                     .usage = usage_list,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct arena arena;
    struct price_list shipped;
    const struct price_list *list;
    struct buf out;
    uint32_t shown = 0;
    arena_init(&arena, 0, 64 << 20);
    enum result r = price_file_open(NULL, &arena, &list);
    if (!r && !list) {
        r = price_list_shipped(&arena, &shipped);
        list = &shipped;
    }
    buf_init(&out, OUT_MAX);
    if (!r && json) {
        char hex[2 * PRICE_LIST_DIGEST];
        sha256_hex(list->digest, sizeof list->digest, hex);
        buf_printf(&out, "{\"digest\": \"%.*s\", \"prices\": [", (int)sizeof hex, hex);
    } else if (!r) {
        buf_printf(&out, "%-10s  %-24s  %9s  %9s  %9s  %9s  %9s  %5s  %-10s  %s\n", "provider",
                   "model", "in", "cached", "written", "out", "call", "batch", "date", "grade");
    }
    for (uint32_t i = 0; !r && i < list->count; i++) {
        if (provider && !slice_ieq(list->rows[i].provider, slice_cstr(provider)))
            continue;
        put_price(&out, &list->rows[i], json, !shown);
        shown++;
    }
    if (!r && json)
        BUF_LIT(&out, "]}\n");
    if (r) {
        buf_deinit(&out);
        code = EXIT_FOUND;
    } else {
        code = put(&out);
    }
    arena_deinit(&arena);
    return code;
}

// --- curves

static const char usage_curves[] =
    "usage: merit price curves [--json]\n"
    "\n"
    "Shows the curves of energy that `energy h100 8b` in a policy names, with their source and "
    "grade. Joules per output\n"
    "token of the accelerators alone, by the requests b in a batch; docs/energy.md has the "
    "formulas.\n";

static struct image_energy energy_of(const struct energy_fit *f)
{
    return (struct image_energy){
        .curve = f->curve,
        .grade = f->grade,
        .a = f->a,
        .c = f->c,
        .prefill_j_tok = f->prefill_j_tok,
        .prefill_s_tok = f->prefill_s_tok,
        .batch = f->batch,
        .batch_max = f->batch_max,
        .step_s = f->step_s,
        .step_growth = f->step_growth,
        .gpus = f->gpus,
    };
}

static void put_curve(struct buf *out, const struct energy_row *r, bool json, bool first)
{
    bool power = r->curve == IMAGE_CURVE_POWER;
    struct energy_fit f;
    if (energy_list_find(r->gpus, slice_cstr(r->hardware), slice_cstr(r->size), &f))
        return;
    if (!json) {
        char curve[48];
        snprintf(curve, sizeof curve, power ? "%.4g b^-%.4g" : "%.4g + %.4g / b", r->a, r->c);
        buf_printf(out, "%-8s %-10s  %-20s  %6.3f  %6.3f  %8.4f  %s\n", f.hardware, r->size, curve,
                   r->step_ms, r->step_growth, f.prefill_j_tok, r->model);
        return;
    }
    buf_printf(out, "%s\n {\"hardware\": \"%s\", \"gpus\": %u, \"size\": \"%s\", \"form\": \"%s\"",
               first ? "" : ",", r->hardware, r->gpus, r->size, power ? "power" : "inverse");
    number(out, "a", r->a);
    number(out, "c", r->c);
    number(out, "step_s", f.step_s);
    number(out, "step_growth", r->step_growth);
    number(out, "batch_max", r->batch_max);
    number(out, "prefill_j_tok", f.prefill_j_tok);
    number(out, "prefill_s_tok", f.prefill_s_tok);
    text(out, "model", slice_cstr(r->model));
    text(out, "fit_error", slice_cstr(r->fit_error));
    text(out, "source", slice_cstr(r->source));
    text(out, "grade", slice_cstr(grade_name(r->grade)));
    text(out, "date", slice_cstr(r->date));
    BUF_LIT(out, "}");
}

static int price_curves(int argc, char **argv)
{
    bool json = false;
    const struct args_option options[] = {{"--json", NULL, &json}};
    struct args a = {.command = "merit price curves",
                     .usage = usage_curves,
                     .options = options,
                     .option_count = MERIT_COUNT(options)};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    struct buf out;
    size_t n;
    const struct energy_row *rows = energy_list_rows(&n);
    buf_init(&out, OUT_MAX);
    if (json)
        BUF_LIT(&out, "{\"curves\": [");
    else
        buf_printf(&out, "%-8s %-10s  %-20s  %6s  %6s  %8s  %s\n", "machines", "size", "J/token",
                   "step", "growth", "prefill", "measured");
    for (size_t i = 0; i < n; i++)
        put_curve(&out, &rows[i], json, i == 0);
    if (json)
        BUF_LIT(&out, "]}\n");
    return put(&out);
}

// --- energy

static const char usage_energy[] =
    "usage: merit price energy SIZE [--hardware NAME] [--gpus N] [--batch B] [--json]\n"
    "       merit price energy SIZE --estimate [--active B] [--bits N] [--batch B] [--json]\n"
    "\n"
    "What a model of this size takes: joules per output token on average and at the margin, time "
    "of a step, speed and\n"
    "power, by batch. SIZE as `merit price curves` has it, or billions of parameters with "
    "--estimate. Machines only, no PUE.\n"
    "\n"
    "  --hardware NAME   default h100\n"
    "  --gpus N          of one instance; default: the fewest that were measured\n"
    "  --batch B         this one only; default 1, 8, 32, 64, 128, 256 as far as the curve goes\n"
    "  --active B        billions of parameters that work on a token (mixture of experts)\n"
    "  --bits N          of a weight: 4, 8 or 16 (default)\n"
    "\n"
    "  merit price energy 8b --batch 32\n"
    "  merit price energy 200b --estimate\n";

static void put_batch(struct buf *out, const struct image_energy *e, double b, bool json,
                      bool first)
{
    double j = energy_token_j(e, b), m = energy_marginal_j(e, b);
    if (!json) {
        buf_printf(out, "%6.4g  %9.4f  %9.4f  %5.2f  %9.2f  %9.1f  %8.1f\n", b, j, m, m / j,
                   energy_step_s(e, b) * 1e3, energy_tokens_s(e, b), energy_power_w(e, b));
        return;
    }
    buf_printf(out, "%s\n  {\"batch\": %.12g", first ? "" : ",", b);
    number(out, "j_tok", j);
    number(out, "marginal_j_tok", m);
    number(out, "step_s", energy_step_s(e, b));
    number(out, "tok_s", energy_tokens_s(e, b));
    number(out, "w", energy_power_w(e, b));
    BUF_LIT(out, "}");
}

static void put_energy(struct buf *out, const struct energy_fit *f, double batch, bool json)
{
    static const double batches[] = {1, 8, 32, 64, 128, 256};
    struct image_energy e = energy_of(f);
    if (json) {
        buf_printf(out, "{\"hardware\": \"%s\", \"grade\": \"%s\"", f->hardware,
                   grade_name(f->grade));
        text(out, "source", slice_cstr(f->source));
        text(out, "boundary", SLICE("machines only"));
        number(out, "prefill_j_tok", f->prefill_j_tok);
        number(out, "prefill_s_tok", f->prefill_s_tok);
        BUF_LIT(out, ", \"batches\": [");
    } else {
        buf_printf(out, "%s, %s: %s\nprefill %.4f J/token, machines only\n\n", f->hardware,
                   grade_name(f->grade), f->source, f->prefill_j_tok);
        buf_printf(out, "%6s  %9s  %9s  %5s  %9s  %9s  %8s\n", "batch", "J/token", "marginal",
                   "share", "step ms", "tok/s", "W");
    }
    bool first = true;
    for (size_t i = 0; i < MERIT_COUNT(batches); i++) {
        double b = batch > 0 ? batch : batches[i];
        if (b <= f->batch_max || batch > 0)
            put_batch(out, &e, b, json, first);
        first = false;
        if (batch > 0)
            break;
    }
    if (json)
        BUF_LIT(out, "]}\n");
}

// "200b", "200".
static bool billions(const char *given, double *out)
{
    char room[32];
    size_t n = strlen(given);
    if (!n || n >= sizeof room)
        return false;
    memcpy(room, given, n + 1);
    if (room[n - 1] == 'b' || room[n - 1] == 'B')
        room[n - 1] = 0;
    return number_of(room, 0, ENERGY_ESTIMATE_B_MAX, out);
}

static enum result fit_of(const char *size, bool estimate, const char *active, double bits,
                          const char *hardware, double gpus, struct energy_fit *out)
{
    double total = 0, works = 0;
    if (!estimate)
        return energy_list_find((uint32_t)gpus, slice_cstr(hardware), slice_cstr(size), out);
    if (!billions(size, &total) || (active && !billions(active, &works)))
        return RESULT_RANGE;
    return energy_list_estimate(total, works, (unsigned)bits, out);
}

static int price_energy(int argc, char **argv)
{
    bool json = false, estimate = false;
    const char *hardware = NULL, *gpus = NULL, *batch = NULL, *active = NULL, *bits = NULL;
    const struct args_option options[] = {
        {"--json", NULL, &json}, {"--estimate", NULL, &estimate}, {"--hardware", &hardware, NULL},
        {"--gpus", &gpus, NULL}, {"--batch", &batch, NULL},       {"--active", &active, NULL},
        {"--bits", &bits, NULL}};
    struct args a = {.command = "merit price energy",
                     .usage = usage_energy,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 1,
                     .word_max = 1};
    double n = 0, b = 0, width = 16;
    struct energy_fit f;
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!option(a.command, "--gpus", gpus, 1, 1024, &n) ||
        !option(a.command, "--batch", batch, 1, 1e6, &b) ||
        !option(a.command, "--bits", bits, 4, 16, &width))
        return EXIT_USAGE;
    enum result r =
        fit_of(a.words[0], estimate, active, width, hardware ? hardware : "h100", n, &f);
    if (r) {
        fprintf(stderr, r == RESULT_NOT_FOUND
                            ? "merit price energy: no curve is listed for that; `merit "
                              "price curves` shows them, --estimate goes by size\n"
                            : "merit price energy: a size is billions of parameters, "
                              "such as 200b; --bits is 4, 8 or 16\n");
        return r == RESULT_NOT_FOUND ? EXIT_FOUND : EXIT_USAGE;
    }
    struct buf out;
    buf_init(&out, OUT_MAX);
    put_energy(&out, &f, b, json);
    return put(&out);
}

// --- request

static const char usage_request[] =
    "usage: merit price request POLICY MODEL [--input N] [--cached N] [--output N] [--low N] "
    "[--high N] [--batch B]\n"
    "                           [--carbon G] [--deferred] [--json]\n"
    "\n"
    "Reckons one request to a model of a policy: dollars, joules, grams and what bounds them. "
    "Tokens default to 1000 in,\n"
    "none of them cached, and 256 out.\n"
    "\n"
    "  --low, --high   the 80 % interval of the output; default: the output itself\n"
    "  --batch B       requests in the batch, this one included; default: the curve's own\n"
    "  --carbon G      grams of CO2e per kWh; default: the zone's\n"
    "  --deferred      at the batch rate\n"
    "\n"
    "  merit price request home.merit small --input 1200 --cached 1000 --output 400 --batch 32\n";

struct request {
    double input, cached, output, low, high, batch, carbon;
    bool deferred;
};

static void amount(struct buf *out, bool json, const char *key, const char *label, int64_t v,
                   bool nano, const char *unit)
{
    if (json)
        buf_printf(out, ", \"%s\": ", key);
    else
        buf_printf(out, "%-28s", label);
    if (v < 0 || v == ESTIMATE_UNBOUNDED)
        buf_printf(out, "%s", json ? "null" : v < 0 ? "not known" : "unbounded");
    else if (nano)
        buf_nano(out, v);
    else
        buf_micro(out, v);
    if (!json)
        buf_printf(out, "%s%s\n", v < 0 || v == ESTIMATE_UNBOUNDED ? "" : " ",
                   v < 0 || v == ESTIMATE_UNBOUNDED ? "" : unit);
}

static void put_request(struct buf *out, const struct policy_image *p, int32_t index,
                        const struct request *q, bool json)
{
    const struct image_model *m = image_model(p, index);
    const struct image_zone *z =
        m->zone == IMAGE_NONE ? NULL : IMAGE_AT(p, p->zones, struct image_zone) + m->zone;
    struct price_here here = PRICE_HERE_UNKNOWN;
    here.batch = q->batch;
    here.deferred = q->deferred;
    here.carbon_ug_kwh = q->carbon < 0 ? -1 : (int64_t)(q->carbon * 1e6 + 0.5);
    const struct price_length l = {(uint64_t)q->input, (uint64_t)q->cached, (uint64_t)q->output,
                                   (uint64_t)q->low, (uint64_t)q->high};
    struct work w = {.input_tok = (uint32_t)q->input, .max_output_tok = (uint32_t)q->high};
    const struct image_step step = {.kind = IMAGE_STEP_ANSWER};
    struct image_model one = *m;
    struct estimate e;
    price_expect(m, z, &l, &here, &e);
    one.endpoints.count = 1;
    struct price_usage u = {
        .input_tok = l.input_tok, .cached_tok = l.cached_tok, .output_tok = l.output_tok};
    uint64_t computed = l.cached_tok < l.input_tok ? l.input_tok - l.cached_tok : 0;
    const char *boundary = energy_boundary(m, z);
    if (json) {
        BUF_LIT(out, "{\"model\": ");
        json_write_string(out, image_text(p, m->name));
    }
    amount(out, json, "tokens_usd", "price of the tokens", price_tokens_nusd(m, &u, q->deferred),
           true, "usd");
    amount(out, json, "share_usd", "share of the machines",
           price_share_nusd(m, computed, l.output_tok, &here), true, "usd");
    amount(out, json, "cost_usd", "cost", e.cost_nusd, true, "usd");
    amount(out, json, "cost_low_usd", "  80 % of requests from", e.cost_low_nusd, true, "usd");
    amount(out, json, "cost_high_usd", "  to", e.cost_high_nusd, true, "usd");
    amount(out, json, "cost_bound_usd", "  at most",
           estimate_bound(&w, &one, IMAGE_UNIT_NUSD, 0, &step), true, "usd");
    amount(out, json, "energy_j", "energy, average", e.energy_uj, false, "J");
    amount(out, json, "energy_low_j", "  80 % of requests from", e.energy_low_uj, false, "J");
    amount(out, json, "energy_high_j", "  to", e.energy_high_uj, false, "J");
    amount(out, json, "energy_bound_j", "  at most",
           estimate_bound(&w, &one, IMAGE_UNIT_UJ, 0, &step), false, "J");
    amount(out, json, "marginal_j", "energy, marginal", e.marginal_uj, false, "J");
    amount(out, json, "carbon_g", "carbon", e.carbon_ug, false, "g");
    if (json) {
        text(out, "boundary", slice_cstr(boundary));
        buf_printf(out, ", \"carbon_marginal\": %s}\n", e.carbon_marginal ? "true" : "false");
    } else {
        buf_printf(out, "%-28s%s\n", "energy is", boundary[0] ? boundary : "not known");
    }
}

static int price_request(int argc, char **argv)
{
    bool json = false;
    struct request q = {.input = 1000, .output = ESTIMATE_OUTPUT_TOK, .batch = -1, .carbon = -1};
    const char *input = NULL, *cached = NULL, *output = NULL, *low = NULL, *high = NULL,
               *batch = NULL, *carbon = NULL;
    const struct args_option options[] = {
        {"--json", NULL, &json},     {"--deferred", NULL, &q.deferred},
        {"--input", &input, NULL},   {"--cached", &cached, NULL},
        {"--output", &output, NULL}, {"--low", &low, NULL},
        {"--high", &high, NULL},     {"--batch", &batch, NULL},
        {"--carbon", &carbon, NULL}};
    struct args a = {.command = "merit price request",
                     .usage = usage_request,
                     .options = options,
                     .option_count = MERIT_COUNT(options),
                     .word_min = 2,
                     .word_max = 2};
    int code = args_read(&a, argc, argv);
    if (code != ARGS_GO_ON)
        return code;
    if (!option(a.command, "--input", input, 0, 1e9, &q.input) ||
        !option(a.command, "--cached", cached, 0, 1e9, &q.cached) ||
        !option(a.command, "--output", output, 0, 1e9, &q.output) ||
        !option(a.command, "--batch", batch, 1, 1e6, &q.batch) ||
        !option(a.command, "--carbon", carbon, 0, 1e6, &q.carbon))
        return EXIT_USAGE;
    q.low = q.high = q.output;
    if (!option(a.command, "--low", low, 0, q.output, &q.low) ||
        !option(a.command, "--high", high, q.output, 1e9, &q.high))
        return EXIT_USAGE;
    struct policy_session s;
    code = policy_session_open(&s, a.command, a.words[0], SLICE_EMPTY);
    if (code == EXIT_DONE) {
        int32_t m = image_find_model(s.image, slice_cstr(a.words[1]));
        struct buf out;
        buf_init(&out, OUT_MAX);
        if (m == IMAGE_NONE)
            fprintf(stderr, "merit price request: the policy has no model `%s`\n", a.words[1]);
        else
            put_request(&out, s.image, m, &q, json);
        code = m == IMAGE_NONE ? EXIT_FOUND : args_put(&out);
        buf_deinit(&out);
    }
    policy_session_close(&s);
    return code;
}

static const char usage[] =
    "usage: merit price COMMAND ...\n"
    "\n"
    "  list      what providers ask, as `price listed` has it\n"
    "  curves    joules per token that were measured, as `energy h100 8b` has them\n"
    "  energy    what a model takes by batch, on average and at the margin\n"
    "  request   one request to a model of a policy: dollars, joules, grams, bounds\n"
    "\n"
    "  merit price COMMAND --help\n";

int cmd_price(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"list", price_list},
                    {"curves", price_curves},
                    {"energy", price_energy},
                    {"request", price_request}};
    for (size_t i = 0; argc > 1 && i < MERIT_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (argc > 1)
        fprintf(stderr, "merit price: there is no \"%s\"\n\n", argv[1]);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
