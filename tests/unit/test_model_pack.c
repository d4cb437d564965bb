// model/pack: what is written is read; every kind of damage is seen; a full disk, failing calls and failing memory leave
// nothing behind; of two processes one packs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "model/pack.h"
#include "model_folder.h"

enum { BLOCK = 300000 };

static char problem[PACK_PROBLEM_BYTES];
static const struct slice labels[] = {SLICE("O"), SLICE(""), SLICE("B-X")};

// A block of known bytes, a little less than was asked for.
static enum result fill(void *ctx, void *block, size_t bytes, size_t *used)
{
    const enum result *r = ctx;
    unsigned char *p = block;
    assert_int_equal(bytes, BLOCK);
    assert_int_equal((uintptr_t)block % 64, 0);
    if (r && *r)
        return *r;
    *used = bytes - 17;
    for (size_t i = 0; i < *used; i++)
        p[i] = (unsigned char)(i * 7 + i / 256);
    return RESULT_OK;
}

static struct pack_key key_of(uint8_t first)
{
    struct pack_key key = {.tier = NN_SCALAR, .plan = ENCODER_PLAN_F32};
    key.digest[0] = first;
    return key;
}

static const struct pack_parts parts = {
    .tokenizer = SLICE("{\"a\":1}"),
    .labels = labels,
    .label_count = 3,
    .length_tok = 256,
    .block_max = BLOCK,
    .fill = fill,
};

static void assert_pack(const struct pack *p)
{
    assert_true(slice_eq_cstr(p->tokenizer, "{\"a\":1}"));
    assert_int_equal(p->label_count, 3);
    assert_true(slice_eq(p->labels, SLICE("O\0\0B-X\0")));
    assert_int_equal(p->length_tok, 256);
    assert_int_equal(p->encoder.len, BLOCK - 17);
    assert_int_equal((uintptr_t)p->encoder.ptr % PACK_PAGE, 0);
    for (size_t i = 0; i < p->encoder.len; i++)
        assert_int_equal((unsigned char)p->encoder.ptr[i], (unsigned char)(i * 7 + i / 256));
}

static unsigned files_in(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void writes_and_reads(void **state)
{
    (void)state;
    struct pack p;
    struct pack_key key = key_of(1), other = key_of(2);
    const char *cache = in_tmp("a/b");
    assert_int_equal(pack_open(&p, cache, &key), RESULT_NOT_FOUND);
    assert_int_equal(pack_write(&p, cache, &key, &parts, problem), RESULT_OK);
    assert_true(p.in_cache);
    assert_pack(&p);
    pack_close(&p);
    assert_int_equal(files_in(cache), 1);
    assert_int_equal(pack_open(&p, cache, &key), RESULT_OK);
    assert_pack(&p);
    pack_close(&p);
    assert_int_equal(pack_open(&p, cache, &other), RESULT_NOT_FOUND);
    other = key;
    other.plan = ENCODER_PLAN_INT8;
    assert_int_equal(pack_open(&p, cache, &other), RESULT_NOT_FOUND);
    // Without a cache: the same in memory.
    assert_int_equal(pack_write(&p, NULL, &key, &parts, problem), RESULT_OK);
    assert_false(p.in_cache);
    assert_pack(&p);
    pack_close(&p);
    struct pack_parts bare = {.block_max = BLOCK, .fill = fill};
    assert_int_equal(pack_write(&p, cache, &key, &bare, problem), RESULT_OK);
    assert_true(!p.tokenizer.len && !p.labels.len && !p.label_count);
    pack_close(&p);
}

static void damage_is_seen(void **state)
{
    (void)state;
    struct pack p;
    struct pack_key key = key_of(1), other = key_of(2);
    char path[PATH_MAX], foreign[PATH_MAX];
    struct buf whole;
    assert_int_equal(pack_write(&p, tmp, &key, &parts, problem), RESULT_OK);
    pack_close(&p);
    assert_true(pack_path(tmp, &key, path, sizeof path));
    assert_true(pack_path(tmp, &other, foreign, sizeof foreign));
    buf_init(&whole, 1 << 20);
    assert_int_equal(file_read(path, &whole), RESULT_OK);
    // Each byte of the header, then some of the rest.
    for (size_t at = 0; at < whole.len; at += at < 200 ? 1 : 7919) {
        whole.ptr[at] ^= 1;
        assert_int_equal(file_replace(path, buf_slice(&whole), 0600), RESULT_OK);
        assert_int_not_equal(pack_open(&p, tmp, &key), RESULT_OK);
        assert_null(p.at);
        whole.ptr[at] ^= 1;
    }
    for (size_t n = 0; n < whole.len; n += n < 200 ? 1 : 9973) {
        assert_int_equal(file_replace(path, slice_make(whole.ptr, n), 0600), RESULT_OK);
        assert_int_equal(pack_open(&p, tmp, &key), RESULT_EOF);
    }
    // Another model's file under this name.
    assert_int_equal(file_replace(foreign, buf_slice(&whole), 0600), RESULT_OK);
    assert_int_equal(pack_open(&p, tmp, &other), RESULT_VERSION);
    // A file that others may write, a link, a folder.
    assert_int_equal(file_replace(path, buf_slice(&whole), 0600), RESULT_OK);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(pack_open(&p, tmp, &key), RESULT_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(pack_open(&p, tmp, &key), RESULT_OK);
    pack_close(&p);
    assert_int_equal(unlink(foreign), 0);
    assert_int_equal(symlink(path, foreign), 0);
    assert_int_equal(pack_open(&p, tmp, &other), RESULT_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(pack_open(&p, tmp, &key), RESULT_DENIED);
    buf_deinit(&whole);
}

static void everything_fails(void **state)
{
    (void)state;
    struct pack p;
    struct pack_key key = key_of(1);
    const char *cache = in_tmp("c");
    uint64_t n = 1;
    for (;; n++) {
        file_fail_at(n);
        enum result r = pack_write(&p, cache, &key, &parts, problem);
        file_fail_at(0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_IO);
        assert_non_null(strstr(problem, "Input/output error"));
        // Once the rename is done the file is whole, only its reading back failed.
        assert_in_range(files_in(cache), 0, n > 7 ? 1 : 0);
    }
    assert_true(n > 10);
    pack_close(&p);
    for (n = 1;; n++) {
        alloc_fail_at(n, 0);
        enum result r = pack_open(&p, cache, &key);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
    }
    pack_close(&p);
    // What the encoder says is passed on.
    enum result why = RESULT_RANGE;
    struct pack_parts failing = parts;
    failing.ctx = &why;
    key = key_of(9);
    assert_int_equal(pack_write(&p, cache, &key, &failing, problem), RESULT_RANGE);
    assert_int_equal(pack_write(&p, NULL, &key, &failing, problem), RESULT_RANGE);
    assert_int_equal(files_in(cache), 1);
    failing.block_max = SIZE_MAX;
    assert_int_equal(pack_write(&p, cache, &key, &failing, problem), RESULT_LIMIT);
}

// No room: the blocks are asked for first, so that it is an error and no signal. The limit on a file's size stands for the
// disk's; where a small file system may be mounted, that is tried too.
static void full_disk(void **state)
{
    (void)state;
    struct pack p;
    struct pack_key key = key_of(1);
    struct rlimit old, small;
    assert_int_equal(sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum result r = pack_write(&p, in_tmp("c"), &key, &parts, problem);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(r, RESULT_IO);
    assert_non_null(strstr(problem, "File too large"));
    assert_int_equal(files_in(in_tmp("c")), 0);
    const char *full = in_tmp("full");
    assert_int_equal(mkdir(full, 0700), 0);
    if (mount("none", full, "tmpfs", 0, "size=128k")) {
        print_message("skipped: no small file system may be mounted here to be filled\n");
        return;
    }
    r = pack_write(&p, full, &key, &parts, problem);
    unsigned left = files_in(full);
    assert_int_equal(umount(full), 0);
    assert_int_equal(r, RESULT_IO);
    assert_non_null(strstr(problem, "No space left on device"));
    assert_int_equal(left, 0);
}

static void no_folder(void **state)
{
    (void)state;
    struct pack p;
    struct pack_key key = key_of(1);
    int lock;
    put_text("file", "x");
    assert_int_equal(pack_write(&p, in_tmp("file/cache"), &key, &parts, problem), RESULT_IO);
    assert_non_null(strstr(problem, "XDG_CACHE_HOME"));
    pack_lock(in_tmp("file/cache"), 0, &lock);
    assert_int_equal(lock, -1);
    pack_unlock(lock);
}

// Each child takes the lock, looks, and packs if nobody did; one of them did.
static void two_processes(void **state)
{
    (void)state;
    enum { CHILDREN = 6 };
    struct pack_key key = key_of(1);
    pid_t pids[CHILDREN];
    int packed = 0;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i])
            continue;
        struct pack p;
        int lock, did = 0;
        pack_lock(in_tmp("c"), 20000, &lock);
        enum result r = lock < 0 ? RESULT_TIMEOUT : pack_open(&p, in_tmp("c"), &key);
        if (r == RESULT_NOT_FOUND) {
            usleep(100000);
            r = pack_write(&p, in_tmp("c"), &key, &parts, problem);
            did = 1;
        }
        pack_unlock(lock);
        _exit(r ? 100 : did);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_in_range(WEXITSTATUS(status), 0, 1);
        packed += WEXITSTATUS(status);
    }
    assert_int_equal(packed, 1);
    // One that never lets go is not waited for for good.
    int held, lock;
    pack_lock(in_tmp("c"), 0, &held);
    assert_true(held >= 0);
    uint64_t began = clock_mono_us(&clock_system);
    pack_lock(in_tmp("c"), 100, &lock);
    assert_int_equal(lock, -1);
    assert_in_range(clock_mono_us(&clock_system) - began, 90000, 5000000);
    pack_unlock(held);
    pack_lock(in_tmp("c"), 0, &lock);
    assert_true(lock >= 0);
    pack_unlock(lock);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_tmp, drop_tmp)
    const struct CMUnitTest tests[] = {
        TEST(writes_and_reads), TEST(damage_is_seen), TEST(everything_fails),
        TEST(full_disk),        TEST(no_folder),      TEST(two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
