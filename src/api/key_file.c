// Changes of the key file: under a lock, written anew, at once or not at all.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "api/key_secret.h"
#include "base/file.h"
#include "base/sha256.h"

static void name_print(struct buf *out, const char *field, struct slice value)
{
    if (value.len)
        buf_printf(out, " %s=%.*s", field, SLICE_FMT(value));
}

static void time_print(struct buf *out, const char *field, uint64_t seconds)
{
    char text[KEY_TIME_LEN + 1];
    if (!seconds)
        return;
    key_time_print(seconds, text);
    buf_printf(out, " %s=%s", field, text);
}

void key_print(const struct key *k, struct buf *out)
{
    char hex[2 * KEY_HASH_BYTES];
    sha256_hex(k->hash, KEY_HASH_BYTES, hex);
    buf_printf(out, "key %.*s sha256=%.*s", SLICE_FMT(k->id), (int)sizeof hex, hex);
    name_print(out, "caller", k->caller.id);
    name_print(out, "team", k->caller.team);
    name_print(out, "tenant", k->caller.tenant);
    for (uint32_t i = 0; i < k->caller.group_count; i++)
        buf_printf(out, "%s%.*s", i ? "," : " groups=", SLICE_FMT(k->caller.groups[i]));
    for (uint32_t i = 0; i < k->caller.label_count; i++)
        buf_printf(out, "%s%.*s", i ? "," : " label=", SLICE_FMT(k->caller.labels[i]));
    name_print(out, "region", k->region);
    const char *separator = " scopes=";
    for (unsigned i = 0; i < KEY_SCOPE_COUNT_; i++) {
        if (k->scopes & 1u << i) {
            buf_printf(out, "%s%s", separator, key_scope_name(i));
            separator = ",";
        }
    }
    time_print(out, "created", k->created_s);
    time_print(out, "expires", k->expires_s);
    if (k->per_minute)
        buf_printf(out, " rate=%u", k->per_minute);
    time_print(out, "revoked", k->revoked_s);
    buf_byte(out, '\n');
}

struct edit {
    const char *path;
    struct buf *why;
    int lock;
    struct key_set *set;
};

// Locks and reads. The lock is a file beside it, because the key file itself is replaced.
static enum result edit_open(struct edit *e, const char *path, struct buf *why)
{
    char lock[PATH_MAX], room[FILE_ERROR_BYTES];
    *e = (struct edit){.path = path, .why = why, .lock = -1};
    int n = snprintf(lock, sizeof lock, "%s.lock", path);
    if (n > 0 && (size_t)n < sizeof lock)
        e->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    else
        errno = ENAMETOOLONG;
    int r = e->lock < 0 ? -1 : 0;
    while (!r && (r = flock(e->lock, LOCK_EX)) && errno == EINTR)
        r = 0;
    if (r) {
        buf_printf(why, "%s: cannot be locked: %s\n", lock, file_error(errno, room));
        return RESULT_IO;
    }
    return key_set_load(&e->set, path, NULL, why);
}

static void edit_close(struct edit *e)
{
    key_set_unref(e->set);
    if (e->lock >= 0)
        close(e->lock);
}

// Writes all keys of the set, `changed` in the place of the one with its id, or behind the others.
static enum result edit_write(struct edit *e, const struct key *changed, const struct key *added)
{
    struct buf text;
    buf_init(&text, KEYS_BYTES_MAX);
    BUF_LIT(&text, "merit-keys 1\n# Written by `merit key`. Comments in this file are not kept.\n");
    for (uint32_t i = 0; i < key_set_count(e->set); i++) {
        const struct key *k = key_set_at(e->set, i);
        key_print(changed && slice_eq(changed->id, k->id) ? changed : k, &text);
    }
    if (added)
        key_print(added, &text);
    enum result r = buf_result(&text);
    char room[FILE_ERROR_BYTES];
    if (!r)
        r = file_replace(e->path, buf_slice(&text), 0600);
    if (r == RESULT_IO)
        buf_printf(e->why, "%s: cannot be written: %s; nothing was changed\n", e->path,
                   file_error(errno, room));
    buf_deinit(&text);
    return r;
}

static enum result edit_add(struct edit *e, struct key *k, const struct key *changed,
                            struct key_made *made)
{
    if (key_set_count(e->set) >= KEYS_MAX) {
        buf_printf(e->why, "%s: there are %d keys already; take revoked ones out of the file\n",
                   e->path, KEYS_MAX);
        return RESULT_LIMIT;
    }
    enum { RANDOM_ID = 8 };
    memcpy(made->id, "k-", 2);
    made->id[2 + RANDOM_ID] = 0;
    k->id = slice_make(made->id, 2 + RANDOM_ID);
    enum result r;
    do {
        r = key_random(made->id + 2, RANDOM_ID);
    } while (!r && key_set_by_id(e->set, k->id));
    if (!r)
        r = key_secret_make(made->secret);
    if (r) {
        BUF_LIT(e->why, "the system gives no random bytes\n");
        return r;
    }
    sha256_of(slice_make(made->secret, KEY_SECRET_LEN), k->hash);
    return edit_write(e, changed, k);
}

enum result keys_create(const char *path, const struct key_spec *spec, uint64_t now_s,
                        struct key_made *made, struct buf *why)
{
    struct edit e;
    struct key k = {.scopes = spec->scopes,
                    .created_s = now_s,
                    .expires_s = spec->expires_s,
                    .region = spec->region,
                    .per_minute = spec->per_minute};
    k.caller = (struct work_caller){
        .known = true, .id = spec->caller, .team = spec->team, .tenant = spec->tenant};
    k.caller.group_count = spec->group_count;
    memcpy(k.caller.groups, spec->groups, sizeof k.caller.groups);
    work_caller_label(&k.caller, spec->labels);
    enum result r = edit_open(&e, path, why);
    if (!r)
        r = edit_add(&e, &k, NULL, made);
    if (r)
        explicit_bzero(made, sizeof *made);
    edit_close(&e);
    return r;
}

static enum result edit_find(struct edit *e, struct slice id, struct key *out)
{
    const struct key *k = key_set_by_id(e->set, id);
    if (!k) {
        buf_printf(e->why, "%s: no key has the id \"%.*s\"; `merit key list` shows them\n", e->path,
                   SLICE_FMT(slice_head(id, KEY_ID_MAX)));
        return RESULT_NOT_FOUND;
    }
    *out = *k;
    return RESULT_OK;
}

enum result keys_rotate(const char *path, struct slice id, uint64_t grace_s, uint64_t now_s,
                        struct key_made *made, struct buf *why)
{
    struct edit e;
    struct key old, fresh;
    enum result r = edit_open(&e, path, why);
    if (!r)
        r = edit_find(&e, id, &old);
    if (!r && old.revoked_s) {
        buf_printf(why, "the key %.*s is revoked; create a new one\n", SLICE_FMT(old.id));
        r = RESULT_DENIED;
    }
    if (!r) {
        fresh = old;
        fresh.created_s = now_s;
        if (old.expires_s)
            fresh.expires_s =
                now_s + (old.expires_s > old.created_s ? old.expires_s - old.created_s : 0);
        if (!old.expires_s || old.expires_s > now_s + grace_s)
            old.expires_s = now_s + grace_s;
        r = edit_add(&e, &fresh, &old, made);
    }
    if (r)
        explicit_bzero(made, sizeof *made);
    edit_close(&e);
    return r;
}

enum result keys_revoke(const char *path, struct slice id, uint64_t now_s, struct buf *why)
{
    struct edit e;
    struct key k;
    enum result r = edit_open(&e, path, why);
    if (!r)
        r = edit_find(&e, id, &k);
    if (!r && k.revoked_s) {
        buf_printf(why, "the key %.*s is revoked already\n", SLICE_FMT(k.id));
        r = RESULT_EXISTS;
    }
    if (!r) {
        k.revoked_s = now_s;
        r = edit_write(&e, &k, NULL);
    }
    edit_close(&e);
    return r;
}
