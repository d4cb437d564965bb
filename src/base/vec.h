// A typed growable array with a cap. `VEC(int) v = {.cap = 100};` then VEC_PUSH(&v, 3) gives false when it is full or
// there is no memory; VEC_DEINIT frees it.
#ifndef MERIT_BASE_VEC_H
#define MERIT_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *at;                                                                                  \
        size_t len, room;                                                                          \
        size_t cap;                                                                                \
    }

// Grows `*at` (elements of `size`) to hold one more than `len`; false at the cap or without memory.
bool vec_grow(void **at, size_t len, size_t *room, size_t cap, size_t size);

#define VEC_PUSH(v, ...)                                                                           \
    (((v)->len < (v)->room ||                                                                      \
      vec_grow((void **)&(v)->at, (v)->len, &(v)->room, (v)->cap, sizeof *(v)->at))                \
         ? ((v)->at[(v)->len++] = (__VA_ARGS__), true)                                             \
         : false)

#define VEC_DEINIT(v) (alloc_free((v)->at), (v)->at = NULL, (v)->len = (v)->room = 0)

#endif
