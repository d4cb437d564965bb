// A pool over a policy that is written in the test, with loops that have no connections.
#ifndef MERIT_TESTS_HELPER_POOL_MAKE_H
#define MERIT_TESTS_HELPER_POOL_MAKE_H

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/policy.h"
#include "pool/pool.h"
#include "signal/registry.h"

enum { POOL_MADE_LOOPS_MAX = 4 };

struct pool_made {
    struct arena arena;
    const struct policy_image *image;
    struct pool pool;
    struct pool_loop loops[POOL_MADE_LOOPS_MAX];
    char diag[POOL_DIAG_BYTES];
};

// The endpoint as the policy states it, to be changed before pool_made_open.
static inline struct image_endpoint *pool_made_endpoint(struct pool_made *f, uint32_t i)
{
    const struct image_endpoint *e = IMAGE_AT(f->image, f->image->endpoints, struct image_endpoint);
    return (struct image_endpoint *)(uintptr_t)(e + i);
}

// Models a, b, ... with so many endpoints each: http://a0:8000/v1, http://a1:8000/v1, ...; the first of all at `first`,
// where that is not NULL.
static inline void pool_made_policy_at(struct pool_made *f, const uint32_t *endpoints,
                                       uint32_t models, const char *first)
{
    char text[64 * 1024];
    size_t n = (size_t)snprintf(text, sizeof text, "policy \"t\" version 1\nzone local\n");
    struct diag_list diags;
    *f = (struct pool_made){.image = NULL};
    arena_init(&f->arena, 0, 64 * 1024 * 1024);
    diag_init(&diags, &f->arena, 16);
    for (uint32_t m = 0; m < models; m++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "model %c zone local endpoint", 'a' + m);
        for (uint32_t k = 0; k < endpoints[m]; k++) {
            if (first && !m && !k) {
                n += (size_t)snprintf(text + n, sizeof text - n, " \"%s\"", first);
                continue;
            }
            n += (size_t)snprintf(text + n, sizeof text - n, "%s \"http://%c%u:8000/v1\"",
                                  k ? "," : "", 'a' + m, k);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, " context 8k tok\n");
    }
    snprintf(text + n, sizeof text - n, "otherwise -> answer(a)\n");
    assert_int_equal(policy_load(slice_cstr(text), &signal_registry, &f->arena, &diags, &f->image),
                     RESULT_OK);
}

static inline void pool_made_policy(struct pool_made *f, const uint32_t *endpoints, uint32_t models)
{
    pool_made_policy_at(f, endpoints, models, NULL);
}

static inline void pool_made_open(struct pool_made *f)
{
    assert_int_equal(pool_open(&f->pool, f->image, 0, &f->arena, f->diag), RESULT_OK);
    for (int i = 0; i < POOL_MADE_LOOPS_MAX; i++)
        assert_int_equal(pool_loop_open(&f->loops[i], &f->pool, NULL, NULL, &f->arena), RESULT_OK);
}

static inline void pool_made_close(struct pool_made *f)
{
    pool_close(&f->pool);
    arena_deinit(&f->arena);
}

static inline struct pool_view pool_made_view(struct pool_made *f, int loop, uint64_t now_us)
{
    struct pool_view v;
    pool_rows(&f->loops[loop], now_us, &v);
    return v;
}

#endif
