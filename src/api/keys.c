#include "api/keys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/key_secret.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/sha256.h"

struct key_set {
    atomic_uint refs;
    uint64_t serial;
    struct arena arena;
    struct key *keys;
    uint32_t count;
    struct map by_hash, by_id;
    atomic_uint_fast64_t *busy_until_us; // per key: when its limit is at rest again
};

static const char *const scope_names[KEY_SCOPE_COUNT_] = {"traffic", "admin", "route-headers"};

const char *key_scope_name(unsigned bit_index)
{
    return bit_index < KEY_SCOPE_COUNT_ ? scope_names[bit_index] : "unknown";
}

uint32_t key_scopes_parse(struct slice list)
{
    uint32_t scopes = 0;
    struct slice word;
    while (slice_split(&list, ',', &word)) {
        unsigned i = 0;
        while (i < KEY_SCOPE_COUNT_ && !slice_eq_cstr(word, scope_names[i]))
            i++;
        if (i == KEY_SCOPE_COUNT_)
            return 0;
        scopes |= 1u << i;
    }
    return scopes;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool made_of(struct slice s, size_t most, const char *others)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && (!s.ptr[i] || !strchr(others, s.ptr[i])))
            return false;
    }
    return s.len && s.len <= most;
}

bool key_name_ok(struct slice name)
{
    return made_of(name, KEY_NAME_MAX, "._-@:/+");
}

bool key_labels_ok(struct slice list)
{
    struct slice word;
    uint32_t count = 0;
    while (slice_split(&list, ',', &word))
        if (!key_name_ok(word) || ++count > WORK_LABELS_MAX)
            return false;
    return count > 0;
}

// ---- Reading

enum key_field {
    FIELD_SHA256,
    FIELD_CALLER,
    FIELD_TEAM,
    FIELD_TENANT,
    FIELD_GROUPS,
    FIELD_LABEL,
    FIELD_SCOPES,
    FIELD_CREATED,
    FIELD_EXPIRES,
    FIELD_RATE,
    FIELD_REVOKED,
    FIELD_REGION,
    FIELD_COUNT
};
static const char *const field_names[FIELD_COUNT] = {"sha256",  "caller", "team",    "tenant",
                                                     "groups",  "label",  "scopes",  "created",
                                                     "expires", "rate",   "revoked", "region"};

static bool hash_parse(struct slice text, uint8_t out[KEY_HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    if (text.len != (size_t)2 * KEY_HASH_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(digits, text.ptr[i], 16);
        if (!at)
            return false;
        unsigned nibble = (unsigned)(at - digits);
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | nibble : nibble << 4);
    }
    return true;
}

static bool groups_parse(struct slice list, struct work_caller *c)
{
    struct slice word;
    while (slice_split(&list, ',', &word)) {
        if (!key_name_ok(word) || c->group_count == WORK_GROUPS_MAX)
            return false;
        c->groups[c->group_count++] = word;
    }
    return true;
}

static bool field_parse(struct key *k, enum key_field field, struct slice value)
{
    struct slice *name = field == FIELD_CALLER   ? &k->caller.id
                         : field == FIELD_TEAM   ? &k->caller.team
                         : field == FIELD_REGION ? &k->region
                                                 : &k->caller.tenant;
    uint64_t *time = field == FIELD_CREATED   ? &k->created_s
                     : field == FIELD_EXPIRES ? &k->expires_s
                                              : &k->revoked_s;
    uint64_t rate;
    switch (field) {
    case FIELD_SHA256:
        return hash_parse(value, k->hash);
    case FIELD_CALLER:
    case FIELD_TEAM:
    case FIELD_TENANT:
    case FIELD_REGION:
        *name = value;
        return key_name_ok(value);
    case FIELD_GROUPS:
        return groups_parse(value, &k->caller);
    case FIELD_LABEL:
        work_caller_label(&k->caller, value);
        return key_labels_ok(value);
    case FIELD_SCOPES:
        k->scopes = key_scopes_parse(value);
        return k->scopes != 0;
    case FIELD_CREATED:
    case FIELD_EXPIRES:
    case FIELD_REVOKED:
        return key_time_parse(value, time) && *time;
    case FIELD_RATE:
        if (!slice_u64(value, &rate) || !rate || rate > KEY_RATE_MAX)
            return false;
        k->per_minute = (uint32_t)rate;
        return true;
    default:
        return false;
    }
}

// NULL, or what is wrong.
static const char *line_parse(struct key *k, struct slice line, struct slice *bad)
{
    struct slice word;
    unsigned seen = 0;
    *bad = SLICE_EMPTY;
    slice_split(&line, ' ', &word);
    if (!slice_eq_cstr(word, "key"))
        return "a line begins with `key`";
    if (!slice_split(&line, ' ', &k->id) || !made_of(k->id, KEY_ID_MAX, "-_"))
        return "an id is letters, digits, - and _";
    while (slice_split(&line, ' ', &word)) {
        if (!word.len)
            continue;
        struct slice value = word, name;
        slice_split(&value, '=', &name);
        unsigned f = 0;
        while (f < FIELD_COUNT && !slice_eq_cstr(name, field_names[f]))
            f++;
        *bad = name;
        if (f == FIELD_COUNT)
            return "a field that this build does not know, perhaps a restriction; update merit";
        if (seen & 1u << f)
            return "a field stands twice";
        seen |= 1u << f;
        if (!value.ptr || !field_parse(k, (enum key_field)f, value))
            return "a value is not of its form";
    }
    *bad = SLICE_EMPTY;
    unsigned needed =
        1u << FIELD_SHA256 | 1u << FIELD_CALLER | 1u << FIELD_SCOPES | 1u << FIELD_CREATED;
    k->caller.known = true;
    return (seen & needed) == needed ? NULL : "sha256, caller, scopes and created are needed";
}

static enum result set_add(struct key_set *s, struct slice line, uint32_t number, struct buf *why)
{
    struct key *k = s->keys + s->count;
    struct slice bad;
    const char *what = line_parse(k, line, &bad);
    if (what) {
        buf_printf(why, "line %u: %s%s%.*s\n", number, what, bad.len ? ": " : "",
                   SLICE_FMT(slice_head(bad, 40)));
        return RESULT_SYNTAX;
    }
    struct slice hash = slice_make(k->hash, KEY_HASH_BYTES);
    if (map_get(&s->by_id, k->id) || map_get(&s->by_hash, hash)) {
        buf_printf(why, "line %u: the key %.*s stands twice; take one away\n", number,
                   SLICE_FMT(k->id));
        return RESULT_DUPLICATE;
    }
    k->index = s->count++;
    enum result r = map_put(&s->by_id, k->id, k);
    return r ? r : map_put(&s->by_hash, hash, k);
}

static uint32_t lines_of(struct slice text)
{
    uint32_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

static enum result set_fill(struct key_set *s, struct slice text, const struct key_set *old,
                            struct buf *why)
{
    // No more keys than lines; the cap is checked as they come, so that comments do not count.
    uint32_t room = lines_of(text);
    if (room > KEYS_MAX + 1)
        room = KEYS_MAX + 1;
    s->keys = ARENA_ARRAY(&s->arena, struct key, room);
    s->busy_until_us = ARENA_ARRAY(&s->arena, atomic_uint_fast64_t, room);
    struct slice rest = arena_copy(&s->arena, text), line;
    if (!s->keys || !s->busy_until_us || !rest.ptr)
        return RESULT_NOMEM;
    bool versioned = false;
    for (uint32_t number = 1; slice_split(&rest, '\n', &line); number++) {
        line = slice_trim(line);
        if (!line.len || line.ptr[0] == '#')
            continue;
        if (!versioned) {
            if (!slice_eq_cstr(line, "merit-keys 1")) {
                buf_printf(why, "line %u: a key file begins with `merit-keys 1`\n", number);
                return RESULT_SYNTAX;
            }
            versioned = true;
            continue;
        }
        if (s->count == KEYS_MAX) {
            buf_printf(why, "line %u: more than %d keys; drop revoked and expired ones\n", number,
                       KEYS_MAX);
            return RESULT_LIMIT;
        }
        enum result r = set_add(s, line, number, why);
        if (r)
            return r;
    }
    for (uint32_t i = 0; old && i < s->count; i++) {
        const struct key *before = map_get(&old->by_id, s->keys[i].id);
        if (before)
            atomic_store(s->busy_until_us + i, atomic_load(old->busy_until_us + before->index));
    }
    return RESULT_OK;
}

enum result key_set_parse(struct key_set **out, struct slice text, const struct key_set *old,
                          struct buf *why)
{
    static atomic_uint_fast64_t serials;
    struct hash_key seed;
    if (text.len > KEYS_BYTES_MAX) {
        buf_printf(why, "a key file has at most %d bytes\n", KEYS_BYTES_MAX);
        return RESULT_LIMIT;
    }
    if (rng_secret(&seed, sizeof seed))
        return RESULT_IO;
    struct key_set *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    atomic_store(&s->refs, 1);
    s->serial = atomic_fetch_add(&serials, 1) + 1;
    arena_init(&s->arena, 0, KEYS_BYTES_MAX + (KEYS_MAX + 1) * (sizeof(struct key) + 64));
    map_init(&s->by_hash, seed, KEYS_MAX);
    map_init(&s->by_id, seed, KEYS_MAX);
    enum result r = set_fill(s, text, old, why);
    if (r) {
        key_set_unref(s);
        return r;
    }
    *out = s;
    return RESULT_OK;
}

enum result key_set_load(struct key_set **out, const char *path, const struct key_set *old,
                         struct buf *why)
{
    struct stat st;
    struct buf text, what;
    char room[FILE_ERROR_BYTES];
    buf_init(&text, KEYS_BYTES_MAX);
    buf_init(&what, 4096);
    enum result r = RESULT_OK;
    if (stat(path, &st)) {
        if (errno != ENOENT)
            r = RESULT_IO;
    } else if (st.st_mode & 027) {
        buf_printf(why, "%s: others may read or change this file; run: chmod 600 %s\n", path, path);
        r = RESULT_DENIED;
    } else {
        r = file_read(path, &text);
    }
    if (r == RESULT_IO)
        buf_printf(why, "%s: cannot be read: %s\n", path, file_error(errno, room));
    if (!r)
        r = key_set_parse(out, buf_slice(&text), old, &what);
    if (what.len)
        buf_printf(why, "%s: %.*s", path, SLICE_FMT(buf_slice(&what)));
    buf_deinit(&what);
    buf_deinit(&text);
    return r;
}

struct key_set *key_set_ref(struct key_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void key_set_unref(struct key_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    map_deinit(&s->by_hash);
    map_deinit(&s->by_id);
    arena_deinit(&s->arena);
    alloc_free(s);
}

uint32_t key_set_count(const struct key_set *s)
{
    return s->count;
}

const struct key *key_set_at(const struct key_set *s, uint32_t i)
{
    return i < s->count ? s->keys + i : NULL;
}

const struct key *key_set_by_id(const struct key_set *s, struct slice id)
{
    return map_get(&s->by_id, id);
}

uint32_t key_set_usable(const struct key_set *s, uint32_t scopes, uint64_t now_s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct key *k = s->keys + i;
        n += (k->scopes & scopes) && !k->revoked_s && (!k->expires_s || k->expires_s > now_s);
    }
    return n;
}

// ---- Looking up

enum result key_cache_init(struct key_cache *c)
{
    memset(c, 0, sizeof *c);
    return rng_secret(c->keys, sizeof c->keys);
}

static bool equal_in_constant_time(const uint8_t *a, const uint8_t *b, size_t n)
{
    volatile uint8_t differ = 0;
    for (size_t i = 0; i < n; i++)
        differ = (uint8_t)(differ | (a[i] ^ b[i]));
    return !differ;
}

static const struct key *find(const struct key_set *s, struct key_cache *cache, struct slice secret)
{
    if (secret.len != KEY_SECRET_LEN)
        return NULL;
    if (cache->serial != s->serial) {
        memset(cache->entries, 0, sizeof cache->entries);
        cache->serial = s->serial;
    }
    uint64_t tag[2] = {hash_sip13(&cache->keys[0], secret), hash_sip13(&cache->keys[1], secret)};
    struct key_cache_entry *e = cache->entries + (tag[0] & (KEY_CACHE_ENTRIES - 1));
    uint64_t differ = (e->tag[0] ^ tag[0]) | (e->tag[1] ^ tag[1]);
    if (!differ && e->index_plus_1)
        return s->keys + e->index_plus_1 - 1;
    if (!key_secret_ok(secret))
        return NULL;
    uint8_t hash[SHA256_BYTES];
    sha256_of(secret, hash);
    // The table is keyed by a random seed, so where it stops looking tells nothing of the hash.
    const struct key *k = map_get(&s->by_hash, slice_make(hash, sizeof hash));
    if (!k || !equal_in_constant_time(k->hash, hash, sizeof hash))
        return NULL;
    *e = (struct key_cache_entry){{tag[0], tag[1]}, k->index + 1};
    return k;
}

enum key_verdict keys_find(const struct key_set *s, struct key_cache *cache, struct slice secret,
                           uint32_t scopes, uint64_t now_s, const struct key **key)
{
    const struct key *k = *key = find(s, cache, secret);
    if (!k)
        return KEY_UNKNOWN;
    if (k->revoked_s)
        return KEY_REVOKED;
    if (k->expires_s && k->expires_s <= now_s)
        return KEY_EXPIRED;
    return (k->scopes & scopes) == scopes ? KEY_OK : KEY_SCOPE;
}

// The generic cell rate algorithm (ITU-T I.371): a token bucket whose whole state is one time.
enum key_verdict keys_take(const struct key_set *s, const struct key *key, uint64_t mono_us,
                           uint32_t *wait_s)
{
    *wait_s = 0;
    if (!key->per_minute)
        return KEY_OK;
    uint64_t each_us = 60000000 / key->per_minute;
    uint64_t burst_us = each_us * (key->per_minute > 1 ? key->per_minute / 2 : 1);
    atomic_uint_fast64_t *busy = s->busy_until_us + key->index;
    uint64_t until = atomic_load_explicit(busy, memory_order_relaxed);
    for (;;) {
        uint64_t next = (until > mono_us ? until : mono_us) + each_us;
        if (next - mono_us > burst_us) {
            *wait_s = (uint32_t)((next - mono_us - burst_us + 999999) / 1000000);
            return KEY_RATE;
        }
        if (atomic_compare_exchange_weak_explicit(busy, &until, next, memory_order_relaxed,
                                                  memory_order_relaxed))
            return KEY_OK;
    }
}

struct slice keys_bearer(struct slice authorization)
{
    if (authorization.len < 7 || !slice_ieq(slice_head(authorization, 7), SLICE("bearer ")))
        return SLICE_EMPTY;
    return slice_trim(slice_from(authorization, 7));
}
