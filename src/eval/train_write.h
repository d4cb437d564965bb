// Private to eval/train*.c: the file of a trained head.
#ifndef MERIT_EVAL_TRAIN_WRITE_H
#define MERIT_EVAL_TRAIN_WRITE_H

#include "eval/fit.h"
#include "eval/train.h"
#include "nn/head.h"

struct train_parts {
    const struct slice *labels;
    uint32_t label_count;
    const char *data_digest;
    const uint8_t *idf;
    const struct fit *first, *second; // NULL: none
    const float *first_calibration, *second_calibration;
};

enum result train_write(const struct train_options *o, const struct train_parts *parts,
                        const struct train_report *report, struct buf *out) MERIT_NODISCARD;

#endif
