#include "policy/builder.h"

#include <string.h>

void builder_init(struct builder *b)
{
    memset(b, 0, sizeof *b);
    b->head.dispatch = image_dispatch_default();
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        buf_init(&b->sections[s], IMAGE_BYTES_MAX);
        buf_init(&b->places[s], IMAGE_BYTES_MAX);
    }
}

void builder_deinit(struct builder *b)
{
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        buf_deinit(&b->sections[s]);
        buf_deinit(&b->places[s]);
    }
}

uint32_t builder_count(const struct builder *b, enum image_section s)
{
    return (uint32_t)(b->sections[s].len / image_layouts[s].size);
}

static_assert(sizeof(struct image_model) <= sizeof((struct builder){0}.nowhere.bytes) &&
                  sizeof(struct image_signal) <= sizeof((struct builder){0}.nowhere.bytes),
              "the largest elements find room where a failed builder puts them");

void *builder_add(struct builder *b, enum image_section s)
{
    size_t size = image_layouts[s].size;
    char *at = buf_reserve(&b->sections[s], size);
    if (!at)
        at = b->nowhere.bytes;
    else {
        b->sections[s].len += size;
        if (s < IMAGE_STRS)
            buf_append(&b->places[s], &b->place, sizeof b->place);
    }
    // Padding too, so that the same policy gives the same bytes.
    return memset(at, 0, size);
}

void *builder_at(struct builder *b, enum image_section s, uint32_t i)
{
    if (i >= builder_count(b, s))
        return memset(b->nowhere.bytes, 0, image_layouts[s].size);
    return b->sections[s].ptr + (size_t)i * image_layouts[s].size;
}

struct image_str builder_str(struct builder *b, struct slice text)
{
    struct image_str s = {(uint32_t)b->sections[IMAGE_CHARS].len, (uint32_t)text.len};
    buf_add(&b->sections[IMAGE_CHARS], text);
    return s;
}

struct slice builder_text(const struct builder *b, struct image_str s)
{
    struct slice all = buf_slice(&b->sections[IMAGE_CHARS]);
    return slice_head(slice_from(all, s.at), s.len);
}

// Turns the indexes of one element into offsets.
static void settle(struct policy_image *p, char *element, const struct image_field *f)
{
    uint32_t at;
    for (; f->kind != IMAGE_FIELD_END; f++) {
        enum image_section to =
            f->kind == IMAGE_FIELD_LIST ? (enum image_section)f->arg : IMAGE_CHARS;
        if (f->kind != IMAGE_FIELD_LIST && f->kind != IMAGE_FIELD_STR)
            continue;
        // `at` is the first member of both.
        memcpy(&at, element + f->offset, sizeof at);
        at = image_section_list(p, to)->at + at * image_layouts[to].size;
        memcpy(element + f->offset, &at, sizeof at);
    }
}

enum result builder_finish(const struct builder *b, struct arena *arena, struct policy_image **out)
{
    uint64_t at = sizeof(struct policy_image);
    struct policy_image head = b->head;
    *out = NULL;
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        if (buf_result(&b->sections[s]))
            return buf_result(&b->sections[s]);
        at = (at + 7) & ~(uint64_t)7;
        *image_section_list(&head, (enum image_section)s) =
            (struct image_list){(uint32_t)at, builder_count(b, (enum image_section)s)};
        at += b->sections[s].len;
        if (at > IMAGE_BYTES_MAX)
            return RESULT_LIMIT;
    }
    struct policy_image *p = arena_zeroed(arena, 1, at);
    if (!p)
        return RESULT_NOMEM;
    memcpy(p, &head, sizeof head);
    memcpy(p->magic, "MERITPOL", 8);
    p->version = IMAGE_VERSION;
    p->size = (uint32_t)at;
    p->name.at += p->chars.at;
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        const struct buf *from = &b->sections[s];
        struct image_list list = *image_section_list(p, (enum image_section)s);
        char *element = (char *)p + list.at;
        if (from->len)
            memcpy(element, from->ptr, from->len);
        if (image_layouts[s].fields->kind != IMAGE_FIELD_END)
            for (uint32_t i = 0; i < list.count; i++, element += image_layouts[s].size)
                settle(p, element, image_layouts[s].fields);
    }
    image_seal(p);
    *out = p;
    return RESULT_OK;
}
