#include "model/folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/onnx.h"
#include "text/json.h"
#include "text/tokenizer.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

static const struct json_limits limits = {32, 500000};

static MERIT_PRINTF(3, 4) enum result wrong(char *problem, enum result r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(problem, FOLDER_PROBLEM_BYTES, fmt, args);
    va_end(args);
    return r;
}

static enum result unreadable(char *problem, enum result r, const char *path)
{
    char room[FILE_ERROR_BYTES];
    return wrong(problem, r, "%s: %s", path, file_problem(r, room));
}

const char *folder_path(const struct folder *f, enum folder_role role)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->files[i].role == role)
            return f->files[i].path;
    }
    return NULL;
}

// --- Finding the files

// RESULT_NOT_FOUND is no problem to tell of yet. `path` is of the arena.
static enum result add_file(struct folder *f, enum folder_role role, struct slice path,
                            char *problem)
{
    if (!path.ptr)
        return RESULT_NOMEM;
    if (f->count == FOLDER_FILES_MAX)
        return wrong(problem, RESULT_LIMIT, "more than %d files", FOLDER_FILES_MAX);
    struct folder_file *file = &f->files[f->count];
    *file = (struct folder_file){.role = role, .path = path.ptr};
    enum result r = mapped_identify(file->path, &file->identity);
    if (!r)
        f->count++;
    return r && r != RESULT_NOT_FOUND ? unreadable(problem, r, file->path) : r;
}

static enum result read_text(struct folder *f, const char *path, struct slice *out, char *problem)
{
    struct buf b;
    buf_init(&b, FOLDER_TEXT_MAX);
    enum result r = file_read(path, &b);
    if (r) {
        unreadable(problem, r, path);
    } else {
        *out = arena_copy(&f->arena, buf_slice(&b));
        r = out->ptr ? RESULT_OK : RESULT_NOMEM;
    }
    buf_deinit(&b);
    return r;
}

// A JSON file whose root must be of `type`.
static enum result read_json(struct folder *f, const char *path, enum json_type type,
                             struct json *j, char *problem)
{
    struct slice text;
    enum result r = read_text(f, path, &text, problem);
    if (r)
        return r;
    r = json_parse(j, text, &limits, &f->arena);
    if (r)
        return wrong(problem, r, "%s is not JSON that can be read: %s at byte %u", path,
                     result_name(r), j->error_at);
    if (json_type(j, 0) != type)
        return wrong(problem, RESULT_SYNTAX, "%s holds no JSON %s", path,
                     type == JSON_OBJECT ? "object" : "array");
    return RESULT_OK;
}

// What a JSON file of the folder names must lie in the folder.
static bool is_inside(struct slice name)
{
    struct slice rest = name, part;
    if (!name.len || name.ptr[0] == '/' || memchr(name.ptr, '\0', name.len))
        return false;
    while (slice_split(&rest, '/', &part)) {
        if (slice_eq_cstr(part, ".."))
            return false;
    }
    return true;
}

static int by_path(const void *a, const void *b)
{
    const struct folder_file *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static enum result find_shards(struct folder *f, const char *path, char *problem)
{
    struct json j;
    struct slice name;
    uint32_t at = 0, key, value, first = f->count, map;
    enum result r = read_json(f, folder_path(f, FOLDER_INDEX), JSON_OBJECT, &j, problem);
    if (r)
        return r;
    map = json_get(&j, 0, SLICE("weight_map"), NULL);
    if (map == JSON_NONE || json_type(&j, map) != JSON_OBJECT)
        return wrong(problem, RESULT_SYNTAX, "%s/model.safetensors.index.json has no weight_map",
                     path);
    while (json_member(&j, map, &at, &key, &value)) {
        if (json_type(&j, value) != JSON_STRING)
            return wrong(problem, RESULT_SYNTAX, "a name in weight_map is no text");
        name = json_string(&j, value, &f->arena);
        if (!is_inside(name))
            return wrong(problem, RESULT_SYNTAX, "weight_map names a file outside the folder");
        struct slice shard = arena_printf(&f->arena, "%s/%.*s", path, SLICE_FMT(name));
        bool known = false;
        for (uint32_t i = first; i < f->count && shard.ptr; i++)
            known |= strcmp(f->files[i].path, shard.ptr) == 0;
        if (known)
            continue;
        if (f->count - first == FOLDER_SHARDS_MAX)
            return wrong(problem, RESULT_LIMIT, "more than %d shards", FOLDER_SHARDS_MAX);
        r = add_file(f, FOLDER_SAFETENSORS, shard, problem);
        if (r == RESULT_NOT_FOUND)
            return wrong(problem, r, "%s is missing; the index names it", shard.ptr);
        if (r)
            return r;
    }
    if (f->count == first)
        return wrong(problem, RESULT_NOT_FOUND, "%s/model.safetensors.index.json names no file",
                     path);
    qsort(f->files + first, f->count - first, sizeof *f->files, by_path);
    return RESULT_OK;
}

// Of several exports of one model the most exact that is read here: lower is better.
static int onnx_rank(const char *name)
{
    static const char *const order[] = {"model.onnx",       "model_fp16.onnx",
                                        "model_q4.onnx",    "model_int8.onnx",
                                        "model_uint8.onnx", "model_quantized.onnx"};
    int i = 0;
    while (i < (int)MERIT_COUNT(order) && strcmp(name, order[i]) != 0)
        i++;
    return i;
}

// The best *.onnx of a directory; two of the last rank leave open which is meant.
static enum result find_onnx_in(struct folder *f, const char *directory, char *problem)
{
    char best[NAME_MAX + 1] = "";
    int rank = INT_MAX, same = 0;
    DIR *d = opendir(directory);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? RESULT_NOT_FOUND
                                                   : unreadable(problem, RESULT_IO, directory);
    for (struct dirent *e; (e = readdir(d));) {
        if (!slice_ends_with(slice_cstr(e->d_name), SLICE(".onnx")))
            continue;
        int r = onnx_rank(e->d_name);
        same = r < rank ? 1 : same + (r == rank);
        if (r < rank) {
            rank = r;
            snprintf(best, sizeof best, "%s", e->d_name);
        }
    }
    closedir(d);
    if (!best[0])
        return RESULT_NOT_FOUND;
    if (same > 1)
        return wrong(problem, RESULT_UNSUPPORTED,
                     "%s has several ONNX files; leave one, or call one model.onnx", directory);
    return add_file(f, FOLDER_ONNX, arena_printf(&f->arena, "%s/%s", directory, best), problem);
}

static enum result find_weights(struct folder *f, const char *path, char *problem)
{
    struct slice file = arena_printf(&f->arena, "%s/model.safetensors", path);
    enum result r = add_file(f, FOLDER_SAFETENSORS, file, problem);
    if (r != RESULT_NOT_FOUND)
        return r;
    file = arena_printf(&f->arena, "%s/model.safetensors.index.json", path);
    r = add_file(f, FOLDER_INDEX, file, problem);
    if (r != RESULT_NOT_FOUND)
        return r ? r : find_shards(f, path, problem);
    struct slice inner = arena_printf(&f->arena, "%s/onnx", path);
    if (!inner.ptr)
        return RESULT_NOMEM;
    r = find_onnx_in(f, inner.ptr, problem);
    if (r == RESULT_NOT_FOUND)
        r = find_onnx_in(f, path, problem);
    if (r == RESULT_NOT_FOUND)
        wrong(problem, r,
              "%s has no model.safetensors, no model.safetensors.index.json and no ONNX file "
              "(weights of other kinds must be converted to safetensors first)",
              path);
    return r;
}

static enum result find_required(struct folder *f, enum folder_role role, const char *path,
                                 const char *name, char *problem)
{
    enum result r = add_file(f, role, arena_printf(&f->arena, "%s/%s", path, name), problem);
    if (r == RESULT_NOT_FOUND)
        wrong(problem, r, "%s/%s is missing", path, name);
    return r;
}

static enum result find_optional(struct folder *f, enum folder_role role, const char *path,
                                 struct slice name, char *problem)
{
    enum result r =
        add_file(f, role, arena_printf(&f->arena, "%s/%.*s", path, SLICE_FMT(name)), problem);
    return r == RESULT_NOT_FOUND ? RESULT_OK : r;
}

// --- What the small files say

static bool member_is(const struct json *j, uint32_t object, const char *key, const char *text)
{
    uint32_t value = json_get(j, object, slice_cstr(key), NULL);
    return value != JSON_NONE && json_type(j, value) == JSON_STRING &&
           json_string_is(j, value, slice_cstr(text));
}

static enum result read_pooling(struct folder *f, char *problem)
{
    static const struct {
        const char *flag, *name;
        int pool; // -1: not known here
    } modes[] = {
        {"pooling_mode_mean_tokens", "mean", ENCODER_POOL_MEAN},
        {"pooling_mode_cls_token", "cls", ENCODER_POOL_CLS},
        {"pooling_mode_weightedmean_tokens", "weightedmean", ENCODER_POOL_WEIGHTED},
        {"pooling_mode_max_tokens", "max", -1},
        {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", -1},
        {"pooling_mode_lasttoken", "lasttoken", -1},
    };
    struct json j;
    const char *path = folder_path(f, FOLDER_POOLING);
    enum result r = path ? read_json(f, path, JSON_OBJECT, &j, problem) : RESULT_OK;
    if (r || !path)
        return r;
    uint32_t found = 0;
    for (size_t i = 0; i < MERIT_COUNT(modes); i++) {
        uint32_t flag = json_get(&j, 0, slice_cstr(modes[i].flag), NULL);
        if (!json_bool(&j, flag, false) && !member_is(&j, 0, "pooling_mode", modes[i].name))
            continue;
        if (modes[i].pool < 0)
            return wrong(problem, RESULT_UNSUPPORTED,
                         "%s asks for the pooling %s; known are mean, "
                         "cls and weightedmean",
                         path, modes[i].name);
        f->pool = (enum encoder_pool)modes[i].pool;
        found++;
    }
    if (found > 1)
        return wrong(problem, RESULT_UNSUPPORTED, "%s asks for several poolings at once", path);
    f->pool_known = found == 1;
    return RESULT_OK;
}

// `*pooling` is the folder of the pooling module; `*base` that of the transformer, relative; empty for the folder itself.
static enum result read_modules(struct folder *f, struct slice *pooling, struct slice *base,
                                char *problem)
{
    struct json j;
    uint32_t at = 0, module;
    const char *path = folder_path(f, FOLDER_MODULES);
    *pooling = SLICE("1_Pooling");
    *base = SLICE_EMPTY;
    enum result r = path ? read_json(f, path, JSON_ARRAY, &j, problem) : RESULT_OK;
    if (r || !path)
        return r;
    while (json_element(&j, 0, &at, &module)) {
        struct slice type = SLICE_EMPTY, where = SLICE_EMPTY;
        if (json_type(&j, module) != JSON_OBJECT)
            return wrong(problem, RESULT_SYNTAX, "%s: a module is no object", path);
        uint32_t type_at = json_get(&j, module, SLICE("type"), NULL);
        uint32_t path_at = json_get(&j, module, SLICE("path"), NULL);
        if (type_at != JSON_NONE && json_type(&j, type_at) == JSON_STRING)
            type = json_string(&j, type_at, &f->arena);
        if (path_at != JSON_NONE && json_type(&j, path_at) == JSON_STRING)
            where = json_string(&j, path_at, &f->arena);
        if (where.len && !is_inside(where))
            return wrong(problem, RESULT_SYNTAX, "%s: a module lies outside the folder", path);
        if (slice_ends_with(type, SLICE(".Pooling")))
            *pooling = where;
        else if (slice_ends_with(type, SLICE(".Normalize")))
            f->normalise = true;
        else if (slice_ends_with(type, SLICE(".Transformer")))
            *base = where;
        else
            return wrong(problem, RESULT_UNSUPPORTED,
                         "%s has the module %.*s; known are Transformer, Pooling and Normalize",
                         path, SLICE_FMT(slice_head(type, 80)));
    }
    return RESULT_OK;
}

static enum result read_length(struct folder *f, char *problem)
{
    struct json j;
    uint64_t n;
    const char *path = folder_path(f, FOLDER_LENGTH);
    enum result r = path ? read_json(f, path, JSON_OBJECT, &j, problem) : RESULT_OK;
    if (r || !path)
        return r;
    uint32_t at = json_get(&j, 0, SLICE("max_seq_length"), NULL);
    if (at != JSON_NONE && !json_u64(&j, at, &n) && n <= ENCODER_TOKENS_MAX)
        f->length_tok = (uint32_t)n;
    return RESULT_OK;
}

// id2label: {"0": "O", "1": "B-NAME", ...}, in any order, without a gap.
static enum result read_labels(struct folder *f, const char *path, char *problem)
{
    struct json j;
    uint32_t at = 0, key, value, n = 0;
    enum result r = json_parse(&j, f->config, &limits, &f->arena);
    if (r || json_type(&j, 0) != JSON_OBJECT)
        return r == RESULT_NOMEM ? r : wrong(problem, RESULT_SYNTAX, "%s is no JSON object", path);
    uint32_t map = json_get(&j, 0, SLICE("id2label"), NULL);
    if (map == JSON_NONE || json_type(&j, map) != JSON_OBJECT)
        return RESULT_OK;
    while (json_member(&j, map, &at, &key, &value))
        n++;
    if (n > ENCODER_LABELS_MAX)
        return wrong(problem, RESULT_LIMIT, "%s has %u labels; the limit is %d", path, n,
                     ENCODER_LABELS_MAX);
    f->labels = ARENA_ARRAY(&f->arena, struct slice, n);
    if (!f->labels)
        return RESULT_NOMEM;
    for (at = 0; json_member(&j, map, &at, &key, &value);) {
        uint64_t id;
        if (!slice_u64(json_raw(&j, key), &id) || id >= n || f->labels[id].ptr ||
            json_type(&j, value) != JSON_STRING || json_raw(&j, value).len > FOLDER_LABEL_BYTES_MAX)
            return wrong(problem, RESULT_SYNTAX,
                         "%s: id2label is not a list from 0 on of short "
                         "texts",
                         path);
        struct slice label = json_string(&j, value, &f->arena);
        if (memchr(label.ptr ? label.ptr : "", '\0', label.len))
            return wrong(problem, RESULT_SYNTAX, "%s: a label holds a NUL", path);
        f->labels[id] = label.ptr ? label : SLICE("");
    }
    f->label_count = n;
    return RESULT_OK;
}

static enum result scan(struct folder *f, const char *path, char *problem)
{
    struct slice pooling, base;
    enum result r = find_optional(f, FOLDER_MODULES, path, SLICE("modules.json"), problem);
    if (!r)
        r = read_modules(f, &pooling, &base, problem);
    if (r)
        return r;
    struct slice in = base.len ? arena_printf(&f->arena, "%s/%.*s", path, SLICE_FMT(base))
                               : arena_copy(&f->arena, slice_cstr(path));
    struct slice pool = arena_printf(&f->arena, "%.*s/config.json", SLICE_FMT(pooling));
    if (!in.ptr || !pool.ptr)
        return RESULT_NOMEM;
    if ((r = find_required(f, FOLDER_CONFIG, in.ptr, "config.json", problem)) ||
        (r = find_required(f, FOLDER_TOKENIZER, in.ptr, "tokenizer.json", problem)) ||
        (r = find_optional(f, FOLDER_POOLING, path, pool, problem)) ||
        (r = find_optional(f, FOLDER_LENGTH, in.ptr, SLICE("sentence_bert_config.json"),
                           problem)) ||
        (r = find_weights(f, in.ptr, problem)))
        return r;
    const char *config = folder_path(f, FOLDER_CONFIG);
    if ((r = read_text(f, config, &f->config, problem)) || (r = read_labels(f, config, problem)) ||
        (r = read_pooling(f, problem)))
        return r;
    return read_length(f, problem);
}

enum result folder_scan(struct folder *f, const char *path, char problem[FOLDER_PROBLEM_BYTES])
{
    memset(f, 0, sizeof *f);
    arena_init(&f->arena, 0, ARENA_MAX);
    problem[0] = '\0';
    enum result r = scan(f, path, problem);
    if (r && !problem[0])
        wrong(problem, r, "%s: %s", path, result_name(r));
    if (r)
        folder_close(f);
    return r;
}

void folder_close(struct folder *f)
{
    arena_deinit(&f->arena);
    memset(f, 0, sizeof *f);
}

// --- The digest

static uint64_t limit_of(enum folder_role role)
{
    switch (role) {
    case FOLDER_SAFETENSORS:
    case FOLDER_ONNX:
        return FOLDER_WEIGHTS_MAX;
    case FOLDER_TOKENIZER:
        return TOKENIZER_JSON_MAX;
    default:
        return FOLDER_TEXT_MAX;
    }
}

static enum result map_file(const struct folder_file *file, struct mapped *out, char *problem)
{
    enum result r = mapped_open(file->path, limit_of(file->role), out);
    if (r)
        return unreadable(problem, r, file->path);
    if (memcmp(&out->identity, &file->identity, sizeof out->identity) != 0) {
        mapped_close(out);
        return wrong(problem, RESULT_AGAIN, "%s changed while it was being read", file->path);
    }
    return RESULT_OK;
}

enum result folder_digest(const struct folder *f, struct folder_digest *out,
                          char problem[FOLDER_PROBLEM_BYTES])
{
    struct sha256 all, weights;
    uint32_t count = 0;
    sha256_init(&all);
    sha256_init(&weights);
    for (uint32_t i = 0; i < f->count; i++) {
        struct mapped m;
        uint8_t one[SHA256_BYTES], role = (uint8_t)f->files[i].role;
        enum result r = map_file(&f->files[i], &m, problem);
        if (r)
            return r;
        sha256_of(m.bytes, one);
        mapped_close(&m);
        sha256_update(&all, &role, sizeof role);
        sha256_update(&all, one, sizeof one);
        if (role != FOLDER_SAFETENSORS && role != FOLDER_ONNX)
            continue;
        sha256_update(&weights, one, sizeof one);
        memcpy(out->weights, one, sizeof one);
        count++;
    }
    sha256_final(&all, out->all);
    if (count != 1)
        sha256_final(&weights, out->weights);
    return RESULT_OK;
}

// --- The weights

static enum result shards_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    const struct folder_weights *w = ctx;
    for (uint32_t i = 0; i < w->count; i++) {
        enum result r = safetensors_shape(&w->shards[i], name, out);
        if (r != RESULT_NOT_FOUND)
            return r;
    }
    return RESULT_NOT_FOUND;
}

static enum result shards_read(void *ctx, struct slice name, uint64_t first, uint64_t rows,
                               float *out)
{
    const struct folder_weights *w = ctx;
    for (uint32_t i = 0; i < w->count; i++) {
        enum result r = safetensors_read(&w->shards[i], name, first, rows, out);
        if (r != RESULT_NOT_FOUND)
            return r;
    }
    return RESULT_NOT_FOUND;
}

static enum result load_shard(const struct folder_file *file, struct folder_weights *w,
                              char *problem)
{
    char why[SAFETENSORS_PROBLEM_BYTES];
    enum result r = map_file(file, &w->maps[w->count], problem);
    if (r)
        return r;
    r = safetensors_open(&w->shards[w->count], w->maps[w->count].bytes, why);
    if (r) {
        mapped_close(&w->maps[w->count]);
        return wrong(problem, r, "%s: %s", file->path, why[0] ? why : result_name(r));
    }
    w->count++;
    return RESULT_OK;
}

static enum result load_onnx(const struct folder_file *file, struct folder_weights *w,
                             char *problem)
{
    char why[ONNX_PROBLEM_BYTES];
    enum result r = map_file(file, &w->maps[0], problem);
    if (r)
        return r;
    r = onnx_open(w->maps[0].bytes, why, &w->onnx);
    if (r) {
        mapped_close(&w->maps[0]);
        return wrong(problem, r, "%s: %s", file->path, why[0] ? why : result_name(r));
    }
    return RESULT_OK;
}

enum result folder_load(const struct folder *f, struct folder_weights *out,
                        char problem[FOLDER_PROBLEM_BYTES])
{
    enum result r = RESULT_OK;
    memset(out, 0, sizeof *out);
    problem[0] = '\0';
    for (uint32_t i = 0; i < f->count && !r; i++) {
        if (f->files[i].role == FOLDER_SAFETENSORS)
            r = load_shard(&f->files[i], out, problem);
        else if (f->files[i].role == FOLDER_ONNX)
            r = load_onnx(&f->files[i], out, problem);
    }
    out->source =
        out->onnx ? onnx_source(out->onnx) : (struct tensor_source){out, shards_shape, shards_read};
    if (r)
        folder_unload(out);
    return r;
}

void folder_unload(struct folder_weights *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        safetensors_close(&w->shards[i]);
        mapped_close(&w->maps[i]);
    }
    if (w->onnx) {
        onnx_close(w->onnx);
        mapped_close(&w->maps[0]);
    }
    memset(w, 0, sizeof *w);
}
