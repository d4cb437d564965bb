// A head: what turns a text (first tier, nn/ngram.h) and its embedding (second tier) into calibrated probabilities.
//
// A head is one safetensors file that holds a first tier, a second tier, or both, the labels, and where all that comes
// from. The second tier is a logistic layer or a small MLP over the encoder's embedding and, where both tiers stand in
// the file, over the first tier's logits beside it. Arithmetic is f32 in a fixed order: the same bits on every machine.
//
//   head_first(h, scratch, text, logits, p)           microseconds, no encoder
//   if (!head_enough(h, p))
//       head_second(h, embedding, logits, p)          once the embedding is there
//
// Probabilities are calibrated on texts that the weights had not seen: of answers told with .8, eight in ten are right.
//
// Pure; a head is immutable, shared by threads; each thread brings a scratch (head_scratch_open).
#ifndef MERIT_NN_HEAD_H
#define MERIT_NN_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/result.h"
#include "base/slice.h"
#include "nn/ngram.h"

enum {
    HEAD_LABELS_MAX = 1024,
    HEAD_LABEL_BYTES_MAX = 128,
    HEAD_DIM_MAX = 8192,
    HEAD_HIDDEN_MAX = 1024,
    HEAD_TEXT_MAX = 16 * 1024, // bytes of a text that a first tier reads at most
    HEAD_FILE_MAX = 256 * 1024 * 1024,
    HEAD_PROBLEM_BYTES = 200,
    HEAD_VERSION_LEN = 16,
};

struct head;

// What the file says; slices live as long as the head.
struct head_info {
    struct slice signal;         // "domain"
    uint32_t label_count;        // at least 2
    const struct slice *labels;  // labels[i] is the name of p[i]
    bool first, second;          // which tiers it has
    bool stacked;                // the second tier wants the first tier's logits
    struct slice kind;           // of the second tier: "logistic" or "mlp"; empty without
    struct slice encoder;        // its name, empty without a second tier
    struct slice encoder_digest; // lower-case hex
    uint32_t dim;                // of the embedding; 0 without a second tier
    float
        enough; // the first tier's answer stands when its largest probability reaches this; above 1: never
    char version[HEAD_VERSION_LEN + 1]; // the beginning of the file's sha256, hex
    struct slice data, licence, date, metrics, seed, command; // how it was made; metrics is JSON
};

// `file` outlives the head (it may be mapped, or part of the program). RESULT_SYNTAX (no head, or its parts do not fit
// together), RESULT_RANGE (a weight that is not finite), RESULT_VERSION (a later format), RESULT_EOF (cut short), RESULT_LIMIT,
// RESULT_NOMEM; told in `problem` (may be NULL).
enum result head_open(struct slice file, char problem[HEAD_PROBLEM_BYTES],
                      struct head **out) MERIT_NODISCARD;
void head_close(struct head *h);
const struct head_info *head_info(const struct head *h);
// Index of a label, UINT32_MAX when there is none.
uint32_t head_label(const struct head *h, struct slice name);
// Whether its second tier belongs to this encoder: RESULT_VERSION with both names in `problem` when it was trained on another
// one or another dimension; RESULT_OK for a head without second tier.
enum result head_fits(const struct head *h, struct slice encoder_digest, uint32_t dim,
                      char problem[HEAD_PROBLEM_BYTES]) MERIT_NODISCARD;
// The first tier, NULL without: heads whose specs are equal may share ngram_features.
const struct ngram_model *head_ngram(const struct head *h);

// Serves every head.
struct head_scratch;
enum result head_scratch_open(struct head_scratch **out) MERIT_NODISCARD;
void head_scratch_close(struct head_scratch *s);

// p[label_count], sums to 1; logits[label_count] as head_second wants them (may be NULL): calibrated, centred and scaled. The
// head has a first tier.
void head_first(const struct head *h, struct head_scratch *s, struct slice text, float *logits,
                float *p);
// Whether the first tier's p may stand as the answer.
bool head_enough(const struct head *h, const float *p);
// `embedding` is [dim]; `logits` are those of head_first for the same text, not NULL when the head is stacked. The head has a
// second tier.
void head_second(const struct head *h, struct head_scratch *s, const float *embedding,
                 const float *logits, float *p);

// The layers of a second tier, for head_open and for the trainer, which must compute alike. Weights are [out][in].
struct head_layers {
    uint32_t inputs, hidden, columns; // hidden 0: logistic
    const float *hidden_weight, *hidden_bias, *weight, *bias;
};
// raw[columns] of x[inputs]; `room` is [hidden].
void head_layers_run(const struct head_layers *l, const float *x, float *room, float *raw);
// Columns are the labels, but for two labels there is one: the logit of label 1 over label 0, whose own is 0.
uint32_t head_columns(uint32_t label_count);
// What a first tier's raw columns are to a stacked second tier, out[label_count].
void head_stack(const float *raw, uint32_t label_count, const float *calibration, float *out);
// p[label_count] of raw columns; calibration is {slope, shift[label_count]}.
void head_calibrate(const float *raw, uint32_t label_count, const float *calibration, float *p);

// Index of the largest.
uint32_t head_best(const float *p, uint32_t count);

#endif
