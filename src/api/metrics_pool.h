// The pool in Prometheus' terms: per model, because places come and go and labels must not.
#ifndef MERIT_API_METRICS_POOL_H
#define MERIT_API_METRICS_POOL_H

#include "api/serving.h"

// Control thread.
void metrics_pool_write(const struct serving *s, const struct metrics_names *names, uint64_t now_us,
                        struct buf *out);

#endif
