// Encoder models: configuration, packing, and the forward pass.
//
// Families: BERT (MiniLM, BGE, E5), RoBERTa and XLM-R, ModernBERT, DeBERTa-v3; heads that models bring themselves (pooler,
// sequence classification, token classification).
//
//   encoder_config_read(config.json)            what the model is
//   encoder_pack_bytes, encoder_pack(source)    once per model, tier and precision: one block without pointers
//   encoder_open(block)                         checks the block (it may be a mapped file); shared by threads
//   encoder_scratch_open(e, max_tok)            all memory of a worker; nothing is allocated per pass
//   encoder_run(e, scratch, ...)                one pass over one or several sequences, rows stacked without padding
//
// Attention is exact: local layers look at their window only, long sequences use online softmax, so that memory is
// linear in the tokens. A pass gives the same bits whatever else is in the batch and whatever thread runs it.
#ifndef MERIT_NN_ENCODER_H
#define MERIT_NN_ENCODER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/gemm.h"
#include "nn/tensor.h"

enum encoder_family { ENCODER_BERT, ENCODER_ROBERTA, ENCODER_MODERNBERT, ENCODER_DEBERTA };
enum encoder_task { ENCODER_EMBED, ENCODER_SEQUENCE, ENCODER_TOKENS };
enum encoder_pool { ENCODER_POOL_MEAN, ENCODER_POOL_CLS, ENCODER_POOL_WEIGHTED };
// How it is packed. AUTO is the default int8 plan of the tier, per layer by the sensitivity gate.
enum encoder_plan { ENCODER_PLAN_AUTO, ENCODER_PLAN_INT8, ENCODER_PLAN_HALF, ENCODER_PLAN_F32 };

enum {
    ENCODER_LAYERS_MAX = 64,
    ENCODER_HIDDEN_MAX = 4096,
    ENCODER_HEAD_MAX = 256, // numbers of one attention head
    ENCODER_INNER_MAX = 16384,
    ENCODER_VOCAB_MAX = 1 << 20,
    ENCODER_LABELS_MAX = 4096,
    ENCODER_TOKENS_MAX = 32768,
    ENCODER_PROBLEM_BYTES = 160,
};

// Without gaps, because it lies in packed blocks as it is.
struct encoder_config {
    uint64_t global_layers;         // ModernBERT: bit per layer that attends to everything
    double rope_global, rope_local; // ModernBERT: bases
    enum encoder_family family;
    enum encoder_task task;
    enum encoder_pool pool;
    uint32_t layers, hidden, heads, inner, vocab, positions, types, labels;
    uint32_t pad_id;
    uint32_t first_id,
        last_id; // what stands around a text, as far as the configuration tells; else 0
    float norm_eps;
    uint32_t global_every,
        window; // ModernBERT: every nth is global (0: as told per layer); positions to each side
    uint32_t buckets, relative_max; // DeBERTa
    bool normalise;                 // embeddings to length 1
    bool attention_bias, mlp_bias, norm_bias, classifier_bias, classifier_mean; // ModernBERT
    bool share_att_key, pos_c2p, pos_p2c, position_input, relative_norm;        // DeBERTa
    uint8_t unused[1];
};

struct encoder_sequence {
    const uint32_t *ids;
    const uint8_t *types; // NULL: all 0
    uint32_t count;
};

// What to write for each sequence; each may be NULL.
struct encoder_output {
    float *embedding; // [hidden]
    float *logits;    // [labels], or [count][labels] for a token classifier
    float *states;    // [count][hidden]
};

struct encoder;
struct encoder_scratch;

// `json` is config.json. RESULT_SYNTAX, RESULT_UNSUPPORTED (an architecture this build does not know), RESULT_LIMIT.
enum result encoder_config_read(struct slice json, struct encoder_config *out,
                                char problem[ENCODER_PROBLEM_BYTES]) MERIT_NODISCARD;

struct encoder_pack_options {
    enum nn_tier tier;
    enum encoder_plan plan;
    // Told between layers, for progress and cancel; may be NULL. False gives up with RESULT_CANCELLED.
    bool (*progress)(void *ctx, uint32_t done, uint32_t total);
    void *ctx;
};
// Bytes that encoder_pack needs at most. RESULT_LIMIT, RESULT_NOT_FOUND or RESULT_TYPE when the source lacks a tensor or
// has another shape, named in `problem`.
enum result encoder_pack_bytes(const struct encoder_config *config,
                               const struct tensor_source *source,
                               const struct encoder_pack_options *options, size_t *bytes,
                               char problem[ENCODER_PROBLEM_BYTES]) MERIT_NODISCARD;
// `block` is aligned to 64 bytes; `*used` bytes of it are the model.
enum result encoder_pack(const struct encoder_config *config, const struct tensor_source *source,
                         const struct encoder_pack_options *options, void *block, size_t bytes,
                         size_t *used, char problem[ENCODER_PROBLEM_BYTES]) MERIT_NODISCARD;

// `block` outlives the encoder and is only read. RESULT_VERSION (of another build or tier), RESULT_SYNTAX (damaged).
enum result encoder_open(struct slice block, struct encoder **out) MERIT_NODISCARD;
void encoder_close(struct encoder *e);
const struct encoder_config *encoder_config(const struct encoder *e);

// Room for passes of up to `tok` tokens in all sequences together.
enum result encoder_scratch_open(const struct encoder *e, uint32_t tok,
                                 struct encoder_scratch **out) MERIT_NODISCARD;
void encoder_scratch_close(struct encoder_scratch *s);
size_t encoder_scratch_bytes(const struct encoder_scratch *s);

// RESULT_LIMIT (more tokens than the scratch or the model's positions take), RESULT_RANGE (an id outside the vocabulary),
// RESULT_CANCELLED (`stop`, may be NULL, was seen set between layers).
enum result encoder_run(const struct encoder *e, struct encoder_scratch *s,
                        const struct encoder_sequence *sequences, uint32_t count,
                        const struct encoder_output *outputs,
                        const atomic_bool *stop) MERIT_NODISCARD;

#endif
