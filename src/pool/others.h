// A scrape, moved on to now: by what Merit itself has begun and seen end since, and by what others are likely to have.
//
// A scrape is as old as the scrape period, and several replicas of Merit, or other clients, look at the same one. If each
// counts only its own calls since, all of them send to the place that was emptiest, until the next scrape shows it fullest: the
// load swings, the more the longer the period. But how much of a model's load is others' is known from the scrape itself, and
// they have no other reasons than Merit has: so they are taken to have begun and ended, since then, in proportion to what Merit
// has there. tests/prop/prop_pool_damping.c shows three replicas that settle this way, and swing without. Pure.
#ifndef MERIT_POOL_OTHERS_H
#define MERIT_POOL_OTHERS_H

#include "work/pool.h"

enum { OTHERS_MOST = 8 }; // times Merit's own; beyond that Merit's share says too little

// All requests of a model's places at their scrapes, over Merit's own of them at that time: 1 to OTHERS_MOST.
float others_ratio(float scraped, float own);

// Sets row->queue and row->running. `queue`, `running`: as scraped; `began`, `ended`: Merit's own calls there since. Those that
// end let one that waits begin; those that begin run while there is room (row->slots) and nothing waits. At least
// row->in_flight.
void others_move(struct pool_place *row, float queue, float running, uint32_t began, uint32_t ended,
                 float ratio);

#endif
