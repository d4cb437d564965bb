// A growable byte buffer with a cap that its owner states at init.
//
// Errors stick: after a failed append every later one is a no-op and `buf_result` tells what happened first, so that
// a writer of many pieces checks once, at the end. The bytes are not NUL-terminated. One owner, one thread.
#ifndef MERIT_BASE_BUF_H
#define MERIT_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"

struct buf {
    char *ptr;
    size_t len, room; // used, allocated
    size_t cap;       // most bytes it may ever hold
    enum result err;  // the first failure
};

// Allocates nothing yet.
void buf_init(struct buf *b, size_t cap);
void buf_deinit(struct buf *b);
// Empties it and clears the error; keeps the room.
void buf_reset(struct buf *b);

// Room for `more` bytes behind the used ones; NULL (and a sticky RESULT_LIMIT or RESULT_NOMEM) when there is none.
// Whoever writes there adds to `len`.
MERIT_COLD char *buf_reserve_slow(struct buf *b, size_t more);
static inline char *buf_reserve(struct buf *b, size_t more)
{
    if (MERIT_LIKELY(more <= b->room - b->len && !b->err && b->ptr))
        return b->ptr + b->len;
    return buf_reserve_slow(b, more);
}

static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);
    if (to && n) {
        memcpy(to, p, n);
        b->len += n;
    }
}

static inline void buf_add(struct buf *b, struct slice s)
{
    buf_append(b, s.ptr, s.len);
}

static inline void buf_byte(struct buf *b, char c)
{
    char *to = buf_reserve(b, 1);
    if (to) {
        *to = c;
        b->len++;
    }
}

#define BUF_LIT(b, literal) buf_append((b), (literal), sizeof(literal) - 1)

void buf_cstr(struct buf *b, const char *s);
void buf_u64(struct buf *b, uint64_t v);
enum { BUF_U64_LEN = 20 };
// Writes `v` at `at`, where BUF_U64_LEN bytes have room; gives the place behind it.
char *buf_put_u64_long(char *at, uint64_t v);
static inline char *buf_put_u64(char *at, uint64_t v)
{
    if (v >= 10)
        return buf_put_u64_long(at, v);
    *at = (char)('0' + v);
    return at + 1;
}
// `v` millionths as a decimal with six places, trailing zeros cut: 1500000 -> 1.5.
void buf_micro(struct buf *b, int64_t v);
// The same of billionths, with nine places.
void buf_nano(struct buf *b, int64_t v);
MERIT_COLD void buf_printf(struct buf *b, const char *fmt, ...) MERIT_PRINTF(2, 3);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_make(b->ptr, b->len);
}

static inline enum result buf_result(const struct buf *b)
{
    return b->err;
}

#endif
