// Time of text/json on chat bodies as clients send them: parsing in each tier of this CPU, with a look-up and a splice
// of the model, and writing. Prints a table and ends with one JSON line. CPU time of this thread, best of many rounds:
// what is measured has no business with the system, so that the least disturbed round is the nearest to the truth.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compiler.h"
#include "base/rng.h"
#include "text/json.h"

enum { ROUNDS = 25, ROUND_NS = 4000000 };

static const char *const plain[] = {
    "the",    "request", "model",  "answer", "price",   "of",     "a",      "router",
    "should", "be",      "chosen", "with",   "respect", "to",     "energy", "and",
    "time",   "because", "every",  "second", "token",   "counts", "when",   "queues",
};
static const char *const rich[] = {
    "caf\xc3\xa9",     "na\xc3\xafve",         "\\n",
    "\\\"quoted\\\"",  "\xe2\x80\x93",         "\\t",
    "\\\\path\\\\to",  "if (x)\\n    y();\\n", "\xe4\xbd\xa0\xe5\xa5\xbd",
    "\\u00e9t\\u00e9",
};

// Words up to `bytes`; `richness` in a hundred are escapes and other alphabets.
static void words(struct buf *b, struct rng *r, size_t bytes, unsigned richness)
{
    size_t end = b->len + bytes;
    while (b->len < end) {
        bool special = rng_below(r, 100) < richness;
        buf_cstr(b, special ? rich[rng_below(r, MERIT_COUNT(rich))]
                            : plain[rng_below(r, MERIT_COUNT(plain))]);
        buf_byte(b, ' ');
    }
}

static void chat_body(struct buf *b, size_t size, unsigned turns, unsigned richness)
{
    struct rng r;
    rng_seed(&r, size);
    buf_init(b, 1 << 20);
    BUF_LIT(b, "{\"model\":\"auto\",\"stream\":true,\"temperature\":0.7,\"max_tokens\":512,"
               "\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"system\","
               "\"content\":\"");
    words(b, &r, 200, richness);
    for (unsigned i = 0; i < turns; i++) {
        buf_cstr(b, i % 2 ? "\"},{\"role\":\"assistant\",\"content\":\""
                          : "\"},{\"role\":\"user\",\"content\":\"");
        words(b, &r, (size - 440) / turns - 36, richness);
    }
    BUF_LIT(b, "\"}],\"user\":\"u-1\"}");
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct job {
    struct slice body, decoded;
    struct arena arena;
    struct buf out;
    size_t bytes; // kept, so that nothing is optimised away
};

static void do_parse(struct job *job)
{
    struct json j;
    arena_reset(&job->arena);
    if (json_parse(&j, job->body, &json_limits_default, &job->arena))
        abort();
    job->bytes += j.count;
}

static void do_splice(struct job *job)
{
    struct json j;
    arena_reset(&job->arena);
    if (json_parse(&j, job->body, &json_limits_default, &job->arena))
        abort();
    struct json_edits edits;
    struct slice pieces[2 * JSON_EDITS_MAX + 1];
    uint64_t total;
    bool twice;
    json_edits_init(&edits);
    uint32_t model = json_get(&j, 0, SLICE("model"), &twice);
    if (twice || json_edit_value(&edits, &j, model, SLICE("\"qwen3-8b\"")))
        abort();
    job->bytes += json_edit_pieces(&edits, job->body, pieces, &total);
}

static void do_write(struct job *job)
{
    buf_reset(&job->out);
    json_write_string(&job->out, job->decoded);
    job->bytes += job->out.len;
}

static void do_doubles(struct job *job)
{
    buf_reset(&job->out);
    for (int i = 0; i < 10; i++)
        json_write_double(&job->out, 0.125 * i + 0.0371);
    job->bytes += job->out.len;
}

static double measure(struct job *job, void (*work)(struct job *))
{
    double best = 1e18;
    uint64_t calls = 1;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = now_ns();
        for (uint64_t i = 0; i < calls; i++)
            work(job);
        uint64_t ns = now_ns() - begin;
        if (ns < ROUND_NS / 2 && round < 20) {
            calls *= 2;
            round--;
        } else if ((double)ns / (double)calls < best) {
            best = (double)ns / (double)calls;
        }
    }
    return best;
}

static void cpu_model(char *out, size_t room)
{
    snprintf(out, room, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        colon[strcspn(colon, "\n\"\\")] = '\0';
        snprintf(out, room, "%s", colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

int main(void)
{
    static const struct {
        const char *name;
        size_t size;
        unsigned turns, richness;
        double target_us;
    } bodies[] = {
        {"1500", 1500, 3, 2, 0.35}, {"60k", 60000, 20, 20, 28.3}, {"220k", 220000, 60, 5, 105}};
    static const struct {
        const char *name;
        enum json_tier tier;
    } tiers[] = {{"scalar", JSON_TIER_SCALAR},
                 {"sse2", JSON_TIER_SSE2},
                 {"avx2", JSON_TIER_AVX2},
                 {"neon", JSON_TIER_NEON},
                 {"best", JSON_TIER_BEST}};
    char cpu[128];
    struct buf figures;
    bool pass = true;
    cpu_model(cpu, sizeof cpu);
    buf_init(&figures, 1 << 16);
    printf("%-6s %-7s %12s %12s %12s %9s\n", "body", "tier", "parse ns", "+splice ns", "write ns",
           "GB/s");
    for (size_t i = 0; i < MERIT_COUNT(bodies); i++) {
        struct buf body;
        struct json j;
        struct job job = {0};
        struct arena keep;
        chat_body(&body, bodies[i].size, bodies[i].turns, bodies[i].richness);
        arena_init(&job.arena, 65536, 16 << 20);
        arena_init(&keep, 0, 16 << 20);
        buf_init(&job.out, 4 << 20);
        job.body = buf_slice(&body);
        if (json_parse(&j, job.body, &json_limits_default, &keep))
            return 1;
        uint32_t messages = json_get(&j, 0, SLICE("messages"), NULL);
        job.decoded = json_string(&j, json_get(&j, messages + 1, SLICE("content"), NULL), &keep);
        for (size_t t = 0; t < MERIT_COUNT(tiers); t++) {
            if (json_force_tier(tiers[t].tier))
                continue;
            double parse = measure(&job, do_parse), splice = measure(&job, do_splice);
            double write = measure(&job, do_write);
            printf("%-6s %-7s %12.0f %12.0f %12.0f %9.2f\n", bodies[i].name, tiers[t].name, parse,
                   splice, write, (double)job.body.len / parse);
            buf_printf(&figures, "\"parse_%s_%s_ns\": %.0f, ", bodies[i].name, tiers[t].name,
                       parse);
            if (tiers[t].tier == JSON_TIER_BEST)
                pass &= parse <= bodies[i].target_us * 1000;
        }
        if (i == 0) {
            double ten = measure(&job, do_doubles);
            printf("ten short decimals written: %.0f ns\n", ten);
            buf_printf(&figures, "\"write_double_ns\": %.1f, ", ten / 10);
        }
        printf("%-6s has %zu bytes, %u tokens; the written string has %zu\n", bodies[i].name,
               job.body.len, j.count, job.decoded.len);
        arena_deinit(&keep);
        arena_deinit(&job.arena);
        buf_deinit(&job.out);
        buf_deinit(&body);
    }
    printf("{\"bench\": \"text_json\", \"cpu\": \"%s\", \"pass\": %s, \"figures\": {%.*s}}\n", cpu,
           pass ? "true" : "false", (int)figures.len - 2, figures.ptr);
    buf_deinit(&figures);
    return 0;
}
