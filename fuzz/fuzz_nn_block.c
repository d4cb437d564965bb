// A packed block with a right hash and any other content: it is refused, or it opens and runs within its bounds.
#include <stdlib.h>
#include <string.h>

#include "../tests/helper/encoder_load.h"
#include "../tests/helper/encoder_random.h"
#include "nn/encoder_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "{\"model_type\":\"bert\",\"num_hidden_layers\":1,\"hidden_size\":16,\"num_attention_heads\":2,"
    "\"intermediate_size\":16,\"vocab_size\":20,\"max_position_embeddings\":12,"
    "\"type_vocab_size\":2}";

// `data` is a list of edits: place (2 bytes), value (1 byte).
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loaded model;
    char problem[ENCODER_PROBLEM_BYTES];
    if (!model.block) {
        if (encoder_config_read(SLICE(config), &model.config, problem))
            abort();
        model.source = (struct tensor_source){&model.config, random_shape, random_read};
        if (!load_pack(&model, NN_SCALAR, ENCODER_PLAN_HALF))
            abort();
    }
    char *block = aligned_alloc(64, (model.used + 63) & ~(size_t)63);
    if (!block)
        return 0;
    memcpy(block, model.block, model.used);
    for (size_t i = 0; i + 3 <= size; i += 3)
        block[(data[i] | (size_t)data[i + 1] << 8) % model.used] = (char)data[i + 2];
    struct block_head *h = (void *)block;
    size_t behind = offsetof(struct block_head, hash) + sizeof h->hash;
    if (h->bytes >= sizeof *h && h->bytes <= model.used)
        h->hash = encoder_block_hash(block + behind, (size_t)h->bytes - behind);
    struct encoder *e;
    struct encoder_scratch *s;
    if (!encoder_open(slice_make(block, model.used), &e)) {
        uint32_t ids[4] = {0, 1, 2, 3};
        static float states[4 * ENCODER_HIDDEN_MAX];
        struct encoder_sequence q = {ids, NULL, 4};
        struct encoder_output out = {.states = states};
        if (!encoder_scratch_open(e, 4, &s)) {
            enum result r = encoder_run(e, s, &q, 1, &out, NULL);
            (void)r;
            encoder_scratch_close(s);
        }
        encoder_close(e);
    }
    free(block);
    return 0;
}
