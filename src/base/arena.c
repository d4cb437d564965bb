#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

enum { FIRST_SIZE_DEFAULT = 4096, CHUNK_MAX = 256 * 1024 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;              // of data
    _Alignas(16) char data[]; // as aligned as alloc_bytes gives
};

void arena_init(struct arena *a, size_t first_size, size_t cap)
{
    *a = (struct arena){.cap = cap, .first_size = first_size ? first_size : FIRST_SIZE_DEFAULT};
}

void arena_deinit(struct arena *a)
{
    struct arena_chunk *next;
    for (struct arena_chunk *c = a->head; c; c = next) {
        next = c->next;
        alloc_free(c);
    }
    arena_init(a, a->first_size, a->cap);
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *c = a->head, *next;
    if (!c)
        return;
    for (; c->next; c = next) {
        next = c->next;
        alloc_free(c);
    }
    if (c->size > a->first_size) {
        alloc_free(c);
        arena_init(a, a->first_size, a->cap);
        return;
    }
    a->head = c;
    a->at = c->data;
    a->end = c->data + c->size;
    a->used = c->size;
}

void *arena_alloc_slow(struct arena *a, size_t size, size_t align)
{
    (void)align;
    assert(align && align <= 64 && (align & (align - 1)) == 0);
    // A chunk begins at a multiple of 16: more than that needs room to move on to it.
    size_t slack = align > 16 ? align - 16 : 0, need = size + slack;
    if (need < size)
        return NULL;
    size_t want = a->head ? a->head->size * 2 : a->first_size;
    if (want > CHUNK_MAX)
        want = CHUNK_MAX;
    if (want < a->first_size)
        want = a->first_size;
    if (want < need)
        want = need;
    if (want > a->cap - a->used) {
        want = a->cap - a->used;
        if (want < need || want == 0)
            return NULL;
    }
    if (want > SIZE_MAX - sizeof(struct arena_chunk))
        return NULL;
    struct arena_chunk *c = alloc_bytes(sizeof *c + want);
    if (!c)
        return NULL;
    c->next = a->head;
    c->size = want;
    a->head = c;
    a->used += want;
    char *begin = c->data;
    if (slack)
        begin += -(uintptr_t)begin & (align - 1);
    a->at = begin + size;
    a->end = c->data + want;
    return begin;
}

void *arena_zeroed(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *p = arena_alloc(a, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = s.len < SIZE_MAX ? arena_alloc_aligned(a, s.len + 1, 1) : NULL;
    if (!p)
        return SLICE_EMPTY;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return slice_make(p, s.len);
}

char *arena_cstr(struct arena *a, struct slice s)
{
    return (char *)arena_copy(a, s).ptr;
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc_aligned(a, (size_t)n + 1, 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p ? slice_make(p, (size_t)n) : SLICE_EMPTY;
}
