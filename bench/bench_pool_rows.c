// What the pool costs a request: filling the rows of 64 places, a view of rows that are fresh, and a call's claim, first
// byte and end. CPU time of the thread, the least of many rounds. Prints a table and one JSON line.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "pool/pool.h"

enum { PLACES = 64, ROUNDS = 200, TURNS = 2000 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void must(enum result r)
{
    if (r) {
        fprintf(stderr, "%s\n", result_name(r));
        exit(1);
    }
}

// An image of one model with one endpoint that is discovered, which has room for all places.
static struct {
    struct policy_image image;
    struct image_model model;
    struct image_endpoint endpoint;
    char text[64];
} block;

static const struct policy_image *make_image(void)
{
    static const char url[] = "http://10.0.0.1:8000/v1";
    uint32_t text = offsetof(__typeof__(block), text);
    snprintf(block.text, sizeof block.text, "a%s", url);
    block.image.models = (struct image_list){offsetof(__typeof__(block), model), 1};
    block.image.endpoints = (struct image_list){offsetof(__typeof__(block), endpoint), 1};
    block.model.name = block.model.upstream_name = (struct image_str){text, 1};
    block.model.endpoints = block.image.endpoints;
    block.endpoint.url = (struct image_str){text + 1, sizeof url - 1};
    block.endpoint.discovery = IMAGE_DISCOVER_DNS;
    return &block.image;
}

static volatile uint32_t sink;

static double rows(struct pool_loop *l, bool fresh)
{
    uint64_t now = 1000000, best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (int i = 0; i < TURNS; i++) {
            struct pool_view v;
            now += fresh ? 0 : 1000;
            pool_rows(l, now, &v);
            sink += v.places[i % PLACES].in_flight;
        }
        uint64_t took = cpu_ns() - begin;
        best = took < best ? took : best;
    }
    return (double)best / TURNS;
}

static double calls(struct pool_loop *l)
{
    const struct pool_ask ask = {.compute_tok = 500, .output_tok = 200};
    const struct pool_report report = {
        .outcome = POOL_OK, .known = true, .input_tok = 500, .output_tok = 180};
    uint64_t now = 1000000, best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (int i = 0; i < TURNS; i++) {
            struct pool_call c;
            now += 10;
            must(pool_begin(l, i % PLACES, &ask, now, &c));
            pool_first(l, &c, now + 20000);
            pool_end(l, &c, &report, now + 900000);
        }
        uint64_t took = cpu_ns() - begin;
        best = took < best ? took : best;
    }
    return (double)best / TURNS;
}

int main(void)
{
    struct pool pool;
    struct pool_loop loop;
    struct arena arena;
    char diag[POOL_DIAG_BYTES], url[64];
    arena_init(&arena, 0, 16 * 1024 * 1024);
    must(pool_open(&pool, make_image(), 0, &arena, diag));
    for (uint32_t i = 1; i < PLACES; i++) {
        uint32_t slot;
        snprintf(url, sizeof url, "http://10.0.1.%u:8000/v1", i);
        must(pool_add(&pool,
                      &(struct pool_add){.source = POOL_FROM_DISCOVERY, .url = slice_cstr(url)}, 1,
                      &slot));
    }
    must(pool_loop_open(&loop, &pool, NULL, NULL, &arena));
    double fill = rows(&loop, false), fresh = rows(&loop, true), call = calls(&loop);
    printf("rows of %d places filled   %7.0f ns\n", PLACES, fill);
    printf("a view of fresh rows       %7.1f ns\n", fresh);
    printf("begin, first byte, end     %7.0f ns\n", call);
    printf("{\"bench\": \"pool-rows\", \"figures\": {\"rows_ns\": %.0f, \"fresh_ns\": %.1f, "
           "\"call_ns\": %.0f}}\n",
           fill, fresh, call);
    pool_close(&pool);
    arena_deinit(&arena);
    return 0;
}
