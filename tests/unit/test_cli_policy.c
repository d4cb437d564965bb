// merit policy, run in a child with its output caught: exit codes, what goes where, files written whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"

static char folder[] = "/tmp/merit-policy-XXXXXX";

struct ran {
    int status;
    struct buf out, err;
};

static const char *in_folder(const char *name)
{
    static char path[8][256];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void run(struct ran *r, const char *a, const char *b, const char *c)
{
    const char *args[] = {"policy", a, b, c, NULL};
    int argc = 1;
    while (args[argc])
        argc++;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen(in_folder("out"), "w", stdout) || !freopen(in_folder("err"), "w", stderr))
            _exit(99);
        int status = cmd_policy(argc, (char **)(uintptr_t)args);
        fflush(NULL);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    r->status = WEXITSTATUS(status);
    buf_init(&r->out, 1 << 22);
    buf_init(&r->err, 1 << 22);
    assert_int_equal(file_read(in_folder("out"), &r->out), RESULT_OK);
    assert_int_equal(file_read(in_folder("err"), &r->err), RESULT_OK);
}

static void done(struct ran *r)
{
    buf_deinit(&r->out);
    buf_deinit(&r->err);
}

static bool says(const struct buf *b, const char *text)
{
    return slice_find(buf_slice(b), slice_cstr(text)) >= 0;
}

static void write_file(const char *name, const char *text)
{
    assert_int_equal(file_replace(in_folder(name), slice_cstr(text), 0600), RESULT_OK);
}

static void expect(const char *a, const char *b, const char *c, int status, const char *out,
                   const char *err)
{
    struct ran r;
    run(&r, a, b, c);
    if (r.status != status || (out && !says(&r.out, out)) || (err && !says(&r.err, err)))
        fail_msg("%s %s: status %d\n%.*s---\n%.*s", a ? a : "", b ? b : "", r.status,
                 SLICE_FMT(buf_slice(&r.out)), SLICE_FMT(buf_slice(&r.err)));
    done(&r);
}

static void findings_have_their_exit_code(void **state)
{
    (void)state;
    write_file(
        "good.merit",
        "policy \"g\" version 1\nmodel m endpoint demo context 1k tok\notherwise -> answer(m)\n");
    write_file(
        "bad.merit",
        "policy \"b\" version 1\nmodel m endpoint demo context 1k\notherwise -> answer(n)\n");
    expect("check", in_folder("good.merit"), NULL, EXIT_DONE, "ok, 1 model, 0 signals, 1 route",
           NULL);
    expect("check", in_folder("bad.merit"), NULL, EXIT_FOUND, NULL, "help: write `1k tok`");
    expect("check", in_folder("bad.merit"), NULL, EXIT_FOUND, NULL, "bad.merit: 2 errors");
    expect("check", in_folder("bad.merit"), "--json", EXIT_FOUND, "\"code\": \"unknown-name\"",
           NULL);
    expect("check", in_folder("good.merit"), "--json", EXIT_DONE, "[]", NULL);
    expect("explain", in_folder("good.merit"), NULL, EXIT_DONE, "everything else is answered by m",
           NULL);
    expect("explain", in_folder("bad.merit"), NULL, EXIT_FOUND, NULL, "does not load");
    expect("explain", "demo", "--json", EXIT_DONE, "{\"name\": \"demo\"", NULL);
    expect("check", in_folder("absent.merit"), NULL, EXIT_FOUND, NULL, "cannot read");
    expect("check", folder, NULL, EXIT_FOUND, NULL, "directory");
}

static void usage_is_told(void **state)
{
    (void)state;
    expect(NULL, NULL, NULL, EXIT_USAGE, NULL, "usage:");
    expect("chek", "x", NULL, EXIT_USAGE, NULL, "there is no command chek");
    expect("check", NULL, NULL, EXIT_USAGE, NULL, "name the policy's file");
    expect("check", "a", "b", EXIT_USAGE, NULL, "one file at a time");
    expect("check", "a", "--write", EXIT_USAGE, NULL, "belong to fmt");
    expect("fmt", "a", "--json", EXIT_USAGE, NULL, "belongs to check");
    expect("check", "a", "--jsn", EXIT_USAGE, NULL, "no flag --jsn");
    expect("fmt", "demo", "--write", EXIT_USAGE, NULL, "no file to write to");
    expect("--help", NULL, NULL, EXIT_DONE, "usage:", NULL);
}

static void formatting_writes_the_file(void **state)
{
    (void)state;
    struct stat st;
    const char *file = in_folder("f.merit");
    char path[256];
    snprintf(path, sizeof path, "%s", file);
    write_file("f.merit", "policy  \"g\" version 1\nmodel m endpoint demo  context 1k tok # "
                          "here\notherwise->answer(m)");
    expect("fmt", path, NULL, EXIT_DONE,
           "model m endpoint demo  context 1k tok  # here\notherwise -> answer(m)\n", NULL);
    expect("fmt", path, "--check", EXIT_FOUND, NULL, "not formatted");
    expect("fmt", path, "--write", EXIT_DONE, NULL, NULL);
    expect("fmt", path, "--check", EXIT_DONE, NULL, NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    write_file("f.merit", "policy \"g\" version\n");
    expect("fmt", path, "--write", EXIT_FOUND, NULL, "expected a number");
}

static void a_long_file_is_one_error(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 16 << 20);
    while (text.len < 10 << 20)
        BUF_LIT(&text, "route r when a -> nonsense(\n");
    assert_int_equal(file_replace(in_folder("long.merit"), buf_slice(&text), 0600), RESULT_OK);
    buf_deinit(&text);
    struct ran r;
    run(&r, "check", in_folder("long.merit"), NULL);
    assert_int_equal(r.status, EXIT_FOUND);
    assert_true(says(&r.err, "limit") && says(&r.err, "4 MiB") && r.err.len < 300);
    done(&r);
}

static int open_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int close_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"out",       "err",     "good.merit",
                                        "bad.merit", "f.merit", "long.merit"};
    for (size_t i = 0; i < MERIT_COUNT(names); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_have_their_exit_code),
        cmocka_unit_test(usage_is_told),
        cmocka_unit_test(formatting_writes_the_file),
        cmocka_unit_test(a_long_file_is_one_error),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
