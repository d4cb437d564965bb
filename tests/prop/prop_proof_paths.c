// The findings about paths of thousands of random policies against a naive interpreter that tries every request there
// is: a place leaks exactly when some request leaks there, a route is infeasible exactly when some request is left
// nothing, and so on; and every witness does what its finding says, however the signals that it leaves out turn out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "policy/policy.h"
#include "proof/check.h"
#include "signal/registry.h"
#include "support/proof_paths.h"

enum { POLICIES = 1500, REQUESTS_MAX = 4096, TEXT_MAX = 16 * 1024, BOOLS = 4 };

static struct rng rng;

static uint32_t below(uint32_t n)
{
    return (uint32_t)rng_below(&rng, n);
}

// --- making policies

struct text {
    char at[TEXT_MAX];
    size_t len;
};

static void MERIT_PRINTF(2, 3) put(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->at + t->len, sizeof t->at - t->len, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof t->at - t->len);
    t->len += (size_t)n;
}

static const char *const levels[] = {"public", "internal", "phi"};
enum { ZONES = 3, MODELS = 4 };
static const char *const sinks[] = {"check", "judge", "kb", "shelf", "embedding", "memory", "log"};
static const char *const kinds[] = {"verifier", "", "retriever", "cache", "", "", ""};

struct shape {
    unsigned sinks; // bit per sink that is declared
    bool budgets, careful;
};

static bool has(const struct shape *s, int sink)
{
    return s->sinks >> sink & 1;
}

static void condition(struct text *t)
{
    static const char *const words[] = {"text", "json", "schema"};
    switch (below(6)) {
    case 0:
        put(t, "kind == %s", words[below(3)]);
        break;
    case 1:
        put(t, "data >= %s", levels[1 + below(2)]);
        break;
    case 2:
        put(t, "data == %s", levels[below(3)]);
        break;
    default:
        put(t, "%sb%u", below(3) ? "" : "not ", below(BOOLS));
    }
}

static void guard(struct text *t)
{
    static const char *const joins[] = {" and ", " or "};
    uint32_t n = 1 + below(3);
    const char *join = joins[below(2)];
    for (uint32_t i = 0; i < n; i++) {
        put(t, "%s", i ? join : "");
        condition(t);
    }
}

static void when(struct text *t)
{
    if (below(4) == 0)
        return;
    put(t, " when ");
    guard(t);
}

static void models(struct text *t)
{
    if (below(4) == 0) {
        put(t, "any");
        return;
    }
    uint32_t first = below(MODELS);
    put(t, "m%u%s", first, below(3) ? "" : " high");
    if (below(2))
        put(t, ", m%u", (first + 1 + below(MODELS - 1)) % MODELS);
}

static void chain(struct text *t, const struct shape *s, bool may_escalate)
{
    bool answered = false;
    if (below(10) == 0) {
        put(t, "refuse \"no\"");
        return;
    }
    if (below(6) == 0)
        put(t, "clarify(1) -> ");
    if (has(s, 3) && below(5) == 0)
        put(t, "cache(shelf) -> ");
    if (has(s, 2) && below(4) == 0)
        put(t, "retrieve(kb) -> ");
    if (below(5) == 0)
        put(t, "redact(%s) -> ", levels[below(2)]);
    if (has(s, 2) && below(8) == 0)
        put(t, "retrieve(kb) -> ");
    if (may_escalate)
        put(t, "escalate ");
    if (below(8) == 0) {
        put(t, "fuse(m0, m%u)", 1 + below(MODELS - 1));
        answered = true;
    }
    if (!answered) {
        put(t, "answer(");
        models(t);
        put(t, ")%s", below(8) ? "" : " hedge 1");
        if (below(8) == 0)
            put(t, " retry 1");
    }
    if (below(8) == 0)
        put(t, " -> redact(%s)", levels[below(2)]);
    if (has(s, 0) && below(3) == 0)
        put(t, " -> verify(check)");
    else if (has(s, 1) && below(3) == 0)
        put(t, " -> verify(judge)");
    else if (below(8) == 0)
        put(t, " -> verify(m%u)", below(MODELS));
}

static void route_path(struct text *t, const struct shape *s)
{
    uint32_t n = 1 + below(3);
    size_t begin = t->len;
    for (uint32_t i = 0; i < n; i++) {
        put(t, "%s", i ? " else " : "");
        // An escalation needs a verification before it.
        bool verified = strstr(t->at + begin, "verify") != NULL;
        chain(t, s, i > 0 && verified && below(2));
    }
}

static void forbid(struct text *t, const struct shape *s)
{
    static const char *const steps[] = {"retrieve", "cache", "redact", "verify", "clarify"};
    int sink = (int)below(7);
    put(t, "forbid ");
    switch (below(8)) {
    case 0:
        put(t, "model m%u", below(MODELS));
        break;
    case 1:
        put(t, "zone below data");
        break;
    case 2:
        put(t, "effort high");
        break;
    case 3:
        put(t, "step %s", steps[below(5)]);
        break;
    case 4:
        if (has(s, sink))
            put(t, "sink %s", sinks[sink]);
        else
            put(t, "endpoint \"http://m%u:%u/v1\"", below(MODELS), 1 + below(2));
        break;
    default:
        put(t, "zone z%u", below(ZONES));
    }
    when(t);
    put(t, "\n");
}

static void constraints(struct text *t, const struct shape *s)
{
    static const char *const extras[] = {"escalate", "fuse", "hedge"};
    for (uint32_t n = below(5); n > 0; n--)
        forbid(t, s);
    if (s->careful)
        put(t, "forbid zone below data\n");
    for (int e = 0; e < 3; e++) {
        put(t, "allow %s %u", extras[e], 1 + below(2));
        if (below(2))
            when(t);
        put(t, "\n");
    }
    for (uint32_t n = below(s->careful ? 2 : 3); n > 0; n--) {
        static const char *const steps[] = {"verify", "verify(check)", "retrieve", "redact",
                                            "clarify"};
        uint32_t step = below(5);
        put(t, "require %s", step == 1 && !has(s, 0) ? steps[0] : steps[step]);
        when(t);
        put(t, "\n");
    }
    static const char *const budgets[] = {"3 calls/request", "1 calls/request", "4 s/request",
                                          "0.00001 usd/request", "1 usd/request"};
    for (uint32_t n = s->budgets ? below(3) : 0; n > 0; n--) {
        put(t, "budget %s hard", budgets[below(5)]);
        when(t);
        put(t, "\n");
    }
}

static void places(struct text *t, const struct shape *s)
{
    for (int i = 0; i < 7; i++) {
        if (!has(s, i))
            continue;
        put(t, "sink %s %s", sinks[i], kinds[i]);
        if (below(3))
            put(t, " zone z%u", below(ZONES));
        else if (below(2))
            put(t, " clears %s", levels[below(3)]);
        if (i == 2 && below(2))
            put(t, " holds %s", levels[below(3)]);
        if (i == 2)
            put(t, " adds 1k tok");
        if (i < 4 && below(2))
            put(t, " price 0.000001 usd/call timeout 1 s");
        if (i == 6 && below(2) && !s->careful)
            put(t, " carries text");
        put(t, "\n");
    }
}

static struct shape make(struct text *t)
{
    struct shape s = {.sinks = below(128), .budgets = below(4) == 0, .careful = below(2) == 0};
    if (s.careful)
        s.sinks &= below(128);
    t->len = 0;
    put(t, "policy \"t\" version 1\nlattice exposure = public < internal < phi\n");
    for (uint32_t i = 0; i < ZONES; i++)
        put(t, below(4) ? "zone z%u clears %s\n" : "zone z%u\n", i, levels[below(3)]);
    places(t, &s);
    for (uint32_t i = 0; i < MODELS; i++) {
        put(t, "model m%u zone z%u endpoint \"http://m%u:1/v1\"", i, below(ZONES), i);
        if (below(2))
            put(t, ", \"http://m%u:2/v1\"", i);
        put(t, " context 8k tok output 1k tok effort high");
        put(t, below(3) ? " price 3 in, 6 out usd/Mtok" : "");
        put(t, below(3) ? " timeout 1 s" : "");
        if (below(2))
            put(t, " quality 0.%u", 5 + below(4));
        put(t, "\n");
    }
    for (uint32_t i = 0; i < BOOLS; i++)
        put(t, "signal b%u = keywords(\"w%u\")%s\n", i, i, below(2) ? " on_error true" : "");
    put(t, "signal kind = output on_error json\n");
    put(t, "signal data label exposure = max(internal when b0, phi when b1%s)%s\n",
        below(2) ? " and not b2" : "",
        below(3)   ? ""
        : below(2) ? " on_error internal"
                   : " on_error public");
    constraints(t, &s);
    if (below(3) == 0)
        put(t, "alias fast -> route r0\n");
    uint32_t routes = 1 + below(3);
    for (uint32_t i = 0; i < routes; i++) {
        put(t, "route r%u when ", i);
        guard(t);
        put(t, " -> ");
        route_path(t, &s);
        put(t, below(6) ? "\n" : below(2) ? " where quality >= 0.6\n" : " minimise cost\n");
    }
    put(t, "otherwise -> ");
    route_path(t, &s);
    put(t, "\n");
    return s;
}

// --- what is found

struct found {
    bool leak[WALK_PLACES], on_error, obligation[WALK_WAYS], nothing[WALK_WAYS],
        not_allowed[WALK_WAYS];
    bool unbounded;
};

static bool says(const struct diag *d, const char *before, struct slice name)
{
    char text[200];
    snprintf(text, sizeof text, "%s`%.*s`", before, SLICE_FMT(name));
    return slice_find(d->message, slice_cstr(text)) >= 0;
}

static bool is(const struct diag *d, const char *code)
{
    return !strcmp(d->code, code);
}

static void read_findings(const struct policy_image *p, const struct diag_list *diags,
                          struct found *f)
{
    const struct image_sink *s = IMAGE_AT(p, p->sinks, struct image_sink);
    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct diag *d = &diags->items[i];
        assert_false(is(d, "not-proved"));
        f->on_error |= is(d, "on-error");
        f->unbounded |= is(d, "bound");
        for (uint32_t m = 0; m < p->models.count && is(d, "flow"); m++)
            f->leak[m] |=
                says(d, " reaches model ", image_text(p, image_model(p, (int32_t)m)->name));
        for (uint32_t k = 0; k < p->sinks.count && is(d, "flow"); k++) {
            struct slice name = image_text(p, s[k].name);
            bool other = says(d, " model ", name);
            f->leak[p->models.count + k] |= !other && says(d, " ", name) &&
                                            slice_find(d->message, SLICE(" reaches model ")) < 0 &&
                                            slice_find(d->message, SLICE(" reaches ")) >= 0;
        }
        for (uint32_t r = 0; r < p->routes.count; r++) {
            struct slice name = image_text(p, image_route(p, (int32_t)r)->name);
            f->obligation[r] |= is(d, "obligation") && says(d, "of route ", name);
            f->nothing[r] |= is(d, "infeasible") && says(d, "route ", name);
            f->not_allowed[r] |= is(d, "not-allowed") && says(d, "of route ", name);
        }
    }
}

// --- what there is

struct expected {
    struct walk_seen any, sound; // over all requests; over those whose signals do not fail
    bool on_error;
};

enum { OUTPUT_WORDS = 3 }; // text, json, schema

// Request `i` of all: `failing` has one more value per signal. False behind the last one.
static bool request_at(const struct policy_image *p, uint64_t i, bool failing,
                       struct walk_request *r)
{
    memset(r, 0, sizeof *r);
    for (uint32_t k = 0; k < p->signals.count; k++) {
        const struct image_signal *s = image_signal(p, (int32_t)k);
        if (s->derive)
            continue;
        uint32_t values = s->type == SIGNAL_ENUM ? OUTPUT_WORDS : 2;
        uint32_t v = (uint32_t)(i % (values + failing));
        i /= values + failing;
        bool fails = v == values;
        r->of[k] = (struct fact){.state = fails ? FACT_FAILED : FACT_KNOWN,
                                 .number = fails ? s->error_number : v};
    }
    return i == 0;
}

static void gather(struct walk_seen *to, const struct walk_seen *from)
{
    const bool *f = (const bool *)from;
    bool *t = (bool *)to;
    for (size_t i = 0; i < sizeof *to / sizeof(bool); i++)
        t[i] |= f[i];
}

static void expect(const struct policy_image *p, struct expected *e)
{
    memset(e, 0, sizeof *e);
    for (int failing = 0; failing < 2; failing++) {
        struct walk_request r;
        for (uint64_t i = 0; request_at(p, i, failing, &r); i++) {
            struct walk_seen seen;
            walk_all(p, &r, &seen);
            gather(failing ? &e->any : &e->sound, &seen);
            struct walk w = {p, &r};
            for (uint32_t k = 0; k < p->signals.count && failing; k++) {
                const struct image_signal *s = image_signal(p, (int32_t)k);
                bool failed;
                if (s->derive != IMAGE_DERIVE_LABEL || s->error_level + 1 >= s->words.count)
                    continue;
                walk_level(&w, s, &failed);
                for (uint32_t place = 0; place < p->models.count + p->sinks.count && failed;
                     place++)
                    e->on_error |= seen.reached[place][s->lattice];
            }
        }
    }
}

// --- witnesses

// Sets the signals that a witness names; `fixed`: which.
static void read_witness(const struct policy_image *p, struct slice json, struct walk_request *r,
                         bool *fixed)
{
    struct arena arena;
    arena_init(&arena, 0, 1 << 20);
    for (uint32_t k = 0; k < p->signals.count; k++) {
        const struct image_signal *s = image_signal(p, (int32_t)k);
        struct slice key = arena_printf(&arena, "\"%.*s\": ", SLICE_FMT(image_text(p, s->name)));
        int64_t at = slice_find(json, key);
        fixed[k] = at >= 0;
        if (at < 0)
            continue;
        assert_false(s->derive);
        const char *v = json.ptr + at + key.len;
        struct fact f = {.state = FACT_GIVEN};
        if (*v == '{')
            f = (struct fact){.state = FACT_FAILED, .number = s->error_number};
        else if (*v == '"')
            f.number = v[1] == 't' ? 0 : v[1] == 'j' ? 1 : 2;
        else
            f.number = *v == 't';
        r->of[k] = f;
    }
    arena_deinit(&arena);
}

// Whether the request does what the finding says.
static bool shows(const struct policy_image *p, const struct diag *d, const struct found *one,
                  const struct walk_request *r)
{
    struct walk_seen seen;
    walk_all(p, r, &seen);
    for (uint32_t i = 0; i < p->models.count + p->sinks.count; i++)
        if (one->leak[i] && !seen.leak[i])
            return false;
    for (uint32_t i = 0; i < p->routes.count; i++)
        if ((one->obligation[i] && !seen.obligation[i]) || (one->nothing[i] && !seen.nothing[i]) ||
            (one->not_allowed[i] && !seen.entered[i]))
            return false;
    (void)d;
    return true;
}

static void check_witness(const struct policy_image *p, const struct diag *d)
{
    struct diag copy = *d;
    struct diag_list one = {.items = &copy, .count = 1};
    struct found f;
    bool fixed[WALK_SIGNALS] = {false};
    struct walk_request given, r;
    read_findings(p, &one, &f);
    assert_true(d->witness.len > 0);
    read_witness(p, d->witness, &given, fixed);
    for (uint64_t i = 0; request_at(p, i, false, &r); i++) {
        for (uint32_t k = 0; k < p->signals.count; k++)
            if (fixed[k])
                r.of[k] = given.of[k];
        if (!shows(p, d, &f, &r))
            fail_msg("witness %.*s does not show: %.*s", SLICE_FMT(d->witness),
                     SLICE_FMT(d->message));
    }
}

// --- the comparison

static void wrong(const char *policy, const char *what, uint32_t i, bool found)
{
    printf("%s\n%s of %u: %s\n", policy, what, i, found ? "found, but there is none" : "not found");
    fail();
}

struct counts {
    uint32_t loaded, leaks, on_error, obligations, nothing, clean, witnesses;
};

static void compare(const struct policy_image *p, const struct diag_list *diags, const char *text,
                    struct counts *n)
{
    struct found f;
    struct expected e;
    bool clean = true;
    read_findings(p, diags, &f);
    expect(p, &e);
    for (uint32_t i = 0; i < p->models.count + p->sinks.count; i++) {
        if (f.leak[i] != e.any.leak[i])
            wrong(text, "flow", i, f.leak[i]);
        n->leaks += f.leak[i];
        clean &= !f.leak[i];
    }
    if (f.on_error != e.on_error)
        wrong(text, "on_error", 0, f.on_error);
    n->on_error += f.on_error;
    for (uint32_t i = 0; i < p->routes.count; i++) {
        if (f.obligation[i] != e.sound.obligation[i])
            wrong(text, "obligation", i, f.obligation[i]);
        // What has another finding about the same is not told twice.
        bool told = f.not_allowed[i] || f.unbounded;
        if (f.nothing[i] != e.sound.nothing[i] && !(told && !f.nothing[i]))
            wrong(text, "infeasible", i, f.nothing[i]);
        n->obligations += f.obligation[i];
        n->nothing += f.nothing[i];
        clean &= !f.nothing[i] && !f.obligation[i];
    }
    n->clean += clean;
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct diag *d = &diags->items[i];
        if (d->witness.len == 0 || d->severity != DIAG_ERROR)
            continue;
        check_witness(p, d);
        n->witnesses++;
    }
}

// Checks the text; false when it does not compile.
static bool check_text(const struct text *t, struct arena *arena, struct diag_list *diags,
                       const struct policy_image **p)
{
    struct diag_list syntax;
    struct proof_report report;
    const struct proof_options options = {.registry = NULL};
    diag_init(&syntax, arena, 100);
    diag_init(diags, arena, 400);
    if (policy_load(slice_make(t->at, t->len), &signal_registry, arena, &syntax, p))
        return false; // what the compiler sees without a proof is not for these tests
    assert_int_equal(proof_check(*p, &options, arena, diags, &report), RESULT_OK);
    return true;
}

// --- the router

// Which chain of its route a request takes first; -1: none.
static int first_chain(const struct policy_image *p, const struct walk_request *r, int32_t *route)
{
    const struct walk w = {p, r};
    struct walk_way ways[WALK_WAYS];
    bool bare[64], whole[64];
    uint32_t n = walk_ways(p, ways);
    for (uint32_t i = 0; i < n; i++) {
        if (!ways[i].guarded || !walk_enters(&w, &ways[i]))
            continue;
        *route = (int32_t)i;
        walk_feasible(&w, &ways[i], bare, whole);
        for (uint32_t c = 0; c < ways[i].count; c++)
            if (whole[c])
                return (int)c;
        return -1;
    }
    fail();
    return -1;
}

static void route_it(const struct policy_image *p, const struct route_table *table,
                     const struct walk_request *r, bool budgets, const char *text)
{
    const struct work work = {
        .choices = 1, .anchor = WORK_NO_ANCHOR, .input_tok = 1, .max_output_tok = 1};
    const struct route_options options = {.given = r->of, .all_steps = true};
    struct arena arena;
    struct route_run run;
    int32_t signal, route = -1;
    arena_init(&arena, 0, 16u << 20);
    assert_int_equal(route_begin(&run, table, &work, NULL, &options, &arena), RESULT_OK);
    assert_int_equal(route_step(&run, &signal), ROUTE_DECIDED);
    int chain = first_chain(p, r, &route);
    assert_int_equal(run.decision->route, route);
    // Budgets weigh the request's own length, which the proof leaves open: it may call more feasible, never less.
    int taken = run.decision->end == DECISION_INFEASIBLE ? -1 : run.decision->chain;
    if (budgets ? taken >= 0 && (chain < 0 || chain > taken) : taken != chain) {
        printf("%s\nroute %d: the router takes chain %d, expected %d\n", text, route, taken, chain);
        for (uint32_t k = 0; k < p->signals.count; k++)
            printf("  %.*s %d %g\n", SLICE_FMT(image_text(p, image_signal(p, (int32_t)k)->name)),
                   r->of[k].state, r->of[k].number);
        fail();
    }
    arena_deinit(&arena);
}

static void test_the_router_takes_what_is_feasible(void **state)
{
    static struct text text;
    uint32_t routed = 0;
    (void)state;
    for (uint32_t i = 0; i < POLICIES; i++) {
        struct arena arena;
        struct diag_list syntax;
        const struct policy_image *p;
        const struct route_table *table;
        rng_seed(&rng, 900000 + i);
        const struct shape s = make(&text);
        arena_init(&arena, 0, 64u << 20);
        diag_init(&syntax, &arena, 100);
        if (!policy_load(slice_make(text.at, text.len), &signal_registry, &arena, &syntax, &p)) {
            uint32_t *own = ARENA_ARRAY(&arena, uint32_t, p->signals.count + 1);
            uint8_t *group = ARENA_ARRAY(&arena, uint8_t, p->signals.count + 1);
            const struct route_costs costs = {.own_ns = own, .group = group};
            struct walk_request r;
            assert_int_equal(route_table_open(p, &costs, &arena, &table), RESULT_OK);
            for (uint32_t k = 0; k < 20; k++, routed++) {
                request_at(p, below(1u << 20) % 1024, k % 2, &r);
                route_it(p, table, &r, s.budgets, text.at);
            }
        }
        arena_deinit(&arena);
    }
    assert_true(routed > 5000);
}

static void test_another_forbid_adds_no_leak(void **state)
{
    static struct text text, more;
    uint32_t leaks = 0, fewer = 0;
    (void)state;
    for (uint32_t i = 0; i < POLICIES / 2; i++) {
        struct arena arena;
        struct diag_list before, after;
        const struct policy_image *p, *q;
        struct found f, g;
        rng_seed(&rng, 500000 + i);
        const struct shape s = make(&text);
        memcpy(&more, &text, sizeof more);
        forbid(&more, &s);
        arena_init(&arena, 0, 256u << 20);
        if (check_text(&text, &arena, &before, &p) && check_text(&more, &arena, &after, &q)) {
            read_findings(p, &before, &f);
            read_findings(q, &after, &g);
            for (uint32_t k = 0; k < p->models.count + p->sinks.count; k++) {
                if (g.leak[k] && !f.leak[k])
                    wrong(more.at, "flow", k, true);
                leaks += f.leak[k];
                fewer += f.leak[k] && !g.leak[k];
            }
        }
        arena_deinit(&arena);
    }
    assert_true(leaks > 100 && fewer > 20);
}

static void test_random_policies(void **state)
{
    static struct text text;
    struct counts n = {0};
    (void)state;
    for (uint32_t i = 0; i < POLICIES; i++) {
        struct arena arena;
        struct diag_list diags;
        const struct policy_image *p;
        rng_seed(&rng, 1000 + i);
        make(&text);
        arena_init(&arena, 0, 256u << 20);
        if (check_text(&text, &arena, &diags, &p)) {
            compare(p, &diags, text.at, &n);
            n.loaded++;
        }
        arena_deinit(&arena);
    }
    print_message("%u policies: %u leaks, %u on_error, %u obligations, %u infeasible, %u clean, %u "
                  "witnesses\n",
                  n.loaded, n.leaks, n.on_error, n.obligations, n.nothing, n.clean, n.witnesses);
    assert_true(n.loaded > POLICIES / 2 && n.leaks > 100 && n.on_error > 20 && n.obligations > 50 &&
                n.nothing > 50 && n.clean > 20);
}

static bool is_constraint(const char *line)
{
    return !strncmp(line, "forbid ", 7) || !strncmp(line, "require ", 8) ||
           !strncmp(line, "allow ", 6) || !strncmp(line, "budget ", 7);
}

// The same policy with its constraints the other way round, each of them twice.
static void turn_round(const struct text *from, struct text *to)
{
    const char *lines[200];
    size_t lens[200];
    uint32_t n = 0;
    to->len = 0;
    for (const char *at = from->at; *at; n++) {
        const char *end = strchr(at, '\n');
        assert_true(n < 200 && end);
        lines[n] = at;
        lens[n] = (size_t)(end - at);
        at = end + 1;
    }
    for (uint32_t i = 0, told = 0; i < n; i++) {
        if (!is_constraint(lines[i])) {
            put(to, "%.*s\n", (int)lens[i], lines[i]);
            continue;
        }
        for (uint32_t k = n; k-- > 0 && !told;)
            if (is_constraint(lines[k]))
                put(to, "%.*s\n%.*s\n", (int)lens[k], lines[k], (int)lens[k], lines[k]);
        told = 1;
    }
}

static void test_constraints_are_a_set(void **state)
{
    static struct text text, turned;
    uint32_t checked = 0;
    (void)state;
    for (uint32_t i = 0; i < POLICIES / 3; i++) {
        struct arena arena;
        struct diag_list one, other;
        const struct policy_image *p, *q;
        struct found f, g;
        rng_seed(&rng, 700000 + i);
        make(&text);
        turn_round(&text, &turned);
        arena_init(&arena, 0, 256u << 20);
        if (check_text(&text, &arena, &one, &p) && check_text(&turned, &arena, &other, &q)) {
            read_findings(p, &one, &f);
            read_findings(q, &other, &g);
            if (memcmp(&f, &g, sizeof f) != 0)
                wrong(turned.at, "another finding", 0, true);
            checked++;
        }
        arena_deinit(&arena);
    }
    assert_true(checked > POLICIES / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_policies),
                                       cmocka_unit_test(test_the_router_takes_what_is_feasible),
                                       cmocka_unit_test(test_constraints_are_a_set),
                                       cmocka_unit_test(test_another_forbid_adds_no_leak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
