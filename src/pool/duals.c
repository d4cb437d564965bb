#include "pool/duals.h"

static float greater(float a, float b)
{
    return a > b ? a : b;
}

static float clip(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

float duals_util(const struct pool_place *row)
{
    float util = -1;
    if (row->slots) {
        float calls = (float)row->in_flight;
        bool scraped = !row->stale && row->queue >= 0 && row->running >= 0;
        util = greater(calls, scraped ? row->queue + row->running : 0) / (float)row->slots;
    }
    if (!row->stale && row->kv_use >= 0)
        util = greater(util, row->kv_use / DUALS_KV_FULL);
    return util;
}

float duals_step(float nusd_s, const struct pool_place *row, float second_nusd, float dt_s)
{
    float util = duals_util(row), off = util < 0 ? -DUALS_TARGET : util - DUALS_TARGET;
    if (!(second_nusd > 0) || !(nusd_s >= 0))
        return 0;
    if (off > -DUALS_BAND && off < DUALS_BAND)
        return nusd_s;
    float step = clip(DUALS_STEP * off, -DUALS_CLIP, DUALS_CLIP) * clip(dt_s, 0, 60);
    return clip(nusd_s + step * second_nusd, 0, DUALS_MAX * second_nusd);
}
