// modality: what kinds of content the request carries.
//
//   modality                          enum: text, image, audio, mixed (images and audio)
//   modality(images | audio | files)  number of such parts
//
// Asks: the parts of all messages. Costs: a load; files, which the work does not count, one pass
// over the parts. Evidence: none. Limits: none of its own; cannot fail.
#include "signal/families.h"

enum kind { IMAGES, AUDIO, FILES, ALL };

static const char *const kinds[] = {"images", "audio", "files", NULL};
static const char *const words[] = {"text", "image", "audio", "mixed", NULL};

static const struct signal_arg_spec args[] = {
    {.kind = SIGNAL_ARG_WORD,
     .words = kinds,
     .help = "what is counted; without it the kind of content"},
};

static enum kind kind_of(const struct policy_image *image, const struct image_signal *def)
{
    int i = signal_word_index(kinds, signal_arg_word(image, def));
    return i < 0 ? ALL : (enum kind)i;
}

static enum signal_type type(const struct policy_image *image, const struct image_signal *def)
{
    return kind_of(image, def) == ALL ? SIGNAL_ENUM : SIGNAL_NUMBER;
}

static enum result prepare(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state)
{
    (void)load;
    enum kind *kind = ARENA_NEW(arena, enum kind);
    if (!kind)
        return RESULT_NOMEM;
    *kind = kind_of(image, def);
    *state = kind;
    return RESULT_OK;
}

static enum result compute(const void *state, struct signal_context *ctx, struct fact *out)
{
    const struct work *w = ctx->work;
    uint32_t n = 0;
    switch (*(const enum kind *)state) {
    case IMAGES:
        n = w->image_count;
        break;
    case AUDIO:
        n = w->audio_count;
        break;
    case FILES:
        for (uint32_t i = 0; i < w->part_count; i++)
            n += w->parts[i].kind == WORK_FILE;
        break;
    case ALL:
        n = (w->image_count > 0) + 2 * (w->audio_count > 0);
        break;
    }
    signal_fact_number(out, n);
    return RESULT_OK;
}

const struct signal_family signal_modality = {
    .name = "modality",
    .whole = true,
    .summary = "images, audio and files in the request",
    .cost = SIGNAL_COST_FREE,
    .args = args,
    .arg_count = MERIT_COUNT(args),
    .type = type,
    .words = words,
    .prepare = prepare,
    .compute = compute,
};
