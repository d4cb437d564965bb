// What the policy claims of itself: a `prove` that does not hold stops a load. Tests are for `merit policy test`.
#include "proof/check_inner.h"
#include "proof/theorem.h"

static void tell(struct proof *p, uint32_t index, const struct theorem_answer *a)
{
    const struct image_theorem *t =
        IMAGE_AT(p->image, p->image->theorems, struct image_theorem) + index;
    struct slice name = image_text(p->image, t->name);
    struct span span = {t->begin, t->end};
    if (a->verdict == THEOREM_NOT_PROVED) {
        proof_unknown(p, name, span, "what the policy states with this `prove`");
    } else if (a->verdict == THEOREM_EMPTY) {
        struct diag *d =
            proof_finding(p, DIAG_WARNING, "vacuous", name, span,
                          "this `prove` speaks of no request: none is as its `when` says");
        diag_help(p->diags, d, "change its `when`, or take it out");
    } else if (a->verdict == THEOREM_REFUTED) {
        struct diag *d = proof_finding(p, DIAG_ERROR, "theorem", name, span,
                                       "what this `prove` states does not hold: %.*s%s%.*s%s",
                                       SLICE_FMT(a->why), a->model.len ? ", asked for as `" : "",
                                       SLICE_FMT(a->model), a->model.len ? "`" : "");
        diag_witness(p->diags, d, a->witness.len ? a->witness : SLICE("{}"));
        diag_help(p->diags, d, "forbid what must not happen, or state less");
    }
}

void proof_theorems(struct proof *p)
{
    struct theorem_prover prover = {.image = p->image,
                                    .arena = p->arena,
                                    .space = p->space,
                                    .ways = p->ways,
                                    .feasible = p->feasible,
                                    .signals_embed = proof_signals_embed(p)};
    const struct image_theorem *t = IMAGE_AT(p->image, p->image->theorems, struct image_theorem);
    for (uint32_t i = 0; i < p->image->theorems.count && !p->err; i++) {
        struct theorem_answer a;
        if (t[i].is_test)
            continue;
        if (theorem_ask(&prover, i, NULL, &a))
            p->err = RESULT_NOMEM;
        else
            tell(p, i, &a);
    }
}
