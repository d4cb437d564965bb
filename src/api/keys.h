// Keys of callers: who may knock, as whom, until when and how often.
//
// A key's secret is "merit-sk-", KEY_RANDOM base62 characters from the kernel and KEY_CHECK more that are a CRC-32 of
// those before, so that a typing mistake and a scanner for leaked secrets need no look-up. The secret is shown once;
// the file holds its SHA-256. (A fast hash is right here: 190 random bits cannot be guessed, a password could.)
//
// The file has one line per key behind a first line `merit-keys 1`:
//   key k-4Fz0aQ9x sha256=HEX caller=NAME team=NAME tenant=NAME groups=a,b label=phi region=eu scopes=traffic
//       created=TIME expires=TIME rate=600 revoked=TIME                                            (one line; TIME is ISO 8601, UTC)
// An unknown field is an error, because it may be a restriction that this build does not know.
//
// A `key_set` is an immutable snapshot, shared by all loops, reference-counted. Only the rate limits' state in it
// changes (atomically); a reload carries it over.
#ifndef MERIT_API_KEYS_H
#define MERIT_API_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/result.h"
#include "base/slice.h"
#include "work/work.h"

enum {
    KEYS_MAX = 10000,
    KEYS_BYTES_MAX = 16 * 1024 * 1024,
    KEY_ID_MAX = 32, // bytes, letters, digits, '-', '_'
    KEY_NAME_MAX =
        128, // of caller, team, tenant, region, group, label: letters, digits and . _ - @ : / +
    KEY_RANDOM = 32,
    KEY_CHECK = 6,
    KEY_SECRET_LEN = 9 + KEY_RANDOM + KEY_CHECK,
    KEY_HASH_BYTES = 32,
    KEY_RATE_MAX = 1000000,  // requests per minute
    KEY_CACHE_ENTRIES = 512, // power of two
};

enum key_scope {
    KEY_SCOPE_TRAFFIC = 1 << 0,       // the traffic side
    KEY_SCOPE_ADMIN = 1 << 1,         // the admin side
    KEY_SCOPE_ROUTE_HEADERS = 1 << 2, // incoming x-merit-* and routing headers are obeyed
    KEY_SCOPE_COUNT_ = 3
};
// "traffic", "admin", "route-headers"
const char *key_scope_name(unsigned bit_index);
// A comma-separated list; 0 when a word is unknown or the list is empty.
uint32_t key_scopes_parse(struct slice list);

struct key {
    struct slice id;
    uint8_t hash[KEY_HASH_BYTES];
    struct work_caller caller; // known is true; caller.id, team, tenant, groups, labels
    struct slice region;       // where it asks from; empty: not said
    uint32_t scopes;           // enum key_scope bits
    uint64_t created_s;        // since 1970
    uint64_t expires_s;        // 0: never
    uint64_t revoked_s;        // 0: not
    uint32_t per_minute;       // 0: no limit
    uint32_t index;            // in its set
};

struct key_set;

// Reads the text of a key file. `old` (may be NULL) hands its rate limits' state on, by id. RESULT_SYNTAX,
// RESULT_DUPLICATE (an id or hash twice), RESULT_LIMIT, RESULT_NOMEM, with a sentence in `why`; RESULT_IO when the
// kernel gives no random bytes.
enum result key_set_parse(struct key_set **out, struct slice text, const struct key_set *old,
                          struct buf *why);
// The same from a file; a missing one is an empty set. A file that its group may write or others may touch is refused
// (RESULT_DENIED): it tells who the callers are, and whoever writes it lets himself in.
enum result key_set_load(struct key_set **out, const char *path, const struct key_set *old,
                         struct buf *why);
struct key_set *key_set_ref(struct key_set *s);
void key_set_unref(struct key_set *s);
uint32_t key_set_count(const struct key_set *s);
const struct key *key_set_at(const struct key_set *s, uint32_t i);
const struct key *key_set_by_id(const struct key_set *s, struct slice id);
// Keys that would open a door with one of these scopes now.
uint32_t key_set_usable(const struct key_set *s, uint32_t scopes, uint64_t now_s);

// "2026-11-21T10:30:00Z" (a NUL-terminated text) and back; only this form, years 1970 to 9999.
enum { KEY_TIME_LEN = 20 };
void key_time_print(uint64_t seconds, char out[KEY_TIME_LEN + 1]);
bool key_time_parse(struct slice text, uint64_t *seconds);
// Whether a text may be a caller, team, tenant or group.
bool key_name_ok(struct slice name);
// Whether a list is names with commas between, at most WORK_LABELS_MAX of them.
bool key_labels_ok(struct slice list);
// The line of the file, with a newline.
void key_print(const struct key *k, struct buf *out);

// What a thread remembers of secrets that it has seen, so that the hot path runs no SHA-256. An entry holds no secret
// but a 128-bit tag: two SipHash-1-3 of the secret under two random 128-bit keys that never leave the process. To be
// taken for a remembered secret another one must have the same tag, which without those keys is a guess with a chance
// of 2^-128; tags are compared whole and in constant time, and are never shown, so there is nothing to learn from.
// Only found keys are remembered, with the set they were found in; expiry, revocation and scope are looked at anew
// each time. One thread.
struct key_cache {
    struct hash_key keys[2];
    uint64_t serial; // of the set that the entries are of; another one empties the cache
    struct key_cache_entry {
        uint64_t tag[2];
        uint32_t index_plus_1;
    } entries[KEY_CACHE_ENTRIES];
};
// RESULT_IO when the kernel gives no random bytes.
enum result key_cache_init(struct key_cache *c);

enum key_verdict {
    KEY_OK,
    KEY_UNKNOWN, // no such secret, or not the form of one
    KEY_EXPIRED,
    KEY_REVOKED,
    KEY_SCOPE, // it exists, but not for this
    KEY_RATE,
};

// The key of a secret with all bits of `scopes`. `*key` is set whenever the secret is known, also with a bad verdict
// (for logs), else NULL; it lives as long as the set. Takes the same time for every wrong secret of the right form.
enum key_verdict keys_find(const struct key_set *s, struct key_cache *cache, struct slice secret,
                           uint32_t scopes, uint64_t now_s, const struct key **key);
// Takes one request from the key's limit: KEY_OK, or KEY_RATE with whole seconds to wait (at least 1). The limit
// holds over all threads together; half a minute's worth may come at once. Lock-free; a key without limit touches
// nothing shared. Any thread.
enum key_verdict keys_take(const struct key_set *s, const struct key *key, uint64_t mono_us,
                           uint32_t *wait_s);

// The secret in an Authorization header's value ("Bearer ..."), or an empty slice.
struct slice keys_bearer(struct slice authorization);

// ---- Changing the file. Each takes a lock beside it (PATH.lock) against other writers, and replaces it at once or
// not at all. RESULT_LIMIT, RESULT_IO (errno), RESULT_SYNTAX (the file is damaged), with a sentence in `why`.

struct key_spec {
    struct slice caller, team, tenant, region;
    struct slice groups[WORK_GROUPS_MAX];
    uint32_t group_count;
    struct slice labels; // with commas between, as key_labels_ok tells; may be empty
    uint32_t scopes;
    uint64_t expires_s;
    uint32_t per_minute;
};
struct key_made {
    char id[KEY_ID_MAX + 1];
    char secret[KEY_SECRET_LEN + 1]; // wipe it after showing it
};
enum result keys_create(const char *path, const struct key_spec *spec, uint64_t now_s,
                        struct key_made *made, struct buf *why);
// A new key with everything of the old one (a new id; its life as long as the old one's was); the old one expires
// `grace_s` from now at the latest. RESULT_NOT_FOUND; RESULT_DENIED when the old one is revoked.
enum result keys_rotate(const char *path, struct slice id, uint64_t grace_s, uint64_t now_s,
                        struct key_made *made, struct buf *why);
// RESULT_NOT_FOUND; RESULT_EXISTS when it was revoked before.
enum result keys_revoke(const char *path, struct slice id, uint64_t now_s, struct buf *why);

#endif
