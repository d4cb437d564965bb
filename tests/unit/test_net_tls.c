// net/tls through net/conn: streams, names, certificates by SNI, reload, reuse, refusals, faults.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net_certs.h"
#include "net_stream.h"

#include "net/sys.h"
#include "net/tls.h"

static struct certs certs;
static struct tls_context *server, *client;

static struct tls_context *open_server(const char *name)
{
    char diag[TLS_DIAG_BYTES];
    struct tls_context *c;
    struct tls_certificate cert = {NULL, certs_path(&certs, name, "pem"),
                                   certs_path(&certs, name, "key")};
    if (tls_server_open(&c, &cert, 1, diag) != RESULT_OK)
        fail_msg("%s", diag);
    return c;
}

static struct tls_context *open_client(void)
{
    char diag[TLS_DIAG_BYTES];
    struct tls_context *c;
    if (tls_client_open(&c, certs_path(&certs, "root", "pem"), false, diag) != RESULT_OK)
        fail_msg("%s", diag);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_issue(&certs, "a", "DNS:a.example,IP:127.0.0.1,IP:::1", 86400);
    certs_issue(&certs, "b", "DNS:b.example,DNS:*.wild.example", 86400);
    certs_issue(&certs, "old", "DNS:a.example", -60);
    server = open_server("a");
    client = open_client();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_context_unref(server);
    tls_context_unref(client);
    certs_remove(&certs);
    return 0;
}

static void run_streams(uint64_t seed, bool tight, size_t shorten)
{
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    struct rng rng;
    rng_seed(&rng, seed);
    int fds[2];
    stream_pair(fds, tight);
    static struct stream_side a, b;
    uint64_t most = shorten && shorten < 100 ? 20000 : 1000000;
    stream_side_init(&a, 0, l, &rng, rng_below(&rng, most));
    stream_side_init(&b, 1, l, &rng, rng_below(&rng, most));
    assert_int_equal(conn_init(&a.conn, l, fds[0], &stream_ops, client, true, "a.example"),
                     RESULT_OK);
    assert_int_equal(conn_init(&b.conn, l, fds[1], &stream_ops, server, false, NULL), RESULT_OK);
    if (shorten)
        sys_shorten_random(seed, shorten);
    stream_run(l, &a, &b);
    sys_shorten_random(0, 0);
    assert_int_equal(a.errors + b.errors, 0);
    assert_int_equal(a.received, b.to_send);
    assert_int_equal(b.received, a.to_send);
    assert_int_equal(a.eofs, 1);
    assert_int_equal(b.eofs, 1);
    stream_side_deinit(&a);
    stream_side_deinit(&b);
    loop_close(l);
}

static void streams_arrive_once_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
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
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
