#include "cli/model_name.h"

#include <stdio.h>

static const char *const plans[] = {"auto", "int8", "half", "f32"};

bool model_plan_read(const char *command, const char *text, enum encoder_plan *out)
{
    *out = ENCODER_PLAN_AUTO;
    for (size_t i = 0; text && i < MERIT_COUNT(plans); i++) {
        if (strcmp(text, plans[i]) == 0) {
            *out = (enum encoder_plan)i;
            return true;
        }
    }
    if (text)
        fprintf(stderr, "%s: --plan is auto, int8, half or f32\n", command);
    return !text;
}

const char *model_plan_name(enum encoder_plan plan)
{
    return plans[plan];
}

void model_tell(const char *command, const struct model_trouble *t)
{
    fprintf(stderr, "%s: %s\n", command, t->why);
    if (t->how[0])
        fprintf(stderr, "  %s\n", t->how);
}

struct model *model_open_told(const char *command, const char *name, const struct model_places *p,
                              enum encoder_plan plan)
{
    struct model *m;
    struct model_trouble t;
    struct model_options o = {.places = p, .plan = plan};
    if (model_open(&m, name, &o, &t)) {
        model_tell(command, &t);
        return NULL;
    }
    if (m->note.len)
        fprintf(stderr, "%s: packed into memory, for this run only: %.*s\n", command,
                SLICE_FMT(m->note));
    return m;
}
