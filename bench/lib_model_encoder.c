// The encoder as a shared library for bench/encoder, which calls it and ONNX Runtime in turns on one thread.
//
// Times are CPU time of the calling thread, in nanoseconds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/folder.h"
#include "nn/encoder.h"
#include "nn/head.h"
#include "nn/tier.h"

#define EXPORTED __attribute__((visibility("default")))

enum { HEADS_MAX = 8, HEAD_LABELS = 14 };

struct bench_encoder {
    void *block;
    size_t used;
    struct encoder *encoder;
    struct encoder_scratch *scratch;
    float *embedding, *heads; // of HEADS_MAX linear heads
};

EXPORTED struct bench_encoder *bench_encoder_open(const char *folder, const char *tier,
                                                  enum encoder_plan plan, uint32_t max_tok,
                                                  char problem[FOLDER_PROBLEM_BYTES]);
EXPORTED void bench_encoder_close(struct bench_encoder *b);
EXPORTED uint64_t bench_encoder_bytes(const struct bench_encoder *b);
EXPORTED int64_t bench_encoder_run(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                                   float *embedding, float *states);
EXPORTED int64_t bench_encoder_heads(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                                     uint32_t heads);
EXPORTED const char *bench_tier_best(void);

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

const char *bench_tier_best(void)
{
    return nn_tier_name(nn_tier_best());
}

static enum result pack(struct bench_encoder *b, const struct folder *f, const char *tier,
                        enum encoder_plan plan, char *problem)
{
    struct encoder_pack_options options = {.plan = plan};
    struct encoder_config config;
    struct folder_weights weights;
    size_t bytes;
    enum result r = nn_tier_choose(tier, &options.tier);
    if (!r)
        r = encoder_config_read(f->config, &config, problem);
    if (r)
        return r;
    r = folder_load(f, &weights, problem);
    if (r)
        return r;
    // Embeddings as the folder's own description of its pooling says, as the model layer does it.
    if (f->pool_known) {
        config.pool = f->pool;
        config.normalise = f->normalise;
    }
    r = encoder_pack_bytes(&config, &weights.source, &options, &bytes, problem);
    if (!r) {
        b->block = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
        r = b->block
                ? encoder_pack(&config, &weights.source, &options, b->block, bytes, &b->used, problem)
                : RESULT_NOMEM;
    }
    folder_unload(&weights);
    return r;
}

struct bench_encoder *bench_encoder_open(const char *folder, const char *tier,
                                         enum encoder_plan plan, uint32_t max_tok,
                                         char problem[FOLDER_PROBLEM_BYTES])
{
    struct folder f;
    struct bench_encoder *b = calloc(1, sizeof *b);
    problem[0] = '\0';
    enum result r = b ? folder_scan(&f, folder, problem) : RESULT_NOMEM;
    if (!r) {
        r = pack(b, &f, tier, plan, problem);
        folder_close(&f);
    }
    if (!r)
        r = encoder_open(slice_make(b->block, b->used), &b->encoder);
    if (!r)
        r = encoder_scratch_open(b->encoder, max_tok, &b->scratch);
    if (!r) {
        size_t hidden = encoder_config(b->encoder)->hidden;
        b->embedding = calloc(hidden, sizeof(float));
        b->heads = calloc(HEADS_MAX * HEAD_LABELS * (hidden + 1), sizeof(float));
        r = b->embedding && b->heads ? RESULT_OK : RESULT_NOMEM;
    }
    if (!r)
        return b;
    if (!problem[0])
        snprintf(problem, FOLDER_PROBLEM_BYTES, "%s", result_name(r));
    bench_encoder_close(b);
    return NULL;
}

void bench_encoder_close(struct bench_encoder *b)
{
    if (!b)
        return;
    if (b->scratch)
        encoder_scratch_close(b->scratch);
    encoder_close(b->encoder);
    free(b->block);
    free(b->embedding);
    free(b->heads);
    free(b);
}

uint64_t bench_encoder_bytes(const struct bench_encoder *b)
{
    return b->used;
}

// `embedding` [hidden] and `states` [count][hidden] may be NULL. -1 when the pass failed.
int64_t bench_encoder_run(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                          float *embedding, float *states)
{
    struct encoder_sequence sequence = {.ids = ids, .count = count};
    struct encoder_output out = {.embedding = embedding ? embedding : b->embedding,
                                 .states = states};
    int64_t began = cpu_ns();
    enum result r = encoder_run(b->encoder, b->scratch, &sequence, 1, &out, NULL);
    int64_t took = cpu_ns() - began;
    return r ? -1 : took;
}

// One pass, and `heads` linear heads on its embedding.
int64_t bench_encoder_heads(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                            uint32_t heads)
{
    uint32_t hidden = encoder_config(b->encoder)->hidden;
    float raw[HEAD_LABELS];
    if (heads > HEADS_MAX)
        return -1;
    int64_t took = bench_encoder_run(b, ids, count, NULL, NULL);
    if (took < 0)
        return -1;
    int64_t began = cpu_ns();
    for (uint32_t i = 0; i < heads; i++) {
        const float *w = b->heads + (size_t)i * HEAD_LABELS * (hidden + 1);
        struct head_layers layers = {.inputs = hidden,
                                     .columns = HEAD_LABELS,
                                     .weight = w,
                                     .bias = w + (size_t)HEAD_LABELS * hidden};
        head_layers_run(&layers, b->embedding, NULL, raw);
    }
    return took + cpu_ns() - began;
}
