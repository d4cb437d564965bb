// The policies of the repository load with the families of this build, and so does every sample of
// docs/policy.md and docs/signals.md.
//
// A sample is a block between ```merit and ```. One that does not begin with `policy` is put into a frame that defines
// what the document says is there; `# error: CODE` on a sample's first line says that exactly this error is
// expected. The output that follows in a ```text block is compared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "policy/fmt.h"
#include "policy/policy.h"
#include "signal/plan.h"
#include "signal/registry.h"

struct loaded {
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
};

static enum result load(struct loaded *l, struct slice text)
{
    arena_init(&l->arena, 0, POLICY_ARENA_MAX);
    diag_init(&l->diags, &l->arena, POLICY_DIAGS_MAX);
    return policy_load(text, &signal_registry, &l->arena, &l->diags, &l->image);
}

static void complain(struct loaded *l, struct slice text, const char *name)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    diag_render(&l->diags, text, slice_cstr(name), false, &out);
    print_error("%.*s", SLICE_FMT(buf_slice(&out)));
    buf_deinit(&out);
}

static void read_source(const char *name, struct buf *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", MERIT_SOURCE_DIR, name);
    buf_init(text, POLICY_BYTES_MAX);
    assert_int_equal(file_read(path, text), RESULT_OK);
}

static void shipped_policies_load(void **state)
{
    (void)state;
    static const char *const names[] = {"examples/demo.merit", "bench/policies/reference.merit"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        struct loaded l;
        struct buf text, again;
        struct plan *plan;
        const struct tree *tree;
        read_source(names[i], &text);
        enum result r = load(&l, buf_slice(&text));
        uint32_t found = 0;
        for (uint32_t k = 0; k < l.diags.count; k++)
            found += l.diags.items[k].severity != DIAG_NOTE;
        if (r || found)
            complain(&l, buf_slice(&text), names[i]);
        assert_int_equal(r, RESULT_OK);
        assert_int_equal(found, 0);
        assert_int_equal(plan_open(l.image, &signal_registry, NULL, SLICE_EMPTY, NULL, &plan),
                         RESULT_OK);
        plan_close(plan);
        buf_init(&again, POLICY_BYTES_MAX);
        assert_int_equal(policy_parse(buf_slice(&text), &l.arena, &l.diags, &tree), RESULT_OK);
        assert_int_equal(fmt_policy(tree, &again), RESULT_OK);
        if (!slice_eq(buf_slice(&text), buf_slice(&again)))
            fail_msg("%s is not formatted; it should be:\n%.*s", names[i],
                     SLICE_FMT(buf_slice(&again)));
        buf_deinit(&text);
        buf_deinit(&again);
        arena_deinit(&l.arena);
    }
}

static void reference_is_what_it_says(void **state)
{
    (void)state;
    struct loaded l;
    struct buf text;
    read_source("bench/policies/reference.merit", &text);
    assert_int_equal(load(&l, buf_slice(&text)), RESULT_OK);
    assert_int_equal(l.image->signals.count, 12);
    assert_int_equal(l.image->routes.count, 6);
    assert_int_equal(l.image->models.count, 4);
    buf_deinit(&text);
    arena_deinit(&l.arena);
}

// What the samples of the document stand in.
static const char frame_top[] = "policy \"frame\" version 1\n"
                                "zone home\n"
                                "zone cloud\n"
                                "model swift  endpoint \"http://127.0.0.1:8000/v1\"  context 32k "
                                "tok  can tools, json  effort off, on\n"
                                "             price 0.03 in, 0.06 out usd/Mtok  quality 0.6\n"
                                "model deep   endpoint \"http://127.0.0.1:8001/v1\"  context 128k "
                                "tok  can tools, images, json, schema  effort low, high\n"
                                "             price 1.25 in, 10 out usd/Mtok  quality 0.9\n";
static const char frame_signals[] = "signal urgent = keywords(\"urgent\")\n"
                                    "signal images = modality(images)\n"
                                    "signal depth  = conversation(tool_cycles)\n"
                                    "signal group  = caller(group)\n"
                                    "signal format = output\n";
static const char frame_end[] = "otherwise -> answer(any)\n";

// The frame without what the sample defines itself.
static void frame(struct buf *out, struct slice sample)
{
    bool models = slice_find(sample, SLICE("\nmodel ")) >= 0,
         signals = slice_find(sample, SLICE("\nsignal ")) >= 0;
    if (models) {
        BUF_LIT(out, "policy \"frame\" version 1\n");
        if (slice_find(sample, SLICE("\nzone ")) < 0)
            BUF_LIT(out, "zone home\nzone cloud\n");
    } else {
        BUF_LIT(out, frame_top);
    }
    if (!signals && !models)
        BUF_LIT(out, frame_signals);
    buf_add(out, sample);
    buf_byte(out, '\n');
    if (slice_find(sample, SLICE("\notherwise ")) < 0)
        BUF_LIT(out, frame_end);
}

static struct slice slice_trim_lines(struct slice s)
{
    while (s.len && s.ptr[s.len - 1] == '\n')
        s.len--;
    return s;
}

static void check_sample(struct slice sample, struct slice output, const char *document,
                         unsigned line)
{
    struct loaded l;
    struct buf text;
    char name[64];
    snprintf(name, sizeof name, "%s:%u", document, line);
    buf_init(&text, POLICY_BYTES_MAX);
    struct slice head = slice_from(sample, 1), expected;
    if (!slice_split(&head, '\n', &expected) || !slice_starts_with(expected, SLICE("# error: ")))
        expected = SLICE_EMPTY;
    if (slice_find(sample, SLICE("\npolicy ")) >= 0)
        buf_add(&text, slice_from(sample, 1));
    else
        frame(&text, sample);
    enum result r = load(&l, buf_slice(&text));
    if (expected.len == 0) {
        if (r)
            complain(&l, buf_slice(&text), name);
        assert_int_equal(r, RESULT_OK);
    } else {
        struct slice code = slice_from(expected, 9);
        if (l.diags.errors != 1 || !slice_eq_cstr(code, l.diags.items[0].code))
            complain(&l, buf_slice(&text), name);
        assert_int_equal(l.diags.errors, 1);
        assert_true(slice_eq_cstr(code, l.diags.items[0].code));
    }
    if (output.len) {
        struct buf shown;
        buf_init(&shown, 1 << 20);
        diag_render(&l.diags, buf_slice(&text), SLICE("home.merit"), false, &shown);
        if (!slice_eq(slice_trim_lines(buf_slice(&shown)), slice_trim_lines(output)))
            fail_msg("%s: the output is now:\n%.*s", name, SLICE_FMT(buf_slice(&shown)));
        buf_deinit(&shown);
    }
    buf_deinit(&text);
    arena_deinit(&l.arena);
}

// The block that follows at once, if it is of output.
static struct slice output_behind(struct slice rest)
{
    struct slice line;
    if (!slice_starts_with(rest, SLICE("\n```text\n")))
        return SLICE_EMPTY;
    rest = slice_from(rest, 9);
    const char *begin = rest.ptr;
    while (slice_split(&rest, '\n', &line))
        if (slice_eq(line, SLICE("```")))
            return slice_make(begin, (size_t)(line.ptr - begin));
    return SLICE_EMPTY;
}

static unsigned check_samples(const char *document)
{
    struct buf text;
    read_source(document, &text);
    struct slice rest = buf_slice(&text), line;
    const char *begin = NULL;
    unsigned number = 0, samples = 0;
    while (slice_split(&rest, '\n', &line)) {
        number++;
        if (slice_eq(line, SLICE("```merit"))) {
            begin = line.ptr + line.len;
        } else if (begin && slice_eq(line, SLICE("```"))) {
            check_sample(slice_make(begin, (size_t)(line.ptr - begin)), output_behind(rest),
                         document, number);
            begin = NULL;
            samples++;
        }
    }
    buf_deinit(&text);
    return samples;
}

static void samples_of_the_documents_hold(void **state)
{
    (void)state;
    assert_true(check_samples("docs/policy.md") >= 10);
    assert_true(check_samples("docs/signals.md") >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_policies_load),
        cmocka_unit_test(reference_is_what_it_says),
        cmocka_unit_test(samples_of_the_documents_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
