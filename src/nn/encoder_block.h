// Inside the encoder: the packed block, and what packing, opening and running share.
//
// A block is this head, then tables, vectors and linear layers at offsets that are multiples of 64. Offset 0 stands for
// "absent". Everything a pass indexes by is in the head and the list of layers; they are checked against the block's
// size when it is opened, so that damaged numbers elsewhere give wrong sums at worst, and those are found by the hash.
#ifndef MERIT_NN_ENCODER_BLOCK_H
#define MERIT_NN_ENCODER_BLOCK_H

#include "nn/elem.h"
#include "nn/encoder.h"

enum { BLOCK_VERSION = 1, BLOCK_ALIGN = 64, ENCODER_LINEARS = 4 };
#define BLOCK_MAGIC 0x31434e455449524dull // "MRITENC1"

enum block_table_kind { TABLE_NONE, TABLE_F32, TABLE_S16, TABLE_S8 };

// [rows][hidden]; of integers the scales, one float per row, lie at `scales`.
struct block_table {
    uint32_t kind, rows;
    uint64_t at, scales;
};

struct block_linear {
    uint32_t precision, k, n, unused; // n 0: absent
    uint64_t at;
};

struct block_layer {
    struct block_linear linear[ENCODER_LINEARS]; // queries with keys and values; output; up; down
    uint64_t norm1_gain, norm1_bias, norm2_gain, norm2_bias; // [hidden] f32
    uint64_t pos_key, pos_query;                             // [2 * spread][hidden] f32
};

struct block_head {
    uint64_t magic, bytes; // the whole block
    uint64_t hash;         // of everything behind this number
    uint32_t version, head_bytes;
    uint32_t tier, plan;
    struct encoder_config config;
    struct block_table words, positions, types;
    uint64_t norm_gain, norm_bias;     // behind the embeddings
    uint64_t final_gain, final_bias;   // behind the last layer (ModernBERT)
    struct block_linear dense, labels; // the model's own head
    uint64_t dense_gain, dense_bias;   // norm between the two (ModernBERT)
    uint64_t layers;                   // [config.layers] struct block_layer
};

struct encoder {
    const char *base;
    const struct block_head *head;
    const struct block_layer *layers;
    const struct nn_elem *elem;
    enum attention_kind attention;
};

// A layer as a pass sees it, from a block or while it is being packed.
struct encoder_layer {
    struct gemm_weights linear[ENCODER_LINEARS];
    const float *norm1_gain, *norm1_bias, *norm2_gain, *norm2_bias;
    const float *pos_key, *pos_query;
    uint32_t window;
    bool local;
};

enum { LINEAR_QKV, LINEAR_OUT, LINEAR_UP, LINEAR_DOWN };
// Rows that go through a layer's linear parts together, and packed ones: twice as many with parts that stand out.
enum { RUN_ROWS = 96, RUN_PACKED = 2 * RUN_ROWS + 1 };

struct encoder_scratch {
    uint32_t tok, longest; // in all; of one sequence
    float *x;              // [tok][hidden]
    float *qkv;            // [tok][3 * hidden]
    float *y;              // [RUN_ROWS + 1][hidden]
    float *inner;          // [RUN_ROWS][inner, twice that with gates]
    float *pooled;         // [hidden]
    float *spare;          // [inner]
    float *rope[2];        // global, local: [tok][head]
    uint16_t *buckets;     // [2 * tok - 1]
    void *packed, *attention;
    // Packing looks at what goes into each linear layer; NULL else.
    void (*observe)(void *ctx, unsigned linear, const float *rows, size_t stride, uint32_t count);
    void *observe_ctx;
    void *memory;
    size_t bytes;
};

struct encoder_pass {
    const struct encoder_config *config;
    const struct nn_elem *elem;
    enum attention_kind attention;
    struct encoder_scratch *scratch;
    const struct encoder_sequence *sequences;
    uint32_t count, tok;
};

// Where the values of `c` contradict each other or a limit: the name of one, else NULL.
const char *encoder_config_wrong(const struct encoder_config *c);
// printf to `problem` (may be NULL); returns `r`.
enum result encoder_problem(char *problem, enum result r, const char *fmt, ...) MERIT_PRINTF(3, 4);

uint64_t encoder_block_hash(const void *bytes, size_t n);
// Sizes that follow from a configuration.
uint32_t encoder_up_n(const struct encoder_config *c);   // of the inner product: twice with gates
uint32_t encoder_spread(const struct encoder_config *c); // DeBERTa: half of the relative table
uint32_t encoder_tokens(const struct encoder_config *c); // longest sequence
bool encoder_layer_local(const struct encoder_config *c, uint32_t layer);

enum result encoder_scratch_make(const struct encoder_config *c, const struct nn_elem *elem,
                                 enum attention_kind attention, size_t packed_bytes, uint32_t tok,
                                 struct encoder_scratch **out) MERIT_NODISCARD;
// One layer over the rows in scratch->x. With `first_only` the last product's rows are those of each sequence's first
// token, moved to the front of x.
void encoder_layer_run(const struct encoder_pass *p, const struct encoder_layer *l,
                       bool first_only);
struct encoder_layer encoder_layer_of(const struct encoder *e, uint32_t layer);
// The rows of all sequences into scratch->x.
void encoder_embed(const struct encoder *e, const struct encoder_pass *p);
// y[row] = W x[row] + b, through scratch->packed.
void encoder_linear_run(const struct encoder_pass *p, const struct gemm_weights *w, unsigned which,
                        const float *x, size_t stride, uint32_t rows, float *y, size_t y_stride);

#endif
