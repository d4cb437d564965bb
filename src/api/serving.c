#include "api/serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/sha256.h"
#include "policy/policy.h"
#include "policy/price_list.h"
#include "proof/check.h"
#include "text/json.h"

enum { ARENA_FIRST = 16 * 1024, MODELS_JSON_MAX = 16 * 1024 * 1024, CACHE_HEADER = 16 };

// A cache file is CACHE_HEADER bytes (image size, pattern size, both 64 bit), the image, then the pattern set.
// Its name carries the policy's digest, the build's version and that of the proof, so an old one is never read by mistake:
// what lies in the cache was proved. And the digest of the list of prices, of which the image has taken what it names.

enum { PRICES_HEX = 16 };

static struct slice cache_path(struct serving *s, const struct price_list *prices, const char *dir)
{
    uint8_t built_in[PRICE_LIST_DIGEST];
    char hex[2 * PRICE_LIST_DIGEST];
    if (!prices)
        sha256_of(PRICE_LIST_SHIPPED, built_in);
    sha256_hex(prices ? prices->digest : built_in, PRICES_HEX / 2, hex);
    return arena_printf(&s->arena, "%s/%.*s-%.*s-%s-%d-%d.policy", dir, SLICE_FMT(s->digest_hex),
                        PRICES_HEX, hex, MERIT_VERSION, IMAGE_VERSION, PROOF_VERSION);
}

// Opens the decider from a cache file; false when there is none that can be believed.
static bool open_cached(struct serving *s, const char *path, const struct trunk_service *trunk,
                        struct diag_list *diags)
{
    struct stat st;
    uint64_t sizes[2];
    const struct policy_image *image;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    // Whoever writes the cache decides what is served, so it must be ours alone.
    bool ours = fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
                !(st.st_mode & (S_IWGRP | S_IWOTH)) && st.st_size > CACHE_HEADER &&
                st.st_size <= IMAGE_BYTES_MAX;
    void *at = ours ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (at == MAP_FAILED)
        return false;
    size_t bytes = (size_t)st.st_size;
    memcpy(sizes, at, sizeof sizes);
    const char *block = (const char *)at + CACHE_HEADER;
    bool whole =
        sizes[0] <= bytes && sizes[1] <= bytes && sizes[0] + sizes[1] + CACHE_HEADER == bytes;
    if (!whole || image_open(block, sizes[0], &image) ||
        memcmp(image->digest, s->digest, sizeof s->digest) != 0 ||
        decider_open_image(&s->decider, image, trunk, slice_make(block + sizes[0], sizes[1]),
                           diags)) {
        munmap(at, bytes);
        return false;
    }
    s->mapping = at;
    s->mapping_bytes = bytes;
    s->from_cache = true;
    return true;
}

// A cache that cannot be written costs the next start some milliseconds, no more: nobody is told.
static void write_cache(const struct serving *s, const char *folder, const char *path)
{
    if (file_make_folder(folder, 0700))
        return;
    struct buf out;
    buf_init(&out, IMAGE_BYTES_MAX);
    uint64_t sizes[2] = {s->image->size, 0};
    buf_append(&out, sizes, sizeof sizes);
    buf_append(&out, s->image, s->image->size);
    if (plan_save_patterns(s->decider.plan, &out) == RESULT_OK && !buf_result(&out)) {
        sizes[1] = out.len - CACHE_HEADER - sizes[0];
        memcpy(out.ptr, sizes, sizeof sizes);
        enum result ignored = file_replace(path, buf_slice(&out), 0600);
        (void)ignored;
    }
    buf_deinit(&out);
}

// --- GET /v1/models

static void model_json(struct slice id, const struct image_model *m, uint32_t context_tok,
                       uint32_t output_tok, struct buf *out)
{
    BUF_LIT(out, "{\"id\":");
    json_write_string(out, id);
    BUF_LIT(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"merit\"");
    // Agents look for the window under these names; without one some of them refuse to start.
    if (context_tok) {
        BUF_LIT(out, ",\"context_window\":");
        buf_u64(out, context_tok);
        BUF_LIT(out, ",\"max_model_len\":");
        buf_u64(out, context_tok);
        BUF_LIT(out, ",\"context_length\":");
        buf_u64(out, context_tok);
    }
    if (output_tok) {
        BUF_LIT(out, ",\"max_output_tokens\":");
        buf_u64(out, output_tok);
    }
    if (m) {
        BUF_LIT(out, ",\"capabilities\":[");
        bool first = true;
        for (unsigned bit = 0; bit < WORK_NEED_COUNT_; bit++) {
            if (!(m->can >> bit & 1))
                continue;
            if (!first)
                buf_byte(out, ',');
            first = false;
            json_write_string(out, slice_cstr(work_need_name(bit)));
        }
        buf_byte(out, ']');
    }
    buf_byte(out, '}');
}

// The largest window and output that the steps of a route's first chain offer.
static void widest_of_route(const struct policy_image *image, const struct image_route *route,
                            uint32_t *context, uint32_t *output)
{
    struct image_list steps = image_chains(image, route)->steps;
    const struct image_step *step = IMAGE_AT(image, steps, struct image_step);
    for (uint32_t i = 0; i < steps.count; i++) {
        const struct image_binding *b = IMAGE_AT(image, step[i].bindings, struct image_binding);
        for (uint32_t k = 0; k < step[i].bindings.count; k++) {
            const struct image_model *m = image_model(image, b[k].model);
            *context = m->context_tok > *context ? m->context_tok : *context;
            *output = m->output_tok > *output ? m->output_tok : *output;
        }
    }
}

static void alias_json(const struct policy_image *image, const struct image_alias *a,
                       struct buf *out)
{
    uint32_t context = 0, output = 0;
    const struct image_model *m = NULL;
    if (a->target == IMAGE_TARGET_MODEL) {
        m = image_model(image, a->index);
        context = m->context_tok;
        output = m->output_tok;
    }
    for (uint32_t i = 0; i < image->routes.count; i++) {
        const struct image_route *r = image_route(image, (int32_t)i);
        if (a->target == IMAGE_TARGET_ROUTES ||
            (a->target == IMAGE_TARGET_ROUTE && a->index == (int32_t)i))
            widest_of_route(image, r, &context, &output);
    }
    model_json(image_text(image, a->name), m, context, output, out);
}

// The encoder that POST /v1/embeddings answers with, under its name or "embed".
static bool embed_json(const struct serving *s, struct slice id, struct buf *out)
{
    const struct trunk_service *t = s->decider.trunk;
    if (!t || !t->dim[TRUNK_EMBED] ||
        !(slice_eq(id, t->name[TRUNK_EMBED]) || slice_eq(id, SLICE("embed"))))
        return false;
    BUF_LIT(out, "{\"id\":");
    json_write_string(out, id);
    buf_printf(out,
               ",\"object\":\"model\",\"created\":0,\"owned_by\":\"merit\",\"dimensions\":%u,"
               "\"capabilities\":[\"embeddings\"]}",
               t->dim[TRUNK_EMBED]);
    return true;
}

bool serving_model_json(const struct serving *s, struct slice id, struct buf *out)
{
    const struct image_alias *alias = image_find_alias(s->image, id);
    if (alias) {
        alias_json(s->image, alias, out);
        return true;
    }
    int32_t i = image_find_model(s->image, id);
    if (i == IMAGE_NONE) {
        if (!slice_eq(id, SLICE("auto")))
            return embed_json(s, id, out);
        uint32_t context = 0, output = 0;
        for (uint32_t r = 0; r < s->image->routes.count; r++)
            widest_of_route(s->image, image_route(s->image, (int32_t)r), &context, &output);
        model_json(id, NULL, context, output, out);
        return true;
    }
    const struct image_model *m = image_model(s->image, i);
    model_json(id, m, m->context_tok, m->output_tok, out);
    return true;
}

static enum result write_models(struct serving *s)
{
    struct buf out;
    buf_init(&out, MODELS_JSON_MAX);
    BUF_LIT(&out, "{\"object\":\"list\",\"data\":[");
    if (!image_find_alias(s->image, SLICE("auto"))) {
        serving_model_json(s, SLICE("auto"), &out);
        if (s->image->aliases.count + s->image->models.count)
            buf_byte(&out, ',');
    }
    const struct image_alias *a = IMAGE_AT(s->image, s->image->aliases, struct image_alias);
    for (uint32_t i = 0; i < s->image->aliases.count; i++) {
        alias_json(s->image, &a[i], &out);
        if (i + 1 < s->image->aliases.count + s->image->models.count)
            buf_byte(&out, ',');
    }
    for (uint32_t i = 0; i < s->image->models.count; i++) {
        const struct image_model *m = image_model(s->image, (int32_t)i);
        model_json(image_text(s->image, m->name), m, m->context_tok, m->output_tok, &out);
        if (i + 1 < s->image->models.count)
            buf_byte(&out, ',');
    }
    const struct trunk_service *t = s->decider.trunk;
    if (t && t->dim[TRUNK_EMBED] &&
        image_find_model(s->image, t->name[TRUNK_EMBED]) == IMAGE_NONE &&
        !image_find_alias(s->image, t->name[TRUNK_EMBED])) {
        buf_byte(&out, ',');
        embed_json(s, t->name[TRUNK_EMBED], &out);
    }
    BUF_LIT(&out, "]}");
    s->models_json = arena_copy(&s->arena, buf_slice(&out));
    enum result r = buf_result(&out)     ? buf_result(&out)
                    : s->models_json.ptr ? RESULT_OK
                                         : RESULT_NOMEM;
    buf_deinit(&out);
    return r;
}

// --- slots of the metrics

static enum result take_slots(struct serving *s, struct metrics_names *names)
{
    const struct policy_image *p = s->image;
    uint16_t *routes = ARENA_ARRAY(&s->arena, uint16_t, p->routes.count + 1);
    uint16_t *models = ARENA_ARRAY(&s->arena, uint16_t, p->models.count + 1);
    uint16_t *signals = ARENA_ARRAY(&s->arena, uint16_t, p->signals.count + 1);
    uint16_t *budgets = ARENA_ARRAY(&s->arena, uint16_t, p->constraints.count + 1);
    if (!routes || !models || !signals || !budgets)
        return RESULT_NOMEM;
    for (uint32_t i = 0; names && i < p->routes.count; i++)
        routes[i] =
            metrics_slot(names, METRICS_ROUTES, image_text(p, image_route(p, (int32_t)i)->name));
    for (uint32_t i = 0; names && i < p->models.count; i++)
        models[i] =
            metrics_slot(names, METRICS_MODELS, image_text(p, image_model(p, (int32_t)i)->name));
    for (uint32_t i = 0; names && i < p->signals.count; i++)
        signals[i] =
            metrics_slot(names, METRICS_SIGNALS, image_text(p, image_signal(p, (int32_t)i)->name));
    const struct image_constraint *c = IMAGE_AT(p, p->constraints, struct image_constraint);
    for (uint32_t i = 0; names && i < p->constraints.count; i++)
        if (c[i].kind == IMAGE_BUDGET && c[i].window != IMAGE_PER_REQUEST)
            budgets[i] = metrics_slot(names, METRICS_BUDGETS, image_text(p, c[i].name));
    s->budget_slots = budgets;
    s->route_slots = routes;
    s->model_slots = models;
    s->signal_slots = signals;
    return RESULT_OK;
}

// --- opening

static enum result open_client_tls(struct serving *s, const struct serving_options *o,
                                   struct buf *why)
{
    char diag[TLS_DIAG_BYTES] = "";
    bool wanted = false;
    for (uint32_t i = 0; i < s->pool.endpoint_count; i++)
        wanted |=
            s->pool.endpoints[i].tls || s->pool.endpoints[i].def->discovery == IMAGE_DISCOVER_FILE;
    const struct image_zone *z = IMAGE_AT(s->image, s->image->zones, struct image_zone);
    for (uint32_t i = 0; i < s->image->zones.count; i++)
        wanted |= slice_starts_with(image_text(s->image, z[i].carbon_file), SLICE("https://"));
    if (!wanted || !o->client_tls)
        return RESULT_OK;
    if (!*o->client_tls) {
        enum result r = tls_client_open(o->client_tls, o->roots, false, diag);
        if (r) {
            buf_cstr(why, diag);
            return r;
        }
    }
    s->client_tls = tls_context_ref(*o->client_tls);
    return RESULT_OK;
}

static enum result make_ready(struct serving *s, const struct serving_options *o, struct buf *why)
{
    char diag[POOL_DIAG_BYTES];
    enum result r = pool_open(&s->pool, s->image, o->demo_port, &s->arena, diag);
    if (r && diag[0])
        buf_cstr(why, diag);
    if (!r)
        r = open_client_tls(s, o, why);
    if (!r)
        r = account_rules_open(s->image, &s->arena, &s->rules);
    if (!r)
        r = take_slots(s, o->names);
    if (!r)
        r = write_models(s);
    if (!r && o->loops)
        r = affinity_open(&s->affinity, &s->pool);
    if (!r && o->loops)
        r = measured_open(&s->measured, s->image, &s->decider.costs, o->trunk, o->loops);
    for (uint32_t i = 0; i < s->image->signals.count; i++)
        s->reads_headers |= slice_eq(
            image_text(s->image, image_signal(s->image, (int32_t)i)->family), SLICE("header"));
    s->observe_model = IMAGE_NONE;
    if (!r && o->observe.len) {
        s->observe_model = image_find_model(s->image, o->observe);
        if (s->observe_model == IMAGE_NONE) {
            buf_printf(why, "observe names the model \"%.*s\", which the policy does not have",
                       SLICE_FMT(o->observe));
            r = RESULT_NOT_FOUND;
        }
    }
    return r;
}

enum result serving_open(struct serving **out, struct slice text, const struct serving_options *o,
                         struct diag_list *diags, struct buf *why)
{
    *out = NULL;
    struct serving *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    atomic_init(&s->refs, 1);
    arena_init(&s->arena, ARENA_FIRST, POLICY_ARENA_MAX);
    struct slice cached = SLICE_EMPTY;
    sha256_of(text, s->digest);
    char *hex = arena_alloc(&s->arena, 2 * sizeof s->digest);
    if (hex)
        sha256_hex(s->digest, sizeof s->digest, hex);
    s->digest_hex = slice_make(hex, 2 * sizeof s->digest);
    if (o->cache_dir && hex)
        cached = cache_path(s, o->prices, o->cache_dir);
    enum result r = hex ? RESULT_OK : RESULT_NOMEM;
    if (!r && !(cached.ptr && open_cached(s, cached.ptr, o->trunk, diags)))
        r = decider_open_priced(&s->decider, text, o->trunk, DECIDER_SERVED, o->prices, diags);
    s->image = s->decider.image;
    if (!r)
        r = make_ready(s, o, why);
    if (r) {
        serving_unref(s);
        return r;
    }
    if (cached.ptr && !(s->from_cache && plan_loaded_saved(s->decider.plan)))
        write_cache(s, o->cache_dir, cached.ptr);
    *out = s;
    return RESULT_OK;
}

void serving_ref(struct serving *s)
{
    atomic_fetch_add(&s->refs, 1);
}

void serving_unref(struct serving *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    measured_close(s->measured);
    affinity_close(s->affinity);
    pool_close(&s->pool);
    decider_close(&s->decider);
    if (s->client_tls)
        tls_context_unref(s->client_tls);
    if (s->mapping)
        munmap(s->mapping, s->mapping_bytes);
    arena_deinit(&s->arena);
    alloc_free(s);
}
