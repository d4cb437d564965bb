// The encoder as a shared library for bench/encoder, which calls it and ONNX Runtime in turns on one thread.
//
// Times are CPU time of the calling thread, in nanoseconds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/file.h"
#include "nn/encoder.h"
#include "nn/head.h"
#include "nn/safetensors.h"
#include "nn/tier.h"

#define EXPORTED __attribute__((visibility("default")))

enum { HEADS_MAX = 8, HEAD_LABELS = 14, PROBLEM_BYTES = 320 };

struct bench_encoder {
    void *block;
    size_t used;
    struct encoder *encoder;
    struct encoder_scratch *scratch;
    float *embedding, *heads; // of HEADS_MAX linear heads
};

EXPORTED struct bench_encoder *bench_encoder_open(const char *folder, const char *tier,
                                                  enum encoder_plan plan, uint32_t max_tok,
                                                  char problem[PROBLEM_BYTES]);
EXPORTED void bench_encoder_close(struct bench_encoder *b);
EXPORTED uint64_t bench_encoder_bytes(const struct bench_encoder *b);
EXPORTED int64_t bench_encoder_run(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                                   float *embedding, float *states, float *logits);
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

static enum result read_file(const char *folder, const char *name, struct buf *out, char *problem)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    enum result r = file_read(path, out);
    if (r)
        snprintf(problem, PROBLEM_BYTES, "%s: %s", path, result_name(r));
    return r;
}

static enum result pack(struct bench_encoder *b, const char *folder, const char *tier,
                        enum encoder_plan plan, char *problem)
{
    struct encoder_pack_options options = {.plan = plan};
    struct encoder_config config;
    struct safetensors weights;
    struct tensor_source source;
    struct buf json, file;
    size_t bytes;
    buf_init(&json, 1 << 20);
    buf_init(&file, (size_t)4 << 30);
    enum result r = nn_tier_choose(tier, &options.tier);
    if (!r)
        r = read_file(folder, "config.json", &json, problem);
    if (!r)
        r = encoder_config_read(buf_slice(&json), &config, problem);
    if (!r)
        r = read_file(folder, "model.safetensors", &file, problem);
    if (!r)
        r = safetensors_open(&weights, buf_slice(&file), problem);
    if (r)
        goto out;
    source = safetensors_source(&weights);
    r = encoder_pack_bytes(&config, &source, &options, &bytes, problem);
    if (!r) {
        b->block = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
        r = b->block ? encoder_pack(&config, &source, &options, b->block, bytes, &b->used, problem)
                     : RESULT_NOMEM;
    }
out:
    buf_deinit(&json);
    buf_deinit(&file);
    return r;
}

struct bench_encoder *bench_encoder_open(const char *folder, const char *tier,
                                         enum encoder_plan plan, uint32_t max_tok,
                                         char problem[PROBLEM_BYTES])
{
    struct bench_encoder *b = calloc(1, sizeof *b);
    problem[0] = '\0';
    enum result r = b ? pack(b, folder, tier, plan, problem) : RESULT_NOMEM;
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
        snprintf(problem, PROBLEM_BYTES, "%s", result_name(r));
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

// What is to be written may be NULL: `embedding` [hidden], `states` [count][hidden], `logits` as the model has them. -1 when the pass failed.
int64_t bench_encoder_run(struct bench_encoder *b, const uint32_t *ids, uint32_t count,
                          float *embedding, float *states, float *logits)
{
    struct encoder_sequence sequence = {.ids = ids, .count = count};
    struct encoder_output out = {
        .embedding = embedding ? embedding : b->embedding, .states = states, .logits = logits};
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
    int64_t took = bench_encoder_run(b, ids, count, NULL, NULL, NULL);
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
