#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

// Counting costs an atomic add, so it is off until a test first asks.
static atomic_int counting;
static atomic_uint_fast64_t count;
static uint64_t fail_at;
static int fail_forever;

static int must_fail(void)
{
    if (MERIT_LIKELY(!atomic_load_explicit(&counting, memory_order_relaxed)))
        return 0;
    uint64_t n = atomic_fetch_add(&count, 1) + 1;
    return fail_at && (n == fail_at || (fail_forever && n > fail_at));
}

void *alloc_bytes(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *alloc_zeroed(size_t n, size_t size)
{
    return must_fail() ? NULL : calloc(n ? n : 1, size ? size : 1);
}

void *alloc_resize(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size ? size : 1);
}

void alloc_free(void *ptr)
{
    free(ptr);
}

void alloc_fail_at(uint64_t n, int forever)
{
    atomic_store(&counting, 1);
    fail_at = n ? atomic_load(&count) + n : 0;
    fail_forever = forever;
}

uint64_t alloc_count(void)
{
    atomic_store(&counting, 1);
    return atomic_load(&count);
}
