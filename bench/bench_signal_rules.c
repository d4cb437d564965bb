// What a policy's rule signals cost over a 1.5 kB chat body: 12 signals of all families, then with
// 200 more patterns, then each family alone. CPU time of this thread; the fastest of the rounds'
// medians would hide nothing here, so the median of 21 rounds is printed, with its spread (10 % and
// 90 %).
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../tests/helper/image_build.h"
#include "base/alloc.h"
#include "policy/policy.h"
#include "signal/plan.h"
#include "work/anchor.h"
#include "work/tokens.h"

enum { ROUNDS = 21, REPEAT = 4000, TEXT_BYTES = 1536, PROBE = 1 << 16 };

static const char *const code_words[] = {"python",      "compile",   "segfault",   "refactor",
                                         "stack trace", "unit test", "kubernetes", "sql"};
static const char *const law_words[] = {"contract", "lawsuit",   "liability", "tenant",
                                        "gdpr",     "copyright", "statute",   "plaintiff"};
static const char sample[] = "Could you please look at the following situation and tell me what I "
                             "should do next? We have a small service "
                             "that reads orders from a queue and writes them to a table, and since "
                             "Tuesday about 3 in 1,000 of them arrive "
                             "twice. I have already checked the obvious things: the producer does "
                             "not retry, the network is fine, and the "
                             "logs show nothing unusual around 12:30 when it began.\n\n"
                             "What I would like to have:\n"
                             "- a short explanation of the most likely cause\n"
                             "- a list of experiments that could confirm it\n"
                             "- an estimate of how long a repair would take\n\n"
                             "Please keep in mind that the team is small, that we cannot stop the "
                             "service during the day, and that the "
                             "customers see a duplicate as an error in their invoice. See also "
                             "https://example.org/runbook for the way in "
                             "which we normally work. ";

struct bench {
    struct work work;
    struct work_message messages[3];
    struct work_part parts[3];
    struct work_pair headers[4];
    struct slice tools[4];
    char text[TEXT_BYTES];
    struct arena arena;
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void strings(struct image_build *b, const char *tag, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        build_string(b, tag, words[i]);
}

static void twelve(struct image_build *b)
{
    build_signal(b, "keywords");
    strings(b, NULL, code_words, MERIT_COUNT(code_words));
    build_signal(b, "keywords");
    strings(b, NULL, law_words, MERIT_COUNT(law_words));
    build_signal(b, "keywords");
    build_string(b, "regex", "[A-Z]{2}\\d{2}[A-Z0-9]{11,30}");
    build_string(b, "regex", "\\d{3}-\\d{2}-\\d{4}");
    build_signal(b, "context");
    build_above(b, true, 8000);
    static const char *const counts[] = {"questions", "code_blocks"};
    for (size_t i = 0; i < MERIT_COUNT(counts); i++) {
        build_signal(b, "structure");
        build_word(b, NULL, counts[i]);
    }
    build_signal(b, "conversation");
    build_word(b, NULL, "turns");
    build_signal(b, "modality");
    build_signal(b, "tools");
    build_signal(b, "output");
    build_signal(b, "header");
    build_string(b, NULL, "x-team-priority");
    build_signal(b, "caller");
    build_word(b, NULL, "group");
}

static void more_patterns(struct image_build *b)
{
    static const char *const stems[] = {"diagnos", "invoice", "password",  "therapy", "mortgage",
                                        "vaccin",  "docker",  "terraform", "divorce", "insulin"};
    for (int i = 0; i < 200; i++) {
        char text[64];
        if (i % 20 == 0)
            build_signal(b, "keywords");
        if (i % 4 == 3)
            snprintf(text, sizeof text, "%s[a-z]{0,%d}\\s+\\d+", stems[i % 10], i % 7 + 1);
        else
            snprintf(text, sizeof text, "%s%c%c", stems[i % 10], 'a' + i % 26, 'a' + i / 26);
        build_string(b, i % 4 == 3 ? "regex" : "literal", text);
    }
}

static void fill(struct bench *x)
{
    static const char *const system = "You are a helpful assistant. Answer briefly.";
    for (size_t i = 0; i < TEXT_BYTES; i++)
        x->text[i] = sample[i % (sizeof sample - 1)];
    x->messages[0] = (struct work_message){WORK_SYSTEM, 0, 1, 0, false};
    x->messages[1] = (struct work_message){WORK_USER, 1, 1, 0, false};
    x->parts[0] = (struct work_part){.kind = WORK_TEXT, .text = slice_cstr(system)};
    x->parts[1] = (struct work_part){.kind = WORK_TEXT, .text = slice_make(x->text, TEXT_BYTES)};
    x->headers[0] = (struct work_pair){SLICE("content-type"), SLICE("application/json")};
    x->headers[1] = (struct work_pair){SLICE("user-agent"), SLICE("OpenAI/Python 3.52.0")};
    x->headers[2] = (struct work_pair){SLICE("x-team-priority"), SLICE("high")};
    x->work = (struct work){.messages = x->messages,
                            .message_count = 2,
                            .parts = x->parts,
                            .part_count = 2,
                            .headers = x->headers,
                            .header_count = 3,
                            .choices = 1};
    x->work.anchor = work_anchor(x->messages, 2, x->parts);
    x->work.input_tok = tokens_of_work(&x->work);
    arena_init(&x->arena, 65536, 16 * 1024 * 1024);
}

// Median nanoseconds of computing signals [first, first + count) for one piece of work.
static double measure(struct bench *x, const struct plan *plan, struct plan_scratch *scratch,
                      int32_t first, uint32_t count, double spread[2])
{
    double took[ROUNDS], sink = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        for (int i = 0; i < REPEAT; i++) {
            arena_reset(&x->arena);
            struct plan_run *run = plan_begin(plan, scratch, &x->work, &x->arena, NULL);
            for (uint32_t s = 0; s < count; s++) {
                struct fact f;
                if (!plan_compute(run, first + (int32_t)s, &f))
                    abort();
                sink += f.number;
            }
        }
        took[round] = (now_ns() - begin) / REPEAT;
    }
    if (sink < 0)
        puts("");
    qsort(took, ROUNDS, sizeof took[0], by_value);
    spread[0] = took[ROUNDS / 10];
    spread[1] = took[ROUNDS - 1 - ROUNDS / 10];
    return took[ROUNDS / 2];
}

static double run_image(struct bench *x, const struct policy_image *image, const char *name)
{
    struct plan *plan;
    struct plan_scratch *scratch;
    double spread[2];
    if (plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &plan) ||
        plan_scratch_open(plan, &scratch))
        abort();
    uint64_t before = alloc_count();
    double ns = measure(x, plan, scratch, 0, image->signals.count, spread);
    uint64_t allocations = alloc_count() - before;
    printf("%-34s %9.0f ns  (%.0f to %.0f)  allocations %llu\n", name, ns, spread[0], spread[1],
           (unsigned long long)allocations);
    plan_scratch_close(scratch);
    plan_close(plan);
    return ns;
}

static double run(struct bench *x, struct image_build *b, const char *name)
{
    double ns = run_image(x, build_done(b), name);
    build_free(b);
    return ns;
}

// All signals of the benchmarks' reference policy; negative when the file is not there.
static double reference(struct bench *x)
{
    static char text[65536];
    static char name[64];
    struct arena arena;
    struct diag_list diags;
    const struct policy_image *image;
    double sum = -1;
    FILE *f = fopen("bench/policies/reference.merit", "rb");
    if (!f)
        return sum;
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    arena_init(&arena, 65536, POLICY_ARENA_MAX);
    diag_init(&diags, &arena, 10);
    if (policy_load(slice_make(text, n), &signal_registry, &arena, &diags, &image))
        abort();
    sum = run_image(x, image, "reference.merit, all 12 signals");
    struct plan *plan;
    struct plan_scratch *scratch;
    if (plan_open(image, &signal_registry, NULL, SLICE_EMPTY, NULL, &plan) ||
        plan_scratch_open(plan, &scratch))
        abort();
    for (uint32_t i = 0; i < image->signals.count; i++) {
        double spread[2];
        snprintf(name, sizeof name, "  %.*s alone",
                 SLICE_FMT(image_text(image, image_signal(image, (int32_t)i)->name)));
        printf("%-34s %9.0f ns\n", name, measure(x, plan, scratch, (int32_t)i, 1, spread));
    }
    plan_scratch_close(scratch);
    plan_close(plan);
    arena_deinit(&arena);
    return sum;
}

static double alone(struct bench *x, const char *family, const char *word, const char *tag,
                    const char *const *texts, size_t n, const char *name)
{
    struct image_build *b = build_new();
    build_signal(b, family);
    if (word)
        build_word(b, NULL, word);
    strings(b, tag, texts, n);
    return run(x, b, name);
}

int main(void)
{
    static struct bench x;
    fill(&x);
    double ref = reference(&x);
    struct image_build *b = build_new();
    twelve(b);
    double rules = run(&x, b, "12 rule signals");
    b = build_new();
    twelve(b);
    more_patterns(b);
    double patterns = run(&x, b, "12 rule signals + 200 patterns");
    static const char *const regexes[] = {"[A-Z]{2}\\d{2}[A-Z0-9]{11,30}", "\\d{3}-\\d{2}-\\d{4}"};
    static const char *const hit[] = {"duplicate as an error", "https?://\\S+"};
    static const char *const phrases[] = {"duplicate orders", "invoice error",
                                          "message queue consumer"};
    static const char *const markers[] = {"what i would like", "please keep"};
    double none = alone(&x, "context", NULL, NULL, NULL, 0, "context (a run and one signal)");
    double literal = alone(&x, "keywords", NULL, NULL, code_words, 8, "keywords, 8 literals");
    alone(&x, "keywords", NULL, "regex", regexes, 2, "keywords, 2 regex");
    alone(&x, "keywords", NULL, "regex", hit, 2, "keywords, 2 regex, both occur");
    double structure = alone(&x, "structure", "questions", NULL, NULL, 0, "structure(questions)");
    alone(&x, "structure", "sequence", NULL, markers, 2, "structure(sequence), both occur");
    alone(&x, "structure", "density", "regex", hit + 1, 1, "structure(density), occurs");
    double fuzzy = alone(&x, "keywords", NULL, "fuzzy", phrases, 3, "keywords, 3 fuzzy");
    double bm25 = alone(&x, "keywords", NULL, "bm25", phrases, 3, "keywords, 3 bm25");
    double ngram = alone(&x, "keywords", NULL, "ngram", phrases, 3, "keywords, 3 ngram");
    printf("{\"bench\": \"signal_rules\", \"pass\": %s, \"figures\": {\"reference_ns\": %.0f, "
           "\"rules12_ns\": %.0f, "
           "\"rules12_patterns200_ns\": "
           "%.0f, \"run_ns\": %.0f, \"literal_ns\": %.0f, \"structure_ns\": %.0f, \"fuzzy_ns\": "
           "%.0f, \"bm25_ns\": %.0f, "
           "\"ngram_ns\": %.0f}}\n",
           rules <= 1500 && patterns <= 20000 ? "true" : "false", ref, rules, patterns, none,
           literal, structure, fuzzy, bm25, ngram);
    arena_deinit(&x.arena);
    return 0;
}
