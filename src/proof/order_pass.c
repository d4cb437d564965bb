// The order of routes as a pass of the whole check.
#include <string.h>

#include "proof/check_inner.h"
#include "proof/order.h"

static struct diag *finding(void *ctx, enum diag_severity severity, const char *code,
                            struct slice name, struct span span, const char *text)
{
    struct proof *p = ctx;
    p->report->not_proved += !strcmp(code, "not-proved") && severity == DIAG_ERROR;
    return proof_finding(p, severity, code, name, span, "%s", text);
}

void proof_order(struct proof *p)
{
    const struct order_telling telling = {.places = p->options->places,
                                          .diags = p->diags,
                                          .notes = p->options->notes,
                                          .finding = finding,
                                          .ctx = p};
    p->err = order_check(p->space, 0, p->arena, &p->report->order);
    if (!p->err)
        order_tell(&p->report->order, &telling);
}
