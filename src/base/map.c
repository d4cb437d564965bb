#include "base/map.h"

#include <assert.h>

#include "base/alloc.h"

enum { SIZE_FIRST = 16 };

void map_init(struct map *m, struct hash_key key, size_t cap)
{
    *m = (struct map){.key = key, .cap = cap};
}

void map_deinit(struct map *m)
{
    alloc_free(m->entries);
    map_init(m, m->key, m->cap);
}

// The place of the key, or the free place where it would go. The table has at least one free place.
static size_t find(const struct map *m, uint64_t hash, struct slice key)
{
    size_t i = hash & (m->size - 1);
    while (m->entries[i].value && (m->entries[i].hash != hash || !slice_eq(m->entries[i].key, key)))
        i = (i + 1) & (m->size - 1);
    return i;
}

void *map_get(const struct map *m, struct slice key)
{
    return m->count ? m->entries[find(m, hash_sip13(&m->key, key), key)].value : NULL;
}

static enum result grow(struct map *m)
{
    struct map old = *m;
    m->size = old.size ? old.size * 2 : SIZE_FIRST;
    m->entries = alloc_zeroed(m->size, sizeof *m->entries);
    if (!m->entries) {
        *m = old;
        return RESULT_NOMEM;
    }
    for (size_t i = 0; i < old.size; i++) {
        if (old.entries[i].value)
            m->entries[find(m, old.entries[i].hash, old.entries[i].key)] = old.entries[i];
    }
    alloc_free(old.entries);
    return RESULT_OK;
}

enum result map_put(struct map *m, struct slice key, void *value)
{
    assert(value);
    uint64_t hash = hash_sip13(&m->key, key);
    if (m->size) {
        size_t i = find(m, hash, key);
        if (m->entries[i].value) {
            m->entries[i].value = value;
            return RESULT_OK;
        }
    }
    if (m->count >= m->cap)
        return RESULT_LIMIT;
    if ((m->count + 1) * 4 > m->size * 3) {
        enum result r = grow(m);
        if (r)
            return r;
    }
    m->entries[find(m, hash, key)] = (struct map_entry){key, value, hash};
    m->count++;
    return RESULT_OK;
}

void *map_remove(struct map *m, struct slice key)
{
    if (!m->count)
        return NULL;
    size_t mask = m->size - 1;
    size_t hole = find(m, hash_sip13(&m->key, key), key);
    void *value = m->entries[hole].value;
    if (!value)
        return NULL;
    // Move back every later entry of the run whose home does not lie behind the hole.
    for (size_t i = (hole + 1) & mask; m->entries[i].value; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct map_entry){.value = NULL};
    m->count--;
    return value;
}

const struct map_entry *map_next(const struct map *m, size_t *at)
{
    while (*at < m->size) {
        const struct map_entry *e = &m->entries[(*at)++];
        if (e->value)
            return e;
    }
    return NULL;
}
