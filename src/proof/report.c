// What the check found out about routes, for people and for programs.
#include <inttypes.h>

#include "proof/check_inner.h"
#include "proof/trust.h"
#include "text/json.h"

static const char *const unit_names[WAY_UNITS] = {"usd", "J", "g", "ms", "tok", "calls"};

// A number of millionths or billionths with as many decimals as it has.
static void decimal(int64_t value, unsigned digits, struct buf *out)
{
    int64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    int64_t rest = value % scale;
    buf_printf(out, "%" PRId64, value / scale);
    if (rest == 0)
        return;
    buf_byte(out, '.');
    while (rest > 0) {
        scale /= 10;
        buf_byte(out, (char)('0' + rest / scale));
        rest %= scale;
    }
}

static unsigned digits_of(enum image_unit unit)
{
    return unit == IMAGE_UNIT_NUSD ? 9 : unit == IMAGE_UNIT_UJ || unit == IMAGE_UNIT_UG ? 6 : 0;
}

static struct slice open_name(const struct policy_image *image, const struct way_amount *a)
{
    if (a->index == IMAGE_NONE)
        return SLICE("a place");
    bool sink = a->open >= WAY_NO_SINK_PRICE && a->open <= WAY_NO_ADDS;
    return image_text(image, sink ? IMAGE_AT(image, image->sinks, struct image_sink)[a->index].name
                                  : image_model(image, a->index)->name);
}

void proof_write_amount(const struct policy_image *image, enum image_unit unit,
                        const struct way_amount *amount, struct buf *out)
{
    if (amount->open == WAY_OVERFLOW) {
        BUF_LIT(out, "no bound: more than can be counted");
    } else if (amount->open) {
        struct slice name = open_name(image, amount);
        buf_printf(out, "no bound: `%.*s` %s", SLICE_FMT(name), way_open_text(amount->open));
    } else if (unit == IMAGE_UNIT_MS && amount->value % 1000 == 0) {
        buf_printf(out, "%" PRId64 " s", amount->value / 1000);
    } else if (unit == IMAGE_UNIT_UJ && amount->value >= INT64_C(1000000000)) {
        decimal(amount->value, 9, out);
        BUF_LIT(out, " kJ");
    } else {
        decimal(amount->value, digits_of(unit), out);
        buf_printf(out, " %s", unit_names[unit]);
    }
}

// A cell of the table: short, so that lines stay lines.
static void cell(enum image_unit unit, const struct proof_route *r, int width, struct buf *out)
{
    const struct way_amount *a = &r->bound.unit[unit];
    char room[64];
    struct buf text;
    buf_init(&text, sizeof room);
    if (a->open) {
        BUF_LIT(&text, "no bound");
    } else if (unit == IMAGE_UNIT_NUSD) {
        // Rounded up, as a bound is.
        int64_t round = 100000;
        int64_t v =
            a->value > INT64_MAX - round ? a->value : (a->value + round - 1) / round * round;
        decimal(v, 9, &text);
    } else if (unit == IMAGE_UNIT_UJ) {
        decimal(a->value / 1000000 + (a->value % 1000000 != 0), 0, &text);
    } else if (unit == IMAGE_UNIT_UG) {
        decimal(a->value / 1000 + (a->value % 1000 != 0), 3, &text);
    } else if (unit == IMAGE_UNIT_MS) {
        decimal(a->value / 1000 + (a->value % 1000 != 0), 0, &text);
    } else {
        decimal(a->value, 0, &text);
    }
    if (r->kept_by[unit] >= 0)
        buf_byte(&text, '*');
    struct slice s = buf_slice(&text);
    buf_printf(out, " %*.*s", width, SLICE_FMT(s));
    buf_deinit(&text);
}

static void time_text(double ns, struct buf *out)
{
    if (ns < 1e3)
        buf_printf(out, "%.0f ns", ns);
    else if (ns < 1e6)
        buf_printf(out, "%.1f us", ns / 1e3);
    else
        buf_printf(out, "%.1f ms", ns / 1e6);
}

void proof_write_routes(const struct policy_image *image, const struct proof_report *report,
                        struct buf *out)
{
    size_t width = 5;
    bool kept = false, grams = false;
    for (uint32_t i = 0; i < image->routes.count; i++) {
        size_t len = image_route(image, (int32_t)i)->name.len;
        width = len > width ? len : width;
    }
    // Most policies say nothing of carbon.
    for (uint32_t i = 0; i < image->zones.count; i++)
        grams |= IMAGE_AT(image, image->zones, struct image_zone)[i].carbon_stated;
    if (!report->routes)
        return;
    width = width > 40 ? 40 : width;
    buf_printf(out, "%-*s %8s %12s %12s%s %9s %10s %7s %6s  %s\n", (int)width, "route", "share",
               "usd", "J", grams ? "          g" : "", "s", "tok", "calls", "steps",
               "signals: expected, at most");
    for (uint32_t i = 0; i < image->routes.count; i++) {
        const struct proof_route *r = &report->routes[i];
        struct slice name = image_text(image, image_route(image, (int32_t)i)->name);
        char share[24];
        struct buf text;
        buf_init(&text, sizeof share);
        buf_printf(&text, "%s%.2f %%", r->share_exact ? "" : "~", r->share * 100);
        buf_printf(out, "%-*.*s %8.*s", (int)width, SLICE_FMT(name), SLICE_FMT(buf_slice(&text)));
        buf_deinit(&text);
        cell(IMAGE_UNIT_NUSD, r, 12, out);
        cell(IMAGE_UNIT_UJ, r, 12, out);
        if (grams)
            cell(IMAGE_UNIT_UG, r, 10, out);
        cell(IMAGE_UNIT_MS, r, 9, out);
        cell(IMAGE_UNIT_TOK, r, 10, out);
        cell(IMAGE_UNIT_CALLS, r, 7, out);
        buf_printf(out, " %6" PRIu64 "  ", r->longest);
        time_text(r->signals_ns, out);
        BUF_LIT(out, ", ");
        time_text((double)r->signals_worst_ns, out);
        buf_byte(out, '\n');
        for (unsigned u = 0; u < WAY_UNITS; u++)
            kept |= r->kept_by[u] >= 0;
    }
    BUF_LIT(
        out,
        "usd to calls: at most, for one request with one choice, all of its chains one after the "
        "other; shares: every kind of request counted once\n");
    if (kept)
        BUF_LIT(out, "* kept by a hard budget: the router takes away what could cost more\n");
}

static const char *const keys[WAY_UNITS] = {"usd", "joule", "gram", "ms", "tok", "calls"};

static struct slice constraint_name(const struct policy_image *image, int32_t i)
{
    return image_text(image, IMAGE_AT(image, image->constraints, struct image_constraint)[i].name);
}

static void amount_json(const struct policy_image *image, enum image_unit unit,
                        const struct way_amount *a, struct buf *out)
{
    buf_printf(out, "\"%s\":", keys[unit]);
    if (!a->open) {
        decimal(a->value, digits_of(unit), out);
        return;
    }
    struct buf why;
    buf_init(&why, 1024);
    proof_write_amount(image, unit, a, &why);
    BUF_LIT(out, "{\"unbounded\":");
    enum { INTRO = sizeof "no bound: " - 1 };
    struct slice text = buf_slice(&why);
    json_write_string(out, slice_make(text.ptr + INTRO, text.len - INTRO));
    BUF_LIT(out, "}");
    buf_deinit(&why);
}

void proof_write_routes_json(const struct policy_image *image, const struct proof_report *report,
                             struct buf *out)
{
    BUF_LIT(out, "[");
    for (uint32_t i = 0; report->routes && i < image->routes.count; i++) {
        const struct proof_route *r = &report->routes[i];
        buf_cstr(out, i ? ",{\"route\":" : "{\"route\":");
        json_write_string(out, image_text(image, image_route(image, (int32_t)i)->name));
        buf_printf(out, ",\"share\":%.6f,\"share_error\":%.6f,\"exact\":%s,\"at_most\":{", r->share,
                   r->share_error, r->share_exact ? "true" : "false");
        for (unsigned u = 0; u < WAY_UNITS; u++) {
            if (u)
                buf_byte(out, ',');
            amount_json(image, (enum image_unit)u, &r->bound.unit[u], out);
        }
        BUF_LIT(out, "},\"kept_by\":{");
        bool any = false;
        for (unsigned u = 0; u < WAY_UNITS; u++) {
            if (r->kept_by[u] < 0)
                continue;
            buf_printf(out, "%s\"%s\":", any ? "," : "", keys[u]);
            json_write_string(out, constraint_name(image, r->kept_by[u]));
            any = true;
        }
        buf_printf(out,
                   "},\"longest_walk\":%" PRIu64
                   ",\"signals_expected_ns\":%.0f,\"signals_at_most_ns\":%" PRIu64 "}",
                   r->longest, r->signals_ns, r->signals_worst_ns);
    }
    BUF_LIT(out, "]");
}

void proof_write_guarantee(const struct policy_image *image, struct buf *out)
{
    const struct image_lattice *l = IMAGE_AT(image, image->lattices, struct image_lattice);
    const struct image_step *steps = IMAGE_AT(image, image->steps, struct image_step);
    uint32_t redactions = 0, assumptions = image->assumes.count;
    if (image->lattices.count == 0) {
        BUF_LIT(out, "no labels are declared, so nothing is said about who sees what");
    } else {
        BUF_LIT(out, "no request reaches a place that does not clear its label (");
        for (uint32_t i = 0; i < image->lattices.count; i++)
            buf_printf(out, "%s%.*s", i ? ", " : "", SLICE_FMT(image_text(image, l[i].name)));
        BUF_LIT(out, "), by any way, errors included; what a labeller misses is not labelled");
        for (uint32_t i = 0; i < image->signals.count; i++) {
            const struct image_signal *s = image_signal(image, (int32_t)i);
            if (s->derive != IMAGE_DERIVE_LABEL || s->hidden)
                continue;
            buf_printf(out, "; %.*s rests on ", SLICE_FMT(image_text(image, s->name)));
            trust_labellers(image, s, out);
        }
    }
    for (uint32_t i = 0; i < image->steps.count; i++)
        redactions += steps[i].kind == IMAGE_STEP_REDACT;
    if (redactions)
        buf_printf(out, "; %" PRIu32 " redaction%s taken on trust", redactions,
                   redactions == 1 ? " is" : "s are");
    if (assumptions)
        buf_printf(out, "; %" PRIu32 " assumption%s", assumptions, assumptions == 1 ? "" : "s");
}
