// A slice is a run of bytes that somebody else owns. It is not NUL-terminated and may hold any byte.
// Whoever makes one says how long the bytes live.
#ifndef MERIT_BASE_SLICE_H
#define MERIT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct slice {
    const char *ptr; // may be NULL only when len is 0
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_EMPTY ((struct slice){NULL, 0})
// For printf("%.*s", SLICE_FMT(s)).
#define SLICE_FMT(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

// Of a C string; NULL gives the empty slice.
static inline struct slice slice_cstr(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_cstr(struct slice a, const char *s)
{
    return slice_eq(a, slice_cstr(s));
}

// ASCII case folded; other bytes must be equal.
bool slice_ieq(struct slice a, struct slice b);

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

bool slice_ends_with(struct slice s, struct slice suffix);

// From `from` (clamped) to the end.
static inline struct slice slice_from(struct slice s, size_t from)
{
    if (from > s.len)
        from = s.len;
    return (struct slice){s.ptr ? s.ptr + from : NULL, s.len - from};
}

static inline struct slice slice_head(struct slice s, size_t len)
{
    return (struct slice){s.ptr, len < s.len ? len : s.len};
}

// Without leading and trailing spaces and tabs (HTTP's optional white space).
struct slice slice_trim(struct slice s);

// Up to the first `sep`, which is taken off `*rest` with it; the whole when there is none.
// False when `*rest` was used up (its ptr is NULL then).
bool slice_split(struct slice *rest, char sep, struct slice *piece);

// Offset of the first occurrence, or -1.
ptrdiff_t slice_find(struct slice s, struct slice needle);

// Decimal digits only, no sign, no space; false on anything else and on overflow.
bool slice_u64(struct slice s, uint64_t *out);

// Byte order, shorter first among equals; for sorting.
int slice_cmp(struct slice a, struct slice b);

#endif
