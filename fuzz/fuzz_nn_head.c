// Head files: whatever opens can be asked.
#include <stdint.h>
#include <stdlib.h>

#include "nn/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct head_scratch *s;
    static float embedding[HEAD_DIM_MAX], logits[HEAD_LABELS_MAX], p[HEAD_LABELS_MAX];
    struct head *h;
    char problem[HEAD_PROBLEM_BYTES];
    if (!s && head_scratch_open(&s))
        abort();
    if (head_open(slice_make(data, size), problem, &h))
        return 0;
    if (head_info(h)->first)
        head_first(h, s, slice_make(data, size), logits, p);
    if (head_info(h)->second)
        head_second(h, s, embedding, logits, p);
    head_close(h);
    return 0;
}
