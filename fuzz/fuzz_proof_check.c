// Any policy that compiles, checked as a whole: it ends within its limits, finds the same twice, and every witness is
// JSON.
#include <stdint.h>
#include <stdlib.h>

#include "../tests/fake/families.h"
#include "policy/policy.h"
#include "proof/check.h"
#include "text/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

// Far below the defaults, so that a run is short.
static const struct sat_limits limits = {.conflicts = 300,
                                         .propagations = 300000,
                                         .conflicts_all = 3000,
                                         .propagations_all = 3000000,
                                         .bytes = 64u << 20};

static void check(const struct policy_image *image, const struct policy_places *places, struct buf *out)
{
    const struct proof_options options = {.places = places,
                                          .registry = &fake_registry,
                                          .limits = &limits,
                                          .serving = true,
                                          .report = true,
                                          .notes = true};
    struct arena arena;
    struct diag_list diags;
    struct proof_report report;
    arena_init(&arena, 1 << 16, 256u << 20);
    diag_init(&diags, &arena, 100);
    if (proof_check(image, &options, &arena, &diags, &report) == RESULT_OK) {
        diag_render_json(&diags, SLICE_EMPTY, out);
        proof_write_routes(image, &report, out);
        proof_write_routes_json(image, &report, out);
        proof_write_guarantee(image, out);
    }
    for (uint32_t i = 0; i < diags.count; i++) {
        struct json j;
        struct slice w = diags.items[i].witness;
        must(w.len == 0 || json_parse(&j, w, &json_limits_default, &arena) == RESULT_OK);
    }
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree = NULL;
    const struct policy_image *image = NULL;
    const struct policy_places *places;
    struct buf once, twice;
    if (size > 20000)
        return 0;
    arena_init(&arena, 1 << 16, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, 20);
    buf_init(&once, 64 << 20);
    buf_init(&twice, 64 << 20);
    if (policy_parse(slice_make(data, size), &arena, &diags, &tree) == RESULT_OK &&
        policy_compile_places(tree, &fake_registry, &arena, &diags, &image, &places) == RESULT_OK) {
        check(image, places, &once);
        check(image, places, &twice);
        must(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_deinit(&once);
    buf_deinit(&twice);
    arena_deinit(&arena);
    return 0;
}
