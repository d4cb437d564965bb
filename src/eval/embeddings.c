#include "eval/embeddings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "base/sha256.h"

enum { KEY = 16, RECORDS_MAX = 16 * 1024 * 1024, PATH_BYTES = 512 };

struct key {
    uint8_t bytes[KEY];
};

struct job {
    const struct embeddings_source *source;
    const struct slice *texts;
    uint32_t count;
    float *out;
    char *problem;
    struct key *keys;
    bool *done;
    struct map wanted; // key -> index of the first text with it, plus 1
    FILE *file;
};

static enum result io(struct job *j, const char *what)
{
    char room[FILE_ERROR_BYTES];
    snprintf(j->problem, EMBEDDINGS_PROBLEM_BYTES, "the cache of embeddings: cannot %s: %s", what,
             file_error(errno, room));
    return RESULT_IO;
}

static enum result make_keys(struct job *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        uint8_t digest[SHA256_BYTES];
        sha256_of(j->texts[i], digest);
        memcpy(j->keys[i].bytes, digest, KEY);
        struct slice key = slice_make(j->keys[i].bytes, KEY);
        if (map_get(&j->wanted, key))
            continue;
        enum result r = map_put(&j->wanted, key, (void *)(uintptr_t)(i + 1));
        if (r)
            return r;
    }
    return RESULT_OK;
}

static enum result read_cache(struct job *j)
{
    size_t record = KEY + j->source->dim * sizeof(float);
    char *room = alloc_bytes(record);
    long good = 0;
    if (!room)
        return RESULT_NOMEM;
    while (fread(room, record, 1, j->file) == 1) {
        good += (long)record;
        uintptr_t at = (uintptr_t)map_get(&j->wanted, slice_make(room, KEY));
        if (!at)
            continue;
        memcpy(j->out + (at - 1) * j->source->dim, room + KEY, record - KEY);
        j->done[at - 1] = true;
    }
    alloc_free(room);
    return fseek(j->file, good, SEEK_SET) ? io(j, "read it") : RESULT_OK;
}

static enum result embed_batch(struct job *j, const uint32_t *pick, uint32_t n, float *room)
{
    struct slice texts[EMBEDDINGS_BATCH] = {{NULL, 0}};
    uint32_t dim = j->source->dim;
    for (uint32_t i = 0; i < n; i++)
        texts[i] = j->texts[pick[i]];
    enum result r = j->source->embed(j->source->ctx, texts, n, room);
    for (uint32_t i = 0; !r && i < n; i++) {
        memcpy(j->out + (size_t)pick[i] * dim, room + (size_t)i * dim, dim * sizeof *room);
        j->done[pick[i]] = true;
        if (fwrite(j->keys[pick[i]].bytes, KEY, 1, j->file) != 1 ||
            fwrite(room + (size_t)i * dim, sizeof *room, dim, j->file) != dim)
            r = io(j, "write it");
    }
    return r;
}

// The first text of each key is embedded, the others copy it.
static enum result fill(struct job *j)
{
    uint32_t pick[EMBEDDINGS_BATCH], n = 0, dim = j->source->dim;
    float *room = alloc_zeroed((size_t)EMBEDDINGS_BATCH * dim, sizeof *room);
    enum result r = room ? RESULT_OK : RESULT_NOMEM;
    for (uint32_t i = 0; !r && i < j->count; i++) {
        uintptr_t first = (uintptr_t)map_get(&j->wanted, slice_make(j->keys[i].bytes, KEY)) - 1;
        if (first != i || j->done[i])
            continue;
        if (!j->source->embed) {
            snprintf(j->problem, EMBEDDINGS_PROBLEM_BYTES,
                     "a text is not in the cache of embeddings and the encoder %s is not here",
                     j->source->name);
            r = RESULT_NOT_FOUND;
            break;
        }
        pick[n++] = i;
        if (n == EMBEDDINGS_BATCH) {
            r = embed_batch(j, pick, n, room);
            n = 0;
        }
    }
    if (!r && n)
        r = embed_batch(j, pick, n, room);
    for (uint32_t i = 0; !r && i < j->count; i++) {
        uintptr_t first = (uintptr_t)map_get(&j->wanted, slice_make(j->keys[i].bytes, KEY)) - 1;
        if (first != i)
            memcpy(j->out + (size_t)i * dim, j->out + first * dim, dim * sizeof *room);
    }
    alloc_free(room);
    return r;
}

enum result embeddings_of(const struct embeddings_source *source, const char *dir,
                          const struct slice *texts, uint32_t count, float *out,
                          char problem[EMBEDDINGS_PROBLEM_BYTES])
{
    char path[PATH_BYTES];
    struct job j = {
        .source = source, .texts = texts, .count = count, .out = out, .problem = problem};
    problem[0] = 0;
    map_init(&j.wanted, (struct hash_key){0, 0}, RECORDS_MAX);
    j.keys = alloc_zeroed((size_t)count + 1, sizeof *j.keys);
    j.done = alloc_zeroed((size_t)count + 1, sizeof *j.done);
    snprintf(path, sizeof path, "%s/%.16s-%u.bin", dir, source->digest, source->dim);
    enum result r = j.keys && j.done ? make_keys(&j) : RESULT_NOMEM;
    if (!r && file_make_folder(dir, 0777))
        r = io(&j, "make its folder");
    if (!r) {
        j.file = fopen(path, "r+b");
        if (!j.file)
            j.file = fopen(path, "w+b");
        r = j.file ? read_cache(&j) : io(&j, "open it");
    }
    if (!r)
        r = fill(&j);
    if (j.file && fclose(j.file) && !r)
        r = io(&j, "write it");
    map_deinit(&j.wanted);
    alloc_free(j.keys);
    alloc_free(j.done);
    return r;
}
