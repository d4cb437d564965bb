#include "pool/discovery.h"

#include <stdio.h>
#include <string.h>

// --- lists

static bool next_word(struct slice *line, struct slice *word)
{
    *line = slice_trim(*line);
    size_t n = 0;
    while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t')
        n++;
    *word = slice_head(*line, n);
    *line = slice_from(*line, n);
    return n > 0;
}

// A number above 0 in thousandths, as "2" or "0.25".
static bool milli_of(struct slice s, uint32_t *out)
{
    struct slice whole = s, part = SLICE_EMPTY;
    uint64_t w = 0, f = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            whole = slice_head(s, i);
            part = slice_from(s, i + 1);
            break;
        }
    }
    if (!slice_u64(whole, &w) || w > 1000000 || part.len > 3 || (part.len && !slice_u64(part, &f)))
        return false;
    for (size_t i = part.len; i < 3; i++)
        f *= 10;
    *out = (uint32_t)(w * 1000 + f);
    return *out > 0;
}

static bool count_of(struct slice s, uint32_t *out)
{
    uint64_t n;
    if (!slice_u64(s, &n) || n < 1 || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

// NULL: it is fine.
static const char *parse_line(struct slice line, struct discovery_place *out)
{
    struct slice word, value;
    struct http_url url;
    next_word(&line, &out->url);
    if (out->url.len > POOL_URL_MAX || http_url_parse(out->url, &url))
        return "is no URL; write http://host:port/v1";
    while (next_word(&line, &word)) {
        bool ok;
        if (!next_word(&line, &value))
            return "has an attribute without a value";
        if (slice_eq(word, SLICE("weight")))
            ok = milli_of(value, &out->weight_milli);
        else if (slice_eq(word, SLICE("slots")))
            ok = count_of(value, &out->slots);
        else if (slice_eq(word, SLICE("rate")))
            ok = count_of(value, &out->rate_min);
        else if (slice_eq(word, SLICE("tokens")))
            ok = count_of(value, &out->rate_tok_min);
        else
            return "has an attribute that is none of weight, slots, rate, tokens";
        if (!ok)
            return "has a value that is no number above 0";
    }
    return NULL;
}

enum result discovery_parse(struct slice text, struct discovery_list *out,
                            char diag[POOL_DIAG_BYTES])
{
    struct slice line;
    out->count = 0;
    diag[0] = '\0';
    for (uint32_t n = 1; slice_split(&text, '\n', &line); n++) {
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        const char *comment = line.len ? memchr(line.ptr, '#', line.len) : NULL;
        if (comment)
            line = slice_head(line, (size_t)(comment - line.ptr));
        line = slice_trim(line);
        if (!line.len)
            continue;
        if (out->count == POOL_PLACES_PER_MODEL_MAX) {
            snprintf(diag, POOL_DIAG_BYTES, "line %u: a model has at most %d places", n,
                     POOL_PLACES_PER_MODEL_MAX);
            return RESULT_LIMIT;
        }
        struct discovery_place *p = &out->places[out->count];
        *p = (struct discovery_place){.line = n};
        const char *bad = parse_line(line, p);
        if (bad) {
            size_t shown = line.len < 80 ? line.len : 80;
            snprintf(diag, POOL_DIAG_BYTES, "line %u: \"%.*s\" %s", n, (int)shown, line.ptr, bad);
            return RESULT_SYNTAX;
        }
        for (uint32_t i = 0; i < out->count; i++) {
            if (slice_eq(out->places[i].url, p->url)) {
                snprintf(diag, POOL_DIAG_BYTES, "line %u: the place of line %u once more", n,
                         out->places[i].line);
                return RESULT_DUPLICATE;
            }
        }
        out->count++;
    }
    if (out->count)
        return RESULT_OK;
    snprintf(diag, POOL_DIAG_BYTES, "it lists no place");
    return RESULT_NOT_FOUND;
}

// --- places

void discovery_leave(struct pool *p, uint32_t slot, bool held)
{
    p->slots[slot].leaving = true;
    p->slots[slot].held |= held;
    pool_set_mode(p, slot, POOL_SLOT_DRAINING);
}

void discovery_sweep(struct pool *p, uint64_t now_ms)
{
    for (uint32_t i = 0; i < p->slot_room; i++) {
        struct pool_slot *s = &p->slots[i];
        const struct pool_site *site = pool_site(p, (int32_t)i);
        if (!s->leaving || !site ||
            atomic_load_explicit(&site->place->in_flight, memory_order_relaxed))
            continue;
        s->leaving = false;
        pool_remove(p, i, now_ms);
    }
}

static bool listed(const struct discovery_list *list, struct slice url)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (slice_eq(list->places[i].url, url))
            return true;
    }
    return false;
}

int32_t discovery_held(const struct pool *p, int32_t model, struct slice url)
{
    const struct pool_model *m = &p->models[model];
    uint32_t used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    for (uint32_t i = m->slot_first; i < m->slot_first + used; i++) {
        if (p->slots[i].held && slice_eq(pool_site(p, (int32_t)i)->url, url))
            return (int32_t)i;
    }
    return -1;
}

void discovery_return(struct pool *p, uint32_t slot)
{
    struct pool_site *s = atomic_load_explicit(&p->slots[slot].site, memory_order_relaxed);
    s->retired_ms = 0;
    p->slots[slot].held = p->slots[slot].leaving = false;
    pool_set_mode(p, slot, POOL_SLOT_SERVES);
}

void discovery_apply(struct pool *p, int32_t endpoint, const struct discovery_list *list,
                     uint64_t now_ms, struct discovery_change *out)
{
    const struct pool_endpoint *e = &p->endpoints[endpoint];
    const struct pool_model *m = &p->models[e->model];
    *out = (struct discovery_change){.why = RESULT_OK};
    for (uint32_t i = 0; i < list->count; i++) {
        const struct discovery_place *d = &list->places[i];
        if (discovery_held(p, e->model, d->url) >= 0)
            continue;
        int32_t there = pool_find(p, e->model, d->url);
        // Somebody added it by hand, or another endpoint has it: it is theirs.
        if (there >= 0 && (pool_site(p, there)->source == POOL_FROM_ADMIN ||
                           pool_site(p, there)->endpoint != endpoint))
            continue;
        struct pool_add add = {.endpoint = endpoint,
                               .source = POOL_FROM_DISCOVERY,
                               .url = d->url,
                               .connect = d->connect,
                               .weight_milli = d->weight_milli,
                               .slots = d->slots,
                               .rate_min = d->rate_min,
                               .rate_tok_min = d->rate_tok_min,
                               .rank = d->rank,
                               .port = d->port};
        uint32_t slot;
        enum result r = pool_add(p, &add, now_ms, &slot);
        if (r) {
            out->refused++;
            out->why = r;
            out->refused_url = d->url;
            continue;
        }
        out->added += there < 0;
        if (p->slots[slot].leaving || (there < 0 && e->def->maintenance)) {
            p->slots[slot].leaving = false;
            pool_set_mode(p, slot, e->def->maintenance ? POOL_SLOT_DRAINING : POOL_SLOT_SERVES);
        }
    }
    uint32_t used = atomic_load_explicit(&m->slot_count, memory_order_relaxed);
    for (uint32_t i = m->slot_first; i < m->slot_first + used; i++) {
        const struct pool_site *s = pool_site(p, (int32_t)i);
        bool gone = atomic_load_explicit(&p->slots[i].mode, memory_order_relaxed) == POOL_SLOT_GONE;
        if (s->endpoint != endpoint || s->source == POOL_FROM_ADMIN || gone ||
            p->slots[i].leaving || listed(list, s->url))
            continue;
        discovery_leave(p, i, false);
        out->drained++;
    }
}
