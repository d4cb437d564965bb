// base/log: order, drops, rotation, idleness and faults of the log writer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/merit-log-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *file(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

// The whole file, NUL-terminated; the caller frees it.
static char *read_all(const char *path, size_t *len)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*len + 1);
    assert_int_equal(fread(text, 1, *len, f), *len);
    text[*len] = '\0';
    fclose(f);
    return text;
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

enum { PRODUCERS = 4, LINES = 40000 };

struct producer {
    struct log_sink *sink;
    int number;
    bool patient;
    uint64_t taken;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct log_stream *stream;
    if (log_stream_open(p->sink, &stream))
        return NULL;
    for (int i = 0; i < LINES; i++) {
        char line[400];
        // Of all lengths, so that lines wrap around the ring's end at every offset.
        int n = snprintf(line, sizeof line, "%d %d %.*s", p->number, i, i * 7 % 300,
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        bool taken = log_line(stream, slice_make(line, (size_t)n));
        while (!taken && p->patient) {
            sleep_ms(1);
            taken = log_line(stream, slice_make(line, (size_t)n));
        }
        p->taken += taken;
    }
    return NULL;
}

static void producers_keep_their_order(void **state)
{
    (void)state;
    for (int patient = 0; patient < 2; patient++) {
        const char *path = file("log");
        struct log_sink *sink;
        assert_int_equal(log_sink_open(&sink, path), RESULT_OK);
        struct producer producers[PRODUCERS];
        pthread_t threads[PRODUCERS];
        for (int i = 0; i < PRODUCERS; i++) {
            producers[i] = (struct producer){.sink = sink, .number = i, .patient = patient};
            assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
        }
        uint64_t taken = 0;
        for (int i = 0; i < PRODUCERS; i++) {
            pthread_join(threads[i], NULL);
            taken += producers[i].taken;
        }
        if (patient)
            assert_int_equal(taken, PRODUCERS * LINES);
        else
            assert_int_equal(taken + log_sink_dropped(sink), PRODUCERS * LINES);
        log_sink_flush(sink);
        size_t len;
        char *text = read_all(path, &len);
        uint64_t lines = 0;
        int last[PRODUCERS] = {-1, -1, -1, -1};
        for (char *p = text; *p; lines++) {
            int who = (int)strtol(p, &p, 10), number = (int)strtol(p, &p, 10);
            assert_int_equal(*p, ' ');
            p++;
            assert_in_range(who, 0, PRODUCERS - 1);
            assert_true(number > last[who] && (!patient || number == last[who] + 1));
            last[who] = number;
            size_t rest = strcspn(p, "\n");
            assert_int_equal(rest, number * 7 % 300);
            p += rest + 1;
        }
        assert_int_equal(lines, taken);
        free(text);
        log_sink_close(sink);
        unlink(path);
    }
}

static void full_rings_drop(void **state)
{
    (void)state;
    // A pipe that nobody reads fills up: then the ring does, and lines are counted, not waited for.
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    int out = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(ends[1], STDOUT_FILENO);
    struct log_sink *sink;
    struct log_stream *stream;
    enum result r = log_sink_open(&sink, "-");
    if (!r)
        r = log_stream_open(sink, &stream);
    char line[1000];
    memset(line, 'x', sizeof line);
    int taken = 0;
    for (int i = 0; !r && i < 2000; i++)
        taken += log_line(stream, slice_make(line, sizeof line));
    uint64_t dropped = log_sink_dropped(sink);
    // Once the reader comes, what was taken arrives.
    size_t got = 0;
    char sinkhole[65536];
    for (int i = 0; i < 400 && got < (size_t)taken * 1001; i++) {
        ssize_t n = read(ends[0], sinkhole, sizeof sinkhole);
        if (n > 0)
            got += (size_t)n;
        else
            sleep_ms(10);
    }
    log_sink_close(sink);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(r, RESULT_OK);
    assert_true(taken >= LOG_RING_BYTES / 1001 && taken < 2000);
    assert_int_equal(taken + (int)dropped, 2000);
    assert_int_equal(got, (size_t)taken * 1001);
}

static void too_long_and_empty_lines(void **state)
{
    (void)state;
    const char *path = file("log");
    struct log_sink *sink;
    struct log_stream *stream;
    assert_int_equal(log_sink_open(&sink, path), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    char *line = malloc(LOG_RING_BYTES);
    memset(line, 'y', LOG_RING_BYTES);
    assert_false(log_line(stream, slice_make(line, LOG_RING_BYTES)));
    assert_true(log_line(stream, slice_make(line, LOG_RING_BYTES - 1)));
    assert_int_equal(log_sink_dropped(sink), 1);
    // The writer tells when it is done; the second is for when it cannot be. A busy machine may be late, not always.
    size_t late = 0;
    for (uint64_t took = UINT64_MAX; took >= 900000; late++) {
        assert_true(late < 20);
        if (late)
            assert_true(log_line(stream, SLICE("late")));
        uint64_t begin = clock_mono_us(&clock_system);
        log_sink_flush(sink);
        took = clock_mono_us(&clock_system) - begin;
    }
    assert_true(log_line(stream, SLICE_EMPTY));
    log_sink_close(sink);
    size_t len;
    char *text = read_all(path, &len);
    assert_int_equal(len, LOG_RING_BYTES + 1 + 5 * (late - 1));
    assert_memory_equal(text + LOG_RING_BYTES - 2, "y\n", 2);
    assert_string_equal(text + len - 2, "\n\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    free(text);
    free(line);
    unlink(path);
}

static void expect_file(const char *path, const char *want)
{
    size_t len;
    char *text = read_all(path, &len);
    assert_string_equal(text, want);
    free(text);
}

static void rotation_and_append(void **state)
{
    (void)state;
    const char *path = file("log"), *old = file("log.1");
    struct log_sink *sink;
    struct log_stream *stream;
    assert_int_equal(log_sink_open(&sink, path), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    log_line(stream, SLICE("one"));
    log_sink_flush(sink);
    rename(path, old);
    log_line(stream, SLICE("two"));
    log_sink_flush(sink);
    log_sink_reopen(sink);
    // The new file comes without a line.
    struct stat st;
    for (int i = 0; i < 200 && stat(path, &st); i++)
        sleep_ms(10);
    expect_file(path, "");
    log_line(stream, SLICE("three"));
    log_sink_close(sink);
    expect_file(old, "one\ntwo\n");
    assert_int_equal(log_sink_open(&sink, path), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    log_line(stream, SLICE("four"));
    log_sink_close(sink);
    expect_file(path, "three\nfour\n");
    unlink(path);
    unlink(old);
}

// Voluntary context switches of the writer thread.
static long writer_switches(void)
{
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    long found = -1;
    for (struct dirent *d; (d = readdir(tasks));) {
        char path[300], text[4096] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        char *at = strstr(text, "\nvoluntary_ctxt_switches:");
        if (strstr(text, "merit-log") && at)
            found = strtol(at + 25, NULL, 10);
    }
    closedir(tasks);
    return found;
}

static void idle_writer_sleeps(void **state)
{
    (void)state;
    const char *path = file("log");
    struct log_sink *sink;
    struct log_stream *stream;
    assert_int_equal(log_sink_open(&sink, path), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    log_line(stream, SLICE("a line"));
    // Written by itself, without a flush.
    size_t len = 0;
    for (int i = 0; i < 300 && !len; i++) {
        sleep_ms(10);
        free(read_all(path, &len));
    }
    assert_int_equal(len, 7);
    long before = -2, after = -1;
    for (int i = 0; i < 10 && before != after; i++) {
        before = writer_switches();
        sleep_ms(3 * LOG_FLUSH_MS);
        after = writer_switches();
    }
    assert_true(before > 0);
    assert_int_equal(before, after);
    // A burst of lines wakes it a few times at most.
    for (int i = 0; i < 300; i++) {
        log_line(stream, SLICE("a line"));
        if (i % 10 == 0)
            sleep_ms(1);
    }
    assert_true(writer_switches() - after < 20);
    log_sink_close(sink);
    free(read_all(path, &len));
    assert_int_equal(len, 301 * 7);
    unlink(path);
}

static void failures_are_told(void **state)
{
    (void)state;
    struct log_sink *sink;
    struct log_stream *stream;
    assert_int_equal(log_sink_open(&sink, file("no/such/folder")), RESULT_IO);
    assert_int_equal(errno, ENOENT);
    // A full disk: every line is lost, and counted.
    assert_int_equal(log_sink_open(&sink, "/dev/full"), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    for (int i = 0; i < 5; i++)
        assert_true(log_line(stream, SLICE("lost")));
    log_sink_flush(sink);
    assert_int_equal(log_sink_dropped(sink), 5);
    for (int i = 1; i < LOG_STREAMS_MAX; i++)
        assert_int_equal(log_stream_open(sink, &stream), RESULT_OK);
    assert_int_equal(log_stream_open(sink, &stream), RESULT_LIMIT);
    log_sink_close(sink);

    enum result r = RESULT_NOMEM;
    int n = 0;
    for (; r; n++) {
        alloc_fail_at((uint64_t)n + 1, 0);
        r = log_sink_open(&sink, file("log"));
        if (!r) {
            r = log_stream_open(sink, &stream);
            log_sink_close(sink);
        }
        alloc_fail_at(0, 0);
        assert_true(r == RESULT_OK || r == RESULT_NOMEM);
    }
    assert_int_equal(n, 4);
    unlink(file("log"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producers_keep_their_order), cmocka_unit_test(full_rings_drop),
        cmocka_unit_test(too_long_and_empty_lines),   cmocka_unit_test(rotation_and_append),
        cmocka_unit_test(idle_writer_sleeps),         cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
