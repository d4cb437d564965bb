// libmerit: include/merit/merit.h over the layers that decide.
#include <merit/merit.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/decider.h"
#include "api/openai_request.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "policy/policy.h"
#include "route/record.h"

enum {
    DECISION_ARENA_MAX = 512 * 1024 * 1024,
    DECISION_ARENA_FIRST = 16 * 1024,
    SPARE_MAX = 64, // scratches kept for the next calls
    RECORD_MAX = 64 * 1024 * 1024,
    DIAG_MAX = 1024 * 1024,
};

struct merit_policy {
    struct decider decider;
    char digest[2 * IMAGE_DIGEST_BYTES + 1];
    const char **models;  // names, one per model
    pthread_mutex_t lock; // of the spares only; never held while deciding
    struct plan_scratch *spare[SPARE_MAX];
    uint32_t spare_count;
};

struct merit_decision {
    struct arena arena;
    struct work work;
    struct openai_request request;
    const struct decision *decision; // NULL when the request could not be read
    const char *route, *model, *upstream, *message, *error, *json;
};

const char *merit_version(void)
{
    return MERIT_VERSION;
}

static merit_status status_of(enum result r)
{
    switch (r) {
    case RESULT_OK:
        return MERIT_OK;
    case RESULT_NOMEM:
        return MERIT_NO_MEMORY;
    case RESULT_LIMIT:
        return MERIT_LIMIT;
    case RESULT_NOT_FOUND:
    case RESULT_IO:
        return MERIT_NOT_FOUND;
    default:
        return MERIT_BAD_POLICY;
    }
}

static void tell(char *error, size_t size, struct slice text)
{
    if (!error || !size)
        return;
    text = slice_head(text, size - 1);
    if (text.len)
        memcpy(error, text.ptr, text.len);
    error[text.len] = '\0';
}

// A struct of the caller's: as much of it as it has, the rest zero. False when it is shorter than its first version or
// longer than this library knows with anything set there.
static bool take_struct(void *to, size_t known, const void *from, size_t least)
{
    size_t size;
    memset(to, 0, known);
    if (!from)
        return true;
    memcpy(&size, from, sizeof size);
    if (size < least)
        return false;
    for (size_t i = known; i < size; i++)
        if (((const char *)from)[i])
            return false;
    memcpy(to, from, size < known ? size : known);
    return true;
}

static enum result keep_names(merit_policy *p)
{
    const struct policy_image *image = p->decider.image;
    p->models = ARENA_ARRAY(&p->decider.arena, const char *, image->models.count + 1);
    for (uint32_t i = 0; p->models && i < image->models.count; i++) {
        p->models[i] =
            arena_cstr(&p->decider.arena, image_text(image, image_model(image, (int32_t)i)->name));
        if (!p->models[i])
            return RESULT_NOMEM;
    }
    return p->models ? RESULT_OK : RESULT_NOMEM;
}

merit_status merit_policy_open(const char *text, size_t length, const merit_policy_options *options,
                               merit_policy **policy, char *error, size_t error_size)
{
    merit_policy_options o;
    *policy = NULL;
    tell(error, error_size, SLICE_EMPTY);
    if (!take_struct(&o, sizeof o, options, sizeof o)) {
        tell(error, error_size, SLICE("merit_policy_options: unknown size"));
        return MERIT_BAD_VERSION;
    }
    struct arena arena;
    struct diag_list diags;
    struct buf out;
    buf_init(&out, DIAG_MAX);
    arena_init(&arena, 0, DIAG_MAX);
    diag_init(&diags, &arena, POLICY_DIAGS_MAX);
    enum result r = RESULT_NOMEM;
    merit_policy *p = alloc_zeroed(1, sizeof *p);
    if (!p)
        goto out;
    struct slice source = slice_make(text, length);
    r = decider_open(&p->decider, source, NULL, DECIDER_PROVED, &diags);
    if (r == RESULT_SYNTAX && diags.errors) {
        diag_render(&diags, source, slice_cstr(o.name ? o.name : "policy"), false, &out);
        tell(error, error_size, buf_slice(&out));
    }
    if (r)
        goto out;
    r = keep_names(p);
    if (r) {
        decider_close(&p->decider);
        goto out;
    }
    sha256_hex(p->decider.image->digest, IMAGE_DIGEST_BYTES, p->digest);
    p->digest[2 * IMAGE_DIGEST_BYTES] = '\0';
    pthread_mutex_init(&p->lock, NULL);
    *policy = p;
out:
    if (r && error && error_size && !error[0])
        tell(error, error_size, slice_cstr(result_name(r)));
    if (r)
        alloc_free(p);
    arena_deinit(&arena);
    buf_deinit(&out);
    return status_of(r);
}

merit_status merit_policy_open_file(const char *path, const merit_policy_options *options,
                                    merit_policy **policy, char *error, size_t error_size)
{
    struct buf text;
    *policy = NULL;
    buf_init(&text, POLICY_BYTES_MAX + 1);
    enum result r = file_read(path, &text);
    merit_status status = status_of(r);
    if (r) {
        char why[256], room[FILE_ERROR_BYTES];
        snprintf(why, sizeof why, "cannot read %s: %s", path, file_problem(r, room));
        tell(error, error_size, slice_cstr(why));
    } else {
        merit_policy_options o;
        status = MERIT_BAD_VERSION;
        if (take_struct(&o, sizeof o, options, sizeof o)) {
            o.size = sizeof o;
            o.name = o.name ? o.name : path;
            status = merit_policy_open(text.ptr, text.len, &o, policy, error, error_size);
        } else {
            tell(error, error_size, SLICE("merit_policy_options: unknown size"));
        }
    }
    buf_deinit(&text);
    return status;
}

void merit_policy_free(merit_policy *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->spare_count; i++)
        plan_scratch_close(p->spare[i]);
    decider_close(&p->decider);
    pthread_mutex_destroy(&p->lock);
    alloc_free(p);
}

const char *merit_policy_digest(const merit_policy *p)
{
    return p->digest;
}

size_t merit_policy_model_count(const merit_policy *p)
{
    return p->decider.image->models.count;
}

const char *merit_policy_model_name(const merit_policy *p, size_t index)
{
    if (index >= p->decider.image->models.count)
        return NULL;
    return p->models[index];
}

// The policy is immutable to its callers; the spares are memory that calls hand on to each other.
static struct plan_scratch *scratch_take(merit_policy *p)
{
    struct plan_scratch *s = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->spare_count)
        s = p->spare[--p->spare_count];
    pthread_mutex_unlock(&p->lock);
    if (!s && plan_scratch_open(p->decider.plan, &s))
        return NULL;
    return s;
}

static void scratch_give(merit_policy *p, struct plan_scratch *s)
{
    pthread_mutex_lock(&p->lock);
    bool kept = p->spare_count < SPARE_MAX;
    if (kept)
        p->spare[p->spare_count++] = s;
    pthread_mutex_unlock(&p->lock);
    if (!kept)
        plan_scratch_close(s);
}

static struct slice lower(struct arena *a, const char *name)
{
    struct slice s = arena_copy(a, slice_cstr(name));
    char *c = (char *)(uintptr_t)s.ptr;
    for (size_t i = 0; c && i < s.len; i++)
        if (c[i] >= 'A' && c[i] <= 'Z')
            c[i] = (char)(c[i] + 'a' - 'A');
    return s;
}

static enum result take_caller(merit_decision *d, const merit_decide_options *o)
{
    struct work *w = &d->work;
    struct arena *a = &d->arena;
    if (o->header_count > WORK_HEADERS_MAX || o->group_count > WORK_GROUPS_MAX)
        return RESULT_LIMIT;
    struct work_pair *pairs = ARENA_ARRAY(a, struct work_pair, o->header_count + 1);
    if (!pairs)
        return RESULT_NOMEM;
    for (size_t i = 0; i < o->header_count; i++) {
        pairs[i].name = lower(a, o->headers[i].name);
        pairs[i].value = arena_copy(a, slice_cstr(o->headers[i].value));
        if (!pairs[i].name.ptr || !pairs[i].value.ptr)
            return RESULT_NOMEM;
    }
    w->headers = pairs;
    w->header_count = (uint32_t)o->header_count;
    w->caller.known = o->caller || o->group_count;
    w->caller.id = arena_copy(a, slice_cstr(o->caller));
    if (!w->caller.id.ptr)
        return RESULT_NOMEM;
    for (size_t i = 0; i < o->group_count; i++) {
        struct slice g = arena_copy(a, slice_cstr(o->groups[i]));
        if (!g.ptr)
            return RESULT_NOMEM;
        w->caller.groups[w->caller.group_count++] = g;
    }
    return RESULT_OK;
}

// Strings that C can read; names of the image are not NUL-terminated.
static bool keep_strings(merit_decision *out, const struct decision *d)
{
    struct arena *a = &out->arena;
    const struct policy_image *p = d->image;
    bool ok = true;
    if (d->route >= 0)
        ok = ok && (out->route = arena_cstr(a, image_text(p, image_route(p, d->route)->name)));
    if (d->model >= 0) {
        const struct image_model *m = image_model(p, d->model);
        ok = ok && (out->model = arena_cstr(a, image_text(p, m->name))) &&
             (out->upstream = arena_cstr(a, image_text(p, m->upstream_name)));
    }
    if (d->end == DECISION_REFUSE)
        ok = ok && (out->message = arena_cstr(a, d->message));
    return ok;
}

static enum result keep_record(merit_decision *out, const struct decision *d)
{
    struct buf json;
    buf_init(&json, RECORD_MAX);
    record_json(d, NULL, &json);
    enum result r = buf_result(&json);
    if (!r && !(out->json = arena_cstr(&out->arena, buf_slice(&json))))
        r = RESULT_NOMEM;
    buf_deinit(&json);
    return r;
}

static enum result decide(const merit_policy *policy, merit_decision *out,
                          const merit_decide_options *o)
{
    // A const policy is promised to callers; its spares are behind the lock.
    merit_policy *p = (merit_policy *)(uintptr_t)policy;
    struct plan_scratch *scratch = scratch_take(p);
    if (!scratch)
        return RESULT_NOMEM;
    struct decision *d;
    struct pool_view pool = {
        .epoch = 0, .states = o->model_states, .count = (uint32_t)o->model_state_count};
    struct route_options options = {.model = arena_copy(&out->arena, slice_cstr(o->model))};
    enum result r = options.model.ptr ? decider_run(&p->decider, scratch, &out->work, &pool,
                                                    &options, NULL, &out->arena, &d)
                                      : RESULT_NOMEM;
    scratch_give(p, scratch);
    if (r)
        return r;
    uint64_t random = 0;
    d->wall_us = clock_wall_us(&clock_system);
    if (rng_secret(&random, sizeof random))
        random = d->wall_us;
    record_id(d->wall_us, random, d->id);
    out->decision = d;
    return keep_strings(out, d) ? keep_record(out, d) : RESULT_NOMEM;
}

merit_status merit_decide(const merit_policy *policy, const char *json, size_t length,
                          const merit_decide_options *options, merit_decision **decision)
{
    merit_decide_options o;
    *decision = NULL;
    if (!take_struct(&o, sizeof o, options, sizeof o))
        return MERIT_BAD_VERSION;
    merit_decision *d = alloc_zeroed(1, sizeof *d);
    if (!d)
        return MERIT_NO_MEMORY;
    struct openai_fault fault;
    arena_init(&d->arena, DECISION_ARENA_FIRST, DECISION_ARENA_MAX);
    struct slice body = arena_copy(&d->arena, slice_make(json, length));
    enum result r = body.ptr ? take_caller(d, &o) : RESULT_NOMEM;
    if (r == RESULT_LIMIT) {
        d->error = "too many headers or groups";
        *decision = d;
        return MERIT_LIMIT;
    }
    bool read = false;
    if (!r) {
        r = openai_request_parse(body, &d->arena, &d->work, &d->request, &fault);
        read = !r;
    }
    if (r && r != RESULT_NOMEM && !read) {
        d->error = arena_cstr(&d->arena, fault.message);
        if (d->error) {
            *decision = d;
            return MERIT_BAD_REQUEST;
        }
        r = RESULT_NOMEM;
    }
    if (!r)
        r = decide(policy, d, &o);
    if (r) {
        merit_decision_free(d);
        return status_of(r);
    }
    *decision = d;
    return MERIT_OK;
}

void merit_decision_free(merit_decision *d)
{
    if (!d)
        return;
    arena_deinit(&d->arena);
    alloc_free(d);
}

merit_end merit_decision_end(const merit_decision *d)
{
    static const merit_end ends[] = {MERIT_END_ANSWER, MERIT_END_REFUSE, MERIT_END_INFEASIBLE,
                                     MERIT_END_NO_MODEL};
    return d->decision ? ends[d->decision->end] : MERIT_END_NO_MODEL;
}

const char *merit_decision_route(const merit_decision *d)
{
    return d->route;
}

const char *merit_decision_model(const merit_decision *d)
{
    return d->model;
}

const char *merit_decision_upstream_name(const merit_decision *d)
{
    return d->upstream;
}

const char *merit_decision_effort(const merit_decision *d)
{
    return image_effort_name(d->decision ? d->decision->effort : IMAGE_EFFORT_DEFAULT);
}

const char *merit_decision_message(const merit_decision *d)
{
    return d->message;
}

const char *merit_decision_error(const merit_decision *d)
{
    return d->error;
}

int64_t merit_decision_cost_nusd(const merit_decision *d)
{
    return d->decision ? d->decision->cost_nusd : -1;
}

const char *merit_decision_json(const merit_decision *d)
{
    return d->json ? d->json : "{}";
}
