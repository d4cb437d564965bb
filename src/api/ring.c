#include "api/ring.h"

#include <string.h>

#include "base/alloc.h"

enum result ring_open(struct ring *r, uint32_t size, void (*release)(void *owner))
{
    *r = (struct ring){.release = release};
    if (!size)
        return RESULT_OK;
    if (size > RING_SIZE_MAX)
        return RESULT_LIMIT;
    r->size = size;
    r->slots = alloc_zeroed(size, sizeof *r->slots);
    if (!r->slots) {
        r->size = 0;
        return RESULT_NOMEM;
    }
    for (uint32_t i = 0; i < size; i++) {
        buf_init(&r->slots[i].record, RING_RECORD_MAX);
        buf_init(&r->slots[i].outcome, RING_OUTCOME_MAX);
    }
    return RESULT_OK;
}

void ring_close(struct ring *r)
{
    for (uint32_t i = 0; i < r->size; i++) {
        if (r->slots[i].owner)
            r->release(r->slots[i].owner);
        buf_deinit(&r->slots[i].record);
        buf_deinit(&r->slots[i].outcome);
    }
    alloc_free(r->slots);
    *r = (struct ring){0};
}

struct ring_slot *ring_put(struct ring *r, const struct decision *d, struct slice record,
                           void *owner)
{
    if (!r->size)
        return NULL;
    struct ring_slot *s = &r->slots[r->next];
    buf_reset(&s->record);
    buf_reset(&s->outcome);
    buf_add(&s->record, record);
    if (buf_result(&s->record)) {
        s->id[0] = '\0';
        return NULL;
    }
    memcpy(s->id, d->id, sizeof s->id);
    s->wall_us = d->wall_us;
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
        if (slice_eq(id, slice_cstr(s->id)))
            return s;
    }
    return NULL;
}
