#include "model/reader.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"

struct reader {
    const struct reader_model *model;
    struct tokenizer_scratch *tokens;
    struct encoder_scratch *passes;
    uint32_t *ids;    // of one batch
    float *logits;    // [READER_BATCH_TOK][labels], token classifiers only
    uint8_t *kind_of; // of each label: index of its kind, NO_KIND for O
};

enum { NO_KIND = 255, KINDS_MAX = 64, WINDOWS_MAX = READER_TOKENS_MAX / 64, BATCH_MAX = 32 };

// Without "B-" or "I-"; empty for "O".
static struct slice kind_name(struct slice label)
{
    if (label.len > 2 && label.ptr[1] == '-' && (label.ptr[0] == 'B' || label.ptr[0] == 'I'))
        return slice_from(label, 2);
    return label.len == 1 && label.ptr[0] == 'O' ? SLICE_EMPTY : label;
}

static uint32_t kind_index(struct slice *kinds, uint32_t *count, uint32_t room, struct slice name)
{
    for (uint32_t i = 0; i < *count; i++)
        if (slice_eq(kinds[i], name))
            return i;
    if (*count == room)
        return NO_KIND;
    kinds[*count] = name;
    return (*count)++;
}

uint32_t reader_kinds(const struct reader_model *m, struct slice *kinds, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->label_count; i++) {
        struct slice name = kind_name(m->labels[i]);
        if (name.len)
            kind_index(kinds, &count, room, name);
    }
    return count;
}

static bool classifies(const struct reader_model *m)
{
    return encoder_config(m->encoder)->task == ENCODER_TOKENS;
}

uint32_t reader_window(const struct reader_model *m)
{
    uint32_t n = m->length_tok ? m->length_tok : encoder_config(m->encoder)->positions;
    return n < READER_WINDOW_TOK ? n : READER_WINDOW_TOK;
}

enum result reader_open(const struct reader_model *m, struct reader **out)
{
    struct reader *r = alloc_zeroed(1, sizeof *r);
    if (!r)
        return RESULT_NOMEM;
    r->model = m;
    uint32_t labels = encoder_config(m->encoder)->labels;
    enum result res = tokenizer_scratch_open(m->tokenizer, &r->tokens);
    if (!res)
        res = encoder_scratch_open(m->encoder, READER_BATCH_TOK, &r->passes);
    r->ids = alloc_bytes(READER_BATCH_TOK * sizeof *r->ids);
    if (!r->ids)
        res = RESULT_NOMEM;
    if (!res && classifies(m)) {
        struct slice kinds[KINDS_MAX];
        uint32_t count = 0;
        r->logits = alloc_bytes((size_t)READER_BATCH_TOK * labels * sizeof *r->logits);
        r->kind_of = alloc_bytes(labels);
        if (!r->logits || !r->kind_of)
            res = RESULT_NOMEM;
        for (uint32_t i = 0; !res && i < labels; i++) {
            struct slice name = i < m->label_count ? kind_name(m->labels[i]) : SLICE_EMPTY;
            r->kind_of[i] =
                name.len ? (uint8_t)kind_index(kinds, &count, KINDS_MAX, name) : NO_KIND;
        }
    }
    if (res)
        reader_close(r);
    else
        *out = r;
    return res;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    tokenizer_scratch_close(r->tokens);
    encoder_scratch_close(r->passes);
    alloc_free(r->ids);
    alloc_free(r->logits);
    alloc_free(r->kind_of);
    alloc_free(r);
}

// A run of a text's own tokens that goes through the encoder together.
struct window {
    uint32_t text, first, count;
};

struct job {
    struct reader *r;
    struct trunk_ask *ask;
    struct arena *arena;
    const atomic_bool *stop;
    const struct token **tokens; // per text
    uint32_t *counts;
    struct window *windows;
    uint32_t window_count, room;
    const struct token *before, *behind;
    uint32_t before_count, behind_count;
    uint32_t *text_tok;
    // A token classifier's word on each token of each text: its kind and how likely.
    uint8_t **kinds;
    float **sure;
};

static enum result add_window(struct job *j, uint32_t text, uint32_t first, uint32_t count)
{
    if (j->window_count == j->room) {
        uint32_t room = j->room ? j->room * 2 : 8;
        struct window *at = arena_alloc(j->arena, room * sizeof *at);
        if (!at)
            return RESULT_NOMEM;
        if (j->window_count)
            memcpy(at, j->windows, j->window_count * sizeof *at);
        j->windows = at;
        j->room = room;
    }
    j->windows[j->window_count++] = (struct window){text, first, count};
    return RESULT_OK;
}

static enum result cut(struct job *j, uint32_t text, uint32_t count, uint32_t most)
{
    if (count <= most)
        return count ? add_window(j, text, 0, count) : RESULT_OK;
    enum result r = RESULT_OK;
    if (j->ask->reading == TRUNK_TOPIC) {
        uint32_t half = most / 2;
        r = add_window(j, text, 0, half);
        if (!r)
            r = add_window(j, text, (count - half) / 2, half);
        return r ? r : add_window(j, text, count - half, half);
    }
    for (uint32_t at = 0; !r; at += most - READER_OVERLAP_TOK) {
        // The last window is a full one, too: it begins earlier.
        uint32_t first = at + most < count ? at : count - most;
        r = add_window(j, text, first, most);
        if (first + most == count)
            break;
    }
    return r;
}

// The tokens of bytes [begin, end) of a text, behind those that are there.
static enum result take_tokens(struct job *j, uint32_t text, size_t begin, size_t end)
{
    const struct tokenizer_options bare = {.bare = true};
    const struct token *tokens;
    uint32_t count, had = j->counts[text];
    struct slice part = slice_make(j->ask->texts[text].ptr + begin, end - begin);
    enum result r = tokenizer_encode(j->r->model->tokenizer, j->r->tokens, part, SLICE_EMPTY, &bare,
                                     &tokens, &count);
    if (r)
        return r;
    struct token *kept = arena_alloc(j->arena, (had + count) * sizeof *kept + 1);
    if (!kept)
        return RESULT_NOMEM;
    if (had)
        memcpy(kept, j->tokens[text], had * sizeof *kept);
    memcpy(kept + had, tokens, count * sizeof *kept);
    for (uint32_t i = had; i < had + count; i++) {
        kept[i].begin += (uint32_t)begin;
        kept[i].end += (uint32_t)begin;
    }
    j->tokens[text] = kept;
    j->counts[text] = had + count;
    return RESULT_OK;
}

// Of a very long text only the neighbourhoods of its three windows are looked at, so that its topic costs no more than that
// of a long one.
static enum result cut_parts(struct job *j, uint32_t text, uint32_t half)
{
    struct slice t = j->ask->texts[text];
    enum result r = RESULT_OK;
    for (int part = 0; !r && part < 3; part++) {
        size_t begin = part == 0   ? 0
                       : part == 1 ? (t.len - READER_TOPIC_PART) / 2
                                   : t.len - READER_TOPIC_PART;
        size_t end = begin + READER_TOPIC_PART;
        // Not inside a character.
        for (int i = 0; i < 3 && begin && ((unsigned char)t.ptr[begin] & 0xc0) == 0x80; i++)
            begin++;
        for (int i = 0; i < 3 && end < t.len && ((unsigned char)t.ptr[end] & 0xc0) == 0x80; i++)
            end++;
        uint32_t had = j->counts[text];
        r = take_tokens(j, text, begin, end);
        uint32_t n = j->counts[text] - had, take = n < half ? n : half;
        uint32_t skip = part == 0 ? 0 : part == 1 ? (n - take) / 2 : n - take;
        if (!r && take)
            r = add_window(j, text, had + skip, take);
    }
    return r;
}

static enum result tokenise(struct job *j)
{
    const struct reader_model *m = j->r->model;
    struct trunk_ask *ask = j->ask;
    tokenizer_frame(m->tokenizer, &j->before, &j->before_count, &j->behind, &j->behind_count);
    uint32_t frame = j->before_count + j->behind_count, window = reader_window(m);
    if (window <= frame + READER_OVERLAP_TOK)
        return RESULT_UNSUPPORTED;
    j->tokens = ARENA_ARRAY(j->arena, const struct token *, ask->count + 1);
    j->counts = ARENA_ARRAY(j->arena, uint32_t, ask->count + 1);
    j->text_tok = ARENA_ARRAY(j->arena, uint32_t, ask->count + 1);
    if (!j->tokens || !j->counts || !j->text_tok)
        return RESULT_NOMEM;
    uint32_t all = 0;
    enum result r = RESULT_OK;
    for (uint32_t i = 0; !r && i < ask->count; i++) {
        bool parts = ask->reading == TRUNK_TOPIC && ask->texts[i].len > READER_TOPIC_BYTES;
        r = parts ? cut_parts(j, i, (window - frame) / 2) : take_tokens(j, i, 0, ask->texts[i].len);
        all += j->counts[i];
        if (!r && all > READER_TOKENS_MAX)
            r = RESULT_LIMIT;
        if (!r && !parts)
            r = cut(j, i, j->counts[i], window - frame);
    }
    return r;
}

// Room for what a token classifier says.
static enum result open_kinds(struct job *j)
{
    j->kinds = ARENA_ARRAY(j->arena, uint8_t *, j->ask->count + 1);
    j->sure = ARENA_ARRAY(j->arena, float *, j->ask->count + 1);
    if (!j->kinds || !j->sure)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < j->ask->count; i++) {
        j->kinds[i] = arena_alloc(j->arena, j->counts[i] + 1);
        j->sure[i] = ARENA_ARRAY(j->arena, float, j->counts[i] + 1);
        if (!j->kinds[i] || !j->sure[i])
            return RESULT_NOMEM;
        memset(j->kinds[i], NO_KIND, j->counts[i]);
    }
    return RESULT_OK;
}

// What one window says of its tokens; in an overlap the half nearer to the window's middle is believed.
static void take_kinds(struct job *j, uint32_t index, const float *logits)
{
    const struct window *w = &j->windows[index];
    const struct window *last = index ? w - 1 : NULL,
                        *next = index + 1 < j->window_count ? w + 1 : NULL;
    uint32_t labels = encoder_config(j->r->model->encoder)->labels;
    uint32_t from = 0, to = w->count;
    if (last && last->text == w->text && last->first + last->count > w->first)
        from = (last->first + last->count - w->first) / 2;
    if (next && next->text == w->text && w->first + w->count > next->first)
        to = w->count - (w->first + w->count - next->first + 1) / 2;
    for (uint32_t t = from; t < to; t++) {
        const float *row = logits + (size_t)(j->before_count + t) * labels;
        uint32_t best = 0;
        double sum = 0;
        for (uint32_t i = 1; i < labels; i++)
            if (row[i] > row[best])
                best = i;
        for (uint32_t i = 0; i < labels; i++)
            sum += exp((double)row[i] - (double)row[best]);
        j->kinds[w->text][w->first + t] = j->r->kind_of[best];
        j->sure[w->text][w->first + t] = (float)(1 / sum);
    }
}

// One pass over the windows [from, to).
static enum result pass(struct job *j, uint32_t from, uint32_t to, struct trunk_window *out)
{
    struct reader *r = j->r;
    const struct encoder_config *c = encoder_config(r->model->encoder);
    struct encoder_sequence sequences[BATCH_MAX];
    struct encoder_output outputs[BATCH_MAX];
    uint32_t at = 0, n = to - from;
    for (uint32_t i = 0; i < n; i++) {
        const struct window *w = &j->windows[from + i];
        const struct token *t = j->tokens[w->text] + w->first;
        sequences[i] = (struct encoder_sequence){r->ids + at, NULL,
                                                 j->before_count + w->count + j->behind_count};
        outputs[i] = (struct encoder_output){0};
        if (classifies(r->model)) {
            outputs[i].logits = r->logits + (size_t)at * c->labels;
        } else {
            float *v = arena_alloc(j->arena, c->hidden * sizeof *v);
            if (!v)
                return RESULT_NOMEM;
            outputs[i].embedding = v;
            out[from + i] = (struct trunk_window){w->text, t[0].begin, t[w->count - 1].end, v};
        }
        for (uint32_t k = 0; k < j->before_count; k++)
            r->ids[at++] = j->before[k].id;
        for (uint32_t k = 0; k < w->count; k++)
            r->ids[at++] = t[k].id;
        for (uint32_t k = 0; k < j->behind_count; k++)
            r->ids[at++] = j->behind[k].id;
        j->text_tok[w->text] += sequences[i].count;
    }
    enum result res = encoder_run(r->model->encoder, r->passes, sequences, n, outputs, j->stop);
    for (uint32_t i = 0; !res && i < n && classifies(r->model); i++)
        take_kinds(j, from + i, outputs[i].logits);
    j->ask->answer.tokens += at;
    return res;
}

static enum result add_entity(struct job *j, uint32_t *room, struct trunk_entity *e,
                              struct trunk_entity **list)
{
    struct trunk_answer *a = &j->ask->answer;
    if (a->entity_count == *room) {
        uint32_t more = *room ? *room * 2 : 8;
        struct trunk_entity *at = arena_alloc(j->arena, more * sizeof *at);
        if (!at)
            return RESULT_NOMEM;
        if (a->entity_count)
            memcpy(at, *list, a->entity_count * sizeof *at);
        *list = at;
        *room = more;
    }
    (*list)[a->entity_count++] = *e;
    return RESULT_OK;
}

// Runs of neighbouring tokens of one kind, each sure by at least one half.
static enum result entities(struct job *j)
{
    struct trunk_entity *list = NULL;
    uint32_t room = 0;
    for (uint32_t i = 0; i < j->ask->count; i++) {
        const struct token *t = j->tokens[i];
        for (uint32_t at = 0; at < j->counts[i];) {
            uint8_t kind = j->kinds[i][at];
            if (kind == NO_KIND || j->sure[i][at] < 0.5f) {
                at++;
                continue;
            }
            uint32_t first = at;
            double sum = 0;
            for (; at < j->counts[i] && j->kinds[i][at] == kind && j->sure[i][at] >= 0.5f; at++)
                sum += (double)j->sure[i][at];
            struct trunk_entity e = {i, t[first].begin, t[at - 1].end, kind,
                                     (float)(sum / (at - first))};
            enum result r = add_entity(j, &room, &e, &list);
            if (r)
                return r;
        }
    }
    j->ask->answer.entities = list;
    return RESULT_OK;
}

static enum result answer(struct job *j)
{
    enum result r = tokenise(j);
    if (!r && classifies(j->r->model))
        r = open_kinds(j);
    if (r)
        return r;
    struct trunk_window *out = ARENA_ARRAY(j->arena, struct trunk_window, j->window_count + 1);
    if (!out)
        return RESULT_NOMEM;
    uint32_t frame = j->before_count + j->behind_count;
    for (uint32_t from = 0, to; !r && from < j->window_count; from = to) {
        uint32_t tok = 0;
        for (to = from; to < j->window_count && to - from < BATCH_MAX; to++) {
            tok += j->windows[to].count + frame;
            if (tok > READER_BATCH_TOK)
                break;
        }
        r = pass(j, from, to, out);
    }
    if (r)
        return r;
    j->ask->answer.text_tok = j->text_tok;
    if (classifies(j->r->model))
        return entities(j);
    j->ask->answer.windows = out;
    j->ask->answer.window_count = j->window_count;
    return RESULT_OK;
}

void reader_answer(struct reader *r, struct trunk_ask *ask, struct arena *arena,
                   const atomic_bool *stop)
{
    struct job j = {.r = r, .ask = ask, .arena = arena, .stop = stop};
    uint64_t begin = clock_thread_ns();
    ask->answer = (struct trunk_answer){0};
    enum result res = answer(&j);
    ask->answer.result = res;
    uint64_t us = (clock_thread_ns() - begin) / 1000;
    ask->answer.cost_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    if (res)
        ask->answer.window_count = ask->answer.entity_count = 0;
}
