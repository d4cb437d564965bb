#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

enum { ROOM_MIN = 256 };

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_deinit(struct buf *b)
{
    alloc_free(b->ptr);
    buf_init(b, b->cap);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->err = RESULT_OK;
}

char *buf_reserve_slow(struct buf *b, size_t more)
{
    if (b->err)
        return NULL;
    if (more > b->cap - b->len) {
        b->err = RESULT_LIMIT;
        return NULL;
    }
    size_t need = b->len + more;
    size_t room = b->room ? b->room : ROOM_MIN;
    while (room < need)
        room = room > SIZE_MAX / 2 ? need : room * 2;
    if (room > b->cap)
        room = b->cap > need ? b->cap : need;
    if (room != b->room || !b->ptr) {
        char *p = alloc_resize(b->ptr, room);
        if (!p) {
            b->err = RESULT_NOMEM;
            return NULL;
        }
        b->ptr = p;
        b->room = room;
    }
    return b->ptr + b->len;
}

void buf_cstr(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static unsigned digits_of(uint64_t v)
{
    static const uint64_t powers[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      10000000000000000000u};
    // By the number of bits: 1233 / 4096 is log10(2), a little more.
    unsigned n = (64 - (unsigned)__builtin_clzll(v | 1)) * 1233 >> 12;
    return n + (v >= powers[n]);
}

char *buf_put_u64_long(char *at, uint64_t v)
{
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414"
        "2434445464748495051525354555657585960616263646566676869707172737475767778798081828384"
        "858687888990919293949596979899";
    unsigned n = digits_of(v);
    char *end = at + n, *to = end;
    for (; v >= 100; v /= 100) {
        to -= 2;
        memcpy(to, pairs + v % 100 * 2, 2);
    }
    if (v >= 10)
        memcpy(at, pairs + v * 2, 2);
    else
        *at = (char)('0' + v);
    return end;
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[BUF_U64_LEN];
    if (MERIT_LIKELY(b->room - b->len >= BUF_U64_LEN && !b->err))
        b->len = (size_t)(buf_put_u64(b->ptr + b->len, v) - b->ptr);
    else
        buf_append(b, digits, (size_t)(buf_put_u64(digits, v) - digits));
}

// `v` over 10^places.
static void decimal(struct buf *b, int64_t v, unsigned places, uint64_t scale)
{
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (v < 0)
        buf_byte(b, '-');
    buf_u64(b, u / scale);
    uint64_t fraction = u % scale;
    if (!fraction)
        return;
    char digits[20] = ".";
    for (; fraction % 10 == 0; fraction /= 10)
        places--;
    for (unsigned i = places; i > 0; i--) {
        digits[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    buf_append(b, digits, places + 1);
}

void buf_micro(struct buf *b, int64_t v)
{
    decimal(b, v, 6, 1000000);
}

void buf_nano(struct buf *b, int64_t v)
{
    decimal(b, v, 9, 1000000000);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    // vsnprintf writes a NUL behind the text, so it needs one byte more than stays.
    char *to = buf_reserve(b, (size_t)n + 1);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}
