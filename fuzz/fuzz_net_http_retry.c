// When to come again, in words of a peer: whatever it is, a day at most.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/http_retry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_make((const char *)data, size);
    if (http_retry_after_s(value, 784111777000000) > HTTP_RETRY_MAX_S ||
        http_retry_after_ms_s(value) > HTTP_RETRY_MAX_S ||
        http_retry_after_s(value, UINT64_MAX) > HTTP_RETRY_MAX_S)
        abort();
    return 0;
}
