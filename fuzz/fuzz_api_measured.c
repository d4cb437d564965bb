// Kept measurements from foreign bytes: refused, or totals that an epoch and a new file can be made of. Half of the inputs
// get a right checksum, so that what is behind it is reached.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/decider.h"
#include "api/measured.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct decider decider;

static void open_policy(void)
{
    static const char text[] =
        "policy \"t\" version 1\nmodel m endpoint \"http://127.0.0.1:1/v1\" context 8192 tok\n"
        "signal loud = keywords(\"now\")\nsignal words = structure(words)\n"
        "route a when loud and words > 3 -> answer(m)\notherwise -> answer(m)\n";
    struct arena arena;
    struct diag_list diags;
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 8);
    if (decider_open(&decider, slice_cstr(text), NULL, DECIDER_ANY, &diags))
        abort();
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct measured *m;
    struct measured_epoch *e;
    struct buf in, out;
    uint32_t kept;
    if (!decider.plan)
        open_policy();
    if (measured_open(&m, decider.image, &decider.costs, NULL, 1))
        abort();
    buf_init(&in, MEASURED_FILE_MAX);
    buf_init(&out, MEASURED_FILE_MAX);
    // The file of nothing, with the input over it from a place that the input names.
    measured_write(m, &in);
    if (size > 4) {
        uint32_t at;
        memcpy(&at, data, sizeof at);
        bool repair = at & 1;
        at = (at >> 1) % (uint32_t)in.len;
        size_t n = size - 4 < in.len - at ? size - 4 : in.len - at;
        memcpy(in.ptr + at, data + 4, n);
        if (repair) {
            memset(in.ptr + 16, 0, 8);
            struct slice all = buf_slice(&in);
            uint64_t sum = hash_fnv(hash_fnv(0, slice_head(all, 80)), slice_from(all, 80));
            memcpy(in.ptr + 16, &sum, sizeof sum);
        }
    }
    if (measured_read(m, buf_slice(&in), &kept) == RESULT_OK) {
        measured_write(m, &out);
        if (measured_epoch(m, &e))
            abort();
        for (uint32_t i = 0; i < decider.image->atoms.count; i++)
            if (e->costs.holds[i] < ROUTE_HOLDS_MIN ||
                e->costs.holds[i] > ROUTE_HOLDS_ONE - ROUTE_HOLDS_MIN)
                abort();
        measured_epoch_unref(e);
        buf_reset(&out);
        measured_json(m, &out);
    }
    // And as they are.
    (void)!measured_read(m, slice_make((const char *)data, size), &kept);
    buf_deinit(&in);
    buf_deinit(&out);
    measured_close(m);
    return 0;
}
