// Random whole policies as texts, with claims, for tests that try every request: truth values, an enum and a label.
#ifndef MERIT_TESTS_THEOREM_MAKE_H
#define MERIT_TESTS_THEOREM_MAKE_H

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/rng.h"

enum { MADE_BYTES = 16 * 1024, MADE_MODELS = 3, MADE_BOOLS = 4 };

struct made {
    struct rng rng;
    char text[MADE_BYTES];
    size_t len;
    uint32_t routes;
};

static inline uint32_t made_below(struct made *m, uint32_t n)
{
    return (uint32_t)rng_below(&m->rng, n);
}

static inline void MERIT_PRINTF(2, 3) made_put(struct made *m, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(m->text + m->len, sizeof m->text - m->len, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof m->text - m->len);
    m->len += (size_t)n;
}

#define MADE_ONE(m, ...)                                                                           \
    ((const char *const[]){__VA_ARGS__})[made_below(                                               \
        (m), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))]

static inline void made_condition(struct made *m)
{
    switch (made_below(m, 7)) {
    case 0:
        made_put(m, "kind %s %s", MADE_ONE(m, "==", "!="), MADE_ONE(m, "text", "json", "schema"));
        return;
    case 1:
    case 2:
        made_put(m, "data %s", MADE_ONE(m, ">= internal", "== phi", "== public", "< phi"));
        return;
    default:
        made_put(m, "%sb%u", MADE_ONE(m, "", "", "not "), made_below(m, MADE_BOOLS));
    }
}

static inline void made_guard(struct made *m)
{
    const char *join = MADE_ONE(m, " and ", " or ");
    for (uint32_t n = 1 + made_below(m, 3), i = 0; i < n; i++) {
        made_put(m, "%s", i ? join : "");
        made_condition(m);
    }
}

static inline void made_when(struct made *m)
{
    made_put(m, " when ");
    made_guard(m);
}

static inline void made_answer(struct made *m)
{
    uint32_t a = made_below(m, MADE_MODELS);
    made_put(m, "answer(m%u%s", a, MADE_ONE(m, "", "", " high"));
    if (made_below(m, 2))
        made_put(m, ", m%u", (a + 1) % MADE_MODELS);
    made_put(m, ")%s", MADE_ONE(m, "", "", " retry 1", " cap 100 tok"));
}

static inline void made_chain(struct made *m)
{
    if (made_below(m, 8) == 0) {
        made_put(m, "refuse \"no\"");
        return;
    }
    if (made_below(m, 5) == 0)
        made_put(m, "redact(%s) -> ", MADE_ONE(m, "public", "internal"));
    if (made_below(m, 5) == 0)
        made_put(m, "retrieve(kb) -> ");
    if (made_below(m, 6) == 0)
        made_put(m, "cache(shelf) -> ");
    made_answer(m);
    if (made_below(m, 3) == 0)
        made_put(m, " -> verify(%s)", MADE_ONE(m, "check", "judge", "m0"));
}

static inline void made_path(struct made *m)
{
    made_chain(m);
    for (uint32_t n = made_below(m, 3); n > 0; n--) {
        made_put(m, " else ");
        made_chain(m);
    }
}

static inline void made_constraint(struct made *m)
{
    switch (made_below(m, 8)) {
    case 0:
        made_put(m, "forbid model m%u", made_below(m, MADE_MODELS));
        break;
    case 1:
        made_put(m, "forbid zone below data\n");
        return;
    case 2:
        made_put(m, "forbid %s", MADE_ONE(m, "effort high", "step retrieve", "sink judge"));
        break;
    case 3:
    case 4:
        made_put(m, "require %s", MADE_ONE(m, "verify", "verify(check)", "redact", "retrieve"));
        break;
    case 5:
        made_put(m, "budget %s hard", MADE_ONE(m, "2 calls/request", "0.03 usd/request"));
        break;
    default:
        made_put(m, "forbid zone z%u", made_below(m, 3));
    }
    made_when(m);
    made_put(m, "\n");
}

static inline void made_claim(struct made *m)
{
    const char *no = MADE_ONE(m, "", "", "not ");
    switch (made_below(m, 10)) {
    case 0:
        made_put(m, "never ");
        made_guard(m);
        return;
    case 1:
    case 2:
        made_put(
            m, "no %s reaches %s", MADE_ONE(m, "internal", "phi"),
            MADE_ONE(m, "zone z1", "zone z2", "model m0", "sink judge", "sink kb", "sink shelf"));
        break;
    case 3:
        made_put(
            m, "every path costs at most %s",
            MADE_ONE(m, "0.05 usd", "0.09 usd", "0.2 usd", "2 calls", "4 calls", "3 s", "9 s"));
        break;
    case 4:
        made_put(m, "%szone %s", no, MADE_ONE(m, "z0", "z1", "z0, z2"));
        break;
    case 5:
        made_put(m, "%smodel %s", no, MADE_ONE(m, "m0", "m1, m2"));
        break;
    case 6:
        made_put(m, "%spasses %s", no, MADE_ONE(m, "verify", "redact", "retrieve"));
        break;
    case 7:
        made_put(m, "%srefuse", no);
        break;
    case 8:
        made_put(m, "%sfeasible", no);
        break;
    default:
        made_put(m, "%sroute r%u", no, made_below(m, m->routes));
    }
    made_when(m);
}

// A policy; not every one compiles. `claims`: with `prove` and `test` statements.
static inline void made_policy(struct made *m, uint64_t seed, bool claims)
{
    rng_seed(&m->rng, seed);
    m->len = 0;
    made_put(m, "policy \"t\" version 1\nlattice exposure = public < internal < phi\n");
    for (uint32_t i = 0; i < 3; i++)
        made_put(m, "zone z%u clears %s\n", i, MADE_ONE(m, "public", "internal", "phi"));
    made_put(m,
             "sink check verifier zone z0 price 0.01 usd/call timeout 1 s\nsink judge zone z1\n"
             "sink kb retriever zone z0 holds %s adds 1k tok\nsink shelf cache zone z%u\n",
             MADE_ONE(m, "public", "internal"), made_below(m, 3));
    for (uint32_t i = 0; i < MADE_MODELS; i++)
        made_put(
            m,
            "model m%u zone z%u endpoint \"http://m%u:1/v1\" context 8k tok output 1k tok effort "
            "high price %u in, %u out usd/Mtok%s quality 0.%u\n",
            i, made_below(m, 3), i, 1 + made_below(m, 4), 4 + made_below(m, 20),
            MADE_ONE(m, " timeout 1 s", " timeout 4 s"), 5 + made_below(m, 4));
    for (uint32_t i = 0; i < MADE_BOOLS; i++)
        made_put(m, "signal b%u = keywords(\"w%u\")%s\n", i, i, MADE_ONE(m, "", " on_error true"));
    made_put(m,
             "signal kind = output on_error json\nsignal data label exposure = max(internal when "
             "b0, phi when b1%s)%s\n",
             MADE_ONE(m, "", " and not b2"), MADE_ONE(m, "", "", " on_error internal"));
    for (uint32_t n = made_below(m, 5); n > 0; n--)
        made_constraint(m);
    if (made_below(m, 3) == 0)
        made_put(m, "alias fast -> route r0\n");
    if (made_below(m, 4) == 0)
        made_put(m, "pass \"/v1/embeddings\" to m%u\n", made_below(m, MADE_MODELS));
    m->routes = 1 + made_below(m, 3);
    for (uint32_t i = 0; i < m->routes; i++) {
        made_put(m, "route r%u when ", i);
        made_guard(m);
        made_put(m, " -> ");
        made_path(m);
        made_put(m, "\n");
    }
    made_put(m, "otherwise -> ");
    made_path(m);
    made_put(m, "\n");
    for (uint32_t i = 0; claims && i < 4; i++) {
        made_put(m, "prove ");
        made_claim(m);
        made_put(m, "\n");
    }
    for (uint32_t i = 0; claims && i < 2; i++) {
        made_put(m, "test \"t%u\" given ", i);
        made_guard(m);
        made_put(m, " expect %s\n",
                 MADE_ONE(m, "route r0", "not route r0", "zone z0, z1", "refuse", "feasible",
                          "passes verify", "model m0, m1"));
    }
}

#endif
