// The table of places: adding, draining, lists, limits, speeds, rows; and many loops at once (worth most under tsan).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/rng.h"
#include "helper/pool_make.h"
#include "pool/discovery.h"
#include "pool/finder.h"
#include "pool/keeper.h"
#include "pool/telemetry.h"

enum { SECOND = 1000 * 1000 };

static const struct pool_report OK = {.outcome = POOL_OK};

static struct slice list_url(uint32_t i, char room[64])
{
    return slice_make(room, (size_t)snprintf(room, 64, "http://10.0.0.%u:8000/v1", i));
}

static uint32_t open_places(const struct pool_view *v, uint32_t model)
{
    uint32_t n = 0;
    for (uint32_t i = v->first[model]; i < v->end[model]; i++)
        n += v->places[i].state == POOL_PLACE_UP;
    return n;
}

static void test_numbers_stay(void **state)
{
    struct pool_made f;
    uint32_t models[] = {2, 3}, slot, again;
    (void)state;
    pool_made_policy(&f, models, 2);
    pool_made_open(&f);
    struct pool_view v = pool_made_view(&f, 0, 1000);
    assert_int_equal(v.end[0] - v.first[0], 2);
    assert_int_equal(v.end[1] - v.first[1], 3);
    assert_int_equal(v.first[2], 2 + 3 + 2 * POOL_SPARE_PER_MODEL);
    for (uint32_t i = v.end[0]; i < v.first[1]; i++)
        assert_int_equal(v.places[i].state, POOL_PLACE_GONE);
    struct pool_add add = {.endpoint = 1, .source = POOL_FROM_ADMIN, .url = SLICE("http://x:1/v1")};
    assert_int_equal(pool_add(&f.pool, &add, 1, &slot), RESULT_OK);
    assert_int_equal(slot, v.first[0] + 2);
    // What the policy says of the endpoint holds for what was added to it.
    v = pool_made_view(&f, 1, 1000);
    assert_int_equal(v.places[slot].endpoint, 1);
    assert_int_equal(v.places[slot].model, 0);
    assert_int_equal(open_places(&v, 0), 3);
    assert_int_equal(pool_pick(&f.loops[0], 0, 1 | 2, 0, false, 1000), slot);
    assert_int_equal(pool_pick(&f.loops[0], 0, 1 | 2, 2, false, 1000), IMAGE_NONE);
    // Once more, elsewhere, removed and back: the same number.
    assert_int_equal(pool_add(&f.pool, &add, 1, &again), RESULT_OK);
    assert_int_equal(again, slot);
    pool_remove(&f.pool, slot, 2);
    v = pool_made_view(&f, 1, 1000);
    assert_int_equal(v.places[slot].state, POOL_PLACE_GONE);
    assert_int_equal(pool_add(&f.pool, &add, 3, &again), RESULT_OK);
    assert_int_equal(again, slot);
    // An endpoint's own address is not to be had under another one's rules.
    add.url = SLICE("http://b0:8000/v1");
    assert_int_equal(pool_add(&f.pool, &add, 1, &again), RESULT_EXISTS);
    add.url = SLICE("nonsense");
    assert_int_equal(pool_add(&f.pool, &add, 1, &again), RESULT_SYNTAX);
    pool_made_close(&f);
}

static void test_room_runs_out_and_comes_back(void **state)
{
    struct pool_made f;
    uint32_t models[] = {1}, slot;
    char room[64];
    struct pool_call call;
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_open(&f);
    struct pool_add add = {.endpoint = 0, .source = POOL_FROM_ADMIN};
    for (uint32_t i = 0; i < POOL_SPARE_PER_MODEL; i++) {
        add.url = list_url(i, room);
        assert_int_equal(pool_add(&f.pool, &add, 1, &slot), RESULT_OK);
    }
    add.url = list_url(100, room);
    assert_int_equal(pool_add(&f.pool, &add, 1, &slot), RESULT_LIMIT);
    // A number whose place still has a call is not given away.
    assert_int_equal(pool_begin(&f.loops[0], 1, &(struct pool_ask){0}, 1000, &call), RESULT_OK);
    pool_remove(&f.pool, 1, 5);
    assert_int_equal(pool_add(&f.pool, &add, 6, &slot), RESULT_LIMIT);
    pool_end(&f.loops[0], &call, &OK, 2000);
    assert_int_equal(pool_add(&f.pool, &add, 6, &slot), RESULT_OK);
    assert_int_equal(slot, 1);
    // Nor does what was added and removed by hand keep its number for ever.
    discovery_leave(&f.pool, 2, true);
    discovery_sweep(&f.pool, 6);
    add.url = list_url(101, room);
    assert_int_equal(pool_add(&f.pool, &add, 7, &slot), RESULT_OK);
    assert_int_equal(slot, 2);
    assert_false(f.pool.slots[2].held);
    uint32_t before = f.pool.site_count;
    pool_sweep(&f.pool, 6 + POOL_SITE_KEPT_MS - 2);
    assert_int_equal(f.pool.site_count, before);
    pool_sweep(&f.pool, 6 + POOL_SITE_KEPT_MS);
    assert_int_equal(f.pool.site_count, before - 1);
    pool_made_close(&f);
}

static void test_the_next_policy_takes_over(void **state)
{
    struct pool_made f, g;
    uint32_t one[] = {2}, two[] = {1};
    struct pool_call call;
    (void)state;
    pool_made_policy(&f, one, 1);
    pool_made_open(&f);
    pool_made_policy(&g, two, 1);
    pool_made_open(&g);
    assert_int_equal(pool_begin(&f.loops[0], 0, &(struct pool_ask){.compute_tok = 7}, 1000, &call),
                     RESULT_OK);
    pool_inherit(&g.pool, &f.pool, 1);
    // A call that began under the old one is seen by the new one, and outlives it.
    struct pool_view v = pool_made_view(&g, 0, 1000);
    assert_int_equal(v.places[0].in_flight, 1);
    assert_int_equal(v.places[0].wait_tok, 7);
    pool_end(&f.loops[0], &call, &OK, 2000);
    pool_made_close(&f);
    v = pool_made_view(&g, 1, 3000);
    assert_int_equal(v.places[0].in_flight, 0);
    pool_made_close(&g);
}

static void test_rows_say_what_is_not_known(void **state)
{
    struct pool_made f;
    uint32_t models[] = {1};
    struct pool_call call[3];
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_open(&f);
    struct place *p = pool_site(&f.pool, 0)->place;
    struct pool_view v = pool_made_view(&f, 0, SECOND);
    assert_true(v.places[0].stale && v.places[0].queue < 0 && v.places[0].running < 0 &&
                v.places[0].kv_use < 0 && v.places[0].prefill_tok_s < 0 &&
                v.places[0].first_ms < 0 && v.places[0].each_ms < 0);
    struct telemetry t = {.queue = 2,
                          .running = 4,
                          .kv_use = 0.5,
                          .prefix_share = -1,
                          .block_tok = 16,
                          .blocks = 100,
                          .preemptions = -1,
                          .slots = -1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_begin(&f.loops[0], 0, &(struct pool_ask){0}, SECOND, &call[i]),
                         RESULT_OK);
    keeper_apply(p, &t, 1000, 6000);
    v = pool_made_view(&f, 1, 2 * SECOND);
    assert_true(!v.places[0].stale && v.places[0].queue == 2 && v.places[0].running == 4 &&
                v.places[0].kv_use == 0.5f && v.places[0].kv_tok == 1600);
    // Those that end let others in: the queue goes first.
    for (int i = 0; i < 3; i++)
        pool_end(&f.loops[0], &call[i], &OK, 2 * SECOND);
    v = pool_made_view(&f, 0, 2 * SECOND);
    assert_true(v.places[0].queue == 0 && v.places[0].running == 3);
    // Too old: not known, never zero.
    v = pool_made_view(&f, 0, 6 * SECOND);
    assert_true(v.places[0].stale && v.places[0].queue < 0 && v.places[0].running < 0 &&
                v.places[0].kv_use < 0);
    // An answer that tells of one thing does not make the others young again.
    assert_int_equal(pool_begin(&f.loops[0], 0, &(struct pool_ask){0}, 7 * SECOND, &call[0]),
                     RESULT_OK);
    pool_load(&call[0], SLICE("TEXT kv_cache_usage_perc=0.25"), 7 * SECOND);
    pool_end(&f.loops[0], &call[0], &OK, 7 * SECOND);
    v = pool_made_view(&f, 0, 7 * SECOND);
    assert_true(!v.places[0].stale && v.places[0].kv_use == 0.25f && v.places[0].queue < 0 &&
                v.places[0].running < 0);
    pool_made_close(&f);
}

static void test_lists(void **state)
{
    static const struct {
        const char *text;
        enum result result;
        const char *diag;
    } bad[] = {
        {"", RESULT_NOT_FOUND, "lists no place"},
        {"# only\n\n", RESULT_NOT_FOUND, "lists no place"},
        {"http://a/v1\nfoo\n", RESULT_SYNTAX, "line 2"},
        {"http://a/v1 weight\n", RESULT_SYNTAX, "without a value"},
        {"http://a/v1 weight 0\n", RESULT_SYNTAX, "above 0"},
        {"http://a/v1 weight -1\n", RESULT_SYNTAX, "above 0"},
        {"http://a/v1 colour red\n", RESULT_SYNTAX, "none of"},
        {"http://a/v1\nhttp://a/v1\n", RESULT_DUPLICATE, "line 1"},
        {"http://user@a/v1\n", RESULT_SYNTAX, "no URL"},
        {"<html>\n", RESULT_SYNTAX, "line 1"},
    };
    struct discovery_list l;
    char diag[POOL_DIAG_BYTES];
    (void)state;
    assert_int_equal(discovery_parse(SLICE("# pool\r\nhttp://a:1/v1 weight 2.5 slots 8\t# x\n"
                                           "  https://b/v1 rate 600 tokens 100000\r\n"),
                                     &l, diag),
                     RESULT_OK);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.places[0].weight_milli, 2500);
    assert_int_equal(l.places[0].slots, 8);
    assert_int_equal(l.places[1].rate_min, 600);
    assert_int_equal(l.places[1].rate_tok_min, 100000);
    assert_int_equal(l.places[1].line, 3);
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        assert_int_equal(discovery_parse(slice_cstr(bad[i].text), &l, diag), bad[i].result);
        assert_non_null(strstr(diag, bad[i].diag));
    }
    char many[65 * 32];
    size_t n = 0;
    for (int i = 0; i < 65; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "http://10.0.0.%d/v1\n", i);
    assert_int_equal(discovery_parse(slice_make(many, n), &l, diag), RESULT_LIMIT);
}

static void apply(struct pool_made *f, const char *text, uint32_t added, uint32_t drained)
{
    struct discovery_list l;
    struct discovery_change c;
    char diag[POOL_DIAG_BYTES];
    assert_int_equal(discovery_parse(slice_cstr(text), &l, diag), RESULT_OK);
    discovery_apply(&f->pool, 0, &l, 1000, &c);
    assert_int_equal(c.added, added);
    assert_int_equal(c.drained, drained);
    assert_int_equal(c.refused, 0);
}

static void add_service(struct resolve_answer *a, const char *address, uint16_t port,
                        uint16_t priority, uint16_t weight)
{
    snprintf(a->addresses[a->count], RESOLVE_ADDRESS_BYTES, "%s", address);
    a->services[a->count++] = (struct resolve_service){port, weight, priority};
}

static void apply_services(struct pool_made *f, const struct resolve_answer *a, uint32_t added,
                           uint32_t drained)
{
    static char urls[RESOLVE_ADDRESSES_MAX][POOL_URL_MAX];
    static struct discovery_list l;
    struct discovery_change c;
    finder_list(&f->pool.endpoints[0], a, urls, &l);
    discovery_apply(&f->pool, 0, &l, 1000, &c);
    assert_int_equal(c.added, added);
    assert_int_equal(c.drained, drained);
}

// Service records: their ports and shares of the weight, and those of a later priority only while none before them has room.
static void test_services(void **state)
{
    static struct resolve_answer a;
    struct pool_made f;
    uint32_t models[] = {2};
    struct pool_call call;
    (void)state;
    pool_made_policy_at(&f, models, 1, "https://_vllm._tcp.pool.example/v1");
    pool_made_endpoint(&f, 0)->discovery = IMAGE_DISCOVER_SRV;
    pool_made_endpoint(&f, 0)->weight_milli = 2000;
    pool_made_open(&f);
    assert_true(slice_eq_cstr(f.pool.endpoints[0].host, "pool.example"));
    assert_true(slice_eq_cstr(f.pool.endpoints[0].service, "_vllm._tcp.pool.example"));
    // Before the first answer there is only the other endpoint.
    struct pool_view v = pool_made_view(&f, 0, 1000);
    assert_int_equal(open_places(&v, 0), 1);
    a.count = 0;
    add_service(&a, "10.0.0.1", 8000, 10, 30);
    add_service(&a, "10.0.0.2", 8001, 10, 10);
    add_service(&a, "::1", 8000, 20, 0);
    add_service(&a, "10.0.0.4", 8000, 30, 65535);
    apply_services(&f, &a, 4, 0);
    v = pool_made_view(&f, 0, 1000);
    static const uint8_t states[] = {POOL_PLACE_UP, POOL_PLACE_UP, POOL_PLACE_UP,
                                     POOL_PLACE_STANDBY, POOL_PLACE_STANDBY};
    static const float weights[] = {1, 3, 1, 2, 2};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(v.places[i].state, states[i]);
        assert_true(v.places[i].weight == weights[i]);
    }
    const struct pool_site *s = pool_site(&f.pool, 2);
    assert_true(slice_eq_cstr(s->url, "https://10.0.0.2:8001/v1"));
    assert_true(slice_eq_cstr(s->host, "pool.example") && slice_eq_cstr(s->connect, "10.0.0.2"));
    assert_true(s->port == 8001 && s->tls && s->rank == 0);
    assert_true(slice_eq_cstr(pool_site(&f.pool, 3)->url, "https://[::1]:8000/v1"));
    // Without a decision the ranks count as well.
    for (int i = 0; i < 20; i++)
        assert_true(pool_pick(&f.loops[0], 0, 1, 0, POOL_PICK_SERVING, 1000) <= 2);
    assert_int_equal(pool_pick(&f.loops[0], 0, 7, 0, POOL_PICK_SERVING, 1000), 3);
    assert_int_equal(pool_pick(&f.loops[0], 0, 15, 0, POOL_PICK_SERVING, 1000), 4);
    // Those of the first priority die: the next ones serve, and give way when one is back.
    health_eject(&pool_site(&f.pool, 1)->place->health, HEALTH_WHY_FAILURES, 1, 0);
    health_eject(&pool_site(&f.pool, 2)->place->health, HEALTH_WHY_FAILURES, 1, 0);
    pool_changed(&f.pool);
    v = pool_made_view(&f, 0, 2000);
    assert_int_equal(v.places[3].state, POOL_PLACE_UP);
    assert_int_equal(v.places[4].state, POOL_PLACE_STANDBY);
    assert_int_equal(v.states[0], POOL_MODEL_UP);
    assert_int_equal(pool_begin(&f.loops[0], 3, &(struct pool_ask){0}, 2000, &call), RESULT_OK);
    uint64_t back = health_look(&pool_site(&f.pool, 1)->place->health).until_ms * 1000;
    v = pool_made_view(&f, 0, back);
    assert_int_equal(v.places[1].state, POOL_PLACE_UP);
    assert_int_equal(v.places[3].state, POOL_PLACE_STANDBY);
    pool_end(&f.loops[0], &call, &OK, back); // what runs there ends as it would
    // All weights 0 are equal shares; one that left is drained; a new port is a new place, a new weight the old one.
    struct place *kept = pool_site(&f.pool, 1)->place;
    a.count = 0;
    add_service(&a, "10.0.0.1", 8000, 10, 0);
    add_service(&a, "10.0.0.2", 9001, 10, 0);
    apply_services(&f, &a, 1, 3);
    assert_ptr_equal(pool_site(&f.pool, 1)->place, kept);
    v = pool_made_view(&f, 0, back + 1000000);
    assert_true(v.places[1].weight == 2);
    assert_int_equal(pool_find(&f.pool, 0, SLICE("https://10.0.0.2:9001/v1")), 5);
    // The next policy has them until its own look-up.
    struct pool_made g;
    pool_made_policy_at(&g, models, 1, "https://_vllm._tcp.pool.example/v1");
    pool_made_endpoint(&g, 0)->discovery = IMAGE_DISCOVER_SRV;
    pool_made_open(&g);
    finders_carry_over(&g.pool, &f.pool, 1);
    pool_inherit(&g.pool, &f.pool, 1);
    int32_t at = pool_find(&g.pool, 0, SLICE("https://10.0.0.2:9001/v1"));
    assert_true(at > 0 && pool_site(&g.pool, at)->port == 9001);
    assert_ptr_equal(pool_site(&g.pool, at)->place, pool_site(&f.pool, 5)->place);
    pool_made_close(&g);
    pool_made_close(&f);
}

static void test_numbers_change_where_they_stand(void **state)
{
    static struct resolve_answer a;
    struct pool_made f;
    uint32_t models[] = {1};
    (void)state;
    pool_made_policy_at(&f, models, 1, "http://_vllm._tcp.pool.example/v1");
    pool_made_endpoint(&f, 0)->discovery = IMAGE_DISCOVER_SRV;
    pool_made_open(&f);
    // A server that gives other weights and priorities each time, for ever: no number, no memory, no cache is lost by it.
    for (uint32_t n = 0; n < 2 * POOL_SITES_MAX / 8; n++) {
        a.count = 0;
        for (uint32_t i = 0; i < 8; i++) {
            char address[RESOLVE_ADDRESS_BYTES];
            snprintf(address, sizeof address, "10.0.0.%u", i);
            add_service(&a, address, 8000, (uint16_t)(i >= n % 8), (uint16_t)(n * i % 100));
        }
        apply_services(&f, &a, n ? 0 : 8, 0);
        assert_int_equal(f.pool.site_count, 8);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(f.pool.slots[i].generation, 1);
    pool_made_close(&f);
}

// What the words of an SRV endpoint may be.
static void test_names_of_services(void **state)
{
    static const char *const bad[] = {"http://pool.example/v1", "http://_vllm.pool.example/v1",
                                      "http://_vllm._tcp/v1", "http://._tcp.pool/v1",
                                      "http://_._tcp.pool/v1"};
    (void)state;
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        struct pool_made f;
        uint32_t models[] = {1};
        pool_made_policy_at(&f, models, 1, bad[i]);
        pool_made_endpoint(&f, 0)->discovery = IMAGE_DISCOVER_SRV;
        assert_int_equal(pool_open(&f.pool, f.image, 0, &f.arena, f.diag), RESULT_SYNTAX);
        pool_made_close(&f);
    }
}

static void test_a_list_is_applied(void **state)
{
    struct pool_made f;
    uint32_t models[] = {1};
    struct pool_call call;
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_endpoint(&f, 0)->discovery = IMAGE_DISCOVER_FILE;
    pool_made_open(&f);
    struct pool_view v = pool_made_view(&f, 0, 1000);
    assert_int_equal(v.states[0], POOL_MODEL_DOWN);
    apply(&f, "http://a/v1\nhttp://b/v1 weight 3\nhttp://c/v1\n", 3, 0);
    v = pool_made_view(&f, 0, 1000);
    assert_int_equal(open_places(&v, 0), 3);
    assert_true(v.places[1].weight == 3);
    // What leaves is drained: its calls end, it gets no other.
    assert_int_equal(pool_begin(&f.loops[0], 1, &(struct pool_ask){0}, 1000, &call), RESULT_OK);
    apply(&f, "http://a/v1 weight 5\nhttp://d/v1\n", 1, 2);
    discovery_sweep(&f.pool, 1000);
    v = pool_made_view(&f, 0, 1000);
    assert_int_equal(v.places[1].state, POOL_PLACE_DRAINING);
    assert_int_equal(v.places[2].state, POOL_PLACE_GONE);
    assert_true(v.places[0].weight == 5);
    assert_int_equal(open_places(&v, 0), 2);
    pool_end(&f.loops[0], &call, &OK, 2000);
    discovery_sweep(&f.pool, 1000);
    assert_int_equal(pool_made_view(&f, 0, 2000).places[1].state, POOL_PLACE_GONE);
    // Back again while it drains, or later: the number that it had.
    apply(&f, "http://a/v1\nhttp://b/v1\nhttp://d/v1\n", 1, 0);
    assert_int_equal(pool_find(&f.pool, 0, SLICE("http://b/v1")), 1);
    // What was taken out by hand stays out.
    discovery_leave(&f.pool, 1, true);
    discovery_sweep(&f.pool, 1000);
    apply(&f, "http://a/v1\nhttp://b/v1\nhttp://d/v1\n", 0, 0);
    assert_int_equal(pool_find(&f.pool, 0, SLICE("http://b/v1")), -1);
    discovery_return(&f.pool, (uint32_t)discovery_held(&f.pool, 0, SLICE("http://b/v1")));
    assert_int_equal(pool_find(&f.pool, 0, SLICE("http://b/v1")), 1);
    pool_made_close(&f);
}

// --- rates, against a count of what was let through

static void test_rates(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 3);
    for (int round = 0; round < 200; round++) {
        struct rate r = {0};
        uint32_t per_min = 1 + (uint32_t)rng_below(&rng, 6000);
        uint64_t now = SECOND, taken = 0, begin = now, refused = 0;
        for (int i = 0; i < 3000; i++) {
            now += rng_below(&rng, 60 * (uint64_t)SECOND / per_min + 1);
            if (rate_take(&r, per_min, 1, now))
                taken++;
            else
                refused++;
        }
        double minutes = (double)(now - begin) / 60e6;
        double most = minutes * per_min + per_min / 6.0 + 1;
        assert_true((double)taken <= most + 1e-6);
        // Asked for more than it gives: next to nothing of it is left.
        if (refused > 100)
            assert_true((double)taken >= minutes * per_min - 2);
    }
    struct rate r = {0};
    assert_true(rate_take(&r, 0, 1000000, 1));
    assert_true(rate_take(&r, 60, 1000, SECOND)); // larger than the burst, with nothing owed
    assert_false(rate_take(&r, 60, 1, SECOND));
    assert_true(rate_until_us(&r, 60, SECOND) > SECOND);
    rate_correct(&r, 60, -1000);
    assert_true(rate_take(&r, 60, 1, SECOND));
    assert_true(rate_take(&(struct rate){0}, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 50));
}

static void test_speeds_are_learned(void **state)
{
    struct rng rng;
    struct speeds s = {0};
    (void)state;
    rng_seed(&rng, 5);
    for (int i = 0; i < 400; i++) {
        double tok = (double)(100 + rng_below(&rng, 8000)), noise = 0.9 + 0.2 * rng_unit(&rng);
        double first = (20 + tok / 10) * noise;
        struct speeds_call c = {.computed_tok = (uint32_t)tok,
                                .output_tok = 101,
                                .first_ms = first,
                                .total_ms = first + 100 * 12.5 * noise,
                                .streamed = true};
        // Now and then one is stuck for a minute.
        if (i % 25 == 24) {
            c.first_ms += 60000;
            c.total_ms += 120000;
        }
        speeds_learn(&s, &c);
    }
    assert_in_range((int)speeds_prefill_tok_s(&s), 7500, 13000);
    assert_true(speeds_first_ms(&s) >= 0 && speeds_first_ms(&s) < 150);
    assert_true(fabs(speeds_each_ms(&s) - 12.5) < 3);
    // A lasting change is followed.
    for (int i = 0; i < 300; i++)
        speeds_learn(&s, &(struct speeds_call){.computed_tok = 500,
                                               .output_tok = 101,
                                               .first_ms = 200,
                                               .total_ms = 200 + 100 * 50,
                                               .streamed = true});
    assert_true(fabs(speeds_each_ms(&s) - 50) < 5);
    // Whole answers tell the rest while nothing better does.
    s = (struct speeds){0};
    speeds_learn(&s, &(struct speeds_call){.output_tok = 100, .first_ms = -1, .total_ms = 1000});
    assert_true(speeds_each_ms(&s) == 10 && speeds_first_ms(&s) < 0);
}

// --- many loops at once

enum { THREADS = 4, CALLS = 20000, LIMIT = 3 };

struct worker {
    struct pool_made *f;
    int loop;
    _Atomic int *inside;
    int most, again;
    _Atomic bool *stop;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pool_loop *l = &w->f->loops[w->loop];
    struct rng rng;
    rng_seed(&rng, (uint64_t)w->loop + 1);
    for (int i = 0; i < CALLS; i++) {
        struct pool_call c;
        struct pool_view v;
        uint64_t now = SECOND + (uint64_t)i * 100;
        pool_rows(l, now, &v);
        int32_t at = pool_pick(l, 0, 0, 0, true, now);
        if (at == IMAGE_NONE ||
            pool_begin(l, at, &(struct pool_ask){.compute_tok = 5, .output_tok = 3, .force = true},
                       now, &c)) {
            w->again++;
            continue;
        }
        int n = atomic_fetch_add(w->inside, 1) + 1;
        w->most = n > w->most ? n : w->most;
        bool first = rng_below(&rng, 2);
        if (first)
            pool_first(l, &c, now + 10);
        atomic_fetch_sub(w->inside, 1);
        struct pool_report r = {.outcome = (enum pool_outcome)rng_below(&rng, 5),
                                .known = true,
                                .input_tok = 5,
                                .output_tok = 20};
        pool_end(l, &c, &r, now + 50);
    }
    return NULL;
}

static void *control(void *arg)
{
    struct worker *w = arg;
    struct pool *p = &w->f->pool;
    struct telemetry t = {.queue = 1,
                          .running = 2,
                          .kv_use = 0.1,
                          .prefix_share = -1,
                          .block_tok = -1,
                          .blocks = -1,
                          .preemptions = -1,
                          .slots = -1};
    char room[64];
    for (uint32_t i = 0; !atomic_load(w->stop); i++) {
        uint32_t slot;
        struct pool_add add = {.endpoint = 0,
                               .source = POOL_FROM_DISCOVERY,
                               .url = list_url(i % 20, room),
                               .slots = LIMIT};
        keeper_apply(pool_site(p, 0)->place, &t, i, i + 1000000);
        if (pool_add(p, &add, i, &slot) == RESULT_OK)
            pool_set_mode(p, slot, POOL_SLOT_DRAINING);
        if (i % 3 == 0 && slot)
            pool_remove(p, slot, i);
        health_eject(&pool_site(p, 0)->place->health, HEALTH_WHY_SHARE, i, i);
        pool_sweep(p, 1);
    }
    return NULL;
}

static void test_many_loops(void **state)
{
    struct pool_made f;
    uint32_t models[] = {1};
    pthread_t threads[THREADS], controller;
    struct worker w[THREADS + 1];
    _Atomic int inside = 0;
    _Atomic bool stop = false;
    (void)state;
    pool_made_policy(&f, models, 1);
    pool_made_endpoint(&f, 0)->slots = LIMIT;
    pool_made_open(&f);
    for (int i = 0; i <= THREADS; i++)
        w[i] = (struct worker){.f = &f, .loop = i, .inside = &inside, .stop = &stop};
    assert_int_equal(pthread_create(&controller, NULL, control, &w[THREADS]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(controller, NULL);
    for (uint32_t i = 0; i < f.pool.models[0].slot_count; i++) {
        const struct place *p = pool_site(&f.pool, (int32_t)i)->place;
        assert_int_equal(p->in_flight, 0);
        assert_int_equal(p->in_flight_tok, 0);
        assert_int_equal(p->wait_tok, 0);
    }
    uint64_t calls = 0;
    for (int i = 0; i < THREADS; i++)
        calls += CALLS - (uint64_t)w[i].again;
    assert_true(calls > 0);
    pool_made_close(&f);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    struct pool_made f;
    uint32_t models[] = {3}, slot;
    pool_made_policy(&f, models, 1);
    for (uint64_t n = 1;; n++) {
        struct arena arena;
        arena_init(&arena, 0, 1024 * 1024);
        alloc_fail_at(n, 0);
        enum result r = pool_open(&f.pool, f.image, 0, &arena, f.diag);
        struct pool_add add = {
            .endpoint = 0, .source = POOL_FROM_ADMIN, .url = SLICE("http://x:1/v1")};
        if (!r)
            r = pool_add(&f.pool, &add, 1, &slot);
        bool armed = alloc_count() > 0;
        alloc_fail_at(0, 0);
        pool_close(&f.pool);
        arena_deinit(&arena);
        assert_true(armed);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_true(n < 100);
    }
    f.pool = (struct pool){.sites = NULL};
    pool_made_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_stay),
        cmocka_unit_test(test_room_runs_out_and_comes_back),
        cmocka_unit_test(test_the_next_policy_takes_over),
        cmocka_unit_test(test_rows_say_what_is_not_known),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_names_of_services),
        cmocka_unit_test(test_numbers_change_where_they_stand),
        cmocka_unit_test(test_a_list_is_applied),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_speeds_are_learned),
        cmocka_unit_test(test_many_loops),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
