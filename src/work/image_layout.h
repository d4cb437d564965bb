// How the sections of an image are laid out, in one table that the compiler (to turn indexes into offsets) and
// image_open (to check them) both follow. For those two only; readers use work/image.h.
#ifndef MERIT_WORK_IMAGE_LAYOUT_H
#define MERIT_WORK_IMAGE_LAYOUT_H

#include <stdint.h>

#include "work/image.h"

// In the order of the lists of struct policy_image.
enum image_section {
    IMAGE_LATTICES,
    IMAGE_ZONES,
    IMAGE_SINKS,
    IMAGE_MODELS,
    IMAGE_ENDPOINTS,
    IMAGE_ALIASES,
    IMAGE_PASSES,
    IMAGE_SIGNALS,
    IMAGE_TERMS,
    IMAGE_BANDS,
    IMAGE_ARGS,
    IMAGE_ATOMS,
    IMAGE_NODES,
    IMAGE_BINDINGS,
    IMAGE_STEPS,
    IMAGE_CHAINS,
    IMAGE_ROUTES,
    IMAGE_CONSTRAINTS,
    IMAGE_INDEXES,
    IMAGE_CLAIMS,
    IMAGE_THEOREMS,
    IMAGE_ASSUMES,
    IMAGE_STRS,
    IMAGE_CHARS,
    IMAGE_SECTIONS
};

enum image_field_kind {
    IMAGE_FIELD_END,
    IMAGE_FIELD_STR,       // struct image_str, into IMAGE_CHARS
    IMAGE_FIELD_LIST,      // struct image_list, into section `arg`
    IMAGE_FIELD_INDEX,     // int32_t, of section `arg`
    IMAGE_FIELD_OPT_INDEX, // the same, or IMAGE_NONE
    IMAGE_FIELD_ENUM,      // below `arg`
    IMAGE_FIELD_BOOL,
};

struct image_field {
    uint8_t kind, arg;
    uint16_t offset;
};

struct image_layout {
    uint32_t size;                    // of one element
    const struct image_field *fields; // up to IMAGE_FIELD_END
};

extern const struct image_layout image_layouts[IMAGE_SECTIONS];

static inline struct image_list *image_section_list(struct policy_image *p, enum image_section s)
{
    return &p->lattices + s;
}

static_assert(offsetof(struct policy_image, chars) - offsetof(struct policy_image, lattices) ==
                  IMAGE_CHARS * sizeof(struct image_list),
              "the lists stand in the order of enum image_section");

#endif
