#include "signal/learned.h"

#include <assert.h>
#include <math.h>

#include "text/json.h"
#include "text/skeleton.h"
#include "text/utf8.h"

static struct slice name_of(struct arena *arena, const struct head_info *i,
                            const struct trunk_service *trunk)
{
    if (!trunk)
        return arena_printf(arena, "%.*s %.8s", SLICE_FMT(i->signal), i->version);
    return arena_printf(arena, "%.*s %.8s on %.*s %.*s", SLICE_FMT(i->signal), i->version,
                        SLICE_FMT(trunk->name[TRUNK_EMBED]),
                        SLICE_FMT(trunk->version[TRUNK_EMBED]));
}

// From the file's metrics: {"first": {"ece": .02, ...}, "second": {...}}. The tier that answers counts.
static double calibration_error(const struct head_info *info, bool second, struct arena *arena)
{
    struct json j;
    double error = 0;
    if (!info->metrics.len || json_parse(&j, info->metrics, &json_limits_default, arena) ||
        json_type(&j, 0) != JSON_OBJECT)
        return 0;
    uint32_t tier = json_get(&j, 0, second ? SLICE("second") : SLICE("first"), NULL);
    if (tier == JSON_NONE || json_type(&j, tier) != JSON_OBJECT)
        return 0;
    uint32_t at = json_get(&j, tier, SLICE("ece"), NULL);
    if (at == JSON_NONE || json_type(&j, at) != JSON_NUMBER || json_double(&j, at, &error))
        return 0;
    return error;
}

static enum result open_file(const struct signal_load *load, struct slice file, struct arena *arena,
                             struct learned *l)
{
    char problem[HEAD_PROBLEM_BYTES];
    const struct trunk_service *trunk = load->trunk;
    enum result r = head_open(file, problem, &l->head);
    if (r)
        return r;
    const struct head_info *info = head_info(l->head);
    l->file = file;
    bool encoder = trunk && trunk->dim[TRUNK_EMBED];
    l->fits = info->second && encoder &&
              head_fits(l->head, trunk->digest[TRUNK_EMBED], trunk->dim[TRUNK_EMBED], problem) ==
                  RESULT_OK;
    l->error = calibration_error(info, l->fits, arena);
    l->by_first = name_of(arena, info, NULL);
    l->by_second = l->fits ? name_of(arena, info, trunk) : SLICE_EMPTY;
    if (!l->by_first.ptr || (l->fits && !l->by_second.ptr)) {
        head_close(l->head);
        return RESULT_NOMEM;
    }
    // Built for another encoder, and nothing to say without: that is an error, not a weaker answer.
    if (encoder && info->second && !l->fits && !info->first) {
        head_close(l->head);
        return RESULT_VERSION;
    }
    return RESULT_OK;
}

enum result learned_open(const struct signal_load *load, struct slice name, struct arena *arena,
                         const struct learned **out)
{
    struct learned_set *set = load->heads;
    struct slice file = learned_built_in(name);
    if (!file.ptr) {
        const struct trunk_service *trunk = load->trunk;
        enum result r =
            trunk && trunk->head ? trunk->head(trunk->ctx, name, &file) : RESULT_NOT_FOUND;
        if (r)
            return r;
    }
    for (uint32_t i = 0; i < set->count; i++)
        if (set->heads[i].file.ptr == file.ptr) {
            *out = &set->heads[i];
            return RESULT_OK;
        }
    if (set->count == LEARNED_HEADS_MAX)
        return RESULT_LIMIT;
    struct learned *l = &set->heads[set->count];
    *l = (struct learned){.index = set->count};
    enum result r = open_file(load, file, arena, l);
    if (r)
        return r;
    set->count++;
    *out = l;
    return RESULT_OK;
}

void learned_set_close(struct learned_set *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        head_close(s->heads[i].head);
    language_close(s->language);
    s->count = 0;
    s->language = NULL;
}

// What is known of one head in one run.
struct learned_memo {
    bool first, second; // what was asked
    bool by_second;     // p is the second tier's
    float *p, *logits;  // [labels]
};

static struct learned_memo *memo(struct signal_context *ctx, const struct learned *l)
{
    struct signal_artifacts *a = ctx->artifacts;
    if (!a->memos)
        a->memos = ARENA_ARRAY(ctx->arena, struct learned_memo, a->scratch->head_count);
    if (!a->memos)
        return NULL;
    struct learned_memo *m = &a->memos[l->index];
    uint32_t labels = head_info(l->head)->label_count;
    if (!m->p) {
        float *p = arena_alloc(ctx->arena, 2 * labels * sizeof *p);
        if (!p)
            return NULL;
        m->p = p;
        m->logits = p + labels;
    }
    return m;
}

// The mean of the windows' vectors, of length 1 again.
static const float *mean_vector(struct arena *arena, const struct trunk_answer *t, uint32_t dim)
{
    if (t->window_count == 1)
        return t->windows[0].vector;
    float *v = ARENA_ARRAY(arena, float, dim);
    if (!v)
        return NULL;
    for (uint32_t w = 0; w < t->window_count; w++)
        for (uint32_t i = 0; i < dim; i++)
            v[i] += t->windows[w].vector[i];
    double square = 0;
    for (uint32_t i = 0; i < dim; i++)
        square += (double)v[i] * v[i];
    float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
    for (uint32_t i = 0; i < dim; i++)
        v[i] *= scale;
    return v;
}

enum result artifacts_vector(struct signal_context *ctx, const float **out)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct trunk_answer *t;
    *out = a->vector;
    if (a->vector) {
        a->share = a->share ? a->share : FACT_SHARE_USED;
        return RESULT_OK;
    }
    enum result r = artifacts_ask_anchor(ctx, TRUNK_EMBED, TRUNK_TOPIC, &t);
    if (r)
        return r;
    if (!t->window_count)
        return RESULT_NOT_FOUND;
    a->vector = mean_vector(ctx->arena, t, a->trunk->dim[TRUNK_EMBED]);
    *out = a->vector;
    return a->vector ? RESULT_OK : RESULT_NOMEM;
}

static size_t boundary(struct slice s, size_t at)
{
    while (at < s.len && at > 0 && ((unsigned char)s.ptr[at] & 0xC0) == 0x80)
        at--;
    return at;
}

// The anchored text as it looks, where the head was trained on such texts: of a long one the head and the tail, which is all
// that a first tier reads of it.
static enum result seen_text(struct signal_context *ctx, const struct learned *l, struct slice text,
                             struct slice *out)
{
    struct signal_artifacts *a = ctx->artifacts;
    struct skeleton k;
    *out = text;
    if (!(head_ngram(l->head)->spec.flags & NGRAM_SKELETON))
        return RESULT_OK;
    if (!a->has_seen_text) {
        if (text.len > 4 * HEAD_TEXT_MAX) {
            char *ends = arena_alloc(ctx->arena, 4 * HEAD_TEXT_MAX);
            if (!ends)
                return RESULT_NOMEM;
            size_t head = boundary(text, 2 * HEAD_TEXT_MAX);
            size_t tail = boundary(text, text.len - 2 * HEAD_TEXT_MAX + 4);
            memcpy(ends, text.ptr, head);
            memcpy(ends + head, text.ptr + tail, text.len - tail);
            text = slice_make(ends, head + text.len - tail);
        }
        enum result r = skeleton_make(text, ctx->arena, &k);
        if (r)
            return r;
        a->seen_text = k.text;
        a->has_seen_text = true;
    }
    *out = a->seen_text;
    return RESULT_OK;
}

enum result learned_topic(struct signal_context *ctx, const struct learned *l,
                          struct learned_answer *out, bool *has_text)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct head_info *info = head_info(l->head);
    struct slice text;
    *out = (struct learned_answer){.by = l->by_first};
    enum result r = artifacts_joined(ctx, &text);
    *has_text = text.len > 0;
    if (r || !text.len)
        return r;
    struct learned_memo *m = memo(ctx, l);
    if (!m)
        return RESULT_NOMEM;
    if (info->first && !m->first) {
        r = seen_text(ctx, l, text, &text);
        if (r)
            return r;
        m->first = true;
        head_first(l->head, a->scratch->heads, text, m->logits, m->p);
        m->second = !l->fits || head_enough(l->head, m->p);
    }
    out->p = m->p;
    if (!m->second) {
        const float *vector;
        r = artifacts_vector(ctx, &vector);
        if (r == RESULT_AGAIN)
            return r;
        if (r && !info->first)
            return r;
        m->second = true;
        if (!r) {
            head_second(l->head, a->scratch->heads, vector, m->logits, m->p);
            m->by_second = true;
        }
    }
    if (!info->first && !l->fits)
        return RESULT_NOT_FOUND;
    out->second = m->by_second;
    out->by = m->by_second ? l->by_second : l->by_first;
    return RESULT_OK;
}

// A piece of a view, and what the first tier says of it.
struct piece {
    struct slice text;
    uint32_t view, begin;
    float worst;
    bool sure;
};

struct reading {
    struct piece *pieces;
    uint32_t count, next; // next: the first that is not read yet
    struct slice *unsure; // texts that the encoder is asked about
    uint32_t *unsure_piece;
    uint32_t unsure_count;
    float *room;    // [2 * labels]
    const float *p; // of the worst piece
    uint32_t worst_piece;
    float worst;
};

static uint32_t cut(const struct text_views *views, struct piece *out)
{
    uint32_t n = 0;
    for (uint32_t v = 0; v < views->count; v++) {
        struct slice s = views->at[v].text;
        for (size_t at = 0; at < s.len;) {
            size_t end =
                boundary(s, at + LEARNED_PIECE_BYTES < s.len ? at + LEARNED_PIECE_BYTES : s.len);
            if (out)
                out[n] =
                    (struct piece){slice_make(s.ptr + at, end - at), v, (uint32_t)at, 0, false};
            n++;
            if (end == s.len)
                break;
            at = boundary(s, end - LEARNED_PIECE_BYTES / 8);
        }
    }
    return n;
}

static enum result open_reading(struct signal_context *ctx, const struct learned *l,
                                const struct text_views *views, struct reading *r)
{
    const struct head_info *info = head_info(l->head);
    r->count = cut(views, NULL);
    r->pieces = arena_alloc(ctx->arena, r->count * sizeof *r->pieces + 1);
    r->unsure = arena_alloc(ctx->arena, r->count * sizeof *r->unsure + 1);
    r->unsure_piece = arena_alloc(ctx->arena, r->count * sizeof *r->unsure_piece + 1);
    r->room = ARENA_ARRAY(ctx->arena, float,
                          2 * info->label_count); // zero: nothing but invisible text has no pieces
    if (!r->pieces || !r->unsure || !r->unsure_piece || !r->room)
        return RESULT_NOMEM;
    cut(views, r->pieces);
    r->p = r->room + info->label_count;
    r->worst = -1;
    return RESULT_OK;
}

// The first tier over all pieces; keeps the worst, lists those that it is not sure of. RESULT_AGAIN at the end of a slice.
static enum result read_first(struct signal_context *ctx, const struct learned *l, uint32_t worst,
                              struct reading *r)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct head_info *info = head_info(l->head);
    float *p = r->room, *best = r->room + info->label_count;
    for (; r->next < r->count; r->next++) {
        struct piece *k = &r->pieces[r->next];
        if (!artifacts_go_on(ctx, LEARNED_PIECE_BYTES / 4))
            return RESULT_AGAIN;
        if (info->first) {
            head_first(l->head, a->scratch->heads, k->text, NULL, p);
            k->worst = p[worst];
            k->sure = !l->fits || head_enough(l->head, p);
            if (k->worst > r->worst) {
                r->worst = k->worst;
                r->worst_piece = r->next;
                memcpy(best, p, info->label_count * sizeof *p);
            }
        }
        if (!k->sure) {
            r->unsure[r->unsure_count] = k->text;
            r->unsure_piece[r->unsure_count++] = r->next;
        }
    }
    return RESULT_OK;
}

// The encoder's word on the pieces that were not sure; replaces what the first tier said of those.
static enum result read_second(struct signal_context *ctx, const struct learned *l, uint32_t worst,
                               struct reading *r, const struct trunk_answer *t)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct head_info *info = head_info(l->head);
    float *p = arena_alloc(ctx->arena, 3 * info->label_count * sizeof *p);
    if (!p)
        return RESULT_NOMEM;
    float *logits = p + info->label_count, *best = logits + info->label_count;
    float top = -1;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->pieces[i].sure && r->pieces[i].worst > top) {
            top = r->pieces[i].worst;
            r->worst_piece = i;
        }
    if (top >= 0)
        head_first(l->head, a->scratch->heads, r->pieces[r->worst_piece].text, NULL, best);
    for (uint32_t w = 0; w < t->window_count; w++) {
        const struct trunk_window *window = &t->windows[w];
        const struct piece *k = &r->pieces[r->unsure_piece[window->text]];
        struct slice text = slice_make(k->text.ptr + window->begin, window->end - window->begin);
        if (info->stacked)
            head_first(l->head, a->scratch->heads, text, logits, p);
        head_second(l->head, a->scratch->heads, window->vector, info->stacked ? logits : NULL, p);
        if (p[worst] <= top)
            continue;
        top = p[worst];
        r->worst_piece = r->unsure_piece[window->text];
        memcpy(best, p, info->label_count * sizeof *p);
    }
    r->worst = top;
    r->p = best;
    return RESULT_OK;
}

enum result learned_worst(struct signal_context *ctx, const struct learned *l, uint32_t worst,
                          const struct text_views *views, struct learned_answer *out)
{
    struct signal_artifacts *a = ctx->artifacts;
    const struct head_info *info = head_info(l->head);
    struct reading *r = NULL;
    *out = (struct learned_answer){.by = l->by_first};
    if (!info->first && !l->fits)
        return RESULT_NOT_FOUND;
    // One reading per head and run: definitions that ask about other views are told apart by them.
    for (struct learned_reading *k = a->readings; k; k = k->next)
        if (k->head == l && k->views == views)
            r = k->reading;
    if (!r) {
        struct learned_reading *k = ARENA_NEW(ctx->arena, struct learned_reading);
        r = ARENA_NEW(ctx->arena, struct reading);
        if (!k || !r)
            return RESULT_NOMEM;
        enum result res = open_reading(ctx, l, views, r);
        if (res)
            return res;
        *k = (struct learned_reading){l, views, r, a->readings};
        a->readings = k;
    }
    if (read_first(ctx, l, worst, r))
        return RESULT_AGAIN;
    // One piece that is surely the worst settles it; what the others are does not matter.
    bool settled = r->unsure_count == 0 ||
                   (r->worst >= 0 && r->pieces[r->worst_piece].sure && r->worst > 0.5f);
    if (!settled) {
        const struct trunk_answer *t;
        enum result res =
            artifacts_ask(ctx, TRUNK_EMBED, TRUNK_WHOLE, r->unsure, r->unsure_count, &t);
        if (res == RESULT_AGAIN || (res && !info->first))
            return res;
        if (!res) {
            res = read_second(ctx, l, worst, r, t);
            if (res)
                return res;
            r->unsure_count = 0;
            out->second = true;
            out->by = l->by_second;
        }
    }
    out->p = r->p;
    if (r->count) {
        const struct piece *k = &r->pieces[r->worst_piece];
        const struct text_view *view = &views->at[k->view];
        out->piece =
            (struct evidence){view->message, view->part, k->begin, (uint32_t)k->text.len, 0};
        out->view = k->view;
        out->has_piece = true;
    }
    return RESULT_OK;
}
