// Server-sent events: a stream cut into pieces at places that the input chooses gives the same events as in one piece,
// and the bytes of all events with what is left over are the bytes of the stream.
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "text/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(struct buf *out, const struct sse_event *e, enum result r)
{
    buf_printf(out, "%d %u %d %zu:", r, e->data_lines, e->comment_only, e->bytes.len);
    buf_add(out, e->bytes);
    buf_printf(out, "%zu:", e->data.len);
    buf_add(out, e->data);
    buf_printf(out, "%zu:", e->name.len);
    buf_add(out, e->name);
    struct arena a;
    struct slice joined;
    arena_init(&a, 0, 1 << 20);
    if (sse_data(e, &a, &joined) || (joined.len > e->bytes.len))
        abort();
    buf_add(out, joined);
    arena_deinit(&a);
}

// An account of all events of the stream, fed in pieces of 1 to `piece_max` bytes (whole without `r`); their bytes go to `bytes`.
static void read_stream(struct slice text, size_t piece_max, uint32_t event_max, struct rng *r,
                        struct buf *out, struct buf *bytes)
{
    struct sse s;
    struct sse_event e;
    enum result result = RESULT_AGAIN;
    sse_init(&s, event_max);
    for (size_t at = 0; at < text.len && result == RESULT_AGAIN;) {
        size_t n = r ? 1 + rng_below(r, piece_max) : text.len;
        if (n > text.len - at)
            n = text.len - at;
        char *copy = malloc(n);
        if (!copy)
            abort();
        memcpy(copy, text.ptr + at, n);
        struct slice piece = slice_make(copy, n);
        while ((result = sse_next(&s, &piece, &e)) == RESULT_OK) {
            tell(out, &e, result);
            buf_add(bytes, e.bytes);
        }
        free(copy);
        at += n;
    }
    if (result == RESULT_AGAIN) {
        result = sse_finish(&s, &e);
        tell(out, &e, result);
        buf_add(bytes, e.bytes);
        if (bytes->len != text.len || memcmp(bytes->ptr, text.ptr, text.len))
            abort();
    } else if (text.len && result != RESULT_LIMIT) {
        abort();
    }
    sse_deinit(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice text = slice_make(data + 2, size - 2);
    uint32_t event_max = data[0] & 1 ? 1u << 20 : 16 + data[0];
    struct buf want, got, bytes;
    struct rng r;
    buf_init(&want, 1 << 24);
    buf_init(&got, 1 << 24);
    buf_init(&bytes, 1 << 22);
    read_stream(text, 0, event_max, NULL, &want, &bytes);
    for (unsigned i = 0; i < 3; i++) {
        rng_seed(&r, data[1] + i * 256u);
        buf_reset(&got);
        buf_reset(&bytes);
        read_stream(text, i == 0 ? 1 : 1 + rng_below(&r, 50), event_max, &r, &got, &bytes);
        if (!slice_eq(buf_slice(&got), buf_slice(&want)))
            abort();
    }
    buf_deinit(&want);
    buf_deinit(&got);
    buf_deinit(&bytes);
    return 0;
}
