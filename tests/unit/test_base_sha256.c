// SHA-256 beside the vectors of NIST (FIPS 180-4 examples and CAVP), in one piece and in every split.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sha256.h"

static void assert_digest(const uint8_t *digest, const char *want)
{
    char hex[2 * SHA256_BYTES];
    sha256_hex(digest, SHA256_BYTES, hex);
    assert_memory_equal(hex, want, sizeof hex);
}

static void vectors_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mno"
         "pqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"},
        {"\xc9\x8c\x8e\x55", "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504"},
    };
    for (size_t i = 0; i < MERIT_COUNT(vectors); i++) {
        struct slice text = slice_cstr(vectors[i].text);
        uint8_t digest[SHA256_BYTES];
        sha256_of(text, digest);
        assert_digest(digest, vectors[i].digest);
        for (size_t cut = 0; cut <= text.len; cut++) {
            struct sha256 s;
            sha256_init(&s);
            sha256_update(&s, text.ptr, cut);
            sha256_update(&s, text.ptr + cut, text.len - cut);
            sha256_final(&s, digest);
            assert_digest(digest, vectors[i].digest);
        }
    }
}

static void a_million_letters(void **state)
{
    (void)state;
    struct sha256 s;
    uint8_t digest[SHA256_BYTES];
    char piece[999];
    size_t left = 1000000;
    memset(piece, 'a', sizeof piece);
    sha256_init(&s);
    for (size_t n = 1; left > 0; n = n * 7 % 999 + 1) {
        size_t take = n < left ? n : left;
        sha256_update(&s, piece, take);
        left -= take;
    }
    sha256_final(&s, digest);
    assert_digest(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(a_million_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
