// What this build's server cannot run: named one by one, so that nothing is loaded that would not be done.
#include "proof/check_inner.h"

// What of a chain cannot be run; NULL when all can. Chains of one `answer` or `refuse` run.
static const char *beyond(const struct way_chain *chain, uint32_t *at)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct image_step *s = chain->steps[i].is;
        *at = i;
        if (s->kind != IMAGE_STEP_ANSWER && s->kind != IMAGE_STEP_REFUSE)
            return proof_step_word(s->kind);
        if (s->escalated)
            return "escalate";
    }
    return NULL;
}

static void check_way(struct proof *p, const struct way *way)
{
    struct slice name = image_text(p->image, image_route(p->image, way->route)->name);
    const struct image_step *first = IMAGE_AT(p->image, p->image->steps, struct image_step);
    for (uint32_t c = 0; c < way->count && !p->err; c++) {
        uint32_t at = 0;
        const char *what = beyond(&way->chains[c], &at);
        uint32_t claim = feasible_tried(p->feasible, way, c);
        if (!what || space_ask(p->space, &claim, 1, SPACE_FAILURES) == SAT_NO)
            continue;
        const struct image_step *s = way->chains[c].steps[at].is;
        struct diag *d = proof_finding(p, DIAG_ERROR, "unserved", name,
                                       proof_span(p, IMAGE_STEPS, (uint32_t)(s - first)),
                                       "%s of route `%.*s` can be reached and needs `%s`, which "
                                       "this build's server does not run",
                                       c ? "an else" : "the path", SLICE_FMT(name), what);
        if (space_ask(p->space, &claim, 1, SPACE_FAILURES) == SAT_YES)
            proof_witness(p, d, &claim, 1);
        diag_help(
            p->diags, d,
            "`merit policy` and `merit route` work with it; to serve, use paths of `answer` and "
            "`refuse`");
        return;
    }
}

// Budgets that can never hold for one request with any other of their group.
struct group {
    uint32_t *at;
    uint32_t count;
};

static bool apart(struct proof *p, const struct group *g, uint32_t budget)
{
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t claims[] = {feasible_active(p->feasible, g->at[i]),
                             feasible_active(p->feasible, budget)};
        if (space_ask(p->space, claims, 2, SPACE_FAILURES) != SAT_NO)
            return false;
    }
    return true;
}

// The ledger draws on so many accounts for one request. Each of them is of another group, so that few groups are enough.
static void check_budgets(struct proof *p)
{
    const struct image_constraint *c =
        IMAGE_AT(p->image, p->image->constraints, struct image_constraint);
    struct group groups[IMAGE_BUDGETS_MAX];
    uint32_t count = 0, n = p->image->constraints.count;
    for (uint32_t i = 0; i < n && !p->err; i++) {
        if (c[i].kind != IMAGE_BUDGET)
            continue;
        uint32_t k = 0;
        while (k < count && !apart(p, &groups[k], i))
            k++;
        if (k == count && count < IMAGE_BUDGETS_MAX) {
            groups[count] = (struct group){ARENA_ARRAY(p->arena, uint32_t, n), 0};
            if (!groups[count++].at) {
                p->err = RESULT_NOMEM;
                return;
            }
        }
        if (k < count) {
            groups[k].at[groups[k].count++] = i;
            continue;
        }
        struct slice name = image_text(p->image, c[i].name);
        struct diag *d = proof_finding(
            p, DIAG_ERROR, "unenforced", name, proof_span(p, IMAGE_CONSTRAINTS, i),
            "this build's server keeps at most %d budgets for one request, and \"%.*s\" would be "
            "one more",
            IMAGE_BUDGETS_MAX, SLICE_FMT(name));
        diag_help(p->diags, d, "drop one, or write `assume unenforced \"why\"`");
        return;
    }
}

void proof_serving(struct proof *p)
{
    const struct image_sink *s = IMAGE_AT(p->image, p->image->sinks, struct image_sink);
    if (!p->options->serving)
        return;
    for (uint32_t w = 0; w < p->ways.count && !p->err; w++)
        if (p->ways.at[w].kind == WAY_ROUTE)
            check_way(p, &p->ways.at[w]);
    check_budgets(p);
    for (uint32_t i = 0; i < p->image->sinks.count; i++) {
        if (!s[i].carries_text)
            continue;
        struct slice name = image_text(p->image, s[i].name);
        proof_finding(p, DIAG_ERROR, "unserved", name, proof_span(p, IMAGE_SINKS, i),
                      "`carries text`: this build's server writes no text to `%.*s`",
                      SLICE_FMT(name));
    }
}
