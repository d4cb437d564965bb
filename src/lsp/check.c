#include "lsp/check.h"

#include "base/alloc.h"
#include "lsp/prove.h"
#include "policy/policy.h"

// For findings, 200 of which need less than 1 MiB, and an image.
enum { KEPT_BYTES_MAX = IMAGE_BYTES_MAX + 4 * 1024 * 1024 };

struct lsp_check *lsp_check_open(uint64_t document, uint32_t edit, struct slice text,
                                 const struct signal_registry *registry, bool proves)
{
    struct lsp_check *c = alloc_zeroed(1, sizeof *c);
    if (!c)
        return NULL;
    c->refs = 1;
    c->document = document;
    c->edit = edit;
    c->registry = registry;
    c->proves = proves;
    arena_init(&c->arena, 0, KEPT_BYTES_MAX);
    diag_init(&c->diags, &c->arena, POLICY_DIAGS_MAX);
    buf_init(&c->text, POLICY_BYTES_MAX + 1);
    buf_add(&c->text, text);
    if (buf_result(&c->text)) {
        lsp_check_close(c);
        return NULL;
    }
    return c;
}

// A finding that outlives the run that made it.
static void keep(struct lsp_check *c, const struct diag *d)
{
    struct diag *kept =
        diag_add(&c->diags, d->severity, d->code, d->span, "%.*s", SLICE_FMT(d->message));
    if (d->help.len)
        diag_help(&c->diags, kept, "%.*s", SLICE_FMT(d->help));
    if (d->also.begin != d->also.end)
        diag_also(&c->diags, kept, d->also, "%.*s", SLICE_FMT(d->also_text));
    if (d->witness.len)
        diag_witness(&c->diags, kept, d->witness);
}

static enum result check(struct lsp_check *c, struct arena *run, struct diag_list *found,
                         const struct policy_image **image)
{
    const struct tree *tree = NULL;
    const struct policy_places *places;
    struct slice text = c->text.ptr ? buf_slice(&c->text) : SLICE("");
    enum result r = policy_parse(text, run, found, &tree);
    if (!tree)
        return r;
    r = policy_compile_places(tree, c->registry, run, found, image, &places);
    return !r && c->proves ? lsp_prove(c, *image, places, run, found) : r;
}

void lsp_check_run(struct lsp_check *c)
{
    struct arena run;
    struct diag_list found;
    const struct policy_image *image = NULL;
    arena_init(&run, 0, POLICY_ARENA_MAX);
    diag_init(&found, &run, POLICY_DIAGS_MAX);
    c->result = check(c, &run, &found, &image);
    for (uint32_t i = 0; i < found.count; i++)
        keep(c, &found.items[i]);
    c->diags.dropped += found.dropped;
    if (image) {
        void *copy = arena_alloc(&c->arena, image->size);
        if (copy)
            c->image = memcpy(copy, image, image->size);
        else
            c->result = RESULT_NOMEM;
    }
    if (c->result && c->result != RESULT_SYNTAX && !found.errors) {
        diag_add(&c->diags, DIAG_ERROR, result_name(c->result), (struct span){0, 0},
                 c->result == RESULT_NOMEM ? "there is no memory to check this policy"
                                           : "this policy exceeds a limit");
    }
    arena_deinit(&run);
}

void lsp_check_close(struct lsp_check *c)
{
    if (!c || --c->refs > 0)
        return;
    arena_deinit(&c->arena);
    buf_deinit(&c->text);
    alloc_free(c);
}
