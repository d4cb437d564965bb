#include "pool/finder.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"

enum { LINE_BYTES = 1024, SETTLE_MS = 100 };

// One discovered endpoint of the pool.
struct finder {
    struct finders *all;
    int32_t endpoint;
    uint64_t next_ms;
    struct timespec mtime; // of the file that was read last
    off_t size;
    ino_t inode;
    bool looked, taken; // at it once; what is there now was read
    struct resolve *job;
    char said[POOL_DIAG_BYTES]; // the last trouble, so that it is told once
};

struct finders {
    struct finders_options o;
    struct finder *each;
    uint32_t count;
};

static uint64_t now_ms(const struct finders *all)
{
    return loop_now_us(all->o.loop) / 1000;
}

MERIT_PRINTF(2, 3) static void say(const struct finders *all, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0 && all->o.say)
        all->o.say(all->o.ctx,
                   slice_make(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1));
}

static const struct pool_endpoint *endpoint_of(const struct finder *f)
{
    return &f->all->o.pool->endpoints[f->endpoint];
}

// --- lists

static void tell_finder(struct finder *f, const char *what)
{
    const struct pool_endpoint *e = endpoint_of(f);
    if (strcmp(f->said, what) == 0)
        return;
    snprintf(f->said, sizeof f->said, "%s", what);
    if (what[0])
        say(f->all, "model %.*s, %.*s: %s; its places stay as they are",
            SLICE_FMT(f->all->o.pool->models[e->model].name), SLICE_FMT(e->url), what);
}

static void apply_list(struct finder *f, const struct discovery_list *list)
{
    struct finders *k = f->all;
    const struct pool_endpoint *e = endpoint_of(f);
    struct discovery_change c;
    discovery_apply(k->o.pool, f->endpoint, list, now_ms(k), &c);
    if (c.added || c.drained)
        say(k, "model %.*s, %.*s: %u places, %u new, %u leave",
            SLICE_FMT(k->o.pool->models[e->model].name), SLICE_FMT(e->url), list->count, c.added,
            c.drained);
    if (c.refused)
        say(k, "model %.*s: %u places are not taken, %.*s among them: %s",
            SLICE_FMT(k->o.pool->models[e->model].name), c.refused, SLICE_FMT(c.refused_url),
            c.why == RESULT_EXISTS  ? "the policy names it as an endpoint of its own"
            : c.why == RESULT_LIMIT ? "the pool has no room for more"
                                    : result_name(c.why));
}

static void path_of(const struct finder *f, char out[PATH_MAX])
{
    const struct finders *k = f->all;
    struct slice name = endpoint_of(f)->url;
    bool relative = name.len && name.ptr[0] != '/' && k->o.folder && k->o.folder[0];
    snprintf(out, PATH_MAX, "%s%s%.*s", relative ? k->o.folder : "", relative ? "/" : "",
             SLICE_FMT(name));
}

static bool is_seen(const struct finder *f, const struct stat *st)
{
    return f->inode == st->st_ino && f->size == st->st_size &&
           f->mtime.tv_sec == st->st_mtim.tv_sec && f->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static void look_at_file(struct finder *f)
{
    char path[PATH_MAX], diag[POOL_DIAG_BYTES], words[FILE_ERROR_BYTES];
    struct discovery_list list;
    struct stat st;
    struct buf text;
    path_of(f, path);
    if (stat(path, &st)) {
        snprintf(diag, sizeof diag, "the file cannot be read: %s", file_error(errno, words));
        tell_finder(f, diag);
        f->inode = 0;
        return;
    }
    bool first = !f->looked, changed = !is_seen(f, &st);
    if (!changed && f->taken)
        return;
    f->looked = true;
    f->inode = st.st_ino;
    f->size = st.st_size;
    f->mtime = st.st_mtim;
    f->taken = first || !changed;
    // It may be being written: half a list is a list, too. So it is read when it has stopped to change.
    if (!f->taken) {
        uint64_t soon = now_ms(f->all) + SETTLE_MS;
        f->next_ms = soon < f->next_ms ? soon : f->next_ms;
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        tell_finder(f, "it is no file");
        return;
    }
    buf_init(&text, DISCOVERY_BYTES_MAX);
    enum result r = file_read(path, &text);
    if (r) {
        snprintf(diag, sizeof diag, "the file cannot be read: %s",
                 r == RESULT_LIMIT ? "it is over 1 MiB" : file_problem(r, words));
        tell_finder(f, diag);
    } else if (discovery_parse(buf_slice(&text), &list, diag)) {
        tell_finder(f, diag);
    } else {
        tell_finder(f, "");
        apply_list(f, &list);
    }
    buf_deinit(&text);
}

// --- names

// A share of the endpoint's weight, so that all of the first rank together have as much as if they were alike.
static uint32_t share_of(uint32_t weight, const struct resolve_answer *a, uint16_t priority,
                         uint32_t of_endpoint)
{
    uint64_t sum = 0, count = 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->services[i].priority == priority) {
            sum += a->services[i].weight;
            count++;
        }
    uint64_t whole = of_endpoint ? of_endpoint : 1000;
    uint64_t share = sum ? whole * weight * count / sum : whole;
    return share ? (uint32_t)share : 1; // weight 0 is a very small chance, not none
}

void finder_list(const struct pool_endpoint *e, const struct resolve_answer *a,
                 char (*urls)[POOL_URL_MAX], struct discovery_list *out)
{
    uint32_t rank = 0;
    out->count = 0;
    for (uint32_t i = 0; i < a->count && out->count < POOL_PLACES_PER_MODEL_MAX; i++) {
        const struct resolve_service *s = &a->services[i];
        bool six = strchr(a->addresses[i], ':') != NULL;
        uint16_t port = s->port ? s->port : e->port;
        int n = snprintf(urls[i], POOL_URL_MAX, "http%s://%s%s%s:%u%.*s", e->tls ? "s" : "",
                         six ? "[" : "", a->addresses[i], six ? "]" : "", port, SLICE_FMT(e->path));
        if (n < 0 || (size_t)n >= POOL_URL_MAX)
            continue;
        rank += i && s->priority != a->services[i - 1].priority;
        struct discovery_place *p = &out->places[out->count++];
        *p = (struct discovery_place){.url = slice_make(urls[i], (size_t)n),
                                      .connect = slice_cstr(a->addresses[i])};
        if (s->port) {
            p->port = s->port;
            p->rank = rank;
            p->weight_milli = share_of(s->weight, a, s->priority, e->def->weight_milli);
        }
    }
}

static const char *trouble(const struct finder *f, enum result r)
{
    bool services = endpoint_of(f)->service.len > 0;
    if (r == RESULT_NOMEM)
        return "its name cannot be looked up for want of memory";
    if (r == RESULT_TIMEOUT)
        return services ? "no name server answers for its services"
                        : "its name cannot be looked up";
    return services ? "its name has no services now" : "its name has no address now";
}

static void on_addresses(void *ctx, const struct resolve_answer *a)
{
    struct finder *f = ctx;
    const struct pool_endpoint *e = endpoint_of(f);
    f->job = NULL;
    if (a->result) {
        tell_finder(f, trouble(f, a->result));
        return;
    }
    if (e->service.len && a->ttl_s < f->all->o.dns_ms / 1000) {
        uint64_t ttl_ms = a->ttl_s ? (uint64_t)a->ttl_s * 1000 : FINDER_TTL_MS;
        f->next_ms = now_ms(f->all) + ttl_ms;
    }
    struct discovery_list *list = alloc_zeroed(1, sizeof *list);
    char(*urls)[POOL_URL_MAX] = alloc_zeroed(a->count, sizeof *urls);
    if (list && urls)
        finder_list(e, a, urls, list);
    if (list && list->count) {
        tell_finder(f, "");
        apply_list(f, list);
    }
    alloc_free(urls);
    alloc_free(list);
}

static uint64_t jittered(struct finders *all, uint32_t ms)
{
    return ms - ms / 10 + rng_below(all->o.rng, ms / 5 + 1);
}

static void look_for(struct finder *f, uint64_t now)
{
    struct finders *k = f->all;
    const struct pool_endpoint *e = endpoint_of(f);
    if (f->next_ms > now)
        return;
    if (e->def->discovery == IMAGE_DISCOVER_FILE) {
        f->next_ms = now + k->o.file_ms;
        look_at_file(f);
    } else if (!f->job) {
        f->next_ms = now + jittered(k, k->o.dns_ms);
        enum result r =
            e->service.len
                ? resolve_services(&f->job, k->o.loop, e->service, k->o.servers, on_addresses, f)
                : resolve_start(&f->job, k->o.loop, e->host, on_addresses, f);
        if (r)
            tell_finder(f, trouble(f, RESULT_NOMEM));
    }
}

// --- life

enum result finders_open(struct finders **out, const struct finders_options *options)
{
    struct finders *f = alloc_zeroed(1, sizeof *f);
    *out = NULL;
    if (!f)
        return RESULT_NOMEM;
    f->o = *options;
    f->each = alloc_zeroed(options->pool->endpoint_count + 1, sizeof *f->each);
    if (!f->each) {
        alloc_free(f);
        return RESULT_NOMEM;
    }
    for (uint32_t i = 0; i < options->pool->endpoint_count; i++)
        if (options->pool->endpoints[i].def->discovery != IMAGE_DISCOVER_NONE)
            f->each[f->count++] = (struct finder){.all = f, .endpoint = (int32_t)i};
    *out = f;
    return RESULT_OK;
}

void finders_close(struct finders *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->each[i].job)
            resolve_cancel(f->each[i].job);
    alloc_free(f->each);
    alloc_free(f);
}

void finders_begin(struct finders *f, uint64_t now)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (endpoint_of(&f->each[i])->def->discovery == IMAGE_DISCOVER_FILE)
            look_for(&f->each[i], now);
}

void finders_look(struct finders *f, uint64_t now)
{
    for (uint32_t i = 0; i < f->count; i++)
        look_for(&f->each[i], now);
}

// --- over a reload

static bool has_place(const struct pool *p, uint32_t endpoint)
{
    for (uint32_t i = 0; i < p->slot_room; i++) {
        const struct pool_site *s = pool_site(p, (int32_t)i);
        if (s && s->endpoint == (int32_t)endpoint)
            return true;
    }
    return false;
}

void finders_carry_over(struct pool *p, const struct pool *old, uint64_t at_ms)
{
    for (uint32_t i = 0; i < p->endpoint_count; i++) {
        const struct pool_endpoint *e = &p->endpoints[i];
        bool found = false;
        bool list = e->def->discovery == IMAGE_DISCOVER_FILE;
        if (e->def->discovery == IMAGE_DISCOVER_NONE || (list && has_place(p, i)))
            continue;
        int32_t first = pool_find(p, e->model, e->url);
        for (uint32_t k = 0; k < old->slot_room; k++) {
            const struct pool_site *s = pool_site(old, (int32_t)k);
            uint32_t slot;
            if (!s || s->source != POOL_FROM_DISCOVERY || list == (s->connect.len > 0) ||
                !slice_eq(old->endpoints[s->endpoint].url, e->url) ||
                !slice_eq(s->place->model, p->models[e->model].name) || old->slots[k].leaving ||
                atomic_load_explicit(&old->slots[k].mode, memory_order_relaxed) == POOL_SLOT_GONE)
                continue;
            struct pool_add add = {.endpoint = (int32_t)i,
                                   .source = POOL_FROM_DISCOVERY,
                                   .url = s->url,
                                   .connect = s->connect};
            if (list || e->service.len) {
                add.weight_milli = s->weight_milli;
                add.slots = s->slots;
                add.rate_min = s->rate_min;
                add.rate_tok_min = s->rate_tok_min;
                add.rank = s->rank;
                add.port = list ? 0 : s->port;
            }
            if (pool_add(p, &add, at_ms, &slot) == RESULT_OK) {
                found = true;
                if (e->def->maintenance)
                    pool_set_mode(p, slot, POOL_SLOT_DRAINING);
            }
        }
        if (found && first >= 0)
            discovery_leave(p, (uint32_t)first, false);
    }
}
