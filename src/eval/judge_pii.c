#include <stdio.h>

#include "base/clock.h"
#include "eval/judge.h"
#include "signal/pii_scan.h"

// The types that data sets use, and the kinds of the signal that they are.
static const struct {
    const char *name;
    enum pii_type type;
} types[] = {
    {"EMAIL", PII_EMAIL},
    {"EMAIL_ADDRESS", PII_EMAIL},
    {"PHONE", PII_PHONE},
    {"PHONE_NUMBER", PII_PHONE},
    {"URL", PII_URL},
    {"DOMAIN_NAME", PII_URL},
    {"IP", PII_IP},
    {"IP_ADDRESS", PII_IP},
    {"IBAN", PII_IBAN},
    {"IBAN_CODE", PII_IBAN},
    {"CARD", PII_CARD},
    {"CREDIT_CARD", PII_CARD},
    {"SSN", PII_SSN},
    {"US_SSN", PII_SSN},
    {"KEY", PII_KEY},
    {"PERSON", PII_NAME},
    {"NAME", PII_NAME},
    {"ADDR", PII_ADDRESS},
    {"ADDRESS", PII_ADDRESS},
    {"STREET_ADDRESS", PII_ADDRESS},
    {"GPE", PII_ADDRESS},
    {"ZIP_CODE", PII_ADDRESS},
    {"LOCATION", PII_ADDRESS},
    {"US_DRIVER_LICENSE", PII_ID},
    {"DRIVERS_LICENSE", PII_ID},
    {"PASSPORT", PII_ID},
    {"ID", PII_ID},
};

static enum pii_type type_of(struct slice name)
{
    for (unsigned i = 0; i < MERIT_COUNT(types); i++)
        if (slice_ieq(name, slice_cstr(types[i].name)))
            return types[i].type;
    return PII_TYPES;
}

double judge_f1(uint64_t hit_gold, uint64_t gold, uint64_t hit_found, uint64_t found)
{
    double recall = gold ? (double)hit_gold / (double)gold : 0;
    double precision = found ? (double)hit_found / (double)found : 0;
    return recall + precision > 0 ? 2 * recall * precision / (recall + precision) : 0;
}

struct span {
    uint32_t begin, end;
    enum pii_type type;
};

static bool overlap(struct span a, struct span b)
{
    return a.type == b.type && a.begin < b.end && b.begin < a.end;
}

static void compare(const struct span *gold, uint32_t golds, const struct span *found,
                    uint32_t founds, struct judge_group *by_type)
{
    for (uint32_t i = 0; i < golds; i++) {
        struct judge_group *g = &by_type[gold[i].type];
        bool hit = false;
        g->gold++;
        g->chars_gold += gold[i].end - gold[i].begin;
        for (uint32_t k = 0; k < founds; k++) {
            if (!overlap(gold[i], found[k]))
                continue;
            hit = true;
            uint32_t from = gold[i].begin > found[k].begin ? gold[i].begin : found[k].begin;
            uint32_t to = gold[i].end < found[k].end ? gold[i].end : found[k].end;
            g->chars_both += to - from;
            g->exact += gold[i].begin == found[k].begin && gold[i].end == found[k].end;
        }
        g->gold_hit += hit;
    }
    for (uint32_t k = 0; k < founds; k++) {
        struct judge_group *g = &by_type[found[k].type];
        bool hit = false;
        g->found++;
        g->chars_found += found[k].end - found[k].begin;
        for (uint32_t i = 0; i < golds; i++)
            hit |= overlap(gold[i], found[k]);
        g->found_hit += hit;
    }
}

static void add(struct judge_group *to, const struct judge_group *g)
{
    to->gold += g->gold;
    to->found += g->found;
    to->gold_hit += g->gold_hit;
    to->found_hit += g->found_hit;
    to->exact += g->exact;
    to->chars_gold += g->chars_gold;
    to->chars_found += g->chars_found;
    to->chars_both += g->chars_both;
}

// What the signal pii finds in one text, of the kinds that the data know.
static enum result find(const struct trunk_service *t, const uint8_t *kinds, uint32_t wanted,
                        struct slice text, struct arena *arena, struct pii_spans *out)
{
    enum result r = pii_scan(text, wanted, arena, out);
    if (r || !t || !t->dim[TRUNK_ENTITY])
        return r;
    struct trunk_ask ask = {
        .model = TRUNK_ENTITY, .reading = TRUNK_WHOLE, .texts = &text, .count = 1};
    t->answer(t->ctx, &ask, arena);
    if (ask.answer.result)
        return ask.answer.result;
    return pii_add_entities(out, text, 0, &ask.answer, kinds, wanted, arena);
}

enum result judge_pii(const struct dataset *d, const struct judge_options *o,
                      struct judge_spans *out, char problem[JUDGE_PROBLEM_BYTES])
{
    const struct trunk_service *t = o->trunk;
    struct judge_group by_type[PII_TYPES] = {{0}};
    uint8_t kinds[256];
    uint32_t wanted = 0;
    *out = (struct judge_spans){.rows = (uint32_t)d->rows.len, .model = t && t->dim[TRUNK_ENTITY]};
    problem[0] = 0;
    for (uint32_t i = 0; t && i < t->label_count && i < MERIT_COUNT(kinds); i++)
        kinds[i] = (uint8_t)pii_type_of_label(t->labels[i]);
    for (size_t i = 0; i < d->rows.len; i++)
        for (uint32_t k = 0; k < d->rows.at[i].span_count; k++)
            if (type_of(d->rows.at[i].spans[k].type) < PII_TYPES)
                wanted |= 1u << type_of(d->rows.at[i].spans[k].type);
    struct arena arena;
    arena_init(&arena, 1 << 16, 1u << 30);
    enum result r = RESULT_OK;
    uint64_t spent = 0;
    for (size_t i = 0; !r && i < d->rows.len; i++) {
        const struct dataset_row *row = &d->rows.at[i];
        struct pii_spans spans = {0};
        uint64_t begin = clock_thread_ns();
        r = find(t, kinds, wanted, row->text, &arena, &spans);
        spent += clock_thread_ns() - begin;
        struct span *gold = ARENA_ARRAY(&arena, struct span, row->span_count + 1);
        struct span *found = ARENA_ARRAY(&arena, struct span, spans.count + 1);
        if (!r && (!gold || !found))
            r = RESULT_NOMEM;
        if (r)
            break;
        uint32_t golds = 0;
        for (uint32_t k = 0; k < row->span_count; k++) {
            enum pii_type type = type_of(row->spans[k].type);
            if (type < PII_TYPES)
                gold[golds++] = (struct span){row->spans[k].begin, row->spans[k].end, type};
        }
        for (uint32_t k = 0; k < spans.count; k++)
            found[k] = (struct span){spans.at[k].begin, spans.at[k].end, spans.at[k].type};
        compare(gold, golds, found, spans.count, by_type);
        arena_reset(&arena);
        if (o->progress && (i + 1) % 64 == 0)
            o->progress(o->ctx, (uint32_t)i + 1, out->rows);
    }
    arena_deinit(&arena);
    if (r)
        snprintf(problem, JUDGE_PROBLEM_BYTES, "%s", result_name(r));
    for (unsigned i = 0; i < PII_TYPES; i++) {
        if (!(wanted & 1u << i))
            continue;
        by_type[i].name = pii_type_names[i];
        out->groups[out->group_count++] = by_type[i];
        add(&out->all, &by_type[i]);
    }
    out->us_mean = d->rows.len ? (double)spent / 1e3 / (double)d->rows.len : 0;
    return r;
}
