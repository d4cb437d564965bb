// From the text of a policy to its image: parse, check, compile.
//
// All three are pure: memory comes from the arena they are given and from base/alloc.h for scratch that is freed
// before they return; no I/O, no clock, no globals. One thread per call; different calls may run side by side.
// Every finding goes into `diags` (many per run); the same text always gives the same findings and the same image.
//
// The arena keeps tree, messages and image. An ordinary policy needs less than 1 MiB of it; POLICY_ARENA_MAX is
// enough for every file within the limits below.
#ifndef MERIT_POLICY_POLICY_H
#define MERIT_POLICY_POLICY_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/image.h"
#include "work/image_layout.h"
#include "work/signal.h"

enum {
    POLICY_BYTES_MAX = 4 * 1024 * 1024, // of one file
    POLICY_TOKENS_MAX = 1000000,
    POLICY_STATEMENTS_MAX = 10000,
    POLICY_DEPTH_MAX = 64,         // of parentheses, `not`, calls and `else` inside each other
    POLICY_DIAGS_MAX = 200,        // a good cap for diag_init: further findings are counted
    POLICY_STRING_MAX = 65536,     // bytes of one string
    POLICY_NAME_MAX = 128,         // bytes of one name
    POLICY_BINDINGS_MAX = 1000000, // candidates of all routes together, `any` written out
    POLICY_STEPS_MAX = 200000,     // of all routes together, paths written out
    POLICY_ARENA_MAX = 512 * 1024 * 1024,
};

struct tree;       // policy/tree.h
struct price_list; // policy/price_list.h

// Where the elements of an image stand in the text: a span per element of a section, for messages of those who reason
// about the image. A constraint's or route's span is its name or first words; a guard node's the condition it was made
// of. Lives in the arena of the compilation.
struct policy_places {
    const struct span *at[IMAGE_SECTIONS]; // NULL for IMAGE_STRS and IMAGE_CHARS
};

static inline struct span policy_place(const struct policy_places *p, enum image_section s,
                                       uint32_t i)
{
    return p && p->at[s] ? p->at[s][i] : (struct span){0, 0};
}

// Reads the syntax. `*out` is set even when there are syntax errors (RESULT_SYNTAX): the tree then holds what could be
// read, so that the checker can find more in the same run. `text` must outlive the tree.
// RESULT_UTF8: not UTF-8 or with a NUL, `diags` names the place, `*out` is NULL.
// RESULT_LIMIT: the file, its tokens or its statements are over a limit, `diags` names it, `*out` is NULL.
// RESULT_NOMEM: the arena or the heap has none left, `*out` is NULL.
enum result policy_parse(struct slice text, struct arena *arena, struct diag_list *diags,
                         const struct tree **out);

// Checks names, types and units of `tree` and compiles it. When `diags` holds an error afterwards (also one that
// stood there before), `*out` is NULL and the result is RESULT_SYNTAX. Otherwise RESULT_OK, RESULT_NOMEM, or
// RESULT_LIMIT when the image would exceed IMAGE_BYTES_MAX.
// `registry` tells which signal families there are; it is only used during the call.
enum result policy_compile(const struct tree *tree, const struct signal_registry *registry,
                           struct arena *arena, struct diag_list *diags,
                           const struct policy_image **out);
// The same, with `*places` (set when `*out` is).
enum result policy_compile_places(const struct tree *tree, const struct signal_registry *registry,
                                  struct arena *arena, struct diag_list *diags,
                                  const struct policy_image **out,
                                  const struct policy_places **places);

// The same, with the list that `price listed` looks at; NULL: the built-in one.
enum result policy_compile_priced(const struct tree *tree, const struct signal_registry *registry,
                                  const struct price_list *prices, struct arena *arena,
                                  struct diag_list *diags, const struct policy_image **out,
                                  const struct policy_places **places);

// Both. `*out` is NULL unless RESULT_OK.
enum result policy_load(struct slice text, const struct signal_registry *registry,
                        struct arena *arena, struct diag_list *diags,
                        const struct policy_image **out);

#endif
