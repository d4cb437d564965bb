#include "model/remembered.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/rng.h"

enum { NAME_BYTES = SHA256_BYTES + 1, ANY_READING = 255, ENTRIES_MAX = 1 << 20 };

struct entry {
    struct entry *newer, *older;
    size_t bytes;
    uint32_t windows, entities, tokens;
    uint8_t name[NAME_BYTES];
    // Behind it: windows, entities, vectors.
};

struct remembered {
    pthread_mutex_t lock;
    struct map map;
    struct entry *newest, *oldest;
    size_t cap, entry_cap;
    _Atomic size_t bytes;
};

struct remembered_key remembered_key(struct slice digest, struct slice text)
{
    struct remembered_key k;
    struct sha256 s;
    sha256_init(&s);
    // A NUL between them: no digest holds one.
    sha256_update(&s, digest.ptr, digest.len);
    sha256_update(&s, "", 1);
    sha256_update(&s, text.ptr, text.len);
    sha256_final(&s, k.bytes);
    return k;
}

enum result remembered_open(size_t cap_bytes, size_t entry_bytes, struct remembered **out)
{
    struct hash_key key;
    *out = NULL;
    enum result r = rng_secret(&key, sizeof key);
    struct remembered *m = r ? NULL : alloc_zeroed(1, sizeof *m);
    if (!m)
        return r ? r : RESULT_NOMEM;
    pthread_mutex_init(&m->lock, NULL);
    map_init(&m->map, key, ENTRIES_MAX);
    m->cap = cap_bytes;
    m->entry_cap = entry_bytes;
    *out = m;
    return RESULT_OK;
}

static void unlink_entry(struct remembered *m, struct entry *e)
{
    *(e->newer ? &e->newer->older : &m->newest) = e->older;
    *(e->older ? &e->older->newer : &m->oldest) = e->newer;
}

static void link_newest(struct remembered *m, struct entry *e)
{
    e->newer = NULL;
    e->older = m->newest;
    *(m->newest ? &m->newest->newer : &m->oldest) = e;
    m->newest = e;
}

static void drop(struct remembered *m, struct entry *e)
{
    unlink_entry(m, e);
    map_remove(&m->map, slice_make(e->name, NAME_BYTES));
    atomic_fetch_sub(&m->bytes, e->bytes);
    alloc_free(e);
}

void remembered_close(struct remembered *m)
{
    if (!m)
        return;
    while (m->oldest)
        drop(m, m->oldest);
    map_deinit(&m->map);
    pthread_mutex_destroy(&m->lock);
    alloc_free(m);
}

static bool enter(struct remembered *m, bool wait)
{
    return wait ? pthread_mutex_lock(&m->lock) == 0 : pthread_mutex_trylock(&m->lock) == 0;
}

static void name_of(const struct remembered_key *key, uint8_t reading, uint8_t name[NAME_BYTES])
{
    memcpy(name, key->bytes, SHA256_BYTES);
    name[SHA256_BYTES] = reading;
}

// The three arrays of an answer, one behind the other.
struct layout {
    size_t entities, vectors, all;
};

static struct layout layout_of(uint32_t windows, uint32_t entities, uint32_t dim)
{
    struct layout l;
    l.entities = windows * sizeof(struct trunk_window);
    l.vectors = l.entities + entities * sizeof(struct trunk_entity);
    l.all = l.vectors + (size_t)windows * dim * sizeof(float);
    return l;
}

static void point_at_vectors(char *block, const struct layout *l, uint32_t windows, uint32_t dim)
{
    struct trunk_window *w = (struct trunk_window *)(void *)block;
    for (uint32_t i = 0; i < windows; i++)
        w[i].vector = (const float *)(void *)(block + l->vectors) + (size_t)i * dim;
}

static enum result copy_out(const struct entry *e, uint32_t dim, struct arena *arena,
                            struct text_answer *out)
{
    struct layout l = layout_of(e->windows, e->entities, dim);
    char *block = arena_alloc(arena, l.all);
    if (!block)
        return RESULT_NOMEM;
    memcpy(block, e + 1, l.all);
    point_at_vectors(block, &l, e->windows, dim);
    *out = (struct text_answer){.windows = (struct trunk_window *)(void *)block,
                                .entities = (struct trunk_entity *)(void *)(block + l.entities),
                                .window_count = e->windows,
                                .entity_count = e->entities,
                                .tokens = e->tokens};
    return RESULT_OK;
}

enum result remembered_find(struct remembered *m, const struct remembered_key *key,
                            enum trunk_reading reading, uint32_t dim, bool wait,
                            struct arena *arena, struct text_answer *out)
{
    uint8_t name[NAME_BYTES];
    if (!m)
        return RESULT_NOT_FOUND;
    if (!enter(m, wait))
        return RESULT_AGAIN;
    name_of(key, ANY_READING, name);
    struct entry *e = map_get(&m->map, slice_make(name, NAME_BYTES));
    if (!e) {
        name[SHA256_BYTES] = (uint8_t)reading;
        e = map_get(&m->map, slice_make(name, NAME_BYTES));
    }
    enum result r = RESULT_NOT_FOUND;
    if (e) {
        unlink_entry(m, e);
        link_newest(m, e);
        r = copy_out(e, dim, arena, out);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static struct entry *entry_of(const struct remembered_key *key, uint8_t reading, uint32_t dim,
                              const struct text_answer *a, size_t most)
{
    struct layout l = layout_of(a->window_count, a->entity_count, dim);
    struct entry *e = sizeof *e + l.all <= most ? alloc_bytes(sizeof *e + l.all) : NULL;
    if (!e)
        return NULL;
    *e = (struct entry){.bytes = sizeof *e + l.all + sizeof(struct map_entry),
                        .windows = a->window_count,
                        .entities = a->entity_count,
                        .tokens = a->tokens};
    name_of(key, reading, e->name);
    char *block = (char *)(e + 1);
    if (a->window_count)
        memcpy(block, a->windows, l.entities);
    if (a->entity_count)
        memcpy(block + l.entities, a->entities, a->entity_count * sizeof *a->entities);
    for (uint32_t i = 0; i < a->window_count && dim; i++)
        memcpy(block + l.vectors + (size_t)i * dim * sizeof(float), a->windows[i].vector,
               dim * sizeof(float));
    return e;
}

void remembered_keep(struct remembered *m, const struct remembered_key *key,
                     enum trunk_reading reading, bool whole, uint32_t dim, bool wait,
                     const struct text_answer *answer)
{
    struct entry *e =
        m ? entry_of(key, whole ? ANY_READING : (uint8_t)reading, dim, answer, m->entry_cap) : NULL;
    if (!e || e->bytes > m->cap || !enter(m, wait)) {
        alloc_free(e);
        return;
    }
    struct slice name = slice_make(e->name, NAME_BYTES);
    // Two threads may have read the same text at the same time; the bits are the same.
    if (map_get(&m->map, name)) {
        alloc_free(e);
    } else {
        while (m->oldest &&
               (atomic_load(&m->bytes) + e->bytes > m->cap || m->map.count == m->map.cap))
            drop(m, m->oldest);
        if (map_put(&m->map, name, e)) {
            alloc_free(e);
        } else {
            link_newest(m, e);
            atomic_fetch_add(&m->bytes, e->bytes);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

size_t remembered_bytes(struct remembered *m)
{
    return m ? atomic_load(&m->bytes) : 0;
}
