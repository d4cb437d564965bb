#include "api/ring.h"

#include <string.h>

#include "base/alloc.h"

enum result ring_open(struct ring *r, uint32_t size, void (*release)(void *owner))
{
    *r = (struct ring){.size = size, .release = release};
    if (!size)
        return RESULT_OK;
    if (size > RING_SIZE_MAX)
        return RESULT_LIMIT;
    r->slots = alloc_zeroed(size, sizeof *r->slots);
    if (!r->slots) {
        r->size = 0;
        return RESULT_NOMEM;
    }
    for (uint32_t i = 0; i < size; i++) {
        buf_init(&r->slots[i].memory, RING_DECISION_MAX);
        buf_init(&r->slots[i].outcome, RING_OUTCOME_MAX);
    }
    return RESULT_OK;
}

void ring_close(struct ring *r)
{
    for (uint32_t i = 0; i < r->size; i++) {
        if (r->slots[i].owner)
            r->release(r->slots[i].owner);
        buf_deinit(&r->slots[i].memory);
        buf_deinit(&r->slots[i].outcome);
    }
    alloc_free(r->slots);
    *r = (struct ring){0};
}

// Copying takes two passes over the same walk: one that counts and one that copies, told apart by `to`.
struct copier {
    char *to; // NULL while counting
    size_t at;
};

static void *copy_bytes(struct copier *c, const void *from, size_t n, size_t align)
{
    c->at = (c->at + align - 1) & ~(align - 1);
    void *place = c->to ? c->to + c->at : NULL;
    if (place && n)
        memcpy(place, from, n);
    c->at += n;
    return place;
}

static struct slice copy_text(struct copier *c, struct slice s)
{
    return slice_make(copy_bytes(c, s.ptr, s.len, 1), s.len);
}

static void copy_facts(struct copier *c, struct fact *facts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct fact *f = &facts[i];
        if (f->state == FACT_UNKNOWN)
            continue;
        struct slice text = copy_text(c, f->text);
        struct slice *texts = NULL;
        if (f->text_count)
            texts = copy_bytes(c, f->texts, f->text_count * sizeof *f->texts, 8);
        for (uint32_t k = 0; k < f->text_count; k++) {
            struct slice t = copy_text(c, f->texts[k]);
            if (texts)
                texts[k] = t;
        }
        if (c->to) {
            f->text = text;
            f->texts = texts;
        }
    }
}

static void copy_decision(struct copier *c, struct decision *to, const struct decision *from)
{
    const struct policy_image *p = from->image;
    struct fact *facts = copy_bytes(c, from->facts, p->signals.count * sizeof *facts, 8);
    void *routes =
        copy_bytes(c, from->route_outcomes, p->routes.count * sizeof *from->route_outcomes, 8);
    void *models =
        copy_bytes(c, from->model_outcomes, p->models.count * sizeof *from->model_outcomes, 8);
    copy_facts(c, facts ? facts : from->facts, p->signals.count);
    struct slice message = copy_text(c, from->message);
    struct slice asked = copy_text(c, from->model_asked);
    if (!c->to)
        return;
    *to = *from;
    to->facts = facts;
    to->route_outcomes = routes;
    to->model_outcomes = models;
    to->message = message;
    to->model_asked = asked;
}

struct ring_slot *ring_put(struct ring *r, const struct decision *d, void *owner)
{
    if (!r->size)
        return NULL;
    struct ring_slot *s = &r->slots[r->next];
    struct copier c = {0};
    copy_decision(&c, &s->decision, d);
    buf_reset(&s->memory);
    buf_reset(&s->outcome);
    s->decision.id[0] = '\0';
    c = (struct copier){.to = buf_reserve(&s->memory, c.at)};
    if (!c.to)
        return NULL;
    copy_decision(&c, &s->decision, d);
    if (s->owner)
        r->release(s->owner);
    s->owner = owner;
    r->next = r->next + 1 == r->size ? 0 : r->next + 1;
    r->written++;
    return s;
}

struct ring_slot *ring_recent(struct ring *r, uint32_t n)
{
    if (n >= r->size || n >= r->written)
        return NULL;
    return &r->slots[(r->next + r->size - 1 - n) % r->size];
}

struct ring_slot *ring_find(struct ring *r, struct slice id)
{
    struct ring_slot *s;
    for (uint32_t n = 0; (s = ring_recent(r, n)); n++) {
        if (slice_eq(id, slice_cstr(s->decision.id)))
            return s;
    }
    return NULL;
}
