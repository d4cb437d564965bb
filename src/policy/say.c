// What a policy says about labels, places, steps, constraints and itself.
#include "policy/say.h"

void say_amount(struct buf *out, enum image_unit unit, int64_t v)
{
    static const struct {
        const char *word, *thousand;
    } words[] = {[IMAGE_UNIT_NUSD] = {"USD", NULL},
                 [IMAGE_UNIT_UJ] = {"J", "kJ"},
                 [IMAGE_UNIT_UG] = {"g", "kg"},
                 [IMAGE_UNIT_MS] = {"ms", "s"},
                 [IMAGE_UNIT_TOK] = {"tokens", NULL},
                 [IMAGE_UNIT_CALLS] = {"calls", NULL},
                 [IMAGE_UNIT_REQUESTS] = {"requests", NULL}};
    const char *word = words[unit].word;
    if (unit == IMAGE_UNIT_NUSD) {
        say_usd(out, v);
    } else if (unit == IMAGE_UNIT_UJ || unit == IMAGE_UNIT_UG) {
        bool great = v >= 1000000000 && v % 1000000 == 0;
        buf_micro(out, great ? v / 1000 : v);
        word = great ? words[unit].thousand : word;
    } else if (unit == IMAGE_UNIT_MS && v >= 1000) {
        buf_micro(out, v * 1000);
        word = words[unit].thousand;
    } else {
        buf_u64(out, (uint64_t)v);
    }
    buf_printf(out, " %s", word);
}

static struct slice level_name(const struct policy_image *p, int32_t lattice, uint32_t level)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice) + lattice;
    return image_text(p, IMAGE_AT(p, l->levels, struct image_str)[level]);
}

static struct slice zone_name(const struct policy_image *p, int32_t i)
{
    return image_text(p, IMAGE_AT(p, p->zones, struct image_zone)[i].name);
}

static struct slice sink_name(const struct policy_image *p, int32_t i)
{
    return image_text(p, IMAGE_AT(p, p->sinks, struct image_sink)[i].name);
}

static void bindings(const struct policy_image *p, const struct image_step *s, const char *last,
                     struct buf *out)
{
    const struct image_binding *b = IMAGE_AT(p, s->bindings, struct image_binding);
    if (s->any && s->bindings.count > 1) {
        buf_printf(out, "any of the %u models", s->bindings.count);
        if (b->effort)
            buf_printf(out, " at effort %s", image_effort_name(b->effort));
        return;
    }
    for (uint32_t i = 0; i < s->bindings.count; i++) {
        buf_cstr(out, i == 0 ? "" : i + 1 == s->bindings.count ? last : ", ");
        say_text(out, p, image_model(p, b[i].model)->name);
        if (b[i].effort)
            buf_printf(out, " at effort %s", image_effort_name(b[i].effort));
    }
}

static void step(const struct policy_image *p, const struct image_step *s, struct buf *out)
{
    switch (s->kind) {
    case IMAGE_STEP_REFUSE:
        BUF_LIT(out, "refused with \"");
        say_text(out, p, s->text);
        BUF_LIT(out, "\"");
        return;
    case IMAGE_STEP_ANSWER:
        buf_cstr(out, s->escalated ? "escalated to " : "answered by ");
        bindings(p, s, " or ", out);
        break;
    case IMAGE_STEP_FUSE:
        buf_cstr(out, s->escalated ? "escalated to one answer made of those of "
                                   : "given one answer made of those of ");
        bindings(p, s, " and ", out);
        break;
    case IMAGE_STEP_VERIFY:
        BUF_LIT(out, "verified by ");
        if (s->sink != IMAGE_NONE)
            buf_add(out, sink_name(p, s->sink));
        else
            bindings(p, s, " or ", out);
        break;
    case IMAGE_STEP_RETRIEVE:
        BUF_LIT(out, "given what ");
        buf_add(out, sink_name(p, s->sink));
        BUF_LIT(out, " holds about it");
        break;
    case IMAGE_STEP_CACHE:
        BUF_LIT(out, "looked up in ");
        buf_add(out, sink_name(p, s->sink));
        break;
    case IMAGE_STEP_CLARIFY:
        buf_printf(out, "clarified by at most %u question%s", s->count, s->count == 1 ? "" : "s");
        break;
    case IMAGE_STEP_REDACT:
        BUF_LIT(out, "redacted to ");
        buf_add(out, level_name(p, s->lattice, s->level));
        break;
    case IMAGE_STEP_KIND_COUNT_:
        break;
    }
    if (s->cap_tok) {
        BUF_LIT(out, " in at most ");
        say_grouped(out, s->cap_tok);
        BUF_LIT(out, " tokens");
    }
    if (s->retries)
        buf_printf(out, ", tried again %s", s->retries == 1 ? "once" : "");
    if (s->retries > 1)
        buf_printf(out, "up to %u times", s->retries);
    if (s->hedges)
        buf_printf(out, ", with %u cop%s sent elsewhere when it is slow", s->hedges,
                   s->hedges == 1 ? "y" : "ies");
}

void say_pass_most(const struct image_pass *pass, struct buf *out)
{
    const char *before = ", at most ";
    for (int u = 0; u <= IMAGE_UNIT_TOK; u++)
        if (pass->most[u] >= 0) {
            buf_cstr(out, before);
            say_amount(out, (enum image_unit)u, pass->most[u]);
            before = ", ";
        }
}

void say_chain(const struct policy_image *p, const struct image_chain *c, struct buf *out)
{
    const struct image_step *s = IMAGE_AT(p, c->steps, struct image_step);
    for (uint32_t i = 0; i < c->steps.count; i++) {
        buf_cstr(out, i ? ", then " : "");
        step(p, &s[i], out);
    }
}

// The signal that the compiler made for a term, or NULL.
static const struct image_signal *hidden_of(const struct policy_image *p,
                                            const struct image_term *t)
{
    const struct image_node *n = IMAGE_AT(p, t->guard, struct image_node);
    if (n->kind != IMAGE_NODE_ATOM)
        return NULL;
    const struct image_signal *s =
        image_signal(p, IMAGE_AT(p, p->atoms, struct image_atom)[n->arg].signal);
    return s->hidden ? s : NULL;
}

static void label(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice) + s->lattice;
    const char *before = ": ";
    bool asserted = false;
    buf_printf(out, "label of %.*s", SLICE_FMT(image_text(p, l->name)));
    for (uint32_t i = 0; i < s->terms.count; i++) {
        const struct image_signal *hidden = hidden_of(p, &t[i]);
        bool caller = hidden && slice_eq_cstr(image_text(p, hidden->family), "caller");
        if (caller && asserted)
            continue;
        buf_cstr(out, before);
        before = ", ";
        if (caller) {
            asserted = true;
            BUF_LIT(out, "what the caller asserts");
            continue;
        }
        buf_add(out, level_name(p, s->lattice, t[i].word));
        if (hidden) {
            BUF_LIT(out, " when ");
            say_family(p, hidden, out);
        } else if (IMAGE_AT(p, t[i].guard, struct image_node)->kind != IMAGE_NODE_TRUE) {
            BUF_LIT(out, " when ");
            explain_guard(p, t[i].guard, out);
        }
    }
    buf_printf(out, "; %.*s when one of these is not known",
               SLICE_FMT(level_name(p, s->lattice, s->error_level)));
}

static void score(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    const struct image_band *b = IMAGE_AT(p, s->bands, struct image_band);
    const struct image_str *w = IMAGE_AT(p, s->words, struct image_str);
    BUF_LIT(out, "sum of ");
    for (uint32_t i = 0; i < s->terms.count; i++) {
        buf_printf(out, "%s%.15g", i ? ", " : "", t[i].weight);
        if (t[i].signal != IMAGE_NONE) {
            BUF_LIT(out, " times ");
            say_text(out, p, image_signal(p, t[i].signal)->name);
        } else {
            BUF_LIT(out, " when ");
            explain_guard(p, t[i].guard, out);
        }
    }
    buf_printf(out, "; between %.15g and %.15g", s->number_min, s->number_max);
    for (uint32_t i = 0; i < s->bands.count; i++) {
        buf_cstr(out, i ? ", " : ": ");
        say_text(out, p, w[i]);
        if (i)
            buf_printf(out, " from %.15g on", b[i].from);
    }
    if (s->has_threshold)
        buf_printf(out, ", %s %.15g", s->threshold_above ? "above" : "below", s->threshold);
}

void say_derived(const struct policy_image *p, const struct image_signal *s, struct buf *out)
{
    const struct image_term *t = IMAGE_AT(p, s->terms, struct image_term);
    if (s->derive == IMAGE_DERIVE_LABEL) {
        label(p, s, out);
        return;
    }
    if (s->derive == IMAGE_DERIVE_SCORE) {
        score(p, s, out);
        return;
    }
    BUF_LIT(out, "the greatest of ");
    for (uint32_t i = 0; i < s->terms.count; i++) {
        buf_cstr(out, i ? ", " : "");
        say_text(out, p, image_signal(p, t[i].signal)->name);
    }
    buf_printf(out, " (temperature %.15g)", s->temperature);
    if (s->margin > 0)
        buf_printf(out, " when it leads by %.15g", s->margin);
    BUF_LIT(out, ", otherwise ");
    say_text(out, p, IMAGE_AT(p, s->words, struct image_str)[s->otherwise]);
}

void say_lattices(const struct policy_image *p, size_t width, struct buf *out)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    buf_cstr(out, p->lattices.count ? "\nLabels, lowest level first\n" : "");
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        BUF_LIT(out, "  ");
        say_pad(out, image_text(p, l[i].name), width);
        for (uint32_t k = 0; k < l[i].levels.count; k++) {
            buf_cstr(out, k ? " < " : "");
            buf_add(out, level_name(p, (int32_t)i, k));
        }
        buf_byte(out, '\n');
    }
}

static void clearance(const struct policy_image *p, const struct image_clearance *c,
                      const char *verb, struct buf *out)
{
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        buf_cstr(out, i ? ", " : verb);
        buf_add(out, level_name(p, (int32_t)i, c->level[i]));
    }
}

static bool holds_something(const struct image_clearance *c)
{
    for (uint32_t i = 0; i < IMAGE_LATTICES_MAX; i++)
        if (c->level[i])
            return true;
    return false;
}

static const char *sink_kind(enum image_sink_kind kind)
{
    static const char *const names[] = {"verifier",  "judge",  "retriever", "cache",
                                        "embedding", "memory", "log",       "trace"};
    return (unsigned)kind < IMAGE_SINK_KIND_COUNT_ ? names[kind] : "sink";
}

static void sink(const struct policy_image *p, const struct image_sink *s, struct buf *out)
{
    buf_cstr(out, sink_kind(s->kind));
    if (s->zone != IMAGE_NONE)
        buf_printf(out, " in zone %.*s", SLICE_FMT(zone_name(p, s->zone)));
    clearance(p, &s->clears, ", clears ", out);
    if (holds_something(&s->holds))
        clearance(p, &s->holds, ", holds ", out);
    if (s->cap_tok) {
        BUF_LIT(out, ", adds up to ");
        say_grouped(out, s->cap_tok);
        BUF_LIT(out, " tokens");
    }
    if (s->call_nusd >= 0) {
        BUF_LIT(out, ", ");
        say_amount(out, IMAGE_UNIT_NUSD, s->call_nusd);
        BUF_LIT(out, " a call");
    }
    if (s->call_uj >= 0) {
        BUF_LIT(out, ", ");
        say_amount(out, IMAGE_UNIT_UJ, s->call_uj);
        BUF_LIT(out, " a call");
    }
    if (s->timeout_ms) {
        BUF_LIT(out, ", at most ");
        say_amount(out, IMAGE_UNIT_MS, s->timeout_ms);
    }
    buf_cstr(out, s->carries_text ? ", carries text" : "");
}

void say_places(const struct policy_image *p, size_t width, struct buf *out)
{
    const struct image_zone *z = IMAGE_AT(p, p->zones, struct image_zone);
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    bool told = p->sinks.count > 0;
    for (uint32_t i = 0; i < p->zones.count; i++)
        told |= p->lattices.count || z[i].pue_milli || z[i].carbon_stated;
    if (!told)
        return;
    BUF_LIT(out, "\nPlaces that requests reach\n");
    for (uint32_t i = 0; i < p->zones.count; i++) {
        BUF_LIT(out, "  ");
        say_pad(out, image_text(p, z[i].name), width);
        BUF_LIT(out, "zone");
        clearance(p, &z[i].clears, ", clears ", out);
        say_zone_energy(p, &z[i], out);
        buf_byte(out, '\n');
    }
    for (uint32_t i = 0; i < p->sinks.count; i++) {
        BUF_LIT(out, "  ");
        say_pad(out, image_text(p, s[i].name), width);
        sink(p, &s[i], out);
        buf_byte(out, '\n');
    }
}

static const char *const step_words[] = {"answer",  "refuse", "retrieve", "verify",
                                         "clarify", "redact", "fuse",     "cache"};

static void forbidden(const struct policy_image *p, const struct image_constraint *c,
                      struct buf *out)
{
    switch (c->target) {
    case IMAGE_FORBID_ZONE:
        buf_printf(out, "zone %.*s is", SLICE_FMT(zone_name(p, c->index)));
        break;
    case IMAGE_FORBID_BELOW:
        buf_printf(out, "what does not clear %.*s is",
                   SLICE_FMT(level_name(p, c->index, c->level)));
        break;
    case IMAGE_FORBID_MODEL:
        buf_printf(out, "model %.*s is", SLICE_FMT(image_text(p, image_model(p, c->index)->name)));
        break;
    case IMAGE_FORBID_ENDPOINT:
        buf_printf(out, "endpoint %.*s is",
                   SLICE_FMT(image_text(
                       p, IMAGE_AT(p, p->endpoints, struct image_endpoint)[c->index].url)));
        break;
    case IMAGE_FORBID_EFFORT:
        buf_printf(out, "effort %s is", image_effort_name((enum image_effort)c->index));
        break;
    case IMAGE_FORBID_STEP:
        buf_printf(out, "the step %s is", step_words[c->index]);
        break;
    case IMAGE_FORBID_SINK:
        buf_printf(out, "sink %.*s is", SLICE_FMT(sink_name(p, c->index)));
        break;
    }
    BUF_LIT(out, " forbidden");
}

static void budget(const struct image_constraint *c, struct buf *out)
{
    static const char *const windows[] = {"request", "minute", "hour", "day", "month", ""};
    static const char *const scopes[] = {"", "session", "key", "caller", "team", "tenant", "loop"};
    bool life = c->window == IMAGE_PER_LIFE;
    BUF_LIT(out, "at most ");
    say_amount(out, c->unit, c->limit);
    if (!life)
        buf_printf(out, " per %s", windows[c->window]);
    if (c->scope != IMAGE_SCOPE_ALL)
        buf_printf(out, life ? " per %s" : " and %s", scopes[c->scope]);
    buf_cstr(out, c->hard ? "" : ", paced");
    if (c->strict)
        BUF_LIT(out, ", whatever its input comes to");
    if (c->exhausted == IMAGE_EXHAUSTED_CHEAPER)
        BUF_LIT(out, ", then the next cheaper choice");
}

static void constraint(const struct policy_image *p, const struct image_constraint *c,
                       struct buf *out)
{
    static const char *const extras[] = {"escalate", "fuse", "hedge"};
    switch (c->kind) {
    case IMAGE_FORBID:
        forbidden(p, c, out);
        break;
    case IMAGE_REQUIRE:
        buf_printf(out, "%s", step_words[c->step]);
        if (c->sink != IMAGE_NONE)
            buf_printf(out, " by %.*s", SLICE_FMT(sink_name(p, c->sink)));
        BUF_LIT(out, " is required");
        break;
    case IMAGE_ALLOW:
        buf_printf(out, "%s is allowed %s", extras[c->extra], c->count == 1 ? "once" : "");
        if (c->count > 1)
            buf_printf(out, "up to %u times", c->count);
        break;
    case IMAGE_BUDGET:
        budget(c, out);
        break;
    }
    if (c->guard.count) {
        BUF_LIT(out, " when ");
        explain_guard(p, c->guard, out);
    }
}

void say_rules(const struct policy_image *p, struct buf *out)
{
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem);
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    buf_cstr(out, p->constraints.count ? "\nConstraints, whatever route is taken\n" : "");
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        BUF_LIT(out, "  ");
        constraint(p, &c[i], out);
        buf_byte(out, '\n');
    }
    buf_cstr(out, p->theorems.count ? "\nStated, and looked at by every check\n" : "");
    for (uint32_t i = 0; i < p->theorems.count; i++) {
        buf_cstr(out, t[i].is_test ? "  test: " : "  ");
        say_text(out, p, t[i].name);
        buf_byte(out, '\n');
    }
    buf_cstr(out, p->assumes.count ? "\nAssumed, not proved\n" : "");
    for (uint32_t i = 0; i < p->assumes.count; i++) {
        BUF_LIT(out, "  ");
        say_text(out, p, a[i].code);
        buf_cstr(out, a[i].name.len ? " " : "");
        say_text(out, p, a[i].name);
        BUF_LIT(out, ": ");
        say_text(out, p, a[i].reason);
        buf_byte(out, '\n');
    }
}

static void member(const struct policy_image *p, const char *name, struct image_str s,
                   struct buf *out)
{
    buf_printf(out, "\"%s\": ", name);
    say_json_string(out, image_text(p, s));
}

static void json_levels(const struct policy_image *p, const struct image_clearance *c,
                        const char *name, struct buf *out)
{
    buf_printf(out, ", \"%s\": [", name);
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        buf_cstr(out, i ? ", " : "");
        say_json_string(out, level_name(p, (int32_t)i, c->level[i]));
    }
    buf_byte(out, ']');
}

static void json_places(const struct policy_image *p, struct buf *out)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    const struct image_zone *z = IMAGE_AT(p, p->zones, struct image_zone);
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    BUF_LIT(out, ",\n \"lattices\": [");
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "name", l[i].name, out);
        BUF_LIT(out, ", \"levels\": [");
        for (uint32_t k = 0; k < l[i].levels.count; k++) {
            buf_cstr(out, k ? ", " : "");
            say_json_string(out, level_name(p, (int32_t)i, k));
        }
        BUF_LIT(out, "]}");
    }
    BUF_LIT(out, "],\n \"zones\": [");
    for (uint32_t i = 0; i < p->zones.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "name", z[i].name, out);
        json_levels(p, &z[i].clears, "clears", out);
        say_zone_energy_json(p, &z[i], out);
        buf_byte(out, '}');
    }
    BUF_LIT(out, "],\n \"sinks\": [");
    for (uint32_t i = 0; i < p->sinks.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "name", s[i].name, out);
        buf_printf(out, ", \"kind\": \"%s\", \"zone\": ", sink_kind(s[i].kind));
        if (s[i].zone == IMAGE_NONE)
            BUF_LIT(out, "null");
        else
            say_json_string(out, zone_name(p, s[i].zone));
        json_levels(p, &s[i].clears, "clears", out);
        json_levels(p, &s[i].holds, "holds", out);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

void say_rules_json(const struct policy_image *p, struct buf *out)
{
    static const char *const kinds[] = {"forbid", "require", "allow", "budget"};
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    const struct image_theorem *t = IMAGE_AT(p, p->theorems, struct image_theorem);
    const struct image_assume *a = IMAGE_AT(p, p->assumes, struct image_assume);
    struct buf sentence;
    json_places(p, out);
    BUF_LIT(out, ",\n \"constraints\": [");
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "name", c[i].name, out);
        buf_printf(out, ", \"kind\": \"%s\", \"line\": %u, \"sentence\": ", kinds[c[i].kind],
                   c[i].line);
        buf_init(&sentence, IMAGE_BYTES_MAX);
        constraint(p, &c[i], &sentence);
        say_json_string(out, buf_slice(&sentence));
        if (buf_result(&sentence) && !out->err)
            out->err = buf_result(&sentence);
        buf_deinit(&sentence);
        buf_byte(out, '}');
    }
    BUF_LIT(out, "],\n \"theorems\": [");
    for (uint32_t i = 0; i < p->theorems.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "name", t[i].name, out);
        buf_printf(out, ", \"kind\": \"%s\", \"line\": %u}", t[i].is_test ? "test" : "prove",
                   t[i].line);
    }
    BUF_LIT(out, "],\n \"assumes\": [");
    for (uint32_t i = 0; i < p->assumes.count; i++) {
        buf_cstr(out, i ? ",\n  {" : "{");
        member(p, "code", a[i].code, out);
        BUF_LIT(out, ", ");
        member(p, "name", a[i].name, out);
        BUF_LIT(out, ", ");
        member(p, "reason", a[i].reason, out);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}
