// Inside of a check: what holds for every request. For lsp/ only.
#ifndef MERIT_LSP_PROVE_H
#define MERIT_LSP_PROVE_H

#include "lsp/check.h"
#include "policy/policy.h"

// The findings of proof/check.h and the answers to the policy's tests go to `diags`; what is known
// of each route is kept in `c`. `run` is memory for the time of the call. RESULT_NOMEM.
enum result lsp_prove(struct lsp_check *c, const struct policy_image *image,
                      const struct policy_places *places, struct arena *run,
                      struct diag_list *diags) MERIT_NODISCARD;

#endif
