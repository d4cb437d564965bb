#include "eval/train_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "nn/safetensors.h"
#include "text/json.h"

enum { TENSORS_MAX = 16, META_MAX = 20, META_BYTES = 1 << 20, ARENA_MAX = 1 << 30 };

struct writer {
    struct arena arena;
    struct safetensors_entry tensors[TENSORS_MAX];
    uint32_t tensor_count;
    struct safetensors_metadata meta[META_MAX];
    uint32_t meta_count;
    bool no_memory;
};

static void add_meta(struct writer *w, const char *key, const char *text)
{
    if (text && *text)
        w->meta[w->meta_count++] = (struct safetensors_metadata){slice_cstr(key), slice_cstr(text)};
}

static void add_tensor(struct writer *w, const char *name, enum number_type type, uint64_t rows,
                       uint64_t columns, const void *data)
{
    w->no_memory |= !data;
    w->tensors[w->tensor_count++] = (struct safetensors_entry){
        slice_cstr(name), type, {columns ? 2 : 1, {rows, columns}}, data};
}

// IEEE half precision, rounded to even.
static uint16_t half(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest < 0x38800000) { // below the least normal number: steps of 2^-24
        float scaled;
        memcpy(&scaled, &rest, sizeof scaled);
        return (uint16_t)(sign | (uint32_t)lrintf(scaled * 0x1p24f));
    }
    if (rest >= 0x47800000)
        return (uint16_t)(sign | 0x7bff); // the largest
    rest += 0xfff + (rest >> 13 & 1);
    uint32_t h = (rest - 0x38000000) >> 13;
    return (uint16_t)(sign | (h < 0x7c00 ? h : 0x7bff));
}

// A layer as [outputs][inputs] of f16 and its bias.
static void add_layer(struct writer *w, const struct fit_layer *l, const char *weight,
                      const char *bias)
{
    uint16_t *h = arena_alloc(&w->arena, (size_t)l->inputs * l->outputs * sizeof *h + 1);
    for (uint32_t o = 0; h && o < l->outputs; o++)
        for (uint32_t i = 0; i < l->inputs; i++)
            h[(size_t)o * l->inputs + i] = half(l->weight[(size_t)i * l->stride + o]);
    add_tensor(w, weight, NUMBER_F16, l->outputs, l->inputs, h);
    add_tensor(w, bias, NUMBER_F32, l->outputs, 0, l->bias);
}

// int8 with one scale per column; the n-gram formula multiplies by idf in 16ths, as training did.
static void add_first(struct writer *w, const struct train_options *o,
                      const struct train_parts *parts, const float *enough)
{
    const struct fit_layer *l = fit_layer(parts->first, 0);
    int8_t *q = arena_zeroed(&w->arena, l->inputs, l->outputs);
    float *scale = arena_zeroed(&w->arena, l->outputs, sizeof *scale);
    uint32_t *spec = arena_zeroed(&w->arena, 6, sizeof *spec);
    if (q && scale && spec) {
        memcpy(spec, &o->spec, 6 * sizeof *spec);
        for (uint32_t c = 0; c < l->outputs; c++) {
            float most = 0;
            for (uint32_t i = 0; i < l->inputs; i++)
                most = fmaxf(most, fabsf(l->weight[(size_t)i * l->stride + c]));
            scale[c] = most > 0 ? most / 127 : 1;
            for (uint32_t i = 0; i < l->inputs; i++)
                q[(size_t)i * l->outputs + c] =
                    (int8_t)lrintf(l->weight[(size_t)i * l->stride + c] / scale[c]);
        }
    }
    add_tensor(w, "first.spec", NUMBER_U32, 6, 0, spec);
    add_tensor(w, "first.weight", NUMBER_I8, l->inputs, l->outputs, q);
    add_tensor(w, "first.idf", NUMBER_U8, l->inputs, 0, parts->idf);
    add_tensor(w, "first.scale", NUMBER_F32, l->outputs, 0, scale);
    add_tensor(w, "first.bias", NUMBER_F32, l->outputs, 0, l->bias);
    add_tensor(w, "first.calibration", NUMBER_F32, parts->label_count + 1, 0,
               parts->first_calibration);
    add_tensor(w, "first.enough", NUMBER_F32, 1, 0, enough);
}

static void add_second(struct writer *w, const struct train_options *o,
                       const struct train_parts *parts)
{
    const struct fit_layer *deep = fit_layer(parts->second, 1);
    if (deep) {
        add_layer(w, fit_layer(parts->second, 0), "second.hidden.weight", "second.hidden.bias");
        add_layer(w, deep, "second.weight", "second.bias");
    } else {
        add_layer(w, fit_layer(parts->second, 0), "second.weight", "second.bias");
    }
    add_tensor(w, "second.calibration", NUMBER_F32, parts->label_count + 1, 0,
               parts->second_calibration);
    add_meta(w, "encoder", o->encoder->name);
    add_meta(w, "encoder.digest", o->encoder->digest);
    add_meta(w, "encoder.dim", arena_printf(&w->arena, "%u", o->encoder->dim).ptr);
    add_meta(w, "stacked", parts->first ? "true" : "false");
}

static void tier_json(const char *name, const struct train_tier *t, struct buf *out)
{
    if (!t->is)
        return;
    buf_printf(out,
               ",\"%s\":{\"accuracy\":%.4f,\"low\":%.4f,\"high\":%.4f,\"macro_f1\":%.4f,"
               "\"ece\":%.4f,\"brier\":%.4f,\"nll\":%.4f,\"epochs\":%u",
               name, t->accuracy, t->low, t->high, t->macro_f1, t->ece, t->brier, t->nll,
               t->epochs);
    if (t->auc > 0)
        buf_printf(out, ",\"auc\":%.4f", t->auc);
    BUF_LIT(out, "}");
}

static void file_json(const struct train_report *r, const struct train_file *f, uint32_t i,
                      struct buf *out)
{
    double n = f->rows ? f->rows : 1;
    buf_printf(out, "%s{\"rows\":%u", i ? "," : "", f->rows);
    if (r->first.is)
        buf_printf(out, ",\"first\":%.4f", f->right_first / n);
    if (r->second.is)
        buf_printf(out, ",\"second\":%.4f", f->right_second / n);
    if (r->first.is && r->second.is)
        buf_printf(out, ",\"both\":%.4f,\"asked\":%.4f", f->right_both / n, f->asked / n);
    if (r->labels == 2)
        buf_printf(out, ",\"recall_at_01\":[%.4f,%.4f]", f->recall_first, f->recall_second);
    BUF_LIT(out, "}");
}

void train_report_json(const struct train_report *r, struct buf *out)
{
    buf_printf(out, "{\"rows\":%u,\"groups\":%u,\"labels\":%u,\"folds\":%u", r->rows, r->groups,
               r->labels, r->folds);
    tier_json("first", &r->first, out);
    tier_json("second", &r->second, out);
    if (r->first.is && r->second.is)
        buf_printf(out, ",\"both\":{\"enough\":%.4f,\"asked\":%.4f,\"accuracy\":%.4f}", r->enough,
                   r->asked, r->accuracy);
    BUF_LIT(out, ",\"files\":[");
    for (uint32_t i = 0; i < r->file_count; i++)
        file_json(r, &r->files[i], i, out);
    BUF_LIT(out, "]}");
}

static const char *text_of(struct writer *w, const struct buf *b)
{
    const char *s = arena_cstr(&w->arena, buf_slice(b));
    w->no_memory |= !s || buf_result(b);
    return s ? s : "";
}

static void add_all_meta(struct writer *w, const struct train_options *o,
                         const struct train_parts *parts, const struct train_report *report)
{
    struct buf b;
    buf_init(&b, META_BYTES);
    add_meta(w, "merit.head", "1");
    add_meta(w, "signal", o->signal);
    BUF_LIT(&b, "[");
    for (uint32_t i = 0; i < parts->label_count; i++) {
        if (i)
            BUF_LIT(&b, ",");
        json_write_string(&b, parts->labels[i]);
    }
    BUF_LIT(&b, "]");
    add_meta(w, "labels", text_of(w, &b));
    buf_reset(&b);
    buf_cstr(&b, o->data ? o->data : "");
    buf_printf(&b, "%ssha256 of all texts and labels %.64s", b.len ? "; " : "", parts->data_digest);
    add_meta(w, "data", text_of(w, &b));
    add_meta(w, "licence", o->licence);
    add_meta(w, "date", o->date);
    buf_reset(&b);
    train_report_json(report, &b);
    add_meta(w, "metrics", text_of(w, &b));
    add_meta(w, "seed", arena_printf(&w->arena, "%llu", (unsigned long long)o->seed).ptr);
    add_meta(w, "command", o->command);
    buf_deinit(&b);
}

enum result train_write(const struct train_options *o, const struct train_parts *parts,
                        const struct train_report *report, struct buf *out)
{
    struct writer w = {0};
    float enough = (float)report->enough;
    arena_init(&w.arena, 1 << 16, ARENA_MAX);
    add_all_meta(&w, o, parts, report);
    if (parts->first)
        add_first(&w, o, parts, &enough);
    if (parts->second)
        add_second(&w, o, parts);
    enum result r = w.no_memory
                        ? RESULT_NOMEM
                        : safetensors_write(out, w.tensors, w.tensor_count, w.meta, w.meta_count);
    arena_deinit(&w.arena);
    return r;
}
