// Loads and packs encoders for tests: a folder with config.json and model.safetensors, or a model made of a seed.
#ifndef MERIT_TESTS_ENCODER_LOAD_H
#define MERIT_TESTS_ENCODER_LOAD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/rng.h"
#include "nn/encoder.h"
#include "nn/safetensors.h"

struct loaded {
    struct buf config_text, weights_text;
    struct safetensors weights;
    struct tensor_source source;
    struct encoder_config config;
    void *block;
    size_t used;
    struct encoder *encoder;
};

// The data folder, or NULL.
static inline const char *load_data(void)
{
    const char *dir = getenv("MERIT_DATA");
    return dir ? dir : "../shared/data";
}

static inline bool load_folder(struct loaded *l, const char *dir)
{
    char path[1024], problem[ENCODER_PROBLEM_BYTES], trouble[SAFETENSORS_PROBLEM_BYTES];
    memset(l, 0, sizeof *l);
    buf_init(&l->config_text, 1 << 20);
    buf_init(&l->weights_text, (size_t)1 << 30);
    snprintf(path, sizeof path, "%s/config.json", dir);
    if (file_read(path, &l->config_text))
        return false;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (file_read(path, &l->weights_text))
        return false;
    if (encoder_config_read(buf_slice(&l->config_text), &l->config, problem)) {
        fprintf(stderr, "%s: %s\n", dir, problem);
        return false;
    }
    if (safetensors_open(&l->weights, buf_slice(&l->weights_text), trouble)) {
        fprintf(stderr, "%s: %s\n", dir, trouble);
        return false;
    }
    l->source = safetensors_source(&l->weights);
    return true;
}

static inline void load_drop(struct loaded *l)
{
    encoder_close(l->encoder);
    free(l->block);
    l->encoder = NULL;
    l->block = NULL;
}

static inline bool load_pack(struct loaded *l, enum nn_tier tier, enum encoder_plan plan)
{
    char problem[ENCODER_PROBLEM_BYTES] = "";
    struct encoder_pack_options o = {.tier = tier, .plan = plan};
    size_t bytes;
    load_drop(l);
    enum result r = encoder_pack_bytes(&l->config, &l->source, &o, &bytes, problem);
    if (!r) {
        l->block = aligned_alloc(64, bytes);
        r = encoder_pack(&l->config, &l->source, &o, l->block, bytes, &l->used, problem);
    }
    if (!r)
        r = encoder_open(slice_make(l->block, l->used), &l->encoder);
    if (r)
        fprintf(stderr, "packing: %s: %s\n", result_name(r), problem);
    return r == RESULT_OK;
}

static inline void load_free(struct loaded *l)
{
    load_drop(l);
    if (l->weights.tensors)
        safetensors_close(&l->weights);
    buf_deinit(&l->config_text);
    buf_deinit(&l->weights_text);
}

static inline double load_cosine(const float *a, const float *b, uint32_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

#endif
