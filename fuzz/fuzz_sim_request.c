// Requests to the demo pool: whatever the bytes, no crash; a request that is accepted gets an answer that is JSON, and
// a stream whose events are.
#include <stdlib.h>

#include "sim/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_json(struct slice text, struct arena *arena)
{
    struct json j;
    enum result r = json_parse(&j, text, &json_limits_default, arena);
    if (r && r != RESULT_NOMEM)
        abort();
}

static void answer(const struct sim_request *r, struct arena *arena)
{
    struct sim_answer answers[SIM_CHOICES_MAX];
    const struct sim_profile *p = sim_profile_for(r->model);
    for (uint32_t i = 0; i < r->choices; i++) {
        if (sim_answer(r, p, r->model, i, 1, UINT32_MAX, arena, answers + i))
            return;
    }
    struct sim_wire w = {.id = SLICE("x"), .model = r->model, .request = r, .answers = answers};
    struct sim_cursor at = {0};
    struct buf out;
    buf_init(&out, 16 << 20);
    sim_wire_completion(&w, &out);
    if (!buf_result(&out))
        assert_json(buf_slice(&out), arena);
    for (int i = 0; i < 50; i++) {
        buf_reset(&out);
        if (!sim_wire_event(&w, &at, &out) || buf_result(&out) || at.phase == SIM_AT_END)
            break;
        assert_json(slice_make(out.ptr + 6, out.len - 8), arena);
    }
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct sim_request r;
    struct sim_error e;
    struct sim_directive d;
    struct slice bad;
    arena_init(&arena, 0, 64 << 20);
    if (!sim_request_read(&r, slice_make(data, size), SLICE_EMPTY, &arena, &e)) {
        (void)!sim_directive_parse(r.directive, &d, &bad);
        answer(&r, &arena);
    }
    arena_deinit(&arena);
    return 0;
}
