// The encoder that heads are trained on and measured with, as a source of embeddings.
#ifndef MERIT_CLI_ENCODER_SOURCE_H
#define MERIT_CLI_ENCODER_SOURCE_H

#include <stdbool.h>

#include "eval/embeddings.h"

struct encoder_source {
    struct embeddings_source source;
};

// The default encoder. False when there is none on this machine.
bool encoder_source_open(struct encoder_source *s);
void encoder_source_close(struct encoder_source *s);

#endif
