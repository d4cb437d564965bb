#include "text/sse.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum state {
    STREAM_START,
    MARK_1, // the first byte of a byte order mark was seen
    MARK_2,
    LINE_START,
    IN_LINE,
    LINE_CR,  // a line ended with CR: an LF would belong to it
    BLANK_CR, // so did a blank line
};

// The first LF or CR, or `end`.
static inline const char *find_line_end(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, cr)));
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#elif defined(__aarch64__)
    const uint8x16_t lf = vdupq_n_u8('\n'), cr = vdupq_n_u8('\r');
    for (; end - p >= 16; p += 16) {
        uint8x16_t v = vld1q_u8((const uint8_t *)p);
        uint8x16_t hit = vorrq_u8(vceqq_u8(v, lf), vceqq_u8(v, cr));
        uint64_t mask =
            vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        if (mask)
            return p + (__builtin_ctzll(mask) >> 2);
    }
#endif
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static bool field_is(const char *line, size_t name_len, const char *name, size_t len)
{
    return name_len == len && memcmp(line, name, len) == 0;
}

static void take_line(struct sse_event *event, const char *line, const char *end)
{
    size_t len = (size_t)(end - line), name_len = 4;
    if (len && line[0] == ':')
        return;
    event->comment_only = false;
    // "data:" is nearly every line; others are searched for their colon.
    if (len < 5 || memcmp(line, "data:", 5) != 0) {
        const char *colon = memchr(line, ':', len);
        name_len = colon ? (size_t)(colon - line) : len;
    }
    const char *value = line + name_len + (name_len < len);
    if (value < end && *value == ' ')
        value++;
    struct slice s = slice_make(value, (size_t)(end - value));
    if (field_is(line, name_len, "data", 4)) {
        if (!event->data_lines++)
            event->data = s;
    } else if (field_is(line, name_len, "event", 5)) {
        event->name = s;
    }
}

// Goes on at p; returns the place behind the event, or NULL when `end` comes first. With `event`, p is where the event
// begins and its lines are taken.
static const char *scan(enum state *state, const char *p, const char *end, struct sse_event *event)
{
    const char *line = p;
    while (p < end) {
        switch (*state) {
        case STREAM_START:
            *state = *p == '\xef' ? MARK_1 : LINE_START;
            p += *p == '\xef';
            break;
        case MARK_1:
            *state = *p == '\xbb' ? MARK_2 : IN_LINE;
            p += *p == '\xbb';
            break;
        case MARK_2:
            *state = *p == '\xbf' ? LINE_START : IN_LINE;
            p += *p == '\xbf';
            break;
        case LINE_START:
            if (*p == '\n')
                return p + 1;
            if (*p == '\r') {
                *state = BLANK_CR;
                p++;
                break;
            }
            line = p;
            *state = IN_LINE;
            MERIT_FALLTHROUGH;
        case IN_LINE:
            p = find_line_end(p, end);
            if (p == end)
                return NULL;
            if (event)
                take_line(event, line, p);
            *state = *p == '\n' ? LINE_START : LINE_CR;
            p++;
            break;
        case LINE_CR:
            *state = LINE_START;
            if (*p == '\r')
                return p + 1;
            p += *p == '\n';
            break;
        case BLANK_CR:
            *state = LINE_START;
            return p + (*p == '\n');
        }
    }
    return NULL;
}

void sse_init(struct sse *s, uint32_t event_max)
{
    *s = (struct sse){.state = STREAM_START};
    buf_init(&s->partial, event_max);
}

void sse_deinit(struct sse *s)
{
    buf_deinit(&s->partial);
}

// Starts over on the bytes of a whole event.
static void take_event(struct sse *s, struct slice bytes, struct sse_event *event)
{
    enum state state = s->begun ? LINE_START : STREAM_START;
    *event = (struct sse_event){.bytes = bytes, .comment_only = true, .gathered = true};
    scan(&state, bytes.ptr, bytes.ptr + bytes.len, event);
    s->begun = true;
}

static void drop_given(struct sse *s)
{
    if (s->given)
        buf_reset(&s->partial);
    s->given = false;
}

enum result sse_next(struct sse *s, struct slice *piece, struct sse_event *event)
{
    drop_given(s);
    if (s->failed)
        return s->failed;
    if (!piece->len)
        return RESULT_AGAIN;
    bool whole = s->partial.len == 0;
    enum state state = (enum state)s->state;
    *event = (struct sse_event){.comment_only = true};
    const char *begin = piece->ptr, *end = begin + piece->len;
    const char *stop = scan(&state, begin, end, whole ? event : NULL);
    s->state = (uint8_t)state;
    struct slice taken = slice_make(begin, (size_t)((stop ? stop : end) - begin));
    *piece = slice_from(*piece, taken.len);
    if (stop && whole) {
        if (taken.len > s->partial.cap)
            return s->failed = RESULT_LIMIT;
        event->bytes = taken;
        s->begun = true;
        return RESULT_OK;
    }
    buf_add(&s->partial, taken);
    if (buf_result(&s->partial))
        return s->failed = buf_result(&s->partial);
    if (!stop)
        return RESULT_AGAIN;
    s->given = true;
    take_event(s, buf_slice(&s->partial), event);
    return RESULT_OK;
}

enum result sse_finish(struct sse *s, struct sse_event *event)
{
    drop_given(s);
    *event = (struct sse_event){.comment_only = true};
    if (s->failed)
        return s->failed;
    if (!s->partial.len)
        return RESULT_NOT_FOUND;
    s->given = true;
    if (s->state == BLANK_CR) {
        s->state = LINE_START;
        take_event(s, buf_slice(&s->partial), event);
        return RESULT_OK;
    }
    event->bytes = buf_slice(&s->partial);
    event->gathered = true;
    return s->failed = RESULT_EOF;
}

bool sse_at_boundary(const struct sse *s)
{
    return !s->failed && (s->given || !s->partial.len);
}

enum result sse_data(const struct sse_event *event, struct arena *arena, struct slice *out)
{
    *out = event->data;
    if (event->data_lines < 2)
        return RESULT_OK;
    char *text = arena_alloc_aligned(arena, event->bytes.len, 1), *to = text;
    if (!text)
        return RESULT_NOMEM;
    // The first value says where the first data line ends; from there on line by line.
    const char *p = event->data.ptr, *end = event->bytes.ptr + event->bytes.len;
    memcpy(to, p, event->data.len);
    to += event->data.len;
    for (p += event->data.len; p < end;) {
        const char *stop = find_line_end(p, end);
        struct sse_event line = {0};
        if (stop > p)
            take_line(&line, p, stop);
        if (line.data_lines) {
            *to++ = '\n';
            if (line.data.len)
                memcpy(to, line.data.ptr, line.data.len);
            to += line.data.len;
        }
        p = stop + (stop < end);
    }
    *out = slice_make(text, (size_t)(to - text));
    arena_resize_last(arena, text, event->bytes.len, out->len);
    return RESULT_OK;
}
