// Lists of places: whatever stands in one, a list that is taken holds URLs that can be called, none twice, and the sentence
// about one that is not taken fits its room.
#include <stdlib.h>
#include <string.h>

#include "pool/discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct discovery_list list;
    struct http_url url;
    char diag[POOL_DIAG_BYTES];
    char *copy = malloc(size ? size : 1);
    MUST(copy);
    if (size)
        memcpy(copy, data, size);
    memset(diag, 'x', sizeof diag);
    enum result r = discovery_parse(slice_make(copy, size), &list, diag);
    MUST(memchr(diag, '\0', sizeof diag));
    MUST(r == RESULT_OK ? !diag[0] : diag[0]);
    for (uint32_t i = 0; r == RESULT_OK && i < list.count; i++) {
        MUST(http_url_parse(list.places[i].url, &url) == RESULT_OK);
        for (uint32_t k = 0; k < i; k++)
            MUST(!slice_eq(list.places[i].url, list.places[k].url));
    }
    MUST(r != RESULT_OK || (list.count && list.count <= POOL_PLACES_PER_MODEL_MAX));
    free(copy);
    return 0;
}
