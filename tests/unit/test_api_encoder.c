// The traffic side with an encoder: requests wait for it without their loop, and every way to wait has an end. The encoder
// is made of a few words, and can be told to take its time.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/gateway.h"
#include "api/key_secret.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include "text/json.h"

enum { DIM = 4, CALLS = 8, TURNS = 20000 };

static const char ANSWER[] =
    "{\"id\":\"x\",\"choices\":[{\"message\":{\"content\":\"hi\"}}],\"usage\":{\"prompt_tokens\":3,"
    "\"completion_tokens\":2}}";

// --- the encoder

static const char *const meanings[][4] = {{"refund", "money", "charged", "invoice"},
                                          {"crash", "error", "broken", "bug"},
                                          {"weather", "rain", "sunny", "umbrella"}};

struct fake {
    atomic_bool hold;
    _Atomic int inside, texts;
    _Atomic int fail; // enum result
};

static enum result fake_open(const void *model, void **reader)
{
    *reader = (void *)(uintptr_t)model;
    return RESULT_OK;
}

static void fake_close(void *reader)
{
    (void)reader;
}

static void vector_of(struct slice text, float *v)
{
    double square = 0;
    for (unsigned g = 0; g < DIM; g++) {
        v[g] = g == DIM - 1 ? 0.1f : 0;
        for (unsigned w = 0; g < DIM - 1 && w < 4; w++)
            v[g] += slice_find(text, slice_cstr(meanings[g][w])) >= 0 ? 1.0f : 0.0f;
        square += (double)v[g] * (double)v[g];
    }
    for (unsigned g = 0; g < DIM; g++)
        v[g] = (float)((double)v[g] / sqrt(square));
}

static void fake_answer(void *reader, struct trunk_ask *ask, struct arena *arena,
                        const atomic_bool *stop)
{
    struct fake *f = reader;
    atomic_fetch_add(&f->inside, 1);
    atomic_fetch_add(&f->texts, (int)ask->count);
    while (atomic_load(&f->hold) && !(stop && atomic_load(stop)))
        usleep(200);
    ask->answer =
        (struct trunk_answer){.result = (enum result)atomic_load(&f->fail), .cost_us = 1500};
    if (stop && atomic_load(stop))
        ask->answer.result = RESULT_CANCELLED;
    struct trunk_window *w = ARENA_ARRAY(arena, struct trunk_window, ask->count + 1);
    uint32_t *tok = ARENA_ARRAY(arena, uint32_t, ask->count + 1);
    if (!w || !tok)
        ask->answer.result = RESULT_NOMEM;
    for (uint32_t i = 0; !ask->answer.result && i < ask->count; i++) {
        float *v = ARENA_ARRAY(arena, float, DIM);
        if (!v) {
            ask->answer.result = RESULT_NOMEM;
            break;
        }
        vector_of(ask->texts[i], v);
        tok[i] = (uint32_t)ask->texts[i].len;
        ask->answer.tokens += tok[i];
        w[i] = (struct trunk_window){i, 0, tok[i], v};
    }
    if (ask->answer.result)
        return;
    ask->answer.windows = w;
    ask->answer.window_count = ask->count;
    ask->answer.text_tok = tok;
}

static const struct compute_engine FAKE = {fake_open, fake_close, fake_answer};

// --- a client, a gateway, an upstream

struct call {
    struct rig *rig;
    struct http_call *call;
    bool over;
    enum result error;
    int status;
    struct buf got;
    char model[32], route[32];
};

struct rig {
    struct fake fake;
    struct compute *compute;
    struct loop *loop;
    struct dns *dns;
    struct http_server *upstream;
    struct http_client *client;
    struct gateway *gateway;
    struct gateway_shared shared;
    struct metrics_names names;
    struct serving *serving;
    struct call calls[CALLS];
    bool idle;
};

static struct rig rig;

static void upstream_request(struct http_exchange *x)
{
    struct http_header type = {SLICE("content-type"), SLICE("application/json")};
    http_respond(x, 200, &type, 1, slice_cstr(ANSWER));
}

static const struct http_server_ops UPSTREAM_OPS = {.on_request = upstream_request};

static void client_head(struct http_call *c, void *user, const struct http_head *h)
{
    struct call *k = user;
    (void)c;
    k->status = h->status;
    snprintf(k->model, sizeof k->model, "%.*s", SLICE_FMT(http_header_get(h, "x-merit-model")));
    snprintf(k->route, sizeof k->route, "%.*s", SLICE_FMT(http_header_get(h, "x-merit-route")));
}

static void client_body(struct http_call *c, void *user, struct slice piece)
{
    (void)c;
    buf_add(&((struct call *)user)->got, piece);
}

static void client_end(struct http_call *c, void *user)
{
    (void)c;
    ((struct call *)user)->over = true;
}

static void client_error(struct http_call *c, void *user, enum result why, enum http_phase phase,
                         bool reused)
{
    struct call *k = user;
    (void)c;
    (void)phase;
    (void)reused;
    k->over = true;
    k->error = why;
}

static const struct http_call_ops CLIENT_OPS = {client_head, client_body, client_end, client_error};

static void open_serving(struct rig *r, const char *otherwise, struct serving **out)
{
    char text[2048];
    struct buf why;
    unsigned port = http_server_port(r->upstream);
    snprintf(text, sizeof text,
             "policy \"t\" version 1\n"
             "model small endpoint \"http://127.0.0.1:%u/v1\" context 8k tok output 1k tok\n"
             "model big endpoint \"http://127.0.0.1:%u/v1\" context 8k tok output 1k tok\n"
             "signal topic = intent(label \"pay\", like \"I want a refund of my money\",\n"
             "    label \"bugs\", like \"it shows an error\", otherwise \"else\")\n"
             "signal hurry = keywords(\"urgent\")\n"
             "signal data = pii(card)\n"
             "route card when data in (\"card\") -> answer(big)\n"
             "route fast when hurry -> answer(small)\n"
             "signal again = reask\n"
             "route pay when topic == \"pay\" -> answer(big)\n"
             "route again when again > 0 -> answer(big)\n"
             "otherwise -> answer(%s)\n",
             port, port, otherwise);
    struct serving_options o = {.names = &r->names, .trunk = compute_service(r->compute)};
    struct arena arena;
    struct diag_list diags;
    buf_init(&why, 4096);
    arena_init(&arena, 0, 1 << 20);
    diag_init(&diags, &arena, 10);
    assert_int_equal(serving_open(out, slice_cstr(text), &o, &diags, &why), RESULT_OK);
    buf_deinit(&why);
    arena_deinit(&arena);
}

static void open_compute(struct rig *r)
{
    struct compute_options o = {.threads = 2, .queue_tok = 2000, .cache_bytes = 1 << 20};
    o.models[TRUNK_EMBED] = (struct compute_model){.engine = &FAKE,
                                                   .model = &r->fake,
                                                   .name = SLICE("words"),
                                                   .digest = SLICE("0123456789abcdef"),
                                                   .dim = DIM,
                                                   .window_tok = 256};
    assert_int_equal(compute_open(&o, &r->compute), RESULT_OK);
}

static int setup(void **state)
{
    struct rig *r = &rig;
    memset(r, 0, sizeof *r);
    metrics_names_init(&r->names);
    for (int i = 0; i < CALLS; i++)
        buf_init(&r->calls[i].got, 64 << 20);
    open_compute(r);
    assert_int_equal(loop_open(&r->loop, 0), RESULT_OK);
    assert_int_equal(dns_open(&r->dns), RESULT_OK);
    assert_int_equal(http_server_open(&r->upstream, r->loop, &UPSTREAM_OPS, NULL, r), RESULT_OK);
    assert_int_equal(http_server_listen(r->upstream, "127.0.0.1", 0, NULL), RESULT_OK);
    open_serving(r, "small", &r->serving);
    r->shared = (struct gateway_shared){.path = path_settings_default,
                                        .http = http_limits_default,
                                        .client = http_client_limits_default,
                                        .dns = r->dns,
                                        .names = &r->names,
                                        .decisions_kept = 8,
                                        .compute = r->compute,
                                        .compute_deadline_ms = 60000};
    assert_int_equal(gateway_open(&r->gateway, &r->shared, r->loop, 0, r->serving, NULL),
                     RESULT_OK);
    assert_int_equal(gateway_listen(r->gateway, "127.0.0.1", 0, NULL), RESULT_OK);
    assert_int_equal(http_client_open(&r->client, r->loop, r->dns, NULL), RESULT_OK);
    *state = r;
    return 0;
}

// As a server ends: the pool after the gateways, before the loops.
static int teardown(void **state)
{
    struct rig *r = *state;
    if (r->client)
        http_client_close(r->client);
    gateway_close(r->gateway);
    http_server_close(r->upstream);
    compute_stop(r->compute);
    serving_unref(r->serving);
    loop_turn(r->loop, 0);
    dns_close(r->dns);
    loop_close(r->loop);
    compute_close(r->compute);
    for (int i = 0; i < CALLS; i++)
        buf_deinit(&r->calls[i].got);
    return 0;
}

// With the key and the deadline that are set.
static const char *secret, *deadline;

static bool start(struct rig *r, int i, const char *path, const char *body)
{
    struct call *k = &r->calls[i];
    struct http_origin *origin;
    struct slice piece = slice_cstr(body);
    char bearer[64];
    struct http_header headers[3] = {{SLICE("content-type"), SLICE("application/json")}};
    size_t header_count = 1;
    if (secret) {
        snprintf(bearer, sizeof bearer, "Bearer %s", secret);
        headers[header_count++] = (struct http_header){SLICE("authorization"), slice_cstr(bearer)};
    }
    if (deadline)
        headers[header_count++] =
            (struct http_header){SLICE("x-merit-deadline-ms"), slice_cstr(deadline)};
    struct http_request q = {.method = HTTP_POST,
                             .target = slice_cstr(path),
                             .headers = headers,
                             .header_count = header_count,
                             .pieces = &piece,
                             .piece_count = 1,
                             .total_timeout_ms = 60000};
    k->rig = r;
    k->over = false;
    k->error = RESULT_OK;
    k->status = 0;
    buf_reset(&k->got);
    return !http_client_origin(r->client, SLICE("127.0.0.1"), gateway_port(r->gateway), NULL,
                               &origin) &&
           !http_call_start(origin, &q, &CLIENT_OPS, k, &k->call);
}

static void say(struct rig *r, int i, const char *words)
{
    static char body[CALLS][512];
    snprintf(body[i], sizeof body[i],
             "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", words);
    assert_true(start(r, i, "/v1/chat/completions", body[i]));
}

static void finish(struct rig *r, int i)
{
    for (int n = 0; n < TURNS && !r->calls[i].over; n++)
        loop_turn(r->loop, 1);
    assert_true(r->calls[i].over);
}

static void turn_until_inside(struct rig *r, int passes)
{
    for (int n = 0; n < TURNS && atomic_load(&r->fake.inside) < passes; n++)
        loop_turn(r->loop, 1);
    assert_true(atomic_load(&r->fake.inside) >= passes);
}

static void expect(struct rig *r, int i, const char *route, const char *model)
{
    finish(r, i);
    struct call *k = &r->calls[i];
    if (k->status != 200 || strcmp(k->route, route) != 0 || strcmp(k->model, model) != 0)
        fail_msg("wanted %s on %s, got %d %s on %s: %.*s", route, model, k->status, k->route,
                 k->model, SLICE_FMT(buf_slice(&k->got)));
}

static struct compute_counts counts(struct rig *r)
{
    struct compute_counts c;
    compute_count(r->compute, &c);
    return c;
}

static uint64_t in_flight(struct rig *r)
{
    return atomic_load(&gateway_metrics(r->gateway)->in_flight);
}

// --- tests

// Deciding on long texts is done in slices, one in a turn of the loop: others come between, and who leaves is let go.
static void long_texts_take_turns(void **state)
{
    struct rig *r = *state;
    enum { BYTES = 400 * 1024, LONG = 3 };
    static char body[BYTES + 256];
    size_t n = (size_t)snprintf(body, sizeof body,
                                "{\"model\":\"auto\",\"messages\":[{\"role\":"
                                "\"user\",\"content\":\"");
    for (size_t i = 0; i < BYTES; i++)
        body[n++] = "where is order 1234567, please? "[i % 32];
    snprintf(body + n, sizeof body - n, "4111 1111 1111 1111\"}]}");
    for (int i = 0; i < LONG; i++)
        assert_true(start(r, i, "/v1/chat/completions", body));
    for (int i = 0; i < TURNS && in_flight(r) < LONG; i++)
        loop_turn(r->loop, 1);
    say(r, LONG, "this is urgent");
    expect(r, LONG, "fast", "small");
    assert_int_equal(in_flight(r), LONG);
    http_call_cancel(r->calls[1].call);
    for (int i = 0; i < TURNS && in_flight(r) == LONG; i++)
        loop_turn(r->loop, 1);
    assert_int_equal(in_flight(r), LONG - 1);
    for (int i = 0; i < LONG; i += 2) {
        finish(r, i);
        assert_string_equal(r->calls[i].route, "card");
        assert_int_equal(r->calls[i].status, 400); // no window is that long
    }
    assert_int_equal(in_flight(r), 0);
    // And the gateway may close while one waits for its turn.
    assert_true(start(r, 0, "/v1/chat/completions", body));
    for (int i = 0; i < TURNS && !in_flight(r); i++)
        loop_turn(r->loop, 1);
}

static void routed_by_what_it_means(void **state)
{
    struct rig *r = *state;
    int known = atomic_load(&r->fake.texts); // the policy's examples
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "pay", "big");
    say(r, 1, "will there be rain and sunny weather");
    expect(r, 1, "otherwise", "small");
    assert_int_equal(atomic_load(&r->fake.texts), known + 2);
    // Remembered; and what rules decide never asks.
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "pay", "big");
    say(r, 2, "urgent: they charged me two times");
    expect(r, 2, "fast", "small");
    assert_int_equal(atomic_load(&r->fake.texts), known + 2);
    assert_int_equal(counts(r).jobs, 3);
    assert_int_equal(in_flight(r), 0);
}

// Several requests wait while the loop serves others.
static void the_loop_never_waits(void **state)
{
    struct rig *r = *state;
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    say(r, 0, "money back for the invoice");
    say(r, 1, "i was charged for the refund");
    say(r, 2, "another refund of money");
    turn_until_inside(r, before + 2);
    say(r, 3, "urgent");
    expect(r, 3, "fast", "small");
    assert_int_equal(in_flight(r), 3);
    atomic_store(&r->fake.hold, false);
    for (int i = 0; i < 3; i++)
        expect(r, i, "pay", "big");
}

static void the_deadline_ends_waiting(void **state)
{
    struct rig *r = *state;
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    r->shared.compute_deadline_ms = 20;
    say(r, 0, "they charged me two times, see the invoice");
    // Characters and words alone do not tell that it is about paying.
    expect(r, 0, "otherwise", "small");
    assert_int_equal(counts(r).cancelled, 1);
    // Two signals ask, one after the other, and wait no longer than one.
    uint64_t jobs = counts(r).jobs;
    assert_true(
        start(r, 1, "/v1/chat/completions",
              "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"any rain?\"},"
              "{\"role\":\"assistant\",\"content\":\"no\"},"
              "{\"role\":\"user\",\"content\":\"is it sunny\"}]}"));
    expect(r, 1, "otherwise", "small");
    assert_int_equal(counts(r).jobs, jobs + 1);
    // The job comes home late, and nobody is there.
    for (int n = 0; n < TURNS && counts(r).running; n++)
        loop_turn(r->loop, 1);
    for (int n = 0; n < 20; n++)
        loop_turn(r->loop, 1);
    atomic_store(&r->fake.hold, false);
    r->shared.compute_deadline_ms = 60000;
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "pay", "big");
    assert_true(atomic_load(&r->fake.inside) > before);
}

// A key with its secret's hash, as `merit key create` writes it.
static void add_key(struct buf *text, const char *scopes, char out[KEY_SECRET_LEN + 1])
{
    uint8_t hash[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    assert_int_equal(key_secret_make(out), RESULT_OK);
    sha256_of(slice_cstr(out), hash);
    sha256_hex(hash, sizeof hash, hex);
    buf_printf(text, "key k-%.6s sha256=%.64s caller=a scopes=%s created=2026-11-21T10:30:00Z\n",
               hex, hex, scopes);
}

// Who may steer can have less time, nobody more; others are not listened to.
static void a_caller_only_tightens_the_deadline(void **state)
{
    struct rig *r = *state;
    struct buf text, why;
    struct key_set *keys;
    char steers[KEY_SECRET_LEN + 1], plain[KEY_SECRET_LEN + 1];
    buf_init(&text, 4096);
    buf_init(&why, 4096);
    BUF_LIT(&text, "merit-keys 1\n");
    add_key(&text, "traffic,route-headers", steers);
    add_key(&text, "traffic", plain);
    assert_int_equal(key_set_parse(&keys, buf_slice(&text), NULL, &why), RESULT_OK);
    assert_int_equal(gateway_post_keys(r->gateway, keys), RESULT_OK);
    for (int n = 0; n < 20; n++)
        loop_turn(r->loop, 1);
    atomic_store(&r->fake.hold, true);
    secret = steers;
    deadline = "20";
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "otherwise", "small");
    assert_int_equal(counts(r).cancelled, 1);
    // The setting is the least: more time is not to be had.
    r->shared.compute_deadline_ms = 20;
    deadline = "60000";
    say(r, 0, "they charged me twice, see this invoice");
    expect(r, 0, "otherwise", "small");
    r->shared.compute_deadline_ms = 60000;
    for (size_t i = 0; i < 4; i++) {
        static const char *const wrong[] = {"0", "soon", "-1", "1.5"};
        deadline = wrong[i];
        say(r, 0, "hello");
        finish(r, 0);
        assert_int_equal(r->calls[0].status, 400);
        assert_true(slice_find(buf_slice(&r->calls[0].got), SLICE("bad_deadline")) >= 0);
    }
    // Without the scope the header means nothing, even when it is none.
    secret = plain;
    deadline = "1";
    int inside = atomic_load(&r->fake.inside);
    say(r, 0, "they charged me three times, see the invoice");
    turn_until_inside(r, inside + 1);
    for (int n = 0; n < 30; n++)
        loop_turn(r->loop, 1);
    assert_false(r->calls[0].over);
    atomic_store(&r->fake.hold, false);
    expect(r, 0, "pay", "big");
    deadline = "soon";
    say(r, 0, "urgent");
    expect(r, 0, "fast", "small");
    secret = deadline = NULL;
    key_set_unref(keys);
    buf_deinit(&text);
    buf_deinit(&why);
}

static void a_client_that_leaves_cancels(void **state)
{
    struct rig *r = *state;
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    say(r, 0, "they charged me two times, see the invoice");
    turn_until_inside(r, before + 1);
    assert_int_equal(in_flight(r), 1);
    http_call_cancel(r->calls[0].call);
    for (int n = 0; n < TURNS && (in_flight(r) || counts(r).running); n++)
        loop_turn(r->loop, 1);
    assert_int_equal(in_flight(r), 0);
    assert_int_equal(counts(r).cancelled, 1);
    assert_int_equal(atomic_load(&gateway_metrics(r->gateway)->route_ends[0][METRICS_GONE]), 1);
    atomic_store(&r->fake.hold, false);
    say(r, 1, "the invoice charged me money");
    expect(r, 1, "pay", "big");
}

static void a_full_pool_refuses(void **state)
{
    struct rig *r = *state;
    static char body[12000];
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    // Two that are read, and one that waits with all tokens that may.
    say(r, 0, "charged for a refund");
    say(r, 1, "charged for an invoice");
    turn_until_inside(r, before + 2);
    size_t n = (size_t)snprintf(body, sizeof body, "{\"model\":\"embed\",\"input\":\"");
    memset(body + n, 'a', 7960);
    memcpy(body + n + 7960, "\"}", 3);
    assert_true(start(r, 2, "/v1/embeddings", body));
    for (int k = 0; k < TURNS && counts(r).queued_jobs < 1; k++)
        loop_turn(r->loop, 1);
    say(r, 3, "they charged me two times, see the invoice");
    expect(r, 3, "otherwise", "small"); // decided without the encoder
    assert_true(start(r, 4, "/v1/embeddings", body));
    finish(r, 4);
    assert_int_equal(r->calls[4].status, 503);
    assert_true(slice_find(buf_slice(&r->calls[4].got), SLICE("encoder_busy")) >= 0);
    assert_int_equal(counts(r).refused, 2);
    atomic_store(&r->fake.hold, false);
    expect(r, 0, "pay", "big");
    expect(r, 1, "pay", "big");
    finish(r, 2);
    assert_int_equal(r->calls[2].status, 200);
    assert_int_equal(in_flight(r), 0);
}

// A failing encoder is an on_error, not an error of the request.
static void failures_are_signals_business(void **state)
{
    struct rig *r = *state;
    const enum result results[] = {RESULT_LIMIT, RESULT_NOMEM, RESULT_SYNTAX};
    for (unsigned i = 0; i < MERIT_COUNT(results); i++) {
        atomic_store(&r->fake.fail, (int)results[i]);
        say(r, 0, "they charged me two times, see the invoice");
        expect(r, 0, "otherwise", "small");
    }
    atomic_store(&r->fake.fail, 0);
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "pay", "big");
}

static void a_new_policy_waits_for_nobody(void **state)
{
    struct rig *r = *state;
    struct serving *next;
    open_serving(r, "big", &next);
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    say(r, 0, "will there be rain and sunny weather");
    turn_until_inside(r, before + 1);
    assert_int_equal(gateway_post_serving(r->gateway, next), RESULT_OK);
    for (int n = 0; n < 20; n++)
        loop_turn(r->loop, 1);
    // The old policy is held by the waiting request alone from here on.
    serving_unref(r->serving);
    r->serving = next;
    atomic_store(&r->fake.hold, false);
    expect(r, 0, "otherwise", "small");
    say(r, 1, "will there be rain and sunny weather");
    expect(r, 1, "otherwise", "big");
}

static void on_idle(void *ctx)
{
    ((struct rig *)ctx)->idle = true;
}

static void a_drain_waits_for_the_encoder(void **state)
{
    struct rig *r = *state;
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    say(r, 0, "they charged me two times, see the invoice");
    turn_until_inside(r, before + 1);
    assert_int_equal(gateway_post_drain(r->gateway, on_idle, r), RESULT_OK);
    for (int n = 0; n < 60; n++)
        loop_turn(r->loop, 1);
    assert_false(r->idle);
    atomic_store(&r->fake.hold, false);
    expect(r, 0, "pay", "big");
    for (int n = 0; n < TURNS && !r->idle; n++)
        loop_turn(r->loop, 1);
    assert_true(r->idle);
}

// Torn down with requests that wait and jobs that run.
static void the_end_comes_while_they_wait(void **state)
{
    struct rig *r = *state;
    int before = atomic_load(&r->fake.inside);
    atomic_store(&r->fake.hold, true);
    for (int i = 0; i < 5; i++)
        say(r, i, "they charged me two times, see the invoice");
    assert_true(start(r, 5, "/v1/embeddings", "{\"model\":\"words\",\"input\":\"rain\"}"));
    turn_until_inside(r, before + 2);
    assert_true(in_flight(r) > 0);
}

// --- embeddings

static void check_vector(struct rig *r, const struct json *j, uint32_t data, uint32_t index,
                         const char *text, uint32_t dimensions)
{
    float want[DIM];
    double square = 0, got, sum = 0;
    uint32_t at = 0, value, row = 0, n = 0;
    (void)r;
    for (uint32_t i = 0; i <= index; i++)
        assert_true(json_element(j, data, &at, &row));
    uint64_t told;
    assert_int_equal(json_u64(j, json_get(j, row, SLICE("index"), NULL), &told), RESULT_OK);
    assert_int_equal(told, index);
    vector_of(slice_cstr(text), want);
    for (uint32_t i = 0; i < dimensions; i++)
        square += (double)want[i] * (double)want[i];
    at = 0;
    while (json_element(j, json_get(j, row, SLICE("embedding"), NULL), &at, &value)) {
        assert_int_equal(json_double(j, value, &got), RESULT_OK);
        if (n < dimensions && fabs(got - (double)want[n] / sqrt(square)) > 2e-7)
            fail_msg("component %u of %u: %g", n, index, got);
        sum += got * got;
        n++;
    }
    assert_int_equal(n, dimensions);
    assert_true(fabs(sum - 1) < 1e-6);
}

static void embeddings_come_in_order(void **state)
{
    struct rig *r = *state;
    static char body[8192];
    const char *texts[40];
    static char room[40][32];
    size_t n = (size_t)snprintf(body, sizeof body, "{\"model\":\"words\",\"input\":[");
    for (int i = 0; i < 40; i++) {
        snprintf(room[i], sizeof room[i], "%s number %d", meanings[i % 3][i % 4], i);
        texts[i] = room[i];
        n += (size_t)snprintf(body + n, sizeof body - n, "%s\"%s\"", i ? "," : "", texts[i]);
    }
    snprintf(body + n, sizeof body - n, "]}");
    assert_true(start(r, 0, "/v1/embeddings", body));
    finish(r, 0);
    if (r->calls[0].status != 200)
        fail_msg("%d %.*s", r->calls[0].status, SLICE_FMT(buf_slice(&r->calls[0].got)));
    struct json j;
    struct arena arena;
    arena_init(&arena, 0, 1 << 20);
    assert_int_equal(json_parse(&j, buf_slice(&r->calls[0].got), &json_limits_default, &arena),
                     RESULT_OK);
    uint64_t tok, want = 0;
    for (uint32_t i = 0; i < 40; i++) {
        check_vector(r, &j, json_get(&j, 0, SLICE("data"), NULL), i, texts[i], DIM);
        want += strlen(texts[i]);
    }
    uint32_t usage = json_get(&j, 0, SLICE("usage"), NULL);
    assert_int_equal(json_u64(&j, json_get(&j, usage, SLICE("prompt_tokens"), NULL), &tok), 0);
    assert_int_equal(tok, want);
    assert_true(json_string_is(&j, json_get(&j, 0, SLICE("model"), NULL), SLICE("words")));

    // Fewer dimensions, renormalised; usage counts what is remembered as well.
    assert_true(start(r, 1, "/v1/embeddings",
                      "{\"model\":\"embed\",\"input\":\"refund number 0\",\"dimensions\":2}"));
    finish(r, 1);
    arena_reset(&arena);
    assert_int_equal(json_parse(&j, buf_slice(&r->calls[1].got), &json_limits_default, &arena),
                     RESULT_OK);
    check_vector(r, &j, json_get(&j, 0, SLICE("data"), NULL), 0, "refund number 0", 2);
    usage = json_get(&j, 0, SLICE("usage"), NULL);
    assert_int_equal(json_u64(&j, json_get(&j, usage, SLICE("total_tokens"), NULL), &tok), 0);
    assert_int_equal(tok, 15);

    // base64 of little-endian floats: {0, 0, 1, ...} begins with eight zero bytes.
    assert_true(start(r, 2, "/v1/embeddings",
                      "{\"model\":\"embed\",\"input\":[\"rain\"],\"encoding_format\":\"base64\"}"));
    finish(r, 2);
    assert_true(slice_find(buf_slice(&r->calls[2].got), SLICE("\"embedding\":\"AAAAAAAAAA")) >= 0);
    arena_deinit(&arena);
    assert_int_equal(in_flight(r), 0);
}

static void embeddings_are_refused_by_name(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {"{", 400, "invalid_json"},
        {"[1]", 400, "invalid_json"},
        {"{\"model\":\"text-embedding-3-small\",\"input\":\"a\"}", 404, "model_not_found"},
        {"{\"input\":\"a\"}", 404, "model_not_found"},
        {"{\"model\":\"embed\"}", 400, "invalid_input"},
        {"{\"model\":\"embed\",\"input\":[]}", 400, "invalid_input"},
        {"{\"model\":\"embed\",\"input\":\"\"}", 400, "invalid_input"},
        {"{\"model\":\"embed\",\"input\":[\"a\",null]}", 400, "invalid_input"},
        {"{\"model\":\"embed\",\"input\":{}}", 400, "invalid_input"},
        {"{\"model\":\"embed\",\"input\":[1,2]}", 400, "token_input_unsupported"},
        {"{\"model\":\"embed\",\"input\":[[1,2]]}", 400, "token_input_unsupported"},
        {"{\"model\":\"embed\",\"input\":\"a\",\"dimensions\":5}", 400, "invalid_dimensions"},
        {"{\"model\":\"embed\",\"input\":\"a\",\"dimensions\":0}", 400, "invalid_dimensions"},
        {"{\"model\":\"embed\",\"input\":\"a\",\"dimensions\":\"2\"}", 400, "invalid_dimensions"},
        {"{\"model\":\"embed\",\"input\":\"a\",\"encoding_format\":\"hex\"}", 400,
         "invalid_encoding_format"},
    };
    for (unsigned i = 0; i < MERIT_COUNT(cases); i++) {
        assert_true(start(r, 0, "/v1/embeddings", cases[i].body));
        finish(r, 0);
        if (r->calls[0].status != cases[i].status ||
            slice_find(buf_slice(&r->calls[0].got), slice_cstr(cases[i].code)) < 0)
            fail_msg("%s: %d %.*s", cases[i].body, r->calls[0].status,
                     SLICE_FMT(buf_slice(&r->calls[0].got)));
    }
    // Too many, and too long.
    struct buf body;
    buf_init(&body, 1 << 20);
    BUF_LIT(&body, "{\"model\":\"embed\",\"input\":[\"a\"");
    for (int i = 0; i < 2048; i++)
        BUF_LIT(&body, ",\"a\"");
    buf_append(&body, "]}", 3);
    assert_true(start(r, 0, "/v1/embeddings", body.ptr));
    finish(r, 0);
    assert_true(slice_find(buf_slice(&r->calls[0].got), SLICE("too_many_inputs")) >= 0);
    buf_reset(&body);
    BUF_LIT(&body, "{\"model\":\"embed\",\"input\":\"");
    for (int i = 0; i < 131073; i++)
        buf_byte(&body, 'a');
    buf_append(&body, "\"}", 3);
    assert_true(start(r, 0, "/v1/embeddings", body.ptr));
    finish(r, 0);
    assert_true(slice_find(buf_slice(&r->calls[0].got), SLICE("context_length_exceeded")) >= 0);
    buf_deinit(&body);
    assert_int_equal(in_flight(r), 0);
}

// --- no memory

// An answer or a named error, whatever allocation fails, on the loop or on the pool.
static void every_allocation_may_fail(void **state)
{
    struct rig *r = *state;
    const char *const paths[] = {"/v1/chat/completions", "/v1/embeddings"};
    char body[256];
    for (int kind = 0; kind < 2; kind++) {
        bool failed = true;
        for (unsigned n = 1; failed && n < 600; n++) {
            // Never the same text, so that none is remembered.
            snprintf(body, sizeof body,
                     kind ? "{\"model\":\"embed\",\"input\":[\"invoice %u\",\"x\"]}"
                          : "{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":"
                            "\"charged by invoice %u\"}]}",
                     n);
            uint64_t before = alloc_count();
            alloc_fail_at(n, 0);
            bool begun = start(r, 0, paths[kind], body);
            if (begun)
                finish(r, 0);
            alloc_fail_at(0, 0);
            failed = alloc_count() - before >= n;
            if (begun && !r->calls[0].error && r->calls[0].status != 200 &&
                r->calls[0].status < 500)
                fail_msg("allocation %u: status %d, body %.*s", n, r->calls[0].status,
                         SLICE_FMT(buf_slice(&r->calls[0].got)));
        }
        assert_false(failed);
        for (int i = 0; i < 5; i++)
            loop_turn(r->loop, 1);
        assert_int_equal(in_flight(r), 0);
    }
    say(r, 0, "they charged me two times, see the invoice");
    expect(r, 0, "pay", "big");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(routed_by_what_it_means),
        TEST(long_texts_take_turns),
        TEST(the_loop_never_waits),
        TEST(the_deadline_ends_waiting),
        TEST(a_caller_only_tightens_the_deadline),
        TEST(a_client_that_leaves_cancels),
        TEST(a_full_pool_refuses),
        TEST(failures_are_signals_business),
        TEST(a_new_policy_waits_for_nobody),
        TEST(a_drain_waits_for_the_encoder),
        TEST(the_end_comes_while_they_wait),
        TEST(embeddings_come_in_order),
        TEST(embeddings_are_refused_by_name),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
