// model/onnx: small files made by hand, for each way that a weight may lie and be named; damage; failing memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "model/onnx.h"
#include "model/proto.h"

enum { FILE_MAX = 1 << 20, F32 = 1, U8 = 2, I8 = 3, I32 = 6, I64 = 7, F16 = 10 };

static char problem[ONNX_PROBLEM_BYTES];

// --- Writing protocol buffers

static void varint(struct buf *b, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        buf_byte(b, (char)(v | 128));
    buf_byte(b, (char)v);
}

static void number(struct buf *b, uint32_t field, uint64_t v)
{
    varint(b, field << 3 | PROTO_VARINT);
    varint(b, v);
}

static void bytes(struct buf *b, uint32_t field, const void *p, size_t n)
{
    varint(b, field << 3 | PROTO_BYTES);
    varint(b, n);
    buf_append(b, p, n);
}

static void text(struct buf *b, uint32_t field, const char *s)
{
    bytes(b, field, s, strlen(s));
}

static void inside(struct buf *b, uint32_t field, struct buf *message)
{
    bytes(b, field, message->ptr ? message->ptr : "", message->len);
    buf_deinit(message);
}

static void tensor(struct buf *graph, const char *name, int type, int rank, const uint64_t *dims,
                   const void *raw, size_t n)
{
    struct buf t;
    buf_init(&t, FILE_MAX);
    for (int i = 0; i < rank; i++)
        number(&t, 1, dims[i]);
    number(&t, 2, (uint64_t)type);
    text(&t, 8, name);
    bytes(&t, 9, raw, n);
    inside(graph, 5, &t);
}

#define DIMS(...)                                                                                  \
    (int)(sizeof((uint64_t[]){__VA_ARGS__}) / 8), (uint64_t[])                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void node(struct buf *graph, const char *type, const char *name, const char *output,
                 const char *const *inputs, const char *attribute, uint64_t value)
{
    struct buf n, a;
    buf_init(&n, FILE_MAX);
    for (int i = 0; inputs[i]; i++)
        text(&n, 1, inputs[i]);
    text(&n, 2, output);
    text(&n, 3, name);
    text(&n, 4, type);
    if (attribute) {
        buf_init(&a, FILE_MAX);
        text(&a, 1, attribute);
        number(&a, 3, value);
        inside(&n, 5, &a);
    }
    inside(graph, 1, &n);
}

#define INPUTS(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static enum result open_graph(struct buf *file, struct buf *graph, struct onnx **o)
{
    buf_init(file, FILE_MAX);
    number(file, 1, 7); // ir_version
    inside(file, 7, graph);
    assert_int_equal(buf_result(file), RESULT_OK);
    return onnx_open(buf_slice(file), problem, o);
}

static void assert_tensor(struct onnx *o, const char *name, const float *want, uint64_t rows,
                          uint64_t width)
{
    struct tensor_source s = onnx_source(o);
    struct tensor_shape shape;
    float out[64];
    assert_int_equal(s.shape(s.ctx, slice_cstr(name), &shape), RESULT_OK);
    assert_int_equal(shape.dim[0], rows);
    assert_int_equal(shape.rank, width ? 2 : 1);
    if (width)
        assert_int_equal(shape.dim[1], width);
    uint64_t n = width ? width : 1;
    assert_int_equal(s.read(s.ctx, slice_cstr(name), 0, rows, out), RESULT_OK);
    assert_memory_equal(out, want, rows * n * sizeof *out);
    for (uint64_t i = 0; i < rows; i++) {
        assert_int_equal(s.read(s.ctx, slice_cstr(name), i, 1, out), RESULT_OK);
        assert_memory_equal(out, want + i * n, n * sizeof *out);
    }
    assert_int_equal(s.read(s.ctx, slice_cstr(name), rows, 1, out), RESULT_RANGE);
    assert_int_equal(s.read(s.ctx, slice_cstr(name), 1, UINT64_MAX, out), RESULT_RANGE);
}

// --- Tests

static const float six[6] = {1, 2, 3, 4, 5, 6}, turned[6] = {1, 3, 5, 2, 4, 6};

static void plain_graph(struct buf *g)
{
    buf_init(g, FILE_MAX);
    tensor(g, "e.weight", F32, DIMS(3, 2), six, sizeof six);
    tensor(g, "e.bias", F32, DIMS(3), six, 12);
    tensor(g, "onnx::MatMul_1", F32, DIMS(3, 2), six, sizeof six);
    tensor(g, "onnx::MatMul_2", F32, DIMS(3, 2), six, sizeof six);
    tensor(g, "deep.dense.bias", F32, DIMS(2), six, 8);
    tensor(g, "pooler.dense.weight", F32, DIMS(3, 2), six, sizeof six);
    tensor(g, "onnx::Gemm_9", F32, DIMS(3, 2), six, sizeof six);
    tensor(g, "ids", I64, DIMS(1, 1), "\5\0\0\0\0\0\0\0", 8);
    node(g, "MatMul", "/encoder/layer.0/dense/MatMul", "a", INPUTS("x", "onnx::MatMul_1"), NULL, 0);
    // A name without a place: the bias behind it tells.
    node(g, "MatMul", "MatMul_77", "b", INPUTS("x", "onnx::MatMul_2"), NULL, 0);
    node(g, "Cast", "Cast_78", "c", INPUTS("b"), NULL, 0);
    node(g, "Add", "Add_79", "d", INPUTS("deep.dense.bias", "c"), NULL, 0);
    node(g, "Gemm", "/pooler/dense/Gemm", "f", INPUTS("x", "pooler.dense.weight"), "transB", 1);
    node(g, "Gemm", "/head/Gemm", "g", INPUTS("x", "onnx::Gemm_9"), NULL, 0);
}

static void plain(void **state)
{
    (void)state;
    struct buf file, g;
    struct onnx *o;
    struct tensor_shape shape;
    plain_graph(&g);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    assert_int_equal(onnx_count(o), 8);
    assert_tensor(o, "e.weight", six, 3, 2);
    assert_tensor(o, "e.bias", six, 3, 0);
    assert_tensor(o, "encoder.layer.0.dense.weight", turned, 2, 3);
    assert_tensor(o, "deep.dense.weight", turned, 2, 3);
    assert_tensor(o, "pooler.dense.weight", six, 3, 2);
    assert_tensor(o, "head.weight", turned, 2, 3);
    struct tensor_source s = onnx_source(o);
    assert_int_equal(s.shape(s.ctx, SLICE("onnx::MatMul_1"), &shape), RESULT_NOT_FOUND);
    onnx_close(o);
    buf_deinit(&file);
}

static void quantised(void **state)
{
    (void)state;
    static const int8_t q[6] = {-128, 127, 0, 1, 2, 3};
    static const uint8_t u[4] = {0, 87, 88, 255};
    static const float scales[2] = {0.5f, 2};
    static const int8_t zeros[2] = {0, 1};
    // [3][2] in the file; column 0 has scale .5, column 1 scale 2 and zero point 1
    static const float want[6] = {-64, 0, 1, 252, 0, 4}, table[4] = {-43.5f, 0, 0.5f, 84};
    struct buf file, g;
    struct onnx *o;
    buf_init(&g, FILE_MAX);
    tensor(&g, "onnx::MatMul_5_quantized", I8, DIMS(3, 2), q, sizeof q);
    tensor(&g, "onnx::MatMul_5_scale", F32, DIMS(2), scales, sizeof scales);
    tensor(&g, "onnx::MatMul_5_zero_point", I8, DIMS(2), zeros, sizeof zeros);
    node(&g, "MatMulInteger", "/layer/query/MatMul_quant", "m",
         INPUTS("x", "onnx::MatMul_5_quantized", "xz", "onnx::MatMul_5_zero_point"), NULL, 0);
    tensor(&g, "emb.weight_quantized", U8, DIMS(2, 2), u, sizeof u);
    tensor(&g, "emb.weight_scale", F32, 0, NULL, scales, 4);
    // A zero point as exporters write small whole numbers: in int32_data.
    struct buf t;
    buf_init(&t, FILE_MAX);
    number(&t, 2, U8);
    number(&t, 5, 87);
    text(&t, 8, "emb.weight_zero_point");
    inside(&g, 5, &t);
    node(&g, "Gather", "/emb/Gather", "e", INPUTS("emb.weight_quantized", "ids"), NULL, 0);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    assert_tensor(o, "layer.query.weight", want, 2, 3);
    assert_tensor(o, "emb.weight", table, 2, 2);
    onnx_close(o);
    buf_deinit(&file);
    // One scale per row of a matrix that is no table, as nobody writes it.
    buf_init(&g, FILE_MAX);
    tensor(&g, "m_quantized", I8, DIMS(3, 2), q, sizeof q);
    tensor(&g, "m_scale", F32, DIMS(3), six, 12);
    node(&g, "MatMulInteger", "/m/MatMul", "m", INPUTS("x", "m_quantized"), NULL, 0);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_UNSUPPORTED);
    assert_true(problem[0]);
    buf_deinit(&file);
}

static void blocks_node(struct buf *g, uint64_t in, uint64_t out, uint64_t block, uint64_t bits,
                        bool zeros)
{
    static const char *const names[] = {"K", "N", "block_size", "bits"};
    const uint64_t values[] = {in, out, block, bits};
    struct buf n, a;
    buf_init(&n, FILE_MAX);
    text(&n, 1, "x");
    text(&n, 1, "q");
    text(&n, 1, "s");
    if (zeros)
        text(&n, 1, "z");
    text(&n, 2, "y");
    text(&n, 3, "/classifier/MatMul_Q4");
    text(&n, 4, "MatMulNBits");
    for (int i = 0; i < 4; i++) {
        buf_init(&a, FILE_MAX);
        text(&a, 1, names[i]);
        number(&a, 3, values[i]);
        inside(&n, 5, &a);
    }
    inside(g, 1, &n);
}

static void four_bits(void **state)
{
    (void)state;
    enum { IN = 20, OUT = 2, BLOCK = 16, BLOCKS = 2 };
    uint8_t q[OUT * BLOCKS * BLOCK / 2], z[OUT] = {0x3a, 0x05};
    static const float scales[OUT * BLOCKS] = {0.5f, 2, -1, 4};
    float want[OUT * IN];
    struct buf file, g;
    struct onnx *o;
    for (size_t i = 0; i < sizeof q; i++)
        q[i] = (uint8_t)(i * 37 + 11);
    for (int zeros = 0; zeros < 2; zeros++) {
        for (int r = 0; r < OUT; r++) {
            for (int k = 0; k < IN; k++) {
                int byte = q[r * BLOCKS * BLOCK / 2 + k / 2];
                int nibble = k % 2 ? byte >> 4 : byte & 15;
                int zero = !zeros ? 8 : k / BLOCK ? z[r] >> 4 : z[r] & 15;
                want[r * IN + k] = (float)(nibble - zero) * scales[r * BLOCKS + k / BLOCK];
            }
        }
        buf_init(&g, FILE_MAX);
        tensor(&g, "q", U8, DIMS(OUT, BLOCKS, BLOCK / 2), q, sizeof q);
        tensor(&g, "s", F32, DIMS(OUT, BLOCKS), scales, sizeof scales);
        if (zeros)
            tensor(&g, "z", U8, DIMS(OUT), z, sizeof z);
        blocks_node(&g, IN, OUT, BLOCK, 4, zeros);
        assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
        assert_tensor(o, "classifier.weight", want, OUT, IN);
        onnx_close(o);
        buf_deinit(&file);
    }
    static const struct {
        uint64_t in, out, block, bits;
        enum result r;
    } bad[] = {
        {IN, OUT, BLOCK, 8, RESULT_UNSUPPORTED},  {IN, OUT, 24, 4, RESULT_SYNTAX},
        {IN, OUT, 0, 4, RESULT_SYNTAX},           {0, OUT, BLOCK, 4, RESULT_SYNTAX},
        {IN, OUT + 1, BLOCK, 4, RESULT_SYNTAX},   {200, OUT, BLOCK, 4, RESULT_SYNTAX},
        {UINT64_MAX, 2, BLOCK, 4, RESULT_SYNTAX}, {UINT32_MAX, UINT32_MAX, 16, 4, RESULT_SYNTAX},
    };
    for (size_t i = 0; i < MERIT_COUNT(bad); i++) {
        buf_init(&g, FILE_MAX);
        tensor(&g, "q", U8, DIMS(OUT, BLOCKS, BLOCK / 2), q, sizeof q);
        tensor(&g, "s", F32, DIMS(OUT, BLOCKS), scales, sizeof scales);
        blocks_node(&g, bad[i].in, bad[i].out, bad[i].block, bad[i].bits, false);
        assert_int_equal(open_graph(&file, &g, &o), bad[i].r);
        buf_deinit(&file);
    }
}

static void ways_of_writing_numbers(void **state)
{
    (void)state;
    static const float want[3] = {1.5f, -2, 4};
    static const uint16_t halves[3] = {0x3e00, 0xc000, 0x4400};
    struct buf file, g, t, packed;
    struct onnx *o;
    buf_init(&g, FILE_MAX);
    tensor(&g, "half", F16, DIMS(3), halves, sizeof halves);
    // float_data in one run, float_data one by one, halves as varints, dims packed
    buf_init(&t, FILE_MAX);
    bytes(&t, 1, "\3", 1);
    number(&t, 2, F32);
    bytes(&t, 4, want, sizeof want);
    text(&t, 8, "run");
    inside(&g, 5, &t);
    buf_init(&t, FILE_MAX);
    number(&t, 1, 3);
    number(&t, 2, F32);
    for (int i = 0; i < 3; i++) {
        varint(&t, 4 << 3 | PROTO_FIXED32);
        buf_append(&t, &want[i], 4);
    }
    text(&t, 8, "single");
    inside(&g, 5, &t);
    buf_init(&t, FILE_MAX);
    buf_init(&packed, FILE_MAX);
    number(&t, 1, 3);
    number(&t, 2, F16);
    number(&t, 5, halves[0]);
    varint(&packed, halves[1]);
    varint(&packed, halves[2]);
    inside(&t, 5, &packed);
    text(&t, 8, "varints");
    inside(&g, 5, &t);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    assert_tensor(o, "half", want, 3, 0);
    assert_tensor(o, "run", want, 3, 0);
    assert_tensor(o, "single", want, 3, 0);
    assert_tensor(o, "varints", want, 3, 0);
    onnx_close(o);
    buf_deinit(&file);
}

static void refused(void **state)
{
    (void)state;
    static const float bad[2] = {1, __builtin_nanf("")};
    struct buf file, g, t;
    struct onnx *o;
    float out[6];
    struct tensor_shape shape;
    // Not finite: when it is read.
    buf_init(&g, FILE_MAX);
    tensor(&g, "w", F32, DIMS(2), bad, sizeof bad);
    tensor(&g, "onnx::MatMul_1", F32, DIMS(1, 2), bad, sizeof bad);
    node(&g, "MatMul", "/a/MatMul", "a", INPUTS("x", "onnx::MatMul_1"), NULL, 0);
    tensor(&g, "onnx::MatMul_2", F32, DIMS(1, 2), six, 8);
    tensor(&g, "onnx::MatMul_3", F32, DIMS(1, 2), six, 8);
    node(&g, "MatMul", "/b/MatMul", "b", INPUTS("x", "onnx::MatMul_2"), NULL, 0);
    node(&g, "MatMul", "/b/MatMul_1", "c", INPUTS("x", "onnx::MatMul_3"), NULL, 0);
    tensor(&g, "text", 8, DIMS(1), "", 0);
    tensor(&g, "five", U8, DIMS(1, 1, 1, 1, 1), "a", 1);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    struct tensor_source s = onnx_source(o);
    assert_int_equal(s.read(s.ctx, SLICE("w"), 0, 2, out), RESULT_RANGE);
    assert_int_equal(s.read(s.ctx, SLICE("w"), 0, 1, out), RESULT_OK);
    assert_int_equal(s.read(s.ctx, SLICE("a.weight"), 0, 2, out), RESULT_RANGE);
    assert_int_equal(s.read(s.ctx, SLICE("b.weight"), 0, 2, out), RESULT_DUPLICATE);
    assert_int_equal(s.shape(s.ctx, SLICE("b.weight"), &shape), RESULT_DUPLICATE);
    assert_int_equal(s.read(s.ctx, SLICE("text"), 0, 1, out), RESULT_TYPE);
    assert_int_equal(s.shape(s.ctx, SLICE("five"), &shape), RESULT_LIMIT);
    assert_int_equal(s.read(s.ctx, SLICE("none"), 0, 1, out), RESULT_NOT_FOUND);
    onnx_close(o);
    buf_deinit(&file);
    // The same name twice; sizes that lie; sizes that wrap around; weights elsewhere.
    static const struct {
        const char *name;
        uint64_t dims[2], location;
        enum result r;
    } cases[] = {
        {"w", {1, 2}, 0, RESULT_DUPLICATE},       {"v", {1, 3}, 0, RESULT_SYNTAX},
        {"v", {1ull << 62, 4}, 0, RESULT_SYNTAX}, {"v", {1ull << 63, 1}, 0, RESULT_SYNTAX},
        {"v", {1ull << 61, 1}, 0, RESULT_SYNTAX}, {"v", {1, 2}, 1, RESULT_UNSUPPORTED},
    };
    for (size_t i = 0; i < MERIT_COUNT(cases); i++) {
        buf_init(&g, FILE_MAX);
        tensor(&g, "w", F32, DIMS(2), six, 8);
        buf_init(&t, FILE_MAX);
        number(&t, 1, cases[i].dims[0]);
        number(&t, 1, cases[i].dims[1]);
        number(&t, 2, F32);
        text(&t, 8, cases[i].name);
        bytes(&t, 9, six, 8);
        if (cases[i].location)
            number(&t, 14, cases[i].location);
        inside(&g, 5, &t);
        assert_int_equal(open_graph(&file, &g, &o), cases[i].r);
        assert_true(problem[0]);
        buf_deinit(&file);
    }
    // A shape asks for more varints than there are bytes.
    buf_init(&g, FILE_MAX);
    buf_init(&t, FILE_MAX);
    number(&t, 1, 1ull << 40);
    number(&t, 2, I32);
    number(&t, 5, 1);
    inside(&g, 5, &t);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_EOF);
    buf_deinit(&file);
    assert_int_equal(onnx_open(SLICE_EMPTY, problem, &o), RESULT_SYNTAX);
    assert_int_equal(onnx_open(SLICE("\x3a\0\x3a\0"), problem, &o), RESULT_SYNTAX);
    assert_int_equal(onnx_open(SLICE("\x3a\x7f"), problem, &o), RESULT_EOF);
    assert_int_equal(onnx_open(SLICE("no ONNX at all"), problem, &o), RESULT_EOF);
}

static void try_copy(struct slice file)
{
    struct onnx *o;
    float out[64];
    char *copy = malloc(file.len + 1);
    assert_non_null(copy);
    memcpy(copy, file.ptr, file.len);
    if (!onnx_open(slice_make(copy, file.len), problem, &o)) {
        struct tensor_source s = onnx_source(o);
        for (uint32_t i = 0; i < onnx_count(o); i++) {
            struct tensor_shape shape;
            if (!s.shape(s.ctx, onnx_name(o, i), &shape) && shape.rank == 2 && shape.dim[0] &&
                shape.dim[1] < 64) {
                enum result r = s.read(s.ctx, onnx_name(o, i), shape.dim[0] - 1, 1, out);
                assert_true(r == RESULT_OK || r == RESULT_RANGE || r == RESULT_TYPE);
            }
        }
        onnx_close(o);
    }
    free(copy);
}

static void cut_and_turned(void **state)
{
    (void)state;
    struct buf file, g;
    struct onnx *o;
    struct rng rng;
    plain_graph(&g);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    onnx_close(o);
    for (size_t n = 3; n < file.len; n++) {
        try_copy(slice_make(file.ptr, n));
        assert_int_not_equal(onnx_open(slice_make(file.ptr, n), problem, &o), RESULT_OK);
    }
    rng_seed(&rng, 1);
    for (int i = 0; i < 5000; i++) {
        size_t at = rng_below(&rng, file.len);
        char old = file.ptr[at];
        file.ptr[at] = (char)rng_below(&rng, 256);
        try_copy(buf_slice(&file));
        file.ptr[at] = old;
    }
    buf_deinit(&file);
}

static void allocations_fail(void **state)
{
    (void)state;
    struct buf file, g;
    struct onnx *o;
    plain_graph(&g);
    assert_int_equal(open_graph(&file, &g, &o), RESULT_OK);
    onnx_close(o);
    uint64_t n = 1;
    for (;; n++) {
        alloc_fail_at(n, 0);
        enum result r = onnx_open(buf_slice(&file), problem, &o);
        alloc_fail_at(0, 0);
        if (!r)
            break;
        assert_int_equal(r, RESULT_NOMEM);
        assert_null(o);
    }
    assert_true(n > 5);
    onnx_close(o);
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(quantised),
        cmocka_unit_test(four_bits),
        cmocka_unit_test(ways_of_writing_numbers),
        cmocka_unit_test(refused),
        cmocka_unit_test(cut_and_turned),
        cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
