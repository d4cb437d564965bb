// How endpoints are chosen, and what seconds, joules and grams are worth.
#include "policy/check.h"
#include "policy/policy.h"

static void weights(struct checker *c, const struct node *clause, struct image_dispatch *out)
{
    static const char *const scorers[] = {"queue",   "running", "kv",      "prefix", "lora",
                                          "session", "latency", "context", NULL};
    static_assert(MERIT_COUNT(scorers) == IMAGE_SCORE_COUNT_ + 1, "one word per scorer");
    uint32_t said = 0;
    double v;
    for (const struct node *at = clause->first; at; at = at->next) {
        int32_t i = check_word_of(c, at->first, scorers, "scorer");
        if (i < 0)
            continue;
        if (said & 1u << i)
            check_error(c, at, "duplicate", "`%s` stands twice", scorers[i]);
        said |= 1u << i;
        if (check_number(c, at->last, NULL, "a weight", 0, IMAGE_SCORE_WEIGHT_MAX, &v))
            out->weights[i] = (float)v;
    }
}

void check_dispatch(struct checker *c)
{
    static const char *const modes[] = {"price", "least_request", "power_of_two", "round_robin"};
    static_assert(MERIT_COUNT(modes) == IMAGE_DISPATCH_MODE_COUNT_, "one word per mode");
    const struct node *n = c->dispatch, *clause;
    struct image_dispatch *d = &c->build.head.dispatch;
    const struct {
        const char *word, *what;
        int64_t *into;
    } worths[] = {{"second", "the worth of a second", &d->second_nusd},
                  {"kWh", "the worth of a kWh", &d->kwh_nusd},
                  {"kg", "the worth of a kilogram of carbon", &d->kg_nusd}};
    if (!n)
        return;
    check_clauses_once(c, n);
    d->line = tree_line(c->tree, n);
    for (uint32_t i = 0; i < MERIT_COUNT(modes); i++)
        if (tree_is(c->tree, n->first, modes[i]))
            d->mode = (enum image_dispatch_mode)i;
    if (d->mode != IMAGE_DISPATCH_PRICE && n->count > 1) {
        struct diag *e = check_error(c, n->first->next, "dispatch",
                                     "`%s` counts requests, no prices", modes[d->mode]);
        diag_help(c->diags, e, "leave this out, or write `dispatch price`");
        return;
    }
    for (size_t i = 0; i < MERIT_COUNT(worths); i++)
        if ((clause = tree_clause(c->tree, n, worths[i].word)))
            check_money(c, clause->first, "usd", worths[i].what, IMAGE_WORTH_MAX, worths[i].into);
    if ((clause = tree_clause(c->tree, n, "weights")))
        weights(c, clause, d);
}
