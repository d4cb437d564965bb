#include "signal/artifacts.h"

#include <assert.h>

#include "text/utf8.h"
#include "work/anchor.h"

static struct signal_artifacts *artifacts(struct signal_context *ctx)
{
    assert(ctx->artifacts);
    return ctx->artifacts;
}

bool artifacts_go_on(struct signal_context *ctx, uint32_t bytes)
{
    struct signal_artifacts *a = artifacts(ctx);
    if (!a->left)
        return false;
    a->left -= bytes < a->left ? bytes : a->left;
    return true;
}

// The longest head of at most `max` bytes that ends between characters.
static struct slice head_of(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && ((unsigned char)text.ptr[max] & 0xC0) == 0x80)
        max--;
    return slice_head(text, max);
}

// Adds the text parts of one message as far as `left` bytes and the room of the views go.
static enum result add_views(struct signal_context *ctx, uint32_t message, size_t *left,
                             uint32_t room, struct text_views *views)
{
    const struct work *w = ctx->work;
    const struct work_message *m = &w->messages[message];
    for (uint32_t i = 0; i < m->part_count && !views->cut; i++) {
        const struct work_part *part = &w->parts[m->part_first + i];
        if (part->kind != WORK_TEXT || part->text.len == 0)
            continue;
        if (views->count == room) {
            views->cut = true;
            break;
        }
        struct slice text = message == w->anchor ? work_anchor_text(part->text) : part->text;
        struct slice head = head_of(text, *left);
        if (!utf8_valid(head))
            return RESULT_UTF8;
        views->cut = head.len < text.len;
        *left -= head.len;
        views->at[views->count++] = (struct text_view){head, message, i};
    }
    return RESULT_OK;
}

static enum result find_views(struct signal_context *ctx, struct text_views *views)
{
    const struct work *w = ctx->work;
    *views = (struct text_views){NULL, 0, false};
    if (w->anchor == WORK_NO_ANCHOR)
        return RESULT_OK;
    assert(w->anchor < w->message_count);
    const struct work_message *m = &w->messages[w->anchor];
    uint32_t room = m->part_count < SIGNAL_VIEWS_MAX ? m->part_count : SIGNAL_VIEWS_MAX;
    views->at = arena_alloc(ctx->arena, room * sizeof *views->at);
    size_t left = SIGNAL_TEXT_MAX;
    return views->at ? add_views(ctx, w->anchor, &left, room, views) : RESULT_NOMEM;
}

static enum result find_conversation(struct signal_context *ctx, struct text_views *views)
{
    const struct work *w = ctx->work;
    uint32_t room = w->part_count < SIGNAL_VIEWS_MAX ? w->part_count : SIGNAL_VIEWS_MAX;
    *views = (struct text_views){arena_alloc(ctx->arena, room * sizeof *views->at + 1), 0, false};
    enum result r = views->at ? RESULT_OK : RESULT_NOMEM;
    size_t left = SIGNAL_TEXT_MAX;
    for (uint32_t i = w->message_count; !r && i-- > 0 && !views->cut;)
        if (w->messages[i].role == WORK_USER || w->messages[i].role == WORK_TOOL)
            r = add_views(ctx, i, &left, room, views);
    return r;
}

enum result artifacts_views(struct signal_context *ctx, const struct text_views **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    if (!a->has_views) {
        a->has_views = true;
        a->views_result = find_views(ctx, &a->views);
    }
    *out = &a->views;
    return a->views_result;
}

enum result artifacts_conversation(struct signal_context *ctx, const struct text_views **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    if (!a->has_conversation) {
        a->has_conversation = true;
        a->conversation_result = find_conversation(ctx, &a->conversation);
    }
    *out = &a->conversation;
    return a->conversation_result;
}

enum result artifacts_joined(struct signal_context *ctx, struct slice *out)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    if (r)
        return r;
    if (views->count <= 1) {
        *out = views->count ? views->at[0].text : SLICE_EMPTY;
        return RESULT_OK;
    }
    if (!a->joined.ptr) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < views->count; i++)
            bytes += views->at[i].text.len + 1;
        char *text = arena_alloc(ctx->arena, bytes), *at = text;
        if (!text)
            return RESULT_NOMEM;
        for (uint32_t i = 0; i < views->count; i++) {
            if (i)
                *at++ = '\n';
            memcpy(at, views->at[i].text.ptr, views->at[i].text.len);
            at += views->at[i].text.len;
        }
        a->joined = slice_make(text, (size_t)(at - text));
    }
    *out = a->joined;
    return RESULT_OK;
}

enum result artifacts_stats(struct signal_context *ctx, const struct text_stats **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    if (!r && !a->has_stats) {
        a->has_stats = a->scratch->counts = true;
        for (uint32_t i = 0; i < views->count; i++)
            text_stats_add(&a->stats, views->at[i].text);
    }
    *out = &a->stats;
    return r;
}

enum result artifacts_questions(struct signal_context *ctx, uint32_t *out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct text_views *views;
    const struct text_stats *stats;
    enum result r =
        a->scratch->counts ? artifacts_stats(ctx, &stats) : artifacts_views(ctx, &views);
    if (!r && !a->has_stats && !a->has_questions) {
        a->has_questions = true;
        for (uint32_t i = 0; i < views->count; i++)
            a->questions += text_questions(views->at[i].text);
    }
    *out = a->has_stats ? a->stats.questions : a->questions;
    return r;
}

enum result artifacts_words(struct signal_context *ctx, const struct text_words **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    if (!r && !a->has_words) {
        a->has_words = true;
        a->words_result = text_words_split(views, ctx->arena, &a->words);
    }
    *out = &a->words;
    return r ? r : a->words_result;
}

// The scan of all views, one after the other.
struct hit_scan {
    struct artifacts_scratch *scratch;
    struct arena *arena;
    struct pattern_hit *at;
    uint32_t count, room;
    uint32_t view;
    uint32_t open; // regular expressions among the hits, whose places are wanted
    bool nomem;
};

static bool on_hit(void *ctx, const struct pattern_match *m)
{
    struct hit_scan *s = ctx;
    struct hit_slot *slot = &s->scratch->slots[m->id];
    if (slot->epoch == s->scratch->epoch)
        return false;
    if (s->count == s->room) {
        uint32_t room = s->room ? s->room * 2 : 16;
        struct pattern_hit *at = arena_alloc(s->arena, room * sizeof *at);
        if (!at) {
            s->nomem = true;
            return true;
        }
        if (s->count)
            memcpy(at, s->at, s->count * sizeof *at);
        s->at = at;
        s->room = room;
    }
    *slot = (struct hit_slot){s->scratch->epoch, s->count};
    bool open = m->begin == m->end;
    s->open += open;
    s->at[s->count++] = (struct pattern_hit){m->id, s->view, m->begin, m->end, !open};
    return false;
}

// Follows one regular expression's matches, which come by their ends: a match that begins where the
// last one does extends it, one that begins before its end overlaps it and is none.
struct place {
    uint32_t begin, end, view;
};
struct place_scan {
    struct hit_scan *hits;
    struct place *last; // per hit
};

static bool on_place(void *ctx, const struct pattern_match *m)
{
    struct place_scan *p = ctx;
    struct hit_scan *s = p->hits;
    const struct hit_slot *slot = &s->scratch->slots[m->id];
    // A pattern can be here only when the first scan saw it.
    if (slot->epoch != s->scratch->epoch)
        return false;
    struct pattern_hit *hit = &s->at[slot->index];
    struct place *last = &p->last[slot->index];
    if (hit->count && last->view == s->view && m->begin == last->begin && m->begin != m->end) {
        last->end = m->end;
        if (hit->count == 1)
            hit->end = m->end;
        return false;
    }
    if (hit->count && last->view == s->view && m->begin < last->end)
        return false;
    if (hit->count++ == 0) {
        hit->view = s->view;
        hit->begin = m->begin;
        hit->end = m->end;
    }
    *last = (struct place){m->begin, m->end, s->view};
    return false;
}

static enum result find_places(struct signal_artifacts *a, const struct text_views *views,
                               struct hit_scan *s, bool *uncounted)
{
    struct place_scan p = {s, ARENA_ARRAY(s->arena, struct place, s->count)};
    if (!p.last)
        return RESULT_NOMEM;
    for (s->view = 0; s->view < views->count; s->view++) {
        enum result r = pattern_places(a->patterns, a->scratch->patterns, views->at[s->view].text,
                                       on_place, &p);
        if (r == RESULT_LIMIT)
            *uncounted = true;
        else if (r)
            return r;
    }
    return RESULT_OK;
}

static enum result find_hits(struct signal_context *ctx, const struct text_views *views,
                             struct pattern_hits *hits)
{
    struct signal_artifacts *a = artifacts(ctx);
    struct hit_scan s = {.scratch = a->scratch, .arena = ctx->arena};
    enum result r = RESULT_OK;
    if (++a->scratch->epoch == 0) {
        memset(a->scratch->slots, 0, pattern_set_count(a->patterns) * sizeof *a->scratch->slots);
        a->scratch->epoch = 1;
    }
    for (s.view = 0; s.view < views->count && !r && !s.nomem; s.view++)
        r = pattern_scan(a->patterns, a->scratch->patterns, views->at[s.view].text, on_hit, &s);
    bool uncounted = false;
    if (!r && !s.nomem && s.open)
        r = find_places(a, views, &s, &uncounted);
    // Where the library gives no start, the last character stands for the match.
    for (uint32_t i = 0; i < s.count; i++)
        while (s.at[i].begin == s.at[i].end ||
               ((unsigned char)views->at[s.at[i].view].text.ptr[s.at[i].begin] & 0xC0) == 0x80)
            s.at[i].begin--;
    *hits = (struct pattern_hits){s.at, s.count, views->cut, uncounted};
    return s.nomem ? RESULT_NOMEM : r;
}

enum result artifacts_hits(struct signal_context *ctx, const struct pattern_hits **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    if (!r && !a->has_hits) {
        a->has_hits = true;
        a->share = FACT_SHARE_MADE;
        a->hits_result = find_hits(ctx, views, &a->hits);
    } else if (!r && !a->share) {
        a->share = FACT_SHARE_USED;
    }
    *out = &a->hits;
    return r ? r : a->hits_result;
}

enum result artifacts_folded(struct signal_context *ctx, const struct slice **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    *out = NULL;
    if (r)
        return r;
    if (!a->has_folded) {
        size_t bytes = 0;
        a->has_folded = true;
        // Words have a character between them, so that SIGNAL_WORDS_MAX is not reached.
        for (uint32_t i = 0; i < views->count; i++)
            bytes += views->at[i].text.len + 1;
        a->folded_result = views->cut || bytes >= 2 * SIGNAL_WORDS_MAX
                               ? RESULT_UNSUPPORTED
                               : text_fold_fast(views, ctx->arena, &a->folded);
    }
    if (a->folded_result == RESULT_OK)
        *out = &a->folded;
    return a->folded_result == RESULT_UNSUPPORTED ? RESULT_OK : a->folded_result;
}

enum result artifacts_ask(struct signal_context *ctx, enum trunk_model model,
                          enum trunk_reading reading, const struct slice *texts, uint32_t count,
                          const struct trunk_answer **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    *out = NULL;
    if (!a->trunk || !a->trunk->dim[model])
        return RESULT_NOT_FOUND;
    for (struct trunk_ask *q = a->asks; q; q = q->next) {
        if (q->model != model || q->reading != reading || q->texts != texts || q->count != count)
            continue;
        if (!q->answered)
            return RESULT_AGAIN;
        if (q->answer.cost_us) {
            a->trunk_us += q->answer.cost_us;
            q->answer.cost_us = 0;
        }
        if (q->answer.result == RESULT_OK && a->share != FACT_SHARE_MADE)
            a->share = q->used ? FACT_SHARE_USED : FACT_SHARE_MADE;
        q->used = true;
        *out = &q->answer;
        return q->answer.result;
    }
    struct trunk_ask *q = ARENA_NEW(ctx->arena, struct trunk_ask);
    if (!q)
        return RESULT_NOMEM;
    *q = (struct trunk_ask){model, reading, texts, count, .next = a->asks};
    a->asks = q;
    return RESULT_AGAIN;
}

enum result artifacts_ask_views(struct signal_context *ctx, enum trunk_model model,
                                enum trunk_reading reading, const struct text_views *views,
                                const struct trunk_answer **out)
{
    struct signal_artifacts *a = artifacts(ctx);
    const struct slice **kept = views == &a->conversation ? &a->conversation_texts
                                : views == &a->turns      ? &a->turn_texts
                                                          : &a->anchor_texts;
    *out = NULL;
    if (!*kept && views->count) {
        struct slice *texts = arena_alloc(ctx->arena, views->count * sizeof *texts);
        if (!texts)
            return RESULT_NOMEM;
        for (uint32_t i = 0; i < views->count; i++)
            texts[i] = views->at[i].text;
        *kept = texts;
    }
    return artifacts_ask(ctx, model, reading, *kept, views->count, out);
}

enum result artifacts_ask_anchor(struct signal_context *ctx, enum trunk_model model,
                                 enum trunk_reading reading, const struct trunk_answer **out)
{
    const struct text_views *views;
    enum result r = artifacts_views(ctx, &views);
    return r ? r : artifacts_ask_views(ctx, model, reading, views, out);
}
