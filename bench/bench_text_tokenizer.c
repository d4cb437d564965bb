// Tokenizers, driven by bench/tokenizer: bench_text_tokenizer MODE TOKENIZER.JSON TEXTS [ROUNDS]
//   time    microseconds of CPU per text for the second half of the texts, seen for the first time by a scratch that has
//           worked through the first half; the best of ROUNDS. Also the same texts once more, and what opening costs.
//   ids     one line of ids per text, without the tokens of the post-processor
//   letter  milliseconds for 128 KiB and for 1 MiB of one letter
// TEXTS: for each text its length in four bytes, little end first, and so many bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text/tokenizer.h"

enum { TEXTS_MAX = 100000, ROUNDS = 3, LETTER_BYTES = 1024 * 1024, LETTER_PARTS = 8 };

static struct slice read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = 0;
    char *p = NULL;
    if (f && !fseek(f, 0, SEEK_END) && (n = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET))
        p = malloc((size_t)n + 1);
    if (!p || fread(p, 1, (size_t)n, f) != (size_t)n) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    return slice_make(p, (size_t)n);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct slice texts[TEXTS_MAX];
static uint32_t text_count;

static void split_texts(struct slice file)
{
    for (uint32_t n; file.len >= 4 && text_count < TEXTS_MAX; text_count++) {
        memcpy(&n, file.ptr, 4);
        if (n > file.len - 4)
            break;
        texts[text_count] = slice_make(file.ptr + 4, n);
        file = slice_from(file, 4 + (size_t)n);
    }
}

static void must(enum result r, const char *what)
{
    if (r == RESULT_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, result_name(r));
    exit(2);
}

static uint32_t encode(const struct tokenizer *t, struct tokenizer_scratch *s, struct slice text,
                       const struct token **tokens)
{
    const struct tokenizer_options bare = {.bare = true};
    uint32_t count;
    must(tokenizer_encode(t, s, text, SLICE_EMPTY, &bare, tokens, &count), "encoding");
    return count;
}

// Microseconds per text for texts [begin, end).
static double pass(const struct tokenizer *t, struct tokenizer_scratch *s, uint32_t begin,
                   uint32_t end, uint64_t *tokens)
{
    const struct token *at;
    double before = now_us();
    for (uint32_t i = begin; i < end; i++)
        *tokens += encode(t, s, texts[i], &at);
    return (now_us() - before) / (end - begin);
}

static void time_texts(const struct tokenizer *t, int rounds, double open_ms)
{
    uint32_t half = text_count / 2;
    double fresh = 1e30, again = 1e30;
    uint64_t tokens = 0;
    for (int i = 0; i < rounds; i++) {
        struct tokenizer_scratch *s;
        must(tokenizer_scratch_open(t, &s), "scratch");
        pass(t, s, 0, half, &tokens);
        tokens = 0;
        double took = pass(t, s, half, text_count, &tokens);
        fresh = took < fresh ? took : fresh;
        uint64_t more = 0;
        took = pass(t, s, half, text_count, &more);
        again = took < again ? took : again;
        tokenizer_scratch_close(s);
    }
    printf("{\"us\": %.3f, \"again_us\": %.3f, \"tokens\": %.1f, \"open_ms\": %.2f}\n", fresh,
           again, (double)tokens / (text_count - half), open_ms);
}

static void print_ids(const struct tokenizer *t)
{
    struct tokenizer_scratch *s;
    must(tokenizer_scratch_open(t, &s), "scratch");
    for (uint32_t i = 0; i < text_count; i++) {
        const struct token *at;
        uint32_t count = encode(t, s, texts[i], &at);
        for (uint32_t k = 0; k < count; k++)
            printf(k ? " %u" : "%u", at[k].id);
        putchar('\n');
    }
    tokenizer_scratch_close(s);
}

static void time_letter(const struct tokenizer *t, int rounds)
{
    char *text = malloc(LETTER_BYTES);
    const struct token *at;
    double took[2] = {1e30, 1e30};
    if (!text)
        exit(2);
    memset(text, 'a', LETTER_BYTES);
    for (int i = 0; i < rounds * 2; i++) {
        struct tokenizer_scratch *s;
        must(tokenizer_scratch_open(t, &s), "scratch");
        size_t n = i % 2 ? LETTER_BYTES : LETTER_BYTES / LETTER_PARTS;
        double before = now_us();
        encode(t, s, slice_make(text, n), &at);
        double ms = (now_us() - before) / 1000;
        took[i % 2] = ms < took[i % 2] ? ms : took[i % 2];
        tokenizer_scratch_close(s);
    }
    printf("{\"part_ms\": %.3f, \"whole_ms\": %.3f, \"parts\": %d}\n", took[0], took[1],
           LETTER_PARTS);
    free(text);
}

int main(int argc, char **argv)
{
    char problem[TOKENIZER_PROBLEM_BYTES] = "";
    struct tokenizer *t;
    if (argc < 4) {
        fprintf(stderr, "bench_text_tokenizer time|ids|letter TOKENIZER.JSON TEXTS [ROUNDS]\n");
        return 2;
    }
    int rounds = argc > 4 ? atoi(argv[4]) : ROUNDS;
    struct slice json = read_file(argv[2]);
    split_texts(read_file(argv[3]));
    double before = now_us();
    enum result r = tokenizer_open(json, problem, &t);
    double open_ms = (now_us() - before) / 1000;
    if (r != RESULT_OK) {
        fprintf(stderr, "%s: %s: %s\n", argv[2], result_name(r), problem);
        return 2;
    }
    if (strcmp(argv[1], "time") == 0 && text_count > 1)
        time_texts(t, rounds, open_ms);
    else if (strcmp(argv[1], "ids") == 0)
        print_ids(t);
    else if (strcmp(argv[1], "letter") == 0)
        time_letter(t, rounds);
    tokenizer_close(t);
    return 0;
}
