// Inside encoder_pack: the block under construction and the weights of one layer as f32.
#ifndef MERIT_NN_ENCODER_PACK_H
#define MERIT_NN_ENCODER_PACK_H

#include "nn/encoder_block.h"

struct encoder_packer {
    const struct encoder_config *config;
    const struct tensor_source *source;
    const struct encoder_pack_options *options;
    char *problem;
    char *block; // NULL while sizes are counted
    uint64_t room, at;
    const char *prefix; // of the trunk's names
    struct block_head head;
    struct block_layer *layers; // in the block
    // One layer's weights, [n][k] each, and biases; `has_bias` of each.
    float *w[ENCODER_LINEARS], *bias[ENCODER_LINEARS];
    bool has_bias[ENCODER_LINEARS];
    void *memory;
};

// What calibration finds of a layer's linear parts: balance per input column and the precision that the gate allows.
struct encoder_choice_linear {
    enum nn_precision precision;
    bool balanced;
};

void encoder_linear_size(const struct encoder_config *c, unsigned which, uint32_t *k, uint32_t *n);
enum nn_precision encoder_half(enum nn_tier tier); // the near lossless one of a tier

// Calibration: the f32 trunk over random tokens, one layer at a time.
struct encoder_calibration;
enum result encoder_calibration_open(struct encoder_packer *p, struct encoder_calibration **out)
    MERIT_NODISCARD;
void encoder_calibration_close(struct encoder_calibration *c);
// With layer `i` in p->w: chooses precisions and balances, and takes the states on to the next layer.
void encoder_calibrate(struct encoder_calibration *c, struct encoder_packer *p, uint32_t i,
                       struct encoder_choice_linear choice[ENCODER_LINEARS],
                       const float *balance[ENCODER_LINEARS]);

#endif
