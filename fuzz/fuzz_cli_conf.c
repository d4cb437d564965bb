// merit.conf: whatever the bytes, no crash; what was accepted prints as a file that reads back to the same.
#include <stdlib.h>

#include "cli/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum result parse(struct conf *c, struct slice text)
{
    struct arena arena;
    struct diag_list diags;
    struct buf out;
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 20);
    buf_init(&out, 1 << 20);
    if (conf_init(c))
        abort();
    enum result r = conf_parse(c, text, NULL, &diags);
    diag_render(&diags, text, SLICE("fuzz.conf"), false, &out);
    if ((r == RESULT_SYNTAX) != (diags.errors > 0) && r != RESULT_LIMIT)
        abort();
    buf_deinit(&out);
    arena_deinit(&arena);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf first, second;
    struct buf a, b;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    enum result r = parse(&first, slice_make(data, size));
    if (conf_check(&first, &b) && !b.len)
        abort();
    buf_reset(&b);
    if (!r) {
        conf_print(&first, &a);
        if (buf_result(&a) || parse(&second, buf_slice(&a)))
            abort();
        conf_print(&second, &b);
        if (!slice_eq(buf_slice(&a), buf_slice(&b)))
            abort();
        conf_deinit(&second);
    }
    conf_deinit(&first);
    buf_deinit(&a);
    buf_deinit(&b);
    return 0;
}
