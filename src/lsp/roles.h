// What a name is, by where it stands: `house` behind `zone` of a model is the name of a zone.
//
// The grammar says NAME; this table says which. One row per place of the grammar, so that a new construct is a row here.
#ifndef MERIT_LSP_ROLES_H
#define MERIT_LSP_ROLES_H

#include "lsp/grammar.h"

// What has names.
enum lsp_kind {
    LSP_NOTHING,
    LSP_LATTICE,
    LSP_LEVEL, // of a lattice
    LSP_ZONE,
    LSP_SINK,
    LSP_MODEL,
    LSP_SIGNAL,
    LSP_PATH,
    LSP_ROUTE,
    LSP_ALIAS,
    LSP_PARAM, // of a path; known in its statement only
    LSP_KIND_COUNT_
};

// "zone"; the word that begins its statement, but for a level and a parameter.
const char *lsp_kind_name(enum lsp_kind k);

enum lsp_role {
    LSP_ROLE_NONE,     // free text, such as the name of a variable
    LSP_ROLE_DEFINES,  // the name of `kind` that this statement defines
    LSP_ROLE_REFERS,   // a name of `kind`
    LSP_ROLE_STEP,     // a step, or a name of a path
    LSP_ROLE_PASSABLE, // a step that can be required
    LSP_ROLE_STEPS,    // a step on its own
    LSP_ROLE_TAKEN, // what the step at `subject` takes: models, a sink, a level, a parameter of the path
    LSP_ROLE_PASSED,  // the sink that the step at `subject` is passed at
    LSP_ROLE_REACHED, // what the word before says: a zone, model or sink
    LSP_ROLE_ABOUT,   // anything that has a name
    LSP_ROLE_EFFORT,
    LSP_ROLE_NEED, // tools, images, ...
    LSP_ROLE_PROVIDER,
    LSP_ROLE_SINK_KIND,
    LSP_ROLE_ENGINE,   // of an endpoint
    LSP_ROLE_METER,    // of its machine
    LSP_ROLE_HARDWARE, // that an energy is known for
    LSP_ROLE_SCORER,   // of dispatch
    LSP_ROLE_CARRIES,
    LSP_ROLE_EXTRA, // what can be allowed
    LSP_ROLE_SCOPE, // of a budget
    LSP_ROLE_CODE,  // of a finding
    LSP_ROLE_FAMILY,
    LSP_ROLE_ARGUMENT, // of the family at `subject`
    LSP_ROLE_WEIGHED,  // the unit of a number that is an argument of the family at `subject`
    LSP_ROLE_ANSWER,   // a word that the signal at `subject` can give
    LSP_ROLE_OWN,      // a word that the signal of this statement can give
    LSP_ROLE_OBJECTIVE,
    LSP_ROLE_QUALITY, // the word `quality`
    LSP_ROLE_UNIT,
};

struct lsp_place {
    enum lsp_role role;
    enum lsp_kind kind;
    uint32_t subject; // token, counted from the begin of the statement
};

// What a NAME would be that is expected in this set; `x` is one of lsp_reading_next with an edge of LSP_EDGE_NAME.
struct lsp_place lsp_place_of(const struct lsp_reading *r, uint32_t set,
                              const struct lsp_expect *x);

#endif
