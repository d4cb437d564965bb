// The compact form: one line for the decision log.
#include <string.h>

#include "base/compiler.h"
#include "route/record_inner.h"
#include "work/pool.h"

const char *const record_spent_keys[IMAGE_UNIT_REQUESTS + 1] = {
    "spent_nusd", "spent_uj", "spent_ug", "spent_ms", "spent_tok", "spent_calls", "spent_requests"};

// Copies a literal and moves on; the caller has reserved the room.
#define PUT(at, literal) ((at) = RECORD_LIT(at, literal))

static void compact_head(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    enum { ROOM = 1280 };
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
    record_put_hex(out, p->digest, 8);
    begin = at = buf_reserve(out, ROOM);
    if (!at)
        return;
    PUT(at, ",\"r\":");
    at = record_i64(at, d->route);
    PUT(at, ",\"m\":");
    at = record_i64(at, d->model);
    PUT(at, ",\"in\":");
    at = buf_put_u64(at, d->input_tok);
    PUT(at, ",\"out\":");
    at = buf_put_u64(at, d->output_tok);
    PUT(at, ",\"cost\":");
    at = record_i64(at, d->cost_nusd);
    PUT(at, ",\"ns\":");
    at = buf_put_u64(at, d->decide_ns);
    PUT(at, ",\"anchor\":");
    at = record_i64(at, d->anchor == WORK_NO_ANCHOR ? -1 : (int64_t)d->anchor);
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
        {SLICE(",\"asked_effort\":"), d->effort_asked},
        {SLICE(",\"dropped\":"), d->effort_dropped},
        {SLICE(",\"max\":"), d->max_output_tok},
        {SLICE(",\"n\":"), d->choices > 1 ? d->choices : 0},
        {SLICE(",\"stream\":"), d->priced && d->streams},
        {SLICE(",\"expected\":"), d->expected_tok},
        {SLICE(",\"all_steps\":"), d->all_steps},
        {SLICE(",\"costs\":"), d->costs_epoch},
        {SLICE(",\"late\":"), d->late},
        {SLICE(",\"from\":"), d->first_chain},
    };
    for (size_t i = 0; i < MERIT_COUNT(rare); i++) {
        if (!rare[i].value)
            continue;
        memcpy(at, rare[i].key.ptr, rare[i].key.len);
        at = buf_put_u64(at + rare[i].key.len, rare[i].value);
    }
    out->len += (size_t)(at - begin);
    for (uint32_t u = 0; d->first_chain && u < MERIT_COUNT(d->spent); u++)
        if (d->spent[u])
            buf_printf(out, ",\"%s\":%lld", record_spent_keys[u], (long long)d->spent[u]);
    if (!slice_eq(d->model_asked, SLICE("auto"))) {
        BUF_LIT(out, ",\"asked\":");
        record_put_string(out, d->model_asked);
    }
}

// As the full form, but words of an enum by place and truth values as numbers.
static void compact_value(const struct policy_image *image, int32_t signal, const struct fact *f,
                          struct buf *out)
{
    enum signal_type type = image_signal(image, signal)->type;
    if (type == SIGNAL_BOOL || type == SIGNAL_ENUM)
        record_put_number(out, f->number);
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
    record_put_decimal(out, probability, 4);
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
        record_put_string(out, f->by);
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
        at = record_i64(at, o.atom);
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
        at = record_i64(at, o->cost_nusd);
        uint32_t detail = o->verdict == MODEL_LACKS     ? o->missing
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
        record_put_key(out, name);
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
        if (record_bit(bits, i))
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

// Budgets over time as they were seen: place, what was left, and the bits of the shadow price where there was one.
static void compact_budgets(const struct decision *d, struct buf *out)
{
    bool begun = false;
    for (uint32_t i = 0; d->budgets && i < d->image->constraints.count; i++) {
        const struct budget_state *b = &d->budgets[i];
        uint64_t bits;
        if (b->open)
            continue;
        memcpy(&bits, &b->price_nusd, sizeof bits);
        buf_cstr(out, begun ? ",[" : ",\"budgets\":[[");
        buf_u64(out, i);
        buf_byte(out, ',');
        buf_u64(out, (uint64_t)b->left);
        if (bits) {
            buf_byte(out, ',');
            buf_u64(out, bits);
        }
        buf_byte(out, ']');
        begun = true;
    }
    if (begun)
        buf_byte(out, ']');
}

// What constraints did; nothing where they did nothing and the path's first chain was taken.
static void compact_policy(const struct decision *d, struct buf *out)
{
    const struct policy_image *p = d->image;
    const struct image_step *s = record_answering(d);
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
    compact_budgets(d, out);
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
    record_choice_compact(d, out);
    buf_byte(out, '}');
}
