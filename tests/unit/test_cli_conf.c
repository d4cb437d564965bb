// merit.conf: forms of lines, every kind of value, diagnostics, flags, and that what is printed reads back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/conf.h"

struct run {
    struct conf conf;
    struct arena arena;
    struct diag_list diags;
    enum result result;
};

static void run_init(struct run *r, const char *text)
{
    assert_int_equal(conf_init(&r->conf), RESULT_OK);
    arena_init(&r->arena, 0, 1 << 20);
    diag_init(&r->diags, &r->arena, CONF_DIAGS_MAX);
    r->result = conf_parse(&r->conf, slice_cstr(text), "/etc/merit", &r->diags);
}

static void run_deinit(struct run *r)
{
    arena_deinit(&r->arena);
    conf_deinit(&r->conf);
}

static void defaults_hold(void **state)
{
    (void)state;
    struct conf c;
    assert_int_equal(conf_init(&c), RESULT_OK);
    assert_int_equal(c.listen_count, 1);
    assert_string_equal(c.listen[0].host, "127.0.0.1");
    assert_int_equal(c.listen[0].port, 8780);
    assert_true(c.listen[0].loopback);
    assert_int_equal(c.admin[0].port, 8781);
    assert_null(c.policy);
    assert_null(c.observe);
    assert_int_equal(c.threads, 0);
    assert_int_equal(c.http.head_bytes, 32 * 1024);
    assert_int_equal(c.http.header_timeout_ms, 10000);
    assert_int_equal(c.first_byte_timeout_ms, 300000);
    assert_string_equal(c.log_access, "-");
    assert_null(c.log_decisions);
    assert_null(c.upstream_roots);
    assert_true(c.demo_pace == 1);
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(conf_check(&c, &why), RESULT_OK);
    conf_deinit(&c);
}

static void reads_every_form(void **state)
{
    (void)state;
    struct run r;
    run_init(&r, "# a comment\r\n"
                 "listen 0.0.0.0:8443 tls   # behind\n"
                 "listen [::1]:9000\n"
                 "listen 7000\n"
                 "admin.listen off\n"
                 "tls.certificate \"chain one.pem\" key.pem example.org\n"
                 "observe \"a \\\"b\\\\ c\"\n"
                 "threads 3\nbusy_poll 50us\n"
                 "\t[limits] # section\n"
                 "  head 64KiB\n body 1GiB\n"
                 "[]\n"
                 "policy clinic.merit\n"
                 "demo.pace 0.25\n"
                 "[upstream]\nconnect 1.5s\nidle off\nroots /etc/roots.pem\n"
                 "[log]\naccess off\ndecisions decisions.log");
    assert_int_equal(r.result, RESULT_OK);
    const struct conf *c = &r.conf;
    assert_int_equal(c->listen_count, 3);
    assert_string_equal(c->listen[0].host, "0.0.0.0");
    assert_true(c->listen[0].tls);
    assert_false(c->listen[0].loopback);
    assert_string_equal(c->listen[1].host, "::1");
    assert_true(c->listen[1].loopback);
    assert_int_equal(c->listen[2].port, 7000);
    assert_string_equal(c->listen[2].host, "127.0.0.1");
    assert_int_equal(c->admin_count, 0);
    assert_int_equal(c->certificate_count, 1);
    assert_string_equal(c->certificates[0].chain_path, "/etc/merit/chain one.pem");
    assert_string_equal(c->certificates[0].server_name, "example.org");
    assert_string_equal(c->observe, "a \"b\\ c");
    assert_int_equal(c->threads, 3);
    assert_int_equal(c->busy_poll_us, 50);
    assert_int_equal(c->http.head_bytes, 65536);
    assert_int_equal(c->http.body_bytes, 1 << 30);
    assert_string_equal(c->policy, "/etc/merit/clinic.merit");
    assert_true(c->demo_pace == 0.25);
    assert_int_equal(c->connect_timeout_ms, 1500);
    assert_int_equal(c->upstream_idle_timeout_ms, 0);
    assert_string_equal(c->upstream_roots, "/etc/roots.pem");
    assert_null(c->log_access);
    assert_string_equal(c->log_decisions, "/etc/merit/decisions.log");
    run_deinit(&r);
}

static void names_each_mistake(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code, *message, *help;
    } cases[] = {
        {"listn 8780", "unknown-setting", "there is no setting \"listn\"", "did you mean listen?"},
        {"[limits]\nhaed 3KiB", "unknown-setting", "there is no setting \"limits.haed\"",
         "did you mean limits.head?"},
        {"[limits]\npolicy x", "unknown-setting", "there is no setting \"limits.policy\"", "[]"},
        {"[limit]", "unknown-section", "no setting begins with \"limit.\"", "limits"},
        {"[limits", "bad-section", "section line", "[limits]"},
        {"limits.head 64", "bad-value", "needs a unit", "64KiB"},
        {"limits.head 64parsec", "bad-value", "unit that is not known", "64KiB"},
        {"limits.head 1B", "bad-value", "between 1KiB and 1MiB", ""},
        {"threads many", "bad-value", "is a number", ""},
        {"threads 2 3", "bad-value", "no more", "write: threads N"},
        {"threads", "bad-value", "threads takes N", "write: threads N"},
        {"threads 2\nthreads 3", "duplicate-setting", "threads stands twice", "take one"},
        {"threads 2s", "bad-value", "takes no unit", ""},
        {"threads 1.5", "bad-value", "between 1 and 64", ""},
        {"listen example.org:80", "bad-value", "not the name \"example.org\"", "127.0.0.1"},
        {"listen ::1:80", "bad-value", "in brackets", "[::1]:8780"},
        {"listen 127.0.0.1:99999", "bad-value", "no port", ""},
        {"listen 127.0.0.1", "bad-value", "no port", ""},
        {"listen 8780 ssl", "bad-value", "\"ssl\" is not known here", "tls"},
        {"tls.certificate chain.pem", "bad-value", "takes CHAIN KEY", "write: tls.certificate"},
        {"observe \"x", "open-quote", "not closed", ""},
        {"observe \"x\"y", "stuck-value", "space is missing", ""},
        {"observe x\"y\"", "stray-quote", "inside a value", "whole value in quotes"},
        {"observe \"\\n\"", "bad-escape", "only", "\\\\"},
        {"observe \"\"", "bad-value", "empty", ""},
        {"observe \"a\tb\"", "bad-value", "control character", ""},
        {"policy \xff", "not-utf8", "UTF-8", ""},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        struct run r;
        run_init(&r, cases[i].text);
        assert_int_equal(r.result, RESULT_SYNTAX);
        assert_int_equal(r.diags.errors, 1);
        const struct diag *d = r.diags.items;
        if (strcmp(d->code, cases[i].code) ||
            slice_find(d->message, slice_cstr(cases[i].message)) < 0 ||
            slice_find(d->help, slice_cstr(cases[i].help)) < 0)
            fail_msg("%s: [%s] %.*s (%.*s)", cases[i].text, d->code, SLICE_FMT(d->message),
                     SLICE_FMT(d->help));
        run_deinit(&r);
    }
}

static void good_lines_beside_bad_ones_count(void **state)
{
    (void)state;
    struct run r;
    run_init(&r, "threads x\nlisten 9001\nnope\nbusy_poll 7us\n");
    assert_int_equal(r.result, RESULT_SYNTAX);
    assert_int_equal(r.diags.errors, 2);
    assert_int_equal(r.conf.threads, 0);
    assert_int_equal(r.conf.busy_poll_us, 7);
    assert_int_equal(r.conf.listen[0].port, 9001);
    run_deinit(&r);
    char *many = malloc(20 * 1000 + 1);
    many[0] = 0;
    for (int i = 0; i < 1000; i++)
        memcpy(many + 6 * i, "nope!\n", 7);
    run_init(&r, many);
    assert_int_equal(r.diags.errors, 1000);
    assert_int_equal(r.diags.count, CONF_DIAGS_MAX);
    run_deinit(&r);
    free(many);
}

static void flags_override(void **state)
{
    (void)state;
    struct run r;
    run_init(&r, "listen 1000\nlisten 1001\nlimits.head 2KiB\n");
    const char *const words[] = {
        "serve",       "--listen", "127.0.0.1:2000", "--listen=3000 tls", "--limits-head",
        "3KiB",        "--policy", "my file.merit",  "--busy-poll=9us",   "--tls-certificate",
        "a.pem b.pem", "--other"};
    char **argv = (char **)(uintptr_t)words, **bad;
    int argc = (int)MERIT_COUNT(words), at = 1;
    struct buf why;
    buf_init(&why, 4000);
    for (int i = 0; i < 6; i++)
        assert_int_equal(conf_flag(&r.conf, argc, argv, &at, &why), RESULT_OK);
    assert_int_equal(at, 11);
    assert_int_equal(conf_flag(&r.conf, argc, argv, &at, &why), RESULT_NOT_FOUND);
    assert_int_equal(at, 11);
    assert_int_equal(r.conf.listen_count, 2);
    assert_int_equal(r.conf.listen[0].port, 2000);
    assert_true(r.conf.listen[1].tls);
    assert_int_equal(r.conf.http.head_bytes, 3072);
    assert_string_equal(r.conf.policy, "my file.merit");
    assert_string_equal(r.conf.certificates[0].key_path, "b.pem");
    const char *const wrong[] = {"--threads", "0.5", "--keys"};
    bad = (char **)(uintptr_t)wrong;
    at = 0;
    assert_int_equal(conf_flag(&r.conf, 3, bad, &at, &why), RESULT_SYNTAX);
    assert_true(slice_starts_with(buf_slice(&why), SLICE("--threads: threads lies between")));
    at = 2;
    buf_reset(&why);
    assert_int_equal(conf_flag(&r.conf, 3, bad, &at, &why), RESULT_SYNTAX);
    assert_true(slice_starts_with(buf_slice(&why), SLICE("--keys needs a value")));
    buf_deinit(&why);
    run_deinit(&r);
}

static void contradictions_are_told(void **state)
{
    (void)state;
    struct run r;
    run_init(&r, "listen 9000 tls\nadmin.listen 9000\nupstream.total 1s\n");
    assert_int_equal(r.result, RESULT_OK);
    struct buf why;
    buf_init(&why, 4000);
    assert_int_equal(conf_check(&r.conf, &why), RESULT_SYNTAX);
    static const char *const want[] = {"no certificate", "both 127.0.0.1:9000",
                                       "longer than upstream.total"};
    for (size_t i = 0; i < MERIT_COUNT(want); i++)
        assert_true(slice_find(buf_slice(&why), slice_cstr(want[i])) >= 0);
    buf_deinit(&why);
    run_deinit(&r);
}

// Print, read, print again: the same; and nothing but comments when all is default.
static void print_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "listen 0.0.0.0:1 tls\nlisten [::]:2\nadmin.listen off\nadmin.host a.example\nadmin.host "
        "b.example\n"
        "tls.certificate \"a b\" /c d.e\ntls.certificate /x /y\nobserve \"#x\"\nthreads "
        "4\nbusy_poll 1ms\n"
        "limits.head 1500B\nlimits.body 3MiB\nlog.access off\nlog.decisions \"/a "
        "\\\"b\"\n"
        "demo.pace 0\nupstream.total off\nupstream.first_byte 90s\ncache off\nkeys "
        "\"[k]\"\nupstream.keep 1h\n",
    };
    for (size_t i = 0; i < MERIT_COUNT(texts); i++) {
        struct run r, again;
        run_init(&r, texts[i]);
        assert_int_equal(r.result, RESULT_OK);
        struct buf first, second;
        buf_init(&first, 1 << 16);
        buf_init(&second, 1 << 16);
        conf_print(&r.conf, &first);
        buf_byte(&first, 0);
        assert_int_equal(buf_result(&first), RESULT_OK);
        run_init(&again, first.ptr);
        assert_int_equal(again.result, RESULT_OK);
        conf_print(&again.conf, &second);
        buf_byte(&second, 0);
        assert_string_equal(first.ptr, second.ptr);
        int settings = 0;
        struct slice rest = buf_slice(&first), line;
        while (slice_split(&rest, '\n', &line))
            settings += line.len > 1 && line.ptr[0] != '#';
        assert_int_equal(settings, i ? 20 : 0);
        buf_reset(&first);
        conf_print_json(&r.conf, &first);
        assert_true(slice_starts_with(buf_slice(&first), SLICE("{\"listen\": [\"")));
        buf_deinit(&first);
        buf_deinit(&second);
        run_deinit(&again);
        run_deinit(&r);
    }
}

// The comments of a printed file name each setting's form: uncommented defaults must read as they are.
static void printed_defaults_are_valid(void **state)
{
    (void)state;
    struct run r;
    run_init(&r, "");
    struct buf text;
    buf_init(&text, 1 << 16);
    conf_print(&r.conf, &text);
    struct slice rest = buf_slice(&text), line;
    int lines = 0;
    // A setting's line is the one behind its help.
    for (bool setting = false; slice_split(&rest, '\n', &line);
         setting = slice_starts_with(line, SLICE("# ")) && !setting) {
        if (!setting || slice_find(line, SLICE("CHAIN")) >= 0 ||
            slice_find(line, SLICE("NAME")) >= 0 || !slice_starts_with(line, SLICE("# ")) ||
            line.ptr[2] < 'a')
            continue;
        struct conf c;
        assert_int_equal(conf_init(&c), RESULT_OK);
        if (conf_parse(&c, slice_from(line, 2), NULL, &r.diags) == RESULT_OK)
            lines++;
        conf_deinit(&c);
    }
    assert_true(lines >= 30);
    buf_deinit(&text);
    run_deinit(&r);
}

static void file_load(void **state)
{
    (void)state;
    char path[] = "/tmp/merit-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_replace(path, SLICE("keys mine\nthreds 2\n"), 0600), RESULT_OK);
    struct conf c;
    struct buf why;
    buf_init(&why, 1 << 16);
    assert_int_equal(conf_init(&c), RESULT_OK);
    assert_int_equal(conf_load(&c, path, false, &why), RESULT_SYNTAX);
    assert_string_equal(c.keys, "/tmp/mine");
    assert_true(slice_find(buf_slice(&why), SLICE(":2:1")) >= 0);
    assert_true(slice_find(buf_slice(&why), SLICE("did you mean threads?")) >= 0);
    conf_deinit(&c);
    unlink(path);
    buf_reset(&why);
    assert_int_equal(conf_init(&c), RESULT_OK);
    assert_int_equal(conf_load(&c, path, false, &why), RESULT_NOT_FOUND);
    assert_true(slice_find(buf_slice(&why), SLICE("cannot be read")) >= 0);
    conf_deinit(&c);
    buf_deinit(&why);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    const char *text =
        "listen 1 tls\n[limits]\nhead 2KiB\n[]\nobserve \"a b\"\ntls.certificate a b c\nnope\n";
    bool whole = false;
    for (uint64_t n = 1; !whole; n++) {
        struct conf c;
        struct arena arena;
        struct diag_list diags;
        arena_init(&arena, 0, 1 << 20);
        uint64_t before = alloc_count();
        alloc_fail_at(n, 0);
        diag_init(&diags, &arena, CONF_DIAGS_MAX);
        enum result r = conf_init(&c);
        if (!r) {
            r = conf_parse(&c, slice_cstr(text), "/etc", &diags);
            conf_deinit(&c);
        }
        alloc_fail_at(0, 0);
        whole = alloc_count() - before < n;
        // The one mistake is counted even when its text had no room.
        assert_true(r == RESULT_SYNTAX || (r == RESULT_NOMEM && !whole));
        arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold),      cmocka_unit_test(reads_every_form),
        cmocka_unit_test(names_each_mistake), cmocka_unit_test(good_lines_beside_bad_ones_count),
        cmocka_unit_test(flags_override),     cmocka_unit_test(contradictions_are_told),
        cmocka_unit_test(print_reads_back),   cmocka_unit_test(printed_defaults_are_valid),
        cmocka_unit_test(file_load),          cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
