#include "eval/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "nn/ngram.h"
#include "text/json.h"
#include "text/utf8.h"

enum {
    CHUNK = 1 << 16,
    HASHES = 64,
    BANDS = 16,
    BAND = HASHES / BANDS,
    ALIKE = 45,
    ARENA_MAX = INT32_MAX
};

void dataset_init(struct dataset *d)
{
    *d = (struct dataset){0};
    d->rows.cap = DATASET_ROWS_MAX;
    arena_init(&d->arena, 1 << 16, (size_t)ARENA_MAX);
}

void dataset_deinit(struct dataset *d)
{
    VEC_DEINIT(&d->rows);
    arena_deinit(&d->arena);
}

// A file being read.
struct reader {
    struct dataset *d;
    const struct dataset_options *o;
    struct map labels;
    const char *path;
    uint32_t line;
    char *problem;
};

static enum result wrong(struct reader *r, enum result result, const char *what, const char *name)
{
    snprintf(r->problem, DATASET_PROBLEM_BYTES, "%.120s:%u: %s%s%s%s", r->path, r->line, what,
             name ? " \"" : "", name ? name : "", name ? "\"" : "");
    return result;
}

static enum result label_of(struct reader *r, struct slice name, uint32_t *out)
{
    struct dataset *d = r->d;
    uintptr_t known = (uintptr_t)map_get(&r->labels, name);
    if (known) {
        *out = (uint32_t)known - 1;
        return RESULT_OK;
    }
    if (r->o->fixed) {
        *out = DATASET_NO_LABEL;
        return RESULT_OK;
    }
    if (!name.len || name.len > 128)
        return wrong(r, RESULT_LIMIT, "a label is empty or longer than 128 bytes", NULL);
    if (d->label_count == DATASET_LABELS_MAX)
        return wrong(r, RESULT_LIMIT, "more than 1024 labels", NULL);
    struct slice copy = arena_copy(&d->arena, name);
    if (!copy.ptr)
        return RESULT_NOMEM;
    d->labels[d->label_count++] = copy;
    *out = d->label_count - 1;
    return map_put(&r->labels, copy, (void *)(uintptr_t)d->label_count);
}

// Bytes of the text at each character that a span names.
static bool to_bytes(struct slice text, uint64_t from, uint64_t to, struct dataset_span *span)
{
    size_t at = 0;
    for (uint64_t i = 0; i < to; i++) {
        if (i == from)
            span->begin = (uint32_t)at;
        if (at >= text.len)
            return false;
        utf8_next(text, &at);
    }
    span->end = (uint32_t)at;
    return from < to;
}

static enum result read_spans(struct reader *r, const struct json *j, uint32_t node,
                              struct dataset_row *row)
{
    uint32_t at = 0, value, count = 0;
    if (node == JSON_NONE || json_type(j, node) != JSON_ARRAY)
        return wrong(r, RESULT_SYNTAX, "there is no list", "spans");
    while (json_element(j, node, &at, &value))
        count++;
    struct dataset_span *spans = ARENA_ARRAY(&r->d->arena, struct dataset_span, count + 1);
    if (!spans)
        return RESULT_NOMEM;
    at = 0;
    for (uint32_t i = 0; json_element(j, node, &at, &value); i++) {
        uint64_t from, to;
        uint32_t type = json_get(j, value, SLICE("type"), NULL);
        if (json_u64(j, json_get(j, value, SLICE("start"), NULL), &from) ||
            json_u64(j, json_get(j, value, SLICE("end"), NULL), &to) || type == JSON_NONE ||
            json_type(j, type) != JSON_STRING || !to_bytes(row->text, from, to, &spans[i]))
            return wrong(r, RESULT_SYNTAX, "a span needs type, start and end inside the text",
                         NULL);
        spans[i].type = arena_copy(&r->d->arena, json_string(j, type, &r->d->arena));
        if (!spans[i].type.ptr)
            return RESULT_NOMEM;
    }
    row->spans = spans;
    row->span_count = count;
    return RESULT_OK;
}

static enum result read_line(struct reader *r, struct slice line, struct arena *scratch)
{
    struct json j;
    struct dataset_row row = {.label = DATASET_NO_LABEL, .file = r->d->file_count};
    if (!slice_trim(line).len)
        return RESULT_OK;
    enum result result = json_parse(&j, line, &json_limits_default, scratch);
    if (result == RESULT_NOMEM)
        return result;
    if (result || json_type(&j, 0) != JSON_OBJECT)
        return wrong(r, RESULT_SYNTAX, "no JSON object", NULL);
    uint32_t text = json_get(&j, 0, slice_cstr(r->o->text_key), NULL);
    if (text == JSON_NONE || json_type(&j, text) != JSON_STRING)
        return wrong(r, RESULT_SYNTAX, "there is no string", r->o->text_key);
    row.text = arena_copy(&r->d->arena, json_string(&j, text, scratch));
    if (!row.text.ptr)
        return RESULT_NOMEM;
    if (r->o->spans) {
        result = read_spans(r, &j, json_get(&j, 0, SLICE("spans"), NULL), &row);
    } else {
        uint32_t label = json_get(&j, 0, slice_cstr(r->o->label_key), NULL);
        if (label == JSON_NONE || json_type(&j, label) <= JSON_ARRAY ||
            json_type(&j, label) == JSON_NULL)
            return wrong(r, RESULT_SYNTAX, "there is no label", r->o->label_key);
        struct slice name = json_type(&j, label) == JSON_STRING ? json_string(&j, label, scratch)
                                                                : json_raw(&j, label);
        result = name.ptr ? label_of(r, name, &row.label) : RESULT_NOMEM;
    }
    uint32_t family = json_get(&j, 0, SLICE("family"), NULL);
    if (!result && family != JSON_NONE && json_type(&j, family) == JSON_STRING) {
        row.family = arena_copy(&r->d->arena, json_string(&j, family, scratch));
        result = row.family.ptr ? RESULT_OK : RESULT_NOMEM;
    }
    if (result || VEC_PUSH(&r->d->rows, row))
        return result;
    return r->d->rows.len < DATASET_ROWS_MAX
               ? RESULT_NOMEM
               : wrong(r, RESULT_LIMIT, "more than 4,000,000 rows", NULL);
}

static enum result read_lines(struct reader *r, gzFile file, struct buf *line,
                              struct arena *scratch)
{
    char *chunk = alloc_bytes(CHUNK);
    enum result result = chunk ? RESULT_OK : RESULT_NOMEM;
    int got = 0;
    while (!result && (got = gzread(file, chunk, CHUNK)) > 0) {
        struct slice rest = slice_make(chunk, (size_t)got);
        const char *end;
        while (!result && rest.len && (end = memchr(rest.ptr, '\n', rest.len))) {
            r->line++;
            buf_append(line, rest.ptr, (size_t)(end - rest.ptr));
            result = buf_result(line) ? wrong(r, buf_result(line), "longer than 32 MiB", NULL)
                                      : read_line(r, buf_slice(line), scratch);
            buf_reset(line);
            arena_reset(scratch);
            rest = slice_from(rest, (size_t)(end - rest.ptr) + 1);
        }
        buf_add(line, rest);
    }
    if (!result && got < 0)
        result = wrong(r, RESULT_IO, "cannot be read, or its gzip data are damaged", NULL);
    if (!result && line->len) {
        r->line++;
        result = read_line(r, buf_slice(line), scratch);
    }
    alloc_free(chunk);
    return result;
}

enum result dataset_read(struct dataset *d, const char *path, const struct dataset_options *o,
                         char problem[DATASET_PROBLEM_BYTES])
{
    struct reader r = {.d = d, .o = o, .path = path, .problem = problem};
    problem[0] = 0;
    gzFile file = gzopen(path, "rb");
    if (!file) {
        snprintf(problem, DATASET_PROBLEM_BYTES, "%.120s: cannot be opened", path);
        return RESULT_NOT_FOUND;
    }
    struct buf line;
    struct arena scratch;
    buf_init(&line, DATASET_LINE_MAX);
    arena_init(&scratch, 1 << 16, (size_t)DATASET_LINE_MAX * 8);
    map_init(&r.labels, (struct hash_key){0, 0}, DATASET_LABELS_MAX + 1);
    enum result result = RESULT_OK;
    for (uint32_t i = 0; !result && i < d->label_count; i++)
        result = map_put(&r.labels, d->labels[i], (void *)(uintptr_t)(i + 1));
    if (!result)
        result = read_lines(&r, file, &line, &scratch);
    if (result && !problem[0])
        snprintf(problem, DATASET_PROBLEM_BYTES, "%.120s: %s", path, result_name(result));
    map_deinit(&r.labels);
    arena_deinit(&scratch);
    buf_deinit(&line);
    gzclose(file);
    d->file_count++;
    return result;
}

// --- Near-duplicates

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void sign(const struct dataset *d, struct ngram_scratch *s, uint32_t (*signs)[HASHES])
{
    static const struct ngram_spec spec = {5, 5, 1, 20, NGRAM_FOLD | NGRAM_DIGITS, 4096};
    for (size_t i = 0; i < d->rows.len; i++) {
        const uint32_t *buckets;
        uint32_t count = ngram_features(&spec, s, d->rows.at[i].text, &buckets);
        memset(signs[i], 0xff, sizeof signs[i]);
        for (uint32_t k = 0; k < count; k++) {
            uint64_t h = mix(buckets[k] + 1), odd = h >> 32 | 1;
            for (uint32_t n = 0; n < HASHES; n++, h += odd * UINT64_C(0x9e3779b97f4a7c15)) {
                uint32_t v = (uint32_t)(h >> 32);
                if (v < signs[i][n])
                    signs[i][n] = v;
            }
        }
    }
}

static uint32_t root(struct dataset *d, uint32_t row)
{
    while (d->rows.at[row].group != row) {
        d->rows.at[row].group = d->rows.at[d->rows.at[row].group].group;
        row = d->rows.at[row].group;
    }
    return row;
}

static void join(struct dataset *d, uint32_t (*signs)[HASHES], uint32_t a, uint32_t b)
{
    uint32_t same = 0;
    for (uint32_t n = 0; n < HASHES; n++)
        same += signs[a][n] == signs[b][n];
    if (same < ALIKE)
        return;
    a = root(d, a);
    b = root(d, b);
    if (a < b)
        d->rows.at[b].group = a;
    else
        d->rows.at[a].group = b;
}

struct key {
    uint64_t hash;
    uint32_t row;
};

static int by_hash(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static enum result find_groups(struct dataset *d)
{
    uint32_t rows = (uint32_t)d->rows.len;
    struct ngram_scratch *s = NULL;
    uint32_t(*signs)[HASHES] = alloc_zeroed(rows + 1, sizeof *signs);
    struct key *keys = alloc_zeroed(rows + 1, sizeof *keys);
    enum result r = ngram_scratch_open(20, 4096, &s);
    if (r || !signs || !keys) {
        r = RESULT_NOMEM;
        goto out;
    }
    sign(d, s, signs);
    for (uint32_t i = 0; i < rows; i++)
        d->rows.at[i].group = i;
    for (uint32_t band = 0; band < BANDS; band++) {
        for (uint32_t i = 0; i < rows; i++) {
            uint64_t h = 0;
            for (uint32_t n = 0; n < BAND; n++)
                h = mix(h ^ signs[i][band * BAND + n]) + n;
            keys[i] = (struct key){h, i};
        }
        qsort(keys, rows, sizeof *keys, by_hash);
        for (uint32_t i = 1, first = 0; i < rows; i++) {
            if (keys[i].hash != keys[first].hash) {
                first = i;
                continue;
            }
            join(d, signs, keys[first].row, keys[i].row);
            join(d, signs, keys[i - 1].row, keys[i].row);
        }
    }
    for (uint32_t i = 0; i < rows; i++)
        d->rows.at[i].group = root(d, i);
out:
    ngram_scratch_close(s);
    alloc_free(signs);
    alloc_free(keys);
    return r;
}

// --- Order of the labels, folds, digest

static bool is_number(struct slice s, uint64_t *v)
{
    return slice_u64(s, v);
}

static int by_name(const void *a, const void *b)
{
    struct slice x = *(const struct slice *)a, y = *(const struct slice *)b;
    uint64_t n, m;
    if (is_number(x, &n) && is_number(y, &m) && n != m)
        return n < m ? -1 : 1;
    return slice_cmp(x, y);
}

static void sort_labels(struct dataset *d)
{
    struct slice before[DATASET_LABELS_MAX];
    uint32_t to[DATASET_LABELS_MAX];
    memcpy(before, d->labels, sizeof before);
    qsort(d->labels, d->label_count, sizeof d->labels[0], by_name);
    for (uint32_t i = 0; i < d->label_count; i++)
        for (uint32_t k = 0; k < d->label_count; k++)
            if (before[i].ptr == d->labels[k].ptr)
                to[i] = k;
    for (size_t i = 0; i < d->rows.len; i++)
        if (d->rows.at[i].label != DATASET_NO_LABEL)
            d->rows.at[i].label = to[d->rows.at[i].label];
}

// Groups in a seeded order; each goes to the fold that has the fewest rows of its label, then the fewest rows.
static enum result deal(struct dataset *d, uint32_t folds, uint64_t seed)
{
    uint32_t rows = (uint32_t)d->rows.len, labels = d->label_count + 1;
    struct rng rng;
    uint32_t *order = alloc_zeroed(rows + 1, sizeof *order);
    uint32_t *size = alloc_zeroed(rows + 1, sizeof *size);
    uint64_t *have = alloc_zeroed((size_t)folds * labels, sizeof *have);
    uint64_t *total = alloc_zeroed(folds, sizeof *total);
    enum result r = order && size && have && total ? RESULT_OK : RESULT_NOMEM;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; !r && i < rows; i++) {
        order[i] = i;
        size[d->rows.at[i].group]++;
    }
    for (uint32_t i = rows; !r && i > 1; i--) {
        uint32_t other = (uint32_t)rng_below(&rng, i), swap = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swap;
    }
    for (uint32_t i = 0; !r && i < rows; i++) {
        struct dataset_row *row = &d->rows.at[order[i]];
        if (row->group != order[i])
            continue;
        uint32_t label = row->label == DATASET_NO_LABEL ? labels - 1 : row->label, best = 0;
        for (uint32_t f = 1; f < folds; f++) {
            uint64_t a = have[(size_t)f * labels + label], b = have[(size_t)best * labels + label];
            if (a < b || (a == b && total[f] < total[best]))
                best = f;
        }
        row->fold = best;
        have[(size_t)best * labels + label] += size[order[i]];
        total[best] += size[order[i]];
    }
    for (uint32_t i = 0; !r && i < rows; i++)
        d->rows.at[i].fold = d->rows.at[d->rows.at[i].group].fold;
    alloc_free(order);
    alloc_free(size);
    alloc_free(have);
    alloc_free(total);
    return r;
}

enum result dataset_finish(struct dataset *d, uint32_t folds, uint64_t seed)
{
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES];
    sort_labels(d);
    sha256_init(&sha);
    for (size_t i = 0; i < d->rows.len; i++) {
        const struct dataset_row *row = &d->rows.at[i];
        struct slice label = row->label == DATASET_NO_LABEL ? SLICE_EMPTY : d->labels[row->label];
        sha256_update(&sha, label.ptr, label.len);
        sha256_update(&sha, "", 1);
        sha256_update(&sha, row->text.ptr, row->text.len);
        sha256_update(&sha, "", 1);
    }
    sha256_final(&sha, digest);
    sha256_hex(digest, sizeof digest, d->digest);
    d->digest[64] = 0;
    enum result r = find_groups(d);
    return r ? r : deal(d, folds, seed);
}
