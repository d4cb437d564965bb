// caller: who asks, as the API key says.
//
//   caller(group)               set: the caller's groups
//   caller(id | team | tenant)  text; empty without a known caller
//   caller(known)               bool: the request came with a valid key
//
// Asks: work.caller, which comes from the key alone, never from a header. Costs: a load. Evidence:
// none. Limits: WORK_GROUPS_MAX groups; cannot fail. Without keys configured nobody is known.
#include "signal/families.h"

enum kind { GROUP, ID, TEAM, TENANT, KNOWN };

static const char *const kinds[] = {"group", "id", "team", "tenant", "known", NULL};

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
        return SIGNAL_SET;
    case KNOWN:
        return SIGNAL_BOOL;
    default:
        return SIGNAL_TEXT;
    }
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    enum kind *kind = ARENA_NEW(arena, enum kind);
    if (!kind)
        return RESULT_NOMEM;
    *kind = kind_of(image, def);
    *state = kind;
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct work_caller *c = &ctx->work->caller;
    switch (*(const enum kind *)state) {
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
