// Keys: the file's form, look-up with and without the cache, expiry, scopes, rates, changes under faults.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/key_secret.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"

enum { NOW = 1790000000 };

static char dir[] = "/tmp/merit-keys-XXXXXX";
static char path[64], lock_path[70];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/keys", dir);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(path);
    unlink(lock_path);
    return rmdir(dir); // fails when a temporary file was left behind
}

static int fresh(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static struct key_set *load(const struct key_set *old)
{
    struct key_set *s = NULL;
    struct buf why;
    buf_init(&why, 4096);
    enum result r = key_set_load(&s, path, old, &why);
    if (r)
        fail_msg("%s: %.*s", result_name(r), SLICE_FMT(buf_slice(&why)));
    buf_deinit(&why);
    return s;
}

static struct key_made create(const struct key_spec *spec)
{
    struct key_made made;
    struct buf why;
    buf_init(&why, 4096);
    assert_int_equal(keys_create(path, spec, NOW, &made, &why), RESULT_OK);
    assert_int_equal(why.len, 0);
    return made;
}

static const struct key_spec plain = {.caller = {"ada", 3}, .scopes = KEY_SCOPE_TRAFFIC};

static void a_key_opens_its_doors(void **state)
{
    (void)state;
    struct key_spec spec = {.caller = SLICE("ada"),
                            .team = SLICE("engines"),
                            .tenant = SLICE("analytical"),
                            .groups = {SLICE("staff"), SLICE("on-call")},
                            .group_count = 2,
                            .labels = SLICE("phi,eu"),
                            .scopes = KEY_SCOPE_TRAFFIC | KEY_SCOPE_ROUTE_HEADERS,
                            .expires_s = NOW + 100};
    struct key_made made = create(&spec), other = create(&plain);
    assert_int_equal(strlen(made.secret), KEY_SECRET_LEN);
    assert_true(key_secret_ok(slice_cstr(made.secret)));
    assert_string_not_equal(made.secret, other.secret);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct buf text;
    buf_init(&text, 1 << 16);
    assert_int_equal(file_read(path, &text), RESULT_OK);
    assert_true(slice_find(buf_slice(&text), slice_cstr(made.secret)) < 0);
    buf_deinit(&text);

    struct key_set *s = load(NULL);
    struct key_cache cache;
    assert_int_equal(key_cache_init(&cache), RESULT_OK);
    const struct key *k;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                         KEY_OK);
        assert_true(slice_eq_cstr(k->id, made.id));
        assert_true(slice_eq_cstr(k->caller.team, "engines"));
        assert_true(k->caller.known);
        assert_int_equal(k->caller.group_count, 2);
        assert_true(slice_eq_cstr(k->caller.groups[1], "on-call"));
        assert_true(k->caller.label_count == 2 && slice_eq_cstr(k->caller.labels[1], "eu"));
        assert_int_equal(keys_find(s, &cache, slice_cstr(other.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                         KEY_OK);
        assert_true(slice_eq_cstr(k->caller.id, "ada"));
        // What was remembered is still judged each time.
        assert_int_equal(
            keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW + 99, &k), KEY_OK);
        assert_int_equal(
            keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW + 100, &k),
            KEY_EXPIRED);
        assert_non_null(k);
        assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_ADMIN, NOW, &k),
                         KEY_SCOPE);
        assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret),
                                   KEY_SCOPE_TRAFFIC | KEY_SCOPE_ADMIN, NOW, &k),
                         KEY_SCOPE);
    }
    assert_int_equal(key_set_usable(s, KEY_SCOPE_TRAFFIC, NOW), 2);
    assert_int_equal(key_set_usable(s, KEY_SCOPE_TRAFFIC, NOW + 100), 1);
    assert_int_equal(key_set_usable(s, KEY_SCOPE_ADMIN, NOW), 0);
    key_set_unref(s);
}

// Every one-character change of a good secret is refused, without and with a full cache.
static void wrong_secrets_are_unknown(void **state)
{
    (void)state;
    struct key_made made = create(&plain);
    struct key_set *s = load(NULL);
    struct key_cache cache;
    assert_int_equal(key_cache_init(&cache), RESULT_OK);
    const struct key *k;
    assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                     KEY_OK);
    for (size_t i = 0; i < KEY_SECRET_LEN; i++) {
        struct key_made bad = made;
        bad.secret[i] = bad.secret[i] == 'x' ? 'y' : 'x';
        assert_int_equal(keys_find(s, &cache, slice_cstr(bad.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                         KEY_UNKNOWN);
        assert_null(k);
    }
    // The form of one, but of nobody.
    for (int i = 0; i < 2000; i++) {
        char secret[KEY_SECRET_LEN + 1];
        assert_int_equal(key_secret_make(secret), RESULT_OK);
        assert_int_equal(keys_find(s, &cache, slice_cstr(secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                         KEY_UNKNOWN);
    }
    static const char *const forms[] = {"", "merit-sk-", "sk-abc",
                                        "merit-sk-0123456789012345678901234567890123456789"};
    for (size_t i = 0; i < MERIT_COUNT(forms); i++)
        assert_int_equal(keys_find(s, &cache, slice_cstr(forms[i]), KEY_SCOPE_TRAFFIC, NOW, &k),
                         KEY_UNKNOWN);
    key_set_unref(s);
}

// An entry of the cache with the right place and half the tag is no key; a reload empties the cache.
static void cache_compares_whole_tags(void **state)
{
    (void)state;
    struct key_made made = create(&plain);
    struct key_set *s = load(NULL);
    struct key_cache cache;
    assert_int_equal(key_cache_init(&cache), RESULT_OK);
    const struct key *k;
    keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW, &k);
    struct key_cache_entry *e = cache.entries;
    while (!e->index_plus_1)
        e++;
    char other[KEY_SECRET_LEN + 1];
    assert_int_equal(key_secret_make(other), RESULT_OK);
    // Puts the first half of the other secret's tag, in its own place, before the known key.
    uint64_t first = hash_sip13(&cache.keys[0], slice_cstr(other));
    cache.entries[first & (KEY_CACHE_ENTRIES - 1)] =
        (struct key_cache_entry){{first, e->tag[1]}, 1};
    assert_int_equal(keys_find(s, &cache, slice_cstr(other), KEY_SCOPE_TRAFFIC, NOW, &k),
                     KEY_UNKNOWN);
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(keys_revoke(path, slice_cstr(made.id), NOW + 1, &why), RESULT_OK);
    struct key_set *after = load(s);
    assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                     KEY_OK);
    assert_int_equal(keys_find(after, &cache, slice_cstr(made.secret), KEY_SCOPE_TRAFFIC, NOW, &k),
                     KEY_REVOKED);
    assert_int_equal(k->revoked_s, NOW + 1);
    assert_int_equal(keys_revoke(path, slice_cstr(made.id), NOW + 2, &why), RESULT_EXISTS);
    assert_int_equal(keys_revoke(path, SLICE("k-nobody"), NOW + 2, &why), RESULT_NOT_FOUND);
    buf_deinit(&why);
    key_set_unref(after);
    key_set_unref(s);
}

// The limiter beside a naive one that counts: over any minute at most rate + burst pass.
static void rate_holds(void **state)
{
    (void)state;
    struct key_spec spec = plain;
    static const uint32_t rates[] = {1, 3, 60, 600, 1000000};
    for (size_t i = 0; i < MERIT_COUNT(rates); i++) {
        unlink(path);
        spec.per_minute = rates[i];
        create(&spec);
        struct key_set *s = load(NULL);
        const struct key *k = key_set_at(s, 0);
        uint32_t burst = rates[i] > 1 ? rates[i] / 2 : 1, passed = 0, wait;
        uint64_t now = 5000000;
        for (uint32_t n = 0; n < burst; n++)
            assert_int_equal(keys_take(s, k, now, &wait), KEY_OK);
        assert_int_equal(keys_take(s, k, now, &wait), KEY_RATE);
        assert_in_range(wait, 1, 60);
        // Waiting as told is enough, waiting a whole second less is not.
        uint64_t later = now + (uint64_t)wait * 1000000;
        if (wait > 1) {
            uint32_t again;
            assert_int_equal(keys_take(s, k, later - 1000000, &again), KEY_RATE);
        }
        assert_int_equal(keys_take(s, k, later, &wait), KEY_OK);
        // A reload keeps the state.
        struct key_set *after = load(s);
        k = key_set_at(after, 0);
        while (keys_take(s, key_set_at(s, 0), later, &wait) == KEY_OK)
            passed++;
        assert_true(passed <= burst);
        key_set_unref(after);
        after = load(s);
        assert_int_equal(keys_take(after, key_set_at(after, 0), later, &wait), KEY_RATE);
        // A greedy client over a minute, from rest.
        uint64_t begin = later + 120000000, step = rates[i] > 10000 ? 29 : 10007;
        passed = 0;
        for (uint64_t t = begin; t < begin + 60000000; t += step)
            passed += keys_take(after, key_set_at(after, 0), t, &wait) == KEY_OK;
        assert_in_range(passed, rates[i], rates[i] + burst + 1);
        key_set_unref(after);
        key_set_unref(s);
    }
    struct key_set *s;
    unlink(path);
    create(&plain);
    s = load(NULL);
    uint32_t wait;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(keys_take(s, key_set_at(s, 0), 1, &wait), KEY_OK);
    key_set_unref(s);
}

struct taker {
    const struct key_set *set;
    uint32_t passed;
};

static void *take_many(void *arg)
{
    struct taker *t = arg;
    uint32_t wait;
    for (int i = 0; i < 20000; i++)
        t->passed += keys_take(t->set, key_set_at(t->set, 0), 1000, &wait) == KEY_OK;
    return NULL;
}

static void rate_holds_over_threads(void **state)
{
    (void)state;
    struct key_spec spec = plain;
    spec.per_minute = 20000;
    create(&spec);
    struct key_set *s = load(NULL);
    struct taker takers[4] = {{s, 0}, {s, 0}, {s, 0}, {s, 0}};
    pthread_t threads[4];
    uint32_t passed = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(threads + i, NULL, take_many, takers + i), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        passed += takers[i].passed;
    }
    assert_int_equal(passed, 10000);
    key_set_unref(s);
}

static void rotation_keeps_the_rest(void **state)
{
    (void)state;
    struct key_spec spec = plain;
    spec.expires_s = NOW + 1000;
    spec.per_minute = 7;
    spec.groups[0] = SLICE("g");
    spec.group_count = 1;
    struct key_made made = create(&spec), next;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(keys_rotate(path, slice_cstr(made.id), 60, NOW + 10, &next, &why), RESULT_OK);
    struct key_set *s = load(NULL);
    struct key_cache cache;
    assert_int_equal(key_cache_init(&cache), RESULT_OK);
    const struct key *k;
    assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), 1, NOW + 69, &k), KEY_OK);
    assert_int_equal(keys_find(s, &cache, slice_cstr(made.secret), 1, NOW + 70, &k), KEY_EXPIRED);
    assert_int_equal(keys_find(s, &cache, slice_cstr(next.secret), 1, NOW + 1009, &k), KEY_OK);
    assert_int_equal(keys_find(s, &cache, slice_cstr(next.secret), 1, NOW + 1010, &k), KEY_EXPIRED);
    assert_int_equal(k->per_minute, 7);
    assert_int_equal(k->caller.group_count, 1);
    key_set_unref(s);
    assert_int_equal(keys_revoke(path, slice_cstr(next.id), NOW, &why), RESULT_OK);
    assert_int_equal(keys_rotate(path, slice_cstr(next.id), 0, NOW, &next, &why), RESULT_DENIED);
    buf_deinit(&why);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TAIL " caller=a scopes=traffic created=2026-11-21T10:30:00Z"

static void bad_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        enum result result;
    } cases[] = {
        {"", "", RESULT_OK},
        {"merit-keys 1\n\n# x\nkey a sha256=" HEX TAIL "\n", "", RESULT_OK},
        {"key a sha256=" HEX TAIL "\n", "line 1: a key file begins", RESULT_SYNTAX},
        {"merit-keys 2\n", "line 1: a key file begins", RESULT_SYNTAX},
        {"merit-keys 1\nkee a\n", "line 2: a line begins", RESULT_SYNTAX},
        {"merit-keys 1\nkey a/b sha256=" HEX TAIL, "an id is", RESULT_SYNTAX},
        {"merit-keys 1\nkey\n", "an id is", RESULT_SYNTAX},
        {"merit-keys 1\nkey a" TAIL, "are needed", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX, "are needed", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " only_from=10.0.0.0", "perhaps a restriction",
         RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " team=a team=b", "twice: team", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=0" HEX TAIL, "not of its form: sha256", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " expires=2026-02-29T00:00:00Z", "form: expires",
         RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " rate=0", "form: rate", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " rate", "form: rate", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " groups=a,,b", "form: groups", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " label=a,?", "form: label", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL " label=1,2,3,4,5,6,7,8,9", "form: label",
         RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX " caller=a scopes=root created=2026-11-21T10:30:00Z",
         "form: scopes", RESULT_SYNTAX},
        {"merit-keys 1\nkey a sha256=" HEX TAIL "\nkey b sha256=" HEX TAIL,
         "line 3: the key b stands twice", RESULT_DUPLICATE},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct key_set *s = NULL;
        struct buf why;
        buf_init(&why, 1000);
        enum result r = key_set_parse(&s, slice_cstr(cases[i].text), NULL, &why);
        if (r != cases[i].result || slice_find(buf_slice(&why), slice_cstr(cases[i].want)) < 0)
            fail_msg("%s: %s %.*s", cases[i].text, result_name(r), SLICE_FMT(buf_slice(&why)));
        buf_deinit(&why);
        if (!r)
            key_set_unref(s);
    }
    assert_int_equal(file_replace(path, SLICE("merit-keys 1\n"), 0644), RESULT_OK);
    struct key_set *s = NULL;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(key_set_load(&s, path, NULL, &why), RESULT_DENIED);
    assert_true(slice_find(buf_slice(&why), SLICE("chmod 600")) >= 0);
    buf_deinit(&why);
}

static void too_many_keys(void **state)
{
    (void)state;
    struct buf text, why;
    buf_init(&text, KEYS_BYTES_MAX);
    buf_init(&why, 1000);
    BUF_LIT(&text, "merit-keys 1\n");
    for (int i = 0; i < KEYS_MAX; i++)
        buf_printf(&text, "key k-%d sha256=%064x" TAIL "\n", i, i);
    struct key_set *s = NULL;
    assert_int_equal(key_set_parse(&s, buf_slice(&text), NULL, &why), RESULT_OK);
    assert_int_equal(key_set_count(s), KEYS_MAX);
    assert_true(slice_eq_cstr(key_set_by_id(s, SLICE("k-9999"))->id, "k-9999"));
    key_set_unref(s);
    assert_int_equal(file_replace(path, buf_slice(&text), 0600), RESULT_OK);
    struct key_made made;
    assert_int_equal(keys_create(path, &plain, NOW, &made, &why), RESULT_LIMIT);
    assert_int_equal(made.secret[0], 0);
    buf_printf(&text, "key k-one-more sha256=%064x" TAIL "\n", KEYS_MAX);
    assert_int_equal(key_set_parse(&s, buf_slice(&text), NULL, &why), RESULT_LIMIT);
    buf_deinit(&text);
    buf_deinit(&why);
}

static void times_read_back(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < 20000; i++) {
        uint64_t t = rng_below(&r, 253402300800u), back = 0; // to the end of 9999
        char text[KEY_TIME_LEN + 1];
        key_time_print(t, text);
        assert_true(key_time_parse(slice_cstr(text), &back));
        assert_int_equal(back, t);
    }
    static const char *const bad[] = {
        "2026-11-21T10:30:00",  "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z", "1900-01-01T00:00:00Z", "2026-11-21 10:30:00Z",
        "2026-11-21T24:00:00Z", "+026-11-21T10:30:00Z", "2100-02-29T00:00:00Z"};
    uint64_t t;
    for (size_t i = 0; i < MERIT_COUNT(bad); i++)
        assert_false(key_time_parse(slice_cstr(bad[i]), &t));
    assert_true(key_time_parse(SLICE("2024-02-29T12:00:01Z"), &t));
    assert_int_equal(t, 1709208001);
}

// Whatever call fails, the old file stands and no secret is handed out.
static void writes_fail_cleanly(void **state)
{
    (void)state;
    struct key_made first = create(&plain), made;
    for (uint64_t n = 1;; n++) {
        assert_true(n < 100);
        struct buf why;
        buf_init(&why, 1000);
        file_fail_at(n);
        enum result r = keys_create(path, &plain, NOW, &made, &why);
        file_fail_at(0);
        bool explained = why.len > 0;
        buf_deinit(&why);
        struct key_set *s = load(NULL);
        assert_int_equal(key_set_count(s), r ? 1 : 2);
        assert_non_null(key_set_by_id(s, slice_cstr(first.id)));
        key_set_unref(s);
        if (!r)
            break;
        assert_int_equal(r, RESULT_IO);
        assert_true(explained);
        assert_int_equal(made.secret[0], 0);
    }
    for (uint64_t n = 1;; n++) {
        assert_true(n < 1000);
        struct buf why;
        uint64_t before = alloc_count();
        alloc_fail_at(n, 0);
        buf_init(&why, 1000);
        enum result r = keys_create(path, &plain, NOW, &made, &why);
        buf_deinit(&why);
        alloc_fail_at(0, 0);
        if (alloc_count() - before < n) {
            assert_int_equal(r, RESULT_OK);
            break;
        }
        assert_int_equal(r, RESULT_NOMEM);
    }
    struct key_set *s = load(NULL);
    assert_int_equal(key_set_count(s), 3);
    key_set_unref(s);
}

// Writers at once: none loses another's key.
static void writers_wait_for_each_other(void **state)
{
    (void)state;
    enum { WRITERS = 4, EACH = 5 };
    pid_t pids[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        pids[w] = fork();
        assert_true(pids[w] >= 0);
        if (pids[w])
            continue;
        int bad = 0;
        for (int i = 0; i < EACH; i++) {
            struct key_made made;
            struct buf why;
            buf_init(&why, 1000);
            bad |= keys_create(path, &plain, NOW, &made, &why) != RESULT_OK;
            buf_deinit(&why);
        }
        _exit(bad);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
        assert_int_equal(status, 0);
    }
    struct key_set *s = load(NULL);
    assert_int_equal(key_set_count(s), WRITERS * EACH);
    key_set_unref(s);
}

static void bearer_is_taken(void **state)
{
    (void)state;
    assert_true(slice_eq_cstr(keys_bearer(SLICE("Bearer  abc ")), "abc"));
    assert_true(slice_eq_cstr(keys_bearer(SLICE("bearer abc")), "abc"));
    assert_int_equal(keys_bearer(SLICE("Basic abc")).len, 0);
    assert_int_equal(keys_bearer(SLICE("Bearer")).len, 0);
    assert_int_equal(key_scopes_parse(SLICE("traffic,admin")), KEY_SCOPE_TRAFFIC | KEY_SCOPE_ADMIN);
    assert_int_equal(key_scopes_parse(SLICE("traffic,")), 0);
    assert_int_equal(key_scopes_parse(SLICE("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_key_opens_its_doors, fresh),
        cmocka_unit_test_setup(wrong_secrets_are_unknown, fresh),
        cmocka_unit_test_setup(cache_compares_whole_tags, fresh),
        cmocka_unit_test_setup(rate_holds, fresh),
        cmocka_unit_test_setup(rate_holds_over_threads, fresh),
        cmocka_unit_test_setup(rotation_keeps_the_rest, fresh),
        cmocka_unit_test_setup(bad_files_are_named, fresh),
        cmocka_unit_test_setup(too_many_keys, fresh),
        cmocka_unit_test(times_read_back),
        cmocka_unit_test_setup(writes_fail_cleanly, fresh),
        cmocka_unit_test_setup(writers_wait_for_each_other, fresh),
        cmocka_unit_test(bearer_is_taken),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
