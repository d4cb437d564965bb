// Any bytes as a policy: parse, check, compile, render, format. What loads opens as an image, is explained, and what
// parses keeps its tree when it is formatted.
#include <stdint.h>
#include <stdlib.h>

#include "../tests/fake/families.h"
#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag_list diags, later;
    const struct tree *tree = NULL, *again = NULL;
    const struct policy_image *image = NULL, *opened;
    struct slice text = slice_make(data, size);
    struct buf out, shown;
    arena_init(&arena, 1 << 16, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, 20);
    diag_init(&later, &arena, 20);
    buf_init(&out, 64 << 20);
    buf_init(&shown, 64 << 20);
    enum result r = policy_parse(text, &arena, &diags, &tree);
    if (r == RESULT_OK && fmt_policy(tree, &out) == RESULT_OK) {
        must(policy_parse(buf_slice(&out), &arena, &later, &again) == RESULT_OK);
        must(tree_equal(tree, again));
    }
    if (tree) {
        r = policy_compile(tree, &fake_registry, &arena, &diags, &image);
        must((r == RESULT_OK) == (image != NULL));
        must(r != RESULT_OK || diags.errors == 0);
    }
    diag_render(&diags, text, SLICE("fuzz"), false, &shown);
    diag_render_json(&diags, text, &shown);
    if (image) {
        must(image_open(image, image->size, &opened) == RESULT_OK);
        explain_policy(image, &shown);
        explain_policy_json(image, &shown);
    }
    buf_deinit(&out);
    buf_deinit(&shown);
    arena_deinit(&arena);
    return 0;
}
