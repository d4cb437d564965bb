#include "route/record_inner.h"

#include <math.h>

#include "base/clock.h"
#include "text/json.h"

const char *record_route_verdict_name(enum route_verdict v)
{
    static const char *const names[] = {"not_reached", "false", "matched", "infeasible",
                                        "bypassed"};
    return (unsigned)v < MERIT_COUNT(names) ? names[v] : "unknown";
}

const char *record_model_verdict_name(enum model_verdict v)
{
    static const char *const names[] = {
        "chosen",    "not_candidate", "dearer",  "later",     "lower_quality",
        "lacks",     "window",        "output",  "quality",   "too_dear",
        "unpriced",  "down",          "no_key",  "forbidden", "over_budget",
        "unmetered", "hungrier",      "pricier", "busy",      "spent",
    };
    return (unsigned)v < MERIT_COUNT(names) ? names[v] : "unknown";
}

const char *record_chain_verdict_name(enum chain_verdict v)
{
    static const char *const names[] = {"not_reached", "taken",       "cannot_run", "forbidden",
                                        "unmet",       "not_allowed", "no_model",   "failed"};
    return (unsigned)v < MERIT_COUNT(names) ? names[v] : "unknown";
}

const char *record_step_name(enum image_step_kind kind)
{
    static const char *const names[] = {"answer",  "refuse", "retrieve", "verify",
                                        "clarify", "redact", "fuse",     "cache"};
    return (unsigned)kind < MERIT_COUNT(names) ? names[kind] : "unknown";
}

const char *record_by_name(enum decision_by by)
{
    static const char *const names[] = {"routes", "alias", "name"};
    return (unsigned)by < MERIT_COUNT(names) ? names[by] : "unknown";
}

const char *record_end_name(enum decision_end end)
{
    static const char *const names[] = {"answer", "refuse", "infeasible", "no_model"};
    return (unsigned)end < MERIT_COUNT(names) ? names[end] : "unknown";
}

const char *record_fact_state_name(enum fact_state s)
{
    static const char *const names[] = {"avoided", "known", "given", "failed"};
    return (unsigned)s < MERIT_COUNT(names) ? names[s] : "unknown";
}

const char *record_fact_error_name(enum fact_error e)
{
    static const char *const names[] = {"none",     "limit", "nomem", "input",
                                        "deadline", "model", "given"};
    return (unsigned)e < MERIT_COUNT(names) ? names[e] : "unknown";
}

static const char *type_name(enum signal_type t)
{
    static const char *const names[] = {"bool", "number", "enum", "text", "set"};
    return (unsigned)t < MERIT_COUNT(names) ? names[t] : "unknown";
}

void record_id(uint64_t wall_us, uint64_t random, char out[DECISION_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t ms = wall_us / 1000;
    for (int i = 9; i >= 0; i--, ms >>= 5, random >>= 5) {
        out[i] = digits[ms & 31];
        out[i + 10] = digits[random & 31];
    }
    out[DECISION_ID_LEN] = '\0';
}

// `v` in units of 10^-digits, trailing zeros cut: exact, and short.
void record_put_decimal(struct buf *out, uint64_t v, unsigned digits)
{
    uint64_t unit = 1;
    for (unsigned i = 0; i < digits; i++)
        unit *= 10;
    buf_u64(out, v / unit);
    uint64_t rest = v % unit;
    if (!rest)
        return;
    while (rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    char text[20];
    for (unsigned i = digits; i-- > 0; rest /= 10)
        text[i] = (char)('0' + rest % 10);
    buf_byte(out, '.');
    buf_append(out, text, digits);
}

static void add_usd(struct buf *out, int64_t nusd)
{
    if (nusd < 0)
        BUF_LIT(out, "null");
    else
        record_put_decimal(out, (uint64_t)nusd, 9);
}

// A number that reads back the same. Most are small integers or have few decimals; those need no search for the
// shortest form: k / 10^6 correctly rounded is what a reader makes of the decimal too.
void record_put_number(struct buf *out, double v)
{
    if (v >= 0 && v < 1e9 && (double)(uint32_t)v == v) {
        buf_u64(out, (uint32_t)v);
        return;
    }
    if (fabs(v) < 1e9) {
        double scaled = fabs(v) * 1e6;
        uint64_t k = (uint64_t)(scaled + 0.5);
        if ((double)k / 1e6 == fabs(v)) {
            if (v < 0)
                buf_byte(out, '-');
            record_put_decimal(out, k, 6);
            return;
        }
    }
    json_write_double(out, v);
}

static bool plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            return false;
    }
    return true;
}

void record_put_string(struct buf *out, struct slice s)
{
    if (s.len > 64 || !plain(s)) {
        json_write_string(out, s);
        return;
    }
    char *at = buf_reserve(out, s.len + 2);
    if (!at)
        return;
    at[0] = '"';
    if (s.len)
        memcpy(at + 1, s.ptr, s.len);
    at[s.len + 1] = '"';
    out->len += s.len + 2;
}

void record_value(const struct policy_image *image, int32_t signal, const struct fact *f,
                  struct buf *out)
{
    const struct image_signal *s = image_signal(image, signal);
    if (f->state == FACT_UNKNOWN) {
        BUF_LIT(out, "null");
        return;
    }
    switch (s->type) {
    case SIGNAL_BOOL:
        buf_cstr(out, f->number != 0 ? "true" : "false");
        return;
    case SIGNAL_ENUM:
        if (f->number >= 0 && f->number < s->words.count) {
            record_put_string(
                out, image_text(image,
                                IMAGE_AT(image, s->words, struct image_str)[(uint32_t)f->number]));
            return;
        }
        MERIT_FALLTHROUGH;
    case SIGNAL_NUMBER:
        record_put_number(out, f->number);
        return;
    case SIGNAL_TEXT:
        record_put_string(out, f->text);
        return;
    case SIGNAL_SET:
        buf_byte(out, '[');
        for (uint32_t i = 0; i < f->text_count; i++) {
            if (i)
                buf_byte(out, ',');
            record_put_string(out, f->texts[i]);
        }
        buf_byte(out, ']');
        return;
    }
}

void record_put_hex(struct buf *out, const uint8_t *bytes, unsigned count)
{
    static const char digits[] = "0123456789abcdef";
    char *at = buf_reserve(out, (size_t)count * 2 + 2);
    if (!at)
        return;
    *at++ = '"';
    for (unsigned i = 0; i < count; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    *at = '"';
    out->len += (size_t)count * 2 + 2;
}

void record_put_key(struct buf *out, const char *name)
{
    size_t n = strlen(name);
    char *at = buf_reserve(out, n + 4);
    if (!at)
        return;
    at[0] = ',';
    at[1] = '"';
    memcpy(at + 2, name, n);
    at[n + 2] = '"';
    at[n + 3] = ':';
    out->len += n + 4;
}

static void key_u64(struct buf *out, const char *name, uint64_t v)
{
    record_put_key(out, name);
    buf_u64(out, v);
}

static void key_bool(struct buf *out, const char *name, bool v)
{
    record_put_key(out, name);
    buf_cstr(out, v ? "true" : "false");
}

static void key_cstr(struct buf *out, const char *name, const char *v)
{
    record_put_key(out, name);
    record_put_string(out, slice_cstr(v));
}

static void key_string(struct buf *out, const char *name, bool present, struct slice v)
{
    record_put_key(out, name);
    if (present)
        record_put_string(out, v);
    else
        BUF_LIT(out, "null");
}

// The place's text, cut at a character.
static struct slice evidence_text(const struct work *w, const struct evidence *e)
{
    if (e->message >= w->message_count || e->part >= w->messages[e->message].part_count)
        return SLICE_EMPTY;
    struct slice text = w->parts[w->messages[e->message].part_first + e->part].text;
    struct slice s = slice_head(slice_from(text, e->offset), e->length);
    if (s.len > RECORD_TEXT_MAX) {
        s.len = RECORD_TEXT_MAX;
        while (s.len && ((unsigned char)s.ptr[s.len] & 0xc0) == 0x80)
            s.len--;
    }
    return s;
}

static void full_evidence(const struct fact *f, const struct record_options *options,
                          struct buf *out)
{
    record_put_key(out, "evidence");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < f->evidence_count && i < FACT_EVIDENCE_MAX; i++) {
        const struct evidence *e = &f->evidence[i];
        buf_cstr(out, i ? ",{\"message\":" : "{\"message\":");
        buf_u64(out, e->message);
        key_u64(out, "part", e->part);
        key_u64(out, "offset", e->offset);
        key_u64(out, "length", e->length);
        key_u64(out, "argument", e->argument);
        if (options && options->with_text && options->work)
            key_string(out, "text", true, evidence_text(options->work, e));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    key_u64(out, "evidence_total", f->evidence_total);
}

static void full_signals(const struct decision *d, const struct record_options *options,
                         struct buf *out)
{
    record_put_key(out, "signals");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->image->signals.count; i++) {
        const struct image_signal *s = image_signal(d->image, (int32_t)i);
        const struct fact *f = &d->facts[i];
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        record_put_string(out, image_text(d->image, s->name));
        key_string(out, "family", true, image_text(d->image, s->family));
        key_cstr(out, "type", type_name(s->type));
        key_cstr(out, "state", record_fact_state_name(f->state));
        if (f->state != FACT_UNKNOWN) {
            record_put_key(out, "value");
            record_value(d->image, (int32_t)i, f, out);
            record_put_key(out, "probability");
            record_put_number(out, round((double)f->probability * 1e6) / 1e6);
            record_put_key(out, "cost_us");
            record_put_decimal(out, f->cost_ns, 3);
            if (f->step)
                key_u64(out, "step", f->step);
            if (f->share)
                key_cstr(out, "artifact", f->share == FACT_SHARE_MADE ? "made" : "used");
            if (f->state == FACT_FAILED)
                key_cstr(out, "error", record_fact_error_name(f->error));
            if (f->by.len)
                key_string(out, "by", true, f->by);
            full_evidence(f, options, out);
        }
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void full_routes(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    record_put_key(out, "routes");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct route_outcome o = route_outcome(d, i);
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        record_put_string(out, image_text(p, image_route(p, (int32_t)i)->name));
        key_cstr(out, "verdict", record_route_verdict_name(o.verdict));
        if (o.atom != IMAGE_NONE)
            key_string(out, "atom", true,
                       image_text(p, IMAGE_AT(p, p->atoms, struct image_atom)[o.atom].shown));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

// In whose whole units a budget counts.
static const char *unit_name(enum image_unit unit)
{
    static const char *const names[] = {"nano_usd", "microjoule", "microgram", "ms",
                                        "tok",      "calls",      "requests"};
    return (unsigned)unit < MERIT_COUNT(names) ? names[unit] : "calls";
}

static struct slice constraint_name(const struct policy_image *p, uint32_t i)
{
    return image_text(p, IMAGE_AT(p, p->constraints, struct image_constraint)[i].name);
}

static const struct image_step *steps_of(const struct decision *d, uint32_t chain, uint32_t *count)
{
    const struct image_route *r = image_route(d->image, d->route);
    struct image_list steps = image_chains(d->image, r)[chain].steps;
    *count = steps.count;
    return IMAGE_AT(d->image, steps, struct image_step);
}

// The step that answers on the chain taken; NULL without one.
const struct image_step *record_answering(const struct decision *d)
{
    uint32_t count;
    if (d->end != DECISION_ANSWER || d->route < 0 || d->chain < 0)
        return NULL;
    const struct image_step *s = steps_of(d, (uint32_t)d->chain, &count);
    for (uint32_t i = 0; i < count; i++)
        if (s[i].kind == IMAGE_STEP_ANSWER || s[i].kind == IMAGE_STEP_FUSE)
            return &s[i];
    return NULL;
}

static void full_chains(const struct decision *d, struct buf *out)
{
    record_put_key(out, "chains");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->chain_count; i++) {
        const struct chain_outcome *o = &d->chain_outcomes[i];
        uint32_t count;
        buf_cstr(out, i ? ",{\"verdict\":" : "{\"verdict\":");
        record_put_string(out, slice_cstr(record_chain_verdict_name(o->verdict)));
        if (o->step != IMAGE_NONE)
            key_cstr(out, "step",
                     d->route < 0 ? "answer"
                                  : record_step_name(steps_of(d, i, &count)[o->step].kind));
        if (o->constraint != IMAGE_NONE)
            key_string(out, "constraint", true, constraint_name(d->image, (uint32_t)o->constraint));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void full_constraints(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    record_put_key(out, "constraints");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        const char *between = "";
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        record_put_string(out, constraint_name(p, i));
        key_cstr(out, "verdict",
                 !record_bit(d->constraints_known, i) ? "not_needed"
                 : record_bit(d->constraints_hold, i) ? "holds"
                                                      : "does_not_hold");
        record_put_key(out, "removed");
        buf_byte(out, '[');
        for (uint32_t m = 0; m < p->models.count; m++) {
            const struct model_outcome *o = &d->model_outcomes[m];
            if (o->constraint != (int32_t)i)
                continue;
            buf_cstr(out, between);
            record_put_string(out, image_text(p, image_model(p, (int32_t)m)->name));
            between = ",";
        }
        BUF_LIT(out, "]}");
    }
    buf_byte(out, ']');
    if (d->end != DECISION_INFEASIBLE)
        return;
    const char *between = "";
    record_put_key(out, "emptied_by");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        if (!record_bit(d->core, i))
            continue;
        buf_cstr(out, between);
        record_put_string(out, constraint_name(p, i));
        between = ",";
    }
    buf_byte(out, ']');
}

// What was left of the budgets over time that bear on the caller.
static void full_budgets(const struct decision *d, struct buf *out)
{
    const struct image_constraint *c =
        IMAGE_AT(d->image, d->image->constraints, struct image_constraint);
    const char *between = "";
    if (!d->budgets)
        return;
    record_put_key(out, "budgets");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->image->constraints.count; i++) {
        if (d->budgets[i].open)
            continue;
        buf_printf(out, "%s{\"name\":", between);
        record_put_string(out, constraint_name(d->image, i));
        key_cstr(out, "unit", unit_name(c[i].unit));
        key_u64(out, "limit", (uint64_t)c[i].limit);
        key_u64(out, "left", (uint64_t)d->budgets[i].left);
        if (d->budgets[i].price_nusd > 0) {
            record_put_key(out, "price_nusd");
            record_put_number(out, d->budgets[i].price_nusd);
        }
        buf_byte(out, '}');
        between = ",";
    }
    buf_byte(out, ']');
}

static void full_feasible(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    const struct image_step *s = record_answering(d);
    const char *between = "";
    record_put_key(out, "feasible");
    buf_byte(out, '[');
    for (uint32_t i = 0; s && i < s->bindings.count; i++) {
        const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding) + i;
        if (!record_bit(d->fits, i))
            continue;
        buf_printf(out, "%s{\"model\":", between);
        record_put_string(out, image_text(p, image_model(p, b->model)->name));
        key_cstr(out, "effort", image_effort_name(b->effort));
        buf_byte(out, '}');
        between = ",";
    }
    buf_byte(out, ']');
    if (!d->endpoints_closed || d->model < 0)
        return;
    const struct image_model *m = image_model(p, d->model);
    between = "";
    record_put_key(out, "endpoints_closed");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < m->endpoints.count && i < 32; i++) {
        if (!(d->endpoints_closed >> i & 1))
            continue;
        buf_cstr(out, between);
        record_put_string(out,
                          image_text(p, IMAGE_AT(p, m->endpoints, struct image_endpoint)[i].url));
        between = ",";
    }
    buf_byte(out, ']');
}

static void full_models(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    record_put_key(out, "models");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct model_outcome *o = &d->model_outcomes[i];
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        record_put_string(out, image_text(p, image_model(p, (int32_t)i)->name));
        key_cstr(out, "verdict", record_model_verdict_name(o->verdict));
        record_put_key(out, "cost_usd");
        add_usd(out, o->cost_nusd);
        if (o->verdict == MODEL_LACKS) {
            record_put_key(out, "missing");
            buf_byte(out, '[');
            bool first = true;
            for (unsigned bit = 0; bit < WORK_NEED_COUNT_; bit++) {
                if (!(o->missing >> bit & 1))
                    continue;
                if (!first)
                    buf_byte(out, ',');
                first = false;
                record_put_string(out, slice_cstr(work_need_name(bit)));
            }
            buf_byte(out, ']');
        }
        if (o->verdict == MODEL_WINDOW || o->verdict == MODEL_OUTPUT)
            key_u64(out, "need_tok", o->need_tok);
        if (o->verdict == MODEL_FORBIDDEN || o->verdict == MODEL_OVER_BUDGET ||
            o->verdict == MODEL_SPENT)
            key_string(out, "constraint", true, constraint_name(p, (uint32_t)o->constraint));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void full_assumed(const struct policy_image *p, struct buf *out)
{
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    record_put_key(out, "assumed");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->assumes.count; i++) {
        buf_cstr(out, i ? ",{\"code\":" : "{\"code\":");
        record_put_string(out, image_text(p, a[i].code));
        key_string(out, "name", a[i].name.len > 0, image_text(p, a[i].name));
        key_string(out, "reason", true, image_text(p, a[i].reason));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

void record_json(const struct decision *d, const struct record_options *options, struct buf *out)
{
    const struct policy_image *p = d->image;
    const struct image_route *route = d->route >= 0 ? image_route(p, d->route) : NULL;
    const struct image_model *model = d->model >= 0 ? image_model(p, d->model) : NULL;
    char time[CLOCK_ISO_LEN];
    clock_iso(d->wall_us, time);
    BUF_LIT(out, "{\"schema\":");
    buf_u64(out, DECISION_SCHEMA);
    key_cstr(out, "id", d->id);
    key_string(out, "time", true, slice_make(time, CLOCK_ISO_LEN));
    record_put_key(out, "policy");
    BUF_LIT(out, "{\"name\":");
    record_put_string(out, image_text(p, p->name));
    key_u64(out, "version", p->policy_version);
    record_put_key(out, "digest");
    record_put_hex(out, p->digest, IMAGE_DIGEST_BYTES);
    buf_byte(out, '}');
    key_u64(out, "pool_epoch", d->pool_epoch);
    key_string(out, "asked", d->model_asked.len > 0, d->model_asked);
    key_cstr(out, "by", record_by_name(d->by));
    key_cstr(out, "end", record_end_name(d->end));
    key_string(out, "route", route != NULL, route ? image_text(p, route->name) : SLICE_EMPTY);
    key_string(out, "path", route != NULL, route ? image_text(p, route->path_name) : SLICE_EMPTY);
    key_string(out, "model", model != NULL, model ? image_text(p, model->name) : SLICE_EMPTY);
    key_string(out, "upstream_model", model != NULL,
               model ? image_text(p, model->upstream_name) : SLICE_EMPTY);
    key_string(out, "effort", model != NULL, slice_cstr(image_effort_name(d->effort)));
    if (d->effort_dropped)
        key_bool(out, "effort_dropped", true);
    key_bool(out, "took_else", d->took_else);
    record_put_key(out, "chain");
    if (d->chain < 0)
        BUF_LIT(out, "null");
    else
        buf_u64(out, (uint64_t)d->chain);
    if (d->first_chain)
        key_u64(out, "first_chain", d->first_chain);
    if (d->attempts_max)
        key_u64(out, "attempts_max", d->attempts_max);
    if (d->output_cap_tok)
        key_u64(out, "output_cap_tok", d->output_cap_tok);
    key_bool(out, "observed", d->observed);
    key_bool(out, "late", d->late);
    key_string(out, "message", d->end == DECISION_REFUSE, d->message);
    record_put_key(out, "cost_usd");
    add_usd(out, d->cost_nusd);
    key_u64(out, "input_tok", d->input_tok);
    key_u64(out, "output_tok", d->output_tok);
    record_put_key(out, "decide_us");
    record_put_decimal(out, d->decide_ns, 3);
    record_put_key(out, "avoided_us");
    record_put_decimal(out, d->avoided_ns, 3);
    key_u64(out, "costs_epoch", d->costs_epoch);
    record_put_key(out, "anchor");
    if (d->anchor == WORK_NO_ANCHOR)
        BUF_LIT(out, "null");
    else
        buf_u64(out, d->anchor);
    key_u64(out, "messages", d->message_count);
    full_signals(d, options, out);
    full_routes(d, out);
    full_chains(d, out);
    full_constraints(d, out);
    full_budgets(d, out);
    full_feasible(d, out);
    full_models(d, out);
    record_choice_json(d, out);
    full_assumed(p, out);
    buf_byte(out, '}');
}
