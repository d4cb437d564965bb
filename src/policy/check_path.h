// Inside of the checker: from a chain of steps with calls of paths to lines of steps. For policy/ only.
#ifndef MERIT_POLICY_CHECK_PATH_H
#define MERIT_POLICY_CHECK_PATH_H

#include "policy/check.h"

struct made {
    struct image_step step;
    const struct node *node; // where it was written
};

// One chain of the image.
struct line {
    struct line *next;
    struct made **steps;
    uint32_t count;
    const struct node *place;
};

// The chain and the `else` among `clauses` (a list of siblings, may be NULL), in the arena. NULL with a finding.
const struct line *check_path(struct checker *c, const struct node *chain,
                              const struct node *clauses);
// Whether the lines make sense as one path; `*verified`: one of them verifies.
bool check_lines(struct checker *c, const struct line *lines, bool *verified);
// Puts them into the image.
struct image_list check_emit_lines(struct checker *c, const struct line *lines);
void check_path_heads(struct checker *c);

// Name of a step: false when it is none.
bool check_step_kind(struct slice name, enum image_step_kind *out);
const char *const *check_step_names(void); // NULL-terminated
// The sink called `word`, which must be of one of `kinds` (bits): false with a finding that calls it `what`.
bool check_sink_of(struct checker *c, const struct node *word, uint32_t kinds, const char *what,
                   int32_t *out);
// Complains when nothing in the policy allows it.
void check_allowed(struct checker *c, const struct node *n, enum image_extra extra);

#endif
