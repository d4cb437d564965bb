#include "pool/meter.h"

#include <assert.h>
#include <stdio.h>

#include "route/energy.h"

enum result meter_open(enum image_meter kind, uint32_t index, const struct meter_places *places,
                       struct meter **out, char why[METER_WHY_BYTES])
{
    const char *nvml = places && places->nvml ? places->nvml : "libnvidia-ml.so.1";
    const char *powercap = places && places->powercap ? places->powercap : "/sys/class/powercap";
    *out = NULL;
    why[0] = 0;
    if (kind == IMAGE_METER_NVML)
        return meter_nvml_open(index, nvml, out, why);
    if (kind == IMAGE_METER_RAPL)
        return meter_rapl_open(index, powercap, out, why);
    snprintf(why, METER_WHY_BYTES, "no meter is named");
    return RESULT_NOT_FOUND;
}

void meter_close(struct meter *m)
{
    if (m)
        m->kind->close(m);
}

enum result meter_read(struct meter *m, uint64_t *uj)
{
    *uj = 0;
    return m->kind->read(m, uj);
}

typedef unsigned __int128 wide;
enum weight { PREFILL, DECODE, HELD, WEIGHTS };

static uint64_t weight_of(const struct meter_row *r, enum weight w)
{
    return w == PREFILL ? r->prefill_tok : w == DECODE ? r->decode_tok : r->held;
}

// Each row gets the difference of two rounded running sums, so that nothing is lost between them.
static void divide(uint64_t uj, enum weight w, wide sum, struct meter_row *rows, uint32_t count)
{
    wide before = 0, run = 0;
    for (uint32_t i = 0; i < count; i++) {
        run += weight_of(&rows[i], w);
        wide upto = uj * run / sum;
        rows[i].uj += (uint64_t)(upto - before);
        before = upto;
    }
}

uint64_t meter_attribute(uint64_t uj, uint64_t idle_uj, uint32_t beta_milli, struct meter_row *rows,
                         uint32_t count)
{
    wide sums[WEIGHTS] = {0};
    uint64_t parts[WEIGHTS];
    assert(count <= METER_ROWS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        rows[i].uj = 0;
        for (int w = 0; w < WEIGHTS; w++) {
            assert(weight_of(&rows[i], (enum weight)w) < UINT64_C(1) << 48);
            sums[w] += weight_of(&rows[i], (enum weight)w);
        }
    }
    if (idle_uj > uj)
        idle_uj = uj;
    if (beta_milli > METER_MILLI)
        beta_milli = METER_MILLI;
    parts[HELD] = idle_uj;
    parts[PREFILL] = (uint64_t)((wide)(uj - idle_uj) * beta_milli / METER_MILLI);
    parts[DECODE] = uj - idle_uj - parts[PREFILL];
    // Where a kind of work was not done, its part goes to the next one that was.
    static const enum weight next[WEIGHTS][WEIGHTS] = {[PREFILL] = {PREFILL, DECODE, HELD},
                                                       [DECODE] = {DECODE, PREFILL, HELD},
                                                       [HELD] = {HELD, DECODE, PREFILL}};
    uint64_t left = 0;
    for (int w = 0; w < WEIGHTS; w++) {
        int to = 0;
        while (to < WEIGHTS && !sums[next[w][to]])
            to++;
        if (to == WEIGHTS)
            left += parts[w];
        else
            divide(parts[w], next[w][to], sums[next[w][to]], rows, count);
    }
    return left;
}

uint32_t meter_beta_milli(const struct image_energy *e, uint64_t prefill_tok, uint64_t decode_tok,
                          double batch)
{
    // Without a curve: a prompt's token takes the tenth part of a generated one. Guessed, 2026-11: the rows of
    // policy/energy_list.h have a fifth to a twentieth at a batch of 32.
    double p = 1, d = 10;
    if (e && e->curve != IMAGE_CURVE_NONE) {
        p = e->prefill_j_tok;
        d = energy_token_j(e, batch);
    }
    double prefill = p * (double)prefill_tok, all = prefill + d * (double)decode_tok;
    return all > 0 ? (uint32_t)(METER_MILLI * prefill / all + 0.5) : 0;
}
