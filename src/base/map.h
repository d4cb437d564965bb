// A hash map from byte strings to pointers, seeded against chosen keys.
//
// Open addressing with linear probing, power-of-two size, at most 3/4 full. Keys are not copied: they must outlive
// their entry. Not thread-safe. Removal is by tombstone-free backward shift.
#ifndef MERIT_BASE_MAP_H
#define MERIT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "base/result.h"
#include "base/slice.h"

struct map_entry {
    struct slice key;
    void *value; // NULL marks a free place
    uint64_t hash;
};

struct map {
    struct map_entry *entries;
    size_t count, size;
    size_t cap; // most entries
    struct hash_key key;
};

// Allocates nothing yet. `key` comes from the process's rng where input is hostile; {0, 0} for reproducible tests.
void map_init(struct map *m, struct hash_key key, size_t cap);
void map_deinit(struct map *m);
// NULL when absent.
void *map_get(const struct map *m, struct slice key);
// Inserts or replaces; `value` must not be NULL. RESULT_LIMIT at the cap, RESULT_NOMEM.
enum result map_put(struct map *m, struct slice key, void *value);
// The value that was there, or NULL.
void *map_remove(struct map *m, struct slice key);
// The next entry from `*at` (begin with 0), or NULL; the order is arbitrary and the map must not change meanwhile.
const struct map_entry *map_next(const struct map *m, size_t *at);

#endif
