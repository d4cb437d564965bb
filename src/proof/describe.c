#include "proof/describe.h"

#include "policy/explain.h"

const char *describe_step(enum image_step_kind kind)
{
    static const char *const names[] = {"answer",  "refuse", "retrieve", "verify",
                                        "clarify", "redact", "fuse",     "cache"};
    return (unsigned)kind < IMAGE_STEP_KIND_COUNT_ ? names[kind] : "answer";
}

const char *describe_unit(enum image_unit unit)
{
    static const char *const names[] = {"usd", "J", "g", "ms", "tok", "calls", "requests"};
    return (unsigned)unit < MERIT_COUNT(names) ? names[unit] : "";
}

void describe_amount(enum image_unit unit, int64_t value, struct buf *out)
{
    if (unit == IMAGE_UNIT_NUSD)
        buf_nano(out, value);
    else if (unit == IMAGE_UNIT_UJ || unit == IMAGE_UNIT_UG)
        buf_micro(out, value);
    else
        buf_printf(out, "%lld", (long long)value);
    buf_printf(out, " %s", describe_unit(unit));
}

static void text(const struct policy_image *p, struct image_str s, struct buf *out)
{
    buf_add(out, image_text(p, s));
}

static void quoted(const struct policy_image *p, struct image_str s, struct buf *out)
{
    BUF_LIT(out, "\"");
    text(p, s, out);
    BUF_LIT(out, "\"");
}

static struct image_str level_name(const struct policy_image *p, int32_t lattice, uint32_t level)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice) + lattice;
    return IMAGE_AT(p, l->levels, struct image_str)[level];
}

void describe_clearance(const struct policy_image *p, const struct image_clearance *c,
                        struct buf *out)
{
    bool any = false;
    for (uint32_t l = 0; l < p->lattices.count; l++) {
        if (!c->level[l])
            continue;
        buf_cstr(out, any ? ", " : "");
        text(p, level_name(p, (int32_t)l, c->level[l]), out);
        any = true;
    }
    if (!any)
        BUF_LIT(out, "nothing");
}

static void bindings(const struct policy_image *p, const struct image_step *s, struct buf *out)
{
    const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding);
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        buf_cstr(out, i ? ", " : "");
        text(p, image_model(p, b[i].model)->name, out);
        if (b[i].effort != IMAGE_EFFORT_DEFAULT)
            buf_printf(out, " %s", image_effort_name(b[i].effort));
    }
}

static void step(const struct policy_image *p, const struct image_step *s, struct buf *out)
{
    if (s->escalated)
        BUF_LIT(out, "escalate ");
    buf_cstr(out, describe_step(s->kind));
    if (s->kind == IMAGE_STEP_REFUSE) {
        BUF_LIT(out, " ");
        quoted(p, s->text, out);
        return;
    }
    BUF_LIT(out, "(");
    if (s->bindings.count)
        bindings(p, s, out);
    else if (s->sink >= 0)
        text(p, IMAGE_AT(p, p->sinks, struct image_sink)[s->sink].name, out);
    else if (s->kind == IMAGE_STEP_REDACT)
        text(p, level_name(p, s->lattice, s->level), out);
    else if (s->kind == IMAGE_STEP_CLARIFY)
        buf_printf(out, "%u", s->count);
    BUF_LIT(out, ")");
    if (s->retries)
        buf_printf(out, " retry %u", s->retries);
    if (s->cap_tok)
        buf_printf(out, " cap %u tok", s->cap_tok);
    if (s->hedges)
        buf_printf(out, " hedge %u", s->hedges);
}

void describe_chain(const struct policy_image *p, const struct image_chain *c, struct buf *out)
{
    const struct image_step *steps = IMAGE_AT(p, c->steps, struct image_step);
    for (uint32_t i = 0; i < c->steps.count; i++) {
        buf_cstr(out, i ? " -> " : "");
        step(p, &steps[i], out);
    }
}

void describe_effect(const struct policy_image *p, int32_t route, struct buf *out)
{
    static const char *const objectives[] = {"", " minimise cost", " maximise quality",
                                             " minimise energy"};
    const struct image_route *r = image_route(p, route);
    for (uint32_t c = 0; c < r->chains.count; c++) {
        buf_cstr(out, c ? " else " : "");
        describe_chain(p, &image_chains(p, r)[c], out);
    }
    buf_cstr(out, objectives[r->objective]);
    if (r->cost_max_nusd >= 0) {
        BUF_LIT(out, " within ");
        describe_amount(IMAGE_UNIT_NUSD, r->cost_max_nusd, out);
    }
    if (r->quality_min > 0)
        buf_printf(out, " where quality >= %.6g", (double)r->quality_min);
    if (r->risk >= 0)
        buf_printf(out, " escalate at risk %.6g", (double)r->risk);
}

static void when(const struct policy_image *p, struct image_list guard, struct buf *out)
{
    if (guard.count == 0 || IMAGE_AT(p, guard, struct image_node)->kind == IMAGE_NODE_TRUE)
        return;
    BUF_LIT(out, " when ");
    explain_guard(p, guard, out);
}

static void forbid(const struct policy_image *p, const struct image_constraint *c, struct buf *out)
{
    BUF_LIT(out, "forbid ");
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        BUF_LIT(out, "zone ");
        text(p, IMAGE_AT(p, p->zones, struct image_zone)[c->index].name, out);
        break;
    case IMAGE_FORBID_BELOW:
        BUF_LIT(out, "zone below ");
        text(p, level_name(p, c->index, c->level), out);
        break;
    case IMAGE_FORBID_MODEL:
        BUF_LIT(out, "model ");
        text(p, image_model(p, c->index)->name, out);
        break;
    case IMAGE_FORBID_ENDPOINT:
        BUF_LIT(out, "endpoint ");
        quoted(p, IMAGE_AT(p, p->endpoints, struct image_endpoint)[c->index].url, out);
        break;
    case IMAGE_FORBID_EFFORT:
        buf_printf(out, "effort %s", image_effort_name((enum image_effort)c->index));
        break;
    case IMAGE_FORBID_STEP:
        buf_printf(out, "step %s", describe_step((enum image_step_kind)c->index));
        break;
    case IMAGE_FORBID_SINK:
        BUF_LIT(out, "sink ");
        text(p, IMAGE_AT(p, p->sinks, struct image_sink)[c->index].name, out);
        break;
    }
}

static void budget(const struct image_constraint *c, struct buf *out)
{
    static const char *const windows[] = {"/request", "/minute", "/hour", "/day", "/month", ""};
    static const char *const scopes[] = {"",      "session ", "key ", "caller ",
                                         "team ", "tenant ",  "loop "};
    BUF_LIT(out, "budget ");
    if (c->scope != IMAGE_SCOPE_ALL)
        buf_printf(out, "per %s", scopes[c->scope]);
    describe_amount(c->unit, c->limit, out);
    buf_printf(out, "%s %s%s", windows[c->window], c->hard ? "hard" : "paced",
               c->exhausted == IMAGE_EXHAUSTED_CHEAPER ? " cheaper"
               : c->strict                             ? " strict"
                                                       : "");
}

void describe_constraint(const struct policy_image *p, uint32_t i, struct buf *out)
{
    static const char *const extras[] = {"escalate", "fuse", "hedge"};
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint) + i;
    switch (c->kind) {
    case IMAGE_FORBID:
        forbid(p, c, out);
        break;
    case IMAGE_REQUIRE:
        buf_printf(out, "require %s", describe_step(c->step));
        if (c->sink >= 0) {
            BUF_LIT(out, "(");
            text(p, IMAGE_AT(p, p->sinks, struct image_sink)[c->sink].name, out);
            BUF_LIT(out, ")");
        }
        break;
    case IMAGE_ALLOW:
        buf_printf(out, "allow %s %u", extras[c->extra], c->count);
        break;
    case IMAGE_BUDGET:
        budget(c, out);
        break;
    }
    when(p, c->guard, out);
}

static void args(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_arg *a = IMAGE_AT(p, s->args, struct image_arg);
    if (!s->args.count)
        return;
    BUF_LIT(out, "(");
    for (uint32_t i = 0; i < s->args.count; i++) {
        buf_cstr(out, i ? ", " : "");
        if (a[i].name.len)
            text(p, a[i].name, out), BUF_LIT(out, " ");
        if (a[i].tag.len)
            text(p, a[i].tag, out), BUF_LIT(out, " ");
        if (a[i].kind == IMAGE_ARG_STRING)
            quoted(p, a[i].text, out);
        else if (a[i].kind == IMAGE_ARG_WORD)
            text(p, a[i].text, out);
        else
            buf_printf(out, "%.15g", a[i].number);
    }
    BUF_LIT(out, ")");
}

static void terms(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    const struct image_str *words = IMAGE_AT(p, s->words, struct image_str);
    BUF_LIT(out, "(");
    for (uint32_t i = 0; i < s->terms.count; i++) {
        buf_cstr(out, i ? ", " : "");
        if (s->derive == IMAGE_DERIVE_SCORE)
            buf_printf(out, "%.15g", t[i].weight);
        else if (t[i].word < s->words.count)
            text(p, words[t[i].word], out);
        if (s->derive == IMAGE_DERIVE_SCORE && t[i].signal >= 0)
            BUF_LIT(out, " ");
        if (s->derive == IMAGE_DERIVE_SCORE && t[i].signal >= 0)
            text(p, image_signal(p, t[i].signal)->name, out);
        when(p, t[i].guard, out);
    }
    BUF_LIT(out, ")");
}

void describe_signal(const struct policy_image *p, int32_t signal, struct buf *out)
{
    const struct image_signal *s = image_signal(p, signal);
    const struct image_str *words = IMAGE_AT(p, s->words, struct image_str);
    const struct image_band *b = IMAGE_AT(p, s->bands, struct image_band);
    text(p, s->family, out);
    if (s->derive)
        terms(p, s, out);
    else
        args(p, s, out);
    for (uint32_t i = 0; i < s->bands.count && i < s->words.count; i++) {
        buf_cstr(out, i ? ", " : " bands ");
        text(p, words[i], out);
        if (i)
            buf_printf(out, " above %.15g", b[i].from);
    }
    if (s->derive == IMAGE_DERIVE_EXCLUSIVE && s->otherwise < s->words.count) {
        buf_printf(out, " temperature %.15g margin %.15g otherwise ", s->temperature, s->margin);
        text(p, words[s->otherwise], out);
    }
    if (s->has_threshold)
        buf_printf(out, " %s %.15g", s->threshold_above ? "above" : "below", s->threshold);
    if (s->derive == IMAGE_DERIVE_LABEL && s->error_level < s->words.count) {
        BUF_LIT(out, " on_error ");
        text(p, words[s->error_level], out);
    } else if (s->error_text.len) {
        BUF_LIT(out, " on_error ");
        quoted(p, s->error_text, out);
    } else if (s->error_number != 0) {
        if (s->type == SIGNAL_ENUM && s->error_number < s->words.count)
            BUF_LIT(out, " on_error "), text(p, words[(uint32_t)s->error_number], out);
        else
            buf_printf(out, " on_error %.15g", s->error_number);
    }
}
