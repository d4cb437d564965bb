// Lines of a corpus: whatever the bytes, no crash, an end, and no refusal without a reason; what was read points into the
// text or the arena and names only what the policy has.
#include <stdlib.h>

#include "cli/corpus.h"
#include "policy/policy.h"
#include "signal/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] = "policy \"f\" version 1\n"
                             "zone house\n"
                             "model m zone house endpoint \"http://m:1/v1\" context 8k tok\n"
                             "signal attack = keywords(\"a\")\n"
                             "signal asks = structure(questions)\n"
                             "signal team = caller(team)\n"
                             "signal groups = caller(group)\n"
                             "signal topic = domain\n"
                             "route r when attack or asks > 3 or team == \"x\" or groups in "
                             "(\"y\") or topic == law -> refuse \"no\"\n"
                             "otherwise -> answer(m)\n";

static const struct policy_image *image(void)
{
    static struct arena arena;
    static const struct policy_image *p;
    struct diag_list diags;
    if (p)
        return p;
    arena_init(&arena, 0, 16u << 20);
    diag_init(&diags, &arena, 10);
    if (policy_load(slice_make(policy, sizeof policy - 1), &signal_registry, &arena, &diags, &p))
        abort();
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size);
    struct arena arena;
    struct buf why;
    struct corpus_line l;
    uint32_t line = 0, before = 0;
    enum result r = RESULT_OK;
    arena_init(&arena, 0, 64u << 20);
    buf_init(&why, 1 << 20);
    while (!r) {
        r = corpus_next(image(), &rest, &line, true, &arena, &l, &why);
        if (r == RESULT_EOF)
            break;
        if (r && r != RESULT_NOMEM && !why.len)
            abort();
        if (!r && (l.line <= before || l.line > line ||
                   (l.route.len && image_find_route(image(), l.route) < 0) ||
                   (l.model.len && image_find_model(image(), l.model) < 0)))
            abort();
        before = line;
    }
    buf_deinit(&why);
    arena_deinit(&arena);
    return 0;
}
