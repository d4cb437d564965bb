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

static struct order_telling telling(struct proof *p)
{
    return (struct order_telling){
        .places = p->options->places, .diags = p->diags, .finding = finding, .ctx = p};
}

void proof_order(struct proof *p)
{
    const struct order_telling t = telling(p);
    p->err = order_check(p->space, 0, p->arena, &p->report->order);
    if (!p->err)
        order_tell(&p->report->order, &t);
}

void proof_overlaps(struct proof *p)
{
    const struct order_telling t = telling(p);
    if (!p->options->notes)
        return;
    p->err = order_compare(p->space, 0, p->arena, &p->report->order);
    if (!p->err)
        order_tell_notes(&p->report->order, &t);
}
