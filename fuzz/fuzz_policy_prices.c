// A list of prices: whatever the bytes, no crash; what was read is found again under its own name.
#include <stdlib.h>

#include "policy/price_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag_list diags;
    struct price_list list;
    struct buf out;
    arena_init(&arena, 0, 4 << 20);
    diag_init(&diags, &arena, 20);
    buf_init(&out, 1 << 20);
    struct slice text = slice_make(data, size);
    enum result r = price_list_read(text, &arena, &diags, &list);
    if ((r == RESULT_OK) != (diags.errors == 0) && r != RESULT_NOMEM)
        abort();
    for (uint32_t i = 0; i < list.count; i++) {
        const struct price_row *row = &list.rows[i];
        const struct price_row *found = price_list_find(&list, row->provider, row->model);
        if (!row->prefix && found != row)
            abort();
        if (row->prefix && (!found || !slice_starts_with(row->model, found->model)))
            abort();
        if (row->in_nusd < 0 || row->in_nusd > IMAGE_PRICE_MAX || !row->grade || !row->date.len)
            abort();
    }
    diag_render(&diags, text, SLICE("fuzz.csv"), false, &out);
    buf_deinit(&out);
    arena_deinit(&arena);
    return 0;
}
