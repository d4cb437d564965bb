// Any bytes as a compiled policy, with magic, version and checksum made right so that the checks behind them are
// reached. What opens is read all over: every list, string, guard and name.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/explain.h"
#include "work/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct policy_image *p)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    explain_policy(p, &out);
    buf_reset(&out);
    explain_policy_json(p, &out);
    uint64_t sum = 0;
    const struct image_atom *atoms = IMAGE_AT(p, p->atoms, struct image_atom);
    for (uint32_t i = 0; i < p->atoms.count; i++)
        for (uint32_t k = 0; k < atoms[i].texts.count; k++)
            sum += image_text(p, IMAGE_AT(p, atoms[i].texts, struct image_str)[k]).len;
    const struct image_alias *aliases = IMAGE_AT(p, p->aliases, struct image_alias);
    for (uint32_t i = 0; i < p->aliases.count; i++)
        sum += image_find_alias(p, image_text(p, aliases[i].name)) != NULL;
    sum += (uint64_t)image_find_model(p, SLICE("deep")) +
           (uint64_t)image_find_route(p, SLICE("x")) +
           (uint64_t)image_find_signal(p, SLICE("urgent"));
    buf_u64(&out, sum);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct policy_image *p;
    if (size < sizeof *p || size > 1 << 20)
        return 0;
    // A block of its own, so that the sanitizer sees every step beside it.
    struct policy_image *copy = alloc_bytes(size);
    memcpy(copy, data, size);
    memcpy(copy->magic, "MERITPOL", 8);
    copy->version = IMAGE_VERSION;
    copy->size = (uint32_t)size;
    image_seal(copy);
    if (image_open(copy, size, &p) == RESULT_OK)
        walk(p);
    alloc_free(copy);
    return 0;
}
