// What the commands that use a model share: where models are, and opening one with words for people.
#ifndef MERIT_CLI_MODEL_NAME_H
#define MERIT_CLI_MODEL_NAME_H

#include "model/model.h"

// The model that is taken when none is named.
#define MODEL_DEFAULT "all-minilm-l6-v2"

// "auto", "int8", "half", "f32"; NULL is auto. False with a message.
bool model_plan_read(const char *command, const char *text, enum encoder_plan *out);
const char *model_plan_name(enum encoder_plan plan);

// "merit model info: WHY", and what to do on a line of its own.
void model_tell(const char *command, const struct model_trouble *t);

// Opens it, or tells why not; a note about the cache is told too. NULL when it cannot be opened.
struct model *model_open_told(const char *command, const char *name, const struct model_places *p,
                              enum encoder_plan plan);

#endif
