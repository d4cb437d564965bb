// The encoder that heads are trained on and measured with, as a source of embeddings.
#ifndef MERIT_CLI_ENCODER_SOURCE_H
#define MERIT_CLI_ENCODER_SOURCE_H

#include <stdbool.h>

#include "base/arena.h"
#include "eval/embeddings.h"
#include "model/model.h"
#include "model/reader.h"

#define ENCODER_SOURCE_NAME "all-minilm-l6-v2"

struct encoder_source {
    struct embeddings_source source;
    struct model *model;
    struct reader_model reads;
    struct reader *reader;
    struct arena arena;
    char name[MODEL_NAME_MAX + 1], digest[2 * SHA256_BYTES + 1];
};

// The installed model of that name, in the given precision. False when it is not here or cannot be read; `why` says so and
// what to do. `s` must not move while it is open.
bool encoder_source_open(struct encoder_source *s, const char *name, enum encoder_plan plan,
                         struct model_trouble *why);
void encoder_source_close(struct encoder_source *s);

#endif
