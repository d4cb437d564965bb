// Language models: whatever opens can be asked.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nn/language.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct language_model *m;
    struct language_guess g[4];
    char problem[LANGUAGE_PROBLEM_BYTES];
    // Models are aligned where they lie.
    char *copy = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    if (!language_open(slice_make(copy, size), problem, &m)) {
        language_identify(m, slice_make(data, size), g, 4);
        language_close(m);
    }
    free(copy);
    return 0;
}
