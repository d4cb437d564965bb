#include "model/model.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/catalog.h"
#include "model/folder.h"
#include "text/json.h"

enum { ARENA_MAX = 16 * 1024 * 1024, NOTE_MAX = 64 * 1024, STAMP_LEN = 4 * SHA256_BYTES + 1 };
// A file that changed this shortly ago may change again without its times telling.
enum { FRESH_NS = 50 * 1000 * 1000 };

static MERIT_PRINTF(3, 4) enum result
    wrong(struct model_trouble *t, enum result r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->why, sizeof t->why, fmt, args);
    va_end(args);
    return r;
}

// --- Places and names

static bool place(char *out, const char *home_variable, const char *home_below, const char *below)
{
    const char *xdg = getenv(home_variable), *home = getenv("HOME");
    int n = -1;
    if (xdg && xdg[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/%s", xdg, below);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/%s/%s", home, home_below, below);
    if (n > 0 && n < PATH_MAX)
        return true;
    out[0] = '\0';
    return false;
}

void model_places_init(struct model_places *p)
{
    const char *models = getenv("MERIT_MODELS");
    place(p->cache, "XDG_CACHE_HOME", ".cache", "merit/models");
    if (models && models[0] && strlen(models) < sizeof p->models)
        memcpy(p->models, models, strlen(models) + 1);
    else
        place(p->models, "XDG_DATA_HOME", ".local/share", "merit/models");
}

bool model_name_valid(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    }
    return n && n <= MODEL_NAME_MAX && name[0] != '.' && name[0] != '-';
}

// --- The note beside an installed model

struct note {
    char licence[80], source[160],
        folder[PATH_MAX]; // folder: where it really lies, when it was only linked
};

static void take_text(const struct json *j, const char *key, char *out, size_t room,
                      struct arena *arena)
{
    uint32_t value = json_get(j, 0, slice_cstr(key), NULL);
    if (value == JSON_NONE || json_type(j, value) != JSON_STRING)
        return;
    struct slice s = json_string(j, value, arena);
    if (s.len < room && s.ptr && !memchr(s.ptr, '\0', s.len)) {
        memcpy(out, s.ptr, s.len);
        out[s.len] = '\0';
    }
}

// A note that is absent or cannot be read tells nothing, which is no error: the model may be used without.
static void read_note(const char *folder, struct note *out)
{
    char path[PATH_MAX];
    struct buf text;
    struct arena arena;
    struct json j;
    *out = (struct note){0};
    int n = snprintf(path, sizeof path, "%s/" MODEL_NOTE_FILE, folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return;
    buf_init(&text, NOTE_MAX);
    arena_init(&arena, 0, 16 * (size_t)NOTE_MAX);
    if (!file_read(path, &text) &&
        !json_parse(&j, buf_slice(&text), &json_limits_default, &arena) &&
        json_type(&j, 0) == JSON_OBJECT) {
        take_text(&j, "licence", out->licence, sizeof out->licence, &arena);
        take_text(&j, "source", out->source, sizeof out->source, &arena);
        take_text(&j, "folder", out->folder, sizeof out->folder, &arena);
    }
    arena_deinit(&arena);
    buf_deinit(&text);
}

// --- Finding

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void describe(const struct model_places *places, const char *name, struct model_info *out)
{
    const struct catalog_entry *e = catalog_find(name);
    struct note note;
    *out = (struct model_info){.in_catalog = e};
    snprintf(out->name, sizeof out->name, "%s", name);
    int n = places->models[0]
                ? snprintf(out->folder, sizeof out->folder, "%s/%s", places->models, name)
                : -1;
    if (n < 0 || (size_t)n >= sizeof out->folder)
        out->folder[0] = '\0';
    out->installed = out->folder[0] && is_folder(out->folder);
    if (e) {
        snprintf(out->licence, sizeof out->licence, "%s", e->licence);
        snprintf(out->source, sizeof out->source, "%s %s %s", catalog_client_name(e->client),
                 e->package, e->version);
        for (const struct catalog_file *f = e->files; f->member; f++)
            out->bytes += f->bytes;
    }
    if (!out->installed)
        return;
    // What was put there tells of itself; the catalog only of what it would fetch.
    read_note(out->folder, &note);
    memcpy(out->licence, note.licence, sizeof out->licence);
    memcpy(out->source, note.source, sizeof out->source);
    if (note.folder[0])
        memcpy(out->folder, note.folder, sizeof out->folder);
}

enum result model_find(const struct model_places *places, const char *name, struct model_info *out)
{
    if (!model_name_valid(name))
        return RESULT_SYNTAX;
    describe(places, name, out);
    return out->installed || out->in_catalog ? RESULT_OK : RESULT_NOT_FOUND;
}

static int by_name(const void *a, const void *b)
{
    const struct model_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

enum result model_list(const struct model_places *places, struct model_info *out, uint32_t *count)
{
    uint32_t n = 0;
    DIR *d = places->models[0] ? opendir(places->models) : NULL;
    if (places->models[0] && !d && errno != ENOENT)
        return RESULT_IO;
    for (struct dirent *e; d && n < MODEL_LIST_MAX && (e = readdir(d));) {
        if (!model_name_valid(e->d_name))
            continue;
        describe(places, e->d_name, &out[n]);
        n += out[n].installed;
    }
    if (d)
        closedir(d);
    for (uint32_t i = 0; i < catalog_count && n < MODEL_LIST_MAX; i++) {
        describe(places, catalog[i].name, &out[n]);
        n += !out[n].installed;
    }
    qsort(out, n, sizeof *out, by_name);
    *count = n;
    return RESULT_OK;
}

// Fills name, folder, licence and source of the model.
static enum result resolve(struct model *m, const char *name, const struct model_options *o,
                           struct model_trouble *t)
{
    struct model_info info = {0};
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        struct note note;
        struct slice path = slice_cstr(name);
        while (path.len > 1 && path.ptr[path.len - 1] == '/')
            path.len--;
        m->folder = arena_copy(&m->arena, path);
        if (!m->folder.ptr)
            return RESULT_NOMEM;
        if (!is_folder(m->folder.ptr))
            return wrong(t, RESULT_NOT_FOUND, "there is no folder %s", name);
        read_note(m->folder.ptr, &note);
        m->name = slice_cstr(strrchr(m->folder.ptr, '/') ? strrchr(m->folder.ptr, '/') + 1
                                                         : m->folder.ptr);
        m->licence = arena_copy(&m->arena, slice_cstr(note.licence));
        m->source = arena_copy(&m->arena, slice_cstr(note.source));
        return m->licence.ptr && m->source.ptr ? RESULT_OK : RESULT_NOMEM;
    }
    enum result r = model_find(o->places, name, &info);
    if (!r && !info.installed) {
        snprintf(t->how, sizeof t->how,
                 "get it with `merit model pull %s`, or add a folder that has it: merit model add "
                 "DIR --name %s",
                 name, name);
        return wrong(t, RESULT_NOT_FOUND, "the model %s is not installed", name);
    }
    if (r) {
        snprintf(t->how, sizeof t->how,
                 "`merit model ls` lists them; a folder is added with "
                 "`merit model add DIR`");
        return wrong(t, RESULT_NOT_FOUND, "there is no model of the name %.*s", MODEL_NAME_MAX,
                     name);
    }
    m->name = arena_copy(&m->arena, slice_cstr(info.name));
    m->folder = arena_copy(&m->arena, slice_cstr(info.folder));
    m->licence = arena_copy(&m->arena, slice_cstr(info.licence));
    m->source = arena_copy(&m->arena, slice_cstr(info.source));
    return m->name.ptr && m->folder.ptr && m->licence.ptr && m->source.ptr ? RESULT_OK
                                                                           : RESULT_NOMEM;
}

// --- The digest, remembered

// A name for these very files: whoever changes one changes its times or its inode.
static bool stamp_path(const struct folder *f, const char *cache, char *path, bool *fresh)
{
    struct sha256 h;
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES];
    int64_t now_ns = (int64_t)clock_wall_us(&clock_system) * 1000;
    *fresh = false;
    sha256_init(&h);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct folder_file *file = &f->files[i];
        uint8_t role = (uint8_t)file->role;
        sha256_update(&h, &role, sizeof role);
        sha256_update(&h, &file->identity, sizeof file->identity);
        *fresh |= now_ns - file->identity.changed_ns < FRESH_NS;
    }
    sha256_final(&h, digest);
    sha256_hex(digest, SHA256_BYTES, hex);
    int n = snprintf(path, PATH_MAX, "%s/%.32s.stamp", cache, hex);
    return n > 0 && n < PATH_MAX;
}

static bool of_hex(const char *hex, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < 2 * bytes; i++) {
        const char *digits = "0123456789abcdef", *d = hex[i] ? strchr(digits, hex[i]) : NULL;
        if (!d)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (d - digits));
    }
    return true;
}

static bool read_stamp(const char *path, struct folder_digest *out)
{
    struct stat st;
    struct buf text;
    // As with the packed files: only what is ours alone is believed.
    if (lstat(path, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & (S_IWGRP | S_IWOTH)))
        return false;
    buf_init(&text, STAMP_LEN);
    bool good = !file_read(path, &text) && text.len == STAMP_LEN &&
                of_hex(text.ptr, out->all, SHA256_BYTES) &&
                of_hex(text.ptr + 2 * SHA256_BYTES, out->weights, SHA256_BYTES);
    buf_deinit(&text);
    return good;
}

static enum result find_digest(struct model *m, const struct folder *f,
                               const struct model_options *o, struct folder_digest *out,
                               char *problem)
{
    char path[PATH_MAX], text[STAMP_LEN];
    bool fresh = false;
    const char *cache = o->places->cache;
    bool has_path = cache[0] && stamp_path(f, cache, path, &fresh);
    bool known = has_path && read_stamp(path, out);
    enum result r = known ? RESULT_OK : folder_digest(f, out, problem);
    if (r)
        return r;
    sha256_hex(out->all, SHA256_BYTES, text);
    sha256_hex(out->weights, SHA256_BYTES, text + 2 * SHA256_BYTES);
    text[STAMP_LEN - 1] = '\n';
    m->digest_hex = arena_copy(&m->arena, slice_make(text, 2 * SHA256_BYTES));
    m->weights_hex = arena_copy(&m->arena, slice_make(text + 2 * SHA256_BYTES, 2 * SHA256_BYTES));
    if (!m->digest_hex.ptr || !m->weights_hex.ptr)
        return RESULT_NOMEM;
    // Not being able to remember costs the next start half a second, no more.
    if (!known && has_path && !fresh && !file_make_folder(cache, 0700)) {
        enum result ignored = file_replace(path, slice_make(text, sizeof text), 0600);
        (void)ignored;
    }
    return RESULT_OK;
}

// --- Converting

struct convert {
    const struct encoder_config *config;
    const struct tensor_source *source;
    const struct encoder_pack_options *options;
    char problem[ENCODER_PROBLEM_BYTES];
};

static enum result fill(void *ctx, void *block, size_t bytes, size_t *used)
{
    struct convert *c = ctx;
    return encoder_pack(c->config, c->source, c->options, block, bytes, used, c->problem);
}

static enum result configure(const struct folder *f, struct encoder_config *config, char *problem)
{
    char why[ENCODER_PROBLEM_BYTES] = "";
    enum result r = encoder_config_read(f->config, config, why);
    if (r) {
        snprintf(problem, FOLDER_PROBLEM_BYTES, "%s: %s", folder_path(f, FOLDER_CONFIG),
                 why[0] ? why : result_name(r));
        return r;
    }
    if (f->pool_known)
        config->pool = f->pool;
    if (f->normalise)
        config->normalise = true;
    if (config->task != ENCODER_EMBED && f->label_count && f->label_count != config->labels) {
        snprintf(problem, FOLDER_PROBLEM_BYTES, "%s names %u labels, the model has %u",
                 folder_path(f, FOLDER_CONFIG), f->label_count, config->labels);
        return RESULT_SYNTAX;
    }
    return RESULT_OK;
}

static enum result open_tokenizer(const struct model *m, struct slice text, uint32_t known,
                                  struct tokenizer **out, char *problem)
{
    char why[TOKENIZER_PROBLEM_BYTES] = "";
    enum result r = tokenizer_open(text, why, out);
    if (r) {
        *out = NULL;
        snprintf(problem, FOLDER_PROBLEM_BYTES, "%s/tokenizer.json: %s", m->folder.ptr,
                 why[0] ? why : result_name(r));
        return r;
    }
    uint32_t ids = tokenizer_vocab(*out);
    if (ids <= known)
        return RESULT_OK;
    tokenizer_close(*out);
    *out = NULL;
    snprintf(problem, FOLDER_PROBLEM_BYTES,
             "%s: tokenizer.json has %u ids, the model knows %u; they are not of one model",
             m->folder.ptr, ids, known);
    return RESULT_SYNTAX;
}

// Into the cache, or into memory where that cannot be.
static enum result write_pack(struct model *m, const struct pack_key *key,
                              const struct pack_parts *parts, const struct model_options *o,
                              char *problem)
{
    const char *cache = o->places->cache;
    enum result r = RESULT_IO;
    snprintf(problem, PACK_PROBLEM_BYTES,
             "there is no place for packed models: HOME and "
             "XDG_CACHE_HOME are not set");
    if (cache[0])
        r = pack_write(&m->pack, cache, key, parts, problem);
    if (r != RESULT_IO || o->cache_required)
        return r;
    m->note = arena_printf(&m->arena, "%s", problem);
    return pack_write(&m->pack, NULL, key, parts, problem);
}

static enum result convert(struct model *m, const struct folder *f, const struct pack_key *key,
                           const struct model_options *o, char *problem)
{
    struct encoder_config config;
    struct folder_weights *w = alloc_zeroed(1, sizeof *w);
    struct mapped tokenizer = {0};
    struct tokenizer *reads = NULL;
    enum result r = w ? configure(f, &config, problem) : RESULT_NOMEM;
    if (!r)
        r = mapped_open(folder_path(f, FOLDER_TOKENIZER), TOKENIZER_JSON_MAX, &tokenizer);
    // Before the long part: what cannot be used is not packed.
    if (!r)
        r = open_tokenizer(m, tokenizer.bytes, config.vocab, &reads, problem);
    if (!r)
        r = folder_load(f, w, problem);
    if (r)
        goto out;
    struct encoder_pack_options options = {
        .tier = key->tier, .plan = key->plan, .progress = o->progress, .ctx = o->ctx};
    struct convert c = {.config = &config, .source = &w->source, .options = &options};
    bool classifier = config.task != ENCODER_EMBED;
    struct pack_parts parts = {
        .tokenizer = tokenizer.bytes,
        .labels = f->labels,
        .label_count = classifier ? f->label_count : 0,
        .length_tok = f->length_tok,
        .fill = fill,
        .ctx = &c,
    };
    r = encoder_pack_bytes(&config, &w->source, &options, &parts.block_max, c.problem);
    if (!r)
        r = write_pack(m, key, &parts, o, problem);
    if (r && c.problem[0])
        snprintf(problem, FOLDER_PROBLEM_BYTES, "%s: %s", m->folder.ptr, c.problem);
    folder_unload(w);
out:
    if (reads)
        tokenizer_close(reads);
    mapped_close(&tokenizer);
    alloc_free(w);
    return r;
}

static enum result open_encoder(struct model *m)
{
    enum result r = encoder_open(m->pack.encoder, &m->encoder);
    if (r) {
        m->encoder = NULL;
        if (r != RESULT_NOMEM)
            pack_close(&m->pack);
    }
    return r;
}

// From the cache, else converted. A file of the cache that is damaged, foreign or of another build is replaced.
static enum result open_pack(struct model *m, const struct folder *f, const struct pack_key *key,
                             const struct model_options *o, char *problem)
{
    const char *cache = o->places->cache;
    enum result r = cache[0] ? pack_open(&m->pack, cache, key) : RESULT_NOT_FOUND;
    if (!r)
        r = open_encoder(m);
    m->from_cache = !r;
    if (!r || r == RESULT_NOMEM)
        return r;
    int lock = -1;
    if (cache[0]) {
        pack_lock(cache, PACK_LOCK_MS, &lock);
        // Somebody may have packed it while we waited.
        r = pack_open(&m->pack, cache, key);
        if (!r)
            r = open_encoder(m);
    }
    if (r && r != RESULT_NOMEM) {
        r = convert(m, f, key, o, problem);
        if (!r)
            r = open_encoder(m);
    }
    pack_unlock(lock);
    return r;
}

// --- Opening

static enum result take_labels(struct model *m)
{
    struct slice rest = m->pack.labels;
    struct slice *labels = ARENA_ARRAY(&m->arena, struct slice, m->pack.label_count);
    if (!labels)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < m->pack.label_count; i++) {
        size_t n = strlen(rest.ptr); // pack_open saw the NUL
        labels[i] = slice_make(rest.ptr, n);
        rest = slice_from(rest, n + 1);
    }
    m->labels = labels;
    m->label_count = m->pack.label_count;
    return RESULT_OK;
}

static enum result open_all(struct model *m, const char *name, const struct model_options *o,
                            struct model_trouble *t)
{
    char problem[FOLDER_PROBLEM_BYTES] = "";
    struct folder_digest digest = {0};
    struct pack_key key = {.tier = m->tier, .plan = m->plan};
    enum result r = resolve(m, name, o, t);
    if (r)
        return r;
    struct folder *f = alloc_bytes(sizeof *f);
    if (!f)
        return RESULT_NOMEM;
    r = folder_scan(f, m->folder.ptr, problem);
    if (!r) {
        r = find_digest(m, f, o, &digest, problem);
        memcpy(key.digest, digest.all, sizeof key.digest);
        if (!r)
            r = open_pack(m, f, &key, o, problem);
        folder_close(f);
    }
    alloc_free(f);
    if (!r) {
        m->config = encoder_config(m->encoder);
        m->length_tok = m->pack.length_tok;
        m->bytes = m->pack.bytes;
        r = take_labels(m);
    }
    if (!r)
        r = open_tokenizer(m, m->pack.tokenizer, m->config->vocab, &m->tokenizer, problem);
    return r ? wrong(t, r, "%s", problem[0] ? problem : result_name(r)) : RESULT_OK;
}

enum result model_open(struct model **out, const char *name, const struct model_options *options,
                       struct model_trouble *trouble)
{
    uint64_t began = clock_mono_us(&clock_system);
    struct model *m = alloc_zeroed(1, sizeof *m);
    *out = NULL;
    trouble->why[0] = trouble->how[0] = '\0';
    if (!m)
        return wrong(trouble, RESULT_NOMEM, "no memory for the model %s", name);
    arena_init(&m->arena, 0, ARENA_MAX);
    atomic_init(&m->refs, 1);
    m->tier = options->tier_set ? options->tier : nn_tier_best();
    m->plan = options->plan;
    enum result r = open_all(m, name, options, trouble);
    if (r == RESULT_NOMEM)
        wrong(trouble, r, "no memory for the model %s", name);
    else if (r && !trouble->why[0])
        wrong(trouble, r, "the model %s cannot be opened: %s", name, result_name(r));
    if (r) {
        model_unref(m);
        return r;
    }
    m->open_us = clock_mono_us(&clock_system) - began;
    *out = m;
    return RESULT_OK;
}

struct model *model_ref(struct model *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void model_unref(struct model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (m->tokenizer)
        tokenizer_close(m->tokenizer);
    if (m->encoder)
        encoder_close(m->encoder);
    pack_close(&m->pack);
    arena_deinit(&m->arena);
    alloc_free(m);
}
