// A signal family: what a policy may write behind `signal NAME =`, and how the value is computed.
//
// A family is one constant in one file of src/signal/. The policy compiler reads the declarative half (arguments,
// type, words, cost class) through a registry that its caller hands it, so that policy/ depends on no signal. The
// functions are pure: no I/O, no clock, memory from the arena they are given.
#ifndef MERIT_WORK_SIGNAL_H
#define MERIT_WORK_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/result.h"
#include "work/fact.h"
#include "work/image.h"
#include "work/work.h"

// Order of magnitude, for planning before anything was measured.
enum signal_cost {
    SIGNAL_COST_FREE,    // read off the parsed work: tens of nanoseconds
    SIGNAL_COST_PATTERN, // shares one pattern scan: microseconds
    SIGNAL_COST_TEXT,    // its own pass over the anchored text: microseconds
    SIGNAL_COST_EMBED,   // static embedding: tens of microseconds
    SIGNAL_COST_ENCODER, // shares one encoder pass: milliseconds
    SIGNAL_COST_JUDGE,   // an external call: seconds
};

// What of the request an encoder reads for a signal of class ENCODER: one pass for all signals of a kind.
enum signal_pass {
    SIGNAL_PASS_ANCHOR, // the anchored text, for what it means
    SIGNAL_PASS_ENTITY, // the same by the model that finds names
    SIGNAL_PASS_PIECES, // the pieces of all texts of which a first tier was not sure
    SIGNAL_PASS_TURNS,  // the user's turns
};

// A guess in nanoseconds for a class until costs are measured. Grade: guessed, 2026-11.
uint32_t signal_cost_guess_ns(enum signal_cost cost);

enum signal_arg_kind {
    SIGNAL_ARG_STRING, // "text"
    SIGNAL_ARG_NUMBER, // 3, 0.5, 2 tok
    SIGNAL_ARG_WORD,   // one of `words`
};

// One argument form. Positional arguments have an empty name; others are written `name value`.
// A tagged string is written `tag "text"`, as in keywords(regex "a+b"): its spec has `tag` set.
struct signal_arg_spec {
    const char *name; // NULL for positional
    enum signal_arg_kind kind;
    const char *const *words; // NULL-terminated, for SIGNAL_ARG_WORD
    const char *const
        *tags;       // NULL-terminated words that may stand before a positional string, or NULL
    double min, max; // for numbers, inclusive
    bool required, repeated;
    const char *help; // one line for messages and documents
    const char *
        unit; // for numbers: the unit a policy must write behind it ("tok", "ms"), or NULL for none
};

// Text in which patterns are looked for together (text/pattern.h); opaque here.
struct pattern_builder;
struct pattern_scan;
struct trunk_service; // work/trunk.h
struct learned_set;

// What a family may use while a definition is made ready.
struct signal_load {
    struct pattern_builder *patterns;
    const struct trunk_service *trunk; // NULL: no encoder is at hand
    struct learned_set *heads;         // signal/learned.h: heads that definitions share
};

// What a family may use while computing. Shared artifacts are computed on first use and then kept.
struct signal_context {
    const struct work *work;
    struct arena *arena;
    void *artifacts; // owned by signal/: pattern hits, words of the anchored text
};

// How far a definition's number is to be trusted, for the checker of thresholds (signal/doubt.h).
struct signal_doubt {
    double
        error; // mean distance between a probability told and how often it was right; 0: not known
    // Unit vectors, [count][dim]: the value never exceeds the best cosine to one of them. count 0: no such thing.
    const float *prototypes;
    uint32_t count, dim;
};

// How much of what a definition should see it was measured to miss: `missed` of `of` marked places.
struct signal_missed {
    uint32_t missed, of;
};

struct signal_family {
    const char *name;    // "keywords"
    const char *summary; // one line
    enum signal_cost cost;
    enum signal_pass pass; // of class ENCODER
    bool compares;         // by n-grams: each thread needs memory for that
    const struct signal_arg_spec *args;
    uint32_t arg_count;
    // The type of a definition; it may depend on the arguments.
    enum signal_type (*type)(const struct policy_image *image, const struct image_signal *def);
    const char *const *words;   // NULL-terminated, the values of an enum type
    const char *const *members; // NULL-terminated, all that a set can hold; NULL: anything
    double
        number_max; // of a number type, before a threshold: values are 0 to this; 0: no bound is known
    bool whole;     // ... and they have no fractions
    // Range of a definition whose arguments decide about it; sets what it changes. NULL: they do not.
    void (*range)(const struct policy_image *image, const struct image_signal *def, double *max,
                  bool *whole);
    const char
        *unit; // of a number type: what a policy must write behind a number it is compared with, as
               // "tok" in `context above 8k tok`; NULL for a plain number

    // The class of a definition whose arguments make it cheaper or dearer than `cost`; NULL: they do not.
    enum signal_cost (*cost_of)(const struct policy_image *image, const struct image_signal *def);

    // Checks what the specs cannot say (a regex that does not compile). `fail` records a message for argument
    // `arg`. May be NULL.
    void (*check)(const struct policy_image *image, const struct image_signal *def,
                  void (*fail)(void *ctx, uint32_t arg, const char *message), void *ctx);
    // Once per load: compiles the definition into `*state`, in `arena`; registers patterns, has examples embedded.
    enum result (*prepare)(const struct policy_image *image, const struct image_signal *def,
                           struct arena *arena, const struct signal_load *load, void **state);
    // The value for one piece of work. Sets everything in `out` but state, error and cost_ns. RESULT_AGAIN: it has asked
    // an encoder (artifacts_ask) and is to be called again when that has answered. Anything else but RESULT_OK makes the
    // fact FACT_FAILED with the definition's on_error.
    enum result (*compute)(const void *state, struct signal_context *ctx, struct fact *out);
    // May be NULL: nothing is known.
    void (*doubt)(const void *state, struct signal_doubt *out);
    // How much it misses, for whoever states what a label guarantees. May be NULL: not measured.
    struct signal_missed (*missed)(const struct policy_image *image,
                                   const struct image_signal *def);
};

struct signal_registry {
    const struct signal_family *const *families;
    uint32_t count;
};

const struct signal_family *signal_family_find(const struct signal_registry *r, struct slice name);

#endif
