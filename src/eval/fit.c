#include "eval/fit.h"

#include <string.h>

#include "base/alloc.h"
#include "math/real.h"

enum { LANES = 8 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

struct fit {
    struct fit_options o;
    struct fit_layer layer[2];
    uint32_t layers;
    struct rng rng;
    float *act, *act_grad; // of the hidden layer
    float *raw, *grad;     // of the last one
    uint32_t *kept;
    float *kept_value;
};

// to += by * from, over whole lanes.
static void add_scaled(float *to, const float *from, float by, uint32_t stride)
{
    lanes v = {by, by, by, by, by, by, by, by};
    for (uint32_t c = 0; c < stride; c += LANES)
        *(lanes *)(to + c) += v * *(const lanes *)(from + c);
}

static float dot(const float *a, const float *b, uint32_t stride)
{
    lanes sum = {0};
    for (uint32_t c = 0; c < stride; c += LANES)
        sum += *(const lanes *)(a + c) * *(const lanes *)(b + c);
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

static enum result open_layer(struct fit_layer *l, uint32_t inputs, uint32_t outputs,
                              struct rng *noise)
{
    l->inputs = inputs;
    l->outputs = outputs;
    l->stride = (outputs + LANES - 1) / LANES * LANES;
    l->weight = alloc_zeroed((size_t)inputs * l->stride, sizeof(float));
    l->rate = alloc_zeroed((size_t)inputs + 1, sizeof(float));
    l->bias = alloc_zeroed(l->stride, sizeof(float));
    if (!l->weight || !l->rate || !l->bias)
        return RESULT_NOMEM;
    // A gradient that is too small to square must not divide by nothing.
    for (uint32_t i = 0; i <= inputs; i++)
        l->rate[i] = 1e-12f;
    // Hidden units must differ to learn different things.
    float span = (float)real_sqrt(6.0 / (inputs + outputs));
    for (uint32_t i = 0; noise && i < inputs; i++)
        for (uint32_t c = 0; c < outputs; c++)
            l->weight[(size_t)i * l->stride + c] = (float)(rng_unit(noise) * 2 - 1) * span;
    return RESULT_OK;
}

enum result fit_open(uint32_t inputs, const struct fit_options *o, uint64_t seed, struct fit **out)
{
    *out = NULL;
    struct fit *f = alloc_zeroed(1, sizeof *f);
    if (!f)
        return RESULT_NOMEM;
    f->o = *o;
    f->layers = o->hidden ? 2 : 1;
    rng_seed(&f->rng, seed);
    enum result r = open_layer(&f->layer[0], inputs, o->hidden ? o->hidden : o->columns,
                               o->hidden ? &f->rng : NULL);
    if (!r && o->hidden)
        r = open_layer(&f->layer[1], o->hidden, o->columns, &f->rng);
    uint32_t wide =
        f->layer[0].stride > f->layer[1].stride ? f->layer[0].stride : f->layer[1].stride;
    f->act = alloc_zeroed(wide, sizeof(float));
    f->act_grad = alloc_zeroed(wide, sizeof(float));
    f->raw = alloc_zeroed(wide, sizeof(float));
    f->grad = alloc_zeroed(wide, sizeof(float));
    f->kept = alloc_zeroed(inputs, sizeof *f->kept);
    f->kept_value = alloc_zeroed(inputs, sizeof(float));
    if (r || !f->act || !f->act_grad || !f->raw || !f->grad || !f->kept || !f->kept_value) {
        fit_close(f);
        return RESULT_NOMEM;
    }
    *out = f;
    return RESULT_OK;
}

void fit_close(struct fit *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < 2; i++) {
        alloc_free(f->layer[i].weight);
        alloc_free(f->layer[i].rate);
        alloc_free(f->layer[i].bias);
    }
    alloc_free(f->act);
    alloc_free(f->act_grad);
    alloc_free(f->raw);
    alloc_free(f->grad);
    alloc_free(f->kept);
    alloc_free(f->kept_value);
    alloc_free(f);
}

struct row {
    uint32_t count;
    const uint32_t *index;
    const float *value;
};

static struct row row_of(const struct fit_rows *rows, uint32_t r)
{
    if (!rows->start)
        return (struct row){rows->inputs, NULL, rows->value + (size_t)r * rows->inputs};
    uint64_t at = rows->start[r];
    return (struct row){(uint32_t)(rows->start[r + 1] - at), rows->index + at, rows->value + at};
}

// Without a share of its inputs, the others grown to make up for them.
static struct row thin(struct fit *f, struct row row)
{
    if (f->o.drop <= 0 || !row.index)
        return row;
    uint32_t n = 0;
    float grow = 1 / (1 - f->o.drop);
    for (uint32_t i = 0; i < row.count; i++) {
        if (rng_unit(&f->rng) < f->o.drop)
            continue;
        f->kept[n] = row.index[i];
        f->kept_value[n++] = row.value[i] * grow;
    }
    return (struct row){n, f->kept, f->kept_value};
}

static void forward(const struct fit_layer *l, struct row row, float *out)
{
    memcpy(out, l->bias, l->stride * sizeof *out);
    for (uint32_t i = 0; i < row.count; i++) {
        size_t input = row.index ? row.index[i] : i;
        add_scaled(out, l->weight + input * l->stride, row.value[i], l->stride);
    }
}

static void backward(struct fit_layer *l, struct row row, const float *grad, float rate,
                     float shrink)
{
    float size = dot(grad, grad, l->stride);
    if (size <= 0)
        return;
    for (uint32_t i = 0; i < row.count; i++) {
        size_t input = row.index ? row.index[i] : i;
        float v = row.value[i], *w = l->weight + input * l->stride;
        if (v == 0)
            continue;
        l->rate[input] += v * v * size;
        float step = rate / (float)real_sqrt(l->rate[input]);
        if (shrink > 0)
            add_scaled(w, w, -step * shrink, l->stride);
        add_scaled(w, grad, -step * v, l->stride);
    }
    float *sum = &l->rate[l->inputs];
    *sum += size;
    add_scaled(l->bias, grad, -rate / (float)real_sqrt(*sum), l->stride);
}

static void run(const struct fit *f, struct row row, float *act, float *raw)
{
    if (f->layers == 1) {
        forward(&f->layer[0], row, raw);
        return;
    }
    forward(&f->layer[0], row, act);
    for (uint32_t i = 0; i < f->layer[0].stride; i++)
        act[i] = act[i] > 0 ? act[i] : 0;
    forward(&f->layer[1], (struct row){f->o.hidden, NULL, act}, raw);
}

static void visit(struct fit *f, struct row row, uint32_t label, float weight)
{
    const struct fit_layer *last = &f->layer[f->layers - 1];
    row = thin(f, row);
    run(f, row, f->act, f->raw);
    memset(f->grad, 0, last->stride * sizeof *f->grad);
    if (f->o.columns == 1) {
        f->grad[0] = (float)real_logistic(f->raw[0]) - (float)label;
    } else {
        real_softmax(f->raw, f->o.columns, 1, NULL, f->grad);
        f->grad[label] -= 1;
    }
    for (uint32_t c = 0; weight != 1 && c < f->o.columns; c++)
        f->grad[c] *= weight;
    if (f->layers == 1) {
        backward(&f->layer[0], row, f->grad, f->o.rate, f->o.shrink);
        return;
    }
    memset(f->act_grad, 0, f->layer[0].stride * sizeof *f->act_grad);
    for (uint32_t i = 0; i < f->o.hidden; i++)
        if (f->act[i] > 0)
            f->act_grad[i] =
                dot(f->layer[1].weight + (size_t)i * last->stride, f->grad, last->stride);
    backward(&f->layer[1], (struct row){f->o.hidden, NULL, f->act}, f->grad, f->o.rate,
             f->o.shrink);
    backward(&f->layer[0], row, f->act_grad, f->o.rate, f->o.shrink);
}

void fit_epoch(struct fit *f, const struct fit_rows *rows, const uint32_t *labels,
               const float *weights, uint32_t *order, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)rng_below(&f->rng, i), swap = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swap;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = order[i];
        visit(f, row_of(rows, r), labels[r], weights ? weights[r] : 1);
    }
}

void fit_score(const struct fit *f, const struct fit_rows *rows, uint32_t row, float *raw)
{
    float act[1024], out[1024];
    run(f, row_of(rows, row), act, out);
    memcpy(raw, out, f->o.columns * sizeof *raw);
}

const struct fit_layer *fit_layer(const struct fit *f, uint32_t which)
{
    return which < f->layers ? &f->layer[which] : NULL;
}
