// The decision alone, on bench/policies/reference.merit and a chat body of 1.5 kB: CPU of this thread per request.
//
// The bodies say nothing that an early route looks for, so that the road to the last route is walked: the most
// expensive decision of this policy. Sixteen different texts take turns, so that no branch is learned by heart. Each
// figure is the median of 31 rounds; the parts are measured apart, in the same rounds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/decider.h"
#include "api/openai_request.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "policy/policy.h"
#include "route/record.h"

enum { BODIES = 16, BODY_BYTES = 1500, ROUNDS = 31, REPEAT = 2000, PATTERNS = 200 };

struct bench {
    struct decider decider;
    struct plan_scratch *scratch;
    struct arena arena;
    struct buf bodies[BODIES], out;
    struct work works[BODIES];
    struct arena keep;
    struct fact *facts[BODIES]; // of the whole run, to be fed without computing
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_route_decide: %s\n", what);
    exit(1);
}

static void words(struct rng *r, struct buf *out, size_t bytes)
{
    static const char *const list[] = {
        "please",  "look",   "at",     "the",     "following", "report",  "and",
        "tell",    "me",     "which",  "of",      "our",       "regions", "grew",
        "fastest", "during", "last",   "quarter", "because",   "some",    "orders",
        "arrive",  "twice",  "after",  "every",   "night",     "window",  "small",
        "teams",   "would",  "rather", "wait",    "for",       "an",      "answer"};
    size_t end = out->len + bytes;
    while (out->len < end) {
        buf_cstr(out, list[rng_below(r, MERIT_COUNT(list))]);
        buf_cstr(out, rng_below(r, 12) ? " " : ", ");
    }
}

static void make_body(struct rng *r, struct buf *out)
{
    buf_init(out, 1 << 16);
    BUF_LIT(
        out,
        "{\"model\":\"auto\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful "
        "assistant. Answer briefly.\"},{\"role\":\"user\",\"content\":\"");
    words(r, out, 200);
    BUF_LIT(out, "\"},{\"role\":\"assistant\",\"content\":\"");
    words(r, out, 300);
    BUF_LIT(out, "\"},{\"role\":\"user\",\"content\":\"");
    words(r, out, BODY_BYTES - out->len - 90);
    BUF_LIT(out, "\"}],\"temperature\":0.2,\"max_tokens\":512,\"stream\":true,"
                 "\"stream_options\":{\"include_usage\":true}}");
}

// The reference policy with one more signal of 200 patterns, asked for by the first route.
static void add_patterns(struct buf *text)
{
    struct buf more;
    struct rng r;
    static const char *const parts[] = {"ba", "ke", "lo", "mi", "nu", "ra", "so", "ti", "vo", "xe"};
    buf_init(&more, 1 << 20);
    rng_seed(&r, 3);
    struct slice old = buf_slice(text);
    ptrdiff_t at = slice_find(old, SLICE("\nroute "));
    if (at < 0)
        die("the policy has no route");
    buf_append(&more, old.ptr, (size_t)at + 1);
    BUF_LIT(&more, "signal extra = keywords(");
    for (int i = 0; i < PATTERNS; i++) {
        buf_cstr(&more, i ? ", " : "");
        bool regex = i % 4 == 3;
        buf_cstr(&more, regex ? "regex \"\\b" : "\"");
        for (int k = 0; k < 4; k++)
            buf_cstr(&more, parts[rng_below(&r, MERIT_COUNT(parts))]);
        buf_cstr(&more, regex ? "\\w{0,8}\\s+" : " ");
        for (int k = 0; k < 3; k++)
            buf_cstr(&more, parts[rng_below(&r, MERIT_COUNT(parts))]);
        buf_cstr(&more, regex ? "\\b\"" : "\"");
    }
    BUF_LIT(&more, ")\nroute extra when extra -> refuse \"no\"\n");
    buf_add(&more, slice_from(old, (size_t)at + 1));
    buf_reset(text);
    buf_add(text, buf_slice(&more));
    buf_deinit(&more);
}

static void open_bench(struct bench *b, const char *path, bool patterns)
{
    struct buf text;
    struct arena arena;
    struct diag_list diags;
    struct openai_request q;
    struct openai_fault fault;
    struct rng r;
    memset(b, 0, sizeof *b);
    buf_init(&text, POLICY_BYTES_MAX);
    arena_init(&arena, 0, 1 << 24);
    diag_init(&diags, &arena, 20);
    if (file_read(path, &text))
        die("cannot read the policy");
    if (patterns)
        add_patterns(&text);
    if (decider_open(&b->decider, buf_slice(&text), NULL, DECIDER_ANY, &diags)) {
        diag_render(&diags, buf_slice(&text), slice_cstr(path), false, &b->out);
        die("the policy does not load");
    }
    if (plan_scratch_open(b->decider.plan, &b->scratch))
        die("no memory");
    arena_init(&b->arena, 1 << 17, 1 << 24);
    arena_init(&b->keep, 1 << 20, 1 << 26);
    buf_init(&b->out, 1 << 20);
    rng_seed(&r, 1);
    for (int i = 0; i < BODIES; i++) {
        struct decision *d;
        make_body(&r, &b->bodies[i]);
        if (openai_request_parse(buf_slice(&b->bodies[i]), &b->keep, &b->works[i], &q, &fault))
            die("a body is refused");
        if (decider_run(&b->decider, b->scratch, &b->works[i], NULL, NULL, NULL, &b->keep, &d))
            die("no memory");
        if (d->route != (int32_t)b->decider.image->routes.count - 1)
            die("a body does not reach the last route");
        b->facts[i] = d->facts;
    }
    buf_deinit(&text);
    arena_deinit(&arena);
}

static void close_bench(struct bench *b)
{
    plan_scratch_close(b->scratch);
    decider_close(&b->decider);
    arena_deinit(&b->arena);
    arena_deinit(&b->keep);
    buf_deinit(&b->out);
    for (int i = 0; i < BODIES; i++)
        buf_deinit(&b->bodies[i]);
}

// --- what is measured, for body i

static void do_decide(struct bench *b, unsigned i)
{
    struct decision *d;
    if (decider_run(&b->decider, b->scratch, &b->works[i], NULL, NULL, NULL, &b->arena, &d))
        die("no memory");
}

// Everything that is route's own: the facts are there already.
static void do_route(struct bench *b, unsigned i)
{
    struct route_run run;
    int32_t s;
    if (route_begin(&run, b->decider.table, &b->works[i], NULL, NULL, &b->arena))
        die("no memory");
    while (route_step(&run, &s) == ROUTE_NEED) {
        *route_fact(&run, s) = b->facts[i][s];
        route_feed(&run, s, route_fact(&run, s));
    }
}

static void do_json(struct bench *b, unsigned i)
{
    struct json j;
    if (json_parse(&j, buf_slice(&b->bodies[i]), &json_limits_default, &b->arena))
        die("not JSON");
}

static struct work scratch_work;

static void do_parse(struct bench *b, unsigned i)
{
    struct openai_request q;
    struct openai_fault fault;
    if (openai_request_parse(buf_slice(&b->bodies[i]), &b->arena, &scratch_work, &q, &fault))
        die("a body is refused");
}

static void do_all(struct bench *b, unsigned i)
{
    struct decision *d;
    do_parse(b, i);
    if (decider_run(&b->decider, b->scratch, &scratch_work, NULL, NULL, NULL, &b->arena, &d))
        die("no memory");
}

static void do_all_and_log(struct bench *b, unsigned i)
{
    struct decision *d;
    do_parse(b, i);
    if (decider_run(&b->decider, b->scratch, &scratch_work, NULL, NULL, NULL, &b->arena, &d))
        die("no memory");
    buf_reset(&b->out);
    record_compact(d, &b->out);
}

static struct decision *made[BODIES];

static void do_compact(struct bench *b, unsigned i)
{
    buf_reset(&b->out);
    record_compact(made[i], &b->out);
}

static void do_full(struct bench *b, unsigned i)
{
    buf_reset(&b->out);
    record_json(made[i], NULL, &b->out);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double once(struct bench *b, void (*what)(struct bench *, unsigned))
{
    double begin = now_ns();
    for (unsigned k = 0; k < REPEAT; k++) {
        arena_reset(&b->arena);
        what(b, k % BODIES);
    }
    return (now_ns() - begin) / REPEAT;
}

enum { DECIDE, ROUTE, JSON, PARSE, ALL, ALL_LOG, COMPACT, FULL, WITH_PATTERNS, FIGURES };
static const struct {
    const char *name, *shown;
    void (*what)(struct bench *, unsigned);
} figures[FIGURES] = {
    {"decide_us", "deciding, signals included", do_decide},
    {"route_us", "  of it route/ alone", do_route},
    {"json_us", "JSON tape of the body", do_json},
    {"parse_us", "body to work, tape included", do_parse},
    {"decide_parsed_us", "parsing and deciding", do_all},
    {"decide_logged_us", "parsing, deciding, the log's line", do_all_and_log},
    {"record_us", "compact record", do_compact},
    {"record_full_us", "full record", do_full},
    {"decide_patterns_us", "deciding, 200 more patterns", do_decide},
};

static void cpu_model(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n\"\\")] = '\0';
            snprintf(out, size, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    static struct bench b, p;
    static double times[FIGURES][ROUNDS];
    const char *policy = argc > 1 ? argv[1] : "bench/policies/reference.merit";
    open_bench(&b, policy, false);
    open_bench(&p, policy, true);
    for (int i = 0; i < BODIES; i++)
        if (decider_run(&b.decider, b.scratch, &b.works[i], NULL, NULL, NULL, &b.keep, &made[i]))
            die("no memory");
    for (int f = 0; f < FIGURES; f++)
        once(f == WITH_PATTERNS ? &p : &b, figures[f].what);
    uint64_t before = alloc_count();
    for (int r = 0; r < ROUNDS; r++)
        for (int f = 0; f < FIGURES; f++)
            times[f][r] = once(f == WITH_PATTERNS ? &p : &b, figures[f].what);
    uint64_t allocations = alloc_count() - before;
    char cpu[128];
    cpu_model(cpu, sizeof cpu);
    printf("%-36s %10s %10s %10s\n", "", "median us", "10 %", "90 %");
    for (int f = 0; f < FIGURES; f++) {
        qsort(times[f], ROUNDS, sizeof(double), by_value);
        printf("%-36s %10.3f %10.3f %10.3f\n", figures[f].shown, times[f][ROUNDS / 2] / 1e3,
               times[f][ROUNDS / 10] / 1e3, times[f][ROUNDS - 1 - ROUNDS / 10] / 1e3);
    }
    printf("allocations in %d runs of each: %llu\n", ROUNDS * REPEAT,
           (unsigned long long)allocations);
    do_compact(&b, 0);
    printf("compact record: %zu bytes, ", b.out.len);
    do_full(&b, 0);
    printf("full record: %zu bytes, body: %zu bytes\n", b.out.len, b.bodies[0].len);
    bool pass = times[DECIDE][ROUNDS / 2] <= 3000 && times[WITH_PATTERNS][ROUNDS / 2] <= 40000 &&
                allocations == 0;
    printf("{\"bench\": \"decide\", \"cpu\": \"%s\", \"pass\": %s, \"figures\": {", cpu,
           pass ? "true" : "false");
    for (int f = 0; f < FIGURES; f++)
        printf("\"%s\": %.3f, ", figures[f].name, times[f][ROUNDS / 2] / 1e3);
    printf("\"allocations\": %llu}}\n", (unsigned long long)allocations);
    close_bench(&b);
    close_bench(&p);
    return pass ? 0 : 1;
}
