// model/safetensors: what it reads equals what was written; every kind of damage has its name; every allocation fails in
// turn; and the golden files are read whole.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "model/mapped.h"
#include "nn/safetensors.h"

enum { FILE_MAX = 1 << 20 };

// A file with this header and `data` zero bytes behind it.
static void make(struct buf *b, const char *header, size_t data)
{
    uint64_t n = strlen(header);
    buf_reset(b);
    buf_append(b, &n, sizeof n);
    buf_cstr(b, header);
    for (size_t i = 0; i < data; i++)
        buf_byte(b, 0);
    assert_int_equal(buf_result(b), RESULT_OK);
}

static enum result open_of(struct slice file)
{
    struct safetensors s;
    char problem[SAFETENSORS_PROBLEM_BYTES];
    // A copy of just this length, so that a sanitizer sees reads behind it.
    char *copy = malloc(file.len ? file.len : 1);
    assert_non_null(copy);
    if (file.len)
        memcpy(copy, file.ptr, file.len);
    enum result r = safetensors_open(&s, slice_make(copy, file.len), problem);
    if (!r)
        safetensors_close(&s);
    else if (r != RESULT_NOMEM)
        assert_true(problem[0]);
    free(copy);
    return r;
}

static void damage_has_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        enum result r;
    } cases[] = {
        {"{}", 0, RESULT_OK},
        {"{}  ", 0, RESULT_OK},
        {"{}", 1, RESULT_SYNTAX},
        {"", 0, RESULT_SYNTAX},
        {"[]", 0, RESULT_SYNTAX},
        {"{\"a\":1}", 0, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, RESULT_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, RESULT_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, RESULT_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, RESULT_EOF},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, RESULT_SYNTAX},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, RESULT_SYNTAX},
        // 2^32 * 2^32 and 2^62 * 4: sizes that would wrap around to nothing
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 4,
         RESULT_EOF},
        // the same name twice, overlap, hole
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, RESULT_DUPLICATE},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, RESULT_SYNTAX},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3, RESULT_SYNTAX},
        {"{\"__metadata__\":{\"k\":\"v\"}}", 0, RESULT_OK},
        {"{\"__metadata__\":{\"k\":1}}", 0, RESULT_SYNTAX},
        {"{\"__metadata__\":[]}", 0, RESULT_SYNTAX},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, RESULT_DUPLICATE},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, RESULT_OK},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, RESULT_OK},
        {"[[[[[[[[[[[]]]]]]]]]]]", 0, RESULT_DEPTH},
    };
    struct buf b;
    buf_init(&b, FILE_MAX);
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        make(&b, cases[i].header, cases[i].data);
        enum result r = open_of(buf_slice(&b));
        if (r != cases[i].r)
            fail_msg("case %zu, %s: %s instead of %s", i, cases[i].header, result_name(r),
                     result_name(cases[i].r));
    }
    // Lengths of the header itself.
    assert_int_equal(open_of(SLICE_EMPTY), RESULT_EOF);
    assert_int_equal(open_of(SLICE("\2\0\0\0\0\0\0")), RESULT_EOF);
    assert_int_equal(open_of(SLICE("\3\0\0\0\0\0\0\0{}")), RESULT_EOF);
    assert_int_equal(open_of(SLICE("\xff\xff\xff\xff\xff\xff\xff\xff{}")), RESULT_LIMIT);
    assert_int_equal(open_of(SLICE("\0\0\0\0\0\0\0\0")), RESULT_SYNTAX);
    buf_deinit(&b);
}

static void unknown_types_and_ranks_wait(void **state)
{
    (void)state;
    struct buf b;
    struct safetensors s;
    struct tensor_shape shape;
    float f;
    buf_init(&b, FILE_MAX);
    make(&b,
         "{\"five\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]},"
         "\"f8\":{\"dtype\":\"F8_E5M2\",\"shape\":[1],\"data_offsets\":[1,2]},"
         "\"truth\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3);
    assert_int_equal(safetensors_open(&s, buf_slice(&b), NULL), RESULT_OK);
    assert_int_equal(safetensors_shape(&s, SLICE("five"), &shape), RESULT_LIMIT);
    assert_int_equal(safetensors_read(&s, SLICE("f8"), 0, 1, &f), RESULT_TYPE);
    assert_int_equal(safetensors_read(&s, SLICE("truth"), 0, 1, &f), RESULT_TYPE);
    assert_int_equal(safetensors_read(&s, SLICE("none"), 0, 1, &f), RESULT_NOT_FOUND);
    assert_int_equal(safetensors_shape(&s, SLICE("none"), &shape), RESULT_NOT_FOUND);
    safetensors_close(&s);
    buf_deinit(&b);
}

static void numbers_of_every_type(void **state)
{
    (void)state;
    static const float f32[2] = {1.5f, -3.25f};
    static const double f64[2] = {1.5, -3.25};
    // 1.5 and -3.25 as halves and as bf16
    static const uint16_t f16[2] = {0x3e00, 0xc280}, bf16[2] = {0x3fc0, 0xc050};
    static const int8_t i8[2] = {-128, 127};
    static const uint8_t u8[2] = {0, 255};
    static const int16_t i16[2] = {-32768, 32767};
    static const uint16_t u16[2] = {0, 65535};
    static const int32_t i32[2] = {-5, 1 << 24};
    static const uint32_t u32[2] = {0, 4294967295u};
    static const int64_t i64[2] = {-7, 1ll << 40};
    static const uint64_t u64[2] = {9, 1ull << 63};
    static const struct {
        enum number_type type;
        const void *data;
        float want[2];
    } cases[] = {
        {NUMBER_F32, f32, {1.5f, -3.25f}},  {NUMBER_F64, f64, {1.5f, -3.25f}},
        {NUMBER_F16, f16, {1.5f, -3.25f}},  {NUMBER_BF16, bf16, {1.5f, -3.25f}},
        {NUMBER_I8, i8, {-128, 127}},       {NUMBER_U8, u8, {0, 255}},
        {NUMBER_I16, i16, {-32768, 32767}}, {NUMBER_U16, u16, {0, 65535}},
        {NUMBER_I32, i32, {-5, 16777216}},  {NUMBER_U32, u32, {0, 4294967296.0f}},
        {NUMBER_I64, i64, {-7, 0x1p40f}},   {NUMBER_U64, u64, {9, 0x1p63f}},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        char unaligned[2 * 8 + 1];
        float out[2];
        memcpy(unaligned + 1, cases[i].data, 2 * number_bytes(cases[i].type));
        assert_int_equal(number_read(cases[i].type, unaligned + 1, 1, 2, out), RESULT_OK);
        assert_memory_equal(out, cases[i].want, sizeof out);
        assert_int_equal(number_read(cases[i].type, cases[i].data, 0, 2, out), RESULT_OK);
        assert_true(out[1] == cases[i].want[0]);
    }
    // Every half against the definition.
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float got = number_f16((uint16_t)bits);
        int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        double want =
            exponent ? ldexp(1 + fraction / 1024.0, exponent - 15) : ldexp(fraction / 1024.0, -14);
        if (exponent == 31)
            assert_true(fraction ? isnan(got) : isinf(got));
        else
            assert_true(got == (float)(bits >> 15 ? -want : want));
        assert_int_equal(signbit(got) != 0, bits >> 15);
    }
}

static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const double big[] = {1e300, -1e300, NAN};
    static const uint16_t half[] = {0x7c00, 0xfc00, 0x7e00}, brain[] = {0x7f80, 0xff80, 0x7fc0};
    float in[40], out[40];
    for (int k = 0; k < 3; k++) {
        for (int at = 0; at < 40; at++) {
            for (int i = 0; i < 40; i++)
                in[i] = (float)i;
            in[at] = bad[k];
            assert_int_equal(number_read(NUMBER_F32, in, 1, 40, out), RESULT_RANGE);
        }
        assert_int_equal(number_read(NUMBER_F64, &big[k], 1, 1, out), RESULT_RANGE);
        assert_int_equal(number_read(NUMBER_F16, &half[k], 1, 1, out), RESULT_RANGE);
        assert_int_equal(number_read(NUMBER_BF16, &brain[k], 1, 1, out), RESULT_RANGE);
    }
    // The largest floats are finite, and so is their sum here.
    for (int i = 0; i < 40; i++)
        in[i] = 3.4e38f;
    assert_int_equal(number_read(NUMBER_F32, in, 1, 40, out), RESULT_OK);
}

static const float matrix[6] = {1, 2, 3, 4, 5, 6};
static const int8_t small[3] = {-1, 0, 1};
static const double scalar = 0.25;
static const struct safetensors_entry entries[] = {
    {SLICE("small"), NUMBER_I8, {1, {3}}, small},
    {SLICE("matrix"), NUMBER_F32, {2, {2, 3}}, matrix},
    {SLICE("na\"me \xc3\xa9"), NUMBER_F64, {0, {0}}, &scalar},
    {SLICE("empty"), NUMBER_F32, {2, {0, 5}}, ""},
};
static const struct safetensors_metadata metadata[] = {
    {SLICE("kind"), SLICE("a \"head\"\n")},
    {SLICE("empty"), SLICE("")},
};

static void writes_what_it_reads(void **state)
{
    (void)state;
    struct buf b, c;
    struct safetensors s;
    struct tensor_shape shape;
    struct safetensors_entry turned[MERIT_COUNT(entries)];
    float out[6];
    size_t n = MERIT_COUNT(entries);
    buf_init(&b, FILE_MAX);
    buf_init(&c, FILE_MAX);
    assert_int_equal(safetensors_write(&b, entries, (uint32_t)n, metadata, 2), RESULT_OK);
    for (size_t i = 0; i < n; i++)
        turned[i] = entries[n - 1 - i];
    assert_int_equal(safetensors_write(&c, turned, (uint32_t)n, metadata, 2), RESULT_OK);
    assert_true(slice_eq(buf_slice(&b), buf_slice(&c)));
    assert_int_equal(safetensors_open(&s, buf_slice(&b), NULL), RESULT_OK);
    assert_int_equal(s.count, n);
    assert_true(slice_eq_cstr(safetensors_text(&s, "kind"), "a \"head\"\n"));
    assert_true(safetensors_text(&s, "empty").ptr && !safetensors_text(&s, "empty").len);
    assert_null(safetensors_text(&s, "absent").ptr);
    struct tensor_source source = safetensors_source(&s);
    assert_int_equal(source.shape(source.ctx, SLICE("matrix"), &shape), RESULT_OK);
    assert_int_equal(shape.rank, 2);
    assert_int_equal(shape.dim[0] * 10 + shape.dim[1], 23);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 0, 2, out), RESULT_OK);
    assert_memory_equal(out, matrix, sizeof matrix);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 1, 1, out), RESULT_OK);
    assert_memory_equal(out, matrix + 3, 3 * sizeof *matrix);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 1, 2, out), RESULT_RANGE);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 3, 0, out), RESULT_RANGE);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 1, UINT64_MAX, out), RESULT_RANGE);
    assert_int_equal(source.read(source.ctx, SLICE("matrix"), 2, 0, out), RESULT_OK);
    assert_int_equal(source.read(source.ctx, SLICE("small"), 1, 2, out), RESULT_OK);
    assert_true(out[0] == 0 && out[1] == 1);
    assert_int_equal(source.read(source.ctx, entries[2].name, 0, 1, out), RESULT_OK);
    assert_true(out[0] == 0.25f);
    assert_int_equal(source.read(source.ctx, SLICE("empty"), 0, 0, out), RESULT_OK);
    for (uint32_t i = 0; i < s.count; i++) {
        size_t at = (size_t)(s.tensors[i].data.ptr - b.ptr);
        assert_true(!s.tensors[i].count || at % number_bytes(s.tensors[i].type) == 0);
    }
    safetensors_close(&s);
    struct safetensors_entry twice[2] = {entries[0], entries[0]};
    assert_int_equal(safetensors_write(&c, twice, 2, NULL, 0), RESULT_DUPLICATE);
    twice[0].name = SLICE("__metadata__");
    assert_int_equal(safetensors_write(&c, twice, 1, NULL, 0), RESULT_SYNTAX);
    twice[0].name = SLICE_EMPTY;
    assert_int_equal(safetensors_write(&c, twice, 1, NULL, 0), RESULT_SYNTAX);
    struct buf tight;
    buf_init(&tight, 100);
    assert_int_equal(safetensors_write(&tight, entries, (uint32_t)n, metadata, 2), RESULT_LIMIT);
    buf_deinit(&tight);
    buf_deinit(&b);
    buf_deinit(&c);
}

// Cut at every length, with every byte turned: a verdict, and never a read outside.
static void cut_and_turned(void **state)
{
    (void)state;
    struct buf b;
    struct rng rng;
    buf_init(&b, FILE_MAX);
    assert_int_equal(safetensors_write(&b, entries, MERIT_COUNT(entries), metadata, 2), RESULT_OK);
    for (size_t n = 0; n < b.len; n++)
        assert_int_not_equal(open_of(slice_make(b.ptr, n)), RESULT_OK);
    rng_seed(&rng, 1);
    for (int i = 0; i < 4000; i++) {
        size_t at = rng_below(&rng, (uint32_t)b.len);
        char old = b.ptr[at];
        b.ptr[at] = (char)rng_below(&rng, 256);
        open_of(buf_slice(&b));
        b.ptr[at] = old;
    }
    assert_int_equal(open_of(buf_slice(&b)), RESULT_OK);
    buf_deinit(&b);
}

static void allocations_fail(void **state)
{
    (void)state;
    struct buf b;
    uint64_t n = 1;
    enum result r;
    for (;; n++) {
        buf_init(&b, FILE_MAX);
        alloc_fail_at(n, 0);
        r = safetensors_write(&b, entries, MERIT_COUNT(entries), metadata, 2);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        buf_deinit(&b);
    }
    assert_true(n > 2);
    for (n = 1;; n++) {
        struct safetensors s;
        alloc_fail_at(n, 0);
        r = safetensors_open(&s, buf_slice(&b), NULL);
        alloc_fail_at(0, 0);
        if (!r) {
            safetensors_close(&s);
            break;
        }
        assert_int_equal(r, RESULT_NOMEM);
    }
    assert_true(n > 1);
    buf_deinit(&b);
}

static void golden_files(void **state)
{
    (void)state;
    static const char *const files[] = {
        "bert_tiny/seqcls",     "bert_tiny/tokcls", "deberta_tiny/v3_seqcls",
        "modernbert_tiny/base", "xlmr_tiny/seqcls",
    };
    const char *data = getenv("MERIT_DATA");
    char path[4096], problem[SAFETENSORS_PROBLEM_BYTES];
    for (size_t i = 0; i < MERIT_COUNT(files); i++) {
        struct mapped m;
        struct safetensors s;
        snprintf(path, sizeof path, "%s/golden/%s/model.safetensors",
                 data ? data : MERIT_SOURCE_DIR "/../shared/data", files[i]);
        enum result r = mapped_open(path, 1 << 30, &m);
        if (r == RESULT_NOT_FOUND) {
            print_message("skipped: there is no %s\n", path);
            skip();
        }
        assert_int_equal(r, RESULT_OK);
        assert_int_equal(safetensors_open(&s, m.bytes, problem), RESULT_OK);
        assert_true(s.count > 20);
        for (uint32_t k = 0; k < s.count; k++) {
            const struct safetensors_tensor *t = &s.tensors[k];
            float *out = malloc((size_t)t->count * sizeof *out);
            assert_non_null(out);
            assert_int_equal(t->type, NUMBER_F32);
            assert_int_equal(
                safetensors_read(&s, t->name, 0, t->shape.rank ? t->shape.dim[0] : 1, out),
                RESULT_OK);
            assert_memory_equal(out, t->data.ptr, t->data.len);
            free(out);
        }
        safetensors_close(&s);
        mapped_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_has_a_name),     cmocka_unit_test(unknown_types_and_ranks_wait),
        cmocka_unit_test(numbers_of_every_type), cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(writes_what_it_reads),  cmocka_unit_test(cut_and_turned),
        cmocka_unit_test(allocations_fail),      cmocka_unit_test(golden_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
