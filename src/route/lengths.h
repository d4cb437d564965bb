// How long answers are: output tokens by (model, effort, task), learned from what came back.
//
// Writers count what they see (one shard per loop); a merged, immutable epoch gives a decision the expected length and the
// interval that holds 80 % of lengths.
#ifndef MERIT_ROUTE_LENGTHS_H
#define MERIT_ROUTE_LENGTHS_H

#include <stdint.h>

struct lengths_epoch;

#endif
