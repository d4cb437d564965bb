#include "route/record.h"

#include <math.h>

#include "base/clock.h"
#include "text/json.h"
#include "work/pool.h"

const char *record_route_verdict_name(enum route_verdict v)
{
    static const char *const names[] = {"not_reached", "false", "matched", "infeasible",
                                        "bypassed"};
    return (unsigned)v < MERIT_COUNT(names) ? names[v] : "unknown";
}

const char *record_model_verdict_name(enum model_verdict v)
{
    static const char *const names[] = {
        "chosen", "not_candidate", "dearer",   "later",    "lower_quality", "lacks",  "window",
        "output", "quality",       "too_dear", "unpriced", "down",          "no_key",
        "forbidden", "over_budget", "unmetered", "hungrier",
    };
    return (unsigned)v < MERIT_COUNT(names) ? names[v] : "unknown";
}

const char *record_chain_verdict_name(enum chain_verdict v)
{
    static const char *const names[] = {"not_reached", "taken",       "cannot_run", "forbidden",
                                        "unmet",       "not_allowed", "no_model"};
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
    static const char *const names[] = {"none", "limit", "nomem", "input", "deadline", "model", "given"};
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

static char *put_i64(char *at, int64_t v)
{
    if (v < 0)
        *at++ = '-';
    return buf_put_u64(at, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

// `v` in units of 10^-digits, trailing zeros cut: exact, and short.
static void add_decimal(struct buf *out, uint64_t v, unsigned digits)
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
        add_decimal(out, (uint64_t)nusd, 9);
}

// A number that reads back the same. Most are small integers or have few decimals; those need no search for the
// shortest form: k / 10^6 correctly rounded is what a reader makes of the decimal too.
static void add_number(struct buf *out, double v)
{
    if (fabs(v) < 1e9) {
        double scaled = fabs(v) * 1e6;
        uint64_t k = (uint64_t)(scaled + 0.5);
        if ((double)k / 1e6 == fabs(v)) {
            if (v < 0)
                buf_byte(out, '-');
            add_decimal(out, k, 6);
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

static void add_string(struct buf *out, struct slice s)
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
            add_string(out, image_text(image, IMAGE_AT(image, s->words,
                                                       struct image_str)[(uint32_t)f->number]));
            return;
        }
        MERIT_FALLTHROUGH;
    case SIGNAL_NUMBER:
        add_number(out, f->number);
        return;
    case SIGNAL_TEXT:
        add_string(out, f->text);
        return;
    case SIGNAL_SET:
        buf_byte(out, '[');
        for (uint32_t i = 0; i < f->text_count; i++) {
            if (i)
                buf_byte(out, ',');
            add_string(out, f->texts[i]);
        }
        buf_byte(out, ']');
        return;
    }
}

static void add_hex(struct buf *out, const uint8_t *bytes, unsigned count)
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

static void key(struct buf *out, const char *name)
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
    key(out, name);
    buf_u64(out, v);
}

static void key_bool(struct buf *out, const char *name, bool v)
{
    key(out, name);
    buf_cstr(out, v ? "true" : "false");
}

static void key_cstr(struct buf *out, const char *name, const char *v)
{
    key(out, name);
    add_string(out, slice_cstr(v));
}

static void key_string(struct buf *out, const char *name, bool present, struct slice v)
{
    key(out, name);
    if (present)
        add_string(out, v);
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
    key(out, "evidence");
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
    key(out, "signals");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->image->signals.count; i++) {
        const struct image_signal *s = image_signal(d->image, (int32_t)i);
        const struct fact *f = &d->facts[i];
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        add_string(out, image_text(d->image, s->name));
        key_string(out, "family", true, image_text(d->image, s->family));
        key_cstr(out, "type", type_name(s->type));
        key_cstr(out, "state", record_fact_state_name(f->state));
        if (f->state != FACT_UNKNOWN) {
            key(out, "value");
            record_value(d->image, (int32_t)i, f, out);
            key(out, "probability");
            add_number(out, round((double)f->probability * 1e6) / 1e6);
            key(out, "cost_us");
            add_decimal(out, f->cost_ns, 3);
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
    key(out, "routes");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->routes.count; i++) {
        const struct route_outcome o = route_outcome(d, i);
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        add_string(out, image_text(p, image_route(p, (int32_t)i)->name));
        key_cstr(out, "verdict", record_route_verdict_name(o.verdict));
        if (o.atom != IMAGE_NONE)
            key_string(out, "atom", true,
                       image_text(p, IMAGE_AT(p, p->atoms, struct image_atom)[o.atom].shown));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static bool bit(const uint64_t *bits, uint32_t i)
{
    return bits && (bits[i / 64] >> (i % 64) & 1);
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
static const struct image_step *answering(const struct decision *d)
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
    key(out, "chains");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < d->chain_count; i++) {
        const struct chain_outcome *o = &d->chain_outcomes[i];
        uint32_t count;
        buf_cstr(out, i ? ",{\"verdict\":" : "{\"verdict\":");
        add_string(out, slice_cstr(record_chain_verdict_name(o->verdict)));
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
    key(out, "constraints");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        const char *between = "";
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        add_string(out, constraint_name(p, i));
        key_cstr(out, "verdict",
                 !bit(d->constraints_known, i)  ? "not_needed"
                 : bit(d->constraints_hold, i) ? "holds"
                                               : "does_not_hold");
        key(out, "removed");
        buf_byte(out, '[');
        for (uint32_t m = 0; m < p->models.count; m++) {
            const struct model_outcome *o = &d->model_outcomes[m];
            if (o->constraint != (int32_t)i)
                continue;
            buf_cstr(out, between);
            add_string(out, image_text(p, image_model(p, (int32_t)m)->name));
            between = ",";
        }
        BUF_LIT(out, "]}");
    }
    buf_byte(out, ']');
    if (d->end != DECISION_INFEASIBLE)
        return;
    const char *between = "";
    key(out, "emptied_by");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        if (!bit(d->core, i))
            continue;
        buf_cstr(out, between);
        add_string(out, constraint_name(p, i));
        between = ",";
    }
    buf_byte(out, ']');
}

static void full_feasible(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    const struct image_step *s = answering(d);
    const char *between = "";
    key(out, "feasible");
    buf_byte(out, '[');
    for (uint32_t i = 0; s && i < s->bindings.count; i++) {
        const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding) + i;
        if (!bit(d->fits, i))
            continue;
        buf_printf(out, "%s{\"model\":", between);
        add_string(out, image_text(p, image_model(p, b->model)->name));
        key_cstr(out, "effort", image_effort_name(b->effort));
        buf_byte(out, '}');
        between = ",";
    }
    buf_byte(out, ']');
    if (!d->endpoints_closed || d->model < 0)
        return;
    const struct image_model *m = image_model(p, d->model);
    between = "";
    key(out, "endpoints_closed");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < m->endpoints.count && i < 32; i++) {
        if (!(d->endpoints_closed >> i & 1))
            continue;
        buf_cstr(out, between);
        add_string(out, image_text(p, IMAGE_AT(p, m->endpoints, struct image_endpoint)[i].url));
        between = ",";
    }
    buf_byte(out, ']');
}

static void full_models(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    key(out, "models");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct model_outcome *o = &d->model_outcomes[i];
        buf_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        add_string(out, image_text(p, image_model(p, (int32_t)i)->name));
        key_cstr(out, "verdict", record_model_verdict_name(o->verdict));
        key(out, "cost_usd");
        add_usd(out, o->cost_nusd);
        if (o->verdict == MODEL_LACKS) {
            key(out, "missing");
            buf_byte(out, '[');
            bool first = true;
            for (unsigned bit = 0; bit < WORK_NEED_COUNT_; bit++) {
                if (!(o->missing >> bit & 1))
                    continue;
                if (!first)
                    buf_byte(out, ',');
                first = false;
                add_string(out, slice_cstr(work_need_name(bit)));
            }
            buf_byte(out, ']');
        }
        if (o->verdict == MODEL_WINDOW || o->verdict == MODEL_OUTPUT)
            key_u64(out, "need_tok", o->need_tok);
        if (o->verdict == MODEL_FORBIDDEN || o->verdict == MODEL_OVER_BUDGET)
            key_string(out, "constraint", true, constraint_name(p, (uint32_t)o->constraint));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void full_assumed(const struct policy_image *p, struct buf *out)
{
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    key(out, "assumed");
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->assumes.count; i++) {
        buf_cstr(out, i ? ",{\"code\":" : "{\"code\":");
        add_string(out, image_text(p, a[i].code));
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
    key(out, "policy");
    BUF_LIT(out, "{\"name\":");
    add_string(out, image_text(p, p->name));
    key_u64(out, "version", p->policy_version);
    key(out, "digest");
    add_hex(out, p->digest, IMAGE_DIGEST_BYTES);
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
    key_bool(out, "took_else", d->took_else);
    key(out, "chain");
    if (d->chain < 0)
        BUF_LIT(out, "null");
    else
        buf_u64(out, (uint64_t)d->chain);
    if (d->attempts_max)
        key_u64(out, "attempts_max", d->attempts_max);
    if (d->output_cap_tok)
        key_u64(out, "output_cap_tok", d->output_cap_tok);
    key_bool(out, "observed", d->observed);
    key_bool(out, "late", d->late);
    key_string(out, "message", d->end == DECISION_REFUSE, d->message);
    key(out, "cost_usd");
    add_usd(out, d->cost_nusd);
    key_u64(out, "input_tok", d->input_tok);
    key_u64(out, "output_tok", d->output_tok);
    key(out, "decide_us");
    add_decimal(out, d->decide_ns, 3);
    key(out, "avoided_us");
    add_decimal(out, d->avoided_ns, 3);
    key_u64(out, "costs_epoch", d->costs_epoch);
    key(out, "anchor");
    if (d->anchor == WORK_NO_ANCHOR)
        BUF_LIT(out, "null");
    else
        buf_u64(out, d->anchor);
    key_u64(out, "messages", d->message_count);
    full_signals(d, options, out);
    full_routes(d, out);
    full_chains(d, out);
    full_constraints(d, out);
    full_feasible(d, out);
    full_models(d, out);
    full_assumed(p, out);
    buf_byte(out, '}');
}

// Copies a literal and moves on; the caller has reserved the room.
#define PUT(at, literal) (memcpy((at), (literal), sizeof(literal) - 1), (at) += sizeof(literal) - 1)

static void compact_head(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    enum { ROOM = 1024 };
    char *begin = buf_reserve(out, ROOM), *at = begin;
    if (!at)
        return;
    PUT(at, "{\"v\":");
    at = buf_put_u64(at, DECISION_SCHEMA);
    PUT(at, ",\"id\":\"");
    size_t id = strnlen(d->id, DECISION_ID_LEN);
    memcpy(at, d->id, id);
    at += id;
    PUT(at, "\",\"t\":");
    at = buf_put_u64(at, d->wall_us);
    PUT(at, ",\"policy\":");
    out->len += (size_t)(at - begin);
    add_hex(out, p->digest, 8);
    begin = at = buf_reserve(out, ROOM);
    if (!at)
        return;
    PUT(at, ",\"r\":");
    at = put_i64(at, d->route);
    PUT(at, ",\"m\":");
    at = put_i64(at, d->model);
    PUT(at, ",\"in\":");
    at = buf_put_u64(at, d->input_tok);
    PUT(at, ",\"out\":");
    at = buf_put_u64(at, d->output_tok);
    PUT(at, ",\"cost\":");
    at = put_i64(at, d->cost_nusd);
    PUT(at, ",\"ns\":");
    at = buf_put_u64(at, d->decide_ns);
    PUT(at, ",\"anchor\":");
    at = put_i64(at, d->anchor == WORK_NO_ANCHOR ? -1 : (int64_t)d->anchor);
    PUT(at, ",\"messages\":");
    at = buf_put_u64(at, d->message_count);
    PUT(at, ",\"epoch\":");
    at = buf_put_u64(at, d->pool_epoch);
    // What is zero almost always is left out.
    const struct {
        struct slice key;
        uint64_t value;
    } rare[] = {
        {SLICE(",\"avoided\":"), d->avoided_ns},
        {SLICE(",\"by\":"), d->by},
        {SLICE(",\"end\":"), d->end},
        {SLICE(",\"effort\":"), d->effort},
        {SLICE(",\"else\":"), d->took_else},
        {SLICE(",\"observed\":"), d->observed},
        {SLICE(",\"closed\":"), d->endpoints_closed},
        {SLICE(",\"tries\":"), d->attempts_max},
        {SLICE(",\"cap\":"), d->output_cap_tok},
        {SLICE(",\"needs\":"), d->needs},
        {SLICE(",\"max\":"), d->max_output_tok},
        {SLICE(",\"n\":"), d->choices > 1 ? d->choices : 0},
        {SLICE(",\"expected\":"), d->expected_tok},
        {SLICE(",\"all_steps\":"), d->all_steps},
        {SLICE(",\"costs\":"), d->costs_epoch},
        {SLICE(",\"late\":"), d->late},
    };
    for (size_t i = 0; i < MERIT_COUNT(rare); i++) {
        if (!rare[i].value)
            continue;
        memcpy(at, rare[i].key.ptr, rare[i].key.len);
        at = buf_put_u64(at + rare[i].key.len, rare[i].value);
    }
    out->len += (size_t)(at - begin);
    if (!slice_eq(d->model_asked, SLICE("auto"))) {
        BUF_LIT(out, ",\"asked\":");
        add_string(out, d->model_asked);
    }
}

// As the full form, but words of an enum by place and truth values as numbers.
static void compact_value(const struct policy_image *image, int32_t signal, const struct fact *f,
                          struct buf *out)
{
    enum signal_type type = image_signal(image, signal)->type;
    if (type == SIGNAL_BOOL || type == SIGNAL_ENUM)
        add_number(out, f->number);
    else
        record_value(image, signal, f, out);
}

static void compact_signal(const struct decision *d, uint32_t index, bool first, struct buf *out)
{
    const struct fact *f = &d->facts[index];
    enum { ROOM = 64 + FACT_EVIDENCE_MAX * 64 };
    char *begin = buf_reserve(out, ROOM), *at = begin;
    if (!at)
        return;
    if (!first)
        *at++ = ',';
    *at++ = '[';
    at = buf_put_u64(at, index);
    *at++ = ',';
    // State, what it had of a shared artifact and the step in one number: most rows are short.
    at = buf_put_u64(at, (uint64_t)f->state | (uint64_t)f->share << 2 | (uint64_t)f->step << 4);
    *at++ = ',';
    out->len += (size_t)(at - begin);
    compact_value(d->image, (int32_t)index, f, out);
    uint64_t probability = f->probability > 0 ? (uint64_t)((double)f->probability * 1e4 + 0.5) : 0;
    if (probability == 10000 && !f->cost_ns && !f->error && !f->evidence_total && !f->by.len) {
        buf_byte(out, ']');
        return;
    }
    buf_byte(out, ',');
    add_decimal(out, probability, 4);
    begin = at = buf_reserve(out, ROOM);
    if (!at)
        return;
    *at++ = ',';
    at = buf_put_u64(at, f->cost_ns);
    *at++ = ',';
    at = buf_put_u64(at, f->error);
    *at++ = ',';
    at = buf_put_u64(at, f->evidence_total);
    for (uint32_t i = 0; i < f->evidence_count && i < FACT_EVIDENCE_MAX; i++) {
        const struct evidence *e = &f->evidence[i];
        const uint32_t fields[] = {e->message, e->part, e->offset, e->length, e->argument};
        *at++ = ',';
        for (unsigned k = 0; k < MERIT_COUNT(fields); k++) {
            *at++ = k ? ',' : '[';
            at = buf_put_u64(at, fields[k]);
        }
        *at++ = ']';
    }
    out->len += (size_t)(at - begin);
    if (f->by.len) {
        buf_byte(out, ',');
        add_string(out, f->by);
    }
    buf_byte(out, ']');
}

static void compact_outcomes(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    uint32_t routes = p->routes.count;
    while (routes && route_outcome(d, routes - 1).verdict == ROUTE_NOT_REACHED)
        routes--;
    char *begin = buf_reserve(out, 32 + (size_t)routes * 32 + (size_t)p->models.count * 56),
         *at = begin;
    if (!at)
        return;
    PUT(at, "],\"routes\":[");
    for (uint32_t i = 0; i < routes; i++) {
        const struct route_outcome o = route_outcome(d, i);
        if (i)
            *at++ = ',';
        *at++ = '[';
        at = buf_put_u64(at, o.verdict);
        *at++ = ',';
        at = put_i64(at, o.atom);
        *at++ = ']';
    }
    PUT(at, "],\"models\":[");
    for (uint32_t i = 0; i < p->models.count; i++) {
        const struct model_outcome *o = &d->model_outcomes[i];
        if (i)
            *at++ = ',';
        *at++ = '[';
        at = buf_put_u64(at, o->verdict);
        *at++ = ',';
        at = put_i64(at, o->cost_nusd);
        uint32_t detail = o->verdict == MODEL_LACKS          ? o->missing
                          : o->constraint != IMAGE_NONE ? (uint32_t)o->constraint
                                                        : o->need_tok;
        if (detail) {
            *at++ = ',';
            at = buf_put_u64(at, detail);
        }
        *at++ = ']';
    }
    *at++ = ']';
    out->len += (size_t)(at - begin);
}

// Places, one by one; the name goes before the first.
static void compact_place(const char *name, bool *begun, uint32_t i, struct buf *out)
{
    if (!*begun) {
        key(out, name);
        buf_byte(out, '[');
    } else {
        buf_byte(out, ',');
    }
    buf_u64(out, i);
    *begun = true;
}

static void compact_bits(const char *name, const uint64_t *bits, uint32_t count, struct buf *out)
{
    bool begun = false;
    for (uint32_t i = 0; i < count; i++)
        if (bit(bits, i))
            compact_place(name, &begun, i, out);
    if (begun)
        buf_byte(out, ']');
}

static void compact_states(const char *name, enum pool_model_state state, const struct decision *d,
                           struct buf *out)
{
    bool begun = false;
    for (uint32_t i = 0; d->pool_states && i < d->image->models.count; i++)
        if (d->pool_states[i] == state)
            compact_place(name, &begun, i, out);
    if (begun)
        buf_byte(out, ']');
}

// What constraints did; nothing where they did nothing and the path's first chain was taken.
static void compact_policy(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    const struct image_step *s = answering(d);
    compact_states("down", POOL_MODEL_DOWN, d, out);
    compact_states("no_key", POOL_MODEL_NO_KEY, d, out);
    bool chains = d->chain_count > 1 || d->end == DECISION_INFEASIBLE;
    for (uint32_t i = 0; chains && i < d->chain_count; i++) {
        const struct chain_outcome *o = &d->chain_outcomes[i];
        const int32_t fields[] = {(int32_t)o->verdict, o->step, o->constraint};
        buf_cstr(out, i ? "," : ",\"chains\":[");
        for (unsigned k = 0; k < MERIT_COUNT(fields); k++)
            buf_printf(out, "%s%d", k ? "," : "[", fields[k]);
        BUF_LIT(out, "]");
    }
    if (chains && d->chain_count)
        buf_byte(out, ']');
    compact_bits("known", d->constraints_known, p->constraints.count, out);
    compact_bits("hold", d->constraints_hold, p->constraints.count, out);
    if (d->end == DECISION_INFEASIBLE)
        compact_bits("core", d->core, p->constraints.count, out);
    if (s && p->constraints.count)
        compact_bits("fits", d->fits, s->bindings.count, out);
}

void record_compact(const struct decision *d, struct buf *out)
{
    compact_head(d, out);
    BUF_LIT(out, ",\"signals\":[");
    bool first = true;
    for (uint32_t i = 0; i < d->image->signals.count; i++) {
        if (d->facts[i].state == FACT_UNKNOWN)
            continue;
        compact_signal(d, i, first, out);
        first = false;
    }
    compact_outcomes(d, out);
    compact_policy(d, out);
    buf_byte(out, '}');
}
