#include "pool/meter_sampler.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/energy_list.h"

struct sampled {
    enum image_meter kind;
    uint32_t index;
    struct meter_board *board;
    struct meter *meter; // NULL: not open
    _Atomic bool up;
    int told; // what tick last told of `up`; -1: nothing yet
    char why[METER_WHY_BYTES];
    struct image_energy energy;
    double idle_w, watts;
    uint32_t others;
    uint64_t last_us, retry_us, resets;
};

struct meter_sampler {
    struct meter_places places;
    struct sampled all[METERS_MAX];
    _Atomic uint32_t count;
};

enum result meter_sampler_new(struct meter_sampler **out, const struct meter_places *places)
{
    struct meter_sampler *s = *out = alloc_zeroed(1, sizeof *s);
    if (s && places)
        s->places = *places;
    return s ? RESULT_OK : RESULT_NOMEM;
}

void meter_sampler_free(struct meter_sampler *s)
{
    for (uint32_t i = 0; s && i < s->count; i++) {
        meter_close(s->all[i].meter);
        meter_board_free(s->all[i].board);
    }
    alloc_free(s);
}

static struct sampled *find(const struct meter_sampler *s, enum image_meter kind, uint32_t index)
{
    uint32_t n = atomic_load_explicit(&s->count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        if (s->all[i].kind == kind && s->all[i].index == index)
            return (struct sampled *)&s->all[i];
    return NULL;
}

static void try_open(struct meter_sampler *s, struct sampled *m, uint64_t now_us)
{
    enum result r = meter_open(m->kind, m->index, &s->places, &m->meter, m->why);
    if (r == RESULT_NOMEM)
        memcpy(m->why, "out of memory", sizeof "out of memory");
    m->last_us = now_us;
    m->retry_us = now_us + METER_RETRY_MS * UINT64_C(1000);
    m->watts = -1;
    atomic_store_explicit(&m->up, !r, memory_order_relaxed);
}

// "2 h100": the power at rest of one of them is what one meter sees.
static double idle_of(const struct policy_image *image, const struct image_energy *e)
{
    struct slice text = image_text(image, e->hardware), piece;
    while (slice_split(&text, ' ', &piece)) {
        const struct energy_power *p = energy_list_power(piece);
        if (p)
            return p->idle_w;
    }
    return 0;
}

static enum result use(struct meter_sampler *s, const struct policy_image *image,
                       const struct image_endpoint *e, uint64_t now_us)
{
    struct sampled *m = find(s, e->meter, e->meter_index);
    const struct image_energy *energy = &image_model(image, e->model)->energy;
    if (!m) {
        uint32_t n = s->count;
        if (n == METERS_MAX)
            return RESULT_LIMIT;
        m = &s->all[n];
        if (meter_board_new(&m->board))
            return RESULT_NOMEM;
        m->kind = e->meter;
        m->index = e->meter_index;
        m->told = -1;
        try_open(s, m, now_us);
        atomic_store_explicit(&s->count, n + 1, memory_order_release);
    }
    if (energy->curve != IMAGE_CURVE_NONE) {
        m->energy = *energy;
        m->idle_w = m->kind == IMAGE_METER_NVML ? idle_of(image, energy) : 0;
    }
    return RESULT_OK;
}

enum result meter_sampler_use(struct meter_sampler *s, const struct policy_image *image,
                              uint64_t mono_us)
{
    const struct image_endpoint *e = IMAGE_AT(image, image->endpoints, struct image_endpoint);
    enum result first = RESULT_OK;
    for (uint32_t i = 0; i < image->endpoints.count; i++) {
        if (e[i].meter == IMAGE_METER_NONE)
            continue;
        enum result r = use(s, image, &e[i], mono_us);
        first = first ? first : r;
    }
    return first;
}

static void sample(struct sampled *m, uint64_t now_us)
{
    struct meter_interval iv = {.us = now_us - m->last_us,
                                .idle_w = m->idle_w,
                                .energy = m->energy.curve ? &m->energy : NULL,
                                .others = m->others};
    enum result r = meter_read(m->meter, &iv.uj);
    if (r)
        meter_board_gap(m->board);
    if (r == RESULT_IO) {
        meter_close(m->meter);
        m->meter = NULL;
        memcpy(m->why, "it cannot be read any more", sizeof "it cannot be read any more");
        atomic_store_explicit(&m->up, false, memory_order_relaxed);
        return;
    }
    m->resets += r == RESULT_AGAIN;
    m->last_us = now_us;
    if (iv.us)
        m->watts = (double)iv.uj / (double)iv.us;
    meter_board_share(m->board, &iv);
}

bool meter_sampler_tick(struct meter_sampler *s, uint64_t mono_us)
{
    bool changed = false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct sampled *m = &s->all[i];
        if (m->meter)
            sample(m, mono_us);
        else if (mono_us >= m->retry_us)
            try_open(s, m, mono_us);
        changed |= (int)m->up != m->told;
        m->told = m->up;
    }
    return changed;
}

void meter_sampler_others(struct meter_sampler *s, enum image_meter kind, uint32_t index,
                          uint32_t requests)
{
    struct sampled *m = find(s, kind, index);
    if (m)
        m->others = requests < METER_SLOTS ? requests : METER_SLOTS;
}

struct meter_board *meter_sampler_board(const struct meter_sampler *s, enum image_meter kind,
                                        uint32_t index, bool *up)
{
    const struct sampled *m = find(s, kind, index);
    *up = m && atomic_load_explicit(&m->up, memory_order_relaxed);
    return m ? m->board : NULL;
}

bool meter_sampler_each(const struct meter_sampler *s, uint32_t i, struct meter_view *out)
{
    if (i >= s->count)
        return false;
    const struct sampled *m = &s->all[i];
    *out = (struct meter_view){
        .kind = m->kind,
        .index = m->index,
        .up = m->up,
        .why = m->up ? "" : m->why,
        .resets = m->resets,
        .watts = m->up ? m->watts : -1,
        .totals = meter_board_totals(m->board),
    };
    return true;
}

const char *meter_kind_name(enum image_meter kind)
{
    return kind == IMAGE_METER_NVML ? "nvml" : kind == IMAGE_METER_RAPL ? "rapl" : "none";
}

static void joules(struct buf *out, const struct meter_view *v, const char *part, uint64_t uj)
{
    buf_printf(out, "merit_meter_joules_total{meter=\"%s %u\",part=\"%s\"} ",
               meter_kind_name(v->kind), v->index, part);
    buf_micro(out, uj > INT64_MAX ? INT64_MAX : (int64_t)uj);
    buf_byte(out, '\n');
}

void meter_sampler_metrics(const struct meter_sampler *s, struct buf *out)
{
    struct meter_view v;
    if (!meter_sampler_each(s, 0, &v))
        return;
    BUF_LIT(out, "# HELP merit_meter_up Whether the meter counts.\n# TYPE merit_meter_up gauge\n");
    for (uint32_t i = 0; meter_sampler_each(s, i, &v); i++)
        buf_printf(out, "merit_meter_up{meter=\"%s %u\"} %d\n", meter_kind_name(v.kind), v.index,
                   v.up);
    BUF_LIT(out, "# HELP merit_meter_watts Power over the last interval.\n"
                 "# TYPE merit_meter_watts gauge\n");
    for (uint32_t i = 0; meter_sampler_each(s, i, &v); i++)
        if (v.watts >= 0)
            buf_printf(out, "merit_meter_watts{meter=\"%s %u\"} %.3f\n", meter_kind_name(v.kind),
                       v.index, v.watts);
    BUF_LIT(out, "# HELP merit_meter_resets_total Times that the counter went back.\n"
                 "# TYPE merit_meter_resets_total counter\n");
    for (uint32_t i = 0; meter_sampler_each(s, i, &v); i++)
        buf_printf(out, "merit_meter_resets_total{meter=\"%s %u\"} %llu\n", meter_kind_name(v.kind),
                   v.index, (unsigned long long)v.resets);
    BUF_LIT(out, "# HELP merit_meter_joules_total Of the machine alone, by who bore them.\n"
                 "# TYPE merit_meter_joules_total counter\n");
    for (uint32_t i = 0; meter_sampler_each(s, i, &v); i++) {
        joules(out, &v, "requests", v.totals.given_uj);
        joules(out, &v, "others", v.totals.others_uj);
        joules(out, &v, "unused", v.totals.unused_uj);
    }
    BUF_LIT(out, "# HELP merit_meter_pending_joules Given to requests that run.\n"
                 "# TYPE merit_meter_pending_joules gauge\n");
    for (uint32_t i = 0; meter_sampler_each(s, i, &v); i++) {
        uint64_t uj = v.totals.kept_uj;
        buf_printf(out, "merit_meter_pending_joules{meter=\"%s %u\"} ", meter_kind_name(v.kind),
                   v.index);
        buf_micro(out, uj > INT64_MAX ? INT64_MAX : (int64_t)uj);
        buf_byte(out, '\n');
    }
}
