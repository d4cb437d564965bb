// A usage export of any bytes: it is refused with a sentence or gives sums within their limits, sorted and each once.
#include <stdint.h>
#include <stdlib.h>

#include "ledger/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buf why;
    struct usage u;
    arena_init(&arena, 0, 1 << 26);
    buf_init(&why, 1000);
    enum result r = usage_read(&u, slice_make(data, size), &arena, &why);
    if (r && !why.len)
        abort();
    for (uint32_t i = 0; !r && i < u.count; i++) {
        char day[11];
        int32_t back;
        usage_day_text(u.sums[i].day, day);
        if (u.sums[i].day >= 0 && u.sums[i].day < 84000 &&
            (!usage_day(slice_make(day, 10), &back) || back != u.sums[i].day))
            abort();
        if (!u.sums[i].model.len || u.sums[i].model.len > USAGE_MODEL_MAX)
            abort();
        if (i && usage_compare(&u.sums[i - 1], &u.sums[i]) >= 0)
            abort();
        for (int f = 0; f < USAGE_FIELDS; f++)
            if (u.sums[i].of[f] < 0)
                abort();
    }
    buf_deinit(&why);
    arena_deinit(&arena);
    return 0;
}
