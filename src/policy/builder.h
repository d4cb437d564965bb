// Puts an image together: sections grow one by one, offsets are filled in at the end.
//
// While building, the `at` of a list is the index of its first element in its section and the `at` of a string is its
// place among all characters; builder_finish turns both into offsets of the block. Sections live on the heap until
// builder_deinit. The first failure sticks and comes out of builder_finish.
#ifndef MERIT_POLICY_BUILDER_H
#define MERIT_POLICY_BUILDER_H

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "work/image_layout.h"

struct builder {
    struct buf sections[IMAGE_SECTIONS];
    struct buf places[IMAGE_SECTIONS]; // struct span of each element: the `place` when it was added
    struct span place;                 // the caller's to set
    struct policy_image head;
    union {
        max_align_t align;
        char bytes[512];
    } nowhere; // what builder_add gives when it has failed
};

void builder_init(struct builder *b);
void builder_deinit(struct builder *b);

uint32_t builder_count(const struct builder *b, enum image_section s);
// Appends one zeroed element and gives it; valid until the next one of that section. Never NULL: a scratch one after a
// failure.
void *builder_add(struct builder *b, enum image_section s);
void *builder_at(struct builder *b, enum image_section s, uint32_t i);
struct image_str builder_str(struct builder *b, struct slice text);
struct slice builder_text(const struct builder *b, struct image_str s);

#define BUILDER_ADD(b, section, type) ((type *)builder_add((b), (section)))
#define BUILDER_AT(b, section, type, i) ((type *)builder_at((b), (section), (i)))

// The block with what is there so far, in the arena, sealed; can be called again later. RESULT_LIMIT above
// IMAGE_BYTES_MAX, RESULT_NOMEM.
enum result builder_finish(const struct builder *b, struct arena *arena, struct policy_image **out);

#endif
