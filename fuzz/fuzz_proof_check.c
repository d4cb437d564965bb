// Any bytes as a policy, with the real signal families: what compiles is checked whole, and its witnesses are JSON objects
// that name its own signals. Small limits, so that a policy whose proof explodes ends as one that is not proved.
#include <stdint.h>
#include <stdlib.h>

#include "policy/policy.h"
#include "proof/check.h"
#include "signal/registry.h"
#include "text/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void look_at(const struct policy_image *image, struct slice witness, struct arena *arena)
{
    struct json j;
    uint32_t at = 0, key, value;
    must(json_parse(&j, witness, &json_limits_default, arena) == RESULT_OK);
    must(json_type(&j, 0) == JSON_OBJECT);
    while (json_member(&j, 0, &at, &key, &value))
        must(image_find_signal(image, json_string(&j, key, arena)) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sat_limits limits = {2000, 2000000, 20000, 20000000, 64 << 20};
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree = NULL;
    const struct policy_image *image = NULL;
    const struct policy_places *places = NULL;
    struct proof_report report;
    struct slice text = slice_make(data, size);
    if (size > 1 << 14)
        return 0;
    arena_init(&arena, 1 << 16, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, 50);
    if (policy_parse(text, &arena, &diags, &tree) == RESULT_OK &&
        policy_compile_places(tree, &signal_registry, &arena, &diags, &image, &places) ==
            RESULT_OK) {
        const struct proof_options options = {.places = places,
                                              .registry = &signal_registry,
                                              .limits = &limits,
                                              .serving = true,
                                              .report = true,
                                              .notes = true};
        must(proof_check(image, &options, &arena, &diags, &report) == RESULT_OK);
        for (uint32_t i = 0; i < diags.count; i++)
            if (diags.items[i].witness.len && slice_starts_with(diags.items[i].witness, SLICE("{")))
                look_at(image, diags.items[i].witness, &arena);
        struct buf out;
        buf_init(&out, 1 << 22);
        diag_render(&diags, text, SLICE("fuzz.merit"), false, &out);
        buf_deinit(&out);
    }
    arena_deinit(&arena);
    return 0;
}
