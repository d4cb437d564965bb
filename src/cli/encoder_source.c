#include "cli/encoder_source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_MAX = 256 * 1024 * 1024 };

// A long text is the mean of its windows, of length 1 again.
static void mean_of(const struct trunk_answer *a, uint32_t dim, float *out)
{
    memset(out, 0, dim * sizeof *out);
    for (uint32_t w = 0; w < a->window_count; w++)
        for (uint32_t i = 0; i < dim; i++)
            out[i] += a->windows[w].vector[i];
    if (a->window_count < 2)
        return;
    float square = 0;
    for (uint32_t i = 0; i < dim; i++)
        square += out[i] * out[i];
    float norm = square > 0 ? 1 / sqrtf(square) : 0;
    for (uint32_t i = 0; i < dim; i++)
        out[i] *= norm;
}

static enum result embed(void *ctx, const struct slice *texts, uint32_t count, float *out)
{
    struct encoder_source *s = ctx;
    for (uint32_t i = 0; i < count; i++) {
        struct trunk_ask ask = {
            .model = TRUNK_EMBED, .reading = TRUNK_TOPIC, .texts = &texts[i], .count = 1};
        arena_reset(&s->arena);
        reader_answer(s->reader, &ask, &s->arena, NULL);
        if (ask.answer.result)
            return ask.answer.result;
        mean_of(&ask.answer, s->source.dim, out + (size_t)i * s->source.dim);
    }
    return RESULT_OK;
}

bool encoder_source_open(struct encoder_source *s, const char *name, enum encoder_plan plan,
                         struct model_trouble *why)
{
    struct model_places places;
    *s = (struct encoder_source){0};
    model_places_init(&places);
    if (model_open(&s->model, name, &(struct model_options){.places = &places, .plan = plan}, why))
        return false;
    const struct model *m = s->model;
    snprintf(s->name, sizeof s->name, "%.*s", SLICE_FMT(m->name));
    snprintf(s->digest, sizeof s->digest, "%.*s", SLICE_FMT(m->weights_hex));
    s->reads = (struct reader_model){.encoder = m->encoder,
                                     .tokenizer = m->tokenizer,
                                     .name = m->name,
                                     .digest = m->weights_hex,
                                     .length_tok = m->length_tok};
    arena_init(&s->arena, 1 << 16, ARENA_MAX);
    s->source = (struct embeddings_source){
        .name = s->name, .digest = s->digest, .dim = m->config->hidden, .embed = embed, .ctx = s};
    if (m->config->task != ENCODER_EMBED || reader_open(&s->reads, &s->reader)) {
        snprintf(why->why, sizeof why->why,
                 "%s is no model that makes embeddings, or there is no memory for it", name);
        encoder_source_close(s);
        return false;
    }
    return true;
}

void encoder_source_close(struct encoder_source *s)
{
    if (!s->model)
        return;
    reader_close(s->reader);
    arena_deinit(&s->arena);
    model_unref(s->model);
    s->model = NULL;
}
