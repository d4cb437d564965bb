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

// ---- two conns and how it went ----

struct end {
    struct conn conn;
    struct pair *pair;
    bool open, eof, reused;
    enum result error;
    char why[128];
    char got[256];
    size_t got_len;
    int errors;
    bool close_on_data;
};

struct pair {
    struct loop *loop;
    struct end client, server;
};

static void end_data(struct conn *c, char *data, size_t len)
{
    struct end *e = MERIT_CONTAINER(c, struct end, conn);
    assert_true(e->open);
    assert_true(len <= sizeof e->got - e->got_len);
    memcpy(e->got + e->got_len, data, len);
    e->got_len += len;
    if (e->close_on_data)
        conn_close(c, false);
}

static void end_eof(struct conn *c)
{
    MERIT_CONTAINER(c, struct end, conn)->eof = true;
}

static void end_open(struct conn *c)
{
    struct end *e = MERIT_CONTAINER(c, struct end, conn);
    e->open = true;
    e->reused = tls_session_reused(c->tls);
}

static void end_drain(struct conn *c)
{
    (void)c;
}

static void end_error(struct conn *c, enum result why)
{
    struct end *e = MERIT_CONTAINER(c, struct end, conn);
    e->errors++;
    e->error = why;
    snprintf(e->why, sizeof e->why, "%s", tls_session_error(c->tls));
    conn_close(c, false);
}

static const struct conn_ops end_ops = {.on_data = end_data,
                                        .on_eof = end_eof,
                                        .on_open = end_open,
                                        .on_drain = end_drain,
                                        .on_error = end_error};

static void pair_turns(struct pair *p, int n)
{
    for (int i = 0; i < n; i++)
        loop_turn(p->loop, 5);
}

static void pair_start(struct pair *p, struct tls_context *cl, const char *name,
                       struct tls_context *sv)
{
    int fds[2];
    memset(p, 0, sizeof *p);
    assert_int_equal(loop_open(&p->loop, 0), RESULT_OK);
    stream_pair(fds, false);
    assert_int_equal(conn_init(&p->client.conn, p->loop, fds[0], &end_ops, cl, true, name),
                     RESULT_OK);
    assert_int_equal(conn_init(&p->server.conn, p->loop, fds[1], &end_ops, sv, false, NULL),
                     RESULT_OK);
    conn_send(&p->client.conn, SLICE("ping"), CONN_COPY);
    for (int i = 0; i < 100 && !(p->client.open && p->server.got_len) &&
                    !(p->client.errors && p->server.errors);
         i++)
        loop_turn(p->loop, 20);
}

static void pair_stop(struct pair *p)
{
    conn_close(&p->client.conn, false);
    conn_close(&p->server.conn, false);
    loop_turn(p->loop, 0);
    loop_close(p->loop);
}

// Shakes hands, sends both ways, closes; whether it worked and was a resumption.
static bool meet(struct tls_context *cl, const char *name, struct tls_context *sv, bool *reused)
{
    struct pair p;
    pair_start(&p, cl, name, sv);
    bool ok = p.client.open && p.server.open && p.server.got_len == 4;
    if (ok) {
        conn_send(&p.server.conn, SLICE("pong"), CONN_COPY);
        for (int i = 0; i < 100 && p.client.got_len < 4; i++)
            loop_turn(p.loop, 20);
        assert_int_equal(p.client.got_len, 4);
        assert_int_equal(p.client.reused, p.server.reused);
    }
    if (reused)
        *reused = p.client.reused;
    pair_stop(&p);
    return ok;
}

static void names_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool ok;
    } cases[] = {
        {"a.example", true}, {"A.Example", true},  {"a.example.", true},   {"127.0.0.1", true},
        {"::1", true},       {"b.example", false}, {"x.a.example", false}, {"127.0.0.2", false},
        {"::2", false},      {"example", false},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct pair p;
        pair_start(&p, client, cases[i].name, server);
        assert_int_equal(p.client.open, cases[i].ok);
        assert_int_equal(p.server.got_len, cases[i].ok ? 4 : 0);
        if (!cases[i].ok) {
            assert_int_equal(p.client.error, RESULT_TLS);
            assert_non_null(strstr(p.client.why, "mismatch"));
            assert_int_equal(p.server.errors, 1);
        }
        pair_stop(&p);
    }
}

static void strangers_are_refused(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    struct pair p;
    // A root that is not ours.
    struct certs others;
    certs_init(&others);
    struct tls_context *distrustful, *blind;
    assert_int_equal(tls_client_open(&distrustful, certs_path(&others, "root", "pem"), false, diag),
                     RESULT_OK);
    pair_start(&p, distrustful, "a.example", server);
    assert_int_equal(p.client.error, RESULT_TLS);
    assert_false(p.client.open);
    assert_non_null(strstr(p.client.why, "certificate"));
    pair_stop(&p);
    // An expired certificate.
    struct tls_context *expired = open_server("old");
    pair_start(&p, client, "a.example", expired);
    assert_int_equal(p.client.error, RESULT_TLS);
    assert_non_null(strstr(p.client.why, "expired"));
    pair_stop(&p);
    // `insecure` takes all of them, with or without a name.
    assert_int_equal(tls_client_open(&blind, NULL, true, diag), RESULT_OK);
    assert_true(meet(blind, "other.example", expired, NULL));
    assert_true(meet(blind, NULL, expired, NULL));
    // A secure one needs a name.
    int fds[2];
    struct conn c;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    stream_pair(fds, false);
    assert_int_equal(conn_init(&c, l, fds[0], &end_ops, client, true, NULL), RESULT_TLS);
    assert_int_equal(conn_init(&c, l, fds[1], &end_ops, client, true, ""), RESULT_TLS);
    loop_close(l);
    tls_context_unref(distrustful);
    tls_context_unref(expired);
    tls_context_unref(blind);
    certs_remove(&others);
}

static void the_systems_roots_refuse_ours(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    struct tls_context *c;
    assert_int_equal(tls_client_open(&c, NULL, false, diag), RESULT_OK);
    assert_false(meet(c, "a.example", server, NULL));
    tls_context_unref(c);
}

static void sessions_are_reused_per_name(void **state)
{
    (void)state;
    bool reused;
    struct tls_context *cl = open_client();
    assert_true(meet(cl, "a.example", server, &reused));
    assert_false(reused);
    for (int i = 0; i < 3; i++) {
        assert_true(meet(cl, "a.example", server, &reused));
        assert_true(reused);
    }
    assert_true(meet(cl, "127.0.0.1", server, &reused));
    assert_false(reused);
    assert_true(meet(cl, "127.0.0.1", server, &reused));
    assert_true(reused);
    // Another context knows nothing of it, and another server does not take the ticket.
    struct tls_context *other = open_client(), *stranger = open_server("a");
    assert_true(meet(other, "a.example", server, &reused));
    assert_false(reused);
    assert_true(meet(cl, "a.example", stranger, &reused));
    assert_false(reused);
    tls_context_unref(stranger);
    tls_context_unref(other);
    tls_context_unref(cl);
}

static void remembered_names_are_limited(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES], name[32];
    struct tls_context *cl;
    bool reused;
    assert_int_equal(tls_client_open(&cl, NULL, true, diag), RESULT_OK);
    for (int i = 0; i < TLS_NAMES_MAX + 10; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        assert_true(meet(cl, name, server, &reused));
        assert_false(reused);
    }
    assert_true(meet(cl, name, server, &reused));
    assert_true(reused);
    assert_true(meet(cl, "n0.example", server, &reused));
    assert_false(reused);
    tls_context_unref(cl);
}

static void certificates_are_chosen_by_name(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    struct tls_context *sv;
    const struct tls_certificate list[] = {
        {"b.example", certs_path(&certs, "b", "pem"), certs_path(&certs, "b", "key")},
        {NULL, certs_path(&certs, "a", "pem"), certs_path(&certs, "a", "key")},
        {"*.wild.example", certs_path(&certs, "b", "pem"), certs_path(&certs, "b", "key")},
    };
    assert_int_equal(tls_server_open(&sv, list, 3, diag), RESULT_OK);
    assert_true(meet(client, "b.example", sv, NULL));
    assert_true(meet(client, "B.EXAMPLE", sv, NULL));
    assert_true(meet(client, "x.wild.example", sv, NULL));
    assert_true(meet(client, "a.example", sv, NULL));
    // An address has no SNI: the default one.
    assert_true(meet(client, "127.0.0.1", sv, NULL));
    // A wildcard covers one label, and not none.
    assert_false(meet(client, "x.y.wild.example", sv, NULL));
    assert_false(meet(client, "wild.example", sv, NULL));
    tls_context_unref(sv);
    // An exact name goes before a wildcard, whichever stands first.
    for (int swap = 0; swap < 2; swap++) {
        struct tls_certificate two[2];
        two[swap] = (struct tls_certificate){"a.example", certs_path(&certs, "a", "pem"),
                                             certs_path(&certs, "a", "key")};
        two[!swap] = (struct tls_certificate){"*.example", certs_path(&certs, "b", "pem"),
                                              certs_path(&certs, "b", "key")};
        assert_int_equal(tls_server_open(&sv, two, 2, diag), RESULT_OK);
        assert_true(meet(client, "a.example", sv, NULL));
        assert_true(meet(client, "b.example", sv, NULL));
        tls_context_unref(sv);
    }
}

static void copy_file(const char *from, const char *to)
{
    char buf[8192];
    FILE *a = fopen(from, "r"), *b = fopen(to, "w");
    assert_non_null(a);
    assert_non_null(b);
    size_t n = fread(buf, 1, sizeof buf, a);
    assert_int_equal(fwrite(buf, 1, n, b), n);
    fclose(a);
    fclose(b);
}

static void put_live(const char *name)
{
    copy_file(certs_path(&certs, name, "pem"), certs_path(&certs, "live", "pem"));
    copy_file(certs_path(&certs, name, "key"), certs_path(&certs, "live", "key"));
}

static void reload_swaps_for_new_connections(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    put_live("a");
    struct tls_context *sv = open_server("live"), *cl = open_client();
    struct pair before;
    bool reused;
    pair_start(&before, cl, "a.example", sv);
    assert_true(before.server.open);
    pair_turns(&before, 4);
    // A broken file leaves what was.
    copy_file(certs_path(&certs, "b", "key"), certs_path(&certs, "live", "key"));
    assert_int_equal(tls_server_reload(sv, diag), RESULT_TLS);
    assert_non_null(strstr(diag, "private key"));
    assert_true(meet(cl, "a.example", sv, &reused));
    assert_true(reused);
    unlink(certs_path(&certs, "live", "key"));
    assert_int_equal(tls_server_reload(sv, diag), RESULT_NOT_FOUND);
    assert_true(meet(cl, "a.example", sv, NULL));
    // A good one serves whoever comes next; tickets stay good.
    put_live("b");
    assert_int_equal(tls_server_reload(sv, diag), RESULT_OK);
    assert_string_equal(diag, "");
    assert_true(meet(cl, "b.example", sv, NULL));
    assert_true(meet(cl, "a.example", sv, &reused));
    assert_true(reused);
    struct tls_context *fresh = open_client();
    assert_false(meet(fresh, "a.example", sv, NULL));
    // The connection from before goes on.
    conn_send(&before.server.conn, SLICE("still"), CONN_COPY);
    pair_turns(&before, 4);
    assert_int_equal(before.client.got_len, 5);
    pair_stop(&before);
    tls_context_unref(sv);
    tls_context_unref(cl);
    tls_context_unref(fresh);
}

static void unusable_files_are_named(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    struct tls_context *c;
    struct tls_certificate cert = {NULL, certs_path(&certs, "none", "pem"),
                                   certs_path(&certs, "a", "key")};
    assert_int_equal(tls_server_open(&c, &cert, 1, diag), RESULT_NOT_FOUND);
    assert_non_null(strstr(diag, "none.pem"));
    assert_null(c);
    cert.chain_path = certs_path(&certs, "a", "key");
    assert_int_equal(tls_server_open(&c, &cert, 1, diag), RESULT_TLS);
    assert_non_null(strstr(diag, "a.key"));
    cert = (struct tls_certificate){NULL, certs_path(&certs, "a", "pem"),
                                    certs_path(&certs, "b", "key")};
    assert_int_equal(tls_server_open(&c, &cert, 1, diag), RESULT_TLS);
    assert_non_null(strstr(diag, "b.key"));
    assert_int_equal(tls_server_open(&c, &cert, 0, diag), RESULT_LIMIT);
    assert_int_equal(tls_client_open(&c, certs_path(&certs, "none", "pem"), false, diag),
                     RESULT_NOT_FOUND);
    assert_non_null(strstr(diag, "none.pem"));
    // A key under a password must not make anybody wait at a terminal.
    FILE *f = fopen(certs_path(&certs, "locked", "key"), "w");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_int_equal(
        PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL),
        1);
    fclose(f);
    EVP_PKEY_free(key);
    cert.key_path = certs_path(&certs, "locked", "key");
    assert_int_equal(tls_server_open(&c, &cert, 1, diag), RESULT_TLS);
    assert_non_null(strstr(diag, "locked.key"));
}

// ---- against OpenSSL itself ----

struct other {
    struct pair p; // only its server
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

// A client of OpenSSL's own on a blocking-free socket; 1 when the handshake is through.
static int other_start(struct other *o, int min, int max, const char *alpn)
{
    int fds[2];
    memset(o, 0, sizeof *o);
    assert_int_equal(loop_open(&o->p.loop, 0), RESULT_OK);
    stream_pair(fds, false);
    o->fd = fds[0];
    assert_int_equal(conn_init(&o->p.server.conn, o->p.loop, fds[1], &end_ops, server, false, NULL),
                     RESULT_OK);
    o->ctx = SSL_CTX_new(TLS_client_method());
    // Level 0 lets OpenSSL speak the old versions at all.
    SSL_CTX_set_security_level(o->ctx, 0);
    SSL_CTX_set_min_proto_version(o->ctx, min);
    SSL_CTX_set_max_proto_version(o->ctx, max);
    o->ssl = SSL_new(o->ctx);
    SSL_set_fd(o->ssl, o->fd);
    if (alpn)
        assert_int_equal(
            SSL_set_alpn_protos(o->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
    int r = -1;
    for (int i = 0; i < 20 && r != 1; i++) {
        r = SSL_connect(o->ssl);
        loop_turn(o->p.loop, 5);
    }
    ERR_clear_error();
    return r;
}

static void other_stop(struct other *o)
{
    SSL_free(o->ssl);
    SSL_CTX_free(o->ctx);
    if (o->fd >= 0)
        close(o->fd);
    conn_close(&o->p.server.conn, false);
    loop_turn(o->p.loop, 0);
    loop_close(o->p.loop);
}

static void versions_and_protocols_are_held(void **state)
{
    (void)state;
    static const struct {
        int min, max;
        const char *alpn;
        bool ok;
    } cases[] = {
        {TLS1_2_VERSION, TLS1_2_VERSION, NULL, true},
        {TLS1_3_VERSION, TLS1_3_VERSION, NULL, true},
        {TLS1_VERSION, TLS1_1_VERSION, NULL, false},
        {TLS1_2_VERSION, TLS1_3_VERSION, "\x02h2\x08http/1.1", true},
        {TLS1_2_VERSION, TLS1_3_VERSION, "\x08http/1.1", true},
        {TLS1_2_VERSION, TLS1_3_VERSION, "\x02h2", false},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct other o;
        int r = other_start(&o, cases[i].min, cases[i].max, cases[i].alpn);
        assert_int_equal(r == 1, cases[i].ok);
        assert_int_equal(o.p.server.open, cases[i].ok);
        if (!cases[i].ok)
            assert_int_equal(o.p.server.error, RESULT_TLS);
        const unsigned char *chosen;
        unsigned len;
        SSL_get0_alpn_selected(o.ssl, &chosen, &len);
        if (cases[i].ok && cases[i].alpn)
            assert_true(slice_eq(slice_make(chosen, len), SLICE("http/1.1")));
        other_stop(&o);
    }
}

static void key_updates_pass(void **state)
{
    (void)state;
    struct other o;
    char text[64];
    assert_int_equal(other_start(&o, TLS1_3_VERSION, TLS1_3_VERSION, NULL), 1);
    for (int i = 0; i < 5; i++) {
        // The server must write its own new key before it may go on.
        assert_int_equal(SSL_key_update(o.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_write(o.ssl, "ask", 3), 3);
        pair_turns(&o.p, 2);
        assert_int_equal(o.p.server.got_len, 3 * (i + 1));
        conn_send(&o.p.server.conn, SLICE("answer"), CONN_COPY);
        pair_turns(&o.p, 2);
        assert_int_equal(SSL_read(o.ssl, text, sizeof text), 6);
    }
    other_stop(&o);
}

static void key_updates_pass_while_writing_is_blocked(void **state)
{
    (void)state;
    struct other o;
    size_t len = 12000000, got = 0;
    char *body = malloc(len), *text = malloc(20000);
    for (size_t i = 0; i < len; i++)
        body[i] = stream_byte(0, i);
    assert_int_equal(other_start(&o, TLS1_3_VERSION, TLS1_3_VERSION, NULL), 1);
    conn_send(&o.p.server.conn, slice_make(body, len), CONN_PINNED);
    pair_turns(&o.p, 3);
    assert_true(conn_queued(&o.p.server.conn) > 0);
    // Now its reading has to write first, and writing has to wait for our reading.
    assert_int_equal(SSL_key_update(o.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(o.ssl, "ask", 3), 3);
    pair_turns(&o.p, 3);
    for (int turn = 0; turn < 20000 && (got < len || !o.p.server.got_len); turn++) {
        int n = SSL_read(o.ssl, text, 20000);
        for (int i = 0; i < n; i++)
            if (text[i] != stream_byte(0, got + (size_t)i))
                fail_msg("byte %zu differs", got + (size_t)i);
        if (n > 0)
            got += (size_t)n;
        else
            assert_int_equal(SSL_get_error(o.ssl, n), SSL_ERROR_WANT_READ);
        loop_turn(o.p.loop, n > 0 ? 0 : 5);
    }
    assert_int_equal(got, len);
    assert_int_equal(o.p.server.got_len, 3);
    assert_int_equal(o.p.server.errors, 0);
    free(body);
    free(text);
    other_stop(&o);
}

static void an_end_without_notice_is_no_end(void **state)
{
    (void)state;
    struct other o;
    assert_int_equal(other_start(&o, TLS1_2_VERSION, TLS1_3_VERSION, NULL), 1);
    assert_int_equal(SSL_write(o.ssl, "half", 4), 4);
    shutdown(o.fd, SHUT_WR);
    pair_turns(&o.p, 5);
    assert_int_equal(o.p.server.got_len, 4);
    assert_false(o.p.server.eof);
    assert_int_equal(o.p.server.error, RESULT_RESET);
    assert_int_equal(o.p.server.errors, 1);
    other_stop(&o);

    assert_int_equal(other_start(&o, TLS1_2_VERSION, TLS1_3_VERSION, NULL), 1);
    assert_int_equal(SSL_write(o.ssl, "whole", 5), 5);
    SSL_shutdown(o.ssl);
    pair_turns(&o.p, 5);
    assert_int_equal(o.p.server.got_len, 5);
    assert_true(o.p.server.eof);
    assert_int_equal(o.p.server.errors, 0);
    // Half-closed: the server may still speak.
    char text[16];
    conn_send(&o.p.server.conn, SLICE("bye"), CONN_COPY);
    pair_turns(&o.p, 2);
    assert_int_equal(SSL_read(o.ssl, text, sizeof text), 3);
    other_stop(&o);
}

static void a_reset_close_sends_no_notice(void **state)
{
    (void)state;
    char text[16];
    for (int reset = 0; reset < 2; reset++) {
        struct other o;
        assert_int_equal(other_start(&o, TLS1_2_VERSION, TLS1_3_VERSION, NULL), 1);
        conn_close(&o.p.server.conn, reset);
        int r = SSL_read(o.ssl, text, sizeof text);
        assert_true(r <= 0);
        assert_int_equal(SSL_get_error(o.ssl, r) == SSL_ERROR_ZERO_RETURN, !reset);
        ERR_clear_error();
        other_stop(&o);
    }
}

static void plain_text_at_a_tls_port(void **state)
{
    (void)state;
    struct pair p = {0};
    int fds[2];
    assert_int_equal(loop_open(&p.loop, 0), RESULT_OK);
    stream_pair(fds, false);
    assert_int_equal(conn_init(&p.server.conn, p.loop, fds[1], &end_ops, server, false, NULL),
                     RESULT_OK);
    assert_int_equal(send(fds[0], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    pair_turns(&p, 4);
    assert_int_equal(p.server.error, RESULT_TLS);
    assert_non_null(strstr(p.server.why, "http request"));
    close(fds[0]);
    conn_close(&p.server.conn, false);
    loop_close(p.loop);
}

static void small_pieces_share_a_record_and_a_call(void **state)
{
    (void)state;
    struct pair p;
    pair_start(&p, client, "a.example", server);
    pair_turns(&p, 4);
    const struct sys_fault count = {.at = UINT64_MAX};
    sys_fault_set(SYS_SEND, &count);
    sys_fault_set(SYS_RECV, &count);
    uint64_t sends = sys_count(SYS_SEND), reads = sys_count(SYS_RECV);
    for (int i = 0; i < 20; i++)
        conn_send(&p.server.conn, SLICE("0123456789"), i % 2 ? CONN_COPY : CONN_PINNED);
    pair_turns(&p, 4);
    assert_int_equal(p.client.got_len, 200);
    assert_int_equal(sys_count(SYS_SEND) - sends, 1);
    assert_int_equal(sys_count(SYS_RECV) - reads, 1);
    sys_fault_set(SYS_SEND, NULL);
    sys_fault_set(SYS_RECV, NULL);
    pair_stop(&p);
}

static void close_inside_data(void **state)
{
    (void)state;
    struct pair p;
    pair_start(&p, client, "a.example", server);
    p.client.close_on_data = true;
    conn_send(&p.server.conn, SLICE("x"), CONN_COPY);
    pair_turns(&p, 4);
    assert_int_equal(p.client.conn.io.fd, -1);
    assert_true(p.server.eof);
    pair_stop(&p);
}

static void shutdown_sends_notice_after_the_queue(void **state)
{
    (void)state;
    struct pair p;
    pair_start(&p, client, "a.example", server);
    conn_send(&p.server.conn, SLICE("last"), CONN_COPY);
    conn_shutdown(&p.server.conn);
    pair_turns(&p, 4);
    assert_int_equal(p.client.got_len, 4);
    assert_true(p.client.eof);
    conn_send(&p.client.conn, SLICE("more"), CONN_COPY);
    pair_turns(&p, 4);
    assert_int_equal(p.server.got_len, 8);
    assert_int_equal(p.client.errors + p.server.errors, 0);
    pair_stop(&p);
}

// ---- faults ----

static void io_faults_break_it_once(void **state)
{
    (void)state;
    static const int errors[] = {ECONNRESET, EPIPE, EINTR};
    for (enum sys_op op = SYS_RECV; op <= SYS_SEND; op++) {
        for (size_t i = 0; i < MERIT_COUNT(errors); i++) {
            int broken = 0;
            for (uint64_t n = 1; n < 12; n++) {
                const struct sys_fault f = {.at = n, .error = errors[i]};
                struct pair p;
                sys_fault_set(op, &f);
                pair_start(&p, client, "a.example", server);
                conn_send(&p.server.conn, SLICE("pong"), CONN_COPY);
                pair_turns(&p, 4);
                sys_fault_set(op, NULL);
                assert_true(p.client.errors <= 1 && p.server.errors <= 1);
                broken += p.client.error == RESULT_RESET || p.server.error == RESULT_RESET;
                if (errors[i] == EINTR)
                    assert_int_equal(p.client.got_len + p.server.got_len, 8);
                pair_stop(&p);
            }
            assert_true(errors[i] == EINTR ? broken == 0 : broken >= 3);
        }
    }
}

static void memory_faults_are_refusals(void **state)
{
    (void)state;
    char diag[TLS_DIAG_BYTES];
    struct tls_context *c;
    const struct tls_certificate list[] = {
        {"b.example", certs_path(&certs, "b", "pem"), certs_path(&certs, "b", "key")},
        {NULL, certs_path(&certs, "a", "pem"), certs_path(&certs, "a", "key")},
    };
    enum result r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        assert_true(n < 20);
        alloc_fail_at(n, 0);
        r = tls_server_open(&c, list, 2, diag);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    alloc_fail_at(1, 0);
    assert_int_equal(tls_server_reload(c, diag), RESULT_NOMEM);
    alloc_fail_at(0, 0);
    assert_true(meet(client, "b.example", c, NULL));
    tls_context_unref(c);
    r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        assert_true(n < 20);
        alloc_fail_at(n, 0);
        r = tls_client_open(&c, certs_path(&certs, "root", "pem"), false, diag);
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    int fds[2];
    struct conn conn;
    struct loop *l;
    assert_int_equal(loop_open(&l, 0), RESULT_OK);
    r = RESULT_NOMEM;
    for (uint64_t n = 1; r; n++) {
        assert_true(n < 20);
        stream_pair(fds, false);
        close(fds[1]);
        alloc_fail_at(n, 0);
        r = conn_init(&conn, l, fds[0], &end_ops, c, true, "a.example");
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    conn_close(&conn, true);
    loop_close(l);
    tls_context_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_arrive_once_in_order),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(the_systems_roots_refuse_ours),
        cmocka_unit_test(sessions_are_reused_per_name),
        cmocka_unit_test(remembered_names_are_limited),
        cmocka_unit_test(certificates_are_chosen_by_name),
        cmocka_unit_test(reload_swaps_for_new_connections),
        cmocka_unit_test(unusable_files_are_named),
        cmocka_unit_test(versions_and_protocols_are_held),
        cmocka_unit_test(key_updates_pass),
        cmocka_unit_test(key_updates_pass_while_writing_is_blocked),
        cmocka_unit_test(an_end_without_notice_is_no_end),
        cmocka_unit_test(a_reset_close_sends_no_notice),
        cmocka_unit_test(plain_text_at_a_tls_port),
        cmocka_unit_test(small_pieces_share_a_record_and_a_call),
        cmocka_unit_test(close_inside_data),
        cmocka_unit_test(shutdown_sends_notice_after_the_queue),
        cmocka_unit_test(io_faults_break_it_once),
        cmocka_unit_test(memory_faults_are_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
