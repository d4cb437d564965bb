// merit doctor: each trouble is found, named with a fix, and told in the exit code.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/keys.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/doctor.h"
#include "sim/pool.h"
#include "text/json.h"

static char dir[] = "/tmp/merit-doctor-XXXXXX";
static struct arena arena;
static struct sim *sim;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0, 1 << 26);
    return !mkdtemp(dir) || sim_open(&sim, &(struct sim_options){.pace = 0}) ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {"conf", "policy", "out", "keys", "keys.lock"};
    char path[80];
    sim_close(sim);
    arena_deinit(&arena);
    for (size_t i = 0; i < MERIT_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static char *in_dir(const char *name)
{
    return arena_cstr(&arena, arena_printf(&arena, "%s/%s", dir, name));
}

// Runs the command over these files; the JSON that it prints.
static struct slice run(const char *conf, const char *policy, int *code)
{
    static char name[] = "doctor", json[] = "--json", flag[] = "--conf";
    assert_int_equal(file_replace(in_dir("conf"), slice_cstr(conf), 0600), RESULT_OK);
    assert_int_equal(file_replace(in_dir("policy"), slice_cstr(policy), 0600), RESULT_OK);
    char *argv[] = {name, in_dir("policy"), json, flag, in_dir("conf"), NULL};
    fflush(stdout);
    int out = dup(1), err = dup(2), fd = open(in_dir("out"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    int null = open("/dev/null", O_WRONLY);
    dup2(fd, 1);
    dup2(null, 2);
    *code = cmd_doctor(5, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    close(fd);
    close(null);
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(file_read(in_dir("out"), &text), RESULT_OK);
    struct slice s = arena_copy(&arena, buf_slice(&text));
    buf_deinit(&text);
    return s;
}

// Whether a finding of this check and status has `part` in its message and says what to do (unless it is ok).
static bool found(struct slice out, const char *check, const char *status, const char *part)
{
    struct json j;
    if (json_parse(&j, out, &json_limits_default, &arena))
        fail_msg("no JSON: %.*s", SLICE_FMT(out));
    uint32_t at = 0, item, list = json_get(&j, 0, SLICE("findings"), NULL);
    while (json_element(&j, list, &at, &item)) {
        struct slice message = json_string(&j, json_get(&j, item, SLICE("message"), NULL), &arena);
        bool fix = json_type(&j, json_get(&j, item, SLICE("fix"), NULL)) == JSON_STRING;
        if (json_string_is(&j, json_get(&j, item, SLICE("check"), NULL), slice_cstr(check)) &&
            json_string_is(&j, json_get(&j, item, SLICE("status"), NULL), slice_cstr(status)) &&
            slice_find(message, slice_cstr(part)) >= 0)
            return fix || slice_eq_cstr(SLICE("ok"), status);
    }
    return false;
}

#define ASSERT_FOUND(out, check, status, part)                                                     \
    do {                                                                                           \
        if (!found(out, check, status, part))                                                      \
            fail_msg("%s %s %s not in %.*s", check, status, part, SLICE_FMT(out));                 \
    } while (0)

static const char *policy_for(const char *model, const char *more, unsigned port)
{
    return arena_cstr(
        &arena,
        arena_printf(&arena,
                     "policy \"t\" version 1\nmodel x endpoint \"http://127.0.0.1:%u/v1\" as "
                     "\"%s\" %s context 4096 tok\notherwise -> answer(x)\n",
                     port, model, more));
}

static const char *conf_for(const char *more)
{
    return arena_cstr(
        &arena,
        arena_printf(&arena, "listen 0\nadmin.listen 0\nkeys keys\ncache off\nlog.access off\n%s",
                     more));
}

static void a_good_set_up_passes(void **state)
{
    (void)state;
    int code;
    struct slice out = run(conf_for(""), policy_for("swift", "", sim_port(sim)), &code);
    if (code != EXIT_DONE)
        fail_msg("%.*s", SLICE_FMT(out));
    ASSERT_FOUND(out, "policy", "ok", "1 model");
    ASSERT_FOUND(out, "upstream", "ok", "answers in");
    ASSERT_FOUND(out, "patterns", "ok", "");
    ASSERT_FOUND(out, "keys", "ok", "0 keys");
}

static void each_trouble_is_named(void **state)
{
    (void)state;
    struct sim *gone;
    assert_int_equal(sim_open(&gone, &(struct sim_options){.pace = 0}), RESULT_OK);
    unsigned closed = sim_port(gone);
    sim_close(gone);
    setenv("MERIT_TEST_KEY", "sk-of-the-doctor-test", 1);
    unsetenv("MERIT_TEST_NO_KEY");
    const struct {
        const char *conf, *policy, *check, *status, *part;
        int code;
    } cases[] = {
        {conf_for("nope 1\n"), policy_for("swift", "", sim_port(sim)), "settings", "fail",
         "has errors", 1},
        {conf_for("listen 127.0.0.1:0 tls\n"), policy_for("swift", "", sim_port(sim)), "settings",
         "fail", "no certificate", 1},
        {conf_for(""), "policy \"t\" version 1\n", "policy", "fail", "does not load", 1},
        {conf_for("observe y\n"), policy_for("swift", "", sim_port(sim)), "policy", "fail",
         "observe names y", 1},
        {conf_for(""), policy_for("swift", "", closed), "upstream", "fail", "refused", 1},
        {conf_for(""), policy_for("other", "", sim_port(sim)), "upstream", "warn", "does not list",
         0},
        {conf_for(""), policy_for("swift", "key env MERIT_TEST_NO_KEY", sim_port(sim)), "upstream",
         "warn", "key is missing", 0},
        {conf_for(""), policy_for("swift", "key env MERIT_TEST_KEY", sim_port(sim)), "upstream",
         "ok", "answers in", 0},
        {conf_for("listen 0.0.0.0:0\n"), policy_for("swift", "", sim_port(sim)), "keys", "fail",
         "will not start", 1},
        {conf_for("admin.listen [::]:0\n"), policy_for("swift", "", sim_port(sim)), "keys", "fail",
         "no admin key", 1},
        {conf_for("log.decisions /nonexistent/x/log\n"), policy_for("swift", "", sim_port(sim)),
         "files", "fail", "cannot be written", 1},
        {conf_for("tls.certificate /nonexistent/a /nonexistent/b\n"),
         policy_for("swift", "", sim_port(sim)), "tls", "fail", "", 1},
        {conf_for(arena_cstr(&arena, arena_printf(&arena, "listen 127.0.0.1:%u\n", sim_port(sim)))),
         policy_for("swift", "", sim_port(sim)), "ports", "fail", "is taken", 1},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        int code;
        struct slice out = run(cases[i].conf, cases[i].policy, &code);
        ASSERT_FOUND(out, cases[i].check, cases[i].status, cases[i].part);
        assert_int_equal(code, cases[i].code);
        assert_true(slice_find(out, SLICE("sk-of-the-doctor")) < 0);
    }
    assert_int_equal(file_replace(in_dir("keys"), SLICE("broken\n"), 0600), RESULT_OK);
    int code;
    ASSERT_FOUND(run(conf_for(""), policy_for("swift", "", sim_port(sim)), &code), "keys", "fail",
                 "line 1");
    assert_int_equal(code, EXIT_FOUND);
    unlink(in_dir("keys"));
}

static void writable_places(void **state)
{
    (void)state;
    static struct doctor d;
    d = (struct doctor){.arena = &arena};
    doctor_writable(&d, "a", in_dir("new.log"), false);
    doctor_writable(&d, "b", in_dir("cache/of/merit"), true);
    doctor_writable(&d, "c", dir, false);
    doctor_writable(&d, "d", in_dir("no/such.log"), false);
    assert_int_equal(d.count, 4);
    static const enum doctor_status want[] = {DOCTOR_OK, DOCTOR_OK, DOCTOR_FAIL, DOCTOR_FAIL};
    for (size_t i = 0; i < MERIT_COUNT(want); i++)
        assert_int_equal(d.findings[i].status, want[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_set_up_passes),
        cmocka_unit_test(each_trouble_is_named),
        cmocka_unit_test(writable_places),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
