#include "cli/policy_tests.h"

#include <string.h>

#include "base/file.h"

static const struct image_theorem *theorem_at(const struct policy_bench *b, uint32_t i)
{
    return IMAGE_AT(b->image, b->image->theorems, struct image_theorem) + i;
}

// ---- corpus

// `line` 0: of the whole file.
static enum result problem(struct test_result *out, struct arena *arena, uint32_t line,
                           struct slice why)
{
    out->state = TEST_BROKEN;
    out->problem =
        line ? arena_printf(arena, "line %u: %.*s", line, SLICE_FMT(why)) : arena_copy(arena, why);
    return out->problem.ptr ? RESULT_OK : RESULT_NOMEM;
}

static enum result run_line(struct policy_bench *b, const struct corpus_line *l,
                            struct arena *scratch, struct test_result *out, struct buf *why)
{
    struct decision *d;
    enum result r = policy_bench_decide(b, l->user, l->given, scratch, &d);
    if (r)
        return r;
    out->lines++;
    if (d->route >= 0 && out->routes)
        out->routes[d->route] = true;
    if (corpus_agrees(l, d, why)) {
        out->agreed++;
    } else if (out->shown_count < TESTS_SHOWN) {
        out->shown[out->shown_count].line = l->line;
        out->shown[out->shown_count].why = arena_copy(b->arena, buf_slice(why));
        if (!out->shown[out->shown_count++].why.ptr)
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

static enum result run_lines(struct policy_bench *b, struct slice text, struct test_result *out)
{
    enum { LINE_ARENA_MAX = 512 * 1024 * 1024 };
    struct arena scratch;
    struct buf why;
    struct corpus_line l;
    uint32_t line = 0;
    enum result r = RESULT_OK;
    arena_init(&scratch, 64 * 1024, LINE_ARENA_MAX);
    buf_init(&why, 1024 * 1024);
    while (!r) {
        arena_reset(&scratch);
        r = corpus_next(b->image, &text, &line, true, &scratch, &l, &why);
        if (r == RESULT_EOF)
            break;
        if (r && why.len)
            r = problem(out, b->arena, line, buf_slice(&why));
        else if (!r)
            r = run_line(b, &l, &scratch, out, &why);
        if (out->state == TEST_BROKEN)
            break;
    }
    buf_deinit(&why);
    arena_deinit(&scratch);
    return r == RESULT_EOF ? RESULT_OK : r;
}

static enum result run_corpus(struct policy_bench *b, const char *policy, struct test_result *out)
{
    const struct image_theorem *t = out->theorem;
    struct buf text;
    char room[FILE_ERROR_BYTES];
    buf_init(&text, CORPUS_BYTES_MAX);
    out->routes = ARENA_ARRAY(b->arena, bool, b->image->routes.count + 1);
    enum result r = corpus_read(policy, image_text(b->image, t->corpus), &text);
    if (r == RESULT_DENIED)
        r = problem(
            out, b->arena, 0,
            SLICE("a corpus lies beside the policy's file or below; it may not leave its folder"));
    else if (r == RESULT_LIMIT)
        r = problem(out, b->arena, 0, SLICE("the corpus is longer than 64 MiB"));
    else if (r == RESULT_NOT_FOUND || r == RESULT_IO)
        r = problem(out, b->arena, 0, slice_cstr(file_problem(r, room)));
    else if (!r)
        r = run_lines(b, buf_slice(&text), out);
    buf_deinit(&text);
    if (r || out->state == TEST_BROKEN)
        return r;
    if (out->lines == 0)
        return problem(out, b->arena, 0, SLICE("the corpus has no line"));
    // A share that is asked for as 0.98 is met by 98 of 100.
    out->state = out->agreed >= t->agree_min * out->lines - 1e-9 ? TEST_PASSED : TEST_FAILED;
    return RESULT_OK;
}

// ---- one test

enum result policy_test_run(struct policy_bench *b, uint32_t theorem, const struct fact *facts,
                            const char *policy, struct test_result *out)
{
    static const enum test_state states[] = {[THEOREM_PROVED] = TEST_PASSED,
                                             [THEOREM_REFUTED] = TEST_FAILED,
                                             [THEOREM_EMPTY] = TEST_EMPTY,
                                             [THEOREM_NOT_PROVED] = TEST_NOT_PROVED};
    const struct image_theorem *t = theorem_at(b, theorem);
    *out = (struct test_result){.theorem = t, .facts = facts};
    if (t->corpus.len)
        return run_corpus(b, policy, out);
    enum result r = RESULT_OK;
    if (t->user.len && !facts)
        r = policy_bench_facts(b, image_text(b->image, t->user), NULL, b->arena, &out->facts);
    if (!r)
        r = theorem_ask(&b->prover, theorem, out->facts, &out->answer);
    out->state = states[out->answer.verdict];
    return r;
}

// ---- coverage

struct watcher {
    struct policy_bench *b;
    struct test_coverage *out;
    uint32_t any; // a request that a test speaks of
};

static bool seen(struct watcher *w, uint32_t formula, uint32_t also)
{
    const uint32_t claims[] = {w->any, formula, also};
    return space_ask(w->b->prover.space, claims, 3, SPACE_FAILURES) == SAT_YES;
}

static bool way_uses(const struct way *w, uint32_t c, int32_t sink)
{
    for (uint32_t i = 0; i < w->chains[c].count; i++)
        if (w->chains[c].steps[i].is->sink == sink)
            return true;
    return false;
}

static void watch_sinks(struct watcher *w)
{
    const struct theorem_prover *p = &w->b->prover;
    for (uint32_t k = 0; k < p->image->sinks.count; k++)
        for (uint32_t i = 0; i < p->ways.count && !w->out->sinks[k]; i++) {
            const struct way *way = &p->ways.at[i];
            for (uint32_t c = 0; c < way->count && way->kind == WAY_ROUTE; c++)
                if (way_uses(way, c, (int32_t)k))
                    w->out->sinks[k] |= seen(w, feasible_tried(p->feasible, way, c), SPACE_TRUE);
        }
}

static void watch_conditions(struct watcher *w)
{
    const struct theorem_prover *p = &w->b->prover;
    const struct image_node *all = IMAGE_AT(p->image, p->image->nodes, struct image_node);
    uint32_t before = SPACE_TRUE;
    for (uint32_t i = 0; i < p->image->routes.count; i++) {
        const struct image_route *r = image_route(p->image, (int32_t)i);
        const struct image_node *n = IMAGE_AT(p->image, r->guard, struct image_node);
        for (uint32_t k = 0; k < r->guard.count; k++) {
            if (n[k].kind != IMAGE_NODE_ATOM)
                continue;
            uint32_t atom = space_atom(p->space, 0, n[k].arg), at = (uint32_t)(n + k - all);
            w->out->held[at] = seen(w, before, atom);
            w->out->failed[at] = seen(w, before, space_not(atom));
            w->out->conditions++;
            w->out->conditions_both += w->out->held[at] && w->out->failed[at];
        }
        const uint32_t both[] = {before, space_not(space_route(p->space, 0, (int32_t)i))};
        before = space_and(p->space, both, 2);
    }
}

static enum result spoken_of(struct policy_bench *b, const struct test_result *results,
                             uint32_t count, uint32_t *any)
{
    const struct image_theorem *first = theorem_at(b, 0);
    *any = SPACE_FALSE;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t one;
        if (results[i].theorem->corpus.len)
            continue;
        enum result r = theorem_given(&b->prover, (uint32_t)(results[i].theorem - first),
                                      results[i].facts, &one);
        if (r)
            return r;
        *any = space_or(b->prover.space, (const uint32_t[]){*any, one}, 2);
    }
    return RESULT_OK;
}

enum result policy_test_coverage(struct policy_bench *b, const struct test_result *results,
                                 uint32_t count, struct test_coverage *out)
{
    const struct policy_image *p = b->image;
    struct watcher w = {.b = b, .out = out};
    *out = (struct test_coverage){
        .routes = ARENA_ARRAY(b->arena, bool, p->routes.count + 1),
        .constraints = ARENA_ARRAY(b->arena, bool, p->constraints.count + 1),
        .sinks = ARENA_ARRAY(b->arena, bool, p->sinks.count + 1),
        .held = ARENA_ARRAY(b->arena, bool, p->nodes.count + 1),
        .failed = ARENA_ARRAY(b->arena, bool, p->nodes.count + 1),
    };
    if (!out->routes || !out->constraints || !out->sinks || !out->held || !out->failed)
        return RESULT_NOMEM;
    enum result r = spoken_of(b, results, count, &w.any);
    if (r)
        return r;
    for (uint32_t i = 0; i < p->routes.count; i++) {
        out->routes[i] =
            seen(&w, feasible_enters(b->prover.feasible, &b->prover.ways.at[i]), SPACE_TRUE);
        for (uint32_t k = 0; k < count; k++)
            out->routes[i] |= results[k].routes && results[k].routes[i];
        out->route_count += out->routes[i];
    }
    for (uint32_t i = 0; i < p->constraints.count; i++) {
        out->constraints[i] = seen(&w, feasible_active(b->prover.feasible, i), SPACE_TRUE);
        out->constraint_count += out->constraints[i];
    }
    watch_sinks(&w);
    for (uint32_t i = 0; i < p->sinks.count; i++)
        out->sink_count += out->sinks[i];
    watch_conditions(&w);
    return RESULT_OK;
}
