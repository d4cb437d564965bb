// Key files: whatever the bytes, no crash; what was accepted prints as lines that read back to the same keys.
#include <stdlib.h>

#include "api/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct key_set *s, struct buf *out)
{
    BUF_LIT(out, "merit-keys 1\n");
    for (uint32_t i = 0; i < key_set_count(s); i++)
        key_print(key_set_at(s, i), out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_set *first, *second;
    struct buf why, a, b;
    buf_init(&why, 4096);
    buf_init(&a, KEYS_BYTES_MAX);
    buf_init(&b, KEYS_BYTES_MAX);
    if (!key_set_parse(&first, slice_make(data, size), NULL, &why)) {
        print(first, &a);
        if (buf_result(&a) || key_set_parse(&second, buf_slice(&a), first, &why))
            abort();
        print(second, &b);
        if (!slice_eq(buf_slice(&a), buf_slice(&b)))
            abort();
        key_set_unref(second);
        key_set_unref(first);
    } else if (!why.len) {
        abort(); // a refusal without a reason
    }
    buf_deinit(&why);
    buf_deinit(&a);
    buf_deinit(&b);
    return 0;
}
