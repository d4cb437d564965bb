// A file or feed of carbon: whatever the bytes, no crash; what was read is in order and in range.
#include <stdlib.h>

#include "pool/carbon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_sound(enum result r, struct carbon_table t, const char *why)
{
    if ((r == RESULT_OK) != !why[0] || (r && (t.count || t.rows)))
        abort();
    for (uint32_t i = 0; i < t.count; i++) {
        int64_t ug;
        if ((i && t.rows[i].hour <= t.rows[i - 1].hour) || t.rows[i].ug_kwh < 0 ||
            t.rows[i].ug_kwh > CARBON_G_MAX * INT64_C(1000000))
            abort();
        if (carbon_at(&t, t.rows[i].hour * UINT64_C(3600000000), &ug) != CARBON_HOUR ||
            ug != t.rows[i].ug_kwh)
            abort();
    }
    carbon_table_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct carbon_table t;
    char why[CARBON_WHY_BYTES];
    enum result r = carbon_read(text, SLICE("de"), &t, why);
    is_sound(r, t, why);
    r = carbon_read_feed(text, SLICE("de"), UINT64_C(1795255200000000), &t, why);
    is_sound(r, t, why);
    return 0;
}
