// Shadow prices of slots: what a place's slots are worth while they are scarce, learned slowly from how full it is.
//
//   util  = max((running + queue) / slots, in_flight / slots, kv_use / DUALS_KV_FULL)
//   price <- clip(price + clip(DUALS_STEP * (util - DUALS_TARGET), +-DUALS_CLIP) * dt, 0, DUALS_MAX)    x what a second is worth
//
// the dual of a capacity constraint by projected gradient (nu <- [nu + eta (util - target)]+), in nano-USD for a slot held
// for a second. Queues are priced at once by what they make wait (route/score_queue.c); this is what a place's slots cost when
// it is full most of the time, so that work which can go elsewhere, to another model too, does before there is a queue.
// Damped three ways, so that it does not hunt with the queues or an autoscaler: nothing moves within DUALS_BAND of the target,
// a second moves it by DUALS_CLIP at most, and from nothing to what a second is worth takes 100 s at least, more than five times
// the 15 s in which Kubernetes' autoscaler looks. What is not known (stale, no slots) does not move it up, and lets it fade.
//
// Constants: eta and the largest price are those of budget pacers in ParetoBandit (0.05 and 5); target, band and clip are
// guessed, 2026-11, and held to a simulated step of load by tests/prop/prop_pool_damping.c. Pure.
#ifndef MERIT_POOL_DUALS_H
#define MERIT_POOL_DUALS_H

#include "work/pool.h"

#define DUALS_TARGET 0.8F
#define DUALS_KV_FULL 0.9F
#define DUALS_BAND 0.05F
#define DUALS_STEP 0.05F
#define DUALS_CLIP 0.01F
#define DUALS_MAX 5.0F

// How full the place is; < 0: not known.
float duals_util(const struct pool_place *row);
// The price after `dt_s` more seconds, of what it was; both in nano-USD a slot and second.
float duals_step(float nusd_s, const struct pool_place *row, float second_nusd, float dt_s);

#endif
