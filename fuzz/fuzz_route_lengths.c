// Files of learned lengths: whatever the bytes, no crash; what was taken gives finite figures and writes itself back.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "route/lengths.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The checksum is set right for the fuzzer, which could not.
static void seal(char *bytes, size_t size)
{
    uint64_t h;
    memset(bytes + 16, 0, 8);
    h = hash_fnv(hash_fnv(0, slice_make(bytes, 40)), slice_make(bytes + 40, size - 40));
    memcpy(bytes + 16, &h, sizeof h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lengths *l;
    struct lengths_epoch *e;
    if (size < 40 || lengths_open(&l, 1))
        return 0;
    char *copy = malloc(size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    seal(copy, size);
    struct slice bytes = slice_make(copy, size);
    if (!lengths_read(l, bytes) && !lengths_epoch_make(l, &e)) {
        struct lengths_task t = {.task = size, .cell = size, .input_tok = 100, .choices = 1};
        struct lengths_expect x;
        struct buf out;
        lengths_expect(e, 1, IMAGE_EFFORT_DEFAULT, &t, 50, &x);
        if (!isfinite(x.mean_tok) || x.low_tok > x.high_tok)
            abort();
        lengths_epoch_unref(e);
        buf_init(&out, LENGTHS_FILE_MAX);
        lengths_write(l, &out);
        if (buf_result(&out))
            abort();
        buf_deinit(&out);
    }
    lengths_close(l);
    free(copy);
    return 0;
}
