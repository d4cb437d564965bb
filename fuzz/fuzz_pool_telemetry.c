// Metrics of engines: the same verdict however the bytes are cut into pieces, and nothing but sane numbers; ORCA headers
// likewise.
#include <stdlib.h>
#include <string.h>

#include "pool/telemetry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void sane(const struct telemetry *t)
{
    MUST(t->queue == -1 || (t->queue >= 0 && t->queue < 1e9));
    MUST(t->running == -1 || (t->running >= 0 && t->running < 1e9));
    MUST(t->kv_use == -1 || (t->kv_use >= 0 && t->kv_use <= 1));
    MUST(t->prefix_share == -1 || (t->prefix_share >= 0 && t->prefix_share <= 1));
    MUST(t->blocks == -1 || t->blocks >= 1);
}

static enum telemetry_fault read_page(enum image_engine engine, struct slice page, size_t step,
                                      struct telemetry *out)
{
    struct telemetry_reader r;
    telemetry_begin(&r, engine, SLICE("a"));
    for (size_t at = 0; at < page.len; at += step) {
        size_t n = page.len - at < step ? page.len - at : step;
        char *copy = malloc(n);
        MUST(copy);
        memcpy(copy, page.ptr + at, n);
        bool on = telemetry_feed(&r, slice_make(copy, n));
        free(copy);
        if (!on)
            break;
    }
    return telemetry_end(&r, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct telemetry whole, pieces, orca;
    if (size < 2)
        return 0;
    enum image_engine engine = (enum image_engine)(data[0] % IMAGE_ENGINE_COUNT_);
    size_t step = 1 + data[1] % 32;
    struct slice page = slice_make((const char *)data + 2, size - 2);
    enum telemetry_fault a = read_page(engine, page, page.len ? page.len : 1, &whole);
    enum telemetry_fault b = read_page(engine, page, step, &pieces);
    MUST(a == b && memcmp(&whole, &pieces, sizeof whole) == 0);
    sane(&whole);
    if (telemetry_orca(page, &orca))
        sane(&orca);
    return 0;
}
