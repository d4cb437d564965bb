// A running server: opens the doors, runs a loop per core, reloads, drains.
//
// The main thread is the control thread: its loop has the admin side, signals and file watches. It makes the shared
// state, and the traffic loops get what changes by messages.

#include "cli/serve.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/admin.h"
#include "api/affinity.h"
#include "api/gateway.h"
#include "api/hammer.h"
#include "base/alloc.h"
#include "base/file.h"
#include "cli/books.h"
#include "cli/commands.h"
#include "cli/conf.h"
#include "cli/encoders.h"
#include "cli/loading.h"
#include "cli/measuring.h"
#include "cli/policy_file.h"
#include "cli/price_file.h"
#include "cli/reckoning.h"
#include "policy/policy.h"
#include "pool/keeper.h"
#include "proof/check.h"
#include "sim/pool.h"

enum { RELOAD_SETTLE_MS = 50, TEXT_MAX = POLICY_BYTES_MAX + 1 };

// --- policy

// Messages go to standard error: the server goes on with what it has.
static enum result read_policy(struct serve *s, struct buf *text)
{
    buf_init(text, TEXT_MAX);
    enum result r = policy_file_read(s->policy_arg, text, &s->policy_name, &s->policy_file);
    if (r) {
        char room[FILE_ERROR_BYTES];
        fprintf(stderr, "merit: cannot read the policy %s: %s\n", s->policy_name,
                r == RESULT_LIMIT ? "it is over 4 MiB" : file_problem(r, room));
        buf_deinit(text);
    }
    return r;
}

// Of a struct serve, on the control thread at first and then on a thread of its own (cli/loading.h): what it changes there
// nobody else touches while it runs.
static enum result open_policy(void *ctx, struct slice text, struct serving **out)
{
    struct serve *s = ctx;
    struct buf why, message;
    struct arena arena;
    struct diag_list diags;
    const struct price_list *prices;
    enum result r = RESULT_OK;
    buf_init(&why, SERVE_WHY_MAX);
    buf_init(&message, 16 * 1024 * 1024);
    arena_init(&arena, 0, 64 * 1024 * 1024);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    enum result listed = r = price_file_open(s->conf.prices, &arena, &prices);
    for (int again = 0; !listed && again < 2; again++) {
        struct serving_options options = {
            .demo_port = s->sim ? sim_port(s->sim) : 0,
            .cache_dir = s->conf.cache,
            .observe = slice_cstr(s->conf.observe),
            .names = s->names,
            .loops = s->count,
            .trunk = s->encoders.service,
            .prices = prices,
            .client_tls = &s->client_tls,
            .roots = s->conf.upstream_roots,
        };
        buf_reset(&why);
        r = serving_open(out, text, &options, &diags, &why);
        if (r != RESULT_UNSUPPORTED || s->sim)
            break;
        struct sim_options sim = {.pace = s->conf.demo_pace, .seed = 1, .any_model = true};
        if (sim_open(&s->sim, &sim))
            break;
    }
    diag_render(&diags, text, slice_cstr(s->policy_name), isatty(STDERR_FILENO), &message);
    if (message.len)
        fwrite(message.ptr, 1, message.len, stderr);
    if (r && !diags.errors)
        fprintf(stderr, "merit: the policy %s does not load: %.*s\n", s->policy_name,
                SLICE_FMT(why.len ? buf_slice(&why) : slice_cstr(result_name(r))));
    buf_deinit(&why);
    buf_deinit(&message);
    arena_deinit(&arena);
    return r;
}

static enum result first_policy(struct serve *s)
{
    struct buf text;
    enum result r = read_policy(s, &text);
    if (r)
        return r;
    r = open_policy(s, buf_slice(&text), &s->serving);
    buf_deinit(&text);
    return r;
}

static enum result open_reckoning(struct serve *s)
{
    const struct meter_places places = {.nvml = s->conf.meter_nvml,
                                        .powercap = s->conf.meter_powercap};
    enum result r = reckoning_open(&s->reckoning, s->count, s->names, &places);
    if (!r)
        reckoning_use(&s->reckoning, &s->serving->pool, s->serving->client_tls);
    return r;
}

static enum result open_books(struct serve *s)
{
    const struct books_ledger ledger = {.directory = conf_ledger(&s->conf),
                                        .accounts = s->conf.ledger_accounts,
                                        .backlog_bytes = s->conf.ledger_backlog_bytes,
                                        .keep_days = s->conf.ledger_keep_days};
    bool budgets = s->serving->rules.count > 0;
    if (budgets && !ledger.directory)
        fprintf(stderr,
                "merit: budgets over time begin anew with each start: there is no ledger\n");
    return books_open(&s->books, s->conf.data, &ledger, s->count, budgets, s->start_wall_us);
}

static enum result open_keys(struct serve *s, const struct key_set *old, struct key_set **out)
{
    struct buf why;
    *out = NULL;
    if (!s->conf.keys)
        return RESULT_OK;
    buf_init(&why, SERVE_WHY_MAX);
    enum result r = key_set_load(out, s->conf.keys, old, &why);
    if (r)
        fprintf(stderr, "merit: the key file %s does not load: %.*s\n", s->conf.keys,
                SLICE_FMT(why.len ? buf_slice(&why) : slice_cstr(result_name(r))));
    buf_deinit(&why);
    return r;
}

// The policy is loaded, or there is none.
static void take_policy(void *ctx, struct serving *next)
{
    struct serve *s = ctx;
    if (next && keeper_take(s->keeper, &next->pool, next->client_tls)) {
        fprintf(stderr, "merit: no memory to look after the pool of the policy\n");
        serving_unref(next);
        next = NULL;
    }
    if (next) {
        bool same = slice_eq(next->digest_hex, s->serving->digest_hex);
        reckoning_use(&s->reckoning, &next->pool, next->client_tls);
        affinity_inherit(next->affinity, s->serving->affinity, loop_now_us(s->loop) / 1000);
        for (uint32_t i = 0; i < s->count; i++) {
            if (gateway_post_serving(s->gateways[i], next))
                fprintf(stderr, "merit: no memory to hand the policy to loop %u\n", i);
        }
        measuring_move(&s->measuring, next);
        admin_set_serving(s->admin, next);
        loading_retire(&s->loading, s->serving);
        s->serving = next;
        s->reloads_ok++;
        if (next->rules.count && s->conf.data && !s->books.kept)
            fprintf(stderr,
                    "merit: budgets over time hold in this process only: it has no ledger\n");
        if (!same)
            fprintf(stderr, "merit: policy reloaded from %s, digest %.12s\n", s->policy_name,
                    next->digest_hex.ptr);
    } else {
        s->reloads_failed++;
        fprintf(stderr,
                "merit: the policy in %s has errors; the old one, digest %.12s, stays in force\n",
                s->policy_name, s->serving->digest_hex.ptr);
    }
}

static void reload(struct serve *s)
{
    struct key_set *keys;
    struct buf text;
    // One at a time, because its thread reads the policy's name: files are looked at again when it is done.
    if (s->loading.running) {
        loop_timer_set(s->loop, &s->reload_timer, RELOAD_SETTLE_MS);
        return;
    }
    if (read_policy(s, &text)) {
        take_policy(s, NULL);
    } else if (loading_begin(&s->loading, &text)) {
        buf_deinit(&text);
        take_policy(s, NULL);
    }
    if (open_keys(s, s->keys, &keys) == RESULT_OK && keys) {
        for (uint32_t i = 0; i < s->count; i++) {
            if (gateway_post_keys(s->gateways[i], keys))
                fprintf(stderr, "merit: no memory to hand the keys to loop %u\n", i);
        }
        admin_set_keys(s->admin, keys);
        key_set_unref(s->keys);
        s->keys = keys;
    }
    if (s->server_tls) {
        char diag[TLS_DIAG_BYTES];
        if (tls_server_reload(s->server_tls, diag))
            fprintf(stderr, "merit: the certificates stay as they were: %s\n", diag);
    }
}

static void on_reload_due(struct loop_timer *t)
{
    reload(MERIT_CONTAINER(t, struct serve, reload_timer));
}

// --- watching files

// A file is watched through its directory, because editors replace it rather than write into it.
static void watch_file(int fd, const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;
    if (n >= sizeof directory)
        return;
    memcpy(directory, slash ? path : ".", n);
    directory[n ? n : 1] = '\0';
    if (!n)
        directory[0] = '/';
    inotify_add_watch(fd, directory, IN_CLOSE_WRITE | IN_MOVED_TO);
}

// `name` is the last part of `path` (NULL: it is not).
static bool is_name(const char *name, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return path && strcmp(name, slash ? slash + 1 : path) == 0;
}

static void on_watch(struct loop_io *io, uint32_t events)
{
    struct serve *s = MERIT_CONTAINER(io, struct serve, watch);
    _Alignas(struct inotify_event) char buf[8192];
    ssize_t n;
    (void)events;
    while ((n = read(io->fd, buf, sizeof buf)) > 0) {
        for (char *at = buf; at < buf + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
            // "..data" is how a Kubernetes volume changes all its files at once.
            if (e->len && (is_name(e->name, s->policy_file) || is_name(e->name, s->conf.keys) ||
                           is_name(e->name, s->conf.prices) || is_name(e->name, "..data")))
                loop_timer_set(s->loop, &s->reload_timer, RELOAD_SETTLE_MS);
            at += sizeof *e + e->len;
        }
    }
}

// --- the end

static void stop_all(struct serve *s)
{
    for (uint32_t i = 0; i < s->running; i++)
        loop_stop(s->loops[i]);
    loop_stop(s->loop);
}

static void on_drain_late(struct loop_timer *t)
{
    struct serve *s = MERIT_CONTAINER(t, struct serve, drain_timer);
    if (atomic_load(&s->idle) < s->count)
        fprintf(stderr, "merit: the drain limit is reached; what still runs is broken off\n");
    stop_all(s);
}

// On a traffic loop: the last of its exchanges is over.
static void on_gateway_idle(void *ctx)
{
    struct serve *s = ctx;
    if (atomic_fetch_add(&s->idle, 1) + 1 == s->count)
        stop_all(s);
}

static void drain(struct serve *s)
{
    if (s->draining) {
        stop_all(s);
        return;
    }
    s->draining = true;
    fprintf(stderr, "merit: draining; requests under way may take up to %u s\n",
            s->conf.drain_timeout_ms / 1000);
    loop_timer_set(s->loop, &s->drain_timer,
                   s->conf.drain_timeout_ms ? s->conf.drain_timeout_ms : 1);
    for (uint32_t i = 0; i < s->count; i++) {
        if (gateway_post_drain(s->gateways[i], on_gateway_idle, s))
            stop_all(s);
    }
}

static void on_signal(struct loop_io *io, uint32_t events)
{
    struct serve *s = MERIT_CONTAINER(io, struct serve, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP || info.ssi_signo == SIGUSR1) {
            if (s->access_log)
                log_sink_reopen(s->access_log);
            if (s->decision_log)
                log_sink_reopen(s->decision_log);
        }
        if (info.ssi_signo == SIGHUP)
            reload(s);
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            drain(s);
    }
}

// --- the beginning

static void fill_process(void *ctx, struct metrics_process *out)
{
    const struct serve *s = ctx;
    const struct policy_image *p = s->serving->image;
    *out = (struct metrics_process){
        .policy_name = image_text(p, p->name),
        .policy_digest = s->serving->digest_hex,
        .policy_version = p->policy_version,
        .reloads_ok = s->reloads_ok,
        .reloads_failed = s->reloads_failed,
        .log_dropped =
            (s->access_log ? log_sink_dropped(s->access_log) : 0) +
            (s->decision_log && s->decision_log != s->access_log ? log_sink_dropped(s->decision_log)
                                                                 : 0),
        .start_wall_us = s->start_wall_us,
        .ready = !s->draining,
    };
    compute_count(s->encoders.compute, &out->compute);
    books_process(&s->books, s->serving, clock_wall_us(&clock_system), out);
}

static uint32_t cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > CONF_THREADS_MAX ? CONF_THREADS_MAX : (uint32_t)n;
}

static bool is_open_to_others(const struct conf_listen *l, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!l[i].loopback)
            return true;
    }
    return false;
}

// Off loopback neither side starts without keys.
static bool doors_are_safe(const struct serve *s, uint64_t now_s)
{
    struct {
        const char *side, *scope;
        bool open;
        uint32_t bit;
    } doors[] = {
        {"traffic", "traffic", is_open_to_others(s->conf.listen, s->conf.listen_count),
         KEY_SCOPE_TRAFFIC},
        {"admin", "admin", is_open_to_others(s->conf.admin, s->conf.admin_count), KEY_SCOPE_ADMIN},
    };
    for (int i = 0; i < 2; i++) {
        if (doors[i].open && !(s->keys && key_set_usable(s->keys, doors[i].bit, now_s))) {
            fprintf(
                stderr,
                "merit: the %s side would be open to other machines, so it needs a key. Make one:\n"
                "  merit key create --caller me --scopes %s\n",
                doors[i].side, doors[i].scope);
            return false;
        }
    }
    return true;
}

static enum result open_log(const char *path, struct log_sink **out)
{
    enum result r = path ? log_sink_open(out, path) : RESULT_OK;
    char room[FILE_ERROR_BYTES];
    if (r)
        fprintf(stderr, "merit: cannot open the log %s: %s\n", path, file_problem(r, room));
    return r;
}

static enum result open_encoders(struct serve *s)
{
    const struct conf *c = &s->conf;
    uint32_t cpus = cpu_count();
    struct encoders_options o = {
        .names = {[TRUNK_EMBED] = c->model_embed, [TRUNK_ENTITY] = c->model_entity},
        .threads = c->compute_threads ? c->compute_threads
                   : cpus > 1         ? cpus - 1
                                      : 1,
        .queue_tok = c->compute_queue_tok,
        .cache_bytes = c->compute_cache_bytes,
    };
    buf_init(&s->encoder_notes, SERVE_WHY_MAX);
    enum result r = encoders_open(&s->encoders, &o, &s->encoder_notes);
    if (r)
        fprintf(stderr, "merit: cannot start the pool of encoders: %s\n", result_name(r));
    return r;
}

static enum result open_shared(struct serve *s)
{
    char diag[TLS_DIAG_BYTES] = "";
    const struct conf *c = &s->conf;
    enum result r = open_log(c->log_access, &s->access_log);
    if (!r && c->log_decisions && c->log_access && strcmp(c->log_decisions, c->log_access) == 0)
        s->decision_log = s->access_log;
    else if (!r)
        r = open_log(c->log_decisions, &s->decision_log);
    if (!r)
        r = dns_open(&s->dns);
    if (!r && c->certificate_count) {
        r = tls_server_open(&s->server_tls, c->certificates, c->certificate_count, diag);
        if (r)
            fprintf(stderr, "merit: %s\n", diag);
    }
    s->shared = (struct gateway_shared){
        .path = path_settings_default,
        .http = c->http,
        .client = c->client,
        .dns = s->dns,
        .access_log = s->access_log,
        .decision_log = s->decision_log,
        .names = s->names,
        .reckon = s->reckoning.reckon,
        .ledger = s->books.ledger,
        .lengths = s->books.lengths,
        .region = slice_cstr(c->region),
        .budget_status = (int)c->budget_status,
        .decisions_kept = c->decisions_kept,
        .key_required = is_open_to_others(c->listen, c->listen_count),
        .compute = s->encoders.compute,
        .compute_deadline_ms = c->compute_deadline_ms,
    };
    s->shared.path.connect_timeout_ms = c->connect_timeout_ms;
    s->shared.path.first_byte_timeout_ms = c->first_byte_timeout_ms;
    s->shared.path.idle_timeout_ms = c->upstream_idle_timeout_ms;
    s->shared.path.total_timeout_ms = c->total_timeout_ms;
    s->shared.path.attempts_max = c->attempts ? c->attempts : 1;
    s->shared.path.high_water_bytes = c->http.high_water_bytes;
    if (!r && c->backoff_ms)
        r = hammer_open(&s->shared.hammer, c->backoff_ms);
    return r;
}

static void say_pool(void *ctx, struct slice line)
{
    (void)ctx;
    fprintf(stderr, "merit: %.*s\n", SLICE_FMT(line));
}

static double carbon_of(void *ctx, const struct policy_image *image, int32_t model)
{
    struct serve *s = ctx;
    int64_t ug = reckon_here(s->reckoning.reckon, image, model, NULL, false, 0).carbon_ug_kwh;
    return ug < 0 ? -1 : (double)ug / 1e6;
}

static enum result open_keeper(struct serve *s)
{
    const struct conf *c = &s->conf;
    struct keeper_options options = {.loop = s->loop,
                                     .dns = s->dns,
                                     .times = keeper_times_default,
                                     .say = say_pool,
                                     .carbon_g_kwh = carbon_of,
                                     .ctx = s};
    const char *slash = s->policy_file ? strrchr(s->policy_file, '/') : NULL;
    if (slash) {
        snprintf(s->policy_folder, sizeof s->policy_folder, "%.*s", (int)(slash - s->policy_file),
                 s->policy_file);
        options.folder = slash == s->policy_file ? "/" : s->policy_folder;
    }
    options.times.scrape_ms = c->pool_scrape_ms;
    options.times.check_ms = c->pool_check_ms;
    options.times.idle_ms = c->pool_idle_ms;
    options.times.idle_check_ms = c->pool_idle_ms / 3;
    options.times.judge_ms = c->pool_judge_ms;
    options.times.dns_ms = c->pool_dns_ms;
    if (c->pool_nameserver && !dns_server_of(slice_cstr(c->pool_nameserver), &options.servers)) {
        fprintf(stderr,
                "merit: pool.nameserver is a numeric address, perhaps with a port: \"%s\"\n",
                c->pool_nameserver);
        return RESULT_SYNTAX;
    }
    enum result r = keeper_open(&s->keeper, &options);
    if (!r)
        r = keeper_take(s->keeper, &s->serving->pool, s->serving->client_tls);
    if (r)
        fprintf(stderr, "merit: cannot look after the pool: %s\n", result_name(r));
    return r;
}

static enum result listen_failed(const struct conf_listen *l, enum result r)
{
    char room[FILE_ERROR_BYTES];
    int err = errno;
    fprintf(
        stderr, "merit: cannot listen on %s:%u: %s%s\n", l->host, l->port, file_problem(r, room),
        err == EADDRINUSE ? "; another program has the port (--listen HOST:PORT takes another one)"
                          : "");
    return r;
}

static enum result open_loops(struct serve *s)
{
    s->loops = alloc_zeroed(s->count, sizeof *s->loops);
    s->threads = alloc_zeroed(s->count, sizeof *s->threads);
    s->gateways = alloc_zeroed(s->count, sizeof *s->gateways);
    if (!s->loops || !s->threads || !s->gateways)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) {
        enum result r = loop_open(&s->loops[i], s->conf.busy_poll_us);
        if (!r)
            r = gateway_open(&s->gateways[i], &s->shared, s->loops[i], i, s->serving, s->keys);
        if (r) {
            fprintf(stderr, "merit: cannot open loop %u: %s\n", i, result_name(r));
            return r;
        }
        for (uint32_t k = 0; k < s->conf.listen_count; k++) {
            struct conf_listen *l = &s->conf.listen[k];
            errno = 0;
            r = i ? RESULT_OK : http_server_claim(l->host, l->port);
            if (!r)
                r = gateway_listen(s->gateways[i], l->host, l->port, l->tls ? s->server_tls : NULL);
            if (r)
                return listen_failed(l, r);
            // The first loop picks a free port; the others share it.
            if (!l->port)
                l->port = gateway_port(s->gateways[i]);
        }
    }
    return RESULT_OK;
}

static enum result open_admin(struct serve *s)
{
    struct admin_options options = {
        .gateways = s->gateways,
        .gateway_count = s->count,
        .names = s->names,
        .reckon = s->reckoning.reckon,
        .process = fill_process,
        .ctx = s,
        .hosts = s->conf.admin_hosts,
        .host_count = s->conf.admin_host_count,
        .key_required = is_open_to_others(s->conf.admin, s->conf.admin_count),
    };
    enum result r = admin_open(&s->admin, s->loop, &options);
    if (r)
        return r;
    admin_set_serving(s->admin, s->serving);
    admin_set_keys(s->admin, s->keys);
    for (uint32_t k = 0; k < s->conf.admin_count; k++) {
        struct conf_listen *l = &s->conf.admin[k];
        errno = 0;
        r = http_server_claim(l->host, l->port);
        if (!r)
            r = admin_listen(s->admin, l->host, l->port, l->tls ? s->server_tls : NULL);
        if (r)
            return listen_failed(l, r);
        if (!l->port)
            l->port = admin_port(s->admin);
    }
    return RESULT_OK;
}

static enum result open_control(struct serve *s, const sigset_t *signals)
{
    s->signals.fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    s->signals.on_event = on_signal;
    s->watch.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    s->watch.on_event = on_watch;
    s->reload_timer.on_due = on_reload_due;
    s->drain_timer.on_due = on_drain_late;
    if (s->signals.fd < 0)
        return RESULT_IO;
    enum result r = loop_add_level(s->loop, &s->signals);
    if (!r && s->watch.fd >= 0) {
        if (s->policy_file)
            watch_file(s->watch.fd, s->policy_file);
        if (s->conf.keys)
            watch_file(s->watch.fd, s->conf.keys);
        if (s->conf.prices)
            watch_file(s->watch.fd, s->conf.prices);
        r = loop_add_level(s->loop, &s->watch);
    }
    return r;
}

static void *run_loop(void *loop)
{
    loop_run(loop);
    return NULL;
}

static enum result start_threads(struct serve *s)
{
    for (; s->running < s->count; s->running++) {
        if (pthread_create(&s->threads[s->running], NULL, run_loop, s->loops[s->running]))
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

// What could still send something to the other loops: signals, changed files, questions to the admin side.
static void stop_control(struct serve *s)
{
    admin_stop(s->admin);
    if (!s->loop)
        return;
    if (s->signals.on_event && s->signals.fd >= 0)
        loop_del(s->loop, &s->signals);
    if (s->watch.on_event && s->watch.fd >= 0)
        loop_del(s->loop, &s->watch);
    loop_timer_cancel(s->loop, &s->reload_timer);
    loop_timer_cancel(s->loop, &s->drain_timer);
    keeper_close(s->keeper);
    s->keeper = NULL;
    reckoning_stop(&s->reckoning);
    books_stop(&s->books);
}

void serve_close(struct serve *s)
{
    stop_control(s);
    loading_close(&s->loading);
    measuring_close(&s->measuring);
    for (uint32_t i = 0; i < s->running; i++) {
        loop_stop(s->loops[i]);
        pthread_join(s->threads[i], NULL);
    }
    // What is still out in the mailboxes comes home before what it points to goes, and nothing new goes out.
    for (uint32_t i = 0; i < s->running; i++)
        loop_turn(s->loops[i], 0);
    if (s->loop)
        loop_turn(s->loop, 0);
    for (uint32_t i = 0; i < s->count && s->gateways; i++)
        gateway_close(s->gateways[i]);
    // What the pool still has comes back to the loops, where nobody waits for it any more.
    compute_stop(s->encoders.compute);
    // Before the loops: its helper may still be waking one of them.
    if (s->dns)
        dns_close(s->dns);
    for (uint32_t i = 0; i < s->count && s->loops; i++) {
        if (s->loops[i])
            loop_close(s->loops[i]);
    }
    admin_close(s->admin);
    reckoning_close(&s->reckoning);
    books_close(&s->books);
    loop_close(s->loop);
    if (s->signals.on_event && s->signals.fd >= 0)
        close(s->signals.fd);
    if (s->watch.on_event && s->watch.fd >= 0)
        close(s->watch.fd);
    if (s->sim)
        sim_close(s->sim);
    serving_unref(s->serving);
    encoders_close(&s->encoders);
    hammer_close(s->shared.hammer);
    buf_deinit(&s->encoder_notes);
    key_set_unref(s->keys);
    if (s->decision_log && s->decision_log != s->access_log)
        log_sink_close(s->decision_log);
    if (s->access_log)
        log_sink_close(s->access_log);
    if (s->server_tls)
        tls_context_unref(s->server_tls);
    if (s->client_tls)
        tls_context_unref(s->client_tls);
    alloc_free(s->gateways);
    alloc_free(s->loops);
    alloc_free(s->threads);
    alloc_free(s->names);
    conf_deinit(&s->conf);
}

int serve_run(struct serve *s)
{
    sigset_t signals;
    struct rlimit files;
    s->start_wall_us = clock_wall_us(&clock_system);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // Blocked before any thread starts, so that only the descriptor sees them.
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    s->names = alloc_bytes(sizeof *s->names);
    if (!s->names)
        return EXIT_FOUND;
    metrics_names_init(s->names);
    s->count = s->conf.threads ? s->conf.threads : cpu_count();
    if (open_keys(s, NULL, &s->keys) || !doors_are_safe(s, s->start_wall_us / 1000000) ||
        open_encoders(s) || first_policy(s) || open_reckoning(s) || open_books(s) ||
        open_shared(s) || loop_open(&s->loop, 0) || open_keeper(s) || open_loops(s) ||
        open_admin(s) || open_control(s, &signals) || start_threads(s))
        return EXIT_FOUND;
    s->loading = (struct loading){.open = open_policy, .done = take_policy, .ctx = s};
    loading_open(&s->loading, s->loop);
    measuring_open(&s->measuring, s->loop, s->conf.data, s->serving, s->gateways, s->count);
    reckoning_start(&s->reckoning, s->loop, s->dns, s->conf.carbon_feed_ms,
                    s->conf.carbon_stale_ms);
    books_start(&s->books, s->loop, s->gateways, s->count);
    serve_say_ready(s);
    loop_run(s->loop);
    return EXIT_DONE;
}
