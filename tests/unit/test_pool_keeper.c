// Who looks after the pool, with a server on the same loop: readings, health, a list that changes, and no memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "helper/pool_make.h"
#include "net/http_server.h"
#include "pool/keeper.h"

static const struct keeper_times TIMES = {
    .tick_ms = 1,
    .scrape_ms = 10,
    .scrape_timeout_ms = 500,
    .check_ms = 10,
    .check_timeout_ms = 500,
    .idle_ms = 20,
    .idle_check_ms = 10,
    .judge_ms = 50,
    .file_ms = 10,
    .dns_ms = 20,
};

struct fixture {
    struct pool_made made;
    struct loop *loop;
    struct dns *dns;
    struct http_server *server;
    struct keeper *keeper;
    const char *page;
    int metrics, health, health_status, forgotten;
    char said[16 * 1024];
};

static void on_request(struct http_exchange *x)
{
    struct fixture *f = http_server_user(x->server);
    struct http_header type = {SLICE("content-type"), SLICE("text/plain")};
    if (slice_eq(x->head->path, SLICE("/metrics"))) {
        f->metrics++;
        http_respond(x, 200, &type, 1, slice_cstr(f->page));
    } else {
        f->health++;
        http_respond(x, f->health_status, &type, 1, SLICE("ok"));
    }
}

static const struct http_server_ops OPS = {.on_request = on_request};

static void say(void *ctx, struct slice line)
{
    struct fixture *f = ctx;
    size_t n = strlen(f->said);
    snprintf(f->said + n, sizeof f->said - n, "%.*s\n", SLICE_FMT(line));
}

static void forget(void *ctx, struct pool *pool, int32_t place)
{
    struct fixture *f = ctx;
    assert_ptr_equal(pool, &f->made.pool);
    assert_int_equal(place, 0);
    f->forgotten++;
}

static double carbon(void *ctx, const struct policy_image *image, int32_t model)
{
    (void)ctx;
    assert_true(model >= 0 && (uint32_t)model < image->models.count);
    return 380;
}

static void prepare(struct fixture *f, enum image_engine engine)
{
    uint32_t one[] = {1};
    char url[64];
    memset(f, 0, sizeof *f);
    f->page = "vllm:num_requests_waiting 3\nvllm:num_requests_running 4\n"
              "vllm:prompt_tokens_total 100\n";
    f->health_status = 200;
    assert_int_equal(loop_open(&f->loop, 0), RESULT_OK);
    assert_int_equal(dns_open(&f->dns), RESULT_OK);
    assert_int_equal(http_server_open(&f->server, f->loop, &OPS, &http_limits_default, f),
                     RESULT_OK);
    assert_int_equal(http_server_listen(f->server, "127.0.0.1", 0, NULL), RESULT_OK);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v1", http_server_port(f->server));
    pool_made_policy_at(&f->made, one, 1, url);
    pool_made_endpoint(&f->made, 0)->engine = engine;
    pool_made_open(&f->made);
}

static enum result look_after(struct fixture *f)
{
    struct keeper_options o = {.loop = f->loop,
                               .dns = f->dns,
                               .times = TIMES,
                               .say = say,
                               .forget = forget,
                               .carbon_g_kwh = carbon,
                               .ctx = f};
    enum result r = keeper_open(&f->keeper, &o);
    return r ? r : keeper_take(f->keeper, &f->made.pool, NULL);
}

static void turn(struct fixture *f, int times)
{
    for (int i = 0; i < times; i++)
        loop_turn(f->loop, 1);
}

static void finish(struct fixture *f)
{
    keeper_close(f->keeper);
    http_server_close(f->server);
    turn(f, 3);
    dns_close(f->dns);
    loop_close(f->loop);
    pool_made_close(&f->made);
}

static const struct pool_place *row(struct fixture *f)
{
    return &pool_made_view(&f->made, 0, loop_refresh(f->loop)).places[0];
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        for (int tries = 0; !(condition) && tries < 5000; tries++)                                 \
            loop_turn(f.loop, 1);                                                                  \
        assert_true(condition);                                                                    \
    } while (0)

static void test_readings(void **state)
{
    struct fixture f;
    (void)state;
    prepare(&f, IMAGE_ENGINE_VLLM);
    assert_int_equal(look_after(&f), RESULT_OK);
    UNTIL(!row(&f)->stale);
    assert_true(row(&f)->queue == 3 && row(&f)->running == 4);
    UNTIL(row(&f)->carbon_g_kwh == 380);
    // A counter that falls is a restart.
    f.page = "vllm:num_requests_waiting 0\nvllm:prompt_tokens_total 7\n";
    UNTIL(f.forgotten == 1);
    // A page that lies makes it stale, is told once, and so is the end of it.
    f.page = "<html>";
    UNTIL(row(&f)->stale);
    assert_true(row(&f)->queue < 0);
    int seen = f.metrics;
    UNTIL(f.metrics > seen + 3);
    f.page = "vllm:num_requests_waiting 1\n";
    UNTIL(!row(&f)->stale);
    const char *first = strstr(f.said, "do not count");
    assert_non_null(first);
    assert_null(strstr(first + 1, "do not count"));
    assert_non_null(strstr(f.said, "count again"));
    finish(&f);
}

static void test_health(void **state)
{
    struct fixture f;
    (void)state;
    prepare(&f, IMAGE_ENGINE_VLLM);
    assert_int_equal(look_after(&f), RESULT_OK);
    struct health *h = &pool_site(&f.made.pool, 0)->place->health;
    // Idle and unwell: out. Unwell: it stays out beyond its time. Well: its trial may begin at once.
    f.health_status = 500;
    UNTIL(row(&f)->state == POOL_PLACE_OUT);
    assert_int_equal(h->why, HEALTH_WHY_CHECK);
    uint64_t until = health_look(h).until_ms;
    UNTIL(health_look(h).until_ms > until);
    f.health_status = 200;
    UNTIL(row(&f)->state == POOL_PLACE_UP);
    finish(&f);
}

static void test_a_file(void **state)
{
    struct fixture f;
    uint32_t one[] = {1};
    char path[] = "/tmp/merit-keeper-XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(write(fd, "http://a/v1\n", 12) == 12);
    memset(&f, 0, sizeof f);
    assert_int_equal(loop_open(&f.loop, 0), RESULT_OK);
    assert_int_equal(dns_open(&f.dns), RESULT_OK);
    pool_made_policy_at(&f.made, one, 1, "http://first/v1");
    pool_made_open(&f.made);
    // As if the policy had said `file PATH`.
    pool_remove(&f.made.pool, 0, 1);
    pool_made_endpoint(&f.made, 0)->discovery = IMAGE_DISCOVER_FILE;
    f.made.pool.endpoints[0].url = slice_cstr(path);
    assert_int_equal(look_after(&f), RESULT_OK);
    assert_true(pool_find(&f.made.pool, 0, SLICE("http://a/v1")) >= 0);
    assert_true(write(fd, "http://b/v1\n", 12) == 12);
    UNTIL(pool_find(&f.made.pool, 0, SLICE("http://b/v1")) >= 0);
    // A list that is being written anew is short for a moment; what it does not name yet stays.
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_true(write(fd, "http://a/v1\n#", 13) == 13);
    for (int i = 0; i < 40; i++) {
        assert_true(write(fd, ".", 1) == 1);
        turn(&f, 1);
    }
    assert_true(pool_find(&f.made.pool, 0, SLICE("http://b/v1")) >= 0);
    assert_int_equal(f.made.pool.slots[pool_find(&f.made.pool, 0, SLICE("http://b/v1"))].mode,
                     POOL_SLOT_SERVES);
    assert_true(write(fd, "\nhttp://b/v1\n", 13) == 13);
    turn(&f, 40);
    assert_int_equal(f.made.pool.slots[pool_find(&f.made.pool, 0, SLICE("http://b/v1"))].mode,
                     POOL_SLOT_SERVES);
    assert_true(write(fd, "what\n", 5) == 5);
    UNTIL(strstr(f.said, "line 4"));
    assert_true(pool_find(&f.made.pool, 0, SLICE("http://b/v1")) >= 0);
    unlink(path);
    UNTIL(strstr(f.said, "cannot be read"));
    assert_true(pool_find(&f.made.pool, 0, SLICE("http://b/v1")) >= 0);
    close(fd);
    keeper_close(f.keeper);
    turn(&f, 3);
    dns_close(f.dns);
    loop_close(f.loop);
    pool_made_close(&f.made);
}

// Whatever allocation fails, it goes on, and is well again when there is memory.
static void test_without_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct fixture f;
        prepare(&f, IMAGE_ENGINE_VLLM);
        alloc_fail_at(n, n % 2);
        enum result r = look_after(&f);
        for (int i = 0; !r && i < 15; i++)
            loop_turn(f.loop, 1);
        alloc_fail_at(0, 0);
        if (r) {
            assert_int_equal(r, RESULT_NOMEM);
            if (!f.keeper)
                assert_int_equal(look_after(&f), RESULT_OK);
            else
                assert_int_equal(keeper_take(f.keeper, &f.made.pool, NULL), RESULT_OK);
        }
        UNTIL(!row(&f)->stale);
        finish(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readings),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_a_file),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
