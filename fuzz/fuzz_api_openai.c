// Any bytes as a chat body: never a crash, never a slice outside, and what is accepted has its shape.
#include <stdint.h>
#include <stdlib.h>

#include "api/openai_request.h"
#include "base/arena.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

// Reads every byte, so that the sanitizer sees a slice that points nowhere.
static void touch(struct slice s)
{
    static volatile unsigned char sink;
    for (size_t i = 0; i < s.len; i++)
        sink = (unsigned char)(sink + (unsigned char)s.ptr[i]);
}

static void check(const struct work *w, struct slice body)
{
    CHECK(w->message_count > 0 && w->message_count <= WORK_MESSAGES_MAX);
    CHECK(w->part_count <= WORK_PARTS_MAX && w->tool_count <= WORK_TOOLS_MAX);
    CHECK(w->metadata_count <= WORK_METADATA_MAX && w->choices >= 1);
    CHECK(w->anchor == WORK_NO_ANCHOR || w->anchor < w->message_count);
    CHECK(!(w->needs >> WORK_NEED_COUNT_));
    uint32_t parts = 0;
    for (uint32_t i = 0; i < w->message_count; i++) {
        CHECK(w->messages[i].part_first == parts);
        parts += w->messages[i].part_count;
    }
    CHECK(parts == w->part_count);
    for (uint32_t i = 0; i < w->part_count; i++) {
        const struct work_part *p = &w->parts[i];
        CHECK(!p->raw.len ||
              (p->raw.ptr > body.ptr && p->raw.ptr + p->raw.len < body.ptr + body.len));
        CHECK(p->text.len <= p->raw.len);
        touch(p->text);
    }
    for (uint32_t i = 0; i < w->tool_count; i++)
        touch(w->tool_names[i]);
    for (uint32_t i = 0; i < w->metadata_count; i++) {
        touch(w->metadata[i].name);
        touch(w->metadata[i].value);
    }
    touch(w->session);
    touch(w->model_asked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct work w;
    struct openai_request q;
    struct openai_fault fault = {0};
    struct arena arena;
    arena_init(&arena, 1 << 14, 1 << 24);
    struct slice body = slice_make(data, size);
    enum result r = openai_request_parse(body, &arena, &w, &q, &fault);
    if (!r) {
        check(&w, body);
    } else {
        CHECK(fault.status >= 400 && fault.code && fault.message.len);
        touch(fault.message);
    }
    arena_deinit(&arena);
    return 0;
}
