// net/conn, net/queue: streams under random splits, pauses and faults; ends, resets, errors told once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "net_stream.h"

#include "net/queue.h"
#include "net/sys.h"

static void run_streams(uint64_t seed, bool tight, size_t shorten)
{
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct rng rng;
    rng_seed(&rng, seed);
    int fds[2];
    stream_pair(fds, tight);
    static struct stream_side a, b;
    uint64_t most = shorten && shorten < 100 ? 20000 : 2000000;
    stream_side_init(&a, 0, l, &rng, rng_below(&rng, most));
    stream_side_init(&b, 1, l, &rng, rng_below(&rng, most));
    assert_int_equal(conn_init(&a.conn, l, fds[0], &stream_ops, NULL, false, NULL), RESULT_OK);
    assert_int_equal(conn_init(&b.conn, l, fds[1], &stream_ops, NULL, false, NULL), RESULT_OK);
    if (shorten)
        sys_shorten_random(seed, shorten);
    stream_run(l, &a, &b);
    sys_shorten_random(0, 0);
    assert_int_equal(a.errors + b.errors, 0);
    assert_int_equal(a.received, b.to_send);
    assert_int_equal(b.received, a.to_send);
    assert_int_equal(a.eofs, 1);
    assert_int_equal(b.eofs, 1);
    assert_int_equal(a.opens, 1);
    assert_int_equal(b.opens, 1);
    stream_side_deinit(&a);
    stream_side_deinit(&b);
    loop_close(l);
}

static void streams_arrive_once_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        run_streams(seed, false, 0);
        run_streams(seed, true, 0);
        run_streams(seed, seed % 2, 40);
        run_streams(seed, seed % 2, 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_arrive_once_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
