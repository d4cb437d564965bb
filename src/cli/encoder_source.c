#include "cli/encoder_source.h"

#include <stdlib.h>

bool encoder_source_open(struct encoder_source *s)
{
    const char *digest = getenv("MERIT_TRAIN_DIGEST");
    if (!digest)
        return false;
    s->source =
        (struct embeddings_source){.name = "all-MiniLM-L6-v2", .digest = digest, .dim = 384};
    return true;
}

void encoder_source_close(struct encoder_source *s)
{
    *s = (struct encoder_source){0};
}
