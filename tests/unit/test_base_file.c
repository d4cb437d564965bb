// base/file: caps, atomic replacement, and every system call failing in turn.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[] = "/tmp/merit-file-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/f", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); // fails when a temporary file was left behind
}

static int files_in_dir(void)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void assert_text(const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(file_read(path, &b), RESULT_OK);
    assert_true(slice_eq_cstr(buf_slice(&b), want));
    buf_deinit(&b);
}

static void replaces_with_mode(void **state)
{
    (void)state;
    assert_int_equal(file_replace(path, SLICE("one"), 0600), RESULT_OK);
    assert_text("one");
    assert_int_equal(file_replace(path, SLICE("two, longer"), 0600), RESULT_OK);
    assert_text("two, longer");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_create(path, SLICE("three"), 0600), RESULT_EXISTS);
    assert_text("two, longer");
    assert_int_equal(files_in_dir(), 1);
    assert_int_equal(file_replace(dir, SLICE("x"), 0600), RESULT_IO);
}

static void read_caps(void **state)
{
    (void)state;
    assert_int_equal(file_replace(path, SLICE("0123456789"), 0600), RESULT_OK);
    struct buf b;
    buf_init(&b, 9);
    assert_int_equal(file_read(path, &b), RESULT_LIMIT);
    buf_deinit(&b);
    buf_init(&b, 10);
    assert_int_equal(file_read(path, &b), RESULT_OK);
    assert_int_equal(b.len, 10);
    buf_deinit(&b);
    buf_init(&b, 10);
    assert_int_equal(file_read("/nonexistent/x", &b), RESULT_NOT_FOUND);
    assert_int_equal(file_read(dir, &b), RESULT_IO);
    buf_deinit(&b);
}

// Whatever fails, the old text stands and nothing is left beside it.
static void every_call_fails(void **state)
{
    (void)state;
    assert_int_equal(file_replace(path, SLICE("old"), 0600), RESULT_OK);
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        file_fail_at(n);
        enum result r = file_replace(path, SLICE("new"), 0600);
        file_fail_at(0);
        if (!r)
            break;
        failures++;
        assert_int_equal(r, RESULT_IO);
        assert_int_equal(errno, EIO);
        assert_text("old");
        assert_int_equal(files_in_dir(), 1);
        assert_true(n < 100);
    }
    assert_int_equal(failures, 4); // open, write, sync, rename
    assert_text("new");
    for (uint64_t n = 1;; n++) {
        struct buf b;
        buf_init(&b, 100);
        file_fail_at(n);
        enum result r = file_read(path, &b);
        file_fail_at(0);
        buf_deinit(&b);
        if (!r)
            break;
        assert_int_equal(r, RESULT_IO);
        assert_true(n < 100);
    }
}

static void makes_folders(void **state)
{
    (void)state;
    char deep[PATH_MAX + 64], file[PATH_MAX + 64];
    snprintf(deep, sizeof deep, "%s.d/a/b//c", path);
    snprintf(file, sizeof file, "%s.d/a/b/c/file", path);
    for (int again = 0; again < 2; again++)
        assert_int_equal(file_make_folder(deep, 0700), RESULT_OK);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(file_create(file, SLICE("x"), 0600), RESULT_OK);
    assert_int_equal(file_make_folder(file, 0700), RESULT_IO); // a file is in the way
    assert_int_equal(file_make_folder("/proc/self/nothing", 0700), RESULT_IO);
    assert_int_equal(file_make_folder("", 0700), RESULT_LIMIT);
    assert_int_equal(unlink(file), 0);
    for (int up = 0; up < 4; up++) {
        assert_int_equal(rmdir(deep), 0);
        *strrchr(deep, '/') = '\0';
        while (deep[strlen(deep) - 1] == '/')
            deep[strlen(deep) - 1] = '\0';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_with_mode),
        cmocka_unit_test(read_caps),
        cmocka_unit_test(every_call_fails),
        cmocka_unit_test(makes_folders),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
