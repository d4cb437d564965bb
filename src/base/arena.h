// An arena: memory that is taken piece by piece and given back all at once.
//
// A request, a policy image or a tree each live in one. Chunks come from `alloc_bytes`; the first chunk is kept on
// reset, so that a reused arena allocates nothing in the steady state. Not thread-safe: one owner at a time.
#ifndef MERIT_BASE_ARENA_H
#define MERIT_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head; // newest chunk; the list ends with the first one
    char *at, *end;           // the free part of the newest chunk
    size_t used;              // bytes of chunks held, for the cap
    size_t cap;               // most bytes of chunks; reaching it makes arena_alloc return NULL
    size_t first_size;        // of the first chunk
};

// Holds nothing until the first allocation. `first_size` 0 means 4,096.
void arena_init(struct arena *a, size_t first_size, size_t cap);
// Gives everything back.
void arena_deinit(struct arena *a);
// Forgets all allocations; keeps the first chunk when it has the usual size.
void arena_reset(struct arena *a);

MERIT_COLD void *arena_alloc_slow(struct arena *a, size_t size, size_t align) MERIT_NODISCARD;

// Aligned to `align` (a power of two up to 64). NULL at the cap or when there is no memory.
static inline void *arena_alloc_aligned(struct arena *a, size_t size, size_t align)
{
    uintptr_t p = ((uintptr_t)a->at + (align - 1)) & ~(uintptr_t)(align - 1);
    if (MERIT_LIKELY(a->at && p <= (uintptr_t)a->end && size <= (uintptr_t)a->end - p)) {
        a->at = (char *)(p + size);
        return (void *)p;
    }
    return arena_alloc_slow(a, size, align);
}

// Uninitialised bytes, aligned for any object.
static inline void *arena_alloc(struct arena *a, size_t size)
{
    return arena_alloc_aligned(a, size, 16);
}

// Makes the newest allocation, `old` bytes at `p`, `size` bytes long where it stands. False, and nothing changes, when
// something was allocated behind it or the chunk has no room.
static inline bool arena_resize_last(struct arena *a, void *p, size_t old, size_t size)
{
    if ((char *)p + old != a->at || size > (size_t)(a->end - (char *)p))
        return false;
    a->at = (char *)p + size;
    return true;
}

// Zeroed room for `count` objects of `size`; NULL also when the product overflows.
void *arena_zeroed(struct arena *a, size_t count, size_t size) MERIT_NODISCARD;
#define ARENA_NEW(a, type) ((type *)arena_zeroed((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zeroed((a), (n), sizeof(type)))

// A copy with a NUL behind it; ptr NULL when there is no memory.
struct slice arena_copy(struct arena *a, struct slice s) MERIT_NODISCARD;
char *arena_cstr(struct arena *a, struct slice s) MERIT_NODISCARD;
// printf into the arena, NUL-terminated; ptr NULL when there is no memory.
MERIT_COLD struct slice arena_printf(struct arena *a, const char *fmt, ...) MERIT_PRINTF(2, 3);

#endif
