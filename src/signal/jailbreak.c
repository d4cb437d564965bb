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
#include "text/skeleton.h"
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

// What is read: the views as they look, and behind them what their encodings hide.
struct legible {
    struct text_views views;
    struct skeleton *folded; // of the first `own` views
    struct evidence *from;   // of the others: which bytes they were read from
    uint32_t own, next;      // next: the first view that is not looked at yet
};

static struct legible *legible_open(struct signal_context *ctx, const struct text_views *views)
{
    struct legible *l = ARENA_NEW(ctx->arena, struct legible);
    uint32_t n = views->count;
    if (!l)
        return NULL;
    l->own = n;
    l->views = (struct text_views){
        arena_alloc(ctx->arena, (n + READINGS_MAX) * sizeof *l->views.at), n, views->cut};
    l->folded = ARENA_ARRAY(ctx->arena, struct skeleton, n);
    l->from = arena_alloc(ctx->arena, READINGS_MAX * sizeof *l->from);
    if (!l->views.at || !l->folded || !l->from)
        return NULL;
    memcpy(l->views.at, views->at, n * sizeof *l->views.at);
    return l;
}

static enum result look_at(struct legible *l, struct signal_context *ctx,
                           const struct text_view *view)
{
    struct unmasked found[UNMASK_MAX];
    uint32_t count;
    enum result r = skeleton_make(view->text, ctx->arena, &l->folded[l->next]);
    if (!r) // a skeleton has lost what some encodings are made of
        r = unmask(view->text, ctx->arena, found, &count);
    if (r)
        return r;
    l->views.at[l->next].text = l->folded[l->next].text;
    for (uint32_t i = 0; i < count && l->views.count < l->own + READINGS_MAX; i++) {
        l->from[l->views.count - l->own] = (struct evidence){
            view->message, view->part, found[i].begin, found[i].end - found[i].begin, 0};
        l->views.at[l->views.count++] =
            (struct text_view){found[i].text, view->message, view->part};
    }
    return RESULT_OK;
}

static enum result legible(const struct state *s, struct signal_context *ctx,
                           const struct text_views *views, struct legible **out)
{
    struct signal_artifacts *a = ctx->artifacts;
    struct legible **kept = &a->legible[s->conversation];
    if (!*kept && !(*kept = legible_open(ctx, views)))
        return RESULT_NOMEM;
    struct legible *l = *out = *kept;
    for (; l->next < l->own; l->next++) {
        const struct text_view *view = &views->at[l->next];
        size_t n = view->text.len;
        // All readings of the first bytes, a pass or two over the rest.
        if (!artifacts_go_on(ctx, (uint32_t)(n / 16 + (n < 2048 ? 2 * n : 4096))))
            return RESULT_AGAIN;
        enum result r = look_at(l, ctx, view);
        if (r)
            return r;
    }
    return RESULT_OK;
}

// Where a piece stands in the request.
static struct evidence place(const struct legible *l, const struct text_views *views,
                             const struct learned_answer *a)
{
    if (a->view >= l->own)
        return l->from[a->view - l->own];
    const struct skeleton *k = &l->folded[a->view];
    struct evidence e = a->piece;
    uint32_t end = skeleton_end(k, views->at[a->view].text, e.offset + e.length);
    e.offset = skeleton_begin(k, e.offset);
    e.length = end - e.offset;
    return e;
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
    struct legible *all;
    r = legible(s, ctx, views, &all);
    if (!r)
        r = learned_worst(ctx, s->head, s->attack, &all->views, &a);
    if (r)
        return r;
    double p = a.p[s->attack];
    if (views->cut && p < 0.5)
        return RESULT_LIMIT;
    out->number = p;
    out->probability = (float)(p > 0.5 ? p : 1 - p);
    out->by = a.by;
    if (p > 0.5 && a.has_piece) {
        out->evidence[0] = place(all, views, &a);
        out->evidence_count = out->evidence_total = 1;
    }
    return RESULT_OK;
}

static void doubt(const void *state, struct signal_doubt *out)
{
    const struct state *s = state;
    out->error = learned_error(s->head);
}

const struct signal_family signal_jailbreak = {
    .name = "jailbreak",
    .summary = "how likely the request tries to talk a model out of its rules, 0 to 1",
    .number_max = 1,
    .cost = SIGNAL_COST_ENCODER,
    .pass = SIGNAL_PASS_PIECES,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .doubt = doubt,
    .prepare = prepare,
    .compute = compute,
};
