#include "route/lengths.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "route/lengths_inner.h"

// Share that is meant to lie outside, how fast it is set right, how many answers of one merge count for that at most (more
// of them answer to the same width, and the loop would swing), and how far it may be set apart.
#define MISS 0.2
#define GAMMA 0.005
#define DELTA_MAX 0.3
enum { GAMMA_ANSWERS = 32 };
// What was expected too little is asked for again over so many answers; the mean becomes at most 1 + OWED_MAX times what the
// cells say, and at least its inverse.
enum { OWED_ANSWERS = 500 };
#define OWED_MAX 2.0
// With this many of new answers an epoch is always worth making.
enum { EPOCH_EVERY = 32 };

// --- names

// Never 0, which stands for no key.
static uint64_t mix(uint64_t h, uint64_t v)
{
    h = h * UINT64_C(0x9e3779b97f4a7c15) + v;
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (h ^ (h >> 31)) | 1;
}

uint64_t lengths_name(struct slice name)
{
    return hash_fnv(0, name);
}

static uint32_t octave(uint32_t v)
{
    return v ? 32 - (uint32_t)__builtin_clz(v) : 0;
}

struct lengths_task lengths_task(const struct work *work, uint64_t route, uint64_t words)
{
    struct lengths_task t = {.input_tok = work->input_tok,
                             .cap_tok = work->max_output_tok,
                             .choices = work->choices ? work->choices : 1};
    uint64_t shape = (uint64_t)work->format | (uint64_t)(work->tool_count > 0) << 4 |
                     (uint64_t)work->tool_required << 5 | (uint64_t)work->stream << 6 |
                     (uint64_t)(work->image_count > 0) << 7 |
                     (uint64_t)((octave(t.cap_tok) + 1) / 2) << 8;
    t.task = mix(mix(mix(1, route), words), shape);
    t.cell = mix(t.task, octave(t.input_tok));
    return t;
}

struct lengths_task lengths_task_of(const struct work *work, const struct policy_image *image,
                                    const struct image_route *route, const struct fact *facts)
{
    uint64_t words = 0;
    for (uint32_t i = 0; facts && i < image->signals.count; i++) {
        const struct image_signal *s = image_signal(image, (int32_t)i);
        if (s->type == SIGNAL_ENUM && s->derive == IMAGE_DERIVE_NONE &&
            (facts[i].state == FACT_KNOWN || facts[i].state == FACT_GIVEN))
            words = mix(mix(words, lengths_name(image_text(image, s->name))),
                        (uint64_t)facts[i].number);
    }
    return lengths_task(work, route ? lengths_name(image_text(image, route->name)) : 0, words);
}

static void keys_of(uint64_t model, enum image_effort effort, const struct lengths_task *t,
                    uint64_t keys[LEVEL_INPUT + 1])
{
    keys[LEVEL_ALL] = 1;
    keys[LEVEL_MODEL] = mix(mix(2, model), effort);
    keys[LEVEL_TASK] = mix(keys[LEVEL_MODEL], t->task);
    keys[LEVEL_CELL] = mix(keys[LEVEL_MODEL], t->cell);
    keys[LEVEL_INPUT] = mix(3, model);
}

// --- what came

static bool count_one(struct lengths_ring *r, const struct lengths_seen *seen)
{
    uint32_t head = r->head;
    if (head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == LENGTHS_RING) {
        __atomic_store_n(&r->dropped, r->dropped + 1, __ATOMIC_RELAXED);
        return false;
    }
    r->at[head % LENGTHS_RING] = *seen;
    __atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
    return true;
}

bool lengths_saw(struct lengths *l, uint32_t loop, const struct lengths_answer *a)
{
    assert(loop < l->ring_count);
    uint32_t choices = a->task.choices ? a->task.choices : 1;
    struct lengths_seen seen = {
        .output_tok = a->output_tok / choices + (a->output_tok % choices * 2 >= choices),
        .estimated_tok = a->task.input_tok,
        .counted_tok = a->input_tok,
        .told_tok = a->expected.mean_tok / (float)choices,
        .judged = a->expected.high_tok > 0,
        .missed = a->output_tok < a->expected.low_tok || a->output_tok > a->expected.high_tok,
    };
    if (!a->output_tok)
        return false;
    keys_of(a->model, a->effort, &a->task, seen.keys);
    return count_one(&l->rings[loop], &seen);
}

// --- cells

static uint32_t slot_of(const struct lengths *l, uint64_t key)
{
    uint32_t at = (uint32_t)(key >> 17) % INDEX_SIZE;
    while (l->index[at] && l->cells[l->index[at] - 1]->key != key)
        at = (at + 1) % INDEX_SIZE;
    return at;
}

struct lengths_cell *lengths_find(const struct lengths *l, uint64_t key)
{
    uint32_t at = slot_of(l, key);
    return l->index[at] ? l->cells[l->index[at] - 1] : NULL;
}

// The cell that was not seen for longest, the deepest of several: what it hangs on was seen when it was.
static void make_room(struct lengths *l)
{
    uint32_t worst = 0;
    for (uint32_t i = 1; i < l->cell_count; i++) {
        const struct lengths_cell *c = l->cells[i], *w = l->cells[worst];
        if (c->touched < w->touched || (c->touched == w->touched && c->level > w->level))
            worst = i;
    }
    alloc_free(l->cells[worst]);
    l->cells[worst] = l->cells[--l->cell_count];
    memset(l->index, 0, sizeof l->index);
    for (uint32_t i = 0; i < l->cell_count; i++)
        l->index[slot_of(l, l->cells[i]->key)] = (uint16_t)(i + 1);
}

struct lengths_cell *lengths_cell(struct lengths *l, uint64_t key, uint64_t parent, uint32_t level)
{
    struct lengths_cell *c = lengths_find(l, key);
    if (c)
        return c;
    c = alloc_zeroed(1, sizeof *c);
    if (!c)
        return NULL;
    if (l->cell_count == LENGTHS_CELLS_MAX)
        make_room(l);
    c->key = key;
    c->parent = parent;
    c->level = level;
    l->cells[l->cell_count++] = c;
    l->index[slot_of(l, key)] = (uint16_t)l->cell_count;
    return c;
}

// --- merging

// In steps, because each one goes through all buckets.
static void fade(struct lengths_cell *c)
{
    const int slack = LENGTHS_MEMORY / 8;
    if (c->sketch.weight <= LENGTHS_MEMORY + slack)
        return;
    float by = (float)(LENGTHS_MEMORY - slack) / (float)c->sketch.weight;
    sketch_scale(&c->sketch, by);
    c->estimated *= (double)by;
    c->counted *= (double)by;
}

static void take_input(struct lengths *l, const struct lengths_seen *seen)
{
    if (!seen->counted_tok || !seen->estimated_tok)
        return;
    struct lengths_cell *c = lengths_cell(l, seen->keys[LEVEL_INPUT], 0, LEVEL_INPUT);
    if (!c)
        return;
    uint64_t ratio = (uint64_t)seen->counted_tok * RATIO_ONE / seen->estimated_tok;
    c->touched = l->merges;
    c->estimated += seen->estimated_tok;
    c->counted += seen->counted_tok;
    sketch_add(&c->sketch, ratio > UINT32_MAX ? UINT32_MAX : (uint32_t)ratio, 1);
    fade(c);
}

static void take(struct lengths *l, const struct lengths_seen *seen)
{
    for (uint32_t level = LEVEL_ALL; level <= LEVEL_CELL; level++) {
        struct lengths_cell *c =
            lengths_cell(l, seen->keys[level], level ? seen->keys[level - 1] : 0, level);
        if (!c)
            break; // without memory the rest is not learned
        c->touched = l->merges;
        sketch_add(&c->sketch, seen->output_tok, 1);
        c->came += seen->judged;
        c->missed += seen->judged && seen->missed;
        c->owed += seen->judged ? seen->output_tok - (double)seen->told_tok : 0;
        fade(c);
    }
    take_input(l, seen);
    l->answers++;
}

static void steer(struct lengths_cell *c)
{
    if (!c->came)
        return;
    double n = c->came < GAMMA_ANSWERS ? c->came : GAMMA_ANSWERS;
    c->delta += GAMMA * n * (MISS - (double)c->missed / c->came);
    c->delta = c->delta > DELTA_MAX ? DELTA_MAX : c->delta < -DELTA_MAX ? -DELTA_MAX : c->delta;
    c->came = c->missed = 0;
    double most = OWED_MAX * OWED_ANSWERS * sketch_mean(&c->sketch);
    c->owed = c->owed > most ? most : c->owed < -most ? -most : c->owed;
}

bool lengths_merge(struct lengths *l)
{
    l->merges++;
    for (uint32_t i = 0; i < l->ring_count; i++) {
        struct lengths_ring *r = &l->rings[i];
        uint32_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        for (uint32_t tail = r->tail; tail != head; tail++) {
            take(l, &r->at[tail % LENGTHS_RING]);
            __atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
        }
    }
    for (uint32_t i = 0; i < l->cell_count; i++)
        if (l->cells[i]->touched == l->merges)
            steer(l->cells[i]);
    uint64_t least = l->published / 8;
    least = least < 1 ? 1 : least > EPOCH_EVERY ? EPOCH_EVERY : least;
    if (l->answers - l->published < least)
        return false;
    l->published = l->answers;
    return true;
}

uint64_t lengths_answers(const struct lengths *l)
{
    return l->answers;
}

uint32_t lengths_cells(const struct lengths *l)
{
    return l->cell_count;
}

uint64_t lengths_dropped(const struct lengths *l)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < l->ring_count; i++)
        n += __atomic_load_n(&l->rings[i].dropped, __ATOMIC_RELAXED);
    return n;
}

// --- epochs

// E[min(length, c)] is kept at the half octaves c = 1, 1.5, 2, 3, 4, ... and taken as straight between.
enum { CAPS = 2 * 21 };

struct entry {
    uint64_t key; // 0: free
    float mean, low, high, p50, p95, answers;
    float capped[CAPS];
};

struct input_entry {
    uint64_t key;
    float ratio, high;
};

struct lengths_epoch {
    uint32_t refs;
    uint32_t size, input_size; // of the tables, powers of two
    uint64_t answers;
    struct entry guess;
    struct entry *entries;
    struct input_entry *inputs;
};

static double cap_at(uint32_t i)
{
    return (double)(UINT64_C(1) << i / 2) * (i % 2 ? 1.5 : 1);
}

// While nothing is known: spread evenly over the logarithms from 8 to 1280, a mean of 251 (guessed, 2026-11; the rule of
// route/estimate.h has 256).
static void add_guess(struct sketch *s, double weight)
{
    uint32_t first = sketch_bucket(8), last = sketch_bucket(1279);
    double wide = 0;
    for (uint32_t i = first; i <= last; i++)
        wide += (double)(sketch_from(i + 1) - sketch_from(i)) / sketch_middle(i);
    for (uint32_t i = first; i <= last; i++) {
        double n = weight * (double)(sketch_from(i + 1) - sketch_from(i)) / sketch_middle(i) / wide;
        s->at[i] += (float)n;
        s->weight += n;
        s->sum += n * sketch_middle(i);
    }
}

static void fill(const struct sketch *s, double miss, double factor, struct entry *e)
{
    double low, high, below = 0, short_sum = 0, all = 0, sum = 0;
    sketch_interval(s, miss, &low, &high);
    e->mean = (float)(sketch_mean(s) * factor);
    e->low = (float)low;
    e->high = (float)high;
    e->p50 = (float)sketch_quantile(s, 0.5);
    e->p95 = (float)sketch_quantile(s, 0.95);
    for (uint32_t i = 0; i < SKETCH_BUCKETS; i++) {
        all += (double)s->at[i];
        sum += (double)s->at[i] * sketch_middle(i);
    }
    // The buckets know the shape, the sum beside them the mean.
    double by = sum > 0 ? sketch_mean(s) * factor * all / sum : 1;
    uint32_t bucket = 0;
    for (uint32_t i = 0; i < CAPS; i++) {
        for (; bucket < SKETCH_BUCKETS && sketch_middle(bucket) <= cap_at(i); bucket++) {
            below += (double)s->at[bucket];
            short_sum += (double)s->at[bucket] * sketch_middle(bucket);
        }
        double mean = (short_sum * by + (all - below) * cap_at(i)) / all;
        e->capped[i] = mean < (double)e->mean ? (float)mean : e->mean;
    }
}

// What is known of a cell, with what it hangs on.
static void make_entry(const struct lengths *l, const struct lengths_cell *cell, struct entry *e)
{
    struct sketch s = {.weight = 0};
    double share = 1, delta = 0, factor = 1;
    const struct lengths_cell *c = cell;
    for (uint32_t depth = 0; c && depth <= LEVEL_CELL; depth++) {
        double n = c->sketch.weight + LENGTHS_SHRINK;
        sketch_join(&s, &c->sketch, share / n);
        share *= LENGTHS_SHRINK / n;
        delta += c->level == LEVEL_ALL ? 0 : c->delta;
        if (c->level == LEVEL_MODEL) {
            double owed = c->owed / (OWED_ANSWERS * sketch_mean(&c->sketch));
            factor = owed < 0 ? 1 / (1 - owed) : 1 + owed;
        }
        c = c->parent ? lengths_find(l, c->parent) : NULL;
    }
    add_guess(&s, share);
    double miss = MISS + delta;
    fill(&s, miss < 0.02 ? 0.02 : miss > 0.8 ? 0.8 : miss, factor, e);
    e->key = cell ? cell->key : 0;
    e->answers = cell ? (float)cell->sketch.weight : 0;
}

// One answer of half as much again stands for what was never seen; the mean is shrunk towards the estimate.
static void make_input(const struct lengths_cell *c, struct input_entry *e)
{
    struct sketch s = c->sketch;
    double even = c->estimated / s.weight * 4;
    e->key = c->key;
    e->ratio = (float)((c->counted + even) / (c->estimated + even));
    sketch_add(&s, RATIO_ONE * 3 / 2, 1);
    e->high = (float)(sketch_quantile(&s, 0.99) / RATIO_ONE);
    if (e->high < e->ratio)
        e->high = e->ratio;
}

static uint32_t table_size(uint32_t count)
{
    uint32_t size = 4;
    while (size < 2 * count)
        size *= 2;
    return size;
}

// `stride` bytes apart, the key first.
static void *probe(const void *table, uint32_t size, size_t stride, uint64_t key)
{
    for (uint32_t at = (uint32_t)(key >> 17) & (size - 1);; at = (at + 1) & (size - 1)) {
        const char *e = (const char *)table + at * stride;
        uint64_t k;
        memcpy(&k, e, sizeof k);
        if (!k || k == key)
            return (void *)(uintptr_t)e;
    }
}

enum result lengths_epoch_make(struct lengths *l, struct lengths_epoch **out)
{
    uint32_t inputs = 0;
    for (uint32_t i = 0; i < l->cell_count; i++)
        inputs += l->cells[i]->level == LEVEL_INPUT;
    uint32_t size = table_size(l->cell_count - inputs), input_size = table_size(inputs);
    struct lengths_epoch *e = *out =
        alloc_zeroed(1, sizeof *e + size * sizeof *e->entries + input_size * sizeof *e->inputs);
    if (!e)
        return RESULT_NOMEM;
    e->refs = 1;
    e->size = size;
    e->input_size = input_size;
    e->answers = l->answers;
    e->entries = (struct entry *)(void *)(e + 1);
    e->inputs = (struct input_entry *)(void *)(e->entries + size);
    make_entry(l, NULL, &e->guess);
    for (uint32_t i = 0; i < l->cell_count; i++) {
        const struct lengths_cell *c = l->cells[i];
        if (c->level == LEVEL_INPUT)
            make_input(c, probe(e->inputs, input_size, sizeof *e->inputs, c->key));
        else
            make_entry(l, c, probe(e->entries, size, sizeof *e->entries, c->key));
    }
    return RESULT_OK;
}

void lengths_epoch_ref(struct lengths_epoch *e)
{
    __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
}

void lengths_epoch_unref(struct lengths_epoch *e)
{
    if (e && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0)
        alloc_free(e);
}

uint64_t lengths_epoch_answers(const struct lengths_epoch *e)
{
    return e->answers;
}

// --- on the road

static const struct entry *entry_of(const struct lengths_epoch *e, uint64_t model,
                                    enum image_effort effort, const struct lengths_task *t)
{
    uint64_t keys[LEVEL_INPUT + 1];
    keys_of(model, effort, t, keys);
    for (int level = LEVEL_CELL; level >= LEVEL_ALL; level--) {
        const struct entry *found = probe(e->entries, e->size, sizeof *e->entries, keys[level]);
        if (found->key)
            return found;
    }
    return &e->guess;
}

static double mean_below(const struct entry *e, uint32_t cap)
{
    if (!cap)
        return (double)e->mean;
    uint32_t power = octave(cap) - 1, i = 2 * power + ((uint64_t)cap * 2 >= UINT64_C(3) << power);
    if (i + 1 >= CAPS)
        return (double)e->mean;
    double from = cap_at(i), share = (cap - from) / (cap_at(i + 1) - from);
    return (double)e->capped[i] + share * (double)(e->capped[i + 1] - e->capped[i]);
}

static uint32_t whole(double v, uint32_t cap, uint32_t choices)
{
    if (cap && v > cap)
        v = cap;
    if (v >= UINT32_MAX)
        return choices ? UINT32_MAX : 0;
    uint64_t sum = (uint64_t)v * choices;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

// The same guess without an epoch, in closed form.
static void guess(uint32_t cap, struct entry *e, double *mean)
{
    const double from = 8, to = 1280, wide = log(to / from);
    *e = (struct entry){.low = (float)(from * exp(0.1 * wide)),
                        .high = (float)(from * exp(0.9 * wide)),
                        .p50 = (float)(from * exp(0.5 * wide)),
                        .p95 = (float)(from * exp(0.95 * wide))};
    double c = !cap || cap > to ? to : cap;
    *mean = c <= from ? c : (c - from) / wide + c * (1 - log(c / from) / wide);
}

void lengths_expect(const struct lengths_epoch *e, uint64_t model, enum image_effort effort,
                    const struct lengths_task *t, uint32_t cap_tok, struct lengths_expect *out)
{
    struct entry without;
    const struct entry *known = &without;
    uint32_t cap = !cap_tok || (t->cap_tok && t->cap_tok < cap_tok) ? t->cap_tok : cap_tok;
    double mean;
    if (e) {
        known = entry_of(e, model, effort, t);
        mean = mean_below(known, cap);
    } else {
        guess(cap, &without, &mean);
    }
    *out = (struct lengths_expect){
        .mean_tok = (float)(mean * t->choices),
        .low_tok = whole((double)known->low, cap, t->choices),
        .high_tok = whole((double)known->high + 0.999, cap, t->choices),
        .p50_tok = whole((double)known->p50 + 0.5, cap, t->choices),
        .p95_tok = whole((double)known->p95 + 0.999, cap, t->choices),
        .answers = known->answers,
    };
}

struct lengths_input lengths_input(const struct lengths_epoch *e, uint64_t model,
                                   uint32_t estimated_tok)
{
    float ratio = 1, high = 1.5f;
    if (e) {
        const struct input_entry *found =
            probe(e->inputs, e->input_size, sizeof *e->inputs, mix(3, model));
        if (found->key) {
            ratio = found->ratio;
            high = found->high;
        }
    }
    return (struct lengths_input){whole((double)ratio * estimated_tok + 0.5, 0, 1),
                                  whole((double)high * estimated_tok + 0.999, 0, 1)};
}

// --- life

enum result lengths_open(struct lengths **out, uint32_t loops)
{
    struct lengths *l = *out = alloc_zeroed(1, sizeof *l);
    if (!l)
        return RESULT_NOMEM;
    l->rings = alloc_zeroed(loops ? loops : 1, sizeof *l->rings);
    if (!l->rings) {
        alloc_free(l);
        *out = NULL;
        return RESULT_NOMEM;
    }
    l->ring_count = loops;
    return RESULT_OK;
}

void lengths_close(struct lengths *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->cell_count; i++)
        alloc_free(l->cells[i]);
    alloc_free(l->rings);
    alloc_free(l);
}
