// tools: the tools that the request offers to the model.
//
//   tools                  number offered
//   tools("name", ...)     bool: one of these is among them (exact names)
//   tools(required)        bool: the request forces a call
//
// Asks: the request's tools and tool_choice. Costs: a load; with names one comparison per name and
// tool, at most TOOL_NAMES_MAX names and WORK_TOOLS_MAX tools. Evidence: none (names are no text of
// a message). Limits: TOOL_NAMES_MAX names; cannot fail.
#include "signal/families.h"

enum { TOOL_NAMES_MAX = 64 };

static const char *const kinds[] = {"required", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD, .words = kinds, .help = "true when the request forces a call"},
    {.kind = SIGNAL_ARG_STRING, .repeated = true, .help = "a tool's name"},
};

struct state {
    bool required;
    uint32_t count;
    struct slice names[];
};

static uint32_t count_names(const struct policy_image *image, const struct image_signal *def)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < def->args.count; i++)
        n += signal_args(image, def)[i].kind == IMAGE_ARG_STRING;
    return n;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    return def->args.count ? SIGNAL_BOOL : SIGNAL_NUMBER;
}

static void check(const struct policy_image *image, const struct image_signal *def,
                  void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx)
{
    uint32_t names = count_names(image, def);
    if (names && signal_arg_word(image, def).len)
        fail(ctx, 0, "either `required` or names of tools");
    if (names > TOOL_NAMES_MAX)
        fail(ctx, def->args.count - 1, "more than 64 names");
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    uint32_t names = count_names(image, def);
    if (names > TOOL_NAMES_MAX)
        return RESULT_LIMIT;
    struct state *s = arena_zeroed(arena, 1, sizeof *s + names * sizeof s->names[0]);
    if (!s)
        return RESULT_NOMEM;
    s->required = signal_arg_word(image, def).len > 0;
    for (uint32_t i = 0; i < def->args.count; i++)
        if (signal_args(image, def)[i].kind == IMAGE_ARG_STRING)
            s->names[s->count++] = image_text(image, signal_args(image, def)[i].text);
    *state = s;
    return RESULT_OK;
}

static bool offers(const struct work *w, const struct state *s)
{
    for (uint32_t i = 0; i < w->tool_count; i++)
        for (uint32_t k = 0; k < s->count; k++)
            if (slice_eq(w->tool_names[i], s->names[k]))
                return true;
    return false;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    const struct work *w = ctx->work;
    signal_fact_number(out, s->required ? w->tool_required
                            : s->count  ? offers(w, s)
                                        : w->tool_count);
    return RESULT_OK;
}

const struct signal_family signal_tools = {
    .name = "tools",
    .whole = true,
    .summary = "tools that the request offers",
    .cost = SIGNAL_COST_FREE,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .check = check,
    .prepare = prepare,
    .compute = compute,
};
