#include "model/onnx.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "model/proto.h"
#include "nn/number.h"

enum { ARENA_MAX = 512 * 1024 * 1024, INPUTS_MAX = 6, CHAIN_MAX = 6, SHOWN = 80 };

// Field numbers of onnx.proto.
enum { MODEL_GRAPH = 7 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_SPARSE = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_UINT64S = 11,
    TENSOR_LOCATION = 14
};

// TensorProto.DataType, from 1 on.
static const int number_types[] = {
    -1,         NUMBER_F32, NUMBER_U8, NUMBER_I8,   NUMBER_U16,  NUMBER_I16,
    NUMBER_I32, NUMBER_I64, -1,        NUMBER_BOOL, NUMBER_F16,  NUMBER_F64,
    NUMBER_U32, NUMBER_U64, -1,        -1,          NUMBER_BF16,
};

struct initializer {
    struct slice name;
    bool known;
    enum number_type type;
    struct tensor_shape shape;
    uint64_t count;
    struct slice data; // count numbers of the type
    bool placed;       // under another name than its own
};

struct node {
    struct slice name, type;
    struct slice inputs[INPUTS_MAX]; // those that matter here
    struct slice output;             // the first
    struct slice attributes;         // the whole node, to look for attributes in
};

enum kind { PLAIN, SCALED, BLOCKS };

struct tensor {
    struct slice name;
    enum kind kind;
    bool turned;               // the file has [in][out]
    struct tensor_shape shape; // as told outside
    const struct initializer *data;
    // SCALED: one or one per row of the told shape. BLOCKS: one per block, row by row.
    const float *scales, *zeros;
    bool by_row;
    bool ambiguous;         // another one would have the same name
    uint32_t block, blocks; // numbers in a block, blocks in a row
};

struct onnx {
    struct arena arena;
    VEC(struct initializer) initializers;
    VEC(struct node) nodes;
    VEC(struct tensor) tensors;
    struct map by_name;  // initialisers
    struct map by_input; // the first node that takes a value
    char *problem;
};

static MERIT_PRINTF(3, 4) enum result wrong(struct onnx *o, enum result r, const char *fmt, ...)
{
    va_list args;
    if (o->problem && !o->problem[0]) {
        va_start(args, fmt);
        vsnprintf(o->problem, ONNX_PROBLEM_BYTES, fmt, args);
        va_end(args);
    }
    return r;
}

static enum result cut(struct onnx *o, const char *what)
{
    return wrong(o, RESULT_EOF, "%s is cut short or no ONNX", what);
}

// --- Initialisers

static enum result add_dim(struct onnx *o, struct initializer *t, uint64_t v)
{
    if (v > INT64_MAX || __builtin_mul_overflow(t->count, v, &t->count))
        return wrong(o, RESULT_SYNTAX, "an initialiser has an impossible shape");
    if (t->shape.rank < TENSOR_RANK_MAX)
        t->shape.dim[t->shape.rank] = v;
    t->shape.rank++;
    return RESULT_OK;
}

static enum result read_dims(struct onnx *o, struct initializer *t, const struct proto_field *f)
{
    enum result r = RESULT_OK;
    uint64_t v;
    if (f->wire == PROTO_VARINT)
        return add_dim(o, t, f->value);
    for (struct slice rest = f->bytes; rest.len && !r;)
        r = proto_varint(&rest, &v) ? add_dim(o, t, v) : cut(o, "a shape");
    return r;
}

// Small whole numbers and halves lie in int32_data as varints, one each.
static enum result unpack_varints(struct onnx *o, struct initializer *t, struct slice message,
                                  uint32_t field)
{
    uint32_t bytes = number_bytes(t->type);
    struct proto_field f;
    uint64_t n = 0, v;
    // A varint is a byte or longer, so that a shape cannot ask for more than the file holds.
    if (t->count > message.len)
        return cut(o, "an initialiser");
    char *to = arena_alloc(&o->arena, (size_t)t->count * bytes);
    if (!to)
        return RESULT_NOMEM;
    t->data = slice_make(to, (size_t)t->count * bytes);
    for (struct slice rest = message; proto_next(&rest, &f);) {
        struct slice values = f.bytes;
        bool alone = f.wire == PROTO_VARINT;
        if (f.number != field)
            continue;
        v = f.value;
        while (alone || values.len) {
            if (!alone && !proto_varint(&values, &v))
                return cut(o, "an initialiser");
            if (n == t->count)
                return wrong(o, RESULT_SYNTAX, "an initialiser has more numbers than its shape");
            memcpy(to + n++ * bytes, &v, bytes); // little-endian: the low bytes come first
            if (alone)
                break;
        }
    }
    return n == t->count ? RESULT_OK : cut(o, "an initialiser");
}

// One run of bytes is used where it lies; single numbers are gathered.
static enum result unpack_fixed(struct onnx *o, struct initializer *t, struct slice message,
                                uint32_t field)
{
    struct proto_field f;
    uint64_t runs = 0, total = 0;
    for (struct slice rest = message; proto_next(&rest, &f);) {
        if (f.number == field) {
            t->data = f.bytes;
            total += f.bytes.len;
            runs++;
        }
    }
    if (runs > 1) {
        char *to = arena_alloc(&o->arena, (size_t)total);
        if (!to)
            return RESULT_NOMEM;
        t->data = slice_make(to, (size_t)total);
        for (struct slice rest = message; proto_next(&rest, &f);) {
            if (f.number == field && f.bytes.len) {
                memcpy(to, f.bytes.ptr, f.bytes.len);
                to += f.bytes.len;
            }
        }
    }
    return RESULT_OK;
}

static enum result read_numbers(struct onnx *o, struct initializer *t, struct slice message,
                                bool raw)
{
    enum result r;
    uint64_t bytes;
    if (raw)
        r = unpack_fixed(o, t, message, TENSOR_RAW);
    else if (t->type == NUMBER_F32)
        r = unpack_fixed(o, t, message, TENSOR_FLOATS);
    else if (t->type == NUMBER_F64)
        r = unpack_fixed(o, t, message, TENSOR_DOUBLES);
    else if (t->type == NUMBER_I64)
        r = unpack_varints(o, t, message, TENSOR_INT64S);
    else if (t->type == NUMBER_U64 || t->type == NUMBER_U32)
        r = unpack_varints(o, t, message, TENSOR_UINT64S);
    else
        r = unpack_varints(o, t, message, TENSOR_INT32S);
    if (r)
        return r;
    if (__builtin_mul_overflow(t->count, number_bytes(t->type), &bytes) || bytes != t->data.len)
        return wrong(o, RESULT_SYNTAX, "initialiser %.*s has not the bytes of its shape",
                     SLICE_FMT(slice_head(t->name, SHOWN)));
    return RESULT_OK;
}

static void set_type(struct initializer *t, uint64_t type)
{
    t->known = type < MERIT_COUNT(number_types) && number_types[type] >= 0;
    if (t->known)
        t->type = (enum number_type)number_types[type];
}

static enum result read_initializer(struct onnx *o, struct slice message)
{
    struct initializer t = {.count = 1};
    struct proto_field f;
    struct slice rest = message;
    bool raw = false;
    while (proto_next(&rest, &f)) {
        enum result r = RESULT_OK;
        if (f.number == TENSOR_DIMS)
            r = read_dims(o, &t, &f);
        else if (f.number == TENSOR_TYPE && f.wire == PROTO_VARINT)
            set_type(&t, f.value);
        else if (f.number == TENSOR_NAME)
            t.name = f.bytes;
        else if (f.number == TENSOR_RAW)
            raw = true;
        else if (f.number == TENSOR_LOCATION && f.value != 0)
            r = wrong(o, RESULT_UNSUPPORTED,
                      "the weights lie in a file of their own beside it; export the model without "
                      "external data");
        if (r)
            return r;
    }
    if (rest.len)
        return cut(o, "an initialiser");
    enum result r = t.known ? read_numbers(o, &t, message, raw) : RESULT_OK;
    if (r)
        return r;
    if (!VEC_PUSH(&o->initializers, t))
        return o->initializers.len == o->initializers.cap
                   ? wrong(o, RESULT_LIMIT, "more than %d initialisers", ONNX_TENSORS_MAX)
                   : RESULT_NOMEM;
    return RESULT_OK;
}

// --- Nodes

static enum result read_node(struct onnx *o, struct slice message)
{
    struct node n = {.attributes = message};
    struct proto_field f;
    struct slice rest = message;
    uint32_t inputs = 0;
    while (proto_next(&rest, &f)) {
        if (f.number == NODE_INPUT && inputs < INPUTS_MAX)
            n.inputs[inputs++] = f.bytes;
        else if (f.number == NODE_OUTPUT && !n.output.ptr)
            n.output = f.bytes;
        else if (f.number == NODE_NAME)
            n.name = f.bytes;
        else if (f.number == NODE_TYPE)
            n.type = f.bytes;
    }
    if (rest.len)
        return cut(o, "a node");
    if (!VEC_PUSH(&o->nodes, n))
        return o->nodes.len == o->nodes.cap
                   ? wrong(o, RESULT_LIMIT, "more than %d nodes", ONNX_NODES_MAX)
                   : RESULT_NOMEM;
    return RESULT_OK;
}

static uint64_t attribute(const struct node *n, const char *name, uint64_t otherwise)
{
    struct proto_field f, a;
    for (struct slice rest = n->attributes; proto_next(&rest, &f);) {
        struct slice inside = f.bytes;
        bool named = false;
        uint64_t value = 0;
        if (f.number != NODE_ATTRIBUTE)
            continue;
        while (proto_next(&inside, &a)) {
            named |= a.number == ATTRIBUTE_NAME && slice_eq_cstr(a.bytes, name);
            if (a.number == ATTRIBUTE_INT)
                value = a.value;
        }
        if (named)
            return value;
    }
    return otherwise;
}

static enum result read_graph(struct onnx *o, struct slice graph)
{
    struct proto_field f;
    while (proto_next(&graph, &f)) {
        enum result r = RESULT_OK;
        if (f.number == GRAPH_NODE && f.wire == PROTO_BYTES)
            r = read_node(o, f.bytes);
        else if (f.number == GRAPH_INITIALIZER && f.wire == PROTO_BYTES)
            r = read_initializer(o, f.bytes);
        if (r)
            return r;
    }
    return graph.len ? cut(o, "the graph") : RESULT_OK;
}

static enum result index_all(struct onnx *o)
{
    enum result r = RESULT_OK;
    for (size_t i = 0; i < o->initializers.len && !r; i++) {
        struct initializer *t = &o->initializers.at[i];
        if (map_get(&o->by_name, t->name))
            return wrong(o, RESULT_DUPLICATE, "initialiser %.*s stands twice",
                         SLICE_FMT(slice_head(t->name, SHOWN)));
        r = map_put(&o->by_name, t->name, t);
    }
    for (size_t i = 0; i < o->nodes.len; i++) {
        struct node *n = &o->nodes.at[i];
        for (int k = 0; k < INPUTS_MAX && !r; k++) {
            if (n->inputs[k].len && !map_get(&o->by_input, n->inputs[k]))
                r = map_put(&o->by_input, n->inputs[k], n);
        }
    }
    return r;
}

// --- Names

// "/encoder/layer.0/attention/self/query/MatMul_quant" is encoder.layer.0.attention.self.query.weight.
static struct slice name_by_place(struct onnx *o, const struct node *n)
{
    struct slice path = n->name;
    size_t end = path.len;
    while (end && path.ptr[end - 1] != '/')
        end--;
    if (end < 2)
        return SLICE_EMPTY;
    path = slice_head(path, end - 1);
    if (path.ptr[0] == '/')
        path = slice_from(path, 1);
    struct slice name = arena_printf(&o->arena, "%.*s.weight", SLICE_FMT(path));
    for (size_t i = 0; name.ptr && i < path.len; i++) {
        if (name.ptr[i] == '/')
            ((char *)(uintptr_t)name.ptr)[i] = '.';
    }
    return name;
}

// The bias that is added to what the node gives, behind casts and scalings.
static struct slice name_by_bias(struct onnx *o, const struct node *n)
{
    for (int step = 0; n && step < CHAIN_MAX; step++) {
        const struct node *next = map_get(&o->by_input, n->output);
        for (int k = 0; next && slice_eq_cstr(next->type, "Add") && k < 2; k++) {
            struct slice bias = next->inputs[k];
            if (map_get(&o->by_name, bias) && slice_ends_with(bias, SLICE(".bias")))
                return arena_printf(&o->arena, "%.*s.weight",
                                    SLICE_FMT(slice_head(bias, bias.len - 5)));
        }
        n = next;
    }
    return SLICE_EMPTY;
}

// `base` is the initialiser's own name without what quantisers put behind it.
static struct slice name_of(struct onnx *o, const struct node *n, struct slice base)
{
    if (slice_ends_with(base, SLICE(".weight")))
        return base;
    struct slice name = name_by_place(o, n);
    if (!name.len)
        name = name_by_bias(o, n);
    return name.len ? name : base;
}

static enum result push(struct onnx *o, const struct tensor *t)
{
    if (!t->name.ptr)
        return RESULT_NOMEM;
    return VEC_PUSH(&o->tensors, *t) ? RESULT_OK : RESULT_NOMEM;
}

// --- Matrices

static struct tensor_shape turn(struct tensor_shape s)
{
    return (struct tensor_shape){2, {s.dim[1], s.dim[0]}};
}

static enum result place_matrix(struct onnx *o, const struct node *n)
{
    struct initializer *w = map_get(&o->by_name, n->inputs[1]);
    bool gemm = slice_eq_cstr(n->type, "Gemm");
    if (!w || w->shape.rank != 2 || w->placed)
        return RESULT_OK;
    if (gemm && attribute(n, "transA", 0))
        return RESULT_OK; // no layer that we know
    struct tensor t = {.name = name_of(o, n, w->name), .data = w, .shape = w->shape};
    t.turned = !(gemm && attribute(n, "transB", 0));
    if (t.turned)
        t.shape = turn(w->shape);
    w->placed = true;
    return push(o, &t);
}

static enum result read_floats(struct onnx *o, const struct initializer *t, const float **out)
{
    float *to = arena_alloc(&o->arena, (size_t)t->count * sizeof *to);
    if (!to)
        return RESULT_NOMEM;
    *out = to;
    return number_read(t->type, t->data.ptr, 1, t->count, to);
}

static bool is_byte(enum number_type type)
{
    return type == NUMBER_I8 || type == NUMBER_U8;
}

// NAME_quantized with its scale and zero point.
static enum result place_scaled(struct onnx *o, struct initializer *w)
{
    struct slice base = slice_head(w->name, w->name.len - strlen("_quantized"));
    struct slice shown = slice_head(base, SHOWN);
    const struct initializer *scale, *zero;
    const struct node *n = map_get(&o->by_input, w->name);
    struct slice key = arena_printf(&o->arena, "%.*s_scale", SLICE_FMT(base));
    struct slice zero_key = arena_printf(&o->arena, "%.*s_zero_point", SLICE_FMT(base));
    if (!key.ptr || !zero_key.ptr)
        return RESULT_NOMEM;
    scale = map_get(&o->by_name, key);
    zero = map_get(&o->by_name, zero_key);
    if (!scale || !scale->known || w->shape.rank != 2 || !is_byte(w->type))
        return RESULT_OK; // somebody else's suffix
    bool matrix =
        n && (slice_eq_cstr(n->type, "MatMulInteger") || slice_eq_cstr(n->type, "MatMul"));
    struct tensor t = {.kind = SCALED, .data = w, .shape = w->shape, .turned = matrix};
    t.name = matrix ? name_of(o, n, base) : base;
    // Per channel is per column of the file for matrices, per row for tables.
    uint64_t channels = w->shape.dim[matrix ? 1 : 0];
    if ((scale->count != 1 && scale->count != channels) ||
        (zero && (!zero->known || zero->count != scale->count)))
        return wrong(o, RESULT_UNSUPPORTED, "%.*s is scaled in a way that is not read here",
                     SLICE_FMT(shown));
    t.by_row = scale->count != 1;
    if (matrix)
        t.shape = turn(w->shape);
    enum result r = read_floats(o, scale, &t.scales);
    if (!r && zero)
        r = read_floats(o, zero, &t.zeros);
    if (r)
        return wrong(o, r, "the scales of %.*s are not numbers", SLICE_FMT(shown));
    w->placed = true;
    return push(o, &t);
}

static enum result place_blocks(struct onnx *o, const struct node *n)
{
    struct initializer *w = map_get(&o->by_name, n->inputs[1]);
    const struct initializer *scale = map_get(&o->by_name, n->inputs[2]);
    const struct initializer *zero = n->inputs[3].len ? map_get(&o->by_name, n->inputs[3]) : NULL;
    uint64_t in = attribute(n, "K", 0), out = attribute(n, "N", 0),
             block = attribute(n, "block_size", 0), bits = attribute(n, "bits", 4);
    struct slice shown = slice_head(n->name, SHOWN);
    if (!w || !scale || !scale->known || w->placed)
        return RESULT_OK;
    if (bits != 4 || n->inputs[4].len || w->type != NUMBER_U8 ||
        (n->inputs[3].len && (!zero || zero->type != NUMBER_U8)))
        return wrong(o, RESULT_UNSUPPORTED, "%.*s: blocks of a kind that is not read here",
                     SLICE_FMT(shown));
    if (!in || !out || in > UINT32_MAX || out > UINT32_MAX || block < 16 || block > 4096 ||
        (block & (block - 1)))
        return wrong(o, RESULT_SYNTAX, "%.*s: impossible blocks", SLICE_FMT(shown));
    uint64_t blocks = (in + block - 1) / block;
    if (w->count != out * blocks * (block / 2) || scale->count != out * blocks ||
        (zero && zero->count != out * ((blocks + 1) / 2)))
        return wrong(o, RESULT_SYNTAX, "%.*s: its weights have another size than it says",
                     SLICE_FMT(shown));
    struct tensor t = {.kind = BLOCKS,
                       .name = name_of(o, n, w->name),
                       .data = w,
                       .shape = {2, {out, in}},
                       .block = (uint32_t)block,
                       .blocks = (uint32_t)blocks};
    float *zeros = zero ? arena_alloc(&o->arena, (size_t)(out * blocks) * sizeof *zeros) : NULL;
    enum result r = zero && !zeros ? RESULT_NOMEM : read_floats(o, scale, &t.scales);
    for (uint64_t i = 0; zeros && i < out * blocks; i++) {
        uint64_t b = i % blocks;
        unsigned char pair = (unsigned char)zero->data.ptr[i / blocks * ((blocks + 1) / 2) + b / 2];
        zeros[i] = (float)(b & 1 ? pair >> 4 : pair & 15);
    }
    t.zeros = zeros;
    if (r)
        return wrong(o, r, "%.*s: its scales are not numbers", SLICE_FMT(shown));
    w->placed = true;
    return push(o, &t);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return slice_cmp(x->name, y->name);
}

static enum result place_all(struct onnx *o)
{
    enum result r = RESULT_OK;
    for (size_t i = 0; i < o->initializers.len && !r; i++) {
        struct initializer *t = &o->initializers.at[i];
        if (t->known && slice_ends_with(t->name, SLICE("_quantized")))
            r = place_scaled(o, t);
    }
    for (size_t i = 0; i < o->nodes.len && !r; i++) {
        const struct node *n = &o->nodes.at[i];
        if (slice_eq_cstr(n->type, "MatMul") || slice_eq_cstr(n->type, "Gemm"))
            r = place_matrix(o, n);
        else if (slice_eq_cstr(n->type, "MatMulNBits"))
            r = place_blocks(o, n);
    }
    for (size_t i = 0; i < o->initializers.len && !r; i++) {
        const struct initializer *t = &o->initializers.at[i];
        struct tensor plain = {.name = t->name, .data = t, .shape = t->shape};
        if (!t->placed && t->name.len)
            r = push(o, &plain);
    }
    if (r)
        return r;
    if (o->tensors.len > 1)
        qsort(o->tensors.at, o->tensors.len, sizeof *o->tensors.at, by_name);
    for (size_t i = 1; i < o->tensors.len; i++) {
        struct tensor *before = &o->tensors.at[i - 1], *t = &o->tensors.at[i];
        if (slice_eq(before->name, t->name))
            before->ambiguous = t->ambiguous = true;
    }
    return RESULT_OK;
}

// --- Opening

static enum result read_model(struct onnx *o, struct slice file)
{
    struct proto_field f;
    bool graph = false;
    while (proto_next(&file, &f)) {
        if (f.number != MODEL_GRAPH || f.wire != PROTO_BYTES)
            continue;
        enum result r = graph ? wrong(o, RESULT_SYNTAX, "two graphs") : read_graph(o, f.bytes);
        if (r)
            return r;
        graph = true;
    }
    if (file.len)
        return cut(o, "the file");
    if (!graph)
        return wrong(o, RESULT_SYNTAX, "there is no graph in it");
    enum result r = index_all(o);
    return r ? r : place_all(o);
}

enum result onnx_open(struct slice file, char problem[ONNX_PROBLEM_BYTES], struct onnx **out)
{
    struct onnx *o = alloc_zeroed(1, sizeof *o);
    *out = NULL;
    if (problem)
        problem[0] = '\0';
    if (!o)
        return RESULT_NOMEM;
    o->problem = problem;
    o->initializers.cap = ONNX_TENSORS_MAX;
    o->nodes.cap = ONNX_NODES_MAX;
    o->tensors.cap = 2 * (size_t)ONNX_TENSORS_MAX;
    arena_init(&o->arena, 0, ARENA_MAX);
    struct hash_key key;
    enum result r = rng_secret(&key, sizeof key); // names are chosen by whoever made the file
    map_init(&o->by_name, key, ONNX_TENSORS_MAX);
    map_init(&o->by_input, key, (size_t)ONNX_NODES_MAX * INPUTS_MAX);
    if (!r)
        r = read_model(o, file);
    map_deinit(&o->by_input);
    map_deinit(&o->by_name);
    o->problem = NULL;
    if (r)
        onnx_close(o);
    else
        *out = o;
    return r;
}

void onnx_close(struct onnx *o)
{
    if (!o)
        return;
    VEC_DEINIT(&o->initializers);
    VEC_DEINIT(&o->nodes);
    VEC_DEINIT(&o->tensors);
    arena_deinit(&o->arena);
    alloc_free(o);
}

// --- Reading

uint32_t onnx_count(const struct onnx *o)
{
    return (uint32_t)o->tensors.len;
}

struct slice onnx_name(const struct onnx *o, uint32_t i)
{
    return o->tensors.at[i].name;
}

static const struct tensor *find(const struct onnx *o, struct slice name)
{
    struct tensor key = {.name = name};
    return o->tensors.len ? bsearch(&key, o->tensors.at, o->tensors.len, sizeof key, by_name)
                          : NULL;
}

static enum result source_shape(void *ctx, struct slice name, struct tensor_shape *out)
{
    const struct tensor *t = find(ctx, name);
    if (!t)
        return RESULT_NOT_FOUND;
    if (t->ambiguous)
        return RESULT_DUPLICATE;
    if (t->shape.rank > TENSOR_RANK_MAX)
        return RESULT_LIMIT;
    *out = t->shape;
    return RESULT_OK;
}

static enum result read_matrix_row(const struct tensor *t, uint64_t row, uint64_t width, float *out)
{
    const struct initializer *d = t->data;
    uint64_t at = t->turned ? row : row * width, stride = t->turned ? t->shape.dim[0] : 1;
    enum result r =
        number_read(d->type, d->data.ptr + at * number_bytes(d->type), stride, width, out);
    if (r || t->kind == PLAIN)
        return r;
    float scale = t->scales[t->by_row ? row : 0], zero = 0;
    if (t->zeros)
        zero = t->zeros[t->by_row ? row : 0];
    for (uint64_t i = 0; i < width; i++)
        out[i] = (out[i] - zero) * scale;
    return RESULT_OK;
}

static void read_block_row(const struct tensor *t, uint64_t row, uint64_t width, float *out)
{
    const unsigned char *p =
        (const unsigned char *)t->data->data.ptr + row * t->blocks * (t->block / 2);
    for (uint64_t i = 0; i < width; i++) {
        uint64_t b = row * t->blocks + i / t->block;
        unsigned q = i & 1 ? p[i / 2] >> 4 : p[i / 2] & 15;
        out[i] = ((float)q - (t->zeros ? t->zeros[b] : 8.0f)) * t->scales[b];
    }
}

static bool all_finite(const float *v, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(v[i]))
            return false;
    }
    return true;
}

static enum result source_read(void *ctx, struct slice name, uint64_t first, uint64_t rows,
                               float *out)
{
    const struct tensor *t = find(ctx, name);
    if (!t)
        return RESULT_NOT_FOUND;
    if (t->ambiguous)
        return RESULT_DUPLICATE;
    uint64_t all = t->shape.rank ? t->shape.dim[0] : 1;
    if (first > all || rows > all - first)
        return RESULT_RANGE;
    if (!t->data->known)
        return RESULT_TYPE;
    if (!rows || !t->data->count)
        return RESULT_OK;
    if (t->kind == PLAIN && !t->turned) {
        uint64_t row = t->data->count / all;
        return number_read(t->data->type,
                           t->data->data.ptr + first * row * number_bytes(t->data->type), 1,
                           rows * row, out);
    }
    uint64_t width = t->shape.dim[1];
    for (uint64_t i = 0; i < rows; i++) {
        float *to = out + i * width;
        enum result r = RESULT_OK;
        if (t->kind == BLOCKS)
            read_block_row(t, first + i, width, to);
        else
            r = read_matrix_row(t, first + i, width, to);
        if (!r && !all_finite(to, width))
            r = RESULT_RANGE;
        if (r)
            return r;
    }
    return RESULT_OK;
}

struct tensor_source onnx_source(struct onnx *o)
{
    return (struct tensor_source){o, source_shape, source_read};
}
