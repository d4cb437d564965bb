#include "nn/head.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/sha256.h"
#include "math/real.h"
#include "nn/safetensors.h"
#include "text/json.h"

enum { ARENA_MAX = 1 << 30, SPEC_NUMBERS = 6, FORMAT = 1 };

// Of a stacked logit beside a component of a unit-length embedding.
static const float STACK_SCALE = 1.0f / 16;

struct head {
    struct arena arena;
    struct head_info info;
    struct ngram_model first;
    const float *first_calibration, *second_calibration; // slope, then a shift for each label
    struct head_layers second;
};

struct head_scratch {
    struct ngram_scratch *ngram;
    float raw[HEAD_LABELS_MAX], x[HEAD_DIM_MAX + HEAD_LABELS_MAX], hidden[HEAD_HIDDEN_MAX];
};

// The file while it is read.
struct reader {
    struct head *h;
    struct safetensors s;
    char *problem;
    bool no_memory; // for a text, which then reads as missing
};

static enum result wrong(struct reader *r, enum result result, const char *what)
{
    if (r->problem)
        snprintf(r->problem, HEAD_PROBLEM_BYTES, "%s", what);
    return result;
}

static enum result wrong_tensor(struct reader *r, enum result result, const char *name,
                                const char *what)
{
    if (r->problem)
        snprintf(r->problem, HEAD_PROBLEM_BYTES, "tensor \"%s\" %s", name, what);
    return result;
}

static struct slice text_of(struct reader *r, const char *key)
{
    struct slice s = safetensors_text(&r->s, key);
    struct slice copy = s.ptr ? arena_copy(&r->h->arena, s) : SLICE_EMPTY;
    r->no_memory |= s.ptr && !copy.ptr;
    return copy.ptr ? copy : SLICE_EMPTY;
}

static const struct safetensors_tensor *find(const struct reader *r, const char *name)
{
    return safetensors_find(&r->s, slice_cstr(name));
}

// A tensor of exactly rows x columns numbers (columns 0: a vector) of the given type.
static enum result expect(struct reader *r, const char *name, uint64_t rows, uint64_t columns,
                          const struct safetensors_tensor **out)
{
    const struct safetensors_tensor *t = find(r, name);
    if (!t)
        return wrong_tensor(r, RESULT_SYNTAX, name, "is missing");
    bool fits = columns
                    ? t->shape.rank == 2 && t->shape.dim[0] == rows && t->shape.dim[1] == columns
                    : t->shape.rank == 1 && t->shape.dim[0] == rows;
    if (!fits || !t->known)
        return wrong_tensor(r, RESULT_SYNTAX, name,
                            "has another shape or type than the head needs");
    *out = t;
    return RESULT_OK;
}

// As f32 in the arena, whatever the file holds; int8 rows are multiplied by NAME's scale "NAME.scale".
static enum result floats(struct reader *r, const char *name, uint64_t rows, uint64_t columns,
                          const float **out)
{
    const struct safetensors_tensor *t;
    enum result result = expect(r, name, rows, columns, &t);
    if (result)
        return result;
    float *f = arena_alloc(&r->h->arena, t->count * sizeof *f + 64);
    if (!f)
        return RESULT_NOMEM;
    result = safetensors_read(&r->s, slice_cstr(name), 0, rows, f);
    if (result)
        return wrong_tensor(r, result, name, "holds numbers that are not finite or no weights");
    if (t->type == NUMBER_I8 && columns) {
        char scale_name[64];
        const float *scale;
        snprintf(scale_name, sizeof scale_name, "%s.scale", name);
        result = floats(r, scale_name, rows, 0, &scale);
        if (result)
            return result;
        for (uint64_t i = 0; i < rows; i++)
            for (uint64_t k = 0; k < columns; k++)
                f[i * columns + k] *= scale[i];
    }
    *out = f;
    return RESULT_OK;
}

static enum result read_labels(struct reader *r)
{
    struct head_info *info = &r->h->info;
    struct slice text = text_of(r, "labels");
    struct json j;
    enum result result = json_parse(&j, text, &json_limits_default, &r->h->arena);
    if (result == RESULT_NOMEM)
        return result;
    if (result || json_type(&j, 0) != JSON_ARRAY)
        return wrong(r, RESULT_SYNTAX, "its labels are no JSON array");
    struct slice *labels = ARENA_ARRAY(&r->h->arena, struct slice, HEAD_LABELS_MAX);
    if (!labels)
        return RESULT_NOMEM;
    uint32_t at = 0, value;
    while (json_element(&j, 0, &at, &value)) {
        if (info->label_count == HEAD_LABELS_MAX)
            return wrong(r, RESULT_LIMIT, "more than 1024 labels");
        if (json_type(&j, value) != JSON_STRING)
            return wrong(r, RESULT_SYNTAX, "a label is no string");
        struct slice label = json_string(&j, value, &r->h->arena);
        if (!label.ptr)
            return RESULT_NOMEM;
        if (!label.len || label.len > HEAD_LABEL_BYTES_MAX)
            return wrong(r, RESULT_LIMIT, "a label is empty or longer than 128 bytes");
        for (uint32_t i = 0; i < info->label_count; i++)
            if (slice_eq(labels[i], label))
                return wrong(r, RESULT_SYNTAX, "a label stands twice");
        labels[info->label_count++] = label;
    }
    info->labels = labels;
    return info->label_count < 2 ? wrong(r, RESULT_SYNTAX, "fewer than two labels") : RESULT_OK;
}

static enum result read_first(struct reader *r)
{
    struct ngram_model *m = &r->h->first;
    const struct safetensors_tensor *t;
    enum result result = expect(r, "first.spec", SPEC_NUMBERS, 0, &t);
    if (result)
        return result;
    if (t->type != NUMBER_U32)
        return wrong(r, RESULT_SYNTAX, "first.spec is not of u32");
    uint32_t n[SPEC_NUMBERS];
    memcpy(n, t->data.ptr, sizeof n);
    m->spec = (struct ngram_spec){n[0], n[1], n[2], n[3], n[4], n[5]};
    if (ngram_spec_check(&m->spec))
        return wrong(r, RESULT_SYNTAX, "first.spec has numbers outside their limits");
    m->columns = head_columns(r->h->info.label_count);
    uint64_t buckets = UINT64_C(1) << m->spec.bucket_bits;
    result = expect(r, "first.weight", buckets, m->columns, &t);
    if (result)
        return result;
    if (t->type != NUMBER_I8)
        return wrong(r, RESULT_SYNTAX, "first.weight is not of int8");
    m->weights = (const int8_t *)t->data.ptr;
    if (find(r, "first.idf")) {
        result = expect(r, "first.idf", buckets, 0, &t);
        if (result)
            return result;
        if (t->type != NUMBER_U8)
            return wrong(r, RESULT_SYNTAX, "first.idf is not of u8");
        m->idf = (const uint8_t *)t->data.ptr;
    }
    const float *enough;
    result = floats(r, "first.scale", m->columns, 0, &m->scale);
    if (!result)
        result = floats(r, "first.bias", m->columns, 0, &m->bias);
    if (!result)
        result =
            floats(r, "first.calibration", r->h->info.label_count + 1, 0, &r->h->first_calibration);
    if (!result)
        result = floats(r, "first.enough", 1, 0, &enough);
    if (!result)
        r->h->info.enough = enough[0];
    return result;
}

static enum result read_second(struct reader *r)
{
    struct head_info *info = &r->h->info;
    struct head_layers *l = &r->h->second;
    const struct safetensors_tensor *hidden;
    info->encoder = text_of(r, "encoder");
    info->encoder_digest = text_of(r, "encoder.digest");
    info->stacked = info->first && slice_eq_cstr(text_of(r, "stacked"), "true");
    uint64_t dim;
    if (!slice_u64(text_of(r, "encoder.dim"), &dim) || dim < 1 || dim > HEAD_DIM_MAX)
        return wrong(r, RESULT_SYNTAX, "encoder.dim is no number from 1 to 8192");
    if (!info->encoder.len || !info->encoder_digest.len)
        return wrong(r, RESULT_SYNTAX, "it does not name its encoder");
    info->dim = (uint32_t)dim;
    l->inputs = info->dim + (info->stacked ? info->label_count : 0);
    l->columns = head_columns(info->label_count);
    info->kind = SLICE("logistic");
    enum result result = RESULT_OK;
    hidden = find(r, "second.hidden.weight");
    if (hidden) {
        info->kind = SLICE("mlp");
        if (hidden->shape.rank != 2 || !hidden->shape.dim[0] ||
            hidden->shape.dim[0] > HEAD_HIDDEN_MAX)
            return wrong(r, RESULT_SYNTAX, "its hidden layer has no size from 1 to 1024");
        l->hidden = (uint32_t)hidden->shape.dim[0];
        result = floats(r, "second.hidden.weight", l->hidden, l->inputs, &l->hidden_weight);
        if (!result)
            result = floats(r, "second.hidden.bias", l->hidden, 0, &l->hidden_bias);
    }
    if (!result)
        result =
            floats(r, "second.weight", l->columns, l->hidden ? l->hidden : l->inputs, &l->weight);
    if (!result)
        result = floats(r, "second.bias", l->columns, 0, &l->bias);
    if (!result)
        result =
            floats(r, "second.calibration", info->label_count + 1, 0, &r->h->second_calibration);
    return result;
}

static enum result read_head(struct reader *r, struct slice file)
{
    struct head_info *info = &r->h->info;
    uint64_t format;
    if (!slice_u64(text_of(r, "merit.head"), &format))
        return wrong(r, RESULT_SYNTAX, "a safetensors file, but no head of Merit's");
    if (format != FORMAT)
        return wrong(r, RESULT_VERSION, "a head of a later version of Merit");
    uint8_t digest[SHA256_BYTES];
    sha256_of(file, digest);
    sha256_hex(digest, HEAD_VERSION_LEN / 2, info->version);
    info->signal = text_of(r, "signal");
    info->data = text_of(r, "data");
    info->licence = text_of(r, "licence");
    info->date = text_of(r, "date");
    info->metrics = text_of(r, "metrics");
    info->seed = text_of(r, "seed");
    info->command = text_of(r, "command");
    info->first = find(r, "first.weight") != NULL;
    info->second = find(r, "second.weight") != NULL;
    if (!info->signal.len)
        return wrong(r, RESULT_SYNTAX, "it does not name its signal");
    if (!info->first && !info->second)
        return wrong(r, RESULT_SYNTAX, "it has neither a first nor a second tier");
    enum result result = read_labels(r);
    if (!result && info->first)
        result = read_first(r);
    if (!result && info->second)
        result = read_second(r);
    return result;
}

enum result head_open(struct slice file, char problem[HEAD_PROBLEM_BYTES], struct head **out)
{
    *out = NULL;
    if (problem)
        problem[0] = 0;
    struct head *h = alloc_zeroed(1, sizeof *h);
    if (!h)
        return RESULT_NOMEM;
    arena_init(&h->arena, 0, ARENA_MAX);
    struct reader r = {.h = h, .problem = problem};
    char text[SAFETENSORS_PROBLEM_BYTES] = "";
    enum result result = file.len > HEAD_FILE_MAX ? wrong(&r, RESULT_LIMIT, "larger than 256 MiB")
                                                  : safetensors_open(&r.s, file, text);
    if (result) {
        if (text[0])
            wrong(&r, result, text);
    } else {
        result = read_head(&r, file);
        if (r.no_memory)
            result = RESULT_NOMEM;
        safetensors_close(&r.s);
    }
    if (result)
        head_close(h);
    else
        *out = h;
    return result;
}

void head_close(struct head *h)
{
    if (!h)
        return;
    arena_deinit(&h->arena);
    alloc_free(h);
}

const struct head_info *head_info(const struct head *h)
{
    return &h->info;
}

uint32_t head_label(const struct head *h, struct slice name)
{
    for (uint32_t i = 0; i < h->info.label_count; i++)
        if (slice_eq(h->info.labels[i], name))
            return i;
    return UINT32_MAX;
}

enum result head_fits(const struct head *h, struct slice encoder_digest, uint32_t dim,
                      char problem[HEAD_PROBLEM_BYTES])
{
    const struct head_info *i = &h->info;
    if (!i->second || (i->dim == dim && slice_eq(i->encoder_digest, encoder_digest)))
        return RESULT_OK;
    if (problem)
        snprintf(problem, HEAD_PROBLEM_BYTES,
                 "trained on encoder %.*s (%.*s, %u dimensions), not on %.*s (%u dimensions)",
                 (int)(i->encoder.len < 40 ? i->encoder.len : 40), i->encoder.ptr,
                 (int)(i->encoder_digest.len < 16 ? i->encoder_digest.len : 16),
                 i->encoder_digest.ptr, i->dim,
                 (int)(encoder_digest.len < 16 ? encoder_digest.len : 16), encoder_digest.ptr, dim);
    return RESULT_VERSION;
}

const struct ngram_model *head_ngram(const struct head *h)
{
    return h->info.first ? &h->first : NULL;
}

enum result head_scratch_open(struct head_scratch **out)
{
    *out = NULL;
    struct head_scratch *s = alloc_zeroed(1, sizeof *s);
    if (!s)
        return RESULT_NOMEM;
    if (ngram_scratch_open(NGRAM_BITS_MAX, HEAD_TEXT_MAX, &s->ngram)) {
        alloc_free(s);
        return RESULT_NOMEM;
    }
    *out = s;
    return RESULT_OK;
}

void head_scratch_close(struct head_scratch *s)
{
    if (!s)
        return;
    ngram_scratch_close(s->ngram);
    alloc_free(s);
}

uint32_t head_columns(uint32_t label_count)
{
    return label_count == 2 ? 1 : label_count;
}

static float column(const float *raw, uint32_t label_count, uint32_t i)
{
    return label_count > 2 ? raw[i] : i ? raw[0] : 0;
}

void head_calibrate(const float *raw, uint32_t label_count, const float *calibration, float *p)
{
    float logits[HEAD_LABELS_MAX];
    for (uint32_t i = 0; i < label_count; i++)
        logits[i] = column(raw, label_count, i);
    real_softmax(logits, label_count, calibration[0], calibration + 1, p);
}

void head_stack(const float *raw, uint32_t label_count, const float *calibration, float *out)
{
    float sum = 0;
    for (uint32_t i = 0; i < label_count; i++) {
        out[i] = calibration[0] * column(raw, label_count, i) + calibration[1 + i];
        sum += out[i];
    }
    float mean = sum / (float)label_count;
    for (uint32_t i = 0; i < label_count; i++)
        out[i] = (out[i] - mean) * STACK_SCALE;
}

void head_first(const struct head *h, struct head_scratch *s, struct slice text, float *logits,
                float *p)
{
    ngram_score(&h->first, s->ngram, text, s->raw);
    if (logits)
        head_stack(s->raw, h->info.label_count, h->first_calibration, logits);
    head_calibrate(s->raw, h->info.label_count, h->first_calibration, p);
}

bool head_enough(const struct head *h, const float *p)
{
    return p[head_best(p, h->info.label_count)] >= h->info.enough;
}

// Eight sums side by side: what every machine can do at once, in one order.
static float dot(const float *a, const float *b, uint32_t n)
{
    float lane[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t l = 0; l < 8; l++)
            lane[l] += a[i + l] * b[i + l];
    for (uint32_t l = 0; i < n; i++, l++)
        lane[l] += a[i] * b[i];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void head_layers_run(const struct head_layers *l, const float *x, float *room, float *raw)
{
    uint32_t n = l->inputs;
    if (l->hidden) {
        for (uint32_t i = 0; i < l->hidden; i++) {
            float v = dot(l->hidden_weight + (size_t)i * n, x, n) + l->hidden_bias[i];
            room[i] = v > 0 ? v : 0;
        }
        x = room;
        n = l->hidden;
    }
    for (uint32_t c = 0; c < l->columns; c++)
        raw[c] = dot(l->weight + (size_t)c * n, x, n) + l->bias[c];
}

void head_second(const struct head *h, struct head_scratch *s, const float *embedding,
                 const float *logits, float *p)
{
    memcpy(s->x, embedding, h->info.dim * sizeof *embedding);
    if (h->info.stacked)
        memcpy(s->x + h->info.dim, logits, h->info.label_count * sizeof *logits);
    head_layers_run(&h->second, s->x, s->hidden, s->raw);
    head_calibrate(s->raw, h->info.label_count, h->second_calibration, p);
}

uint32_t head_best(const float *p, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}
