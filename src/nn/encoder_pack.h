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

void encoder_linear_size(const struct encoder_config *c, unsigned which, uint32_t *k, uint32_t *n);
enum nn_precision encoder_half(enum nn_tier tier); // the near lossless one of a tier

// Calibration: the trunk in f32 over random tokens of a fixed seed, one layer at a time, so that it needs the memory of
// a layer. Random tokens find the columns with outliers as well as a corpus does.
struct encoder_calibration;
enum result encoder_calibration_open(struct encoder_packer *p,
                                     struct encoder_calibration **out) MERIT_NODISCARD;
void encoder_calibration_close(struct encoder_calibration *c);
// With layer `layer` in p->w and its norms in the block: the balance of each linear part, and for ENCODER_PLAN_AUTO whether
// NN_INT8 is good enough for it (`precision` is what stands in for it otherwise). Takes the states on to the next layer.
void encoder_calibrate(struct encoder_calibration *c, struct encoder_packer *p, uint32_t layer,
                       enum nn_precision precision[ENCODER_LINEARS],
                       const float *balance[ENCODER_LINEARS]);

#endif
