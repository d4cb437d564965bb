// What the check found out about routes, for people and for programs.
#include <inttypes.h>

#include "proof/check_inner.h"
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
    bool sink = a->open >= WAY_NO_SINK_PRICE && a->open <= WAY_NO_SINK_TIMEOUT;
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
static void cell(enum image_unit unit, const struct way_amount *a, int width, struct buf *out)
{
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
    } else if (unit == IMAGE_UNIT_MS) {
        decimal(a->value / 1000 + (a->value % 1000 != 0), 0, &text);
    } else {
        decimal(a->value, 0, &text);
    }
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
    for (uint32_t i = 0; i < image->routes.count; i++) {
        size_t len = image_route(image, (int32_t)i)->name.len;
        width = len > width ? len : width;
    }
    if (!report->routes)
        return;
    width = width > 40 ? 40 : width;
    buf_printf(out, "%-*s %8s %12s %12s %9s %10s %7s %6s  %s\n", (int)width, "route", "share",
               "usd", "J", "s", "tok", "calls", "steps", "signals: expected, at most");
    for (uint32_t i = 0; i < image->routes.count; i++) {
        const struct proof_route *r = &report->routes[i];
        struct slice name = image_text(image, image_route(image, (int32_t)i)->name);
        char share[24];
        struct buf text;
        buf_init(&text, sizeof share);
        buf_printf(&text, "%s%.2f %%", r->share_exact ? "" : "~", r->share * 100);
        buf_printf(out, "%-*.*s %8.*s", (int)width, SLICE_FMT(name), SLICE_FMT(buf_slice(&text)));
        buf_deinit(&text);
        cell(IMAGE_UNIT_NUSD, &r->bound.unit[IMAGE_UNIT_NUSD], 12, out);
        cell(IMAGE_UNIT_UJ, &r->bound.unit[IMAGE_UNIT_UJ], 12, out);
        cell(IMAGE_UNIT_MS, &r->bound.unit[IMAGE_UNIT_MS], 9, out);
        cell(IMAGE_UNIT_TOK, &r->bound.unit[IMAGE_UNIT_TOK], 10, out);
        cell(IMAGE_UNIT_CALLS, &r->bound.unit[IMAGE_UNIT_CALLS], 7, out);
        buf_printf(out, " %6" PRIu64 "  ", r->longest);
        time_text(r->signals_ns, out);
        BUF_LIT(out, ", ");
        time_text((double)r->signals_worst_ns, out);
        buf_byte(out, '\n');
    }
}

static void amount_json(const struct policy_image *image, enum image_unit unit,
                        const struct way_amount *a, struct buf *out)
{
    static const char *const keys[WAY_UNITS] = {"usd", "joule", "gram", "ms", "tok", "calls"};
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
        buf_printf(out,
                   "},\"longest_walk\":%" PRIu64
                   ",\"signals_expected_ns\":%.0f,\"signals_at_most_ns\":%" PRIu64 "}",
                   r->longest, r->signals_ns, r->signals_worst_ns);
    }
    BUF_LIT(out, "]");
}

void proof_write_guarantee(const struct policy_image *image, const struct proof_report *report,
                           struct buf *out)
{
    if (image->lattices.count == 0) {
        BUF_LIT(out, "no labels are declared, so nothing is proved about who sees what");
    } else {
        const struct image_lattice *l = IMAGE_AT(image, image->lattices, struct image_lattice);
        buf_printf(out, "no request reaches a place that does not clear its label (");
        for (uint32_t i = 0; i < image->lattices.count; i++)
            buf_printf(out, "%s%.*s", i ? ", " : "", SLICE_FMT(image_text(image, l[i].name)));
        buf_printf(out, "), by any way, errors included; what a labeller misses is not labelled");
    }
    if (report->trusted)
        buf_printf(out, "; %" PRIu32 " redaction%s taken on trust", report->trusted,
                   report->trusted == 1 ? " is" : "s are");
    if (report->assumed)
        buf_printf(out, "; %" PRIu32 " finding%s assumed away", report->assumed,
                   report->assumed == 1 ? " is" : "s are");
}
