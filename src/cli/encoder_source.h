// The encoder that heads are trained on and measured with, as a source of embeddings.
//
// Training reads with f32, so that a head's bytes do not depend on the CPU that trained it; measuring may read with the plan
// that serves.
#ifndef MERIT_CLI_ENCODER_SOURCE_H
#define MERIT_CLI_ENCODER_SOURCE_H

#include <stdbool.h>

#include "eval/embeddings.h"
#include "model/model.h"
#include "model/reader.h"

#define ENCODER_SOURCE_DEFAULT "all-minilm-l6-v2"

struct encoder_source {
    struct embeddings_source source;
    struct model *model;
    struct reader_model reading;
    struct reader *reader;
    char digest[80];
};

// A model by name or folder (NULL: the default one) with a plan. False when it is not to be had: `trouble` says why and how
// to get it.
bool encoder_source_open(struct encoder_source *s, const char *name, enum encoder_plan plan,
                         struct model_trouble *trouble);
void encoder_source_close(struct encoder_source *s);

#endif
