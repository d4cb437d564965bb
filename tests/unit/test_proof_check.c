// The check of whole policies: each finding with its words, its witness and its remedy; bounds as numbers; assumptions;
// what the server cannot run; limits; failing memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "policy/policy.h"
#include "proof/check.h"
#include "signal/registry.h"

struct checked {
    struct arena arena;
    struct diag_list diags; // of the check alone
    const struct policy_image *p;
    struct proof_report report;
};

#define HEAD                                                                                       \
    "policy \"t\" version 1\n"                                                                     \
    "lattice exposure = public < internal < phi\n"                                                 \
    "zone local clears phi\n"                                                                      \
    "zone cloud clears internal\n"                                                                 \
    "model small zone local endpoint \"http://a:1/v1\" context 32k tok output 2k tok"              \
    " price 0.03 in, 0.06 out usd/Mtok timeout 30 s\n"                                             \
    "model big zone cloud endpoint \"http://b:1/v1\" context 128k tok output 4k tok"               \
    " price 1.25 in, 10 out usd/Mtok timeout 60 s\n"                                               \
    "signal data label exposure = max(internal when b, phi when a)\n"                              \
    "signal a = keywords(\"a\")\n"                                                                 \
    "signal b = keywords(\"b\")\n"                                                                 \
    "signal c = keywords(\"c\")\n"

static void open_checked(struct checked *c, const char *text, const struct proof_options *more)
{
    struct proof_options options = more ? *more : (struct proof_options){.registry = NULL};
    struct diag_list syntax;
    const struct tree *tree;
    const struct policy_places *places;
    struct slice source = slice_cstr(text);
    arena_init(&c->arena, 0, 256u << 20);
    diag_init(&syntax, &c->arena, 50);
    diag_init(&c->diags, &c->arena, 200);
    assert_int_equal(policy_parse(source, &c->arena, &syntax, &tree), RESULT_OK);
    enum result r =
        policy_compile_places(tree, &signal_registry, &c->arena, &syntax, &c->p, &places);
    if (r) {
        struct buf out;
        buf_init(&out, 1 << 20);
        diag_render(&syntax, source, SLICE("t"), false, &out);
        fail_msg("%.*s", SLICE_FMT(buf_slice(&out)));
    }
    options.places = places;
    options.report = options.notes = true;
    assert_int_equal(proof_check(c->p, &options, &c->arena, &c->diags, &c->report), RESULT_OK);
}

static const struct diag *found(const struct checked *c, const char *code)
{
    for (uint32_t i = 0; i < c->diags.count; i++)
        if (!strcmp(c->diags.items[i].code, code))
            return &c->diags.items[i];
    return NULL;
}

struct expectation {
    const char *name, *text, *code;
    enum diag_severity severity;
    const char *message, *witness;
    const char *at; // the text that the finding is about
};

static const struct expectation expectations[] = {
    {"by its route", HEAD "otherwise -> answer(any)\n", "flow", DIAG_ERROR,
     "a request labelled `phi` reaches model `big` in zone `cloud`, by route `otherwise`; also "
     "when a client asks for `big` by its name",
     "{\"a\": true}", "otherwise"},
    {"by its name", HEAD "otherwise -> answer(small)\n", "flow", DIAG_ERROR,
     "a request labelled `phi` reaches model `big` in zone `cloud`, when a client asks for "
     "`big` by its name",
     "{\"a\": true}", "big"},
    {"judge, in an else",
     HEAD "sink judge zone cloud clears internal\nforbid model big when data == phi\n"
          "route r when c -> answer(small) else answer(small) -> verify(judge)\n"
          "otherwise -> answer(small)\n",
     "flow", DIAG_ERROR,
     "a request labelled `phi` reaches judge `judge` in zone `cloud`, by the `else` of route `r`",
     "{\"a\": true, \"c\": true}", "r"},
    {"what is retrieved",
     HEAD "sink kb retriever zone local holds phi adds 1k tok\nforbid zone below data\n"
          "otherwise -> retrieve(kb) -> answer(any) else answer(small)\n",
     "flow", DIAG_ERROR,
     "what is retrieved, labelled `phi`, reaches model `big` in zone `cloud`, by route `otherwise`",
     NULL, "otherwise"},
    {"memory",
     HEAD "sink memory zone cloud clears internal\nforbid zone cloud when data == phi and c\n"
          "forbid model big when data == phi\notherwise -> answer(small)\n",
     "flow", DIAG_ERROR,
     "a request labelled `phi` reaches memory `memory` in zone `cloud`, by route `otherwise`, when "
     "it is remembered; also when a client asks for `small` by its name, when it is remembered",
     "{\"a\": true, \"c\": false}", "otherwise"},
    {"cache",
     HEAD "sink cache zone cloud clears internal\nforbid model big when data == phi\n"
          "otherwise -> cache(cache) -> answer(small)\n",
     "flow", DIAG_ERROR,
     "a request labelled `phi` reaches cache `cache` in zone `cloud`, by route `otherwise`",
     "{\"a\": true}", "otherwise"},
    {"a log that carries text",
     HEAD "sink log zone cloud clears internal carries text\nforbid model big when data == phi\n"
          "otherwise -> answer(small)\n",
     "flow", DIAG_ERROR, "a request labelled `phi` reaches log `log` in zone `cloud`, by every way",
     "{\"a\": true}", "log"},
    {"passed on",
     HEAD "forbid model big when data == phi\npass \"/v1/embeddings\" to big\n"
          "otherwise -> answer(small)\n",
     "flow", DIAG_ERROR,
     "`pass \"/v1/embeddings\"` hands bytes that no signal has read to model `big` in zone "
     "`cloud`, "
     "which does not clear `phi`",
     "{}", "\"/v1/embeddings\""},
    {"only when a signal fails",
     "policy \"t\" version 1\nlattice e = low < high\nzone inner clears high\nzone out\n"
     "model m zone out endpoint \"http://a:1/v1\" context 1k tok\n"
     "signal x = keywords(\"x\") on_error true\nsignal d label e = max(high when x)\n"
     "forbid zone out when x\nforbid zone out when d == high and not x\n"
     "otherwise -> answer(m) else refuse \"no\"\n",
     NULL, DIAG_NOTE, NULL, NULL, NULL},
    {"on_error below the top",
     "policy \"t\" version 1\nlattice e = low < mid < high\nzone out clears mid\n"
     "model m zone out endpoint \"http://a:1/v1\" context 1k tok\n"
     "signal x = keywords(\"x\")\nsignal d label e = max(high when x) on_error mid\n"
     "forbid zone below d\notherwise -> answer(m) else refuse \"no\"\n",
     "on-error", DIAG_ERROR,
     "`on_error mid` of `d` is not harmless: a request whose label could not be computed reaches "
     "model "
     "`m` in zone `out`, by route `otherwise`",
     "{\"x\": {\"failed\": true}}", "d"},
    {"obligation",
     HEAD "sink nli verifier zone local clears phi\nforbid zone below data\nrequire verify when c "
          "as \"checked\"\n"
          "route r when c -> answer(small) -> verify(nli) else answer(small)\n"
          "otherwise -> answer(small)\n",
     "obligation", DIAG_ERROR,
     "an else of route `r` delivers an answer that has not passed `verify`, which \"checked\" "
     "requires",
     "{\"c\": true}", "r"},
    {"infeasible",
     HEAD "forbid zone below data\nroute r when c -> answer(big)\notherwise -> answer(small)\n",
     "infeasible", DIAG_ERROR,
     "\"forbid zone below data\" leaves a request nothing of route `r`, which it takes",
     "{\"a\": true, \"c\": true}", "r"},
    {"infeasible by two",
     HEAD "forbid zone cloud when b as \"one\"\nforbid zone cloud when data == phi as \"more\"\n"
          "forbid zone local when c as \"two\"\notherwise -> answer(any)\n",
     "infeasible", DIAG_ERROR, NULL, NULL, "otherwise"},
    {"not allowed",
     HEAD "forbid zone below data\nallow escalate 1 when a and b\nsink nli verifier zone local "
          "clears phi\n"
          "route r when not a -> answer(small) -> verify(nli) else escalate answer(small) else "
          "refuse \"no\"\notherwise -> answer(small)\n",
     "not-allowed", DIAG_ERROR,
     "an else of route `r` escalates, which no `allow escalate` ever permits it", "{\"a\": false}",
     "r"},
    {"unbounded",
     HEAD
     "model free zone local endpoint \"http://c:1/v1\" context 1k tok\nforbid zone below data\n"
     "budget 1 usd/request hard as \"a dollar\"\notherwise -> answer(small, free)\n",
     "bound", DIAG_ERROR,
     "nothing bounds the money that a request under \"a dollar\" takes: model `free` in zone "
     "`local` "
     "states no price, by route `otherwise`",
     NULL, "otherwise"},
    {"a budget that nothing meets",
     HEAD
     "forbid zone below data\nbudget 10 s/request hard as \"ten\"\notherwise -> answer(small)\n",
     "infeasible", DIAG_ERROR,
     "\"ten\" leaves a request nothing of route `otherwise`, which it takes", NULL, "otherwise"},
    {"dead chain",
     HEAD "forbid zone below data\nforbid zone cloud as \"none\"\n"
          "otherwise -> answer(small) else answer(big)\n",
     "dead-chain", DIAG_WARNING,
     "an else of route `otherwise` is never taken: constraints always exclude it", NULL,
     "otherwise"},
    {"vacuous constraint",
     HEAD "forbid zone below data\nforbid model small when data == phi and not a as \"odd\"\n"
          "otherwise -> answer(small)\n",
     NULL, DIAG_NOTE, NULL, NULL, NULL}, // a failed signal makes it true
    {"unused allow", HEAD "forbid zone below data\nallow hedge 1\notherwise -> answer(small)\n",
     "unused-allow", DIAG_WARNING, "no path hedges, so nothing needs this `allow`", NULL, NULL},
    {"trusted", HEAD "forbid zone below data\notherwise -> redact(internal) -> answer(any)\n",
     "trusted", DIAG_NOTE,
     "taken on trust: `redact(internal)` leaves nothing above `internal` in the text", NULL,
     "redact(internal)"},
    {"theorem", HEAD "forbid zone below data\nprove never c\notherwise -> answer(small)\n",
     "theorem", DIAG_ERROR, NULL, "{\"c\": true}", "prove never c"},
    // `p` and `q` have the same terms; what is asked of them is not the same.
    {"scores over bands of the same terms",
     HEAD "signal p = score(0.5 when a, 0.3 when b) bands lo, hi above 0.4\n"
          "signal q = score(0.5 when a, 0.3 when b) bands low, high above 0.2\n"
          "signal t = score(1 when p == hi)\nsignal u = score(1 when q == high)\n"
          "forbid zone below data\nprove never t <= 0.5 and u > 0.5\notherwise -> answer(small)\n",
     "theorem", DIAG_ERROR, NULL, "{\"a\": false, \"b\": true}", "prove never t"},
    {"scores over thresholds of the same terms",
     HEAD "signal p = score(0.5 when a, 0.3 when b) above 0.4\n"
          "signal q = score(0.5 when a, 0.3 when b) above 0.2\n"
          "signal t = score(1 when p)\nsignal u = score(1 when q)\n"
          "forbid zone below data\nprove never t <= 0.5 and u > 0.5\notherwise -> answer(small)\n",
     "theorem", DIAG_ERROR, NULL, "{\"a\": false, \"b\": true}", "prove never t"},
    {"scores over labels of the same terms",
     HEAD "signal p label exposure = max(phi when a) on_error internal\n"
          "signal q label exposure = max(phi when a)\n"
          "signal t = score(1 when p == phi)\nsignal u = score(1 when q == phi)\n"
          "forbid zone below data\nprove never t <= 0.5 and u > 0.5\notherwise -> answer(small)\n",
     "theorem", DIAG_ERROR, NULL, "{\"a\": {\"failed\": true}}", "prove never t"},
    {"assumption that hides nothing",
     HEAD "forbid zone below data\nassume infeasible otherwise \"because\"\notherwise -> "
          "answer(small)\n",
     "unused-assume", DIAG_WARNING, "nothing has to be assumed here", NULL, NULL},
};

static void test_findings(void **state)
{
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(expectations); i++) {
        const struct expectation *e = &expectations[i];
        struct checked c;
        open_checked(&c, e->text, NULL);
        const struct diag *d = e->code ? found(&c, e->code) : NULL;
        if (!e->code && c.diags.errors)
            fail_msg("%s: %s", e->name, c.diags.items[0].code);
        if (e->code && !d)
            fail_msg("%s: there is no %s", e->name, e->code);
        if (d) {
            assert_int_equal(d->severity, e->severity);
            if (e->message && !slice_eq_cstr(d->message, e->message))
                fail_msg("%s: %.*s", e->name, SLICE_FMT(d->message));
            if (e->witness && !slice_eq_cstr(d->witness, e->witness))
                fail_msg("%s: %.*s", e->name, SLICE_FMT(d->witness));
            if (e->at && strncmp(e->text + d->span.begin, e->at, strlen(e->at)) != 0)
                fail_msg("%s: at %.20s", e->name, e->text + d->span.begin);
            assert_true(d->severity == DIAG_NOTE || d->help.len > 0);
        }
        arena_deinit(&c.arena);
    }
}

// --- bounds

static int64_t amount(const struct checked *c, uint32_t route, enum image_unit unit)
{
    assert_int_equal(c->report.routes[route].bound.unit[unit].open, WAY_BOUNDED);
    return c->report.routes[route].bound.unit[unit].value;
}

static void test_bounds(void **state)
{
    struct checked c;
    (void)state;
    open_checked(
        &c,
        HEAD
        "sink nli verifier zone local clears phi price 0.001 usd/call energy 2 J/call timeout 5 s\n"
        "forbid zone below data\nallow fuse 1\nallow hedge 2\nallow escalate 1\n"
        "model twin zone local endpoint \"http://a:1/v1\", \"http://a:2/v1\" context 1k tok "
        "price 1 in, 1 out usd/Mtok energy 1 in, 2 out kJ/Mtok timeout 1 s\n"
        "route one when a -> answer(small)\n"
        "route tried when b -> answer(small) retry 2\n"
        "route capped when c -> answer(small) cap 1k tok hedge 1\n"
        "signal d = keywords(\"d\")\n"
        "route both when d -> fuse(small, twin) -> verify(nli) else escalate "
        "answer(twin)\n"
        "otherwise -> answer(any) else refuse \"no\"\n",
        NULL);
    // 30,000 in and 2,000 out: 0.0009 + 0.00012 usd.
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_NUSD), 1020000);
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_TOK), 32000);
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_MS), 30000);
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_CALLS), 1);
    assert_int_equal(c.report.routes[0].bound.unit[IMAGE_UNIT_UJ].open, WAY_NO_ENERGY);
    assert_int_equal(c.report.routes[0].bound.unit[IMAGE_UNIT_UG].open, WAY_NO_CARBON);
    assert_int_equal(amount(&c, 1, IMAGE_UNIT_NUSD), 3 * 1020000);
    assert_int_equal(amount(&c, 1, IMAGE_UNIT_MS), 90000);
    assert_int_equal(c.report.routes[1].longest, 3);
    // 31,000 in and 1,000 out, twice side by side.
    assert_int_equal(amount(&c, 2, IMAGE_UNIT_NUSD), 2 * (930000 + 60000));
    assert_int_equal(amount(&c, 2, IMAGE_UNIT_MS), 30000);
    assert_int_equal(amount(&c, 2, IMAGE_UNIT_CALLS), 2);
    // Both answer (twin at either endpoint), the verifier, then twin again.
    assert_int_equal(amount(&c, 3, IMAGE_UNIT_NUSD), 1020000 + 2 * 1000000 + 1000000 + 2 * 1000000);
    assert_int_equal(amount(&c, 3, IMAGE_UNIT_CALLS), 1 + 2 + 1 + 2);
    assert_int_equal(amount(&c, 3, IMAGE_UNIT_MS), 30000 + 5000 + 2000);
    // The dearest of those that some request may use: 124,000 in and 4,000 out.
    assert_int_equal(amount(&c, 4, IMAGE_UNIT_NUSD), 155000000 + 40000000);
    arena_deinit(&c.arena);
}

static void test_budget_is_a_bound(void **state)
{
    struct checked c;
    (void)state;
    open_checked(&c,
                 HEAD "forbid zone below data\nbudget 0.1 usd/request hard when c\n"
                      "budget 0.15 usd/request hard\nroute r when c -> answer(any)\n"
                      "otherwise -> answer(any)\n",
                 NULL);
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_NUSD), 100000000);
    assert_int_equal(amount(&c, 1, IMAGE_UNIT_NUSD), 150000000);
    assert_true(c.report.routes[0].kept_by[IMAGE_UNIT_NUSD] >= 0);
    assert_int_equal(c.report.routes[0].kept_by[IMAGE_UNIT_TOK], IMAGE_NONE);
    arena_deinit(&c.arena);
}

static void test_overflow_is_no_bound(void **state)
{
    struct checked c;
    (void)state;
    open_checked(
        &c,
        "policy \"t\" version 1\nzone z\n"
        "model m zone z endpoint \"http://a:1/v1\" context 1000M tok price 100000 in, 100000 "
        "out usd/Mtok timeout 60 s\n"
        "allow hedge 8\notherwise -> answer(m) retry 8 hedge 4 else answer(m) retry 8 hedge 4 "
        "else answer(m) retry 8 hedge 4\n",
        NULL);
    const struct way_amount *a = &c.report.routes[0].bound.unit[IMAGE_UNIT_NUSD];
    assert_int_equal(a->open, WAY_OVERFLOW);
    assert_int_equal(amount(&c, 0, IMAGE_UNIT_CALLS), 3 * 9 * 5);
    arena_deinit(&c.arena);
}

// --- assumptions, the server, limits

static void test_assumed(void **state)
{
    struct checked c;
    (void)state;
    open_checked(&c,
                 HEAD "forbid zone below data\nassume infeasible r \"nobody comes there\"\n"
                      "route r when c -> answer(big)\notherwise -> answer(small)\n",
                 NULL);
    assert_int_equal(c.diags.errors, 0);
    assert_int_equal(c.report.assumed, 1);
    const struct diag *d = found(&c, "infeasible");
    assert_int_equal(d->severity, DIAG_NOTE);
    assert_true(slice_find(d->message, SLICE("; assumed: nobody comes there")) > 0);
    arena_deinit(&c.arena);
    // About another route it does not help.
    open_checked(&c,
                 HEAD "forbid zone below data\nassume infeasible otherwise \"nobody\"\n"
                      "route r when c -> answer(big)\notherwise -> answer(small)\n",
                 NULL);
    assert_int_equal(c.diags.errors, 1);
    assert_non_null(found(&c, "unused-assume"));
    arena_deinit(&c.arena);
}

static void test_serving(void **state)
{
    static const char text[] = HEAD
        "sink nli verifier zone local clears phi price 0 usd/call\nforbid zone below data\n"
        "budget per tenant 1 usd/day paced, 2 usd/day hard, 3 usd/day paced, 4 usd/day paced,\n"
        " 5 usd/day paced, 6 usd/day paced, 7 usd/day paced, 8 usd/day paced, 9 usd/day paced\n"
        "budget per key 1 usd/day paced, 2 usd/day paced, 3 usd/day paced, 4 usd/day paced,\n"
        " 5 usd/day paced, 6 usd/day paced, 7 usd/day paced when c\n"
        "budget per team 1 usd/day paced, 2 usd/day paced when not c\n"
        "budget 9 usd/day paced when c as \"seventeenth\"\n"
        "assume unenforced \"seventeenth\" \"the provider caps it\"\n"
        "route r when c -> answer(small) -> verify(nli) else refuse \"no\"\n"
        "otherwise -> answer(small) retry 1 cap 100 tok\n";
    const struct proof_options serving = {.serving = true};
    struct checked c;
    (void)state;
    open_checked(&c, text, NULL);
    assert_int_equal(c.diags.errors, 0);
    assert_null(found(&c, "unused-assume"));
    arena_deinit(&c.arena);
    open_checked(&c, text, &serving);
    assert_int_equal(c.diags.errors, 1);
    const struct diag *d = found(&c, "unserved");
    assert_true(slice_eq_cstr(d->message,
                              "the path of route `r` can be reached and needs `verify`, which this "
                              "build's server does not run"));
    if (!slice_eq_cstr(d->witness, "{\"c\": true}"))
        fail_msg("%.*s", SLICE_FMT(d->witness));
    assert_int_equal(found(&c, "unenforced")->severity, DIAG_NOTE);
    arena_deinit(&c.arena);
}

// A label that no request has, which is hard to see: more pigeons than holes.
static void write_pigeons(struct buf *out, unsigned pigeons, unsigned holes)
{
    buf_printf(out, "policy \"t\" version 1\nlattice e = low < high\nzone z\n"
                    "model m zone z endpoint \"http://a:1/v1\" context 1k tok\n");
    for (unsigned i = 0; i < pigeons; i++)
        for (unsigned k = 0; k < holes; k++)
            buf_printf(out, "signal p%u_%u = keywords(\"%u in %u\")\n", i, k, i, k);
    buf_printf(out, "signal d label e = max(high when ");
    for (unsigned i = 0; i < pigeons; i++) {
        buf_printf(out, "%s(p%u_0", i ? " and " : "", i);
        for (unsigned k = 1; k < holes; k++)
            buf_printf(out, " or p%u_%u", i, k);
        buf_printf(out, ")");
    }
    for (unsigned k = 0; k < holes; k++)
        for (unsigned i = 0; i < pigeons; i++)
            for (unsigned j = i + 1; j < pigeons; j++)
                buf_printf(out, " and not (p%u_%u and p%u_%u)", i, k, j, k);
    buf_printf(out, ") on_error low\notherwise -> answer(m)\n");
}

static void test_gives_up(void **state)
{
    const struct sat_limits limits = {.conflicts = 200,
                                      .propagations = 200000,
                                      .conflicts_all = 2000,
                                      .propagations_all = 2000000,
                                      .bytes = 64u << 20};
    const struct proof_options options = {.limits = &limits};
    struct checked c, again;
    struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    write_pigeons(&text, 10, 9);
    buf_byte(&text, 0);
    open_checked(&c, text.ptr, &options);
    assert_true(c.diags.errors > 0);
    const struct diag *d = found(&c, "not-proved");
    if (!d)
        fail_msg("%s: %.*s", c.diags.items[0].code, SLICE_FMT(c.diags.items[0].message));
    assert_true(c.report.not_proved > 0);
    // The same on every machine: counts, not time.
    open_checked(&again, text.ptr, &options);
    assert_int_equal(again.diags.count, c.diags.count);
    for (uint32_t i = 0; i < c.diags.count; i++)
        assert_true(slice_eq(c.diags.items[i].message, again.diags.items[i].message));
    arena_deinit(&c.arena);
    arena_deinit(&again.arena);
    buf_deinit(&text);
}

static void test_many_candidates(void **state)
{
    struct checked c;
    struct buf text;
    (void)state;
    buf_init(&text, 4 << 20);
    buf_printf(&text, "policy \"t\" version 1\nlattice e = low < high\nzone a clears high\nzone b\n"
                      "signal x = keywords(\"x\")\nsignal d label e = max(high when x)\n");
    for (unsigned i = 0; i < 1500; i++)
        buf_printf(&text,
                   "model m%u zone %c endpoint \"http://m%u:1/v1\" context 1k tok price 1 in, 1 "
                   "out usd/Mtok\n",
                   i, "ab"[i % 2], i);
    for (unsigned i = 0; i < 1500; i++)
        buf_printf(&text, "forbid model m%u when x\nbudget %u.5 usd/request hard when x\n", i,
                   i + 1);
    for (unsigned i = 0; i < 60; i++)
        buf_printf(&text, "route r%u when x -> answer(any)\n", i);
    buf_printf(&text, "otherwise -> answer(any)\n");
    buf_byte(&text, 0);
    open_checked(&c, text.ptr, NULL);
    assert_true(c.diags.errors > 0);
    arena_deinit(&c.arena);
    buf_deinit(&text);
}

static void test_no_memory(void **state)
{
    static const char text[] =
        HEAD "sink nli verifier zone local clears phi\nsink memory zone cloud clears "
             "internal\nforbid model big when data == phi\n"
             "require verify when c\nallow escalate 1\nbudget 1 usd/request hard\nprove never c\n"
             "route r when c -> redact(internal) -> answer(any) -> verify(nli) else escalate "
             "answer(big)\n"
             "otherwise -> answer(any)\n";
    struct checked whole;
    (void)state;
    open_checked(&whole, text, NULL);
    const struct proof_options options = {.report = true};
    for (uint64_t n = 1;; n++) {
        struct arena arena;
        struct diag_list diags;
        struct proof_report report;
        arena_init(&arena, 0, 64u << 20);
        diag_init(&diags, &arena, 200);
        alloc_fail_at(n, 1);
        enum result r = proof_check(whole.p, &options, &arena, &diags, &report);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
        bool done = r == RESULT_OK && diags.errors == whole.diags.errors;
        arena_deinit(&arena);
        if (done)
            break;
        assert_true(n < 100000);
    }
    arena_deinit(&whole.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),          cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_budget_is_a_bound), cmocka_unit_test(test_overflow_is_no_bound),
        cmocka_unit_test(test_assumed),           cmocka_unit_test(test_serving),
        cmocka_unit_test(test_gives_up),          cmocka_unit_test(test_many_candidates),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
