// Personal data by shape: what is found, what only looks like it, and that the places are those of the original bytes.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "signal/pii_scan.h"
#include "text/skeleton.h"

enum { ALL = (1 << PII_NAME) - 1 };

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static struct pii_spans scan(const char *text)
{
    struct pii_spans out = {0};
    assert_int_equal(pii_scan(slice_cstr(text), ALL, &arena, &out), RESULT_OK);
    return out;
}

// `found` is what stands between [[ and ]] of the text, of one type; the brackets are taken out first.
static void check(enum pii_type type, const char *marked)
{
    char text[1024];
    uint32_t begin[8], end[8], n = 0, len = 0;
    for (const char *p = marked; *p;) {
        if (p[0] == '[' && p[1] == '[') {
            begin[n] = len;
            p += 2;
        } else if (p[0] == ']' && p[1] == ']') {
            end[n++] = len;
            p += 2;
        } else {
            text[len++] = *p++;
        }
    }
    text[len] = 0;
    struct pii_spans found = scan(text);
    if (found.count != n)
        print_error("%s: %u found\n", marked, found.count);
    assert_int_equal(found.count, n);
    for (uint32_t i = 0; i < n; i++) {
        if (found.at[i].type != type || found.at[i].begin != begin[i] || found.at[i].end != end[i])
            print_error("%s: %s \"%.*s\"\n", marked, pii_type_names[found.at[i].type],
                        (int)(found.at[i].end - found.at[i].begin), text + found.at[i].begin);
        assert_int_equal(found.at[i].type, type);
        assert_int_equal(found.at[i].begin, begin[i]);
        assert_int_equal(found.at[i].end, end[i]);
    }
}

static void test_found(void **state)
{
    (void)state;
    static const struct {
        enum pii_type type;
        const char *text;
    } cases[] = {
        {PII_EMAIL, "write to [[jo.doe+news@mail.example.co.uk]], please"},
        {PII_EMAIL, "<[[a_b@x.io]]>; ([[second@host.org]])."},
        {PII_EMAIL, "mail: [[j\u00f6rg@m\u00fcller.de]]"},
        {PII_URL, "see [[https://example.com/a_(b)?q=1]]."},
        {PII_URL, "go to [[www.example.com]], or [[example.org/path]]!"},
        {PII_URL, "[[http://127.0.0.1:8080/x]]"},
        {PII_CARD, "card [[4111 1111 1111 1111]] exp 12/26"},
        {PII_CARD, "[[5500-0000-0000-0004]]; amex [[378282246310005]]"},
        {PII_CARD, "amex [[3782 822463 10005]]"},
        {PII_CARD, "[[4111111111111111]]."},
        {PII_SSN, "my ssn is [[123-45-6789]]."},
        {PII_SSN, "SSN: [[123456789]]"},
        {PII_SSN, "[[219 09 9999]]"},
        {PII_IBAN, "IBAN [[DE89 3704 0044 0532 0130 00]] at the bank"},
        {PII_IBAN, "[[GB82WEST12345698765432]], then more"},
        {PII_IBAN, "pay [[de89370400440532013000]]"},
        {PII_IP, "from [[192.168.10.1]] to [[10.0.0.1]]:80"},
        {PII_IP, "at [[2001:db8::ff00:42:8329]] and [[::ffff:192.0.2.1]]"},
        {PII_IP, "[[fe80:0:0:0:200:f8ff:fe21:67cf]]"},
        {PII_PHONE, "call [[+1 (415) 555-2671]] now"},
        {PII_PHONE, "[[(415) 555-2671]], [[415-555-2671]], [[415.555.2671]]"},
        {PII_PHONE, "[[+44 20 7946 0958]]; [[020 7946 0958]]"},
        {PII_PHONE, "[[1-800-555-0199 x1234]]"},
        {PII_KEY, "key [[sk-proj-Abc123Def456Ghi789Jkl012]] leaked"},
        {PII_KEY, "[[AKIAIOSFODNN7EXAMPLE]]"},
        {PII_KEY, "[[ghp_abcdefghijklmnopqrstuvwxyz0123456789]]"},
        {PII_KEY, "export DB_PASSWORD=[[hunter2-Kq9x!]]"},
        {PII_KEY, "{\"api_key\": \"[[8f14e45fceea167a5a36]]\"}"},
        {PII_KEY, "Authorization: Bearer [[abcDEF123456ghiJKL]]"},
        {PII_KEY, "[[eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghij_klm]]"},
        {PII_KEY, "[[-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----]]\n"},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        check(cases[i].type, cases[i].text);
}

static void test_looks_alike(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "order 4111 1111 1111 1112 is late",
        "version 1.2.3.4 and v10.0.0.1 and lib==1.2.3.4",
        "256.1.1.1 and 1.2.3 and 1.2.3.4.5",
        "000-12-3456 666-12-3456 912-34-5678 123-00-4567 123-45-0000",
        "DE89 3704 0044 0532 0130 01",
        "@app.route and @property",
        "at 12:30:45 on 2024-01-31, 3.14159, 1,234,567.89",
        "ISBN 978-3-16-148410-0",
        "550e8400-e29b-41d4-a716-446655440000",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "std::vector and a::b, 10:20",
        "node.js, README.md, script.py, main.rs",
        "password: changeme",
        "the token is short",
        "order 123456789",
        "48.8584, 2.2945",
        "mac 00:1A:2B:3C:4D:5E",
    };
    for (size_t i = 0; i < MERIT_COUNT(texts); i++)
        check(PII_EMAIL, texts[i]);
}

static void test_disguised(void **state)
{
    (void)state;
    static const struct {
        enum pii_type type;
        const char *text;
    } cases[] = {
        {PII_CARD, "x [[4111\u200b 1111\u200b1111\u00a01111]] y"},
        {PII_CARD, "[[\uff14\uff11\uff11\uff11 1111 1111 1111]]"},
        {PII_SSN, "[[123\u201345\u20136789]]"},
        {PII_EMAIL, "[[j\u043ee@ex\u0430mple.com]]!"},
        {PII_PHONE, "[[+\u0661 415 555 2671]]"},
        {PII_IP, "\u7535\u8bdd[[192.168.10.1]]\u3002"},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++)
        check(cases[i].type, cases[i].text);
}

static void test_skeleton(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"ign\u043ere", "ignore"},
        {"\u0438\u0433\u043d\u043e\u0440", "\u0438\u0433\u043d\u043e\u0440"},
        {"i\u200bg\u200bn", "ign"},
        {"\U0001d422\U0001d420", "ig"},
        {"\u24d8\u24d6", "ig"},
        {"caf\u00e9", "caf\u00e9"},
        {"a\u0301\u0302\u0303\u0304", "a\u0301\u0302"},
    };
    for (size_t i = 0; i < MERIT_COUNT(pairs); i++) {
        struct skeleton k;
        assert_int_equal(skeleton_make(slice_cstr(pairs[i][0]), &arena, &k), RESULT_OK);
        char got[64];
        snprintf(got, sizeof got, "%.*s", SLICE_FMT(k.text));
        assert_string_equal(got, pairs[i][1]);
    }
}

// Any bytes: spans in order, inside, never overlapping; and time linear in the text.
static void test_any(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789 -.+()@:/aAe\xc3\xa9\xe2\x80\x8b_=x";
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 3000; round++) {
        char text[200];
        uint32_t n = (uint32_t)rng_below(&rng, sizeof text);
        for (uint32_t i = 0; i < n; i++)
            text[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        struct pii_spans out = {0};
        assert_int_equal(pii_scan(slice_make(text, n), ALL, &arena, &out), RESULT_OK);
        uint32_t at = 0;
        for (uint32_t i = 0; i < out.count; i++) {
            assert_true(out.at[i].begin >= at && out.at[i].begin < out.at[i].end &&
                        out.at[i].end <= n);
            at = out.at[i].end;
        }
        arena_reset(&arena);
    }
    size_t big = 1 << 20;
    char *text = malloc(big);
    const char *const fills[] = {"a",  "1",  "a.",  "1-",   "\xcc\x81",
                                 "a@", "((", "::1", "eyJ-", "1234567,"};
    for (size_t f = 0; f < MERIT_COUNT(fills); f++) {
        size_t w = strlen(fills[f]);
        for (size_t i = 0; i < big; i++)
            text[i] = fills[f][i % w];
        struct pii_spans out = {0};
        assert_int_equal(pii_scan(slice_make(text, big), ALL, &arena, &out), RESULT_OK);
        arena_reset(&arena);
    }
    free(text);
}

// More places than are kept: the kinds of those beyond are known all the same.
static void test_many(void **state)
{
    (void)state;
    static const char one[] = "10.0.0.1, ";
    size_t n = (PII_SPANS_MAX + 10) * (sizeof one - 1);
    char *text = malloc(n + 64);
    for (size_t i = 0; i < n; i++)
        text[i] = one[i % (sizeof one - 1)];
    n += (size_t)snprintf(text + n, 64, "card 4111 1111 1111 1111");
    struct pii_spans out = {0};
    assert_int_equal(pii_scan(slice_make(text, n), ALL, &arena, &out), RESULT_OK);
    assert_true(out.cut);
    assert_int_equal(out.count, PII_SPANS_MAX);
    assert_int_equal(out.seen, 1 << PII_IP | 1 << PII_CARD);
    free(text);
}

// In steps it finds what it finds at once.
static void test_steps(void **state)
{
    (void)state;
    static const char text[] = "jo@example.com, 10.0.0.1; x 4111\u200b 1111 1111 1111, "
                               "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc DE89370400440532013000";
    struct pii_spans whole = scan(text);
    assert_int_equal(whole.count, 5);
    for (uint32_t bytes = 1; bytes < 40; bytes++) {
        struct pii_spans out = {0};
        struct pii_scan s;
        enum result r = pii_scan_begin(&s, SLICE(text), ALL, &arena);
        uint32_t steps = 0;
        for (r = r ? r : RESULT_AGAIN; r == RESULT_AGAIN; steps++)
            r = pii_scan_some(&s, bytes, &arena, &out);
        assert_int_equal(r, RESULT_OK);
        assert_true(steps > 1);
        assert_int_equal(out.count, whole.count);
        for (uint32_t i = 0; i < out.count; i++) {
            assert_int_equal(out.at[i].begin, whole.at[i].begin);
            assert_int_equal(out.at[i].end, whole.at[i].end);
            assert_int_equal(out.at[i].type, whole.at[i].type);
        }
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = "4111\u200b 1111 1111 1111, jo@example.com, 10.0.0.1";
    for (uint64_t n = 1;; n++) {
        struct arena a;
        struct pii_spans out = {0};
        arena_init(&a, 64, 1 << 20);
        alloc_fail_at(n, 0);
        enum result r = pii_scan(SLICE(text), ALL, &a, &out);
        alloc_fail_at(0, 0);
        arena_deinit(&a);
        if (!r) {
            assert_int_equal(out.count, 3);
            break;
        }
        assert_int_equal(r, RESULT_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),     cmocka_unit_test(test_looks_alike),
        cmocka_unit_test(test_disguised), cmocka_unit_test(test_skeleton),
        cmocka_unit_test(test_any),       cmocka_unit_test(test_many),
        cmocka_unit_test(test_steps),     cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
