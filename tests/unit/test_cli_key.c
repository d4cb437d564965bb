// The options of commands, and `merit key` as its user sees it: output, files and exit codes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "text/json.h"

static char dir[] = "/tmp/merit-cmdkey-XXXXXX";
static char keys[64], captured[64], lock_path[80];
static struct arena arena;

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(keys, sizeof keys, "%s/keys", dir);
    snprintf(lock_path, sizeof lock_path, "%s.lock", keys);
    snprintf(captured, sizeof captured, "%s/out", dir);
    arena_init(&arena, 0, 1 << 24);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_deinit(&arena);
    unlink(keys);
    unlink(lock_path);
    unlink(captured);
    return rmdir(dir);
}

// Runs a command line with both outputs in one text.
static struct slice run(int *code, const char *line)
{
    char *argv[32];
    int argc = 0;
    struct slice rest = arena_copy(&arena, slice_cstr(line)), word;
    while (slice_split(&rest, ' ', &word))
        argv[argc++] = slice_eq_cstr(word, "KEYS") ? keys : arena_cstr(&arena, word);
    argv[argc] = NULL;
    fflush(stdout);
    fflush(stderr);
    int out = dup(1), err = dup(2), fd = open(captured, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    *code = cmd_key(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, 1);
    dup2(err, 2);
    close(fd);
    close(out);
    close(err);
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(file_read(captured, &text), RESULT_OK);
    struct slice s = arena_copy(&arena, buf_slice(&text));
    buf_deinit(&text);
    return s;
}

static struct slice member(struct slice text, uint32_t at, const char *name)
{
    struct json j;
    assert_int_equal(json_parse(&j, text, &json_limits_default, &arena), RESULT_OK);
    uint32_t object = 0;
    if (json_type(&j, 0) == JSON_ARRAY) {
        uint32_t cursor = 0;
        for (uint32_t i = 0; i <= at; i++)
            assert_true(json_element(&j, 0, &cursor, &object));
    }
    uint32_t t = json_get(&j, object, slice_cstr(name), NULL);
    assert_int_not_equal(t, JSON_NONE);
    return json_raw(&j, t);
}

static void life_of_a_key(void **state)
{
    (void)state;
    int code;
    struct slice out =
        run(&code, "key create --caller ada --team engines --groups a,b --label phi,eu "
                   "--scopes traffic,route-headers "
                   "--expires 90d --rate 600 --keys KEYS --json");
    assert_int_equal(code, EXIT_DONE);
    struct slice id = member(out, 0, "id"), secret = member(out, 0, "secret");
    assert_true(slice_starts_with(secret, SLICE("merit-sk-")));
    assert_int_equal(secret.len, KEY_SECRET_LEN);
    assert_true(slice_eq_cstr(member(out, 0, "rate_per_minute"), "600"));
    assert_true(slice_eq_cstr(member(out, 0, "state"), "active"));
    assert_true(slice_find(out, SLICE("\"label\": [\"phi\", \"eu\"]")) >= 0);

    out = run(&code, "key list --keys KEYS");
    assert_int_equal(code, EXIT_DONE);
    assert_true(slice_find(out, id) >= 0 && slice_find(out, SLICE("600/min")) >= 0);
    assert_true(slice_find(out, SLICE(" label=phi,eu")) >= 0);
    assert_true(slice_find(out, slice_head(secret, 20)) < 0);

    char line[200];
    snprintf(line, sizeof line, "key rotate %.*s --grace 1h --keys KEYS --json", SLICE_FMT(id));
    out = run(&code, line);
    assert_int_equal(code, EXIT_DONE);
    struct slice next = member(out, 0, "id");
    assert_false(slice_eq(next, id));
    assert_false(slice_eq(member(out, 0, "secret"), secret));
    snprintf(line, sizeof line, "key revoke %.*s --keys KEYS", SLICE_FMT(next));
    out = run(&code, line);
    assert_int_equal(code, EXIT_DONE);
    assert_true(slice_starts_with(out, SLICE("revoked k-")));
    out = run(&code, line);
    assert_int_equal(code, EXIT_FOUND);
    assert_true(slice_find(out, SLICE("revoked already")) >= 0);
    out = run(&code, "key list --keys KEYS --json");
    assert_int_equal(code, EXIT_DONE);
    assert_true(slice_eq_cstr(member(out, 0, "state"), "active"));
    assert_true(slice_eq_cstr(member(out, 1, "state"), "revoked"));
}

static void mistakes_name_the_fix(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
        const char *want;
    } cases[] = {
        {"key", EXIT_USAGE, "usage: merit key"},
        {"key --help", EXIT_DONE, "merit key create --caller ada"},
        {"key create --help", EXIT_DONE, "--expires TIME"},
        {"key lst", EXIT_USAGE, "none of create"},
        {"key create --keys KEYS", EXIT_USAGE, "--caller NAME is needed"},
        {"key create --caler x", EXIT_USAGE, "did you mean --caller?"},
        {"key create --caller", EXIT_USAGE, "needs a value"},
        {"key create --caller a --caller b", EXIT_USAGE, "given twice"},
        {"key create --caller a$b --keys KEYS", EXIT_USAGE, "letters, digits"},
        {"key create --caller a --scopes root --keys KEYS", EXIT_USAGE,
         "traffic,admin,route-headers"},
        {"key create --caller a --expires soon --keys KEYS", EXIT_USAGE, "2027-01-31T00:00:00Z"},
        {"key create --caller a --expires 2020-01-01T00:00:00Z --keys KEYS", EXIT_USAGE,
         "a time to come"},
        {"key create --caller a --rate 0 --keys KEYS", EXIT_USAGE, "from 1 to"},
        {"key create --caller a extra", EXIT_USAGE, "one word too many"},
        {"key list --json=yes", EXIT_USAGE, "takes no value"},
        {"key rotate --keys KEYS", EXIT_USAGE, "a word is missing"},
        {"key rotate k-none --grace x --keys KEYS", EXIT_USAGE, "write 24h"},
        {"key rotate k-none --keys KEYS", EXIT_FOUND, "no key has the id \"k-none\""},
        {"key revoke k-none --keys KEYS", EXIT_FOUND, "`merit key list` shows them"},
        {"key list --conf /nonexistent/merit.conf", EXIT_FOUND, "cannot be read"},
        {"key create --caller a --keys /nonexistent/keys", EXIT_FOUND, "cannot be locked"},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        int code;
        struct slice out = run(&code, cases[i].line);
        if (code != cases[i].code || slice_find(out, slice_cstr(cases[i].want)) < 0)
            fail_msg("%s: %d %.*s", cases[i].line, code, SLICE_FMT(out));
    }
}

static void durations(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(args_duration("90d", &v) && v == 90 * 86400);
    assert_true(args_duration("0s", &v) && v == 0);
    assert_true(args_duration("36525d", &v));
    assert_false(args_duration("36526d", &v));
    assert_false(args_duration("90", &v));
    assert_false(args_duration("d", &v));
    assert_false(args_duration("", &v));
    assert_false(args_duration("-1s", &v));
    assert_false(args_duration("99999999999999999999s", &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(life_of_a_key),
        cmocka_unit_test(mistakes_name_the_fix),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
