// jailbreak: how likely the request tries to talk a model out of its rules, or carries text that does, 0 to 1.
//
//   jailbreak                  of the anchored text
//   jailbreak(conversation)    of all user messages and tool results
//
// Asks: everything is read, in pieces that overlap; the value is that of the worst piece. Each piece by the head's first
// tier; those that it is not sure of by the encoder. Invisible and look-alike characters are folded first, and what an
// encoding hides (text/unmask.h) is read as one more text. Evidence: the
// worst piece, when the value is above one half. Limits: SIGNAL_TEXT_MAX of text; when there is more and nothing was found,
// the signal fails, and its on_error holds.
#include "signal/families.h"
#include "signal/learned.h"
#include "text/unmask.h"

enum { READINGS_MAX = 64 };

static const char *const scopes[] = {"conversation", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD,
     .words = scopes,
     .help = "user messages and tool results, not the task alone"},
};

struct state {
    const struct learned *head;
    uint32_t attack;
    bool conversation;
};

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    (void)image;
    (void)def;
    return SIGNAL_NUMBER;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    struct state *s = ARENA_NEW(arena, struct state);
    if (!s)
        return RESULT_NOMEM;
    *state = s;
    s->conversation = signal_arg_word(image, def).len > 0;
    enum result r = learned_open(load, SLICE("jailbreak"), arena, &s->head);
    if (r)
        return r;
    s->attack = head_label(s->head->head, SLICE("attack"));
    return s->attack < head_info(s->head->head)->label_count ? RESULT_OK : RESULT_SYNTAX;
}

// The views and behind them what their encodings hide; `from` says which bytes each of those was read from.
static enum result legible(const struct state *s, struct signal_context *ctx,
                           const struct text_views *views, const struct text_views **out)
{
    struct signal_artifacts *a = ctx->artifacts;
    struct text_views *all = &a->legible[s->conversation];
    *out = all;
    if (all->at)
        return RESULT_OK;
    uint32_t room = views->count + READINGS_MAX, n = views->count;
    struct text_view *at = arena_alloc(ctx->arena, room * sizeof *at);
    struct evidence *from = arena_alloc(ctx->arena, READINGS_MAX * sizeof *from);
    if (!at || !from)
        return RESULT_NOMEM;
    memcpy(at, views->at, n * sizeof *at);
    for (uint32_t v = 0; v < views->count; v++) {
        struct unmasked found[UNMASK_MAX];
        uint32_t count;
        enum result r = unmask(views->at[v].text, ctx->arena, found, &count);
        if (r)
            return r;
        for (uint32_t i = 0; i < count && n < room; i++) {
            const struct text_view *view = &views->at[v];
            from[n - views->count] = (struct evidence){view->message, view->part, found[i].begin,
                                                       found[i].end - found[i].begin, 0};
            at[n++] = (struct text_view){found[i].text, view->message, view->part};
        }
    }
    a->legible_from[s->conversation] = from;
    *all = (struct text_views){at, n, views->cut};
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct state *s = state;
    const struct text_views *views;
    struct learned_answer a;
    enum result r =
        s->conversation ? artifacts_conversation(ctx, &views) : artifacts_views(ctx, &views);
    if (r)
        return r;
    out->probability = 1;
    if (!views->count)
        return views->cut ? RESULT_LIMIT : RESULT_OK;
    const struct text_views *all;
    r = legible(s, ctx, views, &all);
    if (!r)
        r = learned_worst(ctx, s->head, s->attack, all, &a);
    if (r)
        return r;
    double p = a.p[s->attack];
    if (views->cut && p < 0.5)
        return RESULT_LIMIT;
    out->number = p;
    out->probability = (float)(p > 0.5 ? p : 1 - p);
    out->by = a.by;
    if (p > 0.5 && a.has_piece) {
        const struct signal_artifacts *kept = ctx->artifacts;
        out->evidence[0] = a.view < views->count
                               ? a.piece
                               : kept->legible_from[s->conversation][a.view - views->count];
        out->evidence_count = out->evidence_total = 1;
    }
    return RESULT_OK;
}

const struct signal_family signal_jailbreak = {
    .name = "jailbreak",
    .summary = "how likely the request tries to talk a model out of its rules, 0 to 1",
    .cost = SIGNAL_COST_ENCODER,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .prepare = prepare,
    .compute = compute,
};
