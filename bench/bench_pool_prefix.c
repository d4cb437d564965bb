// The index of prompt prefixes: CPU of this thread for hashing a prompt, for looking it up at all places of a model, and for
// noting that it was sent. A chat body of 1.5 kB, an agent's step (32 kB of tools, 24 kB of conversation), a long one of
// 200 kB; 4 and 64 places; the index is as full as it gets.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "pool/prefix.h"

enum { ROUNDS = 31, REPEAT = 64, SESSIONS = 64, TEXT = 200 * 1024 };

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

static char text[TEXT];
static struct prefix_prompt prompts[SESSIONS];

static void make(struct prefix_prompt *out, uint32_t session, size_t tools, size_t messages)
{
    memcpy(text + tools, &session, sizeof session); // the tools are everybody's
    const struct slice pieces[] = {slice_make(text, tools), slice_make(text + tools, messages)};
    prefix_prompt(out, SLICE_EMPTY, pieces, 2, (uint32_t)((tools + messages) / 4));
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, by_value);
    return times[ROUNDS / 2] / 1e3;
}

static void measure(const char *name, uint32_t places, size_t tools, size_t messages, double out[3])
{
    double hash[ROUNDS], match[ROUNDS], sent[ROUNDS];
    struct prefix *p;
    uint32_t tok[POOL_PLACES_PER_MODEL_MAX];
    uint64_t sum = 0;
    if (prefix_open(&p, places, 0))
        exit(1);
    for (uint32_t i = 0; i < 4 * SESSIONS; i++) {
        make(&prompts[i % SESSIONS], i, tools, messages);
        prefix_sent(p, &prompts[i % SESSIONS], i % places);
    }
    for (unsigned r = 0; r < ROUNDS; r++) {
        double begin = now_ns();
        for (uint32_t i = 0; i < REPEAT; i++)
            make(&prompts[i % SESSIONS], 3 * SESSIONS + i, tools, messages);
        double hashed = now_ns();
        for (uint32_t i = 0; i < REPEAT; i++) {
            prefix_match(p, &prompts[i % SESSIONS], places, tok);
            sum += tok[i % places];
        }
        double matched = now_ns();
        for (uint32_t i = 0; i < REPEAT; i++)
            prefix_sent(p, &prompts[i % SESSIONS], i % places);
        double end = now_ns();
        hash[r] = (hashed - begin) / REPEAT;
        match[r] = (matched - hashed) / REPEAT;
        sent[r] = (end - matched) / REPEAT;
    }
    out[0] = median(hash);
    out[1] = median(match);
    out[2] = median(sent);
    printf("%-36s %10.3f %10.3f %10.3f   %u blocks, index %.1f MB%s\n", name, out[0], out[1],
           out[2], prompts[0].count, (double)prefix_bytes(p) / 1e6, sum ? "" : ", nothing held");
    prefix_close(p);
}

int main(void)
{
    struct rng r;
    double chat[3], step[3], wide[3], large[3];
    rng_seed(&r, 1);
    for (size_t i = 0; i < TEXT; i++)
        text[i] = (char)('a' + rng_below(&r, 26));
    printf("%-36s %10s %10s %10s\n", "us per request", "hash", "match", "sent");
    measure("chat, 1.5 kB, 4 places", 4, 0, 1500, chat);
    uint64_t before = alloc_count();
    measure("agent, 32 + 24 kB, 4 places", 4, 32 * 1024, 24 * 1024, step);
    uint64_t allocations = alloc_count() - before - 3; // of opening
    measure("agent, 32 + 24 kB, 64 places", 64, 32 * 1024, 24 * 1024, wide);
    measure("200 kB, 4 places", 4, 0, TEXT, large);
    printf("{\"figures\": {\"prefix_chat_us\": %.3f, \"prefix_agent_us\": %.3f, "
           "\"prefix_agent_64_us\": %.3f, \"prefix_200kB_us\": %.3f, "
           "\"prefix_allocations\": %llu}}\n",
           chat[0] + chat[1] + chat[2], step[0] + step[1] + step[2], wide[0] + wide[1] + wide[2],
           large[0] + large[1] + large[2], (unsigned long long)allocations);
    return 0;
}
