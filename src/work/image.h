// The compiled policy: one block of memory without pointers, so that it can be written to a file and mapped.
//
// policy/compile.c builds it, everyone else reads it. Strings and lists are offsets from the start of the block.
// It is immutable; several threads may read it. `image_open` checks magic, version, checksum and every offset, index,
// size and enum, so that neither a damaged nor a hostile file can make a reader leave the block. Money is nano-USD per
// million tokens. The same policy text gives the same bytes.
#ifndef MERIT_WORK_IMAGE_H
#define MERIT_WORK_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/fact.h"

enum {
    IMAGE_VERSION = 2,
    IMAGE_BYTES_MAX = 64 * 1024 * 1024,
    IMAGE_DIGEST_BYTES = 32,
    IMAGE_NONE = -1,
    IMAGE_GUARD_DEPTH_MAX = 136, // nodes of a guard inside each other
    IMAGE_WORDS_MAX = 64,        // values of an enum
    IMAGE_TOK_MAX = 1000000000,  // of a window or an output
};
// Of a price, nano-USD per million tokens (100,000 USD). A price times IMAGE_TOK_MAX exceeds 64 bits: divide first or
// multiply in 128.
#define IMAGE_PRICE_MAX INT64_C(100000000000000)

struct image_str {
    uint32_t at, len;
};

struct image_list {
    uint32_t at, count;
};

// Where a thing stands in the source, for explanations: 1-based line.
struct image_zone {
    struct image_str name;
    uint32_t line;
};

enum image_key_source { IMAGE_KEY_NONE, IMAGE_KEY_ENV, IMAGE_KEY_FILE };

enum image_effort {
    IMAGE_EFFORT_DEFAULT,
    IMAGE_EFFORT_OFF,
    IMAGE_EFFORT_LOW,
    IMAGE_EFFORT_MEDIUM,
    IMAGE_EFFORT_HIGH,
    IMAGE_EFFORT_ON,
    IMAGE_EFFORT_COUNT_
};

struct image_model {
    struct image_str name;          // how the policy calls it
    struct image_str upstream_name; // what goes into the request's `model`
    struct image_list endpoints;    // struct image_endpoint
    int32_t zone;                   // index, or IMAGE_NONE
    uint32_t line;
    uint32_t context_tok, output_tok; // output_tok is context_tok when the policy states none
    uint32_t can;                     // enum work_need bits
    uint32_t efforts;                 // bit per enum image_effort
    enum image_key_source key_source;
    struct image_str key_name; // the variable's or the file's name, never the key
    bool priced;               // false: the policy states no price, costs are unknown, not zero
    int64_t price_in_nusd, price_out_nusd, price_cached_nusd; // per million tokens
    float quality;             // declared, 0..1; negative when the policy states none
    struct image_str provider; // "openai", or empty
};

struct image_endpoint {
    struct image_str url; // http(s)://host[:port]/base, or "demo:" for the embedded pool
    int32_t model;
    uint32_t line;
};

enum image_target { IMAGE_TARGET_ROUTES, IMAGE_TARGET_ROUTE, IMAGE_TARGET_MODEL };

struct image_alias {
    struct image_str name;
    enum image_target target;
    int32_t index; // of the route or model
    uint32_t line;
};

// A path of the API that goes to a model's endpoint as it is: `pass "/v1/embeddings" to small`.
struct image_pass {
    struct image_str path;
    int32_t model;
    uint32_t line;
};

enum image_arg_kind { IMAGE_ARG_STRING, IMAGE_ARG_NUMBER, IMAGE_ARG_WORD };

struct image_arg {
    enum image_arg_kind kind;
    struct image_str name; // of a named argument; empty for positional
    struct image_str tag;  // "regex" in keywords(regex "a+b"); empty without
    struct image_str text; // of a string or word
    double number;
    uint32_t begin, end; // span in the source
};

struct image_signal {
    struct image_str name;
    struct image_str family;
    struct image_list args;  // struct image_arg
    enum signal_type type;   // after the comparison below
    struct image_list words; // struct image_str: the values when the type is SIGNAL_ENUM
    // `above t` / `below t` turns the family's number into a truth value.
    bool has_threshold, threshold_above;
    double threshold;
    // on_error: what holds when it cannot be computed.
    double error_number;
    struct image_str error_text;
    uint32_t line;
};

enum image_op {
    IMAGE_OP_TRUE, // the signal is true (bool), non-empty (text, set)
    IMAGE_OP_EQ,   // the one of `texts` (text), the word `number` (enum), `number`
    IMAGE_OP_NE,   // the compiler writes NOT EQ instead, so that both are one atom
    IMAGE_OP_LT,
    IMAGE_OP_LE,
    IMAGE_OP_GT,
    IMAGE_OP_GE,
    IMAGE_OP_IN, // one of `texts` (text, enum), any of them (set)
};

// A question about one signal. Equal questions are one atom, wherever they stand.
struct image_atom {
    int32_t signal;
    enum image_op op;
    double number;           // of a number, bool, or the index of an enum's word
    struct image_list texts; // struct image_str, for EQ, NE and IN on text and set
    uint64_t words;          // for IN on an enum: bit per word (an enum has at most 64)
    struct image_str shown;  // as the policy writes it: `questions > 3`
};

enum image_node_kind {
    IMAGE_NODE_TRUE,
    IMAGE_NODE_ATOM,
    IMAGE_NODE_NOT,
    IMAGE_NODE_AND,
    IMAGE_NODE_OR
};

// A guard in prefix order: AND and OR are followed by `count` subtrees; `size` is the number of nodes of the whole
// subtree, itself included, so that one can be stepped over. AND and OR have at least
// two children; depth is at most IMAGE_GUARD_DEPTH_MAX.
struct image_node {
    enum image_node_kind kind;
    uint32_t arg; // atom index, or child count
    uint32_t size;
};

enum image_step_kind { IMAGE_STEP_ANSWER, IMAGE_STEP_REFUSE };

// A model with an effort, as a candidate of `answer`.
struct image_binding {
    int32_t model;
    enum image_effort effort;
};

struct image_step {
    enum image_step_kind kind;
    struct image_list bindings; // struct image_binding, in the policy's order; `any` is written out
    bool any;
    struct image_str text; // the message of a refusal
};

enum image_objective { IMAGE_OBJECTIVE_ORDER, IMAGE_OBJECTIVE_COST, IMAGE_OBJECTIVE_QUALITY };

struct image_route {
    struct image_str name;
    uint32_t line;
    struct image_list guard;    // struct image_node
    struct image_list steps;    // struct image_step, in order
    struct image_str path_name; // "answer", "refuse", or the name of a `path`
    enum image_objective objective;
    float quality_min;           // `where quality >= x`; 0 without
    int64_t cost_max_nusd;       // `within x usd`; negative without
    struct image_list otherwise; // struct image_step: its `else`; empty without
    bool is_otherwise;           // the last one
};

struct policy_image {
    char magic[8]; // "MERITPOL"
    uint32_t version;
    uint32_t size;                      // of the whole block
    uint64_t checksum;                  // over the block with this field zero, see image_seal
    uint8_t digest[IMAGE_DIGEST_BYTES]; // SHA-256 of the policy's text
    struct image_str name;
    uint32_t policy_version;
    struct image_list zones, models, endpoints, aliases, passes, signals, args, atoms, nodes,
        bindings, steps, routes;
    struct image_list strs;  // struct image_str: what lists of texts and words point into
    struct image_list chars; // the bytes of all strings
};

// A view of the block. `size` is what is readable; `block` is aligned to 8. Reads all of it once.
// RESULT_VERSION, RESULT_SYNTAX (damaged).
enum result image_open(const void *block, size_t size,
                       const struct policy_image **out) MERIT_NODISCARD;

// Sets the checksum of a block whose `size` is right; for whoever writes one.
void image_seal(struct policy_image *p);

static inline struct slice image_text(const struct policy_image *p, struct image_str s)
{
    return slice_make((const char *)p + s.at, s.len);
}

#define IMAGE_AT(p, list, type) ((const type *)(const void *)((const char *)(p) + (list).at))

// The element, with its bounds asserted.
static inline const struct image_model *image_model(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->models.count);
    return IMAGE_AT(p, p->models, struct image_model) + i;
}

static inline const struct image_signal *image_signal(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->signals.count);
    return IMAGE_AT(p, p->signals, struct image_signal) + i;
}

static inline const struct image_route *image_route(const struct policy_image *p, int32_t i)
{
    assert(i >= 0 && (uint32_t)i < p->routes.count);
    return IMAGE_AT(p, p->routes, struct image_route) + i;
}

// Index of a name, or IMAGE_NONE.
int32_t image_find_model(const struct policy_image *p, struct slice name);
int32_t image_find_route(const struct policy_image *p, struct slice name);
int32_t image_find_signal(const struct policy_image *p, struct slice name);
const struct image_alias *image_find_alias(const struct policy_image *p, struct slice name);
// "default", "off", "low", ...
const char *image_effort_name(enum image_effort e);
// "==", "in", ...; empty for IMAGE_OP_TRUE.
const char *image_op_name(enum image_op op);
// "bool", "number", "enum", "text", "set".
const char *image_type_name(enum signal_type type);

#endif
