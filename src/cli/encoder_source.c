#include "cli/encoder_source.h"

#include <math.h>
#include <stdio.h>

// The mean of a text's windows, of length 1: what signals make of it, too.
static enum result embed(void *ctx, const struct slice *texts, uint32_t count, float *out)
{
    struct encoder_source *s = ctx;
    struct trunk_ask ask = {
        .model = TRUNK_EMBED, .reading = TRUNK_TOPIC, .texts = texts, .count = count};
    uint32_t dim = s->source.dim;
    struct arena arena;
    arena_init(&arena, 64 * 1024, 256u << 20);
    reader_answer(s->reader, &ask, &arena, NULL);
    memset(out, 0, (size_t)count * dim * sizeof *out);
    for (uint32_t w = 0; w < ask.answer.window_count; w++) {
        const struct trunk_window *window = &ask.answer.windows[w];
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)window->text * dim + i] += window->vector[i];
    }
    for (uint32_t t = 0; t < count; t++) {
        double square = 0;
        for (uint32_t i = 0; i < dim; i++)
            square += (double)out[(size_t)t * dim + i] * (double)out[(size_t)t * dim + i];
        float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (uint32_t i = 0; i < dim; i++)
            out[(size_t)t * dim + i] *= scale;
    }
    arena_deinit(&arena);
    return ask.answer.result;
}

bool encoder_source_open(struct encoder_source *s, const char *name, enum encoder_plan plan,
                         struct model_trouble *trouble)
{
    struct model_places places;
    *s = (struct encoder_source){0};
    model_places_init(&places);
    const struct model_options options = {.places = &places, .plan = plan};
    if (model_open(&s->model, name ? name : ENCODER_SOURCE_DEFAULT, &options, trouble))
        return false;
    const struct model *m = s->model;
    s->reading = (struct reader_model){.encoder = m->encoder,
                                       .tokenizer = m->tokenizer,
                                       .name = m->name,
                                       .digest = m->weights_hex,
                                       .labels = m->labels,
                                       .label_count = m->label_count,
                                       .length_tok = m->length_tok};
    if (reader_open(&s->reading, &s->reader)) {
        snprintf(trouble->why, sizeof trouble->why, "there is no memory to read with it");
        trouble->how[0] = 0;
        encoder_source_close(s);
        return false;
    }
    snprintf(s->digest, sizeof s->digest, "%.*s", SLICE_FMT(m->weights_hex));
    s->source = (struct embeddings_source){.name = ENCODER_SOURCE_DEFAULT,
                                           .digest = s->digest,
                                           .dim = m->config->hidden,
                                           .embed = embed,
                                           .ctx = s};
    return true;
}

void encoder_source_close(struct encoder_source *s)
{
    reader_close(s->reader);
    if (s->model)
        model_unref(s->model);
    *s = (struct encoder_source){0};
}
