// caller: who asks, as the API key says.
//
//   caller(group)               set: the caller's groups
//   caller(id | team | tenant)  text; empty without a known caller
//   caller(known)               bool: the request came with a valid key
//   caller(label)               set: the levels that the caller asserts of what it sends; "?" is among them when it
//                               asserts a word that is no level of the policy
//
// Asks: work.caller, which comes from the key; of the headers only x-merit-label adds to it, where the key may steer. Costs: a load. Evidence:
// none. Limits: WORK_GROUPS_MAX groups; cannot fail. Without keys configured nobody is known.
#include "signal/families.h"

enum kind { GROUP, ID, TEAM, TENANT, LABEL, KNOWN };

static const char *const kinds[] = {"group", "id", "team", "tenant", "label", "known", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = kinds, .required = true, .help = "what of the caller"},
};

static enum kind kind_of(const struct policy_image *image, const struct image_signal *def)
{
    int i = signal_word_index(kinds, signal_arg_word(image, def));
    return i < 0 ? KNOWN : (enum kind)i;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    switch (kind_of(image, def)) {
    case GROUP:
    case LABEL:
        return SIGNAL_SET;
    case KNOWN:
        return SIGNAL_BOOL;
    default:
        return SIGNAL_TEXT;
    }
}

struct state {
    enum kind kind;
    const struct policy_image *image;
};

static bool is_level(const struct policy_image *p, struct slice word)
{
    const struct image_lattice *l = IMAGE_AT(p, p->lattices, struct image_lattice);
    for (uint32_t i = 0; i < p->lattices.count; i++) {
        const struct image_str *levels = IMAGE_AT(p, l[i].levels, struct image_str);
        for (uint32_t k = 0; k < l[i].levels.count; k++)
            if (slice_eq(image_text(p, levels[k]), word))
                return true;
    }
    return false;
}

static enum result asserted(const struct state *s, struct signal_context *ctx, struct fact *out)
{
    const struct work_caller *c = &ctx->work->caller;
    uint32_t count = c->known ? c->label_count : 0;
    struct slice *words = ARENA_ARRAY(ctx->arena, struct slice, count + 1);
    if (!words)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        words[i] = is_level(s->image, c->labels[i]) ? c->labels[i] : SLICE("?");
    out->texts = words;
    out->text_count = count;
    signal_fact_number(out, count > 0);
    return RESULT_OK;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    *s = (struct state){kind_of(image, def), image};
    *state = s;
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct work_caller *c = &ctx->work->caller;
    const struct state *s = state;
    switch (s->kind) {
    case LABEL:
        return asserted(s, ctx, out);
    case GROUP:
        out->texts = c->groups;
        out->text_count = c->known ? c->group_count : 0;
        signal_fact_number(out, out->text_count > 0);
        break;
    case ID:
        signal_fact_text(out, c->known ? c->id : SLICE_EMPTY);
        break;
    case TEAM:
        signal_fact_text(out, c->known ? c->team : SLICE_EMPTY);
        break;
    case TENANT:
        signal_fact_text(out, c->known ? c->tenant : SLICE_EMPTY);
        break;
    case KNOWN:
        signal_fact_number(out, c->known);
        break;
    }
    return RESULT_OK;
}

const struct signal_family signal_caller = {
    .name = "caller",
    .summary = "who asks, as the API key says",
    .cost = SIGNAL_COST_FREE,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
