#include "text/pattern.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/vec.h"
#include "text/utf8.h"

enum { SAVE_VERSION = 1, ARENA_CAP = 2 * PATTERN_TOTAL_MAX };

// Marks the library's id of an expression that has no start offsets.
static const unsigned UNPLACED = 1u << 31;

struct pattern_item {
    enum pattern_kind kind;
    bool match_case;
    struct slice text;
};

struct pattern_builder {
    struct arena arena;
    struct map known;
    VEC(struct pattern_item) items;
    size_t bytes;
};

// What a literal's match needs to be placed and to be checked for being a whole word.
struct pattern_info {
    uint32_t length; // bytes of an ASCII literal, code points of another
    bool literal, ascii, word_begin, word_end;
};

struct pattern_set {
    hs_database_t *scan, *places; // NULL without patterns, without regular expressions
    uint32_t count;
    uint64_t digest;
    struct pattern_info info[];
};

struct pattern_scratch {
    hs_scratch_t *hs;
};

enum result pattern_builder_open(struct pattern_builder **out)
{
    struct pattern_builder *b = alloc_zeroed(1, sizeof *b);
    if (!b)
        return RESULT_NOMEM;
    arena_init(&b->arena, 0, ARENA_CAP);
    map_init(&b->known, (struct hash_key){0, 0}, PATTERN_MAX);
    b->items.cap = PATTERN_MAX;
    *out = b;
    return RESULT_OK;
}

void pattern_builder_close(struct pattern_builder *b)
{
    if (!b)
        return;
    VEC_DEINIT(&b->items);
    map_deinit(&b->known);
    arena_deinit(&b->arena);
    alloc_free(b);
}

enum result pattern_add(struct pattern_builder *b, enum pattern_kind kind, struct slice text,
                        bool match_case, uint32_t *id)
{
    if (text.len == 0)
        return RESULT_SYNTAX;
    if (text.len > PATTERN_BYTES_MAX || text.len > PATTERN_TOTAL_MAX - b->bytes)
        return RESULT_LIMIT;
    if (!utf8_valid(text))
        return RESULT_UTF8;
    char *copy = arena_alloc_aligned(&b->arena, text.len + 2, 1);
    if (!copy)
        return RESULT_NOMEM;
    copy[0] = (char)('0' + (kind == PATTERN_REGEX) * 2 + match_case);
    memcpy(copy + 1, text.ptr, text.len);
    copy[text.len + 1] = '\0';
    struct slice key = slice_make(copy, text.len + 1);
    // The map's value is the id plus one, so that the first is not NULL.
    void *known = map_get(&b->known, key);
    if (known) {
        *id = (uint32_t)((uintptr_t)known - 1);
        return RESULT_OK;
    }
    if (b->items.len == PATTERN_MAX)
        return RESULT_LIMIT;
    enum result r = map_put(&b->known, key, (void *)(uintptr_t)(b->items.len + 1));
    if (r)
        return r;
    struct pattern_item item = {kind, match_case, slice_from(key, 1)};
    if (!VEC_PUSH(&b->items, item)) {
        map_remove(&b->known, key);
        return RESULT_NOMEM;
    }
    b->bytes += text.len;
    *id = (uint32_t)b->items.len - 1;
    return RESULT_OK;
}

uint32_t pattern_count(const struct pattern_builder *b)
{
    return (uint32_t)b->items.len;
}

uint64_t pattern_digest(const struct pattern_builder *b)
{
    uint64_t h = hash_fnv(SAVE_VERSION, slice_cstr(hs_version()));
    for (size_t i = 0; i < b->items.len; i++) {
        const struct pattern_item *it = &b->items.at[i];
        uint32_t head[2] = {(uint32_t)it->kind * 2 + it->match_case, (uint32_t)it->text.len};
        h = hash_fnv(h, slice_make(head, sizeof head));
        h = hash_fnv(h, it->text);
    }
    return h;
}

// The flags under which an expression is valid: with start offsets when `places` and where they go.
// Unicode character classes (UCP) are left out: they make scanning up to 80 times dearer.
static bool regex_flags(const char *expression, bool match_case, bool places, unsigned *flags,
                        char diag[PATTERN_DIAG_BYTES])
{
    unsigned base = HS_FLAG_UTF8 | (match_case ? 0 : HS_FLAG_CASELESS);
    const unsigned ladder[] = {base | (places ? HS_FLAG_SOM_LEFTMOST : HS_FLAG_SINGLEMATCH), base};
    for (size_t i = 0; i < (places ? 2 : 1); i++) {
        hs_expr_info_t *info = NULL;
        hs_compile_error_t *error = NULL;
        hs_error_t e = hs_expression_info(expression, ladder[i], &info, &error);
        free(info); // banned: ok, the library's malloc
        if (error && error->message)
            snprintf(diag, PATTERN_DIAG_BYTES, "%s", error->message);
        hs_free_compile_error(error);
        if (e == HS_SUCCESS) {
            *flags = ladder[i];
            return true;
        }
    }
    return false;
}

enum result pattern_check(struct slice regex, char diag[PATTERN_DIAG_BYTES])
{
    struct pattern_builder *b;
    uint32_t id;
    struct pattern_set *set = NULL;
    enum result r = pattern_builder_open(&b);
    if (r)
        return r;
    diag[0] = '\0';
    r = pattern_add(b, PATTERN_REGEX, regex, false, &id);
    if (!r)
        r = pattern_build(b, &set, &id, diag);
    else
        snprintf(diag, PATTERN_DIAG_BYTES, "%s",
                 r == RESULT_LIMIT  ? "longer than 4096 bytes"
                 : r == RESULT_UTF8 ? "not UTF-8"
                                    : "empty");
    pattern_set_close(set);
    pattern_builder_close(b);
    return r;
}

// A literal as an expression: letters and digits stand for themselves, other ASCII as \xHH.
static char *literal_expression(struct arena *arena, struct slice text)
{
    char *p = arena_alloc_aligned(arena, text.len * 4 + 1, 1);
    if (!p)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (plain)
            p[n++] = (char)c;
        else
            n += (size_t)snprintf(p + n, 5, "\\x%02x", c);
    }
    p[n] = '\0';
    return p;
}

static bool is_spaced_word(uint32_t code)
{
    if (code < 0x80)
        return (code >= '0' && code <= '9') || ((code | 32) >= 'a' && (code | 32) <= 'z');
    return utf8_is_word(code) && !utf8_is_cjk(code);
}

static struct pattern_info literal_info(struct slice text)
{
    struct pattern_info info = {.literal = true, .ascii = true};
    uint32_t code = 0, count = 0;
    for (size_t at = 0; at < text.len; count++) {
        code = utf8_next(text, &at);
        if (count == 0)
            info.word_begin = is_spaced_word(code);
        info.ascii &= code < 0x80;
    }
    info.word_end = is_spaced_word(code);
    info.length = count;
    return info;
}

static struct pattern_set *set_new(const struct pattern_builder *b)
{
    struct pattern_set *s = alloc_zeroed(1, sizeof *s + b->items.len * sizeof s->info[0]);
    if (!s)
        return NULL;
    s->count = (uint32_t)b->items.len;
    s->digest = pattern_digest(b);
    for (uint32_t i = 0; i < s->count; i++)
        if (b->items.at[i].kind == PATTERN_LITERAL)
            s->info[i] = literal_info(b->items.at[i].text);
    return s;
}

// The expressions of one of the two databases.
struct expressions {
    const char **text;
    unsigned *flags, *ids;
    unsigned count;
};

static enum result collect(const struct pattern_builder *b, const struct pattern_set *s,
                           bool places, struct arena *arena, struct expressions *x,
                           uint32_t *bad_id, char diag[PATTERN_DIAG_BYTES])
{
    *x = (struct expressions){arena_zeroed(arena, s->count, sizeof *x->text),
                              ARENA_ARRAY(arena, unsigned, s->count),
                              ARENA_ARRAY(arena, unsigned, s->count), 0};
    if (!x->text || !x->flags || !x->ids)
        return RESULT_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct pattern_item *it = &b->items.at[i];
        unsigned flags = it->match_case ? 0 : HS_FLAG_CASELESS;
        const char *text = it->text.ptr;
        if (it->kind == PATTERN_LITERAL) {
            if (places)
                continue;
            if (!s->info[i].ascii)
                flags |= HS_FLAG_UTF8 | HS_FLAG_UCP;
            if (!s->info[i].word_begin && !s->info[i].word_end)
                flags |= HS_FLAG_SINGLEMATCH;
            text = literal_expression(arena, it->text);
            if (!text)
                return RESULT_NOMEM;
        } else if (memchr(it->text.ptr, '\0', it->text.len)) {
            *bad_id = i;
            snprintf(diag, PATTERN_DIAG_BYTES, "holds a NUL; write \\x00");
            return RESULT_SYNTAX;
        } else if (!regex_flags(text, it->match_case, places, &flags, diag)) {
            *bad_id = i;
            return RESULT_SYNTAX;
        }
        x->text[x->count] = text;
        x->flags[x->count] = flags;
        x->ids[x->count++] = places && !(flags & HS_FLAG_SOM_LEFTMOST) ? i | UNPLACED : i;
    }
    return RESULT_OK;
}

static enum result compile(struct expressions *x, bool places, hs_database_t **out,
                           uint32_t *bad_id, char diag[PATTERN_DIAG_BYTES])
{
    // An expression may turn out too large for start offsets only here; then it goes without, once
    // each.
    for (unsigned tries = 0; x->count && tries <= x->count; tries++) {
        hs_compile_error_t *error = NULL;
        hs_error_t e =
            hs_compile_multi(x->text, x->flags, x->ids, x->count, HS_MODE_BLOCK, NULL, out, &error);
        if (e == HS_SUCCESS)
            return RESULT_OK;
        int at = error ? error->expression : -1;
        snprintf(diag, PATTERN_DIAG_BYTES, "%s",
                 error && error->message ? error->message : "does not compile");
        bool nomem =
            e == HS_NOMEM || (error && error->message && strstr(error->message, "allocate"));
        hs_free_compile_error(error);
        if (nomem)
            return RESULT_NOMEM;
        if (places && at >= 0 && (unsigned)at < x->count && (x->flags[at] & HS_FLAG_SOM_LEFTMOST)) {
            x->flags[at] &= ~(unsigned)HS_FLAG_SOM_LEFTMOST;
            x->ids[at] |= UNPLACED;
            continue;
        }
        *bad_id = at >= 0 && (unsigned)at < x->count ? x->ids[at] & ~UNPLACED : UINT32_MAX;
        return RESULT_SYNTAX;
    }
    return RESULT_OK;
}

enum result pattern_build(const struct pattern_builder *b, struct pattern_set **out,
                          uint32_t *bad_id, char diag[PATTERN_DIAG_BYTES])
{
    struct arena arena;
    struct expressions x;
    arena_init(&arena, 0, 16 * (size_t)PATTERN_TOTAL_MAX);
    diag[0] = '\0';
    *bad_id = UINT32_MAX;
    struct pattern_set *s = set_new(b);
    enum result r = s ? RESULT_OK : RESULT_NOMEM;
    for (int places = 0; !r && s->count && places < 2; places++) {
        r = collect(b, s, places, &arena, &x, bad_id, diag);
        if (!r)
            r = compile(&x, places, places ? &s->places : &s->scan, bad_id, diag);
    }
    arena_deinit(&arena);
    if (r)
        pattern_set_close(s);
    else
        *out = s;
    return r;
}

// The head of a saved set; the two databases follow it, serialised by the library.
struct save_head {
    char magic[8];
    uint32_t version, count;
    uint64_t digest; // of the patterns and the library's version
    uint32_t tune, reserved;
    uint64_t cpu_features;
    uint64_t scan_bytes, places_bytes;
    uint64_t check; // of the bytes behind the head
};

static enum result save_head_init(struct save_head *h, uint32_t count, uint64_t digest)
{
    hs_platform_info_t platform;
    if (hs_populate_platform(&platform) != HS_SUCCESS)
        return RESULT_UNSUPPORTED;
    *h = (struct save_head){.magic = "MERITPAT",
                            .version = SAVE_VERSION,
                            .count = count,
                            .digest = digest,
                            .tune = platform.tune,
                            .cpu_features = platform.cpu_features};
    return RESULT_OK;
}

enum result pattern_save(const struct pattern_set *s, struct buf *out)
{
    struct save_head h;
    char *bytes[2] = {NULL, NULL};
    size_t len[2] = {0, 0};
    enum result r = save_head_init(&h, s->count, s->digest);
    if (!r && ((s->scan && hs_serialize_database(s->scan, &bytes[0], &len[0]) != HS_SUCCESS) ||
               (s->places && hs_serialize_database(s->places, &bytes[1], &len[1]) != HS_SUCCESS)))
        r = RESULT_NOMEM;
    if (!r) {
        h.scan_bytes = len[0];
        h.places_bytes = len[1];
        h.check = hash_fnv(hash_fnv(0, slice_make(bytes[0], len[0])), slice_make(bytes[1], len[1]));
        buf_append(out, &h, sizeof h);
        buf_append(out, bytes[0], len[0]);
        buf_append(out, bytes[1], len[1]);
        r = buf_result(out);
    }
    free(bytes[0]); // banned: ok, the library's malloc
    free(bytes[1]); // banned: ok, the same
    return r;
}

static enum result load_database(struct slice bytes, hs_database_t **out)
{
    if (bytes.len == 0)
        return RESULT_OK;
    switch (hs_deserialize_database(bytes.ptr, bytes.len, out)) {
    case HS_SUCCESS:
        return RESULT_OK;
    case HS_NOMEM:
        return RESULT_NOMEM;
    case HS_DB_VERSION_ERROR:
    case HS_DB_PLATFORM_ERROR:
        return RESULT_VERSION;
    default:
        return RESULT_SYNTAX;
    }
}

enum result pattern_load(const struct pattern_builder *b, struct slice saved,
                         struct pattern_set **out)
{
    struct save_head want, h;
    enum result r = save_head_init(&want, pattern_count(b), pattern_digest(b));
    if (r)
        return r;
    if (saved.len < sizeof h)
        return RESULT_SYNTAX;
    memcpy(&h, saved.ptr, sizeof h);
    if (memcmp(h.magic, want.magic, sizeof h.magic) != 0)
        return RESULT_SYNTAX;
    if (h.version != want.version || h.count != want.count || h.digest != want.digest ||
        h.tune != want.tune || h.cpu_features != want.cpu_features)
        return RESULT_VERSION;
    struct slice rest = slice_from(saved, sizeof h);
    // The library trusts what it is given, so damaged bytes must not reach it.
    if (h.scan_bytes > rest.len || h.places_bytes != rest.len - h.scan_bytes ||
        (h.scan_bytes == 0) != (h.count == 0))
        return RESULT_SYNTAX;
    struct slice scan = slice_head(rest, h.scan_bytes), places = slice_from(rest, h.scan_bytes);
    if (hash_fnv(hash_fnv(0, scan), places) != h.check)
        return RESULT_SYNTAX;
    struct pattern_set *s = set_new(b);
    if (!s)
        return RESULT_NOMEM;
    r = load_database(scan, &s->scan);
    if (!r)
        r = load_database(places, &s->places);
    if (r)
        pattern_set_close(s);
    else
        *out = s;
    return r;
}

void pattern_set_close(struct pattern_set *s)
{
    if (!s)
        return;
    hs_free_database(s->scan);
    hs_free_database(s->places);
    alloc_free(s);
}

uint32_t pattern_set_count(const struct pattern_set *s)
{
    return s->count;
}

enum result pattern_scratch_open(struct pattern_scratch **out, const struct pattern_set *s)
{
    struct pattern_scratch *scratch = alloc_zeroed(1, sizeof *scratch);
    if (!scratch)
        return RESULT_NOMEM;
    if ((s->scan && hs_alloc_scratch(s->scan, &scratch->hs) != HS_SUCCESS) ||
        (s->places && hs_alloc_scratch(s->places, &scratch->hs) != HS_SUCCESS)) {
        pattern_scratch_close(scratch);
        return RESULT_NOMEM;
    }
    *out = scratch;
    return RESULT_OK;
}

void pattern_scratch_close(struct pattern_scratch *s)
{
    if (!s)
        return;
    hs_free_scratch(s->hs);
    alloc_free(s);
}

struct scan {
    const struct pattern_set *set;
    struct slice text;
    bool (*on_match)(void *ctx, const struct pattern_match *m);
    void *ctx;
    uint32_t left; // matches that may still be reported
    bool stopped;
};

// The start of the character that ends before `at` (> 0).
static size_t character_before(struct slice text, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)text.ptr[at] & 0xC0) == 0x80);
    return at;
}

static bool spaced_word_at(struct slice text, size_t at)
{
    unsigned char c = (unsigned char)text.ptr[at];
    return is_spaced_word(c < 0x80 ? c : utf8_next(text, &at));
}

static int on_scan(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *ctx)
{
    (void)from;
    (void)flags;
    struct scan *scan = ctx;
    const struct pattern_info *info = &scan->set->info[id];
    size_t begin = (size_t)to;
    if (info->literal) {
        if (info->word_end && to < scan->text.len && spaced_word_at(scan->text, (size_t)to))
            return 0;
        if (info->ascii)
            begin -= info->length;
        else
            for (uint32_t i = 0; i < info->length; i++)
                begin = character_before(scan->text, begin);
        if (info->word_begin && begin > 0 &&
            spaced_word_at(scan->text, character_before(scan->text, begin)))
            return 0;
    }
    struct pattern_match m = {id, (uint32_t)begin, (uint32_t)to};
    scan->stopped = scan->on_match(scan->ctx, &m);
    return scan->stopped;
}

static int on_place(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *ctx)
{
    (void)flags;
    struct scan *scan = ctx;
    if (scan->left == 0)
        return 1;
    scan->left--;
    struct pattern_match m = {id & ~UNPLACED, (uint32_t)(id & UNPLACED ? to : from), (uint32_t)to};
    scan->stopped = scan->on_match(scan->ctx, &m);
    return scan->stopped;
}

static enum result run(const hs_database_t *db, struct pattern_scratch *scratch, struct scan *scan,
                       match_event_handler cb)
{
    if (!db || scan->text.len == 0)
        return RESULT_OK;
    if (scan->text.len > UINT32_MAX)
        return RESULT_LIMIT;
    hs_error_t e = hs_scan(db, scan->text.ptr, (unsigned)scan->text.len, 0, scratch->hs, cb, scan);
    if (e == HS_SCAN_TERMINATED)
        return scan->stopped ? RESULT_OK : RESULT_LIMIT;
    assert(e == HS_SUCCESS);
    return e == HS_SUCCESS ? RESULT_OK : RESULT_UNSUPPORTED;
}

enum result pattern_scan(const struct pattern_set *s, struct pattern_scratch *scratch,
                         struct slice text,
                         bool (*on_match)(void *ctx, const struct pattern_match *m), void *ctx)
{
    struct scan scan = {s, text, on_match, ctx, UINT32_MAX, false};
    return run(s->scan, scratch, &scan, on_scan);
}

enum result pattern_places(const struct pattern_set *s, struct pattern_scratch *scratch,
                           struct slice text,
                           bool (*on_match)(void *ctx, const struct pattern_match *m), void *ctx)
{
    struct scan scan = {s, text, on_match, ctx, PATTERN_PLACES_MAX, false};
    return run(s->places, scratch, &scan, on_place);
}
