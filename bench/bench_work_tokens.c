// The token estimate: how fast it is, or, with an argument, what it says.
//   bench_work_tokens                    nanoseconds per kilobyte of ASCII and of other text
//   bench_work_tokens estimate < FILE    reads "LENGTH\n" and so many bytes, again and again;
//                                        prints one number a line. scripts/token-error compares
//                                        these with real tokenizers
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "work/tokens.h"

enum { SPEED_BYTES = 64 * 1024, ROUNDS = 21, REPEAT = 50, TEXT_BYTES_MAX = 64 * 1024 * 1024 };

static int estimate(void)
{
    size_t n;
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        n = strtoul(line, NULL, 10);
        char *text = n <= TEXT_BYTES_MAX ? malloc(n + 1) : NULL;
        if (!text || fread(text, 1, n, stdin) != n)
            return 2;
        printf("%u\n", tokens_of_text(slice_make(text, n)));
        free(text);
    }
    return 0;
}

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

static double ns_per_kb(const char *unit)
{
    static char text[SPEED_BYTES];
    double took[ROUNDS];
    uint64_t sink = 0;
    size_t n = strlen(unit), len = 0;
    for (; len + n <= SPEED_BYTES; len += n)
        memcpy(text + len, unit, n);
    for (int r = 0; r < ROUNDS; r++) {
        double begin = now_ns();
        for (int i = 0; i < REPEAT; i++)
            sink += tokens_of_text(slice_make(text, len));
        took[r] = (now_ns() - begin) / REPEAT / ((double)len / 1024);
    }
    if (sink == 0)
        abort();
    qsort(took, ROUNDS, sizeof took[0], by_value);
    return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "estimate") == 0)
        return estimate();
    double ascii = ns_per_kb("The quick brown fox, 42 years old, jumps over the lazy dog.\n");
    double han = ns_per_kb(
        "\xE6\x95\x8F\xE6\x8D\xB7\xE7\x9A\x84\xE6\xA3\x95\xE8\x89\xB2\xE7\x8B\x90\xE7\x8B\xB8");
    printf("ASCII %.0f ns/kB, Han %.0f ns/kB\n", ascii, han);
    printf("{\"bench\": \"work_tokens\", \"pass\": %s, \"figures\": {\"ascii_ns_kb\": %.1f, "
           "\"han_ns_kb\": %.1f}}\n",
           ascii <= 200 && han <= 4000 ? "true" : "false", ascii, han);
    return 0;
}
