#include "model/asking.h"

#include <string.h>

// One text of one ask.
struct item {
    struct trunk_ask *ask;
    uint32_t index;
    struct item *same; // an earlier one of this text
    bool found;        // in memory
    bool read;         // by this round's pass
    struct remembered_key key;
    struct text_answer answer;
};

struct round {
    const struct asking *a;
    const struct compute_model *model;
    enum trunk_reading reading;
    struct arena *arena;
    struct item *items;
    uint32_t count;
    struct trunk_ask pass; // of the texts that nobody remembers
};

static bool open_ask(const struct trunk_ask *q, uint32_t model, int reading)
{
    return !q->answered && q->model == model && (int)q->reading == reading;
}

static enum result list_items(struct round *r, struct trunk_ask *asks)
{
    uint32_t room = 0;
    for (struct trunk_ask *q = asks; q; q = q->next)
        if (open_ask(q, r->pass.model, r->reading))
            room += q->count;
    r->items = ARENA_ARRAY(r->arena, struct item, room + 1);
    if (!r->items)
        return RESULT_NOMEM;
    for (struct trunk_ask *q = asks; q; q = q->next)
        for (uint32_t i = 0; open_ask(q, r->pass.model, r->reading) && i < q->count; i++)
            r->items[r->count++] = (struct item){
                .ask = q, .index = i, .key = remembered_key(r->model->digest, q->texts[i])};
    return RESULT_OK;
}

static struct item *earlier(const struct round *r, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (memcmp(&r->items[i].key, &r->items[at].key, sizeof r->items[at].key) == 0)
            return r->items[i].same ? r->items[i].same : &r->items[i];
    return NULL;
}

// What is remembered, and the list of what is not.
static enum result look_up(struct round *r)
{
    struct slice *texts = ARENA_ARRAY(r->arena, struct slice, r->count + 1);
    if (!texts)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < r->count; i++) {
        struct item *t = &r->items[i];
        if ((t->same = earlier(r, i)))
            continue;
        enum result res = remembered_find(r->a->memory, &t->key, r->reading, r->model->dim,
                                          r->a->wait, r->arena, &t->answer);
        if (res == RESULT_NOMEM)
            return res;
        t->found = !res;
        if (t->found)
            continue;
        t->read = true;
        texts[r->pass.count++] = t->ask->texts[t->index];
    }
    r->pass.texts = texts;
    return RESULT_OK;
}

static enum result read_texts(struct round *r, const atomic_bool *stop)
{
    const struct compute_engine *engine = r->model->engine;
    void **reader = &r->a->readers[r->pass.model];
    if (!*reader) {
        enum result res = engine->open(r->model->model, reader);
        if (res)
            return res;
    }
    engine->answer(*reader, &r->pass, r->arena, stop);
    return r->pass.answer.result;
}

// Each text's share of the pass, kept for later; windows and entities stand in the order of the texts.
static void share(struct round *r)
{
    const struct trunk_answer *p = &r->pass.answer;
    uint32_t w = 0, e = 0, at = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        struct item *t = &r->items[i];
        if (!t->read)
            continue;
        uint32_t first_w = w, first_e = e;
        while (w < p->window_count && p->windows[w].text == at)
            w++;
        while (e < p->entity_count && p->entities[e].text == at)
            e++;
        t->answer = (struct text_answer){.windows = p->windows + first_w,
                                         .entities = p->entities + first_e,
                                         .window_count = w - first_w,
                                         .entity_count = e - first_e,
                                         .tokens = p->text_tok ? p->text_tok[at] : 0};
        at++;
        bool whole = t->answer.tokens <= r->model->window_tok;
        remembered_keep(r->a->memory, &t->key, r->reading, whole, r->model->dim, r->a->wait,
                        &t->answer);
    }
}

// The answer of one ask from those of its texts, which begin at `items`.
static enum result put_together(const struct round *r, struct item *items, struct trunk_ask *q)
{
    uint32_t windows = 0, entities = 0;
    struct trunk_answer *out = &q->answer;
    for (uint32_t i = 0; i < q->count; i++) {
        if (items[i].same)
            items[i].answer = items[i].same->answer;
        windows += items[i].answer.window_count;
        entities += items[i].answer.entity_count;
    }
    struct trunk_window *w = ARENA_ARRAY(r->arena, struct trunk_window, windows + 1);
    struct trunk_entity *e = ARENA_ARRAY(r->arena, struct trunk_entity, entities + 1);
    uint32_t *tok = ARENA_ARRAY(r->arena, uint32_t, q->count + 1);
    if (!w || !e || !tok)
        return RESULT_NOMEM;
    *out = (struct trunk_answer){.windows = w, .entities = e, .text_tok = tok, .remembered = true};
    for (uint32_t i = 0; i < q->count; i++) {
        const struct text_answer *t = &items[i].answer;
        for (uint32_t k = 0; k < t->window_count; k++) {
            w[out->window_count] = t->windows[k];
            w[out->window_count++].text = i;
        }
        for (uint32_t k = 0; k < t->entity_count; k++) {
            e[out->entity_count] = t->entities[k];
            e[out->entity_count++].text = i;
        }
        out->tokens += tok[i] = t->tokens;
        out->remembered &= !items[i].read && !(items[i].same && items[i].same->read);
    }
    return RESULT_OK;
}

static void fail_all(struct trunk_ask *asks, uint32_t model, int reading, enum result why)
{
    for (struct trunk_ask *q = asks; q; q = q->next)
        if (open_ask(q, model, reading)) {
            q->answered = true;
            q->answer = (struct trunk_answer){.result = why};
        }
}

static void count(const struct round *r, enum result res)
{
    struct asking_counts *c = r->a->counts;
    atomic_fetch_add_explicit(&c->asks, r->count, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->remembered, r->count - r->pass.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->tokens, r->pass.answer.tokens, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->cpu_us, r->pass.answer.cost_us, memory_order_relaxed);
    if (res)
        atomic_fetch_add_explicit(&c->failed, r->pass.count, memory_order_relaxed);
}

static void answer_round(struct round *r, struct trunk_ask *asks, const atomic_bool *stop)
{
    uint32_t model = r->pass.model;
    enum result res = list_items(r, asks);
    if (!res)
        res = look_up(r);
    if (!res && r->pass.count)
        res = read_texts(r, stop);
    count(r, res);
    if (!res && r->pass.count)
        share(r);
    uint32_t at = 0, cost_us = r->pass.answer.cost_us;
    for (struct trunk_ask *q = asks; q && !res; q = q->next) {
        if (!open_ask(q, model, r->reading))
            continue;
        res = put_together(r, r->items + at, q);
        if (res)
            break;
        at += q->count;
        // The first ask that needed the pass pays for all of it.
        if (!q->answer.remembered) {
            q->answer.cost_us = cost_us;
            cost_us = 0;
        }
        q->answered = true;
    }
    if (res)
        fail_all(asks, model, r->reading, res);
}

void asking_answer(const struct asking *a, struct trunk_ask *asks, struct arena *arena,
                   const atomic_bool *stop)
{
    for (uint32_t m = 0; m < TRUNK_MODELS; m++) {
        for (int reading = TRUNK_TOPIC; reading <= TRUNK_WHOLE; reading++) {
            bool wanted = false;
            for (struct trunk_ask *q = asks; q; q = q->next)
                wanted |= open_ask(q, m, reading);
            if (!wanted)
                continue;
            if (!a->models[m].engine) {
                fail_all(asks, m, reading, RESULT_NOT_FOUND);
                continue;
            }
            if (stop && atomic_load_explicit(stop, memory_order_relaxed)) {
                fail_all(asks, m, reading, RESULT_CANCELLED);
                continue;
            }
            struct round r = {
                .a = a,
                .model = &a->models[m],
                .reading = (enum trunk_reading)reading,
                .arena = arena,
                .pass = {.model = (enum trunk_model)m, .reading = (enum trunk_reading)reading}};
            answer_round(&r, asks, stop);
        }
    }
}

void asking_close(const struct compute_model *models, void **readers)
{
    for (uint32_t m = 0; m < TRUNK_MODELS; m++) {
        if (readers[m])
            models[m].engine->close(readers[m]);
        readers[m] = NULL;
    }
}
