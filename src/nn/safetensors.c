#include "nn/safetensors.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "text/json.h"

enum { PREFIX = 8, ARENA_MAX = 256 * 1024 * 1024, TOKENS_MAX = 2000000, NAME_SHOWN = 80 };

static const struct json_limits limits = {8, TOKENS_MAX};

// The reader at work.
struct reader {
    struct safetensors *s;
    struct json json;
    struct slice data;
    uint64_t *offsets; // of each tensor: where it begins and ends
    char *problem;
};

static MERIT_PRINTF(3, 4) enum result wrong(char *problem, enum result r, const char *fmt, ...)
{
    va_list args;
    if (problem) {
        va_start(args, fmt);
        vsnprintf(problem, SAFETENSORS_PROBLEM_BYTES, fmt, args);
        va_end(args);
    }
    return r;
}

static struct slice shown(struct slice name)
{
    return slice_head(name, NAME_SHOWN);
}

static void read_type(const struct json *j, uint32_t token, struct safetensors_tensor *t)
{
    for (int i = 0; i < NUMBER_TYPES && !t->known; i++) {
        t->type = (enum number_type)i;
        t->known = json_string_is(j, token, slice_cstr(number_name(t->type)));
    }
}

// A rank that is too high only matters to whoever wants that tensor.
static enum result read_shape(const struct json *j, uint32_t token, struct safetensors_tensor *t)
{
    uint32_t at = 0, value;
    t->count = 1;
    while (json_element(j, token, &at, &value)) {
        uint64_t dim;
        if (json_u64(j, value, &dim) || __builtin_mul_overflow(t->count, dim, &t->count))
            return RESULT_SYNTAX;
        if (t->shape.rank < TENSOR_RANK_MAX)
            t->shape.dim[t->shape.rank] = dim;
        t->shape.rank++;
    }
    return RESULT_OK;
}

static enum result read_offsets(const struct json *j, uint32_t token, uint64_t out[2])
{
    uint32_t at = 0, value, n = 0;
    while (json_element(j, token, &at, &value)) {
        if (n == 2 || json_u64(j, value, &out[n]))
            return RESULT_SYNTAX;
        n++;
    }
    return n == 2 && out[0] <= out[1] ? RESULT_OK : RESULT_SYNTAX;
}

static enum result read_tensor(struct reader *d, uint32_t value, struct safetensors_tensor *t,
                               uint64_t offsets[2])
{
    const struct json *j = &d->json;
    struct slice name = shown(t->name);
    uint64_t bytes;
    if (json_type(j, value) != JSON_OBJECT)
        return wrong(d->problem, RESULT_SYNTAX, "tensor %.*s is no object", SLICE_FMT(name));
    uint32_t dtype = json_get(j, value, SLICE("dtype"), NULL);
    uint32_t shape = json_get(j, value, SLICE("shape"), NULL);
    uint32_t where = json_get(j, value, SLICE("data_offsets"), NULL);
    if (dtype == JSON_NONE || json_type(j, dtype) != JSON_STRING || shape == JSON_NONE ||
        json_type(j, shape) != JSON_ARRAY || where == JSON_NONE ||
        json_type(j, where) != JSON_ARRAY)
        return wrong(d->problem, RESULT_SYNTAX, "tensor %.*s lacks dtype, shape or data_offsets",
                     SLICE_FMT(name));
    read_type(j, dtype, t);
    if (read_shape(j, shape, t) || read_offsets(j, where, offsets))
        return wrong(d->problem, RESULT_SYNTAX, "tensor %.*s has an impossible shape or place",
                     SLICE_FMT(name));
    if (offsets[1] > d->data.len)
        return wrong(d->problem, RESULT_EOF, "the file ends before tensor %.*s does",
                     SLICE_FMT(name));
    if (t->known && (__builtin_mul_overflow(t->count, number_bytes(t->type), &bytes) ||
                     bytes != offsets[1] - offsets[0]))
        return wrong(d->problem, RESULT_SYNTAX, "tensor %.*s has not the bytes of its shape",
                     SLICE_FMT(name));
    t->data = slice_make(d->data.ptr + offsets[0], (size_t)(offsets[1] - offsets[0]));
    return RESULT_OK;
}

static enum result read_metadata(struct reader *d, uint32_t object)
{
    const struct json *j = &d->json;
    struct safetensors *s = d->s;
    uint32_t at = 0, key, value, n = 0;
    if (json_type(j, object) != JSON_OBJECT)
        return wrong(d->problem, RESULT_SYNTAX, "the metadata is no object");
    while (json_member(j, object, &at, &key, &value))
        n++;
    if (n > SAFETENSORS_METADATA_MAX)
        return wrong(d->problem, RESULT_LIMIT, "more than %d lines of metadata",
                     SAFETENSORS_METADATA_MAX);
    s->metadata = ARENA_ARRAY(&s->arena, struct safetensors_metadata, n);
    if (!s->metadata)
        return RESULT_NOMEM;
    for (at = 0; json_member(j, object, &at, &key, &value);) {
        if (json_type(j, value) != JSON_STRING)
            return wrong(d->problem, RESULT_SYNTAX, "a line of the metadata is no text");
        struct safetensors_metadata *m = &s->metadata[s->metadata_count++];
        m->key = json_string(j, key, &s->arena);
        m->text = json_string(j, value, &s->arena);
        if ((!m->key.ptr && json_raw(j, key).len) || (!m->text.ptr && json_raw(j, value).len))
            return RESULT_NOMEM;
    }
    return RESULT_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    return slice_cmp(x->name, y->name);
}

static int by_offset(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    if (x[0] != y[0])
        return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

static enum result check_order(struct reader *d)
{
    struct safetensors *s = d->s;
    uint64_t end = 0;
    qsort(d->offsets, s->count, 2 * sizeof *d->offsets, by_offset);
    for (uint32_t i = 0; i < s->count; i++) {
        if (d->offsets[2 * i] != end)
            return wrong(d->problem, RESULT_SYNTAX, "tensors overlap or leave a hole at %llu",
                         (unsigned long long)end);
        end = d->offsets[2 * i + 1];
    }
    if (end != d->data.len)
        return wrong(d->problem, RESULT_SYNTAX, "%llu bytes lie behind the last tensor",
                     (unsigned long long)(d->data.len - end));
    qsort(s->tensors, s->count, sizeof *s->tensors, by_name);
    for (uint32_t i = 1; i < s->count; i++) {
        if (slice_eq(s->tensors[i - 1].name, s->tensors[i].name))
            return wrong(d->problem, RESULT_DUPLICATE, "tensor %.*s stands twice",
                         SLICE_FMT(shown(s->tensors[i].name)));
    }
    return RESULT_OK;
}

static enum result read_header(struct reader *d)
{
    const struct json *j = &d->json;
    struct safetensors *s = d->s;
    uint32_t at = 0, key, value, n = 0;
    bool described = false;
    if (json_type(j, 0) != JSON_OBJECT)
        return wrong(d->problem, RESULT_SYNTAX, "the header is no object");
    while (json_member(j, 0, &at, &key, &value))
        n++;
    if (n > SAFETENSORS_TENSORS_MAX)
        return wrong(d->problem, RESULT_LIMIT, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    s->tensors = ARENA_ARRAY(&s->arena, struct safetensors_tensor, n);
    d->offsets = ARENA_ARRAY(&s->arena, uint64_t, 2 * (size_t)n);
    if (!s->tensors || !d->offsets)
        return RESULT_NOMEM;
    for (at = 0; json_member(j, 0, &at, &key, &value);) {
        enum result r;
        if (json_string_is(j, key, SLICE("__metadata__"))) {
            if (described)
                return wrong(d->problem, RESULT_DUPLICATE, "the metadata stands twice");
            described = true;
            r = read_metadata(d, value);
        } else {
            struct safetensors_tensor *t = &s->tensors[s->count];
            t->name = json_string(j, key, &s->arena);
            if (!t->name.ptr)
                return RESULT_NOMEM;
            r = read_tensor(d, value, t, &d->offsets[2 * (size_t)s->count]);
            s->count++;
        }
        if (r)
            return r;
    }
    return check_order(d);
}

enum result safetensors_open(struct safetensors *s, struct slice file,
                             char problem[SAFETENSORS_PROBLEM_BYTES])
{
    struct reader d = {.s = s, .problem = problem};
    uint64_t n;
    enum result r;
    *s = (struct safetensors){0};
    arena_init(&s->arena, 0, ARENA_MAX);
    if (problem)
        problem[0] = '\0';
    if (file.len < PREFIX) {
        r = wrong(problem, RESULT_EOF, "the file has no header");
        goto out;
    }
    memcpy(&n, file.ptr, sizeof n);
    if (n > SAFETENSORS_HEADER_MAX) {
        r = wrong(problem, RESULT_LIMIT, "a header of %llu bytes; the limit is %d",
                  (unsigned long long)n, SAFETENSORS_HEADER_MAX);
        goto out;
    }
    if (n > file.len - PREFIX) {
        r = wrong(problem, RESULT_EOF, "the file ends inside its header");
        goto out;
    }
    d.data = slice_from(file, PREFIX + (size_t)n);
    r = json_parse(&d.json, slice_make(file.ptr + PREFIX, (size_t)n), &limits, &s->arena);
    if (r)
        wrong(problem, r, "the header is not JSON that can be read: %s at byte %u", result_name(r),
              d.json.error_at);
    else
        r = read_header(&d);
out:
    if (r)
        safetensors_close(s);
    return r;
}

void safetensors_close(struct safetensors *s)
{
    arena_deinit(&s->arena);
    *s = (struct safetensors){0};
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, struct slice name)
{
    struct safetensors_tensor key = {.name = name};
    return s->count ? bsearch(&key, s->tensors, s->count, sizeof key, by_name) : NULL;
}

struct slice safetensors_text(const struct safetensors *s, const char *key)
{
    for (uint32_t i = 0; i < s->metadata_count; i++) {
        if (slice_eq_cstr(s->metadata[i].key, key))
            return s->metadata[i].text.ptr ? s->metadata[i].text : SLICE("");
    }
    return SLICE_EMPTY;
}

enum result safetensors_shape(const struct safetensors *s, struct slice name,
                              struct tensor_shape *out)
{
    const struct safetensors_tensor *t = safetensors_find(s, name);
    if (!t)
        return RESULT_NOT_FOUND;
    if (t->shape.rank > TENSOR_RANK_MAX)
        return RESULT_LIMIT;
    *out = t->shape;
    return RESULT_OK;
}

enum result safetensors_read(const struct safetensors *s, struct slice name, uint64_t first,
                             uint64_t rows, float *out)
{
    const struct safetensors_tensor *t = safetensors_find(s, name);
    if (!t)
        return RESULT_NOT_FOUND;
    uint64_t all = t->shape.rank ? t->shape.dim[0] : 1;
    if (first > all || rows > all - first)
        return RESULT_RANGE;
    if (!t->known)
        return RESULT_TYPE;
    if (!rows || !t->count)
        return RESULT_OK;
    uint64_t row = t->count / all;
    return number_read(t->type, t->data.ptr + first * row * number_bytes(t->type), 1, rows * row,
                       out);
}

static enum result source_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    return safetensors_shape(ctx, name, out);
}

static enum result source_read(void *ctx, struct slice name, uint64_t first, uint64_t rows,
                               float *out)
{
    return safetensors_read(ctx, name, first, rows, out);
}

struct tensor_source safetensors_source(struct safetensors *s)
{
    return (struct tensor_source){s, source_shape, source_read};
}

// --- Writing

static uint64_t bytes_of(const struct safetensors_entry *e)
{
    uint64_t n = number_bytes(e->type);
    assert(e->shape.rank <= TENSOR_RANK_MAX);
    for (uint32_t i = 0; i < e->shape.rank; i++)
        n *= e->shape.dim[i];
    return n;
}

// Wide types first, so that every tensor lies at a multiple of its own size.
static int by_width(const void *a, const void *b)
{
    const struct safetensors_entry *x = *(const struct safetensors_entry *const *)a,
                                   *y = *(const struct safetensors_entry *const *)b;
    uint32_t p = number_bytes(x->type), q = number_bytes(y->type);
    return p != q ? (p > q ? -1 : 1) : slice_cmp(x->name, y->name);
}

static enum result check_names(const struct safetensors_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!entries[i].name.len || slice_eq_cstr(entries[i].name, "__metadata__"))
            return RESULT_SYNTAX;
        for (uint32_t k = 0; k < i; k++) {
            if (slice_eq(entries[i].name, entries[k].name))
                return RESULT_DUPLICATE;
        }
    }
    return RESULT_OK;
}

static void write_metadata(struct buf *out, const struct safetensors_metadata *m, uint32_t count)
{
    BUF_LIT(out, "\"__metadata__\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_byte(out, ',');
        json_write_string(out, m[i].key);
        buf_byte(out, ':');
        json_write_string(out, m[i].text);
    }
    buf_byte(out, '}');
}

static void write_entry(struct buf *out, const struct safetensors_entry *e, uint64_t at)
{
    json_write_string(out, e->name);
    buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", number_name(e->type));
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (i)
            buf_byte(out, ',');
        buf_u64(out, e->shape.dim[i]);
    }
    buf_printf(out, "],\"data_offsets\":[");
    buf_u64(out, at);
    buf_byte(out, ',');
    buf_u64(out, at + bytes_of(e));
    buf_printf(out, "]}");
}

enum result safetensors_write(struct buf *out, const struct safetensors_entry *entries,
                              uint32_t count, const struct safetensors_metadata *metadata,
                              uint32_t metadata_count)
{
    enum result r = check_names(entries, count);
    if (r)
        return r;
    const struct safetensors_entry **order = alloc_zeroed(count, sizeof *order);
    if (!order)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        order[i] = &entries[i];
    qsort(order, count, sizeof *order, by_width);
    size_t begin = out->len;
    uint64_t at = 0, header = 0;
    buf_append(out, &header, sizeof header);
    buf_byte(out, '{');
    if (metadata_count)
        write_metadata(out, metadata, metadata_count);
    for (uint32_t i = 0; i < count; i++) {
        if (i || metadata_count)
            buf_byte(out, ',');
        write_entry(out, order[i], at);
        at += bytes_of(order[i]);
    }
    buf_byte(out, '}');
    while (!buf_result(out) && (out->len - begin) % PREFIX)
        buf_byte(out, ' ');
    if (!buf_result(out)) {
        header = out->len - begin - PREFIX;
        memcpy(out->ptr + begin, &header, sizeof header);
    }
    for (uint32_t i = 0; i < count; i++)
        buf_append(out, order[i]->data, (size_t)bytes_of(order[i]));
    alloc_free(order);
    return buf_result(out);
}
