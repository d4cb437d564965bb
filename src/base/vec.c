#include "base/vec.h"

#include "base/alloc.h"

bool vec_grow(void **at, size_t len, size_t *room, size_t cap, size_t size)
{
    if (len >= cap)
        return false;
    size_t want = *room ? *room * 2 : 8;
    if (want > cap)
        want = cap;
    size_t bytes;
    if (__builtin_mul_overflow(want, size, &bytes))
        return false;
    void *p = alloc_resize(*at, bytes);
    if (!p)
        return false;
    *at = p;
    *room = want;
    return true;
}
