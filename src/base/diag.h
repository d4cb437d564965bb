// Diagnostics: what is wrong in a text that a person wrote, where, and how to mend it.
//
// A reader of policies or settings collects many in one run. Texts live in the arena given at init. When the cap is
// reached further ones are counted, not kept. `diag_render` prints them with the source line and a caret:
//
//   error[unknown-name]: no model is called `qwen3`
//     --> home.merit:12:34
//   12 | route quick when short -> answer(qwen3)
//      |                                  ^^^^^
//      = help: did you mean `qwen3-8b`?
#ifndef MERIT_BASE_DIAG_H
#define MERIT_BASE_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

enum diag_severity { DIAG_NOTE, DIAG_WARNING, DIAG_ERROR };

// Bytes [begin, end) of the source text.
struct span {
    uint32_t begin, end;
};

struct diag {
    enum diag_severity severity;
    const char *code; // stable, kebab-case, static: "unknown-name"
    struct span span;
    struct slice message; // one sentence, no full stop
    struct slice help;    // how to mend it; may be empty
    struct slice
        witness; // signal values as JSON that show it (`merit route --given`); may be empty
    struct span
        also; // a second place that matters (the earlier definition); empty when begin == end
    struct slice also_text;
};

// A place whose text must not be shown, such as a key that somebody wrote into the file.
struct diag_secret {
    struct span span;
    const struct diag_secret *next;
};

struct diag_list {
    struct arena *arena;
    struct diag *items;
    uint32_t count, room;
    uint32_t cap;     // most kept
    uint32_t dropped; // more than that
    uint32_t errors;  // of severity DIAG_ERROR, dropped ones included
    const struct diag_secret *secrets;
    bool blind;          // a secret could not be noted: no source text is shown at all
    struct diag scratch; // what diag_add returns when it keeps nothing
};

void diag_init(struct diag_list *l, struct arena *arena, uint32_t cap);

// Adds one and returns it, so that the caller can set help and also; a scratch one when dropped or out of memory,
// never NULL.
struct diag *diag_add(struct diag_list *l, enum diag_severity severity, const char *code,
                      struct span span, const char *fmt, ...) MERIT_PRINTF(5, 6);
// `d` as diag_add returned it, before the next diag_add.
void diag_help(struct diag_list *l, struct diag *d, const char *fmt, ...) MERIT_PRINTF(3, 4);
// `json`: signal values of a request that shows the finding; kept as it is.
void diag_witness(struct diag_list *l, struct diag *d, struct slice json);
void diag_also(struct diag_list *l, struct diag *d, struct span span, const char *fmt, ...)
    MERIT_PRINTF(4, 5);
// The bytes of `span` are shown as asterisks by diag_render.
void diag_secret(struct diag_list *l, struct span span);

// 1-based line and column (in bytes) of an offset.
void diag_position(struct slice source, uint32_t offset, uint32_t *line, uint32_t *column);

// In the order of their spans, "and N more" behind them. `name` is the file's name. Colours (ANSI) when `colour`.
void diag_render(const struct diag_list *l, struct slice source, struct slice name, bool colour,
                 struct buf *out);
// A JSON array of {severity, code, line, column, end_line, end_column, message, help, witness}; the last two where there are any.
void diag_render_json(const struct diag_list *l, struct slice source, struct buf *out);

// The candidate nearest to `name` within an edit distance of a third of its length (rounded up), or
// -1; for "did you mean".
int diag_nearest(struct slice name, const struct slice *candidates, size_t count);

#endif
