// Golden files: what the checker says about tests/golden/policy/NAME.merit stands in NAME.txt; of a policy that loads,
// the formatted text and the explanation, too. MERIT_GOLDEN=write writes them anew.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/file.h"
#include "fake/families.h"
#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/policy.h"

static const char folder[] = MERIT_SOURCE_DIR "/tests/golden/policy";

static void say(struct slice text, const char *name, struct buf *out)
{
    struct arena arena;
    struct diag_list diags;
    const struct tree *tree;
    const struct policy_image *image;
    arena_init(&arena, 0, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    enum result r = policy_load(text, &fake_registry, &arena, &diags, &image);
    diag_render(&diags, text, slice_cstr(name), false, out);
    buf_printf(out, "result: %s, %u errors\n", result_name(r), diags.errors);
    if (image) {
        const struct policy_image *again;
        assert_int_equal(image_open(image, image->size, &again), RESULT_OK);
        BUF_LIT(out, "--- explain\n");
        explain_policy(image, out);
    }
    if (policy_parse(text, &arena, &diags, &tree) == RESULT_OK) {
        BUF_LIT(out, "--- fmt\n");
        assert_int_equal(fmt_policy(tree, out), RESULT_OK);
    }
    arena_deinit(&arena);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_policy(const struct dirent *d)
{
    return slice_ends_with(slice_cstr(d->d_name), SLICE(".merit"));
}

static void golden_files_hold(void **state)
{
    (void)state;
    struct dirent **names;
    int count = scandir(folder, &names, is_policy, by_name), wrong = 0;
    assert_true(count > 20);
    for (int i = 0; i < count; i++) {
        char path[512], expected[512];
        struct buf text, got, want;
        buf_init(&text, POLICY_BYTES_MAX);
        buf_init(&got, 1 << 22);
        buf_init(&want, 1 << 22);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        snprintf(expected, sizeof expected, "%.*s.txt", (int)strlen(path) - 6, path);
        assert_int_equal(file_read(path, &text), RESULT_OK);
        say(buf_slice(&text), names[i]->d_name, &got);
        assert_int_equal(buf_result(&got), RESULT_OK);
        if (getenv("MERIT_GOLDEN")) {
            assert_int_equal(file_replace(expected, buf_slice(&got), 0644), RESULT_OK);
        } else if (file_read(expected, &want) || !slice_eq(buf_slice(&want), buf_slice(&got))) {
            print_error("%s is now:\n%.*s", expected, SLICE_FMT(buf_slice(&got)));
            wrong++;
        }
        buf_deinit(&text);
        buf_deinit(&got);
        buf_deinit(&want);
        free(names[i]);
    }
    free(names);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_files_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
