#include "cli/encoders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/model.h"
#include "model/reader.h"

const struct encoders_options encoders_for_commands = {
    .names = {[TRUNK_EMBED] = ENCODERS_EMBED_DEFAULT, [TRUNK_ENTITY] = ENCODERS_ENTITY_DEFAULT},
    .queue_tok = 1 << 20,
};

// $XDG_DATA_HOME/merit/heads (XDG Base Directory Specification 0.8); empty when there is no such place.
static void heads_folder(char out[PATH_MAX])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n = 0;
    out[0] = '\0';
    if (data && data[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/merit/heads", data);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.local/share/merit/heads", home);
    if (n >= PATH_MAX)
        out[0] = '\0';
}

static bool fits(enum trunk_model which, const struct model *m)
{
    return which == TRUNK_EMBED ? m->config->task == ENCODER_EMBED
                                : m->config->task == ENCODER_TOKENS && m->label_count;
}

// A first start packs the model for this CPU, which takes seconds: whoever waits is told why.
struct packing {
    const char *name;
    bool told;
};

static bool on_progress(void *ctx, uint32_t done, uint32_t total)
{
    struct packing *p = ctx;
    (void)done;
    (void)total;
    if (!p->told)
        fprintf(stderr, "merit: packing the model %s for this CPU, once\n", p->name);
    p->told = true;
    return true;
}

static void open_model(struct encoders *e, enum trunk_model which, const char *name,
                       const struct model_places *places, struct compute_model *out,
                       struct buf *notes)
{
    static const char *const uses[TRUNK_MODELS] = {"embed texts", "find names and places"};
    struct model_trouble trouble = {.why = ""};
    struct packing packing = {.name = name};
    struct model_options options = {.places = places, .progress = on_progress, .ctx = &packing};
    struct model *m;
    if (model_open(&m, name, &options, &trouble)) {
        buf_printf(notes, "%s%s%s\n", trouble.why, trouble.how[0] ? "; " : "", trouble.how);
        return;
    }
    if (!fits(which, m)) {
        buf_printf(notes, "The model %s cannot %s.\n", name, uses[which]);
        model_unref(m);
        return;
    }
    struct reader_model *r = &e->readers[which];
    e->models[which] = m;
    *r = (struct reader_model){.encoder = m->encoder,
                               .tokenizer = m->tokenizer,
                               .name = m->name,
                               .digest = m->weights_hex,
                               .labels = m->labels,
                               .label_count = m->label_count,
                               .length_tok = m->length_tok};
    *out = (struct compute_model){.engine = &compute_reader,
                                  .model = r,
                                  .name = m->name,
                                  .digest = m->weights_hex,
                                  .dim = m->config->hidden,
                                  .window_tok = reader_window(r)};
    if (which == TRUNK_ENTITY) {
        out->labels = e->kinds;
        out->label_count = reader_kinds(r, e->kinds, ENCODERS_KINDS_MAX);
    }
}

enum result encoders_open(struct encoders *e, const struct encoders_options *options,
                          struct buf *notes)
{
    struct model_places places;
    *e = (struct encoders){.readers = alloc_zeroed(TRUNK_MODELS, sizeof *e->readers)};
    if (!e->readers)
        return RESULT_NOMEM;
    heads_folder(e->heads);
    struct compute_options o = {.queue_tok = options->queue_tok,
                                .heads = e->heads[0] ? e->heads : NULL};
    model_places_init(&places);
    for (int i = 0; i < TRUNK_MODELS; i++) {
        if (options->names[i])
            open_model(e, (enum trunk_model)i, options->names[i], &places, &o.models[i], notes);
        if (o.models[i].engine) {
            o.threads = options->threads;
            o.cache_bytes = options->cache_bytes;
        }
    }
    enum result r = compute_open(&o, &e->compute);
    if (r)
        encoders_close(e);
    else
        e->service = compute_service(e->compute);
    return r;
}

void encoders_close(struct encoders *e)
{
    compute_close(e->compute);
    for (int i = 0; i < TRUNK_MODELS; i++)
        model_unref(e->models[i]);
    alloc_free(e->readers);
    *e = (struct encoders){.compute = NULL};
}
